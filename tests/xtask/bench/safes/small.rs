//! Rows about many small files: until they are shared, until another device lists them, until it
//! has read all of them, and what they take on the server's disk.
//!
//! Decides that a person's own commands do it: `safe put -r` and `safe get -r`.

use std::time::Instant;

use parsec_tests::events::Follower;
use parsec_tests::safes::{Safe, create};

use super::table::{PARSEC, Table};
use super::{Plan, SMALL_BYTES, office};
use crate::bench::said;

/// What the safe is called.
const SAFE: &str = "Small";

pub(super) fn measure(plan: &Plan, table: &mut Table) -> Result<(), String> {
    let fixture = office::open(plan);
    let (second, _) = office::enrolled(&fixture, false)?;
    let made = create(&fixture.alice, SAFE);
    office::have(&second, &made.safe.to_string());
    let before = office::stored(fixture.server.folder());
    let mut events = Follower::start(&second.socket(), None);
    let there = Safe { device: &second, name: SAFE };
    let mut entries = 0;
    for round in 0..plan.rounds {
        let (from, to) = (fixture.path(&format!("from{round}")), fixture.path(&format!("to{round}")));
        office::tree(&from, plan.small)?;
        // The folders of a hundred, and the one of all.
        entries += (plan.small + plan.small.div_ceil(100) + 1) as u64;
        let place = format!("{SAFE}:/{round}");
        let begun = Instant::now();
        let put = ["safe", "put", "-r", "--wait", "600", &from.to_string_lossy(), &place];
        let _ = fixture.alice.ctl(&put).well();
        table.note("small shared", PARSEC, begun.elapsed().as_secs_f64());
        while there.show().map_err(|why| format!("{why:?}"))?.safe.entries != Some(entries) {
            let _ = events.item().map_err(|why| format!("{why:?}"))?;
        }
        table.note("small listed", PARSEC, begun.elapsed().as_secs_f64());
        if table.wants("small read") {
            let _ = second.ctl(&["safe", "get", "-r", &place, &to.to_string_lossy()]).well();
            table.note("small read", PARSEC, begun.elapsed().as_secs_f64());
            let name = "d0000/f000001";
            let read = |folder: &std::path::Path| std::fs::read(folder.join(name)).map_err(said);
            if read(&from)? != read(&to)? {
                return Err("what came is not what went".to_owned());
            }
            std::fs::remove_dir_all(to).map_err(said)?;
        }
        std::fs::remove_dir_all(from).map_err(said)?;
    }
    let over = office::stored(fixture.server.folder()) - before;
    let plain = plan.small * plan.rounds * SMALL_BYTES;
    table.note("disk small", PARSEC, (over as f64 / plain as f64 - 1.0) * 100.0);
    Ok(())
}
