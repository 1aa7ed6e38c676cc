//! What everybody takes up, as rows that triggers keep (schema/0001_first.sql).
//!
//! Decides nothing: whether more fits a budget is `store::usage`'s. Nothing here is counted over
//! history, but by [`recount`].

use parsec_protocol::ids::{OrganisationId, UserId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::invitations::pool_number;
use super::values::{stored, unstored};
use crate::budgets::{Budgets, Share, Taken};
use crate::invitations::Pool;
use crate::store::StoreError;
use crate::store::rows::Part;

/// What stands for all members of a pool: no id is of no bytes.
const ALL: &[u8] = &[];

/// What a member, or a whole pool (`None`), has taken up.
pub(super) fn taken(
    sql: &Connection,
    organisation: &OrganisationId,
    member: Option<&UserId>,
    pool: Pool,
) -> Result<Taken, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT live, stored, bytes FROM usage WHERE organisation = ?1 AND member = ?2 AND pool = ?3",
    )?;
    let member = member.map_or(ALL, |member| member.as_bytes().as_slice());
    let row = select.query_row(params![organisation.as_str(), member, pool_number(pool)], |row| {
        let number = |column| row.get(column).map(unstored);
        Ok(Taken { live: number(0)?, stored: number(1)?, bytes: number(2)? })
    });
    Ok(row.optional()?.unwrap_or_default())
}

/// Notes the budgets that hold.
pub(super) fn note(sql: &Connection, budgets: &Budgets) -> Result<(), StoreError> {
    let mut insert = sql.prepare(
        "INSERT INTO setting (name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
    )?;
    for (name, share) in [
        ("administrator", budgets.administrator),
        ("member", budgets.member),
        ("organisation", budgets.organisation),
    ] {
        insert.execute(params![format!("{name}.live"), stored(share.live)])?;
        insert.execute(params![format!("{name}.bytes"), stored(share.bytes)])?;
    }
    Ok(())
}

/// The budgets that were noted last; the usual ones where there were none yet.
pub(super) fn noted(sql: &Connection) -> Result<Budgets, StoreError> {
    let mut select = sql.prepare("SELECT value FROM setting WHERE name = ?1")?;
    let mut value = |name: String, usual: u64| -> rusqlite::Result<u64> {
        Ok(select.query_row([name], |row| row.get(0)).optional()?.map_or(usual, unstored))
    };
    let mut share = |name: &str, usual: Share| -> rusqlite::Result<Share> {
        Ok(Share {
            live: value(format!("{name}.live"), usual.live)?,
            bytes: value(format!("{name}.bytes"), usual.bytes)?,
        })
    };
    let usual = Budgets::default();
    Ok(Budgets {
        administrator: share("administrator", usual.administrator)?,
        member: share("member", usual.member)?,
        organisation: share("organisation", usual.organisation)?,
    })
}

