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
    /// The test struck.
    Interrupted,
}

impl Ended {
    /// The stable name.
    ///
    /// # Panics
    /// If it was no problem of the daemon's.
    #[must_use]
    pub fn name(&self) -> ProblemKind {
        match self {
            Self::Problem(problem) => problem.name,
            Self::Gone | Self::Interrupted => panic!("no problem, but {self:?}"),
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

/// Rings whenever something happens that somebody in the test waits for.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Mutex<(u64, bool)>,
    changed: Condvar,
}

impl Bell {
    /// Something happened.
    pub fn ring(&self) {
        self.rung.lock().unwrap().0 += 1;
        self.changed.notify_all();
    }

    /// Everybody who waits is to stop waiting: the test has struck.
    pub fn interrupt(&self) {
        self.rung.lock().unwrap().1 = true;
        self.changed.notify_all();
    }

    /// Waiting works again.
    pub fn resume(&self) {
        self.rung.lock().unwrap().1 = false;
    }

    /// Waits until `look` finds something, looking again each time the bell rings.
    ///
    /// # Errors
    /// [`Ended::Interrupted`].
    ///
    /// # Panics
    /// After [`DEADLINE`] without a ring.
    pub fn until<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> Result<T, Ended> {
        self.until_or_say(|| what.to_owned(), look)
    }

    /// The same, where what is missing is known only when it is missed.
    ///
    /// # Errors
    /// [`Ended::Interrupted`].
    ///
    /// # Panics
    /// After [`DEADLINE`] without a ring.
    pub fn until_or_say<T>(
        &self,
        what: impl Fn() -> String,
        mut look: impl FnMut() -> Option<T>,
    ) -> Result<T, Ended> {
        let mut heard = self.rung.lock().unwrap().0;
        loop {
            if let Some(found) = look() {
                return Ok(found);
            }
            let rung = self.rung.lock().unwrap();
            let wait = |state: &mut (u64, bool)| state.0 == heard && !state.1;
            let (rung, timeout) = self.changed.wait_timeout_while(rung, DEADLINE, wait).unwrap();
            assert!(!timeout.timed_out(), "waited {DEADLINE:?} for {}", what());
            if rung.1 {
                return Err(Ended::Interrupted);
            }
            heard = rung.0;
        }
    }
}

/// What is known of one side.
#[derive(Debug, Default, Clone)]
struct Seen {
    view: Option<CeremonyView>,
    gone: bool,
}

/// One side of a running ceremony.
#[derive(Debug)]
pub struct Side {
    id: CeremonyId,
    client: Client,
    seen: Arc<Mutex<Seen>>,
    bell: Arc<Bell>,
    watching: UnixStream,
    watcher: Option<std::thread::JoinHandle<()>>,
}

impl Side {
    /// Attaches to a ceremony by its id, on two connections: one listens, one speaks.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn attach(socket: &Path, id: CeremonyId, bell: &Arc<Bell>) -> Result<Self, Ended> {
        let mut events = Client::connect(socket)?;
        let client = Client::connect(socket)?;
        let _: serde_json::Value = events.call(method::CEREMONY_WATCH, CeremonySelector { ceremony: id })?;
        events.patient();
        let watching = events.handle();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let told = (Arc::clone(&seen), Arc::clone(bell));
        let watcher = std::thread::spawn(move || watch(events, &told.0, &told.1));
        Ok(Self { id, client, seen, bell: Arc::clone(bell), watching, watcher: Some(watcher) })
    }

    /// Which ceremony of its daemon.
    #[must_use]
    pub fn id(&self) -> CeremonyId {
        self.id
    }

    /// What rings when this side changes.
    #[must_use]
    pub fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }

    /// The newest view, if there is one yet.
    #[must_use]
    pub fn view(&self) -> Option<CeremonyView> {
        self.seen.lock().unwrap().view.clone()
    }

    /// How it ended, if it has; a daemon that went away ended it too.
    #[must_use]
    pub fn end(&self) -> Option<Result<Outcome, Ended>> {
        let seen = self.seen.lock().unwrap().clone();
        match seen.view.and_then(|view| view.outcome) {
            Some(Outcome::Failed { problem }) => Some(Err(Ended::Problem(Box::new(problem)))),
            // Enrolled, but not yet known to be in the log: for a greeter that is not the end.
            Some(outcome) => Some(Ok(outcome)),
            None => seen.gone.then_some(Err(Ended::Gone)),
        }
    }

    /// Waits until the view fits.
    ///
    /// # Errors
    /// [`Ended`] if the ceremony ended before.
    ///
    /// # Panics
    /// After [`DEADLINE`] without any change.
    pub fn until(
        &self,
        what: &str,
        mut fits: impl FnMut(&CeremonyView) -> bool,
    ) -> Result<CeremonyView, Ended> {
        self.bell.until(&format!("{what}; seen last: {:?}", self.view()), || {
            if let Some(view) = self.view().filter(|view| fits(view)) {
                return Some(Ok(view));
            }
            self.end().map(|end| Err(end.err().unwrap_or(Ended::Gone)))
        })?
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
        self.bell.until(&format!("the end; seen last: {:?}", self.view()), || self.end())?
    }

    /// Waits for the code to say, as a person would read it out.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn code_to_say(&self) -> Result<String, Ended> {
        let view = self.until("a code to say", |view| view.stage == Stage::SayCode && view.say.is_some())?;
        view.say.map(|choice| choice.code).ok_or(Ended::Gone)
    }

    /// Waits until codes are compared: the two devices have found each other, and people are to
    /// act.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn codes(&self) -> Result<CeremonyView, Ended> {
        self.until("codes", |view| matches!(view.stage, Stage::SayCode | Stage::ChooseCode))
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

/// Takes every view the daemon sends; the end of the stream is an event too.
fn watch(mut events: Client, seen: &Mutex<Seen>, bell: &Bell) {
    loop {
        let line = events.line();
        let gone = line.is_err();
        match line {
            Ok(line) if line["method"] == method::CEREMONY_CHANGED => {
                let view = serde_json::from_value(line["params"]["result"].clone());
                seen.lock().unwrap().view = Some(view.unwrap_or_else(|error| panic!("{error} in {line}")));
            }
            Ok(_) => {}
            Err(_) => seen.lock().unwrap().gone = true,
        }
        bell.ring();
        if gone {
            return;
        }
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
