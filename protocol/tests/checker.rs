//! What `tests/checker/check.py` says, which was written from docs/protocol.md alone, against what
//! this crate says: of the test vectors, and of logs, receipts and codes made at random
//! (docs/assurance.md, B5).
//!
//! Decides what is compared: how many certificates of a log stand, the head there, and whether one
//! follows that doesn't; the words for why are each program's own.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

#[path = "support/checker.rs"]
mod asked;
#[path = "support/evidence.rs"]
mod made;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use asked::{Checker, hex, program, python_is_here};
use parsec_protocol::chain::organisation::certificate::{Body, Profile};
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::codec;
use parsec_protocol::enrol::link::Link;
use parsec_protocol::enrol::proofs::{commitment, root_commitment};
use parsec_protocol::enrol::sas::{Codes, SasInputs};
use parsec_protocol::evidence::export::LogExport;
use parsec_protocol::evidence::fork::{ForkProof, Witness};
use parsec_protocol::evidence::receipt::EnrolmentReceipt;
use parsec_protocol::ids::{Email, INVISIBLE, Label};
use parsec_protocol::keys::{Entropy as _, UserSeed};
use parsec_protocol::p2p::Hints;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::sealing::{EncryptionKey, Randomness, seal};
use serde_json::json;
use support::{
    By, Org, Seed, abandoned, device, device_body, directory_body, draw, envelope, key_change, read,
    recovery_body, root_key, runs, signing_key, user, user_body,
};
use zeroize::Zeroizing;

/// Questions in all: as usual, and in a full run.
const QUESTIONS: (u64, u64) = (300, 10_000);

fn vectors_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors")
}

fn hash(seed: &mut Seed) -> Hash {
    let mut bytes = [0; 32];
    seed.fill(&mut bytes).unwrap();
    Hash::from_bytes(bytes)
}

/// A log: the usual cast, then statements by anybody about anybody, and now and then something that
/// a server could do to it.
fn log(seed: &mut Seed, base: &Org) -> Vec<Vec<u8>> {
    let mut org = base.clone();
    for _ in 0..draw(seed, 4) {
        let profiles = [Profile::Administrator, Profile::Standard, Profile::Outsider];
        let (one, other) = (draw(seed, 8) as u64, draw(seed, 8) as u64);
        let body = match draw(seed, 10) {
            0 => user_body(one, profiles[draw(seed, 3)]),
            1 | 2 => device_body(if draw(seed, 2) == 0 { 20 + one } else { one }, other),
            3 => Body::ProfileChange { user: user(one), profile: profiles[draw(seed, 3)] },
            4 => Body::UserRevoked { user: user(one) },
            5 => Body::DeviceRevoked { device: device(one) },
            6 => recovery_body(20 + one, other),
            7 => {
                let present = org.log.directory_keys().last().map_or(1, |key| key.number);
                directory_body(present + u32::from(draw(seed, 4) > 0))
            }
            _ => {
                // Of those there are, so that it is often one's own.
                let (one, first) = (one % 5, 30 + draw(seed, 3) as u64);
                let mine = org.log.user(&user(one)).unwrap().encryption_key;
                let mut change = key_change(one, one, 100 + draw(seed, 3) as u64);
                if let Body::UserKeyChanged { previous, abandoned: devices, .. } = &mut change {
                    *previous = if draw(seed, 4) == 0 { *previous } else { mine };
                    *devices = abandoned(first..first + draw(seed, 3) as u64);
                }
                change
            }
        };
        let by = By::Device([0, 0, 1, 2, 2, 3, 4, 10, 20][draw(seed, 9)]);
        let mut payload = org.payload(by, body);
        match draw(seed, 8) {
            0 => payload.seen = org.log.head_at(draw(seed, org.envelopes.len()) as u64).unwrap(),
            1 => payload.time.0 -= draw(seed, 20) as u64,
            2 => payload.seen.hash = hash(seed),
            _ => {}
        }
        let next = envelope(by, &payload);
        // One that may not stand ends the log; often it is tried as the last.
        if org.log.push(&next).is_ok() || draw(seed, 3) == 0 {
            org.envelopes.push(next);
        }
    }
    let mut log = org.envelopes;
    let at = draw(seed, log.len());
    let to = draw(seed, log.len());
    match draw(seed, 8) {
        0 => {
            let byte = draw(seed, log[at].len());
            log[at][byte] ^= 1 << draw(seed, 8);
        }
        1 => drop(log.remove(at)),
        2 => log.swap(at, to),
        3 => log.insert(to, log[at].clone()),
        4 => log[at].push(0),
        _ => {}
    }
    log
}

