//! `ceremony …`: the steps of a running ceremony one by one, and what `greet` and `claim` share.
//!
//! Decides whether a person or a script takes part. Refuses to confirm anything that was not given
//! in so many words.

use parsec_protocol::control::{
    Action, CeremonyApprove, CeremonyChoose, CeremonyFinish, CeremonyId, CeremonyIdentify,
    CeremonyListResult, CeremonySelector, CeremonyView, ChoiceMode, Empty, Outcome, Role, Stage,
    TransportName, method,
};

use super::Context;
use crate::args::Ceremony;
use crate::ceremony::{self, Prepared, screens};
use crate::client::Connection;
use crate::failure::{Done, Failure};
use crate::output::Output;
use crate::password;
use crate::prompt::Terminal;
use crate::schema;
use crate::text::escaped;

pub(super) fn run(context: &Context<'_>, command: Ceremony) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let view: CeremonyView = match command {
        Ceremony::List => {
            let result: CeremonyListResult = daemon.call(method::CEREMONY_LIST, &Empty {})?;
            return context
                .output
                .result(schema::CEREMONY_LIST, &result, || overview(&result.ceremonies, context.output));
        }
        Ceremony::Show { id } => {
            let view = show(&mut daemon, id)?;
            return context.output.result(schema::CEREMONY, &view, || described(&view, context.output));
        }
        Ceremony::Wait { id, until, timeout } => {
            let stages: Vec<Stage> = until.into_iter().map(Into::into).collect();
            let first = show(&mut daemon, id)?;
            let view = ceremony::wait_until(&mut daemon, first, &stages, timeout)?;
            return context.output.result(schema::CEREMONY, &view, || described(&view, context.output));
        }
        Ceremony::Choose { id, code, none: _ } => {
            // The grammar allows exactly one of the two; no code means none of those shown.
            let mode = if code.is_some() { ChoiceMode::Typed } else { ChoiceMode::Picked };
            let asked = CeremonyChoose { ceremony: CeremonyId(id), code, mode };
            context.ask(&mut daemon, method::CEREMONY_CHOOSE, &asked)?
        }
        Ceremony::Identify { id, name, device_label } => {
            let asked = CeremonyIdentify { ceremony: CeremonyId(id), name, device_label };
            daemon.call(method::CEREMONY_IDENTIFY, &asked)?
        }
        Ceremony::Approve { id, claimer_confirmed, name, device_label, profile } => {
            let asked = CeremonyApprove {
                ceremony: CeremonyId(id),
                claimer_confirmed,
                name,
                device_label,
                profile: profile.map(Into::into),
            };
            context.ask(&mut daemon, method::CEREMONY_APPROVE, &asked)?
        }
        Ceremony::Finish { id, password } => {
            let password = password::choose(&password, context.global.no_input, context.output, &[])?;
            daemon.call(method::CEREMONY_FINISH, &CeremonyFinish { ceremony: CeremonyId(id), password })?
        }
        Ceremony::Cancel { id } => {
            let asked = CeremonySelector { ceremony: CeremonyId(id) };
            let view: CeremonyView = daemon.call(method::CEREMONY_CANCEL, &asked)?;
            return told(context, &view, "The ceremony was ended.");
        }
    };
    // A wrong code is the caller's failure too, whether the daemon tells it as an error or as the
    // ceremony's end.
    if let Some(Outcome::Failed { problem }) = view.outcome {
        return Err(Failure::Report(problem.into()));
    }
    told(context, &view, "The answer was taken.")
}

/// A ceremony's state, after something was said to it.
fn told(context: &Context<'_>, view: &CeremonyView, what: &str) -> Result<(), Failure> {
    let text = || described(view, context.output);
    context.output.result(schema::CEREMONY, view, text).map_err(|failure| failure.after(goes_on(view, what)))
}

/// What has become of a ceremony that can't be shown.
pub(crate) fn goes_on(view: &CeremonyView, what: &str) -> Done {
    let id = view.id.0;
    Done::new(
        what,
        format!("See it with `parsecctl ceremony show {id}`; end it with `parsecctl ceremony cancel {id}`."),
    )
}

pub(super) fn show(daemon: &mut Connection, id: u64) -> Result<CeremonyView, Failure> {
    daemon.call(method::CEREMONY_SHOW, &CeremonySelector { ceremony: CeremonyId(id) })
}

/// The terminal to lead a person on, or none where a script follows.
///
/// # Errors
/// Neither a person nor a script is there.
pub(super) fn terminal(context: &Context<'_>, detach: bool) -> Result<Option<Terminal>, Failure> {
    if detach || context.output.is_json() {
        return Ok(None);
    }
    Terminal::open(
        context.global.no_input,
        context.output,
        "A person",
        "Run it in a terminal; or follow with --json, or start with --detach and go on with `parsecctl ceremony`.",
    )
    .map(Some)
}

/// A running ceremony to go on with.
///
/// # Errors
/// There is none; it is the other side's.
pub(super) fn attach(daemon: &mut Connection, id: u64, role: Role) -> Result<CeremonyView, Failure> {
    let view = show(daemon, id)?;
    if view.role == role {
        return Ok(view);
    }
    let verb = match view.role {
        Role::Greeter => "greet",
        Role::Claimer => "claim",
    };
    Err(Failure::usage(
        format!("Ceremony {id} is one of the other side"),
        format!("Use `parsecctl {verb} --ceremony {id}`."),
    ))
}

