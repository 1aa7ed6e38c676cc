//! One round of a device: it reads, makes a key that is due, and writes what waits.
//!
//! Mirrors `daemon/src/safes`: `task::round`, `reading::read` and `take`, `items::verify`,
//! `folding::fold_up`, `committing::post`, in the order of their commits and calls. The
//! decisions are the protocol's own: judging, folding, rebasing, sealing.

use std::collections::{BTreeMap, BTreeSet};

use parsec_protocol::chain::organisation::at::MembersAt as _;
use parsec_protocol::codec;
use parsec_protocol::ids::{ObjectId, OperationId, Timestamp};
use parsec_protocol::relay::ErrorCode;
use parsec_protocol::safe_log::certificate::{Envelope as Certificate, State as Condition};
use parsec_protocol::safe_log::record::{Envelope as Record, Payload, RECORD_NONCE_BYTES};
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safe_log::rules::Fault;
use parsec_protocol::safe_log::safe::{NotTaken, VerifiedSafe};
use parsec_protocol::safes::change::{Change, Inside, RULES_VERSION};
use parsec_protocol::safes::fold::{Outer, fold, would_fold};
use parsec_protocol::safes::rebase::{Naming, Pending, rebase};
use parsec_protocol::safes::seal::{open_record, seal_record};
use parsec_protocol::safes::state::State;
use parsec_protocol::safes::tree::Tree as _;

use crate::device::{Device, Kept, Queued, Stop, Weakness, Wire};
use crate::safes::{safe_id, sure};
use crate::server::Answer;
use crate::support::{BEGINNING, device, organisation, signing_key};

/// Records after which the tree is kept anew. The daemon's is larger; both ways are to be gone.
const KEEP_RECORDS: u64 = 3;
/// Records in a row that lost a race: beyond any run.
const MOVED_ON_MAX: u32 = 64;
/// Records of one round: beyond any run.
const ACCEPTED_MAX: u32 = 200;
/// The device that founds the safe.
pub const FOUNDER: u64 = 1;

/// What folding some records found.
#[derive(Default)]
pub struct Found {
    pub known: BTreeSet<OperationId>,
    /// The device lacks a key.
    pub stopped: bool,
}

/// What became of a record.
#[derive(PartialEq, Eq)]
enum Tried {
    Nothing,
    Accepted,
    MovedOn,
    Due,
}

impl Device {
    /// A round, whatever comes of it; what must not be is an error.
    pub fn go(&mut self, wire: &mut Wire<'_>) -> Result<(), Stop> {
        if !wire.org.people[&self.owner].accepted {
            return Ok(());
        }
        let done = self.round(wire);
        self.problem = done.clone().err();
        match done {
            Err(Stop::Wrong(why)) => Err(Stop::Wrong(why)),
            Err(Stop::Killed) => self.restart(),
            _ => Ok(()),
        }
    }

    /// `task::round`.
    fn round(&mut self, wire: &mut Wire<'_>) -> Result<(), Stop> {
        if self.disk.founding.is_some() {
            self.post_founding(wire)?;
        }
        self.read(wire)?;
        self.complete_keys(wire)?;
        self.fold_up()?;
        let (mut moved_on, mut accepted) = (0, 0);
        loop {
            self.settle(wire)?;
            match self.post(wire)? {
                Tried::Nothing => break,
                Tried::Due => return Err(Stop::KeyMissing),
                Tried::Accepted => (moved_on, accepted) = (0, accepted + 1),
                Tried::MovedOn => moved_on += 1,
            }
            if accepted > ACCEPTED_MAX {
                return Err(Stop::Wrong("the same is written again and again".to_owned()));
            }
            self.complete_keys(wire)?;
            self.fold_up()?;
            if moved_on > MOVED_ON_MAX {
                return Err(Stop::Wrong("the server takes nothing, and refuses nothing".to_owned()));
            }
        }
        self.drop_added()?;
        self.give_boxes(wire)
    }

    /// The organisation's log as the server has it.
    pub fn sync(&mut self, wire: &mut Wire<'_>) -> Result<(), Stop> {
        let count = self.ask(wire, |_, log| Ok(log.count()))?;
        self.step()?;
        self.known = count;
        Ok(())
    }

