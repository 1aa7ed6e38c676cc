//! Shares of a recovery kit: how its 32 bytes are split among members and put together
//! (docs/protocol.md, *Shares of a kit*).
//!
//! Decides which shares go together, and that what comes out is the kit of the plan: Shamir's
//! scheme itself tells nobody that a share is wrong. Refuses a share that the plan does not name,
//! and says whose it is. This file sees a kit's bytes: it splits them. The field's arithmetic is
//! `vsss-rs`'s, which goes through no table and takes no branch on a secret.

use std::convert::Infallible;

use minicbor::{Decode, Encode};
use rand_core::{TryCryptoRng, TryRng};
use vsss_rs::Gf256;
use zeroize::Zeroizing;

use crate::codec;
use crate::ids::{DeviceId, OrganisationId, UserId};
use crate::keys::{DeviceSeed, Entropy, KitSeed, NoEntropy, ShareSecret, UserSeed, then_wipe_stack};
use crate::public_keys::Hash;
use crate::sealing::{EncryptionKey, KeyHash, OpenError, Randomness, seal};
use crate::share_plan::{COMMITMENT, Plan, PlanMember, SHARE_BOX_BYTES, SHARES_MAX, THRESHOLD_MIN};

/// The use of a member's box with their share.
const SHARE_BOX: &str = "parsec-share-box-v1";
/// The use of the box by which a share is given in a ceremony.
const HANDOVER: &str = "parsec-share-handover-v1";
/// Keeps the hash of what was opened apart from every other (docs/protocol.md, *Message 8*).
const OPENED: &[u8] = b"parsec-opened-v1\0";
/// Largest plaintext of a box: a number below 24 and 32 bytes, in an array.
const PLAINTEXT_MAX_BYTES: usize = 36;

/// What a member's box is bound to.
#[derive(Encode)]
struct BoxUse<'a>(
    #[n(0)] &'static str,
    #[n(1)] &'a OrganisationId,
    #[n(2)] DeviceId,
    #[n(3)] UserId,
    #[n(4)] KeyHash,
);

/// What the box of a ceremony is bound to.
#[derive(Encode)]
struct HandoverUse<'a>(#[n(0)] &'static str, #[n(1)] &'a Hash);

/// What a commitment is over.
#[derive(Encode)]
struct Committed<'a> {
    #[n(0)]
    organisation: &'a OrganisationId,
    #[n(1)]
    kit: DeviceId,
    #[n(2)]
    number: u8,
    #[n(3)]
    secret: &'a ShareSecret,
}

/// One member's share. Its form in boxes and on disk is this struct's encoding.
#[derive(Debug, Encode, Decode)]
pub struct Share {
    /// Place of its member in the plan, from 1.
    #[n(0)]
    pub number: u8,
    /// The values of the 32 polynomials at that number.
    #[n(1)]
    pub secret: ShareSecret,
}

/// A kit can't be split so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SplitFault {
    /// Too few, too many, somebody twice, or the kit's own user.
    #[error("a kit is split among 2 to {SHARES_MAX} others, of whom at least 2 are needed")]
    Members,
    /// The random source failed.
    #[error("the system's random source failed")]
    NoEntropy,
}

impl From<NoEntropy> for SplitFault {
    fn from(NoEntropy: NoEntropy) -> Self {
        Self::NoEntropy
    }
}

/// What can't be put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CombineFault {
    /// There are fewer shares than the plan needs, none counted twice.
    #[error("there are fewer shares than the plan needs")]
    TooFew,
    /// This member's share is not the one that the plan names.
    #[error("a share is not the one that the plan names")]
    FalseShare(UserId),
    /// What comes out is not the kit of the plan: its maker split something else.
    #[error("the shares do not give the kit of the plan")]
    OtherKit,
}

/// The daemon's randomness as the splitting library wants it, which knows of no failure: one is
/// remembered, and nothing that was drawn is used then.
struct Drawn<'a> {
    entropy: &'a mut dyn Entropy,
    failed: bool,
}

impl TryRng for Drawn<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.failed |= self.entropy.fill(bytes).is_err();
        Ok(())
    }
}

impl TryCryptoRng for Drawn<'_> {}

/// Splits a kit among members: the plan, not signed yet, and the shares in its order.
///
/// # Errors
/// [`SplitFault`].
pub fn split(
    seed: &KitSeed,
    organisation: &OrganisationId,
    owner: UserId,
    threshold: u8,
    members: &[UserId],
    entropy: &mut dyn Entropy,
) -> Result<(Plan, Vec<Share>), SplitFault> {
    let mut members = members.to_vec();
    members.sort_unstable();
    let twice = members.windows(2).any(|pair| matches!(pair, [one, next] if one == next));
    let allowed = (usize::from(THRESHOLD_MIN)..=SHARES_MAX).contains(&members.len())
        && (THRESHOLD_MIN..).contains(&threshold)
        && usize::from(threshold) <= members.len();
    if !allowed || twice || members.contains(&owner) {
        return Err(SplitFault::Members);
    }
    let mut drawn = Drawn { entropy, failed: false };
    let made = then_wipe_stack(|| {
        Gf256::split_bytes(usize::from(threshold), members.len(), seed.expose(), &mut drawn)
    });
    // It refuses what was refused above, and nothing else.
    let made: Vec<Zeroizing<Vec<u8>>> =
        made.map_err(|_| SplitFault::Members)?.into_iter().map(Zeroizing::new).collect();
    if drawn.failed {
        return Err(SplitFault::NoEntropy);
    }
    let kit = seed.keys(organisation).device;
    let mut shares = Vec::with_capacity(made.len());
    for (place, bytes) in (1..).zip(&made) {
        match bytes.split_first() {
            Some((number, values)) if *number == place => {
                let secret = ShareSecret::from_slice(values).ok_or(SplitFault::Members)?;
                shares.push(Share { number: place, secret });
            }
            Some(_) | None => return Err(SplitFault::Members),
        }
    }
    let named = members.iter().zip(&shares);
    let members = named.map(|(user, share)| {
        let commitment = share.commitment(organisation, kit);
        PlanMember { user: *user, commitment }
    });
    let members = members.collect();
    Ok((Plan { organisation: organisation.clone(), user: owner, kit, threshold, members }, shares))
}

