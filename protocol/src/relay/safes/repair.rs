//! How a member puts back what a restore of the server's database took off the end of a safe.
//!
//! Decides the records and their bounds. Whether an item may stand where it says is for the rules
//! of `safe_log`, which the server applies as every reader does.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::FRAME_BYTES;
use crate::limits::{
    BODY_MAX_BYTES, RING_HEAD_MAX_BYTES, RING_PART_BOXES, RING_PART_MAX_BYTES, SAFE_CERTIFICATE_MAX_BYTES,
    SAFE_MEMBERS_MAX,
};
use crate::safe_log::ring::BoxFor;

/// Items in one call: as many signatures as a repair of the organisation's log has.
pub const SAFE_REPAIR_ITEMS_MAX: usize = 500;
/// Largest body of the call: one item of the largest kind, a certificate with the ring of as many
/// members as a safe may have. Smaller ones share it.
pub const SAFE_REPAIR_MAX_BYTES: usize = SAFE_CERTIFICATE_MAX_BYTES
    + RING_HEAD_MAX_BYTES
    + SAFE_MEMBERS_MAX.div_ceil(RING_PART_BOXES) * (RING_PART_MAX_BYTES + FRAME_BYTES)
    + 4 * FRAME_BYTES;
const _: () = assert!(SAFE_REPAIR_MAX_BYTES <= BODY_MAX_BYTES, "no call takes more than the protocol allows");

/// An item of a safe as the caller has verified it, with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum RepairItem {
    /// A certificate of the safe's log.
    #[n(0)]
    Certificate {
        /// The envelope, as its author signed it.
        #[n(0)]
        certificate: ByteVec,
        /// Encoding of the ring's head, where the certificate makes a key.
        #[n(1)]
        ring: Option<ByteVec>,
        /// Encodings of the ring's parts.
        #[n(2)]
        parts: Vec<ByteVec>,
        /// The boxes that came with it, all or none: members can make them again.
        #[n(3)]
        boxes: Vec<BoxFor>,
    },
    /// A record of its journal.
    #[n(1)]
    Record {
        /// The envelope, as its author signed it.
        #[n(0)]
        record: ByteVec,
    },
}

/// Items of a safe in their one order. What the server holds already is compared and passed over,
/// so equal bytes are answered alike. Answered by [`SafeRepaired`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SafeRepair {
    /// 1 to [`SAFE_REPAIR_ITEMS_MAX`].
    #[n(0)]
    pub items: Vec<RepairItem>,
}

/// They are in the safe, all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct SafeRepaired {
    /// How many certificates its log has now.
    #[n(0)]
    pub log: u64,
    /// How many records its journal has now.
    #[n(1)]
    pub seq: u64,
    /// How many of the items this call has put back.
    #[n(2)]
    pub added: u64,
}
