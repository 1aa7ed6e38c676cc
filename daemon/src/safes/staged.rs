//! Sealed objects on their way to the server.
//!
//! Decides which go out with a record: those that it adds and that the server does not have. What
//! was sealed under a key that is the present one no more is sealed anew, under new ids: members
//! who lost their role have the old one.

use std::collections::BTreeMap;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::relay::{OBJECTS_MAX, OBJECTS_MAX_BYTES, ObjectHead, ObjectHeads, ObjectIds};
use parsec_protocol::safes::change::{Change, Kind};
use parsec_protocol::safes::content::{CHUNK_LENGTH, chunks, open_chunk, open_page, padded_length};
use parsec_protocol::safes::content_ref::{Content, PAGE_REFERENCES, Reference, References};
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::object::{self, OBJECT_TAG_BYTES, ObjectKind};

use super::folding;
use crate::os::{blocking_in, entropy};
use crate::problems;
use crate::session::Session;
use crate::session::open_safes::{OpenSafe, Queued};
use crate::store::{StagedObject, Store, StoreError};
use crate::transport::retry::answered;

/// Gives the server the objects of a record that it does not have.
///
/// # Errors
/// The server's and the store's.
pub(super) async fn upload(session: &Session, safe: &OpenSafe, adds: &[ObjectId]) -> Result<(), Problem> {
    let id = safe.id;
    let staged: BTreeMap<_, _> =
        session.store(move |store| store.staged_objects(id)).await?.into_iter().collect();
    let mut wanted: Vec<_> =
        adds.iter().copied().filter(|object| staged.get(object) != Some(&true)).collect();
    while !wanted.is_empty() {
        let (heads, sealed) = one_call(session, id, &mut wanted).await?;
        answered(|| session.member.put_objects(id, &heads, &sealed)).await?;
        let done: Vec<_> = heads.0.iter().map(|head| head.object).collect();
        session.store(move |store| store.set_objects_uploaded(id, &done, true)).await?;
    }
    Ok(())
}

/// As many objects from the end of `wanted` as one call takes.
async fn one_call(
    session: &Session,
    safe: SafeId,
    wanted: &mut Vec<ObjectId>,
) -> Result<(ObjectHeads, Vec<Vec<u8>>), Problem> {
    let (mut heads, mut sealed) = (ObjectHeads(Vec::new()), Vec::new());
    while let Some(object) = wanted.pop() {
        let found = session.store(move |store| store.staged_object(safe, object)).await?;
        let lost = || Problem::new(ProblemKind::StoreDamaged, "Contents that wait are not in the store.");
        let found = found.ok_or_else(lost)?;
        let length = u32::try_from(found.sealed.len()).unwrap_or(u32::MAX);
        heads.0.push(ObjectHead { object, hash: found.hash, length });
        if heads.0.len() > OBJECTS_MAX || heads.body_bytes() > OBJECTS_MAX_BYTES {
            heads.0.pop();
            wanted.push(object);
            break;
        }
        sealed.push(found.sealed);
    }
    Ok((heads, sealed))
}

/// The server says that it lacks some of these: what was noted of them is wrong.
///
/// # Errors
/// The server's and the store's.
pub(super) async fn look_again(session: &Session, safe: &OpenSafe, adds: &[ObjectId]) -> Result<(), Problem> {
    let id = safe.id;
    let asked = ObjectIds { objects: adds.to_vec() };
    let missing = answered(|| session.member.missing_objects(id, &asked)).await?;
    session.store(move |store| store.set_objects_uploaded(id, &missing.objects, false)).await
}

/// What accepted records have added is the server's to keep.
///
/// # Errors
/// The store's.
pub(super) async fn drop_added(session: &Session, safe: &OpenSafe) -> Result<(), Problem> {
    let id = safe.id;
    let staged = session.store(move |store| store.staged_objects(id)).await?;
    let added: Vec<_> = {
        let memory = safe.memory().await;
        staged
            .into_iter()
            .map(|(object, _)| object)
            .filter(|object| memory.base.has_object(*object))
            .collect()
    };
    if added.is_empty() {
        return Ok(());
    }
    session.store(move |store| store.drop_objects(id, &added)).await
}

/// Objects that nothing names: a program went away while its file was being sealed. To be called
/// where nobody can be sealing.
///
/// # Errors
/// The store's.
pub(super) fn drop_unnamed(store: &Store, safe: SafeId, named: &[ObjectId]) -> Result<(), StoreError> {
    let staged = store.staged_objects(safe)?;
    let unnamed: Vec<_> =
        staged.into_iter().map(|(object, _)| object).filter(|object| !named.contains(object)).collect();
    if unnamed.is_empty() { Ok(()) } else { store.drop_objects(safe, &unnamed) }
}

