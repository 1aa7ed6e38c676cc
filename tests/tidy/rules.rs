//! The rules about one file at a time: header, length, names, prints, secrets, and where the text
//! came from.
//!
//! Decides by exact lists: who may print, who may see a secret's bytes. A new entry in a list is a
//! decision that a reader sees in the change.

use std::collections::BTreeMap;

use super::Finding;
use super::source::{Source, is_test_path};

/// Longest file, tests not counted.
const LINES_MAX: usize = 500;
/// Most lines the file in the middle may have.
const LINES_MEDIAN_MAX: usize = 200;

/// Largest share of a crate's lines that one room may have, in hundredths. Above it, a newcomer
/// can't guess what is inside.
const ROOM_MAX_PERCENT: usize = 18;

/// Names that say nothing: what is inside grows without end.
const EMPTY_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "common", "manager", "misc"];

/// Where output is made. Everything else hands text or events to these.
const PRINTERS: &[&str] = &["ctl/src/output.rs", "ctl/src/prompt/mod.rs"];

/// Every file that sees the bytes of a secret, with what it needs them for.
const EXPOSERS: &[(&str, &str)] = &[
    (
        "protocol/src/keys.rs",
        "signs with the seed, recomputes public halves, encodes for the key file and message 7",
    ),
    ("protocol/src/control/secret.rs", "defines it"),
    ("protocol/src/enrol/", "keys the channel with the link secret, hands the user keys over in message 7"),
    ("protocol/src/chain/organisation/members.rs", "seals and opens names under the directory key"),
    ("protocol/src/name_keys.rs", "copies directory keys into records that are encrypted at once"),
    (
        "protocol/src/directory.rs",
        "fixes a directory key by its check, seals it to members, and the earlier ones under it",
    ),
    ("daemon/src/store/directory.rs", "keeps directory keys in the encrypted store"),
    ("protocol/src/chain/checkpoint.rs", "derives the checkpoint's key from the store key"),
    ("protocol/src/manifest/mod.rs", "seals and opens the manifest"),
    (
        "protocol/src/sealing/open.rs",
        "makes the private keys out of a seed, for its public key and for a box",
    ),
    ("protocol/src/user_key.rs", "seals the user's seed to the user's devices"),
    (
        "protocol/src/recovery.rs",
        "makes words of a kit's seed, holds it against the root key, derives the kit's keys",
    ),
    (
        "protocol/src/shares/mod.rs",
        "splits a kit's bytes, puts them together, and holds a share against its plan",
    ),
    (
        "ctl/src/commands/recovery/sharing.rs",
        "gives one password twice: for the share that is kept, and for the device that comes of it",
    ),
    (
        "daemon/src/recovery/",
        "reads the words that somebody typed, hands the user's keys to the device that a kit brings",
    ),
    ("ctl/src/commands/recovery/page.rs", "writes a kit's words onto its page"),
    ("protocol/src/safes/keys.rs", "derives every key of a safe, and the check by which the log fixes it"),
    ("protocol/src/safes/boxes.rs", "seals a safe's key to its members, takes it out of one's own box"),
    ("protocol/src/safes/past.rs", "seals and opens the keys of earlier epochs"),
    ("protocol/src/safes/object.rs", "derives the key of each object, seals and opens it"),
    ("protocol/src/safes/content.rs", "makes the digest of a file"),
    ("protocol/src/safes/seal.rs", "seals and opens the inside of records"),
    ("daemon/src/store/user_keys.rs", "keeps the user's later seeds in the encrypted store"),
    ("daemon/src/store/safes/keys.rs", "keeps the keys of safes in the encrypted store"),
    ("daemon/src/store/keyfile.rs", "takes the password for age, compares the seed with the certified key"),
    ("daemon/src/store/database.rs", "hands the store key to SQLCipher"),
    ("daemon/src/store/invitations.rs", "keeps link secrets in the encrypted store, for greeting later"),
    ("daemon/src/engine/bootstrap.rs", "shows the bootstrap token to the server that gave it out"),
    ("daemon/src/problems.rs", "finds the link in what somebody claims with or tries to reach"),
    ("daemon/src/tokens/mod.rs", "hashes what a plug-in presents"),
    ("daemon/src/enrolment/claim.rs", "draws an attempt's secret, and keeps it beside the receipt it is for"),
    ("daemon/src/enrolment/recovery.rs", "ends an attempt with its secret after a crash"),
    (
        "daemon/src/enrolment/p2p/",
        "shows an attempt's secret to the greeter, gives the greeter's end its link secret",
    ),
    ("daemon/src/calls/invitations.rs", "keeps the link secret that it writes into a link"),
    ("daemon/src/p2p/host.rs", "hashes what a claimer shows"),
    ("daemon/src/p2p/node/library.rs", "gives a node its identity"),
    ("protocol/src/direct/hello.rs", "derives what seals hellos from a safe's key for them"),
    ("protocol/src/p2p/proof.rs", "derives the key of proofs from the link secret"),
    ("ctl/src/commands/invite.rs", "shows the link to the person who made it"),
    ("ctl/src/commands/org.rs", "shows the links of a server that moved to the person who made them"),
    ("ctl/src/commands/token.rs", "shows a new token's secret, or writes it to a file of its owner's alone"),
];

