//! A server of a few lines, which answers what it is told to: one stream for all who follow, opened
//! again when it breaks.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

use base64ct::{Base64UrlUnpadded, Encoding as _};
use parsec_protocol::ids::{AttemptId, DeviceId, Email, Invited, Timestamp, UserId};
use parsec_protocol::public_keys::Signature;
use parsec_protocol::relay::InvitationStatus;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::*;
use crate::transport::http::{Client, Server};
use crate::transport::relay::Signer;

struct Nobody;

impl Signer for Nobody {
    fn device(&self) -> DeviceId {
        DeviceId::from_bytes([1; 16])
    }

    fn sign_request(&self, _message: &[u8]) -> Signature {
        Signature::from_bytes([0; 64])
    }
}

fn token(n: u8) -> Token {
    Token::from_bytes([n; 16])
}

fn view(n: u8, status: InvitationStatus) -> InvitationView {
    InvitationView {
        token: token(n),
        invited: Invited::User("bob@example.org".parse::<Email>().unwrap()),
        created_by: UserId::from_bytes([2; 16]),
        created: Timestamp(1),
        expires: Timestamp(2),
        status,
        mismatches: 0,
        attempts: 0,
        attempt: None,
    }
}

/// The server's end.
struct Served(TcpListener);

/// One request's connection, and the tokens that its stream is to follow.
struct Asked(TcpStream, Vec<Token>);

impl Served {
    async fn start() -> (Self, Member) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::new(Client::new(None).unwrap(), &address).unwrap();
        let member = Member::new(server, "acme".parse().unwrap(), Arc::new(Nobody), TaskTracker::new());
        (Self(listener), member)
    }

    /// The next request, which must be one for the stream.
    async fn next(&self) -> Asked {
        let (mut stream, _) = self.0.accept().await.unwrap();
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4_096]);
        let follow = loop {
            let read = stream.read(&mut buffer).await.unwrap();
            bytes.extend_from_slice(&buffer[..read]);
            let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(follow) = end.and_then(|end| codec::decode::<Follow>(&bytes[end + 4..], 10_000).ok())
            {
                break follow;
            }
        };
        assert!(bytes.starts_with(b"POST /v1/organisations/acme/events "));
        Asked(stream, follow.tokens)
    }
}

impl Asked {
    async fn open(&mut self) {
        let head = "HTTP/1.1 200 x\r\nparsec-server: 1\r\ncontent-type: text/event-stream\r\n\r\n";
        self.0.write_all(head.as_bytes()).await.unwrap();
        self.tell(EVENT_LOG, &LogLength { count: 2 }).await;
    }

    async fn tell<T: minicbor::Encode<()>>(&mut self, name: &str, record: &T) {
        let data = Base64UrlUnpadded::encode_string(&codec::encode(record));
        self.0.write_all(format!("event: {name}\ndata: {data}\n\n").as_bytes()).await.unwrap();
    }
}

/// Follows in a task; the states come out.
fn follow(
    member: &Member,
    n: u8,
) -> tokio::sync::mpsc::UnboundedReceiver<Result<InvitationStatus, TransportError>> {
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    let member = member.clone();
    tokio::spawn(async move {
        let trouble = Trouble::new(None);
        let states = tell.clone();
        let follow = member.follow_invitation(
            token(n),
            &trouble,
            |_| {},
            |view| {
                states.send(Ok(view.status)).unwrap();
                view.status == InvitationStatus::Completed
            },
        );
        let error = tokio::select! {
            error = follow => error,
            () = tell.closed() => return,
        };
        tell.send(Err(error)).unwrap();
    });
    told
}

