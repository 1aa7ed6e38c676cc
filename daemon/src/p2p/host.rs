//! The greeter's end of the peer-to-peer transport: answers what a claimer's daemon asks, and is
//! the greeter's own transport to the same attempt.
//!
//! Decides who is answered at all: who proves to hold the link, or knows an attempt's secret.
//! Refuses everybody else with one answer and hangs up. What must be durable is so before it is
//! answered: that is the [`HostStore`]'s.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::ids::{AttemptId, Email, Invited, OrganisationId, Timestamp, Token};
use parsec_protocol::keys::{LinkSecret, PeerSecret};
use parsec_protocol::p2p::{Answer, Occasion, Proven, QUESTION_MAX_BYTES, Question, Relay};
use parsec_protocol::public_keys::{Hash, PeerKey};
use parsec_protocol::relay::attempt::{HANDOVER_STEP, RECEIPT_STEP, Side};
use parsec_protocol::relay::{AttemptView, EndReason, ErrorCode, Least, LogPage};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::attempt::Attempts;
use super::frames;
use super::node::{Incoming, Node, NodeError, Status, Stream};
use crate::os::clock;
use crate::transport::{Transport, TransportError, Trouble};

/// Questions of one peer that are answered at once: a claimer has two, and one from a connection
/// that died.
const ANSWERING_PER_PEER_MAX: usize = 4;
/// Questions answered at once: for each of as many peers as can be connected, so that no stranger
/// takes another's. Each holds 64 KiB.
const ANSWERING_MAX: usize = 16 * ANSWERING_PER_PEER_MAX;

/// What a greeter is told while the newcomer's device is not connected. It comes back by itself,
/// or does not.
const AWAY: &str = "the newcomer's device is not connected at the moment; waiting for it";

/// How long somebody who is refused has to hear it before they are hung up on.
const HEARD_WAIT: Duration = Duration::from_secs(2);

/// The invitation that is greeted for.
#[derive(Debug)]
pub struct Invitation {
    /// The organisation of the invitation.
    pub organisation: OrganisationId,
    /// Token of the invitation.
    pub token: Token,
    /// Who holds it may ask.
    pub link_secret: LinkSecret,
    /// The person or member who is invited.
    pub invited: Invited,
    /// The inviter's address, told to who holds the link.
    pub invited_by: Email,
    /// Until when attempts may start.
    pub expires: Timestamp,
}

/// What must outlive a power cut, and the log. Each call returns once it is durable.
pub trait HostStore: Send + Sync + 'static {
    /// Counts an attempt, if the invitation takes another.
    fn attempt(&self) -> impl Future<Output = Result<(), ErrorCode>> + Send;
    /// Keeps message 7, from when it may be fetched.
    fn handover(
        &self,
        attempt: AttemptId,
        bytes: Vec<u8>,
    ) -> impl Future<Output = Result<(), ErrorCode>> + Send;
    /// Keeps message 8, from when its sender may rely on it.
    fn receipt(
        &self,
        attempt: AttemptId,
        bytes: Vec<u8>,
    ) -> impl Future<Output = Result<(), ErrorCode>> + Send;
    /// Forgets what was signed in an attempt that a person ended before the receipt.
    fn cancelled(&self, attempt: AttemptId) -> impl Future<Output = Result<(), ErrorCode>> + Send;
    /// A page of the verified log.
    fn log_page(&self, from: u64) -> impl Future<Output = Result<LogPage, ErrorCode>> + Send;
}

/// What the serving task and the greeter's side share.
struct Inner<S> {
    invitation: Invitation,
    attempts: Attempts,
    store: S,
    /// Starts and deposits take turns: between a check and what it allows nothing may come.
    turn: tokio::sync::Mutex<()>,
}

/// A node that answers for one invitation. Dropping it hangs up.
pub struct Host<S> {
    inner: Arc<Inner<S>>,
    node: Arc<Node>,
    _serving: AbortOnDropHandle<()>,
}

impl<S> std::fmt::Debug for Host<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Host({:?} {:?})", self.inner.invitation.token, self.inner.attempts)
    }
}

impl<S: HostStore> Host<S> {
    /// Starts to listen.
    ///
    /// # Errors
    /// [`NodeError::Setup`].
    pub fn open(
        secret: &PeerSecret,
        port: u16,
        relays: &[Relay],
        invitation: Invitation,
        attempts: Attempts,
        store: S,
    ) -> Result<Arc<Self>, NodeError> {
        let (node, incoming) = Node::listen(secret, port, relays)?;
        let node = Arc::new(node);
        let inner = Arc::new(Inner { invitation, attempts, store, turn: tokio::sync::Mutex::new(()) });
        let serving =
            AbortOnDropHandle::new(tokio::spawn(serve(Arc::clone(&inner), Arc::clone(&node), incoming)));
        Ok(Arc::new(Self { inner, node, _serving: serving }))
    }

