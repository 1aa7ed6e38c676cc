//! The event stream of the real daemon: the same for everybody, gapless or visibly not, equal to
//! the state, free of secrets, and with a last word.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use parsec_protocol::codec;
use parsec_protocol::control::TrustAcknowledged;
use parsec_protocol::control::{
    CeremonyId, CeremonySelector, CeremonyView, ChoiceMode, ClaimStart, DeviceForget, DevicePassword,
    DeviceSelector, DeviceView, Empty, Event, EventItem, GreetStart, Overview, ProblemKind, SecretText,
    StatusResult, method,
};
use parsec_protocol::enrol::link::{Link, LinkKind};
use parsec_protocol::ids::Token;
use parsec_protocol::keys::LinkSecret;
use parsec_protocol::relay::LogPage;
use parsec_tests::ceremony::Bell;
use parsec_tests::device::Device;
use parsec_tests::events::Follower;
use parsec_tests::fixture::{ALICE_PASSWORD, BOB, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::process::Daemon;
use parsec_tests::proxy::{Answer, Fate, Honest, Meddler, Request};
use parsec_tests::rpc::{Client, Failed};
use parsec_tests::script::{self, Phone};
use serde_json::{Value, json};

/// A link to a server that isn't there: claiming it starts a ceremony and ends it.
fn dead_link() -> SecretText {
    let link = Link {
        server: "http://127.0.0.1:1".parse().unwrap(),
        organisation: "acme".parse().unwrap(),
        kind: LinkKind::User,
        token: Token::from_bytes([7; 16]),
        secret: LinkSecret::from_bytes(&mut [8; 32]),
        hints: Vec::new(),
    };
    SecretText::new(link.to_url())
}

/// Makes two events; returns whose.
fn stir(client: &mut Client) -> CeremonyId {
    let view: CeremonyView =
        client.call(method::CLAIM_START, ClaimStart { link: dead_link(), transport: None }).unwrap();
    view.id
}

fn ends(item: &EventItem, id: CeremonyId) -> bool {
    matches!(item, EventItem::Event { event: Event::CeremonyEnded { ceremony }, .. } if ceremony.id == id)
}

fn text(text: &str) -> SecretText {
    SecretText::new(text.to_owned().into())
}

/// The state that the events give is the one `status.show` gives: one of those between a moment
/// before it was asked for and one after.
fn agrees(device: &Device, follower: &mut Follower) {
    let mut client = device.client().unwrap();
    let mark = stir(&mut client);
    follower.until(|item| ends(item, mark));
    let status: StatusResult = client.call(method::STATUS, ()).unwrap();
    let end = stir(&mut client);
    let wanted = Overview::from(&status);
    let mut agreed = follower.state.as_ref() == Some(&wanted);
    loop {
        let item = follower.item().unwrap();
        agreed |= follower.state.as_ref() == Some(&wanted);
        if ends(&item, end) {
            break;
        }
    }
    assert!(agreed, "never {wanted:?}, but {:?}", follower.state);
}

#[test]
fn everybody_sees_a_whole_enrolment_alike_and_nothing_secret() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = fixture.device("bob");
    let both = [&fixture.alice, &bob];
    let mut first = both.map(|device| Follower::start(&device.socket(), None));
    let mut second = both.map(|device| Follower::start(&device.socket(), None));
    let begun = first.each_mut().map(|follower| {
        follower.item().unwrap();
        follower.place()
    });
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let bell = Arc::new(Bell::default());
    let mut claimer = bob.claim(invitation.link.expose(), &bell).unwrap();
    let mut greeter = fixture.alice.greet(invitation.token, &bell).unwrap();
    let said = claimer.code_to_say().unwrap();
    let ended = script::enrol(&mut claimer, &mut greeter, BOB, Phone::default());
    assert!(ended.claimer.is_ok() && ended.greeter.is_ok(), "{ended:?}");
    // Somebody else's guess, a change of password, a lock.
    bob.unlock("not his password").unwrap_err();
    let new_password = text("bob counts white herons");
    let change =
        DevicePassword { select: DeviceSelector::default(), password: text(BOB_PASSWORD), new_password };
    bob.call::<DeviceView>(method::DEVICE_PASSWORD, change).unwrap();
    bob.call::<DeviceView>(method::DEVICE_LOCK, DeviceSelector::default()).unwrap();

    for (number, device) in both.into_iter().enumerate() {
        agrees(device, &mut first[number]);
        let end = first[number].last.clone().unwrap();
        while second[number].last.as_ref() != Some(&end) {
            second[number].item().unwrap();
        }
        // Their snapshots may be of two moments; every event is one and the same.
        let events = |follower: &Follower| {
            let lines = follower.lines.iter().filter(|line| line.contains(r#""kind":"event""#));
            lines.cloned().collect::<Vec<_>>()
        };
        let (one, two) = (events(&first[number]), events(&second[number]));
        assert!(one.len() > 8 && one.ends_with(&two) || two.ends_with(&one), "{one:#?}\n{two:#?}");
        // Whoever comes later with the place of the first gets exactly the rest.
        let mut late = Follower::start(&device.socket(), Some(begun[number].clone()));
        while late.last.as_ref() != Some(&end) {
            late.item().unwrap();
        }
        assert_eq!(late.lines, one);
        assert_eq!(late.state, first[number].state);
        assert_eq!((late.gaps, first[number].gaps), (0, 0));
    }
    let told = |follower: &Follower, what: &str| follower.lines.iter().any(|line| line.contains(what));
    for what in ["invitation_created", "ceremony_ended", "\"stage\":\"approve\"", "\"outbox\":1"] {
        assert!(told(&first[0], what), "Alice was not told: {what}");
    }
    for what in ["device_added", "\"registered\"", "unlock_refused", "\"password\"", "\"locked\""] {
        assert!(told(&first[1], what), "Bob was not told: {what}");
    }
    let link: Link = invitation.link.expose().parse().unwrap();
    let payload = invitation.link.expose().split_once('#').unwrap().1.to_owned();
    let token = invitation.token.to_string();
    let hex: String = link.secret.expose().iter().map(|byte| format!("{byte:02x}")).collect();
    let passwords = [ALICE_PASSWORD, BOB_PASSWORD, "not his password", "bob counts white herons"];
    let everywhere = [payload.as_str(), token.as_str(), hex.as_str(), said.as_str()];
    for follower in first.iter().chain(&second) {
        for secret in passwords.iter().chain(&everywhere) {
            assert!(!told(follower, secret), "{secret} in {:#?}", follower.lines);
        }
    }
    // What Bob says of himself is on his own daemon's stream alone, as his own.
    for secret in [BOB.name.unwrap(), BOB.label] {
        assert!(!told(&first[0], secret) && told(&first[1], secret), "{secret}");
    }
}

#[test]
fn who_stays_away_too_long_or_reads_too_slowly_is_told() {
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let bob = Device::start("Bob", &folder.path().join("bob"));
    // Never reads until the end, and holds up nobody.
    let mut slow = Follower::start(&bob.socket(), None);
    let mut quick = Follower::start(&bob.socket(), None);
    quick.item().unwrap();
    let start = quick.place();
    let mut client = bob.client().unwrap();
    let mut middle = None;
    for number in 0..3_000 {
        let id = stir(&mut client);
        quick.until(|item| ends(item, id));
        if number == 2_700 {
            middle = Some(quick.place());
        }
    }
    assert_eq!(quick.last.as_ref().unwrap().id, start.0.id + 6_000);
    assert_eq!(quick.gaps, 0);
    let end = quick.last.clone();

    let mut late = Follower::start(&bob.socket(), Some(start));
    let gap = late.item().unwrap();
    assert!(matches!(gap, EventItem::Gap { from: Some(1), to: 6_000, .. }), "{gap:?}");
    assert!(matches!(late.item().unwrap(), EventItem::Snapshot { id: 6_000, .. }));
    assert_eq!(late.state, quick.state);

    // 598 events away: within what is kept.
    let mut back = Follower::start(&bob.socket(), middle);
    while back.last != end {
        back.item().unwrap();
    }
    assert_eq!((back.gaps, back.lines.len()), (0, 598));
    assert_eq!(back.state, quick.state);

    while slow.last != end || slow.state.is_none() {
        slow.item().unwrap();
    }
    assert_eq!(slow.gaps, 1, "the connection held {} items", slow.lines.len());
    assert!(slow.lines.len() < 5_000);
    assert_eq!(slow.state, quick.state);
    agrees(&bob, &mut slow);
}

#[test]
fn a_stopping_daemon_has_the_last_word() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let mut follower = Follower::start(&fixture.alice.socket(), None);
    follower.item().unwrap();
    agrees(&fixture.alice, &mut follower);
    let place = follower.place();
    // A request under way: scrypt takes its second meanwhile.
    let mut asking = fixture.alice.client().unwrap();
    let request = json!({"jsonrpc": "2.0", "id": 99, "method": method::DEVICE_UNLOCK,
        "params": {"password": ALICE_PASSWORD}});
    writeln!(asking.handle(), "{request}").unwrap();
    // It has been taken up once a later one on the same connection is answered.
    let status: StatusResult = asking.call(method::STATUS, ()).unwrap();
    assert_eq!(status.devices.len(), 1);
    assert!(fixture.alice.process().stop().success());
    let last = follower.to_the_end();
    assert!(matches!(last, Some(EventItem::Event { event: Event::Stopping, .. })), "{last:?}");
    let answer = asking.line().unwrap();
    assert_eq!(answer["id"], 99, "{answer}");
    let refused = answer["error"]["data"]["name"] == ProblemKind::ShuttingDown.name();
    assert!(refused || answer["result"]["state"] == "unlocked", "{answer}");
    assert!(matches!(asking.line(), Err(Failed::Gone)));

    fixture.alice.restart();
    let mut again = Follower::start(&fixture.alice.socket(), Some(place.clone()));
    let gap = again.item().unwrap();
    let EventItem::Gap { stream, from: None, .. } = gap else { panic!("{gap:?}") };
    assert_ne!(stream, place.0.stream);
    let snapshot = again.item().unwrap();
    assert!(matches!(&snapshot, EventItem::Snapshot { stream: same, .. } if *same == stream), "{snapshot:?}");
    agrees(&fixture.alice, &mut again);
}

#[test]
fn a_password_changes_and_guessing_gets_slow() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let alice = &fixture.alice;
    let mut follower = Follower::start(&alice.socket(), None);
    let change = |from: &str, to: &str| {
        let (password, new_password) = (text(from), text(to));
        let parameters = DevicePassword { select: DeviceSelector::default(), password, new_password };
        alice.call::<DeviceView>(method::DEVICE_PASSWORD, parameters)
    };
    assert_eq!(
        change("not hers at all", "anything else").unwrap_err().name(),
        Some(ProblemKind::WrongPassword)
    );
    assert_eq!(change(ALICE_PASSWORD, "short").unwrap_err().name(), Some(ProblemKind::WeakPassword));
    let view = change(ALICE_PASSWORD, "alice walks nine dogs").unwrap();
    assert_eq!(view.name.unwrap().as_str(), "Alice Hollybrook");
    follower.until(
        |item| matches!(item, EventItem::Event { event: Event::DeviceChanged { reason, .. }, .. } if reason == "password"),
    );
    // The right one has cleared the count: three wrong ones more are free.
    for _ in 0..3 {
        assert_eq!(alice.unlock(ALICE_PASSWORD).unwrap_err().name(), Some(ProblemKind::WrongPassword));
    }
    let Err(Failed::Problem(slow)) = alice.unlock("alice walks nine dogs") else { panic!("no delay") };
    assert_eq!(slow.name, ProblemKind::TooManyGuesses);
    assert!(slow.message.contains(" 1 s"), "{}", slow.message);
    assert_eq!(
        change("alice walks nine dogs", "alice walks ten dogs").unwrap_err().name(),
        Some(ProblemKind::TooManyGuesses)
    );
    // Each was told, and none that was not tried.
    let end = stir(&mut alice.client().unwrap());
    follower.until(|item| ends(item, end));
    let refused = follower.lines.iter().filter(|line| line.contains("unlock_refused")).count();
    assert_eq!(refused, 4);
    // Locked devices change theirs, too; after a restart nothing is counted.
    fixture.alice.restart();
    let alice = &fixture.alice;
    let parameters = DevicePassword {
        select: DeviceSelector::default(),
        password: text("alice walks nine dogs"),
        new_password: text("alice walks ten dogs"),
    };
    let view: DeviceView = alice.call(method::DEVICE_PASSWORD, parameters).unwrap();
    assert_eq!(view.name, None);
    assert_eq!(alice.unlock("alice walks nine dogs").unwrap_err().name(), Some(ProblemKind::WrongPassword));
    alice.unlock("alice walks ten dogs").unwrap();
}

