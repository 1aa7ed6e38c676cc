//! The suite against the vectors of its drafts (tests/vectors/README.md says which), and the seams
//! that nothing outside of this folder sees.

use hpke::rand_core::TryRng as _;
use hpke::{
    Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _, setup_receiver, setup_sender_with_rng,
};
use serde_json::Value;

use super::xwing::{Aead, EncappedKey, FixedRng, Kdf, PrivateKey, PublicKey, XWing};
use super::*;
use crate::codec;
use crate::keys::UserSeed;

fn published(text: &str) -> Vec<Value> {
    serde_json::from_str::<Vec<Value>>(text).unwrap()
}

fn hpke_pq() -> Vec<Value> {
    published(include_str!("../../../tests/vectors/published/hpke-pq.json"))
}

fn x_wing() -> Vec<Value> {
    published(include_str!("../../../tests/vectors/published/x-wing.json"))
}

fn unhex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap().as_bytes();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn randomness(value: &Value) -> [u8; RANDOMNESS_BYTES] {
    unhex(value).try_into().unwrap()
}

#[test]
fn the_vectors_of_x_wing_come_out() {
    let vectors = x_wing();
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        let key = PrivateKey::from_bytes(&unhex(&vector["seed"])).unwrap();
        let public = XWing::sk_to_pk(&key);
        assert_eq!(public.to_bytes().as_slice(), unhex(&vector["pk"]));
        let drawn = randomness(&vector["eseed"]);
        let (secret, sent) = XWing::encap_with_rng(&public, None, &mut FixedRng::new(&drawn)).unwrap();
        assert_eq!(sent.to_bytes().as_slice(), unhex(&vector["ct"]));
        assert_eq!(secret.0.as_slice(), unhex(&vector["ss"]));
        let received = EncappedKey::from_bytes(&unhex(&vector["ct"])).unwrap();
        assert_eq!(XWing::decap(&key, None, &received).unwrap().0.as_slice(), unhex(&vector["ss"]));
    }
}

#[test]
fn the_vectors_of_hpke_come_out() {
    let vectors = hpke_pq();
    assert_eq!(vectors.len(), 1);
    for vector in vectors {
        assert_eq!(
            (&vector["kem_id"], &vector["kdf_id"], &vector["aead_id"]),
            (&0x647a.into(), &1.into(), &3.into())
        );
        let (key, public) = XWing::derive_keypair(&unhex(&vector["ikmR"]));
        assert_eq!(key.to_bytes().as_slice(), unhex(&vector["skRm"]));
        assert_eq!(public.to_bytes().as_slice(), unhex(&vector["pkRm"]));
        let (info, drawn) = (unhex(&vector["info"]), randomness(&vector["ikmE"]));
        let mut given = FixedRng::new(&drawn);
        let (sent, mut sender) =
            setup_sender_with_rng::<Aead, Kdf, XWing>(&OpModeS::Base, &public, &info, &mut given).unwrap();
        assert!(given.is_used_up());
        assert_eq!(sent.to_bytes().as_slice(), unhex(&vector["enc"]));
        let mut receiver = setup_receiver::<Aead, Kdf, XWing>(&OpModeR::Base, &key, &sent, &info).unwrap();
        let all = vector["encryptions"].as_array().unwrap();
        assert_eq!(all.len(), 10);
        for one in all {
            let mut text = unhex(&one["pt"]);
            let aad = unhex(&one["aad"]);
            let tag = sender.seal_inout_detached(text.as_mut_slice().into(), &aad).unwrap();
            assert_eq!([text.as_slice(), &tag.to_bytes()].concat(), unhex(&one["ct"]));
            receiver.open_inout_detached(text.as_mut_slice().into(), &aad, &tag).unwrap();
            assert_eq!(text, unhex(&one["pt"]));
        }
        for export in vector["exports"].as_array().unwrap() {
            let mut value = [0; 32];
            receiver.export(&unhex(&export["exporter_context"]), &mut value).unwrap();
            assert_eq!(value.as_slice(), unhex(&export["exported_value"]));
        }
    }
}

#[test]
fn a_box_is_the_first_message_of_the_draft() {
    let vector = &hpke_pq()[0];
    let seed = UserSeed::from_slice(&unhex(&vector["skRm"])).unwrap();
    let key = EncryptionKey::from_bytes(&unhex(&vector["pkRm"])).unwrap();
    assert_eq!(seed.encryption_key(), key);
    let first = &vector["encryptions"][0];
    let (info, aad, text) = (unhex(&vector["info"]), unhex(&first["aad"]), unhex(&first["pt"]));
    let drawn = Randomness::from_slice(&unhex(&vector["ikmE"])).unwrap();
    let sealed = seal(&key, &info, &aad, &text, drawn).unwrap();
    assert_eq!(sealed, [unhex(&vector["enc"]), unhex(&first["ct"])].concat());
    assert_eq!(seed.open(&sealed, &info, &aad).unwrap().expose(), text);
}

#[test]
fn authenticated_modes_are_refused() {
    let key = PrivateKey::expand(&[1; 32]);
    let public = XWing::sk_to_pk(&key);
    let drawn = [2; RANDOMNESS_BYTES];
    assert!(XWing::encap_with_rng(&public, Some((&key, &public)), &mut FixedRng::new(&drawn)).is_err());
    let (_, sent) = XWing::encap_with_rng(&public, None, &mut FixedRng::new(&drawn)).unwrap();
    assert!(XWing::decap(&key, Some(&public), &sent).is_err());
}

#[test]
fn keys_that_the_library_reads_are_sound_too() {
    let mut bytes = XWing::sk_to_pk(&PrivateKey::expand(&[1; 32])).to_bytes();
    assert!(PublicKey::from_bytes(&bytes).is_ok());
    bytes[ENCRYPTION_KEY_BYTES - 32..].fill(0);
    assert!(PublicKey::from_bytes(&bytes).is_err());
    assert!(PrivateKey::from_bytes(&[0; 31]).is_err());
    assert!(EncappedKey::from_bytes(&[9; ENCAPSULATION_BYTES - 1]).is_err());
}

#[test]
fn randomness_is_handed_out_once_and_to_the_last_byte() {
    let drawn: [u8; RANDOMNESS_BYTES] = std::array::from_fn(|at| at.try_into().unwrap());
    let mut given = FixedRng::new(&drawn);
    let mut bytes = [0; 56];
    given.try_fill_bytes(&mut bytes).unwrap();
    assert_eq!(bytes.as_slice(), &drawn[..56]);
    assert!(!given.is_used_up(), "8 bytes are left");
    assert_eq!(given.try_next_u32(), Ok(0x3b3a_3938));
    assert_eq!(given.try_next_u32(), Ok(0x3f3e_3d3c));
    assert!(given.is_used_up());
    given.try_next_u64().unwrap();
    assert!(!given.is_used_up(), "more was asked for than there is");
}

#[test]
fn a_hash_is_over_context_suite_and_key() {
    let key = UserSeed::from_bytes(&mut [1; 32]).encryption_key();
    let record = codec::encode(&key);
    // [1, 1,216 bytes]
    assert_eq!(record[..5], [0x82, 1, 0x59, 0x04, 0xc0]);
    assert_eq!(record[5..], key.as_bytes()[..]);
    let hash = crate::public_keys::Hash::of(&[b"parsec-key-v1\0", &record]);
    assert_eq!(key.hash().as_bytes(), hash.as_bytes());
    assert_eq!(KeyHash::of(Suite::XWing, key.as_bytes()), key.hash());
}
