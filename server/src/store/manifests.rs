//! User manifests as rows: one per user, the newest.
//!
//! Decides that a version follows the one before it; the content is opaque.

use minicbor::bytes::ByteVec;
use parsec_protocol::ids::{OrganisationId, UserId};
use parsec_protocol::relay::{ErrorCode, ManifestUpload, ManifestView};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{stored, unstored};
use crate::errors::Refusal;

/// The newest manifest of a user.
pub(crate) fn newest(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserId,
) -> Result<ManifestView, Refusal> {
    let mut select =
        sql.prepare_cached("SELECT version, envelope FROM manifest WHERE organisation = ?1 AND user = ?2")?;
    let row: Option<(i64, Vec<u8>)> = select
        .query_row(params![organisation.as_str(), user.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(match row {
        Some((version, envelope)) => {
            ManifestView { version: unstored(version), envelope: Some(ByteVec::from(envelope)) }
        }
        None => ManifestView { version: 0, envelope: None },
    })
}

/// Replaces it by the next one.
pub(crate) fn put(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserId,
    upload: &ManifestUpload,
) -> Result<(), Refusal> {
    let present = newest(sql, organisation, user)?;
    if present.version == upload.version && present.envelope.as_ref() == Some(&upload.envelope) {
        return Ok(());
    }
    if present.version.checked_add(1) != Some(upload.version) {
        return Err(ErrorCode::ManifestConflict.into());
    }
    let mut replace = sql.prepare_cached(
        "INSERT INTO manifest (organisation, user, version, envelope) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET version = excluded.version, envelope = excluded.envelope",
    )?;
    replace.execute(params![
        organisation.as_str(),
        user.as_bytes(),
        stored(upload.version),
        upload.envelope.as_slice()
    ])?;
    Ok(())
}
