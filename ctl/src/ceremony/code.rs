//! Reading a person's answer to "which code do you hear?".
//!
//! Decides what counts as an answer. Refuses Enter alone, numbers that aren't offered, and anything
//! that would have to be guessed at: each gets a sentence and the question again. A wrong guess
//! costs the attempt, a question nothing.

use parsec_protocol::control::Choice;

/// Characters of a code, as said aloud; I, O, 0 and 1 are left out because they are misheard and
/// misread.
const ALPHABET: [(char, &str); 32] = [
    ('A', "Alfa"),
    ('B', "Bravo"),
    ('C', "Charlie"),
    ('D', "Delta"),
    ('E', "Echo"),
    ('F', "Foxtrot"),
    ('G', "Golf"),
    ('H', "Hotel"),
    ('J', "Juliett"),
    ('K', "Kilo"),
    ('L', "Lima"),
    ('M', "Mike"),
    ('N', "November"),
    ('P', "Papa"),
    ('Q', "Quebec"),
    ('R', "Romeo"),
    ('S', "Sierra"),
    ('T', "Tango"),
    ('U', "Uniform"),
    ('V', "Victor"),
    ('W', "Whiskey"),
    ('X', "X-ray"),
    ('Y', "Yankee"),
    ('Z', "Zulu"),
    ('2', "Two"),
    ('3', "Three"),
    ('4', "Four"),
    ('5', "Five"),
    ('6', "Six"),
    ('7', "Seven"),
    ('8', "Eight"),
    ('9', "Nine"),
];
/// Characters in a code.
const CODE_CHARS: usize = 4;

/// What a person's line means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// One of the proposals, by its number.
    Picked(String),
    /// A code, letter by letter.
    Typed(String),
    /// None of the proposals.
    NoneOfThese,
    /// No answer: why, and ask again.
    Again(String),
}

/// Reads one line. Without `choices`, only a typed code is an answer.
pub(super) fn read(line: &str, choices: &[Choice]) -> Answer {
    let line = line.trim();
    if line.is_empty() {
        return Answer::Again("Enter alone chooses nothing.".to_owned());
    }
    if choices.is_empty() {
        return typed(line).map_or_else(
            || {
                Answer::Again(
                    "A code has four characters: letters without I and O, digits without 0 and 1.".to_owned(),
                )
            },
            Answer::Typed,
        );
    }
    if line.eq_ignore_ascii_case("n") || line.eq_ignore_ascii_case("none") {
        return Answer::NoneOfThese;
    }
    if line.len() < CODE_CHARS
        && line.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(number) = line.parse::<usize>()
    {
        return match number.checked_sub(1).and_then(|index| choices.get(index)) {
            Some(choice) => Answer::Picked(choice.code.clone()),
            None => Answer::Again(format!("There is no number {line} here.")),
        };
    }
    match typed(line) {
        Some(code) if choices.iter().any(|choice| choice.code == code) => Answer::Typed(code),
        Some(code) => Answer::Again(format!(
            "{code} is not among them. Have it said once more; if it really is none of these, answer n."
        )),
        None => Answer::Again("That is neither a number of the list nor a code.".to_owned()),
    }
}

/// A well-formed code in capital letters.
fn typed(line: &str) -> Option<String> {
    let code = line.to_ascii_uppercase();
    let known = |c: char| ALPHABET.iter().any(|(letter, _)| *letter == c);
    (code.chars().count() == CODE_CHARS && code.chars().all(known)).then_some(code)
}

/// A code in words, to read it aloud; `plain`: each with its character, "K for Kilo, 7 for Seven",
/// for who can't see it.
pub(crate) fn spelled(code: &str, plain: bool) -> String {
    let word = |c: char| ALPHABET.iter().find(|(letter, _)| *letter == c).map_or("?", |(_, word)| word);
    if plain {
        return code.chars().map(|c| format!("{c} for {}", word(c))).collect::<Vec<_>>().join(", ");
    }
    code.chars().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn four() -> Vec<Choice> {
        ["K7EM", "KAB2", "K9XY", "KQ34"]
            .into_iter()
            .map(|code| Choice { code: code.into(), spelled: spelled(code, false) })
            .collect()
    }

    fn asks_again(line: &str, choices: &[Choice]) -> bool {
        matches!(read(line, choices), Answer::Again(_))
    }

    #[test]
    fn enter_alone_never_accepts() {
        for empty in ["", " ", "\t", "   \r"] {
            assert!(asks_again(empty, &four()));
            assert!(asks_again(empty, &[]));
        }
    }

    #[test]
    fn a_number_picks_what_stands_beside_it() {
        for (line, code) in [("1", "K7EM"), (" 2 ", "KAB2"), ("3", "K9XY"), ("4", "KQ34")] {
            assert_eq!(read(line, &four()), Answer::Picked(code.into()));
        }
    }

    #[test]
    fn none_is_one_key() {
        for line in ["n", "N", "none", "NONE", " n "] {
            assert_eq!(read(line, &four()), Answer::NoneOfThese);
        }
    }

    #[test]
    fn nothing_is_guessed_at() {
        for line in [
            "0", "5", "12", "-1", "+1", "1.", "y", "yes", "K7E", "K7EMM", "K7EO", "K7E0", "1 2", "no", "ja",
            "\u{fffd}",
        ] {
            assert!(asks_again(line, &four()), "{line}");
        }
    }

    #[test]
    fn a_typed_code_must_be_among_those_shown() {
        assert_eq!(read("k7em", &four()), Answer::Typed("K7EM".into()));
        assert!(asks_again("K7EN", &four()));
        assert!(asks_again("2345", &four()), "four digits are a code, not a number");
    }

    #[test]
    fn where_codes_must_be_typed_numbers_and_none_are_no_answers() {
        assert_eq!(read(" k7em ", &[]), Answer::Typed("K7EM".into()));
        for line in ["1", "n", "none", "K7E", "K0EM", "KIEM"] {
            // "none" has four letters, but O is in no code.
            assert!(asks_again(line, &[]), "{line}");
        }
    }

    #[test]
    fn every_character_sounds_different() {
        let mut words: Vec<&str> = ALPHABET.iter().map(|(_, word)| *word).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), 32);
        assert_eq!(spelled("K7EM", false), "Kilo Seven Echo Mike");
        assert_eq!(spelled("K7EM", true), "K for Kilo, 7 for Seven, E for Echo, M for Mike");
    }
}
