//! Writing: what programs do to the bytes of an open file, and how it is saved.
//!
//! Decides when what was written is *saved*: at the latest when the program closes the file or asks
//! for it (`fsync`), and before that is told. Chunks that take too much memory are sealed
//! meanwhile. Where the entry has another content by then, because somebody else wrote, what was
//! written here becomes a conflict copy: nobody's bytes are dropped.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parsec_protocol::control::Problem;
use parsec_protocol::ids::{EntryId, ObjectId};
use parsec_protocol::safes::change::{Change, ConflictOf, Kind};
use parsec_protocol::safes::content::{BUFFER_BYTES, CHUNK_LENGTH, EarlierPage, chunk_length};
use parsec_protocol::safes::content_ref::{CHUNK_BYTES, Content, PAGE_REFERENCES, References};
use parsec_protocol::safes::rebase::conflict_name;
use parsec_protocol::safes::tree::Tree;
use tokio::sync::OwnedMutexGuard;

use super::asker::Asker;
use super::ceiling::forgotten;
use super::draft::{ChunkBytes, Draft, Plain};
use super::fail::Fail;
use super::file::{Base, OpenFile, Written};
use super::inodes::{Ino, Node};
use super::names::is_confined;
use super::serve::{Attr, Mount, bounded, by, count, in_time, until};
use crate::contents::Taken;
use crate::contents::random::{self, Next, Sealer};
use crate::os::{blocking_in, clock};
use crate::safes::acts::{self, Act};
use crate::safes::overlay;
use crate::session::open_safes::Memory;

/// Bytes in the clear of all that is being written: above, whole chunks are sealed.
const PLAIN_MAX_BYTES: usize = 32 * 1_024 * 1_024;
/// Chunks that are sealed together, with one sync.
const SPILL_CHUNKS: usize = 16;

/// What a program sets of an inode.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Set {
    /// Bytes that it is to have.
    pub(super) size: Option<u64>,
    /// When it was read, in nanoseconds since 1970.
    pub(super) atime: Option<u64>,
    /// When its bytes were changed, in the same.
    pub(super) mtime: Option<u64>,
    /// Whether it is a program.
    pub(super) executable: Option<bool>,
}

impl Mount {
    /// Writes bytes.
    pub(super) async fn write(self: &Arc<Self>, ino: Ino, offset: u64, data: &[u8]) -> Result<(), Fail> {
        self.writable().await?;
        let file = self.opened(ino).await?;
        let mut written = file.written.lock().await;
        self.has_room(written.unsaved.saturating_add(data.len() as u64))?;
        self.make_room(&mut written, offset / CHUNK_BYTES, data.len()).await?;
        for number in written.draft.lacking(offset, data.len()) {
            let bytes = self.brought(&file, &written.draft, number).await?;
            written.draft.bring(number, bytes);
        }
        if !written.draft.write(offset, data) {
            return Err(Fail::TooLarge);
        }
        written.dirty = true;
        written.unsaved = written.unsaved.saturating_add(data.len() as u64);
        let size = written.draft.size();
        file.look(|looks| (looks.size, looks.mtime) = (size, acts::nanoseconds()));
        self.counted(&mut written);
        self.drop_spare(&mut written).await;
        if self.plain.load(Ordering::Relaxed) > PLAIN_MAX_BYTES {
            self.spill(&mut written, offset.saturating_add(data.len() as u64) / CHUNK_BYTES).await?;
        }
        Ok(())
    }

    /// Bytes of a chunk that is written to in part, in a buffer that can be sealed where it is.
    async fn brought(&self, file: &OpenFile, draft: &Draft, number: u64) -> Result<Plain, Fail> {
        let old = match draft.chunk(number) {
            ChunkBytes::Sealed(reference) => {
                let (_, keys) = self.keys().await;
                bounded(random::alone(&self.session, &self.safe, &keys, reference))
                    .await
                    .map(Arc::new)
                    .map(Some)?
            }
            ChunkBytes::Before(_) => self.chunk(file, &file.base().content, number, Asker::Ourselves).await?,
            ChunkBytes::Plain(_) | ChunkBytes::Zeros => None,
        };
        let mut bytes = Plain::new(Vec::with_capacity(BUFFER_BYTES));
        match old {
            Some(old) => bytes.extend_from_slice(&old),
            None => bytes.resize(chunk_length(file.base().content.size, number), 0),
        }
        Ok(bytes)
    }

