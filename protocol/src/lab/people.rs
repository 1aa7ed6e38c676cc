//! The two people at the telephone. Nobody can speak with another's voice, and that is all the
//! ceremony asks of the telephone.
//!
//! Decides what somebody does who listens, and somebody who doesn't. Refuses to do what no device
//! asked for.

use serde::Serialize;

use super::simulation::Simulation;
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
pub(super) fn act(simulation: &mut Simulation<'_>) -> bool {
    answer(simulation, Side::Claimer, false)
        || answer(simulation, Side::Greeter, false)
        || identify(simulation)
        || vouch(simulation, false)
}

/// Nothing moves any more: somebody who waits for a voice that doesn't come says so; whether
/// anybody did.
pub(super) fn give_up(simulation: &mut Simulation<'_>) -> bool {
    answer(simulation, Side::Claimer, true)
        || answer(simulation, Side::Greeter, true)
        || vouch(simulation, true)
}

fn answer(simulation: &mut Simulation<'_>, side: Side, waited: bool) -> bool {
    let Some(question) = simulation.end(side).asked else { return false };
    let heard = simulation.voice(side);
    let answer = match (simulation.people(), question, heard) {
        (People::Inattentive, CodeQuestion::PickOrType(four), _) => {
            let at = simulation.rng().below(four.len() as u64);
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
            simulation.note(
                who,
                &format!("hears {heard}, which is not among the codes on the screen: none of these"),
            );
        }
        (CodeAnswer::NoneFits, None) => simulation.note(who, "hears no code: none of these"),
        (CodeAnswer::Picked(code), Some(heard)) => {
            simulation.note(who, &format!("hears {heard}, picks {code}"))
        }
        (CodeAnswer::Picked(code), None) => simulation.note(who, &format!("has heard nothing, picks {code}")),
        (CodeAnswer::Typed(code), _) => simulation.note(who, &format!("types {code} as heard")),
    }
    simulation.end_mut(side).asked = None;
    match side {
        Side::Claimer => simulation.tell_claimer(ClaimerInput::Code(answer)),
        Side::Greeter => simulation.tell_greeter(GreeterInput::Code(answer)),
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

fn identify(simulation: &mut Simulation<'_>) -> bool {
    if !simulation.claimer_asked_identity() {
        return false;
    }
    simulation.note(Who::ClaimerPerson, "says aloud that the code is there, and types a name");
    simulation.claimer_says_found();
    true
}

fn vouch(simulation: &mut Simulation<'_>, waited: bool) -> bool {
    if !simulation.greeter_asked_approval() {
        return false;
    }
    if simulation.heard_found() {
        simulation.note(Who::GreeterPerson, "has heard that the code is there, and vouches");
        simulation.approve(true);
    } else if waited {
        simulation
            .note(Who::GreeterPerson, "has not heard that the code is there: vouches for nobody, and stops");
        // In this order, so that the device has to refuse what was not stated.
        simulation.approve(false);
        simulation.tell_greeter(GreeterInput::Cancel);
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
