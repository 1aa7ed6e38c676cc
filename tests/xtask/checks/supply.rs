//! What the programs are made of, as far as it can be read without building: licences, sources,
//! versions, features, unsafe code, secrets, and the bill of materials.
//!
//! Decides which licences and versions are taken, and which features of the cryptography must be
//! on. Refuses a source other than crates.io.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use parsec_tests::installed;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Found, Site};
use crate::run_tests::cargo;

/// The lowest version of a line of versions in which the holes known to us are closed.
const MINIMUMS: &[(&str, [u64; 3])] = &[
    ("age", [0, 11, 1]),
    ("curve25519-dalek", [4, 1, 3]),
    ("ed25519-dalek", [2, 0, 0]),
    ("h2", [0, 4, 16]),
    ("hickory-proto", [0, 26, 1]),
    ("libp2p-gossipsub", [0, 50, 1]),
    ("quinn-proto", [0, 11, 15]),
    ("rustls-webpki", [0, 103, 13]),
    ("snow", [0, 9, 5]),
    ("yamux", [0, 13, 10]),
];

/// What those versions close, looked up by hand: nobody can fetch the databases from every machine.
const ADVISORIES: &[&str] = &[
    "RUSTSEC-2024-0011",
    "RUSTSEC-2024-0344",
    "RUSTSEC-2024-0433",
    "RUSTSEC-2022-0084",
    "RUSTSEC-2022-0009",
    "RUSTSEC-2022-0093",
    "GHSA-g3g5-x568-qvqx",
];

/// Features of packages that keep secrets short-lived: the newest version of each that is linked
/// must have them.
const FEATURES: &[(&str, &str)] = &[
    ("ed25519-dalek", "zeroize"),
    ("x25519-dalek", "zeroize"),
    ("curve25519-dalek", "zeroize"),
    ("chacha20poly1305", "zeroize"),
    ("hmac", "zeroize"),
    ("sha2", "zeroize"),
    ("sha3", "zeroize"),
    ("ml-kem", "zeroize"),
    ("libsqlite3-sys", "bundled-sqlcipher-vendored-openssl"),
];

/// Beginnings of secrets that tools write: none has a reason to stand in a source or its history.
/// Split, so that this file has none.
const SECRETS: &[(&str, &str)] = &[
    ("AGE-SECRET-", "KEY-1"),
    ("-----BEGIN OPENSSH ", "PRIVATE KEY-----"),
    ("-----BEGIN RSA ", "PRIVATE KEY-----"),
    ("-----BEGIN EC ", "PRIVATE KEY-----"),
    ("-----BEGIN ", "PRIVATE KEY-----"),
    ("ghp", "_"),
    ("github", "_pat_"),
    ("AKI", "A"),
    ("xox", "b-"),
    ("glpa", "t-"),
];

/// X1: licences and sources of every package; advisories where the tool and its database are here.
pub(super) fn policy(site: &Site<'_>) -> std::io::Result<Found> {
    let metadata = metadata(site)?;
    if installed_for_cargo("cargo-deny") {
        return denied(site, packages(&metadata).count());
    }
    let licences = licences(&std::fs::read_to_string(site.root.join("deny.toml"))?)?;
    let mut wrong = Vec::new();
    let mut count = 0;
    for package in packages(&metadata) {
        let text = |key: &str| package.get(key).and_then(Value::as_str).unwrap_or_default();
        let source = text("source");
        if source.is_empty() {
            continue;
        }
        count += 1;
        if source != "registry+https://github.com/rust-lang/crates.io-index" {
            wrong.push(format!("{} comes from {source}", text("name")));
        }
        if !offered(text("license"), &licences) {
            wrong.push(format!("{} is under {}", text("name"), text("license")));
        }
    }
    if !wrong.is_empty() {
        return Ok(Found::fail(wrong.join(", ")));
    }
    let read = format!("{count} packages, all of crates.io, all licences taken");
    if !installed_for_cargo("cargo-audit") {
        return Ok(Found::not_reached(format!(
            "{read}; advisories: cargo-audit isn't installed (`cargo install cargo-audit --locked`)"
        )));
    }
    let audit = cargo(site.root).args(["audit", "--quiet"]).stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&audit.stderr).into_owned();
    if audit.status.success() {
        return Ok(Found::pass(format!("{read}; cargo audit: 0 open")));
    }
    if said.contains("couldn't fetch")
        || said.contains("failed to fetch")
        || said.contains("I/O")
        || said.contains("git")
    {
        return Ok(Found::not_reached(format!("{read}; advisories: their database can't be fetched here")));
    }
    Ok(Found::fail(format!("cargo audit: {}", String::from_utf8_lossy(&audit.stdout).trim())))
}

