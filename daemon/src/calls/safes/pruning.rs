//! `safe.retention` and `safe.prune`: what is kept, for how long, and what is thrown away for good.
//!
//! Decides what is answered. That the caller's session has given the password, the table of methods
//! asks; what may go, the safe's own rules.

use parsec_protocol::control::{
    FileChanged, PAST_PAGE_MAX, Problem, ProblemKind, SafePrune, SafePruned, SafeRetention,
};

use super::choose;
use super::files::changed;
use crate::safes::acts;
use crate::safes::pruning::{self, Which};
use crate::session::Session;

/// For how long a safe keeps what was removed or written over.
///
/// # Errors
/// As `acts::retain`; which safe is meant.
pub async fn retain(session: &Session, params: SafeRetention) -> Result<FileChanged, Problem> {
    let safe = choose(session, &params.safe).await?;
    let done = acts::retain(session, &safe, params.days).await?;
    Ok(changed(session, &safe, done, 0, None).await)
}

/// Throws away what is old enough, or says what would go.
///
/// # Errors
/// `invalid_request`; as `pruning::run`; which safe is meant.
pub async fn prune(session: &Session, params: SafePrune) -> Result<SafePruned, Problem> {
    if params.entries.len() > PAST_PAGE_MAX || (params.trash && !params.entries.is_empty()) {
        let text = format!("It is the trash, or at most {PAST_PAGE_MAX} entries of it.");
        return Err(Problem::new(ProblemKind::InvalidRequest, text));
    }
    let safe = choose(session, &params.safe).await?;
    let which = match params.entries.as_slice() {
        [] if params.trash => Which::Trash,
        [] => Which::OldEnough,
        these => Which::These(these),
    };
    let done = {
        let _turn = safe.turn.lock().await;
        pruning::run(session, &safe, which, params.dry_run).await?
    };
    Ok(SafePruned {
        safe: safe.id,
        retention_days: done.retention_days,
        days: done.days,
        entries: done.entries,
        versions: done.versions,
        objects: done.objects,
        kept: done.kept,
    })
}
