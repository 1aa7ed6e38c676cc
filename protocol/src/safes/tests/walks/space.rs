//! What stateright walks: devices, what they have posted, a server that orders honestly or gives
//! anybody anything, and an organisation that goes on meanwhile.
//!
//! Decides what can happen in a moment, and what must hold in each. Refuses a server that signs:
//! what nobody has signed it can't give.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use stateright::{Model, Property};

use super::account::Wrong;
use super::devices::{Act, Device, Devices, Person, Queue, content};
use super::forging::forged;
use super::histories::{Came, Histories, History, Item, Knows, Verdict};
use super::organisation::{Event, Organisation, user_of};
use super::weak::Weak;
use crate::safe_log::roles::Role;
use crate::safe_log::rules::Fault;

/// One walk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cast {
    pub(super) name: &'static str,
    /// Whose devices do what they should.
    pub(super) people: &'static [Person],
    /// Who is in the safe besides its owner; and whether they were given boxes, instead of a key of
    /// their own.
    pub(super) roles: &'static [(u64, Role)],
    pub(super) boxed: bool,
    /// What happens in the organisation, one behind the other.
    pub(super) events: &'static [Event],
    /// Devices that sign whatever helps them, and a server that is theirs; with none, the server is
    /// honest.
    pub(super) hostile: &'static [u64],
    /// Items behind the beginning that a reader is given at most, and how many of them are forged.
    pub(super) items: u8,
    pub(super) forged: u8,
    /// How often a device posts, at most.
    pub(super) posts: u8,
}

/// One moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// How much has happened in the organisation.
    happened: u8,
    /// Where an honest server is; a hostile one is anywhere.
    server: History,
    /// What was posted and may still come to something.
    posted: Vec<Item>,
    devices: Vec<Device>,
}

/// Something happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The organisation goes on.
    Happens,
    /// A person acts on files.
    Acts(usize),
    /// A device posts its queue.
    Posts(usize, Item),
    /// A device posts what its person wants, or what the safe needs.
    Certifies(usize, Item),
    /// What was posted reaches the server.
    Arrives(Item),
    /// The server's answer reaches the device.
    Answered(usize),
    /// The answer is lost: the device will see.
    Unanswered(usize),
    /// A device reads all that there is.
    Reads(usize),
    /// A device is shown the organisation's log so far.
    Syncs(usize, u8),
    /// A hostile server gives an item as the next one.
    Given(usize, Item),
    /// It says that there is no more.
    Ended(usize),
}

/// The machines of a walk, which remember what they did.
pub(super) struct Machines {
    devices: Devices,
    beginning: History,
    given: HashMap<(History, Knows, u8), Vec<Item>>,
    whole: HashMap<State, (bool, bool)>,
}

pub(super) struct Space {
    pub(super) cast: Cast,
    org: Arc<Organisation>,
    machines: Mutex<Machines>,
}

/// Rounds in which everybody reads and posts, until nothing is left to do: one more than any walk
/// here needs.
const ROUNDS: usize = 8;

impl Space {
    pub(super) fn new(cast: Cast, weak: Weak) -> Self {
        let org = Arc::new(Organisation::new(cast.events));
        let mut devices = Devices::new(Histories::new(Arc::clone(&org)), weak);
        let beginning = devices.founded(cast.roles, cast.boxed);
        let machines = Machines { devices, beginning, given: HashMap::new(), whole: HashMap::new() };
        Self { cast, org, machines: Mutex::new(machines) }
    }

    fn machines(&self) -> MutexGuard<'_, Machines> {
        self.machines.lock().unwrap()
    }

    /// What came about.
    pub(super) fn came(&self) -> Came {
        self.machines().devices.histories.came()
    }

    const fn is_hostile(&self) -> bool {
        !self.cast.hostile.is_empty()
    }

    fn person(&self, at: usize) -> &'static Person {
        &self.cast.people[at]
    }
}

impl State {
    fn post(&mut self, item: Item) {
        if let Err(at) = self.posted.binary_search(&item) {
            self.posted.insert(at, item);
        }
    }
}

impl Machines {
    /// What an honest server makes of an item that comes.
    fn arrives(&mut self, server: History, item: Item, happened: u8) -> Option<History> {
        let weak = self.devices.weak;
        let histories = &mut self.devices.histories;
        // Sent again: it is there.
        if histories.between(Histories::BEGINNING, server)?.contains(&item) {
            return Some(server);
        }
        if weak != Weak::Behind && histories.item(item).seen < histories.org.newest(happened) {
            return None;
        }
        match histories.judge(server, item, Knows { floor: 0, known: happened }, weak.server()) {
            Verdict::Taken(next) => Some(next),
            Verdict::Refused(_) | Verdict::BelowFloor => None,
        }
    }

