//! What a program does to the files of a safe: each act becomes changes, which are durable here
//! when this returns, and go out by themselves.
//!
//! Decides what an act means on the tree that the person sees. Refuses what would write over
//! something without being told to, what a reader may not, and what the tree does not take: nothing
//! is saved then.

use std::collections::BTreeSet;
use std::sync::Arc;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{EntryId, Label, ObjectId, OperationId};
use parsec_protocol::keys::random;
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safes::change::{Change, Kind};
use parsec_protocol::safes::content_ref::Content;
use parsec_protocol::safes::entry::Entry;
use parsec_protocol::safes::fold::{RETENTION_DAYS_MAX, RETENTION_DAYS_MIN};
use parsec_protocol::safes::name::EntryName;
use parsec_protocol::safes::rebase::Pending;
use parsec_protocol::safes::tree::Tree;

use super::paths::{self, Path, exists, folder_exists};
use super::{committing, folding, holding, overlay, refusals};
use crate::os::{blocking_in, clock, entropy};
use crate::problems;
use crate::session::Session;
use crate::session::open_safes::{Memory, MemoryGuard, OpenSafe, Queued};
use crate::store::Standing;

/// What an act came to.
#[derive(Debug)]
pub(crate) struct Done {
    /// The entry that it is about; the safe's root for an act on the safe itself.
    pub(crate) entry: EntryId,
    /// Where that is now, or was.
    pub(crate) path: Path,
    /// Entries that were changed.
    pub(crate) entries: u64,
    /// The operations that it was made of, for whoever waits until they are shared.
    pub(crate) operations: Vec<OperationId>,
}

/// A change with the objects that were sealed for it.
pub(crate) type Act = (Change, Vec<ObjectId>);

pub(crate) fn drawn() -> Result<[u8; 16], Problem> {
    random(&mut entropy::System).map_err(problems::no_entropy)
}

pub(crate) fn operation() -> Result<OperationId, Problem> {
    drawn().map(OperationId::from_bytes)
}

/// Now, as entries have it.
pub(crate) fn nanoseconds() -> u64 {
    clock::now().0.saturating_mul(1_000)
}

/// Refuses to write where the user may not, and while the tree is a snapshot's word: what is saved
/// on files that a liar made up would go out over those that the person never saw.
///
/// # Errors
/// `safe_not_accepted`, `safe_role_too_low`; `not_shared_yet` while older records are verified.
pub(crate) fn may_write(session: &Session, memory: &Memory) -> Result<(), Problem> {
    let too_low = |text: &str| Err(Problem::new(ProblemKind::SafeRoleTooLow, text));
    match memory.standing {
        Standing::Accepted => {}
        Standing::Offered => {
            let text = "The safe has been offered to you, and you have not taken it.";
            return Err(Problem::new(ProblemKind::SafeNotAccepted, text));
        }
        Standing::Left => return too_low("You are not in this safe any more."),
    }
    let role = memory.verified.role(&session.open.summary.user);
    // One that was founded here, or is not read yet, says no more.
    match role {
        Some(role) if !role.writes() => too_low("You are a reader of this safe."),
        None if memory.verified.present().is_some() => too_low("You are not in this safe any more."),
        Some(_) | None if committing::is_a_word(memory) => Err(refusals::being_verified()),
        Some(_) | None => Ok(()),
    }
}

