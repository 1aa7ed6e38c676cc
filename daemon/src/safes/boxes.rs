//! Boxes for members who lack a right one: a ring leaves out who was suspended, and whoever makes a
//! ring or lets somebody in can give a wrong box, or none.
//!
//! Decides who that is by the two logs and by making each box again: all holders make the very same
//! one. A box that is another one is an alarm that names its author, and every writer's device
//! posts the right one: so nobody who has the key can keep it from a member for as long as another
//! holder is there.

use std::collections::BTreeMap;

use parsec_protocol::chain::organisation::at::{MembersAt as _, UserAt};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::Problem;
use parsec_protocol::ids::UserId;
use parsec_protocol::relay::ErrorCode;
use parsec_protocol::safe_log::ring::{RingHead, RingPart};
use parsec_protocol::safe_log::safe::EpochRecord;
use parsec_protocol::safes::boxes::make_box;
use parsec_protocol::sealing::KeyHash;

use super::due::Between;
use super::keys;
use crate::os::blocking_in;
use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::store::StoreError;
use crate::transport::TransportError;
use crate::transport::retry::answered;

fn user_at(log: &VerifiedLog, user: &UserId, n: u64) -> Option<UserAt> {
    match log.user_at(user, n) {
        Ok(at) => at,
        Err(never) => match never {},
    }
}

/// Members other than this one who are to have the present key, with the key of theirs that it is
/// sealed to.
fn members(
    log: &VerifiedLog,
    safe: &crate::session::open_safes::Memory,
    own: UserId,
) -> Vec<(UserId, KeyHash)> {
    let counts = |user: &UserId| {
        let now = user_at(log, user, log.count())?;
        let counts = safe.verified.role(user)?.at(&now).is_some() && !now.suspended;
        counts.then_some((*user, now.encryption_key))
    };
    let others = safe.verified.roles().filter(|(user, _)| **user != own);
    others.filter_map(|(user, _)| counts(user)).collect()
}

/// Gives the present key to those who may have it and have no right box. Each member is looked at
/// once for each key while the device is unlocked. The caller holds the safe's turn.
///
/// # Errors
/// The server's and the store's.
pub(super) async fn give(session: &Session, safe: &OpenSafe, between: &mut Between) -> Result<(), Problem> {
    let log = session.log();
    let own = session.open.summary.user;
    let (record, wanted) = {
        let memory = safe.memory().await;
        let writes = user_at(&log, &own, log.count())
            .filter(|at| !at.suspended)
            .and_then(|at| memory.verified.role(&own)?.at(&at))
            .is_some_and(|role| role.writes());
        // Another key is about to be made, whose ring has a box for each that counts; those that
        // were posted for this one may be sealed to keys that don't count any more, and accuse
        // nobody.
        let gives = writes && !memory.verified.is_due(&*log, log.count());
        let record = memory.verified.epochs().last().copied();
        let record = record.filter(|record| gives && memory.keys.at(record.key.epoch).is_some());
        (record, members(&log, &memory, own))
    };
    let Some(record) = record else { return Ok(()) };
    let epoch = record.key.epoch;
    let wanted: Vec<_> =
        wanted.into_iter().filter(|(user, _)| !between.given.contains(&(epoch, *user))).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let Some(head) = keys::ring(session, safe, &record).await? else { return Ok(()) };
    let mut ring = Ring { head, parts: BTreeMap::new(), told: false };
    for (user, key) in wanted {
        match one(session, safe, &record, &mut ring, (user, key)).await {
            Ok(()) => drop(between.given.insert((epoch, user))),
            // The server is away, or takes no more for now: for the others as well.
            Err(problem) if problem.retryable => return Err(problem),
            // A refusal of this one is not the others'.
            Err(problem) => tracing::warn!(safe = %safe.id, %user, %problem, "a box can't be given"),
        }
    }
    Ok(())
}

/// A ring, as far as it was looked at.
struct Ring {
    head: RingHead,
    parts: BTreeMap<usize, Option<RingPart>>,
    /// Whether its author was named: for one wrong box or for many.
    told: bool,
}

/// What the ring has for a member.
enum InRing {
    /// A box, or null, sealed to the key that counts.
    Sealed(Option<Vec<u8>>),
    /// Nothing that can be looked at.
    Nothing,
}

impl Ring {
    async fn of(
        &mut self,
        session: &Session,
        safe: &OpenSafe,
        (user, key): (UserId, KeyHash),
    ) -> Result<InRing, Problem> {
        let recipient = self.head.list.0.iter().find(|recipient| recipient.user == user);
        let (Some((number, at)), Some(_)) =
            (self.head.list.place_of(&user), recipient.filter(|recipient| recipient.key == key))
        else {
            return Ok(InRing::Nothing);
        };
        if !self.parts.contains_key(&number) {
            let part = keys::part(session, safe, &self.head, number).await?;
            let _ = self.parts.insert(number, part);
        }
        let part = self.parts.get(&number).and_then(Option::as_ref);
        let sealed = part.and_then(|part| part.0.get(at));
        Ok(sealed.map_or(InRing::Nothing, |sealed| InRing::Sealed(sealed.as_ref().map(|it| it.to_vec()))))
    }
}

/// Looks at one member's box, and posts the right one where there is none.
async fn one(
    session: &Session,
    safe: &OpenSafe,
    record: &EpochRecord,
    ring: &mut Ring,
    (user, key): (UserId, KeyHash),
) -> Result<(), Problem> {
    let epoch = record.key.epoch;
    let in_ring = ring.of(session, safe, (user, key)).await?;
    let mine = record.author == session.open.summary.device;
    if mine && matches!(in_ring, InRing::Sealed(Some(_))) {
        return Ok(());
    }
    // Unsound, or not to be had: nobody can make a box for it.
    let Some(to) = session.key_by_hash(key).await? else { return Ok(()) };
    let memory = safe.memory().await;
    let right = blocking_in(&session.tasks, move || {
        Ok::<_, StoreError>(memory.keys.at(epoch).map(|key| make_box(&key, user, &to)))
    })
    .await?;
    let Some(right) = right else { return Ok(()) };
    match in_ring {
        InRing::Sealed(Some(sealed)) if sealed == right => return Ok(()),
        InRing::Sealed(sealed) => {
            if !mine && !ring.told {
                ring.told = true;
                match sealed {
                    Some(_) => keys::wrong(session, safe, record.author, "A box in the ring").await,
                    None => keys::left_out(session, safe, record.author, user).await,
                }
            }
        }
        InRing::Nothing => {}
    }
    let posted = match answered(|| session.member.safe_boxes(safe.id, epoch, user)).await {
        Ok(posted) => posted.boxes,
        Err(error) if error.code() == Some(ErrorCode::BoxUnknown) => Vec::new(),
        Err(TransportError::Misbehaved(_)) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    if posted.iter().any(|found| found.sealed.as_slice() == right) {
        return Ok(());
    }
    // Whoever posted it may have known a newer log, with another key of that member.
    if !posted.is_empty() {
        session.sync().await?;
        if user_at(&session.log(), &user, session.log().count()).is_none_or(|at| at.encryption_key != key) {
            return Ok(());
        }
    }
    for found in &posted {
        keys::wrong_posted(session, safe, found.author).await;
    }
    answered(|| session.member.put_safe_box(safe.id, epoch, user, right.clone())).await?;
    tracing::info!(safe = %safe.id, %user, "a member was given the safe's key");
    Ok(())
}
