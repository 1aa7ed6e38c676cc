//! Safes: what belongs to one moment is kept together, and one that is erased leaves nothing.

use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::keys::SafeKey;
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::safe_log::roles::Role;

use super::*;

const SAFE: SafeId = SafeId::from_bytes([7; 16]);

fn head(count: u64) -> Head {
    Head { count, hash: Hash::of(&[&count.to_be_bytes()]) }
}

fn taken(log_from: u64, journal_from: u64, records: u8) -> TakenItems {
    let record = |byte| StoredRecord {
        author: UserId::from_bytes([1; 16]),
        role: Role::Contributor,
        envelope: vec![byte; 90],
    };
    TakenItems {
        log_from,
        certificates: vec![vec![0xce; 80]],
        journal_from,
        records: (0..records).map(record).collect(),
        verified: vec![0xee; 40],
        floor: 5,
        heads: [head(log_from + 1), head(journal_from + u64::from(records))],
        role: Some(Role::Owner),
        founded: true,
    }
}

fn key(byte: u8) -> SafeKey {
    SafeKey::from_bytes(&mut [byte; 32])
}

fn staged(byte: u8) -> StagedObject {
    let sealed = vec![byte; 50];
    StagedObject { object: ObjectId::from_bytes([byte; 16]), hash: ObjectHash::of(&sealed), sealed }
}

/// A device that has founded a safe.
fn founded(home: &Home) -> Store {
    let store = home.open().create(&new_device(1), SERVER, None, &right()).unwrap().store;
    let founder = new_device(1).device;
    store.found_safe(SAFE, founder, b"founding", &key(3), &[b"name".to_vec()]).unwrap();
    let again = store.found_safe(SAFE, founder, b"other", &key(4), &[]);
    assert!(matches!(again, Err(StoreError::Conflict)), "{again:?}");
    store
}

fn reopened(home: &Home, store: Store) -> Store {
    drop(store);
    home.open().unlock(new_device(1).device, &right()).unwrap().store
}

#[test]
fn a_safe_is_there_after_a_restart_as_it_was_kept_last() {
    let home = Home::new();
    let store = founded(&home);
    let safe = store.safe(SAFE).unwrap().unwrap();
    assert_eq!((safe.standing, safe.founding.as_deref()), (Standing::Accepted, Some(&b"founding"[..])));
    store.take_safe_items(SAFE, &taken(0, 0, 3)).unwrap();
    store.queue_safe_changes(SAFE, &[b"a".to_vec(), b"b".to_vec()]).unwrap();
    store.put_safe_posting(SAFE, b"record").unwrap();
    store.stage_objects(SAFE, &[staged(1), staged(2)]).unwrap();
    store.set_objects_uploaded(SAFE, &[staged(1).object], true).unwrap();

    let store = reopened(&home, store);
    let safe = store.safe(SAFE).unwrap().unwrap();
    assert_eq!((safe.founding, safe.posting.as_deref()), (None, Some(&b"record"[..])));
    assert_eq!((safe.heads, safe.role, safe.floor), (Some([head(1), head(3)]), Some(Role::Owner), 5));
    assert_eq!(store.safe_queue(SAFE).unwrap(), [b"name".to_vec(), b"a".to_vec(), b"b".to_vec()]);
    assert_eq!(store.safe_records(SAFE, 1, 9).unwrap(), taken(0, 0, 3).records[1..]);
    let (epoch, kept) = store.safe_keys(SAFE).unwrap().pop().unwrap();
    assert!(epoch == 0 && kept.is_same(&key(3)));
    let mut objects = store.staged_objects(SAFE).unwrap();
    objects.sort_unstable();
    assert_eq!(objects, [(staged(1).object, true), (staged(2).object, false)]);
    assert_eq!(store.staged_object(SAFE, staged(2).object).unwrap(), Some(staged(2)));

    let folded = Folded {
        seq: 3,
        state: Some(b"tree".to_vec()),
        queue: Requeued::Anew(vec![b"b'".to_vec()]),
        removed: None,
        word: Word::Snapshot(2),
    };
    store.fold_safe(SAFE, &folded).unwrap();
    let store = reopened(&home, store);
    let safe = store.safe(SAFE).unwrap().unwrap();
    assert_eq!((safe.folded, safe.posting, safe.started), (3, None, Some(2)));
    assert_eq!(store.safe_queue(SAFE).unwrap(), [b"b'".to_vec()]);
    assert_eq!(store.safe_state(SAFE).unwrap(), Some((3, b"tree".to_vec())));
}

