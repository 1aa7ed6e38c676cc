//! What making and opening a box leaves in memory: of a seed, what it expands to, and what a box
//! draws, nothing.
//!
//! The work is done by a child process, whose writable pages are searched from here while it waits:
//! so nothing of the search itself
//! is found. Freed heap is searched as it is: the programs have an allocator that wipes it, and
//! this test has not.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::FileExt as _;
use std::process::{Command, Stdio};

use ml_kem::{B32, EncodedSizeUser as _, KemCore as _, MlKem768};
use parsec_protocol::keys::{Entropy, NoEntropy, UserSeed};
use parsec_protocol::sealing::{Randomness, seal};
use sha3::Shake256;
use sha3::digest::{ExtendableOutput as _, Update as _};

/// Says what a child is to do; none in the tests themselves.
const ORDER: &str = "PARSEC_TEST_MEMORY";

/// Bytes that are nobody's, written where they are wanted and nowhere else.
struct Pattern(u64);

impl Pattern {
    fn bytes(mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.fill(&mut bytes).unwrap();
        bytes
    }
}

impl Entropy for Pattern {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            *byte = self.0.to_be_bytes()[0];
        }
        Ok(())
    }
}

const SEED: u64 = 1;
const RANDOMNESS: u64 = 2;
const TEXT: u64 = 3;

/// What may be looked for: its name, its bytes.
type Planted = (&'static str, Vec<u8>);

/// What `SEED` expands to: all of it, and of the long vector, as the library has it, a window of
/// each 64 bytes.
fn expanded() -> Vec<Planted> {
    let mut all = [0; 96];
    Shake256::default().chain(Pattern(SEED).bytes(32)).finalize_xof_into(&mut all);
    let (d, z) = (B32::try_from(&all[..32]).unwrap(), B32::try_from(&all[32..64]).unwrap());
    let (key, _) = MlKem768::generate_deterministic(&d, &z);
    let encoded = key.as_bytes();
    let numbers = encoded[..1_152].chunks(3).flat_map(|bytes| {
        let number = u32::from(bytes[0]) | u32::from(bytes[1]) << 8 | u32::from(bytes[2]) << 16;
        [number & 4_095, number >> 12].map(|number| u16::try_from(number).unwrap().to_le_bytes())
    });
    let vector: Vec<u8> = numbers.flatten().collect();
    let whole = [("d", &all[..32]), ("z", &all[32..64]), ("the X25519 scalar", &all[64..])];
    let whole = whole.map(|(what, bytes)| (what, bytes.to_vec()));
    let windows = vector.chunks(64).map(|window| ("the ML-KEM vector", window[..32].to_vec()));
    let encoded = encoded[..1_152].chunks(48).map(|window| ("the ML-KEM key", window[..32].to_vec()));
    whole.into_iter().chain(windows).chain(encoded).collect()
}

/// What is drawn for the box, and what is in it.
fn of_the_box() -> Vec<Planted> {
    let drawn = Pattern(RANDOMNESS).bytes(64);
    let text = Pattern(TEXT).bytes(32);
    vec![("randomness", drawn[..32].to_vec()), ("randomness", drawn[32..].to_vec()), ("plaintext", text)]
}

/// What of `planted` stands in the process; none where its memory is closed to us.
fn found(process: u32, planted: &[Planted]) -> Option<Vec<&'static str>> {
    let memory = File::open(format!("/proc/{process}/mem")).ok()?;
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let (mut found, mut searched) = (Vec::new(), 0);
    // Which two bytes are worth a look: nearly none, so that many parts cost as little as one.
    let mut begins = vec![false; 1 << 16];
    let pair = |bytes: &[u8]| usize::from(bytes[0]) << 8 | usize::from(bytes[1]);
    planted.iter().for_each(|(_, part)| begins[pair(part)] = true);
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|place| u64::from_str_radix(place, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        if !rights.starts_with("rw") || memory.read_exact_at(&mut bytes, from).is_err() {
            continue;
        }
        searched += bytes.len();
        for window in bytes.windows(32).filter(|window| begins[pair(window)]) {
            found.extend(planted.iter().filter(|(_, part)| window == part).map(|(what, _)| *what));
        }
    }
    assert!(searched > 1 << 20, "only {searched} bytes could be read");
    Some(found)
}

/// Starts a child with an order, searches it once it waits.
fn search(order: &str, planted: &[Planted]) -> Option<Vec<&'static str>> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_child", "--nocapture", "--test-threads=1"])
        .env(ORDER, order)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().ends_with("waiting")), "it did what it was to do");
    let found = found(child.id(), planted);
    drop(child.stdin.take());
    said.for_each(drop);
    assert!(child.wait().unwrap().success());
    if found.is_none() {
        println!("skipped: the memory of a child can't be read here");
    }
    found
}

/// The last thing that a child does; before it, it did all three. What follows would cover the
/// traces of what went before.
const LAST: [&str; 3] = ["key", "seal", "open"];

/// What the child does, in a frame of its own.
#[inline(never)]
fn seal_and_open(seed: &UserSeed, last: &str) {
    let mut text = zeroize::Zeroizing::new(vec![0; 32]);
    Pattern(TEXT).fill(&mut text).unwrap();
    let key = seed.encryption_key();
    let sealing = || {
        let randomness = Randomness::random(&mut Pattern(RANDOMNESS)).unwrap();
        seal(&key, b"of a test", b"", &text, randomness).unwrap()
    };
    let sealed = sealing();
    let opening = || assert!(seed.open(&sealed, b"of a test", b"").unwrap().expose() == text.as_slice());
    opening();
    match last {
        "key" => drop(seed.encryption_key()),
        "seal" => drop(sealing()),
        "open" => opening(),
        _ => panic!("{last} is no order"),
    }
}

#[test]
fn the_child() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let (what, last) = order.split_once(' ').unwrap();
    let seed = UserSeed::random(&mut Pattern(SEED)).unwrap();
    seal_and_open(&seed, last);
    let kept = (what == "keep").then_some(seed);
    println!("waiting");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(kept);
}

fn everything() -> Vec<Planted> {
    let all = [vec![("seed", Pattern(SEED).bytes(32))], expanded(), of_the_box()].concat();
    assert!(all.len() > 40);
    all
}

#[test]
fn of_a_seed_that_is_kept_nothing_else_is_there() {
    for last in LAST {
        if let Some(found) = search(&format!("keep {last}"), &everything()) {
            assert_eq!(found, ["seed"], "after {last}");
        }
    }
}

#[test]
fn of_a_seed_that_is_dropped_nothing_is_there() {
    for last in LAST {
        if let Some(found) = search(&format!("drop {last}"), &everything()) {
            assert!(found.is_empty(), "after {last}: {found:?}");
        }
    }
}
