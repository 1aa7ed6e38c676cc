//! The keys of a safe: out of the store, out of this user's box, and out of what opens the past.
//!
//! Decides that a key is an epoch's if it passes the check that the verified log names, whoever
//! gave it. A wrong box, ring or past is an alarm that names its author, and stops nobody else: any
//! member may post a right box.

use std::sync::Arc;

use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{DeviceId, SafeId, UserId};
use parsec_protocol::keys::SafeKey;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::ErrorCode;
use parsec_protocol::safe_log::ring::{Expected, RingHead, RingPart};
use parsec_protocol::safe_log::safe::EpochRecord;
use parsec_protocol::safes::boxes::{BoxOf, open_box};
use parsec_protocol::safes::keys::EpochKey;
use parsec_protocol::safes::past;

use crate::os::blocking_in;
use crate::session::Session;
use crate::session::names::Names;
use crate::session::open_safes::{Memory, OpenSafe};
use crate::store::{Store, StoreError};
use crate::transport::TransportError;
use crate::transport::retry::answered;

/// Takes the keys that are in the store and that the log names; of a safe that was made here and is
/// not founded yet, the one that it is made with.
///
/// # Errors
/// The store's.
pub(super) fn take_stored(store: &Store, safe: SafeId, memory: &mut Memory) -> Result<(), StoreError> {
    for (epoch, key) in store.safe_keys(safe)? {
        if memory.keys.at(epoch).is_some() {
            continue;
        }
        let check = match memory.verified.epoch(epoch) {
            Some(record) => record.key.key_check,
            // Made here, and its log has not begun: nobody could have given another one.
            None if !memory.founded => EpochKey::new(memory.keys.organisation(), &safe, epoch, &key).check(),
            None => continue,
        };
        if memory.keys.insert(epoch, key, &check).is_err() {
            tracing::warn!(%safe, epoch, "a key that is kept is not the one that the safe's log names");
        }
    }
    Ok(())
}

/// Gets the present key, and all earlier ones, as far as they are to be had. The caller holds the
/// safe's turn.
///
/// # Errors
/// The server's and the store's. That a key is not to be had is none: whoever needs it says so.
pub(super) async fn complete(session: &Session, safe: &OpenSafe) -> Result<(), Problem> {
    let (record, own, missing) = {
        let mut memory = safe.memory().await;
        let (open, id) = (Arc::clone(&session.open), safe.id);
        blocking_in(&session.tasks, move || {
            take_stored(&open.store, id, &mut memory)?;
            let record = memory.verified.epochs().last().copied();
            let has = |epoch: &u64| memory.keys.at(*epoch).is_some();
            let own = record.is_some_and(|record| has(&record.key.epoch));
            let missing: Vec<u64> = memory
                .verified
                .epochs()
                .iter()
                .filter(|record| !record.lost)
                .map(|record| record.key.epoch)
                .filter(|epoch| !has(epoch))
                .collect();
            Ok::<_, StoreError>((record, own, missing))
        })
        .await?
    };
    let Some(record) = record.filter(|_| !missing.is_empty()) else { return Ok(()) };
    let Some(head) = ring(session, safe, &record).await? else { return Ok(()) };
    if !own {
        let Some(key) = own_key(session, safe, &record, &head).await? else { return Ok(()) };
        keep(session, safe, vec![(record.key.epoch, key)]).await?;
    }
    if missing.iter().any(|epoch| *epoch < record.key.epoch) {
        open_past(session, safe, &record, &head, &missing).await?;
    }
    Ok(())
}

/// Keeps keys that pass their checks, on disk and in memory.
async fn keep(session: &Session, safe: &OpenSafe, keys: Vec<(u64, SafeKey)>) -> Result<(), Problem> {
    let mut memory = safe.memory().await;
    let (open, id) = (Arc::clone(&session.open), safe.id);
    blocking_in(&session.tasks, move || {
        open.store.put_safe_keys(id, &keys)?;
        take_stored(&open.store, id, &mut memory)
    })
    .await
}

/// An alarm that something about a key which a device made is wrong.
pub(super) async fn wrong(session: &Session, safe: &OpenSafe, author: DeviceId, what: &str) {
    let log = session.log();
    let who = Names::new(session.open.directory(), &log).device_in_words(&author);
    let text = format!("{what} of safe {} that {who} made is wrong.", safe.id);
    session.alarm(&Problem::new(ProblemKind::SafeUntrusted, text)).await;
}

