//! The one encoding: a subset of CBOR (RFC 8949) in which every value has exactly one spelling.
//!
//! Decides: unsigned integers, byte strings, text, booleans, null and arrays, all of definite
//! length and in shortest form (docs/protocol.md, *Encoding*). Refuses, before any value is built:
//! input over the caller's limit, nesting over [`CODEC_MAX_DEPTH`], lengths beyond the input, every
//! other CBOR type, trailing bytes; and after: anything that would not be encoded to the same bytes
//! again, which covers unknown extra fields.

use std::convert::Infallible;

use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use crate::limits::CODEC_MAX_DEPTH;

/// Why bytes are not a value. The peer's fault, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// More bytes than this kind of value may have.
    #[error("{length} bytes where at most {max} are allowed")]
    TooLong {
        /// Length of the input, in bytes.
        length: usize,
        /// Most bytes that are allowed.
        max: usize,
    },
    /// Arrays nested deeper than [`CODEC_MAX_DEPTH`].
    #[error("nested deeper than {CODEC_MAX_DEPTH}")]
    TooDeep,
    /// Ends in the middle of a value, or promises more than it has.
    #[error("truncated")]
    Truncated,
    /// Bytes after the value.
    #[error("bytes after the value")]
    Trailing,
    /// Well-formed CBOR, but not the one spelling this protocol has for it.
    #[error("not in canonical form")]
    NotCanonical,
    /// Canonical, but not the value expected here.
    #[error("not the expected value")]
    Unexpected,
}

/// The canonical bytes of `value`.
///
/// # Panics
/// Never: a `Vec` takes every write, and no `Encode` of this crate fails by itself.
#[must_use]
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    // The error type of writing to a Vec is uninhabited, and our encoders return no custom error;
    // if a future one did, the empty output would be refused by every decoder rather than
    // half-written.
    if minicbor::encode(value, &mut out).is_err() {
        out.clear();
    }
    out
}

/// Counts what is written to it.
struct Counter(usize);

impl minicbor::encode::Write for Counter {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(())
    }
}

/// The canonical bytes of a `value` in which there are secrets: wiped when they are dropped, and
/// written into room that is there from the start. A `Vec` that grows leaves copies behind.
#[must_use]
pub fn encode_secret<T: Encode<()>>(value: &T) -> Zeroizing<Vec<u8>> {
    let mut counter = Counter(0);
    let mut out = Zeroizing::new(Vec::new());
    // As in `encode`: neither can fail.
    if minicbor::encode(value, &mut counter).is_err() {
        return out;
    }
    out.reserve_exact(counter.0);
    let bytes: &mut Vec<u8> = &mut out;
    if minicbor::encode(value, bytes).is_err() {
        out.clear();
    }
    out
}

/// Reads the one value `bytes` are.
///
/// ```
/// use minicbor::{Decode, Encode};
/// use parsec_protocol::codec::{CodecError, decode, encode};
///
/// #[derive(Debug, PartialEq, Encode, Decode)]
/// struct Entry {
///     #[n(0)]
///     number: u64,
///     #[n(1)]
///     text: String,
/// }
///
/// let bytes = encode(&Entry { number: 500, text: "é".into() });
/// assert_eq!(bytes, [0x82, 0x19, 0x01, 0xf4, 0x62, 0xc3, 0xa9]);
/// assert_eq!(decode(&bytes, 100), Ok(Entry { number: 500, text: "é".into() }));
///
/// // The same number in four bytes would be a second spelling.
/// let longer = [0x82, 0x1a, 0, 0, 0x01, 0xf4, 0x62, 0xc3, 0xa9];
/// assert_eq!(decode::<Entry>(&longer, 100), Err(CodecError::NotCanonical));
/// // More bytes than the caller allows are not looked at.
/// assert_eq!(decode::<Entry>(&bytes, 6), Err(CodecError::TooLong { length: 7, max: 6 }));
/// ```
///
/// # Errors
/// [`CodecError`]; nothing is allocated beyond a small multiple of `bytes`, and nothing at all if
/// they exceed `max`.
pub fn decode<T>(bytes: &[u8], max: usize) -> Result<T, CodecError>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    if bytes.len() > max {
        return Err(CodecError::TooLong { length: bytes.len(), max });
    }
    check_form(bytes)?;
    let value: T = minicbor::decode(bytes).map_err(|_| CodecError::Unexpected)?;
    // minicbor passes over extra array elements and absent optional ones; this does not. Secrets
    // decode through here too: what is written again is compared and not kept.
    let mut rest = Same(bytes);
    let written = minicbor::encode(&value, &mut rest);
    if written.is_ok() && rest.0.is_empty() { Ok(value) } else { Err(CodecError::NotCanonical) }
}

