//! `org bootstrap|server`: founds an organisation, and follows its server to another address.
//!
//! Decides where token and password come from. Refuses both as arguments.

use std::path::PathBuf;

use parsec_protocol::control::{OrgBootstrap, OrgBootstrapped, OrgMoved, OrgServer, SecretText, method};

use super::device::described;
use super::{Context, invite, short};
use crate::args::{Bootstrap, Org};
use crate::descriptor;
use crate::failure::{Done, Failure};
use crate::password;
use crate::prompt::Terminal;
use crate::schema;
use crate::text::{escaped, grouped};

pub(super) fn run(context: &Context<'_>, command: Org) -> Result<(), Failure> {
    match command {
        Org::Bootstrap(arguments) => bootstrap(context, arguments),
        Org::Server { url } => server(context, url),
    }
}

fn server(context: &Context<'_>, url: String) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let asked = OrgServer { select: context.global.select(), server: url };
    let moved: OrgMoved = context.ask(&mut daemon, method::ORG_SERVER, &asked)?;
    let what = format!(
        "{} asks {} from now on. It shows the log that this device has verified: {} certificates.",
        described(&moved.device),
        escaped(&moved.device.server),
        moved.certificates
    );
    let done = Done::new(&what, "`parsecctl device list` shows the address; run it again for the links.");
    let text = || {
        let links = moved.links.iter().map(|it| {
            format!(
                "{} ({}): {}",
                short(it.token),
                escaped(invite::subject(&it.subject)),
                escaped(it.link.expose())
            )
        });
        std::iter::once(what.clone()).chain(links).collect::<Vec<_>>().join("\n")
    };
    context.output.changed(schema::ORG_SERVER, &moved, text, done)?;
    if !moved.links.is_empty() {
        context.output.say(
            "\nThe links above are those of your open invitations, with the new address. Hand each to the one it is for: the old ones lead nowhere.",
        );
    }
    context
        .output
        .say("\nYour other devices, and other members', are told each for itself: parsecctl org server URL");
    Ok(())
}

fn bootstrap(context: &Context<'_>, arguments: Bootstrap) -> Result<(), Failure> {
    let Some(organisation) = context.global.organisation.clone() else {
        return Err(Failure::usage(
            "The organisation's name is missing",
            "Give the reserved name with --organisation ORG.",
        ));
    };
    let is_stdin = |path: &PathBuf| descriptor::named(path) == Some(0);
    if arguments.token_file.as_ref().is_some_and(is_stdin) && arguments.password.is_stdin() {
        return Err(Failure::usage(
            "Only one of token and password can come from standard input",
            "Give the other with a file or another descriptor.",
        ));
    }
    // Before any question: nobody shall invent a password for a daemon that isn't there.
    let mut daemon = context.connect()?;
    let no_input = context.global.no_input;
    let token = match &arguments.token_file {
        Some(path) => password::read_secret(path, "bootstrap token")?,
        None => {
            let instead = "Give it with --token-file FILE (or - for stdin).";
            let terminal = Terminal::open(no_input, context.output, "The bootstrap token", instead)?;
            let token =
                terminal.answer("Bootstrap token from the server's administrator (not shown): ", true)?;
            context.output.say("");
            token
        }
    };
    let known = [arguments.email.as_str(), arguments.name.as_str(), organisation.as_str()];
    let password = password::choose(&arguments.password, no_input, context.output, &known)?;
    context.output.say(&format!("Founding {organisation}..."));
    let founded: OrgBootstrapped = daemon.call(
        method::ORG_BOOTSTRAP,
        &OrgBootstrap {
            server: arguments.server,
            organisation: organisation.clone(),
            token: SecretText::new(token.trim().to_owned().into()),
            email: arguments.email,
            name: arguments.name,
            device_label: arguments.device_label,
            password,
            typed_codes: arguments.typed_codes,
        },
    )?;
    let done = Done::new(
        format!("{organisation} is founded, and this device is unlocked."),
        "`parsecctl device list` shows it, `parsecctl trust show` the root key.",
    );
    let text = || {
        format!(
            "{organisation} is founded. You are its first administrator, and this device is unlocked.\n\
             Root key:  {}\n\
             Device:    {} on {}",
            grouped(&founded.root_fingerprint),
            founded.device.device,
            escaped(&founded.device.server)
        )
    };
    context.output.changed(schema::ORG_BOOTSTRAP, &founded, text, done)?;
    context.output.say(
        "\nEvery member's device shows the same root key; compare it when in doubt.\nNext: parsecctl invite user EMAIL",
    );
    Ok(())
}
