//! What people paste where a link is wanted: the one link that is in it.
//!
//! Decides which link a text means: in brackets or quotes, with a stop behind it, in a whole line
//! of a mail or a command, broken over lines, with `%23` for `#`, or inside the address of a
//! service that rewrites links. Refuses to choose between two, and to guess at what is missing:
//! what comes out has passed the strict reader of `enrol::link`, which is the protocol's; nothing
//! here is.

use std::str::FromStr as _;

use zeroize::Zeroizing;

use crate::address::{AddressError, ServerAddress};
use crate::enrol::link::{LINK_MAX_CHARACTERS, Link, LinkError};
use crate::ids::OrganisationId;

/// Longest text that is searched: a mail's paragraphs around a link, escaped three times over.
pub const PASTE_MAX_BYTES: usize = 16 * 1024;
/// Rewritten links inside rewritten links that are followed: two gateways, one behind the other,
/// and one to spare.
const WRAPPERS_MAX: u8 = 3;
/// Most pieces that a link broken over lines is put together from: the longest link in lines of 40
/// characters.
const PIECES_MAX: usize = 52;
/// Most addresses that are looked at in one text; each may be long.
const ADDRESSES_MAX: usize = 64;

/// Why there is no one link in a text. The more is known of what was meant, the later it stands
/// here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum PasteError {
    /// Nothing that begins like one.
    #[error("there is no invitation link in this text")]
    None,
    /// More text than is searched.
    #[error("this is more text than is searched for an invitation link: copy the link alone")]
    TooMuch,
    /// An address of the form, with nothing behind it.
    #[error(
        "the part of the link behind # is missing: a mail program or a browser may have dropped it; copy it from where it was made"
    )]
    NoFragment,
    /// The end is missing.
    #[error("the link is cut off: its end is missing")]
    CutOff,
    /// Neither whole nor cut off.
    #[error("the link is damaged: the part behind # can't be read")]
    Damaged,
    /// The organisation in it is no organisation's name.
    #[error("the link names no organisation")]
    Organisation,
    /// Its address is none.
    #[error("the link's server address can't be used: {0}")]
    Address(AddressError),
    /// From a later version.
    #[error("the link was made by a newer version")]
    TooNew,
    /// There are several links, and they differ.
    #[error("there are two different links in this text: give one of them")]
    Several,
}

/// The one link in a text, as the strict reader takes it.
///
/// # Errors
/// [`PasteError`]: what is wrong with the text.
pub fn link_in(text: &str) -> Result<Zeroizing<String>, PasteError> {
    if text.len() > PASTE_MAX_BYTES {
        return Err(PasteError::TooMuch);
    }
    // Byte-order marks, soft hyphens and zero-width spaces, which editors and chat programs put in.
    let mut seen = Zeroizing::new(String::with_capacity(text.len()));
    seen.extend(
        text.chars().filter(|c| !matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')),
    );
    let mut found = Search { link: None, why: PasteError::None, left: ADDRESSES_MAX };
    found.search(&seen, WRAPPERS_MAX);
    match found {
        Search { why: PasteError::Several, .. } => Err(PasteError::Several),
        Search { link: Some(link), .. } => Ok(link),
        Search { why, .. } => Err(why),
    }
}

/// What was found so far.
struct Search {
    link: Option<Zeroizing<String>>,
    /// The most that is known of what is wrong.
    why: PasteError,
    /// Addresses that may still be looked at.
    left: usize,
}

impl Search {
    fn search(&mut self, text: &str, wrappers: u8) {
        let mut rest = text;
        while let Some((start, length)) = next_scheme(rest) {
            if self.left == 0 {
                return;
            }
            self.left -= 1;
            self.candidate(rest.get(start..).unwrap_or_default(), wrappers);
            rest = rest.get(start + length..).unwrap_or_default();
        }
    }

    /// What begins with a scheme: a link, an address with a link inside, or neither.
    fn candidate(&mut self, text: &str, wrappers: u8) {
        let mut whole = Zeroizing::new(String::with_capacity(text.len()));
        let mut first = None;
        // A link that a mail program broke over lines ends where its payload does, so no word
        // behind it is taken for a piece.
        for piece in (Pieces { rest: text }).take(PIECES_MAX) {
            whole.push_str(piece);
            match read(&whole) {
                Ok(link) => return self.take(link),
                Err(why) => first = first.or(Some(why)),
            }
        }
        let why = first.unwrap_or(PasteError::None);
        self.why = self.why.max(why);
        if wrappers > 0 && why == PasteError::None {
            // An address of somebody else: a service that rewrites links carries the link in its
            // query.
            let mut pieces = Pieces { rest: text };
            if let Ok(url) = url::Url::parse(pieces.next().unwrap_or_default()) {
                for (_, value) in url.query_pairs() {
                    self.search(&Zeroizing::new(value.into_owned()), wrappers - 1);
                }
            }
        }
    }

    fn take(&mut self, link: Zeroizing<String>) {
        match &self.link {
            None => self.link = Some(link),
            Some(other) if *other == link => {}
            Some(_) => self.why = PasteError::Several,
        }
    }
}

/// Where the next scheme begins, and how long it is.
fn next_scheme(text: &str) -> Option<(usize, usize)> {
    text.match_indices("://").find_map(|(at, mark)| {
        ["https", "http", "parsec"].into_iter().find_map(|scheme| {
            let start = at.checked_sub(scheme.len())?;
            text.get(start..at)?.eq_ignore_ascii_case(scheme).then_some((start, scheme.len() + mark.len()))
        })
    })
}

/// A text in the pieces that line ends cut it into: up to the first space or delimiter of each
/// line.
struct Pieces<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;
    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let delimits = |c: char| c.is_whitespace() || "<>\"'`|{}‘’“”„«»‹›".contains(c);
        let end = self.rest.find(delimits).unwrap_or(self.rest.len());
        let (piece, behind) = self.rest.split_at_checked(end)?;
        // Only what is broken by the end of a line goes on in the next, behind the marks of a
        // quotation.
        let broken = behind.trim_start_matches([' ', '\t']).starts_with(['\r', '\n']);
        self.rest =
            if broken { behind.trim_start_matches(|c: char| c.is_whitespace() || c == '>') } else { "" };
        // The soft line break of quoted-printable.
        Some(if broken { piece.strip_suffix('=').unwrap_or(piece) } else { piece })
    }
}

