//! Who takes up how much of an organisation's room, and what whoever runs the server can remove at once.
//!
//! Decides that nothing but what is over goes, and nothing that a log rests on. Works beside a running server, in pieces that it can
//! answer between; what it counts by is counted anew, should something else have changed the file.

use std::path::Path;

use parsec_protocol::ids::OrganisationId;
use rusqlite::Connection;

use super::{AdministrationError, failed};
use crate::budgets::{Share, Taken};
use crate::clock::Clock;
use crate::invitations::Pool;
use crate::store::usage::{self, Part};
use crate::store::{self, members, pruning};

/// A line about who takes up how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsageLine {
    /// A member, or all of a kind together.
    Part {
        /// The member's e-mail; nothing: all of these together.
        member: Option<String>,
        /// Whether these are administrators; else everybody else.
        administrators: bool,
        /// Invitations that can be used.
        live: u64,
        /// Invitations that are over and kept to be answered about.
        over: u64,
        /// Bytes of these and of the attempts under way.
        bytes: u64,
        /// What they may.
        limit: Share,
    },
    /// What nobody's budget has: it is bounded by the members and devices that were let in.
    Lasting {
        /// Bytes of manifests.
        manifests: u64,
        /// Bytes of certificates and receipts.
        log: u64,
    },
}

impl UsageLine {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Part { member, administrators, live, over, bytes, limit } => {
                let kind = if *administrators { "administrators" } else { "others" };
                let whose = member.as_deref().unwrap_or("all");
                let (live_max, bytes_max) = (limit.live, limit.bytes);
                format!(
                    "{kind}\t{whose}\t{live} of {live_max} invitations\t{over} over\t{bytes} of {bytes_max} bytes"
                )
            }
            Self::Lasting { manifests, log } => {
                format!("lasting\tall\t{manifests} bytes of manifests\t{log} bytes of the log")
            }
        }
    }

    /// One JSON object. Names of organisations and e-mails have nothing that JSON writes otherwise than Rust does.
    #[must_use]
    pub fn json(&self, organisation: &str) -> String {
        match self {
            Self::Part { member, administrators, live, over, bytes, limit } => {
                let kind = if *administrators { "administrators" } else { "others" };
                let member =
                    member.as_ref().map_or_else(|| "null".to_owned(), |member| format!("{member:?}"));
                let (live_max, bytes_max) = (limit.live, limit.bytes);
                format!(
                    r#"{{"organisation":"{organisation}","kind":"{kind}","member":{member},"live":{live},"live_max":{live_max},"over":{over},"bytes":{bytes},"bytes_max":{bytes_max}}}"#
                )
            }
            Self::Lasting { manifests, log } => format!(
                r#"{{"organisation":"{organisation}","kind":"lasting","manifests":{manifests},"log":{log}}}"#
            ),
        }
    }
}

/// What went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// Invitations.
    pub invitations: u64,
    /// Bytes that they had taken up.
    pub bytes: u64,
}

impl Pruned {
    /// For people.
    #[must_use]
    pub fn text(self) -> String {
        format!("{} invitations that were over are gone\t{} bytes", self.invitations, self.bytes)
    }

    /// One JSON object.
    #[must_use]
    pub fn json(self, organisation: &str) -> String {
        let Self { invitations, bytes } = self;
        format!(r#"{{"organisation":"{organisation}","invitations":{invitations},"bytes":{bytes}}}"#)
    }
}

fn open(database: &Path, name: &str) -> Result<(Connection, OrganisationId), AdministrationError> {
    let organisation: OrganisationId = name.parse()?;
    let sql = super::open(database, store::Making::Never)?;
    match members::organisation(&sql, &organisation) {
        Ok(Some(_)) => Ok((sql, organisation)),
        Ok(None) => Err(AdministrationError::Unknown),
        Err(_) => Err(AdministrationError::Failed),
    }
}

/// Who takes up how much, the largest first, and what they may: by the budgets that the server was last started with.
///
/// # Errors
/// [`AdministrationError`].
pub fn organisation_usage(database: &Path, name: &str) -> Result<Vec<UsageLine>, AdministrationError> {
    let (sql, organisation) = open(database, name)?;
    let budgets = usage::noted(&sql).map_err(failed(database))?;
    let line = |Part { member, pool, taken }: Part| {
        let limit = if member.is_none() { budgets.organisation } else { budgets.of_member(pool) };
        let Taken { live, stored, bytes } = taken;
        UsageLine::Part {
            member,
            administrators: pool == Pool::Administrators,
            live,
            over: stored.saturating_sub(live),
            bytes,
            limit,
        }
    };
    let mut lines: Vec<_> =
        usage::parts(&sql, &organisation).map_err(failed(database))?.into_iter().map(line).collect();
    let (manifests, log) = usage::lasting(&sql, &organisation).map_err(failed(database))?;
    lines.push(UsageLine::Lasting { manifests, log });
    Ok(lines)
}

/// Removes what is over in an organisation, without waiting for its time, and counts anew what is left.
///
/// # Errors
/// [`AdministrationError`]. What went before stays gone.
pub fn prune_organisation(database: &Path, name: &str) -> Result<Pruned, AdministrationError> {
    let (sql, organisation) = open(database, name)?;
    let now = Clock::System.now();
    let bytes = || -> Result<u64, AdministrationError> {
        let of = |pool| {
            let taken = usage::taken(&sql, &organisation, None, pool).map_err(failed(database))?;
            Ok::<_, AdministrationError>(taken.bytes)
        };
        Ok(of(Pool::Administrators)?.saturating_add(of(Pool::Others)?))
    };
    let recount = || store::change(&sql, |transaction| Ok(usage::recount(transaction.sql, &organisation)?));
    recount().map_err(|_| AdministrationError::Failed)?;
    let before = bytes()?;
    let mut invitations = 0_u64;
    loop {
        let swept = store::change(&sql, |transaction| pruning::sweep(transaction, &organisation, now));
        let swept = swept.map_err(|_| AdministrationError::Failed)?;
        invitations = invitations.saturating_add(swept.gone);
        if !swept.more {
            break;
        }
    }
    Ok(Pruned { invitations, bytes: before.saturating_sub(bytes()?) })
}
