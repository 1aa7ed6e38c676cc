//! What each request of a local program does, as seen from the loop.
//!
//! Decides which device or ceremony it is about; the work itself runs in a task of that device, so that locking ends it.

use std::sync::Arc;

use parsec_protocol::control::{
    CeremonyId, CeremonyListResult, CeremonyView, ClaimStart, DeviceListResult, DeviceSelector, Empty,
    GreetStart, Member, Outcome, Problem, ProblemKind, Role, StatusResult,
};
use parsec_protocol::ids::{DeviceId, Invited, Token};
use tokio::sync::mpsc;

use super::command::{Command, Event, OpenedFor, Reply};
use super::select;
use super::select::Wanted;
use super::{Ceremony, Daemon, FOUNDINGS_MAX, bootstrap};
use crate::calls::admin;
use crate::calls::admin::Change;
use crate::calls::{evidence, invitations, members, move_server, repair};
use crate::enrolment::start;
use crate::enrolment::start::ClaimNeeds;
use crate::enrolment::view::Board;
use crate::enrolment::{Desk, REQUESTS_MAX, Request};
use crate::events::Reason;
use crate::os::blocking;
use crate::os::caller::Caller;
use crate::problems;
use crate::session::Session;
use crate::session::alarms;
use crate::transport::http::Server;

