//! Kill -9 at every message of the ceremony: of the claimer's daemon, the greeter's daemon, the
//! server; before the message has passed on and after.
//!
//! Afterwards "the user's certificate is in the log" and "Bob can unlock keys that match it" are
//! both true or both false, and the next command works.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use parsec_protocol::control::{InviteResult, Registration, Stage};
use parsec_tests::ceremony::{Bell, Ended, Side};
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_PASSWORD, BOB, BOB_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::process::kill_by_id;
use parsec_tests::proxy::{Answer, Fate, Meddler, Request};
use parsec_tests::script::{self, Newcomer, Phone};
use parsec_tests::server::NO_LIMITS;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Claimer,
    Greeter,
    Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The relay has nothing of it.
    Before,
    /// The relay has it; the sender has no answer.
    After,
}

#[derive(Debug, Clone, Copy)]
struct Case {
    victim: Victim,
    step: u8,
    moment: Moment,
}

/// Kills once, when the message comes by; tells of certificates that reached the log.
struct Killer {
    case: Case,
    process: u32,
    armed: AtomicBool,
    completed: AtomicU32,
    cancelled: AtomicU32,
    bell: Arc<Bell>,
}

impl Killer {
    /// Waits until the relay has heard that the attempt is over: people who start again in the same
    /// millisecond are no people.
    fn relay_knows(&self) {
        let told = || (self.cancelled.load(Ordering::SeqCst) > 0).then_some(());
        self.bell.until("the relay to hear of the end", told).unwrap();
    }

    fn strike(&self, request: &Request, moment: Moment) -> Fate {
        let here = request.deposits() == Some(self.case.step) && moment == self.case.moment;
        if !here || !self.armed.swap(false, Ordering::SeqCst) {
            return Fate::Pass;
        }
        kill_by_id(self.process);
        self.bell.interrupt();
        Fate::Lose
    }
}

impl Meddler for Killer {
    fn request(&self, request: &mut Request) -> Fate {
        self.strike(request, Moment::Before)
    }

    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        if request.target.ends_with("/complete") && answer.status < 300 {
            self.completed.fetch_add(1, Ordering::SeqCst);
            self.bell.ring();
        }
        if request.target.ends_with("/cancel") {
            self.cancelled.fetch_add(1, Ordering::SeqCst);
            self.bell.ring();
        }
        self.strike(request, Moment::After)
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for step in 0..parsec_protocol::limits::STEPS {
        for victim in [Victim::Claimer, Victim::Greeter, Victim::Server] {
            for moment in [Moment::Before, Moment::After] {
                cases.push(Case { victim, step, moment });
            }
        }
    }
    cases
}

#[test]
fn whoever_is_killed_at_whatever_message_nobody_is_half_enrolled() {
    let _machine = parsec_tests::alone::on_the_machine();
    let cases = Mutex::new(cases().into_iter().enumerate());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut fixture =
                    Fixture::found(FixtureOptions { server_options: NO_LIMITS, ..FixtureOptions::default() });
                loop {
                    let next = cases.lock().unwrap().next();
                    let Some((number, case)) = next else { break };
                    run(&mut fixture, number, case);
                }
            });
        }
    });
    println!(
        "figure C5: claimer, greeter or server killed before and after each of 9 messages, 54 times: 0 half enrolled"
    );
}

/// Keeps message 8 from the relay while armed, as a network does that is down.
struct Muffled {
    armed: AtomicBool,
    told: AtomicBool,
    bell: Arc<Bell>,
}

impl Meddler for Muffled {
    fn request(&self, request: &mut Request) -> Fate {
        if request.deposits() != Some(8) || !self.armed.load(Ordering::SeqCst) {
            return Fate::Pass;
        }
        if !self.told.swap(true, Ordering::SeqCst) {
            self.bell.interrupt();
        }
        Fate::Lose
    }
}

/// A daemon that is told to stop tells the relay of ceremonies that can't go on. One whose keys are
/// durable goes on.
#[test]
fn stopping_in_order_after_the_password_gives_nothing_up() {
    let fixture = Fixture::found(FixtureOptions { server_options: NO_LIMITS, ..FixtureOptions::default() });
    let mut bob = fixture.device("bob");
    let email = "bob@acme.example";
    let invitation = fixture.alice.invite(email).unwrap();
    let bell = Arc::new(Bell::default());
    let muffled = Arc::new(Muffled {
        armed: AtomicBool::new(true),
        told: AtomicBool::new(false),
        bell: Arc::clone(&bell),
    });
    fixture.proxy.meddle(Arc::clone(&muffled) as Arc<dyn Meddler>);
    let mut claimer = bob.claim(invitation.link.expose(), &bell).unwrap();
    let mut greeter = fixture.alice.greet(invitation.token, &bell).unwrap();
    let ended = script::play(&mut claimer, &mut greeter, BOB, Phone::default());
    assert!(matches!(ended, Err(Ended::Interrupted)), "{ended:?}");
    bell.resume();
    assert!(bob.process().stop().success());
    muffled.armed.store(false, Ordering::SeqCst);
    bob.restart();
    greeter.outcome().unwrap();
    drop((claimer, greeter));
    let case = Case { victim: Victim::Claimer, step: 8, moment: Moment::Before };
    assert!(consistent(case, &fixture, &bob, email), "void by an orderly stop");
}

