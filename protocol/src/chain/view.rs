//! A view of a log: what the rules may ask of the certificates before the next one.
//!
//! Decides nothing. A log in memory is one view, the tables of a server are another; the rules are
//! written once, against this. Each rule set adds the look-ups that it needs in a trait of its own.

use super::head::Head;

/// A log as the rules see it. Every look-up is about one moment: the caller holds the log still
/// meanwhile.
pub trait LogView {
    /// Why a look-up failed; [`std::convert::Infallible`] where it can't.
    type Error;

    /// Where the log ends now.
    ///
    /// # Errors
    /// [`Self::Error`].
    fn head(&self) -> Result<Head, Self::Error>;

    /// Where the log was after `count` certificates; none if it has fewer.
    ///
    /// # Errors
    /// [`Self::Error`].
    fn head_at(&self, count: u64) -> Result<Option<Head>, Self::Error>;
}

/// Why a certificate was not accepted: by a rule, or because a look-up failed and nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted<F, E> {
    /// It breaks a rule of the log.
    #[error("{0}")]
    Fault(F),
    /// The view could not be asked.
    #[error("{0}")]
    View(E),
}

impl<F> NotAccepted<F, std::convert::Infallible> {
    /// The broken rule, where look-ups can't fail.
    pub fn fault(self) -> F {
        match self {
            Self::Fault(fault) => fault,
            Self::View(never) => match never {},
        }
    }
}
