//! What is left in the memory of a daemon after its device was locked: nothing. And in parsecctl,
//! once its password has been sent.
//!
//! The scanner is shown to work first: it finds the keys while the device is unlocked, and the
//! codes while they are on the screen.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use parsec_protocol::control::{ChoiceMode, DeviceSelector, DeviceView, ProfileName, Stage, method};
use parsec_protocol::enrol::link::Link;
use parsec_tests::ceremony::{Bell, Side};
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_PASSWORD, BOB, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::logs::{Planted, files};
use parsec_tests::memory;
use parsec_tests::process::Daemon;
use parsec_tests::skip;

/// The five keys of a device, out of its key file.
fn keys_of(who: &str, device: &Device, password: &str) -> Vec<Planted> {
    let file = files(&device.data()).into_iter().find(|(path, _)| path.ends_with("key.age")).unwrap();
    let identity = age::scrypt::Identity::new(age::secrecy::SecretString::from(password.to_owned()));
    let decryptor = age::Decryptor::new_buffered(file.1.as_slice()).unwrap();
    let mut record = Vec::new();
    let identities = std::iter::once(&identity as &dyn age::Identity);
    decryptor.decrypt(identities).unwrap().read_to_end(&mut record).unwrap();
    let mut decoder = minicbor::Decoder::new(&record);
    assert!(decoder.array().unwrap().unwrap() >= 18);
    for _ in 0..13 {
        decoder.skip().unwrap();
    }
    ["user's seed", "device's seed", "signing key", "store key", "directory key"]
        .into_iter()
        .flat_map(|name| Planted::bytes(&format!("{who}'s {name}"), decoder.bytes().unwrap()))
        .collect()
}

fn lock(device: &Device) {
    let locked: DeviceView = device.call(method::DEVICE_LOCK, DeviceSelector::default()).unwrap();
    assert_eq!(locked.state, parsec_protocol::control::DeviceState::Locked);
}

/// What is on a screen while a code is said and chosen.
fn codes_of(side: &Side) -> Vec<Planted> {
    let view = side.view().unwrap();
    let shown = view.say.into_iter().chain(view.choices);
    shown
        .flat_map(|choice| [choice.spelled, format!("\"{}\"", choice.code)])
        .map(|text| Planted { what: format!("the code {text}"), bytes: text.into_bytes() })
        .collect()
}

/// Runs the ceremony, noting every code that was on a screen; each is found in the memory of the
/// one who shows it.
fn ceremony(fixture: &Fixture, bob: &mut Device, codes: &mut Vec<Planted>) -> Vec<Planted> {
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let link: Link = invitation.link.expose().parse().unwrap();
    let secret = Planted::bytes("the link's secret", link.secret.expose());
    let bell = Arc::new(Bell::default());
    let mut claimer = bob.claim(invitation.link.expose(), &bell).unwrap();
    let mut greeter = fixture.alice.greet(invitation.token, &bell).unwrap();
    let said = claimer.code_to_say().unwrap();
    let live = codes_of(&claimer);
    let (found, _) = memory::search(bob.process().id(), &live);
    assert!(!found.is_empty(), "the scanner does not find a code that is on the screen");
    codes.extend(live);
    greeter.stage(Stage::ChooseCode).unwrap();
    codes.extend(codes_of(&greeter));
    greeter.choose(Some(&said), ChoiceMode::Picked).unwrap();
    let said = greeter.code_to_say().unwrap();
    codes.extend(codes_of(&greeter));
    claimer.stage(Stage::ChooseCode).unwrap();
    codes.extend(codes_of(&claimer));
    claimer.choose(Some(&said), ChoiceMode::Picked).unwrap();
    claimer.stage(Stage::Identify).unwrap();
    claimer.identify(BOB.name, BOB.label).unwrap();
    greeter.stage(Stage::Approve).unwrap();
    greeter.approve(Some(ProfileName::Standard)).unwrap();
    claimer.stage(Stage::SetPassword).unwrap();
    claimer.finish(BOB_PASSWORD).unwrap();
    claimer.outcome().unwrap();
    greeter.outcome().unwrap();
    secret
}

