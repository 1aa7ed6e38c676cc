//! The corpora: real messages of each kind, out of one organisation and one honest ceremony, made
//! by a seed.
//!
//! Decides what a run begins from. A crash that was found is a file of its own beside these, and is
//! not made here.

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::organisation::certificate::{Body, Profile};
use parsec_protocol::chain::organisation::changes::certify;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::codec;
use parsec_protocol::enrol::link::{Link, LinkKind};
use parsec_protocol::evidence::export::LogExport;
use parsec_protocol::evidence::fork::ForkProof;
use parsec_protocol::evidence::head::SignedHead;
use parsec_protocol::evidence::receipt::EnrolmentReceipt;
use parsec_protocol::ids::{AttemptId, Invited, Token};
use parsec_protocol::keys::LinkSecret;
use parsec_protocol::lab::{Organisation, START as TIME};
use parsec_protocol::p2p::{Answer, Question};
use parsec_protocol::public_keys::{Hash, Proof};
use parsec_protocol::relay;
use parsec_protocol::sealing::EncryptionKey;

use super::sequence::{honest, org, seeds};
use super::{TARGETS, folder};

/// An old key file of the daemon's tests: it opens with `correct horse battery`, and takes little
/// work.
const KEY_FILE: &[u8] = include_bytes!("../../../daemon/src/store/tests/former/v2/key.age");

/// Writes every corpus anew, as files `seed-00` and so on. Other files stay.
///
/// # Errors
/// The disk's.
pub fn write() -> std::io::Result<()> {
    for target in TARGETS {
        let folder = folder(target.name);
        std::fs::create_dir_all(&folder)?;
        for (number, input) in made(target.name).iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number:02}")), input)?;
        }
    }
    Ok(())
}

