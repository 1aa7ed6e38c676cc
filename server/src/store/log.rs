//! An organisation's log as the rows hold it: a view for the rules, and the one way in.
//!
//! Decides nothing about what may enter a log: the protocol's rules do, over this view, exactly as
//! every member asks them over a log in memory. Keeps certificates and members in step, in one
//! transaction. What a row can't hold exactly, a time of any size, is read from the log itself.

use parsec_protocol::chain::candidate::{Accepted, Candidate};
use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::Organisation;
use parsec_protocol::chain::organisation::certificate::{Author, Body, Envelope, Payload};
use parsec_protocol::chain::organisation::log::Origin;
use parsec_protocol::chain::organisation::rules::{Fault, accept};
use parsec_protocol::chain::organisation::view::{
    AuthorState, DeviceState, DirectoryState, MembersView, UserState,
};
use parsec_protocol::chain::view::{LogView, NotAccepted};
use parsec_protocol::ids::{DeviceId, Email, OrganisationId, UserId};
use parsec_protocol::public_keys::VerifyKey;
use parsec_protocol::relay::ErrorCode;
use parsec_protocol::sealing::KeyHash;

use super::rows::{DeviceToAdd, LogEnd, UserToAdd};
use super::{StoreError, Tx};
use crate::errors::Refusal;

/// What a certificate changed for those whom it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RightsChange {
    /// User whose rights, or whose device's rights, are others now.
    pub(crate) user: UserId,
    /// Whether the user is no member any more.
    pub(crate) left: bool,
}

/// A certificate that stands in the log now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    /// Position in the log; 0 is the first.
    pub(crate) position: u64,
    /// What changed for somebody; none for an enrolment or another key.
    pub(crate) rights: Option<RightsChange>,
}

/// Why a certificate was not appended: by a rule of the log, or because the store failed.
pub(crate) type NotAppended = NotAccepted<Fault, StoreError>;

/// Where the log of an organisation ends that a member has signed in, so that it must be founded.
pub(crate) fn end(tx: &dyn Tx, organisation: &OrganisationId) -> Result<LogEnd, Refusal> {
    Ok(tx.log_end(organisation)?.ok_or(ErrorCode::Internal)?)
}

/// The same with its lock, for work that appends.
pub(crate) fn lock(tx: &mut dyn Tx, organisation: &OrganisationId) -> Result<OpenLog, Refusal> {
    let end = tx.lock_log(organisation)?.ok_or(ErrorCode::Internal)?;
    Ok(OpenLog::new(organisation, end))
}

/// A log to which certificates are appended, in the transaction that has its lock.
#[derive(Debug)]
pub(crate) struct OpenLog {
    origin: Origin,
    head: Head,
}

impl OpenLog {
    /// The log that ends there.
    pub(crate) fn new(organisation: &OrganisationId, end: LogEnd) -> Self {
        Self { origin: Origin { organisation: organisation.clone(), root: end.root }, head: end.head }
    }

    /// The log of an organisation that is founded in this transaction.
    pub(crate) fn empty(organisation: &OrganisationId, root: VerifyKey) -> Self {
        Self::new(organisation, LogEnd { root, head: Head::empty(organisation, &root) })
    }

    /// The root key.
    pub(crate) const fn root(&self) -> &VerifyKey {
        &self.origin.root
    }

    /// The organisation whose log it is.
    pub(crate) const fn organisation(&self) -> &OrganisationId {
        &self.origin.organisation
    }

    /// Where it ends now.
    pub(crate) const fn head(&self) -> Head {
        self.head
    }

    /// The log as the rules see it.
    pub(crate) const fn view<'a>(&'a self, tx: &'a dyn Tx) -> StoredView<'a> {
        StoredView { tx, log: self }
    }

    /// Puts a certificate at the end of the log, if the rules accept it there. After an error the
    /// transaction is to be taken back.
    pub(crate) fn append(
        &mut self,
        tx: &mut dyn Tx,
        candidate: Candidate<'_, Organisation>,
    ) -> Result<Appended, NotAppended> {
        let accepted = accept(&self.view(tx), || Some(candidate))?;
        let rights = take_in(tx, &self.origin.organisation, &accepted).map_err(NotAccepted::View)?;
        self.head = accepted.after();
        Ok(Appended { position: accepted.position(), rights })
    }
}

