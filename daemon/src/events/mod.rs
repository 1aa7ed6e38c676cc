//! The event hub: what happens in the daemon, numbered, for whoever wants to follow it.
//!
//! Decides the ids (rising by one within one run of the daemon), how far back a reader can go, and
//! when one has to begin anew with a snapshot. Refuses to wait for a reader or to keep anything for
//! one: each has a place in one ring, and whoever falls out of it is told so.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use parsec_protocol::control::{
    API_VERSION, Alarm, CeremonyId, CeremonySummary, CeremonyView, DeviceState, DeviceView, Event, EventItem,
    EventPosition, Lockout, Overview, Problem, SafeSummary, StreamId, TransportName,
};
use parsec_protocol::ids::{DeviceId, Timestamp};
use parsec_protocol::keys::random;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::os::{clock, entropy};
use crate::problems;

/// Events a reader may be behind: some fifty whole ceremonies, half a megabyte.
pub const RING_MAX: usize = 1_024;
/// How long a stopping daemon waits for its readers to be told. Those that read at all need
/// milliseconds.
const FAREWELL: Duration = Duration::from_secs(2);

/// An event as it is kept.
#[derive(Debug)]
struct Kept {
    time: Timestamp,
    event: Event,
}

/// What the lock guards. Held for a few copies at a time, never over a wait.
#[derive(Debug)]
struct State {
    /// The state after the newest event.
    overview: Overview,
    /// The newest event's id.
    newest: u64,
    /// The newest events; the last has the id `newest`.
    ring: VecDeque<Kept>,
    stopped: bool,
}

#[derive(Debug)]
struct Inner {
    stream: StreamId,
    state: Mutex<State>,
    /// The newest id, for those who wait.
    told: watch::Sender<u64>,
    /// How many readers there are.
    readers: watch::Sender<usize>,
}

/// The hub. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

/// Why a device is told of, in the words of the local API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the word of the same name")]
pub enum Reason {
    Unlocked,
    Locked,
    Idle,
    Registration,
    Password,
    Outbox,
    Server,
    UserKey,
    Lockouts,
}

impl Reason {
    const fn word(self) -> &'static str {
        match self {
            Self::Unlocked => "unlocked",
            Self::Locked => "locked",
            Self::Idle => "idle",
            Self::Registration => "registration",
            Self::Password => "password",
            Self::Outbox => "outbox",
            Self::Server => "server",
            Self::UserKey => "user_key",
            Self::Lockouts => "lockouts",
        }
    }
}

/// Why a ceremony takes a transport, in the words of the local API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportReason {
    /// The person asked for this one.
    Asked,
    /// The server comes first, and answered.
    ServerReached,
    /// The server comes first, and did not answer.
    ServerUnreachable,
    /// The server does not have the invitation.
    InvitationUnknown,
}

impl TransportReason {
    const fn word(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::ServerReached => "server_reached",
            Self::ServerUnreachable => "server_unreachable",
            Self::InvitationUnknown => "invitation_unknown",
        }
    }
}

