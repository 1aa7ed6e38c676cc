//! Whatever happened to a file, it is noticed and said, and the other files stay as they were.

use super::*;

#[test]
fn an_older_store_does_not_fit_newer_keys() {
    // The store of a device with a shorter log, put into the folder of one whose key file pins a
    // longer log.
    let (old_home, home) = (Home::new(), Home::new());
    let mut short = new_device(1);
    short.log.pop();
    short.seen = short.log.iter().fold(Head::empty(&short.organisation, &short.root), |h, e| h.after(e));
    drop(old_home.open().create(&short, SERVER, None, &right()).unwrap());
    let devices = home.open();
    drop(devices.create(&new_device(1), SERVER, None, &right()).unwrap());
    fs::copy(old_home.folder(1).join("store.db"), home.folder(1).join("store.db")).unwrap();
    let refused = devices.unlock(short.device, &right());
    assert!(matches!(
        refused,
        Err(StoreError::Damaged("its log is older than the device's keys, or another one"))
    ));
}

#[test]
fn another_devices_key_file_is_refused() {
    let home = Home::new();
    let devices = home.open();
    drop(devices.create(&new_device(1), SERVER, None, &right()).unwrap());
    drop(devices.create(&new_device(2), SERVER, None, &right()).unwrap());
    fs::copy(home.folder(1).join("key.age"), home.folder(2).join("key.age")).unwrap();
    let refused = devices.unlock(DeviceId::from_bytes([2; 16]), &right());
    assert!(matches!(refused, Err(StoreError::KeyFileDamaged("it is another device's"))));
    fs::copy(home.folder(1).join("about"), home.folder(2).join("about")).unwrap();
    assert_eq!(devices.list().unwrap().len(), 1);
}

#[test]
fn every_flipped_byte_of_the_key_file_is_noticed() {
    let home = Home::new();
    let devices = home.open();
    let id = new_device(1).device;
    drop(devices.create(&new_device(1), SERVER, None, &right()).unwrap());
    let path = home.folder(1).join("key.age");
    let good = fs::read(&path).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        match devices.unlock(id, &right()) {
            Err(StoreError::KeyFileDamaged(_) | StoreError::TooMuchWork(_)) => {}
            other => panic!("{what}: {other:?}"),
        }
    };
    for position in 0..good.len() {
        let mut bad = good.clone();
        bad[position] ^= 1;
        refused(&bad, &format!("byte {position} flipped"));
        refused(&good[..position], &format!("cut at {position}"));
    }
    refused(&[good.as_slice(), b"x"].concat(), "a byte more");
    refused(&vec![b'x'; 16 * 1024], "no age file at all");
    fs::write(&path, vec![b'x'; 16 * 1024 + 1]).unwrap();
    assert!(matches!(devices.unlock(id, &right()), Err(StoreError::KeyFileDamaged(_))));
    fs::write(&path, &good).unwrap();
    drop(devices.unlock(id, &right()).unwrap());
}

#[test]
fn every_flipped_page_of_the_store_is_noticed() {
    let home = Home::new();
    let devices = home.open();
    let id = new_device(1).device;
    drop(devices.create(&new_device(1), SERVER, None, &right()).unwrap());
    let path = home.folder(1).join("store.db");
    let good = fs::read(&path).unwrap();
    // A prime step: every page, at ever other places in it.
    for position in (0..good.len()).step_by(509) {
        let mut bad = good.clone();
        bad[position] ^= 0x10;
        fs::write(&path, &bad).unwrap();
        assert!(
            matches!(devices.unlock(id, &right()), Err(StoreError::Damaged(_))),
            "byte {position} flipped"
        );
    }
    for length in (0..good.len()).step_by(1021) {
        fs::write(&path, &good[..length]).unwrap();
        let refused = devices.unlock(id, &right());
        assert!(matches!(refused, Err(StoreError::Damaged(_))), "cut at {length}: {refused:?}");
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(devices.unlock(id, &right()), Err(StoreError::Damaged(_))));
    fs::write(&path, &good).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    drop(devices.unlock(id, &right()).unwrap());
}

#[test]
fn about_and_pending_are_checked() {
    let home = Home::new();
    let devices = home.open();
    let id = new_device(1).device;
    drop(devices.create(&new_device(1), SERVER, Some(&receipt()), &right()).unwrap());
    for file in ["about", "pending"] {
        let path = home.folder(1).join(file);
        let good = fs::read(&path).unwrap();
        for length in 0..good.len() {
            fs::write(&path, &good[..length]).unwrap();
            assert_eq!(devices.pending().unwrap(), []);
        }
        let mut later = good.clone();
        later[1] = 2;
        fs::write(&path, &later).unwrap();
        assert_eq!(devices.pending().unwrap(), []);
        if file == "about" {
            assert!(matches!(devices.unlock(id, &right()), Err(StoreError::TooNew { found: 2, known: 1 })));
        }
        fs::write(&path, &good).unwrap();
    }
    assert_eq!(devices.pending().unwrap().len(), 1);
}

/// Each of these changes notes the digest of a key file that then can't be written.
#[test]
fn about_does_not_grow_with_changes_of_password_that_fail() {
    let home = Home::new();
    let devices = home.open();
    let id = new_device(1).device;
    drop(devices.create(&new_device(1), SERVER, None, &right()).unwrap());
    // A folder with a file in it, where the new key file would be made: neither removed nor written
    // over.
    let aside = home.folder(1).join(".writing-key.age");
    fs::create_dir(&aside).unwrap();
    fs::write(aside.join("x"), "").unwrap();
    let mut sizes = std::collections::BTreeSet::new();
    for _ in 0..5 {
        devices.change_password(id, None, &right(), &password("another good one")).unwrap_err();
        sizes.insert(fs::metadata(home.folder(1).join("about")).unwrap().len());
    }
    assert_eq!(sizes.len(), 1, "{sizes:?}");
    drop(devices.unlock(id, &right()).unwrap());
}
