//! Keys of a run's safe: founding it, getting a key, making the next one, giving boxes.
//!
//! Mirrors `daemon/src/safes`: `founding`, `keys::complete`, `certifying::certify`, `due::settle`,
//! `boxes::give`. The timers of `settle` are dice here.

use parsec_protocol::chain::organisation::at::MembersAt as _;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::ids::{OperationId, Timestamp, UserId};
use parsec_protocol::keys::{SafeKey, random};
use parsec_protocol::relay::ErrorCode;
use parsec_protocol::safe_log::certificate::{Body, Change as RoleChange, Key};
use parsec_protocol::safe_log::ring::{BoxFor, Expected, Recipient, RingHead, RingPart, boxes_hash};
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safe_log::rules::ring_list;
use parsec_protocol::safe_log::safe::{EpochRecord, VerifiedSafe};
use parsec_protocol::safe_log::{FORMAT, SUITE};
use parsec_protocol::safes::boxes::{BoxOf, make_box, open_box};
use parsec_protocol::safes::change::Change;
use parsec_protocol::safes::keys::{EpochKey, SafeKeys};
use parsec_protocol::safes::past;
use parsec_protocol::safes::rebase::Pending;
use parsec_protocol::safes::ring_making::{Before, MadeRing, SealTo, make_ring};

use crate::device::{Device, Founding, Queued, Stop, Weakness, Wire};
use crate::people::{Organisation, key_of};
use crate::safes::{safe_id, signed, sure};
use crate::server::Comes;
use crate::support::{BEGINNING, organisation};

/// Certificates signed for one wish: beyond any run.
const TRIES: u32 = 16;

/// What is to be said.
pub enum Wish {
    Role(RoleChange),
    Key,
    Witness,
}

/// Role\* of a user who is not suspended (`due::role_at`).
pub fn role_at(safe: &VerifiedSafe, log: &VerifiedLog, user: &UserId) -> Option<Role> {
    let at = sure(log.user_at(user, log.count()))?;
    safe.role(user)?.at(&at).filter(|_| !at.suspended)
}

/// `due::is_unseen`.
fn is_unseen(safe: &VerifiedSafe, log: &VerifiedLog) -> bool {
    let Some(present) = safe.present() else { return false };
    let newest = sure(log.changed_before(log.count()));
    if newest.is_none_or(|newest| newest < present.seen) {
        return false;
    }
    safe.roles()
        .any(|(user, _)| sure(log.user_at(user, present.seen)) != sure(log.user_at(user, log.count())))
}

/// `due::due`.
fn due(safe: &VerifiedSafe, log: &VerifiedLog, role: Role) -> Option<Wish> {
    match (safe.is_due(log, log.count()), role.writes()) {
        (true, true) => Some(Wish::Key),
        (true, false) | (false, _) if is_unseen(safe, log) => Some(Wish::Witness),
        _ => None,
    }
}

impl Device {
    fn ring_of(&mut self, epoch: u64, key: &SafeKey, list: &[Recipient]) -> Option<MadeRing> {
        let list: Vec<SealTo<'_>> =
            list.iter().map(|to| SealTo { recipient: *to, key: Some(&key_of(to.key).1) }).collect();
        let none = SafeKeys::new(organisation(), safe_id());
        let keys = if self.weakness == Weakness::NoPast { &none } else { &self.memory.keys };
        let (organisation, safe, id) = (organisation(), safe_id(), self.id());
        let key = EpochKey::new(&organisation, &safe, epoch, key);
        make_ring(&key, id, &list, Before { keys, past: None }, &mut self.entropy).ok()
    }

    /// `founding::create`: everything is durable before anything goes out.
    pub fn create(&mut self, org: &Organisation) {
        let key = SafeKey::random(&mut self.entropy).unwrap();
        let operation = OperationId::from_bytes(random(&mut self.entropy).unwrap());
        self.disk.founding = Some(self.founding(org, &key));
        let name = Change::SafeName { operation, name: "Plans".parse().unwrap() };
        let queue = vec![Queued { pending: Pending::from(name), adds: Vec::new() }];
        self.disk.queue = Self::encoded(&queue);
        self.disk.keys.insert(0, key);
        self.restart().unwrap();
    }

