//! Kill -9 of the daemon that changes its user's key, before and after each call by which it does:
//! the next one finishes the change that was begun, with the same bytes, and there is one change in
//! the log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use parsec_protocol::control::{DeviceSelector, EntryKind, TrustLog, TrustLogResult, method};
use parsec_tests::ceremony::Bell;
use parsec_tests::fixture::{ALICE_AGAIN, ALICE_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::process::kill_by_id;
use parsec_tests::proxy::{Answer, Fate, Meddler, Request};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The server has nothing of it.
    Before,
    /// The server has it; nobody here knows.
    After,
}

/// Kills once, when the call comes by; keeps what the changes were, and notes a manifest that
/// follows one.
struct Killer {
    call: (&'static str, &'static str),
    moment: Moment,
    process: u32,
    armed: AtomicBool,
    struck: AtomicBool,
    changes: Mutex<Vec<Vec<u8>>>,
    manifest: AtomicBool,
    bell: Bell,
}

impl Killer {
    fn strike(&self, request: &Request, moment: Moment) -> Fate {
        let (method, end) = self.call;
        // A manifest from before the change, the first of all, may still be on its way.
        let begun = !self.changes.lock().unwrap().is_empty();
        let here =
            begun && request.method == method && request.target.ends_with(end) && moment == self.moment;
        if !here || !self.armed.swap(false, Ordering::SeqCst) {
            return Fate::Pass;
        }
        kill_by_id(self.process);
        self.struck.store(true, Ordering::SeqCst);
        self.bell.ring();
        Fate::Lose
    }

    fn until(&self, what: &str, flag: &AtomicBool) {
        self.bell.until(what, || flag.load(Ordering::SeqCst).then_some(())).unwrap();
    }
}

impl Meddler for Killer {
    fn request(&self, request: &mut Request) -> Fate {
        if request.method == "POST" && request.target.ends_with("/user-key") {
            self.changes.lock().unwrap().push(request.body.clone());
        }
        self.strike(request, Moment::Before)
    }

    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        let fate = self.strike(request, Moment::After);
        if request.method == "PUT" && request.target.ends_with("/manifest") && answer.status == 204 {
            self.manifest.store(true, Ordering::SeqCst);
            self.bell.ring();
        }
        fate
    }
}

#[test]
fn a_change_that_was_begun_is_finished_after_a_kill_at_any_moment() {
    for call in [("POST", "/user-key"), ("PUT", "/manifest")] {
        for moment in [Moment::Before, Moment::After] {
            one(call, moment);
        }
    }
}

fn one(call: (&'static str, &'static str), moment: Moment) {
    let mut fixture = Fixture::found(FixtureOptions::default());
    // The first manifest is not the one that is looked for.
    assert_eq!(fixture.alice.verify().unwrap().count, 2);
    let killer = Arc::new(Killer {
        call,
        moment,
        process: fixture.alice.process().id(),
        armed: AtomicBool::new(true),
        struck: AtomicBool::new(false),
        changes: Mutex::default(),
        manifest: AtomicBool::new(false),
        bell: Bell::default(),
    });
    fixture.proxy.meddle(Arc::clone(&killer) as Arc<dyn Meddler>);
    // Its answer is lost in two of the cases.
    let _ = fixture.alice.ctl(&["user", "rekey", "--yes"]);
    killer.until("the kill", &killer.struck);
    killer.manifest.store(false, Ordering::SeqCst);
    fixture.alice.restart();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let asked = || TrustLog { select: DeviceSelector::default(), from: 0 };
    if call.0 == "POST" || moment == Moment::Before {
        killer.until("a manifest under the new key", &killer.manifest);
    }
    let log: TrustLogResult = fixture.alice.call(method::TRUST_LOG, asked()).unwrap();
    let changed = log.entries.iter().filter(|entry| entry.kind == EntryKind::UserKey).count();
    assert_eq!(changed, 1, "{call:?} {moment:?}");
    let changes = killer.changes.lock().unwrap().clone();
    assert!(changes.iter().all(|body| *body == changes[0]), "other bytes went out: {call:?} {moment:?}");
    if (call.0, moment) == ("POST", Moment::Before) {
        assert_eq!(changes.len(), 2, "the same bytes, once more");
    }
    assert!(fixture.alice.status().alarms.is_empty(), "{call:?} {moment:?}");
    let tablet = fixture.device("tablet");
    let invitation = fixture.alice.invite_device().unwrap();
    let ends = fixture.enrol(&tablet, &invitation, ALICE_AGAIN, parsec_protocol::control::ChoiceMode::Picked);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
}
