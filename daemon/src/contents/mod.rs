//! Contents of files: from an open file that a program passed into sealed objects, and back.
//!
//! Decides where objects come from and where they wait: those that are not shared yet are in the
//! store, the others at the server, and in the store as long as there is room. Refuses to let
//! anything through that was not verified, and to keep a part of a file. What is written over a
//! large file is compared with what of it is here, and sealed where it differs.

pub(crate) mod bring;
mod get;
mod many;
pub(crate) mod open_file;
pub(crate) mod pages;
pub(crate) mod parts;
mod put;
#[cfg(feature = "mount")]
pub(crate) mod random;
mod room;
pub(crate) mod snapshot;
pub(crate) mod stop;
#[cfg(test)]
mod tests;
mod unchanged;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use futures_util::future::try_join_all;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::limits::OBJECT_MAX_BYTES;
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::relay::{OBJECTS_MAX_BYTES, ObjectIds};
use parsec_protocol::safes::content_ref::{Content, FILE_MAX_BYTES, Reference};
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::object::Hashed;
use parsec_protocol::safes::state::State;

use crate::os::{blocking_in, entropy};
use crate::session::Session;
use crate::session::keeping::Keeping;
use crate::session::open_safes::OpenSafe;
use crate::store::{SMALL_MAX_BYTES, StagedObject, Store, StoreError};
use crate::transport::retry::{BRISK, carried};
pub(crate) use get::Objects;
use open_file::{FileError, OpenFile};
pub(crate) use put::Taken;
use put::{PutError, PutKeys, Stage};
use room::room;
use unchanged::{Earlier, Held};

/// The store as the place where objects wait.
struct StoreStage<'a> {
    store: &'a Store,
    safe: &'a OpenSafe,
    /// Epoch of the key that seals.
    epoch: u64,
}

impl Stage for StoreStage<'_> {
    fn stage(&mut self, objects: &[StagedObject]) -> Result<(), StoreError> {
        self.store.stage_objects(self.safe.id, objects)?;
        if objects.iter().all(|object| object.sealed.len() > SMALL_MAX_BYTES) {
            self.safe.sending.offer(self.epoch, objects.iter().map(|object| object.object));
        }
        Ok(())
    }

    fn forget(&mut self, objects: &[ObjectId]) -> Result<(), StoreError> {
        self.store.drop_objects(self.safe.id, objects)
    }
}

/// What of a safe's pieces is here, beside the objects that its accepted records have added.
struct HeldHere<'a> {
    store: &'a Store,
    safe: SafeId,
    accepted: &'a State,
}

impl Held for HeldHere<'_> {
    fn is_accepted(&self, object: ObjectId) -> bool {
        self.accepted.has_object(object)
    }

    fn read(&self, reference: &Reference, into: &mut Vec<u8>) -> bool {
        let read = self.store.read_piece(self.safe, reference.object, &reference.blake3, into);
        read.unwrap_or_else(|error| {
            // It is sealed anew, as if it were not here.
            tracing::info!(%error, "a piece that is here can't be compared");
            false
        })
    }
}

/// Reads an open file into sealed objects, which are durable here when this returns and named by
/// nothing yet. `expected` is its size, where its program knows it; `over` the content that it is
/// written over. Ends early when it is dropped.
///
/// # Errors
/// `contents_changed`, `too_large`, `disk_full`, `safe_key_missing`, those of the open file.
pub(crate) async fn take(
    session: &Session,
    safe: &Arc<OpenSafe>,
    file: File,
    expected: Option<u64>,
    over: Option<Content>,
) -> Result<Taken, Problem> {
    let over = over.filter(Earlier::is_any);
    let take = move |file: &OpenFile, present: Present<'_>, stage: &mut StoreStage<'_>| {
        let held = HeldHere { store: stage.store, safe: stage.safe.id, accepted: present.accepted };
        let earlier = over.as_ref().and_then(|over| Earlier::of(over, present.keys, present.epoch, &held));
        put::put(file, expected, present.with, earlier, stage, &mut entropy::System)
    };
    sealed(session, safe, file, take).await
}

/// The keys of a safe, which of them seals, and its tree.
struct Present<'a> {
    keys: &'a SafeKeys,
    epoch: u64,
    with: PutKeys<'a>,
    /// What accepted records have made: what they have added stays added.
    accepted: &'a State,
}

