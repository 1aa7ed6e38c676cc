//! Sealed pieces of contents on the disk: what waits to be shared, and what is kept to save the
//! way to the server.
//!
//! Decides how much is kept, that what was not used for the longest time goes first, and that a
//! disk is never filled to its end: what would do so is refused where it waits to be shared, and
//! not kept otherwise. What waits is never removed to make room, nor is what a person has pinned.
//! Nothing here is believed: a piece counts where its hash is the one that is asked for.

pub(super) mod files;
mod index;
pub(super) mod opening;
pub(crate) mod packs;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use parsec_protocol::ids::SafeId;
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::safes::object::Hashed;

use super::StoreError;
use super::atomic::Folder;
use files::{FileName, Files, Location};
use index::Index;
pub(super) use index::{Kept, Key};
use packs::Packs;

/// Most bytes that are kept if nobody says another number.
const KEPT_MAX_BYTES: u64 = 20 * 1024 * 1024 * 1024;
/// What part of the free disk that may be: what others need of it, they find.
const KEPT_PART_OF_FREE: u64 = 10;
/// Most pieces that are kept without being pinned: some twenty megabytes of memory for their index.
const KEPT_MAX: usize = 100_000;
/// Most pieces that pins hold: twice as much memory for their index, and half of the files that are
/// looked through at an opening.
pub(crate) const PINNED_MAX: usize = 200_000;
/// Free bytes that are left to the disk: what the database of a device, and everybody else's
/// programs, need for the next moment. On a small disk a part of it.
const FLOOR_BYTES: u64 = 64 * 1024 * 1024;
/// That part.
const FLOOR_PART_OF_DISK: u64 = 20;
/// Pieces, and bytes of new ones, of which the database need not know: so much is fetched anew
/// where a device's power is cut.
const UNSAVED_MAX: (usize, u64) = (256, 32 * 1024 * 1024);

/// What is on the disk of one device.
#[derive(Debug)]
pub(super) struct Pieces {
    files: Files,
    /// Bytes that may be kept, where somebody said so.
    limit: Option<u64>,
    state: Mutex<State>,
}

/// What is known of it. Locked before the database, where both are.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) index: Index,
    /// Files that several pieces are in, waiting ones and kept ones.
    pub(super) packs: Packs,
    /// Names of the safes' folders.
    pub(super) folders: BTreeMap<SafeId, FileName>,
    /// Bytes that may be kept by a person's word, who says it for this one device.
    pub(super) limit: Option<u64>,
}

impl Pieces {
    pub(super) fn new(device: &Folder, limit: Option<u64>) -> Result<Self, StoreError> {
        Ok(Self { files: Files::new(device)?, limit, state: Mutex::default() })
    }

