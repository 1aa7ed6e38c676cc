//! What a killed daemon leaves behind, and how the next one tidies up by itself.
//!
//! Two things: attempts whose machine is gone (they block their link until they are cancelled), and
//! receipts of devices whose keys are durable (they go out, also while the device is locked).
//! Decides nothing a person should: an attempt is cancelled only if no key was kept for it.

use std::time::Duration;

use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::codec;
use parsec_protocol::control::Registration;
use parsec_protocol::ids::DeviceId;
use parsec_protocol::limits::STEP_MAX_BYTES;
use parsec_protocol::relay::attempt::RECEIPT_STEP;
use parsec_protocol::relay::{EndReason, ErrorCode, Standing, StandingQuestion};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::attempts::Started;
use super::reports::{Report, Reports};
use super::{finality, p2p, resume};
use crate::network::Net;
use crate::store::PendingReceipt;
use crate::transport::http::{Client, Server};
use crate::transport::relay::{ClaimerTransport, Invitee, standing};
use crate::transport::{Transport as _, TransportError};

/// Pauses between tries with a server that says that an enrolment is over: the first while people
/// still look, the last so that a device that stays pending for months costs nobody anything.
const ASK_FIRST: Duration = Duration::from_secs(1);
const ASK_MAX: Duration = Duration::from_secs(300);

/// Ends an attempt that nobody can go on with, so that its link works again at once. Tries until
/// the server has heard.
pub async fn abandon(client: Client, net: Net, started: Started) {
    if let Some(hints) = started.hints.clone() {
        return p2p::abandon(&net, &started, &hints).await;
    }
    let secret = Zeroizing::new(*started.secret.expose());
    let Ok(server) = Server::new(client, &started.server) else { return };
    let invitee = Invitee { server, organisation: started.organisation, token: started.token };
    let transport = ClaimerTransport::new(invitee, started.attempt, secret);
    if let Err(error) = transport.cancel(EndReason::Abandoned).await {
        tracing::debug!(%error, "an abandoned attempt had ended already");
    }
}

/// Deposits a receipt, tells what is said of it, and ends once somebody says that the greeter's
/// device has registered this one, or where the address can't be used. That it never will be is
/// nobody's to say without a signature: the device is shown as void, the receipt stays, and is
/// tried again, less and less often.
pub async fn register(
    client: Client,
    net: Net,
    device: DeviceId,
    mut pending: PendingReceipt,
    reports: Reports,
) {
    if let Some(receipt) = pending.direct.take() {
        return p2p::follow(client, net, device, pending, receipt, reports).await;
    }
    let Ok(server) = Server::new(client, &pending.server) else { return };
    let mut pause = ASK_FIRST;
    loop {
        if let Some(said) = once(&server, &pending).await {
            reports.send(Report::Registered(device, said)).await;
            if said == Registration::Registered {
                return;
            }
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(ASK_MAX);
    }
}

/// One try, and what is said in the end. Nothing where nobody says.
async fn once(server: &Server, pending: &PendingReceipt) -> Option<Registration> {
    let invitee =
        Invitee { server: server.clone(), organisation: pending.organisation.clone(), token: pending.token };
    let transport = ClaimerTransport::new(invitee, pending.attempt, pending.attempt_secret.clone());
    match transport.deposit(RECEIPT_STEP, pending.message.clone()).await {
        Ok(()) => {}
        Err(error) if error.code() == Some(ErrorCode::AttemptEnded) => {}
        // The server has lost the run: its database was restored from a backup, say. Or it was
        // opened again, and not to the end.
        Err(error) if matches!(error.code(), Some(ErrorCode::AttemptUnknown | ErrorCode::StepRefused)) => {
            if let Err(error) = resume::claim(&transport, &pending.message).await {
                tracing::info!(%error, "an enrolment that the server has lost can't be opened again yet");
                return verdict_of(&error);
            }
        }
        // Over for so long that the server has forgotten it: what its log has, it has not.
        Err(error) if error.code() == Some(ErrorCode::InvitationUnknown) => {
            return standing_of(server, pending).await;
        }
        Err(error) => {
            tracing::warn!(%error, "a receipt could not be deposited");
            return verdict_of(&error);
        }
    }
    let (tell, mut seen) = watch::channel(None);
    let follow = transport.follow(tell);
    tokio::pin!(follow);
    loop {
        let view: parsec_protocol::relay::AttemptView = tokio::select! {
            error = &mut follow => {
                tracing::warn!(%error, "an enrolment can't be followed");
                return verdict_of(&error);
            }
            Ok(()) = seen.changed() => match seen.borrow_and_update().clone() {
                Some(view) => view,
                None => continue,
            },
        };
        if let Some(reason) = view.ended {
            return Some(finality::ended(reason));
        }
    }
}

/// Asks whether the certificate that message 8 names is in the log. Nobody is asked about the
/// greeter, whom message 8 does not name: that the enrolment is void is not said this way.
async fn standing_of(server: &Server, pending: &PendingReceipt) -> Option<Registration> {
    let receipt: ClaimReceipt = codec::decode(&pending.message, STEP_MAX_BYTES).ok()?;
    let certificate = *receipt.certificates.first()?;
    let question = StandingQuestion { greeter: DeviceId::from_bytes([0; 16]), certificate };
    match standing(server, &pending.organisation, &question).await {
        Ok(Standing::Registered) => Some(Registration::Registered),
        Ok(Standing::Waiting | Standing::Void) => None,
        Err(error) => {
            tracing::debug!(%error, "the server was asked for an enrolment without an answer");
            None
        }
    }
}

/// What a refusal says of the enrolment, if it says anything.
fn verdict_of(error: &TransportError) -> Option<Registration> {
    finality::receipt_refused(error.code()?)
}