/// What cargo-deny says by deny.toml; advisories apart, since their database may be out of reach.
fn denied(site: &Site<'_>, count: usize) -> std::io::Result<Found> {
    let check = |what: &[&str]| {
        let mut command = cargo(site.root);
        command.args(["deny", "--all-features", "check"]).args(what).stdin(Stdio::null()).output()
    };
    let said = check(&["licenses", "bans", "sources"])?;
    if !said.status.success() {
        return Ok(Found::fail(format!("cargo deny: {}", String::from_utf8_lossy(&said.stderr).trim())));
    }
    let read = format!("{count} packages, licences and sources as deny.toml has them");
    let said = check(&["advisories"])?;
    let text = String::from_utf8_lossy(&said.stderr);
    if said.status.success() {
        return Ok(Found::pass(format!("{read}; cargo deny: 0 advisories open")));
    }
    if text.contains("failed to fetch") || text.contains("failed to load advisory database") {
        return Ok(Found::not_reached(format!("{read}; advisories: their database can't be fetched here")));
    }
    Ok(Found::fail(format!("cargo deny: {}", text.trim())))
}

/// The licences that deny.toml takes.
fn licences(deny: &str) -> std::io::Result<Vec<String>> {
    let table: toml::Table = deny.parse().map_err(std::io::Error::other)?;
    let allow = table.get("licenses").and_then(|part| part.get("allow")).and_then(toml::Value::as_array);
    let names = allow.into_iter().flatten().filter_map(toml::Value::as_str);
    Ok(names.map(str::to_owned).collect())
}

/// Whether one of the licences offered, in each part that must be taken, is one we take.
fn offered(expression: &str, licences: &[String]) -> bool {
    let expression = expression.replace('/', " OR ");
    // Brackets only ever group alternatives within a list of parts in the expressions there are: a
    // part is good if any word of it is.
    !expression.trim().is_empty()
        && expression.split(" AND ").all(|part| {
            part.trim_matches(['(', ')', ' '])
                .split(" OR ")
                .any(|one| licences.iter().any(|taken| taken == one.trim_matches(['(', ')', ' '])))
        })
}

/// X2: versions in the lock file.
pub(super) fn versions(site: &Site<'_>) -> std::io::Result<Found> {
    let locked = locked(site)?;
    let mut low = Vec::new();
    let mut checked = BTreeSet::new();
    for Locked { name, version, .. } in &locked {
        for (known, least) in MINIMUMS {
            if name == known {
                checked.insert(*known);
                if number(version) < *least {
                    low.push(format!("{name} {version}"));
                }
            }
        }
    }
    let absent: Vec<&str> =
        MINIMUMS.iter().map(|(name, _)| *name).filter(|name| !checked.contains(name)).collect();
    let figure = format!(
        "{} packages at or above their minimum, {} not in the lock file ({}), {} advisories looked up by hand",
        checked.len(),
        absent.len(),
        absent.join(" "),
        ADVISORIES.len()
    );
    Ok(if low.is_empty() { Found::pass(figure) } else { Found::fail(format!("too old: {}", low.join(", "))) })
}

/// X4: unsafe code of our own.
pub(super) fn unsafe_code(site: &Site<'_>) -> std::io::Result<Found> {
    let manifest = std::fs::read_to_string(site.root.join("Cargo.toml"))?;
    let tracked = git(site, &["ls-files", "*.rs", "*Cargo.toml"])?;
    let (mut files, mut crates, mut exceptions) = (0, 0, Vec::new());
    for path in tracked.lines() {
        let text = std::fs::read_to_string(site.root.join(path))?;
        if path.ends_with(".rs") {
            files += 1;
            let mentions =
                ["allow(unsafe", "expect(unsafe", "unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"];
            // This file has them as text.
            if path != "tests/xtask/checks/supply.rs" && mentions.iter().any(|mention| text.contains(mention))
            {
                exceptions.push(path.to_owned());
            }
        } else if path.contains('/') {
            crates += 1;
            if !text.contains("[lints]\nworkspace = true") {
                exceptions.push(path.to_owned());
            }
        }
    }
    let forbidden = manifest.contains("unsafe_code = \"forbid\"");
    Ok(Found::judged(
        forbidden && exceptions.is_empty() && files > 0,
        format!(
            "forbidden in {crates} crates, {files} files; exceptions: {} {}",
            exceptions.len(),
            exceptions.join(" ")
        ),
    ))
}

