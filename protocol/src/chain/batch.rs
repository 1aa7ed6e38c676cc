//! Signatures of many certificates, checked by several threads at once.
//!
//! Decides what can be done before its turn: reading a certificate, and checking its signature
//! under the key that it will have to be checked under if all goes well. Refuses to decide anything
//! by that: the rules go through the log in order, find out for themselves whose key it is, and
//! check again whatever was not checked under exactly that key. So an executor can make verifying
//! faster, and nothing else.

use std::collections::BTreeMap;

use super::candidate::Candidate;
use super::log::Log;
use super::rules::Rules;
use crate::public_keys::{PreparedKey, VerifyKey};

/// Certificates that are read ahead: some megabytes, and enough that two threads have some 50 ms of
/// work each.
pub(super) const SIZE: usize = 2_048;

/// A piece of work that may be done on any thread.
pub trait Task: Send {
    /// Does it. Takes about 50 µs.
    fn run(&mut self);
}

/// What runs tasks. How many threads it has, and in which order they work, decides how long it
/// takes and nothing else.
pub trait Executor {
    /// Calls [`Task::run`] on each, in any order, from any threads; returns when it is done. What
    /// is left out is done by the verifier.
    fn run<T: Task>(&self, tasks: &mut [T]);
}

/// One after the other, on the caller's thread.
#[derive(Debug, Clone, Copy)]
pub struct Sequential;

impl Executor for Sequential {
    fn run<T: Task>(&self, tasks: &mut [T]) {
        tasks.iter_mut().for_each(Task::run);
    }
}

/// One certificate: its bytes, then what they say, then whether the signature holds.
#[derive(Debug)]
pub(super) struct Job<'a, R: Rules> {
    bytes: &'a [u8],
    candidate: Option<Candidate<'a, R>>,
    key: Option<(VerifyKey, Option<PreparedKey>)>,
}

impl<R: Rules> Task for Job<'_, R> {
    /// Does what is next: reads, or checks the signature.
    fn run(&mut self) {
        match (&mut self.candidate, &self.key) {
            (None, _) => self.candidate = Candidate::read(self.bytes),
            (Some(candidate), Some((key, prepared))) => candidate.verify_prepared(*key, prepared.as_ref()),
            (Some(_), None) => {}
        }
    }
}

impl<'a, R: Rules> Job<'a, R> {
    /// What was read, with the signature check that was made.
    pub(super) fn done(self) -> Option<Candidate<'a, R>> {
        // An executor may have left it out.
        self.candidate.or_else(|| Candidate::read(self.bytes))
    }
}

/// Has a batch read and its signatures checked, under the keys that the log has or that earlier
/// certificates of the batch name.
pub(super) fn prepare<'a, R: Rules, E: AsRef<[u8]>>(
    log: &Log<R>,
    around: &R::Around,
    batch: &'a [E],
    executor: &impl Executor,
) -> Vec<Job<'a, R>> {
    let mut jobs: Vec<Job<'a, R>> =
        batch.iter().map(|bytes| Job { bytes: bytes.as_ref(), candidate: None, key: None }).collect();
    executor.run(&mut jobs);
    // The first certificate that names an author is the one that counts: a second is refused.
    let mut named: BTreeMap<R::Author, VerifyKey> = BTreeMap::new();
    let mut prepared: BTreeMap<R::Author, (VerifyKey, Option<PreparedKey>)> = BTreeMap::new();
    for job in &mut jobs {
        let Some(candidate) = &job.candidate else { continue };
        let author = R::author(candidate.payload());
        job.key = prepared.get(&author).cloned().or_else(|| {
            let key = R::key_of(log, around, &author).or_else(|| named.get(&author).copied())?;
            let ready = (key, key.prepare());
            prepared.insert(author, ready.clone());
            Some(ready)
        });
        if let Some((author, key)) = R::names(candidate.payload()) {
            named.entry(author).or_insert(key);
        }
    }
    executor.run(&mut jobs);
    jobs
}
