//! Makes the vectors, from counters: the same bytes each time. Each has one fault, or none.

use chacha20poly1305::aead::{Aead as _, Payload as Text};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use minicbor::bytes::ByteArray;
use parsec_protocol::chain::head::Head;
use parsec_protocol::codec;
use parsec_protocol::ids::{DeviceId, EntryId, ObjectId, OperationId, SafeId, Timestamp, UserId};
use parsec_protocol::keys::{DeviceSigningKey, SafeKey, UserSeed};
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::safe_log::record::{Envelope, Payload};
use parsec_protocol::safe_log::ring::{Recipient, RingHead, RingPart};
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safes::boxes::make_box;
use parsec_protocol::safes::change::{Change, Inside, Kind, RULES_VERSION};
use parsec_protocol::safes::content::padme;
use parsec_protocol::safes::content_ref::{CHUNK_BYTES, Content, Reference, References};
use parsec_protocol::safes::entry::{Entry, Rare};
use parsec_protocol::safes::fold::{Outer, fold};
use parsec_protocol::safes::keys::{EpochKey, SafeKeys};
use parsec_protocol::safes::name::EntryName;
use parsec_protocol::safes::object::{ObjectKind, seal};
use parsec_protocol::safes::ring_making::{Before, MadeRing, SealTo, make_ring};
use parsec_protocol::safes::seal::seal_record;
use parsec_protocol::safes::snapshot::root_of;
use parsec_protocol::safes::state::State;
use parsec_protocol::safes::tree::Tree as _;
use parsec_protocol::sealing::{Randomness, seal as seal_to};
use serde_json::{Value, json};

use crate::check::hex;
use crate::support::{Seed, organisation};

const SAFE: SafeId = SafeId::from_bytes([0x31; 16]);
const USER: UserId = UserId::from_bytes([0x32; 16]);
const DEVICE: DeviceId = DeviceId::from_bytes([0x33; 16]);
const SEED: [u8; 32] = [0x34; 32];

/// The vectors of one construct.
struct Set(Vec<Value>);

impl Set {
    fn put(&mut self, about: &str, given: &Value, verdict: Result<Value, &str>) {
        let (gives, refuse) = match verdict {
            Ok(gives) => (gives, Value::Null),
            Err(refuse) => (Value::Null, json!(refuse)),
        };
        self.0.push(json!({"about": about, "given": given, "gives": gives, "refuse": refuse}));
    }
}

/// All of them, by the construct.
pub(crate) fn all() -> Vec<(&'static str, Value)> {
    let make = |construct, fill: fn(&mut Set)| {
        let mut set = Set(Vec::new());
        fill(&mut set);
        (construct, json!({"construct": construct, "vectors": set.0}))
    };
    vec![
        make("key", keys),
        make("box", boxes),
        make("ring", rings),
        make("past", pasts),
        make("record", records),
        make("object", objects),
        make("padding", paddings),
        make("piece", pieces),
        make("snapshot", snapshots),
    ]
}

fn with(given: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut given = given.clone();
    assert!(given.get(name).is_some(), "{name}");
    given[name] = value.into();
    given
}

fn key(epoch: u64) -> SafeKey {
    SafeKey::from_bytes(&mut [0x40 + u8::try_from(epoch % 16).unwrap(); 32])
}

fn check(epoch: u64) -> Hash {
    EpochKey::new(&organisation(), &SAFE, epoch, &key(epoch)).check()
}

fn keys_of(epochs: impl IntoIterator<Item = u64>) -> SafeKeys {
    let mut keys = SafeKeys::new(organisation(), SAFE);
    epochs.into_iter().for_each(|epoch| keys.insert(epoch, key(epoch), &check(epoch)).unwrap());
    keys
}

fn place(epoch: u64) -> Value {
    json!({"organisation": organisation(), "safe": SAFE, "epoch": epoch})
}

fn joined(mut one: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!() };
    one.as_object_mut().unwrap().extend(more);
    one
}

