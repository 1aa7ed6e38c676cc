//! Objects that go to the server before the record that names them, while the rest of a large file
//! is still being sealed.
//!
//! Decides nothing about what goes: `staged` does. Nothing depends on it: what fails goes with its
//! record, and what no record adds after all, the server drops by itself.

use std::sync::Arc;

use super::staged::{self, Wanted};
use crate::session::Session;
use crate::session::open_safes::OpenSafe;

/// Runs for as long as the safe's task does.
pub(super) async fn run(session: Arc<Session>, safe: Arc<OpenSafe>) {
    while let Some(offer) = safe.sending.offered().await {
        if let Err(problem) =
            staged::upload(&session, &safe, &offer.objects, Wanted::Ahead(offer.epoch)).await
        {
            // With its record it is tried again, and said.
            safe.sending.was(false);
            tracing::debug!(safe = %safe.id, %problem, "nothing goes ahead of its record for now");
        }
    }
}
