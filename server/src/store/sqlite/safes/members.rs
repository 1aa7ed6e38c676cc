//! Who has which role in a safe, who holds its key, and what the organisation's log says of them.
//!
//! Decides nothing but how the present rows tell of an earlier place: see [`user_at`].

use parsec_protocol::chain::organisation::at::{DeviceAt, UserAt};
use parsec_protocol::ids::{DeviceId, OrganisationId, SafeId, UserId};
use parsec_protocol::public_keys::VerifyKey;
use parsec_protocol::relay::{SafeEntry, SafeList};
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::sealing::KeyHash;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::values::{bytes, from_number, limit, number_of, stored, unstored};
use super::items::present;
use super::named;
use crate::store::StoreError;
use crate::store::safes::SafeKey;

/// A user at `n` certificates of the log. The present rows say it, because `n` reaches past the
/// newest certificate that is no enrolment: behind `n` there are only users and devices that came
/// later, and the positions of those tell them apart. (Whoever is asked for a smaller `n` has been
/// refused as `behind` before.) A user who came later has no profile before `n`; where the profile
/// was changed, the user came before that.
pub(in super::super) fn user_at(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserId,
    n: u64,
) -> Result<Option<UserAt>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT profile, revoked, suspended, encryption_key,
            EXISTS (SELECT 1 FROM device d WHERE d.organisation = u.organisation AND d.user = u.user
                AND d.revoked = 0 AND d.position < ?3)
         FROM user u WHERE organisation = ?1 AND user = ?2 AND profile_position < ?3",
    )?;
    type Columns = (i64, bool, bool, Vec<u8>, bool);
    let row: Option<Columns> = select
        .query_row(params![organisation.as_str(), user.as_bytes(), stored(n)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })
        .optional()?;
    let Some((profile, revoked, suspended, key, has_device)) = row else { return Ok(None) };
    Ok(Some(UserAt {
        profile: from_number(profile)?,
        revoked,
        // With the user, all devices are revoked.
        has_device: has_device && !revoked,
        suspended,
        encryption_key: KeyHash::from_bytes(bytes(key)?),
    }))
}

/// A device at `n` certificates of the log, in the same way.
pub(in super::super) fn device_at(
    sql: &Connection,
    organisation: &OrganisationId,
    device: &DeviceId,
    n: u64,
) -> Result<Option<DeviceAt>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT d.user, d.verify_key, d.kind, d.revoked OR u.revoked
         FROM device d JOIN user u ON u.organisation = d.organisation AND u.user = d.user
         WHERE d.organisation = ?1 AND d.device = ?2 AND d.position < ?3",
    )?;
    type Columns = (Vec<u8>, Vec<u8>, i64, bool);
    let row: Option<Columns> = select
        .query_row(params![organisation.as_str(), device.as_bytes(), stored(n)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((user, key, kind, revoked)) = row else { return Ok(None) };
    Ok(Some(DeviceAt {
        user: UserId::from_bytes(bytes(user)?),
        verify_key: VerifyKey::from_bytes(bytes(key)?),
        kind: from_number(kind)?,
        revoked,
    }))
}

/// Certificates up to and with the newest one that is no enrolment.
pub(in super::super) fn changed_up_to(
    sql: &Connection,
    organisation: &OrganisationId,
) -> Result<u64, StoreError> {
    let mut select = sql.prepare_cached("SELECT changed FROM organisation WHERE id = ?1")?;
    let row = select.query_row([organisation.as_str()], |row| row.get(0).map(unstored)).optional()?;
    Ok(row.unwrap_or_default())
}

/// A user's role.
pub(in super::super) fn role(
    sql: &Connection,
    of: SafeKey<'_>,
    user: &UserId,
) -> Result<Option<Role>, StoreError> {
    let mut select = sql
        .prepare_cached("SELECT role FROM safe_member WHERE organisation = ?1 AND safe = ?2 AND user = ?3")?;
    let [organisation, safe] = named(&of);
    let row: Option<Option<i64>> =
        select.query_row(params![organisation, safe, user.as_bytes()], |row| row.get(0)).optional()?;
    row.flatten().map(from_number).transpose()
}

/// All roles.
pub(in super::super) fn roles(sql: &Connection, of: SafeKey<'_>) -> Result<Vec<(UserId, Role)>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT user, role FROM safe_member
         WHERE organisation = ?1 AND safe = ?2 AND role IS NOT NULL ORDER BY user",
    )?;
    let rows: Vec<(Vec<u8>, i64)> =
        select.query_map(named(&of), |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    rows.into_iter().map(|(user, role)| Ok((UserId::from_bytes(bytes(user)?), from_number(role)?))).collect()
}

/// Gives a role, or takes it away.
pub(in super::super) fn set_role(
    sql: &Connection,
    of: SafeKey<'_>,
    user: &UserId,
    role: Option<Role>,
) -> Result<(), StoreError> {
    let mut replace = sql.prepare_cached(
        "INSERT INTO safe_member (organisation, safe, user, role) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET role = excluded.role",
    )?;
    let [organisation, safe] = named(&of);
    replace.execute(params![organisation, safe, user.as_bytes(), role.as_ref().map(number_of)])?;
    Ok(())
}

/// All holders of the present key.
pub(in super::super) fn holders(
    sql: &Connection,
    of: SafeKey<'_>,
) -> Result<Vec<(UserId, KeyHash)>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT user, key FROM safe_holder WHERE organisation = ?1 AND safe = ?2 ORDER BY user",
    )?;
    let rows: Vec<(Vec<u8>, Vec<u8>)> =
        select.query_map(named(&of), |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let read = |(user, key)| Ok((UserId::from_bytes(bytes(user)?), KeyHash::from_bytes(bytes(key)?)));
    rows.into_iter().map(read).collect()
}

