//! Every system call that changes the disk fails once, and is the last one before a kill once:
//! afterwards the old state is there, or the new one, and the next start works.

use std::process::Command;

use super::*;

const CHILD: &str = "PARSECD_TEST_FAULTS_FOLDER";
/// What the store changes the disk with.
pub(super) const CALLS: [&str; 9] =
    ["fsync", "fdatasync", "write", "pwrite64", "ftruncate", "mkdirat", "renameat", "renameat2", "unlinkat"];
/// Far more calls of one kind than the run makes; stops a sweep that would never end.
const CALLS_MAX: u32 = 200;

fn second() -> SecretText {
    password("another good one")
}

/// Notes that something has been acknowledged.
pub(super) fn did(data: &Path, what: &str) -> Result<(), StoreError> {
    fs::write(data.join(what), "").map_err(|source| StoreError::Io { what: "test", source })
}

const TOKEN: Token = Token::from_bytes([0x70; 16]);
const ATTEMPT: AttemptId = AttemptId::from_bytes([0x73; 16]);

/// What the store does for an invitation, a vouching, a newcomer's receipt, the publication, and an
/// alarm.
fn greet(data: &Path, store: &Store) -> Result<(), StoreError> {
    let secret = LinkSecret::from_bytes(&mut [0x71; 32]);
    let invited = Invited::Device(new_device(1).user);
    store.put_invitation(TOKEN, &stored(&secret, &invited, Timestamp(72)))?;
    did(data, "invited")?;
    let new = new_device(2);
    let sealed = sealed_of(&new);
    store.put_sealed(ATTEMPT, TOKEN, &sealed)?;
    did(data, "sealed")?;
    store.put_receipt(ATTEMPT, new.device, Timestamp(73), b"receipt")?;
    store.append_certificates(4, &[vec![8; 500], vec![9; 500]])?;
    store.published(ATTEMPT)?;
    did(data, "published")?;
    store.raise_alarm("rolled_back", "found", Timestamp(74), Some(b"proof"))?;
    did(data, "alarmed")
}

/// The greeting is as far as was acknowledged, or one whole step further.
fn check_greeting(data: &Path, store: &Store, what: &str) {
    let did = |what: &str| data.join(what).exists();
    let (waiting, receipts) = (store.sealed().unwrap().len(), store.receipts().unwrap().len());
    assert!(waiting + receipts <= 1, "{what}: published and not published");
    // Its link goes with the publication, and not before.
    let invited = store.invitation(TOKEN).unwrap().is_some();
    assert!(!did("invited") || invited == (receipts == 0), "{what}: the invitation is lost, or left behind");
    assert!(!did("sealed") || waiting + receipts == 1, "{what}: what was signed is lost");
    assert!(!did("published") || receipts == 1, "{what}: the receipt is lost");
    // A receipt counts when the log has the certificates, never before.
    assert!(receipts == 0 || store.log_count().unwrap() == 6, "{what}: a receipt of nothing");
    let alarms = store.open_alarms().unwrap();
    assert!(!did("alarmed") || alarms.len() == 1, "{what}: the alarm is lost");
    for alarm in alarms {
        assert!(
            alarm.proof && store.fork(alarm.id, 0, 9).unwrap().unwrap() == (5, b"proof".to_vec()),
            "{what}: half an alarm"
        );
    }
}

/// What is done while calls fail. Results are returned, not unwrapped: failing is allowed, anything
/// else is not.
fn work(data: &Path) -> Result<(), StoreError> {
    let devices = Devices::open_with(data, WorkFactor::for_tests())?;
    let open = devices.create(&new_device(1), SERVER, Some(&receipt()), &right())?;
    open.store.append_certificates(3, &[vec![7; 500]])?;
    did(data, "acknowledged")?;
    greet(data, &open.store)?;
    drop(open);
    devices.change_password(new_device(1).device, None, &right(), &second())?;
    devices.set_registration(new_device(1).device, Registration::Registered, false)?;
    devices.drop_receipt(new_device(1).device)?;
    did(data, "dropped")?;
    devices.remove(new_device(1).device)
}

