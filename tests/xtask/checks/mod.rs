//! `cargo xtask checks`: every check of docs/assurance.md, each with its figure.
//!
//! Decides how a check comes to its verdict: its command must end well and print `figure NAME: …`;
//! a command that prints none has not shown anything. Of a row of docs/assurance/safes.md the tests
//! that it names are counted, too, and all of them must have run. A check that can't be reached
//! here is listed with the reason, never left out. Refuses to call a run without a check a success.

mod builds;
mod documented;
mod list;
mod supply;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use serde::Serialize;

use crate::run_tests::{Counted, OTHER_PARSECD, SKIPPED, cargo, ended, shipped};
use list::{CHECKS, Check, How};
use parsec_tests::metrics::FULL;

/// Of a check that failed, so many of its last lines are shown: a panic with its place, and what
/// came before.
const SHOWN_LINES: usize = 25;

/// What a run takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The checks, such as `M1`, or letters, such as `M`; all without it.
    checks: Vec<String>,
    /// The long figures: hours.
    #[arg(long)]
    full: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Only names the checks.
    #[arg(long)]
    list: bool,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Pass,
    Fail,
    NotReached,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::NotReached => "not reached",
        }
    }
}

/// What a check found.
#[derive(Debug)]
struct Found {
    verdict: Verdict,
    figure: String,
}

impl Found {
    fn pass(figure: impl Into<String>) -> Self {
        Self { verdict: Verdict::Pass, figure: figure.into() }
    }

    fn fail(figure: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, figure: figure.into() }
    }

    fn not_reached(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::NotReached, figure: reason.into() }
    }

    /// Whether it holds, with what was measured either way.
    fn judged(holds: bool, figure: impl Into<String>) -> Self {
        if holds { Self::pass(figure) } else { Self::fail(figure) }
    }
}

/// A check as `--json` prints it.
#[derive(Serialize)]
struct Line<'a> {
    check: &'a str,
    what: &'a str,
    verdict: Verdict,
    figure: &'a str,
    seconds: f64,
    full: bool,
}

/// What all checks share.
struct Site<'a> {
    root: &'a Path,
    full: bool,
}

