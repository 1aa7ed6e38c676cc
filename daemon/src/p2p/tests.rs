//! Both ends of the peer-to-peer transport over the real library, on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use parsec_protocol::ids::{AttemptId, DeviceId, Invited, Timestamp, Token, UserId};
use parsec_protocol::keys::{LinkSecret, PeerSecret};
use parsec_protocol::p2p::{Answer, Hints, Occasion, Question};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{AttemptView, EndReason, ErrorCode, GreeterIds, Least, LogPage};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::*;
use crate::os::addresses::free_port;
use crate::transport::{Transport as _, TransportError};

const TOKEN: Token = Token::from_bytes([5; 16]);
const ATTEMPT: AttemptId = AttemptId::from_bytes([6; 16]);
const GREETER: GreeterIds =
    GreeterIds { user: UserId::from_bytes([1; 16]), device: DeviceId::from_bytes([2; 16]) };

/// A store that remembers what it was to make durable, and fails where it is told to.
#[derive(Default)]
struct Notes {
    attempts: AtomicU32,
    kept: Mutex<Vec<(u8, Vec<u8>)>>,
    full: Mutex<bool>,
}

impl Notes {
    fn keep(&self, step: u8, bytes: Vec<u8>) -> Result<(), ErrorCode> {
        if *self.full.lock().unwrap() {
            return Err(ErrorCode::QuotaReached);
        }
        self.kept.lock().unwrap().push((step, bytes));
        Ok(())
    }
}

impl HostStore for Arc<Notes> {
    async fn attempt(&self) -> Result<(), ErrorCode> {
        if self.attempts.fetch_add(1, Ordering::Relaxed) < 3 {
            Ok(())
        } else {
            Err(ErrorCode::InvitationExhausted)
        }
    }
    async fn handover(&self, _: AttemptId, bytes: Vec<u8>) -> Result<(), ErrorCode> {
        self.keep(7, bytes)
    }
    async fn receipt(&self, _: AttemptId, bytes: Vec<u8>) -> Result<(), ErrorCode> {
        self.keep(8, bytes)
    }
    async fn cancelled(&self, _: AttemptId) -> Result<(), ErrorCode> {
        Ok(())
    }
    async fn log_page(&self, from: u64) -> Result<LogPage, ErrorCode> {
        Ok(LogPage { count: 3, certificates: vec![vec![u8::try_from(from).unwrap()].into()] })
    }
}

fn secret() -> LinkSecret {
    LinkSecret::from_bytes(&mut [9; 32])
}

fn attempt_secret(byte: u8) -> Zeroizing<[u8; 32]> {
    Zeroizing::new([byte; 32])
}