/// X8: features of the cryptography that a new version of a dependency might turn off.
pub(super) fn features(site: &Site<'_>) -> std::io::Result<Found> {
    let metadata = metadata(site)?;
    let mut newest: BTreeMap<&str, ([u64; 3], BTreeSet<&str>)> = BTreeMap::new();
    let names: BTreeMap<&str, (&str, &str)> = packages(&metadata)
        .filter_map(|package| {
            let text = |key: &str| package.get(key).and_then(Value::as_str);
            Some((text("id")?, (text("name")?, text("version")?)))
        })
        .collect();
    for node in metadata.pointer("/resolve/nodes").and_then(Value::as_array).into_iter().flatten() {
        let Some((name, version)) = node.get("id").and_then(Value::as_str).and_then(|id| names.get(id))
        else {
            continue;
        };
        let features =
            node.get("features").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let version = number(version);
        let entry = newest.entry(name).or_default();
        if version >= entry.0 {
            *entry = (version, features.collect());
        }
    }
    let missing: Vec<String> = FEATURES
        .iter()
        .filter(|(package, feature)| {
            newest.get(package).is_none_or(|(_, features)| !features.contains(feature))
        })
        .map(|(package, feature)| format!("{package}/{feature}"))
        .collect();
    // Strict verification is a function's name, not a feature: it is called in one place, and the
    // lax one nowhere.
    let sources = git(
        site,
        &[
            "grep",
            "-n",
            "verify_strict\\|\\.verify(message\\|verify_prehashed",
            "--",
            "protocol/src",
            "daemon/src",
            "server/src",
        ],
    )?;
    let strict = sources.lines().filter(|line| line.contains(".verify_strict(")).count();
    let lax = sources
        .lines()
        .filter(|line| line.contains("verify_prehashed") || line.contains(".verify(message"))
        .count();
    Ok(Found::judged(
        missing.is_empty() && strict == 1 && lax == 0,
        format!(
            "{} features on, missing: {}; strict verification called in {strict} place, another in {lax}",
            FEATURES.len() - missing.len(),
            if missing.is_empty() { "none".to_owned() } else { missing.join(" ") }
        ),
    ))
}

/// X9: secrets in the files and in their history.
pub(super) fn secrets(site: &Site<'_>) -> std::io::Result<Found> {
    let history = git(site, &["log", "--all", "-p", "--no-color", "--unified=0", "--no-ext-diff", "--text"])?;
    let commits = git(site, &["rev-list", "--all", "--count"])?;
    let mut hits = Vec::new();
    for (first, second) in SECRETS {
        let needle = format!("{first}{second}");
        for line in history.lines().filter(|line| line.starts_with('+')) {
            // What follows must look like a secret: text about such a beginning is no secret.
            if line.split(&needle).skip(1).any(|rest| looks_secret(rest, &needle)) {
                hits.push(format!("{needle}…"));
            }
        }
    }
    let lines = history.lines().count();
    Ok(Found::judged(
        hits.is_empty() && lines > 0,
        format!(
            "{} kinds of secret, {} commits, {lines} lines: {} found {}",
            SECRETS.len(),
            commits.trim(),
            hits.len(),
            hits.join(" ")
        ),
    ))
}

/// Whether what follows a secret's beginning is one: a block of base64 on the next line for keys,
/// else 16 signs of a token.
fn looks_secret(rest: &str, needle: &str) -> bool {
    if needle.starts_with("-----") {
        // The key itself stands on the lines below; its head alone, with nothing behind it, is what
        // such a file has.
        return rest.trim().is_empty();
    }
    rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_' || *c == '-').count() >= 16
}

/// A package of the lock file.
pub(super) struct Locked {
    name: String,
    version: String,
    /// SHA-256 of what crates.io has of it, hexadecimal; our own have none.
    checksum: Option<String>,
}

impl Locked {
    /// Its package URL.
    pub(super) fn url(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version)
    }
}

