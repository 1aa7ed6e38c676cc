//! A device that has not seen a manifest itself takes no old one: message 7 tells a new device of
//! the newest, and the log those that stay away.

use std::sync::Arc;

use parsec_protocol::codec;
use parsec_protocol::control::{ProblemKind, Stage};
use parsec_protocol::relay::ManifestView;
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_AGAIN, ALICE_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::own_devices::{ManifestTraffic, enrol_own, rekey, settle};
use parsec_tests::proxy::{Answer, Fate, Meddler, Request};
use parsec_tests::script;

/// The first manifest of all, and no way to another.
struct Old {
    envelope: Vec<u8>,
    traffic: Arc<ManifestTraffic>,
}

impl Old {
    /// As the server has it, before anybody writes the next.
    fn kept(fixture: &Fixture, traffic: &Arc<ManifestTraffic>) -> Self {
        let sql = rusqlite::Connection::open(fixture.server.database()).unwrap();
        let first = "SELECT envelope FROM manifest WHERE version = 1";
        let envelope = sql.query_row(first, [], |row| row.get(0)).unwrap();
        Self { envelope, traffic: Arc::clone(traffic) }
    }
}

impl Meddler for Old {
    fn request(&self, request: &mut Request) -> Fate {
        self.traffic.request(request)
    }

    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        let fate = self.traffic.answer(request, answer);
        let asked = request.target.split('?').next().is_some_and(|path| path.ends_with("/manifest"));
        if asked && request.method == "GET" {
            answer.status = 200;
            let envelope = Some(self.envelope.clone().into());
            answer.body = codec::encode(&ManifestView { version: 1, envelope });
        }
        fate
    }
}

/// What the device says of it, once it has looked.
fn says(device: &Device, of: &str) {
    settle(device);
    let alarms = device.status().alarms;
    let said = alarms.iter().find(|alarm| alarm.problem.name == ProblemKind::RolledBack);
    let said = said.unwrap_or_else(|| panic!("no alarm: {alarms:?}"));
    assert!(said.problem.message.contains(of), "{said:?}");
}

#[test]
fn a_new_device_is_told_in_its_ceremony_which_manifest_is_the_newest() {
    let fixture = Fixture::found(FixtureOptions::default());
    let traffic = ManifestTraffic::before(&fixture, ALICE_PASSWORD);
    let old = Old::kept(&fixture, &traffic);
    // The second version, of which no certificate says anything.
    let _ = rekey(&fixture.alice);
    traffic.until_version(2);
    settle(&fixture.alice);
    let tablet = fixture.device("tablet");
    let invitation = fixture.alice.invite_device().unwrap();
    let (mut claimer, mut greeter) = fixture.both(&tablet, &invitation);
    script::up_to_password(&mut claimer, &mut greeter, ALICE_AGAIN, None);
    claimer.stage(Stage::SetPassword).unwrap();
    traffic.close();
    fixture.proxy.meddle(Arc::new(old));
    claimer.finish(ALICE_AGAIN.password).unwrap();
    claimer.outcome().unwrap();
    greeter.outcome().unwrap();
    assert_eq!(tablet.verify().unwrap().devices, 2);
    says(&tablet, "older than version 2");
}

#[test]
fn a_device_that_stayed_away_is_told_by_the_log_which_manifest_was_there() {
    let fixture = Fixture::found(FixtureOptions::default());
    let traffic = ManifestTraffic::before(&fixture, ALICE_PASSWORD);
    let old = Old::kept(&fixture, &traffic);
    let mut tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    settle(&tablet);
    tablet.kill();
    // The second change names the manifest that followed the first.
    for version in [2, 3] {
        let _ = rekey(&fixture.alice);
        traffic.until_version(version);
        settle(&fixture.alice);
    }
    traffic.close();
    fixture.proxy.meddle(Arc::new(old));
    tablet.restart();
    tablet.unlock(ALICE_AGAIN.password).unwrap();
    says(&tablet, "older than version 2");
}
