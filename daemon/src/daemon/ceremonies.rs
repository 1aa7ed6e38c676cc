//! Starts the two kinds of ceremony on the relay and ends them; on the direct road where that is asked for or the server can't be reached.
//!
//! Decides how a claimer's attempt begins (its record is on disk before the server hears of it), which attempts a greeter joins, and when
//! the other road is taken: before an attempt starts, and never after. Refuses links of another kind than their invitation.

use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::codec;
use parsec_protocol::control::{Action, Problem, ProblemKind, RoadName, SecretText, Stage, TransportChoice};
use parsec_protocol::direct::Hints;
use parsec_protocol::enrol::io::{NewDevice, SealedEnrolment, Setting, TransportKind};
use parsec_protocol::enrol::link::{Link, LinkKind};
use parsec_protocol::ids::{AttemptId, DeviceId, Invited, Token};
use parsec_protocol::keys::{LinkSecret, random};
use parsec_protocol::limits::ATTEMPTS_MAX;
use parsec_protocol::public::Hash;
use parsec_protocol::relay::{EndReason, ErrorCode, InvitedInfo};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::command::{Event, Handle, OpenedFor};
use super::direct;
use super::invitations::PATIENCE;
use super::joining::{self, Joined};
use super::leftovers::{Attempts, Started};
use super::net::Net;
use super::session::{Session, blocking};
use crate::caller::CallerSession;
use crate::enrolment::waiting::{Way, hint};
use crate::enrolment::{self, Desk, End, claimer, greeter, not_now};
use crate::events::RoadReason;
use crate::outbox::{self, Progress, Row};
use crate::store::{
    DeviceKeys, Devices, DirectReceipt, PendingReceipt, Sealed, Store, StoredInvitation, Tally,
};
use crate::transport::http::Server;
use crate::transport::relay::{ClaimerRoad, Invitee};
use crate::transport::{Road, RoadError};
use crate::{entropy, problems};

/// How long the person is kept waiting for the greeter's device to register this one. It goes on without them.
const REGISTRATION_WAIT: Duration = Duration::from_secs(30);
/// How long a stopping daemon goes on telling the relay that an attempt is over. The record on disk does the rest.
const FAREWELL: Duration = Duration::from_secs(3);

/// Gives what is still being told at the end of the daemon a little time, and no more.
pub(super) async fn until_farewell(stop: &CancellationToken, work: impl Future<Output = ()>) -> bool {
    let end = async {
        stop.cancelled().await;
        tokio::time::sleep(FAREWELL).await;
    };
    tokio::select! {
        () = work => true,
        () = end => false,
    }
}

/// What a claim needs of the daemon.
#[derive(Debug, Clone)]
pub struct ClaimNeeds {
    /// Where keys are kept.
    pub devices: Arc<Devices>,
    /// Where attempts are recorded.
    pub attempts: Attempts,
    /// Who is told of a new device.
    pub handle: Handle,
    /// Ends it.
    pub stop: CancellationToken,
    /// Which road it may take.
    pub transport: TransportChoice,
    /// The direct road.
    pub net: Net,
}

/// Why a ceremony goes over the server.
const fn why_server(choice: TransportChoice) -> RoadReason {
    match choice {
        TransportChoice::Server => RoadReason::Asked,
        TransportChoice::Auto | TransportChoice::P2p => RoadReason::ServerReached,
    }
}

/// Whether a failure of the first call is one that the direct road can help with. A server that says no is heard, and one whose
/// certificate is wrong is no reason to go elsewhere without a word.
fn other_road(error: &RoadError) -> Option<RoadReason> {
    match error {
        RoadError::Unreachable(_) => Some(RoadReason::ServerUnreachable),
        RoadError::Refused { code: ErrorCode::InvitationUnknown, .. } => Some(RoadReason::InvitationUnknown),
        RoadError::Refused { .. }
        | RoadError::PlainHttp(_)
        | RoadError::Address(_)
        | RoadError::Setup(_)
        | RoadError::Tls(_)
        | RoadError::NotServer(_)
        | RoadError::Misbehaved(_)
        | RoadError::PeerUnreachable(_)
        | RoadError::PeerMisbehaved(_) => None,
    }
}

