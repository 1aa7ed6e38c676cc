//! `device.unlock` and `device.password`: passwords that somebody gives for a device that is there.
//!
//! Decides that one is tried at a time, in the order they came, and that none is tried while its device's delay runs:
//! also where a hundred were given before the first was found wrong. Refuses more than a queue can hold, and a device that
//! is just being locked.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Daemon;
use super::command::{Event, Reply};
use super::select::Wanted;
use crate::events::Reason;
use crate::os::caller::{Caller, CallerSession};
use crate::session::Session;
use crate::store::check_strength;
use parsec_protocol::control::{
    DevicePassword, DeviceSelector, DeviceUnlock, DeviceView, Problem, ProblemKind, SecretText,
};
use parsec_protocol::ids::DeviceId;

/// Passwords that may wait for their turn. Half of what all clients together can have under way; each takes a second.
const WAITING_MAX: usize = 128;

/// A password that waits for its turn.
#[derive(Debug)]
struct Waiting {
    given: Given,
    password: SecretText,
    /// For a change: the new one.
    new: Option<SecretText>,
}

/// For which device a password was given, and who waits for the outcome.
#[derive(Debug)]
pub struct Given {
    device: DeviceId,
    /// Whether it is to be changed; otherwise the device is to be unlocked.
    change: bool,
    /// The session that gave it: if it is right, a person sits there.
    by: Option<CallerSession>,
    reply: Reply<DeviceView>,
}

/// What came of a password.
#[derive(Debug)]
pub enum Tried {
    /// It opened the device.
    Opened(Arc<Session>),
    /// It was right: the device was open already, or has its new password now.
    Right,
    /// It was wrong, or something failed.
    Failed(Problem),
}

/// Passwords to be tried.
#[derive(Debug, Default)]
pub struct Passwords {
    waiting: VecDeque<Waiting>,
    /// Whether one is being tried.
    busy: bool,
}

impl Given {
    fn refuse(self, problem: Problem) {
        let _ = self.reply.send(Err(problem));
    }
}

impl Daemon {
    pub(super) fn unlock(&mut self, request: DeviceUnlock, caller: &Caller, reply: Reply<DeviceView>) {
        self.give(&request.select, request.password, None, caller, reply);
    }

    pub(super) fn change_password(
        &mut self,
        request: DevicePassword,
        caller: &Caller,
        reply: Reply<DeviceView>,
    ) {
        // Before scrypt spends a second on the old one; it tells nothing about that.
        if let Err(error) = check_strength(&request.new_password) {
            let _ = reply.send(Err(error.into()));
            return;
        }
        self.give(&request.select, request.password, Some(request.new_password), caller, reply);
    }

    fn give(
        &mut self,
        select: &DeviceSelector,
        password: SecretText,
        new: Option<SecretText>,
        caller: &Caller,
        reply: Reply<DeviceView>,
    ) {
        let device = match self.choose_for_password(select, new.is_some()) {
            Ok(device) => device,
            Err(problem) => {
                let _ = reply.send(Err(problem));
                return;
            }
        };
        let given = Given { device, change: new.is_some(), by: caller.session.clone(), reply };
        if let Err(problem) = self.turnstile.may_try(device) {
            return given.refuse(problem);
        }
        if self.passwords.waiting.len() >= WAITING_MAX {
            let text = format!("{WAITING_MAX} passwords wait to be tried already.");
            return given.refuse(Problem::new(ProblemKind::TooManyGuesses, text));
        }
        self.passwords.waiting.push_back(Waiting { given, password, new });
        self.try_next();
    }

    /// To unlock: among several, the locked one. To change: as for everything else, the unlocked one; but a locked
    /// one that is meant will do.
    fn choose_for_password(&self, select: &DeviceSelector, change: bool) -> Result<DeviceId, Problem> {
        if change { self.choose_any(select) } else { self.choose(select, Wanted::Locked) }
    }

    /// Tries the password whose turn it is, unless one is being tried.
    fn try_next(&mut self) {
        while !self.passwords.busy {
            let Some(Waiting { given, password, new }) = self.passwords.waiting.pop_front() else { return };
            let device = given.device;
            if let Err(problem) = self.turnstile.may_try(device) {
                given.refuse(problem);
                continue;
            }
            if !self.is_here(device) {
                given.refuse(gone());
                continue;
            }
            if let Err(problem) = self.closing.is_done(device) {
                given.refuse(problem);
                continue;
            }
            self.passwords.busy = true;
            let open = self.unlocked.get(&device).map(|unlocked| Arc::clone(&unlocked.session.open));
            let turnstile = self.turnstile.clone();
            let (devices, client, stop, handle, net) = (
                Arc::clone(&self.devices),
                self.client.clone(),
                self.stop.child_token(),
                self.handle.clone(),
                self.net.clone(),
            );
            self.spawn(async move {
                let work = async {
                    if let Some(new) = new {
                        let change =
                            move || devices.change_password(device, open.as_deref(), &password, &new);
                        turnstile.attempt(device, change).await?;
                        return Ok(Tried::Right);
                    }
                    if let Some(open) = open {
                        // Nothing to open. It is checked all the same, against the keys in use: a wrong one must not look
                        // like the right one, nor somebody else's key file like this device's.
                        turnstile.attempt(device, move || devices.check_password(&open, &password)).await?;
                        return Ok(Tried::Right);
                    }
                    let open = turnstile.attempt(device, move || devices.unlock(device, &password)).await?;
                    Session::start(open, client, stop, handle.hub().clone(), net).await.map(Tried::Opened)
                };
                let tried = work.await.unwrap_or_else(Tried::Failed);
                handle.tell(Event::Tried(given, tried)).await;
            });
        }
    }

    /// Takes note of what came of a password, and goes on with the next.
    pub(super) fn tried(&mut self, given: Given, tried: Tried) {
        self.passwords.busy = false;
        self.judge(given, tried);
        self.try_next();
    }

    fn judge(&mut self, given: Given, tried: Tried) {
        let device = given.device;
        match tried {
            Tried::Failed(problem) => return given.refuse(problem),
            Tried::Opened(_) | Tried::Right => {}
        }
        if !self.is_here(device) {
            return given.refuse(gone());
        }
        if let Tried::Opened(session) = tried {
            self.unlocked(session);
        }
        match self.unlocked.get_mut(&device) {
            Some(unlocked) => unlocked.confirmed.add(given.by.as_ref()),
            // Locked while its password was tried: a later unlocking is another one.
            None if !given.change => {
                return given.refuse(Problem::new(ProblemKind::DeviceLocked, "The device was locked."));
            }
            None => {}
        }
        if given.change {
            self.changed(device, Reason::Password);
        }
        self.touch(device);
        let _ = given.reply.send(self.view(device).ok_or_else(gone));
    }
}

fn gone() -> Problem {
    Problem::new(ProblemKind::DeviceUnknown, "The device is not on this machine any more.")
}