/// One question about a log; whether both say the same.
fn log_agrees(checker: &mut Checker, seed: &mut Seed, base: &Org) -> bool {
    let envelopes = log(seed, base);
    let (count, head, sound) = match read(&envelopes) {
        Ok(log) => (log.head().count, log.head().hash, true),
        Err(error) => {
            let good = read(&envelopes[..usize::try_from(error.position).unwrap()]).unwrap();
            (error.position, good.head().hash, false)
        }
    };
    let envelopes: Vec<String> = envelopes.iter().map(|envelope| hex(envelope)).collect();
    let root = hex(root_key(0).verify_key().as_bytes());
    let said =
        checker.ask(&json!({"kind": "log", "organisation": "acme", "root": root, "envelopes": envelopes}));
    (&said["count"], &said["head"], said["why"].is_null()) == (&json!(count), &json!(head.to_string()), sound)
}

/// One about the arithmetic of a ceremony.
fn codes_agree(checker: &mut Checker, seed: &mut Seed) -> bool {
    let mut split = Zeroizing::new([0; 64]);
    seed.fill(split.as_mut_slice()).unwrap();
    let (h, claimer, greeter, covered) = (hash(seed), hash(seed), hash(seed), hash(seed));
    let root = signing_key(draw(seed, 1000) as u64).verify_key();
    let typing = draw(seed, 2) == 1;
    let codes = Codes::derive(&SasInputs {
        split_keys: &split,
        handshake: &h,
        claimer_nonce: claimer.as_bytes(),
        greeter_nonce: greeter.as_bytes(),
        root_commitment: &covered,
        typing_required: typing,
    });
    let said = checker.ask(&json!({
        "kind": "codes", "split": hex(split.as_slice()), "h": h.to_string(), "claimer": claimer.to_string(),
        "greeter": greeter.to_string(), "root commitment": covered.to_string(), "root": hex(root.as_bytes()), "typing": typing,
    }));
    said == json!({
        "claimer": codes.claimer.to_string(),
        "greeter": codes.greeter.to_string(),
        "commitment": commitment(claimer.as_bytes(), &h).to_string(),
        "root commitment": root_commitment(greeter.as_bytes(), &h, &root).to_string(),
    })
}

/// One about a box and the key it is for, each good or changed.
fn box_agrees(checker: &mut Checker, seed: &mut Seed) -> bool {
    let mut bytes = |count: usize| {
        let mut bytes = vec![0; count];
        seed.fill(&mut bytes).unwrap();
        bytes
    };
    let (own, drawn, info, aad, text) = (bytes(32), bytes(64), bytes(20), bytes(3), bytes(40));
    let own_seed = UserSeed::from_slice(&own).unwrap();
    let key = own_seed.encryption_key();
    let randomness = Randomness::from_slice(&drawn).unwrap();
    let mut sealed = seal(&key, &info, &aad, &text, randomness).unwrap();
    let mut changed_key = *key.as_bytes();
    if draw(seed, 2) == 0 {
        let (in_box, in_key) = (draw(seed, sealed.len()), draw(seed, changed_key.len()));
        sealed[in_box] ^= 1 << draw(seed, 8);
        changed_key[in_key] |= 0xf0;
    }
    let opened = own_seed.open(&sealed, &info, &aad).ok();
    let said = checker.ask(&json!({
        "kind": "box", "seed": hex(&own), "info": hex(&info), "associated": hex(&aad), "box": hex(&sealed),
        "randomness": hex(&drawn),
    }));
    let opens = said["gives"] == json!(opened.map(|opened| json!({"plaintext": hex(opened.expose())})));
    let said = checker.ask(&json!({"kind": "key", "suite": 1, "key": hex(&changed_key)}));
    let sound = EncryptionKey::from_bytes(&changed_key).ok();
    opens && said["gives"] == json!(sound.map(|key| json!({"hash": key.hash()})))
}

