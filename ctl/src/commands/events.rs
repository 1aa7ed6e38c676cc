//! `events`: what happens in the daemon, one line for each event.
//!
//! Decides how an event looks to people, and how a stream that broke off is taken up again. Refuses
//! to hide what it does not understand: an event that a newer daemon has is shown as it came; and
//! to hide a gap.

use std::time::Duration;

use parsec_protocol::control::{
    CeremonySummary, DeviceView, EntryKind, Event, EventItem, EventPosition, ProblemKind, StreamId, TokenId,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use super::{Context, ceremony, device, invite, short};
use crate::args::Events;
use crate::client::{Connection, QUIET};
use crate::failure::Failure;
use crate::schema;
use crate::text::{escaped, moment, moment_to_the_second};

/// First pause between two attempts to reach a daemon that has ended: a restart takes about as
/// long.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// Longest pause: somebody who starts the daemon again shall not wonder where the events are.
const PAUSE_LONGEST: Duration = Duration::from_secs(2);

pub(super) fn run(context: &Context<'_>, command: Events) -> Result<(), Failure> {
    let mut position = command.after.map(|after| after.0);
    let mut daemon = context.connect()?;
    loop {
        let end = follow(context, &mut daemon, &mut position);
        let Err(Failure::Report(report)) = &end else { return end };
        if !command.follow_restarts || !is_end_of_daemon(report) {
            return end;
        }
        let (stream, id) = match &position {
            Some(position) => (Some(&position.stream), Some(position.id)),
            None => (None, None),
        };
        let lost = json!({ "kind": "disconnected", "stream": stream, "id": id });
        show(context, &lost, || "--- the daemon went away; waiting for it ---".to_owned())?;
        daemon = wait_for_daemon(context)?;
        show(context, &json!({ "kind": "connected" }), || "--- the daemon is back ---".to_owned())?;
    }
}

/// Whether a daemon that is started again can go on.
pub(super) fn is_end_of_daemon(report: &crate::failure::Report) -> bool {
    report.is(ProblemKind::DaemonUnreachable) || report.is(ProblemKind::ShuttingDown)
}

/// Shows items until the daemon goes away, or nobody reads any more. `position` is the last that
/// was shown.
fn follow(
    context: &Context<'_>,
    daemon: &mut Connection,
    position: &mut Option<EventPosition>,
) -> Result<(), Failure> {
    daemon.follow(position.clone())?;
    loop {
        while let Some(item) = daemon.item()? {
            show(context, &item, || in_words(&item))?;
            *position = position_of(&item).or(position.take());
        }
        wait(daemon)?;
    }
}

fn show(context: &Context<'_>, item: &Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
    context.output.result(schema::EVENT, item, text)
}

/// Waits until the daemon says something, or the reader of stdout goes away: who pipes events into
/// `head` shall not have to wait for one more.
///
/// # Errors
/// Nobody reads; the daemon went away.
pub(super) fn wait(daemon: &mut Connection) -> Result<(), Failure> {
    loop {
        let stdout = std::io::stdout();
        let mut sources =
            [PollFd::new(daemon.stream(), PollFlags::IN), PollFd::new(&stdout, PollFlags::empty())];
        match poll(&mut sources, Timespec::try_from(QUIET).ok().as_ref()) {
            Ok(0) => {
                daemon.check_alive()?;
                continue;
            }
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(Failure::new(ProblemKind::Internal, error.to_string())),
        }
        let [socket, reader] = &sources;
        if is_gone(reader.revents()) {
            return Err(Failure::OutputClosed);
        }
        if !socket.revents().is_empty() {
            return daemon.receive();
        }
    }
}

/// Whether nobody reads what is written there.
fn is_gone(flags: PollFlags) -> bool {
    flags.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL)
}

/// Tries to reach the daemon until it is there, or nobody reads any more.
pub(super) fn wait_for_daemon(context: &Context<'_>) -> Result<Connection, Failure> {
    let mut pause = PAUSE_FIRST;
    loop {
        match context.connect() {
            Err(Failure::Report(report)) if is_end_of_daemon(&report) => {}
            other => return other,
        }
        let stdout = std::io::stdout();
        let mut reader = [PollFd::new(&stdout, PollFlags::empty())];
        let span = Timespec::try_from(pause).ok();
        match poll(&mut reader, span.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Err(Failure::OutputClosed),
            Err(error) => return Err(Failure::new(ProblemKind::Internal, error.to_string())),
        }
        pause = (pause * 2).min(PAUSE_LONGEST);
    }
}

