//! How much of what is stored may be one party's: budgets by member first, then by organisation.
//!
//! Decides the numbers and who is told. Administrators and everybody else have a pool each, so that
//! whatever outsiders spend, alone or together, an administrator can still invite. What is over
//! never keeps anybody from inviting: it makes room.

use std::str::FromStr;

use parsec_protocol::relay::ErrorCode;

use crate::invitations::Pool;

const MEBIBYTE: u64 = 1_024 * 1_024;
/// An invitation that is over is kept for a while, to be answered about: of these at most three for
/// each one that can be used.
const STORED_PER_LIVE: u64 = 4;
/// Invitations of one administrator that can be used: a whole year of a school at once, and half of
/// what there is for all of them.
const ADMINISTRATOR_LIVE: u64 = 500;
/// Those of any other member, who invites own devices alone: more than anybody sets up on one day.
const MEMBER_LIVE: u64 = 16;
/// Those of all administrators of an organisation, and as many again of everybody else. Both pools
/// fit one list of a device.
const POOL_LIVE: u64 = 1_000;
/// Bytes of one administrator: a ceremony under way, of some 10 KiB, for every invitation that can
/// be used, six times over.
const ADMINISTRATOR_BYTES: u64 = 32 * MEBIBYTE;
/// Bytes of any other member: sixteen ceremonies, ten times over, or three of the largest steps
/// that there may be.
const MEMBER_BYTES: u64 = 2 * MEBIBYTE;
/// Bytes of a pool: two administrators that have spent all they may, or thirty-two other members.
const POOL_BYTES: u64 = 64 * MEBIBYTE;
/// The receipt of a newcomer is never refused for want of room, up to this size (a real one has
/// some 300 bytes): the newcomer's keys are durable by then.
pub(crate) const RECEIPT_ROOM: u64 = 4_096;

/// What one party may take up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Share {
    /// Invitations that can be used.
    pub live: u64,
    /// Bytes, those of steps under way included.
    pub bytes: u64,
}

impl Share {
    /// Invitations in all, those that are over included.
    pub(crate) const fn stored(self) -> u64 {
        self.live.saturating_mul(STORED_PER_LIVE)
    }
}

/// The text is not a share such as `16:2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected INVITATIONS:MIB, both above 0, as in 500:32")]
pub struct ShareError;

impl FromStr for Share {
    type Err = ShareError;
    fn from_str(text: &str) -> Result<Self, ShareError> {
        let (live, mebibytes) = text.split_once(':').ok_or(ShareError)?;
        let number = |text: &str| {
            text.parse::<u32>().ok().filter(|number| *number > 0).map(u64::from).ok_or(ShareError)
        };
        Ok(Self { live: number(live)?, bytes: number(mebibytes)?.saturating_mul(MEBIBYTE) })
    }
}

impl TryFrom<String> for Share {
    type Error = ShareError;
    fn try_from(text: String) -> Result<Self, ShareError> {
        text.parse()
    }
}

/// Budgets of members and of organisations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// What one administrator may take up.
    pub administrator: Share,
    /// Of one other member.
    pub member: Share,
    /// Of all administrators of an organisation together, and as much again of everybody else.
    pub organisation: Share,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            administrator: Share { live: ADMINISTRATOR_LIVE, bytes: ADMINISTRATOR_BYTES },
            member: Share { live: MEMBER_LIVE, bytes: MEMBER_BYTES },
            organisation: Share { live: POOL_LIVE, bytes: POOL_BYTES },
        }
    }
}

impl Budgets {
    /// One member's share of this pool.
    pub(crate) const fn of_member(&self, pool: Pool) -> Share {
        match pool {
            Pool::Administrators => self.administrator,
            Pool::Others => self.member,
        }
    }
}

/// Whose share it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Member,
    Pool,
}

impl Whose {
    /// How it is called when it is spent.
    pub(crate) const fn spent(self) -> ErrorCode {
        match self {
            Self::Member => ErrorCode::MemberBudgetSpent,
            Self::Pool => ErrorCode::OrganisationBudgetSpent,
        }
    }
}

/// What somebody has taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Taken {
    pub(crate) live: u64,
    pub(crate) stored: u64,
    pub(crate) bytes: u64,
}

/// What is wanted more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// One more invitation that can be used.
    Invitation,
    /// One more that is over already.
    Kept,
    /// So many bytes.
    Bytes(u64),
}

impl Wish {
    /// Whether this fits beside what is taken; what is over counts for `stored` and `bytes`, and
    /// goes where it is in the way.
    pub(crate) const fn fits(self, taken: Taken, share: Share) -> bool {
        match self {
            Self::Invitation => {
                taken.live < share.live && taken.stored < share.stored() && taken.bytes < share.bytes
            }
            Self::Kept => taken.stored < share.stored() && taken.bytes < share.bytes,
            Self::Bytes(more) => taken.bytes.saturating_add(more) <= share.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        let budgets = Budgets::default();
        for (pool, share) in [(Pool::Administrators, budgets.administrator), (Pool::Others, budgets.member)] {
            assert_eq!(budgets.of_member(pool), share);
            assert!(share.live <= budgets.organisation.live && share.bytes <= budgets.organisation.bytes);
        }
        // An outsider's all, and everybody's.
        assert!(budgets.member.bytes + RECEIPT_ROOM * budgets.member.live < 3 * MEBIBYTE);
        assert!(2 * budgets.organisation.bytes <= 128 * MEBIBYTE);
    }

    #[test]
    fn a_share_is_written_as_two_numbers() {
        assert_eq!("16:2".parse(), Ok(Budgets::default().member));
        for bad in ["16", "0:2", "16:0", "-1:2", "16:2MiB", "16:2:3", "4294967296:1", ""] {
            assert_eq!(bad.parse::<Share>(), Err(ShareError), "{bad}");
        }
    }

    #[test]
    fn what_is_full_is_full_by_each_of_its_measures() {
        let share = Share { live: 2, bytes: 1_000 };
        let taken = Taken { live: 1, stored: 7, bytes: 999 };
        assert!(Wish::Invitation.fits(taken, share));
        for full in
            [Taken { live: 2, ..taken }, Taken { stored: 8, ..taken }, Taken { bytes: 1_000, ..taken }]
        {
            assert!(!Wish::Invitation.fits(full, share), "{full:?}");
        }
        assert!(Wish::Kept.fits(Taken { live: 2, ..taken }, share));
        assert!(!Wish::Kept.fits(Taken { stored: 8, ..taken }, share));
        assert!(Wish::Bytes(1).fits(taken, share) && !Wish::Bytes(2).fits(taken, share));
        assert!(!Wish::Bytes(u64::MAX).fits(taken, share));
    }
}
