//! A whole folder of a safe into a folder of this machine: `safe get -r`, `safe export`.
//!
//! Decides what goes together, and that a file which is there already may be left as it is. What
//! can't be had is named. Refuses to write outside of the folder that was named, whatever the
//! daemon lists.

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use parsec_protocol::control::paths::read_path;
use parsec_protocol::control::{FileEntry, FileGet, FileGetMany, FileKind, FilesGot, ProblemKind, method};
use parsec_protocol::ids::EntryId;
use rustix::fs::{AtFlags, FileType, Mode, statat};
use serde::Serialize;

use super::as_of::{Then, When};
use super::files::{name_of, pages};
use super::get::{Made, begin, fetch, no_name};
use super::incoming::Identity;
use super::put::{LeftOut, joined, local, modified_ns};
use super::together::{Load, memory, written};
use super::{Context, tree};
use crate::args::SafePath;
use crate::client::Connection;
use crate::failure::Failure;
use crate::progress::is_seen;
use crate::schema::Schema;
use crate::text::{escaped, pasteable};

/// Mode of the folder that a whole one becomes: as of every other that is made here.
const OWNER_ONLY: u32 = 0o700;

/// What became of a whole folder.
#[derive(Debug, Serialize)]
struct Whole {
    written: String,
    path: String,
    files: u64,
    folders: u64,
    bytes: u64,
    /// Files that were there already, as they should be.
    unchanged: u64,
    left_out: Vec<LeftOut>,
    /// The record as of which it is, where an earlier time was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<u64>,
    /// Files whose contents of then are not kept any more.
    lost: Vec<String>,
}

/// How a whole folder is fetched.
#[derive(Clone, Copy)]
pub(super) struct Fetching<'a> {
    /// Files of this machine may be written over.
    pub(super) force: bool,
    /// A file that has the size, the time and the mark of the one in the safe is left as it is.
    pub(super) skip: bool,
    /// As of when, if not as it is now.
    pub(super) past: Option<&'a Then>,
}

/// The folder of this machine that a folder of a safe becomes.
///
/// # Errors
/// Standard output; no name.
pub(super) fn base(file: Option<&Path>, place: &SafePath) -> Result<PathBuf, Failure> {
    match file {
        Some(file) if file == Path::new("-") => {
            Err(Failure::usage("A folder is not for standard output", "Name a folder."))
        }
        Some(file) => Ok(file.to_owned()),
        None => {
            let own = place.names.last().ok_or_else(no_name)?;
            Ok(joined(Path::new("."), std::slice::from_ref(own)))
        }
    }
}

/// A whole folder of a safe, which becomes the folder `base`.
///
/// # Errors
/// The daemon's, the disk's; where contents of then are lost, after all others were fetched.
pub(super) fn run(
    context: &Context<'_>,
    mut daemon: Connection,
    place: &SafePath,
    base: &Path,
    how: Fetching<'_>,
    schema: Schema,
) -> Result<(), Failure> {
    match DirBuilder::new().mode(OWNER_ONLY).create(base) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(tree::unwritable(base, &error)),
    }
    let root = tree::folder(base).map_err(|error| tree::unwritable(base, &error))?;
    // Listed before anything is fetched: one connection has one question at a time.
    let (mut entries, mut lost) = (Vec::new(), BTreeSet::new());
    let when = how.past.map_or_else(When::default, Then::when);
    pages(context, &mut daemon, place, true, when, |page| {
        entries.extend_from_slice(&page.files);
        lost.extend(page.lost.iter().copied());
        Ok(())
    })?;
    let mut done = Whole {
        written: local(base),
        path: place.path(),
        files: 0,
        folders: 0,
        bytes: 0,
        unchanged: 0,
        left_out: Vec::new(),
        record: how.past.map(Then::record),
        lost: Vec::new(),
    };
    let made = Made::default();
    let walk = Walk { context, daemon, place, how, root: &root, base, done: &mut done, made, lost };
    let got = walk.all(&entries);
    if is_seen(context.output) {
        context.output.progress_ends();
    }
    if let Err(failure) = got {
        context.output.say(&format!("Until then: {}", tally(&done)));
        return Err(failure);
    }
    let text = || {
        let as_of = how.past.map(|past| format!("{}; ", past.told())).unwrap_or_default();
        format!("{}: {as_of}{}", escaped(base.display()), tally(&done))
    };
    context.output.result(schema, &done, text)?;
    // All of it was told: what is left is what a script goes by.
    if done.lost.is_empty() { Ok(()) } else { Err(Failure::Told(ProblemKind::PathNotFound.exit_code())) }
}

