//! `cargo xtask lean`: parsecd without the direct road. It builds, passes everything else, and is smaller; the figures are printed.
//!
//! Decides what "everything else" is: the daemon's own tests, and the tests of the whole that take no direct road, with this parsecd.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::run_tests::cargo;

/// Tests of the whole that are run with it: those that touch every part of the daemon, in a minute.
const THEMES: &[&str] = &["main_flow", "meddling", "wrong_answers", "access"];
/// Where its binaries go, beside the usual ones.
const FOLDER: &str = "target/lean";

pub(crate) fn run(root: &Path) -> ExitCode {
    match counted_and_tested(root) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo xtask lean: {error}");
            ExitCode::FAILURE
        }
    }
}

fn counted_and_tested(root: &Path) -> std::io::Result<bool> {
    let (with, without) = (packages(root, &[])?, packages(root, &["--no-default-features"])?);
    println!(
        "parsecd: {} packages with the direct road, {} without ({} fewer)",
        with.len(),
        without.len(),
        with.len() - without.len()
    );
    if without.iter().any(|name| name.starts_with("libp2p")) || with.len() <= without.len() {
        println!("libp2p is still there");
        return Ok(false);
    }
    let folder = root.join(FOLDER);
    let lean = |command: &mut Command| -> std::io::Result<bool> {
        command.args(["--package", "parsecd", "--no-default-features", "--target-dir"]);
        Ok(command.arg(&folder).status()?.success())
    };
    if !lean(cargo(root).arg("build").arg("--bins"))? || !lean(cargo(root).arg("test"))? {
        return Ok(false);
    }
    let mut tests = cargo(root);
    tests.args(["test", "--package", "parsec-tests"]);
    for theme in THEMES {
        tests.args(["--test", theme]);
    }
    tests.env("PARSEC_PARSECD", folder.join("debug").join("parsecd"));
    Ok(super::run_tests::build(root)? && tests.status()?.success())
}

/// The packages that parsecd links, by name and version.
fn packages(root: &Path, more: &[&str]) -> std::io::Result<BTreeSet<String>> {
    let mut tree = cargo(root);
    tree.args(["tree", "--package", "parsecd", "--edges", "normal", "--prefix", "none"]).args(more);
    let output = tree.output()?;
    if !output.status.success() {
        return Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text
        .lines()
        .map(|line| line.trim_end_matches(" (*)").to_owned())
        .filter(|line| !line.is_empty())
        .collect())
}
