//! Snapshots: a whole state in sealed objects, so that who comes new need not fold every record
//! first.
//!
//! Decides the hash that binds all of a state, the object ids and earlier snapshots included, which
//! no state root covers. Refuses a snapshot by somebody who can't vouch for it, and one whose hash
//! is not that of the folded state: everybody who folds its record finds the same. What is opened
//! is only as true as its author's word until the journal has been folded up to it.

use std::convert::Infallible;

use minicbor::encode::Write;
use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};

use crate::codec::{self, CodecError};
use crate::ids::{EntryId, SafeId};
use crate::public_keys::Hash;
use crate::safe_log::roles::Role;
use crate::safes::change::Change;
use crate::safes::content_ref::{CHUNK_BYTES, Content, PAGE_REFERENCES, References};
use crate::safes::fold::Void;
use crate::safes::state::State;

/// Records from one snapshot to the next: so many are folded in some seconds, and where a safe has
/// ten thousand entries its snapshots take about as much room as its records.
pub const SNAPSHOT_EVERY_RECORDS: u64 = 2_000;
/// Snapshots that a state has: the newest, and the one before, where that one can't be had.
pub const SNAPSHOTS_MAX: usize = 2;
/// Most bytes of a state in a snapshot: 250 for each of a million entries, twice; one page.
pub const SNAPSHOT_MAX_BYTES: u64 = CHUNK_BYTES * PAGE_REFERENCES;

/// What a snapshot's hash begins with.
const CONTEXT: &[u8] = b"parsec-snapshot-v1\0";

/// A snapshot that a state has: its objects may not go.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Snapshot {
    /// The record that it stands in; it holds the state before.
    #[n(0)]
    pub seq: u64,
    /// The objects that hold it.
    #[n(1)]
    pub content: Content,
}

/// Bytes on their way into a hash.
struct Hashing(Sha256);

impl Write for Hashing {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.update(bytes);
        Ok(())
    }
}

/// The hash of all that a state is.
#[must_use]
pub fn root_of(state: &State) -> Hash {
    let mut hashing = Hashing(Sha256::new_with_prefix(CONTEXT));
    // Neither the hash nor our encoders have an error; a half would be a root that nobody states.
    if minicbor::encode(state, &mut hashing).is_err() {
        hashing = Hashing(Sha256::new());
    }
    Hash::from_bytes(hashing.0.finalize().into())
}

/// Why the bytes behind a snapshot are not a state to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSnapshot {
    /// They have another hash than the snapshot's author states.
    #[error("not the bytes of the snapshot's root")]
    Root,
    /// They are no state.
    #[error("no state: {0}")]
    State(CodecError),
    /// A state of another safe, or of another record than the one before.
    #[error("the state of another place")]
    OtherPlace,
}

/// Reads the state that stands in the snapshot of record `seq`.
///
/// # Errors
/// [`BadSnapshot`].
pub fn open(bytes: &[u8], root: Hash, safe: SafeId, seq: u64) -> Result<State, BadSnapshot> {
    if Hash::of(&[CONTEXT, bytes]) != root {
        return Err(BadSnapshot::Root);
    }
    let most = usize::try_from(SNAPSHOT_MAX_BYTES).unwrap_or(usize::MAX);
    let state: State = codec::decode(bytes, most).map_err(BadSnapshot::State)?;
    let here = state.root == EntryId::from_bytes(*safe.as_bytes()) && state.seq.checked_add(1) == Some(seq);
    if here { Ok(state) } else { Err(BadSnapshot::OtherPlace) }
}

/// The snapshot that a record's changes are; none where they are something else.
#[must_use]
pub fn of_changes(changes: &[Change]) -> Option<(&Content, Hash)> {
    match changes {
        [Change::Snapshot { content, root, .. }] => Some((content, *root)),
        _ => None,
    }
}

/// Whether a record of these changes, which has a snapshot among them, may state it of `state`. The
/// objects that it names are judged as those of any content.
///
/// # Errors
/// [`Void`] names the rule.
pub(super) fn judge(state: &State, changes: &[Change], role: Role) -> Result<(), Void> {
    if !role.manages() {
        return Err(Void::NotAManager);
    }
    let (content, root) = of_changes(changes).ok_or(Void::SnapshotAmongOthers)?;
    let whole = match &content.references {
        References::Direct(chunks) => chunks.iter().all(Option::is_some),
        References::Paged(_) => true,
    };
    if !whole || content.digest.is_some() || !(1..=SNAPSHOT_MAX_BYTES).contains(&content.size) {
        return Err(Void::References);
    }
    if root_of(state) == root { Ok(()) } else { Err(Void::OtherState) }
}

impl State {
    /// The newest snapshots of it, the newest one last.
    #[must_use]
    pub fn snapshots(&self) -> &[Snapshot] {
        &self.snapshots
    }

    /// Records since the newest snapshot, or since the beginning.
    #[must_use]
    pub fn records_since_snapshot(&self) -> u64 {
        self.seq.saturating_sub(self.snapshots.last().map_or(0, |newest| newest.seq))
    }

    /// Has one more, and the oldest no longer where they are too many.
    pub(super) fn note_snapshot(&mut self, content: Content) {
        self.snapshots.push(Snapshot { seq: self.seq, content });
        let over = self.snapshots.len().saturating_sub(SNAPSHOTS_MAX);
        self.snapshots.drain(..over);
    }
}
