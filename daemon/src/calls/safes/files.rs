//! `file.…`: the files of a safe.
//!
//! Decides what each answers: a change once it is durable here, and where a program waits, whether
//! the server has accepted it by then. Contents go through a descriptor that comes with the
//! request; nothing here holds a whole file.

use std::fs::File;

use parsec_protocol::control::{
    FILE_OF_MANY_MAX_BYTES, FILES_AT_ONCE_MAX, FILES_AT_ONCE_MAX_BYTES, FileChanged, FileConflicts,
    FileConflictsResult, FileEntry, FileGet, FileGetMany, FileGot, FileList, FileListResult, FileMakeFolder,
    FileMove, FilePut, FilePutMany, FileRemove, FileSelector, FilesChanged, FilesGot, Problem, ProblemKind,
    SafeRename,
};
use parsec_protocol::ids::OperationId;
use rustix::fs::{FileType, fstat};

use super::here::Filling;
use super::status::{Wanted, until};
use super::{as_it_was, blame, choose};
use crate::contents::{self, Taken};
use crate::safes::acts::{self, Done, Sealed};
use crate::safes::earlier::Until;
use crate::safes::{holding, listing, paths};
use crate::session::Session;
use crate::session::open_safes::{Memory, OpenSafe};
use crate::store::Standing;
use crate::truth::room;

/// Bytes that `stat` counts blocks in, whatever the file system's are.
const STAT_BLOCK_BYTES: u64 = 512;

/// How far operations have come, after waiting for them as long as is wanted: the record that they
/// were shared in, or what keeps them from it.
async fn come(
    session: &Session,
    safe: &OpenSafe,
    operations: &[OperationId],
    wait_seconds: Option<u32>,
) -> (Option<u64>, Option<Problem>) {
    // What can't be counted now is said by the safe's own task.
    let waiting = holding::waiting_in(session, safe).await.unwrap_or_default();
    let held = operations.iter().any(|operation| waiting.holds(*operation));
    let wait = wait_seconds.unwrap_or(0);
    // What waits for a person is not waited for by a program.
    if wait > 0 && !held {
        until(safe, wait, Wanted::Shared(operations.to_vec())).await;
    }
    let seq = acts::shared(safe, operations).await;
    let why = if held { waiting.problem() } else { safe.memory().await.problem.clone() };
    (seq, why.filter(|_| seq.is_none()))
}

/// How far an act has come, likewise.
pub(super) async fn changed(
    session: &Session,
    safe: &OpenSafe,
    done: Done,
    bytes: u64,
    wait_seconds: Option<u32>,
) -> FileChanged {
    let (seq, problem) = come(session, safe, &done.operations, wait_seconds).await;
    FileChanged {
        safe: safe.id,
        path: paths::written(&done.path),
        entry: done.entry,
        bytes,
        entries: done.entries,
        saved: true,
        shared: seq.is_some(),
        seq: seq.filter(|_| !done.operations.is_empty()),
        problem,
    }
}

/// Refuses to look into a safe that is not here.
pub(super) fn readable(memory: &Memory) -> Result<(), Problem> {
    if memory.standing == Standing::Offered {
        let text = "The safe has been offered to you, and you have not taken it.";
        return Err(Problem::new(ProblemKind::SafeNotAccepted, text));
    }
    Ok(())
}

/// The entries of a folder.
///
/// # Errors
/// `path_not_found`, `not_a_folder`; which safe is meant.
pub async fn list(session: &Session, params: FileList) -> Result<FileListResult, Problem> {
    let path = paths::read(&params.path)?;
    let after = params.after.as_deref().map(paths::read).transpose()?;
    let safe = choose(session, &params.safe).await?;
    if let Some(until) = Until::of(params.at, params.record)? {
        readable(&*safe.memory().await)?;
        return as_it_was::list(session, &safe, &path, (params.recursive, after.as_ref()), until).await;
    }
    let memory = safe.memory().await;
    readable(&memory)?;
    let (mut files, more) = listing::list(&memory, &path, params.recursive, after.as_ref())?;
    let filling = Filling::of(&safe, &memory, &files);
    drop(memory);
    filling.fill(session, &safe, &mut files).await?;
    Ok(FileListResult { safe: safe.id, files, more, record: None, time: None, lost: Vec::new() })
}

