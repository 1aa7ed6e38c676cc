//! The row operations over one connection, inside one transaction.
//!
//! Decides nothing: each operation is a function of the file of its table. Locks have nothing to
//! do: there is one writer.

use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::Profile;
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::ids::{AttemptId, DeviceId, Email, OrganisationId, Timestamp, Token, UserId};
use parsec_protocol::public_keys::{Hash, VerifyKey};
use parsec_protocol::relay::{LogPage, MailOutcome, ManifestUpload, ManifestView};
use parsec_protocol::sealing::KeyHash;
use rusqlite::Connection;

use super::{attempts, directory, invitations, keys, log, members, safes, shares, upkeep, usage};
use crate::budgets::{Budgets, Taken};
use crate::invitations::{Attempt, Invitation, Pool};
use crate::store::rows::{
    Device, DeviceToAdd, Lasting, Listed, LogEnd, Organisation, Part, Signer, Stored, User, UserToAdd,
};
use crate::store::{StoreError, Tx};
use crate::watchers::Change;

mod directory_rows;
mod key_rows;
mod safe_rows;
mod share_rows;

/// A connection inside a transaction, and the list of what changed.
pub(crate) struct Transaction<'a> {
    sql: &'a Connection,
    changed: &'a mut Vec<Change>,
    #[cfg(test)]
    operations: std::cell::Cell<u64>,
}

impl<'a> Transaction<'a> {
    /// Over a connection on which the caller has begun a transaction.
    pub(crate) const fn new(sql: &'a Connection, changed: &'a mut Vec<Change>) -> Self {
        Self {
            sql,
            changed,
            #[cfg(test)]
            operations: std::cell::Cell::new(0),
        }
    }

    /// The connection, for one operation.
    fn sql(&self) -> &'a Connection {
        #[cfg(test)]
        self.operations.set(self.operations.get().saturating_add(1));
        self.sql
    }
}

