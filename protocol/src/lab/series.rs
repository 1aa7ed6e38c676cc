//! Many runs, counted.
//!
//! Decides what is counted for each strategy, and which seed is the first that fell: with it the
//! run can be looked at. Refuses to keep the transcripts of runs that held.

use serde::Serialize;

use super::people::People;
use super::safes::SafeRun;
use super::transcript::Transcript;

/// What one strategy came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tally {
    /// Name of the strategy that was played.
    pub adversary: &'static str,
    /// How often it was played.
    pub runs: u64,
    /// How often the design held.
    pub held: u64,
    /// Certificates signed for a key of the adversary's; against a safe, things of the adversary's
    /// that a device took for right.
    pub certificates: u64,
    /// Newcomers who were enrolled all the same, with their own keys: the adversary had meddled
    /// with nothing that matters.
    pub enrolled: u64,
    /// Runs in which a device told its person.
    pub alerts: u64,
    /// The first seed by which the design fell.
    pub fell_at: Option<u64>,
}

impl Tally {
    /// Nothing yet.
    pub(super) const fn of(adversary: &'static str) -> Self {
        Self { adversary, runs: 0, held: 0, certificates: 0, enrolled: 0, alerts: 0, fell_at: None }
    }

    /// One more.
    pub(super) fn count(&mut self, run: &Transcript) {
        let verdict = &run.verdict;
        self.runs += 1;
        self.held += u64::from(verdict.held);
        self.certificates += verdict.certificates as u64;
        self.enrolled += u64::from(verdict.enrolled);
        self.alerts += u64::from(verdict.alert());
        if !verdict.held {
            self.fell_at.get_or_insert(run.seed);
        }
    }

    /// The same of a run against a safe.
    pub(super) fn count_safe(&mut self, run: &SafeRun) {
        self.runs += 1;
        self.held += u64::from(run.held);
        self.certificates += run.taken as u64;
        self.alerts += u64::from(!run.noticed.is_empty());
        if !run.held {
            self.fell_at.get_or_insert(run.seed);
        }
    }
}

/// Several strategies, several times each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Series {
    /// Whether the design held in every run.
    pub held: bool,
    /// How the people behaved.
    pub people: People,
    /// The first seed; each run takes the next.
    pub seed: u64,
    /// What became of each strategy.
    pub strategies: Vec<Tally>,
}
