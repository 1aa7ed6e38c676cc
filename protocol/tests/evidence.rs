//! Evidence files: what is true passes, and no byte of it can be changed; what is nearly a proof is
//! none.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "support/evidence.rs"]
mod made;
mod support;

use made::{Enrolled, enrolled, export, file_of, foreign_view, head_by, parted, proof};
use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::{Body, Envelope};
use parsec_protocol::chain::organisation::rules::Fault;
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::evidence::export::LogExport;
use parsec_protocol::evidence::fork::{Branch, Fork, ForkProof, Form, Witness};
use parsec_protocol::evidence::receipt::{EnrolmentReceipt, Statement};
use parsec_protocol::evidence::{EvidenceError, HeadFault};
use parsec_protocol::ids::Timestamp;
use parsec_protocol::public_keys::Hash;
use support::{By, Org, device, device_body, root_key, runs, signing_key, user};

/// Bytes changed in two ways, and beginnings, given to `judge`: every eleventh, or each in a full
/// run.
fn damaged(file: &[u8], mut judge: impl FnMut(&[u8])) {
    for at in (0..file.len()).step_by(usize::try_from(runs(11, 1)).unwrap()) {
        for change in [0x01, 0x80] {
            let mut bad = file.to_vec();
            bad[at] ^= change;
            judge(&bad);
        }
        judge(&file[..at]);
    }
    judge(&[file, &[0]].concat());
}

#[test]
fn an_exported_log_is_read_again_and_ends_where_its_signer_says() {
    let org = Org::staffed();
    let signed = export(&org, Some(head_by(&org, 2)));
    let file = signed.encode();
    let read = LogExport::decode(&file).unwrap();
    assert_eq!(read, signed);
    assert_eq!(read.verify().unwrap().head(), org.log.head());
    assert_eq!(export(&org, None).verify().unwrap().head(), org.log.head());
    damaged(&file, |bad| {
        assert!(LogExport::decode(bad).and_then(|export| export.verify()).is_err());
    });

    // Certificates left off: whoever signed the head did not mean this.
    let mut short = org.clone();
    short.envelopes.pop();
    let cut = export(&short, Some(head_by(&org, 2))).verify();
    assert_eq!(cut.unwrap_err(), EvidenceError::Head(HeadFault::Elsewhere));
    // A head of earlier is one of this log and not its end.
    let mut longer = org.clone();
    longer.say(By::Device(2), device_body(21, 2));
    let early = export(&longer, Some(head_by(&org, 2))).verify();
    assert_eq!(early.unwrap_err(), EvidenceError::Head(HeadFault::Elsewhere));
    for (number, fault) in [(4, HeadFault::Revoked), (10, HeadFault::Revoked), (77, HeadFault::UnknownDevice)]
    {
        let by = export(&org, Some(head_by(&org, number))).verify();
        assert_eq!(by.unwrap_err(), EvidenceError::Head(fault), "{number}");
    }
    let mut forged = head_by(&org, 1);
    forged.device = device(2);
    let forged = export(&org, Some(forged)).verify();
    assert_eq!(forged.unwrap_err(), EvidenceError::Head(HeadFault::Signature));
}

#[test]
fn one_kind_of_file_is_not_another() {
    let org = Org::staffed();
    let file = export(&org, None).encode();
    assert!(ForkProof::decode(&file).is_err() && EnrolmentReceipt::decode(&file).is_err());
    // The same record under another word, and of another version.
    let at = file.windows(10).position(|window| window == b"parsec-log").unwrap();
    let mut other = file.clone();
    other[at + 9] = b'h';
    assert!(matches!(LogExport::decode(&other), Err(EvidenceError::OtherKind { .. })));
    let mut later = file;
    later[at + 10] = 2;
    assert!(matches!(LogExport::decode(&later), Err(EvidenceError::OtherKind { .. })));
}

#[test]
fn a_fork_is_proved_by_certificates_or_heads_whoever_checks() {
    let common = Org::staffed().log.count();
    for seed in 0..runs(12, 400) {
        let sides = parted([1 + seed % 4, 1 + seed / 4 % 3], seed);
        // One certificate alone has seen nothing of its branch: a signed head has to.
        let heads = [0, 1].map(|side| {
            let alone = sides[side].log.count() == common + 1;
            (alone || (seed + side as u64).is_multiple_of(2)).then_some(2 + side as u64)
        });
        let made = proof(&sides, heads).unwrap();
        let Fork { common: parts_at, words } = ForkProof::decode(&made.encode()).unwrap().verify().unwrap();
        assert_eq!(parts_at, common, "seed {seed}");
        for (word, org) in words.iter().zip(&sides) {
            assert!(word.head.count > common && org.log.extends(&word.head), "seed {seed}");
        }
    }
}

