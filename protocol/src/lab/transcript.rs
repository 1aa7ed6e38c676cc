//! What a run leaves behind: who did what, what the two people were told, and the verdict. Plain
//! data.
//!
//! Decides when the design held. Refuses to hold a key: lengths of messages and the run's own
//! throwaway codes are all there is.

use serde::Serialize;

use super::people::People;
use crate::enrol::io::Closed;

/// One of the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The newcomer's side, which joins.
    Claimer,
    /// The member's side, which vouches.
    Greeter,
}

impl Side {
    /// The side opposite of this one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Claimer => Self::Greeter,
            Self::Greeter => Self::Claimer,
        }
    }
}

/// The person or device that wants in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Newcomer {
    /// Somebody whom the greeter vouches for: a user and a first device are certified.
    Person,
    /// The greeter's own next device: it is given the user's private keys, too.
    Device,
}

impl Newcomer {
    /// Of a seed: every fourth is a device.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        if seed % 4 == 3 { Self::Device } else { Self::Person }
    }
}

/// The party that did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// The newcomer's device, as its program runs.
    ClaimerDevice,
    /// The newcomer, in front of it.
    ClaimerPerson,
    /// The member's device, as its program runs.
    GreeterDevice,
    /// The member, in front of it.
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
    /// The party that did it.
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
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// The side whose person was told.
    pub side: Side,
    /// Why it is over, in the device's words.
    pub why: String,
}

/// How a run is judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Verdict {
    /// Nothing was signed for the adversary, nothing of the adversary's was believed, and a
    /// ceremony that came to nothing was seen to.
    pub held: bool,
    /// Certificates that the greeter's device signed for a key of the adversary's.
    pub certificates: usize,
    /// Whether the newcomer's device took somebody else's organisation for its own.
    pub captured: bool,
    /// Whether the newcomer was enrolled after all, with its own keys, at both ends.
    pub enrolled: bool,
    /// Whether certificates for the newcomer's own key wait for its receipt: message 8 may come at
    /// any later time.
    pub waiting: bool,
    /// Whose person took a code of the adversary's channel for the right one: half of the bits
    /// each.
    pub fooled: Vec<Side>,
    /// Each time that a device told its person that an attempt is over.
    pub told: Vec<Told>,
    /// Runs of the ceremony that the two people began.
    pub attempts: u32,
    /// Attempts that began without a person having begun them.
    pub silent_restarts: u32,
}

impl Verdict {
    /// An alert: on at least one side the device told its person that this attempt is over and
    /// why, in the last attempt too. What a person ended by hand counts, since only a person who
    /// noticed something does that.
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

/// A whole run, step by step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Transcript {
    /// Name of the strategy that was played.
    pub adversary: &'static str,
    /// How the people behaved.
    pub people: People,
    /// The person or device that wanted in.
    pub newcomer: Newcomer,
    /// The seed that repeats it.
    pub seed: u64,
    /// What happened, in the order of time.
    pub events: Vec<Event>,
    /// Whether the design held, and why.
    pub verdict: Verdict,
}

/// The end of an attempt as a person reads it.
pub(super) fn told(why: Closed) -> String {
    why.to_string()
}
