//! Scripted dishonest peers against the machine of a [`Pair`]: they speak the protocol's words in
//! any order and with any content.

use super::super::dishonest::{Calling, FalseEnd};
use super::super::sas::Codes;
use super::*;

/// Speaks the claimer's part of the channel, and says in it what it likes.
pub(super) struct FalseClaimer {
    pub(super) end: FalseEnd,
}

impl FalseClaimer {
    pub(super) fn against(pair: &mut Pair, prologue: &Prologue) -> Self {
        let (calling, first) =
            Calling::out(prologue, &Organisation::link_secret(), &mut SeededRng::new(77)).unwrap();
        pair.tell_greeter(to_greeter(0, &first)).unwrap();
        Self { end: calling.connected(&pair.g.message(1)).unwrap() }
    }

    pub(super) fn say(&mut self, pair: &mut Pair, step: u8, plaintext: &[u8]) {
        let bytes = self.end.say(plaintext);
        pair.tell_greeter(to_greeter(step, &bytes)).unwrap();
    }

    /// An honest course up to the greeter's code screen; the codes.
    pub(super) fn up_to_codes(&mut self, pair: &mut Pair, nonce: [u8; 32]) -> Codes {
        let bytes = self.end.commit(&nonce);
        pair.tell_greeter(to_greeter(2, &bytes)).unwrap();
        let reply = self.end.hear_reply(&pair.g.message(3)).unwrap();
        let bytes = self.end.reveal(&nonce);
        pair.tell_greeter(to_greeter(4, &bytes)).unwrap();
        self.end.codes(&nonce, &reply)
    }
}

/// The other way round.
pub(super) struct FalseGreeter {
    pub(super) end: FalseEnd,
}

impl FalseGreeter {
    pub(super) fn against(pair: &mut Pair, prologue: &Prologue) -> Self {
        let first = pair.c.message(0);
        let (end, second) =
            FalseEnd::answer(prologue, &Organisation::link_secret(), &first, &mut SeededRng::new(78))
                .unwrap();
        pair.tell_claimer(to_claimer(1, &second)).unwrap();
        Self { end }
    }

    pub(super) fn say(&mut self, pair: &mut Pair, step: u8, plaintext: &[u8]) {
        let bytes = self.end.say(plaintext);
        pair.tell_claimer(to_claimer(step, &bytes)).unwrap();
    }
}
