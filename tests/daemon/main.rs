//! The daemon that most tests of the whole start: parsecd itself, with key files that take next to
//! no work.
//!
//! Decides nothing else. No option and no variable makes the shipped program do this: it is another
//! program, which no package takes.

use std::process::ExitCode;

use parsecd::program;
use parsecd::store::{Devices, WorkFactor};

/// As in the shipped program.
#[global_allocator]
static WIPING: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    program::run(|data| Devices::open_with(data, WorkFactor::for_tests()))
}
