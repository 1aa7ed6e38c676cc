//! The organisation's chain of trust: certificates, the log they stand in, who is a member by it.
//!
//! Decides what may be certified by whom. Everything here is public except names, which are sealed.

pub mod bootstrap;
pub mod certificate;
pub mod changes;
pub mod checkpoint;
pub mod crew;
pub mod members;
pub mod path;
mod rules;
pub mod verify;
