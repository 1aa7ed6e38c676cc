//! The ceremony's drivers: one task around each machine, which carries its outputs out in order and
//! feeds it what happens.
//!
//! Decides who may end a ceremony and how each end is told to the relay and to the person. Refuses
//! to let anything but the machine advance one: what the relay says about the other side can only
//! end it.

pub mod attempts;
pub mod claim;
pub mod claimer;
pub mod finality;
mod follow;
pub mod greet;
pub mod greeter;
mod handed;
pub mod new_device;
pub mod outbox;
pub mod p2p;
pub mod pending;
pub mod recovery;
pub mod reports;
pub mod resume;
mod tally;
pub mod view;
mod wait_for_claimer;
pub mod waiting;

#[cfg(test)]
mod tests;

use std::future::Future;

use parsec_protocol::control::{
    CeremonyApprove, CeremonyChoose, CeremonyFinish, CeremonyIdentify, CeremonyView, ChoiceMode, Problem,
    ProblemKind, Stage,
};
use parsec_protocol::enrol::io::{Closed, CodeAnswer};
use parsec_protocol::relay::{AttemptView, EndReason, ErrorCode};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::os::caller::CallerSession;
use crate::problems;
use crate::transport::{Transport, TransportError};
use view::ViewPublisher;
use waiting::Hint;

/// Requests that may wait for one ceremony: a person's program has one at a time.
pub const REQUESTS_MAX: usize = 8;

/// How long is asked why an attempt ended: it has, and the reason is a courtesy.
const REASON_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// How long a stopping daemon goes on telling the relay that an attempt is over. The record on disk
/// does the rest.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(3);

/// What a person asks of a running ceremony.
#[derive(Debug)]
pub enum Act {
    /// The code that was heard.
    Choose(CeremonyChoose),
    /// Who the claimer is.
    Identify(CeremonyIdentify),
    /// The greeter vouches, having heard the claimer.
    Approve(CeremonyApprove),
    /// The password for the claimer's new keys.
    Finish(CeremonyFinish),
    /// The person here stops the ceremony.
    Cancel,
}

/// An [`Act`] and where its answer goes.
#[derive(Debug)]
pub struct Request {
    /// What the person does.
    pub act: Act,
    /// From which session; it has shown that it knows the password if this is [`Act::Finish`] and
    /// goes well.
    pub by: Option<CallerSession>,
    /// The view afterwards, or why not.
    pub reply: oneshot::Sender<Result<CeremonyView, Problem>>,
}

/// Why a ceremony ends without success.
#[derive(Debug)]
pub enum End {
    /// The machine here is over.
    Machine(Closed),
    /// The person here stopped; their program waits for the closed view.
    Person(oneshot::Sender<Result<CeremonyView, Problem>>),
    /// The relay says that the attempt is over.
    Peer(EndReason),
    /// The transport failed for good.
    Transport(TransportError),
    /// Something on this machine failed.
    Here(Problem),
    /// The daemon stops, or the device is locked.
    Stopped(Problem),
}

impl End {
    /// What to tell the relay; nothing where the attempt is over already.
    #[must_use]
    pub const fn reason(&self) -> Option<EndReason> {
        match self {
            Self::Machine(closed) => Some(problems::end_reason(*closed)),
            Self::Person(_) => Some(EndReason::Cancelled),
            Self::Peer(_) => None,
            // Whatever the server did, an attempt that is still open there must not block the link.
            Self::Transport(_) | Self::Here(_) | Self::Stopped(_) => Some(EndReason::Abandoned),
        }
    }

    /// Shows the end and answers the person who asked for it.
    pub fn show(self, shown: &ViewPublisher) {
        match self {
            Self::Machine(closed) => shown.closed(problems::closed(closed)),
            Self::Person(reply) => {
                shown.closed(problems::closed(Closed::Cancelled));
                let _ = reply.send(Ok(shown.now()));
            }
            Self::Peer(reason) => shown.closed(problems::ended(reason)),
            Self::Transport(error) => shown.closed(error.into()),
            Self::Here(problem) | Self::Stopped(problem) => shown.closed(problem),
        }
    }
}

/// What a driver works with: the view that it shows, the requests of people, and when it must stop.
#[derive(Debug)]
pub struct CeremonyContext {
    /// Publishes the ceremony's view to those who watch.
    pub shown: ViewPublisher,
    requests: mpsc::Receiver<Request>,
    stop: CancellationToken,
    why_stopped: ProblemKind,
    /// What is said if nobody comes.
    hint: Option<Hint>,
    /// Whether the person may still stop: not once keys are durable or certificates are signed.
    pub may_cancel: bool,
}

impl CeremonyContext {
    /// The context of one ceremony. `why_stopped` is what the person is told when `stop` comes.
    #[must_use]
    pub const fn new(
        shown: ViewPublisher,
        requests: mpsc::Receiver<Request>,
        stop: CancellationToken,
        why_stopped: ProblemKind,
    ) -> Self {
        Self { shown, requests, stop, why_stopped, hint: None, may_cancel: true }
    }

    /// From now on this side waits for the other one. If nobody comes for a while, `hint` is noted.
    pub fn waits(&mut self, hint: String) {
        self.hint = Some(Hint::new(hint));
    }

    /// The time has come: whoever still waits is told, whoever has not got there waits longer.
    fn give_hint(&mut self) {
        let Some(hint) = self.hint.take() else { return };
        match self.shown.now().stage {
            Stage::WaitingForPeer => self.shown.hint(hint.text),
            Stage::Connecting => self.hint = Some(hint.later()),
            _ => {}
        }
    }

