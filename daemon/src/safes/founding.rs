//! A new safe: its first key, its first certificate, its name.
//!
//! Decides that all of it is durable here before anything goes out, so that a safe can be made
//! without the server. The manifest names it before the server has it: the user's other devices
//! know by then that it is theirs. Signed anew where the organisation's log has gone on meanwhile.

use std::sync::Arc;

use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::codec;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{Label, OperationId, SafeId};
use parsec_protocol::keys::{SafeKey, random};
use parsec_protocol::limits::BODY_MAX_BYTES;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{ErrorCode, NewSafe};
use parsec_protocol::safe_log::certificate::{Body, Payload, first_journal_head, first_log_head};
use parsec_protocol::safe_log::ring::Recipient;
use parsec_protocol::safe_log::safe::VerifiedSafe;
use parsec_protocol::safe_log::{FORMAT, SUITE};
use parsec_protocol::safes::change::Change;
use parsec_protocol::safes::keys::{EpochKey, SafeKeys};
use parsec_protocol::safes::rebase::Pending;

use super::{certifying, folding, keys, loading, reading, refusals};
use crate::os::{blocking_in, clock, entropy};
use crate::problems;
use crate::session::open_safes::{OpenSafe, Queued};
use crate::session::safe_items::Batch;
use crate::session::{Session, manifest};
use crate::store::OpenDevice;
use crate::transport::Trouble;
use crate::transport::retry::{ANSWER_WAIT, answered};

/// Certificates signed for one founding: each refusal means that the organisation's log has gone
/// on.
const TRIES: u32 = 8;

/// Makes a safe on this device.
///
/// # Errors
/// Why not; the random source's; the store's.
pub(crate) async fn create(session: &Session, name: Label) -> Result<Arc<OpenSafe>, Problem> {
    let mut log = session.log();
    // Registered a moment ago: the log that is here may be the one of before.
    if log.device(&session.open.summary.device).is_none() {
        session.sync().await?;
        log = session.log();
    }
    let own = own_key(session, &log).await?;
    let open = Arc::clone(&session.open);
    let id = blocking_in(&session.tasks, move || {
        let drawn = random(&mut entropy::System).map_err(problems::no_entropy)?;
        let id = SafeId::from_bytes(drawn);
        let operation = OperationId::from_bytes(random(&mut entropy::System).map_err(problems::no_entropy)?);
        let key = SafeKey::random(&mut entropy::System).map_err(problems::no_entropy)?;
        let new = signed(&open, &log, id, &key, &own)?;
        let pending = Pending::from(Change::SafeName { operation, name });
        let queued = Queued { pending, saved: clock::now(), adds: Vec::new(), brake: None };
        let queue = folding::encoded(&[queued]);
        open.store.found_safe(id, open.summary.device, &codec::encode(&new), &key, &queue)?;
        Ok::<_, Problem>(id)
    })
    .await?;
    session.safes_changed();
    let missing = || Problem::new(ProblemKind::Internal, "A safe that was made is not there.");
    loading::open(session, id).await?.ok_or_else(missing)
}

/// The user's own place in a ring, with the key itself.
type Own = (Recipient, Option<parsec_protocol::sealing::EncryptionKey>);

async fn own_key(session: &Session, log: &VerifiedLog) -> Result<Own, Problem> {
    let user = session.open.summary.user;
    let missing = || Problem::new(ProblemKind::DevicePending, "The device is not registered yet.");
    let key = log.user(&user).ok_or_else(missing)?.encryption_key;
    Ok((Recipient { user, key }, session.key_by_hash(key).await?))
}