/// One about a receipt, good or changed.
fn receipt_agrees(checker: &mut Checker, seed: &mut Seed) -> bool {
    let key = signing_key(draw(seed, 20) as u64);
    let hashes = (0..=draw(seed, 2)).map(|_| hash(seed)).collect();
    let receipt = ClaimReceipt::sign(&key, hash(seed), hashes, root_key(0).verify_key(), hash(seed));
    let mut message = codec::encode(&receipt);
    if draw(seed, 2) == 0 {
        let at = draw(seed, message.len());
        message[at] ^= 1 << draw(seed, 8);
    }
    let valid = codec::decode::<ClaimReceipt>(&message, 256)
        .is_ok_and(|receipt| receipt.verify(&key.verify_key()).is_ok());
    let device = hex(key.verify_key().as_bytes());
    checker.ask(&json!({"kind": "receipt", "receipt": hex(&message), "device": device}))
        == json!({"valid": valid})
}

/// An evidence file, good or changed: in a byte, in a part, or in what fits together.
fn file(seed: &mut Seed) -> Vec<u8> {
    let number = 50 + draw(seed, 40) as u64;
    let mut file = match draw(seed, 4) {
        0 => {
            let org = Org::staffed();
            // Two of these devices are revoked; the second log is longer than the head says.
            let by = [0, 2, 3, 4, 10, 20][draw(seed, 6)];
            let head = (draw(seed, 4) > 0).then(|| made::head_by(&org, by));
            let mut shown = org;
            if draw(seed, 4) == 0 {
                shown.say(By::Device(2), device_body(number, 2));
            }
            made::export(&shown, head).encode()
        }
        1 => {
            let sides = made::parted([1 + draw(seed, 3) as u64, 1 + draw(seed, 3) as u64], number);
            let heads = [0, 1].map(|_| (draw(seed, 2) == 0).then(|| [1, 2, 3][draw(seed, 3)]));
            // Where nobody vouches for one of them there is no proof, and an export in its place.
            match made::proof(&sides, heads) {
                Some(mut proof) => {
                    match draw(seed, 4) {
                        0 => proof.branches[0].witness = Witness::Certificate { index: draw(seed, 2) as u64 },
                        1 => proof.branches[1].witness = proof.branches[0].witness.clone(),
                        2 => drop(proof.branches[draw(seed, 2)].certificates.pop()),
                        _ => {}
                    }
                    proof.encode()
                }
                None => made::export(&sides[0], None).encode(),
            }
        }
        2 => {
            let [own, other] = made::parted([2, 4], number);
            let foreign = &other.envelopes[own.envelopes.len() - 1];
            let mut proof = made::foreign_view(&own, foreign).unwrap();
            match draw(seed, 4) {
                0 => {
                    let envelope = other.envelopes[own.envelopes.len() - 2 + draw(seed, 4)].clone();
                    proof.branches[1].witness = Witness::ForeignView { envelope: envelope.into() };
                }
                1 => drop(proof.common.pop()),
                _ => {}
            }
            proof.encode()
        }
        _ => {
            let mut enrolled = made::enrolled(number, draw(seed, 2) == 0);
            match draw(seed, 6) {
                0 => enrolled.statement.device = device(number + 1),
                1 => enrolled.statement.bits = 20,
                2 => enrolled.certificates.reverse(),
                3 => enrolled.statement.seen.count += 1,
                _ => {}
            }
            enrolled.file().encode()
        }
    };
    if draw(seed, 3) == 0 {
        let at = draw(seed, file.len());
        file[at] ^= 1 << draw(seed, 8);
    }
    file
}