    pub(super) const fn files(&self) -> &Files {
        &self.files
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // At worst a file is counted that is not there: reading it says so.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that may be kept without being pinned: by a person's word, by the daemon's option, or
    /// by the room that there is.
    pub(super) fn limit(&self, state: &State) -> Result<u64, StoreError> {
        if let Some(limit) = state.limit.or(self.limit) {
            return Ok(limit);
        }
        let (free, _) = self.files.disk()?;
        let (_, loose) = state.index.loose();
        Ok((free.saturating_add(loose) / KEPT_PART_OF_FREE).min(KEPT_MAX_BYTES))
    }

    /// What the daemon's option says.
    pub(super) const fn option(&self) -> Option<u64> {
        self.limit
    }

    /// Free bytes of the disk, and those that are left to it.
    pub(super) fn floor(&self) -> Result<(u64, u64), StoreError> {
        let (free, all) = self.files.disk()?;
        Ok((free, FLOOR_BYTES.min(all / FLOOR_PART_OF_DISK)))
    }

    /// Bytes that are missing until so many more fit, and the disk has still what it is left.
    fn missing(&self, more: u64) -> Result<u64, StoreError> {
        let (free, floor) = self.floor()?;
        Ok(more.saturating_add(floor).saturating_sub(free))
    }

    /// Makes room for so many bytes that must be kept, by what need not be.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] where that is not enough.
    pub(super) fn make_room(&self, state: &mut State, more: u64) -> Result<(), StoreError> {
        // Again and again: what goes out of a pack gives no room back while something in it waits.
        loop {
            let missing = self.missing(more)?;
            if missing == 0 {
                return Ok(());
            }
            let (_, loose) = state.index.loose();
            if loose == 0 {
                return Err(StoreError::DiskFull);
            }
            self.shrink(state, loose.saturating_sub(missing), KEPT_MAX);
        }
    }

    /// Gives up so many bytes of what need not be kept, for something that the disk refused: it may
    /// be full for this user alone, which no count of free bytes tells. Whether there was anything.
    pub(super) fn give_up(&self, state: &mut State, bytes: u64) -> bool {
        let (_, before) = state.index.loose();
        self.shrink(state, before.saturating_sub(bytes.saturating_add(FLOOR_BYTES)), KEPT_MAX);
        state.index.loose().1 < before
    }

    /// Whether so many pieces of so many bytes may be kept that need not be, after others have made
    /// room for them.
    pub(super) fn may_keep(&self, state: &mut State, pieces: usize, bytes: u64) -> Result<bool, StoreError> {
        let limit = self.limit(state)?;
        if bytes > limit || self.missing(bytes)? > 0 {
            return Ok(false);
        }
        self.shrink(state, limit.saturating_sub(bytes), KEPT_MAX.saturating_sub(pieces));
        Ok(true)
    }

    /// Whether so many pieces of so many bytes may be kept that are pinned: whatever the limit is,
    /// as far as the disk has room, which others make.
    pub(super) fn may_pin(&self, state: &mut State, pieces: usize, bytes: u64) -> Result<bool, StoreError> {
        if state.index.pinned().0.saturating_add(pieces) > PINNED_MAX {
            return Ok(false);
        }
        match self.make_room(state, bytes) {
            Ok(()) => Ok(true),
            Err(StoreError::DiskFull) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What is kept beyond the limit goes.
    pub(super) fn keep_to_limit(&self, state: &mut State) -> Result<(), StoreError> {
        let limit = self.limit(state)?;
        self.shrink(state, limit, KEPT_MAX);
        Ok(())
    }

    /// Removes what may go and was not used for the longest time, until so much of that is left.
    pub(super) fn shrink(&self, state: &mut State, bytes: u64, count: usize) {
        while state.index.loose().1 > bytes || state.index.loose().0 > count {
            let Some(oldest) = state.index.oldest() else { return };
            self.drop_kept(state, &oldest);
        }
    }

    /// Removes one piece that is kept; with it, those that are kept in the same file, which would
    /// take their room until the last of them goes.
    pub(super) fn drop_kept(&self, state: &mut State, key: &Key) {
        let Some(kept) = state.index.remove(key) else { return };
        let mut gone = vec![kept.place.file];
        if kept.place.at.is_some() {
            for other in state.index.in_file(kept.place.file) {
                gone.extend(state.index.remove(&other).map(|other| other.place.file));
            }
        }
        self.drop_files(state, key.0, &gone);
    }

    /// Pieces of a safe don't name these files any more, one name for each: removes those that
    /// nothing else names. What can't be removed is swept when the device is unlocked next.
    pub(super) fn drop_files(&self, state: &mut State, safe: SafeId, files: &[FileName]) {
        let gone: Vec<_> = files.iter().copied().filter(|file| state.packs.unnamed(safe, *file)).collect();
        if gone.is_empty() {
            return;
        }
        let Some(folder) = state.folders.get(&safe) else { return };
        if let Err(error) = self.files.remove(*folder, &gone) {
            tracing::warn!(%error, "pieces that nobody names stay on the disk for now");
        }
    }

    /// A piece out of its file, where that holds what it should.
    pub(super) fn read(
        &self,
        folder: FileName,
        place: Location,
        length: u64,
        hash: &ObjectHash,
    ) -> Result<Option<Hashed>, StoreError> {
        let found = self.files.read(folder, place, length)?.map(Hashed::of);
        Ok(found.filter(|piece| piece.hash() == hash))
    }
}

/// Whether the database should be told of what changed.
pub(super) fn is_to_save(index: &Index) -> bool {
    let (count, bytes) = index.unsaved();
    count >= UNSAVED_MAX.0 || bytes >= UNSAVED_MAX.1
}
