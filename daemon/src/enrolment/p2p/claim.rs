//! A claim over the peer-to-peer transport: looking for the greeter's device, then the ceremony
//! with it.
//!
//! Decides how long it is looked for, and that nothing but the node of the link's peer key is told
//! anything. An attempt's record is on disk before the greeter hears of it.

use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::control::{Action, Carrier, Problem, ProblemKind, Stage, TransportName};
use parsec_protocol::enrol::io::TransportKind;
use parsec_protocol::enrol::link::{Link, LinkKind};
use parsec_protocol::ids::Invited;
use parsec_protocol::limits::MESSAGE_WAIT_SECONDS;
use parsec_protocol::p2p::Hints;
use parsec_protocol::relay::EndReason;
use zeroize::Zeroizing;

use super::host::setup;
use super::{no_hints, status};
use crate::enrolment::attempts::Started;
use crate::enrolment::new_device::{ClaimNeeds, DeviceFolder};
use crate::enrolment::waiting::{Way, hint};
use crate::enrolment::{CeremonyContext, End, claimer, finish, until_farewell};
use crate::events::TransportReason;
use crate::network::{Net, unavailable};
use crate::p2p::{Guest, GuestTransport, ping};
use crate::transport::{Transport as _, TransportError};

/// How long the other device is looked for: as long as people wait for a message.
const MEET_WAIT: Duration = Duration::from_secs(MESSAGE_WAIT_SECONDS);
/// The same where the server answered and does not know the invitation.
const MEET_WAIT_UNKNOWN: Duration = Duration::from_secs(10);
/// How long the other device is told that it is over. It finds out by itself, later.
const GOODBYE: Duration = Duration::from_secs(10);
/// How long a person is kept waiting for the registration, which mostly has to wait for a server.
const REGISTRATION_WAIT: Duration = Duration::from_secs(3);
/// How long an attempt of an earlier daemon is told to be over.
const ABANDON_WAIT: Duration = Duration::from_secs(60);

/// Runs a claim over the peer-to-peer transport to its end.
pub async fn claim(
    mut context: CeremonyContext,
    link: Link,
    started: Started,
    needs: ClaimNeeds,
    reason: TransportReason,
) {
    let hints = match Hints::of(&link) {
        Ok(hints) if needs.net.has_p2p() => hints,
        Ok(_) => return context.shown.closed(unavailable()),
        Err(error) => return context.shown.closed(no_hints(error)),
    };
    context.shown.transport(TransportName::P2p, reason);
    let guest = match Guest::new(&hints) {
        Ok(guest) => guest,
        Err(error) => return context.shown.closed(setup(error)),
    };
    let (attempt, secret) = (started.attempt, Zeroizing::new(*started.secret.expose()));
    let transport = GuestTransport::new(guest, attempt, secret);
    let shown = status::show(needs.net.clone(), transport.guest().status(), None, Some(link.token));
    let mut begun = false;
    let work = async {
        let look = (reason, &hints);
        let Err(end) = attempt_of(&mut context, &transport, link, look, started, &needs, &mut begun).await
        else {
            return true;
        };
        // Without an answer and without a connection nothing was begun. With one, the answer may
        // only have been lost.
        if !begun && !transport.guest().status().borrow().connected {
            end.show(&context.shown);
            return true;
        }
        let told = async {
            let _ = tokio::time::timeout(GOODBYE, finish(end, &context, &transport)).await;
        };
        until_farewell(&needs.stop, told).await
    };
    let over = tokio::select! {
        biased;
        over = work => Some(over),
        () = shown => None,
    };
    let over = over.unwrap_or_else(|| {
        // The node ends with this function; before, only by a failure of its own.
        context.shown.closed(Problem::new(ProblemKind::Internal, "The peer-to-peer node has ended."));
        true
    });
    if over {
        let records = needs.attempts.clone();
        // Blocking for one unlink; a failure is made good at the next start.
        let _ = tokio::task::spawn_blocking(move || records.remove(attempt)).await;
    }
}

