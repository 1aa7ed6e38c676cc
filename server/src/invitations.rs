//! The rules of invitations (docs/protocol.md, *Invitations*), without any I/O.
//!
//! Decides who may do what in which state, what state follows, and what an attempt's end makes of
//! its invitation; the rules inside an attempt are `parsec_protocol::relay::attempt`'s. Refuses
//! with the code that the caller gets. Knows nothing of HTTP or SQL; time is an argument.

use std::time::Duration;

use parsec_protocol::chain::organisation::certificate::Profile;
use parsec_protocol::ids::{AttemptId, DeviceId, Invited, Timestamp, Token, UserId};
use parsec_protocol::limits::INVITATION_DAYS_MAX;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::attempt::{self, Opening};
use parsec_protocol::relay::{
    AttemptView, DirectEnrolment, EndReason, ErrorCode, GreeterIds, InvitationStatus, InvitationView,
    NewInvitation,
};

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;
/// How long an invitation that is over is kept, counted from its date or from its end, whichever is
/// later: whoever comes back from a week away is told what became of it, and not that there is
/// none. By its date nothing can make it anew either.
pub(crate) const KEEP_SECONDS: u64 = 7 * SECONDS_PER_DAY;
/// How long a sealed attempt outlives its invitation's date: the greeter's device has half a year
/// to come back and complete it.
pub(crate) const SEALED_SECONDS: u64 = 180 * SECONDS_PER_DAY;

/// Who signed a request: an active member's active device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
    pub(crate) profile: Profile,
}

/// Whose share of what is stored an invitation takes: the administrators', or everybody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pool {
    Administrators,
    Others,
}

impl Member {
    /// As what it greets.
    pub(crate) const fn greeter(&self) -> GreeterIds {
        GreeterIds { user: self.user, device: self.device }
    }
}

impl Pool {
    const fn of(member: &Member) -> Self {
        match member.profile {
            Profile::Administrator => Self::Administrators,
            Profile::Standard | Profile::Outsider => Self::Others,
        }
    }
}

/// The right to start a ceremony.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invitation {
    pub(crate) token: Token,
    pub(crate) invited: Invited,
    pub(crate) created_by: UserId,
    pub(crate) created: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) status: InvitationStatus,
    pub(crate) mismatches: u32,
    pub(crate) attempts: u32,
    /// By what its maker was when making it.
    pub(crate) pool: Pool,
}

/// One attempt of an invitation. What may happen in it is `parsec_protocol::relay::attempt`'s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// 1 for the invitation's first.
    pub(crate) number: u32,
    pub(crate) state: AttemptView,
    pub(crate) secret_hash: Hash,
    /// The last sign of life of its claimer.
    pub(crate) claimer_seen: Timestamp,
}

impl Attempt {
    pub(crate) const fn id(&self) -> AttemptId {
        self.state.attempt
    }

    pub(crate) fn view(&self) -> AttemptView {
        self.state.clone()
    }
}

impl Invitation {
    /// Whether nothing can happen with it any more.
    pub(crate) const fn is_final(&self) -> bool {
        match self.status {
            InvitationStatus::Pending | InvitationStatus::InUse => false,
            InvitationStatus::Completed
            | InvitationStatus::Cancelled
            | InvitationStatus::Expired
            | InvitationStatus::Exhausted => true,
        }
    }

    pub(crate) fn view(&self, newest: Option<&Attempt>) -> InvitationView {
        InvitationView {
            token: self.token,
            invited: self.invited.clone(),
            created_by: self.created_by,
            created: self.created,
            expires: self.expires,
            status: self.status,
            mismatches: self.mismatches,
            attempts: self.attempts,
            attempt: newest.map(Attempt::view),
        }
    }

    /// Who may see and cancel: what is their organisation's any administrator, what is their own
    /// everybody.
    pub(crate) fn may_see(&self, member: &Member) -> bool {
        member.profile == Profile::Administrator || self.may_greet(member)
    }

    /// Who may greet.
    pub(crate) fn may_greet(&self, member: &Member) -> bool {
        may_invite(member, &self.invited)
            && match &self.invited {
                Invited::User(_) | Invited::Device(_) => true,
                // The share that it brings is its maker's.
                Invited::Share(..) => self.created_by == member.user,
            }
    }

