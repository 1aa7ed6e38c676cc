//! The folder of a device, copied and run beside its original: both are the same device to
//! everybody else, and whatever both do at once, one wins and nothing is lost.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};

use parsec_tests::device::{Device, copy_folder, private_folder};
use parsec_tests::fixture::{ALICE_AGAIN, ALICE_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::own_devices::{ManifestTraffic, changes, enrol_own, log_of, only, opened, rekey, settle};
use parsec_tests::proxy::{Answer, Fate, Meddler, Request};

/// Holds the changes of two devices back until both are there, and the manifests that follow.
struct Together {
    traffic: Arc<ManifestTraffic>,
    barriers: [(&'static str, &'static str, Barrier, AtomicU32); 2],
}

impl Together {
    fn new(traffic: Arc<ManifestTraffic>) -> Self {
        let barrier = |method, end| (method, end, Barrier::new(2), AtomicU32::new(0));
        Self { traffic, barriers: [barrier("POST", "/user-key"), barrier("PUT", "/manifest")] }
    }
}

impl Meddler for Together {
    fn request(&self, request: &mut Request) -> Fate {
        for (method, end, barrier, came) in &self.barriers {
            let here = request.method == *method && request.target.ends_with(end);
            if here && came.fetch_add(1, Ordering::SeqCst) < 2 {
                barrier.wait();
            }
        }
        Fate::Pass
    }

    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        self.traffic.answer(request, answer)
    }
}

#[test]
fn a_copy_and_its_original_change_the_key_and_write_the_manifest_at_once_and_nothing_is_lost() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let traffic = ManifestTraffic::before(&fixture, ALICE_PASSWORD);
    let device = only(&fixture.alice);
    fixture.alice.kill();
    let folder = fixture.path("copy");
    private_folder(&folder);
    copy_folder(&fixture.alice.data(), &folder.join("data"));
    fixture.alice.restart();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let mut copy = Device::start("Alice's copy", &folder);
    assert_eq!(only(&copy), device);
    copy.unlock(ALICE_PASSWORD).unwrap();

    traffic.count_writers();
    fixture.proxy.meddle(Arc::new(Together::new(Arc::clone(&traffic))));
    let (original, second) = (&fixture.alice, &copy);
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(move || rekey(original));
        let other = scope.spawn(move || rekey(second));
        (one.join().unwrap(), other.join().unwrap())
    });
    assert_eq!(one.key, other.key, "both go by what the log has");
    assert_eq!(traffic.until_written(2), [204, 409], "one manifest of two, and the other knows");
    for device in [&fixture.alice, &copy] {
        settle(device);
        assert_eq!(changes(device), 1);
        assert!(device.status().alarms.is_empty());
    }
    // Either goes on, with what the other did.
    let _ = rekey(&copy);
    settle(&copy);
    let _tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    settle(&fixture.alice);
    assert_eq!((changes(&fixture.alice), changes(&copy)), (2, 2));
    for device in [&fixture.alice, &copy] {
        let alarms = device.status().alarms;
        assert!(alarms.is_empty(), "{alarms:?}");
    }

    fixture.alice.kill();
    copy.kill();
    let opened = [fixture.alice.data(), copy.data()].map(|data| opened(&data, device, ALICE_PASSWORD));
    let taken = opened.each_ref().map(|open| open.store.manifest().unwrap().expect("a manifest"));
    assert_eq!(taken[0], taken[1], "both take the one that the server has");
    for open in &opened {
        let log = log_of(open);
        let keys = &log.user(&open.summary.user).unwrap().keys;
        let [first, later @ ..] = keys.as_slice() else { panic!("no key") };
        assert_eq!(open.keys.user_seed.encryption_key().hash(), first.key);
        assert_eq!(later.len(), 2);
        assert!(open.store.key_change().unwrap().is_none(), "what lost has gone");
        let seed = |key| open.store.user_seed(key).unwrap();
        assert!(later.iter().all(|key| seed(&key.key).is_some()), "both hold every key");
    }
}
