//! `safe mount|unmount|mounts`: a safe as a folder of this machine.
//!
//! Decides which words there are for it, and the one that nobody types: who waits beside a mount
//! until it has ended.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::AsOf;

#[derive(Debug, Subcommand)]
pub(crate) enum Mounts {
    /// Show a safe as a folder, for every program of yours
    ///
    /// What a program writes there is saved on this device when it closes the file, and shared a
    /// moment later. The folder is yours alone, and empty again once the device is locked. Takes
    /// fusermount3 (Debian: fuse3).
    #[command(
        after_long_help = "Examples:\n  parsecctl safe mount Plans\n  parsecctl safe mount Plans ~/plans --read-only\n  parsecctl safe mount Plans --always\n  parsecctl safe mount Plans ~/last-week --at 7d"
    )]
    Mount(Mount),
    /// Take such a folder away again; the safe stays as it is
    #[command(
        after_long_help = "Examples:\n  parsecctl safe unmount Plans\n  parsecctl safe unmount ~/Safes/Plans"
    )]
    Unmount {
        /// The safe, by its name or the start of its id, or the folder
        #[arg(value_name = "SAFE|FOLDER")]
        what: String,
        /// Also while programs have files of it open: they keep those until they close them
        #[arg(long)]
        lazy: bool,
        /// And don't mount it any more when the device is unlocked
        #[arg(long)]
        always: bool,
    },
    /// Show which safes are mounted, and which are whenever the device is unlocked
    #[command(name = "mounts")]
    List,
}

/// What is mounted, where, and how.
#[derive(Debug, Args)]
pub(crate) struct Mount {
    /// Its name, or the start of its id
    #[arg(required_unless_present = "marked")]
    pub(crate) safe: Option<String>,
    /// An empty folder of yours; made where it isn't there. `~/Safes/NAME` if left out
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
    /// Let nothing be written in it
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Mount it there whenever this device is unlocked, from now on
    ///
    /// The user's unit parsec-mounts.service does it; `systemctl --user status parsec-mounts` shows
    /// whether it runs, and what it did. `safe unmount --always` ends it.
    #[arg(long, conflicts_with_all = ["at", "record"])]
    pub(crate) always: bool,
    #[command(flatten)]
    pub(crate) as_of: AsOf,
    /// Mount everything that is marked with --always, on every device that is unlocked
    #[arg(long, conflicts_with_all = ["safe", "folder", "read_only", "always", "at", "record"])]
    pub(crate) marked: bool,
    /// And go on: mount it whenever a device is unlocked. What the user's unit runs
    #[arg(long, requires = "marked")]
    pub(crate) follow: bool,
}

/// `__attend`: waits until a mount has ended, and takes it away.
#[derive(Debug, Args)]
pub(crate) struct Attend {
    /// Number of the mount, as the daemon has it
    #[arg(long)]
    pub(crate) mount: u64,
    /// Number of the mount, as the kernel has it
    #[arg(long)]
    pub(crate) id: u64,
    /// The folder
    pub(crate) folder: PathBuf,
}