    /// Makes a file so long.
    async fn cut(self: &Arc<Self>, file: &OpenFile, size: u64) -> Result<(), Fail> {
        let mut written = in_time(async { Ok(file.written.lock().await) }).await?;
        if written.draft.size() == size {
            return Ok(());
        }
        if let Some((number, _)) = written.draft.cut_in(size) {
            let bytes = in_time(self.brought(file, &written.draft, number)).await?;
            written.draft.bring(number, bytes);
        }
        if !written.draft.truncate(size) {
            return Err(Fail::TooLarge);
        }
        written.dirty = true;
        file.look(|looks| (looks.size, looks.mtime) = (size, acts::nanoseconds()));
        self.counted(&mut written);
        self.drop_spare(&mut written).await;
        Ok(())
    }

    /// Notes what a draft holds in the clear now.
    pub(super) fn counted(&self, written: &mut Written) {
        let now = written.draft.plain_bytes();
        count(&self.plain, written.counted, now);
        written.counted = now;
    }

    /// Seals whole chunks to make room.
    pub(super) async fn spill(&self, written: &mut Written, but: u64) -> Result<(), Fail> {
        let numbers: Vec<u64> = written.draft.whole(but).into_iter().take(SPILL_CHUNKS).collect();
        if numbers.is_empty() {
            return Ok(());
        }
        let copied = |number: &u64| match written.draft.chunk(*number) {
            ChunkBytes::Plain(bytes) => {
                let mut copy = Plain::new(Vec::with_capacity(BUFFER_BYTES));
                copy.extend_from_slice(bytes);
                copy.resize(CHUNK_LENGTH, 0);
                copy
            }
            ChunkBytes::Sealed(_) | ChunkBytes::Before(_) | ChunkBytes::Zeros => Plain::default(),
        };
        let chunks: Vec<Plain> = numbers.iter().map(copied).collect();
        let (epoch, keys) = self.keys().await;
        let (session, safe) = (Arc::clone(&self.session), Arc::clone(&self.safe));
        let sealed = blocking_in(&self.session.tasks, move || {
            Sealer { session: &session, safe: &safe, epoch }.spill(&keys, chunks)
        });
        for (number, reference) in numbers.into_iter().zip(sealed.await?) {
            written.draft.sealed(number, reference);
        }
        self.counted(written);
        Ok(())
    }

    /// Sets what a program may set of an inode.
    pub(super) async fn set(self: &Arc<Self>, ino: Ino, set: Set) -> Result<Attr, Fail> {
        self.writable().await?;
        let before = self.getattr(ino).await?;
        if let Some(size) = set.size {
            let file = self
                .tree(|names, tree| {
                    let file = self.file(&mut names.inodes, tree, ino)?;
                    let inode = names.inodes.get_mut(ino).ok_or(Fail::NotFound)?;
                    let is_open = inode.opens > 0;
                    // Whoever closes it meanwhile is not the last, and does not drop what is cut.
                    inode.opens += 1;
                    // Nobody has asked whether the kernel's pages are of this version.
                    inode.pages = inode.pages.filter(|_| is_open);
                    Ok::<_, Fail>(file)
                })
                .await?;
            let cut = match self.has_room(0) {
                Ok(()) => self.cut(&file, size).await,
                Err(fail) => Err(fail),
            };
            let saved = self.let_go(ino).await;
            cut.and(saved)?;
        }
        if set.mtime.is_some() || set.executable.is_some() {
            self.set_looks(ino, set).await?;
        }
        self.noted(ino, set, before.read).await
    }

