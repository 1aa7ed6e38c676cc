//! The organisation's directory keys: getting those that others made, making the next one, and
//! handing it to members whom its ring left out.
//!
//! Decides that a key is that of its number if it passes the check that the verified log names,
//! whoever gave it; that an administrator's device makes the next one before it seals a name, where
//! somebody was revoked since; and that no name waits for it: without a server, names are sealed
//! with the newest key that is here. A wrong ring, box or past is an alarm that names its author.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use parsec_protocol::chain::organisation::certificate::{Author, Body, Envelope, Profile};
use parsec_protocol::chain::organisation::changes::certify;
use parsec_protocol::chain::organisation::log::{DirectoryKeyRecord, VerifiedLog};
use parsec_protocol::chain::organisation::members::sealed_with;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::directory::{Directory, make_parts, open_box};
use parsec_protocol::directory_ring::{DirectoryRing, Expected, place_in};
use parsec_protocol::ids::UserId;
use parsec_protocol::keys::{DirectoryKey, NoEntropy};
use parsec_protocol::limits::FIRST_DIRECTORY_KEY;
use parsec_protocol::name_keys::{NameKeys as _, NumberedKey};
use parsec_protocol::relay::{DirectoryKeyChange, ErrorCode};
use parsec_protocol::safe_log::ring::{Recipient, RingPart};
use parsec_protocol::sealing::KeyHash;

use super::Session;
use super::names::Names;
use super::user_keys::own;
use crate::os::{blocking_in, clock, entropy};
use crate::problems;
use crate::store::{OwnDirectoryChange, Store, StoreError};
use crate::transport::TransportError;
use crate::transport::retry::{ANSWER_WAIT, answered, within};

/// Keys signed for one name. Each refusal means that there is something new in the log.
const TRIES: u32 = 3;

/// What is remembered while the device is unlocked.
#[derive(Debug, Default)]
pub(super) struct DirectoryWork {
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
    /// Members who were seen to have a right box, by the number of the key.
    boxed: Mutex<BTreeSet<(u32, UserId, KeyHash)>>,
    /// Numbers of own keys whose ring was seen at the server.
    there: Mutex<BTreeSet<u32>>,
}

/// What a ring, or a box beside it, gave.
enum Got {
    Key(DirectoryKey),
    Nothing,
}

fn list(log: &VerifiedLog, n: u64) -> Vec<Recipient> {
    log.directory_list(n).into_iter().map(|(user, key)| Recipient { user, key }).collect()
}

