//! Every rule is tried on small bad inputs, which it must catch: a rule that can't fail is no rule.

use super::*;

const FINE: &str = "//! Decides nothing at all.\n";

fn import(path: &str, line: &str) -> usize {
    imports::check(&[Source::new(path, &format!("{FINE}{line}\n"))], &[]).len()
}

fn rule(path: &str, text: &str) -> usize {
    rules::check(&[Source::new(path, text)]).len()
}

#[test]
fn imports() {
    for (path, line) in [
        ("protocol/src/enrol/io.rs", "use parsecd::store;"),
        ("protocol/src/codec.rs", "use std::time::{Duration, SystemTime};"),
        ("protocol/src/codec.rs", "fn f() { std::env::var_os(\"X\"); }"),
        ("protocol/src/codec.rs", "use getrandom::fill;"),
        ("protocol/src/enrol/io.rs", "use crate::{ids::Token, relay::Attempt};"),
        ("protocol/src/enrol/io.rs", "use super::super::control::Stage;"),
        ("protocol/src/chain/log.rs", "fn f(_: crate::relay::Attempt) {}"),
        ("protocol/src/chain/fork.rs", "use super::organisation::log::VerifiedLog;"),
        ("protocol/src/chain/organisation/log.rs", "use crate::evidence::head::SignedHead;"),
        ("protocol/src/chain/organisation/at.rs", "use crate::safe_log::roles::Role;"),
        ("protocol/src/safe_log/rules/mod.rs", "use crate::safes::state::State;"),
        ("protocol/src/safes/fold.rs", "use crate::manifest::Manifest;"),
        ("protocol/src/safe_log/safe.rs", "use crate::keys::DeviceSigningKey;"),
        ("protocol/src/safe_log/ring.rs", "use crate::relay::ErrorCode;"),
        ("server/src/http.rs", "use parsec_protocol::safe_log::safe::VerifiedSafe;"),
        ("protocol/src/enrol/claimer/mod.rs", "use crate::enrol::greeter::Greeter;"),
        ("protocol/src/enrol/claimer.rs", "use super::greeter::Greeter;"),
        ("protocol/src/enrol/greeter.rs", "use super::{io, claimer::Claimer};"),
        ("daemon/src/rpc/methods.rs", "use crate::store::Store;"),
        ("daemon/src/store/mod.rs", "use crate::{\n    paths,\n    transport as carrier,\n};"),
        ("daemon/src/transport/relay/mod.rs", "fn f() { crate::rpc::serve(); }"),
        ("daemon/src/session/import.rs", "use crate::enrolment::outbox;"),
        ("daemon/src/session/alarms.rs", "fn f() { crate::rpc::serve(); }"),
        ("daemon/src/calls/members.rs", "use crate::engine::command::Handle;"),
        ("daemon/src/enrolment/recovery.rs", "use crate::engine::command::Handle;"),
        ("daemon/src/enrolment/view.rs", "use crate::rpc::errors;"),
        ("daemon/src/os/clock.rs", "use crate::store::Store;"),
        ("daemon/src/safes/tree.rs", "use crate::enrolment::outbox;"),
        ("daemon/src/contents/put.rs", "use crate::safes::acts;"),
        ("daemon/src/main.rs", "use parsec_metadata::http;"),
        ("ctl/src/main.rs", "use parsec_protocol::keys::LinkSecret;"),
        ("ctl/src/main.rs", "use parsec_protocol::{control::Stage, enrol::sas};"),
        ("ctl/src/main.rs", "use parsec_protocol::*;"),
        ("ctl/src/commands/trust.rs", "use parsec_protocol::lab::Lab;"),
        ("ctl/src/commands/lab.rs", "use parsec_protocol::keys::LinkSecret;"),
        ("ctl/src/commands/lab.rs", "use parsec_protocol::lab::{Lab, Organisation};"),
        ("daemon/src/engine/bootstrap.rs", "use parsec_protocol::lab::Organisation;"),
        ("ctl/src/main.rs", "use parsecd::config;"),
        ("host/src/journal.rs", "use parsec_protocol::ids::DeviceId;"),
        ("host/src/journal.rs", "use parsecd::config;"),
        ("server/src/main.rs", "use tracing_subscriber::EnvFilter;"),
        ("daemon/src/engine/select.rs", "use crate::service::credentials;"),
        ("daemon/src/p2p/host.rs", "use crate::store::Store;"),
        ("daemon/src/engine/mod.rs", "use parsec_host::service_manager::ServiceManager;"),
        ("server/src/http.rs", "use parsec_protocol::keys;"),
        ("server/src/http.rs", "use parsec_protocol::chain::organisation::members::open_name;"),
        ("server/src/http.rs", "use parsec_protocol::chain;"),
        ("server/src/http.rs", "use parsec_protocol::chain::organisation::rules::accept;"),
        ("server/src/repair.rs", "use parsec_protocol::chain::organisation::rules;"),
        ("server/src/repair.rs", "use parsec_protocol::limits::DEVICES_PER_USER_MAX;"),
        ("server/src/repair.rs", "fn f() { key.is_sound(); }"),
        ("server/src/store/log.rs", "fn f() { judge_by_itself(); }"),
        ("server/src/http.rs", "fn f() { parsec_protocol::manifest::open(); }"),
        ("server/src/http/signed.rs", "use rusqlite::Connection;"),
        ("server/src/repair.rs", "fn f(sql: &rusqlite::Connection) {}"),
        ("server/src/store/pruning/mod.rs", "use rusqlite::params;"),
        ("server/src/http/invited.rs", "use crate::store::sqlite::Connection;"),
        ("server/src/main.rs", "use parsec_metadata::store::sqlite;"),
    ] {
        assert_eq!(import(path, line), 1, "{path}: {line}");
    }
}

