//! One side of a ceremony, watched: its newest view, and waiting for the next thing that matters.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use parsec_protocol::control::{
    CeremonyApprove, CeremonyChoose, CeremonyFinish, CeremonyId, CeremonyIdentify, CeremonySelector,
    CeremonyView, ChoiceMode, Outcome, Problem, ProblemKind, ProfileName, SecretText, Stage, method,
};

use crate::rpc::{Client, DEADLINE, Failed};

/// Why a ceremony did not come to the awaited point.
#[derive(Debug, Clone)]
pub enum Ended {
    /// It closed.
    Problem(Box<Problem>),
    /// Its daemon went away.
    Gone,
}

impl Ended {
    /// The stable name.
    ///
    /// # Panics
    /// If the daemon went away instead.
    #[must_use]
    pub fn name(&self) -> ProblemKind {
        match self {
            Self::Problem(problem) => problem.name,
            Self::Gone => panic!("the daemon went away"),
        }
    }
}

impl From<Failed> for Ended {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Problem(problem) => Self::Problem(problem),
            Failed::Gone => Self::Gone,
        }
    }
}

#[derive(Debug, Default)]
struct Seen {
    view: Option<CeremonyView>,
    gone: bool,
}

/// One side of a running ceremony.
#[derive(Debug)]
pub struct Side {
    id: CeremonyId,
    client: Client,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    watching: UnixStream,
    watcher: Option<std::thread::JoinHandle<()>>,
}

impl Side {
    /// Attaches to a ceremony by its id, on two connections: one listens, one speaks.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn attach(socket: &Path, id: CeremonyId) -> Result<Self, Ended> {
        let mut events = Client::connect(socket)?;
        let client = Client::connect(socket)?;
        let _: serde_json::Value = events.call(method::CEREMONY_WATCH, CeremonySelector { ceremony: id })?;
        events.patient();
        let watching = events.handle();
        let seen = Arc::new((Mutex::new(Seen::default()), Condvar::new()));
        let told = Arc::clone(&seen);
        let watcher = std::thread::spawn(move || {
            loop {
                let view = match events.line() {
                    Ok(line) if line["method"] == method::CEREMONY_CHANGED => {
                        serde_json::from_value::<CeremonyView>(line["params"]["result"].clone()).ok()
                    }
                    Ok(_) => continue,
                    Err(_) => None,
                };
                let mut seen = told.0.lock().unwrap();
                let gone = view.is_none();
                match view {
                    Some(view) => seen.view = Some(view),
                    None => seen.gone = true,
                }
                told.1.notify_all();
                if gone {
                    return;
                }
            }
        });
        Ok(Self { id, client, seen, watching, watcher: Some(watcher) })
    }

    /// Which ceremony of its daemon.
    #[must_use]
    pub fn id(&self) -> CeremonyId {
        self.id
    }

    /// Waits until the view fits.
    ///
    /// # Errors
    /// [`Ended`] if the ceremony ended before.
    ///
    /// # Panics
    /// After [`DEADLINE`].
    pub fn until(
        &self,
        what: &str,
        mut fits: impl FnMut(&CeremonyView) -> bool,
    ) -> Result<CeremonyView, Ended> {
        let (lock, changed) = &*self.seen;
        let mut seen = lock.lock().unwrap();
        loop {
            if let Some(view) = &seen.view {
                if fits(view) {
                    return Ok(view.clone());
                }
                if let Some(Outcome::Failed { problem }) = &view.outcome {
                    return Err(Ended::Problem(Box::new(problem.clone())));
                }
            }
            if seen.gone {
                return Err(Ended::Gone);
            }
            let (next, timed_out) = changed.wait_timeout(seen, DEADLINE).unwrap();
            seen = next;
            assert!(!timed_out.timed_out(), "waited {DEADLINE:?} for {what}; seen last: {:?}", seen.view);
        }
    }

    /// Waits for a stage.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn stage(&self, stage: Stage) -> Result<CeremonyView, Ended> {
        self.until(&format!("{stage:?}"), |view| view.stage == stage)
    }

    /// Waits for the end, good or bad.
    ///
    /// # Errors
    /// [`Ended`] if it was not a good one.
    pub fn outcome(&self) -> Result<Outcome, Ended> {
        let view = self.until("the end", |view| matches!(view.outcome, Some(Outcome::Enrolled { .. })))?;
        view.outcome.ok_or(Ended::Gone)
    }

    /// Waits for the code to say, as a person would read it out.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn code_to_say(&self) -> Result<String, Ended> {
        let view = self.until("a code to say", |view| view.stage == Stage::SayCode && view.say.is_some())?;
        view.say.map(|choice| choice.code).ok_or(Ended::Gone)
    }

    /// Gives the code that was heard, picked or typed; `None` says that none fits.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn choose(&mut self, code: Option<&str>, mode: ChoiceMode) -> Result<CeremonyView, Ended> {
        let parameters = CeremonyChoose { ceremony: self.id, code: code.map(str::to_owned), mode };
        Ok(self.client.call(method::CEREMONY_CHOOSE, parameters)?)
    }

    /// Says who the claimer is.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn identify(&mut self, name: Option<&str>, label: &str) -> Result<CeremonyView, Ended> {
        let parameters = CeremonyIdentify {
            ceremony: self.id,
            name: name.map(|name| name.parse().unwrap()),
            device_label: label.parse().unwrap(),
        };
        Ok(self.client.call(method::CEREMONY_IDENTIFY, parameters)?)
    }

    /// Vouches, having heard that the code was found.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn approve(&mut self, profile: Option<ProfileName>) -> Result<CeremonyView, Ended> {
        let parameters = CeremonyApprove {
            ceremony: self.id,
            claimer_confirmed: true,
            name: None,
            device_label: None,
            profile,
        };
        Ok(self.client.call(method::CEREMONY_APPROVE, parameters)?)
    }

    /// Gives the password.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn finish(&mut self, password: &str) -> Result<CeremonyView, Ended> {
        let password = SecretText::new(password.to_owned().into());
        Ok(self.client.call(method::CEREMONY_FINISH, CeremonyFinish { ceremony: self.id, password })?)
    }

    /// Stops it.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn cancel(&mut self) -> Result<CeremonyView, Ended> {
        Ok(self.client.call(method::CEREMONY_CANCEL, CeremonySelector { ceremony: self.id })?)
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // Wakes the watcher; if the daemon is gone already, it has ended by itself.
        let _ = self.watching.shutdown(std::net::Shutdown::Both);
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
    }
}
