//! A daemon that is stopped: every command says so, with its process and what to do, and none waits for it without end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use parsec_tests::ctl;
use parsec_tests::terminal::Terminal;
use rustix::process::Signal;

#[test]
fn a_stopped_daemon_is_named_and_goes_on_when_it_is_let() {
    let folder = tempfile::tempdir().unwrap();
    let mut alice = Terminal::start("alice", folder.path());
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
    let mut alice = Terminal::start("alice", folder.path());
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
