//! What stands at a path of a safe, and where an entry stands.
//!
//! Decides how far a path leads in a tree. How it is written, `control` says for all programs.

use parsec_protocol::control::paths::{read_path, write_path};
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::EntryId;
use parsec_protocol::safes::entry::Entry;
use parsec_protocol::safes::name::EntryName;
use parsec_protocol::safes::tree::{DEPTH_MAX, Tree};

use crate::problems::sentence;

/// The names from the root on; none for the root itself.
pub(crate) type Path = Vec<EntryName>;

fn invalid(text: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::NameInvalid, text)
}

pub(crate) fn not_found(path: &[EntryName]) -> Problem {
    Problem::new(ProblemKind::PathNotFound, format!("There is no {} in the safe.", written(path)))
}

/// Reads a path.
///
/// # Errors
/// `name_invalid`.
pub(crate) fn read(text: &str) -> Result<Path, Problem> {
    let names = read_path(text).map_err(|why| invalid(sentence(&why.to_string())))?;
    names.iter().map(|name| EntryName::new(name).map_err(|why| invalid(sentence(&why.to_string())))).collect()
}

/// Writes a path.
pub(crate) fn written(path: &[EntryName]) -> String {
    write_path(path.iter().map(EntryName::as_bytes))
}

/// What stands at a path.
///
/// # Errors
/// `path_not_found`, `not_a_folder`.
pub(crate) fn find(tree: &dyn Tree, path: &[EntryName]) -> Result<EntryId, Problem> {
    let mut at = tree.root();
    for (depth, name) in path.iter().enumerate() {
        if !tree.is_folder(at) {
            let above = path.get(..depth).unwrap_or_default();
            let text = format!("{} is no folder.", written(above));
            return Err(Problem::new(ProblemKind::NotAFolder, text));
        }
        at = tree.child(at, name).ok_or_else(|| not_found(path))?;
    }
    Ok(at)
}

/// Where a folder was to be made.
pub(super) fn folder_exists(path: &[EntryName]) -> Problem {
    let hint = "Take another name, or say that it may be there (`--parents`).".to_owned();
    Problem { hint, ..exists(path) }
}

/// What is in the way.
pub(super) fn exists(path: &[EntryName]) -> Problem {
    Problem::new(ProblemKind::PathExists, format!("{} is there already.", written(path)))
}

/// The folder that a path's last name stands in, and that name.
///
/// # Errors
/// As [`find`]; `path_exists` for the root.
pub(crate) fn place<'a>(tree: &dyn Tree, path: &'a [EntryName]) -> Result<(EntryId, &'a EntryName), Problem> {
    let root = || Problem::new(ProblemKind::PathExists, "`/` is the safe itself.");
    let (name, above) = path.split_last().ok_or_else(root)?;
    let parent = find(tree, above)?;
    if tree.is_folder(parent) {
        Ok((parent, name))
    } else {
        Err(Problem::new(ProblemKind::NotAFolder, format!("{} is no folder.", written(above))))
    }
}

/// Where an entry stands; none for one that is not live.
pub(crate) fn of(tree: &dyn Tree, entry: EntryId) -> Option<Path> {
    let mut path = Path::new();
    let mut at = entry;
    while at != tree.root() {
        let found = tree.entry(at)?;
        path.push(found.name.clone());
        at = found.parent?;
    }
    path.reverse();
    Some(path)
}

/// Where something in the trash was: through folders that are in the trash, too.
pub(crate) fn was_at(tree: &dyn Tree, found: &Entry) -> Path {
    let mut path = vec![found.name.clone()];
    let mut at = found.last_parent();
    // Deeper than that nothing was in a tree; what stood in the trash one in another is cut there.
    while let Some(above) = at.and_then(|at| tree.entry(at)).filter(|_| path.len() < DEPTH_MAX) {
        path.push(above.name.clone());
        at = above.last_parent();
    }
    path.reverse();
    path
}
