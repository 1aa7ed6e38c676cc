//! `receipt`: how somebody was let in, for others to check.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Receipt {
    /// Show whom this device has let in
    List,
    /// Write the receipt of one enrolment to a file that anybody can check
    #[command(after_long_help = "Example:\n  parsecctl receipt export 12ab34cd bob.parsec-receipt")]
    Export {
        /// The start of the new device's id
        #[arg(value_name = "DEVICE")]
        member_device: String,
        /// A file that does not exist yet
        file: PathBuf,
    },
    /// Check a receipt, and say what it shows; asks no daemon and no server
    #[command(
        after_long_help = "Examples:\n  parsecctl receipt verify bob.parsec-receipt\n  parsecctl receipt verify bob.parsec-receipt --log acme.parsec-log"
    )]
    Verify {
        /// The receipt
        file: PathBuf,
        /// An exported log, which says whose the keys are
        #[arg(long, value_name = "FILE")]
        log: Option<PathBuf>,
    },
}
