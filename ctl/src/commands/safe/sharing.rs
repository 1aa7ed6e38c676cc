//! `safe share|unshare|takeover|accept|leave`: who is in a safe.
//!
//! Decides what a person sees before they let somebody in or out: who it is, since when a member,
//! and who vouched. Refuses to go on without a yes that was typed in full, or given as an option by
//! a script; the daemon asks for the password on top.

use parsec_protocol::control::{
    Member, ProblemKind, SafeMember, SafeOwnerless, SafeRole, SafeShare, SafeShared, SafeShowResult,
    SafeStanding, SafeUnshare, SafeUnshared, SafeView, UserShow, UserShowResult, method,
};

use super::super::admin::confirm;
use super::{Context, SEE_SAFES, counted, named, named_within, person, profile, role, selector, short};
use crate::args::{Role, Sure};
use crate::client::Connection;
use crate::failure::{Done, Failure};
use crate::schema;
use crate::text::{escaped, moment};

/// Lets a member in, or gives another role.
pub(super) fn share(
    context: &Context<'_>,
    safe: String,
    user: &str,
    to: Role,
    sure: &Sure,
) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let role = SafeRole::from(to);
    let before: SafeShowResult = context.ask(&mut daemon, method::SAFE_SHOW, &selector(context, safe))?;
    may_let_in(&before.safe)?;
    let found = found(context, &mut daemon, user)?;
    let what = format!(
        "{}\nbecomes {} of {}.\n{}",
        introduced(&found),
        super::role(role),
        named_within(&before.safe),
        consequence(role)
    );
    confirm(context, &what, sure)?;
    let asked = SafeShare {
        select: context.global.select(),
        // What was shown is what is signed: both by the whole id.
        safe: before.safe.safe.to_string(),
        member: found.member.user.to_string(),
        role,
    };
    let shared: SafeShared = context.ask(&mut daemon, method::SAFE_SHARE, &asked)?;
    let text = format!(
        "{} is {} of {} now.",
        person(&shared.member.person),
        super::role(shared.member.role),
        named_within(&shared.safe)
    );
    context.output.changed(schema::SAFE_SHARE, &shared, || text.clone(), Done::new(&text, SEE_MEMBERS))
}

/// Where the members of a safe can be seen.
const SEE_MEMBERS: &str = "`parsecctl safe members` shows who is in it now.";

/// Refuses before anything is asked what the daemon would refuse behind it.
fn may_let_in(safe: &SafeView) -> Result<(), Failure> {
    match safe.role {
        Some(SafeRole::Contributor | SafeRole::Reader) => {
            let text = "Only an owner or a manager of the safe may do this";
            Err(Failure::new(ProblemKind::SafeRoleTooLow, text))
        }
        // Where nobody is left above, the rules say who may.
        Some(SafeRole::Owner | SafeRole::Manager | SafeRole::Unknown) | None => Ok(()),
    }
}

/// What a role lets somebody do, before they get it.
const fn consequence(role: SafeRole) -> &'static str {
    match role {
        SafeRole::Owner => {
            "An owner can do all that you can, and take your role away. They read everything in it, what was there before included."
        }
        SafeRole::Manager => {
            "A manager writes, and lets others in and out. They read everything in it, what was there before included."
        }
        SafeRole::Contributor => {
            "A contributor writes. They read everything in it, what was there before included."
        }
        SafeRole::Reader | SafeRole::Unknown => "They read everything in it, what was there before included.",
    }
}

/// Takes a member out.
pub(super) fn unshare(context: &Context<'_>, safe: String, user: &str, sure: &Sure) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let before: SafeShowResult = context.ask(&mut daemon, method::SAFE_SHOW, &selector(context, safe))?;
    let found = found(context, &mut daemon, user)?;
    // Of oneself the daemon says what to do instead: leaving needs no role.
    if !found.member.devices.iter().any(|device| device.device == before.safe.device) {
        may_let_in(&before.safe)?;
    }
    let what = format!(
        "{}\nis out of {} from here on. What is written from now on has another key, which they don't get. \
         What they could read before, they may have kept.",
        introduced(&found),
        named_within(&before.safe)
    );
    confirm(context, &what, sure)?;
    let asked = SafeUnshare {
        select: context.global.select(),
        safe: before.safe.safe.to_string(),
        member: found.member.user.to_string(),
    };
    let out: SafeUnshared = context.ask(&mut daemon, method::SAFE_UNSHARE, &asked)?;
    let text = format!(
        "{} is out of {}. Its key is another one now: number {}.",
        person(&out.person),
        named_within(&out.safe),
        out.safe.epoch
    );
    context.output.changed(schema::SAFE_UNSHARE, &out, || text.clone(), Done::new(&text, SEE_MEMBERS))
}

/// Becomes the owner of a safe that nobody owns any more.
pub(super) fn take_over(context: &Context<'_>, safe: String, sure: &Sure) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let before: SafeShowResult = context.ask(&mut daemon, method::SAFE_SHOW, &selector(context, safe))?;
    let what = format!(
        "You become the owner of {}, if nobody counts as one any more and nobody else comes first. You can let in and take out whom you like then. Everybody in it sees that.",
        named_within(&before.safe)
    );
    confirm(context, &what, sure)?;
    let asked = selector(context, before.safe.safe.to_string());
    let taken: SafeShared = context.ask(&mut daemon, method::SAFE_TAKEOVER, &asked)?;
    let text = format!("You are the owner of {} now.", named_within(&taken.safe));
    context.output.changed(schema::SAFE_TAKEOVER, &taken, || text.clone(), Done::new(&text, SEE_MEMBERS))
}

