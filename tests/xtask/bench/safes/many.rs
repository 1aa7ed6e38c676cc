//! Rows about a large tree: a device that has nothing of it, what it asks for, and what the tree
//! takes in memory.
//!
//! Decides that the tree is made by copying a folder: entries are what counts here, not contents.
//! The device that is fresh was locked while the safe was made; its time begins when its password
//! was found right, which takes a second by design.

use std::time::Instant;

use parsec_tests::events::Follower;
use parsec_tests::fixture::ALICE_AGAIN;
use parsec_tests::memory::resident;
use parsec_tests::safes::{Safe, create};

use super::table::{PARSEC, Table};
use super::{Plan, office};

/// What the safe is called.
const SAFE: &str = "Many";
/// Entries of a folder that is copied.
const FOLDER: usize = 1_000;

pub(super) fn measure(plan: &Plan, table: &mut Table) -> Result<(), String> {
    let fixture = office::open(plan);
    let (mut fresh, counter) = office::enrolled(&fixture, true)?;
    let _ = fresh.ctl(&["device", "lock"]).well();
    let _ = create(&fixture.alice, SAFE);
    let safe = Safe { device: &fixture.alice, name: SAFE };
    let from = fixture.path("folder");
    office::tree(&from.join("in"), FOLDER - 1 - FOLDER / 100)?;
    let put = ["safe", "put", "-r", "--wait", "600"].map(str::to_owned).to_vec();
    let put = [put, vec![from.to_string_lossy().into_owned(), format!("{SAFE}:/0")]].concat();
    let _ = fixture.alice.ctl(&put.iter().map(String::as_str).collect::<Vec<_>>()).well();
    for number in 1..plan.entries / FOLDER {
        safe.copy("/0", &format!("/{number}")).map_err(|why| format!("{why:?}"))?;
        if number % 8 == 0 {
            office::synced(&fixture.alice, SAFE);
        }
    }
    office::synced(&fixture.alice, SAFE);
    let entries = safe.show().map_err(|why| format!("{why:?}"))?.safe.entries;

    let mut events = Follower::start(&fresh.socket(), None);
    fresh.unlock(ALICE_AGAIN.password).map_err(|why| format!("{why:?}"))?;
    let [before, _] = counter.read();
    let begun = Instant::now();
    while (Safe { device: &fresh, name: SAFE }).show().ok().and_then(|shown| shown.safe.entries) != entries {
        let _ = events.item().map_err(|why| format!("{why:?}"))?;
    }
    table.note("fresh", PARSEC, begun.elapsed().as_secs_f64());
    let [after, _] = counter.read();
    table.note("fresh requests", PARSEC, (after - before) as f64);

    // From its store again, so that nothing of the way there is left in memory.
    fresh.restart();
    fresh.unlock(ALICE_AGAIN.password).map_err(|why| format!("{why:?}"))?;
    office::synced(&fresh, SAFE);
    table.note("memory idle", PARSEC, resident(fresh.process().id(), "VmRSS") as f64 / 1_024.0);
    Ok(())
}
