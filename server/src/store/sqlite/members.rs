//! Users, devices and manifests as rows: what the log says, for look-ups.
//!
//! Decides nothing: which certificates change a row, and when, is the caller's. Triggers keep how
//! many there are.

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::organisation::certificate::{DeviceKind, Profile};
use parsec_protocol::ids::{DeviceId, Email, OrganisationId, UserId};
use parsec_protocol::public_keys::VerifyKey;
use parsec_protocol::relay::{ManifestUpload, ManifestView};
use parsec_protocol::sealing::KeyHash;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::keys;
use super::values::{bytes, damaged, from_number, number_of, stored, unstored};
use crate::invitations::Member;
use crate::store::StoreError;
use crate::store::rows::{Device, DeviceToAdd, Signer, User, UserToAdd};

/// A device with its user, as a signer.
pub(super) fn signer(
    sql: &Connection,
    organisation: &OrganisationId,
    device: &DeviceId,
) -> Result<Option<Signer>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT d.user, d.verify_key, u.profile, d.revoked OR u.revoked, d.kind
         FROM device d JOIN user u ON u.organisation = d.organisation AND u.user = d.user
         WHERE d.organisation = ?1 AND d.device = ?2",
    )?;
    type SignerColumns = (Vec<u8>, Vec<u8>, i64, bool, i64);
    let row: Option<SignerColumns> = select
        .query_row(params![organisation.as_str(), device.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })
        .optional()?;
    let Some((user, verify_key, profile, revoked, kind)) = row else { return Ok(None) };
    let kind: DeviceKind = from_number(kind)?;
    let member =
        Member { user: UserId::from_bytes(bytes(user)?), device: *device, profile: from_number(profile)? };
    let verify_key = VerifyKey::from_bytes(bytes(verify_key)?);
    Ok(Some(Signer { member, verify_key, kind, revoked }))
}

/// A user by id.
pub(super) fn user(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserId,
) -> Result<Option<User>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT email, profile, encryption_key, revoked, profile_position, devices, devices_revoked,
            abandoned, key_changes
         FROM user WHERE organisation = ?1 AND user = ?2",
    )?;
    type UserColumns = (String, i64, Vec<u8>, bool, [u64; 5]);
    let row: Option<UserColumns> = select
        .query_row(params![organisation.as_str(), user.as_bytes()], |row| {
            let number = |column| row.get(column).map(unstored);
            let numbers = [number(4)?, number(5)?, number(6)?, number(7)?, number(8)?];
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, numbers))
        })
        .optional()?;
    let Some((email, profile, encryption_key, revoked, numbers)) = row else { return Ok(None) };
    let [profile_position, devices, devices_revoked, abandoned, key_changes] = numbers;
    Ok(Some(User {
        email: email.parse().map_err(|_| damaged("email"))?,
        profile: from_number(profile)?,
        profile_position,
        revoked,
        devices,
        devices_revoked,
        abandoned,
        encryption_key: KeyHash::from_bytes(bytes(encryption_key)?),
        key_changes,
    }))
}

/// A device by id.
pub(super) fn device(
    sql: &Connection,
    organisation: &OrganisationId,
    device: &DeviceId,
) -> Result<Option<Device>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT user, revoked, last_change FROM device WHERE organisation = ?1 AND device = ?2",
    )?;
    let row: Option<(Vec<u8>, bool, Option<i64>)> = select
        .query_row(params![organisation.as_str(), device.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((user, revoked, last_change)) = row else { return Ok(None) };
    Ok(Some(Device {
        user: UserId::from_bytes(bytes(user)?),
        revoked,
        last_change: last_change.map(unstored),
    }))
}

/// Whether a user who is not revoked has this e-mail.
pub(super) fn email_in_use(
    sql: &Connection,
    organisation: &OrganisationId,
    email: &Email,
) -> Result<bool, StoreError> {
    exists(
        sql,
        "SELECT EXISTS (SELECT 1 FROM user WHERE organisation = ?1 AND email = ?2 AND revoked = 0)",
        params![organisation.as_str(), email.as_str()],
    )
}

/// Whether a device ever had this verify key.
pub(super) fn verify_key_used(
    sql: &Connection,
    organisation: &OrganisationId,
    key: &VerifyKey,
) -> Result<bool, StoreError> {
    exists(
        sql,
        "SELECT EXISTS (SELECT 1 FROM device WHERE organisation = ?1 AND verify_key = ?2)",
        params![organisation.as_str(), key.as_bytes()],
    )
}

/// The one answer of a query that asks whether there is something.
pub(super) fn exists(
    sql: &Connection,
    query: &str,
    values: impl rusqlite::Params,
) -> Result<bool, StoreError> {
    Ok(sql.prepare_cached(query)?.query_row(values, |row| row.get(0))?)
}

/// Adds a user.
pub(super) fn insert_user(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserToAdd<'_>,
) -> Result<(), StoreError> {
    let mut insert = sql.prepare_cached(
        "INSERT INTO user (organisation, user, email, encryption_key, profile, profile_position)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    insert.execute(params![
        organisation.as_str(),
        user.user.as_bytes(),
        user.email.as_str(),
        user.encryption_key.as_bytes(),
        number_of(&user.profile),
        stored(user.position)
    ])?;
    keys::insert(sql, organisation, user.encryption_key, Some(user.user))
}