/// Runs a claim to its end.
pub async fn claim(mut desk: Desk, link: Link, server: Server, needs: ClaimNeeds) {
    let drawn = random(&mut entropy::System)
        .and_then(|attempt| Ok((AttemptId::from_bytes(attempt), LinkSecret::random(&mut entropy::System)?)));
    let (attempt, secret) = match drawn {
        Ok(drawn) => drawn,
        Err(error) => return desk.board.closed(problems::no_entropy(error)),
    };
    let invitee =
        Invitee { server: server.clone(), organisation: link.organisation.clone(), token: link.token };
    let road = ClaimerRoad::new(invitee, attempt, Zeroizing::new(*secret.expose()));
    let mut started = Started {
        server: server.address(),
        organisation: link.organisation.clone(),
        token: link.token,
        attempt,
        secret,
        hints: None,
    };
    if needs.transport == TransportChoice::P2p {
        started.hints = Some(link.hints.clone());
        return direct::claim(desk, link, started, needs, RoadReason::Asked).await;
    }
    // Nothing has been started yet, so there is nobody to tell, and a mistyped address must not look like a long wait.
    let info = match desk.carry(&road, road.info()).await {
        Ok(info) => info,
        Err(End::Road(error)) => {
            let auto = needs.transport == TransportChoice::Auto && needs.net.direct();
            return match other_road(&error) {
                Some(reason) if auto && Hints::of(&link).is_ok() => {
                    tracing::info!(%error, "going on without the server");
                    started.hints = Some(link.hints.clone());
                    direct::claim(desk, link, started, needs, reason).await;
                }
                Some(_) | None => desk.board.closed(error.into()),
            };
        }
        Err(end) => return end.show(&desk.board),
    };
    let keeper = DeviceKeeper {
        devices: Arc::clone(&needs.devices),
        handle: needs.handle.clone(),
        server: server.address(),
        attempt,
        attempt_secret: Zeroizing::new(*started.secret.expose()),
        token: link.token,
        direct: None,
    };
    let records = needs.attempts.clone();
    let end = attempt_of(&mut desk, &road, link, info, started, &records, &keeper, needs.transport).await;
    let heard = match end {
        Ok(()) => true,
        Err(end) => until_farewell(&needs.stop, enrolment::finish(end, &desk, &road)).await,
    };
    if heard {
        // Blocking for one unlink; a failure is made good at the next start.
        let _ = tokio::task::spawn_blocking(move || records.remove(attempt)).await;
    }
}

#[expect(clippy::too_many_arguments, reason = "each is used once, by name, and no two are of one type")]
async fn attempt_of(
    desk: &mut Desk,
    road: &ClaimerRoad,
    link: Link,
    info: InvitedInfo,
    started: Started,
    records: &Attempts,
    keeper: &DeviceKeeper,
    choice: TransportChoice,
) -> Result<(), End> {
    let same_kind = matches!(
        (&info.invited, link.kind),
        (Invited::User(_), LinkKind::User) | (Invited::Device(_), LinkKind::Device)
    );
    if !same_kind {
        let text = "The server says that the invitation is of another kind than the link.";
        return Err(End::Here(Problem::new(ProblemKind::WrongLink, text)));
    }
    desk.board.road(RoadName::Server, why_server(choice));
    desk.board.invited(&info.invited, Some(info.invited_by));
    let attempt = started.attempt;
    let records = records.clone();
    tokio::task::spawn_blocking(move || records.put(&started))
        .await
        .map_err(|_| Problem::new(ProblemKind::Internal, "Keeping a record failed without an answer."))
        .and_then(|kept| kept)
        .map_err(End::Here)?;
    desk.carry(road, road.start()).await?;
    desk.board.attempt(attempt);
    desk.waits(hint(Way::Server(&keeper.server), &link.organisation, &link.token));
    let invitation = claimer::Invitation {
        organisation: link.organisation,
        token: link.token,
        invited: info.invited,
        link_secret: link.secret,
        transport: TransportKind::Relay,
        registration_wait: REGISTRATION_WAIT,
    };
    claimer::run(desk, road, &invitation, keeper).await
}

/// Keeps a claimer's keys in a device folder.
pub(super) struct DeviceKeeper {
    pub(super) devices: Arc<Devices>,
    pub(super) handle: Handle,
    pub(super) server: String,
    pub(super) attempt: AttemptId,
    pub(super) attempt_secret: Zeroizing<[u8; 32]>,
    pub(super) token: Token,
    /// On the direct road: the link's hints, and the greeter's terminal.
    pub(super) direct: Option<(Vec<String>, DeviceId)>,
}

