//! The words of the ceremony: for each role and stage what happens, whom to call, what to say.
//!
//! Decides what two people on the phone read. Refuses to let the two codes be mistaken for each
//! other: every screen names the role and the step, and a code is either one to say or one to
//! listen for.

use parsec_protocol::control::{
    CeremonyView, Choice, ClaimerInfo, Outcome, Role, Stage, Subject, TransportName,
};

use super::code;
use crate::text::escaped;

/// Steps either side goes through.
const STEPS: u8 = 5;

/// Whether both sides are devices of one person.
pub(super) fn is_own_device(view: &CeremonyView) -> bool {
    matches!(view.subject, Some(Subject::Device { .. }))
}

/// Whether it is about a share of a recovery kit: nobody is let in.
pub(super) fn is_share(view: &CeremonyView) -> bool {
    matches!(view.subject, Some(Subject::Share { .. }))
}

/// What became of a ceremony that was ended too late.
pub(super) const fn too_late(view: &CeremonyView) -> Option<&'static str> {
    match &view.outcome {
        Some(Outcome::Enrolled { .. }) => {
            Some("It was too late to end it: the enrolment is complete. See `parsecctl status`.")
        }
        Some(Outcome::ShareGiven { .. } | Outcome::ShareCollected { .. }) => {
            Some("It was too late to end it: the share is given.")
        }
        Some(Outcome::Failed { .. }) | None => None,
    }
}

/// The one at the other end.
pub(super) fn peer(view: &CeremonyView) -> String {
    match (view.role, &view.subject, &view.invited_by) {
        (Role::Greeter, Some(Subject::User { email }), _) => escaped(email),
        (Role::Greeter, Some(Subject::Device { .. }), _) => "your new device".to_owned(),
        (Role::Greeter, Some(Subject::Share { email: Some(email), .. }), _) => escaped(email),
        (Role::Greeter, Some(Subject::Share { .. }), _) => "the member whose kit it is".to_owned(),
        (Role::Greeter, None, _) => "the newcomer".to_owned(),
        (Role::Claimer, Some(Subject::Device { .. }), _) => "your other device".to_owned(),
        (Role::Claimer, _, Some(email)) => escaped(email),
        (Role::Claimer, _, None) => "the person who invited you".to_owned(),
    }
}

/// The address the invitation is for, so that a link that was meant for somebody else is noticed at
/// the start.
fn invited_as(view: &CeremonyView) -> String {
    match &view.subject {
        Some(Subject::User { email }) => format!(" as {}", escaped(email)),
        Some(Subject::Device { .. } | Subject::Share { .. }) | None => String::new(),
    }
}

/// Whether everything its stage is about is there. A view can be caught between two changes; half a
/// question is none.
pub(super) fn is_complete(view: &CeremonyView) -> bool {
    match view.stage {
        Stage::SayCode => view.say.is_some(),
        // Typing is asked for where it is required, never because the proposals are still to come.
        Stage::ChooseCode => view.typed_required || !view.choices.is_empty(),
        Stage::Approve => view.claimer.is_some(),
        Stage::Done | Stage::Closed => view.outcome.is_some(),
        Stage::Connecting
        | Stage::WaitingForPeer
        | Stage::Handshake
        | Stage::Identify
        | Stage::WaitingForApproval
        | Stage::SetPassword
        | Stage::WaitingForPassword
        | Stage::Registering
        | Stage::Unknown => true,
    }
}

