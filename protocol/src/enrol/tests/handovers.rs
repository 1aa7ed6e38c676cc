//! Message 7 and 8 by those who lie: each field of a good one changed alone.

use minicbor::bytes::ByteVec;

use super::super::boxes::{self, HandedOver};
use super::super::messages::{self, ClaimRecord, Handover, Introduction};
use super::super::proofs;
use super::peers::FalseGreeter;
use super::*;
use crate::chain::head::Head;
use crate::chain::organisation::certificate::{Author, Body, DeviceKind, ManifestMark, Payload};
use crate::chain::organisation::members::{NameOf, seal_name};
use crate::claim_receipt::ClaimReceipt;
use crate::codec;
use crate::enrol::dishonest::Reply;
use crate::ids::{DeviceId, UserId};
use crate::name_keys::DirectoryKeys;
use crate::public_keys::{Context, Hash, VerifyKey};
use crate::sealing::EncryptionKey;

const NONCE: [u8; 32] = [2; 32];
const USER: UserId = UserId::from_bytes([0x55; 16]);
const DEVICE: DeviceId = DeviceId::from_bytes([0xdd; 16]);

/// What a greeter may put together for message 7, one piece at a time.
struct Draft {
    organisation: &'static str,
    author: Author,
    seen: [Head; 2],
    certified_user: UserId,
    certified_device: DeviceId,
    certified_email: &'static str,
    certified_profile: Profile,
    certified_names: [&'static str; 2],
    keys: ClaimRecord,
    kind: DeviceKind,
    certificates: usize,
    signed_by_other: bool,
    /// What the boxes are bound to, and the keys they are sealed to.
    handshake: Hash,
    sealed_to: (EncryptionKey, Option<EncryptionKey>),
    directory_keys: DirectoryKeys,
    user_seed: Option<UserSeed>,
    challenges: usize,
    handover: Handover,
}

fn key_of(seed: u8) -> EncryptionKey {
    UserSeed::from_bytes(&mut [seed; 32]).encryption_key()
}

impl Draft {
    fn good(org: &Organisation, prologue: &Prologue, handshake: Hash, keys: ClaimRecord) -> Self {
        let seen = org.log.head();
        let device_only = matches!(prologue.invited, Invited::Device(_));
        let user_seed = UserSeed::from_bytes(&mut { *org.user_seed.expose() });
        let (user, email, name, profile) = if device_only {
            (org.user, "alice@acme.example", "Alice", Profile::Administrator)
        } else {
            (USER, "bob@acme.example", "Bob", Profile::Standard)
        };
        Self {
            organisation: "acme",
            author: Author::Device(org.device),
            seen: [seen, seen],
            certified_user: user,
            certified_device: DEVICE,
            certified_email: email,
            certified_profile: profile,
            certified_names: [name, "desk"],
            sealed_to: (keys.device_key.clone(), keys.encryption_key.clone()),
            keys,
            kind: DeviceKind::Device,
            certificates: if device_only { 1 } else { 2 },
            signed_by_other: false,
            handshake,
            directory_keys: org.directory_keys.copied(),
            user_seed: device_only.then_some(user_seed),
            challenges: if device_only { 1 } else { 2 },
            handover: Handover {
                user,
                device: DEVICE,
                email: email.parse().unwrap(),
                name: label(name),
                device_label: label("desk"),
                profile,
                root: org.root,
                seen,
                certificates: Vec::new(),
                manifest: device_only.then_some(ManifestMark::of(3, b"manifest")),
                secrets: Vec::new().into(),
                challenges: Vec::new(),
            },
        }
    }

