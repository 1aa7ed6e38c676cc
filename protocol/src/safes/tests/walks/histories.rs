//! Histories: the items that somebody has taken, one behind the other, with all that follows.
//!
//! Decides, by the shipped rules or ones with a defence less, what a reader at the end of a history
//! makes of an item, and remembers it: a history and an item are judged once. Records are sealed no
//! further than by their signature: who may open them is not what is walked here, and nothing is
//! left to chance.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::account::{Account, Said, Wrong};
use super::organisation::{NOW, Organisation, device, organisation, sign, user, user_of};
use super::weak::{self, Memory, Weak};
use crate::codec;
use crate::ids::{OperationId, SafeId};
use crate::public_keys::Hash;
use crate::safe_log::certificate::{self, Body, Change as RoleChange, Key};
use crate::safe_log::record;
use crate::safe_log::ring::RingList;
use crate::safe_log::roles::Role;
use crate::safe_log::rules::{Fault, ring_list};
use crate::safe_log::safe::{NotTaken, VerifiedSafe};
use crate::safe_log::{FORMAT, SUITE};
use crate::safes::change::{Change, Inside, RULES_VERSION};
use crate::safes::content_ref::Content;
use crate::safes::fold::{Outer, fold};
use crate::safes::state::State;

/// A history of items, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct History(u32);

/// A signed item, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Item(u32);

/// What an item is, beside its bytes.
pub(super) struct Made {
    pub(super) envelope: Vec<u8>,
    pub(super) device: u64,
    /// The history that its author meant; none where it names parts of two.
    pub(super) at: Option<History>,
    pub(super) seen: u8,
    pub(super) said: Said,
    pub(super) changes: Vec<Change>,
}

/// What stands in a history.
pub(super) struct Stands {
    /// The history before, and the item that leads here.
    pub(super) from: Option<(History, Item)>,
    pub(super) safe: VerifiedSafe,
    pub(super) tree: State,
    pub(super) root: Hash,
    pub(super) account: Account,
    pub(super) wrong: Wrong,
    /// Whether the last item's changes changed nothing.
    pub(super) void: bool,
    pub(super) items: u8,
    memory: Memory,
}

/// What a reader makes of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Taken(History),
    Refused(Fault),
    /// By what the reader knew before alone.
    BelowFloor,
}

/// What came about in a walk.
#[derive(Debug, Clone, Default)]
pub(super) struct Came {
    pub(super) histories: usize,
    pub(super) items: usize,
    pub(super) judgements: usize,
    /// The rules that refused something.
    pub(super) faults: BTreeSet<String>,
    /// Whether a floor did.
    pub(super) below: bool,
}

/// Where parts of an item say that it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    /// The end of the safe's log is that of this history.
    pub(super) log: History,
    /// The end of the journal is that of this history.
    pub(super) journal: History,
}

impl Stands {
    /// Who was in the safe at some time.
    pub(super) const fn memory(&self) -> &Memory {
        &self.memory
    }
}

impl From<History> for Spot {
    fn from(history: History) -> Self {
        Self { log: history, journal: history }
    }
}

/// What a reader judges an item by: its floor, and what it knows of the organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Knows {
    pub(super) floor: u8,
    pub(super) known: u8,
}

pub(super) struct Histories {
    pub(super) org: Arc<Organisation>,
    histories: Vec<Stands>,
    items: Vec<Made>,
    numbers: HashMap<Vec<u8>, Item>,
    next: HashMap<(History, Item, Option<Role>), History>,
    judged: HashMap<(History, Item, Knows, Weak), Verdict>,
}

pub(super) fn safe_id() -> SafeId {
    SafeId::from_bytes([5; 16])
}

fn hash(text: &str) -> Hash {
    Hash::of(&[text.as_bytes()])
}

impl Histories {
    /// Nothing but a safe that has not begun.
    pub(super) const BEGINNING: History = History(0);

