//! Ten thousand ceremonies over a bad network, by people who make mistakes, with a clock that runs.
//!
//! The relay is the one of the protocol: a step is deposited once, in order, and can be asked for
//! as often as one likes. What the network does to the two drivers (loss and asking again, answers
//! twice, late, out of order) is chosen by the seed. What must hold in the end does not depend on
//! it.

use std::collections::VecDeque;

use super::*;

/// Ceremonies in the big run: enough for each pair of mishaps to meet at each step many times.
const RUNS: u64 = 10_000;
/// Moves after which a ceremony that still goes on is a bug: an honest one takes about 40.
const MOVES_MAX: usize = 3_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Claimer,
    Greeter,
}

/// Deposits, and answers under way to each side.
#[derive(Default)]
struct Relay {
    steps: Vec<Vec<u8>>,
    under_way: [VecDeque<(u8, Vec<u8>)>; 2],
}

impl Relay {
    fn deposit(&mut self, step: u8, bytes: &[u8]) {
        let at = usize::from(step);
        match self.steps.get(at) {
            Some(there) => assert_eq!(there, bytes, "step {step} was sent twice with other bytes"),
            None => {
                assert_eq!(at, self.steps.len(), "step {step} was sent out of turn");
                self.steps.push(bytes.to_vec());
            }
        }
    }
}

struct Run<'a> {
    org: &'a Organisation,
    pair: Pair,
    relay: Relay,
    rng: SeededRng,
    /// How many of each side's messages reached the relay.
    deposited: [usize; 2],
    mishaps: bool,
}

impl Run<'_> {
    fn sent(&self, side: Side) -> &[(u8, Vec<u8>)] {
        match side {
            Side::Claimer => &self.pair.c.sent,
            Side::Greeter => &self.pair.g.sent,
        }
    }

    fn closed(&self, side: Side) -> Option<Closed> {
        match side {
            Side::Claimer => self.pair.c.closed,
            Side::Greeter => self.pair.g.closed,
        }
    }

    /// One thing happens somewhere.
    fn step(&mut self) {
        let side = if self.rng.below(2) == 0 { Side::Claimer } else { Side::Greeter };
        match self.rng.below(10) {
            0..=2 => self.deposit(side),
            3 | 4 => self.ask(side),
            5..=7 => self.receive(side),
            8 => self.person(side),
            _ => self.time(side),
        }
    }

    /// The driver deposits the next message, or the last again because the answer was lost.
    fn deposit(&mut self, side: Side) {
        let at = self.deposited[side as usize];
        let again = at > 0 && self.rng.below(3) == 0;
        let which = if again { at - 1 } else { at };
        let Some((step, bytes)) = self.sent(side).get(which).cloned() else { return };
        if self.rng.below(3) == 0 {
            return; // lost on the way there
        }
        self.relay.deposit(step, &bytes);
        self.deposited[side as usize] = at.max(which + 1);
    }

    /// The driver asks for any step of the other side that is there; the answer is put somewhere
    /// among those under way.
    fn ask(&mut self, side: Side) {
        let odd = usize::from(side == Side::Claimer);
        let there: Vec<usize> = (odd..self.relay.steps.len()).step_by(2).collect();
        if there.is_empty() {
            return;
        }
        // Mostly the newest, as a driver does; sometimes an old one.
        let back = if self.rng.below(4) == 0 { self.rng.below(there.len() as u64) as usize } else { 0 };
        let step = there[there.len() - 1 - back];
        let answer = (step as u8, self.relay.steps[step].clone());
        let queue = &mut self.relay.under_way[side as usize];
        let place = self.rng.below(queue.len() as u64 + 1) as usize;
        queue.insert(place, answer);
    }

    fn receive(&mut self, side: Side) {
        let Some((step, bytes)) = self.relay.under_way[side as usize].pop_front() else { return };
        let taken = match side {
            Side::Claimer => self.pair.tell_claimer(ClaimerInput::Message { step, bytes }),
            Side::Greeter => self.pair.tell_greeter(GreeterInput::Message { step, bytes }),
        };
        assert_eq!(taken, Ok(()), "messages are never refused");
    }

    fn person(&mut self, side: Side) {
        if self.mishaps && self.rng.below(150) == 0 {
            let cancelled = match side {
                Side::Claimer => self.pair.tell_claimer(ClaimerInput::Cancel),
                Side::Greeter => self.pair.tell_greeter(GreeterInput::Cancel),
            };
            assert_eq!(cancelled, Ok(()));
            return;
        }
        match side {
            Side::Claimer => self.claiming_person(),
            Side::Greeter => self.greeting_person(),
        }
    }

    /// Does whatever is asked, now and then the wrong thing. A refusal changes nothing, so trying
    /// too early is harmless.
    fn claiming_person(&mut self) {
        let wrong = self.mishaps && self.rng.below(30) == 0;
        match self.rng.below(4) {
            0 => {
                if let (Some(question), Some(heard)) = (self.pair.c.asked, self.pair.g.shown) {
                    let answer = answer(question, heard, wrong, &mut self.rng);
                    let _ = self.pair.tell_claimer(ClaimerInput::Code(answer));
                }
            }
            1 => {
                let name = self.pair.new_user.then(|| label("Bob"));
                let _ = self.pair.tell_claimer(ClaimerInput::Identity { name, device_label: label("desk") });
            }
            2 => {
                if let Some(count) = self.pair.c.need_log {
                    let log = self.org.envelopes[..count as usize].to_vec();
                    let _ = self.pair.tell_claimer(ClaimerInput::Log(log));
                }
            }
            _ if self.pair.c.kept.is_some() => {
                let _ = self.pair.tell_claimer(ClaimerInput::Saved);
            }
            _ => {
                let told = self.pair.tell_claimer(ClaimerInput::Saved);
                assert!(told.is_err() || self.pair.c.closed == Some(Closed::TimedOut));
            }
        }
    }

    fn greeting_person(&mut self) {
        let wrong = self.mishaps && self.rng.below(30) == 0;
        if self.rng.below(2) == 0 {
            if let (Some(question), Some(heard)) = (self.pair.g.asked, self.pair.c.shown) {
                let answer = answer(question, heard, wrong, &mut self.rng);
                let _ = self.pair.tell_greeter(GreeterInput::Code(answer));
            }
        } else if self.pair.c.asked_identity {
            // Only now has the claimer said aloud that the code was found.
            let _ = self.pair.tell_greeter(GreeterInput::Approve(self.org.approval()));
        } else {
            let approval = Approval { claimer_confirmed: false, ..self.org.approval() };
            let told = self.pair.tell_greeter(GreeterInput::Approve(approval));
            assert!(told.is_err() || self.pair.g.closed == Some(Closed::TimedOut));
        }
    }

    fn time(&mut self, side: Side) {
        let seconds = if self.mishaps && self.rng.below(60) == 0 { 400 } else { 2 };
        self.pair.now = self.pair.now.plus_seconds(self.rng.below(seconds));
        let ticked = match side {
            Side::Claimer => self.pair.tell_claimer(ClaimerInput::Tick),
            Side::Greeter => self.pair.tell_greeter(GreeterInput::Tick),
        };
        assert_eq!(ticked, Ok(()));
    }

    /// What one side says when it stops, the other's driver hears from the relay. After message 7
    /// the greeter's record is sealed and nobody's word ends it; before, the other side is
    /// cancelled.
    fn tell_the_end(&mut self) {
        if self.closed(Side::Claimer).is_some() && self.closed(Side::Greeter).is_none() {
            self.pair.tell_greeter(GreeterInput::Cancel).unwrap();
        }
        if self.closed(Side::Greeter).is_some() && self.closed(Side::Claimer).is_none() && !self.pair.c.done {
            self.pair.tell_claimer(ClaimerInput::Cancel).unwrap();
        }
    }

    fn over(&self) -> bool {
        let claimer = self.pair.c.done || self.pair.c.closed.is_some();
        let greeter = self.pair.g.published.is_some() || self.pair.g.closed.is_some();
        claimer && greeter
    }
}

