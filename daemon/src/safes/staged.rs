//! Sealed objects on their way to the server.
//!
//! Decides which go out with a record: those that it adds and that the server does not have. What
//! was sealed under a key that is the present one no more is sealed anew first (`anew`).

use std::collections::BTreeMap;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::relay::{OBJECTS_MAX, OBJECTS_MAX_BYTES, ObjectHead, ObjectHeads, ObjectIds};

use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::store::{Store, StoreError};
use crate::transport::retry::{answered, carried};

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
        carried(heads.body_bytes(), || session.member.put_objects(id, &heads, &sealed)).await?;
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

/// What accepted records have added is the server's to keep; here it may go.
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
    session.store(move |store| store.share_objects(id, &added)).await
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
