//! Chunks in the clear that were read a moment ago.
//!
//! Decides how many: the kernel asks for a chunk in four pieces, and reads ahead. What is dropped
//! is wiped; all of it is dropped with the mount.

use std::collections::BTreeMap;
use std::sync::Arc;

use parsec_protocol::ids::ObjectId;

use super::draft::Plain;

/// Chunks that are kept: two windows of eight, for each of two files that are read at once.
const CHUNKS_MAX: usize = 32;

/// The chunks, each with when it was used last.
#[derive(Default)]
pub(super) struct Cache {
    chunks: BTreeMap<ObjectId, (u64, Arc<Plain>)>,
    clock: u64,
}

impl Cache {
    /// A chunk that is here.
    pub(super) fn get(&mut self, object: ObjectId) -> Option<Arc<Plain>> {
        self.clock += 1;
        let clock = self.clock;
        self.chunks.get_mut(&object).map(|(used, bytes)| {
            *used = clock;
            Arc::clone(bytes)
        })
    }

    /// Keeps a chunk, in the place of the one that was not used for the longest time.
    pub(super) fn put(&mut self, object: ObjectId, bytes: Plain) -> Arc<Plain> {
        self.clock += 1;
        let bytes = Arc::new(bytes);
        self.chunks.insert(object, (self.clock, Arc::clone(&bytes)));
        while self.chunks.len() > CHUNKS_MAX {
            let oldest = self.chunks.iter().min_by_key(|(_, (used, _))| *used).map(|(object, _)| *object);
            let Some(oldest) = oldest else { break };
            self.chunks.remove(&oldest);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_was_not_used_goes_first() {
        let mut cache = Cache::default();
        let id = |number: usize| ObjectId::from_bytes([u8::try_from(number).unwrap(); 16]);
        for number in 0..CHUNKS_MAX {
            cache.put(id(number), Plain::new(vec![1]));
        }
        assert!(cache.get(id(0)).is_some());
        cache.put(id(CHUNKS_MAX), Plain::new(vec![2]));
        assert!(cache.get(id(0)).is_some() && cache.get(id(1)).is_none());
        assert_eq!(cache.chunks.len(), CHUNKS_MAX);
    }
}
