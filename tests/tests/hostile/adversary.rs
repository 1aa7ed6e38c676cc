//! The adversary of the lab between the shipped programs: two daemons and a server, and a relay
//! that belongs to somebody else.
//!
//! What it does to single messages stands in `meddling`; here it keeps a ceremony of its own with
//! each side, breaks attempts off, loses what it likes, and says things that are not so. Each time:
//! no certificate that shouldn't be there, the people are told, and an honest ceremony works
//! afterwards.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use parsec_protocol::control::{
    ChoiceMode, DeviceSelector, InviteListResult, InviteResult, ProblemKind, ProfileName, Registration,
    Stage, method,
};
use parsec_protocol::enrol::io::{Prologue, TransportKind};
use parsec_protocol::enrol::link::Link;
use parsec_protocol::ids::Invited;
use parsec_protocol::lab::Wire;
use parsec_tests::ceremony::{Bell, Side};
use parsec_tests::device::{Device, private_folder};
use parsec_tests::fixture::{ALICE_PASSWORD, BOB, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::metrics::{figure, full};
use parsec_tests::proxy::{Answer, Fate, Honest, Meddler, Request};
use parsec_tests::rpc::DEADLINE;
use parsec_tests::script;
use parsec_tests::server::{NO_LIMITS, Server};
use serde_json::Value;

/// A relay that answers each side out of a ceremony of its own.
struct Between {
    wire: Mutex<Wire>,
    /// What it said for each step: the same again to whoever asks again.
    said: Mutex<BTreeMap<u8, Vec<u8>>>,
}

impl Between {
    /// It has read the link, and knows what a server knows.
    fn start(fixture: &Fixture, invitation: &InviteResult, seed: u64) -> Arc<Self> {
        let link: Link = invitation.link.expose().parse().unwrap();
        let alice = &fixture.alice.devices()[0];
        let prologue = Prologue {
            organisation: link.organisation,
            token: link.token,
            invited: Invited::User(BOB_EMAIL.parse().unwrap()),
            greeter_user: alice.user,
            greeter_device: alice.device,
            transport: TransportKind::Relay,
        };
        let names = (BOB.name.unwrap().parse().unwrap(), BOB.label.parse().unwrap());
        let wire = Wire::between(prologue, *link.secret.expose(), names, seed).unwrap();
        let between = Arc::new(Self { wire: Mutex::new(wire), said: Mutex::default() });
        let meddler: Arc<dyn Meddler> = Arc::clone(&between) as _;
        fixture.proxy.meddle(meddler);
        between
    }

    fn wanted(&self) -> String {
        self.wire.lock().unwrap().wanted().unwrap().to_string()
    }

    fn wanted_by_claimer(&self) -> String {
        self.wire.lock().unwrap().wanted_by_claimer().unwrap().to_string()
    }
}

impl Meddler for Between {
    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        // What Alice deposits she has signed; what is handed out to the other side nobody has.
        let Some(step) = request.fetches().filter(|_| answer.status == 200) else { return Fate::Pass };
        let mut said = self.said.lock().unwrap();
        let own = said.entry(step).or_insert_with(|| {
            self.wire.lock().unwrap().swap(step, &answer.body).unwrap_or_else(|| answer.body.clone())
        });
        answer.body.clone_from(own);
        Fate::Pass
    }
}

/// Somebody who is in already lets somebody else in.
fn let_in(by: &Device, who: &Device, email: &str, profile: ProfileName) {
    let invitation = by.invite(email).unwrap();
    let bell = Arc::new(Bell::default());
    let mut claimer = who.claim(invitation.link.expose(), &bell).unwrap();
    let mut greeter = by.greet(invitation.token, &bell).unwrap();
    script::up_to_password(&mut claimer, &mut greeter, BOB, Some(profile));
    claimer.stage(Stage::SetPassword).unwrap();
    claimer.finish(BOB_PASSWORD).unwrap();
    claimer.outcome().unwrap();
    greeter.outcome().unwrap();
}

/// How each of two sides is told that it is over.
fn names(claimer: &Side, greeter: &Side) -> [ProblemKind; 2] {
    [claimer.outcome().unwrap_err().name(), greeter.outcome().unwrap_err().name()]
}

