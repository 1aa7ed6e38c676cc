//! `claim`: the newcomer's side of the ceremony.
//!
//! Decides where the link comes from. Refuses a password that is too weak before anybody is called
//! to the phone.

use std::path::Path;

use parsec_protocol::control::{CeremonyView, ClaimStart, Role, SecretText, method};
use parsec_protocol::paste::{PasteError, link_in};
use zeroize::Zeroizing;

use super::{Context, ceremony};
use crate::args::Claim;
use crate::ceremony::Prepared;
use crate::failure::Failure;
use crate::output::Output;
use crate::password;
use crate::prompt::Terminal;

pub(super) fn run(context: &Context<'_>, mut command: Claim) -> Result<(), Failure> {
    let terminal = ceremony::terminal(context, command.detach)?;
    let mut daemon = context.connect()?;
    let password = match command.password.given()? {
        Some(password) => {
            let known = [command.name.as_ref(), command.device_label.as_ref()];
            let known: Vec<&str> = known.into_iter().flatten().map(|label| label.as_str()).collect();
            Some(password::accept(password, &known)?)
        }
        None => None,
    };
    let view = match command.ceremony {
        Some(id) => ceremony::attach(&mut daemon, id, Role::Claimer)?,
        None => {
            let given = (command.link.take(), command.link_file.as_deref());
            let link = link(given, terminal.as_ref(), context.output)?;
            daemon.call::<_, CeremonyView>(
                method::CLAIM_START,
                &ClaimStart { link: SecretText::new(link), transport: command.transport.choice() },
            )?
        }
    };
    let prepared =
        Prepared { name: command.name, device_label: command.device_label, password, ..Prepared::default() };
    ceremony::take_part(context, daemon, view, terminal.as_ref(), prepared, command.detach)
}

/// The link: argument, file, or asked for. Not shown while it is pasted: it stays good until it is
/// used.
pub(super) fn link(
    (link, link_file): (Option<String>, Option<&Path>),
    terminal: Option<&Terminal>,
    output: &Output,
) -> Result<Zeroizing<String>, Failure> {
    if let Some(link) = link {
        return Ok(Zeroizing::new(link));
    }
    if let Some(path) = link_file {
        return password::read_link(path);
    }
    let Some(terminal) = terminal else {
        return Err(Failure::usage(
            "The link is needed, and nobody can be asked",
            "Give it with --link-file FILE (or - for stdin), or as an argument.",
        ));
    };
    loop {
        let pasted =
            terminal.pasted("Paste the link from your invitation and press Enter (it is not shown): ")?;
        if pasted.trim().is_empty() {
            continue;
        }
        match link_in(&pasted) {
            Ok(link) => return Ok(link),
            // Copying again does not mend these: the daemon says what does.
            Err(PasteError::TooNew | PasteError::Address(_)) => return Ok(pasted),
            Err(
                why @ (PasteError::None
                | PasteError::TooMuch
                | PasteError::NoFragment
                | PasteError::CutOff
                | PasteError::Damaged
                | PasteError::Organisation
                | PasteError::Several),
            ) => output.screen(&format!("  That can't be used: {why}. Try again.")),
        }
    }
}