#[tokio::test]
async fn all_who_follow_share_one_stream_and_hear_of_their_own() {
    let (served, member) = Served::start().await;
    let mut one = follow(&member, 1);
    let mut first = served.next().await;
    assert_eq!(first.1, [token(1)]);
    first.open().await;
    first.tell(EVENT_INVITATION, &view(1, InvitationStatus::Pending)).await;
    assert_eq!(one.recv().await, Some(Ok(InvitationStatus::Pending)));

    // Another follower: the stream is opened anew for both, and the old one is gone.
    let mut two = follow(&member, 2);
    let mut second = served.next().await;
    assert_eq!(second.1, [token(2), token(1)]);
    assert_eq!(first.0.read(&mut [0; 1]).await.unwrap_or(0), 0);
    second.open().await;
    second.tell("of-a-later-generation", &view(1, InvitationStatus::Cancelled)).await;
    second.tell(EVENT_INVITATION, &view(3, InvitationStatus::Cancelled)).await;
    second.tell(EVENT_INVITATION, &view(2, InvitationStatus::InUse)).await;
    second.tell(EVENT_INVITATION, &view(1, InvitationStatus::Completed)).await;
    assert_eq!(two.recv().await, Some(Ok(InvitationStatus::InUse)));
    assert_eq!(one.recv().await, Some(Ok(InvitationStatus::Completed)));

    // Another one for the same invitation is told its state, too.
    let mut again = follow(&member, 2);
    let third = served.next().await;
    assert_eq!(second.0.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert_eq!(third.1, [token(2)]);
    let mut second = third;
    second.open().await;
    second.tell(EVENT_INVITATION, &view(2, InvitationStatus::InUse)).await;
    assert_eq!(again.recv().await, Some(Ok(InvitationStatus::InUse)));
    assert_eq!(two.recv().await, Some(Ok(InvitationStatus::InUse)));
    drop(again);

    // It breaks: whoever has been told the end is not asked for again.
    drop(second);
    let mut third = served.next().await;
    assert_eq!(third.1, [token(2)]);
    third.open().await;
    third.tell(EVENT_GONE, &InvitationGone { token: token(2) }).await;
    let refused = two.recv().await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::InvitationUnknown));
    // Nobody follows any more: nobody holds a stream.
    assert_eq!(third.0.read(&mut [0; 1]).await.unwrap_or(0), 0);
    member.tasks.close();
    member.tasks.wait().await;
}

/// Whoever sees the state that announces a step has the step already, also where both came while
/// nobody looked; a step of another invitation is not handed on.
#[tokio::test]
async fn a_step_is_handed_on_before_its_state() {
    let (served, member) = Served::start().await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let (steps, following) = (tell.clone(), member.clone());
    tokio::spawn(async move {
        let trouble = Trouble::new(None);
        let step = |told: StepTold| steps.send(format!("step {}", told.step)).unwrap();
        let seen = |view: InvitationView| {
            tell.send(format!("{:?}", view.status)).unwrap();
            false
        };
        following.follow_invitation(token(1), &trouble, step, seen).await;
    });
    let mut stream = served.next().await;
    stream.open().await;
    let step = |n: u8, step: u8| StepTold {
        token: token(n),
        attempt: AttemptId::from_bytes([n; 16]),
        step,
        bytes: vec![step; 48].into(),
    };
    stream.tell(EVENT_STEP, &step(2, 6)).await;
    stream.tell(EVENT_STEP, &step(1, 4)).await;
    stream.tell(EVENT_INVITATION, &view(1, InvitationStatus::InUse)).await;
    assert_eq!(told.recv().await.unwrap(), "step 4");
    assert_eq!(told.recv().await.unwrap(), "InUse");
}

#[tokio::test]
async fn what_is_refused_for_good_ends_all_and_the_next_tries_anew() {
    let (served, member) = Served::start().await;
    let mut one = follow(&member, 1);
    let mut first = served.next().await;
    let no = "HTTP/1.1 404 x\r\nparsec-server: 1\r\ncontent-length: 0\r\n\r\n";
    first.0.write_all(no.as_bytes()).await.unwrap();
    assert!(matches!(one.recv().await, Some(Err(TransportError::Misbehaved(_)))));
    let mut two = follow(&member, 2);
    let mut second = served.next().await;
    second.open().await;
    second.tell(EVENT_INVITATION, &view(2, InvitationStatus::Completed)).await;
    assert_eq!(two.recv().await, Some(Ok(InvitationStatus::Completed)));
}

#[test]
fn a_stream_follows_the_newest_of_too_many_and_the_others_are_asked_for() {
    let events = Arc::new(DeviceEvents::default());
    let driver = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        AbortOnDropHandle::new(runtime.spawn(async {}))
    };
    let number = |n: usize| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        Token::from_bytes(bytes)
    };
    let subscriptions: Vec<_> = (0..=FOLLOWED_MAX).map(|n| events.enter(Some(number(n)), driver)).collect();
    let chosen = events.chosen();
    assert_eq!((chosen.len(), chosen.contains(&number(0))), (FOLLOWED_MAX, false));
    assert_eq!(subscriptions[0].told.borrow().way, Way::Beyond);
    assert!(subscriptions[1..].iter().all(|subscription| subscription.told.borrow().way == Way::Stream));
    assert!(!events.is_outgrown(), "what there is no room for opens no stream again and again");
    let newest = events.enter(Some(number(0)), driver);
    assert!(events.is_outgrown() && events.chosen().contains(&number(0)), "the newest has room");
    drop(newest);
    drop(subscriptions);
    assert!(events.lock().driver.is_none());
}
