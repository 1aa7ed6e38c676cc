//! Locking: ends all that runs for a device and drops its keys.
//!
//! Decides when a device counts as locked for others: once its keys have left the memory, and not when that was asked for.
//! From the first moment on it does nothing more for anybody. Refuses to open keys again while the old ones are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use parsec_protocol::control::{DeviceView, Problem, ProblemKind};
use parsec_protocol::ids::DeviceId;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::command::{Event, Reply};
use super::{Ceremony, Daemon};
use crate::enrolment::view::is_over;
use crate::events::Reason;
use crate::session;
use crate::session::Session;

/// A device whose tasks are ending.
#[derive(Debug)]
struct Ending {
    /// Its keys; the loop drops them last.
    session: Arc<Session>,
    /// Who waits for that.
    waiting: Vec<oneshot::Sender<()>>,
}

/// The devices that are being locked.
#[derive(Debug, Default)]
pub(super) struct Closing(BTreeMap<DeviceId, Ending>);

impl Closing {
    /// What is still in memory of one.
    pub(super) fn session(&self, device: DeviceId) -> Option<&Session> {
        self.0.get(&device).map(|ending| &*ending.session)
    }

    /// Why its keys can't be opened now, if they can't.
    ///
    /// # Errors
    /// `device_busy`.
    pub(super) fn is_done(&self, device: DeviceId) -> Result<(), Problem> {
        if !self.0.contains_key(&device) {
            return Ok(());
        }
        let busy = Problem::new(ProblemKind::DeviceBusy, "The device is just being locked.");
        let hint = "Its last work is being cut off, which takes some seconds at most: try again then.";
        Err(Problem { hint: hint.to_owned(), ..busy })
    }
}

impl Daemon {
    /// When the next device is to be locked.
    pub(super) fn next_idle(&self) -> Option<Instant> {
        let idle = self.idle_lock?;
        self.unlocked.values().map(|unlocked| unlocked.used + idle).min()
    }

    pub(super) fn lock_idle(&mut self) {
        let Some(idle) = self.idle_lock else { return };
        let now = Instant::now();
        let due: Vec<_> =
            self.unlocked.iter().filter(|(_, it)| it.used + idle <= now).map(|(id, _)| *id).collect();
        for device in due {
            let greeting = |it: &Ceremony| it.device == Some(device) && !is_over(&it.view.borrow());
            if self.ceremonies.values().any(greeting) {
                // A person is on the phone: that is use.
                self.touch(device);
            } else {
                tracing::info!(%device, "locked after idling");
                self.lock(device, Reason::Idle, None);
            }
        }
    }

    /// Locks a device; answers once its keys are gone.
    pub(super) fn lock(&mut self, device: DeviceId, reason: Reason, reply: Option<Reply<DeviceView>>) {
        let closed = self.close(device, reason);
        let Some(summary) = self.known.get(&device).cloned() else { return };
        self.tasks.spawn(async move {
            closed.await;
            if let Some(reply) = reply {
                let _ = reply.send(Ok(session::view(&summary, None)));
            }
        });
    }

    /// Ends all that runs for a device and drops its keys: returns once they are gone. Every wait of its tasks is cut,
    /// whatever a server does.
    pub(super) fn close(
        &mut self,
        device: DeviceId,
        reason: Reason,
    ) -> impl Future<Output = ()> + Send + 'static + use<> {
        let (tell, told) = oneshot::channel();
        if let Some(ending) = self.closing.0.get_mut(&device) {
            // Whoever asks a second time waits for the same.
            ending.waiting.push(tell);
        } else if let Some(unlocked) = self.unlocked.remove(&device) {
            let session = unlocked.session;
            session.stop.cancel();
            session.tasks.close();
            let (tasks, handle) = (session.tasks.clone(), self.handle.clone());
            self.closing.0.insert(device, Ending { session, waiting: vec![tell] });
            // Not cut off by `stop`: it ends with the tasks it waits for.
            self.tasks.spawn(async move {
                tasks.wait().await;
                handle.tell(Event::Closed(device, reason)).await;
            });
        }
        async move {
            // Dropped without a word where there was nothing to close, or nobody is left to say that it is.
            let _ = told.await;
        }
    }

    /// Nothing runs for a device any more: its keys go, and then everybody is told.
    pub(super) fn closed(&mut self, device: DeviceId, reason: Reason) {
        let Some(Ending { session, waiting }) = self.closing.0.remove(&device) else { return };
        drop(session);
        self.changed(device, reason);
        for waiting in waiting {
            let _ = waiting.send(());
        }
    }
}
