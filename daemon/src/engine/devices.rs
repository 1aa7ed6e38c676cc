//! The devices of this machine, as the loop knows them: known, unlocked, being locked, being
//! removed.
//!
//! Decides in which of these states a device is, and tells everybody of each change. Refuses to
//! have two sets of keys of one device in memory, and to choose a device that is being removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::control::{DeviceSelector, DeviceView, Problem, ProblemKind};
use parsec_protocol::ids::DeviceId;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::confirmation::Confirmed;
use super::select::{self, Wanted};
use crate::enrolment::finality::{self, Heard, Standing};
use crate::events::{Hub, Reason};
use crate::os::caller::{Caller, CallerSession};
use crate::session::{self, Session};
use crate::store::DeviceSummary;

/// Devices that are being removed, or were. Their ids are never used again.
pub(super) type Leaving = watch::Sender<BTreeSet<DeviceId>>;

/// An unlocked device, when it was used last, and the sessions that gave its password.
#[derive(Debug)]
struct Unlocked {
    session: Arc<Session>,
    used: Instant,
    confirmed: Confirmed,
}

/// A device whose tasks are ending.
#[derive(Debug)]
struct Closing {
    /// Its keys; the loop drops them last.
    session: Arc<Session>,
    /// Told once the keys are gone.
    waiting: Vec<oneshot::Sender<()>>,
}

/// All devices of this machine.
#[derive(Debug)]
pub(super) struct DeviceTable {
    known: BTreeMap<DeviceId, DeviceSummary>,
    unlocked: BTreeMap<DeviceId, Unlocked>,
    closing: BTreeMap<DeviceId, Closing>,
    leaving: Leaving,
    hub: Hub,
}

impl DeviceTable {
    /// The devices that are on disk; none is unlocked.
    pub(super) fn new(known: Vec<DeviceSummary>, hub: Hub) -> Self {
        Self {
            known: known.into_iter().map(|summary| (summary.device, summary)).collect(),
            unlocked: BTreeMap::new(),
            closing: BTreeMap::new(),
            leaving: Leaving::default(),
            hub,
        }
    }

    /// The devices that are known, by id.
    pub(super) fn known(&self) -> impl ExactSizeIterator<Item = &DeviceSummary> {
        self.known.values()
    }

    /// What is known of a device, locked or not.
    pub(super) fn summary(&self, device: DeviceId) -> Option<&DeviceSummary> {
        self.known.get(&device)
    }

    /// Takes note of a device on this machine; whether it was new.
    pub(super) fn learn(&mut self, summary: DeviceSummary) -> bool {
        let device = summary.device;
        let registration = summary.registration;
        let old = self.known.insert(device, summary);
        match (&old, self.view(device)) {
            (None, Some(view)) => self.hub.device_added(view),
            (Some(old), Some(view)) if old.registration != registration => {
                self.hub.device_changed(view, Reason::Registration);
            }
            (Some(_) | None, _) => {}
        }
        old.is_none()
    }

    /// A device as it is now.
    pub(super) fn view(&self, device: DeviceId) -> Option<DeviceView> {
        let unlocked = self.unlocked.get(&device).map(|unlocked| &unlocked.session);
        // One that is being locked has its keys in memory still.
        let session = unlocked.or_else(|| self.closing.get(&device).map(|closing| &closing.session));
        self.known.get(&device).map(|summary| session::view(summary, session.map(|session| &**session)))
    }

    /// All devices, by organisation.
    pub(super) fn views(&self) -> Vec<DeviceView> {
        let mut views: Vec<_> = self.known.keys().filter_map(|device| self.view(*device)).collect();
        views.sort_by(|a, b| (&a.organisation, a.device).cmp(&(&b.organisation, b.device)));
        views
    }

    /// Tells that a device is not what it was.
    pub(super) fn changed(&self, device: DeviceId, reason: Reason) {
        if let Some(view) = self.view(device) {
            self.hub.device_changed(view, reason);
        }
    }

    /// What follows from what is heard of a device's registration, if that is something else than
    /// now.
    pub(super) fn standing_after(&self, device: DeviceId, heard: Heard) -> Option<Standing> {
        let summary = self.known.get(&device)?;
        let now = Standing { registration: summary.registration, restored: summary.restored };
        let then = finality::next(now, heard);
        (then != now).then_some(then)
    }

    /// This is on the disk of a device's registration, and holds from now on.
    pub(super) fn stands(&mut self, device: DeviceId, standing: Standing) {
        if let Some(summary) = self.known.get_mut(&device) {
            (summary.registration, summary.restored) = (standing.registration, standing.restored);
            self.changed(device, Reason::Registration);
        }
    }

    /// A device's server is at this address.
    pub(super) fn moved(&mut self, device: DeviceId, server: String) {
        if let Some(summary) = self.known.get_mut(&device)
            && summary.server != server
        {
            summary.server = server;
            self.changed(device, Reason::Server);
        }
    }

    /// The device that a request means.
    ///
    /// # Errors
    /// As [`select::device`]; `device_unknown` for one that is being removed.
    pub(super) fn choose(&self, selector: &DeviceSelector, wanted: Wanted) -> Result<DeviceId, Problem> {
        let is_unlocked = |device| self.unlocked.contains_key(&device);
        let device = select::device(&self.known, is_unlocked, selector, wanted)?;
        if self.is_here(device) {
            Ok(device)
        } else {
            Err(Problem::new(ProblemKind::DeviceUnknown, "The device is being removed."))
        }
    }

