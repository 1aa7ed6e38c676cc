//! The metadata server's relay: the calls of the invited and of the members, and the two ends of an attempt on it.
//!
//! Decides which header proves what. Asks for nothing on a timer, but where a stream is held back (`held_back`). Believes nothing: what comes is for the machines and the verifier to judge.

mod device_events;
mod following;
mod held_back;
mod registering;

use std::sync::Arc;

use minicbor::{Decode, Encode};
use parsec_protocol::ids::{AttemptId, DeviceId, OrganisationId, Token};
use parsec_protocol::keys::random;
use parsec_protocol::limits::STEP_MAX_BYTES;
use parsec_protocol::public::{Hash, Signature, VerifyKey};
use parsec_protocol::relay::{
    AttemptView, BootstrapRequest, CancelAttempt, Completed, Completion, EndReason, HEADER_ATTEMPT_SECRET,
    HEADER_BODY_HASH, HEADER_BOOTSTRAP, HEADER_DEVICE, HEADER_NONCE, HEADER_SIGNATURE, HEADER_TIME,
    HEADER_TOKEN, InvitationList, InvitationMade, InvitationView, InvitedInfo, LogPage, ManifestUpload,
    ManifestView, NewInvitation, RequestToSign, StartAttempt, path,
};
use reqwest::Method;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::http::{Call, Server};
use super::retry::until_done;
use super::{Road, RoadError, Trouble};
use crate::os::{clock, entropy};
use device_events::DeviceEvents;
use following::follow;

pub use following::ended;
pub use registering::standing;

/// Pages of invitations read for one list: more than the usual budgets let an organisation have.
const LIST_PAGES_MAX: usize = 100;

/// Signs requests for one device. The key stays where it is.
pub trait Signer: Send + Sync {
    /// Which device.
    fn device(&self) -> DeviceId;
    /// Signs [`RequestToSign::bytes`] under the context of requests.
    fn sign_request(&self, message: &[u8]) -> Signature;
}

/// 32 secret bytes as a header's value.
fn hex(bytes: &[u8; 32]) -> String {
    VerifyKey::from_bytes(*bytes).to_string()
}

/// Founds an organisation.
///
/// # Errors
/// [`RoadError`].
pub async fn bootstrap(
    server: &Server,
    organisation: &OrganisationId,
    token: &str,
    request: &BootstrapRequest,
) -> Result<(), RoadError> {
    let call = Call::new(Method::POST, path::bootstrap(organisation))
        .header(HEADER_BOOTSTRAP, token.to_owned())
        .with(request);
    server.call(call).await.map(|_| ())
}

/// The calls of somebody who holds a link.
#[derive(Debug, Clone)]
pub struct Invitee {
    /// Where.
    pub server: Server,
    /// Which organisation.
    pub organisation: OrganisationId,
    /// Admits.
    pub token: Token,
}

impl Invitee {
    fn call(&self, method: Method, target: String) -> Call {
        Call::new(method, target).header(HEADER_TOKEN, self.token.to_string())
    }

    /// What the invitation is for.
    ///
    /// # Errors
    /// [`RoadError`].
    pub async fn info(&self) -> Result<InvitedInfo, RoadError> {
        self.server.ask(self.call(Method::GET, path::invited(&self.organisation))).await
    }

    /// Starts an attempt; asked again with the same values, it answers as before.
    ///
    /// # Errors
    /// [`RoadError`].
    pub async fn start(&self, attempt: AttemptId, secret: &[u8; 32]) -> Result<AttemptView, RoadError> {
        let body = StartAttempt { attempt, secret_hash: Hash::of(&[secret]) };
        self.server.ask(self.call(Method::POST, path::invited_attempts(&self.organisation)).with(&body)).await
    }
}

/// The calls of a member's device: each is signed anew, so that none can be sent twice by somebody else.
#[derive(Clone)]
pub struct Member {
    server: Server,
    organisation: OrganisationId,
    signer: Arc<dyn Signer>,
    tasks: TaskTracker,
    events: Arc<DeviceEvents>,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Member({} {:?})", self.organisation, self.signer.device())
    }
}

