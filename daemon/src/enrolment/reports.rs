//! What enrolments report to the loop that owns the devices.
//!
//! Decides nothing: the loop judges what it hears. The channel is bounded, so a report waits where
//! the loop is busy.

use parsec_protocol::control::Registration;
use parsec_protocol::ids::DeviceId;
use tokio::sync::mpsc;

use crate::os::caller::CallerSession;
use crate::store::OpenDevice;

/// Reports that may wait for the loop: each live ceremony and each receipt has one at a time.
pub const REPORTS_MAX: usize = 256;

/// One thing that an enrolment reports.
#[derive(Debug)]
pub enum Report {
    /// A claim kept its keys, which are in memory; the session that gave the password.
    Enrolled(Box<OpenDevice>, Option<CallerSession>),
    /// A server, or the greeter's device, says whether a device is certified.
    Registered(DeviceId, Registration),
}

/// The sending end, for whatever runs an enrolment.
#[derive(Debug, Clone)]
pub struct Reports(mpsc::Sender<Report>);

impl Reports {
    /// A channel for one daemon: the sending end, and the loop's.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Report>) {
        let (send, receive) = mpsc::channel(REPORTS_MAX);
        (Self(send), receive)
    }

    /// Reports to the loop, once it has room.
    pub async fn send(&self, report: Report) {
        // Without a loop the daemon is stopping, and the next one finds what is on disk.
        let _ = self.0.send(report).await;
    }
}
