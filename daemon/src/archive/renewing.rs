//! A new safe out of an archive.
//!
//! Decides that all of the archive is judged, opened and folded, and that it has everything that
//! the tree names, before anything is made. Then its live tree is put into a new safe: sealed anew,
//! under the new safe's key, piece by piece and never in the clear on a disk. Refuses an archive
//! that lacks something, unless its person takes what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use parsec_protocol::control::{
    ARCHIVE_NAMED_MAX, FILES_AT_ONCE_MAX, FILES_AT_ONCE_MAX_BYTES, Problem, ProblemKind,
};
use parsec_protocol::ids::{EntryId, Label, ObjectId, SafeId, UserId};
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::safes::change::Kind as EntryKind;
use parsec_protocol::safes::content::{chunk_length, chunks, open_chunk, open_page, padded_length};
use parsec_protocol::safes::content_ref::{Content, PAGE_REFERENCES, Reference};
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::named::Class;
use parsec_protocol::safes::state::State;
use parsec_protocol::safes::tree::Tree as _;

use super::judging::{self, Judged, Own};
use super::opening::{self, InFile};
use super::refusals::Refused;
use super::source::read_at;
use crate::contents::open_file::FileError;
use crate::contents::stop::{Stop, stop};
use crate::contents::{self, Taken};
use crate::os::blocking_in;
use crate::safes::acts::{self, Sealed};
use crate::safes::founding;
use crate::safes::paths::{self, Path};
use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::truth::pieces::{self, Part};
use zeroize::Zeroizing;

/// What an archive held, and what was made of it.
#[derive(Debug)]
pub(crate) struct Renewed {
    pub(crate) safe: Arc<OpenSafe>,
    /// The safe that the archive is of.
    pub(crate) of: SafeId,
    /// Its name.
    pub(crate) name: Option<Label>,
    pub(crate) made: parsec_protocol::ids::Timestamp,
    pub(crate) members: u64,
    pub(crate) certificates: u64,
    pub(crate) records: u64,
    pub(crate) void: u64,
    pub(crate) other_roots: u64,
    /// Contents that its tree names: live, earlier, in the trash.
    pub(crate) contents: [u64; 3],
    pub(crate) objects: u64,
    pub(crate) missing: u64,
    /// Paths of the first files that lack a piece.
    pub(crate) lacking: Vec<String>,
    /// How many records each member wrote.
    pub(crate) wrote: BTreeMap<UserId, u64>,
    pub(crate) files: u64,
    pub(crate) folders: u64,
    pub(crate) bytes: u64,
    /// Live entries that were not put: links, and files that lack a piece.
    pub(crate) left_out: u64,
}

/// What an archive lacks.
#[derive(Default)]
struct Lacks {
    objects: u64,
    /// Files that lack a piece of what they hold.
    live: BTreeSet<EntryId>,
    entries: BTreeSet<EntryId>,
}

/// An archive that was judged, with its keys and its tree.
struct Opened {
    file: Arc<File>,
    judged: Judged,
    keys: Arc<SafeKeys>,
    tree: judging::Tree,
}

async fn opened(session: &Session, file: OwnedFd) -> Result<Opened, Problem> {
    let file = Arc::new(File::from(file));
    if !file.metadata().is_ok_and(|about| about.is_file()) {
        return Err(Refused::NoFile.into());
    }
    let failed = |source| FileError::Io { what: "beginning to read", source };
    // Dropped with this work, which ends the reading.
    let (_stopper, stop) = stop().map_err(failed)?;
    let (reading, log, open, stopped) =
        (Arc::clone(&file), session.log(), Arc::clone(&session.open), stop.clone());
    let judged = blocking_in(&session.tasks, move || {
        let organisation = &open.summary.organisation;
        let own = Own { organisation, root: log.root(), log: &log, user: open.summary.user };
        judging::judge(&reading, &stopped, &own)
    })
    .await?;
    let keys = Arc::new(opening::keys(session, &judged).await?);
    let known = match session.safes.get(judged.about.safe) {
        Some(safe) => safe.memory().await.verified.present().map(|now| [now.log, now.journal]),
        None => None,
    };
    let (reading, with) = (Arc::clone(&file), Arc::clone(&keys));
    let (tree, judged) = blocking_in(&session.tasks, move || {
        let tree = judging::fold(&reading, &stop, &judged, &with, known)?;
        Ok::<_, Refused>((tree, judged))
    })
    .await?;
    if let Some(stop) = tree.stop {
        return Err(stop.into());
    }
    Ok(Opened { file, judged, keys, tree })
}

