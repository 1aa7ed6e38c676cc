//! The kernel's requests, in the words of the library that reads them, and the answers.
//!
//! Decides how the kernel may ask (`init`), and that no request is worked on by the thread that
//! reads it: a silent server holds up whoever needs it, and nobody else. What is not offered is
//! said with the error that programs know. A panic while one request is worked on is its error
//! alone. Extended attributes are not known at all: asked for each file, they would make a listing
//! ten times slower.

mod kernel;
mod words;

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request,
    TimeOrNow, WriteFlags,
};
use parsec_protocol::safes::name::EntryName;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::asker::Asker;
use super::draft::Plain;
use super::fail::Fail;
use super::renaming::Named;
use super::serve::{Mount, Shape, WAIT, by, in_time};
use super::tether::Tether;
use super::writing::Set;
pub(super) use kernel::{Told, begin};
use words::{BLOCK_BYTES, Refuse, errno, now_or, shown};

/// For how long the kernel believes what it was told: others' changes are pushed to it.
const BELIEVED: Duration = Duration::from_secs(3_600);
/// Bytes of one write: two chunks. More would be memory that every thread holds.
const WRITE_BYTES: u32 = 1_024 * 1_024;
/// The one bit of a mode that is kept: whether it is a program.
const EXECUTE: u32 = 0o100;

/// What serves the kernel.
struct Served {
    tether: Tether,
    runtime: Handle,
    owner: (u32, u32),
}

impl Served {
    /// Works on a request, and answers it. Locking ends the work, and the answer is an error; so it
    /// is where the work panics, because the reply is dropped.
    fn work<R: Refuse, T: Send + 'static, F>(
        &self,
        reply: R,
        work: impl FnOnce(Arc<Mount>) -> F,
        answer: impl FnOnce(R, T) + Send + 'static,
    ) where
        F: Future<Output = Result<T, Fail>> + Send + 'static,
    {
        let Some(mount) = self.tether.mount() else { return reply.refuse(Errno::EIO) };
        let (stop, tasks) = (mount.session.stop.clone(), mount.session.tasks.clone());
        let work = by(Instant::now() + WAIT, work(mount));
        let whole = async move {
            let done = tokio::select! {
                biased;
                () = stop.cancelled() => Err(Fail::Io),
                done = work => done,
            };
            match done {
                Ok(done) => answer(reply, done),
                Err(fail) => reply.refuse(errno(fail)),
            }
        };
        self.runtime.spawn(tasks.track_future(whole));
    }
}

impl Filesystem for Served {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Without them it is slower, and nothing else.
        let _ = config.set_max_write(WRITE_BYTES);
        for wanted in [
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_PARALLEL_DIROPS,
        ] {
            let _ = config.add_capabilities(wanted);
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (name, owner) = (name.as_bytes().to_vec(), self.owner);
        self.work(
            reply,
            |mount| async move { mount.lookup(parent.0, &name).await },
            move |reply, attr| reply.entry(&BELIEVED, &shown(owner, attr), Generation(0)),
        );
    }

    fn forget(&self, _: &Request, ino: INodeNo, lookups: u64) {
        if let Some(mount) = self.tether.mount() {
            let tasks = mount.session.tasks.clone();
            self.runtime.spawn(tasks.track_future(async move { mount.forget(ino.0, lookups).await }));
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let owner = self.owner;
        self.work(
            reply,
            |mount| async move { mount.getattr(ino.0).await },
            move |reply, attr| reply.attr(&BELIEVED, &shown(owner, attr)),
        );
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        if uid.is_some_and(|uid| uid != self.owner.0) || gid.is_some_and(|gid| gid != self.owner.1) {
            return reply.error(Errno::EPERM);
        }
        let executable = mode.map(|mode| mode & EXECUTE != 0);
        let set = Set { size, atime: atime.map(now_or), mtime: mtime.map(now_or), executable };
        let owner = self.owner;
        self.work(
            reply,
            move |mount| async move { mount.set(ino.0, set).await },
            move |reply, attr| reply.attr(&BELIEVED, &shown(owner, attr)),
        );
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        self.work(
            reply,
            |mount| async move { mount.target(ino.0).await },
            |reply, target| reply.data(target.as_bytes()),
        );
    }

    fn mknod(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let (name, owner) = (name.as_bytes().to_vec(), self.owner);
        self.work(
            reply,
            |mount| async move { mount.make_folder(parent.0, &name).await },
            move |reply, attr| reply.entry(&BELIEVED, &shown(owner, attr), Generation(0)),
        );
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.as_bytes().to_vec();
        self.work(
            reply,
            |mount| async move { mount.remove(parent.0, &name, false).await },
            |reply, ()| reply.ok(),
        );
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.as_bytes().to_vec();
        self.work(
            reply,
            |mount| async move { mount.remove(parent.0, &name, true).await },
            |reply, ()| reply.ok(),
        );
    }

    fn symlink(&self, _: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let (name, owner) = (name.as_bytes().to_vec(), self.owner);
        let target = target.as_os_str().as_bytes().to_vec();
        self.work(
            reply,
            |mount| async move { mount.link(parent.0, &name, &target).await },
            move |reply, attr| reply.entry(&BELIEVED, &shown(owner, attr), Generation(0)),
        );
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to_parent: INodeNo,
        to_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !RenameFlags::RENAME_NOREPLACE.contains(flags) {
            return reply.error(Errno::EINVAL);
        }
        let named = |parent: INodeNo, name: &OsStr| {
            EntryName::new(name.as_bytes()).map(|name| Named { parent: parent.0, name })
        };
        let (from, to) = match (named(parent, name), named(to_parent, to_name)) {
            (Ok(from), Ok(to)) => (from, to),
            (Err(why), _) | (_, Err(why)) => return reply.error(errno(why.into())),
        };
        let no_replace = flags.contains(RenameFlags::RENAME_NOREPLACE);
        self.work(
            reply,
            move |mount| async move { mount.rename(from, to, no_replace).await },
            |reply, ()| reply.ok(),
        );
    }

    fn link(&self, _: &Request, _: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let writes = flags.acc_mode() != OpenAccMode::O_RDONLY;
        self.work(
            reply,
            move |mount| async move { mount.open(ino.0, writes).await },
            |reply, (handle, keeps)| {
                let kept = if keeps { FopenFlags::FOPEN_KEEP_CACHE } else { FopenFlags::empty() };
                reply.opened(FileHandle(handle), kept);
            },
        );
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let (name, owner) = (name.as_bytes().to_vec(), self.owner);
        let executable = mode & !umask & EXECUTE != 0;
        self.work(
            reply,
            move |mount| async move { mount.create(parent.0, &name, executable).await },
            move |reply, (attr, handle)| {
                let handle = FileHandle(handle);
                let flags = FopenFlags::FOPEN_KEEP_CACHE;
                reply.created(&BELIEVED, &shown(owner, attr), Generation(0), handle, flags);
            },
        );
    }

    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let length = usize::try_from(size).unwrap_or_default();
        let asker = Asker::Program(request.pid());
        self.work(
            reply,
            move |mount| async move { in_time(mount.read(ino.0, offset, length, asker)).await },
            |reply, bytes| reply.data(&bytes),
        );
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let data = Plain::new(data.to_vec());
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        self.work(
            reply,
            move |mount| async move { in_time(mount.write(ino.0, offset, &data)).await },
            move |reply, ()| reply.written(length),
        );
    }

