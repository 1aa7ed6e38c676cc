//! The calls that no device signs: founding an organisation, and what a person with a link may ask.
//!
//! Decides nothing: a bootstrap token or an invitation's token proves what there is to prove.

use parsec_protocol::ids::{AttemptId, OrganisationId, Token};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{
    AttemptView, BootstrapRequest, HEADER_BOOTSTRAP, HEADER_TOKEN, InvitedInfo, StartAttempt, path,
};
use reqwest::Method;

use crate::transport::TransportError;
use crate::transport::http::{Call, Server};

/// Founds an organisation.
///
/// # Errors
/// [`TransportError`].
pub async fn bootstrap(
    server: &Server,
    organisation: &OrganisationId,
    token: &str,
    request: &BootstrapRequest,
) -> Result<(), TransportError> {
    let call = Call::new(Method::POST, path::bootstrap(organisation))
        .header(HEADER_BOOTSTRAP, token.to_owned())
        .with(request);
    server.call(call).await.map(|_| ())
}

/// The calls of a person who holds a link.
#[derive(Debug, Clone)]
pub struct Invitee {
    /// The server that the link names.
    pub server: Server,
    /// The organisation of the invitation.
    pub organisation: OrganisationId,
    /// The token of the invitation, which admits.
    pub token: Token,
}

impl Invitee {
    /// A call with what proves that the link is held.
    pub(super) fn call(&self, method: Method, target: String) -> Call {
        Call::new(method, target).header(HEADER_TOKEN, self.token.to_string())
    }

    /// What the invitation is for.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn info(&self) -> Result<InvitedInfo, TransportError> {
        self.server.ask(self.call(Method::GET, path::invited(&self.organisation))).await
    }

    /// Starts an attempt; asked again with the same values, it answers as before.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn start(&self, attempt: AttemptId, secret: &[u8; 32]) -> Result<AttemptView, TransportError> {
        let body = StartAttempt { attempt, secret_hash: Hash::of(&[secret]) };
        self.server.ask(self.call(Method::POST, path::invited_attempts(&self.organisation)).with(&body)).await
    }
}
