//! The least that a reader knows of what it reads, where that only grows (docs/protocol.md,
//! *Metadata server*): a log's certificates, a manifest's version.
//!
//! Decides how it stands in a path and what reaches it, for every such read and both sides. Refuses
//! a second spelling of it. Who reads decides what to make of an answer that falls short.

use super::{ErrorCode, LogPage, ManifestView};

/// The last part of a query: what is signed is path and query as sent, so nobody on the way takes
/// it off, and no record that is signed has to know of it.
const PART: &str = "least=";
/// Digits of the largest number of 64 bits.
const DIGITS_MAX: usize = 20;

/// How far a reader knows what it reads to reach: a number of certificates, or a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Least(pub u64);

/// An answer that says how far the thing reaches that was read.
pub trait Reaches {
    /// Number of certificates or version, 0 where there is nothing yet.
    fn reach(&self) -> u64;
}

impl Reaches for LogPage {
    fn reach(&self) -> u64 {
        self.count
    }
}

impl Reaches for ManifestView {
    fn reach(&self) -> u64 {
        self.version
    }
}

impl Least {
    /// Nothing is known: every answer will do.
    pub const NOTHING: Self = Self(0);

    /// Path and query of a read, with this at its end. As it was where nothing is known.
    #[must_use]
    pub fn on(self, target: String) -> String {
        let sign = if target.contains('?') { '&' } else { '?' };
        if self == Self::NOTHING { target } else { format!("{target}{sign}{PART}{}", self.0) }
    }

    /// Takes it off a query's end; what stands before it is the rest.
    ///
    /// # Errors
    /// `bad_request` for a number in another spelling than [`Self::on`] writes.
    pub fn split(query: Option<&str>) -> Result<(Option<&str>, Self), ErrorCode> {
        let Some(query) = query else { return Ok((None, Self::NOTHING)) };
        let (rest, last) = match query.rsplit_once('&') {
            Some((rest, last)) => (Some(rest), last),
            None => (None, query),
        };
        match last.strip_prefix(PART) {
            Some(digits) => Ok((rest, Self(number(digits)?))),
            None => Ok((Some(query), Self::NOTHING)),
        }
    }

    /// Whether an answer is as far as that.
    #[must_use]
    pub fn is_reached_by(self, answer: &impl Reaches) -> bool {
        answer.reach() >= self.0
    }
}

/// A number from 1 in its one spelling.
fn number(digits: &str) -> Result<u64, ErrorCode> {
    let spelled = digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0')
        && (1..=DIGITS_MAX).contains(&digits.len());
    digits.parse().ok().filter(|_| spelled).ok_or(ErrorCode::BadRequest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_at_the_end_of_a_query_in_one_spelling() {
        for (target, least, with) in [
            ("/log?from=3", Least(7), "/log?from=3&least=7"),
            ("/manifest", Least(u64::MAX), "/manifest?least=18446744073709551615"),
            ("/manifest", Least::NOTHING, "/manifest"),
            ("/log?from=3", Least::NOTHING, "/log?from=3"),
        ] {
            assert_eq!(least.on(target.to_owned()), with);
            let query = |target: &'static str| target.split_once('?').map(|(_, query)| query);
            assert_eq!(Least::split(query(with)), Ok((query(target), least)), "{with}");
        }
        for bad in
            ["least=", "least=0", "least=07", "least=+7", "least=-1", "least=x", "from=1&least=7 ", "least=٧"]
        {
            assert_eq!(Least::split(Some(bad)), Err(ErrorCode::BadRequest), "{bad}");
        }
        assert_eq!(Least::split(Some("least=18446744073709551616")), Err(ErrorCode::BadRequest));
        assert_eq!(Least::split(None), Ok((None, Least::NOTHING)));
        // Before the end it is no part of this; whose query it is refuses it.
        let elsewhere = Some("least=1&from=2");
        assert_eq!(Least::split(elsewhere), Ok((elsewhere, Least::NOTHING)));
    }

    #[test]
    fn what_falls_short_does_not_reach() {
        let page = LogPage { count: 4, certificates: Vec::new() };
        assert_eq!([0, 4, 5].map(|least| Least(least).is_reached_by(&page)), [true, true, false]);
        let manifest = ManifestView { version: 1, envelope: None };
        assert_eq!([1, 2].map(|least| Least(least).is_reached_by(&manifest)), [true, false]);
    }
}
