//! What a loop shows to whoever watches it: that it still turns, and what it is at.
//!
//! Decides that the loop itself gives the signs of life, so that a hung loop is seen even if other
//! threads run. Knows nothing of a service manager: `service_manager` is one way to watch, a test
//! is another.

use std::convert::Infallible;
use std::future::Future;

/// Watches over one loop of a program.
pub trait Watchdog: Send {
    /// Returns when the next ping is due; never, if nobody waits for one.
    fn due(&mut self) -> impl Future<Output = ()> + Send;

    /// Gives the sign of life that was due.
    fn ping(&self);

    /// Says how the program stands. Other users may read it: numbers and words of ours alone.
    fn report(&mut self, status: &str);
}

/// Pings for as long as the task that waits for this turns.
pub async fn keep_alive(mut watchdog: impl Watchdog) -> Infallible {
    loop {
        watchdog.due().await;
        watchdog.ping();
    }
}
