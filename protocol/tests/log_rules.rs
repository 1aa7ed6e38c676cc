//! Each rule of the log, broken alone (checks.md S1, S2 and A2; docs/protocol.md, *The log*).
//!
//! A case is a certificate by an honest or hostile member that is right but for one thing. Each case is shown
//! together with its twin that lacks the fault and is accepted: so the fault, and nothing else, is what is refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use parsec_protocol::chain::certificate::{
    Author, Body, Envelope, Head, Payload, Profile, SEALED_NAME_BYTES,
};
use parsec_protocol::chain::verify::{Fault, VerifiedLog};
use parsec_protocol::codec;
use parsec_protocol::ids::{DeviceId, Email, Timestamp, UserId};
use parsec_protocol::limits::DEVICES_PER_USER_MAX;
use parsec_protocol::public::{EncryptionKey, Hash, VerifyKey};
use support::{
    BEGINNING, By, Org, device, device_body, email, encryption_key, envelope, foreign_head, organisation,
    root_key, signing_key, user, user_body, weak_verify_key,
};

/// `bad` breaks `fault` in `org`, where `good` is accepted.
#[track_caller]
fn refused(org: &Org, fault: Fault, bad: &[u8], good: &[u8]) {
    assert_eq!(org.fault(good), Ok(()), "the twin without the fault");
    assert_eq!(org.fault(bad), Err(fault));
}

/// The same for two statements by the same author.
#[track_caller]
fn refused_body(org: &Org, by: By, fault: Fault, bad: Body, good: Body) {
    refused(org, fault, &envelope(by, &org.payload(by, bad)), &envelope(by, &org.payload(by, good)));
}

/// The same for one statement by two authors.
#[track_caller]
fn refused_author(org: &Org, fault: Fault, bad: By, good: By, body: Body) {
    refused(
        org,
        fault,
        &envelope(bad, &org.payload(bad, body.clone())),
        &envelope(good, &org.payload(good, body)),
    );
}

/// The same for a payload that is changed before it is signed.
#[track_caller]
fn refused_change(org: &Org, by: By, fault: Fault, change: impl FnOnce(&mut Payload)) {
    let good = org.payload(by, device_body(99, by_user(by)));
    let mut bad = good.clone();
    change(&mut bad);
    assert_ne!(bad, good);
    refused(org, fault, &envelope(by, &bad), &envelope(by, &good));
}

/// In these tests a device has its user's number, or ten times it.
fn by_user(by: By) -> u64 {
    match by {
        By::Device(20) => 2,
        By::Device(number) => number,
        By::Root => 0,
    }
}

fn standard(number: u64) -> Body {
    user_body(number, Profile::Standard)
}

// --- who signed

