//! The database, behind threads: one writes, some read.
//!
//! Decides how changes become durable: the writer takes what has queued up, runs each piece of work in a savepoint of one
//! transaction, commits once, tells the watchers, and only then answers. Whose work is next, `turns` decides. Refuses work of whoever has too
//! much waiting, and leaves out what nobody waits for any more.

pub(crate) mod attempts;
pub(crate) mod changes;
pub(crate) mod invitations;
pub(crate) mod manifests;
pub(crate) mod members;
pub(crate) mod pruning;
mod schema;
mod stamp;
mod turns;
pub(crate) mod usage;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::oneshot;

pub use schema::OpenError;
pub(crate) use schema::{
    Making, contents, integrity, open_beside, open_copy, open_existing, open_source, open_writer, present,
};
pub(crate) use stamp::{
    check as check_beside, check_alone as check_log, claim_log, free_name, renew as stamp_anew,
};
pub(crate) use turns::Party;

use self::turns::{Bounds, Full, Turns};
use crate::errors::Refusal;
use crate::watchers::{Topic, Watchers};

/// Threads that read. More than a small machine has cores, so that a long answer for one holds up no short ones for others.
const READERS: usize = 4;
/// Of them at work for one organisation, or one address: one is always left to the others.
const READERS_PER_PARTY_MAX: usize = READERS - 1;
/// Pieces of one member's work that wait: more than all daemons of a person have under way.
const WAITING_PER_MEMBER_MAX: usize = 512;
/// Pieces of work that wait for one address, where a whole office may sit: both sides of some 500 ceremonies.
const WAITING_PER_ADDRESS_MAX: usize = 1_024;
/// Pieces of work that wait in all, each with its request's body: twice as many as there are connections, unless the operator wants more.
const WAITING_MAX: usize = 4_096;
/// Seconds after which whoever has too much waiting may try again: some thousand pieces are done in one.
const RETRY_FULL: u32 = 1;
/// Pieces of work in one transaction: bounds how long the first waits for the last.
const BATCH_MAX: usize = 128;
/// How the writer begins.
const WRITING: &str = "BEGIN IMMEDIATE";

/// What a piece of work may touch: the database, and the list of what changed.
pub(crate) struct Transaction<'a> {
    /// Inside a transaction.
    pub(crate) sql: &'a Connection,
    changed: &'a mut Vec<Topic>,
}

impl Transaction<'_> {
    /// Tells the topic's watchers once this is durable.
    pub(crate) fn changed(&mut self, topic: Topic) {
        self.changed.push(topic);
    }
}

