//! The handle of an unlocked device: its keys and store, its server, and the tasks that run for it.
//!
//! Decides when work for a device ends: with its locking. Ground floor of this room: it knows
//! nothing of logs, alarms or enrolments, and calls nothing that does.

use std::sync::Arc;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::DeviceId;
use parsec_protocol::public_keys::{Context, Signature};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::events::Hub;
use crate::network::Net;
use crate::os::blocking_in;
use crate::store::{OpenDevice, Store, StoreError};
use crate::transport::http::{Client, Server};
use crate::transport::relay::{Member, Signer};

impl Signer for OpenDevice {
    fn device(&self) -> DeviceId {
        self.summary.device
    }

    fn sign_request(&self, message: &[u8]) -> Signature {
        self.keys.signing_key.sign(Context::Request, message)
    }
}

/// The keys and the store of an unlocked device, for work that goes on elsewhere: locking waits for
/// it.
#[derive(Debug)]
pub struct Held {
    // Before what counts it: fields are dropped in this order.
    open: Arc<OpenDevice>,
    _counted: TaskTrackerToken,
}

impl std::ops::Deref for Held {
    type Target = OpenDevice;

    fn deref(&self) -> &OpenDevice {
        &self.open
    }
}

/// An unlocked device. When the last reference to `open` is dropped, its keys are wiped.
#[derive(Debug)]
pub struct Device {
    /// The device's keys and its store.
    pub open: Arc<OpenDevice>,
    /// The server, as this device.
    pub member: Member,
    /// Ends everything that runs for the device.
    pub stop: CancellationToken,
    /// Everything that runs for the device.
    pub tasks: TaskTracker,
    /// The state of the network, for all devices of this machine.
    pub net: Net,
    events: Hub,
    /// Set once the server or the log has said that the device or its user is revoked.
    revoked: watch::Sender<bool>,
}

impl Device {
    /// A device whose keys have just come into memory.
    ///
    /// # Errors
    /// The server's address can't be used.
    pub(super) fn new(
        open: OpenDevice,
        client: Client,
        stop: CancellationToken,
        events: Hub,
        net: Net,
    ) -> Result<Self, Problem> {
        let open = Arc::new(open);
        let server = Server::new(client, &open.summary.server)?;
        let signer: Arc<dyn Signer> = Arc::clone(&open) as Arc<dyn Signer>;
        let (tasks, revoked) = (TaskTracker::new(), watch::Sender::new(false));
        let member = Member::new(server, open.summary.organisation.clone(), signer, tasks.clone());
        Ok(Self { open, member, stop, tasks, net, events, revoked })
    }

    /// Runs work for the device, cut off by its locking.
    pub fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// The keys and the store, for work that is not one of the device's tasks.
    #[must_use]
    pub fn held(&self) -> Held {
        Held { open: Arc::clone(&self.open), _counted: self.tasks.token() }
    }

    /// Runs a call of the device's store where it may block; locking waits for it.
    ///
    /// # Errors
    /// The store's, as a problem.
    pub async fn store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let open = Arc::clone(&self.open);
        blocking_in(&self.tasks, move || work(&open.store)).await
    }

    /// The daemon's events, to publish one.
    #[must_use]
    pub const fn events(&self) -> &Hub {
        &self.events
    }

    /// Takes note of a problem that says more about the device than about what was asked of it.
    pub fn saw(&self, problem: &Problem) {
        if problem.name == ProblemKind::Revoked {
            self.note_revoked();
        }
    }

    /// The server or the log says that the device or its user is revoked.
    pub(super) fn note_revoked(&self) {
        self.revoked.send_replace(true);
    }

    /// Returns once the device, or its user, is said to be revoked.
    pub async fn until_revoked(&self) {
        // Fails without a sender alone, which is here.
        let _ = self.revoked.subscribe().wait_for(|revoked| *revoked).await;
    }

    /// Notes whether the server answered. A refusal is an answer.
    pub(super) fn note_server(&self, found: Result<(), Problem>) {
        self.net.server_seen(&self.open.summary.organisation, &self.member.server().address(), found);
    }
}

impl Drop for Device {
    /// What was fetched is noted, so that it is there after the next unlocking. Where it can't be,
    /// it is fetched anew.
    fn drop(&mut self) {
        if let Err(error) = self.open.store.save_pieces() {
            tracing::info!(%error, "what was fetched is not noted");
        }
    }
}
