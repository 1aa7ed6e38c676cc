//! The checks of message 7 where it carries a share of a kit (docs/protocol.md, *Shares of a
//! kit*).
//!
//! Decides whether the share is the one that the kit's own plan names for the member who gives it,
//! up to the root key that the codes covered. Refuses everything that does not hang together before
//! the share itself is judged: so a share that is false is its giver's, and they are named.

use crate::chain::batch::Sequential;
use crate::chain::head::Head;
use crate::chain::organisation::certificate::DeviceKind;
use crate::chain::organisation::log::VerifiedLog;
use crate::claim_receipt::ClaimReceipt;
use crate::enrol::claimer::handover::{KeysOfClaim, SEEN_MIN, UNFIT};
use crate::enrol::io::{Closed, Prologue, ReceivedShare};
use crate::enrol::messages::ShareHandover;
use crate::enrol::proofs::RootCovered;
use crate::ids::{Invited, Label};
use crate::keys::DeviceSigningKey;
use crate::limits::LOG_MAX_CERTIFICATES;
use crate::public_keys::{Hash, VerifyKey};
use crate::share_plan::Plan;
use crate::shares::Share;

/// Message 7, opened; its log is still to be looked at.
pub(super) struct Given {
    root: VerifyKey,
    seen: Head,
    plan: Vec<u8>,
    share: Share,
    signing: DeviceSigningKey,
    handshake: Hash,
    called: Label,
}

/// Opens the share with the key of the claim.
///
/// # Errors
/// [`Closed::BadMessage`].
pub(super) fn read(
    handover: ShareHandover,
    keys: KeysOfClaim,
    handshake: Hash,
    called: Label,
    _: RootCovered,
) -> Result<Given, Closed> {
    let ShareHandover { root, seen, plan, share } = handover;
    let share = Share::open_at_claimer(&share, &handshake, &keys.device).map_err(|_| UNFIT)?;
    if !(SEEN_MIN..=LOG_MAX_CERTIFICATES).contains(&seen.count) {
        return Err(UNFIT);
    }
    Ok(Given { root, seen, plan: plan.into(), share, signing: keys.signing, handshake, called })
}

impl Given {
    /// How much of the log the greeter had seen.
    pub(super) const fn seen_count(&self) -> u64 {
        self.seen.count
    }

    /// Checks the log as far as the greeter had seen it, what it says of greeter, kit and kit's
    /// user, the plan, and the share at last. With it the receipt, to be sent once the share is
    /// durable.
    ///
    /// # Errors
    /// [`Closed::ChainInvalid`]; [`Closed::BadMessage`] for a plan that is not this kit's, or does
    /// not name the greeter; [`Closed::FalseShare`].
    pub(super) fn verify(
        self,
        prologue: &Prologue,
        log: &[Vec<u8>],
    ) -> Result<(ReceivedShare, ClaimReceipt), Closed> {
        let Invited::Share(user, kit) = prologue.invited else { return Err(UNFIT) };
        let mut chain = VerifiedLog::empty(prologue.organisation.clone(), self.root);
        // Not more than asked for: the rest would be work without use, ordered by a server.
        if log.len() as u64 != self.seen.count {
            return Err(Closed::ChainInvalid);
        }
        chain.extend_with(log, &Sequential).map_err(|_| Closed::ChainInvalid)?;
        if chain.head() != self.seen || !is_standing_greeter(&chain, prologue) {
            return Err(Closed::ChainInvalid);
        }
        let plan = Plan::standing(&self.plan, &chain).map_err(|_| UNFIT)?;
        if (plan.user, plan.kit) != (user, kit) || plan.share_of(&prologue.greeter_user).is_none() {
            return Err(UNFIT);
        }
        if !self.share.is_named(&plan, &prologue.greeter_user) {
            return Err(Closed::FalseShare(prologue.greeter_user));
        }
        let email = chain.user(&user).map(|user| user.email.clone()).ok_or(Closed::ChainInvalid)?;
        let opened = self.share.opened();
        let receipt = ClaimReceipt::sign(&self.signing, self.handshake, Vec::new(), self.root, opened);
        let received = ReceivedShare {
            organisation: prologue.organisation.clone(),
            user,
            email,
            kit,
            root: self.root,
            seen: self.seen,
            giver: prologue.greeter_user,
            plan: self.plan,
            threshold: plan.threshold,
            share: self.share,
            device_label: self.called,
        };
        Ok((received, receipt))
    }
}

/// Whether the log knows the greeter of the prologue as that user's device, neither revoked: who
/// was put out of an organisation brings nobody back into it.
fn is_standing_greeter(chain: &VerifiedLog, prologue: &Prologue) -> bool {
    let device = chain.device(&prologue.greeter_device).filter(|device| {
        device.user == prologue.greeter_user && device.kind == DeviceKind::Device && device.revoked.is_none()
    });
    let user = chain.user(&prologue.greeter_user).filter(|user| user.revoked.is_none());
    device.is_some() && user.is_some()
}
