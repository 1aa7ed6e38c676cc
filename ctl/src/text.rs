//! Text from outside, made fit for a terminal; times and fingerprints for people.
//!
//! Decides which characters reach a screen. Refuses escapes, control and direction characters: a
//! name that moves the cursor could repaint the code above it; and marks piled up without end,
//! which paint over the lines around them.

use std::fmt::{Display, Write as _};

use parsec_protocol::ids::{Timestamp, belongs, is_invisible};
use unicode_width::UnicodeWidthChar as _;

/// Whether `c` could steer a terminal, or hide or reorder what stands beside it.
pub(crate) fn is_hostile(c: char) -> bool {
    c.is_control() || is_invisible(c)
}

/// Marks that may stand on one letter: no script needs more, and the fifth only climbs into the
/// line above.
const MARKS_MAX: usize = 4;

/// One field on one line: hostile characters are shown as `\u{1b}`, line ends included. A mark
/// without a letter would sit on what stands before the field, so it is shown like that, too.
pub(crate) fn escaped(field: impl Display) -> String {
    let mut line = String::new();
    judge(&field.to_string(), MARKS_MAX, |c, fit| {
        if fit {
            line.push(c);
        } else {
            line.extend(c.escape_unicode());
        }
    });
    line
}

/// Tells of each character of a text whether it may reach a screen. `marks`: how many there seem to
/// be before the first.
fn judge(text: &str, mut marks: usize, mut told: impl FnMut(char, bool)) {
    let characters: Vec<char> = text.chars().collect();
    for (at, c) in characters.iter().copied().enumerate() {
        // Part of a letter or an emoji, as in the names of many people.
        if is_invisible(c) && belongs(&characters, at) {
            told(c, true);
            continue;
        }
        marks = if c.width() == Some(0) { marks + 1 } else { 0 };
        told(c, !is_hostile(c) && marks <= MARKS_MAX);
    }
}

/// A whole text: as [`escaped`], but lines stay lines. The last net before a stream.
pub(crate) fn escaped_lines(text: &str) -> String {
    text.split('\n').map(escaped).collect::<Vec<_>>().join("\n")
}

/// JSON in which no hostile character stands as itself, and no marks pile up. They can occur within
/// its strings only, where `\uXXXX` is the same.
pub(crate) fn escaped_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    judge(json, 0, |c, fit| {
        if fit {
            out.push(c);
            return;
        }
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            // Writing to a String can't fail.
            let _infallible = write!(out, "\\u{unit:04x}");
        }
    });
    out
}

/// A path of a safe, fit for a screen and for being typed again: what could steer the screen is
/// written as `\xNN`, byte by byte, which means the same in a path.
pub(crate) fn pasteable(path: &str) -> String {
    let mut line = String::with_capacity(path.len());
    judge(path, MARKS_MAX, |c, fit| {
        if fit {
            line.push(c);
            return;
        }
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            // Writing to a String can't fail.
            let _infallible = write!(line, "\\x{byte:02x}");
        }
    });
    line
}

