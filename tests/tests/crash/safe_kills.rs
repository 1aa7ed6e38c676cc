//! Kill -9 at every message about a safe: of the daemon that sent it, or of the server; before it
//! has passed on and after.
//!
//! A safe is made, files are put into it, somebody is let in, takes it, writes, is taken out, is
//! let in again and leaves. Whoever was killed is started again, and the call is repeated if it
//! gave no answer. Afterwards what was answered *saved* is there, bit for bit, what was answered
//! *shared* is at the server, nothing waits, and no file lies on a disk that nobody names.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use parsec_protocol::control::{
    ChoiceMode, DeviceSelector, ProblemKind, Registration, SafeListResult, SafeRole, SafeStanding,
    SafeStatus, SafeStatusResult, method,
};
use parsec_protocol::ids::DeviceId;
use parsec_tests::device::Device;
use parsec_tests::events::Follower;
use parsec_tests::fixture::{ALICE_PASSWORD, BOB, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::fuzz::mutator::Dice;
use parsec_tests::metrics;
use parsec_tests::process::kill_by_id;
use parsec_tests::proxy::{Answer, Fate, Honest, Meddler, Request};
use parsec_tests::rpc::Failed;
use parsec_tests::safes::Safe;
use parsec_tests::server::NO_LIMITS;

/// Kills in a usual run.
const USUAL: usize = 10;
/// Kills in a full one: all there are, again and again, since no two lives are the same moment for
/// moment.
const FULL: usize = 2_000;
/// Safes that one pair of devices is used for: each of them has a task, which asks the server, too.
const SAFES_OF_A_FIXTURE: usize = 12;
/// Times that a call is repeated: for the one kill, for a server that is being started, and for
/// what others do meanwhile.
const TRIES: usize = 20;
/// By when what was shared is in order, on a machine that does much else.
const ORDER_WAIT: Duration = Duration::from_secs(30);
/// Seconds that a call waits until it is shared: a busy machine's.
const WAIT_SECONDS: u32 = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Victim {
    Sender,
    Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// The server has nothing of it.
    Before,
    /// The server has it; the sender has no answer.
    After,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) victim: Victim,
    pub(super) moment: Moment,
    /// Which of all messages of that moment, from 1; 0 for none.
    pub(super) number: usize,
}

/// Kills once.
pub(super) struct Killer {
    pub(super) case: Case,
    pub(super) daemons: BTreeMap<DeviceId, u32>,
    pub(super) server: u32,
    pub(super) seen: AtomicUsize,
    /// Whether it may strike: held while it does, so that nobody is struck whom nobody starts
    /// again.
    pub(super) armed: Mutex<bool>,
    pub(super) down: Arc<Down>,
    /// Hears what the message was.
    pub(super) told: Mutex<Sender<String>>,
}

impl Killer {
    fn look(&self, request: &Request, moment: Moment) -> Fate {
        let sender = self.daemons.iter().find(|(device, _)| request.is_by(**device));
        let Some((_, daemon)) = sender.filter(|_| moment == self.case.moment) else { return Fate::Pass };
        let armed = self.armed.lock().unwrap();
        if self.seen.fetch_add(1, Ordering::SeqCst) + 1 != self.case.number || !*armed {
            return Fate::Pass;
        }
        match self.case.victim {
            Victim::Sender => kill_by_id(*daemon),
            Victim::Server => {
                self.down.set(true);
                kill_by_id(self.server);
            }
        }
        self.told.lock().unwrap().send(format!("{} {}", request.method, request.target)).unwrap();
        Fate::Lose
    }
}

impl Meddler for Killer {
    fn request(&self, request: &mut Request) -> Fate {
        self.look(request, Moment::Before)
    }

    fn answer(&self, request: &Request, _: &mut Answer) -> Fate {
        self.look(request, Moment::After)
    }
}

/// Whether the server is down, because it was killed.
#[derive(Default)]
pub(super) struct Down(Mutex<bool>, Condvar);

impl Down {
    pub(super) fn set(&self, down: bool) {
        *self.0.lock().unwrap() = down;
        self.1.notify_all();
    }

    fn wait_until_it_is_back(&self) {
        let _back = self.1.wait_while(self.0.lock().unwrap(), |down| *down).unwrap();
    }
}

/// Somebody whose daemon may be killed at any moment.
pub(super) struct Person<'a> {
    pub(super) device: &'a mut Device,
    pub(super) password: &'static str,
    pub(super) down: &'a Down,
    pub(super) case: Case,
}