/// The role and the step, above everything else.
pub(super) fn heading(view: &CeremonyView) -> Option<String> {
    let (role, step, what) = match (view.role, view.stage) {
        (Role::Greeter, Stage::Connecting | Stage::WaitingForPeer | Stage::Handshake) => ("GREETER", 1, "get together"),
        (Role::Greeter, Stage::ChooseCode) => ("GREETER", 2, "listen to the newcomer's code"),
        (Role::Greeter, Stage::SayCode) => ("GREETER", 3, "say your code"),
        (Role::Greeter, Stage::Approve) => ("GREETER", 4, "check who it is, and vouch"),
        (Role::Greeter, Stage::WaitingForPassword | Stage::Registering) => ("GREETER", 5, "wait for the newcomer's password"),
        (Role::Claimer, Stage::Connecting | Stage::WaitingForPeer | Stage::Handshake) => ("CLAIMER", 1, "get together"),
        (Role::Claimer, Stage::SayCode) => ("CLAIMER", 2, "say your code"),
        (Role::Claimer, Stage::ChooseCode) => ("CLAIMER", 3, "listen to the greeter's code"),
        (Role::Claimer, Stage::Identify | Stage::WaitingForApproval) => ("CLAIMER", 4, "say who you are"),
        (Role::Claimer, Stage::SetPassword | Stage::Registering) => ("CLAIMER", 5, "choose a password"),
        (_, Stage::Done | Stage::Closed | Stage::Unknown)
        // Stages of the other role: nothing to head.
        | (Role::Greeter, Stage::Identify | Stage::WaitingForApproval | Stage::SetPassword)
        | (Role::Claimer, Stage::Approve | Stage::WaitingForPassword) => return None,
    };
    Some(format!("You are the {role}, step {step} of {STEPS}: {what}"))
}

/// What happens at this stage and what to do, indented under the heading.
pub(super) fn body(view: &CeremonyView, plain: bool) -> Option<String> {
    let peer = peer(view);
    let own = is_own_device(view);
    if let Some(text) = of_share(view, &peer) {
        return Some(indented(&text));
    }
    let text = match (view.role, view.stage) {
        (_, Stage::Connecting) if view.transport == Some(TransportName::P2p) => "Looking for the other device...".to_owned(),
        (_, Stage::Connecting) => "Connecting to the server...".to_owned(),
        (Role::Greeter, Stage::WaitingForPeer) if own => {
            "On the new device, run `parsecctl claim` with the link. Keep both screens in view.\nWaiting for it...".to_owned()
        }
        (Role::Greeter, Stage::WaitingForPeer) => format!(
            "You are about to vouch for {peer} in {}.\n\
             Call them now, on the phone or over video, so that you know it is them.\n\
             Ask them to run `parsecctl claim` with their link, and stay on the line.\n\
             Waiting for them...",
            view.organisation
        ),
        (Role::Claimer, Stage::WaitingForPeer) if own => {
            format!(
                "This becomes another device of yours in {}.\n\
                 On the device you already have, run `parsecctl greet`. Keep both screens in view.\nWaiting for it...",
                view.organisation
            )
        }
        (Role::Claimer, Stage::WaitingForPeer) => format!(
            "You are about to join {}{}. {peer} invited you\n\
             and will vouch for you.\n\
             Talk to each other now, on the phone or over video, to the end.\n\
             Ask them to run `parsecctl greet`.\n\
             Waiting for them...",
            view.organisation,
            invited_as(view)
        ),
        (_, Stage::Handshake) => "Both are here. Agreeing on keys...".to_owned(),
        (_, Stage::SayCode) => say(view, &peer, own, plain),
        (_, Stage::ChooseCode) => listen(view, &peer, own, plain),
        (Role::Claimer, Stage::Identify) if own => "The codes agree: nobody is between this device and the other one.".to_owned(),
        (Role::Claimer, Stage::Identify) => format!(
            "The codes agree: nobody is in between.\n\n\
             Tell {peer} aloud:  \"I found your code.\"\n\n\
             Then say who you are; {peer} will look at it."
        ),
        (Role::Claimer, Stage::WaitingForApproval) => {
            let remind = if own { "Now confirm on the other device." } else { "If you have not said \"I found your code\" yet, say it now." };
            format!("{remind}\nWaiting for {peer} to vouch...")
        }
        (Role::Greeter, Stage::Approve) => approve(view, &peer),
        (Role::Claimer, Stage::SetPassword) => "Everything is verified: your keys are certified, up to the root key.\n\
             Choose a password. It protects the keys on this device, never leaves it,\n\
             and can't be recovered."
            .to_owned(),
        (Role::Greeter, Stage::WaitingForPassword) if own => "Choose a password on the new device.\nWaiting for it...".to_owned(),
        (Role::Greeter, Stage::WaitingForPassword) => format!("{peer} chooses a password; it is not for your ears.\nWaiting for them..."),
        (_, Stage::Registering) => "Putting the certificates into the organisation's log...".to_owned(),
        (_, Stage::Done | Stage::Closed | Stage::Unknown)
        | (Role::Greeter, Stage::Identify | Stage::WaitingForApproval | Stage::SetPassword)
        | (Role::Claimer, Stage::Approve | Stage::WaitingForPassword) => return None,
    };
    Some(indented(&text))
}

