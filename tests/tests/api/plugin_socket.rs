//! The plug-ins' socket: nothing without a token, little with one, no secret ever, and an end the
//! moment it is revoked.

use std::io::PipeReader;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;

use parsec_protocol::control::{
    HelloResult, PLUGIN_SOCKET_NAME, ProblemKind, Socket, Stage, TokenCreated, TokenId, TokenListResult,
    TokenUsesResult, method,
};
use parsec_tests::ceremony::Bell;
use parsec_tests::device::Device;
use parsec_tests::fixture::{BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::logs::files;
use parsec_tests::rpc::{Client, Failed};
use parsecd::rpc::methods::{Permission, table};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use serde_json::{Value, json};

fn plugin_socket(device: &Device) -> PathBuf {
    device.socket().with_file_name(PLUGIN_SOCKET_NAME)
}

fn create(device: &Device, name: &str, methods: &[&str], rate: u32) -> TokenCreated {
    let request = json!({"name": name, "methods": methods, "rate_per_minute": rate});
    device.call(method::TOKEN_CREATE, request).unwrap()
}

fn enter(device: &Device, secret: &str) -> Result<(Client, HelloResult), Failed> {
    let mut client = Client::connect(&plugin_socket(device))?;
    let hello = client.call(method::HELLO, json!({"client": "test/1", "api": "2.0", "token": secret}))?;
    Ok((client, hello))
}

fn name(result: Result<Value, Failed>) -> Option<ProblemKind> {
    result.err().and_then(|failed| failed.name())
}

#[test]
fn a_token_opens_what_it_names_and_nothing_else_is_ever_open() {
    let fixture = Fixture::found(FixtureOptions::default());
    let alice = &fixture.alice;
    let mut stranger = Client::connect(&plugin_socket(alice)).unwrap();
    let hello: HelloResult = stranger.call(method::HELLO, ()).unwrap();
    assert_eq!((hello.socket, &hello.token), (Socket::Plugin, &None));
    let callable = |hello: &HelloResult| -> Vec<String> {
        hello.methods.iter().filter(|it| it.permission != "anyone").map(|it| it.name.clone()).collect()
    };
    assert!(callable(&hello).is_empty());
    for (method, permission) in table().filter(|(_, permission)| *permission != Permission::Anyone) {
        assert_eq!(
            name(stranger.call(method, ())),
            Some(ProblemKind::TokenInvalid),
            "{method} {permission:?}"
        );
    }
    for secret in ["", "parsec-token-", &format!("parsec-token-{}", "A".repeat(43))] {
        let refused = enter(alice, secret).err().and_then(|failed| failed.name());
        assert_eq!(refused, Some(ProblemKind::TokenInvalid), "{secret}");
    }

    let made = create(alice, "files", &[method::STATUS], 1_000);
    let secret = made.secret.expose();
    assert!(secret.starts_with("parsec-token-") && secret.len() == 56, "its shape is documented");
    let (mut plugin, hello) = enter(alice, secret).unwrap();
    assert_eq!(
        (hello.token.clone(), callable(&hello)),
        (Some(made.token.id.clone()), vec![method::STATUS.to_owned()])
    );
    plugin.call::<Value>(method::STATUS, ()).unwrap();
    for (method, permission) in table() {
        if permission != Permission::Anyone && method != method::STATUS {
            assert_eq!(name(plugin.call(method, ())), Some(ProblemKind::AccessDenied), "{method}");
        }
    }
    let again = json!({"token": secret});
    assert_eq!(name(plugin.call(method::HELLO, again.clone())), Some(ProblemKind::InvalidRequest), "twice");
    assert_eq!(name(alice.call(method::HELLO, again)), Some(ProblemKind::InvalidRequest), "own socket");
    for methods in [json!([method::INVITE_USER]), json!([method::STATUS, method::DEVICE_UNLOCK]), json!([])] {
        let refused = alice.call(method::TOKEN_CREATE, json!({"name": "more", "methods": methods}));
        assert_eq!(name(refused), Some(ProblemKind::InvalidRequest), "{methods}");
    }
}

/// A pipe that the daemon holds no end of: its reader is at its end.
fn is_closed(reader: &PipeReader) -> bool {
    let mut asked = [PollFd::new(reader, PollFlags::IN)];
    let timeout = Timespec { tv_sec: 60, tv_nsec: 0 };
    poll(&mut asked, Some(&timeout)).unwrap() == 1 && asked[0].revents().contains(PollFlags::HUP)
}

#[test]
fn an_open_file_that_a_plug_in_passes_is_closed_and_so_is_its_connection() {
    let fixture = Fixture::found(FixtureOptions::default());
    let alice = &fixture.alice;
    let made = create(alice, "files", &[method::STATUS], 1_000);
    for method in [method::STATUS, method::FILE_GET, method::FILE_PUT] {
        let (mut plugin, _) = enter(alice, made.secret.expose()).unwrap();
        let mut stranger = Client::connect(&plugin_socket(alice)).unwrap();
        for client in [&mut plugin, &mut stranger] {
            let (reader, writer) = std::io::pipe().unwrap();
            let refused = client.call_with::<Value>(method, json!({}), writer.as_fd());
            assert_eq!(name(refused), Some(ProblemKind::InvalidRequest), "{method}");
            drop(writer);
            assert!(is_closed(&reader), "{method}: nobody holds it");
            assert!(matches!(client.call::<Value>(method::HELLO, ()), Err(Failed::Gone)), "{method}");
        }
    }
    // On the user's own socket it is taken by what asks for it.
    let (_, writer) = std::io::pipe().unwrap();
    let asked = json!({ "safe": "none", "path": "/x" });
    let refused = alice.client().unwrap().call_with::<Value>(method::FILE_GET, asked, writer.as_fd());
    assert_eq!(name(refused), Some(ProblemKind::SafeUnknown));
}

#[test]
fn a_plug_in_sees_that_a_ceremony_runs_and_none_of_its_secrets() {
    let fixture = Fixture::found(FixtureOptions::default());
    let alice = &fixture.alice;
    let methods = [method::STATUS, method::CEREMONY_LIST, method::DEVICE_LIST];
    let made = create(alice, "files", &methods, 1_000);
    let (mut plugin, _) = enter(alice, made.secret.expose()).unwrap();
    let bob = fixture.device("bob");
    let invitation = alice.invite(BOB_EMAIL).unwrap();
    let bell = Arc::new(Bell::default());
    let claimer = bob.claim(invitation.link.expose(), &bell).unwrap();
    let greeter = alice.greet(invitation.token, &bell).unwrap();
    claimer.until("a code to say", |view| view.stage == Stage::SayCode).unwrap();
    let view = greeter.until("codes to choose from", |view| view.stage == Stage::ChooseCode).unwrap();

    let mut secrets: Vec<String> =
        view.choices.iter().flat_map(|it| [it.code.clone(), it.spelled.clone()]).collect();
    assert_eq!(secrets.len(), 8);
    let payload = invitation.link.expose().split('#').nth(1).unwrap().to_owned();
    secrets.extend([invitation.token.to_string(), payload, made.secret.expose().to_owned()]);
    let own: Value = alice.call(method::STATUS, ()).unwrap();
    assert!(
        secrets.iter().filter(|it| own.to_string().contains(*it)).count() >= 9,
        "the own socket shows them"
    );
    for method in methods {
        let seen = plugin.call::<Value>(method, ()).unwrap().to_string();
        assert!(method == method::DEVICE_LIST || seen.contains("choose_code"), "{seen}");
        for secret in &secrets {
            assert!(!seen.contains(secret), "{method} shows {secret}: {seen}");
        }
    }
}

#[test]
fn every_use_is_on_record_and_revoking_cuts_off_at_once() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let made = create(&fixture.alice, "files", &[method::STATUS], 3);
    let secret = made.secret.expose();
    let (mut plugin, _) = enter(&fixture.alice, secret).unwrap();
    // Presenting it was the first of three.
    for _ in 0..2 {
        plugin.call::<Value>(method::STATUS, ()).unwrap();
    }
    assert_eq!(name(plugin.call(method::STATUS, ())), Some(ProblemKind::RateLimited));
    assert_eq!(name(plugin.call(method::USER_LIST, ())), Some(ProblemKind::AccessDenied));

    let uses: TokenUsesResult = fixture.alice.call(method::TOKEN_USES, ()).unwrap();
    let told: Vec<_> = uses.uses.iter().map(|it| (it.method.as_str(), it.refused)).collect();
    let expected = [
        (method::USER_LIST, Some(ProblemKind::AccessDenied)),
        (method::STATUS, Some(ProblemKind::RateLimited)),
        (method::STATUS, None),
        (method::STATUS, None),
        (method::HELLO, None),
    ];
    assert_eq!(told, expected);
    assert!(
        uses.uses.iter().all(|it| it.pid == std::process::id() && it.id.as_ref() == Some(&made.token.id))
    );
    let list: TokenListResult = fixture.alice.call(method::TOKEN_LIST, ()).unwrap();
    assert_eq!((list.tokens[0].uses, list.tokens[0].refused), (3, 2));

    // It waits for a line; what it gets is the end.
    let revoked = json!({"id": made.token.id});
    let unknown = fixture.alice.call(method::TOKEN_REVOKE, json!({"id": TokenId("00".repeat(8))}));
    assert_eq!(name(unknown), Some(ProblemKind::TokenInvalid));
    let _: Value = fixture.alice.call(method::TOKEN_REVOKE, revoked).unwrap();
    assert!(matches!(plugin.line(), Err(Failed::Gone)));
    let refused = |device: &Device| enter(device, secret).err().and_then(|failed| failed.name());
    assert_eq!(refused(&fixture.alice), Some(ProblemKind::TokenInvalid));
    fixture.alice.restart();
    assert_eq!(refused(&fixture.alice), Some(ProblemKind::TokenInvalid));

    // The log tells of each use, and neither it nor the disk holds the secret.
    let log = fixture.alice.log();
    assert!(log.contains(&made.token.id.0) && log.contains("rate_limited"), "{log}");
    let part = &secret["parsec-token-".len()..];
    assert!(!log.contains(part));
    for (path, contents) in files(&fixture.alice.data()) {
        let found = contents.windows(part.len()).any(|window| window == part.as_bytes());
        assert!(!found, "the secret is in {path}");
    }
}