/// Adds a holder. One who is there keeps the key that counts.
pub(in super::super) fn add_holder(
    sql: &Connection,
    of: SafeKey<'_>,
    user: &UserId,
    key: &KeyHash,
) -> Result<(), StoreError> {
    let mut insert = sql.prepare_cached(
        "INSERT INTO safe_holder (organisation, safe, user, key) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO NOTHING",
    )?;
    let [organisation, safe] = named(&of);
    insert.execute(params![organisation, safe, user.as_bytes(), key.as_bytes()])?;
    Ok(())
}

/// Forgets all holders.
pub(in super::super) fn clear_holders(sql: &Connection, of: SafeKey<'_>) -> Result<(), StoreError> {
    sql.prepare_cached("DELETE FROM safe_holder WHERE organisation = ?1 AND safe = ?2")?
        .execute(named(&of))?;
    Ok(())
}

/// Safes whose log gives a user a role, or gave one.
pub(in super::super) fn safes_of(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserId,
    after: Option<&SafeId>,
    most: usize,
) -> Result<SafeList, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT m.safe, m.role, s.founder, s.present
         FROM safe_member m JOIN safe s ON s.organisation = m.organisation AND s.safe = m.safe
         WHERE m.organisation = ?1 AND m.user = ?2 AND m.safe > ?3 ORDER BY m.safe LIMIT ?4",
    )?;
    type Columns = (Vec<u8>, Option<i64>, Vec<u8>, Vec<u8>);
    let after: &[u8] = after.map_or(&[], |after| after.as_bytes());
    // One more, to know whether there is a next page.
    let values = params![organisation.as_str(), user.as_bytes(), after, limit(most.saturating_add(1))];
    let rows: Vec<Columns> = select
        .query_map(values, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<Result<_, _>>()?;
    let more = rows.len() > most;
    let mut safes = Vec::with_capacity(rows.len().min(most));
    for (safe, role, founder, encoded) in rows.into_iter().take(most) {
        let present = present(&encoded)?;
        safes.push(SafeEntry {
            safe: SafeId::from_bytes(bytes(safe)?),
            founder: DeviceId::from_bytes(bytes(founder)?),
            role: role.map(from_number).transpose()?,
            log: present.log,
            journal: present.journal,
        });
    }
    let next = safes.last().filter(|_| more).map(|last| last.safe);
    Ok(SafeList { safes, next })
}