    pub(super) fn new(org: Arc<Organisation>) -> Self {
        let mut tree = State::new(safe_id());
        let beginning = Stands {
            from: None,
            safe: VerifiedSafe::empty(organisation(), safe_id()),
            root: tree.state_root(),
            tree,
            account: Account::default(),
            wrong: Wrong::default(),
            void: false,
            items: 0,
            memory: Memory::default(),
        };
        Self {
            org,
            histories: vec![beginning],
            items: Vec::new(),
            numbers: HashMap::new(),
            next: HashMap::new(),
            judged: HashMap::new(),
        }
    }

    pub(super) fn at(&self, history: History) -> &Stands {
        &self.histories[history.0 as usize]
    }

    pub(super) fn item(&self, item: Item) -> &Made {
        &self.items[item.0 as usize]
    }

    pub(super) fn came(&self) -> Came {
        let mut came = Came {
            histories: self.histories.len(),
            items: self.items.len(),
            judgements: self.judged.len(),
            faults: BTreeSet::new(),
            below: false,
        };
        for verdict in self.judged.values() {
            match verdict {
                Verdict::Taken(_) => {}
                Verdict::Refused(fault) => {
                    came.faults.insert(format!("{fault:?}"));
                }
                Verdict::BelowFloor => came.below = true,
            }
        }
        came
    }

    /// The items that lead from one history to another behind it; none if it isn't behind it.
    pub(super) fn between(&self, from: History, to: History) -> Option<Vec<Item>> {
        let (mut at, mut items) = (to, Vec::new());
        while at != from {
            let (before, item) = self.at(at).from?;
            items.push(item);
            at = before;
        }
        items.reverse();
        Some(items)
    }

    /// The histories before one, nearest first.
    pub(super) fn before(&self, history: History) -> Vec<History> {
        let mut histories = Vec::new();
        let mut at = history;
        while let Some((before, _)) = self.at(at).from {
            histories.push(before);
            at = before;
        }
        histories
    }

    fn keep(&mut self, made: Made) -> Item {
        if let Some(item) = self.numbers.get(&made.envelope) {
            return *item;
        }
        let item = Item(u32::try_from(self.items.len()).unwrap());
        self.numbers.insert(made.envelope.clone(), item);
        self.items.push(made);
        item
    }

    /// The history whose two ends these are; none where they are those of no history.
    fn meant(&self, spot: Spot) -> Option<History> {
        let ends = |history| self.at(history).safe.present().map(|now| (now.log, now.journal));
        let named = ends(spot.log).zip(ends(spot.journal)).map(|(log, journal)| (log.0, journal.1));
        [spot.log, spot.journal].into_iter().find(|history| ends(*history) == named)
    }

    /// A record with these changes, as `device` signs it.
    pub(super) fn write(
        &mut self,
        device_number: u64,
        spot: Spot,
        epoch: u64,
        seen: u8,
        changes: Vec<Change>,
    ) -> Option<Item> {
        let log = self.at(spot.log).safe.present()?.log;
        let journal = self.at(spot.journal).safe.present()?.journal;
        let inside =
            Inside { rules: RULES_VERSION, root: self.at(spot.journal).root, changes: changes.clone() };
        let payload = record::Payload {
            organisation: organisation(),
            safe: safe_id(),
            seq: journal.count + 1,
            previous: journal.hash,
            epoch,
            seen: self.org.known(seen).head(),
            log,
            author: device(device_number),
            time: NOW,
            adds: Vec::new(),
            drops: Vec::new(),
            keeps: Vec::new(),
            nonce: [0; record::RECORD_NONCE_BYTES].into(),
            ciphertext: codec::encode(&inside).into(),
        };
        let envelope = payload.sign_with(|context, message| sign(device_number, context, message));
        let at = self.meant(spot);
        let said = Said::Record { epoch };
        Some(self.keep(Made { envelope, device: device_number, at, seen, said, changes }))
    }

