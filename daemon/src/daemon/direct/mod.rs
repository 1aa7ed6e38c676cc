//! The direct road, as the daemon takes it: invitations that name this terminal, greetings and claims without a server, and what becomes
//! of them afterwards.
//!
//! Decides when it is taken and what is durable on the way. Everything that knows libp2p is below `transport/p2p`; this is the
//! part between it and the store. A daemon built without the feature has `absent` in its place.

#[cfg(not(feature = "p2p"))]
mod absent;
#[cfg(feature = "p2p")]
mod claiming;
#[cfg(feature = "p2p")]
mod clerk;
#[cfg(feature = "p2p")]
mod greeting;
#[cfg(feature = "p2p")]
mod receipt;
#[cfg(feature = "p2p")]
mod relays;
#[cfg(feature = "p2p")]
mod row;
#[cfg(feature = "p2p")]
mod shown;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::direct::HintsError;

#[cfg(not(feature = "p2p"))]
pub use absent::*;
#[cfg(feature = "p2p")]
pub use {
    claiming::{abandon, claim, ping_peer},
    clerk::Hosts,
    greeting::{Arrived, Meeting, cancelled, greet},
    receipt::follow,
    relays::hints,
    row::finish,
};

/// Whether the direct road is built in.
pub const BUILT_IN: bool = cfg!(feature = "p2p");

/// Why a link can't be used directly, for a person.
#[must_use]
pub fn no_hints(error: HintsError) -> Problem {
    Problem::new(ProblemKind::TransportRefused, format!("{}.", capital(&error.to_string())))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
