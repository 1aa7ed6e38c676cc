//! The rules of invitations and greeting attempts (docs/protocol.md, *Invitations*, *Attempts*), without any I/O.
//!
//! Decides who may do what in which state, and what state follows. Refuses with the code that the caller gets. Knows nothing of
//! HTTP or SQL; time is an argument.

use parsec_protocol::chain::organisation::certificate::Profile;
use parsec_protocol::ids::{AttemptId, DeviceId, Invited, Timestamp, Token, UserId};
use parsec_protocol::limits::{
    ATTEMPT_IDLE_SECONDS, ATTEMPTS_MAX, INVITATION_DAYS_MAX, MISMATCHES_MAX, STEPS,
};
use parsec_protocol::public::Hash;
use parsec_protocol::relay::{
    AttemptView, DirectEnrolment, EndReason, ErrorCode, GreeterIds, InvitationStatus, InvitationView,
    NewInvitation,
};

/// The last step, the receipt: once it is there, the claimer's keys are durable.
pub(crate) const RECEIPT_STEP: u8 = 8;
/// The step after which the claimer may be making its keys durable at any moment.
const HANDOVER_STEP: u8 = 7;
const SECONDS_PER_DAY: u64 = 24 * 60 * 60;
/// How long an invitation that is over is kept, counted from its date or from its end, whichever is later: whoever comes back from a
/// week away is told what became of it, and not that there is none. By its date nothing can make it anew either.
pub(crate) const KEEP_SECONDS: u64 = 7 * SECONDS_PER_DAY;
/// How long a sealed attempt outlives its invitation's date: the greeter's terminal has half a year to come back and complete it.
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

impl Pool {
    const fn of(member: &Member) -> Self {
        match member.profile {
            Profile::Administrator => Self::Administrators,
            Profile::Standard | Profile::Outsider => Self::Others,
        }
    }
}

/// Which half of the ceremony a request belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Deposits even steps, reads odd ones.
    Claimer,
    /// The other way round.
    Greeter,
}

