//! A safe of which a device was shown something that it doesn't believe: it goes no further there
//! until its person has said so, what is in it can be read meanwhile, and a word is about exactly
//! what was shown.

use parsec_protocol::chain::head::Head;
use parsec_protocol::codec;
use parsec_protocol::control::{
    DeviceSelector, Member, ProblemKind, SafeConfirm, SafeConfirmed, SafeDecision, SafeHalt, SafeRole,
    SafeStatus, SafeStatusResult, SecretText, UserRevoke, method,
};
use parsec_protocol::ids::{EntryId, SafeId, UserId};
use parsec_protocol::keys::{Entropy, NoEntropy};
use parsec_protocol::safe_log::certificate;
use parsec_protocol::safe_log::record::Payload;
use parsec_protocol::safe_log::view::Present;
use parsec_protocol::safes::change::{Change, Inside, Kind, RULES_VERSION};
use parsec_protocol::safes::keys::{EpochKey, SafeKeys};
use parsec_protocol::safes::name::EntryName;
use parsec_protocol::safes::seal::seal_record;
use parsec_protocol::safes::state::State;
use parsec_tests::device::Device;
use parsec_tests::events::Follower;
use parsec_tests::fixture::{ALICE_PASSWORD, BOB_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::rpc::Failed;
use parsec_tests::safes::{Safe, create, until};

use super::{PLANS, enrol_bob};

const ALICE_EMAIL: &str = "alice@acme.example";

fn halt(device: &Device) -> Option<SafeHalt> {
    let asked = SafeStatus { select: DeviceSelector::default(), safe: Some(PLANS.to_owned()) };
    let result: SafeStatusResult = device.call(method::SAFE_STATUS, asked).unwrap();
    result.safes.into_iter().next().unwrap().halt
}

fn accept(device: &Device, what: &str) -> Result<SafeConfirmed, Failed> {
    let (safe, what) = (PLANS.to_owned(), what.to_owned());
    let decision = SafeDecision::Accept;
    let asked = SafeConfirm { select: DeviceSelector::default(), safe, decision, what };
    device.call(method::SAFE_CONFIRM, asked)
}

/// What the server has of a safe.
fn present(fixture: &Fixture, safe: SafeId) -> Present {
    let sql = rusqlite::Connection::open(fixture.server.database()).unwrap();
    let bytes: Vec<u8> = sql
        .query_row("SELECT present FROM safe WHERE safe = ?1", [safe.as_bytes()], |row| row.get(0))
        .unwrap();
    codec::decode(&bytes, 4_096).unwrap()
}

/// Nonces that come once for each record here.
struct Steady;

impl Entropy for Steady {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        bytes.fill(7);
        Ok(())
    }
}

/// A record that makes a folder, by Bob's device, which had seen the organisation's log up to
/// `seen` and nothing later.
fn by_bob(bob: &Device, safe: SafeId, present: &Present, seen: Head, folder: &str) -> Vec<u8> {
    let devices = parsecd::store::Devices::open(&bob.data()).unwrap();
    let device = devices.list().unwrap().pop().unwrap().device;
    let open = devices.unlock(device, &SecretText::new(BOB_PASSWORD.to_owned().into())).unwrap();
    let organisation = open.summary.organisation.clone();
    let mut keys = SafeKeys::new(organisation.clone(), safe);
    for (epoch, key) in open.store.safe_keys(safe).unwrap() {
        let check = EpochKey::new(&organisation, &safe, epoch, &key).check();
        keys.insert(epoch, key, &check).unwrap();
    }
    let change = Change::Add {
        operation: None,
        entry: EntryId::from_bytes([u8::try_from(folder.len()).unwrap(); 16]),
        parent: EntryId::from_bytes(*safe.as_bytes()),
        name: EntryName::new(folder.as_bytes()).unwrap(),
        kind: Kind::Folder,
        mtime: 0,
        executable: false,
        conflict_of: None,
    };
    let payload = Payload {
        organisation,
        safe,
        seq: present.journal.count + 1,
        previous: present.journal.hash,
        epoch: present.key.epoch,
        seen,
        log: present.log,
        author: device,
        time: parsec_protocol::ids::Timestamp(1),
        adds: Vec::new(),
        drops: Vec::new(),
        keeps: Vec::new(),
        nonce: [0; 24].into(),
        ciphertext: Vec::new().into(),
    };
    let inside = Inside { rules: RULES_VERSION, root: State::new(safe).state_root(), changes: vec![change] };
    let key = keys.at(present.key.epoch).unwrap();
    seal_record(&key, payload, &inside, &open.keys.signing_key, &mut Steady).unwrap()
}

