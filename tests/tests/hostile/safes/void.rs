//! Records by a member who may write, with an inside that is no good: they change nothing, stop
//! nobody, and everybody sees whose they are.

use std::collections::BTreeSet;

use parsec_protocol::codec;
use parsec_protocol::control::{ProblemKind, SafeRole};
use parsec_protocol::ids::{EntryId, OperationId, SafeId};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::safe_log::certificate::{Body, State as Condition};
use parsec_protocol::safes::change::{Change, Inside, RULES_VERSION};
use parsec_protocol::safes::content_ref::{Content, Reference, References};
use parsec_protocol::safes::tree::Tree as _;
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_AGAIN, BOB_PASSWORD};
use parsec_tests::fuzz::mutator::{Dice, mutated};
use parsec_tests::insider::{Insider, View, drawn, entry_name, file, folder, padded};
use parsec_tests::lying::{lies, shows};
use parsec_tests::metrics::{figure, full};
use parsec_tests::proxy::Honest;
use parsec_tests::safes::Safe;

use super::{
    CAROL, CAROL_EMAIL, PLANS, Shared, acknowledge, alarm, let_in, own_device, share, stopped_by, until_alarm,
};

/// Fuzzed records of one run, and of a long one.
const RECORDS: [usize; 2] = [1_000, 5_000];

fn paths(device: &Device) -> BTreeSet<String> {
    Safe { device, name: PLANS }.paths().unwrap().into_iter().collect()
}

/// Changes that stand in a record and break a rule of the tree, each another one.
fn against_the_tree(safe: SafeId, view: &View, number: usize) -> Change {
    let operation = OperationId::from_bytes(drawn());
    let root = EntryId::from_bytes(*safe.as_bytes());
    let nobody = EntryId::from_bytes(drawn());
    let some = view.state.children(root).into_iter().next();
    let (name, there) = some.unwrap_or((entry_name("none"), nobody));
    let nowhere = Reference {
        object: parsec_protocol::ids::ObjectId::from_bytes(drawn()),
        epoch: 0,
        blake3: parsec_protocol::object_hash::ObjectHash::of(b"nothing"),
    };
    let content =
        Content { size: 10, digest: None, references: References::Direct(vec![Some(nowhere)].into()) };
    match number % 9 {
        0 => folder(SafeId::from_bytes(drawn()), "below nothing"),
        1 => folder(safe, std::str::from_utf8(name.as_bytes()).unwrap()),
        2 => Change::Move { operation, entry: there, parent: there, name, conflict_of: None },
        3 => Change::Remove { operation, entry: nobody },
        4 => Change::Remove { operation, entry: root },
        5 => Change::SafeName { operation, name: "Bob's now".parse().unwrap() },
        6 => Change::Retention { operation, days: 7 },
        7 => file(safe, "of nothing", content),
        _ => Change::Replace { operation, target: there, base: operation, source: there },
    }
}

/// A record that the server takes, whose inside is one of many sorts of nonsense, or none.
fn fuzzed(bob: &Insider, view: &mut View, dice: &mut Dice, corpus: &[Vec<u8>], number: usize) -> Vec<u8> {
    let safe = *view.verified.id();
    let mut payload = bob.next_record(view);
    let one = &corpus[dice.below(corpus.len())];
    let root = view.state.state_root();
    let inside = |rules, root, changes| Inside { rules, root, changes };
    match number % 10 {
        0 | 1 => bob.seal_bytes(view, payload, &padded(&mutated(dice, corpus))),
        2 => bob.seal_bytes(view, payload, &padded(&one[..dice.below(one.len())])),
        3 => bob.seal_bytes(view, payload, one),
        4 => {
            let mut plaintext = padded(one);
            let last = plaintext.len() - 1;
            plaintext[last] ^= 1;
            plaintext.extend_from_slice(&[0; 3]);
            bob.seal_bytes(view, payload, &plaintext)
        }
        5 => {
            payload.ciphertext = one.clone().into();
            bob.signed(&payload)
        }
        6 => {
            let rules = [0, 2, u64::MAX][number / 10 % 3];
            bob.seal(view, payload, &inside(rules, root, vec![folder(safe, &format!("rules {number}"))]))
        }
        7 => {
            let changes =
                vec![folder(safe, &format!("half {number}")), against_the_tree(safe, view, number / 10)];
            bob.seal(view, payload, &inside(RULES_VERSION, root, changes))
        }
        8 => {
            let root = Hash::of(&[b"another tree"]);
            bob.seal(view, payload, &inside(RULES_VERSION, root, Vec::new()))
        }
        _ => bob.seal(
            view,
            payload,
            &inside(RULES_VERSION, root, vec![folder(safe, &format!("right {number}"))]),
        ),
    }
}