fn tally(done: &Whole) -> String {
    let mut text = super::tally([done.files, done.folders], done.bytes, done.left_out.len());
    for (count, what) in [(done.unchanged, "unchanged"), (done.lost.len() as u64, "not kept any more")] {
        if count > 0 {
            text = format!("{text}, {count} {what}");
        }
    }
    text
}

/// A whole folder under way.
struct Walk<'a> {
    context: &'a Context<'a>,
    daemon: Connection,
    place: &'a SafePath,
    how: Fetching<'a>,
    root: &'a OwnedFd,
    base: &'a Path,
    done: &'a mut Whole,
    made: Made,
    /// Files whose contents of then are not kept any more.
    lost: BTreeSet<EntryId>,
}

impl Walk<'_> {
    fn all(mut self, entries: &[FileEntry]) -> Result<(), Failure> {
        let (mut load, mut together) = (Load::default(), Vec::new());
        let walked = entries.iter().try_for_each(|entry| {
            if self.lost.contains(&entry.entry) {
                self.context.output.say(&format!("Not kept any more: {}", pasteable(&entry.path)));
                self.done.lost.push(entry.path.clone());
                return Ok(());
            }
            if self.how.skip && self.is_there(entry)? {
                self.done.unchanged += 1;
                return Ok(());
            }
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
                let names = below(&self.place.names, &entry.path)?;
                self.folder(&names, &joined(self.base, &names))?;
                self.done.folders += 1;
            }
            FileKind::File => {
                let (folder, path) = self.place(entry)?;
                let (select, safe) = (self.context.global.select(), self.place.safe.clone());
                let record = self.how.past.map(Then::record);
                let path_there = entry.path.clone();
                let asked = FileGet { select, safe, path: path_there, version: None, at: None, record };
                let (wanted, force) = ((asked, entry.size), self.how.force);
                let got =
                    fetch(self.context, &mut self.daemon, wanted, (folder, &path), force, &mut self.made);
                let got = got.map_err(|failure| failure.about(&entry.path))?;
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
                let incoming = begin(folder, &path, self.how.force, &self.made)?;
                incoming.write(file).map_err(failed)?;
                let done = incoming.finish(got.executable, got.modified_ns, self.how.force);
                self.made.note(done.map_err(failed)?);
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
            safe: self.place.safe.clone(),
            paths: entries.iter().map(|entry| entry.path.clone()).collect(),
            at: None,
            record: self.how.past.map(Then::record),
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
        let names = below(&self.place.names, &entry.path)?;
        let path = joined(self.base, &names);
        let above = names.split_last().map(|(_, above)| above).unwrap_or_default();
        Ok((self.folder(above, &path)?, path))
    }

    /// Whether a file of this machine is what the safe has there, by all that is known of it
    /// without reading: its size, its time to the nanosecond, and whether it is a program. It is
    /// noted then: another name of the safe that is the same one to the file system must not be
    /// written over it.
    fn is_there(&mut self, entry: &FileEntry) -> Result<bool, Failure> {
        let names = below(&self.place.names, &entry.path)?;
        let Some((name, above)) = names.split_last().filter(|_| entry.kind == FileKind::File) else {
            return Ok(false);
        };
        // What is not there, or behind a link, is not as it should be: it is fetched, or refused.
        let Ok(folder) = tree::inside(self.root, above) else { return Ok(false) };
        let Ok(found) = statat(&folder, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) else { return Ok(false) };
        // Another name of the safe has it already.
        if self.made.has(&folder, name) {
            return Ok(false);
        }
        let is_same = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile
            && u64::try_from(found.st_size).ok() == entry.size
            && modified_ns(&found) == entry.modified_ns
            && Mode::from_raw_mode(found.st_mode).contains(Mode::XUSR) == entry.executable;
        if is_same {
            self.made.note(Identity::of(&found));
        }
        Ok(is_same)
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
