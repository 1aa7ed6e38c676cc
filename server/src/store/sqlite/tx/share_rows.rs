//! The row operations about split kits.
//!
//! Decides nothing: each operation is a function of the file of its tables.

use parsec_protocol::ids::{DeviceId, OrganisationId, UserId};
use parsec_protocol::relay::{ShareBox, SplitKit};

use super::{Transaction, shares};
use crate::store::{ShareRows, StoreError};

impl ShareRows for Transaction<'_> {
    fn plans_of(&self, organisation: &OrganisationId, user: &UserId) -> Result<u64, StoreError> {
        shares::plans_of(self.sql(), organisation, user)
    }

    fn shares_held(&self, organisation: &OrganisationId, member: &UserId) -> Result<u64, StoreError> {
        shares::held(self.sql(), organisation, member)
    }

    fn split_kits(
        &self,
        organisation: &OrganisationId,
        user: &UserId,
        most: usize,
    ) -> Result<Vec<SplitKit>, StoreError> {
        shares::kits(self.sql(), organisation, user, most)
    }

    fn plan(
        &self,
        organisation: &OrganisationId,
        kit: &DeviceId,
    ) -> Result<Option<(UserId, Vec<u8>)>, StoreError> {
        shares::plan(self.sql(), organisation, kit)
    }

    fn share(
        &self,
        organisation: &OrganisationId,
        kit: &DeviceId,
        member: &UserId,
    ) -> Result<Option<ShareBox>, StoreError> {
        shares::share(self.sql(), organisation, kit, member)
    }

    fn insert_plan(
        &mut self,
        organisation: &OrganisationId,
        of: SplitKit,
        plan: &[u8],
    ) -> Result<(), StoreError> {
        shares::insert_plan(self.sql(), organisation, of, plan)
    }

    fn insert_share(
        &mut self,
        organisation: &OrganisationId,
        kit: &DeviceId,
        share: &ShareBox,
    ) -> Result<(), StoreError> {
        shares::insert_share(self.sql(), organisation, kit, share)
    }
}
