//! `safe pin|unpin|pins|cache`: what of the safes is on this device.
//!
//! Decides how an amount of room is typed: `500M`, `2G`, or bytes. Refuses one that is a fraction,
//! or of a unit that may mean two things.

use std::str::FromStr;

use clap::{Args, Subcommand};

use super::SafePath;

#[derive(Debug, Subcommand)]
pub(crate) enum Keeping {
    /// Keep a file or folder on this device in any case, so that it can be read without the server
    ///
    /// It is fetched by itself, as long as the disk has room, and makes no room for anything else.
    /// What comes into a folder later is fetched, too. Other members don't learn of it, and your
    /// other devices have pins of their own.
    #[command(after_long_help = "Examples:\n  parsecctl safe pin Plans:/2027\n  parsecctl safe pin Plans:/")]
    Pin {
        /// The file or folder, as `SAFE:/path`
        #[arg(value_name = "SAFE:/PATH")]
        place: SafePath,
    },
    /// Let what is pinned make room for other things again; nothing is removed from the safe
    Unpin(Unpin),
    /// Show what is pinned, how much of it is here, and what the rest waits for
    Pins {
        /// Its name, or the start of its id; all safes if left out
        safe: Option<String>,
    },
    /// Show how much of your safes is kept on this device, say how much may be, or clear it
    ///
    /// What was not used for the longest time goes first. What is pinned doesn't go, nor does what
    /// is not shared yet. Everything else is fetched again when it is read.
    #[command(
        after_long_help = "Examples:\n  parsecctl safe cache\n  parsecctl safe cache --limit 2G\n  parsecctl safe cache --limit auto\n  parsecctl safe cache --clear"
    )]
    Cache(Cache),
}

#[derive(Debug, Args)]
pub(crate) struct Unpin {
    /// The file or folder, as `SAFE:/path`: where it is, or was before it was removed
    #[arg(value_name = "SAFE:/PATH")]
    pub(crate) place: SafePath,
    /// Another one that is pinned in this safe, by the start of its id: `safe pins` shows them
    #[arg(long, value_name = "ID")]
    pub(crate) entry: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Cache {
    /// How much may be kept beside what is pinned: `500M`, `2G`, or `auto` for a tenth of the free
    /// disk and at most 20 GiB
    #[arg(long, value_name = "SIZE")]
    pub(crate) limit: Option<Limit>,
    /// Give up everything that can be fetched again and is not pinned
    #[arg(long, conflicts_with = "limit")]
    pub(crate) clear: bool,
}

/// How much may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// As much as without a word.
    Auto,
    /// So many bytes.
    Bytes(u64),
}

/// Why a word is no amount of room.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("write it as 500M, 2G, or auto: a whole number of bytes, or with K, M, G or T behind it")]
pub(crate) struct NoSize;

impl FromStr for Limit {
    type Err = NoSize;

    fn from_str(text: &str) -> Result<Self, NoSize> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let shift = match text.get(digits.len()..).unwrap_or_default().trim_start() {
            "" | "B" => 0,
            "K" | "KiB" => 10,
            "M" | "MiB" => 20,
            "G" | "GiB" => 30,
            "T" | "TiB" => 40,
            _ => return Err(NoSize),
        };
        let count: u64 = match digits.bytes().all(|byte| byte.is_ascii_digit()) {
            true => digits.parse().map_err(|_| NoSize)?,
            false => return Err(NoSize),
        };
        count
            .checked_mul(1 << shift)
            .filter(|bytes| i64::try_from(*bytes).is_ok())
            .map(Self::Bytes)
            .ok_or(NoSize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_room_are_whole_and_mean_one_thing() {
        let read = |text: &str| text.parse::<Limit>();
        assert_eq!(read("auto"), Ok(Limit::Auto));
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("3K", 3 << 10),
            ("500M", 500 << 20),
            ("2 GiB", 2 << 30),
            ("1TiB", 1 << 40),
        ] {
            assert_eq!(read(text), Ok(Limit::Bytes(bytes)), "{text}");
        }
        for bad in ["", "M", "1.5G", "-1", "+1", "2GB", "2g", "99999999T", "18446744073709551615", "none"] {
            assert_eq!(read(bad), Err(NoSize), "{bad}");
        }
    }
}
