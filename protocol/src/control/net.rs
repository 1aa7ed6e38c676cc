//! How this machine reaches its servers and, without them, other devices directly.
//!
//! Decides what a person may ask for (which transport a ceremony takes) and what they can see of
//! the network. Addresses are in it, so none of it is for plug-ins.

use serde::{Deserialize, Serialize};

use super::ceremony::CeremonyId;
use super::problem::Problem;
use super::secret::SecretText;
use crate::ids::{DeviceId, OrganisationId, Timestamp, Token};

/// Which transport a ceremony may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TransportChoice {
    /// The server's; directly where the server can't be reached. Decided before an attempt starts,
    /// and shown.
    #[default]
    Auto,
    /// Over the server, never directly.
    Server,
    /// Directly; the server is never asked.
    P2p,
}

/// The transport that a ceremony has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TransportName {
    /// Over the metadata server.
    Server,
    /// Directly from device to device.
    P2p,
    /// A transport that a newer daemon has. Never sent.
    #[serde(other)]
    Unknown,
}

/// What a device listens for.
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

/// What carries a connection between two devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// QUIC version 1, over UDP.
    Quic,
    /// TCP with Noise and yamux.
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
    /// The other device opened the connection.
    In,
    /// This device opened the connection.
    Out,
}

/// How a server was found when it was asked last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServerReach {
    /// The organisation that the server keeps.
    pub organisation: OrganisationId,
    /// Address of the metadata server, as a URL.
    pub server: String,
    /// Whether it answered; absent if it has not been asked since the daemon started.
    pub reachable: Option<bool>,
    /// Why it did not.
    pub problem: Option<Problem>,
    /// Since when it has been so.
    pub since: Option<Timestamp>,
}

/// One place where this machine waits for another device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Listening {
    /// The organisation of the invitation.
    pub organisation: OrganisationId,
    /// Token of the invitation that is waited for.
    pub token: Token,
    /// Made for this invitation and thrown away after it: it says nothing about who this is.
    pub peer: String,
    /// Addresses at which it can be reached.
    pub addresses: Vec<String>,
    /// Relays through which it can be reached.
    pub relays: Vec<String>,
    /// Whether devices on the same network are told.
    pub mdns: bool,
    /// Whether a claimer or a receipt is waited for.
    pub purpose: ListeningFor,
}

/// Where an unlocked device meets others of its safes directly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DirectNode {
    /// The device of this machine.
    pub device: DeviceId,
    /// Drawn when the device was unlocked: it says nothing about who this is.
    pub peer: String,
    /// Addresses at which it listens.
    pub addresses: Vec<String>,
    /// Whether devices on the same network are told.
    pub mdns: bool,
}

/// Result of `net.status`: servers, and where this machine waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NetStatus {
    /// Whether the peer-to-peer transport is there: built in, and not switched off.
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
    /// Where unlocked devices meet others of their safes on the local network; none where that is
    /// switched off.
    #[serde(default)]
    pub direct: Vec<DirectNode>,
}

/// A connection with another device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PeerView {
    /// Token of the invitation; absent before the other side has named it.
    pub token: Option<Token>,
    /// Number of the ceremony; absent where it belongs to none.
    pub ceremony: Option<CeremonyId>,
    /// Peer id of the other side, made for the invitation.
    pub peer: String,
    /// Address of the other side, as seen from here.
    pub address: String,
    /// Who opened the connection.
    pub direction: Direction,
    /// The transport protocol under the connection.
    pub carrier: Carrier,
    /// Whether the other side has shown that it holds the same link.
    pub proven: bool,
    /// When the connection was opened.
    pub since: Timestamp,
}

/// Result of `net.peers`: open connections with other devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NetPeers {
    /// Open connections, oldest first.
    pub peers: Vec<PeerView>,
}

/// Parameters of `net.ping`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NetPing {
    /// Tries the server and the device that this link leads to. Absent: the servers of this
    /// machine's devices.
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
    pub carrier: Option<Carrier>,
    /// Why there was none.
    pub problem: Option<Problem>,
}

/// A server that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServerPing {
    /// Address of the metadata server, as a URL.
    pub server: String,
    /// Answer of the server, or why there was none.
    pub ping: PingResult,
}

/// Result of `net.ping`: what could be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NetPinged {
    /// Each server once, in the order of their addresses.
    pub servers: Vec<ServerPing>,
    /// The device that the link leads to; absent without a link.
    pub p2p: Option<PingResult>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_daemon_has_is_something_else_and_what_a_person_asks_is_not_guessed() {
        assert_eq!(serde_json::from_str::<TransportName>("\"pigeon\"").unwrap(), TransportName::Unknown);
        assert_eq!(serde_json::from_str::<Carrier>("\"pigeon\"").unwrap(), Carrier::Unknown);
        assert_eq!(serde_json::from_str::<ListeningFor>("\"weather\"").unwrap(), ListeningFor::Unknown);
        assert!(serde_json::from_str::<TransportChoice>("\"pigeon\"").is_err());
        assert_eq!(TransportChoice::default(), TransportChoice::Auto);
    }
}
