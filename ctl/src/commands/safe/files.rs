//! `safe ls|stat|mkdir|mv|cp|rm|conflicts`: files by their path.
//!
//! Decides how a path is shown: what could steer a terminal as `\xNN`, which can be typed as it is
//! seen. Refuses to guess what an existing file at a new place means: the daemon does, without
//! `--force`.

use parsec_protocol::control::paths::{read_path, write_path};
use parsec_protocol::control::{
    FileChanged, FileConflicts, FileConflictsResult, FileEntry, FileKind, FileList, FileListResult,
    FileMakeFolder, FileMove, FileRemove, FileSelector, ProblemKind, method,
};
use parsec_protocol::ids::Timestamp;
use serde::Serialize;

use super::as_of::{When, when};
use super::keeping::here;
use super::{Context, ended, short};
use crate::args::{AsOf, Moving, SafePath, Sharing};
use crate::client::Connection;
use crate::failure::Failure;
use crate::schema::{self, Change};
use crate::text::{escaped, human, moment, pasteable};

/// Nanoseconds of a microsecond: files count the first, everything else the second.
const NANOSECONDS: i64 = 1_000;

/// One entry, as it is printed for programs.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    file: &'a FileEntry,
    /// Whether its contents of then are not kept any more; where an earlier time was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<bool>,
}

/// Shows a folder, page by page, so that a large one is shown at once.
pub(super) fn list(
    context: &Context<'_>,
    place: &SafePath,
    (long, recursive): (bool, bool),
    as_of: &AsOf,
) -> Result<(), Failure> {
    let when = when(as_of)?;
    let mut daemon = context.connect()?;
    let mut shown = false;
    pages(context, &mut daemon, place, recursive, when, |page| {
        let files = &page.files;
        let is_lost = |file: &FileEntry| page.record.map(|_| page.lost.contains(&file.entry));
        if context.output.is_json() {
            return files.iter().try_for_each(|file| {
                let listed = Listed { file, lost: is_lost(file) };
                context.output.result(schema::SAFE_LS, &listed, String::new)
            });
        }
        if files.is_empty() {
            return Ok(());
        }
        let name = |file: &FileEntry| {
            if recursive {
                pasteable(&file.path)
            } else {
                pasteable(file.path.rsplit('/').next().unwrap_or_default())
            }
        };
        if !long {
            let lines: Vec<_> = files.iter().map(|file| name(file) + mark(file.kind)).collect();
            return context.output.line(&lines.join("\n"));
        }
        let rows: Vec<Vec<String>> =
            files.iter().map(|file| row(file, name(file), is_lost(file) == Some(true))).collect();
        let heads = ["KIND", "SIZE", "CHANGED", "STATE", "HERE", "NAME"];
        let table = context.output.table(&heads, &rows);
        // One heading, also over several pages.
        let table = if shown { table.lines().skip(1).collect::<Vec<_>>().join("\n") } else { table };
        shown = true;
        context.output.line(&table)
    })
}

/// Walks a folder page by page.
pub(super) fn pages(
    context: &Context<'_>,
    daemon: &mut Connection,
    place: &SafePath,
    recursive: bool,
    mut when: When,
    mut each: impl FnMut(&FileListResult) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let asked = FileList {
            select: context.global.select(),
            safe: place.safe.clone(),
            path: place.path(),
            recursive,
            after: after.take(),
            at: when.at,
            record: when.record,
        };
        let page: FileListResult = context.ask(daemon, method::FILE_LIST, &asked)?;
        each(&page)?;
        if page.record.is_some() {
            when = When { at: None, record: page.record };
        }
        match page.files.last() {
            Some(last) if page.more => after = Some(last.path.clone()),
            // A daemon that has more and says nothing has said all.
            Some(_) | None => return Ok(()),
        }
    }
}

const fn mark(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Folder => "/",
        FileKind::Symlink => "@",
        FileKind::File | FileKind::Unknown => "",
    }
}

const fn kind(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Folder => "folder",
        FileKind::File => "file",
        FileKind::Symlink => "link",
        FileKind::Unknown => "?",
    }
}

