//! `user` and `trust`: the members, what they may do, and who vouched for whom.
//!
//! Refuses to revoke or change anybody on a word that isn't a whole yes.

use clap::{Args, Subcommand, ValueEnum};
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
    /// End a member's membership, with all their terminals, for good
    ///
    /// Signs it with this device's key and puts it into the organisation's log, where every member sees it. Takes an administrator.
    /// Asks you to type yes.
    #[command(after_long_help = "Example:\n  parsecctl user revoke bob@example.org")]
    Revoke {
        /// An e-mail address or the start of a user id
        user: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// Change what a member may do
    ///
    /// Signs it with this device's key and puts it into the organisation's log, where every member sees it. Takes an administrator.
    /// Asks you to type yes.
    #[command(after_long_help = "Example:\n  parsecctl user profile bob@example.org --profile administrator")]
    Profile {
        /// An e-mail address or the start of a user id
        user: String,
        /// What they may do from here on
        #[arg(long, value_name = "PROFILE")]
        profile: Profile,
        #[command(flatten)]
        sure: Sure,
    },
}

/// The word that scripts give in a person's place.
#[derive(Debug, Args)]
pub(crate) struct Sure {
    /// Don't ask: whoever runs this has looked at whom it is about
    #[arg(long)]
    pub(crate) yes: bool,
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
    /// Say that you have looked into an alarm, so that it is not shown any more
    ///
    /// Nothing that was refused is believed for it: the log is judged by itself, each time. The same finding raises no second alarm, another
    /// one does. Asks you to type yes.
    #[command(after_long_help = "Example:\n  parsecctl trust acknowledge 3")]
    Acknowledge {
        /// The alarm's number, as `parsecctl status` shows it; the only one if left out
        alarm: Option<u64>,
        #[command(flatten)]
        sure: Sure,
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
