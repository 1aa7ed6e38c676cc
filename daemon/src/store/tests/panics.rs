//! C7. A thread that fails while it holds the store: what it had begun is taken back, and the next
//! one goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

#[test]
fn a_bug_while_the_store_is_held_takes_back_what_it_began_and_nothing_else() {
    let home = Home::new();
    let new = new_device(1);
    let open = home.open().create(&new, SERVER, None, &right()).unwrap();
    let begin = "INSERT INTO log (position, envelope) VALUES (1000, x'00')";
    let mut log = open.store.certificates().unwrap();
    for round in 0..5_u8 {
        let failed = catch_unwind(AssertUnwindSafe(|| {
            let mut inner = open.store.inner().unwrap();
            let transaction = inner.connection.transaction().unwrap();
            transaction.execute_batch(begin).unwrap();
            panic!("a bug inside a transaction")
        }));
        assert!(failed.is_err());
        assert_eq!(open.store.certificates().unwrap(), log);
        // One that nobody drops.
        let failed = catch_unwind(AssertUnwindSafe(|| {
            let inner = open.store.inner().unwrap();
            inner.connection.execute_batch(&format!("BEGIN IMMEDIATE; {begin}")).unwrap();
            panic!("a bug with a transaction left open")
        }));
        assert!(failed.is_err());
        let count = open.store.head().unwrap().count;
        assert_eq!(count, log.len() as u64);
        log.push(vec![round; 40]);
        open.store.append_certificates(count, &log[log.len() - 1..]).unwrap();
        assert_eq!(open.store.certificates().unwrap(), log);
    }
    drop(open);
    let again = home.open().unlock(new.device, &right()).unwrap();
    assert_eq!(again.store.certificates().unwrap(), log);
    println!(
        "figure C7: 10 failures of a thread that held a store: what they began is gone, the next call served"
    );
}
