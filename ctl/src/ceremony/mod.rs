//! Taking part in a ceremony: following it, and ending with a summary or a problem.
//!
//! Decides how a program without a person follows (`stream`) and how an outcome is told. Refuses to give any answer
//! that only a person can have: codes and the greeter's statement come from the steps of `talk` and
//! `parsecctl ceremony`, never from here.

mod code;
mod screens;
mod talk;

use parsec_protocol::control::{
    Action, CeremonyFinish, CeremonyIdentify, CeremonyView, Outcome, ProblemKind, ProfileName, Role,
    SecretText, Stage, method,
};
use parsec_protocol::ids::Label;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

pub(crate) use talk::converse;

use crate::client::Connection;
use crate::failure::Failure;
use crate::output::Output;
use crate::text::grouped;

/// Schema of one ceremony state.
pub(crate) const SCHEMA: &str = "parsec.ceremony/1";

/// What was given on the command line and need not be asked.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    pub(crate) name: Option<Label>,
    pub(crate) device_label: Option<Label>,
    pub(crate) profile: Option<ProfileName>,
    pub(crate) password: Option<SecretText>,
}

/// Follows a ceremony without a person: each change is one JSON line. Gives name, label and password if they were
/// prepared; codes and statements are given by others, with `parsecctl ceremony`.
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
        if view.revision <= shown {
            continue;
        }
        shown = view.revision;
        output.object(&[("schema", SCHEMA), ("event", "ceremony")], &view)?;
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
    let named = prepared.name.is_some() || screens::is_own_terminal(view);
    if view.allowed.contains(&Action::Identify)
        && named
        && let Some(device_label) = prepared.device_label.take()
    {
        let name = if screens::is_own_terminal(view) { None } else { prepared.name.take() };
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
        if stages.contains(&view.stage) {
            return Ok(view);
        }
        match &view.outcome {
            Some(Outcome::Failed { problem }) => return Err(Failure::Report(problem.clone().into())),
            Some(Outcome::Enrolled { .. }) => {
                return Err(Failure::new(
                    ProblemKind::NotNow,
                    "The ceremony has ended, and well, without stopping at this stage",
                ));
            }
            None => {}
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

/// The last line of a followed ceremony.
#[derive(Serialize)]
struct Ended<'a> {
    id: parsec_protocol::control::CeremonyId,
    role: Role,
    organisation: &'a parsec_protocol::ids::OrganisationId,
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
        Outcome::Enrolled { .. } if output.is_json() => {
            let ended = Ended { id: view.id, role: view.role, organisation: &view.organisation, outcome };
            output.object(&[("schema", "parsec.ceremony.done/1"), ("event", "done")], &ended)
        }
        Outcome::Enrolled { user, device, root_fingerprint, registered } => {
            let who = screens::peer(view);
            let own = screens::is_own_terminal(view);
            let organisation = &view.organisation;
            let headline = match (view.role, own) {
                (Role::Greeter, false) => {
                    format!("Done: {who} is a member of {organisation}. You vouched for them.")
                }
                (Role::Greeter, true) => format!("Done: your new terminal is certified in {organisation}."),
                (Role::Claimer, false) => {
                    format!("Done: you are a member of {organisation}, and this terminal holds your keys.")
                }
                (Role::Claimer, true) => {
                    format!("Done: this terminal is yours in {organisation}, and holds your keys.")
                }
            };
            output.line(&format!(
                "\n{headline}\n  User:      {user}\n  Device:    {device}\n  Root key:  {}",
                grouped(root_fingerprint)
            ))?;
            output.say(ROOT_KEY);
            if !registered {
                output.say(PENDING);
            }
            output.say(match view.role {
                Role::Greeter => "Next: parsecctl user list",
                Role::Claimer => "Next: parsecctl status; parsecctl trust show",
            });
            Ok(())
        }
    }
}

/// What the fingerprint is good for.
const ROOT_KEY: &str = "Every member's terminal shows the same root key; compare it when in doubt.";
/// Keys are safe, the log does not have them yet.
const PENDING: &str = "The certificates are not in the log yet; the greeter's terminal puts them there by itself when it is online.";
