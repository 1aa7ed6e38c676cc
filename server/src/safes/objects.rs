//! Objects on their way in and out.
//!
//! Decides which of those that are promised are wanted, before any of their bytes is read; under
//! which state one is given out; and when one that no record has added goes. Refuses another
//! content under an id that is taken.

use std::collections::{HashMap, HashSet};

use parsec_protocol::ids::{ObjectId, Timestamp};
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::relay::{ErrorCode, OBJECT_MISSING_MAX, OBJECTS_MAX_BYTES, ObjectHead, ObjectHeads};
use parsec_protocol::safe_log::record;

use super::access::counting;
use super::quota::Wish;
use super::{Asking, Terms, reader, writer};
use crate::errors::Refusal;
use crate::objects::{Named, ROW_MAX_BYTES};
use crate::store::safes::{DueObject, ObjectState, ObjectToAdd};
use crate::store::{StoreError, Tx};

/// How long an object is kept that no record has added: a large upload over a slow line, with a
/// holiday in between.
const UPLOADED_SECONDS: u64 = 14 * 86_400;

/// Which objects of a call are wanted, by their ids; the others are here.
pub(crate) type Wanted = HashSet<ObjectId>;

/// Which of the objects that are promised are wanted, and whether there is room for them. Asked
/// before their bytes are read: who may not bring them costs nothing.
///
/// # Errors
/// `safe_unknown`, `not_allowed`, `safe_not_open`, `object_conflict`, `quota_reached`.
pub(crate) fn wanted(
    tx: &dyn Tx,
    asking: &Asking<'_>,
    heads: &ObjectHeads,
    terms: &Terms<'_>,
) -> Result<Wanted, Refusal> {
    match writer(tx, asking) {
        // What a safe has lost it gets back, also where nothing new is written to it.
        Err(refusal) if refusal.code == ErrorCode::SafeNotOpen && are_awaited(tx, asking, heads)? => {}
        writer => {
            writer?;
        }
    }
    let mut wanted = Wanted::new();
    let mut bytes = 0_usize;
    for head in &heads.0 {
        if !is_here(tx, asking, head)? {
            bytes = bytes.saturating_add(usize::try_from(head.length).unwrap_or(usize::MAX));
            wanted.insert(head.object);
        }
    }
    if bytes > 0 {
        terms.quotas.admit(tx, asking.bringer(), bytes, Wish::Contents)?;
    }
    Ok(wanted)
}

fn is_here(tx: &dyn Tx, asking: &Asking<'_>, head: &ObjectHead) -> Result<bool, Refusal> {
    match tx.object(asking.of, &head.object)? {
        None => Ok(false),
        Some(there) if there.hash == head.hash => Ok(true),
        Some(_) if is_trusted_with(tx, asking, &head.object)? => Ok(false),
        Some(_) => Err(ErrorCode::ObjectConflict.into()),
    }
}

