//! A run that the relay has lost is opened again for message 8 alone (docs/protocol.md, *After a
//! crash*).
//!
//! Decides what counts as lost, and who says what then: steps 0 to 7 have been said, so each is one
//! byte for the relay to count, which no machine takes for a message. Nothing is believed for it:
//! message 8 proves itself, and the greeter's device joins no run but one that it has signed for.

use parsec_protocol::relay::attempt::{RECEIPT_STEP, Side};
use parsec_protocol::relay::{AttemptView, ErrorCode};
use tokio::sync::watch;

use crate::transport::relay::{ClaimerTransport, GreeterTransport};
use crate::transport::{Transport as _, TransportError};

/// What stands in a step that was said before the relay lost it: no machine's message is so short.
const SAID: &[u8] = &[0];

/// Opens the run again as its claimer, and deposits message 8 once the greeter's device has joined.
/// Ends, too, where somebody says that the run is over.
///
/// # Errors
/// [`TransportError`]: what the relay says instead.
pub async fn claim(transport: &ClaimerTransport, message: &[u8]) -> Result<(), TransportError> {
    transport.start().await?;
    let (tell, mut seen) = watch::channel(None);
    let follow = transport.follow(tell);
    tokio::pin!(follow);
    loop {
        let view = tokio::select! {
            error = &mut follow => return Err(error),
            Ok(()) = seen.changed() => match seen.borrow_and_update().clone() {
                Some(view) => view,
                None => continue,
            },
        };
        if view.ended.is_some() {
            return Ok(());
        }
        match view.missing() {
            RECEIPT_STEP.. => return transport.deposit(RECEIPT_STEP, message.to_vec()).await,
            step if Side::depositing(step) == Side::Claimer && view.greeter.is_some() => {
                transport.deposit(step, SAID.to_vec()).await?
            }
            _ => {}
        }
    }
}

/// Goes on with a run as its greeter, if the claimer has opened it again; whether that is so.
///
/// # Errors
/// [`TransportError`].
pub async fn greet(transport: &GreeterTransport, view: &AttemptView) -> Result<bool, TransportError> {
    match go_on(transport, view).await {
        // What was seen is not so any more: the relay has lost the run in between. The next view
        // says how it is.
        Err(error) if is_past(&error) => Ok(true),
        done => done,
    }
}

async fn go_on(transport: &GreeterTransport, view: &AttemptView) -> Result<bool, TransportError> {
    if view.greeter.is_none() {
        transport.join().await?;
        return Ok(true);
    }
    match view.missing() {
        // Whichever it is: message 8 is all that can be missing.
        RECEIPT_STEP.. => return Ok(true),
        0 => {}
        next => {
            // Step 0 is the claimer's first: what stands there tells a run that was opened again
            // from one that was never lost.
            if transport.fetch(0).await? != SAID {
                return Ok(false);
            }
            if Side::depositing(next) == Side::Greeter {
                transport.deposit(next, SAID.to_vec()).await?;
            }
        }
    }
    Ok(true)
}

/// Whether a refusal says no more than that the run is at another place than it was.
fn is_past(error: &TransportError) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::AttemptUnknown | ErrorCode::StepRefused | ErrorCode::StepConflict | ErrorCode::NotYet
        )
    )
}
