//! Who may speak to the daemon: processes of the user it runs for, over one socket in that user's
//! own folder.
//!
//! Decides the socket's place, modes and lock, its own or one that the service manager made.
//! Refuses a folder that others may enter (before anything is made in it), a place where another
//! daemon listens, to remove anything but a dead socket, and connections of other users.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use parsec_protocol::control::Socket;
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::{UnixListener, UnixStream};

use crate::os::caller::Caller;
use crate::os::named_file::trusted_owner;

/// Longest path of a socket: `sun_path` has 108 bytes, the last a zero.
const PATH_MAX_BYTES: usize = 107;
/// In a folder with this bit, as /tmp has it, only the owner of an entry may rename or remove it.
const STICKY: u32 = 0o1000;
/// Connections the kernel holds until they are accepted. One accept loop serves them; a burst of
/// scripts fits.
const BACKLOG: i32 = 64;

/// Why there is no socket to listen on.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The path doesn't fit into a socket's address.
    #[error(
        "the socket's path has {0} bytes, and the system allows {PATH_MAX_BYTES}: choose a shorter one with --socket"
    )]
    PathTooLong(usize),
    /// Another daemon listens there.
    #[error("another daemon listens on {}", .0.display())]
    InUse(PathBuf),
    /// The folder, or what is in the socket's place, is not safe to use.
    #[error("{} {why}", path.display())]
    UnsafePath {
        /// The folder, or the socket's path.
        path: PathBuf,
        /// What is wrong, completing the sentence.
        why: &'static str,
    },
    /// A call of the system failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

fn failed(what: &'static str) -> impl FnOnce(Errno) -> AccessError {
    move |errno| AccessError::Io { what, source: errno.into() }
}

/// A listening socket. Dropped, it takes its name out of the folder again, if it put it there.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// What has its name, as long as nobody removes it.
    inode: (u64, u64),
    made: Option<Made>,
    _lock: OwnedFd,
}

/// A name in the file system that this process made.
#[derive(Debug)]
struct Made {
    folder: OwnedFd,
    name: OsString,
    /// Which inode is ours, so that no other's name is removed.
    inode: (u64, u64),
}

impl Listener {
    /// Listens at `path`. Its folder is made if it is missing (that one alone, mode 0700). Must be
    /// called inside a tokio runtime.
    ///
    /// # Errors
    /// [`AccessError`]; nothing that was there has been touched, except for a socket that nobody
    /// listens on.
    pub fn bind(path: &Path) -> Result<Self, AccessError> {
        let (folder, name, lock) = take_place(path)?;
        clear_dead_socket(&folder, &name, path)?;

        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .map_err(failed("making a socket"))?;
        // The name in the file system gets the mode the socket has now, less the umask: 0600 from
        // birth, without changing the umask under other threads.
        rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)
            .map_err(failed("closing the socket to others"))?;
        let address = SocketAddrUnix::new(path).map_err(failed("naming the socket"))?;
        rustix::net::bind(&socket, &address).map_err(failed("binding the socket"))?;
        let stat = closed_socket(&folder, &name, path)?;
        rustix::net::listen(&socket, BACKLOG).map_err(failed("listening"))?;
        let socket = UnixListener::from_std(socket.into())
            .map_err(|source| AccessError::Io { what: "listening", source })?;
        let inode = (stat.st_dev, stat.st_ino);
        let made = Some(Made { folder, name, inode });
        Ok(Self { socket, path: path.to_owned(), inode, made, _lock: lock })
    }

    /// Listens with a socket that the service manager bound to `path`. Folder, mode and lock must
    /// be as if it were our own; its name stays when we end, because the manager goes on listening.
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn adopt(socket: std::os::unix::net::UnixListener, path: &Path) -> Result<Self, AccessError> {
        let (folder, name, lock) = take_place(path)?;
        let stat = closed_socket(&folder, &name, path)?;
        let failed = |source| AccessError::Io { what: "taking over the socket", source };
        socket.set_nonblocking(true).map_err(failed)?;
        let socket = UnixListener::from_std(socket).map_err(failed)?;
        let inode = (stat.st_dev, stat.st_ino);
        Ok(Self { socket, path: path.to_owned(), inode, made: None, _lock: lock })
    }

    /// Where it listens.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its name still leads to it. Looked at by the path, as clients do: its folder may
    /// have been removed, too.
    pub(super) fn is_there(&self) -> bool {
        rustix::fs::lstat(&self.path).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == self.inode)
    }

    /// The next connection of this user; those of others are closed unread.
    ///
    /// # Errors
    /// The system's: out of descriptors or memory.
    pub(super) async fn accept(&self, socket: Socket) -> io::Result<(UnixStream, Caller)> {
        loop {
            let (stream, _) = self.socket.accept().await?;
            // The kernel noted who connected, at that moment; nothing the peer sends can change it,
            // nor the address its own socket may be bound to, which is not even looked at.
            match Caller::of(&stream, socket) {
                Ok(caller) if caller.uid == rustix::process::geteuid().as_raw() => {
                    return Ok((stream, caller));
                }
                Ok(caller) => tracing::warn!(uid = caller.uid, "refused a connection of another user"),
                Err(error) => tracing::warn!(%error, "refused a connection of an unknown user"),
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Some(Made { folder, name, inode }) = &self.made else { return };
        // The lock is still held: no other daemon can have bound the name meanwhile, but a person
        // may have moved it.
        let there = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
        if there.is_ok_and(|stat| (stat.st_dev, stat.st_ino) == *inode) {
            // Otherwise the next start finds a dead socket and removes it.
            let _ = rustix::fs::unlinkat(folder, name, AtFlags::empty());
        }
    }
}

/// Opens the socket's folder and takes the lock beside its name.
fn take_place(path: &Path) -> Result<(OwnedFd, OsString, OwnedFd), AccessError> {
    let length = path.as_os_str().as_bytes().len();
    if length > PATH_MAX_BYTES {
        return Err(AccessError::PathTooLong(length));
    }
    let bad = |why| AccessError::UnsafePath { path: path.to_owned(), why };
    let name = path.file_name().ok_or_else(|| bad("does not end in a socket's name"))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = open_folder(parent.unwrap_or(Path::new(".")))?;

    // The lock decides between daemons started at once; its file stays, because removing it would
    // let two hold "the" lock.
    let mut lock_name = name.to_owned();
    lock_name.push(".lock");
    let lock = take_lock(&folder, &lock_name, path)?;
    Ok((folder, name.to_owned(), lock))
}

/// What is at the socket's name: a socket of ours that others can't open.
fn closed_socket(folder: &OwnedFd, name: &OsStr, path: &Path) -> Result<Stat, AccessError> {
    let bad = |why| Err(AccessError::UnsafePath { path: path.to_owned(), why });
    let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(failed("examining the socket"))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        bad("is not a socket")
    } else if stat.st_uid != rustix::process::geteuid().as_raw() {
        bad("belongs to another user")
    } else if stat.st_mode & 0o177 != 0 {
        bad("does not have mode 0600: SocketMode= is missing in its unit, or the file system ignores modes")
    } else {
        Ok(stat)
    }
}

