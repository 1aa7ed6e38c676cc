//! Plans and shares of split kits, as rows.
//!
//! Decides nothing. Triggers keep how many bytes there are, and take away what a revocation makes
//! worthless.

use parsec_protocol::ids::{DeviceId, OrganisationId, UserId};
use parsec_protocol::relay::{ShareBox, SplitKit};
use parsec_protocol::sealing::KeyHash;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::values::{bytes, limit, unstored};
use crate::store::StoreError;

/// How many kits of this user are split. They are few: they are counted.
pub(super) fn plans_of(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserId,
) -> Result<u64, StoreError> {
    let mut select =
        sql.prepare_cached("SELECT count(*) FROM share_plan WHERE organisation = ?1 AND user = ?2")?;
    let named = params![organisation.as_str(), user.as_bytes()];
    Ok(select.query_row(named, |row| row.get(0).map(unstored))?)
}

/// Of how many kits this member has a share: at most as many as there may be.
pub(super) fn held(
    sql: &Connection,
    organisation: &OrganisationId,
    member: &UserId,
) -> Result<u64, StoreError> {
    let mut select =
        sql.prepare_cached("SELECT count(*) FROM share_box WHERE organisation = ?1 AND member = ?2")?;
    let named = params![organisation.as_str(), member.as_bytes()];
    Ok(select.query_row(named, |row| row.get(0).map(unstored))?)
}

/// The split kits that concern a user.
pub(super) fn kits(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserId,
    most: usize,
) -> Result<Vec<SplitKit>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT user, kit FROM share_plan WHERE organisation = ?1 AND user = ?2
         UNION
         SELECT p.user, p.kit FROM share_box b
         JOIN share_plan p ON p.organisation = b.organisation AND p.kit = b.kit
         WHERE b.organisation = ?1 AND b.member = ?2
         ORDER BY 1, 2 LIMIT ?3",
    )?;
    let values = params![organisation.as_str(), user.as_bytes(), limit(most)];
    let rows: Vec<(Vec<u8>, Vec<u8>)> =
        select.query_map(values, |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let read = |(user, kit)| {
        Ok(SplitKit { user: UserId::from_bytes(bytes(user)?), kit: DeviceId::from_bytes(bytes(kit)?) })
    };
    rows.into_iter().map(read).collect()
}

/// The plan of a kit, and whose kit it is.
pub(super) fn plan(
    sql: &Connection,
    organisation: &OrganisationId,
    kit: &DeviceId,
) -> Result<Option<(UserId, Vec<u8>)>, StoreError> {
    let mut select =
        sql.prepare_cached("SELECT user, plan FROM share_plan WHERE organisation = ?1 AND kit = ?2")?;
    let named = params![organisation.as_str(), kit.as_bytes()];
    let row: Option<(Vec<u8>, Vec<u8>)> =
        select.query_row(named, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    row.map(|(user, plan)| Ok((UserId::from_bytes(bytes(user)?), plan))).transpose()
}

/// A member's share of a kit.
pub(super) fn share(
    sql: &Connection,
    organisation: &OrganisationId,
    kit: &DeviceId,
    member: &UserId,
) -> Result<Option<ShareBox>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT key, sealed FROM share_box WHERE organisation = ?1 AND kit = ?2 AND member = ?3",
    )?;
    let named = params![organisation.as_str(), kit.as_bytes(), member.as_bytes()];
    let row: Option<(Vec<u8>, Vec<u8>)> =
        select.query_row(named, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let read = |(key, sealed): (Vec<u8>, Vec<u8>)| {
        Ok(ShareBox { member: *member, key: KeyHash::from_bytes(bytes(key)?), sealed: sealed.into() })
    };
    row.map(read).transpose()
}

/// Keeps a new kit's plan.
pub(super) fn insert_plan(
    sql: &Connection,
    organisation: &OrganisationId,
    of: SplitKit,
    plan: &[u8],
) -> Result<(), StoreError> {
    let mut insert =
        sql.prepare_cached("INSERT INTO share_plan (organisation, kit, user, plan) VALUES (?1, ?2, ?3, ?4)")?;
    insert.execute(params![organisation.as_str(), of.kit.as_bytes(), of.user.as_bytes(), plan])?;
    Ok(())
}

/// Keeps a member's share of a new kit.
pub(super) fn insert_share(
    sql: &Connection,
    organisation: &OrganisationId,
    kit: &DeviceId,
    share: &ShareBox,
) -> Result<(), StoreError> {
    let mut insert = sql.prepare_cached(
        "INSERT INTO share_box (organisation, kit, member, key, sealed) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let ShareBox { member, key, sealed } = share;
    insert.execute(params![
        organisation.as_str(),
        kit.as_bytes(),
        member.as_bytes(),
        key.as_bytes(),
        sealed.as_slice()
    ])?;
    Ok(())
}
