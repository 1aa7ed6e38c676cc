//! Alarms: a fork, a rollback, a log that fails verification, a safe that was taken over. Kept in
//! the device's store until a person acknowledges them.
//!
//! Decides what an alarm is, and that it is durable before anybody is told of it. Refuses to let
//! one stand in the way of honest work: the log is judged by itself each time, with an alarm or
//! without, and an acknowledged one makes nothing believed.

use std::sync::Arc;

use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::{Alarm, Problem, ProblemKind, TrustAcknowledged};
use parsec_protocol::ids::SafeId;

use super::device::Device;
use super::forks::{self, ForkEvidence};
use crate::os::{blocking_in, clock};
use crate::store::{DeviceSummary, Store, StoredAlarm};

/// The kinds of problem that are alarms, by their names in the store.
const KINDS: [ProblemKind; 7] = [
    ProblemKind::ChainInvalid,
    ProblemKind::RolledBack,
    ProblemKind::UserKeyMissing,
    ProblemKind::ManifestUntrusted,
    ProblemKind::DirectoryUntrusted,
    ProblemKind::SafeUntrusted,
    ProblemKind::SafeTakenOver,
];

/// As the local API shows it; nothing for a kind that a later program kept.
fn view(summary: &DeviceSummary, stored: &StoredAlarm) -> Option<Alarm> {
    let kind = KINDS.into_iter().find(|kind| kind.name() == stored.kind)?;
    Some(Alarm {
        id: Some(stored.id),
        device: Some(summary.device),
        organisation: summary.organisation.clone(),
        problem: Problem::new(kind, stored.found.clone()),
        since: stored.since,
        proof: stored.proof,
    })
}

/// Raises an alarm where a problem is one of trust: kept, with a proof if there is one to be had,
/// then told.
pub(super) async fn raise(
    device: &Device,
    log: Arc<VerifiedLog>,
    problem: &Problem,
    evidence: Option<ForkEvidence>,
) {
    if !KINDS.contains(&problem.name) {
        return;
    }
    let (open, events, problem) = (Arc::clone(&device.open), device.events().clone(), problem.clone());
    let tasks = device.tasks.clone();
    let mendable = matches!(evidence, Some(ForkEvidence::Shorter));
    let evidence = evidence.filter(|_| !mendable);
    // A task of its own, so that it is not cut off with whoever noticed: locking waits for it.
    let kept = device.tasks.spawn(async move {
        let summary = open.summary.clone();
        let (kind, found) = (problem.name.name(), problem.message.clone());
        let kept = blocking_in(&tasks, move || {
            // Proving takes as long as verifying whole logs, and a server that misbehaves is met
            // with each call. An open alarm without a proof must not keep one out: evidence first.
            let known = open.store.alarm_is_known(kind, &found, mendable)?;
            if known && (evidence.is_none() || open.store.alarm_is_proved(kind)?) {
                return Ok(None);
            }
            if mendable {
                return open.store.raise_mendable(kind, &found, clock::now());
            }
            // Without one the alarm counts as much: it is this device's own finding.
            let proof = evidence.and_then(|evidence| forks::proof(&open, &log, evidence).ok().flatten());
            open.store.raise_alarm(kind, &found, clock::now(), proof.as_deref())
        })
        .await;
        match kept {
            Ok(Some(stored)) => view(&summary, &stored).into_iter().for_each(|alarm| events.alarm(alarm)),
            // Known already, or dealt with.
            Ok(None) => {}
            // A full disk must not hide it.
            Err(error) => {
                tracing::warn!(problem = error.name.name(), "an alarm could not be kept");
                let (device, organisation) = (Some(summary.device), summary.organisation);
                let since = clock::now();
                events.alarm(Alarm { id: None, device, organisation, problem, since, proof: false });
            }
        }
    });
    // Fails where the task panicked, which is in the daemon's log.
    let _ = kept.await;
}

