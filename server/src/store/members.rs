//! Organisations, their logs, and the members as the log makes them.
//!
//! Decides nothing about what may enter a log; that is `log_rules`. Keeps log and derived tables in step, in one transaction.

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::certificate::Head;
use parsec_protocol::ids::{DeviceId, Email, OrganisationId, Timestamp, UserId};
use parsec_protocol::limits::{BODY_MAX_BYTES, LOG_PAGE_MAX_CERTIFICATES};
use parsec_protocol::public::{Hash, VerifyKey};
use parsec_protocol::receipt::Receipt;
use parsec_protocol::relay::LogPage;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{bytes, damaged, from_number, number_of, stored, unstored};
use crate::errors::Refusal;
use crate::invitations::Member;
use crate::log_rules::{Known, Owner, Proposal};

/// An organisation's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Organisation {
    pub(crate) bootstrap_hash: Hash,
    /// Once founded: the root key, and the hash of the request that founded it.
    pub(crate) founded: Option<(VerifyKey, Hash)>,
}

/// Reserves a name. `false`: it is taken.
pub(crate) fn reserve(
    sql: &Connection,
    organisation: &OrganisationId,
    bootstrap_hash: Hash,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let mut insert = sql.prepare_cached(
        "INSERT INTO organisation (id, bootstrap_hash, created) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    Ok(insert.execute(params![organisation.as_str(), bootstrap_hash.as_bytes(), stored(now.0)])? == 1)
}

/// Replaces the bootstrap token of a name that nobody has founded yet. `false`: there is no such name.
pub(crate) fn reissue(
    sql: &Connection,
    organisation: &OrganisationId,
    bootstrap_hash: Hash,
) -> rusqlite::Result<bool> {
    let mut update =
        sql.prepare_cached("UPDATE organisation SET bootstrap_hash = ?2 WHERE id = ?1 AND root IS NULL")?;
    Ok(update.execute(params![organisation.as_str(), bootstrap_hash.as_bytes()])? == 1)
}

/// All names, with whether they are founded and how many members and certificates they have.
pub(crate) fn list(sql: &Connection) -> rusqlite::Result<Vec<(String, bool, i64, i64)>> {
    let mut select = sql.prepare(
        "SELECT id, root IS NOT NULL,
            (SELECT count(*) FROM user WHERE user.organisation = id AND revoked = 0),
            (SELECT count(*) FROM certificate WHERE certificate.organisation = id)
         FROM organisation ORDER BY id",
    )?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    rows.collect()
}

/// Reads an organisation.
pub(crate) fn organisation(
    sql: &Connection,
    organisation: &OrganisationId,
) -> Result<Option<Organisation>, Refusal> {
    type Row = (Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>);
    let mut select =
        sql.prepare_cached("SELECT bootstrap_hash, root, founding_hash FROM organisation WHERE id = ?1")?;
    let row: Option<Row> = select
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
pub(crate) fn set_founded(
    sql: &Connection,
    organisation: &OrganisationId,
    root: &VerifyKey,
    founding_hash: Hash,
) -> rusqlite::Result<()> {
    sql.execute(
        "UPDATE organisation SET root = ?2, founding_hash = ?3 WHERE id = ?1",
        params![organisation.as_str(), root.as_bytes(), founding_hash.as_bytes()],
    )?;
    Ok(())
}

/// A device as a signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signer {
    pub(crate) member: Member,
    pub(crate) verify_key: VerifyKey,
    /// The device, or its user.
    pub(crate) revoked: bool,
}

/// Looks a device up.
pub(crate) fn signer(
    sql: &Connection,
    organisation: &OrganisationId,
    device: &DeviceId,
) -> Result<Option<Signer>, Refusal> {
    let mut select = sql.prepare_cached(
        "SELECT d.user, d.verify_key, u.profile, d.revoked OR u.revoked
         FROM device d JOIN user u ON u.organisation = d.organisation AND u.user = d.user
         WHERE d.organisation = ?1 AND d.device = ?2",
    )?;
    let row: Option<(Vec<u8>, Vec<u8>, i64, bool)> = select
        .query_row(params![organisation.as_str(), device.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((user, verify_key, profile, revoked)) = row else { return Ok(None) };
    let member =
        Member { user: UserId::from_bytes(bytes(user)?), device: *device, profile: from_number(profile)? };
    Ok(Some(Signer { member, verify_key: VerifyKey::from_bytes(bytes(verify_key)?), revoked }))
}

/// A user's e-mail.
pub(crate) fn email_of(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserId,
) -> Result<Email, Refusal> {
    let mut select = sql.prepare_cached("SELECT email FROM user WHERE organisation = ?1 AND user = ?2")?;
    let email: String =
        select.query_row(params![organisation.as_str(), user.as_bytes()], |row| row.get(0))?;
    email.parse().map_err(|_| damaged("email"))
}

/// Whether an unrevoked user has this e-mail.
pub(crate) fn email_in_use(
    sql: &Connection,
    organisation: &OrganisationId,
    email: &Email,
) -> rusqlite::Result<bool> {
    exists(
        sql,
        "SELECT EXISTS (SELECT 1 FROM user WHERE organisation = ?1 AND email = ?2 AND revoked = 0)",
        params![organisation.as_str(), email.as_str()],
    )
}

fn exists(sql: &Connection, query: &str, values: impl rusqlite::Params) -> rusqlite::Result<bool> {
    sql.prepare_cached(query)?.query_row(values, |row| row.get(0))
}

/// What the log says about a proposal's ids and keys.
pub(crate) fn known(
    sql: &Connection,
    organisation: &OrganisationId,
    proposal: &Proposal,
) -> Result<Known, Refusal> {
    let org = organisation.as_str();
    let device = &proposal.device;
    let mut known = Known {
        device_id_taken: exists(
            sql,
            "SELECT EXISTS (SELECT 1 FROM device WHERE organisation = ?1 AND device = ?2)",
            params![org, device.device.as_bytes()],
        )?,
        verify_key_taken: exists(
            sql,
            "SELECT EXISTS (SELECT 1 FROM device WHERE organisation = ?1 AND verify_key = ?2)",
            params![org, device.verify_key.as_bytes()],
        )?,
        ..Known::default()
    };
    if let Some(user) = &proposal.user {
        known.user_id_taken = exists(
            sql,
            "SELECT EXISTS (SELECT 1 FROM user WHERE organisation = ?1 AND user = ?2)",
            params![org, user.user.as_bytes()],
        )?;
        known.encryption_key_taken = exists(
            sql,
            "SELECT EXISTS (SELECT 1 FROM user WHERE organisation = ?1 AND encryption_key = ?2)",
            params![org, user.encryption_key.as_bytes()],
        )?;
        known.email_taken = email_in_use(sql, organisation, &user.email)?;
    }
    let mut select = sql.prepare_cached(
        "SELECT revoked, (SELECT count(*) FROM device d WHERE d.organisation = u.organisation AND d.user = u.user)
         FROM user u WHERE organisation = ?1 AND user = ?2",
    )?;
    let owner: Option<(bool, i64)> = select
        .query_row(params![org, device.user.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    known.owner = owner
        .map(|(revoked, devices)| Owner { revoked, devices: usize::try_from(devices).unwrap_or(usize::MAX) });
    Ok(known)
}

/// How many certificates the log has.
pub(crate) fn count(sql: &Connection, organisation: &OrganisationId) -> rusqlite::Result<u64> {
    let mut select =
        sql.prepare_cached("SELECT coalesce(max(position) + 1, 0) FROM certificate WHERE organisation = ?1")?;
    select.query_row([organisation.as_str()], |row| row.get(0).map(unstored))
}

/// The log's head after `count` certificates, if it has as many.
pub(crate) fn head_at(
    sql: &Connection,
    organisation: &OrganisationId,
    root: &VerifyKey,
    count: u64,
) -> Result<Option<Head>, Refusal> {
    let Some(position) = count.checked_sub(1) else { return Ok(Some(Head::empty(organisation, root))) };
    let mut select =
        sql.prepare_cached("SELECT head FROM certificate WHERE organisation = ?1 AND position = ?2")?;
    let head: Option<Vec<u8>> =
        select.query_row(params![organisation.as_str(), stored(position)], |row| row.get(0)).optional()?;
    head.map(|hash| Ok(Head { count, hash: Hash::from_bytes(bytes(hash)?) })).transpose()
}

/// Puts one checked certificate at the end of the log. Returns its position.
pub(super) fn insert_certificate(
    sql: &Connection,
    organisation: &OrganisationId,
    envelope: &[u8],
    head_after: &Head,
) -> rusqlite::Result<u64> {
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
    Ok(position)
}

/// Where in the log the certificate with this hash stands.
pub(crate) fn position_of(
    sql: &Connection,
    organisation: &OrganisationId,
    certificate: &Hash,
) -> rusqlite::Result<Option<u64>> {
    let mut select =
        sql.prepare_cached("SELECT position FROM certificate WHERE organisation = ?1 AND hash = ?2")?;
    select
        .query_row(params![organisation.as_str(), certificate.as_bytes()], |row| row.get(0).map(unstored))
        .optional()
}

/// Puts checked certificates at the end of the log, and what they say into the derived tables. Returns the first one's position.
pub(crate) fn append(
    sql: &Connection,
    organisation: &OrganisationId,
    proposal: &Proposal,
    heads_after: &[Head],
) -> Result<u64, Refusal> {
    let org = organisation.as_str();
    let first = count(sql, organisation)?;
    for (envelope, head) in proposal.envelopes().zip(heads_after) {
        insert_certificate(sql, organisation, envelope, head)?;
    }
    if let Some(user) = &proposal.user {
        let mut insert = sql.prepare_cached(
            "INSERT INTO user (organisation, user, email, encryption_key, profile, profile_position)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        insert.execute(params![
            org,
            user.user.as_bytes(),
            user.email.as_str(),
            user.encryption_key.as_bytes(),
            number_of(&user.profile),
            stored(first)
        ])?;
    }
    let device = &proposal.device;
    let mut insert = sql.prepare_cached(
        "INSERT INTO device (organisation, device, user, verify_key) VALUES (?1, ?2, ?3, ?4)",
    )?;
    insert.execute(params![
        org,
        device.device.as_bytes(),
        device.user.as_bytes(),
        device.verify_key.as_bytes()
    ])?;
    Ok(first)
}

/// Keeps the receipt of an enrolment beside the log, whatever becomes of its invitation.
pub(crate) fn set_receipt(
    sql: &Connection,
    organisation: &OrganisationId,
    position: u64,
    receipt: &Receipt,
) -> rusqlite::Result<()> {
    let mut insert =
        sql.prepare_cached("INSERT INTO receipt (organisation, position, receipt) VALUES (?1, ?2, ?3)")?;
    let receipt = parsec_protocol::codec::encode(receipt);
    insert.execute(params![organisation.as_str(), stored(position), receipt])?;
    Ok(())
}

/// A page of the log.
pub(crate) fn page(sql: &Connection, organisation: &OrganisationId, from: u64) -> Result<LogPage, Refusal> {
    let count = count(sql, organisation)?;
    let mut select = sql.prepare_cached(
        "SELECT envelope FROM certificate WHERE organisation = ?1 AND position >= ?2 ORDER BY position LIMIT ?3",
    )?;
    let mut rows = select.query(params![
        organisation.as_str(),
        stored(from),
        i64::try_from(LOG_PAGE_MAX_CERTIFICATES).unwrap_or(i64::MAX)
    ])?;
    let mut certificates = Vec::new();
    // 500 of the largest certificates fit the largest body; the sum is watched all the same, as a reader would refuse more.
    let mut room = BODY_MAX_BYTES.saturating_sub(1_024);
    while let Some(row) = rows.next()? {
        let envelope: Vec<u8> = row.get(0)?;
        let Some(left) = room.checked_sub(envelope.len() + 3) else { break };
        room = left;
        certificates.push(ByteVec::from(envelope));
    }
    Ok(LogPage { count, certificates })
}
