//! The daemon's loop: everything that changes what it knows happens here, one event after the other.
//!
//! Decides which devices are unlocked, which ceremonies run, and what ends when. Never blocks: whatever takes the disk,
//! the network or scrypt runs in a task that the loop owns, and comes back as an event. Refuses more ceremonies than it
//! can show.

pub mod after_unlock;
pub mod backoff;
pub mod bootstrap;
pub mod command;
pub mod confirmation;
mod dispatch;
mod forget;
mod lock;
mod network;
mod restore;
pub mod select;
pub mod unlock;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::control::{
    CeremonyId, CeremonyView, DeviceView, OrgBootstrapped, Problem, ProblemKind, Registration,
};
use parsec_protocol::ids::DeviceId;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::enrolment::Request;
use crate::enrolment::finality::Heard;
use crate::enrolment::recovery::{self, Attempts};
use crate::enrolment::view::{Board, is_over};
use crate::events::{Hub, Reason};
use crate::os::blocking;
use crate::service::supervisor::{Heart, Standing};
use crate::session::{self, Session};
use crate::store::{DeviceSummary, Devices, TokenStore};
use crate::tokens::Keeper;
use crate::transport::http::Client;
use crate::transport::net::{self, Net};
use backoff::Turnstile;
use command::{EVENTS_MAX, Event, Handle, OpenedFor};
use confirmation::{Approval, Confirmed};
use forget::{Leaving, unless_forgotten};
use lock::Closing;
use unlock::Passwords;

/// Ceremonies under way at once. A person has one; a script at an enrolment desk some tens.
const LIVE_MAX: usize = 64;
/// Organisations being founded at once: a person founds one. Each takes scrypt's memory and waits for a server of the
/// asker's choice.
const FOUNDINGS_MAX: usize = 4;
/// How long tasks may take to end once the daemon stops: the relay is told of ended attempts meanwhile.
const GRACE: Duration = Duration::from_secs(5);

/// What the configuration says.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// PEM text of authorities that are trusted beside the system's.
    pub extra_ca: Option<Vec<u8>>,
    /// A device that was not asked for anything for this long is locked; never if absent.
    pub idle_lock: Option<Duration>,
    /// How far one confirmation reaches.
    pub approval: Approval,
    /// The direct road.
    pub direct: net::Settings,
}

/// An unlocked device and when it was used last.
#[derive(Debug)]
struct Unlocked {
    session: Arc<Session>,
    used: Instant,
    confirmed: Confirmed,
}

/// A ceremony, under way or ended.
#[derive(Debug)]
struct Ceremony {
    view: watch::Receiver<CeremonyView>,
    requests: mpsc::Sender<Request>,
    /// The greeter's device.
    device: Option<DeviceId>,
}

/// Everything the daemon knows.
#[derive(Debug)]
pub struct Daemon {
    devices: Arc<Devices>,
    attempts: Attempts,
    client: Client,
    net: Net,
    idle_lock: Option<Duration>,
    approval: Approval,
    known: BTreeMap<DeviceId, DeviceSummary>,
    unlocked: BTreeMap<DeviceId, Unlocked>,
    closing: Closing,
    ceremonies: BTreeMap<CeremonyId, Ceremony>,
    next_ceremony: u64,
    passwords: Passwords,
    turnstile: Turnstile,
    foundings: Arc<Semaphore>,
    leaving: Leaving,
    hub: Hub,
    events: mpsc::Receiver<Event>,
    handle: Handle,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Until the loop runs and has started it.
    keeper: Option<Keeper>,
}