/// The relay is honest again, and the same people get through.
fn honest_again(fixture: &Fixture, bob: &Device, invitation: &InviteResult) {
    fixture.proxy.meddle(Arc::new(Honest));
    let ends = fixture.enrol(bob, invitation, BOB, ChoiceMode::Picked);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    assert_eq!(fixture.alice.verify().unwrap().count, 4);
}

fn mismatches(fixture: &Fixture) -> u32 {
    let list: InviteListResult = fixture.alice.call(method::INVITE_LIST, DeviceSelector::default()).unwrap();
    list.invitations[0].mismatches
}

/// M1, with the real programs: somebody who has read the link, and owns the relay.
#[test]
fn a_ceremony_of_its_own_with_each_side_certifies_nothing() {
    let fixture = Fixture::found(FixtureOptions { server_options: NO_LIMITS, ..FixtureOptions::default() });
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();

    // Alice listens: what Bob reads out is not what stands there.
    let _between = Between::start(&fixture, &invitation, 1);
    let (claimer, mut greeter) = fixture.both(&bob, &invitation);
    let said = claimer.code_to_say().unwrap();
    let offered = greeter.stage(Stage::ChooseCode).unwrap().choices;
    assert!(offered.iter().all(|choice| choice.code != said), "a chance of 1 in 350,000, or a defect");
    let _ = greeter.choose(None, ChoiceMode::Picked);
    assert_eq!(names(&claimer, &greeter), [ProblemKind::PeerMismatch, ProblemKind::CodeMismatch]);
    assert_eq!(mismatches(&fixture), 1);
    fixture.nothing_certified(&bob);

    // M12: the guess of Alice's code came true. Bob listens.
    let between = Between::start(&fixture, &invitation, 2);
    let (mut claimer, mut greeter) = fixture.both(&bob, &invitation);
    claimer.code_to_say().unwrap();
    greeter.stage(Stage::ChooseCode).unwrap();
    greeter.choose(Some(&between.wanted()), ChoiceMode::Typed).unwrap();
    let said = greeter.code_to_say().unwrap();
    let offered = claimer.stage(Stage::ChooseCode).unwrap().choices;
    assert!(offered.iter().all(|choice| choice.code != said), "a chance of 1 in 350,000, or a defect");
    let _ = claimer.choose(None, ChoiceMode::Picked);
    assert_eq!(names(&claimer, &greeter), [ProblemKind::CodeMismatch, ProblemKind::PeerMismatch]);
    assert_eq!(mismatches(&fixture), 2);
    fixture.nothing_certified(&bob);

    honest_again(&fixture, &bob, &invitation);
    figure(
        "M12",
        "between real programs: the greeter's check passed by luck, 0 certificates, both people told",
    );
}

/// The control: were both people fooled, the middle would be vouched for. So the test above can
/// fail.
#[test]
fn two_people_who_are_fooled_let_the_middle_in() {
    let fixture = Fixture::found(FixtureOptions { server_options: NO_LIMITS, ..FixtureOptions::default() });
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let between = Between::start(&fixture, &invitation, 3);
    let (mut claimer, mut greeter) = fixture.both(&bob, &invitation);
    claimer.code_to_say().unwrap();
    greeter.stage(Stage::ChooseCode).unwrap();
    greeter.choose(Some(&between.wanted()), ChoiceMode::Typed).unwrap();
    claimer.stage(Stage::ChooseCode).unwrap();
    claimer.choose(Some(&between.wanted_by_claimer()), ChoiceMode::Typed).unwrap();
    claimer.stage(Stage::Identify).unwrap();
    claimer.identify(BOB.name, BOB.label).unwrap();
    // Bob's claim went to the middle; what Alice sees is the middle's.
    let shown = greeter.stage(Stage::Approve).unwrap();
    assert_eq!(shown.claimer.unwrap().name.unwrap().as_str(), BOB.name.unwrap());
    greeter.approve(Some(ProfileName::Standard)).unwrap();
    assert_eq!(between.wire.lock().unwrap().keys().len(), 1);
    // What was signed is not for Bob: his device takes nothing of it.
    claimer.outcome().unwrap_err();
    assert!(bob.devices().is_empty());
}

