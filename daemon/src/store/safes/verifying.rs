//! What the store has of a safe, looked at anew: pieces as they lie on the disk, items page by
//! page, and putting right what somebody has verified again.
//!
//! Decides that looking changes nothing: no piece counts as used, and none that is damaged goes by
//! it. Refuses to put anything in a place where nothing was.

use parsec_protocol::chain::head::Head;
use parsec_protocol::codec;
use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::object_hash::ObjectHash;
use zeroize::Zeroizing;

use super::StoredRecord;
use super::items::role_number;
use crate::store::integers::{integer, natural};
use crate::store::{Store, StoreError};

/// What the disk has of a piece.
#[derive(Debug)]
pub enum PieceHere {
    /// Nothing: it was never kept, or has made room for others.
    Absent,
    /// The very bytes that its hash names.
    Right(Zeroizing<Vec<u8>>),
    /// Something else, or nothing where it should be.
    Damaged,
}

/// A piece that waits to be shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingPiece {
    /// Id of the object.
    pub object: ObjectId,
    /// Number of its sealed bytes.
    pub length: u64,
}

impl Store {
    /// What the disk has of a piece, kept or waiting.
    ///
    /// # Errors
    /// The database's.
    pub fn look_at_piece(
        &self,
        safe: SafeId,
        object: ObjectId,
        hash: &ObjectHash,
    ) -> Result<PieceHere, StoreError> {
        match self.staged_object(safe, object) {
            Ok(Some(staged)) if staged.hash == *hash => {
                return Ok(PieceHere::Right(Zeroizing::new(staged.sealed)));
            }
            Ok(_) => {}
            Err(StoreError::Damaged(_) | StoreError::UnsafePath { .. }) => return Ok(PieceHere::Damaged),
            Err(error) => return Err(error),
        }
        let look = || {
            let state = self.pieces.state();
            let kept = state.index.get(&(safe, object)).filter(|kept| kept.hash == *hash);
            kept.zip(state.folders.get(&safe).copied())
        };
        let Some((kept, folder)) = look() else { return Ok(PieceHere::Absent) };
        match self.pieces.read(folder, kept.place, kept.length, hash) {
            Ok(Some(piece)) => Ok(PieceHere::Right(Zeroizing::new(piece.into_inner()))),
            // It may have made room for others just now.
            Ok(None) | Err(_) => Ok(match look() {
                Some((now, _)) if now.place == kept.place => PieceHere::Damaged,
                Some(_) | None => PieceHere::Absent,
            }),
        }
    }

    /// A piece that is kept is kept no more: what is on the disk is not what was written.
    pub fn give_up_piece(&self, safe: SafeId, object: ObjectId) {
        self.pieces.drop_kept(&mut self.pieces.state(), &(safe, object));
    }

    /// All pieces of a safe that wait to be shared, or were added and not counted yet.
    ///
    /// # Errors
    /// The disk's.
    pub fn waiting_pieces(&self, safe: SafeId) -> Result<Vec<WaitingPiece>, StoreError> {
        let inner = self.inner()?;
        let mut select =
            inner.connection.prepare("SELECT object, length FROM safe_waiting WHERE safe = ?1")?;
        let mut rows = select.query([safe.as_bytes()])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(WaitingPiece {
                object: ObjectId::from_bytes(row.get(0)?),
                length: natural(row.get(1)?)?,
            });
        }
        Ok(all)
    }

    /// Bytes of a safe's pieces that wait to be sent.
    ///
    /// # Errors
    /// The disk's.
    pub fn unsent_bytes(&self, safe: SafeId) -> Result<u64, StoreError> {
        let inner = self.inner()?;
        let sum = "SELECT coalesce(sum(length), 0) FROM safe_waiting WHERE safe = ?1 AND NOT uploaded";
        natural(inner.connection.query_row(sum, [safe.as_bytes()], |row| row.get(0))?)
    }

    /// The record of a number is this one: it was verified again, and what is here is another.
    /// Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn mend_safe_record(&self, safe: SafeId, seq: u64, record: &StoredRecord) -> Result<(), StoreError> {
        let StoredRecord { author, role, envelope } = record;
        self.inner()?.connection.execute(
            "UPDATE safe_record SET author = ?3, role = ?4, envelope = ?5 WHERE safe = ?1 AND seq = ?2",
            (safe.as_bytes(), integer(seq)?, author.as_bytes(), role_number(*role), envelope),
        )?;
        Ok(())
    }

    /// The same of the certificate at a position.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn mend_safe_certificate(
        &self,
        safe: SafeId,
        position: u64,
        envelope: &[u8],
    ) -> Result<(), StoreError> {
        self.inner()?.connection.execute(
            "UPDATE safe_certificate SET envelope = ?3 WHERE safe = ?1 AND position = ?2",
            (safe.as_bytes(), integer(position)?, envelope),
        )?;
        Ok(())
    }

    /// What is noted of the verified logs is this. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn mend_safe_verified(
        &self,
        safe: SafeId,
        verified: &[u8],
        heads: [Head; 2],
    ) -> Result<(), StoreError> {
        self.inner()?.connection.execute(
            "UPDATE safe SET verified = ?2, heads = ?3 WHERE id = ?1",
            (safe.as_bytes(), verified, codec::encode(&heads)),
        )?;
        Ok(())
    }
}
