//! `safe.confirm`: a person's word about what waits for them in a safe.
//!
//! Decides what is answered. That the caller's session has given the password, the table of methods
//! asks; that the word is about what was shown, the room `safes`.

use parsec_protocol::control::{Problem, ProblemKind, SafeConfirm, SafeConfirmed, SafeDecision};

use super::choose;
use crate::safes::{deciding, views};
use crate::session::Session;

/// Takes a person's word.
///
/// # Errors
/// `invalid_request` where something else waits than what they were shown; which safe is meant; the
/// store's.
pub async fn run(session: &Session, params: SafeConfirm) -> Result<SafeConfirmed, Problem> {
    let safe = choose(session, &params.safe).await?;
    let decision = params.decision;
    let (count, entries) = match decision {
        SafeDecision::Remove => {
            let decided = deciding::remove(session, &safe, params.what).await?;
            (decided.removals.len() as u64, decided.entries())
        }
        SafeDecision::Discard => {
            let decided = deciding::discard(session, &safe, params.what).await?;
            (decided.removals.len() as u64, decided.entries())
        }
        SafeDecision::Accept => {
            let [certificates, records] = deciding::accept(session, &safe, params.what).await?.items;
            (certificates.saturating_add(records), 0)
        }
        SafeDecision::Unknown => {
            let text = "A decision is remove, discard or accept.";
            return Err(Problem::new(ProblemKind::InvalidRequest, text));
        }
    };
    Ok(SafeConfirmed { decision, count, entries, safe: views::view(session, &safe).await })
}
