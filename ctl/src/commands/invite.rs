//! `invite user|device|list|cancel`, and how an invitation is named.
//!
//! Decides which invitation a short token or an address means. Refuses to guess between several.

use parsec_host::output::reaches_nobody;
use parsec_protocol::control::{
    Empty, InvitationItem, InviteCancel, InviteDevice, InviteListResult, InviteResult, InviteUser,
    ProblemKind, Subject, method,
};
use parsec_protocol::ids::Token;

use super::{Context, short};
use crate::args::{Invite, TransportOption};
use crate::client::Connection;
use crate::failure::{Done, Failure};
use crate::qr::QrOption;
use crate::schema::{self, Change};
use crate::text::{escaped, moment};

/// Fewest digits of a token that are taken as its start.
const TOKEN_DIGITS_MIN: usize = 4;

pub(super) fn run(context: &Context<'_>, command: Invite) -> Result<(), Failure> {
    let select = context.global.select();
    match command {
        Invite::User { email, days, no_mail, transport, qr_code } => {
            qr_code.check(context.output)?;
            let whom = email.to_string();
            // Without the server there is nobody to mail it.
            let mail = !no_mail && !transport.is_p2p();
            check_stdout(mail)?;
            let asked = InviteUser { select, email, days, mail, transport: transport.choice() };
            let result: InviteResult = context.call(method::INVITE_USER, &asked)?;
            show_link(context, schema::INVITE_USER, &result, &whom, "call them", transport, qr_code)
        }
        Invite::Device { days, mail, transport, qr_code } => {
            qr_code.check(context.output)?;
            check_stdout(mail)?;
            let asked = InviteDevice { select, days, mail, transport: transport.choice() };
            let result: InviteResult = context.call(method::INVITE_DEVICE, &asked)?;
            show_link(
                context,
                schema::INVITE_DEVICE,
                &result,
                "your new device",
                "run `parsecctl claim` there",
                transport,
                qr_code,
            )
        }
        Invite::List => list(context),
        Invite::Cancel { invitation } => {
            let mut daemon = context.connect()?;
            let token = match invitation.parse() {
                Ok(token) => token,
                Err(_) => find(context, &mut daemon, Some(&invitation), is_open)?.token,
            };
            let _done: Empty =
                context.ask(&mut daemon, method::INVITE_CANCEL, &InviteCancel { select, token })?;
            let text = format!("Invitation {} is cancelled; its link does nothing any more.", short(token));
            let (result, done) = (serde_json::json!({ "token": token }), Done::new(&text, SEE_INVITATIONS));
            context.output.changed(schema::INVITE_CANCEL, &result, || text.clone(), done)
        }
    }
}

pub(super) fn show_link(
    context: &Context<'_>,
    schema: Change,
    result: &InviteResult,
    whom: &str,
    first: &str,
    transport: TransportOption,
    qr_code: QrOption,
) -> Result<(), Failure> {
    let mail = match result.mail.as_str() {
        "sent" => format!("The server has mailed the link to {whom}; here it is again:"),
        "written" => {
            format!("The server has no mail and wrote the message for {whom} to its folder. The link:")
        }
        "failed" => format!("The server could not send the mail. Hand this link to {whom} yourself:"),
        "waiting" => format!(
            "The server's mail server did not take the mail yet; it is tried again for half an hour. If nothing comes, hand this link to {whom} yourself:"
        ),
        "address_refused" => format!(
            "The mail server does not take mail for {whom}: perhaps there is no such mailbox. Is the address right?\n\
             If so, hand this link over yourself; if not, cancel it (parsecctl invite cancel {}) and invite anew:",
            short(result.token)
        ),
        "not_configured" => format!("The server sends no mail. Hand this link to {whom} yourself:"),
        _ => format!("Hand this link to {whom} and nobody else:"),
    };
    context.output.say(&format!("{}\n", crate::text::escaped_lines(&mail)));
    let is_mailed = matches!(result.mail.as_str(), "sent" | "written");
    let done = stands(result, whom, is_mailed);
    if !is_mailed && reaches_nobody() {
        return Err(Failure::nowhere(done));
    }
    context.output.changed(schema, result, || escaped(result.link.expose()), done)?;
    if let Some(alias) = &result.link_alias {
        context
            .output
            .say(&format!("\nThe same for a Parsec that is installed already:\n{}", escaped(alias.expose())));
    }
    qr_code.show(result.link.expose(), context.output)?;
    if !result.posted {
        context.output.say(&format!("\n{}", unposted(transport.is_p2p(), result.p2p)));
    }
    context.output.say(&format!(
        "\nIt expires {}. Invitation {}.\nNext: {first}, and run here: parsecctl greet {}",
        moment(result.expires),
        short(result.token),
        short(result.token)
    ));
    Ok(())
}

