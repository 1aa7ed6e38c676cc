//! Characters that show nothing by themselves, and where they belong all the same
//! (docs/protocol.md, *Names*).
//!
//! Decides, for a joiner, a selector or a tag, whether it stands where Unicode gives it a meaning:
//! between letters that join, behind a virama, inside an emoji, behind an ideograph. Refuses it
//! everywhere else, where it would only make one text look like another.

use icu_properties::props::{
    CanonicalCombiningClass, ExtendedPictographic, GeneralCategory, GeneralCategoryGroup, JoiningType,
    UnifiedIdeograph,
};
use icu_properties::{CodePointMapData, CodePointSetData};

/// Characters that show nothing or turn the direction of text: `Default_Ignorable_Code_Point`, line
/// and paragraph separators, the blank Braille pattern, interlinear annotation, controls of
/// hieroglyphs. Two texts that differ only in these look the same.
pub const INVISIBLE: &[std::ops::RangeInclusive<char>] = &[
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{200b}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{2800}'..='\u{2800}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fffb}',
    '\u{13430}'..='\u{1343f}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0000}'..='\u{e0fff}',
];

/// The flags that are written with tags: England, Scotland, Wales. A tag is a letter that shows
/// nothing, 0xE0000 above its own.
const FLAGS: [&str; 3] = ["gbeng", "gbsct", "gbwls"];
/// The black flag that tags make another of.
const BLACK_FLAG: char = '\u{1f3f4}';
/// Ends the tags.
const CANCEL_TAG: char = '\u{e007f}';

/// Whether a character shows nothing, or turns the direction of what stands beside it.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    INVISIBLE.iter().any(|range| range.contains(&c))
}

/// Whether the invisible character at this place of a text has a meaning there. `false` for every
/// other character.
#[must_use]
pub fn belongs(text: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|at| text.get(at)).copied();
    let after = |count: usize| at.checked_add(count).and_then(|at| text.get(at)).copied();
    match text.get(at) {
        Some('\u{200c}') => {
            let halved = before.is_some_and(is_virama) && after(1).is_some_and(is_letter);
            halved || parts_cursive(text, at)
        }
        Some('\u{200d}') => {
            let touching = before.is_some_and(is_letter)
                && after(1).is_some_and(is_virama)
                && after(2).is_some_and(is_letter);
            before.is_some_and(is_virama) || touching || joins_emoji(text, at)
        }
        Some('\u{fe0e}') => before.is_some_and(is_pictograph),
        Some('\u{fe0f}') => {
            let key = before.is_some_and(|c| matches!(c, '0'..='9' | '#' | '*'));
            (key && after(1) == Some('\u{20e3}')) || before.is_some_and(is_pictograph)
        }
        Some('\u{fe00}'..='\u{fe02}' | '\u{e0100}'..='\u{e01ef}') => before.is_some_and(is_ideograph),
        Some('\u{180b}'..='\u{180d}' | '\u{180f}') => before.is_some_and(is_mongolian),
        Some('\u{180e}') => {
            before.is_some_and(is_mongolian) && matches!(after(1), Some('\u{1820}' | '\u{1821}'))
        }
        Some('\u{e0020}'..='\u{e007f}') => is_in_flag(text, at),
        Some(_) | None => false,
    }
}

/// The rule of RFC 5892, appendix A.1, for U+200C: letters on both sides that would join each other
/// without it.
fn parts_cursive(text: &[char], at: usize) -> bool {
    let joining = CodePointMapData::<JoiningType>::new();
    let kind = |c: &char| Some(joining.get(*c)).filter(|kind| *kind != JoiningType::Transparent);
    let (left, right) = text.split_at_checked(at).unwrap_or_default();
    let left = left.iter().rev().find_map(kind);
    let right = right.iter().skip(1).find_map(kind);
    matches!(left, Some(JoiningType::LeftJoining | JoiningType::DualJoining))
        && matches!(right, Some(JoiningType::RightJoining | JoiningType::DualJoining))
}

/// Whether pictographs stand on both sides of U+200D, the one before it with a skin or a selector
/// at most.
fn joins_emoji(text: &[char], at: usize) -> bool {
    let (left, right) = text.split_at_checked(at).unwrap_or_default();
    let left = match left.split_last() {
        Some(('\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}', rest)) => rest,
        Some(_) | None => left,
    };
    left.last().copied().is_some_and(is_pictograph) && right.get(1).copied().is_some_and(is_pictograph)
}

/// Whether a tag is one of those that make a flag of the black one.
fn is_in_flag(text: &[char], at: usize) -> bool {
    FLAGS.iter().any(|letters| {
        let tags = letters.bytes().filter_map(|letter| char::from_u32(0xe_0000 + u32::from(letter)));
        let whole: Vec<char> = [BLACK_FLAG].into_iter().chain(tags).chain([CANCEL_TAG]).collect();
        let is_at = |start: usize| text.get(start..).is_some_and(|rest| rest.starts_with(&whole));
        (1..whole.len()).any(|back| at.checked_sub(back).is_some_and(is_at))
    })
}

/// What takes a letter's own vowel away and ties it to the next letter, by its class.
fn is_virama(c: char) -> bool {
    CodePointMapData::<CanonicalCombiningClass>::new().get(c) == CanonicalCombiningClass::Virama
}

fn is_letter(c: char) -> bool {
    GeneralCategoryGroup::Letter.contains(CodePointMapData::<GeneralCategory>::new().get(c))
}

fn is_pictograph(c: char) -> bool {
    CodePointSetData::new::<ExtendedPictographic>().contains(c)
}

fn is_ideograph(c: char) -> bool {
    CodePointSetData::new::<UnifiedIdeograph>().contains(c)
}

const fn is_mongolian(c: char) -> bool {
    matches!(c, '\u{1820}'..='\u{1878}' | '\u{1880}'..='\u{18aa}')
}

#[cfg(test)]
mod tests {
    use icu_properties::props::DefaultIgnorableCodePoint;

    use super::*;

    #[test]
    fn the_list_has_everything_that_unicode_ignores_by_default() {
        let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
        for c in '\0'..=char::MAX {
            assert!(!ignorable.contains(c) || is_invisible(c), "U+{:04X}", u32::from(c));
        }
    }

    #[test]
    fn the_document_has_the_same_list() {
        let text = include_str!("../../../docs/protocol.md");
        let (_, list) = text.split_once("*Invisible* are ").unwrap();
        let (list, _) = list.split_once('.').unwrap();
        let words = list.split([' ', '\n', ',']).filter_map(|word| word.strip_prefix("U+"));
        let number = |hex: &str| char::from_u32(u32::from_str_radix(hex, 16).unwrap()).unwrap();
        let ranges: Vec<_> = words
            .map(|word| word.split_once('–').unwrap_or((word, word)))
            .map(|(from, to)| number(from)..=number(to))
            .collect();
        assert_eq!(ranges, INVISIBLE);
    }

    #[test]
    fn nothing_visible_is_said_to_belong() {
        let text: Vec<char> = "क्ष👩x".chars().collect();
        assert!((0..=text.len()).all(|at| !belongs(&text, at)));
    }
}
