//! The rules of an attempt, one by one, and every order of what can happen in one against a list of
//! invariants.

use super::*;

const ME: GreeterIds =
    GreeterIds { user: UserId::from_bytes([1; 16]), device: DeviceId::from_bytes([2; 16]) };
const OTHER: GreeterIds =
    GreeterIds { user: UserId::from_bytes([1; 16]), device: DeviceId::from_bytes([3; 16]) };
const IDLE: Duration = Duration::from_secs(ATTEMPT_IDLE_SECONDS);
const REASONS: [EndReason; 7] = [
    EndReason::CodeMismatch,
    EndReason::Cancelled,
    EndReason::BadMessage,
    EndReason::TimedOut,
    EndReason::InvitationEnded,
    EndReason::Completed,
    EndReason::Abandoned,
];

fn hash(text: &str) -> Hash {
    Hash::of(&[text.as_bytes()])
}

/// An attempt with its greeter and its first `count` steps.
fn with(count: u8) -> AttemptView {
    let mut attempt = AttemptView::opened(AttemptId::from_bytes([7; 16]));
    attempt.join(ME).unwrap();
    for step in 0..count {
        assert_eq!(attempt.deposit(Side::depositing(step), step, Earlier::Nothing), Ok(true));
    }
    attempt
}

fn ended(mut attempt: AttemptView, reason: EndReason) -> AttemptView {
    assert!(attempt.end(reason));
    attempt
}

#[test]
fn one_is_open_at_a_time_and_an_idle_one_gives_way_until_the_handover() {
    let new = |replaces_idle| Ok(Opening::New { replaces_idle });
    let secret = hash("mine");
    let nearly = IDLE - Duration::from_micros(1);
    assert_eq!(open(None, None, &secret), new(false));
    for count in 0..=STEPS {
        let newest = with(count);
        let after = |idle| open(None, Some((&newest, idle)), &secret);
        let taken = count > HANDOVER_STEP;
        assert_eq!(after(nearly), Err(ErrorCode::InvitationInUse), "{count}");
        assert_eq!(after(IDLE), if taken { Err(ErrorCode::InvitationInUse) } else { new(true) }, "{count}");
        let over = ended(newest, EndReason::Cancelled);
        assert_eq!(open(None, Some((&over, Duration::ZERO)), &secret), new(false), "{count}");
    }
}

#[test]
fn an_attempt_is_resumed_with_the_steps_it_had() {
    for last in 0..STEPS {
        assert_eq!(AttemptView::resumed(with(0).attempt, ME, last), with(last + 1));
    }
    assert_eq!(AttemptView::resumed(with(0).attempt, ME, u8::MAX), with(STEPS));
}

#[test]
fn only_an_open_attempt_without_handover_is_idle() {
    for count in 0..=STEPS {
        let attempt = with(count);
        assert_eq!(is_idle(&attempt, IDLE), count <= HANDOVER_STEP, "{count}");
        assert!(!is_idle(&attempt, IDLE - Duration::from_micros(1)));
        assert!(!is_idle(&ended(attempt, EndReason::TimedOut), 9 * IDLE));
    }
}

#[test]
fn a_greeter_withdraws_until_the_receipt() {
    for count in 0..=STEPS {
        let attempt = with(count);
        let may = if count > RECEIPT_STEP { Err(ErrorCode::AttemptSealed) } else { Ok(true) };
        assert_eq!(attempt.may_withdraw(), may, "{count}");
        assert_eq!(ended(attempt, EndReason::Completed).may_withdraw(), Ok(false));
    }
}

