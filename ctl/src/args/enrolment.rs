//! `org`, `invite`, `greet`, `claim`: how an organisation begins and how people get in.
//!
//! Refuses a password or a bootstrap token as an argument; a link as one is discouraged.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use parsec_protocol::ids::{Email, Label};

use super::members::Profile;
use super::net::TransportOption;
use crate::password::PasswordSource;
use crate::qr::QrOption;

#[derive(Debug, Subcommand)]
pub(crate) enum Org {
    /// Found an organisation whose name the server's administrator has reserved
    ///
    /// Makes the organisation's root key, lets it sign you and this device, and destroys it. Asks
    /// for the bootstrap token the server's administrator gave you, and for a password for this
    /// device.
    #[command(
        override_usage = "parsecctl org bootstrap --server URL --organisation ORG --email E --name N --device-label L [OPTIONS]",
        after_long_help = "Example:\n  parsecctl org bootstrap --server https://parsec.example.org --organisation acme \\\n    --email alice@example.org --name 'Alice Example' --device-label laptop"
    )]
    Bootstrap(Bootstrap),
    /// Follow the organisation's server to another name or port
    ///
    /// The new place must show the log that this device has verified; else nothing is changed.
    /// Every device is told for itself. Prints the links of open invitations anew: those that were
    /// handed out name the old address.
    #[command(after_long_help = "Example:\n  parsecctl org server https://parsec.example.net")]
    Server {
        /// The new address, `https://HOST[:PORT]`
        #[arg(value_name = "URL")]
        url: String,
    },
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
    /// What this device is called
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
    /// Prints the link. Whoever holds it can start the ceremony, but joins only if you recognise
    /// their code on the phone. Then call them and run `parsecctl greet`.
    #[command(after_long_help = "Example:\n  parsecctl invite user bob@example.org")]
    User {
        /// E-mail address of the person
        email: Email,
        /// Days until the link expires [default: 30]
        #[arg(long, value_name = "N")]
        days: Option<u32>,
        /// Do not mail the link: you will hand it over yourself
        #[arg(long)]
        no_mail: bool,
        #[command(flatten)]
        transport: TransportOption,
        #[command(flatten)]
        qr_code: QrOption,
    },
    /// Invite another device of your own
    #[command(
        after_long_help = "Example:\n  parsecctl invite device\n  parsecctl greet        # here; and on the new device: parsecctl claim"
    )]
    Device {
        /// Days until the link expires [default: 30]
        #[arg(long, value_name = "N")]
        days: Option<u32>,
        /// Mail the link to your own address
        #[arg(long)]
        mail: bool,
        #[command(flatten)]
        transport: TransportOption,
        #[command(flatten)]
        qr_code: QrOption,
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
    /// Which invitation: the start of its token, or the invited e-mail address; the only pending
    /// one if left out
    #[arg(value_name = "TOKEN|EMAIL")]
    pub(crate) invitation: Option<String>,
    /// Go on with a running ceremony, for instance after the terminal was closed
    #[arg(long, value_name = "ID", conflicts_with_all = ["invitation", "detach", "transport"])]
    pub(crate) ceremony: Option<u64>,
    /// Start, print the ceremony's id, and leave it to `parsecctl ceremony` or another terminal
    #[arg(long)]
    pub(crate) detach: bool,
    /// What the newcomer may do, instead of asking
    #[arg(long)]
    pub(crate) profile: Option<Profile>,
    #[command(flatten)]
    pub(crate) transport: TransportOption,
}

#[derive(Debug, Args)]
#[command(after_long_help = STEPWISE)]
pub(crate) struct Claim {
    /// The link, https://… or parsec://…. Others on this machine can see arguments: better leave it
    /// out and paste it when asked
    pub(crate) link: Option<String>,
    /// Read the link from FILE (`-` is stdin)
    #[arg(long, value_name = "FILE", conflicts_with = "link")]
    pub(crate) link_file: Option<PathBuf>,
    /// Go on with a running ceremony, for instance after the terminal was closed
    #[arg(long, value_name = "ID", conflicts_with_all = ["link", "link_file", "detach", "transport"])]
    pub(crate) ceremony: Option<u64>,
    /// Start, print the ceremony's id, and leave it to `parsecctl ceremony` or another terminal
    #[arg(long)]
    pub(crate) detach: bool,
    /// Your name, instead of asking
    #[arg(long)]
    pub(crate) name: Option<Label>,
    /// What this device is called, instead of asking
    #[arg(long, value_name = "LABEL")]
    pub(crate) device_label: Option<Label>,
    #[command(flatten)]
    pub(crate) transport: TransportOption,
    #[command(flatten)]
    pub(crate) password: PasswordSource,
}
