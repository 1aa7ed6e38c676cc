//! `device revoke`, `user revoke`, `user profile`: what a member says about others; `user rekey`:
//! about themself.
//!
//! Decides how somebody is named, and that a person sees whom it is about before it is signed.
//! Refuses to go on without a yes that was typed in full, or given as an option by a script.

use parsec_protocol::control::{
    DeviceRevoke, Member, MemberDevice, UserListResult, UserProfile, UserRekeyed, UserRevoke, UserShow,
    UserShowResult, method,
};

use super::{Context, profile, short};
use crate::args::{Profile, Sure};
use crate::client::Connection;
use crate::failure::{Done, Failure};
use crate::prompt::Terminal;
use crate::schema;
use crate::text::{escaped, grouped};

/// Fewest digits of a device's id: fewer would fit by accident.
const PREFIX_MIN_DIGITS: usize = 4;
/// Where what was signed can be seen.
const SEE_MEMBERS: &str = "`parsecctl user list` shows the members as they are now.";

/// Revokes one device.
pub(super) fn revoke_device(context: &Context<'_>, id: &str, sure: &Sure) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let all: UserListResult = context.ask(&mut daemon, method::USER_LIST, &context.global.select())?;
    let (owner, device) = find(&all.users, id)?;
    let named = format!("Device {} of {}", device_in_words(device), in_words(owner));
    let what =
        format!("{named} will not be trusted from here on, nor anything it signs. This can't be undone.");
    confirm(context, &what, sure)?;
    let asked = DeviceRevoke { select: context.global.select(), device: device.device };
    let member: Member = context.ask(&mut daemon, method::DEVICE_REVOKE, &asked)?;
    let text = format!("{named} is revoked.");
    context.output.changed(schema::DEVICE_REVOKE, &member, || text.clone(), Done::new(&text, SEE_MEMBERS))
}

/// Revokes one member with all devices.
pub(super) fn revoke_user(context: &Context<'_>, user: &str, sure: &Sure) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let member = member(context, &mut daemon, user)?;
    let devices = member.devices.iter().filter(|device| !device.revoked).count();
    let named = in_words(&member);
    let what = format!(
        "{named} and {devices} {} will not be trusted from here on. This can't be undone.",
        if devices == 1 { "device" } else { "devices" }
    );
    confirm(context, &what, sure)?;
    let asked = UserRevoke { select: context.global.select(), user: member.user };
    let member: Member = context.ask(&mut daemon, method::USER_REVOKE, &asked)?;
    let text = format!("{named} is revoked, with every device.");
    context.output.changed(schema::USER_REVOKE, &member, || text.clone(), Done::new(&text, SEE_MEMBERS))
}

/// Changes one's own key.
pub(super) fn rekey(context: &Context<'_>, sure: &Sure) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let what = "You get another key, and your devices with you: what is sealed to you from here on opens with it alone. \
                What was sealed to you before stays readable to whoever has your key of before. This is done by itself when a device of yours is revoked.";
    confirm(context, what, sure)?;
    context.output.say("Changing the key and handing it to your devices...");
    let done: UserRekeyed = context.ask(&mut daemon, method::USER_REKEY, &context.global.select())?;
    let left_out = match done.left_out.as_slice() {
        [] => String::new(),
        devices => {
            let ids: Vec<_> = devices.iter().map(|device| short(*device)).collect();
            format!(" The server does not have the keys of {}: they got no use of it.", ids.join(", "))
        }
    };
    let text = format!("Your key is another one now: {}.{left_out}", grouped(&done.key));
    context.output.changed(schema::USER_REKEY, &done, || text.clone(), Done::new(&text, SEE_MEMBERS))
}

/// Gives one member another profile.
pub(super) fn change_profile(
    context: &Context<'_>,
    user: &str,
    to: Profile,
    sure: &Sure,
) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let member = member(context, &mut daemon, user)?;
    let named = in_words(&member);
    let consequence = match to {
        Profile::Administrator => " An administrator invites, vouches for and revokes others.",
        Profile::Standard | Profile::Outsider => "",
    };
    let what =
        format!("{named}, now {}, becomes {}.{consequence}", profile(member.profile), profile(to.into()));
    confirm(context, &what, sure)?;
    let asked = UserProfile { select: context.global.select(), user: member.user, profile: to.into() };
    let member: Member = context.ask(&mut daemon, method::USER_PROFILE, &asked)?;
    let text = format!("{named} is {} now.", profile(member.profile));
    context.output.changed(schema::USER_PROFILE, &member, || text.clone(), Done::new(&text, SEE_MEMBERS))
}

