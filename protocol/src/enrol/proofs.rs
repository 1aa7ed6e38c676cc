//! The checks a ceremony rests on, each with the proof that it was made.
//!
//! Decides what a commitment is and when it opens, what "recognised" is worth, and when a claimed
//! key is its claimer's. A check that passed returns a value without content that nothing else can
//! make; the states and signatures that need the check take the value as an argument. So a
//! forgotten check doesn't compile, and the way from every key that gets certified back to the
//! checks behind it can be read from the types. (The proof of a recognised code stands beside its
//! check in `sas`, that of a verified chain in `claimer/handover`.)

use hmac::Mac as _;

use super::channel::Channel;
use super::io::Closed;
use super::messages::{self, ClaimRecord, Introduction, RECOGNISED, Recognised};
use super::sas::{hmac, keyed};
use crate::public_keys::{Context, Hash, VerifyKey};

/// Before the context of the claimer's commitment.
const COMMIT: &[u8] = b"parsec-enrol-v1 commit";
/// Before the context of the greeter's.
const ROOT: &[u8] = b"parsec-enrol-v1 root";

/// The claimer's commitment: binds its nonce before it sees the greeter's, so that somebody in the
/// middle can't try nonces until both halves of a split ceremony show the same codes.
#[must_use]
pub fn commitment(claimer_nonce: &[u8; 32], handshake: &Hash) -> Hash {
    Hash::from_bytes(hmac(claimer_nonce, &[COMMIT, handshake.as_bytes()]))
}

/// The greeter's commitment to the root key of message 7, early enough for the codes to cover it.
#[must_use]
pub fn root_commitment(greeter_nonce: &[u8; 32], handshake: &Hash, root: &VerifyKey) -> Hash {
    Hash::from_bytes(hmac(greeter_nonce, &[ROOT, handshake.as_bytes(), root.as_bytes()]))
}

/// The claimer's nonce is the one it was bound to.
pub(super) struct CommitmentOpened(());

impl CommitmentOpened {
    /// In constant time.
    ///
    /// # Errors
    /// [`Closed::CommitmentBroken`].
    pub(super) fn check(
        commitment: &Hash,
        claimer_nonce: &[u8; 32],
        handshake: &Hash,
    ) -> Result<Self, Closed> {
        keyed(claimer_nonce, &[COMMIT, handshake.as_bytes()])
            .verify_slice(commitment.as_bytes())
            .map(|()| Self(()))
            .map_err(|_| Closed::CommitmentBroken)
    }
}

/// The root key handed over is the one under the codes.
pub(super) struct RootCovered(());

impl RootCovered {
    /// In constant time.
    ///
    /// # Errors
    /// [`Closed::RootMismatch`].
    pub(super) fn check(
        commitment: &Hash,
        greeter_nonce: &[u8; 32],
        handshake: &Hash,
        root: &VerifyKey,
    ) -> Result<Self, Closed> {
        keyed(greeter_nonce, &[ROOT, handshake.as_bytes(), root.as_bytes()])
            .verify_slice(commitment.as_bytes())
            .map(|()| Self(()))
            .map_err(|_| Closed::RootMismatch)
    }
}

/// For the claimer: the greeter's device said, inside the channel, that its person found the
/// claimer's code.
pub(super) struct PeerConfirmed(());

impl PeerConfirmed {
    /// Opens message 5. No word of a server can stand for it: it has no key of the channel.
    ///
    /// # Errors
    /// [`Closed::BadMessage`].
    pub(super) fn check(channel: &mut Channel, message: &[u8]) -> Result<Self, Closed> {
        let Recognised { word } = messages::open(channel, 5, message)?;
        if word == RECOGNISED { Ok(Self(())) } else { Err(Closed::BadMessage { step: 5 }) }
    }
}

/// For the greeter: its person heard the claimer say that the greeter's code was found. The only
/// proof that no message can give: 20 of the 40 bits rest on it.
pub(super) struct HeardConfirmation(());

impl HeardConfirmation {
    /// The person's statement.
    pub(super) fn check(stated: bool) -> Option<Self> {
        stated.then_some(Self(()))
    }
}

/// The claim was made in this channel by somebody who holds the device key it names.
pub(super) struct PossessionProved(());

impl PossessionProved {
    /// Opens message 6 and checks its signature; a key of small order has none.
    ///
    /// # Errors
    /// [`Closed::BadMessage`].
    pub(super) fn check(channel: &mut Channel, message: &[u8]) -> Result<(Self, ClaimRecord), Closed> {
        let refuse = Closed::BadMessage { step: 6 };
        let Introduction { claim, possession } = messages::open(channel, 6, message)?;
        let signed = messages::possession_message(channel.handshake(), &claim);
        let key = claim.verify_key.prepare_sound().ok_or(refuse)?;
        key.verify(Context::Possession, &signed, &possession).map_err(|_| refuse)?;
        Ok((Self(()), claim))
    }
}
