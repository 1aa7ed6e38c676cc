//! `safe verify` and `safe usage`: whether a safe is whole, and what it takes at the server.
//!
//! Decides how findings and sums are told, and that the exit code of `verify` says whether all is
//! well now.

use std::os::fd::AsFd as _;

use parsec_protocol::control::{
    ContentClass, ContentsChecked, Fault, FindingKind, FindingState, ObjectsUsed, ProblemKind, SafeFinding,
    SafeUsage, SafeUsageResult, SafeUsed, SafeVerified, SafeVerify, method,
};

use super::together::memory;
use super::{Context, counted, person};
use crate::failure::Failure;
use crate::progress::{Measured, Progress};
use crate::schema;
use crate::text::{escaped, human, moment, pasteable};

/// Shows whether a safe is whole, after all of it was looked at.
pub(super) fn verify(context: &Context<'_>, safe: String, repair: bool, fetch: bool) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    // How far it has come is told by the place of a file that both programs have.
    let place = memory(&[]).map_err(|error| {
        Failure::new(ProblemKind::Internal, format!("There is no memory to follow the work by: {error}"))
    })?;
    let what = format!("Verifying {}", escaped(&safe));
    let asked = SafeVerify { select: context.global.select(), safe, repair, fetch };
    let progress = Progress::of(context.output, what, place.as_fd(), Measured::Part, None);
    let result: Result<SafeVerified, Failure> = daemon.call_with(method::SAFE_VERIFY, &asked, place.as_fd());
    drop(progress);
    let result = result?;
    context.output.result(schema::SAFE_VERIFY, &result, || verified(context, &result))?;
    // A person was told all of it: what is left is what a script goes by.
    if result.well { Ok(()) } else { Err(Failure::Told(ProblemKind::ContentsDamaged.exit_code())) }
}

fn verified(context: &Context<'_>, result: &SafeVerified) -> String {
    let mut lines = vec![format!(
        "{}, {} and {} verified",
        counted(result.certificates, "certificate"),
        counted(result.records, "record"),
        counted(result.keys, "key")
    )];
    if result.void_records > 0 {
        lines.push(format!("{} void: these change nothing", counted(result.void_records, "record")));
    }
    if result.other_roots > 0 {
        lines.push(format!("{} made on another tree than this one", counted(result.other_roots, "record")));
    }
    let row = |class: &str, of: &ContentsChecked| {
        let cells = [of.contents, of.objects, of.here, of.there, of.damaged, of.repaired, of.lost];
        [class.to_owned()].into_iter().chain(cells.map(|count| count.to_string())).collect()
    };
    let rows: Vec<Vec<String>> = vec![
        row("live", &result.live),
        row("history", &result.history),
        row("trash", &result.trash),
        row("waiting", &result.waiting),
    ];
    let there = if result.fetched { "FETCHED" } else { "SERVER HAS" };
    let heads = ["CONTENTS", "NUMBER", "PIECES", "HERE", there, "DAMAGED", "REPAIRED", "LOST"];
    lines.push(context.output.table(&heads, &rows));
    lines.extend(result.findings.iter().map(finding));
    if result.more > 0 {
        lines.push(format!("and {} more", result.more));
    }
    lines.push(
        match (result.well, result.findings.is_empty()) {
            (true, true) => "All is well.",
            (true, false) => "All is well now.",
            (false, _) => "Not all is well.",
        }
        .to_owned(),
    );
    lines.join("\n")
}

