//! The house rules, as tests: who imports whom, how long a file may be, who prints, who sees a
//! secret.
//!
//! Each finding quotes the reason for its rule. The rules themselves are tried on small bad inputs
//! below: a rule that can't fail is no rule.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/comments.rs"]
mod comments;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/samples.rs"]
mod the_rules_can_fail;
#[path = "tidy/words.rs"]
mod words;

use std::fs;
use std::path::Path;

use source::Source;

/// A broken rule: where, what, and why it is one.
#[derive(Debug)]
struct Finding {
    place: String,
    what: String,
    reason: &'static str,
}

impl Finding {
    fn new(path: &str, line: usize, what: String, reason: &'static str) -> Self {
        Self { place: format!("{path}:{line}"), what, reason }
    }
}

/// Every file of the repository that a person wrote, as text.
fn repository() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = entry.file_name().into_string().unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && name != "target" && name != ".git" {
                folders.push(path);
            } else if kind.is_file()
                && name != ".git"
                && name != "Cargo.lock"
                && let Ok(text) = fs::read_to_string(&path)
            {
                files.push((path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text));
            }
        }
    }
    files.sort();
    files
}

fn rust(files: &[(String, String)]) -> Vec<Source> {
    files
        .iter()
        .filter(|(path, _)| path.ends_with(".rs"))
        .map(|(path, text)| Source::new(path, text))
        .collect()
}

fn refuse(findings: &[Finding]) {
    let lines: Vec<String> =
        findings.iter().map(|f| format!("{} {}\n    because {}", f.place, f.what, f.reason)).collect();
    assert!(findings.is_empty(), "\n{}\n{} in all\n", lines.join("\n"), findings.len());
}

#[test]
fn rooms_import_only_what_they_may() {
    let files = repository();
    let manifests: Vec<_> = files.iter().filter(|(path, _)| path.ends_with("Cargo.toml")).cloned().collect();
    assert!(manifests.len() >= 7, "found only {} crates: is this the repository?", manifests.len());
    refuse(&imports::check(&rust(&files), &manifests));
}

#[test]
fn the_daemons_modules_import_in_one_direction() {
    refuse(&circles::check("daemon", &rust(&repository())));
}

#[test]
fn no_room_of_the_daemon_is_crowded() {
    refuse(&rules::crowded("daemon", &rust(&repository())));
}

#[test]
fn files_keep_the_house_rules() {
    let sources = rust(&repository());
    assert!(sources.len() > 20, "found only {} files: is this the repository?", sources.len());
    refuse(&rules::check(&sources));
}

#[test]
fn nothing_committed_names_the_machine_it_was_written_on() {
    let findings: Vec<_> =
        repository().iter().flat_map(|(path, text)| rules::check_text(path, text)).collect();
    refuse(&findings);
}

#[test]
fn comments_say_something_and_fit_a_screen() {
    refuse(&comments::check(&rust(&repository())));
}

#[test]
fn documents_lead_to_what_is_there_in_words_that_are_not_gone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    refuse(&documents::check(root, &repository()));
}

#[test]
fn names_and_comments_have_no_word_that_is_gone() {
    refuse(&words::gone_from_code(&rust(&repository())));
}
