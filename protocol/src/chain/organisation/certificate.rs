//! What a certificate of an organisation's log says (docs/protocol.md, *Certificates*).
//!
//! Decides the bytes of each kind. Refuses nothing: whether the author had the right to say it is a
//! question for `rules`.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::Organisation;
use crate::chain::envelope;
use crate::chain::head::Head;
use crate::ids::{DeviceId, Email, OrganisationId, Timestamp, UserId};
use crate::limits::NAME_MAX_BYTES;
use crate::public_keys::{Context, Hash, Signature, VerifyKey};
use crate::sealing::KeyHash;

/// Who signed the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Author {
    /// The organisation's root key: the first two certificates only.
    #[n(0)]
    Root,
    /// A device that an earlier certificate names.
    #[n(1)]
    Device(#[n(0)] DeviceId),
}

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Profile {
    /// Invites, certifies and revokes; uses safes.
    #[n(0)]
    Administrator,
    /// Uses and shares safes.
    #[n(1)]
    Standard,
    /// Uses safes shared with them.
    #[n(2)]
    Outsider,
}

/// What a device is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum DeviceKind {
    /// A machine that somebody works with.
    #[n(0)]
    Device,
    /// A recovery kit, kept somewhere safe. It may certify a device of its own user and say nothing
    /// else, so that whoever uses one is seen in the log.
    #[n(1)]
    Recovery,
}

/// Names one version of a user manifest (docs/protocol.md, *User manifest*): a reader who knows it
/// takes no older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct ManifestMark {
    /// Number of the version; the first is 1.
    #[n(0)]
    pub version: u64,
    /// SHA-256 of the envelope.
    #[n(1)]
    pub hash: Hash,
}

/// The statement itself. Each kind has its own tag, under the signature.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Body {
    /// This person is a member.
    #[n(0)]
    User {
        /// Id of the new user.
        #[n(0)]
        user: UserId,
        /// E-mail address that was invited.
        #[n(1)]
        email: Email,
        /// The person's name, sealed with the directory key: [`SEALED_NAME_BYTES`].
        #[n(2)]
        sealed_name: ByteVec,
        /// Hash of the key to seal to them with.
        #[n(3)]
        encryption_key: KeyHash,
        /// What they may do.
        #[n(4)]
        profile: Profile,
    },
    /// This is a device of that person.
    #[n(1)]
    Device {
        /// Id of the new device.
        #[n(0)]
        device: DeviceId,
        /// User to whom it belongs.
        #[n(1)]
        user: UserId,
        /// Its label, sealed with the directory key: [`SEALED_NAME_BYTES`].
        #[n(2)]
        sealed_label: ByteVec,
        /// What it signs with.
        #[n(3)]
        verify_key: VerifyKey,
        /// Hash of the key to seal to the device with.
        #[n(4)]
        encryption_key: KeyHash,
        /// Whether it is a recovery kit.
        #[n(5)]
        kind: DeviceKind,
    },
    /// That person may do something else from here on.
    #[n(2)]
    ProfileChange {
        /// User whose profile changes.
        #[n(0)]
        user: UserId,
        /// Profile from here on.
        #[n(1)]
        profile: Profile,
    },
    /// That person, with all their devices, is no member from here on.
    #[n(3)]
    UserRevoked {
        /// User who is revoked.
        #[n(0)]
        user: UserId,
    },
    /// That device is not trusted from here on.
    #[n(4)]
    DeviceRevoked {
        /// Device that is revoked.
        #[n(0)]
        device: DeviceId,
    },
    /// That person is sealed to with another key from here on.
    #[n(5)]
    UserKeyChanged {
        /// User whose key it is: the author's.
        #[n(0)]
        user: UserId,
        /// Hash of the key that is replaced: the present one, or the change comes too late.
        #[n(1)]
        previous: KeyHash,
        /// Hash of the key from here on.
        #[n(2)]
        encryption_key: KeyHash,
        /// Newest version of the user manifest that the author has verified.
        #[n(3)]
        manifest: Option<ManifestMark>,
        /// Devices of the user that were handed the previous key and are not in the log: at most
        /// [`ABANDONED_MAX`](crate::limits::ABANDONED_MAX), ascending.
        #[n(4)]
        abandoned: Vec<DeviceId>,
    },
    /// Names are sealed with another key from here on: somebody left who had the present one.
    #[n(6)]
    DirectoryKeyChanged {
        /// Number of the key: the present one's and 1 more.
        #[n(0)]
        number: u32,
        /// Fixes the key for everybody, and tells nobody anything of it.
        #[n(1)]
        key_check: Hash,
        /// Hash of the head of its ring, by which members get it.
        #[n(2)]
        ring: Hash,
    },
}

impl Body {
    /// The hash of the key that it certifies, if it does.
    #[must_use]
    pub const fn key_named(&self) -> Option<KeyHash> {
        match self {
            Self::User { encryption_key, .. }
            | Self::Device { encryption_key, .. }
            | Self::UserKeyChanged { encryption_key, .. } => Some(*encryption_key),
            Self::ProfileChange { .. }
            | Self::UserRevoked { .. }
            | Self::DeviceRevoked { .. }
            | Self::DirectoryKeyChanged { .. } => None,
        }
    }

    /// Whether a ceremony made it: a new user or device.
    #[must_use]
    pub const fn is_enrolment(&self) -> bool {
        match self {
            Self::User { .. } | Self::Device { .. } => true,
            Self::ProfileChange { .. }
            | Self::UserRevoked { .. }
            | Self::DeviceRevoked { .. }
            | Self::UserKeyChanged { .. }
            | Self::DirectoryKeyChanged { .. } => false,
        }
    }
}

/// Key number 4, nonce 24, two length bytes and the padded text, tag 16.
pub const SEALED_NAME_BYTES: usize = 4 + 24 + 2 + NAME_MAX_BYTES + 16;

/// What a certificate's signature covers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Payload {
    /// Organisation that it belongs to.
    #[n(0)]
    pub organisation: OrganisationId,
    /// Root key or device that signed.
    #[n(1)]
    pub author: Author,
    /// Time by the author's clock.
    #[n(2)]
    pub time: Timestamp,
    /// The author's view of the log.
    #[n(3)]
    pub seen: Head,
    /// The statement that it makes.
    #[n(4)]
    pub body: Body,
}

/// The payload's bytes with the signature over them, under [`Context::Certificate`].
pub type Envelope = envelope::Envelope<Organisation>;

impl Payload {
    /// Signs with `sign`, which applies [`Context::Certificate`], and returns the envelope's bytes.
    #[must_use]
    pub fn sign_with(&self, sign: impl FnOnce(Context, &[u8]) -> Signature) -> Vec<u8> {
        Envelope::sign(self, sign)
    }
}