#[test]
fn a_certificate_that_has_seen_another_log_proves_the_fork_without_it() {
    let [own, other] = parted([2, 4], 9);
    // The second of the other log has seen its first, at whose count this log has something else.
    let foreign = &other.envelopes[own.envelopes.len() - 1];
    let proof = foreign_view(&own, foreign).unwrap();
    let file = proof.encode();
    let fork = ForkProof::decode(&file).unwrap().verify().unwrap();
    assert_eq!(fork.words[1].form, Form::ForeignView);
    assert!(own.log.head_at(fork.words[1].head.count) != Some(fork.words[1].head));
    damaged(&file, |bad| {
        assert!(ForkProof::decode(bad).and_then(|proof| proof.verify()).is_err());
    });
    // The first of the other log has seen what both have; the fourth more than this log has.
    assert!(foreign_view(&own, &other.envelopes[own.envelopes.len() - 2]).is_none());
    assert!(foreign_view(&own, &other.envelopes[own.envelopes.len() + 1]).is_none());
    // One of this log; one by a key that this log doesn't know; one that the server made up.
    assert!(foreign_view(&own, &own.envelopes[3]).is_none());
    let mut payload = Envelope::decode(foreign).unwrap().payload().unwrap();
    assert!(foreign_view(&own, &support::envelope(By::Device(77), &payload)).is_none());
    payload.organisation = "other".parse().unwrap();
    assert!(foreign_view(&own, &support::envelope(By::Device(1), &payload)).is_none());
    // A word for less than the foreign one has seen; nobody's word.
    let mut early = proof.clone();
    early.common.truncate(Org::staffed().envelopes.len());
    early.branches[0].witness = Witness::Head(head_by(&Org::staffed(), 2));
    assert!(early.verify().is_err());
    let mut nobody = proof;
    nobody.branches[0].witness = nobody.branches[1].witness.clone();
    assert!(matches!(nobody.verify(), Err(EvidenceError::NoFork(_))));
}

#[test]
fn no_byte_of_a_proof_can_be_changed() {
    let sides = parted([2, 1], 1);
    let good = proof(&sides, [Some(2), Some(3)]).unwrap();
    let file = good.encode();
    damaged(&file, |bad| {
        assert!(ForkProof::decode(bad).and_then(|proof| proof.verify()).is_err());
    });
}

/// A good proof changed by hand.
fn mutant(change: impl FnOnce(&mut ForkProof)) -> EvidenceError {
    let mut proof = proof(&parted([3, 2], 7), [None, Some(2)]).unwrap();
    proof.verify().unwrap();
    change(&mut proof);
    proof.verify().unwrap_err()
}

#[test]
fn what_is_nearly_a_fork_is_none() {
    let no_fork = |error| matches!(error, EvidenceError::NoFork(_));
    assert!(no_fork(mutant(|proof| proof.branches[1] = proof.branches[0].clone())), "the same twice");
    assert!(no_fork(mutant(|proof| proof.branches[0].certificates.clear())), "the beginning of the other");
    // The certificate where they part was made in sight of the common ones alone.
    assert!(no_fork(mutant(|proof| proof.branches[0].witness = Witness::Certificate { index: 0 })));
    assert!(no_fork(mutant(|proof| proof.branches[0].witness = Witness::Certificate { index: 9 })));
    assert!(no_fork(mutant(|proof| proof.branches[0].witness = Witness::Certificate { index: u64::MAX })));
    // A head of the common part, honestly signed.
    let common = head_by(&Org::staffed(), 2);
    assert!(no_fork(mutant(|proof| proof.branches[1].witness = Witness::Head(common))));
    // The other branch's head; one by a device that is revoked.
    let heads = [0, 1].map(|side| head_by(&parted([3, 2], 7)[side], 2));
    let [first, _] = heads;
    let elsewhere = mutant(|proof| proof.branches[1].witness = Witness::Head(first));
    assert_eq!(elsewhere, EvidenceError::Head(HeadFault::Elsewhere));
    let revoked = head_by(&parted([3, 2], 7)[1], 4);
    let revoked = mutant(|proof| proof.branches[1].witness = Witness::Head(revoked));
    assert_eq!(revoked, EvidenceError::Head(HeadFault::Revoked));
    // Another root; a branch out of order.
    let log = |error| matches!(error, EvidenceError::Log(_));
    assert!(log(mutant(|proof| proof.root = root_key(1).verify_key())));
    assert!(log(mutant(|proof| proof.branches[0].certificates.reverse())));
    // Certificates moved from the common part into both branches: they go on alike.
    assert!(no_fork(mutant(|proof| {
        let last = proof.common.pop().unwrap();
        proof.branches.iter_mut().for_each(|branch| branch.certificates.insert(0, last.clone()));
    })));
    // Nothing is put together where there is nothing to prove.
    let same = parted([2, 2], 3);
    assert!(proof(&[same[0].clone(), same[0].clone()], [None, None]).is_none());
    assert!(proof(&parted([1, 1], 3), [Some(2), None]).is_none(), "nobody vouches for the second");
}

