//! What comes from another device of a safe, and where the two have seen different things.
//!
//! Decides that items are taken in as if the server had sent them: what goes on from here, in the
//! order that the server gave, judged by the rules. A device that gives its word for another
//! history than this one has verified is an alarm that names it: a fork by the server, or one of
//! the two lies. Refuses to take in anything of such a device, and to halt a safe for it:
//! any member could say anything.

use std::sync::Arc;

use parsec_protocol::chain::head::Head;
use parsec_protocol::control::{Carrier, Direction, PeerView, Problem, ProblemKind};
use parsec_protocol::direct::{ANSWER_MAX_BYTES, Answer, Question, Word};
use parsec_protocol::evidence::HeadFault;
use parsec_protocol::ids::{DeviceId, SafeId};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::safe_log::ring::RingHead;
use parsec_protocol::safe_log::{certificate, record};
use parsec_protocol::safes::tree::Tree as _;

use super::who::Member;
use crate::os::clock;
use crate::p2p::{Link, Peer, Talk, TalkError, peer_id};
use crate::safes::reading::{Source, take_from};
use crate::safes::{folding, keys, views};
use crate::session::Session;
use crate::session::direct::Came;
use crate::session::names::Names;
use crate::session::open_safes::OpenSafe;
use crate::session::safe_items::{Batch, ends};
use crate::store::{Store, StoreError};

use std::time::Duration;

/// How long an answer may take to begin.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// Bytes of items that are taken in at once; what is more comes with the next look.
const BATCH_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Pages of the organisation's log that are asked for in one look: as many certificates as some
/// years bring. What is more comes with the next.
const PAGES_MAX: usize = 64;

/// A connection, as the local API shows it.
pub(super) fn shown(peer: &Peer) -> PeerView {
    let carrier = match peer.link {
        Link::Quic => Carrier::Quic,
        Link::Tcp => Carrier::Tcp,
        Link::Relay => Carrier::Relay,
    };
    PeerView {
        token: None,
        ceremony: None,
        peer: peer_id(&peer.peer),
        address: peer.address.clone(),
        direction: if peer.inbound { Direction::In } else { Direction::Out },
        carrier,
        proven: peer.proven,
        since: clock::now(),
    }
}

fn misbehaved(what: &str) -> TalkError {
    TalkError::Misbehaved(what.to_owned())
}

async fn asked(talk: &mut Talk, question: &Question) -> Result<Answer, TalkError> {
    talk.say(question).await?;
    talk.hear(ANSWER_MAX_BYTES, ANSWER_WAIT).await
}

/// Looks at where another device's logs end: takes in what goes on from here, and tells of what
/// doesn't. Whether that is done, or is to be tried again.
///
/// # Errors
/// What the other side does wrong.
pub(super) async fn look(
    session: &Arc<Session>,
    talk: &mut Talk,
    member: &Member,
    id: SafeId,
    word: Word,
) -> Result<bool, TalkError> {
    let log = session.log();
    let key = log.device(&member.device).map(|device| device.verify_key);
    let by = |device: DeviceId| device == member.device;
    let said = key.is_some_and(|key| word.safe.is_by(&session.open.summary.organisation, &id, &key));
    if !said || !by(word.safe.device) || !by(word.organisation.device) {
        return Err(misbehaved("a word is not the device's own"));
    }
    let Some(safe) = session.safes.get(id) else { return Ok(true) };
    match organisation(session, talk, id, &word).await? {
        Found::OneLog => {}
        Found::TwoLogs => return Ok(true),
        Found::NotYet => return Ok(false),
    }
    match items(session, talk, member, &safe, &word).await {
        Ok(done) => done,
        Err(problem) => {
            tracing::info!(safe = %id, device = %member.device, %problem, "what came directly is not taken in");
            Ok(false)
        }
    }
}

/// What two devices have of the organisation's log.
enum Found {
    /// This one has what the other one has, or more of it.
    OneLog,
    /// They have verified different ones.
    TwoLogs,
    /// Some of it is not here yet.
    NotYet,
}

