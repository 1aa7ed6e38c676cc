//! The one event stream of a member's device: the log's length, the invitations it asks to be told
//! of, and how far the member's safes have come.
//!
//! Decides what is told: at once all that was asked for, then each change but the device's own
//! deposits, whole, so that an event is the answer of the read it calls for and nothing is told
//! that the read would refuse. Ends when
//! the server stops, when the device may no longer ask or its rights have changed, and when the
//! same device or member has opened too many. Nothing is polled: a stream wakes for a change, for
//! an invitation's date, and to keep the connection. A change that brings its state costs no look
//! into the database.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use parsec_protocol::codec;
use parsec_protocol::ids::{DeviceId, Timestamp, Token};
use parsec_protocol::limits::FOLLOWED_MAX;
use parsec_protocol::relay::attempt::Side;
use parsec_protocol::relay::{
    EVENT_GONE, EVENT_INVITATION, EVENT_LOG, EVENT_MANIFEST, EVENT_SAFE, ErrorCode, Follow, InvitationGone,
    LogLength, ManifestHint, SAFE_PAGE_MAX, SafeEntry, SafeHint, StepTold,
};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use super::authenticated::Caller;
use super::events::{KEEP_ALIVE, KEPT_ALIVE, Progress, TIMER_MAX, event, with_step};
use super::invited::last_step;
use super::{App, body};
use crate::errors::Refusal;
use crate::invitations::Member;
use crate::store::invitations::Loaded;
use crate::store::{Tx, log};
use crate::watchers::{Change, Holder, Topic, Watcher, Woken};

/// An invitation that is followed, as it was told last.
struct Followed {
    /// Without this device's own deposits.
    told: Vec<u8>,
    progress: Progress,
    /// When it changes by itself.
    changes_at: Option<Timestamp>,
}

/// One look at what may have changed.
struct Look {
    member: Member,
    count: Option<u64>,
    /// The newest version of the member's manifest, where that was looked at.
    manifest: Option<u64>,
    /// The state of each invitation looked at; none where this member sees none.
    states: Vec<(Token, Option<State>)>,
    safes: Vec<SafeHint>,
}

/// What is looked at besides invitations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whole {
    /// The log and all safes: at the beginning.
    All,
    Log,
    Neither,
}

/// What else is looked at: invitations, and the member's manifest.
struct Also {
    tokens: Vec<Token>,
    manifest: bool,
}

struct State {
    encoded: Vec<u8>,
    /// The same without this device's own deposits, which are no news to it.
    of_others: Vec<u8>,
    /// The step that has made it so, where it is this device's to read.
    step: Option<Arc<StepTold>>,
    last: bool,
    expires: Timestamp,
    progress: Progress,
}

impl State {
    fn of(loaded: &Loaded, device: &DeviceId) -> Self {
        let mut view = loaded.view();
        let encoded = codec::encode(&view);
        if let Some(attempt) = view.attempt.as_mut().filter(|attempt| attempt.greets(device).is_ok()) {
            attempt.steps &= !Side::Greeter.own_steps();
        }
        Self {
            encoded,
            of_others: codec::encode(&view),
            step: None,
            last: loaded.invitation.is_final(),
            expires: loaded.invitation.expires,
            progress: Progress::of(&loaded.invitation, loaded.newest.as_ref()),
        }
    }
}

struct Stream {
    app: Arc<App>,
    caller: Caller,
    watcher: Watcher,
    /// Whose rights the stream has; with others it ends.
    member: Member,
    following: BTreeMap<Token, Followed>,
    /// The log's length as it was told last.
    count: Option<u64>,
    ready: VecDeque<Bytes>,
    keep_alive: tokio::time::Interval,
}

