//! How much the safes of an organisation may hold, each of them, and what one member brings.
//!
//! Decides by the operator's limits for the organisation, where there are any, and by the disk.
//! Keys have a tenth beyond each limit: a full safe must not keep anybody from being removed.
//! What members put back into a server that has lost it counts against nobody's own limit.

use std::collections::BTreeMap;
use std::str::FromStr;

use parsec_protocol::ids::{OrganisationId, UserId};
use parsec_protocol::relay::{ErrorCode, Limited};

use crate::errors::Refusal;
use crate::objects::Room;
use crate::store::Tx;
use crate::store::safes::SafeKey;

const MEBIBYTE: u64 = 1_024 * 1_024;
/// Of so many bytes of the disk, one stays free: the database and its log need room, too.
const FREE_SHARE: u64 = 20;
/// Most of it that has to stay free, on a large disk: a database never grows by that before its
/// administrator has read the warning.
const FREE_MAX: u64 = 4_096 * MEBIBYTE;
/// Keys may go beyond the limit by one of so many bytes.
const KEYS_SHARE: u64 = 10;

/// A limit for one organisation: of all its safes, of each, or of what each member has brought.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct SafeQuota {
    /// Name of the organisation.
    pub organisation: OrganisationId,
    /// The limit, in bytes.
    pub bytes: u64,
}

/// The text is not a limit such as `acme:100000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected ORGANISATION:MIB, as in acme:100000")]
pub struct SafeQuotaError;

impl FromStr for SafeQuota {
    type Err = SafeQuotaError;
    fn from_str(text: &str) -> Result<Self, SafeQuotaError> {
        let (organisation, mebibytes) = text.split_once(':').ok_or(SafeQuotaError)?;
        let organisation = organisation.parse().map_err(|_| SafeQuotaError)?;
        let mebibytes: u32 = mebibytes.parse().map_err(|_| SafeQuotaError)?;
        Ok(Self { organisation, bytes: u64::from(mebibytes).saturating_mul(MEBIBYTE) })
    }
}

impl TryFrom<String> for SafeQuota {
    type Error = SafeQuotaError;
    fn try_from(text: String) -> Result<Self, SafeQuotaError> {
        text.parse()
    }
}

/// For what somebody wants room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Records and objects.
    Contents,
    /// Certificates, rings, parts and boxes.
    Keys,
}

/// Who brings something, and into which safe.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bringer<'a> {
    pub(super) of: SafeKey<'a>,
    /// None where it is put back: somebody else brought it once.
    pub(super) user: Option<UserId>,
}

/// The limits of all organisations that have one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Quotas {
    organisations: BTreeMap<OrganisationId, u64>,
    each: BTreeMap<OrganisationId, u64>,
    members: BTreeMap<OrganisationId, u64>,
}

impl Quotas {
    /// The operator's limits of all safes of an organisation, of each of them, and of what each
    /// member has brought; of two of one kind for one organisation, the last.
    pub(crate) fn new(organisations: &[SafeQuota], each: &[SafeQuota], members: &[SafeQuota]) -> Self {
        let by_name = |quotas: &[SafeQuota]| {
            quotas.iter().map(|quota| (quota.organisation.clone(), quota.bytes)).collect()
        };
        let [organisations, each, members] = [organisations, each, members].map(by_name);
        Self { organisations, each, members }
    }

    /// The limit of an organisation, where it has one.
    pub(super) fn of(&self, organisation: &OrganisationId) -> Option<u64> {
        self.organisations.get(organisation).copied()
    }

    /// What a safe takes of what each may, where that is limited.
    pub(super) fn of_safe(&self, tx: &dyn Tx, of: SafeKey<'_>) -> Result<Option<Limited>, Refusal> {
        let Some(limit) = self.each.get(of.organisation).copied() else { return Ok(None) };
        Ok(Some(Limited { bytes: tx.bytes_of_safe(of)?, limit }))
    }

    /// What a member has brought of what each may, where that is limited.
    pub(super) fn of_member(
        &self,
        tx: &dyn Tx,
        organisation: &OrganisationId,
        user: &UserId,
    ) -> Result<Option<Limited>, Refusal> {
        let Some(limit) = self.members.get(organisation).copied() else { return Ok(None) };
        Ok(Some(Limited { bytes: tx.bytes_of_member(organisation, user)?, limit }))
    }

    /// Refuses what would not fit.
    pub(super) fn admit(
        &self,
        tx: &dyn Tx,
        bringer: Bringer<'_>,
        more: usize,
        wish: Wish,
    ) -> Result<(), Refusal> {
        let organisation = bringer.of.organisation;
        let all = match self.of(organisation) {
            Some(limit) => Some(Limited { bytes: tx.safe_bytes(organisation)?, limit }),
            None => None,
        };
        let member = match &bringer.user {
            Some(user) => self.of_member(tx, organisation, user)?,
            None => None,
        };
        let each = self.of_safe(tx, bringer.of)?;
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        let fits = |Limited { bytes, limit }| {
            let limit = match wish {
                Wish::Contents => limit,
                Wish::Keys => u64::saturating_add(limit, limit / KEYS_SHARE),
            };
            u64::saturating_add(bytes, more) <= limit
        };
        let fits = [all, each, member].into_iter().flatten().all(fits);
        if fits { Ok(()) } else { Err(ErrorCode::QuotaReached.into()) }
    }
}

/// Tells the administrator that contents are refused for want of room on the disk.
pub(crate) fn warn_of_room(room: Room) {
    tracing::warn!(
        free = room.free,
        must_stay = stays_free(room),
        "the disk of the objects is all but full: contents are refused"
    );
}

/// Bytes of the disk that contents don't take.
const fn stays_free(room: Room) -> u64 {
    let share = room.all / FREE_SHARE;
    if share < FREE_MAX { share } else { FREE_MAX }
}

/// Whether the disk has room for `more` bytes and what must stay free.
pub(crate) const fn is_room(room: Room, more: u64) -> bool {
    room.free.saturating_sub(more) >= stays_free(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_one_form() {
        let quota: SafeQuota = "acme:3".parse().unwrap();
        assert_eq!((quota.organisation.as_str(), quota.bytes), ("acme", 3 * MEBIBYTE));
        for bad in ["acme", "acme:", ":3", "Acme:3", "acme:-1", "acme:3:4", "acme:5000000000"] {
            assert_eq!(bad.parse::<SafeQuota>(), Err(SafeQuotaError), "{bad}");
        }
    }

    #[test]
    fn a_twentieth_of_the_disk_stays_free_and_no_more_than_some_gigabytes() {
        let room = Room { free: 10, all: 100 };
        assert!(is_room(room, 5));
        assert!(!is_room(room, 6));
        assert!(!is_room(room, u64::MAX));
        let large = Room { free: 5_000 * MEBIBYTE, all: 1_000_000 * MEBIBYTE };
        assert!(is_room(large, 904 * MEBIBYTE));
        assert!(!is_room(large, 905 * MEBIBYTE));
    }
}
