//! What the disk does: order of writes, no space, no rights to write.

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::process::Command;

use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::keys::SafeKey;
use parsec_protocol::object_hash::ObjectHash;

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

    /// Takes that away again. Emptied first: a process that another test starts has the file open
    /// until it runs its program, and a file that is open takes its room though it has no name.
    fn free(&self, filling: &Path) {
        fs::File::options().write(true).open(filling).unwrap().set_len(0).unwrap();
        fs::remove_file(filling).unwrap();
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
        small.free(&filling);
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
    small.free(&filling);
    open.store.append_certificates(3, &more).unwrap();
    drop(open);
    let open = devices.unlock(id, &right()).unwrap();
    assert_eq!(open.store.log_count().unwrap(), 203);
    println!("figure C3: a full file system: said, nothing lost, goes on once there is room");
}

/// Writes that end in the middle of a piece, and a disk that is full before the database can note
/// it: nothing of the piece is there, and all that waited before is.
#[test]
fn a_full_disk_costs_no_piece_that_waits() {
    let home = Home::new();
    let Some(small) = Small::mount(&home) else { return };
    let devices = Devices::open_with(&small.0.join("parsec"), WorkFactor::for_tests()).unwrap();
    let devices = devices.keep_at_most(Some(4 << 20));
    let open = devices.create(&new_device(1), SERVER, None, &right()).unwrap();
    let (store, safe) = (&open.store, SafeId::from_bytes([7; 16]));
    let key = SafeKey::from_bytes(&mut [3; 32]);
    store.found_safe(safe, new_device(1).device, b"founding", &key, &[]).unwrap();
    let piece = |number: u8, length: usize| {
        let sealed = vec![number; length];
        StagedObject { object: ObjectId::from_bytes([number; 16]), hash: ObjectHash::of(&sealed), sealed }
    };
    let pieces = small.0.join("parsec/devices");
    let files = || tree(&pieces).iter().filter(|path| path.to_string_lossy().contains("/pieces/")).count();
    store.stage_objects(safe, &[piece(1, 100_000)]).unwrap();
    let before = files();
    // The floor is a part of the disk: below it nothing is begun.
    let filling = small.fill(300_000);
    let refused = store.stage_objects(safe, &[piece(2, 50_000)]);
    assert!(matches!(refused, Err(StoreError::DiskFull)), "{refused:?}");
    small.free(&filling);
    // What is kept makes room for what must be.
    let kept = piece(3, 1_000_000 / 2);
    for number in [3, 4] {
        let kept = StagedObject { object: ObjectId::from_bytes([number; 16]), ..kept.clone() };
        store.keep_pieces(safe, &[(kept.object, kept.hash, &kept.sealed)]).unwrap();
    }
    let filling = small.fill(500_000);
    store.stage_objects(safe, &[piece(5, 200_000)]).unwrap();
    let here = [3, 4].map(|number| (ObjectId::from_bytes([number; 16]), kept.hash));
    let here: Vec<_> = store.pieces_here(safe, &here, usize::MAX).unwrap().found.into_keys().collect();
    assert_eq!(here, [ObjectId::from_bytes([4; 16])], "the longest unused is gone, and no more");
    store.drop_objects(safe, &[piece(5, 0).object]).unwrap();
    small.free(&filling);
    store.set_safe_standing(safe, Standing::Left).unwrap();
    store.set_safe_standing(safe, Standing::Accepted).unwrap();
    assert_eq!(files(), before);

    // At every amount of space, without asking before: a write is cut short in the middle.
    let mut left = 0;
    loop {
        let filling = small.fill(left);
        let staged = store.stage_without_room(safe, &[piece(6, 120_000), piece(7, 90_000)]);
        small.free(&filling);
        match staged {
            Ok(()) => break,
            Err(StoreError::DiskFull) => assert_eq!(files(), before, "with {left} bytes"),
            Err(other) => panic!("with {left} bytes: {other:?}"),
        }
        left += 10_000;
        assert!(left < 4 << 20);
    }
    assert!(left > 210_000, "{left}");
    for piece in [piece(1, 100_000), piece(6, 120_000), piece(7, 90_000)] {
        assert_eq!(store.staged_object(safe, piece.object).unwrap(), Some(piece));
    }
    println!("figure C13: pieces on a full file system: said, nothing lost, none half there");
}