/// Adds a device.
pub(super) fn insert_device(
    sql: &Connection,
    organisation: &OrganisationId,
    device: &DeviceToAdd<'_>,
) -> Result<(), StoreError> {
    let mut insert = sql.prepare_cached(
        "INSERT INTO device (organisation, device, user, verify_key, kind, position)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    insert.execute(params![
        organisation.as_str(),
        device.device.as_bytes(),
        device.user.as_bytes(),
        device.verify_key.as_bytes(),
        number_of(&device.kind),
        stored(device.position)
    ])?;
    keys::insert(sql, organisation, device.encryption_key, None)
}

/// The user's devices that are not revoked by themselves, ascending by id.
pub(super) fn standing_devices(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserId,
) -> Result<Vec<DeviceId>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT device FROM device WHERE organisation = ?1 AND user = ?2 AND revoked = 0 ORDER BY device",
    )?;
    let rows: Vec<Vec<u8>> = select
        .query_map(params![organisation.as_str(), user.as_bytes()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    rows.into_iter().map(|device| bytes(device).map(DeviceId::from_bytes)).collect()
}

/// Gives a user a profile.
pub(super) fn set_profile(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserId,
    profile: Profile,
    position: u64,
) -> Result<(), StoreError> {
    let mut update = sql.prepare_cached(
        "UPDATE user SET profile = ?3, profile_position = ?4 WHERE organisation = ?1 AND user = ?2",
    )?;
    update.execute(params![organisation.as_str(), user.as_bytes(), number_of(&profile), stored(position)])?;
    Ok(())
}

/// Marks a user as revoked.
pub(super) fn revoke_user(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserId,
) -> Result<(), StoreError> {
    let mut update =
        sql.prepare_cached("UPDATE user SET revoked = 1 WHERE organisation = ?1 AND user = ?2")?;
    update.execute(params![organisation.as_str(), user.as_bytes()])?;
    Ok(())
}

/// Marks a device as revoked.
pub(super) fn revoke_device(
    sql: &Connection,
    organisation: &OrganisationId,
    device: &DeviceId,
) -> Result<(), StoreError> {
    let mut update =
        sql.prepare_cached("UPDATE device SET revoked = 1 WHERE organisation = ?1 AND device = ?2")?;
    update.execute(params![organisation.as_str(), device.as_bytes()])?;
    Ok(())
}

/// Notes the position of the newest change that a device has signed.
pub(super) fn set_last_change(
    sql: &Connection,
    organisation: &OrganisationId,
    device: &DeviceId,
    position: u64,
) -> Result<(), StoreError> {
    let mut update =
        sql.prepare_cached("UPDATE device SET last_change = ?3 WHERE organisation = ?1 AND device = ?2")?;
    update.execute(params![organisation.as_str(), device.as_bytes(), stored(position)])?;
    Ok(())
}

/// A user's newest manifest.
pub(super) fn manifest(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserId,
) -> Result<ManifestView, StoreError> {
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

/// Replaces a user's manifest.
pub(super) fn set_manifest(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserId,
    upload: &ManifestUpload,
) -> Result<(), StoreError> {
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
