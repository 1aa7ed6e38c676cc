//! What this server decides about safes beside the rules that all members share.
//!
//! Decides who is told of a safe at all, whether what comes with an item fits it, how far its
//! author must have seen, and how much an organisation may store. Whether an item may come next is
//! for the protocol's rules, over the views of `view`. Each operation is one transaction's work: an
//! item and all that comes with it are there together or not at all.

mod access;
mod certificates;
mod faults;
mod objects;
mod past;
mod quota;
mod records;
mod repairing;
mod rings;
mod totals;
mod turns;
mod view;

use parsec_protocol::ids::{DeviceId, Timestamp, UserId};
use parsec_protocol::relay::{ErrorCode, SafeHint};
use parsec_protocol::safe_log::certificate::Change as RoleChange;
use parsec_protocol::safe_log::effects::{Effects, Holders};

pub(crate) use access::reader;
use access::writer;
pub(crate) use certificates::{Appended, Comes, append, found, read as read_certificate};
pub(crate) use objects::{
    Presence, Wanted, added, expired, fetched, kept, presence, put as put_objects, wanted,
};
pub(crate) use past::PastLogs;
use quota::Bringer;
pub(crate) use quota::{Quotas, is_room, warn_of_room};
pub use quota::{SafeQuota, SafeQuotaError};
pub(crate) use records::{Posted, post, read as read_record};
pub(crate) use repairing::{RESTORED_SECONDS, note_restored, put_back, read as read_repair};
pub(crate) use rings::{part, post_box, put_part, remove_parts, ring};
pub(crate) use totals::{lengths, room, totals};
pub(crate) use turns::TURN_SECONDS;

use crate::errors::Refusal;
use crate::store::log::OpenLog;
use crate::store::safes::SafeKey;
use crate::store::{StoreError, Tx};
use crate::watchers::{Change, Topic};

/// How far an item's time may be from the server's clock: people may write in a train whose clock
/// is a few minutes off, and nobody dates what they write for next year.
const SKEW_SECONDS: u64 = 600;

/// Who asks, and about which safe.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) of: SafeKey<'a>,
    pub(crate) device: DeviceId,
    pub(crate) user: UserId,
}

impl<'a> Asking<'a> {
    /// As somebody who brings something of their own.
    const fn bringer(&self) -> Bringer<'a> {
        Bringer { of: self.of, user: Some(self.user) }
    }
}

/// By what an item is taken or refused, beside the rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) quotas: &'a Quotas,
    pub(crate) now: Timestamp,
    /// Whether the item has waited for somebody else's turn to end as long as it may.
    pub(crate) has_waited: bool,
}

impl<'a> Terms<'a> {
    /// For what waits for nobody's turn.
    pub(crate) const fn at(now: Timestamp, quotas: &'a Quotas) -> Self {
        Self { quotas, now, has_waited: false }
    }

    /// Refuses an item that is dated another day.
    fn check_time(&self, time: Timestamp) -> Result<(), Refusal> {
        let early = time > self.now.plus_seconds(SKEW_SECONDS);
        let late = self.now > time.plus_seconds(SKEW_SECONDS);
        if early || late { Err(ErrorCode::ClockSkew.into()) } else { Ok(()) }
    }
}

/// Refuses an item whose author has not seen the newest certificate of the organisation that is no
/// enrolment: somebody who was revoked by it would still count. Also one whose author has seen more
/// than there is here: this server is the one that is behind.
fn check_seen(tx: &dyn Tx, log: &OpenLog, seen: u64) -> Result<(), Refusal> {
    let newest = tx.changed_up_to(log.organisation())?;
    if (newest..=log.head().count).contains(&seen) { Ok(()) } else { Err(Refusal::BEHIND) }
}

/// Carries out what an accepted item changes, and tells the members.
fn carry_out(tx: &mut dyn Tx, of: SafeKey<'_>, effects: &Effects) -> Result<(), StoreError> {
    for RoleChange { user, role } in &effects.roles {
        tx.set_role(of, user, *role)?;
    }
    let holders = match &effects.holders {
        Holders::Joined(joined) => joined,
        Holders::Replaced(ring) => {
            tx.clear_holders(of)?;
            ring
        }
    };
    for recipient in &holders.0 {
        tx.add_holder(of, &recipient.user, &recipient.key)?;
    }
    tx.set_present(of, &effects.present)?;
    tell(tx, of, effects)
}

/// Tells everybody who has a role now, and who has lost theirs: that is how their devices learn it.
fn tell(tx: &mut dyn Tx, of: SafeKey<'_>, effects: &Effects) -> Result<(), StoreError> {
    let (log, seq) = (effects.present.log.count, effects.present.journal.count);
    let hint = SafeHint { safe: *of.safe, log, seq };
    let mut users: Vec<UserId> = tx.roles(of)?.into_iter().map(|(user, _)| user).collect();
    users.extend(effects.roles.iter().filter(|change| change.role.is_none()).map(|change| change.user));
    for user in users {
        tx.changed(Change::of_safe(Topic::Safes { organisation: of.organisation.clone(), user }, hint));
    }
    Ok(())
}
