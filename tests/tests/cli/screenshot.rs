//! The picture in the README shows what the programs show: it is made by `cargo xtask screenshots`,
//! and compared with a new enrolment.

use std::path::Path;

use parsec_tests::screenshot::{ceremony, skeleton, svg};

/// Said once, on the first screen that comes after the transport is known: which one that is depends
/// on who is quicker.
const TRANSPORT: &str = "Over the metadata server.";

/// What a picture says, but for what differs from run to run.
fn said(picture: &str) -> Vec<String> {
    let rows = svg::texts(picture);
    rows.iter().map(|row| skeleton(row)).filter(|row| row.trim() != TRANSPORT).collect()
}

#[test]
fn the_picture_of_the_ceremony_shows_what_the_programs_show() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ceremony.svg");
    let kept = said(&std::fs::read_to_string(path).unwrap());
    let now = said(&svg::draw(&ceremony()));
    assert!(kept.len() > 30, "{kept:?}");
    assert_eq!(kept, now, "`cargo xtask screenshots` draws it anew");
}

#[test]
fn only_what_differs_from_run_to_run_is_left_out_of_the_comparison() {
    assert_eq!(skeleton("1)  K7EM     Kilo Seven Echo Mike"), "1)  CODE");
    assert_eq!(skeleton("K7EM     Kilo Seven Echo Mike"), "CODE");
    assert_eq!(skeleton("1, 2, 3, 4 or n, or type the code: 2"), "1, 2, 3, 4 or n, or type the code:");
    for row in ["You are the GREETER, step 2 of 5: say your code", "n)  none of these", ""] {
        assert_eq!(skeleton(row), row);
    }
}
