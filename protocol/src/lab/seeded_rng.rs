//! Randomness that is not: the same seed, the same run. For the lab and the tests alone.
//!
//! Decides what a seeded run draws. Refuses nothing, and is worth nothing as a key: whoever knows
//! the seed knows all of it.

use sha2::{Digest as _, Sha256};

use crate::keys::{Entropy, NoEntropy};

/// SHA-256 of seed and counter: as good as random to a machine, and the same again.
#[derive(Debug, Clone)]
pub struct SeededRng {
    seed: u64,
    count: u64,
}

impl SeededRng {
    /// A generator at the start of its stream.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, count: 0 }
    }

    /// A number below `bound` (0 for 0), near enough to uniform for choosing what goes wrong.
    pub fn below(&mut self, bound: u64) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.block();
        u64::from_le_bytes([a, b, c, d, e, f, g, h]).checked_rem(bound).unwrap_or(0)
    }

    /// The next 32 bytes of the stream.
    pub fn block(&mut self) -> [u8; 32] {
        let block =
            Sha256::new().chain_update(self.seed.to_le_bytes()).chain_update(self.count.to_le_bytes());
        self.count += 1;
        block.finalize().into()
    }
}

impl Entropy for SeededRng {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        for chunk in bytes.chunks_mut(32) {
            let block = self.block();
            for (slot, byte) in chunk.iter_mut().zip(block) {
                *slot = byte;
            }
        }
        Ok(())
    }
}
