//! A running ceremony as a person's program sees it: where it stands, what to say, what may be done now.

use serde::{Deserialize, Serialize};

use super::net::RoadName;
use super::problem::Problem;
use crate::ids::{AttemptId, DeviceId, Email, Label, OrganisationId, Token, UserId};

/// Names a ceremony within one daemon: a number that is never used twice while the daemon runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct CeremonyId(pub u64);

/// Which side of the ceremony this daemon plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Joins.
    Claimer,
    /// Vouches.
    Greeter,
}

/// What the invitation is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Subject {
    /// A new person.
    User {
        /// The invited address.
        email: Email,
    },
    /// A new terminal of a member.
    Device {
        /// Whose.
        user: UserId,
    },
}

/// Where a ceremony stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Reaching the server.
    Connecting,
    /// The other side has not come yet.
    WaitingForPeer,
    /// Keys are being agreed on.
    Handshake,
    /// Read `say` to the other person; they pick it on their side.
    SayCode,
    /// Listen, then give the code that was heard: one of `choices`, or typed, or none.
    ChooseCode,
    /// Claimer: say that the code was found, and fill in who you are.
    Identify,
    /// Claimer: the greeter is looking at your information.
    WaitingForApproval,
    /// Greeter: look at `claimer`, and state that the person said aloud that the code was found.
    Approve,
    /// Claimer: everything is verified; choose a password for this terminal.
    SetPassword,
    /// Greeter: the newcomer is choosing a password.
    WaitingForPassword,
    /// The certificates are being put into the log.
    Registering,
    /// Well ended; see `outcome`.
    Done,
    /// Ended otherwise; see `outcome`.
    Closed,
    /// A stage that a newer daemon has: wait for the next. Never sent.
    #[serde(other)]
    Unknown,
}

/// What may be asked of a ceremony now. Each is a method: `ceremony.choose` and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// `ceremony.choose`
    Choose,
    /// `ceremony.identify`
    Identify,
    /// `ceremony.approve`
    Approve,
    /// `ceremony.finish`
    Finish,
    /// `ceremony.cancel`
    Cancel,
    /// Something that a newer daemon takes. Never sent.
    #[serde(other)]
    Unknown,
}

/// A proposed code, plain and spelled out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Choice {
    /// Four characters.
    pub code: String,
    /// The same in words: `Kilo Seven Echo Mike`.
    pub spelled: String,
}

/// What the claimer says of themself. Hearsay until the greeter approves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClaimerInfo {
    /// The person's name; absent for a new terminal of a member.
    pub name: Option<Label>,
    /// What the terminal is called.
    pub device_label: Label,
}

/// How a ceremony ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum Outcome {
    /// Keys are on the claimer's terminal.
    Enrolled {
        /// The new or extended user.
        user: UserId,
        /// The new terminal.
        device: DeviceId,
        /// SHA-256 of the organisation's root key, the same at every member's.
        #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
        root_fingerprint: String,
        /// Whether the certificates are known to be in the log yet.
        registered: bool,
    },
    /// Nothing was certified.
    Failed {
        /// Why, and what to do.
        problem: Problem,
    },
}

/// A ceremony's whole visible state. Each change has a higher `revision`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CeremonyView {
    /// Which.
    pub id: CeremonyId,
    /// Counts changes from 1.
    pub revision: u64,
    /// Which side this is.
    pub role: Role,
    /// Where.
    pub organisation: OrganisationId,
    /// For whom; known to a claimer once the server answered.
    pub subject: Option<Subject>,
    /// Greeter: the invitation. A claimer's link is not repeated.
    pub token: Option<Token>,
    /// Claimer: e-mail of the member who invited, as the server tells it.
    pub invited_by: Option<Email>,
    /// The run.
    pub attempt: Option<AttemptId>,
    /// Where it stands.
    pub stage: Stage,
    /// What may be asked now.
    pub allowed: Vec<Action>,
    /// The code to read aloud now.
    pub say: Option<Choice>,
    /// The proposals to choose from now: four, or none where the code must be typed.
    pub choices: Vec<Choice>,
    /// Whether the organisation requires codes to be typed.
    pub typed_required: bool,
    /// Greeter: what the claimer filled in.
    pub claimer: Option<ClaimerInfo>,
    /// Set when `stage` is `done` or `closed`.
    pub outcome: Option<Outcome>,
    /// What is being waited for or tried again, in a sentence; for people only.
    pub note: Option<String>,
    /// Which road it has taken; absent while that is not decided. Since API 1.2.
    #[serde(default)]
    pub transport: Option<RoadName>,
}
