//! A greeter's own count of attempts and wrong codes for an invitation.
//!
//! Decides that this device counts, too: a server that is against its members would let an
//! invitation be tried for ever.

use parsec_protocol::control::Problem;
use parsec_protocol::ids::Token;
use parsec_protocol::relay::EndReason;

use super::End;
use crate::session::device::Device;
use crate::store::{Store, Tally};

/// Attempts of an invitation that this device has taken part in.
///
/// # Errors
/// The store's.
pub(super) async fn attempts(device: &Device, token: Token) -> Result<u64, Problem> {
    let invitation = device.store(move |store| store.invitation(token)).await?;
    Ok(invitation.map_or(0, |invitation| u64::from(invitation.tally.attempts)))
}

/// Counts a wrong code, on whichever side it was chosen.
pub(super) async fn note_end(device: &Device, token: Token, end: &End) {
    if matches!(end.reason(), Some(EndReason::CodeMismatch))
        || matches!(end, End::Peer(EndReason::CodeMismatch))
    {
        let count = move |store: &Store| store.count(token, Tally { attempts: 0, mismatches: 1 });
        if let Err(problem) = device.store(count).await {
            tracing::error!(%problem, "a wrong code could not be counted");
        }
    }
}
