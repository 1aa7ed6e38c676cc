//! Names of entries, and what a symlink points to: bytes, as the file systems have them.
//!
//! Decides which bytes are a name. Refuses what a file system could take for something else: a
//! slash, a zero byte, `.` and `..`. Normalises nothing: two spellings are two names.

use std::fmt;
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

/// A name in a folder: 1 to 255 bytes. Cheap to clone, because trees share it with their index.
///
/// Behind a pointer, short ones too: one that stood in line would leave copies of itself on the
/// stack wherever it is moved, and after locking nobody wipes those, as the allocator does here.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName(Arc<[u8]>);

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
        Ok(Self(bytes.into()))
    }

    /// The name as its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
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
                e.bytes(&self.0)?.ok()
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
    fn no_name_is_printed_by_debug() {
        assert_eq!(format!("{:?}", EntryName::new(b"salaries").unwrap()), "EntryName(..)");
    }
}
