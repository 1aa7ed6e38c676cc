//! A place in a safe, as a person types it: `SAFE:/path`.
//!
//! Decides what a colon and a slash mean. Refuses a path that leads out of the safe before anything
//! is asked.

use std::str::FromStr;

use parsec_protocol::control::paths::{PathFault, read_path, write_path};

/// A place in a safe: `SAFE:/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SafePath {
    /// The safe's name, or the start of its id.
    pub(crate) safe: String,
    /// The names from its root on.
    pub(crate) names: Vec<Vec<u8>>,
    /// Whether it was typed with a slash at its end: something goes into it.
    pub(crate) into: bool,
}

/// Why a word is no place in a safe.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SafePathFault {
    /// It names no safe.
    #[error("a place in a safe is typed SAFE:/path, such as Plans:/2027")]
    NoSafe,
    /// Its path is none.
    #[error(transparent)]
    Path(#[from] PathFault),
}

impl SafePath {
    /// The path as the daemon takes it.
    pub(crate) fn path(&self) -> String {
        write_path(self.names.iter().map(Vec::as_slice))
    }
}

impl FromStr for SafePath {
    type Err = SafePathFault;

    fn from_str(text: &str) -> Result<Self, SafePathFault> {
        let (safe, path) = match text.split_once(":/") {
            Some((safe, _)) => text.split_at_checked(safe.len() + 1).unwrap_or((text, "")),
            None if text.ends_with(':') => (text, "/"),
            None => return Err(SafePathFault::NoSafe),
        };
        let safe = safe.trim_end_matches(':').to_owned();
        if safe.is_empty() {
            return Err(SafePathFault::NoSafe);
        }
        let names = read_path(path)?;
        Ok(Self { safe, into: path.ends_with('/'), names })
    }
}

/// Where something moves to, within the same safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The safe, where it was typed once more.
    pub(crate) safe: Option<String>,
    /// The names from its root on.
    pub(crate) names: Vec<Vec<u8>>,
    /// Whether it was typed with a slash at its end: something goes into it.
    pub(crate) into: bool,
}

impl FromStr for Target {
    type Err = SafePathFault;

    fn from_str(text: &str) -> Result<Self, SafePathFault> {
        if text.starts_with('/') {
            return Ok(Self { safe: None, names: read_path(text)?, into: text.ends_with('/') });
        }
        let SafePath { safe, names, into } = text.parse()?;
        Ok(Self { safe: Some(safe), names, into })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Option<(String, String, bool)> {
        let place: SafePath = text.parse().ok()?;
        let path = place.path();
        Some((place.safe, path, place.into))
    }

    #[test]
    fn places_are_a_safe_and_a_path() {
        let at = |safe: &str, path: &str, into| Some((safe.to_owned(), path.to_owned(), into));
        assert_eq!(place("Plans:/2027/a.odt"), at("Plans", "/2027/a.odt", false));
        assert_eq!(place("Plans:/2027/"), at("Plans", "/2027", true));
        assert_eq!(place("Plans:/"), at("Plans", "/", true));
        assert_eq!(place("Plans:"), at("Plans", "/", true));
        assert_eq!(place("a0b1:/x:/y"), at("a0b1", "/x:/y", false), "the first one ends the safe");
        assert_eq!(place("Our plans: 2027:/x"), at("Our plans: 2027", "/x", false));
        assert_eq!(place("P:/a\\x1b\\\\"), at("P", "/a\u{1b}\\\\", false));
        for bad in ["", ":", ":/", "/x", "Plans", "Plans/x", "P:/../x", "P:/a//b", "P:/a\\q", "./a"] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_target_may_leave_the_safe_out() {
        let target: Target = "/a/".parse().unwrap();
        assert_eq!((target.safe, target.into), (None, true));
        let target: Target = "P:/a".parse().unwrap();
        assert_eq!((target.safe.as_deref(), target.into), (Some("P"), false));
        assert!("a".parse::<Target>().is_err() && "/..".parse::<Target>().is_err());
    }
}
