//! `trust.repair`: what the server's log lost in a restore of its database, sent from this device's
//! verified copy.
//!
//! Decides where the server's log breaks off, and that nothing is sent to a log that is another
//! one: that is a fork, shown and kept as one. Refuses to believe that it worked before the whole
//! log was fetched anew and verified.

use std::sync::Arc;

use parsec_protocol::chain::organisation::certificate::{Author, Body, Envelope};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::relay::{ErrorCode, LogRepair};
use parsec_protocol::sealing::EncryptionKey;

use super::forks::ForkEvidence;
use super::user_keys::kept_keys;
use super::{Session, SyncError};
use crate::os::blocking_in;
use crate::store::{OpenDevice, StoreError};
use crate::transport::TransportError;
use crate::transport::behind::Seen;
use crate::transport::retry::answered;

impl Session {
    /// Gives the server what its log lacks of this device's. Returns how many certificates were put
    /// back.
    ///
    /// # Errors
    /// The server's refusal; `not_authenticated` with whom to ask where this device's own
    /// certificates are missing; `rolled_back`, and an alarm with its proof, where the server's log
    /// is not the beginning of this one.
    pub async fn put_back(&self) -> Result<u64, SyncError> {
        let done = self.send_missing().await;
        self.watched(done).await
    }

    async fn send_missing(&self) -> Result<u64, SyncError> {
        let _turn = self.syncing.lock().await;
        let log = self.log();
        let have = log.count();
        // What it has is the question, so it is asked at once.
        let page = match answered(|| self.member.log_page(have, Seen::NOTHING)).await {
            Err(error) if error.code() == Some(ErrorCode::NotAuthenticated) => {
                return Err(SyncError::Log(stranded(&log, self)));
            }
            page => page?,
        };
        let (mut at, mut added) = (page.count, 0_u64);
        while let Some(from) = log.head_at(at).filter(|_| at < have) {
            let (_, mut envelopes) = self.store(move |store| store.page(at)).await.map_err(SyncError::Log)?;
            if at.saturating_add(envelopes.len() as u64) < have {
                keep_together(&mut envelopes);
            }
            let open = Arc::clone(&self.open);
            let (envelopes, keys) = blocking_in(&self.tasks, move || {
                let keys = keys_of(&open, &envelopes)?;
                Ok::<_, StoreError>((envelopes, keys))
            })
            .await
            .map_err(SyncError::Log)?;
            let certificates = envelopes.into_iter().map(Into::into).collect();
            let repair = LogRepair { from, certificates, keys };
            match answered(|| self.member.repair(&repair)).await {
                Ok(done) if done.count > at => {
                    at = done.count;
                    added = added.saturating_add(done.added);
                }
                Ok(_) => {
                    return Err(SyncError::Transport(TransportError::Misbehaved(
                        "it says that nothing was put back",
                    )));
                }
                Err(error) if error.code() == Some(ErrorCode::LogConflict) => {
                    return Err(self.parted(&log).await?);
                }
                Err(error) => return Err(error.into()),
            }
        }
        if added > 0 {
            self.directory_may_be_lost();
        }
        Ok(added)
    }

    /// The server says that its log is not the beginning of this one. Is it?
    async fn parted(&self, log: &VerifiedLog) -> Result<SyncError, SyncError> {
        let page = self.member.log_page(log.count(), Seen::NOTHING).await?;
        let (theirs, shown) = self.shown(log, page.count).await?;
        if log.extends(&theirs.head()) || theirs.extends(&log.head()) {
            let text = "The server refuses what follows its own log.";
            return Ok(SyncError::Log(Problem::new(ProblemKind::ServerMisbehaved, text)));
        }
        let same = (0..=log.count()).rev().find(|count| theirs.head_at(*count) == log.head_at(*count));
        let text = format!(
            "The server's log is valid, but from certificate {} on another one than this device has verified. Nothing was put back.",
            same.unwrap_or_default()
        );
        let problem = Problem {
            hint: "This is more than a lost backup: somebody has signed in the other log since. Do not go on; tell the organisation's \
                   administrators and whoever runs the server. `parsecctl status` shows the alarm and whether there is a proof."
                .to_owned(),
            ..Problem::new(ProblemKind::RolledBack, text)
        };
        Ok(SyncError::Forked(problem, Box::new(ForkEvidence::Log(shown, None))))
    }
}

