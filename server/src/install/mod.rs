//! Where newcomers get the programs: a folder that this server serves under `/install/`, or an
//! address elsewhere, as its administrator says.
//!
//! Decides what a place must be, and what of it mails and the landing page name. Refuses a folder
//! that can't be read or that holds the database, and an address that could not stand in a mail.
//! Nothing of what is served is vouched for: whoever installs from here trusts this server with the
//! programs (docs/security.md).

mod folder;
mod name;

use std::path::{Path, PathBuf};

use url::Url;

pub(crate) use folder::{Folder, Listed, Opened};
pub(crate) use name::FileName;

use crate::folders::parent;

/// Longest address of another place: it has to be read, and typed where a mail is on a phone.
const ADDRESS_MAX_BYTES: usize = 512;

/// What the server is told of where the programs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Install {
    /// Nothing: mails and page say that whoever invites can tell.
    Unknown,
    /// A folder that this server serves.
    Folder(PathBuf),
    /// An address in its one spelling, elsewhere.
    Address(String),
}

/// Why the programs can't be offered.
#[derive(Debug, thiserror::Error)]
pub enum InstallSetupError {
    /// The folder isn't there, or can't be listed.
    #[error("--install-folder {path}: {source}")]
    Folder {
        /// Path of the folder.
        path: PathBuf,
        /// What the system says of it.
        source: std::io::Error,
    },
    /// The folder that was named holds what nobody may have.
    #[error("--install-folder {0} holds the database; give the packages a folder of their own")]
    HoldsDatabase(PathBuf),
}

/// Where the programs are, as it was found.
#[derive(Debug, Clone)]
pub(crate) enum Programs {
    Unknown,
    Folder(Folder),
    Address(String),
}

/// A Debian package of a person's programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: FileName,
    /// Debian's word for the machine: `amd64`.
    pub(crate) architecture: String,
}

/// What mails and the page can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Offers {
    /// Nothing was configured.
    Unknown,
    /// Files below `/install/` of this server: the newest package for each kind of machine, the
    /// newest source archive. Both may be missing.
    Files { packages: Vec<Package>, source: Option<FileName> },
    /// Somewhere else; what is there is not known here.
    Address(String),
}

/// Looks at the place, and says to the administrator what newcomers will miss.
///
/// # Errors
/// [`InstallSetupError`]. Blocks.
pub(crate) fn set_up(install: &Install, database: &Path) -> Result<Programs, InstallSetupError> {
    let path = match install {
        Install::Unknown => {
            tracing::warn!(
                "neither --install-folder nor --install-address is set: mails and the landing page can't say where the \
                 programs are"
            );
            return Ok(Programs::Unknown);
        }
        Install::Address(address) => return Ok(Programs::Address(address.clone())),
        Install::Folder(path) => path,
    };
    let failed = |source| InstallSetupError::Folder { path: path.clone(), source };
    let real = path.canonicalize().map_err(failed)?;
    if parent(database).canonicalize().is_ok_and(|of_database| of_database == real) {
        return Err(InstallSetupError::HoldsDatabase(path.clone()));
    }
    let folder = Folder::new(path.clone());
    let names = folder.names().map_err(failed)?;
    if let Offers::Files { packages, source: None } = offered(&names)
        && packages.is_empty()
    {
        tracing::warn!(
            folder = %path.display(),
            "the install folder has no package parsec_VERSION_ARCH.deb and no source archive parsec-VERSION.tar.gz"
        );
    }
    Ok(Programs::Folder(folder))
}

impl Programs {
    /// What can be named now. A folder that can't be read at this moment offers nothing.
    pub(crate) async fn offers(&self) -> Offers {
        match self {
            Self::Unknown => Offers::Unknown,
            Self::Address(address) => Offers::Address(address.clone()),
            Self::Folder(folder) => match folder.list().await {
                Ok(files) => {
                    let names: Vec<_> = files.into_iter().map(|file| file.name).collect();
                    offered(&names)
                }
                Err(error) => {
                    tracing::warn!(%error, "the install folder could not be read");
                    Offers::Unknown
                }
            },
        }
    }
}

