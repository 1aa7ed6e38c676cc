//! Safes as folders of the person's machine, by FUSE.
//!
//! Decides how a safe is served to the kernel over a descriptor that a program with the user's
//! rights made the mount with: the daemon itself mounts nothing, and needs no right to. Refuses a
//! descriptor that is none of `/dev/fuse`. Locking never waits for the kernel: every request is an
//! error from then on, the kernel is told to drop its pages, and what it does then is its own
//! matter. One folder, `fuse`, names the library.

mod asker;
mod cache;
mod ceiling;
mod draft;
mod fail;
mod file;
mod following;
mod fuse;
mod inodes;
mod names;
mod naming;
mod queueing;
mod quota;
mod renaming;
mod serve;
mod space;
mod tether;
mod times;
mod touching;
mod writing;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::control::{Problem, ProblemKind};
use rustix::fs::{FileType, fstat, major, minor};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::session::Session;
use crate::session::mounts::Mounted;
use crate::session::open_safes::{OpenSafe, Past};
use following::{TELLS_MAX, Tell};
use serve::Mount;
use tether::Tether;

/// The numbers of `/dev/fuse`, the same on every Linux.
const FUSE_DEVICE: (u32, u32) = (10, 229);
/// How long the kernel is given for its first word, which is there before we have the descriptor.
const GREETING: Duration = Duration::from_secs(5);
/// How long locking waits until the kernel has dropped its pages. It is told in any case.
const DROPPING: Duration = Duration::from_secs(2);

fn refused(text: &str) -> Problem {
    Problem::new(ProblemKind::InvalidRequest, text)
}

/// Refuses what is not `/dev/fuse`.
fn is_fuse(device: impl AsFd) -> Result<(), Problem> {
    let refuse = || refused("The open file that came with the request is not of /dev/fuse.");
    let stat = fstat(device).map_err(|_| refuse())?;
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    let numbers = (major(stat.st_rdev), minor(stat.st_rdev));
    if is_device && numbers == FUSE_DEVICE { Ok(()) } else { Err(refuse()) }
}

/// Serves a safe over a descriptor of `/dev/fuse` that somebody has mounted, as it is or as it was.
///
/// # Errors
/// `invalid_request`: it is another descriptor, or of no mount.
pub(crate) async fn start(
    session: &Arc<Session>,
    safe: Arc<OpenSafe>,
    mounted: Arc<Mounted>,
    device: OwnedFd,
    past: Option<Arc<Past>>,
) -> Result<(), Problem> {
    is_fuse(&device)?;
    let is_now = past.is_none();
    let mount = Arc::new(Mount::new(Arc::clone(session), safe, &mounted, past));
    let tether = Tether::new(&mount);
    let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let (began, begun) = oneshot::channel();
    let serving = serving(tether.clone(), owner, device, began, mounted.ended.clone());
    if let Err(error) = serving {
        tether.cut();
        return Err(refused(&format!("There is no thread to serve the mount with: {error}.")));
    }
    let notifier = match tokio::time::timeout(GREETING, begun).await {
        Ok(Ok(Ok(notifier))) => notifier,
        failed => {
            tether.cut();
            let why = match failed {
                Ok(Ok(Err(error))) => error.to_string(),
                _ => "the kernel says nothing on it".to_owned(),
            };
            return Err(refused(&format!("The open file that came with the request is of no mount: {why}.")));
        }
    };
    let (tell, words) = mpsc::channel(TELLS_MAX);
    let teller = std::thread::Builder::new().name("mount-tell".to_owned());
    if let Err(error) = teller.spawn(move || notifier.run(words)) {
        tether.cut();
        return Err(refused(&format!("There is no thread to tell the kernel with: {error}.")));
    }
    // What was does not change, and nothing is written there.
    if is_now {
        run(session, &mounted.ended, Arc::clone(&mount).follow(tell.clone()));
        run(session, &mounted.ended, Arc::clone(&mount).send());
        let first = Arc::clone(&mount);
        session.run(async move { first.ask().await });
    }
    let (ended, stop) = (mounted.ended.clone(), session.stop.clone());
    // Not cut off by locking: it is what locking does.
    session.tasks.spawn(async move {
        ended.cancelled().await;
        tether.cut();
        if stop.is_cancelled() {
            let dropping = dropped(&mount, &tell);
            if tokio::time::timeout(DROPPING, dropping).await.is_err() {
                tracing::warn!("the kernel did not drop the pages of a mount in time");
            }
        } else {
            // Locking does not wait for it.
            tokio::select! {
                () = stop.cancelled() => {}
                () = mount.save_rest() => {}
            }
        }
    });
    Ok(())
}

/// Runs as long as the safe is mounted.
fn run(session: &Session, ended: &CancellationToken, work: impl Future<Output = ()> + Send + 'static) {
    let ended = ended.clone();
    session.run(async move {
        tokio::select! {
            () = ended.cancelled() => {}
            () = work => {}
        }
    });
}

/// Serves the kernel on a thread of its own, which holds nothing of the device but the tether: it
/// ends when nobody has the mount any more, which may be long after the device was locked.
fn serving(
    tether: Tether,
    owner: (u32, u32),
    device: OwnedFd,
    began: oneshot::Sender<std::io::Result<fuse::Told>>,
    ended: CancellationToken,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Handle::current();
    let thread = std::thread::Builder::new().name("mount".to_owned());
    let served = thread.spawn(move || {
        match fuse::begin(tether, runtime, owner, device) {
            Ok(kernel) => {
                let _ = began.send(Ok(kernel.notifier()));
                if let Err(error) = kernel.run() {
                    tracing::warn!(%error, "a mount has ended");
                }
            }
            Err(error) => {
                let _ = began.send(Err(error));
            }
        }
        ended.cancel();
    });
    served.map(drop)
}

/// Tells the kernel to forget all that it knows: no page and no name of a locked safe stays in its
/// memory.
async fn dropped(mount: &Mount, tell: &mpsc::Sender<Tell>) {
    let (all, places) = {
        let names = mount.names.lock().await;
        (names.inodes.numbers(), names.inodes.places())
    };
    let (done, dropped) = oneshot::channel();
    if tell.send(Tell::All(all, places, done)).await.is_ok() {
        let _ = dropped.await;
    }
}
