//! The invitation link (docs/protocol.md, *The link*).
//!
//! Decides which text is a link and where it leads. Refuses every other spelling: no user name, no
//! query, no host that a browser would read as another one, no plain http beyond this machine, no
//! byte before or after. What people paste is put right before it gets here, by `paste`.

use std::fmt::Write as _;
use std::str::FromStr;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use crate::address::{AddressError, ServerAddress};
use crate::codec::{self, CodecError};
use crate::ids::{OrganisationId, Token};
use crate::keys::LinkSecret;

/// Longest link: what every mail program and device passes on whole.
pub const LINK_MAX_CHARACTERS: usize = 2_048;
/// Most addresses for the transport without a server: two networks, two protocols, both families.
pub const HINTS_MAX: usize = 8;
/// Longest of them: a libp2p address with a peer id.
pub const HINT_MAX_BYTES: usize = 128;
/// The version of the payload made and read here.
const VERSION: u8 = 1;

/// What the link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum LinkKind {
    /// Invites a person who is no member.
    #[n(0)]
    User,
    /// Invites a further device of a member.
    #[n(1)]
    Device,
    /// Brings a share of a recovery kit to whoever lost all devices.
    #[n(2)]
    Share,
}

/// An invitation link, checked.
#[derive(Debug)]
pub struct Link {
    /// Address of the metadata server.
    pub server: ServerAddress,
    /// The organisation that is joined.
    pub organisation: OrganisationId,
    /// Whether a person, a device or a share is invited.
    pub kind: LinkKind,
    /// Admits to the relay.
    pub token: Token,
    /// Secret that keys the ceremony's channel.
    pub secret: LinkSecret,
    /// Addresses for the transport without a server.
    pub hints: Vec<String>,
}

/// Why a text is not a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Not of the form.
    #[error("this is not a whole invitation link")]
    Malformed,
    /// The payload ends in the middle of it.
    #[error("the link is cut off: its end is missing")]
    CutOff,
    /// From a later version.
    #[error("the link was made by a newer version")]
    TooNew,
    /// `http://` and not this machine.
    #[error("the link leads to a server without encryption")]
    PlainHttp,
}

/// What the fragment carries.
#[derive(Encode, Decode)]
struct Payload {
    #[n(0)]
    version: u8,
    #[n(1)]
    kind: LinkKind,
    #[n(2)]
    token: Token,
    #[n(3)]
    secret: LinkSecret,
    #[n(4)]
    hints: Vec<String>,
}

/// The same, borrowed from a link.
#[derive(Encode)]
struct PayloadOf<'a> {
    #[n(0)]
    version: u8,
    #[n(1)]
    kind: LinkKind,
    #[n(2)]
    token: &'a Token,
    #[n(3)]
    secret: &'a LinkSecret,
    #[n(4)]
    hints: &'a [String],
}

impl Link {
    /// The `https://` (or loopback `http://`) form.
    #[must_use]
    pub fn to_url(&self) -> Zeroizing<String> {
        self.write(self.server.as_str(), "/join/")
    }

    /// The `parsec://` form; none for a server on plain http.
    #[must_use]
    pub fn to_alias(&self) -> Option<Zeroizing<String>> {
        let authority = self.server.is_https().then(|| self.server.authority())?;
        Some(self.write(&format!("parsec://{authority}"), "/"))
    }

    /// Whether the server is on this very machine.
    #[must_use]
    pub fn leads_to_this_machine(&self) -> bool {
        self.server.is_this_machine()
    }

    fn write(&self, base: &str, path: &str) -> Zeroizing<String> {
        let Self { organisation, kind, token, secret, hints, .. } = self;
        let payload =
            Zeroizing::new(codec::encode(&PayloadOf { version: VERSION, kind: *kind, token, secret, hints }));
        let payload = Zeroizing::new(Base64UrlUnpadded::encode_string(&payload));
        // Room for all of it at once: a string that grows leaves copies of the secret behind.
        let length = base.len() + path.len() + organisation.as_str().len() + 1 + payload.len();
        let mut text = Zeroizing::new(String::with_capacity(length));
        // Writing to a string does not fail.
        let _ = write!(text, "{base}{path}{organisation}#{}", payload.as_str());
        text
    }
}

impl FromStr for Link {
    type Err = LinkError;
    fn from_str(text: &str) -> Result<Self, LinkError> {
        let text = text.trim();
        if text.len() > LINK_MAX_CHARACTERS {
            return Err(LinkError::Malformed);
        }
        let (before, payload) = text.split_once('#').ok_or(LinkError::Malformed)?;
        let payload = read_payload(payload)?;
        let (scheme, rest) = before.split_once("://").ok_or(LinkError::Malformed)?;
        let (authority, path) = rest.split_once('/').ok_or(LinkError::Malformed)?;
        let (scheme, organisation) = match scheme {
            "https" | "http" => (scheme, path.strip_prefix("join/")),
            "parsec" => ("https", Some(path)),
            _ => return Err(LinkError::Malformed),
        };
        let server =
            ServerAddress::canonical(&format!("{scheme}://{authority}")).map_err(|why| match why {
                AddressError::PlainHttp => LinkError::PlainHttp,
                AddressError::NotAUrl
                | AddressError::Scheme
                | AddressError::User
                | AddressError::Trailing
                | AddressError::Host
                | AddressError::Port => LinkError::Malformed,
            })?;
        let organisation = organisation.and_then(|name| name.parse().ok()).ok_or(LinkError::Malformed)?;
        let Payload { version: _, kind, token, secret, hints } = payload;
        Ok(Self { server, organisation, kind, token, secret, hints })
    }
}

/// Reads the fragment.
fn read_payload(text: &str) -> Result<Payload, LinkError> {
    // Constant-time in the content: the secret passes through here.
    let bytes = Zeroizing::new(Base64UrlUnpadded::decode_vec(text).map_err(|_| unreadable(text))?);
    // The version comes first in every version; what follows it may be anything in a later one.
    if codec::first_number(&bytes).is_some_and(|version| version > u64::from(VERSION)) {
        return Err(LinkError::TooNew);
    }
    let payload: Payload = codec::decode(&bytes, LINK_MAX_CHARACTERS).map_err(|error| match error {
        CodecError::Truncated => LinkError::CutOff,
        CodecError::TooLong { .. }
        | CodecError::TooDeep
        | CodecError::Trailing
        | CodecError::NotCanonical
        | CodecError::Unexpected => LinkError::Malformed,
    })?;
    let hints_fit =
        payload.hints.len() <= HINTS_MAX && payload.hints.iter().all(|hint| hint.len() <= HINT_MAX_BYTES);
    if payload.version == VERSION && hints_fit { Ok(payload) } else { Err(LinkError::Malformed) }
}

/// What is wrong with a text that is no base64: where its whole groups of four begin a payload that
/// goes on, its end is missing.
fn unreadable(text: &str) -> LinkError {
    let whole = text.get(..text.len() / 4 * 4).unwrap_or_default();
    let of_alphabet = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    match Base64UrlUnpadded::decode_vec(whole).map(Zeroizing::new) {
        Ok(bytes) if of_alphabet && whole.len() < text.len() && codec::is_cut_off(&bytes) => {
            LinkError::CutOff
        }
        Ok(_) | Err(_) => LinkError::Malformed,
    }
}
