//! Random lives of safes with the real programs, by seed: three devices of two people behind bad
//! weather, which loses requests and answers, holds them back and cuts connections; daemons and the
//! server are killed and started again, devices locked and unlocked, a member taken out and let in.
//!
//! Afterwards, with a whole network, each device has shared everything and lists the same files;
//! and by what lies in the three stores, read from outside: one tree, with one state root, and
//! every contents that a daemon said to be saved are in it, live, in the trash or as an earlier
//! version.
//!
//! One seed alone: `PARSEC_SAFE_SEED=N cargo test -p parsec-tests --test safes random`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use parsec_protocol::control::{
    DeviceSelector, DeviceView, FileChanged, FileList, FileListResult, FileMakeFolder, FileMove, FileRemove,
    SafeRole, SafeStanding, SafeSync, SafeSynced, SecretText, method,
};
use parsec_protocol::ids::SafeId;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::safe_log::record::Envelope;
use parsec_protocol::safes::fold::{Outer, fold};
use parsec_protocol::safes::keys::{EpochKey, SafeKeys};
use parsec_protocol::safes::seal::open_record;
use parsec_protocol::safes::state::State;
use parsec_protocol::safes::tree::Tree as _;
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_AGAIN, ALICE_PASSWORD, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::fuzz::mutator::Dice;
use parsec_tests::metrics::{figure, runs};
use parsec_tests::process::kill_by_id;
use parsec_tests::proxy::{Answer, Fate, Meddler, Request};
use parsec_tests::rpc::Failed;
use parsec_tests::safes::{Safe, create};
use parsec_tests::server::NO_LIMITS;

use super::{enrol_bob, enrol_own};

/// Bytes of the first contents. Each has a size of its own, by which it is known again.
const SIZE_FIRST: usize = 100;
/// A held request that nothing releases goes on after this: nobody may hang in bad weather.
const HELD_MAX: Duration = Duration::from_secs(60);

/// One of these, if there are any.
fn one_of<T: Clone>(rng: &mut Dice, all: &[T]) -> Option<T> {
    all.get(rng.below(all.len())).cloned()
}

/// What lies between the devices and the server.
struct Weather {
    now: Mutex<Sky>,
    changed: Condvar,
}

struct Sky {
    rng: Dice,
    bad: bool,
    /// Requests that came by: one that is held goes on behind some others.
    passed: u64,
}

impl Weather {
    fn new(seed: u64) -> Self {
        let now = Sky { rng: Dice::new(!seed), bad: false, passed: 0 };
        Self { now: Mutex::new(now), changed: Condvar::new() }
    }

    fn turns(&self, bad: bool) {
        self.now.lock().unwrap().bad = bad;
        self.changed.notify_all();
    }
}

impl Meddler for Weather {
    fn request(&self, _: &mut Request) -> Fate {
        let mut sky = self.now.lock().unwrap();
        sky.passed += 1;
        self.changed.notify_all();
        if !sky.bad {
            return Fate::Pass;
        }
        let (dice, until) = (sky.rng.below(100), sky.passed + 1 + sky.rng.next() % 6);
        match dice {
            0..=7 => Fate::Lose,
            // Later than what came after it.
            8..=15 => {
                let held = |sky: &mut Sky| sky.bad && sky.passed < until;
                let _ = self.changed.wait_timeout_while(sky, HELD_MAX, held).unwrap();
                Fate::Pass
            }
            // Nothing comes back until the weather is better.
            16..=18 => {
                let _ = self.changed.wait_timeout_while(sky, HELD_MAX, |sky| sky.bad).unwrap();
                Fate::Lose
            }
            _ => Fate::Pass,
        }
    }

    fn answer(&self, _: &Request, _: &mut Answer) -> Fate {
        let mut sky = self.now.lock().unwrap();
        if sky.bad && sky.rng.below(100) < 12 { Fate::Lose } else { Fate::Pass }
    }
}

/// Everybody who takes part.
struct Office {
    fixture: Fixture,
    tablet: Device,
    bob: Device,
}

const PASSWORDS: [&str; 3] = [ALICE_PASSWORD, ALICE_AGAIN.password, BOB_PASSWORD];
/// Of the three, Bob's.
const BOB: usize = 2;

