//! The safes of an unlocked device, in memory: what was verified and folded of each, its keys, and
//! what waits to be shared.
//!
//! Decides nothing about what is in them: `safes` does, above. They are dropped with the session,
//! so that locking takes keys, names and trees out of the memory. Refuses to be changed by two at a
//! time: one task writes the logs, and whoever adds to a queue holds it for that moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parsec_protocol::control::Problem;
use parsec_protocol::ids::{DeviceId, ObjectId, OperationId, OrganisationId, SafeId, Timestamp, UserId};
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safe_log::safe::VerifiedSafe;
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::rebase::Pending;
use parsec_protocol::safes::scratch::Delta;
use parsec_protocol::safes::state::State;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::glances::Glances;
use super::keeping::{Bringing, Keeping};
use super::removed::RecentlyRemoved;
use super::safe_repairs::Repairs;
use super::sending::Sending;
use crate::store::Standing;

/// A change that was saved and is not shared yet.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Queued {
    /// The change, with what a rebase needs of it.
    #[n(0)]
    pub pending: Pending,
    /// When it was saved, by this machine's clock.
    #[n(1)]
    pub saved: Timestamp,
    /// Objects that were sealed for it, and that no accepted record has added.
    #[n(2)]
    pub adds: Vec<ObjectId>,
    /// What the brake on removals says of it; absent where it says nothing.
    #[n(3)]
    pub brake: Option<Brake>,
}

/// What the brake on removals says of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(index_only)]
pub enum Brake {
    /// It waits until a person has decided, whatever time passes.
    #[n(0)]
    Waits,
    /// A person has let it go.
    #[n(1)]
    Released,
}

/// A tree that is the word of those who vouched for a snapshot, until the fold has come up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// The record that the snapshot stands in.
    pub seq: u64,
    /// Records that were folded behind the work, from the first on.
    pub folded: u64,
}

/// A round that met something which does not pass by itself.
#[derive(Debug, Clone, Copy)]
pub struct Stuck {
    /// When that round began.
    pub begun: Instant,
    /// The group that waited last then: it goes nowhere, and nothing before it.
    pub newest: Option<OperationId>,
}

/// What is known of a safe.
#[derive(Debug)]
pub struct Memory {
    /// How this device stands to it.
    pub standing: Standing,
    /// Whether the server has it.
    pub founded: bool,
    /// The user's role by the manifest or the server's list, until the safe's own log says it.
    pub said: Option<Role>,
    /// Its two logs, as far as they were verified.
    pub verified: VerifiedSafe,
    /// Its keys, each right by the log.
    pub keys: SafeKeys,
    /// The tree that accepted records made, as far as they were folded.
    pub base: State,
    /// What the queue makes of it.
    pub delta: Delta,
    /// What was saved and is not shared, oldest first.
    pub queue: Vec<Queued>,
    /// Operations of the queue that are not put together with others: a record with them may be on
    /// its way, or a program waits until they are shared.
    pub fixed: BTreeSet<OperationId>,
    /// Until when no record is made: a program is at a save of several steps.
    pub quiet_until: Option<Instant>,
    /// Acts of it whose contents this disk has lost, as far as that was noticed since the device
    /// was unlocked; with the object of each that could not be read.
    pub unreadable: BTreeMap<OperationId, ObjectId>,
    /// When that was looked at last; nothing where it is to be looked at with the next round.
    pub unreadable_looked: Option<Instant>,
    /// What accepted records of this device have removed of late.
    pub removed: RecentlyRemoved,
    /// What the server lacks of it, and how often it was given back.
    pub repairs: Repairs,
    /// Whether the tree has to be folded anew from its beginning: a key was declared lost, or the
    /// snapshot that it was started from does not hold.
    pub refold: bool,
    /// Where the tree was started from a snapshot, and how far the journal was folded behind that.
    pub started: Option<Started>,
    /// Who last gave the device's user a role, or took it away, since the device was unlocked.
    pub gave_role: Option<(UserId, Option<Role>)>,
    /// Whether somebody took the safe over, and it was not told yet.
    pub taken_over: bool,
    /// What keeps it from going on.
    pub problem: Option<Problem>,
    /// What that keeps here, where nothing but a person, or room at the server, can help.
    pub stuck: Option<Stuck>,
    /// When the server last said where its logs end.
    pub heard: Option<Timestamp>,
    /// When its task began the last time that it came to an end: with all that the server had then.
    pub looked: Option<Instant>,
}

impl Memory {
    /// A safe of which nothing is known yet.
    #[must_use]
    pub fn new(organisation: OrganisationId, safe: SafeId, standing: Standing) -> Self {
        Self {
            standing,
            founded: true,
            said: None,
            verified: VerifiedSafe::empty(organisation.clone(), safe),
            keys: SafeKeys::new(organisation, safe),
            base: State::new(safe),
            delta: Delta::default(),
            queue: Vec::new(),
            fixed: BTreeSet::new(),
            quiet_until: None,
            removed: RecentlyRemoved::default(),
            unreadable: BTreeMap::new(),
            unreadable_looked: None,
            repairs: Repairs::default(),
            refold: false,
            started: None,
            gave_role: None,
            taken_over: false,
            problem: None,
            stuck: None,
            heard: None,
            looked: None,
        }
    }
}

