//! When a person last tried a recovery kit on this device.
//!
//! Decides nothing: a date beside a kit's id.

use std::collections::BTreeMap;

use parsec_protocol::ids::{DeviceId, Timestamp};

use super::integers::integer;
use super::{Store, StoreError};

impl Store {
    /// Remembers that a kit was tried.
    ///
    /// # Errors
    /// The disk's.
    pub fn put_drill(&self, kit: DeviceId, now: Timestamp) -> Result<(), StoreError> {
        self.inner()?.connection.execute(
            "INSERT INTO recovery_drill (device, drilled) VALUES (?1, ?2)
             ON CONFLICT (device) DO UPDATE SET drilled = excluded.drilled",
            (kit.as_bytes().as_slice(), integer(now.0)?),
        )?;
        Ok(())
    }

    /// The kits that were tried here, and when.
    ///
    /// # Errors
    /// The disk's.
    pub fn drills(&self) -> Result<BTreeMap<DeviceId, Timestamp>, StoreError> {
        let inner = self.inner()?;
        let mut rows = inner.connection.prepare_cached("SELECT device, drilled FROM recovery_drill")?;
        let read = rows.query_map((), |row| {
            let (device, drilled): ([u8; 16], i64) = (row.get(0)?, row.get(1)?);
            Ok((DeviceId::from_bytes(device), Timestamp(drilled.unsigned_abs())))
        })?;
        Ok(read.collect::<Result<_, _>>()?)
    }
}
