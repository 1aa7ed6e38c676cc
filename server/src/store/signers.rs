//! Devices that have signed lately: their next request is let in without a look into the database.
//!
//! Decides how many are remembered, and for how long. Nothing rests on an entry: each call looks
//! its signer up again in its own transaction. An entry goes when the rights of its user change;
//! after a minute in any case, because another program can change a database, too. Never holds a
//! device that was revoked or is unknown: those are looked up each time, at their address's
//! expense.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use parsec_protocol::ids::{DeviceId, OrganisationId};

use super::rows::Signer;
use crate::watchers::Topic;

/// Devices remembered, some 150 bytes each: those of all members who are at work at one time.
const SIGNERS_MAX: usize = 65_536;
/// How long an entry is used: so long may a change by another program go unnoticed here, and no
/// longer.
const FRESH: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Entry {
    signer: Signer,
    read: Instant,
}

#[derive(Debug, Default)]
struct Inner {
    organisations: HashMap<OrganisationId, HashMap<DeviceId, Entry>>,
    count: usize,
    /// How often rights have changed.
    changes: u64,
}

/// The devices that are remembered as signers.
#[derive(Debug, Default)]
pub(super) struct Signers(Mutex<Inner>);

/// The moment before a look into the database: what it finds is not kept if rights have changed
/// since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(u64);

impl Signers {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing below can stop half-way, so a poisoned lock still guards sound maps.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A device that is remembered; or the moment, for a look into the database.
    pub(super) fn get(
        &self,
        organisation: &OrganisationId,
        device: &DeviceId,
        now: Instant,
    ) -> Result<Signer, Moment> {
        let inner = self.lock();
        let entry = inner.organisations.get(organisation).and_then(|devices| devices.get(device));
        match entry.filter(|entry| now.saturating_duration_since(entry.read) < FRESH) {
            Some(entry) => Ok(entry.signer),
            None => Err(Moment(inner.changes)),
        }
    }

    /// Remembers what a look into the database found that began at this moment.
    pub(super) fn keep(&self, moment: Moment, organisation: &OrganisationId, signer: Signer, now: Instant) {
        let mut inner = self.lock();
        if signer.revoked || moment.0 != inner.changes {
            return;
        }
        if inner.count >= SIGNERS_MAX {
            // All are at hand in the database.
            inner.organisations.clear();
            inner.count = 0;
        }
        let devices = inner.organisations.entry(organisation.clone()).or_default();
        if devices.insert(signer.member.device, Entry { signer, read: now }).is_none() {
            inner.count += 1;
        }
    }

    /// Forgets the devices of all users whose rights are among what has changed.
    pub(super) fn forget<'a>(&self, changed: impl Iterator<Item = &'a Topic>) {
        for topic in changed {
            let Topic::Rights { organisation, user } = topic else { continue };
            let mut inner = self.lock();
            inner.changes = inner.changes.wrapping_add(1);
            let Some(devices) = inner.organisations.get_mut(organisation) else { continue };
            let before = devices.len();
            devices.retain(|_, entry| entry.signer.member.user != *user);
            let gone = before.saturating_sub(devices.len());
            if devices.is_empty() {
                inner.organisations.remove(organisation);
            }
            inner.count = inner.count.saturating_sub(gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use parsec_protocol::chain::organisation::certificate::{DeviceKind, Profile};
    use parsec_protocol::ids::UserId;
    use parsec_protocol::public_keys::VerifyKey;

    use super::*;
    use crate::invitations::Member;

    fn signer(number: u32, user: u8) -> Signer {
        let mut device = [0; 16];
        device[..4].copy_from_slice(&number.to_be_bytes());
        let member = Member {
            user: UserId::from_bytes([user; 16]),
            device: DeviceId::from_bytes(device),
            profile: Profile::Standard,
        };
        let verify_key = VerifyKey::from_bytes([1; 32]);
        Signer { member, verify_key, kind: DeviceKind::Device, revoked: false }
    }

    fn acme() -> OrganisationId {
        "acme".parse().unwrap()
    }

    fn rights(organisation: &str, user: u8) -> Topic {
        Topic::Rights { organisation: organisation.parse().unwrap(), user: UserId::from_bytes([user; 16]) }
    }

    fn known(signers: &Signers, number: u32, now: Instant) -> bool {
        signers.get(&acme(), &signer(number, 0).member.device, now).is_ok()
    }

    fn keep(signers: &Signers, signer: Signer, now: Instant) {
        let moment = signers.get(&acme(), &signer.member.device, now).unwrap_err();
        signers.keep(moment, &acme(), signer, now);
    }

    #[test]
    fn a_change_of_rights_drops_the_users_devices_and_no_others() {
        let (signers, now) = (Signers::default(), Instant::now());
        for (number, user) in [(1, 1), (2, 1), (3, 2)] {
            keep(&signers, signer(number, user), now);
        }
        signers.forget([rights("other", 1)].iter());
        assert!((1..=3).all(|number| known(&signers, number, now)));
        signers.forget([rights("acme", 1)].iter());
        assert_eq!([1, 2, 3].map(|number| known(&signers, number, now)), [false, false, true]);
        assert_eq!(signers.lock().count, 1);
        signers.forget([rights("acme", 2)].iter());
        assert!(signers.lock().organisations.is_empty());
    }

    /// A look that began before a revocation may end after it, with what was there before.
    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let (signers, now) = (Signers::default(), Instant::now());
        let moment = signers.get(&acme(), &signer(1, 1).member.device, now).unwrap_err();
        signers.forget([rights("acme", 1)].iter());
        signers.keep(moment, &acme(), signer(1, 1), now);
        assert!(!known(&signers, 1, now));
    }

    #[test]
    fn the_revoked_are_not_kept_the_rest_for_a_minute_and_all_in_a_bounded_room() {
        let (signers, now) = (Signers::default(), Instant::now());
        keep(&signers, Signer { revoked: true, ..signer(1, 1) }, now);
        assert!(!known(&signers, 1, now));
        keep(&signers, signer(1, 1), now);
        assert!(known(&signers, 1, now + FRESH - Duration::from_millis(1)));
        assert!(!known(&signers, 1, now + FRESH));
        for number in 1..=u32::try_from(SIGNERS_MAX).unwrap() + 1 {
            let signer = signer(number, 1);
            let Err(moment) = signers.get(&acme(), &signer.member.device, now) else { continue };
            signers.keep(moment, &acme(), signer, now);
            assert!(signers.lock().count <= SIGNERS_MAX);
        }
        let inner = signers.lock();
        assert_eq!(inner.organisations.values().map(HashMap::len).sum::<usize>(), inner.count);
    }
}
