//! A server on loopback, an HTTP client of a few lines, and members who sign what the tests tell
//! them.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

pub mod safes;
pub mod stream;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use minicbor::bytes::ByteVec;
use parsec_metadata::{Clock, Config, Server};
use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::{
    Author, Body, DeviceKind, Envelope, Payload, Profile, SEALED_NAME_BYTES,
};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::codec;
use parsec_protocol::ids::{AttemptId, DeviceId, Invited, OrganisationId, Timestamp, Token, UserId};
use parsec_protocol::keys::{DeviceSigningKey, Entropy, NoEntropy, UserSeed, random};
use parsec_protocol::lab::Organisation;
use parsec_protocol::public_keys::{Context, Hash, VerifyKey};
use parsec_protocol::relay::{
    self, AttemptView, BootstrapRequest, Completed, Completion, DeviceBox, DirectEnrolment, ErrorBody,
    ErrorCode, InvitationView, Least, LogPage, LogRepair, NewCertificate, NewInvitation, RequestToSign,
    StartAttempt, UserKeyChange, path,
};
use parsec_protocol::sealing::{EncryptionKey, KeyHash, SECRET_BOX_BYTES};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// Where the tests' clock begins: November 2023.
pub const BEGINNING: u64 = 1_700_000_000_000_000;
pub const DAY: u64 = 86_400;

pub struct Os;
impl Entropy for Os {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        getrandom::fill(bytes).map_err(|_| NoEntropy)
    }
}

pub fn all_files(folder: &std::path::Path) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(all_files(&path));
        } else {
            files.push(std::fs::read(path).unwrap());
        }
    }
    files
}

pub fn drawn<const N: usize>() -> [u8; N] {
    random(&mut Os).unwrap()
}

/// Every encryption key that the tests of this process have made, for certificates name hashes
/// alone.
static KEYS: Mutex<BTreeMap<KeyHash, EncryptionKey>> = Mutex::new(BTreeMap::new());

/// A key of nobody's yet.
pub fn new_key() -> EncryptionKey {
    let key = UserSeed::random(&mut Os).unwrap().encryption_key();
    KEYS.lock().unwrap().insert(key.hash(), key.clone());
    key
}

/// The hash that a certificate names, if it is one that names any.
pub fn named(certificate: &[u8]) -> Option<KeyHash> {
    let payload = Envelope::decode(certificate).and_then(|envelope| envelope.payload());
    payload.ok()?.body.key_named()
}

/// The keys that certificates name, in their order.
pub fn keys_of(certificates: &[ByteVec]) -> Vec<EncryptionKey> {
    let keys = KEYS.lock().unwrap();
    certificates.iter().filter_map(|certificate| named(certificate)).map(|key| keys[&key].clone()).collect()
}

/// A repair with the keys of its certificates.
pub fn repair_with(from: Head, certificates: Vec<ByteVec>) -> LogRepair {
    let keys = keys_of(&certificates).into_iter().map(Some).collect();
    LogRepair { from, certificates, keys }
}

/// A box, as far as the server can see: of the right length.
pub fn sealed() -> ByteVec {
    let mut sealed = vec![0; SECRET_BOX_BYTES];
    Os.fill(&mut sealed).unwrap();
    sealed.into()
}

/// A server with its own database and a clock that only the test moves.
pub struct Bench {
    pub folder: tempfile::TempDir,
    pub address: SocketAddr,
    pub clock: Arc<AtomicU64>,
    pub stop: CancellationToken,
    pub served: tokio::task::JoinHandle<Result<(), parsec_metadata::RunError>>,
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub fn code(&self) -> ErrorCode {
        let body: ErrorBody = codec::decode(&self.body, 100).unwrap();
        assert_eq!(self.status, body.code.status());
        body.code
    }

    #[track_caller]
    pub fn record<T>(&self) -> T
    where
        T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>,
    {
        assert_eq!(self.status, 200, "{:?}", codec::decode::<ErrorBody>(&self.body, 100));
        codec::decode(&self.body, 2_000_000).unwrap()
    }