/// Tells of what was open when the device was locked last.
///
/// # Errors
/// The store's.
pub(crate) async fn show_again(device: &Device) -> Result<(), Problem> {
    open(device).await?.into_iter().for_each(|alarm| device.events().alarm(alarm));
    Ok(())
}

/// Closes what a repair of the server's log has dealt with, once that log was verified. Says which
/// they were.
///
/// # Errors
/// The store's.
pub(crate) async fn mended(device: &Device) -> Result<Vec<Alarm>, Problem> {
    let stored = device.store(|store| store.mend_alarms(clock::now())).await?;
    let alarms: Vec<_> = stored.iter().filter_map(|stored| view(&device.open.summary, stored)).collect();
    alarms.iter().for_each(|alarm| device.events().acknowledged(alarm));
    Ok(alarms)
}

/// Raises an alarm that something is missing of a safe, which its repair closes again. Returns once
/// it is kept and told; what can't be kept is told all the same.
pub(crate) async fn raise_of_safe(device: &Device, safe: SafeId, problem: &Problem) {
    let (kind, found) = (problem.name.name(), problem.message.clone());
    let kept = device.store(move |store| store.raise_of_safe(kind, &found, clock::now())).await;
    tell_of_safe(device, safe, problem, kept);
}

/// Raises an alarm about a safe of which each is told, also while another of its kind is open: one
/// takeover must not hide the next. Returns as [`raise_of_safe`].
pub(crate) async fn raise_each_of_safe(device: &Device, safe: SafeId, problem: &Problem) {
    let (kind, found) = (problem.name.name(), problem.message.clone());
    let kept = device.store(move |store| store.raise_each(kind, &found, clock::now())).await;
    tell_of_safe(device, safe, problem, kept);
}

/// Tells of what was kept, and of what could not be.
fn tell_of_safe(
    device: &Device,
    safe: SafeId,
    problem: &Problem,
    kept: Result<Option<StoredAlarm>, Problem>,
) {
    let summary = &device.open.summary;
    match kept {
        Ok(stored) => {
            let told = stored.and_then(|stored| view(summary, &stored));
            told.into_iter().for_each(|alarm| device.events().alarm(alarm));
        }
        Err(error) => {
            tracing::warn!(%safe, problem = error.name.name(), "an alarm could not be kept");
            let (device_id, organisation) = (Some(summary.device), summary.organisation.clone());
            let (problem, since) = (problem.clone(), clock::now());
            device.events().alarm(Alarm {
                id: None,
                device: device_id,
                organisation,
                problem,
                since,
                proof: false,
            });
        }
    }
}

/// Closes what the repair of a safe has dealt with.
///
/// # Errors
/// The store's.
pub(crate) async fn mended_of_safe(device: &Device, safe: SafeId) -> Result<(), Problem> {
    let stored = device.store(move |store| store.mend_safe_alarms(&safe, clock::now())).await?;
    let alarms = stored.iter().filter_map(|stored| view(&device.open.summary, stored));
    alarms.for_each(|alarm| device.events().acknowledged(&alarm));
    Ok(())
}

/// Those that nobody has dealt with.
///
/// # Errors
/// The store's.
pub(crate) async fn open(device: &Device) -> Result<Vec<Alarm>, Problem> {
    let stored = device.store(Store::open_alarms).await?;
    Ok(stored.iter().filter_map(|stored| view(&device.open.summary, stored)).collect())
}

/// `trust.acknowledge`.
///
/// # Errors
/// `invalid_request` where this device has no alarm of that number; the store's.
pub(crate) async fn acknowledge(device: &Device, id: u64) -> Result<TrustAcknowledged, Problem> {
    let stored = device.store(move |store| store.acknowledge_alarm(id, clock::now())).await?;
    let alarm = stored.and_then(|stored| view(&device.open.summary, &stored)).ok_or_else(|| {
        let text = "This device has no alarm of that number.";
        Problem::new(ProblemKind::InvalidRequest, text)
    })?;
    device.events().acknowledged(&alarm);
    Ok(TrustAcknowledged { alarm })
}
