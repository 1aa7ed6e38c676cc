//! The store in one SQLite file: the engine of a single server.
//!
//! Decides that one thread writes and some read, that every acknowledged change is on disk, and how
//! rows are written down. Refuses a file of another program, of another version, and one that
//! another server uses. Nothing outside of this folder names SQLite's library.

mod attempts;
mod backup;
mod directory;
mod errors;
mod invitations;
mod keys;
mod lock;
mod log;
mod members;
mod restore;
mod safes;
mod schema;
mod shares;
mod stamp;
mod threads;
mod tx;
mod upkeep;
mod usage;
mod values;

pub use backup::BackupError;
pub(crate) use backup::back_up;
pub(crate) use lock::DatabaseLock;
pub use lock::LockError;
pub use restore::RestoreError;
pub(crate) use restore::restore;
pub use schema::OpenError;
pub(crate) use schema::{Making, open_standalone, present};
pub(crate) use stamp::check_alone as check_log;
pub(super) use threads::start;
pub(crate) use threads::{change, read};

/// An open database.
pub(crate) type Connection = rusqlite::Connection;

#[cfg(test)]
pub(crate) use {schema::open_writer, threads::BATCH_MAX, tx::Transaction};
