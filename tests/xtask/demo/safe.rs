//! What the demonstration does once everybody is enrolled: a safe that Alice shares with Bob, files
//! of both on all three devices, and what stays closed to Bob once he is out.
//!
//! Decides the order of what is shown. What it says happened, it has just seen: every file is
//! fetched and compared.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "an answer that lacks what is shown next ends the demonstration, and says where"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use parsec_protocol::control::SafeStanding;
use parsec_protocol::ids::SafeId;
use parsec_tests::device::Device;
use parsec_tests::fixture::BOB_EMAIL;
use serde_json::{Value, json};

use super::Teller;

/// Bytes of the file that has more pieces than one.
const DRAWING_BYTES: usize = 3_000_000;

/// Files by their path in the safe.
type Files = BTreeMap<&'static str, Vec<u8>>;

/// What became of it, for the last line.
pub(super) fn show(teller: &Teller, alice: &Device, bob: &Device, tablet: &Device, folder: &Path) -> Value {
    teller.heading("A safe");
    std::fs::create_dir_all(folder).unwrap();
    let made = alice.ctl(&["safe", "create", "Plans", "--json"]).well().json();
    let id = made["safe"].as_str().unwrap().to_owned();
    let safe: SafeId = id.parse().unwrap();
    let text = "Alice makes a safe, Plans: a folder that the server can't read.";
    teller.tell("safe_created", text, json!({"safe": id, "shared": made["shared"]}));

    let mut files = Files::new();
    files.insert("/plans.txt", b"We move on the first of May.\n".to_vec());
    files.insert("/drawings/house.bin", (0..DRAWING_BYTES).map(|at| (at * at % 251) as u8).collect());
    let _ = alice.ctl(&["safe", "mkdir", "Plans:/drawings"]).well();
    for (path, contents) in &files {
        put(teller, alice, "Alice", &id, path, contents, folder);
    }

    let said = alice.ctl(&["safe", "share", "Plans", BOB_EMAIL, "--yes", "--json"]).well().json();
    let text = "Alice lets Bob in, as a contributor. In one certificate: his role, and the safe's key, sealed to his.";
    teller.tell(
        "safe_shared",
        text,
        json!({"role": said["member"]["role"], "members": said["safe"]["members"]}),
    );
    let _ = bob.until_safe(|offered| offered.safe == safe && offered.standing == SafeStanding::Offered);
    let shown = bob.ctl(&["safe", "show", &id, "--json"]).well().json();
    let by = shown["safe"]["shared_by"]["email"].as_str().unwrap_or_default().to_owned();
    let _ = bob.ctl(&["safe", "accept", &id]).well();
    let text = format!("Bob's device says that {by} offers a safe. Bob accepts it.");
    teller.tell("safe_accepted", &text, json!({"shared_by": by}));
    let _ = bob.ctl(&["safe", "sync", &id, "--wait", "120"]).well();
    files.insert("/notes from Bob.txt", b"The kitchen goes to the south.\n".to_vec());
    put(teller, bob, "Bob", &id, "/notes from Bob.txt", &files["/notes from Bob.txt"], folder);

    let _ = tablet.until_safe(|known| known.safe == safe && known.standing == SafeStanding::Accepted);
    let text = "Alice's tablet has learnt of the safe by itself, from her manifest.";
    teller.tell("safe_known", text, json!({}));
    let mut identical = true;
    for (whose, device) in [("Alice's desktop", alice), ("Bob's laptop", bob), ("Alice's tablet", tablet)] {
        let _ = device.ctl(&["safe", "sync", &id, "--wait", "120"]).well();
        let same = fetched(device, &id, &folder.join(whose.replace(' ', "-"))) == named(&files);
        identical &= same;
        let text =
            format!("{whose} has all {} files{}.", files.len(), if same { "" } else { ", AND NOT THE SAME" });
        teller.tell("files_read", &text, json!({"device": whose, "files": files.len(), "identical": same}));
    }
    let members = alice.ctl(&["safe", "members", "Plans", "--json"]).well().json();
    let members = members["members"].as_array().map_or(0, Vec::len);

    teller.heading("Bob leaves the project");
    let out = alice.ctl(&["safe", "unshare", "Plans", BOB_EMAIL, "--yes", "--json"]).well().json();
    let epoch = out["safe"]["epoch"].clone();
    let text =
        format!("Alice takes Bob out. In the same certificate the safe gets another key: number {epoch}.");
    teller.tell("safe_unshared", &text, json!({"epoch": epoch}));
    let secret = b"The keys are under the third stone.\n";
    put(teller, alice, "Alice", &id, "/later.txt", secret, folder);
    let _ = tablet.ctl(&["safe", "sync", &id, "--wait", "120"]).well();
    let there = tablet.ctl(&["safe", "cat", &format!("{id}:/later.txt")]).well().stdout.as_bytes() == secret;
    let _ = bob.until_safe(|left| left.safe == safe && left.standing == SafeStanding::Left);
    let tried = bob.ctl(&["safe", "cat", &format!("{id}:/later.txt"), "--no-input"]);
    let closed = there && tried.code != 0 && tried.stdout.is_empty();
    let text = if closed {
        "Alice's tablet reads what she wrote afterwards; to Bob's device it stays closed."
    } else {
        "WHAT ALICE WROTE AFTERWARDS IS NOT AS IT SHOULD BE."
    };
    teller.tell("closed", text, json!({"closed_to_removed": closed, "refused_with": tried.code}));
    json!({
        "members": members, "devices": 3, "files": files.len(), "identical": identical, "closed_to_removed": closed,
    })
}

/// Puts one file, and waits until it is shared.
fn put(teller: &Teller, device: &Device, who: &str, safe: &str, path: &str, contents: &[u8], folder: &Path) {
    let file = folder.join("outgoing");
    std::fs::write(&file, contents).unwrap();
    let file = file.to_str().unwrap();
    let place = format!("{safe}:{path}");
    let put = device.ctl(&["safe", "put", file, &place, "--wait", "120", "--json"]).well().json();
    let text = format!("{who} puts {path} into it: {} bytes, shared.", contents.len());
    teller.tell("file_put", &text, json!({"path": path, "bytes": put["bytes"], "seq": put["seq"]}));
}

fn named(files: &Files) -> BTreeMap<String, Vec<u8>> {
    files.iter().map(|(path, contents)| ((*path).to_owned(), contents.clone())).collect()
}

/// Fetches the whole safe into a folder; what is there then.
fn fetched(device: &Device, safe: &str, into: &Path) -> BTreeMap<String, Vec<u8>> {
    let target = into.to_str().unwrap();
    let _ = device.ctl(&["safe", "get", "-r", &format!("{safe}:/"), target]).well();
    let mut found = BTreeMap::new();
    let mut folders: Vec<PathBuf> = vec![into.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                let inside = path.strip_prefix(into).unwrap().to_str().unwrap();
                found.insert(format!("/{inside}"), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}
