//! Safes by the local API: what a test asks of one, in a line each.
//!
//! Decides nothing: a test names the safe and the paths, and judges the answers.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsFd as _;

use parsec_protocol::control::{
    DeviceSelector, EventItem, FileChanged, FileConflicts, FileConflictsResult, FileEntry, FileGet, FileGot,
    FileList, FileListResult, FileMove, FilePut, FileSelector, ProblemKind, SafeCreate, SafeRole,
    SafeSelector, SafeShare, SafeShared, SafeShowResult, SafeStanding, SafeSummary, SafeSync, SafeSynced,
    SafeUnshare, SafeUnshared, SafeView, method,
};

use parsec_protocol::ids::OperationId;

use crate::device::Device;
use crate::events::Follower;
use crate::rpc::Failed;

/// Seconds that a test waits for the server: a busy machine's.
const WAIT_SECONDS: u32 = 60;

/// A safe as one device has it.
#[derive(Debug, Clone, Copy)]
pub struct Safe<'a> {
    /// Whose daemon is asked.
    pub device: &'a Device,
    /// Name of the safe, or the start of its id.
    pub name: &'a str,
}

/// Makes a safe; the server has it when this returns.
///
/// # Panics
/// If it can't be made.
#[must_use]
pub fn create(device: &Device, name: &str) -> SafeView {
    try_create(device, name).unwrap()
}

/// The same on a daemon that may be killed.
///
/// # Errors
/// The daemon's.
pub fn try_create(device: &Device, name: &str) -> Result<SafeView, Failed> {
    let asked = SafeCreate { select: DeviceSelector::default(), name: name.parse().unwrap() };
    device.call(method::SAFE_CREATE, asked)
}

