//! `token`: access for plug-ins.
//!
//! Refuses a token's secret as an argument: none of these takes one.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Let a plug-in call some methods at the daemon's second socket
    ///
    /// Prints the token's secret, this once. The plug-in gives it in `rpc.hello`. No token allows
    /// keys, invitations or ceremonies, whatever is asked for.
    #[command(
        after_long_help = "Example:\n  parsecctl token create 'file manager' --method status.show --method events.watch --output ~/.config/plugin/token"
    )]
    Create(NewToken),
    /// Show all tokens, without their secrets
    List,
    /// Take a token back; its connections end
    Revoke {
        /// The token
        id: String,
    },
    /// Show what tokens were used for, the newest first
    Uses {
        /// Only this token
        id: Option<String>,
        /// At most so many [default: 100]
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NewToken {
    /// What it is for, in a few words
    pub(crate) name: String,
    /// A method it allows; give it once for each
    #[arg(long = "method", value_name = "METHOD", required = true)]
    pub(crate) methods: Vec<String>,
    /// Days until it ends [default: 90]
    #[arg(long, value_name = "N")]
    pub(crate) days: Option<u32>,
    /// Calls a minute [default: 120]
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<u32>,
    /// Write the secret to FILE, which is made readable for you alone, and don't print it
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}
