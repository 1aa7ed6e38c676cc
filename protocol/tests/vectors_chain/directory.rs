//! Vectors of a directory key that is changed: its check, boxes, the earlier keys, the head of its
//! ring and a part.

use minicbor::bytes::ByteVec;
use parsec_protocol::codec;
use parsec_protocol::directory::{Directory, make_parts, open_box};
use parsec_protocol::directory_ring::{DirectoryRing, Expected};
use parsec_protocol::ids::{OrganisationId, UserId};
use parsec_protocol::keys::{DirectoryKey, UserSeed};
use parsec_protocol::name_keys::NumberedKey;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::safe_log::ring::{Recipient, RingPart};
use parsec_protocol::sealing::{KeyHash, Randomness, seal};
use serde_json::{Value, json};

use crate::check::{Judgement, hex, parsed, secret, text, unhex};
use crate::make::Set;
use crate::support::{ORGANISATION, Seed, device, organisation, user};

const KEY: [u8; 32] = [0x71; 32];
const USERS: [u8; 32] = [0x72; 32];
const NUMBER: u32 = 3;

fn directory_key(bytes: [u8; 32]) -> DirectoryKey {
    DirectoryKey::from_bytes(&mut bytes.clone())
}

fn user_seed(bytes: [u8; 32]) -> UserSeed {
    UserSeed::from_bytes(&mut bytes.clone())
}

fn numbered(number: u32) -> NumberedKey {
    NumberedKey { number, key: directory_key([u8::try_from(number).unwrap(); 32]) }
}

/// The info of docs/protocol.md, for what a good program would not seal.
#[derive(minicbor::Encode)]
struct Use(#[n(0)] &'static str, #[n(1)] OrganisationId, #[n(2)] u32, #[n(3)] UserId, #[n(4)] KeyHash);

fn with(given: &Value, name: &str, value: Value) -> Value {
    let mut given = given.clone();
    given[name] = value;
    given
}

pub(crate) fn directory(set: &mut Set) {
    boxes(set);
    pasts(set);
    rings(set);
}

fn boxes(set: &mut Set) {
    let (acme, key, seed) = (organisation(), directory_key(KEY), user_seed(USERS));
    let of = Directory::new(&acme, NUMBER, &key);
    let to = seed.encryption_key();
    let good = json!({
        "kind": "box", "organisation": ORGANISATION, "number": NUMBER, "check": of.check(), "user": user(1),
        "seed": hex(&USERS), "box": hex(&of.make_box(user(1), &to)),
    });
    let gives = json!({"key": hex(&KEY), "right": true});
    set.put("directory", "box", "the key for a member", &good, Ok(gives));
    let by_hand = |text: &'static str, secret: &[u8], drawn: u64| {
        let info = codec::encode(&Use(text, acme.clone(), NUMBER, user(1), to.hash()));
        let sealed = seal(&to, &info, b"", secret, Randomness::random(&mut Seed(drawn)).unwrap()).unwrap();
        with(&good, "box", json!(hex(&sealed)))
    };
    set.put(
        "directory",
        "box-other-randomness",
        "it serves, and who has the key sees that it is not the right one",
        &by_hand("parsec-directory-box-v1", &KEY, 3),
        Ok(json!({"key": hex(&KEY), "right": false})),
    );
    let other = Directory::new(&acme, NUMBER, &directory_key([9; 32])).check();
    for (name, about, given) in [
        ("organisation", "moved to another organisation", with(&good, "organisation", json!("other"))),
        ("number", "moved to another number", with(&good, "number", json!(NUMBER + 1))),
        ("user", "moved to another user", with(&good, "user", json!(user(2)))),
        ("seed", "opened with another seed", with(&good, "seed", json!(hex(&[8; 32])))),
        ("check", "the log names another key", with(&good, "check", json!(other))),
        ("key", "another key, well sealed", by_hand("parsec-directory-box-v1", &[9; 32], 4)),
        ("use", "sealed for another use", by_hand("parsec-box-v1", &KEY, 5)),
        ("length", "a key of 33 bytes", by_hand("parsec-directory-box-v1", &[0x71; 33], 6)),
    ] {
        set.put("directory", &format!("box-another-{name}"), about, &given, Err(json!("WrongKey")));
    }
}

fn pasts(set: &mut Set) {
    let (acme, key) = (organisation(), directory_key(KEY));
    let of = Directory::new(&acme, NUMBER, &key);
    let past = |numbers: &[u32]| {
        let keys: Vec<_> = numbers.iter().map(|number| numbered(*number)).collect();
        json!({
            "kind": "past", "organisation": ORGANISATION, "number": NUMBER, "key": hex(&KEY),
            "past": hex(&of.seal_past(&keys, &mut Seed(7)).unwrap()),
        })
    };
    let good = past(&[1, 2]);
    let gives = json!({"keys": [[1, hex(&[1; 32])], [2, hex(&[2; 32])]]});
    set.put("directory", "past", "the two earlier keys", &good, Ok(gives));
    let gives = json!({"keys": [[2, hex(&[2; 32])]]});
    set.put("directory", "past-not-all", "its author did not have the first", &past(&[2]), Ok(gives));
    for (name, about, given) in [
        ("unsorted", "not ascending", past(&[2, 1])),
        ("twice", "one number twice", past(&[1, 1])),
        ("own", "the key itself among the earlier ones", past(&[1, 3])),
        ("zero", "a number that no key has", past(&[0, 1])),
        ("another-number", "moved to another number", with(&good, "number", json!(NUMBER + 1))),
        (
            "another-organisation",
            "moved to another organisation",
            with(&good, "organisation", json!("other")),
        ),
        ("another-key", "opened with another key", with(&good, "key", json!(hex(&[9; 32])))),
    ] {
        set.put("directory", &format!("past-{name}"), about, &given, Err(json!("WrongKey")));
    }
}

