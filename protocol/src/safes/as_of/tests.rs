//! Two random pasts of one tree: what is made of the later one is the earlier one, whatever was
//! moved, swapped, written over, removed or brought in meanwhile.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::ids::{DeviceId, ObjectId, SafeId, Timestamp, UserId};
use crate::object_hash::ObjectHash;
use crate::safes::change::Kind;
use crate::safes::content_ref::{Content, Reference, References};
use crate::safes::fold::Stamp;
use crate::safes::scratch::{Delta, Over};
use crate::safes::state::State;
use crate::safes::tree::PENDING_SEQ;

fn stamp() -> Stamp {
    let (user, device) = (UserId::from_bytes([1; 16]), DeviceId::from_bytes([2; 16]));
    Stamp { seq: PENDING_SEQ, user, device, time: Timestamp(7) }
}

fn naming() -> Naming<'static> {
    Naming { label: "laptop", moment: "2026-11-30 14.00", stamp: stamp() }
}

fn content(n: u16) -> Content {
    let reference = Reference {
        object: ObjectId::from_bytes([n.to_be_bytes()[1]; 16]),
        epoch: 0,
        blake3: ObjectHash::from_bytes([0; 32]),
    };
    Content { size: 1, digest: None, references: References::Direct(vec![Some(reference)].into()) }
}

/// Numbers for acts: which, on what, where to, under which name.
type Acts = Vec<(u8, u16, u16, u8)>;

/// Every act that fits, one after the other. `first` tells the ids of one past from another's.
fn lived(tree: &dyn Tree, acts: &Acts, first: u16) -> Delta {
    let mut scratch = Scratch::new(tree);
    let mut known = every(tree);
    for (at, (act, on, to, called)) in (first..).zip(acts) {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&at.to_be_bytes());
        bytes[15] = 1;
        let (operation, new) = (OperationId::from_bytes(bytes), EntryId::from_bytes(bytes));
        let pick = |n: u16| known.get(usize::from(n) % known.len().max(1)).copied();
        let (entry, parent) = (pick(*on), pick(*to).filter(|_| to % 3 > 0).unwrap_or(tree.root()));
        let name = EntryName::new(&[b'a' + called % 5]).unwrap();
        let live = |id: &EntryId| scratch.is_live(*id);
        let change = match (act % 8, entry) {
            (0 | 1, _) => {
                let kind = if act % 8 == 0 { Kind::Folder } else { Kind::File(content(at)) };
                known.push(new);
                let (mtime, executable) = (u64::from(at), false);
                let operation = Some(operation);
                Change::Add {
                    operation,
                    entry: new,
                    parent,
                    name,
                    kind,
                    mtime,
                    executable,
                    conflict_of: None,
                }
            }
            (2 | 3, Some(entry)) if live(&entry) => {
                Change::Move { operation, entry, parent, name, conflict_of: None }
            }
            (4, Some(entry)) => Change::Remove { operation, entry },
            (5, Some(entry)) => Change::Restore { operation, entry, parent, name, shallow: called % 2 == 0 },
            (6, Some(entry)) => {
                let Some(base) = scratch.entry(entry).and_then(|found| found.version) else { continue };
                Change::Content { operation, entry, base, content: content(at), mtime: u64::from(at) }
            }
            (7, Some(entry)) => {
                Change::Attributes { operation, entry, mtime: u64::from(at), executable: called % 2 == 0 }
            }
            _ => continue,
        };
        let _ = apply(&mut scratch, &change, &stamp());
    }
    scratch.into_delta()
}

/// Every entry, live or not.
fn every(tree: &dyn Tree) -> Vec<EntryId> {
    let mut all = tree.below(tree.root());
    let mut removed = Vec::new();
    tree.each_removed(&mut |id| removed.push(id));
    for id in removed {
        all.push(id);
        all.extend(tree.below(id));
    }
    all
}

/// What a person sees of an entry: its folder, its name, content and mark.
type Seen = (EntryId, EntryName, Option<(Content, u64, bool)>);

fn seen(tree: &dyn Tree, top: EntryId) -> BTreeMap<EntryId, Seen> {
    let shown = |id: EntryId| {
        let found = tree.entry(id).unwrap();
        let file = found.content().map(|content| (content.clone(), found.mtime, found.executable));
        (id, (found.parent.unwrap(), found.name.clone(), file))
    };
    tree.below(top).into_iter().map(shown).collect()
}

