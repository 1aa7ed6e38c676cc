//! Addresses of metadata servers (docs/protocol.md, *The link*).
//!
//! Decides, once, which text is a server's address and what its one spelling is: the URL standard's
//! parser reads it, and what that parser writes is kept. Refuses what could not stand in a link: a
//! path, a query, a user name, plain http beyond this machine, and hosts outside the link's
//! grammar, so that whatever founding takes can be invited with.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use url::{Host, Url};

use crate::limits::HOST_LABEL_MAX_BYTES;

/// Longest host name (RFC 1035 section 2.3.4, less the length bytes).
const HOST_MAX_BYTES: usize = 253;
/// Longest text that is looked at: the longest host in its longest escaped spelling is shorter.
const TEXT_MAX_BYTES: usize = 4_096;

/// Why a text is not a server's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum AddressError {
    /// The URL standard's parser does not take it.
    #[error("it is not a URL of the form https://HOST[:PORT]")]
    NotAUrl,
    /// The scheme is not `https` or `http`.
    #[error("it must begin with https:// (or http:// for this machine alone)")]
    Scheme,
    /// `http://` and not this machine.
    #[error("plain http is for servers on this machine alone")]
    PlainHttp,
    /// A user name or password.
    #[error("it has a user name or password in it")]
    User,
    /// More than scheme, host and port.
    #[error("it has a path, a query or a fragment behind the host")]
    Trailing,
    /// A name that is no host name.
    #[error(
        "its host is not a host name: letters, digits and hyphens, in parts of at most {HOST_LABEL_MAX_BYTES} with single dots between and none at the end"
    )]
    Host,
    /// The port is 0, where nothing listens.
    #[error("port 0 is nobody's")]
    Port,
}

/// A server's address in its one spelling: scheme, host, and the port where it isn't the scheme's
/// own; no slash at the end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerAddress(String);

impl ServerAddress {
    /// The address in its one spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `HOST[:PORT]`.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.0.split_once("://").map_or("", |(_, authority)| authority)
    }

    /// Whether it is reached over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// Whether requests never leave this machine, so that plain http shows them to nobody.
    #[must_use]
    pub fn is_this_machine(&self) -> bool {
        read_authority(self.authority(), None).is_some_and(is_this_machine)
    }

    /// Reads the one spelling and no other, by the grammar of docs/protocol.md alone: what a link
    /// may hold. No table of names outside ASCII is needed for it, so that every reader of links
    /// says the same.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn canonical(text: &str) -> Result<Self, AddressError> {
        let (scheme, authority) = text.split_once("://").ok_or(AddressError::NotAUrl)?;
        let own_port = match scheme {
            "https" => 443,
            "http" => 80,
            _ => return Err(AddressError::Scheme),
        };
        let host = read_authority(authority, Some(own_port)).ok_or(AddressError::Host)?;
        if scheme == "http" && !is_this_machine(host) {
            return Err(AddressError::PlainHttp);
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for ServerAddress {
    type Err = AddressError;
    /// Reads every spelling that the URL standard knows for the address.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > TEXT_MAX_BYTES {
            return Err(AddressError::NotAUrl);
        }
        let url = Url::parse(text).map_err(|_| AddressError::NotAUrl)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(AddressError::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::User);
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(AddressError::Trailing);
        }
        if url.port() == Some(0) {
            return Err(AddressError::Port);
        }
        // The parser leaves out the scheme's own port, and writes names and addresses in their one
        // form.
        let host = url.host().ok_or(AddressError::Host)?;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        Self::canonical(&format!("{}://{host}{port}", url.scheme()))
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether this is the very machine the program runs on.
fn is_this_machine(host: Host<&str>) -> bool {
    match host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// `HOST[:PORT]` in its one spelling. `own_port`: the scheme's own, which is left out.
fn read_authority(text: &str, own_port: Option<u16>) -> Option<Host<&str>> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            (Host::Ipv6(read_v6(address)?), port)
        }
        None => {
            let (name, port) = text.split_at_checked(text.find(':').unwrap_or(text.len()))?;
            (read_host(name)?, port)
        }
    };
    match port.strip_prefix(':') {
        None => port.is_empty().then_some(host),
        Some(port) => {
            let plain = !port.starts_with('0') && port.bytes().all(|byte| byte.is_ascii_digit());
            let port: u16 = plain.then(|| port.parse().ok()).flatten()?;
            (Some(port) != own_port).then_some(host)
        }
    }
}

