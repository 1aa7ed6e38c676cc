//! Changing the key of the device's user: who has a device that was revoked has the key before.
//!
//! Decides when it is due, and that the seed and the exact bytes are durable before they go out, so
//! that the same go out after a crash. Refuses two changes of this device at a time; of two devices
//! at once the log lets one win, and the other takes what the log has. Only the verified log
//! decides what became of a change.

use std::sync::Arc;

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::organisation::certificate::{Body, DeviceKind, Envelope, ManifestMark};
use parsec_protocol::chain::organisation::changes::certify;
use parsec_protocol::chain::organisation::log::{UserRecord, VerifiedLog};
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::DeviceId;
use parsec_protocol::keys::{NoEntropy, UserSeed};
use parsec_protocol::limits::ABANDONED_MAX;
use parsec_protocol::relay::{DeviceBox, ErrorCode, KeyBox, KeyBoxUpload, UserKeyChange};
use parsec_protocol::sealing::{EncryptionKey, KeyHash};
use parsec_protocol::user_key::UserKey;

use super::user_keys::own;
use super::{Session, manifest};
use crate::os::{blocking_in, clock, entropy};
use crate::problems;
use crate::store::{PendingChange, Store};
use crate::transport::TransportError;
use crate::transport::retry::{ANSWER_WAIT, answered, within};

/// Changes signed for one request. Others may change the same log: each refusal means that there is
/// something new in it.
const TRIES: u32 = 3;

/// Why the key is to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Where the log or the outbox says so, and only then.
    Due,
    /// Its person wants it.
    Asked,
}

/// What the log has after it.
#[derive(Debug)]
pub struct Changed {
    /// The verified log, which has the change.
    pub log: Arc<VerifiedLog>,
    /// Hash of the user's present key.
    pub key: KeyHash,
    /// Whether it is another one than before.
    pub changed: bool,
    /// Own devices whose public key is not to be had: their boxes open nowhere.
    pub left_out: Vec<DeviceId>,
}

/// What makes a change due.
struct Due {
    suspended: bool,
    /// Ascending, no more than one change may name.
    abandoned: Vec<DeviceId>,
}

impl Due {
    fn is_any(&self) -> bool {
        self.suspended || !self.abandoned.is_empty()
    }
}

/// What was signed, as far as it decides what becomes of it.
struct Signed {
    previous: KeyHash,
    /// How much of the log its author had seen.
    seen: u64,
}

/// What became of a change.
enum Fate {
    Won,
    Lost,
    Open,
}

fn signed(pending: &PendingChange) -> Option<Signed> {
    let payload = Envelope::decode(&pending.change.certificate).ok()?.payload().ok()?;
    match payload.body {
        Body::UserKeyChanged { previous, .. } => Some(Signed { previous, seen: payload.seen.count }),
        Body::User { .. }
        | Body::Device { .. }
        | Body::ProfileChange { .. }
        | Body::UserRevoked { .. }
        | Body::DeviceRevoked { .. }
        | Body::DirectoryKeyChanged { .. } => None,
    }
}

fn fate(pending: &PendingChange, signed: Option<&Signed>, user: &UserRecord) -> Fate {
    if user.keys.iter().any(|record| record.key == pending.key) {
        Fate::Won
    } else if signed.is_some_and(|signed| signed.previous == user.encryption_key) {
        Fate::Open
    } else {
        Fate::Lost
    }
}

/// What else may be in the way of a change than what a new one would mend.
struct Refusal {
    /// How long the log was.
    count: u64,
    problem: Problem,
}

impl Session {
    /// Changes the user's key if there is a reason, and finishes a change that was begun. What it
    /// returns is in the verified log.
    ///
    /// # Errors
    /// Why not; what was signed stays, and goes out again with the next try.
    pub async fn change_user_key(&self, why: Why) -> Result<Changed, Problem> {
        let _turn = self.user_keys.changing.lock().await;
        let mut before = None;
        let mut left_out = Vec::new();
        let mut refusal: Option<Refusal> = None;
        for left in (0..=TRIES).rev() {
            let log = self.sync().await?;
            let user = own(self, &log)?.clone();
            let mut pending = self.store(Store::key_change).await?;
            if let Some(change) = pending.take() {
                let signed = signed(&change);
                before = before.or(signed.as_ref().map(|signed| signed.previous));
                match fate(&change, signed.as_ref(), &user) {
                    Fate::Won | Fate::Lost => self.decided(&user).await?,
                    Fate::Open => {
                        let grown = signed.is_some_and(|signed| signed.seen < log.count());
                        match refusal.take() {
                            // What it says of others may be behind the log: one that isn't may
                            // pass.
                            Some(_) if grown => self.store(Store::drop_key_change).await?,
                            Some(refusal) => return Err(refusal.problem),
                            None => pending = Some(change),
                        }
                    }
                }
            }
            let due = self.due(&log).await?;
            let before = *before.get_or_insert(user.encryption_key);
            let changed = before != user.encryption_key;
            let wanted = due.is_any() || why == Why::Asked && !changed;
            if pending.is_none() && !wanted {
                return Ok(Changed { log, key: user.encryption_key, changed, left_out });
            }
            if let Some(refusal) = refusal.take_if(|refusal| refusal.count == log.count()) {
                return Err(refusal.problem);
            }
            if left == 0 {
                break;
            }
            let change = match pending {
                Some(pending) => pending.change,
                None => {
                    let (change, missing) = self.sign_change(Arc::clone(&log), user, due).await?;
                    left_out = missing;
                    change
                }
            };
            if let Err(problem) = self.hand_in(&change).await? {
                refusal = Some(Refusal { count: log.count(), problem });
            }
        }
        let text = "it takes a new key, and does not show it in the log";
        Err(refusal.map_or_else(|| TransportError::Misbehaved(text).into(), |refusal| refusal.problem))
    }