/// A page of a file, by all that counts for whether something behind it is lacking: its reference,
/// whether its chunks are opened, how many there are, and how long the last of them is.
type PageKey = (ObjectId, ObjectHash, u64, bool, u64, (usize, usize));
/// A chunk likewise: its reference, and its epoch and length where it is opened.
type ChunkKey = (ObjectId, ObjectHash, Option<(u64, usize, usize)>);

/// What an archive lacks, while it is looked for. Each piece is looked at once, however many files
/// name it: a small archive can name the same page a million times.
struct Looking<'a> {
    opened: &'a Opened,
    stop: &'a Stop,
    lacking: BTreeSet<(ObjectId, ObjectHash)>,
    pages: BTreeMap<PageKey, bool>,
    chunks: BTreeMap<ChunkKey, bool>,
}

impl Looking<'_> {
    /// The bytes of an object that were compared with this hash.
    fn read(&self, reference: &Reference) -> Result<Option<Zeroizing<Vec<u8>>>, Refused> {
        if self.stop.is_over() {
            return Err(Refused::Unreadable(io::ErrorKind::Interrupted.into()));
        }
        let place = self.opened.judged.place(reference.object, &reference.blake3);
        let Some(place) = place else { return Ok(None) };
        let mut bytes = Zeroizing::new(vec![0; place.length]);
        read_at(&self.opened.file, &mut bytes, place.at)?;
        Ok(Some(bytes))
    }

    /// Whether a chunk is there; where it `opens`, whether it is the piece that it should be.
    fn chunk(&mut self, reference: &Reference, size: u64, number: u64, opens: bool) -> Result<bool, Refused> {
        let Reference { object, blake3, epoch } = *reference;
        let shape = opens.then(|| (epoch, chunk_length(size, number), padded_length(size, number)));
        let key: ChunkKey = (object, blake3, shape);
        if let Some(there) = self.chunks.get(&key) {
            return Ok(*there);
        }
        let there = if opens {
            match self.read(reference)? {
                Some(mut bytes) => open_chunk(&self.opened.keys, size, number, reference, &mut bytes).is_ok(),
                None => false,
            }
        } else {
            self.opened.judged.place(object, &blake3).is_some()
        };
        self.chunks.insert(key, there);
        if !there {
            self.lacking.insert((object, blake3));
        }
        Ok(there)
    }

    /// Whether a page is there and can be read, and all that it names is there.
    fn page(&mut self, reference: &Reference, size: u64, number: u64, opens: bool) -> Result<bool, Refused> {
        let Reference { object, blake3, epoch } = *reference;
        let from = number.saturating_mul(PAGE_REFERENCES);
        let count = chunks(size).saturating_sub(from).min(PAGE_REFERENCES);
        let last = from.saturating_add(count).saturating_sub(1);
        let shape = (chunk_length(size, last), padded_length(size, last));
        let key: PageKey = (object, blake3, epoch, opens, count, shape);
        if let Some(whole) = self.pages.get(&key) {
            return Ok(*whole);
        }
        let names = match self.read(reference)? {
            // What its author sealed wrongly is no page for anybody: the file can't be put.
            Some(mut bytes) => open_page(&self.opened.keys, size, number, reference, &mut bytes).ok(),
            None => None,
        };
        let mut whole = names.is_some();
        if !whole {
            self.lacking.insert((object, blake3));
        }
        for piece in pieces::of_page(size, number, names.unwrap_or_default()) {
            if let Part::Chunk(number) = piece.part {
                whole &= self.chunk(&piece.reference, size, number, opens)?;
            }
        }
        self.pages.insert(key, whole);
        Ok(whole)
    }
}

