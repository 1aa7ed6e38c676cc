//! `safe export` and `safe import`: a whole safe, out and in again.
//!
//! Decides which options go together.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{AsOf, Sharing};

#[derive(Debug, Subcommand)]
pub(crate) enum Whole {
    /// Write a whole safe into a folder of this machine, in the clear, or sealed into one file
    ///
    /// With times, and programs as programs. A file that is there as the safe has it (by its size,
    /// its time and whether it is a program) is left as it is, so that an export which was ended
    /// goes on where it was. One that is there otherwise is refused without --force. With --sealed
    /// it is one file with everything that the safe has, also its history and trash, as it is
    /// stored: whoever was a member then can verify it and make a safe of it, without any server.
    /// What neither this device nor the server has is named, and ends with 75 without --partial.
    #[command(
        after_long_help = "Examples:\n  parsecctl safe export Plans ~/plans\n  parsecctl safe export --sealed Plans plans.parsec-safe\n  parsecctl safe export Plans ~/plans-before --at '2026-11-23 13:20'     # as it was; UTC"
    )]
    Export(Export),
    /// Put a folder of this machine into a safe, or make a safe of a sealed archive
    ///
    /// What the safe has as it is here is passed over, so that an import which was ended goes on
    /// where it was. A file that the safe has otherwise is refused without --force, and keeps its
    /// earlier contents in any case. Symbolic links, devices and sockets are named and left out.
    /// With --sealed all of the archive is verified first, as this device would verify it from a
    /// server; then a new safe is made with what was in its tree.
    #[command(
        after_long_help = "Examples:\n  parsecctl safe import ~/plans Plans:/\n  parsecctl safe import --sealed plans.parsec-safe 'Plans of 2026'"
    )]
    Import(Import),
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// One file with everything, sealed as it is stored
    #[arg(long, conflicts_with_all = ["at", "record"])]
    pub(crate) sealed: bool,
    /// With --sealed: keep the file also where something could not be had
    #[arg(long, requires = "sealed")]
    pub(crate) partial: bool,
    /// Write over files that are there
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) as_of: AsOf,
    /// Its name, or the start of its id
    pub(crate) safe: String,
    /// The folder on this machine, made where it is missing; with --sealed the file
    #[arg(value_name = "FOLDER")]
    pub(crate) target: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// A sealed archive, of which a new safe is made
    #[arg(long, conflicts_with = "force")]
    pub(crate) sealed: bool,
    /// With --sealed: make a safe also of an archive that lacks something
    #[arg(long, requires = "sealed")]
    pub(crate) partial: bool,
    /// Write over files that the safe has; it keeps their earlier contents
    #[arg(long)]
    pub(crate) force: bool,
    /// The folder on this machine; with --sealed the file
    #[arg(value_name = "FOLDER")]
    pub(crate) source: PathBuf,
    /// Where what is in it goes, as `SAFE:/path`; into a folder of its name, if it ends with a
    /// slash. With --sealed the name of the new safe
    #[arg(value_name = "SAFE:/PATH")]
    pub(crate) place: String,
    #[command(flatten)]
    pub(crate) sharing: Sharing,
}
