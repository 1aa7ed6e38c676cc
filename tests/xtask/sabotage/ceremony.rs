//! The ceremony with one defence taken away at a time, and which of its checks notice.
//!
//! Decides, for each file of `tests/sabotage/ceremony/`, that exactly the checks it names fail: one
//! that passes without its defence guards nothing, and one that fails for another's is not about
//! what it says. Prints the figures M2 and M3 of docs/assurance.md.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::{Change, Copy, read_all};

/// Where the defences are, below the workspace.
const FOLDER: &str = "tests/sabotage/ceremony";
/// Makes codes shorter, and with it what an attack looks for in vain.
const SHORT: &str = "codes-16";
/// Fails wherever codes are shorter than they are: it counts the bits that change.
const SHORT_CODES: &str = "codes::every_bit_that_was_agreed_on_is_in_both_codes";
/// Fail wherever a defence is missing: they walk everything that can happen
/// (docs/assurance/model.md).
const WALKS: [&str; 2] = [
    "model::with_one_who_listens_the_relay_gets_nothing",
    "model::with_nobody_who_listens_the_machines_keep_their_order",
];

/// One defence, and how to do without it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Defence {
    /// What is so without it, in a sentence.
    what: String,
    /// Tried with codes of 16 bits, so that an attack which looks for equal codes ends.
    #[serde(default)]
    short: bool,
    /// Whether the relay wins in a walk through everything that can happen.
    walks: bool,
    /// The attack that must win each time, by the name it prints.
    attack: Option<String>,
    /// The checks that must fail, below `enrol::tests`.
    fails: Vec<String>,
    change: Vec<Change>,
}

impl Defence {
    /// All changes, with those that make codes short.
    fn changes(&self, short: &Self) -> Vec<Change> {
        let more = if self.short { short.change.as_slice() } else { &[] };
        more.iter().chain(&self.change).cloned().collect()
    }

    fn must_fail(&self) -> BTreeSet<String> {
        let walks = if self.walks { WALKS.as_slice() } else { &[] };
        let also = [SHORT_CODES].iter().chain(walks).map(|&name| name.to_owned());
        self.fails.iter().cloned().chain(also).collect()
    }
}

/// What the checks said.
struct Said {
    ran: usize,
    failed: BTreeSet<String>,
    output: String,
}

/// Whether each defence that was asked for is missed by exactly its own checks.
pub(super) fn judge(root: &Path, part: Option<&str>) -> std::io::Result<bool> {
    let all: BTreeMap<String, Defence> = read_all(&root.join(FOLDER), None)?;
    let short = all.get(SHORT).ok_or_else(|| std::io::Error::other(format!("{SHORT} is missing")))?;
    let chosen: Vec<_> = all.iter().filter(|(name, _)| part.is_none_or(|part| name.contains(part))).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = all.keys().map(String::as_str).collect();
        eprintln!("no defence has that name; there are: {}", names.join(" "));
        return Ok(false);
    }
    let copy = Copy::of(root)?;
    let mut well = true;
    let mut won = Vec::new();
    if chosen.len() > 1 {
        let shipped = checks(&copy)?;
        let attacks = lines(&shipped.output, "check ");
        println!("{:22} {:3} checks, {} failed", "as shipped", shipped.ran, shipped.failed.len());
        well &= shipped.failed.is_empty()
            && shipped.ran > 0
            && attacks.iter().all(|line| line.contains(": 0 of "));
        won.push(format!("as shipped 0 of {} attacks", attacks.len()));
    }
    for (name, defence) in &chosen {
        let said = copy.changed(name, &defence.changes(short), || checks(&copy))?;
        well &= compare(name, defence, &said);
        if let Some(attack) = &defence.attack {
            let line =
                lines(&said.output, &format!("check {attack}: ")).into_iter().next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let (wins, of, tries) = (words.next(), words.next(), words.next());
            well &= of == Some("of") && wins == tries && wins.is_some();
            won.push(format!("{name} {line}"));
        }
        if *name == "codes-10" {
            for line in lines(&said.output, "figure M2: ") {
                println!("figure M2: {line}");
            }
        }
    }
    if chosen.len() > 1 && well {
        println!(
            "figure M3: {}; without each of {} defences exactly its own checks fail",
            won.join("; "),
            chosen.len()
        );
    }
    Ok(well)
}

