//! Sealed things that somebody changed: every one is refused alike, so that a refusal tells nothing
//! about the key (docs/assurance.md, S14).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use parsec_protocol::chain::organisation::members::{NameOf, open_name, seal_name};
use parsec_protocol::codec;
use parsec_protocol::ids::{DeviceId, Timestamp, UserId};
use parsec_protocol::keys::{DirectoryKey, Entropy as _, ManifestKey, UserSeed};
use parsec_protocol::manifest::{ManifestError, ManifestHeader, Summary, open, seal as seal_manifest};
use parsec_protocol::name_keys::DirectoryKeys;
use parsec_protocol::public_keys::{Context, Signature};
use parsec_protocol::sealing::{KeyHash, Randomness, seal};
use support::{Org, Seed, encryption_key, organisation, signing_key};

/// Changed copies of each.
const COPIES: usize = 5_000;
/// The same of boxes, which take longer to open.
const BOXES: usize = 300;
/// What the copies are drawn from.
const SEED: u64 = 14;

/// One change: a bit, a byte, a piece cut off, put on or moved. Never none.
fn changed(original: &[u8], seed: &mut Seed) -> Vec<u8> {
    let mut draw = [0; 4];
    loop {
        seed.fill(&mut draw).unwrap();
        let mut copy = original.to_vec();
        let at = usize::from(u16::from_be_bytes([draw[0], draw[1]])) % copy.len();
        match draw[2] % 5 {
            0 => copy[at] ^= 1 << (draw[3] % 8),
            1 => copy[at] = draw[3],
            2 => copy.truncate(at),
            3 => copy.insert(at, draw[3]),
            _ => copy.rotate_left(at),
        }
        if copy != original {
            return copy;
        }
    }
}

#[test]
fn a_changed_name_is_no_name_whatever_was_changed() {
    let mut seed = Seed(SEED << 32);
    let key = DirectoryKey::random(&mut seed).unwrap();
    let whose = NameOf::User(UserId::from_bytes([3; 16]));
    let name = "Alice Hollybrook".parse().unwrap();
    let sealed = seal_name(&key, &organisation(), whose, &name, &mut seed).unwrap();
    assert_eq!(open_name(&key, &organisation(), whose, &sealed), Some(name), "the control");
    let opened = (0..COPIES)
        .filter(|_| open_name(&key, &organisation(), whose, &changed(&sealed, &mut seed)).is_some())
        .count();
    println!("figure S14: {COPIES} changed names, seed {SEED}: one answer, {opened} opened");
    assert_eq!(opened, 0);
}

/// As the envelope and its payload are in docs/protocol.md, *User manifest*.
#[derive(minicbor::Encode, minicbor::Decode)]
struct Envelope {
    #[n(0)]
    payload: minicbor::bytes::ByteVec,
    #[n(1)]
    signature: Signature,
}

/// The same.
#[derive(minicbor::Encode, minicbor::Decode)]
struct Payload {
    #[n(0)]
    organisation: parsec_protocol::ids::OrganisationId,
    #[n(1)]
    user: UserId,
    #[n(2)]
    version: u64,
    #[n(3)]
    author: DeviceId,
    #[n(4)]
    time: Timestamp,
    #[n(5)]
    key: KeyHash,
    #[n(6)]
    nonce: minicbor::bytes::ByteArray<24>,
    #[n(7)]
    ciphertext: minicbor::bytes::ByteVec,
}

/// With a good signature around it, so that the cipher alone has to notice: whoever has a device,
/// and not the key, could send these.
#[test]
fn a_changed_manifest_is_forged_whatever_was_changed() {
    let mut seed = Seed(SEED << 33);
    let key = ManifestKey::random(&mut seed).unwrap();
    let author = signing_key(0);
    let header = ManifestHeader {
        organisation: organisation(),
        user: UserId::from_bytes([3; 16]),
        version: 1,
        author: DeviceId::from_bytes([4; 16]),
        time: Timestamp(5),
        key: encryption_key(3),
    };
    let directory_keys = DirectoryKeys::first(DirectoryKey::random(&mut seed).unwrap());
    let summary = Summary {
        directory_keys: &directory_keys,
        own_name: None,
        anchor: Org::founded().log.head(),
        safes: Vec::new(),
    };
    let good = seal_manifest(&header, summary, &key, &author, &mut seed).unwrap();
    let read = |bytes: &[u8]| {
        let given = ManifestKey::from_slice(key.expose());
        open(bytes, &header.organisation, &header.user, |_| Some(author.verify_key()), |_| given)
    };
    assert!(read(&good).is_ok(), "the control");
    let mut answers = std::collections::BTreeMap::new();
    for _ in 0..COPIES {
        let envelope: Envelope = codec::decode(&good, good.len()).unwrap();
        let mut payload: Payload = codec::decode(&envelope.payload, good.len()).unwrap();
        payload.ciphertext = changed(&payload.ciphertext, &mut seed).into();
        let payload = codec::encode(&payload);
        let signature = author.sign(Context::Manifest, &payload);
        let copy = codec::encode(&Envelope { payload: payload.into(), signature });
        let refused = read(&copy).unwrap_err();
        assert!(matches!(refused, ManifestError::Forged), "{refused}");
        *answers.entry(refused.to_string()).or_insert(0) += 1;
    }
    println!("figure S14: {COPIES} changed manifests under good signatures, seed {SEED}: {answers:?}");
    assert_eq!(answers.len(), 1);
}

/// Boxes: whoever can put another in its place learns from the answer nothing about the seed.
#[test]
fn a_changed_box_opens_nothing_whatever_was_changed() {
    let mut seed = Seed(SEED << 34);
    let own = UserSeed::random(&mut seed).unwrap();
    let randomness = Randomness::random(&mut seed).unwrap();
    let good = seal(&own.encryption_key(), b"a use", b"", &[7; 32], randomness).unwrap();
    assert!(own.open(&good, b"a use", b"").is_ok(), "the control");
    let mut answers = std::collections::BTreeSet::new();
    for _ in 0..BOXES {
        answers.insert(own.open(&changed(&good, &mut seed), b"a use", b"").unwrap_err().to_string());
    }
    println!("figure S14: {BOXES} changed boxes, seed {SEED}: {answers:?}");
    println!("figure T12: {BOXES} changed boxes, seed {SEED}: one answer");
    assert_eq!(answers.len(), 1);
}
