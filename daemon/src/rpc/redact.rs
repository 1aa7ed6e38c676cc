//! What a plug-in sees of what the user sees.
//!
//! Decides field by field: a new field of a ceremony stops the compiler here. Refuses codes, the
//! proposals among which the true one is, invitations' tokens, what a newcomer says of themself,
//! and sentences, which may quote any of these.

use parsec_protocol::control::{
    CeremonyListResult, CeremonyView, Event, EventItem, Outcome, Problem, Socket, StatusResult,
};

use crate::os::caller::Caller;

/// `status.show`
pub(super) fn status(caller: &Caller, mut result: StatusResult) -> StatusResult {
    if caller.socket == Socket::Plugin {
        result.ceremonies = result.ceremonies.into_iter().map(ceremony).collect();
        for alarm in &mut result.alarms {
            plain(&mut alarm.problem);
        }
    }
    result
}

/// `ceremony.list`
pub(super) fn ceremonies(caller: &Caller, mut result: CeremonyListResult) -> CeremonyListResult {
    if caller.socket == Socket::Plugin {
        result.ceremonies = result.ceremonies.into_iter().map(ceremony).collect();
    }
    result
}

/// `events.item`. What else is in an event was made for everybody: its types have no field for
/// more.
pub(super) fn item(caller: &Caller, mut item: EventItem) -> EventItem {
    if caller.socket == Socket::Plugin {
        match &mut item {
            EventItem::Snapshot { status, .. } => {
                for alarm in &mut status.alarms {
                    plain(&mut alarm.problem);
                }
            }
            EventItem::Event {
                event: Event::Alarm { alarm } | Event::AlarmAcknowledged { alarm }, ..
            } => {
                plain(&mut alarm.problem);
            }
            EventItem::Event { event: Event::OwnChange { subject, signed_by, .. }, .. } => {
                (*subject, *signed_by) = (None, None);
            }
            EventItem::Event { .. } | EventItem::Gap { .. } | EventItem::Unknown => {}
        }
    }
    item
}

fn ceremony(view: CeremonyView) -> CeremonyView {
    let CeremonyView {
        id,
        revision,
        role,
        organisation,
        subject,
        token: _,
        invited_by,
        attempt: _,
        stage,
        allowed: _,
        say: _,
        choices: _,
        typed_required,
        claimer: _,
        outcome,
        note: _,
        transport,
    } = view;
    let outcome = match outcome {
        Some(Outcome::Failed { mut problem }) => {
            plain(&mut problem);
            Some(Outcome::Failed { problem })
        }
        outcome @ (Some(
            Outcome::Enrolled { .. } | Outcome::ShareGiven { .. } | Outcome::ShareCollected { .. },
        )
        | None) => outcome,
    };
    CeremonyView {
        id,
        revision,
        role,
        organisation,
        subject,
        token: None,
        invited_by,
        attempt: None,
        stage,
        allowed: Vec::new(),
        say: None,
        choices: Vec::new(),
        typed_required,
        claimer: None,
        outcome,
        note: None,
        transport,
    }
}

/// A problem's name says what happened; its sentence may say with what.
fn plain(problem: &mut Problem) {
    *problem = Problem::new(problem.name, "See the user's own programs for what happened.");
}

#[cfg(test)]
mod tests {
    use parsec_protocol::control::{Alarm, Overview, ProblemKind, Role, Stage, StreamId};
    use parsec_protocol::ids::Timestamp;
    use std::sync::Arc;

    use super::*;

    /// Every text a ceremony can hold has a mark in it; none may come out.
    fn marked(outcome: &str) -> CeremonyView {
        serde_json::from_str(&format!(
            r#"{{"id":1,"revision":6,"role":"greeter","organisation":"acme","subject":{{"kind":"user","email":"bob@example.org"}},
            "token":"00112233445566778899aabbccddee01","invited_by":"alice@example.org","attempt":"00112233445566778899aabbccddee02",
            "stage":"choose_code","allowed":["choose"],"say":{{"code":"MARK","spelled":"Mike MARK"}},
            "choices":[{{"code":"MARK","spelled":"MARK"}}],"typed_required":false,
            "claimer":{{"name":"MARK","device_label":"MARK"}},"outcome":{outcome},"note":"MARK"}}"#
        ))
        .unwrap()
    }

    #[test]
    fn codes_tokens_and_sentences_stay_at_the_users_socket() {
        let failed = r#"{"result":"failed","problem":{"name":"code_mismatch","message":"MARK","fault":"peer","hint":"MARK.","retryable":false,"exit_code":76}}"#;
        let caller = |socket| Arc::new(Caller::pretended(socket));
        for outcome in ["null", failed] {
            let problem = Problem::new(ProblemKind::ChainInvalid, "MARK");
            let full = StatusResult {
                version: "1".into(),
                api_version: "1".into(),
                pid: 1,
                devices: Vec::new(),
                ceremonies: vec![marked(outcome)],
                alarms: vec![Alarm {
                    id: Some(1),
                    device: None,
                    organisation: "acme".parse().unwrap(),
                    problem,
                    since: Timestamp(0),
                    proof: false,
                }],
                safes: Vec::new(),
            };
            assert_eq!(status(&caller(Socket::User), full.clone()), full);
            let (full_alarm, status) = (full.alarms[0].clone(), Box::new(Overview::from(&full)));
            let list = CeremonyListResult { ceremonies: full.ceremonies.clone() };
            assert_eq!(ceremonies(&caller(Socket::User), list.clone()), list);
            let shown = self::status(&caller(Socket::Plugin), full);
            let listed = ceremonies(&caller(Socket::Plugin), list);
            let (stream, id, time) = (StreamId("5".into()), 1, Timestamp(0));
            let raised = Event::Alarm { alarm: full_alarm };
            let event = EventItem::Event { stream: stream.clone(), id, time, event: raised };
            let snapshot = EventItem::Snapshot { stream, id, time, status };
            let items = [event, snapshot].map(|told| item(&caller(Socket::Plugin), told));
            let texts = [
                serde_json::to_string(&shown).unwrap(),
                serde_json::to_string(&listed).unwrap(),
                serde_json::to_string(&items).unwrap(),
            ];
            for text in texts {
                for secret in ["MARK", "ddee01", "ddee02"] {
                    assert!(!text.contains(secret), "{secret} in {text}");
                }
            }
            let kept = &shown.ceremonies[0];
            assert_eq!((kept.role, kept.stage), (Role::Greeter, Stage::ChooseCode));
        }
    }
}
