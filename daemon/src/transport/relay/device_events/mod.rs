//! The event stream of this device, shared by everything in the daemon that follows an invitation.
//!
//! Decides what the one stream asks for, and hands each invitation's state to those who follow it.
//! A task keeps it open, of those that locking waits for: it begins with the first follower and
//! ends with the last. A stream that breaks is opened again and tells everything anew, so nothing
//! is missed. Where something on the way holds the stream back, and for invitations beyond what one
//! stream follows, the state is asked for instead. Nobody here believes more of an event than of
//! the answer to the read it stands for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parsec_protocol::codec;
use parsec_protocol::ids::{SafeId, Token};
use parsec_protocol::limits::{BODY_MAX_BYTES, FOLLOWED_MAX};
use parsec_protocol::manifest::safes::MANIFEST_SAFES_MAX as MEMBER_SAFES_MAX;
use parsec_protocol::relay::{
    EVENT_GONE, EVENT_INVITATION, EVENT_LOG, EVENT_MANIFEST, EVENT_SAFE, EVENT_STEP, ErrorCode, Follow,
    InvitationGone, InvitationView, LogLength, ManifestHint, SafeHint, StepTold, path,
};
use reqwest::Method;
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

use super::super::events::{Event, Parser};
use super::super::http::Call;
use super::super::retry::Pauses;
use super::super::{TransportError, Trouble};
use super::{Member, held_back};
use crate::os::clock;

/// Between two questions about an invitation that the stream has no room for. It concerns the
/// oldest of more than [`FOLLOWED_MAX`] ceremonies that one person has under way.
const ASK_SELDOM: Duration = Duration::from_secs(60);

/// How a follower learns of its invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Way {
    #[default]
    Stream,
    /// The stream does not come through.
    HeldBack,
    /// The stream has no room.
    Beyond,
}

/// What a follower is told, the newest replacing what was not looked at.
#[derive(Debug, Clone, Default)]
struct Told {
    /// Counts the states, so that an old one is not taken for news.
    states: u64,
    state: Option<InvitationView>,
    /// The step that was told before the state.
    step: Option<StepTold>,
    way: Way,
    trouble: Option<String>,
    refused: Option<TransportError>,
}

#[derive(Debug)]
struct Follower {
    /// None follows the log alone.
    token: Option<Token>,
    /// A stream was opened since it came, or it was told that there is no room: the present state
    /// is on its way. One that comes later must have a stream opened for it even where another
    /// follows the same invitation, who was told that state before.
    served: bool,
    told: watch::Sender<Told>,
}

#[derive(Debug, Default)]
struct Followers {
    next: u64,
    all: BTreeMap<u64, Follower>,
    held_back: bool,
    /// Keeps the stream open. None where nobody follows, and where the server has refused the
    /// stream for good.
    driver: Option<AbortOnDropHandle<()>>,
}

/// The followers of one device's invitations.
#[derive(Debug, Default)]
pub(super) struct DeviceEvents {
    followers: Mutex<Followers>,
    /// Somebody follows more than the stream was opened for, or wants it tried again.
    wanted: Notify,
    /// How many certificates the log has, as the stream said last.
    log: watch::Sender<Option<u64>>,
    /// What the stream said of safes.
    safes: watch::Sender<SafeNews>,
}

/// What the device's stream has said of safes since it was looked at last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SafeNews {
    /// How often a stream was opened: whatever came between two of them was not told.
    pub streams: u64,
    /// The version of the user's manifest that was told last.
    pub manifest: u64,
    /// How often anything was said of the manifest, or of what else is the user's own.
    pub own: u64,
    /// Safes that have gone on, and how often anything was said of each.
    pub gone_on: BTreeMap<SafeId, u64>,
}

impl SafeNews {
    /// What is another value whenever something may be new that is the user's own.
    #[must_use]
    pub const fn of_own(&self) -> (u64, u64) {
        (self.streams, self.own)
    }
}