fn keys(set: &mut Set) {
    for epoch in [0, 1, 300] {
        let own = key(epoch);
        let at = organisation();
        let at = EpochKey::new(&at, &SAFE, epoch, &own);
        let given = joined(place(epoch), json!({"key": hex(own.expose()), "key check": at.check()}));
        let gives = json!({
            "record": hex(at.record_key().expose()),
            "object": hex(at.objects_key().expose()),
            "past": hex(at.past_key().expose()),
            "digest": at.digest_key().map(|key| hex(key.expose())),
        });
        set.put(&format!("the key of epoch {epoch} and what is derived from it"), &given, Ok(gives));
        if epoch == 1 {
            set.put("another key", &with(&given, "key", hex(key(2).expose())), Err("WrongKey"));
            set.put("another epoch", &with(&given, "epoch", 2), Err("WrongKey"));
            set.put("another safe", &with(&given, "safe", "32".repeat(16)), Err("WrongKey"));
            set.put("another organisation", &with(&given, "organisation", "other"), Err("WrongKey"));
        }
    }
}

fn boxes(set: &mut Set) {
    let (organisation, seed) = (organisation(), UserSeed::from_bytes(&mut SEED.clone()));
    let (own, to) = (key(1), seed.encryption_key());
    let at = EpochKey::new(&organisation, &SAFE, 1, &own);
    let sealed = make_box(&at, USER, &to);
    let given = |sealed: &[u8]| {
        joined(place(1), json!({"user": USER, "seed": hex(&SEED), "key check": check(1), "box": hex(sealed)}))
    };
    let opens = |right: bool| Ok(json!({"key": hex(own.expose()), "right": right}));
    set.put("the one box of this key for this member", &given(&sealed), opens(true));
    let info = codec::encode(&("parsec-box-v1", &organisation, SAFE, 1_u64, USER, to.hash()));
    let drawn = Randomness::from_slice(&[0x35; 64]).unwrap();
    let other = seal_to(&to, &info, &[], own.expose(), drawn).unwrap();
    set.put("of other randomness: it opens, and is not the box", &given(&other), opens(false));
    let other_key = key(2);
    let lied = make_box(&EpochKey::new(&organisation, &SAFE, 1, &other_key), USER, &to);
    set.put("another key in a box that opens", &given(&lied), Err("WrongBox"));
    let whole = given(&sealed);
    set.put("of another epoch", &with(&whole, "epoch", 2), Err("WrongBox"));
    set.put("of another safe", &with(&whole, "safe", "32".repeat(16)), Err("WrongBox"));
    set.put("for another member", &with(&whole, "user", "31".repeat(16)), Err("WrongBox"));
    set.put("for another key", &with(&whole, "seed", "35".repeat(32)), Err("WrongBox"));
    let mut bad = sealed.clone();
    bad[1_130] ^= 1;
    set.put("one bit changed", &given(&bad), Err("WrongBox"));
    set.put("one byte cut off", &given(&sealed[..sealed.len() - 1]), Err("WrongBox"));
}

fn ring(epoch: u64, before: &SafeKeys) -> MadeRing {
    let (organisation, own) = (organisation(), key(epoch));
    let to = UserSeed::from_bytes(&mut SEED.clone()).encryption_key();
    let list = [SealTo { recipient: Recipient { user: USER, key: to.hash() }, key: Some(&to) }];
    let key = EpochKey::new(&organisation, &SAFE, epoch, &own);
    make_ring(&key, DEVICE, &list, Before { keys: before, past: None }, &mut Seed(epoch)).unwrap()
}

fn xchacha(key: &[u8; 32], nonce: [u8; 24], aad: &[u8], msg: &[u8]) -> Vec<u8> {
    XChaCha20Poly1305::new(<&Key>::from(key)).encrypt(&XNonce::from(nonce), Text { msg, aad }).unwrap()
}