    fn founding(&mut self, org: &Organisation, key: &SafeKey) -> Founding {
        let log = self.log(org);
        let user = self.user();
        let own = Recipient { user, key: log.user(&user).unwrap().encryption_key };
        let made = self.ring_of(0, key, &[own]).unwrap();
        let body = Body::Created {
            suite: SUITE,
            format: FORMAT,
            key_check: made.key_check,
            list: made.list,
            ring: made.ring,
        };
        let empty = VerifiedSafe::empty(organisation(), safe_id());
        let payload = empty.next_certificate(log.head(), self.id(), Timestamp(BEGINNING), body);
        let certificate = signed(self.number, &payload);
        Founding {
            certificate,
            ring: made.head,
            parts: made.parts.into_iter().map(|(_, bytes)| bytes).collect(),
        }
    }

    /// `founding::post`.
    pub fn post_founding(&mut self, wire: &mut Wire<'_>) -> Result<(), Stop> {
        for _ in 0..TRIES {
            let Some(founding) = self.disk.founding.clone() else { return Ok(()) };
            let by = self.id();
            let Founding { certificate, ring, parts } = &founding;
            match self.ask(wire, |server, log| server.found(log, &by, (certificate, ring, parts))) {
                Ok(()) => return self.take(wire, vec![founding.certificate], Vec::new()),
                Err(Stop::Refused(ErrorCode::SafeConflict)) => return self.read(wire),
                Err(Stop::Refused(ErrorCode::Behind)) => {
                    self.sync(wire)?;
                    let key = SafeKey::from_slice(self.disk.keys[&0].expose()).unwrap();
                    let anew = self.founding(wire.org, &key);
                    self.step()?;
                    self.disk.founding = Some(anew);
                }
                Err(stop) => return Err(stop),
            }
        }
        Err(Stop::Away)
    }

    /// `keys::complete`.
    pub fn complete_keys(&mut self, wire: &mut Wire<'_>) -> Result<(), Stop> {
        Self::take_stored_keys(&self.disk, &mut self.memory);
        let Some(record) = self.memory.verified.epochs().last().copied() else { return Ok(()) };
        let missing = |device: &Self| -> Vec<u64> {
            let epochs = device.memory.verified.epochs().iter().map(|record| record.key.epoch);
            epochs.filter(|epoch| device.memory.keys.at(*epoch).is_none()).collect()
        };
        if missing(self).is_empty() {
            return Ok(());
        }
        let (by, ring) = (self.id(), record.key.ring);
        let head = match self.ask(wire, |server, log| server.ring(log, &by, &ring)) {
            Err(Stop::Refused(ErrorCode::RingMissing)) => return Ok(()),
            head => RingHead::decode(&head?).unwrap(),
        };
        let expected = Expected {
            organisation: &organisation(),
            safe: &safe_id(),
            author: &record.author,
            key: &record.key,
        };
        head.fits(&expected).map_err(|why| Stop::Wrong(format!("a ring does not fit: {why}")))?;
        if self.memory.keys.at(record.key.epoch).is_none() {
            let Some(key) = self.own_key(wire, &record, &head)? else { return Ok(()) };
            self.keep_key(record.key.epoch, key)?;
        }
        let sealed = head.past.as_ref().map_or(&[][..], |past| past.as_slice());
        if missing(self).iter().any(|epoch| *epoch < record.key.epoch) {
            let key = self.memory.keys.at(record.key.epoch).unwrap();
            let past = past::open(&key, sealed)
                .map_err(|_| Stop::Wrong("what opens the past does not open".to_owned()))?;
            for (epoch, key) in past.into_keys() {
                self.keep_key(epoch, key)?;
            }
        }
        Ok(())
    }

    fn keep_key(&mut self, epoch: u64, key: SafeKey) -> Result<(), Stop> {
        self.step()?;
        self.disk.keys.entry(epoch).or_insert(key);
        Self::take_stored_keys(&self.disk, &mut self.memory);
        Ok(())
    }