/// What must be true after whatever happened.
fn check(data: &Path, what: &str) {
    let devices =
        Devices::open_with(data, WorkFactor::for_tests()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let id = new_device(1).device;
    let acknowledged = data.join("acknowledged").exists();
    let known = devices.list().unwrap();
    let folders = fs::read_dir(data.join("devices")).unwrap().count();
    assert_eq!(folders, known.len(), "{what}: something half made is there");
    let Some(summary) = known.first() else {
        // Not made yet, or removed: either way it can be made now.
        drop(
            devices
                .create(&new_device(1), SERVER, None, &right())
                .unwrap_or_else(|error| panic!("{what}: {error}")),
        );
        return;
    };
    let (old, new) = (devices.unlock(id, &right()), devices.unlock(id, &second()));
    assert!(old.is_ok() != new.is_ok(), "{what}: {old:?} {new:?}");
    let refused = old.as_ref().err().or(new.as_ref().err()).unwrap();
    assert!(matches!(refused, StoreError::WrongPassword), "{what}: {refused}");
    let store = old.or(new).unwrap().store;
    let count = store.log_count().unwrap();
    assert!(matches!(count, 4 | 6) || (count == 3 && !acknowledged), "{what}: {count} certificates");
    check_greeting(data, &store, what);
    match summary.registration {
        Registration::Pending => assert_eq!(devices.pending().unwrap().len(), 1, "{what}"),
        // The receipt goes after the registration is noted, and never before.
        Registration::Registered => {
            assert!(devices.pending().unwrap().is_empty() || !data.join("dropped").exists(), "{what}")
        }
        Registration::Void | Registration::Revoked | Registration::Unknown => {
            panic!("{what}: {:?}", summary.registration)
        }
    }
}

/// The process that is made to fail; nothing otherwise.
#[test]
fn the_work_that_fails() {
    if let Some(folder) = std::env::var_os(CHILD) {
        let _ = work(Path::new(&folder));
    }
}

/// What is done while calls fail, and what must be true afterwards.
#[derive(Clone, Copy)]
pub(super) struct Sweep {
    /// Variable that gives the child its folder.
    pub(super) child: &'static str,
    /// The test that is the child.
    pub(super) test: &'static str,
    /// What is there before.
    pub(super) before: fn(&Path),
    /// What must be true afterwards.
    pub(super) check: fn(&Path, &str),
}

const DEVICE: Sweep =
    Sweep { child: CHILD, test: "store::tests::faults::the_work_that_fails", before: |_| {}, check };

/// Returns how many points there were, each a call and an effect.
pub(super) fn sweep(what: Sweep, calls: &[&str], effects: &[&str]) -> u32 {
    let Sweep { child, test, before, check } = what;
    let mut points = 0;
    for call in calls {
        for effect in effects {
            for number in 1..=CALLS_MAX {
                let home = Home::new();
                before(&home.data());
                let what = format!("{call} number {number}: {effect}");
                let trace = home.0.path().join("trace");
                let output = Command::new("strace")
                    .args(["-f", "-qq", "-e", &format!("trace={call}"), "-e"])
                    .arg(format!("inject={call}:{effect}:when={number}"))
                    .arg("-o")
                    .arg(&trace)
                    .arg(std::env::current_exe().unwrap())
                    .args(["--exact", test, "--test-threads", "1"])
                    .env(child, home.data())
                    .output()
                    .unwrap();
                let said = [output.stdout, output.stderr].concat();
                let said = String::from_utf8_lossy(&said).into_owned();
                assert!(!said.contains("panicked at daemon"), "{what}: {said}");
                check(&home.data(), &what);
                let trace = fs::read_to_string(trace).unwrap();
                if !trace.contains("(INJECTED)") && !trace.contains("killed by SIGKILL") {
                    break;
                }
                points += 1;
            }
        }
    }
    println!("{points} points");
    points
}

pub(super) fn can_inject() -> bool {
    let can = Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success());
    if !can {
        println!("skipped: strace is not installed");
    }
    can
}

#[test]
fn every_sync_and_rename_may_be_the_last() {
    if can_inject() {
        let points = sweep(DEVICE, &["fsync", "renameat", "renameat2", "mkdirat"], &["signal=KILL"]);
        println!(
            "figure C1: creating a device, inviting, vouching, publishing, alarm, password, removal: killed at {points} syncs, renames and folders: old or new state each time"
        );
        assert!(points > 20, "only {points} points: does the sweep still see the store's calls?");
    }
}

#[test]
#[ignore = "two minutes; `cargo test -p parsecd --lib -- --ignored` before a release and after a change of the store"]
fn every_write_may_fail_or_be_the_last() {
    if can_inject() {
        let points = sweep(DEVICE, &CALLS, &["error=EIO", "error=ENOSPC", "signal=KILL"]);
        println!(
            "figure C2: creating a device, inviting, vouching, publishing, alarm, password, removal: EIO, ENOSPC or a kill at {points} calls: reported, nothing lost, no panic"
        );
        assert!(points > 200, "only {points} points: does the sweep still see the store's calls?");
    }
}
