//! `lab`: which adversary, how often, by which seed, against whom.
//!
//! Decides how much is played at most. Refuses anything that would reach outside: there is no
//! option for a server, a device or a file.

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use crate::commands::lab;

/// Runs of one call: some minutes, after which a person thinks it has hung.
const RUNS_MAX: u64 = 100_000;

#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  parsecctl lab                                        # every strategy once\n  parsecctl lab --adversary two-handshakes              # one, step by step\n  parsecctl lab --runs 100 --people inattentive         # people who pick without listening"
)]
pub(crate) struct Lab {
    /// List the strategies
    #[arg(long, conflicts_with_all = ["adversary", "runs", "seed", "people"])]
    pub(crate) list: bool,
    /// Only this strategy; once, it is shown step by step [default: every one]
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(lab::values()), hide_possible_values = true)]
    pub(crate) adversary: Option<String>,
    /// How often each is played
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=RUNS_MAX))]
    pub(crate) runs: u64,
    /// The seed of the first run; each further one takes the next
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Whether the people listen
    #[arg(long, value_enum, value_name = "WHICH", default_value_t = Listeners::Attentive)]
    pub(crate) people: Listeners,
}

/// How the two people behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listeners {
    /// They find the code they hear, and say so when it isn't there
    Attentive,
    /// They pick one of the four without listening
    Inattentive,
}