/// Asked again with the same id and hash it answers as before, whatever has become of it since: an
/// id is never opened twice. With another hash it is nobody's.
#[test]
fn an_id_belongs_to_one_secret_and_is_opened_once() {
    for newest in [with(0), ended(with(3), EndReason::Cancelled), ended(with(9), EndReason::Completed)] {
        let newest = Some((&newest, 9 * IDLE));
        assert_eq!(open(Some(&hash("mine")), newest, &hash("mine")), Ok(Opening::Known));
        assert_eq!(open(Some(&hash("mine")), newest, &hash("guess")), Err(ErrorCode::AttemptUnknown));
    }
    assert!(is_secret(&hash("mine"), &hash("mine")) && !is_secret(&hash("mine"), &hash("guess")));
}

#[test]
fn three_wrong_codes_or_ten_attempts_exhaust() {
    for (attempts, mismatches, exhausted) in [(0, 0, false), (9, 2, false), (9, 3, true), (10, 0, true)] {
        assert_eq!(is_exhausted(attempts, mismatches), exhausted, "{attempts} {mismatches}");
    }
}

#[test]
fn the_first_greeter_stays() {
    let mut attempt = AttemptView::opened(AttemptId::from_bytes([7; 16]));
    assert_eq!(attempt.greets(&ME.device), Err(ErrorCode::StepRefused));
    assert_eq!(attempt.deposit(Side::Claimer, 0, Earlier::Nothing), Err(ErrorCode::StepRefused));
    let over = ended(attempt.clone(), EndReason::TimedOut);
    assert_eq!(over.clone().join(ME), Err(ErrorCode::AttemptEnded));
    assert_eq!((attempt.join(ME), attempt.join(ME)), (Ok(()), Ok(())));
    assert_eq!(attempt.join(OTHER), Err(ErrorCode::GreeterTaken));
    assert_eq!(attempt.greets(&ME.device), Ok(()));
    assert_eq!(attempt.greets(&OTHER.device), Err(ErrorCode::GreeterTaken));
    // Asked again after the end, the answer is as before.
    let mut over = ended(attempt, EndReason::TimedOut);
    assert_eq!((over.join(ME), over.join(OTHER)), (Ok(()), Err(ErrorCode::GreeterTaken)));
}

#[test]
fn steps_come_in_order_each_from_its_side_and_once() {
    for count in 0..=STEPS {
        let attempt = with(count);
        assert_eq!((attempt.missing(), attempt.steps), (count, (1 << count) - 1));
        for step in 0..=u8::MAX {
            assert_eq!(attempt.has(step), step < count);
            for side in [Side::Claimer, Side::Greeter] {
                let own = step < STEPS && side == Side::depositing(step);
                let may = |earlier| attempt.may_deposit(side, step, earlier);
                let next = if own && step == count { Ok(true) } else { Err(ErrorCode::StepRefused) };
                // The holder says what it has; a step that is there is never `Nothing`.
                assert_eq!(may(Earlier::Nothing), next, "{count} {step}");
                let again = if own { Ok(false) } else { Err(ErrorCode::StepRefused) };
                assert_eq!(may(Earlier::Same), again, "{count} {step}");
                let conflict = if own { ErrorCode::StepConflict } else { ErrorCode::StepRefused };
                assert_eq!(may(Earlier::Other), Err(conflict), "{count} {step}");
            }
        }
    }
}

/// A deposit that is repeated is answered as before, also when the attempt is over.
#[test]
fn after_the_end_a_repeated_step_is_answered_and_a_new_one_is_not() {
    let mut over = ended(with(3), EndReason::Cancelled);
    assert_eq!(over.deposit(Side::Claimer, 2, Earlier::Same), Ok(false));
    assert_eq!(over.deposit(Side::Claimer, 2, Earlier::Other), Err(ErrorCode::StepConflict));
    assert_eq!(over.deposit(Side::Greeter, 3, Earlier::Nothing), Err(ErrorCode::AttemptEnded));
    assert_eq!(over.steps, 0b111);
}

