//! `safe …`: shared folders, who is in them, and the files in them.
//!
//! Decides how a safe looks to people, and what a command ends with where a change is saved and not
//! shared yet: 75, unless that was all that was asked for. Refuses nothing; the daemon has verified
//! what is shown.

mod as_of;
mod confirm;
mod files;
mod get;
mod get_tree;
mod incoming;
mod journal;
mod keeping;
pub(super) mod mounts;
mod past;
mod pruning;
mod put;
mod put_tree;
mod relay;
mod sharing;
mod together;
mod tree;
mod truth;
mod whole;

use parsec_protocol::control::{
    ChangeHeld, FileChanged, Person, Problem, ProblemKind, SafeCondition, SafeCreate, SafeListResult,
    SafeMembersResult, SafePeer, SafeRename, SafeRole, SafeSelector, SafeShowResult, SafeStanding,
    SafeStatus, SafeStatusResult, SafeSync, SafeSynced, SafeView, SafeWaiting, WaitingChange, method,
};
use parsec_protocol::ids::Label;
use serde::Serialize;

use super::{Context, profile, short};
use crate::args::{Safe, Sharing};
use crate::failure::{Done, Failure, Report};
use crate::schema::{self, Change};
use crate::text::{escaped, grouped, human, moment, pasteable};

/// Where what waits can be seen.
const SEE_WAITING: &str = "`parsecctl safe status` shows what is saved and not shared yet.";
/// Where a safe can be seen.
const SEE_SAFES: &str = "`parsecctl safe list` shows your safes as they are now.";

pub(super) fn run(context: &Context<'_>, command: Safe) -> Result<(), Failure> {
    match command {
        Safe::Create { name } => create(context, name),
        Safe::List => list(context),
        Safe::Show { safe } => show(context, safe),
        Safe::Share { safe, user, role, sure } => sharing::share(context, safe, &user, role, &sure),
        Safe::Unshare { safe, user, sure } => sharing::unshare(context, safe, &user, &sure),
        Safe::Accept { safe } => sharing::accept(context, safe),
        Safe::Takeover { safe, sure } => sharing::take_over(context, safe, &sure),
        Safe::Leave { safe, sure } => sharing::leave(context, safe, &sure),
        Safe::Rename { safe, name, sharing } => rename(context, safe, name, sharing),
        Safe::Members { safe } => members(context, safe),
        Safe::Status { safe } => status(context, safe),
        Safe::Sync { safe, wait } => sync(context, safe, wait),
        Safe::Confirm(command) => confirm::run(context, command),
        Safe::Ls { long, recursive, as_of, place } => files::list(context, &place, (long, recursive), &as_of),
        Safe::Put(command) => put::run(context, &command),
        Safe::Get(command) => get::run(context, &command),
        Safe::Whole(command) => whole::run(context, &command),
        Safe::Cat { as_of, place } => get::cat(context, &place, &as_of),
        Safe::Mkdir { parents, place, sharing } => files::make_folder(context, &place, parents, sharing),
        Safe::Mv(command) => files::moved(context, &command),
        Safe::Cp(command) => files::copied(context, &command),
        Safe::Rm { recursive, place, sharing } => files::remove(context, &place, recursive, sharing),
        Safe::History { place } => past::history(context, &place),
        Safe::Log { safe, limit } => journal::log(context, &safe, limit),
        Safe::Verify { safe, repair, fetch } => truth::verify(context, safe, repair, fetch),
        Safe::Usage { safe } => truth::usage(context, safe),
        Safe::Trash { safe } => past::trash(context, &safe),
        Safe::Retention { safe, days, sharing, sure } => {
            pruning::retention(context, safe, days, sharing, &sure)
        }
        Safe::Prune { safe, trash, dry_run, sure } => pruning::prune(context, safe, trash, dry_run, &sure),
        Safe::Purge { entry, place, sure } => pruning::purge(context, &place, entry.as_deref(), &sure),
        Safe::Restore(command) if command.at.is_some() || command.record.is_some() => {
            journal::restore(context, &command)
        }
        Safe::Restore(command) => past::restore(context, &command),
        Safe::Keeping(command) => keeping::run(context, command),
        Safe::Mounts(command) => mounts::run(context, command),
        Safe::Stat { place } => files::stat(context, &place),
        Safe::Conflicts { safe } => files::conflicts(context, &safe),
    }
}

/// The safe that is meant, as the device that is meant has it.
fn selector(context: &Context<'_>, safe: String) -> SafeSelector {
    SafeSelector { select: context.global.select(), safe }
}

