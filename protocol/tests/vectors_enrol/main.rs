//! The test vectors of link, codes, commitments, channel and whole ceremonies, in `tests/vectors/`.
//!
//! Decides that each file is judged as it says, by the layer it names, and that the files are what `make` makes of the
//! present code: a change of any format shows as a changed file in review. To write them again after a change that
//! is meant: `PARSEC_VECTORS=write cargo test -p parsec-protocol --test vectors_enrol`, then look at the difference.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod ceremony;
mod check;
mod make;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors")
}

/// File names begin with the layer; other layers' files belong to other tests.
fn ours(name: &str) -> bool {
    check::LAYERS.iter().any(|layer| name.starts_with(&format!("{layer}-")))
}

fn files() -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let named = entries.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path));
    named
        .filter(|(name, _)| ours(name))
        .map(|(name, path)| (name, fs::read_to_string(path).unwrap()))
        .collect()
}

/// Whether this run writes the files rather than reads them.
fn writing() -> bool {
    std::env::var("PARSEC_VECTORS").is_ok_and(|order| order == "write")
}

#[test]
fn the_files_are_what_the_code_makes() {
    let made: BTreeMap<_, _> =
        make::all().into_iter().map(|(name, value)| (format!("{name}.json"), value)).collect();
    if writing() {
        files().keys().filter(|name| !made.contains_key(*name)).for_each(|name| {
            fs::remove_file(folder().join(name)).unwrap();
        });
        for (name, value) in &made {
            let text = serde_json::to_string_pretty(value).unwrap() + "\n";
            fs::write(folder().join(name), text).unwrap();
        }
    }
    let files = files();
    assert!(files.keys().eq(made.keys()), "other files than are made: see the head of this test");
    for (name, value) in &made {
        let file: Value = serde_json::from_str(&files[name]).unwrap();
        assert_eq!(&file, value, "{name} is not what the code makes: see the head of this test");
    }
}

#[test]
fn every_file_is_judged_as_it_says() {
    if writing() {
        return;
    }
    for (name, text) in files() {
        let vector: Value = serde_json::from_str(&text).unwrap();
        let layer = vector["layer"].as_str().unwrap();
        assert!(name.starts_with(&format!("{layer}-")), "{name}");
        let found = match check::judge(layer, &vector["given"]) {
            Ok(gives) => json!({"refuse": null, "gives": gives}),
            Err(refuse) => json!({"refuse": refuse, "gives": null}),
        };
        let said = json!({"refuse": vector["refuse"], "gives": vector["gives"]});
        assert_eq!(found, said, "{name}");
    }
}
