//! One metadata server over HTTP: what is sent, how much is read, and what a failure means.
//!
//! Decides that nothing goes out unencrypted except to this machine, that no redirect is followed,
//! that every body is capped while it is read, and that every call has an end. Refuses answers that
//! are not the protocol's.

use std::error::Error as _;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use parsec_protocol::address::{AddressError, ServerAddress};
use parsec_protocol::codec;
use parsec_protocol::limits::BODY_MAX_BYTES;
use parsec_protocol::relay::{ErrorBody, ErrorCode, MEDIA_TYPE};
use reqwest::{Method, StatusCode};

use super::answer::foreign;
use super::{TransportError, tls};
use crate::os::clock;

/// A server that doesn't take a connection in this time is not there.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// No call but an event stream takes longer: the largest body is about a megabyte.
const CALL_WAIT: Duration = Duration::from_secs(60);
/// The server says something every 20 seconds on an event stream; three missed means that the
/// connection is dead.
const STREAM_SILENCE: Duration = Duration::from_secs(60);
/// Largest error body: three numbers.
const ERROR_MAX_BYTES: usize = 64;

/// A client with the daemon's TLS settings. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    calls: reqwest::Client,
    streams: reqwest::Client,
}

impl Client {
    /// With the system's trusted authorities and, if given, those of a PEM file's text.
    ///
    /// # Errors
    /// [`TransportError::Setup`].
    pub fn new(extra_ca: Option<&[u8]>) -> Result<Self, TransportError> {
        // The first call installs it; later ones find it there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let setup =
            |error: reqwest::Error| TransportError::Setup(format!("TLS could not be set up: {error}"));
        let authorities = match extra_ca {
            Some(pem) => reqwest::Certificate::from_pem_bundle(pem).map_err(setup)?,
            None => Vec::new(),
        };
        let builder = || {
            reqwest::Client::builder()
                .tls_certs_merge(authorities.iter().cloned())
                .redirect(reqwest::redirect::Policy::none())
                // A proxy named in the environment would be handed what is meant for this machine
                // alone.
                .no_proxy()
                .connect_timeout(CONNECT_WAIT)
                .http1_only()
                .user_agent(concat!("parsecd/", env!("CARGO_PKG_VERSION")))
        };
        Ok(Self {
            calls: builder().timeout(CALL_WAIT).build().map_err(setup)?,
            streams: builder().read_timeout(STREAM_SILENCE).build().map_err(setup)?,
        })
    }
}

