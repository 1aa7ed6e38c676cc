//! Identifiers and short texts that travel: who, what, when.
//!
//! Decides what a well-formed identifier is, once, where it enters. Refuses everything that could
//! be mistaken for another identifier, break a path, or reorder a line on a device. Holds no
//! secret, except that [`Token`] admits to an invitation's relay and so has a silent `Debug`.

use std::fmt;
use std::str::FromStr;

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::limits::{
    EMAIL_LOCAL_MAX_BYTES, EMAIL_MAX_BYTES, HOST_LABEL_MAX_BYTES, ORGANISATION_ID_MAX_BYTES,
};

mod joiners;
mod name;

pub use joiners::{INVISIBLE, belongs, is_invisible};
pub use name::{NameError, NameFault};

/// Why a text is not the identifier it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not exactly 32 hexadecimal digits.
    #[error("expected {expected} lower-case hexadecimal digits")]
    NotHex {
        /// Number of digits expected.
        expected: usize,
    },
    /// Not 1 to 32 of `a-z 0-9 -`, starting with a letter or digit.
    #[error(
        "an organisation id is 1 to {ORGANISATION_ID_MAX_BYTES} characters of a-z, 0-9 and -, not starting with -"
    )]
    Organisation,
    /// Not `local@domain` in printable ASCII, at most 254 bytes.
    #[error(
        "not an e-mail address this version accepts: local@domain in ASCII without quotes, at most {EMAIL_MAX_BYTES} characters, at most \
         {EMAIL_LOCAL_MAX_BYTES} of them before the @, single dots and none at the ends"
    )]
    Email,
    /// The name is not allowed.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Writes `bytes` as lower-case hexadecimal digits.
fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Reads exactly `2 * N` lower-case hexadecimal digits.
pub(crate) fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], IdError> {
    let refuse = IdError::NotHex { expected: 2 * N };
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return Err(refuse);
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    for (slot, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return Err(refuse) };
        *slot = match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => high << 4 | low,
            _ => return Err(refuse),
        };
    }
    Ok(out)
}

/// Defines a fixed-length byte value: CBOR byte string of exactly that length, hexadecimal in text
/// and JSON.
macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $length]);

        impl $name {
            /// Length of the id, in bytes.
            pub const LENGTH: usize = $length;

            /// Takes the bytes as they are.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// The id as its bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $crate::ids::write_hex_of(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = $crate::ids::IdError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::ids::parse_hex(text).map(Self)
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
                d.bytes()?
                    .try_into()
                    .map(Self)
                    .map_err(|_| decode::Error::message(concat!("wrong length of ", stringify!($name))))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use fixed_bytes;

/// For [`fixed_bytes`] users in other modules.
pub(crate) fn write_hex_of(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_hex(bytes, f)
}

/// `Debug` like `Display`, inside the type's name, for values that may be shown.
macro_rules! debug_as_hex {
    ($($name:ident),+ $(,)?) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    )+};
}
pub(crate) use debug_as_hex;

fixed_bytes! {
    /// A person. 16 random bytes; never a key, so that one can't be read as the other (protocol.md,
    /// *Identifiers*).
    UserId, 16
}
fixed_bytes! {
    /// One device of a person. 16 random bytes.
    DeviceId, 16
}
fixed_bytes! {
    /// Names an invitation to the server: 16 random bytes, so it can't be guessed.
    Token, 16
}
fixed_bytes! {
    /// Names one run of the ceremony. 16 random bytes drawn by the claimer.
    AttemptId, 16
}
fixed_bytes! {
    /// A safe, and its root folder. 16 random bytes.
    SafeId, 16
}
fixed_bytes! {
    /// A file, folder or symlink in a safe, whatever it is called and wherever it is. 16 random
    /// bytes.
    EntryId, 16
}
fixed_bytes! {
    /// Sealed bytes on the server. 16 random bytes, drawn in the call that seals.
    ObjectId, 16
}
fixed_bytes! {
    /// One act of a person in a safe, for ever. 16 random bytes, or derived from another one.
    OperationId, 16
}
debug_as_hex!(UserId, DeviceId, AttemptId, SafeId, EntryId, ObjectId, OperationId);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Microseconds since 1970-01-01T00:00:00 UTC.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[cbor(transparent)]
#[serde(transparent)]
pub struct Timestamp(#[n(0)] pub u64);

impl Timestamp {
    /// Microseconds in a second.
    pub const SECOND: u64 = 1_000_000;

    /// The moment `seconds` later, staying at the end of time if there is none.
    #[must_use]
    pub const fn plus_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(Self::SECOND)))
    }
}

