//! Queues and batches: one caller's refusal, bug or flood is no other's trouble.

use std::pin::Pin;
use std::sync::Arc;

use super::queue::{RETRY_FULL, WAITING_PER_MEMBER_MAX};
use super::sqlite::BATCH_MAX;
use super::*;
use crate::errors::Refusal;
use parsec_protocol::ids::{OrganisationId, Timestamp};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::ErrorCode;

type Working<'a> = Pin<Box<dyn Future<Output = Result<(), Refusal>> + 'a>>;

fn reserve(name: &str) -> impl FnOnce(&mut dyn Tx) -> Result<(), Refusal> + use<> {
    let name: OrganisationId = name.parse().unwrap();
    move |tx| {
        tx.reserve(&name, Hash::from_bytes([1; 32]), Timestamp(0))?;
        Ok(())
    }
}

/// Work that begins a change and then refuses must leave nothing, and its neighbours in the batch
/// everything.
#[tokio::test]
async fn one_refusal_in_a_batch_takes_back_its_own_changes_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (store, threads) = Store::open(&folder.path().join("db"), Arc::default()).unwrap();
    let refused = |name: &str| {
        let begin = reserve(name);
        move |tx: &mut dyn Tx| -> Result<(), Refusal> {
            begin(tx)?;
            Err(ErrorCode::NotAllowed.into())
        }
    };
    let answers = tokio::join!(
        store.write(reserve("a")),
        store.write(refused("b")),
        store.write(reserve("c")),
        store.write(refused("d")),
    );
    assert_eq!(
        answers,
        (Ok(()), Err(ErrorCode::NotAllowed.into()), Ok(()), Err(ErrorCode::NotAllowed.into()))
    );
    let names = store.read(|tx| Ok(tx.organisations()?)).await.unwrap();
    assert_eq!(names.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    drop(store);
    threads.join();
}

/// One member who has asked for very much is one among others: whoever comes then is next.
#[tokio::test]
async fn a_members_long_queue_is_waited_for_by_that_member_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (store, threads) = Store::open(&folder.path().join("db"), Arc::default()).unwrap();
    let (go, release) = std::sync::mpsc::channel::<()>();
    let done = Arc::new(std::sync::Mutex::new(Vec::new()));
    let of = |organisation: &str, user: u8| {
        let user = UserId::from_bytes([user; 16]);
        store.of(Party::Member(organisation.parse().unwrap(), user))
    };
    let noted = |who: &'static str| {
        let done = Arc::clone(&done);
        move |_: &mut dyn Tx| {
            done.lock().unwrap().push(who);
            Ok(())
        }
    };
    let (flood, colleague, other) = (of("acme", 1), of("acme", 2), of("bolt", 1));
    let mut waiting: Vec<Working<'_>> = vec![Box::pin(flood.write(move |_| {
        let _ = release.recv();
        Ok(())
    }))];
    // The writer may have taken a batch before it was held.
    for _ in 0..WAITING_PER_MEMBER_MAX + BATCH_MAX {
        waiting.push(Box::pin(flood.write(noted("flood"))));
    }
    waiting.push(Box::pin(colleague.write(noted("colleague"))));
    waiting.push(Box::pin(other.write(noted("other"))));
    let (mut standing, mut refused) = (Vec::new(), 0);
    for mut work in waiting {
        match futures_util::poll!(work.as_mut()) {
            std::task::Poll::Pending => standing.push(work),
            std::task::Poll::Ready(answer) => {
                assert_eq!(answer, Err(Refusal::rate_limited(RETRY_FULL)));
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "a member's queue has an end");
    // Everything stands in its queue by now.
    drop(go);
    for work in standing {
        work.await.unwrap();
    }
    let done = done.lock().unwrap().clone();
    for late in ["colleague", "other"] {
        let place = done.iter().position(|who| *who == late).unwrap();
        assert!(place <= BATCH_MAX + 4, "{late} is number {place} of {}", done.len());
    }
    drop((store, flood, colleague, other));
    threads.join();
}

/// What nobody waits for any more is not begun.
#[tokio::test]
async fn whoever_has_gone_leaves_no_work() {
    let folder = tempfile::tempdir().unwrap();
    let (store, threads) = Store::open(&folder.path().join("db"), Arc::default()).unwrap();
    let (go, release) = std::sync::mpsc::channel::<()>();
    let held = store.write(move |_| {
        let _ = release.recv();
        Ok(())
    });
    let gone = async {
        let mut work = Box::pin(store.write(reserve("gone")));
        assert!(futures_util::poll!(&mut work).is_pending());
        drop(work);
        drop(go);
    };
    let (held, ()) = tokio::join!(held, gone);
    held.unwrap();
    store.write(reserve("here")).await.unwrap();
    let names = store.read(|tx| Ok(tx.organisations()?)).await.unwrap();
    assert_eq!(names.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["here"]);
    drop(store);
    threads.join();
}

/// C7. Work that panics is one refusal more: its neighbours in the batch and whoever comes later
/// don't notice.
#[tokio::test]
async fn a_bug_in_one_request_is_no_trouble_for_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (store, threads) = Store::open(&folder.path().join("db"), Arc::default()).unwrap();
    let broken = |name: &str| {
        let begin = reserve(name);
        move |tx: &mut dyn Tx| -> Result<(), Refusal> {
            begin(tx)?;
            panic!("a bug in a request")
        }
    };
    let mut kept = Vec::new();
    for round in 0..10 {
        let names = ["a", "b"].map(|name| format!("{name}{round}"));
        let [first, last] = &names;
        let answers =
            tokio::join!(store.write(reserve(first)), store.write(broken("x")), store.write(reserve(last)));
        assert_eq!(answers, (Ok(()), Err(ErrorCode::Internal.into()), Ok(())));
        kept.extend(names);
        let reading: Result<(), Refusal> = store.read(|_| panic!("a bug in a reader")).await;
        assert_eq!(reading, Err(ErrorCode::Internal.into()));
    }
    let mut names: Vec<String> = store
        .read(|tx| Ok(tx.organisations()?))
        .await
        .unwrap()
        .iter()
        .map(|row| row.name.as_str().to_owned())
        .collect();
    names.sort_unstable();
    kept.sort_unstable();
    assert_eq!(names, kept);
    println!("figure C7: 20 requests that fail at the server's database: {} neighbours served", kept.len());
    drop(store);
    threads.join();
}

/// A batch whose commit fails: all callers in it are told, none is told `Ok`.
#[tokio::test]
async fn a_failed_commit_fails_the_batch_and_the_next_one_works() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    // Checked at the commit alone: a row that refers to one that isn't there.
    let trap = "CREATE TABLE present (x INTEGER PRIMARY KEY);
        CREATE TABLE absent (x INTEGER REFERENCES present (x) DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER trap AFTER INSERT ON organisation WHEN new.id = 'x' BEGIN INSERT INTO absent VALUES (1); END";
    sqlite::open_writer(&path).unwrap().execute_batch(trap).unwrap();
    let (store, threads) = Store::open(&path, Arc::default()).unwrap();
    assert_eq!(store.write(reserve("x")).await, Err(ErrorCode::Internal.into()));
    store.write(reserve("a")).await.unwrap();
    let names = store.read(|tx| Ok(tx.organisations()?)).await.unwrap();
    assert_eq!(names.len(), 1);
    drop(store);
    threads.join();
}
