//! Evidence files made by hand out of the usual cast: true ones, and their parts, to be broken one
//! at a time.
//!
//! Decides nothing about validity.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::organisation::certificate::Profile;
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::evidence::EvidenceError;
use parsec_protocol::evidence::export::LogExport;
use parsec_protocol::evidence::fork::ForkProof;
use parsec_protocol::evidence::head::SignedHead;
use parsec_protocol::evidence::receipt::{
    CODE_BITS, CheckedReceipt, EnrolmentReceipt, Method, SignedStatement, Statement, Transport,
};
use parsec_protocol::ids::Timestamp;
use parsec_protocol::public_keys::Hash;

use crate::support::{self, By, Org, device, device_body, organisation, root_key, signing_key, user_body};

/// A device's word for where a log ends.
pub fn head_by(org: &Org, number: u64) -> SignedHead {
    let key = signing_key(number);
    SignedHead::of(&org.log, device(number), Timestamp(support::BEGINNING), |context, message| {
        key.sign(context, message)
    })
}

pub fn file_of(envelopes: &[Vec<u8>]) -> Vec<ByteVec> {
    envelopes.iter().cloned().map(ByteVec::from).collect()
}

pub fn export(org: &Org, head: Option<SignedHead>) -> LogExport {
    LogExport::new(organisation(), root_key(0).verify_key(), file_of(&org.envelopes), head)
}

/// Two logs that part after the usual cast, each with `more` certificates of its own; the first of
/// each are by device 0.
pub fn parted(more: [u64; 2], seed: u64) -> [Org; 2] {
    let base = Org::staffed();
    let mut sides = [base.clone(), base];
    for (side, (org, more)) in sides.iter_mut().zip(more).enumerate() {
        for index in 0..more {
            let number = 1_000 + seed * 100 + side as u64 * 50 + index;
            let by = if index % 2 == 0 { By::Device(0) } else { By::Device(1) };
            org.say(by, user_body(number, Profile::Standard));
        }
    }
    sides
}

pub fn proof(sides: &[Org; 2], heads: [Option<u64>; 2]) -> Option<ForkProof> {
    let logs = [0, 1].map(|side| {
        let head = heads[side].map(|number| head_by(&sides[side], number));
        (sides[side].envelopes.as_slice(), head)
    });
    ForkProof::of(organisation(), root_key(0).verify_key(), logs)
}

/// A device's own log, its word for where it ends, and what it was handed.
pub fn foreign_view(own: &Org, foreign: &[u8]) -> Option<ForkProof> {
    let root = root_key(0).verify_key();
    ForkProof::of_foreign_view(organisation(), root, &own.envelopes, head_by(own, 2), foreign)
}

/// An enrolment by device 0: the file's parts.
#[derive(Clone)]
pub struct Enrolled {
    pub statement: Statement,
    pub certificates: Vec<Vec<u8>>,
    pub receipt: ClaimReceipt,
    pub log: Org,
}

/// `number` is let in: a person, or another device of user 0.
pub fn enrolled(number: u64, person: bool) -> Enrolled {
    let mut log = Org::staffed();
    let before = log.log.head();
    let time = Timestamp(support::BEGINNING + 500);
    let bodies = if person {
        vec![user_body(number, Profile::Standard), device_body(number, number)]
    } else {
        vec![device_body(number, 0)]
    };
    let certificates: Vec<Vec<u8>> = bodies
        .into_iter()
        .map(|body| {
            let mut payload = log.payload(By::Device(0), body);
            (payload.seen, payload.time) = (before, time);
            support::envelope(By::Device(0), &payload)
        })
        .collect();
    for envelope in &certificates {
        log.log.push(envelope).unwrap();
        log.envelopes.push(envelope.clone());
    }
    let handshake = Hash::of(&[b"handshake", &number.to_be_bytes()]);
    let opened = Hash::of(&[b"opened", &number.to_be_bytes()]);
    let root = root_key(0).verify_key();
    let hashes = certificates.iter().map(|envelope| Hash::of(&[envelope])).collect();
    let receipt = ClaimReceipt::sign(&signing_key(number), handshake, hashes, root, opened);
    let statement = Statement {
        organisation: organisation(),
        root,
        greeter: device(0),
        greeter_key: signing_key(0).verify_key(),
        transport: Transport::Relay,
        attempts: 1,
        method: Method::Typed,
        bits: CODE_BITS,
        heard: true,
        seen: before,
        handshake,
        device: device(number),
        time,
        opened,
    };
    Enrolled { statement, certificates, receipt, log }
}

impl Enrolled {
    pub fn file(&self) -> EnrolmentReceipt {
        let key = signing_key(0);
        let signed = SignedStatement::of(&self.statement, |context, message| key.sign(context, message));
        EnrolmentReceipt::new(signed, file_of(&self.certificates), self.receipt.clone())
    }

    pub fn check(&self) -> Result<CheckedReceipt, EvidenceError> {
        EnrolmentReceipt::decode(&self.file().encode())?.verify()
    }
}
