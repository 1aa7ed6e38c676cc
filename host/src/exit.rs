//! Exit codes that all programs share: those of sysexits.h, and those by which a shell reports a
//! signal.
//!
//! Decides the numbers, once. What a program ends with in which case is the program's own decision.

/// Wrong usage: an option, a name (sysexits: `EX_USAGE`).
pub const USAGE: u8 = 64;
/// What was given is not what it should be (`EX_DATAERR`).
pub const DATA: u8 = 65;
/// There is nothing of that name (`EX_NOHOST`).
pub const NOT_FOUND: u8 = 68;
/// Another process uses it (`EX_UNAVAILABLE`).
pub const IN_USE: u8 = 69;
/// A bug of ours (`EX_SOFTWARE`).
pub const BUG: u8 = 70;
/// The operating system refuses (`EX_OSERR`).
pub const SYSTEM: u8 = 71;
/// It exists already, and nothing is overwritten (`EX_CANTCREAT`).
pub const EXISTS: u8 = 73;
/// The disk or the output failed (`EX_IOERR`).
pub const IO: u8 = 74;
/// Not permitted (`EX_NOPERM`).
pub const NOT_PERMITTED: u8 = 77;
/// The configuration must be changed (`EX_CONFIG`).
pub const CONFIGURATION: u8 = 78;
/// Ctrl-C: 128 and the number of SIGINT.
pub const INTERRUPTED: u8 = 130;
/// The reader of the output went away: 128 and the number of SIGPIPE.
pub const OUTPUT_CLOSED: u8 = 141;
