//! Which log is valid (docs/protocol.md, *The log*), and the type that only validation can make.
//!
//! Decides what is known after each accepted certificate; `rules` decides whether the next one may stand there.
//! Refuses everything from the first certificate that fails: what was accepted before it stays as it was.

use std::collections::{BTreeMap, BTreeSet};

use super::certificate::{Author, Body, Head, Payload, Profile};
use super::crew::{self, Crew, Read};
use super::rules;
pub use super::rules::Fault;
use crate::ids::{DeviceId, Email, OrganisationId, Timestamp, UserId};
use crate::public::{EncryptionKey, Hash, VerifyKey};

/// A member by the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// Who.
    pub user: UserId,
    /// Address.
    pub email: Email,
    /// Opened by `members::open_name`.
    pub sealed_name: Vec<u8>,
    /// What to encrypt to them with.
    pub encryption_key: EncryptionKey,
    /// What they may do now.
    pub profile: Profile,
    /// Where in the log: 0 is the first.
    pub position: u64,
    /// By whom.
    pub author: Author,
    /// When.
    pub certified: Timestamp,
    /// Since when no member.
    pub revoked: Option<Timestamp>,
}

/// A terminal by the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Which.
    pub device: DeviceId,
    /// Whose.
    pub user: UserId,
    /// Opened by `members::open_name`.
    pub sealed_label: Vec<u8>,
    /// What it signs with.
    pub verify_key: VerifyKey,
    /// Where in the log.
    pub position: u64,
    /// By whom.
    pub author: Author,
    /// When.
    pub certified: Timestamp,
    /// Since when not trusted, by its own or its user's revocation.
    pub revoked: Option<Timestamp>,
}

/// A log that verified from the root key to its head. Obtained from the verifier alone.
#[derive(Debug, Clone)]
pub struct VerifiedLog {
    pub(super) organisation: OrganisationId,
    pub(super) root: VerifyKey,
    /// The running hash at every count from 0: a certificate may have seen any of them.
    heads: Vec<Hash>,
    users: Vec<UserRecord>,
    devices: Vec<DeviceRecord>,
    user_index: BTreeMap<UserId, UserIndex>,
    device_index: BTreeMap<DeviceId, usize>,
    /// Of users not revoked.
    emails: BTreeSet<Email>,
    /// Of all users there ever were.
    encryption_keys: BTreeSet<EncryptionKey>,
    /// Of all devices there ever were.
    verify_keys: BTreeSet<VerifyKey>,
    /// What each author said last, enrolments aside; none is the root.
    authors: BTreeMap<Option<DeviceId>, LastWord>,
    /// Certificates that were not on a checkpoint's word.
    anew: u64,
}

/// A certificate that was found good as the next one of a log. Made by [`VerifiedLog::judge`] alone.
#[derive(Debug)]
pub struct Next {
    payload: Payload,
    envelope: Vec<u8>,
    after: Head,
}

/// What is known of a user beside the record.
#[derive(Debug, Clone)]
struct UserIndex {
    at: usize,
    devices: Vec<usize>,
    profile_position: u64,
}

/// The view and the time of an author's newest certificate.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastWord {
    pub(super) seen: u64,
    pub(super) time: Timestamp,
}

/// One certificate that fails makes the log invalid from there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("certificate {position} of the log: {fault}")]
pub struct LogError {
    /// Position of the first bad certificate; 0 is the first.
    pub position: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

impl VerifiedLog {
    /// The log before its first certificate.
    #[must_use]
    pub fn empty(organisation: OrganisationId, root: VerifyKey) -> Self {
        let heads = vec![Head::empty(&organisation, &root).hash];
        Self {
            organisation,
            root,
            heads,
            users: Vec::new(),
            devices: Vec::new(),
            user_index: BTreeMap::new(),
            device_index: BTreeMap::new(),
            emails: BTreeSet::new(),
            encryption_keys: BTreeSet::new(),
            verify_keys: BTreeSet::new(),
            authors: BTreeMap::new(),
            anew: 0,
        }
    }

    /// This log with further certificates. On failure this one is as it was.
    ///
    /// # Errors
    /// [`LogError`] names the first certificate that doesn't verify.
    pub fn extended<'a>(&self, envelopes: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, LogError> {
        let mut log = self.clone();
        envelopes.into_iter().try_for_each(|envelope| log.push(envelope))?;
        Ok(log)
    }