impl Safe<'_> {
    fn select() -> DeviceSelector {
        DeviceSelector::default()
    }

    fn selector(&self) -> SafeSelector {
        SafeSelector { select: Self::select(), safe: self.name.to_owned() }
    }

    /// Takes it.
    ///
    /// # Errors
    /// The daemon's.
    pub fn accept(&self) -> Result<SafeView, Failed> {
        self.device.call(method::SAFE_ACCEPT, self.selector())
    }

    /// Leaves it.
    ///
    /// # Errors
    /// The daemon's.
    pub fn leave(&self) -> Result<SafeView, Failed> {
        self.device.call(method::SAFE_LEAVE, self.selector())
    }

    /// Lets somebody in.
    ///
    /// # Errors
    /// The daemon's.
    pub fn share(&self, member: &str, role: SafeRole) -> Result<SafeShared, Failed> {
        let asked =
            SafeShare { select: Self::select(), safe: self.name.to_owned(), member: member.to_owned(), role };
        self.device.call(method::SAFE_SHARE, asked)
    }

    /// Takes somebody out.
    ///
    /// # Errors
    /// The daemon's.
    pub fn unshare(&self, member: &str) -> Result<SafeUnshared, Failed> {
        let asked =
            SafeUnshare { select: Self::select(), safe: self.name.to_owned(), member: member.to_owned() };
        self.device.call(method::SAFE_UNSHARE, asked)
    }

    /// Everything goes out and comes in.
    ///
    /// # Panics
    /// If it doesn't.
    pub fn sync(&self) -> SafeView {
        let synced = self.try_sync().unwrap();
        assert!(synced.done, "{synced:?}");
        synced.safe
    }

    /// The same; how far it came.
    ///
    /// # Errors
    /// The daemon's.
    pub fn try_sync(&self) -> Result<SafeSynced, Failed> {
        let asked =
            SafeSync { select: Self::select(), safe: self.name.to_owned(), wait_seconds: Some(WAIT_SECONDS) };
        self.device.call(method::SAFE_SYNC, asked)
    }

    /// Puts contents into a file, over what is there.
    ///
    /// # Errors
    /// The daemon's.
    pub fn put(&self, path: &str, contents: &[u8], wait_seconds: u32) -> Result<FileChanged, Failed> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(contents).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        self.put_file(path, &file, contents.len() as u64, wait_seconds)
    }

    /// The same from an open file, of which so many bytes are to come.
    ///
    /// # Errors
    /// The daemon's.
    pub fn put_file(
        &self,
        path: &str,
        file: &File,
        size: u64,
        wait_seconds: u32,
    ) -> Result<FileChanged, Failed> {
        let asked = FilePut {
            select: Self::select(),
            safe: self.name.to_owned(),
            path: path.to_owned(),
            size: Some(size),
            modified_ns: None,
            executable: false,
            replace: true,
            wait_seconds: Some(wait_seconds),
        };
        self.device.client()?.call_with(method::FILE_PUT, asked, file.as_fd())
    }

    /// Puts contents into a file; the server has them when this returns.
    ///
    /// # Panics
    /// If it hasn't.
    pub fn put_shared(&self, path: &str, contents: &[u8]) -> FileChanged {
        let done = self.put(path, contents, WAIT_SECONDS).unwrap();
        assert!(done.shared, "{done:?}");
        done
    }

    /// The same on a device that may still be verifying older records: until it has, nothing is
    /// saved.
    ///
    /// # Panics
    /// If it is refused for anything else, or for too long, or isn't shared.
    pub fn put_once_verified(&self, path: &str, contents: &[u8]) -> FileChanged {
        let mut done = None;
        let _ = self.device.until_safe(|_| {
            match self.put(path, contents, WAIT_SECONDS) {
                Ok(put) => done = Some(put),
                Err(refused) => assert_eq!(refused.name(), Some(ProblemKind::NotSharedYet), "{refused:?}"),
            }
            done.is_some()
        });
        let done = done.unwrap();
        assert!(done.shared, "{done:?}");
        done
    }

    /// The same contents at another place.
    ///
    /// # Errors
    /// The daemon's.
    pub fn copy(&self, from: &str, to: &str) -> Result<FileChanged, Failed> {
        let asked = FileMove {
            select: Self::select(),
            safe: self.name.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            replace: false,
            wait_seconds: None,
        };
        self.device.call(method::FILE_COPY, asked)
    }

    /// Another name or place.
    ///
    /// # Errors
    /// The daemon's.
    pub fn rename(&self, from: &str, to: &str) -> Result<FileChanged, Failed> {
        let asked = FileMove {
            select: Self::select(),
            safe: self.name.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            replace: false,
            wait_seconds: None,
        };
        self.device.call(method::FILE_MOVE, asked)
    }

    /// The contents of a file.
    ///
    /// # Errors
    /// The daemon's.
    ///
    /// # Panics
    /// If another number of bytes came than the daemon says.
    pub fn get(&self, path: &str) -> Result<Vec<u8>, Failed> {
        let file: File = tempfile::tempfile().unwrap();
        let got = self.get_file(path, &file)?;
        Ok(Self::written(file, &got))
    }

    /// An earlier content of a file.
    ///
    /// # Errors
    /// The daemon's.
    ///
    /// # Panics
    /// If another number of bytes came than the daemon says.
    pub fn get_version(&self, path: &str, version: OperationId) -> Result<Vec<u8>, Failed> {
        let file: File = tempfile::tempfile().unwrap();
        let (select, safe) = (Self::select(), self.name.to_owned());
        let asked =
            FileGet { select, safe, path: path.to_owned(), version: Some(version), at: None, record: None };
        let got = self.device.client()?.call_with(method::FILE_GET, asked, file.as_fd())?;
        Ok(Self::written(file, &got))
    }

    fn written(mut file: File, got: &FileGot) -> Vec<u8> {
        let mut contents = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut contents).unwrap();
        assert_eq!(got.bytes, contents.len() as u64);
        contents
    }

    /// Writes the contents of a file into an open one.
    ///
    /// # Errors
    /// The daemon's.
    pub fn get_file(&self, path: &str, file: &File) -> Result<FileGot, Failed> {
        let (select, safe) = (Self::select(), self.name.to_owned());
        let asked = FileGet { select, safe, path: path.to_owned(), version: None, at: None, record: None };
        self.device.client()?.call_with(method::FILE_GET, asked, file.as_fd())
    }

    /// What is known of a file.
    ///
    /// # Errors
    /// The daemon's.
    pub fn stat(&self, path: &str) -> Result<FileEntry, Failed> {
        let asked =
            FileSelector { select: Self::select(), safe: self.name.to_owned(), path: path.to_owned() };
        self.device.call(method::FILE_STAT, asked)
    }

    /// The safe as the device has it.
    ///
    /// # Errors
    /// The daemon's.
    pub fn show(&self) -> Result<SafeShowResult, Failed> {
        self.device.call(method::SAFE_SHOW, self.selector())
    }

    /// Paths of everything in it, in their order.
    ///
    /// # Errors
    /// The daemon's.
    pub fn paths(&self) -> Result<Vec<String>, Failed> {
        let asked = FileList {
            select: Self::select(),
            safe: self.name.to_owned(),
            path: "/".to_owned(),
            recursive: true,
            after: None,
            at: None,
            record: None,
        };
        let list: FileListResult = self.device.call(method::FILE_LIST, asked)?;
        Ok(list.files.into_iter().map(|file| file.path).collect())
    }

    /// Conflict copies.
    ///
    /// # Panics
    /// If they can't be listed.
    #[must_use]
    pub fn conflicts(&self) -> FileConflictsResult {
        let asked = FileConflicts { select: Self::select(), safe: self.name.to_owned(), after: None };
        self.device.call(method::FILE_CONFLICTS, asked).unwrap()
    }
}

/// Follows a device's events until one of its safes is as wanted.
pub fn until(events: &mut Follower, wanted: impl Fn(&SafeSummary) -> bool) -> SafeSummary {
    loop {
        let found = events.state.as_ref().and_then(|state| state.safes.iter().find(|safe| wanted(safe)));
        if let Some(found) = found {
            return found.clone();
        }
        let _: EventItem = events.item().unwrap();
    }
}

/// Whether a safe is accepted and has nothing in its way.
#[must_use]
pub fn is_well(safe: &SafeSummary) -> bool {
    safe.standing == SafeStanding::Accepted && safe.problem.is_none()
}