/// T24: a thousand records by a member, signed and in their places, with nonsense inside.
#[test]
fn a_thousand_records_of_nonsense_stop_nobody_and_all_readers_decide_alike() {
    let mut shared = Shared::with(SafeRole::Contributor);
    let safe = shared.safe;
    let carol = let_in(&shared.fixture, "carol", CAROL_EMAIL, CAROL);
    share(&shared.fixture.alice, &carol, CAROL_EMAIL, safe, SafeRole::Reader);
    let mut tablet = own_device(&shared);
    let _ = shared.alice().put_shared("/alice", b"was here before");
    // Off for all of it; the desktop and Carol's are on and hear of each.
    tablet.kill();

    let bob = Insider::of(&mut shared.bob, BOB_PASSWORD, &shared.fixture.server);
    let mut view = bob.view(safe);
    let root = view.state.state_root();
    let changes = [
        vec![folder(safe, "one")],
        vec![folder(safe, "two"), folder(safe, "three")],
        vec![against_the_tree(safe, &view, 7)],
        (0..9).map(|number| against_the_tree(safe, &view, number)).collect(),
    ];
    let corpus: Vec<Vec<u8>> =
        changes.into_iter().map(|changes| codec::encode(&Inside { rules: 1, root, changes })).collect();
    let (mut dice, count) = (Dice::new(24), RECORDS[usize::from(full())]);
    for number in 0..count {
        let record = fuzzed(&bob, &mut view, &mut dice, &corpus, number);
        let _ = bob.posted(safe, &record);
        bob.take(&mut view, record);
    }

    tablet.restart();
    tablet.unlock(ALICE_AGAIN.password).unwrap();
    let root = EntryId::from_bytes(*safe.as_bytes());
    let expected: BTreeSet<String> = view
        .state
        .children(root)
        .into_iter()
        .map(|(name, _)| format!("/{}", String::from_utf8_lossy(name.as_bytes())))
        .collect();
    let right = expected.iter().filter(|path| path.starts_with("/right ")).count();
    assert_eq!(right, count / 10, "the twins without a fault are there");
    assert!(!expected.iter().any(|path| path.starts_with("/half ") || path.starts_with("/rules ")));
    for device in [&shared.fixture.alice, &carol, &tablet] {
        let synced = Safe { device, name: PLANS }.sync();
        assert_eq!(synced.problem, None);
        let found = paths(device);
        // What a mutation happened to leave whole has a name that is no text.
        let texts = |all: &BTreeSet<String>| {
            all.iter()
                .filter(|path| path.starts_with("/right ") || *path == "/alice")
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(texts(&found), texts(&expected));
        assert_eq!(found.len(), expected.len());
        let told = until_alarm(device, ProblemKind::SafeUntrusted);
        assert!(told.problem.message.contains("Bob"), "{told:?}");
    }

    // Everybody goes on, and has one tree: whoever writes says what theirs is, and nobody finds
    // another one. What Bob's records say is dealt with first, so that a new finding would be told.
    let alices = alarm(&shared.fixture.alice, ProblemKind::SafeUntrusted);
    acknowledge(&shared.fixture.alice, &alices);
    let tablets = alarm(&tablet, ProblemKind::SafeUntrusted);
    acknowledge(&tablet, &tablets);
    let done = Safe { device: &tablet, name: PLANS }.put_shared("/after", b"goes on");
    assert!(done.shared);
    shared.alice().sync();
    assert_eq!(shared.alice().get("/after").unwrap(), b"goes on");
    let _ = shared.alice().put_shared("/after", b"and on");
    Safe { device: &tablet, name: PLANS }.sync();
    Safe { device: &carol, name: PLANS }.sync();
    assert_eq!(Safe { device: &carol, name: PLANS }.get("/after").unwrap(), b"and on");
    assert!(shared.fixture.alice.status().alarms.is_empty(), "{:?}", shared.fixture.alice.status().alarms);
    assert!(tablet.status().alarms.is_empty(), "{:?}", tablet.status().alarms);
    let found =
        format!("{count} records by a member with nonsense inside, 4 devices: 1 tree, nobody stopped");
    figure("S21", &found);
    figure("T24", &found);
}

/// A record that claims rules which its safe's format doesn't have: void, not a reason to stop.
#[test]
fn rules_that_the_safes_format_does_not_have_stop_nobody() {
    let mut shared = Shared::with(SafeRole::Contributor);
    let safe = shared.safe;
    let bob = Insider::of(&mut shared.bob, BOB_PASSWORD, &shared.fixture.server);
    let mut view = bob.view(safe);
    for rules in [2, 0, u64::MAX] {
        let root = view.state.state_root();
        let inside = Inside { rules, root, changes: vec![folder(safe, "by later rules")] };
        let record = bob.seal(&view, bob.next_record(&view), &inside);
        let _ = bob.posted(safe, &record);
        bob.take(&mut view, record);
    }
    let payload = bob.next_record(&view);
    let good = bob.write(&mut view, payload, vec![folder(safe, "by rules of today")]);
    let _ = bob.posted(safe, &good);
    let synced = shared.alice().sync();
    assert_eq!(synced.problem, None);
    assert_eq!(paths(&shared.fixture.alice), BTreeSet::from(["/by rules of today".to_owned()]));
    let told = until_alarm(&shared.fixture.alice, ProblemKind::SafeUntrusted);
    assert!(told.problem.message.contains("is void") && told.problem.message.contains("Bob"), "{told:?}");
    let _ = shared.alice().put_shared("/alice", b"writes on");
}

/// A format that this program doesn't know: an owner's word stops it without an alarm, and is no
/// reason to distrust anybody; of anybody else it is nothing.
#[test]
fn a_format_that_is_not_known_here_stops_and_says_that_the_program_is_too_old() {
    for (role, kind) in
        [(SafeRole::Owner, ProblemKind::SafeTooNew), (SafeRole::Manager, ProblemKind::ChainInvalid)]
    {
        let mut shared = Shared::with(role);
        let safe = shared.safe;
        let _ = shared.alice().put_shared("/alice", b"of the format of today");
        let bob = Insider::of(&mut shared.bob, BOB_PASSWORD, &shared.fixture.server);
        let view = bob.view(safe);
        let raised = bob.certificate(&view, Body::State { state: Condition::Open, format: 2, suite: 1 });
        let (mut certificates, records) = (view.certificates, view.records);
        certificates.push(raised);
        lies(&shared.fixture.proxy, move |request, answer| {
            shows(request, answer, safe, &certificates, &records);
        });
        stopped_by(&shared.fixture.alice, safe, kind);
        assert_eq!(shared.alice().get("/alice").unwrap(), b"of the format of today");
        let alarms = shared.fixture.alice.status().alarms;
        assert_eq!(alarms.is_empty(), kind == ProblemKind::SafeTooNew, "{alarms:?}");
        shared.fixture.proxy.meddle(std::sync::Arc::new(Honest));
        shared.alice().sync();
    }
}

/// A record whose author says to have had another tree: it counts, and is told.
#[test]
fn another_tree_before_a_record_is_told_and_decides_nothing() {
    let mut shared = Shared::with(SafeRole::Contributor);
    let safe = shared.safe;
    let bob = Insider::of(&mut shared.bob, BOB_PASSWORD, &shared.fixture.server);
    let view = bob.view(safe);
    let root = Hash::of(&[b"a tree of Bob's own"]);
    let inside = Inside { rules: RULES_VERSION, root, changes: vec![folder(safe, "folder")] };
    let record = bob.seal(&view, bob.next_record(&view), &inside);
    let _ = bob.posted(safe, &record);
    let synced = shared.alice().sync();
    assert_eq!(synced.problem, None);
    assert_eq!(paths(&shared.fixture.alice), BTreeSet::from(["/folder".to_owned()]));
    let told = until_alarm(&shared.fixture.alice, ProblemKind::SafeUntrusted);
    let text = told.problem.message;
    assert!(text.contains("had another tree") && text.contains("Bob"), "{text}");
    let _ = shared.alice().put_shared("/alice", b"writes on");
}
