//! What a killed daemon leaves behind, and how the next one tidies up by itself.
//!
//! Two things: attempts whose machine is gone (they block their link until they are cancelled), and receipts of
//! devices whose keys are durable (they go out, also while the device is locked). Decides nothing a person should:
//! an attempt is cancelled only if no key was kept for it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use minicbor::{Decode, Encode};
use parsec_protocol::codec;
use parsec_protocol::control::{Problem, Registration};
use parsec_protocol::ids::{AttemptId, DeviceId, OrganisationId, Token};
use parsec_protocol::keys::LinkSecret;
use parsec_protocol::limits::STEP_MAX_BYTES;
use parsec_protocol::receipt::Receipt;
use parsec_protocol::relay::{EndReason, ErrorCode, Standing, StandingQuestion};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::finality;
use super::p2p;
use super::resume;
use crate::engine::command::{Event, Handle};
use crate::store::PendingReceipt;
use crate::store::atomic::{Folder, WRITING};
use crate::transport::http::{Client, Server};
use crate::transport::net::Net;
use crate::transport::relay::{ClaimerRoad, Invitee, standing};
use crate::transport::{Road as _, RoadError};

/// Largest record: a server's address and some ids.
const RECORD_MAX_BYTES: usize = 4_096;
/// Most records looked at when the daemon starts: far above the ceremonies there can be at once.
const RECORDS_MAX: usize = 1_024;

/// Pauses between tries with a server that says that an enrolment is over: the first while people still look, the last
/// so that a device that stays pending for months costs nobody anything.
const ASK_FIRST: Duration = Duration::from_secs(1);
const ASK_MAX: Duration = Duration::from_secs(300);

/// An attempt under way: enough to end it. Its secret opens nothing but this attempt.
#[derive(Debug, Encode, Decode)]
pub struct Started {
    /// Where.
    #[n(0)]
    pub server: String,
    /// Which organisation.
    #[n(1)]
    pub organisation: OrganisationId,
    /// Which invitation.
    #[n(2)]
    pub token: Token,
    /// Which attempt.
    #[n(3)]
    pub attempt: AttemptId,
    /// Proves that it is ours. Not a link secret, but as silent and as wiped as one.
    #[n(4)]
    pub secret: LinkSecret,
    /// On the direct road: where the greeter's terminal is met.
    #[n(5)]
    pub hints: Option<Vec<String>>,
}

/// The folder of records, one file for each attempt under way. Held as the devices' folders are: no link is followed,
/// and nothing is opened that is not a plain file of this user alone.
#[derive(Debug, Clone)]
pub struct Attempts {
    folder: Arc<Folder>,
}

impl Attempts {
    /// The folder, made if it is missing. What a crash left half written is removed.
    ///
    /// # Errors
    /// `unsafe_path`, `disk_failed`, `disk_full`.
    pub fn open(folder: &Path) -> Result<Self, Problem> {
        let folder = Folder::open_or_make(folder)?;
        for name in folder.names()?.iter().filter(|name| name.starts_with(WRITING)) {
            folder.remove_file(name)?;
        }
        Ok(Self { folder: Arc::new(folder) })
    }

    /// Keeps a record. Blocks.
    ///
    /// # Errors
    /// `unsafe_path`, `disk_failed`, `disk_full`.
    pub fn put(&self, started: &Started) -> Result<(), Problem> {
        let bytes = Zeroizing::new(codec::encode(started));
        Ok(self.folder.replace(&started.attempt.to_string(), &bytes)?)
    }

    /// Drops a record. Blocks. A failure is harmless: an ended attempt is cancelled once more at the next start.
    pub fn remove(&self, attempt: AttemptId) {
        let _ = self.folder.remove_file(&attempt.to_string());
    }

    /// All whole records. Blocks. Plain files that are none are removed: nothing but this module writes here. What is
    /// no plain file of this user is left alone, and said.
    #[must_use]
    pub fn all(&self) -> Vec<Started> {
        let names = self.folder.names().unwrap_or_else(|error| {
            tracing::warn!(%error, "the records of attempts can't be listed");
            Vec::new()
        });
        let mut found = Vec::new();
        for name in names.iter().take(RECORDS_MAX) {
            match self.folder.read(name, RECORD_MAX_BYTES) {
                Ok(bytes) => match codec::decode::<Started>(&bytes.unwrap_or_default(), RECORD_MAX_BYTES) {
                    Ok(started) => found.push(started),
                    Err(_) => {
                        let _ = self.folder.remove_file(name);
                    }
                },
                Err(error) => tracing::warn!(%error, "a record of an attempt can't be read"),
            }
        }
        found
    }
}

/// Ends an attempt that nobody can go on with, so that its link works again at once. Tries until the server has heard.
pub async fn abandon(client: Client, net: Net, started: Started) {
    if let Some(hints) = started.hints.clone() {
        return p2p::abandon(&net, &started, &hints).await;
    }
    let secret = Zeroizing::new(*started.secret.expose());
    let Ok(server) = Server::new(client, &started.server) else { return };
    let invitee = Invitee { server, organisation: started.organisation, token: started.token };
    let road = ClaimerRoad::new(invitee, started.attempt, secret);
    if let Err(error) = road.cancel(EndReason::Abandoned).await {
        tracing::debug!(%error, "an abandoned attempt had ended already");
    }
}

