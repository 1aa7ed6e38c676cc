//! Keys of safes, their boxes, rings and past, and the inside of records, from outside: what opens,
//! and that nothing else does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use parsec_protocol::chain::head::Head;
use parsec_protocol::codec;
use parsec_protocol::ids::{
    DeviceId, EntryId, ObjectId, OperationId, OrganisationId, SafeId, Timestamp, UserId,
};
use parsec_protocol::keys::{DeviceSigningKey, SafeKey, UserSeed};
use parsec_protocol::limits::RECORD_MAX_BYTES;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::safe_log::certificate::Key;
use parsec_protocol::safe_log::record::{Envelope, Payload};
use parsec_protocol::safe_log::ring::{Expected, Recipient, RingHead, RingPart};
use parsec_protocol::safes::boxes::{BoxOf, WrongBox, is_right, make_box, open_box};
use parsec_protocol::safes::change::{Change, Inside, RULES_VERSION};
use parsec_protocol::safes::content::padme;
use parsec_protocol::safes::keys::{EpochKey, SafeKeys, WrongKey};
use parsec_protocol::safes::past::{self, BLOCK_KEYS, WrongPast};
use parsec_protocol::safes::ring_making::{Before, MadeRing, RingError, SealTo, make_ring};
use parsec_protocol::safes::seal::{SealRecordError, Unopened, VoidInside, open_record, seal_record};
use parsec_protocol::sealing::{EncryptionKey, Randomness, SECRET_BOX_BYTES, seal};
use support::{Seed, organisation};

const SAFE: SafeId = SafeId::from_bytes([1; 16]);
const AUTHOR: DeviceId = DeviceId::from_bytes([9; 16]);

/// The key of an epoch: one of its own for each.
fn key(epoch: u64) -> SafeKey {
    SafeKey::from_bytes(&mut Hash::of(&[b"safe key", &epoch.to_be_bytes()]).as_bytes().to_owned())
}

fn check(organisation: &OrganisationId, safe: &SafeId, epoch: u64) -> Hash {
    EpochKey::new(organisation, safe, epoch, &key(epoch)).check()
}

fn keys(epochs: impl IntoIterator<Item = u64>) -> SafeKeys {
    let mut keys = SafeKeys::new(organisation(), SAFE);
    for epoch in epochs {
        keys.insert(epoch, key(epoch), &check(&organisation(), &SAFE, epoch)).unwrap();
    }
    keys
}

fn user(number: u8) -> UserId {
    UserId::from_bytes([number; 16])
}

fn seed(number: u64) -> UserSeed {
    UserSeed::random(&mut Seed(number << 32)).unwrap()
}

#[test]
fn every_derived_key_has_one_purpose_safe_and_epoch() {
    let other = "other".parse().unwrap();
    let mut seen = BTreeSet::new();
    // The very same key bytes at each place: the place alone must tell them apart.
    let same = key(0);
    for (organisation, safe, epoch) in [
        (&organisation(), SAFE, 0),
        (&organisation(), SAFE, 1),
        (&organisation(), SafeId::from_bytes([2; 16]), 0),
        (&other, SAFE, 0),
    ] {
        let at = EpochKey::new(organisation, &safe, epoch, &same);
        let all = [*at.record_key().expose(), *at.objects_key().expose(), *at.past_key().expose()];
        seen.extend(all);
        seen.insert(*at.check().as_bytes());
        seen.extend(at.digest_key().map(|key| *key.expose()));
        assert_eq!(at.digest_key().is_some(), epoch == 0);
    }
    seen.insert(*same.expose());
    assert_eq!(seen.len(), 4 * 4 + 3 + 1);
}