#[test]
fn a_hundred_guesses_hold_nobody_up_and_are_three() {
    let fixture = Fixture::found(FixtureOptions { daemon: Daemon::Shipped, ..FixtureOptions::default() });
    let alice = &fixture.alice;
    let order = Arc::new(Mutex::new(Vec::new()));
    let clients: Vec<_> = (0..13).map(|_| alice.client().unwrap()).collect();
    let mut other = alice.client().unwrap();
    std::thread::scope(|scope| {
        for client in &clients {
            let mut writer = client.handle();
            for id in 0..8 {
                let request = json!({"jsonrpc": "2.0", "id": id, "method": method::DEVICE_UNLOCK,
                    "params": {"password": "a guess, and a wrong one"}});
                writeln!(writer, "{request}").unwrap();
            }
        }
        for mut client in clients {
            let order = &order;
            scope.spawn(move || {
                for _ in 0..8 {
                    let answer = client.line().unwrap();
                    let name = answer["error"]["data"]["name"].as_str().unwrap().to_owned();
                    order.lock().unwrap().push(name);
                }
            });
        }
        for _ in 0..20 {
            let _: StatusResult = other.call(method::STATUS, ()).unwrap();
        }
        order.lock().unwrap().push("status".to_owned());
    });
    let order = order.lock().unwrap();
    let at = |name: &str| order.iter().rposition(|answer| answer == name).unwrap();
    // Each guess that is tried takes scrypt's second; twenty answers about the state came before
    // the third of them.
    assert!(at("status") < at("wrong_password"), "{order:?}");
    let count = |name: &str| order.iter().filter(|answer| *answer == name).count();
    assert_eq!((count("wrong_password"), count("too_many_guesses")), (3, 101), "{order:?}");
}

