//! Nothing made for one purpose passes for another, even where one key served both.
//!
//! Every artefact is made with keys of the same 32 bytes, then given to every opener. Each opens
//! its own and no other.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use parsec_protocol::chain::organisation::certificate::{Author, Body, Envelope, Payload};
use parsec_protocol::chain::organisation::members::{NameOf, open_name, seal_name};
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::codec;
use parsec_protocol::ids::{DeviceId, OrganisationId, SafeId, Timestamp, Token, UserId};
use parsec_protocol::keys::{DeviceSeed, DeviceSigningKey, DirectoryKey, ManifestKey, UserSeed};
use parsec_protocol::manifest::{self, ManifestHeader, Summary};
use parsec_protocol::name_keys::DirectoryKeys;
use parsec_protocol::public_keys::{Context, Hash, Signature, VerifyKey};
use parsec_protocol::relay::RequestToSign;
use parsec_protocol::safe_log::{certificate, record};
use parsec_protocol::sealing::{KeyHash, Randomness, seal};
use support::{Org, Seed, organisation};

/// What an artefact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Certificate,
    Receipt,
    Request,
    Manifest,
    Head,
    Statement,
    Possession,
    UserName,
    DeviceName,
    /// The secrets of message 7.
    Handover,
    DeviceChallenge,
    UserChallenge,
    /// A user's seed for a device.
    KeyBox,
    /// The seed before.
    PastBox,
    SafeCertificate,
    Record,
}

const ALL: [Purpose; 16] = [
    Purpose::Certificate,
    Purpose::Receipt,
    Purpose::Request,
    Purpose::Manifest,
    Purpose::Head,
    Purpose::Statement,
    Purpose::Possession,
    Purpose::UserName,
    Purpose::DeviceName,
    Purpose::Handover,
    Purpose::DeviceChallenge,
    Purpose::UserChallenge,
    Purpose::KeyBox,
    Purpose::PastBox,
    Purpose::SafeCertificate,
    Purpose::Record,
];

/// One id for user and device, one seed for every key.
const ID: [u8; 16] = [3; 16];
const SEED: [u8; 32] = [5; 32];

fn signing() -> DeviceSigningKey {
    DeviceSigningKey::from_bytes(&mut SEED.clone())
}

fn verify() -> VerifyKey {
    signing().verify_key()
}

fn request() -> RequestToSign {
    RequestToSign {
        organisation: organisation(),
        device: DeviceId::from_bytes(ID),
        method: "GET".into(),
        target: "/".into(),
        time: Timestamp(1),
        nonce: Token::from_bytes(ID),
        body: Hash::of(&[]),
    }
}

fn safe_certificate() -> certificate::Payload {
    let head = Org::empty().log.head();
    certificate::Payload {
        organisation: organisation(),
        safe: SafeId::from_bytes(ID),
        previous: head,
        place: head,
        seen: head,
        author: DeviceId::from_bytes(ID),
        time: Timestamp(1),
        body: certificate::Body::Changed { changes: Vec::new(), key: None, boxes: None },
    }
}

fn record() -> record::Payload {
    let head = Org::empty().log.head();
    record::Payload {
        organisation: organisation(),
        safe: SafeId::from_bytes(ID),
        seq: 1,
        previous: head.hash,
        epoch: 0,
        seen: head,
        log: head,
        author: DeviceId::from_bytes(ID),
        time: Timestamp(1),
        adds: Vec::new(),
        drops: Vec::new(),
        keeps: Vec::new(),
        nonce: [3; 24].into(),
        ciphertext: vec![4; 32].into(),
    }
}

fn make(purpose: Purpose) -> Vec<u8> {
    let name = |whose| {
        let key = DirectoryKey::from_bytes(&mut SEED.clone());
        seal_name(&key, &organisation(), whose, &"Alice".parse().unwrap(), &mut Seed(1)).unwrap()
    };
    match purpose {
        Purpose::Certificate => Payload {
            organisation: organisation(),
            author: Author::Device(DeviceId::from_bytes(ID)),
            time: Timestamp(1),
            seen: Org::empty().log.head(),
            body: Body::UserRevoked { user: UserId::from_bytes(ID) },
        }
        .sign_with(|context, message| signing().sign(context, message)),
        Purpose::Receipt => codec::encode(&ClaimReceipt::sign(
            &signing(),
            Hash::of(&[]),
            vec![Hash::of(&[])],
            verify(),
            Hash::of(&[]),
        )),
        Purpose::Request => signing().sign(Context::Request, &request().bytes()).as_bytes().to_vec(),
        Purpose::Manifest => {
            let place = ManifestHeader {
                organisation: organisation(),
                user: UserId::from_bytes(ID),
                version: 1,
                author: DeviceId::from_bytes(ID),
                time: Timestamp(1),
                key: KeyHash::from_bytes(SEED),
            };
            let key = ManifestKey::from_bytes(&mut SEED.clone());
            let directory_keys = DirectoryKeys::first(DirectoryKey::from_bytes(&mut SEED.clone()));
            let summary = Summary {
                directory_keys: &directory_keys,
                own_name: None,
                anchor: Org::empty().log.head(),
                safes: Vec::new(),
            };
            manifest::seal(&place, summary, &key, &signing(), &mut Seed(1)).unwrap()
        }
        Purpose::SafeCertificate => {
            safe_certificate().sign_with(|context, message| signing().sign(context, message))
        }
        Purpose::Record => record().sign_with(|context, message| signing().sign(context, message)),
        // The bytes that are signed are the same for both, so that the context alone tells them
        // apart.
        Purpose::Head => signing().sign(Context::Head, b"word").as_bytes().to_vec(),
        Purpose::Statement => signing().sign(Context::Enrolled, b"word").as_bytes().to_vec(),
        Purpose::Possession => signing().sign(Context::Possession, b"word").as_bytes().to_vec(),
        Purpose::UserName => name(NameOf::User(UserId::from_bytes(ID))),
        Purpose::DeviceName => name(NameOf::Device(DeviceId::from_bytes(ID))),
        Purpose::Handover
        | Purpose::DeviceChallenge
        | Purpose::UserChallenge
        | Purpose::KeyBox
        | Purpose::PastBox => {
            let key = UserSeed::from_bytes(&mut SEED.clone()).encryption_key();
            let drawn = Randomness::random(&mut Seed(1)).unwrap();
            seal(&key, &usage(purpose), b"", &SEED, drawn).unwrap()
        }
    }
}