    /// `reading::read`.
    pub fn read(&mut self, wire: &mut Wire<'_>) -> Result<(), Stop> {
        loop {
            let known = self.known;
            let [log, journal] = self.ends(device(FOUNDER));
            let by = self.id();
            let from = (log.count, journal.count);
            let asked = self.ask(wire, |server, log| server.items(log, &by, from));
            let ([certificates, records], counts) = match asked {
                Err(Stop::Refused(ErrorCode::SafeUnknown)) => return Err(Stop::Left),
                asked => asked?,
            };
            if counts[0] < log.count || counts[1] < journal.count {
                return Err(Stop::Wrong("the server shows less than it did".to_owned()));
            }
            self.take(wire, certificates, records)?;
            let now = self.ends(device(FOUNDER));
            if now[0].count >= counts[0] && now[1].count >= counts[1] {
                self.step()?;
                self.memory.verified.raise_floor(known);
                self.disk.verified = Some(codec::encode(&self.memory.verified));
                return Ok(());
            }
        }
    }

    /// `reading::take`, with `items::verify`.
    pub fn take(
        &mut self,
        wire: &mut Wire<'_>,
        certificates: Vec<Vec<u8>>,
        records: Vec<Vec<u8>>,
    ) -> Result<(), Stop> {
        if certificates.is_empty() && records.is_empty() {
            return Ok(());
        }
        let certificate = |bytes: &Vec<u8>| Certificate::decode(bytes).unwrap().payload().unwrap();
        let record = |bytes: &Vec<u8>| Record::decode(bytes).unwrap().payload().unwrap();
        let seen = certificates.iter().map(|bytes| certificate(bytes).seen.count);
        let seen = seen.chain(records.iter().map(|bytes| record(bytes).seen.count)).max().unwrap_or(0);
        if seen > self.known {
            self.sync(wire)?;
        }
        let members = self.log(wire.org);
        let mut after: VerifiedSafe = self.memory.verified.clone();
        let (mut taken, mut kept) = (Vec::new(), Vec::new());
        let mut certificates = certificates.into_iter().peekable();
        let mut records = records.into_iter().peekable();
        loop {
            let (log, journal) = after.present().map_or((0, 0), |now| (now.log.count, now.journal.count));
            if let Some(bytes) = certificates.next_if(|bytes| certificate(bytes).place.count <= journal) {
                after.push_certificate(&bytes, &*members).map_err(|why| {
                    Stop::Wrong(format!("device {} refuses a certificate: {why}", self.number))
                })?;
                taken.push(bytes);
            } else if let Some(bytes) = records.next_if(|bytes| record(bytes).log.count <= log) {
                let judged = after
                    .push_record(&bytes, &*members)
                    .map_err(|why| Stop::Wrong(format!("device {} refuses a record: {why}", self.number)))?;
                let by = judged.effects().by;
                kept.push(Kept { author: by.user, role: by.role, envelope: bytes });
            } else {
                break;
            }
        }
        self.step()?;
        self.disk.certificates.extend(taken);
        self.disk.records.extend(kept);
        self.disk.verified = Some(codec::encode(&after));
        self.disk.founding = None;
        self.memory.verified = after;
        Ok(())
    }

    /// `folding::fold_stored`. There is no void record among honest devices.
    pub fn fold_stored(&self, state: &mut State, to: u64) -> Result<Found, Stop> {
        let mut found = Found::default();
        while state.seq() < to {
            let stored = &self.disk.records[usize::try_from(state.seq()).unwrap()];
            let payload = Record::decode(&stored.envelope).unwrap().payload().unwrap();
            if self.memory.keys.at(payload.epoch).is_none() {
                found.stopped = true;
                break;
            }
            fold_one(&self.memory.keys, state, stored, &payload, &mut found.known)?;
        }
        Ok(found)
    }

