//! The grammar of names (docs/protocol.md, *Names*).
//!
//! Decides which text is a person's or a device's name: what people count as 1 to 64 characters,
//! in Unicode's form C. Refuses what would let one name pass for another on the greeter's screen,
//! or paint over what stands around it: other spaces, control, direction and misplaced invisible
//! characters, heaps of marks; and says which character it is, and where.

use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;
use unicode_normalization::UnicodeNormalization as _;
use unicode_segmentation::UnicodeSegmentation as _;

use super::joiners::{belongs, is_invisible};
use crate::limits::{NAME_MAX_BYTES, NAME_MAX_CHARACTERS};

/// Most text that is looked at: in another form than C, the same text takes three times the bytes
/// at most.
const TEXT_MAX_BYTES: usize = 4 * NAME_MAX_BYTES;
/// Marks that may stand on one letter (UTS #39 section 5.4): no script needs more, and the fifth
/// climbs into the line above.
const MARKS_MAX: usize = 4;

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is no character in it.
    #[error("a name has 1 to {NAME_MAX_CHARACTERS} characters; this one is empty")]
    Empty,
    /// More characters than [`NAME_MAX_CHARACTERS`].
    #[error("the name is {} too long: it may have {NAME_MAX_CHARACTERS}", counted(*over, "character"))]
    TooLong {
        /// How many too many.
        over: usize,
    },
    /// More bytes than [`NAME_MAX_BYTES`].
    #[error("the name is {} too long: it may take {NAME_MAX_BYTES} in UTF-8", counted(*over, "byte"))]
    TooManyBytes {
        /// How many too many.
        over: usize,
    },
    /// A character that may not stand there.
    #[error("a name can't have U+{:04X} there (in its character {place}): {fault}", u32::from(*character))]
    Character {
        /// The character that is refused.
        character: char,
        /// The character that it is or is part of, as people count them, from 1.
        place: usize,
        /// What is wrong with it.
        fault: NameFault,
    },
}

/// What is wrong with a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// A space at an end.
    #[error("no space at the beginning or at the end")]
    SpaceAtEnd,
    /// Two spaces in a row.
    #[error("one space at a time")]
    SpaceTwice,
    /// A space of another kind.
    #[error("the one space that a name may have is the ordinary one, U+0020")]
    OtherSpace,
    /// A control character, a line end among them.
    #[error("it is a control character")]
    Control,
    /// It turns the direction of text.
    #[error("it turns the direction of text")]
    Direction,
    /// The character shows nothing by itself.
    #[error("it shows nothing")]
    Invisible,
    /// A joiner between characters that it does not join.
    #[error("it joins or parts letters or emoji, and there are none here that it could")]
    Joiner,
    /// A selector behind a character that has no variants.
    #[error("it selects a variant of the character before it, which has none")]
    Selector,
    /// A private or unassigned character.
    #[error("Unicode gives it no meaning")]
    Meaningless,
    /// A mark on nothing.
    #[error("it is a mark that stands on no letter")]
    MarkAlone,
    /// More marks than `MARKS_MAX`.
    #[error("one character has at most {MARKS_MAX} marks")]
    MarksTooMany,
    /// The same mark twice.
    #[error("it is the same mark twice")]
    MarkTwice,
}

/// One thing or several.
fn counted(count: usize, thing: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{end}")
}

/// Reads a name in any form of Unicode, and gives form C.
pub(super) fn read(text: &str) -> Result<String, NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > TEXT_MAX_BYTES {
        return Err(NameError::TooManyBytes { over: text.len() - NAME_MAX_BYTES });
    }
    let composed: String = text.nfc().collect();
    let characters: Vec<char> = composed.chars().collect();
    let mut marks = Marks::default();
    for (at, character) in characters.iter().copied().enumerate() {
        if let Err(fault) = judge(&characters, at, &mut marks) {
            let offset = composed.char_indices().nth(at).map_or(0, |(offset, _)| offset);
            let place = composed.grapheme_indices(true).take_while(|(start, _)| *start <= offset).count();
            return Err(NameError::Character { character, place, fault });
        }
    }
    let count = composed.graphemes(true).count();
    if count > NAME_MAX_CHARACTERS {
        return Err(NameError::TooLong { over: count - NAME_MAX_CHARACTERS });
    }
    if composed.len() > NAME_MAX_BYTES {
        return Err(NameError::TooManyBytes { over: composed.len() - NAME_MAX_BYTES });
    }
    Ok(composed)
}

/// The marks before a place, back to the character that they stand on. Joiners and selectors
/// between are passed over.
#[derive(Default)]
struct Marks {
    count: usize,
    last: Option<char>,
}

impl Marks {
    fn take(&mut self, mark: char) -> Result<(), NameFault> {
        if self.last.replace(mark) == Some(mark) {
            return Err(NameFault::MarkTwice);
        }
        self.count += 1;
        if self.count > MARKS_MAX { Err(NameFault::MarksTooMany) } else { Ok(()) }
    }
}

/// Whether the character at this place may stand there.
fn judge(characters: &[char], at: usize, marks: &mut Marks) -> Result<(), NameFault> {
    let before = at.checked_sub(1).and_then(|at| characters.get(at)).copied();
    let Some(character) = characters.get(at).copied() else { return Ok(()) };
    if character.is_control() {
        return Err(NameFault::Control);
    }
    if is_invisible(character) {
        return if belongs(characters, at) { Ok(()) } else { Err(misplaced(character)) };
    }
    if character == ' ' {
        *marks = Marks::default();
        return match before {
            None => Err(NameFault::SpaceAtEnd),
            Some(' ') => Err(NameFault::SpaceTwice),
            Some(_) if at + 1 == characters.len() => Err(NameFault::SpaceAtEnd),
            Some(_) => Ok(()),
        };
    }
    if character.is_whitespace() {
        return Err(NameFault::OtherSpace);
    }
    let on_nothing = before.is_none_or(|before| before == ' ');
    match CodePointMapData::<GeneralCategory>::new().get(character) {
        GeneralCategory::Unassigned | GeneralCategory::PrivateUse | GeneralCategory::Surrogate => {
            Err(NameFault::Meaningless)
        }
        GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark | GeneralCategory::SpacingMark
            if on_nothing =>
        {
            Err(NameFault::MarkAlone)
        }
        GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark => marks.take(character),
        _ => {
            *marks = Marks::default();
            Ok(())
        }
    }
}

/// What is wrong with an invisible character that does not belong where it is.
const fn misplaced(character: char) -> NameFault {
    match character {
        '\u{200c}' | '\u{200d}' | '\u{180e}' => NameFault::Joiner,
        '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => {
            NameFault::Selector
        }
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            NameFault::Direction
        }
        _ => NameFault::Invisible,
    }
}

#[cfg(test)]
mod tests;