#[test]
fn a_key_that_fails_its_check_is_not_taken() {
    let mut keys = keys([0]);
    let right = check(&organisation(), &SAFE, 1);
    assert_eq!(keys.insert(1, key(2), &right), Err(WrongKey));
    assert_eq!(keys.insert(2, key(1), &right), Err(WrongKey), "another epoch");
    let elsewhere = check(&"other".parse().unwrap(), &SAFE, 1);
    assert_eq!(keys.insert(1, key(1), &elsewhere), Err(WrongKey));
    let elsewhere = check(&organisation(), &SafeId::from_bytes([2; 16]), 1);
    assert_eq!(keys.insert(1, key(1), &elsewhere), Err(WrongKey));
    assert!(keys.at(1).is_none());
    assert_eq!(keys.newest().unwrap().number(), 0);
    keys.insert(1, key(1), &right).unwrap();
    assert_eq!(keys.newest().unwrap().number(), 1);
    assert!(keys.copied().iter().map(|(epoch, _)| epoch).eq([0, 1]));
}

#[test]
fn nothing_of_a_key_is_printed() {
    let keys = keys([3]);
    let shown = format!("{keys:?} {:?}", keys.at(3).unwrap());
    let bytes = format!("{:?}", key(3).expose());
    assert!(!shown.contains(&bytes[1..20]), "{shown}");
}

fn box_of(number: u8) -> BoxOf<'static> {
    static ORGANISATION: std::sync::LazyLock<OrganisationId> = std::sync::LazyLock::new(organisation);
    BoxOf { organisation: &ORGANISATION, safe: &SAFE, epoch: 2, user: user(number) }
}

#[test]
fn a_box_is_a_function_of_key_and_recipient() {
    let (keys, to) = (keys([2, 3]), seed(1).encryption_key());
    let present = keys.at(2).unwrap();
    let sealed = make_box(&present, user(1), &to);
    assert_eq!(sealed.len(), SECRET_BOX_BYTES);
    assert_eq!(sealed, make_box(&present, user(1), &to));
    assert!(is_right(&present, user(1), &to, &sealed));
    for other in [
        make_box(&present, user(2), &to),
        make_box(&present, user(1), &seed(2).encryption_key()),
        make_box(&keys.at(3).unwrap(), user(1), &to),
    ] {
        assert_ne!(other, sealed);
        assert!(!is_right(&present, user(1), &to, &other));
    }
}

#[test]
fn a_box_opens_for_its_recipient_and_place_alone() {
    let (own, check) = (seed(1), check(&organisation(), &SAFE, 2));
    let sealed = make_box(&keys([2]).at(2).unwrap(), user(1), &own.encryption_key());
    assert!(open_box(&box_of(1), &check, &sealed, &own).unwrap().is_same(&key(2)));
    let other = "other".parse().unwrap();
    let elsewhere = SafeId::from_bytes([2; 16]);
    for (of, opener) in [
        (box_of(1), seed(2)),
        (box_of(2), seed(1)),
        (BoxOf { epoch: 1, ..box_of(1) }, seed(1)),
        (BoxOf { safe: &elsewhere, ..box_of(1) }, seed(1)),
        (BoxOf { organisation: &other, ..box_of(1) }, seed(1)),
    ] {
        assert_eq!(open_box(&of, &check, &sealed, &opener).unwrap_err(), WrongBox, "{of:?}");
    }
    for at in 0..sealed.len() {
        let mut bad = sealed.clone();
        bad[at] ^= 1;
        assert!(open_box(&box_of(1), &check, &bad, &own).is_err(), "byte {at}");
    }
}

/// Whoever makes a ring can seal another key to somebody: what the log fixes decides.
#[test]
fn another_key_in_a_right_box_is_not_taken() {
    let own = seed(1);
    let check = check(&organisation(), &SAFE, 2);
    let wrong = key(7);
    let sealed = make_box(&EpochKey::new(&organisation(), &SAFE, 2, &wrong), user(1), &own.encryption_key());
    assert_eq!(open_box(&box_of(1), &check, &sealed, &own).unwrap_err(), WrongBox);
}

