//! A claim: opens an attempt over the server's relay, or finds the greeter's device without the
//! server.
//!
//! Decides how an attempt begins (its record is on disk before the server hears of it), and when
//! the other transport is taken: before an attempt starts, and never after. Refuses links of
//! another kind than their invitation.

use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::control::{Problem, ProblemKind, TransportChoice, TransportName};
use parsec_protocol::enrol::io::TransportKind;
use parsec_protocol::enrol::link::{Link, LinkKind};
use parsec_protocol::ids::{AttemptId, Invited};
use parsec_protocol::keys::{LinkSecret, random};
use parsec_protocol::p2p::Hints;
use parsec_protocol::relay::{ErrorCode, InvitedInfo};
use zeroize::Zeroizing;

use super::attempts::{Attempts, Started};
use super::new_device::{ClaimNeeds, DeviceFolder};
use super::waiting::{Way, hint};
use super::{CeremonyContext, End, claimer, finish, p2p, until_farewell};
use crate::events::TransportReason;
use crate::os::entropy;
use crate::problems;
use crate::transport::TransportError;
use crate::transport::http::Server;
use crate::transport::relay::{ClaimerTransport, Invitee};

/// How long the person is kept waiting for the greeter's device to register this one. It goes on
/// without them.
const REGISTRATION_WAIT: Duration = Duration::from_secs(30);

/// Why a ceremony goes over the server.
const fn why_server(choice: TransportChoice) -> TransportReason {
    match choice {
        TransportChoice::Server => TransportReason::Asked,
        TransportChoice::Auto | TransportChoice::P2p => TransportReason::ServerReached,
    }
}

/// Whether a failure of the first call is one that the peer-to-peer transport can help with. A
/// server that says no is heard, and one whose certificate is wrong is no reason to go elsewhere
/// without a word.
fn other_transport(error: &TransportError) -> Option<TransportReason> {
    match error {
        TransportError::Unreachable(_) => Some(TransportReason::ServerUnreachable),
        TransportError::Refused { code: ErrorCode::InvitationUnknown, .. } => {
            Some(TransportReason::InvitationUnknown)
        }
        TransportError::Refused { .. }
        | TransportError::PlainHttp(_)
        | TransportError::Address(_)
        | TransportError::Setup(_)
        | TransportError::Tls(_)
        | TransportError::NotServer(_)
        | TransportError::Misbehaved(_)
        | TransportError::PeerUnreachable(_)
        | TransportError::PeerMisbehaved(_) => None,
    }
}

/// Runs a claim to its end.
pub async fn claim(mut context: CeremonyContext, link: Link, server: Server, needs: ClaimNeeds) {
    let drawn = random(&mut entropy::System)
        .and_then(|attempt| Ok((AttemptId::from_bytes(attempt), LinkSecret::random(&mut entropy::System)?)));
    let (attempt, secret) = match drawn {
        Ok(drawn) => drawn,
        Err(error) => return context.shown.closed(problems::no_entropy(error)),
    };
    let invitee =
        Invitee { server: server.clone(), organisation: link.organisation.clone(), token: link.token };
    let transport = ClaimerTransport::new(invitee, attempt, Zeroizing::new(*secret.expose()));
    let mut started = Started {
        server: server.address(),
        organisation: link.organisation.clone(),
        token: link.token,
        attempt,
        secret,
        hints: None,
    };
    // A share is given over the server alone: with no hints in its link, nothing else is tried.
    if needs.transport == TransportChoice::P2p {
        started.hints = Some(link.hints.clone());
        return p2p::claim(context, link, started, needs, TransportReason::Asked).await;
    }
    // Nothing has been started yet, so there is nobody to tell, and a mistyped address must not
    // look like a long wait.
    let info = match context.carry(&transport, transport.info()).await {
        Ok(info) => info,
        Err(End::Transport(error)) => {
            let auto = needs.transport == TransportChoice::Auto && needs.net.has_p2p();
            return match other_transport(&error) {
                Some(reason) if auto && Hints::of(&link).is_ok() => {
                    tracing::info!(%error, "going on without the server");
                    started.hints = Some(link.hints.clone());
                    p2p::claim(context, link, started, needs, reason).await;
                }
                Some(_) | None => context.shown.closed(error.into()),
            };
        }
        Err(end) => return end.show(&context.shown),
    };
    let folder = DeviceFolder {
        devices: Arc::clone(&needs.devices),
        reports: needs.reports.clone(),
        server: server.address(),
        attempt,
        attempt_secret: Zeroizing::new(*started.secret.expose()),
        token: link.token,
        direct: None,
    };
    let records = needs.attempts.clone();
    let end =
        attempt_of(&mut context, &transport, link, info, started, &records, &folder, needs.transport).await;
    let heard = match end {
        Ok(()) => true,
        Err(end) => until_farewell(&needs.stop, finish(end, &context, &transport)).await,
    };
    if heard {
        // Blocking for one unlink; a failure is made good at the next start.
        let _ = tokio::task::spawn_blocking(move || records.remove(attempt)).await;
    }
}

#[expect(clippy::too_many_arguments, reason = "each is used once, by name, and no two are of one type")]
async fn attempt_of(
    context: &mut CeremonyContext,
    transport: &ClaimerTransport,
    link: Link,
    info: InvitedInfo,
    started: Started,
    records: &Attempts,
    folder: &DeviceFolder,
    choice: TransportChoice,
) -> Result<(), End> {
    let same_kind = matches!(
        (&info.invited, link.kind),
        (Invited::User(_), LinkKind::User)
            | (Invited::Device(_), LinkKind::Device)
            | (Invited::Share(..), LinkKind::Share)
    );
    if !same_kind {
        let text = "The server says that the invitation is of another kind than the link.";
        return Err(End::Here(Problem::new(ProblemKind::WrongLink, text)));
    }
    context.shown.transport(TransportName::Server, why_server(choice));
    context.shown.invited(&info.invited, Some(info.invited_by));
    let attempt = started.attempt;
    let records = records.clone();
    tokio::task::spawn_blocking(move || records.put(&started))
        .await
        .map_err(|_| Problem::new(ProblemKind::Internal, "Keeping a record failed without an answer."))
        .and_then(|kept| kept)
        .map_err(End::Here)?;
    context.carry(transport, transport.start()).await?;
    context.shown.attempt(attempt);
    context.waits(hint(Way::Server(&folder.server), &link.organisation, &link.token));
    let invitation = claimer::Invitation {
        organisation: link.organisation,
        token: link.token,
        invited: info.invited,
        link_secret: link.secret,
        transport: TransportKind::Relay,
        registration_wait: REGISTRATION_WAIT,
    };
    claimer::run(context, transport, &invitation, folder).await
}
