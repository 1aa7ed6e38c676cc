//! An unlocked device: its handle, its verified log, and what is known of it while its keys are in
//! memory.
//!
//! Decides which log a device starts with: the stored one, if it verifies and contains the head the
//! keys were saved with. Calls nothing upward: no room that uses a session is named here.

pub mod alarms;
pub mod device;
#[cfg_attr(not(feature = "p2p"), allow(dead_code, reason = "nobody is met in this build"))]
pub(crate) mod direct;
mod directory;
pub mod forks;
pub mod glances;
#[cfg(feature = "p2p")]
pub mod host_store;
mod import;
pub mod keeping;
pub(crate) mod lockouts;
mod log_sync;
pub mod manifest;
pub mod mounts;
pub mod names;
pub mod open_safes;
pub mod own_changes;
mod past_boxes;
pub mod progress;
pub mod rekey;
pub mod removed;
mod repair;
pub(crate) mod safe_items;
mod safe_marks;
pub mod safe_repairs;
pub mod sending;
pub mod upkeep;
mod user_keys;
mod whole_log;

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::{DeviceState, DeviceView, Problem};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::events::Hub;
use crate::network::Net;
use crate::os::blocking_in;
use crate::os::threads::ThreadPool;
use crate::store::{DeviceSummary, OpenDevice, StoreError};
use crate::transport::http::Client;
use device::Device;
use direct::Direct;
use directory::DirectoryWork;
use log_sync::{CHECKPOINT_STEP, note_verified};
use mounts::Mounts;
use open_safes::OpenSafes;
use progress::Pending;
use user_keys::UserKeys;

pub use log_sync::SyncError;

/// An unlocked device and its log. Whatever needs the keys alone takes the [`Device`].
#[derive(Debug)]
pub struct Session {
    device: Arc<Device>,
    /// The enrolments that the device signed and that are not in the log yet.
    pub pending: Pending,
    /// The device's ends of peer-to-peer transports that are open.
    #[cfg(feature = "p2p")]
    pub hosts: host_store::Hosts,
    log: Mutex<Arc<VerifiedLog>>,
    /// Serialises fetching. Readers may use the current log meanwhile.
    syncing: tokio::sync::Mutex<()>,
    user_keys: UserKeys,
    directory_work: DirectoryWork,
    /// Held by the one task that looks after the user's keys.
    pub upkeep: tokio::sync::Mutex<()>,
    /// Held while a version of the manifest is read, judged and followed by the next. Several tasks
    /// keep it, and each begins from what is in the store: what one had read before another wrote
    /// would be an older version to the store.
    keeping_manifest: tokio::sync::Mutex<()>,
    /// Counts what may give the device something to do by itself: certificates, ends of enrolments.
    news: watch::Sender<u64>,
    /// The safes that were opened on this device.
    pub safes: OpenSafes,
    /// Other devices of these safes that are met directly.
    pub(crate) direct: Direct,
    /// Safes that are mounted.
    pub mounts: Mounts,
}

impl Deref for Session {
    type Target = Device;

    fn deref(&self) -> &Device {
        &self.device
    }
}

