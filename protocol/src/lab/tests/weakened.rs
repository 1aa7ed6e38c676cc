//! A strategy that can't win against anything proves nothing: here each wins, once the one defence is taken away that stops it.
//!
//! Decides which strategy must win in which weakened build (`weak-…` features, for tests alone), and that it never wins in the shipped one.
//! Run by `cargo test -p parsec-protocol --lib --features weak-NAME,weak-codes-16 lab::tests::weakened`.

use super::*;

/// Runs of each strategy: one more or less is decided by 40 bits, or by a search that finds all but always.
const TRIES: u64 = 12;

/// How often the strategy has its keys certified by people who listen.
fn wins(name: &str) -> u64 {
    let lab = Lab::open().unwrap();
    let won = (0..TRIES).filter(|seed| {
        let run = lab.play(strategy(name).unwrap(), People::Attentive, *seed).unwrap();
        assert_eq!(run.verdict.held, run.verdict.certificates == 0, "{run:#?}");
        run.verdict.certificates > 0
    });
    won.count() as u64
}

/// What this build lets through.
fn expected(name: &str) -> u64 {
    let short = cfg!(feature = "weak-codes-16");
    let unbound = cfg!(feature = "weak-no-commitment") || cfg!(feature = "weak-unchecked-commitment");
    let wins = match name {
        "commitment-swap" => short && unbound,
        "same-words" => cfg!(feature = "weak-unkeyed-codes"),
        "zero-secret" => cfg!(feature = "weak-low-order"),
        "lucky-guess" => cfg!(feature = "weak-no-statement"),
        _ => false,
    };
    if wins { TRIES } else { 0 }
}

#[test]
fn each_strategy_wins_where_its_defence_is_missing_and_nowhere_else() {
    for name in
        ["two-handshakes", "commitment-swap", "same-words", "zero-secret", "lucky-guess", "nonce-late"]
    {
        let won = wins(name);
        println!("check lab {name}: {won} of {TRIES} won");
        assert_eq!(won, expected(name), "{name}");
    }
}
