//! Out of the past of a safe: an earlier content of a file, and what is in the trash.
//!
//! Decides where something removed comes back to: where it was, unless its person says another
//! place. Refuses to put it over something, or into a folder that is in the trash itself: which of
//! the two should come first, a person knows.

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{EntryId, OperationId};
use parsec_protocol::safes::change::Change;
use parsec_protocol::safes::tree::Tree;

use super::acts::{Done, may_write, nanoseconds, operation, save};
use super::listing::content_at;
use super::overlay;
use super::paths::{self, Path, exists};
use crate::session::Session;
use crate::session::open_safes::OpenSafe;

/// A file gets a content again that it had, and is not sent again.
///
/// # Errors
/// `path_not_found`, `is_a_folder`, `not_a_file`; why nothing may be written; the store's.
pub(crate) async fn version(
    session: &Session,
    safe: &OpenSafe,
    path: Path,
    version: OperationId,
) -> Result<Done, Problem> {
    let memory = safe.memory().await;
    may_write(session, &memory)?;
    let (entry, change) = {
        let tree = overlay::view(&memory);
        let entry = paths::find(&tree, &path)?;
        let found = tree.entry(entry).filter(|found| !found.is_folder()).ok_or_else(|| {
            Problem::new(ProblemKind::IsAFolder, format!("{} is a folder.", paths::written(&path)))
        })?;
        let link = format!("{} is a symbolic link.", paths::written(&path));
        let base = found.version.ok_or_else(|| Problem::new(ProblemKind::NotAFile, link))?;
        let content = content_at(found, version, &path)?;
        let again = base != version && found.content() != Some(&content);
        let change = |operation| Change::Content { operation, entry, base, content, mtime: nanoseconds() };
        (entry, if again { Some(change(operation()?)) } else { None })
    };
    let entries = u64::from(change.is_some());
    let operations = match change {
        Some(change) => save(session, safe, memory, vec![(change, Vec::new())]).await?,
        None => Vec::new(),
    };
    Ok(Done { entry, path, entries, operations })
}

/// What is in the trash comes back, a folder with what went with it.
///
/// # Errors
/// `path_not_found` where it is not in the trash, or its place is gone; `path_exists`; why nothing
/// may be written; the store's.
pub(crate) async fn removed(
    session: &Session,
    safe: &OpenSafe,
    entry: EntryId,
    to: Option<Path>,
) -> Result<Done, Problem> {
    let memory = safe.memory().await;
    may_write(session, &memory)?;
    let (path, change, entries) = {
        let tree = overlay::view(&memory);
        let found = tree.entry(entry).filter(|_| !tree.is_live(entry)).ok_or_else(|| {
            Problem::new(ProblemKind::PathNotFound, "There is nothing of this id in the safe's trash.")
        })?;
        let (parent, name, path) = match to {
            Some(to) => {
                let (parent, name) = paths::place(&tree, &to)?;
                (parent, name.clone(), to)
            }
            None => {
                let parent = found.last_parent().filter(|parent| tree.is_live(*parent));
                let at = parent.and_then(|parent| Some((parent, paths::of(&tree, parent)?)));
                let (parent, mut path) = at.ok_or_else(|| {
                    let text = "The folder that it was in is in the trash, too: bring that one back first, or say another place.";
                    Problem::new(ProblemKind::PathNotFound, text)
                })?;
                path.push(found.name.clone());
                (parent, found.name.clone(), path)
            }
        };
        if tree.child(parent, &name).is_some() {
            return Err(exists(&path));
        }
        let change = Change::Restore { operation: operation()?, entry, parent, name, shallow: false };
        (path, change, tree.below(entry).len() as u64 + 1)
    };
    let operations = save(session, safe, memory, vec![(change, Vec::new())]).await?;
    Ok(Done { entry, path, entries, operations })
}
