//! Answers that need nothing but an unlocked device's session, or nothing but the network.
//!
//! Decides what each of these methods of the local API says. The engine has chosen the device and
//! checked the caller; nothing here names it.

pub mod admin;
pub mod doctor;
pub mod evidence;
pub mod invitations;
pub mod members;
pub mod move_server;
pub mod ping;
pub mod repair;
pub mod safes;
