//! Certification and handover: what the greeter refuses to sign, and what the claimer refuses to
//! believe.

use super::super::messages::{self, ClaimRecord, Introduction};
use super::peers::FalseClaimer;
use super::*;
use crate::chain::organisation::certificate::Body;
use crate::chain::organisation::changes::certify;
use crate::chain::organisation::members::{NameOf, open_name, sealed_with};
use crate::codec;
use crate::ids::{DeviceId, UserId};
use crate::name_keys::DirectoryKeys;
use crate::public_keys::{Context, Hash, VerifyKey};
use crate::sealing::EncryptionKey;

/// A second administrator with one device, and what they need for vouching.
pub(super) struct Second {
    pub(super) user: UserId,
    pub(super) device: DeviceId,
    pub(super) signing_key: DeviceSigningKey,
    user_seed: UserSeed,
}

/// Lets somebody in for real and puts them into the log.
pub(super) fn let_in(org: &mut Organisation, email: &str, profile: Profile, seed: u64) -> Second {
    let prologue = org.prologue(Invited::User(email.parse().unwrap()));
    let mut pair = Pair::fair(org, &prologue, false, seed);
    pair.run_to(org, Point::Approval);
    pair.tell_greeter(GreeterInput::Approve(Approval { profile, ..org.approval() })).unwrap();
    for point in [Point::Message(7), Point::Log, Point::Saved, Point::Message(8)] {
        pair.pass(org, point);
    }
    let device = *pair.c.kept.unwrap();
    org.append(device.certificates).unwrap();
    Second {
        user: device.user,
        device: device.device,
        signing_key: device.signing_key,
        user_seed: device.user_seed,
    }
}

/// A pair up to the approval of this prologue.
fn before_approval(org: &Organisation, prologue: &Prologue, seed: u64) -> Pair {
    let mut pair = Pair::fair(org, prologue, false, seed);
    pair.run_to(org, Point::Approval);
    pair
}

#[test]
fn names_may_be_edited_keys_may_not() {
    let org = acme();
    let mut pair = before_approval(&org, &org.bob(), 40);
    let approval = Approval {
        name: Some(label("Robert")),
        device_label: Some(label("tower")),
        profile: Profile::Outsider,
        ..org.approval()
    };
    pair.tell_greeter(GreeterInput::Approve(approval)).unwrap();
    for point in [Point::Message(7), Point::Log, Point::Saved, Point::Message(8)] {
        pair.pass(&org, point);
    }
    let device = pair.c.kept.unwrap();
    assert_eq!((device.name.as_str(), device.device_label.as_str()), ("Robert", "tower"));
    let log = org.log.extended(device.certificates.iter().map(Vec::as_slice)).unwrap();
    let user = log.user(&device.user).unwrap();
    let sealed =
        open_name(&org.directory_keys, log.organisation(), NameOf::User(device.user), &user.sealed_name);
    assert_eq!((sealed, user.profile), (Some(label("Robert")), Profile::Outsider));
    assert_eq!(user.encryption_key, device.user_seed.encryption_key().hash());
    let certified = log.device(&device.device).unwrap();
    assert_eq!(certified.verify_key, device.signing_key.verify_key());
    assert_eq!(certified.encryption_key, device.device_seed.encryption_key().hash());
    // Both certificates have one view of the log.
    assert_eq!(device.seen, org.log.head());
}

/// As one that an earlier greeter planted would be: whoever gets it has nobody who could open names
/// under it.
#[test]
fn a_key_that_the_log_does_not_name_neither_seals_nor_is_handed_on() {
    let org = acme();
    let mut planted = org.directory_keys.copied();
    assert!(planted.insert(256, DirectoryKey::random(&mut SeededRng::new(6)).unwrap()));
    let mut pair = before_approval(&org, &org.bob(), 44);
    let approval = Approval { directory_keys: &planted, ..org.approval() };
    pair.tell_greeter(GreeterInput::Approve(approval)).unwrap();
    for point in [Point::Message(7), Point::Log, Point::Saved, Point::Message(8)] {
        pair.pass(&org, point);
    }
    let device = pair.c.kept.unwrap();
    assert!(device.directory_keys.numbers().eq([1]));
    let log = org.log.extended(device.certificates.iter().map(Vec::as_slice)).unwrap();
    assert_eq!(sealed_with(&log.user(&device.user).unwrap().sealed_name), Some(1));
    assert_eq!(sealed_with(&log.device(&device.device).unwrap().sealed_label), Some(1));
}

