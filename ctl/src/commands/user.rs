//! `user list`: the members, from the verified log.
//!
//! Decides how members look to people. Refuses nothing; the daemon has verified what is shown.

use parsec_protocol::control::{UserListResult, method};

use super::{Context, profile, short};
use crate::args::User;
use crate::failure::Failure;
use crate::text::moment;

pub(super) fn run(context: &Context<'_>, command: &User) -> Result<(), Failure> {
    let User::List = command;
    let result: UserListResult = context.call(method::USER_LIST, &context.global.select())?;
    context.output.result("parsec.user.list/1", &result, || {
        let rows: Vec<Vec<String>> = result.users.iter().flat_map(rows).collect();
        context.output.table(&["USER", "EMAIL", "NAME", "PROFILE", "TERMINAL", "LABEL", "SINCE"], &rows)
    })
}

/// One row for each terminal; the person's columns are filled in the first.
fn rows(member: &parsec_protocol::control::Member) -> Vec<Vec<String>> {
    let unreadable = || "(unreadable)".to_owned();
    let revoked = |is: bool| if is { " (revoked)" } else { "" };
    let person = vec![
        short(member.user),
        member.email.to_string(),
        member.name.as_ref().map_or_else(unreadable, ToString::to_string),
        format!("{}{}", profile(member.profile), revoked(member.revoked)),
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
            row.push(format!("{}{}", short(device.device), revoked(device.revoked)));
            row.push(device.label.as_ref().map_or_else(unreadable, ToString::to_string));
            row.push(moment(device.certified));
            row
        })
        .collect()
}
