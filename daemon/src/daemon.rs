//! The daemon's loop: everything that changes what it knows happens here, one event after the other.
//!
//! Decides which devices are unlocked, which ceremonies run, and what ends when. Never blocks: whatever takes the disk,
//! the network or scrypt runs in a task that the loop owns, and comes back as an event. Refuses more ceremonies than it
//! can show.

pub mod approval;
pub mod ceremonies;
pub mod command;
pub mod doctor;
pub mod founding;
pub mod invitations;
pub mod leftovers;
pub mod members;
pub mod requests;
pub mod select;
pub mod session;
pub mod settle;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::control::{
    CeremonyId, CeremonyView, OrgBootstrapped, Problem, ProblemKind, Registration,
};
use parsec_protocol::ids::DeviceId;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::enrolment::Request;
use crate::enrolment::view::is_over;
use crate::service::supervisor::{Heart, Standing};
use crate::store::{DeviceSummary, Devices};
use crate::transport::http::Client;
use approval::{Approval, Confirmed};
use command::{EVENTS_MAX, Event, Handle, OpenedFor, Reply};
use leftovers::Attempts;
use session::{Session, blocking};

/// Ceremonies under way at once. A person has one; a script at an enrolment desk some tens.
const LIVE_MAX: usize = 64;
/// Ended ceremonies that can still be looked at.
const ENDED_MAX: usize = 64;
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
    idle_lock: Option<Duration>,
    approval: Approval,
    known: BTreeMap<DeviceId, DeviceSummary>,
    unlocked: BTreeMap<DeviceId, Unlocked>,
    ceremonies: BTreeMap<CeremonyId, Ceremony>,
    next_ceremony: u64,
    events: mpsc::Receiver<Event>,
    handle: Handle,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Daemon {
    /// Reads what is on disk. Blocks. Nothing runs yet.
    ///
    /// # Errors
    /// The folder or the TLS settings can't be used.
    pub fn new(devices: Devices, data_dir: &Path, settings: Settings) -> Result<(Self, Handle), Problem> {
        let client = Client::new(settings.extra_ca.as_deref())?;
        let attempts = Attempts::open(data_dir.join("attempts"))?;
        let known = devices.list()?.into_iter().map(|summary| (summary.device, summary)).collect();
        let (send, events) = mpsc::channel(EVENTS_MAX);
        let handle = Handle::new(send);
        let daemon = Self {
            devices: Arc::new(devices),
            attempts,
            client,
            idle_lock: settings.idle_lock,
            approval: settings.approval,
            known,
            unlocked: BTreeMap::new(),
            ceremonies: BTreeMap::new(),
            next_ceremony: 1,
            events,
            handle: handle.clone(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        Ok((daemon, handle))
    }

    /// Runs until `shutdown`; then ends every ceremony and locks every device.
    ///
    /// The service manager sees by `heart` that the loop turns.
    pub async fn run(mut self, shutdown: CancellationToken, mut heart: Heart) {
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
        let (devices, attempts, client, handle) =
            (Arc::clone(&self.devices), self.attempts.clone(), self.client.clone(), self.handle.clone());
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
                let (records, client) = (attempts.clone(), client.clone());
                work.spawn(async move {
                    let attempt = started.attempt;
                    if !kept {
                        leftovers::abandon(client, started).await;
                    }
                    let _ = tokio::task::spawn_blocking(move || records.remove(attempt)).await;
                });
            }
            for (device, receipt) in pending {
                let (client, handle) = (client.clone(), handle.clone());
                work.spawn(async move {
                    if let Some(registration) = leftovers::register(client, receipt).await {
                        handle.tell(Event::Registered(device, registration)).await;
                    }
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
            Event::Confirmed(session, by, reply) => self.confirmed(&session, by.as_ref(), reply),
            Event::Opened(open, reason) => {
                let summary = open.summary.clone();
                let device = summary.device;
                let new = self.known.insert(device, summary).is_none();
                if let Some(unlocked) = self.unlocked.get(&device) {
                    // The password was right and the device is unlocked already: the second set of keys goes.
                    let session = Arc::clone(&unlocked.session);
                    self.answer_opened(&session, reason);
                    return;
                }
                if new && matches!(reason, OpenedFor::Claim(_)) {
                    self.follow_receipt(device);
                }
                let (client, stop, handle) =
                    (self.client.clone(), self.stop.child_token(), self.handle.clone());
                self.spawn(async move {
                    match Session::start(*open, client, stop).await {
                        Ok(session) => handle.tell(Event::Started(session, reason)).await,
                        Err(problem) => refuse_opened(reason, problem),
                    }
                });
            }
            Event::Started(session, reason) => {
                let device = session.open.summary.device;
                let mut new = false;
                let unlocked = || {
                    new = true;
                    let confirmed = Confirmed::default();
                    Unlocked { session: Arc::clone(&session), used: Instant::now(), confirmed }
                };
                self.unlocked.entry(device).or_insert_with(unlocked);
                if new {
                    self.settle(device);
                }
                self.answer_opened(&session, reason);
            }
            Event::Registered(device, registration) => self.registered(device, registration),
            Event::Listed(summaries) => {
                // What the loop knows is newer; only what it hasn't heard of is taken.
                for summary in summaries {
                    self.known.entry(summary.device).or_insert(summary);
                }
            }
            Event::Locked(device, reply) => {
                if let (Some(reply), Some(summary)) = (reply, self.known.get(&device)) {
                    let _ = reply.send(Ok(session::view(summary, None)));
                }
            }
        }
    }

    fn answer_opened(&mut self, session: &Session, reason: OpenedFor) {
        let device = session.open.summary.device;
        self.touch(device);
        let Some(summary) = self.known.get(&device) else {
            return refuse_opened(reason, Problem::new(ProblemKind::DeviceUnknown, "The device is gone."));
        };
        if let Some(unlocked) = self.unlocked.get_mut(&device) {
            unlocked.confirmed.add(reason.by());
        }
        let view = session::view(summary, Some(session));
        match reason {
            OpenedFor::Unlock(reply, _) => {
                let _ = reply.send(Ok(view));
            }
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
        self.spawn(async move {
            let Ok(pending) = blocking(move || devices.pending()).await else { return };
            let Some((_, receipt)) = pending.into_iter().find(|(id, _)| *id == device) else { return };
            if let Some(registration) = leftovers::register(client, receipt).await {
                handle.tell(Event::Registered(device, registration)).await;
            }
        });
    }

    /// Starts what an unlocked device does by itself.
    fn settle(&self, device: DeviceId) {
        let (Some(unlocked), Some(summary)) = (self.unlocked.get(&device), self.known.get(&device)) else {
            return;
        };
        let registered = summary.registration == Registration::Registered;
        if summary.registration == Registration::Void {
            return;
        }
        let (session, handle) = (Arc::clone(&unlocked.session), self.handle.clone());
        let stop = session.stop.clone();
        unlocked.session.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = settle::run(session, registered, handle) => {}
            }
        });
    }

    fn registered(&mut self, device: DeviceId, registration: Registration) {
        let Some(summary) = self.known.get_mut(&device) else { return };
        if summary.registration == registration {
            return;
        }
        summary.registration = registration;
        let devices = Arc::clone(&self.devices);
        // A failure is made good at the next start, when the receipt is still there and the server asked again.
        self.spawn(async move {
            if let Err(problem) = blocking(move || devices.set_registration(device, registration)).await {
                tracing::error!(%device, %problem, "a device's registration could not be noted");
            }
        });
        self.settle(device);
    }

    /// Notes that a device was used.
    fn touch(&mut self, device: DeviceId) {
        if let Some(unlocked) = self.unlocked.get_mut(&device) {
            unlocked.used = Instant::now();
        }
    }

    /// When the next device is to be locked.
    fn next_idle(&self) -> Option<Instant> {
        let idle = self.idle_lock?;
        self.unlocked.values().map(|unlocked| unlocked.used + idle).min()
    }

    fn lock_idle(&mut self) {
        let Some(idle) = self.idle_lock else { return };
        let now = Instant::now();
        let due: Vec<_> =
            self.unlocked.iter().filter(|(_, it)| it.used + idle <= now).map(|(id, _)| *id).collect();
        for device in due {
            let greeting = |it: &Ceremony| it.device == Some(device) && !is_over(&it.view.borrow());
            if self.ceremonies.values().any(greeting) {
                // A person is on the phone: that is use.
                self.touch(device);
            } else {
                tracing::info!(%device, "locked after idling");
                self.lock(device, None);
            }
        }
    }

    /// Ends all that runs for a device and drops its keys; answers once they are gone.
    fn lock(&mut self, device: DeviceId, reply: Option<Reply<parsec_protocol::control::DeviceView>>) {
        let handle = self.handle.clone();
        let session = self.unlocked.remove(&device).map(|unlocked| unlocked.session);
        self.tasks.spawn(async move {
            if let Some(session) = session {
                session.stop.cancel();
                session.tasks.close();
                session.tasks.wait().await;
            }
            handle.tell(Event::Locked(device, reply)).await;
        });
    }

    /// The number of a new ceremony, once there is room for it.
    fn new_ceremony(&mut self) -> Result<CeremonyId, Problem> {
        let over = |it: &Ceremony| is_over(&it.view.borrow());
        let (ended, live): (Vec<_>, Vec<_>) = self.ceremonies.iter().partition(|(_, it)| over(it));
        if live.len() >= LIVE_MAX {
            let text = format!("{LIVE_MAX} ceremonies are under way.");
            return Err(Problem::new(ProblemKind::TooManyCeremonies, text));
        }
        let surplus = ended.len().saturating_sub(ENDED_MAX - 1);
        let oldest: Vec<_> = ended.iter().take(surplus).map(|(id, _)| **id).collect();
        for id in oldest {
            self.ceremonies.remove(&id);
        }
        let id = CeremonyId(self.next_ceremony);
        self.next_ceremony = self.next_ceremony.saturating_add(1);
        Ok(id)
    }
}

/// Tells whoever waits for a device that it can't be had.
fn refuse_opened(reason: OpenedFor, problem: Problem) {
    match reason {
        OpenedFor::Unlock(reply, _) => {
            let _ = reply.send(Err(problem));
        }
        OpenedFor::Founding(reply, _) => {
            let _ = reply.send(Err(problem));
        }
        OpenedFor::Claim(_) => tracing::error!(%problem, "a new device could not be opened"),
    }
}
