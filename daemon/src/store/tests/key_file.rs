//! The key file as others see it: plain age opens it, and a thief pays for every guess.

use std::io::{Read as _, Write as _};

use age::secrecy::SecretString;

use super::*;
use crate::store::keyfile;

/// Encrypts as any age program would, with a work factor of its own.
fn foreign(contents: &[u8], work: u8) -> Vec<u8> {
    let mut recipient = age::scrypt::Recipient::new(SecretString::from(right().expose().to_owned()));
    recipient.set_work_factor(work);
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as _)).unwrap();
    let mut sealed = Vec::new();
    let mut writer = encryptor.wrap_output(&mut sealed).unwrap();
    writer.write_all(contents).unwrap();
    writer.finish().unwrap();
    sealed
}

fn plain_age(sealed: &[u8], password: &str) -> Result<Vec<u8>, age::DecryptError> {
    let identity = age::scrypt::Identity::new(SecretString::from(password.to_owned()));
    let decryptor = age::Decryptor::new_buffered(sealed)?;
    let mut contents = Vec::new();
    decryptor.decrypt(std::iter::once(&identity as _))?.read_to_end(&mut contents)?;
    Ok(contents)
}

/// The product's own way, with the product's work factor.
#[test]
fn age_opens_what_the_product_writes() {
    let home = Home::new();
    let devices = Devices::open(&home.data()).unwrap();
    drop(devices.create(&new_device(1), SERVER, None, &right()).unwrap());
    let sealed = fs::read(home.folder(1).join("key.age")).unwrap();
    let first_lines = String::from_utf8_lossy(&sealed[..80]).into_owned();
    let mut lines = first_lines.lines();
    assert_eq!(lines.next(), Some("age-encryption.org/v1"));
    let stanza = lines.next().unwrap();
    assert!(stanza.starts_with("-> scrypt ") && stanza.ends_with(" 18"), "{stanza}");
    // Under a limit of our own, because age's default depends on how fast this machine is just now.
    let record = keyfile::unseal(&sealed, &right()).unwrap();
    let opened = keyfile::parse(&record).unwrap();
    assert_eq!(opened.keys.signing_key.expose(), &[3; 32]);
    assert_eq!(opened.store_key.expose(), &[4; 32]);
    drop(devices.unlock(new_device(1).device, &right()).unwrap());
}

#[test]
fn the_format_is_plain_age() {
    let record = keyfile::record(&new_device(1), SERVER).unwrap();
    let sealed = keyfile::seal(&record, &right(), WorkFactor::for_tests()).unwrap();
    assert_eq!(plain_age(&sealed, right().expose()).unwrap(), *record);
    assert!(plain_age(&sealed, "another password").is_err());
    let theirs = foreign(&record, 3);
    assert_eq!(*keyfile::unseal(&theirs, &right()).unwrap(), *record);
}

/// Work factor 23 would take 8 GiB. The header says so before any work is done: were it done, this
/// test would not end.
#[test]
fn too_much_work_is_refused_before_it_is_done() {
    let sealed = foreign(b"anything", 2);
    let text = String::from_utf8_lossy(&sealed).into_owned();
    let at = text.find(" 2\n").unwrap();
    for work in [21u8, 22, 23, 63] {
        let mut greedy = sealed[..at].to_vec();
        greedy.extend_from_slice(format!(" {work}\n").as_bytes());
        greedy.extend_from_slice(&sealed[at + 3..]);
        let refused = keyfile::unseal(&greedy, &right());
        assert!(matches!(refused, Err(StoreError::TooMuchWork(asked)) if asked == work), "{refused:?}");
    }
}

#[test]
fn a_file_under_a_key_instead_of_a_password_is_refused() {
    let key = age::x25519::Identity::generate();
    let sealed = age::encrypt(&key.to_public(), b"anything").unwrap();
    assert!(matches!(keyfile::unseal(&sealed, &right()), Err(StoreError::KeyFileDamaged(_))));
}

/// A record whose seed does not belong to the certified key, made by hand: signing with it would
/// give the seed away.
#[test]
fn a_mismatched_signing_key_is_refused() {
    let new = new_device(1);
    let certified = *new.signing_key.verify_key().as_bytes();
    let good = keyfile::record(&new, SERVER).unwrap();
    assert!(keyfile::parse(&good).is_ok());
    let at = good.windows(32).position(|window| window == certified).unwrap();
    let mut bad = good.to_vec();
    bad[at] ^= 1;
    assert!(matches!(
        keyfile::parse(&bad),
        Err(StoreError::KeyFileDamaged("the signing key is not the certified one"))
    ));
}

#[test]
fn records_of_other_versions_and_shapes_are_refused() {
    let good = keyfile::record(&new_device(1), SERVER).unwrap();
    let with_version = |version: u8| {
        let mut record = good.to_vec();
        assert_eq!(record[1], 2);
        record[1] = version;
        keyfile::parse(&record)
    };
    assert!(matches!(with_version(3), Err(StoreError::TooNew { found: 3, known: 2 })));
    assert!(matches!(with_version(1), Err(StoreError::TooOld { found: 1, oldest: 2 })));
    assert!(matches!(with_version(0), Err(StoreError::KeyFileDamaged(_))));
    let trailing = [good.as_slice(), &[0]].concat();
    for bad in [&b""[..], b"\x80", b"\xff", b"not a record", &trailing, &good[..good.len() - 1]] {
        assert!(matches!(keyfile::parse(bad), Err(StoreError::KeyFileDamaged(_))), "{bad:?}");
    }
}

