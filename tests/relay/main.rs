//! A circuit relay (version 2) for tests: what somebody runs on a machine that two networks can
//! reach.
//!
//! Decides nothing: it is libp2p's own, with libp2p's own limits. Says at which addresses it is in
//! the words of a link.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a program of the tests: what goes wrong must end it, loudly"
)]

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Parser as _;
use futures_util::StreamExt as _;
use libp2p::identity::Keypair;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, SwarmBuilder, autonat, identify, noise, ping, relay, tcp, yamux};

/// What it takes.
#[derive(clap::Parser)]
struct Options {
    /// Where it listens, for QUIC and for TCP.
    #[arg(long)]
    address: IpAddr,
    /// At which port.
    #[arg(long)]
    port: u16,
    /// Seconds after which it cuts a circuit.
    #[arg(long)]
    circuit_seconds: Option<u64>,
    /// Gets its two addresses, a line each, once it listens.
    #[arg(long)]
    ready_file: PathBuf,
    /// One byte that its identity is made of, so that it is the same after a restart.
    #[arg(long, default_value_t = 7)]
    identity: u8,
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    relay: relay::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    reach: autonat::v2::server::Behaviour,
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let keypair = Keypair::ed25519_from_bytes([options.identity; 32]).expect("32 bytes");
    let peer = keypair.public().to_peer_id();
    let mut config = relay::Config::default();
    if let Some(seconds) = options.circuit_seconds {
        config.max_circuit_duration = std::time::Duration::from_secs(seconds);
    }
    let mut swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .expect("TCP")
        .with_quic()
        .with_behaviour(|key| Behaviour {
            relay: relay::Behaviour::new(peer, config),
            identify: identify::Behaviour::new(identify::Config::new("relay/1".to_owned(), key.public())),
            ping: ping::Behaviour::default(),
            reach: autonat::v2::server::Behaviour::default(),
        })
        .expect("a behaviour")
        .build();
    let family = if options.address.is_ipv4() { "ip4" } else { "ip6" };
    let (address, port) = (options.address, options.port);
    let quic = format!("/{family}/{address}/udp/{port}/quic-v1");
    let tcp = format!("/{family}/{address}/tcp/{port}");
    for at in [&quic, &tcp] {
        let at: Multiaddr = at.parse().expect("an address");
        swarm.listen_on(at.clone()).expect("a free port");
        swarm.add_external_address(at);
    }
    let mut listening = 0;
    loop {
        let event = swarm.select_next_some().await;
        match &event {
            SwarmEvent::NewListenAddr { .. } => listening += 1,
            SwarmEvent::ListenerClosed { reason: Err(error), .. } => {
                say(&format!("a listener ended: {error}"));
                return;
            }
            event => say(&format!("{event:?}")),
        }
        if listening == 2 {
            listening = 0;
            std::fs::write(&options.ready_file, format!("{quic}/p2p/{peer}\n{tcp}/p2p/{peer}\n"))
                .expect("a file");
        }
    }
}

/// To the log of the test.
fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}
