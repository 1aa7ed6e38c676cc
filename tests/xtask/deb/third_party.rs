//! The libraries of others that are linked into the programs: name, version, licence, from
//! `cargo metadata`.
//!
//! Decides which count: what the three programs are linked with, not what builds or tests them. The
//! licences themselves come with it, each once. Refuses a list that is empty, or without the
//! libraries in C, whose source lies a folder deeper.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::{At as _, Failure, tool};

/// Files of a crate that hold its licence or the notices it wants passed on.
const LICENCE_FILES: &[&str] = &["licen", "copying", "copyright", "notice", "unlicense"];
/// More is no licence: the longest usual one, the GPL, has 35 KB.
const LICENCE_MAX_BYTES: u64 = 128 * 1024;
/// Crates that only build, but whose own source ends up in the programs: OpenSSL's, for SQLCipher.
const SOURCES: &[&str] = &["openssl-src"];

/// The list, as text.
pub(super) fn list(root: &Path) -> Result<String, Failure> {
    let mut cargo = crate::run_tests::cargo(root);
    // Only this platform's crates have been fetched.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    cargo.args([
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--offline",
        "--filter-platform",
        &platform,
    ]);
    let text = tool(&mut cargo)?;
    let metadata: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::Refused(format!("cargo metadata can't be read: {error}")))?;
    let linked = linked(&metadata);
    let mut lines = String::new();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in metadata.get("packages").and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| package.get(key).and_then(Value::as_str).unwrap_or_default();
        // Our own have no source.
        if !linked.contains(text("id")) || text("source").is_empty() {
            continue;
        }
        let name = format!("{} {}", text("name"), text("version"));
        lines.push_str(&format!("{name}: {}\n", text("license")));
        let folder = Path::new(text("manifest_path")).parent().unwrap_or(root);
        for licence in licences(folder, true)? {
            texts.entry(licence).or_default().push(name.clone());
        }
    }
    for needed in ["libsqlite3-sys ", "openssl-src "] {
        if !texts.values().flatten().any(|name| name.starts_with(needed)) {
            return Err(Failure::Refused(format!("no licence was found of {needed}")));
        }
    }
    let mut sections: Vec<(String, String)> =
        texts.into_iter().map(|(licence, names)| (names.join(", "), licence)).collect();
    sections.sort();
    let mut out =
        format!("Linked into the programs of this package's source, with their licences:\n\n{lines}");
    for (names, licence) in sections {
        out.push_str(&format!("\n\n==== {names}\n\n{}\n", licence.trim_end()));
    }
    Ok(out)
}

/// Ids of the packages reached from our programs through ordinary dependencies of this platform.
fn linked(metadata: &Value) -> BTreeSet<String> {
    let nodes = metadata.pointer("/resolve/nodes").and_then(Value::as_array);
    let nodes: BTreeMap<&str, &Value> = nodes
        .into_iter()
        .flatten()
        .filter_map(|node| Some((node.get("id").and_then(Value::as_str)?, node)))
        .collect();
    let programs = ["parsecd", "parsecctl", "parsec-metadata"];
    let packages = metadata.get("packages").and_then(Value::as_array).into_iter().flatten();
    let mut open: Vec<&str> = packages
        .filter(|package| {
            package.get("source").is_none_or(Value::is_null)
                && package.get("name").and_then(Value::as_str).is_some_and(|name| programs.contains(&name))
        })
        .filter_map(|package| package.get("id").and_then(Value::as_str))
        .collect();
    let mut reached = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !reached.insert(id.to_owned()) {
            continue;
        }
        let dependencies = nodes.get(id).and_then(|node| node.get("deps")).and_then(Value::as_array);
        for dependency in dependencies.into_iter().flatten() {
            let kinds = dependency.get("dep_kinds").and_then(Value::as_array).into_iter().flatten();
            let ordinary = kinds.clone().any(|kind| kind.get("kind").is_none_or(Value::is_null));
            let name = dependency.get("name").and_then(Value::as_str).unwrap_or_default();
            let counts = ordinary || SOURCES.iter().any(|source| source.replace('-', "_") == name);
            if let (true, Some(id)) = (counts, dependency.get("pkg").and_then(Value::as_str)) {
                open.push(id);
            }
        }
    }
    reached
}

fn licences(folder: &Path, deeper: bool) -> Result<BTreeSet<String>, Failure> {
    let mut texts = BTreeSet::new();
    for entry in std::fs::read_dir(folder).at(folder.display())? {
        let path = entry.at(folder.display())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let metadata = path.symlink_metadata().at(path.display())?;
        let fits = LICENCE_FILES.iter().any(|start| name.starts_with(start));
        if metadata.is_dir() && deeper {
            texts.extend(licences(&path, false)?);
        } else if metadata.is_file() && fits && metadata.len() <= LICENCE_MAX_BYTES {
            let bytes = std::fs::read(&path).at(path.display())?;
            texts.insert(String::from_utf8_lossy(&bytes).replace('\r', ""));
        }
    }
    Ok(texts)
}
