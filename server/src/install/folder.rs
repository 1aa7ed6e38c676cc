//! A folder of files that are offered: what is in it, and their bytes.
//!
//! Decides that only regular files of their own names are there: no links, pipes or folders, which
//! could lead elsewhere. Nothing is held open between two pieces of a file, so that readers who
//! never read on cost no descriptor; a file that has changed meanwhile ends the answer, which the
//! reader sees by its length.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, openat};
use tokio::sync::Semaphore;

use super::FileName;

/// Names that are looked at, and files that are told: a folder of packages has a few dozen.
const ENTRIES_MAX: usize = 4_096;
/// Files that are shown; the last by their names are left out.
const FILES_MAX: usize = 256;
/// Bytes of a file that are in memory at once, for each reader.
pub(crate) const PIECE_BYTES: u64 = 256 * 1024;
/// Threads that strangers may keep busy with this folder: a slow disk is in nobody else's way.
const READING_MAX: usize = 4;

/// A folder, and who reads in it.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
    reading: Arc<Semaphore>,
}

/// One file that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: FileName,
    pub(crate) bytes: u64,
}

/// A file as it was when an answer began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opened {
    inode: u64,
    pub(crate) bytes: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Opened {
    /// Differs where the content does: length and time of the last change.
    pub(crate) fn tag(&self) -> String {
        format!("\"{:x}-{:x}-{:x}\"", self.bytes, self.seconds, self.nanoseconds)
    }
}

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, reading: Arc::new(Semaphore::new(READING_MAX)) }
    }

    /// Names that are offered, in their order. Blocks.
    pub(super) fn names(&self) -> io::Result<Vec<FileName>> {
        Ok(self.files()?.into_iter().map(|file| file.name).collect())
    }

    fn files(&self) -> io::Result<Vec<Listed>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.path)?.take(ENTRIES_MAX) {
            let entry = entry?;
            let name = entry.file_name().to_str().and_then(|name| name.parse::<FileName>().ok());
            // Of a link, this is the link's own.
            if let (Some(name), Ok(metadata)) = (name, entry.metadata())
                && metadata.is_file()
            {
                files.push(Listed { name, bytes: metadata.len() });
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        files.truncate(FILES_MAX);
        Ok(files)
    }

    /// Files that are there now.
    pub(crate) async fn list(&self) -> io::Result<Vec<Listed>> {
        let folder = self.clone();
        self.off_the_runtime(move || folder.files()).await
    }

    /// Looks for a file; none, or what is no regular file, is an error of the system's.
    pub(crate) async fn look(&self, name: &FileName) -> io::Result<Opened> {
        let (folder, name) = (self.clone(), name.clone());
        self.off_the_runtime(move || folder.open(&name).map(|(_, opened)| opened)).await
    }

    /// The bytes from `offset`, a piece at most, of the very file that was looked at.
    pub(crate) async fn piece(&self, name: &FileName, opened: Opened, offset: u64) -> io::Result<Vec<u8>> {
        let (folder, name) = (self.clone(), name.clone());
        let read = move || {
            let (file, now) = folder.open(&name)?;
            if now != opened {
                return Err(io::Error::other("the file was changed while it was read"));
            }
            let wanted = opened.bytes.saturating_sub(offset).min(PIECE_BYTES);
            let mut piece = vec![0; usize::try_from(wanted).map_err(io::Error::other)?];
            file.read_exact_at(&mut piece, offset)?;
            Ok(piece)
        };
        self.off_the_runtime(read).await
    }

    fn open(&self, name: &FileName) -> io::Result<(File, Opened)> {
        // Nothing that waits for its other end, and no link.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(CWD, self.path.join(name.as_str()), flags, Mode::empty())?);
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let opened = Opened {
            inode: metadata.ino(),
            bytes: metadata.len(),
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
        };
        Ok((file, opened))
    }

    async fn off_the_runtime<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let place = Arc::clone(&self.reading).acquire_owned().await.map_err(io::Error::other)?;
        let working = tokio::task::spawn_blocking(move || {
            // Until the work is done, though whoever asked may be gone.
            let _place = place;
            work()
        });
        working.await.map_err(io::Error::other)?
    }
}
