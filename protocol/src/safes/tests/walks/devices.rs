//! What an honest device does: it acts, reads, puts its queue onto what came, posts, and does what
//! the safe needs.
//!
//! Decides by the shipped functions alone when a record or a certificate is made, and what is in
//! it; the order in which the daemon asks them is repeated here. Refuses, as the daemon does, to
//! sign what its own reading would not take.

use std::collections::HashMap;

use super::histories::{Histories, History, Item, Knows, Verdict, safe_id};
use super::organisation::{NOW, OWNER, device, user, user_of};
use super::weak::Weak;
use crate::chain::organisation::at::MembersAt as _;
use crate::codec;
use crate::ids::{EntryId, OperationId};
use crate::public_keys::Hash;
use crate::safe_log::roles::Role;
use crate::safes::change::{Change, Inside, Kind, RULES_VERSION};
use crate::safes::content_ref::{Content, ContentDigest, References};
use crate::safes::fold::{Outer, Stamp, apply, would_fold};
use crate::safes::name::EntryName;
use crate::safes::rebase::{Naming, Pending, rebase};
use crate::safes::scratch::Scratch;
use crate::safes::state::State;
use crate::safes::tree::{PENDING_SEQ, Tree as _};

/// What a person does to the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Writes into the file that is there from the beginning.
    Write,
    /// Removes it.
    Remove,
    /// Makes a file; two may want one name.
    Add,
    /// Gives the safe another name.
    Name,
}

/// What a person wants of the safe's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Role(u64, Option<Role>),
    /// Another key, without any need.
    Key,
}

/// Who is walked, and what they want.
#[derive(Debug, Clone, Copy)]
pub(super) struct Person {
    pub(super) device: u64,
    pub(super) acts: &'static [Act],
    pub(super) wishes: &'static [Wish],
}

/// Pending changes, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Queue(u16);

impl Queue {
    pub(super) const EMPTY: Self = Self(0);
}

/// Where a device stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Device {
    pub(super) at: History,
    pub(super) knows: Knows,
    pub(super) queue: Queue,
    /// How many of its person's acts are done.
    pub(super) acted: u8,
    /// What it has posted, and has no answer to.
    pub(super) waits: Option<Item>,
    /// How often it has posted.
    pub(super) posts: u8,
    /// It was shown what fails by its floor alone, and waits for a person.
    pub(super) halted: bool,
    /// It took something by somebody of whom it knew that they are revoked.
    pub(super) fooled: bool,
}

impl Device {
    pub(super) const fn new(at: History) -> Self {
        Self {
            at,
            knows: Knows { floor: 0, known: 0 },
            queue: Queue::EMPTY,
            acted: 0,
            waits: None,
            posts: 0,
            halted: false,
            fooled: false,
        }
    }
}

/// All that devices do, remembered.
pub(super) struct Devices {
    pub(super) histories: Histories,
    pub(super) weak: Weak,
    queues: Vec<Vec<Pending>>,
    numbers: HashMap<Vec<u8>, Queue>,
    rebased: HashMap<(History, History, Queue, u64), Queue>,
    records: HashMap<(History, Queue, Knows, u64), Option<Item>>,
}

fn id(text: &str) -> [u8; 16] {
    Hash::of(&[text.as_bytes()]).as_bytes()[..16].try_into().unwrap()
}

fn root() -> EntryId {
    EntryId::from_bytes(*safe_id().as_bytes())
}

/// The file that is there from the beginning.
fn file() -> EntryId {
    EntryId::from_bytes(id("file"))
}

fn name(text: &str) -> EntryName {
    EntryName::new(text.as_bytes()).unwrap()
}

/// An empty file whose digest says whose it is.
pub(super) fn content(token: &str) -> Content {
    let digest = ContentDigest::from_bytes(*Hash::of(&[token.as_bytes()]).as_bytes());
    Content { size: 0, digest: Some(digest), references: References::Direct(Vec::new().into()) }
}

