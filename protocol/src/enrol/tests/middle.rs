//! Somebody between two attentive people, who does everything right and still loses; and wins, once
//! the defence in question is taken away.
//!
//! Decides what counts as winning: the greeter signs for a key of the attacker's. Each check here
//! fails without the defences that tests/sabotage/ceremony/ says, and passes without the others: a
//! check that nothing can fail has shown nothing.

use super::peers::FalseClaimer;
use super::*;
use crate::enrol::messages::{Commit, Nonce, Reveal};
use crate::lab::{Lab, People, Transcript, strategy};
use crate::public_keys::Hash;

/// Whether codes have 10 bits in all: `cargo xtask sabotage` alone makes it so.
const TOY: bool = false;
/// Blind interceptions in the usual run with 10-bit codes, and in the full one.
const BLIND: (u64, u64) = (20_000, 200_000);
/// Interceptions for each of the other checks: one win is enough to make it red.
const TRIES: u64 = 12;

/// Interceptions by one of the lab's strategies, with people who listen, by seeds from 0.
fn interceptions(name: &str, count: u64) -> impl Iterator<Item = Transcript> {
    let lab = Lab::open().unwrap();
    let strategy = strategy(name).unwrap();
    (0..count).map(move |seed| lab.play(strategy, People::Attentive, seed).unwrap())
}

fn won(run: &Transcript) -> bool {
    run.verdict.certificates > 0
}

/// How many of [`TRIES`] the attacker's keys were certified in; told under the name that `cargo
/// xtask sabotage` looks for.
fn wins(check: &str, strategy: &str) -> u64 {
    let wins = interceptions(strategy, TRIES).filter(won).count() as u64;
    println!("check {check}: {wins} of {TRIES} won");
    wins
}

/// The attacker commits, waits for everybody's number, and then looks for one that makes both pairs
/// of codes the same.
#[test]
fn a_number_chosen_last_wins_nothing() {
    assert_eq!(wins("number_chosen_last", "commitment-swap"), 0);
}

#[test]
fn another_commitment_closes() {
    let org = acme();
    let prologue = org.bob();
    let mut alice = Pair::fair(&org, &prologue, true, 1);
    let mut to_alice = FalseClaimer::against(&mut alice, &prologue);
    to_alice.say(&mut alice, 2, &crate::codec::encode(&Commit { commitment: Hash::from_bytes([9; 32]) }));
    to_alice.say(&mut alice, 4, &crate::codec::encode(&Reveal { nonce: Nonce([9; 32]) }));
    assert_eq!(alice.g.closed, Some(Closed::CommitmentBroken));
    assert!(alice.g.asked.is_none());
}

/// Everything is passed on as it came, from one channel into the other, where it says the same if
/// codes and commitments don't belong to a channel.
#[test]
fn messages_passed_on_win_nothing() {
    assert_eq!(wins("passed_on", "same-words"), 0);
}

/// The attacker's halves have the key zero: whatever the others' keys, both secrets are zero.
#[test]
fn keys_of_zero_win_nothing() {
    assert_eq!(wins("zero_keys", "zero-secret"), 0);
    let refused = Closed::BadKey.to_string();
    for run in interceptions("zero-secret", TRIES) {
        let told: Vec<&str> = run.verdict.told.iter().map(|told| told.why.as_str()).collect();
        assert_eq!(told, [refused.as_str(), refused.as_str()], "{run:#?}");
    }
}

/// The first check passes by luck, forced here; the second fails, and its person says nothing
/// aloud.
#[test]
fn a_lucky_first_check_signs_nothing() {
    let org = acme();
    for seed in 0..TRIES {
        let mut pair = Pair::fair(&org, &org.bob(), true, seed);
        pair.run_to(&org, Point::ClaimerCode);
        pair.tell_claimer(ClaimerInput::Code(CodeAnswer::NoneFits)).unwrap();
        assert_eq!(pair.c.closed, Some(Closed::CodeMismatch));
        let mut alice = Pair::fair(&org, &org.bob(), true, seed);
        alice.run_to(&org, Point::Approval);
        let unheard = Approval { claimer_confirmed: false, ..org.approval() };
        let told = alice.tell_greeter(GreeterInput::Approve(unheard));
        assert!(nothing_was_signed(&alice.g), "seed {seed}");
        assert_eq!(told, Err(Refused::NotConfirmed));
    }
}

/// M2. Only with 10-bit codes is anything ever won; there, as often as chance says and no more.
#[test]
fn blind_interception_wins_by_chance_alone() {
    let count = runs(BLIND.0, BLIND.1);
    let count = if TOY { count } else { count / 100 };
    let (mut wins, mut alerted) = (0_u64, 0_u64);
    for run in interceptions("two-handshakes", count) {
        wins += u64::from(won(&run));
        alerted += u64::from(!won(&run) && run.verdict.alert());
    }
    // 2^-10, with the bounds that chance keeps to in 999 of 1,000 runs: 3.29 standard deviations.
    // 149 to 241 of 200,000.
    let (mean, spread) =
        if TOY { (count as f64 / 1024.0, 3.29 * (count as f64 / 1024.0).sqrt()) } else { (0.0, 0.0) };
    let bounds = ((mean - spread).ceil().max(0.0) as u64, (mean + spread).floor() as u64);
    println!(
        "figure M2: {count} blind interceptions, seeds from 0, codes of {} bits: {wins} won, {alerted} alerts; {} to {} expected",
        if TOY { 10 } else { 40 },
        bounds.0,
        bounds.1
    );
    assert!((bounds.0..=bounds.1).contains(&wins), "{wins} of {count}");
    assert_eq!(wins + alerted, count, "an interception that failed unseen");
}