    /// `keys::own_key`: the box of the ring, or one that was posted since.
    fn own_key(
        &mut self,
        wire: &mut Wire<'_>,
        record: &EpochRecord,
        head: &RingHead,
    ) -> Result<Option<SafeKey>, Stop> {
        let (by, user) = (self.id(), self.user());
        let mut sealed = Vec::new();
        if let Some((number, at)) = head.list.place_of(&user) {
            let hash = head.parts[number];
            let part = self.ask(wire, |server, log| server.part(log, &by, &hash))?;
            sealed.extend(RingPart::decode(&part).unwrap().0.into_iter().nth(at).flatten());
        }
        let epoch = record.key.epoch;
        match self.ask(wire, |server, log| server.boxes(log, &by, (epoch, user))) {
            Ok(posted) => sealed.extend(posted),
            Err(Stop::Refused(ErrorCode::BoxUnknown)) => {}
            Err(stop) => return Err(stop),
        }
        let log = self.log(wire.org);
        let keys = log.user(&user).map(|user| user.keys.clone()).unwrap_or_default();
        let organisation = organisation();
        let of = BoxOf { organisation: &organisation, safe: &safe_id(), epoch, user };
        for sealed in sealed {
            for known in keys.iter().rev() {
                let seed = wire.org.seed(self.number, known.key, self.known);
                let key = seed.and_then(|seed| open_box(&of, &record.key.key_check, &sealed, seed).ok());
                if key.is_some() {
                    return Ok(key);
                }
            }
        }
        Ok(None)
    }

    /// `due::settle`.
    pub fn settle(&mut self, wire: &mut Wire<'_>) -> Result<(), Stop> {
        let log = self.log(wire.org);
        let user = self.user();
        let Some(role) = role_at(&self.memory.verified, &log, &user) else { return Ok(()) };
        let Some(wish) = due(&self.memory.verified, &log, role) else { return Ok(()) };
        if self.weakness == Weakness::PostsWhileDue {
            return Ok(());
        }
        let at_once = !self.memory.queue.is_empty() && matches!(wish, Wish::Key);
        if !at_once && !wire.eager && !wire.rng.percent(30) {
            return Ok(());
        }
        self.certify(wire, |verified, log| {
            role_at(verified, log, &user).and_then(|role| due(verified, log, role))
        })
    }

    /// `certifying::certify`.
    pub fn certify(
        &mut self,
        wire: &mut Wire<'_>,
        wish: impl Fn(&VerifiedSafe, &VerifiedLog) -> Option<Wish>,
    ) -> Result<(), Stop> {
        for _ in 0..TRIES {
            self.sync(wire)?;
            self.read(wire)?;
            self.complete_keys(wire)?;
            let log = self.log(wire.org);
            let Some(wish) = wish(&self.memory.verified, &log) else { return Ok(()) };
            let Some((certificate, comes, parts, key)) = self.draft(&log, wish)? else {
                return Err(Stop::KeyMissing);
            };
            wire.race()?;
            let by = self.id();
            for part in &parts {
                self.ask(wire, |server, log| server.put_part(log, &by, part))?;
            }
            match self.ask(wire, |server, log| server.certify(log, &by, &certificate, &comes)) {
                Ok(()) => {
                    self.take(wire, vec![certificate], Vec::new())?;
                    if let Some((epoch, key)) = key {
                        self.keep_key(epoch, key)?;
                        self.complete_keys(wire)?;
                    }
                    return Ok(());
                }
                Err(Stop::Refused(ErrorCode::SafeConflict | ErrorCode::Behind | ErrorCode::RingMissing)) => {}
                Err(stop) => return Err(stop),
            }
        }
        Err(Stop::Away)
    }

