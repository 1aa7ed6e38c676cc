//! The records of attempts under way: what a claimer's daemon needs to end one after a crash.
//!
//! Decides that a record is a plain file of this user alone. Refuses to follow links, to wait for
//! anything that is not a file, and to keep what it can't read.

use std::path::Path;
use std::sync::Arc;

use minicbor::{Decode, Encode};
use parsec_protocol::codec;
use parsec_protocol::control::Problem;
use parsec_protocol::ids::{AttemptId, OrganisationId, Token};
use parsec_protocol::keys::LinkSecret;
use zeroize::Zeroizing;

use crate::store::atomic::{Folder, WRITING};

/// Largest record: a server's address and some ids.
const RECORD_MAX_BYTES: usize = 4_096;
/// Most records looked at when the daemon starts: far above the ceremonies there can be at once.
const RECORDS_MAX: usize = 1_024;

/// An attempt under way: enough to end it. Its secret opens nothing but this attempt.
#[derive(Debug, Encode, Decode)]
pub struct Started {
    /// The address of the invitation's server.
    #[n(0)]
    pub server: String,
    /// The organisation of the invitation.
    #[n(1)]
    pub organisation: OrganisationId,
    /// The invitation that is claimed.
    #[n(2)]
    pub token: Token,
    /// The attempt under way.
    #[n(3)]
    pub attempt: AttemptId,
    /// Proves that it is ours. Not a link secret, but as silent and as wiped as one.
    #[n(4)]
    pub secret: LinkSecret,
    /// Without the server: where the greeter's device is met.
    #[n(5)]
    pub hints: Option<Vec<String>>,
}

/// The folder of records, one file for each attempt under way. Held as the devices' folders are: no
/// link is followed, and nothing is opened that is not a plain file of this user alone.
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

    /// Drops a record. Blocks. A failure is harmless: an ended attempt is cancelled once more at
    /// the next start.
    pub fn remove(&self, attempt: AttemptId) {
        let _ = self.folder.remove_file(&attempt.to_string());
    }

    /// All whole records. Blocks. Plain files that are none are removed: nothing but this module
    /// writes here. What is no plain file of this user is left alone, and said.
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