/// Looks for everything that the tree names: by its hash, which was compared with its bytes.
/// `opens`: all of the live files are opened, too, so that one that was sealed wrongly is known
/// before anything is made.
fn lacks(opened: &Opened, opens: bool, stop: &Stop) -> Result<Lacks, Refused> {
    let (lacking, pages, chunks) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
    let mut looking = Looking { opened, stop, lacking, pages, chunks };
    let mut lacks = Lacks::default();
    for held in opened.tree.state.contents() {
        let is_live = held.class == Class::Live;
        let (size, opens) = (held.content.size, opens && is_live);
        let mut whole = true;
        for piece in pieces::named(held.content) {
            whole &= match piece.part {
                Part::Chunk(number) => looking.chunk(&piece.reference, size, number, opens)?,
                Part::Page(number) => looking.page(&piece.reference, size, number, opens)?,
            };
        }
        if !whole {
            lacks.entries.insert(held.entry.id);
            if is_live {
                lacks.live.insert(held.entry.id);
            }
        }
    }
    lacks.objects = looking.lacking.len() as u64;
    Ok(lacks)
}

/// Whether one file alone is at fault: its author sealed what is none, or named a key that nobody
/// has.
const fn is_of_one_file(problem: &Problem) -> bool {
    matches!(
        problem.name,
        ProblemKind::SafeUntrusted
            | ProblemKind::ContentsDamaged
            | ProblemKind::ContentsUnavailable
            | ProblemKind::SafeKeyMissing
    )
}

/// The live tree on its way into a new safe.
struct Putting<'a> {
    session: &'a Session,
    safe: &'a Arc<OpenSafe>,
    opened: &'a Opened,
    lacks: &'a Lacks,
    /// Files that can't be put are left out.
    partial: bool,
    together: Vec<(Path, Sealed)>,
    bytes_together: u64,
    sums: [u64; 4],
}

impl Putting<'_> {
    /// Every live entry, each folder before what is in it.
    async fn all(&mut self) -> Result<(), Problem> {
        let state = &self.opened.tree.state;
        let mut open: Vec<(EntryId, Path)> = vec![(state.root(), Path::new())];
        while let Some((folder, above)) = open.pop() {
            for (name, child) in state.children(folder) {
                let Some(found) = state.entry(child) else { continue };
                let mut path = above.clone();
                path.push(name);
                match &found.kind {
                    EntryKind::Folder => {
                        let _made = acts::make_folder(self.session, self.safe, path.clone(), true).await?;
                        self.count(1, 1);
                        open.push((child, path));
                    }
                    EntryKind::File(content) if !self.lacks.live.contains(&child) => {
                        let about = (found.mtime, found.executable);
                        self.file(path, content, about).await?;
                    }
                    EntryKind::File(_) | EntryKind::Symlink(_) => self.count(3, 1),
                }
            }
            self.send().await?;
        }
        Ok(())
    }

    fn count(&mut self, which: usize, more: u64) {
        if let Some(sum) = self.sums.get_mut(which) {
            *sum = sum.saturating_add(more);
        }
    }

    async fn file(&mut self, path: Path, content: &Content, about: (u64, bool)) -> Result<(), Problem> {
        let objects = InFile {
            session: self.session,
            file: Arc::clone(&self.opened.file),
            judged: &self.opened.judged,
        };
        let keys = Arc::clone(&self.opened.keys);
        let taken = contents::again(self.session, self.safe, &objects, keys, content).await;
        let taken = match taken {
            Ok(taken) => taken,
            // One member's file must not keep all others from their safe.
            Err(problem) if self.partial && is_of_one_file(&problem) => {
                tracing::warn!(%problem, "a file of an archive is left out");
                self.count(3, 1);
                return Ok(());
            }
            Err(problem) => {
                self.send().await?;
                return Err(problem);
            }
        };
        let Taken { content, objects } = taken;
        self.count(0, 1);
        self.count(2, content.size);
        self.bytes_together = self.bytes_together.saturating_add(content.size);
        self.together.push((path, Sealed { content, objects, mtime: about.0, executable: about.1 }));
        let is_much =
            self.together.len() >= FILES_AT_ONCE_MAX || self.bytes_together >= FILES_AT_ONCE_MAX_BYTES;
        if is_much { self.send().await } else { Ok(()) }
    }

    /// Has what came together in the safe.
    async fn send(&mut self) -> Result<(), Problem> {
        let together = std::mem::take(&mut self.together);
        self.bytes_together = 0;
        if together.is_empty() {
            return Ok(());
        }
        let _made = acts::put_many(self.session, self.safe, together, false).await?;
        Ok(())
    }
}