/// A peer key of its own for each fixture: a port that one gives back may be the next one's, and a
/// claimer takes nobody but the node with its link's key.
fn own_secret() -> [u8; 32] {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut secret = [3; 32];
    secret[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    secret
}

struct Fixture {
    host: Arc<Host<Arc<Notes>>>,
    own: [u8; 32],
    notes: Arc<Notes>,
    hints: Hints,
}

fn invitation(expires: Timestamp) -> Invitation {
    Invitation {
        organisation: "acme".parse().unwrap(),
        token: TOKEN,
        link_secret: secret(),
        invited: Invited::User("bob@acme.test".parse().unwrap()),
        invited_by: "alice@acme.test".parse().unwrap(),
        expires,
    }
}

fn fixture(expires: Timestamp) -> Fixture {
    let secret = own_secret();
    let own = PeerSecret::from_bytes(&mut { secret });
    let port = free_port().unwrap();
    let notes = Arc::new(Notes::default());
    let invitation = invitation(expires);
    let host = Host::open(&own, port, &[], invitation, Attempts::new(GREETER), Arc::clone(&notes)).unwrap();
    let here = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    let hints = Hints { peer: own.peer_key(), addresses: vec![here], relays: Vec::new() };
    Fixture { host, own: secret, notes, hints }
}

fn later() -> Timestamp {
    crate::os::clock::now().plus_seconds(3_600)
}

impl Fixture {
    fn transport(&self, attempt: AttemptId, byte: u8) -> GuestTransport {
        GuestTransport::new(Guest::new(&self.hints).unwrap(), attempt, attempt_secret(byte))
    }

    async fn start(&self, transport: &GuestTransport) -> Result<Met, TransportError> {
        transport.start(&"acme".parse().unwrap(), &TOKEN, &secret()).await
    }
}

fn code<T: std::fmt::Debug>(done: Result<T, TransportError>) -> ErrorCode {
    done.unwrap_err().code().unwrap()
}

#[tokio::test]
async fn a_whole_attempt() {
    let fixture = fixture(later());
    let transport = fixture.transport(ATTEMPT, 1);
    let met = fixture.start(&transport).await.unwrap();
    assert_eq!((met.attempt.greeter, met.invited_by.as_str()), (Some(GREETER), "alice@acme.test"));
    // Asked again, it is the same, and not counted again.
    assert_eq!(fixture.start(&transport).await.unwrap().attempt, met.attempt);
    assert_eq!(fixture.notes.attempts.load(Ordering::Relaxed), 1);
    let own = HostTransport::new(Arc::clone(&fixture.host), ATTEMPT);
    let (tell, mut seen) = watch::channel::<Option<AttemptView>>(None);
    let follow = transport.follow(tell);
    let work = async {
        for step in 0..=7_u8 {
            // The transport would ask until it is time; one question is refused.
            let secret = LinkSecret::from_bytes(&mut [1; 32]);
            let early =
                transport.guest().ask(&Question::Log { attempt: ATTEMPT, secret, from: 0 }).await.unwrap();
            assert_eq!(early, Answer::Refused { code: ErrorCode::NotYet, retry_after: 0 }, "{step}");
            let bytes = vec![step; 3];
            if step % 2 == 0 {
                transport.deposit(step, bytes.clone()).await.unwrap();
                transport.deposit(step, bytes.clone()).await.unwrap();
                assert_eq!(own.fetch(step).await.unwrap(), bytes);
            } else {
                own.deposit(step, bytes.clone()).await.unwrap();
                let there = |view: &Option<AttemptView>| view.as_ref().is_some_and(|view| view.has(step));
                seen.wait_for(there).await.unwrap();
                assert_eq!(transport.fetch(step).await.unwrap(), bytes);
            }
        }
        assert_eq!(transport.log_page(2, Least::NOTHING).await.unwrap().certificates, [vec![2].into()]);
        // What the disk refuses is not taken.
        *fixture.notes.full.lock().unwrap() = true;
        assert_eq!(code(transport.deposit(8, vec![8]).await), ErrorCode::QuotaReached);
        assert_eq!(own.state().await.unwrap().steps, 0xff);
        *fixture.notes.full.lock().unwrap() = false;
        transport.deposit(8, vec![8]).await.unwrap();
        assert_eq!(*fixture.notes.kept.lock().unwrap(), [(7, vec![7; 3]), (8, vec![8])]);
        assert_eq!(code(transport.cancel(EndReason::Cancelled).await), ErrorCode::AttemptSealed);
        fixture.host.end(ATTEMPT, EndReason::Completed);
        let over = |view: &Option<AttemptView>| view.as_ref().is_some_and(|view| view.ended.is_some());
        let view = seen.wait_for(over).await.unwrap().clone().unwrap();
        assert_eq!(view.ended, Some(EndReason::Completed));
    };
    tokio::select! {
        error = follow => panic!("{error}"),
        () = work => {}
    }
}

#[tokio::test]
async fn a_claimer_says_and_reads_its_own_part_alone() {
    let fixture = fixture(later());
    let transport = fixture.transport(ATTEMPT, 1);
    fixture.start(&transport).await.unwrap();
    transport.deposit(0, vec![0]).await.unwrap();
    assert_eq!(code(transport.deposit(1, vec![1]).await), ErrorCode::StepRefused);
    assert_eq!(code(transport.deposit(2, Vec::new()).await), ErrorCode::BadRequest);
    let ask = async |question| transport.guest().ask(&question).await.unwrap();
    let fetch = |step| {
        let secret = LinkSecret::from_bytes(&mut [1; 32]);
        ask(Question::Fetch { attempt: ATTEMPT, secret, step })
    };
    let refused = |code| Answer::Refused { code, retry_after: 0 };
    assert_eq!(fetch(1).await, refused(ErrorCode::NotYet));
    for step in [0, 9, 255] {
        assert_eq!(fetch(step).await, refused(ErrorCode::StepRefused), "{step}");
    }
    let own = HostTransport::new(Arc::clone(&fixture.host), ATTEMPT);
    assert_eq!(code(own.deposit(2, vec![2]).await), ErrorCode::StepRefused);
    assert_eq!(code(own.fetch(1).await), ErrorCode::StepRefused);
    // Only what the other side can't undo is durable for them.
    assert!(fixture.notes.kept.lock().unwrap().is_empty());
}

#[tokio::test]
async fn after_the_end_a_repeated_step_is_answered_and_the_log_is_not_shown() {
    let fixture = fixture(later());
    let transport = fixture.transport(ATTEMPT, 1);
    fixture.start(&transport).await.unwrap();
    let own = HostTransport::new(Arc::clone(&fixture.host), ATTEMPT);
    for step in 0..=7_u8 {
        if step % 2 == 0 {
            transport.deposit(step, vec![step]).await.unwrap()
        } else {
            own.deposit(step, vec![step]).await.unwrap()
        }
    }
    fixture.host.end(ATTEMPT, EndReason::BadMessage);
    transport.deposit(6, vec![6]).await.unwrap();
    assert_eq!(code(transport.deposit(6, vec![7]).await), ErrorCode::StepConflict);
    assert_eq!(code(transport.deposit(8, vec![8]).await), ErrorCode::AttemptEnded);
    let secret = LinkSecret::from_bytes(&mut [1; 32]);
    let log = transport.guest().ask(&Question::Log { attempt: ATTEMPT, secret, from: 0 }).await.unwrap();
    assert_eq!(log, Answer::Refused { code: ErrorCode::NotYet, retry_after: 0 });
}

#[tokio::test]
async fn who_does_not_hold_the_link_gets_nothing() {
    let fixture = fixture(later());
    let guest = Guest::new(&fixture.hints).unwrap();
    let organisation = "acme".parse().unwrap();
    let wrong = LinkSecret::from_bytes(&mut [8; 32]);
    assert_eq!(code(ping(&guest, &organisation, &TOKEN, &wrong).await), ErrorCode::InvitationUnknown);
    let transport = fixture.transport(ATTEMPT, 1);
    assert_eq!(
        code(transport.start(&organisation, &TOKEN, &wrong).await.map(|_| ())),
        ErrorCode::InvitationUnknown
    );
    // Nor by another organisation's name, or for another invitation.
    let other = "acmf".parse().unwrap();
    assert_eq!(
        code(transport.start(&other, &TOKEN, &secret()).await.map(|_| ())),
        ErrorCode::InvitationUnknown
    );
    let token = Token::from_bytes([4; 16]);
    assert_eq!(
        code(transport.start(&organisation, &token, &secret()).await.map(|_| ())),
        ErrorCode::InvitationUnknown
    );
    assert_eq!(fixture.notes.attempts.load(Ordering::Relaxed), 0);
    // A guess at an attempt's secret is no better, before there is one and after.
    assert_eq!(code(transport.fetch(1).await), ErrorCode::AttemptUnknown);
    let honest = fixture.transport(ATTEMPT, 2);
    fixture.start(&honest).await.unwrap();
    assert_eq!(code(transport.fetch(1).await), ErrorCode::AttemptUnknown);
    assert_eq!(code(transport.deposit(0, vec![0]).await), ErrorCode::AttemptUnknown);
    assert_eq!(code(transport.cancel(EndReason::Cancelled).await), ErrorCode::AttemptUnknown);
    assert_eq!(code(transport.log_page(0, Least::NOTHING).await), ErrorCode::AttemptUnknown);
    // Another who holds the link finds it in use.
    let second = fixture.transport(AttemptId::from_bytes([7; 16]), 3);
    assert_eq!(code(fixture.start(&second).await.map(|_| ())), ErrorCode::InvitationInUse);
}

#[tokio::test]
async fn a_proof_works_for_the_connection_it_was_made_for() {
    let fixture = fixture(later());
    let organisation = "acme".parse().unwrap();
    let [honest, thief] = [(), ()].map(|()| Guest::new(&fixture.hints).unwrap());
    let proof = honest.proof(&organisation, &TOKEN, &secret(), Occasion::Meet);
    thief.connected().await;
    let refused = thief.ask(&Question::Meet { proof }).await.unwrap();
    assert_eq!(refused, Answer::Refused { code: ErrorCode::InvitationUnknown, retry_after: 0 });
    honest.connected().await;
    assert_eq!(honest.ask(&Question::Meet { proof }).await.unwrap(), Answer::Met {});
}

#[tokio::test]
async fn another_device_in_the_greeters_place_is_not_spoken_to() {
    let mut fixture = fixture(later());
    fixture.hints.peer = PeerSecret::from_bytes(&mut [4; 32]).peer_key();
    let guest = Guest::new(&fixture.hints).unwrap();
    let mut status = guest.status();
    let status = status.wait_for(|status| status.trouble.is_some()).await.unwrap().clone();
    assert!(!status.connected, "{status:?}");
    assert!(fixture.host.status().borrow().peers.iter().all(|peer| !peer.proven));
}

#[tokio::test]
async fn an_invitation_ends_and_wears_out() {
    let expired = fixture(Timestamp(1));
    assert_eq!(
        code(expired.start(&expired.transport(ATTEMPT, 1)).await.map(|_| ())),
        ErrorCode::InvitationExpired
    );
    let fixture = fixture(later());
    for byte in 1..=3 {
        let attempt = AttemptId::from_bytes([byte; 16]);
        let transport = fixture.transport(attempt, byte);
        fixture.start(&transport).await.unwrap();
        transport.cancel(EndReason::Cancelled).await.unwrap();
        // Asked again, it answers as before: with the attempt, and that is over.
        assert_eq!(fixture.start(&transport).await.unwrap().attempt.ended, Some(EndReason::Cancelled));
    }
    let attempt = AttemptId::from_bytes([9; 16]);
    assert_eq!(
        code(fixture.start(&fixture.transport(attempt, 9)).await.map(|_| ())),
        ErrorCode::InvitationExhausted
    );
    // The same reason again gets the same answer, another one comes too late.
    let last = fixture.transport(AttemptId::from_bytes([3; 16]), 3);
    last.cancel(EndReason::Cancelled).await.unwrap();
    assert_eq!(code(last.cancel(EndReason::TimedOut).await), ErrorCode::AttemptEnded);
    // What is the greeter's to say, the claimer can't.
    for reason in [EndReason::Completed, EndReason::InvitationEnded] {
        let transport = fixture.transport(AttemptId::from_bytes([3; 16]), 3);
        assert_eq!(code(transport.cancel(reason).await), ErrorCode::BadRequest);
    }
}

#[tokio::test]
async fn a_greeter_who_was_away_is_found_again() {
    let fixture = fixture(later());
    let transport = fixture.transport(ATTEMPT, 1);
    fixture.start(&transport).await.unwrap();
    let (port, own) = (fixture.hints.addresses[0].port(), PeerSecret::from_bytes(&mut { fixture.own }));
    let host = HostTransport::new(Arc::clone(&fixture.host), ATTEMPT);
    for step in 0..=7_u8 {
        if step % 2 == 0 {
            transport.deposit(step, vec![step]).await.unwrap()
        } else {
            host.deposit(step, vec![step]).await.unwrap()
        }
    }
    let hash = fixture.host.secret_hash(ATTEMPT).unwrap();
    assert_eq!(hash, Hash::of(&[&[1; 32]]));
    drop(host);
    let attempts = Attempts::resumed(GREETER, ATTEMPT, hash, vec![7], None);
    // The daemon was killed: its node is gone from one moment to the next, and another comes to the
    // same place.
    let Fixture { host: gone, notes, .. } = fixture;
    drop(gone);
    let host = Host::open(&own, port, &[], invitation(later()), attempts, notes).unwrap();
    assert_eq!(transport.fetch(7).await.unwrap(), [7]);
    transport.deposit(8, vec![8]).await.unwrap();
    assert_eq!(host.receipt(ATTEMPT), Some(vec![8]));
}
