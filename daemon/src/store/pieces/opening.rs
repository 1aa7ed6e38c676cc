//! What is on the disk when a device is unlocked: what the database knows, and what a crash left.
//!
//! Decides that a file which no row names goes, and that a kept piece without its file is
//! forgotten. Refuses to take what waits for lost: whoever asks for it is told.

use std::collections::{BTreeMap, BTreeSet};

use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::object_hash::ObjectHash;
use rusqlite::{Connection, OptionalExtension as _};

use super::Pieces;
use super::files::{FileName, Location};
use super::index::Kept;
use crate::store::StoreError;
use crate::store::integers::natural;

/// What the database knows of files, by safe: the folder, where the pieces are that wait, those
/// that are kept.
type Known = BTreeMap<SafeId, (FileName, Vec<Location>, Vec<(ObjectId, Kept)>)>;

fn known(connection: &Connection) -> Result<Known, StoreError> {
    let mut known = Known::new();
    let mut select = connection.prepare("SELECT id, folder FROM safe WHERE folder IS NOT NULL")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let folder = FileName::from_bytes(row.get(1)?);
        known.insert(SafeId::from_bytes(row.get(0)?), (folder, Vec::new(), Vec::new()));
    }
    let mut select = connection.prepare("SELECT safe, file, at FROM safe_waiting WHERE file IS NOT NULL")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        if let Some((_, waiting, _)) = known.get_mut(&SafeId::from_bytes(row.get(0)?)) {
            waiting.push(place(row.get(1)?, row.get(2)?)?);
        }
    }
    let mut select = connection
        .prepare("SELECT safe, object, hash, length, file, at, used, pinned FROM safe_kept ORDER BY used")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        if let Some((_, _, all)) = known.get_mut(&SafeId::from_bytes(row.get(0)?)) {
            let kept = Kept {
                hash: ObjectHash::from_bytes(row.get(2)?),
                length: natural(row.get(3)?)?,
                place: place(row.get(4)?, row.get(5)?)?,
                used: natural(row.get(6)?)?,
                pinned: row.get(7)?,
            };
            all.push((ObjectId::from_bytes(row.get(1)?), kept));
        }
    }
    Ok(known)
}

/// How much may be kept by a person's word.
fn limit(connection: &Connection) -> Result<Option<u64>, StoreError> {
    let limit = connection.query_row("SELECT bytes FROM kept_limit", [], |row| row.get(0)).optional()?;
    limit.map(natural).transpose()
}

/// A place, as it stands in the database.
pub(in crate::store) fn place(file: [u8; 16], at: Option<i64>) -> Result<Location, StoreError> {
    Ok(Location { file: FileName::from_bytes(file), at: at.map(natural).transpose()? })
}

/// Reads what the database knows of pieces, and removes the files that it does not know: what a
/// crash left. A disk that does not let them go keeps nobody from their device.
///
/// # Errors
/// The database's.
pub(in crate::store) fn look_through(connection: &Connection, pieces: &Pieces) -> Result<(), StoreError> {
    let known = known(connection)?;
    let mut state = pieces.state();
    state.limit = limit(connection)?;
    let folders: BTreeSet<String> = known.values().map(|(folder, _, _)| folder.to_string()).collect();
    if let Err(error) = pieces.files().sweep_folders(&folders) {
        tracing::warn!(%error, "folders that no safe has could not be removed");
    }
    for (safe, (folder, waiting, kept)) in known {
        state.folders.insert(safe, folder);
        let mut named: BTreeSet<_> = waiting.iter().map(|place| place.file).collect();
        named.extend(kept.iter().map(|(_, kept)| kept.place.file));
        let there = pieces.files().sweep(folder, &named).unwrap_or_else(|error| {
            tracing::warn!(%error, "the pieces of a safe could not be looked through");
            named
        });
        let mut places = waiting;
        for (object, kept) in kept {
            state.index.restore((safe, object), kept);
            if there.contains(&kept.place.file) {
                places.push(kept.place);
            } else {
                state.index.remove(&(safe, object));
            }
        }
        for place in places.into_iter().filter(|place| place.at.is_some()) {
            state.packs.named(safe, place.file);
        }
    }
    Ok(())
}
