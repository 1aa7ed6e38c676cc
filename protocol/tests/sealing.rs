//! Boxes and the keys they are for, from outside: what is a key, what opens, and that nothing else
//! does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "support/hpke_reference.rs"]
mod hpke_reference;
mod support;

use hpke_reference::ReferenceBox;
use minicbor::{Decode, Encode};
use parsec_protocol::codec::{self, CodecError};
use parsec_protocol::keys::{Entropy as _, UserSeed};
use parsec_protocol::sealing::{
    ENCAPSULATION_BYTES, ENCRYPTION_KEY_BYTES, EncryptionKey, INFO_MAX_BYTES, KeyHash, OpenError,
    RANDOMNESS_BYTES, Randomness, SECRET_BOX_BYTES, SealError, Suite, UnsoundKey, box_bytes, seal,
};
use support::{Seed, runs};

/// Where the X25519 half of a key begins.
const X25519: usize = ENCRYPTION_KEY_BYTES - 32;
/// The prime of ML-KEM (FIPS 203, section 2.4.1).
const Q: u16 = 3_329;
const INFO: &[u8] = b"of a test";
const AAD: &[u8] = b"beside it";
const TEXT: [u8; 32] = [7; 32];

fn seed(number: u64) -> UserSeed {
    UserSeed::random(&mut Seed(number << 32)).unwrap()
}

fn randomness(number: u64) -> Randomness {
    Randomness::random(&mut Seed(number << 32 | 1 << 31)).unwrap()
}

fn sealed() -> Vec<u8> {
    seal(&seed(1).encryption_key(), INFO, AAD, &TEXT, randomness(1)).unwrap()
}

/// A sound key with its X25519 half exchanged.
fn with_x25519(x25519: [u8; 32]) -> Result<EncryptionKey, UnsoundKey> {
    let mut key = *seed(1).encryption_key().as_bytes();
    key[X25519..].copy_from_slice(&x25519);
    EncryptionKey::from_bytes(&key)
}

/// The coefficient at a place of the ML-KEM half, which has two in three bytes.
fn coefficient(key: &[u8], at: usize) -> u16 {
    let bytes = &key[at / 2 * 3..];
    let (low, middle, high) = (u16::from(bytes[0]), u16::from(bytes[1]), u16::from(bytes[2]));
    if at.is_multiple_of(2) { low | (middle & 15) << 8 } else { middle >> 4 | high << 4 }
}

fn set_coefficient(key: &mut [u8], at: usize, value: u16) {
    let pair =
        if at.is_multiple_of(2) { [value, coefficient(key, at + 1)] } else { [coefficient(key, at - 1), value] };
    let number = u32::from(pair[0]) | u32::from(pair[1]) << 12;
    key[at / 2 * 3..][..3].copy_from_slice(&number.to_le_bytes()[..3]);
}

/// The points of small order below 2^255 - 19, as docs/protocol.md has them, little-endian.
fn small_order() -> [[u8; 32]; 5] {
    let mut points = [[0; 32]; 5];
    points[1][0] = 1;
    points[2] = [0xff; 32];
    (points[2][0], points[2][31]) = (0xec, 0x7f);
    points[3] = [
        224, 235, 122, 124, 59, 65, 184, 174, 22, 86, 227, 250, 241, 159, 196, 106, 218, 9, 141, 235, 156,
        50, 177, 253, 134, 98, 5, 22, 95, 73, 184, 0,
    ];
    points[4] = [
        95, 156, 149, 188, 163, 80, 140, 36, 177, 208, 177, 85, 156, 131, 239, 91, 4, 68, 92, 196, 88, 28,
        142, 134, 216, 34, 78, 221, 208, 159, 17, 87,
    ];
    points
}

/// X25519 keys that are none: of small order, not below 2^255 - 19, with the top bit set.
fn unsound_x25519() -> Vec<[u8; 32]> {
    let mut points = small_order().to_vec();
    // 2^255 - 19 and 2^255 - 18 are 0 and 1 once more; 2^255 - 10 is 9, the base point.
    for low in [0xed, 0xee, 0xf6] {
        let mut point = [0xff; 32];
        (point[0], point[31]) = (low, 0x7f);
        points.push(point);
    }
    let mut point: [u8; 32] = seed(1).encryption_key().as_bytes()[X25519..].try_into().unwrap();
    point[31] |= 0x80;
    points.push(point);
    points
}

#[test]
fn the_x25519_half_of_a_key_is_sound() {
    assert!(with_x25519(seed(2).encryption_key().as_bytes()[X25519..].try_into().unwrap()).is_ok());
    for x25519 in unsound_x25519() {
        assert_eq!(with_x25519(x25519), Err(UnsoundKey::X25519), "{x25519:02x?}");
    }
}

