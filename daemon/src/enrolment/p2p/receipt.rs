//! A receipt of the peer-to-peer transport: until it is with the greeter, and until the
//! certificates are in the log.
//!
//! Decides whose word is shown that a device is registered, or void: the greeter's device's or
//! the server's, whichever says so first; the device looks for itself in the verified log all the
//! same. Works while the device is locked.

use std::time::Duration;

use parsec_protocol::control::{Problem, ProblemKind, Registration};
use parsec_protocol::ids::DeviceId;
use parsec_protocol::p2p::Hints;
use parsec_protocol::relay::attempt::RECEIPT_STEP;
use parsec_protocol::relay::{AttemptView, ErrorCode, Standing, StandingQuestion};
use tokio::sync::watch;

use crate::enrolment::finality;
use crate::enrolment::reports::{Report, Reports};
use crate::network::Net;
use crate::p2p::{Guest, GuestTransport};
use crate::store::{DirectReceipt, PendingReceipt};
use crate::transport::http::{Client, Server};
use crate::transport::relay::standing;
use crate::transport::{Transport as _, TransportError};

/// Pauses between questions to the server: the first while people still look at the screen, the
/// last for a laptop that is taken home and comes to a network in the evening.
const ASK_FIRST: Duration = Duration::from_secs(1);
const ASK_MAX: Duration = Duration::from_secs(30);
/// Between visits to a greeter who was not there. The node dials for a while each time, and not for
/// ever.
const VISIT: Duration = Duration::from_secs(30);
const VISIT_PAUSE: Duration = Duration::from_secs(60);

/// Of which device something is said, and to whom it is told.
struct Said<'a> {
    device: DeviceId,
    reports: &'a Reports,
}

impl Said<'_> {
    async fn void(&self) {
        self.reports.send(Report::Registered(self.device, Registration::Void)).await;
    }
}

/// Follows a receipt and tells what is said of it, until somebody says that the device is
/// registered. That the enrolment is void is told and taken back, for nobody signs it: both are
/// asked again. Ends at once where the address can't be used.
pub async fn follow(
    client: Client,
    net: Net,
    device: DeviceId,
    pending: PendingReceipt,
    direct: DirectReceipt,
    reports: Reports,
) {
    let Ok(server) = Server::new(client, &pending.server) else { return };
    let said = Said { device, reports: &reports };
    tokio::select! {
        () = greeter(&net, &pending, &direct, &said) => {}
        () = ask(&server, &net, &pending, &direct, &said) => {}
    }
    reports.send(Report::Registered(device, Registration::Registered)).await;
}

/// Gives the receipt to the greeter's device and hears what becomes of it. Never returns where
/// that can't be learnt from it.
async fn greeter(net: &Net, pending: &PendingReceipt, direct: &DirectReceipt, said: &Said<'_>) {
    // What may be dialled was decided when the link was read.
    let Ok(hints) = Hints::read(&direct.hints, true) else { return std::future::pending().await };
    if !net.has_p2p() {
        return std::future::pending().await;
    }
    loop {
        let Ok(guest) = Guest::new(&hints) else { return std::future::pending().await };
        let transport = GuestTransport::new(guest.clone(), pending.attempt, pending.attempt_secret.clone());
        if tokio::time::timeout(VISIT, guest.connected()).await.is_ok() {
            let visited = tokio::select! {
                visited = visit(&transport, pending) => visited,
                () = left(&guest) => Err(TransportError::PeerUnreachable("it went away".to_owned())),
            };
            match visited {
                Ok(Registration::Registered) => return,
                Ok(_) => said.void().await,
                // The greeter's device knows nothing of it any more: it is done there, one way or
                // the other.
                Err(error) if error.code() == Some(ErrorCode::AttemptUnknown) => {}
                Err(error) => {
                    tracing::info!(%error, "a receipt could not be given to the greeter's device")
                }
            }
        }
        drop((transport, guest));
        tokio::time::sleep(VISIT_PAUSE).await;
    }
}

/// Returns once the greeter's device has been away for [`VISIT`].
async fn left(guest: &Guest) {
    let mut status = guest.status();
    loop {
        if status.wait_for(|status| !status.connected).await.is_err() {
            return;
        }
        let back = status.wait_for(|status| status.connected);
        if tokio::time::timeout(VISIT, back).await.is_err() {
            return;
        }
    }
}

async fn visit(transport: &GuestTransport, pending: &PendingReceipt) -> Result<Registration, TransportError> {
    match transport.deposit(RECEIPT_STEP, pending.message.clone()).await {
        Ok(()) => {}
        Err(error) if error.code() == Some(ErrorCode::AttemptEnded) => {}
        Err(error) => return Err(error),
    }
    let (tell, mut seen) = watch::channel::<Option<AttemptView>>(None);
    let follow = transport.follow(tell);
    tokio::pin!(follow);
    loop {
        tokio::select! {
            error = &mut follow => return Err(error),
            Ok(()) = seen.changed() => {}
        }
        let ended = seen.borrow_and_update().as_ref().and_then(|view| view.ended);
        if let Some(reason) = ended {
            return Ok(finality::ended(reason));
        }
    }
}

/// Asks the server, which tells nobody by itself: it does not know this device yet. Less and less
/// often.
async fn ask(server: &Server, net: &Net, pending: &PendingReceipt, direct: &DirectReceipt, said: &Said<'_>) {
    let question = StandingQuestion { greeter: direct.greeter, certificate: direct.certificate };
    let mut pause = ASK_FIRST;
    loop {
        let answer = standing(server, &pending.organisation, &question).await;
        let found = match &answer {
            Ok(_) | Err(TransportError::Refused { .. }) => Ok(()),
            Err(error) => Err(Problem::new(ProblemKind::ServerUnreachable, error.to_string())),
        };
        net.server_seen(&pending.organisation, &pending.server, found);
        match answer {
            Ok(Standing::Registered) => return,
            Ok(Standing::Void) => said.void().await,
            Ok(Standing::Waiting) => {}
            Err(error) => tracing::debug!(%error, "the server was asked for an enrolment without an answer"),
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(ASK_MAX);
    }
}