/// The newest package for each kind of machine, and the newest source.
fn offered(names: &[FileName]) -> Offers {
    let mut packages: Vec<Package> = Vec::new();
    let mut source: Option<&FileName> = None;
    for name in names {
        if let Some(architecture) = name.package_architecture() {
            match packages.iter_mut().find(|package| package.architecture == architecture) {
                Some(present) if name.is_newer_than(&present.name) => present.name = name.clone(),
                Some(_) => {}
                None => packages.push(Package { name: name.clone(), architecture: architecture.to_owned() }),
            }
        } else if name.is_source() && source.is_none_or(|present| name.is_newer_than(present)) {
            source = Some(name);
        }
    }
    packages.sort_by(|a, b| a.architecture.cmp(&b.architecture));
    Offers::Files { packages, source: source.cloned() }
}

/// The one spelling of an address that mails and the page can hold: of an encrypted place, without
/// a user and without a part that browsers keep to themselves.
pub(crate) fn check_address(text: &str) -> Result<String, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is not a URL")?;
    if url.scheme() != "https" {
        return Err("it must begin with https://: programs must not be changed on their way");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it has a user name or password in it");
    }
    if url.fragment().is_some() {
        return Err("it has a part behind #");
    }
    // As the parser writes it, it is ASCII without spaces and control characters.
    let spelt = url.as_str();
    if spelt.len() > ADDRESS_MAX_BYTES || !spelt.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it is too long");
    }
    Ok(spelt.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> Vec<FileName> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_newest_package_of_each_machine_and_the_newest_source_are_offered() {
        let there = names(&[
            "parsec_0.9.0_amd64.deb",
            "parsec_0.10.0~rc1_amd64.deb",
            "parsec_0.10.0_amd64.deb",
            "parsec_0.2.0_arm64.deb",
            "parsec-metadata_9.0.0_amd64.deb",
            "parsec-0.9.0.tar.gz",
            "parsec-0.10.0.tar.xz",
            "SHA256SUMS",
        ]);
        let Offers::Files { packages, source } = offered(&there) else { panic!() };
        let packages: Vec<_> = packages.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(packages, ["parsec_0.10.0_amd64.deb", "parsec_0.2.0_arm64.deb"]);
        assert_eq!(source.unwrap().as_str(), "parsec-0.10.0.tar.xz");
        assert_eq!(offered(&[]), Offers::Files { packages: Vec::new(), source: None });
    }

    #[test]
    fn an_address_is_encrypted_plain_and_in_one_spelling() {
        assert_eq!(
            check_address("https://Ex\u{e4}mple.org/a b").unwrap(),
            "https://xn--exmple-cua.org/a%20b"
        );
        for (bad, of) in [
            ("example.org", "not a URL"),
            ("http://example.org/", "https://"),
            ("javascript:alert(1)", "https://"),
            ("https://u:p@example.org/", "user name"),
            ("https://example.org/#x", "behind #"),
        ] {
            assert!(check_address(bad).unwrap_err().contains(of), "{bad}");
        }
        assert!(check_address(&format!("https://example.org/{}", "a".repeat(512))).is_err());
        // What could end a quote, a tag or a line, or turn the reading direction, is escaped.
        let hostile = check_address("https://example.org/\"><b>\u{202e}x\r\ny").unwrap();
        assert!(!hostile.contains(['"', '<', '>', '\r', '\n', '\u{202e}']), "{hostile}");
    }

    #[test]
    fn the_folder_of_the_database_is_never_served() {
        let folder = tempfile::tempdir().unwrap();
        let install = Install::Folder(folder.path().join("."));
        let refused = set_up(&install, &folder.path().join("db.sqlite"));
        assert!(matches!(refused, Err(InstallSetupError::HoldsDatabase(_))));
        assert!(set_up(&install, Path::new("/elsewhere/db.sqlite")).is_ok());
        let missing = Install::Folder(folder.path().join("missing"));
        assert!(matches!(set_up(&missing, Path::new("db")), Err(InstallSetupError::Folder { .. })));
    }
}