/// What keeps a folder or file from being safe.
fn objection(stat: &Stat, wanted: FileType) -> Option<&'static str> {
    if FileType::from_raw_mode(stat.st_mode) != wanted {
        Some(if wanted == FileType::Directory { "is not a folder" } else { "is not a plain file" })
    } else if stat.st_uid != rustix::process::geteuid().as_raw() {
        Some("belongs to another user")
    } else if stat.st_mode & 0o077 != 0 {
        Some("is open to other users: a folder needs mode 0700, a file 0600")
    } else if wanted == FileType::RegularFile && stat.st_nlink != 1 {
        Some("has a second name (hard link)")
    } else {
        None
    }
}

/// Refuses a place where another user could put a folder of their own under our folder's name,
/// between two calls here or under the feet of a client: a parent that others may write to (but for
/// /tmp and the like), or that is theirs.
fn check_parent(folder: &Path) -> Result<(), AccessError> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let bad = |why| Err(AccessError::UnsafePath { path: parent.to_owned(), why });
    let stat = match rustix::fs::stat(parent) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return bad("does not exist: is there a login session ($XDG_RUNTIME_DIR)?"),
        Err(errno) => return Err(failed("examining where the socket's folder is")(errno)),
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        bad("is not a folder")
    } else if !trusted_owner(stat.st_uid) {
        bad("belongs to another user")
    } else if stat.st_mode & 0o022 != 0 && stat.st_mode & STICKY == 0 {
        bad("is open to other users, who could put another folder in the socket's place")
    } else {
        Ok(())
    }
}

fn open_folder(path: &Path) -> Result<OwnedFd, AccessError> {
    check_parent(path)?;
    let bad = |why| AccessError::UnsafePath { path: path.to_owned(), why };
    match rustix::fs::mkdir(path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(failed("making the socket's folder")(errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(folder) => folder,
        Err(Errno::NOTDIR | Errno::LOOP) => return Err(bad("is not a folder, or is a link")),
        Err(errno) => return Err(failed("opening the socket's folder")(errno)),
    };
    let stat = rustix::fs::fstat(&folder).map_err(failed("examining the socket's folder"))?;
    match objection(&stat, FileType::Directory) {
        Some(why) => Err(bad(why)),
        None => Ok(folder),
    }
}

fn take_lock(folder: &OwnedFd, name: &OsStr, socket: &Path) -> Result<OwnedFd, AccessError> {
    let bad = |why| AccessError::UnsafePath { path: socket.with_file_name(name), why };
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let lock = match rustix::fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR) {
        Ok(lock) => lock,
        Err(Errno::LOOP) => return Err(bad("is a link")),
        Err(Errno::ISDIR | Errno::NXIO) => return Err(bad("is not a plain file")),
        Err(errno) => return Err(failed("opening the socket's lock")(errno)),
    };
    let stat = rustix::fs::fstat(&lock).map_err(failed("examining the socket's lock"))?;
    if let Some(why) = objection(&stat, FileType::RegularFile) {
        return Err(bad(why));
    }
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(Errno::WOULDBLOCK) => Err(AccessError::InUse(socket.to_owned())),
        Err(errno) => Err(failed("locking the socket's place")(errno)),
    }
}

/// Removes the socket of a daemon that is gone. One that answers is in use, whoever made it;
/// anything else that has the name stays.
fn clear_dead_socket(folder: &OwnedFd, name: &OsStr, path: &Path) -> Result<(), AccessError> {
    let bad = |why| AccessError::UnsafePath { path: path.to_owned(), why };
    let stat = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(failed("examining the socket's place")(errno)),
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(bad("is not a socket, and is left alone"));
    }
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(bad("belongs to another user"));
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(failed("making a socket"))?;
    let address = SocketAddrUnix::new(path).map_err(failed("naming the socket"))?;
    match rustix::net::connect(&probe, &address) {
        Err(Errno::CONNREFUSED) => rustix::fs::unlinkat(folder, name, AtFlags::empty())
            .map_err(failed("removing the socket of a daemon that is gone")),
        Err(Errno::NOENT) => Ok(()),
        // AGAIN: its queue is full, so somebody listens, and is busy.
        Ok(()) | Err(Errno::AGAIN) => Err(AccessError::InUse(path.to_owned())),
        Err(errno) => Err(failed("asking the socket that is there")(errno)),
    }
}