#[test]
fn a_coefficient_has_one_spelling() {
    let good = *seed(1).encryption_key().as_bytes();
    let mut refused = 0;
    for at in 0..768 {
        let value = coefficient(&good, at);
        let mut key = good;
        // Every place holds anything below the prime ...
        set_coefficient(&mut key, at, Q - 1);
        assert!(EncryptionKey::from_bytes(&key).is_ok());
        // ... and neither the prime, nor the most that 12 bits hold, nor a second spelling of what
        // was there.
        for high in [Some(Q), Some(4_095), value.checked_add(Q).filter(|high| *high < 4_096)] {
            let Some(high) = high else { continue };
            set_coefficient(&mut key, at, high);
            assert_eq!(EncryptionKey::from_bytes(&key), Err(UnsoundKey::NotReduced), "{high} at {at}");
            refused += 1;
        }
    }
    assert!(refused > 2 * 768, "some have a second spelling");
}

#[test]
fn a_key_has_one_length() {
    let key = [seed(1).encryption_key().as_bytes().as_slice(), &[0; 32]].concat();
    for length in [0, 32, X25519, ENCRYPTION_KEY_BYTES - 1, ENCRYPTION_KEY_BYTES + 1, key.len()] {
        assert_eq!(EncryptionKey::from_bytes(&key[..length]), Err(UnsoundKey::Length(length)));
    }
}