#[test]
fn imports_that_are_fine() {
    for (path, line) in [
        ("protocol/src/enrol/claimer.rs", "use super::io::Prologue; use crate::chain::head::Head;"),
        ("protocol/src/enrol/claimer.rs", "#[cfg(test)]\nmod tests { use super::super::greeter::Greeter; }"),
        (
            "protocol/src/enrol/claimer.rs",
            "// use super::greeter::Greeter;\nconst A: &str = \"use crate::relay::X;\";",
        ),
        ("protocol/src/codec.rs", "use std::time::Duration;"),
        ("daemon/src/enrolment/run.rs", "use crate::store::Store; use crate::transport::Transport;"),
        ("daemon/src/store/chain.rs", "use super::atomic; use crate::store::device;"),
        ("daemon/src/session/log_sync.rs", "use crate::store::Store; use crate::transport::retry;"),
        ("daemon/src/calls/evidence.rs", "use crate::session::Session; use crate::enrolment::outbox;"),
        ("daemon/src/engine/dispatch.rs", "use crate::calls::move_server; use crate::enrolment::claim;"),
        ("daemon/src/main.rs", "use parsecd::rpc; use parsecd::store;"),
        ("daemon/src/daemon.rs", "use parsec_host::watchdog::Watchdog;"),
        ("daemon/src/session/tests.rs", "use parsec_protocol::lab::Organisation;"),
        ("host/src/log.rs", "use tracing_subscriber::EnvFilter; use sd_notify::NotifyState;"),
        ("ctl/src/main.rs", "use parsec_protocol::control::{self, Stage}; use parsec_protocol::ids::Token;"),
        (
            "server/src/http.rs",
            "use parsec_protocol::{chain::organisation::certificate::{Body, Payload}, relay, public_keys};",
        ),
        ("ctl/src/commands/lab.rs", "use parsec_protocol::lab::{Lab, Transcript};"),
        ("server/src/store/sqlite/members.rs", "use rusqlite::params; use super::values::stored;"),
        ("server/src/store/standalone.rs", "use super::sqlite::Connection;"),
        ("daemon/src/store/database.rs", "use rusqlite::Connection;"),
        ("server/src/log.rs", "use parsec_protocol::chain::organisation::log::VerifiedLog;"),
        ("server/src/store/log.rs", "use parsec_protocol::chain::organisation::rules::{Fault, accept};"),
        (
            "protocol/src/chain/fork.rs",
            "#[cfg(test)]\nmod tests { use crate::chain::organisation::log::VerifiedLog; }",
        ),
    ] {
        assert_eq!(import(path, line), 0, "{path}: {line}");
    }
}

