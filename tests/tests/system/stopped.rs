//! A daemon that is stopped, or looked for in somebody else's runtime folder: every command says
//! so, with its process and what to do, and none waits for it without end.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use parsec_tests::ctl;
use parsec_tests::device::Device;
use parsec_tests::process::binary;
use rustix::process::Signal;

#[test]
fn a_stopped_daemon_is_named_and_goes_on_when_it_is_let() {
    let folder = tempfile::tempdir().unwrap();
    let mut alice = Device::start("alice", folder.path());
    let pid = alice.process().id();
    alice.process().signal(Signal::STOP);
    let remedy = format!("kill -CONT {pid}");
    for arguments in [&["status"][..], &["rpc", "hello"]] {
        let said = alice.ctl(arguments);
        assert_eq!(said.code, 69, "{arguments:?}: {said:?}");
        assert!(said.stderr.contains(&remedy) && said.stderr.contains("stopped"), "{arguments:?}: {said:?}");
    }
    let said = alice.ctl(&["doctor"]);
    assert!(said.code != 0 && said.stdout.contains(&remedy), "{said:?}");
    alice.process().signal(Signal::CONT);
    assert_eq!(alice.ctl(&["status"]).code, 0);
}

/// It waits for work, which may take days, and not for a daemon that can't do any.
#[test]
fn who_waits_for_events_hears_that_the_daemon_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let mut alice = Device::start("alice", folder.path());
    let pid = alice.process().id();
    let mut command = ctl::command(&alice.runtime(), &["events", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    reader.read_line(&mut said).unwrap();
    assert!(said.contains("snapshot"), "{said}");
    alice.process().signal(Signal::STOP);
    reader.read_to_string(&mut said).unwrap();
    assert!(said.contains(&format!("kill -CONT {pid}")), "{said}");
    assert_eq!(child.wait().unwrap().code(), Some(69));
    alice.process().signal(Signal::CONT);
}

/// After `su` the environment still names the other user's runtime folder: variable, value and
/// owner are said, by both programs.
#[test]
fn a_runtime_folder_of_somebody_else_is_named_with_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    parsec_tests::device::private_folder(&run);
    // Root gives one away; who is not root finds one of root's.
    let (place, owner) = match std::os::unix::fs::chown(&run, Some(12_345), None) {
        Ok(()) => (run, 12_345),
        Err(_) => ("/".into(), 0),
    };
    let told = format!("XDG_RUNTIME_DIR is {}, which belongs to user {owner};", place.display());
    let said = ctl::run(&place, &["status"], "");
    assert_eq!(said.code, 69, "{said:?}");
    assert!(said.stderr.contains(&told) && said.stderr.contains("su -"), "{said:?}");
    let mut daemon = Command::new(binary("parsecd"));
    daemon
        .args(["--log", "text", "--data-dir"])
        .arg(folder.path().join("data"))
        .env("XDG_RUNTIME_DIR", &place);
    let said = ctl::said(&daemon.output().unwrap());
    assert!(said.code > 0 && said.stderr.contains(&told), "{said:?}");
    let said = ctl::run("relative".as_ref(), &["status"], "");
    assert!(said.stderr.contains("XDG_RUNTIME_DIR is relative, which is no absolute path"), "{said:?}");
}