fn add(entry: EntryId, called: &str, token: &str) -> Change {
    Change::Add {
        operation: None,
        entry,
        parent: root(),
        name: name(called),
        kind: Kind::File(content(token)),
        mtime: 0,
        executable: false,
        conflict_of: None,
    }
}

/// The first record of the safe.
pub(super) fn beginning() -> Vec<Change> {
    vec![add(file(), "a", "beginning")]
}

/// What somebody who means harm writes.
pub(super) fn harm() -> Vec<Change> {
    vec![add(EntryId::from_bytes(id("harm")), "harm", "harm")]
}

fn stamp(number: u64) -> Stamp {
    Stamp { seq: PENDING_SEQ, user: user(user_of(number)), device: device(number), time: NOW }
}

/// What a person's act is on this tree; nothing where its file is gone.
fn change(tree: &Scratch<'_>, act: Act, by: u64, number: u8) -> Option<Change> {
    let token = format!("{by}.{number}");
    let operation = OperationId::from_bytes(id(&format!("operation {token}")));
    let there = tree.entry(file()).filter(|_| tree.is_live(file()));
    Some(match act {
        Act::Write => Change::Content {
            operation,
            entry: file(),
            base: there?.version?,
            content: content(&token),
            mtime: 0,
        },
        Act::Remove => there.map(|_| Change::Remove { operation, entry: file() })?,
        Act::Add => add(EntryId::from_bytes(id(&format!("entry {token}"))), "b", &token),
        Act::Name => Change::SafeName { operation, name: token.parse().unwrap() },
    })
}

/// The tree with a queue over it.
fn shown<'a>(tree: &'a State, queue: &[Pending], by: u64) -> Scratch<'a> {
    let mut scratch = Scratch::new(tree);
    for pending in queue {
        // One that no longer fits is not shown: only a device that doesn't rebase has any.
        let _ = apply(&mut scratch, &pending.change, &stamp(by));
    }
    scratch
}

impl Devices {
    pub(super) fn new(histories: Histories, weak: Weak) -> Self {
        let mut devices = Self {
            histories,
            weak,
            queues: Vec::new(),
            numbers: HashMap::new(),
            rebased: HashMap::new(),
            records: HashMap::new(),
        };
        devices.keep(Vec::new());
        devices
    }

    fn keep(&mut self, queue: Vec<Pending>) -> Queue {
        let bytes = codec::encode(&queue);
        if let Some(number) = self.numbers.get(&bytes) {
            return *number;
        }
        let number = Queue(u16::try_from(self.queues.len()).unwrap());
        self.queues.push(queue);
        self.numbers.insert(bytes, number);
        number
    }

    pub(super) fn pending(&self, queue: Queue) -> &[Pending] {
        &self.queues[usize::from(queue.0)]
    }

    /// The next act of its person; none where there is nothing to act on.
    pub(super) fn act(&mut self, person: &Person, device: &Device) -> Option<Device> {
        let act = *person.acts.get(usize::from(device.acted))?;
        let queue = self.pending(device.queue);
        let mut scratch = shown(&self.histories.at(device.at).tree, queue, person.device);
        let change = change(&scratch, act, person.device, device.acted)?;
        apply(&mut scratch, &change, &stamp(person.device)).ok()?;
        let mut queue = queue.to_vec();
        queue.push(Pending::from(change));
        Some(Device { queue: self.keep(queue), acted: device.acted + 1, ..*device })
    }

    /// What becomes of a queue between two histories.
    fn put_onto(&mut self, from: History, to: History, queue: Queue, by: u64) -> Queue {
        if queue == Queue::EMPTY || from == to {
            return queue;
        }
        if let Some(known) = self.rebased.get(&(from, to, queue, by)) {
            return *known;
        }
        let known = self.histories.operations(from, to);
        let (old, new) = (&self.histories.at(from).tree, &self.histories.at(to).tree);
        let pending = self.pending(queue);
        let after = if self.weak == Weak::Forgets {
            Vec::new()
        } else if self.weak == Weak::NoRebase {
            let mut left = pending.to_vec();
            left.retain(|pending| !known.contains(&pending.change.operation()));
            left
        } else {
            let label = format!("device {by}");
            let naming = Naming { label: &label, moment: "14.03", stamp: stamp(by) };
            let rebased = rebase(old, new, pending, &known, &naming);
            assert!(rebased.aside.is_empty(), "the rules have a place for everything: {:?}", rebased.aside);
            rebased.queue
        };
        let after = self.keep(after);
        self.rebased.insert((from, to, queue, by), after);
        after
    }

