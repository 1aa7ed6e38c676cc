//! Rows about one large file: up, down, down again, 4 KiB of it changed, memory, the server's disk.
//!
//! Decides that each round has a file of its own, so that nothing of it is anywhere before.

use std::os::unix::fs::FileExt as _;
use std::time::Instant;

use parsec_tests::device::Device;
use parsec_tests::safes::{Safe, create};

use super::office::{self, NO_PEAK, Peak, WAIT_SECONDS};
use super::table::{PARSEC, Table};
use super::{MIB, Plan, SMALL_BYTES};
use crate::bench::said;

/// What the safe is called.
const SAFE: &str = "Large";

pub(super) fn measure(plan: &Plan, table: &mut Table) -> Result<(), String> {
    let mut fixture = office::open(plan);
    let bytes = plan.large_mib * MIB;
    let made = create(&fixture.alice, SAFE);
    let mut source = office::random_file(&fixture.path("source"), bytes)?;
    let before = office::stored(fixture.server.folder());
    let peak = Peak::of(fixture.alice.process().id());
    for round in 0..plan.rounds {
        let begun = Instant::now();
        put(&fixture.alice, &format!("/{round}"), &source, bytes)?;
        table.note("put", PARSEC, bytes as f64 / begun.elapsed().as_secs_f64() / 1e6);
    }
    told(table, "memory up", peak.as_ref());
    let over =
        (office::stored(fixture.server.folder()) - before) as f64 / (bytes * plan.rounds as u64) as f64;
    table.note("disk large", PARSEC, (over - 1.0) * 100.0);

    if ["get", "get again", "memory down"].iter().any(|row| table.wants(row)) {
        let (mut second, _) = office::enrolled(&fixture, false)?;
        office::have(&second, &made.safe.to_string());
        let peak = Peak::of(second.process().id());
        for round in 0..plan.rounds {
            for row in ["get", "get again"] {
                let path = fixture.path("came");
                let mut came = office::random_file(&path, 0)?;
                let begun = Instant::now();
                let safe = Safe { device: &second, name: SAFE };
                safe.get_file(&format!("/{round}"), &came).map_err(|why| format!("{why:?}"))?;
                table.note(row, PARSEC, bytes as f64 / begun.elapsed().as_secs_f64() / 1e6);
                office::same(&mut source, &mut came)?;
                std::fs::remove_file(path).map_err(said)?;
            }
        }
        told(table, "memory down", peak.as_ref());
    }

    if table.wants("edit") || table.wants("edit sent") {
        for round in 0..plan.rounds {
            source.write_all_at(&[round as u8; SMALL_BYTES], bytes / 2).map_err(said)?;
            let begun = Instant::now();
            put(&fixture.alice, "/0", &source, bytes)?;
            table.note("edit", PARSEC, begun.elapsed().as_secs_f64());
        }
    }
    if table.wants("edit sent") {
        let (counted, counter) = office::enrolled(&fixture, true)?;
        office::have(&counted, &made.safe.to_string());
        // Its own file first: a device spares what it has sealed itself.
        put(&counted, "/counted", &source, bytes)?;
        source.write_all_at(&[255; SMALL_BYTES], bytes / 2).map_err(said)?;
        let [_, before] = counter.read();
        put(&counted, "/counted", &source, bytes)?;
        let [_, after] = counter.read();
        table.note("edit sent", PARSEC, (after - before) as f64 / 1_024.0);
    }
    fixture.server.kill();
    Ok(())
}

fn told(table: &mut Table, row: &str, peak: Option<&Peak>) {
    match peak {
        Some(peak) => table.note(row, PARSEC, peak.mib()),
        None => table.absent(row, PARSEC, NO_PEAK),
    }
}

/// Puts the file, until it is shared.
fn put(device: &Device, path: &str, source: &std::fs::File, bytes: u64) -> Result<(), String> {
    use std::io::{Seek as _, SeekFrom};
    let mut source = source;
    source.seek(SeekFrom::Start(0)).map_err(said)?;
    let done = Safe { device, name: SAFE }.put_file(path, source, bytes, WAIT_SECONDS);
    match done.map_err(|why| format!("{why:?}"))? {
        done if done.shared => Ok(()),
        done => Err(format!("it was not shared: {done:?}")),
    }
}
