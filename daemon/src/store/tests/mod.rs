//! The store as a whole: what is durable, what is refused, what can be read without the password.

mod access;
mod damage;
mod disk;
mod faults;
mod faults_of_safes;
mod former;
mod key_file;
mod panics;
mod password;
mod pieces;
mod pins;
mod safes;
mod user_keys;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::{ManifestMark, Profile};
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::control::SecretText;
use parsec_protocol::enrol::io::{NewDevice, SealedEnrolment};
use parsec_protocol::evidence::receipt::{CODE_BITS, Method, SignedStatement, Statement, Transport};
use parsec_protocol::ids::{AttemptId, DeviceId, Email, Invited, Timestamp, Token, UserId};
use parsec_protocol::keys::{
    DeviceSeed, DeviceSigningKey, DirectoryKey, LinkSecret, LocalStoreKey, PeerSecret, UserSeed,
};
use parsec_protocol::limits::STEP_MAX_BYTES;
use parsec_protocol::name_keys::{DirectoryKeys, NameKeys as _};
use parsec_protocol::public_keys::{Hash, VerifyKey};
use zeroize::Zeroizing;

use super::*;

const SERVER: &str = "https://parsec.example.org";
const NAME: &str = "Zebedee Planted-Name";
const LABEL: &str = "planted-laptop-label";
const EMAIL: &str = "planted-address@example.org";

fn password(text: &str) -> SecretText {
    SecretText::new(Zeroizing::new(text.to_owned()))
}

fn right() -> SecretText {
    password("correct horse battery")
}

fn new_device(id: u8) -> NewDevice {
    let organisation: OrganisationId = "acme".parse().unwrap();
    let root = VerifyKey::from_bytes([9; 32]);
    let log: Vec<Vec<u8>> = (0..3u8).map(|n| vec![n; 300]).collect();
    let seen = log.iter().fold(Head::empty(&organisation, &root), |head, envelope| head.after(envelope));
    let signing_key = DeviceSigningKey::from_bytes(&mut [3; 32]);
    let receipt =
        ClaimReceipt::sign(&signing_key, Hash::of(&[b"handshake"]), vec![], root, Hash::of(&[b"opened"]));
    NewDevice {
        organisation,
        user: UserId::from_bytes([1; 16]),
        device: DeviceId::from_bytes([id; 16]),
        email: EMAIL.parse().unwrap(),
        name: NAME.parse().unwrap(),
        device_label: LABEL.parse().unwrap(),
        profile: Profile::Standard,
        root,
        typed_codes: true,
        user_seed: UserSeed::from_bytes(&mut [1; 32]),
        device_seed: DeviceSeed::from_bytes(&mut [2; 32]),
        manifest: Some(ManifestMark::of(7, b"seven")),
        signing_key,
        store_key: LocalStoreKey::from_bytes(&mut [4; 32]),
        directory_keys: DirectoryKeys::first(DirectoryKey::from_bytes(&mut [5; 32])),
        seen,
        log,
        certificates: vec![],
        receipt,
        first_device: true,
    }
}

fn receipt() -> PendingReceipt {
    PendingReceipt {
        organisation: "acme".parse().unwrap(),
        server: SERVER.to_owned(),
        attempt: AttemptId::from_bytes([6; 16]),
        attempt_secret: Zeroizing::new([7; 32]),
        token: Token::from_bytes([8; 16]),
        message: vec![0xab; 500],
        direct: None,
    }
}

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn data(&self) -> PathBuf {
        self.0.path().join("parsec")
    }
    /// Opens it once it is free: a process that another test starts holds every open file of this
    /// one, locks too, until it runs its program.
    fn open(&self) -> Devices {
        loop {
            match self.try_open() {
                Err(StoreError::InUse(_)) => std::thread::yield_now(),
                opened => return opened.unwrap(),
            }
        }
    }
    fn try_open(&self) -> Result<Devices, StoreError> {
        Devices::open_with(&self.data(), WorkFactor::for_tests())
    }
    fn folder(&self, id: u8) -> PathBuf {
        self.data().join("devices").join(format!("acme.{}", DeviceId::from_bytes([id; 16])))
    }
}

/// Every file and folder under `path`.
fn tree(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_owned()];
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            found.extend(tree(&entry.unwrap().path()));
        }
    }
    found
}

