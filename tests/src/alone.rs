//! One after the other: tests that take the whole machine, or something of it that is there once.
//!
//! Decides that two of them never run side by side in one program. Tests of a program share its
//! threads, a full sweep of kills or four hundred ceremonies keep both cores busy by themselves,
//! and what waits beside them would be measured, or given up, for the other's sake. Programs of
//! tests need no such care: cargo runs one after the other.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by the one that runs.
static MACHINE: Mutex<()> = Mutex::new(());

/// Waits until no other test of this program has the machine; gives it back when dropped.
///
/// A test that failed while it had the machine leaves nothing behind that the next one would miss.
pub fn on_the_machine() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}
