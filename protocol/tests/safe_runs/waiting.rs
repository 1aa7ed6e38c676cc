//! What waits on a device: it is sealed anew, goes up, and is dropped.
//!
//! Mirrors `daemon/src/safes`: `staged::upload` and `drop_added`, `anew::seal_anew`,
//! `forgone::drop_owners`.

use std::collections::{BTreeMap, BTreeSet};

use parsec_protocol::ids::ObjectId;
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safes::change::{Change, Kind};
use parsec_protocol::safes::content::{open_chunk, padded_length};
use parsec_protocol::safes::content_ref::{Content, Reference, References};
use parsec_protocol::safes::object::{self, ObjectKind};

use crate::device::{Device, Queued, Staged, Stop, Weakness, Wire};

impl Device {
    /// `forgone::drop_owners`.
    pub fn drop_owners(&mut self, role: Role) -> Result<(), Stop> {
        let owners = |queued: &Queued| {
            matches!(queued.pending.change, Change::SafeName { .. } | Change::Retention { .. })
        };
        if role == Role::Owner || !self.memory.queue.iter().any(owners) {
            return Ok(());
        }
        let mut queue = self.memory.queue.clone();
        queue.retain(|queued| !owners(queued));
        let delta = self.over(&self.memory.base, &queue)?;
        self.step()?;
        self.disk.queue = Self::encoded(&queue);
        self.memory.delta = delta;
        self.memory.queue = queue;
        Ok(())
    }

    /// `staged::upload`.
    pub fn upload(&mut self, wire: &mut Wire<'_>, adds: &[ObjectId]) -> Result<(), Stop> {
        for object in adds {
            let Some(staged) = self.disk.objects.get(object).cloned() else {
                return Err(Stop::Wrong("contents that wait are not in the store".to_owned()));
            };
            if staged.uploaded {
                continue;
            }
            let by = self.id();
            let sent = (*object, staged.hash, staged.sealed.as_slice());
            self.ask(wire, |server, log| server.put_object(log, &by, sent))?;
            self.step()?;
            self.disk.objects.get_mut(object).unwrap().uploaded = true;
        }
        Ok(())
    }

    /// `staged::drop_added`.
    pub fn drop_added(&mut self) -> Result<(), Stop> {
        self.step()?;
        let base = &self.memory.base;
        self.disk.objects.retain(|object, _| !base.has_object(*object));
        Ok(())
    }

    /// `anew::seal_anew`: what waits under an earlier key is sealed under the present one, by the
    /// whole queue.
    pub fn seal_anew(&mut self) -> Result<(), Stop> {
        let Some(present) = self.memory.verified.present().map(|now| now.key.epoch) else { return Ok(()) };
        let base = self.memory.base.clone();
        let of_queue = |queue: &[Queued]| -> BTreeSet<ObjectId> {
            let all = queue.iter().flat_map(|queued| queued.adds.iter().copied());
            all.filter(|object| !base.has_object(*object)).collect()
        };
        let all = of_queue(&self.memory.queue);
        let mut queue = self.memory.queue.clone();
        let mut made = BTreeMap::new();
        for queued in &mut queue {
            let waiting = match self.weakness {
                Weakness::EachAlone => of_queue(std::slice::from_ref(queued)),
                _ => all.clone(),
            };
            if let Change::Add { kind: Kind::File(content), .. } | Change::Content { content, .. } =
                &mut queued.pending.change
            {
                self.content_anew(content, present, &waiting, &mut made)?;
            }
        }
        for object in queue.iter_mut().flat_map(|queued| &mut queued.adds) {
            if let Some(new) = made.get(object) {
                *object = new.object;
            }
        }
        if !made.is_empty() {
            let delta = self.over(&self.memory.base, &queue)?;
            self.step()?;
            self.disk.queue = Self::encoded(&queue);
            self.memory.delta = delta;
            self.memory.queue = queue;
        }
        Ok(())
    }

    fn content_anew(
        &mut self,
        content: &mut Content,
        present: u64,
        waiting: &BTreeSet<ObjectId>,
        made: &mut BTreeMap<ObjectId, Reference>,
    ) -> Result<(), Stop> {
        let References::Direct(all) = &mut content.references else { return Ok(()) };
        let old = |one: &&mut Reference| one.epoch != present && waiting.contains(&one.object);
        for reference in all.iter_mut().flatten().filter(old) {
            if let Some(known) = made.get(&reference.object) {
                *reference = *known;
                continue;
            }
            let lost = || Stop::Wrong("contents that wait can't be read".to_owned());
            let mut buffer = self.disk.objects.get(&reference.object).ok_or_else(lost)?.sealed.clone();
            open_chunk(&self.memory.keys, content.size, 0, reference, &mut buffer).map_err(|_| lost())?;
            buffer.resize(padded_length(content.size, 0), 0);
            let key = self.memory.keys.at(present).ok_or(Stop::KeyMissing)?;
            let new = object::seal(&key, ObjectKind::Chunk, &mut buffer, &mut self.entropy).unwrap();
            self.step()?;
            let staged = Staged { hash: new.blake3, sealed: buffer, uploaded: false };
            self.disk.objects.insert(new.object, staged);
            made.insert(reference.object, new);
            *reference = new;
        }
        Ok(())
    }
}