    #[track_caller]
    pub fn done(&self) {
        assert_eq!(self.status, 204, "{:?}", codec::decode::<ErrorBody>(&self.body, 100));
    }
}

pub type Headers = Vec<(&'static str, String)>;

impl Bench {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicU64::new(BEGINNING));
        let mut config = Config::local(folder.path().join("db"));
        config.clock = Clock::Manual(Arc::clone(&clock));
        change(&mut config);
        let server = Server::bind(config).await.unwrap();
        let address = server.address();
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let served = tokio::spawn(server.run(async move { stopping.cancelled().await }));
        Self { folder, address, clock, stop, served }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp(self.clock.load(Ordering::SeqCst))
    }

    pub fn pass(&self, seconds: u64) {
        self.clock.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    pub async fn call(&self, method: &str, target: &str, headers: &Headers, body: &[u8]) -> Answer {
        call(self.address, method, target, headers, body).await
    }

    pub fn reserve(&self, name: &str) -> String {
        parsec_metadata::create_organisation(&self.folder.path().join("db"), name, false).unwrap()
    }

    /// An organisation founded by Alice.
    pub async fn founded(&self) -> Member {
        self.founded_as("acme").await
    }

    pub async fn founded_as(&self, name: &str) -> Member {
        let token = self.reserve(name);
        let (request, alice) = founding(name, self.now());
        let headers = vec![(relay::HEADER_BOOTSTRAP, token)];
        let target = path::bootstrap(&alice.organisation);
        self.call("POST", &target, &headers, &codec::encode(&request)).await.done();
        alice
    }
}

/// One request on a connection of its own.
pub async fn call(address: SocketAddr, method: &str, target: &str, headers: &Headers, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&head(method, target, headers, body.len())).await.unwrap();
    // The server may answer and close before it has read all of a body that is too large.
    let _ = stream.write_all(body).await;
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer's head");
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: bytes[end + 4..].to_vec() }
}

pub fn head(method: &str, target: &str, headers: &Headers, length: usize) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {length}\r\n\r\n"));
    head.into_bytes()
}

/// A member's device.
pub struct Member {
    pub organisation: OrganisationId,
    pub root: VerifyKey,
    pub user: UserId,
    pub device: DeviceId,
    pub key: DeviceSigningKey,
}

pub fn founding(organisation: &str, now: Timestamp) -> (BootstrapRequest, Member) {
    let organisation: OrganisationId = organisation.parse().unwrap();
    let org = Organisation::found(&organisation, now, &mut Os).unwrap();
    KEYS.lock().unwrap().extend(org.keys.iter().map(|key| (key.hash(), key.clone())));
    let certificates = org.envelopes.into_iter().map(ByteVec::from).collect();
    let request = BootstrapRequest { root: org.root, certificates, keys: org.keys };
    let (root, user, device, key) = (org.root, org.user, org.device, org.signing_key);
    (request, Member { organisation, root, user, device, key })
}

impl Member {
    pub fn sign(&self, method: &str, target: &str, body: &[u8], time: Timestamp, nonce: Token) -> Headers {
        self.sign_hash(method, target, Hash::of(&[body]), time, nonce)
    }

    /// The same for a body of which another hash is signed.
    pub fn sign_hash(
        &self,
        method: &str,
        target: &str,
        body: Hash,
        time: Timestamp,
        nonce: Token,
    ) -> Headers {
        let request = RequestToSign {
            organisation: self.organisation.clone(),
            device: self.device,
            method: method.to_owned(),
            target: target.to_owned(),
            time,
            nonce,
            body,
        };
        let signature = self.key.sign(Context::Request, &request.bytes());
        vec![
            (relay::HEADER_DEVICE, self.device.to_string()),
            (relay::HEADER_TIME, time.0.to_string()),
            (relay::HEADER_NONCE, nonce.to_string()),
            (relay::HEADER_BODY_HASH, request.body.to_string()),
            (relay::HEADER_SIGNATURE, signature.to_string()),
        ]
    }

