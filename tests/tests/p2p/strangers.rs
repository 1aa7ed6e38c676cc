//! Strangers at the greeter's end of the peer-to-peer transport, who speak libp2p as well as we do
//! and mean no good: floods of connections and streams, frames that promise or carry rubbish, slow
//! senders, bloated introductions, stolen proofs, and one in the greeter's place.
//!
//! The daemon stays up and small, answers nobody who does not hold the link, and the honest
//! newcomer gets in while they still hang on.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _, future};
use libp2p::identity::{Keypair, PublicKey, ed25519};
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol, Swarm, SwarmBuilder, identify, noise, ping, tcp, yamux,
};
use libp2p_stream::Control;
use parsec_protocol::codec;
use parsec_protocol::control::{InviteResult, TransportChoice};
use parsec_protocol::enrol::link::Link;
use parsec_protocol::ids::AttemptId;
use parsec_protocol::p2p::{ANSWER_MAX_BYTES, Answer, Hints, Occasion, PROTOCOL, Proven, Question};
use parsec_protocol::public_keys::{Hash, PeerKey};
use parsec_protocol::relay::ErrorCode;
use parsec_tests::ceremony::Bell;
use parsec_tests::fixture::{BOB, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::memory::resident;
use parsec_tests::script::{self, Phone};
use tokio::task::JoinHandle;

/// More than the daemon may have, in KiB.
const RESIDENT_MAX_KIB: u64 = 256 * 1_024;
/// How long a stranger waits for anything: to be refused is an answer, too.
const WAIT: Duration = Duration::from_secs(20);
/// Streams that are opened at once.
const STREAMS: usize = 10_000;
/// As many of them as the library itself lets anybody have by yamux.
const YAMUX_STREAMS: usize = 4_096;
/// Connections that are opened at once.
const CONNECTIONS: usize = 200;
/// Raw connections and datagrams.
const DIALS: usize = 2_000;

#[derive(NetworkBehaviour)]
struct Behaviour {
    streams: libp2p_stream::Behaviour,
    identify: identify::Behaviour,
    // Who does not answer is hung up on: these do.
    ping: ping::Behaviour,
}

fn swarm(introduction: &str) -> Swarm<Behaviour> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).unwrap();
    let muxer = || {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(YAMUX_STREAMS);
        config
    };
    SwarmBuilder::with_existing_identity(Keypair::ed25519_from_bytes(seed).unwrap())
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, muxer)
        .unwrap()
        .with_quic()
        .with_behaviour(|key| Behaviour {
            streams: libp2p_stream::Behaviour::new(),
            identify: identify::Behaviour::new(
                identify::Config::new("parsec/1".to_owned(), key.public())
                    .with_agent_version(introduction.to_owned()),
            ),
            ping: ping::Behaviour::default(),
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
        .build()
}

/// The greeter's end, as anybody sees it who has seen the link's first hints.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) peer: PeerId,
    pub(super) at: SocketAddr,
}

impl Target {
    fn address(&self, quic: bool) -> Multiaddr {
        let (ip, port) = (self.at.ip(), self.at.port());
        if quic { format!("/ip4/{ip}/udp/{port}/quic-v1") } else { format!("/ip4/{ip}/tcp/{port}") }
            .parse()
            .unwrap()
    }
}