/// One entry.
///
/// # Errors
/// As [`list`].
pub async fn stat(session: &Session, params: FileSelector) -> Result<FileEntry, Problem> {
    let path = paths::read(&params.path)?;
    let safe = choose(session, &params.safe).await?;
    let memory = safe.memory().await;
    readable(&memory)?;
    let mut files = [listing::stat(&memory, &path)?];
    let filling = Filling::of(&safe, &memory, &files);
    drop(memory);
    filling.fill(session, &safe, &mut files).await?;
    let [file] = files;
    Ok(file)
}

/// Conflict copies that nobody has cleared away.
///
/// # Errors
/// As [`list`].
pub async fn conflicts(session: &Session, params: FileConflicts) -> Result<FileConflictsResult, Problem> {
    let after = params.after.as_deref().map(paths::read).transpose()?;
    let safe = choose(session, &params.safe).await?;
    let memory = safe.memory().await;
    readable(&memory)?;
    let (conflicts, more) = listing::conflicts(&memory, after.as_ref());
    Ok(FileConflictsResult { conflicts, more })
}

/// An empty folder.
///
/// # Errors
/// As `acts::make_folder`.
pub async fn make_folder(session: &Session, params: FileMakeFolder) -> Result<FileChanged, Problem> {
    let path = paths::read(&params.path)?;
    let safe = choose(session, &params.safe).await?;
    let done = acts::make_folder(session, &safe, path, params.parents).await?;
    Ok(changed(session, &safe, done, 0, params.wait_seconds).await)
}

/// Another place or name.
///
/// # Errors
/// As `acts::rename`.
pub async fn rename(session: &Session, params: FileMove) -> Result<FileChanged, Problem> {
    let (from, to) = (paths::read(&params.from)?, paths::read(&params.to)?);
    let safe = choose(session, &params.safe).await?;
    let done = acts::rename(session, &safe, &from, to, params.replace).await?;
    Ok(changed(session, &safe, done, 0, params.wait_seconds).await)
}

/// The same contents at another place.
///
/// # Errors
/// As `acts::copy`.
pub async fn copy(session: &Session, params: FileMove) -> Result<FileChanged, Problem> {
    let (from, to) = (paths::read(&params.from)?, paths::read(&params.to)?);
    let safe = choose(session, &params.safe).await?;
    let done = acts::copy(session, &safe, &from, to, params.replace).await?;
    Ok(changed(session, &safe, done, 0, params.wait_seconds).await)
}

/// Into the trash.
///
/// # Errors
/// As `acts::remove`.
pub async fn remove(session: &Session, params: FileRemove) -> Result<FileChanged, Problem> {
    let path = paths::read(&params.path)?;
    let safe = choose(session, &params.safe).await?;
    let done = acts::remove(session, &safe, path, params.recursive).await?;
    Ok(changed(session, &safe, done, 0, params.wait_seconds).await)
}

