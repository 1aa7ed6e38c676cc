//! The engine's threads: one writes, some read.
//!
//! Decides how changes become durable: the writer takes what has queued up, runs each piece of work
//! in a savepoint of one transaction, commits once, tells of it, and only then answers.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::tx::Transaction;
use super::{OpenError, schema, stamp};
use crate::errors::Refusal;
use crate::store::StoreError;
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
    let connection = schema::open_writer(path)?;
    stamp::begin(&connection)?;
    let (queue, told) = (Arc::clone(writing), Arc::clone(listeners));
    let mut threads = vec![std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
        serve(&connection, WRITING, &queue, BATCH_MAX, &told);
    })?];
    for _ in 0..READERS {
        let (connection, queue) = (schema::open_reader(path)?, Arc::clone(reading));
        let unheard = Listeners::default();
        // One at a time: a caller who is quickly served must not wait for the end of a batch.
        threads.push(std::thread::Builder::new().name("store-reader".to_owned()).spawn(move || {
            serve(&connection, READING, &queue, 1, &unheard);
        })?);
    }
    Ok(Threads(threads))
}

/// A thread's life.
fn serve(connection: &Connection, begin: &str, queue: &Queue, batch_max: usize, listeners: &Listeners) {
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
                listeners.tell(&changed);
            }
            for work in batch.drain(..) {
                work.answer(fate);
            }
        }
        for group in groups.drain(..) {
            queue.done(&group);
        }
        // After the answers: only the next piece of work waits for it.
        if begin == WRITING {
            due.checkpoint(connection);
        }
    }
}

fn run_batch(
    connection: &Connection,
    begin: &str,
    batch: &mut [Box<dyn Work>],
    changed: &mut Vec<Change>,
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
    changed: &mut Vec<Change>,
) -> Result<(), Refusal> {
    say(connection, begin)?;
    if let [alone] = batch {
        // Most work is alone: the transaction itself is what a refusal takes back.
        let keep = alone.run(&mut Transaction::new(connection, changed));
        if connection.is_autocommit() {
            return Err(Refusal::UNAVAILABLE);
        }
        if !keep {
            changed.clear();
        }
        return Ok(say(connection, if keep { "COMMIT" } else { "ROLLBACK" })?);
    }
    for work in batch {
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
