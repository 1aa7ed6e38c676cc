//! Making the next directory key, before a name is sealed.
//!
//! Decides that an administrator's device makes it where somebody was revoked since the present
//! one, after the user's own key where that is due, and that the manifest has it then. Refuses to
//! go on with a key that somebody who left has, where the server is at hand and the next one could
//! be made; and with an earlier key than the present one, which a server could withhold. Everything
//! is durable before it goes out, so that the same goes out after a crash.

use std::sync::Arc;

use parsec_protocol::chain::organisation::certificate::{Body, Envelope};
use parsec_protocol::chain::organisation::changes::certify;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::directory::{Directory, make_parts, named};
use parsec_protocol::directory_ring::DirectoryRing;
use parsec_protocol::keys::{DirectoryKey, NoEntropy};
use parsec_protocol::limits::FIRST_DIRECTORY_KEY;
use parsec_protocol::relay::{DirectoryKeyChange, ErrorCode};
use parsec_protocol::safe_log::ring::{Recipient, RingPart};
use parsec_protocol::sealing::EncryptionKey;

use super::super::rekey::{Why, due_first};
use super::super::{Session, manifest};
use super::list;
use crate::os::{blocking_in, clock, entropy};
use crate::problems;
use crate::store::{OwnDirectoryChange, Store};
use crate::transport::retry::{ANSWER_WAIT, answered, within};
use crate::transport::{TransportError, Trouble};

/// Keys signed for one name. Each refusal means that there is something new in the log.
const TRIES: u32 = 3;

impl Session {
    /// Before a name is sealed, where the server is at hand: gets the present key, and makes the
    /// next one where somebody was revoked since, if this user is an administrator. Returns the log
    /// as it is then.
    ///
    /// # Errors
    /// `directory_key_due`, `key_change_due`: it is to be made and can't be;
    /// `directory_key_missing`: the present one is not to be had; the log's. No name is to be
    /// sealed then.
    pub async fn fresh_directory(&self, log: Arc<VerifiedLog>) -> Result<Arc<VerifiedLog>, Problem> {
        let _turn = self.directory_work.changing.lock().await;
        // Whoever had the turn before may have changed the key.
        let newer = self.log();
        let mut log = if newer.count() > log.count() { newer } else { log };
        let mut changed = false;
        for left in (0..=TRIES).rev() {
            // Handed in before, and the answer was lost: the manifest does not have it yet.
            changed |= self.adopt_own(&log).await?.is_some_and(|own| own.new);
            if self.present_directory_key(&log).is_err()
                && let Err(problem) = self.fetch_directory(&log).await
                && self.present_directory_key(&log).is_err()
            {
                return Err(problem);
            }
            if !log.is_directory_key_due() || !self.is_administrator(&log) {
                self.present_directory_key(&log)?;
                if changed {
                    self.manifest_has_it().await;
                }
                return Ok(log);
            }
            if left == 0 {
                break;
            }
            // What a thief has must not be what the next one is sealed to.
            if log.is_suspended(&self.open.summary.user) {
                log = self.change_user_key(Why::Due).await.map_err(|problem| due_first(&problem))?.log;
            }
            self.change_directory_key(&log).await.map_err(|why| due(&why))?;
            changed = true;
            log = self.sync().await?;
        }
        Err(due(&"the server takes none, as if the log had gone on each time."))
    }

    /// The same where the server was to be asked and did not answer in time: one that is slow must
    /// not come to a name under a key that somebody who left has. What is due, or missing, by the
    /// log that is here, nobody can do anything about now.
    ///
    /// # Errors
    /// `directory_key_due`, `directory_key_missing`. No name is to be sealed then.
    pub fn directory_without_answer(&self, log: &VerifiedLog) -> Result<(), Problem> {
        if log.is_directory_key_due() && self.is_administrator(log) {
            return Err(due(&"the server does not answer."));
        }
        self.present_directory_key(log)
    }

    /// The same in a task of its own: whoever stops waiting breaks nothing off.
    ///
    /// # Errors
    /// As [`Self::fresh_directory`].
    pub async fn fresh_directory_apart(
        self: &Arc<Self>,
        log: Arc<VerifiedLog>,
    ) -> Result<Arc<VerifiedLog>, Problem> {
        let (tell, told) = tokio::sync::oneshot::channel();
        let session = Arc::clone(self);
        self.run(async move {
            let _ = tell.send(session.fresh_directory(log).await);
        });
        let locked = || Problem::new(ProblemKind::DeviceLocked, "The device was locked.");
        told.await.unwrap_or_else(|_| Err(locked()))
    }

