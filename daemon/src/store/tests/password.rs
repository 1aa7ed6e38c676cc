//! A change of password, killed at each of its system calls: afterwards the old password opens the
//! key file or the new one does, never both and never neither; and once the change was answered,
//! the new one.

use std::process::Command;

use super::*;

const CHILD: &str = "PARSECD_TEST_PASSWORD_FOLDER";
/// What a change of password changes the disk with.
const CALLS: [&str; 5] = ["openat", "write", "fsync", "renameat", "unlinkat"];
/// Far more calls of one kind than the run makes; stops a sweep that would never end.
const CALLS_MAX: u32 = 400;

fn second() -> SecretText {
    password("another good one")
}

/// The process that is killed; nothing otherwise.
#[test]
fn the_change_that_is_killed() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let data = Path::new(&folder);
    let devices = Devices::open_with(data, WorkFactor::for_tests()).unwrap();
    devices.change_password(new_device(1).device, None, &right(), &second()).unwrap();
    fs::write(data.join("answered"), "").unwrap();
}

#[test]
fn a_change_of_password_is_whole_whenever_it_is_killed() {
    if !Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success()) {
        println!("skipped: strace is not installed");
        return;
    }
    let (mut points, mut old_ones, mut new_ones) = (0, 0, 0);
    for call in CALLS {
        for number in 1..=CALLS_MAX {
            let home = Home::new();
            drop(home.open().create(&new_device(1), SERVER, None, &right()).unwrap());
            let (data, trace) = (home.data(), home.0.path().join("trace"));
            let output = Command::new("strace")
                .args(["-f", "-qq", "-e", &format!("trace={call}"), "-e"])
                .arg(format!("inject={call}:signal=KILL:when={number}"))
                .arg("-o")
                .arg(&trace)
                .arg(std::env::current_exe().unwrap())
                .args(["--exact", "store::tests::password::the_change_that_is_killed", "--test-threads", "1"])
                .env(CHILD, &data)
                .output()
                .unwrap();
            let what = format!("{call} number {number}: {}", String::from_utf8_lossy(&output.stderr));
            let killed = fs::read_to_string(trace).unwrap().contains("killed by SIGKILL");
            let answered = data.join("answered").exists();
            assert!(killed || answered, "{what}");
            let devices = home.open();
            let (old, new) = [right(), second()].map(|it| devices.unlock(new_device(1).device, &it)).into();
            assert!(old.is_ok() != new.is_ok(), "{what}: {old:?} {new:?}");
            let refused = old.as_ref().err().or(new.as_ref().err()).unwrap();
            assert!(matches!(refused, StoreError::WrongPassword), "{what}: {refused}");
            assert!(new.is_ok() || !answered, "{what}: answered, and the old one opens it");
            let left =
                tree(&home.folder(1)).into_iter().filter(|path| path.to_string_lossy().contains(".writing-"));
            assert_eq!(left.count(), 0, "{what}");
            // The keys and the store are the same.
            let open = old.or(new).unwrap();
            assert_eq!(open.store.log_count().unwrap(), 3, "{what}");
            assert_eq!(open.keys.signing_key.expose(), new_device(1).signing_key.expose());
            (old_ones, new_ones) = if answered { (old_ones, new_ones + 1) } else { (old_ones + 1, new_ones) };
            if !killed {
                break;
            }
            points += 1;
        }
    }
    println!(
        "figure C1: change of the password: killed at {points} calls, {old_ones} before the answer, {new_ones} after it"
    );
    assert!(points > 20, "only {points} points: does the sweep still see the store's calls?");
}