    /// Who the node is: what the link names.
    #[must_use]
    pub fn key(&self) -> PeerKey {
        self.node.key()
    }

    /// What the node is doing.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.node.status()
    }

    /// The newest attempt, and every change of it.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<AttemptView>> {
        self.inner.attempts.watch()
    }

    /// The hash of the secret of an attempt, to be kept with what was signed in it.
    #[must_use]
    pub fn secret_hash(&self, attempt: AttemptId) -> Option<Hash> {
        self.inner.attempts.secret_hash(attempt)
    }

    /// The receipt (message 8), once it is there.
    #[must_use]
    pub fn receipt(&self, attempt: AttemptId) -> Option<Vec<u8>> {
        self.inner.attempts.fetch(attempt, Side::Greeter, RECEIPT_STEP).ok()
    }

    /// Ends an attempt because its invitation is over, here or by its date.
    ///
    /// # Errors
    /// `attempt_sealed`, `attempt_unknown`, the disk's.
    pub async fn withdraw(&self, attempt: AttemptId) -> Result<(), ErrorCode> {
        self.inner.withdraw(attempt).await
    }

    /// Ends an attempt and tells whoever follows it.
    pub fn end(&self, attempt: AttemptId, reason: EndReason) {
        self.inner.attempts.end(attempt, reason);
    }
}

async fn serve<S: HostStore>(inner: Arc<Inner<S>>, node: Arc<Node>, mut incoming: Incoming) {
    let mut answering = JoinSet::new();
    let mut by_peer: BTreeMap<PeerKey, usize> = BTreeMap::new();
    loop {
        tokio::select! {
            biased;
            Some(done) = answering.join_next_with_id() => {
                // One that panicked is counted until its peer's others are done: it can only be too
                // careful.
                if let Ok((_, peer)) = done
                    && let Some(count) = by_peer.get_mut(&peer)
                {
                    *count -= 1;
                    by_peer.retain(|_, count| *count > 0);
                }
            }
            next = incoming.next(), if answering.len() < ANSWERING_MAX => {
                let Some((peer, stream)) = next else { return };
                let count = by_peer.entry(peer).or_default();
                if *count < ANSWERING_PER_PEER_MAX {
                    *count += 1;
                    let answer = answer(Arc::clone(&inner), Arc::clone(&node), peer, stream);
                    answering.spawn(async move {
                        answer.await;
                        peer
                    });
                }
            }
        }
    }
}

/// Answers one question, and with *follow* every change after it.
async fn answer<S: HostStore>(inner: Arc<Inner<S>>, node: Arc<Node>, peer: PeerKey, mut stream: Stream) {
    let question: Question = match frames::read(&mut stream, QUESTION_MAX_BYTES).await {
        Ok(question) => question,
        Err(error) => {
            tracing::debug!(%error, "a question over the peer-to-peer transport was none");
            // Who sends what no claimer's daemon does is not asked again. One whose transport broke
            // comes back by itself.
            if !matches!(error, frames::FrameError::Io(_)) {
                node.dismiss(peer);
            }
            return;
        }
    };
    let answered = inner.answer(&node, peer, question, &mut stream).await;
    let answer = match answered {
        Ok(answer) => answer,
        Err(code) => {
            if code == ErrorCode::InvitationUnknown {
                tracing::info!("somebody without the link knocked at the peer-to-peer transport");
                let refused = Answer::Refused { code, retry_after: 0 };
                let _ = frames::write(&mut stream, &refused).await;
                // Hung up on at once, they would not have heard, and ask again for ever.
                let mut byte = [0; 1];
                let heard = tokio::io::AsyncReadExt::read(&mut stream, &mut byte);
                let _ = tokio::time::timeout(HEARD_WAIT, heard).await;
                node.dismiss(peer);
                return;
            }
            Answer::Refused { code, retry_after: 0 }
        }
    };
    if let Err(error) = frames::write(&mut stream, &answer).await {
        tracing::debug!(%error, "an answer over the peer-to-peer transport was not taken");
    }
}

