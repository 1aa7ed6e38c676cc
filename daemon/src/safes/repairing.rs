//! What a server lacks of a safe that this device has verified: given back from here.
//!
//! Decides that it is done without being asked, since it tells the server nothing that it did not
//! have; and less and less often where it changes nothing. Refuses to believe that it helped before
//! the server shows as much as is known here, and to give anything to a server that has another
//! past: that is shown to a person. Until then nothing is taken of the safe and nothing is written
//! to it.

use std::sync::Arc;

use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::at::MembersAt as _;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::UserId;
use parsec_protocol::limits::RING_PART_BOXES;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{ErrorCode, RepairItem, SAFE_REPAIR_ITEMS_MAX, SafeRepair};
use parsec_protocol::safe_log::certificate::{self, Body, first_journal_head, first_log_head};
use parsec_protocol::safe_log::record;
use parsec_protocol::safe_log::ring::{BoxFor, RingHead, RingPart, boxes_hash};
use parsec_protocol::safe_log::safe::EpochRecord;
use parsec_protocol::safes::boxes::make_box;
use tokio::time::Instant;

use crate::session::open_safes::OpenSafe;
use crate::session::safe_items::{Batch, Step, ends};
use crate::session::{Session, alarms};
use crate::store::Standing;
use crate::transport::TransportError;
use crate::transport::retry::answered;

/// Bytes of items in a call, one item at least: as a page of the journal has.
const PAGE_BYTES: usize = 1_000_000;
/// Certificates and records that are read from the store for one call: as many as it takes.
const READ_AT_ONCE: u64 = SAFE_REPAIR_ITEMS_MAX as u64;

/// Times that a server may refuse the place of an item while all that it shows is this device's:
/// each needs a restore, or another device's repair, just then.
const CONFLICTS_MAX: u32 = 3;

/// What of a safe the server shows, and what it should.
#[derive(Debug, Clone, Copy)]
pub(super) struct Less {
    /// Certificates and records that it has.
    pub(super) shown: [u64; 2],
    /// Those that were there.
    pub(super) known: [u64; 2],
}

/// Gives the server what it lacks. The caller holds the safe's turn, and looks whether it helped.
///
/// # Errors
/// `rolled_back`, with its alarm, where this device can't help; the way to the server.
pub(super) async fn give_back(session: &Session, safe: &OpenSafe, less: Less) -> Result<(), Problem> {
    let begun = {
        let mut memory = safe.memory().await;
        let has = ends(safe, &memory.verified).map(|head| head.count);
        // What another device of the user has seen, that one gives back.
        let gives = has[0] > less.shown[0] || has[1] > less.shown[1];
        gives && memory.standing == Standing::Accepted && memory.repairs.begin(Instant::now())
    };
    if !begun {
        return Err(if safe.memory().await.repairs.open {
            lacking(session, safe, "").await
        } else {
            rolled_back(session, less).await
        });
    }
    let mut added = 0;
    let done = put_all_back(session, safe, less.shown, &mut added).await;
    // Also where it ended early: what went in before that was missing, which is told once the safe
    // is whole.
    if added > 0 {
        tracing::warn!(safe = %safe.id, added, "the server had lost items of a safe; they were given back");
        safe.memory().await.repairs.open = true;
    }
    match done {
        Ok(()) => Ok(()),
        Err(Failed::Behind) => {
            // What it lacks of the organisation's log is an alarm of its own.
            session.sync().await?;
            Err(lacking(session, safe, FIRST_THE_LOG).await)
        }
        Err(Failed::Stranger) => Err(lacking(session, safe, BY_OTHERS).await),
        Err(Failed::Ring) => Err(lacking(session, safe, BY_OTHERS_RING).await),
        Err(Failed::Another) => Err(parted(session, safe).await),
        Err(Failed::Problem(problem)) => Err(problem),
    }
}

const FIRST_THE_LOG: &str =
    "The organisation's log has to be put back first: an administrator runs `parsecctl trust repair`.";
const BY_OTHERS: &str = "By what the server has left, this device may not write in the safe: the device of a member who could then, or who \
                         owns it, gives the rest back as soon as it is unlocked.";
const BY_OTHERS_RING: &str = "This device lacks a ring of the safe's keys: the device of another member gives the rest back as soon as it is \
                              unlocked.";