/// Has an open file read and sealed with the keys that are here.
async fn sealed<T: Send + 'static>(
    session: &Session,
    safe: &Arc<OpenSafe>,
    file: File,
    take: impl FnOnce(&OpenFile, Present<'_>, &mut StoreStage<'_>) -> Result<T, PutError> + Send + 'static,
) -> Result<T, Problem> {
    let _share = room().share().await?;
    let (keys, epoch, accepted) = {
        let memory = safe.memory().await;
        // One that was founded here and is not read yet has its first key.
        let present = memory.verified.present().map_or(0, |now| now.key.epoch);
        (memory.keys.copied(), present, memory.base.clone())
    };
    let failed = |source| FileError::Io { what: "beginning to read", source };
    let (stopper, stop) = stop::stop().map_err(failed)?;
    let (open, safe) = (Arc::clone(&session.open), Arc::clone(safe));
    let taken = blocking_in(&session.tasks, move || {
        let missing = "This device has not been given the safe's present key yet.";
        let missing = || Problem::new(ProblemKind::SafeKeyMissing, missing);
        let with = PutKeys { present: keys.at(epoch).ok_or_else(missing)?, first: keys.at(0) };
        let file = OpenFile::to_read(file.into(), stop)?;
        let mut stage = StoreStage { store: &open.store, safe: &safe, epoch };
        Ok::<_, Problem>(take(&file, Present { keys: &keys, epoch, with, accepted: &accepted }, &mut stage)?)
    })
    .await;
    drop(stopper);
    taken
}

/// The same for small files of these sizes, which stand in the open file one right behind the
/// other.
///
/// # Errors
/// As [`take`].
pub(crate) async fn take_many(
    session: &Session,
    safe: &Arc<OpenSafe>,
    file: File,
    sizes: Vec<u64>,
) -> Result<Vec<Taken>, Problem> {
    let take = move |file: &OpenFile, present: Present<'_>, stage: &mut StoreStage<'_>| {
        many::take(file, &sizes, present.with, stage, &mut entropy::System)
    };
    sealed(session, safe, file, take).await
}

/// Contents that are sealed elsewhere, under other keys, into sealed objects of a safe: through a
/// pipe, and never in the clear on a disk. Holes stay holes.
///
/// # Errors
/// As [`take`] and `get::get`.
pub(crate) async fn again(
    session: &Session,
    safe: &Arc<OpenSafe>,
    objects: &impl Objects,
    keys: Arc<SafeKeys>,
    content: &Content,
) -> Result<Taken, Problem> {
    // What the author of an archive's record says of it: nothing larger is begun.
    let size = content.size;
    if size > FILE_MAX_BYTES {
        return Err(PutError::TooLarge.into());
    }
    let failed = |source| FileError::Io { what: "making a pipe", source };
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    let reader = std::os::fd::OwnedFd::from(reader);
    let take = move |file: &OpenFile, present: Present<'_>, stage: &mut StoreStage<'_>| {
        put::put_again(file, size, present.with, stage, &mut entropy::System)
    };
    let taking = sealed(session, safe, reader.into(), take);
    let giving = get::get(&session.tasks, objects, keys, content, writer.into());
    let (taken, given) = tokio::join!(taking, giving);
    match (taken, given) {
        (Ok(taken), Ok(_)) => Ok(taken),
        (Ok(taken), Err(problem)) => {
            let id = safe.id;
            session.store(move |store| store.drop_objects(id, &taken.objects)).await?;
            Err(problem)
        }
        // Where the reader went away first, it knows why; otherwise it had too little, because
        // nothing more came.
        (Err(_), Err(problem)) if problem.name != ProblemKind::InvalidRequest => Err(problem),
        (Err(problem), _) => Err(problem),
    }
}

/// Calls at once that bring the pieces of one file: what one waits for, another one uses.
const CALLS_MAX: usize = 4;
/// Pieces that each of them asks for, at least: as many whole ones as an answer takes.
const PIECES_OF_A_CALL: usize = OBJECTS_MAX_BYTES / OBJECT_MAX_BYTES;

/// Objects that are here, and those at the server.
struct HereAndThere<'a> {
    session: &'a Session,
    safe: SafeId,
    keeping: &'a Keeping,
    /// Whether the last call was fast. Only then several are made at once.
    brisk: AtomicBool,
    /// Whether nothing is fetched that is not here.
    here_alone: bool,
    /// Whether all that was asked for last was here.
    is_here: AtomicBool,
}

/// Counts bytes that have come against those that may. References don't say how large their objects
/// are: their author may have named larger ones, and a server may send anything.
fn take_room(left: &AtomicUsize, bytes: usize) -> Result<(), Problem> {
    let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
    match taken {
        Ok(_) => Ok(()),
        Err(_) => {
            let text = "What came is more than these contents can be; nothing of it was let through.";
            Err(Problem::new(ProblemKind::ContentsDamaged, text))
        }
    }
}

/// A piece that came: its id, and its bytes with the hash that they have.
type Came = (ObjectId, Hashed);

