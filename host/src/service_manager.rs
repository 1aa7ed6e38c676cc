//! What the service manager (systemd) is told: ready, status, alive, stopping (`NOTIFY_SOCKET`,
//! `WATCHDOG_USEC`).
//!
//! Decides how often a loop pings. Refuses to fail over it: a manager that doesn't listen is
//! logged, once; without one nothing is said.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior};

use crate::watchdog::Watchdog;

/// Pings within the time after which the manager gives up: a late one is made good by the next.
const PINGS: u32 = 3;
/// Shortest time between two pings, whatever the environment asks for.
const PING_MIN: Duration = Duration::from_millis(10);

/// The service manager, if there is one.
#[derive(Debug, Clone, Default)]
pub struct ServiceManager {
    present: bool,
    ping_every: Option<Duration>,
}

impl ServiceManager {
    /// Reads whom to tell, and how often. Called once, at the start.
    #[must_use]
    pub fn from_environment() -> Self {
        let present = std::env::var_os("NOTIFY_SOCKET").is_some();
        let limit = sd_notify::watchdog_enabled().filter(|_| present);
        Self { present, ping_every: limit.map(|limit| (limit / PINGS).max(PING_MIN)) }
    }

    /// Requests are answered from now on. `status` is what `systemctl status` shows, which other
    /// users may read.
    pub fn ready(&self, status: Option<&str>) {
        let said = match status {
            Some(status) => self.tell(&[NotifyState::Ready, NotifyState::Status(status)]),
            None => self.tell(&[NotifyState::Ready]),
        };
        if let Err(error) = said {
            tracing::warn!(%error, "the service manager could not be told that this program is ready");
        }
    }

    /// The program ends by itself or was asked to; what is still open is being finished.
    pub fn stopping(&self) {
        let _ = self.tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }

    /// What the loop needs to show that it turns. Must be called inside a tokio runtime.
    #[must_use]
    pub fn watchdog(&self) -> ManagerWatchdog {
        let pings = self.ping_every.map(|every| {
            let mut pings = tokio::time::interval(every);
            pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
            pings
        });
        ManagerWatchdog { manager: self.clone(), pings, shown: None }
    }

    fn tell(&self, what: &[NotifyState<'_>]) -> std::io::Result<()> {
        if self.present { sd_notify::notify(what) } else { Ok(()) }
    }
}

/// The service manager's watch over one loop.
#[derive(Debug)]
pub struct ManagerWatchdog {
    manager: ServiceManager,
    pings: Option<Interval>,
    shown: Option<String>,
}

impl Watchdog for ManagerWatchdog {
    async fn due(&mut self) {
        match &mut self.pings {
            Some(pings) => {
                pings.tick().await;
            }
            None => std::future::pending().await,
        }
    }

    fn ping(&self) {
        let _ = self.manager.tell(&[NotifyState::Watchdog]);
    }

    fn report(&mut self, status: &str) {
        if !self.manager.present || self.shown.as_deref() == Some(status) {
            return;
        }
        self.shown = Some(status.to_owned());
        let _ = self.manager.tell(&[NotifyState::Status(status)]);
    }
}
