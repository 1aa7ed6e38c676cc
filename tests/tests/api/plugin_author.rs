//! What a plug-in's author begins with works: the lines of docs/local-api.md, *Ten minutes*.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use parsec_tests::device::Device;
use parsec_tests::openrpc;
use parsec_tests::{installed, skip};

/// The first block of code in a language under *Ten minutes*.
fn ten_minutes(language: &str) -> String {
    let text = std::fs::read_to_string(openrpc::docs("local-api.md")).unwrap();
    let section = text.split("## Ten minutes").nth(1).unwrap().split("\n## ").next().unwrap();
    section.split(&format!("```{language}\n")).nth(1).unwrap().split("```").next().unwrap().to_owned()
}

#[test]
fn the_line_for_a_shell_works() {
    if !installed("socat") {
        return skip("the_line_for_a_shell_works", "socat is not installed");
    }
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let device = Device::start("alice", &folder.path().join("alice"));
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(ten_minutes("sh")).env("XDG_RUNTIME_DIR", device.runtime()).stdin(Stdio::null());
    let said = shell.output().unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(answer["result"]["pid"], device.status().pid, "{answer}");
}

#[test]
fn the_lines_of_python_work() {
    if !installed("python3") {
        return skip("the_lines_of_python_work", "python3 is not installed");
    }
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let mut device = Device::start("alice", &folder.path().join("alice"));
    let mut python = Command::new("python3");
    python.arg("-c").arg(ten_minutes("python")).env("XDG_RUNTIME_DIR", device.runtime());
    let mut child = python.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().starts_with("talking to parsecd "));
    assert_eq!(lines.next().unwrap().trim(), "snapshot");
    device.process().stop();
    assert_eq!(lines.last().unwrap(), "event stopping");
    assert!(child.wait().unwrap().success());
}
