//! Sealed pieces on the disk: what waits is never lost nor made room of, what is kept is never
//! believed, and nothing stays that nobody names.

use std::collections::BTreeSet;

use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::keys::SafeKey;
use parsec_protocol::object_hash::ObjectHash;

use super::*;

const SAFE: SafeId = SafeId::from_bytes([7; 16]);
/// Larger than what is a part of its row.
const LARGE: usize = 40_000;

/// A piece that no other is like.
fn piece(number: u8, length: usize) -> StagedObject {
    let sealed: Vec<u8> = (0..length).map(|at| (at as u8).wrapping_mul(31) ^ number).collect();
    StagedObject { object: ObjectId::from_bytes([number; 16]), hash: ObjectHash::of(&sealed), sealed }
}

fn devices(home: &Home, kept_max: Option<u64>) -> Devices {
    home.open().keep_at_most(kept_max)
}

/// A device with a safe.
fn founded(home: &Home, kept_max: Option<u64>) -> Store {
    let store = devices(home, kept_max).create(&new_device(1), SERVER, None, &right()).unwrap().store;
    let key = SafeKey::from_bytes(&mut [3; 32]);
    store.found_safe(SAFE, new_device(1).device, b"founding", &key, &[]).unwrap();
    store
}

fn reopened(home: &Home, store: Store, kept_max: Option<u64>) -> Store {
    drop(store);
    devices(home, kept_max).unlock(new_device(1).device, &right()).unwrap().store
}

/// The files of all pieces.
fn files(home: &Home) -> BTreeSet<PathBuf> {
    let place = home.folder(1).join("pieces");
    tree(&place).into_iter().filter(|path| path.is_file()).collect()
}

fn keep(store: &Store, pieces: &[StagedObject]) {
    let pieces: Vec<_> =
        pieces.iter().map(|piece| (piece.object, piece.hash, piece.sealed.as_slice())).collect();
    store.keep_pieces(SAFE, &pieces).unwrap();
}

/// Whether a piece is here, as it was; whether one that waits is damaged.
fn here(store: &Store, piece: &StagedObject) -> (bool, bool) {
    let here = store.pieces_here(SAFE, &[(piece.object, piece.hash)], usize::MAX).unwrap();
    let found = here.found.get(&piece.object);
    assert!(found.is_none_or(|found| found.bytes() == piece.sealed));
    (found.is_some(), here.damaged)
}

