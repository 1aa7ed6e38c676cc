//! What is bound before a code exists: prologue, link secret, every bit and length of every
//! message, sound keys.

use super::super::channel::HANDSHAKE_MESSAGE_BYTES;
use super::*;
use crate::ids::{DeviceId, Email, OrganisationId, UserId};
use crate::lab::bad_keys;
use crate::public_keys::PeerKey;

#[test]
fn a_prologue_that_differs_in_one_field_never_gets_to_codes() {
    let org = acme();
    let good = org.bob();
    let email: Email = "bob@acme.tesu".parse().unwrap();
    let organisation: OrganisationId = "acmf".parse().unwrap();
    let others = [
        Prologue { organisation, ..good.clone() },
        Prologue { token: Token::from_bytes([8; 16]), ..good.clone() },
        Prologue { invited: Invited::User(email), ..good.clone() },
        Prologue { invited: Invited::Device(UserId::from_bytes([1; 16])), ..good.clone() },
        Prologue { greeter_user: UserId::from_bytes([2; 16]), ..good.clone() },
        Prologue { greeter_device: DeviceId::from_bytes([2; 16]), ..good.clone() },
        // The two ids are neighbours in the prologue: they can't change places.
        Prologue {
            greeter_user: UserId::from_bytes(*good.greeter_device.as_bytes()),
            greeter_device: DeviceId::from_bytes(*good.greeter_user.as_bytes()),
            ..good.clone()
        },
        Prologue {
            transport: TransportKind::PeerToPeer { peer: PeerKey::from_bytes([3; 32]) },
            ..good.clone()
        },
    ];
    let direct = |peer| Prologue {
        transport: TransportKind::PeerToPeer { peer: PeerKey::from_bytes([peer; 32]) },
        ..good.clone()
    };
    let mut pairs: Vec<_> = others.into_iter().map(|other| (good.clone(), other)).collect();
    // Another device answers in the greeter's place.
    pairs.push((direct(3), direct(4)));
    for (good, other) in pairs {
        for (claims, greets) in [(&good, &other), (&other, &good)] {
            let mut pair = Pair::start(&org, claims.clone(), greets.clone(), false, 1);
            pair.deliver(0);
            assert_eq!(pair.g.closed, Some(Closed::WrongLink));
            assert!(pair.g.sent.is_empty() && pair.g.asked.is_none());
        }
    }
}

#[test]
fn another_link_secret_is_another_channel() {
    let org = acme();
    let mut pair = Pair::fair(&org, &org.bob(), false, 1);
    for bit in 0..256 {
        let mut secret = *Organisation::link_secret().expose();
        secret[bit / 8] ^= 1 << (bit % 8);
        let secret = LinkSecret::from_bytes(&mut secret);
        let (_, first) = Claimer::start(org.bob(), &secret, START, &mut pair.entropy).unwrap();
        let mut c = Seen::default();
        c.claimer(first);
        let mut greeter = Pair::fair(&org, &org.bob(), false, 2);
        greeter.tell_greeter(to_greeter(0, &c.message(0))).unwrap();
        assert_eq!(greeter.g.closed, Some(Closed::WrongLink));
    }
}

#[test]
fn a_flipped_bit_in_any_message_closes() {
    let org = acme();
    for (prologue, seed) in [(org.bob(), 3), (org.second_device(), 4)] {
        for step in 0..=8u8 {
            let mut sample = Pair::fair(&org, &prologue, false, seed);
            sample.run_to(&org, Point::Message(step));
            let sent = if step.is_multiple_of(2) { sample.c.message(step) } else { sample.g.message(step) };
            // First and last byte, and a few between.
            for at in [0, 1, sent.len() / 3, sent.len() / 2, sent.len() - 17, sent.len() - 1] {
                let mut bytes = sent.clone();
                bytes[at] ^= 0x10;
                let mut pair = Pair::fair(&org, &prologue, false, seed);
                pair.run_to(&org, Point::Message(step));
                if step.is_multiple_of(2) {
                    pair.tell_greeter(to_greeter(step, &bytes)).unwrap();
                    assert!(pair.g.closed.is_some(), "step {step} at {at}");
                } else {
                    pair.tell_claimer(to_claimer(step, &bytes)).unwrap();
                    assert!(pair.c.closed.is_some(), "step {step} at {at}");
                    assert!(pair.c.kept.is_none());
                }
                assert!(pair.g.published.is_none());
            }
        }
    }
}

#[test]
fn every_other_length_is_refused() {
    let org = acme();
    for step in 0..=8u8 {
        let mut sample = Pair::fair(&org, &org.bob(), false, 5);
        sample.run_to(&org, Point::Message(step));
        let sent = if step.is_multiple_of(2) { sample.c.message(step) } else { sample.g.message(step) };
        for length in
            [0, 1, 15, 16, 17, 31, 32, 47, 48, 49, sent.len() - 1, sent.len() + 1, 65_535, 65_536, 1 << 20]
        {
            if length == sent.len() {
                continue;
            }
            let mut bytes = sent.clone();
            bytes.resize(length, 0);
            let mut pair = Pair::fair(&org, &org.bob(), false, 5);
            pair.run_to(&org, Point::Message(step));
            let closed = if step.is_multiple_of(2) {
                pair.tell_greeter(to_greeter(step, &bytes)).unwrap();
                pair.g.closed
            } else {
                pair.tell_claimer(to_claimer(step, &bytes)).unwrap();
                pair.c.closed
            };
            let expected = if step == 8 { Closed::BadReceipt } else { Closed::BadMessage { step } };
            assert_eq!(closed, Some(expected), "step {step}, {length} bytes");
        }
    }
}

#[test]
fn bad_keys_are_refused_before_any_code() {
    let org = acme();
    assert_eq!(bad_keys().len(), 5 + 19 + 25);
    for key in bad_keys() {
        let mut bytes = key.to_vec();
        bytes.resize(HANDSHAKE_MESSAGE_BYTES, 0);
        let mut pair = Pair::fair(&org, &org.bob(), false, 6);
        pair.tell_greeter(to_greeter(0, &bytes)).unwrap();
        pair.tell_claimer(to_claimer(1, &bytes)).unwrap();
        assert_eq!(
            (pair.g.closed, pair.c.closed),
            (Some(Closed::BadKey), Some(Closed::BadKey)),
            "{key:02x?}"
        );
        assert!(pair.g.sent.is_empty() && pair.c.sent.len() == 1);
        assert!(pair.g.asked.is_none() && pair.c.shown.is_none());
    }
    println!("figure M5: {} bad keys at each side: all refused before a code is shown", bad_keys().len());
}

/// The check above looks at the key's bytes. This one shows that the Diffie-Hellman itself refuses
/// too: a message 0 that is authentic in every other way.
#[test]
fn the_second_lock_holds_too() {
    use snow::types::Dh as _;
    let dh = super::super::channel::tests_x25519([5; 32]);
    for key in bad_keys() {
        let mut out = [0; 56];
        let mut public = [0; 56];
        public[..32].copy_from_slice(&key);
        assert!(dh.dh(&public, &mut out).is_err(), "{key:02x?}");
        assert_eq!(out, [0; 56]);
    }
}
