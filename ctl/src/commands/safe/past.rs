//! `safe history|restore|trash`: what a file held before, and what was removed.
//!
//! Decides which of several things that were removed from one place is meant: the last one, unless
//! its id is given. Refuses the start of an id with which two begin.

use std::ops::ControlFlow;

use parsec_protocol::control::paths::write_path;
use parsec_protocol::control::{
    FileChanged, FileHistory, FileHistoryResult, FileRestore, FileVersion, ProblemKind, TrashEntry,
    TrashList, TrashListResult, TrashRestore, method,
};
use parsec_protocol::ids::{EntryId, OperationId};

use super::{Context, ended, person, short};
use crate::args::{Restore, SafePath};
use crate::client::Connection;
use crate::failure::Failure;
use crate::schema;
use crate::text::{human, moment, pasteable};

/// Fewest digits of an id that name one: fewer are too easily another's.
const PREFIX_MIN_DIGITS: usize = 4;

/// All contents of a file, page by page.
fn asked(
    context: &Context<'_>,
    daemon: &mut Connection,
    place: &SafePath,
) -> Result<FileHistoryResult, Failure> {
    let mut all: Vec<FileVersion> = Vec::new();
    loop {
        let after = all.last().map(|last| last.version);
        let (select, safe) = (context.global.select(), place.safe.clone());
        let asked = FileHistory { select, safe, path: place.path(), after };
        let page: FileHistoryResult = context.ask(daemon, method::FILE_HISTORY, &asked)?;
        let more = page.more && !page.versions.is_empty();
        all.extend(page.versions);
        if !more {
            return Ok(FileHistoryResult { versions: all, ..page });
        }
    }
}

/// Shows all contents of a file, the present one first.
pub(super) fn history(context: &Context<'_>, place: &SafePath) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let result = asked(context, &mut daemon, place)?;
    context.output.result(schema::SAFE_HISTORY, &result, || {
        let heads = ["VERSION", "WRITTEN", "SIZE", "BY", ""];
        let rows: Vec<_> = result.versions.iter().map(row).collect();
        context.output.table(&heads, &rows)
    })
}

fn row(version: &FileVersion) -> Vec<String> {
    let state = match (version.present, version.seq, version.time) {
        (true, None, Some(_)) => "present, not shared yet",
        (true, _, _) => "present",
        (false, None, Some(_)) => "not shared yet",
        (false, _, _) => "",
    };
    vec![
        short(version.version),
        version.time.map(moment).unwrap_or_default(),
        human(version.size),
        version.by.as_ref().map(person).unwrap_or_default(),
        state.to_owned(),
    ]
}

/// The one of these ids that begins so.
pub(super) fn one_of<T: Copy + ToString>(
    ids: impl Iterator<Item = T>,
    start: &str,
    what: &str,
    see: &str,
) -> Result<T, Failure> {
    let start = start.to_ascii_lowercase();
    let fits = |id: &T| start.len() >= PREFIX_MIN_DIGITS && id.to_string().starts_with(&start);
    let found: Vec<T> = ids.filter(fits).collect();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => {
            Err(Failure::new(ProblemKind::PathNotFound, format!("There is no {what} {}", pasteable(&start)))
                .advised(see))
        }
        _ => Err(Failure::usage(format!("More than one {what} begins so"), see)),
    }
}

/// The version whose id begins so.
pub(super) fn version(
    context: &Context<'_>,
    daemon: &mut Connection,
    place: &SafePath,
    start: &str,
) -> Result<OperationId, Failure> {
    let history = asked(context, daemon, place)?;
    let versions = history.versions.iter().map(|version| version.version);
    one_of(versions, start, "version", "`parsecctl safe history` shows the file's versions.")
}

/// Goes through the trash of a safe, page by page.
fn pages(
    context: &Context<'_>,
    daemon: &mut Connection,
    safe: &str,
    mut each: impl FnMut(&[TrashEntry]) -> Result<ControlFlow<()>, Failure>,
) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let asked = TrashList { select: context.global.select(), safe: safe.to_owned(), after };
        let page: TrashListResult = context.ask(daemon, method::TRASH_LIST, &asked)?;
        if each(&page.removed)?.is_break() {
            return Ok(());
        }
        match page.removed.last() {
            Some(last) if page.more => after = Some(last.file.entry),
            Some(_) | None => return Ok(()),
        }
    }
}

