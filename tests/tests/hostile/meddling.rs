//! A relay that lies: cut, lengthened, changed, replayed and swapped messages, and a server that
//! goes away at each of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use parsec_protocol::control::{ChoiceMode, ProblemKind, TransportChoice};
use parsec_protocol::limits::{STEP_MAX_BYTES, STEPS};
use parsec_tests::ceremony::Bell;
use parsec_tests::fixture::{BOB, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::proxy::{Answer, Fate, Honest, Meddler, Request};
use parsec_tests::script::{self, Phone};
use parsec_tests::server::NO_LIMITS;

/// What is done to one message on its way from the relay to its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    Cut,
    Empty,
    Longer,
    OneBit,
    TooLong,
    /// The same reader's previous message again.
    Replayed,
    /// A message of the same step from an earlier ceremony.
    Foreign,
}

struct Liar {
    lie: Lie,
    step: u8,
    lied: AtomicBool,
    /// Honest messages of this ceremony by step, and those of an earlier one.
    seen: Mutex<HashMap<u8, Vec<u8>>>,
    earlier: HashMap<u8, Vec<u8>>,
}

impl Meddler for Liar {
    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        let Some(step) = request.fetches().filter(|_| answer.status == 200) else { return Fate::Pass };
        self.seen.lock().unwrap().insert(step, answer.body.clone());
        if step != self.step {
            return Fate::Pass;
        }
        self.lied.store(true, Ordering::SeqCst);
        let body = &mut answer.body;
        match self.lie {
            Lie::Cut => drop(body.pop()),
            Lie::Empty => body.clear(),
            Lie::Longer => body.push(0),
            Lie::OneBit => body[0] ^= 1,
            Lie::TooLong => body.resize(STEP_MAX_BYTES + 1, 0),
            Lie::Replayed => *body = self.seen.lock().unwrap()[&(step - 2)].clone(),
            Lie::Foreign => *body = self.earlier[&step].clone(),
        }
        Fate::Pass
    }
}

/// Writes all messages down.
#[derive(Default)]
struct Recorder(Mutex<HashMap<u8, Vec<u8>>>);

impl Meddler for Recorder {
    fn request(&self, request: &mut Request) -> Fate {
        if let Some(step) = request.deposits() {
            self.0.lock().unwrap().insert(step, request.body.clone());
        }
        Fate::Pass
    }
}

#[test]
fn a_changed_message_ends_the_ceremony_and_certifies_nothing() {
    let fixture = Fixture::found(FixtureOptions { server_options: NO_LIMITS, ..FixtureOptions::default() });
    let recorder = Arc::new(Recorder::default());
    let meddler: Arc<dyn Meddler> = Arc::clone(&recorder) as _;
    fixture.proxy.meddle(meddler);
    let first = fixture.device("first");
    let invitation = fixture.alice.invite("first@acme.example").unwrap();
    let ends = fixture.enrol(&first, &invitation, BOB, ChoiceMode::Picked);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let earlier = recorder.0.lock().unwrap().clone();
    let before = fixture.alice.verify().unwrap().count;

    let bob = fixture.device("bob");
    let mut number = 0;
    for lie in [Lie::Cut, Lie::Empty, Lie::Longer, Lie::OneBit, Lie::TooLong, Lie::Replayed, Lie::Foreign] {
        // Message 8 comes after Bob's keys are durable: below. Replayed needs one that came before.
        let from = if lie == Lie::Replayed { 2 } else { 0 };
        for step in from..STEPS - 1 {
            number += 1;
            let liar = Arc::new(Liar {
                lie,
                step,
                lied: AtomicBool::new(false),
                seen: Mutex::default(),
                earlier: earlier.clone(),
            });
            let meddler: Arc<dyn Meddler> = Arc::clone(&liar) as _;
            fixture.proxy.meddle(meddler);
            let invitation = fixture.alice.invite(&format!("bob{number}@acme.example")).unwrap();
            let ends = fixture.enrol(&bob, &invitation, BOB, ChoiceMode::Picked);
            assert!(liar.lied.load(Ordering::SeqCst), "{lie:?} {step} did not happen");
            let names = [ends.claimer.unwrap_err().name(), ends.greeter.unwrap_err().name()];
            let known = [
                ProblemKind::BadMessage,
                ProblemKind::WrongLink,
                ProblemKind::CodeMismatch,
                ProblemKind::PeerMismatch,
                ProblemKind::PeerCancelled,
                ProblemKind::ServerMisbehaved,
            ];
            assert!(names.iter().all(|name| known.contains(name)), "{lie:?} {step}: {names:?}");
            assert!(bob.devices().is_empty(), "{lie:?} {step}");
        }
    }
    fixture.proxy.meddle(Arc::new(Honest));
    assert_eq!(fixture.alice.verify().unwrap().count, before);
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let ends = fixture.enrol(&bob, &invitation, BOB, ChoiceMode::Picked);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
}

