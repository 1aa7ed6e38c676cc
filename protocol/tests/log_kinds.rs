//! What a certificate is, and with which two a log begins; each rule broken alone
//! (docs/assurance.md, S2 and B4).
//!
//! A case is a certificate by an honest or hostile member that is right but for one thing. Each
//! case is shown together with its twin that lacks the fault and is accepted: so the fault, and
//! nothing else, is what is refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use parsec_protocol::chain::organisation::certificate::{Body, Envelope, Payload, Profile};
use parsec_protocol::chain::organisation::rules::Fault;
use parsec_protocol::codec;
use parsec_protocol::public_keys::Context;
use support::{
    By, Org, device, device_body, envelope, key_change, refused_body, refused_change, standard, user,
    user_body,
};

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
        key_change(0, 0, 5),
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
            // By a member who signs it so: the fields are of the other kind, and ids of people are
            // none of devices.
            let signature = By::Device(0).sign(Context::Certificate, swapped.as_slice());
            let signed = codec::encode(&Envelope::new(swapped.into(), signature));
            let fault = org.fault(&signed).unwrap_err();
            assert!(
                matches!(fault, Fault::Malformed | Fault::SubjectUnknown),
                "{from} signed as {to}: {fault:?}"
            );
            tried += 1;
        }
    }
    assert_eq!(tried, 6 * 5);
}

#[test]
fn unknown_kind_and_extra_fields() {
    let org = Org::staffed();
    for body in one_of_each_kind() {
        let payload = org.payload(By::Device(0), body);
        let bytes = codec::encode(&payload);
        let sign = |bytes: Vec<u8>| {
            let signature = By::Device(0).sign(Context::Certificate, &bytes);
            codec::encode(&Envelope::new(bytes.into(), signature))
        };
        assert_eq!(org.fault(&sign(bytes.clone())), Ok(()));
        let mut unknown = bytes.clone();
        // Kept for *directory key changed*.
        unknown[kind_offset(&payload)] = 6;
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
    println!("figure S2: every kind under every other tag, unknown kinds, another organisation: refused");
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
        key_change(0, 0, 5),
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
        key_change(0, 0, 5),
    ] {
        refused_body(&org, By::Root, Fault::NotAFounding, bad, device_body(0, 0));
    }
}
