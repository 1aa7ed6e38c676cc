//! The server and every reader agree on what may enter a log: shown by asking both about the same enrolments.
//!
//! A certificate that the server let in and readers refuse would end the log for everybody, and nobody could take it back. So
//! hostile members make all sorts of enrolments here, good but for one thing or none, and both judges must say the same.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod changes;
#[path = "../../../protocol/tests/support/mod.rs"]
mod support;

use parsec_protocol::chain::certificate::{Body, Head, Payload, Profile};
use parsec_protocol::chain::verify::VerifiedLog;
use parsec_protocol::ids::{Invited, Timestamp};
use parsec_protocol::public::{EncryptionKey, Hash, VerifyKey};
use parsec_protocol::receipt::Receipt;
use support::{
    By, Org, device, device_body, email, encryption_key, envelope, foreign_head, organisation, root_key,
    signing_key, user, user_body, weak_verify_key,
};

use super::repair::pieces;
use super::{Certifier, LogFault, Surroundings, check_enrolment, check_founding, read};
use crate::errors::Refusal;
use crate::repair::put_back;
use crate::store::{Beside, StoreError, Tx, log};

/// Enrolments tried.
const ENROLMENTS: u64 = 1_500;
/// People and terminals there can be: few, so that ids and keys are often taken.
const CAST: u64 = 40;

/// A number below `end`, another for every `purpose` and `round`.
fn draw(round: u64, purpose: &str, end: u64) -> u64 {
    let hash = Hash::of(&[purpose.as_bytes(), &round.to_be_bytes()]);
    u64::from_be_bytes(*hash.as_bytes().first_chunk().unwrap()) % end
}

/// One thing that is wrong, or nothing.
fn spoil(round: u64, org: &Org, payloads: &mut [Payload]) {
    let last = payloads.len() - 1;
    let at = usize::try_from(draw(round, "which", payloads.len() as u64)).unwrap();
    match draw(round, "spoil", 40) {
        0 => payloads[at].organisation = "other".parse().unwrap(),
        1 => payloads[at].seen = foreign_head(payloads[at].seen.count),
        2 => payloads[at].seen.count += 1,
        3 => payloads[at].seen = org.log.head_at(0).unwrap(),
        4 => payloads[at].seen = org.log.head_at(draw(round, "seen", org.log.count())).unwrap(),
        5 => payloads[at].author = By::Root.author(),
        6 => payloads[at].author = By::Device(draw(round, "author", CAST)).author(),
        7 => payloads[at].time = Timestamp(draw(round, "time", u64::MAX)),
        8 => payloads.swap(0, last),
        9 => payloads[at].body = Body::UserRevoked { user: user(1) },
        10 => payloads[at].body = Body::ProfileChange { user: user(1), profile: Profile::Outsider },
        spoil => match &mut payloads[at].body {
            Body::User { user: id, email: address, sealed_name, encryption_key: key, .. } => match spoil {
                11 => *sealed_name = vec![0; 104].into(),
                12 => *key = EncryptionKey::from_bytes([0; 32]),
                13 => *key = EncryptionKey::from_bytes([0xff; 32]),
                14 => *key = encryption_key(draw(round, "key", CAST)),
                15 => *address = email(draw(round, "email", CAST)),
                16 => *id = user(draw(round, "user", CAST)),
                _ => {}
            },
            Body::Device { device: id, user: owner, sealed_label, verify_key: key } => match spoil {
                11 => *sealed_label = vec![0; 106].into(),
                12 => *key = weak_verify_key(),
                13 => *key = root_key(0).verify_key(),
                14 => *key = signing_key(draw(round, "key", CAST)).verify_key(),
                15 => *id = device(draw(round, "device", CAST)),
                16 => *owner = user(draw(round, "owner", CAST)),
                _ => {}
            },
            Body::ProfileChange { .. } | Body::UserRevoked { .. } | Body::DeviceRevoked { .. } => {}
        },
    }
}

/// The invitation under which such an enrolment would come: the best one its maker could have got.
fn invitation(payloads: &[Payload]) -> Invited {
    match &payloads[0].body {
        Body::User { email, .. } => Invited::User(email.clone()),
        Body::Device { user, .. } | Body::ProfileChange { user, .. } | Body::UserRevoked { user } => {
            Invited::Device(*user)
        }
        Body::DeviceRevoked { .. } => Invited::Device(user(0)),
    }
}

/// The device as the server's tables have it. Not revoked: calls of revoked devices come no further.
fn certifier(store: &Beside, by: u64) -> Certifier {
    let signer = store.read(|tx| tx.signer(&organisation(), &device(by))).unwrap().unwrap();
    assert!(!signer.revoked);
    Certifier {
        user: signer.member.user,
        device: signer.member.device,
        profile: signer.member.profile,
        verify_key: signer.verify_key,
    }
}

/// Where the log ends, as its counters say and as its last certificate says.
fn present(store: &Beside, root: &VerifyKey) -> Head {
    let end = store.read(|tx| tx.log_end(&organisation())).unwrap().unwrap();
    let found = |tx: &dyn Tx| log::head_at(tx, &organisation(), root, end.head.count);
    assert_eq!(store.read(found).unwrap(), Some(end.head));
    end.head
}

