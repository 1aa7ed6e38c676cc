//! Safes: the folders that members share.
//!
//! Decides what an unlocked device does about them: it reads their logs, folds them into trees,
//! keeps what a program saves, and brings it to the server. Refuses to believe a server about
//! anything but the order of what members signed.

mod folding;
mod items;
mod overlay;
mod reading;