/// Where an invitation can be seen; its link can't.
const SEE_INVITATIONS: &str = "`parsecctl invite list` shows the invitations.";

/// A link is shown once. Where it would be lost, there shall be no invitation.
pub(super) fn check_stdout(mail: bool) -> Result<(), Failure> {
    if mail || !reaches_nobody() {
        return Ok(());
    }
    Err(Failure::not_made(
        "the link is shown once, and would be lost, so there is no invitation",
        "Give the link a place to go to.",
    ))
}

/// An invitation that was made and whose link could not be shown.
fn stands(result: &InviteResult, whom: &str, is_mailed: bool) -> Done {
    let token = short(result.token);
    let what = format!("Invitation {token} for {whom} was made and stands");
    if is_mailed {
        let what = format!("{what}; the server has mailed its link.");
        Done::new(what, format!("{SEE_INVITATIONS} To cancel it: parsecctl invite cancel {token}"))
    } else {
        let again =
            format!("A link is shown once. Cancel it: parsecctl invite cancel {token} and invite anew.");
        Done::new(format!("{what}, but nobody has its link."), again)
    }
}

/// What follows from an invitation that the server does not have: because somebody asked for that,
/// or for now.
const fn unposted(asked: bool, p2p: bool) -> &'static str {
    match (asked, p2p) {
        (true, _) => {
            "The server is not told of this invitation. It can be greeted from this device only, and directly:\n\
             run `parsecctl greet --transport p2p` here and `parsecctl claim --transport p2p` there."
        }
        (false, true) => {
            "The server can't be reached, so this invitation was issued here alone, and nothing was mailed. The server\n\
             is told by itself when it can be reached, while this device is unlocked. Until then the invitation can be\n\
             greeted from this device only, and directly: the link says where it is."
        }
        (false, false) => {
            "The server can't be reached, so this invitation was issued here alone, and nothing was mailed. The server\n\
             is told by itself when it can be reached, while this device is unlocked. Until then nobody can use the link."
        }
    }
}

fn list(context: &Context<'_>) -> Result<(), Failure> {
    let result: InviteListResult = context.call(method::INVITE_LIST, &context.global.select())?;
    context.output.result(schema::INVITE_LIST, &result, || {
        if result.invitations.is_empty() {
            return "No invitations. Make one with: parsecctl invite user EMAIL".to_owned();
        }
        let rows: Vec<Vec<String>> = result
            .invitations
            .iter()
            .map(|item| {
                vec![
                    short(item.token),
                    subject(&item.subject),
                    if item.posted {
                        item.status.clone()
                    } else {
                        format!("{}, not on the server", item.status)
                    },
                    moment(item.expires),
                    format!("{}", item.attempts),
                    format!("{}", item.mismatches),
                    if item.can_greet && is_open(item) { "yes" } else { "no" }.to_owned(),
                ]
            })
            .collect();
        let table = context
            .output
            .table(&["TOKEN", "FOR", "STATUS", "EXPIRES", "ATTEMPTS", "WRONG CODES", "GREET HERE"], &rows);
        if result.more {
            format!("{table}\nThere are more: these are the newest that fit one list.")
        } else {
            table
        }
    })
}

/// For whom, in words.
pub(super) fn subject(subject: &Subject) -> String {
    match subject {
        Subject::User { email } => email.to_string(),
        Subject::Device { user } => format!("a device of user {}", short(user)),
        Subject::Share { email: Some(email), .. } => format!("a share of {email}'s recovery kit"),
        Subject::Share { user, .. } => format!("a share of the recovery kit of user {}", short(user)),
    }
}

/// Whether it can still lead somewhere.
pub(crate) fn is_open(item: &InvitationItem) -> bool {
    matches!(item.status.as_str(), "pending" | "in_use")
}

