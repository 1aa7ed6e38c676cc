//! Passwords that the service manager keeps for the daemon (`CREDENTIALS_DIRECTORY`): unattended
//! unlocking.
//!
//! Decides which device gets which: `parsecd.password.ORG` the organisation's, `parsecd.password`
//! the others. Refuses a long or unreadable one, and to try a wrong one twice. It goes the way of
//! `device.unlock` and confirms nothing for any session: what vouches still needs a person who
//! knows the password.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parsec_protocol::control::{
    DeviceSelector, DeviceUnlock, DeviceView, ProblemKind, Registration, SecretText,
};
use parsec_protocol::ids::OrganisationId;
use zeroize::Zeroizing;

use crate::engine::command::{Command, Handle, Needs};
use crate::os::caller::Caller;

/// The credential for every device that has none of its own.
const FOR_ALL: &str = "parsecd.password";
/// Longest password, as for one from a terminal.
const PASSWORD_MAX_BYTES: usize = 1024;

/// The byte-order mark, as UTF-8 has it.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Why a credential can't be used. Never shows what is in it.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("it can't be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("it is longer than {PASSWORD_MAX_BYTES} bytes")]
    TooLong,
    #[error("it is empty")]
    Empty,
    #[error("it is not UTF-8 text")]
    NotText,
}

/// Where credentials are, if the service manager keeps some. Called once, at the start.
#[must_use]
pub fn from_environment() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).filter(|path| path.is_absolute())
}

/// Unlocks each device that a credential is there for, one after the other, and logs how it went.
pub async fn unlock(folder: Option<PathBuf>, handle: Handle) {
    let Some(folder) = folder else { return };
    let caller = Arc::new(Caller::itself());
    let Ok(listed) = handle.ask(&caller, Needs::Nothing, Command::DeviceList).await else { return };
    for device in listed.devices {
        if device.registration == Registration::Void {
            continue;
        }
        let (place, organisation) = (folder.clone(), device.organisation.clone());
        let read = tokio::task::spawn_blocking(move || password(&place, &organisation)).await;
        match read {
            Ok(Ok(Some(password))) => unlock_one(&handle, &caller, &device, password).await,
            Ok(Ok(None)) => {}
            Ok(Err(error)) => {
                tracing::warn!(device = %device.device, %error, "the credential for a device is not usable");
            }
            Err(_) => {
                tracing::error!(device = %device.device, "reading a credential failed without an answer")
            }
        }
    }
}

async fn unlock_one(handle: &Handle, caller: &Arc<Caller>, device: &DeviceView, password: SecretText) {
    let select = DeviceSelector { device: Some(device.device.to_string()), organisation: None };
    let unlock = |reply| Command::DeviceUnlock(DeviceUnlock { select, password }, reply);
    match handle.ask(caller, Needs::Nothing, unlock).await {
        Ok(_) => tracing::info!(device = %device.device, "unlocked with a credential"),
        Err(problem) if problem.name == ProblemKind::ShuttingDown => {}
        Err(problem) => {
            tracing::warn!(device = %device.device, %problem, "a credential did not unlock a device; it is not tried again");
        }
    }
}

/// The password for an organisation's device: its own credential, else the one for all, else
/// nothing.
fn password(folder: &Path, organisation: &OrganisationId) -> Result<Option<SecretText>, Unusable> {
    for name in [format!("{FOR_ALL}.{organisation}"), FOR_ALL.to_owned()] {
        let file = match std::fs::File::open(folder.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        // Room for all of it at once: growing would leave pieces behind.
        let room = BOM.len() + PASSWORD_MAX_BYTES + 3;
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        file.take(room as u64).read_to_end(&mut bytes)?;
        // Editors end a file with a line end, and some begin it with a mark; the password goes
        // without.
        let line = bytes.strip_prefix(BOM).unwrap_or(&bytes);
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = match line {
            [] => return Err(Unusable::Empty),
            long if long.len() > PASSWORD_MAX_BYTES => return Err(Unusable::TooLong),
            line => std::str::from_utf8(line).map_err(|_| Unusable::NotText)?,
        };
        return Ok(Some(SecretText::new(Zeroizing::new(text.to_owned()))));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(folder: &Path, organisation: &str) -> Result<Option<String>, Unusable> {
        let organisation = organisation.parse().unwrap_or_else(|_| panic!("{organisation}"));
        password(folder, &organisation).map(|found| found.map(|it| it.expose().to_owned()))
    }

    #[test]
    fn the_organisation_s_own_goes_before_the_one_for_all() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read(folder.path(), "acme"), Ok(None)));
        std::fs::write(folder.path().join("parsecd.password"), "for all\n").unwrap();
        std::fs::write(folder.path().join("parsecd.password.acme"), " of acme \n\n").unwrap();
        // One line feed goes; what else is there belongs to the password.
        assert_eq!(read(folder.path(), "acme").unwrap().unwrap(), " of acme \n");
        assert_eq!(read(folder.path(), "other").unwrap().unwrap(), "for all");
        std::fs::write(folder.path().join("parsecd.password"), b"\xef\xbb\xbffor all\r\n").unwrap();
        assert_eq!(read(folder.path(), "other").unwrap().unwrap(), "for all", "as some editors write it");
    }

    #[test]
    fn what_is_no_password_is_refused_and_not_replaced_by_another() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("parsecd.password.acme");
        std::fs::write(folder.path().join("parsecd.password"), "for all").unwrap();
        for (bytes, fits) in [
            (vec![b'x'; PASSWORD_MAX_BYTES], true),
            ([vec![b'x'; PASSWORD_MAX_BYTES], b"\n".to_vec()].concat(), true),
            (vec![b'x'; PASSWORD_MAX_BYTES + 1], false),
            (vec![b'x'; 10_000_000], false),
            (vec![], false),
            (b"\n".to_vec(), false),
            (vec![0xff, 0xfe], false),
        ] {
            std::fs::write(&own, &bytes).unwrap();
            assert_eq!(read(folder.path(), "acme").is_ok(), fits, "{} bytes", bytes.len());
        }
        std::fs::remove_file(&own).unwrap();
        std::fs::create_dir(&own).unwrap();
        assert!(read(folder.path(), "acme").is_err());
    }
}
