//! What stateright walks: where the two machines stand, what the relay has, what was said aloud.
//!
//! Decides what relay and people can do in a state, and what must hold in each. Refuses a relay
//! that can't be: what it doesn't have it can't give, and what it hasn't heard it can't say.

use std::sync::{Arc, Mutex, MutexGuard};

use stateright::{Model, Property};

use super::courses::{Certified, Course, Courses, Facts, Word};
use super::play::{Happened, Log, Mangled, RootSaid, Side, Words, relay_nonce};
use crate::enrol::io::CodeQuestion;

/// What the two people do.
#[derive(Debug, Clone, Copy)]
pub(super) struct People {
    /// Takes the code that is heard, and nothing else. Otherwise: any of those on the screen.
    pub(super) claimer_listens: bool,
    /// Likewise.
    pub(super) greeter_listens: bool,
    /// Says that it heard the claimer only if it did.
    pub(super) states_truly: bool,
    /// The organisation wants codes typed: who types has to listen.
    pub(super) typed: bool,
}

/// One moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    claimer: Course,
    greeter: Course,
    /// What went over the network, and what the relay has kept of an earlier attempt.
    has: Vec<Word>,
}

/// Something happens to one of the machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Act {
    side: Side,
    what: Happened,
}

pub(super) struct Space {
    pub(super) courses: Arc<Mutex<Courses>>,
    pub(super) people: People,
}

impl Space {
    fn courses(&self) -> MutexGuard<'_, Courses> {
        self.courses.lock().unwrap()
    }

    fn facts(&self, state: &State) -> (Facts, Facts) {
        let courses = self.courses();
        (courses.facts(state.claimer).clone(), courses.facts(state.greeter).clone())
    }

    /// Whether somebody's device could wait without end for what nobody owes: deadlines must be
    /// over at some time.
    fn ends(&self, state: &State, side: Side) -> bool {
        let at = state.of(side);
        let mut courses = self.courses();
        let facts = courses.facts(at);
        // After message 7 the devices wait for a person and for each other, however long it
        // takes.
        if facts.over() || facts.lasting.signed.is_some() || facts.asked_log || facts.lasting.kept.is_some() {
            return true;
        }
        courses.after(at, &Happened::Late).is_some_and(|end| courses.facts(end).closed.is_some())
    }
}

impl State {
    const fn of(&self, side: Side) -> Course {
        match side {
            Side::Claimer => self.claimer,
            Side::Greeter => self.greeter,
        }
    }
}

impl Model for Space {
    type State = State;
    type Action = Act;

    fn init_states(&self) -> Vec<State> {
        let courses = self.courses();
        let mut state =
            State { claimer: Courses::CLAIMER, greeter: Courses::GREETER, has: courses.earlier().to_vec() };
        state.has.extend(courses.facts(Courses::CLAIMER).sent.iter().map(|(_, word)| *word));
        state.has.sort_unstable();
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Act>) {
        let (claimer, greeter) = self.facts(state);
        for (mine, other) in [(&claimer, &greeter), (&greeter, &claimer)] {
            if mine.over() {
                continue;
            }
            let mut happen = |what| actions.push(Act { side: mine.side, what });
            self.given(state, mine, &mut happen);
            match mine.side {
                Side::Claimer => said_to_claimer(mine, other, &mut happen),
                Side::Greeter => self.said_to_greeter(state.greeter, mine, other, &mut happen),
            }
            self.by_people(mine, other, &mut happen);
            happen(Happened::Late);
            happen(Happened::Cancelled);
        }
    }

    fn next_state(&self, state: &State, act: Act) -> Option<State> {
        let mut courses = self.courses();
        let at = state.of(act.side);
        let next = courses.after(at, &act.what)?;
        let mut after = state.clone();
        let before = courses.facts(at).sent.len();
        after.has.extend(courses.facts(next).sent.iter().skip(before).map(|(_, word)| *word));
        after.has.sort_unstable();
        match act.side {
            Side::Claimer => after.claimer = next,
            Side::Greeter => after.greeter = next,
        }
        Some(after)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always("certificates need the statement of a person", |space: &Self, state| {
                let (_, greeter) = space.facts(state);
                greeter.lasting.signed.is_none() || greeter.lasting.stated
            }),
            Property::always("what is published is in the newcomer's keeping", |space, state| {
                let (claimer, greeter) = space.facts(state);
                !greeter.lasting.published
                    || !signed_for(&greeter, Certified::Newcomer)
                    || claimer.lasting.saved
            }),
            Property::always("what is kept is what was signed, under the right root", |space, state| {
                let (claimer, greeter) = space.facts(state);
                claimer.lasting.kept.is_none_or(|(root, kept)| {
                    root && greeter.lasting.signed == Some((Certified::Newcomer, kept))
                })
            }),
            Property::always("nobody waits without end", |space, state| {
                space.ends(state, Side::Claimer) && space.ends(state, Side::Greeter)
            }),
            Property::sometimes("an enrolment ends well", |space, state| {
                let (claimer, greeter) = space.facts(state);
                claimer.lasting.done && greeter.lasting.published && signed_for(&greeter, Certified::Newcomer)
            }),
        ];
        let People { claimer_listens, greeter_listens, states_truly, typed } = self.people;
        // Who must type has to hear: then both listen, whatever they are like.
        let certifies = !typed && !greeter_listens && (!claimer_listens || !states_truly);
        all.push(if certifies {
            Property::sometimes("the relay is certified", |space, state| {
                signed_for(&space.facts(state).1, Certified::Relay)
            })
        } else {
            Property::always("the relay is never certified", |space, state| {
                !signed_for(&space.facts(state).1, Certified::Relay)
            })
        });
        // Typing or picking is said in message 3: who speaks with the relay is asked what the relay
        // wants.
        all.push(if claimer_listens {
            Property::always("the newcomer tells its name to the greeter alone", |space, state| {
                !space.facts(state).0.lasting.named_to_relay
            })
        } else {
            Property::sometimes("the newcomer tells its name to the relay", |space, state| {
                space.facts(state).0.lasting.named_to_relay
            })
        });
        all
    }
}

