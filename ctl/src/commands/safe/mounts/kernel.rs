//! The kernel's mounts, and fusermount3, which makes and ends those of ordinary users.
//!
//! Decides which mounts are ours, by the kernel's own list, and which of them are dead: whoever
//! served them has ended. Refuses to end one that is not the one that is meant, though it is on the
//! same folder.

use std::ffi::OsString;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use parsec_protocol::control::ProblemKind;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::failure::Failure;

/// The program, as every distribution has it.
const PROGRAM: &str = "fusermount3";
/// The kernel's list of this process's mounts.
const LIST: &str = "/proc/self/mountinfo";
/// What the kernel calls our mounts.
const KIND: &str = "fuse.parsec";
/// Never `allow_other`: a safe is its user's alone. The kernel itself compares rights with what is
/// shown, so that a program finds what it would find on a disk.
const OPTIONS: &str = "nosuid,nodev,noatime,fsname=parsec,subtype=parsec,default_permissions";

/// A mount of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The kernel's number of it.
    pub(super) id: u64,
    /// Where it is.
    pub(super) folder: PathBuf,
}

/// Bytes that the kernel has written as `\040` and the like.
fn plain(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let octal = behind.get(..3).filter(|_| *first == b'\\').and_then(|digits| {
            let text = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(text, 8).ok()
        });
        match octal {
            Some(byte) => {
                plain.push(byte);
                rest = behind.get(3..).unwrap_or_default();
            }
            None => {
                plain.push(*first);
                rest = behind;
            }
        }
    }
    plain
}

/// Our mounts in the kernel's list.
fn read(list: &[u8]) -> Vec<Found> {
    let line = |line: &[u8]| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let dash = fields.iter().position(|field| *field == b"-")?;
        if *fields.get(dash + 1)? != KIND.as_bytes() {
            return None;
        }
        let id = std::str::from_utf8(fields.first()?).ok()?.parse().ok()?;
        let folder = OsString::from_vec(plain(fields.get(4)?)).into();
        Some(Found { id, folder })
    };
    list.split(|byte| *byte == b'\n').filter_map(line).collect()
}

/// Our mounts.
///
/// # Errors
/// The system's.
pub(super) fn ours() -> io::Result<Vec<Found>> {
    Ok(read(&std::fs::read(LIST)?))
}

/// Whether whoever served a mount has ended. Asked by what the kernel never answers by itself.
pub(super) fn is_dead(folder: &Path) -> bool {
    let errors = [rustix::io::Errno::NOTCONN, rustix::io::Errno::CONNABORTED];
    rustix::fs::statfs(folder).is_err_and(|error| errors.contains(&error))
}

/// Whether nobody gets anything from a mount any more: its daemon has ended, or has locked the
/// device.
pub(super) fn is_over(folder: &Path) -> bool {
    is_dead(folder) || rustix::fs::statfs(folder).is_err_and(|error| error == rustix::io::Errno::IO)
}

/// fusermount3 can't be run.
fn missing(error: &io::Error) -> Failure {
    let text = format!("{PROGRAM} can't be run: {error}");
    Failure::new(ProblemKind::InvalidRequest, text)
        .advised("Install it (Debian and Ubuntu: `apt install fuse3`), and see that /dev/fuse is there.")
}

/// Why it did not do what it was told.
fn said(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    text.lines().last().unwrap_or("it did not say why").trim().to_owned()
}

/// Mounts a folder: the descriptor by which the kernel is served.
///
/// # Errors
/// fusermount3's, which says why.
pub(super) fn mount(folder: &Path, read_only: bool) -> Result<OwnedFd, Failure> {
    let failed = |error: &io::Error| Failure::new(ProblemKind::Internal, error.to_string());
    let (ours, theirs) = UnixStream::pair().map_err(|error| failed(&error))?;
    let options = format!("{},{OPTIONS}", if read_only { "ro" } else { "rw" });
    let run = Command::new(PROGRAM)
        .args(["-o", &options, "--"])
        .arg(folder)
        // It sends the descriptor over the socket that this names: its standard input.
        .env("_FUSE_COMMFD", "0")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let run = run.map_err(|error| missing(&error))?;
    let device = received(&ours);
    let output = run.wait_with_output().map_err(|error| failed(&error))?;
    match device {
        Ok(Some(device)) if output.status.success() => Ok(device),
        _ => {
            let text = format!("The folder can't be mounted: {}", said(&output.stderr));
            Err(Failure::new(ProblemKind::InvalidRequest, text)
                .advised("`parsecctl help safe mount` says what it takes; /dev/fuse must be there, and the folder empty and yours."))
        }
    }
}

/// The descriptor that comes over a socket; none where it was closed without.
fn received(from: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0; 1];
    recvmsg(from, &mut [IoSliceMut::new(&mut byte)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    let mut files = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            files.extend(more);
        }
    }
    Ok(files.pop())
}

/// Ends a mount; lazily also while somebody has files of it open.
///
/// # Errors
/// fusermount3's, which says why.
pub(super) fn unmount(folder: &Path, lazy: bool) -> Result<(), Failure> {
    let how = if lazy { "-uz" } else { "-u" };
    let output = Command::new(PROGRAM).args([how, "--"]).arg(folder).stdin(Stdio::null()).output();
    let output = output.map_err(|error| missing(&error))?;
    if output.status.success() {
        return Ok(());
    }
    let text = format!("The folder can't be unmounted: {}", said(&output.stderr));
    Err(Failure::new(ProblemKind::InvalidRequest, text)
        .advised("Close what is open in it, terminals that stand in it included, or say `--lazy`."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_mounts_are_found_in_the_kernels_list_whatever_their_folders_are_called() {
        let list = b"22 1 0:20 / /proc rw - proc proc rw\n\
            301 22 0:55 / /home/a/My\\040Safes/x\\134y rw,nosuid shared:3 - fuse.parsec parsec rw,user_id=0\n\
            302 22 0:56 / /home/a/other rw - fuse.other parsec rw\n\
            303 22 0:57 / /home/a/b rw - fuse.parsec parsec rw\n\
            nonsense - fuse.parsec\n";
        let found = |id, folder: &str| Found { id, folder: folder.into() };
        assert_eq!(read(list), [found(301, "/home/a/My Safes/x\\y"), found(303, "/home/a/b")]);
        assert_eq!(plain(b"a\\0"), b"a\\0");
        assert_eq!(plain(b"\\12"), b"\\12");
    }
}
