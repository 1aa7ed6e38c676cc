//! Who may do what is taken back, with the real programs: profiles, devices, members; what the
//! revoked are told, and what nobody believes them any more, whatever their server does.

use std::process::Command;
use std::sync::Arc;

use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::{Author, Body, Payload, Profile, SEALED_NAME_BYTES};
use parsec_protocol::control::{
    ChoiceMode, DeviceRevoke, DeviceSelector, DeviceState, DeviceView, Event, EventItem, Member, ProblemKind,
    Registration, Stage, method,
};
use parsec_protocol::ids::{DeviceId, UserId};
use parsec_protocol::keys::{Entropy, NoEntropy, UserSeed};
use parsec_protocol::public_keys::Hash;
use parsec_tests::ceremony::Bell;
use parsec_tests::device::Device;
use parsec_tests::events::Follower;
use parsec_tests::fixture::{
    ALICE_AGAIN, ALICE_EMAIL, BOB, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions,
};
use parsec_tests::process::binary;
use parsec_tests::script::{self, Newcomer, Phone};
use parsec_tests::server::Server;
use rexpect::session::spawn_command;
use serde_json::json;

const CAROL_EMAIL: &str = "carol@acme.example";
const CAROL: Newcomer<'static> =
    Newcomer { name: Some("Carol Finch"), label: "Carol's red laptop", password: "carol mends old clocks" };
/// Longest wait for words on a screen, in milliseconds.
const WAIT: u64 = 120_000;

/// Alice, an administrator, and Bob, made one; Bob has vouched for Carol.
struct Cast {
    fixture: Fixture,
    bob: Device,
    carol: Device,
}

impl Cast {
    fn enrol(organisation: &'static str) -> Self {
        Self::set(FixtureOptions { organisation, ..FixtureOptions::default() })
    }

    fn set(options: FixtureOptions) -> Self {
        let fixture = Fixture::found(options);
        let (bob, carol) = (fixture.device("bob"), fixture.device("carol"));
        let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
        let ends = fixture.enrol(&bob, &invitation, BOB, ChoiceMode::Picked);
        assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
        // What the greeter signed may reach the log a moment after the ceremony's end.
        let _ = bob.until_device(|device| device.registration == Registration::Registered);
        assert_eq!(bob.invite(CAROL_EMAIL).unwrap_err().name(), Some(ProblemKind::NotAllowed));

        let said = fixture.alice.ctl(&[
            "user",
            "profile",
            BOB_EMAIL,
            "--profile",
            "administrator",
            "--yes",
            "--json",
        ]);
        let said = said.well().json();
        assert_eq!(
            (&said["schema"], &said["profile"]),
            (&json!("parsec.user.profile/1"), &json!("administrator"))
        );
        let invitation = bob.invite(CAROL_EMAIL).unwrap();
        let bell = Arc::new(Bell::default());
        let mut claimer = carol.claim(invitation.link.expose(), &bell).unwrap();
        let mut greeter = bob.greet(invitation.token, &bell).unwrap();
        let ends = script::enrol(&mut claimer, &mut greeter, CAROL, Phone::default());
        assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
        let _ = carol.until_device(|device| device.registration == Registration::Registered);
        Self { fixture, bob, carol }
    }
}

fn device_of(device: &Device) -> DeviceView {
    let devices = device.devices();
    assert_eq!(devices.len(), 1);
    devices[0].clone()
}

/// Bob as a device's verified log has him.
fn bob_at(device: &Device) -> Member {
    let users = device.users().unwrap().users;
    users.into_iter().find(|user| user.email.to_string() == BOB_EMAIL).unwrap()
}

/// Whether an event says that a device is now registered so.
fn tells(item: &EventItem, registration: Registration) -> bool {
    let EventItem::Event { event: Event::DeviceChanged { device, .. }, .. } = item else { return false };
    device.registration == registration
}

