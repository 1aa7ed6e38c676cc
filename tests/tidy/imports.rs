//! Who may import whom: the import rules of docs/architecture.md, each with its reason.
//!
//! Decides on resolved paths and workspace dependencies. Test items, evidence, may see everything.

use super::Finding;
use super::source::{Source, is_test_path};

/// From somewhere, some things must not be seen.
struct Wall {
    /// Paths of modules, `/`-joined, that stand on this side; a prefix covers what is below it.
    from: &'static [&'static str],
    /// What they must not name.
    never: &'static [&'static str],
    /// Why the wall is there.
    reason: &'static str,
}

const WALLS: &[Wall] = &[
    Wall {
        from: &["protocol"],
        never: &["parsecd", "parsec_metadata", "parsecctl", "parsec_tests"],
        reason: "protocol/ is what all parties agree on; if it knew one of them, the others would have to link it",
    },
    Wall {
        from: &["protocol"],
        never: &[
            "tokio",
            "getrandom",
            "rusqlite",
            "reqwest",
            "axum",
            "std/fs",
            "std/net/TcpStream",
            "std/net/TcpListener",
            "std/net/UdpSocket",
            "std/net/ToSocketAddrs",
            "std/os",
            "std/env",
            "std/process",
            "std/thread",
            "std/io/stdin",
            "std/io/stdout",
            "std/io/stderr",
            "std/time/SystemTime",
            "std/time/Instant",
        ],
        reason: "protocol/ is pure: time, randomness and I/O are arguments, so every run can be replayed from a seed",
    },
    Wall {
        from: &[
            "protocol/enrol",
            "protocol/chain",
            "protocol/safe_log",
            "protocol/safes",
            "protocol/manifest",
        ],
        never: &["protocol/control", "protocol/relay"],
        reason: "what is signed and agreed on must not depend on how it travels or on how it is shown",
    },
    Wall {
        from: &[
            "protocol/chain/batch",
            "protocol/chain/candidate",
            "protocol/chain/checkpoint",
            "protocol/chain/envelope",
            "protocol/chain/export",
            "protocol/chain/fork",
            "protocol/chain/head",
            "protocol/chain/log",
            "protocol/chain/rules",
            "protocol/chain/view",
        ],
        never: &["protocol/chain/organisation", "protocol/enrol", "protocol/evidence"],
        reason: "the chain is the same for every kind of log: what a certificate says is its rule set's to know",
    },
    Wall {
        from: &["protocol/chain"],
        never: &["protocol/enrol", "protocol/evidence", "protocol/p2p"],
        reason: "a log is judged by its certificates alone, however these were made and whoever shows them",
    },
    Wall {
        from: &["protocol/safe_log"],
        never: &[
            "protocol/enrol",
            "protocol/evidence",
            "protocol/keys",
            "protocol/manifest",
            "protocol/p2p",
            "protocol/safes",
            "protocol/user_key",
        ],
        reason: "who may do what in a safe is judged by signed bytes that everybody sees, the server too: nothing secret, and nothing that is sealed, may have a say",
    },
    Wall {
        from: &["protocol/safes"],
        never: &[
            "protocol/enrol",
            "protocol/evidence",
            "protocol/manifest",
            "protocol/p2p",
            "protocol/user_key",
        ],
        reason: "what is in a safe follows from its records and keys: how people came to be members has no say in it",
    },
    Wall {
        from: &["protocol/chain"],
        never: &["protocol/safe_log", "protocol/safes"],
        reason: "a safe's log stands on the organisation's, which knows of no safe",
    },
    Wall {
        from: &["server"],
        never: &[
            "parsec_protocol/limits/LOG_MAX_CERTIFICATES",
            "parsec_protocol/limits/SAFE_LOG_MAX_CERTIFICATES",
            "parsec_protocol/limits/SAFE_CHANGES_MAX",
            "parsec_protocol/limits/DEVICES_PER_USER_MAX",
            "parsec_protocol/chain/organisation/certificate/SEALED_NAME_BYTES",
        ],
        reason: "the rules of the log are written once, in the protocol: a server with rules of its own could let in what every member refuses",
    },
    Wall {
        from: &["protocol/enrol/claimer"],
        never: &["protocol/enrol/greeter"],
        reason: "the two sides share messages, never state: a shortcut between them would be a check that nobody makes",
    },
    Wall {
        from: &["protocol/enrol/greeter"],
        never: &["protocol/enrol/claimer"],
        reason: "the two sides share messages, never state: a shortcut between them would be a check that nobody makes",
    },
    Wall {
        from: &["daemon/rpc"],
        never: &["daemon/store", "daemon/transport", "daemon/p2p"],
        reason: "what a local program asks reaches disk and network only through the daemon's loop, which checks rights",
    },
    Wall {
        from: &["daemon/store"],
        never: &["daemon/rpc", "daemon/transport", "daemon/p2p"],
        reason: "what is on disk must not depend on what somebody on a socket or on the network said",
    },
    Wall {
        from: &["daemon/transport", "daemon/p2p"],
        never: &["daemon/rpc", "daemon/store"],
        reason: "a transport carries opaque bytes; it can't leak keys or local state that it can't reach",
    },
    Wall {
        from: &["host"],
        never: &["parsec_protocol", "parsecd", "parsec_metadata", "parsecctl", "parsec_tests"],
        reason: "host/ is linked by every program, server included: what knows no protocol and no key can leak none",
    },
    Wall {
        from: &["daemon", "server", "ctl"],
        never: &["sd_notify", "tracing_subscriber"],
        reason: "host/ alone says how a program logs and what it tells the service manager: a second way would differ where it matters",
    },
    Wall {
        from: &["daemon/engine"],
        never: &["daemon/service", "parsec_host/service_manager"],
        reason: "the loop runs without a service manager: what watches it is an argument (`Watchdog`)",
    },
    Wall {
        from: &["daemon/os"],
        never: &[
            "daemon/calls",
            "daemon/contents",
            "daemon/engine",
            "daemon/enrolment",
            "daemon/events",
            "daemon/network",
            "daemon/p2p",
            "daemon/problems",
            "daemon/recovery",
            "daemon/rpc",
            "daemon/safes",
            "daemon/session",
            "daemon/store",
            "daemon/tokens",
            "daemon/transport",
        ],
        reason: "os/ fences the operating system and knows nothing of Parsec: every room stands on it",
    },
    Wall {
        from: &["daemon/session"],
        never: &[
            "daemon/calls",
            "daemon/contents",
            "daemon/engine",
            "daemon/enrolment",
            "daemon/recovery",
            "daemon/rpc",
            "daemon/safes",
        ],
        reason: "a session is the ground floor of an unlocked device: if it called upward, what is built next could not stand on it",
    },
    Wall {
        from: &["daemon/calls"],
        never: &["daemon/engine", "daemon/rpc"],
        reason: "a call gets the session that the loop chose and checked for it: what could reach the loop could choose for itself",
    },
    Wall {
        from: &["daemon/enrolment", "daemon/archive", "daemon/direct"],
        never: &["daemon/calls", "daemon/engine", "daemon/rpc"],
        reason: "an enrolment, or an archive, is judged by itself and never tells the loop what to do; no program on a socket reaches it but through a call",
    },
    Wall {
        from: &["daemon/recovery"],
        never: &[
            "daemon/calls",
            "daemon/contents",
            "daemon/engine",
            "daemon/enrolment",
            "daemon/rpc",
            "daemon/safes",
        ],
        reason: "a kit brings a device back by its words and the server's answers: nobody on a socket, and no ceremony, has a say in it",
    },
    Wall {
        from: &["daemon/contents"],
        never: &["daemon/calls", "daemon/engine", "daemon/enrolment", "daemon/rpc", "daemon/safes"],
        reason: "contents become sealed objects and come back, whatever is done with them: a path, an act, a role are decided elsewhere",
    },
    Wall {
        from: &["daemon/safes"],
        never: &["daemon/calls", "daemon/engine", "daemon/enrolment", "daemon/rpc", "daemon/truth"],
        reason: "a safe works on a session: whom it may be shown to is settled before, and how its owner got in is no part of it",
    },
    Wall {
        from: &["daemon/truth"],
        never: &["daemon/calls", "daemon/contents", "daemon/engine", "daemon/rpc"],
        reason: "whoever looks whether contents are right must not believe those who brought them",
    },
    Wall {
        from: &["ctl"],
        never: &["parsecd", "parsec_metadata", "parsec_tests"],
        reason: "parsecctl asks over the socket like any other program: it links nothing that holds keys",
    },
    Wall {
        from: &["server"],
        never: &["parsecd", "parsecctl", "parsec_tests"],
        reason: "the server is run by another person: it must not link code that handles keys",
    },
    Wall {
        from: &["daemon"],
        never: &["parsec_protocol/lab"],
        reason: "the lab's keys come of a printed seed: a daemon that could name them could hold one",
    },
    Wall {
        from: &["ctl"],
        never: &["parsec_protocol/lab/Organisation"],
        reason: "parsecctl plays the lab and sees what came of it: the lab's keys are for tests, and parsecctl holds none",
    },
    Wall {
        from: &["daemon"],
        never: &["parsec_metadata", "parsecctl", "parsec_tests"],
        reason: "the daemon speaks to the server and to parsecctl over their protocols alone",
    },
];