/// A disk that became read-only: what is on it can be read, and whoever saves is told.
#[test]
fn a_read_only_disk_gives_pieces_and_takes_none() {
    let home = Home::new();
    let Some(small) = Small::mount(&home) else { return };
    let devices = Devices::open_with(&small.0.join("parsec"), WorkFactor::for_tests()).unwrap();
    let open = devices.create(&new_device(1), SERVER, None, &right()).unwrap();
    let (store, safe) = (&open.store, SafeId::from_bytes([7; 16]));
    let key = SafeKey::from_bytes(&mut [3; 32]);
    store.found_safe(safe, new_device(1).device, b"founding", &key, &[]).unwrap();
    let sealed = vec![5; 100_000];
    let piece = StagedObject { object: ObjectId::from_bytes([5; 16]), hash: ObjectHash::of(&sealed), sealed };
    store.keep_pieces(safe, &[(piece.object, piece.hash, &piece.sealed)]).unwrap();
    // Lazily: the database has its log open for writing, which keeps an ordinary one busy.
    let pieces = small.0.join("parsec/devices").join(format!("acme.{}", new_device(1).device)).join("pieces");
    let bound = Command::new("mount").arg("--bind").arg(&pieces).arg(&pieces).status().unwrap();
    assert!(bound.success());
    let _bound = Small(pieces.clone());
    let done = Command::new("mount").args(["-o", "remount,bind,ro"]).arg(&pieces).status().unwrap();
    assert!(done.success());
    let other = StagedObject { object: ObjectId::from_bytes([6; 16]), ..piece.clone() };
    let refused = store.stage_objects(safe, std::slice::from_ref(&other)).unwrap_err();
    assert!(matches!(&refused, StoreError::Io { .. }), "{refused:?}");
    let refused = store.keep_pieces(safe, &[(other.object, other.hash, &other.sealed)]).unwrap_err();
    assert!(matches!(&refused, StoreError::Io { .. }), "{refused:?}");
    assert!(store.staged_objects(safe).unwrap().is_empty());
    let here = store.pieces_here(safe, &[(piece.object, piece.hash)], usize::MAX).unwrap();
    assert!(here.found.get(&piece.object).is_some_and(|found| found.bytes() == piece.sealed));
    println!("figure C13: pieces on a read-only file system: read, and said to whoever saves");
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

/// The same of a piece that waits to be shared: when its row is on the disk, the piece is, under
/// its name; and its row before anything that may name it.
#[test]
fn a_piece_is_synced_and_named_before_its_row_is_written() {
    const CHILD: &str = "PARSECD_TEST_STRACED_PIECES";
    let safe = SafeId::from_bytes([7; 16]);
    if let Some(folder) = std::env::var_os(CHILD) {
        let devices = Devices::open_with(Path::new(&folder), WorkFactor::for_tests()).unwrap();
        let store = devices.unlock(new_device(1).device, &right()).unwrap().store;
        let piece = |number: u8| {
            let sealed = vec![number; 50_000];
            let (object, hash) = (ObjectId::from_bytes([number; 16]), ObjectHash::of(&sealed));
            StagedObject { object, hash, sealed }
        };
        store.stage_objects(safe, &[piece(1), piece(2)]).unwrap();
        return;
    }
    let home = Home::new();
    let store = home.open().create(&new_device(1), SERVER, None, &right()).unwrap().store;
    let key = SafeKey::from_bytes(&mut [3; 32]);
    store.found_safe(safe, new_device(1).device, b"founding", &key, &[]).unwrap();
    drop(store);
    let trace = home.0.path().join("trace");
    let straced = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=openat,mkdirat,write,pwrite64,fsync,fdatasync,renameat2", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::disk::a_piece_is_synced_and_named_before_its_row_is_written"])
        .args(["--test-threads", "1"])
        .env(CHILD, home.data())
        .output();
    let Ok(straced) = straced else {
        println!("skipped: strace is not installed");
        return;
    };
    assert!(straced.status.success(), "{}", String::from_utf8_lossy(&straced.stdout));
    let trace = fs::read_to_string(trace).unwrap();
    let mut lines = trace.lines();
    let mut next = |parts: &[&str]| {
        let found = lines.by_ref().find(|line| parts.iter().all(|part| line.contains(part)));
        assert!(found.is_some(), "no {parts:?} where it should be in\n{trace}");
    };
    next(&["mkdirat(", "\"pieces\""]);
    next(&["mkdirat(", "/pieces>"]);
    next(&["fsync(", &format!("acme.{}>", new_device(1).device)]);
    next(&["fsync(", "/pieces>"]);
    for _ in 0..2 {
        next(&["openat(", "\".writing-", "O_CREAT", "O_EXCL", "O_NOFOLLOW", "0600"]);
        next(&["write(", "/.writing-"]);
    }
    for _ in 0..2 {
        next(&["fsync(", "/.writing-"]);
    }
    for _ in 0..2 {
        next(&["renameat2(", "\".writing-"]);
    }
    next(&["fsync(", "/pieces/"]);
    next(&["pwrite64(", "store.db-wal>"]);
    next(&["sync(", "store.db-wal>"]);
    println!(
        "figure C10: pieces opened 0600, all written, synced, renamed, folder synced, then their rows, in this order"
    );
}