/// Tells which checks failed without a defence; whether they are those that must.
fn compare(name: &str, defence: &Defence, said: &Said) -> bool {
    let expected = defence.must_fail();
    let right = said.failed == expected && said.ran > expected.len();
    println!(
        "{name:22} {:3} checks, {} failed, {}: {}",
        said.ran,
        said.failed.len(),
        if right { "exactly those that should" } else { "NOT those that should" },
        defence.what
    );
    for check in said.failed.union(&expected) {
        let mark = match (said.failed.contains(check), expected.contains(check)) {
            (true, true) => "failed",
            (true, false) => "FAILED, and should not",
            (false, _) => "PASSED, and should fail",
        };
        println!("    {check}: {mark}");
    }
    right
}

/// What follows a mark at the beginning of lines.
fn lines(output: &str, mark: &str) -> Vec<String> {
    output.lines().filter_map(|line| line.trim().strip_prefix(mark)).map(str::to_owned).collect()
}

/// Runs the ceremony's checks; the two long ones, about people who don't listen and bad networks,
/// aside.
fn checks(copy: &Copy) -> std::io::Result<Said> {
    let mut tests = copy.cargo(&["test", "--quiet", "--package", "parsec-protocol", "--lib"]);
    // The lab's own: each of its strategies wins exactly where its defence is missing.
    tests.args([
        "--",
        "enrol::tests",
        "lab::tests::sabotaged",
        "--show-output",
        "--format=pretty",
        "--skip",
        "robots::",
        "--skip",
        "network::",
    ]);
    let output = tests.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (mut ran, mut failed) = (0, BTreeSet::new());
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("test ").map(|rest| rest.trim_start_matches("enrol::tests::"))
        else {
            continue;
        };
        if let Some(name) = rest.strip_suffix(" ... FAILED") {
            ran += 1;
            failed.insert(name.to_owned());
        } else if rest.ends_with(" ... ok") {
            ran += 1;
        }
    }
    if ran == 0 {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(Said { ran, failed, output: text })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A defence whose text has moved would be taken away by nobody, and its checks would prove
    /// nothing.
    #[test]
    fn every_defence_fits_the_code_as_it_is() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let all: BTreeMap<String, Defence> = read_all(&root.join(FOLDER), None).unwrap();
        let short = &all[SHORT];
        assert!(all.len() > 6 && all.values().filter(|defence| defence.attack.is_some()).count() > 3);
        for (name, defence) in &all {
            let mut texts: BTreeMap<_, String> = BTreeMap::new();
            for change in defence.changes(short) {
                let read = || std::fs::read_to_string(root.join(&change.file)).unwrap();
                let text = texts.entry(change.file.clone()).or_insert_with(read);
                *text = change.applied(name, text).unwrap_or_else(|error| panic!("{error}"));
            }
            for check in defence.must_fail() {
                let function = check.rsplit("::").next().unwrap().to_owned();
                let module = check.split("::").next().unwrap().to_owned();
                let tests = root.join("protocol/src/enrol/tests");
                let file = [tests.join(format!("{module}.rs")), tests.join(module).join("mod.rs")]
                    .into_iter()
                    .find(|file| file.exists())
                    .unwrap_or_else(|| panic!("{name}: nothing is called {check}"));
                let text = std::fs::read_to_string(file).unwrap();
                assert!(text.contains(&format!("fn {function}(")), "{name}: nothing is called {check}");
            }
        }
    }
}
