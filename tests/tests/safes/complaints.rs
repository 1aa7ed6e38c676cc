//! What people complain of about systems like this one, as what must not be
//! (docs/assurance/safes.md, *Complaints*): one question for each folder, an import that hides all
//! until it has ended, a rename that sends everything again.
//!
//! Decides by what crosses the line, and when: no clock is asked.

use std::fs;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parsec_protocol::ids::DeviceId;
use parsec_tests::fixture::{ALICE_AGAIN, Fixture, FixtureOptions};
use parsec_tests::metrics::{figure, runs};
use parsec_tests::own_devices::only;
use parsec_tests::proxy::{Fate, Honest, Meddler, Request};
use parsec_tests::safes::{Safe, create, is_well};
use parsec_tests::server::NO_LIMITS;

use super::offline::Away;
use super::{PLANS, enrol_own};

/// Folders of the large tree, and files in each.
const FOLDERS: u64 = 40;
const FILES: u64 = 50;
/// By when something is held back, on a machine that does much else.
const HELD_WAIT: Duration = Duration::from_secs(120);
/// Requests about safes that a new device may need for all of it.
const FRESH_MAX: usize = 30;

/// Counts what is asked about safes, by one device or by all others.
struct Counting {
    device: DeviceId,
    others: bool,
    seen: Mutex<Vec<(String, String, usize)>>,
}

impl Counting {
    fn of(device: DeviceId) -> Arc<Self> {
        Arc::new(Self { device, others: false, seen: Mutex::new(Vec::new()) })
    }

    fn but(device: DeviceId) -> Arc<Self> {
        Arc::new(Self { device, others: true, seen: Mutex::new(Vec::new()) })
    }

