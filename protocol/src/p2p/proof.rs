//! The proof that whoever opens a connection holds the link (docs/protocol.md, *Peer to peer*,
//! *Proof*).
//!
//! Decides what is bound: the occasion, the invitation, both ends of the connection and the
//! attempt. A proof that somebody overheard, or was sent by a node in the middle, is one for
//! another connection.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use minicbor::Encode;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::codec;
use crate::ids::{AttemptId, OrganisationId, Token};
use crate::keys::LinkSecret;
use crate::public_keys::{Hash, PeerKey, Proof};

/// What is being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// Whether somebody is there.
    Meet,
    /// Starting an attempt with the greeter.
    Start {
        /// Id of the new attempt.
        attempt: AttemptId,
        /// SHA-256 of its secret.
        secret_hash: Hash,
    },
}

/// What a proof is about.
#[derive(Debug, Clone, Copy)]
pub struct Proven<'a> {
    /// The organisation of the link.
    pub organisation: &'a OrganisationId,
    /// Token of the invitation.
    pub token: &'a Token,
    /// The greeter's end of the connection.
    pub greeter: &'a PeerKey,
    /// The claimer's end, as the connection says, not as a message does.
    pub claimer: &'a PeerKey,
    /// What the proof is shown for.
    pub occasion: Occasion,
}

#[derive(Encode)]
struct Bound<'a> {
    #[n(0)]
    name: &'static str,
    #[n(1)]
    occasion: u8,
    #[n(2)]
    organisation: &'a OrganisationId,
    #[n(3)]
    token: &'a Token,
    #[n(4)]
    greeter: &'a PeerKey,
    #[n(5)]
    claimer: &'a PeerKey,
    #[n(6)]
    attempt: AttemptId,
    #[n(7)]
    secret_hash: Hash,
}

impl Proven<'_> {
    /// The proof of who holds `secret`.
    #[must_use]
    pub fn by(&self, secret: &LinkSecret) -> Proof {
        let (occasion, attempt, secret_hash) = match self.occasion {
            Occasion::Meet => (0, AttemptId::from_bytes([0; 16]), Hash::from_bytes([0; 32])),
            Occasion::Start { attempt, secret_hash } => (1, attempt, secret_hash),
        };
        let bound = Bound {
            name: "parsec-direct",
            occasion,
            organisation: self.organisation,
            token: self.token,
            greeter: self.greeter,
            claimer: self.claimer,
            attempt,
            secret_hash,
        };
        let mut key = Zeroizing::new([0; 32]);
        #[expect(clippy::expect_used, reason = "HKDF-SHA256 gives up to 8,160 bytes; 32 are asked for")]
        Hkdf::<Sha256>::new(None, secret.expose())
            .expand(b"parsec-enrol-v1 direct", key.as_mut_slice())
            .expect("32 bytes can be derived");
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = <Hmac<Sha256>>::new_from_slice(key.as_slice()).expect("any key will do");
        mac.update(&codec::encode(&bound));
        Proof::from_bytes(mac.finalize().into_bytes().into())
    }

    /// Whether `proof` is by who holds `secret`. In constant time.
    #[must_use]
    pub fn is_shown(&self, secret: &LinkSecret, proof: &Proof) -> bool {
        self.by(secret).as_bytes().ct_eq(proof.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_for_one_connection_one_invitation_and_one_occasion() {
        let secret = LinkSecret::from_bytes(&mut [1; 32]);
        let (acme, other): (OrganisationId, OrganisationId) =
            ("acme".parse().unwrap(), "acmf".parse().unwrap());
        let (token, tokem) = (Token::from_bytes([1; 16]), Token::from_bytes([2; 16]));
        let [a, b, c] = [1, 2, 3].map(|byte| PeerKey::from_bytes([byte; 32]));
        let start = |attempt, hash| Occasion::Start {
            attempt: AttemptId::from_bytes([attempt; 16]),
            secret_hash: Hash::from_bytes([hash; 32]),
        };
        let good =
            Proven { organisation: &acme, token: &token, greeter: &a, claimer: &b, occasion: start(1, 1) };
        let proof = good.by(&secret);
        assert!(good.is_shown(&secret, &proof));
        assert!(!good.is_shown(&LinkSecret::from_bytes(&mut [2; 32]), &proof));
        for elsewhere in [
            Proven { organisation: &other, ..good },
            Proven { token: &tokem, ..good },
            Proven { greeter: &c, ..good },
            Proven { claimer: &c, ..good },
            // Reflected: the greeter can't be shown its own question.
            Proven { greeter: &b, claimer: &a, ..good },
            Proven { occasion: start(2, 1), ..good },
            Proven { occasion: start(1, 2), ..good },
            Proven { occasion: Occasion::Meet, ..good },
        ] {
            assert!(!elsewhere.is_shown(&secret, &proof), "{elsewhere:?}");
        }
        // "Is somebody there?" with an attempt of zeros is still another occasion.
        let meet = Proven { occasion: Occasion::Meet, ..good };
        assert!(!Proven { occasion: start(0, 0), ..good }.is_shown(&secret, &meet.by(&secret)));
    }
}
