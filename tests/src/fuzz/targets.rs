//! What is fed, and what must hold: a function for each kind of input from outside.
//!
//! Decides the seam: the parser itself where a library has one, else a real program or socket. Each
//! checks more than that nothing panics: what is taken has one spelling, two ways of reading agree,
//! and whoever was given junk still serves the next.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use minicbor::{Decode, Encode};
use parsec_protocol::chain::batch::Sequential;
use parsec_protocol::chain::organisation::certificate::{Envelope, Payload};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::codec;
use parsec_protocol::control::{PLUGIN_SOCKET_NAME, SOCKET_DIRECTORY, SecretText};

use parsec_protocol::address::ServerAddress;
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::enrol::io::SealedEnrolment;
use parsec_protocol::enrol::link::Link;
use parsec_protocol::evidence::export::LogExport;
use parsec_protocol::evidence::fork::ForkProof;
use parsec_protocol::evidence::receipt::EnrolmentReceipt;
use parsec_protocol::ids::{Email, Label};
use parsec_protocol::limits::{BODY_MAX_BYTES, NAME_MAX_BYTES};
use parsec_protocol::p2p::{ANSWER_MAX_BYTES, Answer, Hints, QUESTION_MAX_BYTES, Question};
use parsec_protocol::paste::link_in;
use parsec_protocol::public_keys::VerifyKey;
use parsec_protocol::relay;
use zeroize::Zeroizing;

use super::{safes, sequence};
use crate::device::{Device, private_folder};
use crate::process::binary;
use crate::server::{NO_LIMITS, Server};

/// One kind of input.
pub struct Target {
    /// Its name, and its corpus's folder.
    pub name: &'static str,
    /// Takes an input; panics where something doesn't hold.
    pub feed: fn(&[u8]),
    /// Executions of a usual run beside the corpus: fewer where each takes a program.
    pub usual: u64,
    /// Whether the inputs go to programs: their memory is then their own, and not that of whoever
    /// feeds them.
    pub programs: bool,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("name", &self.name).finish_non_exhaustive()
    }
}

const fn target(name: &'static str, usual: u64, feed: fn(&[u8])) -> Target {
    Target { name, feed, usual, programs: false }
}

const fn programs(name: &'static str, usual: u64, feed: fn(&[u8])) -> Target {
    Target { name, feed, usual, programs: true }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("codec", 2_000, codec_values),
    target("certificate", 1_000, certificate),
    target("log", 100, log),
    target("link", 1_000, link),
    target("paste", 1_000, paste),
    target("name", 1_000, name),
    target("relay", 1_000, relay_records),
    programs("rpc", 100, rpc),
    target("keyfile", 300, key_file),
    target("p2p", 1_000, p2p),
    target("sequence", 200, sequence::play),
    programs("server", 100, server),
    programs("arguments", 12, arguments),
    target("evidence", 100, evidence),
    target("safe-certificate", 500, safes::certificate),
    target("record", 500, safes::outer),
    target("inside", 1_000, safes::inside),
    target("ring", 500, safes::ring),
    target("page", 500, safes::page),
    target("content", 1_000, safes::content),
    target("fetch", 500, safes::fetched),
];

/// Faults that are there to be found.
pub const PLANTED: &[Target] = &[
    target("planted-panic", 0, |input| assert!(!input.starts_with(b"bad"), "found")),
    target("planted-hang", 0, |input| {
        while input.starts_with(b"bad") {
            std::thread::park_timeout(Duration::from_secs(1));
        }
    }),
    target("planted-memory", 0, |input| {
        if input.starts_with(b"bad") {
            let much = vec![1_u8; 2 << 30];
            assert_eq!(much.iter().map(|byte| u64::from(*byte)).sum::<u64>(), 2 << 30);
        }
    }),
];

/// What is taken is written again as it came.
pub(super) fn one_spelling<T>(input: &[u8], max: usize) -> Option<T>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    let value: T = codec::decode(input, max).ok()?;
    assert_eq!(codec::encode(&value), input, "a second spelling");
    Some(value)
}

fn codec_values(input: &[u8]) {
    let _ = one_spelling::<Vec<u64>>(input, 4_096);
    let _ = one_spelling::<(bool, Option<String>, Vec<Vec<minicbor::bytes::ByteVec>>)>(input, 4_096);
    let _ = one_spelling::<SealedEnrolment>(input, 8_192);
    let _ = one_spelling::<ClaimReceipt>(input, 256);
}