#[test]
fn only_who_may_certify_does() {
    let mut org = acme();
    let other = let_in(&mut org, "carol@acme.example", Profile::Administrator, 41);
    let standard = let_in(&mut org, "dave@acme.example", Profile::Standard, 42);
    let empty = VerifiedLog::empty("acme".parse().unwrap(), org.root);
    let refuse = |prologue: &Prologue, approval: Approval<'_>, why: Refused, what: &str| {
        let mut pair = before_approval(&org, prologue, 43);
        assert_eq!(pair.tell_greeter(GreeterInput::Approve(approval)), Err(why), "{what}");
        assert!(nothing_was_signed(&pair.g), "{what}");
        // Refused is not over: the same approval, as it should be, goes through where it may.
        assert!(pair.g.closed.is_none(), "{what}");
    };
    let may_not = Refused::MayNotCertify;
    let bob = org.bob();
    let own = org.second_device();
    let approval = || org.approval();

    refuse(&bob, Approval { log: &empty, ..approval() }, may_not, "a log that doesn't know the greeter");
    refuse(&bob, Approval { signing_key: &other.signing_key, ..approval() }, may_not, "another's key");
    let by_dave = Prologue { greeter_user: standard.user, greeter_device: standard.device, ..bob.clone() };
    refuse(
        &by_dave,
        Approval { signing_key: &standard.signing_key, ..approval() },
        may_not,
        "no administrator",
    );
    let mixed = Prologue { greeter_user: other.user, ..bob.clone() };
    refuse(&mixed, approval(), may_not, "another's device");
    let taken = org.prologue(Invited::User("carol@acme.example".parse().unwrap()));
    refuse(&taken, approval(), may_not, "an address that a member has");
    let for_carol = org.prologue(Invited::Device(other.user));
    refuse(&for_carol, approval(), may_not, "a device of somebody else");
    refuse(&own, Approval { user_seed: &other.user_seed, ..approval() }, may_not, "another's user key");
    refuse(
        &own,
        Approval { name: Some(label("Eve")), ..approval() },
        Refused::WrongIdentity,
        "a name for a device",
    );
    let stranger = DirectoryKeys::first(DirectoryKey::random(&mut SeededRng::new(5)).unwrap());
    refuse(&own, Approval { directory_keys: &stranger, ..approval() }, may_not, "another directory");

    // A standard member may certify their own device, and a revoked one nothing.
    let daves = Prologue {
        invited: Invited::Device(standard.user),
        greeter_user: standard.user,
        greeter_device: standard.device,
        ..bob.clone()
    };
    let by_dave = |log| Approval {
        signing_key: &standard.signing_key,
        user_seed: &standard.user_seed,
        log,
        ..org.approval()
    };
    let mut pair = before_approval(&org, &daves, 44);
    pair.tell_greeter(GreeterInput::Approve(by_dave(&org.log))).unwrap();
    assert!(pair.g.persisted.is_some());
    let revoked = {
        let body = Body::DeviceRevoked { device: standard.device };
        let envelope = certify(&org.log, org.device, &org.signing_key, body, START).unwrap();
        org.log.extended([envelope.as_slice()]).unwrap()
    };
    refuse(&daves, by_dave(&revoked), may_not, "a revoked device");
}

#[test]
fn another_root_than_the_codes_covered_signs_nothing() {
    let org = acme();
    let mut entropy = SeededRng::new(45);
    let root = DeviceSigningKey::random(&mut entropy).unwrap().verify_key();
    let mut pair = Pair::fair(&org, &org.bob(), false, 45);
    pair.greeter =
        Greeter::start(org.bob(), &Organisation::link_secret(), root, false, START, &mut entropy).unwrap().0;
    pair.run_to(&org, Point::Approval);
    let approved = pair.tell_greeter(GreeterInput::Approve(org.approval()));
    assert_eq!(approved, Err(Refused::MayNotCertify));
}

