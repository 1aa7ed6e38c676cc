//! Renaming: what it makes of the safe's entries, and of what is on this device alone.
//!
//! Decides that a file which is renamed over a shared one is that file's new content: its id and
//! its history stay, for everybody. A program's note becomes a file of the safe where it gets an
//! ordinary name. Programs that have the one that was there open keep what they have.

use std::sync::Arc;

use parsec_protocol::ids::{EntryId, ObjectId};
use parsec_protocol::safes::change::{Change, Kind};
use parsec_protocol::safes::name::EntryName;
use parsec_protocol::safes::tree::{DEPTH_MAX, Tree};
use tokio::sync::OwnedMutexGuard;

use super::fail::Fail;
use super::file::{OpenFile, Written};
use super::inodes::{Ino, Node};
use super::names::is_confined;
use super::naming::{folder, folder_for, found};
use super::serve::{Mount, Names, in_time};
use crate::contents::Taken;
use crate::safes::acts::{self, Act};
use crate::safes::overlay;
use crate::session::open_safes::Memory;

/// A folder, by its inode, and a name in it.
#[derive(Debug, Clone)]
pub(super) struct Named {
    /// The folder's inode.
    pub(super) parent: Ino,
    /// The name.
    pub(super) name: EntryName,
}

/// A file that is here alone, with what was sealed of it.
type Sealed = (Arc<OpenFile>, OwnedMutexGuard<Written>, Taken);

/// What a rename does to the safe.
struct Plan {
    acts: Vec<Act>,
    /// The entry that the source is afterwards.
    entry: EntryId,
}

impl Mount {
    /// Renames; over what is there, unless that is forbidden.
    pub(super) async fn rename(
        self: &Arc<Self>,
        from: Named,
        to: Named,
        no_replace: bool,
    ) -> Result<(), Fail> {
        self.writable().await?;
        let (sealed, made) = self.sealed_for(&from, &to).await?.unzip();
        let folders = [from.parent, to.parent];
        let done = self.renamed(from, to, no_replace, sealed).await;
        if done.is_ok() {
            let mut names = self.names.lock().await;
            folders.into_iter().for_each(|folder| names.touch_at(folder));
        }
        // An error says that nothing was queued. What was sealed before is the draft's still.
        if let Some(made) = made.filter(|made| done.is_err() && !made.is_empty()) {
            self.forget_objects(made).await;
        }
        done
    }

    /// Of a file that is here alone and won't be: its content, sealed, and the objects made for it.
    async fn sealed_for(
        self: &Arc<Self>,
        from: &Named,
        to: &Named,
    ) -> Result<Option<(Sealed, Vec<ObjectId>)>, Fail> {
        let file = self.tree(|names, tree| {
            let source = folder(&names.inodes, tree, from.parent)?;
            let target = folder(&names.inodes, tree, to.parent)?;
            let Some(ino) = names.inodes.local(source, &from.name) else { return Ok(None) };
            let file = names.inodes.get(ino).and_then(|inode| inode.file.clone());
            // Where both are ordinary names and nothing is there, it is saved when it is closed.
            let over = tree.child(target, &to.name).is_some();
            let becomes = is_confined(from.name.as_bytes()) && !is_confined(to.name.as_bytes());
            Ok::<_, Fail>(file.filter(|_| over || becomes))
        });
        let Some(file) = file.await? else { return Ok(None) };
        let written = in_time(async { Ok(Arc::clone(&file.written).lock_owned().await) }).await?;
        let (written, taken, made) = self.seal(&file, written).await?;
        Ok(Some(((file, written, taken), made)))
    }

    async fn renamed(
        &self,
        from: Named,
        to: Named,
        no_replace: bool,
        sealed: Option<Sealed>,
    ) -> Result<(), Fail> {
        let mut names = self.names.lock().await;
        let memory = self.safe.memory().await;
        self.may_write(&memory)?;
        let (ino, over, plan) = {
            let tree = overlay::view(&memory);
            let source = folder(&names.inodes, &tree, from.parent)?;
            let target = folder_for(&names.inodes, &tree, to.parent)?;
            let ino = found(&mut names.inodes, &tree, source, &from.name).ok_or(Fail::NotFound)?;
            let over = found(&mut names.inodes, &tree, target, &to.name);
            if over == Some(ino) {
                return Ok(());
            }
            if over.is_some() && no_replace {
                return Err(Fail::Exists);
            }
            let plan = self.plan(&mut names, &memory, ino, (target, &to.name), over, sealed.as_ref())?;
            (ino, over, plan.ok_or((target, to.name.clone())))
        };
        match plan {
            Ok(Plan { acts, entry }) => {
                let content = sealed.as_ref().map(|(_, _, taken)| taken.content.clone());
                self.queue(&mut names, memory, acts).await?;
                // After a save by renames the name may have kept its entry.
                let now = {
                    let memory = self.safe.memory().await;
                    let tree = overlay::view(&memory);
                    // No error: what was queued names the objects.
                    let target = folder(&names.inodes, &tree, to.parent).ok();
                    target.and_then(|target| tree.child(target, &to.name)).unwrap_or(entry)
                };
                // What stood under the name is only open any more.
                if let Some(over) = over {
                    self.gone(&mut names, over);
                }
                match (sealed, content) {
                    (Some((file, mut written, _)), Some(content)) => {
                        self.stands(&mut names, ino, &file, now, content).await;
                        self.saved(&mut written, &file);
                        let open = names.inodes.get(ino).is_some_and(|inode| inode.opens > 0);
                        if !open && let Some(inode) = names.inodes.get_mut(ino) {
                            inode.file = None;
                        }
                    }
                    _ => {
                        names.inodes.becomes(ino, Node::Entry(now));
                        // From another folder a link leads elsewhere than it was written.
                        if from.parent != to.parent
                            && let Some(inode) = names.inodes.get_mut(ino)
                        {
                            inode.link = None;
                        }
                        self.version_of(&mut names, ino).await;
                    }
                }
            }
            Err((folder, name)) => {
                drop(memory);
                if let Some(over) = over {
                    self.gone(&mut names, over);
                }
                names.inodes.becomes(ino, Node::Local(folder, name));
            }
        }
        names.changed(ino);
        Ok(())
    }

