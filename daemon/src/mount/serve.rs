//! A safe as a file system: what each operation of the kernel does, apart from how the kernel asks.
//!
//! Decides how long anybody waits (`WAIT`), and that nothing is let out that was not verified: a
//! chunk that can't be had is an error, and never zeros. Holds the session; whoever serves the
//! kernel holds this only until the device is locked (`tether`).

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{EntryId, ObjectId};
use parsec_protocol::safes::change::Kind;
use parsec_protocol::safes::content::{chunk_length, chunks_of};
use parsec_protocol::safes::content_ref::{CHUNK_BYTES, Content, Reference};
use parsec_protocol::safes::entry::Entry;
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::name::EntryName;
use parsec_protocol::safes::tree::Tree;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::asker::Asker;
use super::cache::Cache;
use super::draft::{ChunkBytes, Plain};
use super::fail::Fail;
use super::file::{Base, Looks, OpenFile};
use super::inodes::{Ino, Inodes, Node, Told};
use super::quota::Quota;
use super::times::{self, FolderTimes};
use crate::contents::random::{self, Source};
use crate::safes::{acts, earlier, overlay};
use crate::session::Session;
use crate::session::mounts::Mounted;
use crate::session::open_safes::{MemoryGuard, OpenSafe, Past};

/// Longest wait for contents that are not here: a program that hangs is worse than an error.
pub(super) const WAIT: Duration = Duration::from_secs(30);
tokio::task_local! {
    /// When the request that is worked on has to be answered: whatever it waits for, and however
    /// often, ends by then.
    static UNTIL: Instant;
}
/// Chunks that are fetched together where a file is read in order.
const WINDOW: u64 = 8;

/// What the kernel is told of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attr {
    /// Its number.
    pub(super) ino: Ino,
    /// What it is.
    pub(super) shape: Shape,
    /// Size, time, whether it is a program.
    pub(super) looks: Looks,
    /// When it was read, in nanoseconds since 1970, as a program has set it.
    pub(super) read: u64,
    /// When anything about it was changed, in the same.
    pub(super) changed: u64,
    /// Names that it has; none where it is only open any more.
    pub(super) links: u32,
}

/// A kind of entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Holds others.
    Folder,
    /// Holds bytes.
    File,
    /// Points somewhere.
    Link,
}

/// An open file or folder of some program.
pub(super) enum Handle {
    /// A file.
    File(Ino),
    /// A folder as it was when it was opened.
    Folder(Arc<Vec<Listed>>),
}

/// One name of an open folder.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    /// The name.
    pub(super) name: EntryName,
    /// What it was then.
    pub(super) node: Result<EntryId, Ino>,
}

/// Inodes and handles.
pub(super) struct Names {
    /// What the kernel knows.
    pub(super) inodes: Inodes,
    /// What programs have open.
    pub(super) handles: BTreeMap<u64, Handle>,
    next_handle: u64,
    /// When something came into folders, or left them.
    pub(super) folders: FolderTimes,
}

impl Names {
    /// A number for a handle.
    pub(super) fn open(&mut self, handle: Handle) -> u64 {
        self.next_handle += 1;
        self.handles.insert(self.next_handle, handle);
        self.next_handle
    }
}

/// A safe that is mounted.
pub(crate) struct Mount {
    /// The device's session.
    pub(super) session: Arc<Session>,
    /// The safe.
    pub(super) safe: Arc<OpenSafe>,
    /// Whether nothing may be written, whatever the role is.
    read_only: bool,
    /// As of when the safe is shown, where that is not now: nothing is written then, and nothing
    /// changes.
    past: Option<Arc<Past>>,
    /// Inodes and handles. Taken after a file's draft, before the safe's memory.
    pub(super) names: tokio::sync::Mutex<Names>,
    cache: Mutex<Cache>,
    keys: Mutex<Option<(u64, Arc<SafeKeys>)>>,
    /// Bytes in the clear in all drafts.
    pub(super) plain: AtomicUsize,
    /// Something was saved, and is to go out soon.
    pub(super) soon: Notify,
    /// Since when something is held back.
    pub(super) held: Mutex<Option<Instant>>,
    /// What room the server has.
    pub(super) quota: Quota,
    /// Since when it is mounted, in nanoseconds since 1970: the root's time.
    since: u64,
    /// The folder of this machine, as whoever mounted it says.
    pub(super) folder: String,
}

