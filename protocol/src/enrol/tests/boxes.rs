//! The boxes of message 7, for whom they open and for what; and what a relay has that keeps every
//! message until X25519 is broken.
//!
//! The channel alone would keep a relay from touching a box; here it is given away, so that the
//! boxes stand by themselves.

use minicbor::bytes::ByteVec;

use super::super::boxes::{Boxes, HandedOver, make, open};
use super::super::dishonest::FalseKeys;
use super::super::messages::{self, ClaimRecord, Handover, Introduction};
use super::peers::FalseClaimer;
use super::*;
use crate::codec;
use crate::name_keys::{DirectoryKeys, NameKeys as _};
use crate::public_keys::{Context, Hash};

const CEREMONY: Hash = Hash::from_bytes([1; 32]);
const ANOTHER: Hash = Hash::from_bytes([2; 32]);

fn device_seed(byte: u8) -> DeviceSeed {
    DeviceSeed::from_bytes(&mut [byte; 32])
}

fn user_seed(byte: u8) -> UserSeed {
    UserSeed::from_bytes(&mut [byte; 32])
}

/// Whether both are the one key that the organisation begins with.
fn same(one: &DirectoryKeys, other: &DirectoryKeys) -> bool {
    one.newest() == other.newest() && one.sealing().1.is_same(other.sealing().1)
}

/// Boxes for the device with the seed of `device`, and for a new user with that of `user`.
fn boxes(org: &Organisation, handshake: &Hash, device: u8, user: Option<u8>) -> Boxes {
    let handed = HandedOver {
        directory_keys: &org.directory_keys,
        own_name: None,
        user_seed: user.is_none().then_some(&org.user_seed),
    };
    let user = user.map(|user| user_seed(user).encryption_key());
    let device = device_seed(device).encryption_key();
    make(handshake, &handed, &device, user.as_ref(), &mut SeededRng::new(80)).unwrap()
}

#[test]
fn a_box_opens_in_its_place_alone() {
    let org = acme();
    // The second has one seed for device and user, as no honest claimer has: what a box is for
    // tells them apart even so.
    for (device, user) in [(3, 4), (5, 5)] {
        let Boxes { secrets, challenges, opened } = boxes(&org, &CEREMONY, device, Some(user));
        let here = |secrets: &ByteVec, challenges: &[ByteVec]| {
            let found = open(&CEREMONY, &device_seed(device), Some(&user_seed(user)), secrets, challenges);
            found.map(|found| found.opened).ok()
        };
        assert_eq!(here(&secrets, &challenges), Some(opened));
        let [first, second] = <[ByteVec; 2]>::try_from(challenges).unwrap();
        for (secrets, challenges) in [
            (&secrets, [&second, &first]),
            (&secrets, [&first, &first]),
            (&secrets, [&second, &second]),
            (&first, [&first, &second]),
            (&first, [&secrets, &second]),
            (&secrets, [&secrets, &second]),
            (&secrets, [&first, &secrets]),
        ] {
            assert_eq!(here(secrets, &challenges.map(Clone::clone)), None);
        }
    }
}

#[test]
fn a_box_opens_in_its_ceremony_alone() {
    let org = acme();
    // The same keys in both, as if a claimer had kept them: each box of the other is none.
    let [one, other] = [CEREMONY, ANOTHER].map(|handshake| boxes(&org, &handshake, 3, Some(4)));
    let here = |secrets: &ByteVec, first: &ByteVec, second: &ByteVec| {
        let challenges = [first.clone(), second.clone()];
        open(&CEREMONY, &device_seed(3), Some(&user_seed(4)), secrets, &challenges).is_ok()
    };
    let ([a, b], [c, d]) =
        ([&one.challenges[0], &one.challenges[1]], [&other.challenges[0], &other.challenges[1]]);
    assert!(here(&one.secrets, a, b));
    assert!(!here(&other.secrets, a, b));
    assert!(!here(&one.secrets, c, b));
    assert!(!here(&one.secrets, a, d));
    assert!(!here(&other.secrets, c, d));
}

#[test]
fn a_box_opens_with_its_seed_alone() {
    let org = acme();
    let made = boxes(&org, &CEREMONY, 3, Some(4));
    let with = |device: u8, user: Option<u8>| {
        let user = user.map(user_seed);
        open(&CEREMONY, &device_seed(device), user.as_ref(), &made.secrets, &made.challenges).is_ok()
    };
    assert!(with(3, Some(4)));
    assert!(!with(4, Some(3)) && !with(9, Some(4)) && !with(3, Some(9)) && !with(3, None));
    let made = boxes(&org, &CEREMONY, 3, None);
    let open = |device: u8| open(&CEREMONY, &device_seed(device), None, &made.secrets, &made.challenges);
    assert!(open(9).is_err());
    let found = open(3).unwrap();
    assert!(same(&found.directory_keys, &org.directory_keys));
    assert!(found.user_seed.is_some_and(|seed| seed.is_same(&org.user_seed)));
}

/// A ceremony as it should be, by a claimer that keeps what it was given; what stood in message 7
/// under the channel.
fn handed_over(org: &Organisation, prologue: &Prologue, keys: &FalseKeys) -> (Handover, Hash) {
    let mut pair = Pair::fair(org, prologue, false, 81);
    let mut claimer = FalseClaimer::against(&mut pair, prologue);
    let codes = claimer.up_to_codes(&mut pair, [1; 32]);
    pair.tell_greeter(GreeterInput::Code(CodeAnswer::Typed(codes.claimer))).unwrap();
    let name = matches!(prologue.invited, Invited::User(_)).then(|| label("Bob"));
    assert!(claimer.end.hear_recognised(&pair.g.message(5)));
    let claim = claimer.end.introduce(name, label("desk"), keys);
    pair.tell_greeter(to_greeter(6, &claim)).unwrap();
    pair.tell_greeter(GreeterInput::Approve(org.approval())).unwrap();
    let handshake = *claimer.end.channel.handshake();
    (messages::open(&mut claimer.end.channel, 7, &pair.g.message(7)).unwrap(), handshake)
}