    /// The first certificate of the safe.
    pub(super) fn create(&mut self, by: u64) -> Item {
        let beginning = self.at(Self::BEGINNING);
        let log = self.org.known(0);
        let key = log.user(&user(by)).unwrap().encryption_key;
        let list = RingList(vec![crate::safe_log::ring::Recipient { user: user(by), key }]).hash();
        let (key_check, ring) = (hash("check"), hash("ring"));
        let body = Body::Created { suite: SUITE, format: FORMAT, key_check, list, ring };
        let payload = beginning.safe.next_certificate(log.head(), device(by), NOW, body);
        let envelope = payload.sign_with(|context, message| sign(by, context, message));
        let at = Some(Self::BEGINNING);
        self.keep(Made { envelope, device: by, at, seen: 0, said: Said::Created, changes: Vec::new() })
    }

    /// A *changed*, as `device` signs it: right in all that its author doesn't choose.
    pub(super) fn certify(
        &mut self,
        device_number: u64,
        spot: Spot,
        seen: u8,
        roles: Vec<(u64, Option<Role>)>,
        with_key: bool,
    ) -> Option<Item> {
        let there = self.at(spot.log);
        let log = there.safe.present()?.log;
        let place = self.at(spot.journal).safe.present()?.journal;
        let mut changes: Vec<RoleChange> =
            roles.iter().map(|(number, role)| RoleChange { user: user(*number), role: *role }).collect();
        changes.sort_unstable_by_key(|change| change.user);
        let members = self.org.known(seen);
        let list = match ring_list(&there.safe, members, members.count(), &changes) {
            Ok(list) => list.hash(),
            Err(never) => match never {},
        };
        let epoch = there.safe.present()?.key.epoch + 1;
        let key = Key { epoch, key_check: hash("check"), list, ring: hash("ring"), lost: 0 };
        let new = |(number, role): &(u64, Option<Role>)| {
            role.is_some()
                && there.safe.role(&user(*number)).is_none()
                && !self.org.is_suspended(*number, seen)
        };
        let boxes = (!with_key && roles.iter().any(new)).then(|| hash("boxes"));
        let payload = certificate::Payload {
            organisation: organisation(),
            safe: safe_id(),
            previous: log,
            place,
            seen: members.head(),
            author: device(device_number),
            time: NOW,
            body: Body::Changed { changes, key: with_key.then_some(key), boxes },
        };
        let envelope = payload.sign_with(|context, message| sign(device_number, context, message));
        let at = self.meant(spot);
        let said = Said::Changed { roles, key: with_key };
        Some(self.keep(Made { envelope, device: device_number, at, seen, said, changes: Vec::new() }))
    }

    /// What a reader at the end of a history makes of an item.
    pub(super) fn judge(&mut self, history: History, item: Item, knows: Knows, weak: Weak) -> Verdict {
        let knows = if weak == Weak::NoFloor { Knows { floor: 0, ..knows } } else { knows };
        if let Some(verdict) = self.judged.get(&(history, item, knows, weak)) {
            return *verdict;
        }
        let verdict = self.judge_anew(history, item, knows, weak);
        self.judged.insert((history, item, knows, weak), verdict);
        verdict
    }

    fn judge_anew(&mut self, history: History, item: Item, knows: Knows, weak: Weak) -> Verdict {
        let made = self.item(item);
        let there = self.at(history);
        let members = self.org.known(knows.known);
        let bytes = made.envelope.as_slice();
        let is_record = matches!(made.said, Said::Record { .. });
        let mut safe = there.safe.clone();
        let mut wary = there.safe.clone();
        wary.raise_floor(self.org.count(knows.floor));
        let taken = match (weak.is_shipped(), is_record) {
            (true, true) => wary
                .judge_record(bytes, members)
                .and_then(|_| safe.push_record(bytes, members))
                .map(|judged| judged.into_parts().1),
            (true, false) => wary
                .judge_certificate(bytes, members)
                .and_then(|_| safe.push_certificate(bytes, members))
                .map(|judged| judged.into_parts().1),
            (false, _) => weak::judge(&wary, &there.memory, members, weak, bytes, is_record)
                .inspect(|effects| safe.apply_of_weak_rules(effects)),
        };
        let effects = match taken {
            Ok(effects) => effects,
            Err(NotTaken::Fault(fault)) => return Verdict::Refused(fault),
            Err(NotTaken::BelowFloor(_)) => return Verdict::BelowFloor,
        };
        // By whoever counts roles as they know them, a record may fold otherwise.
        let known_role = self.known_role(history, item, knows.known);
        let role = if weak == Weak::OwnView { known_role } else { None };
        if let Some(next) = self.next.get(&(history, item, role)) {
            return Verdict::Taken(*next);
        }
        let mut memory = there.memory.clone();
        for change in &effects.roles {
            if let Some(role) = change.role {
                let highest = memory.highest.entry(change.user).or_insert(role);
                *highest = role.min(*highest);
            }
        }
        if effects.key.is_some() {
            memory.ring = safe.holders().map(|(user, key)| (*user, *key)).collect();
        }
        let next = self.stand(history, item, safe, role.unwrap_or(effects.by.role), memory);
        self.next.insert((history, item, role), next);
        Verdict::Taken(next)
    }

