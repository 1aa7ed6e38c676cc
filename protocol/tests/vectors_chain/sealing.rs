//! Vectors of encryption keys, and of boxes: what is one, what opens, and whether it is the one
//! that its randomness makes.

use parsec_protocol::keys::UserSeed;
use parsec_protocol::sealing::{
    ENCAPSULATION_BYTES, ENCRYPTION_KEY_BYTES, RANDOMNESS_BYTES, Randomness, Suite, seal,
};
use serde_json::{Value, json};

use crate::check::hex;
use crate::hpke_reference::ReferenceBox;
use crate::make::Set;

/// Where the X25519 half of a key begins.
const X25519: usize = ENCRYPTION_KEY_BYTES - 32;
const SEED: [u8; 32] = [0x51; 32];
const DRAWN: [u8; RANDOMNESS_BYTES] = [0x52; RANDOMNESS_BYTES];
const INFO: &[u8] = b"\x81\x6aan example";
const SECRET: [u8; 32] = [0x53; 32];

fn key_of(seed: [u8; 32]) -> [u8; ENCRYPTION_KEY_BYTES] {
    *UserSeed::from_bytes(&mut seed.clone()).encryption_key().as_bytes()
}

pub(crate) fn keys(set: &mut Set) {
    let good = key_of(SEED);
    let given = |suite: u64, key: &[u8]| json!({"suite": suite, "key": hex(key)});
    let hash = parsec_protocol::sealing::KeyHash::of(Suite::XWing, &good);
    set.put("key", "sound", "a key and its hash", &given(1, &good), Ok(json!({"hash": hash})));
    let no = |refuse: &str| Err(json!(refuse));
    set.put("key", "another-suite", "of a suite that is none", &given(2, &good), no("Suite"));
    set.put("key", "cut", "one byte cut off", &given(1, &good[..ENCRYPTION_KEY_BYTES - 1]), no("Length"));
    set.put("key", "x25519-alone", "the X25519 half alone", &given(1, &good[X25519..]), no("Length"));
    let mut longer = good.to_vec();
    longer.push(0);
    set.put("key", "longer", "a byte behind it", &given(1, &longer), no("Length"));
    let mut high = good;
    (high[0], high[1]) = (0x01, high[1] & 0xf0 | 0x0d);
    set.put("key", "prime", "the first coefficient is 3,329", &given(1, &high), no("NotReduced"));
    let mut high = good;
    (high[1_150], high[1_151]) = (high[1_150] & 0x0f | 0xf0, 0xff);
    set.put("key", "last-coefficient", "the last coefficient is 4,095", &given(1, &high), no("NotReduced"));
    let mut with = |name: &str, about: &str, x25519: [u8; 32]| {
        let mut key = good;
        key[X25519..].copy_from_slice(&x25519);
        set.put("key", name, about, &given(1, &key), no("X25519"));
    };
    with("zeros", "the X25519 half is all zeros", [0; 32]);
    let mut one = [0; 32];
    one[0] = 1;
    with("small-order", "the X25519 half is 1, of small order", one);
    let mut base = [0xff; 32];
    (base[0], base[31]) = (0xf6, 0x7f);
    with("not-below-the-prime", "the X25519 half is 2^255 - 10: 9 once more", base);
    let mut top: [u8; 32] = good[X25519..].try_into().unwrap();
    top[31] |= 0x80;
    with("top-bit", "the top bit of the X25519 half is set", top);
}

/// A box for the key of `SEED`, made step by step with another X25519 key or secret than belong
/// there.
fn reference_box(point: Option<[u8; 32]>, x25519: Option<[u8; 32]>) -> Vec<u8> {
    let key = key_of(SEED);
    let own = x25519_dalek::StaticSecret::from(<[u8; 32]>::try_from(&DRAWN[32..]).unwrap());
    let theirs: [u8; 32] = key[X25519..].try_into().unwrap();
    let made = ReferenceBox {
        key: &key,
        info: INFO,
        associated: b"",
        text: &SECRET,
        message: DRAWN[..32].try_into().unwrap(),
        point: point.unwrap_or(x25519_dalek::PublicKey::from(&own).to_bytes()),
        x25519: x25519.unwrap_or(own.diffie_hellman(&theirs.into()).to_bytes()),
    };
    made.sealed()
}

