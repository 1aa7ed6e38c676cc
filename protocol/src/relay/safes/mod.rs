//! What is asked and answered about safes (docs/protocol.md, *Metadata server*).
//!
//! Decides the records, the form in which objects travel, and the bounds of both. Refuses a body of
//! objects whose heads can't be read or promise too much, before any object is looked at. Whether a
//! certificate or record may stand is for the rules of `safe_log`; what an object holds is sealed.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::{LogPage, Reaches};
use crate::chain::head::Head;
use crate::ids::{DeviceId, SafeId, UserId};
use crate::limits::{RECORD_MAX_BYTES, RING_HEAD_MAX_BYTES, SAFE_CERTIFICATE_MAX_BYTES, SAFE_CHANGES_MAX};
use crate::safe_log::ring::BoxFor;
use crate::safe_log::roles::Role;
use crate::sealing::SECRET_BOX_BYTES;

mod objects;
mod repair;
mod totals;

pub use objects::{
    OBJECT_FETCH_MAX, OBJECT_HEADS_LENGTH_BYTES, OBJECT_HEADS_MAX_BYTES, OBJECT_MISSING_MAX, OBJECTS_MAX,
    OBJECTS_MAX_BYTES, ObjectHead, ObjectHeads, ObjectIds, ObjectsFault,
};
pub use repair::{RepairItem, SAFE_REPAIR_ITEMS_MAX, SAFE_REPAIR_MAX_BYTES, SafeRepair, SafeRepaired};
pub use totals::{
    AddedBy, Limited, ObjectLengths, RoomWanted, SafeRoom, SafeTotals, Sum, TOTALS_USERS_MAX, UserBytes,
};

/// Safes in one answer of the list: some 250 KB a page.
pub const SAFE_PAGE_MAX: usize = 2_000;
/// Bytes of records in one answer, whatever their number; one record at least.
pub const JOURNAL_PAGE_MAX_BYTES: usize = 1_000_000;
/// Posted boxes that a member is given of one epoch: one for each author, the newest first. More
/// than any honest safe has, since one right box ends the need.
pub const POSTED_BOXES_MAX: usize = 200;
/// Framing of a record and of each byte string in it: more than any of these takes.
const FRAME_BYTES: usize = 32;
/// Largest body that makes a safe: its ring has one member, hence one part.
pub const NEW_SAFE_MAX_BYTES: usize =
    SAFE_CERTIFICATE_MAX_BYTES + RING_HEAD_MAX_BYTES + SECRET_BOX_BYTES + 4 * FRAME_BYTES;
/// Largest body with a certificate: a ring head, and a box for each change that it can make.
pub const SAFE_CERTIFICATE_CALL_MAX_BYTES: usize = SAFE_CERTIFICATE_MAX_BYTES
    + RING_HEAD_MAX_BYTES
    + SAFE_CHANGES_MAX * (SECRET_BOX_BYTES + FRAME_BYTES)
    + 3 * FRAME_BYTES;
/// Largest body with a record.
pub const RECORD_CALL_MAX_BYTES: usize = RECORD_MAX_BYTES + FRAME_BYTES;

/// Name of the event that tells how far a safe has come: a [`SafeHint`].
pub const EVENT_SAFE: &str = "safe";

/// How far a safe has come: a hint to read it. It says nothing about what its logs hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct SafeHint {
    /// Id of the safe.
    #[n(0)]
    pub safe: SafeId,
    /// Number of certificates of its log.
    #[n(1)]
    pub log: u64,
    /// Number of records of its journal.
    #[n(2)]
    pub seq: u64,
}

/// One safe whose log gives the calling user a role, or gave one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct SafeEntry {
    /// Id of the safe.
    #[n(0)]
    pub safe: SafeId,
    /// Device that signed the first certificate: both chains begin with it.
    #[n(1)]
    pub founder: DeviceId,
    /// The user's role; none where it was taken away, or the user has left.
    #[n(2)]
    pub role: Option<Role>,
    /// Where the safe log ends.
    #[n(3)]
    pub log: Head,
    /// Where the journal ends.
    #[n(4)]
    pub journal: Head,
}

/// A page of the calling user's safes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SafeList {
    /// Ascending by id, at most [`SAFE_PAGE_MAX`].
    #[n(0)]
    pub safes: Vec<SafeEntry>,
    /// What to ask for the next page with, where there is one: the last id of this page.
    #[n(1)]
    pub next: Option<SafeId>,
}

/// Makes a safe. Idempotent for equal bytes. Answered by [`SafeLogged`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct NewSafe {
    /// The envelope of a *created*, signed by the calling device.
    #[n(0)]
    pub certificate: ByteVec,
    /// Encoding of the ring's head.
    #[n(1)]
    pub ring: ByteVec,
    /// Encodings of its parts, as many as the head names.
    #[n(2)]
    pub parts: Vec<ByteVec>,
}

/// Puts a certificate at the end of a safe's log, with what comes with it: all or nothing.
/// Idempotent for equal bytes. Answered by [`SafeLogged`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SafeCertificate {
    /// The envelope, signed by the calling device.
    #[n(0)]
    pub certificate: ByteVec,
    /// Encoding of the ring's head, where the certificate makes a key. Its parts were put before.
    #[n(1)]
    pub ring: Option<ByteVec>,
    /// Boxes of the present key for those who get a role without a new key, ascending by user.
    #[n(2)]
    pub boxes: Vec<BoxFor>,
}

/// The certificate is in the safe's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct SafeLogged {
    /// Number of certificates up to and with this one.
    #[n(0)]
    pub count: u64,
}

/// The boxes that were posted for one member in one epoch, beside the ring's own.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PostedBoxes {
    /// One for each author, the newest first, at most [`POSTED_BOXES_MAX`].
    #[n(0)]
    pub boxes: Vec<PostedBox>,
}

/// A box, and who posted it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PostedBox {
    /// The member who posted it: whom an alarm names where it is wrong.
    #[n(0)]
    pub author: UserId,
    /// [`SECRET_BOX_BYTES`].
    #[n(1)]
    pub sealed: ByteVec,
}

/// A page of a safe's log.
pub type SafeLogPage = LogPage;

/// A page of a safe's journal.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct JournalPage {
    /// How many records the journal has now.
    #[n(0)]
    pub seq: u64,
    /// Envelopes behind the asked place, as many as fit [`JOURNAL_PAGE_MAX_BYTES`], at least one.
    #[n(1)]
    pub records: Vec<ByteVec>,
}

impl Reaches for JournalPage {
    fn reach(&self) -> u64 {
        self.seq
    }
}

/// Puts a record at the end of a safe's journal. Idempotent for equal bytes. Answered by
/// [`RecordAnswer`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct NewRecord {
    /// The envelope, signed by the calling device.
    #[n(0)]
    pub record: ByteVec,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum RecordAnswer {
    /// It is in the journal.
    #[n(0)]
    Accepted {
        /// Its place: the number of records up to and with it.
        #[n(0)]
        seq: u64,
    },
    /// The safe has gone on: the record doesn't stand next.
    #[n(1)]
    MovedOn {
        /// Number of certificates of the safe's log.
        #[n(0)]
        log: u64,
        /// Number of records of the journal.
        #[n(1)]
        seq: u64,
        /// Those that stand where the record would, and after, as in a [`JournalPage`].
        #[n(2)]
        records: Vec<ByteVec>,
    },
}
