//! What an unlocked device does by itself: brings its log up to date, finds itself in it, looks
//! after its user's keys and manifest, and finishes its outbox.
//!
//! Decides nothing a person should. Tries again while the server is away; stops at what needs a
//! person, and says so in the log of the daemon. Every step is idempotent, so a crash between any
//! two is harmless.

use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::control::{Problem, ProblemKind, Registration};
use parsec_protocol::ids::DeviceId;
use parsec_protocol::relay::ErrorCode;
use tokio::sync::watch;

use super::Daemon;
use super::command::{Event, Handle};
use crate::calls::invitations;
use crate::enrolment::finality::Heard;
use crate::enrolment::outbox;
use crate::os::blocking;
use crate::safes::running;
use crate::session::{Session, SyncError, upkeep};
use crate::transport::Trouble;
use crate::transport::relay::SafeNews;
use crate::transport::retry::{Pauses, until_done};

/// Between looks for invitations that have expired. They last days; the server refuses them on the
/// second.
const LINKS_LOOKED_AT: Duration = Duration::from_secs(600);

impl Daemon {
    /// Starts what an unlocked device does by itself.
    pub(super) fn after_unlock(&self, device: DeviceId) {
        let (Some(session), Some(summary)) = (self.devices.session(device), self.devices.summary(device))
        else {
            return;
        };
        let registered = summary.registration == Registration::Registered;
        session.run(run(Arc::clone(session), registered, self.context.handle.clone()));
        // Beside what waits for the server: it is for when there is none.
        #[cfg(feature = "p2p")]
        session.run(crate::direct::run(Arc::clone(session)));
    }

    /// A device has found itself in the verified log: from here on nobody needs its receipt.
    pub(super) fn certified(&mut self, device: DeviceId) {
        self.heard(device, Heard::Log);
        let store = Arc::clone(&self.context.store);
        // A failure is made good when it is next unlocked.
        self.context.spawn(async move {
            if let Err(problem) = blocking(move || store.drop_receipt(device)).await {
                tracing::error!(%device, %problem, "a receipt that nobody needs is still there");
            }
        });
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

/// Fetches the log whenever the server says that it has grown. Only for a user of several devices:
/// of them alone one can be revoked while another goes on, and has to change the key at once. And
/// where a key for names is missing; and for an administrator, who may have to hand one to others,
/// and makes the next one after a revocation that is somebody else's.
async fn follow_log(session: &Session) {
    let mut news = session.news();
    while !session.follows_log() {
        // Its sender is the session's own.
        let _ = news.changed().await;
    }
    let (tell, mut told) = watch::channel(0);
    let fetch = async {
        while told.changed().await.is_ok() {
            let count = *told.borrow_and_update();
            if count > session.log().count()
                && let Err(error) = session.sync().await
            {
                let problem = Problem::from(error);
                tracing::info!(name = problem.name.name(), %problem, "what is new in the log can't be fetched");
            }
        }
    };
    // Its end is the end of what fetches.
    let follow = async move {
        let seen = |count| {
            tell.send_replace(count);
        };
        let error = session.member.follow_log(seen).await;
        session.saw(&error.into());
    };
    tokio::join!(follow, fetch);
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
        return;
    }
    if session.log().device(&session.open.summary.device).is_some() {
        // Whoever hears twice that the device is registered gets here twice.
        let Ok(_turn) = session.upkeep.try_lock() else { return };
        tokio::join!(look_after_keys(session), follow_log(session), running::run(session));
    }
}

async fn settle(session: &Session, registered: bool, handle: &Handle) -> Result<(), Problem> {
    let trouble = Trouble::new(None);
    // What is not believed is no matter of trying again, so it travels as a success through the
    // loop that does.
    let synced = until_done(&trouble, || async {
        match session.sync().await {
            Ok(log) => Ok(Ok(log)),
            Err(SyncError::Transport(error)) => Err(error),
            Err(SyncError::Log(problem) | SyncError::Forked(problem, _)) => Ok(Err(problem)),
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
    Ok(())
}

/// Looks after the user's keys, at once and whenever something may have become due.
async fn look_after_keys(session: &Session) {
    let mut news = session.news();
    let mut told = session.member.safe_news();
    let mut pauses = Pauses::default();
    loop {
        news.mark_unchanged();
        let own_news = told.borrow_and_update().of_own();
        let pause = match upkeep::keep(session).await {
            Ok(pause) => {
                pauses.reset();
                pause
            }
            Err(problem) => {
                session.saw(&problem);
                let name = problem.name.name();
                tracing::warn!(device = %session.open.summary.device, name, %problem, "the user's keys are not settled");
                problem.retryable.then(|| pauses.next_own())
            }
        };
        tokio::select! {
            // Its sender is the session's own.
            _ = news.changed() => {}
            () = tokio::time::sleep(pause.unwrap_or(Duration::MAX)), if pause.is_some() => {}
            // A box may have been posted for this user.
            () = others(&mut told, own_news), if session.lacks_directory_key() => {
                session.directory_may_be_there();
            }
        }
    }
}

/// Waits until the stream has told something else about this user, or was opened anew.
async fn others(told: &mut watch::Receiver<SafeNews>, before: (u64, u64)) {
    while told.borrow_and_update().of_own() == before {
        // Its sender is the session's own.
        let _ = told.changed().await;
    }
}
