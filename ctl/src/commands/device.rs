//! `device list|unlock|lock`.
//!
//! Decides how a device looks to people. Refuses a password as an argument.

use parsec_protocol::control::{
    DeviceListResult, DeviceState, DeviceUnlock, DeviceView, Empty, Registration, method,
};

use super::{Context, short};
use crate::args::Device;
use crate::failure::Failure;
use crate::output::Output;
use crate::password;
use crate::text::shown;

pub(super) fn run(context: &Context<'_>, command: &Device) -> Result<(), Failure> {
    let select = context.global.select();
    match command {
        Device::List => {
            let result: DeviceListResult = context.call(method::DEVICE_LIST, &Empty {})?;
            context
                .output
                .result("parsec.device.list/1", &result, || devices(&result.devices, context.output))
        }
        Device::Unlock { password } => {
            let mut daemon = context.connect()?;
            let password = password::enter(password, context.global.no_input, context.output)?;
            let device: DeviceView =
                daemon.call(method::DEVICE_UNLOCK, &DeviceUnlock { select, password })?;
            context
                .output
                .result("parsec.device.unlock/1", &device, || format!("{} is unlocked.", described(&device)))
        }
        Device::Lock => {
            let device: DeviceView = context.call(method::DEVICE_LOCK, &select)?;
            context.output.result("parsec.device.lock/1", &device, || {
                format!("{} is locked; its keys are wiped from memory.", described(&device))
            })
        }
    }
}

/// One device in a sentence.
fn described(device: &DeviceView) -> String {
    let label = device.label.as_ref().map(|label| format!(" ({})", shown(label))).unwrap_or_default();
    format!("Device {}{label} in {}", short(device.device), device.organisation)
}

/// The table of devices.
pub(super) fn devices(devices: &[DeviceView], output: &Output) -> String {
    if devices.is_empty() {
        return "No device on this machine yet. Join with `parsecctl claim`, or found an organisation with `parsecctl org bootstrap`."
            .to_owned();
    }
    let rows: Vec<Vec<String>> = devices
        .iter()
        .map(|device| {
            let registration = match device.registration {
                Registration::Registered => "registered",
                Registration::Pending => "waiting for the greeter's device",
                Registration::Void => "void: cancelled before it was registered",
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
