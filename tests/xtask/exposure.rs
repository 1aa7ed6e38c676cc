//! `cargo xtask exposure`: unit, score, goal, and whether systemd understands the units.
//!
//! Fails where a unit is over its goal or has a line that systemd complains about.

use std::path::Path;
use std::process::ExitCode;

use parsec_tests::units;

pub(crate) fn run(root: &Path) -> ExitCode {
    let folder = units::copied(root);
    let (exposures, complaints) = match (units::exposures(folder.path()), units::complaints(folder.path())) {
        (Ok(exposures), Ok(complaints)) => (exposures, complaints),
        (Err(error), _) | (_, Err(error)) => {
            println!("skipped: systemd-analyze can't be run ({error})");
            return ExitCode::SUCCESS;
        }
    };
    let mut good = complaints.is_empty();
    for units::Exposure { unit, score, goal } in exposures {
        let fits = score <= goal;
        good &= fits;
        println!("{unit:24} {score:.1}  goal {goal:.1}  {}", if fits { "pass" } else { "FAIL" });
    }
    for complaint in complaints {
        println!("FAIL {complaint}");
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
