//! `net`, and which transport a ceremony takes.
//!
//! Refuses a link as an argument: others on this machine can see arguments.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use parsec_protocol::control::TransportChoice;

#[derive(Debug, Subcommand)]
pub(crate) enum Net {
    /// Show which servers answered last, where this machine waits for others, and what waits for a
    /// server
    Status,
    /// Show the connections with other devices
    Peers,
    /// Try the servers of this machine's devices, or the way that a link leads
    ///
    /// Starts no attempt. With a link, ends with 0 if a ceremony could go over the server or
    /// directly; without, if every server answered.
    #[command(
        after_long_help = "Examples:\n  parsecctl net ping\n  parsecctl net ping --link-file link.txt        # both ways that the link leads"
    )]
    Ping {
        /// Try the server and the device that the link in FILE leads to (`-` is stdin)
        #[arg(long, value_name = "FILE")]
        link_file: Option<PathBuf>,
    },
}

/// Which transport may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// The server's; directly where the server can't be reached
    Auto,
    /// The server's and no other
    Server,
    /// Directly from device to device; the server is never asked
    P2p,
}

/// The option of every command that takes a transport.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct TransportOption {
    /// Over the server, or directly from device to device [default: auto, the server first]
    #[arg(long, value_name = "TRANSPORT")]
    transport: Option<Transport>,
}

impl TransportOption {
    /// As the daemon is asked. What is the default is left out, so that an older daemon takes it,
    /// too.
    pub(crate) fn choice(self) -> Option<TransportChoice> {
        match self.transport? {
            Transport::Auto => None,
            Transport::Server => Some(TransportChoice::Server),
            Transport::P2p => Some(TransportChoice::P2p),
        }
    }

    /// Whether the server shall not be asked at all.
    pub(crate) fn is_p2p(self) -> bool {
        self.transport == Some(Transport::P2p)
    }
}