/// Brings the organisation's log as far as the other device has it.
async fn organisation(
    session: &Session,
    talk: &mut Talk,
    safe: SafeId,
    word: &Word,
) -> Result<Found, TalkError> {
    for _ in 0..PAGES_MAX {
        let log = session.log();
        match word.organisation.check(&log) {
            Ok(()) => return Ok(Found::OneLog),
            Err(HeadFault::Elsewhere) if word.organisation.head.count > log.count() => {}
            Err(HeadFault::Elsewhere) => {
                let text = "has verified another log of the organisation than this device";
                forked(session, word.organisation.device, text).await;
                return Ok(Found::TwoLogs);
            }
            Err(_) => return Err(misbehaved("a word for the organisation's log is not the device's own")),
        }
        let question = Question::Organisation { safe, from: log.count() };
        let Answer::Log { page } = asked(talk, &question).await? else { return Ok(Found::NotYet) };
        if page.certificates.is_empty() {
            return Err(misbehaved("a page of the log lacks its certificates"));
        }
        let envelopes = page.certificates.into_iter().map(Vec::from).collect();
        if let Err(problem) = session.take_from_device(log.count(), envelopes).await {
            tracing::info!(%problem, "what another device has of the log is not taken in");
            if problem.name == ProblemKind::RolledBack {
                let text = "has verified another log of the organisation than this device";
                forked(session, word.organisation.device, text).await;
                return Ok(Found::TwoLogs);
            }
            return Ok(Found::NotYet);
        }
    }
    Ok(Found::NotYet)
}

/// An alarm that two devices have seen different things.
async fn forked(session: &Session, device: DeviceId, what: &str) {
    let log = session.log();
    let who = Names::new(session.open.directory(), &log).device_in_words(&device);
    let text =
        format!("{who} {what}: the server shows the two different things, or one of them is not honest.");
    session.alarm(&Problem::new(ProblemKind::RolledBack, text)).await;
}

/// Takes in the items of a safe that the other device has and this one has not. Whether all of them
/// are here then.
async fn items(
    session: &Arc<Session>,
    talk: &mut Talk,
    member: &Member,
    safe: &Arc<OpenSafe>,
    word: &Word,
) -> Result<Result<bool, TalkError>, Problem> {
    let heads = ends(safe, &safe.memory().await.verified);
    if !meets(session, safe.id, heads, word).await? {
        forked(session, member.device, &format!("has verified another history of safe {}", safe.id)).await;
        return Ok(Ok(true));
    }
    let batch = match fetched(talk, safe.id, heads, word).await {
        Ok(batch) => batch,
        Err(error) => return Ok(Err(error)),
    };
    if !follows(&batch, heads) {
        forked(session, member.device, &format!("has verified another history of safe {}", safe.id)).await;
        return Ok(Ok(true));
    }
    let has_new = !batch.is_empty();
    if has_new {
        let _turn = safe.turn.lock().await;
        // What came from the server meanwhile stands.
        if ends(safe, &safe.memory().await.verified) == heads {
            let done = take_from(session, safe, batch, Source::Device).await;
            let now = ends(safe, &safe.memory().await.verified);
            let came = |at: usize| now[at].count.saturating_sub(heads[at].count);
            if now != heads {
                let came = Came { certificates: came(0), records: came(1), ..Came::default() };
                session.direct.came(safe.id, member.device, came);
            }
            done?;
        }
    }
    if let Err(error) = ring(session, talk, safe).await? {
        return Ok(Err(error));
    }
    if has_new || is_unfolded(safe).await {
        fold(session, safe, heads[0].count).await?;
    }
    let now = ends(safe, &safe.memory().await.verified);
    let reached = now.iter().zip(word.safe.heads()).all(|(now, theirs)| now.count >= theirs.count);
    Ok(Ok(reached && !is_unfolded(safe).await))
}

async fn is_unfolded(safe: &OpenSafe) -> bool {
    let memory = safe.memory().await;
    memory.verified.present().is_some_and(|now| now.journal.count > memory.base.seq())
}

/// Folds what came, as the safe's task does with what the server sends, and tells of it.
async fn fold(session: &Arc<Session>, safe: &Arc<OpenSafe>, certificates: u64) -> Result<(), Problem> {
    let _turn = safe.turn.lock().await;
    keys::complete(session, safe).await?;
    let outcome = folding::fold_up(session, safe).await?;
    safe.memory().await.dropped.extend(outcome.dropped);
    views::notify(session, safe, outcome.notices);
    let now = safe.memory().await.verified.present().map_or(0, |now| now.log.count);
    if now != certificates {
        session.safes_changed();
        views::tell(session, safe, "members").await;
    } else {
        views::tell(session, safe, "files").await;
    }
    safe.went_on();
    Ok(())
}

