//! What must hold at the end of a run, when the network is whole again.
//!
//! Decides by the server's items and everybody's keys together: readers have that tree, every
//! contents that were acknowledged are in it or wait on a device, nobody waits without saying for
//! whom, and nobody has a key that was never meant for them.

use std::collections::{BTreeMap, BTreeSet};

use parsec_protocol::chain::organisation::at::MembersAt as _;
use parsec_protocol::ids::{EntryId, ObjectId};
use parsec_protocol::keys::SafeKey;
use parsec_protocol::relay::ErrorCode;
use parsec_protocol::safe_log::record::Envelope as Record;
use parsec_protocol::safe_log::safe::VerifiedSafe;
use parsec_protocol::safes::content::open_chunk;
use parsec_protocol::safes::content_ref::{Content, References};
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::seal::open_record;
use parsec_protocol::safes::state::State;
use parsec_protocol::safes::tree::Tree as _;

use crate::device::{Device, Kept, Stop};
use crate::keys::role_at;
use crate::rounds::fold_one;
use crate::safes::{safe_id, sure};
use crate::support::organisation;
use crate::world::SafeRun;

/// The words of a file, opened with the keys that are there.
fn words(keys: &SafeKeys, content: &Content, sealed: impl Fn(ObjectId) -> Option<Vec<u8>>) -> Option<String> {
    let References::Direct(all) = &content.references else { return None };
    let reference = (*all.first()?)?;
    let mut buffer = sealed(reference.object)?;
    open_chunk(keys, content.size, 0, &reference, &mut buffer).ok()?;
    String::from_utf8(buffer).ok()
}

impl SafeRun {
    /// The words of contents, wherever they lie.
    pub fn words_of(&self, content: &Content) -> Option<String> {
        let sealed = |object: ObjectId| {
            let there = self.server.objects.get(&object).map(|object| object.sealed.clone());
            let staged = |device: &Device| device.disk.objects.get(&object).map(|one| one.sealed.clone());
            there.or_else(|| self.devices.iter().flatten().find_map(staged))
        };
        let of_device = |device: &Device| words(&device.memory.keys, content, sealed);
        self.devices.iter().flatten().find_map(of_device)
    }

    /// Keys of everybody together: what is read with these, somebody reads.
    fn all_keys(&self) -> SafeKeys {
        let mut keys = SafeKeys::new(organisation(), safe_id());
        for device in self.devices.iter().flatten() {
            for (epoch, key) in &device.disk.keys {
                if let Some(record) = self.server.safe.epoch(*epoch) {
                    let _ = keys.insert(
                        *epoch,
                        SafeKey::from_slice(key.expose()).unwrap(),
                        &record.key.key_check,
                    );
                }
            }
        }
        keys
    }

    /// All that must hold.
    pub fn check(&self) -> Result<(), String> {
        let keys = self.all_keys();
        let tree = self.folded(&keys)?;
        self.check_readers(tree.clone())?;
        self.check_queues()?;
        self.check_keys()?;
        self.check_words(&keys, &tree)
    }

    /// The server's journal, judged and folded from its beginning.
    fn folded(&self, keys: &SafeKeys) -> Result<State, String> {
        let log = self.org.log();
        let mut safe = VerifiedSafe::empty(organisation(), safe_id());
        let mut state = State::new(safe_id());
        let mut certificates = self.server.certificates.iter().peekable();
        let mut known = BTreeSet::new();
        for record in &self.server.records {
            let payload = Record::decode(record).unwrap().payload().unwrap();
            while safe.present().is_none_or(|now| now.log.count < payload.log.count) {
                let certificate = certificates.next().ok_or("a certificate is missing")?;
                safe.push_certificate(certificate, log).map_err(|why| format!("a certificate: {why}"))?;
            }
            let judged = safe.push_record(record, log);
            let by = judged.map_err(|why| format!("record {}: {why}", payload.seq))?.effects().by;
            let kept = Kept { author: by.user, role: by.role, envelope: Vec::new() };
            fold_one(keys, &mut state, &kept, &payload, &mut known).map_err(|why| format!("{why:?}"))?;
            // What comes new is under the key of its record: who has an earlier one reads nothing.
            let inside = open_record(keys, &payload).unwrap();
            for content in inside.changes.iter().filter_map(|change| change.content()) {
                let old = |one: &&_| {
                    let one: &parsec_protocol::safes::content_ref::Reference = one;
                    payload.adds.contains(&one.object) && one.epoch != payload.epoch
                };
                if let Some(one) = content.objects().find(old) {
                    return Err(format!(
                        "record {} of epoch {} brings contents under key {}",
                        payload.seq, payload.epoch, one.epoch
                    ));
                }
            }
        }
        Ok(state)
    }

    /// Whether somebody who may give the present key has it.
    fn is_given(&self, epoch: u64) -> bool {
        self.living().any(|device| {
            let writes =
                role_at(&self.server.safe, self.org.log(), &device.user()).is_some_and(|role| role.writes());
            writes && device.disk.keys.contains_key(&epoch)
        })
    }

    /// Devices that the server listens to, of people who have taken the safe.
    fn living(&self) -> impl Iterator<Item = &Device> {
        self.devices
            .iter()
            .flatten()
            .filter(|device| self.org.counts(&device.id()) && self.org.people[&device.owner].accepted)
    }

