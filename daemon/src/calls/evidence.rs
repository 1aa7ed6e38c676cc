//! `trust.acknowledge|export|fork|import|log`, `receipt.*`: what this device can show, in parts.
//!
//! Decides how much goes into one answer. Refuses to give out what is not verified: everything
//! comes from the log that the session verified, or was made and checked here.

use std::sync::Arc;

use parsec_protocol::chain::organisation::certificate::{Body, Envelope};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::codec;
use parsec_protocol::control::{
    EntryKind, FileBytes, FilePart, LOG_ENTRIES_MAX, LogEntry, PART_MAX_BYTES, Problem, ProblemKind,
    ReceiptItem, ReceiptListResult, TrustAcknowledged, TrustExported, TrustImport, TrustImported,
    TrustLogResult,
};
use parsec_protocol::ids::DeviceId;

use crate::session::Session;
use crate::session::names::{Names, profile};
use crate::session::{alarms, forks};
use crate::store::Store;

/// This device's log, with what is new in the server's if that can be had and is believed. Whatever
/// the server does meanwhile is an alarm and no reason to withhold what was verified before: it is
/// when a server misbehaves that this is needed.
async fn best(session: &Session) -> Arc<VerifiedLog> {
    match session.sync().await {
        Ok(log) => log,
        Err(error) => {
            tracing::info!(problem = Problem::from(error).name.name(), "the log is shown as it was");
            session.log()
        }
    }
}

/// `trust.log`
///
/// # Errors
/// The store's.
pub(crate) async fn log(session: &Session, from: u64) -> Result<TrustLogResult, Problem> {
    let log = best(session).await;
    let (_, page) = session.store(move |store| store.page(from)).await?;
    let names = Names::new(session.open.directory(), &log);
    let entries = (from..log.count())
        .zip(&page)
        .take(LOG_ENTRIES_MAX)
        .filter_map(|(position, envelope)| entry(&names, position, envelope))
        .collect();
    Ok(TrustLogResult { count: log.count(), head: log.head().hash.to_string(), entries })
}

/// One certificate in words. Verified when it was stored, so there is always one.
fn entry(names: &Names<'_>, position: u64, envelope: &[u8]) -> Option<LogEntry> {
    let payload = Envelope::decode(envelope).and_then(|envelope| envelope.payload()).ok()?;
    let (kind, subject, given) = match &payload.body {
        Body::User { user, profile: given, .. } => (EntryKind::User, names.user_in_words(user), Some(*given)),
        Body::Device { device, .. } => (EntryKind::Device, names.device_in_words(device), None),
        Body::ProfileChange { user, profile: given } => {
            (EntryKind::Profile, names.user_in_words(user), Some(*given))
        }
        Body::UserRevoked { user } => (EntryKind::UserRevoked, names.user_in_words(user), None),
        Body::DeviceRevoked { device } => (EntryKind::DeviceRevoked, names.device_in_words(device), None),
        Body::UserKeyChanged { user, .. } => (EntryKind::UserKey, names.user_in_words(user), None),
        Body::DirectoryKeyChanged { number, .. } => {
            (EntryKind::DirectoryKey, format!("number {number}"), None)
        }
    };
    Some(LogEntry {
        position,
        kind,
        subject,
        profile: given.map(profile),
        signed_by: names.author_in_words(payload.author),
        time: payload.time,
    })
}

/// `trust.acknowledge`
///
/// # Errors
/// `invalid_request` where this device has no alarm of that number; the store's.
pub(crate) async fn acknowledge(session: &Session, alarm: u64) -> Result<TrustAcknowledged, Problem> {
    alarms::acknowledge(session, alarm).await
}

/// `trust.import`
///
/// # Errors
/// As [`Session::import`].
pub(crate) async fn import(session: &Session, request: TrustImport) -> Result<TrustImported, Problem> {
    Ok(session.import(request).await?)
}

/// `trust.export`
///
/// # Errors
/// The store's; `invalid_request` behind the end.
pub(crate) async fn export(session: &Session, from: u64) -> Result<TrustExported, Problem> {
    // A first part is of the newest log; the others go on with what there is.
    let log = if from == 0 { best(session).await } else { session.log() };
    let have = log.count();
    if from > have {
        return Err(Problem::new(ProblemKind::InvalidRequest, "The log is shorter than that."));
    }
    let (_, page) = session.store(move |store| store.page(from)).await?;
    let mut length = 0_usize;
    let certificates: Vec<_> = (from..have)
        .zip(page)
        .map_while(|(_, envelope)| {
            length = length.saturating_add(envelope.len());
            (length <= PART_MAX_BYTES).then_some(FileBytes(envelope))
        })
        .collect();
    let ends = from.saturating_add(certificates.len() as u64) >= have;
    let head = ends.then(|| FileBytes(codec::encode(&forks::word(&session.open, &log))));
    Ok(TrustExported { organisation: log.organisation().clone(), root: *log.root(), certificates, head })
}

/// `trust.fork`
///
/// # Errors
/// `invalid_request` where no proof goes with this alarm; the store's.
pub(crate) async fn fork(session: &Session, alarm: u64, offset: u64) -> Result<FilePart, Problem> {
    let kept = session.store(move |store| store.fork(alarm, offset, PART_MAX_BYTES)).await?;
    let missing =
        || Problem::new(ProblemKind::InvalidRequest, "No proof is kept with an alarm of this number.");
    let (length, bytes) = kept.ok_or_else(missing)?;
    Ok(FilePart { length, bytes: FileBytes(bytes) })
}

/// `receipt.list`
///
/// # Errors
/// The store's.
pub(crate) async fn receipts(session: &Session) -> Result<ReceiptListResult, Problem> {
    let kept = session.store(Store::receipts).await?;
    let log = session.log();
    let names = Names::new(session.open.directory(), &log);
    let receipts = kept
        .into_iter()
        .map(|(device, time)| ReceiptItem { device, subject: names.device_in_words(&device), time })
        .collect();
    Ok(ReceiptListResult { receipts })
}

/// `receipt.export`
///
/// # Errors
/// `invalid_request` where this device has no receipt of that one; the store's.
pub(crate) async fn receipt(session: &Session, device: DeviceId) -> Result<FilePart, Problem> {
    let file = session.store(move |store| store.receipt(device)).await?;
    let missing = || {
        let text =
            "This device has no receipt of that one: it did not let it in, or it is not in the log yet.";
        Problem::new(ProblemKind::InvalidRequest, text)
    };
    // Far below a part's size.
    let file = file.ok_or_else(missing)?;
    Ok(FilePart { length: file.len() as u64, bytes: FileBytes(file) })
}