/// One about an evidence file.
fn file_agrees(checker: &mut Checker, seed: &mut Seed) -> bool {
    let file = file(seed);
    let valid = |kind: &str, valid: bool| valid.then(|| kind.to_owned());
    let log = LogExport::decode(&file).is_ok_and(|it| it.verify().is_ok());
    let fork = ForkProof::decode(&file).is_ok_and(|it| it.verify().is_ok());
    let receipt = EnrolmentReceipt::decode(&file).is_ok_and(|it| it.verify().is_ok());
    let ours = valid("parsec-log", log).or(valid("parsec-fork", fork)).or(valid("parsec-receipt", receipt));
    checker.ask(&json!({"kind": "file", "file": hex(&file)})) == json!({"valid": ours})
}

/// A text of what matters for `kind`, at random.
fn text(seed: &mut Seed, kind: &str) -> String {
    let pieces: &[&str] = match kind {
        "label" => &[
            "a",
            "Bob",
            " ",
            "é",
            "e\u{301}",
            "ж",
            "न्द",
            "क",
            "\u{94d}",
            "ෂ",
            "\u{dca}",
            "ی",
            "ز",
            "د",
            "\u{651}",
            "\u{64e}",
            "\u{200c}",
            "\u{200d}",
            "\u{fe0f}",
            "\u{fe0e}",
            "\u{fe00}",
            "\u{e0100}",
            "葛",
            "ᠠ",
            "\u{180b}",
            "\u{180e}",
            "❤",
            "👩",
            "🏽",
            "🇫🇷",
            "1",
            "\u{20e3}",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "\u{e0067}",
            "각",
            "\u{1100}",
            "\u{1161}",
            "\u{600}",
            "\u{903}",
            "\u{302}",
            "\u{327}",
            "ཧ\u{f90}",
            "\u{a0}",
            "\u{202e}",
            "\u{e000}",
            "\u{3164}",
            "\u{2126}",
            "\r\n",
            "ক",
            "\u{9cd}",
            "\u{9be}",
            "ก",
            "\u{e33}",
            "\u{13430}",
            "\u{2066}",
            "\u{200b}",
            "ᠢ",
            "👨\u{200d}👩\u{200d}👧\u{200d}👦",
        ],
        "email" => &[
            "a",
            "b1",
            "@",
            ".",
            "-",
            "_",
            "+",
            ",",
            ";",
            "\"",
            " ",
            "x.org",
            "[",
            "é",
            "A",
            "'",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ],
        _ => &[
            "https://",
            "http://",
            "parsec://",
            "HTTPS://",
            "example.org",
            "Example.org",
            "localhost",
            "127.0.0.1",
            "127.1",
            "0x7f.1",
            "[::1]",
            "[2001:db8::1]",
            "[2001:db8:0::1]",
            "1",
            ".",
            "-",
            ":",
            ":443",
            ":80",
            ":8443",
            ":0",
            "a",
            "xn--a",
            "_",
            "%61",
            "/",
        ],
    };
    let most = if draw(seed, 8) == 0 { 70 } else { 6 };
    (0..=draw(seed, most)).map(|_| pieces[draw(seed, pieces.len())]).collect()
}

