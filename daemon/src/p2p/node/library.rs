//! How the library is set up: transports, protocols, and a bound for everything that strangers can
//! ask for.
//!
//! Decides nothing about who may ask; that is `driver`'s and the host's. Says nothing that tells
//! one installation from another.

use std::num::NonZeroU8;
use std::time::Duration;

use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{
    Swarm, SwarmBuilder, autonat, connection_limits, dcutr, identify, mdns, noise, ping, relay, tcp, yamux,
};
use parsec_protocol::keys::PeerSecret;
use parsec_protocol::limits::BODY_MAX_BYTES;

use super::dial_policy::DialPolicy;
use super::{NodeError, setup};

/// Connections that strangers may have open here, and as many again while they shake hands: one
/// claimer needs one or two. Times [`STREAMS_MAX`] and what a stream may hold unread (256 KiB) they
/// are 64 MiB.
const INCOMING_MAX: u32 = 16;
/// Of them by one peer: one directly, one by way of a relay, and one that replaces a dead one.
const INCOMING_PER_PEER_MAX: u32 = 3;
/// Connections opened from here: to the one peer and the relays, on each address twice.
const OUTGOING_MAX: u32 = 32;
/// Streams on a connection: a claimer has two, one of them the one that it follows.
const STREAMS_MAX: usize = 16;
/// Addresses dialled at once.
const DIALS_AT_ONCE: NonZeroU8 = NonZeroU8::MIN.saturating_add(7);
/// A connection without streams is closed after this time.
const IDLE: Duration = Duration::from_secs(60);
/// How often a connection is tried, and how long it may be silent: half a minute without the other
/// side is a broken transport.
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_WAIT: Duration = Duration::from_secs(10);
/// How often the local network is asked at most; answers come at once, so this is for questions
/// that got lost.
const MDNS_EVERY: Duration = Duration::from_secs(5);
/// How long what was announced there is remembered: hardly longer than the node lives.
const MDNS_TTL: Duration = Duration::from_secs(60);

#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) dial_policy: DialPolicy,
    pub(super) limits: connection_limits::Behaviour,
    pub(super) streams: libp2p_stream::Behaviour,
    ping: ping::Behaviour,
    identify: identify::Behaviour,
    pub(super) mdns: Toggle<mdns::tokio::Behaviour>,
    pub(super) mdns_6: Toggle<mdns::tokio::Behaviour>,
    relay: relay::client::Behaviour,
    punch: Toggle<dcutr::Behaviour>,
    reach: Toggle<autonat::v2::client::Behaviour>,
}

/// A node of this identity; `relayed` where relays are involved.
pub(super) fn swarm(secret: &PeerSecret, relayed: bool) -> Result<Swarm<Behaviour>, NodeError> {
    let mut seed = zeroize::Zeroizing::new(*secret.expose());
    let keypair = Keypair::ed25519_from_bytes(seed.as_mut_slice()).map_err(setup)?;
    let local = keypair.public().to_peer_id();
    let muxer = || {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(STREAMS_MAX);
        config
    };
    // An answer of the largest size, and another beside it.
    let window = u32::try_from(BODY_MAX_BYTES).unwrap_or(u32::MAX);
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(INCOMING_MAX))
        .with_max_established_incoming(Some(INCOMING_MAX))
        .with_max_pending_outgoing(Some(OUTGOING_MAX))
        .with_max_established_outgoing(Some(OUTGOING_MAX))
        .with_max_established_per_peer(Some(INCOMING_PER_PEER_MAX));
    let multicast = |enable_ipv6| {
        let config = mdns::Config { ttl: MDNS_TTL, query_interval: MDNS_EVERY, enable_ipv6 };
        // Where interfaces can't be watched (a sandbox), the addresses of the link are all there
        // is.
        Toggle::from(mdns::tokio::Behaviour::new(config, local).ok())
    };
    let built = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, muxer)
        .map_err(setup)?
        .with_quic_config(|mut config| {
            config.max_concurrent_stream_limit = u32::try_from(STREAMS_MAX).unwrap_or(u32::MAX);
            config.max_stream_data = window;
            config.max_connection_data = window.saturating_mul(2);
            config
        })
        .with_relay_client(noise::Config::new, muxer)
        .map_err(setup)?
        .with_behaviour(|key, relay| Behaviour {
            dial_policy: DialPolicy::default(),
            limits: connection_limits::Behaviour::new(limits),
            streams: libp2p_stream::Behaviour::new(),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_EVERY).with_timeout(PING_WAIT)),
            // Says nothing that would tell one installation from another.
            identify: identify::Behaviour::new(
                identify::Config::new("parsec/1".to_owned(), key.public())
                    .with_agent_version("parsec".to_owned())
                    .with_hide_listen_addrs(true),
            ),
            mdns: multicast(false),
            mdns_6: multicast(true),
            relay,
            punch: Toggle::from(relayed.then(|| dcutr::Behaviour::new(local))),
            reach: Toggle::from(relayed.then(autonat::v2::client::Behaviour::default)),
        })
        .map_err(setup)?
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(IDLE)
                .with_dial_concurrency_factor(DIALS_AT_ONCE)
                .with_max_negotiating_inbound_streams(STREAMS_MAX)
        })
        .build();
    Ok(built)
}