pub(crate) fn run(root: &Path, options: &Options) -> ExitCode {
    let chosen: Vec<&Check> = CHECKS.iter().filter(|check| wanted(check.id, &options.checks)).collect();
    if chosen.is_empty() {
        eprintln!("no check has that name; `cargo xtask checks --list` names them");
        return ExitCode::FAILURE;
    }
    if options.list {
        for check in chosen {
            println!("{:4} {}", check.id, check.what);
        }
        return ExitCode::SUCCESS;
    }
    let built = ended("checks", crate::run_tests::build(root));
    if built != ExitCode::SUCCESS {
        return built;
    }
    let site = Site { root, full: options.full };
    let began = Instant::now();
    let mut counts = [0_usize; 3];
    for check in chosen {
        let since = Instant::now();
        let found = site.find(check).unwrap_or_else(|error| Found::fail(format!("can't be run: {error}")));
        let seconds = since.elapsed().as_secs_f64();
        if options.json {
            let Found { verdict, ref figure } = found;
            let line =
                Line { check: check.id, what: check.what, verdict, figure, seconds, full: options.full };
            println!("{}", serde_json::to_string(&line).unwrap_or_default());
        } else {
            println!("{:4} {:11} {seconds:7.1} s  {}", check.id, found.verdict.word(), check.what);
            println!("                        {}", found.figure);
        }
        let [passed, failed, unreached] = &mut counts;
        match found.verdict {
            Verdict::Pass => *passed += 1,
            Verdict::Fail => *failed += 1,
            Verdict::NotReached => *unreached += 1,
        }
    }
    let [passed, failed, unreached] = counts;
    let said = format!(
        "{passed} passed, {failed} failed, {unreached} not reached here; {:.0} s",
        began.elapsed().as_secs_f64()
    );
    if options.json {
        eprintln!("{said}")
    } else {
        println!("{said}")
    }
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// `cargo xtask sbom`.
pub(crate) fn sbom(root: &Path) -> ExitCode {
    let bill = supply::bill(&Site { root, full: false });
    ended("sbom", bill.map(|bill| println!("{bill:#}")).map(|()| true))
}

/// Whether a check was asked for: by its name, or by its letter.
fn wanted(id: &str, asked: &[String]) -> bool {
    let letter = id.trim_end_matches(|c: char| c.is_ascii_digit());
    asked.is_empty()
        || asked.iter().any(|name| name.eq_ignore_ascii_case(id) || name.eq_ignore_ascii_case(letter))
}

impl Site<'_> {
    fn find(&self, check: &Check) -> std::io::Result<Found> {
        match check.how {
            How::Tests(tests) => {
                let mut found = Vec::new();
                for test in tests {
                    let mut command = self.tests(test.package, test.target, &["--quiet"]);
                    command.arg("--include-ignored").arg(test.name);
                    let one = self.read(check.id, command)?;
                    if one.verdict != Verdict::Pass {
                        return Ok(one);
                    }
                    found.push(one.figure);
                }
                Ok(Found::pass(found.join("; ")))
            }
            How::Xtask(arguments) => {
                let mut command = cargo(self.root);
                command.args(["run", "--quiet", "--package", "parsec-tests", "--bin", "xtask", "--"]);
                command.args(arguments);
                self.read(check.id, command)
            }
            How::Documented => self.documented(check.id),
            How::Own(look) => look(self),
        }
    }

    /// `cargo test` of one target, up to the arguments of its own. With `--quiet` among the options
    /// the names of tests are not printed.
    fn tests(&self, package: &str, target: &str, options: &[&str]) -> Command {
        let mut command = cargo(self.root);
        command.arg("test").args(options).args(["--package", package]);
        // With this one among them, the libraries have the features of the usual build, and none is
        // built again.
        if package != "parsec-tests" {
            command.args(["--package", "parsec-tests"]);
        }
        match target {
            "lib" | "bins" => command.arg(format!("--{target}")),
            target => command.args(["--test", target]),
        };
        command.args(["--", "--nocapture", "--test-threads=1"]);
        command
    }

    /// Runs what a row of docs/assurance/safes.md names, each test by its own command: it must have
    /// run, and passed. One that could not run here has shown nothing, nor has its row.
    fn documented(&self, id: &str) -> std::io::Result<Found> {
        let rows = documented::rows(self.root)?;
        let Some(row) = rows.into_iter().find(|row| row.id == id) else {
            return Ok(Found::fail(format!("{} has no such row", documented::DOCUMENT)));
        };
        let (mut passed, mut said, mut unreached) = (0, Vec::new(), None);
        for ((package, target), names) in documented::commands(&row.tests) {
            for name in names {
                let mut command = self.tests(package, &target, &[]);
                command.arg("--include-ignored").arg(&name);
                let (well, text) = self.carried_out(command)?;
                let figures = figures(id, &text);
                if !figures.is_empty() {
                    said.push(figures);
                }
                let mut counted = Counted::default();
                text.lines().for_each(|line| counted.take(line));
                // A name is looked for as a part of names: another's passing is not this one's.
                if !well || counted.passed == 0 || !documented::has_run(&name, &text) {
                    return Ok(Found::fail(format!("{name} in {target} did not run, or did not pass")));
                }
                passed += counted.passed;
                // Looked at now: the next command begins with none.
                let reasons = std::fs::read_to_string(self.skipped()).unwrap_or_default();
                unreached = unreached.or_else(|| reasons.lines().next().map(str::to_owned));
            }
        }
        if let Some(reason) = unreached {
            return Ok(Found::not_reached(reason));
        }
        said.push(format!("{passed} tests, 0 failed; taken out by {}", row.twins.join(", ")));
        Ok(Found::pass(said.join("; ")))
    }

    /// Where tests say why they could not run.
    fn skipped(&self) -> PathBuf {
        self.root.join("target").join("checks-skipped")
    }

    /// Runs a command: whether it went well, and what it said. What it said last is shown if not.
    fn carried_out(&self, mut command: Command) -> std::io::Result<(bool, String)> {
        let _ = std::fs::remove_file(self.skipped());
        command.env(SKIPPED, self.skipped()).stdin(Stdio::null());
        if self.full {
            command.env(FULL, "1").env(OTHER_PARSECD, shipped(self.root));
        }
        let output = command.output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            let lines: Vec<&str> = text.lines().chain(errors.lines()).collect();
            for line in lines.iter().skip(lines.len().saturating_sub(SHOWN_LINES)) {
                eprintln!("    | {line}");
            }
        }
        Ok((output.status.success(), text))
    }

    /// Runs a command and looks for its figure.
    fn read(&self, id: &str, command: Command) -> std::io::Result<Found> {
        let (well, text) = self.carried_out(command)?;
        let figures = figures(id, &text);
        if !well {
            return Ok(Found::fail(if figures.is_empty() {
                "its command failed".to_owned()
            } else {
                figures
            }));
        }
        if !figures.is_empty() {
            return Ok(Found::pass(figures));
        }
        let reasons = std::fs::read_to_string(self.skipped()).unwrap_or_default();
        Ok(match reasons.lines().next() {
            Some(reason) => Found::not_reached(reason),
            None => Found::fail("its command printed no figure"),
        })
    }
}

/// What a command's output says for a check. The test runner may have begun the line.
fn figures(id: &str, output: &str) -> String {
    let mark = format!("figure {id}: ");
    let found: Vec<&str> = output.lines().filter_map(|line| Some(line.split_once(&mark)?.1.trim())).collect();
    found.join("; ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_figure_is_what_stands_behind_its_check() {
        let output = "running 1 test\ntest a ... figure M1: 10 runs, 0 certificates\nfigure M12: 3\nfigure M1: and 4\nok\n";
        assert_eq!(figures("M1", output), "10 runs, 0 certificates; and 4");
        assert_eq!(figures("M2", output), "");
    }

    #[test]
    fn checks_are_asked_for_by_name_or_letter() {
        let asked = ["m1".to_owned(), "X".to_owned()];
        let found: Vec<bool> = ["M1", "M12", "X3", "S1"].into_iter().map(|id| wanted(id, &asked)).collect();
        assert_eq!(found, [true, false, true, false]);
        assert!(wanted("B1", &[]));
    }

    /// A check without a line in the document, or a line without a check, is a claim that nobody
    /// checks.
    #[test]
    fn the_documents_have_every_check_once_and_no_other() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let text = std::fs::read_to_string(root.join("docs/assurance.md")).unwrap();
        let safes = documented::rows(root).unwrap();
        let in_documents: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.split_once(" |"))
            .map(|(id, _)| id)
            .filter(|id| {
                id.starts_with(|c: char| c.is_ascii_uppercase()) && id.ends_with(|c: char| c.is_ascii_digit())
            })
            .chain(safes.iter().map(|row| row.id.as_str()))
            .collect();
        let in_code: Vec<&str> = CHECKS.iter().map(|check| check.id).collect();
        assert_eq!(in_documents, in_code);
        for row in &safes {
            let check = CHECKS.iter().find(|check| check.id == row.id).unwrap();
            assert_eq!(check.what, row.what);
        }
        assert_eq!(in_code.iter().collect::<BTreeSet<_>>().len(), in_code.len());
    }
}