/// Work for a thread, with its type of result hidden.
trait Work: Send {
    /// Runs it; `false`: its changes are to be taken back.
    fn run(&mut self, transaction: &mut Transaction<'_>) -> bool;
    /// Whether nobody waits for it any more: it need not begin.
    fn abandoned(&self) -> bool;
    /// Answers. `fate`: whether the transaction around it was committed.
    fn answer(self: Box<Self>, fate: Result<(), Refusal>);
}

struct Task<F, T> {
    work: Option<F>,
    outcome: Option<Result<T, Refusal>>,
    reply: oneshot::Sender<Result<T, Refusal>>,
}

impl<F, T> Work for Task<F, T>
where
    F: FnOnce(&mut Transaction<'_>) -> Result<T, Refusal> + Send,
    T: Send,
{
    fn run(&mut self, transaction: &mut Transaction<'_>) -> bool {
        // A bug in one request's work must not take the thread with it, which all others wait for. Safe to go on: the work owns nothing of
        // the thread's but the transaction, and what it changed there is taken back like any refusal's.
        let outcome = self.work.take().map(|work| {
            catch_unwind(AssertUnwindSafe(|| work(transaction))).unwrap_or_else(|_| {
                tracing::error!("a request's work on the database failed: a bug");
                Err(parsec_protocol::relay::ErrorCode::Internal.into())
            })
        });
        let keep = matches!(outcome, Some(Ok(_)));
        self.outcome = outcome;
        keep
    }

    fn abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn answer(self: Box<Self>, fate: Result<(), Refusal>) {
        let answer = match fate {
            Ok(()) => self.outcome.unwrap_or(Err(Refusal::UNAVAILABLE)),
            Err(refusal) => Err(refusal),
        };
        // The caller may have gone; the change stays.
        let _ = self.reply.send(answer);
    }
}

type Queue = Turns<Box<dyn Work>>;

/// Both queues; nothing more comes once this is gone.
struct Queues {
    writer: Arc<Queue>,
    readers: Arc<Queue>,
}

impl Drop for Queues {
    fn drop(&mut self) {
        self.writer.close();
        self.readers.close();
    }
}

/// The database, for one party's work. Copies share the threads; the threads end when the last copy is dropped.
#[derive(Clone)]
pub(crate) struct Store {
    queues: Arc<Queues>,
    party: Party,
}

/// The threads, to be waited for after the last [`Store`] is gone.
#[derive(Debug)]
pub(crate) struct Threads(Vec<std::thread::JoinHandle<()>>);

impl Threads {
    /// Waits until all have ended. Blocks.
    pub(crate) fn join(self) {
        for thread in self.0 {
            if thread.join().is_err() {
                tracing::error!("a database thread had failed");
            }
        }
    }
}

impl Store {
    /// Opens the database and starts the threads. What is asked of it as it is returned is the server's own work.
    pub(crate) fn open(path: &Path, watchers: Arc<Watchers>) -> Result<(Self, Threads), OpenError> {
        let bounds = |at_once| Bounds {
            member: WAITING_PER_MEMBER_MAX,
            address: WAITING_PER_ADDRESS_MAX,
            all: WAITING_MAX,
            at_once,
        };
        let writing = open_writer(path)?;
        stamp::begin(&writing)?;
        let queues = Queues {
            writer: Arc::new(Turns::new(bounds(usize::MAX))),
            readers: Arc::new(Turns::new(bounds(READERS_PER_PARTY_MAX))),
        };
        let queue = Arc::clone(&queues.writer);
        let mut threads =
            vec![std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
                serve(&writing, WRITING, &queue, BATCH_MAX, &watchers);
            })?];
        for _ in 0..READERS {
            let (reading, queue) = (schema::open_reader(path)?, Arc::clone(&queues.readers));
            let unwatched = Arc::new(Watchers::default());
            // One at a time: whoever is quickly served must not wait for the end of a batch.
            threads.push(std::thread::Builder::new().name("store-reader".to_owned()).spawn(move || {
                serve(&reading, "BEGIN DEFERRED", &queue, 1, &unwatched);
            })?);
        }
        Ok((Self { queues: Arc::new(queues), party: Party::Server }, Threads(threads)))
    }

    /// The same for another party, in whose turn the work is done.
    pub(crate) fn of(&self, party: Party) -> Self {
        Self { queues: Arc::clone(&self.queues), party }
    }

    /// Runs a change. When this answers `Ok`, it is on disk; when `Err`, nothing of it is, except that a failed answer to a commit
    /// leaves open which (callers repeat: all calls are idempotent).
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        hand_over(&self.queues.writer, &self.party, work).await
    }

    /// Reads the newest durable state.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let work = |transaction: &mut Transaction<'_>| work(transaction.sql);
        hand_over(&self.queues.readers, &self.party, work).await
    }
}

async fn hand_over<T: Send + 'static>(
    queue: &Queue,
    party: &Party,
    work: impl FnOnce(&mut Transaction<'_>) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let full = Refusal::rate_limited(RETRY_FULL);
    let (reply, answer) = oneshot::channel();
    let task = Task { work: Some(work), outcome: None, reply };
    if let Some(gone) = queue.push(party, Box::new(task)).map_err(|Full| full)? {
        gone.answer(Err(full));
    }
    answer.await.unwrap_or(Err(Refusal::UNAVAILABLE))
}

/// A thread's life.
fn serve(connection: &Connection, begin: &str, queue: &Queue, batch_max: usize, watchers: &Watchers) {
    let mut batch: Vec<Box<dyn Work>> = Vec::with_capacity(batch_max);
    let mut groups = Vec::with_capacity(batch_max);
    let mut due = stamp::Due::default();
    while let Some(first) = queue.next() {
        let more = std::iter::from_fn(|| queue.try_next()).take(batch_max.saturating_sub(1));
        for (group, work) in std::iter::once(first).chain(more) {
            groups.push(group);
            if !work.abandoned() {
                batch.push(work);
            }
        }
        if !batch.is_empty() {
            let mut changed = Vec::new();
            let fate = run_batch(connection, begin, &mut batch, &mut changed);
            if fate.is_ok() {
                watchers.notify(&changed);
            }
            for work in batch.drain(..) {
                work.answer(fate);
            }
        }
        for group in groups.drain(..) {
            queue.done(&group);
        }
        // After the answers: nobody waits for it but the next.
        if begin == WRITING {
            due.checkpoint(connection);
        }
    }
}

