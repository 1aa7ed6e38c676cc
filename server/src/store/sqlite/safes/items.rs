//! A safe, its certificates and its records as rows.
//!
//! Decides nothing.

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::head::Head;
use parsec_protocol::codec;
use parsec_protocol::ids::{DeviceId, OrganisationId, UserId};
use parsec_protocol::limits::LOG_PAGE_MAX_CERTIFICATES;
use parsec_protocol::relay::{JOURNAL_PAGE_MAX_BYTES, JournalPage, SafeLogPage};
use parsec_protocol::safe_log::view::Present;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::values::{bytes, damaged, limit, stored, unstored};
use super::named;
use crate::store::StoreError;
use crate::store::safes::{SafeCounts, SafeKey, SafeRow, SafeToAdd, StoredItem};

/// Bytes of a log's page: below what any answer may have.
const PAGE_MAX_BYTES: usize = JOURNAL_PAGE_MAX_BYTES;

/// What the rules go on from, read back.
pub(super) fn present(encoded: &[u8]) -> Result<Present, StoreError> {
    codec::decode(encoded, encoded.len()).map_err(|_| damaged("safe"))
}

/// A safe.
pub(in super::super) fn safe(sql: &Connection, of: SafeKey<'_>) -> Result<Option<SafeRow>, StoreError> {
    let mut select =
        sql.prepare_cached("SELECT founder, present FROM safe WHERE organisation = ?1 AND safe = ?2")?;
    let row: Option<(Vec<u8>, Vec<u8>)> =
        select.query_row(named(&of), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((founder, encoded)) = row else { return Ok(None) };
    Ok(Some(SafeRow { founder: DeviceId::from_bytes(bytes(founder)?), present: present(&encoded)? }))
}

/// Makes a safe.
pub(in super::super) fn insert_safe(
    sql: &Connection,
    of: SafeKey<'_>,
    safe: &SafeToAdd<'_>,
) -> Result<(), StoreError> {
    let mut insert = sql.prepare_cached(
        "INSERT INTO safe (organisation, safe, founder, founded_by, present) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    insert.execute(params![
        of.organisation.as_str(),
        of.safe.as_bytes(),
        safe.founder.as_bytes(),
        safe.founded_by.as_bytes(),
        codec::encode(safe.present)
    ])?;
    Ok(())
}

/// Notes what the rules go on from.
pub(in super::super) fn set_present(
    sql: &Connection,
    of: SafeKey<'_>,
    present: &Present,
) -> Result<(), StoreError> {
    let mut update =
        sql.prepare_cached("UPDATE safe SET present = ?3 WHERE organisation = ?1 AND safe = ?2")?;
    update.execute(params![of.organisation.as_str(), of.safe.as_bytes(), codec::encode(present)])?;
    Ok(())
}

/// How many safes there are.
pub(in super::super) fn safe_counts(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserId,
) -> Result<SafeCounts, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT o.safes, (SELECT count(*) FROM safe s WHERE s.organisation = o.id AND s.founded_by = ?2)
         FROM organisation o WHERE o.id = ?1",
    )?;
    Ok(select.query_row(params![organisation.as_str(), user.as_bytes()], |row| {
        Ok(SafeCounts { all: row.get(0).map(unstored)?, own: row.get(1).map(unstored)? })
    })?)
}

/// Bytes of all safes of an organisation.
pub(in super::super) fn safe_bytes(
    sql: &Connection,
    organisation: &OrganisationId,
) -> Result<u64, StoreError> {
    let mut select = sql.prepare_cached("SELECT safe_bytes FROM organisation WHERE id = ?1")?;
    let row = select.query_row([organisation.as_str()], |row| row.get(0).map(unstored)).optional()?;
    Ok(row.unwrap_or_default())
}

