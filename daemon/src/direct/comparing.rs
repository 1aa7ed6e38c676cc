//! Where another device of a safe has verified something else than this one.
//!
//! Decides that a device which gives its word for another history than the one that is here is an
//! alarm that names it: a fork by the server, or one of the two lies. Refuses to take anything of
//! a log from it, and to halt a safe for it: only the server orders, and any member could say
//! anything.

use std::sync::Arc;

use parsec_protocol::chain::head::Head;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::direct::Word;
use parsec_protocol::evidence::HeadFault;
use parsec_protocol::ids::SafeId;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::safe_log::{certificate, record};

use super::who::Member;
use crate::p2p::TalkError;
use crate::session::Session;
use crate::session::alarms;
use crate::session::names::Names;
use crate::session::safe_items::ends;
use crate::store::{Store, StoreError};

fn misbehaved(what: &str) -> TalkError {
    TalkError::Misbehaved(what.to_owned())
}

/// Compares where another device's logs end with what is here, and tells of what differs. Whether
/// all of it could be compared: what goes further than this device has is looked at again later.
///
/// # Errors
/// What the other side does wrong.
pub(super) async fn look(
    session: &Arc<Session>,
    member: &Member,
    id: SafeId,
    word: &Word,
) -> Result<bool, TalkError> {
    let log = session.log();
    let key = log.device(&member.device).map(|device| device.verify_key);
    let said = key.is_some_and(|key| word.safe.is_by(&session.open.summary.organisation, &id, &key));
    if !said || [word.safe.device, word.organisation.device] != [member.device; 2] {
        return Err(misbehaved("a word is not the device's own"));
    }
    let head = word.organisation.head;
    let reached = match word.organisation.check(&log) {
        Ok(()) => true,
        Err(HeadFault::Elsewhere) if head.count > log.count() => false,
        Err(HeadFault::Elsewhere) => {
            let what = format!("another log of the organisation than this device, with {}", in_words(head));
            forked(session, member, (id, None), what).await;
            return Ok(true);
        }
        // Told only now, in the log that is here: it may have been revoked meanwhile.
        Err(HeadFault::UnknownDevice | HeadFault::Revoked) => return Ok(true),
        Err(HeadFault::Signature) => {
            return Err(misbehaved("a word for the organisation's log is not the device's own"));
        }
    };
    let Some(safe) = session.safes.get(id) else { return Ok(true) };
    let own = ends(&safe, &safe.memory().await.verified);
    let theirs = word.safe.heads();
    match meets(session, id, own, theirs).await {
        Ok(true) => Ok(reached && own.iter().zip(theirs).all(|(own, theirs)| own.count >= theirs.count)),
        Ok(false) => {
            let [log, journal] = theirs.map(in_words);
            let [own_log, own_journal] = own.map(in_words);
            let what = format!(
                "another history of safe {id} than this device: {log} of its log and {journal} of its journal, where here are {own_log} and {own_journal}"
            );
            forked(session, member, (id, Some(id)), what).await;
            Ok(true)
        }
        Err(problem) => {
            tracing::warn!(safe = %id, device = %member.device, %problem, "a word can't be compared");
            Ok(false)
        }
    }
}

fn in_words(head: Head) -> String {
    format!("{} items ({})", head.count, head.hash)
}

/// An alarm of its own that two devices have seen different things, of a safe or of the
/// organisation's log: behind one that a member made up, none of another device or safe hides.
async fn forked(
    session: &Arc<Session>,
    member: &Member,
    (safe, about): (SafeId, Option<SafeId>),
    what: String,
) {
    if !session.direct.may_alarm(member.device, about) {
        tracing::warn!(device = %member.device, %safe, what, "two devices have verified different things");
        return;
    }
    let log = session.log();
    let who = Names::new(session.open.directory(), &log).device_in_words(&member.device);
    let text = format!(
        "{who} (device {}) has verified {what}: the server shows the two different things, or one of them is not honest.",
        member.device
    );
    let problem = Problem::new(ProblemKind::RolledBack, text);
    // A task of its own, so that it is not cut off when the other device is gone.
    let raising = Arc::clone(session);
    let kept = session.tasks.spawn(async move {
        alarms::raise_each_of_safe(&raising, safe, &problem).await;
    });
    // Fails where the task panicked, which is in the daemon's log.
    let _ = kept.await;
}

/// Whether what the other device has verified, as far as this one has it, is what this one has.
async fn meets(session: &Session, id: SafeId, own: [Head; 2], theirs: [Head; 2]) -> Result<bool, Problem> {
    session
        .store(move |store| {
            let log = passes(own[0], theirs[0], || certificate_head(store, id, theirs[0].count))?;
            Ok(log && passes(own[1], theirs[1], || record_head(store, id, theirs[1].count))?)
        })
        .await
}

/// Whether a log that ends at `own` passes through `theirs`, as far as that can be told; `at` gives
/// its head at that place.
pub(super) fn passes(
    own: Head,
    theirs: Head,
    at: impl FnOnce() -> Result<Option<Hash>, StoreError>,
) -> Result<bool, StoreError> {
    if theirs.count > own.count {
        return Ok(true);
    }
    if theirs.count == own.count {
        return Ok(theirs == own);
    }
    Ok(at()?.is_none_or(|hash| hash == theirs.hash))
}

/// The head of the safe's log after so many certificates: the one behind them names it.
fn certificate_head(store: &Store, id: SafeId, count: u64) -> Result<Option<Hash>, StoreError> {
    let next = store.safe_certificates_page(id, count, 1)?;
    Ok(next.first().and_then(|bytes| certificate_names(bytes)))
}

/// The same of the journal.
fn record_head(store: &Store, id: SafeId, count: u64) -> Result<Option<Hash>, StoreError> {
    let next = store.safe_records(id, count, 1)?;
    Ok(next.first().and_then(|record| record_names(&record.envelope)))
}

/// The head behind which a certificate says to stand.
fn certificate_names(bytes: &[u8]) -> Option<Hash> {
    Some(certificate::Envelope::decode(bytes).ok()?.payload().ok()?.previous.hash)
}

/// The same of a record.
fn record_names(bytes: &[u8]) -> Option<Hash> {
    Some(record::Envelope::decode(bytes).ok()?.payload().ok()?.previous)
}
