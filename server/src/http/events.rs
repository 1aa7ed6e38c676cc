//! The event stream of a claimer's attempt: the whole present state at once, then after each
//! change.
//!
//! Decides when a stream speaks and when it ends: after a state that is the last one, when the
//! server stops, when its reader may no longer see the state, or when the same reader has opened
//! too many. Nothing is polled: a stream wakes for a change, for the invitation's end, and to keep
//! the connection. A change that brings its state costs no look into the database.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use futures_util::stream;
use parsec_protocol::codec;
use parsec_protocol::ids::Timestamp;
use parsec_protocol::relay::attempt::Side;
use parsec_protocol::relay::{EVENT_STATE, EVENT_STEP, StepTold};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use super::invited::{Claimer, begin, load};
use super::{App, body};
use crate::errors::Refusal;
use crate::invitations::{Attempt, Invitation};
use crate::store::invitations::Loaded;
use crate::watchers::{Watcher, Woken};

/// Below the minute after which home routers and proxies drop silent connections.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Longest single timer; an invitation's end may be months away.
pub(super) const TIMER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A comment, which keeps the connection.
pub(super) const KEPT_ALIVE: Bytes = Bytes::from_static(b":\n\n");

/// What a stream tells: the encoded state, when it will change by itself, and whether it is the
/// last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    encoded: Vec<u8>,
    /// The same without the claimer's own deposits, which are no news to the claimer.
    of_others: Vec<u8>,
    /// Nothing comes after it: a stream that went on would only hold a place.
    last: bool,
    changes_at: Option<Timestamp>,
    progress: Progress,
}

/// How far an invitation has come. Never less later: every change adds to the first part that it
/// touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Progress {
    attempts: u32,
    over: bool,
    mismatches: u32,
    attempt_over: bool,
    /// Steps of the attempt, and its greeter.
    done: u32,
}

impl Progress {
    /// Of an invitation with one attempt.
    pub(crate) fn of(invitation: &Invitation, attempt: Option<&Attempt>) -> Self {
        let state = attempt.map(|attempt| &attempt.state);
        Self {
            attempts: invitation.attempts,
            over: invitation.is_final(),
            mismatches: invitation.mismatches,
            attempt_over: state.is_some_and(|state| !state.is_open()),
            done: state.map_or(0, |state| {
                state.steps.count_ones().saturating_add(u32::from(state.greeter.is_some()))
            }),
        }
    }
}

impl State {
    fn of(invitation: &Invitation, attempt: &Attempt) -> Self {
        let mut view = attempt.view();
        let encoded = codec::encode(&view);
        view.steps &= !Side::Claimer.own_steps();
        Self {
            encoded,
            of_others: codec::encode(&view),
            last: view.ended.is_some(),
            changes_at: view.ended.is_none().then_some(invitation.expires),
            progress: Progress::of(invitation, Some(attempt)),
        }
    }
}

struct Stream {
    app: Arc<App>,
    claimer: Claimer,
    watcher: Watcher,
    told: State,
    /// What is told at once, until it was.
    first: Option<Bytes>,
    keep_alive: tokio::time::Interval,
}

impl Stream {
    /// The state that a change has left, where the change says it: of an attempt that is not the
    /// newest it doesn't, because that one is over.
    fn carried(&self, loaded: &Loaded) -> Option<State> {
        let newest = loaded.newest.as_ref().filter(|newest| newest.id() == self.claimer.attempt);
        newest.map(|newest| State::of(&loaded.invitation, newest))
    }

    /// Whether a step is one that this attempt's claimer may read as the attempt is now.
    fn reads(&self, loaded: &Loaded, step: &StepTold) -> bool {
        let newest = loaded.newest.as_ref().filter(|newest| newest.id() == step.attempt);
        step.attempt == self.claimer.attempt
            && newest.is_some_and(|attempt| attempt.state.readable(Side::Claimer, step.step).is_ok())
    }

    /// Notes a sign that the claimer is still connected.
    fn alive(&self) {
        self.app.presence.touch(self.claimer.attempt, self.app.clock.now());
    }
}

/// Reads the present state.
async fn read(app: &App, claimer: &Claimer) -> Result<State, Refusal> {
    let chosen = load(app, claimer.clone()).await?;
    Ok(State::of(&chosen.invitation, &chosen.attempt))
}

/// Opens a stream. The first state is read before the answer, so that a refusal is an ordinary one.
/// `watcher` was registered before, so that no change falls between.
pub(super) async fn open(app: Arc<App>, claimer: Claimer, watcher: Watcher) -> Result<Response, Refusal> {
    let (chosen, step) = begin(&app, claimer.clone()).await?;
    let told = State::of(&chosen.invitation, &chosen.attempt);
    let state = event(EVENT_STATE, &told.encoded);
    let first = Some(step.map_or_else(|| state.clone(), |step| with_step(&step, &state)));
    let mut keep_alive = interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
    keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stream = Stream { app, claimer, watcher, told, first, keep_alive };
    Ok(body::events(Body::from_stream(stream::unfold(stream, next))))
}

async fn next(mut stream: Stream) -> Option<(Result<Bytes, std::convert::Infallible>, Stream)> {
    if let Some(first) = stream.first.take() {
        return Some((Ok(first), stream));
    }
    if stream.told.last {
        return None;
    }
    loop {
        let change = match stream.told.changes_at {
            Some(at) => {
                let left = Duration::from_micros(at.0.saturating_sub(stream.app.clock.now().0));
                sleep(left.min(TIMER_MAX))
            }
            None => sleep(TIMER_MAX),
        };
        let (mut carried, mut step) = (None, None);
        tokio::select! {
            () = stream.app.stopping.cancelled() => return None,
            woken = stream.watcher.changed() => match woken {
                Woken::Changed => match stream.watcher.take().pop() {
                    Some(change) => {
                        if let Some(loaded) = change.state {
                            carried = stream.carried(&loaded);
                            step = change.step.filter(|step| stream.reads(&loaded, step));
                        }
                    }
                    // Taken already.
                    None => continue,
                },
                Woken::Replaced => return None,
            },
            () = change => {}
            _ = stream.keep_alive.tick() => {
                stream.alive();
                return Some((Ok(KEPT_ALIVE), stream));
            }
        }
        let mut state = match carried {
            // A look that began before this change and ended after the next one has told more
            // already.
            Some(state) if state.progress < stream.told.progress => continue,
            Some(state) => {
                stream.alive();
                state
            }
            None => read(&stream.app, &stream.claimer).await.ok()?,
        };
        if state.changes_at.is_some_and(|at| at <= stream.app.clock.now()) {
            // It has happened, or it didn't: an attempt past its receipt outlives its invitation.
            state.changes_at = None;
        }
        let news = state.of_others != stream.told.of_others;
        stream.told = state;
        if news {
            let state = event(EVENT_STATE, &stream.told.encoded);
            let told = step.map_or_else(|| state.clone(), |step| with_step(&step, &state));
            return Some((Ok(told), stream));
        }
    }
}

/// A step, before the state that announces it: whoever reads that has the step already.
pub(super) fn with_step(step: &StepTold, state: &Bytes) -> Bytes {
    Bytes::from([event(EVENT_STEP, &codec::encode(step)), state.clone()].concat())
}

/// An event of this name with a record.
pub(super) fn event(name: &str, record: &[u8]) -> Bytes {
    let data = Base64UrlUnpadded::encode_string(record);
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}
