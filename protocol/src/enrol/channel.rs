//! The channel under the ceremony: `Noise_NNpsk0_25519_ChaChaPoly_SHA256` (docs/protocol.md,
//! *Channel*).
//!
//! Decides how the library is driven: which prologue, which pre-shared key, whose randomness.
//! Refuses every message of another length than the protocol's, every X25519 public key that has a
//! second spelling or a small order, and a Diffie-Hellman result of zeros, all before a code
//! exists. The library has no random generator of its own here: it is given the 32 bytes of one
//! ephemeral key and fails if it asks for more.

use std::cell::Cell;
use std::fmt;

use hkdf::Hkdf;
use minicbor::Encode;
use sha2::Sha256;
use snow::params::{CipherChoice, DHChoice, HashChoice, NoiseParams};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash as SnowHash, Random};
use snow::{Builder, HandshakeState, TransportState};
use subtle::ConstantTimeEq as _;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::io::{Closed, Prologue, TransportKind};
use crate::codec;
use crate::ids::{DeviceId, Invited, OrganisationId, Token, UserId};
use crate::keys::{Entropy, LinkSecret, NoEntropy};
use crate::limits::STEP_MAX_BYTES;
use crate::public_keys::{Hash, PeerKey, is_sound_x25519};

/// Noise's name for what is spoken.
const NOISE: &str = "Noise_NNpsk0_25519_ChaChaPoly_SHA256";
/// An ephemeral key and the tag of an empty payload: messages 0 and 1.
pub const HANDSHAKE_MESSAGE_BYTES: usize = 48;
/// What a transport message is longer than its content.
pub const TAG_BYTES: usize = 16;

/// What both sides must agree on before the first message, as hashed into the handshake.
#[derive(Encode)]
struct PrologueRecord<'a> {
    #[n(0)]
    protocol: &'static str,
    #[n(1)]
    version: u8,
    #[n(2)]
    organisation: &'a OrganisationId,
    #[n(3)]
    token: &'a Token,
    #[n(4)]
    invited: &'a Invited,
    #[n(5)]
    greeter_user: &'a UserId,
    #[n(6)]
    greeter_device: &'a DeviceId,
    #[n(7)]
    transport: u8,
    #[n(8)]
    peer: Option<PeerKey>,
}

/// The prologue's bytes (docs/protocol.md, *Prologue*).
#[must_use]
pub fn prologue_bytes(prologue: &Prologue) -> Vec<u8> {
    let Prologue { organisation, token, invited, greeter_user, greeter_device, transport } = prologue;
    let (transport, peer) = match transport {
        TransportKind::Relay => (0, None),
        TransportKind::PeerToPeer { peer } => (1, Some(*peer)),
    };
    codec::encode(&PrologueRecord {
        protocol: "parsec-enrol",
        version: 1,
        organisation,
        token,
        invited,
        greeter_user,
        greeter_device,
        transport,
        peer,
    })
}

/// The pre-shared key: keeps out everyone who has not seen the link. It is not what makes the
/// ceremony safe.
#[must_use]
pub fn pre_shared_key(secret: &LinkSecret) -> Zeroizing<[u8; 32]> {
    let mut psk = Zeroizing::new([0; 32]);
    #[expect(clippy::expect_used, reason = "HKDF-SHA256 gives up to 8,160 bytes; 32 are asked for")]
    Hkdf::<Sha256>::new(None, secret.expose())
        .expand(b"parsec-enrol-v1 psk", psk.as_mut_slice())
        .expect("32 bytes can be derived");
    psk
}

/// A handshake of which this side has not finished its part.
pub(super) struct Handshake {
    state: Box<HandshakeState>,
}

impl Handshake {
    /// Draws this side's ephemeral key and prepares. The claimer initiates.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub(super) fn new(
        initiator: bool,
        prologue: &Prologue,
        secret: &LinkSecret,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, NoEntropy> {
        let mut ephemeral = Zeroizing::new([0; 32]);
        entropy.fill(ephemeral.as_mut_slice())?;
        let psk = pre_shared_key(secret);
        let state = build(initiator, &prologue_bytes(prologue), &psk, ephemeral);
        #[expect(
            clippy::expect_used,
            reason = "every input is of fixed length and present; any handshake in the tests runs through here"
        )]
        let state = Box::new(state.expect("the Noise pattern is one the library knows"));
        Ok(Self { state })
    }

    /// This side's half: message 0 or 1.
    ///
    /// # Errors
    /// [`Closed::BadKey`] for the greeter, whose half contains the Diffie-Hellman result.
    pub(super) fn write(&mut self) -> Result<Vec<u8>, Closed> {
        let mut message = vec![0; HANDSHAKE_MESSAGE_BYTES];
        self.state.write_message(&[], &mut message).map_err(|_| Closed::BadKey)?;
        Ok(message)
    }

    /// The other side's half.
    ///
    /// # Errors
    /// [`Closed::BadMessage`] for another length, [`Closed::BadKey`], [`Closed::WrongLink`] if it
    /// doesn't open.
    pub(super) fn read(&mut self, step: u8, message: &[u8]) -> Result<(), Closed> {
        if message.len() != HANDSHAKE_MESSAGE_BYTES {
            return Err(Closed::BadMessage { step });
        }
        let key = message.first_chunk().ok_or(Closed::BadMessage { step })?;
        // Before the library sees it: it would mix a second spelling of a key into the transcript
        // as another key.
        if !is_sound_x25519(key) {
            return Err(Closed::BadKey);
        }
        self.state.read_message(message, &mut []).map(|_| ()).map_err(|error| match error {
            snow::Error::Dh => Closed::BadKey,
            _ => Closed::WrongLink,
        })
    }

    /// The channel, once both halves are through.
    pub(super) fn finish(mut self) -> Channel {
        let (mut first, mut second) = self.state.dangerously_get_raw_split();
        let mut split_keys = Box::new(Zeroizing::new([0; 64]));
        for (slot, byte) in split_keys.iter_mut().zip(first.iter().chain(&second)) {
            *slot = *byte;
        }
        zeroize::Zeroize::zeroize(&mut first);
        zeroize::Zeroize::zeroize(&mut second);
        let mut hash = [0; 32];
        hash.copy_from_slice(self.state.get_handshake_hash());
        #[expect(
            clippy::expect_used,
            reason = "called by the two machines after both halves and nowhere else"
        )]
        let transport = self.state.into_transport_mode().expect("the handshake is finished");
        Channel { transport: Box::new(transport), handshake: Hash::from_bytes(hash), split_keys }
    }
}