#[test]
fn a_witness_is_a_device_of_its_branch() {
    // Revoked in this branch alone: its word for it counts no more.
    let mut sides = parted([1, 1], 5);
    sides[0].say(By::Device(0), Body::DeviceRevoked { device: device(20) });
    assert!(proof(&sides, [Some(20), Some(20)]).is_none());
    assert!(proof(&sides, [Some(2), Some(20)]).is_some());
    let branch = |envelopes: &[Vec<u8>]| Branch {
        certificates: file_of(envelopes),
        witness: Witness::Certificate { index: 0 },
    };
    // From nothing: the founding certificates are the root's word and no device's.
    let founded = Org::founded();
    let mut proof = proof(&sides, [Some(2), Some(20)]).unwrap();
    proof.common.clear();
    proof.branches = [branch(&founded.envelopes), branch(&founded.envelopes[..1])];
    assert!(matches!(proof.verify(), Err(EvidenceError::NoFork(_))));
}

#[test]
fn a_receipt_says_how_somebody_was_let_in() {
    for person in [true, false] {
        let made = enrolled(50, person);
        let checked = made.check().unwrap();
        assert_eq!(checked.statement, made.statement);
        assert_eq!(checked.user, user(if person { 50 } else { 0 }));
        assert_eq!(checked.email, person.then(|| support::email(50)));
        checked.stands_in(&made.log.log).unwrap();
        damaged(&made.file().encode(), |bad| {
            assert!(EnrolmentReceipt::decode(bad).and_then(|receipt| receipt.verify()).is_err());
        });
        // In another log the same receipt bears nothing out.
        let other = enrolled(51, person).log;
        assert!(checked.stands_in(&other.log).is_err() && checked.stands_in(&Org::founded().log).is_err());
    }
}

#[test]
fn a_receipt_of_parts_that_do_not_belong_together_is_none() {
    let refused = |change: fn(&mut Enrolled)| {
        let mut made = enrolled(50, true);
        change(&mut made);
        assert!(matches!(made.check(), Err(EvidenceError::Unfitting(_))));
    };
    // The statement is signed anew each time: a greeter that lies in one of these fields is caught
    // by what others signed.
    refused(|made| made.statement.device = device(51));
    refused(|made| made.statement.handshake = Hash::of(&[b"other"]));
    refused(|made| made.statement.root = root_key(1).verify_key());
    refused(|made| made.statement.opened = Hash::of(&[b"other"]));
    refused(|made| made.statement.seen = Head { count: 1, ..made.statement.seen });
    refused(|made| made.statement.time = Timestamp(1));
    refused(|made| made.statement.greeter = device(1));
    refused(|made| made.statement.greeter_key = signing_key(1).verify_key());
    refused(|made| made.statement.organisation = "other".parse().unwrap());
    // No ceremony of this protocol has fewer bits, or goes without the greeter's word.
    refused(|made| made.statement.bits = 20);
    refused(|made| made.statement.heard = false);
    refused(|made| made.certificates = enrolled(51, true).certificates);
    refused(|made| made.certificates.reverse());
    refused(|made| drop(made.certificates.pop()));
    refused(|made| made.certificates.clear());
    refused(|made| made.receipt = enrolled(51, true).receipt);
    // The newcomer lies as well: its receipt is about the certificates that are there.
    let both_lie = |change: fn(&mut Enrolled)| {
        let mut made = enrolled(50, true);
        change(&mut made);
        let hashes = made.certificates.iter().map(|envelope| Hash::of(&[envelope])).collect();
        let Statement { handshake, root, opened, .. } = made.statement;
        made.receipt = ClaimReceipt::sign(&signing_key(50), handshake, hashes, root, opened);
        assert!(matches!(made.check(), Err(EvidenceError::Unfitting(_))));
    };
    both_lie(|made| made.statement.device = device(51));
    both_lie(|made| made.statement.time = Timestamp(1));
    both_lie(|made| made.statement.greeter = device(1));
    both_lie(|made| made.statement.organisation = "other".parse().unwrap());
    both_lie(|made| made.certificates.reverse());
    both_lie(|made| drop(made.certificates.pop()));
    both_lie(|made| made.certificates.clear());
    both_lie(|made| made.certificates.push(made.certificates[1].clone()));
    // Another person's user certificate beside this device's.
    both_lie(|made| made.certificates[0] = enrolled(51, true).certificates.remove(0));
    // A certificate that is no enrolment.
    both_lie(|made| {
        let mut payload = Envelope::decode(&made.certificates[1]).unwrap().payload().unwrap();
        payload.body = Body::UserRevoked { user: user(3) };
        made.certificates[1] = support::envelope(By::Device(0), &payload);
    });
    // A key that is in the log, and not the greeter's: only the log can tell.
    let mut made = enrolled(50, true);
    made.statement.greeter = device(0);
    let checked = made.check().unwrap();
    let mut log = Org::founded();
    log.say(By::Device(0), device_body(9, 0));
    assert!(checked.stands_in(&log.log).is_err());
    let fault = log.fault(&made.certificates[0]);
    assert_eq!(fault, Err(Fault::SeenAhead), "a log that is too short for it");
}
