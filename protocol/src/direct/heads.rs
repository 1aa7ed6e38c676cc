//! A device's word for where a safe's logs end, and the organisation's beside it.
//!
//! Decides what is signed. Believes none of it: a head is compared with what the server has shown
//! here, and nothing of it is taken in.

use minicbor::{Decode, Encode};

use crate::chain::head::Head;
use crate::codec;
use crate::evidence::head::SignedHead;
use crate::ids::{DeviceId, OrganisationId, SafeId, Timestamp};
use crate::public_keys::{Context, Signature, VerifyKey};

/// `[device id, time, log, journal, signature]`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SignedSafeHeads {
    /// Device that gave the word.
    #[n(0)]
    pub device: DeviceId,
    /// Time by its clock.
    #[n(1)]
    pub time: Timestamp,
    /// Head through which the safe's log goes.
    #[n(2)]
    pub log: Head,
    /// The same of its journal.
    #[n(3)]
    pub journal: Head,
    /// Signature under [`Context::SafeHead`].
    #[n(4)]
    pub signature: Signature,
}

/// What the signature covers.
#[derive(Encode)]
struct Signed<'a> {
    #[n(0)]
    organisation: &'a OrganisationId,
    #[n(1)]
    safe: &'a SafeId,
    #[n(2)]
    device: &'a DeviceId,
    #[n(3)]
    time: &'a Timestamp,
    #[n(4)]
    log: &'a Head,
    #[n(5)]
    journal: &'a Head,
}

impl SignedSafeHeads {
    /// A device's word for where a safe's log and journal end, signed with `sign`.
    #[must_use]
    pub fn of(
        (organisation, safe): (&OrganisationId, &SafeId),
        [log, journal]: [Head; 2],
        device: DeviceId,
        time: Timestamp,
        sign: impl FnOnce(Context, &[u8]) -> Signature,
    ) -> Self {
        let message = codec::encode(&Signed {
            organisation,
            safe,
            device: &device,
            time: &time,
            log: &log,
            journal: &journal,
        });
        Self { device, time, log, journal, signature: sign(Context::SafeHead, &message) }
    }

    /// Whether the device with this key gave the word, for this safe.
    #[must_use]
    pub fn is_by(&self, organisation: &OrganisationId, safe: &SafeId, key: &VerifyKey) -> bool {
        let message = codec::encode(&Signed {
            organisation,
            safe,
            device: &self.device,
            time: &self.time,
            log: &self.log,
            journal: &self.journal,
        });
        key.verify(Context::SafeHead, &message, &self.signature).is_ok()
    }

    /// Both heads, the log's first.
    #[must_use]
    pub const fn heads(&self) -> [Head; 2] {
        [self.log, self.journal]
    }
}

/// Where the organisation's log and a safe's two end, by one device.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Word {
    /// Head of the organisation's log.
    #[n(0)]
    pub organisation: SignedHead,
    /// The safe's log and journal.
    #[n(1)]
    pub safe: SignedSafeHeads,
}

impl Word {
    /// How far each log goes: the organisation's, the safe's, the journal.
    #[must_use]
    pub const fn counts(&self) -> [u64; 3] {
        [self.organisation.head.count, self.safe.log.count, self.safe.journal.count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::DeviceSigningKey;
    use crate::public_keys::Hash;

    #[test]
    fn a_word_counts_for_its_safe_its_device_and_its_heads_alone() {
        let key = DeviceSigningKey::from_bytes(&mut [7; 32]);
        let organisation: OrganisationId = "acme".parse().unwrap();
        let safe = SafeId::from_bytes([1; 16]);
        let head = |count| Head { count, hash: Hash::of(&[b"head"]) };
        let device = DeviceId::from_bytes([2; 16]);
        let sign = |context, message: &[u8]| key.sign(context, message);
        let word =
            SignedSafeHeads::of((&organisation, &safe), [head(1), head(9)], device, Timestamp(5), sign);
        assert!(word.is_by(&organisation, &safe, &key.verify_key()));
        assert!(!word.is_by(&organisation, &SafeId::from_bytes([3; 16]), &key.verify_key()));
        let other = DeviceSigningKey::from_bytes(&mut [8; 32]);
        assert!(!word.is_by(&organisation, &safe, &other.verify_key()));
        let moved = SignedSafeHeads { journal: head(10), ..word };
        assert!(!moved.is_by(&organisation, &safe, &key.verify_key()));
    }
}