impl Session {
    /// Verifies the stored log under the keys; no network.
    ///
    /// # Errors
    /// `store_damaged` where the stored log does not verify or lacks what the keys were saved with.
    pub async fn start(
        open: OpenDevice,
        client: Client,
        stop: CancellationToken,
        events: Hub,
        net: Net,
    ) -> Result<Arc<Self>, Problem> {
        let device = Device::new(open, client, stop, events, net)?;
        let stored = Arc::clone(&device.open);
        let (log, pending) = blocking_in(&device.tasks, move || {
            let pending = Pending::stored(stored.store.in_outbox()?);
            let envelopes = stored.store.certificates()?;
            let note = stored.store.checkpoint()?;
            let note = note.as_deref().map(|note| (note, &stored.checkpoint_key));
            let organisation = stored.summary.organisation.clone();
            let log = VerifiedLog::resume(organisation, stored.keys.root, &envelopes, note, &ThreadPool)
                .map_err(|_| StoreError::Damaged("its log does not verify"))?;
            let (certificates, anew) = (log.count(), log.freshly_verified());
            tracing::info!(device = %stored.summary.device, certificates, anew, "the log is verified");
            if anew >= CHECKPOINT_STEP {
                note_verified(&stored, &log);
            }
            if log.extends(&stored.keys.head) {
                Ok((log, pending))
            } else {
                Err(StoreError::Damaged("its log lacks what was there when the keys were saved"))
            }
        })
        .await?;
        alarms::show_again(&device).await?;
        // A full disk keeps nobody out.
        if let Err(problem) = own_changes::begin(&device, log.count()).await {
            tracing::warn!(%problem, "up to where the log was looked through could not be noted");
        }
        Ok(Arc::new(Self {
            device: Arc::new(device),
            pending,
            #[cfg(feature = "p2p")]
            hosts: host_store::Hosts::default(),
            log: Mutex::new(Arc::new(log)),
            syncing: tokio::sync::Mutex::default(),
            user_keys: UserKeys::default(),
            directory_work: DirectoryWork::default(),
            upkeep: tokio::sync::Mutex::default(),
            keeping_manifest: tokio::sync::Mutex::default(),
            news: watch::Sender::new(0),
            safes: OpenSafes::default(),
            direct: Direct::default(),
            mounts: Mounts::default(),
        }))
    }

    /// The handle, for what outlives a borrow and needs the keys alone.
    #[must_use]
    pub const fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// The log as verified last.
    pub fn log(&self) -> Arc<VerifiedLog> {
        Arc::clone(&self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the user has another device that is not revoked, and this one is in the log.
    pub fn has_siblings(&self) -> bool {
        let (log, summary) = (self.log(), &self.open.summary);
        let mut devices = log.devices_of(&summary.user).filter(|device| device.revoked.is_none());
        log.device(&summary.device).is_some() && devices.any(|device| device.device != summary.device)
    }

    /// Whether this device fetches the log whenever it grows: another device of the user may be
    /// revoked, a key for names is missing, or may be due with the next certificate, or members may
    /// have to be given one.
    pub fn follows_log(&self) -> bool {
        self.has_siblings() || self.lacks_directory_key() || self.is_administrator(&self.log())
    }

    /// What may give the device something to do by itself, as it happens.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// The user's safes, or what is known of them, are others than before: the manifest may have to
    /// say so, and tasks may have to begin.
    pub fn safes_changed(&self) {
        self.safes.changed.notify_one();
        self.tell_news();
    }

    fn tell_news(&self) {
        self.news.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Tells whether the user's key is to be changed, and what would lock the user out, by this
    /// log.
    fn key_seen(&self, log: &VerifiedLog) {
        let summary = &self.open.summary;
        self.events().suspended(summary.device, &self.stop, log.is_suspended(&summary.user));
        self.events().lockouts(summary.device, &self.stop, lockouts::lockouts(log, &summary.user));
    }

    /// Tells that a pending enrolment has come further.
    pub fn outbox_changed(&self) {
        self.tell_news();
        let count = || (self.pending.waiting(), self.pending.set_aside());
        self.events().outbox(self.open.summary.device, &self.stop, count);
    }
}

/// A device as the local API shows it.
#[must_use]
pub fn view(summary: &DeviceSummary, session: Option<&Session>) -> DeviceView {
    let keys = session.map(|session| &session.open.keys);
    DeviceView {
        device: summary.device,
        user: summary.user,
        organisation: summary.organisation.clone(),
        server: summary.server.clone(),
        state: if session.is_some() { DeviceState::Unlocked } else { DeviceState::Locked },
        registration: summary.registration,
        name: keys.map(|keys| keys.name.clone()),
        email: keys.map(|keys| keys.email.clone()),
        label: keys.map(|keys| keys.device_label.clone()),
        outbox: session.map(|session| session.pending.waiting()),
        outbox_set_aside: session.map(|session| session.pending.set_aside()),
        suspended: session.map(|session| session.log().is_suspended(&summary.user)),
        lockouts: session.map(|session| lockouts::lockouts(&session.log(), &summary.user)),
    }
}

#[cfg(test)]
mod tests;
