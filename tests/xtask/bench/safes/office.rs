//! Who takes part: a server, Alice's device, and her next ones.
//!
//! Decides where they keep their files and how their memory is looked at; and which device goes
//! through a relay that counts what is asked. What people do here goes well, or the measurement
//! ends.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parsec_protocol::control::Registration;
use parsec_tests::ceremony::Bell;
use parsec_tests::device::Device;
use parsec_tests::events::Follower;
use parsec_tests::fixture::{ALICE_AGAIN, Fixture, FixtureOptions};
use parsec_tests::memory::resident;
use parsec_tests::process::Daemon;
use parsec_tests::proxy::{Fate, Meddler, Request};
use parsec_tests::safes::{is_well, until};
use parsec_tests::script::{self, Phone};
use parsec_tests::server::NO_LIMITS;

use super::Plan;
use crate::bench::said;

/// Seconds that something is waited for: more than any of it takes.
pub(super) const WAIT_SECONDS: u32 = 600;

/// Counts requests and the bytes of their bodies.
#[derive(Default)]
pub(in crate::bench) struct Counter {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Counter {
    /// Requests and bytes so far.
    pub(super) fn read(&self) -> [u64; 2] {
        [&self.requests, &self.bytes].map(|count| count.load(Ordering::SeqCst))
    }
}

impl Meddler for Counter {
    fn request(&self, request: &mut Request) -> Fate {
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.bytes.fetch_add(request.body.len() as u64, Ordering::SeqCst);
        Fate::Pass
    }
}

/// A server and Alice, who speaks to it directly.
pub(super) fn open(plan: &Plan) -> Fixture {
    Fixture::found(FixtureOptions {
        direct: true,
        daemon: Daemon::Shipped,
        server_options: NO_LIMITS,
        within: plan.within,
        ..FixtureOptions::default()
    })
}

/// Another device of Alice's, with what counts where it speaks to the server through the relay.
pub(in crate::bench) fn enrolled(fixture: &Fixture, counted: bool) -> Result<(Device, Arc<Counter>), String> {
    let counter = Arc::new(Counter::default());
    let name = if counted { "counted" } else { "second" };
    let device = fixture.device(name);
    let invitation = fixture.alice.invite_device().map_err(|why| format!("{why:?}"))?;
    let mut link = invitation.link.expose().to_owned();
    if counted {
        fixture.proxy.meddle(Arc::clone(&counter) as Arc<dyn Meddler>);
        link = link.replace(&fixture.server.url(), &fixture.proxy.url());
    }
    let bell = Arc::new(Bell::default());
    let mut claimer = device.claim(&link, &bell).map_err(|ended| format!("{ended:?}"))?;
    let mut greeter = fixture.alice.greet(invitation.token, &bell).map_err(|ended| format!("{ended:?}"))?;
    let ends = script::enrol(&mut claimer, &mut greeter, ALICE_AGAIN, Phone::default());
    if ends.claimer.is_err() || ends.greeter.is_err() {
        return Err(format!("{ends:?}"));
    }
    let _ = device.until_device(|device| device.registration == Registration::Registered);
    Ok((device, counter))
}

/// Waits until a device of the user has a safe, with all that the server has of it.
pub(in crate::bench) fn have(device: &Device, safe: &str) {
    let mut events = Follower::start(&device.socket(), None);
    until(&mut events, |found| found.safe.to_string() == safe && is_well(found));
    synced(device, safe);
}

/// Everything of a safe goes out and comes in, however long it takes.
pub(in crate::bench) fn synced(device: &Device, safe: &str) {
    let _ = device.ctl(&["safe", "sync", safe, "--wait", "600"]).well();
}

/// A new file of so many random bytes.
pub(super) fn random_file(path: &Path, bytes: u64) -> Result<File, String> {
    let mut file =
        File::options().read(true).write(true).create(true).truncate(true).open(path).map_err(said)?;
    let mut piece = vec![0; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let length = usize::try_from(left.min(1 << 20)).map_err(said)?;
        let part = piece.get_mut(..length).ok_or("a piece is too short")?;
        getrandom::fill(part).map_err(said)?;
        file.write_all(part).map_err(said)?;
        left -= length as u64;
    }
    file.seek(SeekFrom::Start(0)).map_err(said)?;
    Ok(file)
}

/// Whether two files hold the same.
pub(super) fn same(one: &mut File, other: &mut File) -> Result<(), String> {
    let (mut ours, mut theirs) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    for file in [&mut *one, &mut *other] {
        file.seek(SeekFrom::Start(0)).map_err(said)?;
    }
    loop {
        let read = one.read(&mut ours).map_err(said)?;
        let same = theirs.get_mut(..read).ok_or("more was read than there is room")?;
        other.read_exact(same).map_err(said)?;
        if ours.get(..read) != Some(&*same) {
            return Err("what came is not what went".to_owned());
        }
        if read == 0 {
            return Ok(());
        }
    }
}

/// A folder of so many files of 4 KiB, a hundred in each folder of it.
pub(super) fn tree(path: &Path, files: usize) -> Result<(), String> {
    let mut contents = [0; super::SMALL_BYTES];
    for number in 0..files {
        let folder = path.join(format!("d{:04}", number / 100));
        if number % 100 == 0 {
            std::fs::create_dir_all(&folder).map_err(said)?;
        }
        getrandom::fill(&mut contents).map_err(said)?;
        std::fs::write(folder.join(format!("f{number:06}")), contents).map_err(said)?;
    }
    Ok(())
}

/// Bytes that a folder takes on its file system.
pub(super) fn stored(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => stored(&entry.path()),
            Ok(found) => found.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

/// The most memory that a process has from here on, in MiB; none where it can't be told apart from
/// what it had before.
pub(super) struct Peak(u32);

impl Peak {
    /// Begins to look. The daemon closes what the system says of it to all but root.
    pub(super) fn of(process: u32) -> Option<Self> {
        std::fs::write(format!("/proc/{process}/clear_refs"), "5").ok().map(|()| Self(process))
    }

    /// What it had at most.
    pub(super) fn mib(&self) -> f64 {
        resident(self.0, "VmHWM") as f64 / 1024.0
    }
}

/// Why memory is not told.
pub(super) const NO_PEAK: &str = "the peak is root's to look at";
