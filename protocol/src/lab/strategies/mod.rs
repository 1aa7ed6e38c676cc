//! What an adversary can be: the strategies by name.
//!
//! Decides which there are. Refuses none: whoever has an idea writes a file and a line here, and
//! every test and `parsecctl lab` plays it from then on.

mod bent_prologue;
mod bit_flips;
mod delay;
mod drop;
mod false_log;
mod forged_words;
mod low_order;
mod middle;
mod old_ceremony;
mod reflect;
mod reorder;
mod restarts;
mod roles;
mod splice;
mod swapped_keys;

#[cfg(test)]
pub(crate) use bent_prologue::bend;
#[cfg(test)]
pub(crate) use low_order::bad_keys;

use serde::Serialize;

pub(super) use middle::{Interception, Middle, two_handshakes};

use super::Lab;
use super::safes::{SAFE_STRATEGIES, SafeStrategy};
use super::seeded_rng::SeededRng;
use super::simulation::Simulation;
use super::transcript::Side;
use crate::enrol::io::Prologue;

/// Who owns the network.
pub(super) trait Adversary {
    /// A device sent this. What is not passed on is lost.
    fn carry(&mut self, simulation: &mut Simulation<'_>, from: Side, step: u8, bytes: Vec<u8>);

    /// Nothing is under way and no person can do anything: an idea of its own? Whether it had one.
    fn idle(&mut self, _: &mut Simulation<'_>) -> bool {
        false
    }

    /// The log that the server shows to the newcomer.
    fn log(&mut self, simulation: &Simulation<'_>) -> Vec<Vec<u8>> {
        simulation.lab().organisation.envelopes.clone()
    }

    /// What the server tells claimer and greeter about where, who and over which transport.
    fn settings(&mut self, honest: Prologue) -> (Prologue, Prologue) {
        (honest.clone(), honest)
    }

    /// Whether two people who have been told that it is over are brought to begin again.
    fn tempts_again(&mut self) -> bool {
        false
    }
}

/// One strategy of an adversary, with its name.
#[derive(Debug, Clone, Copy)]
pub struct Strategy {
    /// What to call it on the command line.
    pub name: &'static str,
    /// What it tries, in a sentence.
    pub about: &'static str,
    /// Whether it has read the link and keeps a channel of its own with each side: the whole man in
    /// the middle.
    pub in_the_middle: bool,
    pub(super) make: fn(&mut SeededRng) -> Box<dyn Adversary>,
}

impl Strategy {
    /// Ready for one run.
    pub(super) fn begin(&self, _: &Lab, seed: u64) -> Box<dyn Adversary> {
        (self.make)(&mut SeededRng::new(seed.rotate_left(32) ^ 0x5eed))
    }
}

/// A strategy as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Listed {
    /// What to call it on the command line.
    pub name: &'static str,
    /// What the strategy tries, in a sentence.
    pub about: &'static str,
    /// Whether it is the whole man in the middle.
    pub in_the_middle: bool,
}

/// All strategies, as they are listed: those against the ceremony, then those against a safe.
pub fn listed() -> impl Iterator<Item = Listed> {
    let ceremony = STRATEGIES.iter().map(|Strategy { name, about, in_the_middle, .. }| Listed {
        name,
        about,
        in_the_middle: *in_the_middle,
    });
    let safes = SAFE_STRATEGIES.iter().map(|SafeStrategy { name, about, .. }| Listed {
        name,
        about,
        in_the_middle: false,
    });
    ceremony.chain(safes)
}

/// The one of this name.
#[must_use]
pub fn strategy(name: &str) -> Option<&'static Strategy> {
    STRATEGIES.iter().find(|strategy| strategy.name == name)
}

/// Makes the list.
macro_rules! strategies {
    ($($name:literal $middle:literal $make:expr, $about:literal;)+) => {
        /// All of them: first the ones that sit in the middle with the link, then those that own
        /// the network or the server alone.
        pub const STRATEGIES: &[Strategy] =
            &[$(Strategy { name: $name, about: $about, in_the_middle: $middle, make: |rng| Box::new($make(rng)) }),+];
    };
}

strategies! {
    "two-handshakes" true two_handshakes,
        "one ceremony with each side, both spoken honestly, with keys and nonces of its own";
    "same-words" true middle::same_words,
        "keys of its own on each side, but commitment, nonces and root commitment passed on word for word";
    "commitment-swap" true middle::commitment_swap,
        "commits to a nonce, waits for those of both sides, then searches for another one that makes the codes fit";
    "nonce-late" true middle::nonce_late,
        "wants the greeter's nonce for a commitment of another length, which binds nothing";
    "early-word" true middle::early_word,
        "tells the claimer \"recognised\" before the greeter has recognised anything";
    "lucky-guess" true middle::lucky_guess,
        "its guess of the first 20 bits comes true, so that the greeter's check passes";
    "zero-secret" true middle::zero_secret,
        "gives both sides a key of small order, so that both reach the same secret of zeros, and passes all words on";
    "low-order-keys" false low_order::low_order_keys,
        "replaces one side's key by one of small order or by a second spelling";
    "replay-old-ceremony" false old_ceremony::replay,
        "records a ceremony and gives its messages to the next one";
    "splice-two-ceremonies" false splice::splice,
        "lets two ceremonies run and gives messages of one to the other";
    "reflect" false reflect::reflect,
        "gives a side its own message back";
    "role-swap" false roles::role_swap,
        "brings two newcomers, or two greeters, together";
    "forge-recognised" false forged_words::recognised,
        "has no link; says \"recognised\" in the greeter's place";
    "forge-certified" false forged_words::certified,
        "has no link; says \"certified\" in the greeter's place, and \"registered\" in the claimer's";
    "swap-keys" false swapped_keys::swap,
        "puts other keys into the messages that carry keys";
    "false-log" false false_log::false_log,
        "shows the newcomer another log: another organisation's, a shorter one, one out of order";
    "bent-prologue" false bent_prologue::bent,
        "tells the two sides different things about organisation, invitation, greeter, or transport";
    "transport-splice" false bent_prologue::transports,
        "takes a ceremony from the server to the peer-to-peer transport, or to another device, in between";
    "restart-attempts" true restarts::restarts,
        "sits in the middle and breaks off after the commitment, again and again, for a new chance at the codes";
    "delay" false delay::delay,
        "holds a message back until nobody may wait for it any longer";
    "drop" false drop::drop_from,
        "loses every message from some step on, or just one";
    "reorder" false reorder::reorder,
        "delivers twice, late, and in another order";
    "bit-flips" false bit_flips::flip,
        "flips one bit of one message";
}