fn run_batch(
    connection: &Connection,
    begin: &str,
    batch: &mut [Box<dyn Work>],
    changed: &mut Vec<Topic>,
) -> Result<(), Refusal> {
    let fate = try_batch(connection, begin, batch, changed);
    if fate.is_err()
        && !connection.is_autocommit()
        && let Err(error) = say(connection, "ROLLBACK")
    {
        tracing::error!(%error, "a failed transaction could not be taken back");
    }
    fate
}

fn try_batch(
    connection: &Connection,
    begin: &str,
    batch: &mut [Box<dyn Work>],
    changed: &mut Vec<Topic>,
) -> Result<(), Refusal> {
    say(connection, begin)?;
    for work in batch {
        say(connection, "SAVEPOINT work")?;
        let mut own = Vec::new();
        let keep = work.run(&mut Transaction { sql: connection, changed: &mut own });
        if connection.is_autocommit() {
            // A full disk makes SQLite take back the whole transaction: all of the batch has failed.
            return Err(Refusal::UNAVAILABLE);
        }
        if keep {
            changed.append(&mut own);
        } else {
            say(connection, "ROLLBACK TO work")?;
        }
        say(connection, "RELEASE work")?;
    }
    say(connection, "COMMIT")?;
    Ok(())
}

/// Runs one change without the threads, for the commands that work beside a server.
pub(crate) fn change<T>(
    connection: &Connection,
    work: impl FnOnce(&mut Transaction<'_>) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    say(connection, "BEGIN IMMEDIATE")?;
    let outcome = work(&mut Transaction { sql: connection, changed: &mut Vec::new() })
        .and_then(|outcome| Ok(say(connection, "COMMIT").map(|()| outcome)?));
    if outcome.is_err() && !connection.is_autocommit() {
        say(connection, "ROLLBACK")?;
    }
    outcome
}

/// One of the words around every request's work: compiled once.
fn say(connection: &Connection, word: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(word)?.execute([]).map(drop)
}

/// The number a fieldless value of the protocol has on the wire; stored under it.
fn number_of<T: minicbor::Encode<()>>(value: &T) -> i64 {
    parsec_protocol::codec::encode(value).first().map_or(-1, |byte| i64::from(*byte))
}

/// The value of a stored number.
fn from_number<T>(number: i64) -> Result<T, Refusal>
where
    T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>,
{
    let byte = u8::try_from(number).map_err(|_| damaged("number"))?;
    parsec_protocol::codec::decode(&[byte], 1).map_err(|_| damaged("number"))
}

/// A count or time of the protocol, as SQLite stores it. What doesn't fit is far beyond every bound that was checked before.
fn stored(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unstored(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Exactly `N` stored bytes.
fn bytes<const N: usize>(value: Vec<u8>) -> Result<[u8; N], Refusal> {
    value.try_into().map_err(|_| damaged("length"))
}

/// A stored value is not what this program stores: the file was changed by something else.
fn damaged(what: &'static str) -> Refusal {
    tracing::error!(what, "the database holds a value that this server would not have stored");
    parsec_protocol::relay::ErrorCode::Internal.into()
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use super::*;
    use parsec_protocol::ids::{OrganisationId, Timestamp};
    use parsec_protocol::public::Hash;
    use parsec_protocol::relay::ErrorCode;

    type Working<'a> = Pin<Box<dyn Future<Output = Result<(), Refusal>> + 'a>>;

    fn reserve(name: &str) -> impl FnOnce(&mut Transaction<'_>) -> Result<(), Refusal> + use<> {
        let name: OrganisationId = name.parse().unwrap();
        move |transaction| {
            members::reserve(transaction.sql, &name, Hash::from_bytes([1; 32]), Timestamp(0))?;
            Ok(())
        }
    }

    /// Work that begins a change and then refuses must leave nothing, and its neighbours in the batch everything.
    #[tokio::test]
    async fn one_refusal_in_a_batch_takes_back_its_own_changes_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (store, threads) = Store::open(&folder.path().join("db"), Arc::default()).unwrap();
        let refused = |name: &str| {
            let begin = reserve(name);
            move |transaction: &mut Transaction<'_>| -> Result<(), Refusal> {
                begin(transaction)?;
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
        let names = store.read(|sql| Ok(members::list(sql)?)).await.unwrap();
        assert_eq!(names.iter().map(|row| row.0.as_str()).collect::<Vec<_>>(), ["a", "c"]);
        drop(store);
        threads.join();
    }

    /// One member who has asked for very much is one among others: whoever comes then is next.
    #[tokio::test]
    async fn a_members_long_queue_is_waited_for_by_that_member_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (store, threads) = Store::open(&folder.path().join("db"), Arc::default()).unwrap();
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let done = Arc::new(std::sync::Mutex::new(Vec::new()));
        let of = |organisation: &str, user: u8| {
            let user = parsec_protocol::ids::UserId::from_bytes([user; 16]);
            store.of(Party::Member(organisation.parse().unwrap(), user))
        };
        let noted = |who: &'static str| {
            let done = Arc::clone(&done);
            move |_: &mut Transaction<'_>| {
                done.lock().unwrap().push(who);
                Ok(())
            }
        };
        let (flood, colleague, other) = (of("acme", 1), of("acme", 2), of("bolt", 1));
        let mut waiting: Vec<Working<'_>> = vec![Box::pin(flood.write(move |_| {
            let _ = gate.recv();
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
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let held = store.write(move |_| {
            let _ = gate.recv();
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
        let names = store.read(|sql| Ok(members::list(sql)?)).await.unwrap();
        assert_eq!(names.iter().map(|row| row.0.as_str()).collect::<Vec<_>>(), ["here"]);
        drop(store);
        threads.join();
    }

    /// C7. Work that panics is one refusal more: its neighbours in the batch and whoever comes later don't notice.
    #[tokio::test]
    async fn a_bug_in_one_request_is_no_trouble_for_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let (store, threads) = Store::open(&folder.path().join("db"), Arc::default()).unwrap();
        let broken = |name: &str| {
            let begin = reserve(name);
            move |transaction: &mut Transaction<'_>| -> Result<(), Refusal> {
                begin(transaction)?;
                panic!("a bug in a request")
            }
        };
        let mut kept = Vec::new();
        for round in 0..10 {
            let names = ["a", "b"].map(|name| format!("{name}{round}"));
            let [first, last] = &names;
            let answers = tokio::join!(
                store.write(reserve(first)),
                store.write(broken("x")),
                store.write(reserve(last))
            );
            assert_eq!(answers, (Ok(()), Err(ErrorCode::Internal.into()), Ok(())));
            kept.extend(names);
            let reading: Result<(), Refusal> = store.read(|_| panic!("a bug in a reader")).await;
            assert_eq!(reading, Err(ErrorCode::Internal.into()));
        }
        let mut names: Vec<String> = store
            .read(|sql| Ok(members::list(sql)?))
            .await
            .unwrap()
            .iter()
            .map(|row| row.0.as_str().to_owned())
            .collect();
        names.sort_unstable();
        kept.sort_unstable();
        assert_eq!(names, kept);
        println!(
            "figure C7: 20 requests that fail at the server's database: {} neighbours served",
            kept.len()
        );
        drop(store);
        threads.join();
    }

    /// A batch whose commit fails: everybody in it is told, nobody is told `Ok`.
    #[tokio::test]
    async fn a_failed_commit_fails_the_batch_and_the_next_one_works() {
        let folder = tempfile::tempdir().unwrap();
        let (store, threads) = Store::open(&folder.path().join("db"), Arc::default()).unwrap();
        let broken = store.write(|transaction| {
            // Checked at the commit alone: a certificate of an organisation that isn't there.
            transaction.sql.execute_batch(
                "PRAGMA defer_foreign_keys = ON;
                 INSERT INTO certificate (organisation, position, envelope, head) VALUES ('x', 0, x'00', x'00')",
            )?;
            Ok(())
        });
        assert_eq!(broken.await, Err(ErrorCode::Internal.into()));
        store.write(reserve("a")).await.unwrap();
        let names = store.read(|sql| Ok(members::list(sql)?)).await.unwrap();
        assert_eq!(names.len(), 1);
        drop(store);
        threads.join();
    }
}
