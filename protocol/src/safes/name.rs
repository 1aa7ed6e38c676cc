//! Names of entries, and what a symlink points to: bytes, as the file systems have them.
//!
//! Decides which bytes are a name. Refuses what a file system could take for something else: a
//! slash, a zero byte, `.` and `..`. Normalises nothing: two spellings are two names.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};

/// Longest name of an entry, in bytes: what file systems of today take (NAME_MAX).
pub const ENTRY_NAME_MAX_BYTES: usize = 255;
/// Longest target of a symlink, in bytes: PATH_MAX less its zero byte.
pub const LINK_TARGET_MAX_BYTES: usize = 4_095;

/// The bytes can't be the name of an entry, or the target of a symlink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// No byte at all, or more than allowed.
    #[error("1 to {max} bytes are allowed")]
    Length {
        /// Most bytes that are allowed.
        max: usize,
    },
    /// It has a slash or a zero byte.
    #[error("it has a slash or a zero byte")]
    Byte,
    /// It is `.` or `..`, which every system takes for a folder itself or the one above.
    #[error("it is . or ..")]
    Dots,
}

/// Longest name that stands in its entry itself, in bytes: with its length, the room of the pointer
/// and length of a longer one, and of what the allocator adds to that.
const SHORT_MAX_BYTES: usize = 22;

/// A name in a folder: 1 to 255 bytes. Cheap to clone; most take no memory of their own.
#[derive(Clone)]
pub struct EntryName(Held);

#[derive(Clone)]
enum Held {
    Short { length: u8, bytes: [u8; SHORT_MAX_BYTES] },
    Long(Arc<[u8]>),
}

impl PartialEq for EntryName {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for EntryName {}

impl PartialOrd for EntryName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for EntryName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for EntryName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl EntryName {
    /// Takes bytes as a name.
    ///
    /// # Errors
    /// [`BadName`] says what is wrong with them.
    pub fn new(bytes: &[u8]) -> Result<Self, BadName> {
        if bytes.is_empty() || bytes.len() > ENTRY_NAME_MAX_BYTES {
            return Err(BadName::Length { max: ENTRY_NAME_MAX_BYTES });
        }
        if bytes.iter().any(|byte| matches!(byte, b'/' | 0)) {
            return Err(BadName::Byte);
        }
        if matches!(bytes, b"." | b"..") {
            return Err(BadName::Dots);
        }
        let mut short = [0; SHORT_MAX_BYTES];
        Ok(Self(match (short.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(room), Ok(length)) => {
                room.copy_from_slice(bytes);
                Held::Short { length, bytes: short }
            }
            _ => Held::Long(bytes.into()),
        }))
    }

    /// The name as its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Held::Short { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or(bytes),
            Held::Long(bytes) => bytes,
        }
    }
}

/// What a symlink points to: 1 to 4,095 bytes. Nobody here follows it.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkTarget(Arc<[u8]>);

impl LinkTarget {
    /// Takes bytes as a target.
    ///
    /// # Errors
    /// [`BadName`] says what is wrong with them.
    pub fn new(bytes: &[u8]) -> Result<Self, BadName> {
        if bytes.is_empty() || bytes.len() > LINK_TARGET_MAX_BYTES {
            return Err(BadName::Length { max: LINK_TARGET_MAX_BYTES });
        }
        if bytes.contains(&0) { Err(BadName::Byte) } else { Ok(Self(bytes.into())) }
    }

    /// The target as its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Encodes, decodes and hides both kinds of bytes in the same way.
macro_rules! checked_bytes {
    ($name:ident) => {
        // What files are called is as secret as what is in them: no log line gets it by accident.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
                e.bytes(self.as_bytes())?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
                Self::new(d.bytes()?)
                    .map_err(|_| decode::Error::message(concat!("not a ", stringify!($name))))
            }
        }
    };
}
checked_bytes!(EntryName);
checked_bytes!(LinkTarget);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_a_file_system_takes_for_one() {
        for good in [b"a".as_slice(), b"...", b".a", b" ", b"\xff\xfe", &[b'x'; 255]] {
            assert_eq!(EntryName::new(good).map(|name| name.as_bytes().to_vec()), Ok(good.to_vec()));
        }
        let length = BadName::Length { max: 255 };
        for (bad, why) in [
            (b"".as_slice(), length),
            (&[b'x'; 256], length),
            (b"a/b", BadName::Byte),
            (b"/", BadName::Byte),
            (b"a\0", BadName::Byte),
            (b".", BadName::Dots),
            (b"..", BadName::Dots),
        ] {
            assert_eq!(EntryName::new(bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn a_bad_name_is_refused_where_it_is_decoded() {
        let bytes = |raw: &[u8]| minicbor::to_vec(minicbor::bytes::ByteVec::from(raw.to_vec())).unwrap();
        assert!(minicbor::decode::<EntryName>(&bytes(b"a")).is_ok());
        assert!(minicbor::decode::<EntryName>(&bytes(b"..")).is_err());
        assert!(minicbor::decode::<LinkTarget>(&bytes(b"../..")).is_ok());
        assert!(minicbor::decode::<LinkTarget>(&bytes(b"a\0")).is_err());
    }

    #[test]
    fn names_of_every_length_are_compared_by_their_bytes() {
        let name = |length: usize, last: u8| {
            let mut bytes = vec![b'x'; length];
            bytes[length - 1] = last;
            (EntryName::new(&bytes).unwrap(), bytes)
        };
        let all: Vec<_> = (1..=255).flat_map(|length| [name(length, b'a'), name(length, b'z')]).collect();
        for (one, bytes) in &all {
            assert_eq!(one.as_bytes(), bytes);
            for (other, others) in &all {
                assert_eq!((one == other, one.cmp(other)), (bytes == others, bytes.cmp(others)));
            }
        }
        assert!(size_of::<EntryName>() <= 24);
    }

    #[test]
    fn no_name_is_printed_by_debug() {
        assert_eq!(format!("{:?}", EntryName::new(b"salaries").unwrap()), "EntryName(..)");
    }
}
