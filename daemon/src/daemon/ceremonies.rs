//! Starts the two kinds of ceremony on the relay and ends them.
//!
//! Decides how a claimer's attempt begins (its record is on disk before the server hears of it) and which attempts a
//! greeter joins. Refuses links of another kind than their invitation, and terminals of other users.

use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::chain::verify::VerifiedLog;
use parsec_protocol::codec;
use parsec_protocol::control::{Action, Problem, ProblemKind, RoadName, SecretText, Stage, TransportChoice};
use parsec_protocol::enrol::io::{NewDevice, SealedEnrolment, Setting, TransportKind};
use parsec_protocol::enrol::link::{Link, LinkKind};
use parsec_protocol::ids::{AttemptId, Invited, Token};
use parsec_protocol::keys::{LinkSecret, random};
use parsec_protocol::relay::{AttemptView, EndReason, InvitationStatus, InvitationView};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::command::{Event, Handle, OpenedFor};
use super::leftovers::{Attempts, Started};
use super::session::{Session, blocking};
use crate::caller::CallerSession;
use crate::enrolment::{self, Desk, End, claimer, greeter, not_now};
use crate::events::RoadReason;
use crate::outbox::{self, Progress, Row};
use crate::store::{DeviceKeys, Devices, PendingReceipt, StoredInvitation};
use crate::transport::http::Server;
use crate::transport::relay::{ClaimerRoad, GreeterRoad, Invitee};
use crate::transport::{Road as _, Trouble};
use crate::{entropy, problems};

/// How long a stopping daemon goes on telling the relay that an attempt is over. The record on disk does the rest.
const FAREWELL: Duration = Duration::from_secs(3);

/// Gives what is still being told at the end of the daemon a little time, and no more.
async fn until_farewell(stop: &CancellationToken, work: impl Future<Output = ()>) -> bool {
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
}

