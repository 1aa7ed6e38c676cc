//! What opens an archive for its members: the present key's ring, and boxes for who has none in it.
//!
//! Decides that nothing of it is left out in silence: without a key nothing is made.

use std::collections::BTreeMap;
use std::sync::Arc;

use parsec_protocol::archive::{Boxed, Kind};
use parsec_protocol::codec;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::UserId;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::safe_log::ring::{RingHead, RingPart};
use parsec_protocol::safes::boxes::make_box;
use parsec_protocol::safes::past;
use parsec_protocol::sealing::KeyHash;

use super::{Making, no_key};
use crate::os::blocking_in;
use crate::store::StoreError;
use crate::transport::TransportError;
use crate::transport::retry::answered;

impl Making<'_> {
    /// A ring's head, a part or a block: here, or at the server.
    async fn piece_of_ring(&self, hash: Hash, is_head: bool) -> Result<Option<Vec<u8>>, Problem> {
        let id = self.safe.id;
        let kept = self.session.store(move |store| store.kept_ring(id, &hash)).await?;
        let right = |bytes: &Vec<u8>| Hash::of(&[bytes]) == hash;
        if let Some(bytes) = kept.filter(right) {
            return Ok(Some(bytes));
        }
        let came = if is_head {
            answered(|| self.session.member.safe_ring(id, &hash)).await
        } else {
            answered(|| self.session.member.safe_part(id, &hash)).await
        };
        match came {
            Ok(bytes) => Ok(Some(bytes).filter(right)),
            // It has none, or other bytes.
            Err(TransportError::Misbehaved(_)) => Ok(None),
            Err(error @ TransportError::Refused { .. }) if !error.passes() => Ok(None),
            // That nobody could be asked says nothing about the ring.
            Err(error) => Err(error.into()),
        }
    }

    /// The present key's ring, all its parts, and what opens the earlier keys.
    pub(super) async fn rings(&mut self) -> Result<(), Problem> {
        let none = || {
            let text = "Neither this device nor the server has the ring of the safe's key: nobody could open the archive.";
            Problem::new(ProblemKind::SafeKeyMissing, text)
        };
        let record = self.verified.epochs().last().copied().ok_or_else(none)?;
        let bytes = self.piece_of_ring(record.key.ring, true).await?.ok_or_else(none)?;
        let head = RingHead::decode(&bytes).map_err(|_| none())?;
        self.write(vec![(Kind::Ring, bytes)]).await?;
        let mut sealed_to: BTreeMap<UserId, Vec<u8>> = BTreeMap::new();
        for hash in &head.parts {
            let bytes = self.piece_of_ring(*hash, false).await?.ok_or_else(none)?;
            if let Ok(part) = RingPart::decode(&bytes) {
                sealed_to.extend(head.list.0.iter().filter_map(|recipient| {
                    let (number, at) = head.list.place_of(&recipient.user)?;
                    let sealed = part.0.get(at)?.as_ref().filter(|_| head.parts.get(number) == Some(hash))?;
                    Some((recipient.user, sealed.to_vec()))
                }));
            }
            self.write(vec![(Kind::Ring, bytes)]).await?;
        }
        let sealed = head.past.as_ref().map_or(&[][..], |past| past.as_slice());
        let blocks: Vec<Hash> = {
            let past = self.keys.at(record.key.epoch).and_then(|key| past::open(&key, sealed).ok());
            past.iter().flat_map(|past| past.blocks()).map(|block| *block.hash()).collect()
        };
        for hash in blocks {
            // Without it whoever opens the archive lacks keys, and would learn it then.
            let lost = || {
                let text = "Neither this device nor the server has all that opens the safe's earlier keys: parts of the archive could not be opened.";
                Problem::new(ProblemKind::SafeKeyMissing, text)
            };
            let bytes = self.piece_of_ring(hash, false).await?.ok_or_else(lost)?;
            self.write(vec![(Kind::Ring, bytes)]).await?;
        }
        let holders: Vec<(UserId, KeyHash)> = self
            .verified
            .holders()
            .filter(|(user, _)| self.verified.role(user).is_some())
            .map(|(user, key)| (*user, *key))
            .collect();
        self.boxes(record.key.epoch, holders, &sealed_to).await
    }

    /// Boxes for members whom the present key's ring has none for, or a wrong one. They are made
    /// here and not asked for: a server that withholds them, or whoever made the ring, would keep
    /// these members out of the archive.
    async fn boxes(
        &mut self,
        epoch: u64,
        holders: Vec<(UserId, KeyHash)>,
        in_ring: &BTreeMap<UserId, Vec<u8>>,
    ) -> Result<(), Problem> {
        for (user, key) in holders {
            let sealed_to = in_ring.get(&user);
            if sealed_to.is_some() && self.server_gone {
                continue;
            }
            let to = match self.session.key_by_hash(key).await {
                Ok(to) => to,
                // The box of the ring can't be compared now, and is there.
                Err(problem) if problem.retryable && sealed_to.is_some() => {
                    self.server_gone = true;
                    None
                }
                Err(problem) => return Err(problem),
            };
            // Unsound, or not to be had: nobody can make a box for it.
            let Some(to) = to else { continue };
            let keys = Arc::clone(&self.keys);
            let sealed = blocking_in(&self.session.tasks, move || {
                Ok::<_, StoreError>(keys.at(epoch).map(|present| make_box(&present, user, &to)))
            });
            let sealed = sealed.await?.ok_or_else(no_key)?;
            if sealed_to == Some(&sealed) {
                continue;
            }
            self.write(vec![(Kind::Box, codec::encode(&Boxed { epoch, user, sealed }))]).await?;
        }
        Ok(())
    }
}
