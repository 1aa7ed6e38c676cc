//! What members say to the server about kits that were split among them (docs/protocol.md, *Shares
//! of a kit*).
//!
//! Decides the records and their bounds. The plan is public; what is sealed stays so.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::ids::{DeviceId, UserId};
use crate::sealing::KeyHash;
use crate::share_plan::{PLAN_MAX_BYTES, SHARE_BOX_BYTES, SHARES_MAX};

/// Kits of others of which one member may hold shares: everybody's in a large department.
pub const SHARES_HELD_MAX: usize = 1_000;
/// Kits of one user that are split and not revoked: each takes the telephone of several people.
pub const PLANS_MAX: usize = 8;
/// Largest [`NewShares`]: the plan, a box for each member with user id (17), key hash (34) and
/// framing.
pub const NEW_SHARES_MAX_BYTES: usize = PLAN_MAX_BYTES + SHARES_MAX * (SHARE_BOX_BYTES + 60) + 16;

/// A member's share, sealed to a key of theirs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ShareBox {
    /// User id of the member whose share it is.
    #[n(0)]
    pub member: UserId,
    /// Hash of the key of that member to which it is sealed.
    #[n(1)]
    pub key: KeyHash,
    /// The box: [`SHARE_BOX_BYTES`].
    #[n(2)]
    pub sealed: ByteVec,
}

/// Among whom a new kit is split, and the share of each.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct NewShares {
    /// The plan's envelope, signed by the kit.
    #[n(0)]
    pub plan: ByteVec,
    /// The members' boxes, in the order of the plan.
    #[n(1)]
    pub boxes: Vec<ShareBox>,
}

/// A kit that was split, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct SplitKit {
    /// User id of whom it brings back.
    #[n(0)]
    pub user: UserId,
    /// Device id of the kit.
    #[n(1)]
    pub kit: DeviceId,
}

/// The kits whose user the caller is, or of which they have a share: at most [`PLANS_MAX`] and
/// [`SHARES_HELD_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SplitKits {
    /// Ascending by user and kit.
    #[n(0)]
    pub kits: Vec<SplitKit>,
}

/// How one kit was split.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SharesView {
    /// The plan's envelope, signed by the kit.
    #[n(0)]
    pub plan: ByteVec,
    /// The caller's own share, where they have one.
    #[n(1)]
    pub own: Option<ShareBox>,
}
