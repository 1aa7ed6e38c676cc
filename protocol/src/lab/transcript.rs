//! What a run leaves behind: who did what, what the two people were told, and the verdict. Plain data.
//!
//! Decides when the design held. Refuses to hold a key: lengths of messages and the run's own throwaway codes are all there is.

use serde::Serialize;

use super::people::People;
use crate::enrol::io::Closed;

/// One of the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Who joins.
    Claimer,
    /// Who vouches.
    Greeter,
}

impl Side {
    /// The one opposite.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Claimer => Self::Greeter,
            Self::Greeter => Self::Claimer,
        }
    }
}

/// Who wants in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Newcomer {
    /// Somebody whom the greeter vouches for: a user and a first terminal are certified.
    Person,
    /// The greeter's own next terminal: it is given the user's private keys, too.
    Terminal,
}

impl Newcomer {
    /// Of a seed: every fourth is a terminal.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        if seed % 4 == 3 { Self::Terminal } else { Self::Person }
    }
}

/// Who did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// The newcomer's terminal.
    ClaimerTerminal,
    /// The newcomer.
    ClaimerPerson,
    /// The member's terminal.
    GreeterTerminal,
    /// The member.
    GreeterPerson,
    /// Server, relay, and everybody between.
    Adversary,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// Which run of the ceremony for this invitation: 1 is the first.
    pub attempt: u32,
    /// Seconds since the run began, on the lab's own clock.
    pub seconds: u64,
    /// By whom.
    pub who: Who,
    /// What, in a sentence.
    pub what: String,
    /// The message it is about, 0 to 8.
    pub step: Option<u8>,
    /// How long that message is.
    pub bytes: Option<usize>,
}

/// What a person was told at the end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Told {
    /// In which attempt.
    pub attempt: u32,
    /// Whom.
    pub side: Side,
    /// Why it is over, in the terminal's words.
    pub why: String,
}

/// How a run is judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Verdict {
    /// Nothing was signed for the adversary, nothing of the adversary's was believed, and a ceremony that came to nothing was
    /// seen to.
    pub held: bool,
    /// Certificates that the greeter's terminal signed for a key of the adversary's.
    pub certificates: usize,
    /// Whether the newcomer's terminal took somebody else's organisation for its own.
    pub captured: bool,
    /// Whether the newcomer was enrolled after all, with its own keys, at both ends.
    pub enrolled: bool,
    /// Whether certificates for the newcomer's own key wait for its receipt: message 8 may come at any later time.
    pub waiting: bool,
    /// Whose person took a code of the adversary's channel for the right one: half of the bits each.
    pub fooled: Vec<Side>,
    /// Each time that a terminal told its person that an attempt is over.
    pub told: Vec<Told>,
    /// Runs of the ceremony that the two people began.
    pub attempts: u32,
    /// Attempts that began without a person having begun them.
    pub silent_restarts: u32,
}

impl Verdict {
    /// An alert: on at least one side the terminal told its person that this attempt is over and why, in the last attempt too. What a
    /// person ended by hand counts, since only a person who noticed something does that.
    #[must_use]
    pub fn alert(&self) -> bool {
        self.told.iter().any(|told| told.attempt == self.attempts)
    }

    /// Whether what was to be kept out was kept out, by what the run found.
    pub(super) fn judge(&mut self) {
        let seen = self.enrolled || self.waiting || self.alert();
        self.held = self.certificates == 0 && !self.captured && self.silent_restarts == 0 && seen;
    }
}

/// A whole run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Transcript {
    /// The strategy's name.
    pub adversary: &'static str,
    /// How the people behaved.
    pub people: People,
    /// Who wanted in.
    pub newcomer: Newcomer,
    /// The seed that repeats it.
    pub seed: u64,
    /// In order.
    pub events: Vec<Event>,
    /// The judgement.
    pub verdict: Verdict,
}

/// The end of an attempt as a person reads it.
pub(super) fn told(why: Closed) -> String {
    why.to_string()
}