/// One finding, in a sentence.
fn finding(finding: &SafeFinding) -> String {
    let number = finding.number.unwrap_or_default();
    let what = match finding.what {
        FindingKind::CertificateDamaged => {
            format!("Certificate {number} on this device is not the one that was verified")
        }
        FindingKind::RecordDamaged => {
            format!("Record {number} on this device is not the one that was verified")
        }
        FindingKind::LogsDiffer => "What this device noted of the logs is not what they say".to_owned(),
        FindingKind::TreeDiffers => {
            "The tree that this device has is not the one that the journal makes".to_owned()
        }
        FindingKind::KeyDamaged => format!("Key {number} on this device is not the safe's"),
        FindingKind::KeyMissing => format!("This device lacks key {number} of the safe"),
        FindingKind::ServerBehind => {
            "The server shows less of the safe than this device has verified".to_owned()
        }
        FindingKind::ServerDiffers => {
            "The server shows another safe than this device has verified".to_owned()
        }
        FindingKind::DamagedHere => "Damaged on this device".to_owned(),
        FindingKind::WaitingDamaged => "Damaged on this device, and not shared yet".to_owned(),
        FindingKind::MissingThere => "Missing at the server".to_owned(),
        FindingKind::Withheld => "Not given by the server, which says that it has it".to_owned(),
        FindingKind::OtherBytes => "Other bytes at the server than its author named".to_owned(),
        FindingKind::Unreadable => "No part of the file, as its author sealed it".to_owned(),
        FindingKind::Unknown => "Something that this program does not know".to_owned(),
    };
    let state = match finding.state {
        FindingState::Repairable => "not repaired: `--repair` does it, if your role and the server allow",
        FindingState::Repaired => "repaired",
        FindingState::Lost => "lost: neither this device nor the server has it",
        FindingState::Standing | FindingState::Unknown => "look into it",
    };
    let whose = match finding.fault {
        Fault::Server => "; the server's fault",
        Fault::Machine => "; this machine's fault",
        Fault::Peer => "; its author's fault",
        Fault::Caller | Fault::Daemon | Fault::Interference => "",
    };
    let mut text = format!("{what}: {state}{whose}");
    if let Some(path) = &finding.path {
        let class = match finding.class {
            Some(ContentClass::History) => ", an earlier content",
            Some(ContentClass::Trash) => ", in the trash",
            Some(ContentClass::Waiting) => ", not shared yet",
            Some(ContentClass::Live | ContentClass::Unknown) | None => "",
        };
        let version = finding.version.map(|version| format!(", version {version}")).unwrap_or_default();
        text = format!("{}{class}{version}: {} pieces. {text}", pasteable(path), finding.objects);
    }
    if let (Some(by), Some(added)) = (&finding.by, finding.added) {
        let device = finding.device.as_ref().map(|device| format!(" ({})", escaped(device)));
        text = format!("{text}. Added {} by {}{}", moment(added), person(by), device.unwrap_or_default());
    }
    text
}

/// Shows what safes take at the server.
pub(super) fn usage(context: &Context<'_>, safe: Option<String>) -> Result<(), Failure> {
    let asked = SafeUsage { select: context.global.select(), safe };
    let result: SafeUsageResult = context.call(method::SAFE_USAGE, &asked)?;
    if result.safes.is_empty() {
        context.output.say("No safes that the server has.");
    }
    for used in &result.safes {
        context.output.result(schema::SAFE_USAGE, used, || told(context, used))?;
    }
    Ok(())
}

fn told(context: &Context<'_>, used: &SafeUsed) -> String {
    let objects =
        |what: &str, of: &ObjectsUsed| vec![what.to_owned(), of.objects.to_string(), human(of.bytes)];
    let others = |what: &str, bytes: u64| vec![what.to_owned(), String::new(), human(bytes)];
    let rows = vec![
        objects("live", &used.live),
        objects("history", &used.history),
        objects("trash", &used.trash),
        objects("snapshots of the safe", &used.snapshots),
        objects("sent, not shared yet", &used.sent),
        objects("named by nothing", &used.unnamed),
        others("journal", used.journal_bytes),
        others("safe log", used.log_bytes),
        others("keys", used.keys_bytes),
        others("at the server", used.bytes),
    ];
    let name = used.name.as_ref().map_or_else(|| used.safe.to_string(), escaped);
    let mut lines = vec![format!("Safe {name}:"), context.output.table(&["WHAT", "PIECES", "SIZE"], &rows)];
    if used.waiting.objects > 0 {
        lines.push(format!("{} are saved on this device alone", human(used.waiting.bytes)));
    }
    if used.missing > 0 {
        lines.push(format!(
            "{} pieces are missing at the server: `parsecctl safe verify` says which",
            used.missing
        ));
    }
    if used.fetched > 0 {
        lines.push(format!("{} lists of large files' pieces were fetched for this", used.fetched));
    }
    if used.unread > 0 {
        lines.push(format!(
            "{} lists of large files' pieces can't be had: what they name counts as named by nothing",
            used.unread
        ));
    }
    lines.extend(used.by.iter().map(|of| {
        let by = of.by.as_ref().map_or_else(|| of.user.to_string(), person);
        format!("{} by {by}", human(of.bytes))
    }));
    if used.by_others > 0 {
        lines.push(format!("{} by others", human(used.by_others)));
    }
    if let (Some(limit), Some(free)) = (used.organisation_limit, used.free) {
        lines.push(format!(
            "The organisation's safes take {} of {}: {} are free",
            human(used.organisation_bytes),
            human(limit),
            human(free)
        ));
    }
    lines.join("\n")
}