    /// Whether the present ring must open the key of an epoch. Whoever made it may not have had
    /// that: then it waits for a key that another member makes.
    fn is_in_past(&self, epoch: u64) -> bool {
        let present = self.server.safe.present().unwrap().key;
        let had = self.server.had.get(&present.ring);
        epoch == present.epoch || had.is_some_and(|had| had.contains(&epoch))
    }

    /// The key that a device lacks first of all: the present one, which opens the others.
    fn missing(&self, device: &Device) -> Option<u64> {
        let present = self.server.safe.present()?.key.epoch;
        let lacks = |epoch: &u64| device.memory.keys.at(*epoch).is_none();
        Some(present).filter(lacks).or_else(|| (0..present).find(lacks))
    }

    fn check_readers(&self, mut tree: State) -> Result<(), String> {
        let root = tree.state_root();
        for device in self.living() {
            let log = self.org.log();
            let at = sure(log.user_at(&device.user(), log.count()));
            let reads = at.and_then(|at| self.server.safe.role(&device.user())?.at(&at)).is_some();
            if !reads {
                continue;
            }
            let missing = self.missing(device);
            if let Some(epoch) = missing {
                if self.is_given(epoch) && self.is_in_past(epoch) {
                    return Err(format!(
                        "device {} has no key {epoch} of {:?}, and others do: {:?}, {at:?}",
                        device.number,
                        self.server.safe.present().map(|now| now.key.epoch),
                        device.problem
                    ));
                }
                continue;
            }
            if device.memory.base.seq() != tree.seq() {
                return Err(format!(
                    "device {} has {} of {} records: {:?}",
                    device.number,
                    device.memory.base.seq(),
                    tree.seq(),
                    device.problem
                ));
            }
            if device.memory.base.clone().state_root() != root {
                return Err(format!("device {} has another tree", device.number));
            }
        }
        Ok(())
    }

    fn check_queues(&self) -> Result<(), String> {
        for device in self.living().filter(|device| !device.memory.queue.is_empty()) {
            let role = role_at(&self.server.safe, self.org.log(), &device.user());
            let waits = format!("device {} waits: {:?}", device.number, device.problem);
            match &device.problem {
                Some(Stop::Left) if self.server.safe.role(&device.user()).is_none() => {}
                Some(Stop::RoleTooLow) if role.is_none_or(|role| !role.writes()) => {}
                // Who became an outsider before the server had the safe makes none.
                Some(Stop::Refused(ErrorCode::NotAllowed)) if device.disk.founding.is_some() => {}
                // The key that it lacks nobody has who could give it.
                Some(Stop::KeyMissing) => {
                    let missing = self.missing(device);
                    let hopeless =
                        missing.is_some_and(|epoch| !self.is_given(epoch) || !self.is_in_past(epoch));
                    if !hopeless {
                        return Err(waits);
                    }
                }
                _ => return Err(waits),
            }
        }
        Ok(())
    }

    fn check_keys(&self) -> Result<(), String> {
        for device in self.devices.iter().flatten() {
            let Some((newest, _)) = device.disk.keys.last_key_value() else { continue };
            let meant = self.server.meant.get(&device.user());
            // The founder has one before the server has anything.
            let founder = device.disk.founding.is_some();
            if !founder && meant.is_none_or(|meant| newest > meant) {
                return Err(format!("device {} has key {newest}, and was to have {meant:?}", device.number));
            }
        }
        Ok(())
    }

    /// Every contents that somebody was told of are to be had: in the tree, live or in the trash or
    /// as an earlier version, or on the device that still waits with them.
    fn check_words(&self, keys: &SafeKeys, tree: &State) -> Result<(), String> {
        let mut there: BTreeSet<String> = BTreeSet::new();
        let mut live: BTreeMap<String, Vec<EntryId>> = BTreeMap::new();
        let sealed = |object: ObjectId| {
            self.server.objects.get(&object).filter(|object| object.added).map(|object| object.sealed.clone())
        };
        let mut ids = Vec::new();
        tree.each_version(&mut |id, _| ids.push(id));
        for id in ids {
            let entry = tree.entry(id).unwrap();
            for content in entry.rare.versions.iter().map(|old| &old.content).chain(entry.content()) {
                let found = words(keys, content, sealed)
                    .ok_or_else(|| format!("contents of {id} can't be opened"))?;
                there.insert(found);
            }
            if let Some(found) = entry.content().filter(|_| tree.is_live(id)) {
                live.entry(words(keys, found, sealed).unwrap_or_default()).or_default().push(id);
            }
        }
        for (said, number) in &self.saved {
            if there.contains(said) {
                continue;
            }
            let device = self.devices.iter().flatten().find(|device| device.number == *number).unwrap();
            let gone = !self.org.counts(&device.id());
            let staged =
                |object: ObjectId| device.disk.objects.get(&object).map(|staged| staged.sealed.clone());
            let mut waiting = device.memory.queue.iter().filter_map(|queued| queued.pending.change.content());
            let waits =
                waiting.any(|content| words(&device.memory.keys, content, staged).as_ref() == Some(said));
            if !waits {
                return Err(format!("{said:?} of device {number} is lost (revoked: {gone})"));
            }
        }
        for (said, places) in live.iter().filter(|(said, _)| !self.copied.contains(*said)) {
            // What was renamed over another, and moved elsewhere meanwhile, stays beside it.
            let renamed = places.iter().any(|id| self.renamed.contains(id));
            if places.len() > 1 && !renamed {
                return Err(format!("{said:?} is there {} times, and nobody copied it", places.len()));
            }
        }
        Ok(())
    }
}
