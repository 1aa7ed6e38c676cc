//! An organisation's verified log: who is a member, and which devices are known, at its end.
//!
//! Decides what is known after each accepted certificate; `rules` decides whether the next one may
//! stand there. Refuses nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::Organisation;
use super::at::{DeviceAt, UserAt};
use super::certificate::{Author, Body, Payload, Profile};
pub use super::records::{DeviceRecord, DirectoryKeyRecord, UserKeyRecord, UserRecord};
use super::rules::Fault;
use super::view::{AuthorState, DirectoryState, UserState};
use crate::chain::batch::Executor;
use crate::chain::checkpoint::CheckpointKey;
use crate::chain::head::Head;
use crate::chain::log::{self, Log};
use crate::ids::{DeviceId, Email, OrganisationId, UserId};
use crate::limits::FIRST_DIRECTORY_KEY;
use crate::public_keys::{Hash, VerifyKey};
use crate::sealing::KeyHash;

/// An organisation's log that verified from the root key to its head. Obtained from the verifier
/// alone.
///
/// ```
/// use parsec_protocol::chain::organisation::bootstrap::{Founder, found};
/// use parsec_protocol::chain::organisation::log::VerifiedLog;
/// use parsec_protocol::chain::organisation::rules::Fault;
/// use parsec_protocol::ids::Timestamp;
/// use parsec_protocol::keys::{
///     DeviceSeed, DeviceSigningKey, DirectoryKey, Entropy, NoEntropy, UserSeed,
/// };
///
/// # // Not random: an example's keys are worth nothing.
/// # struct Counter(u8);
/// # impl Entropy for Counter {
/// #     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
/// #         for byte in bytes {
/// #             self.0 = self.0.wrapping_mul(5).wrapping_add(113);
/// #             *byte = self.0;
/// #         }
/// #         Ok(())
/// #     }
/// # }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let entropy = &mut Counter(1);
/// let founder = Founder {
///     organisation: &"acme".parse()?,
///     email: &"alice@acme.example".parse()?,
///     name: &"Alice".parse()?,
///     device_label: &"laptop".parse()?,
///     user_seed: &UserSeed::random(entropy)?,
///     device_seed: &DeviceSeed::random(entropy)?,
///     signing_key: &DeviceSigningKey::random(entropy)?,
///     directory_key: &DirectoryKey::random(entropy)?,
/// };
/// let founded = found(&founder, Timestamp(1_800_000_000_000_000), entropy)?;
///
/// // A reader needs the organisation's id and its root key, and believes nothing else.
/// let empty = VerifiedLog::empty("acme".parse()?, founded.root);
/// let log = empty.extended(founded.certificates.iter().map(Vec::as_slice))?;
/// assert_eq!(log.user(&founded.user).map(|user| user.email.as_str()), Some("alice@acme.example"));
/// assert_eq!(log.head().count, 2);
///
/// // One changed bit, and the certificate's place is named with the rule that it breaks.
/// let mut changed = founded.certificates;
/// if let Some(byte) = changed.iter_mut().nth(1).and_then(|envelope| envelope.last_mut()) {
///     *byte ^= 1;
/// }
/// let error = empty.extended(changed.iter().map(Vec::as_slice)).unwrap_err();
/// assert_eq!((error.position, error.fault), (1, Fault::BadSignature));
/// # Ok(())
/// # }
/// ```
pub type VerifiedLog = Log<Organisation>;

/// One certificate that fails makes the log invalid from there.
pub type LogError = log::LogError<Fault>;

/// What names an organisation's log: every member pins both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Id of the organisation.
    pub organisation: OrganisationId,
    /// Key that signs the first two certificates, and is destroyed then.
    pub root: VerifyKey,
}

impl Head {
    /// The head of an organisation's log without certificates:
    /// head₀ = SHA-256("parsec-log-v1" ‖ organisation id ‖ root key).
    #[must_use]
    pub fn empty(organisation: &OrganisationId, root: &VerifyKey) -> Self {
        let hash = Hash::of(&[b"parsec-log-v1", organisation.as_str().as_bytes(), root.as_bytes()]);
        Self { count: 0, hash }
    }
}

