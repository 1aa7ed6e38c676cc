//! The transport an attempt runs on: opaque steps go one way, opaque steps come the other, and
//! either side may end it.
//!
//! Decides what a transport is and which of its failures pass by themselves. Never advances a
//! ceremony: what it reports about the other side can only end one.

pub mod answer;
pub mod behind;
pub mod events;
pub mod http;
#[cfg(test)]
pub mod memory;
pub mod relay;
pub mod retry;
pub mod tls;

use std::future::Future;

use parsec_protocol::ids::Timestamp;
use parsec_protocol::relay::{AttemptView, EndReason, ErrorCode, Least, LogPage};
use tokio::sync::watch;

pub use relay::fetched_objects;

use answer::Foreign;
use tls::TlsFault;

/// Why something could not be carried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// `http://`, and not to this machine.
    #[error("{0} is not encrypted")]
    PlainHttp(String),
    /// Not the address of a server.
    #[error("{0}")]
    Address(String),
    /// The CA file, or the TLS library, could not be used.
    #[error("{0}")]
    Setup(String),
    /// No connection, or it broke.
    #[error("the server can't be reached: {0}")]
    Unreachable(String),
    /// The other device is not connected, over the peer-to-peer transport.
    #[error("the other device can't be reached: {0}")]
    PeerUnreachable(String),
    /// What the other device says is not the protocol's.
    #[error("the other device's answer is wrong: {0}")]
    PeerMisbehaved(&'static str),
    /// The server's certificate is not trusted, or TLS failed otherwise.
    #[error("no trusted connection to the server: {0}")]
    Tls(TlsFault),
    /// Something else answers in the server's place.
    #[error("{0}")]
    NotServer(Foreign),
    /// The answer is not one the protocol has.
    #[error("the server's answer is wrong: {0}")]
    Misbehaved(&'static str),
    /// The server said no.
    #[error("the server refused: {}", code.name())]
    Refused {
        /// The server's reason, as the protocol names it.
        code: ErrorCode,
        /// Time by the server's clock.
        server_time: Timestamp,
        /// Time by this machine's clock.
        local_time: Timestamp,
        /// Seconds it asks to wait.
        retry_after: u32,
    },
}

impl TransportError {
    /// Whether the same request may work later without anybody doing anything. All calls are
    /// idempotent, so a request whose answer was lost may be sent again.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            // A log-in page goes by when somebody has logged in; an unsigned word of whoever stands
            // between ends nothing.
            Self::Unreachable(_) | Self::PeerUnreachable(_) | Self::NotServer(_) => true,
            Self::PlainHttp(_)
            | Self::Address(_)
            | Self::Setup(_)
            | Self::Tls(_)
            | Self::Misbehaved(_)
            | Self::PeerMisbehaved(_) => false,
            // A nonce is drawn anew each time: `replayed` means that a proxy sent the first one
            // twice.
            Self::Refused { code, .. } => matches!(
                code,
                ErrorCode::RateLimited
                    | ErrorCode::Internal
                    | ErrorCode::Unavailable
                    | ErrorCode::LogHeld
                    | ErrorCode::Replayed
                    | ErrorCode::NotYet
            ),
        }
    }

    /// The server's code, if it refused.
    #[must_use]
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::PlainHttp(_)
            | Self::Address(_)
            | Self::Setup(_)
            | Self::Unreachable(_)
            | Self::PeerUnreachable(_)
            | Self::PeerMisbehaved(_)
            | Self::Tls(_)
            | Self::NotServer(_)
            | Self::Misbehaved(_) => None,
        }
    }
}

/// What people are told, for as long as the ceremony runs.
pub const HELD_BACK: &str = "Something between this machine and the server (a proxy, most likely) holds the server's event stream back. The ceremony goes on by asking the server every few seconds; each step may take that long.";

/// What is being tried again at the moment, in a sentence; none while all is well.
pub type Trouble = watch::Sender<Option<String>>;

/// One side of one attempt. All calls are idempotent, try again by themselves while
/// [`TransportError::passes`], and may be dropped at any point.
pub trait Transport: Send + Sync + 'static {
    /// Deposits a step of this side.
    fn deposit(&self, step: u8, bytes: Vec<u8>) -> impl Future<Output = Result<(), TransportError>> + Send;
    /// A step of the other side that has been announced.
    fn fetch(&self, step: u8) -> impl Future<Output = Result<Vec<u8>, TransportError>> + Send;
    /// The attempt as it is now.
    fn state(&self) -> impl Future<Output = Result<AttemptView, TransportError>> + Send;
    /// Ends the attempt.
    fn cancel(&self, reason: EndReason) -> impl Future<Output = Result<(), TransportError>> + Send;
    /// A page of the organisation's log, which has so many certificates at least.
    fn log_page(
        &self,
        from: u64,
        least: Least,
    ) -> impl Future<Output = Result<LogPage, TransportError>> + Send;
    /// Reports every state of the attempt into `seen`, the newest replacing what wasn't looked at.
    /// Returns only when the attempt can't be followed any more; after the state that says why it
    /// ended, never, and nothing is asked any more.
    fn follow(&self, seen: watch::Sender<Option<AttemptView>>)
    -> impl Future<Output = TransportError> + Send;
    /// What is being tried again.
    fn trouble(&self) -> watch::Receiver<Option<String>>;
}
