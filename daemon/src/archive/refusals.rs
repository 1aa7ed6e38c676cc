//! Why an archive is refused: in one type, and as a problem of the local API.
//!
//! Decides whose fault each is. A file that is not whole is damaged; one that is whole, and says
//! what no member has signed, is not to be trusted.

use std::io;

use parsec_protocol::archive::ArchiveFault;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::OrganisationId;

use crate::problems::sentence;
use crate::store::StoreError;

/// Why an archive is not taken. Nothing was made of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// It is not what it was, or never was one.
    #[error(transparent)]
    Damaged(#[from] ArchiveFault),
    /// The system's.
    #[error("the archive can't be read: {0}")]
    Unreadable(io::Error),
    /// Not a regular file: it is read more than once.
    #[error("an archive is read from a file, and not from a pipe or a device")]
    NoFile,
    /// It is of people that this device's user does not belong to.
    #[error("the archive is of the organisation {0}, under another root than this device's")]
    OtherOrganisation(OrganisationId),
    /// A certificate of the organisation's log that no honest log has.
    #[error("certificate {number} of the organisation's log in it is refused: {why}")]
    Members {
        /// Its position.
        number: u64,
        /// By which rule.
        why: String,
    },
    /// The organisation's log in it parts from the one that this device has verified.
    #[error("the organisation's log in it is another one than this device has verified")]
    OtherLog,
    /// The safe's logs in it part from those that this device has verified itself.
    #[error("the safe's logs in it are others than this device has verified")]
    OtherItems,
    /// Its first frame names another founder than the device that signed the first certificate.
    #[error("it names another founder than the safe's log has")]
    OtherFounder,
    /// An item of the safe that no honest log has.
    #[error("{what} {number} of the safe in it is refused: {why}")]
    Item {
        /// A certificate or a record.
        what: &'static str,
        /// Its number in its log.
        number: u64,
        /// By which rule.
        why: String,
    },
    /// The logs end elsewhere than its first frame says: something was left out.
    #[error("{0} of it is not all there: it ends elsewhere than the archive says")]
    Missing(&'static str),
    /// An object whose bytes are not those of its hash.
    #[error("frame {0} holds other bytes than its hash says")]
    OtherBytes(u64),
    /// An object twice, or one that none of the safe's records has added.
    #[error("frame {0} holds an object that is none of the safe's")]
    NotAdded(u64),
    /// More keys' frames than a safe has.
    #[error("it holds more rings and boxes than a safe has")]
    TooManyKeys,
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let kind = match &refused {
            Refused::Damaged(_) | Refused::OtherBytes(_) => ProblemKind::ArchiveDamaged,
            Refused::Unreadable(_) => ProblemKind::DiskFailed,
            Refused::NoFile => ProblemKind::InvalidRequest,
            Refused::OtherOrganisation(_)
            | Refused::Members { .. }
            | Refused::OtherLog
            | Refused::OtherItems
            | Refused::OtherFounder
            | Refused::Item { .. }
            | Refused::Missing(_)
            | Refused::NotAdded(_)
            | Refused::TooManyKeys => ProblemKind::ArchiveUntrusted,
        };
        Self::new(kind, sentence(&refused.to_string()))
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        // Folding takes what was judged a moment ago: only a file that changes meanwhile says this.
        tracing::warn!(%error, "an archive changed while it was read");
        Self::Missing("the journal")
    }
}
