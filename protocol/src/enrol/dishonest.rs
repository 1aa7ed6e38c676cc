//! An end of the channel that says what it likes. For the lab and the tests: no shipped daemon has
//! this file in it.
//!
//! Decides nothing: it seals any words in any order, with keys that it makes for the purpose and
//! throws away. Refuses to be of use without link and prologue, as everybody is; it breaks no
//! cipher and opens nothing that was not sealed for it. What it says is read by the machines under
//! test alone.

use super::boxes;
use super::channel::{Channel, Handshake};
use super::io::{Claim, Prologue};
use super::messages::{
    self, ClaimRecord, Commit, GreeterReply, Handover, Introduction, Nonce, RECOGNISED, Recognised, Reveal,
};
use super::proofs;
use super::sas::{Codes, SasInputs};
use crate::claim_receipt::ClaimReceipt;
use crate::codec;
use crate::ids::Label;
use crate::keys::{DeviceSeed, DeviceSigningKey, Entropy, LinkSecret, NoEntropy, UserSeed};
use crate::public_keys::{Context, Hash, VerifyKey};

/// Makes a handshake whose private key is zero: in the build that lets it pass, its public key is
/// the point zero.
pub(crate) struct Zeros;

impl Entropy for Zeros {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        bytes.fill(0);
        Ok(())
    }
}

/// A call to a greeter that was not answered yet.
pub(crate) struct Calling(Handshake);

impl Calling {
    /// Message 0.
    pub(crate) fn out(
        prologue: &Prologue,
        secret: &LinkSecret,
        entropy: &mut dyn Entropy,
    ) -> Option<(Self, Vec<u8>)> {
        let mut handshake = Handshake::new(true, prologue, secret, entropy).ok()?;
        let first = handshake.write().ok()?;
        Some((Self(handshake), first))
    }

    /// Message 1 came.
    pub(crate) fn connected(mut self, second: &[u8]) -> Option<FalseEnd> {
        self.0.read(1, second).ok()?;
        Some(FalseEnd { channel: self.0.finish() })
    }
}

/// What a greeter says in message 3.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply {
    pub(crate) nonce: [u8; 32],
    pub(crate) root_commitment: Hash,
    pub(crate) typing_required: bool,
}

/// Keys of its own, to be certified for somebody else's.
pub(crate) struct FalseKeys {
    pub(crate) signing: DeviceSigningKey,
    pub(crate) device: DeviceSeed,
    pub(crate) user: UserSeed,
}

impl FalseKeys {
    pub(crate) fn random(entropy: &mut dyn Entropy) -> Result<Self, NoEntropy> {
        Ok(Self {
            signing: DeviceSigningKey::random(entropy)?,
            device: DeviceSeed::random(entropy)?,
            user: UserSeed::random(entropy)?,
        })
    }
}

/// What a greeter signed and handed over to whom it took for the newcomer.
pub(crate) struct Booty {
    pub(crate) certificates: Vec<Vec<u8>>,
    root: VerifyKey,
    /// What message 8 must show; zero bytes where the boxes did not open.
    opened: Hash,
}

/// A finished channel.
pub(crate) struct FalseEnd {
    pub(super) channel: Channel,
}

impl FalseEnd {
    /// Answers message 0 as a greeter would; message 1.
    pub(crate) fn answer(
        prologue: &Prologue,
        secret: &LinkSecret,
        first: &[u8],
        entropy: &mut dyn Entropy,
    ) -> Option<(Self, Vec<u8>)> {
        let mut handshake = Handshake::new(false, prologue, secret, entropy).ok()?;
        handshake.read(0, first).ok()?;
        let second = handshake.write().ok()?;
        Some((Self { channel: handshake.finish() }, second))
    }

    /// Seals anything.
    pub(crate) fn say(&mut self, plaintext: &[u8]) -> Vec<u8> {
        self.channel.seal(plaintext)
    }

    /// Message 2, bound to a nonce as the protocol wants it.
    pub(crate) fn commit(&mut self, nonce: &[u8; 32]) -> Vec<u8> {
        let commitment = proofs::commitment(nonce, self.channel.handshake());
        self.commit_to(commitment)
    }

    /// Message 2 with any 32 bytes in it.
    pub(crate) fn commit_to(&mut self, commitment: Hash) -> Vec<u8> {
        self.say(&codec::encode(&Commit { commitment }))
    }

    /// Message 3.
    pub(crate) fn reply(&mut self, reply: &Reply) -> Vec<u8> {
        let Reply { nonce, root_commitment, typing_required } = *reply;
        self.say(&codec::encode(&GreeterReply { nonce: Nonce(nonce), root_commitment, typing_required }))
    }

