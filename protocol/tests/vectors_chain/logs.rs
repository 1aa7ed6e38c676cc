//! Vectors of logs: one for each rule.

use parsec_protocol::chain::organisation::certificate::{Body, ManifestMark, Payload, Profile};
use parsec_protocol::ids::Timestamp;
use parsec_protocol::public_keys::VerifyKey;
use serde_json::json;

use crate::check::{fault_name, hex};
use crate::support::{
    BEGINNING, By, ORGANISATION, Org, abandoned, device, device_body, device_encryption_key, directory_body,
    email, encryption_key, envelope, foreign_head, key_change, key_change_with, recovery_body, root_key,
    signing_key, standard, user, user_body, weak_verify_key,
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
    put_log(set, "staffed", "enrolments, and revocations", &Org::staffed().envelopes, None);
    put_log(
        set,
        "keys",
        "keys that change, devices that never came, recovery devices",
        &keys().envelopes,
        None,
    );
    put_log(
        set,
        "directory-keys",
        "directory keys that change, each after somebody left",
        &directory_keys().envelopes,
        None,
    );
    for (name, about, org, envelope, fault) in
        bad_logs().into_iter().chain(bad_keys()).chain(bad_directory_keys())
    {
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

/// Everything that a log says about keys: user 0 is suspended at its end.
fn keys() -> Org {
    let mut org = Org::staffed();
    let mark = ManifestMark::of(4, b"manifest");
    org.say(By::Device(20), key_change_with(key_change(2, 2, 50), Some(mark), Vec::new()));
    org.say(By::Device(2), key_change_with(key_change(2, 50, 51), None, abandoned(300..303)));
    org.say(By::Device(2), device_body(301, 2));
    org.say(By::Device(301), recovery_body(25, 2));
    org.say(By::Device(25), device_body(26, 2));
    org.say(By::Device(26), Body::DeviceRevoked { device: device(25) });
    org.say(By::Device(26), key_change(2, 51, 52));
    org.say(By::Device(3), key_change(3, 3, 53));
    org
}

/// Two directory keys behind the first.
fn directory_keys() -> Org {
    let mut org = Org::founded();
    org.say(By::Device(0), user_body(1, Profile::Administrator));
    org.say(By::Device(0), device_body(1, 1));
    org.say(By::Device(1), device_body(11, 1));
    org.say(By::Device(1), Body::DeviceRevoked { device: device(11) });
    org.say(By::Device(0), directory_body(2));
    org.say(By::Device(0), Body::UserRevoked { user: user(1) });
    org.say(By::Device(0), directory_body(3));
    org
}

/// One for each rule about directory keys.
fn bad_directory_keys() -> Vec<BadLog> {
    let mut left = Org::founded();
    left.say(By::Device(0), standard(1));
    left.say(By::Device(0), device_body(1, 1));
    left.say(By::Device(1), device_body(11, 1));
    left.say(By::Device(1), recovery_body(25, 1));
    left.say(By::Device(0), Body::ProfileChange { user: user(1), profile: Profile::Administrator });
    left.say(By::Device(1), Body::DeviceRevoked { device: device(11) });
    let mut changed = left.clone();
    changed.say(By::Device(0), directory_body(2));
    let mut again = changed.clone();
    again.say(By::Device(1), Body::DeviceRevoked { device: device(25) });
    let mut standard_only = left.clone();
    standard_only.say(By::Device(0), Body::ProfileChange { user: user(1), profile: Profile::Standard });
    let bad = |name, about, org: &Org, by, number, fault| {
        let by = By::Device(by);
        let bytes = envelope(by, &org.payload(by, directory_body(number)));
        (name, about, org.clone(), bytes, fault)
    };
    let mut early = left.payload(By::Device(0), directory_body(2));
    early.seen = left.log.head_at(left.log.count() - 1).unwrap();
    let early = envelope(By::Device(0), &early);
    vec![
        bad(
            "directory-standard",
            "by a member who is no administrator",
            &standard_only,
            1,
            2,
            Fault::NotAdministrator,
        ),
        bad("directory-recovery", "by a recovery device", &left, 25, 2, Fault::RecoveryDevice),
        bad("directory-same", "the number of the present key", &changed, 0, 2, Fault::StaleDirectoryKey),
        bad("directory-ahead", "a number is left out", &again, 0, 4, Fault::StaleDirectoryKey),
        bad(
            "directory-nobody-left",
            "nobody was revoked since the present key",
            &changed,
            0,
            3,
            Fault::NobodyLeft,
        ),
        bad("directory-founded", "nobody was ever revoked", &Org::founded(), 0, 2, Fault::NobodyLeft),
        ("directory-not-next", "its author had not seen the revocation", left, early, Fault::NotNext),
    ]
}

/// One for each rule about keys that change, and about recovery devices.
fn bad_keys() -> Vec<BadLog> {
    let two = || {
        let mut two = Org::founded();
        two.say(By::Device(0), user_body(1, Profile::Standard));
        two.say(By::Device(0), device_body(1, 1));
        two
    };
    let bad = |name, about, org: Org, by, body: Body, fault| {
        let bytes = envelope(By::Device(by), &org.payload(By::Device(by), body));
        (name, about, org, bytes, fault)
    };
    let named = |body: Body, devices| key_change_with(body, None, devices);
    let mut changed = two();
    changed.say(By::Device(1), named(key_change(1, 1, 50), abandoned(300..302)));
    let mut often = two();
    for number in 0..20 {
        let previous = if number == 0 { 1 } else { 99 + number };
        often.say(By::Device(1), key_change(1, previous, 100 + number));
    }
    let mut recovery = two();
    recovery.say(By::Device(1), recovery_body(25, 1));
    let mut unsorted = abandoned(300..303);
    unsorted.reverse();
    let to = |key| {
        let mut body = key_change(1, 1, 50);
        if let Body::UserKeyChanged { encryption_key, .. } = &mut body {
            *encryption_key = key;
        }
        body
    };
    let device_to = |key| {
        let mut body = device_body(9, 0);
        if let Body::Device { encryption_key, .. } = &mut body {
            *encryption_key = key;
        }
        body
    };
    let mut gone = recovery.clone();
    gone.say(By::Device(1), Body::DeviceRevoked { device: device(25) });
    let mut alone = two();
    alone.say(By::Device(0), standard(2));
    vec![
        bad(
            "anothers-key",
            "an administrator changes a member's key",
            two(),
            0,
            key_change(1, 1, 50),
            Fault::AnothersKey,
        ),
        bad(
            "stale-key",
            "follows a key that was replaced",
            changed.clone(),
            1,
            key_change(1, 1, 51),
            Fault::StaleKey,
        ),
        bad(
            "key-of-nothing",
            "follows a key that nobody had",
            two(),
            1,
            key_change(1, 9, 50),
            Fault::StaleKey,
        ),
        bad(
            "key-back",
            "changes back to the key before",
            changed.clone(),
            1,
            key_change(1, 50, 1),
            Fault::EncryptionKeyTaken,
        ),
        bad(
            "key-of-another",
            "changes to another user's key",
            two(),
            1,
            to(encryption_key(0)),
            Fault::EncryptionKeyTaken,
        ),
        bad(
            "key-of-a-device",
            "changes to a device's key",
            two(),
            1,
            to(device_encryption_key(1)),
            Fault::EncryptionKeyTaken,
        ),
        bad(
            "device-with-a-users-key",
            "a device with a user's key",
            two(),
            0,
            device_to(encryption_key(1)),
            Fault::EncryptionKeyTaken,
        ),
        bad(
            "too-many-key-changes",
            "the 21st change, and no device was revoked",
            often,
            1,
            key_change(1, 119, 120),
            Fault::TooManyKeyChanges,
        ),
        bad(
            "abandoned-unsorted",
            "abandoned devices in another order",
            two(),
            1,
            named(key_change(1, 1, 50), unsorted),
            Fault::Abandoned,
        ),
        bad(
            "abandoned-twice",
            "a device abandoned twice in one list",
            two(),
            1,
            named(key_change(1, 1, 50), vec![device(300); 2]),
            Fault::Abandoned,
        ),
        bad(
            "abandoned-17",
            "17 abandoned devices",
            two(),
            1,
            named(key_change(1, 1, 50), abandoned(300..317)),
            Fault::Abandoned,
        ),
        bad(
            "abandoned-member",
            "a device that is in the log",
            two(),
            1,
            named(key_change(1, 1, 50), vec![device(0)]),
            Fault::Abandoned,
        ),
        bad(
            "abandoned-before",
            "a device that was named before",
            changed,
            1,
            named(key_change(1, 50, 51), vec![device(301)]),
            Fault::Abandoned,
        ),
        bad(
            "recovery-first",
            "a recovery device as a user's first",
            alone,
            0,
            recovery_body(2, 2),
            Fault::RecoveryDevice,
        ),
        bad(
            "recovery-revokes",
            "a recovery device revokes a device",
            recovery.clone(),
            25,
            Body::DeviceRevoked { device: device(1) },
            Fault::RecoveryDevice,
        ),
        bad(
            "recovery-changes-key",
            "a recovery device changes the user's key",
            recovery.clone(),
            25,
            key_change(1, 1, 50),
            Fault::RecoveryDevice,
        ),
        bad(
            "recovery-recovery",
            "a recovery device certifies another",
            recovery.clone(),
            25,
            recovery_body(26, 1),
            Fault::RecoveryDevice,
        ),
        bad(
            "recovery-of-another",
            "a recovery device certifies another user's device",
            recovery,
            25,
            device_body(26, 0),
            Fault::RecoveryDevice,
        ),
        bad(
            "recovery-revoked",
            "a recovery device that was revoked",
            gone,
            25,
            device_body(26, 1),
            Fault::AuthorRevoked,
        ),
    ]
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
        Body::Device { device, user, sealed_label, encryption_key, kind, .. } => {
            Body::Device { device, user, sealed_label, verify_key: key, encryption_key, kind }
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
            "sealed-name-length",
            "a sealed name of 557 bytes",
            founded(),
            say(
                &founded(),
                zero,
                user_with(&|body| {
                    if let Body::User { sealed_name: name, .. } = body {
                        *name = vec![7; 557].into()
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
