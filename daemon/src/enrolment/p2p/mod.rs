//! Enrolments without a server: invitations that name this device, greetings and claims peer to
//! peer, and what becomes of them afterwards.
//!
//! Decides what is durable on the way. Everything that knows libp2p is below `p2p`; this is the
//! part between it and the store. A daemon built without the feature has `disabled` in its place.

#[cfg(feature = "p2p")]
mod claim;
#[cfg(not(feature = "p2p"))]
mod disabled;
#[cfg(feature = "p2p")]
mod greet;
#[cfg(feature = "p2p")]
mod host;
#[cfg(feature = "p2p")]
mod publish;
#[cfg(feature = "p2p")]
mod receipt;
#[cfg(feature = "p2p")]
mod relays;
#[cfg(feature = "p2p")]
mod status;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::p2p::HintsError;

#[cfg(feature = "p2p")]
pub use self::{
    claim::{abandon, claim, ping_peer},
    greet::{Arrived, Meeting, cancelled, greet},
    publish::finish,
    receipt::follow,
    relays::hints,
};
#[cfg(not(feature = "p2p"))]
pub use disabled::*;

/// Why a link can't be used directly, for a person.
#[must_use]
pub fn no_hints(error: HintsError) -> Problem {
    Problem::new(ProblemKind::TransportRefused, format!("{}.", capital(&error.to_string())))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