/// A request, as it goes out.
#[derive(Debug)]
pub struct Call {
    /// `GET`, `POST` or `PUT`.
    pub method: Method,
    /// Path and query of the request.
    pub target: String,
    /// Headers of the family of calls. Never logged: some hold secrets.
    pub headers: Vec<(&'static str, String)>,
    /// The body and its media type.
    pub body: Option<(&'static str, Vec<u8>)>,
}

impl Call {
    /// A call without a body.
    #[must_use]
    pub const fn new(method: Method, target: String) -> Self {
        Self { method, target, headers: Vec::new(), body: None }
    }

    /// With a CBOR body.
    #[must_use]
    pub fn with<T: minicbor::Encode<()>>(mut self, value: &T) -> Self {
        self.body = Some((MEDIA_TYPE, codec::encode(value)));
        self
    }

    /// With a step's bytes.
    #[must_use]
    pub fn with_step(mut self, bytes: Vec<u8>) -> Self {
        self.body = Some(("application/octet-stream", bytes));
        self
    }

    /// The call with one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// One server. Clones are one: where one goes, all go.
#[derive(Debug, Clone)]
pub struct Server {
    client: Client,
    base: Arc<RwLock<ServerAddress>>,
}

impl Server {
    /// The server at `base`, `https://host[:port]`.
    ///
    /// # Errors
    /// [`TransportError::PlainHttp`], [`TransportError::Address`].
    pub fn new(client: Client, base: &str) -> Result<Self, TransportError> {
        let base = base.parse().map_err(|why| match why {
            AddressError::PlainHttp => TransportError::PlainHttp(base.to_owned()),
            AddressError::NotAUrl
            | AddressError::Scheme
            | AddressError::User
            | AddressError::Trailing
            | AddressError::Host
            | AddressError::Port => {
                TransportError::Address(format!("{base} is not the address of a server: {why}"))
            }
        })?;
        Ok(Self { client, base: Arc::new(RwLock::new(base)) })
    }

    /// The same client, at another address.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn elsewhere(&self, base: &str) -> Result<Self, TransportError> {
        Self::new(self.client.clone(), base)
    }

    /// From the next call on, this server and all its clones are where the other one is.
    pub fn move_to(&self, to: &Self) {
        let mut base = self.base.write().unwrap_or_else(PoisonError::into_inner);
        *base = to.base();
    }

    fn base(&self) -> ServerAddress {
        // An address is replaced whole, so a poisoned lock still guards a sound one.
        self.base.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The address without a slash at its end.
    #[must_use]
    pub fn address(&self) -> String {
        self.base().to_string()
    }

    fn request(&self, client: &reqwest::Client, call: Call) -> reqwest::RequestBuilder {
        let mut request = client.request(call.method, format!("{}{}", self.base(), call.target));
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        if let Some((media, body)) = call.body {
            request = request.header(reqwest::header::CONTENT_TYPE, media).body(body);
        }
        request
    }

    /// Carries a call out; the body of a 2xx answer.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn call(&self, call: Call) -> Result<Vec<u8>, TransportError> {
        let answer = self.request(&self.client.calls, call).send().await.map_err(|error| broken(&error))?;
        read(own(answer).await?, BODY_MAX_BYTES).await
    }

    /// The same, where the body is taken piece by piece as it comes, no more of it than any answer
    /// has.
    ///
    /// # Errors
    /// [`TransportError`]; those of `take`.
    pub async fn call_into(
        &self,
        call: Call,
        mut take: impl FnMut(&[u8]) -> Result<(), TransportError> + Send,
    ) -> Result<(), TransportError> {
        let sent = self.request(&self.client.calls, call).send().await;
        let mut answer = own(sent.map_err(|error| broken(&error))?).await?;
        let mut left = BODY_MAX_BYTES;
        while let Some(chunk) = answer.chunk().await.map_err(|error| broken(&error))? {
            let too_large = TransportError::Misbehaved("a body is larger than any answer");
            left = left.checked_sub(chunk.len()).ok_or(too_large)?;
            take(&chunk)?;
        }
        Ok(())
    }

    /// Carries a call out and reads its answer.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn ask<T>(&self, call: Call) -> Result<T, TransportError>
    where
        T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>,
    {
        let body = self.call(call).await?;
        codec::decode(&body, BODY_MAX_BYTES)
            .map_err(|_| TransportError::Misbehaved("a body is not what the call answers"))
    }

    /// Opens an event stream.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn open(&self, call: Call) -> Result<Stream, TransportError> {
        // The stream client has no total limit, so the answer's head gets one here.
        let sent = self.request(&self.client.streams, call).send();
        let answer = tokio::time::timeout(CALL_WAIT, sent)
            .await
            .map_err(|_| TransportError::Unreachable("no answer".into()))?
            .map_err(|error| broken(&error))?;
        Ok(Stream { answer: own(answer).await? })
    }
}

/// The bytes of an event stream.
#[derive(Debug)]
pub struct Stream {
    answer: reqwest::Response,
}

impl Stream {
    /// The next bytes; none at the stream's end.
    ///
    /// # Errors
    /// [`TransportError::Unreachable`].
    pub async fn next(&mut self) -> Result<Option<bytes::Bytes>, TransportError> {
        self.answer.chunk().await.map_err(|error| broken(&error))
    }
}

/// Reads a body, never more than `max` bytes of it.
async fn read(mut answer: reqwest::Response, max: usize) -> Result<Vec<u8>, TransportError> {
    // All of it at once where the server says how much comes: a body that grows is copied each
    // time.
    let length = answer.content_length().and_then(|length| usize::try_from(length).ok());
    let mut body = Vec::with_capacity(length.unwrap_or_default().min(max));
    while let Some(chunk) = answer.chunk().await.map_err(|error| broken(&error))? {
        if body.len() + chunk.len() > max {
            return Err(TransportError::Misbehaved("a body is larger than any answer"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// An answer of the server itself that is 2xx.
async fn own(answer: reqwest::Response) -> Result<reqwest::Response, TransportError> {
    match foreign(&answer) {
        Some(foreign) => Err(TransportError::NotServer(foreign)),
        None if answer.status().is_success() => Ok(answer),
        None => Err(refusal(answer).await),
    }
}

/// What an answer that is not 2xx means. A proxy before the server may answer in its own words.
async fn refusal(answer: reqwest::Response) -> TransportError {
    let status = answer.status();
    let local_time = clock::now();
    let body = match read(answer, ERROR_MAX_BYTES).await {
        Ok(body) => body,
        Err(TransportError::Misbehaved(_)) => Vec::new(),
        Err(error) => return error,
    };
    match codec::decode::<ErrorBody>(&body, ERROR_MAX_BYTES) {
        Ok(ErrorBody { code, server_time, retry_after }) => {
            TransportError::Refused { code, server_time, local_time, retry_after }
        }
        Err(_) => {
            let code = match status {
                StatusCode::TOO_MANY_REQUESTS => ErrorCode::RateLimited,
                StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                    ErrorCode::Unavailable
                }
                status if status.is_server_error() => ErrorCode::Internal,
                _ => return TransportError::Misbehaved("an error is not one of the protocol's"),
            };
            TransportError::Refused { code, server_time: local_time, local_time, retry_after: 0 }
        }
    }
}

/// What a failed connection means. Names no address or path: those may hold what the log must not.
fn broken(error: &reqwest::Error) -> TransportError {
    if let Some(fault) = tls::fault(error) {
        return TransportError::Tls(fault);
    }
    let mut cause = error.source();
    let mut last = "the connection broke".to_owned();
    while let Some(here) = cause {
        last = here.to_string();
        cause = here.source();
    }
    if error.is_timeout() {
        last = "no answer in time".to_owned();
    }
    TransportError::Unreachable(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_reaches_this_machine_only() {
        let client = Client::new(None).unwrap();
        for good in [
            "https://a.test",
            "https://a.test:8443/",
            "http://localhost:1",
            "http://127.3.2.1",
            "http://[::1]:9",
        ] {
            assert!(Server::new(client.clone(), good).is_ok(), "{good}");
        }
        for plain in ["http://a.test", "http://10.0.0.1", "http://localhost.a.test", "http://[::2]"] {
            assert!(
                matches!(Server::new(client.clone(), plain), Err(TransportError::PlainHttp(_))),
                "{plain}"
            );
        }
        for bad in [
            "",
            "a.test",
            "ftp://a.test",
            "https://u@a.test",
            "https://a.test/x",
            "https://a.test?q",
            "https://",
        ] {
            assert!(matches!(Server::new(client.clone(), bad), Err(TransportError::Address(_))), "{bad}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_unreachable() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let server = Server::new(Client::new(None).unwrap(), &address).unwrap();
        let error = server.call(Call::new(Method::GET, "/v1/health".into())).await.unwrap_err();
        assert!(matches!(error, TransportError::Unreachable(_)) && error.passes(), "{error}");
    }
}
