//! `ceremony`: the steps of a running ceremony, and the names of its stages.
//!
//! Refuses any word that confirms a code by itself: a script gives the code that was heard.

use clap::{Subcommand, ValueEnum};
use parsec_protocol::control::Stage;
use parsec_protocol::ids::Label;

use super::members::Profile;
use crate::password::PasswordSource;

/// A running ceremony, by its id.
#[derive(Debug, Subcommand)]
#[command(after_long_help = "\
Example, the greeter's side (ID is what `greet --detach` printed):
  parsecctl ceremony wait ID --until choose-code
  parsecctl ceremony choose ID --code K7EM        # the code that was heard
  parsecctl ceremony wait ID --until say-code --json
  parsecctl ceremony wait ID --until approve
  parsecctl ceremony approve ID --claimer-confirmed
  parsecctl ceremony wait ID --until done")]
pub(crate) enum Ceremony {
    /// Show all ceremonies under way or just ended
    List,
    /// Show where a ceremony stands and what may be done
    Show {
        /// The ceremony
        id: u64,
    },
    /// Wait until a ceremony reaches a stage; fails if it ends otherwise
    Wait {
        /// The ceremony
        id: u64,
        /// The stage; several separated by commas: the first that is reached
        #[arg(long, value_name = "STAGE", value_delimiter = ',', required = true)]
        until: Vec<StageName>,
        /// Give up after this time (75)
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<u32>,
    },
    /// Give the code that was heard, or say that none of the proposed ones was
    #[command(group = clap::ArgGroup::new("answer").required(true))]
    Choose {
        /// The ceremony
        id: u64,
        /// The code as it was heard from the other person
        #[arg(long, group = "answer")]
        code: Option<String>,
        /// None of the proposed codes was heard: ends the attempt on both sides
        #[arg(long, group = "answer")]
        none: bool,
    },
    /// Claimer: say who you are
    Identify {
        /// The ceremony
        id: u64,
        /// Your name; left out for a new device of a member
        #[arg(long)]
        name: Option<Label>,
        /// What this device is called
        #[arg(long, value_name = "LABEL")]
        device_label: Label,
    },
    /// Greeter: vouch for the newcomer
    Approve {
        /// The ceremony
        id: u64,
        /// The newcomer said aloud that they found your code. Give it only after hearing that
        #[arg(long, required = true)]
        claimer_confirmed: bool,
        /// Certify this name instead of the one the newcomer gave
        #[arg(long)]
        name: Option<Label>,
        /// Certify this label instead of the one the newcomer gave
        #[arg(long, value_name = "LABEL")]
        device_label: Option<Label>,
        /// What the newcomer may do [default: standard]
        #[arg(long)]
        profile: Option<Profile>,
    },
    /// Claimer: set the password of this device; the last thing asked
    Finish {
        /// The ceremony
        id: u64,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// End a ceremony on both sides
    Cancel {
        /// The ceremony
        id: u64,
    },
}

/// A ceremony's stage; `say_code` is taken as `say-code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "kebab-case")]
pub(crate) enum StageName {
    Connecting,
    #[value(alias = "waiting_for_peer")]
    WaitingForPeer,
    Handshake,
    #[value(alias = "say_code")]
    SayCode,
    #[value(alias = "choose_code")]
    ChooseCode,
    Identify,
    #[value(alias = "waiting_for_approval")]
    WaitingForApproval,
    Approve,
    #[value(alias = "set_password")]
    SetPassword,
    #[value(alias = "waiting_for_password")]
    WaitingForPassword,
    Registering,
    Done,
    Closed,
}

impl From<StageName> for Stage {
    fn from(name: StageName) -> Self {
        match name {
            StageName::Connecting => Self::Connecting,
            StageName::WaitingForPeer => Self::WaitingForPeer,
            StageName::Handshake => Self::Handshake,
            StageName::SayCode => Self::SayCode,
            StageName::ChooseCode => Self::ChooseCode,
            StageName::Identify => Self::Identify,
            StageName::WaitingForApproval => Self::WaitingForApproval,
            StageName::Approve => Self::Approve,
            StageName::SetPassword => Self::SetPassword,
            StageName::WaitingForPassword => Self::WaitingForPassword,
            StageName::Registering => Self::Registering,
            StageName::Done => Self::Done,
            StageName::Closed => Self::Closed,
        }
    }
}
