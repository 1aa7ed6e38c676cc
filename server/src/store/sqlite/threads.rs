//! The engine's threads: one writes, some read.
//!
//! Decides how changes become durable: the writer takes what has queued up, and what comes while it
//! is at that, runs each piece of work in a savepoint of one transaction, commits once, tells of
//! it, and only then answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use super::tx::Transaction;
use super::{OpenError, schema, stamp};
use crate::errors::Refusal;
use crate::store::StoreError;
use crate::store::fair_queue::Group;
use crate::store::queue::{Listeners, Queue, READERS, Threads, Work};
use crate::watchers::Change;

/// Pieces of work in one transaction: bounds how long the first waits for the last.
pub(crate) const BATCH_MAX: usize = 128;
/// How the writer begins.
const WRITING: &str = "BEGIN IMMEDIATE";
/// How a reader begins.
const READING: &str = "BEGIN DEFERRED";

/// Opens the database and starts the threads, which end when their queue is closed and empty.
pub(in crate::store) fn start(
    path: &Path,
    writing: &Arc<Queue>,
    reading: &Arc<Queue>,
    listeners: &Arc<Listeners>,
) -> Result<Threads, OpenError> {
    let mut connection = schema::open_writer(path)?;
    let due = stamp::begin(&mut connection)?;
    let (queue, told) = (Arc::clone(writing), Arc::clone(listeners));
    let mut threads = vec![std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
        serve(&mut Opened::from(connection), WRITING, &queue, &told, Some(due));
    })?];
    // A database that can't be read is found out now, and a small server needs one reader.
    let mut first = Some(schema::open_reader(path)?);
    for _ in 0..READERS {
        let mut opened = first.take().map_or_else(|| Opened::later(path), Opened::from);
        let queue = Arc::clone(reading);
        let unheard = Listeners::default();
        threads.push(std::thread::Builder::new().name("store-reader".to_owned()).spawn(move || {
            serve(&mut opened, READING, &queue, &unheard, None);
        })?);
    }
    Ok(Threads(threads))
}

/// A thread's connection. A reader's is opened for its first work: each takes some hundred KiB.
struct Opened {
    connection: Option<Connection>,
    path: PathBuf,
}

impl From<Connection> for Opened {
    fn from(connection: Connection) -> Self {
        Self { connection: Some(connection), path: PathBuf::new() }
    }
}

impl Opened {
    fn later(path: &Path) -> Self {
        Self { connection: None, path: path.to_owned() }
    }

    /// None: it can't be opened now. It is tried again for the next piece of work.
    fn get(&mut self) -> Option<&Connection> {
        if self.connection.is_none() {
            self.connection = schema::open_reader(&self.path)
                .inspect_err(|error| tracing::error!(%error, "the database can't be opened once more"))
                .ok();
        }
        self.connection.as_ref()
    }
}

/// Pieces of work in one transaction, and whose they are.
#[derive(Default)]
struct Batch {
    works: Vec<Box<dyn Work>>,
    groups: Vec<Group>,
}

impl Batch {
    fn take(&mut self, (group, work): (Group, Box<dyn Work>)) {
        self.groups.push(group);
        if !work.abandoned() {
            self.works.push(work);
        }
    }

    /// Takes what has queued up by now.
    fn take_more(&mut self, queue: &Queue, most: usize) {
        while self.groups.len() < most
            && let Some(next) = queue.try_next()
        {
            self.take(next);
        }
    }
}

/// A thread's life: the writer's, if there are checkpoints to make.
fn serve(
    opened: &mut Opened,
    begin: &str,
    queue: &Queue,
    listeners: &Listeners,
    mut checkpoints: Option<stamp::Due>,
) {
    // One at a time of readers: a caller who is quickly served must not wait for the end of a
    // batch.
    let most = if checkpoints.is_some() { BATCH_MAX } else { 1 };
    let mut batch = Batch::default();
    while let Some(first) = queue.next() {
        batch.take(first);
        batch.take_more(queue, most);
        let connection = opened.get();
        if !batch.works.is_empty() {
            let mut changed = Vec::new();
            let fate = match connection {
                Some(connection) => run_batch(connection, begin, (queue, most), &mut batch, &mut changed),
                None => Err(Refusal::UNAVAILABLE),
            };
            if fate.is_ok() {
                listeners.tell(&changed);
            }
            for work in batch.works.drain(..) {
                work.answer(fate);
            }
        }
        for group in batch.groups.drain(..) {
            queue.done(&group);
        }
        // After the answers: only the next piece of work waits for it.
        if let (Some(due), Some(connection)) = (&mut checkpoints, connection) {
            due.checkpoint(connection);
        }
    }
}

fn run_batch(
    connection: &Connection,
    begin: &str,
    more: (&Queue, usize),
    batch: &mut Batch,
    changed: &mut Vec<Change>,
) -> Result<(), Refusal> {
    let fate = try_batch(connection, begin, more, batch, changed);
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
    (queue, most): (&Queue, usize),
    batch: &mut Batch,
    changed: &mut Vec<Change>,
) -> Result<(), Refusal> {
    say(connection, begin)?;
    let mut at = 0;
    if let [alone] = batch.works.as_mut_slice() {
        // Most work is alone: the transaction itself is what a refusal takes back.
        let keep = alone.run(&mut Transaction::new(connection, changed));
        if connection.is_autocommit() {
            return Err(Refusal::UNAVAILABLE);
        }
        if !keep {
            changed.clear();
            return Ok(say(connection, "ROLLBACK")?);
        }
        at = 1;
        // What has come meanwhile is made durable with it.
        batch.take_more(queue, most);
    }
    while let Some(work) = batch.works.get_mut(at) {
        say(connection, "SAVEPOINT work")?;
        let mut own = Vec::new();
        let keep = work.run(&mut Transaction::new(connection, &mut own));
        if connection.is_autocommit() {
            // A full disk makes SQLite take back the whole transaction: all of the batch has
            // failed.
            return Err(Refusal::UNAVAILABLE);
        }
        if keep {
            changed.append(&mut own);
        } else {
            say(connection, "ROLLBACK TO work")?;
        }
        say(connection, "RELEASE work")?;
        at += 1;
        batch.take_more(queue, most);
    }
    say(connection, "COMMIT")?;
    Ok(())
}

/// Runs one change without the threads, for the commands that work beside a server. Nobody watches
/// its topics.
pub(crate) fn change<T, E: From<StoreError>>(
    connection: &Connection,
    work: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
) -> Result<T, E> {
    alone(connection, WRITING, work)
}

/// Reads one state of the database in the same way.
pub(crate) fn read<T, E: From<StoreError>>(
    connection: &Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
) -> Result<T, E> {
    alone(connection, READING, |tx| work(tx))
}

fn alone<T, E: From<StoreError>>(
    connection: &Connection,
    begin: &str,
    work: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
) -> Result<T, E> {
    say(connection, begin)?;
    let outcome = work(&mut Transaction::new(connection, &mut Vec::new()))
        .and_then(|outcome| Ok(say(connection, "COMMIT").map(|()| outcome)?));
    if outcome.is_err() && !connection.is_autocommit() {
        say(connection, "ROLLBACK")?;
    }
    outcome
}

/// One of the words around each piece of work: compiled once.
fn say(connection: &Connection, word: &str) -> Result<(), StoreError> {
    Ok(connection.prepare_cached(word)?.execute([]).map(drop)?)
}
