//! `cargo xtask screenshots`: draws docs/ceremony.svg anew, from a real enrolment in two terminals.
//!
//! Decides where the picture is kept. `tests/tests/cli/screenshot.rs` holds that it shows what
//! today's programs show.

use std::path::Path;
use std::process::ExitCode;

use parsec_tests::screenshot::{ceremony, svg};

pub(crate) fn run(root: &Path) -> ExitCode {
    let built = super::run_tests::ended("screenshots", super::run_tests::build(root));
    if built != ExitCode::SUCCESS {
        return built;
    }
    let picture = svg::draw(&ceremony());
    let written = std::fs::write(root.join("docs/ceremony.svg"), picture);
    super::run_tests::ended("screenshots", written.map(|()| true))
}
