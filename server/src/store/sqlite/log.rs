//! Organisations and their logs as rows.
//!
//! Decides nothing about what may enter a log. Triggers keep each log's count, head and bytes in
//! the organisation's row (schema/0001_first.sql), so that no request counts rows.

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::head::Head;
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::ids::{OrganisationId, Timestamp};
use parsec_protocol::limits::{BODY_MAX_BYTES, LOG_PAGE_MAX_CERTIFICATES};
use parsec_protocol::public_keys::{Hash, VerifyKey};
use parsec_protocol::relay::LogPage;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::values::{bytes, damaged, limit, stored, unstored};
use crate::store::StoreError;
use crate::store::rows::{Lasting, Listed, LogEnd, Organisation};

/// Framing of a page: its count and the array's head, generously.
const PAGE_FRAME_BYTES: usize = 1_024;
/// Framing of one certificate in a page.
const ENTRY_FRAME_BYTES: usize = 3;

/// Reserves a name. `false`: it is taken.
pub(super) fn reserve(
    sql: &Connection,
    organisation: &OrganisationId,
    bootstrap_hash: Hash,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let mut insert = sql.prepare_cached(
        "INSERT INTO organisation (id, bootstrap_hash, created) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    Ok(insert.execute(params![organisation.as_str(), bootstrap_hash.as_bytes(), stored(now.0)])? == 1)
}

/// Replaces the bootstrap token of a name that is not founded yet. `false`: there is no such name.
pub(super) fn reissue(
    sql: &Connection,
    organisation: &OrganisationId,
    bootstrap_hash: Hash,
) -> Result<bool, StoreError> {
    let mut update =
        sql.prepare_cached("UPDATE organisation SET bootstrap_hash = ?2 WHERE id = ?1 AND root IS NULL")?;
    Ok(update.execute(params![organisation.as_str(), bootstrap_hash.as_bytes()])? == 1)
}

/// All names.
pub(super) fn organisations(sql: &Connection) -> Result<Vec<Listed>, StoreError> {
    let mut select =
        sql.prepare("SELECT id, root IS NOT NULL, users, certificates FROM organisation ORDER BY id")?;
    let rows = select.query_map([], |row| {
        Ok(Listed {
            name: row.get(0)?,
            founded: row.get(1)?,
            users: row.get(2).map(unstored)?,
            certificates: row.get(3).map(unstored)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One name.
pub(super) fn organisation(
    sql: &Connection,
    organisation: &OrganisationId,
) -> Result<Option<Organisation>, StoreError> {
    type Columns = (Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>);
    let mut select =
        sql.prepare_cached("SELECT bootstrap_hash, root, founding_hash FROM organisation WHERE id = ?1")?;
    let row: Option<Columns> = select
        .query_row([organisation.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((bootstrap_hash, root, founding_hash)) = row else { return Ok(None) };
    let founded = match (root, founding_hash) {
        (Some(root), Some(hash)) => {
            Some((VerifyKey::from_bytes(bytes(root)?), Hash::from_bytes(bytes(hash)?)))
        }
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return Err(damaged("organisation")),
    };
    Ok(Some(Organisation { bootstrap_hash: Hash::from_bytes(bytes(bootstrap_hash)?), founded }))
}

/// Notes who founded.
pub(super) fn set_founded(
    sql: &Connection,
    organisation: &OrganisationId,
    root: &VerifyKey,
    founding_hash: Hash,
) -> Result<(), StoreError> {
    sql.execute(
        "UPDATE organisation SET root = ?2, founding_hash = ?3 WHERE id = ?1",
        params![organisation.as_str(), root.as_bytes(), founding_hash.as_bytes()],
    )?;
    Ok(())
}

/// Where the log ends: one row, whatever its length.
pub(super) fn end(sql: &Connection, organisation: &OrganisationId) -> Result<Option<LogEnd>, StoreError> {
    type Columns = (Option<Vec<u8>>, i64, Option<Vec<u8>>);
    let mut select = sql.prepare_cached("SELECT root, certificates, head FROM organisation WHERE id = ?1")?;
    let row: Option<Columns> = select
        .query_row([organisation.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((Some(root), count, head)) = row else { return Ok(None) };
    let root = VerifyKey::from_bytes(bytes(root)?);
    let head = match head {
        Some(hash) => Head { count: unstored(count), hash: Hash::from_bytes(bytes(hash)?) },
        None => Head::empty(organisation, &root),
    };
    Ok(Some(LogEnd { root, head }))
}

/// The head's hash after the certificate at `position`.
pub(super) fn head_after(
    sql: &Connection,
    organisation: &OrganisationId,
    position: u64,
) -> Result<Option<Hash>, StoreError> {
    let mut select =
        sql.prepare_cached("SELECT head FROM certificate WHERE organisation = ?1 AND position = ?2")?;
    let head: Option<Vec<u8>> =
        select.query_row(params![organisation.as_str(), stored(position)], |row| row.get(0)).optional()?;
    head.map(|hash| bytes(hash).map(Hash::from_bytes)).transpose()
}

/// The envelope at `position`.
pub(super) fn envelope(
    sql: &Connection,
    organisation: &OrganisationId,
    position: u64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut select =
        sql.prepare_cached("SELECT envelope FROM certificate WHERE organisation = ?1 AND position = ?2")?;
    Ok(select.query_row(params![organisation.as_str(), stored(position)], |row| row.get(0)).optional()?)
}

/// Where the certificate with this hash stands.
pub(super) fn position_of(
    sql: &Connection,
    organisation: &OrganisationId,
    certificate: &Hash,
) -> Result<Option<u64>, StoreError> {
    let mut select =
        sql.prepare_cached("SELECT position FROM certificate WHERE organisation = ?1 AND hash = ?2")?;
    Ok(select
        .query_row(params![organisation.as_str(), certificate.as_bytes()], |row| row.get(0).map(unstored))
        .optional()?)
}

/// A page of the log.
pub(super) fn page(
    sql: &Connection,
    organisation: &OrganisationId,
    from: u64,
) -> Result<LogPage, StoreError> {
    let mut count = sql.prepare_cached("SELECT certificates FROM organisation WHERE id = ?1")?;
    let count = count.query_row([organisation.as_str()], |row| row.get(0).map(unstored)).optional()?;
    let mut select = sql.prepare_cached(
        "SELECT envelope FROM certificate WHERE organisation = ?1 AND position >= ?2 ORDER BY position LIMIT ?3",
    )?;
    let mut rows =
        select.query(params![organisation.as_str(), stored(from), limit(LOG_PAGE_MAX_CERTIFICATES)])?;
    let mut certificates = Vec::new();
    // 500 of the largest certificates fit the largest body; the sum is watched all the same, as a
    // reader would refuse more.
    let mut room = BODY_MAX_BYTES.saturating_sub(PAGE_FRAME_BYTES);
    while let Some(row) = rows.next()? {
        let envelope: Vec<u8> = row.get(0)?;
        let Some(left) = room.checked_sub(envelope.len().saturating_add(ENTRY_FRAME_BYTES)) else { break };
        room = left;
        certificates.push(ByteVec::from(envelope));
    }
    Ok(LogPage { count: count.unwrap_or_default(), certificates })
}

/// Puts one envelope at the end of the log.
pub(super) fn insert_certificate(
    sql: &Connection,
    organisation: &OrganisationId,
    envelope: &[u8],
    head_after: &Head,
) -> Result<(), StoreError> {
    let position = head_after.count.saturating_sub(1);
    let mut insert = sql.prepare_cached(
        "INSERT INTO certificate (organisation, position, envelope, head, hash) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    insert.execute(params![
        organisation.as_str(),
        stored(position),
        envelope,
        head_after.hash.as_bytes(),
        Hash::of(&[envelope]).as_bytes()
    ])?;
    Ok(())
}

/// Keeps the receipt of an enrolment.
pub(super) fn insert_receipt(
    sql: &Connection,
    organisation: &OrganisationId,
    position: u64,
    receipt: &ClaimReceipt,
) -> Result<(), StoreError> {
    let mut insert =
        sql.prepare_cached("INSERT INTO receipt (organisation, position, receipt) VALUES (?1, ?2, ?3)")?;
    let receipt = parsec_protocol::codec::encode(receipt);
    insert.execute(params![organisation.as_str(), stored(position), receipt])?;
    Ok(())
}

/// Bytes of manifests, of the log with its receipts, of keys with their boxes, and of safes.
pub(super) fn lasting(sql: &Connection, organisation: &OrganisationId) -> Result<Lasting, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT manifest_bytes, log_bytes, key_bytes, safe_bytes FROM organisation WHERE id = ?1",
    )?;
    let row = select.query_row([organisation.as_str()], |row| {
        let number = |column| row.get(column).map(unstored);
        Ok(Lasting { manifests: number(0)?, log: number(1)?, keys: number(2)?, safes: number(3)? })
    });
    Ok(row.optional()?.unwrap_or(Lasting { manifests: 0, log: 0, keys: 0, safes: 0 }))
}
