//! What everybody takes up, as rows that triggers keep (schema/0003_budgets.sql), and whether more fits a budget.
//!
//! Decides that what is over makes room before anybody is refused. Nothing here is counted over history.

use parsec_protocol::ids::{OrganisationId, Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::invitations::pool_number;
use super::{Transaction, pruning, stored, unstored};
use crate::budgets::{Budgets, Share, Taken, Whose, Wish};
use crate::errors::Refusal;
use crate::invitations::{Invitation, Pool};

/// What stands for all members of a pool: no id is of no bytes.
const ALL: &[u8] = &[];

/// What a member, or a whole pool (`None`), has taken up.
pub(crate) fn taken(
    sql: &Connection,
    organisation: &OrganisationId,
    member: Option<&UserId>,
    pool: Pool,
) -> rusqlite::Result<Taken> {
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

/// Whether this fits what its maker and the maker's pool may take up; makes room for it where that is all it takes. For one more
/// invitation, `like` is the one that is about to be made.
///
/// # Errors
/// `member_budget_spent`, `organisation_budget_spent`: what is in the way is in use.
pub(crate) fn admit(
    transaction: &mut Transaction<'_>,
    organisation: &OrganisationId,
    like: &Invitation,
    wish: Wish,
    budgets: &Budgets,
    now: Timestamp,
) -> Result<(), Refusal> {
    match make_room(transaction, organisation, like, wish, budgets, now)? {
        None => Ok(()),
        Some(spent) => Err(spent.spent().into()),
    }
}

/// Makes room where there is too little, and says whose share is spent if that was not enough: first of the member, then of the pool.
pub(crate) fn make_room(
    transaction: &mut Transaction<'_>,
    organisation: &OrganisationId,
    like: &Invitation,
    wish: Wish,
    budgets: &Budgets,
    now: Timestamp,
) -> Result<Option<Whose>, Refusal> {
    let (maker, pool) = (&like.created_by, like.pool);
    for (whose, member, share) in
        [(Whose::Member, Some(maker), budgets.of_member(pool)), (Whose::Pool, None, budgets.organisation)]
    {
        let fits = |sql: &Connection| -> Result<bool, Refusal> {
            Ok(wish.fits(taken(sql, organisation, member, pool)?, share))
        };
        if fits(transaction.sql)? {
            continue;
        }
        pruning::settle_due(transaction, organisation, member, pool, now)?;
        let mut evicted = 0;
        while !fits(transaction.sql)? {
            let gone = pruning::evict(transaction.sql, organisation, member, pool)?;
            evicted += gone;
            if gone == 0 || evicted >= pruning::EVICTED_MAX {
                return Ok(Some(whose));
            }
        }
    }
    Ok(None)
}

/// Notes the budgets that hold, for the commands that work beside the server.
pub(crate) fn note(sql: &Connection, budgets: &Budgets) -> rusqlite::Result<()> {
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

/// The budgets that the server was last started with; the usual ones where there was no server yet.
pub(crate) fn noted(sql: &Connection) -> rusqlite::Result<Budgets> {
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

/// A member's part of what an organisation takes up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// E-mail of the member; nothing for the whole pool.
    pub(crate) member: Option<String>,
    pub(crate) pool: Pool,
    pub(crate) taken: Taken,
}

/// All parts, the largest first, each pool's whole before them.
pub(crate) fn parts(sql: &Connection, organisation: &OrganisationId) -> rusqlite::Result<Vec<Part>> {
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
    rows.collect()
}

/// What lasts: manifests, and the log with its receipts, in bytes.
pub(crate) fn lasting(sql: &Connection, organisation: &OrganisationId) -> rusqlite::Result<(u64, u64)> {
    let sum = |query: &str| -> rusqlite::Result<u64> {
        sql.query_row(query, [organisation.as_str()], |row| row.get(0).map(unstored))
    };
    let manifests = sum("SELECT ifnull(sum(length(envelope)), 0) FROM manifest WHERE organisation = ?1")?;
    let certificates =
        sum("SELECT ifnull(sum(length(envelope)), 0) FROM certificate WHERE organisation = ?1")?;
    let receipts = sum("SELECT ifnull(sum(length(receipt)), 0) FROM receipt WHERE organisation = ?1")?;
    Ok((manifests, certificates.saturating_add(receipts)))
}

/// Counts an organisation anew, from the rows themselves: mends what something else than this program has changed.
pub(crate) fn recount(sql: &Connection, organisation: &OrganisationId) -> rusqlite::Result<()> {
    sql.execute("DELETE FROM usage WHERE organisation = ?1", [organisation.as_str()])?;
    sql.execute(
        "INSERT INTO usage
            SELECT i.organisation, i.created_by, i.pool, sum(i.status < 2), count(*), sum(
                256 + ifnull(length(i.email), 16)
                + (SELECT count(*) * 192 FROM attempt a WHERE a.invitation = i.number)
                + (SELECT ifnull(sum(64 + ifnull(length(s.bytes), 0)), 0) FROM step s WHERE s.invitation = i.number))
            FROM invitation i WHERE i.organisation = ?1 GROUP BY i.created_by, i.pool",
        [organisation.as_str()],
    )?;
    sql.execute(
        "INSERT INTO usage
            SELECT organisation, x'', pool, sum(live), sum(stored), sum(bytes) FROM usage
            WHERE organisation = ?1 GROUP BY pool",
        [organisation.as_str()],
    )?;
    Ok(())
}