impl Hub {
    /// A hub that shows these devices and has no events yet.
    ///
    /// # Errors
    /// The random source failed.
    pub fn new(devices: Vec<DeviceView>) -> Result<Self, Problem> {
        let stream: [u8; 16] = random(&mut entropy::System).map_err(problems::no_entropy)?;
        let stream = StreamId(format!("{:032x}", u128::from_be_bytes(stream)));
        let overview = Overview {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            api_version: API_VERSION.to_owned(),
            pid: std::process::id(),
            devices,
            ..Overview::default()
        };
        let state = State { overview, newest: 0, ring: VecDeque::new(), stopped: false };
        let inner = Inner {
            stream,
            state: Mutex::new(state),
            told: watch::Sender::new(0),
            readers: watch::Sender::new(0),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is whole before anything could panic.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, state: &mut State, event: Event) {
        if state.stopped {
            return;
        }
        state.overview.apply(&event);
        state.stopped = matches!(event, Event::Stopping);
        state.newest = state.newest.saturating_add(1);
        if state.ring.len() >= RING_MAX {
            state.ring.pop_front();
        }
        state.ring.push_back(Kept { time: clock::now(), event });
        // Inside the lock, so that what is told never goes back.
        self.inner.told.send_replace(state.newest);
    }

    /// Publishes an event: numbers it, applies it to the overview, puts it into the ring.
    pub fn publish(&self, event: Event) {
        self.add(&mut self.state(), event);
    }

    /// A device is on this machine now.
    pub fn device_added(&self, device: DeviceView) {
        self.publish(Event::DeviceAdded { device });
    }

    /// Publishes that a device has changed, and why.
    pub fn device_changed(&self, device: DeviceView, reason: Reason) {
        self.publish(Event::DeviceChanged { device, reason: reason.word().to_owned() });
    }

    /// The outbox of an unlocked device has other lengths (open, set aside), unless it has been
    /// locked meanwhile.
    pub fn outbox(&self, device: DeviceId, locked: &CancellationToken, lengths: impl FnOnce() -> (u32, u32)) {
        let mut state = self.state();
        if locked.is_cancelled() {
            return;
        }
        let Some(shown) = state.overview.device(device) else { return };
        // Asked under the lock: of two changes at once, the later one to be told is the later one
        // to be counted.
        let (open, aside) = lengths();
        let (outbox, outbox_set_aside) = (Some(open), Some(aside));
        if shown.state == DeviceState::Locked
            || (shown.outbox, shown.outbox_set_aside) == (outbox, outbox_set_aside)
        {
            return;
        }
        let device = DeviceView { outbox, outbox_set_aside, ..shown.clone() };
        self.add(&mut state, Event::DeviceChanged { device, reason: Reason::Outbox.word().to_owned() });
    }

    /// The key of an unlocked device's user is to be changed, or is no more, unless the device has
    /// been locked meanwhile.
    pub fn suspended(&self, device: DeviceId, locked: &CancellationToken, suspended: bool) {
        let mut state = self.state();
        if locked.is_cancelled() {
            return;
        }
        let Some(shown) = state.overview.device(device) else { return };
        if shown.state == DeviceState::Locked || shown.suspended == Some(suspended) {
            return;
        }
        let device = DeviceView { suspended: Some(suspended), ..shown.clone() };
        self.add(&mut state, Event::DeviceChanged { device, reason: Reason::UserKey.word().to_owned() });
    }

    /// What would lock the user of an unlocked device out is something else, unless the device has
    /// been locked meanwhile.
    pub fn lockouts(&self, device: DeviceId, locked: &CancellationToken, lockouts: Vec<Lockout>) {
        let mut state = self.state();
        if locked.is_cancelled() {
            return;
        }
        let Some(shown) = state.overview.device(device) else { return };
        let lockouts = Some(lockouts);
        if shown.state == DeviceState::Locked || shown.lockouts == lockouts {
            return;
        }
        let device = DeviceView { lockouts, ..shown.clone() };
        self.add(&mut state, Event::DeviceChanged { device, reason: Reason::Lockouts.word().to_owned() });
    }

    /// A ceremony began; returns the ended ones that made room for it.
    pub fn ceremony_started(&self, view: &CeremonyView) -> Vec<CeremonyId> {
        let mut state = self.state();
        let before: Vec<_> = state.overview.ceremonies.iter().map(|ceremony| ceremony.id).collect();
        self.add(&mut state, Event::CeremonyStarted { ceremony: CeremonySummary::from(view) });
        let is_there = |id: &CeremonyId| state.overview.ceremonies.iter().any(|ceremony| ceremony.id == *id);
        before.into_iter().filter(|id| !is_there(id)).collect()
    }

    /// A ceremony is seen differently. What the summary doesn't tell is no event.
    pub fn ceremony(&self, view: &CeremonyView) {
        let ceremony = CeremonySummary::from(view);
        let mut state = self.state();
        match state.overview.ceremonies.iter().find(|shown| shown.id == ceremony.id) {
            Some(shown) if *shown != ceremony => {}
            Some(_) | None => return,
        }
        let event = if ceremony.is_over() {
            Event::CeremonyEnded { ceremony }
        } else {
            Event::CeremonyChanged { ceremony }
        };
        self.add(&mut state, event);
    }

    /// A ceremony takes this transport from now on. Told while its view is locked, as
    /// [`Self::ceremony`] is.
    pub fn transport(&self, ceremony: CeremonyId, transport: TransportName, reason: TransportReason) {
        let mut state = self.state();
        if state.overview.ceremonies.iter().any(|shown| shown.id == ceremony) {
            self.add(
                &mut state,
                Event::TransportChanged { ceremony, transport, reason: reason.word().to_owned() },
            );
        }
    }

    /// Tells of an alarm; once while it is shown. Which findings are one alarm, the device's store
    /// has decided where it could keep it; what it could not keep is told once for each device and
    /// kind of problem.
    pub fn alarm(&self, alarm: Alarm) {
        let mut state = self.state();
        let key = |alarm: &Alarm| (alarm.device, alarm.problem.name);
        let same = |shown: &Alarm| key(shown) == key(&alarm) && (alarm.id.is_none() || shown.id == alarm.id);
        if !state.overview.alarms.iter().any(same) {
            self.add(&mut state, Event::Alarm { alarm });
        }
    }

    /// Tells that a person has dealt with an alarm, if it is shown.
    pub fn acknowledged(&self, alarm: &Alarm) {
        let mut state = self.state();
        if state.overview.alarms.iter().any(|shown| (shown.device, shown.id) == (alarm.device, alarm.id)) {
            self.add(&mut state, Event::AlarmAcknowledged { alarm: alarm.clone() });
        }
    }

    /// The alarms that are shown.
    #[must_use]
    pub fn alarms(&self) -> Vec<Alarm> {
        self.state().overview.alarms.clone()
    }

    /// The safes that are shown.
    #[must_use]
    pub fn safes(&self) -> Vec<SafeSummary> {
        self.state().overview.safes.clone()
    }

    /// What a snapshot would show now.
    #[must_use]
    pub fn overview(&self) -> Overview {
        self.state().overview.clone()
    }

    /// Follows the events: those after `after`, or from a snapshot on.
    #[must_use]
    pub fn watch(&self, after: Option<EventPosition>) -> Reader {
        let cursor = match after {
            None => Cursor::Start,
            Some(position) if position.stream == self.inner.stream => Cursor::After(position.id),
            Some(_) => Cursor::Lost(None),
        };
        self.inner.readers.send_modify(|readers| *readers = readers.saturating_add(1));
        Reader { hub: self.clone(), told: self.inner.told.subscribe(), cursor }
    }

    /// The last event. Returns once every reader has taken it, or after a moment.
    pub async fn farewell(&self) {
        self.publish(Event::Stopping);
        let mut readers = self.inner.readers.subscribe();
        let all_gone = readers.wait_for(|readers| *readers == 0);
        if tokio::time::timeout(FAREWELL, all_gone).await.is_err() {
            tracing::info!("some programs did not take their last event");
        }
    }
}

/// Where a reader is in the ring.
#[derive(Debug)]
enum Cursor {
    /// Before its first snapshot.
    Start,
    /// The event it had last.
    After(u64),
    /// Missed something: from this event on, or of an earlier run.
    Lost(Option<u64>),
    /// Has been told of a gap; this snapshot comes next.
    Behind(Box<EventItem>),
}

/// One who follows. Costs the hub nothing while it doesn't read.
#[derive(Debug)]
pub struct Reader {
    hub: Hub,
    told: watch::Receiver<u64>,
    cursor: Cursor,
}

impl Reader {
    /// What comes next; nothing after the last event. Dropping the call loses nothing.
    pub async fn next(&mut self) -> Option<EventItem> {
        loop {
            self.told.borrow_and_update();
            match self.take() {
                Poll::Ready(item) => return item,
                // The sender lives as long as the hub, which is here.
                Poll::Pending => self.told.changed().await.ok()?,
            }
        }
    }

