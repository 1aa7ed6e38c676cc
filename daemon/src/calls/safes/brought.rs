//! Which record of the journal brought a content, and so who wrote it, and when.
//!
//! Decides that it is the first that names the content's operation, since a later one may repeat
//! the name. Refuses to guess where this device can't read that record.

use std::collections::BTreeMap;

use parsec_protocol::ids::{DeviceId, OperationId, SafeId, Timestamp, UserId};
use parsec_protocol::safe_log::record;
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::seal::open_record;

use crate::store::{OpenDevice, StoreError};

/// Records that are looked through in one go: some megabytes of them at most times.
const STEP_RECORDS: u64 = 64;

/// When and by whom a content was brought, and in which record.
pub(super) struct Brought {
    /// The record's time; of what is in none, when it was saved here.
    pub(super) time: Timestamp,
    /// User of the record's device.
    pub(super) by: UserId,
    /// The record's device; none where it is in no record yet.
    pub(super) device: Option<DeviceId>,
    /// The record; none where it is in none yet.
    pub(super) seq: Option<u64>,
}

/// Looks for the records that brought these operations, from the journal's beginning on.
pub(super) fn brought(
    open: &OpenDevice,
    keys: &SafeKeys,
    safe: SafeId,
    to: u64,
    wanted: &[OperationId],
) -> Result<BTreeMap<OperationId, Brought>, StoreError> {
    let mut found = BTreeMap::new();
    let mut after = 0;
    while after < to && found.len() < wanted.len() {
        let records = open.store.safe_records(safe, after, STEP_RECORDS)?;
        if records.is_empty() {
            break;
        }
        for stored in records {
            after = after.saturating_add(1);
            let payload = record::Envelope::decode(&stored.envelope).and_then(|envelope| envelope.payload());
            let Ok(payload) = payload else { continue };
            // What can't be opened here brought nothing that this device shows.
            let Ok(inside) = open_record(keys, &payload) else { continue };
            for change in &inside.changes {
                let operation = change.operation();
                if wanted.contains(&operation) {
                    let (by, device, seq) = (stored.author, Some(payload.author), Some(payload.seq));
                    found.entry(operation).or_insert(Brought { time: payload.time, by, device, seq });
                }
            }
        }
    }
    Ok(found)
}