    /// Takes in what comes next, one item behind the other; whether all of it was taken.
    pub(super) fn take(&mut self, person: &Person, device: &Device, items: &[Item]) -> (Device, bool) {
        let mut after = *device;
        let mut all = true;
        for item in items {
            match self.histories.judge(after.at, *item, after.knows, self.weak.readers()) {
                Verdict::Taken(next) => {
                    let author = self.histories.item(*item).device;
                    after.fooled |= self.histories.org.is_revoked(author, device.knows.floor);
                    after.at = next;
                }
                verdict => {
                    after.halted |= verdict == Verdict::BelowFloor;
                    all = false;
                    break;
                }
            }
        }
        after.queue = self.put_onto(device.at, after.at, device.queue, person.device);
        (after, all)
    }

    /// Reads all that a server has, which ends at `end` and knows so much of the organisation.
    pub(super) fn read(&mut self, person: &Person, device: &Device, end: History, known: u8) -> Device {
        let have = usize::from(self.histories.at(device.at).items);
        let items = self.histories.between(Histories::BEGINNING, end).unwrap_or_default();
        let items = items.get(have..).unwrap_or_default();
        let asked = device.knows.known;
        let seen = items.iter().map(|item| self.histories.item(*item).seen).max().unwrap_or(0);
        let mut before = *device;
        if seen > asked {
            before.knows.known = known;
        }
        let (mut after, all) = self.take(person, &before, items);
        if all {
            after.knows.floor = after.knows.floor.max(asked);
        }
        after
    }

    /// Whether a key is due by what a device knows, by the rules that it has.
    pub(super) fn is_due(&self, at: History, known: u8) -> bool {
        let members = self.histories.org.known(known);
        let there = self.histories.at(at);
        if self.weak == Weak::RingOnly {
            return super::weak::is_due(&there.safe, there.memory(), members, self.weak);
        }
        there.safe.is_due(members, members.count())
    }

    /// The role that counts, of a device's person, by what the device knows; none while suspended,
    /// or where the device is revoked.
    pub(super) fn role(&self, person: &Person, device: &Device) -> Option<Role> {
        let number = user_of(person.device);
        let known = device.knows.known;
        if self.histories.org.is_revoked(person.device, known) {
            return None;
        }
        self.histories.at(device.at).account.able(&self.histories.org, number, known)
    }

    fn own(&mut self, device: &Device, item: Item) -> Option<Item> {
        let verdict = self.histories.judge(device.at, item, device.knows, self.weak.readers());
        matches!(verdict, Verdict::Taken(_)).then_some(item)
    }

    /// A record of all that waits, as the device would post it now.
    pub(super) fn record(&mut self, person: &Person, device: &Device) -> Option<Item> {
        if device.queue == Queue::EMPTY || device.halted {
            return None;
        }
        let key = (device.at, device.queue, device.knows, person.device);
        if let Some(known) = self.records.get(&key) {
            return *known;
        }
        let made = self.record_anew(person, device);
        self.records.insert(key, made);
        made
    }

