//! Several threads that check signatures of certificates.
//!
//! Decides how many: as many as the machine has processors, up to a few, since a person works on
//! it. Each call's threads end with it.

use std::num::NonZero;
use std::thread;

use parsec_protocol::chain::batch::{Executor, Task};

/// Threads at most: a log of 100,000 certificates takes some seconds on these.
const THREADS_MAX: usize = 4;
/// Tasks that are worth a thread of their own: under a millisecond's work, starting one takes
/// longer than it saves.
const SHARE_MIN: usize = 16;

/// The threads of one call.
#[derive(Debug, Clone, Copy)]
pub struct ThreadPool;

impl Executor for ThreadPool {
    fn run<T: Task>(&self, tasks: &mut [T]) {
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
        let share = tasks.len().div_ceil(threads).max(SHARE_MIN);
        let mut parts = tasks.chunks_mut(share);
        let own = parts.next();
        thread::scope(|scope| {
            for part in parts {
                // One that can't be started is left to the verifier, which checks what nobody has.
                let _ = thread::Builder::new().name("verify".to_owned()).spawn_scoped(scope, || {
                    part.iter_mut().for_each(Task::run);
                });
            }
            own.into_iter().flatten().for_each(Task::run);
        });
    }
}