/// The heads of two rings, whole and with one fault each; what a certificate names fits what is
/// shown, but for the fault.
fn rings(set: &mut Set) {
    let made = ring(1, &keys_of([0]));
    let (head, part) = (RingHead::decode(&made.head).unwrap(), made.parts[0].1.clone());
    let given = |head: &[u8], named: &RingHead, parts: &[&[u8]]| {
        joined(
            place(named.epoch),
            json!({
                "author": DEVICE, "ring hash": Hash::of(&[head]), "list hash": named.list.hash(), "head": hex(head),
                "parts": parts.iter().map(|part| hex(part)).collect::<Vec<_>>(),
            }),
        )
    };
    let gives = |head: &RingHead| {
        let list: Vec<_> = head.list.0.iter().map(|one| json!([one.user, one.key])).collect();
        Ok(json!({"list": list, "parts": head.parts.len(), "past": head.past.is_some()}))
    };
    let whole = given(&made.head, &head, &[&part]);
    set.put("a ring of a second key, with its one part", &whole, gives(&head));
    let first = ring(0, &keys_of([]));
    let first_head = RingHead::decode(&first.head).unwrap();
    let of_first = given(&first.head, &first_head, &[&first.parts[0].1]);
    set.put("a ring of the first key, which has no past", &of_first, gives(&first_head));
    let other = || Value::from(Hash::of(&[b"another"]).to_string());
    set.put("another head than the certificate names", &with(&whole, "ring hash", other()), Err("OtherHead"));
    set.put("of another safe", &with(&whole, "safe", "32".repeat(16)), Err("OtherOrigin"));
    set.put("of another organisation", &with(&whole, "organisation", "other"), Err("OtherOrigin"));
    set.put("of another epoch", &with(&whole, "epoch", 2), Err("OtherOrigin"));
    set.put("of another author", &with(&whole, "author", "34".repeat(16)), Err("OtherOrigin"));
    set.put("another list than the certificate names", &with(&whole, "list hash", other()), Err("OtherList"));
    let bent = |bend: fn(&mut RingHead)| {
        let mut bad = head.clone();
        bend(&mut bad);
        given(&bad.encode(), &bad, &[&part])
    };
    set.put("a second key without a past", &bent(|it| it.past = None), Err("Past"));
    let mut early = first_head.clone();
    early.past = Some(vec![1; 60].into());
    set.put("a first key with a past", &given(&early.encode(), &early, &[&first.parts[0].1]), Err("Past"));
    set.put("a part too few", &bent(|it| it.parts.clear()), Err("Parts"));
    set.put("a part too many", &bent(|it| it.parts.push(Hash::of(&[b"another"]))), Err("Parts"));
    set.put(
        "another part than the head names",
        &bent(|it| it.parts[0] = Hash::of(&[b"another"])),
        Err("OtherPart"),
    );
    let with_part = |part: &RingPart| {
        let mut bad = head.clone();
        bad.parts = vec![part.hash()];
        given(&bad.encode(), &bad, &[&part.encode()])
    };
    let boxes = RingPart::decode(&part).unwrap().0;
    let none = RingPart(vec![None]);
    let mut left_out = head.clone();
    left_out.parts = vec![none.hash()];
    set.put("a box that is null: its author knew no sound key", &with_part(&none), gives(&left_out));
    set.put("a box too few", &with_part(&RingPart(Vec::new())), Err("PartLength"));
    let twice = RingPart([boxes.clone(), boxes.clone()].concat());
    set.put("a box too many", &with_part(&twice), Err("PartLength"));
    let short = RingPart(vec![Some(boxes[0].as_ref().unwrap()[1..].to_vec().into())]);
    set.put("a box of another length", &with_part(&short), Err("BoxLength"));
    let trailing = [made.head.as_slice(), &[0]].concat();
    set.put("a byte behind the head", &given(&trailing, &head, &[&part]), Err("Malformed"));
    let cut = &made.head[..made.head.len() - 1];
    set.put("a head that is cut off", &given(cut, &head, &[&part]), Err("Malformed"));
}

/// Something sealed as a past of epoch 3.
fn past_of(plaintext: &[u8]) -> Vec<u8> {
    let (organisation, own) = (organisation(), key(3));
    let at = EpochKey::new(&organisation, &SAFE, 3, &own);
    let ad = [&b"parsec-past-v1\0"[..], &codec::encode(&(&organisation, SAFE, 3_u64))].concat();
    [&[0x36; 24][..], &xchacha(at.past_key().expose(), [0x36; 24], &ad, plaintext)].concat()
}