/// Somebody who has connected, or has been refused.
pub(super) struct Stranger {
    pub(super) key: PeerKey,
    control: Control,
    peer: PeerId,
    task: JoinHandle<()>,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stranger {
    pub(super) async fn come(target: Target, quic: bool, introduction: &str) -> Option<Self> {
        let mut swarm = swarm(introduction);
        let key = ed25519_of(swarm.local_peer_id());
        let control = swarm.behaviour().streams.new_control();
        swarm.dial(DialOpts::peer_id(target.peer).addresses(vec![target.address(quic)]).build()).unwrap();
        let connected = async {
            loop {
                match swarm.select_next_some().await {
                    SwarmEvent::ConnectionEstablished { .. } => return true,
                    SwarmEvent::OutgoingConnectionError { .. } => return false,
                    _ => {}
                }
            }
        };
        let connected = tokio::time::timeout(WAIT, connected).await.unwrap_or(false);
        let task = tokio::spawn(async move {
            loop {
                let _ = swarm.select_next_some().await;
            }
        });
        connected.then_some(Self { key, control, peer: target.peer, task })
    }

    async fn stream(&self) -> Option<Stream> {
        self.stream_of(PROTOCOL).await
    }

    /// A stream of a protocol; none where the connection is gone.
    pub(super) async fn stream_of(&self, protocol: &'static str) -> Option<Stream> {
        let mut control = self.control.clone();
        let opened = control.open_stream(self.peer, StreamProtocol::new(protocol));
        tokio::time::timeout(WAIT, opened).await.ok()?.ok()
    }

    /// Sends a question and hears the answer; what comes after it is not waited for.
    async fn ask(&self, question: &[u8]) -> Vec<u8> {
        let mut stream = self.stream().await.unwrap();
        stream.write_all(question).await.unwrap();
        stream.flush().await.unwrap();
        let mut heard = vec![0; 4];
        let talk = async {
            stream.read_exact(&mut heard).await?;
            let length = u32::from_be_bytes([heard[0], heard[1], heard[2], heard[3]]);
            heard.resize(4 + usize::try_from(length).unwrap(), 0);
            stream.read_exact(&mut heard[4..]).await
        };
        tokio::time::timeout(WAIT, talk).await.unwrap().expect("an answer");
        heard
    }

    /// Sends bytes and hears what comes, to the end of the stream.
    async fn say(&self, bytes: &[u8]) -> Vec<u8> {
        let Some(mut stream) = self.stream().await else { return Vec::new() };
        let mut heard = Vec::new();
        let talk = async {
            stream.write_all(bytes).await?;
            stream.flush().await?;
            stream.read_to_end(&mut heard).await
        };
        let _ = tokio::time::timeout(WAIT, talk).await;
        heard
    }
}

pub(super) fn ed25519_of(peer: &PeerId) -> PeerKey {
    let encoded = peer.to_bytes();
    let key = PublicKey::try_decode_protobuf(&encoded[2..]).unwrap().try_into_ed25519().unwrap();
    PeerKey::from_bytes(key.to_bytes())
}

fn peer_of(key: &PeerKey) -> PeerId {
    PublicKey::from(ed25519::PublicKey::try_from_bytes(key.as_bytes()).unwrap()).to_peer_id()
}

fn frame(question: &Question) -> Vec<u8> {
    let bytes = codec::encode(question);
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], &bytes].concat()
}

/// Alice waits at her end, the server is away.
struct Evening {
    fixture: Fixture,
    invitation: InviteResult,
    link: Link,
    target: Target,
}

fn evening() -> Evening {
    let mut fixture = Fixture::found(FixtureOptions { direct: true, ..FixtureOptions::default() });
    fixture.server.kill();
    let invitation = fixture.alice.invite_by(BOB_EMAIL, TransportChoice::P2p).unwrap();
    let link: Link = invitation.link.expose().parse().unwrap();
    let hints = Hints::of(&link).unwrap();
    let at = *hints.addresses.iter().find(|at| at.ip().is_loopback() && at.is_ipv4()).unwrap();
    let target = Target { peer: peer_of(&hints.peer), at };
    Evening { fixture, invitation, link, target }
}

/// 10,000 streams on one connection: as many as there may be are open, and the rest cost the daemon
/// nothing.
async fn many_streams(target: Target, quic: bool) -> Option<(Stranger, Vec<Stream>)> {
    let stranger = Stranger::come(target, quic, "parsec").await?;
    let streams = (0..STREAMS).map(|_| stranger.stream());
    let open: Vec<Stream> = future::join_all(streams).await.into_iter().flatten().collect();
    Some((stranger, open))
}

async fn rubbish(target: Target, quic: bool) {
    let mut junk = vec![0; 65_000];
    for round in 0..20 {
        let Some(stranger) = Stranger::come(target, quic, "parsec").await else { continue };
        getrandom::fill(&mut junk).unwrap();
        let length = u32::try_from(junk.len()).unwrap().to_be_bytes();
        let said = match round % 4 {
            // 4 GiB, announced.
            0 => u32::MAX.to_be_bytes().to_vec(),
            1 => [&u32::MAX.to_be_bytes()[..], &junk].concat(),
            2 => [&length[..], &junk].concat(),
            _ => junk.clone(),
        };
        assert!(stranger.say(&said).await.is_empty(), "rubbish is answered");
    }
}