/// Says for a server that the attempt is over, from some step on.
struct Breaker {
    step: u8,
    begun: AtomicU32,
}

impl Meddler for Breaker {
    fn request(&self, request: &mut Request) -> Fate {
        if request.method == "POST" && request.target.ends_with("/invited/attempts") {
            self.begun.fetch_add(1, Ordering::SeqCst);
        }
        Fate::Pass
    }

    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        if request.fetches().is_some_and(|step| step >= self.step) && answer.status == 200 {
            // [attempt_ended, time, no use in waiting]: docs/protocol.md, *Errors*.
            answer.status = 410;
            answer.body = minicbor::to_vec((20u8, 0u64, 0u64)).unwrap();
        }
        Fate::Pass
    }
}

/// M9, with the real programs: every attempt is begun by a person, and every end is seen by both.
#[test]
fn attempts_that_are_broken_off_begin_anew_by_hand_alone() {
    let fixture = Fixture::found(FixtureOptions { server_options: NO_LIMITS, ..FixtureOptions::default() });
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let steps: &[u8] = if full() { &[2, 3, 4, 5, 6, 7] } else { &[3, 5] };
    let mut rounds = 0;
    for step in steps {
        let breaker = Arc::new(Breaker { step: *step, begun: AtomicU32::new(0) });
        let meddler: Arc<dyn Meddler> = Arc::clone(&breaker) as _;
        fixture.proxy.meddle(meddler);
        let ends = fixture.enrol(&bob, &invitation, BOB, ChoiceMode::Picked);
        assert!(ends.claimer.is_err() && ends.greeter.is_err(), "{step}: {ends:?}");
        assert_eq!(breaker.begun.load(Ordering::SeqCst), 1, "{step}: begun without a person");
        fixture.nothing_certified(&bob);
        rounds += 1;
    }
    honest_again(&fixture, &bob, &invitation);
    figure(
        "M9",
        &format!(
            "between real programs: {rounds} attempts broken off, 0 silent restarts, both people told each time"
        ),
    );
}

/// Holds one step back until it is let go.
struct Held {
    step: u8,
    let_go: Mutex<bool>,
    changed: Condvar,
}

impl Meddler for Held {
    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        if request.fetches() == Some(self.step) && answer.status == 200 {
            let held = self.let_go.lock().unwrap();
            // With an end, so that a test which fails ends too.
            drop(self.changed.wait_timeout_while(held, DEADLINE, |let_go| !*let_go).unwrap());
        }
        Fate::Pass
    }

    /// The states are told all the while, that step is not.
    fn told(&self, fetch: &Request, _: &mut Answer) -> Fate {
        if fetch.fetches() == Some(self.step) { Fate::Lose } else { Fate::Pass }
    }
}

/// M10, with the real programs: while "recognised" is held back, the newcomer is asked nothing,
/// whatever the server's events say; what comes in time is taken.
#[test]
fn what_is_late_is_awaited_and_nothing_happens_without_it() {
    let fixture = Fixture::found(FixtureOptions { server_options: NO_LIMITS, ..FixtureOptions::default() });
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let held = Arc::new(Held { step: 5, let_go: Mutex::new(false), changed: Condvar::new() });
    let meddler: Arc<dyn Meddler> = Arc::clone(&held) as _;
    fixture.proxy.meddle(meddler);
    let (mut claimer, mut greeter) = fixture.both(&bob, &invitation);
    let said = claimer.code_to_say().unwrap();
    greeter.stage(Stage::ChooseCode).unwrap();
    greeter.choose(Some(&said), ChoiceMode::Picked).unwrap();
    let said = greeter.code_to_say().unwrap();
    // Alice's part is done and her code is on the screen; Bob, who hears it, can't answer yet.
    assert_eq!(claimer.choose(Some(&said), ChoiceMode::Typed).unwrap_err().name(), ProblemKind::NotNow);
    assert_eq!(claimer.view().unwrap().stage, Stage::SayCode);
    *held.let_go.lock().unwrap() = true;
    held.changed.notify_all();
    claimer.stage(Stage::ChooseCode).unwrap();
    claimer.choose(Some(&said), ChoiceMode::Picked).unwrap();
    claimer.stage(Stage::Identify).unwrap();
    fixture.nothing_certified(&bob);
}

