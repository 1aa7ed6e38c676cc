//! What others change while a safe is mounted: the kernel believes what it was told for an hour, so
//! it is told at once of what is not so any more.
//! Decides by comparing what the kernel was told of each inode with the tree, whenever that is
//! another one. A file that is open here and was changed elsewhere gets a new inode: who has it
//! open keeps what they opened, and who opens it next gets what is there. Decides, too, when what
//! was saved goes out: a moment after the last act, so that a save of several steps is one record.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use parsec_protocol::ids::OperationId;
use parsec_protocol::safes::name::EntryName;
use parsec_protocol::safes::tree::Tree;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::file::Base;
use super::inodes::{Ino, Node, Told};
use super::serve::{Mount, Names, looks, told};
use super::times;
use crate::safes::overlay;
use crate::session::open_safes::Memory;

/// After the last act of a program, what it saved goes out.
const QUIET: Duration = Duration::from_millis(300);
/// And after the first one at the latest.
const AT_LATEST: Duration = Duration::from_secs(1);
/// Words to the kernel that wait: whoever has more waits for room.
pub(super) const TELLS_MAX: usize = 1_024;

/// A word to the kernel.
#[derive(Debug)]
pub(super) enum Tell {
    /// This name in this folder is something else, or nothing.
    Name(Ino, EntryName),
    /// This inode has other bytes, or looks otherwise.
    Inode(Ino),
    /// All of these are to be forgotten, inodes and names; nothing comes after. Answered by being
    /// dropped.
    All(Vec<Ino>, Vec<(Ino, EntryName)>, tokio::sync::oneshot::Sender<()>),
}

/// By what the tree that was looked at last is known again.
type Mark = (u64, usize, Option<OperationId>);

impl Mount {
    /// Follows the safe as long as it is mounted.
    pub(super) async fn follow(self: Arc<Self>, tell: mpsc::Sender<Tell>) {
        let mut progress = self.safe.progress();
        let mut last = None;
        while progress.changed().await.is_ok() {
            for word in self.changes(&mut last).await {
                if tell.send(word).await.is_err() {
                    return;
                }
            }
        }
    }

