//! What building shows: how much is linked, that two builds are alike, that no network is needed,
//! and the bill of materials.
//!
//! Decides what is built for each: in the usual run parsecctl, in the full run all three programs.
//! Refuses figures above the ceilings, which may only be lowered.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use parsec_tests::installed;
use serde_json::Value;

use super::supply::{Locked, bill, installed_for_cargo, locked, metadata, packages};
use super::{Found, Site};
use crate::no_p2p;
use crate::run_tests::cargo;

/// The most packages parsecd may link: with the peer-to-peer transport, and without. Lower them
/// when they fall.
const PACKAGES_MAX: (usize, usize) = (380, 280);
/// The most lines of unsafe code in the sources of those packages: with the peer-to-peer transport,
/// and without.
const UNSAFE_MAX: (usize, usize) = (32_000, 18_000);
/// Where what is built here goes: cleaned before and after.
const FOLDER: &str = "target/checks";

/// X3: the packages parsecd links, and the unsafe code in them, with and without libp2p.
pub(super) fn size(site: &Site<'_>) -> std::io::Result<Found> {
    let metadata = metadata(site)?;
    let mut counts = Vec::new();
    for more in [&[] as &[&str], &["--no-default-features"]] {
        let linked = no_p2p::packages(site.root, more)?;
        if !more.is_empty() && linked.iter().any(|name| name.starts_with("libp2p")) {
            return Ok(Found::fail("libp2p is linked without its feature"));
        }
        counts.push((linked.len(), unsafe_lines(&metadata, &linked)?));
    }
    let &[(with, with_unsafe), (without, without_unsafe)] = counts.as_slice() else {
        return Ok(Found::fail("cargo tree said nothing"));
    };
    let holds = with <= PACKAGES_MAX.0
        && without <= PACKAGES_MAX.1
        && with_unsafe <= UNSAFE_MAX.0
        && without_unsafe <= UNSAFE_MAX.1
        && without > 1
        && without < with;
    Ok(Found::judged(
        holds,
        format!(
            "{with} packages, {with_unsafe} lines with unsafe; without libp2p {without} and {without_unsafe}; ceilings {PACKAGES_MAX:?}, {UNSAFE_MAX:?}"
        ),
    ))
}

/// Lines that have the word in the Rust sources of packages, comments aside.
fn unsafe_lines(metadata: &Value, linked: &BTreeSet<String>) -> std::io::Result<usize> {
    // As `cargo tree` has them: name, version, and what kind or where it is.
    let linked: BTreeSet<(&str, &str)> = linked
        .iter()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?.trim_start_matches('v')))
        })
        .collect();
    let mut count = 0;
    for package in packages(metadata) {
        let text = |key: &str| package.get(key).and_then(Value::as_str).unwrap_or_default();
        if linked.contains(&(text("name"), text("version")))
            && let Some(folder) = Path::new(text("manifest_path")).parent()
        {
            count += unsafe_below(&folder.join("src"))?;
        }
    }
    Ok(count)
}

fn unsafe_below(folder: &Path) -> std::io::Result<usize> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(0) };
    let mut count = 0;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            count += unsafe_below(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
            let code = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
            count += code.filter(|line| line.contains("unsafe ") && !line.contains("unsafe_")).count();
        }
    }
    Ok(count)
}

