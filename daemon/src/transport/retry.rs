//! Trying again: after which pause, and when to give up.
//!
//! Decides that only failures that pass by themselves are tried again, with pauses that grow to a
//! bound and are spread at random, so that a thousand devices don't come back to a restarted
//! server in the same second.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;

use super::{HELD_BACK, TransportError, Trouble};

/// How long a person's program is kept waiting for a server that does not answer.
pub const ANSWER_WAIT: Duration = Duration::from_secs(8);

/// What the slowest line carries that is waited for, in bytes a second: the 300 kbit/s of a bad
/// mobile connection, as at the server.
const SLOW_BYTES_A_SECOND: usize = 37_500;

/// A call that carried contents and took longer has a slow line: there several at once would only
/// take turns, and each might last longer than anybody waits for one.
pub const BRISK: Duration = Duration::from_secs(2);

/// First pause: shorter than a person notices.
pub(super) const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// Longest pause: a server that is back is found again within this.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The pauses of one row of failures.
#[derive(Debug, Default)]
pub struct Pauses {
    failures: u32,
}

impl Pauses {
    /// The next pause: never below what the server asked, up to the longest.
    pub fn next_pause(&mut self, error: &TransportError) -> Duration {
        let own = self.next_own();
        let asked = match error {
            TransportError::Refused { retry_after, .. } => Duration::from_secs(u64::from(*retry_after)),
            TransportError::PlainHttp(_)
            | TransportError::Address(_)
            | TransportError::Setup(_)
            | TransportError::Unreachable(_)
            | TransportError::PeerUnreachable(_)
            | TransportError::PeerMisbehaved(_)
            | TransportError::Tls(_)
            | TransportError::NotServer(_)
            | TransportError::Misbehaved(_) => Duration::ZERO,
        };
        own.max(asked.min(PAUSE_MAX))
    }

    /// The next pause, whatever the server asks: doubled each time, then half of it fixed and half
    /// random.
    pub fn next_own(&mut self) -> Duration {
        let full =
            PAUSE_FIRST.saturating_mul(1_u32.checked_shl(self.failures.min(16)).unwrap_or(1)).min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        let mut byte = [0; 1];
        // Without randomness the pause is merely not spread.
        let spread = getrandom::fill(&mut byte).map_or(0, |()| u32::from(byte[0]));
        full / 2 + (full / 2).saturating_mul(spread) / 256
    }

    /// Whether the last try failed too.
    #[must_use]
    pub const fn failed_before(&self) -> bool {
        self.failures > 0
    }

    /// Notes that a try has worked: the next pause is the shortest again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Carries `call` out until it works or fails for good. Says in `trouble` what is being tried
/// again.
pub async fn until_done<T, F, Fut>(trouble: &Trouble, call: F) -> Result<T, TransportError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, TransportError>>,
{
    tried(trouble, Duration::MAX, call).await.unwrap_or_else(Err)
}

/// The same, but without an answer for no more pauses than `limit` together: time in which nothing
/// was under way. The outer error is what failed last where they are used up.
async fn tried<T, F, Fut>(
    trouble: &Trouble,
    limit: Duration,
    mut call: F,
) -> Result<Result<T, TransportError>, TransportError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, TransportError>>,
{
    let mut pauses = Pauses::default();
    let mut left = limit;
    loop {
        match call().await {
            Err(error) if error.passes() => {
                let pause = pauses.next_pause(&error);
                // A server that answers says itself how long to wait.
                if !matches!(error, TransportError::Refused { .. }) {
                    let Some(rest) = left.checked_sub(pause) else { return Err(error) };
                    left = rest;
                }
                trouble.send_replace(Some(format!("{error}; trying again")));
                tokio::time::sleep(pause).await;
            }
            done => {
                // That a stream is held back stands, whatever call goes well beside it.
                trouble.send_if_modified(|now| now.take_if(|now| now.as_str() != HELD_BACK).is_some());
                return Ok(done);
            }
        }
    }
}

/// The same for as long as a person waits. Where that is over, the outer error is what failed last:
/// it says more than that time passed.
///
/// # Errors
/// As said; within, [`until_done`]'s.
pub async fn within<T, F, Fut>(limit: Duration, call: F) -> Result<Result<T, TransportError>, TransportError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, TransportError>>,
{
    limited(Limits { all: limit, pauses: limit }, call).await
}

/// How long something is tried.
#[derive(Clone, Copy)]
struct Limits {
    all: Duration,
    /// Of that, in pauses between tries that met no answer.
    pauses: Duration,
}

async fn limited<T, F, Fut>(limits: Limits, mut call: F) -> Result<Result<T, TransportError>, TransportError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, TransportError>>,
{
    let last = watch::Sender::new(None);
    let noted = || {
        let called = call();
        async {
            let done = called.await;
            if let Err(error) = &done {
                last.send_replace(Some(error.clone()));
            }
            done
        }
    };
    match tokio::time::timeout(limits.all, tried(&Trouble::new(None), limits.pauses, noted)).await {
        Ok(done) => done,
        Err(_) => {
            Err(last.borrow().clone().unwrap_or_else(|| TransportError::Unreachable("no answer".to_owned())))
        }
    }
}

/// The same for as long as a person's program waits, for whom a wait without an answer is the last
/// failure like any other.
///
/// # Errors
/// The call's, or what failed last.
pub async fn answered<T, F, Fut>(call: F) -> Result<T, TransportError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, TransportError>>,
{
    within(ANSWER_WAIT, call).await.unwrap_or_else(Err)
}

/// The same for a call that carries this many bytes of contents: on a slow line they are longer
/// under way than an answer may take, and each try would end where the one before it did.
///
/// # Errors
/// The call's, or what failed last.
pub async fn carried<T, F, Fut>(bytes: usize, call: F) -> Result<T, TransportError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, TransportError>>,
{
    // A server that refuses at once has carried nothing: for that, nobody waits longer.
    let under_way = Duration::from_secs((bytes / SLOW_BYTES_A_SECOND) as u64);
    let limits = Limits { all: ANSWER_WAIT.saturating_add(under_way), pauses: ANSWER_WAIT };
    limited(limits, call).await.unwrap_or_else(Err)
}

#[cfg(test)]
mod tests {
    use parsec_protocol::ids::Timestamp;
    use parsec_protocol::relay::ErrorCode;