/// Saves changes: durable when it returns, and on their way.
pub(crate) async fn save(
    session: &Session,
    safe: &OpenSafe,
    mut memory: MemoryGuard,
    acts: Vec<Act>,
) -> Result<Vec<OperationId>, Problem> {
    let (open, id) = (Arc::clone(&session.open), safe.id);
    let operations = blocking_in(&session.tasks, move || {
        let saved = clock::now();
        let queued: Vec<_> = acts
            .into_iter()
            .map(|(change, adds)| Queued { pending: Pending::from(change), saved, adds, brake: None })
            .collect();
        let pending: Vec<_> = queued.iter().map(|queued| queued.pending.clone()).collect();
        // Marked in the same write: also where time passes without a network, it waits.
        let queued = holding::marked(&open, &mut memory, queued);
        let keep = || Ok(open.store.queue_safe_changes(id, &folding::encoded(&queued))?);
        overlay::add(&mut memory, &pending, &folding::stamp(&open), refusals::void, keep)?;
        memory.queue.extend(queued);
        memory.fixed.extend(pending.iter().map(|pending| pending.change.operation()));
        Ok::<_, Problem>(pending.iter().map(|pending| pending.change.operation()).collect())
    })
    .await?;
    safe.wanted.notify_one();
    safe.went_on(); // a mount of it shows what was saved beside it
    Ok(operations)
}

pub(crate) fn added(
    parent: EntryId,
    name: &EntryName,
    kind: Kind,
    mtime: u64,
    executable: bool,
) -> Result<(EntryId, Change), Problem> {
    let entry = EntryId::from_bytes(drawn()?);
    let name = name.clone();
    let add =
        Change::Add { operation: None, entry, parent, name, kind, mtime, executable, conflict_of: None };
    Ok((entry, add))
}

/// A folder; with `parents` those above it too, and one that is there is no error.
///
/// # Errors
/// `path_exists`, `path_not_found`, `not_a_folder`; why nothing may be written; the store's.
pub(crate) async fn make_folder(
    session: &Session,
    safe: &OpenSafe,
    path: Path,
    parents: bool,
) -> Result<Done, Problem> {
    let memory = safe.memory().await;
    may_write(session, &memory)?;
    let mut acts = Vec::new();
    let mut at = {
        let tree = overlay::view(&memory);
        let mut at = tree.root();
        for (depth, name) in path.iter().enumerate() {
            let last = depth + 1 == path.len();
            // What is made here is not in the tree yet.
            let found = if acts.is_empty() { tree.child(at, name) } else { None };
            match found {
                Some(found) if !tree.is_folder(found) => return Err(not_a_folder(path.get(..=depth))),
                Some(_) if last && !parents => return Err(folder_exists(&path)),
                Some(found) => at = found,
                None if last || parents => {
                    let (entry, add) = added(at, name, Kind::Folder, nanoseconds(), false)?;
                    acts.push((add, Vec::new()));
                    at = entry;
                }
                None => return Err(not_found(path.get(..=depth))),
            }
        }
        at
    };
    if path.is_empty() {
        if !parents {
            return Err(folder_exists(&path));
        }
        at = EntryId::from_bytes(*safe.id.as_bytes());
    }
    let entries = acts.len() as u64;
    let operations = if acts.is_empty() { Vec::new() } else { save(session, safe, memory, acts).await? };
    Ok(Done { entry: at, path, entries, operations })
}

fn not_found(path: Option<&[EntryName]>) -> Problem {
    let text = format!("There is no {} in the safe.", paths::written(path.unwrap_or_default()));
    Problem::new(ProblemKind::PathNotFound, text)
}

fn not_a_folder(path: Option<&[EntryName]>) -> Problem {
    let text = format!("{} is no folder.", paths::written(path.unwrap_or_default()));
    Problem::new(ProblemKind::NotAFolder, text)
}