#[test]
fn circles_of_imports() {
    let check = |files: &[(&str, &str)]| {
        let sources: Vec<_> = files
            .iter()
            .map(|(path, text)| Source::new(&format!("daemon/src/{path}"), &format!("{FINE}{text}\n")))
            .collect();
        circles::check("daemon", &sources).len()
    };
    let of_session = ("session/mod.rs", "pub mod alarms;\nuse alarms::raise;");
    // A parent and its child are one thing.
    assert_eq!(check(&[of_session, ("session/alarms.rs", "use super::Session;")]), 0);
    // Two files of one room.
    let there = ("session/forks.rs", "use super::alarms::raise;");
    assert_eq!(check(&[of_session, there, ("session/alarms.rs", "use super::forks::proof;")]), 2);
    assert_eq!(check(&[of_session, there, ("session/alarms.rs", "fn f() {}")]), 0);
    // By way of a re-export, and of a name that was imported.
    let outside = ("enrolment/p2p/mod.rs", "mod publish;\npub use self::{publish::finish};");
    let outbox = ("enrolment/outbox.rs", "use super::p2p;\nfn f() { p2p::finish(); }");
    assert_eq!(check(&[outside, outbox, ("enrolment/p2p/publish.rs", "use crate::enrolment::outbox;")]), 2);
    assert_eq!(check(&[outside, outbox, ("enrolment/p2p/publish.rs", "use crate::enrolment::pending;")]), 0);
    // Between rooms, though no two files name each other.
    let up = ("session/names.rs", "use crate::calls::members::Names;");
    let down = ("calls/evidence.rs", "use crate::session::forks;");
    let members = ("calls/members.rs", "fn f() {}");
    assert_eq!(check(&[up, down, members, ("session/forks.rs", "fn f() {}")]), 2);
    assert_eq!(check(&[down, members, ("session/forks.rs", "fn f() {}")]), 0);
    // Tests may see everything.
    let tests = "#[cfg(test)]\nmod tests { use super::super::forks::proof; }";
    assert_eq!(check(&[of_session, there, ("session/alarms.rs", tests)]), 0);
}

#[test]
fn crowded_rooms() {
    let file =
        |path: &str, lines: usize| Source::new(path, &format!("{FINE}{}", "fn f() {}\n".repeat(lines)));
    let even: Vec<_> = (0..10).map(|room| file(&format!("daemon/src/room{room}/a.rs"), 100)).collect();
    assert_eq!(rules::crowded("daemon", &even).len(), 0);
    let uneven = [file("daemon/src/engine/a.rs", 300), file("daemon/src/rpc/a.rs", 100)];
    assert_eq!(rules::crowded("daemon", &uneven).len(), 2);
}

#[test]
fn libp2p_outside_of_its_folder() {
    let file = |path| Source::new(path, "//! Carries the bytes away.\nuse libp2p::Swarm;\n");
    let own = file("daemon/src/p2p/node/driver.rs");
    assert_eq!(imports::check(&[own], &[]).len(), 0);
    let both = [file("daemon/src/p2p/node/mod.rs"), file("daemon/src/p2p/host.rs")];
    assert_eq!(imports::check(&both, &[]).len(), 1);
}

#[test]
fn switches_that_take_a_defence_away() {
    let check = |path: &str, line: &str| rule(path, &format!("{FINE}{line}\n"));
    let switch = "#[cfg(feature = \"codes\")]\nconst A: u32 = 1;";
    assert_eq!(check("protocol/src/enrol/sas.rs", switch), 1);
    assert_eq!(
        check("protocol/src/chain/rules.rs", "const A: u32 = if cfg!(feature = \"b\") { 1 } else { 2 };"),
        1
    );
    assert_eq!(check("protocol/src/lab/series.rs", switch), 0);
    assert_eq!(check("protocol/src/enrol/sas.rs", "// a switch (feature = \"codes\") is none of ours"), 0);
}

