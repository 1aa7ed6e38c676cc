//! Names: looking them up, listing folders, making and removing what stands under them.
//!
//! Decides that a new file is on this device alone until it is closed for the first time, and one
//! with the name of a program's note for good. Refuses names that a safe doesn't take, and links
//! that lead out of it.

use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::ids::{EntryId, ObjectId};
use parsec_protocol::safes::change::{Change, Kind};
use parsec_protocol::safes::name::{EntryName, LinkTarget};
use parsec_protocol::safes::tree::{DEPTH_MAX, Tree};

use super::fail::Fail;
use super::file::OpenFile;
use super::inodes::{Ino, Inodes, Node, ROOT};
use super::names::{is_confined, made_relative, stays_inside};
use super::queueing;
use super::serve::{Attr, Handle, Listed, Mount, Names, told};
use crate::safes::{acts, overlay};
use crate::session::open_safes::MemoryGuard;

/// Names that are handed to the kernel in one piece.
const PAGE: usize = 256;
/// After a close that could not save, it is tried again: a full disk is seldom empty sooner.
const SAVE_AGAIN: Duration = Duration::from_secs(5);

/// One name of a folder, as the kernel gets it.
pub(super) struct Item {
    /// The name.
    pub(super) name: EntryName,
    /// What it is; none where it is gone since the folder was opened.
    pub(super) attr: Attr,
    /// Where the next one is.
    pub(super) next: u64,
}

/// The entry that a folder's inode is.
pub(super) fn folder(inodes: &Inodes, tree: &dyn Tree, ino: Ino) -> Result<EntryId, Fail> {
    match &inodes.get(ino).ok_or(Fail::NotFound)?.node {
        Node::Entry(id) if tree.is_folder(*id) => tree.is_live(*id).then_some(*id).ok_or(Fail::NotFound),
        Node::Entry(_) | Node::Local(..) => Err(Fail::NotAFolder),
        Node::Former(..) | Node::Gone => Err(Fail::NotFound),
    }
}

/// The same, of a folder that something is to come into.
///
/// # Errors
/// [`Fail::NameTooLong`]: it would stand deeper than a safe goes, which must not be said when a
/// file is closed that was written there.
pub(super) fn folder_for(inodes: &Inodes, tree: &dyn Tree, ino: Ino) -> Result<EntryId, Fail> {
    let folder = folder(inodes, tree, ino)?;
    if tree.depth(folder) >= DEPTH_MAX { Err(Fail::NameTooLong) } else { Ok(folder) }
}

/// What stands under a name: an inode, which may be new.
pub(super) fn found(inodes: &mut Inodes, tree: &dyn Tree, folder: EntryId, name: &EntryName) -> Option<Ino> {
    inodes.local(folder, name).or_else(|| tree.child(folder, name).map(|entry| inodes.of_entry(entry)))
}

impl Mount {
    /// What stands under a name. The kernel counts it as looked up.
    pub(super) async fn lookup(&self, parent: Ino, name: &[u8]) -> Result<Attr, Fail> {
        let name = EntryName::new(name)?;
        self.tree(|names, tree| {
            let folder = folder(&names.inodes, tree, parent)?;
            let ino = found(&mut names.inodes, tree, folder, &name).ok_or(Fail::NotFound)?;
            let attr = self.attr(names, tree, ino);
            if attr.is_ok() {
                names.inodes.looked_up(ino);
            }
            attr
        })
        .await
    }

    /// What an inode is like.
    pub(super) async fn getattr(&self, ino: Ino) -> Result<Attr, Fail> {
        self.tree(|names, tree| self.attr(names, tree, ino)).await
    }

    /// The kernel forgets look-ups.
    pub(super) async fn forget(&self, ino: Ino, lookups: u64) {
        self.names.lock().await.inodes.forget(ino, lookups);
    }

    /// Opens a folder: what is in it now.
    pub(super) async fn open_folder(&self, ino: Ino) -> Result<u64, Fail> {
        self.tree(|names, tree| {
            let folder = folder(&names.inodes, tree, ino)?;
            let mut all = Vec::new();
            for (name, ino) in names.inodes.locals_in(folder) {
                all.push(Listed { name, node: Err(ino) });
            }
            for (name, entry) in tree.children(folder) {
                if names.inodes.local(folder, &name).is_none() {
                    all.push(Listed { name, node: Ok(entry) });
                }
            }
            Ok(names.open(Handle::Folder(Arc::new(all))))
        })
        .await
    }

