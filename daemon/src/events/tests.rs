//! The hub against a model: whoever follows, from wherever and however slowly, has the daemon's
//! state.

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use parsec_protocol::control::{ProblemKind, Registration, Role, Stage};
use parsec_protocol::ids::{OrganisationId, UserId};

use super::*;

/// Random numbers that a seed repeats.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn device(id: u8, unlocked: bool) -> DeviceView {
    DeviceView {
        device: DeviceId::from_bytes([id; 16]),
        user: UserId::from_bytes([id; 16]),
        organisation: if id.is_multiple_of(2) { "acme" } else { "other" }.parse().unwrap(),
        server: "https://a.test".into(),
        state: if unlocked { DeviceState::Unlocked } else { DeviceState::Locked },
        registration: Registration::Registered,
        name: None,
        email: None,
        label: None,
        outbox: unlocked.then_some(0),
        outbox_set_aside: unlocked.then_some(0),
        suspended: unlocked.then_some(false),
        lockouts: unlocked.then(Vec::new),
    }
}

fn ceremony(id: u64, stage: Stage) -> CeremonyView {
    let text = format!(
        r#"{{"id":{id},"revision":1,"role":"claimer","organisation":"acme","subject":null,"token":null,
        "invited_by":null,"attempt":null,"stage":"connecting","allowed":[],"say":null,"choices":[],
        "typed_required":false,"claimer":null,"outcome":null,"note":null}}"#
    );
    let mut view: CeremonyView = serde_json::from_str(&text).unwrap();
    assert_eq!(view.role, Role::Claimer);
    view.stage = stage;
    view
}

/// An alarm of this kind, as the device of that organisation keeps it.
fn alarm(organisation: &OrganisationId, kind: ProblemKind) -> Alarm {
    Alarm {
        id: Some(kind as u64),
        device: Some(DeviceId::from_bytes([organisation.as_str().as_bytes()[3]; 16])),
        organisation: organisation.clone(),
        problem: Problem::new(kind, "x"),
        since: Timestamp(0),
        proof: false,
    }
}

/// What the daemon does, and what it knows afterwards, kept in another way than the hub does.
struct Model {
    dice: Dice,
    hub: Hub,
    devices: BTreeMap<(String, DeviceId), DeviceView>,
    ceremonies: BTreeMap<CeremonyId, (Stage, Option<TransportName>)>,
    alarms: Vec<(OrganisationId, ProblemKind)>,
    started: u64,
}

impl Model {
    fn new(seed: u64) -> Self {
        Self {
            dice: Dice(seed),
            hub: Hub::new(Vec::new()).unwrap(),
            devices: BTreeMap::new(),
            ceremonies: BTreeMap::new(),
            alarms: Vec::new(),
            started: 0,
        }
    }

    fn step(&mut self) {
        let id = u8::try_from(self.dice.roll(5)).unwrap();
        let view = device(id, self.dice.roll(2) == 0);
        let key = (view.organisation.to_string(), view.device);
        match self.dice.roll(9) {
            0 if !self.devices.contains_key(&key) => {
                self.devices.insert(key, view.clone());
                self.hub.device_added(view);
            }
            1 if self.devices.remove(&key).is_some() => {
                self.hub.publish(Event::DeviceForgotten { device: view.device });
            }
            2 if self.devices.contains_key(&key) => {
                self.devices.insert(key, view.clone());
                self.hub.device_changed(view, Reason::Unlocked);
            }
            3 => {
                self.started += 1;
                let view = ceremony(self.started, Stage::Connecting);
                for gone in self.hub.ceremony_started(&view) {
                    let (stage, _) = self.ceremonies.remove(&gone).unwrap();
                    assert_eq!(stage, Stage::Closed);
                }
                self.ceremonies.insert(view.id, (view.stage, None));
            }
            4 | 5 => {
                let stages = [Stage::Handshake, Stage::SayCode, Stage::Closed];
                let stage = stages[usize::try_from(self.dice.roll(3)).unwrap()];
                let id = CeremonyId(self.dice.roll(self.started + 1));
                if let Some(now) = self.ceremonies.get_mut(&id).filter(|(now, _)| *now != Stage::Closed) {
                    now.0 = stage;
                    let view = CeremonyView { transport: now.1, ..ceremony(id.0, stage) };
                    self.hub.ceremony(&view);
                    // The same again is no event.
                    let newest = self.hub.state().newest;
                    self.hub.ceremony(&view);
                    assert_eq!(self.hub.state().newest, newest);
                }
            }
            7 => {
                // Also of one that is forgotten: that is told to nobody.
                let id = CeremonyId(self.dice.roll(self.started + 1));
                let transport =
                    [TransportName::Server, TransportName::P2p][usize::try_from(self.dice.roll(2)).unwrap()];
                let newest = self.hub.state().newest;
                self.hub.transport(id, transport, TransportReason::Asked);
                let known = self.ceremonies.get_mut(&id);
                assert_eq!(self.hub.state().newest, newest + u64::from(known.is_some()));
                if let Some(now) = known {
                    now.1 = Some(transport);
                }
            }
            6 if self.dice.roll(20) == 0 => {
                let organisation: OrganisationId = format!("org{}", self.dice.roll(4)).parse().unwrap();
                let kind = [ProblemKind::ChainInvalid, ProblemKind::RolledBack];
                let kind = kind[usize::try_from(self.dice.roll(2)).unwrap()];
                let alarm = alarm(&organisation, kind);
                self.hub.alarm(alarm.clone());
                if !self.alarms.contains(&(organisation.clone(), kind)) {
                    self.alarms.push((organisation.clone(), kind));
                }
                if self.dice.roll(2) == 0 {
                    self.hub.acknowledged(&alarm);
                    self.alarms.retain(|known| *known != (organisation.clone(), kind));
                    // The same again is no event.
                    let newest = self.hub.state().newest;
                    self.hub.acknowledged(&alarm);
                    assert_eq!(self.hub.state().newest, newest);
                }
            }
            _ => self.hub.publish(Event::UnlockRefused { device: view.device }),
        }
    }

