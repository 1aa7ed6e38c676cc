//! The two ends of an attempt on the relay.
//!
//! Decides that what passes by itself is tried again. Refuses a step that is longer than a step can
//! be.

use parsec_protocol::ids::{AttemptId, Token};
use parsec_protocol::limits::STEP_MAX_BYTES;
use parsec_protocol::public_keys::VerifyKey;
use parsec_protocol::relay::{
    AttemptView, CancelAttempt, Completed, Completion, EndReason, HEADER_ATTEMPT_SECRET, InvitationView,
    InvitedInfo, Least, LogPage, path,
};
use reqwest::Method;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::following::{ended, follow};
use super::told::ToldStep;
use super::{Invitee, Member};
use crate::transport::behind::{LagRetry, Seen};
use crate::transport::http::Call;
use crate::transport::retry::until_done;
use crate::transport::{Transport, TransportError, Trouble};

/// 32 secret bytes as a header's value.
fn hex(bytes: &[u8; 32]) -> String {
    VerifyKey::from_bytes(*bytes).to_string()
}

/// A step as received: never longer than a step can be.
fn step_of(bytes: Vec<u8>) -> Result<Vec<u8>, TransportError> {
    if bytes.len() > STEP_MAX_BYTES {
        Err(TransportError::Misbehaved("a step is too long"))
    } else {
        Ok(bytes)
    }
}

/// The claimer's end of an attempt.
#[derive(Debug)]
pub struct ClaimerTransport {
    invitee: Invitee,
    attempt: AttemptId,
    secret: Zeroizing<[u8; 32]>,
    trouble: Trouble,
    log_lag: LagRetry,
    told: ToldStep,
}

impl ClaimerTransport {
    /// An attempt that has been started, or is about to be.
    #[must_use]
    pub fn new(invitee: Invitee, attempt: AttemptId, secret: Zeroizing<[u8; 32]>) -> Self {
        let (trouble, log_lag, told) = (Trouble::new(None), LagRetry::default(), ToldStep::default());
        Self { invitee, attempt, secret, trouble, log_lag, told }
    }

    /// Starts the attempt.
    ///
    /// # Errors
    /// [`TransportError`], once trying again makes no sense.
    pub async fn start(&self) -> Result<AttemptView, TransportError> {
        until_done(&self.trouble, || self.invitee.start(self.attempt, &self.secret)).await
    }

    /// What the invitation is for. The first contact, so it is tried once: the person waits for it,
    /// and the address may be wrong.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn info(&self) -> Result<InvitedInfo, TransportError> {
        self.invitee.info().await
    }

    fn base(&self) -> String {
        path::invited_attempt(&self.invitee.organisation, &self.attempt)
    }

    fn call(&self, method: Method, target: String) -> Call {
        self.invitee.call(method, target).header(HEADER_ATTEMPT_SECRET, hex(&self.secret))
    }
}

impl Transport for ClaimerTransport {
    async fn deposit(&self, step: u8, bytes: Vec<u8>) -> Result<(), TransportError> {
        until_done(&self.trouble, || {
            let call = self.call(Method::PUT, path::step(&self.base(), step)).with_step(bytes.clone());
            async { self.invitee.server.call(call).await.map(|_| ()) }
        })
        .await
    }

    async fn fetch(&self, step: u8) -> Result<Vec<u8>, TransportError> {
        if let Some(told) = self.told.take(self.attempt, step) {
            return Ok(told);
        }
        let call = || self.invitee.server.call(self.call(Method::GET, path::step(&self.base(), step)));
        until_done(&self.trouble, call).await.and_then(step_of)
    }

    async fn state(&self) -> Result<AttemptView, TransportError> {
        until_done(&self.trouble, || self.invitee.server.ask(self.call(Method::GET, self.base()))).await
    }

    async fn cancel(&self, reason: EndReason) -> Result<(), TransportError> {
        until_done(&self.trouble, || {
            let call = self.call(Method::POST, path::cancel(&self.base())).with(&CancelAttempt { reason });
            async { self.invitee.server.call(call).await.map(|_| ()) }
        })
        .await
    }

    async fn log_page(&self, from: u64, least: Least) -> Result<LogPage, TransportError> {
        let call = |least| {
            let target = path::invited_log(&self.invitee.organisation, from, least);
            self.invitee.server.ask(self.invitee.call(Method::GET, target))
        };
        until_done(&self.trouble, || self.log_lag.read(Seen::up_to(least), call)).await
    }