/// Contents into a safe. Whoever waits until they are shared is told before anything is read where
/// they can't be; whoever has them saved alone is not.
///
/// # Errors
/// `quota_reached`; as `contents::take` and `acts::put`.
pub async fn put(session: &Session, params: FilePut, file: File) -> Result<FileChanged, Problem> {
    let path = paths::read(&params.path)?;
    let safe = choose(session, &params.safe).await?;
    let over = acts::may_put(session, &safe, &path, params.replace).await?;
    if params.wait_seconds.is_some_and(|wait| wait > 0)
        && let Some(size) = params.size
    {
        // Of a file that is written over, what has not changed is named again.
        let more = size.saturating_sub(over.as_ref().map_or(0, |over| over.size));
        room::room(session, &safe, more.min(allocated(&file))).await?;
    }
    let Taken { content, objects } = contents::take(session, &safe, file, params.size, over).await?;
    let bytes = content.size;
    let mtime =
        params.modified_ns.and_then(|time| u64::try_from(time).ok()).unwrap_or_else(acts::nanoseconds);
    let sealed = Sealed { content, objects: objects.clone(), mtime, executable: params.executable };
    match acts::put(session, &safe, path, params.replace, sealed).await {
        Ok(done) => Ok(changed(session, &safe, done, bytes, params.wait_seconds).await),
        Err(problem) => {
            // Nothing names them.
            let id = safe.id;
            session.store(move |store| store.drop_objects(id, &objects)).await?;
            Err(problem)
        }
    }
}

/// Bytes of an open file that are somewhere: the holes of a sparse one are never sent.
fn allocated(file: &File) -> u64 {
    match fstat(file) {
        Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile => {
            u64::try_from(found.st_blocks).unwrap_or(u64::MAX).saturating_mul(STAT_BLOCK_BYTES)
        }
        Ok(_) | Err(_) => u64::MAX,
    }
}

/// Refuses more files at once than a request takes.
fn bounded(count: usize, sizes: impl Iterator<Item = u64>) -> Result<(), Problem> {
    let too_many = |text: String| Err(Problem::new(ProblemKind::TooLarge, text));
    if count > FILES_AT_ONCE_MAX {
        return too_many(format!("One request takes {FILES_AT_ONCE_MAX} files at most."));
    }
    let mut all = 0_u64;
    for size in sizes {
        if size > FILE_OF_MANY_MAX_BYTES {
            let text = format!("Files of {FILE_OF_MANY_MAX_BYTES} bytes at most go together.");
            return too_many(text);
        }
        all = all.saturating_add(size);
    }
    if all > FILES_AT_ONCE_MAX_BYTES {
        return too_many(format!("One request takes files of {FILES_AT_ONCE_MAX_BYTES} bytes together."));
    }
    Ok(())
}

/// Contents of small files into a safe, all or none of them.
///
/// # Errors
/// `too_large`, `invalid_request` where two go to one place; as [`put`], for the first that can't
/// be there.
pub async fn put_many(session: &Session, params: FilePutMany, file: File) -> Result<FilesChanged, Problem> {
    bounded(params.files.len(), params.files.iter().map(|each| each.size))?;
    let places: Vec<_> = params.files.iter().map(|each| paths::read(&each.path)).collect::<Result<_, _>>()?;
    let safe = choose(session, &params.safe).await?;
    acts::may_put_many(session, &safe, &places, params.replace).await?;
    if params.wait_seconds.is_some_and(|wait| wait > 0) && !params.replace {
        let bytes = params.files.iter().map(|each| each.size).fold(0, u64::saturating_add);
        room::room(session, &safe, bytes).await?;
    }
    let sizes = params.files.iter().map(|each| each.size).collect();
    let taken = contents::take_many(session, &safe, file, sizes).await?;
    let bytes = taken.iter().map(|taken| taken.content.size).fold(0, u64::saturating_add);
    let objects: Vec<_> = taken.iter().flat_map(|taken| taken.objects.iter().copied()).collect();
    let now = acts::nanoseconds();
    let sealed = taken.into_iter().zip(&params.files).map(|(Taken { content, objects }, each)| {
        let mtime = each.modified_ns.and_then(|time| u64::try_from(time).ok()).unwrap_or(now);
        Sealed { content, objects, mtime, executable: each.executable }
    });
    let files = places.into_iter().zip(sealed).collect();
    let (entries, operations) = match acts::put_many(session, &safe, files, params.replace).await {
        Ok(done) => done,
        Err(problem) => {
            // Nothing names them.
            let id = safe.id;
            session.store(move |store| store.drop_objects(id, &objects)).await?;
            return Err(problem);
        }
    };
    let (seq, problem) = come(session, &safe, &operations, params.wait_seconds).await;
    let shared = seq.is_some();
    let seq = seq.filter(|_| !operations.is_empty());
    Ok(FilesChanged { safe: safe.id, entries, bytes, saved: true, shared, seq, problem })
}