fn certificate(input: &[u8]) {
    if let Ok(envelope) = Envelope::decode(input) {
        let _ = one_spelling::<Envelope>(input, 2_048);
        if envelope.payload().is_ok() {
            let _ = one_spelling::<Payload>(&envelope.payload, 2_048);
        }
        let mut log = VerifiedLog::empty("acme".parse().unwrap(), root());
        assert!(
            log.push(input).is_err() || is_known("certificate", input),
            "a certificate that nobody signed"
        );
    }
}

/// Whether an input is one of the corpus itself.
pub(super) fn is_known(target: &'static str, input: &[u8]) -> bool {
    static KNOWN: Mutex<BTreeMap<&str, Vec<Vec<u8>>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.entry(target).or_insert_with(|| super::corpus(target)).iter().any(|known| known == input)
}

/// The root key of the corpus's log.
fn root() -> VerifyKey {
    static ROOT: OnceLock<VerifyKey> = OnceLock::new();
    *ROOT.get_or_init(|| LogExport::decode(&super::corpus("log")[0]).unwrap().root)
}

fn log(input: &[u8]) {
    let Ok(export) = LogExport::decode(input) else { return };
    let mut one = VerifiedLog::empty(export.organisation.clone(), export.root);
    let mut other = one.clone();
    let first = export.certificates.iter().try_for_each(|envelope| one.push(envelope));
    let envelopes: Vec<&[u8]> = export.certificates.iter().map(|envelope| envelope.as_slice()).collect();
    assert_eq!(first, other.extend_with(&envelopes, &Sequential), "two ways of reading a log");
    assert_eq!(one.head(), other.head());
    if let Ok(log) = export.verify() {
        assert_eq!(log.head(), one.head());
    }
}

fn link(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(link) = text.parse::<Link>() {
        let again: Link = link.to_url().parse().unwrap();
        assert_eq!(*again.to_url(), *link.to_url());
        let _ = Hints::of(&link);
    }
}

/// Names and e-mail addresses: one spelling each, and a name that is taken is within its bounds.
fn name(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(name) = text.parse::<Label>() {
        assert!(name.as_str().len() <= NAME_MAX_BYTES);
        assert_eq!(name.as_str().parse().as_ref(), Ok(&name));
        let bytes = minicbor::to_vec(&name).unwrap();
        assert_eq!(minicbor::decode::<Label>(&bytes).unwrap(), name);
    }
    if let Ok(email) = text.parse::<Email>() {
        assert_eq!(email.as_str().parse(), Ok(email));
    }
}

/// What people paste: one link that the strict reader takes, or a reason.
fn paste(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(link) = link_in(text) {
        let read: Link = link.parse().unwrap();
        assert_eq!(*read.to_url(), *link);
        assert_eq!(link_in(&link).as_ref(), Ok(&link));
    }
    if let Ok(address) = text.parse::<ServerAddress>() {
        assert_eq!(ServerAddress::canonical(address.as_str()).as_ref(), Ok(&address));
    }
}

fn relay_records(input: &[u8]) {
    let _ = one_spelling::<relay::BootstrapRequest>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::InvitedInfo>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::StartAttempt>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::AttemptView>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::InvitationView>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::InvitationList>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::NewInvitation>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::LogPage>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::Completion>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::DirectEnrolment>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::ManifestView>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::ManifestUpload>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::NewCertificate>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::LogRepair>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::LogRepaired>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::ErrorBody>(input, BODY_MAX_BYTES);
}

fn p2p(input: &[u8]) {
    let _ = one_spelling::<Question>(input, QUESTION_MAX_BYTES);
    let _ = one_spelling::<Answer>(input, ANSWER_MAX_BYTES);
    if let Ok(text) = std::str::from_utf8(input) {
        let hints: Vec<String> = text.split('\n').map(str::to_owned).collect();
        for here in [true, false] {
            if let Ok(read) = Hints::read(&hints, here) {
                assert!(Hints::read(&read.write(), here).is_ok(), "hints that can't be read again");
            }
        }
    }
}

fn evidence(input: &[u8]) {
    if let Ok(export) = LogExport::decode(input) {
        assert_eq!(export.encode(), input);
        let _ = export.verify();
    }
    if let Ok(proof) = ForkProof::decode(input) {
        assert_eq!(proof.encode(), input);
        let _ = proof.verify();
    }
    if let Ok(receipt) = EnrolmentReceipt::decode(input) {
        assert_eq!(receipt.encode(), input);
        assert!(receipt.verify().is_err() || is_known("evidence", input), "a receipt that nobody signed");
    }
}

