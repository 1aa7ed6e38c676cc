//! Why a store failed, whatever engine is behind it.
//!
//! Decides the kinds that the server tells apart. An engine maps its own errors to these once, and
//! `errors.rs` maps these to what a caller is told; no other file looks at a cause.

/// A failure of the store. Messages hold no stored value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no room left on the disk.
    #[error("{0}")]
    Full(String),
    /// Another program holds the database for longer than a change may wait; trying again may help.
    #[error("{0}")]
    Busy(String),
    /// A stored value is not one that this program stores: the database was changed by something
    /// else.
    #[error("the database holds a value that this server would not have stored ({0})")]
    Damaged(&'static str),
    /// Every other failure of the engine or its disk.
    #[error("{0}")]
    Failed(String),
}
