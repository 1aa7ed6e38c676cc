//! Random schedules, by seed: devices that go offline, come back, are put back from backups, are
//! copied, hand their queues over; managers that destroy what is in the trash.
//!
//! What must hold: everybody has one tree, queues drain, and *content that nobody who had seen it
//! overwrote or removed is live*.

use std::collections::{BTreeMap, BTreeSet};

use super::acts::{add_change, live_tokens, taken_away};
use super::support::{Device, Server, check, content, finish, name, operation, root, token};
use crate::ids::{EntryId, OperationId};
use crate::safes::change::{Change, Kind};
use crate::safes::tree::Tree;

/// What happens beside people's acts.
#[derive(Clone, Copy, Default)]
struct Trouble {
    purges: bool,
    backups: bool,
    copies: bool,
    hands_over: bool,
    snapshots: bool,
}

struct Rng(u64);

impl Rng {
    /// splitmix64: 64 bits that the seed and nothing else decides.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        all.get(self.below(all.len())).copied()
    }
}

/// Acts on what a device shows, and keeps account of what was knowingly taken away.
struct Person {
    rng: Rng,
    count: usize,
    saved: BTreeSet<String>,
    gone: BTreeSet<String>,
}

impl Person {
    fn fresh(&mut self, kind: char) -> String {
        self.count += 1;
        format!("{kind}{}", self.count)
    }

    fn token(&mut self) -> String {
        if self.rng.percent(93) { self.fresh('c') } else { "same".to_owned() }
    }

    fn step(&mut self, device: &mut Device) {
        let view = device.view();
        let all: Vec<EntryId> = view.below(root());
        let folders: Vec<EntryId> =
            all.iter().copied().filter(|id| view.is_folder(*id)).chain([root()]).collect();
        let files: Vec<(EntryId, OperationId)> =
            all.iter().filter_map(|id| Some((*id, view.entry(*id)?.version?))).collect();
        let dead: Vec<EntryId> = in_trash(&view);
        let op = self.fresh('o');
        let called = self.rng.of(&["a", "b", "c", "d"]).unwrap();
        let at = self.rng.of(&folders).unwrap();
        let change = match self.rng.below(12) {
            0 => Some(add_change(&op, &self.fresh('e'), at, called, Kind::Folder)),
            1 => {
                let kind = Kind::File(content(&self.token()));
                Some(add_change(&op, &self.fresh('e'), at, called, kind))
            }
            2 | 3 => self.rng.of(&files).map(|(entry, base)| Change::Content {
                operation: operation(&op),
                entry,
                base,
                content: content(&self.token()),
                mtime: 0,
            }),
            4..=6 => self.rng.of(&all).map(|entry| Change::Move {
                operation: operation(&op),
                entry,
                parent: at,
                name: name(called),
                conflict_of: None,
            }),
            7 | 8 => self.rng.of(&all).map(|entry| Change::Remove { operation: operation(&op), entry }),
            9 => self.rng.of(&files).zip(self.rng.of(&files)).map(|((target, base), (source, _))| {
                Change::Replace { operation: operation(&op), target, base, source }
            }),
            10 => self.rng.of(&dead).map(|entry| Change::Restore {
                operation: operation(&op),
                entry,
                parent: at,
                name: name(called),
                shallow: false,
            }),
            _ => self.rng.of(&all).map(|entry| Change::Attributes {
                operation: operation(&op),
                entry,
                mtime: 9,
                executable: true,
            }),
        };
        let Some(change) = change else { return };
        let mut taken = taken_away(&view, &change);
        let brings = change.content().map(token);
        // What the device refuses was never said to be saved.
        if device.act(change).is_ok() {
            taken.retain(|token| Some(token) != brings.as_ref());
            self.saved.extend(brings);
            self.gone.extend(taken);
        }
    }
}

/// Everything in the trash that a person sees there.
fn in_trash(view: &dyn Tree) -> Vec<EntryId> {
    let mut dead = Vec::new();
    view.each_version(&mut |id, _| {
        let mut top = id;
        while let Some(above) = view.entry(top).and_then(|entry| entry.parent) {
            top = above;
        }
        if top != root() {
            dead.extend([id, top]);
        }
    });
    dead.sort_unstable();
    dead.dedup();
    dead.retain(|id| view.entry(*id).is_some_and(|entry| entry.rare.into.is_none()));
    dead
}