    pub async fn call(&self, bench: &Bench, method: &str, target: &str, body: &[u8]) -> Answer {
        let headers = self.sign(method, target, body, bench.now(), Token::from_bytes(drawn()));
        bench.call(method, target, &headers, body).await
    }

    pub async fn post<T: minicbor::Encode<()>>(&self, bench: &Bench, target: &str, body: &T) -> Answer {
        self.call(bench, "POST", target, &codec::encode(body)).await
    }

    pub async fn invite_for(&self, bench: &Bench, invited: Invited) -> Answer {
        let asked = NewInvitation {
            token: Token::from_bytes(drawn()),
            invited,
            expires: bench.now().plus_seconds(30 * DAY),
            mail_link: None,
        };
        self.post(bench, &path::invitations(&self.organisation), &asked).await
    }

    /// Makes an invitation for a new person and returns its token.
    pub async fn invite(&self, bench: &Bench, email: &str) -> Token {
        self.make(bench, Invited::User(email.parse().unwrap())).await
    }

    pub async fn make(&self, bench: &Bench, invited: Invited) -> Token {
        let token = Token::from_bytes(drawn());
        let expires = bench.now().plus_seconds(30 * DAY);
        let asked = NewInvitation { token, invited, expires, mail_link: None };
        let answer = self.post(bench, &path::invitations(&self.organisation), &asked).await;
        answer.record::<relay::InvitationMade>();
        token
    }

    pub async fn see(&self, bench: &Bench, token: &Token) -> InvitationView {
        self.call(bench, "GET", &path::invitation(&self.organisation, token), &[]).await.record()
    }

    pub async fn log(&self, bench: &Bench) -> LogPage {
        self.call(bench, "GET", &path::log(&self.organisation, 0, Least::NOTHING), &[]).await.record()
    }

    pub async fn head(&self, bench: &Bench) -> Head {
        let empty = Head::empty(&self.organisation, &self.root);
        self.log(bench).await.certificates.iter().fold(empty, |head, envelope| head.after(envelope))
    }

    /// The log as a reader has it: every certificate stands by the rules, or this fails.
    pub async fn verified(&self, bench: &Bench) -> VerifiedLog {
        let page = self.log(bench).await;
        assert_eq!(page.count, page.certificates.len() as u64, "the tests' logs fit one page");
        let empty = VerifiedLog::empty(self.organisation.clone(), self.root);
        empty.extended(page.certificates.iter().map(|envelope| envelope.as_slice())).unwrap()
    }

    /// Signs a profile change or a revocation with the newest view, and hands it in.
    pub async fn change(&self, bench: &Bench, body: Body) -> Answer {
        let certificate = self.certify(self.head(bench).await, bench.now(), body);
        self.publish(bench, vec![certificate]).await
    }

    pub async fn publish(&self, bench: &Bench, certificates: Vec<ByteVec>) -> Answer {
        let target = path::certificates(&self.organisation);
        self.post(bench, &target, &NewCertificate { certificates }).await
    }

    /// Another key of the member's user, by this device, with a box for each device that has a use
    /// of one.
    pub async fn key_change(&self, bench: &Bench) -> UserKeyChange {
        let log = self.verified(bench).await;
        let key = new_key();
        let body = Body::UserKeyChanged {
            user: self.user,
            previous: log.user(&self.user).unwrap().encryption_key,
            encryption_key: key.hash(),
            manifest: None,
            abandoned: Vec::new(),
        };
        let standing = log.devices_of(&self.user).filter(|device| device.revoked.is_none());
        let mut boxes: Vec<_> =
            standing.map(|device| DeviceBox { device: device.device, sealed: sealed() }).collect();
        boxes.sort_unstable_by_key(|given| given.device);
        let certificate = self.certify(log.head(), bench.now(), body);
        UserKeyChange { certificate, key, boxes, past: Some(sealed()) }
    }

    pub async fn change_key(&self, bench: &Bench, change: &UserKeyChange) -> Answer {
        self.post(bench, &path::user_key(&self.organisation), change).await
    }

