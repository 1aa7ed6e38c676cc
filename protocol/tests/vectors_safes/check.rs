//! Judges a vector as a reader would: only from what it gives.

use std::collections::BTreeMap;

use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::codec;
use parsec_protocol::ids::{DeviceId, ObjectId, OrganisationId, SafeId, UserId};
use parsec_protocol::keys::{SafeKey, UserSeed};
use parsec_protocol::limits::RECORD_MAX_BYTES;
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::public_keys::{Hash, VerifyKey};
use parsec_protocol::safe_log::certificate::Key;
use parsec_protocol::safe_log::record::Payload;
use parsec_protocol::safe_log::ring::{Expected, RingFault, RingHead, RingPart};
use parsec_protocol::safe_log::safe::{NotTaken, VerifiedSafe};
use parsec_protocol::safes::boxes::{BoxOf, is_right, open_box};
use parsec_protocol::safes::content::{
    PieceError, chunk_length, chunks, open_chunk, open_page, padded_length,
};
use parsec_protocol::safes::content_ref::Reference;
use parsec_protocol::safes::keys::{EpochKey, SafeKeys};
use parsec_protocol::safes::object::{ObjectError, ObjectKind, open};
use parsec_protocol::safes::past;
use parsec_protocol::safes::seal::{Unopened, VoidInside, open_record};
use parsec_protocol::safes::snapshot::{self, BadSnapshot};
use parsec_protocol::safes::tree::Tree as _;
use serde_json::{Value, json};

/// What the vector gives if it is accepted, or the refusal.
pub(crate) type Judgement = Result<Value, Value>;

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap().as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap();
    digits.chunks(2).map(|pair| u8::try_from(digit(pair[0]) * 16 + digit(pair[1])).unwrap()).collect()
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(given: &Value, name: &str) -> T {
    given[name].as_str().unwrap_or_else(|| panic!("the vector lacks {name}")).parse().unwrap()
}

fn secret(value: &Value) -> SafeKey {
    SafeKey::from_slice(&unhex(value)).unwrap()
}

fn number(given: &Value, name: &str) -> u64 {
    given[name].as_u64().unwrap()
}

/// Judges by the construct. `bytes` are what vectors of it give by number.
pub(crate) fn judge(construct: &str, given: &Value, bytes: &Value) -> Judgement {
    match construct {
        "key" => key(given),
        "box" => sealed_box(given),
        "ring" => ring(given),
        "past" => past_keys(given),
        "record" => record(given),
        "object" => object(given),
        "padding" => padding(given),
        "piece" => piece(given),
        "snapshot" => snapshot(given),
        "log" => log(given, |number| unhex(&bytes[usize::try_from(number.as_u64().unwrap()).unwrap()])),
        other => panic!("unknown construct {other}"),
    }
}

fn key(given: &Value) -> Judgement {
    let (organisation, safe): (OrganisationId, SafeId) =
        (parsed(given, "organisation"), parsed(given, "safe"));
    let (epoch, own) = (number(given, "epoch"), secret(&given["key"]));
    let mut keys = SafeKeys::new(organisation, safe);
    keys.insert(epoch, own, &parsed(given, "key check")).map_err(|_| json!("WrongKey"))?;
    let key = keys.at(epoch).unwrap();
    Ok(json!({
        "record": hex(key.record_key().expose()),
        "object": hex(key.objects_key().expose()),
        "past": hex(key.past_key().expose()),
        "digest": key.digest_key().map(|key| hex(key.expose())),
    }))
}

fn sealed_box(given: &Value) -> Judgement {
    let (organisation, safe): (OrganisationId, SafeId) =
        (parsed(given, "organisation"), parsed(given, "safe"));
    let (epoch, user): (u64, UserId) = (number(given, "epoch"), parsed(given, "user"));
    let seed = UserSeed::from_slice(&unhex(&given["seed"])).unwrap();
    let of = BoxOf { organisation: &organisation, safe: &safe, epoch, user };
    let check: Hash = parsed(given, "key check");
    let sealed = unhex(&given["box"]);
    let opened = open_box(&of, &check, &sealed, &seed).map_err(|_| json!("WrongBox"))?;
    let key = EpochKey::new(&organisation, &safe, epoch, &opened);
    let right = is_right(&key, user, &seed.encryption_key(), &sealed);
    Ok(json!({"key": hex(opened.expose()), "right": right}))
}