    fn flush(&self, _: &Request, ino: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        self.work(reply, move |mount| async move { mount.save(ino.0).await }, |reply, ()| reply.ok());
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.work(reply, move |mount| async move { mount.save(ino.0).await }, |reply, ()| reply.ok());
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        let work = move |mount: Arc<Mount>| async move {
            mount.release(handle.0).await;
            Ok(())
        };
        self.work(reply, work, |reply, ()| reply.ok());
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.work(
            reply,
            move |mount| async move { mount.open_folder(ino.0).await },
            |reply, handle| reply.opened(FileHandle(handle), FopenFlags::empty()),
        );
    }

    fn readdir(&self, _: &Request, ino: INodeNo, handle: FileHandle, offset: u64, reply: ReplyDirectory) {
        let work = move |mount: Arc<Mount>| async move {
            let items = mount.list(handle.0, offset.saturating_sub(2)).await?;
            mount.listed(&items, 0).await;
            Ok(items)
        };
        self.work(reply, work, move |mut reply, items| {
            for (at, name) in [(0_u64, "."), (1, "..")] {
                if at >= offset && reply.add(ino, at + 1, FileType::Directory, name) {
                    return reply.ok();
                }
            }
            for item in items {
                let name = OsStr::from_bytes(item.name.as_bytes());
                let kind = match item.attr.shape {
                    Shape::Folder => FileType::Directory,
                    Shape::File => FileType::RegularFile,
                    Shape::Link => FileType::Symlink,
                };
                if reply.add(INodeNo(item.attr.ino), item.next + 2, kind, name) {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn readdirplus(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let Some(mount) = self.tether.mount() else { return reply.error(Errno::EIO) };
        let (stop, tasks) = (mount.session.stop.clone(), mount.session.tasks.clone());
        let owner = self.owner;
        let whole = async move {
            let listed = async {
                let folder = mount.getattr(ino.0).await?;
                Ok((folder, mount.list(handle.0, offset.saturating_sub(2)).await?))
            };
            let listed = tokio::select! {
                biased;
                () = stop.cancelled() => Err(Fail::Io),
                listed = listed => listed,
            };
            let (folder, items) = match listed {
                Ok(listed) => listed,
                Err(fail) => return reply.error(errno(fail)),
            };
            for (at, name) in [(0_u64, "."), (1, "..")] {
                let attr = shown(owner, folder);
                if at >= offset && reply.add(ino, at + 1, name, &BELIEVED, &attr, Generation(0)) {
                    mount.listed(&items, 0).await;
                    return reply.ok();
                }
            }
            let mut taken = 0;
            for item in &items {
                let (number, name) = (INodeNo(item.attr.ino), OsStr::from_bytes(item.name.as_bytes()));
                let attr = shown(owner, item.attr);
                if reply.add(number, item.next + 2, name, &BELIEVED, &attr, Generation(0)) {
                    break;
                }
                taken += 1;
            }
            mount.listed(&items, taken).await;
            reply.ok();
        };
        self.runtime.spawn(tasks.track_future(whole));
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        let work = move |mount: Arc<Mount>| async move {
            mount.release(handle.0).await;
            Ok(())
        };
        self.work(reply, work, |reply, ()| reply.ok());
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        // Names are durable when the call that made them returns.
        self.work(reply, |_| async { Ok(()) }, |reply, ()| reply.ok());
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        self.work(
            reply,
            |mount| async move { mount.room().await },
            |reply, room| {
                let block = u64::from(BLOCK_BYTES);
                let (all, free) = (room.all / block, room.free / block);
                reply.statfs(all, free, free, room.entries, room.free_entries, BLOCK_BYTES, 255, BLOCK_BYTES);
            },
        );
    }
}