fn key_file(input: &[u8]) {
    // The work a file names is real work: beyond what the tests' files name it is left to a test
    // that counts it.
    if named_work(input).is_some_and(|work| work > 10) {
        return;
    }
    let password = SecretText::new(Zeroizing::new("correct horse battery".to_owned()));
    let opened = parsecd::store::key_file_opens(input, &password);
    assert!(opened.is_err() || is_known("keyfile", input), "a key file that was changed opens");
}

/// The work factor in the header of an age file.
fn named_work(input: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(input.get(..input.len().min(512))?).into_owned();
    let line = text.lines().find(|line| line.starts_with("-> scrypt "))?.to_owned();
    line.split_whitespace().nth(3)?.parse().ok()
}

/// A device and a server that a thread's inputs go to. They end with the thread.
struct TestBed {
    // Dropped in this order: programs first.
    device: Device,
    server: Server,
    folder: tempfile::TempDir,
}

thread_local! {
    static TEST_BED: TestBed = {
        let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
        for name in ["server", "empty"] {
            private_folder(&folder.path().join(name));
        }
        let server = Server::start(&folder.path().join("server"), NO_LIMITS);
        let device = Device::start("fuzz", &folder.path().join("device"));
        TestBed { device, server, folder }
    };
}

/// Longest wait for an answer: then it is a hang, whatever the machine does.
const ANSWER: Duration = Duration::from_secs(20);

/// Sends an input, ends it, and reads what comes until the other side ends.
fn talk<S: std::io::Read + std::io::Write>(stream: &mut S, input: &[u8], end: impl FnOnce(&S)) -> Vec<u8> {
    // The other side may have had enough before it has all.
    let _ = stream.write_all(input);
    end(stream);
    let mut said = Vec::new();
    if let Err(error) = stream.read_to_end(&mut said) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "no answer and no end");
    }
    said
}

fn rpc(input: &[u8]) {
    let sockets = TEST_BED.with(|bed| {
        let plugin = bed.device.runtime().join(SOCKET_DIRECTORY).join(PLUGIN_SOCKET_NAME);
        [bed.device.socket(), plugin]
    });
    for socket in sockets {
        let mut stream = UnixStream::connect(socket).expect("the daemon is gone");
        stream.set_read_timeout(Some(ANSWER)).unwrap();
        let said = talk(&mut stream, input, |stream| drop(stream.shutdown(Shutdown::Write)));
        for line in said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            // HTTP gets plain words, wherever it begins.
            if line.starts_with(b"this is Parsec's local API") {
                continue;
            }
            let answer: serde_json::Value = serde_json::from_slice(line).expect("no JSON in an answer");
            assert_eq!(answer["jsonrpc"], "2.0");
        }
    }
}

fn server(input: &[u8]) {
    let address = TEST_BED.with(|bed| bed.server.address());
    let mut stream = TcpStream::connect(address).expect("the server is gone");
    stream.set_read_timeout(Some(ANSWER)).unwrap();
    let said = talk(&mut stream, input, |stream| drop(stream.shutdown(Shutdown::Write)));
    assert!(said.is_empty() || said.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&said));
}

fn arguments(input: &[u8]) {
    // Nothing that would write, wait or speak to somebody else: the runtime folder is empty, and so
    // is stdin.
    let words: Vec<std::ffi::OsString> = input
        .split(|byte| *byte == 0)
        .map(|word| std::os::unix::ffi::OsStringExt::from_vec(word.to_vec()))
        .collect();
    let writes = ["__complete", "export", "man", "fork", "--output", "lab"];
    if words
        .iter()
        .any(|word| writes.iter().any(|name| word == name) || word.to_string_lossy().contains("--output"))
    {
        return;
    }
    let empty = TEST_BED.with(|bed| bed.folder.path().join("empty"));
    let mut child = Command::new(binary("parsecctl"))
        .args(&words)
        .current_dir(&empty)
        .env_clear()
        .env("XDG_RUNTIME_DIR", &empty)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = Vec::new();
    let _ = child.stdout.take().unwrap().read_to_end(&mut said);
    let code = child.wait().unwrap().code();
    assert!(matches!(code, Some(0 | 64..=78)), "it ended with {code:?}");
}
