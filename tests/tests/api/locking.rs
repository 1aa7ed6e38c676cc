//! Locking and stopping while a server keeps everybody waiting: they cut every wait, and what is
//! told is so.

use std::io::Read as _;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};

use parsec_protocol::control::{
    CeremonyView, ChoiceMode, DeviceSelector, DeviceState, DeviceView, InviteListResult, ProblemKind, Stage,
    method,
};
use parsec_tests::ceremony::{Bell, Side};
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_PASSWORD, BOB, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::logs::{Planted, files};
use parsec_tests::proxy::{Fate, Honest, Meddler, Request};
use parsec_tests::{memory, script};
use serde_json::json;

/// Keeps requests waiting until it is told to go on; says that one came.
struct Stall {
    /// Part of what is kept; nothing but what comes while `on`.
    what: &'static str,
    arrived: Mutex<Sender<()>>,
    on: Mutex<bool>,
    over: Condvar,
}

/// A stall in a fixture's proxy. Over when it is dropped, so that a test that fails ends.
struct Stalled(Arc<Stall>);

impl Stalled {
    fn begin(fixture: &Fixture, what: &'static str) -> (Self, Receiver<()>) {
        let (stall, arrived) = Stall::new(what);
        fixture.proxy.meddle(Arc::clone(&stall) as Arc<dyn Meddler>);
        (Self(stall), arrived)
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Stall {
    fn new(what: &'static str) -> (Arc<Self>, Receiver<()>) {
        let (tell, arrived) = channel();
        let stall = Self { what, arrived: Mutex::new(tell), on: Mutex::new(true), over: Condvar::new() };
        (Arc::new(stall), arrived)
    }

    fn end(&self) {
        *self.on.lock().unwrap() = false;
        self.over.notify_all();
    }
}

impl Meddler for Stall {
    fn request(&self, request: &mut Request) -> Fate {
        if request.target.contains(self.what) {
            let _ = self.arrived.lock().unwrap().send(());
            let mut on = self.on.lock().unwrap();
            while *on {
                on = self.over.wait(on).unwrap();
            }
        }
        Fate::Pass
    }
}

/// Both sides up to the greeter's last question.
fn up_to_approval(fixture: &Fixture, bob: &Device) -> (Side, Side) {
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let (mut claimer, mut greeter) = fixture.both(bob, &invitation);
    script::up_to_approval(&mut claimer, &mut greeter, BOB);
    (claimer, greeter)
}

/// Vouches on a connection of its own; the name of what came of it.
fn approve(device: &Device, greeter: &Side) -> std::thread::JoinHandle<Option<ProblemKind>> {
    let mut client = device.client().unwrap();
    let asked = json!({"ceremony": greeter.id(), "claimer_confirmed": true, "profile": "standard"});
    std::thread::spawn(move || {
        client.call::<CeremonyView>(method::CEREMONY_APPROVE, asked).err().and_then(|failed| failed.name())
    })
}

/// Some of a device's keys, out of its key file.
fn keys_of(device: &Device, password: &str) -> Vec<Planted> {
    let file = files(&device.data()).into_iter().find(|(path, _)| path.ends_with("key.age")).unwrap();
    let identity = age::scrypt::Identity::new(age::secrecy::SecretString::from(password.to_owned()));
    let decryptor = age::Decryptor::new_buffered(file.1.as_slice()).unwrap();
    let mut record = Vec::new();
    decryptor
        .decrypt(std::iter::once(&identity as &dyn age::Identity))
        .unwrap()
        .read_to_end(&mut record)
        .unwrap();
    let mut decoder = minicbor::Decoder::new(&record);
    decoder.array().unwrap();
    for _ in 0..13 {
        decoder.skip().unwrap();
    }
    ["user's seed", "device's seed", "signing key"]
        .into_iter()
        .flat_map(|name| Planted::bytes(name, decoder.bytes().unwrap()))
        .collect()
}

#[test]
fn a_vouching_can_be_stopped_while_the_server_says_nothing() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = fixture.device("bob");
    let (_claimer, mut greeter) = up_to_approval(&fixture, &bob);
    let (stall, arrived) = Stalled::begin(&fixture, "/log");
    let approving = approve(&fixture.alice, &greeter);
    arrived.recv().unwrap();
    let view = greeter.cancel().unwrap();
    assert_eq!(view.stage, Stage::Closed);
    // Not that the server could not be reached: nobody waited for that.
    assert_eq!(approving.join().unwrap(), Some(ProblemKind::Cancelled));
    drop(stall);
    fixture.nothing_certified(&bob);
}

#[test]
fn stopping_after_the_signature_waits_for_no_silent_server() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = fixture.device("bob");
    let (_claimer, mut greeter) = up_to_approval(&fixture, &bob);
    assert_eq!(approve(&fixture.alice, &greeter).join().unwrap(), None);
    // Message 7 is out, and what was signed waits for its receipt.
    let _ = fixture.alice.until_device(|device| device.outbox == Some(1));
    let (stall, _arrived) = Stalled::begin(&fixture, "/");
    // Only the server can say whether it is still time; that it says nothing is said.
    let refused = greeter.cancel().unwrap_err();
    assert_eq!(refused.name(), ProblemKind::ServerUnreachable);
    drop(stall);
    fixture.proxy.meddle(Arc::new(Honest));
    greeter.cancel().unwrap();
    fixture.nothing_certified(&bob);
}