/// Loses every request from a message on, for a number of requests.
struct Away {
    step: u8,
    gone: AtomicBool,
    lost: Mutex<u32>,
}

impl Meddler for Away {
    fn request(&self, request: &mut Request) -> Fate {
        if request.deposits() == Some(self.step) {
            self.gone.store(true, Ordering::SeqCst);
        }
        let mut lost = self.lost.lock().unwrap();
        if self.gone.load(Ordering::SeqCst) && *lost < 3 {
            *lost += 1;
            return Fate::Lose;
        }
        Fate::Pass
    }
}

#[test]
fn a_server_that_is_away_for_a_while_costs_only_time() {
    let fixture = Fixture::found(FixtureOptions { server_options: NO_LIMITS, ..FixtureOptions::default() });
    for step in 0..STEPS {
        let away = Arc::new(Away { step, gone: AtomicBool::new(false), lost: Mutex::new(0) });
        let meddler: Arc<dyn Meddler> = Arc::clone(&away) as _;
        fixture.proxy.meddle(meddler);
        let bob = fixture.device(&format!("b{step}"));
        let invitation = fixture.alice.invite(&format!("bob{step}@acme.example")).unwrap();
        let bell = Arc::new(Bell::default());
        let mut claimer = bob.claim(invitation.link.expose(), &bell).unwrap();
        let mut greeter = fixture.alice.greet(invitation.token, &bell).unwrap();
        let ends = script::enrol(&mut claimer, &mut greeter, BOB, Phone::default());
        assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{step}: {ends:?}");
        assert_eq!(*away.lost.lock().unwrap(), 3, "{step}");
    }
    assert_eq!(fixture.alice.verify().unwrap().users, 1 + u64::from(STEPS));
}

/// Nobody home.
struct Down;

impl Meddler for Down {
    fn request(&self, _: &mut Request) -> Fate {
        Fate::Lose
    }
}

#[test]
fn with_the_server_down_every_command_says_so_and_works_later() {
    let fixture = Fixture::found(FixtureOptions { server_options: NO_LIMITS, ..FixtureOptions::default() });
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    fixture.proxy.meddle(Arc::new(Down));
    let refused = fixture.alice.invite_by("carol@acme.example", TransportChoice::Server).unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::ServerUnreachable));
    assert_eq!(fixture.alice.verify().unwrap_err().name(), Some(ProblemKind::ServerUnreachable));
    let claim = ["claim", "--json", "--transport", "server", "--link-file", "-"];
    let said = bob.ctl_input(&claim, invitation.link.expose());
    assert_eq!(said.code, 69, "{said:?}");
    assert!(said.stdout.contains("server_unreachable"), "{said:?}");
    fixture.proxy.meddle(Arc::new(Honest));
    let ends = fixture.enrol(&bob, &invitation, BOB, ChoiceMode::Picked);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
}
