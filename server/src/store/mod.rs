//! What the server remembers, behind one seam: the rows that it asks for, and nothing of any
//! database.
//!
//! Decides what a database has to offer ([`Tx`]) and what is made of its rows alone: invitations as
//! of now, the log with its members, budgets, pruning. `sqlite/` is the one engine there is; nobody
//! outside of it names a database. Refuses nothing itself: rules do.

mod directory_rows;
mod error;
mod fair_queue;
pub(crate) mod invitations;
mod key_rows;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod manifests;
pub(crate) mod pruning;
mod queue;
pub(crate) mod rows;
pub(crate) mod safes;
mod share_rows;
mod signers;
pub(crate) mod sqlite;
mod standalone;
pub(crate) mod usage;

use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::Profile;
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::ids::{AttemptId, DeviceId, Email, OrganisationId, Timestamp, Token, UserId};
use parsec_protocol::public_keys::{Hash, VerifyKey};
use parsec_protocol::relay::{LogPage, MailOutcome, ManifestUpload, ManifestView};
use parsec_protocol::sealing::KeyHash;

pub(crate) use directory_rows::{DirectoryRows, LoosePart};
pub use error::StoreError;
pub(crate) use fair_queue::Party;
pub(crate) use key_rows::{KeyOf, KeyRows};
#[cfg(test)]
pub(crate) use queue::Costs;
pub(crate) use queue::{Store, Threads};
pub(crate) use safes::SafeRows;
pub(crate) use share_rows::ShareRows;
pub use sqlite::{BackupError, LockError, OpenError, RestoreError};
pub(crate) use sqlite::{DatabaseLock, Making, back_up, check_log, present, restore};
pub(crate) use standalone::Standalone;

use crate::budgets::{Budgets, Taken};
use crate::invitations::{Attempt, Invitation, Pool};
use crate::watchers::Change;
use rows::{
    Device, DeviceToAdd, Lasting, Listed, LogEnd, Organisation, Part, Signer, Stored, User, UserToAdd,
};

/// Row operations inside one transaction: all that the server asks of a database.
///
/// Rules see none of this, and handlers only through the closures that [`Store::read`] and
/// [`Store::write`] take. Operations that read take `&self`, those that change `&mut self`, so that
/// work for a reader can't change anything. An operation does what it says to the rows of one
/// organisation and decides nothing; what is derived from rows (counters, what members take up) an
/// engine changes in the same statement.
///
/// **Locks.** Work that changes rows on the strength of what it has read takes the lock first, in
/// this one order: an organisation's log ([`Tx::lock_log`]), then a safe
/// ([`SafeRows::lock_safe`]), then an invitation with its attempts and steps
/// ([`Tx::lock_invitation`]). Work that takes several takes the first one first, also where it
/// needs it last. A lock ends with the transaction. An engine with one writer has nothing to do
/// for one.
///
/// # Errors
/// [`StoreError`], of each operation.
pub(crate) trait Tx: KeyRows + SafeRows + DirectoryRows + ShareRows {
    /// Until the end of this transaction, no other appends to the log of `organisation`, changes
    /// its members, or founds it. Returns where the log ends, or nothing where there is no founded
    /// organisation of this name.
    fn lock_log(&mut self, organisation: &OrganisationId) -> Result<Option<LogEnd>, StoreError>;
    /// Until the end of this transaction, no other changes this invitation, makes it, or touches
    /// its attempts and their steps.
    fn lock_invitation(&mut self, organisation: &OrganisationId, token: &Token) -> Result<(), StoreError>;
    /// Tells of a change once this transaction is durable.
    fn changed(&mut self, change: Change);