#[test]
fn a_device_is_told_to_be_locked_once_its_keys_are_gone() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let bob = fixture.device("bob");
    let keys = keys_of(&fixture.alice, ALICE_PASSWORD);
    let alice = fixture.alice.process().id();
    let (found, _) = memory::search(alice, &keys);
    assert!(!found.is_empty(), "the scanner does not find the keys of an unlocked device");
    let (_claimer, greeter) = up_to_approval(&fixture, &bob);
    // From here on the server says nothing at all.
    let (stall, arrived) = Stalled::begin(&fixture, "/");
    let approving = approve(&fixture.alice, &greeter);
    arrived.recv().unwrap();
    let mut client = fixture.alice.client().unwrap();
    let locking = std::thread::spawn(move || {
        client.call::<DeviceView>(method::DEVICE_LOCK, DeviceSelector::default()).unwrap().state
    });
    assert_eq!(approving.join().unwrap(), Some(ProblemKind::DeviceLocked));
    // Whatever is told, at whichever moment, is so.
    let told = fixture.alice.devices()[0].state;
    let (found, _) = memory::search(alice, &keys);
    assert!(told == DeviceState::Unlocked || found.is_empty(), "locked, it says, and holds {found:?}");
    // The relay is still being told; whoever unlocks meanwhile hears that, or comes too late for
    // it.
    if let Err(failed) = fixture.alice.unlock("not this one") {
        let name = failed.name().unwrap();
        assert!(matches!(name, ProblemKind::DeviceBusy | ProblemKind::WrongPassword), "{name:?}");
    }
    let _ = fixture.alice.until_device(|device| device.state == DeviceState::Locked);
    let (found, _) = memory::search(alice, &keys);
    assert!(found.is_empty(), "locked, it says, and holds {found:?}");
    assert_eq!(locking.join().unwrap(), DeviceState::Locked);
    drop(stall);
    fixture.proxy.meddle(Arc::new(Honest));
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
}

#[test]
fn the_link_of_a_used_invitation_is_gone() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let can_greet = || {
        let list: InviteListResult =
            fixture.alice.call(method::INVITE_LIST, DeviceSelector::default()).unwrap();
        list.invitations.iter().map(|it| it.can_greet).collect::<Vec<_>>()
    };
    assert_eq!(can_greet(), [true]);
    let ends = fixture.enrol(&bob, &invitation, BOB, ChoiceMode::Picked);
    assert!(ends.greeter.is_ok(), "{ends:?}");
    assert_eq!(can_greet(), [false]);
    let again = fixture.alice.greet(invitation.token, &Arc::new(Bell::default())).unwrap();
    assert_eq!(again.outcome().unwrap_err().name(), ProblemKind::InvitationUnknown);
}