/// The one file with the rules of an attempt.
const ATTEMPT_RULES: &str = "protocol/src/relay/attempt/mod.rs";
/// Those who keep attempts: the server, and the greeter's daemon on the peer-to-peer transport.
const ATTEMPT_HOLDERS: &[&str] = &["server/src/", "daemon/src/transport/", "daemon/src/p2p/"];
/// The refusals of those rules, and the bounds they go by. A holder that names one decides by
/// itself.
const ATTEMPT_DECISIONS: &[&str] = &[
    "ErrorCode::StepRefused",
    "ErrorCode::StepConflict",
    "ErrorCode::AttemptSealed",
    "ErrorCode::GreeterTaken",
    "ErrorCode::InvitationInUse",
    "MISMATCHES_MAX",
    "ATTEMPTS_MAX",
];
/// Holders' files that may, with the reason.
const ATTEMPT_EXCEPTIONS: &[(&str, &str)] = &[
    ("server/src/http/route.rs", "a step whose number is none has no attempt to ask"),
    ("daemon/src/p2p/attempt.rs", "keeps no more attempts than an invitation takes"),
];

/// Rooms whose work is done for an unlocked device: what holds its keys is counted, so that locking
/// waits for it.
const WITH_KEYS: &[&str] = &[
    "daemon/src/session/",
    "daemon/src/safes/",
    "daemon/src/truth/",
    "daemon/src/archive/",
    "daemon/src/contents/",
    "daemon/src/calls/",
];
/// Their files that do work no device's keys are needed for.
const WITHOUT_KEYS: &[(&str, &str)] = &[
    ("daemon/src/calls/doctor.rs", "looks at folders of devices that may be locked"),
    ("daemon/src/calls/invitations.rs", "asks the system for a free port"),
    ("daemon/src/session/whole_log.rs", "verifies certificates, which everybody may see"),
];

/// Checks all files.
pub(crate) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        header(source, &mut findings);
        length(source, &mut findings);
        names(source, &mut findings);
        prints(source, &mut findings);
        unfinished(source, &mut findings);
        exposed(source, &mut findings);
        test_work_factor(source, &mut findings);
        silent_allowances(source, &mut findings);
        sleeping_tests(source, &mut findings);
        uncounted(source, &mut findings);
        attempts(source, &mut findings);
        switches(source, &mut findings);
        programs_of_tests(source, &mut findings);
    }
    median(sources, &mut findings);
    findings
}

fn header(source: &Source, findings: &mut Vec<Finding>) {
    let first = source.text.lines().next().unwrap_or_default();
    let words = first.strip_prefix("//! ").map_or(0, |text| text.split_whitespace().count());
    if words < 2 {
        let reason = "a reader must learn in one line what a file decides, before anything else";
        findings.push(Finding::new(&source.path, 1, "does not open with a `//!` sentence".into(), reason));
    }
}

fn length(source: &Source, findings: &mut Vec<Finding>) {
    let lines = source.lines_that_count();
    if lines > LINES_MAX {
        let reason = "a longer file decides more than one thing: split it by what each part decides";
        findings.push(Finding::new(&source.path, LINES_MAX, format!("{lines} lines besides tests"), reason));
    }
}

fn median(sources: &[Source], findings: &mut Vec<Finding>) {
    let mut lengths: Vec<usize> =
        sources.iter().filter(|s| !is_test_path(&s.path)).map(Source::lines_that_count).collect();
    lengths.sort_unstable();
    let median = lengths.get(lengths.len() / 2).copied().unwrap_or_default();
    if median > LINES_MEDIAN_MAX {
        let reason = "most files should fit one sitting";
        findings.push(Finding::new(".", 0, format!("half of the files have {median} lines or more"), reason));
    }
}

