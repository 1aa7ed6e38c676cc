//! Codes: written, spoken, read back, and surrounded by decoys.

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use super::super::sas::{ALPHABET, CodeScreen, Codes, Decoys, NotACode, SasInputs};
use super::*;
use crate::public_keys::Hash;

fn code(text: &str) -> SasCode {
    text.parse().unwrap()
}

/// Distinct in at least two of the last three.
fn far_apart(a: &str, b: &str) -> bool {
    a.bytes().zip(b.bytes()).skip(1).filter(|(x, y)| x != y).count() >= 2
}

#[test]
fn the_alphabet_has_no_lookalikes_and_every_symbol_reads_back() {
    let distinct: BTreeSet<u8> = ALPHABET.iter().copied().collect();
    assert_eq!(distinct.len(), 32);
    assert!(b"IO01".iter().all(|lookalike| !ALPHABET.contains(lookalike)));
    let mut spoken = BTreeSet::new();
    for symbol in ALPHABET {
        let text = String::from_utf8(vec![*symbol; 4]).unwrap();
        assert_eq!(code(&text).to_string(), text);
        assert_eq!(code(&text.to_lowercase()).to_string(), text);
        let word = code(&text).spelled().split(' ').next().unwrap().to_owned();
        assert!(symbol.is_ascii_digit() || word.as_bytes()[0] == *symbol, "{word}");
        spoken.insert(word);
    }
    assert_eq!(spoken.len(), 32);
}

#[test]
fn codes_are_spoken_in_words() {
    assert_eq!(code("K7M2").spelled(), "Kilo Seven Mike Two");
    assert_eq!(code("JX9A").spelled(), "Juliett X-ray Nine Alfa");
    assert_eq!(format!("{:?}", code("K7M2")), "SasCode(..)");
}

#[test]
fn nothing_is_guessed_at() {
    assert_eq!("  k7m2 \n".parse::<SasCode>(), Ok(code("K7M2")));
    for bad in [
        "", "K7M", "K7M2A", "K7 M2", "K7-M2", "KOM2", "K1M2", "KIM2", "K0M2", "K7M2.", "ÄAA", "ＫAA",
        "K7M\u{0}",
    ] {
        assert_eq!(bad.parse::<SasCode>(), Err(NotACode), "{bad:?}");
    }
}

struct Inputs {
    keys: Zeroizing<[u8; 64]>,
    handshake: Hash,
    claimer: [u8; 32],
    greeter: [u8; 32],
    root: Hash,
    typing: bool,
}

impl Inputs {
    fn codes(&self) -> Codes {
        Codes::derive(&SasInputs {
            split_keys: &self.keys,
            handshake: &self.handshake,
            claimer_nonce: &self.claimer,
            greeter_nonce: &self.greeter,
            root_commitment: &self.root,
            typing_required: self.typing,
        })
    }
}

fn inputs() -> Inputs {
    Inputs {
        keys: Zeroizing::new(std::array::from_fn(|at| at as u8)),
        handshake: Hash::from_bytes([1; 32]),
        claimer: [2; 32],
        greeter: [3; 32],
        root: Hash::from_bytes([4; 32]),
        typing: false,
    }
}

/// The check that M4 names, for the transcript: whatever is flipped on one side alone, that side
/// shows other codes.
#[test]
fn every_bit_that_was_agreed_on_is_in_both_codes() {
    let truth = inputs().codes();
    let mut seen = BTreeSet::from([(truth.claimer.to_string(), truth.greeter.to_string())]);
    for byte in 0..32 {
        for bit in 0..8 {
            let flip = |bytes: [u8; 32]| {
                let mut bytes = bytes;
                bytes[byte] ^= 1 << bit;
                bytes
            };
            let mut changed: Vec<Inputs> = (0..6).map(|_| inputs()).collect();
            changed[0].keys[byte] ^= 1 << bit;
            changed[1].keys[32 + byte] ^= 1 << bit;
            changed[2].handshake = Hash::from_bytes(flip([1; 32]));
            changed[3].claimer = flip([2; 32]);
            changed[4].greeter = flip([3; 32]);
            changed[5].root = Hash::from_bytes(flip([4; 32]));
            for inputs in changed {
                let codes = inputs.codes();
                seen.insert((codes.claimer.to_string(), codes.greeter.to_string()));
            }
        }
    }
    let other = Inputs { typing: true, ..inputs() }.codes();
    seen.insert((other.claimer.to_string(), other.greeter.to_string()));
    // Pairs of codes are 40 bits: all of them differ.
    assert_eq!(seen.len(), 1 + 6 * 256 + 1);
}

#[test]
fn keys_and_nonces_cannot_change_places() {
    let truth = inputs().codes();
    let mut swapped_keys = inputs();
    swapped_keys.keys.rotate_left(32);
    let mut swapped_nonces = inputs();
    std::mem::swap(&mut swapped_nonces.claimer, &mut swapped_nonces.greeter);
    assert_ne!(swapped_keys.codes(), truth);
    assert_ne!(swapped_nonces.codes(), truth);
}

