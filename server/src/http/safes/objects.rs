//! Objects as they come and go: heads first, then the bytes of each.
//!
//! Decides when something is read and written down. Heads are what was signed: they are read first,
//! and who may not bring what they promise is refused by them. Each object is hashed while it
//! comes, and written down when it is whole and right; of a body with one bad object, nothing is
//! kept. A member who is refused is let finish, and what still comes is dropped: an answer to
//! somebody who is writing is lost with the connection.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use http_body_util::BodyExt as _;
use parsec_protocol::ids::{ObjectId, SafeId, Timestamp};
use parsec_protocol::object_hash::{ObjectHash, ObjectHasher};
use parsec_protocol::relay::{
    ErrorCode, OBJECT_HEADS_LENGTH_BYTES, OBJECT_HEADS_MAX_BYTES, ObjectHead, ObjectHeads, ObjectIds,
    ObjectsFault,
};

use super::super::authenticated::Caller;
use super::super::signed::Signed;
use super::super::{App, body};
use super::check_room;
use crate::errors::Refusal;
use crate::objects::{Folder, Named, ObjectStore, ROW_MAX_BYTES, SafeName};
use crate::safes::{self, Presence, Terms, Wanted};
use crate::store::{StoreError, Tx};

/// How long all of them may take to arrive: 1,100,000 bytes over a line of 300 kbit/s need 30 s.
const BODY_WAIT: Duration = Duration::from_secs(45);

/// A body of objects while it arrives.
struct Incoming {
    body: Body,
    /// What came and was not taken yet.
    rest: Bytes,
}

impl Incoming {
    /// Up to `most` of what comes next, one byte at least; nothing at the end.
    async fn next(&mut self, most: usize) -> Result<Bytes, Refusal> {
        while self.rest.is_empty() {
            match self.body.frame().await {
                Some(Ok(frame)) => self.rest = frame.into_data().unwrap_or_default(),
                // The peer went away or sent half of what it promised.
                Some(Err(_)) => return Err(ErrorCode::BadRequest.into()),
                None => return Ok(Bytes::new()),
            }
        }
        Ok(self.rest.split_to(most.min(self.rest.len())))
    }

    /// Exactly so many bytes, each piece shown to `see` as it comes.
    async fn exactly(
        &mut self,
        length: usize,
        mut see: impl FnMut(&[u8]) + Send,
    ) -> Result<Vec<u8>, Refusal> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let piece = self.next(length.saturating_sub(bytes.len())).await?;
            if piece.is_empty() {
                return Err(ErrorCode::BadRequest.into());
            }
            see(&piece);
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// The heads, once they are the ones that were signed for.
    async fn heads(&mut self, signed: &Signed) -> Result<ObjectHeads, Refusal> {
        let length = self.exactly(OBJECT_HEADS_LENGTH_BYTES, |_| {}).await?;
        let length = length.try_into().map(u32::from_be_bytes).map_err(|_| ErrorCode::BadRequest)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > OBJECT_HEADS_MAX_BYTES {
            return Err(ErrorCode::TooLarge.into());
        }
        let heads = self.exactly(length, |_| {}).await?;
        signed.check_hash(&ObjectHeads::signed_hash_of(&heads))?;
        ObjectHeads::read(&heads).map_err(|fault| match fault {
            ObjectsFault::TooLarge => ErrorCode::TooLarge.into(),
            ObjectsFault::Unreadable | ObjectsFault::Misshapen => ErrorCode::BadRequest.into(),
        })
    }

