//! Numbers on their way to SQLite and back: its integers are signed, ours never are.
//!
//! Refuses what does not fit either side.

use super::StoreError;

/// SQLite's integers are signed.
pub(super) fn integer(natural: u64) -> Result<i64, StoreError> {
    i64::try_from(natural).map_err(|_| StoreError::TooLarge("a number"))
}

/// And so may be a stored one that we did not write.
pub(super) fn natural(integer: i64) -> Result<u64, StoreError> {
    u64::try_from(integer).map_err(|_| StoreError::Damaged("a negative number in it"))
}