    use super::*;

    #[tokio::test]
    async fn only_what_passes_is_tried_again() {
        let trouble = Trouble::new(None);
        let mut left = 2;
        let answer = until_done(&trouble, || {
            left -= 1;
            let result = if left > 0 { Err(TransportError::Unreachable("gone".into())) } else { Ok(7) };
            async move { result }
        });
        assert_eq!(answer.await, Ok(7));
        assert_eq!(*trouble.borrow(), None);
        let mut calls = 0;
        let answer: Result<(), _> = until_done(&trouble, || {
            calls += 1;
            async { Err(TransportError::Misbehaved("x")) }
        })
        .await;
        assert_eq!((answer, calls), (Err(TransportError::Misbehaved("x")), 1));
    }

    #[tokio::test]
    async fn what_failed_last_is_told_when_time_is_up() {
        let foreign = TransportError::NotServer(super::super::answer::Foreign {
            status: 403,
            media: None,
            points_to: None,
        });
        let late = within::<(), _, _>(Duration::from_millis(1), || async { Err(foreign.clone()) }).await;
        assert_eq!(late, Err(foreign));
        let silent = within::<(), _, _>(Duration::from_millis(1), std::future::pending).await;
        assert!(matches!(silent, Err(TransportError::Unreachable(_))), "{silent:?}");
        assert_eq!(within(Duration::from_secs(60), || async { Ok(7) }).await, Ok(Ok(7)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_lines_allowance_is_not_waited_for_where_nothing_is_carried() {
        let begun = tokio::time::Instant::now();
        let gone = || async { Err::<(), _>(TransportError::Unreachable("gone".into())) };
        assert!(carried(1 << 20, gone).await.is_err());
        assert!(begun.elapsed() <= ANSWER_WAIT, "{:?}", begun.elapsed());
        // Bytes that are under way have their time, and a server that asks to wait gets it.
        let begun = tokio::time::Instant::now();
        let slow = || async {
            let _ = tokio::time::timeout(Duration::from_secs(30), std::future::pending::<()>()).await;
            Ok(7)
        };
        assert_eq!(carried(1 << 20, slow).await, Ok(7));
        assert_eq!(begun.elapsed(), Duration::from_secs(30));
        let mut left = 2;
        let busy = || {
            left -= 1;
            let refused = TransportError::Refused {
                code: ErrorCode::RateLimited,
                server_time: Timestamp(0),
                local_time: Timestamp(0),
                retry_after: 10,
            };
            let answer = if left > 0 { Err(refused) } else { Ok(7) };
            async move { answer }
        };
        assert_eq!(carried(1 << 20, busy).await, Ok(7));
    }

    #[test]
    fn pauses_grow_to_their_bound() {
        let mut pauses = Pauses::default();
        let gone = TransportError::Unreachable(String::new());
        let first = pauses.next_pause(&gone);
        assert!(first >= PAUSE_FIRST / 2 && first <= PAUSE_FIRST);
        for _ in 0..40 {
            assert!(pauses.next_pause(&gone) <= PAUSE_MAX);
        }
        assert!(pauses.next_pause(&gone) >= PAUSE_MAX / 2);
    }
}
