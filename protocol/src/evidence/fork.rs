//! A fork proof: two devices' signed words for two logs that can't both be the organisation's.
//!
//! Decides the file, and who the persons behind the two words are; `chain::fork` decides whether it
//! is a fork. Refuses files of another kind or version.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::head::SignedHead;
use super::{EVIDENCE_MAX_BYTES, EvidenceError, HeadFault, VERSION, check_kind};
pub use crate::chain::fork::Form;
use crate::chain::fork::{self, ForkFault};
use crate::chain::head::Head;
use crate::chain::organisation::Organisation;
use crate::chain::organisation::certificate::Author;
use crate::chain::organisation::log::{LogError, Origin, VerifiedLog};
use crate::chain::organisation::rules::Fault;
use crate::codec;
use crate::ids::{DeviceId, Email, OrganisationId, Timestamp};
use crate::public_keys::VerifyKey;

/// What stands first in the file.
const KIND: &str = "parsec-fork";

/// How one organisation's log goes on, and whose word that rests on.
pub type Branch = fork::Branch<SignedHead>;
/// Whose word a branch rests on.
pub type Witness = fork::Witness<SignedHead>;

/// Two logs that part, as a file.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ForkProof {
    #[n(0)]
    kind: String,
    #[n(1)]
    version: u64,
    /// Organisation whose logs they are.
    #[n(2)]
    pub organisation: OrganisationId,
    /// Root key that both hang from.
    #[n(3)]
    pub root: VerifyKey,
    /// The envelopes that both have.
    #[n(4)]
    pub common: Vec<ByteVec>,
    /// How the two logs go on.
    #[n(5)]
    pub branches: [Branch; 2],
}

/// One device's word for one branch, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Device that gave it.
    pub device: DeviceId,
    /// Address of the device's user in that branch.
    pub email: Email,
    /// Time of signing, by the device's clock.
    pub time: Timestamp,
    /// Head through which the log goes, by this word.
    pub head: Head,
    /// In what form it was given.
    pub form: Form,
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
    fn new(
        organisation: OrganisationId,
        root: VerifyKey,
        common: Vec<ByteVec>,
        branches: [Branch; 2],
    ) -> Option<Self> {
        let proof = Self { kind: KIND.to_owned(), version: VERSION, organisation, root, common, branches };
        proof.verify().is_ok().then_some(proof)
    }

    /// Puts a proof together out of two logs' envelopes and, for each, a device's signed head or
    /// none; nothing if they don't part, or nobody vouches for one of them.
    #[must_use]
    pub fn of(
        organisation: OrganisationId,
        root: VerifyKey,
        logs: [(&[Vec<u8>], Option<SignedHead>); 2],
    ) -> Option<Self> {
        let (common, branches) = fork::branches::<Organisation, _>(logs)?;
        Self::new(organisation, root, common, branches)
    }

    /// Puts a proof together out of a log's envelopes, a device's signed head of it, and a
    /// certificate that has seen another; nothing if it proves nothing.
    #[must_use]
    pub fn of_foreign_view(
        organisation: OrganisationId,
        root: VerifyKey,
        log: &[Vec<u8>],
        head: SignedHead,
        foreign: &[u8],
    ) -> Option<Self> {
        let branches = fork::beside_foreign_view(head, foreign);
        Self::new(organisation, root, fork::envelopes(log), branches)
    }

    /// Bytes of the file, canonical CBOR.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a file; nothing in it is checked yet but its form.
    ///
    /// # Errors
    /// [`EvidenceError::Malformed`], [`EvidenceError::OtherKind`]; more than [`EVIDENCE_MAX_BYTES`]
    /// are not looked at.
    pub fn decode(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let proof: Self = codec::decode(bytes, EVIDENCE_MAX_BYTES)?;
        check_kind(&proof.kind, proof.version, KIND, "a fork proof")?;
        Ok(proof)
    }

    /// Checks both logs up to the root key named in the file, that they part, and whose word each
    /// branch is.
    ///
    /// # Errors
    /// [`EvidenceError::Log`], [`EvidenceError::NoFork`], [`EvidenceError::Head`].
    pub fn verify(&self) -> Result<Fork, EvidenceError> {
        let origin = Origin { organisation: self.organisation.clone(), root: self.root };
        let fork = fork::verify::<Organisation, _, _>(origin, &(), &self.common, &self.branches, person)?;
        let [one, other] = fork.words;
        Ok(Fork { common: fork.common, words: [word(one)?, word(other)?] })
    }
}

/// Names the device and the person behind a word.
fn person(log: &VerifiedLog, author: Author) -> Option<(DeviceId, Email)> {
    let Author::Device(device) = author else { return None };
    let user = log.user(&log.device(&device)?.user)?;
    Some((device, user.email.clone()))
}

fn word(word: fork::Word<Option<(DeviceId, Email)>>) -> Result<Word, EvidenceError> {
    let fork::Word { author, time, head, form } = word;
    let (device, email) = author.ok_or(EvidenceError::Head(HeadFault::UnknownDevice))?;
    Ok(Word { device, email, time, head, form })
}

impl From<ForkFault<Fault, HeadFault>> for EvidenceError {
    fn from(fault: ForkFault<Fault, HeadFault>) -> Self {
        match fault {
            ForkFault::Malformed(error) => Self::Malformed(error),
            ForkFault::Log { position, fault } => Self::Log(LogError { position, fault }),
            ForkFault::Head(fault) => Self::Head(fault),
            ForkFault::None(why) => Self::NoFork(why),
        }
    }
}