#[test]
fn programs_of_tests() {
    assert_eq!(rule("tests/tests/a.rs", FINE), 1);
    assert_eq!(rule("tests/tests/cli/a.rs", FINE), 0);
}

#[test]
fn manifests() {
    let check = |path: &str, text: &str| imports::check(&[], &[(path.to_owned(), text.to_owned())]).len();
    let lints = "[lints]\nworkspace = true\n";
    assert_eq!(
        check("ctl/Cargo.toml", &format!("[dependencies]\nparsec-protocol.workspace = true\n{lints}")),
        0
    );
    assert_eq!(check("ctl/Cargo.toml", &format!("[dependencies]\nparsecd.workspace = true\n{lints}")), 1);
    assert_eq!(
        check("protocol/Cargo.toml", &format!("[dependencies]\nparsecd = {{ path = \"\" }}\n{lints}")),
        1
    );
    assert_eq!(
        check("host/Cargo.toml", &format!("[dependencies]\nparsec-protocol.workspace = true\n{lints}")),
        1
    );
    assert_eq!(check("ctl/Cargo.toml", "[dependencies]\n"), 1);
}

#[test]
fn headers() {
    assert_eq!(rule("ctl/src/a.rs", FINE), 0);
    assert_eq!(rule("ctl/src/a.rs", "use x;\n"), 1);
    assert_eq!(rule("ctl/src/a.rs", "//! placeholder\n"), 1);
    assert_eq!(rule("ctl/src/a.rs", "// Decides nothing at all.\n"), 1);
}

#[test]
fn lengths() {
    let lines = |count: usize| format!("{FINE}{}", "fn f() {}\n".repeat(count));
    assert_eq!(rule("ctl/src/a.rs", &lines(199)), 0);
    assert_eq!(rule("ctl/src/a.rs", &lines(200)), 1, "the median");
    assert_eq!(rule("ctl/src/a.rs", &lines(500)), 2, "the median and the longest");
    let tests = format!("{FINE}#[cfg(test)]\nmod tests {{\n{}}}\n", "fn f() {}\n".repeat(900));
    assert_eq!(rule("ctl/src/a.rs", &tests), 0, "tests do not count");
    let after = format!("{tests}{}", "fn f() {}\n".repeat(300));
    assert_eq!(rule("ctl/src/a.rs", &after), 1, "what follows the tests does");
    assert_eq!(rule("tests/tests/cli/a.rs", &lines(900)), 0, "nor does a file of tests");
    assert_eq!(rule("tests/src/a.rs", &lines(900)), 1, "the harness does");
}

#[test]
fn empty_names() {
    assert_eq!(rule("ctl/src/utils.rs", FINE), 1);
    assert_eq!(rule("ctl/src/helpers/text.rs", FINE), 1);
    assert_eq!(rule("ctl/src/a.rs", &format!("{FINE}pub mod common;\n")), 1);
    assert_eq!(rule("ctl/src/a.rs", &format!("{FINE}mod manager {{}}\n")), 1);
    assert_eq!(rule("ctl/src/a.rs", &format!("{FINE}mod commonplace;\n")), 0);
}

#[test]
fn prints() {
    for line in ["fn f() { println!(); }", "fn f() { eprint!(\"{}\", x); }", "fn f() { dbg!(1); }"] {
        assert_eq!(rule("daemon/src/store/a.rs", &format!("{FINE}{line}\n")), 1, "{line}");
        assert_eq!(rule("ctl/src/output.rs", &format!("{FINE}{line}\n")), 0, "{line}");
    }
    assert_eq!(
        rule("daemon/src/a.rs", &format!("{FINE}#[cfg(test)]\nmod tests {{ fn f() {{ println!() }} }}\n")),
        0
    );
    assert_eq!(rule("daemon/src/a.rs", &format!("{FINE}// println!\nconst A: &str = \"println!\";\n")), 0);
    let quotes = "const A: char = '\"'; fn f<'a>() { println!(); }";
    assert_eq!(rule("daemon/src/a.rs", &format!("{FINE}{quotes}\n")), 1, "{quotes}");
    let raw = "const A: &str = r#\"\"//\"#; fn f() { println!(); }";
    assert_eq!(rule("daemon/src/a.rs", &format!("{FINE}{raw}\n")), 1, "{raw}");
}