/// Shows what was removed, the last one first.
pub(super) fn trash(context: &Context<'_>, safe: &str) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let mut rows = Vec::new();
    pages(context, &mut daemon, safe, |removed| {
        for entry in removed {
            if context.output.is_json() {
                context.output.result(schema::SAFE_TRASH, entry, String::new)?;
                continue;
            }
            rows.push(vec![
                short(entry.file.entry),
                moment(entry.removed),
                entry.by.as_ref().map(person).unwrap_or_default(),
                entry.entries.to_string(),
                pasteable(&entry.file.path),
            ]);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if context.output.is_json() {
        return Ok(());
    }
    if rows.is_empty() {
        context.output.say("Nothing was removed from this safe.");
        return Ok(());
    }
    context.output.line(&context.output.table(&["ENTRY", "REMOVED", "BY", "ENTRIES", "WHERE IT WAS"], &rows))
}

/// An earlier content, or something out of the trash.
pub(super) fn restore(context: &Context<'_>, command: &Restore) -> Result<(), Failure> {
    let Restore { place, version: wanted, entry, to, sharing, exact, dry_run, at: _, record: _ } = command;
    if *exact || *dry_run {
        return Err(Failure::usage(
            "--exact and --dry-run are for a file or folder as it was at one time",
            "Say when, with --at TIME or --record N.",
        ));
    }
    if to.as_ref().and_then(|to| to.safe.as_ref()).is_some_and(|safe| *safe != place.safe) {
        return Err(Failure::usage(
            "What was removed from one safe does not come back in another",
            "Bring it back where it was, get it out of there and put it into the other: `safe get` and `safe put`.",
        ));
    }
    let mut daemon = context.connect()?;
    let (select, safe) = (context.global.select(), place.safe.clone());
    let wait_seconds = Some(sharing.seconds());
    let result: FileChanged = if let Some(start) = wanted {
        let version = version(context, &mut daemon, place, start)?;
        let asked = FileRestore { select, safe, path: place.path(), version, wait_seconds };
        context.ask(&mut daemon, method::FILE_RESTORE, &asked)?
    } else {
        let entry = removed(context, &mut daemon, place, entry.as_deref())?;
        let to = to.as_ref().map(|to| {
            let own = place.names.last().filter(|_| to.into);
            write_path(to.names.iter().chain(own).map(Vec::as_slice))
        });
        let asked = TrashRestore { select, safe, entry, to, wait_seconds };
        context.ask(&mut daemon, method::TRASH_RESTORE, &asked)?
    };
    let text = match result.entries {
        0 => format!("{} is as it was", pasteable(&result.path)),
        _ => format!("Brought back {}", pasteable(&result.path)),
    };
    ended(context, schema::SAFE_RESTORE, &result, &text, *sharing)
}

/// What was removed from a place last, or the one of an id.
pub(super) fn removed(
    context: &Context<'_>,
    daemon: &mut Connection,
    place: &SafePath,
    start: Option<&str>,
) -> Result<EntryId, Failure> {
    let path = place.path();
    let mut there = Vec::new();
    pages(context, daemon, &place.safe, |removed| {
        there.extend(removed.iter().filter(|entry| entry.file.path == path).map(|entry| entry.file.entry));
        // The last one that was removed from there comes first.
        let found = start.is_none() && !there.is_empty();
        Ok(if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    let see = "`parsecctl safe trash` shows what was removed; `--version` brings back an earlier content of a file that is there.";
    match start {
        Some(start) => one_of(there.into_iter(), start, "entry", see),
        None => there.first().copied().ok_or_else(|| {
            let text = format!("Nothing was removed from {}", pasteable(&path));
            Failure::new(ProblemKind::PathNotFound, text).advised(see)
        }),
    }
}