/// A right key in a box that was not made as it should be: it serves, and everybody can tell.
#[test]
fn a_box_of_other_randomness_opens_and_is_found() {
    let (own, keys) = (seed(1), keys([2]));
    let check = check(&organisation(), &SAFE, 2);
    let named = own.encryption_key().hash();
    let info = codec::encode(&("parsec-box-v1", organisation(), SAFE, 2_u64, user(1), named));
    let drawn = Randomness::random(&mut Seed(5)).unwrap();
    let sealed = seal(&own.encryption_key(), &info, &[], key(2).expose(), drawn).unwrap();
    assert!(open_box(&box_of(1), &check, &sealed, &own).unwrap().is_same(&key(2)));
    assert!(!is_right(&keys.at(2).unwrap(), user(1), &own.encryption_key(), &sealed));
}

/// Members in the order of their ids, each with a seed of their own.
fn members(count: u16) -> Vec<(UserId, EncryptionKey)> {
    // One key serves many here: it is their ids that matter, and a key takes a while.
    let keys: Vec<EncryptionKey> = (0..3).map(|number| seed(number).encryption_key()).collect();
    (0..count)
        .map(|number| {
            let mut id = [0; 16];
            id[..2].copy_from_slice(&number.to_be_bytes());
            (UserId::from_bytes(id), keys[usize::from(number) % 3].clone())
        })
        .collect()
}

fn list(members: &[(UserId, EncryptionKey)]) -> Vec<SealTo<'_>> {
    members
        .iter()
        .map(|(user, key)| SealTo { recipient: Recipient { user: *user, key: key.hash() }, key: Some(key) })
        .collect()
}

