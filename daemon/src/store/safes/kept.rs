//! Pieces that the server has, kept here to save the way to it.
//!
//! Decides that nothing depends on them: what is damaged or gone is fetched again, and what can't
//! be kept is not. What is kept of a safe goes when its user is in it no more. The database hears
//! of them now and then; files that it does not know are swept when the device is unlocked.

use std::collections::BTreeMap;

use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::safes::object::Hashed;
use rusqlite::{Connection, OptionalExtension as _};

use super::Standing;
use crate::store::integers::{integer, natural};
use crate::store::pieces::files::{FileName, Location, NewFile};
use crate::store::pieces::packs::laid_out;
use crate::store::pieces::{Kept, Key, State, is_to_save};
use crate::store::{Store, StoreError};

/// Bytes of new pieces that are worth a commit of their own: two pieces of a file.
const WORTH_SAVING_BYTES: u64 = 1_024 * 1_024;

/// What of some objects is on this device.
#[derive(Debug, Default)]
pub struct Here {
    /// The bytes of each that is here, as its hash says.
    pub found: BTreeMap<ObjectId, Hashed>,
    /// Whether one that waits to be shared is damaged: nobody else has it.
    pub damaged: bool,
}

/// What one safe takes on this device's disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SafeSize {
    /// Bytes of pieces that wait to be shared.
    pub waiting: u64,
    /// Bytes of pieces that are kept to save the way to the server.
    pub kept: u64,
    /// Bytes of those that don't make room for others: pinned, or in one file with what is.
    pub pinned: u64,
}

const DELETE_KEPT: &str = "DELETE FROM safe_kept WHERE safe = ?1 AND object = ?2";

/// Notes a piece in a transaction of somebody else's.
pub(super) fn put(connection: &Connection, key: Key, kept: &Kept) -> Result<(), StoreError> {
    let (safe, object) = (key.0.as_bytes(), key.1.as_bytes());
    if !connection.prepare_cached("SELECT 1 FROM safe WHERE id = ?1")?.exists([safe])? {
        return Ok(());
    }
    // Statements of one row each: one that could stop half way makes a journal of its own first,
    // and here are thousands.
    connection.prepare_cached(DELETE_KEPT)?.execute((safe, object))?;
    connection
        .prepare_cached(
            "INSERT INTO safe_kept (safe, object, hash, length, file, at, used, pinned)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute((
            safe,
            object,
            kept.hash.as_bytes(),
            integer(kept.length)?,
            kept.place.file.as_bytes(),
            kept.place.at.map(integer).transpose()?,
            integer(kept.used)?,
            kept.pinned,
        ))?;
    Ok(())
}

impl Store {
    /// The folder of a safe's files, named now where it has none. Its name is durable.
    pub(super) fn folder_of(&self, state: &mut State, safe: SafeId) -> Result<FileName, StoreError> {
        if let Some(folder) = state.folders.get(&safe) {
            return Ok(*folder);
        }
        let folder = FileName::drawn()?;
        let changed = self.inner()?.connection.execute(
            "UPDATE safe SET folder = ?2 WHERE id = ?1 AND folder IS NULL",
            (safe.as_bytes(), folder.as_bytes()),
        )?;
        if changed != 1 {
            return Err(StoreError::Damaged("a safe whose contents came is not in it"));
        }
        state.folders.insert(safe, folder);
        Ok(folder)
    }

    /// What of these objects is here: of those that wait, and of those that are kept; no more than
    /// one beyond `most` bytes.
    ///
    /// # Errors
    /// The disk's.
    pub fn pieces_here(
        &self,
        safe: SafeId,
        wanted: &[(ObjectId, ObjectHash)],
        most: usize,
    ) -> Result<Here, StoreError> {
        let mut here = Here::default();
        for (object, hash) in wanted {
            // What is more than that is nothing that anybody takes.
            if here.found.values().map(|piece| piece.bytes().len()).fold(0, usize::saturating_add) > most {
                break;
            }
            match self.staged_object(safe, *object) {
                Ok(Some(staged)) if staged.hash == *hash => {
                    here.found.insert(*object, Hashed::of(staged.sealed));
                    continue;
                }
                Ok(_) => {}
                Err(StoreError::Damaged(_) | StoreError::UnsafePath { .. }) => {
                    here.damaged = true;
                    continue;
                }
                Err(error) => return Err(error),
            }
            let (kept, folder) = {
                let mut state = self.pieces.state();
                let Some(kept) = state.index.used(&(safe, *object)).filter(|kept| kept.hash == *hash) else {
                    continue;
                };
                (kept, state.folders.get(&safe).copied())
            };
            let Some(folder) = folder else { continue };
            match self.pieces.read(folder, kept.place, kept.length, hash) {
                Ok(Some(bytes)) => drop(here.found.insert(*object, bytes)),
                found => {
                    // Damaged, gone, or not to be read: the server has it.
                    let error = found.err().map(|error| error.to_string());
                    tracing::warn!(
                        error,
                        "a piece that was kept is not what was written; it is fetched again"
                    );
                    let mut state = self.pieces.state();
                    if state.index.get(&(safe, *object)).is_some_and(|now| now.place == kept.place) {
                        self.pieces.drop_kept(&mut state, &(safe, *object));
                    }
                }
            }
        }
        Ok(here)
    }