#[test]
fn nothing_secret_is_left_in_memory_after_lock() {
    const NAME: &str = "nothing_secret_is_left_in_memory_after_lock";
    if !rustix::process::getuid().is_root() {
        return skip(NAME, "reading another process's memory takes root");
    }
    let mut fixture = Fixture::found(FixtureOptions { daemon: Daemon::Shipped, ..FixtureOptions::default() });
    let mut bob = fixture.device("bob");
    let mut codes = Vec::new();
    let link = ceremony(&fixture, &mut bob, &mut codes);
    // Once more as on any other day: closed, opened with the password, used, closed.
    lock(&fixture.alice);
    lock(&bob);
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    bob.unlock(BOB_PASSWORD).unwrap();
    assert_eq!(fixture.alice.verify().unwrap().users, 2);

    let alice_id = fixture.alice.process().id();
    let bob_id = bob.process().id();
    let mut left = Vec::new();
    for (who, id, device, password) in
        [("Alice", alice_id, &fixture.alice, ALICE_PASSWORD), ("Bob", bob_id, &bob, BOB_PASSWORD)]
    {
        let keys = keys_of(who, device, password);
        let (found, searched) = memory::search(id, &keys);
        for key in ["user's seed", "device's seed", "signing key", "directory key"] {
            let seen = found.iter().filter(|hit| hit.contains(key)).count();
            assert!(seen > 0, "the scanner does not find {who}'s {key} while the device is unlocked");
        }
        println!("{who} unlocked: {} places in {searched} bytes", found.len());
        lock(device);
        let mut planted = keys;
        planted.extend(Planted::bytes(&format!("{who}'s password"), password.as_bytes()));
        planted.extend(codes.iter().cloned());
        planted.extend(link.iter().cloned());
        let (found, searched) = memory::search(id, &planted);
        println!(
            "{who} locked: {} places in {searched} bytes, {} things looked for",
            found.len(),
            planted.len()
        );
        left.extend(found.into_iter().map(|hit| format!("{who}: {hit}")));
    }
    assert!(left.is_empty(), "{left:#?}");
}

/// One line, byte by byte: what comes after it is not for this call.
fn line(stream: &mut UnixStream) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" {
        stream.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

/// A password in the memory of a program that waits for the daemon's answer, and goes on running
/// after it.
#[test]
fn parsecctl_forgets_its_password() {
    const NAME: &str = "parsecctl_forgets_its_password";
    if !rustix::process::getuid().is_root() {
        return skip(NAME, "reading another process's memory takes root");
    }
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let socket = folder.path().join("s");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let secret = "seven purple tortoises sing";
    let mut command = parsec_tests::ctl::command(
        Path::new("/nonexistent"),
        &["--socket", socket.to_str().unwrap(), "device", "unlock"],
    );
    command.env("TERM", "dumb");
    let mut session = rexpect::session::spawn_command(command, Some(60_000)).unwrap();
    let (mut daemon, _) = listener.accept().unwrap();
    // A daemon that doesn't know who greets is an older one, and spoken to all the same.
    assert!(line(&mut daemon).contains("rpc.hello"));
    let unknown = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"no\"}}\n";
    daemon.write_all(unknown).unwrap();
    session.exp_string("not shown): ").unwrap();
    session.send_line(secret).unwrap();
    // The call is here, so the prompt is over and the request is written.
    let request = line(&mut daemon);
    assert!(request.contains(secret), "{request}");
    let peer = rustix::net::sockopt::socket_peercred(&daemon).unwrap();
    let id = u32::try_from(peer.pid.as_raw_pid()).unwrap();
    // While it waits it may hold the answer that was typed and the line it was put in; no copy in a
    // buffer, none on a stack.
    let (held, _) = memory::search(id, &Planted::bytes("the password", secret.as_bytes()));
    println!("parsecctl waiting for the answer: {} places", held.len());
    daemon.write_all(
        b"{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32000,\"message\":\"no\",\"data\":{\"name\":\"wrong_password\",\"message\":\"no\",\"fault\":\"caller\",\"hint\":\"h\",\"retryable\":true,\"exit_code\":77}}}\n",
    )
    .unwrap();
    let _ = session.exp_eof().unwrap();
    let places = held.iter().filter(|hit| !hit.contains("hexadecimal") && !hit.contains("base64")).count();
    assert!(places <= 2, "more than the answer and the line it was put in: {held:#?}");
}
