//! `safe get` and `safe cat`: one file out of a safe.
//!
//! Decides where it lands and what of it is shown: nothing until it is whole and verified. Refuses
//! to write over a file unless told to, to go through a link, to make one, and to let a file steer
//! the terminal that it is shown on.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, IsTerminal as _, PipeReader, Read as _, stdout};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use parsec_protocol::control::{FileGet, FileGot, FileKind, ProblemKind, method};
use parsec_protocol::ids::OperationId;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, fstat, statat};
use serde::Serialize;

use super::as_of::{Then, then};
use super::files::{Found, find};
use super::get_tree::{self, Fetching};
use super::incoming::{Identity, Incoming};
use super::past;
use super::put::local;
use super::{Context, tree};
use crate::args::{AsOf, Get, SafePath};
use crate::client::Connection;
use crate::failure::Failure;
use crate::progress::{Measured, Progress};
use crate::schema;
use crate::text::{escaped, human, pasteable};

/// Longest piece of a line that is shown at once.
const PIECE_MAX_BYTES: u64 = 64 * 1024;

/// A file that was written.
#[derive(Debug, Serialize)]
struct Written {
    /// Where it is on this machine.
    written: String,
    /// What of the safe it is.
    #[serde(flatten)]
    got: FileGot,
}

pub(super) fn run(context: &Context<'_>, command: &Get) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let place = &command.place;
    let to_stdout = command.file.as_deref() == Some(Path::new("-"));
    let past = then(context, &mut daemon, place, &command.as_of)?;
    let found = match &past {
        Some(past) => past.found(),
        None => find(context, &mut daemon, &place.safe, place.path())?,
    };
    if command.recursive && found.is_folder() {
        let base = get_tree::base(command.file.as_deref(), place)?;
        let how = Fetching { force: command.force, skip: !command.force, past: past.as_ref() };
        return get_tree::run(context, daemon, place, &base, how, schema::SAFE_GET_TREE);
    }
    let shown = pasteable(&place.path());
    let entry = match found {
        Found::Entry(entry) if entry.kind != FileKind::Folder => entry,
        Found::Entry(_) | Found::Root => {
            return Err(Failure::new(ProblemKind::IsAFolder, format!("{shown} is a folder")));
        }
        Found::Nothing => {
            let text = format!("There is no {shown} in this safe");
            return Err(Failure::new(ProblemKind::PathNotFound, text));
        }
    };
    let version = command.version.as_deref();
    let version = version.map(|start| past::version(context, &mut daemon, place, start)).transpose()?;
    let asked = FileGet { record: past.as_ref().map(Then::record), ..of(context, place, version) };
    if to_stdout {
        refuse_json(context)?;
        if stdout().is_terminal() {
            return Err(not_for_a_screen());
        }
        return to_stdout_as_it_is(&mut daemon, &asked);
    }
    let special = command.file.as_deref().map_or(Ok(None), special)?;
    let (path, got) = if let Some((path, opened)) = special {
        (path.to_owned(), into(&mut daemon, &asked, &opened)?)
    } else {
        let (folder, name) = target(command, place)?;
        let path = folder.join(std::ffi::OsStr::new(&name));
        let opened = tree::folder(&folder).map_err(|error| tree::unwritable(&path, &error))?;
        let mut made = Made::default();
        let wanted = (asked, entry.size.filter(|_| version.is_none()));
        let got = fetch(context, &mut daemon, wanted, (opened, &path), command.force, &mut made)?;
        (path, got)
    };
    let text = format!("{}: {}", escaped(path.display()), human(got.bytes));
    context.output.result(schema::SAFE_GET, &Written { written: local(&path), got }, || text)
}

