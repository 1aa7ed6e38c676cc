//! `invite.*`: making, listing and cancelling invitations.
//!
//! Decides that a link secret is in the encrypted store before the server hears of the invitation: an invitation that
//! nobody can greet would be worse than a secret without one.

use std::sync::Arc;

use parsec_protocol::control::{
    Empty, Event, InvitationItem, InviteListResult, InviteResult, Problem, ProblemKind, SecretText,
};
use parsec_protocol::enrol::link::{Link, LinkKind};
use parsec_protocol::ids::{Invited, Token};
use parsec_protocol::keys::{LinkSecret, random};
use parsec_protocol::limits::{INVITATION_DAYS_DEFAULT, INVITATION_DAYS_MAX};
use parsec_protocol::relay::{InvitationStatus, MailOutcome, NewInvitation};

use super::session::Session;
use crate::enrolment::view::subject;
use crate::transport::Trouble;
use crate::transport::retry::until_done;
use crate::{clock, entropy, problems};

/// Seconds in a day.
const DAY: u64 = 86_400;
/// How long a person's program is kept waiting for a server that does not answer.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(8);

/// Makes an invitation.
///
/// # Errors
/// Why not. What is left in the store then is dropped.
pub async fn make(
    session: &Session,
    invited: Invited,
    days: Option<u32>,
    mail: bool,
) -> Result<InviteResult, Problem> {
    let days = days.unwrap_or(INVITATION_DAYS_DEFAULT);
    if !(1..=INVITATION_DAYS_MAX).contains(&days) {
        let text = format!("An invitation lasts 1 to {INVITATION_DAYS_MAX} days.");
        return Err(Problem::new(ProblemKind::InvalidRequest, text));
    }
    let token = Token::from_bytes(random(&mut entropy::System).map_err(problems::no_entropy)?);
    let secret = LinkSecret::random(&mut entropy::System).map_err(problems::no_entropy)?;
    let expires = clock::now().plus_seconds(u64::from(days) * DAY);
    let kind = match invited {
        Invited::User(_) => LinkKind::User,
        Invited::Device(_) => LinkKind::Device,
    };
    let summary = &session.open.summary;
    let link = Arc::new(Link {
        server: summary.server.clone(),
        organisation: summary.organisation.clone(),
        kind,
        token,
        secret,
        hints: Vec::new(),
    });
    let (kept, whose) = (Arc::clone(&link), invited.clone());
    session.store(move |store| store.put_invitation(token, &kept.secret, &whose, expires)).await?;
    let url = link.to_url();
    let new = NewInvitation { token, invited, expires, mail_link: mail.then(|| url.to_string()) };
    let trouble = Trouble::new(None);
    let post = until_done(&trouble, || session.member.invite(&new));
    let made = match tokio::time::timeout(PATIENCE, post).await {
        Ok(Ok(made)) => made,
        Ok(Err(error)) => {
            session.store(move |store| store.drop_invitation(token)).await?;
            return Err(error.into());
        }
        // The server may have it: the secret stays, and the invitation shows in the list if it was made.
        Err(_) => {
            let why = trouble.borrow().clone().unwrap_or_else(|| "no answer".into());
            return Err(Problem::new(
                ProblemKind::ServerUnreachable,
                format!("The invitation was not confirmed: {why}."),
            ));
        }
    };
    let (organisation, subject) = (summary.organisation.clone(), subject(&new.invited));
    session.events().publish(Event::InvitationCreated { organisation, subject, expires });
    let mail = match made.mail {
        MailOutcome::NotAsked => "not_asked",
        MailOutcome::Sent => "sent",
        MailOutcome::Written => "written",
        MailOutcome::Failed => "failed",
        MailOutcome::NotConfigured => "not_configured",
    };
    Ok(InviteResult {
        token,
        link: SecretText::new(url),
        link_alias: link.to_alias().map(SecretText::new),
        expires,
        mail: mail.to_owned(),
        posted: true,
        direct: false,
    })
}

/// The invitations this member may see.
///
/// # Errors
/// Why not.
pub async fn list(session: &Session) -> Result<InviteListResult, Problem> {
    let list = session.member.invitations().await?;
    let ours = session.store(crate::store::Store::invitation_tokens).await?;
    let invitations = list
        .invitations
        .into_iter()
        .map(|invitation| InvitationItem {
            token: invitation.token,
            subject: subject(&invitation.invited),
            status: status(invitation.status).to_owned(),
            created: invitation.created,
            expires: invitation.expires,
            mismatches: invitation.mismatches,
            attempts: invitation.attempts,
            can_greet: ours.contains(&invitation.token),
            posted: true,
        })
        .collect();
    Ok(InviteListResult { invitations })
}

/// Cancels an invitation; its link secret is forgotten.
///
/// # Errors
/// Why not.
pub async fn cancel(session: &Session, token: Token) -> Result<Empty, Problem> {
    session.member.cancel_invitation(token).await?;
    session.store(move |store| store.drop_invitation(token)).await?;
    let organisation = session.open.summary.organisation.clone();
    session.events().publish(Event::InvitationCancelled { organisation });
    Ok(Empty {})
}

/// The name of a status in the local API.
const fn status(status: InvitationStatus) -> &'static str {
    match status {
        InvitationStatus::Pending => "pending",
        InvitationStatus::InUse => "in_use",
        InvitationStatus::Completed => "completed",
        InvitationStatus::Cancelled => "cancelled",
        InvitationStatus::Expired => "expired",
        InvitationStatus::Exhausted => "exhausted",
    }
}
