//! Room: what a program is told there is, and whether what it writes has any.
//!
//! Decides that a program is told at its write that there is no room, and not when nobody reads
//! the answer any more. Refuses nothing where the server can't be asked: then what is saved waits.

use std::sync::Arc;

use parsec_protocol::control::ProblemKind;
use parsec_protocol::safes::fold::SAFE_ENTRIES_MAX;
use tokio::time::Instant;

use super::fail::Fail;
use super::quota::Heard;
use super::serve::Mount;
use crate::store::Store;
use crate::truth::room;

/// Room of a mount, in bytes and in entries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Bytes in all.
    pub(super) all: u64,
    /// Those that are free.
    pub(super) free: u64,
    /// Entries that are there.
    pub(super) entries: u64,
    /// Those that may come.
    pub(super) free_entries: u64,
}

impl Mount {
    /// Refuses so many bytes more than the server has, as far as it is known, and asks anew where
    /// that is long ago.
    pub(super) fn has_room(self: &Arc<Self>, bytes: u64) -> Result<(), Fail> {
        let mut heard = self.quota.heard();
        if heard.is_old() {
            heard.asking = true;
            let mount = Arc::clone(self);
            self.session.run(async move { mount.ask().await });
        }
        match heard.free {
            Some(free) if bytes > free => Err(Fail::Quota),
            Some(_) | None => Ok(()),
        }
    }

    /// What `statfs` says: the room of this disk or at the server, whichever is less.
    pub(super) async fn room(&self) -> Result<Room, Fail> {
        let (free, all) = self.session.store(Store::disk_room).await?;
        let left = self.quota.heard().free;
        let entries = self.tree(|_, tree| tree.below(tree.root()).len() as u64).await;
        let free = left.map_or(free, |left| left.min(free));
        Ok(Room { all, free, entries, free_entries: SAFE_ENTRIES_MAX.saturating_sub(entries) })
    }

    /// Asks the server.
    pub(super) async fn ask(&self) {
        let free = match room::room(&self.session, &self.safe, 1).await {
            Ok(left) => left.and_then(|left| left.free),
            Err(problem) if problem.name == ProblemKind::QuotaReached => Some(0),
            Err(_) => None,
        };
        *self.quota.heard() = Heard { at: Some(Instant::now()), free, asking: false };
    }
}
