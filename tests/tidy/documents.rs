//! The rules about documents: each is in the index, the glossary names code that is there, and
//! words that are gone stay gone.
//!
//! Decides by exact lists. Refuses a document that no reader is led to, a place in the code that
//! has moved away, and an old name beside the new one: two words for one thing cost every reader
//! the question whether they are two things.

use std::path::Path;

use super::Finding;
use super::comments::too_little;

/// Words that are gone, each with what to say instead and where it is refused. Whoever renames
/// something adds a line here. A word matches whole and in any case; code in backticks and in
/// fenced blocks counts as code, not as prose.
const GONE: &[Gone] = &[
    Gone { word: "direct road", instead: "peer-to-peer transport, or connection", at: PROSE, but: ERRORS },
    Gone { word: "road", instead: "transport", at: PROSE, but: ERRORS },
    Gone { word: "roads", instead: "transports", at: PROSE, but: &[] },
    Gone { word: "terminal", instead: "device, where a machine is meant", at: PROSE, but: TTY },
    Gone { word: "terminals", instead: "devices, where machines are meant", at: PROSE, but: TTY },
    Gone { word: "another past", instead: "fork, or rollback", at: PROSE, but: ERRORS },
    Gone { word: "does not check", instead: "fails verification", at: PROSE, but: ERRORS },
    Gone { word: "evidence.md", instead: "assurance.md", at: &[""], but: &["tests/tidy/documents.rs"] },
    Gone { word: "direct-road.md", instead: "peer-to-peer.md", at: &[""], but: &["tests/tidy/documents.rs"] },
];

/// A word that is gone.
struct Gone {
    word: &'static str,
    instead: &'static str,
    /// Beginnings of the paths where it is refused; `""` is everywhere.
    at: &'static [&'static str],
    /// Paths, or parts of a line, in which it is right all the same.
    but: &'static [&'static str],
}

/// What people read.
const PROSE: &[&str] = &[
    "docs/",
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "RELEASING.md",
    "packaging/README.md",
    "systemd/",
];

/// Lines in which a terminal is one with a keyboard, and documents that show what programs print.
const TTY: &[&str] = &[
    "docs/man/",
    "terminal emulator",
    "two real terminals",
    "(a TTY)",
    "on a terminal",
    "terminal window",
    "Terminal 1",
    "Terminal 2",
    "terminal 1",
    "in two terminals",
    "both terminals find",
    "steer the terminal",
    "terminal's echo",
    "the shell has the terminal",
    "at this terminal",
    "there is a terminal",
    "terminal, it says why",
    "in this terminal",
    "terminal's font",
    "in a terminal",
    "its terminal",
    "the terminal's own",
    "terminal that is stopped with SIGSTOP",
    "(a terminal,",
    "when this terminal is gone",
    "wider than the terminal",
    "terminal is closed",
    "opens a terminal",
    "| yes | 7",
    "| no | 6",
    "| no | 7",
];

/// Tables of what programs print, which a test compares with the programs.
const ERRORS: &[&str] = &["| yes | 7", "| no | 6", "| no | 7"];

/// Checks the texts of a repository at `root`.
pub(crate) fn check(root: &Path, files: &[(String, String)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    index(files, &mut findings);
    glossary(root, files, &mut findings);
    for (path, text) in files {
        descriptions(path, text, &mut findings);
        findings.extend(gone(path, text));
    }
    findings
}

fn text<'a>(files: &'a [(String, String)], path: &str) -> &'a str {
    files.iter().find(|(name, _)| name == path).map_or("", |(_, text)| text)
}

/// Every document is in the index, or in a folder that is.
fn index(files: &[(String, String)], findings: &mut Vec<Finding>) {
    let index = text(files, "docs/README.md");
    for (path, _) in files {
        let Some(name) =
            path.strip_prefix("docs/").filter(|name| name.ends_with(".md") && *name != "README.md")
        else {
            continue;
        };
        let folder = name.rsplit_once('/').map(|(folder, _)| format!("]({folder}/)"));
        let there =
            index.contains(&format!("]({name})")) || folder.is_some_and(|folder| index.contains(&folder));
        if !there {
            let reason = "a document that the index doesn't name is found by nobody";
            findings.push(Finding::new(path, 1, "is not in docs/README.md".into(), reason));
        }
    }
}

