//! What is compared with what: objects with their hashes, heads with what is here.

use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::{Body, DeviceKind, SEALED_NAME_BYTES};
use parsec_protocol::chain::organisation::changes::certify;
use parsec_protocol::direct::GivenObject;
use parsec_protocol::ids::{DeviceId, ObjectId};
use parsec_protocol::keys::{DeviceSigningKey, UserSeed};
use parsec_protocol::lab::START;
use parsec_protocol::lab::safes::{BOB, CAROL, DANA, LabSafe, MALLORY};
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::public_keys::Hash;

use super::ask::right;
use super::comparing::passes;
use super::who::verify_key;
use crate::p2p::TalkError;

#[test]
fn an_object_that_is_not_the_one_is_nobodys_mistake() {
    let id = |number| ObjectId::from_bytes([number; 16]);
    let asked = [(id(1), ObjectHash::of(b"one")), (id(2), ObjectHash::of(b"two"))];
    let given = |object, sealed: &[u8]| GivenObject { object, sealed: sealed.to_vec().into() };
    let found = right(&asked, vec![given(id(2), b"two")]).unwrap();
    assert_eq!(found, [(id(2), b"two".to_vec())]);
    for bad in [
        // Another's bytes, one that nobody asked for, one twice.
        vec![given(id(1), b"two")],
        vec![given(id(3), b"one")],
        vec![given(id(1), b"one"), given(id(1), b"one")],
    ] {
        assert!(matches!(right(&asked, bad), Err(TalkError::Misbehaved(_))));
    }
}

#[test]
fn a_fork_is_found_at_any_place() {
    let head = |count, of: &[u8]| Head { count, hash: Hash::of(&[of]) };
    let own = head(5, b"own");
    let at = |of: &'static [u8]| move || Ok(Some(Hash::of(&[of])));
    let never = || panic!("nothing is to be looked up");
    assert!(passes(own, own, never).unwrap());
    assert!(!passes(own, head(5, b"other"), never).unwrap());
    assert!(passes(own, head(3, b"third"), at(b"third")).unwrap());
    assert!(!passes(own, head(3, b"other"), at(b"third")).unwrap());
    // What goes further can be compared once the server has shown as much.
    assert!(passes(own, head(9, b"other"), never).unwrap());
}

#[test]
fn who_was_taken_out_or_revoked_is_no_member() {
    let mut world = LabSafe::of_seed(7).unwrap();
    let is_member = |world: &LabSafe, who: usize| {
        let person = world.person(who).unwrap();
        let key = verify_key(&world.organisation.log, &world.verified, &person.device);
        assert!(key.is_none_or(|key| key == person.signing_key.verify_key()));
        key.is_some()
    };
    let all = |world: &LabSafe| [DANA, BOB, CAROL, MALLORY].map(|who| is_member(world, who));
    assert_eq!(all(&world), [true, true, true, false]);
    assert!(verify_key(&world.organisation.log, &world.verified, &DeviceId::from_bytes([1; 16])).is_none());
    world.rekey(&[(CAROL, None)]).unwrap();
    assert_eq!(all(&world), [true, true, false, false]);
    // Of Dana's devices one is revoked, and she is a member still.
    let (tablet, dana) = (DeviceId::from_bytes([2; 16]), world.person(DANA).unwrap());
    let body = Body::Device {
        device: tablet,
        user: dana.user,
        sealed_label: vec![7; SEALED_NAME_BYTES].into(),
        verify_key: DeviceSigningKey::from_bytes(&mut [2; 32]).verify_key(),
        encryption_key: UserSeed::from_bytes(&mut [3; 32]).encryption_key().hash(),
        kind: DeviceKind::Device,
    };
    let log = &world.organisation.log;
    let certificate = certify(log, dana.device, &dana.signing_key, body, START).unwrap();
    world.organisation.append([certificate]).unwrap();
    let of_tablet = |world: &LabSafe| verify_key(&world.organisation.log, &world.verified, &tablet).is_some();
    assert!(of_tablet(&world));
    world.organisation.state(Body::DeviceRevoked { device: tablet }).unwrap();
    assert!(!of_tablet(&world) && is_member(&world, DANA));
    // The safe's own log still gives Bob a role.
    world.revoke(BOB).unwrap();
    assert!(world.verified.role(&world.person(BOB).unwrap().user).is_some());
    assert_eq!(all(&world), [true, false, false, false]);
}
