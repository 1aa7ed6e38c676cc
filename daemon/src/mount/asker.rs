//! Who reads a file: a program that looks into every file by itself, or any other.
//!
//! Decides for whom nothing is fetched that is not on this device: indexers, and programs that make
//! thumbnails, by their names. One such program would else bring the whole safe here, piece by
//! piece, without anybody having asked for it. What is here already they get as every program does.
//! File managers are never among them: people copy files by them. It is no defence against a
//! program that means harm, which calls itself what it likes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::contents::random::Source;

/// Bytes of a name that the kernel keeps of a program (`comm`): longer ones are cut off there.
const COMM_BYTES: usize = 15;
/// Names of such programs; a star stands for anything. Docs/mount.md has the same list.
const NAMES: [&str; 12] = [
    "baloo_file*",
    "tracker-extract*",
    "tracker-miner-*",
    "localsearch-*",
    "*thumbnailer*",
    "*-thumbnail",
    "glycin-*",
    "tumblerd",
    "updatedb*",
    "recollindex",
    "nepomuk*",
    "zeitgeist-*",
];

/// Who asks for bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// A program, by the number of its thread, as the kernel says it.
    Program(u32),
    /// This daemon's own work, for whoever has written to the file.
    Ourselves,
}

impl Asker {
    /// Where what it reads may come from. A program that can't be seen, because it is in a process
    /// namespace beside ours or has ended, is one like any other.
    pub(super) fn may_have(self) -> Source {
        let Self::Program(thread) = self else { return Source::Anywhere };
        let folder = Path::new("/proc").join(thread.to_string());
        // Both are the kernel's own words: the program's memory might wait for us.
        let program = std::fs::read_link(folder.join("exe")).ok();
        let program = program.as_deref().and_then(Path::file_name).map(OsStr::as_bytes);
        let called = std::fs::read(folder.join("comm")).unwrap_or_default();
        let called = called.strip_suffix(b"\n").unwrap_or(&called);
        if looks_into_all(program.unwrap_or_default(), called) { Source::Here } else { Source::Anywhere }
    }
}

/// Whether a program is known for it, by its file's name, or by what the kernel calls it: of a
/// script that is the script's name.
fn looks_into_all(program: &[u8], called: &[u8]) -> bool {
    let is_one = |name: &&str| fits(name.as_bytes(), program) || fits_cut(name.as_bytes(), called);
    NAMES.iter().any(is_one)
}

/// Whether a name is as a pattern says, with one star at each end at most.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (before, pattern) = pattern.strip_prefix(b"*").map_or((false, pattern), |rest| (true, rest));
    let (behind, word) = pattern.strip_suffix(b"*").map_or((false, pattern), |rest| (true, rest));
    match (before, behind) {
        (false, false) => name == word,
        (false, true) => name.starts_with(word),
        (true, false) => name.ends_with(word),
        (true, true) => name.windows(word.len()).any(|part| part == word),
    }
}

/// The same where the end of the name may be missing.
fn fits_cut(pattern: &[u8], name: &[u8]) -> bool {
    let cut = pattern.get(..COMM_BYTES).unwrap_or(pattern);
    fits(pattern, name) || (name.len() == COMM_BYTES && !pattern.starts_with(b"*") && name == cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_look_into_every_file_are_known_by_name_and_others_are_not() {
        for name in [
            "baloo_file",
            "baloo_file_extractor",
            "tracker-extract-3",
            "localsearch-extractor-3",
            "evince-thumbnailer",
            "ffmpegthumbnailer",
            "glycin-image-rs",
            "tumblerd",
            "updatedb.plocate",
            "gsf-office-thumbnailer",
        ] {
            assert!(looks_into_all(name.as_bytes(), b"x"), "{name}");
        }
        // A script is its interpreter to the kernel, and long names are cut off.
        assert!(looks_into_all(b"python3.11", b"baloo_file_extr"));
        assert!(looks_into_all(b"python3.11", b"tracker-extract"));
        for name in ["nautilus", "dolphin", "kioworker", "nemo", "caja", "thunar", "pcmanfm", "cat", ""] {
            assert!(!looks_into_all(name.as_bytes(), name.as_bytes()), "{name}");
        }
        assert_eq!(Asker::Program(std::process::id()).may_have(), Source::Anywhere);
        assert_eq!(Asker::Program(0).may_have(), Source::Anywhere);
        assert_eq!(Asker::Ourselves.may_have(), Source::Anywhere);
    }

    #[test]
    fn a_star_stands_for_anything() {
        assert!(fits(b"a*", b"ab") && fits(b"*b", b"ab") && fits(b"*a*", b"bab") && fits(b"ab", b"ab"));
        assert!(!fits(b"a*", b"ba") && !fits(b"*b", b"ba") && !fits(b"ab", b"abc") && !fits(b"*x*", b""));
    }
}