/// What is different where a share is given.
fn of_share(view: &CeremonyView, peer: &str) -> Option<String> {
    if !is_share(view) {
        return None;
    }
    let text = match (view.role, view.stage) {
        (Role::Greeter, Stage::WaitingForPeer) => format!(
            "You are about to give {peer} your share of their recovery kit in {}.\n\
             With enough shares, whoever gets them is {peer} to everybody. Call them now, on the phone or\n\
             over video, so that you know it is them.\n\
             Ask them to run `parsecctl recovery collect` with their link, and stay on the line.\n\
             Waiting for them...",
            view.organisation
        ),
        (Role::Claimer, Stage::WaitingForPeer) => format!(
            "{peer} gives you their share of your recovery kit in {}.\n\
             Talk to each other now, on the phone or over video, to the end.\n\
             Ask them to run `parsecctl greet`.\n\
             Waiting for them...",
            view.organisation
        ),
        (Role::Claimer, Stage::Identify) => format!(
            "The codes agree: nobody is in between.\n\n\
             Tell {peer} aloud:  \"I found your code.\""
        ),
        (Role::Claimer, Stage::WaitingForApproval) => format!(
            "If you have not said \"I found your code\" yet, say it now.\nWaiting for {peer} to give the share..."
        ),
        (Role::Claimer, Stage::SetPassword) => "The share is verified, up to the root key.\n\
             Choose a password. It keeps your shares on this machine until there are enough, and protects the\n\
             new device then. If you have collected a share here before, give the same."
            .to_owned(),
        (Role::Greeter, Stage::WaitingForPassword) => {
            format!("{peer} puts the share away...")
        }
        (_, Stage::Registering) => "The share is kept...".to_owned(),
        _ => return None,
    };
    Some(text)
}

/// The transport, once it is decided. One that nobody here knows is not spoken of.
pub(super) const fn transport(view: &CeremonyView) -> Option<&'static str> {
    match view.transport {
        Some(TransportName::Server) => Some("  Over the metadata server."),
        Some(TransportName::P2p) => Some("  Directly, without the server."),
        Some(TransportName::Unknown) | None => None,
    }
}

fn say(view: &CeremonyView, peer: &str, own: bool, plain: bool) -> String {
    let Some(code) = &view.say else { return "Waiting for the code...".to_owned() };
    let before = if own { "Look for this code on the other device:" } else { "Say this code aloud:" };
    let after = match (own, view.role, view.typed_required) {
        (true, _, true) => "Type it there.",
        (true, _, false) => "Pick it there. If it is not among those shown, answer \"none\" there.",
        (false, _, true) => "They type it on their side.",
        (false, _, false) => "They look for it on their screen.",
    };
    let wait =
        if own { "Waiting for the other device...".to_owned() } else { format!("Waiting for {peer}...") };
    format!("{before}\n\n    {}\n\n{after}\n{wait}", in_words(code, plain))
}

fn listen(view: &CeremonyView, peer: &str, own: bool, plain: bool) -> String {
    let whose = if own {
        format!("{} shows a code of four characters.", capitalised(peer))
    } else {
        format!("Listen: {peer} now says a code of four characters.")
    };
    if view.choices.is_empty() {
        let how = if own { "Type it as you see it there." } else { "Type it as you hear it." };
        return format!("{whose}\n{how} This organisation shows no codes to pick from.");
    }
    let question = if own {
        "Which code does it show?".to_owned()
    } else {
        format!("Which code does {peer} read to you?")
    };
    let list: Vec<String> =
        view.choices.iter().enumerate().map(|(index, code)| numbered(index, code, plain)).collect();
    format!("{whose}\n{question}\n\n{}\n  n)  none of these", list.join("\n"))
}