#[test]
fn the_record_of_a_key_names_a_suite_that_is_known() {
    #[derive(Debug, Encode, Decode)]
    struct Other(#[n(0)] u64, #[cbor(n(1), with = "minicbor::bytes")] Vec<u8>);
    let key = seed(1).encryption_key();
    let record = |suite, bytes: &[u8]| {
        codec::decode::<EncryptionKey>(&codec::encode(&Other(suite, bytes.to_vec())), 2_048)
    };
    assert_eq!(record(1, key.as_bytes()).as_ref(), Ok(&key));
    assert_eq!(codec::decode::<EncryptionKey>(&codec::encode(&key), 2_048), Ok(key.clone()));
    for suite in [0, 2, 23, 1 << 32] {
        assert_eq!(record(suite, key.as_bytes()), Err(CodecError::Unexpected), "suite {suite}");
    }
    assert_eq!(record(1, &key.as_bytes()[1..]), Err(CodecError::Unexpected));
    let mut unsound = *key.as_bytes();
    unsound[X25519..].fill(0);
    assert_eq!(record(1, &unsound), Err(CodecError::Unexpected));
    // It has a hash all the same: that a certified key is unsound can be shown.
    assert_ne!(KeyHash::of(Suite::XWing, &unsound), key.hash());
}

#[test]
fn the_same_arguments_give_the_same_box() {
    let box_ = sealed();
    assert_eq!(box_.len(), SECRET_BOX_BYTES);
    assert_eq!((SECRET_BOX_BYTES, box_bytes(0)), (1_168, 1_136));
    assert_eq!(box_, sealed());
    let key = seed(1).encryption_key();
    let other = seal(&key, INFO, AAD, &TEXT, randomness(2)).unwrap();
    assert!(box_[..1_088] != other[..1_088] && box_[1_088..1_120] != other[1_088..1_120]);
}

#[test]
fn a_box_opens_for_its_key_use_and_associated_data_alone() {
    let box_ = sealed();
    assert_eq!(seed(1).open(&box_, INFO, AAD).unwrap().expose(), TEXT);
    let refused = |number, info: &[u8], aad: &[u8]| seed(number).open(&box_, info, aad).unwrap_err();
    assert_eq!(refused(2, INFO, AAD), OpenError);
    assert_eq!(refused(1, b"of a tesT", AAD), OpenError);
    assert_eq!(refused(1, b"", AAD), OpenError);
    assert_eq!(refused(1, INFO, b""), OpenError);
    // What one says of the use can't be moved over to the other.
    assert_eq!(refused(1, b"of a testbeside it", b""), OpenError);
    assert_eq!(refused(1, AAD, INFO), OpenError);
}

#[test]
fn a_box_of_another_length_does_not_open() {
    let box_ = [sealed(), vec![0; 16]].concat();
    for length in (0..=box_.len()).filter(|length| *length != SECRET_BOX_BYTES) {
        assert!(seed(1).open(&box_[..length], INFO, AAD).is_err(), "{length} bytes");
    }
    assert!(seed(1).open(&box_[1..=SECRET_BOX_BYTES], INFO, AAD).is_err(), "moved by a byte");
}

#[test]
fn a_flipped_bit_anywhere_closes_a_box() {
    let (mut box_, seed) = (sealed(), seed(1));
    let bits_of_a_byte = usize::try_from(runs(1, 8)).unwrap();
    for at in 0..box_.len() {
        for bit in 0..bits_of_a_byte {
            let mask = 1 << ((at + bit) % 8);
            box_[at] ^= mask;
            assert!(seed.open(&box_, INFO, AAD).is_err(), "bit {mask} of byte {at}");
            box_[at] ^= mask;
        }
    }
    assert!(seed.open(&box_, INFO, AAD).is_ok());
}

#[test]
fn info_has_an_end() {
    let key = seed(1).encryption_key();
    let longest = [1; INFO_MAX_BYTES + 1];
    let sealed = seal(&key, &longest[1..], AAD, &TEXT, randomness(1)).unwrap();
    assert!(seed(1).open(&sealed, &longest[1..], AAD).is_ok());
    assert_eq!(seal(&key, &longest, AAD, &TEXT, randomness(1)), Err(SealError));
    // ReferenceBox by somebody who has no such bound.
    assert!(seed(1).open(&reference_box(&longest[1..], None, None), &longest[1..], AAD).is_ok());
    assert!(seed(1).open(&reference_box(&longest, None, None), &longest, AAD).is_err());
}

#[test]
fn randomness_has_64_bytes() {
    for length in [0, 32, RANDOMNESS_BYTES - 1, RANDOMNESS_BYTES + 1] {
        assert!(Randomness::from_slice(&[1; RANDOMNESS_BYTES + 1][..length]).is_none());
    }
    let mut drawn = [0; RANDOMNESS_BYTES];
    Seed(1 << 32 | 1 << 31).fill(&mut drawn).unwrap();
    let key = seed(1).encryption_key();
    let given = Randomness::from_slice(&drawn).unwrap();
    assert_eq!(seal(&key, INFO, AAD, &TEXT, given).unwrap(), sealed());
}

/// A box for `seed(1)`, honest but for the X25519 key that it is said to be made with and the
/// secret of that.
fn reference_box(info: &[u8], point: Option<[u8; 32]>, x25519: Option<[u8; 32]>) -> Vec<u8> {
    let key = seed(1).encryption_key();
    let mut drawn = [0; RANDOMNESS_BYTES];
    Seed(1 << 32 | 1 << 31).fill(&mut drawn).unwrap();
    let own = x25519_dalek::StaticSecret::from(<[u8; 32]>::try_from(&drawn[32..]).unwrap());
    let theirs: [u8; 32] = key.as_bytes()[X25519..].try_into().unwrap();
    let made = ReferenceBox {
        key: key.as_bytes(),
        info,
        associated: AAD,
        text: &TEXT,
        message: drawn[..32].try_into().unwrap(),
        point: point.unwrap_or(x25519_dalek::PublicKey::from(&own).to_bytes()),
        x25519: x25519.unwrap_or(own.diffie_hellman(&theirs.into()).to_bytes()),
    };
    made.sealed()
}

#[test]
fn a_box_made_step_by_step_is_the_same() {
    assert_eq!(reference_box(INFO, None, None), sealed());
}

#[test]
fn a_box_whose_x25519_key_is_not_sound_does_not_open() {
    // Whoever opens comes to the secret of zeros with each of these, so all would open but for the
    // rule.
    for point in small_order() {
        assert!(
            seed(1).open(&reference_box(INFO, Some(point), Some([0; 32])), INFO, AAD).is_err(),
            "{point:02x?}"
        );
    }
    // A second spelling of an honest key leads to the honest secret.
    let mut point: [u8; 32] = sealed()[ENCAPSULATION_BYTES - 32..ENCAPSULATION_BYTES].try_into().unwrap();
    point[31] |= 0x80;
    assert!(seed(1).open(&reference_box(INFO, Some(point), None), INFO, AAD).is_err());
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: u32::try_from(runs(64, 2_000)).unwrap(), ..Default::default() })]

    #[test]
    fn what_is_sealed_opens(
        keys in proptest::num::u32::ANY,
        info in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        aad in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        text in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
    ) {
        let seed = seed(keys.into());
        let key = seed.encryption_key();
        let again = EncryptionKey::from_bytes(key.as_bytes());
        proptest::prop_assert_eq!(again.as_ref(), Ok(&key));
        let sealed = seal(&key, &info, &aad, &text, randomness(keys.into())).unwrap();
        proptest::prop_assert_eq!(sealed.len(), box_bytes(text.len()));
        let opened = seed.open(&sealed, &info, &aad).unwrap();
        proptest::prop_assert_eq!(opened.expose(), text.as_slice());
    }
}
