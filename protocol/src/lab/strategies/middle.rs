//! The whole man in the middle: it has read the link, and keeps a channel of its own with each
//! side.
//!
//! Decides how far each tactic goes: what it commits to, which nonces it shows, when it says
//! "recognised". Refuses nothing that the protocol's words allow. Where both people take its codes
//! for the right ones, it has its own keys certified.

use super::Adversary;
use crate::enrol::dishonest::{Booty, Calling, FalseEnd, FalseKeys, Reply, Zeros};
use crate::enrol::io::Prologue;
use crate::enrol::sas::SasCode;
use crate::ids::Label;
use crate::keys::{Entropy, LinkSecret, random};
use crate::lab::seeded_rng::SeededRng;
use crate::lab::simulation::Simulation;
use crate::lab::transcript::Side;
use crate::public_keys::{Hash, VerifyKey};

/// Where the middle stands: what it knows of the two sides, and how it reaches them.
pub(in crate::lab) trait Interception {
    /// What both sides were told.
    fn prologue(&self) -> Prologue;
    /// The link's secret, which it has read.
    fn link(&self) -> LinkSecret;
    /// The root key of an organisation of its own.
    fn false_root(&self) -> VerifyKey;
    /// What it calls itself to the greeter.
    fn names(&self) -> (Option<Label>, Label);
    /// Gives a side a message of its own making.
    fn slip(&mut self, to: Side, step: u8, bytes: Vec<u8>, what: &str);
    /// From here on, each side talks to it.
    fn intercept(&mut self);
    /// A key that nobody must certify.
    fn watch_key(&mut self, key: VerifyKey);
    /// The code that the greeter would have to hear.
    fn grant(&mut self, code: SasCode);
}

/// Length of a key of the channel, in bytes (RFC 7748).
const X25519_KEY_BYTES: usize = 32;
/// Nonces that a search tries. Where a commitment binds, any but the committed one is refused,
/// however well it fits: more would be heat. Where it doesn't, `cargo xtask sabotage` puts a number
/// that finds one all but always.
const SEARCH: u32 = 16;

/// What is said in message 2 to the greeter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commitment {
    /// Bound to its own nonce, as the protocol wants it.
    Own,
    /// The claimer's, as it came.
    Claimers,
    /// Of another length.
    Length(u16),
}

/// What the middle does at each turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    commitment: Commitment,
    /// Nonces and root commitment are passed on rather than drawn.
    same_words: bool,
    /// Having seen everything, it looks for a nonce that makes the codes fit.
    search: bool,
    early_word: bool,
    lucky: bool,
    /// Its keys are the point zero.
    zero_keys: bool,
}

const HONEST: Plan = Plan {
    commitment: Commitment::Own,
    same_words: false,
    search: false,
    early_word: false,
    lucky: false,
    zero_keys: false,
};

/// One ceremony with each side.
pub(in crate::lab) fn two_handshakes(rng: &mut SeededRng) -> Middle {
    Middle::new(HONEST, rng)
}

/// Everything but the keys is the same on both sides.
pub(in crate::lab) fn same_words(rng: &mut SeededRng) -> Middle {
    Middle::new(Plan { commitment: Commitment::Claimers, same_words: true, ..HONEST }, rng)
}

/// Free to choose a nonce after all others are known.
pub(in crate::lab) fn commitment_swap(rng: &mut SeededRng) -> Middle {
    Middle::new(Plan { search: true, ..HONEST }, rng)
}

/// A commitment that can't bind.
pub(in crate::lab) fn nonce_late(rng: &mut SeededRng) -> Middle {
    const LENGTHS: [u16; 6] = [0, 1, 31, 33, 64, 60_000];
    let at = usize::try_from(rng.below(LENGTHS.len() as u64)).unwrap_or(0);
    let length = LENGTHS.get(at).copied().unwrap_or(0);
    Middle::new(Plan { commitment: Commitment::Length(length), search: true, ..HONEST }, rng)
}

/// "Recognised" before anybody has.
pub(in crate::lab) fn early_word(rng: &mut SeededRng) -> Middle {
    Middle::new(Plan { early_word: true, ..HONEST }, rng)
}

/// Half of the bits for nothing.
pub(in crate::lab) fn lucky_guess(rng: &mut SeededRng) -> Middle {
    Middle::new(Plan { lucky: true, ..HONEST }, rng)
}

/// A secret that is zero on both sides, whatever the others' keys are; then all words are passed
/// on.
pub(in crate::lab) fn zero_secret(rng: &mut SeededRng) -> Middle {
    let plan = Plan { commitment: Commitment::Claimers, same_words: true, zero_keys: true, ..HONEST };
    Middle::new(plan, rng)
}