impl Member {
    /// Speaks for the signer's device; what it does by itself is one of these tasks.
    #[must_use]
    pub fn new(
        server: Server,
        organisation: OrganisationId,
        signer: Arc<dyn Signer>,
        tasks: TaskTracker,
    ) -> Self {
        Self { server, organisation, signer, tasks, events: Arc::default() }
    }

    /// Where it asks.
    #[must_use]
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// The same member, asking somewhere else.
    #[must_use]
    pub fn at(&self, server: Server) -> Self {
        let (organisation, signer) = (self.organisation.clone(), Arc::clone(&self.signer));
        Self::new(server, organisation, signer, self.tasks.clone())
    }

    /// Adds the five headers that authenticate a call.
    fn signed(&self, call: Call) -> Result<Call, RoadError> {
        let time = clock::now();
        let nonce = random(&mut entropy::System)
            .map(Token::from_bytes)
            .map_err(|error| RoadError::Setup(error.to_string()))?;
        let device = self.signer.device();
        let body = call.body.as_ref().map_or(&[][..], |(_, body)| body);
        let request = RequestToSign {
            organisation: self.organisation.clone(),
            device,
            method: call.method.as_str().to_owned(),
            target: call.target.clone(),
            time,
            nonce,
            body: Hash::of(&[body]),
        };
        let body = request.body;
        let signature = self.signer.sign_request(&request.bytes());
        Ok(call
            .header(HEADER_DEVICE, device.to_string())
            .header(HEADER_TIME, time.0.to_string())
            .header(HEADER_NONCE, nonce.to_string())
            .header(HEADER_BODY_HASH, body.to_string())
            .header(HEADER_SIGNATURE, signature.to_string()))
    }

    async fn ask<T>(&self, call: Call) -> Result<T, RoadError>
    where
        T: for<'b> Decode<'b, ()> + Encode<()>,
    {
        self.server.ask(self.signed(call)?).await
    }

    async fn tell(&self, call: Call) -> Result<(), RoadError> {
        self.server.call(self.signed(call)?).await.map(|_| ())
    }

    /// The invitations this member may see, newest first: all pages of them, up to a bound.
    ///
    /// # Errors
    /// [`RoadError`].
    pub async fn invitations(&self) -> Result<InvitationList, RoadError> {
        let mut list = InvitationList { invitations: Vec::new(), next: None };
        let mut target = path::invitations(&self.organisation);
        for _ in 0..LIST_PAGES_MAX {
            let page: InvitationList = self.ask(Call::new(Method::GET, target)).await?;
            list.invitations.extend(page.invitations);
            let asked = std::mem::replace(&mut list.next, page.next);
            match list.next {
                // A page that leads nowhere new would be asked for again and again.
                Some(next) if asked.is_none_or(|asked| next < asked) => {
                    target = path::invitations_before(&self.organisation, next);
                }
                Some(_) => {
                    return Err(RoadError::Misbehaved("its list of invitations goes round in circles"));
                }
                None => break,
            }
        }
        Ok(list)
    }

    /// One invitation.
    ///
    /// # Errors
    /// [`RoadError`].
    pub async fn invitation(&self, token: Token) -> Result<InvitationView, RoadError> {
        self.ask(Call::new(Method::GET, path::invitation(&self.organisation, &token))).await
    }

    /// Makes an invitation.
    ///
    /// # Errors
    /// [`RoadError`].
    pub async fn invite(&self, new: &NewInvitation) -> Result<InvitationMade, RoadError> {
        self.ask(Call::new(Method::POST, path::invitations(&self.organisation)).with(new)).await
    }

    /// Cancels an invitation.
    ///
    /// # Errors
    /// [`RoadError`].
    pub async fn cancel_invitation(&self, token: Token) -> Result<(), RoadError> {
        self.tell(Call::new(Method::POST, path::cancel(&path::invitation(&self.organisation, &token)))).await
    }

