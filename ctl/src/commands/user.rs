//! `user list|show|revoke|rekey|profile`: the members, from the verified log.
//!
//! Decides how members look to people. Refuses nothing; the daemon has verified what is shown.

use parsec_protocol::control::{Member, MemberDevice, UserListResult, UserShow, UserShowResult, method};

use super::{Context, admin, profile, short, trust};
use crate::args::User;
use crate::failure::Failure;
use crate::schema;
use crate::text::{escaped, moment};

pub(super) fn run(context: &Context<'_>, command: &User) -> Result<(), Failure> {
    match command {
        User::List => list(context),
        User::Show { user } => show(context, user.clone()),
        User::Revoke { user, sure } => admin::revoke_user(context, user, sure),
        User::Rekey { sure } => admin::rekey(context, sure),
        User::Profile { user, profile, sure } => admin::change_profile(context, user, *profile, sure),
    }
}

fn list(context: &Context<'_>) -> Result<(), Failure> {
    let result: UserListResult = context.call(method::USER_LIST, &context.global.select())?;
    context.output.result(schema::USER_LIST, &result, || {
        let rows: Vec<Vec<String>> = result.users.iter().flat_map(rows).collect();
        context.output.table(&["USER", "EMAIL", "NAME", "PROFILE", "DEVICE", "LABEL", "SINCE"], &rows)
    })
}

fn show(context: &Context<'_>, user: Option<String>) -> Result<(), Failure> {
    let asked = UserShow { select: context.global.select(), user };
    let result: UserShowResult = context.call(method::USER_SHOW, &asked)?;
    context.output.result(schema::USER_SHOW, &result, || {
        let Member { user, email, name, profile: may, revoked, suspended, devices } = &result.member;
        let mut lines = vec![
            format!("User:      {user}"),
            format!("Name:      {}", name.as_ref().map_or_else(|| "(unreadable)".to_owned(), escaped)),
            format!("E-mail:    {}", escaped(email)),
            format!("Profile:   {}{}", profile(*may), standing(*revoked, *suspended)),
        ];
        for device in devices {
            let label = device.label.as_ref().map_or_else(|| "(unreadable)".to_owned(), escaped);
            let revoked = state(device);
            lines.push(format!(
                "Device:    {label}{revoked}, {}, since {}",
                short(device.device),
                moment(device.certified)
            ));
        }
        lines.push(String::new());
        lines.extend(trust::chain(&result.chain, &result.root_fingerprint));
        lines.join("\n")
    })
}

/// What is to be known beside the profile.
const fn standing(revoked: bool, suspended: bool) -> &'static str {
    match (revoked, suspended) {
        (true, _) => " (revoked)",
        (false, true) => " (suspended)",
        (false, false) => "",
    }
}

/// What is to be known beside a device's label.
const fn state(device: &MemberDevice) -> &'static str {
    match (device.recovery, device.revoked) {
        (true, true) => " (recovery kit, revoked)",
        (true, false) => " (recovery kit)",
        (false, true) => " (revoked)",
        (false, false) => "",
    }
}

/// One row for each device; the person's columns are filled in the first.
fn rows(member: &Member) -> Vec<Vec<String>> {
    let unreadable = || "(unreadable)".to_owned();
    let person = vec![
        short(member.user),
        member.email.to_string(),
        member.name.as_ref().map_or_else(unreadable, ToString::to_string),
        format!("{}{}", profile(member.profile), standing(member.revoked, member.suspended)),
    ];
    if member.devices.is_empty() {
        return vec![person];
    }
    member
        .devices
        .iter()
        .enumerate()
        .map(|(index, device)| {
            let mut row = if index == 0 { person.clone() } else { vec![String::new(); person.len()] };
            row.push(format!("{}{}", short(device.device), state(device)));
            row.push(device.label.as_ref().map_or_else(unreadable, ToString::to_string));
            row.push(moment(device.certified));
            row
        })
        .collect()
}