impl claimer::Keeper for DeviceKeeper {
    async fn keep(
        &self,
        new: Arc<NewDevice>,
        password: SecretText,
        by: Option<CallerSession>,
    ) -> Result<(), Problem> {
        let pending = PendingReceipt {
            organisation: new.organisation.clone(),
            server: self.server.clone(),
            attempt: self.attempt,
            attempt_secret: self.attempt_secret.clone(),
            token: self.token,
            message: codec::encode(&new.receipt),
            direct: self.direct.clone().map(|(hints, greeter)| DirectReceipt {
                hints,
                greeter,
                certificate: Hash::of(&[new.certificates.first().map_or(&[][..], Vec::as_slice)]),
            }),
        };
        let devices = Arc::clone(&self.devices);
        let server = self.server.clone();
        let open = blocking(move || devices.create(&new, &server, Some(&pending), &password)).await?;
        // The loop follows the receipt from here on, whatever becomes of this ceremony.
        self.handle.tell(Event::Opened(Box::new(open), OpenedFor::Claim(by))).await;
        Ok(())
    }
}

/// Vouches with an unlocked device.
struct DeviceVoucher {
    session: Arc<Session>,
    attempt: AttemptId,
    token: Token,
}

impl greeter::Voucher for DeviceVoucher {
    fn keys(&self) -> &DeviceKeys {
        &self.session.open.keys
    }

    async fn fresh_log(&self) -> Result<Arc<VerifiedLog>, Problem> {
        Ok(self.session.sync_apart().await?)
    }

    async fn attempts(&self) -> Result<u64, Problem> {
        super::invitations::attempts(&self.session, self.token).await
    }

    async fn persist(&self, sealed: &SealedEnrolment) -> Result<(), Problem> {
        let (attempt, token, sealed) = (self.attempt, self.token, sealed.clone());
        self.session.store(move |store| store.put_sealed(attempt, token, &sealed)).await
    }
}

/// Runs a greeting to its end.
pub async fn greet(
    mut desk: Desk,
    session: Arc<Session>,
    invitation: StoredInvitation,
    token: Token,
    choice: TransportChoice,
) {
    desk.board.invited(&invitation.invited, None);
    // A server that is against its members would let an invitation be tried for ever: this terminal counts, too.
    if invitation.tally.is_exhausted() {
        let text = "The invitation was tried too often.";
        return desk.board.closed(Problem::new(ProblemKind::InvitationExhausted, text));
    }
    match session.store(move |store| store.is_sealed(token)).await {
        Ok(false) => {}
        Ok(true) => {
            let text = "The newcomer holds the keys already; the enrolment waits for the server.";
            return desk.board.closed(Problem::new(ProblemKind::InvitationCompleted, text));
        }
        Err(problem) => return desk.board.closed(problem),
    }
    let joined = match joining::join(&mut desk, &session, &invitation, token, choice).await {
        Ok(joined) => joined,
        Err(end) => return end.show(&desk.board),
    };
    let (attempt, road) = match joined {
        Joined::Relay(attempt, road) => (attempt, road),
        Joined::Direct(arrived) => {
            let ask_server = choice == TransportChoice::Auto;
            return direct::greet(desk, session, invitation, token, arrived, ask_server).await;
        }
    };
    desk.board.attempt(attempt);
    let summary = &session.open.summary;
    let setting = Setting {
        organisation: summary.organisation.clone(),
        token,
        invited: invitation.invited,
        greeter_user: summary.user,
        greeter_device: summary.device,
        transport: TransportKind::Relay,
    };
    let voucher = DeviceVoucher { session: Arc::clone(&session), attempt, token };
    match follow_earlier(&session, attempt).await {
        Ok(Some(row)) => return follow_row(desk, &session, &road, row).await,
        Ok(None) => {}
        Err(problem) => return desk.board.closed(problem),
    }
    let count = move |store: &Store| store.count(token, Tally { attempts: 1, mismatches: 0 });
    match session.store(count).await {
        Ok(tally) if tally.attempts <= ATTEMPTS_MAX => {}
        Ok(_) => {
            let end = Problem::new(ProblemKind::InvitationExhausted, "The invitation was tried too often.");
            until_farewell(&session.stop, enrolment::finish(End::Here(end), &desk, &road)).await;
            return;
        }
        Err(problem) => return desk.board.closed(problem),
    }
    match greeter::run(&mut desk, &road, setting, &invitation.link_secret, &voucher).await {
        Ok(sealed) => follow_row(desk, &session, &road, Row::new(attempt, token, sealed)).await,
        Err(end) => {
            note_end(&session, token, &end).await;
            // Whatever was signed is void once the relay has heard; the outbox sees to it if it was not.
            until_farewell(&session.stop, enrolment::finish(end, &desk, &road)).await;
            if let Ok(Some(row)) = follow_earlier(&session, attempt).await {
                outbox::finish(&session, row);
            }
        }
    }
}