/// Keeps what was accepted, and what it says of members.
fn take_in(
    tx: &mut dyn Tx,
    organisation: &OrganisationId,
    accepted: &Accepted<'_, Organisation>,
) -> Result<Option<RightsChange>, StoreError> {
    let position = accepted.position();
    tx.insert_certificate(organisation, accepted.bytes(), &accepted.after())?;
    let Payload { author, body, .. } = accepted.payload();
    let rights = match body {
        Body::User { user, email, encryption_key, profile, sealed_name: _ } => {
            let user = UserToAdd { user, email, encryption_key, profile: *profile, position };
            tx.insert_user(organisation, &user)?;
            None
        }
        Body::Device { device, user, verify_key, encryption_key, kind, sealed_label: _ } => {
            let device = DeviceToAdd { device, user, verify_key, encryption_key, kind: *kind, position };
            tx.insert_device(organisation, &device)?;
            None
        }
        Body::ProfileChange { user, profile } => {
            tx.set_profile(organisation, user, *profile, position)?;
            Some(RightsChange { user: *user, left: false })
        }
        Body::UserRevoked { user } => {
            tx.revoke_user(organisation, user)?;
            tx.set_somebody_left(organisation)?;
            Some(RightsChange { user: *user, left: true })
        }
        Body::DeviceRevoked { device } => {
            tx.revoke_device(organisation, device)?;
            tx.set_somebody_left(organisation)?;
            let user = tx.device(organisation, device)?.ok_or(StoreError::Damaged("device"))?.user;
            Some(RightsChange { user, left: false })
        }
        Body::UserKeyChanged { user, encryption_key, abandoned, previous: _, manifest: _ } => {
            tx.change_user_key(organisation, user, encryption_key, abandoned)?;
            None
        }
        Body::DirectoryKeyChanged { number, .. } => {
            tx.change_directory(organisation, *number)?;
            None
        }
    };
    match author {
        Author::Device(device) if !body.is_enrolment() => {
            tx.set_last_change(organisation, device, position)?;
        }
        Author::Device(_) | Author::Root => {}
    }
    Ok(rights)
}

/// A log as the rules see it, in one transaction.
pub(crate) struct StoredView<'a> {
    tx: &'a dyn Tx,
    log: &'a OpenLog,
}

impl StoredView<'_> {
    /// The organisation whose log it is.
    pub(crate) const fn organisation(&self) -> &OrganisationId {
        &self.log.origin.organisation
    }

    /// The transaction in which it is seen.
    pub(crate) const fn tx(&self) -> &dyn Tx {
        self.tx
    }

    /// What the certificate at `position` says, which the log has.
    fn payload(&self, position: u64) -> Result<Payload, StoreError> {
        let damaged = StoreError::Damaged("certificate");
        let envelope = self.tx.envelope(self.organisation(), position)?.ok_or(damaged.clone())?;
        Envelope::decode(&envelope).and_then(|envelope| envelope.payload()).map_err(|_| damaged)
    }
}

impl LogView for StoredView<'_> {
    type Error = StoreError;

    fn head(&self) -> Result<Head, StoreError> {
        Ok(self.log.head)
    }

    fn head_at(&self, count: u64) -> Result<Option<Head>, StoreError> {
        let Some(position) = count.checked_sub(1) else {
            return Ok(Some(Head::empty(self.organisation(), self.log.root())));
        };
        let hash = self.tx.head_after(self.organisation(), position)?;
        Ok(hash.map(|hash| Head { count, hash }))
    }
}

impl MembersView for StoredView<'_> {
    fn origin(&self) -> &Origin {
        &self.log.origin
    }

    fn user(&self, user: &UserId) -> Result<Option<UserState>, StoreError> {
        // More than a machine can count is too many, too.
        let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Ok(self.tx.user(self.organisation(), user)?.map(|user| UserState {
            profile: user.profile,
            profile_position: user.profile_position,
            revoked: user.revoked,
            devices: number(user.devices.saturating_add(user.abandoned)),
            devices_revoked: number(if user.revoked { user.devices } else { user.devices_revoked }),
            encryption_key: user.encryption_key,
            key_changes: number(user.key_changes),
        }))
    }

    fn certifier(&self, user: &UserId) -> Result<Option<Author>, StoreError> {
        let Some(known) = self.tx.user(self.organisation(), user)? else { return Ok(None) };
        // The user's certificate gave the profile, unless it was changed since: then it stands
        // before. Nobody waits for a long way back, since a call brings a user with the first
        // device.
        for position in (0..=known.profile_position).rev() {
            let Payload { author, body, .. } = self.payload(position)?;
            if matches!(body, Body::User { user: named, .. } if named == *user) {
                return Ok(Some(author));
            }
        }
        Err(StoreError::Damaged("user"))
    }

    fn device(&self, device: &DeviceId) -> Result<Option<DeviceState>, StoreError> {
        Ok(self.tx.signer(self.organisation(), device)?.map(|signer| DeviceState {
            user: signer.member.user,
            verify_key: signer.verify_key,
            revoked: signer.revoked,
            kind: signer.kind,
        }))
    }

    fn email_in_use(&self, email: &Email) -> Result<bool, StoreError> {
        self.tx.email_in_use(self.organisation(), email)
    }

    fn encryption_key_used(&self, key: &KeyHash) -> Result<bool, StoreError> {
        self.tx.encryption_key_used(self.organisation(), key)
    }

    fn abandoned_by(&self, device: &DeviceId) -> Result<Option<UserId>, StoreError> {
        self.tx.abandoned_by(self.organisation(), device)
    }

    fn verify_key_used(&self, key: &VerifyKey) -> Result<bool, StoreError> {
        self.tx.verify_key_used(self.organisation(), key)
    }

    fn author_state(&self, author: &Author) -> Result<Option<AuthorState>, StoreError> {
        // The root signs the founding, which is enrolments alone.
        let Author::Device(device) = author else { return Ok(None) };
        let position = self.tx.device(self.organisation(), device)?.and_then(|device| device.last_change);
        let Some(position) = position else { return Ok(None) };
        let Payload { seen, time, .. } = self.payload(position)?;
        Ok(Some(AuthorState { seen: seen.count, time }))
    }

    fn directory(&self) -> Result<DirectoryState, StoreError> {
        self.tx.directory(self.organisation())
    }
}
