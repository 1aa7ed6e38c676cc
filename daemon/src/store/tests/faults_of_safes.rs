//! Every system call that changes the disk fails once, and is the last one before a kill once,
//! while a safe's life goes on: what was saved is there bit for bit, and no file that nobody names.
//!
//! The store is called as a device does it when it puts a file, seals it anew under the next key,
//! posts it, reads somebody's, takes a safe, leaves one, and hears that an offer was taken back.

use std::collections::BTreeSet;

use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::keys::SafeKey;
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::safe_log::roles::Role;

use super::faults::{CALLS, Sweep, can_inject, did, sweep};
use super::*;

const CHILD: &str = "PARSECD_TEST_FAULTS_OF_SAFES_FOLDER";
const SAFE: SafeId = SafeId::from_bytes([7; 16]);
const OFFERED: SafeId = SafeId::from_bytes([8; 16]);

const LIFE: Sweep =
    Sweep { child: CHILD, test: "store::tests::faults_of_safes::the_life_that_fails", before, check };

/// Pieces by number: even ones are large enough for a file.
fn piece(number: u8) -> StagedObject {
    let length = if number.is_multiple_of(2) { 60_000 } else { 900 };
    let sealed = vec![number; length];
    StagedObject { object: ObjectId::from_bytes([number; 16]), hash: ObjectHash::of(&sealed), sealed }
}

/// Small ones that come together, and share a file.
const PACK: [u8; 9] = [13, 101, 103, 105, 107, 109, 111, 113, 115];

/// What is saved under the next key.
fn anew() -> Vec<u8> {
    [12, 14].into_iter().chain(PACK).collect()
}

fn ids(numbers: &[u8]) -> Vec<ObjectId> {
    numbers.iter().map(|number| piece(*number).object).collect()
}

/// The bytes of the file that a piece is in; nothing for one in its row.
fn file_of(number: u8) -> Option<ObjectHash> {
    if PACK.contains(&number) {
        Some(ObjectHash::of(&PACK.map(|number| piece(number).sealed).concat()))
    } else {
        number.is_multiple_of(2).then(|| piece(number).hash)
    }
}

/// A device with a safe of its own and one that it was offered.
fn before(data: &Path) {
    let devices = Devices::open_with(data, WorkFactor::for_tests()).unwrap();
    let store = devices.create(&new_device(1), SERVER, None, &right()).unwrap().store;
    let key = SafeKey::from_bytes(&mut [3; 32]);
    store.found_safe(SAFE, new_device(1).device, b"founding", &key, &[]).unwrap();
    store.know_safe(OFFERED, new_device(1).device, Standing::Offered).unwrap();
}

fn taken(records: usize) -> TakenItems {
    let head = |count: u64| Head { count, hash: Hash::of(&[&count.to_be_bytes()]) };
    let record =
        StoredRecord { author: UserId::from_bytes([1; 16]), role: Role::Owner, envelope: vec![1; 900] };
    TakenItems {
        log_from: 0,
        certificates: vec![vec![0xce; 80]],
        journal_from: 0,
        records: vec![record; records],
        verified: vec![0xee; 40],
        floor: 5,
        heads: [head(1), head(records as u64)],
        role: Some(Role::Owner),
        founded: true,
    }
}

/// A change names its pieces by their numbers. Results are returned, not unwrapped: failing is
/// allowed, anything else is not.
fn life(data: &Path) -> Result<(), StoreError> {
    let devices = Devices::open_with(data, WorkFactor::for_tests())?;
    let store = devices.unlock(new_device(1).device, &right())?.store;
    // Put.
    store.stage_objects(SAFE, &[piece(2), piece(3), piece(4)])?;
    store.queue_safe_changes(SAFE, &[vec![2, 3, 4]])?;
    did(data, "saved")?;
    // The next key: sealed anew.
    store.put_safe_keys(SAFE, &[(1, SafeKey::from_bytes(&mut [4; 32]))])?;
    store.stage_objects(SAFE, &anew().into_iter().map(piece).collect::<Vec<_>>())?;
    store.replace_safe_queue(SAFE, &[anew()])?;
    store.drop_objects(SAFE, &ids(&[2, 3, 4]))?;
    // Commit.
    store.put_safe_posting(SAFE, &[9; 900])?;
    store.set_objects_uploaded(SAFE, &ids(&anew()), true)?;
    store.take_safe_items(SAFE, &taken(1))?;
    did(data, "accepted by the server")?;
    store.fold_safe(
        SAFE,
        &Folded {
            seq: 1,
            state: Some(vec![1; 5_000]),
            queue: Requeued::Shorter(1),
            removed: None,
            word: Word::AsBefore,
        },
    )?;
    // Some of a pack waits on while others of it are kept.
    anew().chunks(4).try_for_each(|part| store.share_objects(SAFE, &ids(part)))?;
    // Somebody's file is read.
    store.keep_pieces(SAFE, &[(piece(20).object, piece(20).hash, &piece(20).sealed)])?;
    store.save_pieces()?;
    did(data, "kept")?;
    // A safe is taken, and a file put into it.
    store.set_safe_role(OFFERED, Some(Role::Contributor))?;
    store.set_safe_standing(OFFERED, Standing::Accepted)?;
    did(data, "taken")?;
    store.stage_objects(OFFERED, &[piece(30)])?;
    store.queue_safe_changes(OFFERED, &[vec![30]])?;
    did(data, "saved there")?;
    // One is left, the other is gone.
    store.set_safe_standing(SAFE, Standing::Left)?;
    did(data, "left")?;
    store.erase_safe(OFFERED)?;
    did(data, "gone")
}