    /// Names of an open folder, from a place on.
    pub(super) async fn list(&self, handle: u64, from: u64) -> Result<Vec<Item>, Fail> {
        self.tree(|names, tree| {
            let all = match names.handles.get(&handle) {
                Some(Handle::Folder(all)) => Arc::clone(all),
                Some(Handle::File(_)) | None => return Err(Fail::NotOpen),
            };
            let from = usize::try_from(from).unwrap_or(usize::MAX);
            let mut items = Vec::new();
            for (at, listed) in all.iter().enumerate().skip(from) {
                if items.len() >= PAGE {
                    break;
                }
                let ino = match listed.node {
                    Ok(entry) => names.inodes.of_entry(entry),
                    Err(ino) => ino,
                };
                let before =
                    names.inodes.get(ino).map(|inode| (inode.told.clone(), inode.sized, inode.children));
                let Ok(attr) = self.attr(names, tree, ino) else { continue };
                // Whether the kernel takes it is not known yet: it may believe what it did before.
                if let (Some((told, sized, children)), Some(inode)) = (before, names.inodes.get_mut(ino)) {
                    inode.told = told.or(inode.told.take());
                    (inode.sized, inode.children) = (sized, children.or(inode.children));
                }
                // At once: another listing, or a `forget`, would else take the number away before
                // the kernel has it. `listed` takes back what the kernel does not get.
                names.inodes.looked_up(ino);
                items.push(Item { name: listed.name.clone(), attr, next: at as u64 + 1 });
            }
            Ok(items)
        })
        .await
    }

    /// Those of a page that the kernel took stay counted as looked up; the others are taken back.
    pub(super) async fn listed(&self, items: &[Item], taken: usize) {
        let mut names = self.names.lock().await;
        for item in items.iter().skip(taken) {
            names.inodes.forget(item.attr.ino, 1);
        }
    }

    /// Opens a file; whether the kernel's pages are of what is opened.
    ///
    /// # Errors
    /// [`Fail::Stale`]: the kernel knows another size. It looks the name up anew and asks again.
    pub(super) async fn open(&self, ino: Ino, writes: bool) -> Result<(u64, bool), Fail> {
        if writes {
            self.writable().await?;
        }
        self.is_kept(ino).await?;
        self.tree(|names, tree| {
            let was_open = names.inodes.get(ino).is_some_and(|inode| inode.file.is_some());
            let version = self.file(&mut names.inodes, tree, ino)?.base().version;
            let mut keeps = names.inodes.get(ino).is_some_and(|inode| inode.pages.is_some());
            if let Some(inode) = names.inodes.get_mut(ino)
                && !was_open
            {
                // Else an append would land at the size before somebody else's change, and take
                // their bytes away with no conflict.
                if inode.sized != version {
                    inode.file = None;
                    return Err(Fail::Stale);
                }
                keeps = inode.pages == version;
                inode.pages = version;
            }
            if let Some(inode) = names.inodes.get_mut(ino) {
                inode.opens += 1;
            }
            Ok((names.open(Handle::File(ino)), keeps))
        })
        .await
    }

    /// A program has closed its last handle of this opening.
    pub(super) async fn release(self: &Arc<Self>, handle: u64) {
        let ino = match self.names.lock().await.handles.remove(&handle) {
            Some(Handle::File(ino)) => ino,
            Some(Handle::Folder(_)) | None => return,
        };
        // What a mapping wrote after the file was closed.
        if let Err(fail) = self.let_go(ino).await {
            tracing::warn!(%fail, "what a program wrote at last is not saved yet");
        }
    }

    /// One who had a file open has done with it; the last one saves. What can't be saved now stays,
    /// and is tried again: nobody is there any more who could write it once more.
    ///
    /// # Errors
    /// [`Fail`]: it is not saved yet.
    pub(super) async fn let_go(self: &Arc<Self>, ino: Ino) -> Result<(), Fail> {
        {
            let mut names = self.names.lock().await;
            let Some(inode) = names.inodes.get_mut(ino) else { return Ok(()) };
            if inode.opens > 1 {
                inode.opens -= 1;
                return Ok(());
            }
        }
        let saved = self.save(ino).await;
        if saved.is_ok() {
            self.has_let_go(ino).await;
        } else {
            let mount = Arc::clone(self);
            self.session.run(async move {
                loop {
                    tokio::time::sleep(SAVE_AGAIN).await;
                    if mount.save(ino).await.is_ok() {
                        break;
                    }
                }
                mount.has_let_go(ino).await;
            });
        }
        saved
    }

    /// Saves what is still open, or here alone, when the mount ends.
    pub(super) async fn save_rest(self: &Arc<Self>) {
        let all = self.names.lock().await.inodes.numbers();
        for ino in all {
            if let Err(fail) = self.save(ino).await {
                tracing::warn!(%fail, "what was open when a mount ended is not saved");
            }
        }
        // Nothing follows for which it would wait.
        self.safe.memory().await.quiet_until = None;
        self.safe.wanted.notify_one();
    }

