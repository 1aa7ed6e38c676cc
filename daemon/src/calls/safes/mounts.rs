//! `mount.…`: safes as folders of this machine.
//!
//! Decides what is shown of a mount. Refuses to serve a safe that was not accepted, and a folder
//! that is no absolute path: it is shown to people, who must be able to tell where it is.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use parsec_protocol::control::{
    Empty, MountListResult, MountSelector, MountStart, MountView, Problem, ProblemKind,
};

use super::choose;
use super::files::readable;
use crate::os::clock;
use crate::safes::views;
use crate::session::Session;
use crate::session::mounts::Mounted;

/// Longest path of a folder that is taken, in bytes: PATH_MAX.
const FOLDER_MAX_BYTES: usize = 4_096;

async fn shown(session: &Session, mounted: &Mounted) -> MountView {
    let name = match session.safes.get(mounted.safe) {
        Some(safe) => views::name(&*safe.memory().await),
        None => None,
    };
    MountView {
        mount: mounted.number,
        safe: mounted.safe,
        name,
        folder: mounted.folder.clone(),
        read_only: mounted.read_only,
        since: mounted.since,
    }
}

/// Serves a safe over a descriptor.
///
/// # Errors
/// `invalid_request` where the descriptor is of no mount; `too_large`; which safe is meant.
pub async fn start(session: Arc<Session>, params: MountStart, device: OwnedFd) -> Result<MountView, Problem> {
    if !params.folder.starts_with('/') || params.folder.len() > FOLDER_MAX_BYTES {
        return Err(Problem::new(ProblemKind::InvalidRequest, "The folder is no absolute path."));
    }
    let safe = choose(&session, &params.safe).await?;
    readable(&*safe.memory().await)?;
    let ended = session.stop.child_token();
    let mounted =
        session.mounts.begin(safe.id, params.folder, params.read_only, clock::now(), ended.clone())?;
    if let Err(problem) = serve(&session, safe, &mounted, device).await {
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
    safe: Arc<crate::session::open_safes::OpenSafe>,
    mounted: &Arc<Mounted>,
    device: OwnedFd,
) -> Result<(), Problem> {
    crate::mount::start(session, safe, Arc::clone(mounted), device).await
}

#[cfg(not(feature = "mount"))]
async fn serve(
    _: &Arc<Session>,
    _: Arc<crate::session::open_safes::OpenSafe>,
    _: &Arc<Mounted>,
    _: OwnedFd,
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
    Ok(MountListResult { mounts })
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