/// What a box is of, as docs/protocol.md has it: every id and hash in it is the same, so that the
/// texts in front alone tell them apart.
fn usage(purpose: Purpose) -> Vec<u8> {
    let h = Hash::from_bytes(SEED);
    let (organisation, user, device) = (organisation(), UserId::from_bytes(ID), DeviceId::from_bytes(ID));
    match purpose {
        Purpose::Handover => codec::encode(&Two("parsec-handover-v1", h)),
        Purpose::DeviceChallenge => codec::encode(&Three("parsec-challenge-v1", h, 0)),
        Purpose::UserChallenge => codec::encode(&Three("parsec-challenge-v1", h, 1)),
        Purpose::KeyBox => codec::encode(&Six("parsec-user-key-v1", organisation, user, h, device, h)),
        Purpose::PastBox => codec::encode(&Five("parsec-user-past-v1", organisation, user, h, h)),
        _ => panic!("{purpose:?} is no box"),
    }
}

#[derive(minicbor::Encode)]
struct Two(#[n(0)] &'static str, #[n(1)] Hash);
#[derive(minicbor::Encode)]
struct Three(#[n(0)] &'static str, #[n(1)] Hash, #[n(2)] u8);
#[derive(minicbor::Encode)]
struct Five(#[n(0)] &'static str, #[n(1)] OrganisationId, #[n(2)] UserId, #[n(3)] Hash, #[n(4)] Hash);
#[derive(minicbor::Encode)]
struct Six(
    #[n(0)] &'static str,
    #[n(1)] OrganisationId,
    #[n(2)] UserId,
    #[n(3)] Hash,
    #[n(4)] DeviceId,
    #[n(5)] Hash,
);

fn opens(purpose: Purpose, bytes: &[u8]) -> bool {
    let word = |context| {
        let signature = <[u8; 64]>::try_from(bytes).map(Signature::from_bytes);
        signature.is_ok_and(|signature| verify().verify(context, b"word", &signature).is_ok())
    };
    let name = |whose| {
        open_name(&DirectoryKey::from_bytes(&mut SEED.clone()), &organisation(), whose, bytes).is_some()
    };
    match purpose {
        Purpose::Certificate => {
            Envelope::decode(bytes).is_ok_and(|it| it.verify(&verify()).is_ok() && it.payload().is_ok())
        }
        Purpose::SafeCertificate => certificate::Envelope::decode(bytes)
            .is_ok_and(|it| it.verify(&verify()).is_ok() && it.payload().is_ok()),
        Purpose::Record => record::Envelope::decode(bytes)
            .is_ok_and(|it| it.verify(&verify()).is_ok() && it.payload().is_ok()),
        Purpose::Receipt => {
            codec::decode::<ClaimReceipt>(bytes, 1_024).is_ok_and(|it| it.verify(&verify()).is_ok())
        }
        Purpose::Request => <[u8; 64]>::try_from(bytes).is_ok_and(|bytes| {
            let signature = Signature::from_bytes(bytes);
            verify().verify(Context::Request, &request().bytes(), &signature).is_ok()
        }),
        Purpose::Manifest => {
            let key = ManifestKey::from_bytes(&mut SEED.clone());
            let user = UserId::from_bytes(ID);
            manifest::open(bytes, &organisation(), &user, |_| Some(verify()), |_| Some(key)).is_ok()
        }
        Purpose::Head => word(Context::Head),
        Purpose::Statement => word(Context::Enrolled),
        Purpose::Possession => word(Context::Possession),
        Purpose::UserName => name(NameOf::User(UserId::from_bytes(ID))),
        Purpose::DeviceName => name(NameOf::Device(DeviceId::from_bytes(ID))),
        // A device's own seed and its user's are the same here.
        Purpose::Handover | Purpose::DeviceChallenge | Purpose::KeyBox => {
            DeviceSeed::from_bytes(&mut SEED.clone()).open(bytes, &usage(purpose), b"").is_ok()
        }
        Purpose::UserChallenge | Purpose::PastBox => {
            UserSeed::from_bytes(&mut SEED.clone()).open(bytes, &usage(purpose), b"").is_ok()
        }
    }
}

#[test]
fn every_artefact_opens_for_its_own_purpose_only() {
    for made in ALL {
        let bytes = make(made);
        for opened in ALL {
            assert_eq!(opens(opened, &bytes), made == opened, "{made:?} as {opened:?}");
        }
    }
}

#[test]
fn signatures_do_not_move_between_envelopes_of_one_shape() {
    // A certificate and a manifest are both [payload, signature]; a device that signs manifests
    // must not have signed a certificate by it, whatever the server makes it sign.
    let manifest = Envelope::decode(&make(Purpose::Manifest)).unwrap();
    assert!(manifest.verify(&verify()).is_err());
    assert!(verify().verify(Context::Manifest, &manifest.payload, &manifest.signature).is_ok());
}