fn proposed(truth: SasCode, entropy: &mut dyn Entropy) -> [SasCode; 4] {
    let decoys = Decoys::draw(entropy).unwrap();
    match CodeScreen::new(truth, truth, false, &decoys).question() {
        CodeQuestion::PickOrType(proposed) => proposed,
        CodeQuestion::TypeOnly => panic!("picking was allowed"),
    }
}

/// A fast source for many draws: xorshift64*, good enough to see whether the use of bits is even.
struct Quick(u64);

impl Entropy for Quick {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        for byte in bytes {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            *byte = (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8;
        }
        Ok(())
    }
}

#[test]
fn decoys_keep_their_distance_and_tell_nothing() {
    const SAMPLES: usize = 1_000_000;
    let mut entropy = Quick(88_172_645_463_325_252);
    let mut places = [0usize; 4];
    let mut symbols = [[0usize; 32]; 3];
    for sample in 0..SAMPLES {
        let [a, b, c, d] = [15, 10, 5, 0].map(|shift| char::from(ALPHABET[((sample * 7919) >> shift) & 31]));
        let truth = code(&String::from_iter([a, b, c, d]));
        let four = proposed(truth, &mut entropy);
        places[four.iter().position(|one| *one == truth).unwrap()] += 1;
        let texts = four.map(|one| one.to_string());
        for (at, one) in texts.iter().enumerate() {
            assert_eq!(one.as_bytes()[0], texts[0].as_bytes()[0]);
            for other in &texts[at + 1..] {
                assert!(far_apart(one, other), "{texts:?}");
            }
        }
        for decoy in texts.iter().filter(|text| **text != truth.to_string()) {
            for (counts, byte) in symbols.iter_mut().zip(decoy.bytes().skip(1)) {
                counts[ALPHABET.iter().position(|symbol| *symbol == byte).unwrap()] += 1;
            }
        }
    }
    println!(
        "figure M14: {SAMPLES} screens: 4 distinct codes on each, 0 decoys equal to the true one; its place chi-square {:.2}, to pass \
         below 16.27",
        chi_square(&places)
    );
    // 16.27 is the 0.1 % point of chi-square with 3 degrees of freedom, 61.1 the one with 31.
    assert!(chi_square(&places) < 16.27, "{places:?}");
    for counts in &symbols {
        assert!(chi_square(counts) < 61.1, "{counts:?}");
    }
}

/// The truth walks evenly through all codes above, so decoys' symbols should be even too.
fn chi_square(counts: &[usize]) -> f64 {
    let expected = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
    counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum()
}

#[test]
fn a_source_that_is_stuck_is_noticed() {
    struct Stuck(u8);
    impl Entropy for Stuck {
        fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
            bytes.fill(self.0);
            Ok(())
        }
    }
    for value in [0, 1, 0x55, 0xff] {
        assert!(Decoys::draw(&mut Stuck(value)).is_err());
    }
    assert!(Decoys::draw(&mut Dry).is_err());
}

/// The screen the two people fear most: what each answer is worth.
#[test]
fn answers_are_judged_once_and_slips_are_no_answers() {
    let decoys = Decoys::draw(&mut SeededRng::new(1)).unwrap();
    let (truth, own) = (code("K7M2"), code("ABCD"));
    let screen = CodeScreen::new(truth, own, false, &decoys);
    let CodeQuestion::PickOrType(four) = screen.question() else { panic!() };
    for one in four {
        let right = screen.judge(CodeAnswer::Picked(one)).unwrap().is_some();
        assert_eq!(right, one == truth);
    }
    assert!(screen.judge(CodeAnswer::Typed(truth)).unwrap().is_some());
    assert!(screen.judge(CodeAnswer::Typed(code("K7M3"))).unwrap().is_none());
    assert!(screen.judge(CodeAnswer::NoneFits).unwrap().is_none());
    assert_eq!(screen.judge(CodeAnswer::Picked(own)).err(), Some(Refused::NotProposed));
    assert_eq!(screen.judge(CodeAnswer::Typed(own)).err(), Some(Refused::OwnCode));

    let typing = CodeScreen::new(truth, own, true, &decoys);
    assert_eq!(typing.question(), CodeQuestion::TypeOnly);
    assert_eq!(typing.judge(CodeAnswer::Picked(truth)).err(), Some(Refused::TypingRequired));
    assert!(typing.judge(CodeAnswer::NoneFits).unwrap().is_none());
    assert!(typing.judge(CodeAnswer::Typed(truth)).unwrap().is_some());

    // One ceremony in a million: both codes alike. Reading the own one is reading the right one
    // then.
    let alike = CodeScreen::new(truth, truth, false, &decoys);
    assert!(alike.judge(CodeAnswer::Typed(truth)).unwrap().is_some());
}
