//! The closed set of things that can happen to the daemon, and how a request reaches its loop.
//!
//! Decides that whatever changes the daemon's state is one of these values, handled one after the
//! other. A call that needs nothing but an unlocked device is [`Command::OnSession`], whatever it
//! does there.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use parsec_protocol::control::{
    CeremonyId, CeremonyListResult, CeremonyView, ClaimStart, DeviceForget, DeviceListResult, DevicePassword,
    DeviceRestore, DeviceSelector, DeviceUnlock, DeviceView, DoctorResult, Empty, GreetStart, NetPeers,
    NetPing, NetPinged, NetStatus, OrgBootstrap, OrgBootstrapped, OrgMoved, OrgServer, Problem, ProblemKind,
    RecoveryCombine, RecoveryUse, RecoveryUsed, Registration, StatusResult,
};
use parsec_protocol::ids::DeviceId;
use tokio::sync::{mpsc, oneshot, watch};

use crate::enrolment::Act;
use crate::events::{Hub, Reason};
use crate::fm::Folders;
use crate::os::caller::{Caller, CallerSession};
use crate::problems;
use crate::session::Session;
use crate::store::{DeviceSummary, OpenDevice};
use crate::tokens::TokenHandle;

/// Where an answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, Problem>>;

/// Work with the session of an unlocked device, and where its answer goes.
pub struct SessionWork(Box<dyn FnOnce(Arc<Session>) -> BoxFuture<'static, ()> + Send>);

impl SessionWork {
    /// Work whose answer goes to `reply`; `device_locked` where the device is locked before the
    /// work is done.
    pub(super) fn new<T, F>(reply: Reply<T>, work: impl FnOnce(Arc<Session>) -> F + Send + 'static) -> Self
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        Self(Box::new(move |session| {
            let work = work(Arc::clone(&session));
            Box::pin(async move {
                let locked = || Problem::new(ProblemKind::DeviceLocked, "The device was locked.");
                let done = tokio::select! {
                    () = session.stop.cancelled() => Err(locked()),
                    done = work => done,
                };
                if let Err(problem) = &done {
                    session.saw(problem);
                }
                let _ = reply.send(done);
            })
        }))
    }

    /// Does the work in a task of the device, so that locking ends it.
    pub(super) fn start(self, session: Arc<Session>) {
        let tasks = session.tasks.clone();
        tasks.spawn((self.0)(session));
    }
}

impl fmt::Debug for SessionWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionWork(..)")
    }
}

/// What a local program asks.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the method of the same name; docs/local-api.md says what it does")]
pub enum Command {
    /// Every method that needs nothing but the session of the device that is meant.
    OnSession {
        select: DeviceSelector,
        work: SessionWork,
    },
    Status(Reply<StatusResult>),
    Doctor(Reply<DoctorResult>),
    OrgBootstrap(OrgBootstrap, Reply<OrgBootstrapped>),
    OrgServer(OrgServer, Reply<OrgMoved>),
    RecoveryUse(RecoveryUse, Reply<RecoveryUsed>),
    RecoveryCombine(RecoveryCombine, Reply<RecoveryUsed>),
    DeviceList(Reply<DeviceListResult>),
    DeviceUnlock(DeviceUnlock, Reply<DeviceView>),
    DeviceLock(DeviceSelector, Reply<DeviceView>),
    DevicePassword(DevicePassword, Reply<DeviceView>),
    DeviceForget(DeviceForget, Reply<Empty>),
    DeviceRestore(DeviceRestore, Reply<DeviceView>),
    GreetStart(GreetStart, Reply<CeremonyView>),
    ClaimStart(ClaimStart, Reply<CeremonyView>),
    CeremonyList(Reply<CeremonyListResult>),
    CeremonyWatch(CeremonyId, Reply<watch::Receiver<CeremonyView>>),
    CeremonyAct(CeremonyId, Act, Reply<CeremonyView>),
    NetStatus(Reply<NetStatus>),
    NetPeers(Reply<NetPeers>),
    NetPing(NetPing, Reply<NetPinged>),
    /// Nothing but the question whether the caller may hand on what concerns every device on this
    /// machine.
    HandOn(Reply<Empty>),
}

/// What a request needs beside the permission to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: the permission is enough.
    Nothing,
    /// That the caller's session has given the password (docs/decisions/0012).
    Confirmation,
}

/// Who asks, and what the table of methods says about what they ask.
#[derive(Debug)]
pub struct Asker {
    /// The process that asks, as the kernel names it.
    pub caller: Arc<Caller>,
    /// Beside the permission, which the socket has checked.
    pub needs: Needs,
    /// Where a refusal goes, whatever the answer would have been.
    pub refuse: oneshot::Sender<Problem>,
}

