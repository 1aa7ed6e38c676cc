//! `device list|unlock|lock|password|forget|restore|revoke`.
//!
//! Decides how a device looks to people, and keeps what is set aside out of their way. Refuses a
//! password as an argument, and to remove keys before somebody has named the device a second time.

use parsec_protocol::control::{
    DeviceForget, DeviceListResult, DevicePassword, DeviceRestore, DeviceState, DeviceUnlock, DeviceView,
    Empty, Registration, method,
};
use parsec_protocol::ids::DeviceId;

use super::reauth::OPENING;
use super::{Context, admin, short};
use crate::args::Device;
use crate::failure::{Done, Failure};
use crate::output::Output;
use crate::password::{self, PasswordSource};
use crate::prompt::Terminal;
use crate::schema;
use crate::text::escaped;

/// Where a device's state can be seen.
const SEE_DEVICES: &str = "`parsecctl device list` shows this machine's devices.";

pub(super) fn run(context: &Context<'_>, command: Device) -> Result<(), Failure> {
    let select = context.global.select();
    match command {
        Device::List { set_aside } => list(context, set_aside),
        Device::Unlock { password } => {
            let mut daemon = context.connect()?;
            let password = password::enter(&password, context.global.no_input, context.output)?;
            context.output.say(OPENING);
            let device: DeviceView =
                daemon.call(method::DEVICE_UNLOCK, &DeviceUnlock { select, password })?;
            let text = format!("{} is unlocked.", described(&device));
            let done = Done::new(&text, SEE_DEVICES);
            context.output.changed(schema::DEVICE_UNLOCK, &device, || text.clone(), done)
        }
        Device::Lock => {
            let device: DeviceView = context.call(method::DEVICE_LOCK, &select)?;
            let text = format!("{} is locked; its keys are wiped from memory.", described(&device));
            let done = Done::new(&text, SEE_DEVICES);
            context.output.changed(schema::DEVICE_LOCK, &device, || text.clone(), done)
        }
        Device::Password { password, new_password } => {
            change_password(context, &password, &new_password.into())
        }
        Device::Forget { id, confirm, force } => forget(context, id, confirm, force),
        Device::Restore { id } => restore(context, &id),
        Device::Revoke { member_device, sure } => admin::revoke_device(context, &member_device, &sure),
    }
}

/// The devices in use, or what is set aside.
fn list(context: &Context<'_>, set_aside: bool) -> Result<(), Failure> {
    let mut result: DeviceListResult = context.call(method::DEVICE_LIST, &Empty {})?;
    if !set_aside {
        let text = || devices(&result.devices, context.output);
        let in_use = result.devices.iter().filter(|device| !is_set_aside(device)).cloned().collect();
        let listed = DeviceListResult { devices: in_use };
        return context.output.result(schema::DEVICE_LIST, &listed, text);
    }
    let enrolments = result.devices.iter().filter_map(enrolments_set_aside).collect::<Vec<_>>();
    result.devices.retain(is_set_aside);
    context.output.result(schema::DEVICE_LIST, &result, || {
        let mut lines = Vec::new();
        if result.devices.is_empty() {
            lines.push("No device is set aside.".to_owned());
        } else {
            lines.push(table(&result.devices, context.output));
            lines.push(
                "Their keys are kept whole: `parsecctl device restore ID` takes one back, `parsecctl device forget ID` removes it."
                    .to_owned(),
            );
        }
        lines.extend(enrolments);
        lines.join("\n")
    })
}

/// Whether a server's or another device's word has set it aside.
const fn is_set_aside(device: &DeviceView) -> bool {
    matches!(device.registration, Registration::Void)
}

/// What a device has signed as a greeter and somebody says is over; nothing where there is none.
fn enrolments_set_aside(device: &DeviceView) -> Option<String> {
    let count = device.outbox_set_aside.filter(|count| *count > 0)?;
    Some(format!(
        "{} holds {count} enrolment(s) that it signed and that ended without being registered; each is tried again when it is unlocked.",
        described(device)
    ))
}

/// Takes a device back.
fn restore(context: &Context<'_>, id: &str) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let list: DeviceListResult = daemon.call(method::DEVICE_LIST, &Empty {})?;
    let meant: Vec<_> =
        list.devices.iter().filter(|device| device.device.to_string().starts_with(id)).collect();
    let [device] = meant.as_slice() else {
        let what = if meant.is_empty() { "No device" } else { "More than one device" };
        return Err(Failure::usage(
            format!("{what} on this machine has an id that begins like that"),
            "`parsecctl device list --set-aside` shows what can be taken back.",
        ));
    };
    let device: DeviceView =
        context.ask(&mut daemon, method::DEVICE_RESTORE, &DeviceRestore { device: device.device })?;
    let text = format!(
        "{} is among this machine's devices; it goes on asking to be registered.",
        described(&device)
    );
    let done = Done::new(&text, SEE_DEVICES);
    context.output.changed(schema::DEVICE_RESTORE, &device, || text.clone(), done)
}

