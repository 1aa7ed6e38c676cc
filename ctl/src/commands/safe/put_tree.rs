//! A whole folder of this machine into a safe: `safe put -r`, `safe import`.
//!
//! Decides that what has no room is refused by its sum, before any of it is sent, and that a file
//! which the safe has already may be passed over. Refuses to follow links within the folder and to
//! read devices; what it leaves out is named.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use parsec_protocol::control::paths::write_path;
use parsec_protocol::control::{
    FileChanged, FileEntry, FileKind, FileMakeFolder, FileOfMany, FilePut, FilePutMany, FilesChanged,
    Problem, ProblemKind, SafeRoom, SafeRoomResult, SafeSynced, method,
};
use parsec_protocol::ids::SafeId;
use rustix::fs::{FileType, OFlags, fstat, statat};
use serde::Serialize;

use super::as_of::When;
use super::files::{find, pages};
use super::put::{Known, LeftOut, local, sent};
use super::together::{Load, append, memory};
use super::{Context, not_shared, not_yet, synchronised, tree};
use crate::args::{SafePath, Sharing};
use crate::client::Connection;
use crate::failure::{Done, Failure};
use crate::progress::is_seen;
use crate::schema::Change;
use crate::text::{escaped, pasteable};

/// Bytes that `stat` counts blocks in, whatever the file system's are.
const STAT_BLOCK_BYTES: u64 = 512;

/// What became of a whole folder.
#[derive(Debug, Serialize)]
struct Whole {
    safe: SafeId,
    path: String,
    files: u64,
    folders: u64,
    bytes: u64,
    /// Files that the safe had already, as they are here.
    unchanged: u64,
    left_out: Vec<LeftOut>,
    saved: bool,
    shared: bool,
    problem: Option<Problem>,
}

/// A folder under way.
struct Walk<'a> {
    context: &'a Context<'a>,
    daemon: Connection,
    safe: &'a str,
    how: Putting,
    /// What the safe has there, by its path.
    there: BTreeMap<String, FileEntry>,
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

/// How a whole folder is put.
#[derive(Clone, Copy)]
pub(super) struct Putting {
    /// Files of the safe may be written over.
    pub(super) force: bool,
    /// A file that the safe has with this size, time and mark is not put again.
    pub(super) skip: bool,
    /// How far it has to come.
    pub(super) sharing: Sharing,
}

/// What the safe has in a folder, by path; nothing where it has no such folder.
fn there(
    context: &Context<'_>,
    daemon: &mut Connection,
    place: &SafePath,
) -> Result<BTreeMap<String, FileEntry>, Failure> {
    let mut all = BTreeMap::new();
    let listed = pages(context, daemon, place, true, When::default(), |page| {
        all.extend(page.files.iter().map(|file| (file.path.clone(), file.clone())));
        Ok(())
    });
    match listed {
        Err(Failure::Report(report)) if report.is(ProblemKind::PathNotFound) => Ok(BTreeMap::new()),
        Err(failure) => Err(failure),
        Ok(()) => Ok(all),
    }
}

/// Whether the safe has a file as it is here, by all that is known of it without reading.
fn is_there(known: &Known, there: &FileEntry) -> bool {
    there.kind == FileKind::File
        && there.size == known.size
        && Some(there.modified_ns) == known.modified_ns
        && there.executable == known.executable
}

/// A whole folder of this machine into a safe.
///
/// # Errors
/// It has no room there; the daemon's; what can't be read.
pub(super) fn run(
    context: &Context<'_>,
    file: &Path,
    place: &SafePath,
    how: Putting,
    schema: Change,
) -> Result<(), Failure> {
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
    let target = SafePath { safe: place.safe.clone(), names: names.clone(), into: false };
    let there = match how.force || how.skip {
        true => there(context, &mut daemon, &target)?,
        false => BTreeMap::new(),
    };
    let path = path_of(&names);
    let done = Whole {
        safe: SafeId::from_bytes([0; SafeId::LENGTH]),
        path: path.clone(),
        files: 0,
        folders: 0,
        bytes: 0,
        unchanged: 0,
        left_out: Vec::new(),
        saved: true,
        shared: false,
        problem: None,
    };
    let together = Together::default();
    let mut walk = Walk { context, daemon, safe: &place.safe, how, there, done, together };
    if !how.sharing.saved {
        walk.look_for_room(&folder, &mut names)?;
    }
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
    if !how.sharing.saved {
        let safe = result.safe.to_string();
        let synced: SafeSynced = synchronised(context, &mut daemon, safe, how.sharing.seconds())?;
        result.shared = synced.safe.waiting == 0;
        result.problem = synced.safe.problem;
    }
    tell(context, how.sharing, &result, schema)
}

