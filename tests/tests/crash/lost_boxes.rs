//! A device that missed several changes of its user's key, and a server that lost the boxes which
//! lead back from each key to the one before: every manifest opens, and what is lost is put back.

use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::manifest;
use parsec_protocol::sealing::KeyHash;
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_AGAIN, ALICE_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::own_devices::{ManifestTraffic, enrol_own, log_of, only, opened, rekey, settle};
use parsec_tests::script::Newcomer;
use parsecd::store::OpenDevice;

const PHONE: Newcomer<'static> =
    Newcomer { name: None, label: "The silver phone", password: "hums to seven bees" };
/// Changes of the key that somebody misses.
const CHANGES: u64 = 3;

/// The keys of the device's user, the present one last.
fn keys(open: &OpenDevice, log: &VerifiedLog) -> Vec<KeyHash> {
    log.user(&open.summary.user).unwrap().keys.iter().map(|record| record.key).collect()
}

/// Whether a device has the seed of a key.
fn holds(open: &OpenDevice, key: &KeyHash) -> bool {
    open.keys.user_seed.encryption_key().hash() == *key || open.store.user_seed(key).unwrap().is_some()
}

/// Under which of its user's keys the manifest is that the device has taken, and its version.
fn taken(open: &OpenDevice, log: &VerifiedLog) -> (usize, u64) {
    let (version, envelope) = open.store.manifest().unwrap().expect("a manifest");
    let (organisation, user) = (log.organisation(), open.summary.user);
    let signed = manifest::verify(&envelope, organisation, &user, |author| {
        log.device(author).map(|device| device.verify_key)
    });
    let signed = signed.unwrap();
    let under = signed.header.key;
    let seed = open.store.user_seed(&under).unwrap();
    let seed = seed.as_ref().unwrap_or(&open.keys.user_seed);
    assert!(signed.open(&seed.manifest_key(organisation, &user)).is_ok());
    (keys(open, log).iter().position(|key| *key == under).unwrap(), version)
}

fn stopped(mut device: Device, password: &str) -> OpenDevice {
    let id = only(&device);
    device.kill();
    opened(&device.data(), id, password)
}

#[test]
fn a_device_that_was_off_during_three_changes_opens_the_manifest_of_each_key() {
    // How many of the keys have a manifest: the last that was written is under that one.
    for written in 1..=CHANGES + 1 {
        let fixture = Fixture::found(FixtureOptions::default());
        let traffic = ManifestTraffic::before(&fixture, ALICE_PASSWORD);
        let mut tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
        tablet.verify().unwrap();
        tablet.kill();
        for change in 1..=CHANGES {
            if change == written {
                traffic.close();
            }
            let _ = rekey(&fixture.alice);
            settle(&fixture.alice);
        }
        traffic.until_version(written);
        // What the tablet makes of it, it takes before it writes its own.
        traffic.close();
        tablet.restart();
        tablet.unlock(ALICE_AGAIN.password).unwrap();
        settle(&tablet);
        assert!(tablet.status().alarms.is_empty(), "{written}");
        let open = stopped(tablet, ALICE_AGAIN.password);
        let log = log_of(&open);
        let at = usize::try_from(written - 1).unwrap();
        assert_eq!(taken(&open, &log), (at, written), "{written}");
        // It holds the present key, and what leads from there to the manifest's.
        let keys = keys(&open, &log);
        assert_eq!(keys.len() as u64, CHANGES + 1);
        let present = keys.len() - 1;
        let from = if at == 0 { present } else { at };
        assert!(keys[from..].iter().all(|key| holds(&open, key)), "{written}: {keys:?}");
        // Nothing is fetched that nobody needs.
        assert!(keys[1..from].iter().all(|key| !holds(&open, key)), "{written}: {keys:?}");
    }
}

#[test]
fn past_boxes_that_a_restore_lost_are_put_back_and_lead_a_new_device_to_the_first_key() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let traffic = ManifestTraffic::before(&fixture, ALICE_PASSWORD);
    // The one manifest stays under the first key.
    traffic.close();
    let changed: Vec<_> = (0..CHANGES).map(|_| rekey(&fixture.alice).key).collect();
    settle(&fixture.alice);
    assert_eq!(traffic.past(), 0, "those that are there stay as they are");
    let middle: KeyHash = changed[1].parse().unwrap();
    fixture.tamper("UPDATE past_box SET sealed = randomblob(1168) WHERE key = ?1", [middle.as_bytes()]);
    fixture.tamper("DELETE FROM past_box WHERE key <> ?1", [middle.as_bytes()]);
    let _ = fixture.alice.ctl(&["device", "lock"]).well();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    // By itself: two that are missing, and one that doesn't open.
    traffic.until_past(3);
    settle(&fixture.alice);
    assert_eq!(traffic.past(), 3, "and once");

    let phone = enrol_own(&fixture, &fixture.alice, "phone", PHONE);
    traffic.until_turned_away(only(&phone));
    assert!(phone.status().alarms.is_empty());
    let open = stopped(phone, PHONE.password);
    let log = log_of(&open);
    let keys = keys(&open, &log);
    assert_eq!(keys.len() as u64, CHANGES + 1);
    assert_eq!(open.keys.user_seed.encryption_key().hash(), keys[3], "it was handed the present one");
    assert_eq!(taken(&open, &log), (0, 1), "it has opened what the first key sealed");
    assert!(keys.iter().all(|key| holds(&open, key)));
}