impl Person<'_> {
    fn restart(&mut self) {
        self.device.restart();
        self.device.unlock(self.password).unwrap_or_else(|failed| panic!("{:?}: {failed:?}", self.case));
    }

    /// Does it until it is done.
    pub(super) fn does<T>(&mut self, what: &str, act: impl Fn(&Device) -> Result<T, Failed>) -> T {
        for _ in 0..TRIES {
            match act(self.device) {
                Ok(done) => return done,
                Err(Failed::Gone) => self.restart(),
                // The server is away, or others were faster.
                Err(Failed::Problem(problem)) if problem.retryable => self.down.wait_until_it_is_back(),
                Err(Failed::Problem(problem)) => panic!("{:?}: {what}: {problem:?}", self.case),
            }
        }
        panic!("{:?}: {what}: not done after {TRIES} tries", self.case)
    }

    /// Waits until a safe stands so, by the daemon's events.
    fn until(&mut self, name: &str, what: &str, standing: SafeStanding) {
        self.does(what, |device| {
            let mut follower = Follower::try_start(&device.socket(), None)?;
            loop {
                let safes = follower.state.iter().flat_map(|state| &state.safes);
                if safes.into_iter().any(|safe| safe.safe.to_string() == name && safe.standing == standing) {
                    return Ok(());
                }
                follower.item()?;
            }
        });
    }

    fn put(&mut self, name: &str, path: &str, contents: &[u8]) {
        let done = self.does(path, |device| Safe { device, name }.put(path, contents, WAIT_SECONDS));
        assert!(done.saved, "{:?}: {path}: {done:?}", self.case);
    }

    /// Another name: there under one of the two whenever it is killed.
    fn moves(&mut self, name: &str, from: &str, to: &str) {
        self.does(to, |device| {
            let safe = Safe { device, name };
            match safe.rename(from, to) {
                // Done, and the answer was lost.
                Err(Failed::Problem(problem)) if problem.name == ProblemKind::PathNotFound => {
                    safe.stat(to).map(drop)
                }
                done => done.map(drop),
            }
        });
    }

    /// Everything is shared, and everything new is here.
    fn drains(&mut self, name: &str) {
        let synced = self.does("sync", |device| Safe { device, name }.try_sync());
        assert!(synced.done, "{:?}: {synced:?}", self.case);
    }

    fn contents(&mut self, name: &str, path: &str) -> Vec<u8> {
        self.does(path, |device| Safe { device, name }.get(path))
    }

    /// What lies on the disk is what the daemon names. What was shared is put in order right after
    /// that was told, so it is asked for until it is.
    fn has_no_orphans(&mut self) {
        let select = DeviceSelector::default();
        let asked = SafeStatus { select, safe: None };
        let since = Instant::now();
        let status = loop {
            let status: SafeStatusResult =
                self.does("status", |device| device.call(method::SAFE_STATUS, asked.clone()));
            assert!(status.safes.iter().all(|safe| safe.changes.is_empty()), "{:?}: {status:?}", self.case);
            let named: u64 = status.safes.iter().map(|safe| safe.kept_bytes).sum();
            let there = bytes_of_pieces(&self.device.data());
            if named == there {
                break status;
            }
            assert!(since.elapsed() < ORDER_WAIT, "{:?}: {named} and {there} bytes", self.case);
            std::thread::yield_now();
        };
        let left = status.safes.iter().filter(|safe| safe.safe.standing == SafeStanding::Left);
        assert!(left.into_iter().all(|safe| safe.kept_bytes == 0), "{:?}: {status:?}", self.case);
    }
}

/// Folders of pieces, each with its files.
pub(super) fn pieces(data: &Path) -> Vec<std::path::PathBuf> {
    let entries = |folder: &Path| {
        let read = std::fs::read_dir(folder).map(Iterator::collect::<Result<Vec<_>, _>>);
        read.and_then(|read| read).unwrap_or_default().into_iter().map(|entry| entry.path())
    };
    let devices = entries(&data.join("devices"));
    let folders = devices.flat_map(|device| entries(&device.join("pieces")));
    folders.flat_map(|folder| entries(&folder)).collect()
}

fn bytes_of_pieces(data: &Path) -> u64 {
    pieces(data).iter().map(|file| std::fs::metadata(file).unwrap().len()).sum()
}

pub(super) fn large(number: u8) -> Vec<u8> {
    (0..700_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 ^ number).collect()
}