    /// What comes next, if it is there.
    fn take(&mut self) -> Poll<Option<EventItem>> {
        let cursor = std::mem::replace(&mut self.cursor, Cursor::Start);
        if let Cursor::Behind(snapshot) = cursor {
            if let EventItem::Snapshot { id, .. } = *snapshot {
                self.cursor = Cursor::After(id);
            }
            return Poll::Ready(Some(*snapshot));
        }
        let state = self.hub.state();
        let stream = self.hub.inner.stream.clone();
        let newest = state.newest;
        let snapshot = |stream| EventItem::Snapshot {
            stream,
            id: newest,
            time: clock::now(),
            status: Box::new(state.overview.clone()),
        };
        let from = match cursor {
            Cursor::Start | Cursor::Behind(_) => {
                self.cursor = Cursor::After(newest);
                return Poll::Ready(Some(snapshot(stream)));
            }
            Cursor::After(id) if id == newest => {
                self.cursor = Cursor::After(id);
                return if state.stopped { Poll::Ready(None) } else { Poll::Pending };
            }
            Cursor::After(id) => {
                // How far from the ring's end; an id that was never given out is behind it.
                let back = newest.checked_sub(id).and_then(|back| usize::try_from(back).ok());
                let index = back.and_then(|back| state.ring.len().checked_sub(back));
                if let Some(kept) = index.and_then(|index| state.ring.get(index)) {
                    let id = id.saturating_add(1);
                    let (time, event) = (kept.time, kept.event.clone());
                    self.cursor = Cursor::After(id);
                    return Poll::Ready(Some(EventItem::Event { stream, id, time, event }));
                }
                // An id of the future is a mistake of the reader's: it missed nothing that has a
                // number.
                back.map(|_| id.saturating_add(1))
            }
            Cursor::Lost(from) => from,
        };
        self.cursor = Cursor::Behind(Box::new(snapshot(stream.clone())));
        Poll::Ready(Some(EventItem::Gap { stream, from, to: newest }))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.hub.inner.readers.send_modify(|readers| *readers = readers.saturating_sub(1));
    }
}