impl Office {
    fn open() -> Self {
        let options = FixtureOptions { server_options: NO_LIMITS, ..FixtureOptions::default() };
        let fixture = Fixture::found(options);
        let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
        let bob = enrol_bob(&fixture);
        Self { fixture, tablet, bob }
    }

    fn device(&self, at: usize) -> &Device {
        [&self.fixture.alice, &self.tablet, &self.bob][at]
    }

    fn device_mut(&mut self, at: usize) -> &mut Device {
        match at {
            0 => &mut self.fixture.alice,
            1 => &mut self.tablet,
            _ => &mut self.bob,
        }
    }

    fn start_again(&mut self, at: usize) {
        self.device_mut(at).restart();
        self.device(at).unlock(PASSWORDS[at]).unwrap();
    }
}

/// One run.
struct Run<'a> {
    office: &'a mut Office,
    weather: Arc<Weather>,
    rng: Dice,
    id: String,
    safe: SafeId,
    next: &'a mut usize,
    /// Sizes of contents that a daemon said to be saved.
    saved: BTreeSet<u64>,
}

fn select() -> DeviceSelector {
    DeviceSelector::default()
}

impl<'a> Run<'a> {
    fn begin(office: &'a mut Office, next: &'a mut usize, seed: u64) -> Self {
        let weather = Arc::new(Weather::new(seed));
        office.fixture.proxy.meddle(Arc::clone(&weather) as Arc<dyn Meddler>);
        let made = create(&office.fixture.alice, &format!("Safe {seed}"));
        let id = made.safe.to_string();
        let run =
            Self { office, weather, rng: Dice::new(seed), id, safe: made.safe, next, saved: BTreeSet::new() };
        let well = |safe: &parsec_protocol::control::SafeSummary| {
            safe.safe == made.safe && safe.standing == SafeStanding::Accepted
        };
        let _ = run.office.tablet.until_safe(well);
        run.let_bob_in();
        run
    }

