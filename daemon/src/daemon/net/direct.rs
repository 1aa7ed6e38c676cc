//! The direct road, as far as `net.ping` needs it: reaching the terminal that a link leads to, without an attempt.
//!
//! Decides whether there is such a road in this daemon. There is none yet.

use std::time::Duration;

use parsec_protocol::control::{Carrier, Problem};
use parsec_protocol::enrol::link::Link;

use super::{Net, unavailable};

/// Whether the direct road is built in.
pub const BUILT_IN: bool = false;

/// Reaches the terminal that a link leads to: what carried the answer, and how long it took. No attempt is started.
///
/// `net.ping` ends it after a few seconds.
///
/// # Errors
/// `transport_unavailable`, `transport_refused` for a link without addresses, `peer_unreachable`.
pub async fn ping_peer(_net: &Net, _link: &Link) -> Result<(Carrier, Duration), Problem> {
    Err(unavailable())
}
