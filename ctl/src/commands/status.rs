//! `status`: the daemon, this machine's devices, the ceremonies; with `--watch`, again after each
//! change.
//!
//! Decides what is worth a line. Refuses to ask the daemon on a timer: its events say when to look.

use std::io::IsTerminal as _;

use parsec_protocol::control::{
    API_VERSION, DeviceView, Empty, Lockout, Registration, SafeStanding, SafeSummary, StatusResult, method,
};

use super::{Context, ceremony, device, events, short, trust};
use crate::args::Status;
use crate::client::Connection;
use crate::failure::Failure;
use crate::output::Output;
use crate::schema;
use crate::text::escaped;

pub(super) fn run(context: &Context<'_>, command: &Status) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    if command.watch {
        return watch(context, daemon);
    }
    let status: StatusResult = daemon.call(method::STATUS, &Empty {})?;
    context.output.result(schema::STATUS, &status, || described(&status, context.output))
}

/// Shows every state that differs from the one shown before: on a terminal in its place, else
/// behind it.
fn watch(context: &Context<'_>, mut daemon: Connection) -> Result<(), Failure> {
    let redraws = !context.output.is_json() && !context.output.is_plain() && can_redraw();
    // First the stream, then the state: no change can fall between the two.
    daemon.follow(None)?;
    let mut last: Option<StatusResult> = None;
    loop {
        let status: StatusResult = daemon.call(method::STATUS, &Empty {})?;
        if last.as_ref() != Some(&status) {
            if redraws {
                context.output.redraw(&described(&status, context.output))?;
            } else {
                let first = last.is_none();
                context.output.result(schema::STATUS, &status, || {
                    let text = described(&status, context.output);
                    if first { text } else { format!("\n{text}") }
                })?;
            }
            last = Some(status);
        }
        // An event may have come with the answer: what is here already must be looked at before
        // waiting.
        while daemon.item()?.is_none() {
            events::wait(&mut daemon)?;
        }
        while daemon.item()?.is_some() {}
    }
}

/// Whether stdout is a screen whose cursor can be moved.
fn can_redraw() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|kind| kind != "dumb")
}

/// The whole state in lines.
fn described(status: &StatusResult, output: &Output) -> String {
    let mut lines = vec![format!("parsecd {} is running (process {})", escaped(&status.version), status.pid)];
    if status.api_version != API_VERSION {
        lines.push(format!(
            "It speaks version {} of the local interface, this program {API_VERSION}: update the older one.",
            escaped(&status.api_version)
        ));
    }
    for alarm in &status.alarms {
        lines.push(String::new());
        lines.push(format!("{}\n  Once you have: parsecctl trust acknowledge", trust::alarm(alarm)));
    }
    lines.push(String::new());
    lines.push(device::devices(&status.devices, output));
    lines.extend(status.devices.iter().filter_map(pending));
    lines.extend(status.devices.iter().filter_map(waiting));
    lines.extend(status.devices.iter().filter_map(suspended));
    lines.extend(status.safes.iter().filter_map(safe));
    lines.extend(status.devices.iter().flat_map(lockouts));
    if !status.ceremonies.is_empty() {
        lines.push(String::new());
        lines.push(ceremony::overview(&status.ceremonies, output));
    }
    lines.join("\n")
}

/// A device whose certificates have still to reach the log.
fn pending(device: &DeviceView) -> Option<String> {
    (device.registration == Registration::Pending).then(|| {
        format!(
            "{} is pending registration: this will happen by itself when the device that vouched for it and the server\n\
             can reach each other.",
            device::described(device)
        )
    })
}

/// A safe that waits for something: one with which all is well is no line.
fn safe(safe: &SafeSummary) -> Option<String> {
    let id = short(safe.safe);
    match safe.standing {
        SafeStanding::Offered => {
            return Some(format!(
                "Safe {id} was shared with you: parsecctl safe list, parsecctl safe accept {id}"
            ));
        }
        SafeStanding::Accepted => {}
        SafeStanding::Left | SafeStanding::Unknown => return None,
    }
    let waits = match safe.waiting {
        0 => None,
        1 => Some("1 change is saved here and not shared yet".to_owned()),
        count => Some(format!("{count} changes are saved here and not shared yet")),
    };
    let why = safe.problem.map(|problem| format!("it can't go on ({})", problem.name()));
    let told: Vec<_> = waits.into_iter().chain(why).collect();
    (!told.is_empty())
        .then(|| format!("Safe {id}: {}. parsecctl safe status {id} says more.", told.join("; ")))
}

/// A user whose key a revoked device has.
fn suspended(device: &DeviceView) -> Option<String> {
    (device.suspended == Some(true)).then(|| {
        format!(
            "A device of yours in {} was revoked, and whoever has it has your key: it is changed as soon as the server can be reached.",
            device.organisation
        )
    })
}

/// What a lost machine, or a lost person, would lock somebody out by.
fn lockouts(device: &DeviceView) -> Vec<String> {
    let organisation = &device.organisation;
    let told = |lockout: &Lockout| match lockout {
        Lockout::OneDevice => Some(format!(
            "This is your only device in {organisation}, and you have no recovery kit: parsecctl recovery create"
        )),
        Lockout::NoKit => {
            Some(format!("You have no recovery kit in {organisation}: parsecctl recovery create"))
        }
        Lockout::OneAdministrator => Some(format!(
            "{organisation} has one administrator, and nobody can be let in without them; an administrator makes another: \
             parsecctl user profile MEMBER --profile administrator"
        )),
        Lockout::Unknown => None,
    };
    device.lockouts.iter().flatten().filter_map(told).collect()
}

/// Certificates of a device that are on their way to the log.
fn waiting(device: &DeviceView) -> Option<String> {
    let count = device.outbox.filter(|count| *count > 0)?;
    Some(format!(
        "{count} enrolment(s) vouched for in {} wait for the newcomer's device or the server; they finish by themselves.",
        device.organisation
    ))
}
