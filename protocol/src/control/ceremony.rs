//! A running ceremony as a person's program sees it: where it stands, what to say, what may be done
//! now.

use serde::{Deserialize, Serialize};

use super::net::TransportName;
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
    /// The newcomer's side: claims an invitation.
    Claimer,
    /// The member's side: vouches for the newcomer.
    Greeter,
}

/// What the invitation is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Subject {
    /// A new person, by an invitation to an address.
    User {
        /// The e-mail address that was invited.
        email: Email,
    },
    /// A new device of a member.
    Device {
        /// The member whose further device is enrolled.
        user: UserId,
    },
    /// A share of a recovery kit, for a member who has lost all devices.
    Share {
        /// The member whom the kit brings back.
        user: UserId,
        /// Id of the kit.
        kit: DeviceId,
        /// Greeter: e-mail address of that member, as certified.
        #[serde(default)]
        email: Option<Email>,
    },
}

/// Where a ceremony stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Waiting for an answer of the server or of the peer.
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
    /// Claimer: everything is verified; choose a password for this device.
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
    /// `ceremony.choose`: pick or type the other side's code.
    Choose,
    /// `ceremony.identify`: say who the newcomer is.
    Identify,
    /// `ceremony.approve`: vouch for the newcomer, or decline.
    Approve,
    /// `ceremony.finish`: choose the new device's password.
    Finish,
    /// `ceremony.cancel`: end the attempt on both sides.
    Cancel,
    /// Something that a newer daemon takes. Never sent.
    #[serde(other)]
    Unknown,
}

/// A proposed code, plain and spelled out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Choice {
    /// The code: four characters out of 32.
    pub code: String,
    /// The same in words: `Kilo Seven Echo Mike`.
    pub spelled: String,
}

/// What the claimer says of themself. Hearsay until the greeter approves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClaimerInfo {
    /// The person's name; absent for a new device of a member.
    pub name: Option<Label>,
    /// What the device is called.
    pub device_label: Label,
}

/// How a ceremony ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum Outcome {
    /// Keys are on the claimer's device.
    Enrolled {
        /// The new or extended user.
        user: UserId,
        /// The id of the new device.
        device: DeviceId,
        /// SHA-256 of the organisation's root key, the same at every member's.
        #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
        root_fingerprint: String,
        /// Whether the certificates are known to be in the log yet.
        registered: bool,
    },
    /// Greeter: the share is with the claimer.
    ShareGiven {
        /// The member whom the kit brings back.
        user: UserId,
        /// Id of the kit.
        kit: DeviceId,
    },
    /// Claimer: the share is kept. Once `collected` is `needed`, `recovery.combine` goes on.
    ShareCollected {
        /// The member whom the kit brings back.
        user: UserId,
        /// Id of the kit.
        kit: DeviceId,
        /// Shares that were collected on this machine, of as many members.
        collected: u8,
        /// Shares that bring the member back.
        needed: u8,
        /// SHA-256 of the organisation's root key, the same at every member's.
        #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
        root_fingerprint: String,
    },
    /// The ceremony ended without a certificate.
    Failed {
        /// Why, and what to do.
        problem: Problem,
    },
}

/// A ceremony's whole visible state. Each change has a higher `revision`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CeremonyView {
    /// Number of the ceremony in this run of the daemon.
    pub id: CeremonyId,
    /// Counts changes from 1.
    pub revision: u64,
    /// Which side this is.
    pub role: Role,
    /// The organisation that is joined.
    pub organisation: OrganisationId,
    /// For whom; known to a claimer once the server answered.
    pub subject: Option<Subject>,
    /// Greeter: the invitation. A claimer's link is not repeated.
    pub token: Option<Token>,
    /// Claimer: e-mail of the member who invited, as the server tells it.
    pub invited_by: Option<Email>,
    /// The run at the server or peer; absent until it is opened.
    pub attempt: Option<AttemptId>,
    /// What the ceremony waits for.
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
    /// The transport it has taken; absent while that is not decided.
    #[serde(default)]
    pub transport: Option<TransportName>,
}
