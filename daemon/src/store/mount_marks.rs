//! Which safes are mounted whenever the device is unlocked, and on which folders.
//!
//! Decides that a folder has one mark: another safe's takes its place. Refuses more marks than
//! there may be mounts.

use parsec_protocol::ids::SafeId;

use super::{Store, StoreError};

/// Marks of a device: as many as it may have mounts at once.
const MARKS_MAX: i64 = 32;

/// A safe that is mounted whenever the device is unlocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountMark {
    /// The folder, an absolute path.
    pub folder: String,
    /// Id of the safe.
    pub safe: SafeId,
    /// Whether nothing may be written in it.
    pub read_only: bool,
}

impl Store {
    /// All marks, by their folders.
    ///
    /// # Errors
    /// The database's.
    pub fn mount_marks(&self) -> Result<Vec<MountMark>, StoreError> {
        let inner = self.inner()?;
        let mut select =
            inner.connection.prepare("SELECT folder, safe, read_only FROM mount_mark ORDER BY folder")?;
        let marks = select.query_map([], |row| {
            Ok(MountMark {
                folder: row.get(0)?,
                safe: SafeId::from_bytes(row.get(1)?),
                read_only: row.get(2)?,
            })
        })?;
        Ok(marks.collect::<Result<_, _>>()?)
    }

    /// Marks a folder; durable when it returns. Whether there was room for it.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the database's.
    pub fn mark_mount(&self, mark: &MountMark) -> Result<bool, StoreError> {
        let inner = self.inner()?;
        let others: i64 = inner.connection.query_row(
            "SELECT count(*) FROM mount_mark WHERE folder <> ?1",
            [&mark.folder],
            |row| row.get(0),
        )?;
        if others >= MARKS_MAX {
            return Ok(false);
        }
        inner.connection.execute(
            "INSERT INTO mount_mark (folder, safe, read_only) VALUES (?1, ?2, ?3)
             ON CONFLICT (folder) DO UPDATE SET safe = ?2, read_only = ?3",
            (&mark.folder, mark.safe.as_bytes(), mark.read_only),
        )?;
        Ok(true)
    }

    /// Takes the mark from a folder; durable when it returns. Whether it had one.
    ///
    /// # Errors
    /// The database's.
    pub fn unmark_mount(&self, folder: &str) -> Result<bool, StoreError> {
        let inner = self.inner()?;
        Ok(inner.connection.execute("DELETE FROM mount_mark WHERE folder = ?1", [folder])? > 0)
    }
}
