//! Keys that a member gives wrongly, or a server exchanges: who is wronged knows it and by whom,
//! nobody writes under such a key, and whoever has the right one gives it to those who lack it.

use parsec_protocol::control::{DeviceSelector, ProblemKind, SafeRole, UserRevoke, method};
use parsec_protocol::keys::{SafeKey, UserSeed};
use parsec_protocol::relay::{ErrorCode, SafeCertificate};
use parsec_protocol::safe_log::certificate::{Body, Change, Key};
use parsec_protocol::safe_log::ring::{BoxFor, RingHead, RingList, RingPart, boxes_hash};
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safe_log::rules::ring_list;
use parsec_protocol::safes::ring_making::{Before, SealTo, make_ring};
use parsec_protocol::sealing::SECRET_BOX_BYTES;
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_AGAIN, ALICE_PASSWORD, BOB, BOB_EMAIL, BOB_PASSWORD};
use parsec_tests::insider::{Insider, View, drawn, folder};
use parsec_tests::lying::{Asked, asked, lies, shows};
use parsec_tests::own_devices::only;
use parsec_tests::proxy::Honest;
use parsec_tests::safes::Safe;
use parsec_tests::script::Newcomer;
use parsecd::os::entropy::System;

use super::{
    CAROL, CAROL_EMAIL, PLANS, Shared, founded, let_in, made, nudge, share, stopped_by, until_alarm,
};

const DAVE_EMAIL: &str = "dave@acme.example";
const DAVE: Newcomer<'static> =
    Newcomer { name: Some("Dave Okonjo"), label: "Dave's blue laptop", password: "dave feeds six geese" };

/// A certificate with a new key, and what belongs to it.
struct Rekeyed {
    call: SafeCertificate,
    part: Vec<u8>,
    head: Vec<u8>,
    key: SafeKey,
    epoch: u64,
}

/// Everybody who is to have the next key.
fn list_of(by: &Insider, view: &View) -> RingList {
    match ring_list(&view.verified, &by.log, by.log.count(), &[]) {
        Ok(list) => list,
        Err(never) => match never {},
    }
}

/// A new key by a member, for everybody who is to have it; `change` spoils ring and boxes before
/// they are named by a hash.
fn rekeyed(by: &Insider, view: &View, change: impl FnOnce(&mut RingHead, &mut RingPart)) -> Rekeyed {
    let safe = *view.verified.id();
    let epoch = view.verified.present().unwrap().key.epoch + 1;
    let list = list_of(by, view);
    let keys: Vec<_> = list.0.iter().map(|recipient| by.key(recipient.key)).collect();
    let to: Vec<_> = list
        .0
        .iter()
        .zip(&keys)
        .map(|(recipient, key)| SealTo { recipient: *recipient, key: Some(key) })
        .collect();
    let key = SafeKey::random(&mut System).unwrap();
    let of = by.epoch_key(&safe, epoch, &key);
    let before = Before { keys: &view.keys, past: None };
    let made = make_ring(&of, by.device(), &to, before, &mut System).unwrap();
    let mut head = RingHead::decode(&made.head).unwrap();
    let mut part = RingPart::decode(&made.parts[0].1).unwrap();
    change(&mut head, &mut part);
    head.parts = vec![part.hash()];
    let (key_check, list) = (made.key_check, made.list);
    let body = Body::Changed {
        changes: Vec::new(),
        key: Some(Key { epoch, key_check, list, ring: head.hash(), lost: 0 }),
        boxes: None,
    };
    let certificate = by.certificate(view, body).into();
    let (head, part) = (head.encode(), part.encode());
    let call = SafeCertificate { certificate, ring: Some(head.clone().into()), boxes: Vec::new() };
    Rekeyed { call, part, head, key, epoch }
}

impl Rekeyed {
    /// The server takes it: it sees no more than that everything has its length and hash.
    fn posted(self, by: &Insider, view: &View) {
        let safe = *view.verified.id();
        by.put_part(safe, &self.part).unwrap();
        let _ = by.post_certificate(safe, &self.call).unwrap();
        by.open.store.put_safe_keys(safe, &[(self.epoch, self.key)]).unwrap();
    }
}

