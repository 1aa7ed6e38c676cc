//! What a manifest says of the organisation's log is compared with the reader's own, at its place,
//! whichever of the two is longer; nothing is taken on its word.

use std::sync::Arc;

use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::codec;
use parsec_protocol::control::{Alarm, ProblemKind};
use parsec_protocol::manifest::{self, ManifestHeader, Summary};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::LogPage;
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_AGAIN, ALICE_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::own_devices::{ManifestTraffic, enrol_own, log_of, only, opened, settle};
use parsec_tests::proxy::{Answer, Fate, Meddler, Request};
use parsec_tests::script::Newcomer;
use parsecd::store::OpenDevice;

/// Alice's desktop, locked, and what her tablet writes with: it is hers, and not revoked.
struct Written {
    fixture: Fixture,
    tablet: OpenDevice,
    log: VerifiedLog,
}

fn stopped(device: &mut Device, password: &str) -> OpenDevice {
    let id = only(device);
    device.kill();
    opened(&device.data(), id, password)
}

impl Written {
    fn new() -> Self {
        let fixture = Fixture::found(FixtureOptions::default());
        let _traffic = ManifestTraffic::before(&fixture, ALICE_PASSWORD);
        let mut tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
        tablet.verify().unwrap();
        settle(&tablet);
        fixture.alice.verify().unwrap();
        let _ = fixture.alice.ctl(&["device", "lock"]).well();
        let tablet = stopped(&mut tablet, ALICE_AGAIN.password);
        let log = log_of(&tablet);
        Self { fixture, tablet, log }
    }

    /// The tablet's next manifest, with this anchor, is what the server has.
    fn write(&mut self, anchor: Head) -> u64 {
        let Self { fixture, tablet, .. } = self;
        let sql = rusqlite::Connection::open(fixture.server.database()).unwrap();
        let before: u32 = sql.query_row("SELECT version FROM manifest", [], |row| row.get(0)).unwrap();
        drop(sql);
        let (summary, keys) = (&tablet.summary, &tablet.keys);
        let place = ManifestHeader {
            organisation: summary.organisation.clone(),
            user: summary.user,
            version: u64::from(before) + 1,
            author: summary.device,
            time: parsecd::os::clock::now(),
            key: keys.user_seed.encryption_key().hash(),
        };
        let content =
            Summary { directory_keys: &tablet.directory(), own_name: None, anchor, safes: Vec::new() };
        let key = keys.user_seed.manifest_key(&summary.organisation, &summary.user);
        let source = &mut parsecd::os::entropy::System;
        let envelope = manifest::seal(&place, content, &key, &keys.signing_key, source).unwrap();
        fixture.tamper("UPDATE manifest SET version = ?1, envelope = ?2", (before + 1, &envelope));
        place.version
    }

    /// The desktop unlocks and looks at it; what it raises.
    fn read(&self) -> Vec<Alarm> {
        self.fixture.alice.unlock(ALICE_PASSWORD).unwrap();
        settle(&self.fixture.alice);
        self.fixture.alice.status().alarms
    }

    fn lock(&self) {
        let _ = self.fixture.alice.ctl(&["device", "lock"]).well();
    }
}

fn another(count: u64) -> Head {
    Head { count, hash: Hash::of(&[b"another log"]) }
}

#[test]
fn an_anchor_on_this_log_is_no_matter_wherever_it_is() {
    let mut written = Written::new();
    let mut last = 0;
    for count in [0, 2, written.log.count()] {
        last = written.write(written.log.head_at(count).unwrap());
        assert!(written.read().is_empty(), "{count}");
        written.lock();
    }
    let desk = stopped_alice(&mut written);
    assert_eq!(desk.store.manifest().unwrap().unwrap().0, last, "each was taken");
}

fn stopped_alice(written: &mut Written) -> OpenDevice {
    stopped(&mut written.fixture.alice, ALICE_PASSWORD)
}

#[test]
fn an_anchor_on_another_log_is_an_alarm_until_a_person_drops_it() {
    for count in [2, 3] {
        let mut written = Written::new();
        assert_eq!(written.log.count(), 3);
        written.write(another(count));
        let [alarm] = written.read().try_into().unwrap();
        let Alarm { problem, .. } = alarm;
        assert_eq!(problem.name, ProblemKind::RolledBack);
        let part = format!("at or before certificate {count}");
        assert!(problem.message.contains("Alice's orange tablet"), "{problem:?}");
        assert!(problem.message.contains(&part), "{problem:?}");
        dropped_for_good(&written);
        // The log is the reader's own.
        let desk = stopped_alice(&mut written);
        assert_eq!(log_of(&desk).head(), written.log.head());
    }
}

/// The person looks and drops it: the next looks, and the next unlocking, say nothing more.
fn dropped_for_good(written: &Written) {
    let alice = &written.fixture.alice;
    let _ = alice.ctl(&["trust", "acknowledge", "--yes"]).well();
    settle(alice);
    assert!(alice.status().alarms.is_empty());
    assert_eq!(alice.verify().unwrap().count, written.log.count());
    written.lock();
    assert!(written.read().is_empty());
}

#[test]
fn an_anchor_beyond_the_log_is_never_taken_for_it() {
    let mut written = Written::new();
    let beyond = written.log.count() + 5;
    written.write(another(beyond));
    let [alarm] = written.read().try_into().unwrap();
    let Alarm { problem, .. } = alarm;
    assert_eq!(problem.name, ProblemKind::RolledBack);
    let text = format!("has verified {beyond} certificates, and the server shows fewer");
    assert!(problem.message.contains(&text), "{problem:?}");
    dropped_for_good(&written);
    let desk = stopped_alice(&mut written);
    assert_eq!(log_of(&desk).head(), written.log.head());
}

/// A server that is behind, to whoever doesn't say how far it should be.
struct Behind {
    from: String,
    count: u64,
}

impl Meddler for Behind {
    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        if request.method == "GET" && request.target.ends_with(&self.from) && answer.status == 200 {
            answer.body = codec::encode(&LogPage { count: self.count, certificates: Vec::new() });
        }
        Fate::Pass
    }
}

#[test]
fn what_an_anchor_says_to_be_there_is_asked_for_and_verified() {
    let Written { fixture, tablet, log } = Written::new();
    let have = log.count();
    drop(tablet);
    // The tablet lets the phone in, while the desktop is locked.
    let mut tablet = fixture.device("tablet");
    tablet.unlock(ALICE_AGAIN.password).unwrap();
    let phone = Newcomer { name: None, label: "The silver phone", password: "hums to seven bees" };
    let mut phone = enrol_own(&fixture, &tablet, "phone", phone);
    tablet.verify().unwrap();
    phone.kill();
    let tablet = stopped(&mut tablet, ALICE_AGAIN.password);
    let log = log_of(&tablet);
    let mut written = Written { fixture, tablet, log };
    assert_eq!(written.log.count(), have + 1);
    written.write(written.log.head());

    let from = format!("/log?from={have}&least={have}");
    written.fixture.proxy.meddle(Arc::new(Behind { from, count: have }));
    let alice = &written.fixture.alice;
    alice.unlock(ALICE_PASSWORD).unwrap();
    // The log without the phone is all that the server shows of itself: the anchor asks for more.
    let _ = alice.until_device(|_| alice.users().unwrap().users.iter().any(|user| user.devices.len() == 3));
    assert!(alice.status().alarms.is_empty());
    let desk = stopped_alice(&mut written);
    assert_eq!(log_of(&desk).head(), written.log.head());
}
