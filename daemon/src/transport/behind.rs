//! Reads of what only grows, from a server that may not have got as far as this device has seen it.
//!
//! Decides how long a server that says so is given to catch up; then it is asked what it has, and
//! that is taken for what it is. Refuses to wait longer whatever it asks for, and to wait again for
//! one that has not caught up: nobody hides a rollback by saying `behind`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::ids::DeviceId;
use parsec_protocol::relay::{ErrorCode, Least, Reaches};

use super::TransportError;
use super::retry::{ANSWER_WAIT, PAUSE_FIRST, Pauses};

/// Questions with what is known, each followed by a pause, before the one without. A replica that
/// follows is milliseconds behind, one under load a second or two; the pauses double, so these make
/// some seconds.
const TRIES: u32 = 4;
/// The longest that all those pauses can be.
const PAUSES_MAX: Duration = PAUSE_FIRST.saturating_mul((1 << TRIES) - 1);
const _: () = assert!(
    PAUSES_MAX.as_millis() * 2 < ANSWER_WAIT.as_millis(),
    "whoever waits for an answer gets the true one"
);

/// What a device knows of what it reads.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// How far it reaches at least.
    pub least: Least,
    /// Whether the device itself stands in it: a server that says not to know it lacks that.
    pub itself: bool,
}

impl Seen {
    /// A reader who knows nothing, or asks what is there.
    pub const NOTHING: Self = Self::up_to(Least::NOTHING);

    /// A reader who knows how far it reaches, and nothing else.
    #[must_use]
    pub const fn up_to(least: Least) -> Self {
        Self { least, itself: false }
    }

    /// What a device knows of the log that it has verified.
    #[must_use]
    pub fn of(log: &VerifiedLog, device: &DeviceId) -> Self {
        let itself = log.device(device).is_some_and(|device| device.revoked.is_none());
        Self { least: Least(log.count()), itself }
    }

    /// Whether a refusal says that the server has not got so far.
    fn is_ahead_of(self, error: &TransportError) -> bool {
        match error.code() {
            Some(ErrorCode::Behind) => true,
            Some(ErrorCode::NotAuthenticated) => self.itself,
            Some(_) | None => false,
        }
    }
}

/// Whether a server is still given time, for one thing that is read there.
#[derive(Debug, Default)]
pub struct LagRetry {
    given_up: AtomicBool,
}

