//! A device of a run: what its store holds, what is in memory, and how they come together.
//!
//! Mirrors `daemon/src/store/safes` and `safes::loading::remembered`: one [`Device::step`] stands
//! before each commit of the store and before each call, and there the device may be killed. What
//! is in memory is gone then, and what is on the disk is as the last commit left it.

use std::collections::BTreeMap;
use std::rc::Rc;

use minicbor::{Decode, Encode};
use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::codec;
use parsec_protocol::ids::{DeviceId, ObjectId, Timestamp, UserId};
use parsec_protocol::keys::SafeKey;
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::relay::ErrorCode;
use parsec_protocol::safe_log::certificate::{first_journal_head, first_log_head};
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safe_log::safe::VerifiedSafe;
use parsec_protocol::safes::fold::{Stamp, apply};
use parsec_protocol::safes::keys::{EpochKey, SafeKeys};
use parsec_protocol::safes::rebase::Pending;
use parsec_protocol::safes::scratch::{Delta, Over, Scratch};
use parsec_protocol::safes::state::State;
use parsec_protocol::safes::tree::PENDING_SEQ;

use crate::people::{Organisation, Rng};
use crate::safes::safe_id;
use crate::server::Server;
use crate::support::{BEGINNING, Seed, device, organisation, user};

/// Largest encoding that is read back: a run is small.
const MAX_BYTES: usize = 1 << 22;
/// Times that a call is made whose answers are lost: then nobody waits any more.
const TRIES: u32 = 3;

/// A change that was saved and is not shared (`session::open_safes::Queued`).
#[derive(Debug, Clone, Encode, Decode)]
pub struct Queued {
    #[n(0)]
    pub pending: Pending,
    #[n(1)]
    pub adds: Vec<ObjectId>,
}

/// A sealed object that waits.
#[derive(Clone)]
pub struct Staged {
    pub hash: ObjectHash,
    pub sealed: Vec<u8>,
    pub uploaded: bool,
}

/// A record as it was signed, with its author's user and role.
#[derive(Clone)]
pub struct Kept {
    pub author: UserId,
    pub role: Role,
    pub envelope: Vec<u8>,
}

/// What founds the safe, as it goes out.
#[derive(Clone)]
pub struct Founding {
    pub certificate: Vec<u8>,
    pub ring: Vec<u8>,
    pub parts: Vec<Vec<u8>>,
}

/// What is durable.
#[derive(Default)]
pub struct Disk {
    pub founding: Option<Founding>,
    pub verified: Option<Vec<u8>>,
    pub certificates: Vec<Vec<u8>>,
    pub records: Vec<Kept>,
    pub state: Option<(u64, Vec<u8>)>,
    pub folded: u64,
    pub posting: Option<Vec<u8>>,
    pub queue: Vec<Vec<u8>>,
    pub keys: BTreeMap<u64, SafeKey>,
    pub objects: BTreeMap<ObjectId, Staged>,
}

/// What is in memory.
pub struct Memory {
    pub verified: VerifiedSafe,
    pub keys: SafeKeys,
    pub base: State,
    pub delta: Delta,
    pub queue: Vec<Queued>,
    /// Members who were given a box since the device was unlocked.
    pub given: std::collections::BTreeSet<(u64, UserId)>,
}

/// What is broken in a device on purpose, so that a check can be seen to notice it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    None,
    /// A rebase drops the copy of whoever came second.
    LoserDropped,
    /// What goes out leaves the queue before the server has said yes.
    ClearedBefore,
    /// No answer is taken for a no.
    SilenceIsNo,
    /// A record goes out while another key is due, and the server takes it.
    PostsWhileDue,
    /// Objects that wait keep their old key.
    OldObjects,
    /// What waits is sealed anew change by change.
    EachAlone,
    /// The tree and the queue on it are two commits.
    TwoCommits,
    /// A ring is made without what opens the earlier keys.
    NoPast,
    /// The operations that came back are not known again.
    OwnForgotten,
}