/// Deposits a receipt, tells what is said of it, and ends once somebody says that the greeter's device has registered
/// this one, or where the address can't be used. That it never will be is nobody's to say without a signature: the
/// device is shown as void, the receipt stays, and is tried again, less and less often.
pub async fn register(
    client: Client,
    net: Net,
    device: DeviceId,
    mut pending: PendingReceipt,
    handle: Handle,
) {
    if let Some(receipt) = pending.direct.take() {
        return p2p::follow(client, net, device, pending, receipt, handle).await;
    }
    let Ok(server) = Server::new(client, &pending.server) else { return };
    let mut pause = ASK_FIRST;
    loop {
        if let Some(said) = once(&server, &pending).await {
            handle.tell(Event::Registered(device, said)).await;
            if said == Registration::Registered {
                return;
            }
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(ASK_MAX);
    }
}

/// One try, and what is said in the end. Nothing where nobody says.
async fn once(server: &Server, pending: &PendingReceipt) -> Option<Registration> {
    let invitee =
        Invitee { server: server.clone(), organisation: pending.organisation.clone(), token: pending.token };
    let road = ClaimerRoad::new(invitee, pending.attempt, pending.attempt_secret.clone());
    match road.deposit(8, pending.message.clone()).await {
        Ok(()) => {}
        Err(error) if error.code() == Some(ErrorCode::AttemptEnded) => {}
        // The server has lost the run: its database was restored from a backup, say. Or it was opened again, and not to the end.
        Err(error) if matches!(error.code(), Some(ErrorCode::AttemptUnknown | ErrorCode::StepRefused)) => {
            if let Err(error) = resume::claim(&road, &pending.message).await {
                tracing::info!(%error, "an enrolment that the server has lost can't be opened again yet");
                return verdict_of(&error);
            }
        }
        // Over for so long that the server has forgotten it: what its log has, it has not.
        Err(error) if error.code() == Some(ErrorCode::InvitationUnknown) => {
            return standing_of(server, pending).await;
        }
        Err(error) => {
            tracing::warn!(%error, "a receipt could not be deposited");
            return verdict_of(&error);
        }
    }
    let (tell, mut seen) = watch::channel(None);
    let follow = road.follow(tell);
    tokio::pin!(follow);
    loop {
        let view: parsec_protocol::relay::AttemptView = tokio::select! {
            error = &mut follow => {
                tracing::warn!(%error, "an enrolment can't be followed");
                return verdict_of(&error);
            }
            Ok(()) = seen.changed() => match seen.borrow_and_update().clone() {
                Some(view) => view,
                None => continue,
            },
        };
        if let Some(reason) = view.ended {
            return Some(finality::ended(reason));
        }
    }
}

/// Asks whether the certificate that message 8 names is in the log. Nobody is asked about the greeter, whom message 8 does not name: that
/// the enrolment is void is not said this way.
async fn standing_of(server: &Server, pending: &PendingReceipt) -> Option<Registration> {
    let receipt: Receipt = codec::decode(&pending.message, STEP_MAX_BYTES).ok()?;
    let certificate = *receipt.certificates.first()?;
    let question = StandingQuestion { greeter: DeviceId::from_bytes([0; 16]), certificate };
    match standing(server, &pending.organisation, &question).await {
        Ok(Standing::Registered) => Some(Registration::Registered),
        Ok(Standing::Waiting | Standing::Void) => None,
        Err(error) => {
            tracing::debug!(%error, "the server was asked for an enrolment without an answer");
            None
        }
    }
}

/// What a refusal says of the enrolment, if it says anything.
fn verdict_of(error: &RoadError) -> Option<Registration> {
    finality::receipt_refused(error.code()?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn started() -> Started {
        Started {
            server: "https://a.test".into(),
            organisation: "acme".parse().unwrap(),
            token: Token::from_bytes([1; 16]),
            attempt: AttemptId::from_bytes([2; 16]),
            secret: LinkSecret::from_bytes(&mut [3; 32]),
            hints: None,
        }
    }

    fn private(file: &Path, text: &[u8]) {
        std::fs::write(file, text).unwrap();
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    #[test]
    fn records_come_back_and_junk_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("attempts");
        let attempts = Attempts::open(&place).unwrap();
        let started = started();
        attempts.put(&started).unwrap();
        private(&place.join("junk"), b"junk");
        private(&place.join(".writing-x"), b"half");
        let attempts = Attempts::open(&place).unwrap();
        assert!(!place.join(".writing-x").exists());
        let all = attempts.all();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].attempt, *all[0].secret.expose()), (started.attempt, [3; 32]));
        assert!(!place.join("junk").exists());
        attempts.remove(started.attempt);
        assert!(attempts.all().is_empty());
    }

    /// A FIFO would be waited for without end; a link would be written through.
    #[test]
    fn what_is_no_plain_file_is_neither_waited_for_nor_followed() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("attempts");
        let attempts = Attempts::open(&place).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            place.join("fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        let victim = folder.path().join("victim");
        private(&victim, b"mine");
        let name = started().attempt.to_string();
        for link in [place.join(&name), place.join(format!("{WRITING}{name}"))] {
            std::os::unix::fs::symlink(&victim, &link).unwrap();
            let _ = attempts.put(&started());
            assert!(attempts.all().len() <= 1);
            assert_eq!(std::fs::read(&victim).unwrap(), b"mine");
            let _ = std::fs::remove_file(&link);
        }
        std::os::unix::fs::symlink(folder.path(), folder.path().join("link")).unwrap();
        assert!(Attempts::open(&folder.path().join("link")).is_err());
    }
}