fn pasts(set: &mut Set) {
    let sealed = |made: &MadeRing| RingHead::decode(&made.head).unwrap().past.unwrap().to_vec();
    let given = |epoch: u64, past: &[u8]| {
        joined(
            place(epoch),
            json!({"key": hex(key(epoch).expose()), "past": hex(past), "number": 0, "block": null}),
        )
    };
    let shown = |epochs: &[u64]| -> Value {
        let all = epochs.iter().map(|epoch| (epoch.to_string(), json!(hex(key(*epoch).expose()))));
        Value::Object(all.collect())
    };
    let past = sealed(&ring(3, &keys_of([0, 2])));
    let whole = given(3, &past);
    set.put(
        "three earlier keys, one of which its author hadn't",
        &whole,
        Ok(json!({"blocks": [], "keys": shown(&[0, 2])})),
    );
    set.put("another key", &with(&whole, "key", hex(key(2).expose())), Err("WrongPast"));
    set.put("another epoch", &with(&whole, "epoch", 4), Err("WrongPast"));
    set.put("another safe", &with(&whole, "safe", "32".repeat(16)), Err("WrongPast"));
    let mut bad = past.clone();
    bad[30] ^= 1;
    set.put("one bit changed", &given(3, &bad), Err("WrongPast"));
    let one = ByteArray::from([0x37; 32]);
    let made = |blocks: usize, keys: usize| {
        let blocks = vec![(one, one); blocks];
        past_of(&codec::encode(&(blocks, vec![Some(one); keys])))
    };
    set.put("one key too few", &given(3, &made(0, 2)), Err("WrongPast"));
    set.put("one key too many", &given(3, &made(0, 4)), Err("WrongPast"));
    set.put("a block where there can be none", &given(3, &made(1, 3)), Err("WrongPast"));
    set.put("no list", &given(3, &past_of(b"\x80")), Err("WrongPast"));
    let made = ring(257, &keys_of((0..257).filter(|epoch| *epoch > 252 || *epoch == 7)));
    let past = sealed(&made);
    let (hash, block) = &made.blocks[0];
    let large = given(257, &past);
    set.put(
        "a block of 256 keys, and one behind it",
        &large,
        Ok(json!({"blocks": [hash], "keys": shown(&[256])})),
    );
    let opened = with(&large, "block", hex(block));
    set.put("the block itself", &opened, Ok(json!({"keys": shown(&[7, 253, 254, 255])})));
    let mut bad = block.clone();
    bad[100] ^= 1;
    set.put("the block with one bit changed", &with(&opened, "block", hex(&bad)), Err("WrongPast"));
    set.put("a block that there isn't", &with(&opened, "number", 1), Err("WrongPast"));
}

fn payload() -> Payload {
    let head = |count, byte| Head { count, hash: Hash::from_bytes([byte; 32]) };
    Payload {
        organisation: organisation(),
        safe: SAFE,
        seq: 5,
        previous: Hash::from_bytes([0x51; 32]),
        epoch: 1,
        seen: head(7, 0x52),
        log: head(3, 0x53),
        author: DEVICE,
        time: Timestamp(1_700_000_000_000_000),
        adds: vec![ObjectId::from_bytes([0x54; 16])],
        drops: Vec::new(),
        keeps: Vec::new(),
        nonce: [0; 24].into(),
        ciphertext: Vec::new().into(),
    }
}