/// One byte each, and then nothing: held as long as the value lives.
async fn slow(target: Target, quic: bool) -> Option<(Stranger, Vec<Stream>)> {
    let stranger = Stranger::come(target, quic, "parsec").await?;
    let mut open = Vec::new();
    for _ in 0..12 {
        let Some(mut stream) = stranger.stream().await else { break };
        if stream.write_all(&[0]).await.is_err() || stream.flush().await.is_err() {
            break;
        }
        open.push(stream);
    }
    Some((stranger, open))
}

fn knock(target: Target) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut junk = [0; 1_200];
    for number in 0..DIALS {
        getrandom::fill(&mut junk).unwrap();
        // The first byte of every second looks like QUIC's first packet.
        if number % 2 == 0 {
            junk[0] = 0xc3;
            junk[1..5].copy_from_slice(&[0, 0, 0, 1]);
        }
        let _ = socket.send_to(&junk, target.at);
        if let Ok(mut stream) = TcpStream::connect_timeout(&target.at, WAIT) {
            let _ = stream.write_all(&junk[..64]);
        }
    }
}

#[test]
fn floods_and_rubbish_leave_the_daemon_small_and_the_newcomer_welcome() {
    let mut evening = evening();
    let bell = Arc::new(Bell::default());
    let alice = evening.fixture.alice.process().id();
    let mut greeter =
        evening.fixture.alice.greet_by(evening.invitation.token, TransportChoice::P2p, &bell).unwrap();
    greeter.until("listening", |view| view.stage == parsec_protocol::control::Stage::WaitingForPeer).unwrap();
    let (target, runtime) = (evening.target, tokio::runtime::Runtime::new().unwrap());
    // Founding took a quarter of a gigabyte for the password alone: what counts begins here. Root
    // alone may say so.
    if std::fs::write(format!("/proc/{alice}/clear_refs"), "5").is_err() {
        parsec_tests::skip("the most memory that strangers cost", "counting it anew takes root");
        return;
    }
    let said = |what: &str| {
        println!("{what}: {} KiB, at most {} KiB", resident(alice, "VmRSS"), resident(alice, "VmHWM"));
    };
    said("before");
    let held = runtime.block_on(async {
        let streams = [many_streams(target, true).await, many_streams(target, false).await];
        let open: Vec<_> = streams.iter().flatten().map(|(_, open)| open.len()).collect();
        said(&format!("{STREAMS} streams on a connection, of which {open:?} opened"));
        // By yamux a stream counts as open before the other side has said anything, so that is no
        // figure of the daemon's.
        assert!(open[0] < 64, "{open:?} by QUIC and TCP");
        drop(streams);
        for quic in [true, false] {
            rubbish(target, quic).await;
        }
        said("rubbish");
        let bloated = "x".repeat(1 << 20);
        for quic in [true, false] {
            if let Some(stranger) = Stranger::come(target, quic, &bloated).await {
                let _ = stranger.say(&[0xff; 4]).await;
            }
        }
        said("bloated introductions");
        let slow = future::join_all((0..12).map(|number| slow(target, number % 2 == 0))).await;
        let hanging: usize = slow.iter().flatten().map(|(_, open)| open.len()).sum();
        said(&format!("{hanging} slow senders"));
        assert!(hanging > 0, "nobody was slow");
        tokio::task::spawn_blocking(move || knock(target)).await.unwrap();
        said(&format!("{DIALS} knocks on either port"));
        let connections = (0..CONNECTIONS).map(|number| Stranger::come(target, number % 2 == 0, "parsec"));
        let connections: Vec<Stranger> = future::join_all(connections).await.into_iter().flatten().collect();
        said(&format!("{CONNECTIONS} connections at once, of which {} were taken", connections.len()));
        (slow, connections)
    });
    // They hang on; Bob comes.
    let bob = evening.fixture.device("bob");
    let mut claimer = bob.claim_by(evening.invitation.link.expose(), TransportChoice::P2p, &bell).unwrap();
    let ends = script::enrol(&mut claimer, &mut greeter, BOB, Phone::default());
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    drop(held);
    said("after Bob");
    assert!(evening.fixture.alice.process().runs());
    let most = resident(alice, "VmHWM");
    assert!(most < RESIDENT_MAX_KIB, "{most} KiB");
    assert!(!evening.fixture.alice.log().contains("panicked"), "{}", evening.fixture.alice.log());
}