/// Opens the stream. What it tells at once is read before the answer, so that a refusal is an
/// ordinary one.
pub(super) async fn open(app: Arc<App>, caller: Caller, asked: Follow) -> Result<Response, Refusal> {
    if asked.tokens.len() > FOLLOWED_MAX {
        return Err(ErrorCode::TooLarge.into());
    }
    let (organisation, user) = (caller.organisation.clone(), caller.user);
    let holders = vec![
        Holder::Device { organisation: organisation.clone(), device: caller.device },
        Holder::Member { organisation: organisation.clone(), user },
    ];
    let mut topics = vec![
        caller.rights(),
        Topic::Safes { organisation: organisation.clone(), user },
        Topic::Manifest { organisation: organisation.clone(), user },
        Topic::Log { organisation },
    ];
    topics.extend(asked.tokens.iter().map(|token| caller.topic(*token)));
    // Registered before the first look, so that no change falls between.
    let watcher = app.watchers.watch(holders, topics);
    // The manifest is read by whoever opens a stream.
    let also = Also { tokens: asked.tokens, manifest: false };
    let first = look(&app, &caller, Whole::All, also).await?;
    let mut keep_alive = interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
    keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stream = Stream {
        app,
        caller,
        watcher,
        member: first.member,
        following: BTreeMap::new(),
        count: None,
        ready: VecDeque::new(),
        keep_alive,
    };
    stream.tell(first);
    Ok(body::events(Body::from_stream(futures_util::stream::unfold(stream, next))))
}

/// Reads everything in one transaction, by the rights of this moment.
async fn look(app: &App, caller: &Caller, whole: Whole, also: Also) -> Result<Look, Refusal> {
    let Also { tokens, manifest } = also;
    let (now, caller, store) = (app.clock.now(), caller.clone(), caller.store(app));
    let look = move |tx: &dyn Tx| {
        let member = caller.member(tx)?;
        let count = match whole {
            Whole::All | Whole::Log => Some(log::end(tx, &caller.organisation)?.head.count),
            Whole::Neither => None,
        };
        let safes = if whole == Whole::All { hints(tx, &caller)? } else { Vec::new() };
        let manifest = match manifest {
            true => Some(tx.manifest(&caller.organisation, &caller.user)?.version),
            false => None,
        };
        let mut states = Vec::with_capacity(tokens.len());
        for token in tokens {
            let state = match caller.see(tx, member, &token, now) {
                // What is deposited later is told as it comes.
                Ok((_, loaded)) if whole == Whole::All => {
                    let step = waiting(tx, &caller, &loaded)?.map(Arc::new);
                    Some(State { step, ..State::of(&loaded, &caller.device) })
                }
                Ok((_, loaded)) => Some(State::of(&loaded, &caller.device)),
                Err(refusal) if refusal.code == ErrorCode::InvitationUnknown => None,
                Err(refusal) => return Err(refusal),
            };
            states.push((token, state));
        }
        Ok(Look { member, count, manifest, states, safes })
    };
    store.read(look).await
}

/// How far the member's safes have come. Whoever has more than fit one list asks for the list.
fn hints(tx: &dyn Tx, caller: &Caller) -> Result<Vec<SafeHint>, Refusal> {
    let list = tx.safes_of(&caller.organisation, &caller.user, None, SAFE_PAGE_MAX)?;
    let hint =
        |entry: &SafeEntry| SafeHint { safe: entry.safe, log: entry.log.count, seq: entry.journal.count };
    Ok(list.safes.iter().filter(|entry| entry.role.is_some()).map(hint).collect())
}

/// The claimer's step that the device is to read next, if it greets the attempt and there is one.
fn waiting(tx: &dyn Tx, caller: &Caller, loaded: &Loaded) -> Result<Option<StepTold>, Refusal> {
    match &loaded.newest {
        Some(attempt) if attempt.state.greets(&caller.device).is_ok() => {
            last_step(tx, (&caller.organisation, &loaded.invitation.token), attempt, Side::Greeter)
        }
        Some(_) | None => Ok(None),
    }
}

impl Stream {
    /// Makes events of what is new. What is over or unseen is told once and followed no longer.
    fn tell(&mut self, look: Look) {
        if let Some(count) = look.count
            && self.count.replace(count) != Some(count)
        {
            self.ready.push_back(event(EVENT_LOG, &codec::encode(&LogLength { count })));
        }
        if let Some(version) = look.manifest {
            self.ready.push_back(event(EVENT_MANIFEST, &codec::encode(&ManifestHint { version })));
        }
        for hint in look.safes {
            self.ready.push_back(event(EVENT_SAFE, &codec::encode(&hint)));
        }
        let now = self.app.clock.now();
        for (token, state) in look.states {
            let Some(state) = state else {
                self.following.remove(&token);
                self.ready.push_back(event(EVENT_GONE, &codec::encode(&InvitationGone { token })));
                continue;
            };
            let told = self.following.remove(&token);
            if told.is_none_or(|followed| followed.told != state.of_others) {
                let invitation = event(EVENT_INVITATION, &state.encoded);
                self.ready.push_back(match &state.step {
                    Some(step) => with_step(step, &invitation),
                    None => invitation,
                });
            }
            if !state.last {
                // Once the date is past it has happened, or it didn't: a sealed attempt outlives
                // its invitation.
                let changes_at = Some(state.expires).filter(|at| *at > now);
                self.following
                    .insert(token, Followed { told: state.of_others, progress: state.progress, changes_at });
            }
        }
    }