/// Why nothing more was put back.
enum Failed {
    /// The server has not got as far in the organisation's log.
    Behind,
    /// It doesn't know this device as one that writes there.
    Stranger,
    /// A ring that belongs to it is not here.
    Ring,
    /// It has other items there: a fork.
    Another,
    Problem(Problem),
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// Gives back all that the server lacks from behind `shown` on. Where it refuses an item's place,
/// it is asked in one answer where its safe ends: what was known of that may be of two answers
/// with a restore, or another device's repair, between them. `added` counts what the server did
/// not have, of all tries.
async fn put_all_back(
    session: &Session,
    safe: &OpenSafe,
    shown: [u64; 2],
    added: &mut u64,
) -> Result<(), Failed> {
    let mut from = shown;
    for _ in 0..CONFLICTS_MAX {
        match put_back(session, safe, from, added).await {
            Err(Failed::Another) => {}
            done => return done,
        }
        from = match past(session, safe).await? {
            Past::Own(shown) => shown,
            Past::Another => break,
        };
    }
    Err(Failed::Another)
}

/// What the server has of a safe, by one answer.
enum Past {
    /// So many certificates and records, and of those here none that are others: it may have more.
    Own([u64; 2]),
    /// Others than were verified here.
    Another,
}

async fn past(session: &Session, safe: &OpenSafe) -> Result<Past, Problem> {
    let listed = answered(|| session.member.safes()).await?;
    let Some(entry) = listed.iter().find(|entry| entry.safe == safe.id) else { return Ok(Past::Own([0, 0])) };
    let (shown, own) = ([entry.log, entry.journal], ends(safe, &safe.memory().await.verified));
    let at = [
        own_log_head(session, safe, shown[0].count).await?,
        own_journal_head(session, safe, shown[1].count).await?,
    ];
    let is_own = shown
        .into_iter()
        .zip(own)
        .zip(at)
        .all(|((shown, own), at)| shown.count > own.count || at == Some(shown));
    Ok(if is_own { Past::Own(shown.map(|head| head.count)) } else { Past::Another })
}

/// Where the safe log was after so many certificates, as this device has verified them.
async fn own_log_head(session: &Session, safe: &OpenSafe, count: u64) -> Result<Option<Head>, Problem> {
    let id = safe.id;
    let Some(position) = count.checked_sub(1) else {
        return Ok(Some(first_log_head(&safe.organisation, &id, &safe.founder)));
    };
    let kept = session.store(move |store| store.safe_certificates_page(id, position, 1)).await?;
    let Some(envelope) = kept.first() else { return Ok(None) };
    let payload = certificate::Envelope::decode(envelope).and_then(|envelope| envelope.payload());
    Ok(payload.ok().map(|payload| payload.previous.after(envelope)))
}

/// As [`own_log_head`], of the journal.
async fn own_journal_head(session: &Session, safe: &OpenSafe, count: u64) -> Result<Option<Head>, Problem> {
    let id = safe.id;
    let Some(before) = count.checked_sub(1) else {
        return Ok(Some(first_journal_head(&safe.organisation, &id, &safe.founder)));
    };
    let kept = session.store(move |store| store.safe_records(id, before, 1)).await?;
    let Some(envelope) = kept.first().map(|record| &record.envelope) else { return Ok(None) };
    let payload = record::Envelope::decode(envelope).and_then(|envelope| envelope.payload());
    Ok(payload.ok().map(|payload| Head { count: before, hash: payload.previous }.after(envelope)))
}

async fn put_back(
    session: &Session,
    safe: &OpenSafe,
    shown: [u64; 2],
    added: &mut u64,
) -> Result<(), Failed> {
    let mut at = shown;
    let have = ends(safe, &safe.memory().await.verified).map(|head| head.count);
    while at[0] < have[0] || at[1] < have[1] {
        let page = page(session, safe, at, have).await?;
        let end = page.end;
        let repair = SafeRepair { items: page.items };
        match answered(|| session.member.repair_safe(safe.id, &repair)).await {
            // All of it or nothing: who says less is sent no item twice.
            Ok(done) if done.log >= end[0] && done.seq >= end[1] => {
                at = end;
                *added = added.saturating_add(done.added);
            }
            Ok(_) => {
                let less = TransportError::Misbehaved("it says that nothing of a safe was put back");
                return Err(Failed::Problem(less.into()));
            }
            Err(error) => {
                return Err(match error.code() {
                    Some(ErrorCode::Behind) => Failed::Behind,
                    Some(ErrorCode::SafeUnknown | ErrorCode::NotAllowed) => Failed::Stranger,
                    Some(ErrorCode::SafeConflict) => Failed::Another,
                    Some(_) | None => Failed::Problem(error.into()),
                });
            }
        }
    }
    Ok(())
}

/// Items in their order, and where the safe ends with them.
struct Page {
    items: Vec<RepairItem>,
    end: [u64; 2],
}

async fn page(session: &Session, safe: &OpenSafe, from: [u64; 2], have: [u64; 2]) -> Result<Page, Failed> {
    let id = safe.id;
    let batch = session
        .store(move |store| {
            let certificates = store.safe_certificates_page(id, from[0], READ_AT_ONCE)?;
            let records = store.safe_records(id, from[1], READ_AT_ONCE)?;
            let records = records.into_iter().map(|record| record.envelope).collect();
            Ok(Batch { certificates, records })
        })
        .await?;
    let mut page = Page { items: Vec::new(), end: from };
    let mut room = PAGE_BYTES;
    let mut steps = batch.steps(from);
    while page.items.len() < SAFE_REPAIR_ITEMS_MAX && (page.end[0] < have[0] || page.end[1] < have[1]) {
        let (item, counts) = match steps.next() {
            Some(Step::Certificate(envelope)) => {
                (certificate(session, safe, page.end[0], envelope).await?, [1, 0])
            }
            Some(Step::Record(envelope)) => (RepairItem::Record { record: envelope.into() }, [0, 1]),
            None => break,
        };
        match room.checked_sub(bytes_of(&item)) {
            Some(left) => room = left,
            None if page.items.is_empty() => room = 0,
            None => break,
        }
        page.items.push(item);
        page.end = [page.end[0] + counts[0], page.end[1] + counts[1]];
    }
    if page.items.is_empty() {
        let text = "What is kept of a safe has no order.";
        return Err(Failed::Problem(Problem::new(ProblemKind::StoreDamaged, text)));
    }
    Ok(page)
}

fn bytes_of(item: &RepairItem) -> usize {
    match item {
        RepairItem::Record { record } => record.len(),
        RepairItem::Certificate { certificate, ring, parts, boxes } => {
            let others = ring.iter().chain(parts).map(|bytes| bytes.len());
            let boxes = boxes.iter().map(|given| given.sealed.len());
            others.chain(boxes).fold(certificate.len(), usize::saturating_add)
        }
    }
}

/// A certificate with what belongs to it.
async fn certificate(
    session: &Session,
    safe: &OpenSafe,
    position: u64,
    envelope: Vec<u8>,
) -> Result<RepairItem, Failed> {
    let payload = certificate::Envelope::decode(&envelope).and_then(|envelope| envelope.payload());
    let (mut ring, mut parts, mut boxes) = (None, Vec::new(), Vec::new());
    match payload.map(|payload| (payload.body, payload.seen.count)) {
        Ok((Body::Created { .. } | Body::Changed { key: Some(_), .. }, _)) => {
            let record =
                safe.memory().await.verified.epochs().iter().find(|it| it.position == position).copied();
            let (head, made) = kept_ring(session, safe, record.ok_or(Failed::Ring)?).await?;
            (ring, parts) = (Some(head.into()), made.into_iter().map(Into::into).collect());
        }
        Ok((Body::Changed { changes, boxes: Some(named), .. }, seen)) => {
            let users = changes.iter().filter(|change| change.role.is_some()).map(|change| change.user);
            boxes = made_boxes(session, safe, position, users.collect(), seen).await?;
            if boxes_hash(&boxes) != named {
                boxes.clear();
            }
        }
        Ok((Body::Changed { .. } | Body::State { .. }, _)) => {}
        Err(_) => {
            let text = "A certificate of a safe is malformed in the store.";
            return Err(Failed::Problem(Problem::new(ProblemKind::StoreDamaged, text)));
        }
    }
    Ok(RepairItem::Certificate { certificate: envelope.into(), ring, parts, boxes })
}

/// A ring as it was signed: its head, which nobody can make again, and its parts, kept or made
/// again, since a box is a function of key and recipient.
async fn kept_ring(
    session: &Session,
    safe: &OpenSafe,
    record: EpochRecord,
) -> Result<(Vec<u8>, Vec<Vec<u8>>), Failed> {
    let (id, named) = (safe.id, record.key.ring);
    let encoded = session.store(move |store| store.kept_ring(id, &named)).await?.ok_or(Failed::Ring)?;
    let head = RingHead::decode(&encoded).map_err(|_| Failed::Ring)?;
    let mut parts = Vec::new();
    for (hash, list) in head.parts.iter().zip(head.list.0.chunks(RING_PART_BOXES)) {
        let hash = *hash;
        let part = match session.store(move |store| store.kept_ring(id, &hash)).await? {
            Some(kept) => kept,
            None => {
                let mut boxes = Vec::new();
                for recipient in list {
                    let to = session.key_by_hash(recipient.key).await?;
                    let memory = safe.memory().await;
                    let key = memory.keys.at(record.key.epoch).ok_or(Failed::Ring)?;
                    boxes.push(to.map(|to| make_box(&key, recipient.user, &to).into()));
                }
                RingPart(boxes).encode()
            }
        };
        if Hash::of(&[&part]) != hash {
            return Err(Failed::Ring);
        }
        parts.push(part);
    }
    Ok((encoded, parts))
}

/// The boxes that came with a certificate, as far as they can be made again.
async fn made_boxes(
    session: &Session,
    safe: &OpenSafe,
    position: u64,
    users: Vec<UserId>,
    seen: u64,
) -> Result<Vec<BoxFor>, Failed> {
    let log: Arc<VerifiedLog> = session.log();
    let mut boxes = Vec::new();
    for user in users {
        let at = match log.user_at(&user, seen) {
            Ok(at) => at,
            Err(never) => match never {},
        };
        let Some(at) = at.filter(|at| !at.suspended) else { continue };
        let Some(to) = session.key_by_hash(at.encryption_key).await? else { continue };
        let memory = safe.memory().await;
        let present = memory.verified.epochs().iter().rev().find(|record| record.position < position);
        let Some(key) = present.and_then(|record| memory.keys.at(record.key.epoch)) else { continue };
        boxes.push(BoxFor { user, sealed: make_box(&key, user, &to).into() });
    }
    Ok(boxes)
}

/// Certificates or records are missing that may come back: an alarm for as long as they are.
async fn lacking(session: &Session, safe: &OpenSafe, hint: &str) -> Problem {
    let text = format!("The server lacks the end of safe {}, which this device has verified.", safe.id);
    let plain = "A server that was restored from a backup is given it back by the members' devices. Until then nothing is \
                 written to the safe, and what waits here stays.";
    let problem = Problem {
        hint: if hint.is_empty() { plain.to_owned() } else { format!("{plain} {hint}") },
        ..Problem::new(ProblemKind::RolledBack, text)
    };
    alarms::raise_of_safe(session, safe.id, &problem).await;
    safe.memory().await.repairs.open = true;
    problem
}

/// The server shows less than was there, and has no excuse.
pub(super) async fn rolled_back(session: &Session, less: Less) -> Problem {
    let Less { shown, known } = less;
    let text = format!(
        "The server shows {} certificates and {} records of a safe, of which {} and {} were there.",
        shown[0], shown[1], known[0], known[1]
    );
    let problem = Problem::new(ProblemKind::RolledBack, text);
    session.alarm(&problem).await;
    problem
}

/// The server has other items where this device has verified some.
async fn parted(session: &Session, safe: &OpenSafe) -> Problem {
    let text = format!(
        "The server's safe {} went on with other items than those that it had: nothing was given back to it.",
        safe.id
    );
    let problem = Problem {
        hint: "Somebody has written to it since it was restored from a backup, or it shows different members different safes. Do not go \
               on; tell the organisation's administrators and whoever runs the server."
            .to_owned(),
        ..Problem::new(ProblemKind::RolledBack, text)
    };
    session.alarm(&problem).await;
    problem
}

/// The server shows as much as is known here: whether it is the same, its list says. Then what was
/// missing is there again. The caller holds the safe's turn.
///
/// # Errors
/// `rolled_back`, with its alarm, where it is another; the way to the server.
pub(super) async fn settle(session: &Session, safe: &OpenSafe) -> Result<(), Problem> {
    {
        let mut memory = safe.memory().await;
        if !memory.repairs.open {
            // Whole, without anything having been told: nothing is to be looked at again.
            memory.repairs.end();
            return Ok(());
        }
    }
    let own = ends(safe, &safe.memory().await.verified).map(|head| head.count);
    match past(session, safe).await? {
        Past::Own(shown) if shown[0] >= own[0] && shown[1] >= own[1] => {}
        // It was restored once more since it was read.
        Past::Own(_) => return Err(lacking(session, safe, "").await),
        Past::Another => return Err(parted(session, safe).await),
    }
    // Also where it was mended before anybody could be told: that it was is worth knowing.
    lacking(session, safe, "").await;
    alarms::mended_of_safe(session, safe.id).await?;
    let mut memory = safe.memory().await;
    memory.repairs.open = false;
    (memory.repairs.boxes, memory.repairs.objects) = (true, true);
    memory.repairs.end();
    Ok(())
}

/// What the server lacks that says to know no such safe, or none with this device's user; nothing
/// where that is true: the user was taken out by what is behind all that is known here.
///
/// # Errors
/// The way to the server.
pub(super) async fn unknown(session: &Session, safe: &OpenSafe) -> Result<Option<[u64; 2]>, Problem> {
    let (own, is_member) = {
        let memory = safe.memory().await;
        let role = memory.verified.role(&session.open.summary.user);
        let accepted = memory.standing == Standing::Accepted;
        (ends(safe, &memory.verified), accepted && role.is_some())
    };
    if !is_member {
        return Ok(None);
    }
    let listed = answered(|| session.member.safes()).await?;
    Ok(match listed.iter().find(|entry| entry.safe == safe.id) {
        Some(entry) if entry.log.count < own[0].count || entry.journal.count < own[1].count => {
            Some([entry.log.count, entry.journal.count])
        }
        // It has all, and says so for another reason.
        Some(_) => None,
        None => Some([0, 0]),
    })
}
