//! `safe mount|unmount|mounts`: a safe as a folder of this machine.
//!
//! Decides which words there are for it, and the one that nobody types: who waits beside a mount
//! until it has ended.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Mounts {
    /// Show a safe as a folder, for every program of yours
    ///
    /// What a program writes there is saved on this device when it closes the file, and shared a
    /// moment later. The folder is yours alone, and empty again once the device is locked. Takes
    /// fusermount3 (Debian: fuse3).
    #[command(
        after_long_help = "Examples:\n  parsecctl safe mount Plans\n  parsecctl safe mount Plans ~/plans --read-only"
    )]
    Mount {
        /// Its name, or the start of its id
        safe: String,
        /// An empty folder of yours; made where it isn't there. `~/Safes/NAME` if left out
        #[arg(value_name = "FOLDER")]
        folder: Option<PathBuf>,
        /// Let nothing be written in it
        #[arg(long)]
        read_only: bool,
    },
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
    },
    /// Show which safes are mounted, and where
    #[command(name = "mounts")]
    List,
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