#[test]
fn an_address_is_free_again_after_revocation() {
    let mut org = acme();
    let bob = let_in(&mut org, "bob@acme.example", Profile::Standard, 46);
    org.state(Body::UserRevoked { user: bob.user }).unwrap();
    let again = let_in(&mut org, "bob@acme.example", Profile::Standard, 47);
    assert_ne!(again.user, bob.user);
}

/// Claims that a claimer's own program would not make.
#[test]
fn a_claim_must_be_sound_and_its_own() {
    let org = acme();
    let own = DeviceSigningKey::random(&mut SeededRng::new(48)).unwrap();
    let other = DeviceSigningKey::random(&mut SeededRng::new(49)).unwrap();
    let key_of = |seed| UserSeed::random(&mut SeededRng::new(seed)).unwrap().encryption_key();
    let (sound, of_device) = (key_of(50), key_of(67));
    let claim = |name: Option<&str>, encryption_key: Option<&EncryptionKey>, verify_key| ClaimRecord {
        name: name.map(label),
        device_label: label("desk"),
        encryption_key: encryption_key.cloned(),
        verify_key,
        device_key: of_device.clone(),
    };
    let mut identity = [0; 32];
    identity[0] = 1;
    let bad = Some(Closed::BadMessage { step: 6 });
    let user = org.bob();
    let device = org.second_device();
    let key = own.verify_key();
    for (what, prologue, claim, expected) in [
        ("good", &user, claim(Some("Bob"), Some(&sound), key), None),
        ("good", &device, claim(None, None, key), None),
        ("no name", &user, claim(None, Some(&sound), key), bad),
        ("no encryption key", &user, claim(Some("Bob"), None, key), bad),
        ("a name for a device", &device, claim(Some("Bob"), None, key), bad),
        ("an encryption key for a device", &device, claim(None, Some(&sound), key), bad),
        ("another's verify key", &user, claim(Some("Bob"), Some(&sound), other.verify_key()), bad),
        ("a weak verify key", &user, claim(Some("Bob"), Some(&sound), VerifyKey::from_bytes(identity)), bad),
    ] {
        let mut pair = Pair::fair(&org, prologue, false, 51);
        let mut claimer = FalseClaimer::against(&mut pair, prologue);
        let codes = claimer.up_to_codes(&mut pair, [1; 32]);
        pair.tell_greeter(GreeterInput::Code(CodeAnswer::Typed(codes.claimer))).unwrap();
        let signed = messages::possession_message(claimer.end.channel.handshake(), &claim);
        let possession = own.sign(Context::Possession, &signed);
        claimer.say(&mut pair, 6, &codec::encode(&Introduction { claim, possession }));
        assert_eq!(pair.g.closed, expected, "{what}");
        assert_eq!(pair.g.asked_approval, expected.is_none(), "{what}");
    }
}

#[test]
fn a_proof_of_possession_is_for_one_ceremony_and_one_meaning() {
    let org = acme();
    let own = DeviceSigningKey::random(&mut SeededRng::new(52)).unwrap();
    for wrong in 0..3 {
        let prologue = org.second_device();
        let mut pair = Pair::fair(&org, &prologue, false, 53);
        let mut claimer = FalseClaimer::against(&mut pair, &prologue);
        let codes = claimer.up_to_codes(&mut pair, [1; 32]);
        pair.tell_greeter(GreeterInput::Code(CodeAnswer::Typed(codes.claimer))).unwrap();
        let claim = ClaimRecord {
            name: None,
            device_label: label("desk"),
            encryption_key: None,
            verify_key: own.verify_key(),
            device_key: UserSeed::random(&mut SeededRng::new(67)).unwrap().encryption_key(),
        };
        let here = messages::possession_message(claimer.end.channel.handshake(), &claim);
        let elsewhere = messages::possession_message(&Hash::from_bytes([1; 32]), &claim);
        let possession = match wrong {
            0 => own.sign(Context::Possession, &elsewhere),
            1 => own.sign(Context::Receipt, &here),
            _ => own.sign(Context::Possession, &here[1..]),
        };
        claimer.say(&mut pair, 6, &codec::encode(&Introduction { claim, possession }));
        assert_eq!(pair.g.closed, Some(Closed::BadMessage { step: 6 }));
    }
}