fn planned(now: &dyn Tree, then: &dyn Tree, top: EntryId, exact: bool) -> (Plan, Delta) {
    let mut count = 0_u32;
    let mut draw = || {
        count += 1;
        let mut bytes = [9; 16];
        bytes[..4].copy_from_slice(&count.to_be_bytes());
        Ok::<_, Infallible>(OperationId::from_bytes(bytes))
    };
    let Ok(plan) = as_of(now, then, (top, false), exact, &naming(), &mut draw);
    let mut scratch = Scratch::new(now);
    for change in &plan.changes {
        apply(&mut scratch, change, &stamp()).unwrap();
    }
    (plan, scratch.into_delta())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// The whole safe, exactly: the earlier tree, entry by entry. Otherwise: all of it, and nothing
    /// that has come since is gone.
    #[test]
    fn the_whole_tree_is_what_it_was(
        before in prop::collection::vec(any::<(u8, u16, u16, u8)>(), 0..40),
        since in prop::collection::vec(any::<(u8, u16, u16, u8)>(), 0..40),
    ) {
        let base = State::new(SafeId::from_bytes([5; 16]));
        let delta = lived(&base, &before, 1);
        let then = Over::new(&base, &delta);
        let later = lived(&then, &since, 1_000);
        let now = Over::new(&then, &later);
        let (top, wanted) = (then.root(), seen(&then, then.root()));

        let (plan, done) = planned(&now, &then, top, true);
        let exact = Over::new(&now, &done);
        prop_assert_eq!(seen(&exact, top), wanted.clone());
        prop_assert_eq!(plan.sums.lost, 0);
        let again = planned(&exact, &then, top, true).0;
        prop_assert_eq!(again, Plan::default(), "what is as it was is left alone");

        let (_, done) = planned(&now, &then, top, false);
        let beside = Over::new(&now, &done);
        let found = seen(&beside, top);
        for (id, entry) in &wanted {
            prop_assert_eq!(found.get(id), Some(entry));
        }
        for id in now.below(top).into_iter().filter(|id| !wanted.contains_key(id)) {
            prop_assert!(beside.is_live(id), "what has come since stays");
        }
        for id in beside.below(top).into_iter().filter(|id| !wanted.contains_key(id)) {
            prop_assert!(now.is_live(id), "nothing comes out of the trash that was not there");
        }
    }

    /// One folder: what stands beside it is not touched, unless it came from there.
    #[test]
    fn a_folder_is_what_it_was_and_nothing_beside_it_is_touched(
        before in prop::collection::vec(any::<(u8, u16, u16, u8)>(), 5..40),
        since in prop::collection::vec(any::<(u8, u16, u16, u8)>(), 0..40),
        chosen in any::<u16>(),
    ) {
        let base = State::new(SafeId::from_bytes([5; 16]));
        let delta = lived(&base, &before, 1);
        let then = Over::new(&base, &delta);
        let later = lived(&then, &since, 1_000);
        let now = Over::new(&then, &later);
        let folders: Vec<_> = then.below(then.root()).into_iter()
            .filter(|id| then.is_folder(*id) && now.is_live(*id)).collect();
        if folders.is_empty() {
            return Ok(());
        }
        let top = folders[usize::from(chosen) % folders.len()];
        let wanted = seen(&then, top);

        let (plan, done) = planned(&now, &then, top, true);
        let exact = Over::new(&now, &done);
        let found = seen(&exact, top);
        if plan.sums.lost == 0 {
            for (id, entry) in &wanted {
                prop_assert_eq!(found.get(id), Some(entry));
            }
            for id in found.keys().filter(|id| !wanted.contains_key(id)) {
                let stays = then.below(*id).into_iter().chain([*id]).any(|id| then.is_live(id))
                    || now.below(*id).into_iter().chain([*id]).any(|id| then.is_live(id));
                prop_assert!(stays, "what has come since is gone");
            }
        }
        // What was in the safe then, wherever, is not thrown away for being in the way.
        for id in now.below(now.root()).into_iter().filter(|id| then.is_live(*id)) {
            prop_assert!(exact.is_live(id), "an old entry went to the trash");
        }
        let (was, is) = (seen(&now, now.root()), seen(&exact, exact.root()));
        for (id, entry) in was.iter().filter(|(id, _)| !now.is_under(**id, top) && **id != top) {
            // Home again, or below something that went home or was in the way.
            let home = wanted.contains_key(id) || is.get(id).is_none_or(|found| wanted.contains_key(&found.0));
            prop_assert!(home || is.get(id) == Some(entry));
        }
    }
}