impl Mount {
    /// Mounts a safe; the kernel is not asked here.
    pub(super) fn new(
        session: Arc<Session>,
        safe: Arc<OpenSafe>,
        mounted: &Mounted,
        past: Option<Arc<Past>>,
    ) -> Self {
        let root = EntryId::from_bytes(*safe.id.as_bytes());
        Self {
            session,
            safe,
            read_only: mounted.read_only || past.is_some(),
            past,
            names: tokio::sync::Mutex::new(Names {
                inodes: Inodes::new(root),
                handles: BTreeMap::new(),
                next_handle: 0,
                folders: FolderTimes::default(),
            }),
            cache: Mutex::default(),
            keys: Mutex::default(),
            plain: AtomicUsize::new(0),
            soon: Notify::new(),
            held: Mutex::default(),
            quota: Quota::default(),
            since: acts::nanoseconds(),
            folder: mounted.folder.clone(),
        }
    }

    /// Refuses to write where the user may not.
    pub(super) fn may_write(&self, memory: &MemoryGuard) -> Result<(), Fail> {
        if self.read_only {
            return Err(Fail::ReadOnly);
        }
        Ok(acts::may_write(&self.session, memory)?)
    }

    /// The same, for whoever has not looked into the safe.
    pub(super) async fn writable(&self) -> Result<(), Fail> {
        self.may_write(&self.safe.memory().await)
    }