/// The one file of the server that puts certificates into a log.
const SERVER_LOG: &str = "server/src/store/log.rs";
/// The one function that decides whether a certificate may stand in an organisation's log.
const LOG_RULES: &str = "parsec_protocol/chain/organisation/rules/accept";

/// A crate that may see only parts of protocol/.
struct Window {
    from: &'static str,
    only: &'static [&'static str],
    reason: &'static str,
}

const WINDOWS: &[Window] = &[
    Window {
        from: "ctl",
        only: &["control", "ids", "paste"],
        reason: "parsecctl holds no secret and decides nothing: it needs the words of the local API, ids, and the reader of pasted text, no more",
    },
    Window {
        from: "server",
        // The rules too: what the server let in and every reader refused would end the log for all.
        only: &[
            "address",
            "relay",
            "ids",
            "limits",
            "codec",
            "public_keys",
            "claim_receipt",
            "share_plan",
            "object_hash",
            // What is shown of a key; nothing that opens a box.
            "sealing/EncryptionKey",
            "sealing/KeyHash",
            "sealing/ENCRYPTION_KEY_BYTES",
            "sealing/SECRET_BOX_BYTES",
            "chain/head",
            "chain/candidate",
            "chain/view",
            "chain/organisation/Organisation",
            "chain/organisation/at",
            "chain/organisation/certificate",
            "chain/organisation/log",
            "chain/organisation/rules/Fault",
            "chain/organisation/view",
            // All but a member's own safe: what the rules ask, and what they answer.
            "safe_log/certificate",
            "safe_log/effects",
            "safe_log/record",
            "safe_log/ring",
            "directory_ring",
            "safe_log/roles",
            "safe_log/rules",
            "safe_log/view",
        ],
        reason: "the server remembers and cannot read: it must not be able to name a secret key, a machine or a manifest",
    },
];

