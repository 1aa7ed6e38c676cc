//! `device`: the devices on this machine.
//!
//! Refuses a password as an argument.

use clap::Subcommand;

use crate::password::PasswordSource;

#[derive(Debug, Subcommand)]
pub(crate) enum Device {
    /// Show the devices on this machine
    List,
    /// Open a device's keys with its password
    Unlock {
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Wipe a device's keys from memory
    Lock,
}
