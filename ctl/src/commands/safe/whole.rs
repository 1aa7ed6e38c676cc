//! `safe export` and `safe import`: a whole safe as a folder of this machine, and back; or sealed
//! in one file.
//!
//! Decides nothing about files: what `get -r` and `put -r` refuse is refused here too, and what is
//! there already as it should be is passed over. An archive that lacks something is kept only where
//! its person says so.

use std::path::Path;
use std::time::SystemTime;

use parsec_protocol::control::{
    ArchiveWriter, ProblemKind, SafeExport, SafeExported, SafeImport, SafeImported, method,
};
use parsec_protocol::ids::Label;

use super::as_of::then;
use super::files::{Found, find};
use super::get::{Made, begin};
use super::get_tree::{self, Fetching};
use super::put_tree::{self, Putting};
use super::{Context, named, not_shared, not_yet, person, short, synchronised, tree};
use crate::args::{Export, Import, SafePath, Whole};
use crate::descriptor;
use crate::failure::{Done, Failure};
use crate::progress::{Measured, Progress};
use crate::schema;
use crate::text::{escaped, human, moment, pasteable};

pub(super) fn run(context: &Context<'_>, command: &Whole) -> Result<(), Failure> {
    match command {
        Whole::Export(command) if command.sealed => archive(context, command),
        Whole::Export(command) => export(context, command),
        Whole::Import(command) if command.sealed => renew(context, command),
        Whole::Import(command) => import(context, command),
    }
}

/// The root of a safe.
fn root(safe: &str) -> SafePath {
    SafePath { safe: safe.to_owned(), names: Vec::new(), into: true }
}

fn export(context: &Context<'_>, command: &Export) -> Result<(), Failure> {
    let place = root(&command.safe);
    let mut daemon = context.connect()?;
    let past = then(context, &mut daemon, &place, &command.as_of)?;
    if past.is_none() {
        // Unlocks where that is needed.
        let _root: Found = find(context, &mut daemon, &place.safe, place.path())?;
    }
    let how = Fetching { force: command.force, skip: true, past: past.as_ref() };
    get_tree::run(context, daemon, &place, &command.target, how, schema::SAFE_EXPORT)
}

fn import(context: &Context<'_>, command: &Import) -> Result<(), Failure> {
    let place: SafePath = command.place.parse::<SafePath>().map_err(|fault| {
        Failure::usage(format!("{} is no place in a safe", escaped(&command.place)), fault.to_string())
    })?;
    // What is in the folder goes to the safe's root; only there a slash is no more than that.
    let place = SafePath { into: place.into && !place.names.is_empty(), ..place };
    let how = Putting { force: command.force, skip: true, sharing: command.sharing };
    put_tree::run(context, &command.source, &place, how, schema::SAFE_IMPORT)
}

/// This machine's time, in nanoseconds since 1970.
fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// All of a safe into one file, sealed.
fn archive(context: &Context<'_>, command: &Export) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let place = root(&command.safe);
    // Unlocks where that is needed: with a file on its way there is no second try.
    let _root: Found = find(context, &mut daemon, &place.safe, place.path())?;
    let path = &command.target;
    let failed = |error: std::io::Error| tree::unwritable(path, &error);
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    let folder = tree::folder(above.unwrap_or(Path::new("."))).map_err(failed)?;
    let incoming = begin(folder, path, command.force, &Made::default())?;
    let asked = SafeExport { select: context.global.select(), safe: command.safe.clone() };
    let result: SafeExported = {
        let descriptor = incoming.descriptor();
        let what = format!("Sealing {}", escaped(&command.safe));
        let _shown = Progress::of(context.output, what, descriptor, Measured::Length, None);
        daemon.call_with(method::SAFE_EXPORT, &asked, descriptor)?
    };
    for path in &result.lacking {
        context.output.say(&format!("Not to be had: a part of {}", pasteable(path)));
    }
    let kept = result.missing == 0 || command.partial;
    if kept {
        let _identity = incoming.finish(false, now_ns(), command.force).map_err(failed)?;
    }
    let text = || {
        let what = format!(
            "{} certificates, {} records and {} pieces, {}",
            result.certificates,
            result.records,
            result.objects,
            human(result.bytes)
        );
        match (kept, result.missing) {
            (true, 0) => format!("{}: {what}", escaped(path.display())),
            (true, missing) => format!("{}: {what}; {missing} pieces are missing", escaped(path.display())),
            (false, missing) => format!(
                "No archive: {missing} pieces are neither here nor at the server. `--partial` makes one without them."
            ),
        }
    };
    context.output.result(schema::SAFE_EXPORT_SEALED, &result, text)?;
    // A person was told all of it: what is left is what a script goes by.
    if kept { Ok(()) } else { Err(Failure::Told(ProblemKind::ContentsUnavailable.exit_code())) }
}

