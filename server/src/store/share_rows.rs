//! What the store keeps of kits that were split among members: the part of [`Tx`](super::Tx) that
//! is about nothing else.
//!
//! Decides nothing: each operation does what it says to the rows of one organisation. What goes
//! with a revocation, the engine takes away in the statement of the revocation.

use parsec_protocol::ids::{DeviceId, OrganisationId, UserId};
use parsec_protocol::relay::{ShareBox, SplitKit};

use super::StoreError;

/// Row operations about plans and shares.
///
/// # Errors
/// [`StoreError`], of each operation.
pub(crate) trait ShareRows {
    /// How many kits of this user are split.
    fn plans_of(&self, organisation: &OrganisationId, user: &UserId) -> Result<u64, StoreError>;
    /// Of how many kits this member has a share.
    fn shares_held(&self, organisation: &OrganisationId, member: &UserId) -> Result<u64, StoreError>;
    /// The split kits of a user, and those of which they have a share, ascending; at most `most`.
    fn split_kits(
        &self,
        organisation: &OrganisationId,
        user: &UserId,
        most: usize,
    ) -> Result<Vec<SplitKit>, StoreError>;
    /// The plan of a kit, and whose kit it is.
    fn plan(
        &self,
        organisation: &OrganisationId,
        kit: &DeviceId,
    ) -> Result<Option<(UserId, Vec<u8>)>, StoreError>;
    /// A member's share of a kit.
    fn share(
        &self,
        organisation: &OrganisationId,
        kit: &DeviceId,
        member: &UserId,
    ) -> Result<Option<ShareBox>, StoreError>;
    /// Keeps a new kit's plan.
    fn insert_plan(
        &mut self,
        organisation: &OrganisationId,
        of: SplitKit,
        plan: &[u8],
    ) -> Result<(), StoreError>;
    /// Keeps a member's share of a new kit.
    fn insert_share(
        &mut self,
        organisation: &OrganisationId,
        kit: &DeviceId,
        share: &ShareBox,
    ) -> Result<(), StoreError>;
}