fn folders(device: &Device) -> Vec<String> {
    let names = std::fs::read_dir(device.data().join("devices")).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_device_is_forgotten_whole_and_not_by_mistake() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let device = fixture.alice.devices()[0].device;
    let mut follower = Follower::start(&fixture.alice.socket(), None);
    let forget = |at: &Device, force| {
        at.call::<Empty>(method::DEVICE_FORGET, DeviceForget { device, force }).map_err(|it| it.name())
    };
    // By its whole id alone.
    let prefix = json!({"device": device.to_string()[..8], "force": true});
    let refused: Result<Empty, _> = fixture.alice.call(method::DEVICE_FORGET, prefix);
    assert_eq!(refused.unwrap_err().name(), Some(ProblemKind::InvalidRequest));
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let greet = GreetStart { select: DeviceSelector::default(), token: invitation.token, transport: None };
    let view: CeremonyView = fixture.alice.call(method::GREET_START, greet).unwrap();
    assert_eq!(forget(&fixture.alice, false), Err(Some(ProblemKind::DeviceBusy)));
    assert_eq!(folders(&fixture.alice).len(), 1);
    assert_eq!(forget(&fixture.alice, true), Ok(Empty {}));
    assert_eq!(folders(&fixture.alice), Vec::<String>::new());
    assert_eq!(forget(&fixture.alice, true), Err(Some(ProblemKind::DeviceUnknown)));
    let unlock = fixture.alice.unlock(ALICE_PASSWORD).unwrap_err();
    assert_eq!(unlock.name(), Some(ProblemKind::DeviceUnknown));
    let ended: CeremonyView =
        fixture.alice.call(method::CEREMONY_SHOW, CeremonySelector { ceremony: view.id }).unwrap();
    assert!(ended.outcome.is_some(), "{ended:?}");
    follower.until(
        |item| matches!(item, EventItem::Event { event: Event::DeviceForgotten { device: gone }, .. } if *gone == device),
    );
    agrees(&fixture.alice, &mut follower);
    fixture.alice.restart();
    assert!(fixture.alice.devices().is_empty());
}