fn numbered(index: usize, choice: &Choice, plain: bool) -> String {
    format!("  {})  {}", index + 1, in_words(choice, plain))
}

/// A code and how it is said.
pub(crate) fn in_words(choice: &Choice, plain: bool) -> String {
    if plain {
        format!("{}: {}", escaped(&choice.code), escaped(code::spelled(&choice.code, true)))
    } else {
        format!("{}     {}", escaped(&choice.code), escaped(&choice.spelled))
    }
}

fn approve(view: &CeremonyView, peer: &str) -> String {
    let Some(ClaimerInfo { name, device_label }) = &view.claimer else { return String::new() };
    if is_share(view) {
        return format!("{peer} is at a device that they call {}.", escaped(device_label));
    }
    match name {
        Some(name) => format!(
            "{peer} says:\n  Name:    {}\n  Device:  {}\nYou may correct what will be certified.",
            escaped(name),
            escaped(device_label)
        ),
        None => format!(
            "The new device is to be called {}. You may correct that.\n\
             It will be added to your own account and get your user keys.",
            escaped(device_label)
        ),
    }
}

/// The question that stands between a stranger and a signature.
pub(super) fn vouch(view: &CeremonyView, name: Option<&str>, label: &str, profile: &str) -> String {
    let peer = peer(view);
    if is_share(view) {
        return indented(&format!(
            "You are about to give your share of a recovery kit away, to whoever is on the phone:\n\
             \x20 {peer}, at {}\n\n\
             Is it THEIR voice, and did you HEAR them say that they found your code?",
            escaped(label)
        ));
    }
    if is_own_device(view) {
        return indented(&format!(
            "You are about to add the device {} to your own account.\n\n\
             Did YOU, on that device, find the code shown here before?",
            escaped(label)
        ));
    }
    indented(&format!(
        "You are about to vouch that this person is known to you:\n\
         \x20 {} <{peer}>, device {}, as {profile}\n\n\
         Did you HEAR them say that they found your code?",
        escaped(name.unwrap_or("(no name)")),
        escaped(label)
    ))
}

