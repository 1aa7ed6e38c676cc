//! The metadata server's relay: every signed call of a member's device. Beside it: the calls of the
//! invited, and the two ends of an attempt.
//!
//! Decides which header proves what. Asks for nothing on a timer, but where a stream is held back
//! (`held_back`). Believes nothing: what comes is for the machines and the verifier to judge.

mod device_events;
mod directory;
mod ends;
mod following;
mod held_back;
mod invited;
mod objects;
mod recovery;
mod registering;
mod safes;
mod told;
mod user_keys;

pub use objects::fetched_objects;

use std::sync::Arc;

use minicbor::{Decode, Encode};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::ids::{AttemptId, DeviceId, OrganisationId, Token};
use parsec_protocol::keys::random;
use parsec_protocol::public_keys::{Hash, Signature};
use parsec_protocol::relay::{
    AttemptView, HEADER_BODY_HASH, HEADER_DEVICE, HEADER_NONCE, HEADER_SIGNATURE, HEADER_TIME,
    InvitationList, InvitationMade, InvitationView, Least, LogPage, ManifestUpload, ManifestView,
    NewInvitation, RequestToSign, path,
};
use reqwest::Method;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::behind::{LagRetry, Seen};
use super::http::{Call, Server};
use super::{TransportError, Trouble};
use crate::os::{clock, entropy};
use device_events::DeviceEvents;

pub use device_events::SafeNews;
pub use ends::{ClaimerTransport, GreeterTransport};
pub use following::ended;
pub use invited::{Invitee, bootstrap};
pub use registering::standing;

/// Pages of invitations read for one list: more than the usual budgets let an organisation have.
const LIST_PAGES_MAX: usize = 100;

/// Signs requests for one device. The key stays where it is.
pub trait Signer: Send + Sync {
    /// The device whose key signs.
    fn device(&self) -> DeviceId;
    /// Signs [`RequestToSign::bytes`] under the context of requests.
    fn sign_request(&self, message: &[u8]) -> Signature;
}

/// The calls of a member's device: each is signed anew, so that none can be sent twice by somebody
/// else.
#[derive(Clone)]
pub struct Member {
    server: Server,
    organisation: OrganisationId,
    signer: Arc<dyn Signer>,
    tasks: TaskTracker,
    events: Arc<DeviceEvents>,
    log_lag: Arc<LagRetry>,
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
        Self { server, organisation, signer, tasks, events: Arc::default(), log_lag: Arc::default() }
    }

    /// The server that it asks.
    #[must_use]
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// What the member's device knows of a log that it has verified.
    #[must_use]
    pub fn seen(&self, log: &VerifiedLog) -> Seen {
        Seen::of(log, &self.signer.device())
    }

    /// The same member, asking somewhere else.
    #[must_use]
    pub fn at(&self, server: Server) -> Self {
        let (organisation, signer) = (self.organisation.clone(), Arc::clone(&self.signer));
        Self::new(server, organisation, signer, self.tasks.clone())
    }

    /// Adds the five headers that authenticate a call.
    fn signed(&self, call: Call) -> Result<Call, TransportError> {
        let body = Hash::of(&[call.body.as_ref().map_or(&[][..], |(_, body)| body)]);
        self.signed_over(call, body)
    }

    /// The same, where a hash of another kind stands for the body.
    fn signed_over(&self, call: Call, body: Hash) -> Result<Call, TransportError> {
        let time = clock::now();
        let nonce = random(&mut entropy::System)
            .map(Token::from_bytes)
            .map_err(|error| TransportError::Setup(error.to_string()))?;
        let device = self.signer.device();
        let request = RequestToSign {
            organisation: self.organisation.clone(),
            device,
            method: call.method.as_str().to_owned(),
            target: call.target.clone(),
            time,
            nonce,
            body,
        };
        let signature = self.signer.sign_request(&request.bytes());
        Ok(call
            .header(HEADER_DEVICE, device.to_string())
            .header(HEADER_TIME, time.0.to_string())
            .header(HEADER_NONCE, nonce.to_string())
            .header(HEADER_BODY_HASH, body.to_string())
            .header(HEADER_SIGNATURE, signature.to_string()))
    }

    async fn ask<T>(&self, call: Call) -> Result<T, TransportError>
    where
        T: for<'b> Decode<'b, ()> + Encode<()>,
    {
        self.server.ask(self.signed(call)?).await
    }

    async fn tell(&self, call: Call) -> Result<(), TransportError> {
        self.server.call(self.signed(call)?).await.map(|_| ())
    }

    /// The invitations this member may see, newest first: all pages of them, up to a bound.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn invitations(&self) -> Result<InvitationList, TransportError> {
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
                    return Err(TransportError::Misbehaved("its list of invitations goes round in circles"));
                }
                None => break,
            }
        }
        Ok(list)
    }

    /// One invitation.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn invitation(&self, token: Token) -> Result<InvitationView, TransportError> {
        self.ask(Call::new(Method::GET, path::invitation(&self.organisation, &token))).await
    }

    /// Makes an invitation.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn invite(&self, new: &NewInvitation) -> Result<InvitationMade, TransportError> {
        self.ask(Call::new(Method::POST, path::invitations(&self.organisation)).with(new)).await
    }

    /// Cancels an invitation.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn cancel_invitation(&self, token: Token) -> Result<(), TransportError> {
        self.tell(Call::new(Method::POST, path::cancel(&path::invitation(&self.organisation, &token)))).await
    }

    /// A page of the log, of which so much is known.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn log_page(&self, from: u64, seen: Seen) -> Result<LogPage, TransportError> {
        let page = |least| self.ask(Call::new(Method::GET, path::log(&self.organisation, from, least)));
        self.log_lag.read(seen, page).await
    }

    /// The newest manifest, of which this version was seen at the server.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn manifest(&self, seen: Least) -> Result<ManifestView, TransportError> {
        let newest =
            |least: Least| self.ask(Call::new(Method::GET, least.on(path::manifest(&self.organisation))));
        LagRetry::default().read(Seen::up_to(seen), newest).await
    }

    /// Replaces the manifest.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_manifest(&self, upload: &ManifestUpload) -> Result<(), TransportError> {
        self.tell(Call::new(Method::PUT, path::manifest(&self.organisation)).with(upload)).await
    }

    /// Becomes the greeter of an attempt.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn join(&self, token: Token, attempt: AttemptId) -> Result<AttemptView, TransportError> {
        let target = path::join(&path::greeter_attempt(&self.organisation, &token, &attempt));
        self.ask(Call::new(Method::POST, target)).await
    }

    /// Follows an invitation as `Transport::follow` follows an attempt.
    pub async fn follow(
        &self,
        token: Token,
        trouble: &Trouble,
        seen: &watch::Sender<Option<InvitationView>>,
    ) -> TransportError {
        let step = |_| {};
        self.follow_invitation(token, trouble, step, |view| {
            let over = ended(view.status).is_some();
            seen.send_replace(Some(view));
            over
        })
        .await
    }
}
