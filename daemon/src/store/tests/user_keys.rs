//! Seeds of the user, a change that is under way, and public keys.

use parsec_protocol::relay::UserKeyChange;
use parsec_protocol::sealing::{EncryptionKey, KeyHash};

use super::*;

fn seed(byte: u8) -> (UserSeed, EncryptionKey, KeyHash) {
    let seed = UserSeed::from_bytes(&mut [byte; 32]);
    let key = seed.encryption_key();
    let hash = key.hash();
    (seed, key, hash)
}

fn change(byte: u8) -> (PendingChange, UserSeed) {
    let (seed, key, hash) = seed(byte);
    let change = UserKeyChange { certificate: vec![byte; 300].into(), key, boxes: Vec::new(), past: None };
    (PendingChange { key: hash, change }, seed)
}

#[test]
fn a_change_and_its_seed_are_there_after_a_crash_the_same_bytes() {
    let home = Home::new();
    let (pending, its_seed) = change(0x41);
    {
        let store = home.open().create(&new_device(1), SERVER, None, &right()).unwrap().store;
        assert_eq!(store.key_change().unwrap(), None);
        assert!(store.user_seed(&pending.key).unwrap().is_none());
        store.put_key_change(&pending, &its_seed).unwrap();
        let (other, others) = change(0x42);
        assert!(matches!(store.put_key_change(&other, &others), Err(StoreError::Conflict)));
        assert!(store.user_seed(&other.key).unwrap().is_none(), "nothing of what was refused is kept");
    }
    let store = home.open().unlock(new_device(1).device, &right()).unwrap().store;
    assert_eq!(store.key_change().unwrap(), Some(pending.clone()));
    assert!(store.user_seed(&pending.key).unwrap().unwrap().is_same(&its_seed));
    // Refused for now: a server may still bring it into the log, so its seed stays.
    store.drop_key_change().unwrap();
    assert_eq!(store.key_change().unwrap(), None);
    assert!(store.user_seed(&pending.key).unwrap().is_some());
    let (next, nexts) = change(0x43);
    store.put_key_change(&next, &nexts).unwrap();
    // The log has the next one: no certificate for the other can stand in it any more.
    store.key_change_decided(&[next.key]).unwrap();
    assert_eq!(store.key_change().unwrap(), None);
    assert!(store.user_seed(&pending.key).unwrap().is_none());
    assert!(store.user_seed(&next.key).unwrap().unwrap().is_same(&nexts));
}

#[test]
fn public_keys_and_the_manifest_that_a_device_was_told_of_are_kept() {
    let home = Home::new();
    let new = new_device(1);
    let store = home.open().create(&new, SERVER, None, &right()).unwrap().store;
    assert_eq!(store.manifest_mark().unwrap(), new.manifest);
    let (_, key, hash) = seed(7);
    assert_eq!(store.encryption_key(&hash).unwrap(), None);
    store.put_encryption_keys(&[key.clone(), key.clone()]).unwrap();
    assert_eq!(store.encryption_key(&hash).unwrap(), Some(key));
    // Those of whom this device lets in, for the day when a server has lost them.
    let sealed = sealed_of(&new);
    store.put_sealed(AttemptId::from_bytes([1; 16]), Token::from_bytes([2; 16]), &sealed).unwrap();
    for key in &sealed.keys {
        assert_eq!(store.encryption_key(&key.hash()).unwrap().as_ref(), Some(key));
    }
}