/// A follower's subscription; leaving it is dropping it.
struct Subscription {
    number: u64,
    told: watch::Receiver<Told>,
    events: Arc<DeviceEvents>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut followers = self.events.lock();
        followers.all.remove(&self.number);
        if followers.all.is_empty() {
            *followers = Followers { next: followers.next, ..Followers::default() };
        }
    }
}

/// Why a stream is opened again.
enum Ended {
    /// Others follow now.
    Outgrown,
    Broken,
}

impl DeviceEvents {
    fn lock(&self) -> MutexGuard<'_, Followers> {
        // Every change below is one step, so a poisoned lock still guards a sound map.
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(
        self: &Arc<Self>,
        token: Option<Token>,
        drive: impl FnOnce() -> AbortOnDropHandle<()>,
    ) -> Subscription {
        let mut followers = self.lock();
        let way = if followers.held_back { Way::HeldBack } else { Way::Stream };
        let (tell, told) = watch::channel(Told { way, ..Told::default() });
        let number = followers.next;
        followers.next += 1;
        followers.all.insert(number, Follower { token, served: false, told: tell });
        followers.driver.get_or_insert_with(drive);
        drop(followers);
        self.wanted.notify_one();
        Subscription { number, told, events: Arc::clone(self) }
    }

    /// Whom a stream is opened for: the newest, as many as it takes. The others are told that they
    /// are beyond.
    fn chosen(&self) -> Vec<Token> {
        let mut followers = self.lock();
        let mut tokens: Vec<Token> = Vec::new();
        let held_back = followers.held_back;
        for follower in followers.all.values_mut().rev() {
            follower.served = true;
            let new = follower.token.filter(|token| !tokens.contains(token));
            let beyond = new.is_some() && tokens.len() >= FOLLOWED_MAX;
            if !beyond {
                tokens.extend(new);
            }
            let way = match (beyond, held_back) {
                (true, _) => Way::Beyond,
                (false, true) => Way::HeldBack,
                (false, false) => Way::Stream,
            };
            follower.told.send_if_modified(|told| std::mem::replace(&mut told.way, way) != way);
        }
        tokens
    }

    fn is_outgrown(&self) -> bool {
        self.lock().all.values().any(|follower| !follower.served)
    }

    fn tell_all(&self, change: impl Fn(&mut Told) -> bool) {
        self.lock().all.values().for_each(|follower| {
            follower.told.send_if_modified(&change);
        });
    }

    fn tell(&self, token: Token, change: impl Fn(&mut Told)) {
        let followers = self.lock();
        for follower in followers.all.values().filter(|follower| follower.token == Some(token)) {
            follower.told.send_modify(&change);
        }
    }

    fn tell_quietly(&self, token: Token, change: impl Fn(&mut Told)) {
        let followers = self.lock();
        for follower in followers.all.values().filter(|follower| follower.token == Some(token)) {
            follower.told.send_if_modified(|told| {
                change(told);
                false
            });
        }
    }

    /// Ends it for all who follow now; whoever comes next has it tried anew.
    fn refuse(&self, error: &TransportError) {
        let mut followers = self.lock();
        for follower in followers.all.values() {
            follower.told.send_modify(|told| told.refused = Some(error.clone()));
        }
        followers.driver = None;
    }

    /// The stream speaks, or doesn't.
    fn held_back(&self, held_back: bool) {
        self.lock().held_back = held_back;
        let (from, to) = if held_back { (Way::Stream, Way::HeldBack) } else { (Way::HeldBack, Way::Stream) };
        self.tell_all(|told| {
            let news = told.way == from;
            if news {
                told.way = to;
            }
            news
        });
    }
}

impl Member {
    /// Follows an invitation: hands on each state (`seen` says whether it was the last), and the
    /// step that was told before it, until it
    /// can't be followed any more. After the last state it never returns, and nothing is asked any
    /// more.
    pub(super) async fn follow_invitation(
        &self,
        token: Token,
        trouble: &Trouble,
        step: impl Fn(StepTold),
        seen: impl FnMut(InvitationView) -> bool,
    ) -> TransportError {
        let member = self.clone();
        let subscription = self.events.enter(Some(token), || {
            AbortOnDropHandle::new(self.tasks.spawn(async move { member.drive().await }))
        });
        match self.hand_on(subscription, token, trouble, (step, seen)).await {
            Err(error) => error,
            Ok(()) => std::future::pending().await,
        }
    }