impl Daemon {
    /// Does what a local program asks, or starts it.
    pub(super) fn command(&mut self, command: Command, caller: &Caller) {
        match command {
            Command::Status(reply) => {
                let _ = reply.send(Ok(self.status()));
            }
            Command::DeviceList(reply) => {
                let devices = self.status().devices;
                let _ = reply.send(Ok(DeviceListResult { devices }));
            }
            Command::Doctor(reply) => self.doctor(reply),
            Command::OrgBootstrap(request, reply) => {
                let (devices, client, handle) =
                    (Arc::clone(&self.devices), self.client.clone(), self.handle.clone());
                let by = caller.session.clone();
                let Ok(turn) = Arc::clone(&self.foundings).try_acquire_owned() else {
                    let text = format!("{FOUNDINGS_MAX} organisations are being founded already.");
                    let busy = Problem::new(ProblemKind::DeviceBusy, text);
                    let hint = "Wait until one of them is founded, then repeat the command.".to_owned();
                    let _ = reply.send(Err(Problem { hint, ..busy }));
                    return;
                };
                let turnstile = self.turnstile.clone();
                self.spawn(async move {
                    let _turn = turn;
                    match bootstrap::run(&devices, &turnstile, client, request).await {
                        Ok(open) => {
                            handle.tell(Event::Opened(Box::new(open), OpenedFor::Founding(reply, by))).await
                        }
                        Err(problem) => {
                            if let Ok(list) = blocking(move || devices.list()).await {
                                handle.tell(Event::Listed(list)).await;
                            }
                            let _ = reply.send(Err(problem));
                        }
                    }
                });
            }
            Command::OrgServer(request, reply) => {
                let (devices, handle) = (Arc::clone(&self.devices), self.handle.clone());
                let select = request.select.clone();
                self.with_session(&select, reply, async move |session| {
                    move_server::run(&session, devices, &handle, &request).await
                });
            }
            Command::DeviceUnlock(request, reply) => self.unlock(request, caller, reply),
            Command::DeviceLock(selector, reply) => match self.choose_any(&selector) {
                Ok(device) => self.lock(device, Reason::Locked, Some(reply)),
                Err(problem) => {
                    let _ = reply.send(Err(problem));
                }
            },
            Command::DevicePassword(request, reply) => self.change_password(request, caller, reply),
            Command::DeviceForget(request, reply) => self.forget(&request, reply),
            Command::DeviceRestore(request, reply) => self.restore(&request, reply),
            Command::InviteUser(request, reply) => {
                let permitted = self.net.permits(request.transport.unwrap_or_default());
                self.with_session(&request.select, reply, async move |session| {
                    permitted?;
                    let wish = invitations::Wish {
                        invited: Invited::User(request.email),
                        days: request.days,
                        mail: request.mail,
                        transport: request.transport.unwrap_or_default(),
                    };
                    invitations::make(&session, wish).await
                })
            }
            Command::InviteDevice(request, reply) => {
                let permitted = self.net.permits(request.transport.unwrap_or_default());
                self.with_session(&request.select, reply, async move |session| {
                    permitted?;
                    let wish = invitations::Wish {
                        invited: Invited::Device(session.open.summary.user),
                        days: request.days,
                        mail: request.mail,
                        transport: request.transport.unwrap_or_default(),
                    };
                    invitations::make(&session, wish).await
                });
            }
            Command::InviteList(select, reply) => {
                self.with_session(&select, reply, async |session| invitations::list(&session).await);
            }
            Command::InviteCancel(request, reply) => {
                self.with_session(&request.select, reply, async move |session| {
                    invitations::cancel(&session, request.token).await
                });
            }
            Command::UserList(select, reply) => {
                self.with_session(&select, reply, async |session| members::list(&session).await);
            }
            Command::UserShow(request, reply) => {
                self.with_session(&request.select, reply, async move |session| {
                    members::user(&session, request.user.as_deref()).await
                });
            }
            Command::DeviceRevoke(request, reply) => {
                self.change(&request.select, Change::DeviceRevoked(request.device), reply);
            }
            Command::UserRevoke(request, reply) => {
                self.change(&request.select, Change::UserRevoked(request.user), reply);
            }
            Command::UserProfile(request, reply) => {
                self.change(&request.select, Change::Profile(request.user, request.profile), reply);
            }
            Command::TrustVerify(select, reply) => {
                self.with_session(&select, reply, async |session| members::verify(&session).await);
            }
            Command::TrustShow(request, reply) => {
                self.with_session(&request.select, reply, async move |session| {
                    members::show(&session, request.user.as_deref()).await
                })
            }
            Command::TrustAcknowledge(request, reply) => {
                self.with_session(&request.select, reply, async move |session| {
                    alarms::acknowledge(&session, request.alarm).await
                });
            }
            Command::TrustLog(request, reply) => {
                self.with_session(&request.select, reply, async move |session| {
                    evidence::log(&session, request.from).await
                });
            }
            Command::TrustExport(request, reply) => {
                self.with_session(&request.select, reply, async move |session| {
                    evidence::export(&session, request.from).await
                });
            }
            Command::TrustImport(request, reply) => {
                let select = request.select.clone();
                self.with_session(&select, reply, async move |session| Ok(session.import(request).await?));
            }
            Command::TrustRepair(select, reply) => {
                self.with_session(&select, reply, async |session| repair::run(&session).await);
            }
            Command::TrustFork(request, reply) => {
                self.with_session(&request.select, reply, async move |session| {
                    evidence::fork(&session, request.alarm, request.offset).await
                });
            }
            Command::ReceiptList(select, reply) => {
                self.with_session(&select, reply, async |session| evidence::receipts(&session).await);
            }
            Command::ReceiptExport(request, reply) => {
                self.with_session(&request.select, reply, async move |session| {
                    evidence::receipt(&session, request.device).await
                });
            }
            Command::NetStatus(reply) => {
                let _ = reply.send(Ok(self.net_status()));
            }
            Command::NetPeers(reply) => {
                let _ = reply.send(Ok(self.net_peers()));
            }
            Command::NetPing(request, reply) => self.net_ping(request, reply),
            // Asked and answered where the asker was looked at.
            Command::HandOn(reply) => {
                let _ = reply.send(Ok(Empty {}));
            }
            Command::GreetStart(request, reply) => self.greet(&request, reply),
            Command::ClaimStart(request, reply) => {
                let _ = reply.send(self.claim(&request));
            }
            Command::CeremonyList(reply) => {
                let ceremonies = self.status().ceremonies;
                let _ = reply.send(Ok(CeremonyListResult { ceremonies }));
            }
            Command::CeremonyWatch(id, reply) => {
                let _ = reply.send(self.ceremony(id).map(|ceremony| ceremony.view.clone()));
            }
            Command::CeremonyAct(id, act, reply) => match self.ceremony(id) {
                // A full queue means that somebody sends requests without waiting for answers.
                Ok(ceremony) => {
                    match ceremony.requests.try_send(Request { act, by: caller.session.clone(), reply }) {
                        Ok(()) => {}
                        Err(mpsc::error::TrySendError::Full(request)) => {
                            let text = "Too many requests at once for this ceremony.";
                            let _ = request.reply.send(Err(Problem::new(ProblemKind::NotNow, text)));
                        }
                        Err(mpsc::error::TrySendError::Closed(request)) => {
                            let text = "The ceremony has ended.";
                            let _ = request.reply.send(Err(Problem::new(ProblemKind::NotNow, text)));
                        }
                    }
                }
                Err(problem) => {
                    let _ = reply.send(Err(problem));
                }
            },
        }
    }

