//! What the disk does: order of writes, no space, no rights to write.

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::process::Command;

use super::*;

/// A file system of 8 MiB, if this test may mount one.
struct Small(PathBuf);

impl Small {
    fn mount(home: &Home) -> Option<Self> {
        let place = home.0.path().join("small");
        fs::create_dir(&place).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m,mode=0700", "none"])
            .arg(&place)
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            Some(Self(place))
        } else {
            println!("skipped: no right to mount a file system");
            None
        }
    }

    /// Leaves `left` bytes free.
    fn fill(&self, left: u64) -> PathBuf {
        let path = self.0.join("filling");
        let mut file = fs::File::create(&path).unwrap();
        while file.write_all(&[0xaa; 4096]).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length - left).unwrap();
        path
    }

    fn remount(&self, option: &str) {
        let done =
            Command::new("mount").args(["-o", &format!("remount,{option}")]).arg(&self.0).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_costs_nothing_that_was_there() {
    let home = Home::new();
    let Some(small) = Small::mount(&home) else { return };
    let devices = Devices::open_with(&small.0.join("parsec"), WorkFactor::for_tests()).unwrap();
    let id = new_device(1).device;
    // At every amount of space: nothing is made, and said why, until there is enough.
    let mut left = 0;
    loop {
        let filling = small.fill(left);
        let made = devices.create(&new_device(1), SERVER, Some(&receipt()), &right());
        fs::remove_file(filling).unwrap();
        match made {
            Ok(_) => break,
            Err(StoreError::DiskFull) => assert_eq!(devices.list().unwrap(), []),
            Err(other) => panic!("with {left} bytes: {other:?}"),
        }
        left += 4096;
        assert!(left < 4 << 20);
    }
    assert!(left > 0);

    let open = devices.unlock(id, &right()).unwrap();
    let filling = small.fill(0);
    let more = vec![vec![1u8; 2_000]; 200];
    assert!(matches!(open.store.append_certificates(3, &more), Err(StoreError::DiskFull)));
    assert_eq!(open.store.log_count().unwrap(), 3);
    assert!(matches!(
        devices.set_registration(id, Registration::Registered, false),
        Err(StoreError::DiskFull)
    ));
    let changed = devices.change_password(id, Some(&open), &right(), &password("another good one"));
    assert!(matches!(changed, Err(StoreError::DiskFull)), "{changed:?}");
    assert_eq!(devices.pending().unwrap().len(), 1);
    fs::remove_file(filling).unwrap();
    open.store.append_certificates(3, &more).unwrap();
    drop(open);
    let open = devices.unlock(id, &right()).unwrap();
    assert_eq!(open.store.log_count().unwrap(), 203);
    println!("figure C3: a full file system: said, nothing lost, goes on once there is room");
}

#[test]
fn a_disk_that_became_read_only_is_said() {
    let home = Home::new();
    let Some(small) = Small::mount(&home) else { return };
    let data = small.0.join("parsec");
    let id = new_device(1).device;
    let devices = Devices::open_with(&data, WorkFactor::for_tests()).unwrap();
    drop(devices.create(&new_device(1), SERVER, None, &right()).unwrap());
    drop(devices);
    small.remount("ro");
    let opened = Devices::open_with(&data, WorkFactor::for_tests());
    assert!(matches!(opened, Err(StoreError::Io { .. })), "{opened:?}");
    small.remount("rw");
    let devices = Devices::open_with(&data, WorkFactor::for_tests()).unwrap();
    drop(devices.unlock(id, &right()).unwrap());
    println!("figure C3: a file system that became read-only: said, nothing lost");
}

/// A power cut in the middle of a commit leaves a torn write-ahead log: what was acknowledged
/// before is there, what was not is not.
#[test]
fn a_torn_write_ahead_log_loses_nothing_acknowledged() {
    let home = Home::new();
    let devices = home.open();
    let id = new_device(1).device;
    let store = devices.create(&new_device(1), SERVER, None, &right()).unwrap().store;
    let folder = home.folder(1);
    let wal = folder.join("store.db-wal");
    store.append_certificates(3, &[vec![1; 100]]).unwrap();
    let acknowledged = fs::metadata(&wal).unwrap().len();
    store.append_certificates(4, &vec![vec![2; 2_000]; 20]).unwrap();
    // The files as they are now, under a second copy: the open store keeps the first.
    let copy = Home::new();
    drop(copy.open().create(&new_device(1), SERVER, None, &right()).unwrap());
    let full = fs::metadata(&wal).unwrap().len();
    for length in (acknowledged..full).step_by(1_500) {
        for file in ["store.db", "store.db-wal"] {
            let to = copy.folder(1).join(file);
            fs::copy(folder.join(file), &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let torn = fs::OpenOptions::new().write(true).open(copy.folder(1).join("store.db-wal")).unwrap();
        torn.set_len(length).unwrap();
        // And garbage where the disk had promised room.
        torn.write_all_at(&[0x5c; 700], length).unwrap();
        drop(torn);
        let open = copy.open().unlock(id, &right()).unwrap();
        assert_eq!(open.store.log_count().unwrap(), 4, "cut at {length}");
    }
    println!(
        "figure C4: the write-ahead log cut at each place behind the last commit: what was acknowledged is there"
    );
}

/// What was made is on the disk with its name: each folder above a new one is synced.
#[test]
fn the_name_of_a_new_data_folder_is_synced() {
    const CHILD: &str = "PARSECD_TEST_NEW_FOLDER";
    if let Some(folder) = std::env::var_os(CHILD) {
        drop(Devices::open_with(Path::new(&folder), WorkFactor::for_tests()).unwrap());
        return;
    }
    let home = Home::new();
    let place = home.0.path().canonicalize().unwrap();
    let trace = place.join("trace");
    let straced = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=mkdir,mkdirat,fsync", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "store::tests::disk::the_name_of_a_new_data_folder_is_synced",
            "--test-threads",
            "1",
        ])
        .env(CHILD, place.join("new/deep/data"))
        .output();
    let Ok(straced) = straced else {
        println!("skipped: strace is not installed");
        return;
    };
    assert!(straced.status.success(), "{}", String::from_utf8_lossy(&straced.stdout));
    let trace = fs::read_to_string(trace).unwrap();
    for folder in ["", "/new", "/new/deep", "/new/deep/data"] {
        let synced = format!("{}{folder}>)", place.display());
        assert!(
            trace.lines().any(|line| line.contains("fsync(") && line.contains(&synced)),
            "{synced} was not synced:\n{trace}"
        );
    }
}

/// The order of system calls, as the kernel saw them: the new key file is written and synced under
/// another name, renamed over the old one, and the folder synced; nothing opens it with a wider
/// mode.
#[test]
fn a_key_file_is_written_aside_synced_renamed_and_its_folder_synced() {
    const CHILD: &str = "PARSECD_TEST_STRACED_FOLDER";
    if let Some(folder) = std::env::var_os(CHILD) {
        let devices = Devices::open_with(Path::new(&folder), WorkFactor::for_tests()).unwrap();
        drop(devices.create(&new_device(1), SERVER, Some(&receipt()), &right()).unwrap());
        devices.change_password(new_device(1).device, None, &right(), &password("another good one")).unwrap();
        return;
    }
    let home = Home::new();
    let trace = home.0.path().join("trace");
    let test = "store::tests::disk::a_key_file_is_written_aside_synced_renamed_and_its_folder_synced";
    let straced = Command::new("strace")
        .args([
            "-f",
            "-y",
            "-e",
            "trace=openat,write,fsync,rename,renameat,renameat2,chmod,fchmod,fchmodat",
            "-o",
        ])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--test-threads", "1"])
        .env(CHILD, home.data())
        .output();
    let Ok(straced) = straced else {
        println!("skipped: strace is not installed");
        return;
    };
    assert!(straced.status.success(), "{}", String::from_utf8_lossy(&straced.stdout));
    let trace = fs::read_to_string(trace).unwrap();
    // Each in the order given, after the one before.
    let in_order = |steps: &[&[&str]]| {
        let mut lines = trace.lines();
        for step in steps {
            assert!(
                lines.any(|line| step.iter().all(|part| line.contains(part))),
                "no {step:?} where it should be in\n{trace}"
            );
        }
    };
    // A change of password.
    in_order(&[
        &["openat(", "\".writing-key.age\"", "O_CREAT", "O_EXCL", "O_NOFOLLOW", "0600"],
        &["write(", ".writing-key.age>"],
        &["fsync(", ".writing-key.age>"],
        &["rename", "\".writing-key.age\"", "\"key.age\""],
        &["fsync(", &format!("acme.{}>", new_device(1).device)],
    ]);
    // A new device: everything in it is synced before it gets its name, and the name after.
    let aside = format!(".new-acme.{}", new_device(1).device);
    for file in ["key.age", "about", "pending", "store.db"] {
        in_order(&[
            &["openat(", &format!("\"{file}\""), "O_CREAT", "O_EXCL", "0600"],
            &["fsync(", &format!("{aside}/{file}>")],
            &["fsync(", &format!("{aside}>")],
            &["rename", &format!("\"{aside}\"")],
            &["fsync(", "/devices>"],
        ]);
    }
    assert!(!trace.contains("chmod("), "a mode that is repaired was wrong for a moment:\n{trace}");
    println!("figure C8: opened 0600, written, synced, renamed, folder synced, in this order");
}