/// Alice who owns the safe, Bob who manages it and whose hand the test is, Carol who writes in it,
/// Dave who reads.
struct Four {
    shared: Shared,
    bob: Insider,
    carol: Device,
    dave: Device,
}

impl Four {
    fn with() -> Self {
        let mut shared = Shared::with(SafeRole::Manager);
        let alice = &shared.fixture.alice;
        let carol = let_in(&shared.fixture, "carol", CAROL_EMAIL, CAROL);
        let dave = let_in(&shared.fixture, "dave", DAVE_EMAIL, DAVE);
        share(alice, &carol, CAROL_EMAIL, shared.safe, SafeRole::Contributor);
        share(alice, &dave, DAVE_EMAIL, shared.safe, SafeRole::Reader);
        let _ = shared.alice().put_shared("/before", b"of the first epoch");
        for device in [&carol, &dave, &shared.bob] {
            Safe { device, name: PLANS }.sync();
        }
        let bob = Insider::of(&mut shared.bob, BOB_PASSWORD, &shared.fixture.server);
        Self { shared, bob, carol, dave }
    }

    /// A folder by Bob, under the present key.
    fn writes(&self, name: &str) {
        let safe = self.shared.safe;
        let mut view = self.bob.view(safe);
        let payload = self.bob.next_record(&view);
        let record = self.bob.write(&mut view, payload, vec![folder(safe, name)]);
        let _ = self.bob.posted(safe, &record);
    }

    fn place_of(&self, view: &View, device: &Device) -> usize {
        let user = device.devices()[0].user;
        let list = list_of(&self.bob, view);
        list.0.iter().position(|recipient| recipient.user == user).unwrap()
    }
}

fn has(device: &Device, path: &str) -> bool {
    Safe { device, name: PLANS }.paths().unwrap().contains(&path.to_owned())
}

/// T23: boxes exchanged, so that two members can't open theirs: each is told by whom, and has the
/// right one as soon as somebody is there who has the key.
#[test]
fn a_wrong_box_names_its_author_and_any_holder_makes_it_good() {
    let mut four = Four::with();
    let safe = four.shared.safe;
    // Nobody who could help is there.
    four.carol.kill();
    let view = four.bob.view(safe);
    let (alice, dave) = (four.place_of(&view, &four.shared.fixture.alice), four.place_of(&view, &four.dave));
    rekeyed(&four.bob, &view, |_, part| part.0.swap(alice, dave)).posted(&four.bob, &view);
    four.writes("under the second key");

    for device in [&four.shared.fixture.alice, &four.dave] {
        stopped_by(device, safe, ProblemKind::SafeKeyMissing);
        let told = until_alarm(device, ProblemKind::SafeUntrusted);
        let text = told.problem.message;
        assert!(text.contains("box") && text.contains("Bob"), "{text}");
        // What was there is there.
        assert_eq!(Safe { device, name: PLANS }.get("/before").unwrap(), b"of the first epoch");
        assert!(!has(device, "/under the second key"));
    }
    let refused = four.shared.alice().put("/alice", b"under no other key", 0).unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::SafeKeyMissing));

    four.carol.restart();
    four.carol.unlock(CAROL.password).unwrap();
    let told = until_alarm(&four.carol, ProblemKind::SafeUntrusted);
    assert!(told.problem.message.contains("Bob"), "{told:?}");
    for device in [&four.shared.fixture.alice, &four.dave] {
        nudge(device, safe);
        let _ =
            device.until_safe(|found| found.safe == safe && found.problem.is_none() && found.waiting == 0);
        assert!(has(device, "/under the second key"));
    }
    let _ = four.shared.alice().put_shared("/alice", b"under the second key");
    Safe { device: &four.dave, name: PLANS }.sync();
    assert_eq!(Safe { device: &four.dave, name: PLANS }.get("/alice").unwrap(), b"under the second key");
}

