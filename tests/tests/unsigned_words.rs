//! What a server says without a signature is shown, and can be taken back: no key and no receipt goes for it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use parsec_protocol::codec;
use parsec_protocol::control::{ProblemKind, ProfileName, Registration, Stage};
use parsec_protocol::ids::Timestamp;
use parsec_protocol::relay::{ErrorBody, ErrorCode};
use parsec_tests::people;
use parsec_tests::proxy::{Answer, Fate, Honest, Meddler, Proxy, Request};
use parsec_tests::scene::{BOB, BOB_EMAIL, BOB_PASSWORD, Scene, Setting};
use parsec_tests::server::Server;
use parsec_tests::terminal::{Founding, Terminal, private_folder};

/// The server founds, and nobody hears of it.
struct NoAnswer;

impl Meddler for NoAnswer {
    fn answer(&self, request: &Request, _: &mut Answer) -> Fate {
        if request.method == "POST" { Fate::Lose } else { Fate::Pass }
    }
}

#[test]
fn a_refused_founding_keeps_the_only_keys_of_what_may_exist() {
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    private_folder(&folder.path().join("server"));
    let server = Server::start(&folder.path().join("server"), &[]);
    let proxy = Proxy::start(server.address());
    proxy.meddle(Arc::new(NoAnswer));
    let terminal = Terminal::start("owner", &folder.path().join("t"));
    let (url, token) = (proxy.url(), server.reserve("acme"));
    let found = |token: &str| {
        terminal.found(&Founding {
            server: &url,
            organisation: "acme",
            token,
            email: "alice@acme.example",
            name: "Alice",
            label: "desk",
            password: "seven purple tortoises sing",
            typed_codes: false,
        })
    };
    assert_eq!(found(&token).unwrap_err().name(), Some(ProblemKind::ServerUnreachable));
    let device = terminal.devices()[0].device;
    proxy.meddle(Arc::new(Honest));
    // It exists by now; the token is mistyped.
    assert_eq!(found(&"0".repeat(64)).unwrap_err().name(), Some(ProblemKind::BootstrapRefused));
    let kept = terminal.devices();
    assert_eq!((kept.len(), kept[0].device, kept[0].registration), (1, device, Registration::Pending));
    found(&token).unwrap();
    let known = terminal.devices();
    assert_eq!((known.len(), known[0].device, known[0].registration), (1, device, Registration::Registered));
    assert_eq!(terminal.verify().unwrap().count, 2);
}

/// Passes message 8 on, and tells the newcomer that it came too late.
struct TooLate;

impl Meddler for TooLate {
    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        if request.deposits() == Some(8) {
            answer.status = 410;
            answer.body = codec::encode(&ErrorBody {
                code: ErrorCode::InvitationExpired,
                server_time: Timestamp(1),
                retry_after: 0,
            });
        }
        Fate::Pass
    }
}

#[test]
fn a_device_that_the_server_calls_void_is_registered_once_the_log_has_it() {
    let scene = Scene::found(Setting::default());
    let mut bob = scene.terminal("bob");
    let invitation = scene.alice.invite(BOB_EMAIL).unwrap();
    let (mut claimer, mut greeter) = scene.both(&bob, &invitation);
    people::up_to_password(&mut claimer, &mut greeter, BOB, Some(ProfileName::Standard));
    claimer.stage(Stage::SetPassword).unwrap();
    scene.proxy.meddle(Arc::new(TooLate));
    let _ = claimer.finish(BOB_PASSWORD);
    let said = bob.until_device(|device| device.registration == Registration::Void);
    greeter.outcome().unwrap();
    // Over a restart, too: what it takes to go on is still there.
    bob.restart();
    assert_eq!(bob.devices()[0].registration, Registration::Void);
    scene.proxy.meddle(Arc::new(Honest));
    let known = bob.until_device(|device| device.registration == Registration::Registered);
    assert_eq!(known.device, said.device);
    bob.unlock(BOB_PASSWORD).unwrap();
    bob.verify().unwrap();
}
