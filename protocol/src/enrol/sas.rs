//! Codes that people read to each other: 20 bits in 4 characters (docs/protocol.md, *Codes*).

use std::fmt;
use std::str::FromStr;

/// 32 symbols without I, O, 0 and 1, which are confused when read out or written down.
pub const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// A code: 20 bits. Not a secret key, but never logged: whoever hears it early could answer for a person.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SasCode(u32);

/// Not 4 characters of [`ALPHABET`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a code has 4 characters out of A-Z without I and O, and 2-9")]
pub struct NotACode;

impl fmt::Debug for SasCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SasCode(..)")
    }
}

impl fmt::Display for SasCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}

impl FromStr for SasCode {
    type Err = NotACode;
    fn from_str(text: &str) -> Result<Self, NotACode> {
        todo!("{text}")
    }
}
