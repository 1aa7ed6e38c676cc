//! The daemon's loop: everything that changes what it knows happens here, one event after the
//! other.
//!
//! Decides which devices are unlocked, which ceremonies run, and what ends when. Never blocks:
//! whatever takes the disk, the network or scrypt runs in a task that the loop owns, and comes back
//! as an event. What it knows is in three parts, each of which alone changes its own: devices,
//! ceremonies, passwords.

pub mod after_unlock;
pub mod backoff;
pub mod bootstrap;
mod ceremonies;
pub mod command;
pub mod confirmation;
mod context;
mod devices;
mod dispatch;
mod forget;
mod lock;
mod network;
mod registration;
mod restore;
pub mod select;
mod tidy_up;
mod unlock;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parsec_host::watchdog::Watchdog;
use parsec_protocol::control::{OrgBootstrapped, Problem, ProblemKind, RecoveryUsed, Registration};
use parsec_protocol::ids::DeviceId;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::registration::Hearing;
use crate::enrolment::attempts::Attempts;
use crate::enrolment::finality::Heard;
use crate::enrolment::reports::{Report, Reports};
use crate::events::Hub;
use crate::network::{Net, Settings as NetSettings};
use crate::session::{self, Session};
use crate::store::{Devices, TokenStore};
use crate::tokens::TokenActor;
use crate::transport::http::Client;
use ceremonies::CeremonyTable;
use command::{EVENTS_MAX, Event, Handle, OpenedFor};
use confirmation::Approval;
use context::Context;
use devices::DeviceTable;
use unlock::Unlocking;

/// Organisations being founded at once: a person founds one. Each takes scrypt's memory and waits
/// for a server of the asker's choice.
const FOUNDINGS_MAX: usize = 4;
/// How long tasks may take to end once the daemon stops: the relay is told of ended attempts
/// meanwhile.
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
    /// Whether devices may be met directly, and through which relays.
    pub p2p: NetSettings,
}

/// Everything the daemon knows, and what its loop runs on.
#[derive(Debug)]
pub struct Daemon {
    devices: DeviceTable,
    ceremonies: CeremonyTable,
    hearing: Hearing,
    unlocking: Unlocking,
    foundings: Arc<Semaphore>,
    idle_lock: Option<Duration>,
    approval: Approval,
    context: Context,
    events: mpsc::Receiver<Event>,
    reports: mpsc::Receiver<Report>,
    /// The process, which stays the same: asking the system costs as much as reading a line.
    pid: u32,
    /// Until the loop runs and has started it.
    token_actor: Option<TokenActor>,
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
        let (send, events) = mpsc::channel(EVENTS_MAX);
        let (reports, reported) = Reports::channel();
        let token_store = TokenStore::open(data_dir).map_err(Problem::from)?;
        let (token_actor, tokens) = TokenActor::new(token_store, hub.clone());
        let handle = Handle::new(send, tokens, hub.clone());
        let context = Context {
            store: Arc::new(devices),
            attempts,
            client,
            net: Net::new(settings.p2p),
            handle: handle.clone(),
            reports,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let daemon = Self {
            devices: DeviceTable::new(known, hub.clone()),
            ceremonies: CeremonyTable::new(hub.clone()),
            hearing: Hearing::new(),
            unlocking: Unlocking::new(hub),
            foundings: Arc::new(Semaphore::new(FOUNDINGS_MAX)),
            idle_lock: settings.idle_lock,
            approval: settings.approval,
            context,
            events,
            reports: reported,
            pid: std::process::id(),
            token_actor: Some(token_actor),
        };
        Ok((daemon, handle))
    }

