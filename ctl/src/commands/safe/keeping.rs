//! `safe pin|unpin|pins|cache`: what of the safes is on this device.
//!
//! Decides how it is told what a pin waits for. Refuses nothing: nothing here removes anything that
//! can't be fetched again.

use parsec_protocol::control::{
    CacheLimitBy, CacheSet, CacheView, FileHere, FilePins, FilePinsResult, FileSelector, FileUnpin,
    FileUnpinned, Pin, PinState, SafeListResult, SafeStanding, method,
};

use super::past::one_of;
use super::{Context, named, problem, short};
use crate::args::{Cache, Keeping, Limit, Unpin};
use crate::client::Connection;
use crate::failure::{Done, Failure};
use crate::schema;
use crate::text::{human, moment, pasteable};

/// Where pins can be seen.
const SEE_PINS: &str = "`parsecctl safe pins` shows what is pinned.";
/// Where it can be seen what is kept.
const SEE_CACHE: &str = "`parsecctl safe cache` shows what is kept on this device.";

pub(super) fn run(context: &Context<'_>, command: Keeping) -> Result<(), Failure> {
    match command {
        Keeping::Pin { place } => {
            let (select, safe) = (context.global.select(), place.safe.clone());
            let asked = FileSelector { select, safe, path: place.path() };
            let pin: Pin = context.call(method::FILE_PIN, &asked)?;
            let text = format!("Pinned {}: {}", place_of(&pin), state(&pin));
            context.output.changed(schema::SAFE_PIN, &pin, || text.clone(), Done::new(&text, SEE_PINS))
        }
        Keeping::Unpin(command) => unpin(context, &command),
        Keeping::Pins { safe } => pins(context, safe),
        Keeping::Cache(command) => cache(context, &command),
    }
}

/// How much of a file is here, in a word.
pub(super) const fn here(here: Option<FileHere>, pinned: bool) -> &'static str {
    match (here, pinned) {
        (Some(FileHere::Yes), false) => "yes",
        (Some(FileHere::Yes), true) => "yes, pinned",
        (Some(FileHere::Partly), false) => "partly",
        (Some(FileHere::Partly), true) => "partly, pinned",
        (Some(FileHere::No), false) => "no",
        (Some(FileHere::No), true) => "no, pinned",
        (Some(FileHere::Unknown) | None, true) => "pinned",
        (Some(FileHere::Unknown) | None, false) => "",
    }
}

fn place_of(pin: &Pin) -> String {
    match &pin.path {
        Some(path) => pasteable(path),
        None => format!("entry {}", pin.entry),
    }
}

/// How far a pin has come, in words.
fn state(pin: &Pin) -> String {
    let here = || format!("{} of {} here", human(pin.here_bytes), human(pin.bytes));
    match pin.state {
        PinState::Complete => format!("complete, {} here", human(pin.bytes)),
        PinState::Fetching => format!("{}, the rest is coming", here()),
        PinState::WaitsForNetwork => format!("{}, waits for the network", here()),
        PinState::WaitsForRoom => format!("{}, waits for room on the disk", here()),
        PinState::WaitsForDisk => format!("{}, waits for the disk", here()),
        PinState::Lacking => format!("{}, the rest can't be had", here()),
        PinState::Resting => "was removed, and rests".to_owned(),
        PinState::Unknown => here(),
    }
}

/// The pins of one safe, page by page.
fn pins_of(context: &Context<'_>, daemon: &mut Connection, safe: &str) -> Result<Vec<Pin>, Failure> {
    let mut all: Vec<Pin> = Vec::new();
    loop {
        let after = all.last().map(|last| last.entry);
        let asked = FilePins { select: context.global.select(), safe: safe.to_owned(), after };
        let page: FilePinsResult = context.ask(daemon, method::FILE_PINS, &asked)?;
        let more = page.more && !page.pins.is_empty();
        all.extend(page.pins);
        if !more {
            return Ok(all);
        }
    }
}

fn unpin(context: &Context<'_>, command: &Unpin) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let Unpin { place, entry } = command;
    let (select, safe) = (context.global.select(), place.safe.clone());
    let asked = match entry {
        None => FileUnpin { select, safe, path: Some(place.path()), entry: None },
        Some(start) => {
            let pins = pins_of(context, &mut daemon, &place.safe)?;
            let entry = one_of(pins.iter().map(|pin| pin.entry), start, "pinned entry", SEE_PINS)?;
            FileUnpin { select, safe, path: None, entry: Some(entry) }
        }
    };
    let result: FileUnpinned = context.ask(&mut daemon, method::FILE_UNPIN, &asked)?;
    let path = result.path.as_deref().map_or_else(|| format!("entry {}", result.entry), pasteable);
    let covered = if result.covered { "; the pin of a folder above it covers it all the same" } else { "" };
    let text = format!("Not pinned any more: {path}{covered}");
    context.output.changed(schema::SAFE_UNPIN, &result, || text.clone(), Done::new(&text, SEE_PINS))
}