fn create(context: &Context<'_>, name: Label) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let asked = SafeCreate { select: context.global.select(), name };
    let safe: SafeView = context.ask(&mut daemon, method::SAFE_CREATE, &asked)?;
    let shown = named(&safe);
    let text = if safe.shared {
        format!("{shown} is made. You are its owner and only member.")
    } else {
        format!("{shown} is made, on this device: the server has it as soon as it can be reached.")
    };
    context.output.changed(schema::SAFE_CREATE, &safe, || text.clone(), Done::new(&text, SEE_SAFES))
}

fn list(context: &Context<'_>) -> Result<(), Failure> {
    let result: SafeListResult = context.call(method::SAFE_LIST, &context.global.select())?;
    context.output.result(schema::SAFE_LIST, &result, || {
        if result.safes.is_empty() && result.beyond.is_empty() {
            return "No safes. `parsecctl safe create NAME` makes one.".to_owned();
        }
        let rows: Vec<Vec<String>> = result.safes.iter().map(row).collect();
        let heads = ["SAFE", "NAME", "ROLE", "MEMBERS", "ENTRIES", "SIZE", "STATE"];
        let mut lines = vec![context.output.table(&heads, &rows)];
        lines.extend(result.beyond.iter().map(|beyond| {
            let by = beyond.by.as_ref().map_or_else(|| "Somebody unknown".to_owned(), person);
            format!(
                "{by} offers {} more, which are not shown: accept or leave some of theirs first.",
                beyond.offers
            )
        }));
        lines.join("\n")
    })
}

fn row(safe: &SafeView) -> Vec<String> {
    let count = |count: Option<u64>| count.map(|count| count.to_string()).unwrap_or_default();
    vec![
        short(safe.safe),
        safe.name.as_ref().map(ToString::to_string).unwrap_or_default(),
        safe.role.map(role).unwrap_or_default().to_owned(),
        safe.members.to_string(),
        count(safe.entries),
        safe.bytes.map(human).unwrap_or_default(),
        state(safe),
    ]
}

/// How a safe stands, in words.
fn state(safe: &SafeView) -> String {
    if let Some(problem) = &safe.problem {
        return escaped(problem.name.name());
    }
    let standing = match safe.standing {
        SafeStanding::Offered => {
            let by = safe.shared_by.as_ref().map(|by| format!(" by {}", by.email)).unwrap_or_default();
            return format!("offered{by}");
        }
        SafeStanding::Left => return "left".to_owned(),
        SafeStanding::Accepted | SafeStanding::Unknown => match safe.condition {
            SafeCondition::ReadOnly => "read-only, ",
            SafeCondition::Deleted => "to be deleted, ",
            SafeCondition::Open | SafeCondition::Unknown => "",
        },
    };
    let shared = match (safe.shared, safe.waiting) {
        (false, _) => "on this device alone".to_owned(),
        (true, 0) => "shared".to_owned(),
        (true, waiting) => format!("{waiting} saved, not shared yet"),
    };
    format!("{standing}{shared}{}", if safe.due { ", new key due" } else { "" })
}

fn show(context: &Context<'_>, safe: String) -> Result<(), Failure> {
    let result: SafeShowResult = context.call(method::SAFE_SHOW, &selector(context, safe))?;
    context.output.result(schema::SAFE_SHOW, &result, || described(&result))
}

fn described(result: &SafeShowResult) -> String {
    let SafeShowResult {
        safe,
        founder,
        founded,
        certificates,
        log_head,
        records,
        journal_head,
        conflicts,
        taken_over,
    } = result;
    let mut lines = vec![format!("Safe:      {}", safe.safe)];
    let name = safe.name.as_ref().map_or_else(|| "(known once it is accepted)".to_owned(), escaped);
    lines.push(format!("Name:      {name}"));
    lines.push(format!("Your role: {}", safe.role.map_or("none", role)));
    lines.push(format!("State:     {}", state(safe)));
    if let Some(by) = &safe.shared_by {
        lines.push(format!("Shared by: {}", person(by)));
    }
    lines.push(format!("Founded:   {}, by {}", moment(*founded), person(founder)));
    if let Some(taken) = taken_over {
        lines.push(format!("Taken over: {}", journal::takeover(taken)));
    }
    lines.push(format!("Members:   {}", safe.members));
    if let (Some(entries), Some(bytes)) = (safe.entries, safe.bytes) {
        lines.push(format!("Contents:  {entries} files and folders, {}", human(bytes)));
    }
    if *conflicts > 0 {
        lines.push(format!("Conflicts: {conflicts} copies; `parsecctl safe conflicts` shows them"));
    }
    lines.push(format!("Key:       number {}", safe.epoch));
    let (certificates, records) = (counted(*certificates, "certificate"), counted(*records, "record"));
    lines.push(format!("Its log:   {certificates}, head {}", grouped(log_head)));
    lines.push(format!("Journal:   {records}, head {}", grouped(journal_head)));
    lines.extend(safe.problem.as_ref().map(problem));
    lines.join("\n")
}

