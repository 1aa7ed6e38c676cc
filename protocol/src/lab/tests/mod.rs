//! The lab itself, and the rows of evidence that are played in it. Seeds are numbers from 0; each
//! figure names how many.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod assurance;
mod sabotaged;

use super::*;

/// How many: the figure of the evidence with `PARSEC_FULL=1`, a tenth or less of it otherwise.
pub(crate) fn runs(usual: u64, full: u64) -> u64 {
    if std::env::var_os("PARSEC_FULL").is_some_and(|value| value == "1") { full } else { usual }
}

#[test]
fn names_are_unique_and_say_what_they_try() {
    let mut names: Vec<_> = STRATEGIES.iter().map(|strategy| strategy.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), STRATEGIES.len());
    assert!(STRATEGIES.iter().filter(|strategy| strategy.in_the_middle).count() >= 6);
}

#[test]
fn the_same_seed_is_the_same_run() {
    let lab = Lab::open().unwrap();
    for strategy in STRATEGIES {
        let [one, two] = [0, 0].map(|_| lab.play(strategy, People::Attentive, 7).unwrap());
        assert_eq!(one, two, "{}", strategy.name);
    }
}

/// The whole man in the middle against two people who listen.
#[test]
fn m1_nobody_in_the_middle_gets_a_certificate_and_everybody_is_told() {
    let lab = Lab::open().unwrap();
    let strategies: Vec<_> = STRATEGIES.iter().filter(|strategy| strategy.in_the_middle).collect();
    let count = runs(600, 10_000);
    let (mut certificates, mut alerts) = (0, 0);
    for seed in 0..count {
        // Each meets persons and devices: which, the last two bits of the seed decide.
        let strategy = strategies[seed as usize / 4 % strategies.len()];
        let run = lab.play(strategy, People::Attentive, seed).unwrap();
        assert!(run.verdict.held && !run.verdict.enrolled, "{} {seed}: {run:#?}", strategy.name);
        certificates += run.verdict.certificates;
        alerts += u64::from(run.verdict.alert());
    }
    println!(
        "figure M1: {count} ceremonies, {} strategies, seeds 0 to {}: {certificates} certificates, {alerts} alerts",
        strategies.len(),
        count - 1
    );
    assert_eq!((certificates, alerts), (0, count));
}

/// The judge can say no: each thing that must not happen is enough.
#[test]
fn each_breach_is_enough_to_fall() {
    let told = Told { attempt: 1, side: Side::Greeter, why: String::new() };
    let sound = Verdict {
        held: false,
        certificates: 0,
        captured: false,
        enrolled: false,
        waiting: false,
        fooled: Vec::new(),
        told: vec![told],
        attempts: 1,
        silent_restarts: 0,
    };
    let judged = |mut verdict: Verdict| {
        verdict.judge();
        verdict.held
    };
    assert!(judged(sound.clone()));
    assert!(!judged(Verdict { certificates: 1, ..sound.clone() }));
    assert!(!judged(Verdict { captured: true, ..sound.clone() }));
    assert!(!judged(Verdict { silent_restarts: 1, ..sound.clone() }));
    // Nobody was told, or only of an attempt before the last.
    assert!(!judged(Verdict { told: Vec::new(), ..sound.clone() }));
    assert!(!judged(Verdict { attempts: 2, ..sound.clone() }));
    // Where it came to something, there is nothing to tell.
    assert!(judged(Verdict { told: Vec::new(), enrolled: true, ..sound }));
}

/// The lab can lose: people who pick blind let the middle in once in sixteen times. Where that
/// stopped happening, the strategies would prove nothing.
#[test]
fn people_who_do_not_listen_let_the_middle_in() {
    let lab = Lab::open().unwrap();
    let count = runs(800, 16_000);
    let mut won = 0;
    for seed in 0..count {
        let run = lab.play(strategy("two-handshakes").unwrap(), People::Inattentive, seed).unwrap();
        assert_eq!(run.verdict.held, run.verdict.certificates == 0, "{seed}: {run:#?}");
        if run.verdict.certificates > 0 {
            // A person's two certificates, or a device's one: and with that the user's private
            // keys.
            let signed = if run.newcomer == Newcomer::Person { 2 } else { 1 };
            assert_eq!((run.verdict.certificates, run.verdict.fooled.len()), (signed, 2));
            won += 1;
        }
    }
    let expected = count as f64 / 16.0;
    println!("people who pick blind: the middle wins {won} of {count}");
    assert!((f64::from(won) - expected).abs() < 4.0 * (expected * 15.0 / 16.0).sqrt(), "{won} of {count}");
}

/// The control: with a network that only carries, everybody who listens gets in.
#[test]
fn with_nobody_between_people_get_in() {
    let lab = Lab::open().unwrap();
    let carrier = Strategy { name: "nobody", about: "", in_the_middle: false, make: |_| Box::new(Carrier) };
    for seed in 0..50 {
        let run = lab.play(&carrier, People::Attentive, seed).unwrap();
        assert!(run.verdict.enrolled && run.verdict.held && run.verdict.told.is_empty(), "{run:#?}");
    }
}

struct Carrier;

impl strategies::Adversary for Carrier {
    fn carry(&mut self, simulation: &mut Simulation<'_>, from: Side, step: u8, bytes: Vec<u8>) {
        simulation.pass_on(from, step, bytes);
    }
}
