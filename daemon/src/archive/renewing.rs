//! A new safe out of an archive.
//!
//! Decides that all of the archive is judged, opened and folded, and that it has everything that
//! the tree names, before anything is made. Then its live tree is put into a new safe: sealed anew,
//! under the new safe's key, piece by piece and never in the clear on a disk. Refuses an archive
//! that lacks something, unless its person takes what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use parsec_protocol::control::{
    ARCHIVE_NAMED_MAX, FILES_AT_ONCE_MAX, FILES_AT_ONCE_MAX_BYTES, Problem, ProblemKind,
};
use parsec_protocol::ids::{EntryId, Label, ObjectId, SafeId, UserId};
use parsec_protocol::safes::change::Kind as EntryKind;
use parsec_protocol::safes::content::open_page;
use parsec_protocol::safes::content_ref::{Content, Reference};
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::named::Class;
use parsec_protocol::safes::state::State;
use parsec_protocol::safes::tree::Tree as _;

use super::judging::{self, Judged, Own};
use super::opening::{self, InFile};
use super::refusals::Refused;
use crate::contents::open_file::FileError;
use crate::contents::stop::stop;
use crate::contents::{self, Objects as _, Taken};
use crate::os::blocking_in;
use crate::safes::acts::{self, Sealed};
use crate::safes::founding;
use crate::safes::paths::{self, Path};
use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::truth::pieces::{self, Part};

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
        let own = Own { organisation, root: log.root(), log: &log };
        judging::judge(&reading, &stopped, &own)
    })
    .await?;
    let keys = Arc::new(opening::keys(session, &judged).await?);
    let (reading, with) = (Arc::clone(&file), Arc::clone(&keys));
    let (tree, judged) = blocking_in(&session.tasks, move || {
        let tree = judging::fold(&reading, &stop, &judged, &with)?;
        Ok::<_, Refused>((tree, judged))
    })
    .await?;
    if let Some(stop) = tree.stop {
        return Err(stop.into());
    }
    Ok(Opened { file, judged, keys, tree })
}

/// Looks for everything that the tree names: by its hash, which was compared with its bytes.
async fn lacks(session: &Session, opened: &Opened) -> Result<Lacks, Problem> {
    let in_file = InFile { session, file: Arc::clone(&opened.file), judged: &opened.judged };
    let state = &opened.tree.state;
    let (mut lacks, mut met) = (Lacks::default(), BTreeMap::<(ObjectId, [u8; 32]), bool>::new());
    let mut look = |lacks: &mut Lacks, class: Class, entry: EntryId, reference: &Reference| {
        let Reference { object, blake3, .. } = *reference;
        let there = *met.entry((object, *blake3.as_bytes())).or_insert_with(|| {
            let there = in_file.place(object, &blake3).is_some();
            lacks.objects = lacks.objects.saturating_add(u64::from(!there));
            there
        });
        if !there {
            lacks.entries.insert(entry);
            if class == Class::Live {
                lacks.live.insert(entry);
            }
        }
        there
    };
    for held in state.contents() {
        for piece in pieces::named(held.content) {
            let there = look(&mut lacks, held.class, held.entry.id, &piece.reference);
            let Part::Page(number) = piece.part else { continue };
            if !there {
                continue;
            }
            let most = parsec_protocol::limits::OBJECT_MAX_BYTES;
            let Some(mut bytes) = in_file.fetch(&[piece.reference], most).await?.pop() else { continue };
            // What its author sealed wrongly is no page for anybody, and names nothing.
            let names = open_page(&opened.keys, held.content.size, number, &piece.reference, &mut bytes);
            for piece in pieces::of_page(held.content.size, number, names.unwrap_or_default()) {
                look(&mut lacks, held.class, held.entry.id, &piece.reference);
            }
        }
    }
    Ok(lacks)
}

/// The live tree on its way into a new safe.
struct Putting<'a> {
    session: &'a Session,
    safe: &'a Arc<OpenSafe>,
    opened: &'a Opened,
    lacks: &'a Lacks,
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
    let lacks = lacks(session, &opened).await?;
    let state: &State = &opened.tree.state;
    let path =
        |entry: &EntryId| state.entry(*entry).map(|found| paths::written(&paths::was_at(state, found)));
    let lacking: Vec<String> = lacks.entries.iter().filter_map(path).take(ARCHIVE_NAMED_MAX).collect();
    if lacks.objects > 0 && !partial {
        let first = lacking.first().cloned().unwrap_or_default();
        let text = format!(
            "The archive lacks {} pieces of contents, of {} files; the first of these is {first}.",
            lacks.objects,
            lacks.entries.len()
        );
        return Err(Problem::new(ProblemKind::ContentsUnavailable, text));
    }
    let safe = founding::create(session, name).await?;
    let (together, sums) = (Vec::new(), [0; 4]);
    let mut putting =
        Putting { session, safe: &safe, opened: &opened, lacks: &lacks, together, bytes_together: 0, sums };
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
