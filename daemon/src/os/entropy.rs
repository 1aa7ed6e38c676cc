//! Random bytes from the operating system, for keys, nonces, tokens and decoys.
//!
//! Decides the one source. Refuses to go on without it: there is no fallback.

use parsec_protocol::keys::{Entropy, NoEntropy};

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Entropy for System {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        getrandom::fill(bytes).map_err(|_| NoEntropy)
    }
}