    /// `folding::rebased`: what was kept beside a change goes with its group.
    fn rebased(&self, new: &State, known: &BTreeSet<OperationId>) -> Result<Vec<Queued>, Stop> {
        let queue: Vec<Pending> = self.memory.queue.iter().map(|queued| queued.pending.clone()).collect();
        let label = format!("D{}", self.number);
        let naming = Naming { label: &label, moment: "14.03", stamp: self.stamp() };
        let none = BTreeSet::new();
        let known = if self.weakness == Weakness::OwnForgotten { &none } else { known };
        let rebased = rebase(&self.memory.base, new, &queue, known, &naming);
        if let Some((pending, why)) = rebased.aside.first() {
            return Err(Stop::Wrong(format!("a rebase has no place: {why}: {pending:?}")));
        }
        let mut beside: BTreeMap<OperationId, Vec<ObjectId>> = BTreeMap::new();
        for queued in &self.memory.queue {
            beside.entry(queued.pending.group).or_default().extend(queued.adds.iter().copied());
        }
        let copies = |pending: &Pending| match &pending.change {
            Change::Add { conflict_of, .. } | Change::Move { conflict_of, .. } => conflict_of.is_some(),
            _ => false,
        };
        let drops = |pending: &Pending| self.weakness == Weakness::LoserDropped && copies(pending);
        let mut queue = Vec::new();
        for pending in rebased.queue.into_iter().filter(|pending| !drops(pending)) {
            let adds = beside.get_mut(&pending.group).map(std::mem::take).unwrap_or_default();
            queue.push(Queued { pending, adds });
        }
        Ok(queue)
    }

    /// `folding::fold_up`: the tree and the queue on it change in one commit.
    pub fn fold_up(&mut self) -> Result<(), Stop> {
        let to = self.memory.verified.present().map_or(0, |now| now.journal.count);
        let mut state = self.memory.base.clone();
        let before = state.seq();
        let found = self.fold_stored(&mut state, to)?;
        if state.seq() != before {
            let queue = self.rebased(&state, &found.known)?;
            let delta = self.over(&state, &queue)?;
            self.step()?;
            self.disk.folded = state.seq();
            self.disk.posting = None;
            if before / KEEP_RECORDS != state.seq() / KEEP_RECORDS {
                self.disk.state = Some((state.seq(), codec::encode(&state)));
            }
            if self.weakness == Weakness::TwoCommits {
                self.step()?;
            }
            self.disk.queue = Self::encoded(&queue);
            self.memory.base = state;
            self.memory.queue = queue;
            self.memory.delta = delta;
        }
        if found.stopped { Err(Stop::KeyMissing) } else { Ok(()) }
    }

    /// `committing::may_write`, and the role\* that `role_here` finds.
    fn may_write(&self, wire: &Wire<'_>) -> Result<Role, Stop> {
        let present = self.memory.verified.present().ok_or(Stop::Away)?;
        if !matches!(present.state, Condition::Open) {
            return Err(Stop::RoleTooLow);
        }
        let log = self.log(wire.org);
        let at = sure(log.user_at(&self.user(), log.count()));
        let role = self.memory.verified.role(&self.user()).filter(|role| role.writes());
        role.zip(at).and_then(|(role, at)| role.at(&at)).ok_or(Stop::RoleTooLow)
    }

    /// `committing::post`.
    fn post(&mut self, wire: &mut Wire<'_>) -> Result<Tried, Stop> {
        if self.memory.queue.is_empty() {
            return Ok(Tried::Nothing);
        }
        let role = self.may_write(wire)?;
        let end = self.memory.verified.present().map_or(0, |now| now.journal.count);
        if self.memory.base.seq() < end {
            return Ok(Tried::MovedOn);
        }
        let log = self.log(wire.org);
        let due = self.memory.verified.is_due(&*log, log.count());
        if due && self.weakness != Weakness::PostsWhileDue {
            return Ok(Tried::Due);
        }
        self.drop_owners(role)?;
        if self.memory.queue.is_empty() {
            return Ok(Tried::Nothing);
        }
        if self.weakness != Weakness::OldObjects {
            self.seal_anew()?;
        }
        let groups = wire.rng.of(&[1, 2, 100]).unwrap();
        let (envelope, adds) = self.made(wire, role, groups)?;
        self.step()?;
        self.disk.posting = Some(envelope.clone());
        self.upload(wire, &adds)?;
        if self.weakness == Weakness::ClearedBefore {
            self.step()?;
            self.disk.queue.clear();
        }
        wire.race()?;
        let by = self.id();
        match self.ask(wire, |server, log| server.post(log, &by, &envelope)) {
            Ok(Answer::Accepted) => {
                self.take(wire, Vec::new(), vec![envelope])?;
                Ok(Tried::Accepted)
            }
            Ok(Answer::MovedOn { log, records }) => {
                let known = self.memory.verified.present().map_or(0, |now| now.log.count);
                if log == known && !records.is_empty() {
                    self.take(wire, Vec::new(), records)?;
                } else {
                    self.read(wire)?;
                }
                Ok(Tried::MovedOn)
            }
            Err(Stop::Refused(ErrorCode::Behind | ErrorCode::RekeyNeeded)) => {
                self.sync(wire)?;
                self.read(wire)?;
                Ok(Tried::MovedOn)
            }
            Err(Stop::Away) if self.weakness == Weakness::SilenceIsNo => {
                self.disk.queue.clear();
                self.memory.queue.clear();
                Err(Stop::Away)
            }
            Err(Stop::Refused(ErrorCode::ObjectMissing)) => {
                for object in &adds {
                    let missing = !wire.server.objects.contains_key(object);
                    if let Some(staged) = self.disk.objects.get_mut(object).filter(|_| missing) {
                        staged.uploaded = false;
                    }
                }
                Err(Stop::Away)
            }
            Err(stop) => Err(stop),
        }
    }

