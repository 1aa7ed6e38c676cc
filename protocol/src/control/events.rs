//! What happens in the daemon, as a stream that a program can follow, leave and come back to.
//!
//! Decides the kinds of events. Refuses, by having no field for it, to carry a code, a link, a
//! token or a password: events also go to plug-ins.

use serde::{Deserialize, Serialize};

use super::ceremony::{CeremonyId, Role, Stage, Subject};
use super::evidence::EntryKind;
use super::methods::DeviceView;
use super::net::TransportName;
use super::overview::Overview;
use super::problem::{Problem, ProblemKind};
use super::safes::SafeSummary;
use super::tokens::TokenId;
use crate::ids::{DeviceId, EntryId, OrganisationId, SafeId, Timestamp, UserId};

/// Names one run of the daemon; random, 32 hexadecimal digits. Ids of events are comparable within
/// one stream only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(pub String);

/// The last event that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EventPosition {
    /// The run of the daemon that numbered the event.
    pub stream: StreamId,
    /// The event's number in that run; the first is 1.
    pub id: u64,
}

/// Parameters of `events.watch`.
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
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all items are events, and each becomes a line before the next is made"
)]
pub enum EventItem {
    /// The state after event `id`; what follows builds on it.
    Snapshot {
        /// The run of the daemon that the snapshot is of.
        stream: StreamId,
        /// The last event that is in it; 0 if there was none.
        id: u64,
        /// When it was taken.
        time: Timestamp,
        /// What `status.show` gives, with ceremonies as summaries: this goes to plug-ins, too.
        status: Box<Overview>,
    },
    /// Events are missing here: too old, of an earlier run, or too many for a slow reader. A
    /// snapshot follows.
    Gap {
        /// The present run of the daemon.
        stream: StreamId,
        /// The first event that is missing; absent if the reader followed an earlier run.
        from: Option<u64>,
        /// The last event that is missing.
        to: u64,
    },
    /// One event, with its number.
    Event {
        /// The run of the daemon that numbered it.
        stream: StreamId,
        /// Rises by one from event to event.
        id: u64,
        /// When the daemon published it, by its clock.
        time: Timestamp,
        /// What happened, by its type.
        event: Event,
    },
    /// A kind that a newer daemon has: pass over it.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// Something that happened at the daemon, by its type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    /// A device came to be on this machine.
    DeviceAdded {
        /// The device as it is now.
        device: DeviceView,
    },
    /// A device was locked, unlocked, registered, or its outbox changed.
    DeviceChanged {
        /// The device as it is now.
        device: DeviceView,
        /// `unlocked`, `locked`, `idle`, `registration`, `password`, `outbox`, `user_key`,
        /// `lockouts`; more may come.
        reason: String,
    },
    /// A device was removed from this machine.
    DeviceForgotten {
        /// Id of the device that was removed.
        device: DeviceId,
    },
    /// A wrong password was given.
    UnlockRefused {
        /// Id of the device whose password was tried.
        device: DeviceId,
    },
    /// A ceremony began at this machine.
    CeremonyStarted {
        /// The ceremony as it began.
        ceremony: CeremonySummary,
    },
    /// A ceremony went on to another stage.
    CeremonyChanged {
        /// The ceremony at its new stage.
        ceremony: CeremonySummary,
    },
    /// A ceremony ended, with a new device or a problem.
    CeremonyEnded {
        /// The ceremony with its outcome.
        ceremony: CeremonySummary,
    },
    /// A ceremony takes this transport from now on.
    TransportChanged {
        /// Number of the ceremony in this run.
        ceremony: CeremonyId,
        /// The transport that it takes from now on.
        transport: TransportName,
        /// `asked`, `server_reached`, `server_unreachable`, `invitation_unknown`; more may come.
        reason: String,
    },
    /// Somebody was invited from here.
    InvitationCreated {
        /// The organisation that somebody is invited to.
        organisation: OrganisationId,
        /// The person or member who is invited.
        subject: Subject,
        /// When the invitation ends.
        expires: Timestamp,
    },
    /// An invitation was cancelled from here.
    InvitationCancelled {
        /// The organisation of the invitation.
        organisation: OrganisationId,
    },
    /// A finding about a server's log that a person has to look at.
    Alarm {
        /// The new alarm, as `status.show` lists it.
        alarm: Alarm,
    },
    /// A person has acknowledged an alarm.
    AlarmAcknowledged {
        /// The alarm that a person has acknowledged.
        alarm: Alarm,
    },
    /// The log says something new about the user of a device of this machine, by the word of
    /// another device.
    OwnChange {
        /// The device of this machine.
        device: DeviceId,
        /// The organisation whose log says so.
        organisation: OrganisationId,
        /// `device`: another device of the user; `device_revoked`, `profile`, `user_revoked`,
        /// `user_key`, which a device changes by itself.
        change: EntryKind,
        /// The device it is about; absent where it is about the user.
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
        /// Id of the new token; its secret is in no event.
        id: TokenId,
        /// Name of the token, given by whoever made it.
        name: String,
    },
    /// A plug-in's access was taken back.
    TokenRevoked {
        /// Id of the token that was revoked.
        id: TokenId,
        /// Name of the token, given by whoever made it.
        name: String,
    },
    /// A plug-in asked for something it may not have, or too often.
    TokenRefused {
        /// Id of the token; absent if the secret was no token's.
        id: Option<TokenId>,
        /// Name of the method that was called.
        method: String,
        /// Why the call was refused, by its stable name.
        problem: ProblemKind,
    },
    /// A safe that somebody has let the user into, and that waits to be accepted.
    SafeOffered {
        /// The safe as it is now.
        safe: SafeSummary,
    },
    /// A safe of a device is there, or is not as it was.
    SafeChanged {
        /// The safe as it is now.
        safe: SafeSummary,
        /// `created`, `accepted`, `members`, `key`, `name`, `files`, `waiting`, `shared`,
        /// `problem`, `confirmed`, `left`, `taken_over`; more may come.
        reason: String,
    },
    /// A safe is shown no more: it was never accepted, and the offer was taken back.
    SafeGone {
        /// The device of this machine.
        device: DeviceId,
        /// Id of the safe.
        safe: SafeId,
    },
    /// A file was changed on two devices at once: there is a copy beside it now.
    FileConflict {
        /// The device of this machine.
        device: DeviceId,
        /// Id of the safe.
        safe: SafeId,
        /// Id of the copy; `file.conflicts` says where it is.
        entry: EntryId,
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
    /// Number of the ceremony in this run of the daemon.
    pub id: CeremonyId,
    /// Which side this is.
    pub role: Role,
    /// The organisation that is joined.
    pub organisation: OrganisationId,
    /// For whom; known to a claimer once the server answered.
    pub subject: Option<Subject>,
    /// What the ceremony waits for.
    pub stage: Stage,
    /// Ended well: the member and the device.
    pub enrolled: Option<EnrolledIds>,
    /// Ended otherwise: the problem's name. `ceremony.show` has the rest.
    pub problem: Option<ProblemKind>,
    /// The transport it has taken; absent while that is not decided.
    #[serde(default)]
    pub transport: Option<TransportName>,
}

/// Ids of the member and device that were enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EnrolledIds {
    /// Id of the member, new or not.
    pub user: UserId,
    /// Id of the member's new device.
    pub device: DeviceId,
}

/// Something that stays until a person has dealt with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Alarm {
    /// Its number among the device's, for `trust.acknowledge`; absent where it could not be kept.
    #[serde(default)]
    pub id: Option<u64>,
    /// Which of this machine's devices noticed it.
    #[serde(default)]
    pub device: Option<DeviceId>,
    /// The organisation whose log or server it is about.
    pub organisation: OrganisationId,
    /// What is wrong, and what to do.
    pub problem: Problem,
    /// When the finding was made, by the daemon's clock.
    pub since: Timestamp,
    /// Whether a proof is kept that can be shown to others: `trust.fork` gives it.
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
