//! Memory for contents that are on their way, shared by everybody who moves some.
//!
//! Decides how much they take at once, however many programs ask: whoever finds no room waits for
//! one of those before it, in order.

use std::sync::Arc;

use parsec_protocol::control::{Problem, ProblemKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that one file takes on its way: four windows of pieces of 2 MiB each, or a batch of sealed
/// objects of as much and the chunks that are read and compared beside it, and what is between.
const ONE_BYTES: usize = 10 * 1_024 * 1_024;
/// Bytes of all of them: eight files at once keep disk and network busy.
const ALL_BYTES: usize = 8 * ONE_BYTES;

/// All of it.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ALL_BYTES / ONE_BYTES)))
    }
}

impl Room {
    /// Waits for one file's share; it is given back when it is dropped.
    ///
    /// # Errors
    /// `shutting_down`: there will be none any more.
    pub(crate) async fn share(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let share = Arc::clone(&self.0).acquire_owned().await;
        share.map_err(|_| Problem::new(ProblemKind::ShuttingDown, "The device is being locked."))
    }
}

/// The room of this process.
pub(super) fn room() -> &'static Room {
    static ROOM: std::sync::LazyLock<Room> = std::sync::LazyLock::new(Room::default);
    &ROOM
}
