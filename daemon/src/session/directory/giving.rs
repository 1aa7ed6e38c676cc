//! Handing the present directory key to members who have no right box with it, and giving the
//! server back a ring that it lost.
//!
//! Decides by the boxes themselves who lacks one: every holder can make each of them, so that an
//! administrator's device looks whether the ring's are the right ones. That somebody is in the list
//! says nothing. Refuses to look twice while it is unlocked.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use parsec_protocol::chain::organisation::log::{DirectoryKeyRecord, VerifiedLog};
use parsec_protocol::chain::organisation::members::sealed_with;
use parsec_protocol::control::Problem;
use parsec_protocol::directory::Directory;
use parsec_protocol::ids::UserId;
use parsec_protocol::limits::RING_PART_BOXES;
use parsec_protocol::name_keys::NameKeys as _;
use parsec_protocol::relay::ErrorCode;
use parsec_protocol::safe_log::ring::{Recipient, RingPart};
use parsec_protocol::sealing::{EncryptionKey, KeyHash};

use super::super::Session;
use crate::os::blocking_in;
use crate::store::{OwnDirectoryChange, StoreError};
use crate::transport::retry::answered;

/// Members whose posted boxes are looked at, and made, at once.
const AT_ONCE: usize = 16;

/// Members of whom it is not known whether they have a right box, with the key to seal to.
type Lacking = BTreeMap<UserId, EncryptionKey>;

impl Session {
    /// Gives the server back the ring that this device made, where a restore lost it.
    pub(super) async fn put_ring_back(
        &self,
        record: &DirectoryKeyRecord,
        own: &OwnDirectoryChange,
    ) -> Result<(), Problem> {
        let work = &self.directory_work;
        let seen = || work.there.lock().unwrap_or_else(PoisonError::into_inner);
        if seen().contains(&record.number) {
            return Ok(());
        }
        let number = record.number;
        match answered(|| self.member.directory_ring(&record.ring)).await {
            Ok(_) => {}
            Err(error) if error.code() == Some(ErrorCode::RingMissing) => {
                for part in &own.parts {
                    answered(|| self.member.put_directory_part(part.clone())).await?;
                }
                match answered(|| self.member.change_directory_key(&own.change)).await {
                    Ok(_) => tracing::info!(number, "the server was given back the ring of a key for names"),
                    // One that lacks a box is not taken again: boxes beside it have to do.
                    Err(error) if error.code() == Some(ErrorCode::RingRefused) => {
                        tracing::info!(number, "the server does not take back the ring of a key for names");
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
        seen().insert(number);
        Ok(())
    }

    fn boxed(&self) -> MutexGuard<'_, std::collections::BTreeSet<(u32, UserId, KeyHash)>> {
        self.directory_work.boxed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Posts boxes for members who have no right one: suspended when the key was made and not any
    /// more, with another key since, left out or given a wrong one by the ring's author, or let in
    /// by somebody who lacked the key. An administrator's device does so.
    ///
    /// # Errors
    /// The server's; the store's.
    pub(super) async fn give_directory_boxes(
        &self,
        log: &Arc<VerifiedLog>,
        record: &DirectoryKeyRecord,
        own: Option<OwnDirectoryChange>,
    ) -> Result<(), Problem> {
        if !self.is_administrator(log) {
            return Ok(());
        }
        // Who was let in by somebody who had the key has opened their own name with it.
        let handed = |position, name: &[u8]| {
            position > record.position && sealed_with(name).is_some_and(|number| number >= record.number)
        };
        let (members, hashes): (Vec<_>, Vec<_>) = log
            .users()
            .filter(|user| user.user != self.open.summary.user)
            .filter(|user| user.revoked.is_none() && !log.is_suspended(&user.user))
            .filter(|user| !handed(user.position, &user.sealed_name))
            .filter(|user| !self.boxed().contains(&(record.number, user.user, user.encryption_key)))
            .map(|user| (user.user, user.encryption_key))
            .unzip();
        let keys = self.keys_by_hash(hashes).await?;
        let mut lacking: Lacking =
            members.into_iter().zip(keys).filter_map(|(user, key)| Some((user, key?))).collect();
        if lacking.is_empty() {
            return Ok(());
        }
        self.look_into_ring(log, record, own, &mut lacking).await?;
        let post = |(user, to)| self.give_directory_box(log, record, user, to);
        stream::iter(lacking).map(post).buffer_unordered(AT_ONCE).try_collect::<()>().await
    }

    /// Takes those out of `lacking` for whom the ring has the right box for their present key.
    async fn look_into_ring(
        &self,
        log: &Arc<VerifiedLog>,
        record: &DirectoryKeyRecord,
        own: Option<OwnDirectoryChange>,
        lacking: &mut Lacking,
    ) -> Result<(), Problem> {
        let Some((head, list)) = self.ring_of(log, record).await? else { return Ok(()) };
        let mut kept = own.map(|own| own.parts.into_iter()).into_iter().flatten();
        let mut wrong = false;
        for (number, hash) in head.parts.iter().enumerate() {
            // What this device made need not be fetched.
            let part = match kept.next().and_then(|bytes| RingPart::decode(&bytes).ok()) {
                Some(part) => Some(part),
                None => self.ring_part(log, record, (&head, &list), (number, hash)).await?,
            };
            let Some(part) = part else { continue };
            let recipients = list.chunks(RING_PART_BOXES).nth(number).unwrap_or_default();
            let looked: Vec<(Recipient, Vec<u8>, EncryptionKey)> = recipients
                .iter()
                .zip(part.0)
                .filter_map(|(recipient, sealed)| {
                    let to = lacking.get(&recipient.user).filter(|to| to.hash() == recipient.key)?;
                    Some((*recipient, sealed?.into(), to.clone()))
                })
                .collect();
            let (held, its_log, of) = (self.open.directory(), Arc::clone(log), *record);
            let judged = blocking_in(&self.tasks, move || {
                let Some(key) = held.opening(of.number) else { return Ok::<_, StoreError>(Vec::new()) };
                let directory = Directory::new(its_log.organisation(), of.number, key);
                let judge = |(recipient, sealed, to): (Recipient, Vec<u8>, EncryptionKey)| {
                    (recipient, directory.make_box(recipient.user, &to) == sealed)
                };
                Ok(looked.into_iter().map(judge).collect())
            })
            .await?;
            for (recipient, right) in judged {
                if right {
                    lacking.remove(&recipient.user);
                    self.boxed().insert((record.number, recipient.user, recipient.key));
                } else {
                    wrong = true;
                }
            }
        }
        if wrong {
            self.wrong(log, record, "A box in the ring").await;
        }
        Ok(())
    }

    /// Posts a box for somebody, unless a right one is there.
    async fn give_directory_box(
        &self,
        log: &Arc<VerifiedLog>,
        record: &DirectoryKeyRecord,
        user: UserId,
        to: EncryptionKey,
    ) -> Result<(), Problem> {
        let hash = to.hash();
        let (held, its_log, of) = (self.open.directory(), Arc::clone(log), *record);
        let right = blocking_in(&self.tasks, move || {
            let make = |key| Directory::new(its_log.organisation(), of.number, key).make_box(user, &to);
            Ok::<_, StoreError>(held.opening(of.number).map(make))
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
        self.boxed().insert((record.number, user, hash));
        Ok(())
    }
}
