//! What the library calls what we answer: error numbers, attributes, times.
//!
//! Decides what `stat` says of what a safe doesn't have: modes but the executable bit, owners,
//! links.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    Errno, FileAttr, FileType, INodeNo, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, TimeOrNow,
};

use crate::mount::fail::Fail;
use crate::mount::serve::{Attr, Shape};

/// Bytes of a block, as `stat` counts them.
const STAT_BLOCK_BYTES: u64 = 512;
/// Bytes of a block, in which `statfs` counts.
pub(super) const BLOCK_BYTES: u32 = 4_096;

/// The number of a refusal.
pub(super) fn errno(fail: Fail) -> Errno {
    match fail {
        Fail::NotFound => Errno::ENOENT,
        Fail::Exists => Errno::EEXIST,
        Fail::NotAFolder => Errno::ENOTDIR,
        Fail::IsAFolder => Errno::EISDIR,
        Fail::NotEmpty => Errno::ENOTEMPTY,
        Fail::ReadOnly => Errno::EROFS,
        Fail::NoSpace => Errno::ENOSPC,
        Fail::Quota => Errno::EDQUOT,
        Fail::Io => Errno::EIO,
        Fail::TimedOut => Errno::ETIMEDOUT,
        Fail::NotPermitted => Errno::EPERM,
        Fail::Invalid => Errno::EINVAL,
        Fail::NameTooLong => Errno::ENAMETOOLONG,
        Fail::TooLarge => Errno::EFBIG,
        Fail::Busy => Errno::EBUSY,
        Fail::NotOpen => Errno::EBADF,
        Fail::Stale => Errno::ESTALE,
    }
}

/// A reply that can be an error.
pub(super) trait Refuse: Send + 'static {
    /// Answers with an error.
    fn refuse(self, errno: Errno);
}

macro_rules! refuse {
    ($($reply:ty),+) => {$(
        impl Refuse for $reply {
            fn refuse(self, errno: Errno) {
                self.error(errno);
            }
        }
    )+};
}
refuse!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyDirectoryPlus,
    ReplyEmpty,
    ReplyEntry,
    ReplyOpen,
    ReplyStatfs,
    ReplyWrite
);

/// What `stat` says of an inode.
pub(super) fn shown((uid, gid): (u32, u32), attr: Attr) -> FileAttr {
    let time = |nanoseconds| UNIX_EPOCH + Duration::from_nanos(nanoseconds);
    let (mtime, ctime) = (time(attr.looks.mtime), time(attr.changed));
    let (kind, perm) = match (attr.shape, attr.looks.executable) {
        (Shape::Folder, _) => (FileType::Directory, 0o700),
        (Shape::File, true) => (FileType::RegularFile, 0o700),
        (Shape::File, false) => (FileType::RegularFile, 0o600),
        (Shape::Link, _) => (FileType::Symlink, 0o777),
    };
    FileAttr {
        ino: INodeNo(attr.ino),
        size: attr.looks.size,
        blocks: attr.looks.size.div_ceil(STAT_BLOCK_BYTES),
        atime: time(attr.read),
        mtime,
        ctime,
        crtime: mtime,
        kind,
        perm,
        nlink: attr.links,
        uid,
        gid,
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    // Before 1970 is 1970: entries have no earlier time.
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A time that a program sets.
pub(super) fn now_or(time: TimeOrNow) -> u64 {
    match time {
        TimeOrNow::SpecificTime(time) => nanoseconds(time),
        TimeOrNow::Now => nanoseconds(SystemTime::now()),
    }
}