impl Tx for Transaction<'_> {
    fn lock_log(&mut self, organisation: &OrganisationId) -> Result<Option<LogEnd>, StoreError> {
        // One writer: whatever is read here stays so until the transaction ends.
        log::end(self.sql(), organisation)
    }

    fn lock_invitation(&mut self, _organisation: &OrganisationId, _token: &Token) -> Result<(), StoreError> {
        Ok(())
    }

    fn changed(&mut self, change: Change) {
        self.changed.push(change);
    }

    fn organisations(&self) -> Result<Vec<Listed>, StoreError> {
        log::organisations(self.sql())
    }

    fn organisation(&self, organisation: &OrganisationId) -> Result<Option<Organisation>, StoreError> {
        log::organisation(self.sql(), organisation)
    }

    fn reserve(
        &mut self,
        organisation: &OrganisationId,
        bootstrap_hash: Hash,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        log::reserve(self.sql(), organisation, bootstrap_hash, now)
    }

    fn reissue(&mut self, organisation: &OrganisationId, bootstrap_hash: Hash) -> Result<bool, StoreError> {
        log::reissue(self.sql(), organisation, bootstrap_hash)
    }

    fn set_founded(
        &mut self,
        organisation: &OrganisationId,
        root: &VerifyKey,
        founding_hash: Hash,
    ) -> Result<(), StoreError> {
        log::set_founded(self.sql(), organisation, root, founding_hash)
    }

    fn log_end(&self, organisation: &OrganisationId) -> Result<Option<LogEnd>, StoreError> {
        log::end(self.sql(), organisation)
    }

    fn head_after(&self, organisation: &OrganisationId, position: u64) -> Result<Option<Hash>, StoreError> {
        log::head_after(self.sql(), organisation, position)
    }

    fn envelope(&self, organisation: &OrganisationId, position: u64) -> Result<Option<Vec<u8>>, StoreError> {
        log::envelope(self.sql(), organisation, position)
    }

    fn position_of(
        &self,
        organisation: &OrganisationId,
        certificate: &Hash,
    ) -> Result<Option<u64>, StoreError> {
        log::position_of(self.sql(), organisation, certificate)
    }

    fn page(&self, organisation: &OrganisationId, from: u64) -> Result<LogPage, StoreError> {
        log::page(self.sql(), organisation, from)
    }

    fn insert_certificate(
        &mut self,
        organisation: &OrganisationId,
        envelope: &[u8],
        head_after: &Head,
    ) -> Result<(), StoreError> {
        log::insert_certificate(self.sql(), organisation, envelope, head_after)
    }

    fn insert_receipt(
        &mut self,
        organisation: &OrganisationId,
        position: u64,
        receipt: &ClaimReceipt,
    ) -> Result<(), StoreError> {
        log::insert_receipt(self.sql(), organisation, position, receipt)
    }

    fn signer(&self, organisation: &OrganisationId, device: &DeviceId) -> Result<Option<Signer>, StoreError> {
        members::signer(self.sql(), organisation, device)
    }

    fn user(&self, organisation: &OrganisationId, user: &UserId) -> Result<Option<User>, StoreError> {
        members::user(self.sql(), organisation, user)
    }

    fn device(&self, organisation: &OrganisationId, device: &DeviceId) -> Result<Option<Device>, StoreError> {
        members::device(self.sql(), organisation, device)
    }

    fn email_in_use(&self, organisation: &OrganisationId, email: &Email) -> Result<bool, StoreError> {
        members::email_in_use(self.sql(), organisation, email)
    }

    fn encryption_key_used(&self, organisation: &OrganisationId, key: &KeyHash) -> Result<bool, StoreError> {
        keys::is_used(self.sql(), organisation, key)
    }

    fn abandoned_by(
        &self,
        organisation: &OrganisationId,
        device: &DeviceId,
    ) -> Result<Option<UserId>, StoreError> {
        keys::abandoned_by(self.sql(), organisation, device)
    }

    fn standing_devices(
        &self,
        organisation: &OrganisationId,
        user: &UserId,
    ) -> Result<Vec<DeviceId>, StoreError> {
        members::standing_devices(self.sql(), organisation, user)
    }

    fn verify_key_used(&self, organisation: &OrganisationId, key: &VerifyKey) -> Result<bool, StoreError> {
        members::verify_key_used(self.sql(), organisation, key)
    }

    fn insert_user(&mut self, organisation: &OrganisationId, user: &UserToAdd<'_>) -> Result<(), StoreError> {
        members::insert_user(self.sql(), organisation, user)
    }

    fn insert_device(
        &mut self,
        organisation: &OrganisationId,
        device: &DeviceToAdd<'_>,
    ) -> Result<(), StoreError> {
        members::insert_device(self.sql(), organisation, device)
    }

    fn change_user_key(
        &mut self,
        organisation: &OrganisationId,
        user: &UserId,
        key: &KeyHash,
        abandoned: &[DeviceId],
    ) -> Result<(), StoreError> {
        keys::change(self.sql(), organisation, user, key, abandoned)
    }

    fn set_profile(
        &mut self,
        organisation: &OrganisationId,
        user: &UserId,
        profile: Profile,
        position: u64,
    ) -> Result<(), StoreError> {
        members::set_profile(self.sql(), organisation, user, profile, position)
    }

    fn revoke_user(&mut self, organisation: &OrganisationId, user: &UserId) -> Result<(), StoreError> {
        members::revoke_user(self.sql(), organisation, user)
    }

    fn revoke_device(&mut self, organisation: &OrganisationId, device: &DeviceId) -> Result<(), StoreError> {
        members::revoke_device(self.sql(), organisation, device)
    }

    fn set_last_change(
        &mut self,
        organisation: &OrganisationId,
        device: &DeviceId,
        position: u64,
    ) -> Result<(), StoreError> {
        members::set_last_change(self.sql(), organisation, device, position)
    }

    fn manifest(&self, organisation: &OrganisationId, user: &UserId) -> Result<ManifestView, StoreError> {
        members::manifest(self.sql(), organisation, user)
    }

    fn set_manifest(
        &mut self,
        organisation: &OrganisationId,
        user: &UserId,
        upload: &ManifestUpload,
    ) -> Result<(), StoreError> {
        members::set_manifest(self.sql(), organisation, user, upload)
    }

    fn invitation(&self, organisation: &OrganisationId, token: &Token) -> Result<Option<Stored>, StoreError> {
        invitations::invitation(self.sql(), organisation, token)
    }

    fn token_of(&self, organisation: &OrganisationId, handle: &Hash) -> Result<Option<Token>, StoreError> {
        invitations::token_of(self.sql(), organisation, handle)
    }

    fn invitations(
        &self,
        organisation: &OrganisationId,
        device_of: Option<&UserId>,
        before: u64,
        most: usize,
    ) -> Result<Vec<(u64, Stored)>, StoreError> {
        invitations::list(self.sql(), organisation, device_of, before, most)
    }

    fn greeted_by(&self, organisation: &OrganisationId, user: &UserId) -> Result<Vec<Stored>, StoreError> {
        invitations::greeted_by(self.sql(), organisation, user)
    }

    fn usable_for_devices_of(
        &self,
        organisation: &OrganisationId,
        user: &UserId,
    ) -> Result<Vec<Stored>, StoreError> {
        invitations::usable_for_devices_of(self.sql(), organisation, user)
    }

    fn insert_invitation(
        &mut self,
        organisation: &OrganisationId,
        invitation: &Invitation,
        due: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        invitations::insert(self.sql(), organisation, invitation, due, now)
    }

    fn update_invitation(
        &mut self,
        organisation: &OrganisationId,
        invitation: &Invitation,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        invitations::update(self.sql(), organisation, invitation, due)
    }

    fn remove_invitation(&mut self, organisation: &OrganisationId, token: &Token) -> Result<(), StoreError> {
        invitations::remove(self.sql(), organisation, token)
    }

    fn mail_outcome(
        &self,
        organisation: &OrganisationId,
        token: &Token,
    ) -> Result<Option<MailOutcome>, StoreError> {
        invitations::mail_outcome(self.sql(), organisation, token)
    }

    fn start_mail(
        &mut self,
        organisation: &OrganisationId,
        token: &Token,
        now: Timestamp,
        most: u32,
    ) -> Result<bool, StoreError> {
        invitations::start_mail(self.sql(), organisation, token, now, most)
    }

    fn set_mail_outcome(
        &mut self,
        organisation: &OrganisationId,
        token: &Token,
        outcome: MailOutcome,
    ) -> Result<(), StoreError> {
        invitations::set_mail_outcome(self.sql(), organisation, token, outcome)
    }

    fn attempt(
        &self,
        organisation: &OrganisationId,
        token: &Token,
        attempt: &AttemptId,
    ) -> Result<Option<Attempt>, StoreError> {
        attempts::named(self.sql(), organisation, token, attempt)
    }

    fn insert_attempt(
        &mut self,
        organisation: &OrganisationId,
        token: &Token,
        attempt: &Attempt,
    ) -> Result<(), StoreError> {
        attempts::insert(self.sql(), organisation, token, attempt)
    }

    fn update_attempt(
        &mut self,
        organisation: &OrganisationId,
        token: &Token,
        attempt: &Attempt,
    ) -> Result<(), StoreError> {
        attempts::update(self.sql(), organisation, token, attempt)
    }

    fn step_hash(
        &self,
        organisation: &OrganisationId,
        token: &Token,
        attempt: u32,
        step: u8,
    ) -> Result<Option<Hash>, StoreError> {
        attempts::step_hash(self.sql(), organisation, token, attempt, step)
    }

    fn step_bytes(
        &self,
        organisation: &OrganisationId,
        token: &Token,
        attempt: u32,
        step: u8,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        attempts::step_bytes(self.sql(), organisation, token, attempt, step)
    }

    fn insert_step(
        &mut self,
        organisation: &OrganisationId,
        token: &Token,
        attempt: u32,
        step: u8,
        content: (Hash, &[u8]),
    ) -> Result<(), StoreError> {
        attempts::insert_step(self.sql(), organisation, token, attempt, step, content)
    }

    fn completion(
        &self,
        organisation: &OrganisationId,
        token: &Token,
        attempt: u32,
    ) -> Result<Option<(Hash, u64)>, StoreError> {
        attempts::completion(self.sql(), organisation, token, attempt)
    }

    fn set_completion(
        &mut self,
        organisation: &OrganisationId,
        token: &Token,
        attempt: u32,
        completion: (Hash, u64),
    ) -> Result<(), StoreError> {
        attempts::set_completion(self.sql(), organisation, token, attempt, completion)
    }

    fn taken(
        &self,
        organisation: &OrganisationId,
        member: Option<&UserId>,
        pool: Pool,
    ) -> Result<Taken, StoreError> {
        usage::taken(self.sql(), organisation, member, pool)
    }

    fn parts(&self, organisation: &OrganisationId) -> Result<Vec<Part>, StoreError> {
        usage::parts(self.sql(), organisation)
    }

    fn lasting(&self, organisation: &OrganisationId) -> Result<Lasting, StoreError> {
        log::lasting(self.sql(), organisation)
    }

    fn recount(&mut self, organisation: &OrganisationId) -> Result<(), StoreError> {
        usage::recount(self.sql(), organisation)
    }

    fn note_budgets(&mut self, budgets: &Budgets) -> Result<(), StoreError> {
        usage::note(self.sql(), budgets)
    }

    fn noted_budgets(&self) -> Result<Budgets, StoreError> {
        usage::noted(self.sql())
    }

    fn is_due(&self, now: Timestamp) -> Result<bool, StoreError> {
        upkeep::is_due(self.sql(), now)
    }

    fn due(
        &mut self,
        now: Timestamp,
        most: usize,
        later: Timestamp,
    ) -> Result<Vec<(OrganisationId, Token)>, StoreError> {
        upkeep::due(self.sql(), now, most, later)
    }

    fn put_off(
        &mut self,
        organisation: &OrganisationId,
        token: &Token,
        later: Timestamp,
    ) -> Result<(), StoreError> {
        upkeep::put_off(self.sql(), organisation, token, later)
    }

    fn due_of(
        &self,
        organisation: &OrganisationId,
        member: Option<&UserId>,
        pool: Pool,
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<Token>, StoreError> {
        upkeep::due_of(self.sql(), organisation, member, pool, now, most)
    }

    fn over_of(
        &self,
        organisation: &OrganisationId,
        member: Option<&UserId>,
        pool: Pool,
        most: usize,
    ) -> Result<Vec<Token>, StoreError> {
        upkeep::over_of(self.sql(), organisation, member, pool, most)
    }

    fn give_back_room(&mut self) -> Result<bool, StoreError> {
        upkeep::give_back_room(self.sql())
    }

    #[cfg(test)]
    fn operations(&self) -> u64 {
        self.operations.get()
    }
}
