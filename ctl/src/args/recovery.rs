//! `recovery`: kits on paper that bring a person back whose devices are all gone.
//!
//! Refuses a kit's words as an argument: they come from a page, a file or the keyboard.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use parsec_protocol::ids::Label;

use super::members::Sure;
use crate::password::PasswordSource;

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
    /// Show your recovery kits
    List,
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