fn records(set: &mut Set) {
    let author = DeviceSigningKey::from_bytes(&mut [0x55; 32]);
    let keys = keys_of([1]);
    let sealed = |inside: &Inside| {
        let made = seal_record(&keys.at(1).unwrap(), payload(), inside, &author, &mut Seed(1)).unwrap();
        Envelope::decode(&made).unwrap().payload().unwrap()
    };
    let given = |payload: &Payload| {
        json!({
            "organisation": organisation(), "safe": SAFE, "payload": hex(&codec::encode(payload)),
            "keys": {"1": hex(key(1).expose()), "2": hex(key(2).expose())},
        })
    };
    let root = Hash::from_bytes([0x56; 32]);
    let named =
        Change::SafeName { operation: OperationId::from_bytes([0x57; 16]), name: "Books".parse().unwrap() };
    let inside = Inside { rules: RULES_VERSION, root, changes: vec![named] };
    let opens = |inside: &Inside| Ok(json!({"inside": hex(&codec::encode(inside))}));
    let whole = sealed(&inside);
    set.put("a name for the safe", &given(&whole), opens(&inside));
    let empty = Inside { rules: RULES_VERSION, root, changes: Vec::new() };
    set.put("no changes", &given(&sealed(&empty)), opens(&empty));
    let whole_state = Inside { rules: RULES_VERSION, root, changes: vec![snapshot_change(root)] };
    set.put("a snapshot", &given(&sealed(&whole_state)), opens(&whole_state));
    let bent = |bend: fn(&mut Payload)| {
        let mut payload = whole.clone();
        bend(&mut payload);
        given(&payload)
    };
    set.put("another number", &bent(|it| it.seq += 1), Err("Sealed"));
    set.put("another record before", &bent(|it| it.previous = Hash::from_bytes([0; 32])), Err("Sealed"));
    set.put("another epoch, whose key is here", &bent(|it| it.epoch = 2), Err("Sealed"));
    set.put("an epoch whose key isn't here", &bent(|it| it.epoch = 3), Err("NoKey"));
    set.put("another view of the organisation's log", &bent(|it| it.seen.count += 1), Err("Sealed"));
    set.put("another end of the safe log", &bent(|it| it.log.count += 1), Err("Sealed"));
    set.put("another author", &bent(|it| it.author = DeviceId::from_bytes([0; 16])), Err("Sealed"));
    set.put("another time", &bent(|it| it.time = Timestamp(0)), Err("Sealed"));
    set.put("an object less", &bent(|it| it.adds.clear()), Err("Sealed"));
    set.put("an object dropped", &bent(|it| it.drops = it.adds.clone()), Err("Sealed"));
    set.put("an object kept", &bent(|it| it.keeps = it.adds.clone()), Err("Sealed"));
    set.put("one bit of the nonce changed", &bent(|it| it.nonce[3] ^= 1), Err("Sealed"));
    set.put("one bit changed", &bent(|it| it.ciphertext[3] ^= 1), Err("Sealed"));
    let by_hand = |plaintext: &[u8]| {
        let mut payload = payload();
        let key = keys.at(1).unwrap().record_key();
        let sealed = xchacha(key.expose(), [0; 24], &payload.associated_data(), plaintext);
        payload.ciphertext = sealed.into();
        given(&payload)
    };
    let padded = |inside: &[u8]| {
        let mut text = u32::try_from(inside.len()).unwrap().to_be_bytes().to_vec();
        text.extend_from_slice(inside);
        text.resize(usize::try_from(padme(text.len() as u64)).unwrap(), 0);
        text
    };
    let good = padded(&codec::encode(&inside));
    set.put("sealed by hand", &by_hand(&good), opens(&inside));
    let mut bad = good.clone();
    *bad.last_mut().unwrap() = 1;
    set.put("a padding that isn't zeros", &by_hand(&bad), Err("Padding"));
    set.put("a padding one byte shorter", &by_hand(&good[..good.len() - 1]), Err("Padding"));
    set.put("a length beyond the end", &by_hand(&[0xff; 8]), Err("Padding"));
    set.put("nothing at all", &by_hand(b""), Err("Padding"));
    set.put("no record inside", &by_hand(&padded(b"\x83\x01\x02\x03")), Err("Unreadable"));
    set.put("rules of a later version", &by_hand(&padded(b"\x84\x02\x03\x04\x05")), Err("TooNew"));
    let later = Inside { rules: 2, ..inside };
    set.put("the same of one that looks alike", &by_hand(&padded(&codec::encode(&later))), Err("TooNew"));
}

