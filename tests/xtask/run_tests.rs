//! `cargo xtask test`: builds every binary first, because the tests of the whole start the real
//! ones, then runs the tests of a tier, or those that a word names.
//!
//! Decides what belongs to the quick tier, what a word names, and the summary: how many passed and
//! failed, and what was skipped and why. Refuses to call a run that ran nothing a success.

use std::io::{BufRead, BufReader, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Tests that can't run here append a line to the file of this name (see `parsec_tests::skip`).
pub(crate) const SKIPPED: &str = "PARSEC_TESTS_SKIPPED";

/// Names the daemon that every test starts (see `parsec_tests::process`).
pub(crate) const OTHER_PARSECD: &str = "PARSEC_PARSECD";

/// Says how many tests run side by side, to the runner of Rust's own.
const THREADS: &str = "RUST_TEST_THREADS";
/// Tests of the whole wait for daemons, servers and timeouts far more than they compute. Those that
/// keep a machine busy by themselves go one after the other (`parsec_tests::alone`).
const TESTS_PER_CORE: usize = 3;

/// The package whose tests start the real programs.
const TESTS: &str = "parsec-tests";
/// What `--quick` runs, as arguments of `cargo test`: the tests beside the code; those of the
/// protocol, where nothing is started; the house rules; and one enrolment with the real programs.
const QUICK: &[&[&str]] = &[
    &["--workspace", "--lib", "--bins"],
    &["--package", "parsec-protocol", "--package", TESTS, "--test", "log_*", "--test", "vectors_*"],
    &["--package", TESTS, "--test", "tidy"],
    &["--package", TESTS, "--test", "ceremony", "main_flow::"],
];

/// Which tests to run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A theme of tests/tests/, such as `ceremony`, a module in one, such as `main_flow`, or a part
    /// of a test's name.
    filter: Option<String>,
    /// Two minutes instead of ten: what stands beside the code, the protocol, the
    /// house rules, and one enrolment with the real programs.
    #[arg(long, conflicts_with = "filter")]
    quick: bool,
    /// Every test with the shipped daemon, whose key files take a second each; without it, those
    /// alone where that matters.
    #[arg(long)]
    shipped: bool,
}

pub(crate) fn run(root: &Path, options: &Options) -> ExitCode {
    ended("test", build_and_test(root, options))
}

/// How a command of the workspace ends: whether it went well, or why it could not be carried out.
pub(crate) fn ended(command: &str, outcome: std::io::Result<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo xtask {command}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Builds every binary of the workspace; whether that went well.
pub(crate) fn build(root: &Path) -> std::io::Result<bool> {
    Ok(cargo(root).args(["build", "--workspace", "--bins"]).status()?.success())
}

pub(crate) fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root);
    // What the outer cargo says about xtask's own package would look to build scripts like a
    // changed environment, and half the dependencies would be built again at every turn between
    // `cargo xtask` and `cargo build`.
    for (name, _) in std::env::vars_os() {
        let about_this_package = name.to_str().is_some_and(|name| {
            ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_CRATE_", "CARGO_BIN_"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
        });
        if about_this_package {
            cargo.env_remove(name);
        }
    }
    cargo
}

fn build_and_test(root: &Path, options: &Options) -> std::io::Result<bool> {
    if !build(root)? {
        return Ok(false);
    }
    let skipped = root.join("target").join("tests-skipped");
    let _ = std::fs::remove_file(&skipped);
    let mut counted = Counted::default();
    let mut well = true;
    for arguments in chosen(root, options) {
        let mut tests = cargo(root);
        tests.args(["test", "--no-fail-fast"]).args(arguments).env(SKIPPED, &skipped);
        side_by_side(&mut tests);
        if options.shipped {
            tests.env(OTHER_PARSECD, shipped(root));
        }
        well &= test(tests, &mut counted)?;
    }
    let skipped = std::fs::read_to_string(&skipped).unwrap_or_default();
    println!();
    for name in &counted.names_failed {
        println!("failed: {name}");
    }
    for reason in skipped.lines() {
        println!("skipped: {reason}");
    }
    let skips = skipped.lines().count();
    println!("{} passed, {} failed, {skips} skipped", counted.passed.saturating_sub(skips), counted.failed);
    if counted.passed + counted.failed == 0 {
        println!("no test has that name");
    }
    Ok(well && counted.passed > 0)
}

