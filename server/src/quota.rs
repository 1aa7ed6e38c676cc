//! How much anybody may ask for: token buckets per address, token, device, member and organisation.
//! How much anybody may store, `budgets` says.
//!
//! Decides when a request is one too many. Memory is bounded whatever the number of addresses: full
//! buckets are forgotten, and when all places are taken, newcomers share one bucket.

use std::collections::HashMap;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use parsec_protocol::ids::{DeviceId, OrganisationId, Token, UserId};

use crate::errors::Refusal;

/// Buckets remembered, about 100 bytes each.
const BUCKETS_MAX: usize = 100_000;

/// A bucket's size and how fast it fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Rate {
    /// Requests a second in the long run; at least 1.
    pub per_second: u32,
    /// Most requests at once.
    pub burst: u32,
}

/// The text is not a rate such as `200:2000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected PER_SECOND:BURST, both above 0, as in 50:500")]
pub struct RateError;

impl FromStr for Rate {
    type Err = RateError;
    fn from_str(text: &str) -> Result<Self, RateError> {
        let (per_second, burst) = text.split_once(':').ok_or(RateError)?;
        let number = |text: &str| text.parse().ok().filter(|number| *number > 0).ok_or(RateError);
        Ok(Self { per_second: number(per_second)?, burst: number(burst)? })
    }
}

impl TryFrom<String> for Rate {
    type Error = RateError;
    fn try_from(text: String) -> Result<Self, RateError> {
        text.parse()
    }
}

/// Rates of every kind of caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Anonymous and invited requests of one address. A household or office behind one address does
    /// some ten ceremonies at once, of some 20 requests each. As many again, in a bucket of their
    /// own, for signed requests that turn out not to be.
    pub address: Rate,
    /// Requests with one token: a ceremony's, many times over.
    pub token: Rate,
    /// Requests signed by one device. A greeter's daemon resumes all its ceremonies at once after
    /// it was offline.
    pub device: Rate,
    /// Requests signed by all devices of one member: as many as two of them may make, so that more
    /// devices are no larger share of the organisation's.
    pub member: Rate,
    /// Signed requests in one organisation, so that one organisation leaves room for others.
    pub organisation: Rate,
    /// Mails of one organisation: enough to invite a school class at once, useless for advertising.
    pub mail: Rate,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            address: Rate { per_second: 50, burst: 500 },
            token: Rate { per_second: 20, burst: 200 },
            device: Rate { per_second: 200, burst: 2_000 },
            member: Rate { per_second: 400, burst: 4_000 },
            organisation: Rate { per_second: 1_000, burst: 10_000 },
            mail: Rate { per_second: 1, burst: 200 },
        }
    }
}

/// Repairs of one device: the longest log in one go, which is 200 calls, and then one a second.
/// Each may be 500 signatures for the thread that all organisations write through.
const REPAIRS: Rate = Rate { per_second: 1, burst: 200 };

/// Whose bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Address(IpAddr),
    /// An address's signed requests whose signature has not been checked. Apart from
    /// [`Self::Address`], so that whoever asks without a name from an office costs the office's
    /// members nothing.
    Unproved(IpAddr),
    Token(Token),
    Device(OrganisationId, DeviceId),
    Member(OrganisationId, UserId),
    Organisation(OrganisationId),
    Mail(OrganisationId),
    Repair(OrganisationId, DeviceId),
}

impl Key {
    /// An address's bucket.
    pub(crate) fn address(address: IpAddr) -> Self {
        Self::Address(network(address))
    }

    /// An address's bucket for what has yet to be proved.
    pub(crate) fn unproved(address: IpAddr) -> Self {
        Self::Unproved(network(address))
    }
}

/// What counts as one address: IPv6 hosts own a /64 at least.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Requests left at a moment, in thousandths.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    level: u64,
    at: Instant,
}

impl Bucket {
    fn refill(&mut self, rate: Rate, now: Instant) {
        let elapsed = u64::try_from(now.saturating_duration_since(self.at).as_millis()).unwrap_or(u64::MAX);
        let full = u64::from(rate.burst) * 1_000;
        // A request a second is one thousandth a millisecond.
        let gained = elapsed.saturating_mul(u64::from(rate.per_second));
        self.level = self.level.saturating_add(gained).min(full);
        self.at = now;
    }
}

#[derive(Debug, Default)]
struct Buckets {
    own: HashMap<Key, Bucket>,
    shared: Option<Bucket>,
}

/// One request out of a bucket, that may be given back.
#[derive(Debug)]
pub(crate) struct Lent {
    key: Key,
    shared: bool,
}

/// The server's memory of who asked how much.
#[derive(Debug)]
pub(crate) struct Quota {
    rates: RwLock<Option<Rates>>,
    buckets: Mutex<Buckets>,
}

impl Quota {
    /// `None`: no rates at all, for tests and private networks.
    pub(crate) fn new(rates: Option<Rates>) -> Self {
        Self { rates: RwLock::new(rates), buckets: Mutex::default() }
    }