/// One file that may see one part more than its crate's window shows.
struct Peephole {
    path: &'static str,
    part: &'static str,
}

/// Each with the decision that argues for it.
const PEEPHOLES: &[Peephole] = &[
    // where the server appends, and nowhere else, it asks the rules that every member asks
    Peephole { path: SERVER_LOG, part: "chain/organisation/rules/accept" },
    // 0014: the lab's keys are made of a printed seed and worth nothing; one file shows what it
    // played
    Peephole { path: "ctl/src/commands/lab.rs", part: "lab" },
    // 0014: evidence files hold nothing secret, and must be checkable without a daemon
    Peephole { path: "ctl/src/commands/evidence.rs", part: "evidence" },
    // 0014: the operator puts a log back from such a file, which holds nothing that the server
    // doesn't store anyway
    Peephole { path: "server/src/reinstate.rs", part: "evidence" },
];

/// Checks all files.
pub(crate) fn check(sources: &[Source], manifests: &[(String, String)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        for (line, path) in source.paths() {
            check_path(source, line, &path, &mut findings);
        }
    }
    check_libraries(sources, &mut findings);
    check_database(sources, &mut findings);
    check_log_rules(sources, &mut findings);
    for (path, text) in manifests {
        check_manifest(path, text, &mut findings);
    }
    findings
}

fn check_path(source: &Source, line: usize, path: &[String], findings: &mut Vec<Finding>) {
    let (folder, module) = source.module();
    let here = std::iter::once(folder).chain(module).collect::<Vec<_>>().join("/");
    let own = crate_name(folder);
    let named = path.join("/");
    // A crate's own main.rs names it from outside.
    let named = match named.strip_prefix(own) {
        Some(rest) if rest.starts_with('/') => format!("{folder}{rest}"),
        _ => named,
    };
    for wall in WALLS {
        if wall.from.iter().any(|from| below(&here, from))
            && wall.never.iter().any(|never| below(&named, never))
        {
            findings.push(Finding::new(
                &source.path,
                line,
                format!("names `{}`", path.join("::")),
                wall.reason,
            ));
        }
    }
    let Some(inside) = named.strip_prefix("parsec_protocol/") else { return };
    for window in WINDOWS.iter().filter(|window| below(&here, window.from)) {
        let excepted = PEEPHOLES.iter().any(|hole| hole.path == source.path && below(inside, hole.part));
        if !excepted && !window.only.iter().any(|only| below(inside, only)) {
            findings.push(Finding::new(
                &source.path,
                line,
                format!("names `{}`", path.join("::")),
                window.reason,
            ));
        }
    }
}

