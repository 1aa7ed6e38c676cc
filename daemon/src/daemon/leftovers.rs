//! What a killed daemon leaves behind, and how the next one tidies up by itself.
//!
//! Two things: attempts whose machine is gone (they block their link until they are cancelled), and receipts of
//! devices whose keys are durable (they go out, also while the device is locked). Decides nothing a person should:
//! an attempt is cancelled only if no key was kept for it.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use minicbor::{Decode, Encode};
use parsec_protocol::codec;
use parsec_protocol::control::{Problem, Registration};
use parsec_protocol::ids::{AttemptId, OrganisationId, Token};
use parsec_protocol::keys::LinkSecret;
use parsec_protocol::relay::{EndReason, ErrorCode};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::store::PendingReceipt;
use crate::transport::http::{Client, Server};
use crate::transport::relay::{ClaimerRoad, Invitee};
use crate::transport::{Road as _, RoadError};

/// Largest record: a server's address and some ids.
const RECORD_MAX_BYTES: usize = 4_096;
/// Most records looked at when the daemon starts: far above the ceremonies there can be at once.
const RECORDS_MAX: usize = 1_024;

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
}

/// The folder of records, one file for each attempt under way.
#[derive(Debug, Clone)]
pub struct Attempts {
    folder: PathBuf,
}

fn failed(error: &std::io::Error) -> Problem {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            parsec_protocol::control::ProblemKind::DiskFull
        }
        _ => parsec_protocol::control::ProblemKind::DiskFailed,
    };
    Problem::new(kind, format!("The record of an attempt could not be kept: {error}."))
}

impl Attempts {
    /// The folder, made if it is missing.
    ///
    /// # Errors
    /// `disk_failed`, `disk_full`.
    pub fn open(folder: PathBuf) -> Result<Self, Problem> {
        match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&error)),
        }
        Ok(Self { folder })
    }

    fn path(&self, attempt: AttemptId) -> PathBuf {
        self.folder.join(attempt.to_string())
    }

    /// Keeps a record. Blocks.
    ///
    /// # Errors
    /// `disk_failed`, `disk_full`.
    pub fn put(&self, started: &Started) -> Result<(), Problem> {
        let bytes = Zeroizing::new(codec::encode(started));
        let path = self.path(started.attempt);
        let aside = path.with_extension("new");
        let write = || {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&aside)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(&aside, &path)?;
            std::fs::File::open(&self.folder)?.sync_all()
        };
        write().map_err(|error| {
            let _ = std::fs::remove_file(&aside);
            failed(&error)
        })
    }

    /// Drops a record. Blocks. A failure is harmless: an ended attempt is cancelled once more at the next start.
    pub fn remove(&self, attempt: AttemptId) {
        let _ = std::fs::remove_file(self.path(attempt));
    }

    /// All whole records. Blocks. Files that are none are removed: nothing but this module writes here.
    #[must_use]
    pub fn all(&self) -> Vec<Started> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let mut found = Vec::new();
        for entry in entries.flatten().take(RECORDS_MAX) {
            let mut bytes = Zeroizing::new(Vec::new());
            let read = std::fs::OpenOptions::new()
                .read(true)
                .custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0))
                .open(entry.path())
                .and_then(|file| file.take(RECORD_MAX_BYTES as u64).read_to_end(&mut bytes));
            match (read, codec::decode::<Started>(&bytes, RECORD_MAX_BYTES)) {
                (Ok(_), Ok(started)) => found.push(started),
                (Ok(_), Err(_)) => {
                    let _ = std::fs::remove_file(entry.path());
                }
                (Err(error), _) => tracing::warn!(%error, "a record of an attempt can't be read"),
            }
        }
        found
    }
}

/// Ends an attempt that nobody can go on with, so that its link works again at once. Tries until the server has heard.
pub async fn abandon(client: Client, started: Started) {
    let secret = Zeroizing::new(*started.secret.expose());
    let Ok(server) = Server::new(client, &started.server) else { return };
    let invitee = Invitee { server, organisation: started.organisation, token: started.token };
    let road = ClaimerRoad::new(invitee, started.attempt, secret);
    if let Err(error) = road.cancel(EndReason::Abandoned).await {
        tracing::debug!(%error, "an abandoned attempt had ended already");
    }
}

/// Deposits a receipt and waits until the greeter's device has registered this one, or can't any more. None where the
/// server doesn't say; asked again at the next start.
pub async fn register(client: Client, pending: PendingReceipt) -> Option<Registration> {
    let server = Server::new(client, &pending.server).ok()?;
    let invitee = Invitee { server, organisation: pending.organisation, token: pending.token };
    let road = ClaimerRoad::new(invitee, pending.attempt, pending.attempt_secret);
    match road.deposit(8, pending.message).await {
        Ok(()) => {}
        Err(error) if error.code() == Some(ErrorCode::AttemptEnded) => {}
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
        match view.ended {
            None => {}
            Some(EndReason::Completed) => return Some(Registration::Registered),
            Some(
                EndReason::CodeMismatch
                | EndReason::Cancelled
                | EndReason::BadMessage
                | EndReason::TimedOut
                | EndReason::InvitationEnded
                | EndReason::Abandoned,
            ) => return Some(Registration::Void),
        }
    }
}

/// A refusal from which it follows that the attempt is over without certificates. Others prove nothing.
fn verdict_of(error: &RoadError) -> Option<Registration> {
    match error.code()? {
        ErrorCode::InvitationCancelled | ErrorCode::InvitationExpired | ErrorCode::InvitationExhausted => {
            Some(Registration::Void)
        }
        ErrorCode::InvitationCompleted => None,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_junk_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let attempts = Attempts::open(folder.path().join("attempts")).unwrap();
        let started = Started {
            server: "https://a.test".into(),
            organisation: "acme".parse().unwrap(),
            token: Token::from_bytes([1; 16]),
            attempt: AttemptId::from_bytes([2; 16]),
            secret: LinkSecret::from_bytes(&mut [3; 32]),
        };
        attempts.put(&started).unwrap();
        std::fs::write(attempts.folder.join("junk"), b"junk").unwrap();
        let all = attempts.all();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].attempt, *all[0].secret.expose()), (started.attempt, [3; 32]));
        assert!(!attempts.folder.join("junk").exists());
        attempts.remove(started.attempt);
        assert!(attempts.all().is_empty());
    }
}
