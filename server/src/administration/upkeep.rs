//! Who takes up how much of an organisation's room, and what whoever runs the server can remove at
//! once.
//!
//! Decides that nothing but what is over goes, and nothing that a log rests on. Works beside a
//! running server, in pieces that it can answer between; what it counts by is counted anew, should
//! something else have changed the file.

use std::path::Path;

use parsec_protocol::ids::OrganisationId;

use super::{AdministrationError, failed};
use crate::budgets::{Share, Taken};
use crate::clock::Clock;
use crate::invitations::Pool;
use crate::store::rows::{Lasting, Part};
use crate::store::{Making, Standalone, StoreError, Tx, pruning};

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
        /// What the budget allows.
        limit: Share,
    },
    /// What nobody's budget has: it is bounded by the members and devices that were let in.
    Lasting {
        /// Size of all manifests, in bytes.
        manifests: u64,
        /// Bytes of certificates and receipts.
        log: u64,
        /// Bytes of encryption keys, and of boxes with users' seeds.
        keys: u64,
        /// Bytes of safes, those of objects in files included.
        safes: u64,
    },
}

impl UsageLine {
    /// The line as people read it.
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
            Self::Lasting { manifests, log, keys, safes } => {
                format!(
                    "lasting\tall\t{manifests} bytes of manifests\t{log} bytes of the log\t{keys} bytes of keys\t{safes} bytes of safes"
                )
            }
        }
    }

    /// One JSON object. Names of organisations and e-mails have nothing that JSON writes otherwise
    /// than Rust does.
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
            Self::Lasting { manifests, log, keys, safes } => format!(
                r#"{{"organisation":"{organisation}","kind":"lasting","manifests":{manifests},"log":{log},"keys":{keys},"safes":{safes}}}"#
            ),
        }
    }
}

/// What pruning took away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// Number of invitations that went.
    pub invitations: u64,
    /// Bytes that they had taken up.
    pub bytes: u64,
}

impl Pruned {
    /// The result as people read it.
    #[must_use]
    pub fn text(self) -> String {
        format!("{} invitations that were over are gone\t{} bytes", self.invitations, self.bytes)
    }

    /// The result as one JSON object.
    #[must_use]
    pub fn json(self, organisation: &str) -> String {
        let Self { invitations, bytes } = self;
        format!(r#"{{"organisation":"{organisation}","invitations":{invitations},"bytes":{bytes}}}"#)
    }
}

fn open(database: &Path, name: &str) -> Result<(Standalone, OrganisationId), AdministrationError> {
    let organisation: OrganisationId = name.parse()?;
    let store = super::open(database, Making::Never)?;
    match store.read(|tx| tx.organisation(&organisation)).map_err(failed(database))? {
        Some(_) => Ok((store, organisation)),
        None => Err(AdministrationError::Unknown),
    }
}

/// Who takes up how much, the largest first, and what they may: by the budgets that the server was
/// last started with.
///
/// # Errors
/// [`AdministrationError`].
pub fn organisation_usage(database: &Path, name: &str) -> Result<Vec<UsageLine>, AdministrationError> {
    let (store, organisation) = open(database, name)?;
    let read = |tx: &dyn Tx| -> Result<_, StoreError> {
        Ok((tx.noted_budgets()?, tx.parts(&organisation)?, tx.lasting(&organisation)?))
    };
    let (budgets, parts, lasting) = store.read(read).map_err(failed(database))?;
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
    let mut lines: Vec<_> = parts.into_iter().map(line).collect();
    let Lasting { manifests, log, keys, safes } = lasting;
    lines.push(UsageLine::Lasting { manifests, log, keys, safes });
    Ok(lines)
}

/// Removes what is over in an organisation, without waiting for its time, and counts anew what is
/// left.
///
/// # Errors
/// [`AdministrationError`]. What went before stays gone.
pub fn prune_organisation(database: &Path, name: &str) -> Result<Pruned, AdministrationError> {
    let (store, organisation) = open(database, name)?;
    let now = Clock::System.now();
    let bytes = |tx: &dyn Tx| -> Result<u64, StoreError> {
        let of = |pool| tx.taken(&organisation, None, pool).map(|taken| taken.bytes);
        Ok(of(Pool::Administrators)?.saturating_add(of(Pool::Others)?))
    };
    let recount = |tx: &mut dyn Tx| {
        tx.lock_log(&organisation)?;
        tx.recount(&organisation)?;
        bytes(tx)
    };
    let before = store.change(recount).map_err(failed(database))?;
    let mut invitations = 0_u64;
    loop {
        let swept = store.change(|tx| pruning::sweep(tx, &organisation, now)).map_err(failed(database))?;
        invitations = invitations.saturating_add(swept.gone);
        if !swept.more {
            break;
        }
    }
    let after = store.read(bytes).map_err(failed(database))?;
    Ok(Pruned { invitations, bytes: before.saturating_sub(after) })
}