impl Session {
    /// Gives the server the public keys that it lost and this device has, of its own user and the
    /// user's devices: each member can give their own.
    ///
    /// # Errors
    /// The server's refusal; the store's.
    pub async fn put_keys_back(&self, log: &VerifiedLog) -> Result<(), SyncError> {
        let user = self.open.summary.user;
        let named = log.user(&user).into_iter().flat_map(|user| user.keys.iter().map(|record| record.key));
        let devices = log.devices_of(&user).map(|device| device.encryption_key);
        let named: Vec<_> = named.chain(devices).collect();
        let open = Arc::clone(&self.open);
        let kept = blocking_in(&self.tasks, move || kept_keys(&open, named)).await.map_err(SyncError::Log)?;
        for key in kept.into_iter().flatten() {
            let hash = key.hash();
            match answered(|| self.member.encryption_key(&hash)).await {
                Ok(_) => {}
                Err(error) if error.code() == Some(ErrorCode::KeyUnknown) => {
                    answered(|| self.member.put_encryption_key(&key)).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The keys that certificates name, in their order, as far as they are on this device.
fn keys_of(open: &OpenDevice, envelopes: &[Vec<u8>]) -> Result<Vec<Option<EncryptionKey>>, StoreError> {
    let body = |envelope: &Vec<u8>| Some(Envelope::decode(envelope).ok()?.payload().ok()?.body);
    kept_keys(open, envelopes.iter().filter_map(body).filter_map(|body| body.key_named()))
}

/// A user and the first device stand or fall together: where a part would end between them, it
/// ends before them.
fn keep_together(envelopes: &mut Vec<Vec<u8>>) {
    let last = envelopes.last().and_then(|last| Envelope::decode(last).ok()?.payload().ok());
    if matches!(last.map(|payload| payload.body), Some(Body::User { .. })) {
        envelopes.pop();
    }
}

/// The server lost what let this very device in: it takes nothing from here. Somebody else can
/// help.
fn stranded(log: &VerifiedLog, session: &Session) -> Problem {
    let device = session.open.summary.device;
    let greeter = match log.device(&device).map(|device| device.author) {
        Some(Author::Device(author)) => log.device(&author).and_then(|author| log.user(&author.user)),
        Some(Author::Root) | None => None,
    };
    let who = greeter.map(|user| format!(" ({} let this device in)", user.email)).unwrap_or_default();
    let organisation = log.organisation();
    Problem {
        hint: format!(
            "Ask somebody whom the server knew before{who} to run `parsecctl trust repair`. If nobody else has the certificates, \
             `parsecctl trust export FILE` writes them for a member (`parsecctl trust import FILE`, then `trust repair`) or for whoever \
             runs the server (`parsec-metadata organisation repair {organisation} FILE`)."
        ),
        ..Problem::new(
            ProblemKind::NotAuthenticated,
            "The server does not know this device: the certificates that let it in are among those that are missing.",
        )
    }
}

#[cfg(test)]
mod tests {
    use parsec_protocol::chain::organisation::bootstrap::{Founder, found};
    use parsec_protocol::ids::Timestamp;
    use parsec_protocol::keys::{DeviceSeed, DeviceSigningKey, DirectoryKey, UserSeed};

    use super::*;
    use crate::os::entropy;

    #[test]
    fn a_part_does_not_end_between_a_user_and_the_first_device() {
        let entropy = &mut entropy::System;
        let founder = Founder {
            organisation: &"acme".parse().unwrap(),
            email: &"alice@acme.test".parse().unwrap(),
            name: &"Alice".parse().unwrap(),
            device_label: &"laptop".parse().unwrap(),
            user_seed: &UserSeed::random(entropy).unwrap(),
            device_seed: &DeviceSeed::random(entropy).unwrap(),
            signing_key: &DeviceSigningKey::random(entropy).unwrap(),
            directory_key: &DirectoryKey::random(entropy).unwrap(),
        };
        let [user, device]: [Vec<u8>; 2] =
            found(&founder, Timestamp(1), entropy).unwrap().certificates.try_into().unwrap();
        let mut cut = vec![device.clone(), user.clone()];
        keep_together(&mut cut);
        assert_eq!(cut, std::slice::from_ref(&device));
        let mut whole = vec![user.clone(), device.clone()];
        keep_together(&mut whole);
        assert_eq!(whole, [user, device]);
    }
}
