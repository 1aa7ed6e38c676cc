//! `safe log`, and `safe restore --at|--record`: what was done in a safe, and a folder as it was.
//!
//! Decides how a moment is written, and how a record is told in few words.

use parsec_protocol::control::{
    FileRestoreTree, FileTreeRestored, LogRecord, SafeLog, SafeLogResult, SafeTakeover, method,
};

use super::as_of::moment_of;
use super::{Context, ended_as, person};
use crate::args::Restore;
use crate::failure::{Done, Failure};
use crate::schema;
use crate::text::{moment_to_the_second, pasteable};

/// Where what was done can be seen.
const SEE_LOG: &str = "`parsecctl safe log` shows what was done in the safe.";

/// What there is any of, in words.
fn counted(kinds: &[(u64, &str)]) -> String {
    let some = kinds.iter().filter(|(count, _)| *count > 0);
    some.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
}

fn row(record: &LogRecord) -> Vec<String> {
    let kinds = [
        (record.added, "added"),
        (record.contents, "written"),
        (record.moved, "moved"),
        (record.removed, "removed"),
        (record.restored, "restored"),
        (record.pruned, "thrown away"),
        (record.other, "other"),
    ];
    let told = if record.unread { "can't be read".to_owned() } else { counted(&kinds) };
    vec![
        record.seq.to_string(),
        moment_to_the_second(record.time),
        record.by.as_ref().map(person).unwrap_or_default(),
        record.device.as_ref().map(ToString::to_string).unwrap_or_default(),
        told,
    ]
}

/// A takeover among the records.
fn takeover_row(taken: &SafeTakeover) -> Vec<String> {
    let by = taken.by.as_ref().map(person).unwrap_or_default();
    let when = moment_to_the_second(taken.time);
    vec![String::new(), when, by, String::new(), "TOOK THE SAFE OVER: nobody owned it any more".to_owned()]
}

/// A takeover in a few words.
pub(super) fn takeover(taken: &SafeTakeover) -> String {
    let by = taken.by.as_ref().map_or_else(|| "somebody unknown".to_owned(), person);
    format!("{}, by {by}: nobody owned it any more", moment_to_the_second(taken.time))
}

/// Shows the records of a safe, the last one first, page by page.
pub(super) fn log(context: &Context<'_>, safe: &str, limit: Option<u64>) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let (mut before, mut left, mut rows) = (None, limit.unwrap_or(u64::MAX), Vec::new());
    loop {
        let asked = SafeLog { select: context.global.select(), safe: safe.to_owned(), before };
        let page: SafeLogResult = context.ask(&mut daemon, method::SAFE_LOG, &asked)?;
        for record in &page.records {
            if left == 0 {
                break;
            }
            left -= 1;
            if context.output.is_json() {
                context.output.result(schema::SAFE_LOG, record, String::new)?;
            } else {
                // The last first: what stands behind a record comes before it.
                rows.extend(record.takeovers.iter().rev().map(takeover_row));
                rows.push(row(record));
            }
        }
        match page.records.last() {
            Some(last) if page.more && left > 0 => before = Some(last.seq),
            Some(_) | None => break,
        }
    }
    if context.output.is_json() {
        return Ok(());
    }
    if rows.is_empty() {
        context.output.say("Nothing was shared in this safe yet.");
        return Ok(());
    }
    context.output.line(&context.output.table(&["RECORD", "WRITTEN", "BY", "DEVICE", "WHAT"], &rows))
}

/// A file, or what is in a folder, as it was.
pub(super) fn restore(context: &Context<'_>, command: &Restore) -> Result<(), Failure> {
    let at = command.at.as_deref().map(moment_of);
    let asked = FileRestoreTree {
        select: context.global.select(),
        safe: command.place.safe.clone(),
        path: command.place.path(),
        at: at.transpose()?,
        record: command.record,
        exact: command.exact,
        dry_run: command.dry_run,
        wait_seconds: Some(command.sharing.seconds()),
    };
    let mut daemon = context.connect()?;
    let result: FileTreeRestored = context.ask(&mut daemon, method::FILE_RESTORE_TREE, &asked)?;
    let text = told(&result, &pasteable(&asked.path), command.dry_run);
    match &result.change {
        Some(change) if change.entries > 0 => {
            ended_as(context, schema::SAFE_RESTORE_TREE, &result, change, &text, command.sharing)
        }
        Some(_) | None => {
            let done = Done::new(&text, SEE_LOG);
            context.output.changed(schema::SAFE_RESTORE_TREE, &result, || text.clone(), done)
        }
    }
}

fn told(result: &FileTreeRestored, path: &str, dry_run: bool) -> String {
    let kinds = [
        (result.restored, "out of the trash"),
        (result.moved, "back to their places"),
        (result.contents, "with an earlier content"),
        (result.attributes, "with an earlier date or mark"),
        (result.removed, "that came since, in the trash"),
        (result.renamed, "that came since, renamed"),
        (result.lost, "that can't come back"),
    ];
    let told = counted(&kinds);
    let (is, as_of) = (if dry_run { "would be" } else { "is" }, moment_to_the_second(result.time));
    let head = format!("{path} {is} as of {as_of} (record {})", result.record);
    if told.is_empty() { format!("{head}: nothing is different") } else { format!("{head}: {told}") }
}