/// The programs built for a figure: one as usual, all in a full run.
fn programs(site: &Site<'_>) -> &'static [&'static str] {
    if site.full { &["parsecd", "parsecctl", "parsec-metadata"] } else { &["parsecctl"] }
}

/// Builds the programs of a figure into a fresh folder; the folder with them.
fn built(site: &Site<'_>, root: &Path, command: Command) -> std::io::Result<Option<PathBuf>> {
    let target = site.root.join(FOLDER);
    let _ = std::fs::remove_dir_all(&target);
    let mut command = command;
    command.current_dir(root).args(["build", "--locked", "--quiet", "--bins", "--target-dir"]).arg(&target);
    for program in programs(site) {
        command.args(["--package", program]);
    }
    if site.full {
        command.arg("--release");
    }
    let well = command.env("CARGO_INCREMENTAL", "0").stdin(Stdio::null()).status()?.success();
    Ok(well.then(|| target.join(if site.full { "release" } else { "debug" })))
}

/// X5: two clean builds, byte by byte.
pub(super) fn reproducible(site: &Site<'_>) -> std::io::Result<Found> {
    let mut seen: Vec<Vec<Vec<u8>>> = Vec::new();
    for _ in 0..2 {
        let Some(folder) = built(site, site.root, cargo(site.root))? else {
            return Ok(Found::fail("it does not build"));
        };
        let read = programs(site).iter().map(|program| std::fs::read(folder.join(program)));
        seen.push(read.collect::<std::io::Result<_>>()?);
    }
    let _ = std::fs::remove_dir_all(site.root.join(FOLDER));
    let [first, second] = seen.as_slice() else { return Ok(Found::fail("not built twice")) };
    let bytes: usize = first.iter().map(Vec::len).sum();
    Ok(Found::judged(
        first == second && bytes > 0,
        format!(
            "{} built twice from nothing in one place: {bytes} bytes, {}",
            programs(site).join(" "),
            if first == second { "identical" } else { "different" }
        ),
    ))
}

/// X7: everything is there before, and then no network is.
pub(super) fn offline(site: &Site<'_>) -> std::io::Result<Found> {
    if !installed("unshare") {
        return Ok(Found::not_reached("unshare is missing: no namespace without a network"));
    }
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("source");
    let cloned = Command::new("git")
        .args(["clone", "--quiet"])
        .arg(site.root)
        .arg(&copy)
        .stdin(Stdio::null())
        .status()?;
    let vendored =
        cargo(&copy).args(["vendor", "--locked", "--versioned-dirs"]).stdin(Stdio::null()).output()?;
    if !cloned.success() || !vendored.status.success() {
        return Ok(Found::not_reached("the sources of the dependencies can't be fetched here"));
    }
    let settings = copy.join(".cargo").join("config.toml");
    let mut text = std::fs::read_to_string(&settings).unwrap_or_default();
    text.push_str(&String::from_utf8_lossy(&vendored.stdout));
    std::fs::write(&settings, text)?;
    let packages = std::fs::read_dir(copy.join("vendor"))?.count();
    // A user namespace, so that no rights are needed, and in it a network namespace where not even
    // loopback is up.
    let mut alone = Command::new("unshare");
    alone
        .args(["--user", "--map-root-user", "--net"])
        .arg(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    alone.env("CARGO_NET_OFFLINE", "true");
    let found = built(site, &copy, alone)?;
    let _ = std::fs::remove_dir_all(site.root.join(FOLDER));
    Ok(Found::judged(
        found.is_some(),
        format!(
            "{} built from {packages} vendored packages in a namespace without a network",
            programs(site).join(" ")
        ),
    ))
}

/// X6: the bill of materials agrees with the lock file; and with what a program carries, where
/// cargo-auditable is here.
pub(super) fn materials(site: &Site<'_>) -> std::io::Result<Found> {
    let bill = bill(site)?;
    let listed: BTreeSet<String> = bill
        .get("components")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|component| component.get("purl").and_then(Value::as_str).map(str::to_owned))
        .collect();
    let locked: BTreeSet<String> = locked(site)?.iter().map(Locked::url).collect();
    if listed != locked || listed.is_empty() {
        return Ok(Found::fail(format!(
            "{} components, {} packages in the lock file",
            listed.len(),
            locked.len()
        )));
    }
    let figure = format!("{} components, the lock file's, each with its hash", listed.len());
    if !installed_for_cargo("cargo-auditable") {
        return Ok(Found::not_reached(format!(
            "{figure}; auditable program: cargo-auditable isn't installed (`cargo install cargo-auditable --locked`)"
        )));
    }
    let mut auditable = cargo(site.root);
    auditable.arg("auditable");
    let Some(folder) = built(site, site.root, auditable)? else {
        return Ok(Found::fail("it does not build with cargo-auditable"));
    };
    let program = std::fs::read(folder.join("parsecctl")).unwrap_or_default();
    let _ = std::fs::remove_dir_all(site.root.join(FOLDER));
    let carries = program.windows(AUDITABLE.len()).any(|window| window == AUDITABLE);
    Ok(Found::judged(carries, format!("{figure}; parsecctl carries its own list: {carries}")))
}

/// The section of a program that cargo-auditable fills.
const AUDITABLE: &[u8] = b".dep-v0";
