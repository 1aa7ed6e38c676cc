//! Message 7 and 8 by those who lie: each field of a good one changed alone.

use minicbor::bytes::ByteVec;

use super::super::messages::{self, ClaimRecord, Handover, Introduction, UserKeys};
use super::super::proofs;
use super::peers::FalseGreeter;
use super::*;
use crate::chain::head::Head;
use crate::chain::organisation::certificate::{Author, Body, Payload};
use crate::chain::organisation::members::{NameOf, seal_name};
use crate::claim_receipt::ClaimReceipt;
use crate::codec;
use crate::enrol::dishonest::Reply;
use crate::ids::{DeviceId, UserId};
use crate::public_keys::{Context, Hash, VerifyKey};

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
    certificates: usize,
    signed_by_other: bool,
    handover: Handover,
}

impl Draft {
    fn good(org: &TestOrganisation, prologue: &Prologue, keys: ClaimRecord) -> Self {
        let seen = org.log.head();
        let device_only = matches!(prologue.invited, Invited::Device(_));
        let user_keys = UserKeys {
            decryption: UserDecryptionKey::from_bytes(&mut { *org.user_key.expose() }),
            manifest: ManifestKey::from_bytes(&mut { *org.manifest_key.expose() }),
        };
        let (user, email, name, profile) = if device_only {
            (org.founded.user, "alice@acme.test", "Alice", Profile::Administrator)
        } else {
            (USER, "bob@acme.test", "Bob", Profile::Standard)
        };
        Self {
            organisation: "acme",
            author: Author::Device(org.founded.device),
            seen: [seen, seen],
            certified_user: user,
            certified_device: DEVICE,
            certified_email: email,
            certified_profile: profile,
            certified_names: [name, "desk"],
            keys,
            certificates: if device_only { 1 } else { 2 },
            signed_by_other: false,
            handover: Handover {
                user,
                device: DEVICE,
                email: email.parse().unwrap(),
                name: label(name),
                device_label: label("desk"),
                profile,
                root: org.founded.root,
                directory_key: DirectoryKey::from_bytes(&mut { *org.directory_key.expose() }),
                seen,
                certificates: Vec::new(),
                user_keys: device_only.then_some(user_keys),
            },
        }
    }

    fn finish(self, org: &TestOrganisation) -> Handover {
        let other = DeviceSigningKey::random(&mut SeededRng::new(9)).unwrap();
        let key = if self.signed_by_other { &other } else { &org.signing_key };
        let entropy = &mut SeededRng::new(10);
        let organisation = self.organisation.parse().unwrap();
        let mut sealed = |whose, name: &str| {
            ByteVec::from(seal_name(&org.directory_key, &organisation, whose, &label(name), entropy).unwrap())
        };
        let of_user = Body::User {
            user: self.certified_user,
            email: self.certified_email.parse().unwrap(),
            sealed_name: sealed(NameOf::User(self.certified_user), self.certified_names[0]),
            encryption_key: self.keys.encryption_key.unwrap_or(org.user_key.encryption_key()),
            profile: self.certified_profile,
        };
        let of_device = Body::Device {
            device: self.certified_device,
            user: self.certified_user,
            sealed_label: sealed(NameOf::Device(self.certified_device), self.certified_names[1]),
            verify_key: self.keys.verify_key,
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
        let first = usize::from(self.handover.user_keys.is_some());
        let certificates = all.into_iter().skip(first).take(self.certificates).collect();
        Handover { certificates, ..self.handover }
    }
}

/// A claimer that has recognised a greeter who then sends this message 7; and what became of it
/// with this log.
fn told(
    org: &TestOrganisation,
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
    let mut draft = Draft::good(org, prologue, introduction.claim);
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
    let org = TestOrganisation::new();
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
                d.handover.email = "eve@acme.test".parse().unwrap();
                d.certified_email = "eve@acme.test";
            }),
        ),
        ("another certified address", &bob, bad, Box::new(|d| d.certified_email = "eve@acme.test")),
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
                d.handover.directory_key = DirectoryKey::random(&mut SeededRng::new(62)).unwrap();
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
                let key = |seed| [seed; 32];
                d.handover.user_keys = Some(UserKeys {
                    decryption: UserDecryptionKey::from_bytes(&mut key(1)),
                    manifest: ManifestKey::from_bytes(&mut key(2)),
                });
            }),
        ),
        (
            "no user keys for a device",
            &own,
            bad,
            Box::new(|d| {
                d.handover.user_keys = None;
            }),
        ),
        (
            "another's user key",
            &own,
            bad,
            Box::new(|d| {
                if let Some(keys) = &mut d.handover.user_keys {
                    keys.decryption = UserDecryptionKey::from_bytes(&mut [1; 32]);
                }
            }),
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
                d.handover.email = "eve@acme.test".parse().unwrap();
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
                d.keys.encryption_key = Some(UserDecryptionKey::from_bytes(&mut [1; 32]).encryption_key());
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
                let user = org.founded.user;
                move |d| {
                    d.handover.user = user;
                    d.certified_user = user;
                }
            }),
        ),
    ];
    for (what, prologue, expected, change) in cases {
        let pair = told(&org, prologue, &org.founded.root, &org.envelopes, change);
        assert_eq!(pair.c.closed, Some(expected), "{what}");
        assert!(pair.c.kept.is_none(), "{what}");
    }
    // The draft itself is good: what was refused above was refused for its one change.
    for prologue in [&bob, &own] {
        let pair = told(&org, prologue, &org.founded.root, &org.envelopes, |_| {});
        assert!(pair.c.closed.is_none() && pair.c.kept.is_some());
    }
}