/// What is noted on the disk of a device, its keys aside.
fn noted(device: &Device) -> Vec<Vec<u8>> {
    let folders = std::fs::read_dir(device.data().join("devices")).unwrap();
    folders.flatten().map(|folder| std::fs::read(folder.path().join("about")).unwrap_or_default()).collect()
}

#[test]
fn a_revoked_device_is_told_in_the_middle_of_a_greeting_and_does_nothing_more() {
    let Cast { fixture, mut bob, carol } = Cast::enrol("acme");
    let device = device_of(&bob).device;
    // Bob waits for a newcomer. Nobody comes; all that he hears of is his revocation.
    let invitation = bob.invite("dave@acme.example").unwrap();
    let bell = Arc::new(Bell::default());
    let greeter = bob.greet(invitation.token, &bell).unwrap();
    greeter.stage(Stage::WaitingForPeer).unwrap();
    let mut events = Follower::start(&bob.socket(), None);
    events.until(|item| matches!(item, EventItem::Snapshot { .. }));

    let before = noted(&bob);
    // By as much of the id as a person types.
    let start = &device.to_string()[..8];
    let said = fixture.alice.ctl(&["device", "revoke", start, "--yes"]).well();
    assert!(said.stdout.contains("is revoked") && said.stdout.contains(BOB.label), "{said:?}");
    assert_eq!(greeter.outcome().unwrap_err().name(), ProblemKind::Revoked);
    events.until(|item| tells(item, Registration::Revoked));
    assert_eq!(device_of(&bob).registration, Registration::Revoked);

    for refused in [bob.invite("eve@acme.example").unwrap_err(), bob.invite_device().unwrap_err()] {
        assert_eq!(refused.name(), Some(ProblemKind::Revoked));
    }
    let said = bob.ctl(&["invite", "user", "eve@acme.example"]);
    assert_eq!(said.code, 77, "{said:?}");
    let said = bob.ctl(&["device", "list"]).well();
    assert!(said.stdout.contains("revoked, the server says"), "{said:?}");

    // It is known while everything is locked, too, and asked again when it is unlocked. It is told
    // at once, and written down beside that: a daemon that is killed in between asks anew.
    while noted(&bob) == before {
        std::thread::yield_now();
    }
    bob.restart();
    assert_eq!(device_of(&bob).registration, Registration::Revoked);
    assert_eq!(bob.unlock(BOB_PASSWORD).unwrap().state, DeviceState::Unlocked);
    assert_eq!(bob.users().unwrap_err().name(), Some(ProblemKind::Revoked));

    // The others go on. Bob himself is a member still; what he vouched for before stands.
    for device in [&fixture.alice, &carol] {
        let bob = bob_at(device);
        assert!(!bob.revoked && bob.devices.iter().all(|device| device.revoked));
        assert_eq!(device.verify().unwrap().users, 3);
    }
}

