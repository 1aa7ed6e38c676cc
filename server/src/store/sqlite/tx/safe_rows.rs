//! The row operations about safes.
//!
//! Decides nothing: each operation is a function of the file of its tables. A lock has nothing to
//! do: there is one writer.

use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::at::{DeviceAt, UserAt};
use parsec_protocol::ids::{DeviceId, ObjectId, OrganisationId, SafeId, Timestamp, UserId};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{JournalPage, PostedBox, SafeList, SafeLogPage, SafeTotals};
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safe_log::view::Present;
use parsec_protocol::sealing::KeyHash;

use super::{Transaction, safes};
use crate::store::StoreError;
use crate::store::safes::{
    DueObject, ObjectRow, ObjectRows, ObjectState, ObjectToAdd, PartRow, Races, RepairRows, Restored,
    SafeCounts, SafeKey, SafeRow, SafeRows, SafeToAdd, SafeTurn, StoredItem,
};

impl SafeRows for Transaction<'_> {
    fn lock_safe(&mut self, of: SafeKey<'_>) -> Result<Option<SafeRow>, StoreError> {
        safes::safe(self.sql(), of)
    }

    fn safe(&self, of: SafeKey<'_>) -> Result<Option<SafeRow>, StoreError> {
        safes::safe(self.sql(), of)
    }

    fn insert_safe(&mut self, of: SafeKey<'_>, safe: &SafeToAdd<'_>) -> Result<(), StoreError> {
        safes::insert_safe(self.sql(), of, safe)
    }

    fn set_present(&mut self, of: SafeKey<'_>, present: &Present) -> Result<(), StoreError> {
        safes::set_present(self.sql(), of, present)
    }

    fn safe_counts(&self, organisation: &OrganisationId, user: &UserId) -> Result<SafeCounts, StoreError> {
        safes::safe_counts(self.sql(), organisation, user)
    }

    fn safes_of(
        &self,
        organisation: &OrganisationId,
        user: &UserId,
        after: Option<&SafeId>,
        most: usize,
    ) -> Result<SafeList, StoreError> {
        safes::safes_of(self.sql(), organisation, user, after, most)
    }

    fn user_at(
        &self,
        organisation: &OrganisationId,
        user: &UserId,
        n: u64,
    ) -> Result<Option<UserAt>, StoreError> {
        safes::user_at(self.sql(), organisation, user, n)
    }

    fn device_at(
        &self,
        organisation: &OrganisationId,
        device: &DeviceId,
        n: u64,
    ) -> Result<Option<DeviceAt>, StoreError> {
        safes::device_at(self.sql(), organisation, device, n)
    }

    fn changed_up_to(&self, organisation: &OrganisationId) -> Result<u64, StoreError> {
        safes::changed_up_to(self.sql(), organisation)
    }

    fn role(&self, of: SafeKey<'_>, user: &UserId) -> Result<Option<Role>, StoreError> {
        safes::role(self.sql(), of, user)
    }

    fn roles(&self, of: SafeKey<'_>) -> Result<Vec<(UserId, Role)>, StoreError> {
        safes::roles(self.sql(), of)
    }

    fn set_role(&mut self, of: SafeKey<'_>, user: &UserId, role: Option<Role>) -> Result<(), StoreError> {
        safes::set_role(self.sql(), of, user, role)
    }

    fn holders(&self, of: SafeKey<'_>) -> Result<Vec<(UserId, KeyHash)>, StoreError> {
        safes::holders(self.sql(), of)
    }

    fn add_holder(&mut self, of: SafeKey<'_>, user: &UserId, key: &KeyHash) -> Result<(), StoreError> {
        safes::add_holder(self.sql(), of, user, key)
    }

    fn clear_holders(&mut self, of: SafeKey<'_>) -> Result<(), StoreError> {
        safes::clear_holders(self.sql(), of)
    }

    fn safe_page(&self, of: SafeKey<'_>, from: u64) -> Result<SafeLogPage, StoreError> {
        safes::page(self.sql(), of, from)
    }

    fn safe_certificate(&self, of: SafeKey<'_>, position: u64) -> Result<Option<Vec<u8>>, StoreError> {
        safes::certificate(self.sql(), of, position)
    }

    fn insert_safe_certificate(
        &mut self,
        of: SafeKey<'_>,
        item: &StoredItem<'_>,
        after: &Head,
    ) -> Result<(), StoreError> {
        safes::insert_certificate(self.sql(), of, item, after)
    }

    fn journal(&self, of: SafeKey<'_>, from: u64) -> Result<JournalPage, StoreError> {
        safes::journal(self.sql(), of, from)
    }

    fn record(&self, of: SafeKey<'_>, seq: u64) -> Result<Option<Vec<u8>>, StoreError> {
        safes::record(self.sql(), of, seq)
    }

    fn insert_record(
        &mut self,
        of: SafeKey<'_>,
        item: &StoredItem<'_>,
        after: &Head,
    ) -> Result<(), StoreError> {
        safes::insert_record(self.sql(), of, item, after)
    }

    fn ring(&self, of: SafeKey<'_>, hash: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
        safes::ring(self.sql(), of, hash)
    }

    fn insert_ring(&mut self, of: SafeKey<'_>, hash: &Hash, item: &StoredItem<'_>) -> Result<(), StoreError> {
        safes::insert_ring(self.sql(), of, hash, item)
    }

    fn part(&self, of: SafeKey<'_>, hash: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
        safes::part(self.sql(), of, hash)
    }

    fn put_part(&mut self, of: SafeKey<'_>, part: &PartRow<'_>, due: Timestamp) -> Result<(), StoreError> {
        safes::put_part(self.sql(), of, part, due)
    }

    fn keep_part(&mut self, of: SafeKey<'_>, hash: &Hash) -> Result<(), StoreError> {
        safes::keep_part(self.sql(), of, hash)
    }

    fn remove_due_parts(&mut self, now: Timestamp, most: usize) -> Result<bool, StoreError> {
        safes::remove_due_parts(self.sql(), now, most)
    }

    fn posted(
        &self,
        of: SafeKey<'_>,
        epoch: u64,
        user: &UserId,
        most: usize,
    ) -> Result<Vec<PostedBox>, StoreError> {
        safes::posted(self.sql(), of, epoch, user, most)
    }

    fn post_box(
        &mut self,
        of: SafeKey<'_>,
        epoch: u64,
        user: &UserId,
        posted: &PostedBox,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        safes::post_box(self.sql(), of, epoch, user, posted, now)
    }

    fn turn(&self, of: SafeKey<'_>) -> Result<Option<SafeTurn>, StoreError> {
        safes::turn(self.sql(), of)
    }

    fn set_turn(&mut self, of: SafeKey<'_>, turn: Option<&SafeTurn>) -> Result<(), StoreError> {
        safes::set_turn(self.sql(), of, turn)
    }

    fn races(&self, of: SafeKey<'_>, user: &UserId) -> Result<Option<Races>, StoreError> {
        safes::races(self.sql(), of, user)
    }

    fn set_races(&mut self, of: SafeKey<'_>, user: &UserId, races: Option<&Races>) -> Result<(), StoreError> {
        safes::set_races(self.sql(), of, user, races)
    }

    fn next_turn(
        &self,
        of: SafeKey<'_>,
        now: Timestamp,
        active: Timestamp,
    ) -> Result<Option<UserId>, StoreError> {
        safes::next_turn(self.sql(), of, now, active)
    }

    fn safe_bytes(&self, organisation: &OrganisationId) -> Result<u64, StoreError> {
        safes::safe_bytes(self.sql(), organisation)
    }

    fn bytes_of_safe(&self, of: SafeKey<'_>) -> Result<u64, StoreError> {
        safes::bytes_of_safe(self.sql(), of)
    }

    fn bytes_of_member(&self, organisation: &OrganisationId, user: &UserId) -> Result<u64, StoreError> {
        safes::bytes_of_member(self.sql(), organisation, user)
    }

    fn safe_totals(&self, of: SafeKey<'_>, most: usize) -> Result<Option<SafeTotals>, StoreError> {
        safes::totals(self.sql(), of, most)
    }
}