/// Takes part to the end, or leaves at once if detached.
///
/// # Errors
/// The ceremony's problem.
pub(super) fn take_part(
    context: &Context<'_>,
    daemon: Connection,
    view: CeremonyView,
    terminal: Option<&Terminal>,
    prepared: Prepared,
    detach: bool,
) -> Result<(), Failure> {
    match terminal {
        _ if detach => context
            .output
            .result(schema::CEREMONY, &view, || view.id.0.to_string())
            .map_err(|failure| failure.after(goes_on(&view, &format!("Ceremony {} has begun.", view.id.0)))),
        Some(terminal) => ceremony::converse(daemon, view, terminal, context.output, prepared),
        None => ceremony::stream(daemon, &view, context.output, prepared),
    }
}

/// Ceremonies as rows.
pub(super) fn overview(ceremonies: &[CeremonyView], output: &Output) -> String {
    if ceremonies.is_empty() {
        return "No ceremony is under way.".to_owned();
    }
    let rows: Vec<Vec<String>> = ceremonies
        .iter()
        .map(|view| {
            vec![
                view.id.0.to_string(),
                role(view.role).to_owned(),
                view.organisation.to_string(),
                stage(view.stage).to_owned(),
                view.outcome.as_ref().map(outcome).or_else(|| view.note.clone()).unwrap_or_default(),
            ]
        })
        .collect();
    output.table(&["CEREMONY", "ROLE", "ORGANISATION", "STAGE", "OUTCOME"], &rows)
}

pub(super) const fn role(role: Role) -> &'static str {
    match role {
        Role::Claimer => "claimer",
        Role::Greeter => "greeter",
    }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Enrolled { registered: true, .. } => "enrolled".to_owned(),
        Outcome::Enrolled { registered: false, .. } => "enrolled, pending registration".to_owned(),
        Outcome::ShareGiven { .. } => "the share is given".to_owned(),
        Outcome::ShareCollected { collected, needed, .. } => {
            format!("{collected} of {needed} shares are here")
        }
        Outcome::Failed { problem } => problem.message.clone(),
    }
}

/// A stage in words; `wait --until` takes them with hyphens.
pub(super) const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Connecting => "connecting",
        Stage::WaitingForPeer => "waiting for peer",
        Stage::Handshake => "handshake",
        Stage::SayCode => "say code",
        Stage::ChooseCode => "choose code",
        Stage::Identify => "identify",
        Stage::WaitingForApproval => "waiting for approval",
        Stage::Approve => "approve",
        Stage::SetPassword => "set password",
        Stage::WaitingForPassword => "waiting for password",
        Stage::Registering => "registering",
        Stage::Done => "done",
        Stage::Closed => "closed",
        Stage::Unknown => "one that this program is too old for",
    }
}

/// A transport, as what a ceremony goes by.
pub(super) const fn transport(transport: TransportName) -> &'static str {
    match transport {
        TransportName::Server => "over the metadata server",
        TransportName::P2p => "directly, without the server",
        TransportName::Unknown => "a way that this program is too old for",
    }
}

const fn action(action: Action) -> &'static str {
    match action {
        Action::Choose => "choose",
        Action::Identify => "identify",
        Action::Approve => "approve",
        Action::Finish => "finish",
        Action::Cancel => "cancel",
        Action::Unknown => "(something new)",
    }
}

/// One ceremony in lines.
fn described(view: &CeremonyView, output: &Output) -> String {
    let mut lines = vec![format!(
        "Ceremony {}: {} in {}, stage: {}",
        view.id.0,
        role(view.role),
        view.organisation,
        stage(view.stage)
    )];
    lines.extend(view.transport.map(|way| format!("Transport: {}", transport(way))));
    lines.extend(
        view.say.as_ref().map(|code| format!("Say aloud: {}", screens::in_words(code, output.is_plain()))),
    );
    lines.extend(
        view.choices.iter().map(|code| format!("Proposed:  {}", screens::in_words(code, output.is_plain()))),
    );
    if let Some(said) = &view.claimer {
        let name = said.name.as_ref().map_or_else(String::new, |name| format!("{}, ", escaped(name)));
        lines.push(format!("The claimer says: {name}device {}", escaped(&said.device_label)));
    }
    lines.extend(view.note.as_ref().map(|note| format!("Note: {}", escaped(note))));
    lines.extend(view.outcome.as_ref().map(|end| format!("Outcome: {}", escaped(outcome(end)))));
    if !view.allowed.is_empty() {
        let allowed: Vec<&str> = view.allowed.iter().map(|what| action(*what)).collect();
        lines.push(format!("You may: parsecctl ceremony {} {}", allowed.join("|"), view.id.0));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use parsec_protocol::control::{Problem, ProblemKind};

    use super::*;

    #[test]
    fn a_failed_outcome_is_told_in_its_own_words() {
        let problem = Problem::new(ProblemKind::CodeMismatch, "The codes differ");
        assert_eq!(outcome(&Outcome::Failed { problem }), "The codes differ");
    }
}