    /// The user's other devices, and recovery kits, find the new key in the manifest. What fails is
    /// done by itself later.
    async fn manifest_has_it(&self) {
        let trouble = Trouble::new(None);
        match tokio::time::timeout(ANSWER_WAIT, manifest::keep(self, &trouble)).await {
            Ok(Ok(())) => {}
            Ok(Err(problem)) => tracing::info!(%problem, "the manifest does not have the new key yet"),
            Err(_) => tracing::info!("the manifest does not have the new key yet"),
        }
    }

    /// Makes the next key. Also done where the log has gone on meanwhile: perhaps by somebody
    /// else's key.
    async fn change_directory_key(&self, log: &Arc<VerifiedLog>) -> Result<(), Problem> {
        let kept = self.store(Store::directory_change).await?;
        // Signed before, at this very place of the log: what became of it is not known.
        if let Some(own) = kept.filter(|own| stands_at(&own.change, log)) {
            match self.hand_in_ring(&own).await {
                // A member's public key came to the server meanwhile: the next ring has it.
                Err(error) if error.code() == Some(ErrorCode::RingRefused) => {}
                done => return Ok(done?),
            }
        }
        // What is kept gives way to the new one: a key that the log names is not to go with it.
        self.adopt_own(log).await?;
        let own = self.sign_directory_change(log).await?;
        Ok(self.hand_in_ring(&own).await?)
    }

    async fn hand_in_ring(&self, own: &OwnDirectoryChange) -> Result<(), TransportError> {
        for part in &own.parts {
            answered(|| self.member.put_directory_part(part.clone())).await?;
        }
        match within(ANSWER_WAIT, || self.member.change_directory_key(&own.change)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.code() == Some(ErrorCode::CertificateRefused) => Ok(()),
            Ok(Err(error)) | Err(error) => Err(error),
        }
    }

    /// For whom the next key is, with their public keys as far as those are to be had.
    pub(super) async fn list_with_keys(
        &self,
        log: &VerifiedLog,
    ) -> Result<Vec<(Recipient, Option<EncryptionKey>)>, Problem> {
        let list = list(log, log.count());
        let keys = self.keys_by_hash(list.iter().map(|recipient| recipient.key).collect()).await?;
        Ok(list.into_iter().zip(keys).collect())
    }

    /// Draws the key, signs, seals; everything is durable when this returns.
    async fn sign_directory_change(&self, log: &Arc<VerifiedLog>) -> Result<OwnDirectoryChange, Problem> {
        let to = self.list_with_keys(log).await?;
        let (open, log) = (Arc::clone(&self.open), Arc::clone(log));
        blocking_in(&self.tasks, move || {
            let organisation = log.organisation();
            let number = log.directory_keys().last().map_or(FIRST_DIRECTORY_KEY, |record| record.number);
            let number = number.saturating_add(1);
            let earlier = named(&log, &open.directory()).record();
            let drawn = || -> Result<_, NoEntropy> {
                let key = DirectoryKey::random(&mut entropy::System)?;
                let past =
                    Directory::new(organisation, number, &key).seal_past(&earlier, &mut entropy::System)?;
                Ok((key, past))
            };
            let (key, past) = drawn().map_err(problems::no_entropy)?;
            let of = Directory::new(organisation, number, &key);
            let parts = make_parts(&of, &to);
            let ring = DirectoryRing {
                organisation: organisation.clone(),
                number,
                author: open.summary.device,
                parts: parts.iter().map(RingPart::hash).collect(),
                past: past.into(),
            };
            let body = Body::DirectoryKeyChanged { number, key_check: of.check(), ring: ring.hash() };
            let signing_key = &open.keys.signing_key;
            let certificate = certify(&log, open.summary.device, signing_key, body, clock::now())
                .map_err(problems::not_signed)?;
            let own = OwnDirectoryChange {
                number,
                key,
                change: DirectoryKeyChange { certificate: certificate.into(), ring: ring.encode().into() },
                parts: parts.iter().map(RingPart::encode).collect(),
            };
            open.store.put_directory_change(&own)?;
            Ok::<_, Problem>(own)
        })
        .await
    }
}

/// Why no name is sealed.
fn due(why: &impl std::fmt::Display) -> Problem {
    let text = format!(
        "Somebody was revoked who has the present key for names, and the next one could not be made: {why} Nothing was sealed."
    );
    Problem::new(ProblemKind::DirectoryKeyDue, text)
}

/// Whether a change was signed for the end of this log.
fn stands_at(change: &DirectoryKeyChange, log: &VerifiedLog) -> bool {
    let payload = Envelope::decode(&change.certificate).and_then(|envelope| envelope.payload());
    payload.is_ok_and(|payload| payload.seen == log.head())
}
