//! `safe get` and `safe cat`: files out of a safe, one or a whole folder.
//!
//! Decides where they land and what of them is shown: nothing until it is whole and verified.
//! Refuses to write over a file unless told to, to go through a link, to make one, and to let a
//! file steer the terminal that it is shown on.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File};
use std::io::{BufRead as _, BufReader, IsTerminal as _, PipeReader, Read as _, stdout};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use parsec_protocol::control::paths::read_path;
use parsec_protocol::control::{
    FileEntry, FileGet, FileGetMany, FileGot, FileKind, FilesGot, ProblemKind, method,
};
use parsec_protocol::ids::OperationId;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, fstat, statat};
use serde::Serialize;

use super::files::{Found, find, name_of, pages};
use super::incoming::{Identity, Incoming};
use super::past;
use super::put::{LeftOut, joined, local};
use super::together::{Load, memory, written};
use super::{Context, tree};
use crate::args::{Get, SafePath};
use crate::client::Connection;
use crate::failure::Failure;
use crate::progress::{Measured, Progress, is_seen};
use crate::schema;
use crate::text::{escaped, human, pasteable};

/// Longest piece of a line that is shown at once.
const PIECE_MAX_BYTES: u64 = 64 * 1024;
/// Mode of the folder that a whole one becomes: as of every other that is made here.
const OWNER_ONLY: u32 = 0o700;

/// A file that was written.
#[derive(Debug, Serialize)]
struct Written {
    /// Where it is on this machine.
    written: String,
    /// What of the safe it is.
    #[serde(flatten)]
    got: FileGot,
}

/// What became of a whole folder.
#[derive(Debug, Serialize)]
struct Whole {
    written: String,
    path: String,
    files: u64,
    folders: u64,
    bytes: u64,
    left_out: Vec<LeftOut>,
}

