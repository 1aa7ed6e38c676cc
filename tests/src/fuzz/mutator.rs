//! How an input is changed: bits, bytes, runs, pieces of other inputs, words of the protocols, and
//! heads of the encoding.
//!
//! Decides by a seed alone, so that every input of a run can be made again.

/// Words that parsers look for.
const WORDS: &[&[u8]] = &[
    b"parsec-log",
    b"parsec-fork",
    b"parsec-receipt",
    b"parsec-enrol",
    b"acme",
    b"/join/",
    b"parsec://",
    b"https://",
    b"#",
    b"{\"jsonrpc\":\"2.0\"",
    b"\"method\":\"status.show\"",
    b"\"params\":{",
    b"rpc.hello",
    b"\n",
    b"\r\n\r\n",
    b"GET / HTTP/1.1",
    b"POST ",
    b"content-length: ",
    b"18446744073709551615",
    b"-1",
    b"1e999",
    b"\\ud800",
    b"[[[[[[[[",
    b"--json",
    b"--device",
    b"\0",
    b"age-encryption.org/v1\n-> scrypt ",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x5b\x00\x00\x00\x01",
];

/// Largest input: beyond it nearly every parser refuses by size alone, which has tests of its own.
pub const INPUT_MAX: usize = 16 * 1024;

/// Numbers of a seed (xorshift64*). Not random enough for anything but this.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// One below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap_or(0)
    }
}

/// An input made out of those that there are.
#[must_use]
pub fn mutated(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = corpus.get(dice.below(corpus.len())).cloned().unwrap_or_default();
    for _ in 0..=dice.below(4) {
        change(dice, &mut input, corpus);
    }
    input.truncate(INPUT_MAX);
    input
}

fn change(dice: &mut Dice, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let at = dice.below(input.len() + 1);
    let end = at + dice.below(input.len() + 1 - at).min(64);
    match dice.below(10) {
        0 | 1 if !input.is_empty() => {
            let at = dice.below(input.len());
            input[at] ^= 1 << dice.below(8);
        }
        2 if !input.is_empty() => {
            let at = dice.below(input.len());
            input[at] = [0, 1, 0x17, 0x18, 0x7f, 0x80, 0xff, b'"', b'\n'][dice.below(9)];
        }
        3 => drop(input.drain(at..end)),
        4 => {
            let piece = input[at..end].to_vec();
            input.splice(at..at, piece);
        }
        5 => {
            let word = WORDS[dice.below(WORDS.len())];
            input.splice(at..at, word.iter().copied());
        }
        6 => {
            // The beginning of one and the end of another.
            let other = &corpus[dice.below(corpus.len())];
            let from = dice.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        7 => input.truncate(at),
        // A head of the encoding with another type, length or spelling.
        8 if !input.is_empty() => {
            let at = dice.below(input.len());
            let (major, short) =
                (u8::try_from(dice.below(8)).unwrap_or(0), u8::try_from(dice.below(32)).unwrap_or(0));
            input[at] =
                if dice.below(2) == 0 { input[at] & 0xe0 | short } else { major << 5 | input[at] & 0x1f };
        }
        _ => {
            let many = dice.below(40);
            let byte = u8::try_from(dice.below(256)).unwrap_or(0);
            input.splice(at..at, std::iter::repeat_n(byte, many));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_inputs_and_other_seeds_others() {
        let corpus = vec![b"one input".to_vec(), vec![0x82, 1, 2], Vec::new()];
        let made = |seed| {
            (0..50)
                .map(|_| 0)
                .scan(Dice::new(seed), |dice, _: i32| Some(mutated(dice, &corpus)))
                .collect::<Vec<_>>()
        };
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
    }
}