impl LagRetry {
    /// Reads, by a call that is made with what the server has to have.
    ///
    /// # Errors
    /// The call's. `behind` once it was said to the question without.
    pub async fn read<T, F, Fut>(&self, seen: Seen, mut call: F) -> Result<T, TransportError>
    where
        T: Reaches,
        F: FnMut(Least) -> Fut,
        Fut: Future<Output = Result<T, TransportError>>,
    {
        if seen.least == Least::NOTHING {
            return call(Least::NOTHING).await;
        }
        if !self.given_up.load(Ordering::Relaxed) {
            let mut pauses = Pauses::default();
            for _ in 0..TRIES {
                match call(seen.least).await {
                    Err(error) if seen.is_ahead_of(&error) => {}
                    done => return done,
                }
                tokio::time::sleep(pauses.next_own()).await;
            }
        }
        let answer = call(Least::NOTHING).await;
        let short = match &answer {
            Ok(answer) => !seen.least.is_reached_by(answer),
            Err(error) => seen.is_ahead_of(error) || self.given_up.load(Ordering::Relaxed),
        };
        self.given_up.store(short, Ordering::Relaxed);
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use parsec_protocol::ids::Timestamp;
    use parsec_protocol::relay::LogPage;
    use tokio::time::Instant;

    use super::*;

    const SEEN: Seen = Seen { least: Least(7), itself: true };

    fn refused(code: ErrorCode) -> Result<LogPage, TransportError> {
        let retry_after = u32::MAX;
        Err(TransportError::Refused {
            code,
            server_time: Timestamp(0),
            local_time: Timestamp(0),
            retry_after,
        })
    }

    fn page(count: u64) -> Result<LogPage, TransportError> {
        Ok(LogPage { count, certificates: Vec::new() })
    }

    /// Reads from a server that answers so; what came of it, what it was asked for, and how long it
    /// took.
    async fn read(
        lag: &LagRetry,
        seen: Seen,
        answers: impl Fn(usize, Least) -> Result<LogPage, TransportError>,
    ) -> (Result<LogPage, TransportError>, Vec<u64>, Duration) {
        let (asked, begun) = (RefCell::new(Vec::new()), Instant::now());
        let done = lag.read(seen, |least| {
            asked.borrow_mut().push(least.0);
            std::future::ready(answers(asked.borrow().len(), least))
        });
        let done = done.await;
        (done, asked.into_inner(), begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_catches_up_is_waited_for() {
        for code in [ErrorCode::Behind, ErrorCode::NotAuthenticated] {
            let late = |number, _| if number < 3 { refused(code) } else { page(8) };
            let (done, asked, took) = read(&LagRetry::default(), SEEN, late).await;
            assert_eq!((done, asked), (page(8), vec![7, 7, 7]));
            assert!(took >= PAUSE_FIRST && took < PAUSES_MAX, "{took:?}");
        }
    }

    /// A server that says `behind` to everything: the question without comes after a bounded time,
    /// and its answer stands.
    #[tokio::test(start_paused = true)]
    async fn whoever_says_behind_for_ever_is_asked_what_there_is() {
        let lag = LagRetry::default();
        let (done, asked, took) = read(&lag, SEEN, |_, _| refused(ErrorCode::Behind)).await;
        assert_eq!((done, asked), (refused(ErrorCode::Behind), vec![7, 7, 7, 7, 0]));
        assert!(took <= PAUSES_MAX, "however long it asks to wait: {took:?}");

        // It was given its time: from here on it is asked at once, and shows what it hides.
        let shorter = |_, least| if least == SEEN.least { refused(ErrorCode::Behind) } else { page(5) };
        for _ in 0..2 {
            let (done, asked, took) = read(&lag, SEEN, shorter).await;
            assert_eq!((done, asked, took), (page(5), vec![0], Duration::ZERO));
        }
        let (_, asked, _) = read(&lag, SEEN, |_, _| refused(ErrorCode::Unavailable)).await;
        assert_eq!(asked, [0], "what says nothing of it changes nothing");

        // Once it has caught up it may fall behind again.
        let (_, asked, _) = read(&lag, SEEN, |_, _| page(7)).await;
        assert_eq!(asked, [0]);
        let late = |number, _| if number < 2 { refused(ErrorCode::Behind) } else { page(7) };
        let (done, asked, _) = read(&lag, SEEN, late).await;
        assert_eq!((done, asked), (page(7), vec![7, 7]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_says_nothing_of_the_log_is_not_waited_for() {
        let stranger = Seen::up_to(Least(7));
        for (seen, code) in [
            (SEEN, ErrorCode::Unavailable),
            (SEEN, ErrorCode::Revoked),
            (stranger, ErrorCode::NotAuthenticated),
        ] {
            let (done, asked, took) = read(&LagRetry::default(), seen, |_, _| refused(code)).await;
            assert_eq!((done, asked, took), (refused(code), vec![7], Duration::ZERO));
        }
        // A server that does not heed it shows what it has.
        let (done, asked, took) = read(&LagRetry::default(), SEEN, |_, _| page(5)).await;
        assert_eq!((done, asked, took), (page(5), vec![7], Duration::ZERO));
        let nothing = read(&LagRetry::default(), Seen::NOTHING, |_, _| refused(ErrorCode::Behind)).await;
        assert_eq!((nothing.0, nothing.1), (refused(ErrorCode::Behind), vec![0]));
    }
}
