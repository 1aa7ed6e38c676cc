//! Kill -9 at every message about a prune: of the daemon that throws away, or of the server; before
//! it has passed on and after.
//!
//! Afterwards what was thrown away is gone once the call has said so, what was not is in the trash
//! whole, and what is there is there to the last bit, also from the server alone.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use parsec_protocol::control::{
    DeviceSelector, FileChanged, FileRemove, ProblemKind, SafePrune, SafePruned, TrashList, TrashListResult,
    TrashRestore, method,
};
use parsec_protocol::ids::EntryId;
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::fuzz::mutator::Dice;
use parsec_tests::metrics;
use parsec_tests::proxy::{Honest, Meddler};
use parsec_tests::rpc::Failed;
use parsec_tests::safes::{Safe, create};
use parsec_tests::server::NO_LIMITS;
use parsec_tests::skip;

use super::safe_kills::{Case, Down, Killer, Moment, Person, Victim, large, pieces};

/// Where Debian puts the library that lies about the time.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
/// Kills in a usual run. A full one has twice as many as there are kinds of kill at
/// [`MESSAGES_MAX`] messages; which message each is at is drawn.
const USUAL: usize = 4;
/// Messages of one prune at most; files are removed for each kill at one of them.
const MESSAGES_MAX: usize = 12;

fn trash(device: &Device, name: &str) -> Result<Vec<EntryId>, Failed> {
    let asked = TrashList { select: DeviceSelector::default(), safe: name.to_owned(), after: None };
    let found: TrashListResult = device.call(method::TRASH_LIST, asked)?;
    Ok(found.removed.iter().map(|gone| gone.file.entry).collect())
}

/// Throws one away, for good; whether it was there is no matter: the answer may have been lost.
fn prune(device: &Device, name: &str, entry: EntryId) -> Result<(), Failed> {
    if !trash(device, name)?.contains(&entry) {
        return Ok(());
    }
    let (select, safe) = (DeviceSelector::default(), name.to_owned());
    let asked = SafePrune { select, safe, entries: vec![entry], trash: false, dry_run: false };
    let done: Result<SafePruned, Failed> = device.call(method::SAFE_PRUNE, asked);
    match done {
        // Gone meanwhile.
        Err(Failed::Problem(problem)) if problem.name == ProblemKind::PathNotFound => Ok(()),
        done => done.map(drop),
    }
}