/// The server's judgement, by its tables; what it accepts is in them afterwards.
fn server(
    store: &Beside,
    org: &Org,
    by: u64,
    new: u64,
    payloads: &[Payload],
    envelopes: &[Vec<u8>],
) -> Result<(), LogFault> {
    let (id, root) = (organisation(), *org.log.root());
    let hashes = envelopes.iter().map(|envelope| Hash::of(&[envelope])).collect();
    let certificates: Vec<_> = envelopes.iter().map(|envelope| envelope.clone().into()).collect();
    let proposal = read(&id, &certificates)?;
    // The receipt's key is the certified one where anybody holds it.
    let holder =
        [new].into_iter().chain(0..CAST).find(|n| signing_key(*n).verify_key() == proposal.device.verify_key);
    let receipt = Receipt::sign(&signing_key(holder.unwrap_or(new)), Hash::of(&[]), hashes, root);
    let certifier = certifier(store, by);
    let present = present(store, &root);
    let head_at = |seen| store.read(|tx| log::head_at(tx, &id, &root, seen)).unwrap();
    let heads: Vec<_> = proposal.seen_counts().filter_map(head_at).collect();
    let known = store.read(|tx| log::known(tx, &id, &proposal)).unwrap();
    let around = Surroundings { root, present, heads: &heads, known: &known };
    let after = check_enrolment(&proposal, &invitation(payloads), &certifier, &receipt, &around)?;
    store.change(|tx| log::append(tx, &id, &proposal, &after)).unwrap();
    Ok(())
}

/// Whether the server would put these back as well. Changes nothing: what it says is taken back.
fn puts_back(store: &Beside, org: &Org, envelopes: &[Vec<u8>]) -> bool {
    let certificates: Vec<_> = envelopes.iter().map(|envelope| envelope.clone().into()).collect();
    let mut done = false;
    let taken_back = store.change(|tx| {
        done = put_back(tx, &organisation(), org.log.root(), org.log.head(), &certificates).is_ok();
        Err::<(), _>(Refusal::UNAVAILABLE)
    });
    assert_eq!(taken_back, Err(Refusal::UNAVAILABLE));
    done
}

/// A repair is judged as readers judge, whoever brings it. A user without a terminal alone is more than a server takes.
fn check_repair(store: &Beside, org: &Org, envelopes: &[Vec<u8>], place: &str) {
    let read = reader(org, envelopes).is_some();
    let back = puts_back(store, org, envelopes);
    assert!(read || !back, "the server would put back what readers refuse, {place}");
    let whole = pieces(&organisation(), &envelopes.iter().map(|it| it.clone().into()).collect::<Vec<_>>());
    assert!(back || !read || whole.is_err(), "the server would not put back what readers take, {place}");
}

fn reader(org: &Org, envelopes: &[Vec<u8>]) -> Option<VerifiedLog> {
    org.log.extended(envelopes.iter().map(Vec::as_slice)).ok()
}

/// A founded organisation, at a server and at a reader.
fn found(dir: &tempfile::TempDir) -> (Beside, Org) {
    let store = Beside::for_test(&dir.path().join("db"));
    let (id, org) = (organisation(), Org::founded());
    let founding: Vec<_> = org.envelopes.iter().map(|envelope| envelope.clone().into()).collect();
    let proposal = read(&id, &founding).unwrap();
    let after = check_founding(&id, &proposal, org.log.root()).unwrap();
    let founded = |tx: &mut dyn Tx| -> Result<(), StoreError> {
        assert!(tx.reserve(&id, Hash::of(&[]), Timestamp(0))?);
        tx.set_founded(&id, org.log.root(), Hash::of(&[]))?;
        log::append(tx, &id, &proposal, &after).map(drop)
    };
    store.change(founded).unwrap();
    (store, org)
}

#[test]
fn server_and_readers_agree_on_every_enrolment() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut org) = found(&dir);

    let (mut accepted, mut refused) = (0, 0);
    for round in 0..ENROLMENTS {
        let devices: Vec<_> = org.log.devices().map(|record| record.device).collect();
        let by = (0..CAST)
            .find(|n| {
                device(*n) == devices[usize::try_from(draw(round, "by", devices.len() as u64)).unwrap()]
            })
            .unwrap();
        let new = draw(round, "new", CAST);
        let profiles = [Profile::Administrator, Profile::Standard, Profile::Outsider];
        let own = (0..CAST).find(|n| user(*n) == org.log.device(&device(by)).unwrap().user).unwrap();
        let bodies = if draw(round, "kind", 2) == 0 {
            vec![
                user_body(new, profiles[usize::try_from(draw(round, "profile", 3)).unwrap()]),
                device_body(new, new),
            ]
        } else {
            vec![device_body(
                new,
                if draw(round, "whose", 4) == 0 { draw(round, "owner", CAST) } else { own },
            )]
        };
        let mut payloads: Vec<_> = bodies.into_iter().map(|body| org.payload(By::Device(by), body)).collect();
        spoil(round, &org, &mut payloads);
        let mut envelopes: Vec<_> =
            payloads.iter().map(|payload| envelope(By::Device(by), payload)).collect();
        if draw(round, "forge", 30) == 0 {
            envelopes[0] = envelope(By::Device(draw(round, "forger", CAST)), &payloads[0]);
        }
        check_repair(&store, &org, &envelopes, &format!("round {round}: {payloads:?}"));
        let (said, verified) =
            (server(&store, &org, by, new, &payloads, &envelopes), reader(&org, &envelopes));
        match (said, verified) {
            (Ok(()), Some(log)) => {
                org.log = log;
                org.envelopes.extend(envelopes);
                accepted += 1;
            }
            (Ok(()), None) => panic!("round {round}: the server took what readers refuse: {payloads:?}"),
            (Err(fault), Some(_)) => {
                // The server takes enrolments by the signing device alone, whole, under an invitation.
                let whole = matches!(fault, LogFault::WrongKinds | LogFault::BadReceipt);
                assert!(whole, "round {round}: the server refused what readers take, {fault}: {payloads:?}");
                refused += 1;
            }
            (Err(_), None) => refused += 1,
        }
    }
    assert!(accepted > 20 && refused > 500, "{accepted} accepted, {refused} refused");
    assert_eq!(present(&store, org.log.root()), org.log.head());
}