    /// What message 3 says of a root key of one's own.
    pub(crate) fn root_commitment(&self, nonce: &[u8; 32], root: &VerifyKey) -> Hash {
        proofs::root_commitment(nonce, self.channel.handshake(), root)
    }

    /// Message 4.
    pub(crate) fn reveal(&mut self, nonce: &[u8; 32]) -> Vec<u8> {
        self.say(&codec::encode(&Reveal { nonce: Nonce(*nonce) }))
    }

    /// Message 5.
    pub(crate) fn recognised(&mut self) -> Vec<u8> {
        self.say(&codec::encode(&Recognised { word: RECOGNISED }))
    }

    /// Message 6: a claim with these keys, and the proof that its sender holds them.
    pub(crate) fn introduce(
        &mut self,
        name: Option<Label>,
        device_label: Label,
        keys: &FalseKeys,
    ) -> Vec<u8> {
        let claim = ClaimRecord {
            encryption_key: name.is_some().then(|| keys.user.encryption_key()),
            name,
            device_label,
            verify_key: keys.signing.verify_key(),
            device_key: keys.device.encryption_key(),
        };
        let signed = messages::possession_message(self.channel.handshake(), &claim);
        let possession = keys.signing.sign(Context::Possession, &signed);
        self.say(&codec::encode(&Introduction { claim, possession }))
    }

    /// Message 8 for what was handed over.
    pub(crate) fn receipt(&self, booty: &Booty, signing: &DeviceSigningKey) -> Vec<u8> {
        let certified = booty.certificates.iter().map(|bytes| Hash::of(&[bytes])).collect();
        let handshake = *self.channel.handshake();
        codec::encode(&ClaimReceipt::sign(signing, handshake, certified, booty.root, booty.opened))
    }

    /// Reads message 2.
    pub(crate) fn hear_commitment(&mut self, bytes: &[u8]) -> Option<Hash> {
        messages::open(&mut self.channel, 2, bytes).ok().map(|Commit { commitment }| commitment)
    }

    /// Reads message 3.
    pub(crate) fn hear_reply(&mut self, bytes: &[u8]) -> Option<Reply> {
        let GreeterReply { nonce, root_commitment, typing_required } =
            messages::open(&mut self.channel, 3, bytes).ok()?;
        Some(Reply { nonce: nonce.0, root_commitment, typing_required })
    }

    /// Reads message 4.
    pub(crate) fn hear_nonce(&mut self, bytes: &[u8]) -> Option<[u8; 32]> {
        messages::open(&mut self.channel, 4, bytes).ok().map(|Reveal { nonce }| nonce.0)
    }

    /// Reads message 5.
    pub(crate) fn hear_recognised(&mut self, bytes: &[u8]) -> bool {
        messages::open::<Recognised>(&mut self.channel, 5, bytes).is_ok()
    }

    /// Reads message 6.
    pub(crate) fn hear_claim(&mut self, bytes: &[u8]) -> Option<Claim> {
        messages::open(&mut self.channel, 6, bytes).ok().map(|Introduction { claim, .. }| claim.into())
    }

    /// Reads message 7, and its boxes as far as these keys open them.
    pub(crate) fn hear_handover(&mut self, bytes: &[u8], keys: &FalseKeys) -> Option<Booty> {
        let handover: Handover = messages::open(&mut self.channel, 7, bytes).ok()?;
        Some(self.booty(handover, keys))
    }

    /// What there is in a message 7 that was read.
    pub(super) fn booty(&self, handover: Handover, keys: &FalseKeys) -> Booty {
        let Handover { root, certificates, secrets, challenges, .. } = handover;
        let user = (challenges.len() > 1).then_some(&keys.user);
        let found = boxes::open(self.channel.handshake(), &keys.device, user, &secrets, &challenges);
        let opened = found.map_or(Hash::from_bytes([0; 32]), |found| found.opened);
        Booty { root, certificates: certificates.into_iter().map(Vec::from).collect(), opened }
    }

    /// The codes that whoever speaks honestly on this channel sees.
    pub(crate) fn codes(&self, claimer_nonce: &[u8; 32], reply: &Reply) -> Codes {
        Codes::derive(&SasInputs {
            split_keys: self.channel.split_keys(),
            handshake: self.channel.handshake(),
            claimer_nonce,
            greeter_nonce: &reply.nonce,
            root_commitment: &reply.root_commitment,
            typing_required: reply.typing_required,
        })
    }
}
