//! Why a request was refused, and the one place where other modules' failures become a code of the
//! protocol.
//!
//! Decides what the caller learns: an [`ErrorCode`] and when to try again; causes inside the server
//! go to the log alone.

use parsec_protocol::relay::ErrorCode;

use crate::store::StoreError;

/// A refusal, as the caller will see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Code of the refusal, from the table.
    pub(crate) code: ErrorCode,
    /// Seconds after which to try again; 0: no use.
    pub(crate) retry_after: u32,
}

/// Seconds to wait where the server is stopping, overloaded or out of disk: it is restarted or
/// relieved by then, or it takes a person.
const RETRY_SOON: u32 = 5;

/// Seconds to wait where what is read lags: a replica that follows is there by then, and one that
/// does not is no matter of waiting.
const RETRY_BEHIND: u32 = 1;

/// Seconds to wait while only repairs are taken: people have to be asked for them.
const RETRY_HELD: u32 = 30;

impl Refusal {
    /// The server can't now, but may soon.
    pub(crate) const UNAVAILABLE: Self = Self { code: ErrorCode::Unavailable, retry_after: RETRY_SOON };

    /// Nothing new enters a log for now; the operator ends that once the members have put back what
    /// was lost.
    pub(crate) const HELD: Self = Self { code: ErrorCode::LogHeld, retry_after: RETRY_HELD };

    /// The reader has seen more of what it reads than there is here.
    pub(crate) const BEHIND: Self = Self { code: ErrorCode::Behind, retry_after: RETRY_BEHIND };

    /// Too many requests.
    pub(crate) const fn rate_limited(retry_after: u32) -> Self {
        Self { code: ErrorCode::RateLimited, retry_after }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self { code, retry_after: 0 }
    }
}

/// The store failed. The cause is the operator's business, so it goes to the log; it holds no
/// stored value.
impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the database failed");
        match error {
            StoreError::Full(_) => Self { code: ErrorCode::QuotaReached, retry_after: RETRY_SOON },
            StoreError::Busy(_) => Self::UNAVAILABLE,
            StoreError::Damaged(_) | StoreError::Failed(_) => ErrorCode::Internal.into(),
        }
    }
}