impl<S: HostStore> Inner<S> {
    async fn answer(
        &self,
        node: &Node,
        peer: PeerKey,
        question: Question,
        stream: &mut Stream,
    ) -> Result<Answer, ErrorCode> {
        match question {
            Question::Meet { proof } => {
                self.proven(node, peer, Occasion::Meet, &proof)?;
                Ok(Answer::Met {})
            }
            Question::Start { attempt, secret_hash, proof } => {
                self.proven(node, peer, Occasion::Start { attempt, secret_hash }, &proof)?;
                let view = self.start(attempt, secret_hash).await?;
                let Invitation { invited, invited_by, expires, .. } = &self.invitation;
                let (invited, invited_by) = (invited.clone(), invited_by.clone());
                Ok(Answer::Started { invited, invited_by, expires: *expires, attempt: view })
            }
            Question::Follow { attempt, secret } => {
                self.claimer(node, peer, attempt, &secret)?;
                self.follow(attempt, stream).await
            }
            Question::Deposit { attempt, secret, step, bytes } => {
                self.claimer(node, peer, attempt, &secret)?;
                self.deposit(attempt, Side::Claimer, step, bytes.into()).await?;
                Ok(Answer::Done {})
            }
            Question::Fetch { attempt, secret, step } => {
                self.claimer(node, peer, attempt, &secret)?;
                Ok(Answer::Step { bytes: self.attempts.fetch(attempt, Side::Claimer, step)?.into() })
            }
            Question::Cancel { attempt, secret, reason } => {
                self.claimer(node, peer, attempt, &secret)?;
                self.cancel(attempt, reason).await?;
                Ok(Answer::Done {})
            }
            Question::Log { attempt, secret, from } => {
                self.claimer(node, peer, attempt, &secret)?;
                if !self.attempts.state(attempt)?.may_see_log() {
                    return Err(ErrorCode::NotYet);
                }
                Ok(Answer::Log { page: self.store.log_page(from).await? })
            }
        }
    }

    /// Whether this peer holds the link. Somebody who doesn't learns nothing but that.
    fn proven(
        &self,
        node: &Node,
        peer: PeerKey,
        occasion: Occasion,
        proof: &parsec_protocol::public_keys::Proof,
    ) -> Result<(), ErrorCode> {
        let Invitation { organisation, token, link_secret, .. } = &self.invitation;
        let proven = Proven { organisation, token, greeter: &node.key(), claimer: &peer, occasion };
        if !proven.is_shown(link_secret, proof) {
            return Err(ErrorCode::InvitationUnknown);
        }
        node.proven(peer);
        Ok(())
    }

    /// Whether this peer knows the attempt's secret.
    fn claimer(
        &self,
        node: &Node,
        peer: PeerKey,
        attempt: AttemptId,
        secret: &LinkSecret,
    ) -> Result<(), ErrorCode> {
        self.attempts.claimer(attempt, &Hash::of(&[secret.expose()]), Instant::now())?;
        node.proven(peer);
        Ok(())
    }

    async fn start(&self, attempt: AttemptId, secret_hash: Hash) -> Result<AttemptView, ErrorCode> {
        let _turn = self.turn.lock().await;
        let now = Instant::now();
        if let Some(view) = self.attempts.may_start(attempt, &secret_hash, now)? {
            return Ok(view);
        }
        if clock::now() >= self.invitation.expires {
            return Err(ErrorCode::InvitationExpired);
        }
        match self.store.attempt().await {
            // The invitation's end is its open attempt's, too, if that may end.
            Err(ErrorCode::InvitationExhausted) => {
                self.attempts.end_idle(now);
                return Err(ErrorCode::InvitationExhausted);
            }
            counted => counted?,
        }
        self.attempts.start(attempt, secret_hash, now)
    }

    async fn deposit(
        &self,
        attempt: AttemptId,
        side: Side,
        step: u8,
        bytes: Vec<u8>,
    ) -> Result<(), ErrorCode> {
        let _turn = self.turn.lock().await;
        if !self.attempts.may_deposit(attempt, side, step, &bytes)? {
            return Ok(());
        }
        match step {
            HANDOVER_STEP => self.store.handover(attempt, bytes.clone()).await?,
            RECEIPT_STEP => self.store.receipt(attempt, bytes.clone()).await?,
            _ => {}
        }
        self.attempts.deposit(attempt, side, step, bytes)
    }

    /// Ends an attempt for one side's reason.
    async fn cancel(&self, attempt: AttemptId, reason: EndReason) -> Result<(), ErrorCode> {
        let _turn = self.turn.lock().await;
        let open = self.attempts.may_cancel(attempt, reason)?;
        self.forget(attempt, open, reason).await
    }