fn pins(context: &Context<'_>, safe: Option<String>) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let safes: Vec<(String, Option<String>)> = match safe {
        Some(safe) => vec![(safe, None)],
        None => {
            let all: SafeListResult =
                context.ask(&mut daemon, method::SAFE_LIST, &context.global.select())?;
            let taken = all.safes.iter().filter(|safe| safe.standing == SafeStanding::Accepted);
            taken.map(|safe| (safe.safe.to_string(), Some(named(safe)))).collect()
        }
    };
    let mut none = true;
    for (safe, title) in safes {
        let pins = pins_of(context, &mut daemon, &safe)?;
        if context.output.is_json() {
            pins.iter().try_for_each(|pin| context.output.result(schema::SAFE_PINS, pin, String::new))?;
            continue;
        }
        if pins.is_empty() {
            continue;
        }
        none = false;
        if let Some(title) = title {
            context.output.line(&title)?;
        }
        let rows: Vec<Vec<String>> = pins.iter().map(row).collect();
        context.output.line(&context.output.table(&["ENTRY", "SINCE", "FILES", "STATE", "PATH"], &rows))?;
        let told = pins.iter().find_map(|pin| pin.problem.as_ref());
        if let Some(why) = told {
            context.output.line(&problem(why))?;
        }
    }
    if none && !context.output.is_json() {
        context.output.say("Nothing is pinned. `parsecctl safe pin SAFE:/path` does it.");
    }
    Ok(())
}

fn row(pin: &Pin) -> Vec<String> {
    vec![short(pin.entry), moment(pin.since), pin.files.to_string(), state(pin), place_of(pin)]
}

fn cache(context: &Context<'_>, command: &Cache) -> Result<(), Failure> {
    let select = context.global.select();
    let now: CacheView = match (command.limit, command.clear) {
        (Some(limit), _) => {
            let limit_bytes = match limit {
                Limit::Auto => None,
                Limit::Bytes(bytes) => Some(bytes),
            };
            context.call(method::CACHE_SET, &CacheSet { select, limit_bytes })?
        }
        (None, true) => context.call(method::CACHE_CLEAR, &select)?,
        (None, false) => {
            let now: CacheView = context.call(method::CACHE_SHOW, &select)?;
            return context.output.result(schema::SAFE_CACHE.0, &now, || described(&now));
        }
    };
    let done = Done::new(format!("{} were given up.", human(now.freed_bytes)), SEE_CACHE);
    context.output.changed(
        schema::SAFE_CACHE,
        &now,
        || format!("{}\nGiven up:  {}", described(&now), human(now.freed_bytes)),
        done,
    )
}

fn described(now: &CacheView) -> String {
    let by = match now.limit_by {
        CacheLimitBy::Auto => "a tenth of the free disk, at most 20 GiB",
        CacheLimitBy::Daemon => "an option of the daemon",
        CacheLimitBy::Device => "set for this device",
        CacheLimitBy::Unknown => "set by something newer",
    };
    let loose = now.kept_bytes.saturating_sub(now.pinned_bytes);
    [
        format!("Kept:      {} that can be fetched again", human(loose)),
        format!("Pinned:    {}, which stay", human(now.pinned_bytes)),
        format!("Waiting:   {} not shared yet, which stay", human(now.waiting_bytes)),
        format!("Limit:     {} beside what stays ({by})", human(now.limit_bytes)),
        format!(
            "Disk:      {} free, of which {} are left to it",
            human(now.free_bytes),
            human(now.floor_bytes)
        ),
    ]
    .join("\n")
}

/// How much of a safe is here, in a sentence.
pub(super) fn of_safe(bytes: u64, here_bytes: u64, pinned_bytes: u64, kept_bytes: u64) -> Option<String> {
    if bytes == 0 && kept_bytes == 0 {
        return None;
    }
    let pinned = if pinned_bytes == 0 { String::new() } else { format!(", {} pinned", human(pinned_bytes)) };
    Some(format!(
        "{} of {} of contents here{pinned}; {} kept on this device, earlier contents included",
        human(here_bytes),
        human(bytes),
        human(kept_bytes)
    ))
}

/// How much may be kept, in a sentence.
pub(super) fn limits(limit_bytes: u64, floor_bytes: u64) -> String {
    format!(
        "Kept on this device beside what is pinned: at most {}; {} are left to the disk",
        human(limit_bytes),
        human(floor_bytes)
    )
}
