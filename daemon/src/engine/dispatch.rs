//! What each request of a local program does, as seen from the loop.
//!
//! Decides which device or ceremony it is about; the work itself runs in a task of that device, so
//! that locking ends it.

use std::sync::Arc;

use parsec_protocol::control::{
    CeremonyListResult, CeremonyView, ClaimStart, DeviceListResult, DeviceSelector, Empty, GreetStart,
    OrgBootstrap, OrgBootstrapped, OrgMoved, OrgServer, Outcome, Problem, ProblemKind, RecoveryUsed, Role,
    StatusResult,
};

use super::backoff::Backoff;
use super::command::{Asker, Command, Event, OpenedFor, Reply, SessionWork};
use super::select::Wanted;
use super::{Daemon, FOUNDINGS_MAX, bootstrap};
use crate::calls::move_server;
use crate::enrolment::new_device::ClaimNeeds;
use crate::enrolment::{CeremonyContext, Request, claim, greet};
use crate::events::Reason;
use crate::os::caller::CallerSession;
use crate::problems;
use crate::recovery::{self, Machine};
use crate::session::Session;
use crate::store::OpenDevice;
use crate::transport::http::Server;

impl Daemon {
    /// Does what a local program asks, or starts it.
    pub(super) fn command(&mut self, asker: Asker, command: Command) {
        let Asker { caller, refuse, needs: _ } = asker;
        match command {
            Command::OnSession { select, work } => match self.session(&select) {
                Ok(session) => work.start(session),
                Err(problem) => {
                    let _ = refuse.send(problem);
                }
            },
            Command::Status(reply) => {
                let _ = reply.send(Ok(self.status()));
            }
            Command::DeviceList(reply) => {
                let _ = reply.send(Ok(DeviceListResult { devices: self.devices.views() }));
            }
            Command::Doctor(reply) => self.doctor(reply),
            Command::OrgBootstrap(request, reply) => self.bootstrap(request, caller.session.clone(), reply),
            Command::RecoveryUse(request, reply) => {
                let come_back = |machine, backoff: Backoff| async move {
                    recovery::run(machine, &backoff, request).await
                };
                self.use_kit(come_back, caller.session.clone(), reply);
            }
            Command::RecoveryCombine(request, reply) => {
                let come_back = |machine, backoff: Backoff| async move {
                    recovery::combine(machine, &backoff, request).await
                };
                self.use_kit(come_back, caller.session.clone(), reply);
            }
            Command::OrgServer(request, reply) => self.move_server(request, reply),
            Command::DeviceUnlock(request, reply) => self.unlock(request, &caller, reply),
            Command::DeviceLock(selector, reply) => match self.devices.choose_any(&selector) {
                Ok(device) => self.lock(device, Reason::Locked, Some(reply)),
                Err(problem) => {
                    let _ = reply.send(Err(problem));
                }
            },
            Command::DevicePassword(request, reply) => self.change_password(request, &caller, reply),
            Command::DeviceForget(request, reply) => self.forget(&request, reply),
            Command::DeviceRestore(request, reply) => self.restore(&request, reply),
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
            Command::GreetStart(request, reply) => {
                let _ = reply.send(self.greet(&request));
            }
            Command::ClaimStart(request, reply) => {
                let _ = reply.send(self.claim(&request));
            }
            Command::CeremonyList(reply) => {
                let _ = reply.send(Ok(CeremonyListResult { ceremonies: self.ceremonies.views() }));
            }
            Command::CeremonyWatch(id, reply) => {
                let _ = reply.send(self.ceremonies.watch(id));
            }
            Command::CeremonyAct(id, act, reply) => {
                self.ceremonies.act(id, Request { act, by: caller.session.clone(), reply });
            }
        }
    }

    fn status(&self) -> StatusResult {
        StatusResult {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            api_version: parsec_protocol::control::API_VERSION.to_owned(),
            pid: self.pid,
            devices: self.devices.views(),
            ceremonies: self.ceremonies.views(),
            // As the events have it: the hub keeps what it has told.
            alarms: self.context.handle.hub().alarms(),
            safes: self.context.handle.hub().safes(),
        }
    }

    /// The session of the device that is meant.
    fn session(&mut self, selector: &DeviceSelector) -> Result<Arc<Session>, Problem> {
        let device = self.devices.choose(selector, Wanted::Unlocked)?;
        self.devices.touch(device);
        let locked = || Problem::new(ProblemKind::DeviceLocked, "The device is locked.");
        self.devices.session(device).cloned().ok_or_else(locked)
    }

    /// Founds an organisation in a task; a few at a time.
    fn bootstrap(&self, request: OrgBootstrap, by: Option<CallerSession>, reply: Reply<OrgBootstrapped>) {
        let Ok(turn) = Arc::clone(&self.foundings).try_acquire_owned() else {
            let text = format!("{FOUNDINGS_MAX} organisations are being founded already.");
            let busy = Problem::new(ProblemKind::DeviceBusy, text);
            let hint = "Wait until one of them is founded, then repeat the command.".to_owned();
            let _ = reply.send(Err(Problem { hint, ..busy }));
            return;
        };
        let (context, backoff) = (self.context.clone(), self.unlocking.backoff().clone());
        self.context.spawn(async move {
            let _turn = turn;
            match bootstrap::run(&context.store, &backoff, context.client.clone(), request).await {
                Ok(open) => {
                    let founded = OpenedFor::Founding(reply, by);
                    context.handle.tell(Event::Opened(Box::new(open), founded)).await;
                }
                Err(problem) => {
                    context.tell_what_is_there().await;
                    let _ = reply.send(Err(problem));
                }
            }
        });
    }

