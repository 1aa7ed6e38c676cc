//! Connections that only take places: nobody else is kept out by them, and nobody's work is cut
//! off.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::net::{Ipv4Addr, SocketAddr};

use parsec_protocol::relay::{AttemptView, InvitationView};
use support::stream::Stream;
use support::{Bench, Claim};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// With as many refused ones and both ends in this process, below the 1,024 descriptors that a test
/// may usually have.
const PLACES: usize = 200;
/// A request that anybody may make and that ends with its connection open.
const CHEAP: &[u8] = b"GET /v1/health HTTP/1.1\r\nhost: test\r\n\r\n";

/// From an address of loopback's own: 127.0.0.1 is that of everybody else in these tests.
async fn from(host: u8, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// Fills all places and as many again; every one of them sends this.
async fn flood(bench: &Bench, host: u8, said: &[u8]) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..2 * PLACES {
        let mut stream = from(host, bench.address).await;
        // It may have been closed at once.
        let _ = stream.write_all(said).await;
        held.push(stream);
    }
    held
}

async fn ended(stream: &mut TcpStream) {
    // An end or a reset; what was answered before is of no interest.
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn silent_idle_and_half_finished_connections_keep_nobody_out() {
    let bench = Bench::with(|config| config.connections = PLACES).await;
    let alice = bench.founded().await;
    let token = alice.invite(&bench, "bob@example.org").await;
    let claim = Claim::new(&alice, token);
    let mut greeter = Stream::follow(&bench, &alice, &[token]).await;
    greeter.next::<InvitationView>().await.unwrap();

    let half_a_body = b"POST /v1/organisations/acme/enrolments/standing HTTP/1.1\r\nhost: test\r\ncontent-length: 60\r\n\r\n1";
    for (host, said) in [(2, b"".as_slice()), (3, b"GET /v1/he"), (4, CHEAP), (5, half_a_body)] {
        let held = flood(&bench, host, said).await;
        // Answered while they stand: from an address of one's own, and from theirs.
        for _ in 0..5 {
            alice.log(&bench).await;
        }
        let mut same = from(host, bench.address).await;
        same.write_all(CHEAP).await.unwrap();
        let mut answer = [0; 12];
        same.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 204");
        drop(held);
    }
    // The stream that was open before all of it is still told.
    claim.start(&bench).await.record::<AttemptView>();
    assert_eq!(greeter.next::<InvitationView>().await.unwrap().attempt.unwrap().attempt, claim.attempt);
}

#[tokio::test]
async fn who_has_sent_no_request_goes_before_who_has() {
    let bench = Bench::with(|config| config.connections = 2).await;
    let mut idle = from(2, bench.address).await;
    let mut answer = [0; 12];
    idle.write_all(CHEAP).await.unwrap();
    idle.read_exact(&mut answer).await.unwrap();
    // It was heard of last, and goes nevertheless.
    let mut silent = from(2, bench.address).await;
    let mut comer = from(3, bench.address).await;
    ended(&mut silent).await;
    // Both that are left are served.
    for stream in [&mut idle, &mut comer] {
        stream.write_all(CHEAP).await.unwrap();
        let mut byte = [0; 1];
        assert_eq!(stream.read(&mut byte).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn behind_a_proxy_its_one_address_is_no_share() {
    let bench = Bench::with(|config| {
        config.connections = PLACES;
        config.behind_proxy = true;
    })
    .await;
    let alice = bench.founded().await;
    let _held = flood(&bench, 1, b"").await;
    alice.log(&bench).await;
}
