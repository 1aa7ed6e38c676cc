//! Takeovers: a safe whose owners have all gone gets another one, by the rule of its log.
//!
//! Decides what members are told of it. Refuses to let one go by unseen: it is an alarm on each
//! member's device, kept before the certificate counts here.

use std::collections::VecDeque;
use std::sync::Arc;

use parsec_protocol::control::{Problem, ProblemKind, SafeOwnerless, SafeTakeover};
use parsec_protocol::ids::SafeId;
use parsec_protocol::safe_log::certificate::{self, Body};
use parsec_protocol::safe_log::roles::Role;

use super::views;
use crate::os::blocking_in;
use crate::session::names::Names;
use crate::session::open_safes::Memory;
use crate::session::safe_items::TakenOver;
use crate::session::{Session, alarms};
use crate::store::{Standing, StoreError};

/// Takeovers that are remembered of one safe to be shown: more than a safe has for honest reasons.
const SHOWN_MAX: usize = 16;

/// Who may take the safe over, where nobody counts as its owner. Nothing of a safe that is not one
/// of the user's, and not the user while they are suspended: the rules would refuse it.
pub(crate) fn ownerless(session: &Session, memory: &Memory) -> Option<SafeOwnerless> {
    if memory.standing != Standing::Accepted {
        return None;
    }
    let log = session.log();
    let first = memory.verified.successors(&*log, log.count())?;
    let own = session.open.summary.user;
    let mine = first.contains(&own) && !log.is_suspended(&own);
    let successors = first.into_iter().filter_map(|user| views::person(session, &log, user)).collect();
    Some(SafeOwnerless { successors, mine })
}

/// The last takeovers of a safe, by the certificates that are here, in their order.
///
/// # Errors
/// The store's.
pub(crate) async fn takeovers(session: &Session, safe: SafeId) -> Result<Vec<SafeTakeover>, Problem> {
    let (open, log) = (Arc::clone(&session.open), session.log());
    let found = blocking_in(&session.tasks, move || {
        let mut found = VecDeque::new();
        for envelope in open.store.safe_certificates(safe, 0)? {
            // Verified when they were stored.
            let payload = certificate::Envelope::decode(&envelope).and_then(|envelope| envelope.payload());
            let Ok(payload) = payload else { continue };
            let Body::Changed { changes, .. } = &payload.body else { continue };
            let Some(by) = log.device(&payload.author).map(|device| device.user) else { continue };
            // Nobody makes themself an owner otherwise.
            if !changes.iter().any(|change| change.user == by && change.role == Some(Role::Owner)) {
                continue;
            }
            let certificate = payload.previous.count.saturating_add(1);
            found.push_back((TakenOver { by, time: payload.time, certificate }, payload.place.count));
            if found.len() > SHOWN_MAX {
                found.pop_front();
            }
        }
        Ok::<_, StoreError>(found)
    })
    .await?;
    let log = session.log();
    let shown = found.into_iter().map(|(TakenOver { by, time, certificate }, record)| SafeTakeover {
        by: views::person(session, &log, by),
        time,
        certificate,
        record,
    });
    Ok(shown.collect())
}

/// An alarm for each takeover by somebody else, also while one of another takeover is open. Told
/// before the certificate is kept: told twice, it is one alarm; never told, it would be unseen.
pub(super) async fn alarm(session: &Session, safe: SafeId, found: &[TakenOver]) {
    for TakenOver { by, time, certificate } in found {
        if *by == session.open.summary.user {
            continue;
        }
        let log = session.log();
        let who = Names::new(session.open.directory(), &log).user_in_words(by);
        let when = crate::os::clock::moment(*time);
        let text = format!(
            "{who} took over the safe {safe} at {when} (certificate {certificate} of its log): nobody counted as its owner any more."
        );
        let problem = Problem::new(ProblemKind::SafeTakenOver, text);
        alarms::raise_each_of_safe(session, safe, &problem).await;
    }
}
