//! `cargo xtask no-p2p`: parsecd without the peer-to-peer transport. It builds, passes everything
//! else, and is smaller; the figures are printed.
//!
//! Decides what "everything else" is: the daemon's own tests, and the tests of the whole that need
//! no such transport, with this parsecd. It is built beside the other programs, so that the
//! libraries are those of the usual build; `--alone` also builds it by itself, where a feature that
//! only libp2p turns on would be missed.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use crate::run_tests::{OTHER_PARSECD, cargo, ended, side_by_side};

/// Tests of the whole that are run with it: the program, the theme, parts of names. They touch
/// every part of the daemon that could tell, in a minute.
const RUNS: &[(&str, &str, &[&str])] = &[
    ("parsecd", "ceremony", &["main_flow::"]),
    (LIGHT, "ceremony", &["wrong_answers::"]),
    (LIGHT, "hostile", &["meddling::", "access::another_user", "access::no_port"]),
];
/// The daemon with light key files.
const LIGHT: &str = "parsec-test-daemon";
/// Where it is put, beside the usual ones.
const FOLDER: &str = "target/no-p2p";

/// What a run takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Also builds parsecd by itself, in a folder of its own: takes minutes.
    #[arg(long)]
    alone: bool,
}

pub(crate) fn run(root: &Path, options: &Options) -> ExitCode {
    ended("no-p2p", counted_and_tested(root, options.alone))
}

fn counted_and_tested(root: &Path, alone: bool) -> std::io::Result<bool> {
    let (with, without) = (packages(root, &[])?, packages(root, &["--no-default-features"])?);
    println!(
        "parsecd: {} packages with libp2p, {} without ({} fewer)",
        with.len(),
        without.len(),
        with.len().saturating_sub(without.len())
    );
    if without.iter().any(|name| name.starts_with("libp2p")) || with.len() <= without.len() {
        println!("libp2p is still there");
        return Ok(false);
    }
    let folder = root.join(FOLDER);
    if alone {
        let mut build = cargo(root);
        build.args(["build", "--package", "parsecd", "--no-default-features", "--bins", "--target-dir"]);
        if !build.arg(folder.join("alone")).status()?.success() {
            return Ok(false);
        }
    }
    let mut build = cargo(root);
    build.args(["build", "--workspace", "--bins", "--no-default-features"]);
    if !build.status()?.success() {
        return Ok(false);
    }
    std::fs::create_dir_all(&folder)?;
    for program in ["parsecd", LIGHT] {
        std::fs::copy(root.join("target").join("debug").join(program), folder.join(program))?;
    }
    let mut own = cargo(root);
    // Protocol and server have no such feature: their tests would be the usual ones again.
    own.args(["test", "--workspace", "--exclude", "parsec-protocol", "--exclude", "parsec-metadata"]);
    own.args(["--no-default-features", "--lib", "--test", "activation", "--test", "process"]);
    if !own.status()?.success() || !super::run_tests::build(root)? {
        return Ok(false);
    }
    for (program, theme, parts) in RUNS {
        let mut tests = cargo(root);
        tests.args(["test", "--workspace", "--test", theme, "--"]).args(*parts);
        tests.env(OTHER_PARSECD, folder.join(program));
        side_by_side(&mut tests);
        if !tests.status()?.success() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The packages that parsecd links, by name and version.
pub(crate) fn packages(root: &Path, more: &[&str]) -> std::io::Result<BTreeSet<String>> {
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
