//! Inodes: the numbers by which the kernel knows what it has seen, and what each of them is now.
//!
//! Decides that a number follows what a program has open, and not the entry: a file that is renamed
//! over another is the program's file under the other's name. Forgets what the kernel has
//! forgotten. A number comes of the entry's id, so that it is the same after the next mounting,
//! unless another entry has it already.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parsec_protocol::ids::{EntryId, ObjectId, OperationId};
use parsec_protocol::safes::name::{EntryName, LinkTarget};

use super::file::OpenFile;

/// Number of an inode.
pub(super) type Ino = u64;

/// The root's, as every FUSE file system has it.
pub(super) const ROOT: Ino = 1;

/// What stands behind a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// An entry of the safe.
    Entry(EntryId),
    /// A file or link that is on this device alone, in a folder of the safe.
    Local(EntryId, EntryName),
    /// A file that was open while somebody else's device changed it: the entry, and the folder and
    /// name that it had. Who has it open keeps what they opened.
    Former(EntryId, EntryId, EntryName),
    /// What was removed, or renamed over, while somebody had it open.
    Gone,
}

/// What the kernel was told of an entry, and believes until it is told otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    /// The folder and name that it was found under; none for the root.
    pub(super) place: Option<(EntryId, EntryName)>,
    /// Bytes, time of the last change, whether it is a program.
    pub(super) looks: (u64, u64, bool),
    /// The version of its content, as a file.
    pub(super) version: Option<OperationId>,
}

/// One inode.
#[derive(Debug)]
pub(super) struct Inode {
    /// What it is.
    pub(super) node: Node,
    /// How often the kernel looked it up and has not forgotten it.
    lookups: u64,
    /// Handles of it that are open.
    pub(super) opens: u64,
    /// Its content while it is open, or is here alone.
    pub(super) file: Option<Arc<OpenFile>>,
    /// Where a link that is here alone points to; of one of the safe the whole path as a program of
    /// this machine wrote it.
    pub(super) link: Option<LinkTarget>,
    /// What the kernel was told.
    pub(super) told: Option<Told>,
    /// The version whose size the kernel was told last.
    pub(super) sized: Option<OperationId>,
    /// The version that the kernel's pages are of.
    pub(super) pages: Option<OperationId>,
    /// When anything about it was changed, in nanoseconds since 1970, as far as that was here.
    pub(super) changed: Option<u64>,
    /// When it was read, as a program has set it.
    pub(super) read: Option<u64>,
    /// Names in a folder when the kernel was told of it last; none where it knows better.
    pub(super) children: Option<u64>,
}

/// All inodes of a mount.
#[derive(Debug, Default)]
pub(super) struct Inodes {
    all: BTreeMap<Ino, Inode>,
    entries: BTreeMap<EntryId, Ino>,
    locals: BTreeMap<(EntryId, EntryName), Ino>,
}

impl Inodes {
    /// With the root, which is never forgotten.
    pub(super) fn new(root: EntryId) -> Self {
        let mut inodes = Self::default();
        inodes.insert(ROOT, Node::Entry(root));
        inodes.entries.insert(root, ROOT);
        inodes
    }

    fn insert(&mut self, ino: Ino, node: Node) {
        let inode = Inode {
            node,
            lookups: 0,
            opens: 0,
            file: None,
            link: None,
            told: None,
            sized: None,
            pages: None,
            changed: None,
            read: None,
            children: None,
        };
        self.all.insert(ino, inode);
    }

    /// A number that nobody has, near to one.
    fn free(&self, near: u64) -> Ino {
        let mut ino = near.max(ROOT + 1);
        while self.all.contains_key(&ino) {
            ino = ino.wrapping_add(1).max(ROOT + 1);
        }
        ino
    }

    /// The inode of a number.
    pub(super) fn get(&self, ino: Ino) -> Option<&Inode> {
        self.all.get(&ino)
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, ino: Ino) -> Option<&mut Inode> {
        self.all.get_mut(&ino)
    }

    /// Every number that the kernel may know.
    pub(super) fn numbers(&self) -> Vec<Ino> {
        self.all.keys().copied().collect()
    }

    /// Every folder and name under which the kernel may have found something.
    pub(super) fn places(&self) -> Vec<(Ino, EntryName)> {
        let place = |inode: &Inode| {
            let (folder, name) = match &inode.node {
                Node::Local(folder, name) => (*folder, name.clone()),
                Node::Entry(_) | Node::Former(..) | Node::Gone => inode.told.as_ref()?.place.clone()?,
            };
            Some((self.entry(folder)?, name))
        };
        self.all.values().filter_map(place).collect()
    }

    /// Objects of the contents that programs have open.
    pub(super) fn open_objects(&self) -> BTreeSet<ObjectId> {
        let open = self.all.values().filter(|inode| inode.opens > 0).filter_map(|inode| inode.file.as_ref());
        open.flat_map(|file| {
            file.base().content.objects().map(|reference| reference.object).collect::<Vec<_>>()
        })
        .collect()
    }

    /// The number of an entry; a new one where it has none.
    pub(super) fn of_entry(&mut self, entry: EntryId) -> Ino {
        if let Some(ino) = self.entries.get(&entry) {
            return *ino;
        }
        let mut begin = [0; 8];
        begin.iter_mut().zip(entry.as_bytes()).for_each(|(to, from)| *to = *from);
        let ino = self.free(u64::from_be_bytes(begin));
        self.insert(ino, Node::Entry(entry));
        self.entries.insert(entry, ino);
        ino
    }

    /// The number that an entry has.
    pub(super) fn entry(&self, entry: EntryId) -> Option<Ino> {
        self.entries.get(&entry).copied()
    }

