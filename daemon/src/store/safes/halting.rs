//! What halts a safe, and a person's word about it.
//!
//! Decides that a halt stays until that word, and that the word is about two heads: what is before
//! them is taken in whatever was known here before, and nothing behind them. A halt of which it is
//! not known where it would end is found anew. Durable when each call returns.

use minicbor::{Decode, Encode};
use parsec_protocol::chain::head::Head;
use parsec_protocol::codec;
use parsec_protocol::ids::{DeviceId, SafeId};
use parsec_protocol::limits::BODY_MAX_BYTES;

use crate::store::{Store, StoreError};

/// What a safe is halted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    /// What was found, in a sentence.
    pub found: String,
    /// Where the two logs would end with all of it.
    pub heads: [Head; 2],
    /// Certificates and records that would be taken in.
    pub items: [u64; 2],
    /// The devices that made them, each once.
    pub authors: Vec<DeviceId>,
}

/// The same as it is kept, beside the sentence.
#[derive(Encode, Decode)]
struct Kept {
    #[n(0)]
    heads: [Head; 2],
    #[n(1)]
    items: [u64; 2],
    #[n(2)]
    authors: Vec<DeviceId>,
}

/// Out of its two columns.
pub(super) fn read(found: Option<String>, kept: Option<Vec<u8>>) -> Result<Option<Halt>, StoreError> {
    let Some((found, kept)) = found.zip(kept) else { return Ok(None) };
    let kept: Kept = codec::decode(&kept, BODY_MAX_BYTES)
        .map_err(|_| StoreError::Damaged("what halted a safe in it is malformed"))?;
    Ok(Some(Halt { found, heads: kept.heads, items: kept.items, authors: kept.authors }))
}

impl Store {
    /// Nothing more of a safe is taken, until a person has looked.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn halt_safe(&self, safe: SafeId, halt: &Halt) -> Result<(), StoreError> {
        let kept = Kept { heads: halt.heads, items: halt.items, authors: halt.authors.clone() };
        self.inner()?.connection.execute(
            "UPDATE safe SET halted = ?2, halt = ?3 WHERE id = ?1",
            (safe.as_bytes(), &halt.found, codec::encode(&kept)),
        )?;
        Ok(())
    }

    /// A person has looked: what ends at these heads is taken in. Nothing changes where the safe is
    /// halted for something else by now; whether it changed.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn accept_halt(&self, safe: SafeId, halt: &Halt) -> Result<bool, StoreError> {
        let kept = Kept { heads: halt.heads, items: halt.items, authors: halt.authors.clone() };
        let changed = self.inner()?.connection.execute(
            "UPDATE safe SET halted = NULL, halt = NULL, accepted = ?2 WHERE id = ?1 AND halt = ?3",
            (safe.as_bytes(), codec::encode(&halt.heads), codec::encode(&kept)),
        )?;
        Ok(changed == 1)
    }

    /// Items were taken in where a person's word was about some: it is used up. Where those were
    /// the ones it was about, so is what another device of theirs had marked before it.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn use_up_accepted(&self, safe: SafeId, taken: bool) -> Result<(), StoreError> {
        self.inner()?.connection.execute(
            "UPDATE safe SET accepted = NULL, marked = CASE WHEN ?2 THEN NULL ELSE marked END WHERE id = ?1",
            (safe.as_bytes(), taken),
        )?;
        Ok(())
    }
}
