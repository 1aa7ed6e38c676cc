//! The device's password in the middle of a command: asked for where the daemon wants it and a
//! person is there.
//!
//! Decides which device it is for. Refuses to ask where nobody is (the daemon's problem stands,
//! with its remedy), to guess between devices, and to ask more than a few times: the daemon makes
//! guessing slow, and so does this.

use parsec_protocol::control::{
    DeviceListResult, DeviceSelector, DeviceState, DeviceUnlock, DeviceView, Empty, ProblemKind, SecretText,
    method,
};
use parsec_protocol::ids::{DeviceId, OrganisationId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Context;
use super::device::described;
use crate::client::Connection;
use crate::failure::{Failure, Report};
use crate::output::Output;
use crate::prompt::Terminal;
use crate::text::escaped;

/// Passwords asked for before the command fails: two slips of the finger.
const TRIES: u8 = 3;

/// What is said while scrypt works.
pub(crate) const OPENING: &str = "Opening the keys; this takes a second...";

impl Context<'_> {
    /// Calls. Where the daemon wants the device's password first and a person is there, asks for it
    /// and calls again, once.
    ///
    /// # Errors
    /// The daemon's problem; Ctrl-C.
    pub(crate) fn ask<P: Serialize, R: DeserializeOwned>(
        &self,
        daemon: &mut Connection,
        method: &str,
        params: &P,
    ) -> Result<R, Failure> {
        match daemon.call(method, params) {
            Err(Failure::Report(report))
                if needs_password(&report) && Terminal::present(self.global.no_input, self.output) =>
            {
                let terminal = Terminal::open(self.global.no_input, self.output, "The password", "")?;
                unlock(daemon, &terminal, self.output, report, &self.global.select())?;
                drop(terminal);
                daemon.call(method, params)
            }
            answer => answer,
        }
    }

    /// The same for what concerns every device on this machine: asks for each one's password, then
    /// calls again, once.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(crate) fn ask_for_all<P: Serialize, R: DeserializeOwned>(
        &self,
        daemon: &mut Connection,
        method: &str,
        params: &P,
    ) -> Result<R, Failure> {
        match daemon.call(method, params) {
            Err(Failure::Report(report))
                if needs_password(&report) && Terminal::present(self.global.no_input, self.output) =>
            {
                let list: DeviceListResult = daemon.call(method::DEVICE_LIST, &Empty {})?;
                if list.devices.is_empty() {
                    return Err(Failure::Report(report));
                }
                let terminal = Terminal::open(self.global.no_input, self.output, "The password", "")?;
                self.output.screen(&escaped(&report.message));
                for device in &list.devices {
                    give(daemon, &terminal, self.output, device)?;
                }
                drop(terminal);
                daemon.call(method, params)
            }
            answer => answer,
        }
    }
}

/// Whether a password given now would help.
pub(crate) fn needs_password(report: &Report) -> bool {
    report.is(ProblemKind::ConfirmationRequired) || report.is(ProblemKind::DeviceLocked)
}

/// Says why, asks for the device's password, and unlocks with it.
///
/// # Errors
/// The problem itself where it isn't clear which device is meant; the daemon's refusal; Ctrl-C.
pub(crate) fn unlock(
    daemon: &mut Connection,
    terminal: &Terminal,
    output: &Output,
    why: Report,
    select: &DeviceSelector,
) -> Result<(), Failure> {
    let list: DeviceListResult = daemon.call(method::DEVICE_LIST, &Empty {})?;
    let any_open = list.devices.iter().any(|device| device.state == DeviceState::Unlocked);
    let wanted = if any_open && !why.is(ProblemKind::DeviceLocked) {
        DeviceState::Unlocked
    } else {
        DeviceState::Locked
    };
    let Some(device) = only(&list.devices, select, wanted) else { return Err(Failure::Report(why)) };
    output.screen(&escaped(&why.message));
    give(daemon, terminal, output, device)
}

