//! Contents of files: from an open file that a program passed into sealed objects, and back.
//!
//! Decides where objects come from and where they wait: those that are not shared yet are in the
//! store, the others at the server. Refuses to let anything through that was not verified, and to
//! keep a part of a file.

mod get;
mod open_file;
mod put;
mod room;
mod stop;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::relay::ObjectIds;
use parsec_protocol::safes::content_ref::{Content, Reference};
use zeroize::Zeroizing;

use crate::os::{blocking_in, entropy};
use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::store::{StagedObject, Store, StoreError};
use crate::transport::retry::answered;
use get::Objects;
use open_file::{FileError, OpenFile};
pub(crate) use put::Taken;
use put::{PutKeys, Stage};
use room::Room;

/// The store as the place where objects wait.
struct StoreStage<'a> {
    store: &'a Store,
    safe: SafeId,
}

impl Stage for StoreStage<'_> {
    fn stage(&mut self, objects: &[StagedObject]) -> Result<(), StoreError> {
        self.store.stage_objects(self.safe, objects)
    }

    fn forget(&mut self, objects: &[ObjectId]) -> Result<(), StoreError> {
        self.store.drop_objects(self.safe, objects)
    }
}

/// Reads an open file into sealed objects, which are durable here when this returns and named by
/// nothing yet. `expected` is its size, where its program knows it. Ends early when it is dropped.
///
/// # Errors
/// `contents_changed`, `too_large`, `disk_full`, `safe_key_missing`, those of the open file.
pub(crate) async fn take(
    session: &Session,
    safe: &OpenSafe,
    file: File,
    expected: Option<u64>,
) -> Result<Taken, Problem> {
    let (keys, present) = {
        let memory = safe.memory().await;
        // One that was founded here and is not read yet has its first key.
        let present = memory.verified.present().map_or(0, |now| now.key.epoch);
        (memory.keys.copied(), present)
    };
    let _share = room().share().await?;
    let failed = |source| FileError::Io { what: "beginning to read", source };
    let (stopper, stop) = stop::stop().map_err(failed)?;
    let (open, id) = (Arc::clone(&session.open), safe.id);
    let taken = blocking_in(&session.tasks, move || {
        let missing = "This device has not been given the safe's present key yet.";
        let missing = || Problem::new(ProblemKind::SafeKeyMissing, missing);
        let with = PutKeys { present: keys.at(present).ok_or_else(missing)?, first: keys.at(0) };
        let file = OpenFile::to_read(file.into(), stop)?;
        let mut stage = StoreStage { store: &open.store, safe: id };
        Ok::<_, Problem>(put::put(&file, expected, with, &mut stage, &mut entropy::System)?)
    })
    .await;
    drop(stopper);
    taken
}

/// Objects that wait here, and those at the server.
struct HereAndThere<'a> {
    session: &'a Session,
    safe: SafeId,
}

impl Objects for HereAndThere<'_> {
    async fn fetch(&self, wanted: &[Reference]) -> Result<Vec<Zeroizing<Vec<u8>>>, Problem> {
        let (safe, ids) = (self.safe, wanted.iter().map(|reference| reference.object));
        let all: Vec<ObjectId> = ids.clone().collect();
        let mut found: BTreeMap<ObjectId, Vec<u8>> = self
            .session
            .store(move |store| {
                let staged = all.into_iter().map(|object| store.staged_object(safe, object));
                staged.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()
            })
            .await?
            .into_iter()
            .map(|staged| (staged.object, staged.sealed))
            .collect();
        loop {
            let missing: Vec<ObjectId> = ids.clone().filter(|object| !found.contains_key(object)).collect();
            if missing.is_empty() {
                break;
            }
            let asked = ObjectIds { objects: missing.clone() };
            let came = answered(|| self.session.member.fetch_objects(safe, &asked)).await;
            let came = came.map_err(|error| {
                let text = format!("The contents are not on this device, and {error}.");
                Problem::new(ProblemKind::ContentsUnavailable, text)
            })?;
            let known = found.len();
            found.extend(came.into_iter().filter(|(object, _)| missing.contains(object)));
            // As many as one answer takes: one at least, or it would be asked for ever.
            if found.len() == known {
                let text = "The server does not have all of the contents.";
                return Err(Problem::new(ProblemKind::ContentsUnavailable, text));
            }
        }
        // Twice where two pieces are one object: a copy repeats references.
        Ok(ids.filter_map(|object| found.get(&object).cloned().map(Zeroizing::new)).collect())
    }
}

/// Writes contents to an open file, from where it is: how many bytes, all of them verified. Ends
/// early when it is dropped.
///
/// # Errors
/// `contents_unavailable`, `contents_damaged`, `safe_untrusted`, `safe_key_missing`, those of the
/// open file, the server's.
pub(crate) async fn give(
    session: &Session,
    safe: &OpenSafe,
    content: Content,
    file: File,
) -> Result<u64, Problem> {
    let keys = Arc::new(safe.memory().await.keys.copied());
    let _share = room().share().await?;
    let objects = HereAndThere { session, safe: safe.id };
    get::get(&session.tasks, &objects, keys, &content, file.into()).await
}

/// The room of this process.
fn room() -> &'static Room {
    static ROOM: std::sync::LazyLock<Room> = std::sync::LazyLock::new(Room::default);
    &ROOM
}
