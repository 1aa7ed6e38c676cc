//! The terminal that a program was started in, by hand.
//!
//! Decides whether a hang-up (SIGHUP) means that this terminal is gone, and the program with it, or
//! whatever else the program takes it for. A program that was started to outlive its terminal
//! (`nohup`) has none in this sense.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use rustix::fs::OFlags;

/// SIGHUP's bit in the masks of `/proc/self/status`.
const HANGUP_BIT: u64 = 1;

/// How long after a hang-up the kernel may still be taking the terminal away.
const WAIT: Duration = Duration::from_secs(1);

/// The terminal of the start.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    had: bool,
}

impl Terminal {
    /// Called before anything listens for signals.
    #[must_use]
    pub fn of_start() -> Self {
        Self { had: !hangup_ignored() && can_be_opened() }
    }

    /// Whether the hang-up that was just heard took the terminal: waits for the kernel a moment, if
    /// it is still there.
    pub async fn is_taken(self) -> bool {
        if self.had && !self.is_gone() {
            tokio::time::sleep(WAIT).await;
        }
        self.is_gone()
    }

    /// Whether there was a terminal and it is gone.
    #[must_use]
    pub fn is_gone(self) -> bool {
        self.had && !can_be_opened()
    }
}

/// The kernel takes the terminal from every process of its session when it hangs up.
fn can_be_opened() -> bool {
    let flags = i32::try_from((OFlags::NOCTTY | OFlags::NONBLOCK).bits()).unwrap_or_default();
    OpenOptions::new().read(true).custom_flags(flags).open("/dev/tty").is_ok()
}

fn hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & HANGUP_BIT != 0)
}