    /// The device to lock, or whose password is to be changed: the unlocked one, but a locked one
    /// that is meant will do.
    pub(super) fn choose_any(&self, selector: &DeviceSelector) -> Result<DeviceId, Problem> {
        match self.choose(selector, Wanted::Unlocked) {
            Err(problem)
                if matches!(
                    problem.name,
                    ProblemKind::DeviceLocked
                        | ProblemKind::DevicePending
                        | ProblemKind::DeviceVoid
                        | ProblemKind::Revoked
                ) =>
            {
                self.choose(selector, Wanted::Locked)
            }
            chosen => chosen,
        }
    }

    /// Whether a device is on this machine and stays there.
    pub(super) fn is_here(&self, device: DeviceId) -> bool {
        self.known.contains_key(&device) && !self.leaving.borrow().contains(&device)
    }

    /// The devices that are being removed, for tasks that must end with one.
    pub(super) const fn leaving(&self) -> &Leaving {
        &self.leaving
    }

    /// A device is being removed.
    pub(super) fn leave(&self, device: DeviceId) {
        self.leaving.send_modify(|leaving| {
            leaving.insert(device);
        });
    }

    /// A device could not be removed.
    pub(super) fn stay(&self, device: DeviceId) {
        self.leaving.send_modify(|leaving| {
            leaving.remove(&device);
        });
    }

    /// A device was removed from this machine.
    pub(super) fn gone(&mut self, device: DeviceId) {
        self.known.remove(&device);
    }

    /// The session of a device, if it is unlocked.
    pub(super) fn session(&self, device: DeviceId) -> Option<&Arc<Session>> {
        self.unlocked.get(&device).map(|unlocked| &unlocked.session)
    }

    /// The sessions of all unlocked devices.
    pub(super) fn sessions(&self) -> impl ExactSizeIterator<Item = &Arc<Session>> {
        self.unlocked.values().map(|unlocked| &unlocked.session)
    }

    /// A device's keys are in memory and its log is verified; whether they are the first set there.
    /// Another one goes.
    pub(super) fn unlocked(&mut self, session: Arc<Session>) -> bool {
        let device = session.open.summary.device;
        if self.unlocked.contains_key(&device) {
            return false;
        }
        let confirmed = Confirmed::default();
        self.unlocked.insert(device, Unlocked { session, used: Instant::now(), confirmed });
        self.changed(device, Reason::Unlocked);
        true
    }

    /// Notes that a device was used.
    pub(super) fn touch(&mut self, device: DeviceId) {
        if let Some(unlocked) = self.unlocked.get_mut(&device) {
            unlocked.used = Instant::now();
        }
    }

    /// Notes that a caller's session gave a device's password; whether the device is unlocked.
    pub(super) fn confirm(&mut self, device: DeviceId, by: Option<&CallerSession>) -> bool {
        let unlocked = self.unlocked.get_mut(&device);
        unlocked.map(|unlocked| unlocked.confirmed.add(by)).is_some()
    }

    /// Whether a caller's session has given a device's password; nothing of one that is locked.
    pub(super) fn is_confirmed(&self, device: DeviceId, caller: &Caller) -> Option<bool> {
        self.unlocked.get(&device).map(|unlocked| unlocked.confirmed.has(caller))
    }

    /// When the next device has not been used for so long.
    pub(super) fn next_idle(&self, idle: Duration) -> Option<Instant> {
        self.unlocked.values().map(|unlocked| unlocked.used + idle).min()
    }

    /// The devices that have not been used for so long.
    pub(super) fn idle(&self, idle: Duration) -> Vec<DeviceId> {
        let now = Instant::now();
        self.unlocked.iter().filter(|(_, it)| it.used + idle <= now).map(|(id, _)| *id).collect()
    }

    /// Why a device's keys can't be opened now, if they can't.
    ///
    /// # Errors
    /// `device_busy`.
    pub(super) fn may_open(&self, device: DeviceId) -> Result<(), Problem> {
        if !self.closing.contains_key(&device) {
            return Ok(());
        }
        let busy = Problem::new(ProblemKind::DeviceBusy, "The device is just being locked.");
        let hint = "Its last work is being cut off, which takes some seconds at most: try again then.";
        Err(Problem { hint: hint.to_owned(), ..busy })
    }

    /// Begins to lock a device: tells `told` once its keys are gone. The session whose tasks are to
    /// end, if this is what ends them; a second caller waits for the same, and where nothing is to
    /// be locked `told` is dropped.
    pub(super) fn begin_closing(
        &mut self,
        device: DeviceId,
        told: oneshot::Sender<()>,
    ) -> Option<Arc<Session>> {
        if let Some(closing) = self.closing.get_mut(&device) {
            closing.waiting.push(told);
            return None;
        }
        let session = self.unlocked.remove(&device)?.session;
        self.closing.insert(device, Closing { session: Arc::clone(&session), waiting: vec![told] });
        Some(session)
    }

    /// Nothing runs for a device any more: its keys go, and then everybody is told.
    pub(super) fn closed(&mut self, device: DeviceId, reason: Reason) {
        let Some(Closing { session, waiting }) = self.closing.remove(&device) else { return };
        drop(session);
        self.changed(device, reason);
        for waiting in waiting {
            let _ = waiting.send(());
        }
    }
}
