//! The keys of an archive, out of a box that this device's user can open.
//!
//! Decides that a key is an epoch's if it passes the check that the archive's own verified log
//! names. Refuses an archive without a box for its user: they never were a member, or came after it
//! was made.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::UserId;
use parsec_protocol::keys::{SafeKey, UserSeed};
use parsec_protocol::relay::POSTED_BOXES_MAX;
use parsec_protocol::safe_log::ring::{Expected, RingHead, RingPart};
use parsec_protocol::safe_log::safe::EpochRecord;
use parsec_protocol::safes::boxes::{BoxOf, open_box};
use parsec_protocol::safes::content_ref::Reference;
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::object::Hashed;
use parsec_protocol::safes::past;
use parsec_protocol::sealing::KeyHash;

use super::judging::{Judged, Located};
use super::source::read_at;
use crate::contents::Objects;
use crate::os::blocking_in;
use crate::session::Session;
use crate::store::StoreError;

/// The head of the present key's ring, where the archive has the right one.
fn ring(judged: &Judged, record: &EpochRecord) -> Option<RingHead> {
    let bytes = judged.rings.get(&record.key.ring)?;
    let (organisation, safe) = (&judged.about.organisation, &judged.about.safe);
    let expected = Expected { organisation, safe, author: &record.author, key: &record.key };
    RingHead::decode(bytes).ok().filter(|head| head.fits(&expected).is_ok())
}

/// Boxes for a user, each with the key that it was sealed to, where that is known.
fn boxes(judged: &Judged, record: &EpochRecord, user: UserId) -> Vec<(Option<KeyHash>, Vec<u8>)> {
    let mut found = Vec::new();
    if let Some(head) = ring(judged, record)
        && let Some((number, at)) = head.list.place_of(&user)
    {
        let part = head.parts.get(number).and_then(|hash| judged.rings.get(hash));
        let part = part.and_then(|bytes| RingPart::decode(bytes).ok());
        let part = part.filter(|part| head.part_fits(number, part).is_ok());
        let recipient = head.list.0.iter().find(|recipient| recipient.user == user);
        let sealed = part.and_then(|part| part.0.into_iter().nth(at).flatten());
        found.extend(sealed.map(|sealed| (recipient.map(|it| it.key), Vec::from(sealed))));
    }
    let posted = judged.boxes.iter().filter(|it| it.user == user && it.epoch == record.key.epoch);
    // As many as a server gives: each costs a try with each key of the user.
    let posted = posted.take(POSTED_BOXES_MAX);
    found.extend(posted.map(|it| (None, it.sealed.clone())));
    found
}

/// The present key, out of the user's own box.
async fn own_key(
    session: &Session,
    judged: &Judged,
    record: &EpochRecord,
) -> Result<Option<SafeKey>, Problem> {
    let (user, log) = (session.open.summary.user, session.log());
    let known: Vec<KeyHash> =
        log.user(&user).into_iter().flat_map(|user| user.keys.iter().rev()).map(|it| it.key).collect();
    // Opened once each: a hostile archive has thousands of boxes, and a seed may take the server.
    let mut seeds: BTreeMap<KeyHash, Option<Arc<UserSeed>>> = BTreeMap::new();
    for (to, sealed) in boxes(judged, record, user) {
        let keys = to.map_or_else(|| known.clone(), |key| vec![key]);
        for key in keys {
            let seed = match seeds.get(&key) {
                Some(seed) => seed.clone(),
                None => {
                    let seed = match session.earlier_seed(&log, key).await {
                        Ok(seed) => seed,
                        Err(problem) if problem.name == ProblemKind::UserKeyMissing => None,
                        Err(problem) => return Err(problem),
                    };
                    seeds.insert(key, seed.clone());
                    seed
                }
            };
            let Some(seed) = seed else { continue };
            let (organisation, safe) = (judged.about.organisation.clone(), judged.about.safe);
            let (record, sealed) = (*record, sealed.clone());
            let opened = blocking_in(&session.tasks, move || {
                let of = BoxOf { organisation: &organisation, safe: &safe, epoch: record.key.epoch, user };
                Ok::<_, StoreError>(open_box(&of, &record.key.key_check, &sealed, &seed).ok())
            });
            if let Some(key) = opened.await? {
                return Ok(Some(key));
            }
        }
    }
    Ok(None)
}

/// All keys of an archive, as far as they open.
///
/// # Errors
/// `safe_key_missing`: it has no box for the device's user, or none that opens.
pub(super) async fn keys(session: &Session, judged: &Judged) -> Result<SafeKeys, Problem> {
    let none = || {
        let text = "The archive has no box with the safe's key that this device's user can open.";
        let hint = "Whoever was a member of the safe when the archive was made can open it: have one of them import it, and share the new safe with you.";
        Problem { hint: hint.to_owned(), ..Problem::new(ProblemKind::SafeKeyMissing, text) }
    };
    let record = judged.safe.epochs().last().copied().ok_or_else(none)?;
    let key = own_key(session, judged, &record).await?.ok_or_else(none)?;
    let (organisation, safe) = (&judged.about.organisation, judged.about.safe);
    let mut keys = SafeKeys::new(organisation.clone(), safe);
    let insert = |keys: &mut SafeKeys, epoch: u64, key: SafeKey| {
        let check = judged.safe.epoch(epoch).map(|record| record.key.key_check);
        // A wrong one is its author's fault, and is missed where something was sealed under it.
        check.is_some_and(|check| keys.insert(epoch, key, &check).is_ok())
    };
    if !insert(&mut keys, record.key.epoch, key) {
        return Err(none());
    }
    let head = ring(judged, &record);
    let sealed = head.as_ref().and_then(|head| head.past.as_ref()).map_or(&[][..], |past| past.as_slice());
    let past = keys.at(record.key.epoch).and_then(|present| past::open(&present, sealed).ok());
    let mut earlier = Vec::new();
    if let Some(past) = past {
        for (number, block) in (0_u64..).zip(past.blocks()) {
            let Some(bytes) = judged.rings.get(block.hash()) else { continue };
            earlier.extend(past.open_block(organisation, &safe, number, bytes).into_iter().flatten());
        }
        earlier.extend(past.into_keys());
    }
    for (epoch, key) in earlier {
        let _right = insert(&mut keys, epoch, key);
    }
    Ok(keys)
}

/// Objects of an archive's file.
pub(super) struct InFile<'a> {
    pub(super) session: &'a Session,
    pub(super) file: Arc<File>,
    pub(super) judged: &'a Judged,
}

impl Objects for InFile<'_> {
    async fn fetch(&self, wanted: &[Reference], most: usize) -> Result<Vec<Hashed>, Problem> {
        let lost =
            || Problem::new(ProblemKind::ContentsUnavailable, "The archive lacks a part of the contents.");
        let places: Option<Vec<Located>> =
            wanted.iter().map(|reference| self.judged.place(reference.object, &reference.blake3)).collect();
        let places = places.ok_or_else(lost)?;
        let all = places.iter().map(|place| place.length).fold(0, usize::saturating_add);
        if all > most {
            let text = "The archive holds more than these contents can be; nothing of it was let through.";
            return Err(Problem::new(ProblemKind::ContentsDamaged, text));
        }
        let file = Arc::clone(&self.file);
        blocking_in(&self.session.tasks, move || {
            places
                .into_iter()
                .map(|place| {
                    let mut bytes = vec![0; place.length];
                    read_at(&file, &mut bytes, place.at).map_err(Problem::from)?;
                    Ok::<_, Problem>(Hashed::of(bytes))
                })
                .collect()
        })
        .await
    }
}