    /// What the kernel believes and is not so.
    async fn changes(&self, last: &mut Option<Mark>) -> Vec<Tell> {
        let mut names = self.names.lock().await;
        let memory = self.safe.memory().await;
        let newest = memory.queue.last().map(|queued| queued.pending.change.operation());
        let mark = (memory.base.seq(), memory.queue.len(), newest);
        if *last == Some(mark) {
            return Vec::new();
        }
        *last = Some(mark);
        let tree = overlay::view(&memory);
        let mut words = Vec::new();
        for ino in names.inodes.numbers() {
            words.extend(came_and_went(&mut names, &tree, ino));
            let Some(inode) = names.inodes.get(ino) else { continue };
            let (Node::Entry(id), Some(known)) = (&inode.node, &inode.told) else { continue };
            let (id, known) = (*id, known.clone());
            let now = tree.entry(id).filter(|_| tree.is_live(id));
            let told_now = now.and_then(told);
            let place = told_now.as_ref().and_then(|told| told.place.clone());
            if place != known.place {
                let folder = |place: &Option<(_, EntryName)>| {
                    let (folder, name) = place.as_ref()?;
                    Some(Tell::Name(names.inodes.entry(*folder)?, name.clone()))
                };
                words.extend(folder(&known.place));
                words.extend(folder(&place));
            }
            let file = inode.file.clone();
            match (now, file) {
                (Some(entry), Some(file)) => {
                    let base = file.base();
                    // A bit that nobody has set here is not taken back when the file is saved.
                    let executable = known.looks.2;
                    if entry.executable != executable && file.looks().executable == executable {
                        file.look(|looks| looks.executable = entry.executable);
                        words.push(Tell::Inode(ino));
                    }
                    if entry.version != base.version {
                        // Written elsewhere while it is open here.
                        let place = known.place.clone().or(place);
                        if let Some((folder, name)) = place {
                            words.extend(
                                names.inodes.entry(folder).map(|folder| Tell::Name(folder, name.clone())),
                            );
                            names.inodes.becomes(ino, Node::Former(id, folder, name));
                        }
                    } else if let Some(content) = entry.content().filter(|content| **content != *base.content)
                    {
                        // The same bytes, sealed anew under another key.
                        file.set_base(Base { content: Arc::new(content.clone()), version: base.version });
                    }
                    // The time, too, unless somebody has written or set it here.
                    if entry.version == base.version
                        && entry.mtime != known.looks.1
                        && file.looks().mtime == known.looks.1
                    {
                        file.look(|looks| looks.mtime = entry.mtime);
                        words.push(Tell::Inode(ino));
                    }
                    // Set elsewhere, and by nobody here.
                    if entry.version == base.version
                        && entry.executable != file.looks().executable
                        && !file.sets_executable.load(Ordering::Relaxed)
                    {
                        file.look(|looks| looks.executable = entry.executable);
                        words.push(Tell::Inode(ino));
                    }
                    if let Some(inode) = names.inodes.get_mut(ino) {
                        let looks = (known.looks.0, entry.mtime, entry.executable);
                        let place = told_now.and_then(|told| told.place);
                        inode.told = Some(Told { place, looks, ..known });
                    }
                }
                (Some(entry), None) => {
                    let found = looks(entry).1;
                    if known.version != entry.version
                        || known.looks != (found.size, found.mtime, found.executable)
                    {
                        words.push(Tell::Inode(ino));
                        names.changed(ino);
                        if known.looks.1 != found.mtime {
                            names.folders.forget(id);
                        }
                    }
                    if let Some(inode) = names.inodes.get_mut(ino) {
                        inode.told = told_now;
                    }
                }
                // Removed elsewhere. What is open stays readable, and what is written comes back.
                (None, Some(_)) => {}
                (None, None) => {
                    words.push(Tell::Inode(ino));
                    if let Some(inode) = names.inodes.get_mut(ino) {
                        inode.told = None;
                    }
                }
            }
        }
        words
    }

    /// Holds what was saved back for a moment, and for no longer than is said.
    pub(super) fn hold(&self, memory: &mut Memory) {
        let now = Instant::now();
        let latest = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            // Until a record was tried (`post` clears this) it is one wait: a program that never
            // rests would else hold back everything for good.
            let waits = memory.quiet_until.is_some() && !memory.queue.is_empty();
            match *held {
                Some(since) if waits => since + AT_LATEST,
                Some(_) | None => {
                    *held = Some(now);
                    now + AT_LATEST
                }
            }
        };
        memory.quiet_until = Some(latest.min(now + QUIET));
    }

    /// Lets what was saved go out.
    pub(super) async fn send(self: Arc<Self>) {
        loop {
            self.soon.notified().await;
            let until = self.safe.memory().await.quiet_until;
            tokio::time::sleep_until(until.unwrap_or_else(Instant::now)).await;
            self.safe.wanted.notify_one();
        }
    }
}

/// A folder into which something came from elsewhere, or which something left, has another time.
fn came_and_went(names: &mut Names, tree: &dyn Tree, ino: Ino) -> Option<Tell> {
    let inode = names.inodes.get_mut(ino)?;
    let Node::Entry(id) = inode.node else { return None };
    if !tree.is_folder(id) || !tree.is_live(id) {
        return None;
    }
    let now = times::children(tree, id);
    let changed = inode.children.is_some_and(|before| before != now);
    if changed {
        names.touch(id);
    }
    // Else nothing is known, or a program of this machine did it, which touched it itself.
    names.inodes.get_mut(ino)?.children = Some(now);
    changed.then_some(Tell::Inode(ino))
}
