//! A safe into an archive.
//!
//! Decides that everything is taken as it is stored: certificates and records as they were signed,
//! rings as they are at the server, objects as they were sealed, from this device where it has them
//! and from the server otherwise. Boxes that the ring lacks are made here: a server that withholds
//! them keeps nobody out. Each object's bytes are compared with what its author named before they
//! go in. An object that neither side has is left out and named; without a key nothing is made.

mod rings;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use parsec_protocol::archive::{About, HEADER_BYTES, Kind, MAGIC, VERSION, Writing};
use parsec_protocol::codec;
use parsec_protocol::control::{ARCHIVE_NAMED_MAX, Problem, ProblemKind};
use parsec_protocol::ids::{EntryId, ObjectId};
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::safe_log::safe::VerifiedSafe;
use parsec_protocol::safes::content::{PieceError, open_any_page};
use parsec_protocol::safes::content_ref::Reference;
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::object::ObjectError;
use parsec_protocol::safes::state::State;
use parsec_protocol::safes::tree::Tree as _;

use super::judging;
use crate::contents::open_file::{FileError, OpenFile};
use crate::contents::stop::stop;
use crate::os::{blocking_in, clock};
use crate::problems::sentence;
use crate::safes::{paths, refusals};
use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::session::safe_items::{Batch, Step};
use crate::store::{PieceHere, StoreError};
use crate::truth::pieces::{self, Part};
use crate::truth::server;

/// Items that are written in one go: some megabytes of them at most times, and locking waits for no
/// more.
const STEP_ITEMS: u64 = 64;
/// Objects that are read in one go: some megabytes.
const READ_TOGETHER: usize = 8;
/// Objects that are not here, and are asked for together.
const ASKED_TOGETHER: usize = 256;

/// What went into an archive.
#[derive(Debug, Default)]
pub(crate) struct Archived {
    pub(crate) members: u64,
    pub(crate) certificates: u64,
    pub(crate) records: u64,
    pub(crate) objects: u64,
    /// Bytes of the objects.
    pub(crate) bytes: u64,
    /// Objects that were fetched for it.
    pub(crate) fetched: u64,
    /// Objects that neither this device nor the server has.
    pub(crate) missing: u64,
    /// Paths of the first files that lack some.
    pub(crate) lacking: Vec<String>,
}

/// The file that is being written.
struct Out {
    file: OpenFile,
    writing: Writing,
}

impl Out {
    fn frame(&mut self, kind: Kind, parts: &[&[u8]]) -> Result<(), Problem> {
        let header: [u8; HEADER_BYTES] = self.writing.frame(kind, parts).map_err(|fault| {
            // Nothing that was verified is larger than a frame may be.
            Problem::new(ProblemKind::Internal, sentence(&fault.to_string()))
        })?;
        self.file.write(&header)?;
        parts.iter().try_for_each(|part| Ok(self.file.write(part)?))
    }
}

/// A safe on its way into a file.
struct Making<'a> {
    session: &'a Session,
    safe: &'a OpenSafe,
    verified: VerifiedSafe,
    keys: Arc<SafeKeys>,
    out: Option<Out>,
    done: Archived,
    /// Objects that records have added. A page may name others, which nobody need keep: an archive
    /// with one of them would be refused as a whole.
    added: HashSet<ObjectId>,
    /// Objects that are in the file: an archive has each once.
    written: HashSet<ObjectId>,
    /// Whether the server was away when it was asked: each further question would wait as long.
    server_gone: bool,
}

/// What came of a page.
enum Looked {
    /// The chunks that it names; nothing where its author sealed what is no page: nobody reads a
    /// file by it.
    Named(Vec<Reference>),
    /// Nobody has these very bytes. It is missed where it is taken itself.
    Absent,
    /// It is there, and the key that its reference names is not: what it names nobody can say.
    NoKey,
}

/// What a page names, whatever the content that names it says of its place: the same page may
/// stand in another content, and that one must not go without its chunks.
fn looked(keys: &SafeKeys, lost: &dyn Fn(u64) -> bool, page: &Reference, bytes: &mut Vec<u8>) -> Looked {
    match open_any_page(keys, page, bytes) {
        Ok(names) => Looked::Named(names.into_iter().flatten().collect()),
        Err(PieceError::Object(ObjectError::Hash)) => Looked::Absent,
        Err(PieceError::Object(ObjectError::NoKey)) if !lost(page.epoch) => Looked::NoKey,
        Err(PieceError::Object(ObjectError::NoKey | ObjectError::Sealed) | PieceError::Shape) => {
            Looked::Named(Vec::new())
        }
    }
}

