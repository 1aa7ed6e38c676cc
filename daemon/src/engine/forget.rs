//! `device.forget`: removes a device's keys and store from this machine.
//!
//! Decides what would be lost with it, and refuses then unless that is wanted. The organisation goes on knowing the
//! device: only a revocation changes what others believe.

use std::sync::Arc;

use parsec_protocol::control::{DeviceForget, Empty, Event as Told, Problem, ProblemKind, Registration};
use parsec_protocol::ids::DeviceId;
use tokio::sync::watch;

use super::command::{Event, Reply};
use super::{Ceremony, Daemon};
use crate::enrolment::view::is_over;
use crate::events::Reason;
use crate::os::blocking;
use crate::store::DeviceSummary;

/// Devices that are being removed, or were. Their ids are never used again.
pub(super) type Leaving = watch::Sender<std::collections::BTreeSet<DeviceId>>;

/// Does something for a device unless it is removed meanwhile: a receipt of keys that are gone must not go out.
pub(super) async fn unless_forgotten<T>(
    leaving: &Leaving,
    device: DeviceId,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut leaving = leaving.subscribe();
    tokio::select! {
        biased;
        _ = leaving.wait_for(|leaving| leaving.contains(&device)) => None,
        done = work => Some(done),
    }
}

impl Daemon {
    /// Whether a device is on this machine and stays there.
    pub(super) fn is_here(&self, device: DeviceId) -> bool {
        self.known.contains_key(&device) && !self.leaving.borrow().contains(&device)
    }

    fn may_forget(&self, request: &DeviceForget) -> Result<DeviceSummary, Problem> {
        let device = request.device;
        let summary = self.known.get(&device).filter(|_| self.is_here(device));
        let summary = summary.ok_or_else(|| {
            Problem::new(ProblemKind::DeviceUnknown, "No device on this machine has this id.")
        })?;
        if request.force {
            return Ok(summary.clone());
        }
        let busy = |text: &str| Err(Problem::new(ProblemKind::DeviceBusy, text));
        let greeting = |it: &Ceremony| it.device == Some(device) && !is_over(&it.view.borrow());
        if self.ceremonies.values().any(greeting) {
            return busy("A ceremony of this device is under way.");
        }
        if summary.registration == Registration::Pending {
            let text = "The device is not registered yet, and never would be.";
            return Err(Problem::new(ProblemKind::DevicePending, text));
        }
        // Only an unlocked device knows its outbox; a locked one whose password is lost must be removable.
        if self.unlocked.get(&device).is_some_and(|unlocked| unlocked.session.outbox() > 0) {
            return busy("Certificates that the device has signed are not in the log yet.");
        }
        Ok(summary.clone())
    }

    pub(super) fn forget(&mut self, request: &DeviceForget, reply: Reply<Empty>) {
        let summary = match self.may_forget(request) {
            Ok(summary) => summary,
            Err(problem) => {
                let _ = reply.send(Err(problem));
                return;
            }
        };
        let device = summary.device;
        self.leaving.send_modify(|leaving| {
            leaving.insert(device);
        });
        let closed = self.close(device, Reason::Locked);
        let (devices, handle) = (Arc::clone(&self.devices), self.handle.clone());
        // Not cut off by `stop`: what has begun is short, and its end is told.
        self.tasks.spawn(async move {
            closed.await;
            let done = blocking(move || devices.remove(device)).await;
            handle.tell(Event::Forgotten(summary, done, reply)).await;
        });
    }

    pub(super) fn forgotten(
        &mut self,
        summary: DeviceSummary,
        done: Result<(), Problem>,
        reply: Reply<Empty>,
    ) {
        let device = summary.device;
        match done {
            Ok(()) => {
                self.known.remove(&device);
                self.turnstile.forget(device);
                tracing::info!(%device, "removed from this machine");
                self.hub.publish(Told::DeviceForgotten { device });
                let _ = reply.send(Ok(Empty {}));
            }
            Err(problem) => {
                self.leaving.send_modify(|leaving| {
                    leaving.remove(&device);
                });
                let _ = reply.send(Err(problem));
            }
        }
    }
}
