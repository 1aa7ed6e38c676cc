//! `safe.log` and `file.restore_tree`: what was done in a safe, record by record, and a folder as
//! it was before one of them.
//!
//! Decides how a record is told: by what its changes do, counted. Refuses to guess at what this
//! device can't read.

use std::collections::BTreeSet;
use std::sync::Arc;

use parsec_protocol::control::{
    FileRestoreTree, FileTreeRestored, LogRecord, Problem, ProblemKind, SAFE_LOG_PAGE_MAX, SafeLog,
    SafeLogResult,
};
use parsec_protocol::ids::{DeviceId, SafeId, Timestamp, UserId};
use parsec_protocol::safe_log::record;
use parsec_protocol::safes::change::Change;
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::seal::open_record;
use parsec_protocol::safes::tree::Tree as _;

use super::choose;
use super::files::{changed, readable};
use crate::os::blocking_in;
use crate::safes::earlier::{self, Until};
use crate::safes::{paths, takeovers, views};
use crate::session::Session;
use crate::session::names::Names;
use crate::store::{OpenDevice, StoreError};

/// A record, and whose it is.
type Read = (LogRecord, UserId, DeviceId);

const fn blank(seq: u64, time: Timestamp) -> LogRecord {
    LogRecord {
        seq,
        time,
        by: None,
        device: None,
        added: 0,
        contents: 0,
        moved: 0,
        removed: 0,
        restored: 0,
        pruned: 0,
        other: 0,
        unread: false,
        takeovers: Vec::new(),
    }
}

fn told(record: &mut LogRecord, change: &Change) {
    let count = match change {
        Change::Add { .. } => &mut record.added,
        Change::Content { .. } | Change::Replace { .. } => &mut record.contents,
        Change::Move { .. } => &mut record.moved,
        Change::Remove { .. } => &mut record.removed,
        Change::Restore { .. } => &mut record.restored,
        Change::Prune { versions, entries, .. } => {
            let contents: usize = versions.iter().map(|of| of.versions.len()).sum();
            let gone = (entries.len() as u64).saturating_add(contents as u64);
            record.pruned = record.pruned.saturating_add(gone);
            return;
        }
        Change::Attributes { .. }
        | Change::SafeName { .. }
        | Change::Retention { .. }
        | Change::Snapshot { .. } => &mut record.other,
    };
    *count = count.saturating_add(1);
}

/// The records behind `after`, at most so many.
fn records(
    open: &OpenDevice,
    (keys, lost): (&SafeKeys, &BTreeSet<u64>),
    safe: SafeId,
    after: u64,
    most: u64,
) -> Result<Vec<Read>, StoreError> {
    let malformed = || StoreError::Damaged("a record of a safe in it is malformed");
    let mut all = Vec::new();
    for stored in open.store.safe_records(safe, after, most)? {
        let payload = record::Envelope::decode(&stored.envelope).and_then(|envelope| envelope.payload());
        let payload = payload.map_err(|_| malformed())?;
        let mut record = blank(payload.seq, payload.time);
        match open_record(keys, &payload) {
            // Void for everybody, those who have the key included.
            Ok(_) if lost.contains(&payload.epoch) => record.unread = true,
            Ok(inside) => inside.changes.iter().for_each(|change| told(&mut record, change)),
            Err(_) => record.unread = true,
        }
        all.push((record, stored.author, payload.author));
    }
    Ok(all)
}

/// What was done in a safe, the last record first.
///
/// # Errors
/// Which safe is meant; the store's.
pub async fn log(session: &Session, params: SafeLog) -> Result<SafeLogResult, Problem> {
    let safe = choose(session, &params.safe).await?;
    let (keys, lost, there) = {
        let memory = safe.memory().await;
        readable(&memory)?;
        let epochs = (0_u64..).zip(memory.verified.epochs());
        let lost: BTreeSet<_> = epochs.filter(|(_, key)| key.lost).map(|(epoch, _)| epoch).collect();
        (memory.keys.copied(), lost, memory.base.seq())
    };
    let last = params.before.map_or(there, |before| before.saturating_sub(1).min(there));
    let after = last.saturating_sub(SAFE_LOG_PAGE_MAX);
    let (open, id) = (Arc::clone(&session.open), safe.id);
    let most = last.saturating_sub(after);
    let read = blocking_in(&session.tasks, move || records(&open, (&keys, &lost), id, after, most)).await?;
    let takeovers = takeovers::takeovers(session, id).await?;
    let behind = |seq: u64| takeovers.iter().filter(|taken| taken.record == seq).cloned().collect();
    let log = session.log();
    let names = Names::new(session.open.directory(), &log);
    let shown = read.into_iter().rev().map(|(record, user, device)| LogRecord {
        by: views::person(session, &log, user),
        device: log.device(&device).and_then(|device| names.device(device)),
        takeovers: behind(record.seq),
        ..record
    });
    let records = shown.collect();
    Ok(SafeLogResult { safe: safe.id, records, more: after > 0 })
}

/// A file, or what is in a folder, as it was.
///
/// # Errors
/// `invalid_request` where neither or both of moment and record are given; as `earlier::restore`.
pub async fn restore_tree(session: &Session, params: FileRestoreTree) -> Result<FileTreeRestored, Problem> {
    let path = paths::read(&params.path)?;
    let until = Until::of(params.at, params.record)?
        .ok_or_else(|| Problem::new(ProblemKind::InvalidRequest, "Say as of when, or as of which record."))?;
    let safe = choose(session, &params.safe).await?;
    readable(&*safe.memory().await)?;
    let how = (params.exact, params.dry_run);
    let restored = earlier::restore(session, &safe, path, until, how).await?;
    let sums = restored.sums;
    let change = match restored.done {
        Some(done) => Some(changed(session, &safe, done, 0, params.wait_seconds).await),
        None => None,
    };
    Ok(FileTreeRestored {
        safe: safe.id,
        record: restored.seq,
        time: restored.time,
        restored: sums.restored,
        moved: sums.moved,
        contents: sums.contents,
        attributes: sums.attributes,
        removed: sums.removed,
        renamed: sums.renamed,
        lost: sums.lost,
        change,
    })
}