impl Making<'_> {
    /// Writes frames, where blocking is allowed.
    async fn write(&mut self, frames: Vec<(Kind, Vec<u8>)>) -> Result<(), Problem> {
        let lost = || Problem::new(ProblemKind::Internal, "An archive was ended by its own failure.");
        let mut out = self.out.take().ok_or_else(lost)?;
        let out = blocking_in(&self.session.tasks, move || {
            frames.iter().try_for_each(|(kind, bytes)| out.frame(*kind, &[bytes]))?;
            Ok::<_, Problem>(out)
        });
        self.out = Some(out.await?);
        Ok(())
    }

    async fn members(&mut self, count: u64) -> Result<(), Problem> {
        let mut from = 0;
        while from < count {
            let (_, page) = self.session.store(move |store| store.page(from)).await?;
            if page.is_empty() {
                return Err(StoreError::Damaged("certificates of the log in it are missing").into());
            }
            let frames: Vec<_> =
                (from..count).zip(page).map(|(_, bytes)| (Kind::Certificate, bytes)).collect();
            from = from.saturating_add(frames.len() as u64);
            self.write(frames).await?;
        }
        self.done.members = count;
        Ok(())
    }

    /// Both logs of the safe, in their one order.
    async fn items(&mut self, ends: [u64; 2]) -> Result<(), Problem> {
        let mut at = [0_u64; 2];
        while at != ends {
            let (id, from) = (self.safe.id, at);
            let batch = self.session.store(move |store| {
                let most = |which: usize| -> u64 {
                    let (end, from) = (ends.get(which).copied(), from.get(which).copied());
                    end.unwrap_or(0).saturating_sub(from.unwrap_or(0)).min(STEP_ITEMS)
                };
                let [certificates, records] = [most(0), most(1)];
                let certificates = store.safe_certificates_page(id, from[0], certificates)?;
                let records = store.safe_records(id, from[1], records)?;
                let records = records.into_iter().map(|record| record.envelope).collect();
                Ok(Batch { certificates, records })
            });
            let mut frames = Vec::new();
            for step in batch.await?.steps(from) {
                let [log, journal] = &mut at;
                match step {
                    Step::Certificate(bytes) => {
                        *log = log.saturating_add(1);
                        frames.push((Kind::SafeCertificate, bytes));
                    }
                    Step::Record(bytes) => {
                        *journal = journal.saturating_add(1);
                        self.added.extend(judging::adds(&bytes));
                        frames.push((Kind::Record, bytes));
                    }
                }
            }
            if frames.is_empty() {
                return Err(StoreError::Damaged("items of a safe in it are missing").into());
            }
            self.write(frames).await?;
        }
        [self.done.certificates, self.done.records] = ends;
        Ok(())
    }

    /// Looks into a page, here or at the server.
    async fn page(&mut self, page: Reference) -> Result<Looked, Problem> {
        let id = self.safe.id;
        let lost: Arc<Vec<bool>> = Arc::new(self.verified.epochs().iter().map(|epoch| epoch.lost).collect());
        let (open, keys, epochs) =
            (Arc::clone(&self.session.open), Arc::clone(&self.keys), Arc::clone(&lost));
        let here = blocking_in(&self.session.tasks, move || {
            Ok::<_, StoreError>(match open.store.look_at_piece(id, page.object, &page.blake3)? {
                PieceHere::Right(mut bytes) => {
                    Some(looked(&keys, &|epoch| is_lost(&epochs, epoch), &page, &mut bytes))
                }
                PieceHere::Absent | PieceHere::Damaged => None,
            })
        })
        .await?;
        if let Some(here) = here {
            return Ok(here);
        }
        if self.server_gone {
            return Ok(Looked::Absent);
        }
        let mut asked = BTreeSet::from([page.object]);
        let came = match server::next(self.session, id, &mut asked).await {
            Ok(brought) => brought.came.into_iter().next(),
            Err(problem) if problem.retryable => {
                self.server_gone = true;
                None
            }
            Err(problem) => return Err(problem),
        };
        let Some(mut came) = came else { return Ok(Looked::Absent) };
        let keys = Arc::clone(&self.keys);
        blocking_in(&self.session.tasks, move || {
            Ok::<_, Problem>(looked(&keys, &|epoch| is_lost(&lost, epoch), &page, &mut came.bytes))
        })
        .await
    }

    /// All objects that the tree names, each once.
    ///
    /// Goes by all that a reference says, and not by the object's id alone: a content that names
    /// another one's pages with a false hash, or as chunks, must not keep them out.
    async fn objects(&mut self, state: &State) -> Result<(), Problem> {
        let mut met: HashSet<(ObjectId, ObjectHash)> = HashSet::new();
        let (mut opened, mut tried) = (HashSet::new(), HashSet::new());
        let mut wanted: Vec<(EntryId, Reference)> = Vec::new();
        let mut lacking = BTreeSet::new();
        for held in state.contents() {
            for piece in pieces::named(held.content) {
                let reference = piece.reference;
                let named = (reference.object, reference.blake3);
                if met.insert(named) {
                    wanted.push((held.entry.id, reference));
                }
                let Part::Page(_) = piece.part else { continue };
                // Another epoch is another key: one that is wrong says nothing of the right one.
                if opened.contains(&named) || !tried.insert((named, reference.epoch)) {
                    continue;
                }
                match self.page(reference).await? {
                    Looked::Named(names) => {
                        if !names.is_empty() {
                            opened.insert(named);
                        }
                        for reference in names {
                            if met.insert((reference.object, reference.blake3)) {
                                wanted.push((held.entry.id, reference));
                            }
                            if wanted.len() >= ASKED_TOGETHER {
                                lacking.extend(self.take(std::mem::take(&mut wanted)).await?);
                            }
                        }
                    }
                    Looked::Absent => {}
                    Looked::NoKey => {
                        self.done.missing = self.done.missing.saturating_add(1);
                        lacking.insert(held.entry.id);
                    }
                }
            }
            if wanted.len() >= ASKED_TOGETHER {
                lacking.extend(self.take(std::mem::take(&mut wanted)).await?);
            }
        }
        lacking.extend(self.take(wanted).await?);
        let path = |entry| state.entry(entry).map(|found| paths::written(&paths::was_at(state, found)));
        self.done.lacking = lacking.into_iter().filter_map(path).take(ARCHIVE_NAMED_MAX).collect();
        Ok(())
    }

    /// Takes some objects, from here and then from the server; the entries that lack one.
    async fn take(&mut self, wanted: Vec<(EntryId, Reference)>) -> Result<Vec<EntryId>, Problem> {
        let id = self.safe.id;
        // Several hashes where members name one object differently: whichever its bytes have.
        let mut left: BTreeMap<ObjectId, Vec<(EntryId, ObjectHash)>> = BTreeMap::new();
        for some in wanted.chunks(READ_TOGETHER) {
            let asked: Vec<_> = some.iter().map(|(_, reference)| *reference).collect();
            let found = self.session.store(move |store| {
                let look = |reference: &Reference| {
                    Ok::<_, StoreError>(
                        match store.look_at_piece(id, reference.object, &reference.blake3)? {
                            PieceHere::Right(bytes) => Some(bytes.to_vec()),
                            PieceHere::Absent | PieceHere::Damaged => None,
                        },
                    )
                };
                asked.iter().map(look).collect::<Result<Vec<_>, StoreError>>()
            });
            let mut frames = Vec::new();
            for ((entry, reference), found) in some.iter().zip(found.await?) {
                let object = reference.object;
                let found = found.filter(|_| self.added.contains(&object));
                match found.filter(|_| self.written.insert(object)) {
                    Some(bytes) => frames.push((object, reference.blake3, bytes)),
                    None => left.entry(object).or_default().push((*entry, reference.blake3)),
                }
            }
            self.put(frames).await?;
        }
        // One that is in the file under another hash is not asked for: these are no bytes of it.
        let is_open = |object: &ObjectId| self.added.contains(object) && !self.written.contains(object);
        let mut asked: BTreeSet<ObjectId> = left.keys().copied().filter(is_open).collect();
        while !asked.is_empty() && !self.server_gone {
            let brought = match server::next(self.session, id, &mut asked).await {
                Ok(brought) => brought,
                // What is here goes in without a server: the rest is named.
                Err(problem) if problem.retryable => {
                    self.server_gone = true;
                    break;
                }
                Err(problem) => return Err(problem),
            };
            let mut frames = Vec::new();
            for came in brought.came {
                let Some(named) = left.get_mut(&came.object) else { continue };
                let hash = ObjectHash::of(&came.bytes);
                let Some(at) = named.iter().position(|(_, wanted)| *wanted == hash) else { continue };
                if self.written.insert(came.object) {
                    named.remove(at);
                    frames.push((came.object, hash, came.bytes));
                }
            }
            self.done.fetched = self.done.fetched.saturating_add(frames.len() as u64);
            self.put(frames).await?;
        }
        let lacking: Vec<EntryId> = left.into_values().flatten().map(|(entry, _)| entry).collect();
        self.done.missing = self.done.missing.saturating_add(lacking.len() as u64);
        Ok(lacking)
    }

    async fn put(&mut self, objects: Vec<(ObjectId, ObjectHash, Vec<u8>)>) -> Result<(), Problem> {
        let lost = || Problem::new(ProblemKind::Internal, "An archive was ended by its own failure.");
        for (_, _, bytes) in &objects {
            self.done.objects = self.done.objects.saturating_add(1);
            self.done.bytes = self.done.bytes.saturating_add(bytes.len() as u64);
        }
        let mut out = self.out.take().ok_or_else(lost)?;
        let out = blocking_in(&self.session.tasks, move || {
            objects.iter().try_for_each(|(object, hash, bytes)| {
                out.frame(Kind::Object, &[object.as_bytes(), hash.as_bytes(), bytes])
            })?;
            Ok::<_, Problem>(out)
        });
        self.out = Some(out.await?);
        Ok(())
    }
}