    /// Brings a user back in a task, under the same bound as foundings: both make a device that no
    /// ceremony let in.
    fn use_kit<F>(
        &self,
        come_back: impl FnOnce(Machine, Backoff) -> F,
        by: Option<CallerSession>,
        reply: Reply<RecoveryUsed>,
    ) where
        F: Future<Output = Result<OpenDevice, Problem>> + Send + 'static,
    {
        let Ok(turn) = Arc::clone(&self.foundings).try_acquire_owned() else {
            let text = format!("{FOUNDINGS_MAX} devices are being made already.");
            let _ = reply.send(Err(Problem::new(ProblemKind::DeviceBusy, text)));
            return;
        };
        let (context, backoff) = (self.context.clone(), self.unlocking.backoff().clone());
        let machine = Machine {
            devices: Arc::clone(&context.store),
            client: context.client.clone(),
            unlocked: self.devices.sessions().map(|session| session.open.summary.device).collect(),
        };
        let coming = come_back(machine, backoff);
        self.context.spawn(async move {
            let _turn = turn;
            match coming.await {
                Ok(open) => {
                    let event = Event::Opened(Box::new(open), OpenedFor::Recovery(reply, by));
                    context.handle.tell(event).await;
                }
                Err(problem) => {
                    context.tell_what_is_there().await;
                    let _ = reply.send(Err(problem));
                }
            }
        });
    }

    /// Moves a device to another address of its server; the loop hears of it before anything else
    /// is done.
    fn move_server(&mut self, request: OrgServer, reply: Reply<OrgMoved>) {
        let session = match self.session(&request.select) {
            Ok(session) => session,
            Err(problem) => {
                let _ = reply.send(Err(problem));
                return;
            }
        };
        let (store, handle) = (Arc::clone(&self.context.store), self.context.handle.clone());
        let work = SessionWork::new(reply, move |session: Arc<Session>| async move {
            let moved = move_server::go(&session, store, &request).await?;
            handle.tell(Event::Moved(session.open.summary.device, moved.address.clone())).await;
            move_server::answer(&session, moved).await
        });
        work.start(session);
    }

    /// Starts a greeting. The answer waits for nothing.
    fn greet(&mut self, request: &GreetStart) -> Result<CeremonyView, Problem> {
        let session = self.session(&request.select)?;
        let (token, choice) = (request.token, request.transport.unwrap_or_default());
        self.context.net.permits(choice)?;
        if let Some(running) = self.ceremonies.greeting(token) {
            return Ok(running);
        }
        let (device, organisation) = (session.open.summary.device, session.open.summary.organisation.clone());
        let begun = self.ceremonies.begin(Role::Greeter, organisation, Some(token), Some(device));
        let (shown, queue) = begun?;
        let (now, seen) = (shown.now(), shown.watch());
        let context = CeremonyContext::new(shown, queue, session.stop.clone(), ProblemKind::DeviceLocked);
        let tasks = session.tasks.clone();
        // Not cut off by `stop`: it ends by itself then, and tells the relay.
        tasks.spawn(async move {
            match session.store(move |store| store.invitation(token)).await {
                Ok(Some(invitation)) => {
                    Box::pin(greet::greet(context, Arc::clone(&session), invitation, token, choice)).await;
                    if let Some(Outcome::Failed { problem }) = &seen.borrow().outcome {
                        session.saw(problem);
                    }
                }
                Ok(None) => {
                    let text = "This device does not hold the invitation's link: greet where it was made, unless it has ended.";
                    context.shown.closed(Problem::new(ProblemKind::InvitationUnknown, text));
                }
                Err(problem) => context.shown.closed(problem),
            }
        });
        Ok(now)
    }

    /// Starts a claim. The answer waits for nothing.
    fn claim(&mut self, request: &ClaimStart) -> Result<CeremonyView, Problem> {
        let link = problems::link_in(&request.link)?;
        let transport = request.transport.unwrap_or_default();
        self.context.net.permits(transport)?;
        let server = Server::new(self.context.client.clone(), link.server.as_str())?;
        let (shown, queue) = self.ceremonies.begin(Role::Claimer, link.organisation.clone(), None, None)?;
        let now = shown.now();
        let needs = ClaimNeeds {
            devices: Arc::clone(&self.context.store),
            attempts: self.context.attempts.clone(),
            reports: self.context.reports.clone(),
            stop: self.context.stop.clone(),
            transport,
            net: self.context.net.clone(),
        };
        let context = CeremonyContext::new(shown, queue, needs.stop.clone(), ProblemKind::ShuttingDown);
        // Not cut off by `stop`: it ends by itself then, and tells the relay.
        self.context.tasks.spawn(claim::claim(context, link, server, needs));
        Ok(now)
    }
}