/// Whether what the other device has verified, as far as this one has it, is what this one has.
async fn meets(session: &Session, id: SafeId, heads: [Head; 2], word: &Word) -> Result<bool, Problem> {
    let theirs = word.safe.heads();
    session
        .store(move |store| {
            let log = passes(heads[0], theirs[0], || certificate_head(store, id, theirs[0].count))?;
            Ok(log && passes(heads[1], theirs[1], || record_head(store, id, theirs[1].count))?)
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
    Ok(next.first().and_then(|bytes| certificate_names(bytes)).map(|head| head.hash))
}

/// The same of the journal.
fn record_head(store: &Store, id: SafeId, count: u64) -> Result<Option<Hash>, StoreError> {
    let next = store.safe_records(id, count, 1)?;
    Ok(next.first().and_then(|record| record_names(&record.envelope)).map(|(_, hash)| hash))
}

/// The head behind which a certificate says to stand.
fn certificate_names(bytes: &[u8]) -> Option<Head> {
    Some(certificate::Envelope::decode(bytes).ok()?.payload().ok()?.previous)
}

/// The same of a record: its seq, and the head before it.
fn record_names(bytes: &[u8]) -> Option<(u64, Hash)> {
    let payload = record::Envelope::decode(bytes).ok()?.payload().ok()?;
    Some((payload.seq, payload.previous))
}

/// Whether items say to stand behind these heads; the rules look at the rest.
pub(super) fn follows(batch: &Batch, heads: [Head; 2]) -> bool {
    let certificate = batch.certificates.first().map(|bytes| certificate_names(bytes));
    let record = batch.records.first().map(|bytes| record_names(bytes));
    let stands = |head: Option<Head>| head.is_none_or(|head| head == heads[0]);
    let goes_on = |named: Option<(u64, Hash)>| named.is_none_or(|(_, hash)| hash == heads[1].hash);
    certificate.is_none_or(stands) && record.is_none_or(goes_on)
}

/// The items between two ends, as many as are taken in at once.
async fn fetched(talk: &mut Talk, safe: SafeId, heads: [Head; 2], word: &Word) -> Result<Batch, TalkError> {
    let [log, journal] = word.safe.heads();
    let mut batch = Batch::default();
    let mut bytes = 0_usize;
    let mut from = heads[0].count;
    while from < log.count && bytes < BATCH_MAX_BYTES {
        let Answer::Log { page } = asked(talk, &Question::Log { safe, from }).await? else { break };
        if page.certificates.is_empty() {
            return Err(misbehaved("a page of a safe's log lacks its certificates"));
        }
        for envelope in page.certificates.into_iter().map(Vec::from) {
            bytes = bytes.saturating_add(envelope.len());
            from = from.saturating_add(1);
            batch.certificates.push(envelope);
        }
    }
    let mut from = heads[1].count;
    while from < journal.count && bytes < BATCH_MAX_BYTES {
        let Answer::Journal { page } = asked(talk, &Question::Journal { safe, from }).await? else { break };
        if page.records.is_empty() {
            return Err(misbehaved("a page of a journal lacks its records"));
        }
        for envelope in page.records.into_iter().map(Vec::from) {
            bytes = bytes.saturating_add(envelope.len());
            from = from.saturating_add(1);
            batch.records.push(envelope);
        }
    }
    Ok(batch)
}

/// Brings the ring of the present key, and the part with this user's box, where that key is not
/// here. Each is kept by its hash, and judged as the server's.
async fn ring(session: &Session, talk: &mut Talk, safe: &OpenSafe) -> Result<Result<(), TalkError>, Problem> {
    let wanted = {
        let memory = safe.memory().await;
        let last = memory.verified.epochs().last().copied();
        last.filter(|record| memory.keys.at(record.key.epoch).is_none())
    };
    let Some(record) = wanted else { return Ok(Ok(())) };
    let epoch = record.key.epoch;
    let head = match piece(session, talk, safe.id, epoch, record.key.ring).await {
        Ok(Some(bytes)) => RingHead::decode(&bytes).ok(),
        Ok(None) => None,
        Err(error) => return Ok(Err(error)),
    };
    let Some(head) = head else { return Ok(Ok(())) };
    let place = head.list.place_of(&session.open.summary.user);
    let part = place.and_then(|(number, _)| head.parts.get(number).copied());
    if let Some(part) = part
        && let Err(error) = piece(session, talk, safe.id, epoch, part).await
    {
        return Ok(Err(error));
    }
    Ok(Ok(()))
}

async fn piece(
    session: &Session,
    talk: &mut Talk,
    safe: SafeId,
    epoch: u64,
    hash: Hash,
) -> Result<Option<Vec<u8>>, TalkError> {
    match asked(talk, &Question::Ring { safe, hash }).await? {
        Answer::Ring { bytes } if Hash::of(&[&bytes]) == hash => {
            let bytes = Vec::from(bytes);
            keys::keep_ring(session, safe, epoch, vec![(hash, bytes.clone())]).await;
            Ok(Some(bytes))
        }
        Answer::Ring { .. } => Err(misbehaved("a ring is not the one that was asked for")),
        _ => Ok(None),
    }
}
