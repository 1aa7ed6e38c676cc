//! Directory keys behind the first, and the newest change of the key that this device made.
//!
//! Decides that a key is durable before its certificate goes out: who would lose it after that
//! would have sealed it to everybody and could open no name itself. Refuses nothing: whether a key
//! is the one that the log names, whoever keeps it has found out. This file sees the bytes of keys:
//! it gives them to the encrypted database.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use parsec_protocol::codec;
use parsec_protocol::keys::DirectoryKey;
use parsec_protocol::limits::BODY_MAX_BYTES;
use parsec_protocol::name_keys::{DirectoryKeys, NumberedKey};
use parsec_protocol::relay::DirectoryKeyChange;
use rusqlite::Connection;

use super::integers::integer;
use super::{OpenDevice, Store, StoreError};

/// The directory keys of an open device: the key file's and the store's.
pub(super) struct Directory(RwLock<Arc<DirectoryKeys>>);

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Directory(..)")
    }
}

impl Directory {
    /// The first key, and what the store has behind it.
    pub(super) fn open(first: &DirectoryKey, store: &Store) -> Result<Self, StoreError> {
        let mut keys = DirectoryKeys::first(DirectoryKey::from_bytes(&mut { *first.expose() }));
        for NumberedKey { number, key } in store.directory_keys()? {
            keys.insert(number, key);
        }
        Ok(Self(RwLock::new(Arc::new(keys))))
    }

    fn now(&self) -> Arc<DirectoryKeys> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A change of the directory key that was signed here.
#[derive(Debug)]
pub struct OwnDirectoryChange {
    /// Number of the key.
    pub number: u32,
    /// The key itself; nobody uses it before the log names it.
    pub key: DirectoryKey,
    /// Certificate and head of the ring, the same each time.
    pub change: DirectoryKeyChange,
    /// The parts of the ring, in order.
    pub parts: Vec<Vec<u8>>,
}

impl OwnDirectoryChange {
    /// The key, for use from now on.
    #[must_use]
    pub fn numbered(&self) -> NumberedKey {
        NumberedKey { number: self.number, key: DirectoryKey::from_bytes(&mut { *self.key.expose() }) }
    }
}

impl OpenDevice {
    /// What names are sealed and opened with.
    #[must_use]
    pub fn directory(&self) -> Arc<DirectoryKeys> {
        self.directory.now()
    }

    /// Takes keys in that are the ones of the log; durable when it returns. Whether there are new
    /// ones among them.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn add_directory_keys(&self, keys: Vec<NumberedKey>) -> Result<bool, StoreError> {
        let mut inner = self.store.inner()?;
        let transaction = inner.connection.transaction()?;
        put(&transaction, &keys)?;
        transaction.commit()?;
        drop(inner);
        let mut held = self.directory.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut more = held.copied();
        let mut new = false;
        for NumberedKey { number, key } in keys {
            new |= more.insert(number, key);
        }
        *held = Arc::new(more);
        Ok(new)
    }
}

impl Store {
    /// The keys that are here behind the first.
    fn directory_keys(&self) -> Result<Vec<NumberedKey>, StoreError> {
        let inner = self.inner()?;
        let mut select = inner.connection.prepare("SELECT number, key FROM directory_key ORDER BY number")?;
        let mut rows = select.query([])?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next()? {
            let damaged = || StoreError::Damaged("a directory key in it is malformed");
            let key = row.get_ref(1)?.as_blob().map_err(|_| damaged())?;
            let key = DirectoryKey::from_slice(key).ok_or_else(damaged)?;
            keys.push(NumberedKey { number: row.get(0)?, key });
        }
        Ok(keys)
    }

    /// Keeps the keys that a new device was handed behind the first.
    pub(super) fn put_directory_keys(&self, keys: &DirectoryKeys) -> Result<(), StoreError> {
        put(&self.inner()?.connection, &keys.record())
    }

    /// Keeps a change before it goes out, in the place of an earlier one; durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn put_directory_change(&self, own: &OwnDirectoryChange) -> Result<(), StoreError> {
        let mut inner = self.inner()?;
        let transaction = inner.connection.transaction()?;
        transaction.execute("DELETE FROM directory_part", [])?;
        transaction.execute(
            "INSERT OR REPLACE INTO directory_change (one, number, key, change) VALUES (1, ?1, ?2, ?3)",
            (own.number, own.key.expose(), codec::encode(&own.change)),
        )?;
        for (place, part) in (0_u64..).zip(&own.parts) {
            transaction.execute(
                "INSERT INTO directory_part (place, part) VALUES (?1, ?2)",
                (integer(place)?, part),
            )?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// The newest change that this device has made.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], the disk's.
    pub fn directory_change(&self) -> Result<Option<OwnDirectoryChange>, StoreError> {
        let inner = self.inner()?;
        let damaged = || StoreError::Damaged("a change of the directory key in it is malformed");
        let mut select = inner.connection.prepare("SELECT number, key, change FROM directory_change")?;
        let mut rows = select.query([])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let number = row.get(0)?;
        let key = row.get_ref(1)?.as_blob().ok().and_then(DirectoryKey::from_slice).ok_or_else(damaged)?;
        let change: Vec<u8> = row.get(2)?;
        let change = codec::decode(&change, BODY_MAX_BYTES).map_err(|_| damaged())?;
        let mut select = inner.connection.prepare("SELECT part FROM directory_part ORDER BY place")?;
        let parts = select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(Some(OwnDirectoryChange { number, key, change, parts }))
    }
}

fn put(connection: &Connection, keys: &[NumberedKey]) -> Result<(), StoreError> {
    for NumberedKey { number, key } in keys.iter().filter(|key| key.number > 1) {
        connection.execute(
            "INSERT INTO directory_key (number, key) VALUES (?1, ?2) ON CONFLICT (number) DO NOTHING",
            (number, key.expose()),
        )?;
    }
    Ok(())
}