    /// Method, target and bytes of each request so far.
    fn taken(&self) -> Vec<(String, String, usize)> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

impl Meddler for Counting {
    fn request(&self, request: &mut Request) -> Fate {
        if request.is_by(self.device) != self.others && request.target.contains("/safes") {
            let (method, target) = (request.method.clone(), request.target.clone());
            self.seen.lock().unwrap().push((method, target, request.body.len()));
        }
        Fate::Pass
    }
}

fn founded() -> Fixture {
    Fixture::found(FixtureOptions { server_options: NO_LIMITS, ..FixtureOptions::default() })
}

/// Not a round trip for each folder: one journal, read in pages; and nothing at all to look around
/// in it.
#[test]
fn a_new_device_takes_a_large_tree_in_few_requests_and_lists_it_in_none() {
    let fixture = founded();
    let (folders, files) = (FOLDERS, runs(FILES, 50 * FILES));
    let tree = fixture.path("tree");
    for folder in 0..folders {
        let folder = tree.join(format!("folder {folder}"));
        fs::create_dir_all(&folder).unwrap();
        (0..files).for_each(|file| fs::write(folder.join(format!("{file}.txt")), file.to_string()).unwrap());
    }
    let made = create(&fixture.alice, PLANS);
    let counting = Counting::of(only(&fixture.alice));
    fixture.proxy.meddle(Arc::clone(&counting) as Arc<dyn Meddler>);
    let line = ["safe", "put", "--recursive", tree.to_str().unwrap(), "Plans:/tree", "--wait", "600"];
    let _ = fixture.alice.ctl(&line).well();
    let entries = folders * (files + 1) + 1;
    let sent = counting.taken().into_iter().filter(|(method, ..)| method != "GET").count();
    assert!(sent as u64 * 20 < entries, "{sent} requests for {entries} entries");

    // As many records as a person makes in a while, each of them small.
    for number in 0..folders {
        let _ = fixture.alice.ctl(&["safe", "mkdir", &format!("Plans:/{number}"), "--wait", "60"]).well();
    }

    // The next one of hers, from its first word to the server.
    let counting = Counting::but(only(&fixture.alice));
    fixture.proxy.meddle(Arc::clone(&counting) as Arc<dyn Meddler>);
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    let _ = tablet.until_safe(|safe| safe.safe == made.safe && is_well(safe));
    let id = made.safe.to_string();
    Safe { device: &tablet, name: &id }.sync();
    let asked = counting.taken();
    assert!(
        (1..=FRESH_MAX).contains(&asked.len()),
        "{} requests for {entries} entries: {asked:?}",
        asked.len()
    );

    fixture.proxy.meddle(Arc::new(Away(only(&tablet))));
    fixture.proxy.cut();
    let mut listed = 0;
    for path in std::iter::once("/tree".to_owned()).chain((0..folders).map(|at| format!("/tree/folder {at}")))
    {
        listed += tablet.ctl(&["safe", "ls", &format!("{id}:{path}")]).well().stdout.lines().count() as u64;
    }
    assert_eq!(listed, entries - 1);
    fixture.proxy.meddle(Arc::new(Honest));
    let asked = asked.len();
    figure(
        "K1",
        &format!("{entries} entries: {asked} requests until a new device has all of it, 0 to list it"),
    );
    figure("K19", &format!("{entries} entries went out in {sent} requests"));
}

/// Lets so many puts of objects by a device through, and says when one more has come; the others
/// wait.
struct Holding {
    device: DeviceId,
    /// How many more go, and where it is told that one is held.
    left: Mutex<(usize, Sender<()>)>,
    /// Ends when the test lets go.
    held: Mutex<Receiver<()>>,
}

impl Meddler for Holding {
    fn request(&self, request: &mut Request) -> Fate {
        let carries = request.method == "PUT" && request.target.contains("/objects");
        if !carries || !request.is_by(self.device) {
            return Fate::Pass;
        }
        {
            let mut left = self.left.lock().unwrap();
            if left.0 > 0 {
                left.0 -= 1;
                return Fate::Pass;
            }
            // Whoever listened may have heard enough.
            let _ = left.1.send(());
        }
        // One at a time waits for the test; its end lets all go.
        let _ = self.held.lock().unwrap().recv();
        Fate::Pass
    }
}

/// An import of many files: each is there for others once it is whole, whatever is behind it.
#[test]
fn of_many_large_files_each_is_there_as_soon_as_it_is_whole() {
    const FILES: usize = 6;
    let fixture = founded();
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    let made = create(&fixture.alice, PLANS);
    let _ = tablet.until_safe(|safe| safe.safe == made.safe && is_well(safe));
    let id = made.safe.to_string();
    let text = |number: usize| {
        let seed = u32::try_from(number).unwrap();
        let word = |at: u32| at.wrapping_mul(2_654_435_761).rotate_left(seed + 5).to_le_bytes();
        (0..3 * 262_144_u32).flat_map(word).collect::<Vec<u8>>()
    };
    // All of them wait before the first one goes: as when the line is slower than the disk.
    fixture.proxy.meddle(Arc::new(Away(only(&fixture.alice))));
    fixture.proxy.cut();
    let on_alice = Safe { device: &fixture.alice, name: PLANS };
    for number in 0..FILES {
        let saved = on_alice.put(&format!("/{number}"), &text(number), 0).unwrap();
        assert!(saved.saved && !saved.shared, "{saved:?}");
    }
    // Three megabytes are six pieces, of which two go at once.
    let (told, hears) = channel();
    let (lets_go, held) = channel();
    fixture.proxy.meddle(Arc::new(Holding {
        device: only(&fixture.alice),
        left: Mutex::new((2 * 3 + 2, told)),
        held: Mutex::new(held),
    }));
    std::thread::scope(|scope| {
        let syncing = scope.spawn(|| on_alice.sync());
        hears.recv_timeout(HELD_WAIT).unwrap();
        let there = Safe { device: &tablet, name: &id };
        there.sync();
        let seen = there.paths().unwrap();
        assert!(seen.contains(&"/0".to_owned()), "nothing is there before all of it is: {seen:?}");
        assert!(seen.len() < FILES, "the rest was not held back: {seen:?}");
        for path in &seen {
            let number: usize = path.trim_start_matches('/').parse().unwrap();
            assert!(there.get(path).unwrap() == text(number), "{path}");
        }
        drop(lets_go);
        let _ = syncing.join().unwrap();
        there.sync();
        assert_eq!(there.paths().unwrap().len(), FILES);
        figure(
            "K2",
            &format!("{} of {FILES} files read elsewhere while the others were on their way", seen.len()),
        );
    });
}

/// Another name, another place: nothing of what is in it goes over the line again, neither out nor
/// in.
#[test]
fn a_large_folder_that_is_renamed_costs_one_small_record() {
    let fixture = founded();
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    let made = create(&fixture.alice, PLANS);
    let _ = tablet.until_safe(|safe| safe.safe == made.safe && is_well(safe));
    let id = made.safe.to_string();
    let folder = fixture.path("photos");
    fs::create_dir_all(folder.join("2026")).unwrap();
    let large: Vec<u8> = (0..2_500_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(folder.join("2026/film"), &large).unwrap();
    (0..30).for_each(|number| fs::write(folder.join(format!("2026/{number}")), [number; 5_000]).unwrap());
    let line = ["safe", "put", "--recursive", folder.to_str().unwrap(), "Plans:/photos", "--wait", "60"];
    let _ = fixture.alice.ctl(&line).well();
    let there = Safe { device: &tablet, name: &id };
    there.sync();
    assert!(there.get("/photos/2026/film").unwrap() == large);

    let [out, inwards] = [only(&fixture.alice), only(&tablet)].map(Counting::of);
    fixture.proxy.meddle(Arc::new(Both([Arc::clone(&out), Arc::clone(&inwards)])));
    let _ = fixture.alice.ctl(&["safe", "mv", "Plans:/photos", "Plans:/pictures", "--wait", "60"]).well();
    there.sync();
    assert!(there.get("/pictures/2026/film").unwrap() == large);
    fixture.proxy.meddle(Arc::new(Honest));
    let sent: Vec<_> = out.taken().into_iter().filter(|(method, ..)| method != "GET").collect();
    let bytes: usize = sent.iter().map(|(.., bytes)| bytes).sum();
    assert!(!sent.is_empty() && bytes < 4_096, "{sent:?}");
    assert!(sent.iter().all(|(method, ..)| method != "PUT"), "contents went out: {sent:?}");
    let fetched = inwards.taken();
    assert!(fetched.iter().all(|(_, target, _)| !target.ends_with("/fetch")), "{fetched:?}");
    figure(
        "K29",
        &format!(
            "a folder of {} MB renamed: {bytes} bytes sent, no contents either way",
            large.len() / 1_000_000
        ),
    );
}

/// Two who count.
struct Both([Arc<Counting>; 2]);

impl Meddler for Both {
    fn request(&self, request: &mut Request) -> Fate {
        for counting in &self.0 {
            let _ = counting.request(request);
        }
        Fate::Pass
    }
}