/// The first certificate and its ring.
fn signed(
    open: &OpenDevice,
    log: &VerifiedLog,
    id: SafeId,
    key: &SafeKey,
    own: &Own,
) -> Result<NewSafe, Problem> {
    let (organisation, device) = (open.summary.organisation.clone(), open.summary.device);
    let none = SafeKeys::new(organisation.clone(), id);
    let made = certifying::made(
        &EpochKey::new(&organisation, &id, 0, key),
        device,
        std::slice::from_ref(own),
        &none,
    )?;
    let payload = Payload {
        previous: first_log_head(&organisation, &id, &device),
        place: first_journal_head(&organisation, &id, &device),
        organisation: organisation.clone(),
        safe: id,
        seen: log.head(),
        author: device,
        time: clock::now(),
        body: Body::Created {
            suite: SUITE,
            format: FORMAT,
            key_check: made.key_check,
            list: made.list,
            ring: made.ring,
        },
    };
    let envelope = payload.sign_with(|context, message| open.keys.signing_key.sign(context, message));
    VerifiedSafe::empty(organisation, id).judge_certificate(&envelope, log).map_err(refusals::not_taken)?;
    let parts = made.parts.into_iter().map(|(_, bytes)| bytes.into()).collect();
    Ok(NewSafe { certificate: envelope.into(), ring: made.head.into(), parts })
}

/// Gives a safe that was made here to the server. The caller holds the safe's turn.
///
/// # Errors
/// Why not; what was made stays, and goes out again.
pub(super) async fn post(session: &Session, safe: &OpenSafe) -> Result<(), Problem> {
    let id = safe.id;
    // First of all, and never without: from the first hint on, the user's other devices shall take
    // it for theirs. One that hears of it before would hold it for an offer.
    let trouble = Trouble::new(None);
    let named = tokio::time::timeout(ANSWER_WAIT, manifest::keep(session, &trouble));
    named.await.map_err(|_| {
        let text = "The server can't be reached, so the safe is on this device alone.";
        Problem::new(ProblemKind::ServerUnreachable, text)
    })??;
    for _ in 0..TRIES {
        let stored = session.store(move |store| store.safe(id)).await?;
        let Some(founding) = stored.and_then(|stored| stored.founding) else { return Ok(()) };
        let new: NewSafe = codec::decode(&founding, BODY_MAX_BYTES).map_err(|_| {
            Problem::new(ProblemKind::StoreDamaged, "What founds a safe is malformed in the store.")
        })?;
        match answered(|| session.member.found_safe(&new)).await {
            Ok(_) => {
                let pieces = std::iter::once(new.ring).chain(new.parts);
                let pieces = pieces.map(|bytes| (Hash::of(&[&bytes]), bytes.to_vec())).collect();
                keys::keep_ring(session, id, 0, pieces).await;
                let certificates = vec![new.certificate.to_vec()];
                reading::take(session, safe, Batch { certificates, records: Vec::new() }).await?;
                return Ok(());
            }
            Err(error) => match error.code() {
                // An answer was lost: it has been founded with what was signed before.
                Some(ErrorCode::SafeConflict) => return reading::read(session, safe).await,
                Some(ErrorCode::Behind | ErrorCode::ClockSkew) => sign_anew(session, safe).await?,
                Some(_) | None => return Err(error.into()),
            },
        }
    }
    Err(Problem::new(ProblemKind::ServerBusy, "The organisation's log goes on too fast for a new safe."))
}

/// The same safe under the same key, signed by the log as it is now.
async fn sign_anew(session: &Session, safe: &OpenSafe) -> Result<(), Problem> {
    let log = session.sync().await?;
    let own = own_key(session, &log).await?;
    let (open, id) = (Arc::clone(&session.open), safe.id);
    blocking_in(&session.tasks, move || {
        let damaged =
            || Problem::new(ProblemKind::StoreDamaged, "The key of a new safe is not in the store.");
        let (_, key) = open.store.safe_keys(id)?.into_iter().next().ok_or_else(damaged)?;
        let new = signed(&open, &log, id, &key, &own)?;
        open.store.refound_safe(id, &codec::encode(&new))?;
        Ok::<_, Problem>(())
    })
    .await
}
