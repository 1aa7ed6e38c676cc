//! Safes under attack, played in one process by the shipped rules: a server that lies, a member who
//! means harm, and both together.
//!
//! Decides what is tried, who reads, and when the design held: nobody's tree has anything in it
//! that a rule keeps out, no wrong byte was let out, all readers agree, and where something can be
//! noticed somebody was told. Refuses what all of the lab refuses: real keys, clocks, networks.

mod made;
mod reader;
mod strategies;

pub use made::{BOB, CAROL, DANA, Item, LabSafe, MALLORY, Person};
pub use strategies::{SAFE_STRATEGIES, SafeStrategy, safe_strategy};

use serde::Serialize;

use super::organisation::NoLab;
use reader::{Answer, Reader};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeEvent {
    /// The party: a member's device, or the adversary.
    pub who: &'static str,
    /// What, in a sentence.
    pub what: String,
}

/// What a device told its person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Noticed {
    /// The person whose device it is.
    pub who: &'static str,
    /// What it was, in the device's words.
    pub what: String,
}

/// A whole run against a safe, step by step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeRun {
    /// Name of the strategy that was played.
    pub adversary: &'static str,
    /// The seed that repeats it.
    pub seed: u64,
    /// What happened, in order.
    pub events: Vec<SafeEvent>,
    /// What was noticed, by whom.
    pub noticed: Vec<Noticed>,
    /// Things of the adversary's that a device took for right.
    pub taken: usize,
    /// Whether the design held.
    pub held: bool,
}

/// What the strategies call the adversary.
const ADVERSARY: &str = "ADVERSARY";

/// A run while it is played.
pub(super) struct Play {
    world: LabSafe,
    events: Vec<SafeEvent>,
    /// Names that must be in nobody's tree.
    foreign: Vec<&'static str>,
    /// Wrong bytes that were let out, and other things that were believed.
    taken: usize,
    /// Who must have been told something.
    told: Vec<&'static str>,
    /// Devices that must end with one tree.
    readers: Vec<Reader>,
}

impl Play {
    fn new(seed: u64) -> Result<Self, NoLab> {
        let world = LabSafe::of_seed(seed)?;
        let readers = vec![Reader::of(&world, DANA)?, Reader::of(&world, CAROL)?];
        let (events, foreign, told) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { world, events, foreign, taken: 0, told, readers })
    }

    fn says(&mut self, who: &'static str, what: impl Into<String>) {
        self.events.push(SafeEvent { who, what: what.into() });
    }

    /// Everybody who reads is given what is new, as an honest server would.
    fn honest(&mut self) {
        for reader in &mut self.readers {
            let items = self.world.items.get(reader.count..).unwrap_or_default().to_vec();
            reader.asks(&self.world, &Answer { count: self.world.items.len(), items });
        }
    }

    /// All of them are given this behind what is there.
    fn shown(&mut self, items: &[Item]) {
        for reader in &mut self.readers {
            let mut new = self.world.items.get(reader.count..).unwrap_or_default().to_vec();
            new.extend_from_slice(items);
            let count = reader.count + new.len();
            reader.asks(&self.world, &Answer { count, items: new });
        }
    }

    /// One of them is given this.
    fn shown_to(&mut self, name: &str, answer: &Answer) {
        for reader in self.readers.iter_mut().filter(|reader| reader.name == name) {
            reader.asks(&self.world, answer);
        }
    }

    /// Items behind so many, of which there are as many as there are.
    fn behind(&self, from: usize) -> Vec<Item> {
        self.world.items.get(from..).unwrap_or_default().to_vec()
    }

    /// The verdict: what was believed that should not be, whether all agree, and who was told.
    fn judged(mut self, adversary: &'static str, seed: u64) -> SafeRun {
        for reader in &self.readers {
            self.taken += self.foreign.iter().filter(|name| reader.has(name)).count();
        }
        let mut roots: Vec<_> = self.readers.iter_mut().map(|reader| (reader.count, reader.root())).collect();
        roots.sort_unstable_by_key(|(count, _)| *count);
        let agree = roots.windows(2).all(|pair| match pair {
            [(one, a), (other, b)] => one != other || a == b,
            _ => true,
        });
        let mut noticed = Vec::new();
        for reader in &self.readers {
            noticed
                .extend(reader.noticed.iter().map(|what| Noticed { who: reader.name, what: what.clone() }));
        }
        let told = self.told.iter().all(|name| noticed.iter().any(|it| it.who == *name));
        let held = self.taken == 0 && agree && told;
        SafeRun { adversary, seed, events: self.events, noticed, taken: self.taken, held }
    }
}

impl SafeStrategy {
    /// Plays it by a seed.
    ///
    /// # Errors
    /// [`NoLab`].
    pub fn play(&self, seed: u64) -> Result<SafeRun, NoLab> {
        let mut play = Play::new(seed)?;
        (self.attack)(&mut play)?;
        Ok(play.judged(self.name, seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each is told where it can be, and nothing of any is believed.
    #[test]
    fn every_strategy_against_a_safe_is_noticed_and_takes_nothing() {
        let runs = crate::lab::tests::runs(2, 300);
        let mut noticed = 0;
        for strategy in SAFE_STRATEGIES {
            for seed in 0..runs {
                let run = strategy.play(seed).unwrap();
                assert!(run.held, "{run:#?}");
                assert_eq!(run, strategy.play(seed).unwrap(), "the same seed is the same run");
                noticed += usize::from(!run.noticed.is_empty());
            }
        }
        let all = SAFE_STRATEGIES.len() * usize::try_from(runs).unwrap();
        println!(
            "figure S23: {} strategies against a safe, {all} runs: 0 taken, {noticed} noticed",
            SAFE_STRATEGIES.len()
        );
    }
}
