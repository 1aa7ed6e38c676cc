//! What the store keeps of safes: the part of [`Tx`](super::Tx) that is about nothing else.
//!
//! Decides nothing: each operation does what it says to the rows of one safe. Which item may come
//! next is for the protocol's rules, over the views of `crate::safes`.

mod objects;
mod repair;
mod rows;

use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::at::{DeviceAt, UserAt};
use parsec_protocol::ids::{DeviceId, OrganisationId, SafeId, Timestamp, UserId};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{JournalPage, PostedBox, SafeList, SafeLogPage, SafeTotals};
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safe_log::view::Present;
use parsec_protocol::sealing::KeyHash;

pub(crate) use objects::{DueObject, ObjectRows};
pub(crate) use repair::{RepairRows, Restored};
pub(crate) use rows::{
    ObjectRow, ObjectState, ObjectToAdd, PartRow, Races, SafeCounts, SafeKey, SafeRow, SafeToAdd, SafeTurn,
    StoredItem, Urgency,
};

use super::StoreError;

/// Row operations about safes.
///
/// # Errors
/// [`StoreError`], of each operation.
pub(crate) trait SafeRows: ObjectRows + RepairRows {
    /// Until the end of this transaction, no other changes anything of this safe, or makes it.
    /// Taken behind the lock of the organisation's log, and before that of an invitation. Returns
    /// the safe as it is, or nothing where there is none.
    fn lock_safe(&mut self, of: SafeKey<'_>) -> Result<Option<SafeRow>, StoreError>;
    /// The safe as it is; nothing where there is none.
    fn safe(&self, of: SafeKey<'_>) -> Result<Option<SafeRow>, StoreError>;
    /// Makes a safe.
    fn insert_safe(&mut self, of: SafeKey<'_>, safe: &SafeToAdd<'_>) -> Result<(), StoreError>;
    /// Notes what the rules go on from.
    fn set_present(&mut self, of: SafeKey<'_>, present: &Present) -> Result<(), StoreError>;
    /// How many safes there are: of the organisation, and of those the ones that this user made.
    fn safe_counts(&self, organisation: &OrganisationId, user: &UserId) -> Result<SafeCounts, StoreError>;
    /// Safes whose log gives this user a role, or gave one, ascending by id behind `after`: at most
    /// `most`.
    fn safes_of(
        &self,
        organisation: &OrganisationId,
        user: &UserId,
        after: Option<&SafeId>,
        most: usize,
    ) -> Result<SafeList, StoreError>;

    /// A user at `n` certificates of the organisation's log, which reach past the newest one that
    /// is no enrolment.
    fn user_at(
        &self,
        organisation: &OrganisationId,
        user: &UserId,
        n: u64,
    ) -> Result<Option<UserAt>, StoreError>;
    /// A device, in the same way.
    fn device_at(
        &self,
        organisation: &OrganisationId,
        device: &DeviceId,
        n: u64,
    ) -> Result<Option<DeviceAt>, StoreError>;
    /// Certificates of the organisation's log up to and with the newest one that is no enrolment.
    fn changed_up_to(&self, organisation: &OrganisationId) -> Result<u64, StoreError>;

    /// The role that the safe's log gives a user.
    fn role(&self, of: SafeKey<'_>, user: &UserId) -> Result<Option<Role>, StoreError>;
    /// All who have one, ascending by id.
    fn roles(&self, of: SafeKey<'_>) -> Result<Vec<(UserId, Role)>, StoreError>;
    /// Gives a user a role, or takes it away.
    fn set_role(&mut self, of: SafeKey<'_>, user: &UserId, role: Option<Role>) -> Result<(), StoreError>;
    /// All who have the present key, or may have, ascending by id.
    fn holders(&self, of: SafeKey<'_>) -> Result<Vec<(UserId, KeyHash)>, StoreError>;
    /// Adds a holder.
    fn add_holder(&mut self, of: SafeKey<'_>, user: &UserId, key: &KeyHash) -> Result<(), StoreError>;
    /// Forgets all holders.
    fn clear_holders(&mut self, of: SafeKey<'_>) -> Result<(), StoreError>;

    /// A page of the safe's log.
    fn safe_page(&self, of: SafeKey<'_>, from: u64) -> Result<SafeLogPage, StoreError>;
    /// The certificate at a position.
    fn safe_certificate(&self, of: SafeKey<'_>, position: u64) -> Result<Option<Vec<u8>>, StoreError>;
    /// Keeps a certificate, behind which the log ends with `after`.
    fn insert_safe_certificate(
        &mut self,
        of: SafeKey<'_>,
        item: &StoredItem<'_>,
        after: &Head,
    ) -> Result<(), StoreError>;
    /// Records behind the first `from`, as many as fit one answer.
    fn journal(&self, of: SafeKey<'_>, from: u64) -> Result<JournalPage, StoreError>;
    /// The record of that number.
    fn record(&self, of: SafeKey<'_>, seq: u64) -> Result<Option<Vec<u8>>, StoreError>;
    /// Keeps a record, behind which the journal ends with `after`.
    fn insert_record(
        &mut self,
        of: SafeKey<'_>,
        item: &StoredItem<'_>,
        after: &Head,
    ) -> Result<(), StoreError>;

    /// A ring's head by its hash.
    fn ring(&self, of: SafeKey<'_>, hash: &Hash) -> Result<Option<Vec<u8>>, StoreError>;
    /// Keeps a ring's head.
    fn insert_ring(&mut self, of: SafeKey<'_>, hash: &Hash, item: &StoredItem<'_>) -> Result<(), StoreError>;
    /// A part by its hash.
    fn part(&self, of: SafeKey<'_>, hash: &Hash) -> Result<Option<Vec<u8>>, StoreError>;
    /// Keeps a part until `due`; one that is there is kept longer, if it has an end at all.
    fn put_part(&mut self, of: SafeKey<'_>, part: &PartRow<'_>, due: Timestamp) -> Result<(), StoreError>;
    /// A ring has named it: it stays.
    fn keep_part(&mut self, of: SafeKey<'_>, hash: &Hash) -> Result<(), StoreError>;
    /// Removes parts of all safes that are due; at most `most`. Whether there are more.
    fn remove_due_parts(&mut self, now: Timestamp, most: usize) -> Result<bool, StoreError>;

    /// Boxes that were posted for a member in an epoch, the newest first; at most `most`.
    fn posted(
        &self,
        of: SafeKey<'_>,
        epoch: u64,
        user: &UserId,
        most: usize,
    ) -> Result<Vec<PostedBox>, StoreError>;
    /// Keeps a box; the one that the same author posted before for the same member goes.
    fn post_box(
        &mut self,
        of: SafeKey<'_>,
        epoch: u64,
        user: &UserId,
        posted: &PostedBox,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Whose turn it is, or was last.
    fn turn(&self, of: SafeKey<'_>) -> Result<Option<SafeTurn>, StoreError>;
    /// Gives the turn, or ends it.
    fn set_turn(&mut self, of: SafeKey<'_>, turn: Option<&SafeTurn>) -> Result<(), StoreError>;
    /// A user's lost races.
    fn races(&self, of: SafeKey<'_>, user: &UserId) -> Result<Option<Races>, StoreError>;
    /// Notes a user's lost races, or forgets them.
    fn set_races(&mut self, of: SafeKey<'_>, user: &UserId, races: Option<&Races>) -> Result<(), StoreError>;
    /// Whose turn is next: it is due, may begin by `now`, and its user has lost a race since
    /// `active`. The most urgent of them, and of equals the one that is due longest.
    fn next_turn(
        &self,
        of: SafeKey<'_>,
        now: Timestamp,
        active: Timestamp,
    ) -> Result<Option<UserId>, StoreError>;

    /// Bytes of all safes of an organisation.
    fn safe_bytes(&self, organisation: &OrganisationId) -> Result<u64, StoreError>;
    /// Bytes of one safe; 0 where there is none.
    fn bytes_of_safe(&self, of: SafeKey<'_>) -> Result<u64, StoreError>;
    /// Bytes that a member has brought into all safes, those included where they are no more.
    fn bytes_of_member(&self, organisation: &OrganisationId, user: &UserId) -> Result<u64, StoreError>;
    /// What a safe takes, and the `most` users who brought most of it; nothing where there is no
    /// such safe.
    fn safe_totals(&self, of: SafeKey<'_>, most: usize) -> Result<Option<SafeTotals>, StoreError>;
}