pub(crate) fn boxes(set: &mut Set) {
    let seal = |info: &[u8], associated: &[u8], text: &[u8]| {
        let key = UserSeed::from_bytes(&mut SEED.clone()).encryption_key();
        seal(&key, info, associated, text, Randomness::from_slice(&DRAWN).unwrap()).unwrap()
    };
    let given = |info: &[u8], associated: &[u8], sealed: &[u8]| {
        json!({
            "seed": hex(&SEED), "info": hex(info), "associated": hex(associated), "box": hex(sealed),
            "randomness": null,
        })
    };
    let with = |given: &Value, name: &str, value: Value| {
        let mut given = given.clone();
        given[name] = value;
        given
    };
    let good = seal(INFO, b"", &SECRET);
    let made = with(&given(INFO, b"", &good), "randomness", json!(hex(&DRAWN)));
    let opens = |text: &[u8]| Ok(json!({"plaintext": hex(text)}));
    set.put("box", "secret", "32 bytes, and the randomness that makes this box", &made, opens(&SECRET));
    set.put(
        "box",
        "opened",
        "the same, by whoever has the seed alone",
        &given(INFO, b"", &good),
        opens(&SECRET),
    );
    set.put(
        "box",
        "empty",
        "nothing in it, said of nothing",
        &given(b"", b"", &seal(b"", b"", b"")),
        opens(b""),
    );
    let (longest, long) = ([0x54; 1_024], [0x55; 300]);
    let all = with(&given(&longest, &long, &seal(&longest, &long, &long)), "randomness", json!(hex(&DRAWN)));
    set.put("box", "long", "the longest info, associated data, a longer plaintext", &all, opens(&long));

    let no = |refuse: &str| Err(json!(refuse));
    let closed = || no("OpenError");
    let other = with(&made, "randomness", json!(hex(&[0x56; RANDOMNESS_BYTES])));
    set.put("box", "another-randomness", "opens, and is not the box that this makes", &other, no("OtherBox"));
    let other = with(&given(INFO, b"", &good), "seed", json!(hex(&[0x57; 32])));
    set.put("box", "another-seed", "opened with another seed", &other, closed());
    set.put("box", "another-info", "for another use", &given(b"\x81\x6aan exampl3", b"", &good), closed());
    set.put("box", "associated", "with associated data that it has not", &given(INFO, b"x", &good), closed());
    let mut too_long = longest.to_vec();
    too_long.push(0);
    set.put("box", "info-too-long", "info of 1,025 bytes", &given(&too_long, b"", &good), closed());
    for (name, about, at) in [
        ("changed-ml-kem", "one bit of ML-KEM's ciphertext changed", 500),
        ("changed-x25519", "one bit of the X25519 key changed", 1_100),
        ("changed-text", "one bit of the ciphertext changed", 1_130),
        ("changed-tag", "one bit of the tag changed", 1_160),
    ] {
        let mut changed = good.clone();
        changed[at] ^= 1;
        set.put("box", name, about, &given(INFO, b"", &changed), closed());
    }
    set.put("box", "cut", "one byte cut off", &given(INFO, b"", &good[..good.len() - 1]), closed());
    let short = &good[..ENCAPSULATION_BYTES + 15];
    set.put("box", "short", "no room for a tag", &given(INFO, b"", short), closed());
    let longer = [good.as_slice(), &[0]].concat();
    set.put("box", "longer", "a byte behind it", &given(INFO, b"", &longer), closed());
    let zeros = reference_box(Some([0; 32]), Some([0; 32]));
    let about =
        "the X25519 key of the box is all zeros, and so is the secret: but for the rule it would open";
    set.put("box", "zeros", about, &given(INFO, b"", &zeros), closed());
    let mut top: [u8; 32] = good[ENCAPSULATION_BYTES - 32..ENCAPSULATION_BYTES].try_into().unwrap();
    top[31] |= 0x80;
    let about = "the top bit of the X25519 key of the box is set: but for the rule it would open";
    set.put("box", "top-bit", about, &given(INFO, b"", &reference_box(Some(top), None)), closed());
}
