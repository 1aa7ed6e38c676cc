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
    /// A certificate that has seen a log which is not shown, and which the other branch is not.
    #[n(2)]
    Stray {
        /// Its envelope.
        #[n(0)]
        envelope: ByteVec,
    },
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
    /// In what form it was given.
    pub form: Form,
}

/// How a terminal gave its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As what a certificate of the branch has seen.
    Certificate,
    /// As a signed head.
    Head,
    /// As what a certificate has seen whose log is not shown.
    Stray,
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

    /// Puts a proof together out of a log's envelopes, a terminal's signed head of it, and a certificate that has seen another; nothing if
    /// it proves nothing.
    #[must_use]
    pub fn of_stray(
        organisation: OrganisationId,
        root: VerifyKey,
        log: &[Vec<u8>],
        head: SignedHead,
        stray: &[u8],
    ) -> Option<Self> {
        let branch = |witness| Branch { certificates: Vec::new(), witness };
        let branches =
            [branch(Witness::Head(head)), branch(Witness::Stray { envelope: stray.to_vec().into() })];
        let common = envelopes(log);
        let proof = Self { kind: KIND.to_owned(), version: VERSION, organisation, root, common, branches };
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
        let common = base.count();
        let words = match (&one.witness, &other.witness) {
            (Witness::Stray { .. }, Witness::Stray { .. }) => {
                return Err(EvidenceError::NoFork("neither log is shown"));
            }
            (Witness::Stray { envelope }, _) => {
                let (stray, shown) = stray(&base, one, envelope, other)?;
                [stray, shown]
            }
            (_, Witness::Stray { envelope }) => {
                let (stray, shown) = stray(&base, other, envelope, one)?;
                [shown, stray]
            }
            (_, _) => {
                part(one, other)?;
                [
                    word(&base, one, common.saturating_add(1))?.0,
                    word(&base, other, common.saturating_add(1))?.0,
                ]
            }
        };
        Ok(Fork { common, words })
    }
}

/// Two branches have to begin differently.
fn part(one: &Branch, other: &Branch) -> Result<(), EvidenceError> {
    match (one.certificates.first(), other.certificates.first()) {
        (Some(one), Some(other)) if one != other => Ok(()),
        (Some(_), Some(_)) => Err(EvidenceError::NoFork("both logs go on with the same certificate")),
        (None, _) | (_, None) => Err(EvidenceError::NoFork("one log is the beginning of the other")),
    }
}

/// Checks a certificate that has seen another log than the branch that is shown: its word, and that branch's.
fn stray(
    base: &VerifiedLog,
    hidden: &Branch,
    envelope: &[u8],
    shown: &Branch,
) -> Result<(Word, Word), EvidenceError> {
    if !hidden.certificates.is_empty() {
        return Err(EvidenceError::NoFork("a stray certificate stands beside a log"));
    }
    let envelope = Envelope::decode(envelope)?;
    let payload = envelope.payload()?;
    let (word, log) = word(base, shown, payload.seen.count)?;
    let Author::Device(device) = payload.author else {
        return Err(EvidenceError::NoFork("a witness is no terminal"));
    };
    let author = log.device(&device).ok_or(EvidenceError::NoFork("a witness is unknown"))?;
    if payload.organisation != *log.organisation() || envelope.verify(&author.verify_key).is_err() {
        return Err(EvidenceError::NoFork("a stray certificate is not by its author"));
    }
    let differs = log.head_at(payload.seen.count).is_some_and(|here| here != payload.seen);
    if payload.seen.count == 0 || !differs {
        return Err(EvidenceError::NoFork("a stray certificate has seen nothing else"));
    }
    let stray = Word {
        device,
        email: email_of(&log, &device)?,
        time: payload.time,
        head: payload.seen,
        form: Form::Stray,
    };
    Ok((stray, word))
}

fn email_of(log: &VerifiedLog, device: &DeviceId) -> Result<Email, EvidenceError> {
    let user = log.device(device).and_then(|device| log.user(&device.user));
    user.map(|user| user.email.clone()).ok_or(EvidenceError::Head(HeadFault::UnknownDevice))
}

fn envelopes(bytes: &[Vec<u8>]) -> Vec<ByteVec> {
    bytes.iter().cloned().map(ByteVec::from).collect()
}

/// The first certificate whose author has seen more than what is common.
fn vouching(branch: &[Vec<u8>], common: u64) -> Option<u64> {
    let seen = |envelope: &Vec<u8>| Some(Envelope::decode(envelope).ok()?.payload().ok()?.seen.count);
    branch.iter().position(|envelope| seen(envelope).is_some_and(|seen| seen > common)).map(|at| at as u64)
}

/// Checks one branch, and that its witness vouches for `least` certificates of it.
fn word(base: &VerifiedLog, branch: &Branch, least: u64) -> Result<(Word, VerifiedLog), EvidenceError> {
    let mut log = base.clone();
    branch.certificates.iter().try_for_each(|envelope| log.push(envelope))?;
    let (device, time, head, form) = match &branch.witness {
        Witness::Certificate { index } => {
            let missing = EvidenceError::NoFork("a witness is not there");
            let at = usize::try_from(*index).map_err(|_| missing.clone())?;
            let envelope = branch.certificates.get(at).ok_or(missing)?;
            let payload = Envelope::decode(envelope)?.payload()?;
            // The log's rules have compared its `seen` with the branch.
            match payload.author {
                Author::Device(device) => (device, payload.time, payload.seen, Form::Certificate),
                Author::Root => return Err(EvidenceError::NoFork("a witness is no terminal")),
            }
        }
        Witness::Head(head) => {
            head.check(&log).map_err(EvidenceError::Head)?;
            (head.device, head.time, head.head, Form::Head)
        }
        Witness::Stray { .. } => return Err(EvidenceError::NoFork("neither log is shown")),
    };
    if head.count < least {
        return Err(EvidenceError::NoFork("a witness vouches for nothing but what both logs have"));
    }
    let email = email_of(&log, &device)?;
    Ok((Word { device, email, time, head, form }, log))
}