/// T23: no box where a sound key is: an honest server refuses the ring, and with another one's help
/// the wronged see who left them out.
#[test]
fn no_box_for_a_sound_key_is_refused_and_told() {
    let four = Four::with();
    let safe = four.shared.safe;
    let view = four.bob.view(safe);
    let alice = four.place_of(&view, &four.shared.fixture.alice);
    let left_out = rekeyed(&four.bob, &view, |_, part| part.0[alice] = None);
    four.bob.put_part(safe, &left_out.part).unwrap();
    let refused = four.bob.post_certificate(safe, &left_out.call).unwrap_err();
    assert_eq!(refused, ErrorCode::RingRefused);
    // Nor with a list that leaves her out, nor with somebody more in it.
    let other_list = rekeyed(&four.bob, &view, |head, part| {
        let _ = (head.list.0.remove(alice), part.0.remove(alice));
    });
    four.bob.put_part(safe, &other_list.part).unwrap();
    assert_eq!(four.bob.post_certificate(safe, &other_list.call).unwrap_err(), ErrorCode::RingRefused);

    let mut certificates = view.certificates.clone();
    certificates.push(left_out.call.certificate.to_vec());
    let (records, alices) = (view.records.clone(), only(&four.shared.fixture.alice));
    let (head, part) = (left_out.head, left_out.part);
    lies(&four.shared.fixture.proxy, move |request, answer| {
        if !request.is_by(alices) {
            return;
        }
        shows(request, answer, safe, &certificates, &records);
        if asked(request, safe) == Some(Asked::Ring) {
            answer.status = 200;
            answer.body = if request.target.contains("/parts/") { part.clone() } else { head.clone() };
        }
    });
    nudge(&four.shared.fixture.alice, safe);
    let told = until_alarm(&four.shared.fixture.alice, ProblemKind::SafeUntrusted);
    let text = told.problem.message;
    assert!(text.contains("has no box") && text.contains("Bob"), "{text}");
    let refused = four.shared.alice().put("/alice", b"under no other key", 0).unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::SafeKeyMissing));
}

/// T23: somebody who is let in with a box that is none.
#[test]
fn a_member_who_was_given_nonsense_for_a_box_is_told_by_whom_and_helped() {
    let mut four = Four::with();
    let safe = four.shared.safe;
    four.carol.kill();
    let erin = let_in(
        &four.shared.fixture,
        "erin",
        "erin@acme.example",
        Newcomer { name: Some("Erin Castellanos"), ..ALICE_AGAIN },
    );
    four.shared.fixture.alice.kill();
    four.bob.refresh();
    let view = four.bob.view(safe);
    let user = erin.devices()[0].user;
    let boxes = vec![BoxFor { user, sealed: vec![7; SECRET_BOX_BYTES].into() }];
    let body = Body::Changed {
        changes: vec![Change { user, role: Some(Role::Reader) }],
        key: None,
        boxes: Some(boxes_hash(&boxes)),
    };
    let call = SafeCertificate { certificate: four.bob.certificate(&view, body).into(), ring: None, boxes };
    let _ = four.bob.post_certificate(safe, &call).unwrap();
    let id = safe.to_string();
    let _ = erin.until_safe(|found| found.safe == safe);
    Safe { device: &erin, name: &id }.accept().unwrap();
    stopped_by(&erin, safe, ProblemKind::SafeKeyMissing);
    let told = until_alarm(&erin, ProblemKind::SafeUntrusted);
    assert!(told.problem.message.contains("Bob"), "{told:?}");

    four.shared.fixture.alice.restart();
    four.shared.fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let told = until_alarm(&four.shared.fixture.alice, ProblemKind::SafeUntrusted);
    assert!(told.problem.message.contains("Bob"), "{told:?}");
    nudge(&erin, safe);
    let _ = erin.until_safe(|found| found.safe == safe && found.problem.is_none() && found.epoch == 0);
    Safe { device: &erin, name: &id }.sync();
    assert_eq!(Safe { device: &erin, name: &id }.get("/before").unwrap(), b"of the first epoch");
}