/// Makes a safe of the live tree of an archive. `partial`: also of one that lacks something, which
/// is left out then. Ends early when it is dropped.
///
/// # Errors
/// `archive_damaged`, `archive_untrusted`, `safe_key_missing`, `contents_unavailable` where it
/// lacks something: nothing was made. Why no safe can be made; the store's.
pub(crate) async fn renew(
    session: &Session,
    file: OwnedFd,
    name: Label,
    partial: bool,
) -> Result<Renewed, Problem> {
    let opened = opened(session, file).await?;
    let failed = |source| FileError::Io { what: "beginning to read", source };
    // Dropped with this work, which ends the reading.
    let (_stopper, stop) = stop().map_err(failed)?;
    let (opened, lacks) = blocking_in(&session.tasks, move || {
        let lacks = lacks(&opened, !partial, &stop)?;
        Ok::<_, Refused>((opened, lacks))
    })
    .await?;
    let state: &State = &opened.tree.state;
    let path =
        |entry: &EntryId| state.entry(*entry).map(|found| paths::written(&paths::was_at(state, found)));
    let lacking: Vec<String> = lacks.entries.iter().filter_map(path).take(ARCHIVE_NAMED_MAX).collect();
    if lacks.objects > 0 && !partial {
        let first = lacking.first().cloned().unwrap_or_default();
        let text = format!(
            "The archive lacks {} pieces of contents, or has them sealed wrongly, of {} files; the first of these is {first}.",
            lacks.objects,
            lacks.entries.len()
        );
        let hint = "Take another copy of it; `--partial` makes a safe of what there is.".to_owned();
        // The file stays what it is.
        let problem = Problem::new(ProblemKind::ContentsUnavailable, text);
        return Err(Problem { hint, retryable: false, ..problem });
    }
    let safe = founding::create(session, name).await?;
    let (together, sums) = (Vec::new(), [0; 4]);
    let mut putting = Putting {
        session,
        safe: &safe,
        opened: &opened,
        lacks: &lacks,
        partial,
        together,
        bytes_together: 0,
        sums,
    };
    putting.all().await?;
    let [files, folders, bytes, left_out] = putting.sums;
    let count = |class: Class| state.contents().filter(|held| held.class == class).count() as u64;
    let present = opened.judged.safe.present();
    Ok(Renewed {
        of: opened.judged.about.safe,
        name: state.name().cloned(),
        made: opened.judged.about.made,
        members: opened.judged.members.count(),
        certificates: present.map_or(0, |now| now.log.count),
        records: present.map_or(0, |now| now.journal.count),
        void: opened.tree.void,
        other_roots: opened.tree.other_roots,
        contents: Class::ALL.map(count),
        objects: opened.judged.objects.len() as u64,
        missing: lacks.objects,
        lacking,
        wrote: opened.judged.wrote.clone(),
        files,
        folders,
        bytes,
        left_out,
        safe,
    })
}