fn sealed_object(kind: ObjectKind, plaintext: &[u8]) -> (Reference, Vec<u8>) {
    let (keys, mut buffer) = (keys_of([1]), plaintext.to_vec());
    let reference = seal(&keys.at(1).unwrap(), kind, &mut buffer, &mut Seed(plaintext.len() as u64)).unwrap();
    (reference, buffer)
}

fn object_given(kind: &str, reference: &Reference, sealed: &[u8]) -> Value {
    json!({
        "organisation": organisation(), "safe": SAFE, "kind": kind,
        "keys": {"1": hex(key(1).expose()), "2": hex(key(2).expose())},
        "object": reference.object, "epoch": reference.epoch, "blake3": reference.blake3, "sealed": hex(sealed),
    })
}

fn objects(set: &mut Set) {
    let long: Vec<u8> = (0..3_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    for (about, plaintext) in
        [("nothing", &b""[..]), ("some bytes", b"forty-two"), ("three of BLAKE3's chunks", &long)]
    {
        let (reference, sealed) = sealed_object(ObjectKind::Chunk, plaintext);
        let opens = Ok(json!({"plaintext": hex(plaintext)}));
        set.put(about, &object_given("chunk", &reference, &sealed), opens);
    }
    let (reference, sealed) = sealed_object(ObjectKind::Page, b"\x81\xf6");
    set.put("a page", &object_given("page", &reference, &sealed), Ok(json!({"plaintext": "81f6"})));
    let (reference, sealed) = sealed_object(ObjectKind::Snapshot, b"a state");
    let opens = Ok(json!({"plaintext": hex(b"a state")}));
    set.put("a chunk of a snapshot", &object_given("snapshot", &reference, &sealed), opens);
    let (reference, sealed) = sealed_object(ObjectKind::Chunk, b"one object of a safe");
    let whole = object_given("chunk", &reference, &sealed);
    let renamed = |bytes: &[u8]| Reference { blake3: ObjectHash::of(bytes), ..reference };
    let mut bad = sealed.clone();
    bad[7] ^= 1;
    set.put("one bit changed", &object_given("chunk", &reference, &bad), Err("Hash"));
    let (_, another) = sealed_object(ObjectKind::Chunk, b"another object of it");
    set.put("another object", &object_given("chunk", &reference, &another), Err("Hash"));
    set.put(
        "one bit changed, and the hash with it",
        &object_given("chunk", &renamed(&bad), &bad),
        Err("Sealed"),
    );
    let cut = &sealed[..sealed.len() - 1];
    set.put(
        "one byte cut off, and the hash changed",
        &object_given("chunk", &renamed(cut), cut),
        Err("Sealed"),
    );
    set.put("shorter than a tag", &object_given("chunk", &renamed(b"short"), b"short"), Err("Sealed"));
    set.put("another id", &with(&whole, "object", "00".repeat(16)), Err("Sealed"));
    set.put("another kind", &with(&whole, "kind", "page"), Err("Sealed"));
    set.put("a file's chunk in a snapshot", &with(&whole, "kind", "snapshot"), Err("Sealed"));
    set.put("another safe", &with(&whole, "safe", "32".repeat(16)), Err("Sealed"));
    set.put("another organisation", &with(&whole, "organisation", "other"), Err("Sealed"));
    set.put("another epoch, whose key is here", &with(&whole, "epoch", 2), Err("Sealed"));
    set.put("an epoch whose key isn't here", &with(&whole, "epoch", 3), Err("NoKey"));
}

/// The first record's change of this safe: a name, a file with an object, an earlier content.
fn state() -> State {
    let mut state = State::new(SAFE);
    let (object, file) = (ObjectId::from_bytes([0x71; 16]), EntryId::from_bytes([0x72; 16]));
    let reference = Reference { object, epoch: 1, blake3: ObjectHash::from_bytes([0x73; 32]) };
    let content =
        |size| Content { size, digest: None, references: References::Direct(vec![Some(reference)].into()) };
    let operation = |number| OperationId::from_bytes([number; 16]);
    let changes = vec![
        Change::SafeName { operation: operation(0x74), name: "Books".parse().unwrap() },
        Change::Add {
            operation: None,
            entry: file,
            parent: EntryId::from_bytes(*SAFE.as_bytes()),
            name: EntryName::new(b"list").unwrap(),
            kind: Kind::File(content(4)),
            mtime: 5,
            executable: true,
            conflict_of: None,
        },
        Change::Content {
            operation: operation(0x75),
            entry: file,
            base: OperationId::from_bytes(*file.as_bytes()),
            content: content(6),
            mtime: 7,
        },
    ];
    let adds = [object];
    let outer = Outer {
        seq: 1,
        epoch: 1,
        user: USER,
        device: DEVICE,
        role: Role::Owner,
        time: Timestamp(1_700_000_000_000_000),
        adds: &adds,
        drops: &[],
        keeps: &[],
    };
    let inside = Inside { rules: RULES_VERSION, root: state.state_root(), changes };
    fold(&mut state, &inside, &outer).unwrap();
    state
}

fn snapshot_change(root: Hash) -> Change {
    let reference = Reference {
        object: ObjectId::from_bytes([0x76; 16]),
        epoch: 1,
        blake3: ObjectHash::from_bytes([0x77; 32]),
    };
    let content =
        Content { size: 300, digest: None, references: References::Direct(vec![Some(reference)].into()) };
    Change::Snapshot { operation: OperationId::from_bytes([0x78; 16]), content, root }
}

fn snapshots(set: &mut Set) {
    let given = |bytes: &[u8]| {
        let root = Hash::of(&[b"parsec-snapshot-v1\0", bytes]);
        json!({"safe": SAFE, "seq": 2, "state": hex(bytes), "root": root})
    };
    let state = state();
    let bytes = codec::encode(&state);
    let whole = given(&bytes);
    assert_eq!(whole["root"], json!(root_of(&state)));
    set.put("a name and a file", &whole, Ok(json!({"records": 1, "entries": 1, "objects": 1})));
    let empty = with(&given(&codec::encode(&State::new(SAFE))), "seq", 1);
    set.put("nothing yet", &empty, Ok(json!({"records": 0, "entries": 0, "objects": 0})));
    let mut bad = bytes.clone();
    *bad.last_mut().unwrap() ^= 1;
    set.put("one bit changed", &with(&whole, "state", hex(&bad)), Err("Root"));
    set.put("another root", &with(&whole, "root", "00".repeat(32)), Err("Root"));
    set.put("another record", &with(&whole, "seq", 3), Err("OtherPlace"));
    set.put("another safe", &with(&whole, "safe", "32".repeat(16)), Err("OtherPlace"));
    set.put("a byte behind it", &given(&[&bytes[..], &[0]].concat()), Err("State"));
    set.put("no state", &given(b"\x81\x01"), Err("State"));
    let of = |entries: &[Entry]| {
        let mut e = minicbor::Encoder::new(Vec::new());
        e.array(10).unwrap().encode(SAFE).unwrap().u64(1).unwrap().null().unwrap().u64(90).unwrap();
        for _ in 0..5 {
            e.array(0).unwrap();
        }
        given(e.encode(entries).unwrap().writer())
    };
    let file = state.entry(EntryId::from_bytes([0x72; 16])).unwrap().clone();
    let root = EntryId::from_bytes(*SAFE.as_bytes());
    let id = |number: u8| EntryId::from_bytes([number; 16]);
    let folder = |number: u8, parent: EntryId| Entry {
        id: id(number),
        kind: Kind::Folder,
        parent: Some(parent),
        version: None,
        rare: Rare { versions: Vec::new(), ..Rare::clone(&file.rare) }.into(),
        ..file.clone()
    };
    let deep = |length: u8| {
        let mut parent = root;
        let below = |number| {
            let made = folder(number, parent);
            parent = made.id;
            made
        };
        // None of them has the number of the root.
        (0x80..0x80 + length).map(below).collect::<Vec<_>>()
    };
    let gives = json!({"records": 1, "entries": 100, "objects": 0});
    set.put("a folder at the deepest place", &of(&deep(100)), Ok(gives));
    set.put("one below the deepest place", &of(&deep(101)), Err("State"));
    set.put("a name twice", &of(&[folder(1, root), folder(2, root)]), Err("State"));
    set.put("in another order", &of(&[folder(3, id(2)), folder(2, root)]), Err("State"));
    set.put("a circle", &of(&[folder(1, id(2)), folder(2, id(1))]), Err("State"));
    set.put("in a folder that is none", &of(&[folder(1, id(9))]), Err("State"));
    set.put("the root as an entry", &of(&[folder(0x31, root)]), Err("State"));
}

fn paddings(set: &mut Set) {
    let mut known = |size: u64, chunk: u64, chunks: u64, length: u64, padded: u64| {
        let gives = json!({"chunks": chunks, "length": length, "padded": padded});
        set.put(&format!("chunk {chunk} of {size} bytes"), &json!({"size": size, "chunk": chunk}), Ok(gives));
    };
    for (size, padded) in
        [(1, 1), (2, 2), (7, 7), (9, 10), (17, 18), (100, 104), (4_097, 4_352), (500_000, 507_904)]
    {
        known(size, 0, 1, size, padded);
    }
    known(524_287, 0, 1, 524_287, 524_288);
    known(524_288, 0, 1, 524_288, 524_288);
    known(524_297, 0, 2, 524_288, 524_288);
    known(524_297, 1, 2, 9, 10);
    known(8_388_608, 15, 16, 524_288, 524_288);
    known(8_388_607, 15, 16, 524_287, 524_288);
    known(7_864_329, 15, 16, 9, 10);
    known(8_388_609, 16, 17, 1, 524_288);
    known(1 << 40, (1 << 21) - 1, 1 << 21, 524_288, 524_288);
    set.put("a file of no bytes has no chunk", &json!({"size": 0, "chunk": 0}), Err("NoChunk"));
    set.put("behind the last", &json!({"size": 524_288, "chunk": 1}), Err("NoChunk"));
}

fn pieces(set: &mut Set) {
    let given = |kind: &str, plaintext: &[u8], size: u64, number: u64| {
        let sort = if kind == "page" { ObjectKind::Page } else { ObjectKind::Chunk };
        let (reference, sealed) = sealed_object(sort, plaintext);
        joined(object_given(kind, &reference, &sealed), json!({"size": size, "number": number}))
    };
    let mut text = vec![0x61; 100];
    text.resize(104, 0);
    let opens = Ok(json!({"bytes": "61".repeat(100)}));
    set.put("100 bytes, padded to 104", &given("chunk", &text, 100, 0), opens.clone());
    set.put("the same as the last of two", &given("chunk", &text, CHUNK_BYTES + 100, 1), opens);
    set.put("the same as the first of two", &given("chunk", &text, CHUNK_BYTES + 100, 0), Err("Shape"));
    set.put("of a file with one byte more", &given("chunk", &text, 105, 0), Err("Shape"));
    set.put("a padding one byte shorter", &given("chunk", &text[..103], 100, 0), Err("Shape"));
    set.put("a padding one byte longer", &given("chunk", &[&text[..], &[0]].concat(), 100, 0), Err("Shape"));
    let mut bad = text.clone();
    bad[103] = 1;
    set.put("a padding that isn't zeros", &given("chunk", &bad, 100, 0), Err("Shape"));
    set.put("behind the end", &given("chunk", &text, 100, 1), Err("Shape"));
    let size = 17 * CHUNK_BYTES;
    let reference = Reference {
        object: ObjectId::from_bytes([0x61; 16]),
        epoch: 1,
        blake3: ObjectHash::from_bytes([0x62; 32]),
    };
    let mut all = vec![None; 17];
    all[3] = Some(reference);
    let page = codec::encode(&all);
    let opens = Ok(json!({"references": hex(&page)}));
    set.put("a page of 17, all but one holes", &given("page", &page, size, 0), opens);
    set.put("of a file with a chunk more", &given("page", &page, size + 1, 0), Err("Shape"));
    set.put("a page that there isn't", &given("page", &page, size, 1), Err("Shape"));
    set.put("no references", &given("page", b"\x81\x01", CHUNK_BYTES, 0), Err("Shape"));
}