/// Defines a checked text: parsed where it enters, the same everywhere after.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text, as it was checked.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let check: fn(&str) -> Result<String, IdError> = $check;
                check(text).map(Self)
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
                e.str(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
                let text = d.str()?;
                let parsed: Self = text.parse().map_err(|_| decode::Error::message(concat!("not a ", stringify!($name))))?;
                // The wire carries the normal form; another spelling would be a second encoding of
                // one value.
                if parsed.0 == text { Ok(parsed) } else { Err(decode::Error::message("not in normal form")) }
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

checked_text! {
    /// An organisation's name on its server: 1 to 32 of `a-z 0-9 -`, not starting with `-`. Safe in
    /// a URL and a path.
    OrganisationId, |text| {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = (1..=ORGANISATION_ID_MAX_BYTES).contains(&text.len());
        if fits && text.bytes().all(allowed) && !text.starts_with('-') {
            Ok(text.to_owned())
        } else {
            Err(IdError::Organisation)
        }
    }
}

checked_text! {
    /// An e-mail address, ASCII, lower-cased: the form in which the invited and the certified one
    /// are compared.
    Email, |text| {
        if text.len() > EMAIL_MAX_BYTES {
            return Err(IdError::Email);
        }
        let text = text.to_ascii_lowercase();
        match text.split_once('@') {
            Some((local, domain)) if is_local(local) && domain.split('.').all(is_domain_part) => Ok(text),
            Some(_) | None => Err(IdError::Email),
        }
    }
}

/// RFC 5322's dot-atom: what every mail program takes without quotes. A comma or a bracket would
/// name a second recipient to some.
fn is_local(local: &str) -> bool {
    let atom = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    local.len() <= EMAIL_LOCAL_MAX_BYTES
        && local.split('.').all(|part| !part.is_empty() && part.bytes().all(atom))
}

fn is_domain_part(part: &str) -> bool {
    (1..=HOST_LABEL_MAX_BYTES).contains(&part.len())
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !part.starts_with('-')
        && !part.ends_with('-')
}

checked_text! {
    /// What a person calls themself or a device, in Unicode's form C (docs/protocol.md, *Names*).
    Label, |text| name::read(text).map_err(IdError::Name)
}

/// Whom an invitation is for.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Invited {
    /// A person who is no member, by address.
    #[n(0)]
    User(#[n(0)] Email),
    /// A new device of this person.
    #[n(1)]
    Device(#[n(0)] UserId),
    /// A share of this person's recovery kit, for whoever puts it together again.
    #[n(2)]
    Share(#[n(0)] UserId, #[n(1)] DeviceId),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn organisation_ids_stay_safe_in_paths_and_urls() {
        for good in ["a", "acme", "acme-2", "0", &"x".repeat(32)] {
            assert!(good.parse::<OrganisationId>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a/b", "..", "a b", "ä", &"x".repeat(33), "a\n", "a#b"] {
            assert!(bad.parse::<OrganisationId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn emails_have_one_form() {
        for good in ["!#$%&'*+-/=?^_`{|}~@x", "a.b+c@mail.x-y.org", &format!("{}@x.org", "a".repeat(64))] {
            assert_eq!(good.parse::<Email>().map(|e| e.to_string()), Ok(good.to_owned()));
        }
        assert_eq!(
            "Bob@Example.ORG".parse::<Email>().map(|e| e.to_string()),
            Ok("bob@example.org".to_owned())
        );
        for bad in [
            "",
            "bob",
            "@x",
            "bob@",
            "a@b@c",
            "a b@c",
            "a\n@c",
            "<a@b>",
            "a@b..c",
            "a@-b",
            "é@b",
            "a@b\r\nBcc: x@y",
            "a,b@x.org",
            "a;b@x.org",
            "a:b@x.org",
            "\"a b\"@x.org",
            "a(b)@x.org",
            ".a@x.org",
            "a.@x.org",
            "a..b@x.org",
            "a@x.org.",
            "a@x-.org",
            "a@x_y.org",
            "a@[192.0.2.1]",
            &format!("{}@x.org", "a".repeat(65)),
            &format!("a@{}.org", "x".repeat(64)),
        ] {
            assert!(bad.parse::<Email>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_token_is_not_printed_by_debug() {
        assert_eq!(format!("{:?}", Token::from_bytes([7; 16])), "Token(..)");
    }

    #[test]
    fn upper_case_on_the_wire_is_a_second_encoding() {
        let bytes = minicbor::to_vec("Bob@example.org").unwrap();
        assert!(minicbor::decode::<Email>(&bytes).is_err());
    }
}