/// As whoever gets a ring of this author with a certificate that names these hashes.
fn ring(given: &Value) -> Judgement {
    let (organisation, safe): (OrganisationId, SafeId) =
        (parsed(given, "organisation"), parsed(given, "safe"));
    let author: DeviceId = parsed(given, "author");
    let key = Key {
        epoch: number(given, "epoch"),
        // The check is of the key, and nobody looks into the ring for it.
        key_check: Hash::of(&[]),
        list: parsed(given, "list hash"),
        ring: parsed(given, "ring hash"),
        lost: 0,
    };
    let malformed = |_| json!("Malformed");
    let head = RingHead::decode(&unhex(&given["head"])).map_err(malformed)?;
    let expected = Expected { organisation: &organisation, safe: &safe, author: &author, key: &key };
    let misfit = |fault: RingFault| {
        json!(match fault {
            RingFault::OtherHead => "OtherHead",
            RingFault::OtherOrigin => "OtherOrigin",
            RingFault::OtherList => "OtherList",
            RingFault::Past => "Past",
            RingFault::Parts => "Parts",
            RingFault::OtherPart => "OtherPart",
            RingFault::PartLength => "PartLength",
            RingFault::BoxLength => "BoxLength",
        })
    };
    head.fits(&expected).map_err(misfit)?;
    for (number, part) in given["parts"].as_array().unwrap().iter().enumerate() {
        let part = RingPart::decode(&unhex(part)).map_err(malformed)?;
        head.part_fits(number, &part).map_err(misfit)?;
    }
    let list: Vec<_> = head.list.0.iter().map(|one| json!([one.user, one.key])).collect();
    Ok(json!({"list": list, "parts": head.parts.len(), "past": head.past.is_some()}))
}

fn past_keys(given: &Value) -> Judgement {
    let (organisation, safe): (OrganisationId, SafeId) =
        (parsed(given, "organisation"), parsed(given, "safe"));
    let own = secret(&given["key"]);
    let key = EpochKey::new(&organisation, &safe, number(given, "epoch"), &own);
    let wrong = |_| json!("WrongPast");
    let past = past::open(&key, &unhex(&given["past"])).map_err(wrong)?;
    let shown = |keys: Vec<(u64, SafeKey)>| -> BTreeMap<String, String> {
        keys.into_iter().map(|(epoch, key)| (epoch.to_string(), hex(key.expose()))).collect()
    };
    if given["block"].is_null() {
        let blocks: Vec<_> = past.blocks().iter().map(|block| *block.hash()).collect();
        return Ok(json!({"blocks": blocks, "keys": shown(past.into_keys().collect())}));
    }
    let block = past.open_block(&organisation, &safe, number(given, "number"), &unhex(&given["block"]));
    Ok(json!({"keys": shown(block.map_err(wrong)?.collect())}))
}

/// The keys that a vector gives, each under its epoch.
fn keys(given: &Value) -> SafeKeys {
    let (organisation, safe): (OrganisationId, SafeId) =
        (parsed(given, "organisation"), parsed(given, "safe"));
    let mut keys = SafeKeys::new(organisation.clone(), safe);
    for (epoch, key) in given["keys"].as_object().unwrap() {
        let (epoch, key) = (epoch.parse().unwrap(), secret(key));
        let check = EpochKey::new(&organisation, &safe, epoch, &key).check();
        keys.insert(epoch, key, &check).unwrap();
    }
    keys
}

fn record(given: &Value) -> Judgement {
    let payload: Payload = codec::decode(&unhex(&given["payload"]), RECORD_MAX_BYTES).unwrap();
    open_record(&keys(given), &payload).map(|inside| json!({"inside": hex(&codec::encode(&inside))})).map_err(
        |error| match error {
            Unopened::NoKey => json!("NoKey"),
            Unopened::TooNew(_) => json!("TooNew"),
            Unopened::Void(VoidInside::Sealed) => json!("Sealed"),
            Unopened::Void(VoidInside::Padding) => json!("Padding"),
            Unopened::Void(VoidInside::Unreadable) => json!("Unreadable"),
        },
    )
}

