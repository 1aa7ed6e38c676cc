//! `mount.…`: safes as folders of this machine.
//!
//! Decides what is shown of a mount. Refuses to serve a safe that was not accepted, and a folder
//! that is no absolute path: it is shown to people, who must be able to tell where it is.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use parsec_protocol::control::{
    Empty, MarkedMount, MountListResult, MountMark, MountSelector, MountStart, MountUnmark, MountView,
    Problem, ProblemKind,
};
use parsec_protocol::ids::{Label, SafeId};

use super::choose;
use super::files::readable;
use crate::os::clock;
use crate::safes::earlier::{self, Until};
use crate::safes::views;
use crate::session::Session;
use crate::session::mounts::Mounted;
use crate::session::open_safes::{OpenSafe, Past};
use crate::store::{self, Store};

/// Longest path of a folder that is taken, in bytes: PATH_MAX.
const FOLDER_MAX_BYTES: usize = 4_096;

async fn name(session: &Session, safe: SafeId) -> Option<Label> {
    views::name(&*session.safes.get(safe)?.memory().await)
}

/// Refuses a folder that people could not tell from others.
fn is_absolute(folder: &str) -> Result<(), Problem> {
    if folder.starts_with('/') && folder.len() <= FOLDER_MAX_BYTES {
        return Ok(());
    }
    Err(Problem::new(ProblemKind::InvalidRequest, "The folder is no absolute path."))
}

async fn shown(session: &Session, mounted: &Mounted) -> MountView {
    let name = name(session, mounted.safe).await;
    MountView {
        mount: mounted.number,
        safe: mounted.safe,
        name,
        folder: mounted.folder.clone(),
        read_only: mounted.read_only,
        record: mounted.as_of.map(|(record, _)| record),
        time: mounted.as_of.map(|(_, time)| time),
        since: mounted.since,
    }
}

/// Serves a safe over a descriptor.
///
/// # Errors
/// `invalid_request` where the descriptor is of no mount; `too_large`; which safe is meant.
pub async fn start(session: Arc<Session>, params: MountStart, device: OwnedFd) -> Result<MountView, Problem> {
    is_absolute(&params.folder)?;
    let safe = choose(&session, &params.safe).await?;
    readable(&*safe.memory().await)?;
    let past = match Until::of(params.at, params.record)? {
        Some(until) => Some(earlier::past(&session, &safe, until).await?),
        None => None,
    };
    let ended = session.stop.child_token();
    let folder = (params.folder, params.read_only || past.is_some());
    let as_of = past.as_ref().map(|past| (past.seq, past.time));
    let mounted = session.mounts.begin(safe.id, folder, as_of, clock::now(), ended.clone())?;
    if let Err(problem) = serve(&session, safe, &mounted, device, past).await {
        ended.cancel();
        return Err(problem);
    }
    if let Some(safe) = session.safes.get(mounted.safe) {
        views::tell(&session, &safe, "mounted").await;
    }
    Ok(shown(&session, &mounted).await)
}

#[cfg(feature = "mount")]
async fn serve(
    session: &Arc<Session>,
    safe: Arc<OpenSafe>,
    mounted: &Arc<Mounted>,
    device: OwnedFd,
    past: Option<Arc<Past>>,
) -> Result<(), Problem> {
    crate::mount::start(session, safe, Arc::clone(mounted), device, past).await
}

#[cfg(not(feature = "mount"))]
async fn serve(
    _: &Arc<Session>,
    _: Arc<OpenSafe>,
    _: &Arc<Mounted>,
    _: OwnedFd,
    _: Option<Arc<Past>>,
) -> Result<(), Problem> {
    Err(Problem::new(ProblemKind::InvalidRequest, "This daemon was built without the mount."))
}

/// The device's mounts.
///
/// # Errors
/// None of its own.
pub async fn list(session: &Session) -> Result<MountListResult, Problem> {
    let mut mounts = Vec::new();
    for mounted in session.mounts.all() {
        mounts.push(shown(session, &mounted).await);
    }
    let mut marked = Vec::new();
    for mark in session.store(Store::mount_marks).await? {
        marked.push(marked_as(session, mark).await);
    }
    Ok(MountListResult { mounts, marked })
}

async fn marked_as(session: &Session, mark: store::MountMark) -> MarkedMount {
    let name = name(session, mark.safe).await;
    MarkedMount { safe: mark.safe, name, folder: mark.folder, read_only: mark.read_only }
}

/// Marks a safe to be mounted on a folder whenever the device is unlocked. The mark of another one
/// on that folder is gone.
///
/// # Errors
/// `invalid_request` for a folder that is no absolute path; `too_large` for one more than there may
/// be; which safe is meant.
pub async fn mark(session: &Session, params: MountMark) -> Result<MarkedMount, Problem> {
    is_absolute(&params.folder)?;
    let safe = choose(session, &params.safe).await?;
    readable(&*safe.memory().await)?;
    let mark = store::MountMark { folder: params.folder, safe: safe.id, read_only: params.read_only };
    let kept = mark.clone();
    if !session.store(move |store| store.mark_mount(&kept)).await? {
        let text = "As many safes are marked already as can be mounted at once.";
        return Err(Problem::new(ProblemKind::TooLarge, text));
    }
    Ok(marked_as(session, mark).await)
}

/// Takes the mark from a folder. What is mounted there stays until the device is locked.
///
/// # Errors
/// `path_not_found`: it has none.
pub async fn unmark(session: &Session, params: MountUnmark) -> Result<Empty, Problem> {
    if session.store(move |store| store.unmark_mount(&params.folder)).await? {
        return Ok(Empty {});
    }
    Err(Problem::new(ProblemKind::PathNotFound, "No safe is marked to be mounted on that folder."))
}

/// Waits until a mount has ended. Locking the device ends it, and says so by the problem that every
/// call of a locked device gets.
///
/// # Errors
/// `path_not_found`: there is no such mount.
pub async fn wait(session: &Session, params: MountSelector) -> Result<Empty, Problem> {
    let none = || Problem::new(ProblemKind::PathNotFound, "There is no such mount any more.");
    let mounted = session.mounts.get(params.mount).ok_or_else(none)?;
    mounted.ended.cancelled().await;
    if session.stop.is_cancelled() {
        // Whoever waits has to take it away.
        return Err(Problem::new(ProblemKind::DeviceLocked, "The device was locked."));
    }
    if let Some(safe) = session.safes.get(mounted.safe) {
        views::tell(session, &safe, "unmounted").await;
    }
    Ok(Empty {})
}
