//! A whole safe as a real server has it, read by a program that was written from docs/protocol.md
//! alone: both logs, every record, the tree, and what is in the files.
//!
//! Decides that nothing about it depends on this implementation: the other one finds the same
//! heads, the same void records, one state root, and bytes that are those that were put.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use parsec_protocol::codec;
use parsec_protocol::control::{SafeRole, SafeStanding, SafeSummary};
use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{Least, LogPage, ObjectHeads, ObjectIds, path};
use parsec_protocol::safe_log::certificate;
use parsec_protocol::safe_log::ring::RingHead;
use parsec_protocol::safes::change::{Inside, RULES_VERSION};
use parsec_tests::fixture::{ALICE_AGAIN, ALICE_PASSWORD, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::insider::{Insider, View, folder};
use parsec_tests::metrics::figure;
use parsec_tests::own_devices::only;
use parsec_tests::proxy::Honest;
use parsec_tests::safes::{Safe, create, is_well};
use parsec_tests::server::NO_LIMITS;
use parsec_tests::{installed, skip};
use serde_json::{Value, json};

use super::offline::Away;
use super::{PLANS, enrol_bob, enrol_own};

/// Longest answer with objects that is read.
const OBJECTS_BYTES: usize = 2_000_000;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Certificates and records in their one order.
fn items(view: &View) -> Vec<Value> {
    let mut records = view.records.iter().enumerate().peekable();
    let mut items = Vec::new();
    for envelope in &view.certificates {
        let payload = certificate::Envelope::decode(envelope).unwrap().payload().unwrap();
        while let Some((_, record)) = records.next_if(|(seq, _)| (*seq as u64) < payload.place.count) {
            items.push(json!([1, hex(record)]));
        }
        items.push(json!([0, hex(envelope)]));
    }
    items.extend(records.map(|(_, record)| json!([1, hex(record)])));
    items
}

/// Every object that a record of the safe has added and that the server still has.
fn objects(alice: &Insider, safe: SafeId, view: &View) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let payloads = view.records.iter().map(|record| {
        parsec_protocol::safe_log::record::Envelope::decode(record).unwrap().payload().unwrap()
    });
    let ids: Vec<ObjectId> = payloads.flat_map(|payload| payload.adds).collect();
    let target = path::safe_objects_fetch(alice.organisation(), &safe);
    for id in ids {
        let body = codec::encode(&ObjectIds { objects: vec![id] });
        let (status, answer) = alice.call("POST", &target, &body, Hash::of(&[&body]));
        assert_eq!(status, 200);
        assert!(answer.len() < OBJECTS_BYTES);
        let length = u32::from_be_bytes(answer[..4].try_into().unwrap()) as usize;
        let heads = ObjectHeads::read(&answer[4..4 + length]).unwrap();
        assert_eq!(heads.0.len(), 1, "{id}");
        found.insert(id.to_string(), hex(&answer[4 + length..]));
    }
    found
}

/// Whose ring each epoch has, and its parts.
fn rings(alice: &Insider, safe: SafeId, view: &View) -> [BTreeMap<String, String>; 2] {
    let [mut rings, mut parts] = [BTreeMap::new(), BTreeMap::new()];
    let last = view.verified.present().unwrap().key.epoch;
    let hash = view.verified.epoch(last).unwrap().key.ring;
    let get = |target: &str| {
        let (status, bytes) = alice.call("GET", target, &[], Hash::of(&[]));
        assert_eq!(status, 200, "{target}");
        bytes
    };
    let head = get(&path::safe_ring(alice.organisation(), &safe, &hash));
    for part in RingHead::decode(&head).unwrap().parts {
        parts.insert(part.to_string(), hex(&get(&path::safe_part(alice.organisation(), &safe, &part))));
    }
    rings.insert(hash.to_string(), hex(&head));
    [rings, parts]
}

