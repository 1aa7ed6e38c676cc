//! The keys of a device's user: which of their seeds are here, and how this device gets the others.
//!
//! Decides that a seed is the user's if its key is the one that the verified log names, whoever
//! gave it. Refuses a box that holds anything else, and says by which device the key was changed. A
//! key that can't be had stands in the way of nothing that doesn't need it.

use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures_util::{StreamExt as _, stream};
use parsec_protocol::chain::organisation::log::{UserKeyRecord, UserRecord, VerifiedLog};
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::DeviceId;
use parsec_protocol::keys::UserSeed;
use parsec_protocol::relay::{ErrorCode, KeyBox};
use parsec_protocol::sealing::{EncryptionKey, KeyHash};
use parsec_protocol::user_key::UserKey;

use super::Session;
use super::names::Names;
use crate::os::blocking_in;
use crate::store::{OpenDevice, StoreError};
use crate::transport::TransportError;
use crate::transport::retry::answered;

/// Public keys asked for at once: with 50 ms to the server, those of 1,000 members take 3 seconds
/// and not 50.
const KEYS_AT_ONCE: usize = 16;

/// Keys of the user whose past boxes were seen to be right.
#[derive(Debug, Default)]
pub(super) struct LeadBack(Mutex<BTreeSet<KeyHash>>);

impl LeadBack {
    /// The keys that were seen.
    pub(super) fn keys(&self) -> MutexGuard<'_, BTreeSet<KeyHash>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Devices of the user whose box with a key was seen at the server: each is asked for once.
#[derive(Debug, Default)]
pub(super) struct Boxed(Mutex<BTreeSet<(KeyHash, DeviceId)>>);

impl Boxed {
    fn seen(&self) -> MutexGuard<'_, BTreeSet<(KeyHash, DeviceId)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has(&self, key: KeyHash, device: DeviceId) -> bool {
        self.seen().contains(&(key, device))
    }

    pub(super) fn add(&self, key: KeyHash, device: DeviceId) {
        self.seen().insert((key, device));
    }

    /// The server may have lost what was there.
    pub(super) fn clear(&self) {
        self.seen().clear();
    }
}

/// What is remembered of the user's keys while the device is unlocked.
#[derive(Debug, Default)]
pub(super) struct UserKeys {
    /// Hash of the key in the key file.
    first: OnceLock<KeyHash>,
    /// One change at a time.
    pub(super) changing: tokio::sync::Mutex<()>,
    /// The keys that lead back to the one before, as far as the server was asked.
    pub(super) lead_back: LeadBack,
    /// The boxes that kits have, likewise.
    pub(super) boxed: Boxed,
}

impl UserKeys {
    /// Whether it is the key that the device was enrolled with.
    fn is_first(&self, open: &OpenDevice, key: &KeyHash) -> bool {
        self.first.get_or_init(|| open.keys.user_seed.encryption_key().hash()) == key
    }
}

/// The device's own user, by what the log says.
///
/// # Errors
/// `device_pending` where the log doesn't have them yet.
pub(super) fn own<'a>(session: &Session, log: &'a VerifiedLog) -> Result<&'a UserRecord, Problem> {
    let missing = || Problem::new(ProblemKind::DevicePending, "The device is not registered yet.");
    log.user(&session.open.summary.user).ok_or_else(missing)
}

impl Session {
    /// A key of the user, as boxes name it.
    pub(super) fn user_key(&self, key: KeyHash) -> UserKey {
        let summary = &self.open.summary;
        UserKey { organisation: summary.organisation.clone(), user: summary.user, key }
    }