/// What the organisation's log was to the author of the safe's newest certificate.
fn seen(fixture: &Fixture, safe: SafeId) -> Head {
    let sql = rusqlite::Connection::open(fixture.server.database()).unwrap();
    let select = "SELECT envelope FROM safe_certificate WHERE safe = ?1 ORDER BY position DESC LIMIT 1";
    let bytes: Vec<u8> = sql.query_row(select, [safe.as_bytes()], |row| row.get(0)).unwrap();
    certificate::Envelope::decode(&bytes).unwrap().payload().unwrap().seen
}

/// A server that shows a record which no honest one would have taken.
fn show(fixture: &mut Fixture, safe: SafeId, user: UserId, envelope: &[u8]) {
    fixture.server.kill();
    let mut present = present(fixture, safe);
    present.journal = present.journal.after(envelope);
    let sql = rusqlite::Connection::open(fixture.server.database()).unwrap();
    let insert = "INSERT INTO safe_record (organisation, safe, seq, author, head, envelope)
                  VALUES ('acme', ?1, ?2, ?3, ?4, ?5)";
    let head = present.journal;
    let count = i64::try_from(head.count).unwrap();
    sql.execute(insert, (safe.as_bytes(), count, user.as_bytes(), head.hash.as_bytes(), envelope)).unwrap();
    let update = "UPDATE safe SET present = ?2 WHERE safe = ?1";
    assert_eq!(sql.execute(update, (safe.as_bytes(), codec::encode(&present))).unwrap(), 1);
    drop(sql);
    fixture.restart_server();
}

#[test]
fn a_safe_goes_no_further_after_what_was_not_believed_until_its_person_says_so() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let mut bob = enrol_bob(&fixture);
    bob.unlock(BOB_PASSWORD).unwrap();
    let made = create(&bob, PLANS);
    Safe { device: &bob, name: PLANS }.put_shared("/before.txt", b"of a member");
    let mut events = Follower::start(&fixture.alice.socket(), None);
    Safe { device: &bob, name: PLANS }.share(ALICE_EMAIL, SafeRole::Reader).unwrap();
    until(&mut events, |safe| safe.safe == made.safe);
    let id = made.safe.to_string();
    Safe { device: &fixture.alice, name: &id }.accept().unwrap();
    Safe { device: &fixture.alice, name: &id }.sync();
    let user = bob.devices()[0].user;
    bob.kill();
    // Alice knows of the revocation, and asks for the safe with that.
    let asked = UserRevoke { select: DeviceSelector::default(), user };
    let _: Member = fixture.alice.call(method::USER_REVOKE, asked).unwrap();
    Safe { device: &fixture.alice, name: PLANS }.sync();

    // What Bob's device makes with what it had seen before is valid by itself.
    let seen = seen(&fixture, made.safe);
    let late = by_bob(&bob, made.safe, &present(&fixture, made.safe), seen, "late");
    show(&mut fixture, made.safe, user, &late);
    until(&mut events, |safe| safe.problem == Some(ProblemKind::RolledBack));
    let alice = Safe { device: &fixture.alice, name: PLANS };
    let found = halt(&fixture.alice).unwrap();
    assert_eq!((found.certificates, found.records, found.by.len()), (0, 1, 1), "{found:?}");
    assert_eq!(alice.paths().unwrap(), ["/before.txt"]);
    assert_eq!(alice.get("/before.txt").unwrap(), b"of a member");

    // Neither the server nor a restart lifts it, nor a word about something else.
    drop(events);
    fixture.server.kill();
    fixture.restart_server();
    fixture.alice.kill();
    fixture.alice.restart();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let mut events = Follower::start(&fixture.alice.socket(), None);
    until(&mut events, |safe| safe.problem == Some(ProblemKind::RolledBack));
    assert_eq!(halt(&fixture.alice), Some(found.clone()));
    let refused = accept(&fixture.alice, &"0".repeat(64)).unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::InvalidRequest));
    let alice = Safe { device: &fixture.alice, name: PLANS };
    assert_eq!(alice.paths().unwrap(), ["/before.txt"]);

    // The word is about what was shown, and about nothing behind it.
    assert_eq!(accept(&fixture.alice, &found.what).unwrap().count, 1);
    until(&mut events, |safe| safe.problem.is_none());
    alice.sync();
    assert_eq!(alice.paths().unwrap(), ["/before.txt", "/late"]);
    assert_eq!(halt(&fixture.alice), None);
    let later = by_bob(&bob, made.safe, &present(&fixture, made.safe), seen, "later");
    show(&mut fixture, made.safe, user, &later);
    until(&mut events, |safe| safe.problem == Some(ProblemKind::RolledBack));
    assert_ne!(halt(&fixture.alice).unwrap().what, found.what);
    let refused = accept(&fixture.alice, &found.what).unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::InvalidRequest));
    let alice = Safe { device: &fixture.alice, name: PLANS };
    assert_eq!(alice.paths().unwrap(), ["/before.txt", "/late"]);
}
