//! `invite.*`: making, listing and cancelling invitations.
//!
//! Decides that a link secret is in the encrypted store before the server hears of the invitation
//! (an invitation that nobody can greet would be worse than a secret without one), and which
//! invitations are made without the server.

use std::sync::Arc;

use parsec_protocol::control::{
    Empty, Event, InvitationItem, InviteDevice, InviteListResult, InviteResult, InviteUser, LINE_MAX_BYTES,
    MovedLink, Problem, ProblemKind, RecoveryGive, SecretText, Subject, TransportChoice,
};
use parsec_protocol::enrol::link::{Link, LinkKind};
use parsec_protocol::ids::{DeviceId, Email, Invited, Token, UserId};
use parsec_protocol::keys::{LinkSecret, PeerSecret, random};
use parsec_protocol::limits::{INVITATION_DAYS_DEFAULT, INVITATION_DAYS_MAX};
use parsec_protocol::relay::{ErrorCode, InvitationStatus, MailOutcome, NewInvitation};

use crate::enrolment::p2p;
use crate::enrolment::view::subject;
use crate::os::{addresses, clock, entropy};
use crate::problems;
use crate::recovery;
use crate::session::Session;
use crate::store::{DirectEnd, Posting, Store, StoredInvitation, Tally};
use crate::transport::retry::{ANSWER_WAIT, answered, until_done, within};
use crate::transport::{TransportError, Trouble};

/// Seconds in a day.
const DAY: u64 = 86_400;
/// What all items of a list take on a line at most: the rest is for what stands around them.
const LIST_MAX_BYTES: usize = LINE_MAX_BYTES - 16 * 1024;
/// An item of a list without its address, as JSON, with the longest numbers.
const ITEM_BYTES: usize = 360;
/// What the kit of a share takes beside, as JSON: its id, and an address that is not told.
const KIT_BYTES: usize = 64;
/// The same where the invitation works without it.
const WAIT_ALONE: std::time::Duration = std::time::Duration::from_secs(3);

/// What an invitation is to be.
#[derive(Debug)]
struct Wish {
    /// The newcomer.
    invited: Invited,
    /// Days until it ends.
    days: Option<u32>,
    /// Whether the server shall mail the link.
    mail: bool,
    /// The transport that may be used.
    transport: TransportChoice,
}

/// `invite.user`: makes an invitation for a new member.
///
/// # Errors
/// `transport_unavailable`, `invalid_request`; what the store and the server say.
pub async fn user(session: &Arc<Session>, request: InviteUser) -> Result<InviteResult, Problem> {
    let InviteUser { email, days, mail, transport, .. } = request;
    let transport = transport.unwrap_or_default();
    make(session, Wish { invited: Invited::User(email), days, mail, transport }).await
}

/// `invite.device`: makes an invitation for a further device of this device's user.
///
/// # Errors
/// As [`user`].
pub async fn device(session: &Arc<Session>, request: InviteDevice) -> Result<InviteResult, Problem> {
    let InviteDevice { days, mail, transport, .. } = request;
    let (invited, transport) = (Invited::Device(session.open.summary.user), transport.unwrap_or_default());
    make(session, Wish { invited, days, mail, transport }).await
}

/// `recovery.give`: makes an invitation that brings this user's share of a kit to whoever the kit
/// brings back. Over the server alone: they need it for everything that follows.
///
/// # Errors
/// `share_unknown`, `share_false`; as [`user`].
pub async fn share(session: &Arc<Session>, request: RecoveryGive) -> Result<InviteResult, Problem> {
    let RecoveryGive { user, kit, days, .. } = request;
    let unknown = || {
        let text = "You have no share of a recovery kit of theirs.";
        Problem::new(ProblemKind::ShareUnknown, text)
    };
    let kit = match kit {
        Some(kit) => kit,
        None => newest_kit(session, user).await?.ok_or_else(unknown)?,
    };
    // Whoever asks is on the telephone: nobody is to wait there for a share that is none.
    recovery::held(session, &session.log(), user, kit).await?;
    let invited = Invited::Share(user, kit);
    make(session, Wish { invited, days, mail: false, transport: TransportChoice::Server }).await
}