    /// The safe's keys as they are now, and the epoch in which is sealed.
    pub(super) async fn keys(&self) -> (u64, Arc<SafeKeys>) {
        let memory = self.safe.memory().await;
        let epoch = memory.verified.present().map_or(0, |now| now.key.epoch);
        let mut known = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((at, keys)) if *at == epoch && keys.iter().count() == memory.keys.iter().count() => {
                (epoch, Arc::clone(keys))
            }
            _ => {
                let keys = Arc::new(memory.keys.copied());
                *known = Some((epoch, Arc::clone(&keys)));
                (epoch, keys)
            }
        }
    }

    /// What the kernel is to be told of an inode, noted as told.
    ///
    /// # Errors
    /// [`Fail::NotFound`]: it is gone.
    pub(super) fn attr(&self, names: &mut Names, tree: &dyn Tree, ino: Ino) -> Result<Attr, Fail> {
        let inode = names.inodes.get_mut(ino).ok_or(Fail::NotFound)?;
        let (shape, mut looks, told) = match &inode.node {
            Node::Entry(id) if *id == tree.root() => {
                let looks = Looks { size: 0, mtime: self.since, executable: true };
                (Shape::Folder, looks, None)
            }
            Node::Entry(id) => {
                let entry = tree.entry(*id).filter(|_| tree.is_live(*id)).ok_or(Fail::NotFound)?;
                let (shape, found) = looks(entry);
                let mut looks = inode.file.as_ref().map_or(found, |file| file.looks());
                if let Some(whole) = &inode.link {
                    looks.size = whole.as_bytes().len() as u64;
                }
                (shape, looks, told(entry))
            }
            Node::Local(..) | Node::Former(..) | Node::Gone => match (&inode.file, &inode.link) {
                (Some(file), _) => (Shape::File, file.looks(), None),
                (None, Some(target)) => {
                    let size = target.as_bytes().len() as u64;
                    (Shape::Link, Looks { size, mtime: self.since, executable: true }, None)
                }
                (None, None) => return Err(Fail::NotFound),
            },
        };
        let (mut links, mut noted) = (1, inode.changed);
        match &inode.node {
            Node::Entry(id) if shape == Shape::Folder => {
                looks.mtime = names.folders.of(*id, looks.mtime);
                inode.children = Some(times::children(tree, *id));
                links = times::links(tree, *id);
                // Nobody has noted what came and went before.
                noted = Some(noted.unwrap_or(self.since));
            }
            Node::Former(..) | Node::Gone => links = 0,
            Node::Entry(_) | Node::Local(..) => {}
        }
        // Of an open file the kernel hears the size that is open.
        inode.sized = match &inode.file {
            Some(file) => file.base().version,
            None => told.as_ref().and_then(|told| told.version),
        };
        // The name that it was looked up under is told apart (`changes`).
        let known = inode.told.take().and_then(|known| known.place);
        inode.told = told.map(|told| Told { place: known.or(told.place), ..told });
        let (read, changed) = (inode.read.unwrap_or(looks.mtime), times::changed(noted, looks.mtime));
        Ok(Attr { ino, shape, looks, read, changed, links })
    }

    /// The file that an inode is, opened where it is not yet.
    ///
    /// # Errors
    /// [`Fail::NotFound`], [`Fail::IsAFolder`], [`Fail::Invalid`] for a link.
    pub(super) fn file(&self, inodes: &mut Inodes, tree: &dyn Tree, ino: Ino) -> Result<Arc<OpenFile>, Fail> {
        let inode = inodes.get_mut(ino).ok_or(Fail::NotFound)?;
        if let Some(file) = &inode.file {
            return Ok(Arc::clone(file));
        }
        let Node::Entry(id) = &inode.node else { return Err(Fail::NotFound) };
        if *id == tree.root() {
            return Err(Fail::IsAFolder);
        }
        let entry = tree.entry(*id).filter(|_| tree.is_live(*id)).ok_or(Fail::NotFound)?;
        let content = match &entry.kind {
            Kind::File(content) => Arc::new(content.clone()),
            Kind::Folder => return Err(Fail::IsAFolder),
            Kind::Symlink(_) => return Err(Fail::Invalid),
        };
        let base = Base { content, version: entry.version };
        let file = Arc::new(OpenFile::new(base, looks(entry).1));
        inode.file = Some(Arc::clone(&file));
        Ok(file)
    }

    /// The file of an inode that is open.
    ///
    /// # Errors
    /// [`Fail::NotOpen`].
    pub(super) async fn opened(&self, ino: Ino) -> Result<Arc<OpenFile>, Fail> {
        let names = self.names.lock().await;
        names.inodes.get(ino).and_then(|inode| inode.file.clone()).ok_or(Fail::NotOpen)
    }

    /// Bytes of an open file.
    ///
    /// # Errors
    /// [`Fail::Io`], [`Fail::TimedOut`]: they can't be had, and none of them is let out.
    pub(super) async fn read(
        &self,
        ino: Ino,
        offset: u64,
        length: usize,
        asker: Asker,
    ) -> Result<Plain, Fail> {
        let file = self.opened(ino).await?;
        let written = file.written.lock().await;
        let size = written.draft.size();
        let most = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX).min(length);
        let mut read = Plain::new(Vec::with_capacity(most));
        if most == 0 {
            return Ok(read);
        }
        let base = file.base();
        for number in chunks_of(size, offset, most as u64) {
            let begin = number.saturating_mul(CHUNK_BYTES);
            let from = usize::try_from(offset.saturating_sub(begin)).unwrap_or_default();
            let length = chunk_length(size, number);
            let to = length.min(from.saturating_add(most - read.len()));
            let old;
            let (bytes, shown): (&[u8], usize) = match written.draft.chunk(number) {
                ChunkBytes::Plain(bytes) => (bytes, bytes.len()),
                ChunkBytes::Zeros => (&[], 0),
                ChunkBytes::Sealed(reference) => {
                    old = Some(self.sealed(reference).await?);
                    (old.as_ref().map_or(&[], |bytes| bytes.as_slice()), length)
                }
                ChunkBytes::Before(shown) => {
                    old = self.chunk(&file, &base.content, number, asker).await?;
                    (old.as_ref().map_or(&[], |bytes| bytes.as_slice()), shown)
                }
            };
            let there = shown.min(bytes.len()).min(to);
            read.extend_from_slice(bytes.get(from.min(there)..there).unwrap_or_default());
            // A hole, or what is behind the last byte that was written.
            let zeros = to.saturating_sub(from.max(there));
            let end = read.len() + zeros;
            read.resize(end, 0);
        }
        Ok(read)
    }

    /// A chunk of a content, in the clear; none for a hole.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) async fn chunk(
        &self,
        file: &OpenFile,
        content: &Content,
        number: u64,
        asker: Asker,
    ) -> Result<Option<Arc<Plain>>, Fail> {
        let (_, keys) = self.keys().await;
        let place = |from| random::reference(&self.session, &self.safe, &keys, content, number, from);
        // Who asks is looked at only where something would have to be fetched.
        let reference = match bounded(place(Source::Here)).await {
            Err(_) if asker.may_have() == Source::Anywhere => bounded(place(Source::Anywhere)).await?,
            place => place?,
        };
        let Some(reference) = reference else { return Ok(None) };
        if let Some(bytes) = self.cached(reference.object) {
            return Ok(Some(bytes));
        }
        let _turn = file.fetching.lock().await;
        if let Some(bytes) = self.cached(reference.object) {
            return Ok(Some(bytes));
        }
        let from = asker.may_have();
        // In order, as far as it was until now: more at once.
        let in_order = file.next.load(Ordering::Relaxed) == number && from == Source::Anywhere;
        let ahead = if in_order { WINDOW } else { 1 };
        let all = content.size.div_ceil(CHUNK_BYTES);
        let wanted: Range<u64> = number..number.saturating_add(ahead).min(all);
        file.next.store(wanted.end, Ordering::Relaxed);
        let came = random::chunks(&self.session, &self.safe, &keys, content, wanted.clone(), from);
        let came = match bounded(came).await {
            // What is behind it is nobody's need yet. A silent server is not asked twice.
            Err(fail) if ahead > 1 && fail != Fail::TimedOut => {
                let one = number..number.saturating_add(1);
                bounded(random::chunks(&self.session, &self.safe, &keys, content, one, from)).await?
            }
            came => came?,
        };
        let mut found = None;
        for (at, bytes) in (number..).zip(came) {
            let Some(bytes) = bytes else { continue };
            let place = random::reference(&self.session, &self.safe, &keys, content, at, from);
            let Some(reference) = bounded(place).await? else { continue };
            let bytes =
                self.cache.lock().unwrap_or_else(PoisonError::into_inner).put(reference.object, bytes);
            if at == number {
                found = Some(bytes);
            }
        }
        found.map(Some).ok_or(Fail::Io)
    }

    /// A chunk that was sealed to make room.
    async fn sealed(&self, reference: Reference) -> Result<Arc<Plain>, Fail> {
        if let Some(bytes) = self.cached(reference.object) {
            return Ok(bytes);
        }
        let (_, keys) = self.keys().await;
        let bytes = bounded(random::alone(&self.session, &self.safe, &keys, reference)).await?;
        Ok(self.cache.lock().unwrap_or_else(PoisonError::into_inner).put(reference.object, bytes))
    }

    fn cached(&self, object: ObjectId) -> Option<Arc<Plain>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(object)
    }

    /// Looks at the tree that the person sees.
    pub(super) async fn tree<T>(&self, look: impl FnOnce(&mut Names, &dyn Tree) -> T) -> T {
        let mut names = self.names.lock().await;
        if let Some(past) = &self.past {
            return look(&mut names, &past.tree);
        }
        let memory = self.safe.memory().await;
        look(&mut names, &overlay::view(&memory))
    }

    /// Refuses a file of the past of whose contents something was thrown away since.
    pub(super) async fn is_kept(&self, ino: Ino) -> Result<(), Fail> {
        let Some(past) = &self.past else { return Ok(()) };
        let names = self.names.lock().await;
        let Some(Node::Entry(id)) = names.inodes.get(ino).map(|inode| &inode.node) else { return Ok(()) };
        let content = past.tree.entry(*id).and_then(Entry::content);
        let now = self.safe.memory().await;
        if content.is_none_or(|content| earlier::is_kept(&now.base, content)) {
            return Ok(());
        }
        tracing::info!("what a file held then is not kept any more");
        Err(Fail::Io)
    }
}

