//! The safes' shipped rules, explored: every order of what devices, a server and somebody who means
//! harm can do to one safe, within the bounds that docs/assurance/safes-model.md states.
//!
//! Decides which walks there are, what each must come to, and which one promise is broken where a
//! defence is taken out. Refuses to say anything about keys that don't open, objects, or a reader
//! who lies to itself. `organisation` is what happens around, `histories` what stands in a safe and
//! who takes what, `account` what is true of it without the rules, `weak` the rules with a defence
//! less, `devices` and `forging` what is signed, `space` what stateright walks, `casts` the walks.

mod account;
mod casts;
mod devices;
mod forging;
mod histories;
mod organisation;
mod space;
mod weak;

use std::collections::BTreeSet;

use stateright::{Checker as _, HasDiscoveries, Model as _};

use casts::{HONEST, HOSTILE, WEAKENED};
use histories::Came;
use space::{Cast, Space};
use weak::Weak;

/// What one walk came to.
struct Explored {
    states: usize,
    depth: usize,
    came: Came,
    /// Promises that were broken, each with the steps that lead there.
    broken: Vec<(&'static str, String)>,
}

/// Walks everything there is for a cast.
fn explore(cast: Cast, weak: Weak) -> Explored {
    // As shipped, the first that fails is enough; weakened, all that hold must be seen to hold.
    let when = match weak {
        Weak::Nothing => HasDiscoveries::AnyFailures,
        _ => HasDiscoveries::All,
    };
    let checker = Space::new(cast, weak).checker().finish_when(when).spawn_bfs().join();
    let mut broken = Vec::new();
    for (name, path) in checker.discoveries() {
        let steps: Vec<String> = path.into_actions().iter().map(|step| format!("    {step:?}")).collect();
        broken.push((name, steps.join("\n")));
    }
    broken.sort_unstable();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    let came = checker.model().came();
    println!(
        "{} {weak:?}: {states} states, {depth} steps, {} histories, {} items, {} judgements",
        cast.name, came.histories, came.items, came.judgements
    );
    Explored { states, depth, came, broken }
}

/// What was broken, step by step.
fn told(broken: &[(&str, String)]) -> String {
    let each = broken.iter().map(|(name, steps)| format!("not so: {name}\n{steps}"));
    each.collect::<Vec<_>>().join("\n")
}

/// How far: as usual, or as a full run (`PARSEC_FULL=1`, `cargo xtask checks --full`) goes.
fn is_full() -> bool {
    std::env::var_os("PARSEC_FULL").is_some_and(|value| value == "1")
}

fn figure(what: &str, casts: &[Cast], faults: &[&str]) -> Came {
    let (mut states, mut depth, mut all) = (0, 0, Came::default());
    for cast in casts {
        let explored = explore(if is_full() { cast.deeper() } else { *cast }, Weak::Nothing);
        assert!(explored.broken.is_empty(), "{}: {}", cast.name, told(&explored.broken));
        states += explored.states;
        depth = depth.max(explored.depth);
        all.histories += explored.came.histories;
        all.judgements += explored.came.judgements;
        all.below |= explored.came.below;
        all.faults.extend(explored.came.faults);
    }
    // What refuses nothing in any walk is not explored by them.
    for fault in faults {
        assert!(all.faults.contains(*fault), "nothing was refused by {fault}: {:?}", all.faults);
    }
    println!(
        "figure S22: {what}: {} walks, {states} states, up to {depth} steps, {} histories, {} judgements; \
         nothing that must not be",
        casts.len(),
        all.histories,
        all.judgements
    );
    all
}

/// Whoever is honest comes to one tree, with all that was shared; a safe that is due is mended.
#[test]
fn with_an_honest_server_nothing_is_lost_and_everything_comes_to_an_end() {
    let came = figure("an honest server", HONEST, &["NotNext", "OtherPlace"]);
    assert!(!came.below, "an honest server is refused by nobody's floor");
}

/// Readers take nothing that they must not, whatever a server gives them and a member signs.
#[test]
fn with_a_hostile_server_nobody_takes_what_must_not_be() {
    let faults = [
        "NotNext",
        "OtherPlace",
        "SeenWentBack",
        "AuthorRevoked",
        "Suspended",
        "NoRole",
        "NotWriter",
        "NotManager",
        "WrongEpoch",
        "Due",
    ];
    let came = figure("a hostile server", HOSTILE, &faults);
    assert!(came.below, "a floor refuses something, or these walks don't need it");
}

/// One defence out at a time: its own promise is broken, and no other. So each of them is needed,
/// and each promise is one that can be seen to break.
#[test]
fn with_a_defence_less_its_own_promise_is_broken_and_no_other() {
    let mut promises = BTreeSet::new();
    let mut states = 0;
    for (cast, weak, promise) in WEAKENED {
        let explored = explore(*cast, *weak);
        let broken: Vec<&str> = explored.broken.iter().map(|(name, _)| *name).collect();
        assert_eq!(broken, [*promise], "{} {weak:?}: {}", cast.name, told(&explored.broken));
        // The tests above walk the very same one with nothing taken out.
        assert!(HONEST.iter().chain(HOSTILE).any(|walked| walked.name == cast.name));
        promises.insert(*promise);
        states += explored.states;
    }
    println!(
        "figure S22: {} defences out, one at a time: each breaks its own promise and no other, {} \
         promises, {states} states",
        WEAKENED.len(),
        promises.len()
    );
}