    fn status(&self) -> StatusResult {
        let mut devices: Vec<_> =
            self.known.values().filter_map(|summary| self.view(summary.device)).collect();
        devices.sort_by(|a, b| (&a.organisation, a.device).cmp(&(&b.organisation, b.device)));
        // As the events have it: the hub keeps what it has told.
        StatusResult {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            api_version: parsec_protocol::control::API_VERSION.to_owned(),
            pid: std::process::id(),
            devices,
            ceremonies: self.ceremonies.values().map(|ceremony| ceremony.view.borrow().clone()).collect(),
            alarms: self.hub.alarms(),
        }
    }

    pub(super) fn ceremony(&self, id: CeremonyId) -> Result<&Ceremony, Problem> {
        self.ceremonies
            .get(&id)
            .ok_or_else(|| Problem::new(ProblemKind::CeremonyUnknown, "There is no ceremony of this number."))
    }

    pub(super) fn choose(&self, selector: &DeviceSelector, wanted: Wanted) -> Result<DeviceId, Problem> {
        let is_unlocked = |device| self.unlocked.contains_key(&device);
        let device = select::device(&self.known, is_unlocked, selector, wanted)?;
        if self.is_here(device) {
            Ok(device)
        } else {
            Err(Problem::new(ProblemKind::DeviceUnknown, "The device is being removed."))
        }
    }

    /// The device to lock, or whose password is to be changed: the unlocked one, but a locked one that is meant will do.
    pub(super) fn choose_any(&self, selector: &DeviceSelector) -> Result<DeviceId, Problem> {
        match self.choose(selector, Wanted::Unlocked) {
            Err(problem)
                if matches!(
                    problem.name,
                    ProblemKind::DeviceLocked
                        | ProblemKind::DevicePending
                        | ProblemKind::DeviceVoid
                        | ProblemKind::Revoked
                ) =>
            {
                self.choose(selector, Wanted::Locked)
            }
            chosen => chosen,
        }
    }

    /// The session of the device that is meant.
    fn session(&mut self, selector: &DeviceSelector) -> Result<Arc<Session>, Problem> {
        let device = self.choose(selector, Wanted::Unlocked)?;
        self.touch(device);
        let unlocked = self.unlocked.get(&device);
        unlocked
            .map(|unlocked| Arc::clone(&unlocked.session))
            .ok_or_else(|| Problem::new(ProblemKind::DeviceLocked, "The device is locked."))
    }

