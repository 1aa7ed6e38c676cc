//! A new file for a secret that is shown once: a token's, a recovery kit's page.
//!
//! Decides that the file is there, for its owner alone, before the secret is made. Refuses to write
//! over one.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::failure::Failure;

/// The owner alone reads and writes a secret.
const SECRET_MODE: u32 = 0o600;

/// Makes a new file, whose mode is right from its first moment.
///
/// # Errors
/// It exists, or its folder can't be written.
pub(crate) fn make(path: &Path) -> Result<File, Failure> {
    OpenOptions::new().write(true).create_new(true).mode(SECRET_MODE).open(path).map_err(|error| {
        Failure::usage(
            format!("The file {} can't be made: {error}", path.display()),
            "Name a file that does not exist yet, in a folder of yours.",
        )
    })
}

/// Takes the empty file away again.
pub(crate) fn remove(path: &Path) {
    // It holds nothing; if it stays, the next attempt says so.
    let _removed = std::fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_gets_a_new_file_for_its_owner_alone() {
        let directory = std::env::temp_dir().join(format!("parsecctl-token-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("token");
        let made = make(&path).unwrap();
        assert_eq!(made.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(make(&path).is_err(), "what is there is not written over");
        let link = directory.join("link");
        std::os::unix::fs::symlink(directory.join("elsewhere"), &link).unwrap();
        assert!(make(&link).is_err(), "a link is not followed");
        assert!(!directory.join("elsewhere").exists());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