#[test]
fn a_device_is_there_after_a_restart() {
    let home = Home::new();
    let new = new_device(1);
    {
        let devices = home.open();
        assert_eq!(devices.list().unwrap(), []);
        let open = devices.create(&new, SERVER, Some(&receipt()), &right()).unwrap();
        assert_eq!(open.summary.registration, Registration::Pending);
        assert_eq!(open.store.certificates().unwrap(), new.log);
    }
    let devices = home.open();
    let summary = devices.list().unwrap().pop().unwrap();
    assert_eq!((summary.device, summary.user, summary.server.as_str()), (new.device, new.user, SERVER));
    assert_eq!(devices.pending().unwrap(), [(new.device, receipt())]);
    // Whatever is said of it, the receipt stays until the device has been seen in the verified log.
    for said in [Registration::Void, Registration::Pending, Registration::Registered] {
        devices.set_registration(new.device, said, false).unwrap();
        assert_eq!(devices.pending().unwrap(), [(new.device, receipt())]);
    }
    devices.drop_receipt(new.device).unwrap();
    devices.drop_receipt(new.device).unwrap();
    assert_eq!(devices.pending().unwrap(), []);
    assert!(!home.folder(1).join("pending").exists());

    let open = devices.unlock(new.device, &right()).unwrap();
    assert_eq!(open.summary.registration, Registration::Registered);
    let keys = open.keys;
    assert_eq!(keys.user_seed.expose(), new.user_seed.expose());
    assert_eq!(keys.device_seed.expose(), new.device_seed.expose());
    assert_eq!(keys.signing_key.expose(), new.signing_key.expose());
    assert_eq!(keys.directory_key.expose(), new.directory_keys.sealing().1.expose());
    assert_eq!((keys.root, keys.head, keys.typed_codes), (new.root, new.seen, true));
    assert_eq!((keys.name, keys.email, keys.device_label), (new.name, new.email, new.device_label));
    assert_eq!((keys.profile, keys.server.as_str()), (Profile::Standard, SERVER));
    assert_eq!(open.store.head().unwrap(), new.seen);
    // Revoked, and back: the server may have been wrong.
    for registration in [Registration::Revoked, Registration::Registered] {
        devices.set_registration(new.device, registration, false).unwrap();
        assert_eq!(devices.list().unwrap()[0].registration, registration);
    }
}

#[test]
fn wrong_weak_missing_and_double() {
    let home = Home::new();
    let devices = home.open();
    let new = new_device(1);
    let weak = devices.create(&new, SERVER, None, &password("seven77"));
    assert!(matches!(weak, Err(StoreError::WeakPassword)));
    assert_eq!(devices.list().unwrap(), []);
    drop(devices.create(&new, SERVER, None, &right()).unwrap());
    assert!(matches!(devices.create(&new, SERVER, None, &right()), Err(StoreError::Exists)));
    assert!(matches!(devices.unlock(new.device, &password("wrong horse")), Err(StoreError::WrongPassword)));
    let nobody = DeviceId::from_bytes([0xee; 16]);
    assert!(matches!(devices.unlock(nobody, &right()), Err(StoreError::NoSuchDevice)));
    assert!(matches!(
        devices.set_registration(nobody, Registration::Void, false),
        Err(StoreError::NoSuchDevice)
    ));
    drop(devices.unlock(new.device, &right()).unwrap());
    devices.remove(new.device).unwrap();
    assert_eq!(devices.list().unwrap(), []);
    assert!(matches!(devices.remove(new.device), Err(StoreError::NoSuchDevice)));
    assert_eq!(fs::read_dir(home.data().join("devices")).unwrap().count(), 0);
}

#[test]
fn a_failed_creation_leaves_nothing() {
    let home = Home::new();
    let devices = home.open();
    let mut new = new_device(1);
    new.log.pop();
    assert!(matches!(devices.create(&new, SERVER, None, &right()), Err(StoreError::Damaged(_))));
    assert_eq!(fs::read_dir(home.data().join("devices")).unwrap().count(), 0);
    drop(devices.create(&new_device(1), SERVER, None, &right()).unwrap());
}

#[test]
fn one_daemon_for_each_data_folder() {
    let home = Home::new();
    let first = home.open();
    assert!(matches!(home.try_open(), Err(StoreError::InUse(_))));
    drop(first);
    home.open();
}