/// For whom a device was opened, and whose word that was.
#[derive(Debug)]
pub enum OpenedFor {
    /// For `org.bootstrap`, and the session that asked for it.
    Founding(Reply<OrgBootstrapped>, Option<CallerSession>),
    /// For `recovery.use` or `recovery.combine`, and the session that asked for it.
    Recovery(Reply<RecoveryUsed>, Option<CallerSession>),
    /// A claim that kept its keys; it waits for nothing.
    Claim(Option<CallerSession>),
}

impl OpenedFor {
    /// The session that gave the password.
    #[must_use]
    pub const fn by(&self) -> Option<&CallerSession> {
        match self {
            Self::Founding(_, by) | Self::Recovery(_, by) | Self::Claim(by) => by.as_ref(),
        }
    }
}

/// The device for which a password was given, and who waits for the outcome.
#[derive(Debug)]
pub struct Given {
    /// The device that is meant.
    pub(super) device: DeviceId,
    /// Whether the password is to be changed; otherwise the device is to be unlocked.
    pub(super) change: bool,
    /// The session that gave it: if it is right, a person sits there.
    pub(super) by: Option<CallerSession>,
    /// The device afterwards, or why not.
    pub(super) reply: Reply<DeviceView>,
}

/// What came of a password.
#[derive(Debug)]
pub enum Tried {
    /// It opened the device.
    Opened(Arc<Session>),
    /// It was right: the device was open already, or has its new password now.
    Right,
    /// It was wrong, or something failed.
    Failed(Problem),
}

/// One thing that happens to the daemon.
#[derive(Debug)]
pub enum Event {
    /// A local program asks.
    Command(Asker, Command),
    /// A password that a person gave has been tried.
    Tried(Given, Tried),
    /// A device's keys came into memory for the first time: a founding, a claim.
    Opened(Box<OpenDevice>, OpenedFor),
    /// Its stored log has been verified.
    Started(Arc<Session>, OpenedFor),
    /// An unlocked device hears whether it is certified.
    Registered(DeviceId, Registration),
    /// A device has found itself in the verified log.
    Certified(DeviceId),
    /// A device's server is at another address.
    Moved(DeviceId, String),
    /// What is on disk after a founding that did not succeed: an unfinished device may be there.
    Listed(Vec<DeviceSummary>),
    /// A device is to be locked, and nothing runs for it any more.
    Closed(DeviceId, Reason),
    /// A device's folder is gone, or could not be removed.
    Forgotten(DeviceId, Result<(), Problem>, Reply<Empty>),
}

/// Events that may wait for the loop. Clients are bounded by the socket, tasks by their owners; the
/// loop never blocks.
pub const EVENTS_MAX: usize = 256;

/// The way to the loop.
#[derive(Debug, Clone)]
pub struct Handle {
    events: mpsc::Sender<Event>,
    tokens: TokenHandle,
    hub: Hub,
    folders: Arc<Folders>,
}

impl Handle {
    /// Speaks to the loop that reads the other end.
    #[must_use]
    pub fn new(events: mpsc::Sender<Event>, tokens: TokenHandle, hub: Hub) -> Self {
        Self { events, tokens, hub, folders: Arc::default() }
    }

    /// Folders of mounts that locking has ended, or may end.
    #[must_use]
    pub(crate) fn folders(&self) -> &Folders {
        &self.folders
    }

    /// What the loop tells everybody.
    #[must_use]
    pub const fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Asks the loop for somebody and waits for its answer.
    ///
    /// # Errors
    /// The answer's problem; `confirmation_required`; `shutting_down` if there is no loop any more.
    pub async fn ask<T>(
        &self,
        caller: &Arc<Caller>,
        needs: Needs,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        let (refuse, refused) = oneshot::channel();
        let asker = Asker { caller: Arc::clone(caller), needs, refuse };
        self.tell(Event::Command(asker, command(reply))).await;
        match answer.await {
            Ok(answer) => answer,
            // The loop drops one of the two; both, if it has ended.
            Err(_) => Err(refused.await.unwrap_or_else(|_| problems::stopping())),
        }
    }

    /// Asks for work with the session of the device that is meant, and waits for its answer.
    ///
    /// # Errors
    /// As [`Self::ask`]; `device_locked` and what else choosing the device says.
    pub async fn on_session<T, F>(
        &self,
        caller: &Arc<Caller>,
        needs: Needs,
        select: DeviceSelector,
        work: impl FnOnce(Arc<Session>) -> F + Send + 'static,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        let command = |reply| Command::OnSession { select, work: SessionWork::new(reply, work) };
        self.ask(caller, needs, command).await
    }

    /// Where plug-ins' tokens are recognised and counted.
    #[must_use]
    pub const fn tokens(&self) -> &TokenHandle {
        &self.tokens
    }

    /// Reports something to the loop.
    pub async fn tell(&self, event: Event) {
        // Without a loop the daemon is stopping, and nobody waits for this.
        let _ = self.events.send(event).await;
    }
}
