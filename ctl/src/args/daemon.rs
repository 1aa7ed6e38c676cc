//! `status`, `events`, `rpc`: the daemon itself.
//!
//! Decides how a place in the stream of events is written. Refuses a place without its stream:
//! numbers of another run of the daemon mean other events.

use std::str::FromStr;

use clap::{Args, Subcommand};
use parsec_protocol::control::{EventPosition, StreamId};

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Stay, and show it anew whenever something changes
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  parsecctl events --json | jq -c .event.type\n  parsecctl events --after 00112233445566778899aabbccddeeff:41\n\nCtrl-C ends it; so does the end of the daemon, unless --follow-restarts is given."
)]
pub(crate) struct Events {
    /// Begin with the event after this one, as far as the daemon still has them; the stream and the
    /// number are in each line of --json
    #[arg(long, value_name = "STREAM:ID")]
    pub(crate) after: Option<After>,
    /// When the daemon ends, wait for the next one and go on
    #[arg(long)]
    pub(crate) follow_restarts: bool,
}

/// `STREAM:ID`
#[derive(Debug, Clone)]
pub(crate) struct After(pub(crate) EventPosition);

impl FromStr for After {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (stream, id) = text.split_once(':').ok_or("a place is written STREAM:ID")?;
        if stream.is_empty() {
            return Err("the stream is missing");
        }
        let id = id.parse().map_err(|_| "the id is a number")?;
        Ok(Self(EventPosition { stream: StreamId(stream.to_owned()), id }))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Rpc {
    /// Call a method and print its result
    ///
    /// The methods are in docs/local-api.md and in `parsecctl rpc discover`. Others on this machine
    /// can see arguments: give what is secret on stdin, with `-`. A subscription ends with the
    /// call; use `parsecctl events`.
    #[command(
        after_long_help = "Examples:\n  parsecctl rpc call status.show\n  parsecctl rpc call invite.list '{\"organisation\":\"acme\"}'\n  parsecctl rpc call device.unlock - < unlock.json"
    )]
    Call {
        /// The method
        method: String,
        /// Its parameters, a JSON object, or `-` to read them from stdin; none if left out
        #[arg(value_name = "JSON|-")]
        params: Option<String>,
    },
    /// Show the daemon's version and what may be called
    Hello,
    /// Print the interface's description (OpenRPC)
    Discover,
}