fn row(file: &FileEntry, name: String, lost: bool) -> Vec<String> {
    let executable = if file.executable { "program" } else { kind(file.kind) };
    vec![
        executable.to_owned(),
        file.size.map(human).unwrap_or_default(),
        moment(modified(file)),
        if file.shared { "shared" } else { "saved" }.to_owned(),
        if lost { "not kept" } else { here(file.here, file.pinned) }.to_owned(),
        match &file.target {
            Some(target) => format!("{name} -> {}", pasteable(target)),
            None => name,
        },
    ]
}

/// When a file was last changed, as its writer says. What is before 1970 is shown as that.
fn modified(file: &FileEntry) -> Timestamp {
    Timestamp(u64::try_from(file.modified_ns / NANOSECONDS).unwrap_or_default())
}

/// What stands at a path.
pub(super) enum Found {
    /// Nothing does.
    Nothing,
    /// The safe itself, at `/`: a folder that is no entry.
    Root,
    /// An entry that has a name.
    Entry(FileEntry),
}

impl Found {
    /// Whether something can go into it.
    pub(super) fn is_folder(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Root => true,
            Self::Entry(file) => file.kind == FileKind::Folder,
        }
    }
}

/// Asks what stands at a path.
pub(super) fn find(
    context: &Context<'_>,
    daemon: &mut Connection,
    safe: &str,
    path: String,
) -> Result<Found, Failure> {
    let is_root = path == "/";
    let asked = FileSelector { select: context.global.select(), safe: safe.to_owned(), path };
    match context.ask(daemon, method::FILE_STAT, &asked) {
        Ok(file) => Ok(Found::Entry(file)),
        Err(Failure::Report(report)) if report.is(ProblemKind::PathNotFound) => Ok(Found::Nothing),
        Err(Failure::Report(report)) if is_root && report.is(ProblemKind::IsAFolder) => Ok(Found::Root),
        Err(failure) => Err(failure),
    }
}

/// Where something of this name goes: into a folder that is there or was typed as one, else to the
/// very path.
pub(super) fn destination(
    context: &Context<'_>,
    daemon: &mut Connection,
    (safe, names, into): (&str, &[Vec<u8>], bool),
    name: Option<&[u8]>,
) -> Result<String, Failure> {
    let path = write_path(names.iter().map(Vec::as_slice));
    // Asked in any case: with a file on its way nobody could be asked for the password any more.
    let into = find(context, daemon, safe, path.clone())?.is_folder() || into;
    match name {
        Some(name) if into => Ok(write_path(names.iter().map(Vec::as_slice).chain([name]))),
        None if into => {
            Err(Failure::usage("It has no name that it could get there", "Name the new place in full."))
        }
        Some(_) | None => Ok(path),
    }
}

pub(super) fn stat(context: &Context<'_>, place: &SafePath) -> Result<(), Failure> {
    let asked =
        FileSelector { select: context.global.select(), safe: place.safe.clone(), path: place.path() };
    let file: FileEntry = context.call(method::FILE_STAT, &asked)?;
    context.output.result(schema::SAFE_STAT, &file, || {
        let mut lines = vec![
            format!("Path:      {}", pasteable(&file.path)),
            format!("Kind:      {}{}", kind(file.kind), if file.executable { ", a program" } else { "" }),
        ];
        if let Some(size) = file.size {
            lines.push(format!("Size:      {size} bytes ({})", human(size)));
        }
        lines.push(format!("Changed:   {}", moment(modified(&file))));
        let state = if file.shared { "shared" } else { "saved on this device, not shared yet" };
        lines.push(format!("State:     {state}"));
        let here = here(file.here, file.pinned);
        lines.extend((!here.is_empty()).then(|| format!("Here:      {here}")));
        lines.push(format!("Entry:     {}", file.entry));
        lines.extend(file.version.map(|version| format!("Version:   {version}, {} earlier", file.versions)));
        lines.extend(file.target.as_ref().map(|target| format!("Leads to:  {}", pasteable(target))));
        lines.extend(file.added_by.map(|user| format!("Added by:  user {}", short(user))));
        lines.extend(file.conflict_of.map(|of| format!("Conflict:  a copy of entry {of}")));
        lines.join("\n")
    })
}