/// Another place or name; with `replace` over a file that is there, which keeps its history.
///
/// # Errors
/// `path_exists`, `path_not_found`, `not_a_folder`, `not_a_file`; why nothing may be written; the
/// store's.
pub(crate) async fn rename(
    session: &Session,
    safe: &OpenSafe,
    from: &Path,
    to: Path,
    replace: bool,
) -> Result<Done, Problem> {
    let memory = safe.memory().await;
    may_write(session, &memory)?;
    let (entry, change) = {
        let tree = overlay::view(&memory);
        let source = paths::find(&tree, from)?;
        let (parent, name) = paths::place(&tree, &to)?;
        match tree.child(parent, name) {
            Some(found) if found == source => {
                return Ok(Done { entry: source, path: to, entries: 0, operations: Vec::new() });
            }
            Some(target) if replace => {
                let base = tree.entry(target).and_then(|target| target.version);
                let is_file = tree.entry(source).is_some_and(|source| source.content().is_some());
                let Some(base) = base.filter(|_| is_file) else {
                    let text = "Only a file goes over a file.";
                    return Err(Problem::new(ProblemKind::NotAFile, text));
                };
                (target, Change::Replace { operation: operation()?, target, base, source })
            }
            Some(_) => return Err(exists(&to)),
            None => {
                let (operation, name) = (operation()?, name.clone());
                (source, Change::Move { operation, entry: source, parent, name, conflict_of: None })
            }
        }
    };
    let operations = save(session, safe, memory, vec![(change, Vec::new())]).await?;
    Ok(Done { entry, path: to, entries: 1, operations })
}

/// The same contents at another place, without sending them again; a folder goes with everything in
/// it.
///
/// # Errors
/// As [`rename`].
pub(crate) async fn copy(
    session: &Session,
    safe: &OpenSafe,
    from: &Path,
    to: Path,
    replace: bool,
) -> Result<Done, Problem> {
    let memory = safe.memory().await;
    may_write(session, &memory)?;
    let mut acts = Vec::new();
    let copy = {
        let tree = overlay::view(&memory);
        let source = paths::find(&tree, from)?;
        let (parent, name) = paths::place(&tree, &to)?;
        if tree.is_under(parent, source) {
            return Err(Problem::new(ProblemKind::NameInvalid, "A folder is not copied into itself."));
        }
        let found = tree.entry(source).ok_or_else(|| not_found(Some(from)))?;
        match (tree.child(parent, name), found.content()) {
            (None, _) => copied(&tree, source, parent, name, &mut acts)?,
            (Some(target), Some(content)) if replace => {
                let base = tree.entry(target).and_then(|target| target.version).ok_or_else(|| exists(&to))?;
                let (operation, content) = (operation()?, content.clone());
                let mtime = found.mtime;
                acts.push((Change::Content { operation, entry: target, base, content, mtime }, Vec::new()));
                target
            }
            (Some(_), _) => return Err(exists(&to)),
        }
    };
    let entries = acts.len() as u64;
    let operations = save(session, safe, memory, acts).await?;
    Ok(Done { entry: copy, path: to, entries, operations })
}

/// What makes a copy of an entry and all that is below it: each folder before what is in it.
fn copied(
    tree: &dyn Tree,
    source: EntryId,
    parent: EntryId,
    name: &EntryName,
    acts: &mut Vec<Act>,
) -> Result<EntryId, Problem> {
    let mut open = vec![(source, parent, name.clone())];
    let mut top = None;
    while let Some((source, parent, name)) = open.pop() {
        let Some(found) = tree.entry(source) else { continue };
        let (entry, add) = added(parent, &name, found.kind.clone(), found.mtime, found.executable)?;
        acts.push((add, Vec::new()));
        top.get_or_insert(entry);
        open.extend(tree.children(source).into_iter().map(|(name, child)| (child, entry, name)));
    }
    top.ok_or_else(|| not_found(None))
}