/// What keeps something from going on, and the remedy.
fn problem(problem: &Problem) -> String {
    format!("  {}\n  What to do: {}", escaped(&problem.message), escaped(&problem.hint))
}

fn members(context: &Context<'_>, safe: String) -> Result<(), Failure> {
    let result: SafeMembersResult = context.call(method::SAFE_MEMBERS, &selector(context, safe))?;
    context.output.result(schema::SAFE_MEMBERS, &result, || {
        let rows: Vec<Vec<String>> = result.members.iter().map(sharing::row).collect();
        let heads = ["USER", "EMAIL", "NAME", "ROLE", "SINCE", "GIVEN BY", "PROFILE"];
        context.output.table(&heads, &rows)
    })
}

fn rename(context: &Context<'_>, safe: String, name: Label, sharing: Sharing) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let shown = escaped(&name);
    let asked = SafeRename { select: context.global.select(), safe, name };
    let result: FileChanged = context.ask(&mut daemon, method::SAFE_RENAME, &asked)?;
    let result = waited(context, &mut daemon, result, sharing)?;
    ended(context, schema::SAFE_RENAME, &result, &format!("The safe is called {shown} now"), sharing)
}

/// A change of the safe itself is answered when it is saved; what else was asked for is waited for
/// here.
fn waited(
    context: &Context<'_>,
    daemon: &mut crate::client::Connection,
    mut result: FileChanged,
    sharing: Sharing,
) -> Result<FileChanged, Failure> {
    if !result.shared && !sharing.saved {
        let synced = synchronised(context, daemon, result.safe.to_string(), sharing.seconds())?;
        result.shared = synced.safe.waiting == 0;
        result.problem = synced.safe.problem;
    }
    Ok(result)
}

fn status(context: &Context<'_>, safe: Option<String>) -> Result<(), Failure> {
    let asked = SafeStatus { select: context.global.select(), safe };
    let result: SafeStatusResult = context.call(method::SAFE_STATUS, &asked)?;
    context.output.result(schema::SAFE_STATUS, &result, || {
        if result.safes.is_empty() {
            return "No safes.".to_owned();
        }
        let mut parts: Vec<_> = result.safes.iter().map(|safe| waiting(context, safe)).collect();
        parts.push(keeping::limits(result.limit_bytes, result.floor_bytes));
        parts.join("\n\n")
    })
}

fn waiting(context: &Context<'_>, safe: &SafeWaiting) -> String {
    let heard = safe.heard.map_or_else(|| "never".to_owned(), moment);
    let mut lines = vec![format!("{}: {}; server last heard: {heard}", named(&safe.safe), state(&safe.safe))];
    lines.extend(safe.safe.problem.as_ref().map(problem));
    lines.extend(safe.verifying.map(|records| {
        format!("started from a snapshot; {records} older records are still being verified, and nothing can be saved until then")
    }));
    let bytes = safe.safe.bytes.unwrap_or_default();
    lines.extend(keeping::of_safe(bytes, safe.here_bytes, safe.pinned_bytes, safe.kept_bytes));
    if !safe.changes.is_empty() {
        let row = |change: &WaitingChange| {
            vec![
                moment(change.saved),
                held(change),
                if change.bytes == 0 { String::new() } else { human(change.bytes) },
                pasteable(&change.path),
            ]
        };
        let rows: Vec<_> = safe.changes.iter().map(row).collect();
        lines.push(context.output.table(&["SAVED", "WHAT", "TO SEND", "PATH"], &rows));
    }
    if safe.more {
        lines.push(format!("and more: {} in all", safe.safe.waiting));
    }
    lines.extend(safe.removals.as_ref().map(|removals| confirm::removals(context, removals)));
    lines.extend(safe.halt.as_ref().map(confirm::halt));
    lines.extend(safe.ownerless.as_ref().map(|found| sharing::ownerless(found, &safe.safe)));
    lines.extend(safe.direct.iter().map(directly));
    lines.join("\n")
}

/// A device that is met directly, and what came from it.
fn directly(peer: &SafePeer) -> String {
    let there = if peer.connected { "is met directly" } else { "was met directly" };
    let last = peer.last.map_or_else(String::new, |last| format!(", last {}", moment(last)));
    format!("{} {there}: {} of contents came from it{last}", escaped(&peer.by), human(peer.bytes))
}

/// What a change is, and whether it waits for a person.
fn held(change: &WaitingChange) -> String {
    let kind = escaped(&change.kind);
    match change.held {
        None => kind,
        Some(ChangeHeld::Removal) => format!("{kind}, waits for you"),
        Some(ChangeHeld::Behind | ChangeHeld::Unknown) => format!("{kind}, behind it"),
    }
}