    /// Sets time and whether it is a program.
    async fn set_looks(&self, ino: Ino, set: Set) -> Result<(), Fail> {
        let mut names = self.names.lock().await;
        let inode = names.inodes.get(ino).ok_or(Fail::NotFound)?;
        if let Some(file) = &inode.file {
            file.look(|looks| {
                looks.mtime = set.mtime.unwrap_or(looks.mtime);
                looks.executable = set.executable.unwrap_or(looks.executable);
            });
            // With its content, where that is saved anyway.
            if file.written.try_lock().is_ok_and(|written| written.dirty) {
                file.sets_executable.fetch_or(set.executable.is_some(), Ordering::Relaxed);
                return Ok(());
            }
        }
        let Node::Entry(entry) = inode.node else { return Ok(()) };
        let memory = self.safe.memory().await;
        self.may_write(&memory)?;
        let change = {
            let tree = overlay::view(&memory);
            // The root's are nobody's.
            let Some(found) = tree.entry(entry).filter(|_| tree.is_live(entry)) else { return Ok(()) };
            let mtime = set.mtime.unwrap_or(found.mtime);
            let executable = set.executable.unwrap_or(found.executable) && !found.is_folder();
            if (mtime, executable) == (found.mtime, found.executable) {
                return Ok(());
            }
            Change::Attributes { operation: acts::operation()?, entry, mtime, executable }
        };
        self.queue(&mut names, memory, vec![(change, Vec::new())]).await?;
        names.folders.forget(entry);
        Ok(())
    }

    /// Saves what was written: durable when this returns. What is on this device alone by its name
    /// stays in memory, and what has no name any more is nobody's.
    ///
    /// # Errors
    /// [`Fail`]: it is not saved, and is tried again when the file is closed.
    pub(super) async fn save(self: &Arc<Self>, ino: Ino) -> Result<(), Fail> {
        let Some((file, node)) = self.open_node(ino).await else { return Ok(()) };
        let written = in_time(async { Ok(Arc::clone(&file.written).lock_owned().await) }).await?;
        match &node {
            _ if !written.dirty => return Ok(()),
            Node::Gone => return Ok(()),
            Node::Local(_, name) if is_confined(name.as_bytes()) => return Ok(()),
            Node::Entry(_) | Node::Local(..) | Node::Former(..) => {}
        }
        let (mut written, taken, made) = self.seal(&file, written).await?;
        let put = self.put(ino, &file, &mut written, taken).await;
        if put.is_err() {
            // Never those that were sealed before to make room: the draft names them still.
            self.forget_objects(made).await;
        }
        put
    }

    async fn open_node(&self, ino: Ino) -> Option<(Arc<OpenFile>, Node)> {
        let names = self.names.lock().await;
        let inode = names.inodes.get(ino)?;
        Some((Arc::clone(inode.file.as_ref()?), inode.node.clone()))
    }

    /// Seals all of a file that was written, durably; nothing names it yet. Says which objects it
    /// made: those alone are dropped where the content is not saved.
    pub(super) async fn seal(
        self: &Arc<Self>,
        file: &Arc<OpenFile>,
        written: OwnedMutexGuard<Written>,
    ) -> Result<(OwnedMutexGuard<Written>, Taken, Vec<ObjectId>), Fail> {
        self.has_room(written.unsaved.min(written.draft.size()))?;
        let (epoch, keys) = self.keys().await;
        let accepted = self.safe.memory().await.base.clone();
        let (mount, file) = (Arc::clone(self), Arc::clone(file));
        let (runtime, until) = (tokio::runtime::Handle::current(), until());
        let sealed = blocking_in(&self.session.tasks, move || {
            let base = file.base().content;
            let (session, safe) = (Arc::clone(&mount.session), Arc::clone(&mount.safe));
            let sealer = Sealer { session: &session, safe: &safe, epoch };
            let size = written.draft.size();
            let fetched = |number: u64| {
                // Locking ends the wait.
                let wait = async {
                    tokio::select! {
                        () = mount.session.stop.cancelled() => Err(Fail::Io),
                        chunk = mount.chunk(&file, &base, number, Asker::Ourselves) => chunk,
                    }
                };
                runtime.block_on(by(until, in_time(wait)))
            };
            let mut failed = None;
            let taken = sealer.seal(&keys, size.div_ceil(CHUNK_BYTES), |number| {
                let length = chunk_length(size, number);
                let filled = |bytes: &[u8]| {
                    // With room for padding and a tag it never moves.
                    let room = if length == CHUNK_LENGTH { BUFFER_BYTES } else { length + length / 8 + 32 };
                    let mut buffer = Plain::new(Vec::with_capacity(room));
                    buffer.extend_from_slice(bytes.get(..length).unwrap_or(bytes));
                    buffer.resize(length, 0);
                    Next::Bytes(buffer)
                };
                let mut fail = |fail: Fail| {
                    failed = Some(fail);
                    Problem::new(parsec_protocol::control::ProblemKind::ContentsUnavailable, fail.to_string())
                };
                if mount.session.stop.is_cancelled() {
                    return Err(fail(Fail::Io));
                }
                match written.draft.chunk(number) {
                    ChunkBytes::Plain(bytes) => Ok(filled(bytes)),
                    ChunkBytes::Zeros => Ok(Next::Hole(length as u64)),
                    ChunkBytes::Sealed(reference) if reference.epoch == epoch => {
                        Ok(Next::Untouched { reference, fresh: true, page: None })
                    }
                    ChunkBytes::Sealed(reference) => {
                        let bytes = random::alone(&session, &safe, &keys, reference);
                        let bytes = runtime.block_on(by(until, bounded(bytes))).map_err(&mut fail)?;
                        Ok(filled(&bytes))
                    }
                    ChunkBytes::Before(shown) => {
                        if let Some(next) = untouched(&sealer, &accepted, (&base, size), number, shown) {
                            return Ok(next);
                        }
                        match fetched(number).map_err(fail)? {
                            Some(bytes) => Ok(filled(bytes.get(..shown).unwrap_or(&bytes))),
                            None => Ok(Next::Hole(length as u64)),
                        }
                    }
                }
            });
            match (taken, failed) {
                (Ok(mut taken), _) => {
                    let made = taken.objects.clone();
                    taken.objects.extend(written.draft.sealed_objects().iter().map(|found| found.object));
                    Ok::<_, Problem>(Ok((written, taken, made)))
                }
                (Err(_), Some(fail)) => Ok(Err(fail)),
                (Err(problem), None) => Err(problem),
            }
        });
        sealed.await?
    }

