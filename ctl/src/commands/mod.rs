//! One file for each noun: its calls, and how their results look to people.
//!
//! Decides which call a command makes. Refuses to keep anything between two commands.

mod admin;
pub(crate) mod ceremony;
mod claim;
mod device;
mod doctor;
mod events;
mod evidence;
mod greet;
pub(crate) mod invite;
pub(crate) mod lab;
mod man;
mod net;
mod org;
pub(crate) mod reauth;
mod recovery;
mod rpc;
mod safe;
mod status;
mod token;
mod trust;
mod user;

use std::path::PathBuf;

use parsec_protocol::control::ProfileName;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::{Arguments, Command, Global};
use crate::client::{Connection, default_socket};
use crate::completion;
use crate::failure::Failure;
use crate::output::Output;

/// What every command has.
pub(crate) struct Context<'a> {
    pub(crate) global: &'a Global,
    pub(crate) output: &'a Output,
}

impl Context<'_> {
    /// Where the daemon listens.
    pub(crate) fn socket(&self) -> Result<PathBuf, Failure> {
        self.global.socket.clone().map_or_else(default_socket, Ok)
    }

    /// A connection to the daemon, once it is known to be of this generation.
    pub(crate) fn connect(&self) -> Result<Connection, Failure> {
        let mut daemon = Connection::open(&self.socket()?)?;
        daemon.greet()?;
        Ok(daemon)
    }

    /// One call on a connection of its own; a person may be asked for the device's password.
    pub(crate) fn call<P: Serialize, R: DeserializeOwned>(
        &self,
        method: &str,
        params: &P,
    ) -> Result<R, Failure> {
        self.ask(&mut self.connect()?, method, params)
    }
}

/// Runs one command.
///
/// # Errors
/// Whatever ended it.
pub(crate) fn run(arguments: Arguments, output: &Output) -> Result<(), Failure> {
    let context = Context { global: &arguments.global, output };
    match arguments.command {
        Command::Org(command) => org::run(&context, command),
        Command::Invite(command) => invite::run(&context, command),
        Command::Greet(command) => greet::run(&context, &command),
        Command::Claim(command) => claim::run(&context, command),
        Command::Ceremony(command) => ceremony::run(&context, command),
        Command::Device(command) => device::run(&context, command),
        Command::Safe(command) => safe::run(&context, command),
        Command::User(command) => user::run(&context, &command),
        Command::Trust(command) => trust::run(&context, &command),
        Command::Receipt(command) => evidence::receipt(&context, &command),
        Command::Recovery(command) => recovery::run(&context, command),
        Command::Token(command) => token::run(&context, command),
        Command::Net(command) => net::run(&context, command),
        Command::Status(command) => status::run(&context, &command),
        Command::Events(command) => events::run(&context, command),
        Command::Doctor => doctor::run(&context),
        Command::Lab(command) => lab::run(&context, &command),
        Command::Rpc(command) => rpc::run(&context, command),
        Command::Completion { shell } => completion::script(shell, output),
        Command::Complete => completion::answer(output),
        Command::Attend(command) => safe::mounts::attend(&context, &command),
        Command::Man { folder } => man::run(&context, &folder),
    }
}

/// The first digits of an id: enough to tell it from others, and what `--device` and `greet` take.
pub(crate) fn short(id: impl std::fmt::Display) -> String {
    id.to_string().chars().take(SHORT_DIGITS).collect()
}

/// Digits of an id shown in lists: among 100,000 ids, two share 8 digits less often than not.
const SHORT_DIGITS: usize = 8;

/// A profile in words.
pub(crate) const fn profile(name: ProfileName) -> &'static str {
    match name {
        ProfileName::Administrator => "administrator",
        ProfileName::Standard => "standard",
        ProfileName::Outsider => "outsider",
    }
}
