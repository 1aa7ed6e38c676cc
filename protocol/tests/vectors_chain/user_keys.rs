//! Vectors of the boxes by which devices get their user's key, and of the ones with the key before.

use parsec_protocol::codec;
use parsec_protocol::ids::{DeviceId, OrganisationId, UserId};
use parsec_protocol::keys::{DeviceSeed, UserSeed};
use parsec_protocol::sealing::{EncryptionKey, KeyHash, Randomness, seal};
use parsec_protocol::user_key::UserKey;
use serde_json::{Value, json};

use crate::check::hex;
use crate::make::Set;
use crate::support::{ORGANISATION, Seed, device, organisation, user};

/// The user's present seed, the one before, the device's own.
const PRESENT: [u8; 32] = [0x61; 32];
const PREVIOUS: [u8; 32] = [0x62; 32];
const OWN: [u8; 32] = [0x63; 32];

fn user_seed(bytes: [u8; 32]) -> UserSeed {
    UserSeed::from_bytes(&mut bytes.clone())
}

fn device_seed(bytes: [u8; 32]) -> DeviceSeed {
    DeviceSeed::from_bytes(&mut bytes.clone())
}

fn hash_of(bytes: [u8; 32]) -> KeyHash {
    user_seed(bytes).encryption_key().hash()
}

/// The info of docs/protocol.md, for what a good program would not seal.
#[derive(minicbor::Encode)]
struct DeviceUse(
    #[n(0)] &'static str,
    #[n(1)] OrganisationId,
    #[n(2)] UserId,
    #[n(3)] KeyHash,
    #[n(4)] DeviceId,
    #[n(5)] KeyHash,
);

fn by_hand(to: &EncryptionKey, text: &'static str, secret: &[u8]) -> Vec<u8> {
    let use_ = DeviceUse(text, organisation(), user(1), hash_of(PRESENT), device(1), to.hash());
    seal(to, &codec::encode(&use_), b"", secret, Randomness::random(&mut Seed(14)).unwrap()).unwrap()
}

pub(crate) fn boxes(set: &mut Set) {
    let key = UserKey { organisation: organisation(), user: user(1), key: hash_of(PRESENT) };
    let own = device_seed(OWN).encryption_key();
    let sealed = key.seal_to_device(&user_seed(PRESENT), device(1), &own, &mut Seed(11)).unwrap();
    let good = json!({
        "kind": "device", "organisation": ORGANISATION, "user": user(1), "key": key.key, "device": device(1),
        "seed": hex(&OWN), "box": hex(&sealed),
    });
    let past =
        key.seal_past(&user_seed(PREVIOUS), &user_seed(PRESENT).encryption_key(), &mut Seed(12)).unwrap();
    let before = json!({
        "kind": "past", "organisation": ORGANISATION, "user": user(1), "key": key.key,
        "previous key": hash_of(PREVIOUS), "seed": hex(&PRESENT), "box": hex(&past),
    });
    let with = |given: &Value, name: &str, value: Value| {
        let mut given = given.clone();
        given[name] = value;
        given
    };
    set.put("user-key", "device", "the user's seed, for a device", &good, Ok(json!({"seed": hex(&PRESENT)})));
    set.put(
        "user-key",
        "past",
        "the seed before, for the present key",
        &before,
        Ok(json!({"seed": hex(&PREVIOUS)})),
    );
    let mut wrong = |name: &str, about: &str, given: &Value| {
        set.put("user-key", name, about, given, Err(json!("WrongBox")));
    };
    let other = hash_of([0x64; 32]);
    for (kind, given) in [("device", &good), ("past", &before)] {
        for (name, about, field, value) in [
            ("organisation", "moved to another organisation", "organisation", json!("other")),
            ("user", "moved to another user", "user", json!(user(2))),
            ("key", "the log names another key", "key", json!(other)),
            ("seed", "opened with another seed", "seed", json!(hex(&[0x65; 32]))),
        ] {
            wrong(&format!("{kind}-another-{name}"), about, &with(given, field, value));
        }
    }
    wrong("device-another-device", "moved to another device", &with(&good, "device", json!(device(2))));
    wrong("past-another-previous", "of another key before", &with(&before, "previous key", json!(other)));
    let as_device = with(&before, "kind", json!("device"));
    wrong(
        "past-as-device",
        "a box of the key before, as a device's",
        &with(&as_device, "device", json!(device(1))),
    );
    let text = "parsec-user-key-v1";
    let given = |sealed: &[u8]| with(&good, "box", json!(hex(sealed)));
    // Well sealed, for this use: whoever makes a box can put anything into it.
    let about = "the seed before, in a box of the present one: its key is not the one that the log names";
    wrong("device-old-seed", about, &given(&by_hand(&own, text, &PREVIOUS)));
    wrong("device-long-seed", "a seed of 33 bytes", &given(&by_hand(&own, text, &[0x61; 33])));
    wrong(
        "device-other-use",
        "sealed for another use",
        &given(&by_hand(&own, "parsec-handover-v1", &PRESENT)),
    );
}
