//! What the store keeps of safes, as values.
//!
//! Decides nothing.

use parsec_protocol::ids::{DeviceId, ObjectId, OrganisationId, SafeId, Timestamp, UserId};
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::safe_log::view::Present;

/// Which safe is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SafeKey<'a> {
    pub(crate) organisation: &'a OrganisationId,
    pub(crate) safe: &'a SafeId,
}

/// A safe after its last item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SafeRow {
    /// Device of its first certificate.
    pub(crate) founder: DeviceId,
    pub(crate) present: Present,
}

/// A safe to be stored.
#[derive(Debug)]
pub(crate) struct SafeToAdd<'a> {
    pub(crate) founder: &'a DeviceId,
    pub(crate) founded_by: &'a UserId,
    pub(crate) present: &'a Present,
}

/// How many safes there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SafeCounts {
    /// Of the organisation.
    pub(crate) all: u64,
    /// Of these, by one user.
    pub(crate) own: u64,
}

/// Bytes to be stored, and whose they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredItem<'a> {
    pub(crate) author: &'a UserId,
    pub(crate) bytes: &'a [u8],
}

/// A safe's turn: for a while, the items of one user alone are put into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SafeTurn {
    pub(crate) user: UserId,
    pub(crate) began: Timestamp,
    pub(crate) ends: Timestamp,
}

/// For what a race was lost, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// A certificate by an owner.
    Owner,
    /// A key, while one is due.
    Key,
    /// Another certificate.
    Certificate,
    /// A record.
    Record,
}

/// A user's lost races for the end of a safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Races {
    /// Lost in a row.
    pub(crate) lost: u32,
    pub(crate) lost_last: Timestamp,
    /// Of what lost the last one.
    pub(crate) urgency: Urgency,
    /// Since when a turn is due.
    pub(crate) due: Option<Timestamp>,
    /// Turns in a row that were not used.
    pub(crate) lapsed: u32,
    /// No turn begins sooner.
    pub(crate) not_before: Timestamp,
}

/// A part of a ring to be stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartRow<'a> {
    pub(crate) hash: &'a Hash,
    pub(crate) author: &'a UserId,
    pub(crate) bytes: &'a [u8],
}

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectState {
    /// It was put, and no record has added it.
    Uploaded,
    /// A record has added it.
    Added,
    /// A record has dropped it.
    Dropped,
}

/// An object without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectRow {
    pub(crate) hash: ObjectHash,
    pub(crate) length: u32,
    pub(crate) state: ObjectState,
}

/// An object to be stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ObjectToAdd<'a> {
    pub(crate) object: &'a ObjectId,
    pub(crate) hash: &'a ObjectHash,
    pub(crate) length: u32,
    pub(crate) author: &'a UserId,
    /// Its bytes, where they are a row's.
    pub(crate) bytes: Option<&'a [u8]>,
}