/// What a person who heard `heard` answers.
fn answer(question: CodeQuestion, heard: SasCode, wrong: bool, rng: &mut SeededRng) -> CodeAnswer {
    match question {
        _ if wrong && rng.below(2) == 0 => CodeAnswer::NoneFits,
        CodeQuestion::PickOrType(four) if wrong => CodeAnswer::Picked(four[rng.below(4) as usize]),
        CodeQuestion::PickOrType(_) if rng.below(2) == 0 => CodeAnswer::Picked(heard),
        CodeQuestion::PickOrType(_) | CodeQuestion::TypeOnly => CodeAnswer::Typed(heard),
    }
}

/// Runs one ceremony to its end; whether somebody came in.
fn run(org: &Organisation, seed: u64, mishaps: bool) -> bool {
    let prologue = if seed.is_multiple_of(3) { org.second_device() } else { org.bob() };
    let typed = seed.is_multiple_of(5);
    let mut run = Run {
        org,
        pair: Pair::fair(org, &prologue, typed, seed),
        relay: Relay::default(),
        rng: SeededRng::new(seed ^ 0x5eed_0000_0000_0000),
        deposited: [0, 0],
        mishaps,
    };
    let mut moves = 0;
    while !run.over() {
        run.step();
        // A person's wish to stop reaches the other side late, or never before its own deadline
        // ends.
        if run.rng.below(4) == 0 {
            run.tell_the_end();
        }
        moves += 1;
        assert!(moves < MOVES_MAX, "seed {seed}: does not end");
    }
    let Pair { c, g, .. } = &run.pair;
    match &g.published {
        Some(publication) => {
            let device = c.kept.as_ref().expect("published although the claimer has no keys");
            assert!(c.done, "published before the keys were durable");
            assert_eq!(device.certificates, publication.certificates, "seed {seed}");
            let log = org.log.extended(publication.certificates.iter().map(Vec::as_slice)).unwrap();
            let (user, record) = (log.user(&device.user).unwrap(), log.device(&device.device).unwrap());
            assert_eq!(user.encryption_key, device.user_seed.encryption_key().hash(), "seed {seed}");
            assert_eq!(record.verify_key, device.signing_key.verify_key(), "seed {seed}");
            assert_eq!(device.typed_codes, typed, "seed {seed}");
            true
        }
        None => {
            assert!(mishaps, "seed {seed}: failed without a reason: {:?} {:?}", c.closed, g.closed);
            assert!(g.closed.is_some());
            false
        }
    }
}

/// Runs seeds, naming the one that failed.
fn run_all(seeds: impl Iterator<Item = u64>, mishaps: bool) -> u64 {
    let org = acme();
    let mut came_in = 0;
    for seed in seeds {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&org, seed, mishaps)));
        came_in += u64::from(outcome.unwrap_or_else(|_| panic!("seed {seed} (mishaps: {mishaps}) failed")));
    }
    came_in
}

#[test]
fn a_bad_network_alone_fails_no_ceremony() {
    assert_eq!(run_all(0..RUNS / 5, false), RUNS / 5);
}

#[test]
fn both_sides_agree_or_nothing_is_published() {
    let came_in = run_all(RUNS / 5..RUNS, true);
    // Both outcomes are really there.
    assert!(came_in > RUNS / 20 && came_in < RUNS * 3 / 4, "{came_in}");
}
