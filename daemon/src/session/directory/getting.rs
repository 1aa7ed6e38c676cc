//! Getting the directory keys that others made: out of a ring, out of a box beside it, out of what
//! a later key leads to.
//!
//! Decides the order: the newest first, which leads to the others; then each that is still missing,
//! while the server has its ring, some with each request. Refuses every key that is not the log's.

use std::collections::BTreeSet;
use std::sync::Arc;

use parsec_protocol::chain::organisation::log::{DirectoryKeyRecord, VerifiedLog};
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::directory::{Directory, is_named, open_box};
use parsec_protocol::directory_ring::{DirectoryRing, place_in};
use parsec_protocol::keys::DirectoryKey;
use parsec_protocol::limits::FIRST_DIRECTORY_KEY;
use parsec_protocol::name_keys::{NameKeys as _, NumberedKey};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::ErrorCode;
use parsec_protocol::safe_log::ring::{Recipient, RingPart};
use parsec_protocol::sealing::KeyHash;

use super::super::Session;
use super::super::user_keys::own;
use crate::os::blocking_in;
use crate::store::StoreError;
use crate::transport::TransportError;
use crate::transport::retry::answered;

/// Rings looked into for one request: the newest leads to all others, unless somebody made it
/// wrong. What is behind a longer row of those comes with the next request.
const RINGS_ASKED: usize = 16;

/// What a ring, or a box beside it, gave.
enum Got {
    Key(DirectoryKey),
    Nothing,
}

impl Session {
    /// Gets what is missing, as far as it is to be had.
    pub(super) async fn fetch_directory(&self, log: &Arc<VerifiedLog>) -> Result<(), Problem> {
        let mut next = log.directory_keys().last().copied();
        let mut asked = BTreeSet::new();
        while let Some(record) = next.filter(|_| asked.len() < RINGS_ASKED) {
            asked.insert(record.number);
            self.fetch_ring(log, &record).await?;
            next = self.next_missing(log, &asked);
        }
        Ok(())
    }

    /// Opens a key out of its ring, or out of a box beside it, and the earlier ones with it.
    async fn fetch_ring(&self, log: &Arc<VerifiedLog>, record: &DirectoryKeyRecord) -> Result<(), Problem> {
        let head = self.ring_of(log, record).await?;
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
        let Ok(earlier) = Directory::new(log.organisation(), record.number, key).open_past(&head.past) else {
            self.wrong(log, record, "What opens the earlier keys").await;
            return Ok(());
        };
        let lies = earlier
            .iter()
            .any(|given| given.number != FIRST_DIRECTORY_KEY && !is_named(log, given.number, &given.key));
        if lies {
            self.wrong(log, record, "What opens the earlier keys").await;
        }
        self.take_directory_keys(log, earlier).await.map(drop)
    }

    /// A part of a ring, which fits its head; none where the server does not have it, or the author
    /// made a wrong one.
    pub(super) async fn ring_part(
        &self,
        log: &VerifiedLog,
        record: &DirectoryKeyRecord,
        (head, list): (&DirectoryRing, &[Recipient]),
        (number, hash): (usize, &Hash),
    ) -> Result<Option<RingPart>, Problem> {
        let bytes = match answered(|| self.member.directory_part(hash)).await {
            Ok(bytes) => bytes,
            Err(error) if error.code() == Some(ErrorCode::RingMissing) => return Ok(None),
            Err(TransportError::Misbehaved(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let part = RingPart::decode(&bytes).ok();
        let part = part.filter(|part| head.part_fits(number, part, list).is_ok());
        if part.is_none() {
            self.wrong(log, record, "A part of the ring").await;
        }
        Ok(part)
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
        let Some(part) = self.ring_part(log, record, (head, list), (number, hash)).await? else {
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
        // The newest is for the present key; those of earlier numbers may be for an earlier one.
        let keys: Vec<_> = own(self, log)?.keys.iter().rev().map(|record| record.key).collect();
        for posted in posted {
            for key in &keys {
                if keys.first() != Some(key) && self.kept_seed(*key).await?.is_none() {
                    continue;
                }
                let got = self.opened(log, record, *key, posted.sealed.to_vec()).await?;
                if let Some(Got::Key(key)) = got {
                    return Ok(Got::Key(key));
                }
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
}