/// Why a ceremony goes over the server: it comes first, whatever is asked.
const fn why_server(choice: TransportChoice) -> RoadReason {
    match choice {
        TransportChoice::Server => RoadReason::Asked,
        TransportChoice::Auto | TransportChoice::P2p => RoadReason::ServerReached,
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
    let started = Started {
        server: server.address().to_owned(),
        organisation: link.organisation.clone(),
        token: link.token,
        attempt,
        secret,
    };
    let keeper = DeviceKeeper {
        devices: Arc::clone(&needs.devices),
        handle: needs.handle.clone(),
        server: server.address().to_owned(),
        attempt,
        attempt_secret: Zeroizing::new(*started.secret.expose()),
        token: link.token,
    };
    let records = needs.attempts.clone();
    let end = attempt_of(&mut desk, &road, link, started, &records, &keeper, needs.transport).await;
    let heard = match end {
        Ok(()) => true,
        Err(end) => until_farewell(&needs.stop, enrolment::finish(end, &desk, &road)).await,
    };
    if heard {
        // Blocking for one unlink; a failure is made good at the next start.
        let _ = tokio::task::spawn_blocking(move || records.remove(attempt)).await;
    }
}

async fn attempt_of(
    desk: &mut Desk,
    road: &ClaimerRoad,
    link: Link,
    started: Started,
    records: &Attempts,
    keeper: &DeviceKeeper,
    choice: TransportChoice,
) -> Result<(), End> {
    // Nothing has been started yet, so there is nobody to tell, and a mistyped address must not look like a long wait.
    let info = match desk.carry(road, road.info()).await {
        Err(End::Road(error)) => {
            desk.board.closed(error.into());
            return Ok(());
        }
        info => info?,
    };
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
    let invitation = claimer::Invitation {
        organisation: link.organisation,
        token: link.token,
        invited: info.invited,
        link_secret: link.secret,
    };
    claimer::run(desk, road, &invitation, keeper).await
}

/// Keeps a claimer's keys in a device folder.
struct DeviceKeeper {
    devices: Arc<Devices>,
    handle: Handle,
    server: String,
    attempt: AttemptId,
    attempt_secret: Zeroizing<[u8; 32]>,
    token: Token,
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
        Ok(self.session.sync().await?)
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
    let road = match join(&mut desk, &session, token, choice).await {
        Ok(road) => road,
        Err(end) => return end.show(&desk.board),
    };
    let (attempt, road) = road;
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
    match greeter::run(&mut desk, &road, setting, &invitation.link_secret, &voucher).await {
        Ok(sealed) => follow_row(desk, &session, &road, Row { attempt, token, sealed, sent: true }).await,
        Err(end) => {
            // Whatever was signed is void once the relay has heard; the outbox sees to it if it was not.
            until_farewell(&session.stop, enrolment::finish(end, &desk, &road)).await;
            if let Ok(Some(row)) = follow_earlier(&session, attempt).await {
                outbox::finish(&session, row);
            }
        }
    }
}

/// The row of an attempt, if this device signed for it.
async fn follow_earlier(session: &Session, attempt: AttemptId) -> Result<Option<Row>, Problem> {
    let rows = session.store(crate::store::Store::sealed).await?;
    let row = rows.into_iter().find(|(id, _, _)| *id == attempt);
    Ok(row.map(|(attempt, token, sealed)| Row { attempt, token, sealed, sent: false }))
}

/// Waits for the newcomer and becomes the greeter of their attempt.
async fn join(
    desk: &mut Desk,
    session: &Session,
    token: Token,
    choice: TransportChoice,
) -> Result<(AttemptId, GreeterRoad), End> {
    let trouble = Trouble::new(None);
    let mut troubled = trouble.subscribe();
    let (tell, mut seen) = watch::channel::<Option<InvitationView>>(None);
    let follow = session.member.follow(token, &trouble, &tell);
    tokio::pin!(follow);
    let mut left = None;
    loop {
        let view = tokio::select! {
            error = &mut follow => return Err(End::Road(error)),
            Ok(()) = seen.changed() => seen.borrow_and_update().clone(),
            request = desk.request() => {
                let _ = request?.reply.send(Err(not_now()));
                continue;
            }
            Ok(()) = troubled.changed() => {
                desk.board.note(troubled.borrow_and_update().clone());
                continue;
            }
        };
        let Some(view) = view else { continue };
        let over = match view.status {
            InvitationStatus::Pending | InvitationStatus::InUse => None,
            InvitationStatus::Completed => Some(ProblemKind::InvitationCompleted),
            InvitationStatus::Cancelled => Some(ProblemKind::InvitationCancelled),
            InvitationStatus::Expired => Some(ProblemKind::InvitationExpired),
            InvitationStatus::Exhausted => Some(ProblemKind::InvitationExhausted),
        };
        if let Some(kind) = over {
            return Err(End::Here(Problem::new(kind, "This invitation has ended.")));
        }
        desk.board.road(RoadName::Server, why_server(choice));
        if desk.board.now().stage != Stage::WaitingForPeer {
            desk.board.stage(Stage::WaitingForPeer, &[Action::Cancel]);
        }
        let Some(AttemptView { attempt, steps, greeter, ended: None }) = view.attempt else { continue };
        if left == Some(attempt) {
            continue;
        }
        let road = GreeterRoad::new(session.member.clone(), token, attempt);
        let ours = greeter.is_some_and(|greeter| greeter.device == session.open.summary.device);
        let signed = follow_earlier(session, attempt).await.map_err(End::Here)?.is_some();
        // Steps of ours that no machine here remembers: the channel died with an earlier daemon.
        if ours && steps & 0b10 != 0 && !signed {
            desk.carry(&road, road.cancel(EndReason::Abandoned)).await?;
            left = Some(attempt);
            continue;
        }
        let trouble = Trouble::new(None);
        let join = crate::transport::retry::until_done(&trouble, || session.member.join(token, attempt));
        match desk.carry(&road, join).await {
            Ok(AttemptView { ended: None, .. }) => return Ok((attempt, road)),
            // It ended between the event and the call, also where this device had joined it before; another will come.
            Ok(AttemptView { ended: Some(_), .. }) | Err(End::Peer(_)) => left = Some(attempt),
            Err(end) => return Err(end),
        }
    }
}

/// Shows what becomes of what was signed. The person may stop until the newcomer's keys are durable.
async fn follow_row(mut desk: Desk, session: &Arc<Session>, road: &GreeterRoad, row: Row) {
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
            End::Person(reply) => match road.cancel(EndReason::Cancelled).await {
                Ok(()) => {
                    End::Person(reply).show(&desk.board);
                    return;
                }
                Err(error) => {
                    let _ = reply.send(Err(error.into()));
                }
            },
            // Locking or stopping does not take the signature back: the row goes on after the next unlocking.
            end @ (End::Stopped(_) | End::Machine(_) | End::Peer(_) | End::Road(_) | End::Here(_)) => {
                return end.show(&desk.board);
            }
        }
    }
}