fn tell(context: &Context<'_>, sharing: Sharing, result: &Whole, schema: Change) -> Result<(), Failure> {
    let text = format!("{}: {}", pasteable(&result.path), tally(result));
    let done = Done::new(format!("{text}."), super::SEE_WAITING);
    if result.shared || sharing.saved {
        let how = if result.shared { "shared" } else { "saved on this device, not shared yet" };
        return context.output.changed(schema, result, || format!("{text}: {how}."), done);
    }
    if context.output.is_json() {
        context.output.changed(schema, result, String::new, done)?;
        return Err(Failure::Told(ProblemKind::NotSharedYet.exit_code()));
    }
    let why = result.problem.as_ref();
    Err(not_yet(format!("{text}: saved on this device, and {}", not_shared(sharing.seconds(), why)), why))
}

fn path_of(names: &[Vec<u8>]) -> String {
    write_path(names.iter().map(Vec::as_slice))
}

fn tally(done: &Whole) -> String {
    let text = super::tally([done.files, done.folders], done.bytes, done.left_out.len());
    if done.unchanged > 0 { format!("{text}, {} unchanged", done.unchanged) } else { text }
}

impl Walk<'_> {
    fn tally(&self) -> String {
        tally(&self.done)
    }

    /// Asks whether all of it has room. Refused here, nothing of it was read, sealed or sent.
    fn look_for_room(&mut self, folder: &OwnedFd, names: &mut Vec<Vec<u8>>) -> Result<(), Failure> {
        let bytes = self.measure(folder, names);
        let (select, safe) = (self.context.global.select(), self.safe.to_owned());
        let asked = SafeRoom { select, safe, bytes };
        match self.daemon.call::<_, SafeRoomResult>(method::SAFE_ROOM, &asked) {
            Ok(_) => Ok(()),
            // An older daemon says it where it comes to that.
            Err(Failure::Report(report)) if report.is(ProblemKind::UnknownMethod) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Least number of bytes that a folder brings: what the safe has as it is here is not put, and
    /// of what is written over most may be the same.
    fn measure(&self, folder: &OwnedFd, names: &mut Vec<Vec<u8>>) -> u64 {
        let mut bytes = 0_u64;
        // What can't be looked at says so where it is put.
        for name in tree::names(folder).unwrap_or_default() {
            let Ok(found) = statat(folder, name.as_slice(), rustix::fs::AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            names.push(name.clone());
            match FileType::from_raw_mode(found.st_mode) {
                FileType::Directory => {
                    if let Ok(inner) = tree::within(folder, &name, OFlags::RDONLY | OFlags::DIRECTORY) {
                        bytes = bytes.saturating_add(self.measure(&inner, names));
                    }
                }
                FileType::RegularFile => {
                    let blocks = u64::try_from(found.st_blocks).unwrap_or(u64::MAX);
                    let known = Known::regular(&found);
                    // The holes of a sparse one are never sent.
                    let size = known.size.unwrap_or_default().min(blocks.saturating_mul(STAT_BLOCK_BYTES));
                    let over = self.there.get(&path_of(names));
                    let skipped = self.how.skip && over.is_some_and(|over| is_there(&known, over));
                    let same = over.and_then(|over| over.size).unwrap_or_default();
                    bytes = bytes.saturating_add(if skipped { 0 } else { size.saturating_sub(same) });
                }
                _ => {}
            }
            names.pop();
        }
        bytes
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
            safe: self.safe.to_owned(),
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
        if self.how.skip && self.there.get(&asked.path).is_some_and(|there| is_there(&known, there)) {
            self.done.unchanged += 1;
            return Ok(());
        }
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
            safe: self.safe.to_owned(),
            path: file.path.clone(),
            size: Some(file.size),
            modified_ns: file.modified_ns,
            executable: file.executable,
            replace: self.how.force,
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
            safe: self.safe.to_owned(),
            files: files.iter().map(|(file, _)| file.clone()).collect(),
            replace: self.how.force,
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
