//! What both suites of test vectors do with their files in `tests/vectors/`: write them when
//! ordered, compare, judge.
//!
//! Decides that a suite's files are exactly those it makes, and that each says what its layer
//! really answers. A suite owns the files whose names begin with one of its layers; the rest belong
//! to the other.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors")
}

fn files(layers: &[&str]) -> BTreeMap<String, String> {
    let ours = |name: &str| layers.iter().any(|layer| name.starts_with(&format!("{layer}-")));
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

/// The files of `layers` are what the present code makes; on order they are written first.
pub(crate) fn assert_made(layers: &[&str], made: BTreeMap<String, Value>) {
    let made: BTreeMap<_, _> =
        made.into_iter().map(|(name, value)| (format!("{name}.json"), value)).collect();
    if writing() {
        files(layers).keys().filter(|name| !made.contains_key(*name)).for_each(|name| {
            fs::remove_file(folder().join(name)).unwrap();
        });
        for (name, value) in &made {
            let text = serde_json::to_string_pretty(value).unwrap() + "\n";
            fs::write(folder().join(name), text).unwrap();
        }
    }
    let files = files(layers);
    assert!(files.keys().eq(made.keys()), "other files than are made: see the head of this test");
    for (name, value) in &made {
        let file: Value = serde_json::from_str(&files[name]).unwrap();
        assert_eq!(&file, value, "{name} is not what the code makes: see the head of this test");
    }
}

/// Each file of `layers` is judged, by the layer it names, as it says.
pub(crate) fn assert_judged(layers: &[&str], judge: impl Fn(&str, &Value) -> Result<Value, Value>) {
    if writing() {
        return;
    }
    for (name, text) in files(layers) {
        let vector: Value = serde_json::from_str(&text).unwrap();
        let layer = vector["layer"].as_str().unwrap();
        assert!(name.starts_with(&format!("{layer}-")), "{name}");
        let found = match judge(layer, &vector["given"]) {
            Ok(gives) => json!({"refuse": null, "gives": gives}),
            Err(refuse) => json!({"refuse": refuse, "gives": null}),
        };
        let said = json!({"refuse": vector["refuse"], "gives": vector["gives"]});
        assert_eq!(found, said, "{name}");
    }
}
