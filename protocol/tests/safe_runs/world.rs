//! One run, by its seed: people, devices, a server, and what happens to them.
//!
//! Decides nothing but the order of events; the same seed is the same run.

use std::collections::{BTreeMap, BTreeSet};

use parsec_protocol::ids::EntryId;
use parsec_protocol::safe_log::certificate::Change as RoleChange;
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safe_log::safe::VerifiedSafe;
use parsec_protocol::safes::change::{Change, Kind};
use parsec_protocol::safes::tree::Tree as _;

use crate::acts::Acted;
use crate::device::{Device, Stop, Weakness, Wire};
use crate::keys::Wish;
use crate::people::{Organisation, Rng};
use crate::rounds::FOUNDER;
use crate::safes::safe_id;
use crate::server::Server;
use crate::support::{organisation, user};

/// Turns of all devices after which a whole network must have come to rest.
const REST_MAX: u32 = 60;
/// Devices of a run.
const DEVICES_MAX: usize = 5;

/// How often something happened, by name.
pub type Counts = BTreeMap<&'static str, u64>;

pub struct SafeRun {
    pub org: Organisation,
    pub server: Server,
    pub devices: Vec<Option<Device>>,
    /// Words that somebody was told to be saved, and on which device.
    pub saved: BTreeMap<String, u64>,
    /// Words that somebody copied.
    pub copied: BTreeSet<String>,
    /// Files that somebody renamed one over the other.
    pub renamed: BTreeSet<EntryId>,
    pub counts: Counts,
    rng: Rng,
    weakness: Weakness,
    seed: u64,
}

/// Who takes part: three devices of two or three people.
const CASTS: [&[(u64, &[u64])]; 3] =
    [&[(1, &[1]), (2, &[2]), (3, &[3])], &[(1, &[1, 11]), (2, &[2])], &[(1, &[1]), (2, &[2, 12]), (3, &[])]];