/// Loses a step for ever, whoever asks for it.
struct Hole(u8);

impl Meddler for Hole {
    fn request(&self, request: &mut Request) -> Fate {
        if request.fetches() == Some(self.0) { Fate::Lose } else { Fate::Pass }
    }
}

/// A message that never comes certifies nothing, and who stops is believed.
#[test]
fn what_is_lost_is_waited_for_until_a_person_stops() {
    let fixture = Fixture::found(FixtureOptions { server_options: NO_LIMITS, ..FixtureOptions::default() });
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let steps: &[u8] = if full() { &[0, 1, 2, 3, 4, 5] } else { &[1, 4] };
    for step in steps {
        fixture.proxy.meddle(Arc::new(Hole(*step)));
        let (mut claimer, greeter) = fixture.both(&bob, &invitation);
        // As far as it gets: the last thing that either screen can come to.
        match step {
            0..=3 => drop(greeter.until("the claimer to be there", |view| view.attempt.is_some()).unwrap()),
            _ => drop(claimer.code_to_say().unwrap()),
        }
        claimer.cancel().unwrap();
        // Who owns the transport can keep that from Alice for until her deadline passes; she hears
        // it when it is through.
        fixture.proxy.meddle(Arc::new(Honest));
        assert_eq!(greeter.outcome().unwrap_err().name(), ProblemKind::PeerCancelled, "{step}");
        fixture.nothing_certified(&bob);
    }
    honest_again(&fixture, &bob, &invitation);
}

/// Says "registered" to the greeter, and registers nothing.
#[derive(Default)]
struct FalseWord(AtomicU32);

impl Meddler for FalseWord {
    fn request(&self, request: &mut Request) -> Fate {
        if request.method == "POST" && request.target.ends_with("/complete") {
            // The server never hears of it: it gets a call that it doesn't have.
            self.0.fetch_add(1, Ordering::SeqCst);
            request.target.push_str("/nothing");
        }
        Fate::Pass
    }

    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        if request.target.ends_with("/complete/nothing") {
            // [position].
            answer.status = 200;
            answer.body = vec![0x81, 0x02];
        }
        Fate::Pass
    }
}

/// M11, with the real programs: a server's word that somebody is registered makes no member of
/// anybody.
#[test]
fn a_server_that_says_registered_makes_no_member() {
    let mut fixture =
        Fixture::found(FixtureOptions { server_options: NO_LIMITS, ..FixtureOptions::default() });
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let liar = Arc::new(FalseWord::default());
    let meddler: Arc<dyn Meddler> = Arc::clone(&liar) as _;
    fixture.proxy.meddle(meddler);
    let (mut claimer, greeter) = fixture.up_to_password(&bob, &invitation, ProfileName::Standard);
    claimer.finish(BOB.password).unwrap();
    // Alice looks into the log, and finds that it is not so.
    assert_eq!(greeter.outcome().unwrap_err().name(), ProblemKind::ServerMisbehaved);
    assert_eq!(liar.0.load(Ordering::SeqCst), 1);
    assert_eq!(fixture.alice.verify().unwrap().count, 2);
    assert_eq!(bob.devices()[0].registration, Registration::Pending);
    // What was signed is still in her outbox: with an honest server it gets where it belongs, by
    // itself.
    fixture.proxy.meddle(Arc::new(Honest));
    fixture.alice.restart();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let _registered = bob.until_device(|device| device.registration == Registration::Registered);
    assert_eq!(fixture.alice.verify().unwrap().count, 4);
    figure(
        "M11",
        "between real programs: \"registered\" said of nothing: 0 members, the greeter told, registered later in truth",
    );
}

/// Writes down the whole log as the server shows it, and can show it again to a newcomer on another
/// one.
#[derive(Default)]
struct Shown {
    page: Mutex<Vec<u8>>,
    showing: AtomicBool,
}