#[test]
fn a_step_has_bytes_and_not_too_many() {
    assert_eq!(check_step(&[]), Err(ErrorCode::BadRequest));
    assert_eq!(check_step(&[0]), Ok(()));
    assert_eq!(check_step(&vec![0; STEP_MAX_BYTES]), Ok(()));
    assert_eq!(check_step(&vec![0; STEP_MAX_BYTES + 1]), Err(ErrorCode::TooLarge));
    assert_eq!(Earlier::of(None, &hash("a")), Earlier::Nothing);
    assert_eq!(Earlier::of(Some(&hash("a")), &hash("a")), Earlier::Same);
    assert_eq!(Earlier::of(Some(&hash("b")), &hash("a")), Earlier::Other);
}

#[test]
fn each_side_reads_the_others_steps_while_the_attempt_is_open() {
    for count in 0..=STEPS {
        let attempt = with(count);
        let over = ended(attempt.clone(), EndReason::Completed);
        for step in 0..=u8::MAX {
            for side in [Side::Claimer, Side::Greeter] {
                let theirs = step < STEPS && side != Side::depositing(step);
                let now = if step < count { Ok(()) } else { Err(ErrorCode::NotYet) };
                let [now, then] = [now, Err(ErrorCode::AttemptEnded)]
                    .map(|answer| if theirs { answer } else { Err(ErrorCode::StepRefused) });
                assert_eq!(attempt.readable(side, step), now, "{count} {step}");
                assert_eq!(over.readable(side, step), then, "{count} {step}");
            }
        }
    }
}

#[test]
fn the_log_is_for_a_claimer_who_was_approved_and_whose_attempt_is_open() {
    for count in 0..=STEPS {
        let attempt = with(count);
        assert_eq!(attempt.may_see_log(), count > HANDOVER_STEP, "{count}");
        for reason in REASONS {
            assert!(!ended(attempt.clone(), reason).may_see_log());
        }
    }
}

#[test]
fn either_side_may_cancel_until_the_receipt_for_a_reason_of_theirs() {
    for count in 0..=STEPS {
        for reason in REASONS {
            let mut attempt = with(count);
            let holders = matches!(reason, EndReason::InvitationEnded | EndReason::Completed);
            let sealed = count > RECEIPT_STEP;
            assert_eq!(attempt.is_sealed(), sealed);
            let expected = match (holders, sealed) {
                (true, _) => Err(ErrorCode::BadRequest),
                (false, true) => Err(ErrorCode::AttemptSealed),
                (false, false) => Ok(true),
            };
            assert_eq!(attempt.cancel(reason), expected, "{count} {reason:?}");
            assert_eq!(attempt.ended, expected.is_ok().then_some(reason));
        }
    }
    // Repeated, it is answered as before; another reason comes too late, a sealed one's end
    // included.
    let mut over = ended(with(2), EndReason::Cancelled);
    assert_eq!(over.cancel(EndReason::Cancelled), Ok(false));
    assert_eq!(over.cancel(EndReason::TimedOut), Err(ErrorCode::AttemptEnded));
    let mut completed = ended(with(9), EndReason::Completed);
    assert_eq!(completed.cancel(EndReason::Cancelled), Err(ErrorCode::AttemptEnded));
}

#[test]
fn completing_takes_the_receipt_and_an_open_attempt() {
    for count in 0..=STEPS {
        let mut attempt = with(count);
        let done = if count > RECEIPT_STEP { Ok(()) } else { Err(ErrorCode::NotYet) };
        assert_eq!(attempt.complete(), done, "{count}");
    }
    let mut over = ended(with(9), EndReason::InvitationEnded);
    assert_eq!(over.complete(), Err(ErrorCode::AttemptEnded));
    assert_eq!(over.ended, Some(EndReason::InvitationEnded));
}

#[test]
fn the_holder_ends_a_sealed_attempt_too_and_nobody_ends_one_twice() {
    let mut attempt = with(9);
    assert!(attempt.end(EndReason::InvitationEnded));
    assert!(!attempt.end(EndReason::Completed));
    assert_eq!(attempt.ended, Some(EndReason::InvitationEnded));
}