    /// Follows the log: hands on its length as often as the stream says one, until the server
    /// refuses the stream for good. Where the stream is held back on the way, nothing is told.
    pub async fn follow_log(&self, mut seen: impl FnMut(u64)) -> TransportError {
        let member = self.clone();
        let mut subscription = self
            .events
            .enter(None, || AbortOnDropHandle::new(self.tasks.spawn(async move { member.drive().await })));
        let mut log = self.events.log.subscribe();
        loop {
            if let Some(error) = subscription.told.borrow_and_update().refused.clone() {
                return error;
            }
            if let Some(count) = *log.borrow_and_update() {
                seen(count);
            }
            tokio::select! {
                // Both senders are this device's own.
                _ = log.changed() => {}
                _ = subscription.told.changed() => {}
            }
        }
    }

    /// Follows the safes: keeps the stream open for as long as the future lives. Returns once the
    /// server refuses the stream for good.
    pub async fn follow_safes(&self) -> TransportError {
        let member = self.clone();
        let mut subscription = self
            .events
            .enter(None, || AbortOnDropHandle::new(self.tasks.spawn(async move { member.drive().await })));
        loop {
            if let Some(error) = subscription.told.borrow_and_update().refused.clone() {
                return error;
            }
            // Its sender is in this device's map for as long as the place is.
            let _ = subscription.told.changed().await;
        }
    }

    /// What the stream says of safes, while somebody follows it.
    #[must_use]
    pub fn safe_news(&self) -> watch::Receiver<SafeNews> {
        self.events.safes.subscribe()
    }