    pub async fn put<T: minicbor::Encode<()>>(&self, bench: &Bench, target: &str, body: &T) -> Answer {
        self.call(bench, "PUT", target, &codec::encode(body)).await
    }

    pub async fn get(&self, bench: &Bench, target: &str) -> Answer {
        self.call(bench, "GET", target, &[]).await
    }

    pub async fn enrol(&self, bench: &Bench, enrolment: &DirectEnrolment) -> Answer {
        self.post(bench, &path::enrolments(&self.organisation), enrolment).await
    }

    /// Another member, enrolled directly.
    pub async fn with(&self, bench: &Bench, email: &str, profile: Profile) -> Member {
        let newcomer = Newcomer::new();
        let (seen, now) = (self.head(bench).await, bench.now());
        let certificates = vec![
            self.certify(seen, now, newcomer.user_body(email, profile)),
            self.certify(seen, now, newcomer.device_body()),
        ];
        let enrolment = newcomer.direct(self, now, Invited::User(email.parse().unwrap()), certificates);
        self.enrol(bench, &enrolment).await.record::<Completed>();
        newcomer.member(self)
    }

    /// Another device of this member, enrolled directly.
    pub async fn with_device(&self, bench: &Bench) -> Member {
        let mut newcomer = Newcomer::new();
        newcomer.user = self.user;
        let (seen, now) = (self.head(bench).await, bench.now());
        let certificates = vec![self.certify(seen, now, newcomer.device_body())];
        let enrolment = newcomer.direct(self, now, Invited::Device(self.user), certificates);
        self.enrol(bench, &enrolment).await.record::<Completed>();
        newcomer.member(self)
    }

    pub fn certify(&self, seen: Head, time: Timestamp, body: Body) -> ByteVec {
        let organisation = self.organisation.clone();
        let payload = Payload { organisation, author: Author::Device(self.device), time, seen, body };
        payload.sign_with(|context, message| self.key.sign(context, message)).into()
    }
}

/// One attempt, as its claimer knows it.
#[derive(Clone)]
pub struct Claim {
    pub organisation: OrganisationId,
    pub token: Token,
    pub attempt: AttemptId,
    pub secret: [u8; 32],
}

impl Claim {
    pub fn new(member: &Member, token: Token) -> Self {
        let organisation = member.organisation.clone();
        Self { organisation, token, attempt: AttemptId::from_bytes(drawn()), secret: drawn() }
    }

    pub fn headers(&self) -> Headers {
        vec![
            (relay::HEADER_TOKEN, self.token.to_string()),
            (relay::HEADER_ATTEMPT_SECRET, Hash::from_bytes(self.secret).to_string()),
        ]
    }

    pub fn path(&self) -> String {
        path::invited_attempt(&self.organisation, &self.attempt)
    }

    pub fn greeter_path(&self) -> String {
        path::greeter_attempt(&self.organisation, &self.token, &self.attempt)
    }

    pub async fn start(&self, bench: &Bench) -> Answer {
        let asked = StartAttempt { attempt: self.attempt, secret_hash: Hash::of(&[&self.secret]) };
        let target = path::invited_attempts(&self.organisation);
        bench.call("POST", &target, &self.headers(), &codec::encode(&asked)).await
    }

    pub async fn view(&self, bench: &Bench) -> AttemptView {
        bench.call("GET", &self.path(), &self.headers(), &[]).await.record()
    }

    pub async fn put(&self, bench: &Bench, step: u8, content: &[u8]) -> Answer {
        bench.call("PUT", &path::step(&self.path(), step), &self.headers(), content).await
    }

    pub async fn get(&self, bench: &Bench, step: u8) -> Answer {
        bench.call("GET", &path::step(&self.path(), step), &self.headers(), &[]).await
    }

    pub async fn cancel(&self, bench: &Bench, reason: relay::EndReason) -> Answer {
        let body = codec::encode(&relay::CancelAttempt { reason });
        bench.call("POST", &path::cancel(&self.path()), &self.headers(), &body).await
    }

