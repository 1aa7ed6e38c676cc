//! Ceremonies, invitations and verifications for as long as asked: neither daemon nor server holds
//! more for it (docs/assurance.md, P7).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parsec_protocol::control::{Empty, InviteCancel, method};
use parsec_tests::fixture::{Fixture, FixtureOptions};
use parsec_tests::memory::resident;
use parsec_tests::process::Daemon;
use parsec_tests::server::NO_LIMITS;
use parsec_tests::{load, metrics};
use serde_json::json;

/// Rounds before the first measurement, and after it in a usual run.
const WARM_UP: u64 = 20;
const ROUNDS: u64 = 40;
/// A full run lasts so long after that.
pub(super) const FULL: Duration = Duration::from_secs(30 * 60);
/// What memory may have grown by in ten minutes of a full run.
pub(super) const GROWTH_MAX: f64 = 0.01;
/// Newcomers of one organisation.
const NEWCOMERS_MAX: usize = 100;
/// Descriptors that come and go: a connection that is just being closed.
pub(super) const LEEWAY: usize = 4;

/// What a process holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) descriptors: usize,
    pub(super) threads: usize,
    pub(super) memory_kib: f64,
}

pub(super) fn held(process: u32) -> Held {
    let count =
        |name: &str| std::fs::read_dir(PathBuf::from(format!("/proc/{process}/{name}"))).unwrap().count();
    let memory_kib = resident(process, "VmRSS") as f64;
    Held { descriptors: count("fd"), threads: count("task"), memory_kib }
}

#[test]
fn nothing_is_held_for_what_is_over() {
    let _machine = parsec_tests::alone::on_the_machine();
    let mut fixture = Fixture::found(FixtureOptions {
        direct: true,
        server_options: NO_LIMITS,
        daemon: Daemon::Shipped,
        ..FixtureOptions::default()
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let found = |fixture: &Fixture, number: usize| {
        let name = format!("load{number}");
        let token = fixture.server.reserve(&name);
        runtime.block_on(load::alice(&fixture.server.url(), &token, &name.parse().unwrap()))
    };
    let mut many = found(&fixture, 0);
    let mut number = 0;
    let mut round = |fixture: &Fixture| {
        number += 1;
        // A newcomer verifies the whole log of theirs: without this a long run would measure its
        // length.
        if number % NEWCOMERS_MAX == 0 {
            many = found(fixture, number);
        }
        let invitation = fixture.alice.invite(&format!("guest{number}@acme.example")).unwrap();
        let cancel = InviteCancel { select: Default::default(), token: invitation.token };
        let _: Empty = fixture.alice.call(method::INVITE_CANCEL, cancel).unwrap();
        fixture.alice.verify().unwrap();
        let refused = fixture.alice.call::<Empty>(method::CEREMONY_CHOOSE, json!({"ceremony": 1}));
        assert!(refused.is_err());
        runtime.block_on(load::ceremony(Arc::clone(&many), number, None)).unwrap();
    };
    (0..WARM_UP).for_each(|_| round(&fixture));
    let processes = [fixture.alice.process().id(), fixture.server.process().id()];
    let before = processes.map(held);
    let begun = Instant::now();
    let mut rounds = 0_u64;
    while rounds < ROUNDS || metrics::full() && begun.elapsed() < FULL {
        round(&fixture);
        rounds += 1;
    }
    let after = processes.map(held);
    let tens = (begun.elapsed().as_secs_f64() / 600.0).max(1.0);
    let mut said = Vec::new();
    for ((name, before), after) in ["parsecd", "parsec-metadata"].into_iter().zip(before).zip(after) {
        assert!(after.descriptors <= before.descriptors + LEEWAY, "{name}: {before:?} {after:?}");
        assert!(after.threads <= before.threads + LEEWAY, "{name}: {before:?} {after:?}");
        let growth = (after.memory_kib / before.memory_kib - 1.0) / tens;
        // Of a few seconds memory says nothing: an allocator fills its pools for longer than that.
        assert!(!metrics::full() || growth < GROWTH_MAX, "{name}: {before:?} {after:?}");
        said.push(format!(
            "{name} {} descriptors, {} threads, {:.1} MiB ({:+.1} %)",
            after.descriptors,
            after.threads,
            after.memory_kib / 1024.0,
            100.0 * growth
        ));
    }
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    metrics::figure("P7", &format!("{rounds} rounds, {minutes:.1} minutes: {}", said.join("; ")));
}
