//! How much of a safe's files is on this device.
//!
//! Decides that a file is here where every piece of it and every page that names one is, kept or
//! waiting to be shared. Believes what is noted of pieces: whoever reads one compares it.

use parsec_protocol::control::FileHere;
use parsec_protocol::ids::{EntryId, ObjectId, Timestamp};
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::safes::content_ref::Content;
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::tree::Tree;

use std::collections::BTreeMap;

use crate::contents::parts::{Part, each};
use crate::session::open_safes::OpenSafe;
use crate::store::{Store, StoreError};

/// Pieces that are looked for at once: under one lock, for less than anybody notices.
pub(super) const LOOKED_AT_ONCE: usize = 4_096;

/// How much of a content is here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Measure {
    /// Bytes of the file.
    pub(crate) all: u64,
    /// Those that are here; holes are.
    pub(crate) here: u64,
    /// Objects that are not.
    pub(crate) missing: u64,
}

impl Measure {
    /// In words.
    pub(crate) const fn word(&self) -> FileHere {
        match (self.missing, self.here) {
            (0, _) => FileHere::Yes,
            (_, 0) => FileHere::No,
            _ => FileHere::Partly,
        }
    }

    /// With another one.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self {
            all: self.all.saturating_add(other.all),
            here: self.here.saturating_add(other.here),
            missing: self.missing.saturating_add(other.missing),
        }
    }
}

/// What is looked for: of which content it is, how many of its bytes, and the object.
type Wanted = (usize, u64, (ObjectId, ObjectHash));

/// How much of each content is here.
///
/// # Errors
/// The store's.
pub(crate) fn measured(
    store: &Store,
    safe: &OpenSafe,
    keys: &SafeKeys,
    contents: &[Content],
) -> Result<Vec<Measure>, StoreError> {
    let mut found = vec![Measure::default(); contents.len()];
    let mut wanted: Vec<Wanted> = Vec::new();
    let look = |wanted: &mut Vec<Wanted>, found: &mut Vec<Measure>| {
        let objects: Vec<_> = wanted.iter().map(|(_, _, object)| *object).collect();
        let here = store.are_here(safe.id, &objects)?;
        for ((at, bytes, _), here) in wanted.drain(..).zip(here) {
            let Some(measure) = found.get_mut(at) else { continue };
            let one = match here {
                true => Measure { here: bytes, ..Measure::default() },
                false => Measure { missing: 1, ..Measure::default() },
            };
            *measure = measure.and(one);
        }
        Ok::<_, StoreError>(())
    };
    for (at, content) in contents.iter().enumerate() {
        if let Some(measure) = found.get_mut(at) {
            measure.all = content.size;
        }
        each((store, safe, keys), content, &mut |part| {
            let one = match part {
                Part::Hole(bytes) => Measure { here: bytes, ..Measure::default() },
                Part::Unknown(_) => Measure { missing: 1, ..Measure::default() },
                Part::Piece(reference, bytes, _) => {
                    wanted.push((at, bytes, (reference.object, reference.blake3)));
                    Measure::default()
                }
                Part::Page(reference) => {
                    wanted.push((at, 0, (reference.object, reference.blake3)));
                    Measure::default()
                }
            };
            if let Some(measure) = found.get_mut(at) {
                *measure = measure.and(one);
            }
            if wanted.len() >= LOOKED_AT_ONCE { look(&mut wanted, &mut found) } else { Ok(()) }
        })?;
    }
    look(&mut wanted, &mut found)?;
    Ok(found)
}

/// Contents of the live files that an entry is, or has in it.
pub(crate) fn contents_of(tree: &dyn Tree, top: EntryId) -> Vec<Content> {
    if !tree.is_live(top) {
        return Vec::new();
    }
    let mut all = if tree.is_folder(top) { tree.below(top) } else { vec![top] };
    all.sort_unstable();
    all.iter().filter_map(|id| tree.entry(*id)?.content().cloned()).collect()
}

/// Whether a pin covers a live entry: its own, or that of a folder above.
pub(crate) fn is_pinned(tree: &dyn Tree, pins: &BTreeMap<EntryId, Timestamp>, entry: EntryId) -> bool {
    !pins.is_empty() && pins.keys().any(|pin| tree.is_under(entry, *pin))
}

/// Contents of all files that pins cover, each file once.
pub(crate) fn pinned_contents(tree: &dyn Tree, pins: &BTreeMap<EntryId, Timestamp>) -> Vec<Content> {
    let above = |pin: EntryId| tree.entry(pin).and_then(|entry| entry.parent);
    let outermost = pins.keys().filter(|pin| !above(**pin).is_some_and(|above| is_pinned(tree, pins, above)));
    outermost.flat_map(|pin| contents_of(tree, *pin)).collect()
}