/// What the accepted certificates say together.
#[derive(Debug, Clone, Default)]
pub struct Membership {
    users: Vec<UserRecord>,
    devices: Vec<DeviceRecord>,
    /// For each of these, the position of the certificate that revoked it or its user.
    device_ends: Vec<Option<u64>>,
    /// Positions of certificates that are no enrolments, ascending.
    changes: Vec<u64>,
    user_index: BTreeMap<UserId, UserIndex>,
    device_index: BTreeMap<DeviceId, usize>,
    /// Of users not revoked.
    emails: BTreeSet<Email>,
    /// Of all users and devices there ever were.
    encryption_keys: BTreeSet<KeyHash>,
    /// Of all devices there ever were.
    verify_keys: BTreeSet<VerifyKey>,
    /// What each author said last, enrolments aside.
    authors: BTreeMap<Author, AuthorState>,
    /// Devices that a key change named as abandoned, and whose they were to be.
    abandoned: BTreeMap<DeviceId, UserId>,
    /// Directory keys behind the first, ascending.
    directory_keys: Vec<DirectoryKeyRecord>,
    /// Whether somebody was revoked since the present directory key.
    somebody_left: bool,
}

/// What is known of a user beside the record.
#[derive(Debug, Clone)]
struct UserIndex {
    at: usize,
    devices: Vec<usize>,
    /// Every profile of the user with its certificate's position, the present one last.
    profiles: Vec<(u64, Profile)>,
    /// Position of the certificate that revoked the user.
    revoked: Option<u64>,
    /// Devices that were named as abandoned and have not come into the log since.
    abandoned: usize,
    /// Key changes in which no device was abandoned.
    key_changes: usize,
    /// Positions of the certificates that revoked a device of the user, ascending.
    device_revocations: Vec<u64>,
}

impl VerifiedLog {
    /// The log before its first certificate.
    #[must_use]
    pub fn empty(organisation: OrganisationId, root: VerifyKey) -> Self {
        Self::begin(Origin { organisation, root })
    }

    /// The log of these envelopes, on a checkpoint's word as far as that fits
    /// ([`Log::resume_within`]).
    ///
    /// # Errors
    /// [`LogError`] for the first certificate that fails verification.
    pub fn resume<E: AsRef<[u8]>>(
        organisation: OrganisationId,
        root: VerifyKey,
        envelopes: &[E],
        note: Option<(&[u8], &CheckpointKey)>,
        executor: &impl Executor,
    ) -> Result<Self, LogError> {
        Self::resume_within(Origin { organisation, root }, envelopes, note, executor, &())
    }

    /// The organisation whose log it is.
    #[must_use]
    pub const fn organisation(&self) -> &OrganisationId {
        &self.origin().organisation
    }

    /// The root key, which every member pins.
    #[must_use]
    pub const fn root(&self) -> &VerifyKey {
        &self.origin().root
    }

    /// A user, revoked or not.
    #[must_use]
    pub fn user(&self, user: &UserId) -> Option<&UserRecord> {
        self.state().user(user)
    }

    /// A device, revoked or not.
    #[must_use]
    pub fn device(&self, device: &DeviceId) -> Option<&DeviceRecord> {
        self.state().device(device)
    }

    /// All users, in the order of certification.
    pub fn users(&self) -> impl Iterator<Item = &UserRecord> {
        self.state().users.iter()
    }

    /// All devices, in the order of certification.
    pub fn devices(&self) -> impl Iterator<Item = &DeviceRecord> {
        self.state().devices.iter()
    }

    /// Whether a device of the user was revoked after the user's present key was certified: who has
    /// that device has the key (docs/protocol.md, *The log*). False for a user that the log doesn't
    /// have.
    #[must_use]
    pub fn is_suspended(&self, user: &UserId) -> bool {
        self.state().user_at(user, u64::MAX).is_some_and(|user| user.suspended)
    }

    /// Whether a change of its user's key has named this device as abandoned.
    #[must_use]
    pub fn is_abandoned(&self, device: &DeviceId) -> bool {
        self.state().abandoned_by(device).is_some()
    }

    /// Devices of a user, revoked ones too, in the order of certification.
    pub fn devices_of(&self, user: &UserId) -> impl Iterator<Item = &DeviceRecord> {
        let state = self.state();
        let indices = state.user_index.get(user).map_or(&[][..], |index| &index.devices);
        indices.iter().filter_map(|at| state.devices.get(*at))
    }
}

impl VerifiedLog {
    /// Directory keys behind the first, ascending: the present one last.
    #[must_use]
    pub fn directory_keys(&self) -> &[DirectoryKeyRecord] {
        &self.state().directory_keys
    }

    /// Whether somebody was revoked who has the present directory key, so that another may be made.
    #[must_use]
    pub fn is_directory_key_due(&self) -> bool {
        self.state().somebody_left
    }

