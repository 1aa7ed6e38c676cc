//! What a member says about a safe: who is in it, and another key; signed and put into its log.
//!
//! Decides that nothing is signed but on the very end of both logs as the server has them, nor what
//! readers would refuse; and when a certificate brings a key: where somebody else loses their role,
//! and whenever one is due. Refuses to make a key that it can't seal to everybody who must have it.

use std::sync::Arc;

use parsec_protocol::chain::organisation::at::MembersAt as _;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::UserId;
use parsec_protocol::keys::SafeKey;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{ErrorCode, SafeCertificate};
use parsec_protocol::safe_log::certificate::{Body, Change, Key, Payload};
use parsec_protocol::safe_log::ring::{BoxFor, Recipient, boxes_hash};
use parsec_protocol::safe_log::rules::ring_list;
use parsec_protocol::safe_log::safe::VerifiedSafe;
use parsec_protocol::safes::boxes::make_box;
use parsec_protocol::safes::keys::EpochKey;
use parsec_protocol::safes::ring_making::{Before, MadeRing, RingError, SealTo, make_ring};
use parsec_protocol::sealing::EncryptionKey;

use super::{keys, reading, refusals};
use crate::os::{blocking_in, clock, entropy};
use crate::problems;
use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::session::safe_items::Batch;
use crate::transport::TransportError;
use crate::transport::retry::answered;

/// Certificates signed for one request: others write in the same safe meanwhile, and each refusal
/// means that it has gone on.
const TRIES: u32 = 16;

/// What is to be said.
#[derive(Debug)]
pub(super) enum Wish {
    /// One user's role from then on; with a key where one is needed.
    Role(Change),
    /// A new key, and nothing else.
    Key,
    /// How far the organisation's log is known, and nothing else.
    Witness,
}

/// Puts a certificate into the safe's log. `wish` says what, each time by the logs as they are
/// then; nothing where it is so already. The caller holds the safe's turn.
///
/// # Errors
/// Why not.
pub(super) async fn certify(
    session: &Session,
    safe: &OpenSafe,
    wish: impl Fn(&VerifiedSafe, &VerifiedLog) -> Result<Option<Wish>, Problem> + Send,
) -> Result<(), Problem> {
    let mut refused = None;
    for _ in 0..TRIES {
        let log = session.sync().await?;
        reading::read(session, safe).await?;
        keys::complete(session, safe).await?;
        let verified = safe.memory().await.verified.clone();
        let Some(wish) = wish(&verified, &log)? else { return Ok(()) };
        let draft = draft(session, safe, &verified, &log, wish).await?;
        for part in &draft.parts {
            answered(|| session.member.put_safe_part(safe.id, part.clone())).await?;
        }
        match answered(|| session.member.certify_safe(safe.id, &draft.call)).await {
            Ok(_) => {
                let envelope = draft.call.certificate.to_vec();
                let batch = Batch { certificates: vec![envelope], records: Vec::new() };
                reading::take(session, safe, batch).await?;
                if let (Some((epoch, _)), Some(head)) = (&draft.key, &draft.call.ring) {
                    let pieces = std::iter::once(head.to_vec()).chain(draft.parts);
                    let pieces = pieces.map(|bytes| (Hash::of(&[&bytes]), bytes)).collect();
                    keys::keep_ring(session, safe.id, *epoch, pieces).await;
                }
                if let Some((epoch, key)) = draft.key {
                    session
                        .store({
                            let id = safe.id;
                            move |store| store.put_safe_keys(id, &[(epoch, key)])
                        })
                        .await?;
                    keys::complete(session, safe).await?;
                }
                session.safes_changed();
                return Ok(());
            }
            Err(error) => match error.code() {
                Some(ErrorCode::SafeConflict | ErrorCode::Behind | ErrorCode::RingMissing) => {
                    refused = Some(error);
                }
                Some(_) | None => return Err(error.into()),
            },
        }
    }
    Err(refused.map_or_else(
        || TransportError::Misbehaved("it takes no certificate of the safe").into(),
        Problem::from,
    ))
}

/// A certificate, with all that goes to the server beside it.
struct Draft {
    call: SafeCertificate,
    /// Parts of the ring and blocks of earlier keys, which are put before.
    parts: Vec<Vec<u8>>,
    /// The key that it brings.
    key: Option<(u64, SafeKey)>,
}

/// Whether somebody else than the author loses their role.
fn removes_others(changes: &[Change], author: UserId) -> bool {
    changes.iter().any(|change| change.user != author && change.role.is_none())
}