/// Two spaces before each line that has something on it.
fn indented(text: &str) -> String {
    text.lines()
        .map(|line| if line.is_empty() { String::new() } else { format!("  {line}") })
        .collect::<Vec<_>>()
        .join("\n")
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use parsec_protocol::control::{CeremonyId, ClaimerInfo};

    use super::*;

    const STAGES: [Stage; 13] = [
        Stage::Connecting,
        Stage::WaitingForPeer,
        Stage::Handshake,
        Stage::SayCode,
        Stage::ChooseCode,
        Stage::Identify,
        Stage::WaitingForApproval,
        Stage::Approve,
        Stage::SetPassword,
        Stage::WaitingForPassword,
        Stage::Registering,
        Stage::Done,
        Stage::Closed,
    ];

    fn view(role: Role, stage: Stage) -> CeremonyView {
        let code = |code: &str| Choice { code: code.into(), spelled: "Kilo".into() };
        CeremonyView {
            id: CeremonyId(1),
            revision: 1,
            role,
            organisation: "acme".parse().unwrap(),
            subject: Some(Subject::User { email: "bob@example.org".parse().unwrap() }),
            token: None,
            invited_by: Some("alice@example.org".parse().unwrap()),
            attempt: None,
            stage,
            allowed: vec![],
            say: Some(code("K7EM")),
            choices: ["KAB2", "K9XY", "KQ34", "KZZ9"].map(code).to_vec(),
            typed_required: false,
            claimer: Some(ClaimerInfo {
                name: Some("Bob".parse().unwrap()),
                device_label: "laptop".parse().unwrap(),
            }),
            outcome: None,
            note: None,
            transport: None,
        }
    }

    #[test]
    fn a_code_to_say_and_codes_to_choose_from_never_share_a_screen() {
        for role in [Role::Greeter, Role::Claimer] {
            for stage in STAGES {
                let text = body(&view(role, stage), false).unwrap_or_default();
                assert_eq!(text.contains("K7EM"), stage == Stage::SayCode, "{role:?} {stage:?}: {text}");
                assert_eq!(text.contains("KAB2"), stage == Stage::ChooseCode, "{role:?} {stage:?}: {text}");
            }
        }
    }

    #[test]
    fn every_screen_with_a_code_names_role_and_step() {
        for (role, word, peer) in
            [(Role::Greeter, "GREETER", "bob@example.org"), (Role::Claimer, "CLAIMER", "alice@example.org")]
        {
            for stage in [Stage::SayCode, Stage::ChooseCode] {
                let view = view(role, stage);
                assert!(heading(&view).unwrap().starts_with(&format!("You are the {word}, step ")));
                assert!(body(&view, false).unwrap().contains(peer));
            }
        }
    }

    #[test]
    fn the_choose_screen_has_four_codes_and_none_and_marks_no_one() {
        let text = body(&view(Role::Greeter, Stage::ChooseCode), false).unwrap();
        for line in ["1)  KAB2", "2)  K9XY", "3)  KQ34", "4)  KZZ9", "n)  none of these"] {
            assert_eq!(text.matches(line).count(), 1, "{text}");
        }
        assert!(!text.contains(['*', '>', '[']), "nothing looks preselected: {text}");
    }

    #[test]
    fn where_codes_must_be_typed_none_is_shown() {
        let mut typed = view(Role::Greeter, Stage::ChooseCode);
        typed.typed_required = true;
        typed.choices.clear();
        let text = body(&typed, false).unwrap();
        assert!(
            is_complete(&typed) && text.contains("Type it as you hear it") && !text.contains("1)"),
            "{text}"
        );
    }

    #[test]
    fn half_a_view_asks_nothing() {
        let mut choose = view(Role::Greeter, Stage::ChooseCode);
        choose.choices.clear();
        let mut say = view(Role::Greeter, Stage::SayCode);
        say.say = None;
        let mut approve = view(Role::Greeter, Stage::Approve);
        approve.claimer = None;
        for half in [choose, say, approve, view(Role::Greeter, Stage::Done)] {
            assert!(!is_complete(&half), "{:?}", half.stage);
        }
    }

    #[test]
    fn a_device_of_ones_own_is_never_called_on_the_phone() {
        for role in [Role::Greeter, Role::Claimer] {
            for stage in STAGES {
                let mut own = view(role, stage);
                own.subject = Some(Subject::Device { user: "00".repeat(16).parse().unwrap() });
                let text = body(&own, false).unwrap_or_default();
                for word in ["phone", "aloud", "hear", "bob@", "alice@"] {
                    assert!(!text.contains(word), "{role:?} {stage:?} says {word}: {text}");
                }
            }
        }
    }

    #[test]
    fn whoever_goes_directly_is_not_told_of_a_server() {
        for role in [Role::Greeter, Role::Claimer] {
            let mut direct = view(role, Stage::Connecting);
            assert!(transport(&direct).is_none() && body(&direct, false).unwrap().contains("server"));
            direct.transport = Some(TransportName::P2p);
            assert!(!body(&direct, false).unwrap().contains("server"));
            assert_eq!(transport(&direct), Some("  Directly, without the server."));
            direct.transport = Some(TransportName::Unknown);
            assert_eq!(transport(&direct), None);
        }
    }

    /// Columns and numbers with a bracket mean nothing to the ear; the letters must come one by
    /// one.
    #[test]
    fn plain_screens_spell_their_codes() {
        for (stage, code) in [(Stage::SayCode, "K7EM"), (Stage::ChooseCode, "KZZ9")] {
            let text = body(&view(Role::Greeter, stage), true).unwrap();
            let spelled = code::spelled(code, true);
            assert!(text.contains(&format!("{code}: {spelled}")), "{text}");
        }
    }
}