/// A pipe or a device that was named, open: such a thing is written into, as by any program, and
/// never replaced by a file.
fn special(path: &Path) -> Result<Option<(&Path, OwnedFd)>, Failure> {
    let Ok(found) = std::fs::metadata(path) else { return Ok(None) };
    let kind = FileType::from_raw_mode(found.mode());
    if !matches!(kind, FileType::Fifo | FileType::CharacterDevice) {
        return Ok(None);
    }
    // Nothing is made here, and no terminal becomes this program's own.
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    let opened = rustix::fs::open(path, flags, Mode::empty())
        .map_err(|error| tree::unwritable(path, &error.into()))?;
    if opened.is_terminal() {
        return Err(not_for_a_screen());
    }
    Ok(Some((path, opened)))
}

fn not_for_a_screen() -> Failure {
    Failure::usage(
        "The file is not for a terminal's screen",
        "`parsecctl safe cat` shows it; or send the output to a program or a file.",
    )
}

/// The folder and the name that one file gets.
fn target(command: &Get, place: &SafePath) -> Result<(PathBuf, std::ffi::OsString), Failure> {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let own = place.names.last().map(|name| std::ffi::OsString::from_vec(name.clone()));
    let Some(file) = &command.file else {
        let own = own.ok_or_else(no_name)?;
        return Ok((PathBuf::from("."), own));
    };
    if file.is_dir() || file.as_os_str().as_bytes().ends_with(b"/") {
        return Ok((file.clone(), own.ok_or_else(no_name)?));
    }
    let name = file.file_name().ok_or_else(no_name)?.to_owned();
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    Ok((folder.unwrap_or(Path::new(".")).to_owned(), name))
}

pub(super) fn no_name() -> Failure {
    Failure::usage("It has no name that it could get there", "Say where it goes on this machine.")
}

/// Fetches one file to its place, under the name at the path's end.
pub(super) fn fetch(
    context: &Context<'_>,
    daemon: &mut Connection,
    (asked, size): (FileGet, Option<u64>),
    (folder, path): (OwnedFd, &Path),
    force: bool,
    made: &mut Made,
) -> Result<FileGot, Failure> {
    let failed = |error: std::io::Error| tree::unwritable(path, &error);
    let incoming = begin(folder, path, force, made)?;
    let got: FileGot = {
        let descriptor = incoming.descriptor();
        let what = pasteable(&asked.path);
        let _shown = Progress::of(context.output, what, descriptor, Measured::Length, size);
        daemon.call_with(method::FILE_GET, &asked, descriptor)?
    };
    let identity = incoming.finish(got.file.executable, got.file.modified_ns, force).map_err(failed)?;
    made.note(identity);
    Ok(got)
}

/// Begins a file at its place, which none of this run's has.
pub(super) fn begin(folder: OwnedFd, path: &Path, force: bool, made: &Made) -> Result<Incoming, Failure> {
    use std::os::unix::ffi::OsStrExt as _;
    let name = path.file_name().ok_or_else(no_name)?;
    if made.has(&folder, name.as_bytes()) {
        let text = format!(
            "{} is there already, as another file of the safe: this file system takes the two names for one",
            escaped(path.display())
        );
        return Err(Failure::new(ProblemKind::PathExists, text)
            .advised("Get that one file to a place of its own; or all of them onto another file system."));
    }
    Incoming::begin(folder, name.as_bytes(), force).map_err(|error| tree::unwritable(path, &error))
}

/// Files that this run has made or found as they should be, by what the system knows them by: none
/// of them is written over by the next, where two names of a safe are one to the file system.
#[derive(Default)]
pub(super) struct Made(BTreeSet<Identity>);

impl Made {
    /// Notes one of them.
    pub(super) fn note(&mut self, file: Identity) {
        self.0.insert(file);
    }

    /// Whether what has this name was made or passed over by this run.
    pub(super) fn has(&self, folder: &OwnedFd, name: &[u8]) -> bool {
        let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
        found.is_ok_and(|found| self.0.contains(&Identity::of(&found)))
    }
}

/// What is asked of the daemon for a file, or for an earlier content of it.
fn of(context: &Context<'_>, place: &SafePath, version: Option<OperationId>) -> FileGet {
    let (select, safe) = (context.global.select(), place.safe.clone());
    FileGet { select, safe, path: place.path(), version, at: None, record: None }
}