/// The real program, at a real terminal: it asks for the password there and nowhere else.
#[test]
fn the_age_program_opens_the_file_with_the_password() {
    use std::process::{Command, Stdio};
    let installed = |program: &str, option: &str| {
        Command::new(program).arg(option).output().is_ok_and(|output| output.status.success())
    };
    if !installed("age", "--version") || !installed("script", "--version") {
        println!("skipped: age or script is not installed");
        return;
    }
    let home = Home::new();
    drop(Devices::open(&home.data()).unwrap().create(&new_device(1), SERVER, None, &right()).unwrap());
    let (sealed, opened) = (home.folder(1).join("key.age"), home.0.path().join("opened"));
    let mut age = Command::new("script")
        .arg("--quiet")
        .arg("--return")
        .arg("--command")
        .arg(format!("age --decrypt --output {} {}", opened.display(), sealed.display()))
        .arg("/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Once it asks: what is typed before a program switches echo off may be thrown away.
    let mut said = Vec::new();
    let mut terminal = age.stdout.take().unwrap();
    while !said.ends_with(b": ") {
        let mut byte = [0];
        assert_eq!(terminal.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&said));
        said.push(byte[0]);
    }
    let mut keyboard = age.stdin.take().unwrap();
    writeln!(keyboard, "{}", right().expose()).unwrap();
    terminal.read_to_end(&mut said).unwrap();
    assert!(age.wait().unwrap().success(), "{}", String::from_utf8_lossy(&said));
    drop(keyboard);
    let record = fs::read(opened).unwrap();
    assert_eq!(keyfile::parse(&record).unwrap().keys.user_seed.expose(), &[1; 32]);
}

#[test]
fn a_password_proves_the_keys_in_use_and_not_that_some_file_opens() {
    let home = Home::new();
    let devices = home.open();
    let id = new_device(1).device;
    let open = devices.create(&new_device(1), SERVER, None, &right()).unwrap();
    let own = fs::read(home.folder(1).join("key.age")).unwrap();
    devices.check_password(&open, &right()).unwrap();
    let planted = password("a password of its own");
    let new = password("another good one");
    // What a program of the user can put there: nothing in it; another seed; another store key;
    // another device's.
    let mut others = vec![keyfile::seal(b"", &planted, WorkFactor::for_tests()).unwrap()];
    let seal = |device: &NewDevice| {
        keyfile::seal(&keyfile::record(device, SERVER).unwrap(), &planted, WorkFactor::for_tests()).unwrap()
    };
    let another = DeviceSigningKey::from_bytes(&mut [33; 32]);
    others.push(seal(&NewDevice { signing_key: another, ..new_device(1) }));
    others.push(seal(&NewDevice { store_key: LocalStoreKey::from_bytes(&mut [44; 32]), ..new_device(1) }));
    others.push(seal(&new_device(2)));
    for (number, other) in others.iter().enumerate() {
        fs::write(home.folder(1).join("key.age"), other).unwrap();
        let refused = devices.check_password(&open, &planted);
        assert!(matches!(refused, Err(StoreError::KeyFileDamaged(_))), "{number}: {refused:?}");
        let refused = devices.change_password(id, Some(&open), &planted, &new);
        assert!(matches!(refused, Err(StoreError::KeyFileDamaged(_))), "{number}: {refused:?}");
        assert_eq!(&fs::read(home.folder(1).join("key.age")).unwrap(), other, "nothing was sealed anew");
    }
    // Locked: what does not open this device's store is not sealed anew either.
    drop(open);
    for other in [0, 2, 3].map(|at: usize| others.get(at).unwrap()) {
        fs::write(home.folder(1).join("key.age"), other).unwrap();
        assert!(devices.change_password(id, None, &planted, &new).is_err());
        assert!(devices.unlock(id, &planted).is_err());
    }
    fs::write(home.folder(1).join("key.age"), own).unwrap();
    devices.change_password(id, None, &right(), &new).unwrap();
    drop(devices.unlock(id, &new).unwrap());
}

/// The forms that keyboards, editors and file systems give one text are one password; others are
/// not.
#[test]
fn a_password_opens_in_every_form_of_it() {
    let sealed = |text: &str| keyfile::seal(b"record", &password(text), WorkFactor::for_tests());
    for (one, other) in [
        ("Größe Čapek Ångström 7", "Gro\u{308}ße C\u{30c}apek A\u{30a}ngstro\u{308}m 7"),
        ("한국어 비밀번호", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{116e}\u{11a8}\u{110b}\u{1165} 비밀번호"),
        ("four random words here", "four\u{a0}random\u{3000}words here"),
        ("\u{212b}ngström und so", "Ångström und so"),
    ] {
        for (made, given) in [(one, other), (other, one)] {
            let file = sealed(made).unwrap();
            assert_eq!(*keyfile::unseal(&file, &password(given)).unwrap(), b"record", "{made} {given}");
        }
    }
    let file = sealed("correct horse battery").unwrap();
    for other in
        ["Correct horse battery", "correct horse battery ", "ｃorrect horse battery", "", "correct\0horse"]
    {
        assert!(
            matches!(keyfile::unseal(&file, &password(other)), Err(StoreError::WrongPassword)),
            "{other:?}"
        );
    }
    for unfit in ["correct\u{0}horse", "correct\nhorse", "", "correct\u{fdd0}horse"] {
        assert!(matches!(sealed(unfit), Err(StoreError::UnfitPassword)), "{unfit:?}");
    }
    // Eight characters are counted as they are kept.
    assert!(matches!(sealed("e\u{301}e\u{301}e\u{301}e\u{301}"), Err(StoreError::WeakPassword)));
}