    /// All names, in their order.
    fn organisations(&self) -> Result<Vec<Listed>, StoreError>;
    /// One name, if it is reserved.
    fn organisation(&self, organisation: &OrganisationId) -> Result<Option<Organisation>, StoreError>;
    /// Reserves a name. `false`: it is taken.
    fn reserve(
        &mut self,
        organisation: &OrganisationId,
        bootstrap_hash: Hash,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Replaces the bootstrap token of a name that is not founded yet. `false`: there is no such
    /// name.
    fn reissue(&mut self, organisation: &OrganisationId, bootstrap_hash: Hash) -> Result<bool, StoreError>;
    /// Notes the root key, and the hash of the founding request.
    fn set_founded(
        &mut self,
        organisation: &OrganisationId,
        root: &VerifyKey,
        founding_hash: Hash,
    ) -> Result<(), StoreError>;

    /// Where the log ends; nothing where there is no founded organisation of this name.
    fn log_end(&self, organisation: &OrganisationId) -> Result<Option<LogEnd>, StoreError>;
    /// The hash of the head after the certificate at `position`.
    fn head_after(&self, organisation: &OrganisationId, position: u64) -> Result<Option<Hash>, StoreError>;
    /// The envelope at `position`.
    fn envelope(&self, organisation: &OrganisationId, position: u64) -> Result<Option<Vec<u8>>, StoreError>;
    /// Where in the log the certificate with this hash stands.
    fn position_of(
        &self,
        organisation: &OrganisationId,
        certificate: &Hash,
    ) -> Result<Option<u64>, StoreError>;
    /// Envelopes from `from` on: as many as a page of the protocol has and a body can carry.
    fn page(&self, organisation: &OrganisationId, from: u64) -> Result<LogPage, StoreError>;
    /// Puts one envelope at the end of the log, which then ends with `head_after`.
    fn insert_certificate(
        &mut self,
        organisation: &OrganisationId,
        envelope: &[u8],
        head_after: &Head,
    ) -> Result<(), StoreError>;
    /// Keeps an enrolment's receipt beside the log, at its first certificate's position.
    fn insert_receipt(
        &mut self,
        organisation: &OrganisationId,
        position: u64,
        receipt: &ClaimReceipt,
    ) -> Result<(), StoreError>;

    /// A device with its user, as a signer.
    fn signer(&self, organisation: &OrganisationId, device: &DeviceId) -> Result<Option<Signer>, StoreError>;
    /// A user by id.
    fn user(&self, organisation: &OrganisationId, user: &UserId) -> Result<Option<User>, StoreError>;
    /// A device by id.
    fn device(&self, organisation: &OrganisationId, device: &DeviceId) -> Result<Option<Device>, StoreError>;
    /// Whether a user who is not revoked has this e-mail.
    fn email_in_use(&self, organisation: &OrganisationId, email: &Email) -> Result<bool, StoreError>;
    /// Whether a user or device ever had the encryption key with this hash.
    fn encryption_key_used(&self, organisation: &OrganisationId, key: &KeyHash) -> Result<bool, StoreError>;
    /// The user who has named this device as abandoned.
    fn abandoned_by(
        &self,
        organisation: &OrganisationId,
        device: &DeviceId,
    ) -> Result<Option<UserId>, StoreError>;
    /// The user's devices that are not revoked by themselves, ascending by id.
    fn standing_devices(
        &self,
        organisation: &OrganisationId,
        user: &UserId,
    ) -> Result<Vec<DeviceId>, StoreError>;
    /// Whether a device ever had this verify key.
    fn verify_key_used(&self, organisation: &OrganisationId, key: &VerifyKey) -> Result<bool, StoreError>;
    /// Adds a user whose certificate was appended.
    fn insert_user(&mut self, organisation: &OrganisationId, user: &UserToAdd<'_>) -> Result<(), StoreError>;
    /// Adds a device whose certificate was appended.
    fn insert_device(
        &mut self,
        organisation: &OrganisationId,
        device: &DeviceToAdd<'_>,
    ) -> Result<(), StoreError>;
    /// Gives a user another key, and notes the devices that were named as abandoned with it.
    fn change_user_key(
        &mut self,
        organisation: &OrganisationId,
        user: &UserId,
        key: &KeyHash,
        abandoned: &[DeviceId],
    ) -> Result<(), StoreError>;
    /// Gives a user the profile that the certificate at `position` says.
    fn set_profile(
        &mut self,
        organisation: &OrganisationId,
        user: &UserId,
        profile: Profile,
        position: u64,
    ) -> Result<(), StoreError>;
    /// Marks a user as revoked. All boxes of the user go.
    fn revoke_user(&mut self, organisation: &OrganisationId, user: &UserId) -> Result<(), StoreError>;
    /// Marks a device as revoked. The boxes for it go.
    fn revoke_device(&mut self, organisation: &OrganisationId, device: &DeviceId) -> Result<(), StoreError>;
    /// Notes the position of the newest change that a device has signed.
    fn set_last_change(
        &mut self,
        organisation: &OrganisationId,
        device: &DeviceId,
        position: u64,
    ) -> Result<(), StoreError>;

    /// A user's newest manifest; version 0 without an envelope where there is none.
    fn manifest(&self, organisation: &OrganisationId, user: &UserId) -> Result<ManifestView, StoreError>;
    /// Replaces a user's manifest.
    fn set_manifest(
        &mut self,
        organisation: &OrganisationId,
        user: &UserId,
        upload: &ManifestUpload,
    ) -> Result<(), StoreError>;

    /// An invitation with its newest attempt.
    fn invitation(&self, organisation: &OrganisationId, token: &Token) -> Result<Option<Stored>, StoreError>;
    /// The token with this handle.
    fn token_of(&self, organisation: &OrganisationId, handle: &Hash) -> Result<Option<Token>, StoreError>;
    /// Invitations listed before `before`, the newest first, each with its place in the list; with
    /// `device_of`, only those for devices of this user. At most `most`.
    fn invitations(
        &self,
        organisation: &OrganisationId,
        device_of: Option<&UserId>,
        before: u64,
        most: usize,
    ) -> Result<Vec<(u64, Stored)>, StoreError>;
    /// Those with an open attempt that a device of this user has joined.
    fn greeted_by(&self, organisation: &OrganisationId, user: &UserId) -> Result<Vec<Stored>, StoreError>;
    /// Those for devices of this user that were usable when they were written last.
    fn usable_for_devices_of(
        &self,
        organisation: &OrganisationId,
        user: &UserId,
    ) -> Result<Vec<Stored>, StoreError>;
    /// Stores a new one. Its place in lists is `now`, or the next one that is free: two never have
    /// the same.
    fn insert_invitation(
        &mut self,
        organisation: &OrganisationId,
        invitation: &Invitation,
        due: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// Writes status and counts back. The date of one that was over before and stays so is left as
    /// it is: nobody keeps it longer by asking about it.
    fn update_invitation(
        &mut self,
        organisation: &OrganisationId,
        invitation: &Invitation,
        due: Timestamp,
    ) -> Result<(), StoreError>;
    /// Removes an invitation with its attempts and their steps.
    fn remove_invitation(&mut self, organisation: &OrganisationId, token: &Token) -> Result<(), StoreError>;
    /// What became of an invitation's mail, if that was noted.
    fn mail_outcome(
        &self,
        organisation: &OrganisationId,
        token: &Token,
    ) -> Result<Option<MailOutcome>, StoreError>;
    /// Counts that an invitation's mail is begun to be sent. `false`: it was sent, was begun `most`
    /// times, or helps nobody any more.
    fn start_mail(
        &mut self,
        organisation: &OrganisationId,
        token: &Token,
        now: Timestamp,
        most: u32,
    ) -> Result<bool, StoreError>;
    /// Notes what became of an invitation's mail.
    fn set_mail_outcome(
        &mut self,
        organisation: &OrganisationId,
        token: &Token,
        outcome: MailOutcome,
    ) -> Result<(), StoreError>;

    /// The attempt of this invitation with this id.
    fn attempt(
        &self,
        organisation: &OrganisationId,
        token: &Token,
        attempt: &AttemptId,
    ) -> Result<Option<Attempt>, StoreError>;
    /// Stores a new attempt.
    fn insert_attempt(
        &mut self,
        organisation: &OrganisationId,
        token: &Token,
        attempt: &Attempt,
    ) -> Result<(), StoreError>;
    /// Writes an attempt back. Where it is over, the bytes of its steps go; their hashes stay, to
    /// answer a repeated deposit.
    fn update_attempt(
        &mut self,
        organisation: &OrganisationId,
        token: &Token,
        attempt: &Attempt,
    ) -> Result<(), StoreError>;
    /// The hash of a step that was deposited in the attempt of this number.
    fn step_hash(
        &self,
        organisation: &OrganisationId,
        token: &Token,
        attempt: u32,
        step: u8,
    ) -> Result<Option<Hash>, StoreError>;
    /// The bytes of a deposited step, while its attempt is open.
    fn step_bytes(
        &self,
        organisation: &OrganisationId,
        token: &Token,
        attempt: u32,
        step: u8,
    ) -> Result<Option<Vec<u8>>, StoreError>;
    /// Stores a step of the attempt of this number.
    fn insert_step(
        &mut self,
        organisation: &OrganisationId,
        token: &Token,
        attempt: u32,
        step: u8,
        content: (Hash, &[u8]),
    ) -> Result<(), StoreError>;
    /// What completed the attempt of this number: the hash of the request, and the position it was
    /// told.
    fn completion(
        &self,
        organisation: &OrganisationId,
        token: &Token,
        attempt: u32,
    ) -> Result<Option<(Hash, u64)>, StoreError>;
    /// Notes what completed the attempt of this number.
    fn set_completion(
        &mut self,
        organisation: &OrganisationId,
        token: &Token,
        attempt: u32,
        completion: (Hash, u64),
    ) -> Result<(), StoreError>;

    /// What a member, or with `None` all of the pool, takes up.
    fn taken(
        &self,
        organisation: &OrganisationId,
        member: Option<&UserId>,
        pool: Pool,
    ) -> Result<Taken, StoreError>;
    /// All parts, the largest first, each pool's whole before them.
    fn parts(&self, organisation: &OrganisationId) -> Result<Vec<Part>, StoreError>;
    /// What lasts, in bytes.
    fn lasting(&self, organisation: &OrganisationId) -> Result<Lasting, StoreError>;
    /// Counts all that is derived anew from the rows of an organisation: mends what another program
    /// has changed.
    fn recount(&mut self, organisation: &OrganisationId) -> Result<(), StoreError>;
    /// Notes the budgets that hold, for the commands that work beside the server.
    fn note_budgets(&mut self, budgets: &Budgets) -> Result<(), StoreError>;
    /// The budgets that were noted last; the usual ones where none were.
    fn noted_budgets(&self) -> Result<Budgets, StoreError>;

    /// Whether an invitation of any organisation is due, or there is room to give back.
    fn is_due(&self, now: Timestamp) -> Result<bool, StoreError>;
    /// Invitations of all organisations that are due, the longest overdue first; at most `most`.
    /// Rows whose key can't be read are put off until `later`.
    fn due(
        &mut self,
        now: Timestamp,
        most: usize,
        later: Timestamp,
    ) -> Result<Vec<(OrganisationId, Token)>, StoreError>;
    /// Puts an invitation off until `later`.
    fn put_off(
        &mut self,
        organisation: &OrganisationId,
        token: &Token,
        later: Timestamp,
    ) -> Result<(), StoreError>;
    /// Usable invitations of a member, or of a whole pool, that are due; at most `most`.
    fn due_of(
        &self,
        organisation: &OrganisationId,
        member: Option<&UserId>,
        pool: Pool,
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<Token>, StoreError>;
    /// Invitations of a member, or of a whole pool, that are over, those first whose time ends
    /// first; at most `most`.
    fn over_of(
        &self,
        organisation: &OrganisationId,
        member: Option<&UserId>,
        pool: Pool,
        most: usize,
    ) -> Result<Vec<Token>, StoreError>;
    /// Gives a piece of the room that became free back to the system. Whether there is more.
    fn give_back_room(&mut self) -> Result<bool, StoreError>;

    /// Row operations that this transaction has done.
    #[cfg(test)]
    fn operations(&self) -> u64;
}

#[cfg(test)]
mod tests;