    /// Reads a piece that is here under this very hash into room of the caller's: of those that are
    /// kept, and of those that wait. Whether there is one; whether these are its bytes, the caller
    /// finds, who opens it.
    ///
    /// # Errors
    /// The disk's; [`StoreError::Damaged`] where one that waits is not what was written.
    pub fn read_piece(
        &self,
        safe: SafeId,
        object: ObjectId,
        hash: &ObjectHash,
        into: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        let (kept, folder) = {
            let mut state = self.pieces.state();
            // Looked for in memory: what a large file has is compared piece by piece.
            let kept = state.index.used(&(safe, object)).filter(|kept| kept.hash == *hash);
            (kept, state.folders.get(&safe).copied())
        };
        if let (Some(kept), Some(folder)) = (kept, folder) {
            return self.pieces.files().read_into(folder, kept.place, kept.length, into);
        }
        // A record has just been accepted, and what it added waits to be counted as shared.
        let staged = self.staged_object(safe, object)?.filter(|staged| staged.hash == *hash);
        into.clear();
        let found = staged.map(|staged| into.extend_from_slice(&staged.sealed));
        Ok(found.is_some())
    }

    /// Keeps pieces that the server has, as far as there is room for them: what is pinned as far as
    /// the disk has any. Whether all are kept.
    ///
    /// # Errors
    /// The disk's: nothing depends on it.
    pub fn keep_pieces(
        &self,
        safe: SafeId,
        pieces: &[(ObjectId, ObjectHash, &[u8])],
    ) -> Result<bool, StoreError> {
        // Never in one file: a pack goes as a whole, or not.
        let (pinned, rest): (Vec<_>, Vec<_>) = {
            let state = self.pieces.state();
            pieces.iter().copied().partition(|(object, _, _)| state.index.is_wanted(&(safe, *object)))
        };
        let kept = self.keep_alike(safe, &pinned, true)?;
        Ok(self.keep_alike(safe, &rest, false)? && kept)
    }

    fn keep_alike(
        &self,
        safe: SafeId,
        pieces: &[(ObjectId, ObjectHash, &[u8])],
        pinned: bool,
    ) -> Result<bool, StoreError> {
        let bytes: Vec<_> = pieces.iter().map(|(_, _, bytes)| *bytes).collect();
        let mut laid = laid_out(&bytes)?;
        let mut placed: BTreeMap<FileName, Vec<_>> = BTreeMap::new();
        for ((object, hash, bytes), place) in pieces.iter().zip(laid.places) {
            let place = match place {
                Some(place) => place,
                // A small one that came with few others is a file of its own.
                None => {
                    let name = FileName::drawn()?;
                    laid.files.push(NewFile { name, pieces: vec![bytes] });
                    Location { file: name, at: None }
                }
            };
            placed.entry(place.file).or_default().push((*object, *hash, bytes.len() as u64, place));
        }
        for file in &laid.files {
            let pieces = placed.remove(&file.name).unwrap_or_default();
            if !self.keep_file(safe, file, &pieces, pinned)? {
                return Ok(false);
            }
        }
        // What is pinned is counted on where there is no server.
        if pinned && !pieces.is_empty() || is_to_save(&self.pieces.state().index) {
            self.save_pieces()?;
        }
        Ok(true)
    }

    /// Keeps the pieces of one file; whether there is room for it.
    fn keep_file(
        &self,
        safe: SafeId,
        file: &NewFile<'_>,
        pieces: &[(ObjectId, ObjectHash, u64, Location)],
        pinned: bool,
    ) -> Result<bool, StoreError> {
        let bytes = pieces.iter().map(|(_, _, length, _)| length).sum();
        let mut state = self.pieces.state();
        let room = self.is_kept_for(safe)?
            && match pinned {
                true => self.pieces.may_pin(&mut state, pieces.len(), bytes)?,
                false => self.pieces.may_keep(&mut state, pieces.len(), bytes)?,
            };
        if !room {
            return Ok(false);
        }
        let folder = self.folder_of(&mut state, safe)?;
        let written = match pinned {
            true => self.pieces.files().write_durably(folder, std::slice::from_ref(file)),
            false => self.pieces.files().write(folder, file),
        };
        if let Err(error) = written {
            if matches!(error, StoreError::DiskFull) {
                let _ = self.pieces.give_up(&mut state, bytes);
            }
            return Err(error);
        }
        // All of them first: one that comes twice takes the name of the first away.
        for (_, _, _, place) in pieces.iter().filter(|(_, _, _, place)| place.at.is_some()) {
            state.packs.named(safe, place.file);
        }
        for (object, hash, length, place) in pieces {
            self.note_kept(&mut state, (safe, *object), *hash, *length, *place);
        }
        Ok(true)
    }