/// A page of a safe's log.
pub(in super::super) fn page(
    sql: &Connection,
    of: SafeKey<'_>,
    from: u64,
) -> Result<SafeLogPage, StoreError> {
    let count = safe(sql, of)?.map_or(0, |safe| safe.present.log.count);
    let select = "SELECT envelope FROM safe_certificate
        WHERE organisation = ?1 AND safe = ?2 AND position >= ?3 ORDER BY position LIMIT ?4";
    let certificates = envelopes(sql, select, of, from, LOG_PAGE_MAX_CERTIFICATES)?;
    Ok(SafeLogPage { count, certificates })
}

/// Records behind the first `from`.
pub(in super::super) fn journal(
    sql: &Connection,
    of: SafeKey<'_>,
    from: u64,
) -> Result<JournalPage, StoreError> {
    let seq = safe(sql, of)?.map_or(0, |safe| safe.present.journal.count);
    let select = "SELECT envelope FROM safe_record
        WHERE organisation = ?1 AND safe = ?2 AND seq > ?3 ORDER BY seq LIMIT ?4";
    Ok(JournalPage { seq, records: envelopes(sql, select, of, from, usize::MAX)? })
}

/// As many as fit one answer, and one at least.
fn envelopes(
    sql: &Connection,
    select: &str,
    of: SafeKey<'_>,
    from: u64,
    most: usize,
) -> Result<Vec<ByteVec>, StoreError> {
    let mut select = sql.prepare_cached(select)?;
    let mut rows =
        select.query(params![of.organisation.as_str(), of.safe.as_bytes(), stored(from), limit(most)])?;
    let (mut found, mut room) = (Vec::new(), PAGE_MAX_BYTES);
    while let Some(row) = rows.next()? {
        let envelope: Vec<u8> = row.get(0)?;
        match room.checked_sub(envelope.len()) {
            Some(left) => room = left,
            None if found.is_empty() => room = 0,
            None => break,
        }
        found.push(ByteVec::from(envelope));
    }
    Ok(found)
}

/// The certificate at a position.
pub(in super::super) fn certificate(
    sql: &Connection,
    of: SafeKey<'_>,
    position: u64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let select =
        "SELECT envelope FROM safe_certificate WHERE organisation = ?1 AND safe = ?2 AND position = ?3";
    envelope(sql, select, of, position)
}

/// The record of a number.
pub(in super::super) fn record(
    sql: &Connection,
    of: SafeKey<'_>,
    seq: u64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let select = "SELECT envelope FROM safe_record WHERE organisation = ?1 AND safe = ?2 AND seq = ?3";
    envelope(sql, select, of, seq)
}

/// The one envelope that `select` finds by organisation, safe and its number.
fn envelope(
    sql: &Connection,
    select: &str,
    of: SafeKey<'_>,
    number: u64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let values = params![of.organisation.as_str(), of.safe.as_bytes(), stored(number)];
    Ok(sql.prepare_cached(select)?.query_row(values, |row| row.get(0)).optional()?)
}

/// Keeps a certificate.
pub(in super::super) fn insert_certificate(
    sql: &Connection,
    of: SafeKey<'_>,
    item: &StoredItem<'_>,
    after: &Head,
) -> Result<(), StoreError> {
    let mut insert = sql.prepare_cached(
        "INSERT INTO safe_certificate (organisation, safe, position, author, head, envelope)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let position = after.count.saturating_sub(1);
    insert.execute(params![
        of.organisation.as_str(),
        of.safe.as_bytes(),
        stored(position),
        item.author.as_bytes(),
        after.hash.as_bytes(),
        item.bytes
    ])?;
    Ok(())
}

/// Keeps a record.
pub(in super::super) fn insert_record(
    sql: &Connection,
    of: SafeKey<'_>,
    item: &StoredItem<'_>,
    after: &Head,
) -> Result<(), StoreError> {
    let mut insert = sql.prepare_cached(
        "INSERT INTO safe_record (organisation, safe, seq, author, head, envelope)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    insert.execute(params![
        of.organisation.as_str(),
        of.safe.as_bytes(),
        stored(after.count),
        item.author.as_bytes(),
        after.hash.as_bytes(),
        item.bytes
    ])?;
    Ok(())
}