fn rings(set: &mut Set) {
    let (acme, key) = (organisation(), directory_key(KEY));
    let of = Directory::new(&acme, NUMBER, &key);
    let to = user_seed(USERS).encryption_key();
    let list: Vec<_> = (1..=3).map(|number| Recipient { user: user(number), key: to.hash() }).collect();
    let boxes = |count: usize| {
        let to = list.iter().take(count).enumerate();
        to.map(|(at, recipient)| (*recipient, (at > 0).then(to_key))).collect::<Vec<_>>()
    };
    let part = make_parts(&of, &boxes(3)).remove(0);
    let ring = |part: &RingPart| DirectoryRing {
        organisation: acme.clone(),
        number: NUMBER,
        author: device(1),
        parts: vec![part.hash()],
        past: of.seal_past(&[numbered(1), numbered(2)], &mut Seed(7)).unwrap().into(),
    };
    let given = |ring: &DirectoryRing, part: &RingPart| {
        json!({
            "kind": "ring", "organisation": ORGANISATION, "number": NUMBER, "author": device(1),
            "ring hash": ring.hash(), "list": list.iter().map(|it| json!([it.user, it.key])).collect::<Vec<_>>(),
            "head": hex(&ring.encode()), "part": hex(&part.encode()),
        })
    };
    let whole = ring(&part);
    let good = given(&whole, &part);
    let gives = json!({"head": whole.hash(), "boxes": 2});
    set.put("directory", "ring", "a ring for three members, of whom one has no sound key", &good, Ok(gives));
    let few = make_parts(&of, &boxes(2)).remove(0);
    let mut short = part.clone();
    short.0[1] = Some(ByteVec::from(vec![7; 1_167]));
    let mut two = whole.clone();
    two.parts.push(part.hash());
    let other = DirectoryRing { number: NUMBER + 1, ..whole.clone() };
    for (name, about, given, fault) in [
        (
            "another-hash",
            "not the one of the certificate",
            with(&good, "ring hash", json!(Hash::of(&[]))),
            "OtherHead",
        ),
        ("another-number", "of another number", given(&other, &part), "OtherOrigin"),
        ("another-author", "of another author", with(&good, "author", json!(device(2))), "OtherOrigin"),
        ("two-parts", "one part more than the members need", given(&two, &part), "Parts"),
        ("another-part", "a part of another ring", given(&whole, &few), "OtherPart"),
        ("part-short", "a box less than members", given(&ring(&few), &few), "PartLength"),
        ("box-short", "a box of another length", given(&ring(&short), &short), "BoxLength"),
    ] {
        set.put("directory", &format!("ring-{name}"), about, &given, Err(json!(fault)));
    }
}

fn to_key() -> parsec_protocol::sealing::EncryptionKey {
    user_seed(USERS).encryption_key()
}

pub(crate) fn judge(given: &Value) -> Judgement {
    let organisation: OrganisationId = parsed(given, "organisation");
    let number = u32::try_from(given["number"].as_u64().unwrap()).unwrap();
    match text(given, "kind") {
        "box" => {
            let (seed, who) = (user_seed(secret(given, "seed")), parsed(given, "user"));
            let sealed = unhex(&given["box"]);
            let key = open_box(&organisation, number, &parsed(given, "check"), who, &sealed, &seed)
                .map_err(|_| json!("WrongKey"))?;
            let right = Directory::new(&organisation, number, &key).make_box(who, &seed.encryption_key());
            Ok(json!({"key": hex(key.expose()), "right": right == sealed}))
        }
        "past" => {
            let key = directory_key(secret(given, "key"));
            let opened = Directory::new(&organisation, number, &key).open_past(&unhex(&given["past"]));
            let keys = opened.map_err(|_| json!("WrongKey"))?;
            let shown: Vec<_> = keys.iter().map(|it| json!([it.number, hex(it.key.expose())])).collect();
            Ok(json!({"keys": shown}))
        }
        "ring" => ring(given, &organisation, number),
        other => panic!("unknown kind {other}"),
    }
}

fn ring(given: &Value, organisation: &OrganisationId, number: u32) -> Judgement {
    let fault = |fault| json!(format!("{fault:?}"));
    let list: Vec<(UserId, KeyHash)> = serde_json::from_value(given["list"].clone()).unwrap();
    let list: Vec<_> = list.into_iter().map(|(user, key)| Recipient { user, key }).collect();
    let head = DirectoryRing::decode(&unhex(&given["head"])).map_err(|_| json!("Malformed"))?;
    let (author, ring) = (parsed(given, "author"), parsed(given, "ring hash"));
    head.fits(&Expected { organisation, number, author, ring, list: &list }).map_err(fault)?;
    let part = RingPart::decode(&unhex(&given["part"])).map_err(|_| json!("Malformed"))?;
    head.part_fits(0, &part, &list).map_err(fault)?;
    Ok(json!({"head": head.hash(), "boxes": part.0.iter().flatten().count()}))
}
