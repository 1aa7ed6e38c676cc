//! Who may sign what goes into the log, and with which view of it; each rule broken alone
//! (docs/assurance.md, S2).
//!
//! A case is a certificate by an honest or hostile member that is right but for one thing. Each
//! case is shown together with its twin that lacks the fault and is accepted: so the fault, and
//! nothing else, is what is refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use parsec_protocol::chain::organisation::certificate::{Body, Payload, Profile};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::chain::organisation::rules::Fault;
use parsec_protocol::ids::Timestamp;
use parsec_protocol::public_keys::{Context, Signature};
use support::{
    BEGINNING, By, Org, device, device_body, envelope, foreign_head, organisation, refused, refused_author,
    refused_change, root_key, standard, user, user_body, weak_verify_key,
};

// --- who signed

#[test]
fn unknown_root() {
    let good = Org::empty();
    let mut payload = good.payload(By::Root, user_body(0, Profile::Administrator));
    let fine = envelope(By::Root, &payload);
    let by_other = payload.sign_with(|context, message| root_key(1).sign(context, message));
    refused(&good, Fault::BadSignature, &by_other, &fine);
    // The same log, read by somebody who pinned another root: its very first certificate has seen
    // another log too, but the signature is what is refused first.
    let mut other = VerifiedLog::empty(organisation(), root_key(1).verify_key());
    assert_eq!(other.push(&fine).unwrap_err().fault, Fault::BadSignature);
    payload.seen = other.head();
    other.push(&payload.sign_with(|context, message| root_key(1).sign(context, message))).unwrap();
}

#[test]
fn a_weak_root_key_signs_nothing() {
    let mut log = VerifiedLog::empty(organisation(), weak_verify_key());
    let mut payload = Org::empty().payload(By::Root, user_body(0, Profile::Administrator));
    payload.seen = log.head();
    // R = identity, S = 0 satisfies the plain equation under the identity key, for every message.
    let mut forged = [0; 64];
    forged[0] = 1;
    let envelope = payload.sign_with(|_, _| Signature::from_bytes(forged));
    assert_eq!(log.push(&envelope).unwrap_err().fault, Fault::BadSignature);
}

#[test]
fn root_author_later() {
    refused_author(&Org::founded(), Fault::RootTooLate, By::Root, By::Device(0), standard(1));
    refused_author(&Org::founded(), Fault::RootTooLate, By::Root, By::Device(0), device_body(1, 0));
}

#[test]
fn second_root() {
    // A second founding, by a second root, in the middle of a log.
    let org = Org::founded();
    let mut payload = org.payload(By::Root, user_body(1, Profile::Administrator));
    let second = payload.sign_with(|context, message| root_key(1).sign(context, message));
    payload.author = By::Device(0).author();
    refused(&org, Fault::RootTooLate, &second, &envelope(By::Device(0), &payload));
}

#[test]
fn first_two_not_by_root() {
    let first = user_body(0, Profile::Administrator);
    refused_author(&Org::empty(), Fault::NotByRoot, By::Device(0), By::Root, first.clone());
    let mut org = Org::empty();
    org.say(By::Root, first);
    refused_author(&org, Fault::NotByRoot, By::Device(0), By::Root, device_body(0, 0));
}

#[test]
fn unknown_signer() {
    refused_author(&Org::staffed(), Fault::AuthorUnknown, By::Device(77), By::Device(0), standard(5));
}

#[test]
fn cycle_device_certifies_itself() {
    let org = Org::staffed();
    refused_author(&org, Fault::AuthorUnknown, By::Device(5), By::Device(0), device_body(5, 0));
}

#[test]
fn cycle_forward_reference() {
    // 6 is certified by 5, 5 by 6: neither order gives either an author.
    let org = Org::staffed();
    let six = envelope(By::Device(5), &org.payload(By::Device(5), device_body(6, 2)));
    let five = envelope(By::Device(6), &org.payload(By::Device(6), device_body(5, 2)));
    for order in [[&six, &five], [&five, &six]] {
        let error = org.log.extended(order.map(Vec::as_slice)).unwrap_err();
        assert_eq!((error.position, error.fault), (org.log.head().count, Fault::AuthorUnknown));
    }
    // The twin: 5 by a known device, then 6 by 5.
    let mut good = org;
    good.say(By::Device(2), device_body(5, 2));
    good.say(By::Device(5), device_body(6, 2));
    println!(
        "figure S2: signers unknown, revoked, in a circle, in another's name: each refused by its own fault"
    );
}

#[test]
fn revoked_device_signs() {
    refused_author(&Org::staffed(), Fault::AuthorRevoked, By::Device(10), By::Device(0), standard(5));
}

#[test]
fn revoked_user_signs() {
    refused_author(&Org::staffed(), Fault::AuthorRevoked, By::Device(4), By::Device(0), standard(5));
}