/// Puts a kit together, of shares that members of the plan gave.
///
/// # Errors
/// [`CombineFault`].
pub fn combine(plan: &Plan, given: &[(UserId, &Share)]) -> Result<KitSeed, CombineFault> {
    let mut used: Vec<Zeroizing<Vec<u8>>> = Vec::with_capacity(SHARES_MAX);
    for (user, share) in given {
        if !share.is_named(plan, user) {
            return Err(CombineFault::FalseShare(*user));
        }
        if used.iter().any(|one| one.first() == Some(&share.number)) {
            continue;
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(33));
        bytes.push(share.number);
        bytes.extend_from_slice(share.secret.expose());
        used.push(bytes);
    }
    if used.len() < usize::from(plan.threshold) {
        return Err(CombineFault::TooFew);
    }
    used.truncate(usize::from(plan.threshold));
    let mut used: Vec<Vec<u8>> = used.iter_mut().map(|bytes| std::mem::take(&mut **bytes)).collect();
    let whole = then_wipe_stack(|| Gf256::combine_bytes(&used)).map(Zeroizing::new);
    used.iter_mut().for_each(zeroize::Zeroize::zeroize);
    let seed = whole.ok().and_then(|bytes| KitSeed::from_slice(&bytes)).ok_or(CombineFault::OtherKit)?;
    if seed.keys(&plan.organisation).device == plan.kit { Ok(seed) } else { Err(CombineFault::OtherKit) }
}

impl Share {
    /// What the plan names it by.
    #[must_use]
    pub fn commitment(&self, organisation: &OrganisationId, kit: DeviceId) -> Hash {
        let of = Committed { organisation, kit, number: self.number, secret: &self.secret };
        let encoded = Zeroizing::new(codec::encode(&of));
        then_wipe_stack(|| Hash::of(&[COMMITMENT, &encoded]))
    }

    /// Whether it is the one that the plan names for this member.
    #[must_use]
    pub fn is_named(&self, plan: &Plan, user: &UserId) -> bool {
        plan.share_of(user) == Some((self.number, self.commitment(&plan.organisation, plan.kit)))
    }

    /// What message 8 of the ceremony shows of it.
    pub(crate) fn opened(&self) -> Hash {
        let plaintext = Zeroizing::new(codec::encode(self));
        then_wipe_stack(|| Hash::of(&[OPENED, &plaintext]))
    }

    /// Seals it to its member's key: [`SHARE_BOX_BYTES`].
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn seal_to_member(
        &self,
        plan: &Plan,
        member: UserId,
        key: &EncryptionKey,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<u8>, NoEntropy> {
        self.seal(key, &box_use(plan, member, key.hash()), entropy)
    }

    /// Opens a member's box, with the seed of the key that it was sealed to.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_of_member(
        sealed: &[u8],
        plan: &Plan,
        member: UserId,
        seed: &UserSeed,
    ) -> Result<Self, OpenError> {
        let info = box_use(plan, member, seed.encryption_key().hash());
        read(seed.open(sealed, &info, &[])?.expose())
    }

    /// Seals it for the claimer of a ceremony.
    pub(crate) fn seal_to_claimer(
        &self,
        handshake: &Hash,
        key: &EncryptionKey,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<u8>, NoEntropy> {
        self.seal(key, &codec::encode(&HandoverUse(HANDOVER, handshake)), entropy)
    }

    /// Opens what a ceremony's greeter sealed.
    pub(crate) fn open_at_claimer(
        sealed: &[u8],
        handshake: &Hash,
        seed: &DeviceSeed,
    ) -> Result<Self, OpenError> {
        read(seed.open(sealed, &codec::encode(&HandoverUse(HANDOVER, handshake)), &[])?.expose())
    }

    fn seal(
        &self,
        key: &EncryptionKey,
        info: &[u8],
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<u8>, NoEntropy> {
        let plaintext = Zeroizing::new(codec::encode(self));
        let sealed = seal(key, info, &[], &plaintext, Randomness::random(entropy)?);
        #[expect(
            clippy::expect_used,
            reason = "fails only for a use of over 1,024 bytes; both have under 250"
        )]
        let sealed = sealed.expect("a share can be sealed");
        debug_assert_eq!(sealed.len(), SHARE_BOX_BYTES);
        Ok(sealed)
    }
}

fn box_use(plan: &Plan, member: UserId, key: KeyHash) -> Vec<u8> {
    codec::encode(&BoxUse(SHARE_BOX, &plan.organisation, plan.kit, member, key))
}

fn read(plaintext: &[u8]) -> Result<Share, OpenError> {
    codec::decode(plaintext, PLAINTEXT_MAX_BYTES).map_err(|_| OpenError)
}

#[cfg(test)]
mod tests;
