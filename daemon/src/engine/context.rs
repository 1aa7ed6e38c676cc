//! What the loop gives to the tasks that it starts.
//!
//! Decides how such a task ends: with the daemon, whose loop owns it.

use std::sync::Arc;

use parsec_protocol::control::Problem;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::command::{Event, Handle};
use crate::enrolment::attempts::Attempts;
use crate::enrolment::reports::Reports;
use crate::network::Net;
use crate::os::blocking;
use crate::session::Session;
use crate::store::{Devices, OpenDevice};
use crate::transport::http::Client;

/// The disk, the network, the ways back to the loop. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub(super) struct Context {
    /// The folders of this machine's devices.
    pub(super) store: Arc<Devices>,
    /// The records of attempts under way.
    pub(super) attempts: Attempts,
    /// Every call to a server.
    pub(super) client: Client,
    /// The state of the network.
    pub(super) net: Net,
    /// The way to the loop, for its own tasks.
    pub(super) handle: Handle,
    /// The way to the loop, for enrolments.
    pub(super) reports: Reports,
    /// All tasks of the loop.
    pub(super) tasks: TaskTracker,
    /// Ends them.
    pub(super) stop: CancellationToken,
}

impl Context {
    /// Runs work that the daemon's end cuts off.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// Tells the loop which devices are on the disk: an unfinished one may be there.
    pub(super) async fn tell_what_is_there(&self) {
        let store = Arc::clone(&self.store);
        if let Ok(list) = blocking(move || store.list()).await {
            self.handle.tell(Event::Listed(list)).await;
        }
    }

    /// Starts the session of a device whose keys are in memory.
    ///
    /// # Errors
    /// As [`Session::start`].
    pub(super) async fn start_session(&self, open: OpenDevice) -> Result<Arc<Session>, Problem> {
        let (client, stop, net) = (self.client.clone(), self.stop.child_token(), self.net.clone());
        Session::start(open, client, stop, self.handle.hub().clone(), net).await
    }
}
