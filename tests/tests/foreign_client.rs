//! A program written from docs/openrpc.json alone enrols Bob; and every line that went over both sockets is what the document says.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "openrpc/judge.rs"]
mod judge;
#[path = "openrpc/judges.rs"]
mod judges;
#[path = "openrpc/traffic.rs"]
mod traffic;

use std::path::{Path, PathBuf};
use std::process::Command;

use parsec_tests::openrpc;
use parsec_tests::server::Server;
use parsec_tests::tap::Tap;
use parsec_tests::terminal::{Terminal, private_folder};
use serde_json::Value;

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name)
}

/// Runs the Python enrolment, with the file or with what the daemon says of itself; returns what it printed and all lines.
fn enrol(with_file: bool) -> (Value, Vec<parsec_tests::tap::Line>) {
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    private_folder(&folder.path().join("server"));
    let server = Server::start(&folder.path().join("server"), &[]);
    let token = folder.path().join("token");
    std::fs::write(&token, server.reserve("acme")).unwrap();
    let alice = Terminal::start("alice", &folder.path().join("alice"));
    let bob = Terminal::start("bob", &folder.path().join("bob"));
    let taps = [&alice, &bob].map(|terminal| Tap::start(&terminal.folder().join("tap"), &terminal.socket()));
    let mut python = Command::new("python3");
    python
        .arg("-B")
        .arg(script("enrolment.py"))
        .arg("--token-file")
        .arg(&token)
        .args(["--server", &server.url()]);
    python.arg("--alice").arg(taps[0].path()).arg("--bob").arg(taps[1].path());
    if with_file {
        python.arg("--document").arg(openrpc::docs("openrpc.json"));
    }
    let output = python.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = serde_json::from_slice(&output.stdout).unwrap();
    (said, taps.iter().enumerate().flat_map(|(index, tap)| traffic::of(index, tap)).collect())
}

#[test]
fn a_client_made_from_the_document_enrols_bob() {
    for with_file in [true, false] {
        let (said, lines) = enrol(with_file);
        assert_eq!(said["members"]["bob@acme.example"], "Bob Quillfeather", "{said}");
        let seen = traffic::check(&lines);
        for method in
            ["org.bootstrap", "ceremony.watch", "ceremony.choose", "ceremony.finish", "trust.verify"]
        {
            assert!(seen.answered.contains(method), "{method} was not called: {seen:?}");
        }
        assert!(
            seen.told.contains("ceremony.changed") && seen.refused.contains("device_unknown"),
            "{seen:?}"
        );
        assert_eq!(with_file, !seen.answered.contains("rpc.discover"));
    }
}
