//! Taking part in a ceremony: following it, and ending with a summary or a problem.
//!
//! Decides how a program without a person follows (`stream`) and how an outcome is told. Refuses to
//! give any answer that only a person can have: codes and the greeter's statement come from the
//! steps of `dialogue` and `parsecctl ceremony`, never from here.

mod code;
mod dialogue;
pub(crate) mod screens;

use parsec_protocol::control::{
    Action, CeremonyFinish, CeremonyIdentify, CeremonyView, Outcome, ProblemKind, ProfileName, Role,
    SecretText, Stage, TransportName, method,
};
use parsec_protocol::ids::Label;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

pub(crate) use dialogue::converse;

use crate::client::Connection;
use crate::commands::ceremony::goes_on;
use crate::failure::{Done, Failure};
use crate::output::Output;
use crate::schema;
use crate::text::grouped;

/// What was given on the command line and need not be asked.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    pub(crate) name: Option<Label>,
    pub(crate) device_label: Option<Label>,
    pub(crate) profile: Option<ProfileName>,
    pub(crate) password: Option<SecretText>,
}

/// Follows a ceremony without a person: each change is one JSON line. Gives name, label and
/// password if they were prepared; codes and statements are given by others, with `parsecctl
/// ceremony`.
///
/// # Errors
/// The ceremony's end, if it was no good one; the daemon went away.
pub(crate) fn stream(
    mut daemon: Connection,
    first: &CeremonyView,
    output: &Output,
    mut prepared: Prepared,
) -> Result<(), Failure> {
    daemon.watch(first.id)?;
    let mut shown = 0;
    loop {
        let Some(view) = daemon.change()? else {
            daemon.receive()?;
            continue;
        };
        // Half a view is followed by its other half at once.
        if view.revision <= shown || !screens::is_complete(&view) {
            continue;
        }
        shown = view.revision;
        output.object(schema::CEREMONY, &[("event", "ceremony")], &view).map_err(|failure| {
            let what = format!("Ceremony {} goes on in the daemon, without this program.", view.id.0);
            failure.after(goes_on(&view, &what))
        })?;
        if view.outcome.is_some() {
            return conclude(&view, output);
        }
        give_prepared(&mut daemon, &view, &mut prepared)?;
    }
}

fn give_prepared(
    daemon: &mut Connection,
    view: &CeremonyView,
    prepared: &mut Prepared,
) -> Result<(), Failure> {
    let ceremony = view.id;
    let nameless = screens::is_own_device(view) || screens::is_share(view);
    let named = prepared.name.is_some() || nameless;
    if view.allowed.contains(&Action::Identify)
        && named
        && let Some(device_label) = prepared.device_label.take()
    {
        let name = if nameless { None } else { prepared.name.take() };
        let asked = CeremonyIdentify { ceremony, name, device_label };
        return daemon.call::<_, CeremonyView>(method::CEREMONY_IDENTIFY, &asked).map(drop);
    }
    if view.allowed.contains(&Action::Finish)
        && let Some(password) = prepared.password.take()
    {
        let asked = CeremonyFinish { ceremony, password };
        return daemon.call::<_, CeremonyView>(method::CEREMONY_FINISH, &asked).map(drop);
    }
    Ok(())
}

