//! `recovery`: kits on paper that bring a person back whose devices are all gone.
//!
//! Refuses a kit's words as an argument: they come from a page, a file or the keyboard.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use parsec_protocol::ids::Label;

use super::members::Sure;
use crate::password::PasswordSource;
use crate::qr::QrOption;

#[derive(Debug, Subcommand)]
pub(crate) enum Recovery {
    /// Make a recovery kit: a page with 24 words, to be kept somewhere safe
    ///
    /// Whoever has the page can take a new device in your name and open your safes with it, without
    /// any password; the others see it in the organisation's log. The words are shown this once.
    #[command(
        after_long_help = "Example:\n  parsecctl recovery create                          # shows the page\n  parsecctl recovery create --svg kit.svg            # to print, with a QR code\n  parsecctl recovery create --page /media/stick/kit.txt"
    )]
    Create(NewKit),
    /// Come back with a recovery kit, on a machine that has no device of yours
    ///
    /// Makes a new device for you, certified by the kit: no ceremony, nobody on the phone. Asks for
    /// the words, and for a password for this device.
    #[command(
        override_usage = "parsecctl recovery use --server URL --organisation ORG --device-label L [OPTIONS]",
        after_long_help = "Example:\n  parsecctl recovery use --server https://parsec.example.org --organisation acme --device-label laptop\n  parsecctl recovery use --page /media/stick/kit.txt --device-label laptop"
    )]
    Use(UseKit),
    /// Show your recovery kits, and the shares of others' kits that you hold
    List,
    /// Make a recovery kit and split it among members: some of them together bring you back
    ///
    /// Nobody sees its words. Each member gets a share, sealed to them; fewer than you say can do
    /// nothing with theirs, and as many as you say can take a device in your name, which the others
    /// see in the organisation's log.
    #[command(
        after_long_help = "Example:\n  parsecctl recovery share --threshold 2 bob@example.org carol@example.org dave@example.org"
    )]
    Share(ShareKit),
    /// Give your share of somebody's recovery kit to them, on the telephone
    ///
    /// Makes a link for them, and then greets them: codes are compared as when somebody is let in.
    #[command(
        after_long_help = "Example:\n  parsecctl recovery give alice@example.org        # and she: parsecctl recovery collect"
    )]
    Give(GiveShare),
    /// Collect the shares of your recovery kit, on a machine that has no device of yours
    ///
    /// Once for each member who gives theirs. With the last that is needed you are back, on a new
    /// device of yours. Until then the shares are kept here under the password that you choose.
    #[command(
        after_long_help = "Example:\n  parsecctl recovery collect --device-label laptop      # for each link; asks for it\n  parsecctl recovery collect --finish --device-label laptop"
    )]
    Collect(CollectShares),
    /// Try a recovery kit: does it open everything? Changes nothing
    #[command(
        after_long_help = "Example:\n  parsecctl recovery drill\n  parsecctl recovery drill --page kit.txt"
    )]
    Drill {
        #[command(flatten)]
        page: Page,
    },
    /// Revoke a recovery kit: its words open nothing that comes later
    ///
    /// Your key is changed, as when a device of yours is revoked.
    Revoke {
        /// The start of its id, 4 digits at least
        #[arg(value_name = "KIT")]
        kit: String,
        #[command(flatten)]
        sure: Sure,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NewKit {
    /// What it is called, where several are kept in several places [default: Recovery kit]
    #[arg(long, value_name = "LABEL")]
    pub(crate) label: Option<Label>,
    /// Write the page to FILE, which is made readable for you alone, and don't show it
    #[arg(long, value_name = "FILE")]
    pub(crate) page: Option<PathBuf>,
    /// Write the page as a picture to be printed, with a QR code
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

/// Where a kit's words come from.
#[derive(Debug, Args)]
pub(crate) struct Page {
    /// Read the page, or the words alone, from FILE instead of asking (`-` is stdin)
    #[arg(long, value_name = "FILE")]
    pub(crate) page: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct UseKit {
    /// The metadata server, `https://HOST[:PORT]`, as the page says
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// What this device is called
    #[arg(long, value_name = "LABEL")]
    pub(crate) device_label: Label,
    /// Members must type codes as they hear them, rather than pick one of four
    #[arg(long)]
    pub(crate) typed_codes: bool,
    #[command(flatten)]
    pub(crate) page: Page,
    #[command(flatten)]
    pub(crate) password: PasswordSource,
}

#[derive(Debug, Args)]
pub(crate) struct ShareKit {
    /// How many of them shall be needed: 2 at least
    #[arg(long, value_name = "N")]
    pub(crate) threshold: u8,
    /// The members: e-mail address, or the start of an id
    #[arg(value_name = "MEMBER", required = true, num_args = 2..=16)]
    pub(crate) members: Vec<String>,
    /// What the kit is called [default: Shared recovery kit]
    #[arg(long, value_name = "LABEL")]
    pub(crate) label: Option<Label>,
    #[command(flatten)]
    pub(crate) sure: Sure,
}

#[derive(Debug, Args)]
pub(crate) struct GiveShare {
    /// Whose kit: e-mail address, or the start of an id
    #[arg(value_name = "MEMBER")]
    pub(crate) member: String,
    /// Days until the link expires [default: 30]
    #[arg(long, value_name = "N")]
    pub(crate) days: Option<u32>,
    /// Print the link, and leave the rest to `parsecctl greet`
    #[arg(long)]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) qr_code: QrOption,
}

#[derive(Debug, Args)]
pub(crate) struct CollectShares {
    /// The link that a member gave you. Others on this machine can see arguments: better leave it
    /// out and paste it when asked
    pub(crate) link: Option<String>,
    /// Read the link from FILE (`-` is stdin)
    #[arg(long, value_name = "FILE", conflicts_with = "link")]
    pub(crate) link_file: Option<PathBuf>,
    /// Collect nothing more: come back with what is here
    #[arg(long, conflicts_with_all = ["link", "link_file"])]
    pub(crate) finish: bool,
    /// What this device is called
    #[arg(long, value_name = "LABEL")]
    pub(crate) device_label: Label,
    /// Members must type codes as they hear them, rather than pick one of four
    #[arg(long)]
    pub(crate) typed_codes: bool,
    #[command(flatten)]
    pub(crate) password: PasswordSource,
}