/// That nobody owns a safe any more, and what to do.
pub(super) fn ownerless(found: &SafeOwnerless, safe: &SafeView) -> String {
    let remedy = match found.successors.as_slice() {
        _ if found.mine => format!("You may take it over: parsecctl safe takeover {}", short(safe.safe)),
        [] => "Nobody who is left may take it over: get out of it what you need.".to_owned(),
        [first] => format!("{} may take it over; ask them.", person(first)),
        several => {
            let each: Vec<_> = several.iter().map(person).collect();
            format!("One of these may take it over; ask them: {}", each.join(", "))
        }
    };
    format!("Nobody counts as its owner any more.\n  What to do: {remedy}")
}

/// Takes a safe that is offered.
pub(super) fn accept(context: &Context<'_>, safe: String) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let taken: SafeView = context.ask(&mut daemon, method::SAFE_ACCEPT, &selector(context, safe))?;
    let by = taken.shared_by.as_ref().map(|by| format!(", shared by {}", person(by))).unwrap_or_default();
    let text = format!("{}{by}, is one of your safes now.", named(&taken));
    context.output.changed(schema::SAFE_ACCEPT, &taken, || text.clone(), Done::new(&text, SEE_SAFES))
}

/// Goes out of a safe oneself.
pub(super) fn leave(context: &Context<'_>, safe: String, sure: &Sure) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let before: SafeShowResult = context.ask(&mut daemon, method::SAFE_SHOW, &selector(context, safe))?;
    if before.safe.standing == SafeStanding::Left {
        let text = format!("You are out of {} already.", named_within(&before.safe));
        let done = Done::new(&text, SEE_SAFES);
        return context.output.changed(schema::SAFE_LEAVE, &before.safe, || text.clone(), done);
    }
    let waiting = match before.safe.waiting {
        0 => String::new(),
        1 => " One change of yours is saved here and not shared: nobody will see it.".to_owned(),
        count => format!(" {count} changes of yours are saved here and not shared: nobody will see them."),
    };
    let what = format!(
        "You are out of {} from here on, with all your devices.{waiting} To come back, somebody in it has to share it with you anew.",
        named_within(&before.safe)
    );
    confirm(context, &what, sure)?;
    let asked = selector(context, before.safe.safe.to_string());
    let left: SafeView = context.ask(&mut daemon, method::SAFE_LEAVE, &asked)?;
    let text = format!("You are out of {}.", named_within(&left));
    context.output.changed(schema::SAFE_LEAVE, &left, || text.clone(), Done::new(&text, SEE_SAFES))
}

/// The member that is meant, and who vouched for them.
fn found(context: &Context<'_>, daemon: &mut Connection, user: &str) -> Result<UserShowResult, Failure> {
    let asked = UserShow { select: context.global.select(), user: Some(user.to_owned()) };
    context.ask(daemon, method::USER_SHOW, &asked)
}

/// Who somebody is: for whoever is about to trust them with something.
fn introduced(found: &UserShowResult) -> String {
    let Member { user, email, name, profile: may, suspended, devices, .. } = &found.member;
    let name = name.as_ref().map_or_else(|| "(unreadable)".to_owned(), escaped);
    let live = |kits: bool| {
        devices.iter().filter(|device| !device.revoked && device.recovery == kits).count() as u64
    };
    let kits = match live(true) {
        0 => String::new(),
        count => format!(", {}", counted(count, "recovery kit")),
    };
    let mut lines = vec![
        format!("Name:      {name}"),
        format!("E-mail:    {}", escaped(email)),
        format!("User:      {user}"),
        format!("Profile:   {}, {}{kits}", profile(*may), counted(live(false), "device")),
    ];
    // A chain begins with the present key where that was changed, by a device of the member's own:
    // nobody vouches for themself.
    if let Some(link) = found.chain.iter().find(|link| link.kind == "user") {
        lines.push(format!("Member:    since {}", moment(link.time)));
        lines.push(format!("Vouched:   {}", escaped(&link.signed_by)));
    }
    if let Some(link) = found.chain.first().filter(|link| link.kind == "user_key") {
        lines.push(format!("Own key:   since {}, by {}", moment(link.time), escaped(&link.signed_by)));
    }
    if *suspended {
        lines.push(
            "A device of theirs was revoked: they get the key once their own key has been changed."
                .to_owned(),
        );
    }
    lines.join("\n")
}

/// One member of a safe in a table.
pub(super) fn row(member: &SafeMember) -> Vec<String> {
    let standing = match (member.counts, member.suspended) {
        (false, _) => " (revoked)",
        (true, true) => " (suspended)",
        (true, false) => "",
    };
    vec![
        short(member.person.user),
        member.person.email.to_string(),
        member.person.name.as_ref().map_or_else(|| "(unreadable)".to_owned(), ToString::to_string),
        format!("{}{standing}", role(member.role)),
        moment(member.since),
        member.given_by.email.to_string(),
        profile(member.profile).to_owned(),
    ]
}