#[test]
fn unknown_root() {
    let good = Org::empty();
    let mut payload = good.payload(By::Root, user_body(0, Profile::Administrator));
    let fine = envelope(By::Root, &payload);
    let by_other = payload.sign_with(|context, message| root_key(1).sign(context, message));
    refused(&good, Fault::BadSignature, &by_other, &fine);
    // The same log, read by somebody who pinned another root: its very first certificate has seen another log too,
    // but the signature is what is refused first.
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
    let envelope = payload.sign_with(|_, _| parsec_protocol::public::Signature::from_bytes(forged));
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
    use parsec_protocol::public::Context;
    let org = Org::staffed();
    let payload = org.payload(By::Device(0), standard(5));
    for context in [Context::Request, Context::Receipt, Context::Possession, Context::Manifest] {
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

// --- what kind of thing it is

#[test]
fn wrong_organisation() {
    refused_change(&Org::staffed(), By::Device(0), Fault::WrongOrganisation, |payload| {
        payload.organisation = "other".parse().unwrap();
    });
}

fn one_of_each_kind() -> Vec<Body> {
    vec![
        standard(5),
        device_body(5, 0),
        Body::ProfileChange { user: user(2), profile: Profile::Outsider },
        Body::UserRevoked { user: user(2) },
        Body::DeviceRevoked { device: device(2) },
    ]
}

/// The offset of the body's kind number in a payload.
fn kind_offset(payload: &Payload) -> usize {
    // The body is the last field: [kind, [fields]], so its first two bytes are 0x82 and the kind.
    codec::encode(payload).len() - codec::encode(&payload.body).len() + 1
}

#[test]
fn wrong_kind_every_pair() {
    let org = Org::staffed();
    let kinds = one_of_each_kind();
    let mut tried = 0;
    for (from, body) in kinds.iter().enumerate() {
        let payload = org.payload(By::Device(0), body.clone());
        let bytes = codec::encode(&payload);
        let at = kind_offset(&payload);
        assert_eq!(bytes[at], u8::try_from(from).unwrap());
        assert_eq!(org.fault(&envelope(By::Device(0), &payload)), Ok(()), "kind {from} itself");
        for to in (0..kinds.len()).filter(|to| *to != from) {
            let mut swapped = bytes.clone();
            swapped[at] = u8::try_from(to).unwrap();
            // By the server: the signature stays as it was.
            let mut kept = Envelope::decode(&envelope(By::Device(0), &payload)).unwrap();
            kept.payload = swapped.clone().into();
            let fault = org.fault(&codec::encode(&kept)).unwrap_err();
            assert!(matches!(fault, Fault::BadSignature | Fault::Malformed), "{from} as {to}: {fault:?}");
            // By a member who signs it so: the fields are of the other kind, and ids of people are none of terminals.
            let signature =
                By::Device(0).sign(parsec_protocol::public::Context::Certificate, swapped.as_slice());
            let signed = codec::encode(&Envelope { payload: swapped.into(), signature });
            let fault = org.fault(&signed).unwrap_err();
            assert!(
                matches!(fault, Fault::Malformed | Fault::SubjectUnknown),
                "{from} signed as {to}: {fault:?}"
            );
            tried += 1;
        }
    }
    assert_eq!(tried, 5 * 4);
}

#[test]
fn unknown_kind_and_extra_fields() {
    let org = Org::staffed();
    for body in one_of_each_kind() {
        let payload = org.payload(By::Device(0), body);
        let bytes = codec::encode(&payload);
        let sign = |bytes: Vec<u8>| {
            let signature = By::Device(0).sign(parsec_protocol::public::Context::Certificate, &bytes);
            codec::encode(&Envelope { payload: bytes.into(), signature })
        };
        assert_eq!(org.fault(&sign(bytes.clone())), Ok(()));
        let mut unknown = bytes.clone();
        unknown[kind_offset(&payload)] = 5;
        assert_eq!(org.fault(&sign(unknown)), Err(Fault::Malformed));
        let mut extra = bytes.clone();
        extra[kind_offset(&payload) + 1] += 1;
        extra.push(0);
        assert_eq!(org.fault(&sign(extra)), Err(Fault::Malformed));
        let mut sixth_field = bytes;
        sixth_field[0] += 1;
        sixth_field.push(0);
        assert_eq!(org.fault(&sign(sixth_field)), Err(Fault::Malformed));
    }
}

#[test]
fn malformed_and_too_long() {
    let org = Org::staffed();
    for bad in [&b""[..], &[0; 16], &[0x82], &[0xff; 64], &vec![0x81; 2_048], &vec![0; 3_000]] {
        assert_eq!(org.fault(bad), Err(Fault::Malformed));
    }
    let mut long = org.payload(By::Device(0), standard(5));
    if let Body::User { sealed_name, .. } = &mut long.body {
        *sealed_name = vec![0; 2_048].into();
    }
    assert_eq!(org.fault(&envelope(By::Device(0), &long)), Err(Fault::Malformed));
}

// --- what the author had seen, and when

#[test]
fn seen_another_log() {
    refused_change(&Org::staffed(), By::Device(0), Fault::SeenOther, |payload| {
        payload.seen = foreign_head(payload.seen.count);
    });
}

#[test]
fn seen_the_right_hash_at_the_wrong_count() {
    let org = Org::staffed();
    // Device 2 spoke last at position 10, having seen 10.
    refused_change(&org, By::Device(2), Fault::SeenOther, |payload| payload.seen.count -= 1);
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
    // Two newcomers at once; who was approved first is the slower to choose a password (docs/decisions/0001).
    let mut org = Org::staffed();
    // Both certificates carry the view before either: what will stand between is not known yet.
    let sign = |org: &Org, number: u64| {
        [standard(number), device_body(number, number)]
            .map(|body| envelope(By::Device(0), &org.payload(By::Device(0), body)))
    };
    let slow = sign(&org, 5);
    org.say(By::Device(0), Body::DeviceRevoked { device: device(20) });
    let fast = sign(&org, 6);
    let log = org.log.extended(fast.iter().map(Vec::as_slice)).unwrap();
    log.extended(slow.iter().map(Vec::as_slice)).unwrap();
}

// --- the beginning

#[test]
fn the_first_is_an_administrator() {
    let org = Org::empty();
    for bad in [
        standard(0),
        user_body(0, Profile::Outsider),
        device_body(0, 0),
        Body::UserRevoked { user: user(0) },
        Body::DeviceRevoked { device: device(0) },
        Body::ProfileChange { user: user(0), profile: Profile::Standard },
    ] {
        refused_body(&org, By::Root, Fault::NotAFounding, bad, user_body(0, Profile::Administrator));
    }
}

#[test]
fn the_second_is_a_device_of_the_first() {
    let mut org = Org::empty();
    org.say(By::Root, user_body(0, Profile::Administrator));
    for bad in [
        user_body(1, Profile::Administrator),
        device_body(0, 1),
        Body::UserRevoked { user: user(0) },
        Body::DeviceRevoked { device: device(0) },
        Body::ProfileChange { user: user(0), profile: Profile::Standard },
    ] {
        refused_body(&org, By::Root, Fault::NotAFounding, bad, device_body(0, 0));
    }
}

// --- new users

#[test]
fn non_administrators_certify_nobody() {
    let org = Org::staffed();
    refused_author(&org, Fault::NotAdministrator, By::Device(2), By::Device(1), standard(5));
}

#[test]
fn outsiders_certify_nobody() {
    let org = Org::staffed();
    refused_author(&org, Fault::NotAdministrator, By::Device(3), By::Device(1), standard(5));
}

/// The parts of user 5's certificate, to be changed.
struct UserParts {
    id: UserId,
    email: Email,
    name: Vec<u8>,
    key: EncryptionKey,
}

/// User 5's body with one thing changed.
fn changed_user(change: impl FnOnce(&mut UserParts)) -> Body {
    let mut parts =
        UserParts { id: user(5), email: email(5), name: vec![7; SEALED_NAME_BYTES], key: encryption_key(5) };
    change(&mut parts);
    let UserParts { id: user, email, name, key: encryption_key } = parts;
    Body::User { user, email, sealed_name: name.into(), encryption_key, profile: Profile::Standard }
}

#[test]
fn user_id_reuse() {
    let org = Org::staffed();
    for taken in [0, 2, 4] {
        let bad = changed_user(|it| it.id = user(taken));
        refused_body(&org, By::Device(0), Fault::UserIdTaken, bad, standard(5));
    }
}

#[test]
fn email_reuse() {
    let org = Org::staffed();
    for taken in [0, 3] {
        let bad = changed_user(|it| it.email = email(taken));
        refused_body(&org, By::Device(0), Fault::EmailTaken, bad, standard(5));
    }
    // The address of a revoked user is free again.
    let again = changed_user(|it| it.email = email(4));
    assert_eq!(org.fault(&envelope(By::Device(0), &org.payload(By::Device(0), again))), Ok(()));
}

#[test]
fn an_email_that_was_given_again_is_taken_again() {
    let mut org = Org::staffed();
    org.say(By::Device(0), changed_user(|it| it.email = email(4)));
    let bad = changed_user(|it| (it.id, it.email, it.key) = (user(6), email(4), encryption_key(6)));
    refused_body(&org, By::Device(0), Fault::EmailTaken, bad, standard(6));
}

#[test]
fn encryption_key_reuse() {
    let org = Org::staffed();
    for taken in [0, 2, 4] {
        let bad = changed_user(|it| it.key = encryption_key(taken));
        refused_body(&org, By::Device(0), Fault::EncryptionKeyTaken, bad, standard(5));
    }
}

/// The points of small order of Curve25519 and its twist, as RFC 7748 section 6.1 warns of, and keys with a second spelling.
fn weak_encryption_keys() -> Vec<EncryptionKey> {
    let hex = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        // p, p + 1, and p + 9 (the base point spelt again)
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "f6ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        // the base point with the bit that X25519 ignores
        "0900000000000000000000000000000000000000000000000000000000000080",
    ];
    hex.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn weak_encryption_key() {
    let org = Org::staffed();
    for weak in weak_encryption_keys() {
        let bad = changed_user(|it| it.key = weak);
        refused_body(&org, By::Device(0), Fault::WeakEncryptionKey, bad, standard(5));
    }
}

#[test]
fn sealed_name_of_another_length() {
    let org = Org::staffed();
    for length in [0, SEALED_NAME_BYTES - 1, SEALED_NAME_BYTES + 1] {
        let bad = changed_user(|it| it.name = vec![0; length]);
        refused_body(&org, By::Device(0), Fault::SealedNameLength, bad, standard(5));
        let bad = changed_device(|it| it.label = vec![0; length]);
        refused_body(&org, By::Device(0), Fault::SealedNameLength, bad, device_body(5, 0));
    }
}

// --- new devices

/// The parts of a certificate for device 5 of user 0, to be changed.
struct DeviceParts {
    id: DeviceId,
    label: Vec<u8>,
    key: VerifyKey,
}

/// The body of device 5 of user 0 with one thing changed.
fn changed_device(change: impl FnOnce(&mut DeviceParts)) -> Body {
    let mut parts =
        DeviceParts { id: device(5), label: vec![8; SEALED_NAME_BYTES], key: signing_key(5).verify_key() };
    change(&mut parts);
    let DeviceParts { id: device, label, key: verify_key } = parts;
    Body::Device { device, user: user(0), sealed_label: label.into(), verify_key }
}

#[test]
fn device_id_reuse() {
    let org = Org::staffed();
    for taken in [0, 2, 10] {
        let bad = changed_device(|it| it.id = device(taken));
        refused_body(&org, By::Device(0), Fault::DeviceIdTaken, bad, device_body(5, 0));
    }
}

#[test]
fn verify_key_reuse_own() {
    let org = Org::staffed();
    for taken in [0, 10] {
        let bad = changed_device(|it| it.key = signing_key(taken).verify_key());
        refused_body(&org, By::Device(0), Fault::VerifyKeyTaken, bad, device_body(5, 0));
    }
}

#[test]
fn verify_key_reuse_of_others() {
    let org = Org::staffed();
    for taken in [1, 2, 4, 20] {
        let bad = changed_device(|it| it.key = signing_key(taken).verify_key());
        refused_body(&org, By::Device(0), Fault::VerifyKeyTaken, bad, device_body(5, 0));
    }
}

#[test]
fn verify_key_of_the_root() {
    let bad = changed_device(|it| it.key = root_key(0).verify_key());
    refused_body(&Org::staffed(), By::Device(0), Fault::VerifyKeyTaken, bad.clone(), device_body(5, 0));
    // In the founding too: the root key would live on as a device's.
    let mut org = Org::empty();
    org.say(By::Root, user_body(0, Profile::Administrator));
    refused_body(&org, By::Root, Fault::VerifyKeyTaken, bad, device_body(5, 0));
}

#[test]
fn weak_verify_keys() {
    let org = Org::staffed();
    // Small order; not on the curve; small order and not canonical; y = 1 with the sign bit set; all ones.
    let hex = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "0200000000000000000000000000000000000000000000000000000000000000",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ];
    for weak in hex {
        let weak: VerifyKey = weak.parse().unwrap();
        let bad = changed_device(|it| it.key = weak);
        assert!(!weak.is_sound(), "{weak}");
        refused_body(&org, By::Device(0), Fault::WeakVerifyKey, bad, device_body(5, 0));
    }
}

#[test]
fn devices_of_others() {
    let org = Org::staffed();
    // Not even an administrator may slip a terminal under somebody who has one.
    refused_body(&org, By::Device(0), Fault::NotOwnUser, device_body(5, 2), device_body(5, 0));
    refused_body(&org, By::Device(2), Fault::NotOwnUser, device_body(5, 0), device_body(5, 2));
    refused_body(&org, By::Device(2), Fault::SubjectUnknown, device_body(5, 77), device_body(5, 2));
}

#[test]
fn every_member_certifies_own_devices() {
    let org = Org::staffed();
    for number in [0, 1, 2, 3] {
        let by = By::Device(number);
        assert_eq!(
            org.fault(&envelope(by, &org.payload(by, device_body(5, number)))),
            Ok(()),
            "user {number}"
        );
    }
}

#[test]
fn first_device_by_another_administrator() {
    let mut org = Org::staffed();
    org.say(By::Device(0), standard(5));
    refused_author(&org, Fault::NotOwnUser, By::Device(1), By::Device(0), device_body(5, 5));
}

#[test]
fn first_device_by_another_device_of_the_same_administrator() {
    let mut org = Org::founded();
    org.say(By::Device(0), device_body(9, 0));
    org.say(By::Device(0), standard(5));
    refused_author(&org, Fault::NotOwnUser, By::Device(9), By::Device(0), device_body(5, 5));
}

#[test]
fn first_device_of_a_revoked_user() {
    let mut org = Org::staffed();
    org.say(By::Device(0), standard(5));
    let good = envelope(By::Device(0), &org.payload(By::Device(0), device_body(5, 5)));
    assert_eq!(org.fault(&good), Ok(()));
    org.say(By::Device(1), Body::UserRevoked { user: user(5) });
    let bad = envelope(By::Device(0), &org.payload(By::Device(0), device_body(5, 5)));
    assert_eq!(org.fault(&bad), Err(Fault::SubjectRevoked));
}

#[test]
fn profile_change_then_certify() {
    // An administrator who was made standard between the two certificates of an enrolment, and after.
    let mut org = Org::staffed();
    org.say(By::Device(1), standard(5));
    let device = envelope(By::Device(1), &org.payload(By::Device(1), device_body(5, 5)));
    let user = envelope(By::Device(1), &org.payload(By::Device(1), standard(6)));
    assert_eq!((org.fault(&device), org.fault(&user)), (Ok(()), Ok(())));
    org.say(By::Device(0), Body::ProfileChange { user: support::user(1), profile: Profile::Standard });
    assert_eq!(org.fault(&device), Err(Fault::NotAdministrator));
    assert_eq!(org.fault(&user), Err(Fault::NotAdministrator));
    // And one who was promoted may.
    org.say(By::Device(0), Body::ProfileChange { user: support::user(2), profile: Profile::Administrator });
    org.say(By::Device(2), standard(6));
}

#[test]
fn a_member_cannot_fill_the_log_with_terminals() {
    let mut org = Org::staffed();
    let has = org.log.devices_of(&user(2)).count();
    for number in has..DEVICES_PER_USER_MAX {
        org.say(By::Device(2), device_body(1_000 + number as u64, 2));
    }
    // Not even by revoking them again.
    org.say(By::Device(2), Body::DeviceRevoked { device: device(1_100) });
    let bad = envelope(By::Device(2), &org.payload(By::Device(2), device_body(5, 2)));
    let good = envelope(By::Device(3), &org.payload(By::Device(3), device_body(5, 3)));
    refused(&org, Fault::TooManyDevices, &bad, &good);
}

// --- profiles and revocations

fn demote(number: u64) -> Body {
    Body::ProfileChange { user: user(number), profile: Profile::Outsider }
}

#[test]
fn profile_change_by_others_than_administrators() {
    let org = Org::staffed();
    let promote = Body::ProfileChange { user: user(3), profile: Profile::Administrator };
    refused_author(&org, Fault::NotAdministrator, By::Device(2), By::Device(0), promote.clone());
    refused_author(&org, Fault::NotAdministrator, By::Device(3), By::Device(0), promote);
}

#[test]
fn profile_change_of_oneself() {
    refused_body(&Org::staffed(), By::Device(0), Fault::AboutOneself, demote(0), demote(1));
}

#[test]
fn profile_change_of_nobody() {
    refused_body(&Org::staffed(), By::Device(0), Fault::SubjectUnknown, demote(77), demote(1));
    refused_body(&Org::staffed(), By::Device(0), Fault::SubjectRevoked, demote(4), demote(1));
}

#[test]
fn profile_change_to_the_same() {
    refused_body(&Org::staffed(), By::Device(0), Fault::SameProfile, demote(3), demote(2));
}

#[test]
fn an_old_promotion_sent_again() {
    // Administrator 0 promotes user 2, administrator 1 takes it back; a server in league with user 2 sends the
    // first certificate again. Its author has said nothing since, so neither time nor view went back.
    let mut org = Org::staffed();
    let promote = Body::ProfileChange { user: user(2), profile: Profile::Administrator };
    org.say(By::Device(0), promote.clone());
    let old = org.envelopes.last().unwrap().clone();
    org.say(By::Device(1), Body::ProfileChange { user: user(2), profile: Profile::Standard });
    refused(&org, Fault::StaleProfile, &old, &envelope(By::Device(0), &org.payload(By::Device(0), promote)));
}

#[test]
fn user_revoked_by_others_than_administrators() {
    let org = Org::staffed();
    let body = Body::UserRevoked { user: user(1) };
    refused_author(&org, Fault::NotAdministrator, By::Device(2), By::Device(0), body.clone());
    refused_author(&org, Fault::NotAdministrator, By::Device(3), By::Device(0), body);
}

#[test]
fn user_revocation_of_oneself_of_nobody_and_twice() {
    let org = Org::staffed();
    let revoke = |number| Body::UserRevoked { user: user(number) };
    refused_body(&org, By::Device(0), Fault::AboutOneself, revoke(0), revoke(1));
    refused_body(&org, By::Device(0), Fault::SubjectUnknown, revoke(77), revoke(1));
    refused_body(&org, By::Device(0), Fault::SubjectRevoked, revoke(4), revoke(1));
}

#[test]
fn device_revoked_by_others() {
    let org = Org::staffed();
    let body = Body::DeviceRevoked { device: device(1) };
    refused_author(&org, Fault::NotAdministrator, By::Device(2), By::Device(0), body.clone());
    refused_author(&org, Fault::NotAdministrator, By::Device(3), By::Device(0), body);
}

#[test]
fn device_revocation_of_itself_of_nobody_and_twice() {
    let org = Org::staffed();
    let revoke = |number| Body::DeviceRevoked { device: device(number) };
    refused_body(&org, By::Device(2), Fault::OwnDevice, revoke(2), revoke(20));
    refused_body(&org, By::Device(0), Fault::OwnDevice, revoke(0), revoke(20));
    refused_body(&org, By::Device(0), Fault::SubjectUnknown, revoke(77), revoke(1));
    refused_body(&org, By::Device(0), Fault::SubjectRevoked, revoke(10), revoke(1));
    refused_body(&org, By::Device(0), Fault::SubjectRevoked, revoke(4), revoke(1));
}

#[test]
fn all_five_kinds_are_recorded() {
    let mut org = Org::staffed();
    org.say(By::Device(0), demote(2));
    org.say(By::Device(2), Body::DeviceRevoked { device: device(20) });
    let log = &org.log;
    let order: Vec<_> = log.users().map(|record| record.user).collect();
    assert_eq!(order, [0, 1, 2, 3, 4].map(user), "in the order of certification");
    let order: Vec<_> = log.devices().map(|record| record.device).collect();
    assert_eq!(order, [0, 1, 2, 3, 4, 20, 10].map(device), "in the order of certification");
    let record = log.user(&user(2)).unwrap();
    assert_eq!(
        (record.profile, record.position, record.author),
        (Profile::Outsider, 4, Author::Device(device(0)))
    );
    assert_eq!((record.email.clone(), record.certified), (email(2), Timestamp(BEGINNING + 4)));
    let revoked = |number| log.device(&device(number)).unwrap().revoked;
    assert_eq!(revoked(20), Some(Timestamp(BEGINNING + 15)));
    assert_eq!(revoked(4), Some(Timestamp(BEGINNING + 13)), "with its user");
    assert_eq!((revoked(2), revoked(0)), (None, None));
    assert_eq!(log.user(&user(4)).unwrap().revoked, Some(Timestamp(BEGINNING + 13)));
    let head: Head = log.head();
    assert_eq!((head.count, log.head_at(head.count)), (16, Some(head)));
    assert_eq!(log.head_at(17), None);
    assert_ne!(head.hash, Hash::of(&[]));
}
