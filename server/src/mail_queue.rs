//! A mail on its way: sent once, tried again for a while, whoever asks for it meanwhile and however
//! often.
//!
//! Decides that each sending is counted in the database before it begins. Asked for again, a mail
//! that is on its way is not sent a second time; after a crash between sending and noting it is,
//! and that at most [`STARTS_MAX`] times in all. The link stays in memory: what was not sent when
//! the server ends is asked for again by the device that got no answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parsec_protocol::ids::{OrganisationId, Token};
use parsec_protocol::relay::MailOutcome;
use tokio::sync::watch;

use crate::http::App;
use crate::mail::{Delivery, OutgoingMail};
use crate::quota::Key;

/// How often one invitation's mail is begun to be sent, crashes and repetitions included: so many
/// copies arrive at the very most.
pub(crate) const STARTS_MAX: u32 = 4;
/// Between two tries: a mail server that was just restarted, one that makes strangers wait
/// (greylisting), one that was mended.
pub(crate) const PAUSES: [Duration; 3] =
    [Duration::from_secs(30), Duration::from_secs(5 * 60), Duration::from_secs(30 * 60)];
/// Mails on their way at once, those that wait for a next try included: some 4 MB.
const UNDER_WAY_MAX: usize = 1_000;

/// What is known of a mail: nothing until its first try is over.
type News = watch::Receiver<Option<MailOutcome>>;

/// The mails that are on their way.
#[derive(Debug, Default)]
pub(crate) struct MailQueue(Mutex<HashMap<(OrganisationId, Token), News>>);

impl MailQueue {
    fn lock(&self) -> MutexGuard<'_, HashMap<(OrganisationId, Token), News>> {
        // Nothing below can stop half-way, so a poisoned lock still guards a sound map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a mail in a task of its own, so that a caller who hangs up doesn't stop it half-way.
/// Returns what came of its first try, or of the newest one where it was on its way already.
pub(crate) async fn send(
    app: &Arc<App>,
    organisation: OrganisationId,
    token: Token,
    outgoing: OutgoingMail,
) -> MailOutcome {
    let key = (organisation, token);
    let mut news = {
        let mut under_way = app.mail_queue.lock();
        if let Some(present) = under_way.get(&key) {
            present.clone()
        } else if under_way.len() >= UNDER_WAY_MAX {
            tracing::warn!("too many mails at once");
            return MailOutcome::Failed;
        } else if app.quota.take(&Key::Mail(key.0.clone())).is_err() {
            tracing::warn!("an organisation asks for too many mails");
            return MailOutcome::Failed;
        } else {
            let (tell, news) = watch::channel(None);
            under_way.insert(key.clone(), news.clone());
            let shared = Arc::clone(app);
            app.tasks.spawn(async move {
                deliver(&shared, &key, &outgoing, &tell).await;
                shared.mail_queue.lock().remove(&key);
            });
            news
        }
    };
    match news.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.unwrap_or(MailOutcome::Failed),
        Err(_) => MailOutcome::Failed,
    }
}

/// Tries until the mail is sent, refused for good, or given up.
async fn deliver(
    app: &Arc<App>,
    (organisation, token): &(OrganisationId, Token),
    outgoing: &OutgoingMail,
    tell: &watch::Sender<Option<MailOutcome>>,
) {
    let pauses = app.mailer.get().pauses();
    for pause in pauses.iter().map(Some).chain([None]) {
        let (org, name, now) = (organisation.clone(), *token, app.clock.now());
        // Counted first: what is sent and not noted is known to have been begun.
        let started = app.store.write(move |tx| Ok(tx.start_mail(&org, &name, now, STARTS_MAX)?));
        let delivery = match started.await {
            Ok(true) => {
                let offers = app.install.get().offers().await;
                app.mailer.get().send(outgoing, &offers).await
            }
            Ok(false) => Delivery::Over(MailOutcome::Failed),
            Err(_) => Delivery::Trouble,
        };
        let outcome = match (delivery, pause) {
            (Delivery::Over(outcome), _) => outcome,
            (Delivery::Trouble, Some(_)) => MailOutcome::Waiting,
            (Delivery::Trouble, None) => MailOutcome::Failed,
        };
        let (org, name) = (organisation.clone(), *token);
        let note = app.store.write(move |tx| Ok(tx.set_mail_outcome(&org, &name, outcome)?));
        if note.await.is_err() {
            tracing::warn!("what became of a mail could not be noted; asked again, it may be sent again");
        }
        tell.send_replace(Some(outcome));
        let (MailOutcome::Waiting, Some(pause)) = (outcome, pause) else { return };
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = tokio::time::sleep(*pause) => {}
        }
    }
}
