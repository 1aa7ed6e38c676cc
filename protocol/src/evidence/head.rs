//! A signed head: a device's word that the organisation's log passes through a place.
//!
//! Decides what is signed and when such a word counts. Refuses one by a device that the log at
//! hand doesn't know, or has revoked.

use minicbor::{Decode, Encode};

use super::HeadFault;
use crate::chain::export;
use crate::chain::head::Head;
use crate::chain::organisation::Organisation;
use crate::chain::organisation::certificate::{Author, DeviceKind};
use crate::chain::organisation::log::VerifiedLog;
use crate::codec;
use crate::ids::{DeviceId, OrganisationId, Timestamp};
use crate::public_keys::{Context, Signature, VerifyKey};

/// Largest encoding of a [`SignedHead`]: five short fields.
pub const SIGNED_HEAD_MAX_BYTES: usize = 256;

/// `[device id, time, head, signature]`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SignedHead {
    /// Device that gave the word.
    #[n(0)]
    pub device: DeviceId,
    /// Time by its clock.
    #[n(1)]
    pub time: Timestamp,
    /// Head through which the log goes.
    #[n(2)]
    pub head: Head,
    /// Signature under [`Context::Head`].
    #[n(3)]
    pub signature: Signature,
}

/// What the signature covers.
#[derive(Encode)]
struct Signed<'a> {
    #[n(0)]
    organisation: &'a OrganisationId,
    #[n(1)]
    root: &'a VerifyKey,
    #[n(2)]
    device: &'a DeviceId,
    #[n(3)]
    time: &'a Timestamp,
    #[n(4)]
    head: &'a Head,
}

impl SignedHead {
    /// A device's word for the head of `log`, signed with `sign`, which applies
    /// [`Context::Head`].
    #[must_use]
    pub fn of(
        log: &VerifiedLog,
        device: DeviceId,
        time: Timestamp,
        sign: impl FnOnce(Context, &[u8]) -> Signature,
    ) -> Self {
        let head = log.head();
        let (organisation, root) = (log.organisation(), log.root());
        let message =
            codec::encode(&Signed { organisation, root, device: &device, time: &time, head: &head });
        Self { device, time, head, signature: sign(Context::Head, &message) }
    }

    /// Checks that a device of `log`, not revoked at its end, gave its word for a head that the
    /// log passes through.
    ///
    /// # Errors
    /// [`HeadFault`].
    pub fn check(&self, log: &VerifiedLog) -> Result<(), HeadFault> {
        // A recovery kit gives its word for nothing.
        let device = log.device(&self.device).filter(|device| device.kind == DeviceKind::Device);
        let device = device.ok_or(HeadFault::UnknownDevice)?;
        let revoked =
            device.revoked.is_some() || log.user(&device.user).is_none_or(|user| user.revoked.is_some());
        if revoked {
            return Err(HeadFault::Revoked);
        }
        let message = codec::encode(&Signed {
            organisation: log.organisation(),
            root: log.root(),
            device: &self.device,
            time: &self.time,
            head: &self.head,
        });
        device
            .verify_key
            .verify(Context::Head, &message, &self.signature)
            .map_err(|_| HeadFault::Signature)?;
        if log.extends(&self.head) { Ok(()) } else { Err(HeadFault::Elsewhere) }
    }
}

impl export::SignedHead<Organisation> for SignedHead {
    type Fault = HeadFault;

    fn word(&self) -> (Author, Timestamp, Head) {
        (Author::Device(self.device), self.time, self.head)
    }

    fn check(&self, log: &VerifiedLog, (): &()) -> Result<(), HeadFault> {
        Self::check(self, log)
    }
}