    /// When it is looked at next, as of `now`: at its date (half a year later where a claimer holds
    /// keys), or, once it is over, at the end of the time for which it is kept. A date that no
    /// member can give, as a direct enrolment may have, keeps nothing longer.
    pub(crate) fn due(&self, newest: Option<&Attempt>, now: Timestamp) -> Timestamp {
        if self.is_final() {
            let latest = now.plus_seconds((u64::from(INVITATION_DAYS_MAX) + 1) * SECONDS_PER_DAY);
            return self.expires.max(now).min(latest).plus_seconds(KEEP_SECONDS);
        }
        if newest.is_some_and(|newest| newest.state.is_sealed()) {
            return self.expires.plus_seconds(SEALED_SECONDS);
        }
        self.expires
    }

    /// Whether an attempt may be started or joined in this state.
    const fn alive(&self) -> Result<(), ErrorCode> {
        match self.status {
            InvitationStatus::Pending | InvitationStatus::InUse => Ok(()),
            InvitationStatus::Completed => Err(ErrorCode::InvitationCompleted),
            InvitationStatus::Cancelled => Err(ErrorCode::InvitationCancelled),
            InvitationStatus::Expired => Err(ErrorCode::InvitationExpired),
            InvitationStatus::Exhausted => Err(ErrorCode::InvitationExhausted),
        }
    }
}

/// Who may invite whom, and greet them: a new user any administrator, a new device its user. For a
/// share of a kit, whoever is not brought back by it; whether they have one is the store's
/// question.
pub(crate) fn may_invite(member: &Member, invited: &Invited) -> bool {
    match (invited, member.profile) {
        (Invited::User(_), Profile::Administrator) => true,
        (Invited::User(_), Profile::Standard | Profile::Outsider) => false,
        (Invited::Device(user), _) => *user == member.user,
        (Invited::Share(user, _), _) => *user != member.user,
    }
}

/// A new invitation, if this member may make it. Whether the e-mail is free and the token new is
/// the store's question.
pub(crate) fn make(member: &Member, asked: &NewInvitation, now: Timestamp) -> Result<Invitation, ErrorCode> {
    if !may_invite(member, &asked.invited) {
        return Err(ErrorCode::NotAllowed);
    }
    // One more day than the bound: the maker's clock may be off by as much as its requests may.
    let latest = now.plus_seconds((u64::from(INVITATION_DAYS_MAX) + 1) * SECONDS_PER_DAY);
    if asked.expires <= now || asked.expires > latest {
        return Err(ErrorCode::BadRequest);
    }
    Ok(Invitation {
        token: asked.token,
        invited: asked.invited.clone(),
        created_by: member.user,
        created: now,
        expires: asked.expires,
        status: InvitationStatus::Pending,
        mismatches: 0,
        attempts: 0,
        pool: Pool::of(member),
    })
}

/// Applies the passing of time: an invitation past its end is expired, and an open attempt ends
/// with it. One whose claimer already holds keys, which only completing makes good, has
/// [`SEALED_SECONDS`] more.
pub(crate) fn settle(invitation: &mut Invitation, newest: Option<&mut Attempt>, now: Timestamp) {
    if invitation.is_final() || now < invitation.expires {
        return;
    }
    if let Some(attempt) = newest {
        if attempt.state.is_sealed() && now < invitation.expires.plus_seconds(SEALED_SECONDS) {
            return;
        }
        attempt.state.end(EndReason::InvitationEnded);
    }
    invitation.status = InvitationStatus::Expired;
}

/// What the end of its attempt makes of an invitation.
fn ended(invitation: &mut Invitation, reason: EndReason) {
    if reason == EndReason::CodeMismatch {
        invitation.mismatches = invitation.mismatches.saturating_add(1);
    }
    let exhausted = attempt::is_exhausted(invitation.attempts, invitation.mismatches);
    invitation.status = if exhausted { InvitationStatus::Exhausted } else { InvitationStatus::Pending };
}

/// What a request to start an attempt comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// This one, new.
    New(Attempt),
    /// It was asked for before: as it is now.
    Known,
    /// An idle one was ended to make room, and that was the last one allowed.
    Exhausted,
}

/// Starts an attempt. `named` is the attempt that already has the asked id, `newest` the
/// invitation's last one; `seen` is the last known sign of life of the newest one's claimer.
pub(crate) fn start(
    invitation: &mut Invitation,
    named: Option<&Attempt>,
    newest: Option<&mut Attempt>,
    seen: Timestamp,
    asked: (AttemptId, Hash),
    now: Timestamp,
) -> Result<Start, ErrorCode> {
    let (id, secret_hash) = asked;
    let idle = Duration::from_micros(now.0.saturating_sub(seen.0));
    let named = named.map(|named| &named.secret_hash);
    let alive = invitation.alive();
    // Whoever has opened it before is answered whatever has become of the invitation.
    let open = newest.as_deref().filter(|_| alive.is_ok()).map(|newest| (&newest.state, idle));
    let replaces_idle = match attempt::open(named, open, &secret_hash)? {
        Opening::Known => return Ok(Start::Known),
        Opening::New { replaces_idle } => replaces_idle,
    };
    alive?;
    if replaces_idle && let Some(idle) = newest {
        idle.state.end(EndReason::Abandoned);
        ended(invitation, EndReason::Abandoned);
        if invitation.is_final() {
            return Ok(Start::Exhausted);
        }
    }
    invitation.attempts = invitation.attempts.saturating_add(1);
    invitation.status = InvitationStatus::InUse;
    let (number, state) = (invitation.attempts, AttemptView::opened(id));
    Ok(Start::New(Attempt { number, state, secret_hash, claimer_seen: now }))
}

