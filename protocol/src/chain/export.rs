//! A log on its own, as a file shows it: its certificates, and a signed word for where they end.
//!
//! Decides that a log with a signed head ends where its signer says. Refuses to vouch for the end
//! of one without: the maker of the file may have left certificates off.

use minicbor::bytes::ByteVec;

use super::head::Head;
use super::log::{Log, LogError};
use super::rules::Rules;
use crate::ids::Timestamp;

/// A signed word for a head of a log, outside of any certificate.
pub trait SignedHead<R: Rules> {
    /// Why the word is not worth anything.
    type Fault;

    /// Who gave it, when, and for which head.
    fn word(&self) -> (R::Author, Timestamp, Head);

    /// Checks that an author of `log`, trusted at its end, signed it for a head that the log passes
    /// through.
    ///
    /// # Errors
    /// [`Self::Fault`].
    fn check(&self, log: &Log<R>, around: &R::Around) -> Result<(), Self::Fault>;
}

/// Why an exported log shows nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportFault<F, H> {
    /// A certificate fails verification.
    Log(LogError<F>),
    /// The signed head is not worth anything.
    Head(H),
    /// The signed head is worth something, for another place than the end.
    NotTheEnd,
}

/// Verifies all certificates from the origin on, and that the signed head, if there is one, is the
/// head of the whole.
///
/// # Errors
/// [`ExportFault`].
pub fn verify<R: Rules, S: SignedHead<R>>(
    origin: R::Origin,
    around: &R::Around,
    certificates: &[ByteVec],
    signed: Option<&S>,
) -> Result<Log<R>, ExportFault<R::Fault, S::Fault>> {
    let mut log = Log::begin(origin);
    let verified = certificates.iter().try_for_each(|envelope| log.push_within(envelope, around));
    verified.map_err(ExportFault::Log)?;
    if let Some(signed) = signed {
        signed.check(&log, around).map_err(ExportFault::Head)?;
        let (_, _, head) = signed.word();
        if head != log.head() {
            return Err(ExportFault::NotTheEnd);
        }
    }
    Ok(log)
}
