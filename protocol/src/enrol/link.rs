//! The invitation link (docs/protocol.md, *The link*).
//!
//! Decides which text is a link and where it leads. Refuses every other spelling: no user name, no query, no host that a
//! browser would read as another one, no plain http beyond this machine, no byte before or after. Read by hand and not by a
//! URL library, because such a library's business is to repair what is refused here.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use crate::codec;
use crate::ids::{OrganisationId, Token};
use crate::keys::LinkSecret;

/// Longest link: what every mail program and terminal passes on whole.
pub const LINK_MAX_CHARACTERS: usize = 2_048;
/// Most addresses for the road without a server: two networks, two protocols, both families.
pub const HINTS_MAX: usize = 8;
/// Longest of them: a libp2p address with a peer id.
pub const HINT_MAX_BYTES: usize = 128;
/// Longest host name (RFC 1035 section 2.3.4, less the length bytes).
const HOST_MAX_BYTES: usize = 253;
/// Longest part of a host name (same section).
const HOST_LABEL_MAX_BYTES: usize = 63;
/// The version of the payload made and read here.
const VERSION: u8 = 1;

/// What the link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum LinkKind {
    /// A new person.
    #[n(0)]
    User,
    /// A new terminal.
    #[n(1)]
    Device,
}

/// An invitation link, checked.
#[derive(Debug)]
pub struct Link {
    /// Base address of the metadata server: scheme, host, port; no slash at the end.
    pub server: String,
    /// Where.
    pub organisation: OrganisationId,
    /// What for.
    pub kind: LinkKind,
    /// Admits to the relay.
    pub token: Token,
    /// Keys the channel.
    pub secret: LinkSecret,
    /// Addresses for the road without a server.
    pub hints: Vec<String>,
}

/// Why a text is not a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Not of the form.
    #[error("this is not a whole invitation link")]
    Malformed,
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
        self.write(&self.server, "/join/")
    }

    /// The `parsec://` form; none for a server on plain http.
    #[must_use]
    pub fn to_alias(&self) -> Option<Zeroizing<String>> {
        let authority = self.server.strip_prefix("https://")?;
        Some(self.write(&format!("parsec://{authority}"), "/"))
    }

    /// Whether the server is on this very machine.
    #[must_use]
    pub fn leads_to_this_machine(&self) -> bool {
        let authority = self.server.split_once("://").map_or("", |(_, authority)| authority);
        read_authority(authority).is_some_and(|(host, _)| host.is_this_machine())
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
        let (scheme, rest) = text.split_once("://").ok_or(LinkError::Malformed)?;
        let (address, payload) = rest.split_once('#').ok_or(LinkError::Malformed)?;
        let (authority, path) = address.split_once('/').ok_or(LinkError::Malformed)?;
        let (host, port) = read_authority(authority).ok_or(LinkError::Malformed)?;
        let (scheme, organisation) = match scheme {
            "https" => ("https", path.strip_prefix("join/")),
            "http" if host.is_this_machine() => ("http", path.strip_prefix("join/")),
            "http" => return Err(LinkError::PlainHttp),
            "parsec" => ("https", Some(path)),
            _ => return Err(LinkError::Malformed),
        };
        let organisation = organisation.and_then(|name| name.parse().ok()).ok_or(LinkError::Malformed)?;
        let Payload { version: _, kind, token, secret, hints } = read_payload(payload)?;
        let mut server = format!("{scheme}://{}", host.text());
        if let Some(port) = port {
            let _ = write!(server, ":{port}");
        }
        Ok(Self { server, organisation, kind, token, secret, hints })
    }
}

/// Reads the fragment.
fn read_payload(text: &str) -> Result<Payload, LinkError> {
    // Constant-time in the content: the secret passes through here.
    let bytes = Zeroizing::new(Base64UrlUnpadded::decode_vec(text).map_err(|_| LinkError::Malformed)?);
    // The version comes first in every version; what follows it may be anything in a later one.
    let mut decoder = minicbor::Decoder::new(&bytes);
    let version = decoder.array().and_then(|_| decoder.u64()).map_err(|_| LinkError::Malformed)?;
    if version > u64::from(VERSION) {
        return Err(LinkError::TooNew);
    }
    let payload: Payload = codec::decode(&bytes, LINK_MAX_CHARACTERS).map_err(|_| LinkError::Malformed)?;
    let hints_fit =
        payload.hints.len() <= HINTS_MAX && payload.hints.iter().all(|hint| hint.len() <= HINT_MAX_BYTES);
    if payload.version == VERSION && hints_fit { Ok(payload) } else { Err(LinkError::Malformed) }
}

/// Where a link leads.
enum Host {
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Host {
    /// Whether requests never leave this machine, so that plain http shows them to nobody.
    fn is_this_machine(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost",
            Self::V4(address) => address.is_loopback(),
            Self::V6(address) => address.is_loopback(),
        }
    }

    /// As in a URL.
    fn text(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::V4(address) => address.to_string(),
            Self::V6(address) => format!("[{address}]"),
        }
    }
}

/// `HOST[:PORT]`, and nothing that others would understand differently.
fn read_authority(text: &str) -> Option<(Host, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let host = Host::V6(address.parse().ok()?);
        return match port.strip_prefix(':') {
            Some(port) => Some((host, Some(read_port(port)?))),
            None if port.is_empty() => Some((host, None)),
            None => None,
        };
    }
    match text.split_once(':') {
        Some((host, port)) => Some((read_host(host)?, Some(read_port(port)?))),
        None => Some((read_host(text)?, None)),
    }
}

/// 1 to 65,535, decimal, no leading zero.
fn read_port(text: &str) -> Option<u16> {
    if text.starts_with('0') || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// A host name or an IPv4 address. `127.1`, `0x7f.1` and `2130706433` are addresses to some programs and names to
/// others: what ends in a number must be an address in the one common form.
fn read_host(text: &str) -> Option<Host> {
    let name = text.to_ascii_lowercase();
    if name.len() > HOST_MAX_BYTES || !name.split('.').all(is_host_label) {
        return None;
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") {
        return name.parse().ok().map(Host::V4);
    }
    Some(Host::Name(name))
}

fn is_host_label(label: &str) -> bool {
    (1..=HOST_LABEL_MAX_BYTES).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}
