//! `device`: the devices on this machine.
//!
//! Refuses a password as an argument, and to forget a device that is not named by its whole id.

use clap::Subcommand;
use parsec_protocol::ids::DeviceId;

use super::members::Sure;
use crate::password::{NewPasswordSource, PasswordSource};

#[derive(Debug, Subcommand)]
pub(crate) enum Device {
    /// Show the devices on this machine
    List {
        /// Show what is set aside instead: devices that a server, or the other person's device,
        /// says were never registered
        #[arg(long)]
        set_aside: bool,
    },
    /// Open a device's keys with its password
    Unlock {
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Wipe a device's keys from memory
    Lock,
    /// Change the password that opens a device's keys
    #[command(after_long_help = "Example:\n  parsecctl device password --organisation acme")]
    Password {
        #[command(flatten)]
        password: PasswordSource,
        #[command(flatten)]
        new_password: NewPasswordSource,
    },
    /// Remove a device's keys from this machine, for good
    ///
    /// Asks you to type the device's name. The organisation goes on knowing the device; only an
    /// administrator can revoke it.
    #[command(
        after_long_help = "Example:\n  parsecctl device list --json        # the whole ids\n  parsecctl device forget a0b1c2d3e4f5061728394a5b6c7d8e9f"
    )]
    Forget {
        /// Its whole id
        #[arg(value_name = "ID")]
        id: DeviceId,
        /// The same id once more, instead of typing the device's name
        #[arg(long, value_name = "ID")]
        confirm: Option<DeviceId>,
        /// Also where certificates it has signed have not reached the server and are lost with it
        #[arg(long)]
        force: bool,
    },
    /// Take a device back that is set aside
    ///
    /// It is among this machine's devices again, goes on asking to be registered, and no server's
    /// word sets it aside once more.
    #[command(
        after_long_help = "Example:\n  parsecctl device list --set-aside\n  parsecctl device restore a0b1c2d3"
    )]
    Restore {
        /// The start of its id, or the whole
        #[arg(value_name = "ID")]
        id: String,
    },
    /// End the trust in a member's device, for good
    ///
    /// Signs it with this device's key and puts it into the organisation's log, where every member
    /// sees it. Another device of your own, or, as an administrator, anybody's. Asks you to type
    /// yes.
    #[command(
        after_long_help = "Example:\n  parsecctl user show bob@example.org   # his devices\n  parsecctl device revoke a0b1c2d3"
    )]
    Revoke {
        /// The start of its id, as `parsecctl user show` has it
        #[arg(value_name = "ID")]
        member_device: String,
        #[command(flatten)]
        sure: Sure,
    },
}
