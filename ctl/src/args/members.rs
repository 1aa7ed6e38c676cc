//! `user` and `trust`: the members, what they may do, and who vouched for whom.
//!
//! Refuses to revoke or change anybody on a word that isn't a whole yes.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use parsec_protocol::control::ProfileName;

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Show the members and their devices
    List,
    /// Show one member: devices, and who vouched for them
    Show {
        /// An e-mail address or the start of a user id; yourself if left out
        user: Option<String>,
    },
    /// End a member's membership, with all their devices, for good
    ///
    /// Signs it with this device's key and puts it into the organisation's log, where every member
    /// sees it. Takes an administrator. Asks you to type yes.
    #[command(after_long_help = "Example:\n  parsecctl user revoke bob@example.org")]
    Revoke {
        /// An e-mail address or the start of a user id
        user: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// Change your own key: what is sealed to you from here on opens with the new one alone
    ///
    /// Parsec does so by itself when a device of yours was revoked. Signs it with this device's
    /// key, puts it into the organisation's log, where every member sees it, and hands the new key
    /// to your other devices. Asks you to type yes.
    #[command(after_long_help = "Example:\n  parsecctl user rekey")]
    Rekey {
        #[command(flatten)]
        sure: Sure,
    },
    /// Change what a member may do
    ///
    /// Signs it with this device's key and puts it into the organisation's log, where every member
    /// sees it. Takes an administrator. Asks you to type yes.
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
    /// Show the log, certificate by certificate: who was let in, changed or revoked, when, by whom
    Log {
        /// The first certificate to show, counted from 0
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        from: u64,
    },
    /// Write the whole log to a file, with this device's signature for where it ends
    ///
    /// Anybody can check it; `trust import` takes it in at another device, `receipt verify --log`
    /// looks keys up in it. Members' e-mail addresses stand in it, names don't.
    #[command(after_long_help = "Example:\n  parsecctl trust export acme.parsec-log")]
    Export {
        /// A file that does not exist yet
        file: PathBuf,
    },
    /// Take in a log that another member exported: for when the server can't be reached, or is
    /// doubted
    ///
    /// What is new in it is added to this device's log, for good. A log of a fork is refused,
    /// and is an alarm. Asks you to type yes.
    #[command(after_long_help = "Example:\n  parsecctl trust import acme.parsec-log")]
    Import {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        sure: Sure,
    },
    /// Write the proof that goes with an alarm about a fork to a file that anybody can check
    #[command(after_long_help = "Example:\n  parsecctl trust fork acme.parsec-fork --alarm 3")]
    Fork {
        /// A file that does not exist yet
        file: PathBuf,
        /// The alarm's number, as `parsecctl status` shows it; the only one if left out
        #[arg(long, value_name = "NUMBER")]
        alarm: Option<u64>,
    },
    /// Check such a proof, and say what it shows; asks no daemon and no server
    #[command(after_long_help = "Example:\n  parsecctl trust check-fork acme.parsec-fork")]
    CheckFork {
        /// The file
        file: PathBuf,
    },
    /// Put back what the server lost when its database was restored from a backup
    ///
    /// Sends the certificates that the server's log lacks and this device has verified, and the
    /// invitations made here that it has forgotten. Then the whole log is fetched and checked anew;
    /// alarms that said that certificates are missing are closed. A log that is another one gets
    /// nothing, and is an alarm.
    #[command(after_long_help = "Example:\n  parsecctl trust repair")]
    Repair,
    /// Say that you have looked into an alarm, so that it is not shown any more
    ///
    /// Nothing that was refused is believed for it: the log is judged by itself, each time. The
    /// same finding raises no second alarm, another one does. Asks you to type yes.
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
