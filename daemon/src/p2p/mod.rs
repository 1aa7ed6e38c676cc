//! The peer-to-peer transport: two daemons meet by libp2p, without a server (docs/protocol.md,
//! *Peer to peer*).
//!
//! The greeter's daemon is the host: it keeps the state of the attempt (`attempt`), answers
//! questions about it (`host`), and its own side uses the same state without a network
//! (`HostTransport`). The claimer's is the guest (`guest`). By `lan` devices of one safe meet.
//! `node` is the one folder that names libp2p. Nothing here knows a store: what must be durable
//! goes through a [`HostStore`].

mod attempt;
mod frames;
mod guest;
mod host;
mod lan;
mod node;
#[cfg(test)]
mod tests;

pub use attempt::Attempts;
pub use guest::{Guest, GuestTransport, Met, ping};
pub use host::{Host, HostStore, HostTransport, Invitation};
pub use lan::{Knocks, Lan, Talk, TalkError};
pub use node::{Link, NodeError, Peer, Status, peer_id};