#[test]
fn a_key_that_is_in_the_log_is_not_certified_again() {
    let mut org = acme();
    let bob = let_in(&mut org, "bob@acme.example", Profile::Standard, 54);
    let free = |seed| UserSeed::random(&mut SeededRng::new(seed)).unwrap().encryption_key();
    let bobs = bob.user_seed.encryption_key();
    let fresh = DeviceSigningKey::random(&mut SeededRng::new(56)).unwrap();
    for (encryption_key, device_key, signing) in [
        (bobs.clone(), free(58), &fresh),
        (free(55), bobs, &fresh),
        // One key for a user and a device.
        (free(55), free(55), &fresh),
        (free(55), free(58), &bob.signing_key),
    ] {
        let prologue = org.prologue(Invited::User("eve@acme.example".parse().unwrap()));
        let mut pair = Pair::fair(&org, &prologue, false, 57);
        let mut claimer = FalseClaimer::against(&mut pair, &prologue);
        let codes = claimer.up_to_codes(&mut pair, [1; 32]);
        pair.tell_greeter(GreeterInput::Code(CodeAnswer::Typed(codes.claimer))).unwrap();
        let claim = ClaimRecord {
            name: Some(label("Eve")),
            device_label: label("desk"),
            encryption_key: Some(encryption_key),
            verify_key: signing.verify_key(),
            device_key,
        };
        let signed = messages::possession_message(claimer.end.channel.handshake(), &claim);
        let possession = signing.sign(Context::Possession, &signed);
        claimer.say(&mut pair, 6, &codec::encode(&Introduction { claim, possession }));
        let approved = pair.tell_greeter(GreeterInput::Approve(org.approval()));
        assert_eq!(approved, Err(Refused::MayNotCertify));
    }
}

/// A thief of one device has the user's key: a new device must not be given it as the user's own.
#[test]
fn a_suspended_user_hands_no_key_over() {
    let mut org = acme();
    let mut pair = before_approval(&org, &org.second_device(), 68);
    pair.tell_greeter(GreeterInput::Approve(org.approval())).unwrap();
    for point in [Point::Message(7), Point::Log, Point::Saved, Point::Message(8)] {
        pair.pass(&org, point);
    }
    let stolen = pair.c.kept.unwrap();
    org.append(stolen.certificates.iter().cloned()).unwrap();
    assert!(!org.log.is_suspended(&stolen.user));
    org.state(Body::DeviceRevoked { device: stolen.device }).unwrap();
    assert!(org.log.is_suspended(&stolen.user));
    let mut pair = before_approval(&org, &org.second_device(), 69);
    let approved = pair.tell_greeter(GreeterInput::Approve(org.approval()));
    assert_eq!(approved, Err(Refused::KeyChangeDue));
    assert!(nothing_was_signed(&pair.g) && pair.g.closed.is_none());
    // Somebody else is let in all the same: nobody is given that key.
    let_in(&mut org, "bob@acme.example", Profile::Standard, 70);
    // With another key the same approval goes through, and the old key does not any more.
    let user_seed = UserSeed::random(&mut SeededRng::new(71)).unwrap();
    let change = Body::UserKeyChanged {
        user: org.user,
        previous: org.user_seed.encryption_key().hash(),
        encryption_key: user_seed.encryption_key().hash(),
        manifest: None,
        abandoned: Vec::new(),
    };
    org.state(change).unwrap();
    assert!(!org.log.is_suspended(&stolen.user));
    let mut pair = before_approval(&org, &org.second_device(), 72);
    let approved = pair.tell_greeter(GreeterInput::Approve(org.approval()));
    assert_eq!(approved, Err(Refused::MayNotCertify));
    let approval = Approval { user_seed: &user_seed, ..org.approval() };
    pair.tell_greeter(GreeterInput::Approve(approval)).unwrap();
    for point in [Point::Message(7), Point::Log, Point::Saved, Point::Message(8)] {
        pair.pass(&org, point);
    }
    assert_eq!(pair.c.kept.unwrap().user_seed.expose(), user_seed.expose());
}
