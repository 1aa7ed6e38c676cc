//! `safe retention|prune|purge`: what a safe keeps, and what is thrown away for good.
//!
//! Decides what a person sees before anything goes. Refuses to go on without a yes that was typed
//! in full, or given as an option by a script: what is thrown away nobody brings back.

use parsec_protocol::control::{
    FileChanged, ProblemKind, SafePrune, SafePruned, SafeRetention, SafeRole, SafeShowResult, method,
};

use super::super::admin::confirm;
use super::past::removed;
use super::{Context, SEE_SAFES, counted, ended, selector, waited};
use crate::args::{SafePath, Sharing, Sure};
use crate::client::Connection;
use crate::failure::{Done, Failure};
use crate::schema;
use crate::text::{escaped, pasteable};

fn asked(context: &Context<'_>, safe: String, trash: bool, dry_run: bool) -> SafePrune {
    SafePrune { select: context.global.select(), safe, entries: Vec::new(), trash, dry_run }
}

fn ask(context: &Context<'_>, daemon: &mut Connection, asked: &SafePrune) -> Result<SafePruned, Failure> {
    context.ask(daemon, method::SAFE_PRUNE, asked)
}

fn told(pruned: &SafePruned, would: bool) -> String {
    let SafePruned { days, entries, versions, objects, kept, .. } = pruned;
    let what = if would { "to be thrown away" } else { "thrown away" };
    let old = format!("removed or written over more than {days} days ago");
    let mut text = match (entries, versions) {
        (0, 0) => format!("Nothing was {old}."),
        (_, 0) => format!("{what}: {} of the trash, {old}.", entries_of(*entries)),
        (0, _) => format!("{what}: {}, {old}.", counted(*versions, "earlier content")),
        (_, _) => {
            let (trash, earlier) = (entries_of(*entries), counted(*versions, "earlier content"));
            format!("{what}: {trash} of the trash and {earlier}, {old}.")
        }
    };
    if *objects > 0 {
        text.push_str(&format!(" The server lets go of {} in 30 days.", counted(*objects, "sealed object")));
    }
    match kept {
        0 => {}
        1 => text.push_str(" One is not old enough yet."),
        _ => text.push_str(&format!(" {kept} are not old enough yet.")),
    }
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Entries as they are counted.
fn entries_of(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

/// Shows or sets for how long a safe keeps what was removed or written over.
pub(super) fn retention(
    context: &Context<'_>,
    safe: String,
    days: Option<u64>,
    sharing: Sharing,
    sure: &Sure,
) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let now = ask(context, &mut daemon, &asked(context, safe.clone(), false, true))?;
    let Some(days) = days else {
        return context.output.result(schema::SAFE_PRUNE_PLAN, &now, || {
            let keeps = format!("What is removed or written over is kept for {} days.", now.retention_days);
            format!("{keeps}\n{}", told(&now, true))
        });
    };
    if days < now.retention_days {
        let shown: SafeShowResult =
            context.ask(&mut daemon, method::SAFE_SHOW, &selector(context, safe.clone()))?;
        // Refused before anything is asked, as the daemon would behind it.
        if shown.safe.role != Some(SafeRole::Owner) {
            let text = "Only an owner of the safe may do this";
            return Err(Failure::new(ProblemKind::SafeRoleTooLow, text));
        }
        let seen = format!(
            "{} keeps what is removed or written over for {} days; from now on for {days}. What is older is thrown away for good, by itself.",
            escaped(&safe),
            now.retention_days
        );
        confirm(context, &seen, sure)?;
    }
    let asked = SafeRetention { select: context.global.select(), safe, days };
    let result: FileChanged = context.ask(&mut daemon, method::SAFE_RETENTION, &asked)?;
    let result = waited(context, &mut daemon, result, sharing)?;
    let text = format!("What is removed or written over is kept for {days} days");
    ended(context, schema::SAFE_RETENTION, &result, &text, sharing)
}

/// Throws away what is old enough.
pub(super) fn prune(
    context: &Context<'_>,
    safe: String,
    trash: bool,
    dry_run: bool,
    sure: &Sure,
) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let found = ask(context, &mut daemon, &asked(context, safe.clone(), trash, true))?;
    if dry_run {
        return context.output.result(schema::SAFE_PRUNE_PLAN, &found, || told(&found, true));
    }
    if found.entries + found.versions > 0 {
        let seen = format!("{} Nobody can bring them back.", told(&found, true));
        confirm(context, &seen, sure)?;
    }
    // By the whole id: it is what was shown.
    let done = ask(context, &mut daemon, &asked(context, found.safe.to_string(), trash, false))?;
    let text = told(&done, false);
    context.output.changed(schema::SAFE_PRUNE, &done, || text.clone(), Done::new(&text, SEE_SAFES))
}

/// Throws away what was removed from a place.
pub(super) fn purge(
    context: &Context<'_>,
    place: &SafePath,
    start: Option<&str>,
    sure: &Sure,
) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let entry = removed(context, &mut daemon, place, start)?;
    let mut one = SafePrune { entries: vec![entry], ..asked(context, place.safe.clone(), false, true) };
    let found = ask(context, &mut daemon, &one)?;
    let path = pasteable(&place.path());
    let seen = format!(
        "{path} in the trash, {}, is thrown away for good. Nobody can bring it back.",
        entries_of(found.entries)
    );
    confirm(context, &seen, sure)?;
    one = SafePrune { safe: found.safe.to_string(), dry_run: false, ..one };
    let done = ask(context, &mut daemon, &one)?;
    let text = format!("{path} is thrown away, {}", entries_of(done.entries));
    context.output.changed(schema::SAFE_PRUNE, &done, || text.clone(), Done::new(&text, SEE_SAFES))
}
