//! Paths within a safe as texts: names are bytes (docs/protocol.md, *Changes*), JSON and command
//! lines are texts.
//!
//! Decides how each byte is written: UTF-8 as itself, any other byte as `\xNN` with two hexadecimal
//! digits, a backslash as `\\`. Any byte may be written as `\xNN`, so what a screen shows can be
//! typed. Refuses what no name of a safe can be; a NUL, `.` and `..` above all, which would lead
//! out of a folder that a path is put under.

use std::fmt::Write as _;

/// Longest name in a safe, in bytes: what the usual file systems take.
pub const FILE_NAME_MAX_BYTES: usize = 255;
/// Most names of a path: folders are at most so deep.
pub const PATH_MAX_NAMES: usize = 100;

/// Why a text is no path within a safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// It doesn't begin with a slash.
    #[error("a path in a safe begins with /")]
    NotFromRoot,
    /// A backslash that begins nothing.
    #[error(
        "behind a backslash comes another one, or x and two hexadecimal digits (a backslash is written \\\\)"
    )]
    Escape,
    /// A name that is none.
    #[error(
        "a name in a path is not empty, not . or .., at most {FILE_NAME_MAX_BYTES} bytes, without / and NUL"
    )]
    Name,
    /// The path has too many names.
    #[error("a path has at most {PATH_MAX_NAMES} names")]
    Depth,
}

/// Whether these bytes can be the name of an entry.
#[must_use]
pub fn is_file_name(name: &[u8]) -> bool {
    let length = 1..=FILE_NAME_MAX_BYTES;
    length.contains(&name.len())
        && !name.contains(&b'/')
        && !name.contains(&0)
        && name != b"."
        && name != b".."
}

/// A name as it is written in a path.
#[must_use]
pub fn write_name(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' {
                text.push('\\');
            }
            text.push(c);
        }
        for byte in chunk.invalid() {
            // Writing to a String can't fail.
            let _infallible = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// A path as it is written: its names, from the root. None at all is the root, `/`.
#[must_use]
pub fn write_path<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut path = String::new();
    for name in names {
        path.push('/');
        path.push_str(&write_name(name));
    }
    if path.is_empty() {
        path.push('/');
    }
    path
}

/// Reads a path: its names, from the root. A slash at the end is passed over.
///
/// # Errors
/// What no path is.
pub fn read_path(text: &str) -> Result<Vec<Vec<u8>>, PathFault> {
    let rest = text.strip_prefix('/').ok_or(PathFault::NotFromRoot)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() {
        return if text.len() > 1 { Err(PathFault::Name) } else { Ok(Vec::new()) };
    }
    let names: Vec<Vec<u8>> = rest.split('/').map(read_name).collect::<Result<_, _>>()?;
    if names.len() > PATH_MAX_NAMES { Err(PathFault::Depth) } else { Ok(names) }
}

/// Reads one name of a path.
///
/// # Errors
/// What no name is.
pub fn read_name(text: &str) -> Result<Vec<u8>, PathFault> {
    let mut name = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            name.push(byte);
            continue;
        }
        name.push(match bytes.next() {
            Some(b'\\') => b'\\',
            Some(b'x') => match (bytes.next().and_then(digit), bytes.next().and_then(digit)) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return Err(PathFault::Escape),
            },
            Some(_) | None => return Err(PathFault::Escape),
        });
    }
    if is_file_name(&name) { Ok(name) } else { Err(PathFault::Name) }
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_written_and_read_back() {
        let all: Vec<u8> = (1..=255).filter(|byte| *byte != b'/').collect();
        for name in [b"a".as_slice(), "Zoë".as_bytes(), b"\\x41", b"..a", b"\xff\xfe\\", b"a\x1b[2J", &all] {
            let text = write_name(name);
            assert_eq!(read_name(&text).as_deref(), Ok(name), "{text}");
            let path = write_path([b"folder".as_slice(), name]);
            assert_eq!(read_path(&path).unwrap(), [b"folder".to_vec(), name.to_vec()]);
        }
        assert_eq!(write_name(b"a\\b\xff"), "a\\\\b\\xff");
        assert_eq!(write_path([]), "/");
        assert_eq!(read_path("/").unwrap(), Vec::<Vec<u8>>::new());
        assert_eq!(read_path("/a/b/").unwrap(), read_path("/a/b").unwrap());
        assert_eq!(read_name("\\x1B\\x5c").unwrap(), b"\x1b\\", "what a screen shows can be typed");
    }

    #[test]
    fn nothing_leads_out_of_a_folder() {
        for (text, fault) in [
            ("", PathFault::NotFromRoot),
            ("a", PathFault::NotFromRoot),
            ("//", PathFault::Name),
            ("/a//b", PathFault::Name),
            ("/..", PathFault::Name),
            ("/a/../b", PathFault::Name),
            ("/./b", PathFault::Name),
            ("/a\\x2fb", PathFault::Name),
            ("/\\x2e\\x2e", PathFault::Name),
            ("/a\\x00", PathFault::Name),
            ("/a\0", PathFault::Name),
            ("/a\\", PathFault::Escape),
            ("/a\\n", PathFault::Escape),
            ("/a\\xg0", PathFault::Escape),
            ("/a\\x4", PathFault::Escape),
        ] {
            assert_eq!(read_path(text), Err(fault), "{text:?}");
        }
        assert_eq!(read_path(&format!("/{}", "a".repeat(256))), Err(PathFault::Name));
        assert_eq!(read_path(&"/a".repeat(101)), Err(PathFault::Depth));
        assert!(read_path(&"/a".repeat(100)).is_ok());
    }
}