fn refuse_json(context: &Context<'_>) -> Result<(), Failure> {
    if context.output.is_json() {
        return Err(Failure::usage(
            "Standard output can't carry both the file and --json",
            "Name a file with `parsecctl safe get`, or leave --json out.",
        ));
    }
    Ok(())
}

/// Writes a file to stdout: as it is, or, on a terminal, made harmless.
pub(super) fn cat(context: &Context<'_>, place: &SafePath, as_of: &AsOf) -> Result<(), Failure> {
    refuse_json(context)?;
    let mut daemon = context.connect()?;
    // Asks for the password where that is needed: with a file on its way there is no second try.
    let past = then(context, &mut daemon, place, as_of)?;
    if past.is_none() {
        find(context, &mut daemon, &place.safe, place.path())?;
    }
    let asked = FileGet { record: past.as_ref().map(Then::record), ..of(context, place, None) };
    if !stdout().is_terminal() {
        return to_stdout_as_it_is(&mut daemon, &asked);
    }
    through_a_pipe(&mut daemon, &asked, |reader| show(context, reader)).map(drop)
}

/// Writes a file to stdout as it is.
fn to_stdout_as_it_is(daemon: &mut Connection, asked: &FileGet) -> Result<(), Failure> {
    into(daemon, asked, &stdout()).map(drop)
}

/// Hands what is open to the daemon where that takes it: a file, a pipe or a socket. What is
/// something else, `/dev/null` say, is written to by this program.
fn into(daemon: &mut Connection, asked: &FileGet, to: &(impl AsFd + Sync)) -> Result<FileGot, Failure> {
    let kind = fstat(to).map(|stat| FileType::from_raw_mode(stat.st_mode));
    if !matches!(kind, Ok(FileType::RegularFile | FileType::Fifo | FileType::Socket)) {
        return through_a_pipe(daemon, asked, |mut reader| {
            let failed = |error: std::io::Error| Failure::OutputFailed(error.to_string());
            let mut file = File::from(to.as_fd().try_clone_to_owned().map_err(failed)?);
            std::io::copy(&mut reader, &mut file).map(drop).map_err(failed)
        });
    }
    daemon
        .call_with(method::FILE_GET, asked, to.as_fd())
        .map_err(|failure| if is_gone(to) { Failure::OutputClosed } else { failure })
}

/// Whether nobody reads a pipe or socket any more.
fn is_gone(pipe: &impl AsFd) -> bool {
    let mut asked = [PollFd::new(pipe, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let answered = poll(&mut asked, Some(&now));
    answered.is_ok() && asked.iter().any(|it| it.revents().intersects(PollFlags::ERR | PollFlags::HUP))
}

/// Has the daemon write a file into a pipe, and something be done with what comes out of it.
fn through_a_pipe(
    daemon: &mut Connection,
    asked: &FileGet,
    taken: impl FnOnce(PipeReader) -> Result<(), Failure> + Send,
) -> Result<FileGot, Failure> {
    let (reader, writer) = std::io::pipe().map_err(|error| {
        Failure::new(ProblemKind::OutOfMemory, format!("There is no pipe to be had: {error}"))
    })?;
    std::thread::scope(|scope| {
        let taking = scope.spawn(move || taken(reader));
        let read = daemon.call_with(method::FILE_GET, asked, writer.as_fd());
        drop(writer);
        // An output that is gone is why the daemon could not write on.
        taking.join().unwrap_or(Err(Failure::OutputClosed))?;
        read
    })
}

/// Shows what comes through a pipe, line by line.
fn show(context: &Context<'_>, from: PipeReader) -> Result<(), Failure> {
    let mut from = BufReader::new(from);
    loop {
        let mut line = Vec::new();
        let read = from.by_ref().take(PIECE_MAX_BYTES).read_until(b'\n', &mut line);
        match read {
            Ok(0) => return Ok(()),
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                context.output.line(text.strip_suffix('\n').unwrap_or(&text))?;
            }
            Err(error) => return Err(Failure::OutputFailed(error.to_string())),
        }
    }
}
