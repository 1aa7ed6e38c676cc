//! `device.unlock` and `device.password`: passwords that somebody gives for a device that is there.
//!
//! Decides that one is tried at a time, in the order they came, and that none is tried while its
//! device's delay runs: also where a hundred were given before the first was found wrong. Refuses
//! more than a queue can hold, and a device that is just being locked.

use std::collections::VecDeque;
use std::sync::Arc;

use parsec_protocol::control::{
    DevicePassword, DeviceSelector, DeviceUnlock, DeviceView, Problem, ProblemKind, SecretText,
};
use parsec_protocol::ids::DeviceId;

use super::Daemon;
use super::backoff::Backoff;
use super::command::{Event, Given, Reply, Tried};
use super::select::Wanted;
use crate::events::{Hub, Reason};
use crate::os::caller::Caller;
use crate::store::check_strength;

/// Passwords that may wait for their turn. Half of what all clients together can have under way;
/// each takes a second.
const WAITING_MAX: usize = 128;

/// A password that waits for its turn.
#[derive(Debug)]
struct Waiting {
    given: Given,
    password: SecretText,
    /// For a change: the new one.
    new: Option<SecretText>,
}

/// Passwords to be tried, and the delays after wrong ones.
#[derive(Debug)]
pub(super) struct Unlocking {
    waiting: VecDeque<Waiting>,
    /// Whether one is being tried.
    busy: bool,
    backoff: Backoff,
}

impl Unlocking {
    /// Nothing is to be tried yet; `hub` hears of wrong passwords.
    pub(super) fn new(hub: Hub) -> Self {
        Self { waiting: VecDeque::new(), busy: false, backoff: Backoff::new(hub) }
    }

    /// The one way to a password, for other work that takes one.
    pub(super) const fn backoff(&self) -> &Backoff {
        &self.backoff
    }

    /// Forgets the wrong passwords of a device that is gone.
    pub(super) fn forget(&self, device: DeviceId) {
        self.backoff.forget(device);
    }
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
        if let Err(problem) = self.unlocking.backoff.may_try(device) {
            return given.refuse(problem);
        }
        if self.unlocking.waiting.len() >= WAITING_MAX {
            let text = format!("{WAITING_MAX} passwords wait to be tried already.");
            return given.refuse(Problem::new(ProblemKind::TooManyGuesses, text));
        }
        self.unlocking.waiting.push_back(Waiting { given, password, new });
        self.try_next();
    }

    /// To unlock: among several, the locked one. To change: as for everything else, the unlocked
    /// one; but a locked one that is meant will do.
    fn choose_for_password(&self, select: &DeviceSelector, change: bool) -> Result<DeviceId, Problem> {
        if change { self.devices.choose_any(select) } else { self.devices.choose(select, Wanted::Locked) }
    }

    /// Tries the password whose turn it is, unless one is being tried.
    fn try_next(&mut self) {
        while !self.unlocking.busy {
            let Some(Waiting { given, password, new }) = self.unlocking.waiting.pop_front() else { return };
            let device = given.device;
            if let Err(problem) = self.unlocking.backoff.may_try(device) {
                given.refuse(problem);
                continue;
            }
            if !self.devices.is_here(device) {
                given.refuse(gone());
                continue;
            }
            if let Err(problem) = self.devices.may_open(device) {
                given.refuse(problem);
                continue;
            }
            self.unlocking.busy = true;
            let open = self.devices.session(device).map(|session| session.held());
            let (backoff, context) = (self.unlocking.backoff.clone(), self.context.clone());
            self.context.spawn(async move {
                let store = Arc::clone(&context.store);
                let work = async {
                    if let Some(new) = new {
                        let change = move || store.change_password(device, open.as_deref(), &password, &new);
                        backoff.attempt(device, change).await?;
                        return Ok(Tried::Right);
                    }
                    if let Some(open) = open {
                        // Nothing to open. It is checked all the same, against the keys in use: a
                        // wrong one must not look like the right one, nor somebody else's key file
                        // like this device's.
                        backoff.attempt(device, move || store.check_password(&open, &password)).await?;
                        return Ok(Tried::Right);
                    }
                    let open = backoff.attempt(device, move || store.unlock(device, &password)).await?;
                    context.start_session(open).await.map(Tried::Opened)
                };
                let tried = work.await.unwrap_or_else(Tried::Failed);
                context.handle.tell(Event::Tried(given, tried)).await;
            });
        }
    }

    /// Takes note of what came of a password, and goes on with the next.
    pub(super) fn tried(&mut self, given: Given, tried: Tried) {
        self.unlocking.busy = false;
        self.judge(given, tried);
        self.try_next();
    }

    fn judge(&mut self, given: Given, tried: Tried) {
        let device = given.device;
        match tried {
            Tried::Failed(problem) => return given.refuse(problem),
            Tried::Opened(_) | Tried::Right => {}
        }
        if !self.devices.is_here(device) {
            return given.refuse(gone());
        }
        if let Tried::Opened(session) = tried {
            self.unlocked(session);
        }
        // Locked while its password was tried: a later unlocking is another one.
        if !self.devices.confirm(device, given.by.as_ref()) && !given.change {
            return given.refuse(Problem::new(ProblemKind::DeviceLocked, "The device was locked."));
        }
        if given.change {
            self.devices.changed(device, Reason::Password);
        }
        self.devices.touch(device);
        let _ = given.reply.send(self.devices.view(device).ok_or_else(gone));
    }
}

fn gone() -> Problem {
    Problem::new(ProblemKind::DeviceUnknown, "The device is not on this machine any more.")
}
