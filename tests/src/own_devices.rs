//! The devices of one user in a test: letting the next one in, changing the key, and what each then
//! holds and the server has.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::codec;
use parsec_protocol::control::{
    DeviceSelector, EntryKind, Registration, SecretText, TrustLog, TrustLogResult, UserRekeyed, method,
};
use parsec_protocol::ids::DeviceId;
use parsec_protocol::limits::MANIFEST_MAX_BYTES;
use parsec_protocol::relay::{ErrorBody, ErrorCode, ManifestUpload, ManifestView};
use parsecd::store::{Devices, OpenDevice};

use crate::ceremony::Bell;
use crate::device::Device;
use crate::fixture::Fixture;
use crate::proxy::{Answer, Fate, Meddler, Request};
use crate::script::{self, Newcomer, Phone};

/// The device of a daemon that has one alone.
///
/// # Panics
/// If it has another number of them.
#[must_use]
pub fn only(device: &Device) -> DeviceId {
    let devices = device.devices();
    assert_eq!(devices.len(), 1);
    devices[0].device
}

/// One's own next device, greeted from one that has the user's key: it could not be otherwise.
///
/// # Panics
/// If the ceremony fails.
#[must_use]
pub fn enrol_own(fixture: &Fixture, by: &Device, name: &str, newcomer: Newcomer<'_>) -> Device {
    let new = fixture.device(name);
    enrol_into(by, &new, newcomer);
    new
}

/// The same, into one that runs already, and whose events somebody may follow.
///
/// # Panics
/// If the ceremony fails.
pub fn enrol_into(by: &Device, new: &Device, newcomer: Newcomer<'_>) {
    let invitation = by.invite_device().unwrap();
    let bell = Arc::new(Bell::default());
    let mut claimer = new.claim(invitation.link.expose(), &bell).unwrap();
    let mut greeter = by.greet(invitation.token, &bell).unwrap();
    let ends = script::enrol(&mut claimer, &mut greeter, newcomer, Phone::default());
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = new.until_device(|device| device.registration == Registration::Registered);
}

/// Changes the key of the device's user.
#[must_use]
pub fn rekey(device: &Device) -> UserRekeyed {
    device.call(method::USER_REKEY, DeviceSelector::default()).unwrap()
}

/// How often a key was changed, by a device's log.
#[must_use]
pub fn changes(device: &Device) -> usize {
    let asked = TrustLog { select: DeviceSelector::default(), from: 0 };
    let log: TrustLogResult = device.call(method::TRUST_LOG, asked).unwrap();
    log.entries.iter().filter(|entry| entry.kind == EntryKind::UserKey).count()
}

/// Everything that the folder of a device that is stopped and its password give.
#[must_use]
pub fn opened(data: &Path, device: DeviceId, password: &str) -> OpenDevice {
    let devices = Devices::open(data).unwrap();
    devices.unlock(device, &SecretText::new(password.to_owned().into())).unwrap()
}

/// The log that the device had verified.
#[must_use]
pub fn log_of(open: &OpenDevice) -> VerifiedLog {
    let empty = VerifiedLog::empty(open.summary.organisation.clone(), open.keys.root);
    empty.extended(open.store.certificates().unwrap().iter().map(Vec::as_slice)).unwrap()
}

/// Looks after the manifest and the boxes now, and returns when that is done.
pub fn settle(device: &Device) {
    let _ = device.ctl(&["trust", "repair"]).well();
}

/// Watches the manifests at a server, and lets new ones in or says that another was faster.
#[derive(Default)]
pub struct ManifestTraffic {
    closed: AtomicBool,
    /// The newest version that the server has shown or taken, and what it answered to writers.
    seen: Mutex<(u64, Vec<u16>)>,
    /// Devices whose writing was turned away, as their requests name them.
    turned_away: Mutex<Vec<String>>,
    /// Boxes with an earlier key that the server has taken.
    past: Mutex<usize>,
    bell: Bell,
}