#[test]
fn what_a_crash_left_is_cleared() {
    let home = Home::new();
    let devices = home.open();
    drop(devices.create(&new_device(1), SERVER, None, &right()).unwrap());
    drop(devices);
    let folder = home.folder(1);
    let half = home.data().join("devices/.new-acme.02020202020202020202020202020202");
    fs::create_dir(&half).unwrap();
    fs::set_permissions(&half, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(half.join("key.age"), "half a key file").unwrap();
    fs::write(folder.join(".writing-about"), "half an about").unwrap();
    let devices = home.open();
    assert!(!half.exists());
    assert!(!folder.join(".writing-about").exists());
    assert_eq!(devices.list().unwrap().len(), 1);
    drop(devices.unlock(DeviceId::from_bytes([1; 16]), &right()).unwrap());
}

#[test]
fn the_password_changes_at_once_and_wholly() {
    let home = Home::new();
    let devices = home.open();
    let id = new_device(1).device;
    drop(devices.create(&new_device(1), SERVER, None, &right()).unwrap());
    let new = password("tr0ub4dor and three");
    assert!(matches!(
        devices.change_password(id, None, &right(), &password("short")),
        Err(StoreError::WeakPassword)
    ));
    assert!(matches!(devices.change_password(id, None, &new, &new), Err(StoreError::WrongPassword)));
    let old_file = fs::read(home.folder(1).join("key.age")).unwrap();
    devices.change_password(id, None, &right(), &new).unwrap();
    assert!(matches!(devices.unlock(id, &right()), Err(StoreError::WrongPassword)));
    drop(devices.unlock(id, &new).unwrap());
    // A crash between the two files: the old key file under the new note, and under the note of
    // both.
    fs::write(home.folder(1).join("key.age"), &old_file).unwrap();
    drop(devices.unlock(id, &right()).unwrap());
    drop(
        devices
            .change_password(id, None, &right(), &new)
            .map(|()| devices.unlock(id, &new).unwrap())
            .unwrap(),
    );
}

#[test]
fn an_alarm_stays_until_somebody_has_dealt_with_it() {
    let home = Home::new();
    let id = new_device(1).device;
    let store = home.open().create(&new_device(1), SERVER, None, &right()).unwrap().store;
    let raised = store
        .raise_alarm("rolled_back", "5 certificates, and 3 are shown", Timestamp(7), None)
        .unwrap()
        .unwrap();
    assert_eq!((raised.kind.as_str(), raised.since), ("rolled_back", Timestamp(7)));
    // One of a kind at a time, whatever else is found meanwhile.
    assert_eq!(
        store.raise_alarm("rolled_back", "5 certificates, and 2 are shown", Timestamp(8), None).unwrap(),
        None
    );
    let other = store.raise_alarm("chain_invalid", "certificate 4", Timestamp(9), None).unwrap().unwrap();
    drop(store);
    let store = home.open().unlock(id, &right()).unwrap().store;
    assert_eq!(store.open_alarms().unwrap(), [raised.clone(), other.clone()]);
    assert_eq!(store.acknowledge_alarm(99, Timestamp(10)).unwrap(), None);
    for _ in 0..2 {
        assert_eq!(store.acknowledge_alarm(raised.id, Timestamp(10)).unwrap(), Some(raised.clone()));
    }
    assert_eq!(store.open_alarms().unwrap(), [other]);
    // What was dealt with is not raised again; another finding is.
    assert_eq!(store.raise_alarm("rolled_back", &raised.found, Timestamp(11), None).unwrap(), None);
    let next = store
        .raise_alarm("rolled_back", "5 certificates, and 2 are shown", Timestamp(12), None)
        .unwrap()
        .unwrap();
    assert!(next.id > raised.id);
    // What is kept is bounded.
    for number in 0..300 {
        let id = store.open_alarms().unwrap().iter().find(|alarm| alarm.kind == "rolled_back").unwrap().id;
        store.acknowledge_alarm(id, Timestamp(13)).unwrap();
        store.raise_alarm("rolled_back", &format!("finding {number}"), Timestamp(13), None).unwrap().unwrap();
    }
    assert!(
        store.raise_alarm("rolled_back", &raised.found, Timestamp(14), None).unwrap().is_none(),
        "one is open"
    );
    assert_eq!(store.open_alarms().unwrap().len(), 2);
}

/// That certificates are missing is the one finding that ends without a person: and only where it
/// said no more.
#[test]
fn a_repair_closes_what_it_has_mended_and_nothing_else() {
    let home = Home::new();
    let store = home.open().create(&new_device(1), SERVER, None, &right()).unwrap().store;
    let short =
        || store.raise_mendable("rolled_back", "5 certificates, and 3 are shown", Timestamp(7)).unwrap();
    let first = short().unwrap();
    assert!(short().is_none(), "one is open");
    // Whoever asked for the log and is told of it finds nothing else.
    assert!(store.raise_alarm("rolled_back", &first.found, Timestamp(7), None).unwrap().is_none());
    // It keeps nothing worse from being told.
    let worse = store.raise_alarm("rolled_back", "a fork", Timestamp(8), Some(b"proof")).unwrap().unwrap();
    assert!(worse.proof && worse.id > first.id);
    assert!(store.raise_alarm("rolled_back", "another fork", Timestamp(8), None).unwrap().is_none());
    assert_eq!(store.mend_alarms(Timestamp(9)).unwrap(), std::slice::from_ref(&first));
    assert_eq!(store.mend_alarms(Timestamp(9)).unwrap(), []);
    assert_eq!(store.open_alarms().unwrap(), std::slice::from_ref(&worse));
    store.acknowledge_alarm(worse.id, Timestamp(10)).unwrap();
    // The same loss again is news; one that a person has dealt with is not.
    let again = short().unwrap();
    store.acknowledge_alarm(again.id, Timestamp(11)).unwrap();
    assert!(short().is_none());
}

/// An open alarm of one takeover must not hide the next one: of another safe, by another person.
#[test]
fn of_what_is_told_each_only_the_same_words_are_known() {
    let home = Home::new();
    let store = home.open().create(&new_device(1), SERVER, None, &right()).unwrap().store;
    let raise = |found: &str| store.raise_each("safe_taken_over", found, Timestamp(7)).unwrap();
    let first = raise("certificate 3").unwrap();
    assert_eq!(raise("certificate 3"), None, "it is open");
    let second = raise("certificate 5").unwrap();
    assert_eq!(store.open_alarms().unwrap(), [first.clone(), second.clone()]);
    store.acknowledge_alarm(first.id, Timestamp(8)).unwrap();
    assert_eq!(raise("certificate 3"), None, "it has been dealt with");
    // No repair closes one.
    assert_eq!(store.mend_alarms(Timestamp(9)).unwrap(), []);
    assert_eq!(store.open_alarms().unwrap(), [second]);
}

/// Somebody who shows a rollback first would otherwise keep the proof of a fork from being kept.
#[test]
fn a_proof_that_comes_after_its_alarm_is_kept() {
    let home = Home::new();
    let store = home.open().create(&new_device(1), SERVER, None, &right()).unwrap().store;
    let raise = |found: &str, proof: Option<&[u8]>| {
        store.raise_alarm("rolled_back", found, Timestamp(7), proof).unwrap()
    };
    let first = raise("3 are shown", None).unwrap();
    assert!(!first.proof && !store.alarm_is_proved("rolled_back").unwrap());
    assert_eq!(raise("another log is shown", Some(b"proof")), None);
    assert!(store.alarm_is_proved("rolled_back").unwrap());
    assert_eq!(store.fork(first.id, 0, 9).unwrap().unwrap(), (5, b"proof".to_vec()));
    assert_eq!(store.open_alarms().unwrap(), [StoredAlarm { proof: true, ..first.clone() }]);
    // A second one says nothing more, and takes nothing's place.
    assert_eq!(raise("yet another", Some(b"later")), None);
    assert_eq!(store.fork(first.id, 0, 9).unwrap().unwrap(), (5, b"proof".to_vec()));
}

#[test]
fn the_store_keeps_what_it_acknowledged() {
    let home = Home::new();
    let devices = home.open();
    let new = new_device(1);
    let open = devices.create(&new, SERVER, None, &right()).unwrap();
    let store = open.store;
    let more = vec![vec![7u8; 10], vec![8u8; 20]];
    assert!(matches!(store.append_certificates(2, &more), Err(StoreError::Gap { have: 3, from: 2 })));
    assert!(matches!(store.append_certificates(4, &more), Err(StoreError::Gap { have: 3, from: 4 })));
    let too_large = [vec![1], vec![0; 5_000]];
    assert!(matches!(store.append_certificates(3, &too_large), Err(StoreError::TooLarge(_))));
    assert_eq!(store.log_count().unwrap(), 3);
    store.append_certificates(3, &more).unwrap();
    let token = Token::from_bytes([1; 16]);
    let secret = LinkSecret::from_bytes(&mut [0x5a; 32]);
    let invited = Invited::User("bob@example.org".parse::<Email>().unwrap());
    let kept = stored(&secret, &invited, Timestamp(5));
    store.put_invitation(token, &kept).unwrap();
    let other = stored(&secret, &invited, Timestamp(6));
    assert!(matches!(store.put_invitation(token, &other), Err(StoreError::Conflict)));
    // Counted for good, and only for what is there.
    let one = Tally { attempts: 1, mismatches: 1 };
    assert_eq!(store.count(token, one).unwrap(), one);
    assert_eq!(
        store.count(token, Tally { attempts: 1, ..Tally::default() }).unwrap(),
        Tally { attempts: 2, mismatches: 1 }
    );
    assert!(store.count(Token::from_bytes([9; 16]), one).is_err());
    store.set_posted(token).unwrap();
    let sealed = sealed_of(&new);
    let attempt = AttemptId::from_bytes([3; 16]);
    store.put_sealed(attempt, token, &sealed).unwrap();
    store.put_sealed(attempt, token, &sealed).unwrap();
    let other = SealedEnrolment { handshake: Hash::of(&[b"other"]), ..sealed.clone() };
    assert!(matches!(store.put_sealed(attempt, token, &other), Err(StoreError::Conflict)));
    assert_eq!(store.manifest_version().unwrap(), 0);
    store.put_manifest(1, b"one").unwrap();
    store.put_manifest(2, b"two").unwrap();
    store.put_manifest(2, b"two").unwrap();
    for (version, bytes) in [(1, b"one"), (2, b"new")] {
        assert!(matches!(
            store.put_manifest(version, bytes),
            Err(StoreError::ManifestNotNewer { have: 2, .. })
        ));
    }
    drop(store);
    drop(devices);

    let store = home.open().unlock(new.device, &right()).unwrap().store;
    assert_eq!(store.certificates().unwrap(), [new.log, more].concat());
    let kept = store.invitation(token).unwrap().unwrap();
    assert_eq!((kept.link_secret.expose(), kept.invited, kept.expires), (&[0x5a; 32], invited, Timestamp(5)));
    assert_eq!((kept.posted, kept.tally), (Posting::Done, Tally { attempts: 2, mismatches: 1 }));
    let end = kept.direct.unwrap();
    assert_eq!((end.secret.expose(), end.port), (&[0x5b; 32], 4_711));
    assert_eq!(store.invitation_tokens().unwrap(), [token]);
    store.drop_invitation(token).unwrap();
    assert!(store.invitation(token).unwrap().is_none());
    let row = |set_aside| Sealed { attempt, token, sealed: sealed.clone(), set_aside };
    assert_eq!(store.sealed().unwrap(), [row(false)]);
    assert_eq!(store.direct(attempt).unwrap(), None);
    store.set_aside(attempt).unwrap();
    assert_eq!(store.sealed().unwrap(), [row(true)]);
    store.published(attempt).unwrap();
    direct_attempts(&store, token, &sealed);
    assert_eq!(store.sealed().unwrap(), []);
    assert_eq!(store.manifest().unwrap(), Some((2, b"two".to_vec())));
}

/// How a ceremony went that never was.
fn statement_of(new: &NewDevice) -> SignedStatement {
    let statement = Statement {
        organisation: new.organisation.clone(),
        root: new.root,
        greeter: new.device,
        greeter_key: new.root,
        transport: Transport::Relay,
        attempts: 1,
        method: Method::Picked,
        bits: CODE_BITS,
        heard: true,
        seen: new.seen,
        handshake: Hash::of(&[b"h"]),
        device: new.device,
        time: Timestamp(4),
        opened: Hash::of(&[b"opened"]),
    };
    SignedStatement::of(&statement, |context, message| new.signing_key.sign(context, message))
}

/// What a greeter keeps of an enrolment.
fn sealed_of(new: &NewDevice) -> SealedEnrolment {
    SealedEnrolment {
        user: new.user,
        device: new.device,
        verify_key: new.root,
        handshake: Hash::of(&[b"h"]),
        root: new.root,
        certificates: vec![vec![1, 2, 3].into()],
        statement: statement_of(new),
        keys: vec![new.user_seed.encryption_key(), new.device_seed.encryption_key()],
        opened: Hash::of(&[b"opened"]),
    }
}

#[test]
fn a_links_secret_goes_with_its_invitation() {
    let home = Home::new();
    let store = home.open().create(&new_device(1), SERVER, None, &right()).unwrap().store;
    let invited = Invited::Device(new_device(1).user);
    let put = |byte: u8, expires: u64| {
        let secret = LinkSecret::from_bytes(&mut [byte; 32]);
        let token = Token::from_bytes([byte; 16]);
        store.put_invitation(token, &stored(&secret, &invited, Timestamp(expires))).unwrap();
        token
    };
    let (used, signed, over, open) = (put(1, 100), put(2, 50), put(3, 50), put(4, 51));
    let attempt = |byte| AttemptId::from_bytes([byte; 16]);
    store.put_sealed(attempt(1), used, &sealed_of(&new_device(2))).unwrap();
    store.put_sealed(attempt(2), signed, &sealed_of(&new_device(3))).unwrap();
    // By its own date; not where something signed waits for it.
    store.drop_expired(Timestamp(49)).unwrap();
    assert_eq!(store.invitation_tokens().unwrap(), [used, signed, over, open]);
    store.drop_expired(Timestamp(50)).unwrap();
    assert_eq!(store.invitation_tokens().unwrap(), [used, signed, open]);
    // By what the verified log shows.
    store.published(attempt(1)).unwrap();
    assert_eq!(store.invitation_tokens().unwrap(), [signed, open]);
    store.set_aside(attempt(2)).unwrap();
    store.drop_expired(Timestamp(50)).unwrap();
    assert_eq!(store.invitation_tokens().unwrap(), [open]);
}

/// An invitation with an end of the peer-to-peer transport, as a device keeps it.
fn stored(secret: &LinkSecret, invited: &Invited, expires: Timestamp) -> StoredInvitation {
    StoredInvitation {
        link_secret: LinkSecret::from_bytes(&mut secret.expose().to_owned()),
        invited: invited.clone(),
        created: Timestamp(4),
        expires,
        posted: Posting::Wanted,
        direct: Some(DirectEnd { secret: PeerSecret::from_bytes(&mut [0x5b; 32]), port: 4_711 }),
        tally: Tally::default(),
    }
}

/// Messages 7 and 8 are kept once, with the row they belong to, and go with it.
fn direct_attempts(store: &Store, token: Token, sealed: &SealedEnrolment) {
    let (attempt, hash) = (AttemptId::from_bytes([4; 16]), Hash::of(&[b"secret"]));
    assert!(matches!(store.put_step(attempt, DirectStep::Seven, b"7"), Err(StoreError::Conflict)));
    store.put_direct(attempt, token, sealed, hash).unwrap();
    store.put_direct(attempt, token, sealed, hash).unwrap();
    let other = Hash::of(&[b"other"]);
    assert!(matches!(store.put_direct(attempt, token, sealed, other), Err(StoreError::Conflict)));
    for (step, bytes) in [(DirectStep::Seven, b"7"), (DirectStep::Eight, b"8")] {
        store.put_step(attempt, step, bytes).unwrap();
        store.put_step(attempt, step, bytes).unwrap();
        assert!(matches!(store.put_step(attempt, step, b"x"), Err(StoreError::Conflict)));
    }
    assert!(matches!(
        store.put_step(attempt, DirectStep::Eight, &[0; STEP_MAX_BYTES + 1]),
        Err(StoreError::TooLarge(_))
    ));
    let row = DirectAttempt { secret_hash: hash, step_7: Some(b"7".to_vec()), step_8: Some(b"8".to_vec()) };
    assert_eq!(store.direct(attempt).unwrap(), Some(row));
    assert_eq!(store.sealed().unwrap().len(), 1);
    let aside = || store.sealed().unwrap().iter().filter(|row| row.set_aside).count();
    // A receipt is here: nobody takes it back any more.
    store.set_aside_unreceived(attempt).unwrap();
    assert!(store.is_sealed(token).unwrap() && !store.take_back(token).unwrap());
    assert_eq!((store.sealed().unwrap().len(), aside()), (1, 0));
    let other = AttemptId::from_bytes([6; 16]);
    let free = Token::from_bytes([2; 16]);
    store.put_direct(other, free, sealed, hash).unwrap();
    store.set_aside_unreceived(other).unwrap();
    // Set aside is not lost: all of it is there.
    assert_eq!((store.sealed().unwrap().len(), aside()), (2, 1));
    assert_eq!(store.direct(other).unwrap().unwrap().secret_hash, hash);
    assert!(!store.is_sealed(free).unwrap() && store.take_back(free).unwrap());
    assert_eq!((store.sealed().unwrap().len(), aside()), (2, 1));
    store.published(other).unwrap();
    assert_eq!(store.direct(other).unwrap(), None);
    // A row of the other transport can't become one of this.
    let relayed = AttemptId::from_bytes([5; 16]);
    store.put_sealed(relayed, token, sealed).unwrap();
    assert!(matches!(store.put_direct(relayed, token, sealed, hash), Err(StoreError::Conflict)));
    store.published(relayed).unwrap();
    // One with a receipt that the server has refused keeps the invitation from nobody.
    store.set_aside(attempt).unwrap();
    assert!(!store.is_sealed(token).unwrap() && store.take_back(token).unwrap());
    assert!(store.direct(attempt).unwrap().is_some());
    store.published(attempt).unwrap();
    assert_eq!(store.direct(attempt).unwrap(), None);
}

#[test]
fn a_receipt_counts_once_its_certificates_were_seen() {
    let home = Home::new();
    let store = home.open().create(&new_device(1), SERVER, None, &right()).unwrap().store;
    let (kept, void) = (AttemptId::from_bytes([1; 16]), AttemptId::from_bytes([2; 16]));
    let device = DeviceId::from_bytes([3; 16]);
    store.put_receipt(kept, device, Timestamp(5), b"file").unwrap();
    store.put_receipt(kept, device, Timestamp(6), b"another").unwrap();
    store.put_receipt(void, DeviceId::from_bytes([4; 16]), Timestamp(7), b"of nothing").unwrap();
    assert!(store.receipts().unwrap().is_empty() && store.receipt(device).unwrap().is_none());
    store.published(kept).unwrap();
    store.set_aside(void).unwrap();
    assert_eq!(store.receipts().unwrap(), [(device, Timestamp(5))]);
    assert_eq!(store.receipt(device).unwrap().unwrap(), b"file");
    // What counts is not lost with the record of an attempt.
    store.set_aside(kept).unwrap();
    assert!(store.receipt(device).unwrap().is_some());
    let large = vec![0; parsec_protocol::evidence::receipt::RECEIPT_FILE_MAX_BYTES + 1];
    assert!(matches!(store.put_receipt(void, device, Timestamp(8), &large), Err(StoreError::TooLarge(_))));

    // Proofs: each with its alarm, a few in all, and kept when the alarm is dealt with.
    for number in 1..=6_u64 {
        let found = format!("finding {number}");
        let alarm = store.raise_alarm("rolled_back", &found, Timestamp(9), Some(&[7; 3])).unwrap().unwrap();
        assert_eq!(alarm.proof, number <= 4, "{number}");
        assert_eq!(store.acknowledge_alarm(alarm.id, Timestamp(10)).unwrap().unwrap(), alarm);
        assert_eq!(store.fork(alarm.id, 0, 9).unwrap(), (number <= 4).then(|| (3, vec![7; 3])));
        assert_eq!(store.fork(alarm.id, 1, 1).unwrap(), (number <= 4).then(|| (3, vec![7; 1])));
        assert_eq!(store.fork(alarm.id, u64::MAX, 9).unwrap(), (number <= 4).then(|| (3, Vec::new())));
    }
    assert_eq!(store.noticed().unwrap(), None);
    store.set_noticed(4).unwrap();
    store.set_noticed(7).unwrap();
    assert_eq!(store.noticed().unwrap(), Some(7));
}