/// The kit of this user that was made last, of those of which a share is held here.
async fn newest_kit(session: &Session, user: UserId) -> Result<Option<DeviceId>, Problem> {
    let held = recovery::list(session).await?.held;
    let log = session.log();
    let certified = |kit: &DeviceId| log.device(kit).map(|record| record.certified);
    let kits = held.into_iter().filter(|held| held.user == user).map(|held| held.kit);
    Ok(kits.max_by_key(certified))
}

/// Makes an invitation. What is left in the store after a failure is dropped.
async fn make(session: &Arc<Session>, wish: Wish) -> Result<InviteResult, Problem> {
    let Wish { invited, days, mail, transport } = wish;
    session.net.permits(transport)?;
    let days = days.unwrap_or(INVITATION_DAYS_DEFAULT);
    if !(1..=INVITATION_DAYS_MAX).contains(&days) {
        let text = format!("An invitation lasts 1 to {INVITATION_DAYS_MAX} days.");
        return Err(Problem::new(ProblemKind::InvalidRequest, text));
    }
    if mail && transport == TransportChoice::P2p {
        let text = "The server mails links, and is not to be asked: hand this one over yourself.";
        return Err(Problem::new(ProblemKind::InvalidRequest, text));
    }
    let token = Token::from_bytes(random(&mut entropy::System).map_err(problems::no_entropy)?);
    let secret = LinkSecret::random(&mut entropy::System).map_err(problems::no_entropy)?;
    let created = clock::now();
    let expires = created.plus_seconds(u64::from(days) * DAY);
    let summary = &session.open.summary;
    let mut link = link(session, &invited, token, secret)?;
    let end = if transport == TransportChoice::Server { None } else { own_end(session).await? };
    if let Some(end) = &end {
        link.hints = p2p::hints(end, &session.net, mail, link.leads_to_this_machine()).await;
    }
    let is_p2p = !link.hints.is_empty();
    if transport == TransportChoice::P2p && !is_p2p {
        let text = "This machine has no network on which it could be met.";
        return Err(Problem::new(ProblemKind::TransportUnavailable, text));
    }
    let copy = LinkSecret::from_slice(link.secret.expose());
    let kept = StoredInvitation {
        link_secret: copy
            .ok_or_else(|| Problem::new(ProblemKind::Internal, "A secret has another length."))?,
        invited: invited.clone(),
        created,
        expires,
        posted: if transport == TransportChoice::P2p { Posting::Never } else { Posting::Wanted },
        direct: end,
        tally: Tally::default(),
    };
    session.store(move |store| store.put_invitation(token, &kept)).await?;
    let url = link.to_url();
    let new = NewInvitation { token, invited, expires, mail_link: mail.then(|| url.to_string()) };
    // One that can be greeted without the server needs no server now; a mail does.
    let alone = transport != TransportChoice::Server && is_p2p && !mail;
    let posted = if transport == TransportChoice::P2p { None } else { post(session, &new, alone).await? };
    let (organisation, subject) = (summary.organisation.clone(), subject(&new.invited));
    session.events().publish(Event::InvitationCreated { organisation, subject, expires });
    let outcome = match posted {
        None | Some(MailOutcome::NotAsked) => "not_asked",
        Some(MailOutcome::Sent) => "sent",
        Some(MailOutcome::Written) => "written",
        Some(MailOutcome::Failed) => "failed",
        Some(MailOutcome::NotConfigured) => "not_configured",
        Some(MailOutcome::Waiting) => "waiting",
        Some(MailOutcome::AddressRefused) => "address_refused",
    };
    Ok(InviteResult {
        token,
        link: SecretText::new(url),
        link_alias: link.to_alias().map(SecretText::new),
        expires,
        mail: outcome.to_owned(),
        posted: posted.is_some(),
        p2p: is_p2p,
    })
}

/// A link to this device's server, without the places of the peer-to-peer transport.
fn link(session: &Session, invited: &Invited, token: Token, secret: LinkSecret) -> Result<Link, Problem> {
    Ok(Link {
        server: session.member.server().address().parse().map_err(|_| {
            Problem::new(ProblemKind::Internal, "The address of this device's server can't be read.")
        })?,
        organisation: session.open.summary.organisation.clone(),
        kind: match invited {
            Invited::User(_) => LinkKind::User,
            Invited::Device(_) => LinkKind::Device,
            Invited::Share(..) => LinkKind::Share,
        },
        token,
        secret,
        hints: Vec::new(),
    })
}