fn ring(epoch: u64, to: &[SealTo<'_>], before: Before<'_>) -> Result<MadeRing, RingError> {
    let (organisation, own) = (organisation(), key(epoch));
    let key = EpochKey::new(&organisation, &SAFE, epoch, &own);
    make_ring(&key, AUTHOR, to, before, &mut Seed(epoch))
}

fn head_of(made: &MadeRing, epoch: u64) -> RingHead {
    let head = RingHead::decode(&made.head).unwrap();
    let certified = Key { epoch, key_check: made.key_check, list: made.list, ring: made.ring, lost: 0 };
    let expected = Expected { organisation: &organisation(), safe: &SAFE, author: &AUTHOR, key: &certified };
    head.fits(&expected).unwrap();
    head
}

#[test]
fn a_ring_gives_everybody_in_it_the_key_and_all_before() {
    let (members, none) = (members(257), keys([]));
    let mut to = list(&members);
    // Somebody whose certified key is unsound gets none, and keeps their place.
    to[5].key = None;
    let before = keys(0..4);
    let made = ring(4, &to, Before { keys: &before, past: None }).unwrap();
    let head = head_of(&made, 4);
    assert_eq!((head.parts.len(), made.parts.len(), made.blocks.len()), (2, 2, 0));
    for (number, (hash, bytes)) in made.parts.iter().enumerate() {
        let part = RingPart::decode(bytes).unwrap();
        assert_eq!((part.hash(), &head.parts[number]), (*hash, hash));
        head.part_fits(number, &part).unwrap();
    }
    for at in [0, 1, 2, 5, 255, 256] {
        let (part, place) = head.list.place_of(&members[at].0).unwrap();
        let part = RingPart::decode(&made.parts[part].1).unwrap();
        let Some(sealed) = &part.0[place] else {
            assert_eq!(at, 5);
            continue;
        };
        let of = BoxOf { organisation: &organisation(), safe: &SAFE, epoch: 4, user: members[at].0 };
        let opened = open_box(&of, &made.key_check, sealed, &seed(at as u64 % 3)).unwrap();
        assert!(opened.is_same(&key(4)));
        let present = EpochKey::new(of.organisation, of.safe, 4, &opened);
        let past = past::open(&present, head.past.as_ref().unwrap()).unwrap();
        let mut found = keys([]);
        for (epoch, old) in past.into_keys() {
            found.insert(epoch, old, &check(&organisation(), &SAFE, epoch)).unwrap();
        }
        assert!(found.iter().map(|(epoch, _)| epoch).eq(0..4));
    }
    let first = ring(0, &to, Before { keys: &none, past: None }).unwrap();
    assert!(head_of(&first, 0).past.is_none());
}

#[test]
fn a_ring_that_every_reader_would_refuse_is_not_made() {
    let members = members(3);
    let before = keys(0..1);
    let made = |to: &[SealTo<'_>]| ring(1, to, Before { keys: &before, past: None }).map(|_| ()).unwrap_err();
    assert_eq!(made(&[]), RingError::List);
    let mut to = list(&members);
    to.swap(0, 1);
    assert_eq!(made(&to), RingError::List, "order");
    let mut to = list(&members);
    to[1] = to[0];
    assert_eq!(made(&to), RingError::List, "twice");
    let mut to = list(&members);
    to[0].key = to[1].key;
    assert_eq!(made(&to), RingError::OtherKey);
    let to = list(&members);
    let late = ring(50_000, &to, Before { keys: &before, past: None });
    assert_eq!(late.map(|_| ()).unwrap_err(), RingError::Epoch);
}

#[test]
fn whole_blocks_of_old_keys_are_named_again_and_broken_ones_made_anew() {
    let members = members(1);
    let to = list(&members);
    // The first 256 keys make a block, but for one that this author never had.
    let holey = keys((0..260).filter(|epoch| *epoch != 100));
    let made = ring(260, &to, Before { keys: &holey, past: None }).unwrap();
    assert_eq!(made.blocks.len(), 1);
    let (organisation, own) = (organisation(), key(260));
    let present = EpochKey::new(&organisation, &SAFE, 260, &own);
    let sealed = head_of(&made, 260).past.unwrap();
    let mut past = past::open(&present, &sealed).unwrap();
    assert_eq!(past.blocks()[0].hash(), &made.blocks[0].0);
    let block = &made.blocks[0].1;
    let in_block: Vec<u64> =
        past.open_block(&organisation, &SAFE, 0, block).unwrap().map(|(epoch, _)| epoch).collect();
    assert!(in_block.into_iter().eq((0..BLOCK_KEYS).filter(|epoch| *epoch != 100)));
    for at in [0, 30, block.len() - 1] {
        let mut bad = block.clone();
        bad[at] ^= 1;
        assert!(past.open_block(&organisation, &SAFE, 0, &bad).is_err());
    }
    assert!(past.open_block(&organisation, &SafeId::from_bytes([2; 16]), 0, block).is_err());
    assert!(past.open_block(&organisation, &SAFE, 1, block).is_err());
    // Nobody says that it is whole: the next author, who has all keys, makes it anew.
    let all = keys(0..261);
    let healed = ring(261, &to, Before { keys: &all, past: Some(&past) }).unwrap();
    assert_eq!(healed.blocks.len(), 1);
    past.found_whole(0);
    let again = ring(261, &to, Before { keys: &all, past: Some(&past) }).unwrap();
    assert!(again.blocks.is_empty());
    let own = key(261);
    let next = EpochKey::new(&organisation, &SAFE, 261, &own);
    let named = past::open(&next, &head_of(&again, 261).past.unwrap()).unwrap();
    assert_eq!(named.blocks()[0].hash(), &made.blocks[0].0);
}

#[test]
fn a_past_opens_with_its_own_key_and_nothing_else() {
    let members = members(1);
    let before = keys(0..2);
    let made = ring(2, &list(&members), Before { keys: &before, past: None }).unwrap();
    let sealed = head_of(&made, 2).past.unwrap();
    let (organisation, own, wrong) = (organisation(), key(2), key(1));
    assert!(past::open(&EpochKey::new(&organisation, &SAFE, 2, &own), &sealed).is_ok());
    let other = SafeId::from_bytes([2; 16]);
    for key in [
        EpochKey::new(&organisation, &SAFE, 2, &wrong),
        EpochKey::new(&organisation, &SAFE, 3, &own),
        EpochKey::new(&organisation, &other, 2, &own),
    ] {
        assert_eq!(past::open(&key, &sealed).unwrap_err(), WrongPast);
    }
    for at in 0..sealed.len() {
        let mut bad = sealed.clone();
        bad[at] ^= 1;
        assert!(past::open(&EpochKey::new(&organisation, &SAFE, 2, &own), &bad).is_err(), "byte {at}");
        assert!(past::open(&EpochKey::new(&organisation, &SAFE, 2, &own), &sealed[..at]).is_err());
    }
}

fn payload() -> Payload {
    let head = |count, text: &[u8]| Head { count, hash: Hash::of(&[text]) };
    Payload {
        organisation: organisation(),
        safe: SAFE,
        seq: 5,
        previous: Hash::of(&[b"before"]),
        epoch: 2,
        seen: head(7, b"seen"),
        log: head(3, b"log"),
        author: AUTHOR,
        time: Timestamp(1_000),
        adds: vec![ObjectId::from_bytes([3; 16])],
        drops: Vec::new(),
        keeps: Vec::new(),
        nonce: [0; 24].into(),
        ciphertext: Vec::new().into(),
    }
}

fn inside(changes: usize) -> Inside {
    let remove = |number: usize| Change::Remove {
        operation: OperationId::from_bytes([number as u8; 16]),
        entry: EntryId::from_bytes([number as u8; 16]),
    };
    Inside { rules: RULES_VERSION, root: Hash::of(&[b"root"]), changes: (0..changes).map(remove).collect() }
}

fn author() -> DeviceSigningKey {
    DeviceSigningKey::from_bytes(&mut [4; 32])
}

fn record(inside: &Inside) -> Payload {
    let sealed = seal_record(&keys([2]).at(2).unwrap(), payload(), inside, &author(), &mut Seed(1)).unwrap();
    opened_envelope(&sealed)
}

fn opened_envelope(bytes: &[u8]) -> Payload {
    let envelope = Envelope::decode(bytes).unwrap();
    envelope.verify(&author().verify_key()).unwrap();
    envelope.payload().unwrap()
}

#[test]
fn a_record_opens_to_what_was_sealed_and_tells_its_length_roughly() {
    for changes in [0, 1, 10, 400] {
        let inside = inside(changes);
        let payload = record(&inside);
        assert_eq!(open_record(&keys([2]), &payload).unwrap(), inside);
        let length = 4 + codec::encode(&inside).len() as u64;
        assert_eq!(payload.ciphertext.len() as u64, padme(length) + 16);
    }
}

type Bend = fn(&mut Payload);

#[test]
fn the_inside_is_bound_to_every_field_outside() {
    let bends: [(&str, Bend); 13] = [
        ("organisation", |it| it.organisation = "other".parse().unwrap()),
        ("safe", |it| it.safe = SafeId::from_bytes([2; 16])),
        ("seq", |it| it.seq += 1),
        ("previous", |it| it.previous = Hash::of(&[b"another"])),
        ("epoch", |it| it.epoch = 3),
        ("seen", |it| it.seen.count += 1),
        ("log", |it| it.log.hash = Hash::of(&[b"another"])),
        ("author", |it| it.author = DeviceId::from_bytes([8; 16])),
        ("time", |it| it.time = Timestamp(1_001)),
        ("adds", |it| it.adds.clear()),
        ("drops", |it| it.drops = it.adds.clone()),
        ("keeps", |it| it.keeps = it.adds.clone()),
        ("nonce", |it| it.nonce[0] ^= 1),
    ];
    let void = Err(Unopened::Void(VoidInside::Sealed));
    for (name, bend) in bends {
        let mut payload = record(&inside(1));
        bend(&mut payload);
        assert_eq!(open_record(&keys([2, 3]), &payload), void, "{name}");
    }
    let whole = record(&inside(1));
    for at in 0..whole.ciphertext.len() {
        let mut bad = whole.clone();
        bad.ciphertext[at] ^= 1;
        assert_eq!(open_record(&keys([2]), &bad), void, "byte {at}");
        bad.ciphertext.truncate(at);
        assert_eq!(open_record(&keys([2]), &bad), void, "cut at {at}");
    }
}

/// Two readers with one log must not differ: who lacks the key says nothing about what is inside.
#[test]
fn without_the_key_nothing_is_void() {
    let payload = record(&inside(1));
    assert_eq!(open_record(&keys([1, 3]), &payload), Err(Unopened::NoKey));
}

/// A record with this plaintext, sealed as a member with a program of their own could.
fn sealed_by_hand(plaintext: &[u8]) -> Payload {
    use chacha20poly1305::aead::{Aead as _, Payload as Text};
    use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
    let mut payload = payload();
    let ad = payload.associated_data();
    let keys = keys([2]);
    let key = keys.at(2).unwrap().record_key();
    let cipher = XChaCha20Poly1305::new(<&Key>::from(key.expose()));
    let sealed = cipher.encrypt(&XNonce::from([0; 24]), Text { msg: plaintext, aad: &ad }).unwrap();
    payload.ciphertext = sealed.into();
    payload
}

#[test]
fn a_wrong_inside_is_void_and_a_later_one_stops_the_reader() {
    let padded = |inside: &[u8]| {
        let mut text = u32::try_from(inside.len()).unwrap().to_be_bytes().to_vec();
        text.extend_from_slice(inside);
        text.resize(usize::try_from(padme(text.len() as u64)).unwrap(), 0);
        text
    };
    let found = |plaintext: &[u8]| open_record(&keys([2]), &sealed_by_hand(plaintext));
    let void = |why| Err(Unopened::Void(why));
    let good = codec::encode(&inside(3));
    let text = padded(&good);
    assert_eq!(found(&text), Ok(inside(3)));
    assert!(text.len() > good.len() + 4, "this one has padding");
    let mut bad = text.clone();
    *bad.last_mut().unwrap() = 1;
    assert_eq!(found(&bad), void(VoidInside::Padding), "no zeros");
    assert_eq!(found(&text[..text.len() - 1]), void(VoidInside::Padding), "less");
    assert_eq!(found(&[text.as_slice(), &[0]].concat()), void(VoidInside::Padding), "more");
    assert_eq!(found(&[0xff; 8]), void(VoidInside::Padding), "a length beyond the end");
    assert_eq!(found(b""), void(VoidInside::Padding));
    assert_eq!(found(&padded(b"")), void(VoidInside::Unreadable));
    assert_eq!(found(&padded(&[0x83, 1, 2, 3])), void(VoidInside::Unreadable));
    assert_eq!(found(&padded(&[&good[..], &[0]].concat())), void(VoidInside::Unreadable));
    // A kind of change that format 1 does not know: void for everybody.
    let unknown = [&[0x83, 1, 0x58, 32][..], &[0; 32], &[0x81, 0x82, 9, 0x80]].concat();
    assert_eq!(found(&padded(&unknown)), void(VoidInside::Unreadable));
    // Rules that this program does not know: it can't say.
    assert_eq!(found(&padded(&[0x84, 2, 3, 4, 5])), Err(Unopened::TooNew(2)));
}

#[test]
fn a_record_is_made_for_its_own_epoch_and_size() {
    let (keys, mut entropy) = (keys([1, 2]), Seed(1));
    let mut made = |epoch, payload, inside: &Inside| {
        seal_record(&keys.at(epoch).unwrap(), payload, inside, &author(), &mut entropy)
    };
    assert_eq!(made(1, payload(), &inside(1)), Err(SealRecordError::AnotherEpoch));
    let elsewhere = Payload { safe: SafeId::from_bytes([2; 16]), ..payload() };
    assert_eq!(made(2, elsewhere, &inside(1)), Err(SealRecordError::AnotherEpoch));
    assert_eq!(made(2, payload(), &inside(10_000)), Err(SealRecordError::TooLong));
    assert!(made(2, payload(), &inside(6_000)).unwrap().len() <= RECORD_MAX_BYTES);
    let mut nonces = BTreeSet::new();
    for _ in 0..100 {
        nonces.insert(*opened_envelope(&made(2, payload(), &inside(1)).unwrap()).nonce);
    }
    assert_eq!(nonces.len(), 100);
}