/// Into the trash.
///
/// # Errors
/// `path_not_found`, `folder_not_empty`; why nothing may be written; the store's.
pub(crate) async fn remove(
    session: &Session,
    safe: &OpenSafe,
    path: Path,
    recursive: bool,
) -> Result<Done, Problem> {
    let memory = safe.memory().await;
    may_write(session, &memory)?;
    let (entry, entries) = {
        let tree = overlay::view(&memory);
        let entry = paths::find(&tree, &path)?;
        if entry == tree.root() {
            let hint =
                "`parsecctl safe leave` takes you out of the safe; what is in it is removed by its paths."
                    .to_owned();
            let text = "A safe's root can't be removed.";
            return Err(Problem { hint, ..Problem::new(ProblemKind::NameInvalid, text) });
        }
        let below = tree.below(entry).len() as u64;
        if below > 0 && !recursive {
            let text = format!("{} is not empty.", paths::written(&path));
            return Err(Problem::new(ProblemKind::FolderNotEmpty, text));
        }
        (entry, below + 1)
    };
    let act = (Change::Remove { operation: operation()?, entry }, Vec::new());
    let operations = save(session, safe, memory, vec![act]).await?;
    Ok(Done { entry, path, entries, operations })
}

/// A file's contents, sealed already.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// What an entry says of them.
    pub(crate) content: Content,
    /// The objects that were sealed for them; not those that are named again.
    pub(crate) objects: Vec<ObjectId>,
    /// When they were last changed, in nanoseconds since 1970.
    pub(crate) mtime: u64,
    /// Whether they are a program.
    pub(crate) executable: bool,
}

/// Refuses contents that could not be put there, before they are read. Gives the content that they
/// would be written over, as this device shows it.
///
/// # Errors
/// As [`put`].
pub(crate) async fn may_put(
    session: &Session,
    safe: &OpenSafe,
    path: &Path,
    replace: bool,
) -> Result<Option<Content>, Problem> {
    let memory = safe.memory().await;
    may_write(session, &memory)?;
    let tree = overlay::view(&memory);
    Ok(target(&tree, path, replace)?.and_then(Entry::content).cloned())
}

/// What a put writes over; nothing where it makes a file.
fn target<'a>(tree: &'a dyn Tree, path: &Path, replace: bool) -> Result<Option<&'a Entry>, Problem> {
    let (parent, name) = paths::place(tree, path)?;
    let Some(found) = tree.child(parent, name).and_then(|found| tree.entry(found)) else { return Ok(None) };
    let written = paths::written(path);
    match &found.kind {
        Kind::Folder => Err(Problem::new(ProblemKind::IsAFolder, format!("{written} is a folder."))),
        Kind::Symlink(_) => {
            Err(Problem::new(ProblemKind::NotAFile, format!("{written} is a symbolic link.")))
        }
        Kind::File(_) if !replace => Err(exists(path)),
        Kind::File(_) => Ok(Some(found)),
    }
}

/// Puts contents into a file, or makes it.
///
/// # Errors
/// `path_exists`, `is_a_folder`, `not_a_file`, `path_not_found`; why nothing may be written; the
/// store's.
pub(crate) async fn put(
    session: &Session,
    safe: &OpenSafe,
    path: Path,
    replace: bool,
    sealed: Sealed,
) -> Result<Done, Problem> {
    let memory = safe.memory().await;
    may_write(session, &memory)?;
    let (entry, acts) = put_acts(&overlay::view(&memory), &path, replace, sealed)?;
    let operations = save(session, safe, memory, acts).await?;
    Ok(Done { entry, path, entries: 1, operations })
}

/// The acts by which contents get to a place, and the entry that they are of then.
fn put_acts(
    tree: &dyn Tree,
    path: &Path,
    replace: bool,
    sealed: Sealed,
) -> Result<(EntryId, Vec<Act>), Problem> {
    let Sealed { content, objects, mtime, executable } = sealed;
    match target(tree, path, replace)? {
        Some(found) => {
            let base = found.version.ok_or_else(|| exists(path))?;
            let (entry, was) = (found.id, found.executable);
            let content = Change::Content { operation: operation()?, entry, base, content, mtime };
            let mut acts = vec![(content, objects)];
            if was != executable {
                let attributes = Change::Attributes { operation: operation()?, entry, mtime, executable };
                acts.push((attributes, Vec::new()));
            }
            Ok((entry, acts))
        }
        None => {
            let (parent, name) = paths::place(tree, path)?;
            let (entry, add) = added(parent, name, Kind::File(content), mtime, executable)?;
            Ok((entry, vec![(add, objects)]))
        }
    }
}

