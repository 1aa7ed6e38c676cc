//! The row operations about directory keys.
//!
//! Decides nothing: each operation is a function of the file of its tables.

use parsec_protocol::chain::organisation::view::DirectoryState;
use parsec_protocol::ids::{OrganisationId, Timestamp, UserId};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::PostedBox;

use super::{Transaction, directory};
use crate::store::{DirectoryRows, LoosePart, StoreError};

impl DirectoryRows for Transaction<'_> {
    fn directory(&self, organisation: &OrganisationId) -> Result<DirectoryState, StoreError> {
        directory::state(self.sql(), organisation)
    }

    fn set_somebody_left(&mut self, organisation: &OrganisationId) -> Result<(), StoreError> {
        directory::set_somebody_left(self.sql(), organisation)
    }

    fn change_directory(&mut self, organisation: &OrganisationId, number: u32) -> Result<(), StoreError> {
        directory::change(self.sql(), organisation, number)
    }

    fn put_directory_head(
        &mut self,
        organisation: &OrganisationId,
        number: u32,
        ring: &Hash,
        head: &[u8],
    ) -> Result<(), StoreError> {
        directory::put_head(self.sql(), organisation, number, ring, head)
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

    fn loose_directory_part(&self, part: LoosePart<'_>) -> Result<Option<Vec<u8>>, StoreError> {
        directory::loose_part(self.sql(), part)
    }

    fn put_loose_directory_part(
        &mut self,
        part: LoosePart<'_>,
        bytes: &[u8],
        now: Timestamp,
        others: usize,
    ) -> Result<(), StoreError> {
        directory::put_loose(self.sql(), part, bytes, now, others)
    }

    fn keep_directory_part(&mut self, part: LoosePart<'_>, number: u32) -> Result<(), StoreError> {
        directory::keep_part(self.sql(), part, number)
    }

    fn is_directory_due(&self, before: Timestamp) -> Result<bool, StoreError> {
        directory::is_due(self.sql(), before)
    }

    fn remove_loose_directory_parts(&mut self, before: Timestamp, most: usize) -> Result<bool, StoreError> {
        directory::remove_loose(self.sql(), before, most)
    }

    fn directory_sizes(&self, organisation: &OrganisationId) -> Result<Vec<(u32, u64)>, StoreError> {
        directory::sizes(self.sql(), organisation)
    }

    fn remove_directory(&mut self, organisation: &OrganisationId, last: u32) -> Result<(), StoreError> {
        directory::remove(self.sql(), organisation, last)
    }

    fn directory_boxes(
        &self,
        organisation: &OrganisationId,
        number: u32,
        user: &UserId,
        most: usize,
    ) -> Result<Vec<PostedBox>, StoreError> {
        directory::boxes(self.sql(), organisation, number, user, most)
    }

    fn directory_boxes_by(
        &self,
        organisation: &OrganisationId,
        number: u32,
        author: &UserId,
    ) -> Result<u64, StoreError> {
        directory::boxes_by(self.sql(), organisation, number, author)
    }

    fn post_directory_box(
        &mut self,
        organisation: &OrganisationId,
        number: u32,
        user: &UserId,
        posted: &PostedBox,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        directory::post_box(self.sql(), organisation, number, user, posted, now)
    }

    fn all_users(&self, organisation: &OrganisationId) -> Result<Vec<UserId>, StoreError> {
        directory::users(self.sql(), organisation)
    }
}
