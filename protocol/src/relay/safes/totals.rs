//! How many bytes a safe takes at the server, and how many each of its objects.
//!
//! Decides the parts of which the sum is made: together they are the figure that the server counts
//! by. It is the server's word, for a person to look at: no device decides anything by it.

use minicbor::{Decode, Encode};

use crate::ids::UserId;

/// Members whose bytes one answer has, those with the most first: a safe's members, as many as it
/// may have at once. Who is behind them is in the sum.
pub const TOTALS_USERS_MAX: usize = 1_000;

/// Objects, and the bytes of all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct Sum {
    /// How many objects there are.
    #[n(0)]
    pub objects: u64,
    /// Sealed bytes of all of them.
    #[n(1)]
    pub bytes: u64,
}

/// What one user has brought of a safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct UserBytes {
    /// Id of the user, who need not be a member any more.
    #[n(0)]
    pub user: UserId,
    /// Bytes that count for them.
    #[n(1)]
    pub bytes: u64,
}

/// What a safe takes at the server, as of one moment.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SafeTotals {
    /// Number of certificates of the safe log at that moment.
    #[n(0)]
    pub log: u64,
    /// Number of records of the journal.
    #[n(1)]
    pub seq: u64,
    /// The figure by which the server counts: the sum of all that follows.
    #[n(2)]
    pub bytes: u64,
    /// Bytes of the safe log's certificates.
    #[n(3)]
    pub certificates: u64,
    /// Bytes of the journal's records.
    #[n(4)]
    pub records: u64,
    /// Bytes of rings, their parts, blocks of past keys, and boxes.
    #[n(5)]
    pub keys: u64,
    /// Objects that were put, and that no record has added.
    #[n(6)]
    pub uploaded: Sum,
    /// Objects that a record has added.
    #[n(7)]
    pub added: Sum,
    /// Objects that a record has dropped, and that are there still.
    #[n(8)]
    pub dropped: Sum,
    /// Who has brought how much of the figure, the most first: at most [`TOTALS_USERS_MAX`].
    #[n(9)]
    pub users: Vec<UserBytes>,
    /// Bytes of all safes of the organisation.
    #[n(10)]
    pub organisation: u64,
    /// The operator's limit for these; none where there is none.
    #[n(11)]
    pub limit: Option<u64>,
}

/// How much somebody is about to bring, before they begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct RoomWanted {
    /// Sealed bytes of it, at least.
    #[n(0)]
    pub bytes: u64,
}

/// Whether it has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct SafeRoom {
    /// Bytes of all safes of the organisation.
    #[n(0)]
    pub organisation: u64,
    /// The operator's limit for these; none where there is none.
    #[n(1)]
    pub limit: Option<u64>,
    /// Whether the server's disk has room for it. How full that is, nobody is told.
    #[n(2)]
    pub disk: bool,
    /// What the safe takes, where the operator limits each one.
    #[n(3)]
    pub safe: Option<Limited>,
    /// What the caller's user has brought into all safes, where the operator limits that.
    #[n(4)]
    pub member: Option<Limited>,
}

/// How much of a limit is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Limited {
    /// Bytes that count against it.
    #[n(0)]
    pub bytes: u64,
    /// The operator's limit, in bytes.
    #[n(1)]
    pub limit: u64,
}

/// The record whose objects are to count as added, where the server takes them for such that no
/// record has added: it has lost their rows, and they were put again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct AddedBy {
    /// Seq of the record.
    #[n(0)]
    pub seq: u64,
}

/// How long objects are at the server.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ObjectLengths {
    /// Sealed bytes of each, in the order of the question; 0 for one that is not there.
    #[n(0)]
    pub lengths: Vec<u32>,
}
