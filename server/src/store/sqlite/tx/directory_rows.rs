//! The row operations about the directory key.
//!
//! Decides nothing: each operation is a function of the file of its tables.

use parsec_protocol::chain::organisation::view::DirectoryState;
use parsec_protocol::ids::{DeviceId, OrganisationId, Timestamp, UserId};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::PostedBox;

use super::{Transaction, directory};
use crate::store::{DirectoryRows, StoreError};

impl DirectoryRows for Transaction<'_> {
    fn directory(&self, organisation: &OrganisationId) -> Result<DirectoryState, StoreError> {
        directory::state(self.sql(), organisation)
    }

    fn set_somebody_left(&mut self, organisation: &OrganisationId) -> Result<(), StoreError> {
        directory::set_somebody_left(self.sql(), organisation)
    }

    fn change_directory(
        &mut self,
        organisation: &OrganisationId,
        number: u32,
        author: &DeviceId,
        ring: &Hash,
    ) -> Result<(), StoreError> {
        directory::change(self.sql(), organisation, number, author, ring)
    }

    fn put_directory_head(&mut self, organisation: &OrganisationId, head: &[u8]) -> Result<(), StoreError> {
        directory::put_head(self.sql(), organisation, head)
    }

    fn directory_head(
        &self,
        organisation: &OrganisationId,
        ring: &Hash,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        directory::head(self.sql(), organisation, ring)
    }

    fn directory_part(
        &self,
        organisation: &OrganisationId,
        hash: &Hash,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        directory::part(self.sql(), organisation, hash)
    }

    fn loose_directory_parts(
        &mut self,
        organisation: &OrganisationId,
        before: Timestamp,
    ) -> Result<u64, StoreError> {
        directory::loose_parts(self.sql(), organisation, before)
    }

    fn put_directory_part(
        &mut self,
        organisation: &OrganisationId,
        hash: &Hash,
        part: &[u8],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        directory::put_part(self.sql(), organisation, hash, part, now)
    }

    fn keep_directory_part(&mut self, organisation: &OrganisationId, hash: &Hash) -> Result<(), StoreError> {
        directory::keep_part(self.sql(), organisation, hash)
    }

    fn directory_boxes(
        &self,
        organisation: &OrganisationId,
        user: &UserId,
        most: usize,
    ) -> Result<Vec<PostedBox>, StoreError> {
        directory::boxes(self.sql(), organisation, user, most)
    }

    fn directory_boxes_by(&self, organisation: &OrganisationId, author: &UserId) -> Result<u64, StoreError> {
        directory::boxes_by(self.sql(), organisation, author)
    }

    fn post_directory_box(
        &mut self,
        organisation: &OrganisationId,
        user: &UserId,
        posted: &PostedBox,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        directory::post_box(self.sql(), organisation, user, posted, now)
    }

    fn all_users(&self, organisation: &OrganisationId) -> Result<Vec<UserId>, StoreError> {
        directory::users(self.sql(), organisation)
    }
}
