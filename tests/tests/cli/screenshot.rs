//! The picture in the README shows what the programs show: it is made by `cargo xtask screenshots`,
//! and compared with a new enrolment.

use std::path::Path;

use parsec_tests::screenshot::{ceremony, skeleton, svg};

#[test]
fn the_picture_of_the_ceremony_shows_what_the_programs_show() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ceremony.svg");
    let kept: Vec<_> =
        svg::texts(&std::fs::read_to_string(path).unwrap()).iter().map(|row| skeleton(row)).collect();
    let now: Vec<_> = svg::texts(&svg::draw(&ceremony())).iter().map(|row| skeleton(row)).collect();
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