/// A number of bytes for people: `4.2 MiB`.
pub(crate) fn human(bytes: u64) -> String {
    /// Tenths of the next unit in one of the last.
    const STEP: u64 = 1024;
    if bytes < STEP {
        return format!("{bytes} B");
    }
    let mut tenths = bytes.saturating_mul(10) / STEP;
    for unit in ["KiB", "MiB", "GiB"] {
        if tenths < STEP * 10 {
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
        tenths /= STEP;
    }
    format!("{}.{} TiB", tenths / 10, tenths % 10)
}

/// A fingerprint in groups of four, so that it can be read aloud and compared.
pub(crate) fn grouped(hexadecimal: &str) -> String {
    let letters: Vec<char> = escaped(hexadecimal).chars().collect();
    letters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

/// `2026-11-23 13:20 UTC`.
pub(crate) fn moment(time: Timestamp) -> String {
    let minutes = time.0 / Timestamp::SECOND / 60;
    let (year, month, day) = civil(minutes / 1440);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", minutes / 60 % 24, minutes % 60)
}

/// `2026-11-23 13:20:59 UTC`.
pub(crate) fn moment_to_the_second(time: Timestamp) -> String {
    moment(time).replace(" UTC", &format!(":{:02} UTC", time.0 / Timestamp::SECOND % 60))
}

/// Reads a moment as people write it: `2026-11-23`, `2026-11-23 13:20`, `2026-11-23 13:20:59`, with
/// a `T` for the space and ` UTC` or a `Z` behind it if they like; or so long before `now`: `90m`,
/// `2h`, `3d`. Always UTC, as all moments are shown. A minute or a day is its beginning, a second
/// all of it.
pub(crate) fn read_moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    let text = text.trim();
    if let Some((count, unit)) = text.char_indices().last().map(|(at, _)| text.split_at(at)) {
        let seconds = match unit {
            "m" => Some(60),
            "h" => Some(3_600),
            "d" => Some(86_400),
            _ => None,
        };
        if let Some(seconds) = seconds {
            let digits = count.bytes().all(|byte| byte.is_ascii_digit());
            let ago: u64 = count.parse().ok().filter(|_| digits)?;
            let micros = ago.checked_mul(seconds)?.checked_mul(Timestamp::SECOND)?;
            return now.0.checked_sub(micros).map(Timestamp);
        }
    }
    let text = text.strip_suffix('Z').or_else(|| text.strip_suffix(" UTC")).unwrap_or(text);
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00"));
    let numbers = |text: &str, by: char| -> Option<Vec<u64>> {
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok());
        text.split(by).map(|part| digits(part).flatten()).collect()
    };
    let (date, time) = (numbers(date, '-')?, numbers(time, ':')?);
    let [year @ 1_970..=9_999, month @ 1..=12, day @ 1..=31] = date.as_slice() else { return None };
    // All of the second that was named: moments are shown to the second, and what happened in it is
    // meant.
    let (hour, minute, second, rest) = match time.as_slice() {
        [hour, minute] => (*hour, *minute, 0, 0),
        [hour, minute, second] => (*hour, *minute, *second, Timestamp::SECOND - 1),
        _ => return None,
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_until(*year, *month, *day);
    // The 31st of a month that has 30.
    (civil(days) == (*year, *month, *day)).then_some(())?;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    seconds.checked_mul(Timestamp::SECOND)?.checked_add(rest).map(Timestamp)
}

/// The other way round than [`civil`]; years from 1970 on.
const fn days_until(year: u64, month: u64, day: u64) -> u64 {
    let (year, shifted_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let year_of_era = year % 400;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    year / 400 * 146_097 + day_of_era - 719_468
}

/// Days since 1970-01-01 to year, month, day of the Gregorian calendar, counted in eras of 400
/// years from 1 March of year 0.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = days / 146_097 * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted_month + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that did harm to terminals, logs and readers elsewhere.
    const HOSTILE: &[&str] = &[
        "\x1b[2J\x1b[H",
        "\x1b]0;title\x07",
        "\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\",
        "\x1b]52;c;ZXZpbA==\x07",
        "\x1bP$q\"p\x1b\\",
        "\u{9b}31mred",
        "\u{9d}0;title\u{9c}",
        "a\rb",
        "a\nb",
        "a\x08\x08b",
        "a\x7fb",
        "a\0b",
        "a\x0e\x0fb",
        "\u{202e}gpj.exe",
        "\u{2066}x\u{2069}",
        "\u{200f}abc",
        "\u{61c}abc",
        "zero\u{200b}width",
        "\u{feff}bom",
        "soft\u{ad}hyphen",
        "\u{2028}line",
        "\u{e0041}tag",
        "\u{3164}filler",
    ];

    #[test]
    fn escapes_are_neutralised_in_every_kind_of_output() {
        for bad in HOSTILE {
            let field = escaped(bad);
            assert!(!field.chars().any(is_hostile), "{field:?}");
            assert!(field.contains("\\u{"), "what was there stays visible: {field:?}");
            let lines = escaped_lines(bad);
            assert!(!lines.chars().any(|c| c != '\n' && is_hostile(c)), "{lines:?}");
            let json = escaped_json(&serde_json::to_string(bad).unwrap());
            assert!(!json.chars().any(is_hostile), "{json:?}");
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), *bad, "the value itself is untouched");
        }
    }

    #[test]
    fn every_control_character_and_pair_of_escape_and_letter_is_neutralised() {
        for c in ('\0'..='\u{1f}').chain('\u{7f}'..='\u{9f}') {
            assert!(!escaped(c).chars().any(is_hostile));
        }
        for c in ' '..='~' {
            assert!(!escaped(format!("\x1b{c}x")).contains('\x1b'));
        }
    }

    #[test]
    fn honest_names_stay_as_they_are() {
        for good in [
            "Zoë O’Neill-李",
            "bob@example.org",
            "Владимир",
            "שלום",
            "שָׁלוֹם",
            "Nguye\u{302}\u{303}n",
            "น้ำ",
            "laptop (home) \\ 2",
        ] {
            assert_eq!(escaped(good), good);
        }
    }

    #[test]
    fn joiners_and_selectors_stay_where_they_belong_and_nowhere_else() {
        for good in [
            "مهدی\u{200c}زاده",
            "ශ\u{dca}\u{200d}රී",
            "👩🏽\u{200d}🚀",
            "Ana ❤\u{fe0f}",
            "葛\u{e0100}城",
            "1\u{fe0f}\u{20e3}",
        ] {
            assert!(good.parse::<parsec_protocol::ids::Label>().is_ok());
            assert_eq!(escaped(good), good);
            assert_eq!(escaped_lines(&format!("Bob\n  {good}\n")), format!("Bob\n  {good}\n"));
            let json = serde_json::to_string(good).unwrap();
            assert_eq!(escaped_json(&json), json);
        }
        assert_eq!(escaped("Bo\u{200d}b"), "Bo\\u{200d}b");
        assert_eq!(escaped("Bob\u{fe0f}"), "Bob\\u{fe0f}");
        assert_eq!(escaped("👩\u{200d}"), "👩\\u{200d}");
    }

    #[test]
    fn marks_do_not_pile_up_and_sit_on_nothing_else() {
        assert_eq!(escaped("e\u{301}\u{301}\u{301}\u{301}"), "e\u{301}\u{301}\u{301}\u{301}");
        assert_eq!(
            escaped("e\u{301}\u{301}\u{301}\u{301}\u{301}x"),
            "e\u{301}\u{301}\u{301}\u{301}\\u{301}x"
        );
        assert_eq!(escaped("\u{338}x"), "\\u{338}x", "it would strike out the quote before it");
    }

    #[test]
    fn moments_are_read_as_they_are_shown() {
        let now = Timestamp(1_795_440_059 * Timestamp::SECOND);
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("2000-02-29 00:00", 951_782_400),
            ("2026-11-23 13:20", 1_795_440_000),
            ("2100-03-01 00:00", 4_107_542_400),
        ] {
            assert_eq!(read_moment(text, now), Some(Timestamp(seconds * Timestamp::SECOND)), "{text}");
        }
        for (text, seconds) in
            [("2000-03-01T00:00:00Z", 951_868_800), (" 2026-11-23 13:20:59 UTC ", 1_795_440_059)]
        {
            let end = Timestamp(seconds * Timestamp::SECOND + Timestamp::SECOND - 1);
            assert_eq!(read_moment(text, now), Some(end), "{text}");
        }
        for (text, ago) in [("59m", 59 * 60), ("2h", 7_200), ("3d", 3 * 86_400), ("0m", 0)] {
            let then = Timestamp(now.0 - ago * Timestamp::SECOND);
            assert_eq!(read_moment(text, now), Some(then), "{text}");
        }
        for wrong in [
            "",
            "m",
            "-3d",
            "+3d",
            "3w",
            "2026-11-31",
            "2026-13-01",
            "1969-12-31",
            "2026-11-23 24:00",
            "2026-11-23 1",
            "yesterday",
            "2026-02-30 10:00",
            "99999999999999999999d",
            "2026-11-23 +1:00",
            "2026-11-23 13:20:59:01",
            "é",
        ] {
            assert_eq!(read_moment(wrong, now), None, "{wrong}");
        }
    }

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (951_868_800, "2000-03-01 00:00 UTC"),
            (1_795_440_059, "2026-11-23 13:20 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(moment(Timestamp(seconds * Timestamp::SECOND)), text);
        }
        assert!(!moment(Timestamp(u64::MAX)).is_empty());
        assert_eq!(
            moment_to_the_second(Timestamp(1_795_440_059 * Timestamp::SECOND)),
            "2026-11-23 13:20:59 UTC"
        );
    }

    #[test]
    fn a_path_on_a_screen_is_harmless_and_means_the_same_when_it_is_typed() {
        use parsec_protocol::control::paths::{read_path, write_path};
        for bad in HOSTILE {
            let names = [bad.replace(['/', '\0'], "-").into_bytes()];
            let path = write_path(names.iter().map(Vec::as_slice));
            let shown = pasteable(&path);
            assert!(!shown.chars().any(is_hostile), "{shown:?}");
            assert_eq!(escaped(&shown), shown, "and nothing is left to escape");
            assert_eq!(read_path(&shown).unwrap(), names, "{shown}");
        }
        assert_eq!(pasteable("/Zoë/a b"), "/Zoë/a b");
    }

    #[test]
    fn bytes_are_told_in_the_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 1, "1023.9 KiB"),
            (5 << 30, "5.0 GiB"),
            (3 << 40, "3.0 TiB"),
        ] {
            assert_eq!(human(bytes), text);
        }
        assert!(human(u64::MAX).ends_with(" TiB"));
    }

    #[test]
    fn fingerprints_are_grouped() {
        assert_eq!(grouped("0123456789"), "0123 4567 89");
    }
}
