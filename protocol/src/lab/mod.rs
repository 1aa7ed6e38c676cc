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
//! | `stage` | what happens in which order |
//! | `people` | what the two people do |
//! | `strategies` | what the adversary does; a file for each idea |
//! | `transcript` | what is written down, and the verdict |
//! | `series` | many runs, counted |
//! | `wire` | the same middle between real programs |
//! | `world` | the organisation that somebody wants into |
//! | `chance` | seeded randomness |

mod chance;
mod people;
mod series;
mod stage;
mod strategies;
#[cfg(test)]
pub(crate) mod tests;
mod transcript;
mod wire;
mod world;

pub use chance::Seeded;
pub use people::People;
pub use series::{Series, Tally};
#[cfg(test)]
pub(crate) use strategies::bad_keys;
pub use strategies::{Listed, STRATEGIES, Strategy, listed, strategy};
pub use transcript::{Event, Newcomer, Side, Told, Transcript, Verdict, Who};
pub use wire::Wire;
pub use world::NoLab;

use stage::Stage;
use world::World;

/// The organisation of every run is the same; what differs from run to run is drawn from the run's
/// own seed.
const WORLD_SEED: u64 = u64::MAX;

/// A place to try strategies in.
pub struct Lab(World);

impl Lab {
    /// Founds the organisation.
    ///
    /// # Errors
    /// [`NoLab`]; with the lab's own generator neither happens.
    pub fn open() -> Result<Self, NoLab> {
        World::new(&mut Seeded::new(WORLD_SEED)).map(Self)
    }

    /// Plays one strategy by one seed, as often as its two people begin again.
    ///
    /// # Errors
    /// [`NoLab`].
    pub fn play(&self, strategy: &Strategy, people: People, seed: u64) -> Result<Transcript, NoLab> {
        let mut adversary = strategy.begin(self, seed);
        let newcomer = Newcomer::of(seed);
        let settings = adversary.settings(self.0.setting(newcomer));
        let mut stage =
            Stage::new(&self.0, people, newcomer, settings, seed).map_err(|_| NoLab::NoEntropy)?;
        stage.play(adversary.as_mut());
        while adversary.tempts_again() {
            let settings = adversary.settings(self.0.setting(newcomer));
            stage.begin_again(settings).map_err(|_| NoLab::NoEntropy)?;
            stage.play(adversary.as_mut());
        }
        let (events, verdict) = stage.judged();
        Ok(Transcript { adversary: strategy.name, people, newcomer, seed, events, verdict })
    }

    /// Plays strategies as often as asked, by `seed` and those that follow it.
    ///
    /// # Errors
    /// [`NoLab`].
    pub fn series(
        &self,
        strategies: &[&Strategy],
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
