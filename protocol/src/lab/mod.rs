//! The adversary in the box: strategies against the shipped machines, played by seed and judged.
//!
//! Decides what is tried and when the design held. Refuses to hold a real key, to read a clock or
//! to reach a network: everybody in it is made up, every key is made of a seed that is printed, and
//! all of it is thrown away. It is in no daemon: the feature `lab` is for `parsecctl lab` and the
//! tests. The machines are those that are shipped, line by line; nothing in them knows of the lab.
//!
//! ```text
//!   Claimer  <->  a network that belongs to a strategy  <->  Greeter
//!      |                                                       |
//!   a person  ............ a telephone that does not .......  a person
//! ```
//!
//! | file | what it decides |
//! |---|---|
//! | `simulation` | what happens in which order |
//! | `people` | what the two people do |
//! | `strategies` | what the adversary does; a file for each idea |
//! | `transcript` | what is written down, and the verdict |
//! | `series` | many runs, counted |
//! | `wire` | the same middle between real programs |
//! | `safes` | the same against a safe: a server that lies, a member who means harm |
//! | `organisation` | the organisation that somebody wants into, for every other test too |
//! | `seeded_rng` | seeded randomness |

mod organisation;
mod people;
pub mod safes;
mod seeded_rng;
mod series;
mod simulation;
mod strategies;
#[cfg(test)]
pub(crate) mod tests;
mod transcript;
mod wire;

pub use organisation::{EMAIL, LABEL, NAME, NoLab, Organisation, START};
pub use people::People;
pub use seeded_rng::SeededRng;
pub use series::{Series, Tally};
#[cfg(test)]
pub(crate) use strategies::bad_keys;
pub use strategies::{Listed, STRATEGIES, Strategy, listed, strategy};
pub use transcript::{Event, Newcomer, Side, Told, Transcript, Verdict, Who};
pub use wire::Wire;

use crate::enrol::io::Prologue;
use crate::ids::Label;
use safes::SafeStrategy;
use simulation::Simulation;

/// The organisation of every run is the same; what differs from run to run is drawn from the run's
/// own seed.
const ORGANISATION_SEED: u64 = u64::MAX;
/// Seed of the other one.
const IMPOSTOR_SEED: u64 = u64::MAX - 1;

/// A place to try strategies in.
pub struct Lab {
    organisation: Organisation,
    /// Another organisation under the same name, as a server could show it to a newcomer.
    impostor: Organisation,
    claimed_name: Label,
    claimed_label: Label,
}

impl Lab {
    /// Founds the organisations.
    ///
    /// # Errors
    /// [`NoLab`]; with the lab's own generator neither happens.
    pub fn open() -> Result<Self, NoLab> {
        Ok(Self {
            organisation: Organisation::of_seed(ORGANISATION_SEED)?,
            impostor: Organisation::of_seed(IMPOSTOR_SEED)?,
            claimed_name: "Bob".parse()?,
            claimed_label: "desk".parse()?,
        })
    }

    /// Plays one strategy by one seed, as often as its two people begin again.
    ///
    /// # Errors
    /// [`NoLab`].
    pub fn play(&self, strategy: &Strategy, people: People, seed: u64) -> Result<Transcript, NoLab> {
        let mut adversary = strategy.begin(self, seed);
        let newcomer = Newcomer::of(seed);
        let settings = adversary.settings(self.prologue(newcomer));
        let mut simulation =
            Simulation::new(self, people, newcomer, settings, seed).map_err(|_| NoLab::NoEntropy)?;
        simulation.play(adversary.as_mut());
        while adversary.tempts_again() {
            let settings = adversary.settings(self.prologue(newcomer));
            simulation.begin_again(settings).map_err(|_| NoLab::NoEntropy)?;
            simulation.play(adversary.as_mut());
        }
        let (events, verdict) = simulation.judged();
        Ok(Transcript { adversary: strategy.name, people, newcomer, seed, events, verdict })
    }

    /// What both sides should agree on.
    fn prologue(&self, newcomer: Newcomer) -> Prologue {
        match newcomer {
            Newcomer::Person => self.organisation.bob(),
            Newcomer::Device => self.organisation.second_device(),
        }
    }

    /// What the newcomer is called: a device has its person's name already.
    fn names(&self, newcomer: Newcomer) -> (Option<Label>, Label) {
        let name = (newcomer == Newcomer::Person).then(|| self.claimed_name.clone());
        (name, self.claimed_label.clone())
    }

    /// Plays strategies, against the ceremony and against a safe, as often as asked, by `seed` and
    /// those that follow it.
    ///
    /// # Errors
    /// [`NoLab`].
    pub fn series(
        &self,
        strategies: &[&Strategy],
        safes: &[&SafeStrategy],
        people: People,
        seed: u64,
        runs: u64,
    ) -> Result<Series, NoLab> {
        let mut tallies = Vec::new();
        for strategy in strategies {
            let mut tally = Tally::of(strategy.name);
            for run in 0..runs {
                tally.count(&self.play(strategy, people, seed.wrapping_add(run))?);
            }
            tallies.push(tally);
        }
        for strategy in safes {
            let mut tally = Tally::of(strategy.name);
            for run in 0..runs {
                tally.count_safe(&strategy.play(seed.wrapping_add(run))?);
            }
            tallies.push(tally);
        }
        let held = tallies.iter().all(|tally| tally.held == tally.runs);
        Ok(Series { held, people, seed, strategies: tallies })
    }
}

/// Without its keys, which are worth nothing but look like something.
impl std::fmt::Debug for Lab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lab(..)")
    }
}
