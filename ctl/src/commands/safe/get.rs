//! `safe get` and `safe cat`: files out of a safe, one or a whole folder.
//!
//! Decides where they land and what of them is shown: nothing until it is whole and verified.
//! Refuses to write over a file unless told to, to go through a link, to make one, and to let a
//! file steer the terminal that it is shown on.

use std::io::{BufRead as _, BufReader, IsTerminal as _, PipeReader, Read as _, stdout};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use parsec_protocol::control::paths::read_path;
use parsec_protocol::control::{FileEntry, FileGot, FileKind, FileSelector, ProblemKind, method};
use rustix::fs::{FileType, fstat};
use serde::Serialize;

use super::files::{Found, find, name_of, pages};
use super::incoming::Incoming;
use super::put::{LeftOut, joined, local};
use super::{Context, tree};
use crate::args::{Get, SafePath};
use crate::client::Connection;
use crate::failure::Failure;
use crate::progress::{Measured, Progress, is_seen};
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
    if to_stdout {
        refuse_json(context)?;
        if stdout().is_terminal() {
            return Err(Failure::usage(
                "The file is not for a terminal's screen",
                "`parsecctl safe cat` shows it; or send the output to a program or a file.",
            ));
        }
        return to_stdout_as_it_is(context, &mut daemon, place);
    }
    let (folder, name) = target(command, place)?;
    let path = folder.join(std::ffi::OsStr::new(&name));
    let opened = tree::folder(&folder).map_err(|error| tree::unwritable(&path, &error))?;
    let got = fetch(context, &mut daemon, (&place.safe, &entry), (opened, &path), command.force)?;
    let text = format!("{}: {}", escaped(path.display()), human(got.bytes));
    context.output.result(schema::SAFE_GET, &Written { written: local(&path), got }, || text)
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
    (safe, entry): (&str, &FileEntry),
    (folder, path): (OwnedFd, &Path),
    force: bool,
) -> Result<FileGot, Failure> {
    use std::os::unix::ffi::OsStrExt as _;
    let failed = |error: std::io::Error| tree::unwritable(path, &error);
    let name = path.file_name().ok_or_else(no_name)?;
    let incoming = Incoming::begin(folder, name.as_bytes(), force).map_err(failed)?;
    let got: FileGot = {
        let descriptor = incoming.descriptor();
        let what = pasteable(&entry.path);
        let _shown = Progress::of(context.output, what, descriptor, Measured::Length, entry.size);
        let asked =
            FileSelector { select: context.global.select(), safe: safe.to_owned(), path: entry.path.clone() };
        daemon.call_with(method::FILE_GET, &asked, descriptor)?
    };
    incoming.finish(got.file.executable, got.file.modified_ns, force).map_err(failed)?;
    Ok(got)
}

/// Has the daemon write a file to a descriptor of this program's.
fn read(
    context: &Context<'_>,
    daemon: &mut Connection,
    place: &SafePath,
    to: BorrowedFd<'_>,
) -> Result<FileGot, Failure> {
    let asked =
        FileSelector { select: context.global.select(), safe: place.safe.clone(), path: place.path() };
    daemon.call_with(method::FILE_GET, &asked, to)
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
        return to_stdout_as_it_is(context, &mut daemon, place);
    }
    through_a_pipe(context, &mut daemon, place, |reader| show(context, reader))
}

/// Hands stdout to the daemon where that takes it: a file, a pipe or a socket. What is something
/// else, `/dev/null` say, is written by this program.
fn to_stdout_as_it_is(
    context: &Context<'_>,
    daemon: &mut Connection,
    place: &SafePath,
) -> Result<(), Failure> {
    let kind = fstat(stdout()).map(|stat| FileType::from_raw_mode(stat.st_mode));
    if matches!(kind, Ok(FileType::RegularFile | FileType::Fifo | FileType::Socket)) {
        return read(context, daemon, place, stdout().as_fd()).map(drop);
    }
    through_a_pipe(context, daemon, place, |mut reader| {
        std::io::copy(&mut reader, &mut stdout())
            .map(drop)
            .map_err(|error| Failure::OutputFailed(error.to_string()))
    })
}

/// Has the daemon write a file into a pipe, and something be done with what comes out of it.
fn through_a_pipe(
    context: &Context<'_>,
    daemon: &mut Connection,
    place: &SafePath,
    taken: impl FnOnce(PipeReader) -> Result<(), Failure> + Send,
) -> Result<(), Failure> {
    let (reader, writer) = std::io::pipe().map_err(|error| {
        Failure::new(ProblemKind::OutOfMemory, format!("There is no pipe to be had: {error}"))
    })?;
    std::thread::scope(|scope| {
        let taking = scope.spawn(move || taken(reader));
        let read = read(context, daemon, place, writer.as_fd());
        drop(writer);
        // An output that is gone is why the daemon could not write on.
        taking.join().unwrap_or_else(|_| Err(Failure::OutputClosed))?;
        read.map(drop)
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
    match std::fs::create_dir(&base) {
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
    for entry in &entries {
        one(context, &mut daemon, command, (&root, &base), entry, &mut done)?;
    }
    if is_seen(context.output) {
        context.output.progress_ends();
    }
    context.output.result(schema::SAFE_GET_TREE, &done, || {
        let left_out = match done.left_out.len() {
            0 => String::new(),
            count => format!(", {count} left out"),
        };
        format!(
            "{}: {} files and {} folders, {}{left_out}",
            escaped(base.display()),
            done.files,
            done.folders,
            human(done.bytes)
        )
    })
}

/// One entry of a whole folder.
fn one(
    context: &Context<'_>,
    daemon: &mut Connection,
    command: &Get,
    (root, base): (&OwnedFd, &Path),
    entry: &FileEntry,
    done: &mut Whole,
) -> Result<(), Failure> {
    let names = below(&command.place.names, &entry.path)?;
    let path = joined(base, &names);
    let made = |names: &[Vec<u8>]| tree::made(root, names).map_err(|error| tree::unwritable(&path, &error));
    match entry.kind {
        FileKind::Folder => {
            made(&names)?;
            done.folders += 1;
        }
        FileKind::File => {
            let above = names.split_last().map(|(_, above)| above).unwrap_or_default();
            let folder = made(above)?;
            let safe = command.place.safe.as_str();
            let got = fetch(context, daemon, (safe, entry), (folder, &path), command.force)?;
            done.files += 1;
            done.bytes = done.bytes.saturating_add(got.bytes);
        }
        FileKind::Symlink | FileKind::Unknown => {
            let kind = if entry.kind == FileKind::Symlink { "symbolic link" } else { "something newer" };
            context.output.say(&format!("Left out: {} ({kind})", pasteable(&entry.path)));
            done.left_out.push(LeftOut { path: entry.path.clone(), kind });
        }
    }
    Ok(())
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
