//! As of when a safe is looked at.
//!
//! Decides that a moment and a record are two ways to say it, of which one is taken.

use clap::Args;

/// As of when a safe is looked at: as it is now, if neither is given.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AsOf {
    /// As it was at this moment, in UTC: `2026-11-23 13:20` (the beginning of that minute), or with
    /// :59 behind it (all of that second); or so long ago: `90m`, `2h`, `3d`
    #[arg(long, value_name = "TIME", conflicts_with = "record")]
    pub(crate) at: Option<String>,
    /// As it was with this record, itself included: `safe log` numbers them
    #[arg(long, value_name = "N")]
    pub(crate) record: Option<u64>,
}