    /// The log has decided: what can't stand in it any more goes.
    async fn decided(&self, user: &UserRecord) -> Result<(), Problem> {
        let named: Vec<_> = user.keys.iter().map(|record| record.key).collect();
        self.store(move |store| store.key_change_decided(&named)).await
    }

    /// Whether the log or the outbox make a change due.
    async fn due(&self, log: &VerifiedLog) -> Result<Due, Problem> {
        let user = self.open.summary.user;
        let mut abandoned: Vec<_> = self
            .store(Store::sealed)
            .await?
            .into_iter()
            .filter(|row| row.set_aside && row.sealed.user == user)
            // A new user's own: whoever was greeted has no key of this user.
            .filter(|row| row.sealed.certificates.len() == 1)
            .map(|row| row.sealed.device)
            .filter(|device| log.device(device).is_none() && !log.is_abandoned(device))
            .collect();
        abandoned.sort_unstable();
        abandoned.dedup();
        abandoned.truncate(ABANDONED_MAX);
        Ok(Due { suspended: log.is_suspended(&user), abandoned })
    }

    /// Whether there is a reason to change the key, or a change that is not decided.
    ///
    /// # Errors
    /// The store's.
    pub async fn key_change_due(&self, log: &VerifiedLog) -> Result<bool, Problem> {
        Ok(self.store(Store::key_change).await?.is_some() || self.due(log).await?.is_any())
    }

    /// Hands it in. A refusal of what was signed may pass, once the log is known better.
    async fn hand_in(&self, change: &UserKeyChange) -> Result<Result<(), Problem>, Problem> {
        match within(ANSWER_WAIT, || self.member.change_user_key(change)).await {
            Ok(Ok(_)) => Ok(Ok(())),
            Ok(Err(error)) => match error.code() {
                Some(ErrorCode::CertificateRefused | ErrorCode::BoxesRefused) => Ok(Err(error.into())),
                Some(_) | None => Err(error.into()),
            },
            Err(last) => {
                let text = format!(
                    "The new key was not confirmed: {last}. It goes out again by itself, or ask again."
                );
                Err(Problem::new(Problem::from(last).name, text))
            }
        }
    }

    /// Draws the seed, signs, seals; everything is durable when this returns.
    async fn sign_change(
        &self,
        log: Arc<VerifiedLog>,
        user: UserRecord,
        due: Due,
    ) -> Result<(UserKeyChange, Vec<DeviceId>), Problem> {
        let mut to = Vec::new();
        let mut left_out = Vec::new();
        for device in log.devices_of(&user.user).filter(|device| device.revoked.is_none()) {
            let key = self.key_by_hash(device.encryption_key).await?;
            if key.is_none() {
                left_out.push(device.device);
            }
            to.push((device.device, key));
        }
        to.sort_unstable_by_key(|(device, _)| *device);
        let previous = self.kept_seed(user.encryption_key).await?;
        let previous = match previous {
            Some(seed) => Some(seed),
            // Without it, what was sealed to it stays closed to later devices; the change is due
            // all the same.
            None => self.present_seed(&log).await.ok(),
        };
        let draft = Draft { user, due, to, previous, manifest: manifest::known(self).await? };
        let open = Arc::clone(&self.open);
        let change = blocking_in(&self.tasks, move || {
            let drawn = draft.drawn().map_err(problems::no_entropy)?;
            let (summary, keys) = (&open.summary, &open.keys);
            let body = drawn.body.clone();
            let certificate = certify(&log, summary.device, &keys.signing_key, body, clock::now())
                .map_err(problems::not_signed)?;
            let of = UserKey {
                organisation: summary.organisation.clone(),
                user: summary.user,
                key: drawn.key.hash(),
            };
            let change = draft.sealed(&of, &drawn, certificate).map_err(problems::no_entropy)?;
            let pending = PendingChange { key: drawn.key.hash(), change };
            open.store.put_key_change(&pending, &drawn.seed)?;
            open.store.put_encryption_keys(&[drawn.key])?;
            Ok::<_, Problem>(pending.change)
        })
        .await?;
        Ok((change, left_out))
    }

