//! Why the mount does not do what a program asks, as file systems say it.
//!
//! Decides the one mapping from the daemon's problems. Never says that there is nothing, or that
//! all is zeros, where something could not be had.

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::safes::name::BadName;

use crate::store::StoreError;

/// A refusal; each is one error number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fail {
    /// ENOENT
    #[error("no such entry")]
    NotFound,
    /// EEXIST
    #[error("there already")]
    Exists,
    /// ENOTDIR
    #[error("no folder")]
    NotAFolder,
    /// EISDIR
    #[error("a folder")]
    IsAFolder,
    /// ENOTEMPTY
    #[error("not empty")]
    NotEmpty,
    /// EROFS
    #[error("may not write")]
    ReadOnly,
    /// ENOSPC
    #[error("the disk is full")]
    NoSpace,
    /// EDQUOT
    #[error("no room at the server")]
    Quota,
    /// EIO
    #[error("can't be had")]
    Io,
    /// ETIMEDOUT
    #[error("the server is silent")]
    TimedOut,
    /// EPERM
    #[error("not offered")]
    NotPermitted,
    /// EINVAL
    #[error("not possible")]
    Invalid,
    /// ENAMETOOLONG
    #[error("too long a name")]
    NameTooLong,
    /// EFBIG
    #[error("too large")]
    TooLarge,
    /// EBUSY
    #[error("not now")]
    Busy,
    /// EBADF
    #[error("not open for that")]
    NotOpen,
    /// ESTALE
    #[error("changed since it was looked up")]
    Stale,
}

impl From<Problem> for Fail {
    fn from(problem: Problem) -> Self {
        let fail = match problem.name {
            ProblemKind::PathNotFound | ProblemKind::SafeUnknown => Self::NotFound,
            ProblemKind::PathExists => Self::Exists,
            ProblemKind::NotAFolder => Self::NotAFolder,
            ProblemKind::IsAFolder => Self::IsAFolder,
            ProblemKind::FolderNotEmpty => Self::NotEmpty,
            ProblemKind::SafeRoleTooLow
            | ProblemKind::SafeNotOpen
            | ProblemKind::SafeNotAccepted
            | ProblemKind::NotAllowed => Self::ReadOnly,
            ProblemKind::DiskFull => Self::NoSpace,
            ProblemKind::QuotaReached | ProblemKind::SafeFull => Self::Quota,
            ProblemKind::NameInvalid | ProblemKind::NotAFile => Self::Invalid,
            ProblemKind::TooLarge => Self::TooLarge,
            // Older records are being verified: in a moment.
            ProblemKind::NotSharedYet => Self::Busy,
            _ => Self::Io,
        };
        if fail == Self::Io {
            // Programs show a number alone; the daemon's log says why.
            tracing::warn!(name = problem.name.name(), %problem, "the mount could not do what was asked");
        }
        fail
    }
}

impl From<StoreError> for Fail {
    fn from(error: StoreError) -> Self {
        Problem::from(error).into()
    }
}

impl From<BadName> for Fail {
    fn from(why: BadName) -> Self {
        match why {
            BadName::Length { .. } => Self::NameTooLong,
            BadName::Byte | BadName::Dots => Self::Invalid,
        }
    }
}
