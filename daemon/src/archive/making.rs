//! A safe into an archive.
//!
//! Decides that everything is taken as it is stored: certificates and records as they were signed,
//! rings and boxes as they are at the server, objects as they were sealed, from this device where
//! it has them and from the server otherwise. Each object's bytes are compared with what its author
//! named before they go in. What neither side has is left out and named.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use parsec_protocol::archive::{About, Boxed, HEADER_BYTES, Kind, MAGIC, VERSION, Writing};
use parsec_protocol::codec;
use parsec_protocol::control::{ARCHIVE_NAMED_MAX, Problem, ProblemKind};
use parsec_protocol::ids::{EntryId, ObjectId};
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::safe_log::ring::{RingHead, RingPart};
use parsec_protocol::safe_log::safe::VerifiedSafe;
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::past;
use parsec_protocol::safes::state::State;
use parsec_protocol::safes::tree::Tree as _;

use crate::contents::open_file::{FileError, OpenFile};
use crate::contents::stop::stop;
use crate::os::{blocking_in, clock};
use crate::problems::sentence;
use crate::safes::{paths, refusals};
use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::session::safe_items::{Batch, Step};
use crate::store::{PieceHere, StoreError};
use crate::transport::retry::answered;
use crate::truth::pieces::{self, PageRead, Part, Piece};
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

    /// A ring's head, a part or a block: here, or at the server.
    async fn piece_of_ring(&self, hash: Hash, is_head: bool) -> Result<Option<Vec<u8>>, Problem> {
        let id = self.safe.id;
        let kept = self.session.store(move |store| store.kept_ring(id, &hash)).await?;
        let right = |bytes: &Vec<u8>| Hash::of(&[bytes]) == hash;
        if let Some(bytes) = kept.filter(right) {
            return Ok(Some(bytes));
        }
        let came = if is_head {
            answered(|| self.session.member.safe_ring(id, &hash)).await
        } else {
            answered(|| self.session.member.safe_part(id, &hash)).await
        };
        // Whoever opens the archive does without: it is missed there if nothing else leads to it.
        Ok(came.ok().filter(right))
    }

    /// The present key's ring, all its parts, and what opens the earlier keys.
    async fn rings(&mut self) -> Result<(), Problem> {
        let none = || {
            let text = "Neither this device nor the server has the ring of the safe's key: nobody could open the archive.";
            Problem::new(ProblemKind::SafeKeyMissing, text)
        };
        let record = self.verified.epochs().last().copied().ok_or_else(none)?;
        let bytes = self.piece_of_ring(record.key.ring, true).await?.ok_or_else(none)?;
        let head = RingHead::decode(&bytes).map_err(|_| none())?;
        self.write(vec![(Kind::Ring, bytes)]).await?;
        let mut sealed_to = BTreeSet::new();
        for hash in &head.parts {
            let bytes = self.piece_of_ring(*hash, false).await?.ok_or_else(none)?;
            if let Ok(part) = RingPart::decode(&bytes) {
                let is_there = |at: usize| part.0.get(at).is_some_and(Option::is_some);
                let users = head.list.0.iter().map(|recipient| recipient.user);
                sealed_to.extend(users.filter(|user| {
                    head.list
                        .place_of(user)
                        .is_some_and(|(number, at)| head.parts.get(number) == Some(hash) && is_there(at))
                }));
            }
            self.write(vec![(Kind::Ring, bytes)]).await?;
        }
        let sealed = head.past.as_ref().map_or(&[][..], |past| past.as_slice());
        let blocks: Vec<Hash> = {
            let past = self.keys.at(record.key.epoch).and_then(|key| past::open(&key, sealed).ok());
            past.iter().flat_map(|past| past.blocks()).map(|block| *block.hash()).collect()
        };
        for hash in blocks {
            if let Some(bytes) = self.piece_of_ring(hash, false).await? {
                self.write(vec![(Kind::Ring, bytes)]).await?;
            }
        }
        let without: Vec<_> =
            self.verified.roles().map(|(user, _)| *user).filter(|user| !sealed_to.contains(user)).collect();
        for user in without {
            let (id, epoch) = (self.safe.id, record.key.epoch);
            let Ok(posted) = answered(|| self.session.member.safe_boxes(id, epoch, user)).await else {
                continue;
            };
            let boxed = |sealed: Vec<u8>| (Kind::Box, codec::encode(&Boxed { epoch, user, sealed }));
            let frames = posted.boxes.into_iter().map(|found| boxed(found.sealed.to_vec())).collect();
            self.write(frames).await?;
        }
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

    /// All objects that the tree names, each once.
    async fn objects(&mut self, state: &State) -> Result<(), Problem> {
        let mut met: HashSet<ObjectId> = HashSet::new();
        let mut wanted: Vec<(EntryId, Piece)> = Vec::new();
        let mut lacking = BTreeSet::new();
        for held in state.contents() {
            for piece in pieces::named(held.content) {
                if !met.insert(piece.reference.object) {
                    continue;
                }
                wanted.push((held.entry.id, piece));
                let Part::Page(number) = piece.part else { continue };
                // One that nobody has is missed where it is taken itself.
                let page = pieces::page(self.session, self.safe.id, &self.keys, piece).await?;
                let PageRead::Names(names, _) = page else { continue };
                for piece in pieces::of_page(held.content.size, number, names) {
                    if met.insert(piece.reference.object) {
                        wanted.push((held.entry.id, piece));
                    }
                    if wanted.len() >= ASKED_TOGETHER {
                        lacking.extend(self.take(std::mem::take(&mut wanted)).await?);
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
    async fn take(&mut self, wanted: Vec<(EntryId, Piece)>) -> Result<Vec<EntryId>, Problem> {
        let id = self.safe.id;
        let mut left: BTreeMap<ObjectId, (EntryId, ObjectHash)> = BTreeMap::new();
        for some in wanted.chunks(READ_TOGETHER) {
            let asked: Vec<_> = some.iter().map(|(_, piece)| piece.reference).collect();
            let found = self.session.store(move |store| {
                let look = |reference: &parsec_protocol::safes::content_ref::Reference| {
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
            for ((entry, piece), found) in some.iter().zip(found.await?) {
                let reference = piece.reference;
                match found {
                    Some(bytes) => frames.push((reference.object, reference.blake3, bytes)),
                    None => {
                        left.insert(reference.object, (*entry, reference.blake3));
                    }
                }
            }
            self.put(frames).await?;
        }
        let mut asked: BTreeSet<ObjectId> = left.keys().copied().collect();
        while !asked.is_empty() {
            let brought = match server::next(self.session, id, &mut asked).await {
                Ok(brought) => brought,
                // What is here goes in without a server: the rest is named.
                Err(problem) if problem.retryable => break,
                Err(problem) => return Err(problem),
            };
            let mut frames = Vec::new();
            for came in brought.came {
                let Some((entry, hash)) = left.remove(&came.object) else { continue };
                if ObjectHash::of(&came.bytes) == hash {
                    frames.push((came.object, hash, came.bytes));
                } else {
                    left.insert(came.object, (entry, hash));
                }
            }
            self.done.fetched = self.done.fetched.saturating_add(frames.len() as u64);
            self.put(frames).await?;
        }
        self.done.missing = self.done.missing.saturating_add(left.len() as u64);
        Ok(left.into_values().map(|(entry, _)| entry).collect())
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
    let mut making = Making { session, safe, verified, keys, out: None, done: Archived::default() };
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