/// Waits until a ceremony is at one of `stages`, or ends, or `seconds` have passed.
///
/// # Errors
/// It ended otherwise; the time is over; the daemon went away.
pub(crate) fn wait_until(
    daemon: &mut Connection,
    first: CeremonyView,
    stages: &[Stage],
    seconds: Option<u32>,
) -> Result<CeremonyView, Failure> {
    let until =
        seconds.map(|seconds| std::time::Instant::now() + std::time::Duration::from_secs(u64::from(seconds)));
    let mut view = first;
    daemon.watch(view.id)?;
    loop {
        if stages.contains(&view.stage) && screens::is_complete(&view) {
            return Ok(view);
        }
        match &view.outcome {
            Some(Outcome::Failed { problem }) => return Err(Failure::Report(problem.clone().into())),
            Some(Outcome::Enrolled { .. } | Outcome::ShareGiven { .. } | Outcome::ShareCollected { .. }) => {
                return Err(Failure::new(
                    ProblemKind::NotNow,
                    "The ceremony has ended, and well, without stopping at this stage",
                ));
            }
            None => {}
        }
        if stages.iter().all(|stage| position(view.role, *stage) < position(view.role, view.stage)) {
            return Err(Failure::new(ProblemKind::NotNow, "The ceremony is past this stage"));
        }
        view = loop {
            if let Some(change) = daemon.change()? {
                break change;
            }
            let left = until.map(|until| until.saturating_duration_since(std::time::Instant::now()));
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            let mut socket = [PollFd::new(daemon.stream(), PollFlags::IN)];
            match poll(&mut socket, left.as_ref()) {
                Ok(0) => {
                    return Err(Failure::new(
                        ProblemKind::PeerTimedOut,
                        "The ceremony did not get there in the time given",
                    )
                    .advised("Wait again, or look at it with `parsecctl ceremony show`."));
                }
                Ok(_) => daemon.receive()?,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Failure::new(ProblemKind::Internal, error.to_string())),
            }
        };
    }
}

/// The order in which a side goes through the stages. The handshake comes again between the codes,
/// which makes waiting too patient there, never too hasty.
const fn position(role: Role, stage: Stage) -> u8 {
    match (role, stage) {
        (_, Stage::Connecting) => 0,
        (_, Stage::WaitingForPeer) => 1,
        (_, Stage::Handshake) => 2,
        (Role::Claimer, Stage::SayCode) | (Role::Greeter, Stage::ChooseCode) => 3,
        (Role::Claimer, Stage::ChooseCode) | (Role::Greeter, Stage::SayCode) => 4,
        (_, Stage::Identify | Stage::Approve) => 5,
        (_, Stage::WaitingForApproval) => 6,
        (_, Stage::SetPassword | Stage::WaitingForPassword) => 7,
        (_, Stage::Registering) => 8,
        (_, Stage::Done | Stage::Closed) => 9,
        // Nobody knows where it belongs: whatever is waited for may still come.
        (_, Stage::Unknown) => 0,
    }
}

/// The last line of a followed ceremony.
#[derive(Serialize)]
struct Ended<'a> {
    id: parsec_protocol::control::CeremonyId,
    role: Role,
    organisation: &'a parsec_protocol::ids::OrganisationId,
    transport: Option<TransportName>,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

/// Tells how a ceremony ended: the result on stdout, or the problem as failure.
///
/// # Errors
/// The ceremony's problem.
pub(crate) fn conclude(view: &CeremonyView, output: &Output) -> Result<(), Failure> {
    let Some(outcome) = &view.outcome else {
        return Err(Failure::new(ProblemKind::Internal, "The ceremony ended without an outcome"));
    };
    match outcome {
        Outcome::Failed { problem } => Err(Failure::Report(problem.clone().into())),
        Outcome::Enrolled { .. } | Outcome::ShareGiven { .. } | Outcome::ShareCollected { .. }
            if output.is_json() =>
        {
            let (id, role, organisation, transport) =
                (view.id, view.role, &view.organisation, view.transport);
            let ended = Ended { id, role, organisation, transport, outcome };
            output
                .object(schema::CEREMONY_DONE, &[("event", "done")], &ended)
                .map_err(|failure| failure.after(enrolled(view)))
        }
        Outcome::ShareGiven { .. } => {
            let who = screens::peer(view);
            let text = format!("Done: {who} has your share of their recovery kit.");
            output.line(&text).map_err(|failure| failure.after(enrolled(view)))
        }
        Outcome::ShareCollected { collected, needed, root_fingerprint, .. } => {
            let text = format!(
                "Done: {collected} of {needed} shares of your recovery kit in {} are here.\n  Root key:  {}",
                view.organisation,
                grouped(root_fingerprint)
            );
            output.line(&text).map_err(|failure| failure.after(enrolled(view)))?;
            output.say(if collected < needed {
                "Next: ask another member for theirs, and run parsecctl recovery collect with their link."
            } else {
                "Next: parsecctl recovery collect --finish --device-label LABEL"
            });
            Ok(())
        }
        Outcome::Enrolled { user, device, root_fingerprint, registered } => {
            let who = screens::peer(view);
            let own = screens::is_own_device(view);
            let organisation = &view.organisation;
            let headline = match (view.role, own) {
                (Role::Greeter, false) => {
                    format!("Done: {who} is a member of {organisation}. You vouched for them.")
                }
                (Role::Greeter, true) => format!("Done: your new device is certified in {organisation}."),
                (Role::Claimer, false) => {
                    format!("Done: you are a member of {organisation}, and this device holds your keys.")
                }
                (Role::Claimer, true) => {
                    format!("Done: this device is yours in {organisation}, and holds your keys.")
                }
            };
            output
                .line(&format!(
                    "{headline}\n  User:      {user}\n  Device:    {device}\n  Root key:  {}",
                    grouped(root_fingerprint)
                ))
                .map_err(|failure| failure.after(enrolled(view)))?;
            output.say(ROOT_KEY);
            if !registered {
                output.say(pending(view));
            }
            output.say(match view.role {
                Role::Greeter => "Next: parsecctl user list",
                Role::Claimer => "Next: parsecctl status; parsecctl trust show",
            });
            Ok(())
        }
    }
}

