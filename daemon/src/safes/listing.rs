//! The entries of a safe as the local API shows them.
//!
//! Decides their order (names' bytes, a folder right before what is in it) and what *shared* means
//! of one: nothing that was saved here is on top of it.

use parsec_protocol::control::paths::write_name;
use parsec_protocol::control::{FILES_PAGE_MAX, FileConflict, FileEntry, FileKind, Problem, ProblemKind};
use parsec_protocol::ids::{EntryId, OperationId};
use parsec_protocol::safes::change::Kind;
use parsec_protocol::safes::content_ref::Content;
use parsec_protocol::safes::entry::Entry;
use parsec_protocol::safes::tree::{PENDING_SEQ, Tree};

use super::overlay;
use super::paths::{self, Path};
use crate::session::open_safes::Memory;

/// One entry; none for the root, which is the safe.
pub(crate) fn entry(tree: &dyn Tree, found: &Entry, path: &Path) -> FileEntry {
    let (kind, size, target) = match &found.kind {
        Kind::Folder => (FileKind::Folder, None, None),
        Kind::File(content) => (FileKind::File, Some(content.size), None),
        Kind::Symlink(target) => (FileKind::Symlink, None, Some(write_name(target.as_bytes()))),
    };
    let shared = found.content_seq != PENDING_SEQ && found.place_seq != PENDING_SEQ;
    FileEntry {
        path: paths::written(path),
        entry: found.id,
        kind,
        size,
        modified_ns: i64::try_from(found.mtime).unwrap_or(i64::MAX),
        executable: found.executable,
        version: found.version,
        versions: u32::try_from(found.rare.versions.len()).unwrap_or(u32::MAX),
        target,
        shared: shared && tree.seq() > 0,
        added_by: shared.then_some(found.added_by),
        conflict_of: found.rare.conflict_of.as_ref().map(|of| of.entry),
        here: None,
        pinned: false,
    }
}

/// A page of entries: what is shown, and whether there is more.
type Page<T> = (Vec<T>, bool);

/// The entries of a folder, or the one file; those behind `after` alone.
///
/// # Errors
/// `path_not_found`, `not_a_folder`.
pub(crate) fn list(
    memory: &Memory,
    path: &Path,
    recursive: bool,
    after: Option<&Path>,
) -> Result<Page<FileEntry>, Problem> {
    list_of(&overlay::view(memory), path, recursive, after)
}

/// The same of a tree.
///
/// # Errors
/// As [`list`].
pub(crate) fn list_of(
    tree: &dyn Tree,
    path: &Path,
    recursive: bool,
    after: Option<&Path>,
) -> Result<Page<FileEntry>, Problem> {
    let top = paths::find(tree, path)?;
    if !tree.is_folder(top) {
        let files = tree.entry(top).map(|found| entry(tree, found, path)).into_iter().collect();
        return Ok((files, false));
    }
    let mut files = Vec::new();
    // Folders that are open, each with the name that was shown last.
    let mut open: Vec<(EntryId, Path, Option<_>)> = vec![(top, path.clone(), None)];
    while let Some((folder, at, last)) = open.pop() {
        let Some((name, child)) = tree.next_child(folder, last.as_ref()) else { continue };
        let mut here = at.clone();
        here.push(name.clone());
        open.push((folder, at, Some(name)));
        let shown = after.is_none_or(|after| here > *after);
        // What is in a folder before the place to go on is passed over with it.
        let below = after.is_none_or(|after| shown || after.starts_with(&here));
        if shown {
            if files.len() >= FILES_PAGE_MAX {
                return Ok((files, true));
            }
            files.extend(tree.entry(child).map(|found| entry(tree, found, &here)));
        }
        if recursive && below && tree.is_folder(child) {
            open.push((child, here, None));
        }
    }
    Ok((files, false))
}

/// One entry.
///
/// # Errors
/// `path_not_found`, `not_a_folder`.
pub(crate) fn stat(memory: &Memory, path: &Path) -> Result<FileEntry, Problem> {
    let tree = &overlay::view(memory);
    let found = paths::find(tree, path)?;
    let root = || Problem {
        hint: "`parsecctl safe show` and `parsecctl safe usage` tell of it.".to_owned(),
        ..Problem::new(ProblemKind::IsAFolder, "`/` is the safe itself.")
    };
    tree.entry(found).map(|found| entry(tree, found, path)).ok_or_else(root)
}

