//! How this machine reaches its servers and, without them, other terminals directly.
//!
//! Decides what a person may ask for (which road a ceremony takes) and what they can see of the network. Addresses are in
//! it, so none of it is for plug-ins.

use serde::{Deserialize, Serialize};

use super::ceremony::CeremonyId;
use super::problem::Problem;
use super::secret::SecretText;
use crate::ids::{OrganisationId, Timestamp, Token};

/// Which road a ceremony may take. Since API 1.2.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TransportChoice {
    /// The server's; directly where the server can't be reached. Decided before an attempt starts, and shown.
    #[default]
    Auto,
    /// Over the server, never directly.
    Server,
    /// Directly; the server is never asked.
    P2p,
}

/// The road that a ceremony has taken. Since API 1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RoadName {
    /// Over the metadata server.
    Server,
    /// Directly from terminal to terminal.
    P2p,
    /// A road that a newer daemon has. Never sent.
    #[serde(other)]
    Unknown,
}

/// What a terminal listens for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ListeningFor {
    /// The newcomer of an invitation.
    Greeting,
    /// The receipt of a newcomer who holds the keys already.
    Receipt,
    /// Something that a newer daemon listens for. Never sent.
    #[serde(other)]
    Unknown,
}

/// What carries a connection between two terminals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// QUIC, over UDP.
    Quic,
    /// TCP.
    Tcp,
    /// A relay that both reach.
    Relay,
    /// Something that a newer daemon uses. Never sent.
    #[serde(other)]
    Unknown,
}

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The other terminal.
    In,
    /// This one.
    Out,
}

/// How a server was found when it was asked last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServerReach {
    /// Whose.
    pub organisation: OrganisationId,
    /// Its address.
    pub server: String,
    /// Whether it answered; absent if it has not been asked since the daemon started.
    pub reachable: Option<bool>,
    /// Why it did not.
    pub problem: Option<Problem>,
    /// Since when it has been so.
    pub since: Option<Timestamp>,
}

/// One place where this machine waits for another terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Listening {
    /// Where.
    pub organisation: OrganisationId,
    /// For which invitation.
    pub token: Token,
    /// Made for this invitation and thrown away after it: it says nothing about who this is.
    pub peer: String,
    /// Addresses at which it can be reached.
    pub addresses: Vec<String>,
    /// Relays through which it can be reached.
    pub relays: Vec<String>,
    /// Whether terminals on the same network are told.
    pub mdns: bool,
    /// What for.
    pub purpose: ListeningFor,
}

/// `net.status`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NetStatus {
    /// Whether the direct road is there: built in, and not switched off.
    pub p2p: bool,
    /// The servers of this machine's devices.
    pub servers: Vec<ServerReach>,
    /// Where this machine waits for others.
    pub listening: Vec<Listening>,
    /// The relays of its configuration.
    pub relays: Vec<String>,
    /// Enrolments that unlocked devices have signed and that wait for the newcomer or the server.
    pub waiting: u32,
    /// Devices of this machine that are not in their organisation's log yet.
    pub pending: u32,
}

/// A connection with another terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PeerView {
    /// For which invitation; absent before the other side has said.
    pub token: Option<Token>,
    /// For which ceremony.
    pub ceremony: Option<CeremonyId>,
    /// The other side's name on this road, made for the invitation.
    pub peer: String,
    /// Its address, as seen from here.
    pub address: String,
    /// Who opened the connection.
    pub direction: Direction,
    /// What carries it.
    pub road: Carrier,
    /// Whether the other side has shown that it holds the same link.
    pub proven: bool,
    /// Since when.
    pub since: Timestamp,
}

/// `net.peers`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NetPeers {
    /// Oldest first.
    pub peers: Vec<PeerView>,
}

/// `net.ping`
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NetPing {
    /// Tries the server and the terminal that this link leads to. Absent: the servers of this machine's devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<SecretText>,
}

/// How one try went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PingResult {
    /// Whether there was an answer.
    pub reached: bool,
    /// How long the answer took, connecting included.
    pub micros: Option<u64>,
    /// What carried it, where it went directly.
    pub road: Option<Carrier>,
    /// Why there was none.
    pub problem: Option<Problem>,
}

/// A server that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServerPing {
    /// Its address.
    pub server: String,
    /// How it went.
    pub ping: PingResult,
}

/// `net.ping`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NetPinged {
    /// Each server once, in the order of their addresses.
    pub servers: Vec<ServerPing>,
    /// The terminal that the link leads to; absent without a link.
    pub p2p: Option<PingResult>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_daemon_has_is_something_else_and_what_a_person_asks_is_not_guessed() {
        assert_eq!(serde_json::from_str::<RoadName>("\"pigeon\"").unwrap(), RoadName::Unknown);
        assert_eq!(serde_json::from_str::<Carrier>("\"pigeon\"").unwrap(), Carrier::Unknown);
        assert_eq!(serde_json::from_str::<ListeningFor>("\"weather\"").unwrap(), ListeningFor::Unknown);
        assert!(serde_json::from_str::<TransportChoice>("\"pigeon\"").is_err());
        assert_eq!(TransportChoice::default(), TransportChoice::Auto);
    }
}