/// All parts, the largest first, each pool's whole before them.
pub(super) fn parts(sql: &Connection, organisation: &OrganisationId) -> Result<Vec<Part>, StoreError> {
    let mut select = sql.prepare(
        "SELECT length(g.member), ifnull(u.email, lower(hex(g.member))), g.pool, g.live, g.stored, g.bytes
         FROM usage g LEFT JOIN user u ON u.organisation = g.organisation AND u.user = g.member
         WHERE g.organisation = ?1 ORDER BY length(g.member) > 0, g.bytes DESC, g.member, g.pool",
    )?;
    let rows = select.query_map([organisation.as_str()], |row| {
        let (length, member): (i64, String) = (row.get(0)?, row.get(1)?);
        let pool = if row.get::<_, i64>(2)? == 0 { Pool::Administrators } else { Pool::Others };
        let number = |column| row.get(column).map(unstored);
        let taken = Taken { live: number(3)?, stored: number(4)?, bytes: number(5)? };
        Ok(Part { member: (length > 0).then_some(member), pool, taken })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Counts an organisation anew, from the rows themselves: mends what something else than this
/// program has changed.
pub(super) fn recount(sql: &Connection, organisation: &OrganisationId) -> Result<(), StoreError> {
    for query in [
        "UPDATE user SET
            devices = (SELECT count(*) FROM device d
                WHERE d.organisation = user.organisation AND d.user = user.user),
            devices_revoked = (SELECT count(*) FROM device d
                WHERE d.organisation = user.organisation AND d.user = user.user AND d.revoked <> 0),
            abandoned = (SELECT count(*) FROM abandoned a
                WHERE a.organisation = user.organisation AND a.user = user.user AND NOT EXISTS (
                    SELECT 1 FROM device d
                    WHERE d.organisation = a.organisation AND d.device = a.device AND d.user = a.user))
         WHERE organisation = ?1",
        "UPDATE organisation SET
            certificates = (SELECT count(*) FROM certificate c WHERE c.organisation = ?1),
            head = (SELECT head FROM certificate c WHERE c.organisation = ?1 ORDER BY position DESC LIMIT 1),
            users = (SELECT count(*) FROM user u WHERE u.organisation = ?1 AND u.revoked = 0),
            devices = (SELECT count(*) FROM device d WHERE d.organisation = ?1 AND d.revoked = 0),
            log_bytes = (SELECT ifnull(sum(length(envelope)), 0) FROM certificate c WHERE c.organisation = ?1)
                + (SELECT ifnull(sum(length(receipt)), 0) FROM receipt r WHERE r.organisation = ?1),
            manifest_bytes = (SELECT ifnull(sum(length(envelope)), 0) FROM manifest m WHERE m.organisation = ?1),
            key_bytes = (SELECT ifnull(sum(length(key)), 0) FROM encryption_key k WHERE k.organisation = ?1)
                + (SELECT ifnull(sum(length(sealed)), 0) FROM key_box b WHERE b.organisation = ?1)
                + (SELECT ifnull(sum(length(sealed)), 0) FROM past_box p WHERE p.organisation = ?1)
                + (SELECT ifnull(sum(length(head)), 0) FROM directory_ring k WHERE k.organisation = ?1)
                + (SELECT ifnull(sum(length(bytes)), 0) FROM directory_loose l WHERE l.organisation = ?1)
                + (SELECT ifnull(sum(length(bytes)), 0) FROM directory_part t WHERE t.organisation = ?1)
                + (SELECT ifnull(sum(length(sealed)), 0) FROM directory_box x WHERE x.organisation = ?1)
                + (SELECT ifnull(sum(length(plan)), 0) FROM share_plan s WHERE s.organisation = ?1)
                + (SELECT ifnull(sum(length(sealed)), 0) FROM share_box h WHERE h.organisation = ?1),
            changed = (SELECT ifnull(max(last_change) + 1, 0) FROM device d WHERE d.organisation = ?1),
            safes = (SELECT count(*) FROM safe s WHERE s.organisation = ?1),
            safe_bytes = 0
         WHERE id = ?1",
        // Triggers sum up what is put in here.
        "UPDATE safe SET bytes = 0 WHERE organisation = ?1",
        "DELETE FROM safe_usage WHERE organisation = ?1",
        "INSERT INTO safe_usage
            SELECT organisation, safe, author, sum(bytes) FROM (
                SELECT organisation, safe, author, length(envelope) AS bytes FROM safe_certificate
                UNION ALL SELECT organisation, safe, author, length(head) FROM safe_ring
                UNION ALL SELECT organisation, safe, author, length(bytes) FROM safe_part
                UNION ALL SELECT organisation, safe, author, length(sealed) FROM safe_box
                UNION ALL SELECT organisation, safe, author, length(envelope) FROM safe_record
                UNION ALL SELECT organisation, safe, author, length FROM safe_object)
            WHERE organisation = ?1 GROUP BY safe, author",
        "DELETE FROM usage WHERE organisation = ?1",
        "INSERT INTO usage
            SELECT i.organisation, i.created_by, i.pool, sum(i.status < 2), count(*), sum(
                256 + ifnull(length(i.email), 16)
                + (SELECT count(*) * 192 FROM attempt a WHERE a.organisation = i.organisation AND a.token = i.token)
                + (SELECT ifnull(sum(64 + ifnull(length(s.bytes), 0)), 0) FROM step s
                   WHERE s.organisation = i.organisation AND s.token = i.token))
            FROM invitation i WHERE i.organisation = ?1 GROUP BY i.created_by, i.pool",
        "INSERT INTO usage
            SELECT organisation, x'', pool, sum(live), sum(stored), sum(bytes) FROM usage
            WHERE organisation = ?1 GROUP BY pool",
    ] {
        sql.execute(query, [organisation.as_str()])?;
    }
    Ok(())
}
