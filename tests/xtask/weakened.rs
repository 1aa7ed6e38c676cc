//! `cargo xtask weakened`: the ceremony with one defence taken away at a time, and which checks notice.
//!
//! Decides, for each weakened build, the checks that must be red in it, and that all others are green: a check that stays green without its
//! defence guards nothing, and one that is red for another's is not about what it says. Prints the figures M2 and M3 of docs/evidence.md.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{ExitCode, Stdio};

use crate::run_tests::{cargo, ended};

/// What a run takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// One build, such as `low-order`; all without it.
    build: Option<String>,
}

/// Red wherever a defence is missing: they walk everything that can happen (docs/model.md).
const WALKS: [&str; 2] = [
    "model::with_one_who_listens_the_relay_gets_nothing",
    "model::with_nobody_who_listens_the_machines_keep_their_order",
];

/// One weakened build.
struct Build {
    /// The feature of parsec-protocol, without its `weak-`.
    feature: &'static str,
    /// Built with codes of 16 bits, so that an attack which looks for equal codes ends.
    short: bool,
    /// Whether the relay wins in a walk through everything that can happen.
    walks: bool,
    /// The attack that must win each time, by the name it prints.
    attack: Option<&'static str>,
    /// The checks that must be red, below `enrol::tests`.
    red: &'static [&'static str],
}

/// Red wherever codes are shorter than they are: it counts the bits that change.
const SHORT_CODES: &str = "codes::every_bit_that_was_agreed_on_is_in_both_codes";

const BUILDS: &[Build] = &[
    Build { feature: "codes-16", short: false, walks: false, attack: None, red: &[] },
    Build {
        feature: "no-commitment",
        short: true,
        walks: true,
        attack: Some("number_chosen_last"),
        red: &[
            "attacks::a_nonce_that_was_not_committed_to_opens_nothing",
            "middle::a_number_chosen_last_wins_nothing",
        ],
    },
    Build {
        feature: "unchecked-commitment",
        short: true,
        walks: true,
        attack: Some("number_chosen_last"),
        red: &[
            "attacks::a_commitment_of_another_ceremony_opens_nothing",
            "attacks::a_nonce_that_was_not_committed_to_opens_nothing",
            "middle::a_number_chosen_last_wins_nothing",
            "middle::another_commitment_closes",
        ],
    },
    Build {
        feature: "unkeyed-codes",
        short: true,
        walks: true,
        attack: Some("passed_on"),
        red: &[
            // Commitment and receipt name the channel too.
            "attacks::a_commitment_of_another_ceremony_opens_nothing",
            "handovers::only_the_new_devices_receipt_over_these_certificates_counts",
            "middle::messages_passed_on_win_nothing",
        ],
    },
    Build {
        feature: "low-order",
        short: true,
        walks: true,
        attack: Some("zero_keys"),
        red: &[
            "bound::bad_keys_are_refused_before_any_code",
            "bound::the_second_lock_holds_too",
            "middle::keys_of_zero_win_nothing",
        ],
    },
    Build {
        feature: "no-statement",
        short: true,
        walks: true,
        attack: None,
        red: &[
            "attacks::half_the_bits_guessed_sign_nothing",
            "middle::a_lucky_first_check_signs_nothing",
            "steps::a_refused_input_leaves_everything_as_it_was",
        ],
    },
    Build {
        feature: "codes-10",
        short: false,
        // Codes of 5 bits fit by chance somewhere among all that the relay can say.
        walks: true,
        attack: None,
        // Fifty interceptions, and 5 bits for each first check.
        red: &["attacks::one_in_the_middle_is_seen_by_the_codes"],
    },
];

/// What the checks of one build said.
struct Said {
    ran: usize,
    red: BTreeSet<String>,
    output: String,
}

