//! `recovery share|give|collect`: a kit among members, and the way back by them.
//!
//! Decides what a person sees before they split a kit, and that giving a share is a ceremony with
//! its codes. Refuses to begin a collection whose password nobody can give again.

use parsec_protocol::control::{
    CeremonyView, ClaimStart, GreetStart, HeldShareView, InviteResult, KitMember, Member, Outcome,
    RecoveryCombine, RecoveryGive, RecoveryShare, RecoveryShared, RecoveryUsed, SecretText, SharedKit,
    method,
};
use zeroize::Zeroizing;

use super::super::{Context, admin, ceremony, claim, invite, short};
use super::{SEE_KITS, back};
use crate::args::{CollectShares, GiveShare, ShareKit, TransportOption};
use crate::ceremony::Prepared;
use crate::commands::device::described;
use crate::failure::{Done, Failure};
use crate::output::Output;
use crate::password;
use crate::schema;
use crate::text::escaped;

/// Splits a new kit among members.
pub(super) fn share(context: &Context<'_>, asked: ShareKit) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let members: Result<Vec<Member>, Failure> =
        asked.members.iter().map(|named| admin::member(context, &mut daemon, named)).collect();
    let members = members?;
    let names: Vec<String> = members.iter().map(admin::in_words).collect();
    let what = format!(
        "A recovery kit of yours is split among these {}, of whom any {} together can take a device in your name:\n  {}",
        members.len(),
        asked.threshold,
        names.join("\n  ")
    );
    admin::confirm(context, &what, &asked.sure)?;
    let request = RecoveryShare {
        select: context.global.select(),
        threshold: asked.threshold,
        members: members.iter().map(|member| member.user).collect(),
        label: asked.label,
    };
    let made: RecoveryShared = context.ask(&mut daemon, method::RECOVERY_SHARE, &request)?;
    let shared = made.kit.shared.as_ref().map(among).unwrap_or_default();
    let said = format!("The recovery kit {} is {shared}.", short(made.kit.device));
    context.output.changed(schema::RECOVERY_SHARE, &made, || said.clone(), Done::new(&said, SEE_KITS))?;
    context.output.say("Its words were shown to nobody. When you need it, call them, and run on an empty machine: parsecctl recovery collect");
    Ok(())
}

/// Gives one's share to whom it brings back.
pub(super) fn give(context: &Context<'_>, asked: GiveShare) -> Result<(), Failure> {
    let GiveShare { member, days, detach, qr_code } = asked;
    qr_code.check(context.output)?;
    invite::check_stdout(false)?;
    // Somebody waits on the telephone: whoever can't greet from here hears so before.
    let alone = detach || context.output.is_json();
    let terminal = ceremony::terminal(context, alone)?;
    let mut daemon = context.connect()?;
    let owner = admin::member(context, &mut daemon, &member)?;
    let request = RecoveryGive { select: context.global.select(), user: owner.user, kit: None, days };
    let made: InviteResult = context.ask(&mut daemon, method::RECOVERY_GIVE, &request)?;
    let whom = owner.email.to_string();
    let transport = TransportOption::default();
    invite::show_link(context, schema::RECOVERY_GIVE, &made, &whom, "call them", transport, qr_code)?;
    let Some(terminal) = terminal else { return Ok(()) };
    let start = GreetStart { select: context.global.select(), token: made.token, transport: None };
    let view: CeremonyView = context.ask(&mut daemon, method::GREET_START, &start)?;
    ceremony::take_part(context, daemon, view, Some(&terminal), Prepared::default(), false)
}

/// Collects a share; with the last that is needed, comes back.
pub(super) fn collect(context: &Context<'_>, asked: CollectShares) -> Result<(), Failure> {
    // Before any question: nobody shall choose a password for a daemon that isn't there.
    let mut daemon = context.connect()?;
    context.output.say("If you have collected a share on this machine before, give the same password.");
    let known = [asked.device_label.as_str()];
    let password = password::choose(&asked.password, context.global.no_input, context.output, &known)?;
    let copy = SecretText::new(Zeroizing::new(password.expose().to_owned()));
    if !asked.finish {
        let terminal = ceremony::terminal(context, false)?;
        let link = claim::link((asked.link, asked.link_file.as_deref()), terminal.as_ref(), context.output)?;
        let start = ClaimStart { link: SecretText::new(link), transport: None };
        let view: CeremonyView = daemon.call(method::CLAIM_START, &start)?;
        let id = view.id.0;
        let prepared = Prepared {
            device_label: Some(asked.device_label.clone()),
            password: Some(password),
            ..Prepared::default()
        };
        ceremony::take_part(context, daemon, view, terminal.as_ref(), prepared, false)?;
        daemon = context.connect()?;
        match ceremony::show(&mut daemon, id)?.outcome {
            Some(Outcome::ShareCollected { collected, needed, .. }) if collected >= needed => {}
            // It was said: more are needed; or it was no share.
            Some(_) | None => return Ok(()),
        }
    }
    context.output.say("Putting the kit together, fetching and verifying the organisation's log...");
    let request = RecoveryCombine {
        organisation: context.global.organisation.clone(),
        device_label: asked.device_label,
        password: copy,
        typed_codes: asked.typed_codes,
    };
    let used: RecoveryUsed = daemon.call(method::RECOVERY_COMBINE, &request)?;
    let said =
        format!("{} is unlocked: you are back in {}.", described(&used.device), used.device.organisation);
    back(context, schema::RECOVERY_COLLECT, &used, &said)
}

/// Among whom a kit is split, in words.
pub(super) fn among(shared: &SharedKit) -> String {
    let names: Vec<String> = shared.members.iter().map(named).collect();
    format!("shared among {} of {}: {}", shared.threshold, shared.members.len(), names.join(", "))
}

fn named(member: &KitMember) -> String {
    let name = match (&member.name, &member.email) {
        (Some(name), _) => escaped(name),
        (None, Some(email)) => escaped(email),
        (None, None) => short(member.user),
    };
    if member.revoked { format!("{name} (revoked)") } else { name }
}

/// The shares of others' kits that somebody holds, as a table; none where there are none.
pub(super) fn held(held: &[HeldShareView], output: &Output) -> Option<String> {
    if held.is_empty() {
        return None;
    }
    let rows: Vec<Vec<String>> = held
        .iter()
        .map(|share| {
            vec![
                short(share.kit),
                share.name.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string),
                share.email.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string),
                among(&share.shared),
            ]
        })
        .collect();
    let table = output.table(&["SHARE OF KIT", "OF", "E-MAIL", "SPLIT"], &rows);
    Some(format!("{table}\nTo give one, on the telephone: parsecctl recovery give MEMBER"))
}