    fn record_anew(&mut self, person: &Person, from: &Device) -> Option<Item> {
        let role = self.role(person, from).filter(|role| role.writes())?;
        if self.is_due(from.at, from.knows.known) {
            return None;
        }
        let there = self.histories.at(from.at);
        let present = *there.safe.present()?;
        let changes: Vec<Change> =
            self.pending(from.queue).iter().map(|pending| pending.change.clone()).collect();
        let outer = Outer {
            seq: present.journal.count + 1,
            epoch: present.key.epoch,
            user: user(user_of(person.device)),
            device: device(person.device),
            role,
            time: NOW,
            adds: &[],
            drops: &[],
            keeps: &[],
        };
        let inside = Inside { rules: RULES_VERSION, root: there.root, changes: changes.clone() };
        would_fold(&there.tree, &inside, &outer).ok()?;
        let epoch = present.key.epoch;
        let item = self.histories.write(person.device, from.at.into(), epoch, from.knows.known, changes)?;
        self.own(from, item)
    }

    /// Whether a person has what they want, as the device sees it.
    fn is_so(&self, device: &Device, wish: Wish) -> bool {
        let account = &self.histories.at(device.at).account;
        match wish {
            Wish::Role(number, role) => account.roles.get(&number).copied() == role,
            Wish::Key => account.epoch > 1,
        }
    }

    /// The certificate that its person wants next, as the device would post it now.
    pub(super) fn wish(&mut self, person: &Person, device: &Device) -> Option<Item> {
        if device.halted {
            return None;
        }
        let wish = person.wishes.iter().copied().find(|wish| !self.is_so(device, *wish))?;
        let due = self.is_due(device.at, device.knows.known);
        let (roles, key) = match wish {
            Wish::Key => (Vec::new(), true),
            Wish::Role(number, role) => {
                let own = number == user_of(person.device);
                let leaves = own && role.is_none();
                (vec![(number, role)], !leaves && (due || role.is_none()))
            }
        };
        let item = self.histories.certify(person.device, device.at.into(), device.knows.known, roles, key)?;
        self.own(device, item)
    }

    /// What the safe needs of the device: a key that is due, or a witness.
    pub(super) fn settled(&mut self, person: &Person, device: &Device) -> Option<Item> {
        if device.halted {
            return None;
        }
        let role = self.role(person, device)?;
        let due = self.is_due(device.at, device.knows.known);
        let mends = role.writes() && !(self.weak == Weak::OwnersOnly && role != Role::Owner);
        let key = match (due, mends) {
            (true, true) => true,
            _ if self.is_unseen(device) && !(due && role.writes()) => false,
            _ => return None,
        };
        let item =
            self.histories.certify(person.device, device.at.into(), device.knows.known, Vec::new(), key)?;
        self.own(device, item)
    }

    /// Whether something about a member happened that no item has seen.
    fn is_unseen(&self, device: &Device) -> bool {
        let there = self.histories.at(device.at);
        let Some(present) = there.safe.present() else { return false };
        let log = self.histories.org.known(device.knows.known);
        let newest = log.changed_before(log.count()).ok().flatten();
        if newest.is_none_or(|newest| newest < present.seen) {
            return false;
        }
        let members = there.safe.roles();
        members
            .into_iter()
            .any(|(user, _)| log.user_at(user, present.seen).ok() != log.user_at(user, log.count()).ok())
    }

    /// The history from which a walk begins: a safe with its members and one file.
    pub(super) fn founded(&mut self, roles: &[(u64, Role)], boxed: bool) -> History {
        let created = self.histories.create(OWNER);
        let at = self.goes_on(Histories::BEGINNING, created);
        let roles = roles.iter().map(|(number, role)| (*number, Some(*role))).collect();
        let shared = self.histories.certify(OWNER, at.into(), 0, roles, !boxed).unwrap();
        let at = self.goes_on(at, shared);
        let epoch = self.histories.at(at).account.epoch;
        let first = self.histories.write(OWNER, at.into(), epoch, 0, beginning()).unwrap();
        self.goes_on(at, first)
    }

    fn goes_on(&mut self, at: History, item: Item) -> History {
        match self.histories.judge(at, item, Knows { floor: 0, known: 0 }, Weak::Nothing) {
            Verdict::Taken(next) => next,
            verdict => panic!("{verdict:?}"),
        }
    }
}
