//! What a database has to offer about directory keys.
//!
//! Decides nothing; see [`Tx`](super::Tx).

use parsec_protocol::chain::organisation::view::DirectoryState;
use parsec_protocol::ids::{DeviceId, OrganisationId, Timestamp, UserId};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::PostedBox;

use super::StoreError;

/// A part that no ring has named yet, and whose it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoosePart<'a> {
    pub(crate) organisation: &'a OrganisationId,
    /// Device that put it.
    pub(crate) device: &'a DeviceId,
    pub(crate) hash: &'a Hash,
}

/// Rows of directory keys, of their rings, and of boxes beside them.
///
/// # Errors
/// [`StoreError`], of each operation.
pub(crate) trait DirectoryRows {
    /// The present key as rules ask for it.
    fn directory(&self, organisation: &OrganisationId) -> Result<DirectoryState, StoreError>;
    /// Notes that somebody was revoked who has the present key.
    fn set_somebody_left(&mut self, organisation: &OrganisationId) -> Result<(), StoreError>;
    /// Makes another key the present one.
    fn change_directory(&mut self, organisation: &OrganisationId, number: u32) -> Result<(), StoreError>;
    /// Keeps the head of a key's ring.
    fn put_directory_head(
        &mut self,
        organisation: &OrganisationId,
        number: u32,
        ring: &Hash,
        head: &[u8],
    ) -> Result<(), StoreError>;
    /// The head of the ring with this hash, if it is here.
    fn directory_head(
        &self,
        organisation: &OrganisationId,
        ring: &Hash,
    ) -> Result<Option<Vec<u8>>, StoreError>;
    /// A part of a ring.
    fn directory_part(
        &self,
        organisation: &OrganisationId,
        hash: &Hash,
    ) -> Result<Option<Vec<u8>>, StoreError>;
    /// A part that a device has put and no ring has named.
    fn loose_directory_part(&self, part: LoosePart<'_>) -> Result<Option<Vec<u8>>, StoreError>;
    /// Keeps a part that a ring of this device may name, and of its user's others the newest so
    /// many.
    fn put_loose_directory_part(
        &mut self,
        part: LoosePart<'_>,
        bytes: &[u8],
        now: Timestamp,
        others: usize,
    ) -> Result<(), StoreError>;
    /// Makes a loose part one of a key's ring.
    fn keep_directory_part(&mut self, part: LoosePart<'_>, number: u32) -> Result<(), StoreError>;
    /// Whether there is a loose part that was put before.
    fn is_directory_due(&self, before: Timestamp) -> Result<bool, StoreError>;
    /// Removes loose parts that were put before, so many. Whether there may be more.
    fn remove_loose_directory_parts(&mut self, before: Timestamp, most: usize) -> Result<bool, StoreError>;
    /// How many bytes there are of each key's ring and boxes, the newest first.
    fn directory_sizes(&self, organisation: &OrganisationId) -> Result<Vec<(u32, u64)>, StoreError>;
    /// Removes rings and boxes up to this number.
    fn remove_directory(&mut self, organisation: &OrganisationId, last: u32) -> Result<(), StoreError>;
    /// Boxes with a key that were posted for a member, the newest first; at most `most`.
    fn directory_boxes(
        &self,
        organisation: &OrganisationId,
        number: u32,
        user: &UserId,
        most: usize,
    ) -> Result<Vec<PostedBox>, StoreError>;
    /// How many boxes with a key a member has posted.
    fn directory_boxes_by(
        &self,
        organisation: &OrganisationId,
        number: u32,
        author: &UserId,
    ) -> Result<u64, StoreError>;
    /// Keeps a box in the place of the same author's former one.
    fn post_directory_box(
        &mut self,
        organisation: &OrganisationId,
        number: u32,
        user: &UserId,
        posted: &PostedBox,
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// All users, revoked ones too, ascending by id.
    fn all_users(&self, organisation: &OrganisationId) -> Result<Vec<UserId>, StoreError>;
}