/// The links of the open invitations that can be greeted from here, anew. Those that never were the
/// server's name it for nothing.
///
/// # Errors
/// The store's.
pub async fn links(session: &Arc<Session>) -> Result<Vec<MovedLink>, Problem> {
    let open = list(session).await?.invitations;
    let mut links = Vec::new();
    for (token, own) in session.store(Store::invitations).await? {
        let greetable = open.iter().any(|it| it.token == token && it.can_greet);
        if !greetable || own.posted == Posting::Never {
            continue;
        }
        let mut link = link(session, &own.invited, token, own.link_secret)?;
        if let Some(end) = &own.direct {
            link.hints = p2p::hints(end, &session.net, false, link.leads_to_this_machine()).await;
        }
        links.push(MovedLink { token, subject: subject(&own.invited), link: SecretText::new(link.to_url()) });
    }
    Ok(links)
}

/// This device's end of the peer-to-peer transport for one invitation, where there is that
/// transport.
async fn own_end(session: &Session) -> Result<Option<DirectEnd>, Problem> {
    if !session.net.has_p2p() {
        return Ok(None);
    }
    let secret = PeerSecret::random(&mut entropy::System).map_err(problems::no_entropy)?;
    let port = tokio::task::spawn_blocking(addresses::free_port).await.ok().flatten();
    Ok(port.map(|port| DirectEnd { secret, port }))
}

/// Tells the server. Nothing, where it can't be reached and need not be: it is told later.
async fn post(
    session: &Arc<Session>,
    new: &NewInvitation,
    alone: bool,
) -> Result<Option<MailOutcome>, Problem> {
    let token = new.token;
    let timeout = if alone { WAIT_ALONE } else { ANSWER_WAIT };
    match within(timeout, || session.member.invite(new)).await {
        Ok(Ok(made)) => {
            session.store(move |store| store.set_posted(token)).await?;
            Ok(Some(made.mail))
        }
        Ok(Err(error)) => {
            session.store(move |store| store.drop_invitation(token)).await?;
            Err(error.into())
        }
        Err(_) if alone => {
            post_later(session, new.clone());
            Ok(None)
        }
        // The server may have it: the secret stays, and the invitation shows in the list if it was
        // made.
        Err(last) => {
            let name = Problem::from(last.clone()).name;
            Err(Problem::new(name, format!("The invitation was not confirmed: {last}.")))
        }
    }
}

/// Tells the server of an invitation as soon as it can be reached, until the device is locked.
fn post_later(session: &Arc<Session>, new: NewInvitation) {
    let device = Arc::clone(session.device());
    session.run(async move {
        let trouble = Trouble::new(None);
        let token = new.token;
        match until_done(&trouble, || device.member.invite(&new)).await {
            Ok(_) => {
                if let Err(problem) = device.store(move |store| store.set_posted(token)).await {
                    tracing::warn!(%problem, "it could not be noted that the server has an invitation");
                }
            }
            Err(error) => tracing::warn!(%error, "the server does not take an invitation"),
        }
    });
}

/// Tells the server of all invitations that it does not have and shall.
///
/// # Errors
/// The store's.
pub async fn post_all(session: &Arc<Session>) -> Result<(), Problem> {
    for (token, invitation) in session.store(Store::invitations).await? {
        if invitation.posted == Posting::Wanted && invitation.expires > clock::now() {
            let StoredInvitation { invited, expires, .. } = invitation;
            post_later(session, NewInvitation { token, invited, expires, mail_link: None });
        }
    }
    Ok(())
}

