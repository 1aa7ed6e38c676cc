//! A box made step by step, from the specifications: X-Wing, HPKE's key schedule, one message. Each
//! step can be given something that no honest program would have there.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use hkdf::Hkdf;
use ml_kem::kem::EncapsulationKey;
use ml_kem::{B32, EncapsulateDeterministic as _, EncodedSizeUser as _, MlKem768Params};
use sha2::Sha256;
use sha3::{Digest as _, Sha3_256};

/// KEM 0x647a, KDF 1, AEAD 3.
const SUITE: &[u8] = b"HPKE\x64\x7a\0\x01\0\x03";

/// What a box is made of.
pub(crate) struct ReferenceBox<'a> {
    /// The 1,216 bytes of the recipient's key.
    pub(crate) key: &'a [u8],
    pub(crate) info: &'a [u8],
    pub(crate) associated: &'a [u8],
    pub(crate) text: &'a [u8],
    /// What ML-KEM draws.
    pub(crate) message: [u8; 32],
    /// What is said to be the X25519 key of this box.
    pub(crate) point: [u8; 32],
    /// What is said to be the X25519 secret.
    pub(crate) x25519: [u8; 32],
}

impl ReferenceBox<'_> {
    /// The box, as an honest program makes it where everything above is honest.
    pub(crate) fn sealed(&self) -> Vec<u8> {
        let (first, second) = self.key.split_at(1_184);
        let to = EncapsulationKey::<MlKem768Params>::from_bytes(first.try_into().unwrap());
        let (ciphertext, secret) = to.encapsulate_deterministic(&B32::from(self.message)).unwrap();
        let joined = [&secret, self.x25519.as_slice(), &self.point, second, br"\.//^\"].concat();
        let (key, nonce) = schedule(&Sha3_256::digest(joined), self.info);
        let payload = Payload { msg: self.text, aad: self.associated };
        let sealed = ChaCha20Poly1305::new(&Key::from(key)).encrypt(&Nonce::from(nonce), payload).unwrap();
        [&ciphertext, self.point.as_slice(), &sealed].concat()
    }
}

/// HPKE's key and nonce of the first message in base mode (RFC 9180, section 5.1).
fn schedule(secret: &[u8], info: &[u8]) -> ([u8; 32], [u8; 12]) {
    let extract = |salt: &[u8], label: &[u8], input: &[u8]| {
        Hkdf::<Sha256>::extract(Some(salt), &[b"HPKE-v1", SUITE, label, input].concat())
    };
    let hashes = [extract(b"", b"psk_id_hash", b"").0, extract(b"", b"info_hash", info).0];
    let context = [&[0], hashes[0].as_slice(), hashes[1].as_slice()].concat();
    let (_, expander) = extract(secret, b"secret", b"");
    let (mut key, mut nonce) = ([0; 32], [0; 12]);
    let labelled =
        |label: &[u8], length: u8| [&[0, length], b"HPKE-v1".as_slice(), SUITE, label, &context].concat();
    expander.expand(&labelled(b"key", 32), &mut key).unwrap();
    expander.expand(&labelled(b"base_nonce", 12), &mut nonce).unwrap();
    (key, nonce)
}