#[test]
fn what_is_cut_off_half_way_leaves_what_was_there() {
    let home = Home::new();
    let store = founded(&home);
    store.take_safe_items(SAFE, &taken(0, 0, 1)).unwrap();
    let gap = store.take_safe_items(SAFE, &taken(0, 1, 1));
    assert!(matches!(gap, Err(StoreError::Gap { have: 1, from: 0 })), "{gap:?}");

    // The last row of each is refused: nothing of it is there.
    let before = |store: &Store| {
        (
            store.safe(SAFE).unwrap(),
            store.safe_queue(SAFE).unwrap(),
            store.safe_certificates(SAFE, 0).unwrap(),
            store.safe_records(SAFE, 0, 9).unwrap(),
            store.safe_state(SAFE).unwrap(),
        )
    };
    let was = before(&store);
    let fail = |table: &str| {
        format!(
            "CREATE TEMP TRIGGER fail BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'power cut'); END"
        )
    };
    let run = |sql: &str| store.inner().unwrap().connection.execute_batch(sql).unwrap();
    run(&fail("safe_change"));
    let folded = Folded {
        seq: 1,
        state: Some(b"tree".to_vec()),
        queue: Requeued::Anew(vec![b"x".to_vec()]),
        removed: None,
        word: Word::Snapshot(2),
    };
    store.fold_safe(SAFE, &folded).unwrap_err();
    store.queue_safe_changes(SAFE, &[b"y".to_vec()]).unwrap_err();
    run("DROP TRIGGER fail");
    run(&fail("safe_record"));
    store.take_safe_items(SAFE, &taken(1, 1, 2)).unwrap_err();
    run("DROP TRIGGER fail");
    assert_eq!(before(&store), was);
    let store = reopened(&home, store);
    assert_eq!(before(&store), was);
    store.take_safe_items(SAFE, &taken(1, 1, 2)).unwrap();
}

#[test]
fn a_queue_gets_shorter_from_its_front_by_what_is_there() {
    let home = Home::new();
    let store = founded(&home);
    store.take_safe_items(SAFE, &taken(0, 0, 3)).unwrap();
    store.replace_safe_queue(SAFE, &[b"a".to_vec(), b"b".to_vec(), b"c".to_vec()]).unwrap();
    let shorter = |by, seq| Folded {
        seq,
        state: None,
        queue: Requeued::Shorter(by),
        removed: None,
        word: Word::AsBefore,
    };
    store.fold_safe(SAFE, &shorter(2, 1)).unwrap();
    store.queue_safe_changes(SAFE, &[b"d".to_vec()]).unwrap();
    assert_eq!(store.safe_queue(SAFE).unwrap(), [b"c".to_vec(), b"d".to_vec()]);
    // More than there are: it is another queue, and nothing is done.
    let refused = store.fold_safe(SAFE, &shorter(3, 2)).unwrap_err();
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused:?}");
    assert_eq!(store.safe(SAFE).unwrap().unwrap().folded, 1);
    let store = reopened(&home, store);
    assert_eq!(store.safe_queue(SAFE).unwrap(), [b"c".to_vec(), b"d".to_vec()]);
    store.fold_safe(SAFE, &shorter(0, 2)).unwrap();
    assert_eq!(store.safe_queue(SAFE).unwrap().len(), 2);
}

#[test]
fn an_erased_safe_leaves_no_row() {
    let home = Home::new();
    let store = founded(&home);
    store.take_safe_items(SAFE, &taken(0, 0, 2)).unwrap();
    store
        .fold_safe(
            SAFE,
            &Folded {
                seq: 2,
                state: Some(vec![1]),
                queue: Requeued::Anew(vec![vec![2]]),
                removed: None,
                word: Word::AsBefore,
            },
        )
        .unwrap();
    store.stage_objects(SAFE, &[staged(1)]).unwrap();
    let other = SafeId::from_bytes([8; 16]);
    assert!(store.know_safe(other, new_device(1).device, Standing::Offered).unwrap());
    assert!(!store.know_safe(other, new_device(1).device, Standing::Accepted).unwrap());
    store.erase_safe(SAFE).unwrap();
    for table in ["certificate", "record", "key", "change", "waiting", "kept", "state"] {
        let count: i64 = store
            .inner()
            .unwrap()
            .connection
            .query_row(&format!("SELECT count(*) FROM safe_{table}"), [], |row| row.get(0))
            .unwrap();
        assert_eq!(count, 0, "{table}");
    }
    let left: Vec<_> = store.safes().unwrap().into_iter().map(|safe| (safe.safe, safe.standing)).collect();
    assert_eq!(left, [(other, Standing::Offered)]);
}
