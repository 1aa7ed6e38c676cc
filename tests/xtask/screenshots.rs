//! `cargo xtask screenshots`: draws docs/ceremony.svg anew, from a real enrolment in two terminals;
//! and, where Chromium is installed, what a newcomer meets before it: mail and landing page.
//!
//! Decides where the pictures are kept. `tests/tests/cli/screenshot.rs` holds that the first shows
//! what today's programs show; the others are for the eyes of whoever changes the words.

use std::path::Path;
use std::process::ExitCode;

use parsec_tests::browser::CHROMIUM;
use parsec_tests::installed;
use parsec_tests::screenshot::{ceremony, newcomer, svg};

pub(crate) fn run(root: &Path) -> ExitCode {
    let built = super::run_tests::ended("screenshots", super::run_tests::build(root));
    if built != ExitCode::SUCCESS {
        return built;
    }
    let picture = svg::draw(&ceremony());
    let written = std::fs::write(root.join("docs/ceremony.svg"), picture);
    if installed(CHROMIUM) {
        for picture in newcomer::pictures(&root.join("target/screenshots")) {
            println!("{}", picture.display());
        }
    } else {
        eprintln!("mail and landing page: not drawn, the package chromium is not installed");
    }
    super::run_tests::ended("screenshots", written.map(|()| true))
}