    /// Who gets a directory key that is certified behind the first `n` certificates: everybody
    /// there who is neither revoked nor suspended, with their key, ascending by id.
    #[must_use]
    pub fn directory_list(&self, n: u64) -> Vec<(UserId, KeyHash)> {
        let state = self.state();
        let at = |user: &UserId| state.user_at(user, n).filter(|at| !at.revoked && !at.suspended);
        state.user_index.keys().filter_map(|user| Some((*user, at(user)?.encryption_key))).collect()
    }
}

impl Membership {
    /// The present directory key.
    pub(super) fn directory(&self) -> DirectoryState {
        let number = self.directory_keys.last().map_or(FIRST_DIRECTORY_KEY, |key| key.number);
        DirectoryState { number, somebody_left: self.somebody_left }
    }

    fn user(&self, user: &UserId) -> Option<&UserRecord> {
        self.users.get(self.user_index.get(user)?.at)
    }

    fn device(&self, device: &DeviceId) -> Option<&DeviceRecord> {
        self.devices.get(*self.device_index.get(device)?)
    }

    /// A user as the rules ask for one.
    pub(super) fn user_state(&self, user: &UserId) -> Option<UserState> {
        let index = self.user_index.get(user)?;
        let record = self.users.get(index.at)?;
        Some(UserState {
            profile: record.profile,
            profile_position: index.profiles.last().map_or(0, |(position, _)| *position),
            revoked: record.revoked.is_some(),
            devices: index.devices.len().saturating_add(index.abandoned),
            devices_revoked: self.devices_revoked(index),
            encryption_key: record.encryption_key,
            key_changes: index.key_changes,
        })
    }

    fn devices_revoked(&self, index: &UserIndex) -> usize {
        let revoked = |at: &&usize| self.devices.get(**at).is_some_and(|device| device.revoked.is_some());
        index.devices.iter().filter(revoked).count()
    }

    /// The user after the first `n` certificates.
    pub(super) fn user_at(&self, user: &UserId, n: u64) -> Option<UserAt> {
        let index = self.user_index.get(user)?;
        let record = self.users.get(index.at)?;
        let key = record.keys.iter().rfind(|key| key.position < n)?;
        let (_, profile) = *index.profiles.iter().rfind(|(position, _)| *position < n)?;
        let lives = |at: &usize| self.is_alive(*at, n);
        Some(UserAt {
            profile,
            revoked: index.revoked.is_some_and(|position| position < n),
            has_device: index.devices.iter().any(lives),
            suspended: index.device_revocations.iter().any(|at| *at > key.position && *at < n),
            encryption_key: key.key,
        })
    }

    /// The device after the first `n` certificates.
    pub(super) fn device_at(&self, device: &DeviceId, n: u64) -> Option<DeviceAt> {
        let at = *self.device_index.get(device)?;
        let record = self.devices.get(at).filter(|record| record.position < n)?;
        Some(DeviceAt {
            user: record.user,
            verify_key: record.verify_key,
            kind: record.kind,
            revoked: !self.is_alive(at, n),
        })
    }

    /// Whether a device was certified and not revoked in the first `n` certificates.
    fn is_alive(&self, at: usize, n: u64) -> bool {
        let certified = self.devices.get(at).is_some_and(|record| record.position < n);
        let end = self.device_ends.get(at).copied().flatten();
        certified && end.is_none_or(|position| position >= n)
    }

    /// Position of the newest of the first `n` certificates that is no enrolment.
    pub(super) fn changed_before(&self, n: u64) -> Option<u64> {
        let before = self.changes.partition_point(|position| *position < n);
        self.changes.get(before.checked_sub(1)?).copied()
    }

    /// The user who has named a device as abandoned.
    pub(super) fn abandoned_by(&self, device: &DeviceId) -> Option<UserId> {
        self.abandoned.get(device).copied()
    }

    /// Whether a user who is not revoked has this address.
    pub(super) fn email_in_use(&self, email: &Email) -> bool {
        self.emails.contains(email)
    }

    /// Whether any user or device has, or ever had, the key with this hash.
    pub(super) fn encryption_key_used(&self, key: &KeyHash) -> bool {
        self.encryption_keys.contains(key)
    }

    /// Whether any device, revoked or not, has this key.
    pub(super) fn verify_key_used(&self, key: &VerifyKey) -> bool {
        self.verify_keys.contains(key)
    }

