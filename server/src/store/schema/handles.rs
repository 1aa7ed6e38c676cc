//! Fills what the handles' script adds to a database that has invitations already.

use parsec_protocol::public::Hash;
use rusqlite::{Connection, params};

use super::OpenError;

/// The handle of every invitation there is, one after the other by its number.
pub(super) fn fill(sql: &Connection) -> Result<(), OpenError> {
    let mut select =
        sql.prepare("SELECT number, token FROM invitation WHERE number > ?1 ORDER BY number LIMIT 1")?;
    let mut update = sql.prepare("UPDATE invitation SET handle = ?2 WHERE number = ?1")?;
    let mut from = 0_i64;
    loop {
        let mut rows = select.query([from])?;
        let Some(row) = rows.next()? else { return Ok(()) };
        let (number, token): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        update.execute(params![number, Hash::of(&[&token]).as_bytes()])?;
        from = number;
    }
}
