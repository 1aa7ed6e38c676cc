//! The client of one connection: the process at its other end, and what a token that it presented
//! allows.
//!
//! Decides that a connection presents one token, once.

use std::sync::Arc;

use tokio::sync::SetOnce;

use crate::os::caller::Caller;
use crate::tokens::Granted;

/// The client of one connection.
#[derive(Debug)]
pub struct Client {
    /// The process, as the kernel noted it.
    pub caller: Arc<Caller>,
    granted: SetOnce<Granted>,
}

impl Client {
    /// A client that has presented no token yet.
    #[must_use]
    pub fn new(caller: Caller) -> Self {
        Self { caller: Arc::new(caller), granted: SetOnce::new() }
    }

    /// What the token allows that was presented; nothing before.
    #[must_use]
    pub fn granted(&self) -> Option<&Granted> {
        self.granted.get()
    }

    /// Notes what a token allows; whether it is the first.
    pub(super) fn grant(&self, granted: Granted) -> bool {
        self.granted.set(granted).is_ok()
    }

    /// Returns once a token was presented and is over; never without one.
    pub(super) async fn revoked(&self) {
        self.granted.wait().await.over().await;
    }
}