    fn check(&self) {
        let shown = self.hub.overview();
        assert_eq!(shown.devices, self.devices.values().cloned().collect::<Vec<_>>());
        let ceremonies: Vec<_> =
            shown.ceremonies.iter().map(|it| (it.id, (it.stage, it.transport))).collect();
        assert_eq!(ceremonies, self.ceremonies.iter().map(|(id, now)| (*id, *now)).collect::<Vec<_>>());
        let alarms: Vec<_> =
            shown.alarms.iter().map(|it| (it.organisation.clone(), it.problem.name)).collect();
        assert_eq!(alarms, self.alarms);
    }
}

/// A program that follows, and what it believes.
struct Follower {
    reader: Reader,
    stream: StreamId,
    last: Option<u64>,
    state: Option<Overview>,
    gaps: u32,
}

impl Follower {
    fn new(hub: &Hub, from: Option<(u64, Overview)>) -> Self {
        let stream = hub.inner.stream.clone();
        let after = from.as_ref().map(|(id, _)| EventPosition { stream: stream.clone(), id: *id });
        let (last, state) = from.unzip();
        Self { reader: hub.watch(after), stream, last, state, gaps: 0 }
    }

    /// Takes one item, if there is one.
    fn read(&mut self) -> bool {
        let Some(Some(item)) = self.reader.next().now_or_never() else { return false };
        match item {
            EventItem::Snapshot { stream, id, status, .. } => {
                assert_eq!(stream, self.stream);
                assert!(self.last.is_none_or(|last| last <= id));
                (self.last, self.state) = (Some(id), Some(*status));
            }
            EventItem::Gap { from, to, .. } => {
                assert_eq!(from, self.last.map(|last| last + 1));
                assert!(to >= from.unwrap() + RING_MAX as u64);
                self.gaps += 1;
                // Nothing stands between a gap and the snapshot that makes it good.
                self.last = Some(to);
                self.state = None;
            }
            EventItem::Event { id, event, .. } => {
                assert_eq!(id, self.last.unwrap() + 1);
                self.last = Some(id);
                self.state.as_mut().expect("a snapshot comes first").apply(&event);
            }
            EventItem::Unknown => panic!("never sent"),
        }
        true
    }
}