/// The bytes that are still to be written, for a value that is to be written as it was read.
struct Same<'a>(&'a [u8]);

/// What is written is something else.
#[derive(Debug)]
struct Differs;

impl minicbor::encode::Write for Same<'_> {
    type Error = Differs;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Differs> {
        self.0 = self.0.strip_prefix(bytes).ok_or(Differs)?;
        Ok(())
    }
}

/// A sorted map, as the array of its pairs: for fields `#[cbor(with = "codec::pairs")]`. Pairs in
/// another order, or of one key twice, are no encoding of any map, so [`decode`] refuses them.
pub(crate) mod pairs {
    use std::collections::BTreeMap;

    use minicbor::decode::{self, Decoder};
    use minicbor::encode::{self, Encoder, Write};
    use minicbor::{Decode, Encode};

    /// Writes the pairs in ascending order.
    pub(crate) fn encode<C, K: Encode<C>, V: Encode<C>, W: Write>(
        map: &BTreeMap<K, V>,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.array(map.len() as u64)?;
        map.iter().try_for_each(|pair| pair.encode(e, ctx))
    }

    /// Reads pairs.
    pub(crate) fn decode<'b, C, K: Decode<'b, C> + Ord, V: Decode<'b, C>>(
        d: &mut Decoder<'b>,
        ctx: &mut C,
    ) -> Result<BTreeMap<K, V>, decode::Error> {
        let length = d.array()?.unwrap_or_default();
        (0..length).map(|_| Decode::decode(d, ctx)).collect()
    }
}

/// The number that an array begins with, whatever follows it: what a later version of a record has
/// in common with this one.
pub(crate) fn first_number(bytes: &[u8]) -> Option<u64> {
    let (&initial, rest) = bytes.split_first()?;
    let (count, rest) = read_argument(initial & 0x1f, rest).ok()?;
    let (&first, rest) = rest.split_first()?;
    if initial >> 5 != 4 || count == 0 || first >> 5 != 0 {
        return None;
    }
    read_argument(first & 0x1f, rest).ok().map(|(number, _)| number)
}

/// Whether bytes are the beginning of a value whose end is missing.
pub(crate) fn is_cut_off(bytes: &[u8]) -> bool {
    check_form(bytes) == Err(CodecError::Truncated)
}

/// Walks over one value without building it.
fn check_form(bytes: &[u8]) -> Result<(), CodecError> {
    let mut rest = bytes;
    // How many elements each open array still lacks, and how many are open.
    let (mut open, mut depth) = ([0_u64; CODEC_MAX_DEPTH], 0_usize);
    loop {
        let (&initial, after) = rest.split_first().ok_or(CodecError::Truncated)?;
        let (argument, after) = read_argument(initial & 0x1f, after)?;
        rest = after;
        match initial >> 5 {
            0 => {}
            major @ (2 | 3) => {
                let length = usize::try_from(argument).map_err(|_| CodecError::Truncated)?;
                if rest.len() < length {
                    return Err(CodecError::Truncated);
                }
                let (content, after) = rest.split_at(length);
                if major == 3 && std::str::from_utf8(content).is_err() {
                    return Err(CodecError::NotCanonical);
                }
                rest = after;
            }
            4 => {
                // Each element takes a byte at least: a larger promise can't be kept.
                if argument > rest.len() as u64 {
                    return Err(CodecError::Truncated);
                }
                // An empty one is an array too.
                let lacks = open.get_mut(depth).ok_or(CodecError::TooDeep)?;
                if argument > 0 {
                    *lacks = argument;
                    depth += 1;
                    continue;
                }
            }
            // false, true, null: the initial byte alone. Everything else of major 7 is a float or
            // unassigned.
            7 if matches!(initial, 0xf4..=0xf6) => {}
            _ => return Err(CodecError::NotCanonical),
        }
        // A value ended; with it every array for which it was the last element.
        loop {
            match depth.checked_sub(1).and_then(|last| open.get_mut(last)) {
                None => return if rest.is_empty() { Ok(()) } else { Err(CodecError::Trailing) },
                Some(1) => depth -= 1,
                Some(left) => {
                    *left -= 1;
                    break;
                }
            }
        }
    }
}

