//! Noting that something was changed here, for what `stat` says of it until the mount ends.
//!
//! Decides who tells the kernel: of a program's own act it knows, and asks again by itself; of what
//! came from elsewhere it is told (`following.rs`).

use parsec_protocol::ids::EntryId;

use super::fail::Fail;
use super::inodes::{Ino, Node};
use super::serve::{Attr, Mount, Names};
use super::writing::Set;
use crate::safes::acts;

impl Names {
    /// Something came into a folder, or left it.
    pub(super) fn touch(&mut self, folder: EntryId) {
        let now = acts::nanoseconds();
        self.folders.put(folder, now);
        if let Some(inode) = self.inodes.entry(folder).and_then(|ino| self.inodes.get_mut(ino)) {
            // By a program of this machine: the kernel knows.
            (inode.changed, inode.children) = (Some(now), None);
        }
    }

    /// The same of the folder that an inode is.
    pub(super) fn touch_at(&mut self, folder: Ino) {
        if let Some(Node::Entry(folder)) = self.inodes.get(folder).map(|inode| inode.node.clone()) {
            self.touch(folder);
        }
    }

    /// Something about an inode was changed.
    pub(super) fn changed(&mut self, ino: Ino) {
        if let Some(inode) = self.inodes.get_mut(ino) {
            inode.changed = Some(acts::nanoseconds());
        }
    }
}

impl Mount {
    /// Notes that a program has set something of an inode, which had been read at a time before;
    /// what the inode is like now.
    ///
    /// # Errors
    /// [`Fail::NotFound`]: it is gone.
    pub(super) async fn noted(&self, ino: Ino, set: Set, read: u64) -> Result<Attr, Fail> {
        self.tree(|names, tree| {
            names.changed(ino);
            if let Some(inode) = names.inodes.get_mut(ino)
                && (set.atime.is_some() || set.mtime.is_some())
            {
                inode.read = Some(set.atime.unwrap_or(read));
            }
            self.attr(names, tree, ino)
        })
        .await
    }
}
