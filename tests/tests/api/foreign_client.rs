//! A program written from docs/openrpc.json alone enrols Bob; and every line that went over both
//! sockets is what the document says.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use parsec_tests::device::{Device, private_folder};
use parsec_tests::openrpc;
use parsec_tests::recorder::{Line, Recorder};
use parsec_tests::server::Server;
use parsec_tests::{installed, skip};
use serde_json::Value;

use crate::traffic::{self, Seen};

/// Two devices that know nothing yet, and a server.
struct TestBed {
    devices: [Device; 2],
    recorders: [Recorder; 2],
    server: Server,
    folder: tempfile::TempDir,
}

impl TestBed {
    fn set() -> Self {
        let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
        private_folder(&folder.path().join("server"));
        let server = Server::start(&folder.path().join("server"), &[]);
        let devices = ["alice", "bob"].map(|name| Device::start(name, &folder.path().join(name)));
        let recorder = |device: &Device| Recorder::start(&device.folder().join("tap"), &device.socket());
        let recorders = [recorder(&devices[0]), recorder(&devices[1])];
        Self { devices, recorders, server, folder }
    }

    /// Runs a script; returns what it printed and all lines on both sockets.
    fn play(&self, name: &str, organisation: &str, arguments: &[&str]) -> (Value, Vec<Line>) {
        let token = self.folder.path().join("token");
        std::fs::write(&token, self.server.reserve(organisation)).unwrap();
        let mut python = Command::new("python3");
        python.arg("-B").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name));
        python.arg("--token-file").arg(&token).args(["--server", &self.server.url()]).args(arguments);
        let output = python.stdin(Stdio::null()).output().unwrap();
        let logs: Vec<_> = self.devices.iter().map(Device::log).collect();
        assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), logs.join("\n"));
        let said = serde_json::from_slice(&output.stdout).unwrap();
        (
            said,
            self.recorders
                .iter()
                .enumerate()
                .flat_map(|(index, recorder)| traffic::of(index, recorder))
                .collect(),
        )
    }
}

fn enrol(document: &[&str]) -> Seen {
    let stage = TestBed::set();
    let [alice, bob] = stage.recorders.each_ref().map(|recorder| recorder.path().to_str().unwrap());
    let arguments: Vec<_> = ["--alice", alice, "--bob", bob].iter().chain(document).copied().collect();
    let (said, lines) = stage.play("enrolment.py", "acme", &arguments);
    assert_eq!(said["members"]["bob@acme.example"], "Bob Quillfeather", "{said}");
    traffic::check(&lines)
}

#[test]
fn a_client_made_from_what_the_daemon_says_of_itself_enrols_bob() {
    if !installed("python3") {
        return skip(
            "a_client_made_from_what_the_daemon_says_of_itself_enrols_bob",
            "python3 is not installed",
        );
    }
    let seen = enrol(&[]);
    assert!(seen.answered.contains("rpc.discover"), "{seen:?}");
}

#[test]
fn a_client_made_from_the_file_uses_every_method_and_the_file_is_right() {
    if !installed("python3") {
        return skip(
            "a_client_made_from_the_file_uses_every_method_and_the_file_is_right",
            "python3 is not installed",
        );
    }
    let file = openrpc::docs("openrpc.json");
    let document = ["--document", file.to_str().unwrap()];
    let mut seen = enrol(&document);
    assert!(seen.refused.contains("device_unknown"), "{seen:?}");

    let stage = TestBed::set();
    let daemon = ["--daemon", stage.recorders[0].path().to_str().unwrap()];
    let (_, lines) = stage.play("tour.py", "tour", &[document, daemon].concat());
    let toured = traffic::check(&lines);
    seen.answered.extend(toured.answered);
    seen.told.extend(toured.told);

    let names = |key: &str| -> BTreeSet<String> {
        let document = openrpc::committed();
        let entries = document[key].as_array().unwrap().iter();
        entries.map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    };
    let mut methods = names("methods");
    // There is nothing to acknowledge, and no fork, without a server that lies; `events` and
    // `ceremony::evidence` have one.
    assert!(methods.remove("trust.acknowledge") && methods.remove("trust.fork"));
    // A file's contents come and go as an open file beside the line, which the recorder between the
    // two doesn't pass on; `parsecctl` has tests of these.
    let with_contents = [
        "file.put",
        "file.get",
        "file.put_many",
        "safe.verify",
        "safe.export",
        "safe.import",
        "file.get_many",
        "file.copy",
        "file.history",
        "file.restore",
        // The latter ends when the former's mount does.
        "mount.start",
        "mount.wait",
        // Something has to be mounted.
        "fm.invoke",
    ];
    // A kit is split among two others at least, and two take part here: `safes::shares` and
    // `cli::json_output` have four.
    for method in ["recovery.share", "recovery.give", "recovery.combine"] {
        assert!(methods.remove(method));
    }
    for method in with_contents {
        assert!(methods.remove(method));
    }
    assert_eq!(seen.answered, methods, "nobody knows whether the document is right about the rest");
    assert_eq!(seen.told, names("x-notifications"));
}
