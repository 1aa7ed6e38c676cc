//! `safe put`: files of this machine into a safe, one or a whole folder.
//!
//! Decides what goes along: a file's contents, its time, and whether it is a program; nothing else
//! of it. Refuses to follow links within a folder and to read devices; what it leaves out is named.

use std::io::{IsTerminal as _, stdin};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use parsec_protocol::control::paths::write_path;
use parsec_protocol::control::{
    FileChanged, FileMakeFolder, FileOfMany, FilePut, FilePutMany, FilesChanged, Problem, ProblemKind,
    SafeSynced, method,
};
use parsec_protocol::ids::SafeId;
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, statat};
use serde::Serialize;

use super::files::{destination, find};
use super::together::{Load, append, memory};
use super::{Context, ended, not_yet, relay, synchronised, tree};
use crate::args::Put;
use crate::client::Connection;
use crate::descriptor;
use crate::failure::{Done, Failure};
use crate::progress::{Measured, Progress, is_seen};
use crate::schema;
use crate::text::{escaped, human, pasteable};

/// Nanoseconds of a second.
const NANOSECONDS: i64 = 1_000_000_000;

pub(super) fn run(context: &Context<'_>, command: &Put) -> Result<(), Failure> {
    if command.recursive {
        return whole(context, command);
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
fn sent(
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
struct Known {
    /// Whether this program reads it, for the daemon takes nothing of its kind.
    relayed: bool,
    size: Option<u64>,
    modified_ns: Option<i64>,
    executable: bool,
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

    fn regular(stat: &Stat) -> Self {
        let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or_default();
        Self {
            size: u64::try_from(stat.st_size).ok(),
            modified_ns: Some(stat.st_mtime.saturating_mul(NANOSECONDS).saturating_add(nanoseconds)),
            executable: Mode::from_raw_mode(stat.st_mode).contains(Mode::XUSR),
            relayed: false,
        }
    }
}

/// Something that was left out.
#[derive(Debug, Serialize)]
pub(super) struct LeftOut {
    /// Where it is, as a path is written.
    pub(super) path: String,
    /// What it is.
    pub(super) kind: &'static str,
}

/// What became of a whole folder.
#[derive(Debug, Serialize)]
struct Whole {
    safe: SafeId,
    path: String,
    files: u64,
    folders: u64,
    bytes: u64,
    left_out: Vec<LeftOut>,
    saved: bool,
    shared: bool,
    problem: Option<Problem>,
}

/// A folder under way.
struct Walk<'a> {
    context: &'a Context<'a>,
    daemon: Connection,
    command: &'a Put,
    done: Whole,
    together: Together,
}

/// Small files that have been read and not been sent yet.
#[derive(Default)]
struct Together {
    load: Load,
    /// Each as it is asked for, and once more, should it have to go alone.
    files: Vec<(FileOfMany, OwnedFd)>,
    /// The contents of all.
    contents: Vec<u8>,
}

fn whole(context: &Context<'_>, command: &Put) -> Result<(), Failure> {
    let Put { file, place, sharing, .. } = command;
    let folder = tree::readable(file).map_err(|error| tree::unreadable(file, &error))?;
    let mut daemon = context.connect()?;
    let mut names = place.names.clone();
    if place.into {
        // Its own name, also of `.`.
        let own = std::fs::canonicalize(file).map_err(|error| tree::unreadable(file, &error))?;
        names.extend(own.file_name().map(|name| name.as_bytes().to_vec()));
    }
    // Unlocks where that is needed, and says at once where there is no such safe.
    find(context, &mut daemon, &place.safe, place.path())?;
    let path = path_of(&names);
    let done = Whole {
        safe: SafeId::from_bytes([0; SafeId::LENGTH]),
        path: path.clone(),
        files: 0,
        folders: 0,
        bytes: 0,
        left_out: Vec::new(),
        saved: true,
        shared: false,
        problem: None,
    };
    let mut walk = Walk { context, daemon, command, done, together: Together::default() };
    let walked = walk.folder(&folder, file, &mut names);
    // Also where it ended early: what stood before that is in.
    let sent = walk.send();
    let walked = walked.and(sent);
    if is_seen(context.output) {
        context.output.progress_ends();
    }
    if let Err(failure) = walked {
        context.output.say(&format!("Until then: {}", walk.tally()));
        return Err(failure);
    }
    let Walk { mut daemon, done: mut result, .. } = walk;
    if !sharing.saved {
        let safe = result.safe.to_string();
        let synced: SafeSynced = synchronised(context, &mut daemon, safe, sharing.seconds())?;
        result.shared = synced.safe.waiting == 0;
        result.problem = synced.safe.problem;
    }
    tell(context, command, &result)
}

fn tell(context: &Context<'_>, command: &Put, result: &Whole) -> Result<(), Failure> {
    let sharing = command.sharing;
    let text = format!("{}: {}", pasteable(&result.path), tally(result));
    let done = Done::new(format!("{text}."), super::SEE_WAITING);
    if result.shared || sharing.saved {
        let how = if result.shared { "shared" } else { "saved on this device, not shared yet" };
        return context.output.changed(schema::SAFE_PUT_TREE, result, || format!("{text}: {how}."), done);
    }
    if context.output.is_json() {
        context.output.changed(schema::SAFE_PUT_TREE, result, String::new, done)?;
        return Err(Failure::Told(ProblemKind::NotSharedYet.exit_code()));
    }
    let what = format!("{text}: saved on this device, and not shared within {} s", sharing.seconds());
    Err(not_yet(what, result.problem.as_ref()))
}

fn path_of(names: &[Vec<u8>]) -> String {
    write_path(names.iter().map(Vec::as_slice))
}

fn tally(done: &Whole) -> String {
    super::tally([done.files, done.folders], done.bytes, done.left_out.len())
}

impl Walk<'_> {
    fn tally(&self) -> String {
        tally(&self.done)
    }

    /// One folder and what is in it. `names` is its place in the safe.
    fn folder(&mut self, folder: &OwnedFd, shown: &Path, names: &mut Vec<Vec<u8>>) -> Result<(), Failure> {
        self.make(names)?;
        let failed = |path: &Path, error: std::io::Error| tree::unreadable(path, &error);
        for name in tree::names(folder).map_err(|error| failed(shown, error))? {
            let path = shown.join(std::ffi::OsStr::from_bytes(&name));
            let found = statat(folder, name.as_slice(), rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| failed(&path, error.into()))?;
            names.push(name.clone());
            match FileType::from_raw_mode(found.st_mode) {
                FileType::Directory => {
                    let inner = tree::within(folder, &name, OFlags::RDONLY | OFlags::DIRECTORY)
                        .map_err(|error| failed(&path, error))?;
                    self.folder(&inner, &path, names)?;
                }
                FileType::RegularFile => {
                    // What it is may have changed since: nothing is waited for, and it is looked
                    // at again once it is open.
                    let file = tree::within(folder, &name, OFlags::RDONLY | OFlags::NONBLOCK)
                        .map_err(|error| failed(&path, error))?;
                    self.file(file, &path, names)?;
                }
                other => self.leave_out(&path, tree::kind(other)),
            }
            names.pop();
        }
        Ok(())
    }

    fn make(&mut self, names: &[Vec<u8>]) -> Result<(), Failure> {
        let asked = FileMakeFolder {
            select: self.context.global.select(),
            safe: self.command.place.safe.clone(),
            path: path_of(names),
            parents: true,
            wait_seconds: Some(0),
        };
        let made: FileChanged = self.daemon.call(method::FILE_MAKE_FOLDER, &asked)?;
        self.done.safe = made.safe;
        self.done.folders += 1;
        Ok(())
    }

    fn file(&mut self, file: OwnedFd, path: &Path, names: &[Vec<u8>]) -> Result<(), Failure> {
        let stat = fstat(&file).map_err(|error| tree::unreadable(path, &error.into()))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::RegularFile {
            self.leave_out(path, tree::kind(kind));
            return Ok(());
        }
        let known = Known::regular(&stat);
        let size = known.size.unwrap_or_default();
        let asked = FileOfMany {
            path: path_of(names),
            size,
            modified_ns: known.modified_ns,
            executable: known.executable,
        };
        if !Load::takes(size) {
            return self.alone(&asked, &file);
        }
        if !self.together.load.has_room(size, &asked.path) {
            self.send()?;
        }
        let whole = append(&mut self.together.contents, &file, &stat);
        if !whole.map_err(|error| tree::unreadable(path, &error))? {
            // The daemon says what is wrong with it.
            return self.alone(&asked, &file);
        }
        self.together.load.add(size, &asked.path);
        self.together.files.push((asked, file));
        Ok(())
    }

    /// Sends one file by itself.
    fn alone(&mut self, file: &FileOfMany, opened: &OwnedFd) -> Result<(), Failure> {
        let asked = FilePut {
            select: self.context.global.select(),
            safe: self.command.place.safe.clone(),
            path: file.path.clone(),
            size: Some(file.size),
            modified_ns: file.modified_ns,
            executable: file.executable,
            replace: self.command.force,
            wait_seconds: Some(0),
        };
        let put = sent(self.context, &mut self.daemon, &asked, opened.as_fd())?;
        self.came(1, put.bytes);
        Ok(())
    }

    /// Sends the small files that have come together. Where they can't go together, each goes
    /// alone: then it is known which of them can't.
    fn send(&mut self) -> Result<(), Failure> {
        let Together { files, contents, .. } = std::mem::take(&mut self.together);
        match files.as_slice() {
            [] => return Ok(()),
            [(file, opened)] => return self.alone(file, opened),
            [_, _, ..] => {}
        }
        let asked = FilePutMany {
            select: self.context.global.select(),
            safe: self.command.place.safe.clone(),
            files: files.iter().map(|(file, _)| file.clone()).collect(),
            replace: self.command.force,
            wait_seconds: Some(0),
        };
        let put = memory(&contents).ok().and_then(|memory| {
            self.daemon.call_with::<_, FilesChanged>(method::FILE_PUT_MANY, &asked, memory.as_fd()).ok()
        });
        match put {
            Some(put) => {
                self.came(files.len() as u64, put.bytes);
                Ok(())
            }
            None => files.iter().try_for_each(|(file, opened)| self.alone(file, opened)),
        }
    }

    /// Notes that files are in, and shows it.
    fn came(&mut self, files: u64, bytes: u64) {
        self.done.files += files;
        self.done.bytes = self.done.bytes.saturating_add(bytes);
        if is_seen(self.context.output) {
            self.context.output.progress(&self.tally());
        }
    }

    fn leave_out(&mut self, path: &Path, kind: &'static str) {
        if is_seen(self.context.output) {
            self.context.output.progress_ends();
        }
        self.context.output.say(&format!("Left out: {} ({kind})", escaped(path.display())));
        self.done.left_out.push(LeftOut { path: local(path), kind });
    }
}

/// A path of this machine as text, every byte of it.
pub(super) fn local(path: &Path) -> String {
    parsec_protocol::control::paths::write_name(path.as_os_str().as_bytes())
}

/// A path of this machine that a name of a safe leads to.
pub(super) fn joined(base: &Path, names: &[Vec<u8>]) -> PathBuf {
    names.iter().fold(base.to_owned(), |path, name| path.join(std::ffi::OsStr::from_bytes(name)))
}