/// Checks that no room of a crate is crowded: the folders at the top of `src`, and the files beside
/// them.
pub(crate) fn crowded(folder: &str, sources: &[Source]) -> Vec<Finding> {
    let mut rooms: BTreeMap<&str, usize> = BTreeMap::new();
    for source in sources {
        let Some(inside) = source.path.strip_prefix(folder).and_then(|rest| rest.strip_prefix("/src/"))
        else {
            continue;
        };
        let room = inside.split('/').next().unwrap_or_default();
        *rooms.entry(room).or_default() += source.lines_that_count();
    }
    let all: usize = rooms.values().sum();
    let crowded = rooms.into_iter().filter(|(_, lines)| lines * 100 > all * ROOM_MAX_PERCENT);
    crowded
        .map(|(room, lines)| {
            let what = format!("has {lines} of {all} lines: more than {ROOM_MAX_PERCENT} %");
            let reason = "a room that holds everything says nothing about what belongs there";
            Finding::new(&format!("{folder}/src/{room}"), 0, what, reason)
        })
        .collect()
}

fn names(source: &Source, findings: &mut Vec<Finding>) {
    let reason = "such a name says nothing about what belongs there, so everything ends up there";
    for part in source.path.trim_end_matches(".rs").split('/') {
        if EMPTY_NAMES.contains(&part) {
            findings.push(Finding::new(&source.path, 1, format!("is called `{part}`"), reason));
        }
    }
    for (number, line) in source.code.lines().enumerate() {
        let after =
            line.trim().trim_start_matches("pub(crate) ").trim_start_matches("pub ").strip_prefix("mod ");
        let name = after.map(|rest| rest.trim_end_matches([' ', '{', ';', '}'])).unwrap_or_default();
        if EMPTY_NAMES.contains(&name) {
            findings.push(Finding::new(&source.path, number + 1, format!("has a module `{name}`"), reason));
        }
    }
}

fn prints(source: &Source, findings: &mut Vec<Finding>) {
    let allowed = PRINTERS.contains(&source.path.as_str()) || source.path.ends_with("/main.rs");
    if allowed {
        return;
    }
    for name in ["print!", "println!", "eprint!", "eprintln!", "dbg!"] {
        for line in uses(&source.product, name) {
            let reason = "one place decides what a person sees and escapes hostile text; a stray print can leak a secret";
            findings.push(Finding::new(&source.path, line, format!("has `{name}`"), reason));
        }
    }
}

fn unfinished(source: &Source, findings: &mut Vec<Finding>) {
    for name in ["todo!", "unimplemented!"] {
        for line in uses(&source.code, name) {
            let reason = "an unfinished path is a crash that somebody else finds";
            findings.push(Finding::new(&source.path, line, format!("has `{name}`"), reason));
        }
    }
}

fn exposed(source: &Source, findings: &mut Vec<Finding>) {
    if EXPOSERS.iter().any(|(path, _)| source.path.starts_with(path)) {
        return;
    }
    for line in uses(&source.product, "expose(") {
        let reason =
            "every place that sees a secret's bytes is listed, with what for, in tests/tidy/rules.rs";
        findings.push(Finding::new(&source.path, line, "exposes a secret and is not listed".into(), reason));
    }
}

fn test_work_factor(source: &Source, findings: &mut Vec<Finding>) {
    for line in uses(&source.product, "WorkFactor::for_tests") {
        let reason = "a key file written at the tests' work factor can be guessed a thousand times faster";
        findings.push(Finding::new(
            &source.path,
            line,
            "uses the tests' work factor in the product".into(),
            reason,
        ));
    }
}

fn silent_allowances(source: &Source, findings: &mut Vec<Finding>) {
    for name in ["[allow(", "[expect("] {
        for line in uses(&source.code, name) {
            let text: String = source.text.lines().skip(line - 1).take(12).map(str::trim).collect();
            if !text.split(")]").next().unwrap_or_default().contains("reason = \"") {
                let reason = "a lint is switched off for a reason, or not at all";
                findings.push(Finding::new(
                    &source.path,
                    line,
                    format!("has `#{name}…)]` without one"),
                    reason,
                ));
            }
        }
    }
}

/// What decides about keys, below which nothing may depend on how it is built.
const WITHOUT_SWITCHES: &[&str] = &["protocol/src/enrol/", "protocol/src/chain/", "protocol/src/safe_log/"];

/// A switch that takes a defence away can be turned on for a program that somebody uses.
fn switches(source: &Source, findings: &mut Vec<Finding>) {
    if !WITHOUT_SWITCHES.iter().any(|folder| source.path.starts_with(folder)) {
        return;
    }
    for (number, line) in source.code.lines().enumerate() {
        if line.contains("(feature") {
            let reason = "the ceremony and the chain are the same in every build; \
                          `cargo xtask sabotage` changes a copy";
            findings.push(Finding::new(&source.path, number + 1, format!("asks `{}`", line.trim()), reason));
        }
    }
}

