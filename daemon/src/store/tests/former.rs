//! Devices written by earlier versions of the formats open in this one.
//!
//! `former/v1` was written once by `write_the_files` below, when version 1 was the present one, and
//! is never written again: a change of the code that can't read it has broken every user's device.

use super::*;

const FILES: [(&str, &[u8]); 4] = [
    ("key.age", include_bytes!("former/v1/key.age")),
    ("about", include_bytes!("former/v1/about")),
    ("pending", include_bytes!("former/v1/pending")),
    ("store.db", include_bytes!("former/v1/store.db")),
];

const TOKEN: Token = Token::from_bytes([0x70; 16]);

#[test]
fn version_1_opens() {
    let home = Home::new();
    drop(home.open());
    let folder = home.folder(1);
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    for (name, contents) in FILES {
        fs::write(folder.join(name), contents).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let (devices, new) = (home.open(), new_device(1));
    assert_eq!(devices.pending().unwrap(), [(new.device, receipt())]);
    let open = devices.unlock(new.device, &right()).unwrap();
    assert_eq!((open.summary.user, open.summary.server.as_str()), (new.user, SERVER));
    assert_eq!(open.keys.signing_key.expose(), new.signing_key.expose());
    assert_eq!(open.keys.directory_key.expose(), new.directory_key.expose());
    assert_eq!((open.keys.name, open.keys.head), (new.name, new.seen));
    assert_eq!(open.store.certificates().unwrap(), new.log);
    let invitation = open.store.invitation(TOKEN).unwrap().unwrap();
    assert_eq!((invitation.link_secret.expose(), invitation.expires), (&[0x71; 32], Timestamp(72)));
    assert_eq!(open.store.manifest().unwrap(), Some((1, b"manifest".to_vec())));
    // It has no peer-to-peer transport, and the server has it.
    assert!(invitation.posted == Posting::Done && invitation.direct.is_none());
    assert_eq!(invitation.tally, Tally::default());
    assert_eq!(open.store.sealed().unwrap().len(), 1);
    println!("figure C9: a store of format 1 opens, with everything in it");
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
