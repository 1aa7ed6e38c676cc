//! Vectors of logs: one for each rule.

use parsec_protocol::chain::organisation::certificate::{Body, Payload, Profile};
use parsec_protocol::ids::Timestamp;
use parsec_protocol::public_keys::{EncryptionKey, VerifyKey};
use serde_json::json;

use crate::check::{fault_name, hex};
use crate::support::{
    BEGINNING, By, ORGANISATION, Org, device, device_body, email, encryption_key, envelope, foreign_head,
    root_key, signing_key, standard, user, user_body, weak_verify_key,
};
use parsec_protocol::chain::organisation::rules::Fault;

use crate::make::Set;

/// A log, and whether it is good; the fault is always in the last certificate.
fn put_log(set: &mut Set, name: &str, about: &str, envelopes: &[Vec<u8>], fault: Option<Fault>) {
    let root = root_key(0).verify_key();
    let given = json!({
        "organisation": ORGANISATION, "root": root,
        "envelopes": envelopes.iter().map(|envelope| hex(envelope)).collect::<Vec<_>>(),
    });
    let verdict = match fault {
        Some(fault) => Err(json!({"position": envelopes.len() - 1, "fault": fault_name(fault)})),
        None => crate::check::judge("log", &given),
    };
    set.put("log", name, about, &given, verdict);
}

pub(crate) fn logs(set: &mut Set) {
    put_log(set, "empty", "no certificate yet", &[], None);
    put_log(
        set,
        "founded",
        "an administrator and a device, by the root key",
        &Org::founded().envelopes,
        None,
    );
    put_log(set, "staffed", "all kinds of certificates", &Org::staffed().envelopes, None);
    for (name, about, org, envelope, fault) in bad_logs() {
        assert_eq!(org.fault(&envelope), Err(fault), "{name}");
        let envelopes = [org.envelopes.as_slice(), &[envelope]].concat();
        put_log(set, name, about, &envelopes, Some(fault));
    }
    let mut dropped = Org::founded();
    dropped.say(By::Device(0), standard(1));
    dropped.say(By::Device(0), standard(2));
    dropped.envelopes.remove(2);
    put_log(set, "dropped", "the third certificate is left out", &dropped.envelopes, Some(Fault::SeenAhead));
}

type BadLog = (&'static str, &'static str, Org, Vec<u8>, Fault);