/// Who keeps message 7 and reads it one day, because X25519 is broken and the link was in a mail,
/// has names and certificates, and nothing that opens anything.
#[test]
fn without_the_channel_message_7_still_gives_no_key_away() {
    let org = acme();
    let keys = FalseKeys::random(&mut SeededRng::new(82)).unwrap();
    let has = |bytes: &[u8], secret: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
    for prologue in [org.second_device(), org.bob()] {
        let (handover, handshake) = handed_over(&org, &prologue, &keys);
        let bytes = codec::encode(&handover);
        let Handover { secrets, challenges, .. } = &handover;
        let user = (challenges.len() > 1).then_some(&keys.user);
        let found = open(&handshake, &keys.device, user, secrets, challenges).unwrap();
        // The search would find what lies open.
        assert!(has(&bytes, org.root.as_bytes()));
        assert!(same(&found.directory_keys, &org.directory_keys));
        for secret in [org.directory_keys.sealing().1.expose(), org.user_seed.expose()] {
            assert!(!has(&bytes, secret) && !has(&bytes, &secret[..16]));
        }
        // With what the relay knows besides, and with every public word of the ceremony as a seed.
        let link = *Organisation::link_secret().expose();
        for guess in [[0; 32], link, *handshake.as_bytes(), *org.root.as_bytes()] {
            let (device, own) =
                (DeviceSeed::from_bytes(&mut guess.clone()), UserSeed::from_bytes(&mut guess.clone()));
            let user = user.map(|_| &own);
            assert!(open(&handshake, &device, user, secrets, challenges).is_err());
        }
    }
}

/// Whoever turns the device's key of message 6 into another is noticed before anything is signed:
/// the claimer's signature is over the whole claim.
#[test]
fn no_key_of_a_claim_can_be_exchanged_behind_its_signature() {
    let org = acme();
    let prologue = org.bob();
    for which in 0..2 {
        let mut pair = Pair::fair(&org, &prologue, false, 83);
        let mut claimer = FalseClaimer::against(&mut pair, &prologue);
        let codes = claimer.up_to_codes(&mut pair, [1; 32]);
        pair.tell_greeter(GreeterInput::Code(CodeAnswer::Typed(codes.claimer))).unwrap();
        let signing = DeviceSigningKey::random(&mut SeededRng::new(84)).unwrap();
        let mut claim = ClaimRecord {
            name: Some(label("Bob")),
            device_label: label("desk"),
            encryption_key: Some(user_seed(4).encryption_key()),
            verify_key: signing.verify_key(),
            device_key: device_seed(3).encryption_key(),
        };
        let signed = messages::possession_message(claimer.end.channel.handshake(), &claim);
        let possession = signing.sign(Context::Possession, &signed);
        let relays = user_seed(9).encryption_key();
        if which == 0 {
            claim.device_key = relays
        } else {
            claim.encryption_key = Some(relays)
        }
        claimer.say(&mut pair, 6, &codec::encode(&Introduction { claim, possession }));
        assert_eq!(pair.g.closed, Some(Closed::BadMessage { step: 6 }));
        assert!(nothing_was_signed(&pair.g));
    }
}

/// A claimer that claims an encryption key which is not its own gets certificates signed, since
/// nobody can see that; but it can't show what was in the boxes, and nothing of it is published.
#[test]
fn a_key_that_the_claimer_does_not_hold_is_not_published() {
    let org = acme();
    let prologue = org.bob();
    for which in 0..3 {
        let mut pair = Pair::fair(&org, &prologue, false, 85);
        let mut claimer = FalseClaimer::against(&mut pair, &prologue);
        let codes = claimer.up_to_codes(&mut pair, [1; 32]);
        pair.tell_greeter(GreeterInput::Code(CodeAnswer::Typed(codes.claimer))).unwrap();
        assert!(claimer.end.hear_recognised(&pair.g.message(5)));
        let keys = FalseKeys::random(&mut SeededRng::new(86)).unwrap();
        let claimed = FalseKeys {
            signing: DeviceSigningKey::from_bytes(&mut { *keys.signing.expose() }),
            device: if which == 0 {
                device_seed(9)
            } else {
                DeviceSeed::from_bytes(&mut { *keys.device.expose() })
            },
            user: if which == 1 { user_seed(9) } else { UserSeed::from_bytes(&mut { *keys.user.expose() }) },
        };
        let claim = claimer.end.introduce(Some(label("Bob")), label("desk"), &claimed);
        pair.tell_greeter(to_greeter(6, &claim)).unwrap();
        pair.tell_greeter(GreeterInput::Approve(org.approval())).unwrap();
        let booty = claimer.end.hear_handover(&pair.g.message(7), &keys).unwrap();
        let receipt = claimer.end.receipt(&booty, &keys.signing);
        pair.tell_greeter(to_greeter(8, &receipt)).unwrap();
        // The third holds all that it claims.
        assert_eq!(pair.g.closed, (which < 2).then_some(Closed::BadReceipt));
        assert_eq!(pair.g.published.is_some(), which == 2);
    }
}