    /// Puts a sealed content where its inode is now. An error says that nothing was queued.
    async fn put(&self, ino: Ino, file: &OpenFile, written: &mut Written, taken: Taken) -> Result<(), Fail> {
        let mut names = self.names.lock().await;
        let node = names.inodes.get(ino).map(|inode| inode.node.clone()).ok_or(Fail::NotOpen)?;
        let memory = self.safe.memory().await;
        self.may_write(&memory)?;
        let content = taken.content.clone();
        let wished = match &node {
            Node::Local(folder, name) | Node::Former(_, folder, name) => Some((*folder, name.clone())),
            Node::Entry(_) | Node::Gone => names.inodes.get(ino).and_then(|inode| inode.told.clone()?.place),
        };
        let (mut entry, acts) = self.acts_of(&memory, &node, file, taken)?;
        let place = match acts.first() {
            Some((Change::Add { parent, name, .. }, _)) => Some((*parent, name.clone())),
            Some(_) | None => None,
        };
        self.queue(&mut names, memory, acts).await?;
        if let Some((parent, name)) = place {
            // After a save by renames the name may have kept its entry.
            let memory = self.safe.memory().await;
            entry = overlay::view(&memory).child(parent, &name).unwrap_or(entry);
        }
        self.stands(&mut names, ino, file, entry, content).await;
        // Under another name than the kernel knows, it is told (`changes`).
        if let Some(told) = names.inodes.get_mut(ino).and_then(|inode| inode.told.as_mut()) {
            told.place = wished.or(told.place.take());
        }
        self.saved(written, file);
        // A file that has the place of another one has its own bit all the same.
        let memory = self.safe.memory().await;
        let executable = file.looks().executable;
        let other = {
            let tree = overlay::view(&memory);
            let other = tree.entry(entry).filter(|found| found.executable != executable);
            other.map(|found| found.mtime)
        };
        // The content is saved: an error from here on would have its objects dropped.
        if let Some(mtime) = other
            && let Ok(operation) = acts::operation()
        {
            let change = Change::Attributes { operation, entry, mtime, executable };
            if let Err(fail) = self.queue(&mut names, memory, vec![(change, Vec::new())]).await {
                tracing::warn!(%fail, "whether a saved file is a program is not saved");
            }
        }
        Ok(())
    }

    /// An inode is an entry with this content from now on.
    pub(super) async fn stands(
        &self,
        names: &mut super::serve::Names,
        ino: Ino,
        file: &OpenFile,
        entry: EntryId,
        content: Content,
    ) {
        names.inodes.becomes(ino, Node::Entry(entry));
        file.set_base(Base { content: Arc::new(content), version: None });
        self.version_of(names, ino).await;
    }

