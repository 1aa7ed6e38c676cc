//! Who can read what is stored, and what is not followed or written through.

use super::*;

#[test]
fn only_the_owner_gets_in_and_nothing_planted_can_be_read() {
    let home = Home::new();
    let devices = home.open();
    let open = devices.create(&new_device(1), SERVER, Some(&receipt()), &right()).unwrap();
    let token = Token::from_bytes([1; 16]);
    let secret = LinkSecret::from_bytes(&mut b"planted-link-secret-of-32-bytes!".to_owned());
    let invited = Invited::User("planted-bob@example.org".parse().unwrap());
    open.store.put_invitation(token, &stored(&secret, &invited, Timestamp(5))).unwrap();
    // Looked at while the write-ahead log is there, too.
    let files = tree(&home.data());
    assert!(files.iter().any(|path| path.ends_with("store.db-wal")));
    assert!(!files.iter().any(|path| path.ends_with("store.db-shm")));
    for path in files {
        let meta = fs::metadata(&path).unwrap();
        let mode = if meta.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(meta.mode() & 0o7777, mode, "{}", path.display());
        if meta.is_file() {
            let contents = fs::read(&path).unwrap();
            let planted = [NAME, LABEL, EMAIL, "planted", "CREATE TABLE", "SQLite format"];
            for text in planted {
                assert!(
                    !contents.windows(text.len()).any(|window| window == text.as_bytes()),
                    "{text} in {}",
                    path.display()
                );
            }
            for seed in 1..=5u8 {
                assert!(!contents.windows(16).any(|window| window == [seed; 16]) || path.ends_with("about"));
            }
        }
    }
}

#[test]
fn links_fifos_and_open_modes_are_refused() {
    let home = Home::new();
    drop(home.open().create(&new_device(1), SERVER, Some(&receipt()), &right()).unwrap());
    let id = new_device(1).device;
    let target = home.0.path().join("target");
    fs::write(&target, "untouched").unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
    let moved = home.0.path().join("moved");
    let unsafe_path = |error: StoreError, what: &str| {
        assert!(matches!(error, StoreError::UnsafePath { .. }), "{what}: {error:?}");
        assert_eq!(fs::read(&target).unwrap(), b"untouched");
    };
    for file in ["lock", "key.age", "about", "store.db", "store.db-wal", "store.db-journal"] {
        let path = if file == "lock" { home.data().join(file) } else { home.folder(1).join(file) };
        let there = path.exists();
        if there {
            fs::rename(&path, &moved).unwrap();
        }
        let attack = |what: &str| match home.try_open().and_then(|devices| devices.unlock(id, &right())) {
            Ok(_) => panic!("{file} replaced by {what}"),
            Err(error) => unsafe_path(error, &format!("{file} replaced by {what}")),
        };
        symlink(&target, &path).unwrap();
        attack("a link");
        fs::remove_file(&path).unwrap();
        symlink("/nowhere/at/all", &path).unwrap();
        attack("a dangling link");
        fs::remove_file(&path).unwrap();
        fs::hard_link(&target, &path).unwrap();
        attack("a hard link");
        fs::remove_file(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
            .unwrap();
        attack("a FIFO");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        attack("a folder");
        fs::remove_dir(&path).unwrap();
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        attack("a file open to the group");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
            attack("another user's file");
        }
        fs::remove_file(&path).unwrap();
        if there {
            fs::rename(&moved, &path).unwrap();
        }
    }
    for folder in [home.data(), home.data().join("devices"), home.folder(1)] {
        let open = || home.try_open().and_then(|devices| devices.unlock(id, &right())).map(drop);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o750)).unwrap();
        unsafe_path(open().unwrap_err(), "a folder open to the group");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        fs::rename(&folder, &moved).unwrap();
        symlink(&moved, &folder).unwrap();
        unsafe_path(open().unwrap_err(), "a folder behind a link");
        fs::remove_file(&folder).unwrap();
        symlink("/nowhere/at/all", &folder).unwrap();
        unsafe_path(open().unwrap_err(), "a folder behind a dangling link");
        fs::remove_file(&folder).unwrap();
        fs::write(&folder, "").unwrap();
        unsafe_path(open().unwrap_err(), "a file in a folder's place");
        fs::remove_file(&folder).unwrap();
        fs::rename(&moved, &folder).unwrap();
        open().unwrap();
    }
}

#[test]
fn a_planted_file_aside_is_not_written_through() {
    let home = Home::new();
    let devices = home.open();
    let id = new_device(1).device;
    drop(devices.create(&new_device(1), SERVER, None, &right()).unwrap());
    let target = home.0.path().join("target");
    fs::write(&target, "untouched").unwrap();
    symlink(&target, home.folder(1).join(".writing-about")).unwrap();
    devices.set_registration(id, Registration::Void, false).unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"untouched");
    assert_eq!(devices.list().unwrap()[0].registration, Registration::Void);
}