/// Whether nobody reads what was sealed in an epoch: it was declared lost, or never was.
fn is_lost(lost: &[bool], epoch: u64) -> bool {
    usize::try_from(epoch).ok().and_then(|epoch| lost.get(epoch)).copied().unwrap_or(true)
}

/// This device lacks the safe's present key.
fn no_key() -> Problem {
    let text = "This device has not been given the safe's present key yet: nobody could open the archive.";
    Problem::new(ProblemKind::SafeKeyMissing, text)
}

/// Writes all of a safe into an open file. Ends early when it is dropped.
///
/// # Errors
/// `not_shared_yet`; `safe_key_missing`; those of the open file, the server's and the store's.
pub(crate) async fn archive(session: &Session, safe: &OpenSafe, file: OwnedFd) -> Result<Archived, Problem> {
    let (verified, state, keys) = {
        let memory = safe.memory().await;
        // A word may name other objects than the records do: the archive would lack theirs.
        if memory.started.is_some() {
            return Err(refusals::being_verified());
        }
        (memory.verified.clone(), memory.base.clone(), Arc::new(memory.keys.copied()))
    };
    let Some(now) = verified.present() else {
        let text = "The server has not been heard about this safe yet.";
        return Err(Problem::new(ProblemKind::NotSharedYet, text));
    };
    if keys.at(now.key.epoch).is_none() {
        return Err(no_key());
    }
    if state.seq() != now.journal.count {
        let text = "This device can't read all of the safe's journal: it would not know what belongs to it.";
        return Err(Problem::new(ProblemKind::SafeKeyMissing, text));
    }
    let log = session.log();
    let about = About {
        version: VERSION,
        organisation: safe.organisation.clone(),
        root: *log.root(),
        safe: safe.id,
        founder: safe.founder,
        made: clock::now(),
        members: log.head(),
        log: now.log,
        journal: now.journal,
    };
    let ends = [now.log.count, now.journal.count];
    let failed = |source| FileError::Io { what: "beginning to write", source };
    let (stopper, stop) = stop().map_err(failed)?;
    let out = Out { file: OpenFile::to_write(file, stop)?, writing: Writing::begin() };
    let (done, added, written) = (Archived::default(), HashSet::new(), HashSet::new());
    let mut making =
        Making { session, safe, verified, keys, out: None, done, added, written, server_gone: false };
    making.out = Some(
        blocking_in(&session.tasks, move || {
            out.file.write(MAGIC)?;
            Ok::<_, FileError>(out)
        })
        .await?,
    );
    making.write(vec![(Kind::About, codec::encode(&about))]).await?;
    making.members(log.count()).await?;
    making.rings().await?;
    making.items(ends).await?;
    making.objects(&state).await?;
    let end = making.out.as_ref().map(|out| out.writing.end()).unwrap_or_default();
    making.write(vec![(Kind::End, end)]).await?;
    drop(stopper);
    Ok(making.done)
}