    /// The seed of a key of the user, if it is on this device.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn kept_seed(&self, key: KeyHash) -> Result<Option<Arc<UserSeed>>, Problem> {
        if self.user_keys.is_first(&self.open, &key) {
            return Ok(Some(Arc::clone(&self.open.keys.user_seed)));
        }
        Ok(self.store(move |store| store.user_seed(&key)).await?.map(Arc::new))
    }

    /// The seed of the user's present key: the one on this device, or out of the box that the
    /// device was given. Durable when it returns.
    ///
    /// # Errors
    /// `user_key_missing`, with an alarm where another device should have given a box and did not;
    /// the server's refusal; the store's.
    pub async fn present_seed(&self, log: &VerifiedLog) -> Result<Arc<UserSeed>, Problem> {
        let key = own(self, log)?.encryption_key;
        if let Some(seed) = self.kept_seed(key).await? {
            return Ok(seed);
        }
        let record = own(self, log)?.keys.last();
        let fetched = match self.fetch_box(key).await? {
            Some(found) => self.open_box(key, found).await?,
            None => None,
        };
        match (fetched, record) {
            (Some(seed), _) => Ok(seed),
            (None, record) => Err(self.no_box(log, record).await),
        }
    }

    pub(super) async fn fetch_box(&self, key: KeyHash) -> Result<Option<KeyBox>, Problem> {
        let (user, device) = (self.open.summary.user, self.open.summary.device);
        match answered(|| self.member.key_box(user, &key, device)).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.code() == Some(ErrorCode::BoxUnknown) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the box for this device, and keeps what is in it; nothing where it is a wrong one.
    async fn open_box(&self, key: KeyHash, found: KeyBox) -> Result<Option<Arc<UserSeed>>, Problem> {
        let (open, of) = (Arc::clone(&self.open), self.user_key(key));
        blocking_in(&self.tasks, move || {
            let device = open.summary.device;
            let seed = found
                .sealed
                .and_then(|sealed| of.open_at_device(&sealed, device, &open.keys.device_seed).ok());
            let Some(seed) = seed else { return Ok::<_, StoreError>(None) };
            open.store.put_user_seed(&key, &seed)?;
            open.store.put_encryption_keys(&[seed.encryption_key()])?;
            Ok(Some(Arc::new(seed)))
        })
        .await
    }

    /// What is said where this device has no use of its user's key; an alarm if it should have.
    async fn no_box(&self, log: &VerifiedLog, record: Option<&UserKeyRecord>) -> Problem {
        let own = log.device(&self.open.summary.device);
        // Enrolled while the key was changed: who changed it knew nothing of this device.
        let later = own.zip(record).is_some_and(|(own, key)| own.position > key.position);
        if later {
            let text = "Your key was changed while this device was enrolled, and none of your other devices has handed it over yet.";
            return Problem::new(ProblemKind::UserKeyMissing, text);
        }
        let names = Names::new(self.open.directory(), log);
        let author = record.map(|key| names.author_in_words(key.author)).unwrap_or_default();
        let text = format!(
            "Your key was changed by {author}, and the box with the new one that this device was given is missing or wrong."
        );
        let problem = Problem::new(ProblemKind::UserKeyMissing, text);
        self.alarm(&problem).await;
        problem
    }

    /// The seed of a key that the user had, by way of the boxes with the key before that each later
    /// one has; nothing where somebody who changed the key did not have the one before.
    ///
    /// # Errors
    /// As [`Self::present_seed`].
    pub async fn earlier_seed(
        &self,
        log: &VerifiedLog,
        wanted: KeyHash,
    ) -> Result<Option<Arc<UserSeed>>, Problem> {
        if let Some(seed) = self.kept_seed(wanted).await? {
            return Ok(Some(seed));
        }
        let keys = &own(self, log)?.keys;
        if !keys.iter().any(|record| record.key == wanted) {
            return Ok(None);
        }
        let mut seed = self.present_seed(log).await?;
        for pair in keys.windows(2).rev() {
            let [before, after] = pair else { break };
            if seed.encryption_key().hash() == wanted {
                break;
            }
            let earlier = match self.kept_seed(before.key).await? {
                Some(earlier) => earlier,
                None => match self.open_past(after, before.key, seed).await? {
                    Some(earlier) => earlier,
                    None => return Ok(None),
                },
            };
            seed = earlier;
        }
        Ok((seed.encryption_key().hash() == wanted).then_some(seed))
    }

    /// Opens the box with the key before, and keeps what is in it.
    async fn open_past(
        &self,
        after: &UserKeyRecord,
        before: KeyHash,
        seed: Arc<UserSeed>,
    ) -> Result<Option<Arc<UserSeed>>, Problem> {
        let Some(KeyBox { past: Some(past), .. }) = self.fetch_box(after.key).await? else {
            return Ok(None);
        };
        let (open, of) = (Arc::clone(&self.open), self.user_key(after.key));
        blocking_in(&self.tasks, move || {
            let Ok(earlier) = of.open_past(&past, before, &seed) else {
                return Ok::<_, StoreError>(None);
            };
            open.store.put_user_seed(&before, &earlier)?;
            Ok(Some(Arc::new(earlier)))
        })
        .await
    }

    /// A public key that the log names: out of this device's own, its store, or the server.
    ///
    /// # Errors
    /// The server's refusal, `key_unknown` aside, where it is nothing; the store's.
    pub async fn key_by_hash(&self, hash: KeyHash) -> Result<Option<EncryptionKey>, Problem> {
        let open = Arc::clone(&self.open);
        if let [Some(key)] = blocking_in(&self.tasks, move || kept_keys(&open, [hash])).await?.as_slice() {
            return Ok(Some(key.clone()));
        }
        let Some(key) = self.fetch_key(hash).await? else { return Ok(None) };
        let kept = key.clone();
        self.store(move |store| store.put_encryption_keys(&[kept])).await?;
        Ok(Some(key))
    }

    /// The same of many, each in its place: those that are not here, some at a time.
    ///
    /// # Errors
    /// As [`Self::key_by_hash`].
    pub(super) async fn keys_by_hash(
        &self,
        hashes: Vec<KeyHash>,
    ) -> Result<Vec<Option<EncryptionKey>>, Problem> {
        let (open, asked) = (Arc::clone(&self.open), hashes.clone());
        let mut keys = blocking_in(&self.tasks, move || kept_keys(&open, asked)).await?;
        let lacking: Vec<_> = hashes
            .into_iter()
            .enumerate()
            .filter(|(at, _)| keys.get(*at).is_some_and(Option::is_none))
            .collect();
        let fetch = |(at, hash): (usize, KeyHash)| async move { Ok((at, self.fetch_key(hash).await?)) };
        let fetched: Vec<Result<_, Problem>> =
            stream::iter(lacking).map(fetch).buffer_unordered(KEYS_AT_ONCE).collect().await;
        let mut new = Vec::new();
        let mut failed = Ok(());
        for fetched in fetched {
            match fetched {
                Ok((at, Some(key))) => {
                    new.push(key.clone());
                    if let Some(place) = keys.get_mut(at) {
                        *place = Some(key);
                    }
                }
                Ok((_, None)) => {}
                Err(problem) => failed = Err(problem),
            }
        }
        // What came stays, also where the rest did not.
        self.store(move |store| store.put_encryption_keys(&new)).await?;
        failed.map(|()| keys)
    }

    async fn fetch_key(&self, hash: KeyHash) -> Result<Option<EncryptionKey>, Problem> {
        match answered(|| self.member.encryption_key(&hash)).await {
            Ok(key) => Ok(Some(key)),
            Err(error) if error.code() == Some(ErrorCode::KeyUnknown) => Ok(None),
            // What it gives is not sound, or another key: as good as none.
            Err(TransportError::Misbehaved(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The public keys of these hashes that are on this device, each in its place.
pub(super) fn kept_keys(
    open: &OpenDevice,
    hashes: impl IntoIterator<Item = KeyHash>,
) -> Result<Vec<Option<EncryptionKey>>, StoreError> {
    // Made of their seeds where the first of them is asked for that the store doesn't have.
    let own = LazyCell::new(|| {
        [open.keys.device_seed.encryption_key(), open.keys.user_seed.encryption_key()]
            .map(|key| (key.hash(), key))
    });
    let kept = |hash: KeyHash| {
        let stored = open.store.encryption_key(&hash)?;
        Ok(stored.or_else(|| own.iter().find(|(of, _)| *of == hash).map(|(_, key)| key.clone())))
    };
    hashes.into_iter().map(kept).collect()
}