/// Where in which stream an item stands. A gap stands nowhere: the snapshot behind it does.
fn position_of(item: &Value) -> Option<EventPosition> {
    let stream = item.get("stream")?.as_str()?.to_owned();
    let id = item.get("id")?.as_u64()?;
    Some(EventPosition { stream: StreamId(stream), id })
}

/// One item in a line.
fn in_words(item: &Value) -> String {
    match serde_json::from_value(item.clone()) {
        Ok(EventItem::Snapshot { id, time, status, .. }) => line(
            id,
            time,
            &format!(
                "the state: {} device(s), {} ceremony(ies), {} alarm(s)",
                status.devices.len(),
                status.ceremonies.len(),
                status.alarms.len()
            ),
        ),
        Ok(EventItem::Gap { from: Some(from), to, .. }) => {
            format!("--- events {from} to {to} are missing here ---")
        }
        Ok(EventItem::Gap { from: None, .. }) => {
            "--- another run of the daemon: what happened in between is not known ---".to_owned()
        }
        Ok(EventItem::Event { event: Event::Unknown, .. } | EventItem::Unknown) | Err(_) => escaped(item),
        Ok(EventItem::Event { id, time, event, .. }) => line(id, time, &event_in_words(&event)),
    }
}

fn line(id: u64, time: parsec_protocol::ids::Timestamp, what: &str) -> String {
    format!("{}  {id:>4}  {what}", moment_to_the_second(time))
}

fn event_in_words(event: &Event) -> String {
    match event {
        Event::DeviceAdded { device } => format!("{} is new on this machine", named(device)),
        Event::DeviceChanged { device, reason } => format!("{}: {}", named(device), escaped(reason)),
        Event::DeviceForgotten { device } => {
            format!("Device {} was removed from this machine", short(device))
        }
        Event::UnlockRefused { device } => format!("Wrong password for device {}", short(device)),
        Event::CeremonyStarted { ceremony } => format!("{} began", summary(ceremony)),
        Event::CeremonyChanged { ceremony } => {
            format!("{}: {}", summary(ceremony), ceremony::stage(ceremony.stage))
        }
        Event::CeremonyEnded { ceremony } => match (&ceremony.problem, &ceremony.enrolled) {
            (Some(problem), _) => format!("{} ended: {}", summary(ceremony), problem.name()),
            (None, Some(ids)) => format!(
                "{} ended well: user {}, device {}",
                summary(ceremony),
                short(ids.user),
                short(ids.device)
            ),
            (None, None) => format!("{} ended", summary(ceremony)),
        },
        Event::TransportChanged { ceremony: id, transport, reason } => {
            format!(
                "Ceremony {} goes {}: {}",
                id.0,
                ceremony::transport(*transport),
                transport_reason(reason)
            )
        }
        Event::InvitationCreated { organisation, subject, expires } => format!(
            "{} was invited to {organisation}, until {}",
            escaped(invite::subject(subject)),
            moment(*expires)
        ),
        Event::InvitationCancelled { organisation } => {
            format!("An invitation to {organisation} was cancelled")
        }
        Event::Alarm { alarm } => format!(
            "ALARM in {}: {} {}",
            alarm.organisation,
            escaped(&alarm.problem.message),
            escaped(&alarm.problem.hint)
        ),
        Event::AlarmAcknowledged { alarm } => {
            format!(
                "An alarm in {} was acknowledged: {}",
                alarm.organisation,
                escaped(&alarm.problem.message)
            )
        }
        Event::OwnChange { device, organisation, change, about, subject, signed_by, signed } => {
            let subject = subject.as_deref().map_or_else(|| about.map(short).unwrap_or_default(), escaped);
            let what = match change {
                EntryKind::Device => format!("NEW DEVICE of yours in {organisation}: {subject}"),
                EntryKind::DeviceRevoked => {
                    format!("A device of yours in {organisation} was revoked: {subject}")
                }
                EntryKind::Profile => format!("What you may do in {organisation} has changed"),
                EntryKind::UserRevoked => format!("You are no member of {organisation} any more"),
                EntryKind::UserKey => format!("Your key in {organisation} was changed"),
                EntryKind::User | EntryKind::DirectoryKey | EntryKind::Unknown => {
                    format!("Something of yours in {organisation} has changed")
                }
            };
            let by = signed_by.as_deref().map(|by| format!(", by {}", escaped(by))).unwrap_or_default();
            let hint = match (change, about) {
                (EntryKind::Device, Some(about)) => {
                    format!(
                        ". If that was not you: parsecctl --device {} device revoke {}",
                        short(device),
                        short(about)
                    )
                }
                (EntryKind::UserKey, _) => {
                    ". What is sealed to you from here on opens with the new one alone".to_owned()
                }
                _ => String::new(),
            };
            format!("{what}{by}, {}{hint}", moment(*signed))
        }
        Event::TokenCreated { id, name } => format!("Token {} was made: {}", token(id), escaped(name)),
        Event::TokenRevoked { id, name } => format!("Token {} was revoked: {}", token(id), escaped(name)),
        Event::TokenRefused { id, method, problem } => {
            let whose = id
                .as_ref()
                .map_or_else(|| "An unknown token".to_owned(), |id| format!("Token {}", token(id)));
            format!("{whose} was refused {}: {}", escaped(method), problem.name())
        }
        Event::SafeOffered { safe } => format!(
            "Somebody in {} shares a safe with you: {}. See `parsecctl safe show {}`",
            safe.organisation,
            short(safe.safe),
            short(safe.safe)
        ),
        Event::SafeChanged { safe, reason } => {
            let problem = safe.problem.map(|problem| format!(" ({})", problem.name())).unwrap_or_default();
            format!("Safe {} in {}: {}{problem}", short(safe.safe), safe.organisation, escaped(reason))
        }
        Event::SafeGone { safe, .. } => format!("Safe {} is not offered any more", short(safe)),
        Event::FileConflict { safe, .. } => format!(
            "A file in safe {} was changed twice at once: a copy is beside it. See `parsecctl safe conflicts {}`",
            short(safe),
            short(safe)
        ),
        Event::Stopping => "The daemon is stopping".to_owned(),
        Event::Unknown => "Something that this program is too old for".to_owned(),
    }
}