impl SafeRun {
    pub fn new(seed: u64, weakness: Weakness) -> Self {
        let mut rng = Rng(seed);
        let cast = CASTS[rng.below(CASTS.len())];
        let org = Organisation::of(cast);
        let known = org.count();
        let devices = cast
            .iter()
            .flat_map(|(owner, devices)| devices.iter().map(move |number| (*number, *owner)))
            .map(|(number, owner)| Some(Device::new(number, owner, known, (weakness, seed))))
            .collect();
        let mut server = Server::new(VerifiedSafe::empty(organisation(), safe_id()));
        server.takes_due = weakness == Weakness::PostsWhileDue;
        Self {
            org,
            server,
            devices,
            saved: BTreeMap::new(),
            copied: BTreeSet::new(),
            renamed: BTreeSet::new(),
            counts: Counts::new(),
            rng,
            weakness,
            seed,
        }
    }

    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Something that one device does on the wire.
    pub fn with<T>(
        &mut self,
        at: usize,
        (lossy, eager): (bool, bool),
        work: impl FnOnce(&mut Device, &mut Wire<'_>) -> T,
    ) -> T {
        let mut device = self.devices[at].take().unwrap();
        let mut wire = Wire {
            server: &mut self.server,
            org: &mut self.org,
            rng: &mut self.rng,
            others: &mut self.devices,
            lossy,
            eager,
            online: device.online,
        };
        let done = work(&mut device, &mut wire);
        self.devices[at] = Some(device);
        done
    }

    fn device(&self, at: usize) -> &Device {
        self.devices[at].as_ref().unwrap()
    }

    fn device_mut(&mut self, at: usize) -> &mut Device {
        self.devices[at].as_mut().unwrap()
    }

    /// All of it.
    pub fn run(mut self) -> (Counts, Result<(), String>) {
        let done = self.live();
        let done = done.and_then(|()| self.rest()).and_then(|()| self.check());
        self.counts.insert("records", self.server.records.len() as u64);
        self.counts.insert("certificates", self.server.certificates.len() as u64);
        self.counts.insert("saved contents", self.saved.len() as u64);
        (self.counts, done)
    }

    fn live(&mut self) -> Result<(), String> {
        let first = self.devices.iter().position(|it| it.as_ref().unwrap().number == FOUNDER).unwrap();
        let mut founder = self.devices[first].take().unwrap();
        founder.create(&self.org);
        founder.online = self.rng.percent(70);
        self.devices[first] = Some(founder);
        self.org.people.get_mut(&1).unwrap().accepted = true;
        // Most runs begin with a safe that all have; some with one that nobody has seen yet.
        if self.rng.percent(85) {
            self.begin().map_err(|stop| format!("{stop:?}"))?;
        }
        for _ in 0..30 + self.rng.below(50) {
            self.step().map_err(|stop| format!("{stop:?}"))?;
        }
        Ok(())
    }

    /// The founder shares the safe with the others, who take it.
    fn begin(&mut self) -> Result<(), Stop> {
        let first = self.devices.iter().position(|it| it.as_ref().unwrap().number == FOUNDER).unwrap();
        self.device_mut(first).online = true;
        self.go(first, (false, true))?;
        let others: Vec<u64> = self.org.people.keys().copied().filter(|number| *number != 1).collect();
        for other in others {
            let role = self.rng.of(&[Role::Owner, Role::Manager, Role::Contributor, Role::Contributor]);
            let change = RoleChange { user: user(other), role };
            self.with(first, (false, true), |device, wire| {
                device.certify(wire, |_, _| Some(Wish::Role(change)))
            })?;
        }
        self.offers();
        for at in 0..self.devices.len() {
            self.act(at)?;
            self.go(at, (false, true))?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Stop> {
        let at = self.rng.below(self.devices.len());
        if self.rng.percent(12) {
            let online = !self.device(at).online;
            self.device_mut(at).online = online;
        }
        if self.rng.percent(10) && self.device(at).killed_in.is_none() {
            let steps = u32::try_from(self.rng.below(14)).unwrap();
            self.device_mut(at).killed_in = Some(steps);
        }
        match self.rng.below(100) {
            0..=49 => self.act(at),
            50..=82 => {
                self.count("rounds");
                self.go(at, (true, false))
            }
            83..=90 => self.members(at),
            91..=95 => {
                if let Some(what) = self.org.event(&mut self.rng) {
                    self.count(what);
                }
                Ok(())
            }
            96 => {
                self.enrol();
                Ok(())
            }
            _ => {
                self.offers();
                Ok(())
            }
        }
    }

    fn go(&mut self, at: usize, how: (bool, bool)) -> Result<(), Stop> {
        let killed = self.device(at).killed_in.is_some();
        self.with(at, how, |device, wire| device.go(wire))?;
        if killed && self.device(at).killed_in.is_none() {
            self.count("killed");
        }
        Ok(())
    }

    fn act(&mut self, at: usize) -> Result<(), Stop> {
        if !self.org.people[&self.device(at).owner].accepted {
            return Ok(());
        }
        let words = format!("words {} of {}", self.saved.len(), self.counts.len());
        let words = format!("{words} {}", self.rng.below(1_000_000));
        let mut device = self.devices[at].take().unwrap();
        let done = device.act(&mut self.rng, &words);
        let number = device.number;
        let restarted = if done == Err(Stop::Killed) { device.restart() } else { Ok(()) };
        let copied = device.memory.queue.last().map(|queued| queued.pending.change.clone());
        self.devices[at] = Some(device);
        restarted?;
        match done {
            Ok(Acted::Saved(put)) => {
                self.count("saved");
                match put {
                    Some(words) => {
                        self.saved.insert(words, number);
                    }
                    None => self.note_copy(at, copied),
                }
                Ok(())
            }
            Ok(Acted::Refused) => Ok(()),
            Err(Stop::Killed) => {
                self.count("killed");
                Ok(())
            }
            Err(stop) => Err(stop),
        }
    }

    /// Whose words may stand in two files because somebody wanted it so: what was copied, renamed
    /// over another, or brought back.
    fn note_copy(&mut self, at: usize, change: Option<Change>) {
        if let Some(Change::Replace { target, source, .. }) = change {
            self.renamed.extend([target, source]);
        }
        let device = self.device(at);
        let view = device.view();
        let of = |id: EntryId| view.entry(id).and_then(|entry| entry.content().cloned());
        let contents: Vec<_> = match change {
            Some(Change::Add { kind: Kind::File(content), .. }) => vec![content],
            Some(Change::Restore { entry, .. }) => {
                view.below(entry).into_iter().chain([entry]).filter_map(of).collect()
            }
            _ => Vec::new(),
        };
        let words: Vec<_> = contents.iter().filter_map(|content| self.words_of(content)).collect();
        self.copied.extend(words);
    }

    /// Somebody lets somebody in or out, gives another role, or leaves.
    fn members(&mut self, at: usize) -> Result<(), Stop> {
        let device = self.device(at);
        let (owner, role) = (device.owner, device.memory.verified.role(&device.user()));
        if !device.online || !self.org.people[&owner].accepted || device.disk.founding.is_some() {
            return Ok(());
        }
        let Some(role) = role else { return Ok(()) };
        let numbers: Vec<u64> = self.org.people.keys().copied().collect();
        let other = self.rng.of(&numbers).unwrap();
        let to = if other == owner {
            if role == Role::Owner || !self.rng.percent(20) {
                return Ok(());
            }
            None
        } else if self.rng.percent(25) {
            None
        } else {
            self.rng
                .of(&[
                    Some(Role::Owner),
                    Some(Role::Manager),
                    Some(Role::Contributor),
                    Some(Role::Contributor),
                    Some(Role::Reader),
                ])
                .unwrap()
        };
        let change = RoleChange { user: user(other), role: to };
        let done = self.with(at, (true, false), |device, wire| {
            device.certify(wire, |verified, log| {
                let known = log.user(&change.user).is_some_and(|user| user.revoked.is_none());
                let news = verified.role(&change.user) != change.role;
                (known && news).then_some(Wish::Role(change))
            })
        });
        match done {
            Ok(()) => {
                self.count(if to.is_some() { "shared" } else { "removed" });
                Ok(())
            }
            Err(Stop::Killed) => {
                self.count("killed");
                self.device_mut(at).restart()
            }
            Err(Stop::Wrong(why)) => Err(Stop::Wrong(why)),
            Err(_) => Ok(()),
        }
    }

    /// Who is in the safe takes it; who is out has to be offered it again.
    fn offers(&mut self) {
        let numbers: Vec<u64> = self.org.people.keys().copied().collect();
        for number in numbers.into_iter().filter(|number| *number != 1) {
            let role = self.server.safe.role(&user(number));
            self.org.people.get_mut(&number).unwrap().accepted = role.is_some();
        }
    }

    fn enrol(&mut self) {
        if self.devices.len() >= DEVICES_MAX {
            return;
        }
        let numbers: Vec<u64> = self.org.people.keys().copied().collect();
        let owner = self.rng.of(&numbers).unwrap();
        if let Some(number) = self.org.enrol(owner) {
            let known = self.org.count();
            self.devices.push(Some(Device::new(number, owner, known, (self.weakness, self.seed))));
            self.count("enrolled");
        }
    }

    /// The network is whole, nobody is killed, nobody acts: all come to rest.
    pub fn rest(&mut self) -> Result<(), String> {
        for device in self.devices.iter_mut().flatten() {
            device.online = true;
            device.killed_in = None;
        }
        let mut before = None;
        for _ in 0..REST_MAX {
            let numbers: Vec<u64> = self.org.people.keys().copied().collect();
            for number in numbers {
                // By itself, as soon as one of the user's devices is there.
                if self.org.log().is_suspended(&user(number)) {
                    self.org.change_key(number);
                }
            }
            self.offers();
            for at in 0..self.devices.len() {
                if self.org.counts(&self.device(at).id()) {
                    let heard = self.with(at, (false, true), |device, wire| device.sync(wire));
                    heard.map_err(|stop| format!("{stop:?}"))?;
                    self.go(at, (false, true)).map_err(|stop| format!("{stop:?}"))?;
                }
            }
            let queues: Vec<usize> =
                self.devices.iter().flatten().map(|device| device.memory.queue.len()).collect();
            let folded: Vec<u64> = self.devices.iter().flatten().map(|device| device.disk.folded).collect();
            let keys: Vec<usize> =
                self.devices.iter().flatten().map(|device| device.disk.keys.len()).collect();
            let now = (
                self.org.count(),
                self.server.records.len(),
                self.server.certificates.len(),
                queues,
                folded,
                keys,
            );
            if before.as_ref() == Some(&now) {
                return Ok(());
            }
            before = Some(now);
        }
        Err("it does not come to rest".to_owned())
    }
}