/// Everybody's clock is set so far ahead.
fn days_later(fixture: &mut Fixture, shift: &str) {
    let environment = [("LD_PRELOAD", FAKETIME), ("FAKETIME", shift), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    fixture.server.set_environment(&environment);
    fixture.restart_server();
    fixture.alice.set_environment(&environment);
    fixture.alice.restart();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
}

#[test]
fn whoever_is_killed_while_something_is_thrown_away_nothing_else_goes() {
    let name = "whoever_is_killed_while_something_is_thrown_away_nothing_else_goes";
    if !Path::new(FAKETIME).exists() {
        return skip(name, "libfaketime is not installed");
    }
    let _machine = parsec_tests::alone::on_the_machine();
    let options = FixtureOptions { server_options: NO_LIMITS, ..FixtureOptions::default() };
    let mut fixture = Fixture::found(options);
    let id = create(&fixture.alice, "Old").safe.to_string();
    let all = 2 * MESSAGES_MAX * 4;
    let wanted = if metrics::full() { all } else { USUAL };
    let stays = large(9);
    {
        let safe = Safe { device: &fixture.alice, name: &id };
        safe.put_shared("/stays", &stays);
        for number in 0..wanted + 2 {
            let path = format!("/goes {number}");
            let _ = safe.put(&path, format!("thrown away {number}").as_bytes(), 60).unwrap();
            let asked = FileRemove {
                select: DeviceSelector::default(),
                safe: id.clone(),
                path,
                recursive: false,
                wait_seconds: Some(60),
            };
            let _: FileChanged = fixture.alice.call(method::FILE_REMOVE, asked).unwrap();
        }
    }
    // A record of the next day, from which what was removed is counted; then eight days more.
    for days in ["+1d", "+9d"] {
        days_later(&mut fixture, days);
        let path = format!("/{days}");
        Safe { device: &fixture.alice, name: &id }.put_shared(&path, b"by the later clock");
    }

    let seed = std::env::var("PARSEC_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x5eed_0032);
    let mut dice = Dice::new(seed);
    let mut left = trash(&fixture.alice, &id).unwrap();
    assert_eq!(left.len(), wanted + 2);
    // How many messages there are: of one that nobody disturbs.
    let (_, messages) = one(&mut fixture, &id, left.pop().unwrap(), None);
    assert!((1..=MESSAGES_MAX).contains(&messages), "{messages} messages");
    let mut kills = 0;
    for number in 0..wanted {
        let entry = left.pop().unwrap();
        let case = Case {
            victim: [Victim::Sender, Victim::Server][number % 2],
            moment: [Moment::Before, Moment::After][number / 2 % 2],
            number: 1 + dice.below(messages),
        };
        let (struck, _) = one(&mut fixture, &id, entry, Some(case));
        println!("{case:?}: {}", struck.as_deref().unwrap_or("did not happen"));
        kills += usize::from(struck.is_some());
        assert_eq!(trash(&fixture.alice, &id).unwrap().len(), left.len(), "{case:?}: another one went");
    }
    // With nothing but what the server has: what is there, and what is in the trash.
    fixture.alice.kill();
    for file in pieces(&fixture.alice.data()) {
        std::fs::remove_file(file).unwrap();
    }
    fixture.alice.restart();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let safe = Safe { device: &fixture.alice, name: &id };
    safe.sync();
    assert!(safe.get("/stays").unwrap() == stays);
    let back = left.pop().unwrap();
    let asked = TrashRestore {
        select: DeviceSelector::default(),
        safe: id.clone(),
        entry: back,
        to: Some("/back".to_owned()),
        wait_seconds: Some(60),
    };
    let _: FileChanged = fixture.alice.call(method::TRASH_RESTORE, asked).unwrap();
    assert!(safe.get("/back").unwrap().starts_with(b"thrown away "));
    // A quarter of those that were wanted, at least: where the message that was drawn does not come
    // in a run, nobody is killed.
    assert!(kills * 4 >= wanted, "only {kills} of {wanted} happened");
    metrics::figure("C12", &format!("killed {kills} times while something was thrown away: it alone went"));
}

/// Throws one away, with a kill or without: the message that somebody was killed at, and how many
/// there were.
fn one(fixture: &mut Fixture, name: &str, entry: EntryId, case: Option<Case>) -> (Option<String>, usize) {
    let case = case.unwrap_or(Case { victim: Victim::Sender, moment: Moment::Before, number: 0 });
    let (told, hears) = channel();
    let down = Arc::new(Down::default());
    let killer = Arc::new(Killer {
        case,
        down: Arc::clone(&down),
        daemons: [(fixture.alice.devices()[0].device, fixture.alice.process_id())].into(),
        server: fixture.server.process().id(),
        seen: AtomicUsize::new(0),
        armed: Mutex::new(true),
        told: Mutex::new(told.clone()),
    });
    fixture.proxy.meddle(Arc::clone(&killer) as Arc<dyn Meddler>);
    let (alice, server, proxy) = (&mut fixture.alice, &mut fixture.server, &fixture.proxy);
    let mut struck = None;
    std::thread::scope(|scope| {
        let down = &*down;
        let living = scope.spawn(move || {
            let _end = super::safe_kills::End(told);
            let mut alice = Person { device: alice, password: ALICE_PASSWORD, down, case };
            alice.does("prune", |device| prune(device, name, entry));
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
    // Struck behind the end: whoever it was is started again here.
    for message in hears.try_iter().filter(|message| !message.is_empty()) {
        if case.victim == Victim::Server {
            fixture.restart_server();
        } else {
            fixture.alice.restart();
            fixture.alice.unlock(ALICE_PASSWORD).unwrap();
        }
        struck = Some(message);
    }
    (struck, killer.seen.load(Ordering::SeqCst))
}
