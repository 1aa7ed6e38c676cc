//! Devices written by earlier versions of the formats open in this one.
//!
//! `former/v2` was written once by `write_the_files` below, when version 2 was the present one, and
//! is never written again: a change of the code that can't read it has broken every user's device.
//! `former/v1` is of before the first release: it is refused in so many words.

use super::*;
use parsec_protocol::name_keys::NameKeys as _;

const FILES: [(&str, &[u8]); 4] = [
    ("key.age", include_bytes!("former/v2/key.age")),
    ("about", include_bytes!("former/v2/about")),
    ("pending", include_bytes!("former/v2/pending")),
    ("store.db", include_bytes!("former/v2/store.db")),
];

const TOKEN: Token = Token::from_bytes([0x70; 16]);

/// A data folder with one device whose key file is this one.
fn home_with(key_file: &[u8]) -> Home {
    let home = Home::new();
    drop(home.open());
    let folder = home.folder(1);
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    for (name, contents) in FILES {
        let contents = if name == "key.age" { key_file } else { contents };
        fs::write(folder.join(name), contents).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    home
}

#[test]
fn what_was_never_released_is_refused_in_so_many_words() {
    let home = home_with(include_bytes!("former/v1/key.age"));
    let error = home.open().unlock(new_device(1).device, &right()).unwrap_err();
    assert!(matches!(error, StoreError::TooOld { found: 1, oldest: 2 }), "{error}");
}

#[test]
fn version_2_opens() {
    let home = home_with(FILES[0].1);
    let (devices, new) = (home.open(), new_device(1));
    assert_eq!(devices.pending().unwrap(), [(new.device, receipt())]);
    let open = devices.unlock(new.device, &right()).unwrap();
    assert_eq!((open.summary.user, open.summary.server.as_str()), (new.user, SERVER));
    assert_eq!(open.keys.signing_key.expose(), new.signing_key.expose());
    assert_eq!(open.keys.user_seed.expose(), new.user_seed.expose());
    assert_eq!(open.keys.device_seed.expose(), new.device_seed.expose());
    assert_eq!(open.keys.directory_key.expose(), new.directory_keys.sealing().1.expose());
    assert_eq!((open.keys.name, open.keys.head), (new.name, new.seen));
    assert_eq!(open.store.certificates().unwrap(), new.log);
    let invitation = open.store.invitation(TOKEN).unwrap().unwrap();
    assert_eq!((invitation.link_secret.expose(), invitation.expires), (&[0x71; 32], Timestamp(72)));
    assert_eq!(open.store.manifest().unwrap(), Some((1, b"manifest".to_vec())));
    assert_eq!(open.store.manifest_mark().unwrap(), new.manifest);
    assert_eq!(invitation.posted, Posting::Wanted);
    let direct = invitation.direct.unwrap();
    assert_eq!((direct.secret.expose(), direct.port), (&[0x5b; 32], 4_711));
    assert_eq!(invitation.tally, Tally::default());
    assert_eq!(open.store.sealed().unwrap().len(), 1);
    println!("figure C9: a store of format 2 opens, with everything in it");
}

#[test]
#[ignore = "writes the files of the present version into $FORMER, once for each version"]
fn write_the_files() {
    let home = Home::new();
    let (devices, new) = (home.open(), new_device(1));
    let store = devices.create(&new, SERVER, Some(&receipt()), &right()).unwrap().store;
    let invited = Invited::User("bob@example.org".parse().unwrap());
    let secret = LinkSecret::from_bytes(&mut [0x71; 32]);
    store.put_invitation(TOKEN, &stored(&secret, &invited, Timestamp(72))).unwrap();
    store.put_manifest(1, b"manifest").unwrap();
    let sealed = sealed_of(&new);
    store.put_sealed(AttemptId::from_bytes([0x73; 16]), TOKEN, &sealed).unwrap();
    drop(store);
    let Some(to) = std::env::var_os("FORMER") else { return };
    for (name, _) in FILES {
        fs::copy(home.folder(1).join(name), Path::new(&to).join(name)).unwrap();
    }
}