/// Whether all of these are objects of records that were put back.
fn are_awaited(tx: &dyn Tx, asking: &Asking<'_>, heads: &ObjectHeads) -> Result<bool, Refusal> {
    for head in &heads.0 {
        if tx.awaited(asking.of, &head.object)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the bytes of an object that a repair has named may be replaced by those that this member
/// brings: nobody but its record's author and those who manage the safe is sure to mean well by it,
/// and no hash of it is known here.
fn is_trusted_with(tx: &dyn Tx, asking: &Asking<'_>, object: &ObjectId) -> Result<bool, Refusal> {
    let Some(adder) = tx.awaited(asking.of, object)? else { return Ok(false) };
    Ok(adder == asking.user || counting(tx, asking.of, &asking.user)?.is_some_and(|role| role.manages()))
}

/// An object that a record has added, which was put back, is the safe's at once.
fn settle_awaited(tx: &mut dyn Tx, asking: &Asking<'_>, object: &ObjectId) -> Result<(), Refusal> {
    if tx.awaited(asking.of, object)?.is_none() {
        return Ok(());
    }
    tx.set_object_state(asking.of, object, ObjectState::Added, None)?;
    if is_trusted_with(tx, asking, object)? {
        tx.end_awaiting(asking.of, object)?;
    }
    Ok(())
}

/// Keeps objects whose bytes have come and are right; those of the large ones are in their files.
///
/// # Errors
/// As for [`wanted`]: the moment is another.
pub(crate) fn put(
    tx: &mut dyn Tx,
    asking: &Asking<'_>,
    heads: &ObjectHeads,
    come: &[(ObjectHead, Option<Vec<u8>>)],
    terms: &Terms<'_>,
) -> Result<(), Refusal> {
    tx.lock_safe(asking.of)?;
    let wanted = wanted(tx, asking, heads, terms)?;
    let due = terms.now.plus_seconds(UPLOADED_SECONDS);
    let come: HashMap<_, _> = come.iter().map(|(head, bytes)| (head.object, (head, bytes))).collect();
    for head in &heads.0 {
        let found = come.get(&head.object).filter(|(come, _)| *come == head);
        if !wanted.contains(&head.object) {
            tx.put_off_object(asking.of, &head.object, due)?;
            // Its row was here, and not its bytes: a disk has lost or damaged them.
            if let Some((_, Some(bytes))) = found {
                tx.mend_object(asking.of, &head.object, bytes)?;
            }
            settle_awaited(tx, asking, &head.object)?;
            continue;
        }
        // One that was here when its bytes would have come, and has gone since.
        let (_, bytes) = found.ok_or(Refusal::UNAVAILABLE)?;
        let ObjectHead { object, hash, length } = head;
        let bytes = bytes.as_deref();
        if tx.object(asking.of, object)?.is_some() {
            tx.remove_object(asking.of, object)?;
        }
        let added = ObjectToAdd { object, hash, length: *length, author: &asking.user, bytes };
        tx.insert_object(asking.of, &added, due)?;
        settle_awaited(tx, asking, object)?;
    }
    Ok(())
}

/// Where an object is, as far as the rows say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Nowhere.
    Missing,
    /// Its bytes are a row's.
    Row,
    /// Its bytes are a file's, if that is there.
    File(Named),
}

/// Where objects are, in the order of the question; to a question about none, those that records
/// name which were put back, and of which nobody has brought the bytes.
///
/// # Errors
/// `safe_unknown`.
pub(crate) fn presence(
    tx: &dyn Tx,
    asking: &Asking<'_>,
    objects: Vec<ObjectId>,
) -> Result<Vec<(ObjectId, Presence)>, Refusal> {
    reader(tx, asking)?;
    if objects.is_empty() {
        let manages = counting(tx, asking.of, &asking.user)?.is_some_and(|role| role.manages());
        let awaited = tx.awaited_all(asking.of, (&asking.user, manages), OBJECT_MISSING_MAX)?;
        return Ok(awaited.into_iter().map(|object| (object, Presence::Missing)).collect());
    }
    let mut found = Vec::with_capacity(objects.len());
    for object in objects {
        let presence = match tx.object(asking.of, &object)? {
            None => Presence::Missing,
            Some(there) if is_in_a_file(there.length) => Presence::File(Named { object, hash: there.hash }),
            Some(_) => Presence::Row,
        };
        found.push((object, presence));
    }
    Ok(found)
}

/// Whether the bytes of an object of this length are in a file.
fn is_in_a_file(length: u32) -> bool {
    usize::try_from(length).map_or(true, |length| length > ROW_MAX_BYTES)
}

/// The bytes of an object that was promised although its row is here: none where they are a file's,
/// or have gone. Whether they are the right ones, nobody has looked.
///
/// # Errors
/// The store's.
pub(crate) fn kept(
    tx: &dyn Tx,
    asking: &Asking<'_>,
    head: &ObjectHead,
) -> Result<(Presence, Option<Vec<u8>>), Refusal> {
    if is_in_a_file(head.length) {
        return Ok((Presence::File(Named { object: head.object, hash: head.hash }), None));
    }
    Ok((Presence::Row, tx.object_bytes(asking.of, &head.object)?))
}

/// What a record of the journal has added counts as added, where it was put again after its rows
/// had been lost: the record is the proof. What was dropped since stays so.
///
/// # Errors
/// `safe_unknown`, `not_allowed`, `safe_not_open`; `bad_request`: there is no such record.
pub(crate) fn added(tx: &mut dyn Tx, asking: &Asking<'_>, seq: u64) -> Result<(), Refusal> {
    tx.lock_safe(asking.of)?;
    writer(tx, asking)?;
    let record = tx.record(asking.of, seq)?.ok_or(ErrorCode::BadRequest)?;
    let payload = record::Envelope::decode(&record).and_then(|envelope| envelope.payload());
    for object in payload.map_err(|_| StoreError::Damaged("record"))?.adds {
        let there = tx.object(asking.of, &object)?;
        if there.is_some_and(|there| there.state == ObjectState::Uploaded) {
            tx.set_object_state(asking.of, &object, ObjectState::Added, None)?;
        }
    }
    Ok(())
}

/// An object to be given out.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) head: ObjectHead,
    /// Its bytes; none where they are in a file.
    pub(crate) bytes: Option<Vec<u8>>,
}

impl Fetched {
    pub(crate) const fn named(&self) -> Named {
        Named { object: self.head.object, hash: self.head.hash }
    }
}

/// The first of these, as many as one answer carries. What no record has added is nobody's to read.
///
/// # Errors
/// `safe_unknown`.
pub(crate) fn fetched(
    tx: &dyn Tx,
    asking: &Asking<'_>,
    objects: Vec<ObjectId>,
) -> Result<Vec<Fetched>, Refusal> {
    reader(tx, asking)?;
    let mut heads = ObjectHeads(Vec::new());
    let mut fetched = Vec::new();
    let mut asked = HashSet::new();
    for object in objects {
        let added = tx.object(asking.of, &object)?.filter(|there| there.state != ObjectState::Uploaded);
        let Some(there) = added else { continue };
        if !asked.insert(object) {
            continue;
        }
        let (hash, length): (ObjectHash, u32) = (there.hash, there.length);
        let head = ObjectHead { object, hash, length };
        heads.0.push(head);
        if heads.0.len() > parsec_protocol::relay::OBJECTS_MAX || heads.body_bytes() > OBJECTS_MAX_BYTES {
            break;
        }
        fetched.push(Fetched { head, bytes: tx.object_bytes(asking.of, &object)? });
    }
    Ok(fetched)
}

/// Removes the rows of objects that no record has added in time, of all safes.
pub(crate) fn expired(tx: &mut dyn Tx, now: Timestamp, most: usize) -> Result<Vec<DueObject>, StoreError> {
    tx.remove_due_objects(now, most)
}