    fn on(&self, at: usize) -> Safe<'_> {
        Safe { device: self.office.device(at), name: &self.id }
    }

    fn let_bob_in(&self) {
        self.on(0).share(BOB_EMAIL, SafeRole::Contributor).unwrap();
        let _ = self.office.bob.until_safe(|safe| {
            safe.safe == self.safe && safe.standing != SafeStanding::Left && safe.role.is_some()
        });
        self.on(BOB).accept().unwrap();
    }

    /// Somebody is out, reads nothing that comes, and is let in again.
    fn out_and_in(&mut self) {
        self.weather.turns(false);
        self.on(0).unshare(BOB_EMAIL).unwrap();
        let gone = |safe: &parsec_protocol::control::SafeSummary| {
            safe.safe == self.safe && safe.standing == SafeStanding::Left
        };
        let _ = self.office.bob.until_safe(gone);
        let contents = self.contents();
        self.saved.insert(contents.len() as u64);
        let path = format!("/without-bob-{}", contents.len());
        self.on(0).put_shared(&path, &contents);
        assert!(self.on(BOB).get(&path).is_err(), "who is out reads what comes");
        self.let_bob_in();
        self.weather.turns(true);
    }

    fn contents(&mut self) -> Vec<u8> {
        *self.next += 1;
        let size = SIZE_FIRST + *self.next;
        contents_of(size as u64)
    }

    /// Files and folders of one device.
    fn listed(&self, at: usize) -> Result<FileListResult, Failed> {
        let asked = FileList {
            select: select(),
            safe: self.id.clone(),
            path: "/".to_owned(),
            recursive: true,
            after: None,
            at: None,
            record: None,
        };
        self.office.device(at).call(method::FILE_LIST, asked)
    }

    fn path(&mut self, at: usize) -> String {
        let listed = self.listed(at).map(|listed| listed.files).unwrap_or_default();
        let folders: Vec<_> = listed
            .iter()
            .filter(|file| file.kind == parsec_protocol::control::FileKind::Folder)
            .map(|file| file.path.clone())
            .chain([String::new()])
            .collect();
        let folder = one_of(&mut self.rng, &folders).unwrap();
        let name = one_of(&mut self.rng, &["a", "b", "c", "d"]).unwrap();
        format!("{}/{name}", folder.trim_end_matches('/'))
    }

    fn there(&mut self, at: usize) -> Option<String> {
        let listed = self.listed(at).map(|listed| listed.files).unwrap_or_default();
        one_of(&mut self.rng, &listed).map(|file| file.path)
    }

    /// A file operation. What it comes to, the dice and the tree say; only what is said to be saved
    /// counts.
    fn act(&mut self, at: usize) {
        let device = |run: &Self| run.office.device(at).socket();
        let to = self.path(at);
        let safe = self.id.clone();
        let wait_seconds = Some(0);
        let dice = self.rng.below(10);
        if dice < 4 {
            let contents = self.contents();
            let size = contents.len() as u64;
            if self.on(at).put(&to, &contents, 0).is_ok_and(|done| done.saved) {
                self.saved.insert(size);
            }
            return;
        }
        let Some(from) = self.there(at) else { return };
        let mut client = parsec_tests::rpc::Client::connect(&device(self)).unwrap();
        let done: Result<FileChanged, Failed> = match dice {
            4 => {
                let asked = FileMakeFolder { select: select(), safe, path: to, parents: false, wait_seconds };
                client.call(method::FILE_MAKE_FOLDER, asked)
            }
            5 | 6 => {
                let replace = self.rng.below(2) == 0;
                let asked = FileMove { select: select(), safe, from, to, replace, wait_seconds };
                client.call(method::FILE_MOVE, asked)
            }
            7 | 8 => {
                let asked = FileMove { select: select(), safe, from, to, replace: false, wait_seconds };
                client.call(method::FILE_COPY, asked)
            }
            _ => {
                let asked = FileRemove { select: select(), safe, path: from, recursive: true, wait_seconds };
                client.call(method::FILE_REMOVE, asked)
            }
        };
        // A daemon that went away by itself would be a fault; what it refuses is none.
        if let Err(Failed::Gone) = done {
            panic!("the daemon is gone: {}", self.office.device(at).log());
        }
    }

    /// Killed while a program puts something: nobody was told that it is there, or it is.
    fn killed_at_work(&mut self, at: usize) {
        let (path, contents) = (self.path(at), self.contents());
        let process = self.office.device_mut(at).process().id();
        let safe = self.on(at);
        let done = std::thread::scope(|scope| {
            let put = scope.spawn(|| safe.put(&path, &contents, 0));
            kill_by_id(process);
            put.join().unwrap()
        });
        if done.is_ok_and(|done| done.saved) {
            self.saved.insert(contents.len() as u64);
        }
        self.office.start_again(at);
    }

    fn step(&mut self) {
        let at = self.rng.below(3);
        match self.rng.below(100) {
            0..=64 => self.act(at),
            65..=69 => self.killed_at_work(at),
            70..=74 => {
                self.office.device_mut(at).kill();
                self.office.start_again(at);
            }
            75..=79 => {
                self.office.fixture.server.kill();
                self.act(at);
                self.office.fixture.restart_server();
            }
            80..=85 => {
                let _: DeviceView = self.office.device(at).call(method::DEVICE_LOCK, select()).unwrap();
                assert!(self.on(at).paths().is_err(), "a locked device tells nothing");
                self.office.device(at).unlock(PASSWORDS[at]).unwrap();
            }
            86..=91 => self.office.fixture.proxy.cut(),
            _ => {
                let asked = SafeSync { select: select(), safe: self.id.clone(), wait_seconds: Some(0) };
                let _: Result<SafeSynced, _> = self.office.device(at).call(method::SAFE_SYNC, asked);
            }
        }
    }

    fn live(&mut self) {
        self.weather.turns(true);
        let steps = 14 + self.rng.below(10);
        let out = (self.rng.below(3) == 0).then(|| self.rng.below(steps));
        for step in 0..steps {
            if out == Some(step) {
                self.out_and_in();
            }
            self.step();
        }
        self.weather.turns(false);
    }

    /// The network is whole: everything goes out and comes in, and all list the same.
    fn rest(&self) {
        for at in [0, 1, 2, 0, 1, 2] {
            let _ = self.on(at).sync();
        }
        let listed = |at: usize| -> Vec<_> {
            let listed = self.listed(at).unwrap();
            assert!(!listed.more);
            let files = listed.files.into_iter();
            files.map(|file| (file.path, file.entry, file.version, file.size, file.shared)).collect()
        };
        let one = listed(0);
        for at in [1, 2] {
            assert_eq!(listed(at), one, "device {at} has another tree");
        }
        for (number, (path, _, _, size, shared)) in one.iter().enumerate() {
            assert!(shared, "{path}");
            if let Some(size) = size {
                assert_eq!(self.on(number % 3).get(path).unwrap(), contents_of(*size), "{path}");
            }
        }
    }
}