    /// What this author said last.
    pub(super) fn author_state(&self, author: &Author) -> Option<AuthorState> {
        self.authors.get(author).copied()
    }

    /// Takes in what an accepted certificate says. Cannot fail: the rules looked at everything.
    pub(super) fn apply(&mut self, payload: Payload, position: u64) {
        let Payload { organisation: _, author, time, seen, body } = payload;
        if !body.is_enrolment() {
            self.authors.insert(author, AuthorState { seen: seen.count, time });
            self.changes.push(position);
        }
        match body {
            Body::User { user, email, sealed_name, encryption_key, profile } => {
                let index = UserIndex {
                    at: self.users.len(),
                    devices: Vec::new(),
                    profiles: vec![(position, profile)],
                    revoked: None,
                    abandoned: 0,
                    key_changes: 0,
                    device_revocations: Vec::new(),
                };
                self.user_index.insert(user, index);
                self.emails.insert(email.clone());
                self.encryption_keys.insert(encryption_key);
                self.users.push(UserRecord {
                    user,
                    email,
                    sealed_name: sealed_name.into(),
                    encryption_key,
                    keys: vec![UserKeyRecord {
                        key: encryption_key,
                        position,
                        author,
                        certified: time,
                        manifest: None,
                    }],
                    profile,
                    position,
                    author,
                    certified: time,
                    revoked: None,
                });
            }
            Body::Device { device, user, sealed_label, verify_key, encryption_key, kind } => {
                let counted = self.abandoned.get(&device) == Some(&user);
                if let Some(owner) = self.user_index.get_mut(&user) {
                    owner.devices.push(self.devices.len());
                    owner.abandoned = owner.abandoned.saturating_sub(usize::from(counted));
                }
                self.device_index.insert(device, self.devices.len());
                self.verify_keys.insert(verify_key);
                self.encryption_keys.insert(encryption_key);
                self.device_ends.push(None);
                self.devices.push(DeviceRecord {
                    device,
                    user,
                    sealed_label: sealed_label.into(),
                    verify_key,
                    encryption_key,
                    kind,
                    position,
                    seen: seen.count,
                    author,
                    certified: time,
                    revoked: None,
                });
            }
            Body::ProfileChange { user, profile } => {
                if let Some(index) = self.user_index.get_mut(&user) {
                    index.profiles.push((position, profile));
                    if let Some(record) = self.users.get_mut(index.at) {
                        record.profile = profile;
                    }
                }
            }
            Body::UserRevoked { user } => {
                self.somebody_left = true;
                let Some(index) = self.user_index.get_mut(&user) else { return };
                index.revoked = Some(position);
                if let Some(record) = self.users.get_mut(index.at) {
                    record.revoked = Some(time);
                    // A later member may have the address; the keys and ids stay taken for ever.
                    self.emails.remove(&record.email);
                }
                for at in &index.devices {
                    if let Some(record) = self.devices.get_mut(*at) {
                        record.revoked.get_or_insert(time);
                    }
                    if let Some(end) = self.device_ends.get_mut(*at) {
                        end.get_or_insert(position);
                    }
                }
            }
            Body::DeviceRevoked { device } => {
                self.somebody_left = true;
                let Some(at) = self.device_index.get(&device).copied() else { return };
                if let Some(end) = self.device_ends.get_mut(at) {
                    *end = Some(position);
                }
                if let Some(record) = self.devices.get_mut(at) {
                    record.revoked = Some(time);
                    if let Some(owner) = self.user_index.get_mut(&record.user) {
                        owner.device_revocations.push(position);
                    }
                }
            }
            Body::UserKeyChanged { user, previous: _, encryption_key, manifest, abandoned } => {
                let Some(index) = self.user_index.get_mut(&user) else { return };
                if abandoned.is_empty() {
                    index.key_changes = index.key_changes.saturating_add(1);
                }
                index.abandoned = index.abandoned.saturating_add(abandoned.len());
                if let Some(record) = self.users.get_mut(index.at) {
                    record.encryption_key = encryption_key;
                    record.keys.push(UserKeyRecord {
                        key: encryption_key,
                        position,
                        author,
                        certified: time,
                        manifest,
                    });
                }
                self.encryption_keys.insert(encryption_key);
                self.abandoned.extend(abandoned.into_iter().map(|device| (device, user)));
            }
            Body::DirectoryKeyChanged { number, key_check, ring } => {
                self.directory_keys.push(DirectoryKeyRecord { number, key_check, ring, position, author });
                self.somebody_left = false;
            }
        }
    }
}
