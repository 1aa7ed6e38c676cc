//! The peer-to-peer transport of a daemon that was built without it: there is none, and that is
//! said.

use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::control::{Carrier, Problem};
use parsec_protocol::enrol::link::Link;
use parsec_protocol::ids::{DeviceId, Token};
use tokio::sync::watch;

use crate::enrolment::CeremonyContext;
use crate::enrolment::attempts::Started;
use crate::enrolment::new_device::ClaimNeeds;
use crate::enrolment::pending::PendingEnrolment;
use crate::enrolment::reports::Reports;
use crate::events::TransportReason;
use crate::network::{Net, unavailable};
use crate::session::Session;
use crate::session::progress::Progress;
use crate::store::{DirectAttempt, DirectEnd, DirectReceipt, PendingReceipt, StoredInvitation};
use crate::transport::http::Client;

/// A claimer who has come: never, in this build.
#[derive(Debug)]
pub enum Arrived {}

/// A wait that can't begin.
#[derive(Debug, Default)]
pub struct Meeting;

impl Meeting {
    /// Whether this device listens: never, in this build.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        false
    }

    /// Refuses to begin a wait.
    ///
    /// # Errors
    /// `transport_unavailable`.
    pub async fn open(&mut self, _: &Arc<Session>, _: &StoredInvitation, _: Token) -> Result<(), Problem> {
        Err(unavailable())
    }

    /// Waits for a claimer, and never returns.
    pub async fn arrived(&self) -> Arrived {
        std::future::pending().await
    }
}

/// Greets a claimer who has come; can't be called, because none does.
pub async fn greet(
    _: CeremonyContext,
    _: Arc<Session>,
    _: StoredInvitation,
    _: Token,
    arrived: Arrived,
    _: bool,
) {
    match arrived {}
}

/// Nobody is in the middle of it.
pub async fn cancelled(_: &Session, _: Token) {}

/// Closes the ceremony with `transport_unavailable`.
pub async fn claim(context: CeremonyContext, _: Link, _: Started, _: ClaimNeeds, _: TransportReason) {
    context.shown.closed(unavailable());
}

/// Nothing was started that way; what another build started times out.
pub async fn abandon(_: &Net, _: &Started, _: &[String]) {}

/// Refuses to look for a device.
///
/// # Errors
/// `transport_unavailable`.
pub async fn ping_peer(_: &Net, _: &Link) -> Result<(Carrier, Duration), Problem> {
    Err(unavailable())
}

/// What another build enrolled is followed by one that can.
pub async fn follow(_: Client, _: Net, _: DeviceId, _: PendingReceipt, _: DirectReceipt, _: Reports) {}

/// No link names this device.
pub async fn hints(_: &DirectEnd, _: &Net, _: bool, _: bool) -> Vec<String> {
    Vec::new()
}

/// What another build signed is kept for one that can finish it.
///
/// # Errors
/// `transport_unavailable`.
pub async fn finish(
    _: &Arc<Session>,
    _: &PendingEnrolment,
    _: DirectAttempt,
    _: &watch::Sender<Progress>,
) -> Result<Progress, Problem> {
    Err(unavailable())
}