/// Tests of a program run side by side, more of them than there are cores.
pub(crate) fn side_by_side(tests: &mut Command) {
    if std::env::var_os(THREADS).is_none() {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        tests.env(THREADS, (cores * TESTS_PER_CORE).to_string());
    }
}

/// The built daemon as it is shipped.
pub(crate) fn shipped(root: &Path) -> PathBuf {
    root.join("target").join("debug").join("parsecd")
}

/// Runs `cargo test` once and shows what it says; whether all is well.
fn test(mut tests: Command, counted: &mut Counted) -> std::io::Result<bool> {
    tests.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut running = tests.spawn()?;
    if let Some(output) = running.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            counted.take(&line);
            let mut out = std::io::stdout().lock();
            writeln!(out, "{line}")?;
            out.flush()?;
        }
    }
    Ok(running.wait()?.success())
}

/// The runs of `cargo test` that were asked for, each by its arguments.
fn chosen(root: &Path, options: &Options) -> Vec<Vec<String>> {
    let one = |arguments: &[&str]| arguments.iter().map(|&argument| argument.to_owned()).collect();
    if options.quick {
        return QUICK.iter().map(|arguments| one(arguments)).collect();
    }
    let Some(word) = options.filter.as_deref() else { return vec![one(&["--workspace"])] };
    let themes = root.join("tests").join("tests");
    if themes.join(word).is_dir() || root.join("tests").join(format!("{word}.rs")).exists() {
        return vec![one(&["--package", TESTS, "--test", word])];
    }
    match theme_of(&themes, word) {
        Some(theme) => vec![one(&["--package", TESTS, "--test", &theme, &format!("{word}::")])],
        None => vec![one(&["--workspace", word])],
    }
}

/// The theme that has a module of this name.
fn theme_of(themes: &Path, module: &str) -> Option<String> {
    let file = format!("{module}.rs");
    let mut themes =
        std::fs::read_dir(themes).ok()?.flatten().filter(|theme| theme.path().join(&file).exists());
    themes.next()?.file_name().into_string().ok()
}

/// What the test runners said.
#[derive(Default)]
pub(crate) struct Counted {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    names_failed: Vec<String>,
}

impl Counted {
    pub(crate) fn take(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.names_failed.push(name.to_owned());
        }
        let Some(result) = line.strip_prefix("test result: ") else { return };
        for part in result.split([';', '.']) {
            let mut words = part.split_whitespace();
            let number = words.next().and_then(|word| word.parse::<usize>().ok()).unwrap_or_default();
            match words.next() {
                Some("passed") => self.passed += number,
                Some("failed") => self.failed += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(filter: Option<&str>, quick: bool) -> Vec<Vec<String>> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        chosen(root, &Options { filter: filter.map(str::to_owned), quick, shipped: false })
    }

    #[test]
    fn a_word_is_a_theme_a_module_or_a_part_of_a_name() {
        let of = |word| asked(Some(word), false).concat().join(" ");
        assert_eq!(of("hostile"), "--package parsec-tests --test hostile");
        assert_eq!(of("tidy"), "--package parsec-tests --test tidy");
        assert_eq!(of("main_flow"), "--package parsec-tests --test ceremony main_flow::");
        assert_eq!(of("nothing_by_the_revoked"), "--workspace nothing_by_the_revoked");
        assert_eq!(asked(None, false), [["--workspace"]]);
    }

    /// A theme, a module or a program of tests that is gone would leave the quick tier empty there.
    #[test]
    fn the_quick_tier_names_what_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let quick = asked(None, true).concat();
        assert!(quick.iter().any(|argument| argument == "main_flow::"));
        assert_eq!(theme_of(&root.join("tests/tests"), "main_flow").as_deref(), Some("ceremony"));
    }

    #[test]
    fn the_runners_last_lines_are_added_up() {
        let mut counted = Counted::default();
        for line in [
            "test a ... ok",
            "test b::c ... FAILED",
            "test result: FAILED. 14 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.24s",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 9.24s",
        ] {
            counted.take(line);
        }
        assert_eq!((counted.passed, counted.failed), (17, 2));
        assert_eq!(counted.names_failed, ["b::c"]);
    }
}
