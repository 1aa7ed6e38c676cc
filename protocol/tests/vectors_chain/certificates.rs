//! Vectors of single certificates, and of their signatures.

use parsec_protocol::chain::organisation::certificate::{Body, Envelope, ManifestMark, Payload, Profile};
use parsec_protocol::codec;
use parsec_protocol::ids::Timestamp;
use parsec_protocol::public_keys::{Context, Signature};
use serde_json::json;

use crate::check::hex;
use crate::support::{
    By, Org, abandoned, device, device_body, directory_body, envelope, key_change, key_change_with,
    recovery_body, root_key, signing_key, standard, user,
};

use crate::make::Set;

pub(crate) fn certificates(set: &mut Set) {
    let org = Org::founded();
    let mut put = |name: &str, about: &str, author: By, envelope: &[u8], refuse: Option<&str>| {
        let key = match author {
            By::Root => root_key(0).verify_key(),
            By::Device(number) => signing_key(number).verify_key(),
        };
        let verdict = refuse.map_or_else(
            || {
                let payload = Envelope::decode(envelope).unwrap().payload().unwrap();
                Ok(json!({
                    "organisation": payload.organisation, "time": payload.time,
                    "seen": [payload.seen.count, payload.seen.hash], "body": hex(&codec::encode(&payload.body)),
                }))
            },
            |refuse| Err(json!(refuse)),
        );
        set.put("certificate", name, about, &json!({"author key": key, "envelope": hex(envelope)}), verdict);
    };
    let by = By::Device(0);
    for (name, about, body) in [
        ("user", "a user", standard(1)),
        ("device", "a device", device_body(1, 0)),
        ("recovery-device", "a recovery device", recovery_body(1, 0)),
        (
            "profile-change",
            "a profile change",
            Body::ProfileChange { user: user(1), profile: Profile::Outsider },
        ),
        ("user-revoked", "a user's revocation", Body::UserRevoked { user: user(1) }),
        ("device-revoked", "a device's revocation", Body::DeviceRevoked { device: device(1) }),
        ("directory-key-changed", "a change of the directory key", directory_body(2)),
        ("user-key-changed", "a change of a user's key", key_change(0, 0, 5)),
        (
            "user-key-changed-all",
            "the same with a manifest, and two devices that never came",
            key_change_with(key_change(0, 0, 5), Some(ManifestMark::of(3, b"manifest")), abandoned(7..9)),
        ),
    ] {
        put(name, about, by, &envelope(by, &org.payload(by, body)), None);
    }
    put("by-root", "the first certificate of a log", By::Root, &org.envelopes[0], None);

    let payload = org.payload(by, Body::UserRevoked { user: user(1) });
    let good = Envelope::decode(&envelope(by, &payload)).unwrap();
    let with = |signature: [u8; 64]| {
        codec::encode(&Envelope::new(good.payload.clone(), Signature::from_bytes(signature)))
    };
    let signature = *good.signature.as_bytes();
    put("another-key", "signed by another key", by, &envelope(By::Device(1), &payload), Some("BadSignature"));
    let request = payload.sign_with(|_, message| by.sign(Context::Request, message));
    put("another-context", "signed as a request", by, &request, Some("BadSignature"));
    let bare = payload.sign_with(|_, message| {
        use ed25519_dalek::Signer as _;
        let key = ed25519_dalek::SigningKey::from_bytes(signing_key(0).expose());
        Signature::from_bytes(key.sign(message).to_bytes())
    });
    put("no-context", "signed without any context", by, &bare, Some("BadSignature"));
    put(
        "signature-plus-order",
        "S + L instead of S: the plain equation still holds",
        by,
        &with(plus_order(signature)),
        Some("BadSignature"),
    );
    let signed_by = |bytes: [u8; 32], s: [u8; 32]| with([bytes, s].concat().try_into().unwrap());
    // A true S for R = the neutral point: k times the secret scalar, so the equation holds, and a
    // reader that is not strict takes it.
    let (mut one, mut one_again) = ([0; 32], [0xff; 32]);
    one[0] = 1;
    (one_again[0], one_again[31]) = (0xee, 0x7f);
    let s = unhex("d375822be14046bbe5815eec511cebdc9338ef268ed9ccabc7bd427f637d3c01");
    put("small-r", "R is of small order", by, &signed_by(one, s), Some("BadSignature"));
    let s = unhex("b01c69340aed74813d4c059c668c464d0e48b4736de2745cb1ee7e2aa451090a");
    put("r-not-canonical", "R in a second encoding", by, &signed_by(one_again, s), Some("BadSignature"));
    put(
        "signature-cut",
        "a signature of 63 bytes",
        by,
        &{
            let mut bytes = with(signature);
            bytes.pop();
            let at = bytes.len() - 64;
            bytes[at] = 63;
            bytes
        },
        Some("Malformed"),
    );
    let other_time = codec::encode(&Payload { time: Timestamp(1), ..payload.clone() });
    let moved = codec::encode(&Envelope::new(other_time.into(), good.signature));
    put("changed-time", "a field changed after signing", by, &moved, Some("BadSignature"));
    let mut kind = good.payload.to_vec();
    let at = kind.len() - 20 + 1;
    assert_eq!(kind[at], 3);
    kind[at] = 4;
    let kind = codec::encode(&Envelope::new(kind.into(), good.signature));
    put("changed-kind", "a user's revocation turned into a device's", by, &kind, Some("BadSignature"));
    put(
        "unknown-kind",
        "of kind 7, which nobody knows",
        by,
        &{
            let mut bytes = codec::encode(&payload);
            bytes[at] = 7;
            let signature = by.sign(Context::Certificate, &bytes);
            codec::encode(&Envelope::new(bytes.into(), signature))
        },
        Some("Malformed"),
    );
    put(
        "too-long",
        "an envelope of more than 2,048 bytes",
        by,
        &envelope(by, &{
            let mut payload = org.payload(by, standard(1));
            if let Body::User { sealed_name, .. } = &mut payload.body {
                *sealed_name = vec![0; 2_048].into();
            }
            payload
        }),
        Some("Malformed"),
    );
}

fn unhex(digits: &str) -> [u8; 32] {
    std::array::from_fn(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
}

/// Keys under which R = B and S = 1 would be anybody's signature of anything.
pub(crate) fn keys(set: &mut Set) {
    let base = unhex("5866666666666666666666666666666666666666666666666666666666666666");
    let (mut one, mut again) = ([0; 32], [0xff; 32]);
    one[0] = 1;
    (again[0], again[31]) = (0xee, 0x7f);
    let org = Org::founded();
    let envelope = Envelope::new(
        codec::encode(&org.payload(By::Device(0), Body::UserRevoked { user: user(1) })).into(),
        Signature::from_bytes([base, one].concat().try_into().unwrap()),
    );
    let envelope = codec::encode(&envelope);
    for (name, about, key) in [
        ("small-key", "under a key of small order", one),
        ("key-not-canonical", "under a key of small order in a second encoding", again),
    ] {
        let key = parsec_protocol::public_keys::VerifyKey::from_bytes(key);
        let given = json!({"author key": key, "envelope": hex(&envelope)});
        set.put("certificate", name, about, &given, Err(json!("BadSignature")));
    }
}

/// The signature with the group's order added to its second half (RFC 8032 section 5.1: L = 2^252 +
/// ...).
fn plus_order(mut signature: [u8; 64]) -> [u8; 64] {
    let order: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    signature
}
