//! The test vectors of link, codes, commitments, channel and whole ceremonies, in `tests/vectors/`.
//!
//! Decides that each file is judged as it says, by the layer it names, and that the files are what
//! `make` makes of the present code: a change of any format shows as a changed file in review. To
//! write them again after a change that is meant:
//! `PARSEC_VECTORS=write cargo test -p parsec-protocol --test vectors_enrol`, then look at the
//! difference.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod ceremony;
mod check;
mod make;
#[path = "../support/vectors.rs"]
mod vectors;

#[test]
fn the_files_are_what_the_code_makes() {
    vectors::assert_made(check::LAYERS, make::all());
}

#[test]
fn every_file_is_judged_as_it_says() {
    vectors::assert_judged(check::LAYERS, check::judge);
}
