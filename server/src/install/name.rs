//! The name of a file that is offered for installing.
//!
//! Decides which names there are: those of packages, archives, sums and signatures. Refuses
//! everything else, so that no path leads out of the folder, and a key, a database or a setting
//! that lies in it is given to nobody.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Longest name: Debian's are below 100.
const NAME_MAX_BYTES: usize = 128;

/// What a name ends with, and what a browser is told that it is. Nothing that a browser would show
/// as a page or run as a script.
const KINDS: [(&str, &str); 14] = [
    (".deb", "application/vnd.debian.binary-package"),
    (".rpm", "application/x-rpm"),
    (".tar.gz", "application/gzip"),
    (".tgz", "application/gzip"),
    (".tar.xz", "application/x-xz"),
    (".tar.zst", "application/zstd"),
    (".tar.bz2", "application/x-bzip2"),
    (".asc", "text/plain; charset=utf-8"),
    (".sig", "application/octet-stream"),
    (".minisig", "text/plain; charset=utf-8"),
    (".sha256", "text/plain; charset=utf-8"),
    (".txt", "text/plain; charset=utf-8"),
    ("SHA256SUMS", "text/plain; charset=utf-8"),
    ("SHA512SUMS", "text/plain; charset=utf-8"),
];
/// What a source archive's name ends with.
const ARCHIVES: [&str; 5] = [".tar.gz", ".tgz", ".tar.xz", ".tar.zst", ".tar.bz2"];

/// A name of the install folder: letters, digits and `.+~_-`, begun by a letter or digit, of a kind
/// that is offered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileName(String);

/// Text that names nothing of an install folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotOffered;

impl FileName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Media type by the name's end.
    pub(crate) fn media_type(&self) -> &'static str {
        kind_of(&self.0).unwrap_or("application/octet-stream")
    }

    /// The machine that a package of a person's programs is for: `parsec_VERSION_ARCH.deb`.
    pub(crate) fn package_architecture(&self) -> Option<&str> {
        let mut parts = self.0.strip_suffix(".deb")?.split('_');
        let (name, version, architecture) = (parts.next()?, parts.next()?, parts.next()?);
        let whole = name == "parsec" && !version.is_empty() && !architecture.is_empty();
        (whole && parts.next().is_none()).then_some(architecture)
    }

    /// Whether it is the source of the programs: `parsec-VERSION.tar.gz` or one like it.
    pub(crate) fn is_source(&self) -> bool {
        self.source_version().is_some()
    }

    fn source_version(&self) -> Option<&str> {
        let rest = self.0.strip_prefix("parsec-").or_else(|| self.0.strip_prefix("parsec_"))?;
        let version = ARCHIVES.iter().find_map(|end| rest.strip_suffix(end))?;
        version.starts_with(|c: char| c.is_ascii_digit()).then_some(version)
    }

    /// Whether its version is a later one, as Debian orders versions.
    pub(crate) fn is_newer_than(&self, other: &Self) -> bool {
        by_version(self.version(), other.version()) == Ordering::Greater
    }

    fn version(&self) -> &str {
        let of_package = self.package_architecture().and_then(|_| self.0.split('_').nth(1));
        of_package.or_else(|| self.source_version()).unwrap_or_default()
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for FileName {
    type Err = NotOffered;

    fn from_str(text: &str) -> Result<Self, NotOffered> {
        let begun = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+~_-".contains(&byte));
        let fits = begun && plain && text.len() <= NAME_MAX_BYTES && kind_of(text).is_some();
        if fits { Ok(Self(text.to_owned())) } else { Err(NotOffered) }
    }
}

fn kind_of(text: &str) -> Option<&'static str> {
    KINDS.iter().find(|(end, _)| text.ends_with(end)).map(|(_, media_type)| *media_type)
}

/// Debian's order of versions: digits by their number, `~` before everything,
/// letters before other characters.
fn by_version(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    while !(a.is_empty() && b.is_empty()) {
        let (words, numbers) = (split(&mut a, false), split(&mut a, true));
        let (others, other_numbers) = (split(&mut b, false), split(&mut b, true));
        let order = by_characters(words, others).then_with(|| by_number(numbers, other_numbers));
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// Takes what `text` begins with: digits, or what is none.
fn split<'a>(text: &mut &'a str, digits: bool) -> &'a str {
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    let (taken, rest) = text.split_at(end);
    *text = rest;
    taken
}

fn by_characters(a: &str, b: &str) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    };
    let (a, b) = (a.as_bytes(), b.as_bytes());
    (0..a.len().max(b.len()))
        .map(|at| weight(a.get(at)).cmp(&weight(b.get(at))))
        .find(|order| *order != Ordering::Equal)
        .unwrap_or(Ordering::Equal)
}

fn by_number(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_of_what_is_installed_are_names() {
        for good in [
            "parsec_0.1.0~rc1+b2_amd64.deb",
            "parsec-0.1.0.tar.gz",
            "SHA256SUMS",
            "SHA256SUMS.asc",
            "README.txt",
        ] {
            assert_eq!(good.parse::<FileName>().unwrap().as_str(), good);
        }
        let long = format!("{}.deb", "a".repeat(NAME_MAX_BYTES));
        for bad in [
            "",
            ".",
            "..",
            ".hidden.deb",
            "../x.deb",
            "a/b.deb",
            "a\\b.deb",
            "%2e%2e%2fx.deb",
            "a b.deb",
            "a\0.deb",
            "a\r\n.deb",
            "\u{202e}bed.deb",
            "\u{fc}.deb",
            "-rf.deb",
            "~x.deb",
            "db.sqlite",
            "key.pem",
            "metadata.toml",
            "smtp-url",
            "page.html",
            "script.js",
            "picture.svg",
            "parsec",
            &long,
        ] {
            assert!(bad.parse::<FileName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn versions_are_ordered_as_debian_does() {
        // Each before the next.
        let rising = ["0.9", "0.10~rc1", "0.10~rc1+b1", "0.10~rc2", "0.10", "0.10+b1", "0.10.1", "1.0"];
        for (at, low) in rising.iter().enumerate() {
            for high in rising.iter().skip(at + 1) {
                let name = |version| format!("parsec_{version}_amd64.deb").parse::<FileName>().unwrap();
                assert_eq!(by_version(low, high), Ordering::Less, "{low} {high}");
                assert!(name(high).is_newer_than(&name(low)), "{low} {high}");
                assert!(!name(low).is_newer_than(&name(high)), "{low} {high}");
            }
        }
    }

    #[test]
    fn a_package_of_the_server_is_none_for_a_person() {
        let architecture =
            |name: &str| name.parse::<FileName>().unwrap().package_architecture().map(str::to_owned);
        assert_eq!(architecture("parsec_0.1.0_amd64.deb").as_deref(), Some("amd64"));
        for other in
            ["parsec-metadata_0.1.0_amd64.deb", "parsec_0.1.0.deb", "parsec_1_2_3.deb", "parsec__.deb"]
        {
            assert_eq!(architecture(other), None, "{other}");
        }
        assert!("parsec-0.1.0.tar.gz".parse::<FileName>().unwrap().is_source());
        for other in ["parsec-metadata-0.1.0.tar.gz", "parsec-0.1.0.txt", "other-1.tar.gz"] {
            assert!(!other.parse::<FileName>().unwrap().is_source(), "{other}");
        }
    }
}
