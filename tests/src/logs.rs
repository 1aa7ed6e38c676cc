//! What programs wrote: the part that is shown when a test fails, and the search for what must
//! never be there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Lines of a log shown when a test fails: enough for the story, little enough to read.
const SHOWN_LINES: usize = 60;

/// The last lines of a log.
#[must_use]
pub fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let mut text = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
    text.push('\n');
    text
}

/// Every file below a folder, with its bytes.
#[must_use]
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.push((entry.path().display().to_string(), fs::read(entry.path()).unwrap()));
            }
        }
    }
    found
}

/// A thing that must not be readable somewhere.
#[derive(Debug, Clone)]
pub struct Planted {
    /// What it is, for the message.
    pub what: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Planted {
    /// A text, and its usual disguises: in small letters, in UTF-16, hexadecimal of its bytes, and
    /// base64.
    #[must_use]
    pub fn text(what: &str, text: &str) -> Vec<Self> {
        let units = |of: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(of).collect();
        Self::bytes(what, text.as_bytes())
            .into_iter()
            .chain([
                Self { what: format!("{what}, lower case"), bytes: text.to_lowercase().into_bytes() },
                Self { what: format!("{what} in UTF-16"), bytes: units(u16::to_le_bytes) },
                Self { what: format!("{what} in UTF-16, big end first"), bytes: units(u16::to_be_bytes) },
            ])
            .collect()
    }

    /// Bytes as they are, in hexadecimal, and in base64 at each alignment.
    #[must_use]
    pub fn bytes(what: &str, bytes: &[u8]) -> Vec<Self> {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut all = vec![
            Self { what: what.to_owned(), bytes: bytes.to_owned() },
            Self { what: format!("{what} in hexadecimal"), bytes: hex.clone().into_bytes() },
            Self { what: format!("{what} in HEXADECIMAL"), bytes: hex.to_uppercase().into_bytes() },
        ];
        for alignment in 0..3 {
            let inner = base64_inside(bytes, alignment);
            if inner.len() >= 6 {
                let url: Vec<u8> = inner
                    .iter()
                    .map(|c| match c {
                        b'+' => b'-',
                        b'/' => b'_',
                        other => *other,
                    })
                    .collect();
                all.push(Self { what: format!("{what} in base64"), bytes: inner });
                all.push(Self { what: format!("{what} in base64url"), bytes: url });
            }
        }
        all
    }
}

/// The characters of a base64 text that depend on these bytes alone, if they stand `alignment`
/// bytes into a group of three.
fn base64_inside(bytes: &[u8], alignment: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits = Vec::new();
    for byte in bytes {
        bits.extend((0..8).rev().map(|bit| byte >> bit & 1));
    }
    let skip = (6 - alignment * 8 % 6) % 6;
    bits.get(skip..)
        .unwrap_or_default()
        .chunks_exact(6)
        .map(|six| ALPHABET[six.iter().fold(0, |value, bit| value << 1 | usize::from(*bit))])
        .collect()
}

/// Where planted things can be read: `file: what`, once for each thing and file. Empty is good.
#[must_use]
pub fn search(files: &[(String, Vec<u8>)], planted: &[Planted]) -> Vec<String> {
    let scanner = Scanner::new(planted);
    let mut found = Vec::new();
    for (path, bytes) in files {
        let mut seen = BTreeSet::new();
        scanner.scan(bytes, bytes.len(), |_, secret| {
            if seen.insert(&secret.what) {
                found.push(format!("{path}: {}", secret.what));
            }
        });
    }
    found
}

/// Searches bytes for many things at once, in one pass.
#[derive(Debug)]
pub struct Scanner<'a> {
    /// Which of them begin with which two bytes: hardly any place is worth a second look, so a
    /// hundred things cost as little as one.
    starts: BTreeMap<u16, Vec<&'a Planted>>,
    worth: Vec<bool>,
}

impl<'a> Scanner<'a> {
    /// Prepares the search.
    ///
    /// # Panics
    /// If one of them has less than two bytes: it would be found everywhere.
    #[must_use]
    pub fn new(planted: &'a [Planted]) -> Self {
        let mut starts: BTreeMap<u16, Vec<&'a Planted>> = BTreeMap::new();
        let mut worth = vec![false; 1 << 16];
        for secret in planted {
            let start = u16::from_be_bytes([secret.bytes[0], secret.bytes[1]]);
            starts.entry(start).or_default().push(secret);
            worth[usize::from(start)] = true;
        }
        Self { starts, worth }
    }

    /// Tells of each thing that begins before `most`, and where.
    pub fn scan(&self, bytes: &[u8], most: usize, mut found: impl FnMut(usize, &'a Planted)) {
        for (at, pair) in bytes.windows(2).enumerate().take(most) {
            let start = u16::from_be_bytes([pair[0], pair[1]]);
            if self.worth[usize::from(start)] {
                let here = &bytes[at..];
                let all =
                    self.starts[&start].iter().copied().filter(|secret| here.starts_with(&secret.bytes));
                all.for_each(|secret| found(at, secret));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_planted_is_found_in_every_disguise() {
        let planted = Planted::text("name", "Bob Martin");
        for hiding in [
            "..Bob Martin..".to_owned(),
            "bob martin".to_owned(),
            "426f62204d617274696e".to_owned(),
            "B\0o\0b\0 \0M\0a\0r\0t\0i\0n\0".to_owned(),
            "\0B\0o\0b\0 \0M\0a\0r\0t\0i\0n".to_owned(),
            // base64 of the name alone, after one byte, after two
            "Qm9iIE1hcnRpbg==".to_owned(),
            "LkJvYiBNYXJ0aW4=".to_owned(),
            "Li5Cb2IgTWFydGlu".to_owned(),
        ] {
            assert!(!search(&[("x".into(), hiding.clone().into_bytes())], &planted).is_empty(), "{hiding}");
        }
        assert!(search(&[("x".into(), b"Bob Marti, Ob Martin".to_vec())], &planted).is_empty());
    }
}
