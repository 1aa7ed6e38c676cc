//! Scripted dishonest peers, built on the channel itself: they speak the protocol's words in any order and with any content.

use super::super::channel::{Channel, Handshake};
use super::super::evidence;
use super::super::messages::{self, Commit, GreeterTurn, Nonce, Reveal};
use super::super::sas::{Codes, SasInputs};
use super::*;

/// Speaks the claimer's part of the channel, and says in it what it likes.
pub(super) struct FalseClaimer {
    pub(super) channel: Channel,
}

impl FalseClaimer {
    pub(super) fn against(pair: &mut Pair, setting: &Setting) -> Self {
        let mut handshake = Handshake::new(true, setting, &link_secret(), &mut Seeded::new(77)).unwrap();
        let first = handshake.write().unwrap();
        pair.tell_greeter(to_greeter(0, &first)).unwrap();
        handshake.read(1, &pair.g.message(1)).unwrap();
        Self { channel: handshake.finish() }
    }

    pub(super) fn say(&mut self, pair: &mut Pair, step: u8, plaintext: &[u8]) {
        let bytes = self.channel.seal(plaintext);
        pair.tell_greeter(to_greeter(step, &bytes)).unwrap();
    }

    /// An honest course up to the greeter's code screen; the codes.
    pub(super) fn up_to_codes(&mut self, pair: &mut Pair, nonce: [u8; 32]) -> Codes {
        let commitment = evidence::commitment(&nonce, self.channel.handshake());
        self.say(pair, 2, &crate::codec::encode(&Commit { commitment }));
        let turn: GreeterTurn = messages::open(&mut self.channel, 3, &pair.g.message(3)).unwrap();
        self.say(pair, 4, &crate::codec::encode(&Reveal { nonce: Nonce(nonce) }));
        derive(&self.channel, &nonce, &turn)
    }
}

/// The other way round.
pub(super) struct FalseGreeter {
    pub(super) channel: Channel,
}

impl FalseGreeter {
    pub(super) fn against(pair: &mut Pair, setting: &Setting) -> Self {
        let mut handshake = Handshake::new(false, setting, &link_secret(), &mut Seeded::new(78)).unwrap();
        handshake.read(0, &pair.c.message(0)).unwrap();
        let second = handshake.write().unwrap();
        let channel = handshake.finish();
        pair.tell_claimer(to_claimer(1, &second)).unwrap();
        Self { channel }
    }

    pub(super) fn say(&mut self, pair: &mut Pair, step: u8, plaintext: &[u8]) {
        let bytes = self.channel.seal(plaintext);
        pair.tell_claimer(to_claimer(step, &bytes)).unwrap();
    }
}

pub(super) fn derive(channel: &Channel, claimer_nonce: &[u8; 32], turn: &GreeterTurn) -> Codes {
    Codes::derive(&SasInputs {
        split_keys: channel.split_keys(),
        handshake: channel.handshake(),
        claimer_nonce,
        greeter_nonce: &turn.nonce.0,
        root_commitment: &turn.root_commitment,
        typing_required: turn.typing_required,
    })
}