#[test]
fn a_log_that_is_not_the_greeters_is_refused() {
    let org = TestOrganisation::new();
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
        let pair = told(&org, &org.bob(), &org.founded.root, &log, |_| {});
        assert_eq!(pair.c.closed, Some(Closed::ChainInvalid));
        assert!(pair.c.kept.is_none());
    }
}

#[test]
fn the_root_of_message_3_and_of_message_7_are_one() {
    let org = TestOrganisation::new();
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
    let mut org = TestOrganisation::new();
    let keys = ClaimRecord {
        name: None,
        device_label: label("desk"),
        encryption_key: None,
        verify_key: org.signing_key.verify_key(),
    };
    let of_user = {
        let carols = UserDecryptionKey::from_bytes(&mut [3; 32]).encryption_key();
        let mut draft = Draft::good(&org, &org.bob(), keys);
        draft.keys.encryption_key = Some(carols);
        draft.certificates = 1;
        Vec::from(draft.finish(&org).certificates.remove(0))
    };
    org.log.push(&of_user).unwrap();
    org.envelopes.push(of_user);
    let prologue = org.prologue(Invited::Device(USER));
    let pair = told(&org, &prologue, &org.founded.root, &org.envelopes, |draft| {
        draft.handover.user = USER;
        draft.certified_user = USER;
        draft.handover.email = "bob@acme.test".parse().unwrap();
        draft.handover.name = label("Bob");
        draft.handover.profile = Profile::Standard;
        if let Some(keys) = &mut draft.handover.user_keys {
            keys.decryption = UserDecryptionKey::from_bytes(&mut [3; 32]);
        }
    });
    assert_eq!(pair.c.closed, Some(Closed::BadMessage { step: 7 }));
    assert!(pair.c.kept.is_none());
}

#[test]
fn the_greeter_of_the_prologue_is_the_one_in_the_log() {
    let org = TestOrganisation::new();
    let prologue = Prologue { greeter_user: USER, ..org.bob() };
    let pair = told(&org, &prologue, &org.founded.root, &org.envelopes, |draft| {
        draft.handover.user = UserId::from_bytes([0x66; 16]);
        draft.certified_user = UserId::from_bytes([0x66; 16]);
    });
    assert_eq!(pair.c.closed, Some(Closed::ChainInvalid));
}

// --- message 8

#[test]
fn only_the_new_devices_receipt_over_these_certificates_counts() {
    let org = TestOrganisation::new();
    let mut pair = Pair::fair(&org, &org.bob(), false, 64);
    pair.run_to(&org, Point::Message(8));
    let sealed = pair.g.persisted.as_ref().unwrap();
    let device = pair.c.kept.as_ref().unwrap();
    let good = &device.receipt;
    let sign = |key: &DeviceSigningKey, handshake, certificates: Vec<Hash>, root| {
        codec::encode(&ClaimReceipt::sign(key, handshake, certificates, root))
    };
    let other = DeviceSigningKey::random(&mut SeededRng::new(65)).unwrap();
    let key = &device.signing_key;
    let ClaimReceipt { handshake, certificates, root, signature } = good.clone();
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
        // The right bytes under the device key, with another meaning.
        codec::encode(&ClaimReceipt {
            signature: key.sign(Context::Request, &codec::encode(&(handshake, certificates, root))),
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
    let org = TestOrganisation::new();
    let long = "n".repeat(64);
    let email = format!("{}@{1}.{1}.{2}", "l".repeat(64), "d".repeat(63), "d".repeat(61));
    let prologue = org.prologue(Invited::User(email.parse().unwrap()));
    let mut pair = Pair::fair(&org, &prologue, false, 66);
    pair.run_to(&org, Point::Approval);
    let approval = Approval { name: Some(label(&long)), device_label: Some(label(&long)), ..org.approval() };
    pair.tell_greeter(GreeterInput::Approve(approval)).unwrap();
    assert_eq!(email.len(), 254);
    assert!(pair.g.message(7).len() < 3_500, "{}", pair.g.message(7).len());
    for point in [Point::Message(7), Point::Log, Point::Saved, Point::Message(8)] {
        pair.pass(&org, point);
    }
    assert!(pair.g.published.is_some());
}