/// A new safe out of an archive.
fn renew(context: &Context<'_>, command: &Import) -> Result<(), Failure> {
    let name = command.place.parse::<Label>().map_err(|fault| {
        Failure::usage(
            format!("{} is no name for a safe: {fault}", escaped(&command.place)),
            "Name the new safe with 1 to 64 characters.",
        )
    })?;
    let file =
        descriptor::open(&command.source).map_err(|error| tree::unreadable(&command.source, &error))?;
    let mut daemon = context.connect()?;
    // Unlocks where that is needed.
    let _safes: parsec_protocol::control::SafeListResult =
        context.ask(&mut daemon, method::SAFE_LIST, &context.global.select())?;
    let asked = SafeImport { select: context.global.select(), name, partial: command.partial };
    let size = rustix::fs::fstat(&file).ok().and_then(|found| u64::try_from(found.st_size).ok());
    let mut result: SafeImported = {
        let what = format!("Verifying {}", escaped(command.source.display()));
        let shared = std::os::fd::AsFd::as_fd(&file);
        let _shown = Progress::of(context.output, what, shared, Measured::Place, size);
        daemon.call_with(method::SAFE_IMPORT, &asked, shared)?
    };
    for path in &result.lacking {
        context.output.say(&format!("The archive lacks a part of {}", pasteable(path)));
    }
    if !command.sharing.saved {
        let id = result.safe.safe.to_string();
        let synced = synchronised(context, &mut daemon, id, command.sharing.seconds())?;
        result.safe = synced.safe;
    }
    let shared = result.safe.shared && result.safe.waiting == 0;
    let done = Done::new(format!("{} is made.", named(&result.safe)), super::SEE_SAFES);
    let text = told(&result);
    if shared || command.sharing.saved || context.output.is_json() {
        context.output.changed(schema::SAFE_IMPORT_SEALED, &result, || text.clone(), done)?;
    }
    match shared || command.sharing.saved {
        true => Ok(()),
        false if context.output.is_json() => Err(Failure::Told(ProblemKind::NotSharedYet.exit_code())),
        false => {
            let why = result.safe.problem.as_ref();
            let not = not_shared(command.sharing.seconds(), why);
            Err(not_yet(format!("{text}\nSaved on this device, and {not}"), why))
        }
    }
}

fn told(result: &SafeImported) -> String {
    let was = result.name.as_ref().map_or_else(|| short(result.of), escaped);
    let mut lines = vec![format!(
        "Archive of {was} (safe {}), made {}: {} certificates of the organisation, {} of the safe, {} records verified",
        short(result.of),
        moment(result.made),
        result.members,
        result.certificates,
        result.records
    )];
    if result.void_records > 0 {
        lines.push(format!("{} records are void, and change nothing", result.void_records));
    }
    if result.other_roots > 0 {
        lines.push(format!("{} records were made on another tree than this one", result.other_roots));
    }
    lines.push(format!(
        "{} contents, {} earlier ones and {} in the trash, in {} pieces",
        result.live, result.history, result.trash, result.objects
    ));
    if result.missing > 0 {
        lines.push(format!("{} pieces are missing in it", result.missing));
    }
    let wrote = |writer: &ArchiveWriter| {
        let by = writer.by.as_ref().map_or_else(|| writer.user.to_string(), person);
        format!("{} records by {by}", writer.records)
    };
    lines.extend(result.by.iter().map(wrote));
    let left_out = usize::try_from(result.left_out).unwrap_or(usize::MAX);
    let sums = super::tally([result.files, result.folders], result.bytes, left_out);
    lines.push(format!("{} is made of it: {sums}", named(&result.safe)));
    lines.join("\n")
}
