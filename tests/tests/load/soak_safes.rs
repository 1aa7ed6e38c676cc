//! Half an hour of work in a safe by three devices of two people: what their daemons and the server
//! hold does not grow, nothing waits in the end, and all three have the same files (check P10).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use parsec_protocol::control::{
    DeviceSelector, FileChanged, FileMove, FileRemove, ProblemKind, SafeRole, SafeStanding, SafeSummary,
    method,
};
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_AGAIN, BOB, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::fuzz::mutator::Dice;
use parsec_tests::metrics;
use parsec_tests::own_devices::enrol_own;
use parsec_tests::process::Daemon;
use parsec_tests::rpc::Failed;
use parsec_tests::safes::{Safe, create};
use parsec_tests::server::NO_LIMITS;

use super::soak::{FULL, GROWTH_MAX, Held, LEEWAY, held};

/// Rounds before the first measurement, and after it in a usual run.
const WARM_UP: u64 = 5;
const ROUNDS: u64 = 10;
/// Files that the rounds write over, again and again: the tree stays as large as it is.
const FILES: usize = 12;
/// Every so many rounds somebody is taken out and let in: two certificates and a key.
const REKEY_EVERY: u64 = 5;
/// Bytes of the largest contents.
const LARGEST: usize = 700_000;

/// Three devices in one safe.
struct Office {
    fixture: Fixture,
    tablet: Device,
    bob: Device,
    id: String,
    dice: Dice,
    rounds: u64,
}

impl Office {
    fn open() -> Self {
        let daemon_options: &[&str] = &["--keep-mib", "16"];
        let fixture = Fixture::found(FixtureOptions {
            direct: true,
            server_options: NO_LIMITS,
            daemon: Daemon::Shipped,
            daemon_options,
            ..FixtureOptions::default()
        });
        let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
        let bob = fixture.device("bob");
        let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
        let picked = parsec_protocol::control::ChoiceMode::Picked;
        let ends = fixture.enrol(&bob, &invitation, BOB, picked);
        assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
        let made = create(&fixture.alice, "Soak");
        let id = made.safe.to_string();
        let accepted = |safe: &SafeSummary| safe.safe == made.safe && safe.standing == SafeStanding::Accepted;
        let _ = tablet.until_safe(accepted);
        let seed = std::env::var("PARSEC_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x50a4);
        println!("seed {seed}");
        let office = Self { fixture, tablet, bob, id, dice: Dice::new(seed), rounds: 0 };
        office.let_bob_in();
        office
    }

    fn on(&self, at: usize) -> Safe<'_> {
        let device = [&self.fixture.alice, &self.tablet, &self.bob][at];
        Safe { device, name: &self.id }
    }

    fn let_bob_in(&self) {
        self.on(0).share(BOB_EMAIL, SafeRole::Contributor).unwrap();
        let offered =
            |safe: &SafeSummary| safe.safe.to_string() == self.id && safe.standing == SafeStanding::Offered;
        let _ = self.bob.until_safe(offered);
        self.on(2).accept().unwrap();
        self.on(2).sync();
    }

    fn contents(&mut self) -> Vec<u8> {
        let length = [10, 5_000, LARGEST][self.dice.below(3)] + self.dice.below(1_000);
        let salt = self.dice.next();
        (0..length).map(|at| (at as u64).wrapping_mul(salt).to_le_bytes()[3]).collect()
    }

    /// Each device writes, moves, removes, reads; two write one file at once.
    fn round(&mut self) {
        self.rounds += 1;
        for at in 0..3 {
            let path = format!("/file {}", self.dice.below(FILES));
            let contents = self.contents();
            let done = self.on(at).put(&path, &contents, 0).unwrap();
            assert!(done.saved, "{done:?}");
        }
        let contents = self.contents();
        for at in [0, 2] {
            let _ = self.on(at).put("/everybody's", &contents[at..], 0).unwrap();
        }
        for at in 0..3 {
            self.on(at).sync();
        }
        let (from, to) = (self.dice.below(FILES), self.dice.below(FILES));
        self.may_fail(moved(self.on(1), &format!("/file {from}"), &format!("/file {to}")));
        // Copies of conflicts don't pile up.
        for path in self.on(0).paths().unwrap().into_iter().filter(|path| path.contains('(')).take(4) {
            self.may_fail(removed(self.on(0), &path));
        }
        if self.rounds.is_multiple_of(REKEY_EVERY) {
            self.on(0).unshare(BOB_EMAIL).unwrap();
            let left =
                |safe: &SafeSummary| safe.safe.to_string() == self.id && safe.standing == SafeStanding::Left;
            let _ = self.bob.until_safe(left);
            self.let_bob_in();
        }
        self.all_agree();
    }

