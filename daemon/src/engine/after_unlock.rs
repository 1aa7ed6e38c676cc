//! What an unlocked device does by itself: brings its log up to date, finds itself in it, makes its user's first
//! manifest, and finishes its outbox.
//!
//! Decides nothing a person should. Tries again while the server is away; stops at what needs a person, and says so
//! in the log of the daemon. Every step is idempotent, so a crash between any two is harmless.

use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::control::{Problem, ProblemKind, Registration};
use parsec_protocol::ids::DeviceId;
use parsec_protocol::manifest::{ManifestPlace, seal_empty};
use parsec_protocol::relay::{ErrorCode, ManifestUpload};

use super::Daemon;
use super::command::{Event, Handle};
use crate::calls::invitations;
use crate::enrolment::finality;
use crate::enrolment::finality::{Heard, Standing};
use crate::enrolment::outbox;
use crate::events::Reason;
use crate::os::blocking;
use crate::os::{clock, entropy};
use crate::problems;
use crate::session::{Session, SyncError};
use crate::transport::retry::until_done;
use crate::transport::{RoadError, Trouble};

/// Between looks for invitations that have expired. They last days; the server refuses them on the second.
const LINKS_LOOKED_AT: Duration = Duration::from_secs(600);

impl Daemon {
    /// Starts what an unlocked device does by itself.
    pub(super) fn settle(&self, device: DeviceId) {
        let (Some(unlocked), Some(summary)) = (self.unlocked.get(&device), self.known.get(&device)) else {
            return;
        };
        let registered = summary.registration == Registration::Registered;
        let (session, handle) = (Arc::clone(&unlocked.session), self.handle.clone());
        let stop = session.stop.clone();
        unlocked.session.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = run(session, registered, handle) => {}
            }
        });
    }

    /// A device has found itself in the verified log: from here on nobody needs its receipt.
    pub(super) fn certified(&mut self, device: DeviceId) {
        self.heard(device, Heard::Log);
        let devices = Arc::clone(&self.devices);
        // A failure is made good when it is next unlocked.
        self.spawn(async move {
            if let Err(problem) = blocking(move || devices.drop_receipt(device)).await {
                tracing::error!(%device, %problem, "a receipt that nobody needs is still there");
            }
        });
    }

    /// Takes note of what is heard of whether a device is certified; nothing is dropped for it.
    pub(super) fn heard(&mut self, device: DeviceId, heard: Heard) {
        let Some(summary) = self.known.get_mut(&device) else { return };
        let now = Standing { registration: summary.registration, restored: summary.restored };
        let then = finality::next(now, heard);
        if then == now {
            return;
        }
        let Standing { registration, restored } = then;
        (summary.registration, summary.restored) = (registration, restored);
        self.changed(device, Reason::Registration);
        let devices = Arc::clone(&self.devices);
        // A failure is made good at the next start, when the receipt is still there and the server asked again.
        self.spawn(async move {
            if let Err(problem) =
                blocking(move || devices.set_registration(device, registration, restored)).await
            {
                tracing::error!(%device, %problem, "a device's registration could not be noted");
            }
        });
        // One that is revoked asks again when it is next unlocked.
        if registration != Registration::Revoked {
            self.settle(device);
        }
    }
}

/// Runs until the device is revoked or locked. What is to be settled is settled meanwhile.
async fn run(session: Arc<Session>, registered: bool, handle: Handle) {
    let revoked = async {
        session.until_revoked().await;
        handle.tell(Event::Registered(session.open.summary.device, Registration::Revoked)).await;
    };
    tokio::join!(work(&session, registered, &handle), revoked, forget_links(&session));
}

/// Forgets the links of invitations whose date has come, as long as the device is unlocked.
async fn forget_links(session: &Session) {
    loop {
        if let Err(problem) = invitations::drop_expired(session).await {
            tracing::warn!(%problem, "the links of expired invitations could not be forgotten");
        }
        tokio::time::sleep(LINKS_LOOKED_AT).await;
    }
}

async fn work(session: &Arc<Session>, registered: bool, handle: &Handle) {
    if let Err(problem) = outbox::finish_all(session).await {
        tracing::error!(device = %session.open.summary.device, %problem, "the outbox can't be read");
    }
    if let Err(problem) = invitations::post_all(session).await {
        tracing::error!(device = %session.open.summary.device, %problem, "the invitations can't be read");
    }
    if let Err(problem) = settle(session, registered, handle).await {
        session.alarm(&problem).await;
        session.saw(&problem);
        let name = problem.name.name();
        tracing::warn!(device = %session.open.summary.device, name, %problem, "the device is not settled");
    }
}

async fn settle(session: &Session, registered: bool, handle: &Handle) -> Result<(), Problem> {
    let trouble = Trouble::new(None);
    // What is not believed is no matter of trying again, so it travels as a success through the loop that does.
    let synced = until_done(&trouble, || async {
        match session.sync().await {
            Ok(log) => Ok(Ok(log)),
            Err(SyncError::Road(error)) => Err(error),
            Err(SyncError::Log(problem) | SyncError::Past(problem, _)) => Ok(Err(problem)),
        }
    });
    let log = match synced.await {
        Ok(log) => log?,
        // A device that is not registered yet can't ask; it is told when it is.
        Err(error) if !registered && error.code() == Some(ErrorCode::NotAuthenticated) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let summary = &session.open.summary;
    let keys = &session.open.keys;
    let found = log.device(&summary.device);
    match found {
        // The log itself says so, which no server can make up.
        Some(device) if device.revoked.is_some() => {
            let text = "This device, or its user, has been revoked.";
            return Err(Problem::new(ProblemKind::Revoked, text));
        }
        Some(device) if device.user == summary.user && device.verify_key == keys.signing_key.verify_key() => {
        }
        Some(_) => {
            let text = "The log names another key or user under this device's id.";
            return Err(Problem::new(ProblemKind::ChainInvalid, text));
        }
        None => return Ok(()),
    }
    handle.tell(Event::Certified(summary.device)).await;
    let first = log.devices_of(&summary.user).next().is_some_and(|device| device.device == summary.device);
    if first { manifest(session, &trouble).await } else { Ok(()) }
}

/// Makes the user's first manifest, if there is none. The bytes are kept before they go out, so that the same go out
/// after a crash.
///
/// # Errors
/// Why not.
pub(crate) async fn manifest(session: &Session, trouble: &Trouble) -> Result<(), Problem> {
    let there = until_done(trouble, || session.member.manifest()).await?;
    if there.version > 0 {
        return Ok(());
    }
    let kept = session.store(crate::store::Store::manifest).await?;
    let envelope = match kept {
        Some((1, envelope)) => envelope,
        Some(_) => {
            let text = "The server has no manifest, and this device has seen one.";
            return Err(Problem::new(ProblemKind::RolledBack, text));
        }
        None => {
            let summary = &session.open.summary;
            let place = ManifestPlace {
                organisation: summary.organisation.clone(),
                user: summary.user,
                version: 1,
                author: summary.device,
                time: clock::now(),
            };
            let keys = &session.open.keys;
            let envelope = seal_empty(&place, &keys.manifest_key, &keys.signing_key, &mut entropy::System)
                .map_err(problems::no_entropy)?;
            let copy = envelope.clone();
            session.store(move |store| store.put_manifest(1, &copy)).await?;
            envelope
        }
    };
    let upload = ManifestUpload { version: 1, envelope: envelope.into() };
    match until_done(trouble, || session.member.put_manifest(&upload)).await {
        Ok(()) => Ok(()),
        Err(RoadError::Refused { code: ErrorCode::ManifestConflict, .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