    /// Like [`Self::extended`], in place: certificates before the bad one are kept.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn push(&mut self, envelope: &[u8]) -> Result<(), LogError> {
        let position = self.count();
        let accepted = rules::accept(self, || Read::of(envelope), None);
        let payload = accepted.map_err(|fault| LogError { position, fault })?;
        self.add(payload, envelope);
        Ok(())
    }

    /// Whether a certificate may stand next, without taking it in: so that a long log is not copied for the sake of one more.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn judge(&self, envelope: &[u8]) -> Result<Next, LogError> {
        let accepted = rules::accept(self, || Read::of(envelope), None);
        let payload = accepted.map_err(|fault| LogError { position: self.count(), fault })?;
        Ok(Next { payload, envelope: envelope.to_vec(), after: self.head() })
    }

    /// Takes in what was judged to be next of this very log. `false`, and nothing done: it was another, or has grown since.
    #[must_use]
    pub fn follow(&mut self, next: Next) -> bool {
        if next.after != self.head() {
            return false;
        }
        self.add(next.payload, &next.envelope);
        true
    }

    /// Like [`Self::push`] for one after the other, with the signatures checked by a crew: the same result, in less time.
    ///
    /// # Errors
    /// [`LogError`]; the certificates before the bad one are kept.
    pub fn take<E: AsRef<[u8]>>(&mut self, envelopes: &[E], crew: &dyn Crew) -> Result<(), LogError> {
        for batch in envelopes.chunks(crew::BATCH) {
            let jobs = crew::prepare(self, batch, crew);
            for (envelope, job) in batch.iter().zip(jobs) {
                let position = self.count();
                let (read, checked) = job.done();
                let accepted = rules::accept(self, || read, checked);
                let payload = accepted.map_err(|fault| LogError { position, fault })?;
                self.add(payload, envelope.as_ref());
            }
        }
        Ok(())
    }

    /// How many of its certificates were verified by this program since it started; the others were on a checkpoint's word.
    #[must_use]
    pub const fn verified_anew(&self) -> u64 {
        self.anew
    }

    /// Takes in a certificate that was accepted.
    fn add(&mut self, payload: Payload, envelope: &[u8]) {
        self.anew = self.anew.saturating_add(1);
        self.recall(payload, envelope);
    }

    /// Takes in a certificate that is known to have been accepted here: for `checkpoint`.
    pub(super) fn recall(&mut self, payload: Payload, envelope: &[u8]) {
        let position = self.count();
        let head = self.head().after(envelope);
        self.apply(payload, position);
        self.heads.push(head.hash);
    }

    /// In which organisation.
    #[must_use]
    pub fn organisation(&self) -> &OrganisationId {
        &self.organisation
    }

    /// Pinned.
    #[must_use]
    pub fn root(&self) -> &VerifyKey {
        &self.root
    }

    /// How many certificates it has.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.heads.len().saturating_sub(1) as u64
    }

    /// Where it ends now.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head_at(self.count()).unwrap_or_else(|| Head::empty(&self.organisation, &self.root))
    }

    /// Where it was after `count` certificates; none if there are fewer.
    #[must_use]
    pub fn head_at(&self, count: u64) -> Option<Head> {
        let hash = *self.heads.get(usize::try_from(count).ok()?)?;
        Some(Head { count, hash })
    }

    /// Whether this log passes through `kept`, a head that was signed, handed over or stored: if not, it is
    /// another past, or an earlier state of this one, and must be refused.
    #[must_use]
    pub fn extends(&self, kept: &Head) -> bool {
        self.head_at(kept.count).as_ref() == Some(kept)
    }

    /// A user, revoked or not.
    #[must_use]
    pub fn user(&self, user: &UserId) -> Option<&UserRecord> {
        self.users.get(self.user_index.get(user)?.at)
    }

    /// A device, revoked or not.
    #[must_use]
    pub fn device(&self, device: &DeviceId) -> Option<&DeviceRecord> {
        self.devices.get(*self.device_index.get(device)?)
    }

    /// All users, in the order of certification.
    pub fn users(&self) -> impl Iterator<Item = &UserRecord> {
        self.users.iter()
    }

    /// All devices, in the order of certification.
    pub fn devices(&self) -> impl Iterator<Item = &DeviceRecord> {
        self.devices.iter()
    }

    /// Devices of a user, revoked ones too, in the order of certification.
    pub fn devices_of(&self, user: &UserId) -> impl Iterator<Item = &DeviceRecord> {
        let indices = self.user_index.get(user).map_or(&[][..], |index| &index.devices);
        indices.iter().filter_map(|at| self.devices.get(*at))
    }

    /// Where the user's present profile was stated.
    pub(super) fn profile_position(&self, user: &UserId) -> Option<u64> {
        self.user_index.get(user).map(|index| index.profile_position)
    }

    /// Whether a user who is not revoked has this address.
    pub(super) fn email_in_use(&self, email: &Email) -> bool {
        self.emails.contains(email)
    }

    /// Whether any user, revoked or not, has this key.
    pub(super) fn encryption_key_used(&self, key: &EncryptionKey) -> bool {
        self.encryption_keys.contains(key)
    }

    /// Whether any device, revoked or not, has this key.
    pub(super) fn verify_key_used(&self, key: &VerifyKey) -> bool {
        self.verify_keys.contains(key)
    }

    /// What this author said last.
    pub(super) fn last_word(&self, author: Author) -> Option<LastWord> {
        self.authors.get(&author_key(author)).copied()
    }

    /// Takes in what an accepted certificate says. Cannot fail: `rules` looked at everything.
    fn apply(&mut self, payload: Payload, position: u64) {
        let Payload { organisation: _, author, time, seen, body } = payload;
        if !body.is_enrolment() {
            self.authors.insert(author_key(author), LastWord { seen: seen.count, time });
        }
        match body {
            Body::User { user, email, sealed_name, encryption_key, profile } => {
                let index =
                    UserIndex { at: self.users.len(), devices: Vec::new(), profile_position: position };
                self.user_index.insert(user, index);
                self.emails.insert(email.clone());
                self.encryption_keys.insert(encryption_key);
                self.users.push(UserRecord {
                    user,
                    email,
                    sealed_name: sealed_name.into(),
                    encryption_key,
                    profile,
                    position,
                    author,
                    certified: time,
                    revoked: None,
                });
            }
            Body::Device { device, user, sealed_label, verify_key } => {
                if let Some(owner) = self.user_index.get_mut(&user) {
                    owner.devices.push(self.devices.len());
                }
                self.device_index.insert(device, self.devices.len());
                self.verify_keys.insert(verify_key);
                self.devices.push(DeviceRecord {
                    device,
                    user,
                    sealed_label: sealed_label.into(),
                    verify_key,
                    position,
                    author,
                    certified: time,
                    revoked: None,
                });
            }
            Body::ProfileChange { user, profile } => {
                if let Some(index) = self.user_index.get_mut(&user) {
                    index.profile_position = position;
                    if let Some(record) = self.users.get_mut(index.at) {
                        record.profile = profile;
                    }
                }
            }
            Body::UserRevoked { user } => {
                let Some(index) = self.user_index.get(&user) else { return };
                if let Some(record) = self.users.get_mut(index.at) {
                    record.revoked = Some(time);
                    // A later member may have the address; the keys and ids stay taken for ever.
                    self.emails.remove(&record.email);
                }
                for at in &index.devices {
                    if let Some(record) = self.devices.get_mut(*at) {
                        record.revoked.get_or_insert(time);
                    }
                }
            }
            Body::DeviceRevoked { device } => {
                let record = self.device_index.get(&device).and_then(|at| self.devices.get_mut(*at));
                if let Some(record) = record {
                    record.revoked = Some(time);
                }
            }
        }
    }
}

/// The key under which an author's last word is kept.
const fn author_key(author: Author) -> Option<DeviceId> {
    match author {
        Author::Root => None,
        Author::Device(device) => Some(device),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LOG_MAX_CERTIFICATES;

    #[test]
    fn a_full_log_looks_at_no_further_bytes() {
        let mut log = VerifiedLog::empty("acme".parse().unwrap(), VerifyKey::from_bytes([9; 32]));
        let hash = log.head().hash;
        // A log of n certificates has n + 1 heads.
        log.heads.resize(usize::try_from(LOG_MAX_CERTIFICATES).unwrap(), hash);
        let last = LOG_MAX_CERTIFICATES - 1;
        assert_eq!(log.push(b"junk"), Err(LogError { position: last, fault: Fault::Malformed }));
        log.heads.push(hash);
        let error = LogError { position: LOG_MAX_CERTIFICATES, fault: Fault::LogFull };
        assert_eq!(log.push(b"junk"), Err(error));
    }
}
