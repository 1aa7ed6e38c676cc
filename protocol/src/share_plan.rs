//! The plan of a kit that was split among members: who has a share, and how each is recognised
//! (docs/protocol.md, *Shares of a kit*).
//!
//! Decides what a plan may say, and by whose signature it holds: the kit's own, so that nobody
//! makes one later, and that a revoked kit takes it along. Refuses fewer than two that are needed,
//! more than are there, members out of order or twice, and the kit's own user among them. Holds
//! nothing secret: the metadata server reads it, too.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::chain::organisation::certificate::DeviceKind;
use crate::chain::organisation::log::VerifiedLog;
use crate::codec;
use crate::ids::{DeviceId, OrganisationId, UserId};
use crate::public_keys::{Context, Hash, Signature, VerifyKey};
use crate::sealing::SECRET_BOX_BYTES;

/// Most members of a plan: people who are asked by telephone, and far below the 255 that the field
/// has numbers for.
pub const SHARES_MAX: usize = 16;
/// Fewest shares that may bring a kit back: with one, each member alone could.
pub const THRESHOLD_MIN: u8 = 2;
/// Largest plan. 16 members take 51 bytes each, the rest under 200.
pub const PLAN_MAX_BYTES: usize = 1_536;
/// Length of a box with a share: of its number (1), its 32 values (34) and their array (1), where
/// a box of [`SECRET_BOX_BYTES`] holds 32.
pub const SHARE_BOX_BYTES: usize = SECRET_BOX_BYTES + 4;

/// Keeps the hash of a share apart from every other.
pub(crate) const COMMITMENT: &[u8] = b"parsec-share-v1\0";

/// A member who has a share, and what their share must hash to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct PlanMember {
    /// User id of the member.
    #[n(0)]
    pub user: UserId,
    /// Hash of the share with its number.
    #[n(1)]
    pub commitment: Hash,
}

/// Among whom a kit was split, and how many of them are needed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Plan {
    /// The organisation that the kit is of.
    #[n(0)]
    pub organisation: OrganisationId,
    /// User id of whom the kit brings back.
    #[n(1)]
    pub user: UserId,
    /// Device id of the kit.
    #[n(2)]
    pub kit: DeviceId,
    /// How many shares bring the kit back.
    #[n(3)]
    pub threshold: u8,
    /// The members, ascending by user id: the number of a share is its member's place, from 1.
    #[n(4)]
    pub members: Vec<PlanMember>,
}

/// A plan's payload and the kit's signature over it.
#[derive(Encode, Decode)]
struct Envelope {
    #[n(0)]
    payload: ByteVec,
    #[n(1)]
    signature: Signature,
}

/// Why a plan is none. Its maker's fault, or that of whoever shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlanFault {
    /// Too long, or not of this form.
    #[error("it is not of the form of a plan")]
    Malformed,
    /// Too few or too many shares, or members out of order, twice, or with the kit's user.
    #[error("its members or the number of shares needed are not allowed")]
    Members,
    /// The log has no such kit of this user.
    #[error("the log has no such kit of this user")]
    NoKit,
    /// The kit or its user was revoked.
    #[error("the kit or its user was revoked")]
    Revoked,
    /// Not signed by the kit.
    #[error("it is not signed by the kit")]
    BadSignature,
}

impl Plan {
    /// Signs it: the kit does, whose signing key `sign` has.
    #[must_use]
    pub fn sign_with(&self, sign: impl FnOnce(Context, &[u8]) -> Signature) -> Vec<u8> {
        let payload = codec::encode(self);
        let signature = sign(Context::SharePlan, &payload);
        codec::encode(&Envelope { payload: payload.into(), signature })
    }

    /// Reads a plan, and checks it under the key that `key` has for its kit.
    ///
    /// # Errors
    /// [`PlanFault`].
    pub fn read(
        bytes: &[u8],
        key: impl FnOnce(&Self) -> Result<VerifyKey, PlanFault>,
    ) -> Result<Self, PlanFault> {
        let Envelope { payload, signature } =
            codec::decode(bytes, PLAN_MAX_BYTES).map_err(|_| PlanFault::Malformed)?;
        let plan: Self = codec::decode(&payload, PLAN_MAX_BYTES).map_err(|_| PlanFault::Malformed)?;
        if !plan.is_allowed() {
            return Err(PlanFault::Members);
        }
        let key = key(&plan)?;
        key.verify(Context::SharePlan, &payload, &signature).map_err(|_| PlanFault::BadSignature)?;
        Ok(plan)
    }

    /// Reads a plan that was verified before it was kept, where its signature is not looked at.
    ///
    /// # Errors
    /// [`PlanFault::Malformed`], [`PlanFault::Members`].
    pub fn unverified(bytes: &[u8]) -> Result<Self, PlanFault> {
        let Envelope { payload, signature: _ } =
            codec::decode(bytes, PLAN_MAX_BYTES).map_err(|_| PlanFault::Malformed)?;
        let plan: Self = codec::decode(&payload, PLAN_MAX_BYTES).map_err(|_| PlanFault::Malformed)?;
        if plan.is_allowed() { Ok(plan) } else { Err(PlanFault::Members) }
    }

    /// The same by what a verified log says of the kit, which must stand in it as a kit of its
    /// user, and neither revoked.
    ///
    /// # Errors
    /// [`PlanFault`].
    pub fn standing(bytes: &[u8], log: &VerifiedLog) -> Result<Self, PlanFault> {
        Self::read(bytes, |plan| {
            let kit = log
                .device(&plan.kit)
                .filter(|kit| kit.kind == DeviceKind::Recovery && kit.user == plan.user)
                .filter(|_| plan.organisation == *log.organisation())
                .ok_or(PlanFault::NoKit)?;
            let user = log.user(&plan.user).ok_or(PlanFault::NoKit)?;
            if kit.revoked.is_some() || user.revoked.is_some() {
                return Err(PlanFault::Revoked);
            }
            Ok(kit.verify_key)
        })
    }

    /// Whether it is a plan that somebody may have.
    fn is_allowed(&self) -> bool {
        let count = self.members.len();
        let ascending = self.members.windows(2).all(|pair| match pair {
            [one, next] => one.user < next.user,
            _ => true,
        });
        count <= SHARES_MAX
            && self.threshold >= THRESHOLD_MIN
            && usize::from(self.threshold) <= count
            && ascending
            && self.members.iter().all(|member| member.user != self.user)
    }

    /// The number of a member's share, and what the share must hash to.
    #[must_use]
    pub fn share_of(&self, user: &UserId) -> Option<(u8, Hash)> {
        (1..).zip(&self.members).find(|(_, member)| member.user == *user).map(|(n, it)| (n, it.commitment))
    }
}
