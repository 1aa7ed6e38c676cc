//! What the service manager is told: ready, how it stands, alive, stopping (`NOTIFY_SOCKET`, `WATCHDOG_USEC`).
//!
//! Decides that the daemon's own loop gives the signs of life, so that a hung loop is seen even if other threads run.
//! Refuses to fail over it: a manager that doesn't listen is logged, once.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior};

/// Signs of life within the time after which the manager gives up: a late one is made good by the next.
const BEATS: u32 = 3;
/// Shortest time between two signs of life, whatever the environment asks for.
const BEAT_MIN: Duration = Duration::from_millis(10);

/// The service manager, or nobody.
#[derive(Debug, Clone, Default)]
pub struct Supervisor {
    present: bool,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// Reads whom to tell, and how often. Called once, at the start.
    #[must_use]
    pub fn from_environment() -> Self {
        let present = std::env::var_os("NOTIFY_SOCKET").is_some();
        let watchdog = sd_notify::watchdog_enabled().filter(|_| present);
        Self { present, watchdog: watchdog.map(|limit| (limit / BEATS).max(BEAT_MIN)) }
    }

    /// The sockets answer.
    pub fn ready(&self) {
        if let Err(error) = self.tell(&[NotifyState::Ready]) {
            tracing::warn!(%error, "the service manager could not be told that the daemon is ready");
        }
    }

    /// The daemon ends by itself or was asked to; what is still open is being finished.
    pub fn stopping(&self) {
        let _ = self.tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }

    /// What the loop needs to show that it turns. Must be called inside a tokio runtime.
    #[must_use]
    pub fn heart(&self) -> Heart {
        let beats = self.watchdog.map(|every| {
            let mut beats = tokio::time::interval(every);
            beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            beats
        });
        Heart { supervisor: self.clone(), beats, shown: None }
    }

    fn tell(&self, what: &[NotifyState<'_>]) -> std::io::Result<()> {
        if self.present { sd_notify::notify(what) } else { Ok(()) }
    }
}

/// How the daemon stands, as `systemctl status` shows it: numbers alone, since others may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Devices on this machine.
    pub devices: usize,
    /// Those whose keys are in memory.
    pub unlocked: usize,
    /// Ceremonies under way.
    pub ceremonies: usize,
}

/// The signs of life of one loop.
#[derive(Debug, Default)]
pub struct Heart {
    supervisor: Supervisor,
    beats: Option<Interval>,
    shown: Option<Standing>,
}

impl Heart {
    /// Returns when the next sign is due; never, if nobody waits for one.
    pub async fn due(&mut self) {
        match &mut self.beats {
            Some(beats) => {
                beats.tick().await;
            }
            None => std::future::pending().await,
        }
    }

    /// Gives it.
    pub fn beat(&self) {
        let _ = self.supervisor.tell(&[NotifyState::Watchdog]);
    }

    /// Says how the daemon stands, if that changed.
    pub fn show(&mut self, standing: Standing) {
        if !self.supervisor.present || self.shown == Some(standing) {
            return;
        }
        self.shown = Some(standing);
        let Standing { devices, unlocked, ceremonies } = standing;
        let text = format!("{unlocked} of {devices} devices unlocked, {ceremonies} ceremonies under way");
        let _ = self.supervisor.tell(&[NotifyState::Status(&text)]);
    }
}