/// Asks for the old password and the new one, in this order, and changes them in one step.
fn change_password(context: &Context<'_>, old: &PasswordSource, new: &PasswordSource) -> Result<(), Failure> {
    if old.is_stdin() && new.is_stdin() {
        return Err(Failure::usage(
            "Only one of the two passwords can come from standard input",
            "Give the other with a file or another descriptor.",
        ));
    }
    let no_input = context.global.no_input;
    // Before any question: nobody shall invent a password for a daemon that isn't there.
    let mut daemon = context.connect()?;
    let select = context.global.select();
    let list: DeviceListResult = daemon.call(method::DEVICE_LIST, &Empty {})?;
    let known: Vec<String> = list.devices.iter().flat_map(known_words).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let password = password::enter(old, no_input, context.output)?;
    let new_password = password::choose(new, no_input, context.output, &known)?;
    context.output.say("Locking the keys with it; this takes a second or two...");
    let asked = DevicePassword { select, password, new_password };
    let device: DeviceView = daemon.call(method::DEVICE_PASSWORD, &asked)?;
    let text =
        format!("{}: the new password opens it from now on, and the old one does not.", described(&device));
    let done = Done::new(&text, "`parsecctl device unlock` takes the new password.");
    context.output.changed(schema::DEVICE_PASSWORD, &device, || text.clone(), done)
}

/// What is known of a device by whoever attacks it.
fn known_words(device: &DeviceView) -> Vec<String> {
    let texts =
        [device.name.as_ref().map(ToString::to_string), device.label.as_ref().map(ToString::to_string)];
    let email = device.email.as_ref().map(ToString::to_string);
    texts.into_iter().flatten().chain(email).chain([device.organisation.to_string()]).collect()
}

/// Removes a device, once it has been named twice.
fn forget(
    context: &Context<'_>,
    id: DeviceId,
    confirm: Option<DeviceId>,
    force: bool,
) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let list: DeviceListResult = daemon.call(method::DEVICE_LIST, &Empty {})?;
    let device = list.devices.iter().find(|device| device.device == id);
    match (confirm, device) {
        (Some(again), _) if again == id => {}
        (Some(_), _) => {
            return Err(Failure::usage(
                "The two ids differ, so nothing was removed",
                "Give the same whole id twice: `parsecctl device forget ID --confirm ID`.",
            ));
        }
        (None, Some(device)) => ask_name(context, device)?,
        // The daemon says that there is no such device.
        (None, None) => {}
    }
    let _done: Empty =
        context.ask(&mut daemon, method::DEVICE_FORGET, &DeviceForget { device: id, force })?;
    let text = format!(
        "Device {} is gone from this machine. Ask an administrator to revoke it if somebody else might have its keys.",
        short(id)
    );
    let (result, done) = (serde_json::json!({ "device": id }), Done::new(&text, SEE_DEVICES));
    context.output.changed(schema::DEVICE_FORGET, &result, || text.clone(), done)
}

/// Has the device's name typed; its organisation's while it is locked and nobody knows the name.
fn ask_name(context: &Context<'_>, device: &DeviceView) -> Result<(), Failure> {
    let terminal = Terminal::open(
        context.global.no_input,
        context.output,
        "Somebody's word",
        "Give the whole id twice: `parsecctl device forget ID --confirm ID`.",
    )?;
    let (what, wanted) = match &device.label {
        Some(label) => ("the device's name", label.to_string()),
        None => ("the organisation's name", device.organisation.to_string()),
    };
    context.output.screen(&format!(
        "{} and its keys will be removed from this machine. This can't be undone.",
        described(device)
    ));
    let typed = terminal.answer(&format!("Type {what} ({}) to go on: ", escaped(&wanted)), false)?;
    if typed.trim() == wanted {
        return Ok(());
    }
    Err(Failure::usage(
        format!("That is not {what}, so nothing was removed"),
        "Run it again if you want the keys gone.",
    ))
}

/// One device in a sentence.
pub(super) fn described(device: &DeviceView) -> String {
    let label = device.label.as_ref().map(|label| format!(" ({})", escaped(label))).unwrap_or_default();
    format!("Device {}{label} in {}", short(device.device), device.organisation)
}

/// The devices in use, and how many there are beside them.
pub(super) fn devices(devices: &[DeviceView], output: &Output) -> String {
    let (aside, in_use): (Vec<_>, Vec<_>) = devices.iter().cloned().partition(is_set_aside);
    let mut text = if in_use.is_empty() {
        "No device on this machine yet. Join with `parsecctl claim`, found an organisation with `parsecctl org bootstrap`, or come back with a kit: `parsecctl recovery use`."
            .to_owned()
    } else {
        table(&in_use, output)
    };
    if !aside.is_empty() {
        let count = aside.len();
        text.push_str(&format!("\n{count} more set aside: `parsecctl device list --set-aside` shows them."));
    }
    text
}

/// The table of devices.
fn table(devices: &[DeviceView], output: &Output) -> String {
    let rows: Vec<Vec<String>> = devices
        .iter()
        .map(|device| {
            let registration = match device.registration {
                Registration::Registered => "registered",
                Registration::Pending => "pending-registration",
                Registration::Void => "set aside: never registered, somebody says",
                Registration::Revoked => "revoked, the server says",
                Registration::Unknown => "one that this program is too old for",
            };
            let state = match device.state {
                DeviceState::Locked => "locked",
                DeviceState::Unlocked => "unlocked",
            };
            let unknown = || "-".to_owned();
            vec![
                short(device.device),
                device.organisation.to_string(),
                device.email.as_ref().map_or_else(unknown, ToString::to_string),
                device.label.as_ref().map_or_else(unknown, ToString::to_string),
                state.to_owned(),
                registration.to_owned(),
                device.server.clone(),
            ]
        })
        .collect();
    output.table(&["DEVICE", "ORGANISATION", "USER", "LABEL", "STATE", "REGISTRATION", "SERVER"], &rows)
}