/// Why a device does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// It was killed.
    Killed,
    /// The server can't be reached.
    Away,
    /// The server refused it.
    Refused(ErrorCode),
    /// The user may not write, or not any more.
    RoleTooLow,
    /// A key is missing that others have to give.
    KeyMissing,
    /// The user is in the safe no more.
    Left,
    /// What must not be.
    Wrong(String),
}

/// What a device reaches of the world.
pub struct Wire<'a> {
    pub server: &'a mut Server,
    pub org: &'a mut Organisation,
    pub rng: &'a mut Rng,
    /// The other devices: one of them may be faster.
    pub others: &'a mut [Option<Device>],
    /// Requests and answers get lost, or come twice.
    pub lossy: bool,
    /// What is due is done now, whoever's turn it would be.
    pub eager: bool,
    pub online: bool,
}

/// A device of a person.
pub struct Device {
    pub number: u64,
    pub owner: u64,
    pub disk: Disk,
    pub memory: Memory,
    /// Certificates of the organisation's log that were verified here; durable.
    pub known: u64,
    pub online: bool,
    /// Steps until it is killed.
    pub killed_in: Option<u32>,
    pub weakness: Weakness,
    pub entropy: Seed,
    /// What kept it from going on when it was last at it.
    pub problem: Option<Stop>,
}

impl Device {
    pub fn new(number: u64, owner: u64, known: u64, (weakness, seed): (Weakness, u64)) -> Self {
        Self {
            number,
            owner,
            disk: Disk::default(),
            memory: Memory {
                verified: VerifiedSafe::empty(organisation(), safe_id()),
                keys: SafeKeys::new(organisation(), safe_id()),
                base: State::new(safe_id()),
                delta: Delta::default(),
                queue: Vec::new(),
                given: std::collections::BTreeSet::new(),
            },
            known,
            online: true,
            killed_in: None,
            weakness,
            entropy: Seed(seed.wrapping_mul(1_000_003).wrapping_add(number) << 20),
            problem: None,
        }
    }

    pub fn id(&self) -> DeviceId {
        device(self.number)
    }

    pub fn user(&self) -> UserId {
        user(self.owner)
    }

    pub fn log(&self, org: &Organisation) -> Rc<VerifiedLog> {
        org.at(self.known)
    }

    pub fn stamp(&self) -> Stamp {
        Stamp { seq: PENDING_SEQ, user: self.user(), device: self.id(), time: Timestamp(BEGINNING) }
    }

