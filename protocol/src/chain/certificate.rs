//! What a certificate says and how it is signed (docs/protocol.md, *Certificates*).
//!
//! Decides the bytes. Refuses to re-encode: what was signed is kept, hashed and passed on as it came. Whether
//! the author had the right to say it is `verify`'s question.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::codec::{self, CodecError};
use crate::ids::{DeviceId, Email, OrganisationId, Timestamp, UserId};
use crate::limits::{CERTIFICATE_MAX_BYTES, NAME_MAX_BYTES};
use crate::public::{BadSignature, Context, EncryptionKey, Hash, Signature, VerifyKey};

/// Who signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Author {
    /// The organisation's root key: the first two certificates only.
    #[n(0)]
    Root,
    /// A certified device.
    #[n(1)]
    Device(#[n(0)] DeviceId),
}

/// A place in a log: how many certificates, and the running hash over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Head {
    /// Certificates so far.
    #[n(0)]
    pub count: u64,
    /// The running hash.
    #[n(1)]
    pub hash: Hash,
}

impl Head {
    /// head₀ = SHA-256("parsec-log-v1" ‖ organisation id ‖ root key).
    #[must_use]
    pub fn empty(organisation: &OrganisationId, root: &VerifyKey) -> Self {
        let hash = Hash::of(&[b"parsec-log-v1", organisation.as_str().as_bytes(), root.as_bytes()]);
        Self { count: 0, hash }
    }

    /// headₙ = SHA-256(headₙ₋₁ ‖ SHA-256(envelopeₙ)).
    #[must_use]
    pub fn after(&self, envelope: &[u8]) -> Self {
        let hash = Hash::of(&[self.hash.as_bytes(), Hash::of(&[envelope]).as_bytes()]);
        Self { count: self.count.saturating_add(1), hash }
    }
}

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Profile {
    /// Invites, certifies, revokes.
    #[n(0)]
    Administrator,
    /// Uses and shares safes.
    #[n(1)]
    Standard,
    /// Uses safes shared with them.
    #[n(2)]
    Outsider,
}

/// The statement itself. Each kind has its own tag, under the signature.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Body {
    /// This person is a member.
    #[n(0)]
    User {
        /// Who.
        #[n(0)]
        user: UserId,
        /// The invited address.
        #[n(1)]
        email: Email,
        /// The person's name, sealed with the directory key: [`SEALED_NAME_BYTES`].
        #[n(2)]
        sealed_name: ByteVec,
        /// What to encrypt to them with.
        #[n(3)]
        encryption_key: EncryptionKey,
        /// What they may do.
        #[n(4)]
        profile: Profile,
    },
    /// This is a terminal of that person.
    #[n(1)]
    Device {
        /// Which.
        #[n(0)]
        device: DeviceId,
        /// Whose.
        #[n(1)]
        user: UserId,
        /// Its label, sealed with the directory key: [`SEALED_NAME_BYTES`].
        #[n(2)]
        sealed_label: ByteVec,
        /// What it signs with.
        #[n(3)]
        verify_key: VerifyKey,
    },
    /// That person may do something else from here on.
    #[n(2)]
    ProfileChange {
        /// Who.
        #[n(0)]
        user: UserId,
        /// What.
        #[n(1)]
        profile: Profile,
    },
    /// That person, with all their terminals, is no member from here on.
    #[n(3)]
    UserRevoked {
        /// Who.
        #[n(0)]
        user: UserId,
    },
    /// That terminal is not trusted from here on.
    #[n(4)]
    DeviceRevoked {
        /// Which.
        #[n(0)]
        device: DeviceId,
    },
}

impl Body {
    /// Whether a ceremony made it: a new user or device.
    #[must_use]
    pub const fn is_enrolment(&self) -> bool {
        match self {
            Self::User { .. } | Self::Device { .. } => true,
            Self::ProfileChange { .. } | Self::UserRevoked { .. } | Self::DeviceRevoked { .. } => false,
        }
    }
}

/// Nonce 24, one length byte and 64 of padded text, tag 16.
pub const SEALED_NAME_BYTES: usize = 24 + 2 + NAME_MAX_BYTES + 16;

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Payload {
    /// In which organisation.
    #[n(0)]
    pub organisation: OrganisationId,
    /// By whom.
    #[n(1)]
    pub author: Author,
    /// By the author's clock.
    #[n(2)]
    pub time: Timestamp,
    /// The author's view of the log.
    #[n(3)]
    pub seen: Head,
    /// What.
    #[n(4)]
    pub body: Body,
}

/// The payload's bytes with the signature over them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Envelope {
    /// Canonical encoding of a [`Payload`].
    #[n(0)]
    pub payload: ByteVec,
    /// Under [`Context::Certificate`].
    #[n(1)]
    pub signature: Signature,
}

impl Envelope {
    /// Reads an envelope, not yet what is inside.
    ///
    /// # Errors
    /// [`CodecError`]; more than [`CERTIFICATE_MAX_BYTES`] are not looked at.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, CERTIFICATE_MAX_BYTES)
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, author: &VerifyKey) -> Result<(), BadSignature> {
        author.verify(Context::Certificate, &self.payload, &self.signature)
    }

    /// Reads the payload. To know the author's key one has to look inside first; nothing of the body may be
    /// acted on before [`Self::verify`].
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn payload(&self) -> Result<Payload, CodecError> {
        codec::decode(&self.payload, CERTIFICATE_MAX_BYTES)
    }
}

impl Payload {
    /// Signs with `sign`, which applies [`Context::Certificate`], and returns the envelope's bytes.
    #[must_use]
    pub fn sign_with(&self, sign: impl FnOnce(Context, &[u8]) -> Signature) -> Vec<u8> {
        let payload = codec::encode(self);
        let signature = sign(Context::Certificate, &payload);
        codec::encode(&Envelope { payload: payload.into(), signature })
    }
}