/// What is left of a removal that was cut off is removed at the next start, and is no device
/// meanwhile.
#[test]
fn a_removal_that_was_cut_off_is_finished() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    fixture.alice.kill();
    let devices = fixture.alice.data().join("devices");
    let name = folders(&fixture.alice).pop().unwrap();
    std::fs::rename(devices.join(&name), devices.join(format!(".gone-{name}"))).unwrap();
    fixture.alice.restart();
    assert!(fixture.alice.devices().is_empty());
    assert_eq!(folders(&fixture.alice), Vec::<String>::new());
}

#[test]
fn a_member_is_shown_with_who_vouched_for_them() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let ends = fixture.enrol(&bob, &invitation, BOB, ChoiceMode::Picked);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let shown: Value = fixture.alice.call(method::USER_SHOW, json!({"user": BOB_EMAIL})).unwrap();
    assert_eq!(shown["member"]["name"], BOB.name.unwrap());
    assert_eq!(shown["member"]["devices"][0]["label"], BOB.label);
    let trust: Value = fixture.alice.call(method::TRUST_SHOW, json!({"user": BOB_EMAIL})).unwrap();
    assert_eq!((&shown["chain"], &shown["root_fingerprint"]), (&trust["chain"], &trust["root_fingerprint"]));
    assert!(shown["chain"].as_array().unwrap().len() > 1, "{shown}");
    let own: Value = fixture.alice.call(method::USER_SHOW, json!({})).unwrap();
    assert_eq!(own["member"]["email"], "alice@acme.example");
    let nobody = fixture.alice.call::<Value>(method::USER_SHOW, json!({"user": "nobody@acme.example"}));
    assert_eq!(nobody.unwrap_err().name(), Some(ProblemKind::InvalidRequest));
}