/// A safe's whole life, and what must be in it afterwards.
fn life(alice: &mut Person<'_>, bob: &mut Person<'_>, name: &str) {
    let id = alice.does("create", |device| {
        let list = |device: &Device| -> Result<SafeListResult, Failed> {
            device.call(method::SAFE_LIST, DeviceSelector::default())
        };
        let known = |list: SafeListResult| {
            let called = |safe: &parsec_protocol::control::SafeView| {
                safe.name.as_ref().is_some_and(|found| found.as_str() == name)
            };
            list.safes.into_iter().find(called).map(|safe| safe.safe)
        };
        // Made, and the answer was lost.
        if let Some(id) = known(list(device)?) {
            return Ok(id);
        }
        parsec_tests::safes::try_create(device, name).map(|made| made.safe)
    });
    let id = id.to_string();
    alice.put(&id, "/large", &large(1));
    alice.put(&id, "/small", b"small");
    alice.moves(&id, "/small", "/moved");
    alice.does("share", |device| Safe { device, name: &id }.share(BOB_EMAIL, SafeRole::Contributor));
    bob.until(&id, "the offer", SafeStanding::Offered);
    bob.does("accept", |device| Safe { device, name: &id }.accept());
    bob.drains(&id);
    assert!(bob.contents(&id, "/large") == large(1), "{:?}", bob.case);
    bob.put(&id, "/by-bob", &large(2));
    alice.does("unshare", |device| Safe { device, name: &id }.unshare(BOB_EMAIL));
    alice.put(&id, "/after", &large(3));
    alice.put(&id, "/large", &large(4));
    bob.until(&id, "that he is out", SafeStanding::Left);
    alice.does("share again", |device| Safe { device, name: &id }.share(BOB_EMAIL, SafeRole::Contributor));
    bob.until(&id, "the offer again", SafeStanding::Offered);
    bob.does("accept again", |device| Safe { device, name: &id }.accept());
    bob.drains(&id);
    assert!(bob.contents(&id, "/after") == large(3), "{:?}", bob.case);
    bob.does("leave", |device| Safe { device, name: &id }.leave());
    alice.put(&id, "/last", b"the last");
    alice.drains(&id);
    let files = BTreeMap::from([
        ("/after", large(3)),
        ("/by-bob", large(2)),
        ("/large", large(4)),
        ("/last", b"the last".to_vec()),
        ("/moved", b"small".to_vec()),
    ]);
    let paths = alice.does("list", |device| Safe { device, name: &id }.paths());
    assert_eq!(paths, files.keys().copied().collect::<Vec<_>>(), "{:?}", alice.case);
    for _ in 0..2 {
        for (path, contents) in &files {
            assert!(alice.contents(&id, path) == *contents, "{:?}: {path}", alice.case);
        }
        alice.has_no_orphans();
        bob.has_no_orphans();
        // And once more with nothing but what the server has.
        alice.device.kill();
        for file in pieces(&alice.device.data()) {
            std::fs::remove_file(file).unwrap();
        }
        alice.restart();
    }
}

struct Pair {
    fixture: Fixture,
    bob: Device,
}

impl Pair {
    fn new() -> Self {
        let fixture =
            Fixture::found(FixtureOptions { server_options: NO_LIMITS, ..FixtureOptions::default() });
        let bob = fixture.device("bob");
        let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
        let ends = fixture.enrol(&bob, &invitation, BOB, ChoiceMode::Picked);
        assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
        let _ = bob.until_device(|device| device.registration == Registration::Registered);
        Self { fixture, bob }
    }

    /// The message that somebody was killed at, if there was one; and how many there were. Nobody
    /// who was killed behind the end is started again: then this pair has had its day.
    fn run(&mut self, case: Case, name: &str) -> (Option<String>, usize, bool) {
        let (told, hears): (Sender<String>, Receiver<String>) = channel();
        let fixture = &mut self.fixture;
        let down = Arc::new(Down::default());
        let killer = Arc::new(Killer {
            case,
            down: Arc::clone(&down),
            daemons: [&fixture.alice, &self.bob]
                .into_iter()
                .zip([fixture.alice.process_id(), self.bob.process_id()])
                .map(|(device, process)| (device.devices()[0].device, process))
                .collect(),
            server: fixture.server.process().id(),
            seen: AtomicUsize::new(0),
            armed: Mutex::new(true),
            told: Mutex::new(told.clone()),
        });
        fixture.proxy.meddle(Arc::clone(&killer) as Arc<dyn Meddler>);
        let (alice, server, proxy) = (&mut fixture.alice, &mut fixture.server, &fixture.proxy);
        let bob = &mut self.bob;
        let mut struck = None;
        std::thread::scope(|scope| {
            let (down, told) = (&*down, told);
            let living = scope.spawn(move || {
                // The last word of this thread, whatever becomes of it: an empty one.
                let _end = End(told);
                let mut alice = Person { device: alice, password: ALICE_PASSWORD, down, case };
                let mut bob = Person { device: bob, password: BOB_PASSWORD, down, case };
                life(&mut alice, &mut bob, name);
            });
            while let Ok(message) = hears.recv() {
                if message.is_empty() {
                    break;
                }
                if case.victim == Victim::Server {
                    server.restart();
                    proxy.set_upstream(server.address());
                    down.set(false);
                }
                struck = Some(message);
            }
            living.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
        *killer.armed.lock().unwrap() = false;
        fixture.proxy.meddle(Arc::new(Honest));
        let is_over = hears.try_iter().any(|message| !message.is_empty());
        (struck, killer.seen.load(Ordering::SeqCst), is_over)
    }
}

/// Says that a thread is over.
pub(super) struct End(pub(super) Sender<String>);

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.0.send(String::new());
    }
}

