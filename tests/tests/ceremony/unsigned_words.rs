//! What a server says without a signature is shown, and can be taken back: no key and no receipt
//! goes for it.

use std::sync::Arc;

use parsec_protocol::codec;
use parsec_protocol::control::{ProblemKind, ProfileName, Registration};
use parsec_protocol::ids::{DeviceId, Timestamp};
use parsec_protocol::relay::{AttemptView, EndReason, ErrorBody, ErrorCode};
use parsec_tests::fixture::{ALICE_PASSWORD, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::process::Daemon;
use parsec_tests::proxy::{Answer, Fate, Honest, Meddler, Request};
use parsec_tests::unanswered::Unanswered;

#[test]
fn a_refused_founding_keeps_the_only_keys_of_what_may_exist() {
    let founding = Unanswered::found(Daemon::default());
    let (owner, proxy) = (&founding.owner, &founding.proxy);
    let (url, found) = (proxy.url(), |token: &str| founding.again(token, ALICE_PASSWORD));
    let device = owner.devices()[0].device;
    proxy.meddle(Arc::new(Honest));
    // It exists by now; the token is mistyped.
    assert_eq!(found(&"0".repeat(64)).unwrap_err().name(), Some(ProblemKind::BootstrapRefused));
    // Set aside: out of the way, with all its keys.
    let kept = owner.devices();
    assert_eq!((kept.len(), kept[0].device, kept[0].registration), (1, device, Registration::Void));
    assert!(!owner.ctl(&["device", "list"]).well().stdout.contains(&url));
    assert!(owner.ctl(&["device", "list", "--set-aside"]).well().stdout.contains(&url));
    let listed = |options: &[&str]| {
        let said = owner.ctl(&[&["device", "list", "--json"], options].concat()).well().json();
        said["devices"].as_array().unwrap().len()
    };
    assert_eq!((listed(&[]), listed(&["--set-aside"])), (0, 1));
    // Taken back by its person, whom no further refusal overrules.
    let short = device.to_string()[..8].to_owned();
    assert_eq!(owner.ctl(&["device", "restore", &short, "--json"]).well().json()["registration"], "pending");
    assert_eq!(found(&"0".repeat(64)).unwrap_err().name(), Some(ProblemKind::BootstrapRefused));
    assert_eq!((listed(&[]), listed(&["--set-aside"])), (1, 0));
    assert_eq!(owner.ctl(&["device", "restore", "00000000"]).code, 64);
    found(&founding.token).unwrap();
    let known = owner.devices();
    assert_eq!((known.len(), known[0].device, known[0].registration), (1, device, Registration::Registered));
    assert_eq!(owner.verify().unwrap().count, 2);
}

/// Passes message 8 on, and tells the newcomer that it came too late; asked what became of it, or
/// for the log, by another device than the greeter's, it has no time.
struct TooLate {
    greeter: DeviceId,
}

impl Meddler for TooLate {
    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        let asked = request.target.split('?').next().unwrap_or_default();
        let said = if request.deposits() == Some(8) {
            Some((410, ErrorCode::InvitationExpired))
        } else if asked.ends_with("/enrolments/standing")
            || (asked.ends_with("/log") && !request.is_by(self.greeter))
        {
            Some((503, ErrorCode::Unavailable))
        } else {
            None
        };
        if let Some((status, code)) = said {
            answer.status = status;
            answer.body = codec::encode(&ErrorBody { code, server_time: Timestamp(1), retry_after: 0 });
        }
        Fate::Pass
    }
}

#[test]
fn a_device_that_the_server_calls_void_is_registered_once_the_log_has_it() {
    let fixture = Fixture::found(FixtureOptions::default());
    let mut bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let (mut claimer, greeter) = fixture.up_to_password(&bob, &invitation, ProfileName::Standard);
    fixture.proxy.meddle(Arc::new(TooLate { greeter: fixture.alice.devices()[0].device }));
    let _ = claimer.finish(BOB_PASSWORD);
    let said = bob.until_device(|device| device.registration == Registration::Void);
    greeter.outcome().unwrap();
    // Over a restart, too: what it takes to go on is still there.
    bob.restart();
    assert_eq!(bob.devices()[0].registration, Registration::Void);
    assert_eq!(bob.verify().unwrap_err().name(), Some(ProblemKind::DeviceVoid));
    let whole = said.device.to_string();
    assert_eq!(bob.ctl(&["device", "restore", &whole, "--json"]).well().json()["registration"], "pending");
    fixture.proxy.meddle(Arc::new(Honest));
    let known = bob.until_device(|device| device.registration == Registration::Registered);
    assert_eq!(known.device, said.device);
    bob.unlock(BOB_PASSWORD).unwrap();
    bob.verify().unwrap();
}

/// Lets no enrolment be completed, and says that the newcomer has cancelled it.
struct SaysCancelled;

/// What no server knows.
const NOWHERE: &str = "/v1/nowhere";

impl Meddler for SaysCancelled {
    fn request(&self, request: &mut Request) -> Fate {
        if request.method == "POST" && request.target.ends_with("/complete") {
            NOWHERE.clone_into(&mut request.target);
        }
        Fate::Pass
    }

    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        if request.target == NOWHERE {
            answer.status = 409;
            answer.body = codec::encode(&ErrorBody {
                code: ErrorCode::AttemptEnded,
                server_time: Timestamp(1),
                retry_after: 0,
            });
        } else if let Ok(view) = codec::decode::<AttemptView>(&answer.body, answer.body.len()) {
            answer.body = codec::encode(&AttemptView { ended: Some(EndReason::Cancelled), ..view });
        }
        Fate::Pass
    }
}

#[test]
fn what_a_greeter_signed_is_set_aside_and_registered_once_the_server_takes_it() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let (mut claimer, greeter) = fixture.up_to_password(&bob, &invitation, ProfileName::Standard);
    fixture.proxy.meddle(Arc::new(SaysCancelled));
    let _ = claimer.finish(BOB_PASSWORD);
    assert!(greeter.outcome().is_err());
    let held = fixture.alice.until_device(|device| device.outbox_set_aside == Some(1));
    assert_eq!(held.outbox, Some(0));
    let said = fixture.alice.ctl(&["device", "list", "--set-aside"]).well().stdout;
    assert!(said.contains("1 enrolment(s)"), "{said}");
    assert_eq!(bob.verify().unwrap_err().name(), Some(ProblemKind::DevicePending));
    // The server is honest again, and nobody has to begin anew.
    fixture.proxy.meddle(Arc::new(Honest));
    let _ = fixture.alice.ctl(&["device", "lock"]).well();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let _ = bob.until_device(|device| device.registration == Registration::Registered);
    let _ =
        fixture.alice.until_device(|device| device.outbox_set_aside == Some(0) && device.outbox == Some(0));
}
