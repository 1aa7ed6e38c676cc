//! The local API: one JSON object a line over a Unix socket of the user alone.
//!
//! Decides how many clients there may be and how serving ends. What the methods do is the loop's
//! business.

mod access;
mod answer;
pub mod authorize;
mod ceremony;
pub mod client;
mod connection;
mod connection_limits;
mod discover;
pub mod errors;
mod events;
mod fm;
mod frame;
mod hello;
pub mod methods;
mod mounts;
mod outgoing;
mod passing;
mod redact;
mod request;
#[cfg(test)]
mod tests;
mod tokens;

use std::path::Path;
use std::sync::Arc;

use jsonrpsee::Methods;
use parsec_protocol::control::Socket;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use connection::{Timeouts, Visit};
use connection_limits::ConnectionLimits;

pub use access::{AccessError, Listener};
pub use authorize::Authorize;

/// How long requests under way may take to end once the daemon stops. None waits for a person; the
/// server's answers take a second or two, and systemd would wait 90.
const GRACE: std::time::Duration = std::time::Duration::from_secs(5);
/// Between looks whether a socket's name is still there: whoever removed it (a tidy hand, a cleaner
/// of temporary folders, a runtime folder made anew) locks everybody out, and is not noticed
/// otherwise. One look is one call of the system.
const NAME_LOOKED_AT: std::time::Duration = std::time::Duration::from_secs(2);
/// Pause after a failure to accept, which is nearly always "too many open files" and would come
/// again at once.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// What is served, and to whom.
#[derive(Clone)]
pub struct Service {
    methods: Methods,
    authorizer: Arc<dyn Authorize>,
    limits: Arc<ConnectionLimits>,
    timeouts: Timeouts,
}

impl Service {
    /// Serves `methods` to whom `authorizer` lets in.
    pub fn new(methods: impl Into<Methods>, authorizer: impl Authorize) -> Self {
        Self {
            methods: methods.into(),
            authorizer: Arc::new(authorizer),
            limits: ConnectionLimits::new(),
            timeouts: Timeouts::default(),
        }
    }

    /// Serves clients until `shutdown`, then lets requests under way finish for a moment. The
    /// sockets' names are gone when this returns.
    pub async fn serve(self, sockets: Vec<(Socket, Listener)>, shutdown: CancellationToken) {
        let sockets = sockets.into_iter().map(|(socket, listener)| self.attend(socket, listener, &shutdown));
        futures_util::future::join_all(sockets).await;
    }

    /// Serves one socket until the daemon stops.
    async fn attend(&self, socket: Socket, listener: Listener, shutdown: &CancellationToken) {
        let mut connections = JoinSet::new();
        let path = listener.path().to_owned();
        let mut listener = Some(listener);
        let mut look = tokio::time::interval(NAME_LOOKED_AT);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let accept = async {
                match &listener {
                    Some(listener) => listener.accept(socket).await,
                    None => std::future::pending().await,
                }
            };
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = accept => accepted,
                _ = look.tick() => {
                    make_again(&mut listener, &path);
                    continue;
                }
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, caller)) => match self.limits.enter(caller.pid) {
                    Some(permit) => {
                        let visit = Visit::new(
                            &self.methods,
                            Arc::clone(&self.authorizer),
                            caller,
                            permit,
                            self.timeouts,
                        );
                        connections.spawn(connection::serve(stream, visit, shutdown.clone()));
                    }
                    None => {
                        tracing::debug!(pid = caller.pid, "refused a connection: too many");
                        // Whatever fits into the socket at once: nobody waits for this client.
                        let _ = stream.try_write(format!("{}\n", *answer::busy()).as_bytes());
                    }
                },
                Err(error) => {
                    tracing::error!(%error, "can't accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        let finished =
            tokio::time::timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
        if finished.is_err() {
            tracing::warn!("cut requests off that did not end");
        }
    }
}

/// Makes a socket again whose name was removed. Connections that are open stay. What else has the
/// name now is left alone.
fn make_again(listener: &mut Option<Listener>, path: &Path) {
    if listener.as_ref().is_some_and(Listener::is_there) {
        return;
    }
    let was_open = listener.is_some();
    // Its lock would keep the new one out.
    drop(listener.take());
    match Listener::bind(path) {
        Ok(made) => {
            tracing::warn!(socket = %path.display(), "the socket was removed; it is made again");
            *listener = Some(made);
        }
        Err(error) if was_open => {
            tracing::error!(%error, "the socket was removed, and can't be made again; tried until it can");
        }
        Err(_) => {}
    }
}