    fn finish(self, org: &Organisation) -> Handover {
        let other = DeviceSigningKey::random(&mut SeededRng::new(9)).unwrap();
        let key = if self.signed_by_other { &other } else { &org.signing_key };
        let entropy = &mut SeededRng::new(10);
        let organisation = self.organisation.parse().unwrap();
        let mut sealed = |whose, name: &str| {
            ByteVec::from(
                seal_name(&org.directory_keys, &organisation, whose, &label(name), entropy).unwrap(),
            )
        };
        let of_user = Body::User {
            user: self.certified_user,
            email: self.certified_email.parse().unwrap(),
            sealed_name: sealed(NameOf::User(self.certified_user), self.certified_names[0]),
            encryption_key: self.keys.encryption_key.as_ref().unwrap_or(&key_of(77)).hash(),
            profile: self.certified_profile,
        };
        let of_device = Body::Device {
            device: self.certified_device,
            user: self.certified_user,
            sealed_label: sealed(NameOf::Device(self.certified_device), self.certified_names[1]),
            verify_key: self.keys.verify_key,
            encryption_key: self.keys.device_key.hash(),
            kind: self.kind,
        };
        let all: Vec<ByteVec> = [of_user.clone(), of_device, of_user]
            .into_iter()
            .zip([self.seen[0], self.seen[1], self.seen[0]])
            .map(|(body, seen)| {
                let payload = Payload {
                    organisation: organisation.clone(),
                    author: self.author,
                    time: START,
                    seen,
                    body,
                };
                ByteVec::from(payload.sign_with(|context, message| key.sign(context, message)))
            })
            .collect();
        let first = usize::from(self.sealed_to.1.is_none());
        let certificates = all.into_iter().skip(first).take(self.certificates).collect();
        let handed = HandedOver {
            directory_keys: &self.directory_keys,
            own_name: None,
            user_seed: self.user_seed.as_ref(),
        };
        let (device, user) = (&self.sealed_to.0, self.sealed_to.1.as_ref());
        let boxes = boxes::make(&self.handshake, &handed, device, user, entropy).unwrap();
        let challenges = boxes.challenges.into_iter().cycle().take(self.challenges).collect();
        Handover { certificates, secrets: boxes.secrets, challenges, ..self.handover }
    }
}

/// A claimer that has recognised a greeter who then sends this message 7; and what became of it
/// with this log.
fn told(
    org: &Organisation,
    prologue: &Prologue,
    committed: &VerifyKey,
    log: &[Vec<u8>],
    change: impl FnOnce(&mut Draft),
) -> Pair {
    let mut pair = Pair::fair(org, prologue, false, 60);
    let mut greeter = FalseGreeter::against(&mut pair, prologue);
    let root_commitment = proofs::root_commitment(&NONCE, greeter.end.channel.handshake(), committed);
    let reply = Reply { nonce: NONCE, root_commitment, typing_required: false };
    greeter.end.hear_commitment(&pair.c.message(2)).unwrap();
    pair.tell_claimer(to_claimer(3, &greeter.end.reply(&reply))).unwrap();
    let nonce = greeter.end.hear_nonce(&pair.c.message(4)).unwrap();
    let codes = greeter.end.codes(&nonce, &reply);
    pair.tell_claimer(to_claimer(5, &greeter.end.recognised())).unwrap();
    pair.tell_claimer(ClaimerInput::Code(CodeAnswer::Typed(codes.greeter))).unwrap();
    pair.pass(org, Point::Identity);
    let introduction: Introduction = messages::open(&mut greeter.end.channel, 6, &pair.c.message(6)).unwrap();
    let handshake = *greeter.end.channel.handshake();
    let mut draft = Draft::good(org, prologue, handshake, introduction.claim);
    change(&mut draft);
    greeter.say(&mut pair, 7, &codec::encode(&draft.finish(org)));
    if pair.c.closed.is_none() {
        assert_eq!(pair.c.need_log, Some(org.log.count()));
        pair.tell_claimer(ClaimerInput::Log(log.to_vec())).unwrap();
    }
    pair
}

type Change = Box<dyn FnOnce(&mut Draft)>;

#[test]
fn message_7_is_believed_as_a_whole_or_not_at_all() {
    let org = acme();
    let bob = org.bob();
    let own = org.second_device();
    let fresh = || DeviceSigningKey::random(&mut SeededRng::new(61)).unwrap().verify_key();
    let bad = Closed::BadMessage { step: 7 };
    let head = |count, byte| Head { count, hash: Hash::from_bytes([byte; 32]) };
    let cases: Vec<(&str, &Prologue, Closed, Change)> = vec![
        ("another user id", &bob, bad, Box::new(|d| d.handover.user = UserId::from_bytes([1; 16]))),
        ("another device id", &bob, bad, Box::new(|d| d.handover.device = DeviceId::from_bytes([1; 16]))),
        (
            "another address",
            &bob,
            bad,
            Box::new(|d| {
                d.handover.email = "eve@acme.example".parse().unwrap();
                d.certified_email = "eve@acme.example";
            }),
        ),
        ("another certified address", &bob, bad, Box::new(|d| d.certified_email = "eve@acme.example")),
        ("another name", &bob, bad, Box::new(|d| d.handover.name = label("Eve"))),
        ("another sealed name", &bob, bad, Box::new(|d| d.certified_names[0] = "Eve")),
        ("another label", &bob, bad, Box::new(|d| d.handover.device_label = label("x"))),
        ("another sealed label", &own, bad, Box::new(|d| d.certified_names[1] = "x")),
        ("another profile", &bob, bad, Box::new(|d| d.handover.profile = Profile::Administrator)),
        ("another root", &bob, Closed::RootMismatch, Box::new(move |d| d.handover.root = fresh())),
        (
            "another directory key",
            &bob,
            bad,
            Box::new(|d| {
                d.directory_keys =
                    DirectoryKeys::first(DirectoryKey::random(&mut SeededRng::new(62)).unwrap());
            }),
        ),
        // Under a number that the log does not name, it would stand above every later one.
        (
            "a directory key that the log does not name",
            &bob,
            bad,
            Box::new(|d| {
                let key = DirectoryKey::random(&mut SeededRng::new(62)).unwrap();
                assert!(d.directory_keys.insert(256, key));
            }),
        ),
        ("another view", &bob, bad, Box::new(move |d| d.handover.seen = head(2, 1))),
        (
            "another view everywhere",
            &bob,
            Closed::ChainInvalid,
            Box::new(move |d| {
                d.handover.seen = head(2, 1);
                d.seen = [head(2, 1); 2];
            }),
        ),
        ("two views", &bob, bad, Box::new(move |d| d.seen[1] = head(1, 1))),
        (
            "a view of nothing",
            &bob,
            bad,
            Box::new(move |d| {
                d.handover.seen = head(0, 1);
                d.seen = [head(0, 1); 2];
            }),
        ),
        (
            "a view without end",
            &bob,
            bad,
            Box::new(move |d| {
                d.handover.seen = head(u64::MAX, 1);
                d.seen = [head(u64::MAX, 1); 2];
            }),
        ),
        ("no certificates", &bob, bad, Box::new(|d| d.certificates = 0)),
        ("one certificate of two", &bob, bad, Box::new(|d| d.certificates = 1)),
        ("three certificates", &bob, bad, Box::new(|d| d.certificates = 3)),
        ("two certificates for a device", &own, bad, Box::new(|d| d.certificates = 2)),
        (
            "user keys for a new user",
            &bob,
            bad,
            Box::new(|d| {
                d.user_seed = Some(UserSeed::from_bytes(&mut [1; 32]));
            }),
        ),
        (
            "no user keys for a device",
            &own,
            bad,
            Box::new(|d| {
                d.user_seed = None;
            }),
        ),
        (
            "another's user key",
            &own,
            bad,
            Box::new(|d| {
                d.user_seed = Some(UserSeed::from_bytes(&mut [1; 32]));
            }),
        ),
        ("secrets for another device", &own, bad, Box::new(|d| d.sealed_to.0 = key_of(1))),
        ("a challenge for another user key", &bob, bad, Box::new(|d| d.sealed_to.1 = Some(key_of(1)))),
        ("boxes of another ceremony", &own, bad, Box::new(|d| d.handshake = Hash::from_bytes([1; 32]))),
        ("no challenge", &own, bad, Box::new(|d| d.challenges = 0)),
        ("a challenge too many", &own, bad, Box::new(|d| d.challenges = 2)),
        ("one challenge for two keys", &bob, bad, Box::new(|d| d.challenges = 1)),
        ("another device key", &own, bad, Box::new(|d| d.keys.device_key = key_of(1))),
        ("a recovery device", &own, bad, Box::new(|d| d.kind = DeviceKind::Recovery)),
        (
            "a manifest for a new user",
            &bob,
            bad,
            Box::new(|d| d.handover.manifest = Some(ManifestMark::of(1, b"manifest"))),
        ),
        (
            "another user's device",
            &own,
            bad,
            Box::new(|d| {
                d.handover.user = USER;
                d.certified_user = USER;
            }),
        ),
        (
            "another address for the user",
            &own,
            bad,
            Box::new(|d| {
                d.handover.email = "eve@acme.example".parse().unwrap();
            }),
        ),
        ("another profile for the user", &own, bad, Box::new(|d| d.handover.profile = Profile::Outsider)),
        ("another name for the user", &own, bad, Box::new(|d| d.handover.name = label("Eve"))),
        ("another verify key", &own, bad, Box::new(move |d| d.keys.verify_key = fresh())),
        (
            "another encryption key",
            &bob,
            bad,
            Box::new(|d| {
                d.keys.encryption_key = Some(key_of(1));
            }),
        ),
        ("another author", &bob, bad, Box::new(|d| d.author = Author::Device(DeviceId::from_bytes([1; 16])))),
        ("the root as author", &bob, bad, Box::new(|d| d.author = Author::Root)),
        ("another organisation", &bob, bad, Box::new(|d| d.organisation = "acmf")),
        ("a forged signature", &bob, Closed::ChainInvalid, Box::new(|d| d.signed_by_other = true)),
        (
            "an id that is taken",
            &bob,
            Closed::ChainInvalid,
            Box::new({
                let user = org.user;
                move |d| {
                    d.handover.user = user;
                    d.certified_user = user;
                }
            }),
        ),
    ];
    for (what, prologue, expected, change) in cases {
        let pair = told(&org, prologue, &org.root, &org.envelopes, change);
        assert_eq!(pair.c.closed, Some(expected), "{what}");
        assert!(pair.c.kept.is_none(), "{what}");
    }
    // The draft itself is good: what was refused above was refused for its one change.
    for prologue in [&bob, &own] {
        let pair = told(&org, prologue, &org.root, &org.envelopes, |_| {});
        assert!(pair.c.closed.is_none() && pair.c.kept.is_some());
    }
}

#[test]
fn a_log_that_is_not_the_greeters_is_refused() {
    let org = acme();
    let good = &org.envelopes;
    let mut damaged = good.clone();
    damaged[1][40] ^= 1;
    let logs = [
        Vec::new(),
        vec![good[0].clone()],
        vec![good[1].clone(), good[0].clone()],
        vec![good[0].clone(), good[0].clone()],
        [good.as_slice(), &[good[0].clone()]].concat(),
        vec![Vec::new(); 2],
        damaged,
    ];
    for log in logs {
        let pair = told(&org, &org.bob(), &org.root, &log, |_| {});
        assert_eq!(pair.c.closed, Some(Closed::ChainInvalid));
        assert!(pair.c.kept.is_none());
    }
}

#[test]
fn the_root_of_message_3_and_of_message_7_are_one() {
    let org = acme();
    let other = DeviceSigningKey::random(&mut SeededRng::new(63)).unwrap().verify_key();
    let pair = told(&org, &org.bob(), &other, &org.envelopes, |_| {});
    assert_eq!(pair.c.closed, Some(Closed::RootMismatch));
    assert!(pair.c.need_log.is_none());
}

/// A user without a device would let an administrator, who has that user's keys, greet the user's
/// first device as if it were the user. The log's rules allow it to whoever certified the user;
/// the ceremony doesn't.
#[test]
fn a_device_is_greeted_by_its_own_person_only() {
    let mut org = acme();
    let keys = ClaimRecord {
        name: None,
        device_label: label("desk"),
        encryption_key: None,
        verify_key: org.signing_key.verify_key(),
        device_key: key_of(4),
    };
    let of_user = {
        let handshake = Hash::from_bytes([0; 32]);
        let mut draft = Draft::good(&org, &org.bob(), handshake, keys);
        draft.keys.encryption_key = Some(key_of(3));
        draft.sealed_to.1 = Some(key_of(3));
        draft.certificates = 1;
        Vec::from(draft.finish(&org).certificates.remove(0))
    };
    org.append([of_user]).unwrap();
    let prologue = org.prologue(Invited::Device(USER));
    let pair = told(&org, &prologue, &org.root, &org.envelopes, |draft| {
        draft.handover.user = USER;
        draft.certified_user = USER;
        draft.handover.email = "bob@acme.example".parse().unwrap();
        draft.handover.name = label("Bob");
        draft.handover.profile = Profile::Standard;
        draft.user_seed = Some(UserSeed::from_bytes(&mut [3; 32]));
    });
    assert_eq!(pair.c.closed, Some(Closed::BadMessage { step: 7 }));
    assert!(pair.c.kept.is_none());
}

#[test]
fn the_greeter_of_the_prologue_is_the_one_in_the_log() {
    let org = acme();
    let prologue = Prologue { greeter_user: USER, ..org.bob() };
    let pair = told(&org, &prologue, &org.root, &org.envelopes, |draft| {
        draft.handover.user = UserId::from_bytes([0x66; 16]);
        draft.certified_user = UserId::from_bytes([0x66; 16]);
    });
    assert_eq!(pair.c.closed, Some(Closed::ChainInvalid));
}

// --- message 8

#[test]
fn only_the_new_devices_receipt_over_these_certificates_counts() {
    let org = acme();
    let mut pair = Pair::fair(&org, &org.bob(), false, 64);
    pair.run_to(&org, Point::Message(8));
    let sealed = pair.g.persisted.as_ref().unwrap();
    let device = pair.c.kept.as_ref().unwrap();
    let good = &device.receipt;
    let opened = good.opened;
    let sign = |key: &DeviceSigningKey, handshake, certificates: Vec<Hash>, root| {
        codec::encode(&ClaimReceipt::sign(key, handshake, certificates, root, opened))
    };
    let other = DeviceSigningKey::random(&mut SeededRng::new(65)).unwrap();
    let key = &device.signing_key;
    let ClaimReceipt { handshake, certificates, root, signature, .. } = good.clone();
    let swapped = vec![certificates[1], certificates[0]];
    let forged = [
        sign(&other, handshake, certificates.clone(), root),
        sign(key, Hash::from_bytes([0; 32]), certificates.clone(), root),
        sign(key, handshake, certificates[..1].to_vec(), root),
        sign(key, handshake, swapped, root),
        sign(key, handshake, [certificates.clone(), vec![certificates[0]]].concat(), root),
        sign(key, handshake, Vec::new(), root),
        sign(key, handshake, certificates.clone(), other.verify_key()),
        codec::encode(&ClaimReceipt { root: other.verify_key(), ..good.clone() }),
        // Signed by the right key, which is all that a device has to show that opened nothing.
        codec::encode(&ClaimReceipt::sign(
            key,
            handshake,
            certificates.clone(),
            root,
            Hash::from_bytes([0; 32]),
        )),
        codec::encode(&ClaimReceipt { opened: Hash::from_bytes([0; 32]), ..good.clone() }),
        // The right bytes under the device key, with another meaning.
        codec::encode(&ClaimReceipt {
            signature: key.sign(Context::Request, &codec::encode(&(handshake, certificates, root, opened))),
            ..good.clone()
        }),
        [codec::encode(good), vec![0]].concat(),
        b"done".to_vec(),
        Vec::new(),
        vec![0x84; 1 << 20],
    ];
    for message in &forged {
        assert_eq!(sealed.open_receipt(message).err(), Some(Closed::BadReceipt));
        let mut again = Pair::fair(&org, &org.bob(), false, 64);
        again.run_to(&org, Point::Message(8));
        again.tell_greeter(to_greeter(8, message)).unwrap();
        assert_eq!(again.g.closed, Some(Closed::BadReceipt));
        assert!(again.g.published.is_none());
    }
    assert_eq!(good.signature, signature);
    // A greeter that was restarted has the record alone, through its encoding.
    let kept: SealedEnrolment = codec::decode(&codec::encode(sealed.as_ref()), 8_192).unwrap();
    let publication = kept.open_receipt(&pair.c.message(8)).unwrap();
    assert_eq!(publication.receipt, *good);
    pair.deliver(8);
    assert_eq!(pair.g.published.as_deref(), Some(&publication));
}

/// The largest message 7 there can be fits one step with room to spare.
#[test]
fn the_largest_handover_fits() {
    let org = acme();
    let long = "n".repeat(64);
    let email = format!("{}@{1}.{1}.{2}", "l".repeat(64), "d".repeat(63), "d".repeat(61));
    let prologue = org.prologue(Invited::User(email.parse().unwrap()));
    let mut pair = Pair::fair(&org, &prologue, false, 66);
    pair.run_to(&org, Point::Approval);
    let approval = Approval { name: Some(label(&long)), device_label: Some(label(&long)), ..org.approval() };
    pair.tell_greeter(GreeterInput::Approve(approval)).unwrap();
    assert_eq!(email.len(), 254);
    assert!(pair.g.message(7).len() < 7_000, "{}", pair.g.message(7).len());
    for point in [Point::Message(7), Point::Log, Point::Saved, Point::Message(8)] {
        pair.pass(&org, point);
    }
    assert!(pair.g.published.is_some());
}
