//! Who offers which safe.
//!
//! Decides that an offer of which it is not known who makes it counts with the others of that kind.

use parsec_protocol::ids::{SafeId, UserId};

use super::Standing;
use crate::store::integers::natural;
use crate::store::{Store, StoreError};

impl Store {
    /// Notes who offers a safe. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn set_safe_offered_by(&self, safe: SafeId, by: Option<UserId>) -> Result<(), StoreError> {
        let by = by.map(|by| *by.as_bytes());
        self.inner()?
            .connection
            .execute("UPDATE safe SET offered_by = ?2 WHERE id = ?1", (safe.as_bytes(), by))?;
        Ok(())
    }

    /// Number of other safes than this one that somebody offers, as far as they are kept here.
    ///
    /// # Errors
    /// The disk's.
    pub fn open_offers(&self, by: Option<UserId>, besides: SafeId) -> Result<u64, StoreError> {
        let by = by.map(|by| *by.as_bytes());
        natural(self.inner()?.connection.query_row(
            "SELECT count(*) FROM safe WHERE standing = ?1 AND offered_by IS ?2 AND id <> ?3",
            (Standing::Offered.number(), by, besides.as_bytes()),
            |row| row.get(0),
        )?)
    }
}
