//! `safe confirm`: a person's word about what waits for them.
//!
//! Decides what they see before it: which device, what would be removed, and how much; or whose
//! items this device did not believe. Refuses to go on without a yes that was typed in full, or
//! given as an option by a script. The word is about what was shown: the daemon refuses it where
//! something else waits by then.

use parsec_protocol::control::{
    HeldRemovals, SafeConfirm, SafeConfirmed, SafeDecision, SafeHalt, SafeStatus, SafeStatusResult,
    SafeWaiting, method,
};

use super::super::admin::confirm;
use super::{Context, SEE_WAITING, counted, named};
use crate::args::Confirm;
use crate::failure::{Done, Failure};
use crate::schema;
use crate::text::{escaped, moment, pasteable};

/// Removals that are shown of many.
const SHOWN_MAX: usize = 20;

pub(super) fn run(context: &Context<'_>, command: Confirm) -> Result<(), Failure> {
    let Confirm { safe, discard, accept, sure } = command;
    let mut daemon = context.connect()?;
    let asked = SafeStatus { select: context.global.select(), safe: Some(safe) };
    let result: SafeStatusResult = context.ask(&mut daemon, method::SAFE_STATUS, &asked)?;
    let Some(waiting) = result.safes.into_iter().next() else { return Err(nothing("There is no such safe")) };
    let SafeWaiting { safe, removals, halt, .. } = waiting;
    let shown = named(&safe);
    let (what, decision, seen) = if accept {
        let Some(found) = halt else {
            return Err(nothing(&format!("{shown} is not halted for anything")));
        };
        let text = format!(
            "{shown}, as this device has it\n{}\nis taken in as the server shows it, although this device did not believe it.",
            self::halt(&found)
        );
        (found.what, SafeDecision::Accept, text)
    } else {
        let Some(held) = removals else {
            return Err(nothing(&format!("No removal in {shown} waits for your word")));
        };
        let end = if discard {
            "is taken back: all of it stays, here and for everybody else. What waits behind it goes out."
        } else {
            "goes into the safe's trash, for everybody in it."
        };
        let text = format!("{shown}, from this device\n{}\n{end}", self::removals(context, &held));
        (held.what, if discard { SafeDecision::Discard } else { SafeDecision::Remove }, text)
    };
    confirm(context, &seen, &sure)?;
    // By the whole id, and by what was shown.
    let asked = SafeConfirm { select: context.global.select(), safe: safe.safe.to_string(), decision, what };
    let done: SafeConfirmed = context.ask(&mut daemon, method::SAFE_CONFIRM, &asked)?;
    let text = match decision {
        SafeDecision::Discard => {
            let removals = counted(done.count, "removal");
            format!("{shown}: {removals} of {} files and folders taken back.", done.entries)
        }
        SafeDecision::Accept => {
            format!("{shown} goes on: taken in of its logs: {}.", counted(done.count, "item"))
        }
        SafeDecision::Remove | SafeDecision::Unknown => {
            let removals = counted(done.count, "removal");
            format!("{shown}: {removals} of {} files and folders will go out.", done.entries)
        }
    };
    context.output.changed(schema::SAFE_CONFIRM, &done, || text.clone(), Done::new(&text, SEE_WAITING))
}

fn nothing(what: &str) -> Failure {
    Failure::usage(what, "`parsecctl safe status` shows what waits in your safes, and for what.")
}

/// Removals that wait, for whoever has to decide.
pub(super) fn removals(context: &Context<'_>, held: &HeldRemovals) -> String {
    let HeldRemovals { removals, count, entries, behind, .. } = held;
    let rows: Vec<_> = removals
        .iter()
        .take(SHOWN_MAX)
        .map(|one| vec![moment(one.saved), one.entries.to_string(), pasteable(&one.path)])
        .collect();
    let mut lines = vec![format!("{count} removals of {entries} files and folders wait for your word:")];
    lines.push(context.output.table(&["SAVED", "ENTRIES", "WOULD REMOVE"], &rows));
    if removals.len() > SHOWN_MAX || *count > removals.len() as u64 {
        lines.push(format!("and more: {count} in all"));
    }
    if *behind > 0 {
        lines.push(format!("{behind} changes wait behind them, because they touch the same."));
    }
    lines.join("\n")
}

/// What a safe is halted for.
pub(super) fn halt(found: &SafeHalt) -> String {
    let by: Vec<_> = found.by.iter().map(escaped).collect();
    format!(
        "Not taken in: {} and {}, made by {}.\n  {}",
        counted(found.certificates, "certificate"),
        counted(found.records, "record"),
        by.join(", "),
        escaped(&found.found)
    )
}