/// Refuses contents of which some could not be put where they shall be, before they are read.
///
/// # Errors
/// As [`put`]; `invalid_request` where two go to one place.
pub(crate) async fn may_put_many(
    session: &Session,
    safe: &OpenSafe,
    places: &[Path],
    replace: bool,
) -> Result<(), Problem> {
    let memory = safe.memory().await;
    may_write(session, &memory)?;
    let tree = overlay::view(&memory);
    let mut taken = BTreeSet::new();
    for path in places {
        target(&tree, path, replace)?;
        if !taken.insert(path) {
            let text = format!("{} is named twice.", paths::written(path));
            return Err(Problem::new(ProblemKind::InvalidRequest, text));
        }
    }
    Ok(())
}

/// Puts contents into files, or makes them; all or none. Two of them never go to one place.
///
/// # Errors
/// As [`put`].
pub(crate) async fn put_many(
    session: &Session,
    safe: &OpenSafe,
    files: Vec<(Path, Sealed)>,
    replace: bool,
) -> Result<(Vec<EntryId>, Vec<OperationId>), Problem> {
    let memory = safe.memory().await;
    may_write(session, &memory)?;
    let (mut entries, mut all) = (Vec::new(), Vec::new());
    {
        let tree = overlay::view(&memory);
        for (path, sealed) in files {
            let (entry, acts) = put_acts(&tree, &path, replace, sealed)?;
            entries.push(entry);
            all.extend(acts);
        }
    }
    Ok((entries, save(session, safe, memory, all).await?))
}

/// Another name of the safe, for everybody.
///
/// # Errors
/// `safe_role_too_low`; the store's.
pub(crate) async fn rename_safe(session: &Session, safe: &OpenSafe, name: Label) -> Result<Done, Problem> {
    of_the_safe(session, safe, Change::SafeName { operation: operation()?, name }).await
}

/// For how long the safe keeps what was removed or written over.
///
/// # Errors
/// `invalid_request` for days that it can't be; `safe_role_too_low`; the store's.
pub(crate) async fn retain(session: &Session, safe: &OpenSafe, days: u64) -> Result<Done, Problem> {
    if !(RETENTION_DAYS_MIN..=RETENTION_DAYS_MAX).contains(&days) {
        let text =
            format!("A safe keeps what was removed for {RETENTION_DAYS_MIN} to {RETENTION_DAYS_MAX} days.");
        return Err(Problem::new(ProblemKind::InvalidRequest, text));
    }
    of_the_safe(session, safe, Change::Retention { operation: operation()?, days }).await
}

/// A change of the safe itself, which takes an owner.
async fn of_the_safe(session: &Session, safe: &OpenSafe, change: Change) -> Result<Done, Problem> {
    let memory = safe.memory().await;
    may_write(session, &memory)?;
    let role = memory.verified.role(&session.open.summary.user);
    if memory.verified.present().is_some() && role != Some(Role::Owner) {
        return Err(Problem::new(ProblemKind::SafeRoleTooLow, "Only an owner of the safe may do this."));
    }
    let operations = save(session, safe, memory, vec![(change, Vec::new())]).await?;
    Ok(Done { entry: EntryId::from_bytes(*safe.id.as_bytes()), path: Path::new(), entries: 0, operations })
}

/// Whether an act is shared: none of its operations waits any more. With the record that it was
/// shared in at the latest.
pub(crate) async fn shared(safe: &OpenSafe, operations: &[OperationId]) -> Option<u64> {
    // Looked up in a queue of thousands.
    let operations: BTreeSet<_> = operations.iter().collect();
    let memory = safe.memory().await;
    let waits = |queued: &Queued| operations.contains(&queued.pending.group);
    (!memory.queue.iter().any(waits)).then(|| memory.base.seq())
}