/// Asks for one device's password, and unlocks with it.
fn give(
    daemon: &mut Connection,
    terminal: &Terminal,
    output: &Output,
    device: &DeviceView,
) -> Result<(), Failure> {
    let question = format!("Password of {} (not shown): ", sentence_inside(&described(device)));
    let select = DeviceSelector { device: Some(device.device.to_string()), organisation: None };
    let mut tries = 1;
    loop {
        let password = SecretText::new(terminal.answer(&question, true)?);
        output.say(OPENING);
        let asked = DeviceUnlock { select: select.clone(), password };
        match daemon.call::<_, DeviceView>(method::DEVICE_UNLOCK, &asked) {
            Ok(_) => return Ok(()),
            Err(Failure::Report(report)) if report.is(ProblemKind::WrongPassword) && tries < TRIES => {
                output.screen(&format!("  {} {}", escaped(&report.message), escaped(&report.hint)));
                tries += 1;
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// The one device in this state that is meant.
fn only<'a>(
    devices: &'a [DeviceView],
    select: &DeviceSelector,
    state: DeviceState,
) -> Option<&'a DeviceView> {
    let mut fitting = devices
        .iter()
        .filter(|device| device.state == state && selects(select, device.device, &device.organisation));
    let first = fitting.next()?;
    if fitting.next().is_none() { Some(first) } else { None }
}

/// Whether a selector leaves room for this device.
pub(super) fn selects(select: &DeviceSelector, device: DeviceId, organisation: &OrganisationId) -> bool {
    select.device.as_ref().is_none_or(|start| device.to_string().starts_with(start.as_str()))
        && select.organisation.as_ref().is_none_or(|wanted| wanted == organisation)
}

/// A sentence's beginning in the middle of another.
fn sentence_inside(text: &str) -> String {
    text.replacen("Device", "device", 1)
}

#[cfg(test)]
mod tests {
    use parsec_protocol::control::{Problem, Registration};
    use parsec_protocol::ids::UserId;

    use super::*;

    fn device(first: u8, organisation: &str, state: DeviceState) -> DeviceView {
        DeviceView {
            device: DeviceId::from_bytes([first; 16]),
            user: UserId::from_bytes([first; 16]),
            organisation: organisation.parse().unwrap(),
            server: String::new(),
            state,
            registration: Registration::Registered,
            name: None,
            email: None,
            label: None,
            outbox: None,
            outbox_set_aside: None,
            suspended: None,
            lockouts: None,
        }
    }

    #[test]
    fn a_device_is_found_or_nobody_is_asked() {
        use DeviceState::{Locked, Unlocked};
        let devices =
            [device(0xaa, "acme", Locked), device(0xbb, "acme", Unlocked), device(0xcc, "beta", Locked)];
        let found = |start: Option<&str>, organisation: Option<&str>, state| {
            let select = DeviceSelector {
                device: start.map(str::to_owned),
                organisation: organisation.map(|name| name.parse().unwrap()),
            };
            only(&devices, &select, state).map(|device| device.device.as_bytes()[0])
        };
        assert_eq!(found(None, None, Unlocked), Some(0xbb));
        assert_eq!(found(None, None, Locked), None, "two are locked");
        assert_eq!(found(None, Some("beta"), Locked), Some(0xcc));
        assert_eq!(found(Some("aaaa"), None, Locked), Some(0xaa));
        assert_eq!(found(Some("bbbb"), None, Locked), None);
        assert_eq!(found(None, Some("gamma"), Locked), None);
    }

    #[test]
    fn only_what_a_password_helps_against_asks_for_one() {
        for kind in ProblemKind::ALL {
            let report = Report::from(Problem::new(*kind, "x"));
            let helps = matches!(kind, ProblemKind::ConfirmationRequired | ProblemKind::DeviceLocked);
            assert_eq!(needs_password(&report), helps, "{}", kind.name());
        }
    }
}
