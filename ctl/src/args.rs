//! What can be typed after `parsecctl`, and the help that explains it.
//!
//! Decides names and shapes of commands and options. Refuses, by leaving it out, any option that carries a password
//! or a bootstrap token, and any that confirms a code by itself.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use parsec_protocol::control::{DeviceSelector, ProfileName, Stage};
use parsec_protocol::ids::{Email, Label, OrganisationId};

use crate::password::PasswordSource;

const EXIT_CODES: &str = "\
Results go to stdout, talk to stderr. With --json, stdout has one JSON object a line, each naming its schema.

Exit codes: 0 done, 64 wrong usage, 65 bad data, 68 not found, 69 not available, 70 bug, 74 disk, 75 try again or resume, \
76 codes differ or a signature is wrong, 77 not permitted, 78 configuration, 130 stopped with Ctrl-C.";

/// Enrols people and terminals in a Parsec organisation, by asking the daemon parsecd
///
/// The usual way in: an administrator runs `parsecctl invite user bob@example.org` and calls Bob. Then the
/// administrator runs `parsecctl greet` and Bob `parsecctl claim`. Both follow what they see on the screen.
#[derive(Debug, Parser)]
#[command(name = "parsecctl", version, after_long_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Print results as JSON, one object a line; ask nothing
    #[arg(long, global = true, display_order = 90)]
    pub(crate) json: bool,
    /// The daemon's socket [default: $XDG_RUNTIME_DIR/parsecd/parsecd.sock]
    #[arg(long, global = true, value_name = "PATH", display_order = 91)]
    pub(crate) socket: Option<PathBuf>,
    /// Act as this device of this machine: the start of its id
    #[arg(long, global = true, value_name = "ID", display_order = 92)]
    pub(crate) device: Option<String>,
    /// Act in this organisation
    #[arg(long, global = true, value_name = "ORG", display_order = 93)]
    pub(crate) organisation: Option<OrganisationId>,
    /// Ask nothing: fail and name the option that is missing
    #[arg(long, global = true, display_order = 94)]
    pub(crate) no_input: bool,
    /// Say nothing but results, questions and failures
    #[arg(long, global = true, display_order = 95)]
    pub(crate) quiet: bool,
}

impl Global {
    /// As which device to act.
    pub(crate) fn select(&self) -> DeviceSelector {
        DeviceSelector { device: self.device.clone(), organisation: self.organisation.clone() }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Found an organisation
    #[command(subcommand)]
    Org(Org),
    /// Invite a person or a terminal of your own
    #[command(subcommand)]
    Invite(Invite),
    /// Vouch for the person you invited: the ceremony, on your side
    Greet(Greet),
    /// Join with the link you received: the ceremony, on the newcomer's side
    Claim(Claim),
    /// Steps of a running ceremony, one by one, for scripts
    #[command(subcommand)]
    Ceremony(Ceremony),
    /// The devices on this machine
    #[command(subcommand)]
    Device(Device),
    /// The members of an organisation
    #[command(subcommand)]
    User(User),
    /// Check the organisation's log, and who vouched for whom
    #[command(subcommand)]
    Trust(Trust),
    /// What the daemon is doing
    Status,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Org {
    /// Found an organisation whose name the server's administrator has reserved
    ///
    /// Makes the organisation's root key, lets it sign you and this terminal, and destroys it. Asks for the bootstrap
    /// token the server's administrator gave you, and for a password for this terminal.
    #[command(
        override_usage = "parsecctl org bootstrap --server URL --organisation ORG --email E --name N --device-label L [OPTIONS]",
        after_long_help = "Example:\n  parsecctl org bootstrap --server https://parsec.example.org --organisation acme \\\n    --email alice@example.org --name 'Alice Example' --device-label laptop"
    )]
    Bootstrap(Bootstrap),
}