    /// `committing::made`: folded and judged here before anything goes out.
    fn made(&mut self, wire: &Wire<'_>, role: Role, groups: usize) -> Result<(Vec<u8>, Vec<ObjectId>), Stop> {
        let members = self.log(wire.org);
        let present = *self.memory.verified.present().unwrap();
        let root = self.memory.base.state_root();
        let (mut changes, mut adds) = (Vec::new(), Vec::new());
        let all = self.memory.queue.chunk_by(|one, next| one.pending.group == next.pending.group);
        for queued in all.take(groups).flatten() {
            changes.push(queued.pending.change.clone());
            adds.extend(queued.adds.iter().copied().filter(|object| !self.memory.base.has_object(*object)));
        }
        let payload = Payload {
            organisation: organisation(),
            safe: safe_id(),
            seq: present.journal.count + 1,
            previous: present.journal.hash,
            epoch: present.key.epoch,
            seen: members.head(),
            log: present.log,
            author: self.id(),
            time: Timestamp(BEGINNING),
            adds,
            drops: Vec::new(),
            keeps: Vec::new(),
            nonce: [0; RECORD_NONCE_BYTES].into(),
            ciphertext: Vec::new().into(),
        };
        let inside = Inside { rules: RULES_VERSION, root, changes };
        let outer = Outer::of(&payload, self.user(), role);
        would_fold(&self.memory.base, &inside, &outer)
            .map_err(|why| Stop::Wrong(format!("device {} would write a void record: {why}", self.number)))?;
        let adds = payload.adds.clone();
        let key = self.memory.keys.at(present.key.epoch).ok_or(Stop::KeyMissing)?;
        let signer = signing_key(self.number);
        let envelope = seal_record(&key, payload, &inside, &signer, &mut self.entropy).unwrap();
        let judged = self.memory.verified.judge_record(&envelope, &*members).map(|_| ());
        if self.weakness != Weakness::PostsWhileDue {
            judged.map_err(|why| match why {
                NotTaken::Fault(Fault::Suspended | Fault::AuthorRevoked) => Stop::RoleTooLow,
                _ => Stop::Wrong(format!("device {} refuses its own: {why}", self.number)),
            })?;
        }
        Ok((envelope, adds))
    }
}

/// Folds one record (`folding::one`).
pub fn fold_one(
    keys: &parsec_protocol::safes::keys::SafeKeys,
    state: &mut State,
    stored: &Kept,
    payload: &Payload,
    known: &mut BTreeSet<OperationId>,
) -> Result<(), Stop> {
    let inside = open_record(keys, payload)
        .map_err(|why| Stop::Wrong(format!("record {} does not open: {why}", payload.seq)))?;
    if inside.root != state.state_root() {
        return Err(Stop::Wrong(format!("the tree before record {} was another one", payload.seq)));
    }
    let outer = Outer::of(payload, stored.author, stored.role);
    fold(state, &inside, &outer)
        .map_err(|why| Stop::Wrong(format!("record {} is void: {why}", payload.seq)))?;
    known.extend(inside.changes.iter().map(Change::operation));
    Ok(())
}