fn sync(context: &Context<'_>, safe: String, wait: u32) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let result = synchronised(context, &mut daemon, safe, wait)?;
    let shown = named(&result.safe);
    if result.done {
        let text = format!("{shown}: everything is shared, and what is new is here.");
        return context.output.result(schema::SAFE_SYNC, &result, || text);
    }
    if context.output.is_json() {
        context.output.result(schema::SAFE_SYNC, &result, String::new)?;
        return Err(Failure::Told(ProblemKind::NotSharedYet.exit_code()));
    }
    let why = result.safe.problem.as_ref();
    let what = match result.safe.waiting {
        0 if why.is_some() => format!("{shown}: what is new could not be had"),
        0 => format!("{shown}: the server was not heard within {wait} s"),
        1 => format!("{shown}: 1 change is saved and {}", not_shared(wait, why)),
        waiting => format!("{shown}: {waiting} changes are saved and {}", not_shared(wait, why)),
    };
    Err(not_yet(what, why))
}

fn synchronised(
    context: &Context<'_>,
    daemon: &mut crate::client::Connection,
    safe: String,
    wait: u32,
) -> Result<SafeSynced, Failure> {
    let asked = SafeSync { select: context.global.select(), safe, wait_seconds: Some(wait) };
    context.ask(daemon, method::SAFE_SYNC, &asked)
}

/// The end of a command that has changed files: whether it is shared decides the exit code, unless
/// saved was enough.
fn ended(
    context: &Context<'_>,
    schema: Change,
    result: &FileChanged,
    text: &str,
    sharing: Sharing,
) -> Result<(), Failure> {
    ended_as(context, schema, result, result, text, sharing)
}

/// The same, where more than the change is to be told.
fn ended_as(
    context: &Context<'_>,
    schema: Change,
    result: &impl Serialize,
    change: &FileChanged,
    text: &str,
    sharing: Sharing,
) -> Result<(), Failure> {
    let done = Done::new(format!("{text}."), SEE_WAITING);
    if change.shared || sharing.saved {
        let how = if change.shared { "shared" } else { "saved on this device, not shared yet" };
        return context.output.changed(schema, result, || format!("{text}: {how}."), done);
    }
    if context.output.is_json() {
        context.output.changed(schema, result, String::new, done)?;
        return Err(Failure::Told(ProblemKind::NotSharedYet.exit_code()));
    }
    let why = change.problem.as_ref();
    Err(not_yet(format!("{text}: saved on this device, and {}", not_shared(sharing.seconds(), why)), why))
}

/// That it was not shared: where only a person, or room at the server, helps, nobody waited.
fn not_shared(seconds: u32, why: Option<&Problem>) -> String {
    match why {
        Some(why) if !why.retryable || why.name == ProblemKind::QuotaReached => "not shared".to_owned(),
        Some(_) | None => format!("not shared within {seconds} s"),
    }
}

/// Saved and not shared: the reason and its remedy, where there is one.
fn not_yet(what: String, why: Option<&Problem>) -> Failure {
    let kind = ProblemKind::NotSharedYet;
    let Some(why) = why else { return Failure::new(kind, what) };
    let message = format!("{what}: {}", why.message);
    Failure::Report(Report::from(Problem::new(kind, message)).with_hint(why.hint.clone()))
}

/// A safe by its name, or by what is known of it without one.
fn named(safe: &SafeView) -> String {
    match &safe.name {
        Some(name) => format!("Safe {} ({})", escaped(name), short(safe.safe)),
        None => format!("Safe {}", short(safe.safe)),
    }
}

/// The same within a sentence.
fn named_within(safe: &SafeView) -> String {
    match &safe.name {
        Some(name) => format!("the safe {} ({})", escaped(name), short(safe.safe)),
        None => format!("the safe {}", short(safe.safe)),
    }
}

/// What a whole folder came to: its files and folders, and what of it was left where it is.
fn tally([files, folders]: [u64; 2], bytes: u64, left_out: usize) -> String {
    let left_out = if left_out == 0 { String::new() } else { format!(", {left_out} left out") };
    let (files, folders) = (counted(files, "file"), counted(folders, "folder"));
    format!("{files} and {folders}, {}{left_out}", human(bytes))
}

/// A number of things, as it is said.
fn counted(count: u64, one: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {one}{s}")
}

/// A member in words.
fn person(person: &Person) -> String {
    let email = escaped(&person.email);
    person.name.as_ref().map_or_else(|| email.clone(), |name| format!("{} <{email}>", escaped(name)))
}

/// A role in words.
const fn role(role: SafeRole) -> &'static str {
    match role {
        SafeRole::Owner => "owner",
        SafeRole::Manager => "manager",
        SafeRole::Contributor => "contributor",
        SafeRole::Reader => "reader",
        SafeRole::Unknown => "something newer",
    }
}