/// Reads a text that begins with a scheme and has no space in it.
fn read(text: &str) -> Result<Zeroizing<String>, PasteError> {
    let (address, payload) = match text.split_once('#').or_else(|| text.split_once("%23")) {
        Some((address, payload)) => (address, Some(payload)),
        None => (text, None),
    };
    // Counters of clicks and the like: a link has no query.
    let address = address.split_once('?').map_or(address, |(address, _)| address);
    let (scheme, rest) = address.split_once("://").ok_or(PasteError::None)?;
    let (authority, path) = rest.split_once('/').ok_or(PasteError::None)?;
    let path = path.trim_end_matches('/');
    let alias = scheme.eq_ignore_ascii_case("parsec");
    // Any other address in the text is not meant.
    let organisation = if alias { Some(path) } else { path.strip_prefix("join/") };
    let organisation = organisation.ok_or(PasteError::None)?;
    let payload = payload.unwrap_or_default();
    let end = payload.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')));
    let payload = payload.get(..end.unwrap_or(payload.len())).unwrap_or_default();
    if payload.is_empty() {
        return Err(PasteError::NoFragment);
    }
    let scheme = if alias { "https" } else { scheme };
    let server = match ServerAddress::from_str(&format!("{scheme}://{authority}")) {
        Ok(server) => server,
        // A later version may have another idea of what is an address.
        Err(_) if is_newer(payload) => return Err(PasteError::TooNew),
        Err(why) => return Err(PasteError::Address(why)),
    };
    let length = server.as_str().len() + "/join/#".len() + organisation.len() + payload.len();
    let mut strict = Zeroizing::new(String::with_capacity(length));
    for part in [server.as_str(), "/join/", organisation, "#", payload] {
        strict.push_str(part);
    }
    match Link::from_str(&strict) {
        Ok(link) => Ok(link.to_url()),
        Err(LinkError::TooNew) => Err(PasteError::TooNew),
        Err(LinkError::PlainHttp) => Err(PasteError::Address(AddressError::PlainHttp)),
        Err(LinkError::CutOff) => Err(PasteError::CutOff),
        Err(LinkError::Malformed)
            if strict.len() <= LINK_MAX_CHARACTERS && organisation.parse::<OrganisationId>().is_err() =>
        {
            Err(PasteError::Organisation)
        }
        Err(LinkError::Malformed) => Err(PasteError::Damaged),
    }
}

