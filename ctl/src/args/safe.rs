//! `safe`: shared folders, who is in them, and the files in them.
//!
//! Decides which options go together. Refuses to let anybody in or out, or to throw anything away,
//! on a word that isn't a whole yes.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use parsec_protocol::control::SafeRole;
use parsec_protocol::ids::Label;

use super::{AsOf, Keeping, Mounts, SafePath, Sure, Target, Whole};

/// Longest wait that the daemon takes, in seconds.
const WAIT_MAX_SECONDS: i64 = 600;

#[derive(Debug, Subcommand)]
pub(crate) enum Safe {
    /// Make a new safe: a folder that you can share, and that the server can't read
    #[command(after_long_help = "Example:\n  parsecctl safe create Plans")]
    Create {
        /// What it is called, 1 to 64 characters
        name: Label,
    },
    /// Show your safes, and those that somebody wants to share with you
    List,
    /// Show one safe: your role, who shares it, where its logs end
    Show {
        /// Its name, or the start of its id
        safe: String,
    },
    /// Let a member of the organisation into a safe, or give them another role
    ///
    /// Shows who it is and who vouched for them, and asks you to type yes. They can read everything
    /// that is in the safe, and everything that was. Asks for this device's password, if nobody has
    /// given it in this terminal.
    #[command(
        after_long_help = "Examples:\n  parsecctl safe share Plans bob@example.org\n  parsecctl safe share Plans carol@example.org --role reader"
    )]
    Share {
        /// Its name, or the start of its id
        safe: String,
        /// An e-mail address, or the whole user id
        #[arg(value_name = "MEMBER")]
        user: String,
        /// What they may do in it
        #[arg(long, value_name = "ROLE", default_value = "contributor")]
        role: Role,
        #[command(flatten)]
        sure: Sure,
    },
    /// Take a safe that somebody shares with you
    ///
    /// `safe show` says who does. Its files are fetched from then on, also to your other devices.
    Accept {
        /// The start of its id: its name is sealed until then
        safe: String,
    },
    /// Take a member out of a safe
    ///
    /// What is written from then on has another key, which they don't get. What they could read
    /// before, they may have kept. Asks you to type yes.
    #[command(after_long_help = "Example:\n  parsecctl safe unshare Plans bob@example.org")]
    Unshare {
        /// Its name, or the start of its id
        safe: String,
        /// An e-mail address, or the whole user id
        #[arg(value_name = "MEMBER")]
        user: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// Become the owner of a safe that nobody owns any more
    ///
    /// Where all owners of a safe are gone (revoked, or without any device), whoever has the
    /// highest role of those who are left may take it over. Everybody in it sees that. Asks you to
    /// type yes.
    #[command(after_long_help = "Example:\n  parsecctl safe takeover Plans")]
    Takeover {
        /// Its name, or the start of its id
        safe: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// Go out of a safe yourself
    ///
    /// Its last owner can't: name another one first. Asks you to type yes.
    Leave {
        /// Its name, or the start of its id
        safe: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// Give a safe another name, for everybody in it
    Rename {
        /// Its name, or the start of its id
        safe: String,
        /// The new name, 1 to 64 characters
        name: Label,
        #[command(flatten)]
        sharing: Sharing,
    },
    /// Show who is in a safe, since when, and who let them in
    Members {
        /// Its name, or the start of its id
        safe: String,
    },
    /// Show what is saved on this device and not shared yet, and why
    Status {
        /// Its name, or the start of its id; all safes if left out
        safe: Option<String>,
    },
    /// Send what is saved, fetch what is new, and say when both are done
    ///
    /// It happens by itself, too. Ends with 75 if it isn't done in time.
    Sync {
        /// Its name, or the start of its id
        safe: String,
        /// Seconds to wait
        #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = seconds())]
        wait: u32,
    },
    /// Say that many removals at once are what you want, or that they are not
    ///
    /// When one device removes more than 1,000 entries of a safe within ten minutes, or more than
    /// half of it and 20, the rest waits on that device until you have looked. Shows what waits,
    /// and asks you to type yes; a program can't say it for you without this device's password.
    /// With --accept it is about a safe that this device goes no further with, because the server
    /// showed something that it did not believe.
    #[command(
        after_long_help = "Examples:\n  parsecctl safe status Plans\n  parsecctl safe confirm Plans\n  parsecctl safe confirm Plans --discard"
    )]
    Confirm(Confirm),
    /// List a folder of a safe
    #[command(
        after_long_help = "Examples:\n  parsecctl safe ls Plans:/\n  parsecctl safe ls -l -R Plans:/2027\n  parsecctl safe ls Plans:/2027 --at 2h"
    )]
    Ls {
        /// Also kind, size, time, whether it is shared, and how much of it is on this device
        #[arg(short = 'l', long)]
        long: bool,
        /// Also what is in its folders
        #[arg(short = 'R', long)]
        recursive: bool,
        #[command(flatten)]
        as_of: AsOf,
        /// The folder, as `SAFE:/path`
        #[arg(value_name = "SAFE:/PATH")]
        place: SafePath,
    },
    /// Put a file into a safe
    ///
    /// Ends with 0 once every member can have it, with 75 if it is saved on this device and not
    /// shared in time: it goes out by itself then. A file that is there is left alone without
    /// --force, and keeps its earlier contents in any case. With -r a whole folder, which becomes
    /// the folder that is named; symbolic links, devices and sockets in it are named and left out.
    #[command(
        after_long_help = "Examples:\n  parsecctl safe put report.odt Plans:/report.odt\n  parsecctl safe put -r photos Plans:/photos\n  pg_dump acme | parsecctl safe put - Plans:/backup.sql --saved"
    )]
    Put(Put),
    /// Get a file out of a safe
    ///
    /// Written beside its place first and put there once it is whole and verified, readable for you
    /// alone. With -r a whole folder, which becomes the folder that is named. With --at or --record
    /// as it was then, with what was moved, written over or removed since; what is not kept any
    /// more is named, and ends with 66.
    #[command(
        after_long_help = "Examples:\n  parsecctl safe get Plans:/2027/report.odt\n  parsecctl safe get -r Plans:/photos ~/photos\n  parsecctl safe get -r Plans:/2027 ~/before --at '2026-11-23 13:20'     # as it was; UTC\n  parsecctl safe get Plans:/backup.sql - | psql"
    )]
    Get(Get),
    #[command(flatten)]
    Whole(Whole),
    /// Write a file of a safe to standard output
    ///
    /// On a terminal what could steer it is shown as `\u{1b}`.
    Cat {
        #[command(flatten)]
        as_of: AsOf,
        /// The file, as `SAFE:/path`
        #[arg(value_name = "SAFE:/PATH")]
        place: SafePath,
    },
    /// Make a folder in a safe
    Mkdir {
        /// Also the folders above it; one that is there is no error
        #[arg(short = 'p', long)]
        parents: bool,
        /// The folder, as `SAFE:/path`
        #[arg(value_name = "SAFE:/PATH")]
        place: SafePath,
        #[command(flatten)]
        sharing: Sharing,
    },
    /// Move or rename a file or folder within a safe
    #[command(after_long_help = "Example:\n  parsecctl safe mv Plans:/draft.odt /2027/report.odt")]
    Mv(Moving),
    /// Copy a file or folder within a safe; no contents are sent for it
    Cp(Moving),
    /// Remove a file or folder, into the safe's trash
    Rm {
        /// Also a folder, with everything in it
        #[arg(short = 'r', long)]
        recursive: bool,
        /// What to remove, as `SAFE:/path`
        #[arg(value_name = "SAFE:/PATH")]
        place: SafePath,
        #[command(flatten)]
        sharing: Sharing,
    },
    /// Show what a file held before: the contents that the safe still has
    #[command(after_long_help = "Example:\n  parsecctl safe history Plans:/report.odt")]
    History {
        /// The file, as `SAFE:/path`
        #[arg(value_name = "SAFE:/PATH")]
        place: SafePath,
    },
    /// Show what was done in a safe, record by record, the last one first
    #[command(after_long_help = "Example:\n  parsecctl safe log Plans --limit 20")]
    Log {
        /// Its name, or the start of its id
        safe: String,
        /// At most so many records [default: all]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        limit: Option<u64>,
    },
    /// Verify a safe from its beginning: its logs, its tree, and every piece of contents
    ///
    /// Every signature and rule is looked at again, the tree is made anew, and each piece on this
    /// device is compared with what its author named. The server is asked whether it has each; with
    /// --fetch it has to give each. Says which file anything wrong belongs to, and whose fault
    /// it is. Ends with 0 if all is well, or was repaired, with 76 otherwise.
    #[command(
        after_long_help = "Examples:\n  parsecctl safe verify Plans\n  parsecctl safe verify Plans --fetch --repair"
    )]
    Verify {
        /// Its name, or the start of its id
        safe: String,
        /// Put right what is damaged: here from the server, at the server from here
        #[arg(long)]
        repair: bool,
        /// Fetch everything that the server has of it, and compare it
        #[arg(long)]
        fetch: bool,
    },
    /// Show what a safe takes at the server, and by what
    ///
    /// What files hold, what they held before, the trash, and what nothing names: together with the
    /// logs they are what the server counts. What several files share counts once.
    #[command(after_long_help = "Example:\n  parsecctl safe usage Plans")]
    Usage {
        /// Its name, or the start of its id; all safes if left out
        safe: Option<String>,
    },
    /// Show what was removed from a safe, and can be brought back
    Trash {
        /// Its name, or the start of its id
        safe: String,
    },
    /// Show for how many days a safe keeps what was removed or written over, or say so
    ///
    /// 7 to 3,650 days, 90 until an owner says otherwise.
    #[command(
        after_long_help = "Examples:\n  parsecctl safe retention Plans\n  parsecctl safe retention Plans 365"
    )]
    Retention {
        /// Its name, or the start of its id
        safe: String,
        /// Days from now on; takes an owner
        #[arg(value_parser = clap::value_parser!(u64).range(7..=3650))]
        days: Option<u64>,
        #[command(flatten)]
        sharing: Sharing,
        #[command(flatten)]
        sure: Sure,
    },
    /// Throw away for good what was removed or written over long enough ago
    ///
    /// Owners' and managers' devices do it by themselves once a day, by the safe's retention. Days
    /// are counted by what owners and managers have written since, whatever others say the time is.
    /// The server gives the room back 30 days later.
    #[command(
        after_long_help = "Examples:\n  parsecctl safe prune Plans --dry-run\n  parsecctl safe prune Plans --trash     # an owner: what was removed 7 days ago"
    )]
    Prune {
        /// Its name, or the start of its id
        safe: String,
        /// The trash alone: as much of it as you may throw away, whatever the retention
        #[arg(long)]
        trash: bool,
        /// Say what would go, and do nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        sure: Sure,
    },
    /// Throw away for good what was removed from a place
    ///
    /// Takes an owner, and 7 days since it was removed; or a manager, and the safe's retention.
    #[command(after_long_help = "Example:\n  parsecctl safe purge Plans:/secrets.txt")]
    Purge {
        /// Which of the things that were removed from there, by the start of its id
        #[arg(long, value_name = "ID")]
        entry: Option<String>,
        /// The file or folder, as `SAFE:/path`: where it was
        #[arg(value_name = "SAFE:/PATH")]
        place: SafePath,
        #[command(flatten)]
        sure: Sure,
    },
    /// Bring back what was removed, an earlier content of a file, or a whole folder as it was
    ///
    /// Without --version it is what was removed from this place last; a folder comes with what went
    /// with it. With --at or --record a file, or everything in a folder, becomes what it was; what
    /// has come since stays, unless --exact puts it into the trash. Nothing is destroyed: what a
    /// file holds now stays in its history.
    #[command(
        after_long_help = "Examples:\n  parsecctl safe restore Plans:/report.odt\n  parsecctl safe restore Plans:/report.odt --version 5afe0001\n  parsecctl safe restore Plans:/2026 --to /archive/2026\n  parsecctl safe restore Plans:/ --at '2026-11-23 13:20' --dry-run     # the whole safe as it was; UTC\n  parsecctl safe restore Plans:/2026 --at 2h --exact\n  parsecctl safe restore Plans:/2026 --record 512       # as `safe log` numbers them"
    )]
    Restore(Restore),
    /// Show what is known of one file or folder
    Stat {
        /// The file, as `SAFE:/path`
        #[arg(value_name = "SAFE:/PATH")]
        place: SafePath,
    },
    #[command(flatten)]
    Keeping(Keeping),
    #[command(flatten)]
    Mounts(Mounts),
    /// Show files that two devices changed at once, and the copies beside them
    Conflicts {
        /// Its name, or the start of its id
        safe: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Confirm {
    /// Its name, or the start of its id
    pub(crate) safe: String,
    /// Take the removals back: what they would have removed stays
    #[arg(long, conflicts_with = "accept")]
    pub(crate) discard: bool,
    /// Take in what this device did not believe
    #[arg(long)]
    pub(crate) accept: bool,
    #[command(flatten)]
    pub(crate) sure: Sure,
}

#[derive(Debug, Args)]
pub(crate) struct Put {
    /// A whole folder
    #[arg(short = 'r', long)]
    pub(crate) recursive: bool,
    /// Write over files that are there; the safe keeps their earlier contents
    #[arg(long)]
    pub(crate) force: bool,
    /// The file on this machine; `-` is standard input
    pub(crate) file: PathBuf,
    /// Where it goes, as `SAFE:/path`; into a folder if it ends with a slash, or is one
    #[arg(value_name = "SAFE:/PATH")]
    pub(crate) place: SafePath,
    #[command(flatten)]
    pub(crate) sharing: Sharing,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// A whole folder
    #[arg(short = 'r', long)]
    pub(crate) recursive: bool,
    /// Write over files that are there
    #[arg(long)]
    pub(crate) force: bool,
    /// An earlier content of it, by the start of its id: `safe history` shows them
    #[arg(long, value_name = "ID", conflicts_with_all = ["recursive", "at", "record"])]
    pub(crate) version: Option<String>,
    #[command(flatten)]
    pub(crate) as_of: AsOf,
    /// The file, as `SAFE:/path`
    #[arg(value_name = "SAFE:/PATH")]
    pub(crate) place: SafePath,
    /// Where it goes on this machine; `-` is standard output; its own name, here, if left out
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// Which content, by the start of its id: `safe history` shows them
    #[arg(long, value_name = "ID", conflicts_with_all = ["entry", "to"])]
    pub(crate) version: Option<String>,
    /// As of this moment, in UTC: `2026-11-23 13:20` (the beginning of that minute), or with :59
    /// behind it (all of that second); or so long ago: `90m`, `2h`, `3d`
    #[arg(long, value_name = "TIME", conflicts_with_all = ["version", "entry", "to", "record"])]
    pub(crate) at: Option<String>,
    /// As of this record, itself included: `safe log` numbers them
    #[arg(long, value_name = "N", conflicts_with_all = ["version", "entry", "to"])]
    pub(crate) record: Option<u64>,
    /// With --at or --record: put what has come since into the trash
    #[arg(long)]
    pub(crate) exact: bool,
    /// With --at or --record: say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Which of the things that were removed from there, by the start of its id
    #[arg(long, value_name = "ID")]
    pub(crate) entry: Option<String>,
    /// Another place for it in the same safe, `/path` or `SAFE:/path`
    #[arg(long, value_name = "/PATH")]
    pub(crate) to: Option<Target>,
    /// The file or folder, as `SAFE:/path`: where it is, or was
    #[arg(value_name = "SAFE:/PATH")]
    pub(crate) place: SafePath,
    #[command(flatten)]
    pub(crate) sharing: Sharing,
}

#[derive(Debug, Args)]
pub(crate) struct Moving {
    /// Write over a file that is there; the safe keeps its earlier contents
    #[arg(long)]
    pub(crate) force: bool,
    /// What it is about, as `SAFE:/path`
    #[arg(value_name = "SAFE:/PATH")]
    pub(crate) from: SafePath,
    /// Its new place in the same safe, `/path` or `SAFE:/path`
    #[arg(value_name = "/PATH")]
    pub(crate) to: Target,
    #[command(flatten)]
    pub(crate) sharing: Sharing,
}

/// How far a change has to come before the command ends.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Sharing {
    /// Seconds to wait until it is shared
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = seconds())]
    wait: u32,
    /// Don't wait: end with 0 once it is saved on this device
    #[arg(long, conflicts_with = "wait")]
    pub(crate) saved: bool,
}

impl Sharing {
    /// Seconds that the daemon shall wait.
    pub(crate) const fn seconds(self) -> u32 {
        if self.saved { 0 } else { self.wait }
    }
}

fn seconds() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(0..=WAIT_MAX_SECONDS)
}

/// What a member may do in a safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// All of it: names owners, renames the safe
    Owner,
    /// Writes, and lets contributors and readers in and out
    Manager,
    /// Reads and writes files
    Contributor,
    /// Reads files, and nothing else
    Reader,
}

impl From<Role> for SafeRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Manager => Self::Manager,
            Role::Contributor => Self::Contributor,
            Role::Reader => Self::Reader,
        }
    }
}
