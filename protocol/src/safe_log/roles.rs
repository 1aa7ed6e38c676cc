//! Roles: what a member of a safe may do, and what remains of it at a place of the organisation's
//! log.
//!
//! Decides role\*: what the rules count with (docs/protocol.md, *Who counts*). Refuses to let a
//! revoked or device-less user, or an outsider's high role, count anywhere.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::chain::organisation::at::UserAt;
use crate::chain::organisation::certificate::Profile;

/// What a member of a safe may do. The highest is the first, and the smallest in order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[cbor(index_only)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, other owners included.
    #[n(0)]
    Owner,
    /// Shares with contributors and readers, makes keys, lets objects go.
    #[n(1)]
    Manager,
    /// Writes records, and makes keys that are due.
    #[n(2)]
    Contributor,
    /// Reads everything, and writes nothing.
    #[n(3)]
    Reader,
}

impl Role {
    /// Whether it writes records.
    #[must_use]
    pub const fn writes(self) -> bool {
        match self {
            Self::Owner | Self::Manager | Self::Contributor => true,
            Self::Reader => false,
        }
    }

    /// Whether it may let objects go, and make keys at any time.
    #[must_use]
    pub const fn manages(self) -> bool {
        match self {
            Self::Owner | Self::Manager => true,
            Self::Contributor | Self::Reader => false,
        }
    }

    /// Role\* of a user to whom the safe's log gives this role.
    #[must_use]
    pub fn at(self, user: &UserAt) -> Option<Self> {
        if user.revoked || !user.has_device {
            return None;
        }
        match user.profile {
            Profile::Administrator | Profile::Standard => Some(self),
            Profile::Outsider => Some(self.max(Self::Contributor)),
        }
    }
}