/// The same of a ring that leaves a member out whose key is sound.
pub(super) async fn left_out(session: &Session, safe: &OpenSafe, author: DeviceId, user: UserId) {
    let log = session.log();
    let names = Names::new(session.open.directory(), &log);
    let (who, whom) = (names.device_in_words(&author), names.user_in_words(&user));
    let text = format!("The ring of safe {} that {who} made has no box for {whom}.", safe.id);
    session.alarm(&Problem::new(ProblemKind::SafeUntrusted, text)).await;
}

/// The same of a box that was posted beside the ring. Nobody has signed it: who posted it is the
/// server's word.
pub(super) async fn wrong_posted(session: &Session, safe: &OpenSafe, author: UserId) {
    let log = session.log();
    let who = Names::new(session.open.directory(), &log).user_in_words(&author);
    let text =
        format!("A box with the key of safe {} is wrong: {who} posted it, by what the server says.", safe.id);
    session.alarm(&Problem::new(ProblemKind::SafeUntrusted, text)).await;
}

/// The head of the ring that brought a key; nothing where the server lacks it, or it does not fit.
pub(super) async fn ring(
    session: &Session,
    safe: &OpenSafe,
    record: &EpochRecord,
) -> Result<Option<RingHead>, Problem> {
    let bytes = match answered(|| session.member.safe_ring(safe.id, &record.key.ring)).await {
        Ok(bytes) => bytes,
        Err(error) if error.code() == Some(ErrorCode::RingMissing) => return Ok(None),
        Err(TransportError::Misbehaved(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let expected = Expected {
        organisation: &safe.organisation,
        safe: &safe.id,
        author: &record.author,
        key: &record.key,
    };
    let head = RingHead::decode(&bytes).ok().filter(|head| head.fits(&expected).is_ok());
    if head.is_none() {
        wrong(session, safe, record.author, "The ring").await;
    } else {
        keep_ring(session, safe.id, record.key.epoch, vec![(record.key.ring, bytes)]).await;
    }
    Ok(head)
}

/// Keeps the head or parts of a ring for a server that is restored one day. What can't be kept is
/// kept by others.
pub(super) async fn keep_ring(session: &Session, safe: SafeId, epoch: u64, pieces: Vec<(Hash, Vec<u8>)>) {
    if let Err(error) = session.store(move |store| store.keep_ring(safe, epoch, &pieces)).await {
        tracing::info!(%safe, %error, "a ring is not kept");
    }
}

/// A part of a ring, by its number; nothing where the server lacks it, or gives another one: that
/// says nothing about who made it.
///
/// # Errors
/// The server's.
pub(super) async fn part(
    session: &Session,
    safe: &OpenSafe,
    head: &RingHead,
    number: usize,
) -> Result<Option<RingPart>, Problem> {
    let Some(hash) = head.parts.get(number) else { return Ok(None) };
    match answered(|| session.member.safe_part(safe.id, hash)).await {
        Ok(bytes) => {
            let part = RingPart::decode(&bytes).ok().filter(|part| head.part_fits(number, part).is_ok());
            if part.is_some() {
                keep_ring(session, safe.id, head.epoch, vec![(*hash, bytes)]).await;
            }
            Ok(part)
        }
        Err(error) if error.code() == Some(ErrorCode::RingMissing) => Ok(None),
        Err(TransportError::Misbehaved(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The key out of this user's own box: that of the ring, or one that was posted since.
async fn own_key(
    session: &Session,
    safe: &OpenSafe,
    record: &EpochRecord,
    head: &RingHead,
) -> Result<Option<SafeKey>, Problem> {
    let (user, log) = (session.open.summary.user, session.log());
    if let Some((number, at)) = head.list.place_of(&user) {
        let recipient = head.list.0.iter().find(|recipient| recipient.user == user);
        let part = part(session, safe, head, number).await?;
        if let (Some(part), Some(recipient)) = (part, recipient) {
            let sealed = part.0.into_iter().nth(at).flatten();
            let is_empty = sealed.is_none();
            // An empty box opens with no seed: what that finds is whether the key is sound.
            let sealed = sealed.map(Vec::from).unwrap_or_default();
            match opened(session, safe, record, &log, recipient.key, sealed).await? {
                OwnBox::Key(key) => return Ok(Some(key)),
                OwnBox::Wrong if is_empty => left_out(session, safe, record.author, user).await,
                OwnBox::Wrong => wrong(session, safe, record.author, "The box with the key").await,
                OwnBox::NoSeed => {}
            }
        }
    }
    let posted = match answered(|| session.member.safe_boxes(safe.id, record.key.epoch, user)).await {
        Ok(posted) => posted.boxes,
        Err(error) if matches!(error.code(), Some(ErrorCode::BoxUnknown | ErrorCode::RingMissing)) => {
            Vec::new()
        }
        Err(TransportError::Misbehaved(_)) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let keys: Vec<_> =
        log.user(&user).into_iter().flat_map(|user| user.keys.iter().rev()).map(|it| it.key).collect();
    for found in posted {
        // Only who has every seed that it can be for knows that it is wrong.
        let mut all = true;
        for key in &keys {
            match opened(session, safe, record, &log, *key, found.sealed.to_vec()).await? {
                OwnBox::Key(key) => return Ok(Some(key)),
                OwnBox::Wrong => {}
                OwnBox::NoSeed => all = false,
            }
        }
        if all {
            wrong_posted(session, safe, found.author).await;
        }
    }
    Ok(None)
}

/// What a box is to its recipient.
enum OwnBox {
    /// It gives the key that the log names.
    Key(SafeKey),
    /// It doesn't.
    Wrong,
    /// This device does not have the seed that could open it.
    NoSeed,
}

/// Opens a box with the seed of a key of this user.
async fn opened(
    session: &Session,
    safe: &OpenSafe,
    record: &EpochRecord,
    log: &Arc<VerifiedLog>,
    key: parsec_protocol::sealing::KeyHash,
    sealed: Vec<u8>,
) -> Result<OwnBox, Problem> {
    let seed = match session.earlier_seed(log, key).await {
        Ok(Some(seed)) => seed,
        Ok(None) => return Ok(OwnBox::NoSeed),
        Err(problem) if problem.name == ProblemKind::UserKeyMissing => return Ok(OwnBox::NoSeed),
        Err(problem) => return Err(problem),
    };
    let (organisation, id, user, record) =
        (safe.organisation.clone(), safe.id, session.open.summary.user, *record);
    blocking_in(&session.tasks, move || {
        let of = BoxOf { organisation: &organisation, safe: &id, epoch: record.key.epoch, user };
        let key = open_box(&of, &record.key.key_check, &sealed, &seed);
        Ok::<_, StoreError>(key.map_or(OwnBox::Wrong, OwnBox::Key))
    })
    .await
}

/// Opens all earlier keys by the present one.
async fn open_past(
    session: &Session,
    safe: &OpenSafe,
    record: &EpochRecord,
    head: &RingHead,
    missing: &[u64],
) -> Result<(), Problem> {
    let sealed = head.past.as_ref().map_or(&[][..], |past| past.as_slice());
    let opened = {
        let memory = safe.memory().await;
        memory.keys.at(record.key.epoch).map(|key| past::open(&key, sealed))
    };
    let Some(Ok(past)) = opened else {
        if opened.is_some() {
            wrong(session, safe, record.author, "What opens the earlier keys").await;
        }
        return Ok(());
    };
    let mut keys = Vec::new();
    for (number, block) in (0_u64..).zip(past.blocks()) {
        let from = number.saturating_mul(past::BLOCK_KEYS);
        let held = from..from.saturating_add(past::BLOCK_KEYS);
        if !missing.iter().any(|epoch| held.contains(epoch)) {
            continue;
        }
        let bytes = match answered(|| session.member.safe_part(safe.id, block.hash())).await {
            Ok(bytes) => bytes,
            // Nobody can name a block that keeps others from the keys that are there.
            Err(error) if error.code() == Some(ErrorCode::RingMissing) => continue,
            Err(TransportError::Misbehaved(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        match past.open_block(&safe.organisation, &safe.id, number, &bytes) {
            Ok(found) => keys.extend(found),
            Err(_) => wrong(session, safe, record.author, "A block of earlier keys").await,
        }
    }
    keys.extend(past.into_keys());
    keys.retain(|(epoch, _)| missing.contains(epoch));
    keep(session, safe, keys).await
}
