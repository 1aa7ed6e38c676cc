//! The name of what can't have the one it wants: `report (laptop, 2026-03-14 10.30).txt`.
//!
//! Decides how such a name is made and that it always fits. It is no part of the format: nobody
//! reads anything out of it.

use crate::ids::EntryId;
use crate::safes::name::{ENTRY_NAME_MAX_BYTES, EntryName};
use crate::safes::tree::Tree;

/// Most bytes of a label: enough to know the device, and no matter what is left to the name itself.
const LABEL_BYTES: usize = 64;
/// Most bytes of a date and time.
const MOMENT_BYTES: usize = 32;
/// Longest extension that is kept whole; what is longer is no extension that a program knows.
const EXTENSION_BYTES: usize = 32;

/// A free name in a live folder, made of the one that was wished for.
#[must_use]
pub fn conflict_name(
    tree: &dyn Tree,
    folder: EntryId,
    wished: &EntryName,
    label: &str,
    moment: &str,
) -> EntryName {
    let (stem, extension) = split(wished.as_bytes());
    let label = plain(label, LABEL_BYTES);
    let moment = plain(moment, MOMENT_BYTES);
    let mut number: u64 = 1;
    loop {
        let again = if number == 1 { String::new() } else { format!(", {number}") };
        let mut tail = format!(" ({label}, {moment}{again})").into_bytes();
        tail.extend_from_slice(extension);
        let room = ENTRY_NAME_MAX_BYTES.saturating_sub(tail.len());
        let mut name = cut(stem, room).to_vec();
        name.append(&mut tail);
        if let Ok(name) = EntryName::new(&name)
            && tree.child(folder, &name).is_none()
        {
            return name;
        }
        number += 1;
    }
}

/// A name before its last dot, and from it on. One that begins with its only dot has no extension.
fn split(name: &[u8]) -> (&[u8], &[u8]) {
    let dot = name.iter().rposition(|byte| *byte == b'.').unwrap_or(0);
    match name.split_at_checked(dot) {
        Some((stem, extension)) if dot > 0 && extension.len() <= EXTENSION_BYTES + 1 => (stem, extension),
        Some(_) | None => (name, &[]),
    }
}

/// A text as it can stand in a name, cut to so many bytes.
fn plain(text: &str, most: usize) -> String {
    let kept = cut(text.as_bytes(), most);
    String::from_utf8_lossy(kept).replace(['/', '\0'], "-")
}

/// The beginning of `bytes`, not ending in the middle of a character.
fn cut(bytes: &[u8], most: usize) -> &[u8] {
    let inside = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
    let mut end = most.min(bytes.len());
    while end > 0 && inside(end) {
        end -= 1;
    }
    bytes.get(..end).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SafeId;
    use crate::safes::state::State;

    fn made(wished: &[u8], label: &str) -> Vec<u8> {
        let state = State::new(SafeId::from_bytes([1; 16]));
        let wished = EntryName::new(wished).unwrap();
        conflict_name(&state, state.root(), &wished, label, "14.03").as_bytes().to_vec()
    }

    #[test]
    fn a_conflict_name_keeps_what_programs_look_at() {
        for (wished, name) in [
            ("report.txt", "report (laptop, 14.03).txt"),
            ("report", "report (laptop, 14.03)"),
            (".profile", ".profile (laptop, 14.03)"),
            (".a.b", ".a (laptop, 14.03).b"),
            ("a.", "a (laptop, 14.03)."),
        ] {
            assert_eq!(made(wished.as_bytes(), "laptop"), name.as_bytes(), "{wished}");
        }
        assert_eq!(made(b"a", "x/y\0z"), b"a (x-y-z, 14.03)");
        let long = format!("a.{}", "e".repeat(33));
        assert_eq!(made(long.as_bytes(), "l"), format!("{long} (l, 14.03)").as_bytes());
    }

    #[test]
    fn a_conflict_name_always_fits_and_cuts_no_character() {
        for wished in ["ä".repeat(127), format!("x{}", "€".repeat(84)), format!("{}.docx", "😀".repeat(62))]
        {
            for label in ["l".to_owned(), "ü".repeat(200), "😀".repeat(128)] {
                let name = made(wished.as_bytes(), &label);
                assert!(name.len() <= 255, "{}", name.len());
                assert!(String::from_utf8(name).is_ok(), "{wished} {label}");
            }
        }
        assert!(made(&[0xff; 255], "l").len() <= 255, "bytes that are no text have no borders");
        assert!(made(&[0x80; 255], "l").len() <= 255, "nor do these");
    }
}