    /// Runs work with the keys of the device that is meant; locking ends it.
    fn with_session<T, W, F>(&mut self, selector: &DeviceSelector, reply: Reply<T>, work: W)
    where
        T: Send + 'static,
        W: FnOnce(Arc<Session>) -> F,
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        let session = match self.session(selector) {
            Ok(session) => session,
            Err(problem) => {
                let _ = reply.send(Err(problem));
                return;
            }
        };
        let stop = session.stop.clone();
        let tasks = session.tasks.clone();
        let work = work(Arc::clone(&session));
        tasks.spawn(async move {
            let done = tokio::select! {
                () = stop.cancelled() => Err(Problem::new(ProblemKind::DeviceLocked, "The device was locked.")),
                done = work => done,
            };
            if let Err(problem) = &done {
                session.saw(problem);
            }
            let _ = reply.send(done);
        });
    }

    fn change(&mut self, select: &DeviceSelector, change: Change, reply: Reply<Member>) {
        self.with_session(select, reply, async move |session| admin::run(&session, change).await);
    }

    /// Starts a greeting. The answer waits for the store only.
    fn greet(&mut self, request: &GreetStart, reply: Reply<CeremonyView>) {
        let started = self.session(&request.select).and_then(|session| {
            self.net.permits(request.transport.unwrap_or_default())?;
            if let Some(running) = self.greeting(request.token) {
                return Ok(running);
            }
            let id = self.new_ceremony()?;
            let organisation = session.open.summary.organisation.clone();
            let board = Board::new(id, Role::Greeter, organisation, Some(request.token));
            let (requests, queue) = mpsc::channel(REQUESTS_MAX);
            let board = self.begin(board, requests, Some(session.open.summary.device));
            let shown = board.now();
            let seen = board.watch();
            let desk = Desk::new(board, queue, session.stop.clone(), ProblemKind::DeviceLocked);
            let (token, choice) = (request.token, request.transport.unwrap_or_default());
            let tasks = session.tasks.clone();
            tasks.spawn(async move {
                match session.store(move |store| store.invitation(token)).await {
                    Ok(Some(invitation)) => {
                        start::greet(desk, Arc::clone(&session), invitation, token, choice).await;
                        if let Some(Outcome::Failed { problem }) = &seen.borrow().outcome {
                            session.saw(problem);
                        }
                    }
                    Ok(None) => {
                        let text =
                            "This terminal does not hold the invitation's link: greet where it was made, unless it has ended.";
                        desk.board.closed(Problem::new(ProblemKind::InvitationUnknown, text));
                    }
                    Err(problem) => desk.board.closed(problem),
                }
            });
            Ok(shown)
        });
        let _ = reply.send(started);
    }

    /// A greeting of this invitation that is under way: two would take each other's messages.
    fn greeting(&self, token: Token) -> Option<CeremonyView> {
        let mut views = self.ceremonies.values().map(|ceremony| ceremony.view.borrow().clone());
        views.find(|view| view.role == Role::Greeter && view.token == Some(token) && view.outcome.is_none())
    }

    fn claim(&mut self, request: &ClaimStart) -> Result<CeremonyView, Problem> {
        let link = problems::link_in(&request.link)?;
        self.net.permits(request.transport.unwrap_or_default())?;
        let server = Server::new(self.client.clone(), link.server.as_str())?;
        let id = self.new_ceremony()?;
        let board = Board::new(id, Role::Claimer, link.organisation.clone(), None);
        let (requests, queue) = mpsc::channel(REQUESTS_MAX);
        let board = self.begin(board, requests, None);
        let shown = board.now();
        let desk = Desk::new(board, queue, self.stop.clone(), ProblemKind::ShuttingDown);
        let needs = ClaimNeeds {
            devices: Arc::clone(&self.devices),
            attempts: self.attempts.clone(),
            handle: self.handle.clone(),
            stop: self.stop.clone(),
            transport: request.transport.unwrap_or_default(),
            net: self.net.clone(),
        };
        // Not cut off by `stop`: it ends by itself then, and tells the relay.
        self.tasks.spawn(start::claim(desk, link, server, needs));
        Ok(shown)
    }
}
