//! The two people at the telephone. Nobody can speak with another's voice, and that is all the
//! ceremony asks of the telephone.
//!
//! Decides what somebody does who listens, and somebody who doesn't. Refuses to do what no device
//! asked for.

use serde::Serialize;

use super::stage::Stage;
use super::transcript::{Side, Who};
use crate::enrol::io::{ClaimerInput, CodeAnswer, CodeQuestion, GreeterInput};
use crate::enrol::sas::SasCode;

/// How two people behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum People {
    /// They find the code they hear among those on the screen, and say that none fits where it
    /// isn't there.
    Attentive,
    /// They pick one of those on the screen without listening. What must be typed, they have to
    /// listen for.
    Inattentive,
}

/// Somebody does what their device asks, if they can by now; whether anybody did.
pub(super) fn act(stage: &mut Stage<'_>) -> bool {
    answer(stage, Side::Claimer, false)
        || answer(stage, Side::Greeter, false)
        || identify(stage)
        || vouch(stage, false)
}

/// Nothing moves any more: somebody who waits for a voice that doesn't come says so; whether
/// anybody did.
pub(super) fn give_up(stage: &mut Stage<'_>) -> bool {
    answer(stage, Side::Claimer, true) || answer(stage, Side::Greeter, true) || vouch(stage, true)
}

fn answer(stage: &mut Stage<'_>, side: Side, waited: bool) -> bool {
    let Some(question) = stage.end(side).asked else { return false };
    let heard = stage.voice(side);
    let answer = match (stage.people(), question, heard) {
        (People::Inattentive, CodeQuestion::PickOrType(four), _) => {
            let at = stage.chance().below(four.len() as u64);
            let picked = usize::try_from(at).ok().and_then(|at| four.get(at)).copied();
            picked.map_or(CodeAnswer::NoneFits, CodeAnswer::Picked)
        }
        (_, question, Some(heard)) => fitting(question, heard),
        (_, _, None) if waited => CodeAnswer::NoneFits,
        (_, _, None) => return false,
    };
    let who = person(side);
    match (answer, heard) {
        (CodeAnswer::NoneFits, Some(heard)) => {
            stage.note(
                who,
                &format!("hears {heard}, which is not among the codes on the screen: none of these"),
            );
        }
        (CodeAnswer::NoneFits, None) => stage.note(who, "hears no code: none of these"),
        (CodeAnswer::Picked(code), Some(heard)) => stage.note(who, &format!("hears {heard}, picks {code}")),
        (CodeAnswer::Picked(code), None) => stage.note(who, &format!("has heard nothing, picks {code}")),
        (CodeAnswer::Typed(code), _) => stage.note(who, &format!("types {code} as heard")),
    }
    stage.end_mut(side).asked = None;
    match side {
        Side::Claimer => stage.tell_claimer(ClaimerInput::Code(answer)),
        Side::Greeter => stage.tell_greeter(GreeterInput::Code(answer)),
    };
    true
}

/// What somebody who listens answers.
fn fitting(question: CodeQuestion, heard: SasCode) -> CodeAnswer {
    match question {
        CodeQuestion::TypeOnly => CodeAnswer::Typed(heard),
        CodeQuestion::PickOrType(four) if four.contains(&heard) => CodeAnswer::Picked(heard),
        CodeQuestion::PickOrType(_) => CodeAnswer::NoneFits,
    }
}

fn identify(stage: &mut Stage<'_>) -> bool {
    if !stage.claimer_asked_identity() {
        return false;
    }
    stage.note(Who::ClaimerPerson, "says aloud that the code is there, and types a name");
    stage.claimer_says_found();
    true
}

fn vouch(stage: &mut Stage<'_>, waited: bool) -> bool {
    if !stage.greeter_asked_approval() {
        return false;
    }
    if stage.heard_found() {
        stage.note(Who::GreeterPerson, "has heard that the code is there, and vouches");
        stage.approve(true);
    } else if waited {
        stage.note(Who::GreeterPerson, "has not heard that the code is there: vouches for nobody, and stops");
        // In this order, so that the device has to refuse what was not stated.
        stage.approve(false);
        stage.tell_greeter(GreeterInput::Cancel);
    } else {
        return false;
    }
    true
}

const fn person(side: Side) -> Who {
    match side {
        Side::Claimer => Who::ClaimerPerson,
        Side::Greeter => Who::GreeterPerson,
    }
}