impl Daemon {
    /// Reads what is on disk. Blocks. Nothing runs yet.
    ///
    /// # Errors
    /// The folder or the TLS settings can't be used.
    pub fn new(devices: Devices, data_dir: &Path, settings: Settings) -> Result<(Self, Handle), Problem> {
        let client = Client::new(settings.extra_ca.as_deref())?;
        let attempts = Attempts::open(&data_dir.join("attempts"))?;
        let known = devices.list()?;
        let hub = Hub::new(known.iter().map(|summary| session::view(summary, None)).collect())?;
        let known = known.into_iter().map(|summary| (summary.device, summary)).collect();
        let (send, events) = mpsc::channel(EVENTS_MAX);
        let (keeper, desk) = Keeper::new(TokenStore::open(data_dir).map_err(Problem::from)?, hub.clone());
        let handle = Handle::new(send, desk, hub.clone());
        let daemon = Self {
            devices: Arc::new(devices),
            attempts,
            client,
            net: Net::new(settings.direct),
            idle_lock: settings.idle_lock,
            approval: settings.approval,
            known,
            unlocked: BTreeMap::new(),
            closing: Closing::default(),
            ceremonies: BTreeMap::new(),
            next_ceremony: 1,
            passwords: Passwords::default(),
            turnstile: Turnstile::new(hub.clone()),
            foundings: Arc::new(Semaphore::new(FOUNDINGS_MAX)),
            leaving: Leaving::default(),
            hub,
            events,
            handle: handle.clone(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            keeper: Some(keeper),
        };
        Ok((daemon, handle))
    }

    /// Runs until `shutdown`; then ends every ceremony and locks every device.
    ///
    /// The service manager sees by `heart` that the loop turns.
    pub async fn run(mut self, shutdown: CancellationToken, mut heart: Heart) {
        if let Some(keeper) = self.keeper.take() {
            // Not cut off by `stop`: it writes its counts then.
            self.tasks.spawn(keeper.run(self.stop.clone()));
        }
        self.tidy_up();
        loop {
            heart.show(self.standing());
            let idle = self.next_idle();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                // Before the requests: however many there are, the loop turns.
                () = heart.due() => heart.beat(),
                event = self.events.recv() => match event {
                    Some(event) => self.take(event),
                    None => break,
                },
                () = tokio::time::sleep_until(idle.unwrap_or_else(Instant::now)), if idle.is_some() => self.lock_idle(),
            }
        }
        tracing::info!("stopping");
        self.events.close();
        self.stop.cancel();
        self.tasks.close();
        for unlocked in self.unlocked.values() {
            unlocked.session.tasks.close();
        }
        let ended = async {
            self.tasks.wait().await;
            for unlocked in self.unlocked.values() {
                unlocked.session.tasks.wait().await;
            }
        };
        // Whoever still waits for an answer gets `shutting_down`, because their reply is dropped with the events.
        let drain = async { while self.events.recv().await.is_some() {} };
        if tokio::time::timeout(GRACE, async { tokio::join!(ended, drain) }).await.is_err() {
            tracing::warn!("cut tasks off that did not end");
        }
    }

    fn standing(&self) -> Standing {
        let live = self.ceremonies.values().filter(|it| !is_over(&it.view.borrow())).count();
        Standing { devices: self.known.len(), unlocked: self.unlocked.len(), ceremonies: live }
    }

