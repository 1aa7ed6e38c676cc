//! Work that may block, away from the threads that serve everybody.
//!
//! Decides that work which panics is a failure of its caller alone.

use parsec_protocol::control::{Problem, ProblemKind};

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
