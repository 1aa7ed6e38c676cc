//! Sealed archives of safes: one file with all of a safe as it is stored, to be opened by a member
//! without any server (docs/formats.md, *A sealed archive of a safe*).
//!
//! Decides what goes in and in which order, and that an archive is judged as a whole before
//! anything is made of it: every signature, both chains, every fold, every hash. Refuses to believe
//! it for what this device knows of the safe: whoever made the file may have been anybody.

mod judging;
mod making;
mod opening;
mod refusals;
mod renewing;
mod source;

pub(crate) use making::archive;
pub(crate) use renewing::renew;
