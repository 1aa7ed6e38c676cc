//! Whose word counts: which sessions have shown that a person who knows the password sits at them.
//!
//! Decides whether a request that vouches, or that hands rights on, may use an unlocked device. Refuses sessions that
//! have not given the password since the device was unlocked, and those whose leader has ended. Without this, one
//! unlocked device would serve everything that runs as the user, as an agent's socket does.

use parsec_protocol::control::{DeviceSelector, Problem, ProblemKind};
use parsec_protocol::ids::DeviceId;

use super::Daemon;
use super::command::{Asker, Command, Needs};
use super::select::Wanted;
use crate::caller::{Caller, CallerSession};
use crate::enrolment::Act;

/// Sessions whose word one device remembers: a person's windows of a day. The oldest goes; it is asked again.
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

/// The sessions that gave a device's password since it was unlocked. Gone with the keys when it is locked.
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

    fn has(&self, caller: &Caller) -> bool {
        let known = |session: &CallerSession| self.0.contains(session) && !session.has_ended();
        caller.session.as_ref().is_some_and(known)
    }
}

/// With whose keys a request acts.
enum With<'a> {
    /// The device it selects.
    Selected(&'a DeviceSelector),
    /// A ceremony's, if it has one here.
    Ceremony(Option<DeviceId>),
    /// None: any unlocked device's confirmation will do.
    Any,
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
        if self.approval == Approval::Device {
            // Once something is unlocked, for what has no device of its own to be locked.
            let locked = matches!(with, With::Any) && self.unlocked.is_empty();
            return if locked { Err(required(&asker.caller)) } else { Ok(()) };
        }
        let device = match with {
            With::Selected(selector) => self.choose(selector, Wanted::Unlocked)?,
            With::Ceremony(Some(device)) => device,
            // A claimer's ceremony, or none: there is nothing here to vouch with, and the command says so itself.
            With::Ceremony(None) => return Ok(()),
            With::Any => {
                return match self.unlocked.values().any(|it| it.confirmed.has(&asker.caller)) {
                    true => Ok(()),
                    false => Err(required(&asker.caller)),
                };
            }
        };
        match self.unlocked.get(&device) {
            Some(unlocked) if !unlocked.confirmed.has(&asker.caller) => Err(required(&asker.caller)),
            // Locked: the command says so itself.
            Some(_) | None => Ok(()),
        }
    }

    fn with<'a>(&self, command: &'a Command) -> With<'a> {
        match command {
            Command::InviteUser(request, _) => With::Selected(&request.select),
            Command::InviteDevice(request, _) => With::Selected(&request.select),
            Command::InviteCancel(request, _) => With::Selected(&request.select),
            Command::GreetStart(request, _) => With::Selected(&request.select),
            Command::CeremonyAct(id, act, _) => match act {
                Act::Approve(_) | Act::Choose(_) | Act::Identify(_) | Act::Finish(_) | Act::Cancel => {
                    With::Ceremony(self.ceremony(*id).ok().and_then(|ceremony| ceremony.device))
                }
            },
            Command::InviteList(selector, _)
            | Command::UserList(selector, _)
            | Command::TrustVerify(selector, _)
            | Command::ReceiptList(selector, _)
            | Command::DeviceLock(selector, _) => With::Selected(selector),
            Command::TrustShow(request, _) => With::Selected(&request.select),
            Command::TrustAcknowledge(request, _) => With::Selected(&request.select),
            Command::TrustLog(request, _) => With::Selected(&request.select),
            Command::TrustExport(request, _) => With::Selected(&request.select),
            Command::TrustImport(request, _) => With::Selected(&request.select),
            Command::TrustFork(request, _) => With::Selected(&request.select),
            Command::ReceiptExport(request, _) => With::Selected(&request.select),
            Command::UserShow(request, _) => With::Selected(&request.select),
            Command::UserRevoke(request, _) => With::Selected(&request.select),
            Command::UserProfile(request, _) => With::Selected(&request.select),
            Command::DeviceRevoke(request, _) => With::Selected(&request.select),
            Command::DeviceUnlock(request, _) => With::Selected(&request.select),
            Command::DevicePassword(request, _) => With::Selected(&request.select),
            Command::Vouch(_)
            | Command::Doctor(_)
            | Command::Status(_)
            | Command::OrgBootstrap(..)
            | Command::DeviceList(_)
            | Command::DeviceForget(..)
            | Command::ClaimStart(..)
            | Command::CeremonyList(_)
            | Command::CeremonyWatch(..)
            | Command::NetStatus(_)
            | Command::NetPeers(_)
            | Command::NetPing(..) => With::Any,
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