/// The middle, with what it has learned.
pub(in crate::lab) struct Middle {
    plan: Plan,
    rng: SeededRng,
    calling: Option<Calling>,
    /// The channel with the claimer, as its greeter.
    to_claimer: Option<FalseEnd>,
    /// The channel with the greeter, as its claimer.
    to_greeter: Option<FalseEnd>,
    claimers_commitment: Option<Hash>,
    claimers_nonce: Option<[u8; 32]>,
    own_nonce: [u8; 32],
    /// What the greeter said in its turn, and what the claimer was told instead.
    greeters_turn: Option<Reply>,
    false_turn: Option<Reply>,
    /// The greeter has recognised its code.
    recognised: bool,
    introduced: bool,
    keys: Option<FalseKeys>,
    booty: Option<Booty>,
}

impl Middle {
    pub(super) fn new(plan: Plan, rng: &mut SeededRng) -> Self {
        let own_nonce = rng.block();
        let keys = FalseKeys::random(rng);
        Self {
            plan,
            rng: rng.clone(),
            calling: None,
            to_claimer: None,
            to_greeter: None,
            claimers_commitment: None,
            claimers_nonce: None,
            own_nonce,
            greeters_turn: None,
            false_turn: None,
            recognised: false,
            introduced: false,
            keys: keys.ok(),
            booty: None,
        }
    }

    /// Message 0 came: a greeter of its own for the claimer, a claimer of its own for the greeter.
    fn split(&mut self, interception: &mut dyn Interception, first: &[u8]) -> Option<()> {
        let (prologue, link) = (interception.prologue(), interception.link());
        let mut zeros = Zeros;
        let keys: &mut dyn Entropy = if self.plan.zero_keys { &mut zeros } else { &mut self.rng };
        let (end, mut second) = FalseEnd::answer(&prologue, &link, first, keys)?;
        let (calling, mut own_first) = Calling::out(&prologue, &link, keys)?;
        if self.plan.zero_keys {
            // A sound build won't make such a key even here: it is written into the message.
            for message in [&mut second, &mut own_first] {
                message.iter_mut().take(X25519_KEY_BYTES).for_each(|byte| *byte = 0);
            }
        }
        self.to_claimer = Some(end);
        self.calling = Some(calling);
        interception.intercept();
        if let Some(keys) = &self.keys {
            interception.watch_key(keys.signing.verify_key());
        }
        let (calls, answers) = if self.plan.zero_keys {
            ("calls the greeter with a key of small order", "answers the claimer with a key of small order")
        } else {
            ("calls the greeter with a key of its own", "answers the claimer with a key of its own")
        };
        interception.slip(Side::Greeter, 0, own_first, calls);
        interception.slip(Side::Claimer, 1, second, answers);
        Some(())
    }

    /// The claimer has committed: something for the greeter.
    fn commit(&mut self, interception: &mut dyn Interception, bytes: &[u8]) -> Option<()> {
        self.claimers_commitment = self.to_claimer.as_mut()?.hear_commitment(bytes);
        let end = self.to_greeter.as_mut()?;
        let (bytes, what) = match self.plan.commitment {
            Commitment::Own => (end.commit(&self.own_nonce), "commits to a nonce of its own"),
            Commitment::Claimers => {
                (end.commit_to(self.claimers_commitment?), "passes the claimer's commitment on")
            }
            Commitment::Length(length) => {
                let mut words = Vec::new();
                let filled = vec![1; usize::from(length)];
                minicbor::Encoder::new(&mut words).array(1).ok()?.bytes(&filled).ok()?;
                (end.say(&words), "commits to something of another length")
            }
        };
        interception.slip(Side::Greeter, 2, bytes, what);
        Some(())
    }

    /// The greeter has shown its nonce: something for the claimer.
    fn reply(&mut self, interception: &mut dyn Interception, bytes: &[u8]) -> Option<()> {
        let reply = self.to_greeter.as_mut()?.hear_reply(bytes)?;
        self.greeters_turn = Some(reply);
        let end = self.to_claimer.as_mut()?;
        let (shown, what) = if self.plan.same_words {
            (reply, "passes nonce and root commitment on")
        } else {
            let nonce = random(&mut self.rng).ok()?;
            let root_commitment = end.root_commitment(&nonce, &interception.false_root());
            (Reply { nonce, root_commitment, ..reply }, "shows a nonce and a root key of its own")
        };
        self.false_turn = Some(shown);
        let bytes = end.reply(&shown);
        interception.slip(Side::Claimer, 3, bytes, what);
        Some(())
    }

    /// The claimer has opened its commitment: everything is known, and the greeter waits.
    fn reveal(&mut self, interception: &mut dyn Interception, bytes: &[u8]) -> Option<()> {
        let claimers = self.to_claimer.as_mut()?.hear_nonce(bytes)?;
        self.claimers_nonce = Some(claimers);
        let (nonce, what) = if self.plan.same_words {
            (claimers, "passes the claimer's nonce on")
        } else if self.plan.search {
            (self.search(&claimers)?, "shows the nonce whose codes come nearest")
        } else {
            (self.own_nonce, "opens its own commitment")
        };
        self.own_nonce = nonce;
        let end = self.to_greeter.as_mut()?;
        let bytes = end.reveal(&nonce);
        if self.plan.lucky {
            interception.grant(end.codes(&nonce, self.greeters_turn.as_ref()?).claimer);
        }
        interception.slip(Side::Greeter, 4, bytes, what);
        if self.plan.early_word {
            self.say_recognised(interception)?;
        }
        Some(())
    }