    /// What has lost its race is forgotten: both ends only ever grow, so that what doesn't follow
    /// them now never will.
    fn forget(&mut self, state: &mut State) {
        let knows = Knows { floor: 0, known: state.happened };
        let (histories, weak) = (&mut self.devices.histories, self.devices.weak.server());
        state.posted.retain(|item| {
            let lost = [Fault::NotNext, Fault::OtherPlace].map(Verdict::Refused);
            let there = histories.item(*item).at;
            let after = histories.judge(state.server, *item, knows, weak);
            assert_eq!(lost.contains(&after), there != Some(state.server), "{after:?}");
            !lost.contains(&after)
        });
    }

    /// What a hostile server can give to a reader, besides what the others have posted.
    fn gives(&mut self, cast: &Cast, at: History, knows: Knows, happened: u8) -> Vec<Item> {
        if let Some(items) = self.given.get(&(at, knows, happened)) {
            return items.clone();
        }
        let weak = self.devices.weak.readers();
        let histories = &mut self.devices.histories;
        let path = histories.between(self.beginning, at).unwrap_or_default();
        let by_them = |item: &&Item| cast.hostile.contains(&histories.item(**item).device);
        let used = path.iter().filter(by_them).count();
        let mut items = Vec::new();
        if used < usize::from(cast.forged) {
            items = forged(histories, cast.hostile, at, happened);
            items.retain(|item| matches!(histories.judge(at, *item, knows, weak), Verdict::Taken(_)));
        }
        self.given.insert((at, knows, happened), items.clone());
        items
    }

    /// The end of what a new reader takes of the server's history.
    fn standing(&mut self, server: History) -> History {
        let histories = &mut self.devices.histories;
        let last = histories.org.last();
        let mut at = Histories::BEGINNING;
        for item in histories.between(at, server).unwrap_or_default() {
            let knows = Knows { floor: 0, known: last };
            match histories.judge(at, item, knows, self.devices.weak.readers()) {
                Verdict::Taken(next) => at = next,
                Verdict::Refused(_) | Verdict::BelowFloor => break,
            }
        }
        at
    }

    /// Whether all that the server has accepted stands, for whoever reads it from the beginning,
    /// with all that it says.
    fn stands(&mut self, server: History) -> bool {
        let at = self.standing(server);
        if at != server {
            return false;
        }
        let histories = &self.devices.histories;
        let items = histories.between(Histories::BEGINNING, server).unwrap_or_default();
        let contents = items.iter().flat_map(|item| &histories.item(*item).changes);
        let mut before = histories.before(server).into_iter().chain([server]);
        before.all(|history| !histories.at(history).void)
            && contents.filter_map(|change| change.content()).all(|content| histories.keeps(server, content))
    }

    /// Whether all that people did on a device is in its tree or its queue.
    fn has_all(&self, person: &Person, device: &Device) -> bool {
        let pending = self.devices.pending(device.queue);
        let acts = person.acts.iter().take(usize::from(device.acted)).enumerate();
        let brings = acts.filter(|(_, act)| matches!(act, Act::Write | Act::Add));
        brings.into_iter().all(|(number, _)| {
            let content = content(&format!("{}.{number}", person.device));
            pending
                .iter()
                .any(|pending| pending.change.content().is_some_and(|there| there.same_bytes(&content)))
                || self.devices.histories.keeps(device.at, &content)
        })
    }

    /// Once the network is whole and nothing more happens: whether every queue drains, and whether
    /// a key that is due comes.
    fn whole(&mut self, cast: &Cast, state: &State) -> (bool, bool) {
        let mut now = state.clone();
        now.posted.clear();
        for device in &mut now.devices {
            *device = Device { waits: None, posts: 0, acted: 0, ..*device };
        }
        if let Some(known) = self.whole.get(&now) {
            return *known;
        }
        let key = now.clone();
        for _ in 0..ROUNDS {
            let before = now.clone();
            for (person, at) in cast.people.iter().zip(0..) {
                self.round(person, &mut now, at);
            }
            if now == before {
                break;
            }
        }
        let end = self.ended(cast, &now);
        self.whole.insert(key, end);
        end
    }

