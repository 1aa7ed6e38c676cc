//! The claimer's end of the peer-to-peer transport: asks the greeter's daemon, and tries again
//! while the transport is broken.
//!
//! Decides that nobody but the node of the link's peer key is asked anything, so that an attempt's
//! secret and the proof go to no other. Believes nothing of the answers: the machine and the
//! verifier judge.

use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::ids::{AttemptId, Email, Invited, OrganisationId, Timestamp, Token};
use parsec_protocol::keys::LinkSecret;
use parsec_protocol::limits::STEP_MAX_BYTES;
use parsec_protocol::p2p::{ANSWER_MAX_BYTES, Answer, Hints, Occasion, Proven, Question};
use parsec_protocol::public_keys::{Hash, PeerKey};
use parsec_protocol::relay::{AttemptView, EndReason, Least, LogPage};
use tokio::sync::watch;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::frames;
use super::node::{Node, NodeError, Status, Stream};
use crate::os::clock;
use crate::transport::retry::{Pauses, until_done};
use crate::transport::{Transport, TransportError, Trouble};

/// How long a state may stay unsaid on a stream that is followed. The node finds a dead connection
/// much earlier.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// A connection, or the wish for one, to one greeter. Dropping the last of it hangs up.
pub struct Guest {
    node: Node,
    peer: PeerKey,
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Guest of {:?}", self.peer)
    }
}

/// What the greeter's daemon says of the invitation, unproved: the prologue binds what matters.
#[derive(Debug)]
pub struct Met {
    /// The person or member who is invited.
    pub invited: Invited,
    /// Address of the member who invited.
    pub invited_by: Email,
    /// Until when attempts may start.
    pub expires: Timestamp,
    /// State of this claimer's attempt.
    pub attempt: AttemptView,
}

impl Guest {
    /// Begins to look for the greeter.
    ///
    /// # Errors
    /// [`NodeError::Setup`].
    pub fn new(hints: &Hints) -> Result<Arc<Self>, NodeError> {
        Ok(Arc::new(Self { node: Node::seek(hints)?, peer: hints.peer }))
    }

    /// Whom it looks for.
    #[must_use]
    pub const fn peer(&self) -> PeerKey {
        self.peer
    }

    /// What the node is doing.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.node.status()
    }

    /// Returns once the greeter's node is connected.
    pub async fn connected(&self) {
        let mut status = self.node.status();
        // A node that ended says nothing any more; who waits for it is cut off by their own end.
        if status.wait_for(|status| status.connected).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    async fn open(&self, question: &Question) -> Result<Stream, TransportError> {
        let mut stream = self.node.open(&self.peer).await?;
        frames::write(&mut stream, question).await?;
        Ok(stream)
    }

    pub(super) async fn ask(&self, question: &Question) -> Result<Answer, TransportError> {
        let mut stream = self.open(question).await?;
        Ok(frames::read(&mut stream, ANSWER_MAX_BYTES).await?)
    }

    pub(super) fn proof(
        &self,
        organisation: &OrganisationId,
        token: &Token,
        secret: &LinkSecret,
        occasion: Occasion,
    ) -> parsec_protocol::public_keys::Proof {
        let claimer = self.node.key();
        Proven { organisation, token, greeter: &self.peer, claimer: &claimer, occasion }.by(secret)
    }
}

/// Asks whether the greeter's daemon is there, once it is connected. Starts nothing.
///
/// # Errors
/// [`TransportError`].
pub async fn ping(
    guest: &Guest,
    organisation: &OrganisationId,
    token: &Token,
    secret: &LinkSecret,
) -> Result<Duration, TransportError> {
    guest.connected().await;
    let proof = guest.proof(organisation, token, secret, Occasion::Meet);
    let asked = Instant::now();
    match guest.ask(&Question::Meet { proof }).await? {
        Answer::Met {} => Ok(asked.elapsed()),
        other => Err(unexpected(other)),
    }
}

/// The claimer's end of an attempt.
#[derive(Debug)]
pub struct GuestTransport {
    guest: Arc<Guest>,
    attempt: AttemptId,
    secret: Zeroizing<[u8; 32]>,
    trouble: Trouble,
}

impl GuestTransport {
    /// An attempt that has been started, or is about to be.
    #[must_use]
    pub fn new(guest: Arc<Guest>, attempt: AttemptId, secret: Zeroizing<[u8; 32]>) -> Self {
        Self { guest, attempt, secret, trouble: Trouble::new(None) }
    }

    /// The claimer's node, which looks for the greeter's.
    #[must_use]
    pub const fn guest(&self) -> &Arc<Guest> {
        &self.guest
    }

    /// Starts the attempt, as soon as the greeter is met.
    ///
    /// # Errors
    /// [`TransportError`], once trying again makes no sense.
    pub async fn start(
        &self,
        organisation: &OrganisationId,
        token: &Token,
        link_secret: &LinkSecret,
    ) -> Result<Met, TransportError> {
        let secret_hash = Hash::of(&[self.secret.as_slice()]);
        let occasion = Occasion::Start { attempt: self.attempt, secret_hash };
        let proof = self.guest.proof(organisation, token, link_secret, occasion);
        let question = Question::Start { attempt: self.attempt, secret_hash, proof };
        match self.until_answered(question).await? {
            Answer::Started { invited, invited_by, expires, attempt } if attempt.attempt == self.attempt => {
                Ok(Met { invited, invited_by, expires, attempt })
            }
            other => Err(unexpected(other)),
        }
    }

    fn secret(&self) -> LinkSecret {
        let mut bytes = Zeroizing::new(*self.secret);
        LinkSecret::from_bytes(&mut bytes)
    }