/// A content that a file has, or had and the safe still has.
///
/// # Errors
/// `path_not_found`: there is no such version.
pub(crate) fn content_at(found: &Entry, version: OperationId, path: &Path) -> Result<Content, Problem> {
    let earlier = || found.rare.versions.iter().find(|earlier| earlier.version == version);
    let content = match found.version == Some(version) {
        true => found.content(),
        false => earlier().map(|earlier| &earlier.content),
    };
    content.cloned().ok_or_else(|| {
        let text = format!("{} has no version {version}.", paths::written(path));
        Problem::new(ProblemKind::PathNotFound, text)
    })
}

/// A file, and where the bytes of an earlier content of it are.
///
/// # Errors
/// As [`file`]; `path_not_found` where it never had it.
pub(crate) fn file_at(
    memory: &Memory,
    path: &Path,
    version: OperationId,
) -> Result<(FileEntry, Content), Problem> {
    let (shown, _) = file(memory, path)?;
    let tree = &overlay::view(memory);
    let found = tree.entry(shown.entry).ok_or_else(|| paths::not_found(path))?;
    Ok((shown, content_at(found, version, path)?))
}

/// A file, and where its bytes are.
///
/// # Errors
/// `path_not_found`, `is_a_folder`, `not_a_file`.
pub(crate) fn file(memory: &Memory, path: &Path) -> Result<(FileEntry, Content), Problem> {
    file_of(&overlay::view(memory), path)
}

/// The same of a tree.
///
/// # Errors
/// As [`file`].
pub(crate) fn file_of(tree: &dyn Tree, path: &Path) -> Result<(FileEntry, Content), Problem> {
    let found = paths::find(tree, path)?;
    let written = paths::written(path);
    let Some(found) = tree.entry(found).filter(|found| !found.is_folder()) else {
        return Err(Problem::new(ProblemKind::IsAFolder, format!("{written} is a folder.")));
    };
    let link = || Problem::new(ProblemKind::NotAFile, format!("{written} is a symbolic link."));
    let content = found.content().cloned().ok_or_else(link)?;
    Ok((entry(tree, found, path), content))
}

/// Earlier contents of a file: which, and how many bytes; the last one first.
///
/// # Errors
/// `path_not_found`, `not_a_folder`.
pub(crate) fn earlier(memory: &Memory, path: &Path) -> Result<Vec<(OperationId, u64)>, Problem> {
    let tree = &overlay::view(memory);
    let found = tree.entry(paths::find(tree, path)?);
    let versions = found.into_iter().flat_map(|found| found.rare.versions.iter().rev());
    Ok(versions.map(|earlier| (earlier.version, earlier.content.size)).collect())
}

/// The tree as a person sees it.
pub(crate) fn tree(memory: &Memory) -> impl Tree {
    overlay::view(memory)
}

/// Number of live conflict copies.
pub(crate) fn conflicts_in(memory: &Memory) -> u64 {
    let tree = &overlay::view(memory);
    let copy = |id: &EntryId| tree.entry(*id).is_some_and(|entry| entry.rare.conflict_of.is_some());
    tree.below(tree.root()).iter().filter(|id| copy(id)).count() as u64
}

/// Conflict copies that are live, in the order of their paths; those behind `after` alone.
pub(crate) fn conflicts(memory: &Memory, after: Option<&Path>) -> Page<FileConflict> {
    let tree = &overlay::view(memory);
    let mut found = Vec::new();
    for id in tree.below(tree.root()) {
        let Some(copy) = tree.entry(id) else { continue };
        let Some(of) = copy.rare.conflict_of.as_ref() else { continue };
        let Some(path) = paths::of(tree, id) else { continue };
        if after.is_some_and(|after| path <= *after) {
            continue;
        }
        if found.len() >= FILES_PAGE_MAX {
            return (found, true);
        }
        let of = paths::of(tree, of.entry).map(|path| paths::written(&path));
        found.push(FileConflict { copy: entry(tree, copy, &path), of });
    }
    (found, false)
}

/// Live entries, and the bytes of the live files.
pub(crate) fn sums(tree: &dyn Tree) -> (u64, u64) {
    tree.below(tree.root())
        .into_iter()
        .filter_map(|id| tree.entry(id))
        .fold((0, 0), |(count, bytes), found| {
            (count + 1, bytes + found.content().map_or(0, |content| content.size))
        })
}

/// Where an entry is, for a sentence; the safe's root for one that is not there.
pub(crate) fn place(memory: &Memory, entry: Option<EntryId>) -> String {
    let tree = &overlay::view(memory);
    let path = entry.and_then(|entry| paths::of(tree, entry)).unwrap_or_default();
    paths::written(&path)
}
