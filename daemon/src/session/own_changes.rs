//! What the log says about the device's own user by another device's signature: a new device, a
//! revoked one, another profile; and a new key of theirs, by whichever device.
//!
//! Decides what a person is told without asking: a thief of one of their devices could add a device
//! with it, and the person's other devices would be the only ones to notice. Refuses to tell of
//! what this device was asked to do itself.

use parsec_protocol::chain::organisation::certificate::{Author, Body, Envelope, Payload};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::{EntryKind, Event, Problem};
use parsec_protocol::ids::DeviceId;

use super::device::Device;
use super::names::Names;
use crate::store::Store;

/// What a certificate means for the user of a device, if it concerns them and is not the device's
/// own doing.
fn concerns(handle: &Device, log: &VerifiedLog, payload: &Payload) -> Option<(EntryKind, Option<DeviceId>)> {
    let summary = &handle.open.summary;
    // Changed without asking, also by this device: a person should know that their key is another.
    if matches!(payload.body, Body::UserKeyChanged { user, .. } if user == summary.user) {
        return Some((EntryKind::UserKey, None));
    }
    if payload.author == Author::Device(summary.device) {
        return None;
    }
    match &payload.body {
        Body::Device { device, user, .. } if *user == summary.user && *device != summary.device => {
            Some((EntryKind::Device, Some(*device)))
        }
        Body::DeviceRevoked { device }
            if log.device(device).is_some_and(|device| device.user == summary.user) =>
        {
            Some((EntryKind::DeviceRevoked, Some(*device)))
        }
        Body::ProfileChange { user, .. } if *user == summary.user => Some((EntryKind::Profile, None)),
        Body::UserRevoked { user } if *user == summary.user => Some((EntryKind::UserRevoked, None)),
        Body::User { .. }
        | Body::Device { .. }
        | Body::ProfileChange { .. }
        | Body::UserRevoked { .. }
        | Body::DeviceRevoked { .. }
        | Body::UserKeyChanged { .. }
        | Body::DirectoryKeyChanged { .. } => None,
    }
}

/// What is in the log when a device is opened for the first time is no news to its user: they have
/// just got it, with all that was before it. Noted then, and not when the log is first fetched,
/// which may be days later.
///
/// # Errors
/// The store's.
pub(super) async fn begin(handle: &Device, count: u64) -> Result<(), Problem> {
    handle
        .store(move |store| match store.noticed()? {
            None => store.set_noticed(count),
            Some(_) => Ok(()),
        })
        .await
}

/// Tells of what is new since the log was looked through last, also of what came about while the
/// daemon was off. Told, then noted: a crash in between tells twice.
///
/// # Errors
/// The store's.
pub(super) async fn tell(handle: &Device, log: &VerifiedLog) -> Result<(), Problem> {
    let count = log.count();
    // Without a row, the first note could not be written.
    let Some(mut from) = handle.store(Store::noticed).await? else { return begin(handle, count).await };
    while from < count {
        let (_, page) = handle.store(move |store| store.page(from)).await?;
        if page.is_empty() {
            break;
        }
        from = from.saturating_add(page.len() as u64);
        for envelope in page {
            // Verified when it was stored.
            let payload = Envelope::decode(&envelope).and_then(|envelope| envelope.payload());
            let Ok(payload) = payload else { continue };
            let Some((change, about)) = concerns(handle, log, &payload) else { continue };
            let names = Names::new(handle.open.directory(), log);
            let summary = &handle.open.summary;
            tracing::warn!(device = %summary.device, ?change, ?about, "the log says something new about this user");
            handle.events().publish(Event::OwnChange {
                device: summary.device,
                organisation: summary.organisation.clone(),
                change,
                about,
                subject: Some(match &about {
                    Some(device) => names.device_in_words(device),
                    None => names.user_in_words(&summary.user),
                }),
                signed_by: Some(names.author_in_words(payload.author)),
                signed: payload.time,
            });
        }
        handle.store(move |store| store.set_noticed(from.min(count))).await?;
    }
    Ok(())
}