/// What is said of a good end that can't be shown.
fn enrolled(view: &CeremonyView) -> Done {
    if screens::is_share(view) {
        let what = format!("The share of a recovery kit in {} is given.", view.organisation);
        return Done::new(what, "`parsecctl ceremony list` shows how it ended.");
    }
    let (what, again) = match view.role {
        Role::Greeter => ("is certified", "`parsecctl user list` shows the members."),
        Role::Claimer => {
            ("holds your keys", "`parsecctl device list` shows it, `parsecctl trust show` the root key.")
        }
    };
    let whose = if view.role == Role::Greeter { "The newcomer's device" } else { "This device" };
    Done::new(format!("{whose} {what} in {}.", view.organisation), again)
}

/// What the fingerprint is good for.
const ROOT_KEY: &str = "Every member's device shows the same root key; compare it when in doubt.";
/// Keys are safe, the log does not have them yet: what follows, and that nobody has to do anything
/// for it.
const fn pending(view: &CeremonyView) -> &'static str {
    match (view.transport, view.role) {
        (Some(TransportName::P2p), Role::Greeter) => {
            "Pending registration: the server does not have the certificates yet. They are kept here, and this will\n\
             happen by itself when the server can be reached, while this device is unlocked."
        }
        (Some(TransportName::P2p), Role::Claimer) => {
            "Pending registration: the server does not have the certificates yet. This will happen by itself when the\n\
             device that vouched can reach the server. Until then other members don't see this device."
        }
        (Some(TransportName::Server | TransportName::Unknown) | None, _) => {
            "Pending registration: the certificates are not in the log yet; the greeter's device puts them\n\
             there by itself when it is online."
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::net::UnixStream;

    use parsec_protocol::control::{CeremonyId, Choice, ClaimerInfo, Problem, Subject};
    use serde_json::Value;

    use super::*;

    fn view(role: Role, stage: Stage, allowed: &[Action]) -> CeremonyView {
        let code = |code: &str| Choice { code: code.into(), spelled: String::new() };
        CeremonyView {
            id: CeremonyId(7),
            revision: 1,
            role,
            organisation: "acme".parse().unwrap(),
            subject: Some(Subject::User { email: "bob@example.org".parse().unwrap() }),
            token: None,
            invited_by: None,
            attempt: None,
            stage,
            allowed: allowed.to_vec(),
            say: Some(code("K7EM")),
            choices: ["KAB2", "K9XY", "KQ34", "KZZ9"].map(code).to_vec(),
            typed_required: false,
            claimer: Some(ClaimerInfo { name: None, device_label: "laptop".parse().unwrap() }),
            outcome: None,
            note: None,
            transport: None,
        }
    }

    fn failed() -> Outcome {
        Outcome::Failed { problem: Problem::new(ProblemKind::CodeMismatch, "The codes differ") }
    }

    /// A daemon that answers every call with the first view, tells of all the views after
    /// `ceremony.watch`, and goes away when the client does. Returns what it was asked.
    fn against<T>(
        views: &[CeremonyView],
        take_part: impl FnOnce(Connection, CeremonyView) -> T,
    ) -> (Vec<String>, T) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        std::thread::scope(|scope| {
            let daemon = scope.spawn(|| {
                let mut asked = Vec::new();
                // A client that hangs up with something unread resets the connection.
                for line in BufReader::new(&theirs).lines().map_while(Result::ok) {
                    let request: Value = serde_json::from_str(&line).unwrap();
                    let method = request["method"].as_str().unwrap().to_owned();
                    let watch = method == method::CEREMONY_WATCH;
                    let result =
                        if watch { Value::from(1) } else { serde_json::to_value(&views[0]).unwrap() };
                    let mut lines =
                        vec![serde_json::json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })];
                    for (index, view) in views.iter().enumerate().take(if watch { views.len() } else { 0 }) {
                        let view = CeremonyView { revision: index as u64 + 1, ..view.clone() };
                        let params = serde_json::json!({ "subscription": 1, "result": view });
                        let method = method::CEREMONY_CHANGED;
                        lines.push(
                            serde_json::json!({ "jsonrpc": "2.0", "method": method, "params": params }),
                        );
                    }
                    for line in lines {
                        // The client may have seen enough.
                        let _told = writeln!(&theirs, "{line}");
                    }
                    asked.push(method);
                }
                asked
            });
            let done = take_part(Connection::over(ours), views[0].clone());
            (daemon.join().unwrap(), done)
        })
    }

    #[test]
    fn a_script_never_gives_what_only_a_person_can_know() {
        let everything = [Action::Choose, Action::Identify, Action::Approve, Action::Finish, Action::Cancel];
        for role in [Role::Greeter, Role::Claimer] {
            let mut views: Vec<CeremonyView> =
                [Stage::ChooseCode, Stage::Identify, Stage::Approve, Stage::SetPassword]
                    .map(|stage| view(role, stage, &everything))
                    .to_vec();
            let mut last = view(role, Stage::Closed, &[]);
            last.outcome = Some(failed());
            views.push(last);
            let prepared = Prepared {
                name: Some("Bob".parse().unwrap()),
                device_label: Some("laptop".parse().unwrap()),
                profile: Some(ProfileName::Standard),
                password: Some(SecretText::new("correct horse battery staple".to_owned().into())),
            };
            let (asked, end) = against(&views, |daemon, first| {
                stream(daemon, &first, &Output { json: true, ..Output::default() }, prepared)
            });
            assert_eq!(end.unwrap_err().exit_code(), 76);
            assert_eq!(asked, [method::CEREMONY_WATCH, method::CEREMONY_IDENTIFY, method::CEREMONY_FINISH]);
        }
    }

    #[test]
    fn waiting_ends_at_the_stage_or_with_the_ceremony() {
        let mut closed = view(Role::Greeter, Stage::Closed, &[]);
        closed.outcome = Some(failed());
        let views =
            [view(Role::Greeter, Stage::Connecting, &[]), view(Role::Greeter, Stage::SayCode, &[]), closed];
        let wait = |stage: Stage| {
            against(&views, |mut daemon, first| wait_until(&mut daemon, first, &[stage], None)).1
        };
        assert_eq!(wait(Stage::Connecting).unwrap().stage, Stage::Connecting);
        assert_eq!(wait(Stage::SayCode).unwrap().stage, Stage::SayCode);
        assert_eq!(wait(Stage::Closed).unwrap().stage, Stage::Closed);
        assert_eq!(wait(Stage::Done).unwrap_err().exit_code(), 76);
        assert_eq!(wait(Stage::ChooseCode).unwrap_err().exit_code(), 64, "a greeter chooses before saying");
        assert_eq!(wait(Stage::Approve).unwrap_err().exit_code(), 76);
    }

    #[test]
    fn waiting_has_an_end_of_its_own() {
        let views = [view(Role::Greeter, Stage::Connecting, &[])];
        let (_, end) =
            against(&views, |mut daemon, first| wait_until(&mut daemon, first, &[Stage::Done], Some(0)));
        assert_eq!(end.unwrap_err().exit_code(), 75);
    }
}
