//! Small files that go together: one question to the daemon for hundreds of them.
//!
//! Decides which do, and how many at once. Their contents travel through memory that has no name.
//! Refuses to send a file that was written to while it was read: half of an old one and half of a
//! new one are nobody's contents.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;

use parsec_protocol::control::{FILE_OF_MANY_MAX_BYTES, FILES_AT_ONCE_MAX, FILES_AT_ONCE_MAX_BYTES};
use rustix::fs::{MemfdFlags, Stat, fstat, memfd_create};
use rustix::io::Errno;

/// Files of one question: each is open until it is answered, and a person's limit may be 256.
const FILES_MAX: usize = if FILES_AT_ONCE_MAX < 192 { FILES_AT_ONCE_MAX } else { 192 };
/// Characters of the paths of one question, escapes included: with what stands beside each it stays
/// far below a line's limit.
const PATHS_MAX: usize = 128 * 1024;

/// How much has come together.
#[derive(Debug, Default)]
pub(super) struct Load {
    files: usize,
    bytes: u64,
    paths: usize,
}

impl Load {
    /// Whether a file is one of those that go together.
    pub(super) const fn takes(size: u64) -> bool {
        size <= FILE_OF_MANY_MAX_BYTES
    }

    /// Whether one more has room.
    pub(super) const fn has_room(&self, size: u64, path: &str) -> bool {
        self.files < FILES_MAX
            && self.bytes.saturating_add(size) <= FILES_AT_ONCE_MAX_BYTES
            && self.paths.saturating_add(path.len()) <= PATHS_MAX
    }

    /// Counts one more.
    pub(super) const fn add(&mut self, size: u64, path: &str) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(size);
        self.paths = self.paths.saturating_add(path.len());
    }
}

/// Memory with a descriptor and no name, and these bytes in it.
///
/// # Errors
/// The system's.
pub(super) fn memory(contents: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("parsecctl", MemfdFlags::CLOEXEC)?);
    file.write_all(contents)?;
    file.rewind()?;
    Ok(file)
}

/// All that was written to such memory.
///
/// # Errors
/// The system's.
pub(super) fn written(memory: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    memory.rewind()?;
    memory.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Puts a file's bytes behind those of others, where it is what `before` says from its beginning to
/// its end; otherwise nothing, and false.
///
/// # Errors
/// The system's.
pub(super) fn append(contents: &mut Vec<u8>, file: &OwnedFd, before: &Stat) -> io::Result<bool> {
    let from = contents.len();
    let size = usize::try_from(before.st_size).unwrap_or_default();
    contents.resize(from + size, 0);
    let whole = filled(contents.get_mut(from..).unwrap_or_default(), file).and_then(|read| {
        let after = fstat(file)?;
        let mark = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
        Ok(read == size && mark(before) == mark(&after))
    });
    if !matches!(whole, Ok(true)) {
        contents.truncate(from);
    }
    whole
}

/// Reads from a file's beginning until `room` is full or the file ends; how many bytes.
fn filled(room: &mut [u8], file: &OwnedFd) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = room.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match rustix::io::pread(file, rest, done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_what_it_was_is_left_to_itself() {
        let path = std::env::temp_dir().join(format!("parsecctl-together-{}", std::process::id()));
        let opened = |contents: &[u8]| {
            std::fs::write(&path, contents).unwrap();
            OwnedFd::from(File::open(&path).unwrap())
        };
        let mut contents = b"first".to_vec();
        let file = opened(b"second");
        let before = fstat(&file).unwrap();
        assert!(append(&mut contents, &file, &before).unwrap());
        assert_eq!(contents, b"firstsecond");
        for other in [&b"seco"[..], b"second and more"] {
            let file = opened(other);
            assert!(!append(&mut contents, &file, &before).unwrap());
            assert_eq!(contents, b"firstsecond");
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_load_has_an_end() {
        let mut load = Load::default();
        while load.has_room(4_096, "/name") {
            load.add(4_096, "/name");
        }
        assert_eq!(load.files, FILES_MAX);
        let mut load = Load::default();
        while load.has_room(FILE_OF_MANY_MAX_BYTES, "/name") {
            load.add(FILE_OF_MANY_MAX_BYTES, "/name");
        }
        assert_eq!(load.bytes, FILES_AT_ONCE_MAX_BYTES);
        let long = "x".repeat(PATHS_MAX);
        assert!(Load::default().has_room(1, &long) && !Load::takes(FILE_OF_MANY_MAX_BYTES + 1));
    }

    #[test]
    fn what_goes_into_memory_comes_out() {
        let mut memory = memory(b"contents").unwrap();
        assert_eq!(written(&mut memory).unwrap(), b"contents");
    }
}