/// Counts a wrong code, on whichever side it was chosen.
pub(super) async fn note_end(session: &Session, token: Token, end: &End) {
    if matches!(end.reason(), Some(EndReason::CodeMismatch))
        || matches!(end, End::Peer(EndReason::CodeMismatch))
    {
        let count = move |store: &Store| store.count(token, Tally { attempts: 0, mismatches: 1 });
        if let Err(problem) = session.store(count).await {
            tracing::error!(%problem, "a wrong code could not be counted");
        }
    }
}

/// The row of an attempt, if this device signed for it.
pub(super) async fn follow_earlier(session: &Session, attempt: AttemptId) -> Result<Option<Row>, Problem> {
    let rows = session.store(Store::sealed).await?;
    let row = rows.into_iter().find(|row| row.attempt == attempt);
    Ok(row.map(|Sealed { attempt, token, sealed, set_aside }| Row {
        attempt,
        token,
        sealed,
        sent: false,
        set_aside,
    }))
}

/// Why it isn't known whether the server has heard.
enum Unheard {
    Locked,
    NoAnswer,
}

/// Shows what becomes of what was signed. The person may stop until the newcomer's keys are durable.
pub(super) async fn follow_row<R: Road>(mut desk: Desk, session: &Arc<Session>, road: &R, row: Row) {
    let (user, device, root) = (row.sealed.user, row.sealed.device, row.sealed.root);
    desk.board.stage(Stage::WaitingForPassword, &[Action::Cancel]);
    let mut progress = outbox::finish(session, row);
    loop {
        let now = progress.borrow_and_update().clone();
        match now {
            Progress::Waiting => {}
            Progress::Registering => {
                desk.may_cancel = false;
                desk.board.stage(Stage::Registering, &[]);
            }
            // Durable on both sides; what is left waits for a server, and not for a person.
            Progress::Kept => return desk.board.done(user, device, &root, false),
            Progress::Published => return desk.board.done(user, device, &root, true),
            Progress::Void(reason) => return End::Peer(reason).show(&desk.board),
            Progress::Failed(problem) => return desk.board.closed(problem),
        }
        let end = tokio::select! {
            changed = progress.changed() => match changed {
                Ok(()) => continue,
                // The outbox's task is gone: the device was locked.
                Err(_) => match desk.request().await {
                    Ok(request) => { let _ = request.reply.send(Err(not_now())); continue }
                    Err(end) => end,
                },
            },
            request = desk.request() => match request {
                Ok(request) => { let _ = request.reply.send(Err(not_now())); continue }
                Err(end) => end,
            },
        };
        match end {
            // Only the relay can say whether it is still time: once the receipt is there, it is not.
            End::Person(reply) => {
                let told = tokio::select! {
                    biased;
                    // Locking waits for nobody's server: the keys are to leave the memory.
                    () = session.stop.cancelled() => Err(Unheard::Locked),
                    told = tokio::time::timeout(PATIENCE, road.cancel(EndReason::Cancelled)) => {
                        told.map_err(|_| Unheard::NoAnswer)
                    }
                };
                match told {
                    Ok(Ok(())) => {
                        End::Person(reply).show(&desk.board);
                        return;
                    }
                    Ok(Err(error)) => {
                        let _ = reply.send(Err(error.into()));
                    }
                    Err(Unheard::NoAnswer) => {
                        let text = "The server did not confirm that the enrolment is cancelled; it goes on.";
                        let _ = reply.send(Err(Problem::new(ProblemKind::ServerUnreachable, text)));
                    }
                    Err(Unheard::Locked) => {
                        let text = "The device was locked before the server had heard.";
                        let _ = reply.send(Err(Problem::new(ProblemKind::DeviceLocked, text)));
                    }
                }
            }
            // Locking or stopping does not take the signature back: the row goes on after the next unlocking.
            end @ (End::Stopped(_) | End::Machine(_) | End::Peer(_) | End::Road(_) | End::Here(_)) => {
                return end.show(&desk.board);
            }
        }
    }
}
