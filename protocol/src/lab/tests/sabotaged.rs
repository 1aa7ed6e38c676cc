//! A strategy that can't win against anything proves nothing: here each wins, once the one defence
//! is taken away that stops it.
//!
//! Decides that it never wins against the machines as they are shipped. Which must win against
//! which others stands in tests/sabotage/ceremony/.

use super::*;

/// Runs of each strategy: one more or less is decided by 40 bits, or by a search that finds all but
/// always.
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

/// Strategies whose defence is missing: none as the machines are shipped. `cargo xtask sabotage` puts
/// the ones that must win here, with the change that takes their defence away.
const WINNING: &[&str] = &[];

#[test]
fn each_strategy_wins_where_its_defence_is_missing_and_nowhere_else() {
    for name in
        ["two-handshakes", "commitment-swap", "same-words", "zero-secret", "lucky-guess", "nonce-late"]
    {
        let won = wins(name);
        println!("check lab {name}: {won} of {TRIES} won");
        assert_eq!(won, if WINNING.contains(&name) { TRIES } else { 0 }, "{name}");
    }
}