    fn rates(&self) -> Option<Rates> {
        *self.rates.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Other rates from now on. What was taken stays taken.
    pub(crate) fn set_rates(&self, rates: Option<Rates>) {
        *self.rates.write().unwrap_or_else(PoisonError::into_inner) = rates;
    }

    /// Takes one request out of a bucket.
    pub(crate) fn take(&self, key: &Key) -> Result<(), Refusal> {
        self.take_at(key, Instant::now())
    }

    /// The same, as of then.
    pub(crate) fn take_at(&self, key: &Key, now: Instant) -> Result<(), Refusal> {
        self.lend_at(key, now).map(drop)
    }

    /// Takes one that may turn out to be somebody else's.
    pub(crate) fn lend_at(&self, key: &Key, now: Instant) -> Result<Lent, Refusal> {
        let mut lent = Lent { key: key.clone(), shared: false };
        let Some(rates) = self.rates() else { return Ok(lent) };
        let rate = rates.of(key);
        let mut buckets = self.lock();
        if buckets.own.len() >= BUCKETS_MAX && !buckets.own.contains_key(key) {
            buckets.own.retain(|key, bucket| {
                let rate = rates.of(key);
                bucket.refill(rate, now);
                bucket.level < u64::from(rate.burst) * 1_000
            });
        }
        let full = Bucket { level: u64::from(rate.burst) * 1_000, at: now };
        lent.shared = buckets.own.len() >= BUCKETS_MAX && !buckets.own.contains_key(key);
        let bucket = if lent.shared {
            buckets.shared.get_or_insert(full)
        } else {
            buckets.own.entry(key.clone()).or_insert(full)
        };
        bucket.refill(rate, now);
        match bucket.level.checked_sub(1_000) {
            Some(left) => {
                bucket.level = left;
                Ok(lent)
            }
            None => Err(Refusal::rate_limited(1)),
        }
    }

    /// Puts one back. Where its bucket is gone, it was full.
    pub(crate) fn give_back_at(&self, lent: Lent, now: Instant) {
        let Some(rates) = self.rates() else { return };
        let mut buckets = self.lock();
        let bucket = if lent.shared { buckets.shared.as_mut() } else { buckets.own.get_mut(&lent.key) };
        if let Some(bucket) = bucket {
            bucket.level = bucket.level.saturating_add(1_000);
            bucket.refill(rates.of(&lent.key), now);
        }
    }

    /// Whether a bucket has one left; takes none.
    pub(crate) fn has_at(&self, key: &Key, now: Instant) -> Result<(), Refusal> {
        let Some(rates) = self.rates() else { return Ok(()) };
        let buckets = self.lock();
        // A bucket that isn't there is full.
        let Some(mut bucket) = buckets.own.get(key).copied() else { return Ok(()) };
        drop(buckets);
        bucket.refill(rates.of(key), now);
        if bucket.level >= 1_000 { Ok(()) } else { Err(Refusal::rate_limited(1)) }
    }

    fn lock(&self) -> MutexGuard<'_, Buckets> {
        // Nothing above can stop half-way, so a poisoned lock still guards sound buckets.
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rates {
    const fn of(&self, key: &Key) -> Rate {
        match key {
            Key::Address(_) | Key::Unproved(_) => self.address,
            Key::Token(_) => self.token,
            Key::Device(..) => self.device,
            Key::Member(..) => self.member,
            Key::Organisation(_) => self.organisation,
            Key::Mail(_) => self.mail,
            Key::Repair(..) => REPAIRS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    fn address(n: u32) -> Key {
        Key::address(Ipv4Addr::from(n).into())
    }

    #[test]
    fn a_bucket_empties_and_fills_and_is_nobody_elses() {
        let quota = Quota::new(Some(Rates::default()));
        let start = Instant::now();
        for _ in 0..500 {
            assert_eq!(quota.take_at(&address(1), start), Ok(()));
        }
        assert!(quota.take_at(&address(1), start).is_err());
        assert_eq!(quota.take_at(&address(2), start), Ok(()));
        let later = start + Duration::from_millis(20);
        assert_eq!(quota.take_at(&address(1), later), Ok(()));
        assert!(quota.take_at(&address(1), later).is_err());
    }

    #[test]
    fn many_addresses_share_one_bucket_and_takes_no_more_memory() {
        let quota = Quota::new(Some(Rates::default()));
        let start = Instant::now();
        let many = u32::try_from(BUCKETS_MAX).unwrap();
        for n in 0..many {
            quota.take_at(&address(n), start).unwrap();
        }
        let refused = (0..600).filter(|n| quota.take_at(&address(many + n), start).is_err()).count();
        assert_eq!(refused, 100);
        assert_eq!(quota.buckets.lock().unwrap().own.len(), BUCKETS_MAX);
        // Buckets that are full again make room.
        assert_eq!(quota.take_at(&address(many), start + Duration::from_secs(60)), Ok(()));
        assert_eq!(quota.buckets.lock().unwrap().own.len(), 1);
    }

    #[test]
    fn what_is_given_back_is_there_again_and_no_more_than_that() {
        let quota = Quota::new(Some(Rates::default()));
        let start = Instant::now();
        let mut lent: Vec<_> = (0..500).map(|_| quota.lend_at(&address(1), start).unwrap()).collect();
        assert!(quota.has_at(&address(1), start).is_err());
        quota.give_back_at(lent.remove(0), start);
        assert_eq!(quota.has_at(&address(1), start), Ok(()));
        assert_eq!(quota.take_at(&address(1), start), Ok(()));
        assert!(quota.take_at(&address(1), start).is_err());
        // Long after, it is full already.
        let later = start + Duration::from_secs(60);
        lent.into_iter().for_each(|lent| quota.give_back_at(lent, later));
        assert_eq!((0..600).filter(|_| quota.take_at(&address(1), later).is_ok()).count(), 500);
        assert_eq!(quota.has_at(&address(2), later), Ok(()));
    }

    #[test]
    fn an_ipv6_network_is_one_address_and_a_mapped_one_is_ipv4() {
        let host = |last| Key::address(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last).into());
        assert_eq!(host(1), host(2));
        assert_ne!(host(1), Key::address(Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 0, 0, 0, 1).into()));
        assert_eq!(
            Key::address("::ffff:10.0.0.1".parse().unwrap()),
            Key::address("10.0.0.1".parse().unwrap())
        );
    }
}
