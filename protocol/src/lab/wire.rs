//! The man in the middle of the lab, for a relay that stands between real programs.
//!
//! Decides nothing that the strategies don't: it takes the steps that one side deposits and gives
//! back what the other is to find instead. Refuses to be of use to anybody but the tests of the
//! whole: without the link it is nothing, and its keys come from a seed.

use std::collections::BTreeMap;

use super::seeded_rng::SeededRng;
use super::strategies::{Interception, Middle, two_handshakes};
use super::transcript::Side;
use crate::enrol::io::Prologue;
use crate::enrol::sas::SasCode;
use crate::ids::Label;
use crate::keys::{DeviceSigningKey, LinkSecret, NoEntropy};
use crate::public_keys::VerifyKey;

/// One ceremony with each side, played over a relay of somebody else's.
pub struct Wire {
    middle: Middle,
    interception: Between,
}

/// What the middle knows, and what it has said.
struct Between {
    prologue: Prologue,
    /// Its bytes: what is read is read, and a secret of the lab's kind is no secret.
    link: [u8; 32],
    false_root: VerifyKey,
    name: Label,
    label: Label,
    /// By the step under which it is deposited.
    said: BTreeMap<u8, Vec<u8>>,
    keys: Vec<VerifyKey>,
}

impl Wire {
    /// Between two sides that were told this, with the link that was read; introduces itself under
    /// these names.
    ///
    /// # Errors
    /// [`NoEntropy`]; the lab's generator has no end.
    pub fn between(
        prologue: Prologue,
        link: [u8; 32],
        (name, label): (Label, Label),
        seed: u64,
    ) -> Result<Self, NoEntropy> {
        let mut rng = SeededRng::new(seed);
        let false_root = DeviceSigningKey::random(&mut rng)?.verify_key();
        let (said, keys) = (BTreeMap::new(), Vec::new());
        let interception = Between { prologue, link, false_root, name, label, said, keys };
        Ok(Self { middle: two_handshakes(&mut rng), interception })
    }

    /// Somebody deposits this step: what is deposited instead, if the middle has something to say.
    pub fn swap(&mut self, step: u8, bytes: &[u8]) -> Option<Vec<u8>> {
        let from = if step.is_multiple_of(2) { Side::Claimer } else { Side::Greeter };
        let _said = self.middle.take(&mut self.interception, from, step, bytes);
        self.interception.said.remove(&step)
    }

    /// The code that the greeter would have to take for the claimer's, once it is known: a person
    /// who is told it is a person who was fooled.
    #[must_use]
    pub fn wanted(&self) -> Option<SasCode> {
        self.middle.wanted()
    }

    /// The code that the claimer would have to take for the greeter's.
    #[must_use]
    pub fn wanted_by_claimer(&self) -> Option<SasCode> {
        self.middle.wanted_by_claimer()
    }

    /// The keys that nobody must certify.
    #[must_use]
    pub fn keys(&self) -> &[VerifyKey] {
        &self.interception.keys
    }
}

/// Without its keys.
impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire(..)")
    }
}

impl Interception for Between {
    fn prologue(&self) -> Prologue {
        self.prologue.clone()
    }

    fn link(&self) -> LinkSecret {
        LinkSecret::from_bytes(&mut { self.link })
    }

    fn false_root(&self) -> VerifyKey {
        self.false_root
    }

    fn names(&self) -> (Option<Label>, Label) {
        (Some(self.name.clone()), self.label.clone())
    }

    fn slip(&mut self, _: Side, step: u8, bytes: Vec<u8>, _: &str) {
        self.said.insert(step, bytes);
    }

    fn intercept(&mut self) {}

    fn watch_key(&mut self, key: VerifyKey) {
        self.keys.push(key);
    }

    fn grant(&mut self, _: SasCode) {}
}