/// The member that is meant, as the daemon finds them: what is shown and what is signed then go by
/// the same whole id.
pub(super) fn member(context: &Context<'_>, daemon: &mut Connection, user: &str) -> Result<Member, Failure> {
    let asked = UserShow { select: context.global.select(), user: Some(user.to_owned()) };
    let found: UserShowResult = context.ask(daemon, method::USER_SHOW, &asked)?;
    Ok(found.member)
}

/// The device that is meant, by the start of its id.
fn find<'a>(users: &'a [Member], id: &str) -> Result<(&'a Member, &'a MemberDevice), Failure> {
    let wanted = id.to_ascii_lowercase();
    let devices = users.iter().flat_map(|user| user.devices.iter().map(move |device| (user, device)));
    let found: Vec<_> =
        devices.filter(|(_, device)| device.device.to_string().starts_with(&wanted)).collect();
    match found.as_slice() {
        [only] if wanted.len() >= PREFIX_MIN_DIGITS => Ok(*only),
        [] => Err(Failure::usage(
            "No member has a device of this id",
            "`parsecctl user list` shows the devices of all members.",
        )),
        _ => Err(Failure::usage(
            "This is too little of an id",
            format!("Give {PREFIX_MIN_DIGITS} digits or more, until one device alone fits."),
        )),
    }
}

/// Has a person look and type yes.
pub(super) fn confirm(context: &Context<'_>, what: &str, sure: &Sure) -> Result<(), Failure> {
    if sure.yes {
        return Ok(());
    }
    let instead = "Look at what it is about, then give --yes.";
    let terminal = Terminal::open(context.global.no_input, context.output, "Somebody's word", instead)?;
    context.output.screen(what);
    let typed = terminal.answer("Type yes to go on: ", false)?;
    if typed.trim() == "yes" {
        return Ok(());
    }
    Err(Failure::usage("That is not yes, so nothing was changed", "Run it again if you want it."))
}

pub(super) fn in_words(member: &Member) -> String {
    let email = escaped(&member.email);
    member.name.as_ref().map_or_else(|| email.clone(), |name| format!("{} <{email}>", escaped(name)))
}

fn device_in_words(device: &MemberDevice) -> String {
    let id = short(device.device);
    device.label.as_ref().map_or_else(|| id.clone(), |label| format!("{} ({id})", escaped(label)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use parsec_protocol::control::ProfileName;
    use parsec_protocol::ids::{DeviceId, Timestamp, UserId};

    fn user(number: u8, devices: &[[u8; 16]]) -> Member {
        Member {
            user: UserId::from_bytes([number; 16]),
            email: format!("m{number}@acme.test").parse().unwrap(),
            name: None,
            profile: ProfileName::Standard,
            revoked: false,
            suspended: false,
            devices: devices
                .iter()
                .map(|id| MemberDevice {
                    device: DeviceId::from_bytes(*id),
                    label: None,
                    certified: Timestamp(0),
                    revoked: false,
                    recovery: false,
                })
                .collect(),
        }
    }

    #[test]
    fn a_device_is_found_by_as_much_of_its_id_as_is_its_own() {
        let mut alike = [0xab; 16];
        alike[2] = 0;
        let users = [user(1, &[[0xab; 16]]), user(2, &[[0xcd; 16], alike])];
        let found = |id: &str| find(&users, id).map(|(owner, device)| (owner.user, device.device)).ok();
        assert_eq!(found("cdcd"), Some((users[1].user, DeviceId::from_bytes([0xcd; 16]))));
        assert_eq!(found("CDCD"), found("cdcd"));
        assert_eq!(found("abab00"), Some((users[1].user, DeviceId::from_bytes(alike))));
        for id in ["abab", "cdc", "ef01", "", "cdcdx"] {
            assert_eq!(found(id), None, "{id}");
        }
    }
}
