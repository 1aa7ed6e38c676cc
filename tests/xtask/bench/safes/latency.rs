//! Row `latency`: from the moment a change is saved on one device until the other one has read it.
//!
//! Decides that nobody polls: the other device's own events say when to look.

use std::time::Instant;

use parsec_tests::events::Follower;
use parsec_tests::safes::{Safe, create};

use super::table::{PARSEC, Table};
use super::{Plan, SMALL_BYTES, office};
use crate::bench::{percentile, said};

/// What the safe is called.
const SAFE: &str = "Latency";

pub(super) fn measure(plan: &Plan, table: &mut Table) -> Result<(), String> {
    let fixture = office::open(plan);
    let (second, _) = office::enrolled(&fixture, false)?;
    let made = create(&fixture.alice, SAFE);
    office::have(&second, &made.safe.to_string());
    let mut events = Follower::start(&second.socket(), None);
    let (here, there) = (Safe { device: &fixture.alice, name: SAFE }, Safe { device: &second, name: SAFE });
    let mut lasted = Vec::new();
    for sample in 0..plan.samples {
        let mut contents = vec![0; SMALL_BYTES];
        getrandom::fill(&mut contents).map_err(said)?;
        let path = format!("/{sample}");
        here.put(&path, &contents, 0).map_err(|why| format!("{why:?}"))?;
        let begun = Instant::now();
        while there.stat(&path).is_err() {
            let _ = events.item().map_err(|why| format!("{why:?}"))?;
        }
        if there.get(&path).map_err(|why| format!("{why:?}"))? != contents {
            return Err("what came is not what went".to_owned());
        }
        lasted.push(begun.elapsed().as_secs_f64());
    }
    table.note("latency", PARSEC, percentile(&mut lasted, 0.95));
    Ok(())
}