#[derive(Debug, Args)]
pub(crate) struct Bootstrap {
    /// The metadata server, `https://HOST[:PORT]`
    #[arg(long, value_name = "URL")]
    pub(crate) server: String,
    /// Your e-mail address
    #[arg(long)]
    pub(crate) email: Email,
    /// Your name, as members shall see it
    #[arg(long)]
    pub(crate) name: Label,
    /// What this terminal is called
    #[arg(long, value_name = "LABEL")]
    pub(crate) device_label: Label,
    /// Read the bootstrap token from FILE instead of asking (`-` is stdin)
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Members must type codes as they hear them, rather than pick one of four
    #[arg(long)]
    pub(crate) typed_codes: bool,
    #[command(flatten)]
    pub(crate) password: PasswordSource,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Invite {
    /// Invite a person to the organisation; the server mails the link
    ///
    /// Prints the link. Whoever holds it can start the ceremony, but joins only if you recognise their code on the
    /// phone. Then call them and run `parsecctl greet`.
    #[command(after_long_help = "Example:\n  parsecctl invite user bob@example.org")]
    User {
        /// Whom
        email: Email,
        /// Days until the link expires [default: 30]
        #[arg(long, value_name = "N")]
        days: Option<u32>,
        /// Do not mail the link: you will hand it over yourself
        #[arg(long)]
        no_mail: bool,
    },
    /// Invite another terminal of your own
    #[command(
        after_long_help = "Example:\n  parsecctl invite device\n  parsecctl greet        # here; and on the new terminal: parsecctl claim"
    )]
    Device {
        /// Days until the link expires [default: 30]
        #[arg(long, value_name = "N")]
        days: Option<u32>,
        /// Mail the link to your own address
        #[arg(long)]
        mail: bool,
    },
    /// Show the invitations you may greet or cancel
    List,
    /// Cancel an invitation; its link stops working
    Cancel {
        /// The invitation: the start of its token, or the invited e-mail address
        #[arg(value_name = "TOKEN|EMAIL")]
        invitation: String,
    },
}

const STEPWISE: &str = "\
Nothing confirms a code but a person. Scripts follow with --json, or start with --detach, and give what was heard with
`parsecctl ceremony choose ID --code CODE` and so on; see `parsecctl ceremony --help`.

Ctrl-C cancels the ceremony on both sides. Ctrl-D leaves it running; come back with --ceremony ID.";

#[derive(Debug, Args)]
#[command(after_long_help = STEPWISE)]
pub(crate) struct Greet {
    /// Which invitation: the start of its token, or the invited e-mail address; the only pending one if left out
    #[arg(value_name = "TOKEN|EMAIL")]
    pub(crate) invitation: Option<String>,
    /// Go on with a running ceremony, for instance after the terminal was closed
    #[arg(long, value_name = "ID", conflicts_with_all = ["invitation", "detach"])]
    pub(crate) ceremony: Option<u64>,
    /// Start, print the ceremony's id, and leave it to `parsecctl ceremony` or another terminal
    #[arg(long)]
    pub(crate) detach: bool,
    /// What the newcomer may do, instead of asking
    #[arg(long)]
    pub(crate) profile: Option<Profile>,
}

#[derive(Debug, Args)]
#[command(after_long_help = STEPWISE)]
pub(crate) struct Claim {
    /// The link, https://… or parsec://…. Others on this machine can see arguments: better leave it out and paste it when asked
    pub(crate) link: Option<String>,
    /// Read the link from FILE (`-` is stdin)
    #[arg(long, value_name = "FILE", conflicts_with = "link")]
    pub(crate) link_file: Option<PathBuf>,
    /// Go on with a running ceremony, for instance after the terminal was closed
    #[arg(long, value_name = "ID", conflicts_with_all = ["link", "link_file", "detach"])]
    pub(crate) ceremony: Option<u64>,
    /// Start, print the ceremony's id, and leave it to `parsecctl ceremony` or another terminal
    #[arg(long)]
    pub(crate) detach: bool,
    /// Your name, instead of asking
    #[arg(long)]
    pub(crate) name: Option<Label>,
    /// What this terminal is called, instead of asking
    #[arg(long, value_name = "LABEL")]
    pub(crate) device_label: Option<Label>,
    #[command(flatten)]
    pub(crate) password: PasswordSource,
}

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
        /// Your name; left out for a new terminal of a member
        #[arg(long)]
        name: Option<Label>,
        /// What this terminal is called
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
    /// Claimer: set the password of this terminal; the last thing asked
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