/// What stands in backticks in the glossary and looks like a place in the code is one.
fn glossary(root: &Path, files: &[(String, String)], findings: &mut Vec<Finding>) {
    let path = "docs/glossary.md";
    for (number, line) in text(files, path).lines().enumerate() {
        for place in line.split('`').skip(1).step_by(2) {
            let there = if place.contains("::") {
                module(files, place)
            } else {
                let file = place.contains('/') && !place.starts_with('/') && !place.contains(' ');
                !file || root.join(place).exists()
            };
            if !there {
                let reason = "a glossary that points at code that has moved misleads whoever trusts it";
                findings.push(Finding::new(
                    path,
                    number + 1,
                    format!("names `{place}`, which is not there"),
                    reason,
                ));
            }
        }
    }
}

/// Whether `crate::module::Item` names files of the crate's folder, and at the end an item of the
/// last of them.
fn module(files: &[(String, String)], place: &str) -> bool {
    let mut parts = place.trim_start_matches("parsec_").split("::");
    let mut folder = format!("{}/src", parts.next().unwrap_or_default());
    let mut item = "";
    for part in parts {
        let deeper = format!("{folder}/{part}");
        let is_module = files
            .iter()
            .any(|(path, _)| *path == format!("{deeper}.rs") || path.starts_with(&format!("{deeper}/")));
        if !is_module {
            item = part;
            break;
        }
        folder = deeper;
    }
    let own = [format!("{folder}.rs"), format!("{folder}/mod.rs")];
    item.is_empty()
        || files.iter().filter(|(path, _)| own.contains(path)).any(|(_, text)| {
            let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            words.contains(&item)
        })
}

/// What a line of a schema says to people.
fn described(line: &str) -> Option<&str> {
    let (key, said) = line.trim_start().split_once(": ")?;
    ["\"description\"", "\"summary\""].contains(&key).then(|| said.trim_matches([',', '"']))
}

/// What the schemas say to people is more than a pronoun.
fn descriptions(path: &str, text: &str, findings: &mut Vec<Finding>) {
    if !(path.starts_with("docs/") && path.ends_with(".json")) {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        if let Some(what) = described(line).and_then(|said| too_little(said, true)) {
            let what = what.replace("doc comment", "description");
            findings.push(Finding::new(
                path,
                number + 1,
                what,
                "programs are written from these schemas alone",
            ));
        }
    }
}

/// The words that are gone and are in a text all the same.
pub(crate) fn gone(path: &str, text: &str) -> Vec<Finding> {
    let schema = path.starts_with("docs/") && path.ends_with(".json");
    let read = path.ends_with(".md") || path.starts_with("systemd/") || schema;
    let rules: Vec<&Gone> = GONE
        .iter()
        .filter(|gone| read || gone.at == [""])
        .filter(|gone| gone.at.iter().any(|at| path.starts_with(at)))
        .filter(|gone| !gone.but.iter().any(|but| but.contains('/') && path.starts_with(but)))
        .collect();
    if rules.is_empty() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if schema && described(line).is_none() {
            continue;
        }
        for gone in &rules {
            let name = gone.word.contains('.');
            if fenced && !name || gone.but.iter().any(|but| line.contains(but)) {
                continue;
            }
            let prose =
                if name { line.to_owned() } else { line.split('`').step_by(2).collect::<Vec<_>>().join("`") };
            if has_word(&prose.to_lowercase(), gone.word) {
                let what = format!("says `{}`: say {}", gone.word, gone.instead);
                findings.push(Finding::new(
                    path,
                    number + 1,
                    what,
                    "two words for one thing look like two things",
                ));
            }
        }
    }
    findings
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let letter = |c: char| c.is_alphanumeric() || c == '_';
        let before = line.get(..at).unwrap_or_default().chars().next_back();
        let after = line.get(at + word.len()..).unwrap_or_default().chars().next();
        !before.is_some_and(letter) && !after.is_some_and(letter)
    })
}