async fn draft(
    session: &Session,
    safe: &OpenSafe,
    verified: &VerifiedSafe,
    log: &Arc<VerifiedLog>,
    wish: Wish,
) -> Result<Draft, Problem> {
    let (changes, rekey, witness) = match wish {
        Wish::Role(change) => (vec![change], false, false),
        Wish::Key => (Vec::new(), true, false),
        Wish::Witness => (Vec::new(), false, true),
    };
    let summary = &session.open.summary;
    let n = log.count();
    let Some(present) = verified.present().copied() else {
        return Err(Problem::new(ProblemKind::NotSharedYet, "The server does not have the safe yet."));
    };
    let leaves = matches!(changes.as_slice(), [Change { user, role: None }] if *user == summary.user);
    let needs_key = rekey || removes_others(&changes, summary.user) || verified.is_due(&**log, n);
    let ring = if needs_key && !leaves && !witness {
        Some(ring(session, safe, verified, log, &changes, present.key.epoch + 1).await?)
    } else {
        None
    };
    let boxes =
        if ring.is_none() { boxes(session, safe, verified, log, &changes).await? } else { Vec::new() };
    let key = ring.as_ref().map(|(_, made)| Key {
        epoch: present.key.epoch + 1,
        key_check: made.key_check,
        list: made.list,
        ring: made.ring,
        lost: 0,
    });
    let payload = Payload {
        organisation: safe.organisation.clone(),
        safe: safe.id,
        previous: present.log,
        place: present.journal,
        seen: log.head(),
        author: summary.device,
        time: clock::now(),
        body: Body::Changed { changes, key, boxes: (!boxes.is_empty()).then(|| boxes_hash(&boxes)) },
    };
    let signer = &session.open.keys.signing_key;
    let envelope = payload.sign_with(|context, message| signer.sign(context, message));
    verified.judge_certificate(&envelope, &**log).map_err(refusals::not_taken)?;
    let (head, parts, key) = match ring {
        Some((key, made)) => {
            let parts = made.parts.into_iter().chain(made.blocks).map(|(_, bytes)| bytes).collect();
            (Some(made.head.into()), parts, Some((present.key.epoch + 1, key)))
        }
        None => (None, Vec::new(), None),
    };
    Ok(Draft { call: SafeCertificate { certificate: envelope.into(), ring: head, boxes }, parts, key })
}

/// A new key for everybody who has a role after the changes.
async fn ring(
    session: &Session,
    safe: &OpenSafe,
    verified: &VerifiedSafe,
    log: &VerifiedLog,
    changes: &[Change],
    epoch: u64,
) -> Result<(SafeKey, MadeRing), Problem> {
    let list = match ring_list(verified, log, log.count(), changes) {
        Ok(list) => list,
        Err(never) => match never {},
    };
    let mut to = Vec::new();
    for recipient in list.0 {
        to.push((recipient, session.key_by_hash(recipient.key).await?));
    }
    let memory = safe.memory().await;
    let (organisation, id, author) = (safe.organisation.clone(), safe.id, session.open.summary.device);
    blocking_in(&session.tasks, move || {
        let key = SafeKey::random(&mut entropy::System).map_err(problems::no_entropy)?;
        let made = made(&EpochKey::new(&organisation, &id, epoch, &key), author, &to, &memory.keys)?;
        Ok::<_, Problem>((key, made))
    })
    .await
}

/// Makes a ring of keys that were looked up.
///
/// # Errors
/// The random source's; `safe_full`.
pub(super) fn made(
    key: &EpochKey<'_>,
    author: parsec_protocol::ids::DeviceId,
    to: &[(Recipient, Option<EncryptionKey>)],
    before: &parsec_protocol::safes::keys::SafeKeys,
) -> Result<MadeRing, Problem> {
    let list: Vec<_> =
        to.iter().map(|(recipient, key)| SealTo { recipient: *recipient, key: key.as_ref() }).collect();
    let before = Before { keys: before, past: None };
    make_ring(key, author, &list, before, &mut entropy::System).map_err(|error| match error {
        RingError::NoEntropy(error) => problems::no_entropy(error),
        RingError::Epoch => {
            Problem::new(ProblemKind::SafeFull, "The safe has had as many keys as it may have.")
        }
        RingError::List | RingError::OtherKey => Problem::new(
            ProblemKind::Internal,
            "The safe's members don't fit the ring that is made for them.",
        ),
    })
}

/// Boxes with the present key for those who get a role and had none.
async fn boxes(
    session: &Session,
    safe: &OpenSafe,
    verified: &VerifiedSafe,
    log: &VerifiedLog,
    changes: &[Change],
) -> Result<Vec<BoxFor>, Problem> {
    let mut boxes = Vec::new();
    for change in changes.iter().filter(|change| change.role.is_some()) {
        if verified.role(&change.user).is_some() {
            continue;
        }
        let found = match log.user_at(&change.user, log.count()) {
            Ok(found) => found,
            Err(never) => match never {},
        };
        let Some(user) = found.filter(|user| !user.suspended) else { continue };
        let Some(to) = session.key_by_hash(user.encryption_key).await? else {
            let text = "The server does not have this member's key.";
            return Err(Problem::new(ProblemKind::ServerMisbehaved, text));
        };
        let memory = safe.memory().await;
        let key = verified.present().and_then(|now| memory.keys.at(now.key.epoch));
        let Some(key) = key else {
            let text = "This device has not been given the safe's present key yet.";
            return Err(Problem::new(ProblemKind::SafeKeyMissing, text));
        };
        boxes.push(BoxFor { user: change.user, sealed: make_box(&key, change.user, &to).into() });
    }
    Ok(boxes)
}
