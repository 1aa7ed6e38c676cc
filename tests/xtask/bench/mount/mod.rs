//! `cargo xtask bench mount`: a mounted safe beside other encrypting mounts and a bare folder. All
//! do the same work in the same run, in turns.
//!
//! Decides the rows, what each is held against, and how large the work is: one setting divides all
//! of it. Refuses to call a row met that was not measured: what this machine lacks is named.
//! Everybody's files are in memory where there is such a file system, so that a row is about the
//! programs and not about a disk.

mod folders;
mod work;

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::{percentile, short};
use folders::{BARE, GOCRYPTFS, PARSEC};

/// Where files are in memory, on Linux.
const IN_MEMORY: &str = "/dev/shm";
/// Bytes of one MiB.
const MIB: u64 = 1_024 * 1_024;

/// What a row is.
struct Kind {
    name: &'static str,
    what: &'static str,
    unit: &'static str,
    /// Whether more is better.
    more: bool,
    goal: Goal,
}

/// What a row should reach.
#[derive(Clone, Copy)]
enum Goal {
    /// At least so many times another's figure.
    Least(f64, &'static str),
    /// At most so many times another's figure.
    Most(f64, &'static str),
    /// At most this.
    Value(f64),
}

impl Goal {
    fn in_words(self) -> String {
        match self {
            Self::Least(times, whose) => format!("≥ {times} × {whose}"),
            Self::Most(times, whose) => format!("≤ {times} × {whose}"),
            Self::Value(figure) => format!("≤ {figure}"),
        }
    }

    /// Whether a figure reaches it; none where the other has none.
    fn is_met(self, own: f64, other: impl Fn(&str) -> Option<f64>) -> Option<bool> {
        match self {
            Self::Least(times, whose) => other(whose).map(|theirs| own >= times * theirs),
            Self::Most(times, whose) => other(whose).map(|theirs| own <= times * theirs),
            Self::Value(figure) => Some(own <= figure),
        }
    }
}

const fn kind(name: &'static str, what: &'static str, unit: &'static str, more: bool, goal: Goal) -> Kind {
    Kind { name, what, unit, more, goal }
}

/// All rows, in the order in which they are measured.
const KINDS: [Kind; 8] = [
    kind("write", "a large file in order, until saved", "MB/s", true, Goal::Least(1.2, GOCRYPTFS)),
    kind("read cold", "the same, mounted anew", "MB/s", true, Goal::Least(0.9, GOCRYPTFS)),
    kind("read warm", "the same once more", "MB/s", true, Goal::Least(2.0, GOCRYPTFS)),
    kind("create", "files of 4 KiB made, written and closed", "/s", true, Goal::Least(1.2, GOCRYPTFS)),
    kind("stat", "each of them looked at", "/s", true, Goal::Least(1.0, GOCRYPTFS)),
    kind("list", "ls -l of their folder", "ms", false, Goal::Most(2.0, BARE)),
    kind("untar", "tar -x of small files", "s", false, Goal::Most(0.6, GOCRYPTFS)),
    kind("first byte", "4 KiB anywhere in a large file, nothing of it here", "ms", false, Goal::Value(8.0)),
];

/// How large the work is, and where.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Bytes of the file that is written and read.
    large: u64,
    /// Bytes of the file that is read anywhere.
    huge: u64,
    /// Files of 4 KiB in one folder.
    small: usize,
    /// Files of an archive.
    archive: usize,
    /// Times that a row is measured.
    rounds: usize,
    /// Folder of everybody's files.
    within: &'static str,
}

impl Plan {
    /// The whole work, divided by `part`; below some sizes nothing can be said.
    fn new(part: u64, rounds: usize, disk: bool) -> Self {
        let of = |whole: u64, least: u64| whole.checked_div(part).unwrap_or(whole).max(least);
        let number = |whole: u64, least: u64| usize::try_from(of(whole, least)).unwrap_or(100);
        let memory = Path::new(IN_MEMORY).is_dir() && !disk;
        Self {
            large: of(1_024, 32) * MIB,
            huge: of(10_240, 64) * MIB,
            small: number(10_000, 200),
            archive: number(5_000, 100),
            rounds: rounds.max(1),
            within: if memory { IN_MEMORY } else { "/tmp" },
        }
    }
}

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

/// What was found: who, which row, the figures.
#[derive(Default)]
struct Found(Vec<(String, &'static str, f64)>);

impl Found {
    fn note(&mut self, who: &str, row: &'static str, figure: f64) {
        eprintln!("  {row}: {who} {}", short(figure));
        self.0.push((who.to_owned(), row, figure));
    }

    fn median(&self, who: &str, row: &str) -> Option<f64> {
        let of = |(found, kind, figure): &(String, &'static str, f64)| {
            (found == who && *kind == row).then_some(*figure)
        };
        let mut figures: Vec<f64> = self.0.iter().filter_map(of).collect();
        (!figures.is_empty()).then(|| percentile(&mut figures, 0.5))
    }
}

/// Measures, and prints a row for each.
pub(super) fn run(asked: &Asked<'_>) -> ExitCode {
    let plan = Plan::new(asked.part, asked.rounds, asked.disk);
    let kinds: Vec<_> = KINDS.into_iter().filter(|kind| kind.name.starts_with(asked.rows)).collect();
    if kinds.is_empty() {
        eprintln!("cargo xtask bench: no row of the mount has that name");
        return ExitCode::FAILURE;
    }
    eprintln!(
        "a file of {} MiB, {} files of 4 KiB, an archive of {}; a file of {} MiB read anywhere; in {}",
        plan.large / MIB,
        plan.small,
        plan.archive,
        plan.huge / MIB,
        plan.within
    );
    let mut found = Found::default();
    let mut absent = Vec::new();
    let wants = |row: &str| kinds.iter().any(|kind| kind.name == row);
    let measured = folders::all(&plan, asked.alone, &mut absent).and_then(|(mut folders, office)| {
        work::measure(&plan, &wants, &mut folders, &office, &mut found)?;
        match folders.first() {
            Some(ours) if wants("first byte") => work::first_byte(&plan, &ours.path, &office, &mut found),
            Some(_) | None => Ok(()),
        }
    });
    if let Err(why) = measured {
        eprintln!("cargo xtask bench: the measurement ended early: {why}");
        absent.push((PARSEC.to_owned(), why));
    }
    print(&kinds, &found, &absent, asked.json);
    ExitCode::SUCCESS
}

fn print(kinds: &[Kind], found: &Found, absent: &[(String, String)], as_json: bool) {
    let peers: Vec<_> = {
        let mut names: Vec<_> = found.0.iter().map(|(who, _, _)| who.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|who| *who != PARSEC);
        names
    };
    if !as_json {
        println!("{:<11} {:>8} {:<5} {:<30} BESIDE", "NAME", "FIGURE", "", "GOAL");
    }
    for kind in kinds {
        let own = found.median(PARSEC, kind.name);
        // The versions stand behind the names.
        let other = |name: &str| {
            let who = peers.iter().find(|who| who.starts_with(name))?;
            found.median(who, kind.name)
        };
        let met = own.and_then(|own| kind.goal.is_met(own, other));
        if as_json {
            let beside: Vec<_> = peers
                .iter()
                .filter_map(|who| Some(json!({"program": who, "value": found.median(who, kind.name)?})))
                .collect();
            println!(
                "{}",
                json!({
                    "name": kind.name, "what": kind.what, "unit": kind.unit, "more_is_better": kind.more, "value": own,
                    "goal": kind.goal.in_words(), "met": met, "beside": beside,
                })
            );
            continue;
        }
        let said = match met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not measured",
        };
        let beside: Vec<_> = peers
            .iter()
            .filter_map(|who| {
                let theirs = found.median(who, kind.name)?;
                let times = own.map(|own| if kind.more { own / theirs } else { theirs / own });
                let times = times.map_or(String::new(), |times| format!(" ({}×)", short(times)));
                Some(format!("{who} {}{times}", short(theirs)))
            })
            .collect();
        println!(
            "{:<11} {:>8} {:<5} {:<30} {}",
            kind.name,
            own.map_or_else(|| "-".to_owned(), short),
            kind.unit,
            format!("{} {said}", kind.goal.in_words()),
            beside.join(", ")
        );
    }
    for (who, why) in absent {
        eprintln!("absent: {who}: {why}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_held_against_whom_it_names() {
        let other = |name: &str| (name == GOCRYPTFS).then_some(100.0);
        assert_eq!(Goal::Least(1.2, GOCRYPTFS).is_met(120.0, other), Some(true));
        assert_eq!(Goal::Least(1.2, GOCRYPTFS).is_met(119.0, other), Some(false));
        assert_eq!(Goal::Most(0.6, GOCRYPTFS).is_met(61.0, other), Some(false));
        assert_eq!(Goal::Most(2.0, BARE).is_met(1.0, other), None, "nothing to hold it against");
        assert_eq!(Goal::Value(8.0).is_met(8.0, other), Some(true));
    }

    #[test]
    fn the_work_is_divided_and_never_to_nothing() {
        let (whole, least) = (Plan::new(1, 3, true), Plan::new(1_000_000, 0, true));
        assert_eq!((whole.large, whole.small, whole.archive), (1_024 * MIB, 10_000, 5_000));
        assert_eq!((least.large, least.small, least.archive, least.rounds), (32 * MIB, 200, 100, 1));
    }
}