    /// `certifying::draft`; nothing where a box can't be made for want of the key.
    #[expect(clippy::type_complexity, reason = "a certificate and all that goes out with it")]
    fn draft(
        &mut self,
        log: &VerifiedLog,
        wish: Wish,
    ) -> Result<Option<(Vec<u8>, Comes, Vec<Vec<u8>>, Option<(u64, SafeKey)>)>, Stop> {
        let (changes, rekey, witness) = match wish {
            Wish::Role(change) => (vec![change], false, false),
            Wish::Key => (Vec::new(), true, false),
            Wish::Witness => (Vec::new(), false, true),
        };
        let me = self.user();
        let verified = self.memory.verified.clone();
        let epoch = verified.present().unwrap().key.epoch + 1;
        let leaves = matches!(changes.as_slice(), [RoleChange { user, role: None }] if *user == me);
        let removes = changes.iter().any(|change| change.user != me && change.role.is_none());
        let needs_key = rekey || removes || verified.is_due(log, log.count());
        let mut comes = Comes::default();
        let (mut parts, mut key) = (Vec::new(), None);
        let mut named = None;
        if needs_key && !leaves && !witness {
            let list = sure(ring_list(&verified, log, log.count(), &changes));
            let drawn = SafeKey::random(&mut self.entropy).unwrap();
            // Nobody counts who could have it: its author is suspended.
            let made = self.ring_of(epoch, &drawn, &list.0).ok_or(Stop::RoleTooLow)?;
            let MadeRing { head, ring, list, key_check, parts: of_ring, blocks } = made;
            named = Some(Key { epoch, key_check, list, ring, lost: 0 });
            parts = of_ring.into_iter().chain(blocks).map(|(_, bytes)| bytes).collect();
            comes.ring = Some(head);
            comes.had = self.memory.keys.iter().map(|(epoch, _)| epoch).collect();
            key = Some((epoch, drawn));
        } else {
            for change in changes.iter().filter(|change| change.role.is_some()) {
                let at = sure(log.user_at(&change.user, log.count())).filter(|at| !at.suspended);
                let Some(at) = at.filter(|_| verified.role(&change.user).is_none()) else { continue };
                let Some(own) = self.memory.keys.at(epoch - 1) else { return Ok(None) };
                let sealed = make_box(&own, change.user, &key_of(at.encryption_key).1);
                comes.boxes.push(BoxFor { user: change.user, sealed: sealed.into() });
            }
        }
        let boxes = (!comes.boxes.is_empty()).then(|| boxes_hash(&comes.boxes));
        let body = Body::Changed { changes, key: named, boxes };
        let payload = verified.next_certificate(log.head(), self.id(), Timestamp(BEGINNING), body);
        let certificate = signed(self.number, &payload);
        // What a person may not do, the device says before it asks anybody.
        if verified.judge_certificate(&certificate, log).is_err() {
            return Err(Stop::RoleTooLow);
        }
        Ok(Some((certificate, comes, parts, key)))
    }

    /// `boxes::give`: every member's box is looked at, once while the device is unlocked.
    pub fn give_boxes(&mut self, wire: &mut Wire<'_>) -> Result<(), Stop> {
        let log = self.log(wire.org);
        let verified = self.memory.verified.clone();
        let writes = role_at(&verified, &log, &self.user()).is_some_and(Role::writes);
        let Some(record) = verified.epochs().last().copied().filter(|_| writes) else { return Ok(()) };
        let (epoch, ring, by) = (record.key.epoch, record.key.ring, self.id());
        let lacking: Vec<_> = verified
            .roles()
            .filter_map(|(user, role)| {
                let now = sure(log.user_at(user, log.count()))?;
                let counts = role.at(&now).is_some() && !now.suspended && *user != self.user();
                counts.then_some((*user, now.encryption_key))
            })
            .filter(|(user, _)| !self.memory.given.contains(&(epoch, *user)))
            .collect();
        if lacking.is_empty() || self.memory.keys.at(epoch).is_none() {
            return Ok(());
        }
        let head = self.ask(wire, |server, log| server.ring(log, &by, &ring))?;
        let head = RingHead::decode(&head).unwrap();
        for (user, to) in lacking {
            let key = self.memory.keys.at(epoch).unwrap();
            let right = make_box(&key, user, &key_of(to).1);
            let in_ring = head.list.0.iter().any(|one| one.user == user && one.key == to);
            if !in_ring {
                let posted = match self.ask(wire, |server, log| server.boxes(log, &by, (epoch, user))) {
                    Err(Stop::Refused(ErrorCode::BoxUnknown)) => Vec::new(),
                    posted => posted?,
                };
                if !posted.iter().any(|sealed| sealed.as_slice() == right) {
                    self.ask(wire, |server, log| server.post_box(log, &by, (epoch, user), &right))?;
                }
            }
            self.memory.given.insert((epoch, user));
        }
        Ok(())
    }
}