/// A safe of an unlocked device.
#[derive(Debug)]
pub struct OpenSafe {
    /// Id of the safe.
    pub id: SafeId,
    /// The organisation of the device that has it.
    pub organisation: OrganisationId,
    /// The device that founded it.
    pub founder: DeviceId,
    memory: Arc<tokio::sync::Mutex<Memory>>,
    /// Held by whoever reads or writes its logs: its task, or a call that signs a certificate.
    pub turn: tokio::sync::Mutex<()>,
    /// There is something to be read or written.
    pub wanted: Notify,
    /// Its objects on their way to the server.
    pub sending: Sending,
    /// What of it is wanted here in any case.
    pub keeping: Keeping,
    /// How much of its files was here when file managers asked last.
    pub glances: Glances,
    /// Counts what was read, written or tried, for those who wait for something.
    progress: watch::Sender<u64>,
}

/// What is known of a safe, held for a moment.
pub type MemoryGuard = tokio::sync::OwnedMutexGuard<Memory>;

impl OpenSafe {
    /// A safe that was just read from the store.
    #[must_use]
    pub fn new(id: SafeId, organisation: OrganisationId, founder: DeviceId, memory: Memory) -> Self {
        Self {
            keeping: Keeping::default(),
            glances: Glances::default(),
            id,
            organisation,
            founder,
            memory: Arc::new(tokio::sync::Mutex::new(memory)),
            turn: tokio::sync::Mutex::default(),
            wanted: Notify::new(),
            sending: Sending::default(),
            progress: watch::Sender::new(0),
        }
    }

    /// What is known of it. Never held over a call to the server.
    pub async fn memory(&self) -> MemoryGuard {
        Arc::clone(&self.memory).lock_owned().await
    }

    /// Tells those who wait that something was read, written or tried.
    pub fn went_on(&self) {
        self.progress.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Hears that something was read, written or tried.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<u64> {
        self.progress.subscribe()
    }
}

/// A safe as it was: what listing and reading of it go by, which one after the other ask for the
/// same tree.
#[derive(Debug)]
pub struct Past {
    /// The safe that it is of.
    pub safe: SafeId,
    /// Seq of its last record.
    pub seq: u64,
    /// The date of that record, as its author says.
    pub time: Timestamp,
    /// How many keys were declared lost when it was folded: with another one, records of that key
    /// are void.
    pub lost_keys: usize,
    /// The tree that the records up to there make.
    pub tree: State,
}

/// All safes that were opened since the device was unlocked.
#[derive(Debug, Default)]
pub struct OpenSafes {
    all: Mutex<BTreeMap<SafeId, Arc<OpenSafe>>>,
    /// One is read from the store at a time, so that none is there twice.
    pub opening: tokio::sync::Mutex<()>,
    /// There may be others than before.
    pub changed: Notify,
    /// Turns of those who fetch what is pinned.
    pub bringing: Bringing,
    /// Held by whoever decides which offers are kept. Nobody who holds it waits for a safe's turn:
    /// others have a turn and wait for this.
    pub offers: tokio::sync::Mutex<()>,
    /// Offers that are neither shown nor kept, each with the member whose it is, where that is
    /// known: a member has as many open as one may have.
    beyond: Mutex<BTreeMap<SafeId, Option<UserId>>>,
    /// What was asked for last of the past of any: one at most, since each may be as large as the
    /// safe's present tree.
    past: Mutex<Option<Arc<Past>>>,
}

impl OpenSafes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SafeId, Arc<OpenSafe>>> {
        // Every change is one step, so a poisoned lock still guards a sound map.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers that are neither shown nor kept, as the server named them last.
    #[must_use]
    pub fn beyond(&self) -> BTreeMap<SafeId, Option<UserId>> {
        self.beyond.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// These are neither shown nor kept from now on.
    pub fn set_beyond(&self, beyond: BTreeMap<SafeId, Option<UserId>>) {
        *self.beyond.lock().unwrap_or_else(PoisonError::into_inner) = beyond;
    }

    /// The past that was asked for last.
    #[must_use]
    pub fn past(&self) -> Option<Arc<Past>> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// This past was asked for last.
    pub fn set_past(&self, past: &Arc<Past>) {
        *self.past.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(past));
    }

    /// One that is open.
    #[must_use]
    pub fn get(&self, safe: SafeId) -> Option<Arc<OpenSafe>> {
        self.lock().get(&safe).cloned()
    }

    /// All that are open, ascending by id.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<OpenSafe>> {
        self.lock().values().cloned().collect()
    }

    /// This one is there no more.
    pub fn remove(&self, safe: SafeId) {
        self.lock().remove(&safe);
    }

    /// This one is open from now on.
    pub fn insert(&self, safe: &Arc<OpenSafe>) {
        self.lock().insert(safe.id, Arc::clone(safe));
    }
}