    fn known_role(&self, history: History, item: Item, known: u8) -> Option<Role> {
        self.at(history).account.role(&self.org, user_of(self.item(item).device), known)
    }

    /// Whether two histories have the same items: whoever folds by their own view has others.
    fn is_same(&self, one: History, other: History) -> bool {
        one == other || self.between(Self::BEGINNING, one) == self.between(Self::BEGINNING, other)
    }

    /// What an accepted item makes of a history.
    fn stand(
        &mut self,
        before: History,
        item: Item,
        safe: VerifiedSafe,
        role: Role,
        memory: Memory,
    ) -> History {
        let made = self.item(item);
        let there = self.at(before);
        let number = user_of(made.device);
        let stands = made.at.is_some_and(|at| self.is_same(at, before));
        let (account, wrong) =
            there.account.after(&self.org, (made.device, number), made.seen, &made.said, stands);
        let mut tree = there.tree.clone();
        let mut void = false;
        if let Said::Record { epoch } = made.said {
            let outer = Outer {
                seq: tree_seq(&safe),
                epoch,
                user: user(number),
                device: device(made.device),
                role,
                time: NOW,
                adds: &[],
                drops: &[],
                keeps: &[],
            };
            let inside = Inside { rules: RULES_VERSION, root: there.root, changes: made.changes.clone() };
            void = fold(&mut tree, &inside, &outer).is_err();
        }
        let stands = Stands {
            from: Some((before, item)),
            safe,
            root: tree.state_root(),
            tree,
            account,
            wrong: there.wrong.with(wrong),
            void,
            items: there.items + 1,
            memory,
        };
        let history = History(u32::try_from(self.histories.len()).unwrap());
        self.histories.push(stands);
        history
    }

    /// Operations that stand in the records of these items, the void ones aside.
    pub(super) fn operations(&self, from: History, to: History) -> BTreeSet<OperationId> {
        let mut operations = BTreeSet::new();
        let mut at = to;
        while at != from {
            let stands = self.at(at);
            let Some((before, item)) = stands.from else { return operations };
            if !stands.void {
                operations.extend(self.item(item).changes.iter().map(Change::operation));
            }
            at = before;
        }
        operations
    }

    /// Whether this content is in the tree of a history: as it is, as an earlier version, or in the
    /// trash.
    pub(super) fn keeps(&self, history: History, content: &Content) -> bool {
        let entries = self.at(history).tree.entries.parts().flat_map(|part| part.iter());
        entries.into_iter().any(|entry| {
            entry.content().is_some_and(|now| now.same_bytes(content))
                || entry.rare.versions.iter().any(|old| old.content.same_bytes(content))
        })
    }

    /// Whether two histories have one head and are not alike.
    pub(super) fn differ(&self, one: History, other: History) -> bool {
        let (one, other) = (self.at(one), self.at(other));
        let heads = |at: &Stands| at.safe.present().map(|now| (now.log, now.journal));
        heads(one) == heads(other) && (one.root != other.root || one.safe != other.safe)
    }
}

fn tree_seq(safe: &VerifiedSafe) -> u64 {
    safe.present().map_or(0, |present| present.journal.count)
}