    /// A page of the log.
    ///
    /// # Errors
    /// [`RoadError`].
    pub async fn log_page(&self, from: u64) -> Result<LogPage, RoadError> {
        self.ask(Call::new(Method::GET, path::log(&self.organisation, from))).await
    }

    /// The newest manifest.
    ///
    /// # Errors
    /// [`RoadError`].
    pub async fn manifest(&self) -> Result<ManifestView, RoadError> {
        self.ask(Call::new(Method::GET, path::manifest(&self.organisation))).await
    }

    /// Replaces the manifest.
    ///
    /// # Errors
    /// [`RoadError`].
    pub async fn put_manifest(&self, upload: &ManifestUpload) -> Result<(), RoadError> {
        self.tell(Call::new(Method::PUT, path::manifest(&self.organisation)).with(upload)).await
    }

    /// Becomes the greeter of an attempt.
    ///
    /// # Errors
    /// [`RoadError`].
    pub async fn join(&self, token: Token, attempt: AttemptId) -> Result<AttemptView, RoadError> {
        let target = path::join(&path::greeter_attempt(&self.organisation, &token, &attempt));
        self.ask(Call::new(Method::POST, target)).await
    }

    /// Follows an invitation as [`Road::follow`] follows an attempt.
    pub async fn follow(
        &self,
        token: Token,
        trouble: &Trouble,
        seen: &watch::Sender<Option<InvitationView>>,
    ) -> RoadError {
        self.follow_invitation(token, trouble, |view| {
            let over = ended(view.status).is_some();
            seen.send_replace(Some(view));
            over
        })
        .await
    }
}

/// A step as received: never longer than a step can be.
fn step_of(bytes: Vec<u8>) -> Result<Vec<u8>, RoadError> {
    if bytes.len() > STEP_MAX_BYTES { Err(RoadError::Misbehaved("a step is too long")) } else { Ok(bytes) }
}

/// The claimer's end of an attempt.
#[derive(Debug)]
pub struct ClaimerRoad {
    invitee: Invitee,
    attempt: AttemptId,
    secret: Zeroizing<[u8; 32]>,
    trouble: Trouble,
}

impl ClaimerRoad {
    /// An attempt that has been started, or is about to be.
    #[must_use]
    pub fn new(invitee: Invitee, attempt: AttemptId, secret: Zeroizing<[u8; 32]>) -> Self {
        Self { invitee, attempt, secret, trouble: Trouble::new(None) }
    }

    /// Starts the attempt.
    ///
    /// # Errors
    /// [`RoadError`], once trying again makes no sense.
    pub async fn start(&self) -> Result<AttemptView, RoadError> {
        until_done(&self.trouble, || self.invitee.start(self.attempt, &self.secret)).await
    }

    /// What the invitation is for. The first contact, so it is tried once: the person waits for it, and the address may be wrong.
    ///
    /// # Errors
    /// [`RoadError`].
    pub async fn info(&self) -> Result<InvitedInfo, RoadError> {
        self.invitee.info().await
    }

    fn base(&self) -> String {
        path::invited_attempt(&self.invitee.organisation, &self.attempt)
    }

    fn call(&self, method: Method, target: String) -> Call {
        self.invitee.call(method, target).header(HEADER_ATTEMPT_SECRET, hex(&self.secret))
    }
}

impl Road for ClaimerRoad {
    async fn deposit(&self, step: u8, bytes: Vec<u8>) -> Result<(), RoadError> {
        until_done(&self.trouble, || {
            let call = self.call(Method::PUT, path::step(&self.base(), step)).with_step(bytes.clone());
            async { self.invitee.server.call(call).await.map(|_| ()) }
        })
        .await
    }

    async fn fetch(&self, step: u8) -> Result<Vec<u8>, RoadError> {
        let call = || self.invitee.server.call(self.call(Method::GET, path::step(&self.base(), step)));
        until_done(&self.trouble, call).await.and_then(step_of)
    }