impl<'a> HereAndThere<'a> {
    const fn new(session: &'a Session, safe: &'a OpenSafe) -> Self {
        let [brisk, is_here] = [const { AtomicBool::new(false) }; 2];
        Self { session, safe: safe.id, keeping: &safe.keeping, brisk, is_here, here_alone: false }
    }

    /// Brings pieces: those that the server has, and where it is away or lacks some, those that
    /// another device of the safe has which is met directly.
    async fn bring(
        &self,
        wanted: &[ObjectId],
        hashes: &BTreeMap<ObjectId, ObjectHash>,
        left: &AtomicUsize,
    ) -> Result<Vec<Came>, Problem> {
        let mut missing: BTreeSet<ObjectId> = wanted.iter().copied().collect();
        let mut found = Vec::new();
        if self.session.server_is_away() {
            found.extend(self.bring_directly(&mut missing, hashes, left).await?);
        }
        let asked = self.bring_from_server(&mut missing, hashes, left, &mut found).await;
        found.extend(self.bring_directly(&mut missing, hashes, left).await?);
        // What the server lacks nobody may have; that it is away is no matter where nothing lacks.
        if missing.is_empty() { Ok(found) } else { asked.map(|()| found) }
    }

    /// The same from devices that are there alone.
    async fn bring_directly(
        &self,
        missing: &mut BTreeSet<ObjectId>,
        hashes: &BTreeMap<ObjectId, ObjectHash>,
        left: &AtomicUsize,
    ) -> Result<Vec<Came>, Problem> {
        if missing.is_empty() || !self.session.direct.has(self.safe) {
            return Ok(Vec::new());
        }
        let asked: Vec<_> =
            missing.iter().filter_map(|object| Some((*object, *hashes.get(object)?))).collect();
        let most = left.load(Ordering::Relaxed);
        // Where it is asked for because the server is away, only as long as that is so.
        let was_away = self.session.server_is_away();
        let go_on = || !was_away || self.session.server_is_away();
        let came = self.session.direct.fetch(self.safe, &asked, most, go_on).await;
        let came: Vec<_> = came.into_iter().filter(|(object, _)| missing.remove(object)).collect();
        came.iter().try_for_each(|(_, bytes)| take_room(left, bytes.len()))?;
        self.keep(came, hashes).await
    }

    /// The same from the server alone, by as many calls as it takes. What came before one fails is
    /// in `found`.
    async fn bring_from_server(
        &self,
        missing: &mut BTreeSet<ObjectId>,
        hashes: &BTreeMap<ObjectId, ObjectHash>,
        left: &AtomicUsize,
        found: &mut Vec<Came>,
    ) -> Result<(), Problem> {
        while !missing.is_empty() {
            let asked = ObjectIds { objects: missing.iter().copied().collect() };
            // Most that may come: how large the pieces are, their references don't say.
            let most = OBJECTS_MAX_BYTES.min(missing.len().saturating_mul(OBJECT_MAX_BYTES));
            let begun = Instant::now();
            let came = carried(most, || self.session.member.fetch_objects(self.safe, &asked)).await;
            let came = came.map_err(|error| {
                let text = format!("The contents are not on this device, and {error}.");
                Problem::new(ProblemKind::ContentsUnavailable, text)
            })?;
            self.brisk.store(begun.elapsed() < BRISK, Ordering::Relaxed);
            let known = missing.len();
            let came: Vec<_> = came.into_iter().filter(|(object, _)| missing.contains(object)).collect();
            // Those of an answer that is refused are missing as before.
            came.iter().try_for_each(|(_, bytes)| take_room(left, bytes.len()))?;
            let came = self.keep(came, hashes).await?;
            came.iter().for_each(|(object, _)| {
                missing.remove(object);
            });
            found.extend(came);
            // As many as one answer takes: one at least, or it would be asked for ever.
            if missing.len() == known {
                break;
            }
        }
        Ok(())
    }

    /// Pieces that are what they should be are kept for the next who asks. Nothing depends on it:
    /// a full disk must not keep anybody from reading.
    async fn keep(
        &self,
        came: Vec<(ObjectId, Vec<u8>)>,
        hashes: &BTreeMap<ObjectId, ObjectHash>,
    ) -> Result<Vec<Came>, Problem> {
        let safe = self.safe;
        let wanted: BTreeSet<_> =
            came.iter().filter_map(|(object, _)| Some((*object, *hashes.get(object)?))).collect();
        self.session
            .store(move |store| {
                let hashed = |(object, bytes)| (object, Hashed::of(bytes));
                let came: Vec<Came> = came.into_iter().map(hashed).collect();
                let pieces: Vec<_> = came
                    .iter()
                    .map(|(object, piece)| (*object, *piece.hash(), piece.bytes()))
                    .filter(|(object, hash, _)| wanted.contains(&(*object, *hash)))
                    .collect();
                if let Err(error) = store.keep_pieces(safe, &pieces) {
                    tracing::info!(%error, "what was fetched is not kept");
                }
                Ok(came)
            })
            .await
    }
}