/// Ends an attempt for one side's reason. `Ok(false)`: it had ended that way before.
pub(crate) fn cancel_attempt(
    invitation: &mut Invitation,
    attempt: &mut Attempt,
    reason: EndReason,
) -> Result<bool, ErrorCode> {
    let new = attempt.state.cancel(reason)?;
    if new {
        ended(invitation, reason);
    }
    Ok(new)
}

/// Cancels an invitation, and its open attempt with it. `Ok(false)`: it was cancelled before.
pub(crate) fn cancel(invitation: &mut Invitation, newest: Option<&mut Attempt>) -> Result<bool, ErrorCode> {
    if invitation.status == InvitationStatus::Cancelled {
        return Ok(false);
    }
    invitation.alive()?;
    if let Some(attempt) = newest {
        attempt.state.end(EndReason::InvitationEnded);
    }
    invitation.status = InvitationStatus::Cancelled;
    Ok(true)
}

/// Completes: the certificates were checked and are being added in the same transaction.
pub(crate) fn complete(invitation: &mut Invitation, attempt: &mut Attempt) -> Result<(), ErrorCode> {
    attempt.state.complete()?;
    invitation.status = InvitationStatus::Completed;
    Ok(())
}

/// An invitation that this server never saw, used up without it: it begins completed, so that its
/// token is taken.
pub(crate) fn made_elsewhere(member: &Member, asked: &DirectEnrolment) -> Invitation {
    Invitation {
        token: asked.token,
        invited: asked.invited.clone(),
        created_by: member.user,
        created: asked.created,
        expires: asked.expires,
        status: InvitationStatus::Completed,
        mismatches: 0,
        attempts: 0,
        pool: Pool::of(member),
    }
}

/// Whether a direct enrolment's invitation is one that could have been made. When it was made, by a
/// clock that may have been wrong, is not compared with now: that would make void what people have
/// done.
pub(crate) fn check_elsewhere(member: &Member, asked: &DirectEnrolment) -> Result<(), ErrorCode> {
    let latest = asked.created.plus_seconds(u64::from(INVITATION_DAYS_MAX) * SECONDS_PER_DAY);
    if asked.expires <= asked.created || asked.expires > latest {
        return Err(ErrorCode::BadRequest);
    }
    if may_invite(member, &asked.invited) { Ok(()) } else { Err(ErrorCode::NotAllowed) }
}

/// Completes an invitation whose ceremony ran without this server. An expired one too: its time
/// ended while nobody could say so.
pub(crate) fn complete_elsewhere(
    invitation: &mut Invitation,
    newest: Option<&mut Attempt>,
) -> Result<(), ErrorCode> {
    match invitation.status {
        InvitationStatus::Pending | InvitationStatus::InUse | InvitationStatus::Expired => {}
        InvitationStatus::Completed => return Err(ErrorCode::InvitationCompleted),
        InvitationStatus::Cancelled => return Err(ErrorCode::InvitationCancelled),
        InvitationStatus::Exhausted => return Err(ErrorCode::InvitationExhausted),
    }
    if let Some(attempt) = newest {
        attempt.state.end(EndReason::InvitationEnded);
    }
    invitation.status = InvitationStatus::Completed;
    Ok(())
}

