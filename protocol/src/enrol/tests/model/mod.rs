//! The shipped machines, explored: every order of everything that a relay and two people can do to
//! one attempt, within the bounds that docs/assurance/model.md states.
//!
//! Decides what must hold in every state that can be reached, and what must be reachable, so that
//! the relay is known to have teeth. Refuses to say anything about two attempts at once, or about a
//! relay that breaks a cipher. `courses` asks the machines what they do, `play` is one machine with
//! the relay's own end, `space` is what stateright walks.

mod courses;
mod play;
mod space;

use std::sync::{Arc, LazyLock, Mutex};

use stateright::{Checker as _, Expectation, HasDiscoveries, Model as _};

use courses::Courses;
use space::{People, Space};

use super::acme;

/// What one exploration came to.
struct Explored {
    states: usize,
    depth: usize,
}

/// Walks everything there is for these people; a counterexample is told step by step.
fn explore(courses: &Arc<Mutex<Courses>>, people: People) -> Explored {
    let checker = Space { courses: Arc::clone(courses), people }
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let mut wrong = Vec::new();
    for property in checker.model().properties() {
        let found = checker.discovery(property.name);
        match (property.expectation, found) {
            (Expectation::Sometimes, None) => {
                wrong.push(format!("{people:?}: never: {}", property.name));
            }
            (Expectation::Always, Some(path)) => {
                let steps: Vec<String> =
                    path.into_actions().iter().map(|action| format!("    {action:?}")).collect();
                wrong.push(format!("{people:?}: not always: {}\n{}", property.name, steps.join("\n")));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Explored { states: checker.unique_state_count(), depth: checker.max_depth() }
}

/// What the machines do is asked once for all: a person, a device of one's own, and a person
/// where codes must be typed.
static TREES: LazyLock<[(Arc<Mutex<Courses>>, bool); 3]> = LazyLock::new(|| {
    let org = acme();
    [(org.bob(), false), (org.second_device(), false), (org.bob(), true)]
        .map(|(prologue, typed)| (Arc::new(Mutex::new(Courses::new(acme(), prologue, typed))), typed))
});

/// Explores for some kinds of people.
fn figure(what: &str, kinds: &[People]) {
    let (mut states, mut depth, mut courses) = (0, 0, 0);
    for (tree, typed) in TREES.iter() {
        for people in kinds {
            let explored = explore(tree, People { typed: *typed, ..*people });
            states += explored.states;
            depth = depth.max(explored.depth);
        }
        courses += tree.lock().unwrap().len();
    }
    println!(
        "figure M16: the machines explored, {what}: {states} states, up to {depth} steps, {courses} courses; nothing that must not be"
    );
}

const LISTENS: People =
    People { claimer_listens: true, greeter_listens: true, states_truly: true, typed: false };

/// The promise: one of the two who listens is enough, as long as the greeter says what it heard.
#[test]
fn with_one_who_listens_the_relay_gets_nothing() {
    figure(
        "one who listens",
        &[
            LISTENS,
            People { claimer_listens: false, ..LISTENS },
            People { greeter_listens: false, ..LISTENS },
            People { claimer_listens: false, states_truly: false, ..LISTENS },
        ],
    );
}

/// Where nobody listens the relay has its way, which is how it is known that the model's relay can
/// have it; the machines still keep their order.
#[test]
fn with_nobody_who_listens_the_machines_keep_their_order() {
    figure(
        "nobody listens",
        &[
            People { claimer_listens: false, greeter_listens: false, ..LISTENS },
            People { greeter_listens: false, states_truly: false, ..LISTENS },
        ],
    );
}
