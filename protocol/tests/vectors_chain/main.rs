//! The test vectors of encoding, certificates, log, names, addresses, hints, manifest, requests,
//! receipts, keys, boxes and recovery kits, in `tests/vectors/`.
//!
//! Decides that each file is judged as it says, by the layer it names, and that the files are what
//! `make` makes of the present code: a change of any format shows as a changed file in review. To
//! write them again after a change that is meant:
//! `PARSEC_VECTORS=write cargo test -p parsec-protocol --test vectors_chain`, then look at the
//! difference.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod certificates;
mod check;
mod codec;
mod directory;
#[path = "../support/hpke_reference.rs"]
mod hpke_reference;
mod kits;
mod logs;
mod make;
mod sealing;
mod seals;
mod signatures;
mod splits;
#[path = "../support/mod.rs"]
mod support;
mod texts;
mod user_keys;
#[path = "../support/vectors.rs"]
mod vectors;

use std::collections::BTreeSet;

#[test]
fn the_files_are_what_the_code_makes() {
    vectors::assert_made(check::LAYERS, make::all());
}

#[test]
fn every_file_is_judged_as_it_says() {
    vectors::assert_judged(check::LAYERS, check::judge);
}

#[test]
fn every_layer_is_shown_accepting_and_refusing() {
    let vectors = make::all();
    for layer in check::LAYERS {
        let of_layer = || vectors.values().filter(|vector| vector["layer"] == *layer);
        assert!(of_layer().any(|vector| vector["refuse"].is_null()), "{layer} accepts something");
        assert!(of_layer().any(|vector| !vector["refuse"].is_null()), "{layer} refuses something");
    }
}

#[test]
fn every_fault_of_the_log_has_a_file() {
    let vectors = make::all();
    let log = vectors.values().filter(|vector| vector["layer"] == "log");
    let shown: BTreeSet<_> = log.filter_map(|vector| vector["refuse"]["fault"].as_str()).collect();
    let missing: Vec<_> = check::FAULTS.iter().filter(|fault| !shown.contains(*fault)).collect();
    // A log that is full and a user with 200 devices would be large files; log_members.rs and
    // verify.rs show them.
    assert_eq!(missing, [&"LogFull", &"TooManyDevices"]);
}
