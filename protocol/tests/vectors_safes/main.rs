//! The test vectors of what safes seal, in `tests/vectors/safes/`: one file for each construct,
//! with its faults.
//!
//! Decides that each vector is judged as it says, and that the files are what `make` makes of the
//! present code. To write them again after a change that is meant:
//! `PARSEC_VECTORS=write cargo test -p parsec-protocol --test vectors_safes`, then look at the
//! difference.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod check;
mod logs;
mod make;
#[path = "../support/safes.rs"]
mod safes;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

fn path_of(construct: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/vectors/safes/{construct}.json"))
}

#[test]
fn the_files_are_what_the_code_makes() {
    for (construct, made) in make::all() {
        let text = serde_json::to_string_pretty(&made).unwrap() + "\n";
        if std::env::var("PARSEC_VECTORS").is_ok_and(|order| order == "write") {
            fs::write(path_of(construct), &text).unwrap();
        }
        let file = fs::read_to_string(path_of(construct)).unwrap();
        assert!(file == text, "{construct} is not what the code makes: see the head of this test");
    }
}

#[test]
fn every_vector_is_judged_as_it_says() {
    for (construct, made) in make::all() {
        let vectors = made["vectors"].as_array().unwrap();
        for vector in vectors {
            let found = match check::judge(construct, &vector["given"], &made["bytes"]) {
                Ok(gives) => json!({"gives": gives, "refuse": null}),
                Err(refuse) => json!({"gives": null, "refuse": refuse}),
            };
            let said = json!({"gives": vector["gives"], "refuse": vector["refuse"]});
            assert_eq!(found, said, "{construct}: {}", vector["about"]);
        }
        let refused = |vector: &&Value| !vector["refuse"].is_null();
        assert!(vectors.iter().any(|vector| !refused(&vector)), "{construct} accepts something");
        assert!(vectors.iter().any(|vector| refused(&vector)), "{construct} refuses something");
    }
}
