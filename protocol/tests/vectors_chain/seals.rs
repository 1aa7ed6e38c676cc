//! Vectors of what is encrypted: names and manifests.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::members::{NameOf, seal_name};
use parsec_protocol::codec;
use parsec_protocol::ids::Timestamp;
use parsec_protocol::keys::{DirectoryKey, UserSeed};
use parsec_protocol::manifest::{self, ManifestHeader, Summary};
use parsec_protocol::name_keys::DirectoryKeys;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::sealing::KeyHash;
use serde_json::{Value, json};

use crate::check::hex;
use crate::support::{BEGINNING, ORGANISATION, Seed, device, organisation, signing_key, user};

use crate::make::Set;

pub(crate) fn names(set: &mut Set) {
    let key = [1; 32];
    let seal = |name: &str| {
        let directory_key = DirectoryKey::from_bytes(&mut key.clone());
        let name = name.parse().unwrap();
        seal_name(&directory_key, &organisation(), NameOf::User(user(1)), &name, &mut Seed(7)).unwrap()
    };
    let given = |sealed: &[u8]| {
        json!({
            "organisation": ORGANISATION, "kind": "user", "id": user(1), "directory key": hex(&key), "sealed": hex(sealed),
        })
    };
    let sealed = seal("Zoë O’Neill");
    let good = given(&sealed);
    let longest = "🇫🇷".repeat(64);
    set.put("name", "short", "a name", &good, Ok(json!("Zoë O’Neill")));
    set.put("name", "longest", "a name of 512 bytes", &given(&seal(&longest)), Ok(json!(longest)));
    let unreadable = || Err(json!("Unreadable"));
    let with = |name: &str, value: Value| {
        let mut given = good.clone();
        given[name] = value;
        given
    };
    set.put(
        "name",
        "another-key",
        "opened with another key",
        &with("directory key", json!(hex(&[2; 32]))),
        unreadable(),
    );
    set.put(
        "name",
        "another-organisation",
        "moved to another organisation",
        &with("organisation", json!("other")),
        unreadable(),
    );
    set.put("name", "another-user", "moved to another user", &with("id", json!(user(2))), unreadable());
    set.put(
        "name",
        "as-device",
        "moved to a device with the same id",
        &with("kind", json!("device")),
        unreadable(),
    );
    let mut changed = sealed.clone();
    changed[50] ^= 1;
    set.put("name", "changed", "one bit changed", &given(&changed), unreadable());
    // Whoever holds a directory key can seal under any number. The one at hand is number 1.
    set.put(
        "name",
        "another-number",
        "well sealed, as of directory key 2",
        &given(&second(&key)),
        unreadable(),
    );
    let mut numbered = sealed.clone();
    numbered[3] = 2;
    set.put("name", "changed-number", "of key 1, and says 2", &given(&numbered), unreadable());
    let bare = &sealed[4..];
    set.put("name", "no-number", "without the number in front", &given(bare), unreadable());
    set.put("name", "cut", "one byte cut off", &given(&sealed[..557]), unreadable());
}

/// A name under the number 2, otherwise as it should be.
fn second(key: &[u8; 32]) -> Vec<u8> {
    let mut padded = [0; 514];
    padded[..7].copy_from_slice(b"\0\x05Alice");
    let binding = codec::encode(&(organisation(), 0_u8, user(1), 2_u32));
    let aad = [b"parsec-name-v1\0".as_slice(), &binding].concat();
    let payload = Payload { msg: &padded, aad: &aad };
    let sealed = XChaCha20Poly1305::new(<&Key>::from(key)).encrypt(&XNonce::from([2; 24]), payload).unwrap();
    [&[0, 0, 0, 2][..], &[2; 24], &sealed].concat()
}

fn seed_of(bytes: [u8; 32]) -> UserSeed {
    UserSeed::from_bytes(&mut bytes.clone())
}

fn of(bytes: [u8; 32]) -> KeyHash {
    seed_of(bytes).encryption_key().hash()
}

pub(crate) fn manifests(set: &mut Set) {
    let header = ManifestHeader {
        organisation: organisation(),
        user: user(1),
        version: 1,
        author: device(1),
        time: Timestamp(BEGINNING),
        key: of([3; 32]),
    };
    let anchor = Head { count: 14, hash: Hash::of(&[b"a head"]) };
    let seal = |header: &ManifestHeader, by: u64| {
        let key = seed_of([3; 32]).manifest_key(&header.organisation, &header.user);
        let directory_keys = DirectoryKeys::first(DirectoryKey::from_bytes(&mut [1; 32]));
        let summary = Summary { directory_keys: &directory_keys, own_name: None, anchor, safes: Vec::new() };
        manifest::seal(header, summary, &key, &signing_key(by), &mut Seed(9)).unwrap()
    };
    let given = |envelope: &[u8]| {
        json!({
            "organisation": ORGANISATION, "user": user(1), "user's seed": hex(&[3; 32]), "key": of([3; 32]), "author": device(1),
            "author key": signing_key(1).verify_key(), "envelope": hex(envelope),
        })
    };
    let envelope = seal(&header, 1);
    let good = given(&envelope);
    set.put(
        "manifest",
        "empty",
        "the manifest every user starts with",
        &good,
        Ok(json!({"version": 1, "time": BEGINNING, "anchor": [14, anchor.hash], "safes": 0})),
    );
    let with = |name: &str, value: Value| {
        let mut given = good.clone();
        given[name] = value;
        given
    };
    let no = |refuse: &str| Err(json!(refuse));
    set.put(
        "manifest",
        "another-organisation",
        "of another organisation",
        &with("organisation", json!("other")),
        no("WrongHeader"),
    );
    set.put("manifest", "another-user", "of another user", &with("user", json!(user(2))), no("WrongHeader"));
    set.put(
        "manifest",
        "version-zero",
        "versions count from 1",
        &given(&seal(&ManifestHeader { version: 0, ..header.clone() }, 1)),
        no("WrongHeader"),
    );
    set.put(
        "manifest",
        "another-author",
        "by a device that may not write for the user",
        &with("author", json!(device(2))),
        no("Forged"),
    );
    set.put(
        "manifest",
        "another-signature",
        "signed by another device's key",
        &given(&seal(&header, 2)),
        no("Forged"),
    );
    set.put(
        "manifest",
        "another-key",
        "opened with another seed of the user",
        &with("user's seed", json!(hex(&[4; 32]))),
        no("Forged"),
    );
    set.put(
        "manifest",
        "unknown-key",
        "sealed under a key that the user never had",
        &with("key", json!(of([4; 32]))),
        no("UnknownKey"),
    );
    set.put(
        "manifest",
        "trailing",
        "a byte after the envelope",
        &given(&[envelope.as_slice(), &[0]].concat()),
        no("Codec"),
    );
}
