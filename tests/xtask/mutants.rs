//! `cargo xtask mutants`: what decides about keys is changed in one place at a time, and the tests
//! of the protocol must notice.
//!
//! Decides which files are changed and which tests judge. Refuses to pass over a change that no
//! test noticed: it is told, and either gets a test, or stands with its reason in
//! `tests/mutants/survivors.txt`. cargo-mutants makes the changes, in a copy; nothing here is
//! touched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use parsec_tests::metrics::{figure, full};
use parsec_tests::skip;
use serde_json::Value;

use crate::run_tests::{SKIPPED, cargo, ended};

/// Where a change would matter to somebody's keys: the ceremony, the chain of trust, evidence
/// files, keys and their encodings.
const FILES: &[&str] = &[
    "protocol/src/enrol/**",
    "protocol/src/chain/**",
    "protocol/src/evidence/**",
    "protocol/src/codec.rs",
    "protocol/src/ids/mod.rs",
    "protocol/src/keys.rs",
    "protocol/src/public_keys.rs",
    "protocol/src/claim_receipt.rs",
];
/// Tests that take long and judge little: bad networks and people by chance, a million screens,
/// questions to another program.
const LEFT_OUT: &[&str] =
    &["network::", "robots::", "decoys_keep", "two_readers_of", "a_reader_that_forgets"];
/// Of a hundred changes that compile and change something, so many must be noticed.
const KILLED_MIN: f64 = 95.0;
/// Seconds after which a test that goes on is one that noticed: five times what all of them take on
/// a busy machine.
const TIMEOUT_SECONDS: u32 = 120;
/// Changes in the usual sample, about: some ten minutes.
const SAMPLE: usize = 25;
/// Survivors that were looked at, each with its reason.
const LOOKED_AT: &str = "tests/mutants/survivors.txt";

/// What a run takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// About so many changes; all of them with `PARSEC_FULL=1`.
    #[arg(long, default_value_t = SAMPLE)]
    sample: usize,
    /// Which sample.
    #[arg(long, default_value_t = 0)]
    seed: usize,
    /// Only files whose path contains this.
    #[arg(long)]
    file: Option<String>,
}

pub(crate) fn run(root: &Path, options: &Options) -> ExitCode {
    ended("mutants", judge(root, options))
}

fn judge(root: &Path, options: &Options) -> std::io::Result<bool> {
    let version = cargo(root).args(["mutants", "--version"]).stdin(Stdio::null()).output()?;
    if !version.status.success() {
        skip("mutants", "cargo-mutants is missing: `cargo install --locked cargo-mutants`");
        // `cargo xtask checks` takes the reason; to anybody else it is a failure.
        return Ok(std::env::var_os(SKIPPED).is_some());
    }
    let files: Vec<&str> = match &options.file {
        Some(part) => vec![part.as_str()],
        None => FILES.to_vec(),
    };
    let listed = mutants(root, &files).args(["--list"]).output()?;
    let all = String::from_utf8_lossy(&listed.stdout).lines().count();
    let shards = if full() { 1 } else { all.div_ceil(options.sample.max(1)).max(1) };
    let folder = root.join("target").join("mutants");
    std::fs::create_dir_all(&folder)?;
    let shard = format!("{}/{shards}", options.seed % shards);
    println!("{all} changes in all; of {shards} parts, part {}", options.seed % shards);
    let mut run = mutants(root, &files);
    run.args([
        "--shard",
        &shard,
        "--sharding",
        "round-robin",
        "--jobs",
        "1",
        "--baseline",
        "skip",
        "--colors",
        "never",
    ])
    .args(["--timeout", &TIMEOUT_SECONDS.to_string(), "--build-timeout", "900"])
    .arg("--output")
    .arg(&folder)
    // Kept from run to run: libraries are built once.
    .env("CARGO_TARGET_DIR", folder.join("build"))
    .args(["--", "--"]);
    LEFT_OUT.iter().for_each(|test| {
        run.args(["--skip", test]);
    });
    // How it ends says whether something survived, which is looked at below.
    run.stdin(Stdio::null()).status()?;
    let outcomes = std::fs::read_to_string(folder.join("mutants.out").join("outcomes.json"))?;
    let outcomes: Value = serde_json::from_str(&outcomes)?;
    let looked_at = looked_at(&std::fs::read_to_string(root.join(LOOKED_AT)).unwrap_or_default());
    Ok(tell(&Counted::of(&outcomes), &looked_at, all))
}