/// An IPv6 address as the URL standard writes it: RFC 5952, without the mixed form of its section
/// 5.
fn read_v6(text: &str) -> Option<Ipv6Addr> {
    let address: Ipv6Addr = text.parse().ok()?;
    (Host::<&str>::Ipv6(address).to_string() == format!("[{text}]")).then_some(address)
}

/// A host name or an IPv4 address. `127.1`, `0x7f.1` and `2130706433` are addresses to some
/// programs and names to others: what ends in a number must be an address in the one common form.
fn read_host(name: &str) -> Option<Host<&str>> {
    if name.len() > HOST_MAX_BYTES || !name.split('.').all(is_host_label) {
        return None;
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") {
        return name.parse::<Ipv4Addr>().ok().map(Host::Ipv4);
    }
    Some(Host::Domain(name))
}

fn is_host_label(label: &str) -> bool {
    (1..=HOST_LABEL_MAX_BYTES).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::enrol::link::{Link, LinkKind};
    use crate::ids::Token;
    use crate::keys::LinkSecret;
    use crate::paste::link_in;

    fn link(server: ServerAddress) -> Link {
        Link {
            server,
            organisation: "acme".parse().unwrap(),
            kind: LinkKind::User,
            token: Token::from_bytes([1; 16]),
            secret: LinkSecret::from_bytes(&mut [2; 32]),
            hints: Vec::new(),
        }
    }

    #[test]
    fn one_spelling_is_kept() {
        for (text, kept) in [
            ("HTTPS://Parsec.Example.ORG:0443/", "https://parsec.example.org"),
            ("https://ex%61mple.org", "https://example.org"),
            ("https://bücher.example:8443", "https://xn--bcher-kva.example:8443"),
            ("http://0x7f.1:06770", "http://127.0.0.1:6770"),
            ("http://2130706433:80", "http://127.0.0.1"),
            ("http://0177.0.0.1", "http://127.0.0.1"),
            ("http://[0:0:0:0:0:0:0:1]:6770", "http://[::1]:6770"),
            ("https://[::ffff:192.0.2.7]", "https://[::ffff:c000:207]"),
            ("  https:\\\\example.org\\ ", "https://example.org"),
        ] {
            let read: ServerAddress = text.parse().unwrap();
            assert_eq!(read.as_str(), kept, "{text}");
        }
    }

    #[test]
    fn what_is_refused_has_its_reason() {
        for (text, why) in [
            ("", AddressError::NotAUrl),
            ("example.org", AddressError::NotAUrl),
            ("https://", AddressError::NotAUrl),
            ("https://256.1.1.1", AddressError::NotAUrl),
            ("ftp://example.org", AddressError::Scheme),
            ("http://example.org", AddressError::PlainHttp),
            ("http://[::ffff:127.0.0.1]", AddressError::PlainHttp),
            ("https://u@example.org", AddressError::User),
            ("https://example.org/x", AddressError::Trailing),
            ("https://example.org?q", AddressError::Trailing),
            ("https://example.org#f", AddressError::Trailing),
            ("https://example.org.", AddressError::Host),
            ("https://-a.example.org", AddressError::Host),
            ("https://a_b.example.org", AddressError::Host),
            ("https://example.org:0", AddressError::Port),
        ] {
            assert_eq!(text.parse::<ServerAddress>(), Err(why), "{text}");
        }
    }

    fn number(value: u8, form: u8) -> String {
        match form % 4 {
            0 => format!("{value}"),
            1 => format!("0x{value:x}"),
            2 => format!("0{value:o}"),
            _ => format!("0X{value:02X}"),
        }
    }

    fn hosts() -> impl Strategy<Value = String> {
        let sparse = |(bits, mask): (u128, u128)| {
            format!("[{}]", Ipv6Addr::from_bits(bits & mask & mask.rotate_left(16) & mask.rotate_left(48)))
        };
        prop_oneof![
            "[a-zA-Z0-9-]{1,12}(\\.[a-zA-Z0-9-]{1,12}){0,3}\\.?",
            "(localhost|LOCALHOST|example\\.org|xn--bcher-kva\\.example|xn--a|xn--\\.x)\\.?",
            "[a-zäßöΩжअ中ﬀＡ・\u{200d}\u{ad}。_%!~]{1,8}\\.(example|ORG)",
            "(%[0-9a-fA-F]{2}|[a-z.]){1,8}",
            any::<[(u8, u8); 4]>()
                .prop_map(|parts| { parts.map(|(value, form)| number(value, form)).join(".") }),
            any::<[(u8, u8); 2]>()
                .prop_map(|parts| { parts.map(|(value, form)| number(value, form)).join(".") }),
            any::<u32>().prop_map(|number| number.to_string()),
            any::<u32>().prop_map(|number| format!("0x{number:x}")),
            any::<u8>().prop_map(|low| format!("127.{low}")),
            any::<u128>().prop_map(|bits| format!("[{}]", Ipv6Addr::from_bits(bits))),
            any::<(u128, u128)>().prop_map(move |it| sparse(it).to_uppercase()),
            any::<u32>().prop_map(|bits| format!("[::ffff:{}]", Ipv4Addr::from_bits(bits))),
            Just("[0:0:0:0:0:0:0:1]".to_owned()),
            Just("[fe80::1%25eth0]".to_owned()),
            Just(String::new()),
        ]
    }

    fn texts() -> impl Strategy<Value = String> {
        let scheme = "(https|HTTPS|Https|http|HTTP|parsec|ftp)";
        let slashes = prop_oneof![9 => Just("://".to_owned()), 1 => "(:|:/|:\\\\\\\\|:///)"];
        let port = "(|:|:443|:0443|:80|:080|:0|:8443|:[0-9]{1,6}|:[1-9][0-9]{1,4})";
        let rest = prop_oneof![7 => "(|/)", 1 => "(\\\\|//|/\\.|/x|\\?|\\?q|#|#f| |\t|\n|/join/acme)"];
        (scheme, slashes, hosts(), port, rest)
            .prop_map(|(scheme, slashes, host, port, rest)| format!("{scheme}{slashes}{host}{port}{rest}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        /// What founding takes is what `claim`, `net ping` and the server take from the link that
        /// is printed.
        #[test]
        fn an_address_that_is_taken_leads_there_from_its_link(text in texts()) {
            if let Ok(address) = text.parse::<ServerAddress>() {
                prop_assert_eq!(ServerAddress::canonical(address.as_str()), Ok(address.clone()));
                prop_assert_eq!(address.as_str().parse(), Ok(address.clone()));
                let written = link(address.clone());
                let whole = written.to_url();
                for text in [Some(written.to_url()), written.to_alias()].into_iter().flatten() {
                    let (read, pasted) = (text.parse::<Link>().unwrap(), link_in(&text).unwrap());
                    prop_assert_eq!(&read.server, &address);
                    prop_assert_eq!(pasted.as_str(), whole.as_str());
                }
                // The same place to the library that dials.
                let (ours, theirs) = (Url::parse(address.as_str()).unwrap(), Url::parse(&text).unwrap());
                prop_assert_eq!(ours.origin(), theirs.origin());
            }
        }
    }
}
