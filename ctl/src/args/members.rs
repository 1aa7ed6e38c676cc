//! `user` and `trust`: the members, what they may do, and who vouched for whom.
//!
//! Refuses nothing: what these ask, the daemon verifies.

use clap::{Subcommand, ValueEnum};
use parsec_protocol::control::ProfileName;

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Show the members and their terminals
    List,
    /// Show one member: terminals, and who vouched for them
    Show {
        /// An e-mail address or the start of a user id; yourself if left out
        user: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Trust {
    /// Fetch the whole log anew and verify every certificate up to the root key
    Verify,
    /// Show who vouched for a member, link by link, up to the root key
    Show {
        /// An e-mail address or the start of a user id; yourself if left out
        user: Option<String>,
    },
}

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// Invites and vouches for others
    Administrator,
    /// Uses and shares safes
    Standard,
    /// Uses safes shared with them
    Outsider,
}

impl From<Profile> for ProfileName {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Administrator => Self::Administrator,
            Profile::Standard => Self::Standard,
            Profile::Outsider => Self::Outsider,
        }
    }
}