fn run(seed: u64, trouble: Trouble) -> Result<(), String> {
    let rng = Rng(seed);
    let mut person = Person { rng, count: 0, saved: BTreeSet::new(), gone: BTreeSet::new() };
    let mut server = Server::new();
    server.shows_records = !trouble.snapshots;
    let count = 2 + person.rng.below(3);
    let mut devices: Vec<Device> =
        (0..count).map(|number| Device::new(&format!("D{number}"), &server)).collect();
    for _ in 0..person.rng.below(8) {
        person.step(&mut devices[0]);
    }
    devices[0].commit(&mut server, None);
    devices.iter_mut().for_each(|device| device.pull(&server));
    let mut online = vec![true; count];
    let mut backups: BTreeMap<usize, Device> = BTreeMap::new();
    let mut purged = BTreeSet::new();
    for _ in 0..12 + person.rng.below(40) {
        let at = person.rng.below(devices.len());
        if person.rng.percent(12) {
            online[at] = !online[at];
        }
        person.step(&mut devices[at]);
        if online[at] && person.rng.percent(35) {
            let most = person.rng.of(&[None, None, Some(1), Some(2)]).unwrap();
            devices[at].commit(&mut server, most);
        } else if online[at] && person.rng.percent(20) {
            devices[at].pull(&server);
        }
        if trouble.purges && person.rng.percent(10) {
            let dead = in_trash(&server.state);
            if let Some(id) =
                person.rng.of(&dead).filter(|id| server.state.entry(*id).unwrap().parent.is_none())
            {
                for id in server.state.below(id).into_iter().chain([id]) {
                    purged.extend(history(&server.state, id));
                }
                server.purge(operation(&person.fresh('o')), id);
            }
        }
        if trouble.backups && person.rng.percent(10) {
            match backups.get(&at).filter(|_| person.rng.percent(50)) {
                Some(backup) => {
                    // What was saved on this disk alone is lost with it.
                    let kept: BTreeSet<String> = pending_tokens(backup);
                    person.saved.retain(|token| {
                        kept.contains(token) || !pending_tokens(&devices[at]).contains(token)
                    });
                    devices[at] = backup.clone();
                }
                None => {
                    backups.insert(at, devices[at].clone());
                }
            }
        }
        if trouble.copies && devices.len() < 5 && person.rng.percent(5) {
            devices.push(devices[at].clone());
            online.push(true);
        }
        if trouble.hands_over && person.rng.percent(10) {
            let to = person.rng.below(devices.len());
            if to != at && devices[to].queue.is_empty() && devices[to].base.seq() <= devices[at].base.seq() {
                let called = devices[to].name.clone();
                devices[to] = Device { name: called, ..devices[at].clone() };
            }
        }
    }
    let turn = person.rng.below(devices.len());
    devices.rotate_left(turn);
    finish(&mut server, &mut devices);
    check_end(seed, &mut server, &devices, &person, &purged)
}

fn check_end(
    seed: u64,
    server: &mut Server,
    devices: &[Device],
    person: &Person,
    purged: &BTreeSet<String>,
) -> Result<(), String> {
    let mut state = server.state.clone();
    if seed.is_multiple_of(16) {
        check(&mut state);
        let root = state.state_root();
        for device in devices.iter().filter(|device| device.base.seq() == state.seq()) {
            assert_eq!(device.base.clone().state_root(), root, "{seed}: one tree");
        }
    }
    let mut kept = BTreeSet::new();
    for id in server.state.entries.parts().flat_map(|part| part.iter()).map(|entry| &entry.id) {
        kept.extend(history(&server.state, *id));
    }
    let live = live_tokens(&server.state);
    let lost: Vec<_> =
        person.saved.iter().filter(|token| !kept.contains(*token) && !purged.contains(*token)).collect();
    let missing: Vec<_> =
        person.saved.iter().filter(|token| !person.gone.contains(*token) && !live.contains(*token)).collect();
    if lost.is_empty() && missing.is_empty() {
        Ok(())
    } else {
        Err(format!("seed {seed}: lost {lost:?}, nobody took away {missing:?}"))
    }
}

fn pending_tokens(device: &Device) -> BTreeSet<String> {
    device.queue.iter().filter_map(|pending| pending.change.content()).map(token).collect()
}

fn history(tree: &dyn Tree, id: EntryId) -> BTreeSet<String> {
    let Some(there) = tree.entry(id) else { return BTreeSet::new() };
    there.rare.versions.iter().map(|old| &old.content).chain(there.content()).map(token).collect()
}

fn schedules(count: u64) {
    let faults: Vec<String> = (0..count)
        .filter_map(|seed| {
            // Most schedules have no trouble or one; some have all.
            let trouble = match seed % 8 {
                0..=2 => Trouble::default(),
                3 => Trouble { purges: true, ..Trouble::default() },
                4 => Trouble { backups: true, ..Trouble::default() },
                5 => Trouble { copies: true, hands_over: true, ..Trouble::default() },
                6 => Trouble { snapshots: true, ..Trouble::default() },
                _ => Trouble { purges: true, backups: true, copies: true, hands_over: true, snapshots: true },
            };
            run(seed, trouble).err()
        })
        .collect();
    assert!(
        faults.is_empty(),
        "{} of {count}: {:?}",
        faults.len(),
        faults.iter().take(5).collect::<Vec<_>>()
    );
}

#[test]
fn no_content_is_lost_in_random_schedules() {
    let full = std::env::var_os("PARSEC_FULL").is_some_and(|value| value == "1");
    let count = if full { 10_000 } else { 1_000 };
    schedules(count);
    println!("figure S19: {count} random schedules: one tree each, and no content lost");
}
