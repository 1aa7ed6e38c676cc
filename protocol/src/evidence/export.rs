//! An exported log: the certificates, and a device's word for where they end.
//!
//! Decides that a log with a signed head ends where its signer says. Refuses to vouch for the end
//! of one without: whoever made the file may have left certificates off.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::head::{SIGNED_HEAD_MAX_BYTES, SignedHead};
use super::{EVIDENCE_MAX_BYTES, EvidenceError, HeadFault, VERSION, check_kind};
use crate::chain::export::{self, ExportFault};
use crate::chain::organisation::log::{Origin, VerifiedLog};
use crate::codec;
use crate::ids::OrganisationId;
use crate::public_keys::VerifyKey;

/// What stands first in the file.
const KIND: &str = "parsec-log";

/// An organisation's log as a file.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct LogExport {
    #[n(0)]
    kind: String,
    #[n(1)]
    version: u64,
    /// Organisation whose log it is.
    #[n(2)]
    pub organisation: OrganisationId,
    /// Root key that it hangs from.
    #[n(3)]
    pub root: VerifyKey,
    /// The envelopes, the first first.
    #[n(4)]
    pub certificates: Vec<ByteVec>,
    /// A device's word that these are all.
    #[n(5)]
    pub head: Option<SignedHead>,
}

impl LogExport {
    /// Puts one together; [`Self::verify`] says what it is worth.
    #[must_use]
    pub fn new(
        organisation: OrganisationId,
        root: VerifyKey,
        certificates: Vec<ByteVec>,
        head: Option<SignedHead>,
    ) -> Self {
        Self { kind: KIND.to_owned(), version: VERSION, organisation, root, certificates, head }
    }

    /// Puts one together out of the parts that the local API gives.
    ///
    /// # Errors
    /// [`EvidenceError::Malformed`] if `head` is none.
    pub fn of_parts(
        organisation: OrganisationId,
        root: VerifyKey,
        certificates: Vec<Vec<u8>>,
        head: &[u8],
    ) -> Result<Self, EvidenceError> {
        let head = codec::decode(head, SIGNED_HEAD_MAX_BYTES)?;
        let certificates = certificates.into_iter().map(ByteVec::from).collect();
        Ok(Self::new(organisation, root, certificates, Some(head)))
    }

    /// The signed head by itself.
    #[must_use]
    pub fn head_bytes(&self) -> Option<Vec<u8>> {
        self.head.as_ref().map(codec::encode)
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
        let export: Self = codec::decode(bytes, EVIDENCE_MAX_BYTES)?;
        check_kind(&export.kind, export.version, KIND, "an exported log")?;
        Ok(export)
    }

    /// Checks every certificate up to the root key named in the file, and the signed head if there
    /// is one.
    ///
    /// # Errors
    /// [`EvidenceError::Log`], [`EvidenceError::Head`].
    pub fn verify(&self) -> Result<VerifiedLog, EvidenceError> {
        let origin = Origin { organisation: self.organisation.clone(), root: self.root };
        let verified = export::verify(origin, &(), &self.certificates, self.head.as_ref());
        verified.map_err(|fault| match fault {
            ExportFault::Log(error) => EvidenceError::Log(error),
            ExportFault::Head(fault) => EvidenceError::Head(fault),
            ExportFault::NotTheEnd => EvidenceError::Head(HeadFault::Elsewhere),
        })
    }
}