    /// What still comes, as far as the heads promise it.
    async fn drop_rest(&mut self, heads: &ObjectHeads) {
        let mut rest = heads.body_bytes();
        while rest > 0 {
            match self.next(rest).await {
                Ok(piece) if !piece.is_empty() => rest = rest.saturating_sub(piece.len()),
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// The bytes of one object, which are what its head says.
    async fn object(&mut self, head: &ObjectHead) -> Result<Vec<u8>, Refusal> {
        let mut hasher = ObjectHasher::default();
        let length = usize::try_from(head.length).unwrap_or(usize::MAX);
        let bytes = self.exactly(length, |piece| hasher.update(piece)).await?;
        if hasher.finish() == head.hash { Ok(bytes) } else { Err(ErrorCode::NotAuthenticated.into()) }
    }
}

/// What came of one body: small objects by their bytes, large ones on the disk without a name.
struct Come<S> {
    rows: Vec<(ObjectHead, Option<Vec<u8>>)>,
    files: Vec<(Named, S)>,
}

/// Takes objects. The request's head was checked; its body is read here.
pub(in super::super) async fn put(
    app: &Arc<App>,
    caller: Caller,
    safe: SafeId,
    signed: &Signed,
    content: Body,
    now: Timestamp,
) -> Result<Response, Refusal> {
    let receiving = receive(app, &caller, safe, signed, content, now);
    let (heads, come) = match tokio::time::timeout(BODY_WAIT, receiving).await {
        Ok(received) => received?,
        Err(_) => return Err(Refusal::UNAVAILABLE),
    };
    let place = SafeName { organisation: caller.organisation.clone(), safe };
    let Come { rows, files } = come;
    // Until the rows are there: what removes files that have no row waits meanwhile.
    let _publishing = app.objects.publishing.read().await;
    let publisher = Arc::clone(app);
    blocking(move || publisher.objects.store.publish(&place, files)).await?;
    let (store, app) = (caller.store(app), Arc::clone(app));
    let put = move |tx: &mut dyn Tx| {
        let asking = caller.asking(tx, &safe)?;
        safes::put_objects(tx, &asking, &heads, &rows, &Terms::at(now, &app.safe_quotas))
    };
    store.write(put).await?;
    Ok(body::done())
}

async fn receive(
    app: &Arc<App>,
    caller: &Caller,
    safe: SafeId,
    signed: &Signed,
    content: Body,
    now: Timestamp,
) -> Result<(ObjectHeads, Come<<Folder as ObjectStore>::Staged>), Refusal> {
    let mut incoming = Incoming { body: content, rest: Bytes::new() };
    let heads = incoming.heads(signed).await?;
    let come = receive_objects(app, caller, safe, &heads, &mut incoming, now).await;
    if come.is_err() {
        incoming.drop_rest(&heads).await;
    }
    Ok((heads, come?))
}

async fn receive_objects(
    app: &Arc<App>,
    caller: &Caller,
    safe: SafeId,
    heads: &ObjectHeads,
    incoming: &mut Incoming,
    now: Timestamp,
) -> Result<Come<<Folder as ObjectStore>::Staged>, Refusal> {
    check_room(app, heads.body_bytes())?;
    let mut wanted = wanted(app, caller.clone(), safe, heads.clone(), now).await?;
    wanted.extend(unsound(app, caller.clone(), safe, heads, &wanted).await?);
    let mut come = Come { rows: Vec::new(), files: Vec::new() };
    for head in &heads.0 {
        let bytes = incoming.object(head).await?;
        if !wanted.contains(&head.object) {
            continue;
        }
        if bytes.len() <= ROW_MAX_BYTES {
            come.rows.push((*head, Some(bytes)));
            continue;
        }
        let app = Arc::clone(app);
        let staged = blocking(move || app.objects.store.stage(&bytes)).await?;
        come.files.push((Named { object: head.object, hash: head.hash }, staged));
        come.rows.push((*head, None));
    }
    if incoming.next(1).await?.is_empty() { Ok(come) } else { Err(ErrorCode::BadRequest.into()) }
}

/// Those that are promised, whose rows are here and whose bytes are not, or are others: a disk has
/// lost or damaged them, and whoever has them may put them back.
async fn unsound(
    app: &Arc<App>,
    caller: Caller,
    safe: SafeId,
    heads: &ObjectHeads,
    wanted: &Wanted,
) -> Result<Vec<ObjectId>, Refusal> {
    let there: Vec<_> = heads.0.iter().copied().filter(|head| !wanted.contains(&head.object)).collect();
    if there.is_empty() {
        return Ok(Vec::new());
    }
    let place = SafeName { organisation: caller.organisation.clone(), safe };
    let store = caller.store(app);
    let read = move |tx: &dyn Tx| {
        let asking = caller.asking(tx, &safe)?;
        let kept = |head: ObjectHead| Ok((head, safes::kept(tx, &asking, &head)?));
        there.into_iter().map(kept).collect::<Result<Vec<_>, Refusal>>()
    };
    let kept = store.read(read).await?;
    let app = Arc::clone(app);
    blocking(move || {
        let mut unsound = Vec::new();
        for (head, (presence, bytes)) in kept {
            let bytes = match presence {
                Presence::File(named) => app.objects.store.read(&place, &named)?,
                Presence::Row | Presence::Missing => bytes,
            };
            if bytes.is_none_or(|bytes| ObjectHash::of(&bytes) != head.hash) {
                tracing::error!("an object that is put again was missing or damaged here");
                unsound.push(head.object);
            }
        }
        Ok(unsound)
    })
    .await
}

/// Those of these objects that are not here: without a row, or without the file that it names.
pub(super) async fn missing(
    app: &Arc<App>,
    caller: Caller,
    safe: SafeId,
    asked: ObjectIds,
) -> Result<Vec<ObjectId>, Refusal> {
    let place = SafeName { organisation: caller.organisation.clone(), safe };
    let store = caller.store(app);
    let read = move |tx: &dyn Tx| safes::presence(tx, &caller.asking(tx, &safe)?, asked.objects);
    let presence = store.read(read).await?;
    let app = Arc::clone(app);
    blocking(move || {
        let mut missing = Vec::new();
        for (object, presence) in presence {
            let is_there = match presence {
                Presence::Missing => false,
                Presence::Row => true,
                Presence::File(named) => app.objects.store.has(&place, &named)?,
            };
            if !is_there {
                missing.push(object);
            }
        }
        Ok(missing)
    })
    .await
}

async fn wanted(
    app: &Arc<App>,
    caller: Caller,
    safe: SafeId,
    heads: ObjectHeads,
    now: Timestamp,
) -> Result<Wanted, Refusal> {
    let (store, app) = (caller.store(app), Arc::clone(app));
    let read = move |tx: &dyn Tx| {
        let asking = caller.asking(tx, &safe)?;
        safes::wanted(tx, &asking, &heads, &Terms::at(now, &app.safe_quotas))
    };
    store.read(read).await
}

/// Gives objects out, as many as fit one answer. One whose file is missing is left out, as one that
/// was never there.
pub(super) async fn fetch(
    app: &Arc<App>,
    caller: Caller,
    safe: SafeId,
    asked: ObjectIds,
) -> Result<Response, Refusal> {
    let place = SafeName { organisation: caller.organisation.clone(), safe };
    let store = caller.store(app);
    let read = move |tx: &dyn Tx| safes::fetched(tx, &caller.asking(tx, &safe)?, asked.objects);
    let fetched = store.read(read).await?;
    let app = Arc::clone(app);
    let answer = blocking(move || {
        let (mut heads, mut bodies) = (ObjectHeads(Vec::new()), Vec::new());
        for found in fetched {
            let named = found.named();
            let bytes = match found.bytes {
                Some(bytes) => Some(bytes),
                None => app.objects.store.read(&place, &named)?,
            };
            match bytes {
                Some(bytes) => {
                    heads.0.push(found.head);
                    bodies.push(bytes);
                }
                None => tracing::error!(
                    organisation = %place.organisation,
                    safe = %place.safe,
                    hash = %named.hash,
                    "the file of an object is missing: whoever has the contents gives it back by `safe verify --repair`"
                ),
            }
        }
        bodies.insert(0, heads.before());
        Ok(bodies)
    });
    Ok(body::pieces(answer.await?))
}

/// Runs what blocks on a thread for that.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(ErrorCode::Internal.into()),
    }
}