    /// Runs work that the daemon's end cuts off.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// Goes on with what an earlier daemon left: receipts go out, attempts without keys are ended.
    fn tidy_up(&self) {
        let (devices, attempts, client, net, handle, leaving) = (
            Arc::clone(&self.devices),
            self.attempts.clone(),
            self.client.clone(),
            self.net.clone(),
            self.handle.clone(),
            self.leaving.clone(),
        );
        self.spawn(async move {
            let its_devices = Arc::clone(&devices);
            let pending = match blocking(move || its_devices.pending()).await {
                Ok(pending) => pending,
                Err(problem) => {
                    tracing::error!(%problem, "the devices on this machine can't be read");
                    return;
                }
            };
            let records = attempts.clone();
            let started = tokio::task::spawn_blocking(move || records.all()).await.unwrap_or_default();
            let mut work = tokio::task::JoinSet::new();
            for started in started {
                let kept = pending.iter().any(|(_, receipt)| receipt.attempt == started.attempt);
                let (records, client, net) = (attempts.clone(), client.clone(), net.clone());
                work.spawn(async move {
                    let attempt = started.attempt;
                    if !kept {
                        recovery::abandon(client, net, started).await;
                    }
                    let _ = tokio::task::spawn_blocking(move || records.remove(attempt)).await;
                });
            }
            for (device, receipt) in pending {
                let (client, net, handle, leaving) =
                    (client.clone(), net.clone(), handle.clone(), leaving.clone());
                work.spawn(async move {
                    let register = recovery::register(client, net, device, receipt, handle);
                    let _ = unless_forgotten(&leaving, device, register).await;
                });
            }
            while work.join_next().await.is_some() {}
        });
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Command(asker, command) => match self.permitted(&asker, &command) {
                Ok(()) => self.command(command, &asker.caller),
                Err(problem) => {
                    let _ = asker.refuse.send(problem);
                }
            },
            Event::Tried(given, tried) => self.tried(given, tried),
            Event::Opened(open, reason) => {
                let new = self.learn(open.summary.clone());
                if new && matches!(reason, OpenedFor::Claim(_)) {
                    self.follow_receipt(open.summary.device);
                }
                let (client, stop, handle) =
                    (self.client.clone(), self.stop.child_token(), self.handle.clone());
                let net = self.net.clone();
                self.spawn(async move {
                    match Session::start(*open, client, stop, handle.hub().clone(), net).await {
                        Ok(session) => handle.tell(Event::Started(session, reason)).await,
                        Err(problem) => refuse_opened(reason, problem),
                    }
                });
            }
            Event::Started(session, reason) => {
                let (device, session) = (session.open.summary.device, self.unlocked(session));
                self.touch(device);
                self.answer_opened(&session, reason);
            }
            Event::Registered(device, registration) => self.heard(device, Heard::Word(registration)),
            Event::Certified(device) => self.certified(device),
            Event::Moved(device, server) => {
                if let Some(summary) = self.known.get_mut(&device) {
                    summary.server = server;
                    self.changed(device, Reason::Server);
                }
            }
            Event::Listed(summaries) => {
                // What the loop knows is newer; only what it hasn't heard of is taken, and what the founding set aside.
                for summary in summaries {
                    if !self.known.contains_key(&summary.device) {
                        self.learn(summary);
                    } else if summary.registration == Registration::Void {
                        self.heard(summary.device, Heard::Word(Registration::Void));
                    }
                }
            }
            Event::Forgotten(summary, done, reply) => self.forgotten(summary, done, reply),
            Event::Closed(device, reason) => self.closed(device, reason),
        }
    }

    /// Takes note of a device on this machine; whether it was new.
    fn learn(&mut self, summary: DeviceSummary) -> bool {
        let device = summary.device;
        let registration = summary.registration;
        let old = self.known.insert(device, summary);
        match (&old, self.view(device)) {
            (None, Some(view)) => self.hub.device_added(view),
            (Some(old), Some(view)) if old.registration != registration => {
                self.hub.device_changed(view, Reason::Registration);
            }
            (Some(_) | None, _) => {}
        }
        old.is_none()
    }

    /// A device as it is now.
    fn view(&self, device: DeviceId) -> Option<DeviceView> {
        let session = self.unlocked.get(&device).map(|unlocked| &*unlocked.session);
        // One that is being locked has its keys in memory still.
        let session = session.or_else(|| self.closing.session(device));
        self.known.get(&device).map(|summary| session::view(summary, session))
    }

    /// Tells that a device is not what it was.
    fn changed(&self, device: DeviceId, reason: Reason) {
        if let Some(view) = self.view(device) {
            self.hub.device_changed(view, reason);
        }
    }

    /// A device's keys are in memory and its log is verified. If another set is there already, this one goes.
    fn unlocked(&mut self, session: Arc<Session>) -> Arc<Session> {
        let device = session.open.summary.device;
        if let Some(there) = self.unlocked.get(&device) {
            return Arc::clone(&there.session);
        }
        let confirmed = Confirmed::default();
        let unlocked = Unlocked { session: Arc::clone(&session), used: Instant::now(), confirmed };
        self.unlocked.insert(device, unlocked);
        self.changed(device, Reason::Unlocked);
        self.settle(device);
        session
    }

    fn answer_opened(&mut self, session: &Session, reason: OpenedFor) {
        let Some(view) = self.view(session.open.summary.device) else {
            return refuse_opened(reason, Problem::new(ProblemKind::DeviceUnknown, "The device is gone."));
        };
        if let Some(unlocked) = self.unlocked.get_mut(&session.open.summary.device) {
            unlocked.confirmed.add(reason.by());
        }
        match reason {
            OpenedFor::Founding(reply, _) => {
                let root_fingerprint = session.open.keys.root.fingerprint().to_string();
                let _ = reply.send(Ok(OrgBootstrapped { device: view, root_fingerprint }));
            }
            OpenedFor::Claim(_) => {}
        }
    }

    /// Deposits the receipt of a device that was just made, and follows it.
    fn follow_receipt(&self, device: DeviceId) {
        let (devices, client, handle) = (Arc::clone(&self.devices), self.client.clone(), self.handle.clone());
        let (leaving, net) = (self.leaving.clone(), self.net.clone());
        self.spawn(async move {
            let Ok(pending) = blocking(move || devices.pending()).await else { return };
            let Some((_, receipt)) = pending.into_iter().find(|(id, _)| *id == device) else { return };
            let register = recovery::register(client, net, device, receipt, handle);
            let _ = unless_forgotten(&leaving, device, register).await;
        });
    }

    /// Notes that a device was used.
    fn touch(&mut self, device: DeviceId) {
        if let Some(unlocked) = self.unlocked.get_mut(&device) {
            unlocked.used = Instant::now();
        }
    }

    /// The number of a new ceremony, once there is room for it.
    fn new_ceremony(&mut self) -> Result<CeremonyId, Problem> {
        let live = self.ceremonies.values().filter(|it| !is_over(&it.view.borrow())).count();
        if live >= LIVE_MAX {
            let text = format!("{LIVE_MAX} ceremonies are under way.");
            return Err(Problem::new(ProblemKind::TooManyCeremonies, text));
        }
        let id = CeremonyId(self.next_ceremony);
        self.next_ceremony = self.next_ceremony.saturating_add(1);
        Ok(id)
    }

    /// Tells that a ceremony has begun and makes it one of the daemon's; the oldest of those ended make room for it.
    fn begin(&mut self, board: Board, requests: mpsc::Sender<Request>, device: Option<DeviceId>) -> Board {
        for gone in self.hub.ceremony_started(&board.now()) {
            self.ceremonies.remove(&gone);
        }
        let board = board.told_to(self.hub.clone());
        self.ceremonies.insert(board.now().id, Ceremony { view: board.watch(), requests, device });
        board
    }
}

/// Tells whoever waits for a device that it can't be had.
fn refuse_opened(reason: OpenedFor, problem: Problem) {
    match reason {
        OpenedFor::Founding(reply, _) => {
            let _ = reply.send(Err(problem));
        }
        OpenedFor::Claim(_) => tracing::error!(%problem, "a new device could not be opened"),
    }
}