    async fn has_let_go(&self, ino: Ino) {
        let mut names = self.names.lock().await;
        let Some(inode) = names.inodes.get_mut(ino) else { return };
        inode.opens = inode.opens.saturating_sub(1);
        if inode.opens == 0 && !matches!(inode.node, Node::Local(..)) {
            let file = inode.file.take();
            names.inodes.tidy(ino);
            drop(names);
            if let Some(file) = file {
                self.closed(&file).await;
            }
        }
    }

    /// A new file, open: on this device alone until it is closed.
    pub(super) async fn create(
        &self,
        parent: Ino,
        name: &[u8],
        executable: bool,
    ) -> Result<(Attr, u64), Fail> {
        {
            let mut memory = self.safe.memory().await;
            self.may_write(&memory)?;
            // It may be a step of a save: what was moved out of its way waits for it.
            self.hold(&mut memory);
        }
        self.soon.notify_one();
        let name = EntryName::new(name)?;
        self.tree(|names, tree| {
            let folder = folder_for(&names.inodes, tree, parent)?;
            if found(&mut names.inodes, tree, folder, &name).is_some() {
                return Err(Fail::Exists);
            }
            let file = Arc::new(OpenFile::empty(acts::nanoseconds(), executable));
            let ino = new_local(names, folder, name)?;
            if let Some(inode) = names.inodes.get_mut(ino) {
                inode.file = Some(file);
                inode.opens = 1;
            }
            names.inodes.looked_up(ino);
            names.touch(folder);
            let attr = self.attr(names, tree, ino)?;
            Ok((attr, names.open(Handle::File(ino))))
        })
        .await
    }

    /// A new folder.
    pub(super) async fn make_folder(&self, parent: Ino, name: &[u8]) -> Result<Attr, Fail> {
        self.add(parent, name, Kind::Folder).await
    }

    /// A new symbolic link.
    pub(super) async fn link(&self, parent: Ino, name: &[u8], target: &[u8]) -> Result<Attr, Fail> {
        let asked = self.tree(|names, tree| {
            let depth = tree.depth(folder(&names.inodes, tree, parent)?);
            // On another member's machine the safe is somewhere else.
            let relative = made_relative(self.folder.as_bytes(), depth, target);
            let whole = relative.is_some().then(|| LinkTarget::new(target)).transpose()?;
            let target = relative.as_deref().unwrap_or(target);
            if !stays_inside(depth, target) && !target.is_empty() {
                return Err(Fail::NotPermitted);
            }
            Ok((LinkTarget::new(target)?, whole))
        });
        let (target, whole) = asked.await?;
        if !is_confined(name) {
            let mut attr = self.add(parent, name, Kind::Symlink(target)).await?;
            if let Some(whole) = whole {
                // Whoever made it reads what they wrote, in this folder and mount.
                attr.looks.size = whole.as_bytes().len() as u64;
                if let Some(inode) = self.names.lock().await.inodes.get_mut(attr.ino) {
                    inode.link = Some(whole);
                }
            }
            return Ok(attr);
        }
        self.writable().await?;
        let name = EntryName::new(name)?;
        self.tree(|names, tree| {
            let folder = folder_for(&names.inodes, tree, parent)?;
            if found(&mut names.inodes, tree, folder, &name).is_some() {
                return Err(Fail::Exists);
            }
            let ino = new_local(names, folder, name)?;
            if let Some(inode) = names.inodes.get_mut(ino) {
                inode.link = Some(target);
            }
            names.inodes.looked_up(ino);
            names.touch(folder);
            self.attr(names, tree, ino)
        })
        .await
    }

    /// Where a link points to.
    pub(super) async fn target(&self, ino: Ino) -> Result<LinkTarget, Fail> {
        self.tree(|names, tree| {
            let inode = names.inodes.get(ino).ok_or(Fail::NotFound)?;
            if let Some(target) = &inode.link {
                return Ok(target.clone());
            }
            let Node::Entry(id) = &inode.node else { return Err(Fail::Invalid) };
            let entry = tree.entry(*id).filter(|_| tree.is_live(*id)).ok_or(Fail::NotFound)?;
            match (&entry.kind, entry.parent) {
                // Whoever made it may have had another program than this.
                (Kind::Symlink(target), Some(parent))
                    if stays_inside(tree.depth(parent), target.as_bytes()) =>
                {
                    Ok(target.clone())
                }
                (Kind::Symlink(_), _) => Err(Fail::NotPermitted),
                (Kind::Folder | Kind::File(_), _) => Err(Fail::Invalid),
            }
        })
        .await
    }