/// T23: a key whose past opens nothing: those who had the earlier keys go on, a newcomer is told,
/// and the next honest key brings all of them.
#[test]
fn a_past_that_opens_nothing_is_told_to_newcomers_and_mended_by_the_next_key() {
    let mut four = Four::with();
    let safe = four.shared.safe;
    let view = four.bob.view(safe);
    rekeyed(&four.bob, &view, |head, _| head.past = Some(drawn::<80>().to_vec().into()))
        .posted(&four.bob, &view);
    four.writes("under the second key");
    four.shared.alice().sync();
    assert!(has(&four.shared.fixture.alice, "/under the second key"));

    let erin = let_in(
        &four.shared.fixture,
        "erin",
        "erin@acme.example",
        Newcomer { name: Some("Erin Castellanos"), ..ALICE_AGAIN },
    );
    four.shared.alice().share("erin@acme.example", SafeRole::Reader).unwrap();
    let id = safe.to_string();
    let _ = erin.until_safe(|found| found.safe == safe);
    Safe { device: &erin, name: &id }.accept().unwrap();
    stopped_by(&erin, safe, ProblemKind::SafeKeyMissing);
    let told = until_alarm(&erin, ProblemKind::SafeUntrusted);
    let text = told.problem.message;
    assert!(text.contains("earlier keys") && text.contains("Bob"), "{text}");

    four.bob.refresh();
    let out = UserRevoke { select: DeviceSelector::default(), user: four.bob.user() };
    let _: parsec_protocol::control::Member =
        four.shared.fixture.alice.call(method::USER_REVOKE, out).unwrap();
    let _ = four.shared.fixture.alice.until_safe(|found| found.safe == safe && found.epoch == 2);
    nudge(&erin, safe);
    let _ = erin.until_safe(|found| found.safe == safe && found.problem.is_none() && found.epoch == 2);
    assert_eq!(Safe { device: &erin, name: &id }.get("/before").unwrap(), b"of the first epoch");
    four.carol.kill();
}

/// T1, T2: a ring, a part or a member's key that the server exchanges is none: nothing is sealed to
/// it, and nothing is written under a key of the server's.
#[test]
fn rings_and_keys_of_the_servers_own_are_not_taken() {
    let fixture = founded();
    let bob = let_in(&fixture, "bob", BOB_EMAIL, BOB);
    let carol = let_in(&fixture, "carol", CAROL_EMAIL, CAROL);
    let safe = made(&bob);
    let bobs = Safe { device: &bob, name: PLANS };
    // The key that Carol's name stands for, exchanged for one of the server's own.
    let own = parsec_protocol::codec::encode(&UserSeed::random(&mut System).unwrap().encryption_key());
    lies(&fixture.proxy, move |request, answer| {
        if request.method == "GET" && request.target.contains("/keys/") && answer.status == 200 {
            answer.body.clone_from(&own);
        }
    });
    let refused = bobs.share(CAROL_EMAIL, SafeRole::Reader).unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::ServerMisbehaved));
    let said = bob.ctl(&["safe", "share", PLANS, CAROL_EMAIL, "--role", "reader", "--yes"]);
    assert_eq!(said.code, i32::from(ProblemKind::ServerMisbehaved.exit_code()), "{said:?}");
    fixture.proxy.meddle(std::sync::Arc::new(Honest));
    assert_eq!(bobs.sync().members, 1, "nobody was let in");
    let _ = bobs.put_shared("/before", b"b");
    bobs.share(CAROL_EMAIL, SafeRole::Reader).unwrap();

    // Rings, parts and boxes of another making, to one who has no key yet.
    let carols = only(&carol);
    lies(&fixture.proxy, move |request, answer| {
        let of_a_key = matches!(asked(request, safe), Some(Asked::Ring | Asked::Boxes));
        if request.is_by(carols) && of_a_key && answer.status == 200 {
            let last = answer.body.len() - 1;
            answer.body[last] ^= 1;
        }
    });
    let _ = carol.until_safe(|found| found.safe == safe);
    let id = safe.to_string();
    Safe { device: &carol, name: &id }.accept().unwrap();
    stopped_by(&carol, safe, ProblemKind::SafeKeyMissing);
    fixture.proxy.meddle(std::sync::Arc::new(Honest));
    Safe { device: &carol, name: &id }.sync();
    assert_eq!(Safe { device: &carol, name: &id }.get("/before").unwrap(), b"b");
}