/// Tells the server again of the invitations that it had and has no more, and whose links are here.
/// Returns how many it took. No mail goes out.
///
/// # Errors
/// The store's.
pub async fn post_lost(session: &Session) -> Result<u32, Problem> {
    let mut posted = 0_u32;
    for (token, own) in session.store(Store::invitations).await? {
        let StoredInvitation { invited, expires, .. } = own;
        if own.posted != Posting::Done || expires <= clock::now() || own.tally.is_exhausted() {
            continue;
        }
        let new = NewInvitation { token, invited, expires, mail_link: None };
        let done = answered(|| async {
            match session.member.invitation(token).await {
                Err(error) if error.code() == Some(ErrorCode::InvitationUnknown) => {
                    session.member.invite(&new).await.map(|_| true)
                }
                there => there.map(|_| false),
            }
        });
        match done.await {
            Ok(lost) => posted = posted.saturating_add(u32::from(lost)),
            // The certificates are what counts; it stays in the list as one that the server doesn't
            // have.
            Err(error) => tracing::warn!(%error, "an invitation could not be made again"),
        }
    }
    Ok(posted)
}

/// Whether somebody can be greeted for an invitation whose link is here. What the server says of it
/// is shown and believed as long as it says so; the link stays, because its word ends nothing.
const fn can_greet(status: InvitationStatus, tally: &Tally) -> bool {
    matches!(status, InvitationStatus::Pending | InvitationStatus::InUse) && !tally.is_exhausted()
}

/// Forgets the links of invitations that are over by their own date.
///
/// # Errors
/// The store's.
pub async fn drop_expired(session: &Session) -> Result<(), Problem> {
    session.store(|store| store.drop_expired(clock::now())).await
}

/// The invitations this member may see. Without the server, those that were made here.
///
/// # Errors
/// Why not.
pub async fn list(session: &Session) -> Result<InviteListResult, Problem> {
    drop_expired(session).await?;
    let ours = session.store(Store::invitations).await?;
    let mut more = false;
    let list = match tokio::time::timeout(ANSWER_WAIT, session.member.invitations()).await {
        Ok(Ok(list)) => {
            more = list.next.is_some();
            list.invitations
        }
        Ok(Err(error)) if error.passes() && !ours.is_empty() => Vec::new(),
        Ok(Err(error)) => return Err(error.into()),
        Err(_) if !ours.is_empty() => Vec::new(),
        Err(_) => return Err(TransportError::Unreachable("no answer".to_owned()).into()),
    };
    let log = session.log();
    let mut invitations: Vec<_> = list
        .into_iter()
        .map(|invitation| InvitationItem {
            token: invitation.token,
            subject: subject(&invitation.invited),
            status: status(invitation.status).to_owned(),
            created: invitation.created,
            expires: invitation.expires,
            mismatches: invitation.mismatches,
            attempts: invitation.attempts,
            can_greet: ours
                .iter()
                .any(|(token, own)| *token == invitation.token && can_greet(invitation.status, &own.tally)),
            posted: true,
        })
        .collect();
    for (token, own) in ours {
        if invitations.iter().any(|there| there.token == token) {
            continue;
        }
        let member = |email: &Email| log.users().any(|user| user.revoked.is_none() && user.email == *email);
        let status = match &own.invited {
            Invited::User(email) if member(email) => InvitationStatus::Completed,
            Invited::User(_) | Invited::Device(_) | Invited::Share(..) => {
                if own.tally.is_exhausted() {
                    InvitationStatus::Exhausted
                } else if own.expires <= clock::now() {
                    InvitationStatus::Expired
                } else {
                    InvitationStatus::Pending
                }
            }
        };
        invitations.push(InvitationItem {
            token,
            subject: subject(&own.invited),
            status: self::status(status).to_owned(),
            created: own.created,
            expires: own.expires,
            mismatches: own.tally.mismatches,
            attempts: own.tally.attempts,
            can_greet: can_greet(status, &own.tally),
            posted: own.posted == Posting::Done,
        });
    }
    more |= keep_what_fits(&mut invitations, LIST_MAX_BYTES);
    Ok(InviteListResult { invitations, more })
}

