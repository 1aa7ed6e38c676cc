//! What a database has to offer about the directory key.
//!
//! Decides nothing; see [`Tx`](super::Tx).

use parsec_protocol::chain::organisation::view::DirectoryState;
use parsec_protocol::ids::{DeviceId, OrganisationId, Timestamp, UserId};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::PostedBox;

use super::StoreError;

/// Rows of the present directory key, of its ring, and of boxes beside it.
///
/// # Errors
/// [`StoreError`], of each operation.
pub(crate) trait DirectoryRows {
    /// The present key as rules ask for it.
    fn directory(&self, organisation: &OrganisationId) -> Result<DirectoryState, StoreError>;
    /// Notes that somebody was revoked who has the present key.
    fn set_somebody_left(&mut self, organisation: &OrganisationId) -> Result<(), StoreError>;
    /// Makes another key the present one. What there is of the one before goes.
    fn change_directory(
        &mut self,
        organisation: &OrganisationId,
        number: u32,
        author: &DeviceId,
        ring: &Hash,
    ) -> Result<(), StoreError>;
    /// Keeps the head of the present key's ring.
    fn put_directory_head(&mut self, organisation: &OrganisationId, head: &[u8]) -> Result<(), StoreError>;
    /// The head of the present key's ring, if it has this hash and is here.
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
    /// Removes parts that were put before and that no ring has named. How many others there are
    /// that none has named.
    fn loose_directory_parts(
        &mut self,
        organisation: &OrganisationId,
        before: Timestamp,
    ) -> Result<u64, StoreError>;
    /// Keeps a part that a ring may name.
    fn put_directory_part(
        &mut self,
        organisation: &OrganisationId,
        hash: &Hash,
        part: &[u8],
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// Keeps a part for as long as its key is the present one.
    fn keep_directory_part(&mut self, organisation: &OrganisationId, hash: &Hash) -> Result<(), StoreError>;
    /// Boxes with the present key that were posted for a member, the newest first; at most `most`.
    fn directory_boxes(
        &self,
        organisation: &OrganisationId,
        user: &UserId,
        most: usize,
    ) -> Result<Vec<PostedBox>, StoreError>;
    /// How many boxes with the present key a member has posted.
    fn directory_boxes_by(&self, organisation: &OrganisationId, author: &UserId) -> Result<u64, StoreError>;
    /// Keeps a box in the place of the same author's former one.
    fn post_directory_box(
        &mut self,
        organisation: &OrganisationId,
        user: &UserId,
        posted: &PostedBox,
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// All users, revoked ones too, ascending by id.
    fn all_users(&self, organisation: &OrganisationId) -> Result<Vec<UserId>, StoreError>;
}
