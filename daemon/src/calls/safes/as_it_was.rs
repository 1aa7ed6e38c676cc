//! Files of a safe as they were: `file.list`, `file.get` and `file.get_many` with a moment or a
//! record.
//!
//! Decides what can still be had of what was: contents of which nothing was thrown away since. The
//! others are listed, since they were there, and named as lost. Refuses to read half of a content.

use parsec_protocol::control::{FileEntry, FileListResult, Problem, ProblemKind};
use parsec_protocol::safes::content_ref::Content;
use parsec_protocol::safes::tree::Tree as _;

use crate::safes::earlier::{self, Until};
use crate::safes::listing;
use crate::safes::paths::{self, Path};
use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::store::Standing;

/// Entries of a folder as it was: what was moved or removed since stands where it was.
///
/// # Errors
/// As `files::list`, of that time; as `earlier::past`.
pub(super) async fn list(
    session: &Session,
    safe: &OpenSafe,
    path: &Path,
    (recursive, after): (bool, Option<&Path>),
    until: Until,
) -> Result<FileListResult, Problem> {
    let past = earlier::past(session, safe, until).await?;
    let (files, more) = listing::list_of(&past.tree, path, recursive, after)?;
    let now = safe.memory().await.base.clone();
    let is_lost = |file: &&FileEntry| {
        let content = past.tree.entry(file.entry).and_then(|entry| entry.content());
        content.is_some_and(|content| !earlier::is_kept(&now, content))
    };
    let lost = files.iter().filter(is_lost).map(|file| file.entry).collect();
    let (record, time) = (Some(past.seq), Some(past.time));
    Ok(FileListResult { safe: safe.id, files, more, record, time, lost })
}

/// Files as they were, and where their bytes are; whether the user has left the safe.
///
/// # Errors
/// `path_not_found`, also where a content was thrown away since, `is_a_folder`, `not_a_file`; as
/// `earlier::past`.
pub(super) async fn files(
    session: &Session,
    safe: &OpenSafe,
    places: &[Path],
    until: Until,
) -> Result<(Vec<(FileEntry, Content)>, bool), Problem> {
    let past = earlier::past(session, safe, until).await?;
    let (now, left) = {
        let memory = safe.memory().await;
        (memory.base.clone(), memory.standing == Standing::Left)
    };
    let found = places.iter().map(|path| {
        let (shown, content) = listing::file_of(&past.tree, path)?;
        if earlier::is_kept(&now, &content) {
            return Ok((shown, content));
        }
        let text = format!("What {} held then is not kept any more.", paths::written(path));
        let hint = "It was thrown away since, as the safe's retention says; `parsecctl safe history` shows the contents that are kept.";
        Err(Problem { hint: hint.to_owned(), ..Problem::new(ProblemKind::PathNotFound, text) })
    });
    Ok((found.collect::<Result<_, Problem>>()?, left))
}

/// One file as it was, likewise.
///
/// # Errors
/// As [`files`].
pub(super) async fn file(
    session: &Session,
    safe: &OpenSafe,
    path: &Path,
    until: Until,
) -> Result<(FileEntry, Content, bool), Problem> {
    let (mut found, left) = files(session, safe, std::slice::from_ref(path), until).await?;
    let (shown, content) = found.pop().ok_or_else(|| paths::not_found(path))?;
    Ok((shown, content, left))
}