#[test]
fn whoever_follows_has_the_daemons_state() {
    let mut gaps = 0;
    for seed in 1..=40 {
        let mut model = Model::new(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut followers: Vec<Follower> = Vec::new();
        for _ in 0..3_000 {
            model.step();
            match model.dice.roll(200) {
                0 => followers.push(Follower::new(&model.hub, None)),
                // One that was there before, and comes back with what it had.
                1 if !followers.is_empty() => {
                    let left = followers.swap_remove(0);
                    if let (Some(last), Some(state)) = (left.last, left.state) {
                        followers.push(Follower::new(&model.hub, Some((last, state))));
                        gaps += left.gaps;
                    }
                }
                _ => {}
            }
            // Some read all the time, some hardly ever.
            for (number, follower) in followers.iter_mut().enumerate() {
                if model.dice.roll(1 << (number % 12)) == 0 {
                    while follower.read() && model.dice.roll(4) != 0 {}
                }
            }
        }
        model.check();
        for mut follower in followers {
            while follower.read() {}
            assert_eq!(follower.last, Some(model.hub.state().newest), "seed {seed}");
            assert_eq!(follower.state, Some(model.hub.overview()), "seed {seed}");
            gaps += follower.gaps;
        }
        assert!(model.hub.state().ring.len() <= RING_MAX);
    }
    assert!(gaps > 10, "only {gaps} gaps: nobody was slow enough");
}

#[test]
fn a_snapshot_and_its_id_are_of_one_moment() {
    let hub = Hub::new(vec![device(1, false), device(2, false)]).unwrap();
    std::thread::scope(|scope| {
        for id in 1..=2 {
            let hub = hub.clone();
            scope.spawn(move || {
                for round in 0..5_000 {
                    hub.device_changed(device(id, round % 2 == 0), Reason::Outbox);
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let mut follower = Follower::new(&hub, None);
                    for _ in 0..50 {
                        follower.read();
                    }
                    // Both taken under one lock, so this is what the fold must have come to, if it
                    // was not too slow.
                    let state = hub.state();
                    let (newest, now) = (state.newest, state.overview.clone());
                    drop(state);
                    while follower.last != Some(newest) && follower.last.is_none_or(|last| last < newest) {
                        follower.read();
                    }
                    if follower.last == Some(newest) && follower.state.is_some() {
                        assert_eq!(follower.state, Some(now));
                    }
                }
            });
        }
    });
}

#[test]
fn who_can_not_go_on_is_told_so() {
    let hub = Hub::new(Vec::new()).unwrap();
    let refused = || Event::UnlockRefused { device: DeviceId::from_bytes([1; 16]) };
    let next = |reader: &mut Reader| reader.next().now_or_never().flatten();
    let at = |id| Some(EventPosition { stream: hub.inner.stream.clone(), id });
    for _ in 0..RING_MAX {
        hub.publish(refused());
    }
    // The oldest there is, and nothing that has not happened.
    let mut reader = hub.watch(at(0));
    assert!(matches!(next(&mut reader), Some(EventItem::Event { id: 1, .. })));
    let newest = RING_MAX as u64;
    assert!(hub.watch(at(newest)).next().now_or_never().is_none());
    hub.publish(refused());
    let newest = newest + 1;
    let earlier = EventPosition { stream: StreamId("0".repeat(32)), id: 5 };
    for (after, missing) in
        [(at(0), Some(1)), (Some(earlier), None), (at(newest + 1), None), (at(u64::MAX), None)]
    {
        let mut reader = hub.watch(after);
        let Some(EventItem::Gap { from, to, .. }) = next(&mut reader) else { panic!("no gap") };
        assert_eq!((from, to), (missing, newest));
        assert!(matches!(next(&mut reader), Some(EventItem::Snapshot { id, .. }) if id == newest));
        assert!(next(&mut reader).is_none());
        hub.publish(Event::DeviceForgotten { device: DeviceId::from_bytes([1; 16]) });
        assert!(matches!(next(&mut reader), Some(EventItem::Event { .. })));
        return_to(&hub, newest);
    }
}

/// Undoes the last event, so that each case begins alike.
fn return_to(hub: &Hub, newest: u64) {
    let mut state = hub.state();
    state.ring.pop_back();
    state.newest = newest;
}

#[tokio::test]
async fn the_last_event_reaches_everybody_and_is_the_last() {
    let hub = Hub::new(Vec::new()).unwrap();
    let mut reader = hub.watch(None);
    assert!(matches!(reader.next().await, Some(EventItem::Snapshot { id: 0, .. })));
    hub.publish(Event::UnlockRefused { device: DeviceId::from_bytes([1; 16]) });
    let read = async {
        let mut items = Vec::new();
        while let Some(item) = reader.next().await {
            items.push(item);
        }
        drop(reader);
        items
    };
    let ((), items) = tokio::join!(hub.farewell(), read);
    assert_eq!(items.len(), 2);
    assert!(matches!(items.last(), Some(EventItem::Event { event: Event::Stopping, .. })), "{items:?}");
    let newest = hub.state().newest;
    hub.publish(Event::UnlockRefused { device: DeviceId::from_bytes([1; 16]) });
    assert_eq!(hub.state().newest, newest);
    // Whoever comes now still sees how things stand, and that nothing follows.
    let mut late = hub.watch(None);
    assert!(matches!(late.next().await, Some(EventItem::Snapshot { .. })));
    assert!(late.next().await.is_none());
}

#[test]
fn an_outbox_is_not_told_of_once_its_device_is_locked() {
    let hub = Hub::new(vec![device(1, true)]).unwrap();
    let (id, locked) = (device(1, true).device, CancellationToken::new());
    hub.outbox(id, &locked, || (1, 0));
    assert_eq!(hub.overview().device(id).unwrap().outbox, Some(1));
    hub.outbox(id, &locked, || (1, 0));
    assert_eq!(hub.state().newest, 1);
    locked.cancel();
    hub.outbox(id, &locked, || (2, 0));
    assert_eq!(hub.state().newest, 1);
}