    async fn follow(&self, seen: watch::Sender<Option<AttemptView>>) -> TransportError {
        let open = || Ok(self.call(Method::GET, path::events(&self.base())));
        let ask = || Ok(self.call(Method::GET, self.base()));
        let step = |told| self.told.keep(told);
        follow(&self.invitee.server, &self.trouble, open, ask, step, |view: AttemptView| {
            let over = view.ended.is_some();
            seen.send_replace(Some(view));
            over
        })
        .await
    }

    fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }
}

/// The greeter's end of an attempt.
#[derive(Debug)]
pub struct GreeterTransport {
    member: Member,
    token: Token,
    attempt: AttemptId,
    trouble: Trouble,
    told: ToldStep,
}

impl GreeterTransport {
    /// An attempt that this device has joined.
    #[must_use]
    pub fn new(member: Member, token: Token, attempt: AttemptId) -> Self {
        Self { member, token, attempt, trouble: Trouble::new(None), told: ToldStep::default() }
    }

    fn base(&self) -> String {
        path::greeter_attempt(&self.member.organisation, &self.token, &self.attempt)
    }

    /// Becomes the greeter of the attempt.
    ///
    /// # Errors
    /// [`TransportError`], once trying again makes no sense.
    pub async fn join(&self) -> Result<AttemptView, TransportError> {
        until_done(&self.trouble, || self.member.join(self.token, self.attempt)).await
    }

    /// Puts certificates and receipt into the log and completes the invitation.
    ///
    /// # Errors
    /// [`TransportError`], once trying again makes no sense.
    pub async fn complete(&self, completion: &Completion) -> Result<Completed, TransportError> {
        let call = || Call::new(Method::POST, path::complete(&self.base())).with(completion);
        until_done(&self.trouble, || self.member.ask(call())).await
    }

    /// This attempt as an invitation's state tells it. Another attempt in its place means that it
    /// is over.
    fn of(&self, invitation: InvitationView) -> AttemptView {
        let gone = |ended| AttemptView { attempt: self.attempt, steps: 0, greeter: None, ended: Some(ended) };
        match invitation.attempt {
            Some(attempt) if attempt.attempt == self.attempt => {
                AttemptView { ended: attempt.ended.or(ended(invitation.status)), ..attempt }
            }
            Some(_) | None => gone(EndReason::Abandoned),
        }
    }
}

impl Transport for GreeterTransport {
    async fn deposit(&self, step: u8, bytes: Vec<u8>) -> Result<(), TransportError> {
        until_done(&self.trouble, || {
            let call = Call::new(Method::PUT, path::step(&self.base(), step)).with_step(bytes.clone());
            self.member.tell(call)
        })
        .await
    }

    async fn fetch(&self, step: u8) -> Result<Vec<u8>, TransportError> {
        if let Some(told) = self.told.take(self.attempt, step) {
            return Ok(told);
        }
        let fetch = || async {
            let call = self.member.signed(Call::new(Method::GET, path::step(&self.base(), step)))?;
            self.member.server.call(call).await
        };
        until_done(&self.trouble, fetch).await.and_then(step_of)
    }

    async fn state(&self) -> Result<AttemptView, TransportError> {
        until_done(&self.trouble, || self.member.ask(Call::new(Method::GET, self.base()))).await
    }

    async fn cancel(&self, reason: EndReason) -> Result<(), TransportError> {
        let call = || Call::new(Method::POST, path::cancel(&self.base())).with(&CancelAttempt { reason });
        until_done(&self.trouble, || self.member.tell(call())).await
    }

    async fn log_page(&self, from: u64, least: Least) -> Result<LogPage, TransportError> {
        until_done(&self.trouble, || self.member.log_page(from, Seen::up_to(least))).await
    }

    async fn follow(&self, seen: watch::Sender<Option<AttemptView>>) -> TransportError {
        let step = |told| self.told.keep(told);
        self.member
            .follow_invitation(self.token, &self.trouble, step, |view| {
                let view = self.of(view);
                let over = view.ended.is_some();
                seen.send_replace(Some(view));
                over
            })
            .await
    }

    fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }
}