    async fn state(&self) -> Result<AttemptView, RoadError> {
        until_done(&self.trouble, || self.invitee.server.ask(self.call(Method::GET, self.base()))).await
    }

    async fn cancel(&self, reason: EndReason) -> Result<(), RoadError> {
        until_done(&self.trouble, || {
            let call = self.call(Method::POST, path::cancel(&self.base())).with(&CancelAttempt { reason });
            async { self.invitee.server.call(call).await.map(|_| ()) }
        })
        .await
    }

    async fn log_page(&self, from: u64) -> Result<LogPage, RoadError> {
        let target = path::invited_log(&self.invitee.organisation, from);
        let call = || self.invitee.server.ask(self.invitee.call(Method::GET, target.clone()));
        until_done(&self.trouble, call).await
    }

    async fn follow(&self, seen: watch::Sender<Option<AttemptView>>) -> RoadError {
        let open = || Ok(self.call(Method::GET, path::events(&self.base())));
        let ask = || Ok(self.call(Method::GET, self.base()));
        follow(&self.invitee.server, &self.trouble, open, ask, |view: AttemptView| {
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
pub struct GreeterRoad {
    member: Member,
    token: Token,
    attempt: AttemptId,
    trouble: Trouble,
}

impl GreeterRoad {
    /// An attempt that this device has joined.
    #[must_use]
    pub fn new(member: Member, token: Token, attempt: AttemptId) -> Self {
        Self { member, token, attempt, trouble: Trouble::new(None) }
    }

    fn base(&self) -> String {
        path::greeter_attempt(&self.member.organisation, &self.token, &self.attempt)
    }

    /// Becomes the greeter of the attempt.
    ///
    /// # Errors
    /// [`RoadError`], once trying again makes no sense.
    pub async fn join(&self) -> Result<AttemptView, RoadError> {
        until_done(&self.trouble, || self.member.join(self.token, self.attempt)).await
    }

    /// Puts certificates and receipt into the log and completes the invitation.
    ///
    /// # Errors
    /// [`RoadError`], once trying again makes no sense.
    pub async fn complete(&self, completion: &Completion) -> Result<Completed, RoadError> {
        let call = || Call::new(Method::POST, path::complete(&self.base())).with(completion);
        until_done(&self.trouble, || self.member.ask(call())).await
    }

    /// This attempt as an invitation's state tells it. Another attempt in its place means that it is over.
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

impl Road for GreeterRoad {
    async fn deposit(&self, step: u8, bytes: Vec<u8>) -> Result<(), RoadError> {
        until_done(&self.trouble, || {
            let call = Call::new(Method::PUT, path::step(&self.base(), step)).with_step(bytes.clone());
            self.member.tell(call)
        })
        .await
    }

    async fn fetch(&self, step: u8) -> Result<Vec<u8>, RoadError> {
        let fetch = || async {
            let call = self.member.signed(Call::new(Method::GET, path::step(&self.base(), step)))?;
            self.member.server.call(call).await
        };
        until_done(&self.trouble, fetch).await.and_then(step_of)
    }

    async fn state(&self) -> Result<AttemptView, RoadError> {
        until_done(&self.trouble, || self.member.ask(Call::new(Method::GET, self.base()))).await
    }

    async fn cancel(&self, reason: EndReason) -> Result<(), RoadError> {
        let call = || Call::new(Method::POST, path::cancel(&self.base())).with(&CancelAttempt { reason });
        until_done(&self.trouble, || self.member.tell(call())).await
    }

    async fn log_page(&self, from: u64) -> Result<LogPage, RoadError> {
        until_done(&self.trouble, || self.member.log_page(from)).await
    }

    async fn follow(&self, seen: watch::Sender<Option<AttemptView>>) -> RoadError {
        self.member
            .follow_invitation(self.token, &self.trouble, |view| {
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