impl Side {
    const fn deposits(self, step: u8) -> bool {
        match self {
            Self::Claimer => step.is_multiple_of(2),
            Self::Greeter => !step.is_multiple_of(2),
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

/// One run of the ceremony.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) id: AttemptId,
    /// 1 for the invitation's first.
    pub(crate) number: u32,
    pub(crate) secret_hash: Hash,
    /// Bit n: step n was deposited.
    pub(crate) steps: u16,
    pub(crate) greeter: Option<GreeterIds>,
    pub(crate) ended: Option<EndReason>,
    /// The last sign of life of its claimer.
    pub(crate) claimer_seen: Timestamp,
}

impl Attempt {
    pub(crate) const fn is_open(&self) -> bool {
        self.ended.is_none()
    }

    pub(crate) const fn has(&self, step: u8) -> bool {
        step < STEPS && self.steps & (1 << step) != 0
    }

    /// Whether a greeter has approved its claimer, who now needs the log. A link alone is no reason to show the members'
    /// addresses.
    pub(crate) const fn may_see_log(&self) -> bool {
        self.is_open() && self.has(HANDOVER_STEP)
    }

    /// Open, and the claimer holds durable keys.
    pub(crate) const fn is_sealed(&self) -> bool {
        self.is_open() && self.has(RECEIPT_STEP)
    }

    pub(crate) const fn view(&self) -> AttemptView {
        AttemptView { attempt: self.id, steps: self.steps, greeter: self.greeter, ended: self.ended }
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

    /// Who may see and cancel: what is their organisation's any administrator, what is their own everybody.
    pub(crate) fn may_see(&self, member: &Member) -> bool {
        member.profile == Profile::Administrator || self.may_greet(member)
    }

    /// Who may greet.
    pub(crate) fn may_greet(&self, member: &Member) -> bool {
        may_invite(member, &self.invited)
    }

    /// When it is looked at next, as of `now`: at its date (half a year later where a claimer holds keys), or, once it is over, at
    /// the end of the time for which it is kept. A date that no member can give, as a direct enrolment may have, keeps nothing longer.
    pub(crate) fn due(&self, newest: Option<&Attempt>, now: Timestamp) -> Timestamp {
        if self.is_final() {
            let latest = now.plus_seconds((u64::from(INVITATION_DAYS_MAX) + 1) * SECONDS_PER_DAY);
            return self.expires.max(now).min(latest).plus_seconds(KEEP_SECONDS);
        }
        if newest.is_some_and(Attempt::is_sealed) {
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

/// Who may invite whom, and greet them: a new user any administrator, a new terminal its user.
pub(crate) fn may_invite(member: &Member, invited: &Invited) -> bool {
    match (invited, member.profile) {
        (Invited::User(_), Profile::Administrator) => true,
        (Invited::User(_), Profile::Standard | Profile::Outsider) => false,
        (Invited::Device(user), _) => *user == member.user,
    }
}

/// A new invitation, if this member may make it. Whether the e-mail is free and the token new is the store's question.
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

/// Applies the passing of time: an invitation past its end is expired, and an open attempt ends with it. One whose claimer already
/// holds keys, which only completing makes good, has [`SEALED_SECONDS`] more.
pub(crate) fn settle(invitation: &mut Invitation, newest: Option<&mut Attempt>, now: Timestamp) {
    if invitation.is_final() || now < invitation.expires {
        return;
    }
    if let Some(attempt) = newest {
        if attempt.is_sealed() && now < invitation.expires.plus_seconds(SEALED_SECONDS) {
            return;
        }
        if attempt.is_open() {
            attempt.ended = Some(EndReason::InvitationEnded);
        }
    }
    invitation.status = InvitationStatus::Expired;
}

fn end(invitation: &mut Invitation, attempt: &mut Attempt, reason: EndReason) {
    attempt.ended = Some(reason);
    if reason == EndReason::CodeMismatch {
        invitation.mismatches = invitation.mismatches.saturating_add(1);
    }
    let exhausted = invitation.mismatches >= MISMATCHES_MAX || invitation.attempts >= ATTEMPTS_MAX;
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

/// Starts an attempt. `named` is the attempt that already has the asked id, `newest` the invitation's last one; `seen` is the last
/// known sign of life of the newest one's claimer.
pub(crate) fn start(
    invitation: &mut Invitation,
    named: Option<&Attempt>,
    newest: Option<&mut Attempt>,
    seen: Timestamp,
    asked: (AttemptId, Hash),
    now: Timestamp,
) -> Result<Start, ErrorCode> {
    let (id, secret_hash) = asked;
    if let Some(named) = named {
        let same = named.secret_hash == secret_hash;
        return if same { Ok(Start::Known) } else { Err(ErrorCode::AttemptUnknown) };
    }
    invitation.alive()?;
    if let Some(open) = newest.filter(|attempt| attempt.is_open()) {
        let idle = now >= seen.plus_seconds(ATTEMPT_IDLE_SECONDS);
        if !idle || open.has(HANDOVER_STEP) {
            return Err(ErrorCode::InvitationInUse);
        }
        end(invitation, open, EndReason::Abandoned);
        if invitation.is_final() {
            return Ok(Start::Exhausted);
        }
    }
    invitation.attempts = invitation.attempts.saturating_add(1);
    invitation.status = InvitationStatus::InUse;
    let number = invitation.attempts;
    Ok(Start::New(Attempt {
        id,
        number,
        secret_hash,
        steps: 0,
        greeter: None,
        ended: None,
        claimer_seen: now,
    }))
}

/// Binds the greeter's device to the attempt.
pub(crate) fn join(attempt: &mut Attempt, member: &Member) -> Result<(), ErrorCode> {
    let me = GreeterIds { user: member.user, device: member.device };
    match attempt.greeter {
        Some(greeter) if greeter == me => Ok(()),
        Some(_) => Err(ErrorCode::GreeterTaken),
        None if attempt.is_open() => {
            attempt.greeter = Some(me);
            Ok(())
        }
        None => Err(ErrorCode::AttemptEnded),
    }
}

/// Whether this device greets in this attempt.
pub(crate) fn greets(attempt: &Attempt, member: &Member) -> Result<(), ErrorCode> {
    match attempt.greeter {
        Some(greeter) if greeter.device == member.device => Ok(()),
        Some(_) => Err(ErrorCode::GreeterTaken),
        None => Err(ErrorCode::StepRefused),
    }
}

/// Takes a step. `present` is the hash of what was deposited under this number before. `Ok(false)`: it was there already.
pub(crate) fn deposit(
    attempt: &mut Attempt,
    side: Side,
    step: u8,
    hash: Hash,
    present: Option<Hash>,
) -> Result<bool, ErrorCode> {
    if step >= STEPS || !side.deposits(step) {
        return Err(ErrorCode::StepRefused);
    }
    // Before the question whether the attempt is over: an answer that got lost is given again.
    match present {
        Some(present) if present == hash => return Ok(false),
        Some(_) => return Err(ErrorCode::StepConflict),
        None => {}
    }
    if !attempt.is_open() {
        return Err(ErrorCode::AttemptEnded);
    }
    let before = (1_u16 << step) - 1;
    if attempt.greeter.is_none() || attempt.steps != before {
        return Err(ErrorCode::StepRefused);
    }
    attempt.steps |= 1 << step;
    Ok(true)
}

/// Whether this side may read that step, and it is there.
pub(crate) const fn readable(attempt: &Attempt, side: Side, step: u8) -> Result<(), ErrorCode> {
    if step >= STEPS || side.deposits(step) {
        return Err(ErrorCode::StepRefused);
    }
    if !attempt.is_open() {
        return Err(ErrorCode::AttemptEnded);
    }
    if attempt.has(step) { Ok(()) } else { Err(ErrorCode::NotYet) }
}

/// Ends an attempt for one side's reason. `Ok(false)`: it had ended that way before.
pub(crate) fn cancel_attempt(
    invitation: &mut Invitation,
    attempt: &mut Attempt,
    reason: EndReason,
) -> Result<bool, ErrorCode> {
    match reason {
        EndReason::CodeMismatch
        | EndReason::Cancelled
        | EndReason::BadMessage
        | EndReason::TimedOut
        | EndReason::Abandoned => {}
        // The server's to say.
        EndReason::InvitationEnded | EndReason::Completed => return Err(ErrorCode::BadRequest),
    }
    if let Some(ended) = attempt.ended {
        return if ended == reason { Ok(false) } else { Err(ErrorCode::AttemptEnded) };
    }
    if attempt.is_sealed() {
        return Err(ErrorCode::AttemptSealed);
    }
    end(invitation, attempt, reason);
    Ok(true)
}

/// Cancels an invitation, and its open attempt with it. `Ok(false)`: it was cancelled before.
pub(crate) fn cancel(invitation: &mut Invitation, newest: Option<&mut Attempt>) -> Result<bool, ErrorCode> {
    if invitation.status == InvitationStatus::Cancelled {
        return Ok(false);
    }
    invitation.alive()?;
    if let Some(attempt) = newest.filter(|attempt| attempt.is_open()) {
        attempt.ended = Some(EndReason::InvitationEnded);
    }
    invitation.status = InvitationStatus::Cancelled;
    Ok(true)
}

/// Completes: the certificates were checked and are being added in the same transaction.
pub(crate) fn complete(invitation: &mut Invitation, attempt: &mut Attempt) -> Result<(), ErrorCode> {
    if !attempt.is_open() {
        return Err(ErrorCode::AttemptEnded);
    }
    if !attempt.is_sealed() {
        return Err(ErrorCode::NotYet);
    }
    attempt.ended = Some(EndReason::Completed);
    invitation.status = InvitationStatus::Completed;
    Ok(())
}

/// An invitation that this server never saw, used up without it: it begins completed, so that its token is taken.
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

/// Whether a direct enrolment's invitation is one that could have been made. When it was made, by a clock that may have been wrong, is
/// not compared with now: that would make void what people have done.
pub(crate) fn check_elsewhere(member: &Member, asked: &DirectEnrolment) -> Result<(), ErrorCode> {
    let latest = asked.created.plus_seconds(u64::from(INVITATION_DAYS_MAX) * SECONDS_PER_DAY);
    if asked.expires <= asked.created || asked.expires > latest {
        return Err(ErrorCode::BadRequest);
    }
    if may_invite(member, &asked.invited) { Ok(()) } else { Err(ErrorCode::NotAllowed) }
}

/// Completes an invitation whose ceremony ran without this server. An expired one too: its time ended while nobody could say so.
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
    if let Some(attempt) = newest.filter(|attempt| attempt.is_open()) {
        attempt.ended = Some(EndReason::InvitationEnded);
    }
    invitation.status = InvitationStatus::Completed;
    Ok(())
}

/// Ends an open attempt whose greeter may not greet any more, a sealed one too: nobody else can complete it.
pub(crate) fn lose_greeter(invitation: &mut Invitation, attempt: &mut Attempt) {
    end(invitation, attempt, EndReason::InvitationEnded);
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
            id: AttemptId::from_bytes([3; 16]),
            number: 1,
            secret_hash: Hash::of(&[]),
            steps,
            greeter: None,
            ended: None,
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
        assert_eq!(attempt.ended, Some(EndReason::InvitationEnded));
        assert_eq!(complete(&mut invitation, &mut attempt), Err(ErrorCode::AttemptEnded));
    }

    #[test]
    fn time_ends_a_sealed_attempt_too_half_a_year_later() {
        let (mut invitation, mut attempt) = open_with(0b1_1111_1111);
        invitation.expires = Timestamp(1_000_000);
        let end = invitation.expires.plus_seconds(SEALED_SECONDS);
        assert_eq!(invitation.due(Some(&attempt), Timestamp(0)), end);
        settle(&mut invitation, Some(&mut attempt), Timestamp(end.0 - 1));
        assert_eq!((invitation.status, attempt.ended), (InvitationStatus::InUse, None));
        settle(&mut invitation, Some(&mut attempt), end);
        assert_eq!(
            (invitation.status, attempt.ended),
            (InvitationStatus::Expired, Some(EndReason::InvitationEnded))
        );
        assert_eq!(invitation.due(Some(&attempt), end), end.plus_seconds(KEEP_SECONDS));
    }

    /// Kept until its date has passed: a lost call that made it, repeated, finds it or comes too late.
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
            assert_eq!(attempt.may_see_log(), may, "{steps:b}");
            attempt.ended = Some(EndReason::Cancelled);
            assert!(!attempt.may_see_log());
        }
    }
}
