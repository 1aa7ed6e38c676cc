//! Mails of invitations: once, only with the invitation's own link, tried again for a while, and
//! kept nowhere.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use parsec_metadata::Mail;
use parsec_protocol::ids::{Invited, Token};
use parsec_protocol::relay::{ErrorCode, InvitationList, InvitationMade, MailOutcome, NewInvitation, path};
use support::{Bench, DAY, Member, drawn};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// What must be found nowhere: the link's secret.
const SECRET: &[u8; 32] = b"PLANTED-LINK-SECRET-PLANTED-LINK";

fn link(host: &str, token: &Token) -> String {
    let payload = [&[0x85, 1, 0, 0x50][..], token.as_bytes(), &[0x58, 32], SECRET, &[0x80]].concat();
    format!("https://{host}/join/acme#{}", Base64UrlUnpadded::encode_string(&payload))
}

fn wanted(bench: &Bench) -> NewInvitation {
    let token = Token::from_bytes(drawn());
    NewInvitation {
        token,
        invited: Invited::User(format!("{token}@example.org").parse().unwrap()),
        expires: bench.now().plus_seconds(DAY),
        mail_link: Some(link("parsec.example.org", &token)),
    }
}

async fn invite(bench: &Bench, alice: &Member, asked: &NewInvitation) -> MailOutcome {
    let made: InvitationMade =
        alice.post(bench, &path::invitations(&alice.organisation), asked).await.record();
    made.mail
}

/// A mail server that answers each mail as its script says, once it may.
struct MailServer {
    address: std::net::SocketAddr,
    may: Arc<Semaphore>,
    heard: Arc<AtomicUsize>,
}

impl MailServer {
    async fn start(script: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (may, heard) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let server = Self { address, may: Arc::clone(&may), heard: Arc::clone(&heard) };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(talk(stream, script, Arc::clone(&may), Arc::clone(&heard)));
            }
        });
        server
    }

    async fn bench(&self, folder: &tempfile::TempDir, pauses: Vec<Duration>) -> Bench {
        let url_file = folder.path().join("smtp");
        std::fs::write(&url_file, format!("smtp://{}?tls=none", self.address)).unwrap();
        Bench::with(|config| {
            config.mail = Mail::Smtp { url_file, ca: None };
            config.mail_pauses = pauses;
            config.public_url = Some("https://parsec.example.org".to_owned());
        })
        .await
    }
}