async fn attempt_of(
    context: &mut CeremonyContext,
    transport: &GuestTransport,
    link: Link,
    (reason, hints): (TransportReason, &Hints),
    started: Started,
    needs: &ClaimNeeds,
    begun: &mut bool,
) -> Result<(), End> {
    let folder_secret = Zeroizing::new(*started.secret.expose());
    let attempt = started.attempt;
    let records = needs.attempts.clone();
    tokio::task::spawn_blocking(move || records.put(&started))
        .await
        .map_err(|_| Problem::new(ProblemKind::Internal, "Keeping a record failed without an answer."))
        .and_then(|kept| kept)
        .map_err(End::Here)?;
    context.shown.stage(Stage::WaitingForPeer, &[Action::Cancel]);
    context.waits(hint(Way::P2p, &link.organisation, &link.token));
    let start = transport.start(&link.organisation, &link.token, &link.secret);
    // A server that answers is nearly always right about its invitations: then this is tried, and
    // not waited for.
    let unknown = matches!(reason, TransportReason::InvitationUnknown);
    let wait = if unknown { MEET_WAIT_UNKNOWN } else { MEET_WAIT };
    let looked = async { tokio::time::timeout(wait, start).await.map_or(Ok(None), |met| met.map(Some)) };
    let Some(met) = context.carry(transport, looked).await? else {
        return Err(if unknown {
            let text = "The server knows no such invitation, and no device that made it was found.";
            End::Here(Problem::new(ProblemKind::InvitationUnknown, text))
        } else {
            End::Transport(TransportError::PeerUnreachable("it was looked for for ten minutes".to_owned()))
        });
    };
    *begun = true;
    let same_kind = matches!(
        (&met.invited, link.kind),
        (Invited::User(_), LinkKind::User) | (Invited::Device(_), LinkKind::Device)
    );
    let Some(greeter) = met.attempt.greeter.filter(|_| same_kind) else {
        let text = "The other device says that the invitation is of another kind than the link.";
        return Err(End::Here(Problem::new(ProblemKind::WrongLink, text)));
    };
    context.shown.invited(&met.invited, Some(met.invited_by));
    context.shown.attempt(attempt);
    let folder = DeviceFolder {
        devices: Arc::clone(&needs.devices),
        reports: needs.reports.clone(),
        server: link.server.as_str().to_owned(),
        attempt,
        attempt_secret: folder_secret,
        token: link.token,
        direct: Some((link.hints, greeter.device)),
    };
    let invitation = claimer::Invitation {
        organisation: link.organisation,
        token: link.token,
        invited: met.invited,
        link_secret: link.secret,
        transport: TransportKind::PeerToPeer { peer: hints.peer },
        registration_wait: REGISTRATION_WAIT,
    };
    claimer::run(context, transport, &invitation, &folder).await
}

/// Ends an attempt that an earlier daemon started and nobody can go on with.
pub async fn abandon(net: &Net, started: &Started, hints: &[String]) {
    // What may be dialled was decided when it was started.
    let Ok(hints) = Hints::read(hints, true) else { return };
    if !net.has_p2p() {
        return;
    }
    let Ok(guest) = Guest::new(&hints) else { return };
    let transport = GuestTransport::new(guest, started.attempt, Zeroizing::new(*started.secret.expose()));
    if tokio::time::timeout(ABANDON_WAIT, transport.cancel(EndReason::Abandoned)).await.is_err() {
        tracing::debug!("the greeter of an abandoned attempt was not reached");
    }
}

/// Reaches the device that a link leads to: what carried the answer, and how long it took. No
/// attempt is started.
///
/// The caller ends it.
///
/// # Errors
/// `transport_unavailable`, `transport_refused` for a link without addresses, `peer_unreachable`.
pub async fn ping_peer(net: &Net, link: &Link) -> Result<(Carrier, Duration), Problem> {
    if !net.has_p2p() {
        return Err(unavailable());
    }
    let hints = Hints::of(link).map_err(no_hints)?;
    let guest = Guest::new(&hints).map_err(setup)?;
    let took = ping(&guest, &link.organisation, &link.token, &link.secret).await?;
    let status = guest.status();
    let carrier = status.borrow().peers.iter().find(|peer| peer.peer == hints.peer).map(|peer| peer.link);
    Ok((carrier.map_or(Carrier::Quic, status::carrier), took))
}