/// Ends an open attempt whose greeter may not greet any more, a sealed one too: nobody else can
/// complete it.
pub(crate) fn lose_greeter(invitation: &mut Invitation, attempt: &mut Attempt) {
    if attempt.state.end(EndReason::InvitationEnded) {
        ended(invitation, EndReason::InvitationEnded);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_with(steps: u16) -> (Invitation, Attempt) {
        let invitation = Invitation {
            token: Token::from_bytes([1; 16]),
            invited: Invited::User("bob@example.org".parse().unwrap()),
            created_by: UserId::from_bytes([2; 16]),
            created: Timestamp(0),
            expires: Timestamp(u64::MAX),
            status: InvitationStatus::InUse,
            mismatches: 0,
            attempts: 1,
            pool: Pool::Administrators,
        };
        let attempt = Attempt {
            number: 1,
            state: AttemptView { steps, ..AttemptView::opened(AttemptId::from_bytes([3; 16])) },
            secret_hash: Hash::of(&[]),
            claimer_seen: Timestamp(0),
        };
        (invitation, attempt)
    }

    #[test]
    fn a_sealed_attempt_ends_with_its_invitation_and_by_nothing_else() {
        let (mut invitation, mut attempt) = open_with(0b1_1111_1111);
        for reason in [EndReason::Cancelled, EndReason::BadMessage, EndReason::CodeMismatch] {
            let answer = cancel_attempt(&mut invitation, &mut attempt, reason);
            assert_eq!(answer, Err(ErrorCode::AttemptSealed));
        }
        assert_eq!(cancel(&mut invitation, Some(&mut attempt)), Ok(true));
        assert_eq!(invitation.status, InvitationStatus::Cancelled);
        assert_eq!(attempt.state.ended, Some(EndReason::InvitationEnded));
        assert_eq!(complete(&mut invitation, &mut attempt), Err(ErrorCode::AttemptEnded));
    }

    #[test]
    fn time_ends_a_sealed_attempt_too_half_a_year_later() {
        let (mut invitation, mut attempt) = open_with(0b1_1111_1111);
        invitation.expires = Timestamp(1_000_000);
        let end = invitation.expires.plus_seconds(SEALED_SECONDS);
        assert_eq!(invitation.due(Some(&attempt), Timestamp(0)), end);
        settle(&mut invitation, Some(&mut attempt), Timestamp(end.0 - 1));
        assert_eq!((invitation.status, attempt.state.ended), (InvitationStatus::InUse, None));
        settle(&mut invitation, Some(&mut attempt), end);
        assert_eq!(
            (invitation.status, attempt.state.ended),
            (InvitationStatus::Expired, Some(EndReason::InvitationEnded))
        );
        assert_eq!(invitation.due(Some(&attempt), end), end.plus_seconds(KEEP_SECONDS));
    }

    /// Kept until its date has passed: a lost call that made it, repeated, finds it or comes too
    /// late.
    #[test]
    fn what_is_over_is_kept_a_week_from_its_date() {
        let (mut invitation, mut attempt) = open_with(0b1);
        invitation.expires = Timestamp(0).plus_seconds(30 * SECONDS_PER_DAY);
        assert_eq!(invitation.due(Some(&attempt), Timestamp(0)), invitation.expires);
        cancel(&mut invitation, Some(&mut attempt)).unwrap();
        let kept = invitation.expires.plus_seconds(KEEP_SECONDS);
        assert_eq!(invitation.due(Some(&attempt), Timestamp(5)), kept);
        let later = invitation.expires.plus_seconds(SECONDS_PER_DAY);
        assert_eq!(invitation.due(None, later), later.plus_seconds(KEEP_SECONDS));
        // A direct enrolment's date is whatever the greeter's clock said.
        invitation.expires = Timestamp(u64::MAX);
        assert_eq!(invitation.due(None, Timestamp(0)), Timestamp(0).plus_seconds(98 * SECONDS_PER_DAY));
    }

    #[test]
    fn an_administrator_sees_everything_and_greets_what_is_theirs() {
        let (mut invitation, _) = open_with(0);
        let member = |user: u8, profile| Member {
            user: UserId::from_bytes([user; 16]),
            device: DeviceId::from_bytes([user; 16]),
            profile,
        };
        let (admin, outsider) = (member(7, Profile::Administrator), member(8, Profile::Outsider));
        let may =
            |invitation: &Invitation, who: &Member| (invitation.may_see(who), invitation.may_greet(who));
        assert_eq!(may(&invitation, &admin), (true, true));
        assert_eq!(may(&invitation, &outsider), (false, false));
        invitation.invited = Invited::Device(outsider.user);
        assert_eq!(may(&invitation, &admin), (true, false));
        assert_eq!(may(&invitation, &outsider), (true, true));
        assert_eq!(may(&invitation, &member(9, Profile::Standard)), (false, false));
    }

    #[test]
    fn the_log_is_for_a_claimer_who_was_approved() {
        for (steps, may) in [(0, false), (0b111_1111, false), (0b1111_1111, true), (0b1_1111_1111, true)] {
            let (_, mut attempt) = open_with(steps);
            assert_eq!(attempt.state.may_see_log(), may, "{steps:b}");
            attempt.state.ended = Some(EndReason::Cancelled);
            assert!(!attempt.state.may_see_log());
        }
    }
}
