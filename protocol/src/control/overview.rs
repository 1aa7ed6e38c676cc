//! The daemon's state as its events tell it, and how an event changes it.
//!
//! Decides the one fold: the daemon keeps what it shows by it, and a program that follows events
//! may keep the same. Refuses, by having no field for it, whatever of a ceremony is for the person
//! at this device alone.

use serde::{Deserialize, Serialize};

use super::ceremony::{CeremonyView, Outcome, Stage};
use super::events::{Alarm, CeremonySummary, EnrolledIds, Event};
use super::methods::{DeviceState, DeviceView, StatusResult};
use super::safes::SafeSummary;
use crate::ids::DeviceId;

/// Ended ceremonies that can still be looked at: more than a person remembers, and some kilobytes.
pub const ENDED_CEREMONIES_MAX: usize = 64;

/// What `status.show` gives, less what only the person may see: ceremonies are summaries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Overview {
    /// Version of the daemon's program, such as `0.1.0`.
    pub version: String,
    /// [`super::API_VERSION`] of the daemon.
    pub api_version: String,
    /// Process id of the daemon.
    pub pid: u32,
    /// This machine's devices, in the order of organisation and id.
    pub devices: Vec<DeviceView>,
    /// Ceremonies under way or just ended, in the order of their ids.
    pub ceremonies: Vec<CeremonySummary>,
    /// What a person has to look at.
    pub alarms: Vec<Alarm>,
    /// Safes of the unlocked devices, in the order of device and id.
    #[serde(default)]
    pub safes: Vec<SafeSummary>,
}

impl Overview {
    /// The state after an event. One that changes no state, or that this program does not know, is
    /// passed over.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::DeviceAdded { device } | Event::DeviceChanged { device, .. } => {
                self.devices.retain(|old| old.device != device.device);
                self.devices.push(device.clone());
                self.devices.sort_by(|a, b| (&a.organisation, a.device).cmp(&(&b.organisation, b.device)));
                // Nothing is known of them any more, until it is unlocked.
                if device.state == DeviceState::Locked {
                    self.safes.retain(|safe| safe.device != device.device);
                }
            }
            Event::DeviceForgotten { device } => {
                self.devices.retain(|old| old.device != *device);
                // Nobody could acknowledge them any more.
                self.alarms.retain(|alarm| alarm.device != Some(*device));
                self.safes.retain(|safe| safe.device != *device);
            }
            Event::CeremonyStarted { ceremony } => {
                self.make_room();
                self.put(ceremony);
            }
            Event::CeremonyChanged { ceremony } | Event::CeremonyEnded { ceremony } => self.put(ceremony),
            Event::TransportChanged { ceremony, transport, .. } => {
                if let Some(shown) = self.ceremonies.iter_mut().find(|shown| shown.id == *ceremony) {
                    shown.transport = Some(*transport);
                }
            }
            Event::Alarm { alarm } => self.alarms.push(alarm.clone()),
            Event::AlarmAcknowledged { alarm } => {
                self.alarms.retain(|old| (old.device, old.id) != (alarm.device, alarm.id));
            }
            Event::SafeOffered { safe } | Event::SafeChanged { safe, .. } => {
                self.safes.retain(|old| (old.device, old.safe) != (safe.device, safe.safe));
                self.safes.push(safe.clone());
                self.safes.sort_by_key(|safe| (safe.device, safe.safe));
            }
            Event::SafeGone { device, safe } => {
                self.safes.retain(|old| (old.device, old.safe) != (*device, *safe));
            }
            Event::UnlockRefused { .. }
            | Event::FileConflict { .. }
            | Event::OwnChange { .. }
            | Event::InvitationCreated { .. }
            | Event::InvitationCancelled { .. }
            | Event::TokenCreated { .. }
            | Event::TokenRevoked { .. }
            | Event::TokenRefused { .. }
            | Event::Stopping
            | Event::Unknown => {}
        }
    }

    fn put(&mut self, ceremony: &CeremonySummary) {
        self.ceremonies.retain(|old| old.id != ceremony.id);
        self.ceremonies.push(ceremony.clone());
        self.ceremonies.sort_by_key(|ceremony| ceremony.id);
    }

    /// Before a ceremony starts, the oldest of those ended make room for it.
    fn make_room(&mut self) {
        let ended = self.ceremonies.iter().filter(|ceremony| ceremony.is_over()).count();
        let mut surplus = (ended + 1).saturating_sub(ENDED_CEREMONIES_MAX);
        self.ceremonies.retain(|ceremony| {
            let goes = surplus > 0 && ceremony.is_over();
            surplus -= usize::from(goes);
            !goes
        });
    }

    /// A device that is shown.
    #[must_use]
    pub fn device(&self, device: DeviceId) -> Option<&DeviceView> {
        self.devices.iter().find(|shown| shown.device == device)
    }
}

