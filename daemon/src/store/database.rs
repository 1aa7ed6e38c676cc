//! A device's local store: an SQLCipher database under the local store key.
//!
//! Decides how it is opened: raw key (no password, no derivation), every page authenticated and
//! checked, memory wiped by SQLCipher, temporary tables in memory, every commit synced before it is
//! acknowledged. Refuses a database of another program, of a later version, or whose log does not
//! contain the head that the key file pins.

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use parsec_protocol::chain::head::Head;
use parsec_protocol::enrol::io::NewDevice;
use parsec_protocol::ids::OrganisationId;
use parsec_protocol::keys::LocalStoreKey;
use parsec_protocol::public_keys::VerifyKey;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use zeroize::Zeroizing;

use super::atomic::Folder;
use super::integers::natural;
use super::pieces::{Pieces, opening};
use super::{StoreError, layout, migrations};

/// "PRSC": tells this program's databases from others'.
const APPLICATION_ID: i32 = 0x5052_5343;

/// An open store. Calls from several threads take turns.
pub struct Store {
    inner: Mutex<Inner>,
    /// Sealed pieces of contents, beside the database.
    pub(super) pieces: Pieces,
}

/// The connection, and the head of the log in it.
pub(super) struct Inner {
    pub(super) connection: Connection,
    pub(super) head: Head,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store(..)")
    }
}

impl Store {
    /// Makes the store of a new device in its folder, with the log it verified; durable when this
    /// returns.
    pub(super) fn create(folder: &Folder, new: &NewDevice) -> Result<(), StoreError> {
        // Made by us with its final mode; SQLite gives the files beside it the same.
        folder.write_new(layout::STORE, &[])?;
        let mut connection = connect(folder, &new.store_key)?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        migrations::run(&mut connection)?;
        let head = Head::empty(&new.organisation, &new.root);
        let inner = Inner { connection, head };
        let store = Self { inner: Mutex::new(inner), pieces: Pieces::new(folder, None)? };
        store.append_certificates(0, &new.log)?;
        new.manifest.iter().try_for_each(|mark| store.put_manifest_mark(mark))?;
        store.put_directory_keys(&new.directory_keys)?;
        if store.head()? != new.seen {
            return Err(StoreError::Damaged("the log does not lead to its head"));
        }
        let inner = store.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Closing writes everything into the one file: SQLite knows its files by path, and the
        // folder gets another.
        inner.connection.close().map_err(|(_, error)| StoreError::from(error))?;
        folder.sync_file(layout::STORE)
    }

    /// Opens a device's store and checks all of it; removes what a crash left beside it. `kept_max`
    /// bounds the bytes of pieces that are kept, where somebody says so.
    pub(super) fn open(
        folder: &Folder,
        key: &LocalStoreKey,
        organisation: &OrganisationId,
        root: &VerifyKey,
        pinned: Head,
        kept_max: Option<u64>,
    ) -> Result<Self, StoreError> {
        if !folder.has(layout::STORE)? {
            return Err(StoreError::Damaged("it is missing"));
        }
        let mut connection = connect(folder, key)?;
        let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        if id != APPLICATION_ID {
            return Err(StoreError::Damaged("it is not Parsec's"));
        }
        check_integrity(&connection)?;
        migrations::run(&mut connection)?;
        let head = head_of(&connection, Head::empty(organisation, root), pinned)?;
        let pieces = Pieces::new(folder, kept_max)?;
        opening::look_through(&connection, &pieces)?;
        Ok(Self { inner: Mutex::new(Inner { connection, head }), pieces })
    }

    /// The connection, for one call.
    ///
    /// A thread that panicked with it leaves nothing half done: its transaction was taken back when
    /// it was dropped, and the head is set in one assignment, after the commit. What an open
    /// transaction would say otherwise is taken back here.
    ///
    /// # Errors
    /// The database's.
    pub(super) fn inner(&self) -> Result<MutexGuard<'_, Inner>, StoreError> {
        match self.inner.lock() {
            Ok(inner) => Ok(inner),
            Err(poisoned) => {
                let inner = poisoned.into_inner();
                if !inner.connection.is_autocommit() {
                    inner.connection.execute_batch("ROLLBACK")?;
                }
                self.inner.clear_poison();
                Ok(inner)
            }
        }
    }
}

