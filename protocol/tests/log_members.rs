//! New users and devices: ids, addresses, keys, owners; each rule broken alone (docs/assurance.md,
//! S2).
//!
//! A case is a certificate by an honest or hostile member that is right but for one thing. Each
//! case is shown together with its twin that lacks the fault and is accepted: so the fault, and
//! nothing else, is what is refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use parsec_protocol::chain::organisation::certificate::{Body, DeviceKind, Profile, SEALED_NAME_BYTES};
use parsec_protocol::chain::organisation::rules::Fault;
use parsec_protocol::ids::{DeviceId, Email, UserId};
use parsec_protocol::limits::DEVICES_PER_USER_MAX;
use parsec_protocol::public_keys::VerifyKey;
use parsec_protocol::sealing::KeyHash;
use support::{
    By, Org, device, device_body, device_encryption_key, email, encryption_key, envelope, recovery_body,
    refused, refused_author, refused_body, root_key, signing_key, standard, user, user_body,
};

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
    key: KeyHash,
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
    // A user's, a revoked one's, a device's, a revoked one's.
    let taken = [0, 2, 4].map(encryption_key).into_iter().chain([0, 2, 10, 4].map(device_encryption_key));
    for taken in taken {
        let bad = changed_user(|it| it.key = taken);
        refused_body(&org, By::Device(0), Fault::EncryptionKeyTaken, bad, standard(5));
        let bad = changed_device(|it| it.to = taken);
        refused_body(&org, By::Device(0), Fault::EncryptionKeyTaken, bad, device_body(5, 0));
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
    /// What is sealed to it with.
    to: KeyHash,
}

/// The body of device 5 of user 0 with one thing changed.
fn changed_device(change: impl FnOnce(&mut DeviceParts)) -> Body {
    let mut parts = DeviceParts {
        id: device(5),
        label: vec![8; SEALED_NAME_BYTES],
        key: signing_key(5).verify_key(),
        to: device_encryption_key(5),
    };
    change(&mut parts);
    let DeviceParts { id: device, label, key: verify_key, to: encryption_key } = parts;
    let kind = DeviceKind::Device;
    Body::Device { device, user: user(0), sealed_label: label.into(), verify_key, encryption_key, kind }
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
    // Small order; not on the curve; small order and not canonical; y = 1 with the sign bit set;
    // all ones.
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
    // Not even an administrator may slip a device under somebody who has one.
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
    // An administrator who was made standard between the two certificates of an enrolment, and
    // after.
    let mut org = Org::staffed();
    org.say(By::Device(1), standard(5));
    let device = envelope(By::Device(1), &org.payload(By::Device(1), device_body(5, 5)));
    let person = envelope(By::Device(1), &org.payload(By::Device(1), standard(6)));
    assert_eq!((org.fault(&device), org.fault(&person)), (Ok(()), Ok(())));
    org.say(By::Device(0), Body::ProfileChange { user: user(1), profile: Profile::Standard });
    assert_eq!(org.fault(&device), Err(Fault::NotAdministrator));
    assert_eq!(org.fault(&person), Err(Fault::NotAdministrator));
    // And one who was promoted may.
    org.say(By::Device(0), Body::ProfileChange { user: user(2), profile: Profile::Administrator });
    org.say(By::Device(2), standard(6));
}

#[test]
fn a_recovery_device_is_nobodys_first() {
    let mut org = Org::staffed();
    org.say(By::Device(0), standard(5));
    refused_body(&org, By::Device(0), Fault::RecoveryDevice, recovery_body(5, 5), device_body(5, 5));
    let mut org = Org::empty();
    org.say(By::Root, user_body(0, Profile::Administrator));
    refused_body(&org, By::Root, Fault::RecoveryDevice, recovery_body(0, 0), device_body(0, 0));
}

#[test]
fn a_member_cannot_fill_the_log_with_devices() {
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
