//! Two daemons started at once, again and again: exactly one lives, the other says why it doesn't,
//! and neither ever takes the other's socket away.
//!
//! A third of the pairs share data folder and socket, a third the data folder alone, a third the
//! socket alone. Every other winner is killed, so that the next pair finds a dead socket to take
//! over. `PARSEC_PAIRS` sets how many pairs there are.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use parsec_protocol::control::{StatusResult, method};
use parsec_tests::device::private_folder;
use parsec_tests::launch::{Launched, begin, daemon};
use parsec_tests::rpc::Client;
use rustix::process::{Pid, Signal, kill_process};

/// Pairs in the usual run: some seconds. The figure that is asked for is a thousand.
const PAIRS: usize = 200;

/// What two daemons are started with.
struct Pair {
    data: [PathBuf; 2],
    socket: [PathBuf; 2],
}

impl Pair {
    fn of(folder: &Path, round: usize) -> Self {
        let data = ["data-a", "data-b"].map(|name| folder.join(name));
        let socket = ["run/a.sock", "run/b.sock"].map(|name| folder.join(name));
        let twice = |paths: &[PathBuf; 2]| [paths[0].clone(), paths[0].clone()];
        match round % 3 {
            0 => Self { data: twice(&data), socket: twice(&socket) },
            1 => Self { data: twice(&data), socket },
            _ => Self { data, socket: twice(&socket) },
        }
    }
}

/// What tells one socket from the next of its name: the number of an inode that went is given to
/// the next one on many file systems.
fn identity(socket: &Path) -> Option<(u64, i64, i64)> {
    let found = socket.symlink_metadata().ok()?;
    Some((found.ino(), found.ctime(), found.ctime_nsec()))
}

#[test]
fn of_two_daemons_started_at_once_exactly_one_lives() {
    let _machine = parsec_tests::alone::on_the_machine();
    let pairs = std::env::var("PARSEC_PAIRS").ok().and_then(|text| text.parse().ok()).unwrap_or(PAIRS);
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    private_folder(&folder.path().join("run"));
    let started = Instant::now();
    let (mut taken_over, mut first_won) = (0, 0);
    for round in 0..pairs {
        let pair = Pair::of(folder.path(), round);
        let dead: Vec<_> = pair.socket.iter().map(|socket| identity(socket)).collect();
        let starting = [0, 1].map(|one| {
            let mut command = daemon();
            command.arg("--data-dir").arg(&pair.data[one]).arg("--socket").arg(&pair.socket[one]);
            command.env("HOME", folder.path());
            begin(command, &folder.path().join(format!("log-{one}")))
        });
        let mut winner = None;
        for (one, starting) in starting.into_iter().enumerate() {
            match starting.answer() {
                Launched::Serves(served) => {
                    assert!(winner.is_none(), "pair {round}: both live");
                    winner = Some((one, served));
                }
                Launched::Refused { code, said } => {
                    assert!(code == 69 && said.contains("another daemon"), "pair {round}: {code} {said}");
                }
            }
        }
        let Some((one, mut winner)) = winner else { panic!("pair {round}: neither lives") };
        first_won += usize::from(one == 0);
        // Whatever the loser did on its way out, the winner's socket is there and answers.
        let status: StatusResult =
            Client::connect(&pair.socket[one]).unwrap().call(method::STATUS, ()).unwrap();
        assert_eq!(status.pid, winner.id(), "pair {round}: somebody else answers");
        let now = identity(&pair.socket[one]);
        taken_over += usize::from(dead[one].is_some() && dead[one] != now);
        if round % 2 == 0 {
            winner.kill();
            assert!(pair.socket[one].symlink_metadata().is_ok(), "a killed daemon leaves its socket");
        } else {
            let id = Pid::from_raw(i32::try_from(winner.id()).unwrap()).unwrap();
            kill_process(id, Signal::TERM).unwrap();
            winner.wait();
            assert!(pair.socket[one].symlink_metadata().is_err(), "a stopped daemon takes its socket away");
        }
    }
    println!(
        "{pairs} pairs in {:?}: the first won {first_won} times; {taken_over} dead sockets taken over",
        started.elapsed()
    );
    assert!(taken_over > 0 || pairs < 10, "no dead socket was ever there");
}