/// An encrypted channel to somebody who knows the link and the prologue. Who that is, the codes
/// will tell.
pub(super) struct Channel {
    transport: Box<TransportState>,
    handshake: Hash,
    split_keys: Box<Zeroizing<[u8; 64]>>,
}

impl Channel {
    /// *h* of the protocol.
    pub(super) const fn handshake(&self) -> &Hash {
        &self.handshake
    }

    /// *k₁ ‖ k₂* of the protocol.
    pub(super) fn split_keys(&self) -> &Zeroizing<[u8; 64]> {
        &self.split_keys
    }

    /// Encrypts the next message.
    pub(super) fn seal(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let mut message = vec![0; plaintext.len() + TAG_BYTES];
        #[expect(
            clippy::expect_used,
            reason = "fails above 65,519 bytes and after 2^64 messages; a machine seals four, the largest under 6,000"
        )]
        self.transport.write_message(plaintext, &mut message).expect("a message of the ceremony fits");
        message
    }

    /// Opens the next message, `plaintext` bytes long at most. One that doesn't open closes the
    /// machine, so no second is tried.
    ///
    /// # Errors
    /// [`Closed::BadMessage`].
    pub(super) fn open(&mut self, step: u8, message: &[u8]) -> Result<Zeroizing<Vec<u8>>, Closed> {
        let refuse = Closed::BadMessage { step };
        if message.len() > STEP_MAX_BYTES {
            return Err(refuse);
        }
        let length = message.len().checked_sub(TAG_BYTES).ok_or(refuse)?;
        let mut plaintext = Zeroizing::new(vec![0; length]);
        self.transport.read_message(message, &mut plaintext).map_err(|_| refuse)?;
        Ok(plaintext)
    }
}

/// Both hold keys: silent.
impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handshake(..)")
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Channel(..)")
    }
}

fn build(
    initiator: bool,
    prologue: &[u8],
    psk: &[u8; 32],
    ephemeral: Zeroizing<[u8; 32]>,
) -> Result<HandshakeState, snow::Error> {
    let params: NoiseParams = NOISE.parse()?;
    let resolver = Resolver(Cell::new(Some(ephemeral)));
    let builder = Builder::with_resolver(params, Box::new(resolver)).psk(0, psk)?.prologue(prologue)?;
    if initiator { builder.build_initiator() } else { builder.build_responder() }
}

/// Hands the library our Diffie-Hellman and one key's worth of randomness; cipher and hash are its
/// own.
struct Resolver(Cell<Option<Zeroizing<[u8; 32]>>>);

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(OneKey(self.0.take())))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match choice {
            DHChoice::Curve25519 => Some(Box::new(X25519::default())),
            DHChoice::Curve448 => None,
        }
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn SnowHash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// The bytes of one ephemeral key. A second request fails: no key is ever made of used randomness.
struct OneKey(Option<Zeroizing<[u8; 32]>>);

impl Random for OneKey {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        match self.0.take() {
            Some(bytes) if dest.len() == bytes.len() => {
                dest.copy_from_slice(bytes.as_slice());
                Ok(())
            }
            Some(_) | None => Err(snow::Error::Rng),
        }
    }
}

/// X25519 (RFC 7748) that wipes its key and refuses what the library's own accepts.
#[derive(Default)]
struct X25519 {
    secret: Option<StaticSecret>,
    public: [u8; 32],
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, private: &[u8]) {
        let Ok(bytes) = <[u8; 32]>::try_from(private) else { return };
        let bytes = Zeroizing::new(bytes);
        let secret = StaticSecret::from(*bytes);
        self.public = PublicKey::from(&secret).to_bytes();
        self.secret = Some(secret);
    }

    fn generate(&mut self, random: &mut dyn Random) -> Result<(), snow::Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        random.try_fill_bytes(bytes.as_mut_slice())?;
        self.set(bytes.as_slice());
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        self.secret.as_ref().map_or(&[], |secret| secret.as_bytes())
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        let secret = self.secret.as_ref().ok_or(snow::Error::Dh)?;
        // The library passes its whole buffer, longer than a key.
        let public = *public.first_chunk().ok_or(snow::Error::Dh)?;
        if !is_sound_x25519(&public) {
            return Err(snow::Error::Dh);
        }
        let shared = Zeroizing::new(*secret.diffie_hellman(&PublicKey::from(public)).as_bytes());
        if shared.ct_eq(&[0; 32]).into() {
            return Err(snow::Error::Dh);
        }
        out.first_chunk_mut().ok_or(snow::Error::Dh).map(|out| *out = *shared)
    }
}

/// The Diffie-Hellman alone, with this private key.
#[cfg(test)]
pub(super) fn tests_x25519(mut private: [u8; 32]) -> impl Dh {
    let mut dh = X25519::default();
    dh.set(&private);
    zeroize::Zeroize::zeroize(&mut private);
    dh
}