#[test]
fn a_large_piece_is_a_file_whose_names_say_nothing() {
    let home = Home::new();
    let store = founded(&home, None);
    let (large, small) = (piece(1, LARGE), piece(2, 50));
    store.stage_objects(SAFE, &[large.clone(), small.clone()]).unwrap();
    let all = files(&home);
    assert_eq!(all.len(), 1);
    let file = all.first().unwrap();
    assert_eq!(fs::read(file).unwrap(), large.sealed, "as it goes to the server");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let folder = file.parent().unwrap();
    assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
    for name in [file.file_name().unwrap(), folder.file_name().unwrap()] {
        let name = name.to_str().unwrap();
        assert!(name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
        for telling in [SAFE.to_string(), large.object.to_string(), large.hash.to_string()] {
            assert!(!telling.contains(name), "{name}");
        }
    }

    let store = reopened(&home, store, None);
    assert_eq!(store.staged_object(SAFE, large.object).unwrap(), Some(large.clone()));
    assert_eq!(store.staged_object(SAFE, small.object).unwrap(), Some(small.clone()));
    // Shared: both are kept, and neither waits.
    store.share_objects(SAFE, &[large.object, small.object]).unwrap();
    assert_eq!(store.staged_objects(SAFE).unwrap(), []);
    assert_eq!((here(&store, &large), here(&store, &small)), ((true, false), (true, false)));
    let size = SafeSize { waiting: 0, kept: (LARGE + 50) as u64, pinned: 0 };
    assert_eq!(store.pieces_sizes().unwrap().0.get(&SAFE), Some(&size));
    store.save_pieces().unwrap();
    let store = reopened(&home, store, None);
    assert_eq!((here(&store, &large), here(&store, &small)), ((true, false), (true, false)));
    // Another content under the same id is another piece.
    let other = StagedObject { hash: ObjectHash::of(b"other"), ..large };
    assert!(
        !store
            .pieces_here(SAFE, &[(other.object, other.hash)], usize::MAX)
            .unwrap()
            .found
            .contains_key(&other.object)
    );
}

#[test]
fn the_longest_unused_goes_first_and_what_waits_never() {
    let home = Home::new();
    let limit = Some(3 * LARGE as u64);
    let store = founded(&home, limit);
    let waiting: Vec<_> = (10..14).map(|number| piece(number, LARGE)).collect();
    store.stage_objects(SAFE, &waiting).unwrap();
    let all: Vec<_> = (1..=3).map(|number| piece(number, LARGE)).collect();
    keep(&store, &all);
    assert!(here(&store, &all[0]).0);
    keep(&store, &[piece(4, LARGE), piece(5, 100)]);
    let kept = |store: &Store| {
        (1..=5)
            .filter(|number| {
                let length = if *number == 5 { 100 } else { LARGE };
                here(store, &piece(*number, length)).0
            })
            .collect::<Vec<u8>>()
    };
    // The second had room made of it for the fourth, the third for the fifth.
    assert_eq!(kept(&store), [1, 4, 5]);
    store.save_pieces().unwrap();
    let store = reopened(&home, store, limit);
    assert_eq!(kept(&store), [1, 4, 5]);
    // Nothing at all, or nothing that large.
    let store = reopened(&home, store, Some(0));
    store.share_objects(SAFE, &[waiting[0].object]).unwrap();
    keep(&store, &[piece(6, LARGE)]);
    assert!(!here(&store, &piece(6, LARGE)).0);
    assert_eq!(store.pieces_sizes().unwrap().0.get(&SAFE).unwrap().kept, 0);
    for waiting in &waiting[1..] {
        assert_eq!(store.staged_object(SAFE, waiting.object).unwrap().as_ref(), Some(waiting));
    }
    assert_eq!(files(&home).len(), 3);
}

#[test]
fn a_piece_is_read_into_the_same_room_whether_it_waits_or_is_kept() {
    let home = Home::new();
    let store = founded(&home, None);
    let all = [piece(1, LARGE), piece(2, 50)];
    store.stage_objects(SAFE, &all).unwrap();
    let mut room = Vec::with_capacity(1_000_000);
    let place = room.as_ptr();
    let gone = piece(3, 100);
    for waits in [true, false] {
        for piece in &all {
            room.extend_from_slice(b"what was there before");
            assert!(store.read_piece(SAFE, piece.object, &piece.hash, &mut room).unwrap());
            assert_eq!((&room, room.as_ptr()), (&piece.sealed, place), "waits: {waits}");
            // Nobody has another content of this id.
            assert!(!store.read_piece(SAFE, piece.object, &gone.hash, &mut room).unwrap());
        }
        assert!(!store.read_piece(SAFE, gone.object, &gone.hash, &mut room).unwrap());
        store.share_objects(SAFE, &all.clone().map(|piece| piece.object)).unwrap();
    }
    // Larger than any piece, or gone.
    for file in files(&home) {
        fs::File::options().write(true).open(&file).unwrap().set_len(2_000_000).unwrap();
    }
    assert!(!store.read_piece(SAFE, all[0].object, &all[0].hash, &mut room).unwrap());
    for file in files(&home) {
        fs::remove_file(file).unwrap();
    }
    assert!(!store.read_piece(SAFE, all[0].object, &all[0].hash, &mut room).unwrap());
}

/// What somebody, or a disk, does to a file.
type Damage = fn(&Path);

#[test]
fn a_piece_that_is_damaged_or_gone_is_not_here() {
    let damages: [Damage; 6] = [
        |file| {
            let mut bytes = fs::read(file).unwrap();
            bytes[1_000] ^= 1;
            fs::write(file, bytes).unwrap();
        },
        |file| fs::File::options().write(true).open(file).unwrap().set_len(100).unwrap(),
        |file| fs::File::options().write(true).open(file).unwrap().set_len(2_000_000).unwrap(),
        |file| fs::write(file, []).unwrap(),
        |file| fs::remove_file(file).unwrap(),
        |file| {
            fs::rename(file, file.with_extension("aside")).unwrap();
            symlink(file.with_extension("aside"), file).unwrap();
        },
    ];
    for (number, damage) in damages.iter().enumerate() {
        let home = Home::new();
        let store = founded(&home, None);
        let (kept, waiting) = (piece(1, LARGE), piece(2, LARGE));
        keep(&store, std::slice::from_ref(&kept));
        damage(files(&home).first().unwrap());
        assert_eq!(here(&store, &kept), (false, false), "damage {number}");
        assert_eq!(store.pieces_sizes().unwrap().0.get(&SAFE), None, "it is not kept");
        // Fetched again, it is here again.
        keep(&store, std::slice::from_ref(&kept));
        assert_eq!(here(&store, &kept), (true, false), "damage {number}");

        let before = files(&home);
        store.stage_objects(SAFE, std::slice::from_ref(&waiting)).unwrap();
        let file = files(&home).difference(&before).next().unwrap().clone();
        damage(&file);
        assert_eq!(here(&store, &waiting), (false, true), "damage {number}");
        let error = store.staged_object(SAFE, waiting.object).unwrap_err();
        assert!(
            matches!(error, StoreError::Damaged(_) | StoreError::UnsafePath { .. }),
            "damage {number}: {error}"
        );
        // It still waits: that it can't be read drops nothing.
        assert_eq!(store.staged_objects(SAFE).unwrap(), [(waiting.object, false)]);
    }
}

#[test]
fn what_a_crash_left_is_swept_and_what_is_named_stays() {
    let home = Home::new();
    let store = founded(&home, None);
    let (waiting, kept, lost) = (piece(1, LARGE), piece(2, LARGE), piece(3, LARGE));
    store.stage_objects(SAFE, std::slice::from_ref(&waiting)).unwrap();
    keep(&store, std::slice::from_ref(&kept));
    store.save_pieces().unwrap();
    let named = files(&home);
    // Kept, and the power was cut before the database heard of it.
    keep(&store, std::slice::from_ref(&lost));
    drop(store);
    assert_eq!(files(&home).len(), 3);
    let folder = named.first().unwrap().parent().unwrap().to_owned();
    let stray = folder.with_file_name("00112233445566778899aabbccddeeff");
    fs::create_dir_all(stray.join("deeper")).unwrap();
    for (place, file) in
        [(&folder, ".writing-x"), (&folder, "y"), (&stray, "z"), (&stray.join("deeper"), "w")]
    {
        fs::write(place.join(file), "left").unwrap();
    }
    for folder in [&stray, &stray.join("deeper")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let store = devices(&home, None).unlock(new_device(1).device, &right()).unwrap().store;
    assert_eq!(files(&home), named);
    assert!(!stray.exists());
    assert_eq!((here(&store, &waiting), here(&store, &kept)), ((true, false), (true, false)));
    assert!(!here(&store, &lost).0);
    // And the other way round: a name without a file is nobody's.
    store.drop_objects(SAFE, &[waiting.object]).unwrap();
    for file in files(&home) {
        fs::remove_file(file).unwrap();
    }
    let store = reopened(&home, store, None);
    assert!(!here(&store, &kept).0);
    assert_eq!(store.pieces_sizes().unwrap().0.get(&SAFE), None);
}

#[test]
fn nothing_is_kept_of_what_was_left_erased_or_forgotten() {
    let home = Home::new();
    let store = founded(&home, None);
    let (waiting, kept) = (piece(1, LARGE), piece(2, LARGE));
    store.stage_objects(SAFE, std::slice::from_ref(&waiting)).unwrap();
    keep(&store, std::slice::from_ref(&kept));
    store.save_pieces().unwrap();
    store.set_safe_standing(SAFE, Standing::Left).unwrap();
    assert_eq!(files(&home).len(), 1, "what was saved and never shared is nobody else's");
    assert_eq!(here(&store, &waiting), (true, false));
    keep(&store, std::slice::from_ref(&kept));
    assert!(!here(&store, &kept).0);
    let store = reopened(&home, store, None);
    assert_eq!(files(&home).len(), 1);
    store.erase_safe(SAFE).unwrap();
    assert_eq!(files(&home).len(), 0);
    assert_eq!(fs::read_dir(home.folder(1).join("pieces")).unwrap().count(), 0);
    let refused = store.stage_objects(SAFE, std::slice::from_ref(&waiting)).unwrap_err();
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused}");

    drop(store);
    let home = Home::new();
    let store = founded(&home, None);
    store.stage_objects(SAFE, &[waiting]).unwrap();
    keep(&store, &[kept]);
    drop(store);
    devices(&home, None).remove(new_device(1).device).unwrap();
    assert_eq!(fs::read_dir(home.data().join("devices")).unwrap().count(), 0);
}

#[test]
fn a_batch_is_there_wholly_or_not_at_all() {
    let home = Home::new();
    let store = founded(&home, None);
    store.stage_objects(SAFE, &[piece(1, LARGE)]).unwrap();
    let before = files(&home);
    // The last row of the batch is refused: an id that waits already.
    let batch = [piece(2, LARGE), piece(3, 10), piece(1, LARGE)];
    store.stage_objects(SAFE, &batch).unwrap_err();
    assert_eq!(files(&home), before);
    assert_eq!(store.staged_objects(SAFE).unwrap(), [(piece(1, 0).object, false)]);
    store.drop_objects(SAFE, &[piece(1, 0).object]).unwrap();
    assert_eq!(files(&home).len(), 0);
}

/// Small pieces that come together.
fn several(from: u8) -> Vec<StagedObject> {
    (from..from + 10).map(|number| piece(number, 1_000 + usize::from(number))).collect()
}

fn ids(pieces: &[StagedObject]) -> Vec<ObjectId> {
    pieces.iter().map(|piece| piece.object).collect()
}

/// Those of them that are here, with their bytes.
fn found(store: &Store, pieces: &[StagedObject]) -> Vec<ObjectId> {
    ids(&pieces.iter().filter(|piece| here(store, piece).0).cloned().collect::<Vec<_>>())
}

#[test]
fn small_pieces_that_come_together_are_one_file_until_nobody_needs_one_of_them() {
    let home = Home::new();
    let store = founded(&home, None);
    let (staged, fetched) = (several(1), several(101));
    store.stage_objects(SAFE, &staged).unwrap();
    assert_eq!(files(&home).len(), 1);
    assert_eq!(fs::read(files(&home).first().unwrap()).unwrap().len(), 10 * 1_000 + 55);
    keep(&store, &fetched);
    store.save_pieces().unwrap();
    assert_eq!(files(&home).len(), 2);
    let store = reopened(&home, store, None);
    assert_eq!(found(&store, &staged), ids(&staged));
    assert_eq!(found(&store, &fetched), ids(&fetched));
    // Some are shared and kept, some dropped, one waits: the file stays for it.
    store.share_objects(SAFE, &ids(&staged[..4])).unwrap();
    store.drop_objects(SAFE, &ids(&staged[4..9])).unwrap();
    let store = reopened(&home, store, None);
    assert_eq!(files(&home).len(), 2);
    let left: Vec<_> = staged[..4].iter().chain(&staged[9..]).cloned().collect();
    assert_eq!(found(&store, &staged), ids(&left));
    assert_eq!(store.staged_objects(SAFE).unwrap(), [(staged[9].object, false)]);
    // Nothing may be kept: the one that waits has the file to itself, until it goes.
    let store = reopened(&home, store, Some(0));
    store.share_objects(SAFE, &[]).unwrap();
    assert_eq!((found(&store, &staged), found(&store, &fetched)), (ids(&staged[9..]), Vec::new()));
    assert_eq!(files(&home).len(), 1);
    store.save_pieces().unwrap();
    let store = reopened(&home, store, Some(0));
    store.drop_objects(SAFE, &ids(&staged[9..])).unwrap();
    assert_eq!(files(&home).len(), 0);
}

#[test]
fn room_is_made_of_a_whole_pack_and_never_of_what_waits_in_it() {
    let home = Home::new();
    let store = founded(&home, Some(25_000));
    let (first, second, third) = (several(1), several(101), several(201));
    store.stage_objects(SAFE, &first).unwrap();
    store.share_objects(SAFE, &ids(&first[5..])).unwrap();
    keep(&store, &second);
    assert_eq!(files(&home).len(), 2);
    // Room is needed for more than what of the first is kept: it goes, but for what waits.
    keep(&store, &third);
    assert_eq!(found(&store, &first), ids(&first[..5]));
    assert_eq!(found(&store, &third), ids(&third));
    let kept = store.pieces_sizes().unwrap().0[&SAFE].kept;
    let bytes = |pieces: &[StagedObject]| pieces.iter().map(|piece| piece.sealed.len() as u64).sum::<u64>();
    assert_eq!(kept, bytes(&second) + bytes(&third));
    keep(&store, &several(31));
    assert_eq!((found(&store, &second), files(&home).len()), (Vec::new(), 3));
    assert_eq!(found(&store, &first), ids(&first[..5]));
}

#[test]
fn damage_to_a_pack_is_that_of_the_pieces_it_meets() {
    let home = Home::new();
    let store = founded(&home, None);
    let (waiting, kept) = (several(1), several(101));
    store.stage_objects(SAFE, &waiting).unwrap();
    let pack = files(&home).first().unwrap().clone();
    let mut bytes = fs::read(&pack).unwrap();
    bytes[1_500] ^= 1;
    bytes.truncate(9_500);
    fs::write(&pack, bytes).unwrap();
    let whole = |number: &usize| ![1, 9].contains(number);
    for (number, piece) in waiting.iter().enumerate() {
        assert_eq!(here(&store, piece), (whole(&number), !whole(&number)), "{number}");
    }
    assert_eq!(store.staged_objects(SAFE).unwrap().len(), 10, "that they can't be read drops nothing");
    keep(&store, &kept);
    let file = files(&home).into_iter().find(|file| *file != pack).unwrap();
    fs::remove_file(file).unwrap();
    assert_eq!(found(&store, &kept), []);
    keep(&store, &kept);
    assert_eq!(found(&store, &kept), ids(&kept));
}

#[test]
fn what_the_server_has_is_not_read_again_to_be_sent() {
    let home = Home::new();
    let store = founded(&home, None);
    let piece = piece(1, LARGE);
    store.stage_objects(SAFE, std::slice::from_ref(&piece)).unwrap();
    assert!(
        matches!(store.to_send(SAFE, piece.object).unwrap(), Some(ToSend::Object(found)) if found == piece)
    );
    store.set_objects_uploaded(SAFE, &[piece.object], true).unwrap();
    for file in files(&home) {
        fs::remove_file(file).unwrap();
    }
    assert!(matches!(store.to_send(SAFE, piece.object).unwrap(), Some(ToSend::Nothing)));
}

#[test]
fn a_piece_that_comes_twice_is_kept_once() {
    let home = Home::new();
    let store = founded(&home, None);
    let all = several(1);
    let twice = [&all[..], &all[..1]].concat();
    keep(&store, &twice);
    store.save_pieces().unwrap();
    let store = reopened(&home, store, None);
    assert_eq!((found(&store, &all), files(&home).len()), (ids(&all), 1));
    let bytes: usize = all.iter().map(|piece| piece.sealed.len()).sum();
    assert_eq!(store.pieces_sizes().unwrap().0[&SAFE].kept, bytes as u64);
}

#[test]
fn a_refused_batch_leaves_no_pack() {
    let home = Home::new();
    let store = founded(&home, None);
    store.stage_objects(SAFE, &[piece(1, 50)]).unwrap();
    // The last row of the batch is refused: an id that waits already.
    let mut batch = several(2);
    batch.push(piece(1, 50));
    store.stage_objects(SAFE, &batch).unwrap_err();
    assert_eq!(files(&home).len(), 0);
    assert_eq!(store.staged_objects(SAFE).unwrap(), [(piece(1, 0).object, false)]);
    // And the same ids can be tried again, as one whose disk was full does.
    store.stage_objects(SAFE, &batch[..10]).unwrap();
    assert_eq!(found(&store, &batch[..10]), ids(&batch[..10]));
}