pub(crate) fn run(root: &Path, options: &Options) -> ExitCode {
    let chosen: Vec<&Build> = BUILDS
        .iter()
        .filter(|build| options.build.as_deref().is_none_or(|asked| asked == build.feature))
        .collect();
    if chosen.is_empty() {
        let names: Vec<&str> = BUILDS.iter().map(|build| build.feature).collect();
        eprintln!("no weakened build has that name; there are: {}", names.join(" "));
        return ExitCode::FAILURE;
    }
    ended("weakened", compare(root, &chosen))
}

fn compare(root: &Path, builds: &[&Build]) -> std::io::Result<bool> {
    let mut well = true;
    let mut won = Vec::new();
    if builds.len() > 1 {
        let shipped = checks(root, None)?;
        let attacks = lines(&shipped.output, "check ");
        println!("{:22} {:3} checks, {} red", "as shipped", shipped.ran, shipped.red.len());
        well &=
            shipped.red.is_empty() && shipped.ran > 0 && attacks.iter().all(|line| line.contains(": 0 of "));
        won.push(format!("as shipped 0 of {} attacks", attacks.len()));
    }
    for build in builds {
        let said = checks(root, Some(build))?;
        let walks = if build.walks { WALKS.as_slice() } else { &[] };
        let expected: BTreeSet<String> =
            build.red.iter().chain([&SHORT_CODES]).chain(walks).map(|name| (*name).to_owned()).collect();
        let right = said.red == expected && said.ran > expected.len();
        well &= right;
        println!(
            "{:22} {:3} checks, {} red, {}",
            build.feature,
            said.ran,
            said.red.len(),
            if right { "exactly those that should be" } else { "NOT those that should be" }
        );
        for name in said.red.union(&expected) {
            let mark = match (said.red.contains(name), expected.contains(name)) {
                (true, true) => "red",
                (true, false) => "RED, and should not be",
                (false, _) => "GREEN, and should be red",
            };
            println!("    {name}: {mark}");
        }
        if let Some(attack) = build.attack {
            let line =
                lines(&said.output, &format!("check {attack}: ")).into_iter().next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let (wins, of, tries) = (words.next(), words.next(), words.next());
            well &= of == Some("of") && wins == tries && wins.is_some();
            won.push(format!("{} {line}", build.feature));
        }
        if build.feature == "codes-10" {
            for line in lines(&said.output, "figure M2: ") {
                println!("figure M2: {line}");
            }
        }
    }
    if builds.len() > 1 && well {
        println!(
            "figure M3: {}; each of {} weakened builds fails exactly its own checks",
            won.join("; "),
            builds.len()
        );
    }
    Ok(well)
}

/// What follows a mark at the beginning of lines.
fn lines(output: &str, mark: &str) -> Vec<String> {
    output.lines().filter_map(|line| line.trim().strip_prefix(mark)).map(str::to_owned).collect()
}

/// Runs the ceremony's checks in one build; the two long ones, about people who don't listen and bad networks, aside.
fn checks(root: &Path, build: Option<&Build>) -> std::io::Result<Said> {
    let mut tests = cargo(root);
    tests.args(["test", "--quiet", "--package", "parsec-protocol", "--lib"]);
    if let Some(build) = build {
        let short = if build.short { ",weak-codes-16" } else { "" };
        tests.arg("--features").arg(format!("weak-{}{short}", build.feature));
    }
    // The lab's own: each of its strategies wins exactly where its defence is missing.
    tests.args([
        "--",
        "enrol::tests",
        "lab::tests::weakened",
        "--show-output",
        "--format=pretty",
        "--skip",
        "robots::",
        "--skip",
        "network::",
    ]);
    let output = tests.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (mut ran, mut red) = (0, BTreeSet::new());
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("test ").map(|rest| rest.trim_start_matches("enrol::tests::"))
        else {
            continue;
        };
        if let Some(name) = rest.strip_suffix(" ... FAILED") {
            ran += 1;
            red.insert(name.to_owned());
        } else if rest.ends_with(" ... ok") {
            ran += 1;
        }
    }
    if ran == 0 {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(Said { ran, red, output: text })
}