/// The one invitation that `named` means among those that fit; without a name, the only one.
///
/// # Errors
/// `invitation_unknown`; `invalid_request` if several fit.
pub(super) fn find(
    context: &Context<'_>,
    daemon: &mut Connection,
    named: Option<&str>,
    fits: impl Fn(&InvitationItem) -> bool,
) -> Result<InvitationItem, Failure> {
    let all: InviteListResult = context.ask(daemon, method::INVITE_LIST, &context.global.select())?;
    choose(all.invitations.into_iter().filter(fits).collect(), named)
}

fn choose(open: Vec<InvitationItem>, named: Option<&str>) -> Result<InvitationItem, Failure> {
    let mut fitting: Vec<InvitationItem> =
        open.into_iter().filter(|item| named.is_none_or(|name| is_named(item, name))).collect();
    match (fitting.pop(), named) {
        (Some(only), _) if fitting.is_empty() => Ok(only),
        (Some(last), _) => {
            fitting.push(last);
            let these: Vec<String> = fitting
                .iter()
                .map(|item| format!("{} for {}", short(item.token), subject(&item.subject)))
                .collect();
            Err(Failure::usage(
                format!("Several invitations fit: {}", these.join("; ")),
                "Name one by the start of its token.",
            ))
        }
        (None, Some(name)) => Err(Failure::new(
            ProblemKind::InvitationUnknown,
            format!("No open invitation that can be greeted from here is called {name:?}"),
        )
        .advised("See `parsecctl invite list`.")),
        (None, None) => Err(Failure::new(
            ProblemKind::InvitationUnknown,
            "There is no open invitation that can be greeted from here".to_owned(),
        )
        .advised("Make one with `parsecctl invite user EMAIL` or `parsecctl invite device`.")),
    }
}

fn is_named(item: &InvitationItem, name: &str) -> bool {
    if name.contains('@') {
        return matches!(&item.subject, Subject::User { email } if email.as_str() == name.to_ascii_lowercase());
    }
    let start = name.to_ascii_lowercase();
    start.len() >= TOKEN_DIGITS_MIN
        && start.len() <= 2 * Token::LENGTH
        && item.token.to_string().starts_with(&start)
}

#[cfg(test)]
mod tests {
    use parsec_protocol::ids::Timestamp;

    use super::*;

    fn invitation(first: u8, email: &str) -> InvitationItem {
        InvitationItem {
            token: Token::from_bytes([first; 16]),
            subject: Subject::User { email: email.parse().unwrap() },
            status: "pending".into(),
            created: Timestamp(0),
            expires: Timestamp(0),
            mismatches: 0,
            attempts: 0,
            can_greet: true,
            posted: true,
        }
    }

    #[test]
    fn an_invitation_is_found_by_token_address_or_being_the_only_one() {
        let two = || vec![invitation(0xab, "bob@x.org"), invitation(0xac, "carol@x.org")];
        assert_eq!(choose(two(), Some("abab")).unwrap(), invitation(0xab, "bob@x.org"));
        assert_eq!(choose(two(), Some("ACAC")).unwrap(), invitation(0xac, "carol@x.org"));
        assert_eq!(choose(two(), Some("Bob@X.org")).unwrap(), invitation(0xab, "bob@x.org"));
        assert_eq!(choose(vec![invitation(1, "bob@x.org")], None).unwrap(), invitation(1, "bob@x.org"));
    }

    #[test]
    fn what_the_server_does_not_have_is_said_with_what_follows() {
        assert!(
            unposted(false, true).contains("directly") && !unposted(false, true).contains("nobody can use")
        );
        assert!(unposted(false, false).contains("nobody can use"));
        assert!(!unposted(true, true).contains("is told by itself"), "nobody tells it, that was asked for");
    }

    #[test]
    fn it_is_never_guessed() {
        let two = || vec![invitation(0xab, "bob@x.org"), invitation(0xab, "carol@x.org")];
        assert_eq!(choose(two(), None).unwrap_err().exit_code(), 64);
        assert_eq!(choose(two(), Some("abab")).unwrap_err().exit_code(), 64);
        assert_eq!(choose(two(), Some("ab")).unwrap_err().exit_code(), 68, "too short a start");
        assert_eq!(choose(two(), Some("")).unwrap_err().exit_code(), 68);
        assert_eq!(choose(two(), Some("dora@x.org")).unwrap_err().exit_code(), 68);
        assert_eq!(choose(vec![], None).unwrap_err().exit_code(), 68);
    }
}