/// Every package of the lock file.
pub(super) fn locked(site: &Site<'_>) -> std::io::Result<Vec<Locked>> {
    let text = std::fs::read_to_string(site.root.join("Cargo.lock"))?;
    let table: toml::Table = text.parse().map_err(std::io::Error::other)?;
    let packages = table.get("package").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let read = |package: &toml::Value| {
        let text = |key: &str| package.get(key).and_then(toml::Value::as_str).map(str::to_owned);
        Some(Locked { name: text("name")?, version: text("version")?, checksum: text("checksum") })
    };
    Ok(packages.iter().filter_map(read).collect())
}

/// A package as the bill of materials has it.
#[derive(Serialize)]
struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref")]
    reference: String,
    name: String,
    version: String,
    purl: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    licenses: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hashes: Option<Value>,
}

/// Everything in the lock file as CycloneDX 1.5, with hashes, and licences where this platform's
/// packages say them.
pub(super) fn bill(site: &Site<'_>) -> std::io::Result<Value> {
    let metadata = metadata(site)?;
    let mut components = Vec::new();
    for package in locked(site)? {
        let known = packages(&metadata).find(|known| {
            known.get("name").and_then(Value::as_str) == Some(package.name.as_str())
                && known.get("version").and_then(Value::as_str) == Some(package.version.as_str())
        });
        let licence = known.and_then(|known| known.get("license")).and_then(Value::as_str);
        components.push(Component {
            kind: "library",
            reference: package.url(),
            purl: package.url(),
            licenses: licence.map(|licence| json!([{ "expression": licence.replace('/', " OR ") }])),
            hashes: package.checksum.map(|sum| json!([{ "alg": "SHA-256", "content": sum }])),
            name: package.name,
            version: package.version,
        });
    }
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": { "type": "application", "name": "parsec" } },
        "components": components,
    }))
}

/// The first three numbers of a version.
fn number(version: &str) -> [u64; 3] {
    let mut numbers = version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
    [(); 3].map(|()| numbers.next().unwrap_or(0))
}

/// What cargo says about this platform's packages.
pub(super) fn metadata(site: &Site<'_>) -> std::io::Result<Value> {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut command = cargo(site.root);
    command.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &platform]);
    let output = command.stdin(Stdio::null()).output()?;
    serde_json::from_slice(&output.stdout).map_err(std::io::Error::other)
}

/// The packages in what cargo says.
pub(super) fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata.get("packages").and_then(Value::as_array).into_iter().flatten()
}

fn git(site: &Site<'_>, arguments: &[&str]) -> std::io::Result<String> {
    let output =
        Command::new("git").arg("-C").arg(site.root).args(arguments).stdin(Stdio::null()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether cargo has a command that was installed with it.
pub(super) fn installed_for_cargo(program: &str) -> bool {
    let home = std::env::var_os("CARGO_HOME")
        .map(std::path::PathBuf::from)
        .or_else(|| Some(std::path::PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    installed(program) || home.is_some_and(|home| home.join("bin").join(program).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_is_taken_if_each_part_offers_one_we_take() {
        let taken = licences("[licenses]\nallow = [\"MIT\", \"Apache-2.0\", \"Unicode-3.0\"]").unwrap();
        for good in
            ["MIT", "MIT/Apache-2.0", "(MIT OR Apache-2.0) AND Unicode-3.0", "Apache-2.0 OR GPL-2.0-only"]
        {
            assert!(offered(good, &taken), "{good}");
        }
        for bad in ["", "GPL-3.0-only", "MIT AND GPL-3.0-only", "AGPL-3.0"] {
            assert!(!offered(bad, &taken), "{bad}");
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(number("0.103.9") < [0, 103, 13]);
        assert!(number("0.5.0-alpha") >= [0, 5, 0]);
        assert!(number("4.1.3+x") >= [4, 1, 3]);
    }

    /// The mutants of the search: what it must find, and what it must not take for one.
    #[test]
    fn a_secret_is_told_from_text_about_it() {
        assert!(looks_secret("0123456789abcdefGHIJ rest", "ghp_"));
        assert!(!looks_secret("` is how they begin", "ghp_"));
        assert!(looks_secret("", "-----BEGIN X PRIVATE KEY-----"));
        assert!(!looks_secret("\",", "-----BEGIN X PRIVATE KEY-----"));
    }
}
