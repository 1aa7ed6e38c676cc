//! Codes that people read to each other: 20 bits in 4 characters (docs/protocol.md, *Codes* and
//! *Proposals*).
//!
//! Decides how the two codes come out of what both sides agreed on, how they are written, spoken
//! and read back, which wrong ones stand beside the true one, and whether a person's answer is the
//! right one (`CodeScreen::judge`). Refuses to guess what a person meant: a character outside the
//! alphabet is an error.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::io::{CodeAnswer, CodeQuestion, Refused};
use crate::evidence::receipt::Method;
use crate::keys::{Entropy, NoEntropy, random};
use crate::public_keys::Hash;

/// 32 symbols without I, O, 0 and 1, which are confused when read out or written down.
pub const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// What each symbol is called on the telephone, in the order of [`ALPHABET`].
const SPOKEN: &[&str; 32] = &[
    "Alfa", "Bravo", "Charlie", "Delta", "Echo", "Foxtrot", "Golf", "Hotel", "Juliett", "Kilo", "Lima",
    "Mike", "November", "Papa", "Quebec", "Romeo", "Sierra", "Tango", "Uniform", "Victor", "Whiskey",
    "X-ray", "Yankee", "Zulu", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine",
];

/// Characters of a code.
const SYMBOLS: usize = 4;
/// Bits of a symbol.
const SYMBOL_BITS: u32 = 5;
/// Bits of a code: one chance in a million, and the attempt that missed it is seen by both people.
const CODE_BITS: u32 = 20;
/// The bits of a code.
const CODE_MASK: u32 = (1 << CODE_BITS) - 1;
/// The bits after the first symbol: those in which decoys differ.
const TAIL_MASK: u32 = (1 << (CODE_BITS - SYMBOL_BITS)) - 1;

/// A code: 20 bits. Not a secret key, but never logged: whoever hears it early could answer for a
/// person.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SasCode(u32);

/// Not 4 characters of [`ALPHABET`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a code has 4 characters out of A-Z without I and O, and 2-9")]
pub struct NotACode;

impl SasCode {
    /// The lowest bits of a number that has more.
    const fn from_low_bits(bits: u32) -> Self {
        Self(bits & CODE_MASK)
    }

    /// Indices into the alphabet, most significant first.
    fn symbols(self) -> [usize; SYMBOLS] {
        [15, 10, 5, 0].map(|shift| (self.0 >> shift) as usize & 31)
    }

    /// How to say it: the spelling alphabet of radio and telephone, so that B and D stay apart on a
    /// bad line.
    #[must_use]
    pub fn spelled(self) -> String {
        self.symbols().map(|at| SPOKEN.get(at).copied().unwrap_or_default()).join(" ")
    }

    /// In how many of the symbols after the first the two differ.
    fn tail_distance(self, other: Self) -> usize {
        self.symbols().iter().zip(other.symbols()).skip(1).filter(|(mine, other)| *mine != other).count()
    }
}

impl fmt::Debug for SasCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SasCode(..)")
    }
}

impl fmt::Display for SasCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        let symbols = self.symbols();
        let mut characters = symbols.iter().filter_map(|at| ALPHABET.get(*at).copied().map(char::from));
        characters.try_for_each(|character| f.write_char(character))
    }
}

impl FromStr for SasCode {
    type Err = NotACode;
    fn from_str(text: &str) -> Result<Self, NotACode> {
        let typed = text.trim();
        if typed.len() != SYMBOLS {
            return Err(NotACode);
        }
        let mut bits = 0;
        for byte in typed.bytes() {
            let symbol = byte.to_ascii_uppercase();
            let at = (0u32..).zip(ALPHABET).find(|(_, known)| **known == symbol).ok_or(NotACode)?.0;
            bits = bits << SYMBOL_BITS | at;
        }
        Ok(Self(bits))
    }
}

/// What the codes come from. Whoever changes one field on one side changes both codes of that side.
#[derive(Debug)]
pub struct SasInputs<'a> {
    /// The two keys of Noise's `Split()`, the claimer's sending key first.
    pub split_keys: &'a Zeroizing<[u8; 64]>,
    /// The handshake hash: the prologue, the link secret and both ephemeral keys are in it.
    pub handshake: &'a Hash,
    /// The claimer's nonce, from message 4.
    pub claimer_nonce: &'a [u8; 32],
    /// The greeter's nonce, from message 3.
    pub greeter_nonce: &'a [u8; 32],
    /// Message 3: the root key that message 7 will hand over.
    pub root_commitment: &'a Hash,
    /// Message 3: taken back by nobody in between, or picking would be forced on an organisation
    /// that forbids it.
    pub typing_required: bool,
}

/// The two codes of a ceremony.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codes {
    /// Read out first, by the claimer; found by the greeter.
    pub claimer: SasCode,
    /// Read out second, by the greeter; found by the claimer.
    pub greeter: SasCode,
}

impl Codes {
    /// Both codes from what this side believes was agreed on.
    #[must_use]
    pub fn derive(inputs: &SasInputs<'_>) -> Self {
        let label = b"parsec-enrol-v1 sas";
        let sas_key: Zeroizing<[u8; 32]> =
            Zeroizing::new(hmac(inputs.split_keys.as_slice(), &[label, inputs.handshake.as_bytes()]));
        let mac = hmac(
            sas_key.as_slice(),
            &[
                inputs.claimer_nonce,
                inputs.greeter_nonce,
                inputs.root_commitment.as_bytes(),
                &[u8::from(inputs.typing_required)],
            ],
        );
        let [a, b, c, d, e, ..] = mac;
        let bits = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
        #[expect(clippy::cast_possible_truncation, reason = "of each, the lowest 20 bits are the code")]
        let (greeter, claimer) = ((bits >> CODE_BITS) as u32, bits as u32);
        Self { claimer: SasCode::from_low_bits(claimer), greeter: SasCode::from_low_bits(greeter) }
    }
}