    /// A new file or link that is here alone.
    pub(super) fn new_local(&mut self, folder: EntryId, name: EntryName, near: u64) -> Ino {
        let ino = self.free(near);
        self.insert(ino, Node::Local(folder, name.clone()));
        self.locals.insert((folder, name), ino);
        ino
    }

    /// What is here alone under a name.
    pub(super) fn local(&self, folder: EntryId, name: &EntryName) -> Option<Ino> {
        self.locals.get(&(folder, name.clone())).copied()
    }

    /// What is here alone in a folder, by name.
    pub(super) fn locals_in(&self, folder: EntryId) -> Vec<(EntryName, Ino)> {
        let here = self.locals.iter().filter(|((parent, _), _)| *parent == folder);
        here.map(|((_, name), ino)| (name.clone(), *ino)).collect()
    }

    /// From now on this number is something else; whoever was that before is gone.
    pub(super) fn becomes(&mut self, ino: Ino, node: Node) {
        let before = match &node {
            Node::Entry(entry) => self.entries.insert(*entry, ino),
            Node::Local(folder, name) => self.locals.insert((*folder, name.clone()), ino),
            Node::Former(..) | Node::Gone => None,
        };
        if let Some(before) = before.filter(|before| *before != ino)
            && let Some(inode) = self.all.get_mut(&before)
        {
            inode.node = Node::Gone;
            self.tidy(before);
        }
        if let Some(inode) = self.all.get_mut(&ino) {
            let was = std::mem::replace(&mut inode.node, node.clone());
            if was != node {
                match was {
                    Node::Entry(entry) if self.entries.get(&entry) == Some(&ino) => {
                        self.entries.remove(&entry);
                    }
                    Node::Local(folder, name) if self.locals.get(&(folder, name.clone())) == Some(&ino) => {
                        self.locals.remove(&(folder, name));
                    }
                    Node::Entry(_) | Node::Local(..) | Node::Former(..) | Node::Gone => {}
                }
            }
        }
        self.tidy(ino);
    }

    /// The kernel has looked it up once more.
    pub(super) fn looked_up(&mut self, ino: Ino) {
        if let Some(inode) = self.all.get_mut(&ino) {
            inode.lookups = inode.lookups.saturating_add(1);
        }
    }

    /// The kernel forgets so many of its look-ups.
    pub(super) fn forget(&mut self, ino: Ino, lookups: u64) {
        if let Some(inode) = self.all.get_mut(&ino) {
            inode.lookups = inode.lookups.saturating_sub(lookups);
        }
        self.tidy(ino);
    }

    /// Forgets a number that nobody needs.
    pub(super) fn tidy(&mut self, ino: Ino) {
        let Some(inode) = self.all.get(&ino) else { return };
        if ino == ROOT || inode.lookups > 0 || inode.opens > 0 {
            return;
        }
        match &inode.node {
            // Its content is nowhere else.
            Node::Local(..) => return,
            Node::Entry(entry) => {
                self.entries.remove(entry);
            }
            Node::Former(..) | Node::Gone => {}
        }
        self.all.remove(&ino);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(byte: u8) -> EntryId {
        EntryId::from_bytes([byte; 16])
    }

    fn name(text: &str) -> EntryName {
        EntryName::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_number_is_the_same_after_it_was_forgotten_and_never_anothers() {
        let mut inodes = Inodes::new(entry(9));
        let first = inodes.of_entry(entry(1));
        inodes.looked_up(first);
        inodes.forget(first, 1);
        assert!(inodes.get(first).is_none());
        assert_eq!(inodes.of_entry(entry(1)), first);
        let mut close = [1; 16];
        close[15] = 2;
        let other = inodes.of_entry(EntryId::from_bytes(close));
        assert_ne!(other, first, "two ids with one beginning");
        assert_eq!(inodes.of_entry(entry(9)), ROOT);
        let zero = inodes.of_entry(entry(0));
        assert!(zero > ROOT);
    }

    #[test]
    fn a_number_follows_what_is_open_and_not_the_name() {
        let mut inodes = Inodes::new(entry(9));
        let old = inodes.of_entry(entry(1));
        inodes.looked_up(old);
        let new = inodes.new_local(entry(9), name("new"), 5);
        inodes.looked_up(new);
        // Renamed over it: the entry is the program's file now, and the old one only open.
        inodes.becomes(new, Node::Entry(entry(1)));
        assert_eq!(inodes.entry(entry(1)), Some(new));
        assert_eq!(inodes.get(old).unwrap().node, Node::Gone);
        assert_eq!(inodes.local(entry(9), &name("new")), None);
        inodes.forget(old, 1);
        assert!(inodes.get(old).is_none());
        inodes.becomes(new, Node::Gone);
        assert_eq!(inodes.entry(entry(1)), None);
        inodes.forget(new, 1);
        assert_eq!(inodes.numbers(), [ROOT]);
    }

    #[test]
    fn what_is_here_alone_is_not_forgotten_with_the_kernel() {
        let mut inodes = Inodes::new(entry(9));
        let ino = inodes.new_local(entry(9), name("a.part"), 0);
        inodes.looked_up(ino);
        inodes.forget(ino, 1);
        assert_eq!(inodes.local(entry(9), &name("a.part")), Some(ino));
        assert_eq!(inodes.locals_in(entry(9)), [(name("a.part"), ino)]);
        assert_eq!(inodes.places(), [(ROOT, name("a.part"))]);
        inodes.becomes(ino, Node::Gone);
        assert_eq!(inodes.numbers(), [ROOT]);
    }
}