    /// Adds a folder or link to the safe.
    async fn add(&self, parent: Ino, name: &[u8], kind: Kind) -> Result<Attr, Fail> {
        let name = EntryName::new(name)?;
        let mut names = self.names.lock().await;
        let memory = self.safe.memory().await;
        self.may_write(&memory)?;
        let (entry, change) = {
            let tree = overlay::view(&memory);
            let folder = folder_for(&names.inodes, &tree, parent)?;
            if found(&mut names.inodes, &tree, folder, &name).is_some() {
                return Err(Fail::Exists);
            }
            acts::added(folder, &name, kind, acts::nanoseconds(), false)?
        };
        self.queue(&mut names, memory, vec![(change, Vec::new())]).await?;
        names.touch_at(parent);
        let ino = names.inodes.of_entry(entry);
        let memory = self.safe.memory().await;
        let attr = self.attr(&mut names, &overlay::view(&memory), ino)?;
        names.inodes.looked_up(ino);
        Ok(attr)
    }

    /// Removes a file or link; with `folder` a folder that is empty.
    pub(super) async fn remove(&self, parent: Ino, name: &[u8], is_folder: bool) -> Result<(), Fail> {
        let name = EntryName::new(name)?;
        let mut names = self.names.lock().await;
        let memory = self.safe.memory().await;
        self.may_write(&memory)?;
        let (ino, entry) = {
            let tree = overlay::view(&memory);
            let folder = folder(&names.inodes, &tree, parent)?;
            let ino = found(&mut names.inodes, &tree, folder, &name).ok_or(Fail::NotFound)?;
            let entry = match names.inodes.get(ino).map(|inode| inode.node.clone()) {
                Some(Node::Entry(entry)) => entry,
                Some(Node::Local(..)) if is_folder => return Err(Fail::NotAFolder),
                Some(Node::Local(..)) => {
                    drop(memory);
                    self.gone(&mut names, ino);
                    names.touch_at(parent);
                    return Ok(());
                }
                Some(Node::Former(..) | Node::Gone) | None => return Err(Fail::NotFound),
            };
            match (tree.is_folder(entry), is_folder) {
                (true, false) => return Err(Fail::IsAFolder),
                (false, true) => return Err(Fail::NotAFolder),
                (true, true)
                    if tree.next_child(entry, None).is_some()
                        || !names.inodes.locals_in(entry).is_empty() =>
                {
                    return Err(Fail::NotEmpty);
                }
                (true, true) | (false, false) => {}
            }
            (ino, entry)
        };
        let act = (Change::Remove { operation: acts::operation()?, entry }, Vec::new());
        self.queue(&mut names, memory, vec![act]).await?;
        self.gone(&mut names, ino);
        names.touch_at(parent);
        Ok(())
    }

    /// An inode has no name any more. Who has it open keeps it.
    pub(super) fn gone(&self, names: &mut Names, ino: Ino) {
        names.inodes.becomes(ino, Node::Gone);
        names.changed(ino);
        if let Some(inode) = names.inodes.get_mut(ino)
            && inode.opens == 0
            && let Some(file) = inode.file.take()
        {
            self.given_back(&file);
        }
    }

    /// Saves acts, and notes who has another entry by them. They go out a moment later, together
    /// with what follows at once.
    pub(super) async fn queue(
        &self,
        names: &mut Names,
        mut memory: MemoryGuard,
        acts: Vec<(Change, Vec<ObjectId>)>,
    ) -> Result<(), Fail> {
        self.hold(&mut memory);
        let open = names.inodes.open_objects();
        let done = queueing::save(&self.session, &self.safe, memory, acts, open).await?;
        if let Some((kept, fresh)) = done.swapped
            && let Some(ino) = names.inodes.entry(kept)
        {
            names.inodes.becomes(ino, Node::Entry(fresh));
            self.version_of(names, ino).await;
        }
        self.soon.notify_one();
        // Another mount of the same safe shows it too.
        self.safe.went_on();
        Ok(())
    }

    /// An inode is what its entry is now, by an act of this device: its file is written over in
    /// that version, and the kernel, which asked for the act, knows of it.
    pub(super) async fn version_of(&self, names: &mut Names, ino: Ino) {
        let Some(inode) = names.inodes.get_mut(ino) else { return };
        let Node::Entry(id) = inode.node else { return };
        let memory = self.safe.memory().await;
        let tree = overlay::view(&memory);
        let entry = tree.entry(id);
        if let Some(file) = &inode.file {
            let version = entry.and_then(|entry| entry.version);
            file.set_version(version);
            // What the kernel has is what its own programs wrote, over pages that it had.
            (inode.sized, inode.pages) = (version, inode.pages.and(version));
        }
        inode.told = entry.and_then(told);
    }
}

/// An inode for what is here alone, with a number that none had before.
fn new_local(names: &mut Names, folder: EntryId, name: EntryName) -> Result<Ino, Fail> {
    let mut begin = [0; 8];
    begin.iter_mut().zip(acts::drawn()?).for_each(|(to, from)| *to = from);
    Ok(names.inodes.new_local(folder, name, u64::from_be_bytes(begin).max(ROOT + 1)))
}