    /// What others did meanwhile may have made it impossible; nothing else may.
    fn may_fail(&self, done: Result<FileChanged, Failed>) {
        let expected = [ProblemKind::PathNotFound, ProblemKind::PathExists, ProblemKind::NotAFile];
        match done {
            Ok(_) => {}
            Err(Failed::Problem(problem)) => assert!(expected.contains(&problem.name), "{problem:?}"),
            Err(failed) => panic!("{failed:?}"),
        }
    }

    /// Nothing waits, and all list and read the same.
    fn all_agree(&self) {
        // What one shares last the others have not heard of: twice round.
        for at in [0, 1, 2, 0, 1, 2] {
            let safe = self.on(at).sync();
            assert_eq!(safe.waiting, 0, "{safe:?}");
        }
        let paths = [0, 1, 2].map(|at| self.on(at).paths().unwrap());
        assert!(paths[0] == paths[1] && paths[1] == paths[2], "{paths:?}");
        for path in paths[0].iter().take(3) {
            let read = [0, 1, 2].map(|at| self.on(at).get(path).unwrap());
            assert!(read[0] == read[1] && read[1] == read[2], "{path}");
        }
    }

    fn processes(&mut self) -> BTreeMap<&'static str, u32> {
        BTreeMap::from([
            ("Alice's desktop", self.fixture.alice.process_id()),
            ("Alice's tablet", self.tablet.process_id()),
            ("Bob's laptop", self.bob.process_id()),
            ("server", self.fixture.server.process().id()),
        ])
    }
}

fn moved(safe: Safe<'_>, from: &str, to: &str) -> Result<FileChanged, Failed> {
    let asked = FileMove {
        select: DeviceSelector::default(),
        safe: safe.name.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        replace: true,
        wait_seconds: Some(60),
    };
    safe.device.call(method::FILE_MOVE, asked)
}

fn removed(safe: Safe<'_>, path: &str) -> Result<FileChanged, Failed> {
    let (select, name, path) = (DeviceSelector::default(), safe.name.to_owned(), path.to_owned());
    safe.device.call(
        method::FILE_REMOVE,
        FileRemove { select, safe: name, path, recursive: false, wait_seconds: Some(60) },
    )
}

/// Bytes of the files below a folder.
fn bytes_below(folder: &Path) -> u64 {
    parsec_tests::logs::files(folder).iter().map(|(_, bytes)| bytes.len() as u64).sum()
}

#[test]
fn three_devices_work_on_and_hold_no_more_than_before() {
    let _machine = parsec_tests::alone::on_the_machine();
    let mut office = Office::open();
    (0..WARM_UP).for_each(|_| office.round());
    let processes = office.processes();
    let before: BTreeMap<_, Held> = processes.iter().map(|(name, id)| (*name, held(*id))).collect();
    let kept_before = bytes_below(&office.fixture.alice.data());
    let begun = Instant::now();
    let mut rounds = 0_u64;
    while rounds < ROUNDS || metrics::full() && begun.elapsed() < FULL {
        office.round();
        rounds += 1;
    }
    let tens = (begun.elapsed().as_secs_f64() / 600.0).max(1.0);
    let mut said = Vec::new();
    for (name, id) in office.processes() {
        let (before, after) = (before[name], held(id));
        assert!(after.descriptors <= before.descriptors + LEEWAY, "{name}: {before:?} {after:?}");
        assert!(after.threads <= before.threads + LEEWAY, "{name}: {before:?} {after:?}");
        let growth = (after.memory_kib / before.memory_kib - 1.0) / tens;
        // Of a minute memory says nothing, and a journal that grows is held by those who fold it.
        assert!(!metrics::full() || growth < GROWTH_MAX, "{name}: {before:?} {after:?}");
        said.push(format!("{name} {:.1} MiB ({:+.1} %)", after.memory_kib / 1024.0, 100.0 * growth));
    }
    let kept = bytes_below(&office.fixture.alice.data());
    let limit = 2 * kept_before + 64 * 1024 * 1024;
    assert!(kept < limit, "{kept_before} bytes on Alice's disk became {kept}");
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    metrics::figure(
        "P10",
        &format!(
            "{rounds} rounds by 3 devices, {minutes:.1} minutes: one tree, nothing waits, no descriptor more; {}",
            said.join("; ")
        ),
    );
}
