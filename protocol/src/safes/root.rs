//! The state root: one hash over everything that two readers of the same records must agree on.
//!
//! Decides its 4,096 buckets and which of them are hashed again. Refuses nothing: another root is
//! an alarm, and the daemon's to raise.

use std::collections::BTreeSet;
use std::sync::Arc;

use minicbor::Encode;

use crate::codec::encode;
use crate::ids::{DeviceId, EntryId, Label};
use crate::public_keys::Hash;
use crate::safes::ages::Marks;
use crate::safes::shards::{SHARDS, shard_of};
use crate::safes::state::State;

/// The hash of a bucket without entries.
const EMPTY: [u8; 32] = [0; 32];

/// The buckets' hashes, and which are not up to date.
#[derive(Debug, Clone)]
pub(super) struct Buckets {
    hashes: Arc<Vec<u8>>,
    stale: BTreeSet<usize>,
}

impl Default for Buckets {
    fn default() -> Self {
        Self { hashes: Arc::new(EMPTY.repeat(SHARDS)), stale: BTreeSet::new() }
    }
}

/// What the root has beside the entries.
#[derive(Encode)]
struct Own<'a> {
    #[n(0)]
    name: Option<&'a Label>,
    #[n(1)]
    retention_days: u64,
    #[n(2)]
    devices: Vec<(DeviceId, u64)>,
    #[n(3)]
    marks: &'a Marks,
}

impl Buckets {
    /// Notes that an entry came, changed or went.
    pub(super) fn changed(&mut self, id: EntryId) {
        self.stale.insert(shard_of(id.as_bytes()));
    }

    /// The root of `state`, whose buckets these are.
    pub(super) fn root(&mut self, state: &State) -> Hash {
        let mut parts: Vec<_> = state.entries.parts().enumerate().collect();
        parts.retain(|(number, _)| self.stale.contains(number));
        let hashes = Arc::make_mut(&mut self.hashes);
        for (number, part) in parts {
            let hash = if part.is_empty() {
                EMPTY
            } else {
                *Hash::of(&[&encode(&part.iter().map(|entry| &**entry).collect::<Vec<_>>())]).as_bytes()
            };
            if let Some(place) = hashes.chunks_exact_mut(EMPTY.len()).nth(number) {
                place.copy_from_slice(&hash);
            }
        }
        self.stale.clear();
        let own = Own {
            name: state.name.as_ref(),
            retention_days: state.retention_days,
            devices: state.devices.iter().map(|(device, seq)| (*device, *seq)).collect(),
            marks: &state.marks,
        };
        Hash::of(&[b"parsec-state-v1\0", &encode(&own), hashes])
    }
}