    /// A nonce with which the greeter sees what the claimer sees, if one is found.
    fn search(&mut self, claimers: &[u8; 32]) -> Option<[u8; 32]> {
        let wanted = self.to_claimer.as_ref()?.codes(claimers, self.false_turn.as_ref()?);
        let (end, reply) = (self.to_greeter.as_ref()?, self.greeters_turn.as_ref()?);
        let mut nearest = self.own_nonce;
        for _ in 0..SEARCH {
            let nonce = self.rng.block();
            let codes = end.codes(&nonce, reply);
            if codes == wanted {
                return Some(nonce);
            }
            if codes.claimer == wanted.claimer {
                nearest = nonce;
            }
        }
        Some(nearest)
    }

    fn say_recognised(&mut self, interception: &mut dyn Interception) -> Option<()> {
        let bytes = self.to_claimer.as_mut()?.recognised();
        interception.slip(Side::Claimer, 5, bytes, "says \"recognised\" to the claimer");
        Some(())
    }

    /// A claim of its own.
    fn introduce(&mut self, interception: &mut dyn Interception) -> Option<()> {
        let keys = self.keys.as_ref()?;
        let (name, label) = interception.names();
        let bytes = self.to_greeter.as_mut()?.introduce(name, label, keys);
        self.introduced = true;
        interception.slip(
            Side::Greeter,
            6,
            bytes,
            "introduces itself with the newcomer's name and keys of its own",
        );
        Some(())
    }

    fn finish(&mut self, interception: &mut dyn Interception, bytes: &[u8]) -> Option<()> {
        let end = self.to_greeter.as_mut()?;
        let keys = self.keys.as_ref()?;
        let booty = end.hear_handover(bytes, keys)?;
        let receipt = end.receipt(&booty, &keys.signing);
        self.booty = Some(booty);
        interception.slip(Side::Greeter, 8, receipt, "signs the receipt for what it was given");
        Some(())
    }

    /// The claimer's code on the greeter's channel: what the greeter would have to hear.
    pub(in crate::lab) fn wanted(&self) -> Option<SasCode> {
        let codes = self.to_greeter.as_ref()?.codes(&self.own_nonce, self.greeters_turn.as_ref()?);
        self.claimers_nonce.map(|_| codes.claimer)
    }

    /// The greeter's code on the claimer's channel: what the claimer would have to hear.
    pub(in crate::lab) fn wanted_by_claimer(&self) -> Option<SasCode> {
        let nonce = self.claimers_nonce.as_ref()?;
        Some(self.to_claimer.as_ref()?.codes(nonce, self.false_turn.as_ref()?).greeter)
    }

    /// What it makes of a message; nothing where it has no answer.
    pub(in crate::lab) fn take(
        &mut self,
        interception: &mut dyn Interception,
        from: Side,
        step: u8,
        bytes: &[u8],
    ) -> Option<()> {
        match (from, step) {
            (Side::Claimer, 0) => self.split(interception, bytes),
            (Side::Greeter, 1) => {
                self.to_greeter = self.calling.take()?.connected(bytes);
                Some(())
            }
            (Side::Claimer, 2) => self.commit(interception, bytes),
            (Side::Greeter, 3) => self.reply(interception, bytes),
            (Side::Claimer, 4) => self.reveal(interception, bytes),
            (Side::Greeter, 5) => {
                self.recognised = self.to_greeter.as_mut()?.hear_recognised(bytes);
                if self.plan.early_word { Some(()) } else { self.say_recognised(interception) }
            }
            (Side::Claimer, 6) => {
                let _claim = self.to_claimer.as_mut()?.hear_claim(bytes)?;
                if self.recognised { self.introduce(interception) } else { None }
            }
            (Side::Greeter, 7) => self.finish(interception, bytes),
            (Side::Claimer | Side::Greeter, _) => None,
        }
    }
}

impl Adversary for Middle {
    fn carry(&mut self, simulation: &mut Simulation<'_>, from: Side, step: u8, bytes: Vec<u8>) {
        // What can't be answered is lost: the other side waits, and is told in the end.
        let _answered = self.take(simulation, from, step, &bytes);
    }

    fn idle(&mut self, simulation: &mut Simulation<'_>) -> bool {
        // The greeter's check passed: whether the claimer is still there or not, its claim can be
        // made.
        self.recognised && !self.introduced && self.introduce(simulation).is_some()
    }
}