    pub async fn join(&self, bench: &Bench, greeter: &Member) -> Answer {
        greeter.call(bench, "POST", &path::join(&self.greeter_path()), &[]).await
    }

    pub async fn greeter_put(&self, bench: &Bench, greeter: &Member, step: u8, content: &[u8]) -> Answer {
        greeter.call(bench, "PUT", &path::step(&self.greeter_path(), step), content).await
    }

    pub async fn greeter_cancel(&self, bench: &Bench, greeter: &Member, reason: relay::EndReason) -> Answer {
        greeter.post(bench, &path::cancel(&self.greeter_path()), &relay::CancelAttempt { reason }).await
    }

    pub async fn complete(&self, bench: &Bench, greeter: &Member, completion: &Completion) -> Answer {
        greeter.post(bench, &path::complete(&self.greeter_path()), completion).await
    }

    /// Starts, joins, and deposits steps up to and with `last`.
    pub async fn run_to(&self, bench: &Bench, greeter: &Member, last: u8) {
        self.start(bench).await.record::<AttemptView>();
        self.join(bench, greeter).await.record::<AttemptView>();
        for step in 0..=last {
            let content = [b"step", [step].as_slice()].concat();
            match step % 2 {
                0 => self.put(bench, step, &content).await.done(),
                _ => self.greeter_put(bench, greeter, step, &content).await.done(),
            }
        }
    }
}

/// What a claimer brings.
pub struct Newcomer {
    pub user: UserId,
    pub device: DeviceId,
    pub user_key: EncryptionKey,
    pub device_key: EncryptionKey,
    pub key: DeviceSigningKey,
}

impl Newcomer {
    pub fn new() -> Self {
        Self {
            user: UserId::from_bytes(drawn()),
            device: DeviceId::from_bytes(drawn()),
            user_key: new_key(),
            device_key: new_key(),
            key: DeviceSigningKey::random(&mut Os).unwrap(),
        }
    }

    pub fn user_body(&self, email: &str, profile: Profile) -> Body {
        Body::User {
            user: self.user,
            email: email.parse().unwrap(),
            sealed_name: vec![7; SEALED_NAME_BYTES].into(),
            encryption_key: self.user_key.hash(),
            profile,
        }
    }

    pub fn device_body(&self) -> Body {
        Body::Device {
            device: self.device,
            user: self.user,
            sealed_label: vec![8; SEALED_NAME_BYTES].into(),
            verify_key: self.key.verify_key(),
            encryption_key: self.device_key.hash(),
            kind: DeviceKind::Device,
        }
    }

    pub fn receipt(&self, certificates: &[ByteVec], root: VerifyKey) -> ClaimReceipt {
        let hashes = certificates.iter().map(|envelope| Hash::of(&[envelope])).collect();
        ClaimReceipt::sign(&self.key, Hash::from_bytes([9; 32]), hashes, root, Hash::of(&[b"opened"]))
    }

    /// A user's enrolment as it should be.
    pub fn enrolment(&self, by: &Member, seen: Head, time: Timestamp, email: &str) -> Completion {
        let certificates = vec![
            by.certify(seen, time, self.user_body(email, Profile::Standard)),
            by.certify(seen, time, self.device_body()),
        ];
        let receipt = self.receipt(&certificates, by.root);
        Completion { keys: keys_of(&certificates), certificates, receipt }
    }

    /// The same enrolment, as registered after a ceremony without the server.
    pub fn direct(
        &self,
        by: &Member,
        created: Timestamp,
        invited: Invited,
        certificates: Vec<ByteVec>,
    ) -> DirectEnrolment {
        let receipt = self.receipt(&certificates, by.root);
        let (token, expires) = (Token::from_bytes(drawn()), created.plus_seconds(30 * DAY));
        let keys = keys_of(&certificates);
        DirectEnrolment { token, invited, created, expires, certificates, receipt, keys }
    }

    pub fn member(self, like: &Member) -> Member {
        Member {
            organisation: like.organisation.clone(),
            root: like.root,
            user: self.user,
            device: self.device,
            key: self.key,
        }
    }
}
