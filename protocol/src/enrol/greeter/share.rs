//! The moment in which a share is given: to whom, and what exactly.
//!
//! Decides by the greeter's verified log that the kit stands, and that the share is the one that
//! its plan names for this member: what is given here is what the other side will check. Refuses
//! without the proofs of both recognitions: they are arguments. Nothing is certified, so nothing
//! has to outlast a crash.

use crate::claim_receipt::ClaimReceipt;
use crate::codec;
use crate::enrol::greeter::approval::{self, Basis, Proofs};
use crate::enrol::io::{Closed, Refused};
use crate::enrol::messages::{RECEIPT_MAX_BYTES, ShareHandover};
use crate::ids::Invited;
use crate::keys::Entropy;
use crate::public_keys::{Hash, VerifyKey};
use crate::share_plan::Plan;

/// What message 8 has to be for what was given.
pub(super) struct GivenShare {
    verify_key: VerifyKey,
    handshake: Hash,
    root: VerifyKey,
    opened: Hash,
}

/// Makes message 7 with the greeter's own share.
///
/// # Errors
/// [`Refused::WrongIdentity`] where a name was given; [`Refused::MayNotCertify`] where the greeter
/// does not stand in the log; [`Refused::NoShare`]; [`Refused::NoEntropy`].
pub(super) fn give(
    basis: &Basis<'_>,
    _: Proofs<'_>,
    entropy: &mut dyn Entropy,
) -> Result<(GivenShare, ShareHandover), Refused> {
    let Basis { prologue, root, claim, approval, handshake } = *basis;
    let greeter = approval::greeter(basis)?;
    if approval.name.is_some() || claim.name.is_some() || claim.encryption_key.is_some() {
        return Err(Refused::WrongIdentity);
    }
    let held = approval.share.ok_or(Refused::NoShare)?;
    let plan = Plan::standing(&held.plan, approval.log).map_err(|_| Refused::NoShare)?;
    let asked = Invited::Share(plan.user, plan.kit) == prologue.invited;
    if !asked || !held.share.is_named(&plan, &greeter.user) {
        return Err(Refused::NoShare);
    }
    let share = held.share.seal_to_claimer(handshake, &claim.device_key, entropy)?;
    let handover = ShareHandover {
        root: *root,
        seen: approval.log.head(),
        plan: held.plan.clone().into(),
        share: share.into(),
    };
    let given = GivenShare {
        verify_key: claim.verify_key,
        handshake: *handshake,
        root: *root,
        opened: held.share.opened(),
    };
    Ok((given, handover))
}

impl GivenShare {
    /// Checks message 8: the claimer's receipt over no certificate, with proof that the share was
    /// opened.
    ///
    /// # Errors
    /// [`Closed::BadReceipt`].
    pub(super) fn open_receipt(&self, message: &[u8]) -> Result<ClaimReceipt, Closed> {
        let receipt: ClaimReceipt =
            codec::decode(message, RECEIPT_MAX_BYTES).map_err(|_| Closed::BadReceipt)?;
        let fits = receipt.handshake == self.handshake
            && receipt.root == self.root
            && receipt.opened == self.opened
            && receipt.certificates.is_empty()
            && receipt.verify(&self.verify_key).is_ok();
        if fits { Ok(receipt) } else { Err(Closed::BadReceipt) }
    }
}