    fn stopped(&self) -> End {
        let text = match self.why_stopped {
            ProblemKind::DeviceLocked => "The device was locked.",
            _ => "The daemon was stopped.",
        };
        End::Stopped(Problem::new(self.why_stopped, text))
    }

    /// Waits for what a person asks. Cancelling ends the ceremony here, where the machine can't.
    ///
    /// # Errors
    /// [`End::Person`], [`End::Stopped`].
    pub async fn request(&mut self) -> Result<Request, End> {
        loop {
            let hint = self.hint.as_ref().map(|hint| hint.at);
            let request = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(self.stopped()),
                request = self.requests.recv() => request,
                () = tokio::time::sleep_until(hint.unwrap_or_else(Instant::now)), if hint.is_some() => {
                    self.give_hint();
                    continue;
                }
            };
            let Some(request) = request else {
                // The daemon's loop is gone.
                return Err(self.stopped());
            };
            if !matches!(request.act, Act::Cancel) {
                return Ok(request);
            }
            if self.may_cancel {
                return Err(End::Person(request.reply));
            }
            let _ = request.reply.send(Err(not_now()));
        }
    }

    /// Waits for something that may take long, whatever it waits for: the person can still stop,
    /// and locking ends it. Other requests are answered with `not_now`.
    ///
    /// # Errors
    /// [`End::Person`], [`End::Stopped`].
    pub async fn wait<T>(&mut self, work: impl Future<Output = T>) -> Result<T, End> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                request = self.request() => {
                    let _ = request?.reply.send(Err(not_now()));
                }
            }
        }
    }

    /// Carries something out that may take long, while the person can still stop. Other requests
    /// are answered with `not_now`. Shows what is being tried again.
    ///
    /// # Errors
    /// [`End`]; an attempt that is over is told with its reason.
    pub async fn carry<R: Transport, T>(
        &mut self,
        transport: &R,
        work: impl Future<Output = Result<T, TransportError>>,
    ) -> Result<T, End> {
        let mut trouble = transport.trouble();
        tokio::pin!(work);
        let done = loop {
            tokio::select! {
                biased;
                done = &mut work => break done,
                request = self.request() => {
                    let _ = request?.reply.send(Err(not_now()));
                }
                Ok(()) = trouble.changed() => self.shown.note(trouble.borrow_and_update().clone()),
            }
        };
        self.shown.note(None);
        match done {
            Ok(value) => Ok(value),
            Err(error) if error.code() == Some(ErrorCode::AttemptEnded) => {
                Err(self.wait(why_ended(transport, error)).await?)
            }
            Err(error) => Err(End::Transport(error)),
        }
    }
}

/// The reason of an attempt that the relay calls ended.
async fn why_ended<R: Transport>(transport: &R, error: TransportError) -> End {
    match tokio::time::timeout(REASON_WAIT, transport.state()).await {
        Ok(Ok(AttemptView { ended: Some(reason), .. })) => End::Peer(reason),
        Ok(Ok(AttemptView { ended: None, .. }) | Err(_)) | Err(_) => End::Transport(error),
    }
}

/// The ceremony is at another step.
#[must_use]
pub fn not_now() -> Problem {
    Problem::new(ProblemKind::NotNow, "This can't be asked at this step.")
}

/// A person's answer, read strictly: no character is guessed at.
///
/// # Errors
/// `code_malformed`.
pub fn answer(choose: &CeremonyChoose) -> Result<CodeAnswer, Problem> {
    let Some(text) = &choose.code else { return Ok(CodeAnswer::NoneFits) };
    let code = text.parse().map_err(|error| Problem::new(ProblemKind::CodeMalformed, format!("{error}.")))?;
    Ok(match choose.mode {
        ChoiceMode::Picked => CodeAnswer::Picked(code),
        ChoiceMode::Typed => CodeAnswer::Typed(code),
    })
}

/// The next state of the attempt, or why it can't be followed any more.
async fn next_state(
    seen: &mut watch::Receiver<Option<AttemptView>>,
    follow: impl Future<Output = TransportError>,
) -> Result<AttemptView, End> {
    tokio::pin!(follow);
    loop {
        tokio::select! {
            biased;
            Ok(()) = seen.changed() => {
                if let Some(view) = seen.borrow_and_update().clone() {
                    return Ok(view);
                }
            }
            error = &mut follow => return Err(End::Transport(error)),
        }
    }
}

/// Gives what is still being told at the end of the daemon a little time, and no more.
pub(super) async fn until_farewell(stop: &CancellationToken, work: impl Future<Output = ()>) -> bool {
    let end = async {
        stop.cancelled().await;
        tokio::time::sleep(FAREWELL).await;
    };
    tokio::select! {
        () = work => true,
        () = end => false,
    }
}

/// Ends a ceremony: shows why, then tells the relay until it has heard. The relay's answer changes
/// nothing.
///
/// Past the point where the person may stop, nothing else may either: the keys are durable, and
/// what they wait for is followed by the loop and, after a restart, by the next one. The relay is
/// then told nothing.
pub async fn finish<R: Transport>(end: End, context: &CeremonyContext, transport: &R) {
    let reason = if context.may_cancel { end.reason() } else { None };
    end.show(&context.shown);
    if let Some(reason) = reason
        && let Err(error) = transport.cancel(reason).await
    {
        tracing::debug!(%error, "the relay was told of an ended attempt and did not take it");
    }
}
