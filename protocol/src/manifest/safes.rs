//! The safes in a user's manifest: what a version says of each, and how two sayings are one.
//!
//! Decides which of two marks of one safe is taken: the larger epoch, and for each head the larger
//! count. Refuses one count with two hashes: that is a fork. A safe that is missing on one side was
//! not removed by it; leaving is a mark of its own.

use minicbor::{Decode, Encode};

use crate::chain::head::Head;
use crate::ids::{DeviceId, SafeId};
use crate::keys::SafeKey;
use crate::safe_log::roles::Role;

/// Safes of one manifest: as many as one member may have.
pub const MANIFEST_SAFES_MAX: usize = 1_000;

/// What a manifest says of a safe that the user has accepted.
#[derive(Debug, Encode, Decode)]
pub struct SafeMark {
    /// The safe that the mark is of.
    #[n(0)]
    pub safe: SafeId,
    /// The device that founded it: both heads at 0 follow from that.
    #[n(1)]
    pub founder: DeviceId,
    /// Epoch of the newest key that the author knows.
    #[n(2)]
    pub epoch: u64,
    /// The key of that epoch.
    #[n(3)]
    pub key: SafeKey,
    /// The user's role; none where the user has left.
    #[n(4)]
    pub role: Option<Role>,
    /// The safe log, as the author has verified it.
    #[n(5)]
    pub log: Head,
    /// The journal, as the author has verified it.
    #[n(6)]
    pub journal: Head,
    /// Certificates of the organisation's log that the author had verified when it got the heads.
    #[n(7)]
    pub floor: u64,
}

/// Two marks name two heads at one place: the safe's log or its journal was made two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("two devices of this user have verified different logs of one safe")]
pub struct MarksFork;

/// Of two heads of one log the one that goes further.
///
/// # Errors
/// [`MarksFork`] for one count with two hashes.
pub fn further(one: Head, other: Head) -> Result<Head, MarksFork> {
    match one.count.cmp(&other.count) {
        std::cmp::Ordering::Less => Ok(other),
        std::cmp::Ordering::Greater => Ok(one),
        std::cmp::Ordering::Equal if one == other => Ok(one),
        std::cmp::Ordering::Equal => Err(MarksFork),
    }
}

/// Whether what a version says of its safes can be: ascending by id, each once, no more than a
/// member may have.
#[must_use]
pub(super) fn are_in_order(safes: &[SafeMark]) -> bool {
    safes.len() <= MANIFEST_SAFES_MAX && safes.is_sorted_by(|one, next| one.safe < next.safe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::public_keys::Hash;

    #[test]
    fn the_head_that_goes_further_is_taken_and_two_at_one_place_are_a_fork() {
        let at = |count, text: &[u8]| Head { count, hash: Hash::of(&[text]) };
        assert_eq!(further(at(1, b"a"), at(2, b"b")), Ok(at(2, b"b")));
        assert_eq!(further(at(2, b"b"), at(1, b"a")), Ok(at(2, b"b")));
        assert_eq!(further(at(2, b"b"), at(2, b"b")), Ok(at(2, b"b")));
        assert_eq!(further(at(2, b"b"), at(2, b"c")), Err(MarksFork));
    }
}