impl Session {
    /// Takes in those of the keys that are the log's and not here yet. Whether there were any.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn take_directory_keys(
        &self,
        log: &VerifiedLog,
        keys: Vec<NumberedKey>,
    ) -> Result<bool, Problem> {
        let (held, organisation) = (self.open.directory(), log.organisation());
        let right = |given: &NumberedKey| {
            let record = log.directory_keys().iter().find(|record| record.number == given.number);
            let check = Directory::new(organisation, given.number, &given.key).check();
            record.is_some_and(|record| record.key_check == check)
        };
        let new: Vec<_> =
            keys.into_iter().filter(|given| held.opening(given.number).is_none() && right(given)).collect();
        if new.is_empty() {
            return Ok(false);
        }
        let open = Arc::clone(&self.open);
        blocking_in(&self.tasks, move || open.add_directory_keys(new)).await
    }

    /// Gets the keys that the log names and that are not here, gives the server back what it lost,
    /// and posts boxes for members who lack one.
    ///
    /// # Errors
    /// `directory_key_missing` where the present key is not to be had; the server's; the store's.
    pub(super) async fn keep_directory(&self, log: &Arc<VerifiedLog>) -> Result<(), Problem> {
        let Some(record) = log.directory_keys().last().copied() else { return Ok(()) };
        let own = self.adopt_own(log, &record).await?;
        if !self.has_all(log) {
            self.fetch_directory(log, &record).await?;
        }
        if self.open.directory().opening(record.number).is_none() {
            let who = self.in_words(log, &record);
            let text =
                format!("The key for names that {who} made (number {}) is not here yet.", record.number);
            return Err(Problem::new(ProblemKind::DirectoryKeyMissing, text));
        }
        if let Some(own) = own {
            self.put_ring_back(&record, &own).await?;
        }
        self.give_directory_boxes(log, &record).await
    }

    /// The same for whoever says that the server may have lost something: everything is looked at
    /// again.
    ///
    /// # Errors
    /// As [`Self::keep_directory`].
    pub async fn put_directory_back(&self, log: &Arc<VerifiedLog>) -> Result<(), Problem> {
        let work = &self.directory_work;
        work.there.lock().unwrap_or_else(PoisonError::into_inner).clear();
        work.boxed.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.keep_directory(log).await
    }

    fn has_all(&self, log: &VerifiedLog) -> bool {
        let held = self.open.directory();
        log.directory_keys().iter().all(|record| held.opening(record.number).is_some())
    }

    fn in_words(&self, log: &VerifiedLog, record: &DirectoryKeyRecord) -> String {
        Names::new(self.open.directory(), log).author_in_words(record.author)
    }

    async fn wrong(&self, log: &VerifiedLog, record: &DirectoryKeyRecord, what: &str) {
        let who = self.in_words(log, record);
        let text =
            format!("{what} of the key for names (number {}) that {who} made is wrong.", record.number);
        self.alarm(&Problem::new(ProblemKind::DirectoryUntrusted, text)).await;
    }

    /// The change that this device made, if it is the one of the log; its key is used from now on.
    async fn adopt_own(
        &self,
        log: &Arc<VerifiedLog>,
        record: &DirectoryKeyRecord,
    ) -> Result<Option<OwnDirectoryChange>, Problem> {
        if record.author != Author::Device(self.open.summary.device) {
            return Ok(None);
        }
        let Some(own) = self.store(Store::directory_change).await? else { return Ok(None) };
        let check = Directory::new(log.organisation(), own.number, &own.key).check();
        if own.number != record.number || check != record.key_check {
            return Ok(None);
        }
        self.take_directory_keys(log, vec![own.numbered()]).await?;
        Ok(Some(own))
    }

    /// Opens the present key out of its ring, or out of a box beside it, and the earlier ones with
    /// it.
    async fn fetch_directory(
        &self,
        log: &Arc<VerifiedLog>,
        record: &DirectoryKeyRecord,
    ) -> Result<(), Problem> {
        let head = match answered(|| self.member.directory_ring(&record.ring)).await {
            Ok(bytes) => Some(bytes),
            Err(error) if error.code() == Some(ErrorCode::RingMissing) => None,
            Err(TransportError::Misbehaved(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let head = match head {
            Some(bytes) => self.fitting(log, record, &bytes).await,
            None => None,
        };
        if self.open.directory().opening(record.number).is_none() {
            let mut got = match &head {
                Some((head, list)) => self.own_box(log, record, head, list).await?,
                None => Got::Nothing,
            };
            if matches!(got, Got::Nothing) {
                got = self.posted_box(log, record).await?;
            }
            let Got::Key(key) = got else { return Ok(()) };
            self.take_directory_keys(log, vec![NumberedKey { number: record.number, key }]).await?;
        }
        let held = self.open.directory();
        let (Some((head, _)), Some(key)) = (head, held.opening(record.number)) else { return Ok(()) };
        let of = Directory::new(log.organisation(), record.number, key);
        let Ok(earlier) = of.open_past(&head.past) else {
            self.wrong(log, record, "What opens the earlier keys").await;
            return Ok(());
        };
        let lies = earlier.iter().any(|given| {
            let known = log.directory_keys().iter().find(|record| record.number == given.number);
            let check = Directory::new(log.organisation(), given.number, &given.key).check();
            match known {
                Some(known) => known.key_check != check,
                None => given.number != FIRST_DIRECTORY_KEY,
            }
        });
        if lies {
            self.wrong(log, record, "What opens the earlier keys").await;
        }
        self.take_directory_keys(log, earlier).await.map(drop)
    }

    /// The head, if it is the certificate's, with those for whom its boxes are.
    async fn fitting(
        &self,
        log: &VerifiedLog,
        record: &DirectoryKeyRecord,
        bytes: &[u8],
    ) -> Option<(DirectoryRing, Vec<Recipient>)> {
        let Author::Device(author) = record.author else { return None };
        let list = list(log, record.position);
        let (organisation, number, ring) = (log.organisation(), record.number, record.ring);
        let expected = Expected { organisation, number, author, ring, list: &list };
        match DirectoryRing::decode(bytes).ok().filter(|head| head.fits(&expected).is_ok()) {
            Some(head) => Some((head, list)),
            None => {
                self.wrong(log, record, "The ring").await;
                None
            }
        }
    }

    /// The key out of this user's own place in the ring.
    async fn own_box(
        &self,
        log: &Arc<VerifiedLog>,
        record: &DirectoryKeyRecord,
        head: &DirectoryRing,
        list: &[Recipient],
    ) -> Result<Got, Problem> {
        let user = self.open.summary.user;
        let Some((number, place)) = place_in(list, &user) else { return Ok(Got::Nothing) };
        let Some(hash) = head.parts.get(number) else { return Ok(Got::Nothing) };
        let bytes = match answered(|| self.member.directory_part(hash)).await {
            Ok(bytes) => bytes,
            Err(error) if error.code() == Some(ErrorCode::RingMissing) => return Ok(Got::Nothing),
            Err(TransportError::Misbehaved(_)) => return Ok(Got::Nothing),
            Err(error) => return Err(error.into()),
        };
        let part = RingPart::decode(&bytes).ok();
        let Some(part) = part.filter(|part| head.part_fits(number, part, list).is_ok()) else {
            self.wrong(log, record, "A part of the ring").await;
            return Ok(Got::Nothing);
        };
        let sealed = part.0.into_iter().nth(place).flatten();
        let (Some(sealed), Some(recipient)) = (sealed, list.iter().find(|recipient| recipient.user == user))
        else {
            return Ok(Got::Nothing);
        };
        let got = self.opened(log, record, recipient.key, sealed.into()).await?;
        if matches!(got, Some(Got::Nothing)) {
            self.wrong(log, record, "Your box in the ring").await;
        }
        Ok(got.unwrap_or(Got::Nothing))
    }

    /// The key out of a box that was posted for this user. Who posted it is the server's word.
    async fn posted_box(&self, log: &Arc<VerifiedLog>, record: &DirectoryKeyRecord) -> Result<Got, Problem> {
        let user = self.open.summary.user;
        let posted = match answered(|| self.member.directory_boxes(record.number, user)).await {
            Ok(posted) => posted.boxes,
            Err(error) if error.code() == Some(ErrorCode::BoxUnknown) => return Ok(Got::Nothing),
            Err(error) => return Err(error.into()),
        };
        let present = own(self, log)?.encryption_key;
        for posted in posted {
            if let Some(Got::Key(key)) = self.opened(log, record, present, posted.sealed.into()).await? {
                return Ok(Got::Key(key));
            }
        }
        Ok(Got::Nothing)
    }

    /// Opens a box with the seed of a key of this user; none where that seed is not here.
    async fn opened(
        &self,
        log: &Arc<VerifiedLog>,
        record: &DirectoryKeyRecord,
        key: KeyHash,
        sealed: Vec<u8>,
    ) -> Result<Option<Got>, Problem> {
        let seed = match self.earlier_seed(log, key).await {
            Ok(Some(seed)) => seed,
            Ok(None) => return Ok(None),
            Err(problem) if problem.name == ProblemKind::UserKeyMissing => return Ok(None),
            Err(problem) => return Err(problem),
        };
        let (log, user, record) = (Arc::clone(log), self.open.summary.user, *record);
        blocking_in(&self.tasks, move || {
            let opened = open_box(log.organisation(), record.number, &record.key_check, user, &sealed, &seed);
            Ok::<_, StoreError>(Some(opened.map_or(Got::Nothing, Got::Key)))
        })
        .await
    }

    /// Gives the server back the ring that this device made, where a restore lost it.
    async fn put_ring_back(
        &self,
        record: &DirectoryKeyRecord,
        own: &OwnDirectoryChange,
    ) -> Result<(), Problem> {
        let work = &self.directory_work;
        let seen = || work.there.lock().unwrap_or_else(PoisonError::into_inner);
        if seen().contains(&record.number) {
            return Ok(());
        }
        match answered(|| self.member.directory_ring(&record.ring)).await {
            Ok(_) => {}
            Err(error) if error.code() == Some(ErrorCode::RingMissing) => {
                for part in &own.parts {
                    answered(|| self.member.put_directory_part(part.clone())).await?;
                }
                answered(|| self.member.change_directory_key(&own.change)).await?;
                tracing::info!(
                    number = record.number,
                    "the server was given back the ring of a key for names"
                );
            }
            Err(error) => return Err(error.into()),
        }
        seen().insert(record.number);
        Ok(())
    }

    /// Posts boxes for members who were suspended when the key was made and are not any more, and
    /// for those whose greeter did not have it. An administrator's device does so.
    async fn give_directory_boxes(
        &self,
        log: &Arc<VerifiedLog>,
        record: &DirectoryKeyRecord,
    ) -> Result<(), Problem> {
        if !self.is_administrator(log) {
            return Ok(());
        }
        let work = &self.directory_work;
        let boxed = || work.boxed.lock().unwrap_or_else(PoisonError::into_inner);
        let in_ring: BTreeSet<_> =
            list(log, record.position).into_iter().map(|recipient| recipient.user).collect();
        let lacks: Vec<_> = log
            .users()
            .filter(|user| user.user != self.open.summary.user)
            .filter(|user| user.revoked.is_none() && !log.is_suspended(&user.user))
            .filter(|user| {
                let later = user.position > record.position;
                let handed = sealed_with(&user.sealed_name).is_some_and(|number| number >= record.number);
                if later { !handed } else { !in_ring.contains(&user.user) }
            })
            .map(|user| (user.user, user.encryption_key))
            .filter(|(user, key)| !boxed().contains(&(record.number, *user, *key)))
            .collect();
        for (user, hash) in lacks {
            let Some(to) = self.key_by_hash(hash).await? else { continue };
            let (held, its_log, record) = (self.open.directory(), Arc::clone(log), *record);
            let right = blocking_in(&self.tasks, move || {
                let key = held.opening(record.number);
                let sealed = key.map(|key| {
                    Directory::new(its_log.organisation(), record.number, key).make_box(user, &to)
                });
                Ok::<_, StoreError>(sealed)
            })
            .await?;
            let Some(right) = right else { return Ok(()) };
            let posted = match answered(|| self.member.directory_boxes(record.number, user)).await {
                Ok(posted) => posted.boxes,
                Err(error) if error.code() == Some(ErrorCode::BoxUnknown) => Vec::new(),
                Err(error) => return Err(error.into()),
            };
            if !posted.iter().any(|posted| *posted.sealed == *right) {
                answered(|| self.member.put_directory_box(record.number, user, right.clone())).await?;
                tracing::info!(%user, number = record.number, "a member was given the key for names");
            }
            boxed().insert((record.number, user, hash));
        }
        Ok(())
    }

    fn is_administrator(&self, log: &VerifiedLog) -> bool {
        let own = log.user(&self.open.summary.user);
        own.is_some_and(|user| user.profile == Profile::Administrator && user.revoked.is_none())
    }

    /// Before a name is sealed: gets the newest key, and makes the next one where somebody was
    /// revoked since, if this device may. Returns the log as it is then. Nothing waits for it that
    /// can't be done now.
    pub async fn fresh_directory(&self, log: Arc<VerifiedLog>) -> Arc<VerifiedLog> {
        let mut newest = Arc::clone(&log);
        match self.renewed(&mut newest).await {
            Ok(()) => {}
            Err(problem) => {
                tracing::warn!(%problem, "names are sealed with the newest key that is here");
            }
        }
        newest
    }

    /// The same in a task of its own: whoever stops waiting breaks nothing off.
    pub async fn fresh_directory_apart(self: &Arc<Self>, log: Arc<VerifiedLog>) -> Arc<VerifiedLog> {
        let (tell, told) = tokio::sync::oneshot::channel();
        let (session, known) = (Arc::clone(self), Arc::clone(&log));
        self.run(async move {
            let _ = tell.send(session.fresh_directory(known).await);
        });
        told.await.unwrap_or(log)
    }

    async fn renewed(&self, log: &mut Arc<VerifiedLog>) -> Result<(), Problem> {
        let _turn = self.directory_work.changing.lock().await;
        for _ in 0..TRIES {
            if let Some(record) = log.directory_keys().last().copied() {
                self.adopt_own(log, &record).await?;
                if !self.has_all(log) {
                    self.fetch_directory(log, &record).await?;
                }
            }
            let suspended = log.is_suspended(&self.open.summary.user);
            if !log.is_directory_key_due() || !self.is_administrator(log) || suspended {
                return Ok(());
            }
            let own = match self.store(Store::directory_change).await? {
                // Signed before, at this very place of the log: what became of it is not known.
                Some(own) if stands_at(&own.change, log) => own,
                Some(_) | None => self.sign_directory_change(log).await?,
            };
            for part in &own.parts {
                answered(|| self.member.put_directory_part(part.clone())).await?;
            }
            match within(ANSWER_WAIT, || self.member.change_directory_key(&own.change)).await {
                Ok(Ok(_)) => {}
                // The log has grown; perhaps by somebody else's key.
                Ok(Err(error)) if error.code() == Some(ErrorCode::CertificateRefused) => {}
                Ok(Err(error)) => return Err(error.into()),
                Err(last) => return Err(last.into()),
            }
            *log = self.sync().await?;
        }
        Ok(())
    }

    /// Draws the key, signs, seals; everything is durable when this returns.
    async fn sign_directory_change(&self, log: &Arc<VerifiedLog>) -> Result<OwnDirectoryChange, Problem> {
        let mut to = Vec::new();
        for recipient in list(log, log.count()) {
            to.push((recipient, self.key_by_hash(recipient.key).await?));
        }
        let (open, log) = (Arc::clone(&self.open), Arc::clone(log));
        blocking_in(&self.tasks, move || {
            let organisation = log.organisation();
            let number = log.directory_keys().last().map_or(FIRST_DIRECTORY_KEY, |record| record.number);
            let number = number.saturating_add(1);
            let drawn = || -> Result<_, NoEntropy> {
                let key = DirectoryKey::random(&mut entropy::System)?;
                let past = Directory::new(organisation, number, &key)
                    .seal_past(&open.directory().record(), &mut entropy::System)?;
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

/// Whether a change was signed for the end of this log.
fn stands_at(change: &DirectoryKeyChange, log: &VerifiedLog) -> bool {
    let payload = Envelope::decode(&change.certificate).and_then(|envelope| envelope.payload());
    payload.is_ok_and(|payload| payload.seen == log.head())
}