/// One about a text that somebody gives: a name, an e-mail address, a link, the hints in one.
fn text_agrees(checker: &mut Checker, seed: &mut Seed) -> bool {
    let kind = ["label", "label", "email", "link", "hints"][draw(seed, 5)];
    let given = match kind {
        "link" => {
            let payload = "hQEAUAABAgMEBQYHCAkKCwwNDg9YICAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4_gA";
            // The address is what differs between readers.
            let path = ["/join/acme", "/acme", "/join/acme/", "/join/Acme"][draw(seed, 4)];
            json!({"text": format!("{}{path}#{payload}", text(seed, kind))})
        }
        "hints" => {
            let mut address = |quoted: bool| {
                let bits = [draw(seed, 256), draw(seed, 256), draw(seed, 4), draw(seed, 4)];
                let first = [0, 10, 127, 169, 192, 223, 224, 240, 255][draw(seed, 9)];
                match draw(seed, 3) {
                    0 if quoted => format!(
                        "[{:x}:{:x}::{:x}]",
                        [0, 0x2001, 0xfe80, 0xfec0, 0xff02][draw(seed, 5)],
                        bits[2],
                        bits[3]
                    ),
                    0 => format!(
                        "{:x}:{:x}::{:x}",
                        [0, 0x2001, 0xfe80, 0xff02][draw(seed, 4)],
                        bits[2],
                        bits[3]
                    ),
                    _ => format!("{first}.{}.{}.{}", [254, bits[1]][draw(seed, 2)], bits[2], bits[0]),
                }
            };
            let (plain, quoted) = (address(false), address(true));
            let port = [0, 22, 443, 1023, 1024, 40_000, 65_535, 65_536][draw(seed, 8)];
            let hint = match draw(seed, 4) {
                0 => format!("/ip4/{plain}/udp/{port}/quic-v1/p2p/QmA"),
                1 => format!("/ip6/{plain}/tcp/{port}/p2p/QmA"),
                _ => format!("{quoted}:{port}"),
            };
            let peer = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
            json!({"hints": [peer, hint], "here": draw(seed, 2) == 1})
        }
        _ => json!({"text": text(seed, kind)}),
    };
    let text = given["text"].as_str().unwrap_or_default();
    let ours = match kind {
        "label" => text.parse::<Label>().is_ok_and(|name| name.as_str() == text),
        "email" => text.parse::<Email>().is_ok_and(|email| email.as_str() == text),
        "link" => text.parse::<Link>().is_ok(),
        _ => {
            let hints: Vec<String> = serde_json::from_value(given["hints"].clone()).unwrap();
            Hints::read(&hints, given["here"].as_bool().unwrap()).is_ok()
        }
    };
    let mut question = given;
    question["kind"] = json!(kind);
    let agrees = checker.ask(&question)["gives"].is_null() != ours;
    if !agrees {
        println!("{question}: ours {ours}");
    }
    agrees
}

/// Every character at an end of a range that Unicode or the document names: alone between letters,
/// and where some belong.
#[test]
fn both_know_the_same_invisible_characters() {
    if !python_is_here() {
        return;
    }
    let mut checker = Checker::start(None);
    for range in INVISIBLE {
        let (first, last) = (u32::from(*range.start()), u32::from(*range.end()));
        // The hieroglyphs beside the controls are newer than the Unicode data of older Pythons.
        let ends =
            [first - 1, first, last, last + 1].into_iter().filter(|c| !matches!(c, 0x1_342f | 0x1_3440));
        for c in ends.filter_map(char::from_u32) {
            for text in [
                format!("a{c}b"),
                format!("क\u{94d}{c}ष"),
                format!("❤{c}"),
                format!("葛{c}"),
                format!("ᠠ{c}ᠠ"),
            ] {
                let ours = text.parse::<Label>().is_ok_and(|name| name.as_str() == text);
                let theirs = checker.ask(&json!({"kind": "label", "text": text}));
                assert_eq!(!theirs["gives"].is_null(), ours, "{text:?}");
            }
        }
    }
}

/// How many of so many questions the two disagree about.
fn disagreements(forget: Option<&str>, count: u64) -> u64 {
    let mut checker = Checker::start(forget);
    let base = Org::staffed();
    let mut wrong = 0;
    for number in 0..count {
        let mut seed = Seed(number << 32);
        let agrees = match number % 10 {
            0 => codes_agree(&mut checker, &mut seed),
            1 => box_agrees(&mut checker, &mut seed),
            2 => receipt_agrees(&mut checker, &mut seed),
            3 | 4 => file_agrees(&mut checker, &mut seed),
            5 | 6 => text_agrees(&mut checker, &mut seed),
            _ => log_agrees(&mut checker, &mut seed, &base),
        };
        if !agrees && forget.is_none() {
            println!("they disagree about question {number}");
        }
        wrong += u64::from(!agrees);
    }
    wrong
}

