//! What a state names: every content that the safe still has, in the class that it counts for.
//!
//! Decides the classes and their order: what a file in the tree holds, what it held before, and all
//! that is in the trash. Decides nothing about objects that several contents share: whoever counts
//! takes each with the first content that names it. Names no object that nothing holds, such as
//! those of void records.

use crate::ids::OperationId;
use crate::safes::content_ref::Content;
use crate::safes::entry::Entry;
use crate::safes::shards::Part;
use crate::safes::state::State;
use crate::safes::tree::Tree as _;

/// For what a content counts, the first class first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// What a file in the tree holds.
    Live,
    /// What a file in the tree held before.
    History,
    /// What a file in the trash holds, or held.
    Trash,
}

impl Class {
    /// All of them, in their order.
    pub const ALL: [Self; 3] = [Self::Live, Self::History, Self::Trash];
}

/// One content that a state names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held<'a> {
    /// For what it counts.
    pub class: Class,
    /// The file that holds it, or held it.
    pub entry: &'a Entry,
    /// The operation that gave it to the file.
    pub version: Option<OperationId>,
    /// Where the bytes of it are.
    pub content: &'a Content,
}

impl State {
    /// Every content of the safe: all that are live, then all of the history, then the trash.
    pub fn contents(&self) -> impl Iterator<Item = Held<'_>> {
        Class::ALL.into_iter().flat_map(|class| self.contents_of(class))
    }

    fn contents_of(&self, class: Class) -> impl Iterator<Item = Held<'_>> {
        let all = self.entries.parts().flat_map(Part::iter);
        let files = all.map(|entry| &**entry).filter(|entry| entry.content().is_some());
        let counts = move |entry: &&Entry| (class == Class::Trash) != self.is_live(entry.id);
        files.filter(counts).flat_map(move |entry| {
            let present = entry.content().filter(|_| class != Class::History);
            let present = present.map(|content| Held { class, entry, version: entry.version, content });
            let earlier = entry.rare.versions.iter().filter(move |_| class != Class::Live);
            let earlier = earlier.map(move |earlier| Held {
                class,
                entry,
                version: Some(earlier.version),
                content: &earlier.content,
            });
            present.into_iter().chain(earlier)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{DeviceId, EntryId, ObjectId, SafeId, Timestamp, UserId};
    use crate::object_hash::ObjectHash;
    use crate::safes::change::{Change, Kind};
    use crate::safes::content_ref::{Reference, References};
    use crate::safes::fold::{Stamp, apply};
    use crate::safes::name::EntryName;
    use crate::safes::scratch::Scratch;

    fn stamp() -> Stamp {
        let (user, device) = (UserId::from_bytes([1; 16]), DeviceId::from_bytes([2; 16]));
        Stamp { seq: 1, user, device, time: Timestamp(7) }
    }

    fn content(n: u8) -> Content {
        let object = ObjectId::from_bytes([n; 16]);
        let reference = Reference { object, epoch: 0, blake3: ObjectHash::from_bytes([0; 32]) };
        Content { size: 1, digest: None, references: References::Direct(vec![Some(reference)].into()) }
    }

    fn made(changes: Vec<Change>) -> State {
        let mut state = State::new(SafeId::from_bytes([0; 16]));
        let mut scratch = Scratch::new(&state);
        for change in changes {
            // What doesn't fit is void, and changes nothing.
            let _ = apply(&mut scratch, &change, &stamp());
        }
        let delta = scratch.into_delta();
        state.absorb(delta);
        state
    }

    fn add(n: u8, parent: u8, kind: Kind) -> Change {
        Change::Add {
            operation: None,
            entry: EntryId::from_bytes([n; 16]),
            parent: EntryId::from_bytes([parent; 16]),
            name: EntryName::new(&[b'a' + n % 26]).unwrap(),
            kind,
            mtime: 0,
            executable: false,
            conflict_of: None,
        }
    }

    fn write(n: u8, base: u8, to: u8) -> Change {
        Change::Content {
            operation: OperationId::from_bytes([to; 16]),
            entry: EntryId::from_bytes([n; 16]),
            base: OperationId::from_bytes([base; 16]),
            content: content(to),
            mtime: 0,
        }
    }

    fn remove(n: u8) -> Change {
        let operation = OperationId::from_bytes([200 + n; 16]);
        Change::Remove { operation, entry: EntryId::from_bytes([n; 16]) }
    }

    /// Class, and the number that the content was made with.
    fn named(state: &State) -> Vec<(Class, u8)> {
        let number = |held: Held<'_>| held.content.objects().next().unwrap().object.as_bytes()[0];
        state.contents().map(|held| (held.class, number(held))).collect()
    }

    #[test]
    fn live_comes_before_history_before_what_is_in_the_trash() {
        let file = |n| Kind::File(content(n));
        let state = made(vec![
            add(1, 0, Kind::Folder),
            add(2, 1, file(2)),
            add(3, 0, file(3)),
            write(3, 3, 30),
            write(2, 2, 20),
            add(4, 0, file(4)),
            remove(4),
        ]);
        let wanted = [
            (Class::Live, 20),
            (Class::Live, 30),
            (Class::History, 2),
            (Class::History, 3),
            (Class::Trash, 4),
        ];
        assert_eq!(named(&state), wanted);
        // With its folder a file goes to the trash, and all that it held with it.
        let state = made(vec![
            add(1, 0, Kind::Folder),
            add(2, 1, file(2)),
            write(2, 2, 20),
            add(3, 0, file(3)),
            remove(1),
        ]);
        assert_eq!(named(&state), [(Class::Live, 3), (Class::Trash, 20), (Class::Trash, 2)]);
    }

    proptest! {
        #[test]
        fn every_content_of_every_file_is_named_once(acts in proptest::collection::vec((0_u8..4, 1_u8..12, 1_u8..12), 0..60)) {
            let changes = acts.iter().map(|(act, one, other)| match act {
                0 => add(*one, 0, Kind::File(content(*one))),
                1 => add(*one, *other, Kind::Folder),
                2 => write(*one, *one, 40 + *other),
                _ => remove(*one),
            });
            let state = made(changes.collect());
            let named = named(&state);
            let files = state.entries.parts().flat_map(Part::iter);
            let contents: usize =
                files.filter(|entry| entry.content().is_some()).map(|entry| 1 + entry.rare.versions.len()).sum();
            prop_assert_eq!(named.len(), contents);
            prop_assert!(named.is_sorted_by_key(|(class, _)| *class));
            for held in state.contents() {
                prop_assert_eq!(state.is_live(held.entry.id), held.class != Class::Trash);
            }
        }
    }
}