/// What is pinned is kept whatever the limit is, and makes room of what is not; but the disk keeps
/// its floor, and nothing that is pinned or waits goes for what waits next.
#[test]
fn pins_take_all_room_but_the_floor_and_give_none_back() {
    let home = Home::new();
    let Some(small) = Small::mount(&home) else { return };
    let devices = Devices::open_with(&small.0.join("parsec"), WorkFactor::for_tests()).unwrap();
    let open = devices.create(&new_device(1), SERVER, None, &right()).unwrap();
    let (store, safe) = (&open.store, SafeId::from_bytes([7; 16]));
    let key = SafeKey::from_bytes(&mut [3; 32]);
    store.found_safe(safe, new_device(1).device, b"founding", &key, &[]).unwrap();
    let piece = |number: u8| {
        let sealed = vec![number; 500_000];
        StagedObject { object: ObjectId::from_bytes([number; 16]), hash: ObjectHash::of(&sealed), sealed }
    };
    let keep = |number: u8| {
        let StagedObject { object, hash, sealed } = piece(number);
        store.keep_pieces(safe, &[(object, hash, &sealed)]).unwrap()
    };
    let here = |numbers: &[u8]| {
        let wanted: Vec<_> =
            numbers.iter().map(|number| piece(*number)).map(|it| (it.object, it.hash)).collect();
        store.are_here(safe, &wanted).unwrap()
    };
    store.limit_kept(Some(600_000)).unwrap();
    store.stage_objects(safe, &[piece(1)]).unwrap();
    assert!(keep(2));
    let pinned: Vec<u8> = (10..40).collect();
    store.pin_pieces(safe, pinned.iter().map(|number| piece(*number).object).collect()).unwrap();
    let count = pinned.iter().take_while(|number| keep(**number)).count();
    let totals = store.kept_totals().unwrap();
    assert!((5..16).contains(&count), "{count}");
    assert!(totals.floor > 0 && totals.free >= totals.floor, "{totals:?}");
    assert_eq!((totals.pinned, totals.kept), (count as u64 * 500_000, count as u64 * 500_000));
    assert_eq!(here(&[1, 2]), [true, false], "what is not pinned made room");
    let refused = store.stage_objects(safe, &[piece(3)]);
    assert!(matches!(refused, Err(StoreError::DiskFull)), "{refused:?}");
    assert!(here(&pinned[..count]).iter().all(|here| *here));
    // Once somebody takes a pin back there is room again.
    store.pin_pieces(safe, pinned[2..].iter().map(|number| piece(*number).object).collect()).unwrap();
    store.stage_objects(safe, &[piece(3)]).unwrap();
    assert_eq!(here(&[1, 3]), [true, true]);
}