#[derive(Debug, Subcommand)]
pub(crate) enum Device {
    /// Show the devices on this machine
    List,
    /// Open a device's keys with its password
    Unlock {
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Wipe a device's keys from memory
    Lock,
}

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Show the members and their terminals
    List,
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once("parsecctl").chain(line.split_whitespace()))
    }

    #[test]
    fn the_grammar_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_people_type_is_understood() {
        for good in [
            "status",
            "status --json --quiet --no-input --socket /run/x.sock",
            "--json device list",
            "device unlock --device 12ab --organisation acme --password-file -",
            "device lock",
            "org bootstrap --server https://x --organisation acme --email a@b --name A --device-label L --typed-codes --token-file - --password-fd 3",
            "invite user bob@example.org",
            "invite user bob@example.org --days 3 --no-mail",
            "invite device --mail",
            "invite list",
            "invite cancel 12ab",
            "greet",
            "greet bob@example.org --profile administrator",
            "greet --ceremony 4",
            "greet --detach --json",
            "claim",
            "claim https://h/join/acme#x",
            "claim --link-file - --name Bob --device-label laptop --password-file /p --json",
            "claim --ceremony 4",
            "ceremony list",
            "ceremony show 1",
            "ceremony wait 1 --until say-code,choose-code --timeout 5",
            "ceremony wait 1 --until say_code",
            "ceremony choose 1 --code K7EM",
            "ceremony choose 1 --none",
            "ceremony identify 1 --name Bob --device-label laptop",
            "ceremony approve 1 --claimer-confirmed --profile outsider",
            "ceremony finish 1 --password-fd 3",
            "ceremony cancel 1",
            "user list",
            "trust verify",
            "trust show bob@example.org",
        ] {
            assert!(parse(good).is_ok(), "{good}: {}", parse(good).unwrap_err());
        }
    }

    #[test]
    fn what_is_wrong_or_unsafe_is_refused() {
        for bad in [
            "",
            "nonsense",
            "help nonsense",
            "org bootstrap --organisation acme",
            "org bootstrap --server https://x --organisation acme --email a@b --name A --device-label L --token abc",
            "org bootstrap --server https://x --organisation acme --email a@b --name A --device-label L --password abc",
            "invite user not-an-address",
            "invite user a@b --days -1",
            "invite cancel",
            "greet --ceremony 4 bob@example.org",
            "greet --yes",
            "greet --code K7EM",
            "greet --claimer-confirmed",
            "greet --profile king",
            "claim --password hunter2",
            "claim x --link-file y",
            "ceremony choose 1",
            "ceremony choose 1 --code K7EM --none",
            "ceremony approve 1",
            "ceremony identify 1 --name Bob",
            "ceremony wait 1",
            "ceremony wait 1 --until noon",
            "ceremony finish 1 --password hunter2",
            "device unlock --password hunter2",
            "device unlock --password-file a --password-fd 3",
            "status --organisation ../..",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(Arguments::try_parse_from(["parsecctl", "claim", "--name", "a\u{202e}b"]).is_err());
    }

    #[test]
    fn no_option_takes_a_secret_or_confirms_by_itself() {
        fn walk(command: &clap::Command, seen: &mut Vec<String>) {
            seen.extend(command.get_arguments().filter_map(|a| a.get_long()).map(ToOwned::to_owned));
            command.get_subcommands().for_each(|sub| walk(sub, seen));
        }
        let mut seen = Vec::new();
        walk(&Arguments::command(), &mut seen);
        for forbidden in
            ["password", "token", "yes", "force", "assume-yes", "auto-confirm", "weak-password", "first"]
        {
            assert!(!seen.iter().any(|long| long == forbidden), "{forbidden}");
        }
    }
}
