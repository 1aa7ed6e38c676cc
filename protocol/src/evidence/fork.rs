//! A fork proof: two terminals' signed words for two logs that can't both be the organisation's.
//!
//! Decides when two branches show that somebody was shown, or made, another past. Refuses branches for which no terminal gave its word
//! beyond what both have in common: two honest certificates may have been put in either order by a server that told nobody.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::head::SignedHead;
use super::{EVIDENCE_MAX_BYTES, EvidenceError, HeadFault, VERSION, check_kind};
use crate::chain::certificate::{Author, Envelope, Head};
use crate::chain::verify::VerifiedLog;
use crate::codec;
use crate::ids::{DeviceId, Email, OrganisationId, Timestamp};
use crate::public::VerifyKey;

/// What stands first in the file.
const KIND: &str = "parsec-fork";

/// Whose word a branch rests on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Witness {
    /// A certificate of the branch: its author has seen the branch.
    #[n(0)]
    Certificate {
        /// Which of the branch's own, from 0.
        #[n(0)]
        index: u64,
    },
    /// A signed head.
    #[n(1)]
    Head(#[n(0)] SignedHead),
}

/// How one log goes on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Branch {
    /// The envelopes after the common ones.
    #[n(0)]
    pub certificates: Vec<ByteVec>,
    /// Who vouches for it.
    #[n(1)]
    pub witness: Witness,
}

/// Two logs that part, as a file.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ForkProof {
    #[n(0)]
    kind: String,
    #[n(1)]
    version: u64,
    /// Whose logs.
    #[n(2)]
    pub organisation: OrganisationId,
    /// What both hang from.
    #[n(3)]
    pub root: VerifyKey,
    /// The envelopes that both have.
    #[n(4)]
    pub common: Vec<ByteVec>,
    /// How they go on.
    #[n(5)]
    pub branches: [Branch; 2],
}

/// One terminal's word for one branch, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Whose.
    pub device: DeviceId,
    /// Its user's address in that branch.
    pub email: Email,
    /// When, by its clock.
    pub time: Timestamp,
    /// Through where it says the log goes.
    pub head: Head,
    /// How many certificates this branch has in all.
    pub count: u64,
    /// Whether it is a signed head; a certificate otherwise.
    pub signed_head: bool,
}

/// What a fork proof shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// How many certificates the two logs have in common.
    pub common: u64,
    /// A word for each branch.
    pub words: [Word; 2],
}

impl ForkProof {
    /// Puts a proof together out of two logs' envelopes and, for each, a terminal's signed head or none; nothing if they don't part, or
    /// nobody vouches for one of them.
    #[must_use]
    pub fn of(
        organisation: OrganisationId,
        root: VerifyKey,
        logs: [(&[Vec<u8>], Option<SignedHead>); 2],
    ) -> Option<Self> {
        let [(one, _), (other, _)] = &logs;
        let common = one.iter().zip(other.iter()).take_while(|(one, other)| one == other).count();
        let branch = |(log, head): (&[Vec<u8>], Option<SignedHead>)| {
            let certificates = log.get(common..).unwrap_or_default();
            let witness = match head {
                Some(head) => Witness::Head(head),
                None => Witness::Certificate { index: vouching(certificates, common as u64)? },
            };
            Some(Branch { certificates: envelopes(certificates), witness })
        };
        let [one, other] = logs;
        let shared = envelopes(one.0.get(..common).unwrap_or_default());
        let branches = [branch(one)?, branch(other)?];
        let proof =
            Self { kind: KIND.to_owned(), version: VERSION, organisation, root, common: shared, branches };
        proof.verify().is_ok().then_some(proof)
    }

    /// The file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a file; nothing in it is checked yet but its form.
    ///
    /// # Errors
    /// [`EvidenceError::Malformed`], [`EvidenceError::OtherKind`]; more than [`EVIDENCE_MAX_BYTES`] are not looked at.
    pub fn decode(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let proof: Self = codec::decode(bytes, EVIDENCE_MAX_BYTES)?;
        check_kind(&proof.kind, proof.version, KIND, "a fork proof")?;
        Ok(proof)
    }

    /// Checks both logs up to the root key named in the file, that they part, and whose word each branch is.
    ///
    /// # Errors
    /// [`EvidenceError::Log`], [`EvidenceError::NoFork`], [`EvidenceError::Head`].
    pub fn verify(&self) -> Result<Fork, EvidenceError> {
        let mut base = VerifiedLog::empty(self.organisation.clone(), self.root);
        self.common.iter().try_for_each(|envelope| base.push(envelope))?;
        let [one, other] = &self.branches;
        match (one.certificates.first(), other.certificates.first()) {
            (Some(one), Some(other)) if one != other => {}
            (Some(_), Some(_)) => {
                return Err(EvidenceError::NoFork("both logs go on with the same certificate"));
            }
            (None, _) | (_, None) => {
                return Err(EvidenceError::NoFork("one log is the beginning of the other"));
            }
        }
        Ok(Fork { common: base.count(), words: [word(&base, one)?, word(&base, other)?] })
    }
}

fn envelopes(bytes: &[Vec<u8>]) -> Vec<ByteVec> {
    bytes.iter().cloned().map(ByteVec::from).collect()
}

/// The first certificate whose author has seen more than what is common.
fn vouching(branch: &[Vec<u8>], common: u64) -> Option<u64> {
    let seen = |envelope: &Vec<u8>| Some(Envelope::decode(envelope).ok()?.payload().ok()?.seen.count);
    branch.iter().position(|envelope| seen(envelope).is_some_and(|seen| seen > common)).map(|at| at as u64)
}

/// Checks one branch and its witness.
fn word(base: &VerifiedLog, branch: &Branch) -> Result<Word, EvidenceError> {
    let mut log = base.clone();
    branch.certificates.iter().try_for_each(|envelope| log.push(envelope))?;
    let (device, time, head, signed_head) = match &branch.witness {
        Witness::Certificate { index } => {
            let missing = EvidenceError::NoFork("a witness is not there");
            let at = usize::try_from(*index).map_err(|_| missing.clone())?;
            let envelope = branch.certificates.get(at).ok_or(missing)?;
            let payload = Envelope::decode(envelope)?.payload()?;
            // The log's rules have compared its `seen` with the branch.
            match payload.author {
                Author::Device(device) => (device, payload.time, payload.seen, false),
                Author::Root => return Err(EvidenceError::NoFork("a witness is no terminal")),
            }
        }
        Witness::Head(head) => {
            head.check(&log).map_err(EvidenceError::Head)?;
            (head.device, head.time, head.head, true)
        }
    };
    if head.count <= base.count() {
        return Err(EvidenceError::NoFork("a witness vouches for nothing but what both logs have"));
    }
    let email = log.device(&device).and_then(|device| log.user(&device.user)).map(|user| user.email.clone());
    let email = email.ok_or(EvidenceError::Head(HeadFault::UnknownDevice))?;
    Ok(Word { device, email, time, head, count: log.count(), signed_head })
}