/// Somebody overheard a proof, or made one for another connection: it is worth nothing here.
#[test]
fn a_proof_of_another_connection_starts_nothing() {
    let evening = evening();
    let bell = Arc::new(Bell::default());
    let greeter =
        evening.fixture.alice.greet_by(evening.invitation.token, TransportChoice::P2p, &bell).unwrap();
    greeter.until("listening", |view| view.stage == parsec_protocol::control::Stage::WaitingForPeer).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (attempt, secret_hash) = (AttemptId::from_bytes([6; 16]), Hash::of(&[b"known to nobody"]));
    let heard = |of_another: bool| {
        runtime.block_on(async {
            let stranger = Stranger::come(evening.target, true, "parsec").await.unwrap();
            let claimer = if of_another { PeerKey::from_bytes([9; 32]) } else { stranger.key };
            let greeter = Hints::of(&evening.link).unwrap().peer;
            let proof = Proven {
                organisation: &evening.link.organisation,
                token: &evening.link.token,
                greeter: &greeter,
                claimer: &claimer,
                occasion: Occasion::Start { attempt, secret_hash },
            }
            .by(&evening.link.secret);
            let heard = stranger.ask(&frame(&Question::Start { attempt, secret_hash, proof })).await;
            codec::decode::<Answer>(&heard[4..], ANSWER_MAX_BYTES).unwrap()
        })
    };
    for _ in 0..3 {
        assert_eq!(heard(true), Answer::Refused { code: ErrorCode::InvitationUnknown, retry_after: 0 });
    }
    assert!(greeter.view().unwrap().attempt.is_none(), "{:?}", greeter.view());
    // The same by who holds the link does start: it was the connection that was wrong.
    assert!(matches!(heard(false), Answer::Started { .. }));
}

/// Somebody else answers at an address of the link: they are told nothing, and the greeter is found
/// at the other.
#[test]
fn one_in_the_greeters_place_is_told_nothing() {
    let evening = evening();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let questions = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&questions);
    let (tell, told) = std::sync::mpsc::channel();
    runtime.spawn(async move {
        let mut swarm = swarm("parsec");
        let mut incoming =
            swarm.behaviour().streams.new_control().accept(StreamProtocol::new(PROTOCOL)).unwrap();
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        loop {
            tokio::select! {
                event = swarm.select_next_some() => if let SwarmEvent::NewListenAddr { address, .. } = event {
                    tell.send(address.to_string()).unwrap();
                },
                Some(_) = incoming.next() => { counted.fetch_add(1, Ordering::SeqCst); }
            }
        }
    });
    let port = told.recv_timeout(WAIT).unwrap().rsplit('/').next().unwrap().to_owned();
    let mut link: Link = evening.invitation.link.expose().parse().unwrap();
    link.hints = vec![link.hints[0].clone(), format!("127.0.0.1:{port}"), evening.target.at.to_string()];
    let bell = Arc::new(Bell::default());
    let bob = evening.fixture.device("bob");
    // At first there is nobody else.
    let mut claimer = bob.claim_by(&link.to_url(), TransportChoice::P2p, &bell).unwrap();
    claimer.until("trouble", |view| view.note.is_some()).unwrap();
    let mut greeter =
        evening.fixture.alice.greet_by(evening.invitation.token, TransportChoice::P2p, &bell).unwrap();
    let ends = script::enrol(&mut claimer, &mut greeter, BOB, Phone::default());
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    assert_eq!(questions.load(Ordering::SeqCst), 0, "somebody else was asked");
}