/// cargo-mutants for these files, without a configuration of its own.
fn mutants(root: &Path, files: &[&str]) -> Command {
    let mut command = cargo(root);
    command.args(["mutants", "--package", "parsec-protocol", "--no-config"]);
    files.iter().for_each(|file| {
        command.args(["--file", file]);
    });
    command
}

/// What became of the changes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counted {
    noticed: usize,
    /// Don't compile: the types noticed.
    impossible: usize,
    /// By file and change, without the line, which moves.
    survived: BTreeSet<String>,
}

impl Counted {
    fn of(outcomes: &Value) -> Self {
        let mut counted = Self::default();
        for outcome in outcomes.get("outcomes").and_then(Value::as_array).into_iter().flatten() {
            let Some(name) = outcome.pointer("/scenario/Mutant/name").and_then(Value::as_str) else {
                continue;
            };
            match outcome.get("summary").and_then(Value::as_str) {
                Some("CaughtMutant" | "Timeout") => counted.noticed += 1,
                Some("Unviable") => counted.impossible += 1,
                _ => {
                    counted.survived.insert(without_place(name));
                }
            }
        }
        counted
    }
}

/// `path:12:5: change` as `path: change`.
fn without_place(name: &str) -> String {
    let mut parts = name.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(path), Some(_), Some(_), Some(change)) => format!("{path}:{change}"),
        _ => name.to_owned(),
    }
}

/// Each survivor that was looked at, with its reason: a line each, and the reason behind `#`.
fn looked_at(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .filter_map(|line| line.split_once(" # "))
        .map(|(name, reason)| (name.trim().to_owned(), reason.trim().to_owned()))
        .collect()
}

fn tell(counted: &Counted, looked_at: &BTreeMap<String, String>, all: usize) -> bool {
    let Counted { noticed, impossible, survived } = counted;
    let compiled = noticed + survived.len();
    let mut unknown = 0;
    for name in survived {
        match looked_at.get(name) {
            Some(reason) => println!("survived, looked at: {name} ({reason})"),
            None => {
                unknown += 1;
                println!("SURVIVED: {name}");
            }
        }
    }
    // Those that were looked at change nothing that anybody could notice: they count for neither.
    let share = 100.0 * *noticed as f64 / (noticed + unknown).max(1) as f64;
    figure(
        "B6",
        &format!(
            "{} of {all} changes: {impossible} don't compile; of the other {compiled}, {noticed} noticed, {} change nothing, {unknown} not noticed: {share:.1} %",
            compiled + impossible,
            survived.len() - unknown
        ),
    );
    *noticed > 0 && share >= KILLED_MIN
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcome(name: &str, summary: &str) -> Value {
        json!({"scenario": {"Mutant": {"name": name}}, "summary": summary})
    }

    /// So many noticed, and these not.
    fn counted(noticed: usize, survivors: &[&str]) -> Counted {
        let survivors = survivors.iter().map(|name| outcome(name, "MissedMutant"));
        let baseline = json!({"scenario": "Baseline", "summary": "Success"});
        let noticed = vec![outcome("c.rs:1:1: y", "CaughtMutant"); noticed];
        let all: Vec<Value> = survivors.chain([baseline]).chain(noticed).collect();
        Counted::of(&json!({"outcomes": all}))
    }

    #[test]
    fn nineteen_of_twenty_must_be_noticed_and_nothing_is_no_result() {
        let none = BTreeMap::new();
        assert!(tell(&counted(19, &["a.rs:1:1: x"]), &none, 20));
        assert!(!tell(&counted(18, &["a.rs:1:1: x"]), &none, 20));
        assert!(!tell(&counted(0, &[]), &none, 20));
    }

    #[test]
    fn what_changes_nothing_counts_for_neither_wherever_it_has_moved() {
        let survivors = ["a.rs:3:5: replace f -> bool with true", "b.rs:1:1: x"];
        let known =
            looked_at("# why\n\na.rs: replace f -> bool with true # it is true wherever it is asked\n");
        assert!(tell(&counted(19, &survivors), &known, 21));
        assert!(!tell(&counted(18, &survivors), &known, 20));
        assert!(!tell(&counted(0, &survivors[..1]), &known, 1));
    }
}