/// Some weeks in the life of a safe, in a minute.
fn life(fixture: &Fixture) -> SafeId {
    let tablet = enrol_own(fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    let bob = enrol_bob(fixture);
    let made = create(&fixture.alice, PLANS);
    let id = made.safe.to_string();
    let _ = tablet.until_safe(|safe| safe.safe == made.safe && is_well(safe));
    let (alice, bob, there) = (
        Safe { device: &fixture.alice, name: PLANS },
        Safe { device: &bob, name: &id },
        Safe { device: &tablet, name: &id },
    );
    let run = |line: &[&str]| {
        let _ = fixture.alice.ctl(&[line, &["--wait", "60"]].concat()).well();
    };
    alice.put_shared("/draft.odt", b"first");
    alice.put_shared("/draft.odt", &vec![7; 3_000]);
    // Holes above sixteen pieces: references in a page, one of them an object.
    let sparse = fixture.path("sparse");
    let file = fs::File::create(&sparse).unwrap();
    file.set_len(9 * 1_024 * 1_024).unwrap();
    file.write_all_at(b"in the middle", 5_000_000).unwrap();
    run(&["safe", "put", sparse.to_str().unwrap(), "Plans:/sparse"]);
    run(&["safe", "mkdir", "-p", "Plans:/2026/autumn"]);
    run(&["safe", "mv", "Plans:/draft.odt", "Plans:/2026/autumn/report.odt"]);
    run(&["safe", "cp", "Plans:/2026/autumn/report.odt", "Plans:/copy"]);
    alice.put_shared("/over", b"goes under");
    run(&["safe", "mv", "--force", "Plans:/copy", "Plans:/over"]);
    run(&["safe", "rm", "-r", "Plans:/2026"]);
    run(&["safe", "rename", "Plans", "Plans and more"]);
    let alice = Safe { name: &id, ..alice };
    alice.share(BOB_EMAIL, SafeRole::Contributor).unwrap();
    let offered = |safe: &SafeSummary| safe.safe == made.safe && safe.standing == SafeStanding::Offered;
    let _ = bob.device.until_safe(offered);
    bob.accept().unwrap();
    bob.sync();
    bob.put_shared("/by Bob", b"Bob was here");
    // Two at once: a conflict copy.
    there.sync();
    fixture.proxy.meddle(Arc::new(Away(only(&tablet))));
    fixture.proxy.cut();
    let saved = there.put("/by Bob", b"the tablet's", 0).unwrap();
    assert!(!saved.shared);
    bob.put_shared("/by Bob", b"Bob again");
    fixture.proxy.meddle(Arc::new(Honest));
    there.sync();
    // Out, in again, and gone by himself: two more keys.
    alice.sync();
    alice.unshare(BOB_EMAIL).unwrap();
    alice.put_shared("/after", b"not for Bob");
    alice.share(BOB_EMAIL, SafeRole::Contributor).unwrap();
    let offered = |safe: &SafeSummary| safe.safe == made.safe && safe.standing == SafeStanding::Offered;
    let _ = bob.device.until_safe(offered);
    bob.accept().unwrap();
    bob.sync();
    bob.put_shared("/once more", b"Bob is back");
    made.safe
}

#[test]
fn another_reader_of_the_document_finds_the_same_safe() {
    if !installed("python3") {
        return skip("another_reader_of_the_document_finds_the_same_safe", "python3 is not installed");
    }
    let mut fixture =
        Fixture::found(FixtureOptions { server_options: NO_LIMITS, ..FixtureOptions::default() });
    let safe = life(&fixture);
    let alice = Insider::of(&mut fixture.alice, ALICE_PASSWORD, &fixture.server);
    let mut view = alice.view(safe);
    // One that is void: a record of nonsense in its place.
    let payload = alice.next_record(&view);
    let nonsense = alice.seal_bytes(&view, payload, b"nonsense");
    let void = alice.posted(safe, &nonsense);
    alice.take(&mut view, nonsense);
    // And one that says that there was another tree: folded, and told.
    let inside =
        Inside { rules: RULES_VERSION, root: Hash::of(&[b"another"]), changes: vec![folder(safe, "last")] };
    let payload = alice.next_record(&view);
    let other = alice.seal(&view, payload, &inside);
    let told = alice.posted(safe, &other);
    alice.take(&mut view, other);

    let log = path::log(alice.organisation(), 0, Least::NOTHING);
    let log: LogPage = alice.ask("GET", &log, &[]).unwrap();
    let [rings, parts] = rings(&alice, safe, &view);
    let given = json!({
        "organisation": alice.organisation().as_str(),
        "root": hex(alice.log.root().as_bytes()),
        "envelopes": log.certificates.iter().map(|envelope| hex(envelope)).collect::<Vec<_>>(),
        "safe": safe.to_string(),
        "items": items(&view),
        "user": alice.user().to_string(),
        "seed": hex(alice.open.keys.user_seed.expose()),
        "rings": rings,
        "parts": parts,
        "objects": objects(&alice, safe, &view),
    });
    let asked = fixture.path("safe.json");
    fs::write(&asked, given.to_string()).unwrap();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("checker/check.py");
    let said = Command::new("python3").arg("-B").arg(&program).arg("safe").arg(&asked).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.success(), "{text}{}", String::from_utf8_lossy(&said.stderr));
    let found: Value = serde_json::from_str(&text).unwrap();

    let present = view.verified.present().unwrap();
    assert_eq!(found["items"], view.certificates.len() + view.records.len());
    assert_eq!(found["log"], present.log.hash.to_string());
    assert_eq!(found["journal"], present.journal.hash.to_string());
    assert_eq!(found["root"], view.state.state_root().to_string());
    assert_eq!(found["void"], json!([void]));
    assert_eq!(found["another tree"], json!([told]));
    assert_eq!(found["name"], "Plans and more");
    let mut sparse = vec![0; 9 * 1_024 * 1_024];
    sparse[5_000_000..][..13].copy_from_slice(b"in the middle");
    let of = |contents: &[u8]| json!(Hash::of(&[contents]).to_string());
    let files = found["files"].as_object().unwrap();
    assert_eq!(files[&hex(b"/sparse")], of(&sparse));
    assert_eq!(files[&hex(b"/over")], of(&[7; 3_000]));
    assert_eq!(files[&hex(b"/after")], of(b"not for Bob"));
    assert_eq!(files[&hex(b"/last")], Value::Null);
    let held: Vec<&Value> = files.values().collect();
    for contents in [&b"Bob again"[..], b"the tablet's", b"Bob is back"] {
        assert!(held.contains(&&of(contents)), "{files:?}");
    }
    figure(
        "B5",
        &format!(
            "a safe of a real server, {} certificates, {} records, {} keys, {} files: the same heads, the same tree, the same bytes",
            view.certificates.len(),
            view.records.len(),
            present.key.epoch + 1,
            files.len()
        ),
    );

    // The control: a byte of any item, and the other reader stops there.
    let mut bad = given;
    let last = bad["items"].as_array().unwrap().len() - 3;
    let item = bad["items"][last][1].as_str().unwrap().to_owned();
    let middle = item.len() / 2;
    let digit = if &item[middle..=middle] == "0" { "1" } else { "0" };
    bad["items"][last][1] = json!(format!("{}{digit}{}", &item[..middle], &item[middle + 1..]));
    fs::write(&asked, bad.to_string()).unwrap();
    let said = Command::new("python3").arg("-B").arg(&program).arg("safe").arg(&asked).output().unwrap();
    let found: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!((said.status.code(), &found["items"]), (Some(1), &json!(last)));
}
