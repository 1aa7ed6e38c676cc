//! The hash that names a sealed object: BLAKE3-256 over its bytes, as the server keeps them.
//!
//! Decides nothing about what is in it: the server hashes too, before it takes an object, so this
//! knows no key. SHA-256 would be the ceiling of every transfer (docs/protocol.md, *Objects*).

use std::fmt;
use std::str::FromStr;

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::ids::{debug_as_hex, fixed_bytes};

fixed_bytes! {
    /// BLAKE3-256 of a sealed object's bytes.
    ObjectHash, 32
}
debug_as_hex!(ObjectHash);

impl ObjectHash {
    /// The hash of a whole object at once.
    #[must_use]
    pub fn of(sealed: &[u8]) -> Self {
        Self(*blake3::hash(sealed).as_bytes())
    }
}

/// Hashes an object while it arrives.
#[derive(Debug, Default)]
pub struct ObjectHasher(blake3::Hasher);

impl ObjectHasher {
    /// Takes the next bytes of the object.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all bytes that were taken.
    #[must_use]
    pub fn finish(&self) -> ObjectHash {
        ObjectHash(*self.0.finalize().as_bytes())
    }
}
