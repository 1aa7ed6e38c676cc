//! `greet`: the greeter's side of the ceremony.
//!
//! Decides which invitation is meant and whether there is a person to lead. Refuses to start where
//! nobody could answer.

use parsec_protocol::control::{CeremonyView, GreetStart, Role, method};

use super::{Context, ceremony, invite};
use crate::args::Greet;
use crate::ceremony::Prepared;
use crate::client::Connection;
use crate::failure::Failure;

pub(super) fn run(context: &Context<'_>, command: &Greet) -> Result<(), Failure> {
    let terminal = ceremony::terminal(context, command.detach)?;
    let mut daemon = context.connect()?;
    let view = match command.ceremony {
        Some(id) => ceremony::attach(&mut daemon, id, Role::Greeter)?,
        None => start(context, &mut daemon, command)?,
    };
    let prepared = Prepared { profile: command.profile.map(Into::into), ..Prepared::default() };
    ceremony::take_part(context, daemon, view, terminal.as_ref(), prepared, command.detach)
}

fn start(context: &Context<'_>, daemon: &mut Connection, command: &Greet) -> Result<CeremonyView, Failure> {
    let named = command.invitation.as_deref();
    let token = match named.and_then(|name| name.parse().ok()) {
        Some(token) => token,
        None => invite::find(context, daemon, named, |item| invite::is_open(item) && item.can_greet)?.token,
    };
    context.ask(
        daemon,
        method::GREET_START,
        &GreetStart { select: context.global.select(), token, transport: command.transport.choice() },
    )
}
