//! What the service manager (systemd) is told: ready, alive, stopping (`NOTIFY_SOCKET`, `WATCHDOG_USEC`).
//!
//! Decides that the task which serves gives the signs of life. Refuses to fail over it: a manager that doesn't listen is logged.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::MissedTickBehavior;

/// Signs of life within the time after which the manager gives up: a late one is made good by the next.
const BEATS: u32 = 3;
/// Shortest time between two signs of life, whatever the environment asks for.
const BEAT_MIN: Duration = Duration::from_millis(10);

/// The service manager, or nobody.
#[derive(Debug)]
pub(crate) struct Supervisor {
    present: bool,
    every: Option<Duration>,
}

impl Supervisor {
    /// Reads whom to tell, and how often. Called once, at the start.
    pub(crate) fn from_environment() -> Self {
        let present = std::env::var_os("NOTIFY_SOCKET").is_some();
        let limit = sd_notify::watchdog_enabled().filter(|_| present);
        Self { present, every: limit.map(|limit| (limit / BEATS).max(BEAT_MIN)) }
    }

    /// Requests are answered from now on.
    pub(crate) fn ready(&self, address: SocketAddr) {
        let status = format!("listening on {address}");
        if let Err(error) = self.tell(&[NotifyState::Ready, NotifyState::Status(&status)]) {
            tracing::warn!(%error, "the service manager could not be told that the server is ready");
        }
    }

    /// The server ends; requests under way are being finished.
    pub(crate) fn stopping(&self) {
        let _ = self.tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }

    /// Gives signs of life for as long as the task that waits for this turns.
    pub(crate) async fn beat(&self) -> Infallible {
        let Some(every) = self.every else { return std::future::pending().await };
        let mut beats = tokio::time::interval(every);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            let _ = self.tell(&[NotifyState::Watchdog]);
        }
    }

    fn tell(&self, what: &[NotifyState<'_>]) -> std::io::Result<()> {
        if self.present { sd_notify::notify(what) } else { Ok(()) }
    }
}
