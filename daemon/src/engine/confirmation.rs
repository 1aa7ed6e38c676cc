//! Whose word counts: which sessions have shown that a person who knows the password sits at them.
//!
//! Decides whether a request that vouches, or that hands rights on, may use the devices it is
//! about. Refuses sessions that have not given those devices' passwords since they were unlocked,
//! and those whose leader has ended; the password of one device says nothing about another. Without
//! this, one unlocked device would serve everything that runs as the user, as an agent's socket
//! does.

use parsec_protocol::control::{DeviceSelector, Problem, ProblemKind};
use parsec_protocol::ids::DeviceId;

use super::Daemon;
use super::command::{Asker, Command, Needs};
use super::select::Wanted;
use crate::os::caller::{Caller, CallerSession};
use crate::store::DeviceSummary;

/// Sessions whose word one device remembers: a person's windows of a day. The oldest goes; it is
/// asked again.
const SESSIONS_MAX: usize = 64;

/// How far one confirmation reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Approval {
    /// A session vouches once it has given the password itself.
    #[default]
    Session,
    /// Every program of the user vouches once the device is unlocked.
    Device,
}

/// The sessions that gave a device's password since it was unlocked. Gone with the keys when it is
/// locked.
#[derive(Debug, Default)]
pub(super) struct Confirmed(Vec<CallerSession>);

impl Confirmed {
    /// Notes that a session gave the right password.
    pub(super) fn add(&mut self, session: Option<&CallerSession>) {
        let Some(session) = session else { return };
        self.0.retain(|known| known != session && !known.has_ended());
        if self.0.len() >= SESSIONS_MAX {
            self.0.remove(0);
        }
        self.0.push(session.clone());
    }

    /// Whether the caller's session is among them and has not ended.
    pub(super) fn has(&self, caller: &Caller) -> bool {
        let known = |session: &CallerSession| self.0.contains(session) && !session.has_ended();
        caller.session.as_ref().is_some_and(known)
    }
}

/// For which devices a request speaks.
enum With<'a> {
    /// The device it selects.
    Selected(&'a DeviceSelector),
    /// A ceremony's, if it has one here.
    Ceremony(Option<DeviceId>),
    /// Every device on this machine: what is handed on shows them all. Not any one of them, and not
    /// the unlocked ones alone: a program can found an organisation of its own, with a password of
    /// its own, and lock all others.
    All,
    /// None. Whatever asks for a confirmation all the same gets none.
    Nobody,
}

impl Daemon {
    /// Whether a request may be carried out, as far as the caller's session matters.
    ///
    /// # Errors
    /// `confirmation_required`; what choosing the device would say.
    pub(super) fn permitted(&self, asker: &Asker, command: &Command) -> Result<(), Problem> {
        if asker.needs == Needs::Nothing {
            return Ok(());
        }
        let with = self.with(command);
        let every_session = self.approval == Approval::Device;
        let device = match with {
            // Locked, the command says so itself.
            With::Selected(_) | With::Ceremony(_) if every_session => return Ok(()),
            With::Selected(selector) => self.devices.choose(selector, Wanted::Unlocked)?,
            With::Ceremony(Some(device)) => device,
            // A claimer's ceremony, or none: there is nothing here to vouch with, and the command
            // says so itself.
            With::Ceremony(None) => return Ok(()),
            With::All => {
                let open = |summary: &DeviceSummary| {
                    let confirmed = self.devices.is_confirmed(summary.device, &asker.caller);
                    confirmed.is_some_and(|confirmed| every_session || confirmed)
                };
                let missing = self.devices.known().filter(|summary| !open(summary)).count();
                return match (self.devices.known().len(), missing) {
                    (0, _) => Err(required(&asker.caller)),
                    (_, 0) => Ok(()),
                    (1, _) => Err(required(&asker.caller)),
                    (all, missing) => Err(required_of_all(&asker.caller, missing, all)),
                };
            }
            With::Nobody => return Err(required(&asker.caller)),
        };
        match self.devices.is_confirmed(device, &asker.caller) {
            Some(false) => Err(required(&asker.caller)),
            // Locked: the command says so itself.
            Some(true) | None => Ok(()),
        }
    }

    fn with<'a>(&self, command: &'a Command) -> With<'a> {
        match command {
            Command::OnSession { select, .. } | Command::DeviceLock(select, _) => With::Selected(select),
            Command::OrgServer(request, _) => With::Selected(&request.select),
            Command::GreetStart(request, _) => With::Selected(&request.select),
            Command::DeviceUnlock(request, _) => With::Selected(&request.select),
            Command::DevicePassword(request, _) => With::Selected(&request.select),
            Command::CeremonyAct(id, _, _) => With::Ceremony(self.ceremonies.device(*id)),
            Command::HandOn(_) => With::All,
            Command::Doctor(_)
            | Command::Status(_)
            | Command::OrgBootstrap(..)
            | Command::RecoveryUse(..)
            | Command::RecoveryCombine(..)
            | Command::DeviceList(_)
            | Command::DeviceForget(..)
            | Command::DeviceRestore(..)
            | Command::ClaimStart(..)
            | Command::CeremonyList(_)
            | Command::CeremonyWatch(..)
            | Command::NetStatus(_)
            | Command::NetPeers(_)
            | Command::NetPing(..) => With::Nobody,
        }
    }
}

fn required(caller: &Caller) -> Problem {
    let text = match caller.session {
        Some(_) => "This needs the device's password, given once in this terminal or session.",
        None => {
            "This needs a confirmation, and the calling program belongs to no session that could give one."
        }
    };
    Problem::new(ProblemKind::ConfirmationRequired, text)
}

/// The same, where a plug-in would see several devices.
fn required_of_all(caller: &Caller, missing: usize, all: usize) -> Problem {
    let problem = required(caller);
    if caller.session.is_none() {
        return problem;
    }
    let text = format!(
        "A plug-in sees every device on this machine: this session has still to give the passwords of {missing} of {all}."
    );
    Problem { message: text, ..problem }
}