/// Why a ceremony takes a transport; a reason that a newer daemon has is shown as it came.
fn transport_reason(reason: &str) -> String {
    match reason {
        "asked" => "it was asked for".to_owned(),
        "server_reached" => "the server answers".to_owned(),
        "server_unreachable" => "the server can't be reached".to_owned(),
        "invitation_unknown" => "the server does not have the invitation".to_owned(),
        other => escaped(other),
    }
}

fn named(device: &DeviceView) -> String {
    device::described(device)
}

fn token(id: &TokenId) -> String {
    escaped(&id.0)
}

fn summary(ceremony: &CeremonySummary) -> String {
    let subject = ceremony
        .subject
        .as_ref()
        .map(|it| format!(" for {}", escaped(invite::subject(it))))
        .unwrap_or_default();
    format!(
        "Ceremony {} ({} in {}{subject})",
        ceremony.id.0,
        ceremony::role(ceremony.role),
        ceremony.organisation
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_an_item_is_kept_whatever_else_is_in_it() {
        let place =
            |text: &str| position_of(&serde_json::from_str(text).unwrap()).map(|it| (it.stream.0, it.id));
        let at = Some(("ab".to_owned(), 7));
        assert_eq!(
            place(r#"{"kind":"event","stream":"ab","id":7,"time":0,"event":{"type":"stopping"}}"#),
            at
        );
        assert_eq!(place(r#"{"kind":"rain","stream":"ab","id":7}"#), at);
        assert_eq!(place(r#"{"kind":"gap","stream":"ab","from":2,"to":6}"#), None);
        assert_eq!(place("[]"), None);
    }

    #[test]
    fn what_a_newer_daemon_tells_is_shown_as_it_came() {
        for text in [
            r#"{"kind":"rain","inches":3}"#,
            r#"{"event":{"type":"rain","inches":3},"id":7,"kind":"event","stream":"ab","time":0}"#,
            r#"{"event":{"type":"token_created"},"id":7,"kind":"event","stream":"ab","time":0}"#,
        ] {
            let item: Value = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&in_words(&item)).unwrap(), item);
        }
    }

    #[test]
    fn a_hostile_name_stays_on_its_line() {
        let item = json!({ "kind": "event", "stream": "ab", "id": 7, "time": 0,
            "event": { "type": "token_created", "id": "x\ny", "name": "a\u{1b}[2J\nb" } });
        let words = in_words(&item);
        assert_eq!(words.lines().count(), 1, "{words}");
        assert!(!words.contains('\u{1b}'));
        let unknown = json!({ "kind": "a\u{202e}b" });
        assert!(!in_words(&unknown).contains('\u{202e}'));
    }

    #[test]
    fn gaps_are_said() {
        let gap = |from: Value| in_words(&json!({ "kind": "gap", "stream": "ab", "from": from, "to": 9 }));
        assert!(gap(json!(3)).contains("3 to 9"));
        assert!(gap(Value::Null).contains("another run"));
    }
}
