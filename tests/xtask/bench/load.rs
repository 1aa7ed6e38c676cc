//! Figures of the metadata server under load: ceremonies a second at 8 and at 500 at once, and its
//! memory, idle and for each that waits.
//!
//! Decides the load: whole enrolments, every call of them, by the shipped machines and transport,
//! in this process, on the same cores as the server. SQLite is as durable as it is shipped. The
//! newcomers have no disk: what they do there is not the server's. Beside each stands how much of
//! the processors was the server's, and how long 99 of 100 ceremonies lasted (P1 of
//! docs/assurance.md).

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use parsec_tests::device::private_folder;
use parsec_tests::load::{self, Alice};
use parsec_tests::memory::resident;
use parsec_tests::server::{NO_LIMITS, Server};
use tokio::sync::{Semaphore, mpsc};

use super::{Figure, Goal, percentile, said};

/// At once, and how many in all.
const LOADS: [([&str; 3], usize, usize); 2] = [
    (["ceremonies 8", "server cpu 8", "lasted 8"], 8, 240),
    (["ceremonies 500", "server cpu 500", "lasted 500"], 500, 1_000),
];
/// So many organisations, because each newcomer verifies the whole log of theirs.
const ORGANISATIONS: usize = 20;
/// Ceremonies that wait.
const WAITING: usize = 500;
/// Commits that the reference makes.
const COMMITS: u32 = 200;
const GOAL_A_SECOND: f64 = 1_000.0;
/// Seconds within which 99 of 100 end, people aside, however many there are at once.
const GOAL_LASTED: f64 = 5.0;
const GOAL_IDLE_MIB: f64 = 15.0;
const GOAL_WAITING_KIB: f64 = 16.0;

pub(super) fn figures() -> Vec<Figure> {
    measure().unwrap_or_else(|why| {
        eprintln!("cargo xtask bench: ceremonies: {why}");
        Vec::new()
    })
}

/// What a process has in memory.
fn memory_kib(process: u32) -> f64 {
    resident(process, "VmRSS") as f64
}

/// Processor time that a process has had, in milliseconds: its own and the kernel's for it
/// (proc_pid_stat(5), ticks of 10 ms).
fn processor_ms(process: u32) -> Result<f64, String> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).map_err(said)?;
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: Vec<f64> =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    Ok(ticks.iter().sum::<f64>() * 10.0)
}

fn measure() -> Result<Vec<Figure>, String> {
    let mut figures = Vec::new();
    for ([name, cpu, lasted], at_once, count) in LOADS {
        let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").map_err(said)?;
        let (mut server, alices, runtime) = begin(folder.path())?;
        let process = server.process().id();
        let commits = commits_a_second(&folder.path().join("reference"))?;
        let before = processor_ms(process)?;
        let begun = Instant::now();
        let mut each_lasted = runtime.block_on(run(&alices, at_once, count))?;
        let seconds = begun.elapsed().as_secs_f64();
        let each = (processor_ms(process)? - before) / count as f64;
        let (value, wall) = (count as f64 / seconds, seconds * 1e3 / count as f64);
        let goal = Some(Goal::value_at_least(GOAL_A_SECOND));
        figures.push(Figure { goal, ..Figure::beside(name, "/s", value, "durable commits", commits) });
        figures.push(Figure::beside(cpu, "ms", each, "of a ceremony's share of time", wall));
        let [half, most] = [0.5, 0.99].map(|share| percentile(&mut each_lasted, share));
        let goal = Some(Goal::value_at_most(GOAL_LASTED));
        figures.push(Figure { goal, ..Figure::beside(lasted, "s", most, "half of them", half) });
    }
    figures.extend(memory()?);
    Ok(figures)
}

fn begin(folder: &Path) -> Result<(Server, Vec<Arc<Alice>>, tokio::runtime::Runtime), String> {
    private_folder(&folder.join("server"));
    let server = Server::start(&folder.join("server"), NO_LIMITS);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(said)?;
    let mut alices = Vec::new();
    for number in 0..ORGANISATIONS {
        let name = format!("bench{number}");
        let token = server.reserve(&name);
        let organisation = name.parse().map_err(said)?;
        alices.push(runtime.block_on(load::alice(&server.url(), &token, &organisation)));
    }
    Ok((server, alices, runtime))
}

/// Runs them; how many seconds each lasted.
async fn run(alices: &[Arc<Alice>], at_once: usize, count: usize) -> Result<Vec<f64>, String> {
    let places = Arc::new(Semaphore::new(at_once));
    let mut running = tokio::task::JoinSet::new();
    for (number, alice) in alices.iter().cycle().take(count).enumerate() {
        let place = Arc::clone(&places).acquire_owned().await.map_err(said)?;
        let alice = Arc::clone(alice);
        running.spawn(async move {
            let since = Instant::now();
            let done = Box::pin(load::ceremony(alice, number, None)).await;
            drop(place);
            done.map(|()| since.elapsed().as_secs_f64())
        });
    }
    let mut lasted = Vec::new();
    while let Some(done) = running.join_next().await {
        lasted.push(done.map_err(said)??);
    }
    Ok(lasted)
}

/// Memory with nothing to do, and what each waiting ceremony adds: two event streams, an
/// invitation, an attempt.
fn memory() -> Result<[Figure; 2], String> {
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").map_err(said)?;
    let (mut server, alices, runtime) = begin(folder.path())?;
    let process = server.process().id();
    let idle = memory_kib(process);
    let waiting = runtime.block_on(async {
        let (began, mut beginnings) = mpsc::channel(WAITING);
        let mut running = tokio::task::JoinSet::new();
        for (number, alice) in alices.iter().cycle().take(WAITING).enumerate() {
            running.spawn(load::waiting(Arc::clone(alice), number, began.clone()));
        }
        for _ in 0..WAITING {
            tokio::select! {
                Some(()) = beginnings.recv() => {}
                Some(ended) = running.join_next() => ended.map_err(said)??,
            }
        }
        Ok::<_, String>(memory_kib(process))
    })?;
    let own = memory_kib(std::process::id());
    let each = (waiting - idle) / WAITING as f64;
    let most = |goal, figure| Figure { goal: Some(Goal::value_at_most(goal)), ..figure };
    let (idle, waiting, own) = (idle / 1024.0, waiting / 1024.0, own / WAITING as f64);
    Ok([
        most(GOAL_IDLE_MIB, Figure::beside("server idle", "MiB", idle, "with 500 waiting", waiting)),
        most(GOAL_WAITING_KIB, Figure::beside("waiting ceremony", "KiB", each, "of the two clients", own)),
    ])
}

/// One row of 300 bytes at a time, each durable before the next: what the disk gives a single
/// writer.
fn commits_a_second(path: &Path) -> Result<f64, String> {
    let database = rusqlite::Connection::open(path).map_err(said)?;
    database
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (v BLOB)")
        .map_err(said)?;
    let begun = Instant::now();
    for _ in 0..COMMITS {
        database.execute("INSERT INTO t VALUES (?1)", [[7_u8; 300].as_slice()]).map_err(said)?;
    }
    Ok(f64::from(COMMITS) / begun.elapsed().as_secs_f64())
}