    /// All of a draft is saved: it is over what was saved from now on.
    pub(super) fn saved(&self, written: &mut Written, file: &OpenFile) {
        let size = file.base().content.size;
        written.draft.stands(size);
        (written.dirty, written.unsaved) = (false, 0);
        file.sets_executable.store(false, Ordering::Relaxed);
        self.counted(written);
    }

    /// The acts by which a content gets to where its inode is, and the entry that it is in then.
    fn acts_of(
        &self,
        memory: &Memory,
        node: &Node,
        file: &OpenFile,
        taken: Taken,
    ) -> Result<(EntryId, Vec<Act>), Fail> {
        let tree = overlay::view(memory);
        let looks = file.looks();
        let Taken { content, objects } = taken;
        let (mtime, executable) = (looks.mtime, looks.executable);
        let version = file.base().version;
        let (beside, folder, name) = match node {
            Node::Entry(entry) | Node::Former(entry, ..) if tree.is_live(*entry) => {
                let found = tree.entry(*entry).ok_or(Fail::NotFound)?;
                if found.version == version
                    && let Some(base) = version
                {
                    let operation = acts::operation()?;
                    let change = Change::Content { operation, entry: *entry, base, content, mtime };
                    let mut all = vec![(change, objects)];
                    // Else somebody elsewhere has set it, and it is theirs.
                    if file.sets_executable.load(Ordering::Relaxed) && found.executable != executable {
                        let operation = acts::operation()?;
                        let entry = *entry;
                        all.push((Change::Attributes { operation, entry, mtime, executable }, Vec::new()));
                    }
                    return Ok((*entry, all));
                }
                let beside = version.map(|version| ConflictOf { entry: *entry, version });
                (beside, found.parent.ok_or(Fail::NotFound)?, found.name.clone())
            }
            Node::Entry(entry) | Node::Former(entry, ..) => {
                // Removed meanwhile: it is there again, with what was written.
                let found = tree.entry(*entry).ok_or(Fail::NotFound)?;
                let folder = found.last_parent().filter(|folder| tree.is_live(*folder));
                (None, folder.unwrap_or_else(|| tree.root()), found.name.clone())
            }
            Node::Local(folder, name) => {
                let folder = if tree.is_live(*folder) { *folder } else { tree.root() };
                (None, folder, name.clone())
            }
            Node::Gone => return Err(Fail::NotOpen),
        };
        let name = if tree.child(folder, &name).is_some() {
            let moment = clock::moment(clock::now());
            let moment = moment.get(..16).unwrap_or_default().replace(':', ".");
            let label = self.session.open.keys.device_label.as_str();
            conflict_name(&tree, folder, &name, label, &moment)
        } else {
            name
        };
        let entry = EntryId::from_bytes(acts::drawn()?);
        let kind = Kind::File(content);
        let change = Change::Add {
            operation: None,
            entry,
            parent: folder,
            name,
            kind,
            mtime,
            executable,
            conflict_of: beside,
        };
        Ok((entry, vec![(change, objects)]))
    }

    /// Drops objects that nothing names.
    pub(super) async fn forget_objects(&self, objects: Vec<ObjectId>) {
        forgotten(&self.session, self.safe.id, objects).await;
    }
}

/// A whole chunk of a large file that nobody has written to is named again, if what names it is of
/// the present key and known to be there.
fn untouched(
    sealer: &Sealer<'_>,
    accepted: &parsec_protocol::safes::state::State,
    (base, size): (&Content, u64),
    number: u64,
    shown: usize,
) -> Option<Next> {
    let References::Paged(pages) = &base.references else { return None };
    let stays_large = size.div_ceil(CHUNK_BYTES) > parsec_protocol::safes::content_ref::DIRECT_MAX as u64;
    if shown != CHUNK_LENGTH || !stays_large {
        return None;
    }
    let page_number = number / PAGE_REFERENCES;
    let page = pages.get(usize::try_from(page_number).ok()?)?;
    let known = sealer.safe.keeping.page(page.object)?;
    let reference = (*known.get(usize::try_from(number % PAGE_REFERENCES).ok()?)?)?;
    if !sealer.may_name(&reference, accepted) {
        return None;
    }
    let first = number.is_multiple_of(PAGE_REFERENCES) && sealer.may_name(page, accepted);
    let page = first.then(|| EarlierPage { number: page_number, page: *page, references: known.to_vec() });
    Some(Next::Untouched { reference, fresh: false, page })
}