/// HMAC-SHA256 over the parts; every part but one has a fixed length.
pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    keyed(key, parts).finalize().into_bytes().into()
}

/// HMAC-SHA256 before its end, for comparing in constant time.
pub(super) fn keyed(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    #[expect(
        clippy::expect_used,
        reason = "RFC 2104 takes keys of every length, and so does this implementation"
    )]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes any key");
    parts.iter().for_each(|part| mac.update(part));
    mac
}

/// How three decoys differ from the true code, and where it stands among them. Drawn before the
/// codes are known, so that a source which fails does so before anything was promised to a person.
pub(super) struct Decoys {
    /// Added symbol by symbol (without carry) to the truth. Every set that keeps the distances is
    /// equally likely, so every set of decoys is, whatever the truth.
    offsets: [u32; 3],
    place: usize,
}

/// Candidates for three decoys. One is too near to another in under 1 of 100 cases; so many fall
/// short less than once in 2^200 ceremonies, unless the source is broken and would be asked for
/// ever.
const CANDIDATES: usize = 48;

impl Decoys {
    /// Draws.
    ///
    /// # Errors
    /// [`NoEntropy`], also where the source gives bytes that can't be random.
    pub(super) fn draw(entropy: &mut dyn Entropy) -> Result<Self, NoEntropy> {
        // Zero stands for the true code itself.
        let mut chosen = [SasCode(0); 4];
        let mut have = 1;
        for _ in 0..CANDIDATES {
            let Some(slot) = chosen.get_mut(have) else { break };
            // 15 of 16 bits: nothing is rejected for being out of range, so nothing is likelier
            // than the rest.
            let candidate = SasCode(u32::from(u16::from_be_bytes(random(entropy)?)) & TAIL_MASK);
            *slot = candidate;
            have += usize::from(chosen.iter().take(have).all(|other| candidate.tail_distance(*other) >= 2));
        }
        let [_, first, second, third] = chosen.map(|code| code.0);
        // The decoys are drawn alike, so their order among themselves says nothing: only the truth
        // needs a random place.
        let [place] = random(entropy)?;
        let decoys = Self { offsets: [first, second, third], place: usize::from(place & 3) };
        if have == chosen.len() { Ok(decoys) } else { Err(NoEntropy) }
    }

    /// The true code among its decoys: all begin alike, any two differ in two of the other three
    /// symbols, so that one symbol heard wrong never turns the true code into a proposed one.
    fn around(&self, truth: SasCode) -> [SasCode; 4] {
        let [first, second, third] = self.offsets.map(|offset| SasCode(truth.0 ^ offset));
        let mut proposed = [truth, first, second, third];
        proposed.swap(0, self.place);
        proposed
    }
}

/// One side's code screen: what is asked, and what the right answer is.
pub(super) struct CodeScreen {
    truth: SasCode,
    own: SasCode,
    question: CodeQuestion,
}

/// The right code was given, and how. Made by [`CodeScreen::judge`] alone.
pub(super) struct CodeRecognised(Method);

impl CodeRecognised {
    /// How it was given.
    pub(super) const fn method(&self) -> Method {
        self.0
    }
}

impl CodeScreen {
    /// A screen for the `truth` that the other person reads out; `own` is what this side reads out.
    pub(super) fn new(truth: SasCode, own: SasCode, typing_required: bool, decoys: &Decoys) -> Self {
        let question = if typing_required {
            CodeQuestion::TypeOnly
        } else {
            CodeQuestion::PickOrType(decoys.around(truth))
        };
        Self { truth, own, question }
    }

    /// What to ask the person.
    pub(super) const fn question(&self) -> CodeQuestion {
        self.question
    }

    /// Whether the answer is the right code: `None` is a mismatch, and final.
    ///
    /// # Errors
    /// [`Refused`] for what can't be an answer: nothing was decided by it.
    pub(super) fn judge(&self, answer: CodeAnswer) -> Result<Option<CodeRecognised>, Refused> {
        let (given, method) = match (answer, &self.question) {
            (CodeAnswer::NoneFits, _) => return Ok(None),
            (CodeAnswer::Picked(code), CodeQuestion::PickOrType(proposed)) if proposed.contains(&code) => {
                (code, Method::Picked)
            }
            (CodeAnswer::Picked(_), CodeQuestion::PickOrType(_)) => return Err(Refused::NotProposed),
            (CodeAnswer::Picked(_), CodeQuestion::TypeOnly) => return Err(Refused::TypingRequired),
            // The commonest slip: typing what stands on one's own screen. It says nothing about the
            // channel, so it is no mismatch. Where both codes happen to be equal it is the right
            // answer.
            (CodeAnswer::Typed(code), _) if code == self.own && code != self.truth => {
                return Err(Refused::OwnCode);
            }
            (CodeAnswer::Typed(code), _) => (code, Method::Typed),
        };
        Ok((given == self.truth).then_some(CodeRecognised(method)))
    }
}
