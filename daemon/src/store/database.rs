//! A device's local store: an SQLCipher database under the local store key.

use std::sync::Mutex;

/// An open store. Calls from several threads take turns.
#[derive(Debug)]
pub struct Store {
    #[expect(dead_code, reason = "signatures first")]
    connection: Mutex<rusqlite::Connection>,
}
