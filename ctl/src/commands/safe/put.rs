//! `safe put`: a file of this machine into a safe.
//!
//! Decides what goes along: a file's contents, its time, and whether it is a program; nothing else
//! of it. Refuses a folder that was not meant as one.

use std::io::{IsTerminal as _, stdin};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use parsec_protocol::control::{FileChanged, FilePut, ProblemKind, method};
use rustix::fs::{FileType, Mode, Stat, fstat};
use serde::Serialize;

use super::files::destination;
use super::put_tree::{self, Putting};
use super::{Context, ended, relay, tree};
use crate::args::Put;
use crate::client::Connection;
use crate::descriptor;
use crate::failure::Failure;
use crate::progress::{Measured, Progress};
use crate::schema;
use crate::text::{escaped, human, pasteable};

/// Nanoseconds of a second.
const NANOSECONDS: i64 = 1_000_000_000;

pub(super) fn run(context: &Context<'_>, command: &Put) -> Result<(), Failure> {
    if command.recursive {
        let how = Putting { force: command.force, skip: !command.force, sharing: command.sharing };
        return put_tree::run(context, &command.file, &command.place, how, schema::SAFE_PUT_TREE);
    }
    let Put { force, file, place, sharing, .. } = command;
    let opened = opened(file)?;
    let known = Known::of(&opened, file)?;
    let mut daemon = context.connect()?;
    let name = file.file_name().filter(|_| descriptor::named(file).is_none()).map(|name| name.as_bytes());
    let place_in = (place.safe.as_str(), place.names.as_slice(), place.into);
    let path = destination(context, &mut daemon, place_in, name)?;
    let asked = FilePut {
        select: context.global.select(),
        safe: place.safe.clone(),
        path,
        size: known.size,
        modified_ns: known.modified_ns,
        executable: known.executable,
        replace: *force,
        wait_seconds: Some(sharing.seconds()),
    };
    let result = if known.relayed {
        let (result, failed) = relay::through(&opened, |end| daemon.call_with(method::FILE_PUT, &asked, end))
            .map_err(|error| tree::unreadable(file, &error))?;
        // Why contents did not end is known here, and not to the daemon.
        match (result, failed) {
            (Err(_), Some(error)) => return Err(tree::unreadable(file, &error)),
            (result, _) => result?,
        }
    } else {
        sent(context, &mut daemon, &asked, opened.as_fd())?
    };
    if known.size.is_none() && result.bytes == 0 {
        context.output.say(&format!("Nothing came out of {}: the file is empty.", shown(file)));
    }
    let text = format!("{} ({})", pasteable(&result.path), human(result.bytes));
    ended(context, schema::SAFE_PUT, &result, &text, *sharing)
}

/// Sends one file, and shows how far it has come.
pub(super) fn sent(
    context: &Context<'_>,
    daemon: &mut Connection,
    asked: &FilePut,
    file: BorrowedFd<'_>,
) -> Result<FileChanged, Failure> {
    let _shown = Progress::of(context.output, pasteable(&asked.path), file, Measured::Place, asked.size);
    daemon.call_with(method::FILE_PUT, asked, file)
}

/// Opens what a person named, with their own rights.
fn opened(file: &Path) -> Result<OwnedFd, Failure> {
    if descriptor::named(file) == Some(0) && stdin().is_terminal() {
        return Err(Failure::usage(
            "Standard input is a terminal",
            "Name a file, or give the contents by a pipe: `… | parsecctl safe put - SAFE:/path`.",
        ));
    }
    descriptor::open(file).map_err(|error| tree::unreadable(file, &error))
}

/// What contents come from, in words.
fn shown(file: &Path) -> String {
    match descriptor::named(file) {
        Some(0) => "standard input".to_owned(),
        Some(_) | None => escaped(file.display()),
    }
}

/// What is known of a file before it is read.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Whether this program reads it, for the daemon takes nothing of its kind.
    relayed: bool,
    pub(super) size: Option<u64>,
    pub(super) modified_ns: Option<i64>,
    pub(super) executable: bool,
}

impl Known {
    fn of(file: &OwnedFd, path: &Path) -> Result<Self, Failure> {
        let stat = fstat(file).map_err(|error| tree::unreadable(path, &error.into()))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let mut known = Self::regular(&stat);
                // Of standard input something may have been read before.
                let read = rustix::fs::tell(file).unwrap_or_default();
                known.size = known.size.map(|size| size.saturating_sub(read));
                Ok(known)
            }
            FileType::Directory => {
                Err(Failure::new(ProblemKind::IsAFolder, format!("{} is a folder", escaped(path.display()))))
            }
            // A pipe: what comes out of it until it ends.
            FileType::Fifo | FileType::Socket => Ok(Self::default()),
            // A device: the same, by this program.
            _ => Ok(Self { relayed: true, ..Self::default() }),
        }
    }

    /// Of a file that is one.
    pub(super) fn regular(stat: &Stat) -> Self {
        Self {
            size: u64::try_from(stat.st_size).ok(),
            modified_ns: Some(modified_ns(stat)),
            executable: Mode::from_raw_mode(stat.st_mode).contains(Mode::XUSR),
            relayed: false,
        }
    }
}

/// When a file was last changed, in nanoseconds since 1970.
pub(super) fn modified_ns(stat: &Stat) -> i64 {
    let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or_default();
    stat.st_mtime.saturating_mul(NANOSECONDS).saturating_add(nanoseconds)
}

/// Something that was left out.
#[derive(Debug, Serialize)]
pub(super) struct LeftOut {
    /// Where it is, as a path is written.
    pub(super) path: String,
    /// What it is.
    pub(super) kind: &'static str,
}

/// A path of this machine as text, every byte of it.
pub(super) fn local(path: &Path) -> String {
    parsec_protocol::control::paths::write_name(path.as_os_str().as_bytes())
}

/// A path of this machine that a name of a safe leads to.
pub(super) fn joined(base: &Path, names: &[Vec<u8>]) -> PathBuf {
    names.iter().fold(base.to_owned(), |path, name| path.join(std::ffi::OsStr::from_bytes(name)))
}