impl ManifestTraffic {
    /// Stands before the server, once it has the first manifest.
    #[must_use]
    pub fn before(fixture: &Fixture, password: &str) -> Arc<Self> {
        let traffic = Arc::new(Self::default());
        fixture.proxy.meddle(Arc::clone(&traffic) as Arc<dyn Meddler>);
        let _ = fixture.alice.ctl(&["device", "lock"]).well();
        fixture.alice.unlock(password).unwrap();
        traffic.until_version(1);
        traffic
    }

    /// Lets no manifest in from here on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Lets manifests in again.
    pub fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
    }

    /// Waits until the server has a version.
    pub fn until_version(&self, version: u64) {
        let there = || (self.seen.lock().unwrap().0 >= version).then_some(());
        self.bell.until("a version of the manifest", there).unwrap();
    }

    /// Counts writers from here on: the first manifest of all has one, too.
    pub fn count_writers(&self) {
        self.seen.lock().unwrap().1.clear();
    }

    /// Waits until the server has answered so many writers; what it said, in ascending order.
    #[must_use]
    pub fn until_written(&self, writers: usize) -> Vec<u16> {
        let said = || {
            let mut said = self.seen.lock().unwrap().1.clone();
            said.sort_unstable();
            (said.len() >= writers).then_some(said)
        };
        self.bell.until("writers of the manifest", said).unwrap()
    }

    /// Waits until a device has tried to write and was turned away.
    pub fn until_turned_away(&self, device: DeviceId) {
        let name = device.to_string();
        let there = || self.turned_away.lock().unwrap().contains(&name).then_some(());
        self.bell.until("a writer that is turned away", there).unwrap();
    }

    /// Waits until the server has taken so many boxes with an earlier key.
    pub fn until_past(&self, boxes: usize) {
        let there = || (*self.past.lock().unwrap() >= boxes).then_some(());
        self.bell.until("boxes with earlier keys", there).unwrap();
    }

    /// How many boxes with an earlier key the server has taken.
    #[must_use]
    pub fn past(&self) -> usize {
        *self.past.lock().unwrap()
    }
}

/// Where a request goes that is turned away.
const NOWHERE: &str = "/v1/nowhere";

impl Meddler for ManifestTraffic {
    fn request(&self, request: &mut Request) -> Fate {
        if request.method == "PUT"
            && request.target.ends_with("/manifest")
            && self.closed.load(Ordering::SeqCst)
        {
            let device = request.headers.iter().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("parsec-device").then(|| value.trim().to_owned())
            });
            self.turned_away.lock().unwrap().extend(device);
            NOWHERE.clone_into(&mut request.target);
        }
        Fate::Pass
    }

    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        if request.target == NOWHERE {
            answer.status = 409;
            answer.body = codec::encode(&ErrorBody {
                code: ErrorCode::ManifestConflict,
                server_time: parsecd::os::clock::now(),
                retry_after: 0,
            });
        } else if request.target.contains("/past/") && answer.status == 204 {
            *self.past.lock().unwrap() += 1;
        } else if request.target.split('?').next().is_some_and(|path| path.ends_with("/manifest")) {
            let mut seen = self.seen.lock().unwrap();
            match (request.method.as_str(), answer.status) {
                ("GET", 200) => {
                    let shown: ManifestView = codec::decode(&answer.body, MANIFEST_MAX_BYTES + 64).unwrap();
                    seen.0 = seen.0.max(shown.version);
                }
                ("PUT", status) => {
                    seen.1.push(status);
                    if status == 204 {
                        let sent: ManifestUpload =
                            codec::decode(&request.body, MANIFEST_MAX_BYTES + 64).unwrap();
                        seen.0 = seen.0.max(sent.version);
                    }
                }
                _ => {}
            }
        }
        self.bell.ring();
        Fate::Pass
    }
}