fn check(data: &Path, what: &str) {
    let did = |what: &str| data.join(what).exists();
    let devices =
        Devices::open_with(data, WorkFactor::for_tests()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let open = devices.unlock(new_device(1).device, &right());
    let store = open.unwrap_or_else(|error| panic!("{what}: {error}")).store;
    let mut files = BTreeSet::new();
    for safe in store.safes().unwrap() {
        let queue = store.safe_queue(safe.safe).unwrap();
        let named: BTreeSet<ObjectId> = queue.iter().flatten().map(|number| piece(*number).object).collect();
        // As it is done when a safe is opened.
        let unnamed: Vec<_> = store.staged_objects(safe.safe).unwrap();
        let unnamed: Vec<_> =
            unnamed.into_iter().map(|(object, _)| object).filter(|object| !named.contains(object)).collect();
        let added = if safe.folded == 0 { Vec::new() } else { unnamed.clone() };
        store.share_objects(safe.safe, &added).unwrap();
        store.drop_objects(safe.safe, &unnamed).unwrap();
        for number in queue.iter().flatten() {
            let staged = store.staged_object(safe.safe, piece(*number).object).unwrap();
            assert_eq!(staged.as_ref(), Some(&piece(*number)), "{what}: what was saved is lost");
            files.extend(file_of(*number));
        }
        if safe.safe == SAFE {
            let saved = !queue.is_empty() || safe.folded == 1;
            assert!(!did("saved") || saved, "{what}: a change is lost");
            assert!(!did("accepted by the server") || safe.heads.unwrap()[1].count == 1, "{what}");
            assert!(!did("left") || safe.standing == Standing::Left, "{what}");
            assert_eq!(safe.folded, u64::from(queue.is_empty() && did("saved")), "{what}");
        } else {
            let taken = safe.standing == Standing::Accepted;
            assert!(!did("taken") || taken, "{what}");
            assert!(taken || queue.is_empty(), "{what}");
            assert!(!did("saved there") || !queue.is_empty(), "{what}");
            assert!(!did("gone"), "{what}: a safe that was erased is there");
        }
        for number in anew().into_iter().chain([20]) {
            let piece = piece(number);
            let here = store.pieces_here(safe.safe, &[(piece.object, piece.hash)], usize::MAX).unwrap();
            let Some(found) = here.found.get(&piece.object) else {
                let expected = number == 20 && safe.safe == SAFE && did("kept");
                assert!(!expected || safe.standing == Standing::Left, "{what}: it was kept");
                continue;
            };
            assert_eq!(found.bytes(), piece.sealed, "{what}");
            let waits = named.contains(&piece.object);
            assert!(waits || safe.standing == Standing::Accepted, "{what}: kept of a safe that was left");
            files.extend(file_of(number));
        }
    }
    let place = data.join("devices").join(format!("acme.{}", new_device(1).device)).join("pieces");
    let there: BTreeSet<ObjectHash> = tree(&place)
        .into_iter()
        .filter(|path| path.is_file())
        .map(|path| ObjectHash::of(&fs::read(path).unwrap()))
        .collect();
    assert_eq!(there, files, "{what}: files that nobody names, or names without a file");
}

/// The process that is made to fail; nothing otherwise.
#[test]
fn the_life_that_fails() {
    if let Some(folder) = std::env::var_os(CHILD) {
        let _ = life(Path::new(&folder));
    }
}

#[test]
fn the_life_of_a_safe_goes_well() {
    let home = Home::new();
    before(&home.data());
    life(&home.data()).unwrap();
    check(&home.data(), "nothing failed");
}

#[test]
fn every_sync_and_rename_in_the_life_of_a_safe_may_be_the_last() {
    if can_inject() {
        let points = sweep(LIFE, &["fsync", "fdatasync", "renameat2", "mkdirat"], &["signal=KILL"]);
        println!(
            "figure C10: put, next key, commit, fetch, accept, leave, erase: killed at {points} syncs, renames and folders: what was saved is there, no file that nobody names"
        );
        assert!(points > 30, "only {points} points: does the sweep still see the store's calls?");
    }
}

#[test]
#[ignore = "minutes; `cargo test -p parsecd --lib -- --ignored` before a release and after a change of the store"]
fn every_write_in_the_life_of_a_safe_may_fail_or_be_the_last() {
    if can_inject() {
        let points = sweep(LIFE, &CALLS, &["error=EIO", "error=ENOSPC", "error=EROFS", "signal=KILL"]);
        println!(
            "figure C11: put, next key, commit, fetch, accept, leave, erase: EIO, ENOSPC, a read-only disk or a kill at {points} calls: reported, nothing lost, no panic"
        );
        assert!(points > 200, "only {points} points: does the sweep still see the store's calls?");
    }
}
