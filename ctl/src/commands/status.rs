//! `status`: the daemon, this machine's devices, the ceremonies.
//!
//! Decides what is worth a line. Refuses nothing.

use parsec_protocol::control::{API_VERSION, DeviceView, Empty, StatusResult, method};

use super::{Context, ceremony, device};
use crate::failure::Failure;
use crate::text::shown;

pub(super) fn run(context: &Context<'_>) -> Result<(), Failure> {
    let status: StatusResult = context.call(method::STATUS, &Empty {})?;
    context.output.result("parsec.status/1", &status, || {
        let mut lines = vec![format!("parsecd {} is running (process {})", shown(&status.version), status.pid)];
        if status.api_version != API_VERSION {
            lines.push(format!(
                "It speaks version {} of the local interface, this program {API_VERSION}: update the older one.",
                shown(&status.api_version)
            ));
        }
        lines.push(String::new());
        lines.push(device::devices(&status.devices, context.output));
        lines.extend(status.devices.iter().filter_map(waiting));
        if !status.ceremonies.is_empty() {
            lines.push(String::new());
            lines.push(ceremony::overview(&status.ceremonies, context.output));
        }
        lines.join("\n")
    })
}

/// Certificates of a device that are on their way to the log.
fn waiting(device: &DeviceView) -> Option<String> {
    let count = device.outbox.filter(|count| *count > 0)?;
    Some(format!(
        "{count} enrolment(s) vouched for in {} wait for the newcomer's terminal or the server; they finish by themselves.",
        device.organisation
    ))
}