async fn talk(stream: TcpStream, script: &[&str], may: Arc<Semaphore>, heard: Arc<AtomicUsize>) {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    writer.write_all(b"220 mail\r\n").await.unwrap();
    let mut data = false;
    while let Ok(Some(line)) = lines.next_line().await {
        let answer = match (data, line.as_str()) {
            (true, ".") => {
                data = false;
                may.acquire().await.unwrap().forget();
                script[heard.fetch_add(1, Ordering::SeqCst)]
            }
            (true, _) => continue,
            (false, "DATA") => {
                data = true;
                "354 go on"
            }
            (false, "QUIT") => return,
            (false, _) => "250 ok",
        };
        if writer.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_mail_is_sent_once_and_only_with_the_invitations_own_link() {
    let mails = tempfile::tempdir().unwrap();
    let bench = Bench::with(|config| {
        config.mail = Mail::Directory(mails.path().to_owned());
        config.public_url = Some("https://parsec.example.org".to_owned());
    })
    .await;
    let alice = bench.founded().await;
    let target = path::invitations(&alice.organisation);
    let mut asked = wanted(&bench);
    for bad in [
        link("evil.example", &asked.token),
        link("parsec.example.org", &Token::from_bytes(drawn())),
        "https://parsec.example.org/join/acme#AAAA".to_owned(),
    ] {
        asked.mail_link = Some(bad);
        assert_eq!(alice.post(&bench, &target, &asked).await.code(), ErrorCode::BadRequest);
    }
    let list: InvitationList = alice.call(&bench, "GET", &target, &[]).await.record();
    assert!(list.invitations.is_empty(), "a refused link makes no invitation");

    asked.mail_link = Some(link("parsec.example.org", &asked.token));
    for _ in 0..2 {
        assert_eq!(invite(&bench, &alice, &asked).await, MailOutcome::Written);
    }
    assert_eq!(std::fs::read_dir(mails.path()).unwrap().count(), 1);

    // A mail that can't be written doesn't take the invitation with it.
    std::fs::remove_dir_all(mails.path()).unwrap();
    let asked = wanted(&bench);
    assert_eq!(invite(&bench, &alice, &asked).await, MailOutcome::Waiting);
    alice.see(&bench, &asked.token).await;

    // It waits for no next try when the server stops, and the link is kept nowhere.
    bench.stop.cancel();
    bench.served.await.unwrap().unwrap();
    for bytes in support::all_files(bench.folder.path()) {
        for planted in [&SECRET[..], &Base64UrlUnpadded::encode_string(SECRET).as_bytes()[2..20]] {
            assert!(!bytes.windows(planted.len()).any(|window| window == planted), "the link is kept");
        }
    }
}

#[tokio::test]
async fn asked_again_while_it_is_on_its_way_a_mail_is_not_sent_twice() {
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(&["250 taken", "250 taken twice"]).await;
    let bench = server.bench(&folder, Vec::new()).await;
    let alice = bench.founded().await;
    let asked = wanted(&bench);
    let release = async {
        // Three changes later both have asked: neither has an answer, since the mail server gives
        // none.
        for _ in 0..3 {
            alice.invite(&bench, &format!("{}@example.org", Token::from_bytes(drawn()))).await;
        }
        server.may.add_permits(2);
    };
    let (first, second, ()) =
        tokio::join!(invite(&bench, &alice, &asked), invite(&bench, &alice, &asked), release);
    assert_eq!((first, second), (MailOutcome::Sent, MailOutcome::Sent));
    assert_eq!(invite(&bench, &alice, &asked).await, MailOutcome::Sent, "and afterwards");
    assert_eq!(server.heard.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_a_mail_server_does_not_take_now_is_tried_again_and_what_it_refuses_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(&["451 later", "451 later", "250 taken", "554 no"]).await;
    server.may.add_permits(100);
    let bench = server.bench(&folder, vec![Duration::from_millis(1); 3]).await;
    let alice = bench.founded().await;
    let asked = wanted(&bench);
    let mut outcome = invite(&bench, &alice, &asked).await;
    assert!(matches!(outcome, MailOutcome::Waiting | MailOutcome::Sent), "{outcome:?}");
    while outcome == MailOutcome::Waiting {
        // Joins the mail that is on its way, or finds it sent.
        outcome = invite(&bench, &alice, &asked).await;
    }
    assert_eq!((outcome, server.heard.load(Ordering::SeqCst)), (MailOutcome::Sent, 3));

    assert_eq!(invite(&bench, &alice, &wanted(&bench)).await, MailOutcome::Failed);
    assert_eq!(server.heard.load(Ordering::SeqCst), 4, "refused for good is not tried again");
}

#[tokio::test]
async fn a_mail_is_begun_four_times_at_the_very_most() {
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(&["451 later"; 9]).await;
    server.may.add_permits(100);
    let bench = server.bench(&folder, vec![Duration::from_millis(1)]).await;
    let alice = bench.founded().await;
    let asked = wanted(&bench);
    // Each asking begins two tries where none is under way: as after crashes whose outcome nobody
    // noted.
    let mut outcomes = Vec::new();
    while outcomes.iter().filter(|outcome| **outcome == MailOutcome::Failed).count() < 5 {
        outcomes.push(invite(&bench, &alice, &asked).await);
    }
    assert_eq!(server.heard.load(Ordering::SeqCst), 4, "{outcomes:?}");
}
