//! People who do not listen: what a full interception wins against them, and against typing
//! (docs/known-limits.md, the odds).

use super::{Organisation, Pair, Point, SeededRng, acme, nothing_was_signed};
use crate::enrol::io::{ClaimerInput, Closed, CodeAnswer, CodeQuestion, GreeterInput, Refused};
use crate::enrol::sas::SasCode;

/// Interceptions in the usual run. `PARSEC_ROBOTS=160000` for the long figure.
const ROBOTS: u64 = 16_000;

/// How many to run.
fn robots() -> u64 {
    std::env::var("PARSEC_ROBOTS").ok().and_then(|count| count.parse().ok()).unwrap_or(ROBOTS)
}

/// Somebody between two people who have the link: one channel with each. What either hears belongs
/// to the other channel, but these people don't compare.
struct Interception {
    /// The claimer and a dishonest greeter.
    with_claimer: Pair,
    /// A dishonest claimer and the greeter.
    with_greeter: Pair,
}

impl Interception {
    fn start(org: &Organisation, typed: bool, seed: u64) -> Self {
        let mut with_claimer = Pair::fair(org, &org.bob(), typed, 2 * seed);
        let mut with_greeter = Pair::fair(org, &org.bob(), typed, 2 * seed + 1);
        with_claimer.run_to(org, Point::GreeterCode);
        with_greeter.run_to(org, Point::GreeterCode);
        Self { with_claimer, with_greeter }
    }

    /// What the greeter would type: the code the claimer reads out, from another channel.
    fn heard_by_greeter(&self) -> SasCode {
        self.with_claimer.c.shown.unwrap()
    }

    /// The greeter's answer; whether it was taken for right.
    fn greeter_answers(&mut self, answer: CodeAnswer) -> bool {
        let pair = &mut self.with_greeter;
        pair.tell_greeter(GreeterInput::Code(answer)).unwrap();
        let again = pair.tell_greeter(GreeterInput::Code(answer));
        assert_eq!(again, Err(Refused::NotNow), "a second answer was taken");
        pair.g.closed.is_none()
    }

    /// The claimer's; the dishonest greeter says "recognised" of its own accord.
    fn claimer_answers(
        &mut self,
        org: &Organisation,
        answer: impl FnOnce(CodeQuestion) -> CodeAnswer,
    ) -> bool {
        let pair = &mut self.with_claimer;
        pair.pass(org, Point::GreeterCode);
        pair.deliver(5);
        let answer = answer(pair.c.asked.unwrap());
        pair.tell_claimer(ClaimerInput::Code(answer)).unwrap();
        pair.c.closed.is_none()
    }
}

fn pick(question: CodeQuestion, rng: &mut SeededRng) -> CodeAnswer {
    let CodeQuestion::PickOrType(four) = question else { panic!("picking is allowed here") };
    CodeAnswer::Picked(four[rng.below(4) as usize])
}

#[test]
fn blind_picking_on_both_sides_lets_one_of_sixteen_through() {
    let org = acme();
    let (count, mut won) = (robots(), 0);
    for seed in 0..count {
        let mut rng = SeededRng::new(u64::MAX / 2 - seed);
        let mut middle = Interception::start(&org, false, seed);
        let question = middle.with_greeter.g.asked.unwrap();
        let greeter_fooled = middle.greeter_answers(pick(question, &mut rng));
        let claimer_fooled = middle.claimer_answers(&org, |question| pick(question, &mut rng));
        won += u64::from(greeter_fooled && claimer_fooled);
        assert!(nothing_was_signed(&middle.with_greeter.g), "signed before the greeter's statement: {seed}");
    }
    let rate = won as f64 / count as f64;
    // Four standard deviations of a binomial with p = 1/16: a fair machine fails this once in
    // 15,000 suites, and the seeds are fixed. At 160,000 it is 0.24 points; the figure to hold
    // there is 0.2.
    let tolerance = if count >= 160_000 { 0.002 } else { 4.0 * (0.0625 * 0.9375 / count as f64).sqrt() };
    println!("blind pickers: {won} of {count} fooled twice, {:.3} %", 100.0 * rate);
    assert!((rate - 0.0625).abs() <= tolerance, "{won} of {count}");
}

#[test]
fn typing_what_was_heard_lets_nobody_through() {
    let org = acme();
    let count = robots() / 8;
    for seed in 0..count {
        let mut middle = Interception::start(&org, true, seed);
        let heard = middle.heard_by_greeter();
        assert!(!middle.greeter_answers(CodeAnswer::Typed(heard)), "seed {seed}: 20 bits equal by luck?");
        assert_eq!(middle.with_greeter.g.closed, Some(Closed::CodeMismatch));
        assert!(nothing_was_signed(&middle.with_greeter.g));
    }
    println!("typing people: 0 of {count} fooled");
}

/// The control: the same robots with nobody in between are let in whenever they happen to pick
/// right, so the counting above can fail.
#[test]
fn with_nobody_between_the_right_codes_pass() {
    let org = acme();
    for seed in 0..50 {
        let mut pair = Pair::fair(&org, &org.bob(), seed % 2 == 0, seed);
        pair.run_to(&org, Point::Message(6));
        assert_eq!((pair.c.closed, pair.g.closed), (None, None));
    }
}