impl Space {
    /// What the relay has, under the step that is awaited and under the one it was sent as.
    fn given(&self, state: &State, mine: &Facts, happen: &mut dyn FnMut(Happened)) {
        let courses = self.courses();
        for word in state.has.iter().copied() {
            happen(Happened::Given { step: mine.awaited, word, mangled: Mangled::No });
            let step = courses.step_of(word);
            if step == mine.awaited {
                for mangled in [Mangled::First, Mangled::Last, Mangled::Cut, Mangled::Longer] {
                    happen(Happened::Given { step, word, mangled });
                }
            } else {
                happen(Happened::Given { step, word, mangled: Mangled::No });
            }
        }
    }

    /// As the newcomer would, or not.
    fn said_to_greeter(&self, at: Course, mine: &Facts, claimer: &Facts, happen: &mut dyn FnMut(Happened)) {
        let mut say = |words| happen(Happened::Said(words));
        match mine.awaited {
            0 => [false, true].into_iter().for_each(|zero| say(Words::Connect { zero })),
            2 if mine.relay.connected => {
                say(Words::Commit(relay_nonce()));
                say(Words::CommitShort);
                claimer.relay.commitment.into_iter().for_each(|bytes| say(Words::CommitTo(bytes)));
                claimer.relay.nonce.into_iter().for_each(|nonce| say(Words::Commit(nonce)));
            }
            4 if mine.relay.connected => {
                say(Words::Reveal(relay_nonce()));
                claimer.relay.nonce.into_iter().for_each(|nonce| say(Words::Reveal(nonce)));
                mine.relay.reply.into_iter().for_each(|(nonce, ..)| say(Words::Reveal(nonce)));
                if let Some(wanted) = claimer.relay.codes {
                    say(Words::Reveal(self.courses().fitting(at, wanted)));
                }
            }
            6 if mine.relay.connected => {
                say(Words::Introduce);
                claimer.relay.words.iter().for_each(|words| say(Words::PassOn(words.clone())));
            }
            8 if mine.relay.connected => say(Words::Receipt),
            _ => {}
        }
    }

    fn by_people(&self, mine: &Facts, other: &Facts, happen: &mut dyn FnMut(Happened)) {
        let listens = match mine.side {
            Side::Claimer => self.people.claimer_listens,
            Side::Greeter => self.people.greeter_listens,
        };
        match (mine.asked, other.lasting.shown) {
            (None, _) => {}
            (Some(CodeQuestion::TypeOnly), Some(heard)) => happen(Happened::Typed(heard)),
            (Some(CodeQuestion::PickOrType(four)), Some(heard)) if listens => {
                happen(if four.contains(&heard) { Happened::Picked(heard) } else { Happened::NoneFits });
            }
            (Some(CodeQuestion::PickOrType(four)), _) if !listens => {
                four.into_iter().for_each(|code| happen(Happened::Picked(code)));
            }
            // Nothing is heard: somebody who listens waits, and says so in the end.
            (Some(_), _) => happen(Happened::NoneFits),
        }
        if mine.asked_identity {
            happen(Happened::Identity);
        }
        if mine.asked_log {
            [Log::True, Log::Short, Log::Empty].into_iter().for_each(|log| happen(Happened::Shown(log)));
        }
        if mine.lasting.kept.is_some() {
            happen(Happened::Saved);
        }
        if mine.asked_approval {
            // Said aloud with the name: voices are true, and need no network.
            let heard = other.sent.iter().any(|(step, _)| *step == 6);
            happen(Happened::Approved(heard || !self.people.states_truly));
            happen(Happened::Approved(false));
        }
    }
}

/// As the greeter would, or not.
fn said_to_claimer(mine: &Facts, greeter: &Facts, happen: &mut dyn FnMut(Happened)) {
    let mut say = |words| happen(Happened::Said(words));
    match mine.awaited {
        1 => [false, true].into_iter().for_each(|zero| say(Words::Connect { zero })),
        3 if mine.relay.connected => {
            let nonce = relay_nonce();
            for (root, typed) in [(RootSaid::Own, false), (RootSaid::True, false), (RootSaid::Own, true)] {
                say(Words::Reply { nonce, root, typed });
            }
            if let Some((nonce, root, typed)) = greeter.relay.reply {
                say(Words::Reply { nonce, root: RootSaid::As(root), typed });
                say(Words::Reply { nonce, root: RootSaid::As(root), typed: !typed });
                say(Words::Reply { nonce, root: RootSaid::Own, typed });
                say(Words::Reply { nonce: relay_nonce(), root: RootSaid::As(root), typed });
            }
        }
        5 if mine.relay.connected => say(Words::Recognised),
        7 if mine.relay.connected => {
            greeter.relay.words.iter().for_each(|words| say(Words::PassOn(words.clone())))
        }
        _ => {}
    }
}

fn signed_for(greeter: &Facts, whom: Certified) -> bool {
    greeter.lasting.signed.is_some_and(|(signed, _)| signed == whom)
}