/// Walks over the stored log: positions without a gap, through the head that the key file pins.
fn head_of(connection: &Connection, empty: Head, pinned: Head) -> Result<Head, StoreError> {
    let mut head = empty;
    let mut met = head == pinned;
    let mut select = connection.prepare("SELECT position, envelope FROM log ORDER BY position")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        if natural(row.get(0)?)? != head.count {
            return Err(StoreError::Damaged("its log has a gap"));
        }
        head =
            head.after(row.get_ref(1)?.as_blob().map_err(|_| StoreError::Damaged("its log is malformed"))?);
        met |= head == pinned;
    }
    if met {
        Ok(head)
    } else {
        Err(StoreError::Damaged("its log is older than the device's keys, or another one"))
    }
}

/// Memory for pages of one device's database: twice what is usual. It is locked into memory as far
/// as a user may do that, 8 MiB on most machines, of which another device's key needs a page, too.
const CACHE_KIB: i64 = 4 * 1024;
/// How long opening waits for the connection of the session before to be gone: what a read or a
/// commit of it takes on a slow disk.
const BEFORE_WAIT: std::time::Duration = std::time::Duration::from_secs(2);
/// Statements that stay prepared: all there are. Reading one takes longer than running it.
const STATEMENTS_MAX: usize = 128;

/// Opens the file and gives it its key.
fn connect(folder: &Folder, key: &LocalStoreKey) -> Result<Connection, StoreError> {
    folder.check_file(layout::STORE)?;
    for file in layout::BESIDE_STORE {
        folder.check_file(file)?;
    }
    // No creation, no URI names, no links anywhere in the path.
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(folder.path().join(layout::STORE), flags)?;
    // Somebody's last request of a session that was just locked may have the file for a moment.
    connection.busy_timeout(BEFORE_WAIT)?;
    // Before the key is known to SQLCipher, so that its copies are wiped too. What goes wrong is in
    // the error: its own lines on stderr would bypass the log.
    connection.execute_batch("PRAGMA cipher_log_level = NONE; PRAGMA cipher_memory_security = ON;")?;
    connection.execute_batch(&key_pragma(key))?;
    // EXCLUSIVE before WAL: then there is no shared-memory file. FULL: an acknowledged commit
    // survives a power cut.
    connection.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE;
         PRAGMA temp_store = MEMORY;
         PRAGMA secure_delete = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;
         PRAGMA foreign_keys = ON;",
    )?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Damaged("it can't keep a write-ahead log"));
    }
    connection.execute_batch("PRAGMA synchronous = FULL;")?;
    // Nobody else opens the file from now on: waiting would only hide a mistake.
    connection.busy_timeout(std::time::Duration::ZERO)?;
    // A page that is not in memory is read, authenticated and decrypted again: that takes a hundred
    // times as long as the look at it.
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // A plan depends on the statement alone. Otherwise SQLite, as it is built here, compiles a
    // statement anew for each new value that might let it plan better.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

/// `PRAGMA key` with the raw key: 64 digits inside `x''` make SQLCipher use the bytes as they are.
fn key_pragma(key: &LocalStoreKey) -> Zeroizing<String> {
    // Room for all of it at once: growing would leave unwiped copies behind.
    let mut pragma = Zeroizing::new(String::with_capacity(96));
    pragma.push_str("PRAGMA key = \"x'");
    for byte in key.expose() {
        // Writing to a String can't fail.
        let _ = write!(pragma, "{byte:02x}");
    }
    pragma.push_str("'\";");
    pragma
}

/// Every page's authentication code, then SQLite's own structure.
fn check_integrity(connection: &Connection) -> Result<(), StoreError> {
    let mut statement = connection.prepare("PRAGMA cipher_integrity_check")?;
    if statement.query([])?.next()?.is_some() {
        return Err(StoreError::Damaged("a page does not authenticate"));
    }
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(StoreError::Damaged("its structure is broken")) }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            // A wrong key, or a first page that does not authenticate: the key file is
            // authenticated, so the latter.
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Damaged("a page does not authenticate")
            }
            Some(_) | None => Self::Database(error),
        }
    }
}
