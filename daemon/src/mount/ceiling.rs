//! How much of what is being written may be in memory, at the very most.
//!
//! Decides that whoever would write above that makes room first, with any file of the mount, and
//! refuses what there is no room for then. Gives back what a file held that has no name any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parsec_protocol::ids::{ObjectId, SafeId};

use super::draft::Draft;
use super::fail::Fail;
use super::file::{OpenFile, Written};
use super::serve::Mount;
use crate::session::Session;

/// Bytes in the clear above which nothing more is taken, where sealing made no room: a program must
/// not fill the memory with notes or holes, or beside a disk that is full.
const PLAIN_CEILING_BYTES: usize = 128 * 1_024 * 1_024;
/// Objects that a draft has made and names no more, before they are dropped: 8 MiB of the disk, for
/// which one transaction is not too much.
const SPARE_MAX: usize = 16;

impl Mount {
    /// Makes room for so many bytes more, where there is none. The caller holds a draft, of which
    /// the chunk `but` stays.
    ///
    /// # Errors
    /// [`Fail::NoSpace`]: nothing was written.
    pub(super) async fn make_room(&self, written: &mut Written, but: u64, more: usize) -> Result<(), Fail> {
        if !self.is_full(more) {
            return Ok(());
        }
        self.spill(written, but).await?;
        let names = self.names.lock().await;
        let numbers = names.inodes.numbers().into_iter();
        let files: Vec<Arc<OpenFile>> =
            numbers.filter_map(|ino| names.inodes.get(ino)?.file.clone()).collect();
        drop(names);
        for file in files {
            // Never waits: whoever holds it may wait for what the caller holds.
            if let Ok(mut other) = file.written.try_lock() {
                self.spill(&mut other, u64::MAX).await?;
            }
        }
        if self.is_full(more) { Err(Fail::NoSpace) } else { Ok(()) }
    }

    /// Whether so many bytes more would be above what all drafts may hold.
    fn is_full(&self, more: usize) -> bool {
        self.plain.load(Ordering::Relaxed).saturating_add(more) > PLAIN_CEILING_BYTES
    }

    /// Nobody has a file open any more: what was sealed to make room for it is dropped.
    pub(super) async fn closed(&self, file: &OpenFile) {
        let mut written = file.written.lock().await;
        let objects = self.emptied(&mut written);
        drop(written);
        if !objects.is_empty() {
            self.forget_objects(objects).await;
        }
    }

    /// What was sealed and written over since takes no room for as long as the file is open.
    pub(super) async fn drop_spare(&self, written: &mut Written) {
        if written.draft.spares() >= SPARE_MAX {
            self.forget_objects(written.draft.take_spare()).await;
        }
    }

    /// Empties a draft; the objects that were sealed for it, which nothing names from now on.
    fn emptied(&self, written: &mut Written) -> Vec<ObjectId> {
        let mut objects = written.draft.take_spare();
        objects.extend(written.draft.sealed_objects().iter().map(|found| found.object));
        written.draft = Draft::default();
        self.counted(written);
        objects
    }

    /// As `closed`, for whoever holds the names and must not wait. A file that is still worked on
    /// keeps what it holds until the device is locked.
    pub(super) fn given_back(&self, file: &OpenFile) {
        let Ok(mut written) = file.written.try_lock() else { return };
        let objects = self.emptied(&mut written);
        written.dirty = false;
        if objects.is_empty() {
            return;
        }
        let (session, id) = (Arc::clone(&self.session), self.safe.id);
        self.session.run(async move { forgotten(&session, id, objects).await });
    }
}

/// Drops objects that nothing names.
pub(super) async fn forgotten(session: &Session, safe: SafeId, objects: Vec<ObjectId>) {
    if let Err(problem) = session.store(move |store| store.drop_objects(safe, &objects)).await {
        // Dropped when the device is unlocked next.
        tracing::warn!(%problem, "objects that nothing names stay for now");
    }
}
