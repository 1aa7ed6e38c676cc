//! What a state names: every content that the safe still has, in the class that it counts for.
//!
//! Decides the classes and their order: what a file in the tree holds, what it held before, and all
//! that is in the trash. Decides nothing about objects that several contents share: whoever counts
//! takes each with the first content that names it. Names no object that nothing holds, such as
//! those of void records.

use crate::ids::OperationId;
use crate::safes::content_ref::Content;
use crate::safes::entry::Entry;
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
    /// The content itself.
    pub content: &'a Content,
}

impl State {
    /// Every content of the safe: all that are live, then all of the history, then the trash.
    pub fn contents(&self) -> impl Iterator<Item = Held<'_>> {
        Class::ALL.into_iter().flat_map(|class| self.contents_of(class))
    }

    fn contents_of(&self, class: Class) -> impl Iterator<Item = Held<'_>> {
        let all = self.entries.parts().flat_map(std::collections::BTreeMap::values);
        let files = all.map(|entry| &**entry).filter(|entry| entry.content().is_some());
        let counts = move |entry: &&Entry| (class == Class::Trash) != self.is_live(entry.id);
        files.filter(counts).flat_map(move |entry| {
            let present = entry.content().filter(|_| class != Class::History);
            let present = present.map(|content| Held { class, entry, version: entry.version, content });
            let earlier = entry.versions.iter().filter(move |_| class != Class::Live);
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
