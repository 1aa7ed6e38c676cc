//! Fuzzing: inputs that nobody meant, for everything that reads something from outside
//! (docs/assurance/fuzzing.md).
//!
//! Decides what is fed and what must hold whatever is fed: a target panics if it doesn't. Refuses
//! nothing: whatever a target is given, it takes.

pub mod mutator;
mod safes;
mod seeds;
mod sequence;
mod targets;

use std::path::PathBuf;

pub use seeds::write as write_corpus;
pub use targets::{PLANTED, TARGETS, Target};

/// Where a target's corpus is kept.
#[must_use]
pub fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(target)
}

/// A target's corpus, in the order of the files' names.
///
/// # Panics
/// If it can't be read, or there is none.
#[must_use]
pub fn corpus(target: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{target} has no corpus");
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// The target of a name; the planted ones, too.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().chain(PLANTED).find(|target| target.name == name)
}