    /// Whether a step is one that this device may read as the attempt is now: the claimer's, in the
    /// attempt it greets.
    fn reads(&self, loaded: &Loaded, step: &StepTold) -> bool {
        loaded.newest.as_ref().is_some_and(|attempt| {
            attempt.id() == step.attempt
                && attempt.state.greets(&self.caller.device).is_ok()
                && attempt.state.readable(Side::Greeter, step.step).is_ok()
        })
    }

    /// Those whose date has come.
    fn due(&self) -> Vec<Token> {
        let now = self.app.clock.now();
        let due = |followed: &Followed| followed.changes_at.is_some_and(|at| at <= now);
        self.following.iter().filter(|(_, followed)| due(followed)).map(|(token, _)| *token).collect()
    }

    /// How long nothing changes by itself.
    fn rest(&self) -> Duration {
        let first = self.following.values().filter_map(|followed| followed.changes_at).min();
        let rest = first.map(|at| Duration::from_micros(at.0.saturating_sub(self.app.clock.now().0)));
        rest.unwrap_or(TIMER_MAX).min(TIMER_MAX)
    }

    /// Tells of what changed, and looks at what came without its state; `false` when the stream is
    /// over.
    async fn follow_up(&mut self, changes: Vec<Change>) -> bool {
        let (mut log, mut rights, mut manifest, mut tokens) = (false, false, false, self.due());
        let (mut states, mut safes) = (Vec::new(), Vec::new());
        let mut told = None;
        for Change { topic, state, step, safe, count } in changes {
            match topic {
                // A look has told more already, or tells it now.
                Topic::Log { .. } => match count {
                    Some(count) => told = Some(count).filter(|count| self.count < Some(*count)),
                    None => log = true,
                },
                Topic::Invitation { token, .. } => {
                    // Nothing: told already that it is over.
                    let Some(followed) = self.following.get(&token) else { continue };
                    match state.as_deref() {
                        // A look that began before this change and ended after the next one has
                        // told more already.
                        Some(loaded)
                            if Progress::of(&loaded.invitation, loaded.newest.as_ref())
                                < followed.progress => {}
                        Some(loaded) if loaded.invitation.may_see(&self.member) => {
                            let step = step.filter(|step| self.reads(loaded, step));
                            states.push((
                                token,
                                Some(State { step, ..State::of(loaded, &self.caller.device) }),
                            ));
                        }
                        Some(_) | None => tokens.push(token),
                    }
                }
                Topic::Rights { .. } => rights = true,
                Topic::Manifest { .. } => manifest = true,
                Topic::Safes { .. } => safes.extend(safe),
            }
        }
        if !rights && !log && !manifest && tokens.is_empty() {
            self.tell(Look { member: self.member, count: told, manifest: None, states, safes });
            return true;
        }
        let whole = if log { Whole::Log } else { Whole::Neither };
        match look(&self.app, &self.caller, whole, Also { tokens, manifest }).await {
            // With other rights other invitations are seen: the device asks again, and is told by
            // those.
            Ok(mut look) if look.member == self.member => {
                look.states.extend(states);
                look.safes = safes;
                look.count = look.count.or(told);
                self.tell(look);
                true
            }
            Ok(_) | Err(_) => false,
        }
    }
}

async fn next(mut stream: Stream) -> Option<(Result<Bytes, Infallible>, Stream)> {
    loop {
        if let Some(event) = stream.ready.pop_front() {
            return Some((Ok(event), stream));
        }
        let rest = sleep(stream.rest());
        let changes = tokio::select! {
            () = stream.app.stopping.cancelled() => return None,
            woken = stream.watcher.changed() => match woken {
                Woken::Changed => stream.watcher.take(),
                Woken::Replaced => return None,
            },
            () = rest => Vec::new(),
            _ = stream.keep_alive.tick() => return Some((Ok(KEPT_ALIVE), stream)),
        };
        if !stream.follow_up(changes).await {
            return None;
        }
    }
}