#[test]
fn unfinished() {
    assert_eq!(rule("ctl/src/a.rs", &format!("{FINE}fn f() {{ todo!() }}\n")), 1);
    assert_eq!(rule("ctl/src/a.rs", &format!("{FINE}fn f() {{ unimplemented!() }}\n")), 1);
}

#[test]
fn secrets() {
    assert_eq!(rule("daemon/src/rpc/a.rs", &format!("{FINE}fn f() {{ key.expose(); }}\n")), 1);
    assert_eq!(rule("protocol/src/keys.rs", &format!("{FINE}fn f() {{ key.expose(); }}\n")), 0);
    let factor = "fn f() { write(WorkFactor::for_tests()); }";
    assert_eq!(rule("daemon/src/a.rs", &format!("{FINE}{factor}\n")), 1);
    assert_eq!(rule("tests/src/a.rs", &format!("{FINE}{factor}\n")), 0);
}

#[test]
fn allowances() {
    assert_eq!(rule("ctl/src/a.rs", &format!("{FINE}#[allow(dead_code)]\nfn f() {{}}\n")), 1);
    assert_eq!(rule("ctl/src/a.rs", &format!("{FINE}#[expect(x, reason = \"because\")]\nfn f() {{}}\n")), 0);
}

#[test]
fn sleeps() {
    let sleep = "std::thread::sleep(x);";
    assert_eq!(rule("tests/tests/cli/a.rs", &format!("{FINE}fn f() {{ {sleep} }}\n")), 1);
    assert_eq!(
        rule("ctl/src/a.rs", &format!("{FINE}#[cfg(test)]\nmod tests {{ fn f() {{ {sleep} }} }}\n")),
        1
    );
    assert_eq!(rule("ctl/src/a.rs", &format!("{FINE}fn f() {{ {sleep} }}\n")), 0);
}

#[test]
fn uncounted() {
    let line = "fn f() { blocking(move || open.store.head()); }";
    let raw = "fn f() { tokio::task::spawn_blocking(move || open.store.head()); }";
    let counted = "fn f() { blocking_in(&session.tasks, move || open.store.head()); }";
    for (path, line, found) in [
        ("daemon/src/session/manifest.rs", line, 1),
        ("daemon/src/safes/founding.rs", raw, 1),
        ("daemon/src/session/manifest.rs", counted, 0),
        // No device is unlocked there.
        ("daemon/src/engine/tidy_up.rs", line, 0),
        ("daemon/src/calls/doctor.rs", line, 0),
    ] {
        assert_eq!(rule(path, &format!("{FINE}{line}\n")), found, "{path}: {line}");
    }
}

#[test]
fn attempts() {
    let sealed = "fn f() -> ErrorCode { ErrorCode::AttemptSealed }";
    let bits = "fn f(view: &AttemptView) -> bool { view.steps & 0b10 != 0 }";
    for (path, line, found) in [
        ("server/src/invitations.rs", sealed, 1),
        ("daemon/src/p2p/host.rs", sealed, 1),
        // What the server refused is told to a person elsewhere.
        ("daemon/src/problems.rs", sealed, 0),
        ("daemon/src/enrolment/outbox.rs", bits, 1),
        ("protocol/src/relay/attempt/mod.rs", bits, 0),
        ("daemon/src/enrolment/outbox.rs", "fn f(view: &AttemptView) -> bool { view.has(1) }", 0),
    ] {
        assert_eq!(rule(path, &format!("{FINE}{line}\n")), found, "{path}: {line}");
    }
}

#[test]
fn machines() {
    let check = |line: &str| rules::check_text("README.md", line).len();
    assert_eq!(check(concat!("see /wo", "rk/main")), 1);
    assert_eq!(check(concat!("cd /wo", "rk")), 1);
    assert_eq!(check(concat!("../share", "d/design.md")), 1);
    assert_eq!(check(concat!("/ro", "ot/.cargo")), 1);
    for fine in ["cd /workspace", "frame/worker", "client/work-factor", "unshared/x", "it works/ends"] {
        assert_eq!(check(fine), 0, "{fine}");
    }
}
