//! Row `seal`: a file's pieces sealed and hashed, without a disk, on one core.
//!
//! Decides that nobody keeps what is sealed: what is measured is the arithmetic that every piece
//! goes through.

use std::convert::Infallible;
use std::time::Instant;

use parsec_protocol::ids::SafeId;
use parsec_protocol::safes::content::{BUFFER_BYTES, CHUNK_LENGTH, Keep, Sealing};
use parsec_protocol::safes::content_ref::Reference;
use parsec_protocol::safes::keys::{EpochKey, SafeKeys};
use parsecd::os::entropy::System;

use super::table::{PARSEC, Table};
use super::{MIB, Plan};
use crate::bench::{Pinned, said};

/// Keeps nothing.
struct Nowhere;

impl Keep for Nowhere {
    type Error = Infallible;

    fn keep(&mut self, _: &Reference, _: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }
}

pub(super) fn measure(plan: &Plan, table: &mut Table) -> Result<(), String> {
    let _pinned = Pinned::here();
    let (organisation, safe) = ("acme".parse().map_err(said)?, SafeId::from_bytes([7; 16]));
    let key = SafeKeys::draw(&mut System).map_err(said)?;
    let key = EpochKey::new(&organisation, &safe, 0, &key);
    let bytes = plan.large_mib * MIB;
    for _ in 0..plan.rounds {
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        let begun = Instant::now();
        let mut sealing = Sealing::new(key, Some(key));
        while sealing.size() < bytes {
            buffer.resize(CHUNK_LENGTH, 7);
            sealing.piece(&mut buffer, &mut System, &mut Nowhere).map_err(said)?;
        }
        sealing.finish(&mut System, &mut Nowhere).map_err(said)?;
        table.note("seal", PARSEC, bytes as f64 / begun.elapsed().as_secs_f64() / 1e6);
    }
    Ok(())
}
