//! parsecd, as it is shipped: its allocator, and key files that take their full work.
//!
//! Decides nothing else: what the daemon does is in its library.

use std::process::ExitCode;

use parsecd::program;
use parsecd::store::Devices;

/// Everything that is freed is wiped: passwords and keys also pass through buffers of libraries.
#[global_allocator]
static WIPING: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    program::run(Devices::open)
}