    /// Returns once the greeter is connected; shows why it is not, as that becomes known.
    async fn whole(&self) {
        let mut status = self.guest.status();
        loop {
            let (connected, why) = {
                let now = status.borrow_and_update();
                (now.connected, now.trouble.clone())
            };
            if connected {
                return;
            }
            if let Some(why) = why {
                let note = format!("the other device can't be reached: {why}; trying again");
                self.trouble.send_if_modified(|shown| {
                    let new = shown.as_ref() != Some(&note);
                    *shown = Some(note);
                    new
                });
            }
            if status.changed().await.is_err() {
                // A node that ended says nothing any more; who waits for it is cut off by their own
                // end.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Asks until there is an answer. A transport that is broken is shown, and taken again as soon
    /// as it is whole.
    async fn until_answered(&self, question: Question) -> Result<Answer, TransportError> {
        until_done(&self.trouble, || async {
            self.whole().await;
            match self.guest.ask(&question).await? {
                refused @ Answer::Refused { .. } => Err(unexpected(refused)),
                answer => Ok(answer),
            }
        })
        .await
    }

    async fn one_stream(&self, seen: &watch::Sender<Option<AttemptView>>) -> TransportError {
        self.guest.connected().await;
        let question = Question::Follow { attempt: self.attempt, secret: self.secret() };
        let mut stream = match self.guest.open(&question).await {
            Ok(stream) => stream,
            Err(error) => return error,
        };
        let mut first = true;
        loop {
            // The first state comes at once, the others when something happens; the node sees a
            // connection that is dead.
            let next =
                frames::read_when_it_comes(&mut stream, ANSWER_MAX_BYTES, first.then_some(ANSWER_WAIT));
            match next.await {
                Ok(Answer::State { attempt }) if attempt.attempt == self.attempt => {
                    first = false;
                    self.trouble.send_if_modified(|now| now.take().is_some());
                    let over = attempt.ended.is_some();
                    seen.send_replace(Some(attempt));
                    if over {
                        // Nothing comes after that; whoever follows has been told.
                        std::future::pending::<()>().await;
                    }
                }
                Ok(other) => return unexpected(other),
                Err(error) => return error.into(),
            }
        }
    }
}

/// An answer that is no answer to what was asked.
fn unexpected(answer: Answer) -> TransportError {
    let now = clock::now();
    match answer {
        Answer::Refused { code, retry_after } => {
            TransportError::Refused { code, server_time: now, local_time: now, retry_after }
        }
        Answer::Met {}
        | Answer::Started { .. }
        | Answer::State { .. }
        | Answer::Done {}
        | Answer::Step { .. }
        | Answer::Log { .. } => TransportError::PeerMisbehaved("an answer is not to the question"),
    }
}

impl From<NodeError> for TransportError {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Setup(why) => {
                Self::Setup(format!("the peer-to-peer transport can't be set up: {why}"))
            }
            NodeError::Unreachable(why) => Self::PeerUnreachable(why),
        }
    }
}

impl From<frames::FrameError> for TransportError {
    fn from(error: frames::FrameError) -> Self {
        match error {
            frames::FrameError::Io(error) => Self::PeerUnreachable(error.to_string()),
            frames::FrameError::TooSlow => Self::PeerUnreachable("it does not answer".to_owned()),
            frames::FrameError::TooLong => Self::PeerMisbehaved("a message is too long"),
            frames::FrameError::Malformed => Self::PeerMisbehaved("a message is malformed"),
        }
    }
}

impl Transport for GuestTransport {
    async fn deposit(&self, step: u8, bytes: Vec<u8>) -> Result<(), TransportError> {
        let (attempt, secret) = (self.attempt, self.secret());
        match self.until_answered(Question::Deposit { attempt, secret, step, bytes: bytes.into() }).await? {
            Answer::Done {} => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    async fn fetch(&self, step: u8) -> Result<Vec<u8>, TransportError> {
        let (attempt, secret) = (self.attempt, self.secret());
        match self.until_answered(Question::Fetch { attempt, secret, step }).await? {
            Answer::Step { bytes } if bytes.len() <= STEP_MAX_BYTES => Ok(bytes.into()),
            other => Err(unexpected(other)),
        }
    }

    async fn state(&self) -> Result<AttemptView, TransportError> {
        let (tell, mut seen) = watch::channel(None);
        tokio::select! {
            error = self.follow(tell) => Err(error),
            view = async { seen.wait_for(Option::is_some).await.map(|view| view.clone()) } => match view {
                Ok(Some(view)) => Ok(view),
                Ok(None) | Err(_) => Err(TransportError::PeerUnreachable("it said nothing".to_owned())),
            },
        }
    }

    async fn cancel(&self, reason: EndReason) -> Result<(), TransportError> {
        let (attempt, secret) = (self.attempt, self.secret());
        match self.until_answered(Question::Cancel { attempt, secret, reason }).await? {
            Answer::Done {} => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    async fn log_page(&self, from: u64, _: Least) -> Result<LogPage, TransportError> {
        let (attempt, secret) = (self.attempt, self.secret());
        match self.until_answered(Question::Log { attempt, secret, from }).await? {
            Answer::Log { page } => Ok(page),
            other => Err(unexpected(other)),
        }
    }

    async fn follow(&self, seen: watch::Sender<Option<AttemptView>>) -> TransportError {
        let mut pauses = Pauses::default();
        loop {
            let error = self.one_stream(&seen).await;
            if !error.passes() {
                return error;
            }
            self.trouble.send_replace(Some(format!("{error}; trying again")));
            tokio::time::sleep(pauses.next_pause(&error)).await;
        }
    }

    fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }
}