    /// Gives the present key to own devices that were enrolled while it was changed: whoever
    /// changed it knew nothing of them, and their greeter had not seen it. And to recovery kits
    /// whose box the server lacks.
    ///
    /// # Errors
    /// The server's refusal; the store's.
    pub async fn give_boxes(&self, log: &VerifiedLog) -> Result<(), Problem> {
        let user = own(self, log)?;
        let Some(key) = user.keys.last() else { return Ok(()) };
        let late: Vec<_> = log
            .devices_of(&user.user)
            .filter(|device| device.device != self.open.summary.device && device.revoked.is_none())
            .filter(|device| match device.kind {
                DeviceKind::Device => device.position > key.position && device.seen <= key.position,
                // It has nothing but its box, which a server may lose.
                DeviceKind::Recovery => !self.user_keys.boxed.has(key.key, device.device),
            })
            .collect();
        if late.is_empty() {
            return Ok(());
        }
        let Some(seed) = self.kept_seed(key.key).await? else { return Ok(()) };
        for device in late {
            let (user, hash, id) = (user.user, key.key, device.device);
            match answered(|| self.member.key_box(user, &hash, id)).await {
                Err(error) if error.code() == Some(ErrorCode::BoxUnknown) => {}
                Ok(KeyBox { sealed: None, .. }) => {}
                Ok(KeyBox { sealed: Some(_), .. }) => {
                    self.user_keys.boxed.add(hash, id);
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            let Some(to) = self.key_by_hash(device.encryption_key).await? else { continue };
            let (of, seed) = (self.user_key(hash), Arc::clone(&seed));
            let sealed = blocking_in(&self.tasks, move || {
                of.seal_to_device(&seed, id, &to, &mut entropy::System).map_err(problems::no_entropy)
            })
            .await?;
            let upload = KeyBoxUpload { replaces: None, sealed: sealed.into() };
            match answered(|| self.member.put_key_box(user, &hash, id, &upload)).await {
                Ok(()) => {
                    self.user_keys.boxed.add(hash, id);
                    tracing::info!(device = %id, "another device of the user was given the key");
                }
                // Somebody else was faster.
                Err(error) if error.code() == Some(ErrorCode::BoxConflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// What a change is made of.
struct Draft {
    user: UserRecord,
    due: Due,
    /// Unrevoked devices, ascending, with their keys as far as those are to be had.
    to: Vec<(DeviceId, Option<EncryptionKey>)>,
    previous: Option<Arc<UserSeed>>,
    manifest: Option<ManifestMark>,
}

/// A new key, and what is certified of it.
struct Drawn {
    seed: UserSeed,
    key: EncryptionKey,
    body: Body,
}

impl Draft {
    fn drawn(&self) -> Result<Drawn, NoEntropy> {
        let seed = UserSeed::random(&mut entropy::System)?;
        let key = seed.encryption_key();
        let body = Body::UserKeyChanged {
            user: self.user.user,
            previous: self.user.encryption_key,
            encryption_key: key.hash(),
            manifest: self.manifest,
            abandoned: self.due.abandoned.clone(),
        };
        Ok(Drawn { seed, key, body })
    }

    fn sealed(&self, of: &UserKey, drawn: &Drawn, certificate: Vec<u8>) -> Result<UserKeyChange, NoEntropy> {
        let source = &mut entropy::System;
        let mut boxes = Vec::new();
        for (device, key) in &self.to {
            let sealed = match key {
                Some(key) => of.seal_to_device(&drawn.seed, *device, key, source)?,
                // Nobody has the seed of this one: the device finds its box to be wrong, and says
                // so.
                None => {
                    let nobody = UserSeed::random(source)?.encryption_key();
                    of.seal_to_device(&drawn.seed, *device, &nobody, source)?
                }
            };
            boxes.push(DeviceBox { device: *device, sealed: sealed.into() });
        }
        let past = match &self.previous {
            Some(previous) => Some(of.seal_past(previous, &drawn.key, source)?),
            None => None,
        };
        Ok(UserKeyChange {
            certificate: certificate.into(),
            key: drawn.key.clone(),
            boxes,
            past: past.map(ByteVec::from),
        })
    }
}

/// Why a new device can't be handed the key yet.
pub(crate) fn due_first(why: &Problem) -> Problem {
    Problem::new(
        ProblemKind::KeyChangeDue,
        format!(
            "A device of yours was revoked, and whoever has it has your key; it could not be changed yet: {why}"
        ),
    )
}
