//! The page of a recovery kit: what stands on it, as text and as a picture to be printed, and how
//! it is read back.
//!
//! Decides that everything needed to come back stands on the page: words, organisation, server.
//! Refuses nothing when reading: what is a word, the daemon says.

use std::fmt::Write as _;

use parsec_protocol::control::{ProblemKind, RecoveryCreated};
use parsec_protocol::ids::OrganisationId;
use qrcode::{Color, EcLevel, QrCode};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::text::{escaped, grouped, moment};

/// Words in a row of the page.
const COLUMNS: usize = 4;
/// Room for the page from the beginning: a text that grows leaves copies of itself behind.
const PAGE_BYTES: usize = 8 * 1024;
/// The same for the picture: one rectangle for each dark square of a QR code of some 70 squares.
const PICTURE_BYTES: usize = 256 * 1024;
/// A4, in millimetres.
const PAPER: [u32; 2] = [210, 297];
/// Millimetres that letters are high; each of a fixed width takes some 0.6 of it.
const FONT: f32 = 3.0;
/// Letters of a line that fit the paper, with 20 mm on both sides.
const LINE: usize = 92;
/// Millimetres of a square of the QR code, and of white around it (four squares, ISO/IEC 18004).
const SQUARE: f32 = 1.0;

const ORGANISATION: &str = "Organisation:";
const SERVER: &str = "Server:";
const WORDS: &str = "Words:";

/// The page as text. What the server could have put into it is escaped.
pub(super) fn text(made: &RecoveryCreated) -> Zeroizing<String> {
    let mut page = Zeroizing::new(String::with_capacity(PAGE_BYTES));
    let (root, root_end) = made.root_fingerprint.split_at_checked(32).unwrap_or((&made.root_fingerprint, ""));
    let label = made.kit.label.as_ref().map_or_else(String::new, |label| format!(" ({})", escaped(label)));
    let said = format!(
        "PARSEC RECOVERY KIT\n\n\
         Whoever has this page can take a device in this member's name and open\n\
         their safes with it, without any password. Keep it where you would keep\n\
         a passport. If it is lost, revoke it: parsecctl recovery revoke {kit}\n\n\
         {ORGANISATION:<14}{organisation}\n\
         {SERVER:<14}{server}\n\
         Member:       {member}\n\
         Kit:          {kit}{label}, {created}\n\
         Root key:     {root}\n              {root_end}\n\n",
        kit = super::short(made.kit.device),
        organisation = escaped(&made.organisation),
        server = escaped(&made.server),
        member = escaped(&made.email),
        created = moment(made.kit.created),
        root = grouped(root),
        root_end = grouped(root_end),
    );
    page.push_str(&said);
    let words: Vec<&str> = made.words.expose().split_whitespace().collect();
    for (row, chunk) in words.chunks(COLUMNS).enumerate() {
        for (column, word) in chunk.iter().enumerate() {
            let number = row * COLUMNS + column + 1;
            // Into the page at once, which has the room for it.
            let _ = write!(page, "{number:>2}. {word:<9} ");
        }
        let kept = page.trim_end().len();
        page.truncate(kept);
        page.push('\n');
    }
    let _ = write!(
        page,
        "\nTo come back on an empty machine, with parsecd running there:\n  \
         parsecctl recovery use --server {server} \\\n    \
         --organisation {organisation} --device-label LABEL\n\
         and type the words: the first four letters of each are enough.\n\
         To try it once a year, where nothing is changed:\n  \
         parsecctl recovery drill",
        server = escaped(&made.server),
        organisation = escaped(&made.organisation),
    );
    page
}

/// The page as a picture (SVG 1.1): the text, and as a QR code what `--page` reads.
///
/// # Errors
/// The server's address is too long for a QR code.
pub(super) fn svg(made: &RecoveryCreated, text: &str) -> Result<Zeroizing<String>, Failure> {
    let mut content = Zeroizing::new(String::with_capacity(PAGE_BYTES));
    let (organisation, server) = (&made.organisation, &made.server);
    let _ = write!(
        content,
        "{ORGANISATION} {organisation}\n{SERVER} {server}\n{WORDS} {}\n",
        made.words.expose()
    );
    let code = QrCode::with_error_correction_level(content.as_bytes(), EcLevel::M).map_err(|error| {
        Failure::new(ProblemKind::TooLarge, format!("The page can't be shown as a QR code: {error}"))
    })?;
    let [width, height] = PAPER;
    let mut picture = Zeroizing::new(String::with_capacity(PICTURE_BYTES));
    let _ = write!(
        picture,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}mm\" height=\"{height}mm\" viewBox=\"0 0 {width} {height}\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n\
         <g font-family=\"monospace\" font-size=\"{FONT}\" fill=\"black\" xml:space=\"preserve\">\n"
    );
    let mut y = 20.0_f32;
    for line in text.lines().flat_map(pieces) {
        let _ = write!(picture, "<text x=\"20\" y=\"{y:.1}\">");
        for c in line.chars() {
            match c {
                '<' => picture.push_str("&lt;"),
                '>' => picture.push_str("&gt;"),
                '&' => picture.push_str("&amp;"),
                // Kept by readers that fold spaces.
                ' ' => picture.push('\u{a0}'),
                c => picture.push(c),
            }
        }
        picture.push_str("</text>\n");
        y += 5.2;
    }
    let _ = write!(
        picture,
        "</g>\n<g transform=\"translate(20 {:.1}) scale({SQUARE})\" fill=\"black\" shape-rendering=\"crispEdges\">\n",
        y + 4.0
    );
    let side = code.width();
    for (at, colour) in code.to_colors().into_iter().enumerate() {
        if colour == Color::Dark {
            let (row, column) = (at / side, at % side);
            let _ = write!(picture, "<rect x=\"{column}\" y=\"{row}\" width=\"1\" height=\"1\"/>");
        }
    }
    picture.push_str("\n</g>\n</svg>");
    Ok(picture)
}