    /// A piece is kept from now on, in the place of what was kept of it.
    pub(super) fn note_kept(
        &self,
        state: &mut State,
        key: Key,
        hash: ObjectHash,
        length: u64,
        place: Location,
    ) {
        if let Some(before) = state.index.insert(key, hash, length, place) {
            self.pieces.drop_files(state, key.0, &[before.place.file]);
        }
    }

    /// Free bytes of the disk that contents are on, and all of it.
    ///
    /// # Errors
    /// The disk's.
    pub fn disk_room(&self) -> Result<(u64, u64), StoreError> {
        self.pieces.files().disk()
    }

    /// Gives up so many bytes of what is kept, and some more: the disk has refused something.
    /// Whether there was anything to give up.
    pub fn give_up_pieces(&self, bytes: u64) -> bool {
        self.pieces.give_up(&mut self.pieces.state(), bytes)
    }

    /// Whether anything of a safe is kept: its user is in it.
    fn is_kept_for(&self, safe: SafeId) -> Result<bool, StoreError> {
        let inner = self.inner()?;
        let mut select = inner.connection.prepare_cached("SELECT standing FROM safe WHERE id = ?1")?;
        let standing: Option<i64> = select.query_row([safe.as_bytes()], |row| row.get(0)).optional()?;
        Ok(standing == Some(Standing::Accepted.number()))
    }

    /// The database knows what is kept, where that is worth a commit: somebody who read a large
    /// file would have to fetch it anew otherwise. What fails is tried again with the next.
    pub fn save_many_pieces(&self) {
        let (_, bytes) = self.pieces.state().index.unsaved();
        if bytes >= WORTH_SAVING_BYTES
            && let Err(error) = self.save_pieces()
        {
            tracing::info!(%error, "what was fetched is not noted");
        }
    }

    /// The database knows all that is kept. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn save_pieces(&self) -> Result<(), StoreError> {
        let mut state = self.pieces.state();
        let changed = state.index.to_save();
        if changed.is_empty() {
            return Ok(());
        }
        let mut inner = self.inner()?;
        let transaction = inner.connection.transaction()?;
        for (key, kept) in changed {
            match kept {
                Some(kept) => put(&transaction, key, &kept)?,
                None => {
                    transaction.prepare_cached(DELETE_KEPT)?.execute((key.0.as_bytes(), key.1.as_bytes()))?;
                }
            }
        }
        transaction.commit()?;
        state.index.saved();
        Ok(())
    }

    /// The objects of a safe that are kept here, by what they were when they came.
    #[must_use]
    pub fn kept_objects(&self, safe: SafeId) -> Vec<(ObjectId, ObjectHash)> {
        let state = self.pieces.state();
        let keys = state.index.of(safe).into_iter();
        keys.filter_map(|key| state.index.get(&key).map(|kept| (key.1, kept.hash))).collect()
    }

    /// What each safe takes on the disk, of those that take anything; and how much may be kept.
    ///
    /// # Errors
    /// The disk's.
    pub fn pieces_sizes(&self) -> Result<(BTreeMap<SafeId, SafeSize>, u64), StoreError> {
        let mut sizes: BTreeMap<SafeId, SafeSize> = BTreeMap::new();
        let state = self.pieces.state();
        for safe in state.folders.keys() {
            let lengths = state.index.of(*safe).into_iter().filter_map(|key| state.index.get(&key));
            let size = sizes.entry(*safe).or_default();
            size.kept = lengths.map(|kept| kept.length).sum();
            size.pinned = state.index.pinned_of(*safe);
        }
        let inner = self.inner()?;
        let mut select =
            inner.connection.prepare("SELECT safe, sum(length) FROM safe_waiting GROUP BY safe")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            sizes.entry(SafeId::from_bytes(row.get(0)?)).or_default().waiting = natural(row.get(1)?)?;
        }
        sizes.retain(|_, size| *size != SafeSize::default());
        Ok((sizes, self.pieces.limit(&state)?))
    }
}
