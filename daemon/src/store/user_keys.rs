//! The user's later seeds, a change of the user's key that is under way, and public keys by their
//! hashes.
//!
//! Decides that a seed is durable with the change that makes it the user's: who would lose it after
//! the change went out would have a key in the log that nobody can open with. Refuses a second
//! change while one is undecided. This file sees a seed's bytes: it gives them to the encrypted
//! database.

use parsec_protocol::chain::organisation::certificate::ManifestMark;
use parsec_protocol::codec;
use parsec_protocol::keys::UserSeed;
use parsec_protocol::limits::BODY_MAX_BYTES;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::UserKeyChange;
use parsec_protocol::sealing::{ENCRYPTION_KEY_BYTES, EncryptionKey, KeyHash};
use rusqlite::{Connection, OptionalExtension as _};

use super::integers::{integer, natural};
use super::{Store, StoreError};

/// Largest encoding of a public key: the key, its suite and the framing.
const KEY_MAX_BYTES: usize = ENCRYPTION_KEY_BYTES + 16;

/// A change of the user's key that was signed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingChange {
    /// Hash of the new key.
    pub key: KeyHash,
    /// What goes to the server, the same each time.
    pub change: UserKeyChange,
}

impl Store {
    /// The seed of a key of the user, if it is here beside the one in the key file.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], the disk's.
    pub fn user_seed(&self, key: &KeyHash) -> Result<Option<UserSeed>, StoreError> {
        let inner = self.inner()?;
        let mut select = inner.connection.prepare("SELECT seed FROM user_seed WHERE key = ?1")?;
        let mut rows = select.query([key.as_bytes()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let malformed = || StoreError::Damaged("a key in it is malformed");
        let seed = row.get_ref(0)?.as_blob().map_err(|_| malformed())?;
        UserSeed::from_slice(seed).map(Some).ok_or_else(malformed)
    }

    /// Keeps the seed of a key of the user; durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn put_user_seed(&self, key: &KeyHash, seed: &UserSeed) -> Result<(), StoreError> {
        put_seed(&self.inner()?.connection, key, seed)
    }

    /// The change that is under way.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], the disk's.
    pub fn key_change(&self) -> Result<Option<PendingChange>, StoreError> {
        let inner = self.inner()?;
        let row = inner
            .connection
            .query_row("SELECT key, change FROM key_change", [], |row| {
                Ok((KeyHash::from_bytes(row.get(0)?), row.get::<_, Vec<u8>>(1)?))
            })
            .optional()?;
        row.map(|(key, bytes)| {
            let change = codec::decode(&bytes, BODY_MAX_BYTES)
                .map_err(|_| StoreError::Damaged("a key change in it is malformed"))?;
            Ok(PendingChange { key, change })
        })
        .transpose()
    }

    /// Keeps a change with the seed of its key, before it goes out; durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where another one is under way; [`StoreError::TooLarge`];
    /// [`StoreError::DiskFull`]; the disk's.
    pub fn put_key_change(&self, pending: &PendingChange, seed: &UserSeed) -> Result<(), StoreError> {
        let bytes = codec::encode(&pending.change);
        if bytes.len() > BODY_MAX_BYTES {
            return Err(StoreError::TooLarge("the key change"));
        }
        let mut inner = self.inner()?;
        let transaction = inner.connection.transaction()?;
        let added = transaction.execute(
            "INSERT INTO key_change (only, key, change) VALUES (1, ?1, ?2) ON CONFLICT (only) DO NOTHING",
            (pending.key.as_bytes(), &bytes),
        )?;
        if added != 1 {
            return Err(StoreError::Conflict);
        }
        put_seed(&transaction, &pending.key, seed)?;
        transaction.commit()?;
        Ok(())
    }

    /// The change is not under way any more. Its seed stays: a server that refused it may still
    /// bring it into the log. Durable when it returns.
    ///
    /// # Errors
    /// The disk's.
    pub fn drop_key_change(&self) -> Result<(), StoreError> {
        self.inner()?.connection.execute("DELETE FROM key_change", [])?;
        Ok(())
    }

    /// The same once the log has decided: the seeds of all keys that it doesn't name for the user
    /// go, because no certificate for them can stand in it any more. Durable when it returns.
    ///
    /// # Errors
    /// The disk's.
    pub fn key_change_decided(&self, named: &[KeyHash]) -> Result<(), StoreError> {
        let mut inner = self.inner()?;
        let transaction = inner.connection.transaction()?;
        transaction.execute("DELETE FROM key_change", [])?;
        let kept: Vec<[u8; 32]> = {
            let mut select = transaction.prepare("SELECT key FROM user_seed")?;
            let rows = select.query_map([], |row| row.get(0))?;
            rows.collect::<Result<_, _>>()?
        };
        for key in kept.into_iter().map(KeyHash::from_bytes).filter(|key| !named.contains(key)) {
            transaction.execute("DELETE FROM user_seed WHERE key = ?1", [key.as_bytes()])?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// A public key that certificates name.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], the disk's.
    pub fn encryption_key(&self, hash: &KeyHash) -> Result<Option<EncryptionKey>, StoreError> {
        let inner = self.inner()?;
        let select = "SELECT key FROM encryption_key WHERE hash = ?1";
        let row = inner.connection.query_row(select, [hash.as_bytes()], |row| row.get::<_, Vec<u8>>(0));
        let damaged = || StoreError::Damaged("a public key in it is malformed");
        row.optional()?
            .map(|bytes| codec::decode(&bytes, KEY_MAX_BYTES).map_err(|_| damaged()))
            .transpose()
            .map(|key| key.filter(|key: &EncryptionKey| key.hash() == *hash))
    }

    /// Keeps public keys; durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn put_encryption_keys(&self, keys: &[EncryptionKey]) -> Result<(), StoreError> {
        let mut inner = self.inner()?;
        let transaction = inner.connection.transaction()?;
        put_keys(&transaction, keys)?;
        transaction.commit()?;
        Ok(())
    }

    /// Keeps the version of the manifest that a new device was told of.
    pub(super) fn put_manifest_mark(&self, mark: &ManifestMark) -> Result<(), StoreError> {
        self.inner()?.connection.execute(
            "INSERT INTO manifest_mark (only, version, hash) VALUES (1, ?1, ?2)",
            (integer(mark.version)?, mark.hash.as_bytes()),
        )?;
        Ok(())
    }

    /// The version of the manifest that this device was told of when it was enrolled.
    ///
    /// # Errors
    /// The disk's.
    pub fn manifest_mark(&self) -> Result<Option<ManifestMark>, StoreError> {
        let inner = self.inner()?;
        let row = inner
            .connection
            .query_row("SELECT version, hash FROM manifest_mark", [], |row| {
                Ok((row.get::<_, i64>(0)?, Hash::from_bytes(row.get(1)?)))
            })
            .optional()?;
        row.map(|(version, hash)| Ok(ManifestMark { version: natural(version)?, hash })).transpose()
    }
}

fn put_seed(connection: &Connection, key: &KeyHash, seed: &UserSeed) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO user_seed (key, seed) VALUES (?1, ?2) ON CONFLICT (key) DO NOTHING",
        (key.as_bytes(), seed.expose()),
    )?;
    Ok(())
}

/// Keeps public keys in a transaction of somebody else's.
pub(super) fn put_keys(connection: &Connection, keys: &[EncryptionKey]) -> Result<(), StoreError> {
    let mut insert = connection
        .prepare("INSERT INTO encryption_key (hash, key) VALUES (?1, ?2) ON CONFLICT (hash) DO NOTHING")?;
    for key in keys {
        insert.execute((key.hash().as_bytes(), codec::encode(key)))?;
    }
    Ok(())
}
