//! The store for one command that works beside a server, or alone: without threads, in transactions
//! of its own.
//!
//! Decides that what such a command changes is whole or not there. Nobody is told of its changes: a
//! running server's streams see them when they next look.

use std::path::Path;

use super::{Making, OpenError, StoreError, Tx, sqlite};

/// An open database.
pub(crate) struct Standalone(sqlite::Connection);

impl Standalone {
    /// Opens a database that must be there, unless one may be made.
    pub(crate) fn open(path: &Path, making: Making) -> Result<Self, OpenError> {
        sqlite::present(path, making)?;
        sqlite::open_standalone(path).map(Self)
    }

    /// Runs a change, which is on disk when this answers `Ok`; else nothing of it is.
    pub(crate) fn change<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut dyn Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        sqlite::change(&self.0, |tx| work(tx))
    }

    /// Reads one state.
    pub(crate) fn read<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&dyn Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        sqlite::read(&self.0, |tx| work(tx))
    }
}

#[cfg(test)]
impl Standalone {
    /// A new database for thousands of changes, none of which has to outlive a power cut.
    pub(crate) fn for_test(path: &Path) -> Self {
        let store = Self::open(path, Making::Asked).unwrap();
        store.0.pragma_update(None, "synchronous", "OFF").unwrap();
        store
    }
}
