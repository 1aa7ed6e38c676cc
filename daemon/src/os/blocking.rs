//! Work that may block, away from the threads that serve everybody.
//!
//! Decides that work which panics is a failure of its caller alone, and that work which has begun
//! is waited for: nothing cuts it off, and it holds what it was given until it ends.

use parsec_protocol::control::{Problem, ProblemKind};
use tokio_util::task::TaskTracker;

/// Runs work that may block: the disk, scrypt, verifying.
///
/// # Errors
/// The work's own, as a problem; `internal` where it panicked.
pub async fn blocking<T: Send + 'static, E: Into<Problem> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(Problem::new(ProblemKind::Internal, "A call of the store failed without an answer.")),
    }
}

/// The same for an unlocked device. Whoever asked may be gone before it ends: `tasks` counts it
/// until then, or keys, and the file of a store, would be in use by a device that is said to be
/// locked.
///
/// # Errors
/// Those of [`blocking`].
pub async fn blocking_in<T: Send + 'static, E: Into<Problem> + Send + 'static>(
    tasks: &TaskTracker,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Problem> {
    let running = tasks.token();
    blocking(move || {
        let done = work();
        drop(running);
        done
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_counted_until_it_ends() {
        let tasks = TaskTracker::new();
        let (go_on, wait) = mpsc::channel::<()>();
        let asked = blocking_in(&tasks, move || {
            let _ = wait.recv();
            Ok::<_, Problem>(())
        });
        // Begun, and then given up by whoever asked.
        assert!(asked.now_or_never().is_none());
        tasks.close();
        assert!(tasks.wait().now_or_never().is_none(), "it still runs, and nobody counts it");
        drop(go_on);
        tasks.wait().await;
    }
}
