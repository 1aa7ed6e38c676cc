//! `device.forget`: removes a device's keys and store from this machine.
//!
//! Decides what would be lost with it, and refuses then unless that is wanted. The organisation
//! goes on knowing the device: only a revocation changes what others believe.

use std::sync::Arc;

use parsec_protocol::control::{DeviceForget, Empty, Event as Told, Problem, ProblemKind, Registration};
use parsec_protocol::ids::DeviceId;

use super::Daemon;
use super::command::{Event, Reply};
use super::devices::Leaving;
use crate::events::Reason;
use crate::os::blocking;
use crate::store::DeviceSummary;

/// Does something for a device unless it is removed meanwhile: a receipt of keys that are gone must
/// not go out.
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
    fn may_forget(&self, request: &DeviceForget) -> Result<DeviceSummary, Problem> {
        let device = request.device;
        let summary = self.devices.summary(device).filter(|_| self.devices.is_here(device));
        let summary = summary.ok_or_else(|| {
            Problem::new(ProblemKind::DeviceUnknown, "No device on this machine has this id.")
        })?;
        if request.force {
            return Ok(summary.clone());
        }
        let busy = |text: &str| Err(Problem::new(ProblemKind::DeviceBusy, text));
        if self.ceremonies.greets(device) {
            return busy("A ceremony of this device is under way.");
        }
        if summary.registration == Registration::Pending {
            let text = "The device is not registered yet, and never would be.";
            return Err(Problem::new(ProblemKind::DevicePending, text));
        }
        // Only an unlocked device knows its outbox; a locked one whose password is lost must be
        // removable.
        if self.devices.session(device).is_some_and(|session| session.pending.waiting() > 0) {
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
        self.devices.leave(device);
        let closed = self.close(device, Reason::Locked);
        let (store, handle) = (Arc::clone(&self.context.store), self.context.handle.clone());
        // Not cut off by `stop`: what has begun is short, and its end is told.
        self.context.tasks.spawn(async move {
            closed.await;
            let done = blocking(move || store.remove(device)).await;
            handle.tell(Event::Forgotten(device, done, reply)).await;
        });
    }

    pub(super) fn forgotten(&mut self, device: DeviceId, done: Result<(), Problem>, reply: Reply<Empty>) {
        match done {
            Ok(()) => {
                self.devices.gone(device);
                self.unlocking.forget(device);
                tracing::info!(%device, "removed from this machine");
                self.context.handle.hub().publish(Told::DeviceForgotten { device });
                let _ = reply.send(Ok(Empty {}));
            }
            Err(problem) => {
                self.devices.stay(device);
                let _ = reply.send(Err(problem));
            }
        }
    }
}