impl From<&StatusResult> for Overview {
    fn from(status: &StatusResult) -> Self {
        Self {
            version: status.version.clone(),
            api_version: status.api_version.clone(),
            pid: status.pid,
            devices: status.devices.clone(),
            ceremonies: status.ceremonies.iter().map(CeremonySummary::from).collect(),
            alarms: status.alarms.clone(),
            safes: status.safes.clone(),
        }
    }
}

impl CeremonySummary {
    /// Whether it has ended.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Done | Stage::Closed)
    }
}

impl From<&CeremonyView> for CeremonySummary {
    fn from(view: &CeremonyView) -> Self {
        let (enrolled, problem) = match &view.outcome {
            Some(Outcome::Enrolled { user, device, .. }) => {
                (Some(EnrolledIds { user: *user, device: *device }), None)
            }
            // The name alone: a sentence could quote what the other side sent.
            Some(Outcome::Failed { problem }) => (None, Some(problem.name)),
            // Nobody was enrolled.
            Some(Outcome::ShareGiven { .. } | Outcome::ShareCollected { .. }) | None => (None, None),
        };
        Self {
            id: view.id,
            role: view.role,
            organisation: view.organisation.clone(),
            subject: view.subject.clone(),
            stage: view.stage,
            enrolled,
            problem,
            transport: view.transport,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{CeremonyId, ProblemKind, Role, TransportName};

    fn ceremony(id: u64, stage: Stage) -> CeremonySummary {
        CeremonySummary {
            id: CeremonyId(id),
            role: Role::Claimer,
            organisation: "acme".parse().unwrap(),
            subject: None,
            stage,
            enrolled: None,
            problem: (stage == Stage::Closed).then_some(ProblemKind::Cancelled),
            transport: None,
        }
    }

    #[test]
    fn ended_ceremonies_are_bounded_and_those_under_way_stay() {
        let mut overview = Overview::default();
        overview.apply(&Event::CeremonyStarted { ceremony: ceremony(1, Stage::Connecting) });
        for id in 2..200 {
            overview.apply(&Event::CeremonyStarted { ceremony: ceremony(id, Stage::Connecting) });
            overview.apply(&Event::CeremonyEnded { ceremony: ceremony(id, Stage::Closed) });
        }
        assert_eq!(overview.ceremonies.len(), ENDED_CEREMONIES_MAX + 1);
        let ids: Vec<_> = overview.ceremonies.iter().map(|ceremony| ceremony.id.0).take(2).collect();
        assert_eq!(ids, [1, 200 - ENDED_CEREMONIES_MAX as u64]);
    }

    #[test]
    fn a_transport_is_noted_where_its_ceremony_is_and_nowhere_else() {
        let mut overview = Overview::default();
        for id in [1, 2] {
            overview.apply(&Event::CeremonyStarted { ceremony: ceremony(id, Stage::Connecting) });
        }
        let reason = "server_unreachable".to_owned();
        overview.apply(&Event::TransportChanged {
            ceremony: CeremonyId(2),
            transport: TransportName::P2p,
            reason: reason.clone(),
        });
        overview.apply(&Event::TransportChanged {
            ceremony: CeremonyId(3),
            transport: TransportName::P2p,
            reason,
        });
        let transports: Vec<_> = overview.ceremonies.iter().map(|ceremony| ceremony.transport).collect();
        assert_eq!(transports, [None, Some(TransportName::P2p)]);
    }

    #[test]
    fn a_summary_has_none_of_the_persons_own() {
        let text = r#"{"id":1,"revision":4,"role":"greeter","organisation":"acme","subject":null,
            "token":"00112233445566778899aabbccddeeff","invited_by":"planted@example.org","attempt":null,
            "stage":"closed","allowed":[],"say":{"code":"K7EM","spelled":"Planted"},
            "choices":[{"code":"K7EM","spelled":"Planted"}],"typed_required":false,
            "claimer":{"name":"Planted","device_label":"Planted"},"note":"Planted",
            "outcome":{"result":"failed","problem":{"name":"cancelled","message":"Planted","fault":"caller",
            "hint":"Planted","retryable":true,"exit_code":75}}}"#;
        let view: CeremonyView = serde_json::from_str(text).unwrap();
        let summary = serde_json::to_string(&CeremonySummary::from(&view)).unwrap();
        for planted in ["lanted", "K7EM", "0011"] {
            assert!(!summary.contains(planted), "{summary}");
        }
    }
}