#[test]
fn whoever_is_killed_at_whatever_message_about_a_safe_nothing_saved_is_lost() {
    let _machine = parsec_tests::alone::on_the_machine();
    let mut pair = Pair::new();
    let nobody = Case { victim: Victim::Sender, moment: Moment::Before, number: 0 };
    let (struck, messages, _) = pair.run(nobody, "nobody");
    assert!(struck.is_none() && messages > 40, "{struck:?}, {messages} messages");
    let all: Vec<_> = (1..=messages)
        .flat_map(|number| {
            [Victim::Sender, Victim::Server].into_iter().flat_map(move |victim| {
                [Moment::Before, Moment::After].map(|moment| Case { victim, moment, number })
            })
        })
        .collect();
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("PARSEC_SEED").unwrap_or(0x5eed_0010);
    let wanted = if metrics::full() { FULL.max(all.len()) } else { USUAL };
    let mut dice = Dice::new(seed);
    let (mut cases, mut left) = (Vec::new(), Vec::new());
    while cases.len() < wanted {
        if left.is_empty() {
            left.clone_from(&all);
        }
        cases.push(left.swap_remove(dice.below(left.len())));
    }
    println!("seed {seed}, {} of {} kills", cases.len(), messages * 4);
    let mut kills = 0;
    for (number, case) in cases.into_iter().enumerate() {
        if number > 0 && number.is_multiple_of(SAFES_OF_A_FIXTURE) {
            pair = Pair::new();
        }
        // How many messages there are, time decides, too: the last ones may be missing.
        let (struck, _, is_over) = pair.run(case, &format!("safe {number}"));
        if is_over {
            pair = Pair::new();
        }
        println!("{case:?}: {}", struck.as_deref().unwrap_or("did not happen"));
        kills += usize::from(struck.is_some());
    }
    assert!(kills * 2 > USUAL, "only {kills} happened");
    metrics::figure(
        "C12",
        &format!(
            "daemons and server killed before and after messages about a safe, {kills} times: 0 saved lost, 0 shared missing at the server, 0 waiting, 0 files of nobody"
        ),
    );
}

/// A device that is asked what it does not have says so.
#[test]
fn a_piece_that_the_disk_lost_comes_from_the_server_and_never_wrong() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let made = parsec_tests::safes::create(&fixture.alice, "Plans");
    let name = made.safe.to_string();
    Safe { device: &fixture.alice, name: &name }.put_shared("/large", &large(1));
    Safe { device: &fixture.alice, name: &name }.sync();
    let get = |device: &Device| Safe { device, name: &name }.get("/large");
    let files = pieces(&fixture.alice.data());
    assert_eq!(files.len(), 2);
    // What is shared is kept: no server is needed to read it.
    fixture.server.kill();
    assert!(get(&fixture.alice).unwrap() == large(1));
    // Damaged while the server is away: an error, and not a byte that is wrong.
    for file in &files {
        let mut bytes = std::fs::read(file).unwrap();
        bytes[5_000] ^= 1;
        std::fs::write(file, bytes).unwrap();
    }
    let refused = get(&fixture.alice).unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::ContentsUnavailable), "{refused:?}");
    fixture.restart_server();
    assert!(get(&fixture.alice).unwrap() == large(1));
    assert_eq!(pieces(&fixture.alice.data()).len(), 2, "fetched again, and kept");
    fixture.server.kill();
    assert!(get(&fixture.alice).unwrap() == large(1));
}