fn run(fixture: &mut Fixture, number: usize, case: Case) {
    let email = format!("bob{number}@acme.example");
    let mut bob = fixture.device(&format!("b{number}"));
    let invitation = fixture.alice.invite(&email).unwrap();
    let bell = Arc::new(Bell::default());
    let process = match case.victim {
        Victim::Claimer => bob.process().id(),
        Victim::Greeter => fixture.alice.process().id(),
        Victim::Server => fixture.server.process().id(),
    };
    let killer = Arc::new(Killer {
        case,
        process,
        armed: AtomicBool::new(true),
        completed: AtomicU32::new(0),
        cancelled: AtomicU32::new(0),
        bell: Arc::clone(&bell),
    });
    let meddler: Arc<dyn Meddler> = Arc::clone(&killer) as _;
    fixture.proxy.meddle(meddler);

    let mut claimer =
        bob.claim(invitation.link.expose(), &bell).unwrap_or_else(|ended| panic!("{case:?}: {ended:?}"));
    let mut greeter =
        fixture.alice.greet(invitation.token, &bell).unwrap_or_else(|ended| panic!("{case:?}: {ended:?}"));
    let ended = script::play(&mut claimer, &mut greeter, BOB, Phone::default());
    assert!(matches!(ended, Err(Ended::Interrupted)), "{case:?} did not happen: {ended:?}");
    bell.resume();

    match case.victim {
        Victim::Server => {
            fixture.restart_server();
            let ends = script::play(&mut claimer, &mut greeter, BOB, Phone::default()).unwrap();
            assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{case:?}: {ends:?}");
        }
        Victim::Claimer => {
            bob.restart();
            after_claimer(case, &bob, &mut greeter, &killer);
        }
        Victim::Greeter => {
            fixture.alice.restart();
            fixture.alice.unlock(ALICE_PASSWORD).unwrap();
            after_greeter(case, &mut claimer, &killer);
        }
    }
    drop((claimer, greeter));
    let enrolled = consistent(case, fixture, &bob, &email);
    fixture.proxy.meddle(Arc::new(parsec_tests::proxy::Honest));
    next_command_works(case, fixture, &bob, &invitation, enrolled);
}

/// Bob's daemon is back. If it had made its keys durable it goes on by itself, else the attempt is
/// lost and Alice ends it.
fn after_claimer(case: Case, bob: &Device, greeter: &mut Side, killer: &Killer) {
    if bob.devices().is_empty() {
        let _ = greeter.cancel();
        assert!(greeter.outcome().is_err(), "{case:?}: enrolled a claimer without keys");
        killer.relay_knows();
    } else {
        let end = greeter.outcome();
        assert!(end.is_ok(), "{case:?}: Bob has his keys, but Alice: {end:?}");
    }
}

/// Alice's daemon is back. If it had sent message 7 the enrolment can be finished, else the attempt
/// is lost and Bob ends it.
fn after_greeter(case: Case, claimer: &mut Side, killer: &Killer) {
    let sent = case.step == 8 || (case.step == 7 && case.moment == Moment::After);
    if !sent {
        let _ = claimer.cancel();
        assert!(claimer.outcome().is_err(), "{case:?}: enrolled by a greeter that was gone");
        killer.relay_knows();
        return;
    }
    if case.step == 7 {
        claimer.stage(Stage::SetPassword).unwrap_or_else(|ended| panic!("{case:?}: {ended:?}"));
        claimer.finish(BOB_PASSWORD).unwrap_or_else(|ended| panic!("{case:?}: {ended:?}"));
    }
    claimer.outcome().unwrap_or_else(|ended| panic!("{case:?}: {ended:?}"));
    let done = || (killer.completed.load(Ordering::SeqCst) > 0).then_some(());
    killer.bell.until("Alice's daemon to register Bob", done).unwrap();
}

/// Whether Bob is enrolled, asked of both sides; they must agree.
fn consistent(case: Case, fixture: &Fixture, bob: &Device, email: &str) -> bool {
    fixture.alice.verify().unwrap();
    let users = fixture.alice.users().unwrap().users;
    let certified = users.iter().find(|user| user.email.to_string() == email);
    let device = bob.devices().into_iter().next();
    match (certified, device) {
        (None, None) => false,
        (Some(certified), Some(device)) => {
            bob.unlock(BOB_PASSWORD)
                .unwrap_or_else(|failed| panic!("{case:?}: Bob can't unlock: {failed:?}"));
            // Bob's daemon hears of it by itself, perhaps after Alice's.
            let _ = bob.until_device(|device| device.registration == Registration::Registered);
            // The server takes nothing that is not signed by the certified device key.
            bob.verify().unwrap_or_else(|failed| panic!("{case:?}: Bob's keys don't match: {failed:?}"));
            assert_eq!(certified.devices.first().map(|known| known.device), Some(device.device), "{case:?}");
            true
        }
        (None, Some(device)) if device.registration == Registration::Void => false,
        (certified, device) => panic!("{case:?}: half enrolled: log {certified:?}, device {device:?}"),
    }
}

fn next_command_works(
    case: Case,
    fixture: &Fixture,
    bob: &Device,
    invitation: &InviteResult,
    enrolled: bool,
) {
    if enrolled {
        let status = bob.devices();
        assert_eq!(
            status.first().map(|device| device.registration),
            Some(Registration::Registered),
            "{case:?}"
        );
        return;
    }
    let newcomer = Newcomer { name: Some("Bob Again"), ..BOB };
    let ends = fixture.enrol(bob, invitation, newcomer, parsec_protocol::control::ChoiceMode::Picked);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{case:?}, then again: {ends:?}");
}
