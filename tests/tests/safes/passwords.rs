//! Passwords, as docs/recovery.md tells it: one is changed, one is forgotten by somebody who has
//! another device, one by somebody who has a kit. The machine is the same, its old device stays
//! closed, and is put out.

use parsec_protocol::control::{
    DeviceForget, DevicePassword, DeviceRevoke, DeviceSelector, DeviceState, DeviceUnlock, DeviceView, Empty,
    Member, ProblemKind, RecoveryCreate, RecoveryCreated, RecoveryUse, RecoveryUsed, Registration, SafeRole,
    SafeStanding, SecretText, method,
};
use parsec_protocol::ids::{DeviceId, SafeId};
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_AGAIN, ALICE_EMAIL, ALICE_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::rpc::Failed;
use parsec_tests::safes::{Safe, create, is_well};
use parsec_tests::script::Newcomer;

use super::{PLANS, enrol_bob, enrol_into, enrol_own};

/// What Alice takes for the password that she has forgotten.
const NEW_PASSWORD: &str = "alice walks nine cats";
const ANEW: Newcomer<'static> = Newcomer { name: None, label: "The desktop, anew", password: NEW_PASSWORD };

fn secret(text: &str) -> SecretText {
    SecretText::new(text.to_owned().into())
}

fn lock(at: &Device, device: DeviceId) {
    let select = DeviceSelector { device: Some(device.to_string()), organisation: None };
    let _: DeviceView = at.call(method::DEVICE_LOCK, select).unwrap();
}

fn unlock(at: &Device, device: DeviceId, password: &str) -> Result<DeviceView, Failed> {
    let select = DeviceSelector { device: Some(device.to_string()), organisation: None };
    at.call(method::DEVICE_UNLOCK, DeviceUnlock { select, password: secret(password) })
}

fn forget(at: &Device, device: DeviceId) {
    let _: Empty = at.call(method::DEVICE_FORGET, DeviceForget { device, force: false }).unwrap();
}

fn revoke(by: &Device, device: DeviceId) {
    let asked = DeviceRevoke { select: DeviceSelector::default(), device };
    let _: Member = by.call(method::DEVICE_REVOKE, asked).unwrap();
}

fn name<T: std::fmt::Debug>(done: Result<T, Failed>) -> Option<ProblemKind> {
    done.unwrap_err().name()
}

/// Alice is in a safe of Bob's, and has one of her own; her password is gone.
struct Forgotten {
    fixture: Fixture,
    bob: Device,
    own: SafeId,
    bobs: SafeId,
    old: DeviceId,
}

impl Forgotten {
    fn founded() -> Self {
        let fixture = Fixture::found(FixtureOptions::default());
        let bob = enrol_bob(&fixture);
        let (own, bobs) = (create(&fixture.alice, PLANS).safe, create(&bob, "Of Bob").safe);
        Safe { device: &fixture.alice, name: PLANS }.put_shared("/before", b"before");
        Safe { device: &bob, name: "Of Bob" }.share(ALICE_EMAIL, SafeRole::Contributor).unwrap();
        let _ = fixture.alice.until_safe(|safe| safe.safe == bobs && safe.standing == SafeStanding::Offered);
        Safe { device: &fixture.alice, name: &bobs.to_string() }.accept().unwrap();
        Safe { device: &fixture.alice, name: &bobs.to_string() }.sync();
        let old = fixture.alice.devices().remove(0).device;
        Self { fixture, bob, own, bobs, old }
    }