    /// Before a commit or a call: here it may be killed.
    pub fn step(&mut self) -> Result<(), Stop> {
        match &mut self.killed_in {
            Some(0) => Err(Stop::Killed),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A call of the server (`transport::retry::answered`): again as long as nothing comes back.
    pub fn ask<T>(
        &mut self,
        wire: &mut Wire<'_>,
        mut call: impl FnMut(&mut Server, &VerifiedLog) -> Result<T, ErrorCode>,
    ) -> Result<T, Stop> {
        self.step()?;
        if !wire.online {
            return Err(Stop::Away);
        }
        for _ in 0..TRIES {
            match if wire.lossy { wire.rng.below(10) } else { 9 } {
                0 => {}
                1 => {
                    let _ = call(wire.server, wire.org.log());
                }
                2 => {
                    let _ = call(wire.server, wire.org.log());
                    return call(wire.server, wire.org.log()).map_err(Stop::Refused);
                }
                _ => return call(wire.server, wire.org.log()).map_err(Stop::Refused),
            }
        }
        Err(Stop::Away)
    }

    /// Where the two logs end here (`reading::ends`); of the founder, before the first certificate.
    pub fn ends(&self, founder: DeviceId) -> [Head; 2] {
        let safe = safe_id();
        match self.memory.verified.present() {
            Some(now) => [now.log, now.journal],
            None => [
                first_log_head(&organisation(), &safe, &founder),
                first_journal_head(&organisation(), &safe, &founder),
            ],
        }
    }

    /// The tree as its person sees it.
    pub fn view(&self) -> Over<'_> {
        Over::new(&self.memory.base, &self.memory.delta)
    }

    /// What a queue makes of a tree (`overlay::of`). A change that does not fit is a fault here.
    pub fn over(&self, base: &State, queue: &[Queued]) -> Result<Delta, Stop> {
        let mut scratch = Scratch::new(base);
        for queued in queue {
            let change = &queued.pending.change;
            if let Err(why) = apply(&mut scratch, change, &self.stamp()) {
                return Err(Stop::Wrong(format!("a change that waits does not fit: {why}: {change:?}")));
            }
        }
        Ok(scratch.into_delta())
    }

    /// `keys::take_stored`.
    pub fn take_stored_keys(disk: &Disk, memory: &mut Memory) {
        for (epoch, key) in &disk.keys {
            if memory.keys.at(*epoch).is_some() {
                continue;
            }
            let key = SafeKey::from_slice(key.expose()).unwrap();
            let check = match memory.verified.epoch(*epoch) {
                Some(record) => record.key.key_check,
                None if disk.founding.is_some() => {
                    EpochKey::new(&organisation(), &safe_id(), *epoch, &key).check()
                }
                None => continue,
            };
            let _ = memory.keys.insert(*epoch, key, &check);
        }
    }

    /// It starts again: everything in memory comes from the disk (`loading::remembered`).
    pub fn restart(&mut self) -> Result<(), Stop> {
        self.killed_in = None;
        let verified = match &self.disk.verified {
            Some(bytes) => codec::decode(bytes, MAX_BYTES).unwrap(),
            None => VerifiedSafe::empty(organisation(), safe_id()),
        };
        let queue: Vec<Queued> =
            self.disk.queue.iter().map(|bytes| codec::decode(bytes, MAX_BYTES).unwrap()).collect();
        let named: Vec<ObjectId> = queue.iter().flat_map(|queued| queued.adds.iter().copied()).collect();
        self.disk.objects.retain(|object, _| named.contains(object));
        let mut memory = Memory {
            verified,
            keys: SafeKeys::new(organisation(), safe_id()),
            base: State::new(safe_id()),
            delta: Delta::default(),
            queue,
            given: std::collections::BTreeSet::new(),
        };
        Self::take_stored_keys(&self.disk, &mut memory);
        self.memory = memory;
        let kept = self.disk.state.as_ref().filter(|(seq, _)| *seq <= self.disk.folded);
        let mut state =
            kept.map_or_else(|| State::new(safe_id()), |(_, bytes)| codec::decode(bytes, MAX_BYTES).unwrap());
        let folded = self.fold_stored(&mut state, self.disk.folded)?;
        if folded.stopped {
            return Err(Stop::Wrong("a key of the store is gone".to_owned()));
        }
        self.memory.delta = self.over(&state, &self.memory.queue)?;
        self.memory.base = state;
        Ok(())
    }

    /// What waits, as the store keeps it.
    pub fn encoded(queue: &[Queued]) -> Vec<Vec<u8>> {
        queue.iter().map(codec::encode).collect()
    }
}

impl Wire<'_> {
    /// Something happens just before a call: another device is faster, or a member is revoked.
    pub fn race(&mut self) -> Result<(), Stop> {
        if !self.lossy {
            return Ok(());
        }
        if self.rng.percent(3) {
            self.org.event(self.rng);
        }
        if !self.rng.percent(25) || self.others.is_empty() {
            return Ok(());
        }
        let at = self.rng.below(self.others.len());
        let Some(mut other) = self.others.get_mut(at).and_then(Option::take) else { return Ok(()) };
        let done = if other.online {
            let mut wire = Wire {
                server: self.server,
                org: self.org,
                rng: self.rng,
                others: &mut [],
                lossy: false,
                eager: false,
                online: true,
            };
            other.go(&mut wire)
        } else {
            Ok(())
        };
        self.others[at] = Some(other);
        done
    }
}