impl Meddler for Shown {
    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        if request.method != "GET" || answer.status != 200 || !request.target.contains("/log?from=0") {
            return Fate::Pass;
        }
        let mut page = self.page.lock().unwrap();
        if !self.showing.load(Ordering::SeqCst) {
            page.clone_from(&answer.body);
        } else if request.target.contains("/invited/") {
            answer.body.clone_from(&page);
        }
        Fate::Pass
    }
}

/// S4, with the real programs: a server whose past has split, and members on either side of the
/// split.
#[test]
fn a_server_with_two_pasts_is_found_out_by_whoever_meets_the_other_one() {
    let mut fixture =
        Fixture::found(FixtureOptions { server_options: NO_LIMITS, ..FixtureOptions::default() });
    let (bob, carol, dave) = (fixture.device("bob"), fixture.device("carol"), fixture.device("dave"));
    let_in(&fixture.alice, &bob, BOB_EMAIL, ProfileName::Administrator);
    bob.call::<Value>(method::DEVICE_LOCK, DeviceSelector::default()).unwrap();

    // The split: the same server twice.
    fixture.server.kill();
    private_folder(&fixture.path("other"));
    for entry in std::fs::read_dir(fixture.server.folder()).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), fixture.path("other").join(entry.file_name())).unwrap();
        }
    }
    fixture.restart_server();
    let other = Server::start(&fixture.path("other"), NO_LIMITS);

    // Alice's side of it.
    let shown = Arc::new(Shown::default());
    let meddler: Arc<dyn Meddler> = Arc::clone(&shown) as _;
    fixture.proxy.meddle(meddler);
    let_in(&fixture.alice, &carol, "carol@acme.example", ProfileName::Standard);
    assert_eq!(fixture.alice.verify().unwrap().count, 6);
    fixture.alice.call::<Value>(method::DEVICE_LOCK, DeviceSelector::default()).unwrap();
    carol.call::<Value>(method::DEVICE_LOCK, DeviceSelector::default()).unwrap();

    // Bob's.
    fixture.proxy.meddle(Arc::new(Honest));
    fixture.proxy.set_upstream(other.address());
    fixture.proxy.cut();
    bob.unlock(BOB_PASSWORD).unwrap();
    let_in(&bob, &dave, "dave@acme.example", ProfileName::Standard);
    assert_eq!(bob.verify().unwrap().count, 6);

    // Message 7 has Bob's head in it; the newcomer is shown Alice's past, as long as his.
    shown.showing.store(true, Ordering::SeqCst);
    let meddler: Arc<dyn Meddler> = Arc::clone(&shown) as _;
    fixture.proxy.meddle(meddler);
    let erin = fixture.device("erin");
    let invitation = bob.invite("erin@acme.example").unwrap();
    let bell = Arc::new(Bell::default());
    let mut claimer = erin.claim(invitation.link.expose(), &bell).unwrap();
    let mut greeter = bob.greet(invitation.token, &bell).unwrap();
    script::up_to_password(&mut claimer, &mut greeter, BOB, Some(ProfileName::Standard));
    assert_eq!(claimer.outcome().unwrap_err().name(), ProblemKind::ChainInvalid);
    assert!(erin.devices().is_empty());

    // Whoever is led over to the other side, of the same length, sees another log than they have
    // kept.
    fixture.proxy.meddle(Arc::new(Honest));
    fixture.alice.unlock(ALICE_PASSWORD).map_or_else(drop, drop);
    assert_eq!(fixture.alice.verify().unwrap_err().name(), Some(ProblemKind::RolledBack));
    fixture.proxy.set_upstream(fixture.server.address());
    fixture.proxy.cut();
    assert_eq!(bob.verify().unwrap_err().name(), Some(ProblemKind::RolledBack));
    // Dave is known on Bob's side alone, and his own log says that he is.
    assert_eq!(dave.verify().unwrap_err().name(), Some(ProblemKind::RolledBack));
    // The side that was there before goes on.
    assert_eq!(fixture.alice.verify().unwrap().count, 6);
    figure(
        "S4",
        "between real programs: a server with two pasts, found by a newcomer in message 7 and by 2 members at their kept heads",
    );
}