/// A server that shows a shorter log than before.
struct Forgetful;

impl Meddler for Forgetful {
    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        if request.method == "GET" && request.target.contains("/log") && answer.status == 200 {
            answer.body = codec::encode(&LogPage { count: 1, certificates: Vec::new() });
        }
        Fate::Pass
    }
}

/// Nobody asks for anything: the daemon notices by itself, and everybody who looks is told until it
/// ends.
#[test]
fn a_log_that_was_rolled_back_is_an_alarm() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    fixture.alice.restart();
    let mut follower = Follower::start(&fixture.alice.socket(), None);
    fixture.proxy.meddle(Arc::new(Forgetful));
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let raised = follower.until(|item| matches!(item, EventItem::Event { event: Event::Alarm { .. }, .. }));
    let EventItem::Event { event: Event::Alarm { alarm }, .. } = raised else { panic!() };
    assert_eq!(alarm.problem.name, ProblemKind::RolledBack);
    // Asked for, it is refused as before, and is not told twice.
    assert_eq!(fixture.alice.verify().unwrap_err().name(), Some(ProblemKind::RolledBack));
    fixture.proxy.meddle(Arc::new(Honest));
    fixture.alice.verify().unwrap();
    assert_eq!(fixture.alice.status().alarms.as_slice(), std::slice::from_ref(&alarm));
    agrees(&fixture.alice, &mut follower);
    assert_eq!(follower.lines.iter().filter(|line| line.contains(r#""type":"alarm""#)).count(), 1);
    let said = fixture.alice.ctl(&["status", "--json"]);
    assert!(said.stdout.contains("rolled_back"), "{said:?}");
    // It stays over a restart, and is shown once the device is unlocked.
    fixture.alice.restart();
    assert!(fixture.alice.status().alarms.is_empty(), "the store is encrypted");
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    assert_eq!(fixture.alice.status().alarms.as_slice(), std::slice::from_ref(&alarm));
    fixture.alice.verify().unwrap();
    // Until a person has dealt with it.
    let refused = fixture.alice.ctl(&["trust", "acknowledge", "99", "--yes"]);
    assert_eq!(refused.code, 64, "{refused:?}");
    let said = fixture.alice.ctl(&["trust", "acknowledge", "--yes", "--json"]).well().json();
    assert_eq!(
        (&said["schema"], &said["alarm"]["problem"]["name"]),
        (&json!("parsec.trust.acknowledge/1"), &json!("rolled_back"))
    );
    assert!(fixture.alice.status().alarms.is_empty());
    let again: TrustAcknowledged =
        fixture.alice.call(method::TRUST_ACKNOWLEDGE, json!({"alarm": alarm.id})).unwrap();
    assert_eq!(again.alarm, alarm);
    // The same finding is no second alarm, and is believed no more than before.
    fixture.proxy.meddle(Arc::new(Forgetful));
    assert_eq!(fixture.alice.verify().unwrap_err().name(), Some(ProblemKind::RolledBack));
    fixture.alice.restart();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    assert_eq!(fixture.alice.verify().unwrap_err().name(), Some(ProblemKind::RolledBack));
    assert!(fixture.alice.status().alarms.is_empty());
    println!("figure S3: a shorter log shown to a daemon that was restarted: refused, and an alarm");
}

#[test]
fn a_watch_that_makes_no_sense_is_refused() {
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let bob = Device::start("Bob", &folder.path().join("bob"));
    for after in [json!({"stream": "x"}), json!({"stream": "x", "id": -1}), json!({"id": 1}), json!("x:1")] {
        let refused = bob.call::<Value>(method::EVENTS_WATCH, json!({"after": after}));
        assert_eq!(refused.unwrap_err().name(), Some(ProblemKind::InvalidRequest), "{after}");
    }
}
