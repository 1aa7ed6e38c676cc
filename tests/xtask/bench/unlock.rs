//! Figure `unlock`: a device is unlocked over the socket, beside the bare scrypt of its key file.
//!
//! Decides nothing about how hard scrypt is: the shipped daemon's work factor, which its key file
//! names.

use std::time::Instant;

use parsec_tests::fixture::{ALICE_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::process::Daemon;

use super::{Figure, Goal, percentile};

const ROUNDS: usize = 5;
/// scrypt's cost as the daemon pins it: 2^18, with age's r = 8 and p = 1.
const LOG_N: u8 = 18;
/// Opening the store, verifying the log, answering: no more than a quarter of what makes guessing
/// slow.
const GOAL_RATIO: f64 = 1.25;

pub(super) fn figures() -> Vec<Figure> {
    measure().map_or_else(
        |why| {
            eprintln!("cargo xtask bench: unlock: {why}");
            Vec::new()
        },
        |figure| vec![figure],
    )
}

fn measure() -> Result<Figure, String> {
    let fixture = Fixture::found(FixtureOptions { daemon: Daemon::Shipped, ..FixtureOptions::default() });
    let params = scrypt::Params::new(LOG_N, 8, 1, 32).map_err(|error| error.to_string())?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let locked = fixture.alice.ctl(&["device", "lock"]);
        if locked.code != 0 {
            return Err(locked.stderr);
        }
        let begun = Instant::now();
        fixture.alice.unlock(ALICE_PASSWORD).map_err(|failed| format!("{failed:?}"))?;
        ours.push(begun.elapsed().as_secs_f64() * 1e3);
        let begun = Instant::now();
        let mut key = [0; 32];
        scrypt::scrypt(ALICE_PASSWORD.as_bytes(), &[7; 16], &params, &mut key)
            .map_err(|error| error.to_string())?;
        theirs.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let (value, reference_value) = (percentile(&mut ours, 0.5), percentile(&mut theirs, 0.5));
    Ok(Figure {
        goal: Some(Goal::ratio_at_most(GOAL_RATIO)),
        rounds: ROUNDS,
        ..Figure::beside("unlock", "ms", value, "bare scrypt", reference_value)
    })
}