/// Reads the argument of a head in its shortest form (RFC 8949 section 4.2.1).
fn read_argument(short: u8, rest: &[u8]) -> Result<(u64, &[u8]), CodecError> {
    let width = match short {
        0..=23 => return Ok((u64::from(short), rest)),
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        // 28 to 30 are reserved, 31 is indefinite length.
        _ => return Err(CodecError::NotCanonical),
    };
    if rest.len() < width {
        return Err(CodecError::Truncated);
    }
    let (bytes, rest) = rest.split_at(width);
    let value = bytes.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    let shortest_above = match width {
        1 => 23,
        2 => u64::from(u8::MAX),
        4 => u64::from(u16::MAX),
        _ => u64::from(u32::MAX),
    };
    if value > shortest_above { Ok((value, rest)) } else { Err(CodecError::NotCanonical) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Encode, Decode)]
    struct Pair {
        #[n(0)]
        number: u64,
        #[n(1)]
        text: String,
    }

    fn pair() -> Pair {
        Pair { number: 500, text: "é".into() }
    }

    #[test]
    fn every_value_has_one_spelling() {
        let bytes = encode(&pair());
        assert_eq!(bytes, [0x82, 0x19, 0x01, 0xf4, 0x62, 0xc3, 0xa9]);
        assert_eq!(decode::<Pair>(&bytes, 100), Ok(pair()));
    }

    #[test]
    fn a_secret_is_encoded_alike_and_its_room_never_grows() {
        let (secret, bytes) = (encode_secret(&pair()), encode(&pair()));
        assert_eq!(*secret, bytes);
        assert_eq!(secret.capacity(), bytes.len());
    }

    #[test]
    fn other_spellings_are_refused() {
        let cases: &[(&[u8], CodecError)] = &[
            (&[0x82, 0x1a, 0, 0, 1, 0xf4, 0x62, 0xc3, 0xa9], CodecError::NotCanonical), // long integer
            (&[0x9f, 0x19, 1, 0xf4, 0x62, 0xc3, 0xa9, 0xff], CodecError::NotCanonical), // indefinite array
            (&[0x82, 0x19, 1, 0xf4, 0x7f, 0x62, 0xc3, 0xa9, 0xff], CodecError::NotCanonical), // indefinite text
            (&[0xc1, 0x82, 0x19, 1, 0xf4, 0x62, 0xc3, 0xa9], CodecError::NotCanonical),       // tag
            (&[0x82, 0x19, 1, 0xf4, 0x62, 0xff, 0xff], CodecError::NotCanonical),             // not UTF-8
            (&[0x82, 0x19, 1, 0xf4, 0x62, 0xc3, 0xa9, 0x00], CodecError::Trailing),
            (&[0x83, 0x19, 1, 0xf4, 0x62, 0xc3, 0xa9, 0x00], CodecError::NotCanonical), // extra field
            (&[0x82, 0x19, 1, 0xf4, 0x62, 0xc3], CodecError::Truncated),
            (&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], CodecError::Truncated), // huge promise
            (&[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], CodecError::Truncated),
            (&[0xa0], CodecError::NotCanonical),
            (&[0x20], CodecError::NotCanonical),
            (&[0xfb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0], CodecError::NotCanonical), // NaN
            (&[0xf7], CodecError::NotCanonical),
            (&[], CodecError::Truncated),
            (&[0x80], CodecError::Unexpected),
        ];
        for (bytes, error) in cases {
            assert_eq!(decode::<Pair>(bytes, 100), Err(*error), "{bytes:02x?}");
        }
    }

    #[test]
    fn depth_and_length_stop_before_decoding() {
        let mut deep = vec![0x81; 100_000];
        deep.push(0);
        let nested = |arrays: usize| [vec![0x81; arrays - 1], vec![0x80]].concat();
        assert_eq!(check_form(&nested(CODEC_MAX_DEPTH)), Ok(()));
        assert_eq!(check_form(&nested(CODEC_MAX_DEPTH + 1)), Err(CodecError::TooDeep), "an empty one counts");
        assert_eq!(decode::<Pair>(&deep, 1 << 20), Err(CodecError::TooDeep));
        assert_eq!(decode::<Pair>(&encode(&pair()), 6), Err(CodecError::TooLong { length: 7, max: 6 }));
    }

    proptest::proptest! {
        #[test]
        fn what_is_accepted_encodes_to_the_same_bytes(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..40)) {
            if let Ok(value) = decode::<Pair>(&bytes, 100) {
                proptest::prop_assert_eq!(encode(&value), bytes);
            }
        }
    }
}