    /// Ends an attempt with its invitation.
    async fn withdraw(&self, attempt: AttemptId) -> Result<(), ErrorCode> {
        let _turn = self.turn.lock().await;
        let open = self.attempts.may_withdraw(attempt)?;
        self.forget(attempt, open, EndReason::InvitationEnded).await
    }

    /// What was signed in an attempt is gone from the disk before anybody is told of its end, and
    /// no receipt comes between: the caller holds the turn.
    async fn forget(&self, attempt: AttemptId, open: bool, reason: EndReason) -> Result<(), ErrorCode> {
        if open {
            self.store.cancelled(attempt).await?;
            self.attempts.end(attempt, reason);
        }
        Ok(())
    }

    /// Tells every state until the attempt is over; the last one is the answer.
    async fn follow(&self, attempt: AttemptId, stream: &mut Stream) -> Result<Answer, ErrorCode> {
        let mut seen = self.attempts.watch();
        loop {
            seen.mark_unchanged();
            // By its name: one that another took the place of is told how it ended.
            let view = self.attempts.state(attempt)?;
            let ended = !view.is_open();
            let state = Answer::State { attempt: view };
            if ended {
                return Ok(state);
            }
            frames::write(stream, &state).await.map_err(|_| ErrorCode::Unavailable)?;
            let mut byte = [0; 1];
            tokio::select! {
                changed = seen.changed() => changed.map_err(|_| ErrorCode::Unavailable)?,
                // The claimer says nothing here: bytes, or the end, mean that they are gone.
                _ = tokio::io::AsyncReadExt::read(stream, &mut byte) => return Err(ErrorCode::Unavailable),
            }
        }
    }
}

/// The greeter's own side: the same attempt, without a network.
pub struct HostTransport<S> {
    host: Arc<Host<S>>,
    attempt: AttemptId,
    trouble: Trouble,
}

impl<S> std::fmt::Debug for HostTransport<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HostTransport({:?})", self.attempt)
    }
}

impl<S: HostStore> HostTransport<S> {
    /// The transport to an attempt that has started.
    #[must_use]
    pub fn new(host: Arc<Host<S>>, attempt: AttemptId) -> Self {
        Self { host, attempt, trouble: Trouble::new(None) }
    }

    /// The node, for what is to outlive the ceremony.
    #[must_use]
    pub const fn host(&self) -> &Arc<Host<S>> {
        &self.host
    }
}

/// A refusal of this very daemon.
fn refused(code: ErrorCode) -> TransportError {
    let now = clock::now();
    TransportError::Refused { code, server_time: now, local_time: now, retry_after: 0 }
}

impl<S: HostStore> Transport for HostTransport<S> {
    async fn deposit(&self, step: u8, bytes: Vec<u8>) -> Result<(), TransportError> {
        self.host.inner.deposit(self.attempt, Side::Greeter, step, bytes).await.map_err(refused)
    }

    async fn fetch(&self, step: u8) -> Result<Vec<u8>, TransportError> {
        self.host.inner.attempts.fetch(self.attempt, Side::Greeter, step).map_err(refused)
    }

    async fn state(&self) -> Result<AttemptView, TransportError> {
        self.host.inner.attempts.state(self.attempt).map_err(refused)
    }

    async fn cancel(&self, reason: EndReason) -> Result<(), TransportError> {
        self.host.inner.cancel(self.attempt, reason).await.map_err(refused)
    }

    async fn log_page(&self, from: u64, _: Least) -> Result<LogPage, TransportError> {
        self.host.inner.store.log_page(from).await.map_err(refused)
    }

    async fn follow(&self, seen: watch::Sender<Option<AttemptView>>) -> TransportError {
        let mut states = self.host.watch();
        let mut status = self.host.status();
        loop {
            let here = status.borrow_and_update().peers.iter().any(|peer| peer.inbound && peer.proven);
            let away = (!here).then(|| AWAY.to_owned());
            self.trouble.send_if_modified(|now| {
                let new = *now != away;
                *now = away;
                new
            });
            states.mark_unchanged();
            // One that this daemon has forgotten is over.
            let gone =
                || AttemptView { ended: Some(EndReason::Abandoned), ..AttemptView::opened(self.attempt) };
            let view = self.host.inner.attempts.state(self.attempt).unwrap_or_else(|_| gone());
            seen.send_replace(Some(view));
            let changed = tokio::select! {
                changed = states.changed() => changed,
                changed = status.changed() => changed,
            };
            if changed.is_err() {
                return TransportError::Setup("the peer-to-peer node has ended".to_owned());
            }
        }
    }

    fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }
}