/// A line in pieces that fit the paper: an address may be longer.
fn pieces(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let end = line.char_indices().nth(LINE).map_or(line.len(), |(at, _)| at);
        let (piece, more) = line.split_at(end);
        rest = (!more.is_empty()).then_some(more);
        Some(piece)
    })
}

/// What was read from a page.
pub(super) struct Read {
    pub(super) organisation: Option<OrganisationId>,
    pub(super) server: Option<String>,
    /// The words, or the whole text where no word has a number.
    pub(super) words: Zeroizing<String>,
}

/// Reads a page, what its QR code says, or the words alone.
pub(super) fn read(text: &str) -> Read {
    let named = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    let mut words = Zeroizing::new(String::with_capacity(text.len() + 1));
    // Lines of the page that begin with a word's number, and in them the numbers one after the
    // other: a label may have a number in it, too.
    let mut next = 1_usize;
    for line in text.lines() {
        let mut tokens = line.split_whitespace().peekable();
        while let (Some(number), Some(word)) = (tokens.next(), tokens.peek()) {
            if number.strip_suffix('.').and_then(|digits| digits.parse().ok()) != Some(next) {
                break;
            }
            words.push_str(word);
            words.push(' ');
            next += 1;
            tokens.next();
        }
    }
    if words.is_empty() {
        words.push_str(named(WORDS).unwrap_or(text));
    }
    Read {
        organisation: named(ORGANISATION).and_then(|name| name.parse().ok()),
        server: named(SERVER).map(str::to_owned),
        words,
    }
}

/// The words of a text that was typed, without the numbers of the page.
pub(super) fn words(typed: &str) -> impl Iterator<Item = &str> {
    typed.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use parsec_protocol::control::{RecoveryKit, SecretText};
    use parsec_protocol::ids::{DeviceId, Timestamp};

    use super::*;

    fn made_up() -> Vec<String> {
        (0..24).map(|n| format!("word{}", char::from(b'a' + n))).collect()
    }

    fn made() -> RecoveryCreated {
        RecoveryCreated {
            kit: RecoveryKit {
                device: DeviceId::from_bytes([7; 16]),
                label: Some("Shelf 1. <of> & 2. home".parse().unwrap()),
                created: Timestamp(1_700_000_000_000_000),
                created_by: "laptop of Alice".to_owned(),
                revoked: false,
                drilled: None,
                shared: None,
            },
            words: SecretText::new(made_up().join(" ").into()),
            organisation: "acme".parse().unwrap(),
            server: "https://parsec.example.org:8443".to_owned(),
            email: "alice@example.org".parse().unwrap(),
            root_fingerprint: "ab".repeat(32),
        }
    }

    /// What stands on the page is all that coming back takes.
    #[test]
    fn a_page_is_read_back_as_it_was_written() {
        for text in [
            text(&made()).to_string(),
            format!(
                "Organisation: acme\r\nServer: https://parsec.example.org:8443\r\nWords: {}\r\n",
                made_up().join(" ")
            ),
        ] {
            let read = read(&text);
            assert_eq!(read.organisation, Some("acme".parse().unwrap()), "{text}");
            assert_eq!(read.server.as_deref(), Some("https://parsec.example.org:8443"));
            assert_eq!(read.words.split_whitespace().collect::<Vec<_>>(), made_up());
        }
        let alone = read(&made_up().join("\n"));
        assert_eq!((alone.organisation, alone.server), (None, None));
        assert_eq!(alone.words.split_whitespace().collect::<Vec<_>>(), made_up());
    }

    /// Nothing that a server or a label says can become an element of the picture.
    #[test]
    fn a_picture_has_the_words_and_no_element_of_anybody_elses() {
        let picture = svg(&made(), &text(&made())).unwrap();
        for word in made_up() {
            assert!(picture.contains(&word), "{word}");
        }
        assert!(picture.contains("&lt;of&gt;") && !picture.contains("<of>"));
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>"));
    }

    #[test]
    fn typed_words_are_counted_with_their_numbers_left_out() {
        assert_eq!(words("").count(), 0);
        assert_eq!(words("1. abandon 2. ability\nable").collect::<Vec<_>>(), ["abandon", "ability", "able"]);
    }
}