fn made(target: &str) -> Vec<Vec<u8>> {
    if let Some(made) = super::safes::seeds(target) {
        return made;
    }
    let org = org();
    let (sealed, publication) = honest(&org);
    let certificates: Vec<ByteVec> = publication.certificates.iter().cloned().map(ByteVec::from).collect();
    match target {
        "codec" => vec![
            codec::encode(&vec![0_u64, 23, 24, 65_536, u64::MAX]),
            codec::encode(&(true, Some("é".to_owned()), vec![vec![ByteVec::from(vec![1, 2])]])),
            codec::encode(&sealed),
            codec::encode(&publication.receipt),
        ],
        "certificate" => org.envelopes.iter().chain(&publication.certificates).cloned().collect(),
        "log" => logs(&org, &publication.certificates),
        "link" | "paste" => links(),
        "name" => [
            "Zoë O’Neill-李",
            "नरेन्द्र दामोदरदास शर्मा",
            "مهدی\u{200c}زاده",
            "ශ\u{dca}\u{200d}රී",
            "👨\u{200d}👩\u{200d}👧 1\u{fe0f}\u{20e3}",
            "葛\u{e0100}城市",
            "bob.ray+x@mail.example.org",
        ]
        .map(|text| text.as_bytes().to_vec())
        .into(),
        "relay" => relay_records(&org, certificates, &publication.keys, &publication.receipt),
        "rpc" => [
            r#"{"jsonrpc":"2.0","id":1,"method":"rpc.hello","params":{"client":"x","api":"2.0"}}"#,
            r#"{"jsonrpc":"2.0","id":2,"method":"status.show","params":{}}"#,
            r#"{"jsonrpc":"2.0","id":3,"method":"trust.import","params":{"organisation":"acme","root":"00","from":0,"certificates":["gkBYQA"]}}"#,
            r#"{"jsonrpc":"2.0","id":4,"method":"ceremony.choose","params":{"ceremony":1,"code":"K7EM","mode":"typed"}}"#,
            r#"{"jsonrpc":"2.0","id":"x","method":"claim.start","params":{"link":"https://h/join/acme#AAAA"}}"#,
        ]
        .iter()
        .map(|line| format!("{line}\n").into_bytes())
        .collect(),
        "keyfile" => vec![KEY_FILE.to_vec()],
        "p2p" => p2p(),
        "sequence" => seeds(),
        "server" => [
            "GET /v1/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            "GET /join/acme HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            "GET /v1/organisations/acme/invited HTTP/1.1\r\nhost: x\r\nparsec-token: 00112233445566778899aabbccddeeff\r\nconnection: close\r\n\r\n",
            "POST /v1/organisations/acme/bootstrap HTTP/1.1\r\nhost: x\r\nparsec-bootstrap: 00\r\ncontent-type: application/cbor\r\ncontent-length: 3\r\nconnection: close\r\n\r\n\u{1}\u{2}\u{3}",
            "PUT /v1/organisations/acme/invited/attempts/00112233445566778899aabbccddeeff/steps/0 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        ]
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .collect(),
        "arguments" => [
            "status --json",
            "invite user bob@example.org --days 3",
            "trust check-fork /dev/null",
            "ceremony choose 1 --code K7EM",
            "device unlock --password-fd 3",
        ]
        .iter()
        .map(|line| line.replace(' ', "\0").into_bytes())
        .collect(),
        _ => {
            let mut files = logs(&org, &publication.certificates);
            files.extend(forks(&org, &publication.certificates));
            let signed = sealed.statement;
            files.push(EnrolmentReceipt::new(signed, certificates, publication.receipt).encode());
            files
        }
    }
}

fn log_with(org: &Organisation, more: &[Vec<u8>]) -> (VerifiedLog, Vec<Vec<u8>>) {
    let mut log = org.log.clone();
    more.iter().for_each(|envelope| log.push(envelope).unwrap());
    (log, [org.envelopes.as_slice(), more].concat())
}

fn head(org: &Organisation, log: &VerifiedLog) -> SignedHead {
    SignedHead::of(log, org.device, TIME, |context, message| org.signing_key.sign(context, message))
}

fn logs(org: &Organisation, more: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let (log, envelopes) = log_with(org, more);
    let certificates: Vec<ByteVec> = envelopes.into_iter().map(ByteVec::from).collect();
    let export =
        |head| LogExport::new(log.organisation().clone(), *log.root(), certificates.clone(), head).encode();
    vec![export(None), export(Some(head(org, &log)))]
}

/// Alice says one thing about Bob here and another there.
fn forks(org: &Organisation, more: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let (log, envelopes) = log_with(org, more);
    let bob = log.users().nth(1).unwrap().user;
    let branch = |profiles: &[Profile]| {
        let (mut log, mut envelopes) = (log.clone(), envelopes.clone());
        for &profile in profiles {
            let body = Body::ProfileChange { user: bob, profile };
            let envelope = certify(&log, org.device, &org.signing_key, body, TIME).unwrap();
            log.push(&envelope).unwrap();
            envelopes.push(envelope);
        }
        (log, envelopes)
    };
    let (one, its) = branch(&[Profile::Outsider, Profile::Standard]);
    let (other, others) = branch(&[Profile::Administrator, Profile::Outsider]);
    let (organisation, root) = (log.organisation().clone(), *log.root());
    let both = ForkProof::of(organisation.clone(), root, [(&its, Some(head(org, &one))), (&others, None)]);
    let foreign =
        ForkProof::of_foreign_view(organisation, root, &its, head(org, &one), others.last().unwrap());
    assert_eq!(other.count(), one.count());
    [both, foreign].into_iter().map(|proof| proof.unwrap().encode()).collect()
}

fn links() -> Vec<Vec<u8>> {
    let link = |hints: &[&str]| Link {
        server: "https://parsec.example.org".parse().unwrap(),
        organisation: "acme".parse().unwrap(),
        kind: LinkKind::User,
        token: Token::from_bytes([7; 16]),
        secret: LinkSecret::from_bytes(&mut [9; 32]),
        hints: hints.iter().map(|&hint| hint.to_owned()).collect(),
    };
    let bare = link(&[]);
    let urls = [bare.to_url().to_string(), bare.to_alias().unwrap().to_string()];
    urls.into_iter()
        .chain([link(&["10.0.0.1:4001", "[fe80::1]:1"]).to_url().to_string()])
        .map(String::into_bytes)
        .collect()
}

fn invited() -> Invited {
    Invited::User("bob@acme.example".parse().unwrap())
}

fn view() -> relay::AttemptView {
    relay::AttemptView {
        attempt: AttemptId::from_bytes([3; 16]),
        steps: 0b111,
        greeter: None,
        ended: Some(relay::EndReason::Cancelled),
    }
}

fn relay_records(
    org: &Organisation,
    certificates: Vec<ByteVec>,
    keys: &[EncryptionKey],
    receipt: &parsec_protocol::claim_receipt::ClaimReceipt,
) -> Vec<Vec<u8>> {
    let root = *org.log.root();
    let token = Token::from_bytes([7; 16]);
    vec![
        codec::encode(&relay::BootstrapRequest {
            root,
            certificates: certificates.clone(),
            keys: keys.to_vec(),
        }),
        codec::encode(&relay::StartAttempt {
            attempt: AttemptId::from_bytes([3; 16]),
            secret_hash: Hash::of(&[b"x"]),
        }),
        codec::encode(&view()),
        codec::encode(&relay::NewInvitation {
            token,
            invited: invited(),
            expires: TIME,
            mail_link: Some("https://x".into()),
        }),
        codec::encode(&relay::LogPage { count: 4, certificates: certificates.clone() }),
        codec::encode(&relay::LogRepair {
            from: org.log.head(),
            certificates: certificates.clone(),
            keys: keys.iter().cloned().map(Some).chain([None]).collect(),
        }),
        codec::encode(&relay::UserKeyChange {
            certificate: vec![1; 300].into(),
            key: org.user_seed.encryption_key(),
            boxes: vec![relay::DeviceBox { device: org.device, sealed: vec![2; 1_168].into() }],
            past: Some(vec![3; 1_168].into()),
        }),
        codec::encode(&relay::KeyBox { sealed: Some(vec![2; 1_168].into()), past: None }),
        codec::encode(&relay::KeyBoxUpload {
            replaces: Some(Hash::of(&[b"x"])),
            sealed: vec![2; 1_168].into(),
        }),
        codec::encode(&relay::LogRepaired { count: 4, added: 2 }),
        codec::encode(&relay::Completion {
            certificates: certificates.clone(),
            receipt: receipt.clone(),
            keys: keys.to_vec(),
        }),
        codec::encode(&relay::DirectEnrolment {
            token,
            invited: invited(),
            created: TIME,
            expires: TIME,
            certificates,
            receipt: receipt.clone(),
            keys: keys.to_vec(),
        }),
        codec::encode(&relay::ManifestView { version: 1, envelope: Some(vec![1; 40].into()) }),
        codec::encode(&relay::ErrorBody {
            code: relay::ErrorCode::ClockSkew,
            server_time: TIME,
            retry_after: 3,
        }),
    ]
}

fn p2p() -> Vec<Vec<u8>> {
    let attempt = AttemptId::from_bytes([3; 16]);
    let proof = Proof::from_bytes([5; 32]);
    vec![
        codec::encode(&Question::Meet { proof }),
        codec::encode(&Question::Start { attempt, secret_hash: Hash::of(&[b"x"]), proof }),
        codec::encode(&Question::Follow { attempt, secret: LinkSecret::from_bytes(&mut [9; 32]) }),
        codec::encode(&Answer::Met {}),
        codec::encode(&Answer::Started {
            invited: invited(),
            invited_by: "alice@acme.example".parse().unwrap(),
            expires: TIME,
            attempt: view(),
        }),
        b"10.0.0.1:4001\n[2001:db8::1]:4001".to_vec(),
    ]
}