/// What an entry looks like.
pub(super) fn looks(entry: &Entry) -> (Shape, Looks) {
    let (shape, size) = match &entry.kind {
        Kind::Folder => (Shape::Folder, 0),
        Kind::File(content) => (Shape::File, content.size),
        Kind::Symlink(target) => (Shape::Link, target.as_bytes().len() as u64),
    };
    (shape, Looks { size, mtime: entry.mtime, executable: entry.executable })
}

/// What the kernel is told of an entry.
pub(super) fn told(entry: &Entry) -> Option<Told> {
    let found = looks(entry).1;
    let place = entry.parent.map(|parent| (parent, entry.name.clone()));
    Some(Told { place, looks: (found.size, found.mtime, found.executable), version: entry.version })
}

/// Until when whoever asks this may wait: half a minute, and no longer than the request that it
/// works for.
pub(super) fn until() -> Instant {
    let own = Instant::now() + WAIT;
    UNTIL.try_with(|until| own.min(*until)).unwrap_or(own)
}

/// Works on one request: all its waits together end `until` then.
pub(super) async fn by<T>(until: Instant, work: impl Future<Output = T>) -> T {
    UNTIL.scope(until, work).await
}

/// Waits no longer than anybody should.
pub(super) async fn bounded<T>(work: impl Future<Output = Result<T, Problem>>) -> Result<T, Fail> {
    match tokio::time::timeout_at(until(), work).await {
        Ok(done) => done.map_err(Fail::from),
        Err(_) => {
            let text = "The server was silent for half a minute.";
            tracing::info!(problem = %Problem::new(ProblemKind::ServerUnreachable, text), "a program got an error");
            Err(Fail::TimedOut)
        }
    }
}

/// The same for whatever else is waited for, other requests included. Only for what may be cut off
/// at any of its waits: what it has done by then stands.
pub(super) async fn in_time<T>(work: impl Future<Output = Result<T, Fail>>) -> Result<T, Fail> {
    tokio::time::timeout_at(until(), work).await.unwrap_or(Err(Fail::TimedOut))
}

/// Numbers of what was counted, for whoever takes a share of the memory.
pub(super) fn count(plain: &AtomicUsize, before: usize, after: usize) {
    if after >= before {
        plain.fetch_add(after - before, Ordering::Relaxed);
    } else {
        plain.fetch_sub(before - after, Ordering::Relaxed);
    }
}