/// The contents of a size: others for each.
fn contents_of(size: u64) -> Vec<u8> {
    size.to_be_bytes().into_iter().cycle().take(usize::try_from(size).unwrap()).collect()
}

/// What lies in a device's store of a safe: the root of the tree that its records make, and the
/// sizes of all contents in it. Nothing waits.
fn stored(device: &Device, password: &str, safe: SafeId) -> (u64, Hash, BTreeSet<u64>) {
    let devices = parsecd::store::Devices::open(&device.data()).unwrap();
    let id = devices.list().unwrap().pop().unwrap().device;
    let open = devices.unlock(id, &SecretText::new(password.to_owned().into())).unwrap();
    let organisation = open.summary.organisation.clone();
    let mut keys = SafeKeys::new(organisation.clone(), safe);
    for (epoch, key) in open.store.safe_keys(safe).unwrap() {
        let check = EpochKey::new(&organisation, &safe, epoch, &key).check();
        keys.insert(epoch, key, &check).unwrap();
    }
    assert_eq!(open.store.safe_queue(safe).unwrap(), Vec::<Vec<u8>>::new());
    let mut state = State::new(safe);
    for stored in open.store.safe_records(safe, 0, u32::MAX.into()).unwrap() {
        let payload = Envelope::decode(&stored.envelope).unwrap().payload().unwrap();
        let inside = open_record(&keys, &payload).unwrap();
        assert_eq!(inside.root, state.state_root(), "record {}", payload.seq);
        let outer = Outer {
            seq: payload.seq,
            epoch: payload.epoch,
            user: stored.author,
            device: payload.author,
            role: stored.role,
            time: payload.time,
            adds: &payload.adds,
            drops: &payload.drops,
            keeps: &payload.keeps,
        };
        fold(&mut state, &inside, &outer).unwrap_or_else(|why| panic!("record {}: {why}", payload.seq));
        let fresh = inside.changes.iter().filter_map(|change| change.content()).flat_map(|it| it.objects());
        for reference in fresh.filter(|reference| payload.adds.contains(&reference.object)) {
            assert_eq!(reference.epoch, payload.epoch, "contents under an earlier key");
        }
    }
    let mut sizes = BTreeSet::new();
    let mut ids = Vec::new();
    state.each_version(&mut |id, _| ids.push(id));
    for entry in ids.into_iter().filter_map(|id| state.entry(id)) {
        sizes.extend(entry.rare.versions.iter().map(|old| old.content.size));
        sizes.extend(entry.content().map(|content| content.size));
    }
    (state.seq(), state.state_root(), sizes)
}

#[test]
fn nothing_is_lost_and_all_agree_whatever_the_weather() {
    let seeds: Vec<u64> = match std::env::var("PARSEC_SAFE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..runs(20, 200)).collect(),
    };
    let mut office = Office::open();
    let mut next = 0;
    let mut lives = BTreeMap::new();
    for seed in &seeds {
        println!("seed {seed}");
        let mut run = Run::begin(&mut office, &mut next, *seed);
        run.live();
        run.rest();
        let Run { safe, saved, .. } = run;
        lives.insert(safe, (*seed, saved));
    }
    for at in 0..3 {
        office.device_mut(at).kill();
    }
    let (mut records, mut contents) = (0, 0);
    for (safe, (seed, saved)) in &lives {
        let of = |at: usize| stored(office.device(at), PASSWORDS[at], *safe);
        let (count, root, sizes) = of(0);
        for at in [1, 2] {
            assert_eq!(of(at), (count, root, sizes.clone()), "seed {seed}, device {at}");
        }
        let lost: Vec<_> = saved.difference(&sizes).collect();
        assert!(lost.is_empty(), "seed {seed}: contents of these sizes are lost: {lost:?}");
        records += count;
        contents += saved.len();
    }
    figure(
        "S32",
        &format!(
            "{} lives of safes with the real programs, {records} records, {contents} contents said to be saved: none lost, one tree each",
            lives.len()
        ),
    );
}