    /// A device comes back: it reads, posts, and reads, as long as it has something to post.
    fn round(&mut self, person: &Person, state: &mut State, at: usize) {
        let happened = state.happened;
        for _ in 0..ROUNDS {
            let Some(device) = state.devices.get(at).copied() else { return };
            let mut device = device;
            if device.halted {
                return;
            }
            device.knows.known = happened;
            device = self.devices.read(person, &device, state.server, happened);
            state.devices[at] = device;
            let next = self
                .devices
                .settled(person, &device)
                .or_else(|| self.devices.wish(person, &device))
                .or_else(|| self.devices.record(person, &device));
            let Some(item) = next else { return };
            let Some(server) = self.arrives(state.server, item, happened) else { return };
            state.server = server;
            state.devices[at] = self.devices.take(person, &device, &[item]).0;
        }
    }

    fn ended(&mut self, cast: &Cast, state: &State) -> (bool, bool) {
        let happened = state.happened;
        let (mut drained, mut able) = (true, false);
        for (person, device) in cast.people.iter().zip(&state.devices) {
            let number = user_of(person.device);
            let histories = &self.devices.histories;
            let role = histories.at(state.server).account.able(&histories.org, number, happened);
            let writes = role.is_some_and(Role::writes) && !histories.org.is_revoked(person.device, happened);
            if device.halted || !writes {
                continue;
            }
            able = true;
            drained &= device.queue == Queue::EMPTY;
        }
        let due = self.devices.is_due(state.server, happened);
        (drained, !(due && able))
    }
}