fn bad_logs() -> Vec<BadLog> {
    let founded = Org::founded;
    let mut two = founded();
    two.say(By::Device(0), user_body(1, Profile::Standard));
    two.say(By::Device(0), device_body(1, 1));
    let mut gone = two.clone();
    gone.say(By::Device(0), Body::UserRevoked { user: user(1) });
    let mut first = Org::empty();
    first.say(By::Root, user_body(0, Profile::Administrator));
    let mut promoted = two.clone();
    promoted.say(By::Device(0), user_body(2, Profile::Administrator));
    promoted.say(By::Device(0), device_body(2, 2));
    promoted.say(By::Device(0), Body::ProfileChange { user: user(1), profile: Profile::Outsider });
    let old = promoted.envelopes.last().unwrap().clone();
    promoted.say(By::Device(2), Body::ProfileChange { user: user(1), profile: Profile::Standard });

    let say = |org: &Org, by: By, body: Body| envelope(by, &org.payload(by, body));
    let change = |org: &Org, by: By, body: Body, change: &dyn Fn(&mut Payload)| {
        let mut payload = org.payload(by, body);
        change(&mut payload);
        envelope(by, &payload)
    };
    let user_with = |edit: &dyn Fn(&mut Body)| {
        let mut body = standard(5);
        edit(&mut body);
        body
    };
    let zero = By::Device(0);
    let device_key = |number: u64, key| match device_body(number, 0) {
        Body::Device { device, user, sealed_label, .. } => {
            Body::Device { device, user, sealed_label, verify_key: key }
        }
        other => other,
    };
    let number = |low: u8, high: u8| {
        let mut key = [0xff; 32];
        (key[0], key[31]) = (low, high);
        key
    };
    let mut no_point = [0; 32];
    no_point[0] = 2;
    let mut top_bit = *encryption_key(5).as_bytes();
    top_bit[31] |= 0x80;
    let encryption = |key: [u8; 32]| {
        user_with(&|body| {
            if let Body::User { encryption_key, .. } = body {
                *encryption_key = EncryptionKey::from_bytes(key)
            }
        })
    };
    let revoke = |number| Body::UserRevoked { user: user(number) };
    let profile = |number, profile| Body::ProfileChange { user: user(number), profile };
    let seen_other: &dyn Fn(&mut Payload) = &|payload| payload.seen = foreign_head(payload.seen.count);
    vec![
        (
            "malformed",
            "a certificate without its last byte",
            founded(),
            {
                let mut bytes = say(&founded(), zero, standard(1));
                bytes.pop();
                bytes
            },
            Fault::Malformed,
        ),
        (
            "wrong-organisation",
            "made for another organisation",
            founded(),
            change(&founded(), zero, standard(1), &|it| it.organisation = "other".parse().unwrap()),
            Fault::WrongOrganisation,
        ),
        (
            "second-not-by-root",
            "a device certifies itself as the first device",
            first.clone(),
            say(&first, zero, device_body(0, 0)),
            Fault::NotByRoot,
        ),
        (
            "root-too-late",
            "the root key signs a third certificate",
            founded(),
            say(&founded(), By::Root, standard(1)),
            Fault::RootTooLate,
        ),
        (
            "unknown-author",
            "by a device that nobody certified",
            founded(),
            say(&founded(), By::Device(9), standard(1)),
            Fault::AuthorUnknown,
        ),
        (
            "certifies-itself",
            "a device certified by itself",
            founded(),
            say(&founded(), By::Device(9), device_body(9, 0)),
            Fault::AuthorUnknown,
        ),
        (
            "revoked-author",
            "by a device of a revoked user",
            gone.clone(),
            say(&gone, By::Device(1), device_body(9, 1)),
            Fault::AuthorRevoked,
        ),
        (
            "bad-signature",
            "signed by another member's key",
            two.clone(),
            envelope(By::Device(1), &two.payload(zero, standard(5))),
            Fault::BadSignature,
        ),
        (
            "seen-ahead",
            "its author has seen one certificate more than stands before it",
            founded(),
            change(&founded(), zero, standard(1), &|it| it.seen.count = 3),
            Fault::SeenAhead,
        ),
        (
            "seen-other",
            "its author has seen another log",
            founded(),
            change(&founded(), zero, standard(1), seen_other),
            Fault::ForkedView,
        ),
        (
            "seen-went-back",
            "a decision by an author who had seen more when deciding before",
            promoted.clone(),
            change(&promoted, zero, revoke(2), &|it| it.seen = two.log.head()),
            Fault::SeenWentBack,
        ),
        (
            "time-went-back",
            "a decision older than its author's previous one",
            promoted.clone(),
            change(&promoted, zero, revoke(2), &|it| it.time = Timestamp(BEGINNING)),
            Fault::TimeWentBack,
        ),
        (
            "first-not-administrator",
            "the first user is a standard member",
            Org::empty(),
            say(&Org::empty(), By::Root, standard(0)),
            Fault::NotAFounding,
        ),
        (
            "second-not-device",
            "the root key certifies two users",
            first.clone(),
            say(&first, By::Root, user_body(1, Profile::Administrator)),
            Fault::NotAFounding,
        ),
        (
            "not-administrator",
            "a standard member certifies a user",
            two.clone(),
            say(&two, By::Device(1), standard(5)),
            Fault::NotAdministrator,
        ),
        (
            "user-id-taken",
            "a user id that was given before",
            two.clone(),
            say(
                &two,
                zero,
                user_with(&|body| {
                    if let Body::User { user: id, .. } = body {
                        *id = user(1)
                    }
                }),
            ),
            Fault::UserIdTaken,
        ),
        (
            "email-taken",
            "a member's address",
            two.clone(),
            say(
                &two,
                zero,
                user_with(&|body| {
                    if let Body::User { email: address, .. } = body {
                        *address = email(1)
                    }
                }),
            ),
            Fault::EmailTaken,
        ),
        (
            "encryption-key-taken",
            "another user's encryption key",
            two.clone(),
            say(
                &two,
                zero,
                user_with(&|body| {
                    if let Body::User { encryption_key: key, .. } = body {
                        *key = encryption_key(1)
                    }
                }),
            ),
            Fault::EncryptionKeyTaken,
        ),
        (
            "weak-encryption-key",
            "an encryption key of small order",
            founded(),
            say(
                &founded(),
                zero,
                user_with(&|body| {
                    if let Body::User { encryption_key: key, .. } = body {
                        *key = EncryptionKey::from_bytes([0; 32])
                    }
                }),
            ),
            Fault::WeakEncryptionKey,
        ),
        (
            "sealed-name-length",
            "a sealed name of 553 bytes",
            founded(),
            say(
                &founded(),
                zero,
                user_with(&|body| {
                    if let Body::User { sealed_name: name, .. } = body {
                        *name = vec![7; 553].into()
                    }
                }),
            ),
            Fault::SealedNameLength,
        ),
        (
            "device-id-taken",
            "a device id that was given before",
            founded(),
            say(&founded(), zero, device_body(0, 0)),
            Fault::DeviceIdTaken,
        ),
        (
            "verify-key-taken",
            "another device's key",
            two.clone(),
            say(&two, zero, device_key(9, signing_key(1).verify_key())),
            Fault::VerifyKeyTaken,
        ),
        (
            "root-as-device",
            "the root key as a device's",
            founded(),
            say(&founded(), zero, device_key(9, root_key(0).verify_key())),
            Fault::VerifyKeyTaken,
        ),
        (
            "weak-verify-key",
            "a device key of small order",
            founded(),
            say(&founded(), zero, device_key(9, weak_verify_key())),
            Fault::WeakVerifyKey,
        ),
        (
            "verify-key-not-canonical",
            "a device key with y of p + 3: a second encoding of a sound one",
            founded(),
            say(&founded(), zero, device_key(9, VerifyKey::from_bytes(number(0xf0, 0x7f)))),
            Fault::WeakVerifyKey,
        ),
        (
            "verify-key-no-point",
            "a device key that is no point of the curve",
            founded(),
            say(&founded(), zero, device_key(9, VerifyKey::from_bytes(no_point))),
            Fault::WeakVerifyKey,
        ),
        (
            "encryption-key-not-canonical",
            "an encryption key of p + 9: a second encoding of a sound one",
            founded(),
            say(&founded(), zero, encryption(number(0xf6, 0x7f))),
            Fault::WeakEncryptionKey,
        ),
        (
            "encryption-key-top-bit",
            "an encryption key with its top bit set",
            founded(),
            say(&founded(), zero, encryption(top_bit)),
            Fault::WeakEncryptionKey,
        ),
        (
            "device-of-another",
            "an administrator adds a device to a member who has one",
            two.clone(),
            say(&two, zero, device_body(9, 1)),
            Fault::NotOwnUser,
        ),
        (
            "unknown-subject",
            "revokes a user that nobody certified",
            two.clone(),
            say(&two, zero, revoke(9)),
            Fault::SubjectUnknown,
        ),
        (
            "revoked-twice",
            "revokes a revoked user",
            gone.clone(),
            say(&gone, zero, revoke(1)),
            Fault::SubjectRevoked,
        ),
        (
            "device-of-a-revoked",
            "revokes a device of a revoked user: it went with its user",
            gone.clone(),
            say(&gone, zero, Body::DeviceRevoked { device: device(1) }),
            Fault::SubjectRevoked,
        ),
        (
            "about-oneself",
            "an administrator revokes their own user",
            two.clone(),
            say(&two, zero, revoke(0)),
            Fault::AboutOneself,
        ),
        (
            "same-profile",
            "gives the profile the user has",
            two.clone(),
            say(&two, zero, profile(1, Profile::Standard)),
            Fault::SameProfile,
        ),
        (
            "old-profile-change",
            "a profile change, sent again after it was taken back",
            promoted,
            old,
            Fault::StaleProfile,
        ),
        (
            "own-device",
            "a device revokes itself",
            two.clone(),
            say(&two, By::Device(1), Body::DeviceRevoked { device: device(1) }),
            Fault::OwnDevice,
        ),
    ]
}