impl ObjectRows for Transaction<'_> {
    fn object(&self, of: SafeKey<'_>, object: &ObjectId) -> Result<Option<ObjectRow>, StoreError> {
        safes::object(self.sql(), of, object)
    }

    fn object_bytes(&self, of: SafeKey<'_>, object: &ObjectId) -> Result<Option<Vec<u8>>, StoreError> {
        safes::object_bytes(self.sql(), of, object)
    }

    fn insert_object(
        &mut self,
        of: SafeKey<'_>,
        object: &ObjectToAdd<'_>,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        safes::insert_object(self.sql(), of, object, due)
    }

    fn mend_object(&mut self, of: SafeKey<'_>, object: &ObjectId, sealed: &[u8]) -> Result<(), StoreError> {
        safes::mend_object(self.sql(), of, object, sealed)
    }

    fn put_off_object(
        &mut self,
        of: SafeKey<'_>,
        object: &ObjectId,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        safes::put_off_object(self.sql(), of, object, due)
    }

    fn set_object_state(
        &mut self,
        of: SafeKey<'_>,
        object: &ObjectId,
        state: ObjectState,
        due: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        safes::set_object_state(self.sql(), of, object, state, due)
    }

    fn is_safe_due(&self, now: Timestamp) -> Result<bool, StoreError> {
        safes::is_due(self.sql(), now)
    }

    fn remove_due_objects(&mut self, now: Timestamp, most: usize) -> Result<Vec<DueObject>, StoreError> {
        safes::remove_due_objects(self.sql(), now, most)
    }
}

impl RepairRows for Transaction<'_> {
    fn restored(&self, organisation: &OrganisationId) -> Result<Option<Restored>, StoreError> {
        safes::restored(self.sql(), organisation)
    }

    fn set_restored(&mut self, organisation: &OrganisationId, restored: &Restored) -> Result<(), StoreError> {
        safes::set_restored(self.sql(), organisation, restored)
    }

    fn note_restored_all(&mut self, since: Timestamp) -> Result<(), StoreError> {
        safes::note_restored_all(self.sql(), since)
    }

    fn await_object(&mut self, of: SafeKey<'_>, object: &ObjectId, adder: &UserId) -> Result<(), StoreError> {
        safes::await_object(self.sql(), of, object, adder)
    }

    fn awaited(&self, of: SafeKey<'_>, object: &ObjectId) -> Result<Option<UserId>, StoreError> {
        safes::awaited(self.sql(), of, object)
    }

    fn awaited_all(
        &self,
        of: SafeKey<'_>,
        by: (&UserId, bool),
        most: usize,
    ) -> Result<Vec<ObjectId>, StoreError> {
        safes::awaited_all(self.sql(), of, by, most)
    }

    fn end_awaiting(&mut self, of: SafeKey<'_>, object: &ObjectId) -> Result<(), StoreError> {
        safes::end_awaiting(self.sql(), of, object)
    }

    fn remove_object(&mut self, of: SafeKey<'_>, object: &ObjectId) -> Result<(), StoreError> {
        safes::remove_object(self.sql(), of, object)
    }
}