    /// What the safe is to be told; none where it stays on this device alone.
    fn plan(
        &self,
        names: &mut Names,
        memory: &Memory,
        ino: Ino,
        (target, name): (EntryId, &EntryName),
        over: Option<Ino>,
        sealed: Option<&Sealed>,
    ) -> Result<Option<Plan>, Fail> {
        let tree = overlay::view(memory);
        let over = over.and_then(|over| names.inodes.get(over)).map(|inode| inode.node.clone());
        let over = match over {
            Some(Node::Entry(over)) => Some(over),
            Some(Node::Local(..) | Node::Former(..) | Node::Gone) | None => None,
        };
        let inode = names.inodes.get(ino).ok_or(Fail::NotFound)?;
        let source = match (&inode.node, sealed, &inode.link) {
            (Node::Entry(source), ..) => *source,
            (Node::Local(..), Some((file, _, taken)), _) => {
                return local_file(&tree, (target, name), over, file, taken).map(Some);
            }
            (Node::Local(..), None, Some(link)) if !is_confined(name.as_bytes()) => {
                return local_link(&tree, (target, name), over, Kind::Symlink(link.clone())).map(Some);
            }
            // The name was free a moment ago, and is not any more.
            (Node::Local(..), None, _) if over.is_some() => return Err(Fail::Busy),
            (Node::Local(..), None, _) => return Ok(None),
            (Node::Former(..) | Node::Gone, ..) => return Err(Fail::NotFound),
        };
        let from = tree.entry(source).filter(|_| tree.is_live(source)).ok_or(Fail::NotFound)?;
        if tree.is_under(target, source) {
            return Err(Fail::Invalid);
        }
        if tree.depth(target) + 1 + tree.height(source) > DEPTH_MAX {
            return Err(Fail::NameTooLong);
        }
        let operation = acts::operation()?;
        let moved =
            Change::Move { operation, entry: source, parent: target, name: name.clone(), conflict_of: None };
        let Some(over) = over else {
            return Ok(Some(Plan { acts: vec![(moved, Vec::new())], entry: source }));
        };
        let there = tree.entry(over).ok_or(Fail::NotFound)?;
        match (from.is_folder(), there.is_folder()) {
            (true, false) => return Err(Fail::NotAFolder),
            (false, true) => return Err(Fail::IsAFolder),
            (true, true) if tree.next_child(over, None).is_some() => return Err(Fail::NotEmpty),
            (true, true) if !names.inodes.locals_in(over).is_empty() => return Err(Fail::NotEmpty),
            (true, true) | (false, false) => {}
        }
        if let (Some(base), Some(_), Some(_)) = (there.version, from.content(), there.content()) {
            let change = Change::Replace { operation: acts::operation()?, target: over, base, source };
            return Ok(Some(Plan { acts: vec![(change, Vec::new())], entry: over }));
        }
        let removed = Change::Remove { operation: acts::operation()?, entry: over };
        let acts = vec![(removed, Vec::new()), (moved, Vec::new())];
        Ok(Some(Plan { acts, entry: source }))
    }
}

/// A file that was here alone becomes one of the safe.
fn local_file(
    tree: &dyn Tree,
    (parent, name): (EntryId, &EntryName),
    over: Option<EntryId>,
    file: &OpenFile,
    taken: &Taken,
) -> Result<Plan, Fail> {
    let looks = file.looks();
    let (mtime, executable) = (looks.mtime, looks.executable);
    let (content, objects) = (taken.content.clone(), taken.objects.clone());
    let mut acts = Vec::new();
    if let Some(over) = over.and_then(|over| tree.entry(over)) {
        if over.is_folder() {
            return Err(Fail::IsAFolder);
        }
        if let Some(base) = over.version.filter(|_| over.content().is_some()) {
            let entry = over.id;
            acts.push((
                Change::Content { operation: acts::operation()?, entry, base, content, mtime },
                objects,
            ));
            if over.executable != executable {
                let operation = acts::operation()?;
                acts.push((Change::Attributes { operation, entry, mtime, executable }, Vec::new()));
            }
            return Ok(Plan { acts, entry });
        }
        acts.push((Change::Remove { operation: acts::operation()?, entry: over.id }, Vec::new()));
    }
    let (entry, add) = acts::added(parent, name, Kind::File(content), mtime, executable)?;
    acts.push((add, objects));
    Ok(Plan { acts, entry })
}

/// A link that was here alone becomes one of the safe.
fn local_link(
    tree: &dyn Tree,
    (parent, name): (EntryId, &EntryName),
    over: Option<EntryId>,
    link: Kind,
) -> Result<Plan, Fail> {
    let mut acts = Vec::new();
    if let Some(over) = over.and_then(|over| tree.entry(over)) {
        if over.is_folder() {
            return Err(Fail::IsAFolder);
        }
        acts.push((Change::Remove { operation: acts::operation()?, entry: over.id }, Vec::new()));
    }
    let (entry, add) = acts::added(parent, name, link, acts::nanoseconds(), false)?;
    acts.push((add, Vec::new()));
    Ok(Plan { acts, entry })
}