/// Seals anew what waits under a key that is the present one no more.
///
/// # Errors
/// `safe_key_missing`; the random source's; the store's.
pub(super) async fn seal_anew(session: &Session, safe: &OpenSafe) -> Result<(), Problem> {
    let mut memory = safe.memory().await;
    let Some(present) = memory.verified.present().map(|now| now.key.epoch) else { return Ok(()) };
    let old = move |content: &Content| content.objects().any(|reference| reference.epoch != present);
    let stale =
        move |queued: &Queued| !queued.adds.is_empty() && queued.pending.change.content().is_some_and(old);
    if !memory.queue.iter().any(stale) {
        return Ok(());
    }
    let (open, id) = (std::sync::Arc::clone(&session.open), safe.id);
    blocking_in(&session.tasks, move || {
        let mut queue = memory.queue.clone();
        for queued in queue.iter_mut().filter(|queued| stale(queued)) {
            let adds: Vec<_> =
                queued.adds.iter().copied().filter(|object| !memory.base.has_object(*object)).collect();
            let mut anew = Anew {
                store: &open.store,
                safe: id,
                keys: &memory.keys,
                present,
                adds: &adds,
                made: Vec::new(),
            };
            let change = anew.change(&queued.pending.change)?;
            queued.adds = anew.made;
            queued.pending.change = change;
        }
        open.store.replace_safe_queue(id, &folding::encoded(&queue))?;
        memory.delta = super::overlay::of(&memory.base, &queue, &folding::stamp(&open));
        memory.queue = queue;
        Ok::<_, Problem>(())
    })
    .await
}

/// Seals the objects of one change anew.
struct Anew<'a> {
    store: &'a Store,
    safe: SafeId,
    keys: &'a SafeKeys,
    present: u64,
    /// Those that no accepted record has added.
    adds: &'a [ObjectId],
    made: Vec<ObjectId>,
}

impl Anew<'_> {
    fn change(&mut self, change: &Change) -> Result<Change, Problem> {
        let mut change = change.clone();
        match &mut change {
            Change::Add { kind: Kind::File(content), .. } | Change::Content { content, .. } => {
                *content = self.content(content)?;
            }
            _ => {}
        }
        Ok(change)
    }

    fn content(&mut self, content: &Content) -> Result<Content, Problem> {
        let size = content.size;
        let references = match &content.references {
            References::Direct(all) => References::Direct(self.chunks(size, 0, all)?),
            References::Paged(pages) => {
                let mut anew = Vec::new();
                for (number, page) in (0_u64..).zip(pages) {
                    anew.push(self.page(size, number, page)?);
                }
                References::Paged(anew)
            }
        };
        Ok(Content { size, digest: content.digest, references })
    }

    fn chunks(
        &mut self,
        size: u64,
        from: u64,
        all: &[Option<Reference>],
    ) -> Result<Vec<Option<Reference>>, Problem> {
        let mut anew = Vec::new();
        for (number, reference) in (from..).zip(all) {
            anew.push(match reference {
                Some(reference) if self.adds.contains(&reference.object) => {
                    let mut buffer = self.sealed(reference)?;
                    buffer.reserve(CHUNK_LENGTH + OBJECT_TAG_BYTES);
                    open_chunk(self.keys, size, number, reference, &mut buffer).map_err(|_| unreadable())?;
                    buffer.resize(padded_length(size, number), 0);
                    Some(self.seal(ObjectKind::Chunk, buffer)?)
                }
                other => *other,
            });
        }
        Ok(anew)
    }

    fn page(&mut self, size: u64, number: u64, page: &Reference) -> Result<Reference, Problem> {
        if !self.adds.contains(&page.object) {
            return Ok(*page);
        }
        let mut buffer = self.sealed(page)?;
        let all = open_page(self.keys, size, number, page, &mut buffer).map_err(|_| unreadable())?;
        let from = number.saturating_mul(PAGE_REFERENCES).min(chunks(size));
        let anew = self.chunks(size, from, &all)?;
        self.seal(ObjectKind::Page, parsec_protocol::codec::encode(&anew))
    }

    fn sealed(&self, reference: &Reference) -> Result<Vec<u8>, Problem> {
        let found = self.store.staged_object(self.safe, reference.object)?;
        found.map(|found| found.sealed).ok_or_else(unreadable)
    }

    fn seal(&mut self, kind: ObjectKind, mut buffer: Vec<u8>) -> Result<Reference, Problem> {
        let key = self.keys.at(self.present).ok_or_else(|| {
            Problem::new(
                ProblemKind::SafeKeyMissing,
                "This device has not been given the safe's present key yet.",
            )
        })?;
        let reference =
            object::seal(&key, kind, &mut buffer, &mut entropy::System).map_err(problems::no_entropy)?;
        let staged = StagedObject { object: reference.object, hash: reference.blake3, sealed: buffer };
        self.store.stage_objects(self.safe, &[staged])?;
        self.made.push(reference.object);
        Ok(reference)
    }
}

fn unreadable() -> Problem {
    Problem::new(ProblemKind::StoreDamaged, "Contents that wait can't be read in the store.")
}