#[test]
fn a_revoked_member_is_gone_with_every_device_and_may_be_invited_again() {
    let Cast { fixture, bob, carol } = Cast::enrol("acme");
    let tablet = fixture.device("tablet");
    let invitation = bob.invite_device().unwrap();
    let bell = Arc::new(Bell::default());
    let mut claimer = tablet.claim(invitation.link.expose(), &bell).unwrap();
    let mut greeter = bob.greet(invitation.token, &bell).unwrap();
    let again = Newcomer { name: None, ..ALICE_AGAIN };
    let ends = script::enrol(&mut claimer, &mut greeter, again, Phone::default());
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = tablet.until_device(|device| device.registration == Registration::Registered);

    let user = bob_at(&fixture.alice).user;
    let member: Member = fixture.alice.call(method::USER_REVOKE, json!({"user": user})).unwrap();
    assert!(
        member.revoked && member.devices.len() == 2 && member.devices.iter().all(|device| device.revoked)
    );
    // Asked again, it is so already, and nothing more is signed.
    let count = fixture.alice.verify().unwrap().count;
    let _: Member = fixture.alice.call(method::USER_REVOKE, json!({"user": user})).unwrap();
    assert_eq!(fixture.alice.verify().unwrap().count, count);
    for device in [&bob, &tablet] {
        assert_eq!(device.users().unwrap_err().name(), Some(ProblemKind::Revoked));
        let mut events = Follower::start(&device.socket(), None);
        if device_of(device).registration != Registration::Revoked {
            events.until(|item| tells(item, Registration::Revoked));
        }
    }
    assert!(bob_at(&carol).revoked);

    let home = fixture.device("home");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let ends = fixture.enrol(&home, &invitation, BOB, ChoiceMode::Picked);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let bobs = carol.users().unwrap().users.into_iter().filter(|user| user.email.to_string() == BOB_EMAIL);
    assert_eq!(bobs.map(|user| user.revoked).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn what_may_not_be_said_is_not_signed() {
    let Cast { fixture, bob, carol } = Cast::enrol("acme");
    let [alice_user, bob_user, carol_user] =
        [ALICE_EMAIL, BOB_EMAIL, CAROL_EMAIL].map(|email| user_of(&fixture.alice, email));
    let before = fixture.alice.verify().unwrap().count;
    let unknown = UserId::from_bytes([7; 16]);
    for (by, name, parameters, problem) in [
        (&carol, method::USER_REVOKE, json!({"user": bob_user}), ProblemKind::NotAllowed),
        (
            &carol,
            method::USER_PROFILE,
            json!({"user": bob_user, "profile": "outsider"}),
            ProblemKind::NotAllowed,
        ),
        (&carol, method::DEVICE_REVOKE, json!({"device": device_of(&bob).device}), ProblemKind::NotAllowed),
        (
            &carol,
            method::DEVICE_REVOKE,
            json!({"device": device_of(&carol).device}),
            ProblemKind::InvalidRequest,
        ),
        (&bob, method::USER_REVOKE, json!({"user": bob_user}), ProblemKind::InvalidRequest),
        (
            &bob,
            method::USER_PROFILE,
            json!({"user": bob_user, "profile": "standard"}),
            ProblemKind::InvalidRequest,
        ),
        (&bob, method::USER_REVOKE, json!({"user": unknown}), ProblemKind::InvalidRequest),
        (&bob, method::DEVICE_REVOKE, json!({"device": unknown}), ProblemKind::InvalidRequest),
        (&bob, method::USER_REVOKE, json!({"user": "3f1c"}), ProblemKind::InvalidRequest),
        (
            &bob,
            method::USER_PROFILE,
            json!({"user": carol_user, "profile": "king"}),
            ProblemKind::InvalidRequest,
        ),
        (&bob, method::USER_REVOKE, json!({"user": carol_user, "sure": true}), ProblemKind::InvalidRequest),
    ] {
        let refused = by.call::<Member>(name, &parameters).unwrap_err();
        assert_eq!(refused.name(), Some(problem), "{name} {parameters}");
    }
    assert_eq!(fixture.alice.verify().unwrap().count, before);
    // And the other way about, each is taken: Carol is promoted, Alice demoted by her, Bob's device
    // goes.
    for (by, name, parameters) in [
        (&bob, method::USER_PROFILE, json!({"user": carol_user, "profile": "administrator"})),
        (&carol, method::USER_PROFILE, json!({"user": alice_user, "profile": "standard"})),
        (&carol, method::DEVICE_REVOKE, json!({"device": device_of(&bob).device})),
    ] {
        let _: Member = by.call(name, parameters).unwrap();
    }
    assert_eq!(carol.verify().unwrap().count, before + 3);
    assert_eq!(fixture.alice.invite("eve@acme.example").unwrap_err().name(), Some(ProblemKind::NotAllowed));
}

fn user_of(device: &Device, email: &str) -> UserId {
    let users = device.users().unwrap().users;
    users.iter().find(|user| user.email.to_string() == email).unwrap().user
}

/// Without a person's yes nothing is signed, and a script has to give it.
#[test]
fn a_person_types_yes_in_full() {
    // The harness's device is another session than the one that gave the password.
    let options = FixtureOptions { daemon_options: &["--approval", "device"], ..FixtureOptions::default() };
    let Cast { fixture, bob, .. } = Cast::set(options);
    let before = fixture.alice.verify().unwrap().count;
    let device = device_of(&bob).device.to_string();
    for arguments in [
        &["user", "revoke", BOB_EMAIL][..],
        &["user", "profile", BOB_EMAIL, "--profile", "standard"],
        &["device", "revoke", &device],
    ] {
        let said = fixture.alice.ctl(arguments);
        assert_eq!(said.code, 64, "{said:?}");
        assert!(said.stderr.contains("--yes"), "{said:?}");
    }
    for (typed, code) in [("y", "64"), ("", "64"), ("no", "64"), ("YES", "64")] {
        let (said, ended) = at_a_terminal(&fixture.alice, &["user", "revoke", BOB_EMAIL], typed);
        assert_eq!(ended, code, "{typed:?}: {said}");
    }
    assert_eq!(fixture.alice.verify().unwrap().count, before);
    // Whom it is about is on the screen before the question.
    let (said, ended) = at_a_terminal(&fixture.alice, &["user", "revoke", BOB_EMAIL], "yes");
    assert!(said.contains("Bob Quillfeather <bob@acme.example> and 1 device will not be trusted"), "{said}");
    assert_eq!(ended, "0", "{said}");
    assert!(bob_at(&fixture.alice).revoked);
}

/// Runs parsecctl at a terminal, answers its question, and gives what was shown and the exit code.
fn at_a_terminal(device: &Device, arguments: &[&str], typed: &str) -> (String, String) {
    let mut command = Command::new("sh");
    command.args(["-c", r#""$@"; echo "code $?.""#, "sh"]).arg(binary("parsecctl")).args(arguments);
    command.env("XDG_RUNTIME_DIR", device.runtime()).env("TERM", "xterm");
    let mut session = spawn_command(command, Some(WAIT)).unwrap();
    let mut said = session.exp_string("Type yes to go on: ").unwrap();
    session.send_line(typed).unwrap();
    said.push_str(&session.exp_string("code ").unwrap());
    (said, session.exp_string(".").unwrap())
}

struct Os;
impl Entropy for Os {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        getrandom::fill(bytes).map_err(|_| NoEntropy)
    }
}

/// Puts a certificate at the end of the log as a server would that checks nothing: in its own
/// database, while it is stopped.
fn smuggle(server: &mut Server, organisation: &str, envelope: &[u8]) {
    server.kill();
    let sql = rusqlite::Connection::open(server.folder().join("metadata.sqlite")).unwrap();
    let (position, head): (i64, Vec<u8>) = sql
        .query_row(
            "SELECT position, head FROM certificate WHERE organisation = ?1 ORDER BY position DESC LIMIT 1",
            [organisation],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let hash = Hash::of(&[envelope]);
    let next = Hash::of(&[&head, hash.as_bytes()]);
    let put =
        "INSERT INTO certificate (organisation, position, envelope, head, hash) VALUES (?1, ?2, ?3, ?4, ?5)";
    sql.execute(
        put,
        rusqlite::params![organisation, position + 1, envelope, next.as_bytes(), hash.as_bytes()],
    )
    .unwrap();
}

/// The log's head.
fn head(server: &Server, organisation: &str) -> Head {
    let sql = rusqlite::Connection::open(server.folder().join("metadata.sqlite")).unwrap();
    let (position, head): (u32, [u8; 32]) = sql
        .query_row(
            "SELECT position, head FROM certificate WHERE organisation = ?1 ORDER BY position DESC LIMIT 1",
            [organisation],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    Head { count: u64::from(position) + 1, hash: Hash::from_bytes(head) }
}

/// Bob keeps his keys after he is revoked, and the server is on his side. `late`: whether what he
/// certifies comes after his revocation.
fn bob_certifies(organisation: &'static str, late: bool) -> (Cast, bool) {
    let Cast { mut fixture, mut bob, carol } = Cast::enrol(organisation);
    let device = device_of(&bob).device;
    bob.kill();
    let devices = parsecd::store::Devices::open(&bob.data()).unwrap();
    let password = parsec_protocol::control::SecretText::new(BOB_PASSWORD.to_owned().into());
    let keys = devices.unlock(device, &password).unwrap().keys;
    if late {
        let asked = DeviceRevoke { select: DeviceSelector::default(), device };
        let _: Member = fixture.alice.call(method::DEVICE_REVOKE, asked).unwrap();
        assert!(bob_at(&carol).devices[0].revoked, "Carol has heard of it");
    }
    let body = Body::User {
        user: UserId::from_bytes([9; 16]),
        email: "mallory@acme.example".parse().unwrap(),
        sealed_name: vec![7; SEALED_NAME_BYTES].into(),
        encryption_key: UserSeed::random(&mut Os).unwrap().encryption_key().hash(),
        profile: Profile::Administrator,
    };
    let payload = Payload {
        organisation: organisation.parse().unwrap(),
        author: Author::Device(device),
        time: parsecd::os::clock::now(),
        seen: head(&fixture.server, organisation),
        body,
    };
    let envelope = payload.sign_with(|context, message| keys.signing_key.sign(context, message));
    smuggle(&mut fixture.server, organisation, &envelope);
    fixture.restart_server();
    let believed = carol.users().is_ok_and(|users| users.users.len() == 4);
    (Cast { fixture, bob, carol }, believed)
}

#[test]
fn nobody_believes_what_a_revoked_device_certifies_even_with_the_server_on_its_side() {
    // The twin: the same certificate in the same way, before the revocation. A server can't be told
    // from an honest one by it.
    let (_cast, believed) = bob_certifies("before", false);
    assert!(believed, "the certificate is no good for another reason");

    let (Cast { fixture, carol, .. }, believed) = bob_certifies("after", true);
    assert!(!believed);
    for device in [&fixture.alice, &carol] {
        let refused = device.users().unwrap_err();
        assert_eq!(refused.name(), Some(ProblemKind::ChainInvalid), "{refused:?}");
        assert_eq!(device.status().alarms.len(), 1);
    }
}

/// A server that says `revoked` of a device that is not is believed until it is asked again.
#[test]
fn a_server_that_takes_it_back_is_asked_at_the_next_unlocking() {
    let Cast { mut fixture, mut bob, .. } = Cast::enrol("acme");
    let mark = |fixture: &mut Fixture, revoked: u8| {
        fixture.server.kill();
        let sql = rusqlite::Connection::open(fixture.server.folder().join("metadata.sqlite")).unwrap();
        let device = device_bytes(&bob);
        let changed = sql
            .execute("UPDATE device SET revoked = ?1 WHERE device = ?2", rusqlite::params![revoked, device]);
        assert_eq!(changed.unwrap(), 1);
        drop(sql);
        fixture.restart_server();
    };
    mark(&mut fixture, 1);
    assert_eq!(bob.users().unwrap_err().name(), Some(ProblemKind::Revoked));
    mark(&mut fixture, 0);
    bob.restart();
    let mut events = Follower::start(&bob.socket(), None);
    bob.unlock(BOB_PASSWORD).unwrap();
    events.until(|item| tells(item, Registration::Registered));
    bob.users().unwrap();
}

fn device_bytes(device: &Device) -> [u8; 16] {
    let device: DeviceId = device_of(device).device;
    *device.as_bytes()
}
