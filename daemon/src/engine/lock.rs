//! Locking: ends all that runs for a device and drops its keys.
//!
//! Decides when a device counts as locked for others: once its keys have left the memory, and not
//! when that was asked for. From the first moment on it does nothing more for anybody. Refuses to
//! open keys again while the old ones are there.

use parsec_protocol::control::DeviceView;
use parsec_protocol::ids::DeviceId;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Daemon;
use super::command::{Event, Reply};
use crate::events::Reason;
use crate::session;

impl Daemon {
    /// When the next device is to be locked.
    pub(super) fn next_idle(&self) -> Option<Instant> {
        self.devices.next_idle(self.idle_lock?)
    }

    pub(super) fn lock_idle(&mut self) {
        let Some(idle) = self.idle_lock else { return };
        for device in self.devices.idle(idle) {
            if self.ceremonies.greets(device) {
                // A person is on the phone: that is use.
                self.devices.touch(device);
            } else {
                tracing::info!(%device, "locked after idling");
                self.lock(device, Reason::Idle, None);
            }
        }
    }

    /// Locks a device; answers once its keys are gone.
    pub(super) fn lock(&mut self, device: DeviceId, reason: Reason, reply: Option<Reply<DeviceView>>) {
        let closed = self.close(device, reason);
        let Some(summary) = self.devices.summary(device).cloned() else { return };
        self.context.tasks.spawn(async move {
            closed.await;
            if let Some(reply) = reply {
                let _ = reply.send(Ok(session::view(&summary, None)));
            }
        });
    }

    /// Ends all that runs for a device and drops its keys: returns once they are gone. Every wait
    /// of its tasks is cut, whatever a server does.
    pub(super) fn close(
        &mut self,
        device: DeviceId,
        reason: Reason,
    ) -> impl Future<Output = ()> + Send + 'static + use<> {
        let (tell, told) = oneshot::channel();
        if let Some(session) = self.devices.begin_closing(device, tell) {
            session.stop.cancel();
            session.tasks.close();
            let (tasks, handle) = (session.tasks.clone(), self.context.handle.clone());
            // The loop alone holds the keys from here on.
            drop(session);
            // Not cut off by `stop`: it ends with the tasks it waits for.
            self.context.tasks.spawn(async move {
                tasks.wait().await;
                handle.tell(Event::Closed(device, reason)).await;
            });
        }
        async move {
            // Dropped without a word where there was nothing to close, or nobody is left to say
            // that it is.
            let _ = told.await;
        }
    }
}
