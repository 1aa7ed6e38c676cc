//! Boxes for members who lack one: a ring leaves out who was suspended, and once they have another
//! key, any writer gives them the present one.
//!
//! Decides who that is by the two logs alone. Each writer's device gives a box once while it is
//! unlocked; all make the very same one, so nobody can be given a wrong one by too many.

use parsec_protocol::chain::organisation::at::{MembersAt as _, UserAt};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::Problem;
use parsec_protocol::ids::UserId;
use parsec_protocol::safe_log::certificate;
use parsec_protocol::safes::boxes::make_box;
use parsec_protocol::sealing::KeyHash;

use super::due::Between;
use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::transport::retry::answered;

fn user_at(log: &VerifiedLog, user: &UserId, n: u64) -> Option<UserAt> {
    match log.user_at(user, n) {
        Ok(at) => at,
        Err(never) => match never {},
    }
}

/// Gives the present key to those whom its ring left out and who may have it by now. The caller
/// holds the safe's turn.
///
/// # Errors
/// The server's and the store's.
pub(super) async fn give(session: &Session, safe: &OpenSafe, between: &mut Between) -> Result<(), Problem> {
    let log = session.log();
    let own = session.open.summary.user;
    let record = {
        let memory = safe.memory().await;
        let writes = user_at(&log, &own, log.count())
            .filter(|at| !at.suspended)
            .and_then(|at| memory.verified.role(&own)?.at(&at))
            .is_some_and(|role| role.writes());
        memory.verified.epochs().last().copied().filter(|_| writes)
    };
    let Some(record) = record else { return Ok(()) };
    let id = safe.id;
    let made = session.store(move |store| store.safe_certificates(id, record.position)).await?;
    let payload =
        made.first().and_then(|bytes| certificate::Envelope::decode(bytes).and_then(|it| it.payload()).ok());
    let Some(seen) = payload.map(|payload| payload.seen.count) else { return Ok(()) };
    let lacking: Vec<(UserId, KeyHash)> = {
        let memory = safe.memory().await;
        let lacks = |user: &UserId| {
            let left_out = user_at(&log, user, seen)?.suspended;
            let now = user_at(&log, user, log.count())?;
            let counts = memory.verified.role(user)?.at(&now).is_some() && !now.suspended;
            (left_out && counts).then_some((*user, now.encryption_key))
        };
        memory.verified.roles().filter_map(|(user, _)| lacks(user)).collect()
    };
    for (user, key) in lacking {
        let epoch = record.key.epoch;
        if !between.given.insert((epoch, user)) {
            continue;
        }
        let Some(to) = session.key_by_hash(key).await? else { continue };
        let sealed = {
            let memory = safe.memory().await;
            memory.keys.at(epoch).map(|key| make_box(&key, user, &to))
        };
        let Some(sealed) = sealed else { continue };
        answered(|| session.member.put_safe_box(safe.id, epoch, user, sealed.clone())).await?;
        tracing::info!(safe = %safe.id, %user, "a member was given the safe's key");
    }
    Ok(())
}