#[test]
fn what_a_revoked_signer_certified_before_still_stands() {
    let mut org = Org::staffed();
    org.say(By::Device(1), standard(5));
    org.say(By::Device(1), device_body(5, 5));
    org.say(By::Device(0), Body::UserRevoked { user: user(1) });
    org.say(By::Device(5), device_body(50, 5));
}

#[test]
fn signature_by_another_members_key() {
    let org = Org::staffed();
    let payload = org.payload(By::Device(0), standard(5));
    let bad = envelope(By::Device(2), &payload);
    refused(&org, Fault::BadSignature, &bad, &envelope(By::Device(0), &payload));
}

#[test]
fn a_signature_of_another_context_is_no_certificate() {
    let org = Org::staffed();
    let payload = org.payload(By::Device(0), standard(5));
    for context in Context::ALL.into_iter().filter(|context| *context != Context::Certificate) {
        let bad = payload.sign_with(|_, message| By::Device(0).sign(context, message));
        refused(&org, Fault::BadSignature, &bad, &envelope(By::Device(0), &payload));
    }
}

#[test]
fn every_changed_byte_is_refused() {
    // S1: no byte of a certificate, keys included, can be replaced.
    let org = Org::staffed();
    for body in [standard(5), device_body(5, 0)] {
        let good = envelope(By::Device(0), &org.payload(By::Device(0), body));
        assert_eq!(org.fault(&good), Ok(()));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(org.fault(&bad).is_err(), "byte {at}");
        }
    }
}

// --- what the author had seen, and when

#[test]
fn seen_another_log() {
    refused_change(&Org::staffed(), By::Device(0), Fault::ForkedView, |payload| {
        payload.seen = foreign_head(payload.seen.count);
    });
}

#[test]
fn seen_the_right_hash_at_the_wrong_count() {
    let org = Org::staffed();
    // Device 2 spoke last at position 10, having seen 10.
    refused_change(&org, By::Device(2), Fault::ForkedView, |payload| payload.seen.count -= 1);
}

#[test]
fn seen_ahead_of_the_log() {
    refused_change(&Org::staffed(), By::Device(0), Fault::SeenAhead, |payload| {
        payload.seen.count += 1;
    });
    refused_change(&Org::staffed(), By::Device(0), Fault::SeenAhead, |payload| {
        payload.seen.count = u64::MAX;
    });
}

/// A decision of administrator 0, whose last one had seen 13 certificates and was made at 13.
fn decision(org: &Org) -> Payload {
    org.payload(By::Device(0), Body::DeviceRevoked { device: device(20) })
}

#[test]
fn seen_less_than_before() {
    let org = Org::staffed();
    let good = Payload { seen: org.log.head_at(13).unwrap(), ..decision(&org) };
    let bad = Payload { seen: org.log.head_at(12).unwrap(), ..decision(&org) };
    refused(&org, Fault::SeenWentBack, &envelope(By::Device(0), &bad), &envelope(By::Device(0), &good));
    // An author who decided nothing yet may have seen little.
    let body = Body::DeviceRevoked { device: device(20) };
    let payload = Payload { seen: org.log.head_at(2).unwrap(), ..org.payload(By::Device(1), body) };
    assert_eq!(org.fault(&envelope(By::Device(1), &payload)), Ok(()));
}

#[test]
fn time_going_back() {
    let org = Org::staffed();
    // Equal times are in order.
    let good = Payload { time: Timestamp(BEGINNING + 13), ..decision(&org) };
    let bad = Payload { time: Timestamp(BEGINNING + 12), ..decision(&org) };
    refused(&org, Fault::TimeWentBack, &envelope(By::Device(0), &bad), &envelope(By::Device(0), &good));
    // Clocks of different authors are not compared.
    let body = Body::DeviceRevoked { device: device(20) };
    let slow = Payload { time: Timestamp(1), ..org.payload(By::Device(1), body) };
    assert_eq!(org.fault(&envelope(By::Device(1), &slow)), Ok(()));
}

#[test]
fn enrolments_of_one_device_in_any_order() {
    // Two newcomers at once; who was approved first is the slower to choose a password
    // (docs/decisions/0001).
    let mut org = Org::staffed();
    // Both certificates carry the view before either: what will stand between is not known yet.
    let sign = |org: &Org, number: u64| {
        [standard(number), device_body(number, number)]
            .map(|body| envelope(By::Device(0), &org.payload(By::Device(0), body)))
    };
    let slow = sign(&org, 5);
    org.say(By::Device(0), Body::DeviceRevoked { device: device(20) });
    org.say(By::Device(0), Body::DeviceRevoked { device: device(3) });
    let fast = sign(&org, 6);
    let log = org.log.extended(fast.iter().map(Vec::as_slice)).unwrap();
    log.extended(slow.iter().map(Vec::as_slice)).unwrap();
}

#[test]
fn a_decision_may_be_published_after_a_later_enrolment() {
    let mut org = Org::staffed();
    let decision = envelope(By::Device(0), &decision(&org));
    org.say(By::Device(1), standard(5));
    org.say(By::Device(0), standard(6));
    assert_eq!(org.fault(&decision), Ok(()));
}
