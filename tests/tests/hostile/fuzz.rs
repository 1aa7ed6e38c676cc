//! Every corpus is replayed, and each target is given some inputs that nobody has seen; and the
//! runner finds faults that are there (docs/assurance/fuzzing.md).

use std::process::Command;

use parsec_tests::fuzz::mutator::{Dice, mutated};
use parsec_tests::fuzz::{TARGETS, corpus};
use parsec_tests::metrics;

/// Seconds for each target of a full run.
const FULL_SECONDS: u64 = 300;

fn xtask(arguments: &[&str]) -> (bool, String) {
    let output =
        Command::new(parsec_tests::process::binary("xtask")).arg("fuzz").args(arguments).output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

#[test]
fn every_corpus_and_some_inputs_that_nobody_has_seen() {
    let mut executions = 0_u64;
    for target in TARGETS {
        let corpus = corpus(target.name);
        for input in &corpus {
            (target.feed)(input);
        }
        let mut dice = Dice::new(1);
        for _ in 0..target.usual {
            (target.feed)(&mutated(&mut dice, &corpus));
        }
        executions += corpus.len() as u64 + target.usual;
    }
    if metrics::full() {
        let (well, said) = xtask(&["--seconds", &FULL_SECONDS.to_string(), "--json"]);
        assert!(well, "{said}");
        let count = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?["executions"].as_u64();
        executions += said.lines().filter_map(count).sum::<u64>();
    }
    metrics::figure(
        "B1",
        &format!(
            "{} targets, {executions} executions, seed 1: 0 crashes, 0 hangs, nothing beyond 512 MiB",
            TARGETS.len()
        ),
    );
}

#[test]
fn the_runner_finds_what_is_planted() {
    for (target, word) in [("planted-panic", "crash"), ("planted-hang", "hang"), ("planted-memory", "crash")]
    {
        let (well, said) = xtask(&["--target", target, "--seconds", "2", "--timeout", "1"]);
        assert!(!well && said.contains(word), "{target}: {said}");
    }
}
