//! What is pinned makes room for nothing, whatever the limit is; and a person's word about both
//! outlives the program.

use std::collections::BTreeSet;

use parsec_protocol::ids::{EntryId, ObjectId, SafeId};
use parsec_protocol::keys::SafeKey;
use parsec_protocol::object_hash::ObjectHash;

use super::*;

const SAFE: SafeId = SafeId::from_bytes([7; 16]);
/// Larger than what shares a file.
const LARGE: usize = 40_000;

fn piece(number: u8, length: usize) -> StagedObject {
    let sealed: Vec<u8> = (0..length).map(|at| (at as u8).wrapping_mul(31) ^ number).collect();
    StagedObject { object: ObjectId::from_bytes([number; 16]), hash: ObjectHash::of(&sealed), sealed }
}

fn founded(home: &Home) -> Store {
    let store = home.open().create(&new_device(1), SERVER, None, &right()).unwrap().store;
    store
        .found_safe(SAFE, new_device(1).device, b"founding", &SafeKey::from_bytes(&mut [3; 32]), &[])
        .unwrap();
    store
}

fn reopened(home: &Home, store: Store, kept_max: Option<u64>) -> Store {
    drop(store);
    home.open().keep_at_most(kept_max).unlock(new_device(1).device, &right()).unwrap().store
}

fn keep(store: &Store, pieces: &[StagedObject]) -> bool {
    let pieces: Vec<_> =
        pieces.iter().map(|piece| (piece.object, piece.hash, piece.sealed.as_slice())).collect();
    store.keep_pieces(SAFE, &pieces).unwrap()
}

fn here(store: &Store, pieces: &[&StagedObject]) -> Vec<bool> {
    let wanted: Vec<_> = pieces.iter().map(|piece| (piece.object, piece.hash)).collect();
    let noted = store.are_here(SAFE, &wanted).unwrap();
    let found = store.pieces_here(SAFE, &wanted, usize::MAX).unwrap().found;
    let read: Vec<_> = wanted.iter().map(|(object, _)| found.contains_key(object)).collect();
    assert_eq!(noted, read, "what is noted is there");
    noted
}

fn wanted(pieces: &[&StagedObject]) -> BTreeSet<ObjectId> {
    pieces.iter().map(|piece| piece.object).collect()
}

#[test]
fn what_is_pinned_stays_under_any_limit_and_nothing_else_does() {
    let home = Home::new();
    let store = founded(&home);
    let [one, two, three, four] = [1, 2, 3, 4].map(|number| piece(number, LARGE));
    let small: Vec<_> = (20..40).map(|number| piece(number, 500)).collect();
    let all = [&one, &two, &three, &four];
    assert!(keep(&store, &[one.clone(), two.clone()]) && keep(&store, &small));
    // One that is here, one that comes, and a small one, which holds what is in its file.
    store.pin_pieces(SAFE, wanted(&[&one, &three, &small[3]])).unwrap();
    assert!(keep(&store, &[three.clone(), four.clone()]));
    let totals = store.kept_totals().unwrap();
    assert_eq!((totals.kept, totals.pinned), (4 * LARGE as u64 + 10_000, 2 * LARGE as u64 + 10_000));
    assert_eq!((totals.said, totals.option), (None, None));
    store.limit_kept(Some(LARGE as u64)).unwrap();
    assert_eq!(here(&store, &all), [true, false, true, true], "the last one that is not pinned fits");
    store.limit_kept(Some(0)).unwrap();
    assert_eq!(here(&store, &all), [true, false, true, false]);
    assert_eq!(here(&store, &[&small[0], &small[3]]), [true, true]);
    assert!(!keep(&store, std::slice::from_ref(&four)), "there is no room for what is not pinned");

    // By the device's own word, also where the daemon's option says another one.
    let store = reopened(&home, store, Some(1 << 30));
    assert_eq!(here(&store, &all), [true, false, true, false]);
    let totals = store.kept_totals().unwrap();
    assert_eq!((totals.limit, totals.said, totals.option), (0, Some(0), Some(1 << 30)));
    store.pin_pieces(SAFE, wanted(&[&one, &two])).unwrap();
    assert_eq!(here(&store, &all), [true, false, false, false]);
    assert!(keep(&store, std::slice::from_ref(&two)), "what is pinned has no limit");
    store.clear_kept().unwrap();
    assert_eq!(here(&store, &all), [true, true, false, false]);
    store.limit_kept(None).unwrap();
    let store = reopened(&home, store, None);
    assert_eq!(store.kept_totals().unwrap().said, None);
    store.pin_pieces(SAFE, BTreeSet::new()).unwrap();
    assert_eq!(here(&store, &all), [true, true, false, false], "it may go, and there is room");
    store.clear_kept().unwrap();
    assert_eq!(store.kept_totals().unwrap().kept, 0);
}

#[test]
fn what_waits_and_is_pinned_is_pinned_once_it_is_shared() {
    let home = Home::new();
    let store = founded(&home);
    let [one, two] = [1, 2].map(|number| piece(number, LARGE));
    store.limit_kept(Some(0)).unwrap();
    store.stage_objects(SAFE, &[one.clone(), two.clone()]).unwrap();
    store.pin_pieces(SAFE, wanted(&[&one])).unwrap();
    store.clear_kept().unwrap();
    assert_eq!(here(&store, &[&one, &two]), [true, true], "what waits is not kept, and does not go");
    store.share_objects(SAFE, &[one.object, two.object]).unwrap();
    assert_eq!(here(&store, &[&one, &two]), [true, false]);
    store.save_pieces().unwrap();
    let store = reopened(&home, store, None);
    assert_eq!(here(&store, &[&one, &two]), [true, false]);
    assert_eq!(store.kept_totals().unwrap().pinned, LARGE as u64);
}

#[test]
fn pins_are_as_many_as_a_person_can_look_through_and_go_with_their_safe() {
    let home = Home::new();
    let store = founded(&home);
    let entry = |number: usize| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
        EntryId::from_bytes(bytes)
    };
    for number in 0..PINS_MAX {
        store.pin(SAFE, entry(number), Timestamp(number as u64)).unwrap();
    }
    assert!(matches!(store.pin(SAFE, entry(PINS_MAX), Timestamp(0)), Err(StoreError::Conflict)));
    // One that is there stays as it is.
    store.pin(SAFE, entry(3), Timestamp(99)).unwrap();
    let store = reopened(&home, store, None);
    let pins = store.pins(SAFE).unwrap();
    assert_eq!((pins.len(), pins[3]), (PINS_MAX, (entry(3), Timestamp(3))));
    assert!(store.unpin(SAFE, entry(3)).unwrap() && !store.unpin(SAFE, entry(3)).unwrap());
    let one = piece(1, LARGE);
    store.pin_pieces(SAFE, wanted(&[&one])).unwrap();
    assert!(keep(&store, std::slice::from_ref(&one)));
    store.set_safe_standing(SAFE, Standing::Left).unwrap();
    assert_eq!(store.pins(SAFE).unwrap(), []);
    assert_eq!(store.kept_totals().unwrap().kept, 0);
    assert_eq!(here(&store, &[&one]), [false]);
}
