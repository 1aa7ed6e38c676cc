//! An event stream that something on the way holds back: a proxy that collects an answer before it
//! hands it on.
//!
//! Decides after which time without the first event a stream is taken for held back, and how an
//! attempt is followed then: by asking. Asks only there: a stream that speaks is told everything.
//! Refuses to call a server that is away a proxy: if asking fails, too, that failure stands.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use minicbor::{Decode, Encode};
use parsec_protocol::codec;

use super::super::http::{Call, Server};
use super::super::{HELD_BACK, TransportError, Trouble};

/// How long the first event may take, which a server sends at once: a slow connection is made in a
/// second or two.
pub(super) const FIRST_EVENT: Duration = Duration::from_secs(5);
/// Between two questions. A ceremony has four messages each way, and its people talk meanwhile; the
/// server counts each question.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(3);

/// Runs a stream; nothing, if it has not brought its first event in time. `came` is set by whoever
/// takes events.
pub(super) async fn in_time<F: Future>(stream: F, came: &AtomicBool) -> Option<F::Output> {
    tokio::pin!(stream);
    tokio::select! {
        biased;
        done = &mut stream => return Some(done),
        () = tokio::time::sleep(FIRST_EVENT) => {}
    }
    if came.load(Ordering::Relaxed) { Some(stream.await) } else { None }
}

/// Asks for the state again and again, with this pause, and hands on each that is new, until one is
/// the last (`seen` says so) or asking fails. Says in `trouble`, if given, that the stream is held
/// back.
pub(super) async fn ask<T>(
    server: &Server,
    trouble: Option<&Trouble>,
    pause: Duration,
    open: impl Fn() -> Result<Call, TransportError>,
    mut seen: impl FnMut(T) -> bool,
) -> Result<(), TransportError>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    let mut last = None;
    loop {
        let asked = match open() {
            Ok(call) => server.ask::<T>(call).await,
            Err(error) => Err(error),
        };
        let view = match asked {
            Ok(view) => view,
            Err(error) => return Err(error),
        };
        if let Some(trouble) = trouble {
            trouble.send_if_modified(|now| {
                let news = now.as_deref() != Some(HELD_BACK);
                *now = Some(HELD_BACK.to_owned());
                news
            });
        }
        let encoded = codec::encode(&view);
        if last.as_ref() != Some(&encoded) {
            last = Some(encoded);
            if seen(view) {
                return Ok(());
            }
        }
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_stream_that_never_spoke_is_given_up() {
        let came = AtomicBool::new(false);
        let begun = tokio::time::Instant::now();
        assert_eq!(in_time(std::future::pending::<()>(), &came).await, None);
        assert_eq!(begun.elapsed(), FIRST_EVENT);
        assert_eq!(in_time(std::future::ready(7), &came).await, Some(7));
        let speaks = async {
            came.store(true, Ordering::Relaxed);
            tokio::time::advance(100 * FIRST_EVENT).await;
        };
        assert_eq!(in_time(speaks, &came).await, Some(()));
    }
}