/// Whether a payload is of a later version, wherever it leads.
fn is_newer(payload: &str) -> bool {
    let anywhere = Zeroizing::new(format!("https://a/join/a#{payload}"));
    matches!(Link::from_str(&anywhere), Err(LinkError::TooNew))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrol::link::LinkKind;
    use crate::ids::Token;
    use crate::keys::LinkSecret;

    fn link() -> String {
        let link = Link {
            server: "https://parsec.example.org".parse().unwrap(),
            organisation: "acme".parse().unwrap(),
            kind: LinkKind::User,
            token: Token::from_bytes(std::array::from_fn(|at| at as u8)),
            secret: LinkSecret::from_bytes(&mut std::array::from_fn(|at| 0x20 + at as u8)),
            hints: Vec::new(),
        };
        link.to_url().to_string()
    }

    fn found(text: &str) -> Result<String, PasteError> {
        link_in(text).map(|link| link.to_string())
    }

    /// Everything that could be, escaped.
    fn escaped(text: &str) -> String {
        let escape = |byte: u8| match byte.is_ascii_alphanumeric() {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        };
        text.bytes().map(escape).collect()
    }

    #[test]
    fn the_link_is_found_in_what_people_paste() {
        let link = link();
        let (once, twice) = (escaped(&link), escaped(&escaped(&link)));
        let parsec = link.replace("https://parsec.example.org/join", "parsec://parsec.example.org");
        for text in [
            link.clone(),
            format!(" \t{link}\r\n"),
            format!("\u{feff}{link}\r\n"),
            format!("<{link}>"),
            format!("'{link}'"),
            format!("“{link}”"),
            format!("({link})"),
            format!("[join]({link})."),
            format!("{link}."),
            format!("{link},"),
            format!("Here it is: {link}; see you!"),
            format!("    parsecctl claim '{link}'"),
            link.replace('#', "%23"),
            link.replace('#', "/#"),
            link.replace('#', "?utm_source=mail#"),
            link.replace("https://parsec.example.org", "HTTPS://Parsec.Example.ORG:443"),
            parsec.clone(),
            parsec.replace("parsec://", "PARSEC://").replace('#', "%23"),
            format!("{link} {link} {parsec}"),
            format!("https://intranet.example/news {link} http://other.example/x#y"),
            format!("{}\n{}", &link[..50], &link[50..]),
            format!("> {}\r\n> {}\r\n> {} and a word", &link[..20], &link[20..60], &link[60..]),
            format!("{}=\r\n{}=\r\n{}", &link[..30], &link[30..31], &link[31..]),
            format!("{}\u{200b}{}", &link[..55], &link[55..]),
            format!("https://eur01.safelinks.protection.outlook.com/?url={once}&data=05%7C01%7C&reserved=0"),
            format!("https://click.example/track?id=1&u={link}"),
            format!("https://one.example/?q=https%3A%2F%2Ftwo.example%2F%3Fu%3D{twice}"),
        ] {
            assert_eq!(found(&text), Ok(link.clone()), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let link = link();
        let other = link.replace("acme", "beta");
        let (bare, payload) = link.split_once('#').unwrap();
        let newer = link.replace("#hQE", "#hQI");
        for (text, why) in [
            (String::new(), PasteError::None),
            ("hello".to_owned(), PasteError::None),
            ("https://parsec.example.org".to_owned(), PasteError::None),
            ("https://parsec.example.org/#x".to_owned(), PasteError::None),
            (bare.to_owned(), PasteError::NoFragment),
            (format!("{bare}#"), PasteError::NoFragment),
            (link[..link.len() - 1].to_owned(), PasteError::CutOff),
            (link[..link.len() - 30].to_owned(), PasteError::CutOff),
            (format!("{} please", &link[..60]), PasteError::CutOff),
            (format!("{bare}#g{}", &payload[1..]), PasteError::Damaged),
            (format!("{link}AAAA"), PasteError::Damaged),
            (link.replace("acme", "ACME"), PasteError::Organisation),
            (link.replace("https", "http"), PasteError::Address(AddressError::PlainHttp)),
            (link.replace("//", "//me@"), PasteError::Address(AddressError::User)),
            (link.replace(".org/", ".org./"), PasteError::Address(AddressError::Host)),
            (newer.clone(), PasteError::TooNew),
            (newer.replace("https", "http"), PasteError::TooNew),
            (format!("{link} {other}"), PasteError::Several),
            (format!("{link} {other} {link}"), PasteError::Several),
            (format!("{}{link}", " ".repeat(PASTE_MAX_BYTES)), PasteError::TooMuch),
        ] {
            assert_eq!(found(&text), Err(why), "{text}");
        }
    }

    proptest::proptest! {
        /// Wherever the lines end behind the scheme, the whole link comes out.
        #[test]
        fn a_link_broken_anywhere_is_the_same(width in 9usize..150, quoted in proptest::bool::ANY) {
            let link = link();
            let lines = link.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap());
            let lines: Vec<&str> = lines.collect();
            proptest::prop_assert_eq!(found(&lines.join(if quoted { "\r\n> " } else { "\n" })), Ok(link));
        }

        #[test]
        fn nothing_that_is_pasted_ends_the_program(
            text in "(https?://|parsec://|%23|#|/join/a|hQEAUAAB|[ -~\n]|\\PC){0,30}"
        ) {
            let _ = link_in(&text);
        }
    }
}