pub(super) fn make_folder(
    context: &Context<'_>,
    place: &SafePath,
    parents: bool,
    sharing: Sharing,
) -> Result<(), Failure> {
    let asked = FileMakeFolder {
        select: context.global.select(),
        safe: place.safe.clone(),
        path: place.path(),
        parents,
        wait_seconds: Some(sharing.seconds()),
    };
    changed(context, (method::FILE_MAKE_FOLDER, schema::SAFE_MKDIR), &asked, "Folder", sharing)
}

pub(super) fn remove(
    context: &Context<'_>,
    place: &SafePath,
    recursive: bool,
    sharing: Sharing,
) -> Result<(), Failure> {
    let asked = FileRemove {
        select: context.global.select(),
        safe: place.safe.clone(),
        path: place.path(),
        recursive,
        wait_seconds: Some(sharing.seconds()),
    };
    changed(context, (method::FILE_REMOVE, schema::SAFE_RM), &asked, "Removed", sharing)
}

pub(super) fn moved(context: &Context<'_>, command: &Moving) -> Result<(), Failure> {
    transfer(context, command, (method::FILE_MOVE, schema::SAFE_MV), "Moved to")
}

pub(super) fn copied(context: &Context<'_>, command: &Moving) -> Result<(), Failure> {
    transfer(context, command, (method::FILE_COPY, schema::SAFE_CP), "Copied to")
}

fn transfer(
    context: &Context<'_>,
    command: &Moving,
    call: (&str, Change),
    what: &str,
) -> Result<(), Failure> {
    let Moving { force, from, to, sharing } = command;
    if to.safe.as_ref().is_some_and(|safe| *safe != from.safe) {
        return Err(Failure::usage(
            "From one safe to another is no move",
            "Get it out of the one and put it into the other: `safe get` and `safe put`.",
        ));
    }
    let mut daemon = context.connect()?;
    let place = (from.safe.as_str(), to.names.as_slice(), to.into);
    let to = destination(context, &mut daemon, place, from.names.last().map(Vec::as_slice))?;
    let asked = FileMove {
        select: context.global.select(),
        safe: from.safe.clone(),
        from: from.path(),
        to,
        replace: *force,
        wait_seconds: Some(sharing.seconds()),
    };
    drop(daemon);
    changed(context, call, &asked, what, *sharing)
}

/// Calls, and says what became of it.
fn changed(
    context: &Context<'_>,
    (method, schema): (&str, Change),
    asked: &impl Serialize,
    what: &str,
    sharing: Sharing,
) -> Result<(), Failure> {
    let result: FileChanged = context.call(method, asked)?;
    let text = format!("{what} {}", pasteable(&result.path));
    ended(context, schema, &result, &text, sharing)
}

/// Shows conflict copies, page by page.
pub(super) fn conflicts(context: &Context<'_>, safe: &str) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let (mut after, mut none) = (None, true);
    loop {
        let asked =
            FileConflicts { select: context.global.select(), safe: safe.to_owned(), after: after.take() };
        let page: FileConflictsResult = context.ask(&mut daemon, method::FILE_CONFLICTS, &asked)?;
        for conflict in &page.conflicts {
            none = false;
            context.output.result(schema::SAFE_CONFLICTS, conflict, || {
                let of =
                    conflict.of.as_deref().map_or_else(|| "a file that was removed".to_owned(), pasteable);
                format!("{}\n  a copy of {of}", pasteable(&conflict.copy.path))
            })?;
        }
        match page.conflicts.last() {
            Some(last) if page.more => after = Some(last.copy.path.clone()),
            Some(_) | None => break,
        }
    }
    if none {
        context.output.say("No conflict copies.");
    }
    Ok(())
}

/// The last name of a path, as bytes; `None` for the root.
pub(super) fn name_of(path: &str) -> Result<Option<Vec<u8>>, Failure> {
    let refuse = |fault| {
        let text = format!("The daemon gave a path that is none ({}): {fault}", escaped(path));
        Failure::new(ProblemKind::Internal, text)
    };
    Ok(read_path(path).map_err(refuse)?.pop())
}