pub(super) fn run(context: &Context<'_>, command: &Get) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let place = &command.place;
    let to_stdout = command.file.as_deref() == Some(Path::new("-"));
    let found = find(context, &mut daemon, &place.safe, place.path())?;
    if command.recursive && found.is_folder() {
        return whole(context, daemon, command);
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
    let asked = of(context, place, version);
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

fn no_name() -> Failure {
    Failure::usage("It has no name that it could get there", "Say where it goes on this machine.")
}

/// Fetches one file to its place, under the name at the path's end.
fn fetch(
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
    made.0.insert(identity);
    Ok(got)
}

/// Begins a file at its place, which none of this run's has.
fn begin(folder: OwnedFd, path: &Path, force: bool, made: &Made) -> Result<Incoming, Failure> {
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

/// Files that this run has made, by what the system knows them by: none of them is written over by
/// the next, where two names of a safe are one to the file system.
#[derive(Default)]
struct Made(BTreeSet<Identity>);

impl Made {
    fn has(&self, folder: &OwnedFd, name: &[u8]) -> bool {
        let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
        found.is_ok_and(|found| self.0.contains(&Identity::of(&found)))
    }
}

/// What is asked of the daemon for a file, or for an earlier content of it.
fn of(context: &Context<'_>, place: &SafePath, version: Option<OperationId>) -> FileGet {
    FileGet { select: context.global.select(), safe: place.safe.clone(), path: place.path(), version }
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
pub(super) fn cat(context: &Context<'_>, place: &SafePath) -> Result<(), Failure> {
    refuse_json(context)?;
    let mut daemon = context.connect()?;
    // Asks for the password where that is needed: with a file on its way there is no second try.
    find(context, &mut daemon, &place.safe, place.path())?;
    if !stdout().is_terminal() {
        return to_stdout_as_it_is(&mut daemon, &of(context, place, None));
    }
    through_a_pipe(&mut daemon, &of(context, place, None), |reader| show(context, reader)).map(drop)
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

/// A whole folder, which becomes the folder that is named.
fn whole(context: &Context<'_>, mut daemon: Connection, command: &Get) -> Result<(), Failure> {
    let place = &command.place;
    let base = match &command.file {
        Some(file) if file == Path::new("-") => {
            return Err(Failure::usage("A folder is not for standard output", "Name a folder."));
        }
        Some(file) => file.clone(),
        None => {
            let own = place.names.last().ok_or_else(no_name)?;
            joined(Path::new("."), std::slice::from_ref(own))
        }
    };
    match DirBuilder::new().mode(OWNER_ONLY).create(&base) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(tree::unwritable(&base, &error)),
    }
    let root = tree::folder(&base).map_err(|error| tree::unwritable(&base, &error))?;
    // Listed before anything is fetched: one connection has one question at a time.
    let mut entries = Vec::new();
    pages(context, &mut daemon, place, true, |files| {
        entries.extend_from_slice(files);
        Ok(())
    })?;
    let mut done = Whole {
        written: local(&base),
        path: place.path(),
        files: 0,
        folders: 0,
        bytes: 0,
        left_out: Vec::new(),
    };
    let walk =
        Walk { context, daemon, command, root: &root, base: &base, done: &mut done, made: Made::default() };
    let got = walk.all(&entries);
    if is_seen(context.output) {
        context.output.progress_ends();
    }
    if let Err(failure) = got {
        context.output.say(&format!("Until then: {}", tally(&done)));
        return Err(failure);
    }
    let text = || format!("{}: {}", escaped(base.display()), tally(&done));
    context.output.result(schema::SAFE_GET_TREE, &done, text)
}

fn tally(done: &Whole) -> String {
    super::tally([done.files, done.folders], done.bytes, done.left_out.len())
}

/// A whole folder under way.
struct Walk<'a> {
    context: &'a Context<'a>,
    daemon: Connection,
    command: &'a Get,
    root: &'a OwnedFd,
    base: &'a Path,
    done: &'a mut Whole,
    made: Made,
}

impl Walk<'_> {
    fn all(mut self, entries: &[FileEntry]) -> Result<(), Failure> {
        let (mut load, mut together) = (Load::default(), Vec::new());
        let walked = entries.iter().try_for_each(|entry| {
            let small = entry.size.filter(|size| entry.kind == FileKind::File && Load::takes(*size));
            let Some(size) = small else { return self.one(entry) };
            if !load.has_room(size, &entry.path) {
                load = Load::default();
                self.many(&std::mem::take(&mut together))?;
            }
            load.add(size, &entry.path);
            together.push(entry);
            Ok(())
        });
        // Also where it ended early: what stood before that is there.
        let came = self.many(&together);
        walked.and(came)
    }

    /// One entry.
    fn one(&mut self, entry: &FileEntry) -> Result<(), Failure> {
        match entry.kind {
            FileKind::Folder => {
                let names = below(&self.command.place.names, &entry.path)?;
                self.folder(&names, &joined(self.base, &names))?;
                self.done.folders += 1;
            }
            FileKind::File => {
                let (folder, path) = self.place(entry)?;
                let (select, safe) = (self.context.global.select(), self.command.place.safe.clone());
                let asked = FileGet { select, safe, path: entry.path.clone(), version: None };
                let (wanted, force) = ((asked, entry.size), self.command.force);
                let got =
                    fetch(self.context, &mut self.daemon, wanted, (folder, &path), force, &mut self.made)?;
                self.came(got.bytes);
            }
            FileKind::Symlink | FileKind::Unknown => {
                let kind = if entry.kind == FileKind::Symlink { "symbolic link" } else { "something newer" };
                self.context.output.say(&format!("Left out: {} ({kind})", pasteable(&entry.path)));
                self.done.left_out.push(LeftOut { path: entry.path.clone(), kind });
            }
        }
        Ok(())
    }

    /// Small files. Where they can't come together, each comes alone: then it is known which of
    /// them can't.
    fn many(&mut self, entries: &[&FileEntry]) -> Result<(), Failure> {
        if entries.len() > 1
            && let Some((got, contents)) = self.together(entries)
        {
            let mut rest = contents.as_slice();
            for (entry, got) in entries.iter().zip(&got.files) {
                let (folder, path) = self.place(entry)?;
                let size = usize::try_from(got.size.unwrap_or_default()).unwrap_or(usize::MAX);
                let (file, behind) = rest.split_at_checked(size).unwrap_or((rest, &[]));
                rest = behind;
                let failed = |error: std::io::Error| tree::unwritable(&path, &error);
                let incoming = begin(folder, &path, self.command.force, &self.made)?;
                incoming.write(file).map_err(failed)?;
                let done = incoming.finish(got.executable, got.modified_ns, self.command.force);
                self.made.0.insert(done.map_err(failed)?);
                self.came(size as u64);
            }
            return Ok(());
        }
        entries.iter().try_for_each(|entry| self.one(entry))
    }

    /// What the daemon gives of small files at once; nothing where it doesn't, or where it gives
    /// something else than it was asked for.
    fn together(&mut self, entries: &[&FileEntry]) -> Option<(FilesGot, Vec<u8>)> {
        let mut memory = memory(&[]).ok()?;
        let asked = FileGetMany {
            select: self.context.global.select(),
            safe: self.command.place.safe.clone(),
            paths: entries.iter().map(|entry| entry.path.clone()).collect(),
        };
        let got: FilesGot = self.daemon.call_with(method::FILE_GET_MANY, &asked, memory.as_fd()).ok()?;
        let contents = written(&mut memory).ok()?;
        let sizes = got.files.iter().map(|file| file.size.unwrap_or_default());
        let fits = got.files.len() == entries.len()
            && got.files.iter().zip(entries).all(|(got, asked)| got.path == asked.path)
            && sizes.fold(0, u64::saturating_add) == contents.len() as u64;
        fits.then_some((got, contents))
    }

    /// A folder of this machine, made where it is missing.
    fn folder(&self, names: &[Vec<u8>], path: &Path) -> Result<OwnedFd, Failure> {
        tree::made(self.root, names).map_err(|error| tree::unwritable(path, &error))
    }

    /// Where a file goes: its folder, open, and its path.
    fn place(&self, entry: &FileEntry) -> Result<(OwnedFd, PathBuf), Failure> {
        let names = below(&self.command.place.names, &entry.path)?;
        let path = joined(self.base, &names);
        let above = names.split_last().map(|(_, above)| above).unwrap_or_default();
        Ok((self.folder(above, &path)?, path))
    }

    fn came(&mut self, bytes: u64) {
        self.done.files += 1;
        self.done.bytes = self.done.bytes.saturating_add(bytes);
        if is_seen(self.context.output) {
            self.context.output.progress(&tally(self.done));
        }
    }
}

/// The names of an entry below the folder that is fetched. A daemon that lists what is elsewhere
/// gets nothing written.
fn below(folder: &[Vec<u8>], path: &str) -> Result<Vec<Vec<u8>>, Failure> {
    let nonsense = |why: String| {
        Failure::new(ProblemKind::Internal, format!("The daemon listed {}: {why}", escaped(path)))
    };
    // Reading it refuses what would lead out: `..`, a slash, nothing.
    name_of(path)?;
    let names = read_path(path).map_err(|fault| nonsense(fault.to_string()))?;
    match names.strip_prefix(folder) {
        Some(rest) if !rest.is_empty() => Ok(rest.to_vec()),
        Some(_) | None => Err(nonsense("it is not in the folder that was asked for".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_elsewhere_is_not_written() {
        let folder = [b"a".to_vec()];
        assert_eq!(below(&folder, "/a/b/c").unwrap(), [b"b".to_vec(), b"c".to_vec()]);
        for bad in ["/b", "/a", "/", "", "/a/../../etc/passwd", "/a/\\x2e\\x2e/x", "/a/b\\x2fc", "a/b"] {
            assert!(below(&folder, bad).is_err(), "{bad}");
        }
    }
}
