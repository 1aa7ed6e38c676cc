//! What happens in the daemon, as a stream that a program can follow, leave and come back to.
//!
//! Decides the kinds of events. Refuses, by having no field for it, to carry a code, a link, a token or a password:
//! events also go to plug-ins.

use serde::{Deserialize, Serialize};

use super::ceremony::{CeremonyId, Role, Stage, Subject};
use super::evidence::EntryKind;
use super::methods::DeviceView;
use super::net::RoadName;
use super::overview::Overview;
use super::problem::{Problem, ProblemKind};
use super::tokens::TokenId;
use crate::ids::{DeviceId, OrganisationId, Timestamp, UserId};

/// Names one run of the daemon; random, 32 hexadecimal digits. Ids of events are comparable within one stream only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(pub String);

/// The last event that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EventPosition {
    /// Of which run.
    pub stream: StreamId,
    /// Which.
    pub id: u64,
}

/// `events.watch`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EventsWatch {
    /// Go on after this one. Absent: begin with a snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<EventPosition>,
}

/// One notification of `events.watch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum EventItem {
    /// The state after event `id`; what follows builds on it.
    Snapshot {
        /// Of which run.
        stream: StreamId,
        /// The last event that is in it; 0 if there was none.
        id: u64,
        /// When it was taken.
        time: Timestamp,
        /// What `status.show` gives, with ceremonies as summaries: this goes to plug-ins, too.
        status: Box<Overview>,
    },
    /// Events are missing here: too old, of an earlier run, or too many for a slow reader. A snapshot follows.
    Gap {
        /// The present run.
        stream: StreamId,
        /// The first event that is missing; absent if the reader followed an earlier run.
        from: Option<u64>,
        /// The last event that is missing.
        to: u64,
    },
    /// Something happened.
    Event {
        /// Of which run.
        stream: StreamId,
        /// Rises by one from event to event.
        id: u64,
        /// When.
        time: Timestamp,
        /// What.
        event: Event,
    },
    /// A kind that a newer daemon has: pass over it.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    /// A device came to be on this machine.
    DeviceAdded {
        /// It.
        device: DeviceView,
    },
    /// A device was locked, unlocked, registered, or its outbox changed.
    DeviceChanged {
        /// As it is now.
        device: DeviceView,
        /// `unlocked`, `locked`, `idle`, `registration`, `password`, `outbox`; more may come.
        reason: String,
    },
    /// A device was removed from this machine.
    DeviceForgotten {
        /// It.
        device: DeviceId,
    },
    /// A wrong password was given.
    UnlockRefused {
        /// For which device.
        device: DeviceId,
    },
    /// A ceremony began.
    CeremonyStarted {
        /// It.
        ceremony: CeremonySummary,
    },
    /// A ceremony went on to another stage.
    CeremonyChanged {
        /// It.
        ceremony: CeremonySummary,
    },
    /// A ceremony ended.
    CeremonyEnded {
        /// It.
        ceremony: CeremonySummary,
    },
    /// A ceremony takes this road from now on. Since API 1.2.
    RoadChanged {
        /// Which.
        ceremony: CeremonyId,
        /// The road.
        road: RoadName,
        /// `asked`, `server_reached`, `server_unreachable`, `invitation_unknown`; more may come.
        reason: String,
    },
    /// Somebody was invited from here.
    InvitationCreated {
        /// Where.
        organisation: OrganisationId,
        /// Whom.
        subject: Subject,
        /// When it ends.
        expires: Timestamp,
    },
    /// An invitation was cancelled from here.
    InvitationCancelled {
        /// Where.
        organisation: OrganisationId,
    },
    /// A person has to look at this.
    Alarm {
        /// It.
        alarm: Alarm,
    },
    /// A person has dealt with it. Since API 1.2.
    AlarmAcknowledged {
        /// It.
        alarm: Alarm,
    },
    /// The log says something new about the user of a device of this machine, by the word of another device. Since API 1.2.
    OwnChange {
        /// The device of this machine.
        device: DeviceId,
        /// Where.
        organisation: OrganisationId,
        /// `device`: another terminal of the user; `device_revoked`, `profile`, `user_revoked`.
        change: EntryKind,
        /// The terminal it is about; absent where it is about the user.
        about: Option<DeviceId>,
        /// Of whom or what, in words; absent for a plug-in.
        subject: Option<String>,
        /// Who signed, in words; absent for a plug-in.
        signed_by: Option<String>,
        /// When, by the signer's clock.
        signed: Timestamp,
    },
    /// A plug-in was given access.
    TokenCreated {
        /// Its token.
        id: TokenId,
        /// What it is called.
        name: String,
    },
    /// A plug-in's access was taken back.
    TokenRevoked {
        /// Its token.
        id: TokenId,
        /// What it is called.
        name: String,
    },
    /// A plug-in asked for something it may not have, or too often.
    TokenRefused {
        /// Its token; absent if there is none such.
        id: Option<TokenId>,
        /// The method.
        method: String,
        /// Why.
        problem: ProblemKind,
    },
    /// The daemon is stopping: the last event of a run.
    Stopping,
    /// A type that a newer daemon has: pass over it.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// A ceremony, as anybody who may see that there is one sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CeremonySummary {
    /// Which.
    pub id: CeremonyId,
    /// Which side this is.
    pub role: Role,
    /// Where.
    pub organisation: OrganisationId,
    /// For whom; known to a claimer once the server answered.
    pub subject: Option<Subject>,
    /// Where it stands.
    pub stage: Stage,
    /// Ended well: the member and the terminal.
    pub enrolled: Option<EnrolledIds>,
    /// Ended otherwise: the problem's name. `ceremony.show` has the rest.
    pub problem: Option<ProblemKind>,
    /// Which road it has taken; absent while that is not decided. Since API 1.2.
    #[serde(default)]
    pub transport: Option<RoadName>,
}

/// Who was enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EnrolledIds {
    /// The member.
    pub user: UserId,
    /// The terminal.
    pub device: DeviceId,
}

/// Something that stays until a person has dealt with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Alarm {
    /// Its number among the device's, for `trust.acknowledge`; absent where it could not be kept. Since API 1.2.
    #[serde(default)]
    pub id: Option<u64>,
    /// Which of this machine's devices noticed it. Since API 1.2.
    #[serde(default)]
    pub device: Option<DeviceId>,
    /// Where.
    pub organisation: OrganisationId,
    /// What is wrong, and what to do.
    pub problem: Problem,
    /// Since when.
    pub since: Timestamp,
    /// Whether a proof is kept that can be shown to others: `trust.fork` gives it. Since API 1.2.
    #[serde(default)]
    pub proof: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_daemon_says_is_passed_over() {
        let item: EventItem = serde_json::from_str(r#"{"kind":"weather","rain":true}"#).unwrap();
        assert_eq!(item, EventItem::Unknown);
        let event: Event = serde_json::from_str(r#"{"type":"weather","rain":true}"#).unwrap();
        assert_eq!(event, Event::Unknown);
    }
}
