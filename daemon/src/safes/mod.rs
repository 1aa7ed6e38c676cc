//! Safes: the folders that members share.
//!
//! Decides what an unlocked device does about them: it reads their logs, folds them into trees,
//! keeps what a program saves, and brings it to the server. Refuses to believe a server about
//! anything but the order of what members signed.

pub(crate) mod acts;
mod ahead;
mod anew;
mod behind;
mod boxes;
pub(crate) mod brake;
mod certifying;
mod committing;
mod damaged;
pub(crate) mod deciding;
mod dropped;
mod due;
pub(crate) mod earlier;
pub(crate) mod folding;
mod forgone;
pub(crate) mod founding;
pub(crate) mod holding;
mod keeping;
mod keys;
pub(crate) mod listing;
pub(crate) mod loading;
pub(crate) mod members;
pub(crate) mod offers;
pub(crate) mod overlay;
pub(crate) mod paths;
pub(crate) mod pinning;
pub(crate) mod presence;
pub(crate) mod pruning;
mod reading;
pub(crate) mod refusals;
mod repairing;
pub(crate) mod restoring;
mod returning;
pub(crate) mod running;
mod snapshots;
mod staged;
mod starting;
pub(crate) mod takeovers;
mod task;
pub(crate) mod views;