impl Objects for HereAndThere<'_> {
    fn ahead(&self) -> usize {
        let is_fast = self.is_here.load(Ordering::Relaxed) || self.brisk.load(Ordering::Relaxed);
        if is_fast { get::AHEAD } else { 1 }
    }

    fn opened(&self, page: &Reference, references: &[Option<Reference>]) {
        self.keeping.know_page(page.object, Arc::new(references.to_vec()));
    }

    async fn fetch(&self, wanted: &[Reference], most: usize) -> Result<Vec<Hashed>, Problem> {
        let (safe, ids) = (self.safe, wanted.iter().map(|reference| reference.object));
        let hashes: BTreeMap<ObjectId, ObjectHash> =
            wanted.iter().map(|reference| (reference.object, reference.blake3)).collect();
        let all: Vec<_> = hashes.iter().map(|(object, hash)| (*object, *hash)).collect();
        let here = self.session.store(move |store| store.pieces_here(safe, &all, most)).await?;
        let (mut found, damaged) = (here.found, here.damaged);
        let left = AtomicUsize::new(most);
        found.values().try_for_each(|piece| take_room(&left, piece.bytes().len()))?;
        let missing: Vec<ObjectId> =
            hashes.keys().copied().filter(|object| !found.contains_key(object)).collect();
        self.is_here.store(missing.is_empty(), Ordering::Relaxed);
        if self.here_alone && !missing.is_empty() {
            let text = "The contents are not on this device, and are not fetched for who asks.";
            return Err(Problem::new(ProblemKind::ContentsUnavailable, text));
        }
        let calls = if self.brisk.load(Ordering::Relaxed) { CALLS_MAX } else { 1 };
        let each = missing.len().div_ceil(calls).max(PIECES_OF_A_CALL);
        let came = try_join_all(missing.chunks(each).map(|part| self.bring(part, &hashes, &left))).await?;
        found.extend(came.into_iter().flatten());
        if hashes.keys().any(|object| !found.contains_key(object)) {
            return Err(if damaged {
                let text = "Contents that were saved here and not shared are damaged on this disk.";
                Problem::new(ProblemKind::StoreDamaged, text)
            } else {
                let text = "The server has lost a part of the contents, and it is not on this device.";
                let hint = "`parsecctl safe verify SAFE --repair` gives it back, on a device that has it.";
                Problem { hint: hint.to_owned(), ..Problem::new(ProblemKind::ContentsUnavailable, text) }
            });
        }
        let ids: Vec<ObjectId> = ids.collect();
        let bytes = |(at, object): (usize, &ObjectId)| {
            // Twice where two pieces are one object: a copy repeats references.
            let again = ids.get(at.saturating_add(1)..).is_some_and(|rest| rest.contains(object));
            if again { found.get(object).cloned() } else { found.remove(object) }
        };
        Ok(ids.iter().enumerate().filter_map(bytes).collect())
    }
}

/// Writes contents to an open file, from where it is: how many bytes, all of them verified. Ends
/// early when it is dropped.
///
/// # Errors
/// `contents_unavailable`, `contents_damaged`, `safe_untrusted`, `safe_key_missing`, those of the
/// open file, the server's.
pub(crate) async fn give(
    session: &Session,
    safe: &OpenSafe,
    content: Content,
    file: File,
) -> Result<u64, Problem> {
    let keys = Arc::new(safe.memory().await.keys.copied());
    let _share = room().share().await?;
    let objects = HereAndThere::new(session, safe);
    let given = get::get(&session.tasks, &objects, keys, &content, file.into()).await;
    kept(session).await?;
    given
}

/// The same for small files, whose contents stand there one right behind the other.
///
/// # Errors
/// As [`give`].
pub(crate) async fn give_many(
    session: &Session,
    safe: &OpenSafe,
    contents: Vec<Content>,
    file: File,
) -> Result<u64, Problem> {
    let keys = Arc::new(safe.memory().await.keys.copied());
    let _share = room().share().await?;
    let objects = HereAndThere::new(session, safe);
    let given = many::give(&session.tasks, &objects, keys, contents, file.into()).await;
    kept(session).await?;
    given
}

/// The database is told of what was kept, where that is much.
async fn kept(session: &Session) -> Result<(), Problem> {
    session
        .store(|store| {
            store.save_many_pieces();
            Ok(())
        })
        .await
}