fn crate_name(folder: &str) -> &'static str {
    match folder {
        "daemon" => "parsecd",
        "server" => "parsec_metadata",
        "ctl" => "parsecctl",
        "protocol" => "parsec_protocol",
        "host" => "parsec_host",
        _ => "parsec_tests",
    }
}

fn below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Libraries that one place alone names: a file, or a file and the folder of its parts.
const LIBRARIES: [(&str, &str); 2] = [("libp2p", "daemon/src/p2p/node"), ("fuser", "daemon/src/mount/fuse")];
fn check_libraries(sources: &[Source], findings: &mut Vec<Finding>) {
    let reason = "it changes often and its types must not spread: one place turns them into ours";
    for (library, place) in LIBRARIES {
        let names =
            |(_, path): (_, Vec<String>)| path.first().is_some_and(|first| first.starts_with(library));
        // Evidence may speak it as strangers would.
        let others =
            sources.iter().filter(|at| !at.path.starts_with(place) && !at.path.starts_with("tests/"));
        for source in others.filter(|source| source.paths().into_iter().any(names)) {
            findings.push(Finding::new(&source.path, 1, format!("names {library}"), reason));
        }
    }
}

/// The rooms of the server that may name SQLite's library, and those that may name the engine built
/// on it.
const SQLITE: &str = "server/src/store/sqlite/";
const STORE: &str = "server/src/store/";

fn check_database(sources: &[Source], findings: &mut Vec<Finding>) {
    let reason = "a server of several processes needs another database: what asks for rows must not know whose they are";
    for source in sources.iter().filter(|source| source.path.starts_with("server/src/")) {
        for (line, path) in source.paths() {
            let named = path.join("/");
            let named =
                named.strip_prefix("parsec_metadata/").or(named.strip_prefix("server/")).unwrap_or(&named);
            let library = ["rusqlite", "libsqlite3_sys"].iter().any(|library| below(named, library));
            let engine = below(named, "store/sqlite");
            if (library && !source.path.starts_with(SQLITE)) || (engine && !source.path.starts_with(STORE)) {
                findings.push(Finding::new(
                    &source.path,
                    line,
                    format!("names `{}`", path.join("::")),
                    reason,
                ));
            }
        }
    }
}

/// The server asks the one function where it appends, and judges no key and no signature of a
/// certificate itself.
fn check_log_rules(sources: &[Source], findings: &mut Vec<Finding>) {
    let reason = "members and server ask one function whether a certificate may stand: where the server judged by itself, one slip would end the log for everybody";
    let server = sources.iter().filter(|source| source.module().0 == "server" && !is_test_path(&source.path));
    for source in server {
        let asks = source.paths().iter().any(|(_, path)| path.join("/") == LOG_RULES);
        if source.path == SERVER_LOG && !asks {
            findings.push(Finding::new(&source.path, 1, format!("does not name `{LOG_RULES}`"), reason));
        }
        for (number, line) in source.product.lines().enumerate() {
            for word in [".is_sound(", ".is_signed_by("] {
                if line.contains(word) {
                    findings.push(Finding::new(&source.path, number + 1, format!("has `{word}`"), reason));
                }
            }
        }
    }
}

/// The workspace's own crates that each of them may depend on, outside of its tests.
fn allowed_dependencies(folder: &str) -> &'static [&'static str] {
    match folder {
        "daemon" | "server" | "ctl" => &["parsec-protocol", "parsec-host"],
        "tests" => &["parsec-protocol", "parsecd", "parsec-metadata"],
        _ => &[],
    }
}

/// The workspace's crates, as a Cargo.toml names them.
const OURS: &[&str] =
    &["parsec-protocol", "parsec-host", "parsecd", "parsec-metadata", "parsecctl", "parsec-tests"];

fn check_manifest(path: &str, text: &str, findings: &mut Vec<Finding>) {
    // The workspace's own lists what the crates choose from.
    let Some((folder, _)) = path.split_once('/') else { return };
    let mut section = "";
    for (number, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            section = line.trim();
        }
        let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
        let ours = OURS.contains(&name);
        if section == "[dependencies]" && ours && !allowed_dependencies(folder).contains(&name) {
            let reason = "a crate that is not linked can't be used by mistake, not even through a re-export";
            findings.push(Finding::new(path, number + 1, format!("depends on `{name}`"), reason));
        }
    }
    if !text.contains("[lints]\nworkspace = true") {
        let reason = "unsafe code, panics and prints are refused in the whole workspace, or not at all";
        findings.push(Finding::new(path, 1, "does not take the workspace's lints".into(), reason));
    }
}
