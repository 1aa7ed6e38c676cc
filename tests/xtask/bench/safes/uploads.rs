//! Row `memory server`: what the server has in memory while eight large files come in at once.
//!
//! Decides that they go into eight safes, so that each has a port of its own.

use parsec_tests::safes::{Safe, create};

use super::office::{self, NO_PEAK, Peak, WAIT_SECONDS};
use super::table::{PARSEC, Table};
use super::{MIB, Plan};
use crate::bench::said;

/// Uploads at once.
const UPLOADS: u64 = 8;

pub(super) fn measure(plan: &Plan, table: &mut Table) -> Result<(), String> {
    let mut fixture = office::open(plan);
    let bytes = (plan.large_mib / UPLOADS).max(1) * MIB;
    let names: Vec<String> = (0..UPLOADS).map(|number| format!("Upload {number}")).collect();
    for name in &names {
        let _ = create(&fixture.alice, name);
    }
    let process = fixture.server.process().id();
    let Some(peak) = Peak::of(process) else {
        table.absent("memory server", PARSEC, NO_PEAK);
        return Ok(());
    };
    let fixture = &fixture;
    let upload = |name: &str| {
        let source = office::random_file(&fixture.path(name), bytes)?;
        let safe = Safe { device: &fixture.alice, name };
        let done = safe.put_file("/file", &source, bytes, WAIT_SECONDS).map_err(|why| format!("{why:?}"))?;
        std::fs::remove_file(fixture.path(name)).map_err(said)?;
        if done.shared { Ok(()) } else { Err(format!("it was not shared: {done:?}")) }
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = names.iter().map(|name| scope.spawn(|| upload(name))).collect();
        let ended =
            all.into_iter().map(|one| one.join().unwrap_or_else(|_| Err("an upload fell".to_owned())));
        ended.collect::<Result<Vec<()>, String>>()
    })?;
    table.note("memory server", PARSEC, peak.mib());
    Ok(())
}