    /// Runs until `shutdown`; then ends every ceremony and locks every device.
    ///
    /// `watchdog` sees that the loop turns.
    pub async fn run(mut self, shutdown: CancellationToken, mut watchdog: impl Watchdog) {
        if let Some(actor) = self.token_actor.take() {
            // Not cut off by `stop`: it writes its counts then.
            self.context.tasks.spawn(actor.run(self.context.stop.clone()));
        }
        self.tidy_up();
        loop {
            watchdog.report(&self.service_status());
            let idle = self.next_idle();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                // Before the requests: however many there are, the loop turns.
                () = watchdog.due() => watchdog.ping(),
                // Before the requests: what a caller was told by an enrolment, its next request
                // finds done.
                Some(report) = self.reports.recv() => self.reported(report),
                Some(noted) = self.hearing.written() => self.noted(noted),
                // While a state is being written nobody is shown the one before.
                event = self.events.recv(), if !self.hearing.is_writing() => match event {
                    Some(event) => self.take(event),
                    None => break,
                },
                () = tokio::time::sleep_until(idle.unwrap_or_else(Instant::now)), if idle.is_some() => self.lock_idle(),
            }
        }
        tracing::info!("stopping");
        self.stop().await;
    }

    /// Ends all tasks, no later than after [`GRACE`].
    async fn stop(&mut self) {
        self.events.close();
        self.reports.close();
        self.hearing.close();
        self.context.stop.cancel();
        self.context.tasks.close();
        for session in self.devices.sessions() {
            session.tasks.close();
        }
        let ended = async {
            self.context.tasks.wait().await;
            for session in self.devices.sessions() {
                session.tasks.wait().await;
            }
        };
        // Whoever still waits for an answer gets `shutting_down`, because their reply is dropped
        // with the events.
        let drain = async {
            while self.events.recv().await.is_some() {}
            while self.reports.recv().await.is_some() {}
        };
        if tokio::time::timeout(GRACE, async { tokio::join!(ended, drain) }).await.is_err() {
            tracing::warn!("cut tasks off that did not end");
        }
    }

    /// How the daemon stands: numbers alone, since other users may read it.
    fn service_status(&self) -> String {
        let (unlocked, devices) = (self.devices.sessions().len(), self.devices.known().len());
        let live = self.ceremonies.live();
        format!("{unlocked} of {devices} devices unlocked, {live} ceremonies under way")
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Command(asker, command) => match self.permitted(&asker, &command) {
                Ok(()) => self.command(asker, command),
                Err(problem) => {
                    let _ = asker.refuse.send(problem);
                }
            },
            Event::Tried(given, tried) => self.tried(given, tried),
            Event::Opened(open, reason) => {
                let new = self.devices.learn(open.summary.clone());
                if new && matches!(reason, OpenedFor::Claim(_)) {
                    self.follow_receipt(open.summary.device);
                }
                let context = self.context.clone();
                self.context.spawn(async move {
                    match context.start_session(*open).await {
                        Ok(session) => context.handle.tell(Event::Started(session, reason)).await,
                        Err(problem) => refuse_opened(reason, problem),
                    }
                });
            }
            Event::Started(session, reason) => {
                let device = session.open.summary.device;
                self.unlocked(session);
                self.devices.touch(device);
                self.answer_opened(device, reason);
            }
            Event::Registered(device, registration) => self.heard(device, Heard::Word(registration)),
            Event::Certified(device) => self.certified(device),
            Event::Moved(device, server) => self.devices.moved(device, server),
            Event::Listed(summaries) => {
                // What the loop knows is newer; only what it hasn't heard of is taken, and what the
                // founding set aside.
                for summary in summaries {
                    if self.devices.summary(summary.device).is_none() {
                        self.devices.learn(summary);
                    } else if summary.registration == Registration::Void {
                        self.found_set_aside(summary.device);
                    }
                }
            }
            Event::Forgotten(device, done, reply) => self.forgotten(device, done, reply),
            Event::Closed(device, reason) => self.devices.closed(device, reason),
        }
    }

    fn reported(&mut self, report: Report) {
        match report {
            Report::Enrolled(open, by) => self.take(Event::Opened(open, OpenedFor::Claim(by))),
            Report::Registered(device, registration) => self.heard(device, Heard::Word(registration)),
        }
    }

    /// A device's keys are in memory and its log is verified. If another set is there already, this
    /// one goes.
    fn unlocked(&mut self, session: Arc<Session>) {
        let device = session.open.summary.device;
        if self.devices.unlocked(session) {
            self.after_unlock(device);
        }
    }

    fn answer_opened(&mut self, device: DeviceId, reason: OpenedFor) {
        let (Some(view), Some(session)) = (self.devices.view(device), self.devices.session(device)) else {
            return refuse_opened(reason, Problem::new(ProblemKind::DeviceUnknown, "The device is gone."));
        };
        let root_fingerprint = session.open.keys.root.fingerprint().to_string();
        self.devices.confirm(device, reason.by());
        match reason {
            OpenedFor::Founding(reply, _) => {
                let _ = reply.send(Ok(OrgBootstrapped { device: view, root_fingerprint }));
            }
            OpenedFor::Recovery(reply, _) => {
                let _ = reply.send(Ok(RecoveryUsed { device: view, root_fingerprint }));
            }
            OpenedFor::Claim(_) => {}
        }
    }
}

/// Tells whoever waits for a device that it can't be had.
fn refuse_opened(reason: OpenedFor, problem: Problem) {
    match reason {
        OpenedFor::Founding(reply, _) => {
            let _ = reply.send(Err(problem));
        }
        OpenedFor::Recovery(reply, _) => {
            let _ = reply.send(Err(problem));
        }
        OpenedFor::Claim(_) => tracing::error!(%problem, "a new device could not be opened"),
    }
}