#[test]
fn two_readers_of_one_document_agree() {
    if !python_is_here() {
        return;
    }
    let judged = Command::new("python3")
        .arg("-B")
        .arg(program())
        .arg("vectors")
        .arg(vectors_folder())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&judged.stdout).into_owned();
    assert!(judged.status.success(), "{said}");
    let count = runs(QUESTIONS.0, QUESTIONS.1);
    let wrong = disagreements(None, count);
    println!(
        "figure B5: {}; {count} random logs, receipts, codes, boxes, evidence files, names and addresses, seeds from 0: {wrong} disagreements",
        said.trim()
    );
    assert_eq!(wrong, 0);
}

/// The mutants: a reader that forgets a rule is found out.
#[test]
fn a_reader_that_forgets_a_rule_disagrees() {
    if !python_is_here() {
        return;
    }
    for rule in [
        "signature",
        "seen",
        "administrator",
        "vouches for too little",
        "head elsewhere",
        "not a foreign view",
        "a name",
    ] {
        assert!(disagreements(Some(rule), QUESTIONS.0) > 0, "{rule}");
    }
}

/// The same of rules that random questions don't reach: a vector of each is judged otherwise.
#[test]
fn a_reader_that_forgets_a_rule_misjudges_a_vector() {
    if !python_is_here() {
        return;
    }
    for (layer, rule) in [
        ("key", "unknown suite"),
        ("key", "reduced"),
        ("key", "X25519 half"),
        ("box", "X25519 key of a box"),
        ("box", "another box"),
        ("user-key", "the certified key"),
        ("directory", "the key of the check"),
        ("directory", "the ring of the certificate"),
        ("directory", "earlier keys in order"),
        ("log", "not next"),
        ("log", "stale directory key"),
        ("log", "nobody left"),
        ("log", "user revoked"),
        ("log", "author revoked"),
        ("log", "another's key"),
        ("log", "stale key"),
        ("log", "too many key changes"),
        ("log", "encryption key taken"),
        ("log", "abandoned in order"),
        ("log", "abandoned too many"),
        ("log", "abandoned before"),
        ("log", "recovery device"),
        ("kit", "checksum of words"),
        ("kit", "another organisation's kit"),
        ("kit", "the kit's certificate"),
        ("plan", "numbers of shares"),
        ("plan", "members"),
        ("plan", "signature"),
        ("share", "the kit of the plan"),
        ("name", "directory key's number"),
        ("manifest", "unknown key"),
        ("channel", "another link or prologue"),
        ("ceremony", "a changed message"),
        ("safe-key", "key check"),
        ("safe-box", "key check"),
        ("safe-ring", "another ring"),
        ("safe-ring", "list of a ring"),
        ("safe-ring", "past"),
        ("safe-ring", "parts"),
        ("safe-ring", "hash of a part"),
        ("safe-ring", "boxes of a part"),
        ("safe-past", "number of keys"),
        ("safe-record", "length"),
        ("safe-record", "padding"),
        ("safe-record", "rules of a later version"),
        ("safe-object", "hash of an object"),
        ("safe-piece", "length of a piece"),
        ("safe-piece", "padding of a piece"),
        ("safe-piece", "number of references"),
    ] {
        let mut command = Command::new("python3");
        command.arg("-B").arg(program()).args(["--forget", rule, "vectors"]).arg(vectors_folder()).arg(layer);
        let said = command.output().unwrap();
        assert_eq!(said.status.code(), Some(1), "{rule}: {}", String::from_utf8_lossy(&said.stdout));
    }
}