/// Contents of small files out of a safe.
///
/// # Errors
/// `too_large`; as [`get`], for the first that can't be had.
pub async fn get_many(session: &Session, params: FileGetMany, file: File) -> Result<FilesGot, Problem> {
    bounded(params.paths.len(), std::iter::empty())?;
    let places: Vec<_> = params.paths.iter().map(|path| paths::read(path)).collect::<Result<_, _>>()?;
    let safe = choose(session, &params.safe).await?;
    let (found, left) = match Until::of(params.at, params.record)? {
        Some(until) => {
            readable(&*safe.memory().await)?;
            as_it_was::files(session, &safe, &places, until).await?
        }
        None => {
            let memory = safe.memory().await;
            readable(&memory)?;
            let found: Result<Vec<_>, _> = places.iter().map(|path| listing::file(&memory, path)).collect();
            (found?, memory.standing == Standing::Left)
        }
    };
    let (files, contents): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    bounded(contents.len(), contents.iter().map(|content| content.size))?;
    let bytes = contents::give_many(session, &safe, contents, file).await;
    let bytes = bytes.map_err(|problem| of_who_left(left, problem))?;
    Ok(FilesGot { bytes, files })
}

/// Where the user has left the safe, waiting for the server would not help.
fn of_who_left(left: bool, problem: Problem) -> Problem {
    if left && problem.name == ProblemKind::ContentsUnavailable {
        let text = "You are not in this safe any more, and the contents are not on this device.";
        return Problem::new(ProblemKind::SafeRoleTooLow, text);
    }
    problem
}

/// Contents out of a safe.
///
/// # Errors
/// `path_not_found`, also for a version that it never had and for contents that were thrown away,
/// `is_a_folder`, `not_a_file`; `safe_role_too_low` where the user has left it, and the contents
/// are not here; as `contents::give`.
pub async fn get(session: &Session, params: FileGet, file: File) -> Result<FileGot, Problem> {
    let path = paths::read(&params.path)?;
    let safe = choose(session, &params.safe).await?;
    let until = Until::of(params.at, params.record)?;
    let (shown, content, left) = if let Some(until) = until {
        if params.version.is_some() {
            let text = "Say which version, or as of when, and not both.";
            return Err(Problem::new(ProblemKind::InvalidRequest, text));
        }
        readable(&*safe.memory().await)?;
        as_it_was::file(session, &safe, &path, until).await?
    } else {
        let memory = safe.memory().await;
        readable(&memory)?;
        let (shown, content) = match params.version {
            None => listing::file(&memory, &path)?,
            Some(version) => listing::file_at(&memory, &path, version)?,
        };
        (shown, content, memory.standing == Standing::Left)
    };
    let bytes = match contents::give(session, &safe, content.clone(), file).await {
        Ok(bytes) => bytes,
        Err(problem) => {
            let version = params.version.or(shown.version);
            let problem = blame::told(session, &safe, (&content, version), problem).await;
            return Err(of_who_left(left, problem));
        }
    };
    Ok(FileGot { bytes, file: shown })
}

/// Another name of the safe.
///
/// # Errors
/// As `acts::rename_safe`.
pub async fn rename_safe(session: &Session, params: SafeRename) -> Result<FileChanged, Problem> {
    let safe = choose(session, &params.safe).await?;
    let done = acts::rename_safe(session, &safe, params.name).await?;
    Ok(changed(session, &safe, done, 0, None).await)
}
