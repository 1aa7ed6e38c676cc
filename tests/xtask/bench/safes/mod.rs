//! `cargo xtask bench safes`: how fast safes are, each figure beside that of other programs which
//! do the same work in the same run.
//!
//! Decides the rows, what each program does for them, and how large the work is: one setting
//! divides all of it. Refuses to call a row met that was not measured: what a machine lacks, or the
//! product, stands in the row's place. The server, the devices and the other programs keep their
//! files in one folder, in memory where there is such a file system, so that a row is about the
//! programs and not about a disk; `--disk` has them on the disk.

mod keys;
mod large;
mod latency;
mod many;
pub(in crate::bench) mod office;
mod peers;
mod sealing;
mod small;
mod table;
mod uploads;

use std::path::Path;
use std::process::ExitCode;

use table::{PARSEC, Table};

/// Where files are in memory, on Linux.
const IN_MEMORY: &str = "/dev/shm";
/// Where files are on the disk.
const ON_DISK: &str = "/tmp";
/// Bytes of one MiB.
const MIB: u64 = 1_024 * 1_024;
/// Bytes of a small file.
const SMALL_BYTES: usize = 4_096;

/// How large the work is, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// MiB of a large file.
    large_mib: u64,
    /// Files of 4 KiB.
    small: usize,
    /// Entries of a large tree.
    entries: usize,
    /// Members of a large safe.
    members: usize,
    /// Safes that one revocation makes due.
    safes: usize,
    /// Times that a row is measured, where once is not enough.
    rounds: usize,
    /// Changes whose way to the other device is measured.
    samples: usize,
    /// Folder of everybody's files.
    within: &'static str,
}

impl Plan {
    /// The whole work, divided by `part`; below some sizes nothing can be said.
    fn new(part: u64, rounds: usize, disk: bool) -> Self {
        let part = part.max(1);
        let of = |whole: usize, least: usize| {
            usize::try_from((whole as u64).checked_div(part).unwrap_or_default()).unwrap_or(least).max(least)
        };
        let memory = Path::new(IN_MEMORY).is_dir() && !disk;
        Self {
            large_mib: of(1_024, 16) as u64,
            small: of(10_000, 100),
            entries: of(100_000, 1_000),
            members: of(1_000, 20),
            safes: of(50, 3),
            rounds: rounds.max(1),
            samples: of(40, 10),
            within: if memory { IN_MEMORY } else { ON_DISK },
        }
    }
}

/// Rows that are measured together, and how.
type Part = (&'static [&'static str], fn(&Plan, &mut Table) -> Result<(), String>);

/// In this order: what is short comes first.
const PARTS: [Part; 7] = [
    (&["seal"], sealing::measure),
    (
        &["put", "get", "get again", "edit", "edit sent", "memory up", "memory down", "disk large"],
        large::measure,
    ),
    (&["small shared", "small listed", "small read", "disk small"], small::measure),
    (&["latency"], latency::measure),
    (&["memory server"], uploads::measure),
    (&["fresh", "fresh requests", "memory idle"], many::measure),
    (&["rekey large", "rekey many"], keys::measure),
];

/// What a run is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// Which rows: those whose names begin so.
    pub(super) rows: &'a str,
    /// One JSON object a line.
    pub(super) json: bool,
    /// By what the work is divided.
    pub(super) part: u64,
    /// Times that a row is measured.
    pub(super) rounds: usize,
    /// Whether files are on the disk.
    pub(super) disk: bool,
    /// Whether other programs are left out.
    pub(super) alone: bool,
}

/// Measures, and prints a row for each.
pub(super) fn run(asked: &Asked<'_>) -> ExitCode {
    let plan = Plan::new(asked.part, asked.rounds, asked.disk);
    let mut table = Table::new(asked.rows);
    if table.is_empty() {
        eprintln!("cargo xtask bench: no row of the safes has that name");
        return ExitCode::FAILURE;
    }
    eprintln!(
        "large files of {} MiB, {} files of 4 KiB, trees of {} entries, safes of {} members, {} safes; in {}",
        plan.large_mib, plan.small, plan.entries, plan.members, plan.safes, plan.within
    );
    for (rows, measure) in PARTS {
        if !rows.iter().any(|row| table.wants(row)) {
            continue;
        }
        let done = shielded(|| measure(&plan, &mut table));
        if let Err(why) = done {
            rows.iter().for_each(|row| table.absent(row, PARSEC, &why));
        }
    }
    table.absent("first byte", PARSEC, "a mount, or a range in `file.get`: neither is there yet");
    table.absent("first byte far", PARSEC, "the same");
    if !asked.alone {
        peers::measure(&plan, &mut table);
    }
    table.print(asked.json);
    ExitCode::SUCCESS
}

/// Runs a part; that it falls ends the part, not the run.
fn shielded(part: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let fell = std::panic::catch_unwind(std::panic::AssertUnwindSafe(part));
    fell.unwrap_or_else(|_| Err("the measurement fell: what it said is above".to_owned()))
}