fn reference(given: &Value) -> Reference {
    let blake3: ObjectHash = parsed(given, "blake3");
    Reference { object: parsed::<ObjectId>(given, "object"), epoch: number(given, "epoch"), blake3 }
}

fn refused(error: ObjectError) -> Value {
    match error {
        ObjectError::NoKey => json!("NoKey"),
        ObjectError::Hash => json!("Hash"),
        ObjectError::Sealed => json!("Sealed"),
    }
}

fn object(given: &Value) -> Judgement {
    let kind = match given["kind"].as_str().unwrap() {
        "chunk" => ObjectKind::Chunk,
        "page" => ObjectKind::Page,
        "snapshot" => ObjectKind::Snapshot,
        other => panic!("unknown kind {other}"),
    };
    let mut buffer = unhex(&given["sealed"]);
    open(&keys(given), &reference(given), kind, &mut buffer).map_err(refused)?;
    Ok(json!({"plaintext": hex(&buffer)}))
}

fn snapshot(given: &Value) -> Judgement {
    let opened = snapshot::open(
        &unhex(&given["state"]),
        parsed(given, "root"),
        parsed(given, "safe"),
        number(given, "seq"),
    );
    let state = opened.map_err(|bad| match bad {
        BadSnapshot::Root => json!("Root"),
        BadSnapshot::State(_) => json!("State"),
        BadSnapshot::OtherPlace => json!("OtherPlace"),
    })?;
    Ok(json!({"records": state.seq(), "entries": state.count(), "objects": state.objects().count()}))
}

fn padding(given: &Value) -> Judgement {
    let (size, which) = (number(given, "size"), number(given, "chunk"));
    if which >= chunks(size) {
        return Err(json!("NoChunk"));
    }
    Ok(
        json!({"chunks": chunks(size), "length": chunk_length(size, which), "padded": padded_length(size, which)}),
    )
}

fn piece(given: &Value) -> Judgement {
    let (keys, reference, mut buffer) = (keys(given), reference(given), unhex(&given["sealed"]));
    let (size, which) = (number(given, "size"), number(given, "number"));
    let shape = |error| match error {
        PieceError::Object(error) => refused(error),
        PieceError::Shape => json!("Shape"),
    };
    if given["kind"] == "page" {
        let found = open_page(&keys, size, which, &reference, &mut buffer).map_err(shape)?;
        return Ok(json!({"references": hex(&codec::encode(&found))}));
    }
    open_chunk(&keys, size, which, &reference, &mut buffer).map_err(shape)?;
    Ok(json!({"bytes": hex(&buffer)}))
}

/// A whole safe: everything before the last item stands.
fn log(given: &Value, bytes: impl Fn(&Value) -> Vec<u8>) -> Judgement {
    let organisation: OrganisationId = parsed(given, "organisation");
    let root = VerifyKey::from_bytes(unhex(&given["root"]).as_slice().try_into().unwrap());
    let mut members = VerifiedLog::empty(organisation.clone(), root);
    for envelope in given["envelopes"].as_array().unwrap() {
        members.push(&bytes(envelope)).unwrap();
    }
    let mut safe = VerifiedSafe::empty(organisation, parsed(given, "safe"));
    let items = given["items"].as_array().unwrap();
    for (number, item) in items.iter().enumerate() {
        let bytes = bytes(&item[1]);
        let taken = match item[0].as_u64().unwrap() {
            0 => safe.push_certificate(&bytes, &members).map(drop),
            _ => safe.push_record(&bytes, &members).map(drop),
        };
        if let Err(why) = taken {
            let NotTaken::Fault(fault) = why else { panic!("{why}") };
            assert_eq!(number + 1, items.len(), "the fault is in the last item");
            return Err(json!(format!("{fault:?}")));
        }
    }
    let now = safe.present().unwrap();
    Ok(json!({
        "items": items.len(), "log": now.log.hash, "journal": now.journal.hash,
        "due": safe.is_due(&members, members.count()),
    }))
}
