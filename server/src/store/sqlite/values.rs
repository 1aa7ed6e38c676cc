//! How values of the protocol are written into columns, and read back.
//!
//! Decides that a fieldless value is stored under its number on the wire, and a count or time as a
//! signed integer. Refuses stored values that this program would not have written.

use crate::store::StoreError;

/// The number that a fieldless value of the protocol has on the wire, under which it is stored.
pub(super) fn number_of<T: minicbor::Encode<()>>(value: &T) -> i64 {
    parsec_protocol::codec::encode(value).first().map_or(-1, |byte| i64::from(*byte))
}

/// The value of a stored number.
pub(super) fn from_number<T>(number: i64) -> Result<T, StoreError>
where
    T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>,
{
    let byte = u8::try_from(number).map_err(|_| damaged("number"))?;
    parsec_protocol::codec::decode(&[byte], 1).map_err(|_| damaged("number"))
}

/// A count or time of the protocol as SQLite stores it. What doesn't fit is far beyond every bound
/// that was checked before.
pub(super) fn stored(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A stored count or time.
pub(super) fn unstored(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A number of rows as SQLite takes it.
pub(super) fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

/// Exactly `N` stored bytes.
pub(super) fn bytes<const N: usize>(value: Vec<u8>) -> Result<[u8; N], StoreError> {
    value.try_into().map_err(|_| damaged("length"))
}

/// A stored value is not what this program stores: the file was changed by another one.
pub(super) const fn damaged(what: &'static str) -> StoreError {
    StoreError::Damaged(what)
}