    /// The machine has all that Alice had, and whoever finds the old device's folder reads nothing
    /// of what comes.
    fn is_back(&self, new: DeviceId) {
        let alice = &self.fixture.alice;
        assert_ne!(new, self.old);
        for id in [self.own, self.bobs] {
            let _ = alice.until_safe(|safe| safe.safe == id && safe.device == new && is_well(safe));
        }
        let own = self.own.to_string();
        let safe = Safe { device: alice, name: &own };
        safe.sync();
        assert_eq!(safe.get("/before").unwrap(), b"before");
        let _ = alice.until_device(|device| device.device == new && device.suspended == Some(false));
        Safe { device: &self.bob, name: "Of Bob" }.put_shared("/after", b"after");
        let bobs = self.bobs.to_string();
        let safe = Safe { device: alice, name: &bobs };
        safe.sync();
        assert_eq!(safe.get("/after").unwrap(), b"after");
        let members = self.bob.users().unwrap().users;
        let devices = members.into_iter().flat_map(|user| user.devices);
        let of: Vec<_> = devices.filter(|device| device.device == self.old).collect();
        assert!(of.len() == 1 && of[0].revoked, "{of:?}");
        assert!(alice.devices().iter().all(|device| device.device != self.old));
        assert!(safe.show().unwrap().safe.epoch > 0, "the key that the old device had is written no more");
    }
}

/// A change: the old password opens nothing any more, and nothing else is different.
#[test]
fn a_password_is_changed_and_the_old_one_opens_nothing() {
    let fixture = Fixture::found(FixtureOptions::default());
    let _ = create(&fixture.alice, PLANS);
    Safe { device: &fixture.alice, name: PLANS }.put_shared("/before", b"before");
    let old = fixture.alice.devices().remove(0).device;
    let asked = |from: &str| DevicePassword {
        select: DeviceSelector::default(),
        password: secret(from),
        new_password: secret(NEW_PASSWORD),
    };
    let wrong: Result<DeviceView, _> = fixture.alice.call(method::DEVICE_PASSWORD, asked("not hers at all"));
    assert_eq!(name(wrong), Some(ProblemKind::WrongPassword));
    let _: DeviceView = fixture.alice.call(method::DEVICE_PASSWORD, asked(ALICE_PASSWORD)).unwrap();
    lock(&fixture.alice, old);
    assert_eq!(name(unlock(&fixture.alice, old, ALICE_PASSWORD)), Some(ProblemKind::WrongPassword));
    assert_eq!(unlock(&fixture.alice, old, NEW_PASSWORD).unwrap().state, DeviceState::Unlocked);
    assert_eq!(Safe { device: &fixture.alice, name: PLANS }.get("/before").unwrap(), b"before");
}

/// From another device of one's own: the machine is let in anew, and the old device put out.
#[test]
fn a_forgotten_password_with_another_device() {
    let mut at = Forgotten::founded();
    let tablet = enrol_own(&at.fixture, &at.fixture.alice, "tablet", ALICE_AGAIN);
    lock(&at.fixture.alice, at.old);
    assert_eq!(name(unlock(&at.fixture.alice, at.old, "is it this one")), Some(ProblemKind::WrongPassword));
    // The daemon of this machine stays as it is, with the closed device in it.
    let spare = at.fixture.device("spare");
    let machine = std::mem::replace(&mut at.fixture.alice, spare);
    let machine = enrol_into(&tablet, machine, ANEW);
    at.fixture.alice = machine;
    let devices = at.fixture.alice.devices();
    let new = devices.iter().find(|device| device.device != at.old).unwrap().device;
    let _ = at
        .fixture
        .alice
        .until_device(|device| device.device == new && device.registration == Registration::Registered);
    forget(&at.fixture.alice, at.old);
    revoke(&tablet, at.old);
    at.is_back(new);
}

/// With a kit alone.
#[test]
fn a_forgotten_password_with_a_kit() {
    let at = Forgotten::founded();
    let alice = &at.fixture.alice;
    let asked = RecoveryCreate { select: DeviceSelector::default(), label: None };
    let kit: RecoveryCreated = alice.call(method::RECOVERY_CREATE, asked).unwrap();
    lock(alice, at.old);
    let asked = RecoveryUse {
        server: at.fixture.proxy.url(),
        organisation: "acme".parse().unwrap(),
        words: secret(kit.words.expose()),
        device_label: "the desktop, anew".parse().unwrap(),
        password: secret(NEW_PASSWORD),
        typed_codes: false,
    };
    let used: RecoveryUsed = alice.call(method::RECOVERY_USE, asked).unwrap();
    forget(alice, at.old);
    revoke(alice, at.old);
    at.is_back(used.device.device);
}