/// Keeps as many as one line carries, in their order: those that can be used before those that are
/// over. Whether any had to go.
fn keep_what_fits(invitations: &mut Vec<InvitationItem>, most: usize) -> bool {
    let open = |item: &InvitationItem| matches!(item.status.as_str(), "pending" | "in_use");
    let sizes: Vec<usize> = invitations.iter().map(size).collect();
    let mut keep = vec![false; sizes.len()];
    let mut left = most;
    let mut all = true;
    for wanted in [true, false] {
        for ((item, size), keep) in invitations.iter().zip(&sizes).zip(&mut keep) {
            if open(item) != wanted {
                continue;
            }
            match left.checked_sub(*size) {
                Some(rest) => (left, *keep) = (rest, true),
                None => all = false,
            }
        }
    }
    let mut keep = keep.into_iter();
    invitations.retain(|_| keep.next().unwrap_or(false));
    !all
}

/// What an item takes on a line at most: everything but the address has its bound.
fn size(item: &InvitationItem) -> usize {
    match &item.subject {
        Subject::User { email } => ITEM_BYTES.saturating_add(email.as_str().len()),
        Subject::Device { .. } => ITEM_BYTES,
        Subject::Share { .. } => ITEM_BYTES.saturating_add(KIT_BYTES),
    }
}

/// Cancels an invitation; its link secret is forgotten, and whoever is in the middle of it is told.
///
/// # Errors
/// Why not.
pub async fn cancel(session: &Session, token: Token) -> Result<Empty, Problem> {
    let own = session.store(move |store| store.invitation(token)).await?;
    // Whoever is in the middle of it directly is told first: that needs no server.
    p2p::cancelled(session, token).await;
    let posted = own.as_ref().map(|own| own.posted);
    if posted != Some(Posting::Never) {
        match session.member.cancel_invitation(token).await {
            Ok(()) => {}
            // It was made here, and the server never had it.
            Err(error) if posted.is_some() && error.code() == Some(ErrorCode::InvitationUnknown) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if !session.store(move |store| store.take_back(token)).await? {
        let text = "The newcomer holds the keys already: the enrolment can only be completed now.";
        return Err(Problem::new(ProblemKind::NotNow, text));
    }
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

#[cfg(test)]
mod tests {
    use parsec_protocol::limits::ATTEMPTS_MAX;

    use super::*;

    fn item(number: u8, status: InvitationStatus) -> InvitationItem {
        let email = format!("{}@{1}.{1}.example.org", "m".repeat(64), "d".repeat(63)).parse().unwrap();
        InvitationItem {
            token: Token::from_bytes([number; 16]),
            subject: if number.is_multiple_of(2) {
                Subject::User { email }
            } else {
                Subject::Device { user: UserId::from_bytes([number; 16]) }
            },
            status: self::status(status).to_owned(),
            created: parsec_protocol::ids::Timestamp(u64::MAX),
            expires: parsec_protocol::ids::Timestamp(u64::MAX),
            mismatches: u32::MAX,
            attempts: u32::MAX,
            can_greet: false,
            posted: false,
        }
    }

    #[test]
    fn what_does_not_fit_a_line_is_what_is_over() {
        use InvitationStatus::{Completed, Exhausted, InUse, Pending};
        for number in 0..2 {
            let item = item(number, Exhausted);
            assert!(serde_json::to_string(&item).unwrap().len() < size(&item));
        }
        let mut list: Vec<_> = [Completed, Pending, Completed, InUse, Completed]
            .into_iter()
            .zip(0..)
            .map(|(status, number)| item(number, status))
            .collect();
        assert!(!keep_what_fits(&mut list, LIST_MAX_BYTES) && list.len() == 5);
        let room = size(&list[1]) + size(&list[3]) + size(&list[0]);
        assert!(keep_what_fits(&mut list, room));
        assert_eq!(
            list.iter().map(|item| item.status.as_str()).collect::<Vec<_>>(),
            ["completed", "pending", "in_use"]
        );
        assert!(keep_what_fits(&mut list, room - 1));
        assert_eq!(list.len(), 2);
    }

    #[test]
    fn only_what_is_open_can_be_greeted_for() {
        use InvitationStatus::{Cancelled, Completed, Exhausted, Expired, InUse, Pending};
        for status in [Pending, InUse, Completed, Cancelled, Expired, Exhausted] {
            assert_eq!(can_greet(status, &Tally::default()), matches!(status, Pending | InUse), "{status:?}");
            let tried = Tally { attempts: ATTEMPTS_MAX, mismatches: 0 };
            assert!(!can_greet(status, &tried), "{status:?}");
        }
    }
}