/// Each file directly below tests/tests/ would be linked with everything once more.
fn programs_of_tests(source: &Source, findings: &mut Vec<Finding>) {
    if source.path.strip_prefix("tests/tests/").is_some_and(|rest| !rest.contains('/')) {
        let reason = "a test is found by its theme, and every program of tests links everything";
        findings.push(Finding::new(&source.path, 1, "is in no theme of tests/tests/".into(), reason));
    }
}

fn sleeping_tests(source: &Source, findings: &mut Vec<Finding>) {
    for (number, (code, product)) in source.code.lines().zip(source.product.lines()).enumerate() {
        if code != product
            && ["thread::sleep(", "time::sleep(", " sleep("].iter().any(|sleep| code.contains(sleep))
        {
            let reason =
                "a test that sleeps is slow on a fast machine and wrong on a slow one: wait for the event";
            findings.push(Finding::new(&source.path, number + 1, "sleeps in a test".into(), reason));
        }
    }
}

/// Work on another thread goes on when its device is locked. Uncounted it holds the keys, and the
/// file of the store, after the device was said to be locked.
fn uncounted(source: &Source, findings: &mut Vec<Finding>) {
    let listed = || WITHOUT_KEYS.iter().any(|(path, _)| source.path == *path);
    if !WITH_KEYS.iter().any(|room| source.path.starts_with(room)) || listed() {
        return;
    }
    for name in ["blocking(", "spawn_blocking("] {
        for line in uses(&source.product, name) {
            let reason =
                "locking would not wait for it: `blocking_in` with the device's tasks does the same, counted";
            findings.push(Finding::new(&source.path, line, format!("calls `{name}…)`"), reason));
        }
    }
}

/// The rules of an attempt stand once: a second set would differ from the first where nobody looks.
fn attempts(source: &Source, findings: &mut Vec<Finding>) {
    let reason = "the rules of an attempt stand in protocol/src/relay/attempt/mod.rs alone: two sets of them have differed in eight places";
    if source.path == ATTEMPT_RULES {
        return;
    }
    for bits in ["steps & ", "steps |= ", "steps | ", "steps >> ", "steps << "] {
        for line in uses(&source.product, bits) {
            findings.push(Finding::new(&source.path, line, format!("has `{bits}`"), reason));
        }
    }
    let keeps = ATTEMPT_HOLDERS.iter().any(|holder| source.path.starts_with(holder));
    if !keeps || ATTEMPT_EXCEPTIONS.iter().any(|(path, _)| source.path == *path) {
        return;
    }
    for name in ATTEMPT_DECISIONS {
        for line in uses(&source.product, name) {
            findings.push(Finding::new(&source.path, line, format!("decides by `{name}`"), reason));
        }
    }
}

/// Lines on which a name is used, not as the end of a longer one and not where it is defined.
fn uses(code: &str, name: &str) -> Vec<usize> {
    let mut lines = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut from = 0;
        while let Some(at) = line.get(from..).and_then(|rest| rest.find(name)).map(|at| at + from) {
            let before = line.get(..at).unwrap_or_default();
            let longer = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if !longer && !before.ends_with("fn ") {
                lines.push(number + 1);
                break;
            }
            from = at + name.len();
        }
    }
    lines
}

/// Things that belong to the machine a file was written on. In two halves, so that this file is not
/// one of them.
fn machine_words() -> [String; 4] {
    [["/wo", "rk"], ["share", "d/"], ["/ro", "ot/"], ["/tmp/la", "nd"]].map(|halves| halves.concat())
}

/// Checks any committed text: no path of the machine it was written on.
pub(crate) fn check_text(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for word in machine_words() {
            let found = line.match_indices(&word).any(|(at, _)| {
                let before = line.get(..at).unwrap_or_default().chars().next_back();
                let after = line.get(at + word.len()..).unwrap_or_default().chars().next();
                // "/workspace" and "framework/worker" are words, not places.
                let inside = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
                let ends = word.ends_with('/')
                    || !after.is_some_and(|c| c.is_alphanumeric() || c == '-' || c == '_');
                !inside && ends
            });
            if found {
                let reason = "what is committed must mean something on every machine";
                findings.push(Finding::new(path, number + 1, format!("mentions `{word}`"), reason));
            }
        }
    }
    findings
}