    /// Hands on what this follower is told, to the last state.
    async fn hand_on(
        &self,
        mut subscription: Subscription,
        token: Token,
        trouble: &Trouble,
        (step, mut seen): (impl Fn(StepTold), impl FnMut(InvitationView) -> bool),
    ) -> Result<(), TransportError> {
        let mut states = 0;
        loop {
            let told = subscription.told.borrow_and_update().clone();
            if let Some(error) = told.refused {
                return Err(error);
            }
            let pause = match told.way {
                Way::Stream => {
                    trouble.send_if_modified(|now| {
                        let news = *now != told.trouble;
                        now.clone_from(&told.trouble);
                        news
                    });
                    if told.states > states
                        && let Some(state) = told.state
                    {
                        states = told.states;
                        if let Some(told) = told.step {
                            step(told);
                        }
                        if seen(state) {
                            return Ok(());
                        }
                    }
                    // Its sender is in this device's map for as long as the place is.
                    let _ = subscription.told.changed().await;
                    continue;
                }
                Way::HeldBack => held_back::ASK_AGAIN,
                Way::Beyond => ASK_SELDOM,
            };
            let state = path::invitation(&self.organisation, &token);
            let ask = || self.signed(Call::new(Method::GET, state.clone()));
            let told_back = (told.way == Way::HeldBack).then_some(trouble);
            let asked = tokio::select! {
                asked = held_back::ask(&self.server, told_back, pause, ask, &mut seen) => asked,
                _ = subscription.told.wait_for(|now| now.way != told.way || now.refused.is_some()) => continue,
            };
            match asked {
                Ok(()) => return Ok(()),
                Err(error) if error.passes() => {
                    // The way to the server is at fault, not a proxy on it.
                    self.events.wanted.notify_one();
                    tokio::time::sleep(pause).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Keeps the stream open for all followers, until the server refuses it for good: then they are
    /// told.
    async fn drive(&self) {
        let mut pauses = Pauses::default();
        loop {
            let error = match self.one_stream(&mut pauses).await {
                Ok(Ended::Outgrown) => continue,
                Ok(Ended::Broken) => TransportError::Unreachable("the event stream ended".into()),
                Err(error) => error,
            };
            if !error.passes() {
                return self.events.refuse(&error);
            }
            // A stream that a restarting server closed is opened again at once; only then is there
            // trouble to tell.
            if pauses.failed_before() {
                let trouble = Some(format!("{error}; trying again"));
                self.events.tell_all(|told| {
                    told.trouble.clone_from(&trouble);
                    true
                });
            }
            tokio::time::sleep(pauses.next_pause(&error)).await;
        }
    }

    async fn one_stream(&self, pauses: &mut Pauses) -> Result<Ended, TransportError> {
        let tokens = self.events.chosen();
        let follow = Follow { tokens };
        let call =
            self.signed(Call::new(Method::POST, path::device_events(&self.organisation)).with(&follow))?;
        let came = AtomicBool::new(false);
        match held_back::in_time(self.listen(call, pauses, &came), &came).await {
            Some(ended) => ended,
            None => {
                self.events.held_back(true);
                // Until somebody who asks finds that the way itself is at fault, or a new follower
                // comes.
                self.events.wanted.notified().await;
                Ok(Ended::Outgrown)
            }
        }
    }

    async fn listen(
        &self,
        call: Call,
        pauses: &mut Pauses,
        came: &AtomicBool,
    ) -> Result<Ended, TransportError> {
        let mut stream = self.server.open(call).await?;
        let mut parser = Parser::default();
        loop {
            let bytes = tokio::select! {
                bytes = stream.next() => bytes?,
                () = self.events.wanted.notified() => {
                    if self.events.is_outgrown() {
                        return Ok(Ended::Outgrown);
                    }
                    continue;
                }
            };
            let Some(bytes) = bytes else { return Ok(Ended::Broken) };
            for event in parser.push(&bytes)? {
                if !came.swap(true, Ordering::Relaxed) {
                    pauses.reset();
                    self.events.held_back(false);
                    self.events.safes.send_modify(|news| news.streams = news.streams.wrapping_add(1));
                    self.events.tell_all(|told| told.trouble.take().is_some());
                }
                self.dispatch(&event)?;
            }
        }
    }

    /// Hands an event to whom it concerns. Names that are not known here are a later generation's.
    fn dispatch(&self, event: &Event) -> Result<(), TransportError> {
        let wrong = |_| TransportError::Misbehaved("an event is not the record it should be");
        match event.name.as_str() {
            EVENT_INVITATION => {
                let view: InvitationView = codec::decode(&event.data, BODY_MAX_BYTES).map_err(wrong)?;
                self.events.tell(view.token, |told| {
                    told.states += 1;
                    told.state = Some(view.clone());
                });
            }
            EVENT_STEP => {
                let step: StepTold = codec::decode(&event.data, BODY_MAX_BYTES).map_err(wrong)?;
                // No news by itself: the state that announces it comes next.
                self.events.tell_quietly(step.token, |told| told.step = Some(step.clone()));
            }
            EVENT_GONE => {
                let gone: InvitationGone = codec::decode(&event.data, BODY_MAX_BYTES).map_err(wrong)?;
                let (code, now) = (ErrorCode::InvitationUnknown, clock::now());
                let refused =
                    TransportError::Refused { code, server_time: now, local_time: now, retry_after: 0 };
                self.events.tell(gone.token, |told| told.refused = Some(refused.clone()));
            }
            EVENT_LOG => {
                let told: LogLength = codec::decode(&event.data, BODY_MAX_BYTES).map_err(wrong)?;
                self.events.log.send_replace(Some(told.count));
            }
            EVENT_MANIFEST => {
                let told: ManifestHint = codec::decode(&event.data, BODY_MAX_BYTES).map_err(wrong)?;
                self.events.safes.send_modify(|news| {
                    news.manifest = told.version;
                    news.own = news.own.wrapping_add(1);
                });
            }
            EVENT_SAFE => {
                let told: SafeHint = codec::decode(&event.data, BODY_MAX_BYTES).map_err(wrong)?;
                self.events.safes.send_modify(|news| {
                    // As many as any member has: a server that names more is not kept in memory.
                    if news.gone_on.len() < MEMBER_SAFES_MAX || news.gone_on.contains_key(&told.safe) {
                        let times = news.gone_on.entry(told.safe).or_default();
                        *times = times.wrapping_add(1);
                    }
                });
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