impl Model for Space {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let beginning = self.machines().beginning;
        let devices = self.cast.people.iter().map(|_| Device::new(beginning)).collect();
        vec![State { happened: 0, server: beginning, posted: Vec::new(), devices }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let mut machines = self.machines();
        if state.happened < self.org.last() {
            steps.push(Step::Happens);
        }
        let beginning = machines.devices.histories.at(machines.beginning).items;
        for (at, device) in state.devices.iter().enumerate() {
            let person = self.person(at);
            if device.halted {
                continue;
            }
            if device.waits.is_some() {
                steps.extend([Step::Answered(at), Step::Unanswered(at)]);
                continue;
            }
            if usize::from(device.acted) < person.acts.len() {
                steps.push(Step::Acts(at));
            }
            if device.posts < self.cast.posts {
                let devices = &mut machines.devices;
                let new = |item: &Item| !self.is_hostile() || !state.posted.contains(item);
                let record = devices.record(person, device).filter(new);
                let wish = devices.wish(person, device).filter(new);
                let settled = devices.settled(person, device).filter(new);
                steps.extend(record.map(|item| Step::Posts(at, item)));
                steps.extend(wish.map(|item| Step::Certifies(at, item)));
                steps.extend(settled.map(|item| Step::Certifies(at, item)));
            }
            if !self.is_hostile() {
                steps.push(Step::Reads(at));
                if device.knows.known < state.happened {
                    steps.push(Step::Syncs(at, state.happened));
                }
                continue;
            }
            steps.extend((device.knows.known..state.happened).map(|known| Step::Syncs(at, known + 1)));
            if device.knows.floor < device.knows.known {
                steps.push(Step::Ended(at));
            }
            let items = machines.devices.histories.at(device.at).items - beginning;
            if items < self.cast.items {
                let happened = device.knows.known;
                let gives = machines.gives(&self.cast, device.at, device.knows, happened);
                steps.extend(gives.into_iter().map(|item| Step::Given(at, item)));
                steps.extend(state.posted.iter().map(|item| Step::Given(at, *item)));
            }
        }
        if !self.is_hostile() {
            steps.extend(state.posted.iter().map(|item| Step::Arrives(*item)));
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut machines = self.machines();
        let weak = machines.devices.weak;
        let mut after = state.clone();
        match step {
            Step::Happens => after.happened += 1,
            Step::Acts(at) => {
                after.devices[at] = machines.devices.act(self.person(at), &state.devices[at])?;
            }
            Step::Posts(at, item) | Step::Certifies(at, item) => {
                after.post(item);
                after.devices[at].posts += 1;
                // A hostile server answers by what it gives next.
                after.devices[at].waits = (!self.is_hostile()).then_some(item);
            }
            Step::Arrives(item) => {
                after.server = machines.arrives(state.server, item, state.happened)?;
                if weak == Weak::NoCompare {
                    after.posted.retain(|posted| *posted != item);
                }
            }
            Step::Answered(at) => {
                let item = state.devices[at].waits?;
                let accepted = machines
                    .devices
                    .histories
                    .between(Histories::BEGINNING, state.server)
                    .is_some_and(|items| items.contains(&item));
                let device = Device { waits: None, ..state.devices[at] };
                after.devices[at] = if accepted {
                    machines.devices.take(self.person(at), &device, &[item]).0
                } else if state.posted.contains(&item) {
                    // Still on its way.
                    return None;
                } else {
                    device
                };
            }
            Step::Unanswered(at) => after.devices[at].waits = None,
            Step::Reads(at) => {
                let (person, device) = (self.person(at), state.devices[at]);
                after.devices[at] = machines.devices.read(person, &device, state.server, state.happened);
            }
            Step::Syncs(at, known) => after.devices[at].knows.known = known,
            Step::Ended(at) => after.devices[at].knows.floor = state.devices[at].knows.known,
            Step::Given(at, item) => {
                let (device, all) = machines.devices.take(self.person(at), &state.devices[at], &[item]);
                // What it refuses ends in an alarm, and leaves it as it was.
                if !all {
                    return None;
                }
                after.devices[at] = device;
            }
        }
        if !self.is_hostile() && weak != Weak::NoCompare {
            machines.forget(&mut after);
        }
        (after != *state).then_some(after)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always(ENDED, |space: &Self, state: &State| space.none(state, Wrong::ENDED)),
            Property::always(DUE, |space: &Self, state: &State| space.none(state, Wrong::DUE)),
            Property::always(ROLE, |space: &Self, state: &State| space.none(state, Wrong::ROLE)),
            Property::always(PLACE, |space: &Self, state: &State| space.none(state, Wrong::PLACE)),
            Property::always(BEHIND, |space: &Self, state: &State| space.none(state, Wrong::BEHIND)),
            Property::always(FOOLED, |_: &Self, state: &State| {
                state.devices.iter().all(|device| !device.fooled)
            }),
            Property::always(TREES, |space: &Self, state: &State| {
                let machines = space.machines();
                state.devices.iter().enumerate().all(|(at, one)| {
                    let others = state.devices.iter().skip(at + 1);
                    others.into_iter().all(|other| !machines.devices.histories.differ(one.at, other.at))
                })
            }),
            Property::always(SAVED, |space: &Self, state: &State| {
                let machines = space.machines();
                let people = space.cast.people.iter().zip(&state.devices);
                people.into_iter().all(|(person, device)| machines.has_all(person, device))
            }),
        ];
        if self.is_hostile() {
            return all;
        }
        all.extend([
            Property::always(SHARED, |space: &Self, state: &State| space.machines().stands(state.server)),
            Property::always(CALM, |_: &Self, state: &State| {
                state.devices.iter().all(|device| !device.halted)
            }),
            Property::always(DRAINS, |space: &Self, state: &State| {
                space.machines().whole(&space.cast, state).0
            }),
            Property::always(MENDED, |space: &Self, state: &State| {
                space.machines().whole(&space.cast, state).1
            }),
        ]);
        all
    }
}

pub(super) const ENDED: &str = "nothing is taken in an epoch that has ended";
pub(super) const DUE: &str = "nothing is written in an epoch that was due to its author";
pub(super) const ROLE: &str = "nothing is taken from somebody whose role does not allow it";
pub(super) const PLACE: &str = "an item stands where it was made, and nowhere else";
pub(super) const BEHIND: &str = "nothing by the revoked stands behind what has seen the revocation";
pub(super) const FOOLED: &str = "who knew of a revocation takes nothing by the revoked";
pub(super) const TREES: &str = "two readers with one head have one tree";
pub(super) const SAVED: &str = "what was saved is in the tree or in the queue";
pub(super) const SHARED: &str = "what was accepted stands for everybody, and says what it said";
pub(super) const CALM: &str = "an honest server alarms nobody";
pub(super) const DRAINS: &str = "every queue drains when the network is whole";
pub(super) const MENDED: &str = "a key that is due comes while somebody may make it";

impl Space {
    /// Whether no honest reader has taken something of this kind.
    fn none(&self, state: &State, wrong: Wrong) -> bool {
        let machines = self.machines();
        let histories = &machines.devices.histories;
        state.devices.iter().all(|device| !histories.at(device.at).wrong.has(wrong))
    }
}
