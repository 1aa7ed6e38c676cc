//! What the server's administrator does with the database at hand: reserve names, hand out
//! bootstrap tokens.
//!
//! Decides that a token is shown once: the database keeps its hash. Works beside a running server.

mod upkeep;

use std::path::{Path, PathBuf};

use parsec_protocol::ids::OrganisationId;
use parsec_protocol::public_keys::Hash;

use crate::clock::Clock;
use crate::store::{self, Making, Standalone, StoreError};

pub use upkeep::{Pruned, UsageLine, organisation_usage, prune_organisation};

/// Why it didn't work.
#[derive(Debug, thiserror::Error)]
pub enum AdministrationError {
    /// The name is not allowed.
    #[error("{0}")]
    Name(#[from] parsec_protocol::ids::IdError),
    /// The database can't be used.
    #[error("{path}: {source}")]
    Open {
        /// Path of the database's file.
        path: PathBuf,
        /// Why it could not be opened.
        source: store::OpenError,
    },
    /// The database failed under a command.
    #[error("{path}: the database failed: {source}")]
    Database {
        /// Path of the database's file.
        path: PathBuf,
        /// What the store says.
        source: StoreError,
    },
    /// No organisation has that name.
    #[error("there is no such organisation; `organisation list` shows all")]
    Unknown,
    /// The name is taken.
    #[error("this organisation exists; `organisation token` makes a new token while it is not founded")]
    Exists,
    /// Nothing to make a new token for.
    #[error("there is no such organisation, or it is founded already")]
    NoneToFound,
    /// The system has no random bytes.
    #[error("the system's random source failed")]
    NoEntropy,
}

/// An organisation in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Name of the organisation.
    pub name: String,
    /// Whether somebody has founded it.
    pub founded: bool,
    /// Members who were not revoked.
    pub users: u64,
    /// Certificates in its log.
    pub certificates: u64,
}

/// Opens the database beside a server or alone, which a write-ahead log of another file must not
/// destroy.
fn open(database: &Path, making: Making) -> Result<Standalone, AdministrationError> {
    Standalone::open(database, making)
        .map_err(|source| AdministrationError::Open { path: database.to_owned(), source })
}

/// What went wrong with an open database.
fn failed(database: &Path) -> impl FnOnce(StoreError) -> AdministrationError {
    move |source| AdministrationError::Database { path: database.to_owned(), source }
}

/// A bootstrap token and what is kept of it.
fn token() -> Result<(String, Hash), AdministrationError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| AdministrationError::NoEntropy)?;
    Ok((Hash::from_bytes(bytes).to_string(), Hash::of(&[&bytes])))
}

/// Reserves a name and returns its bootstrap token: 64 hexadecimal digits, shown only now. With
/// `create`, makes the database if there is none.
///
/// # Errors
/// [`AdministrationError`].
pub fn create_organisation(database: &Path, name: &str, create: bool) -> Result<String, AdministrationError> {
    let organisation: OrganisationId = name.parse()?;
    let (token, hash) = token()?;
    let now = Clock::System.now();
    let reserved = open(database, Making::of(create))?.change(|tx| tx.reserve(&organisation, hash, now));
    let reserved = reserved.map_err(failed(database))?;
    if reserved { Ok(token) } else { Err(AdministrationError::Exists) }
}

/// A new token for a name that nobody has founded; the old one is void.
///
/// # Errors
/// [`AdministrationError`].
pub fn renew_token(database: &Path, name: &str) -> Result<String, AdministrationError> {
    let organisation: OrganisationId = name.parse()?;
    let (token, hash) = token()?;
    let renewed = open(database, Making::Never)?.change(|tx| tx.reissue(&organisation, hash));
    let renewed = renewed.map_err(failed(database))?;
    if renewed { Ok(token) } else { Err(AdministrationError::NoneToFound) }
}

/// All organisations.
///
/// # Errors
/// [`AdministrationError`].
pub fn list_organisations(database: &Path) -> Result<Vec<Listed>, AdministrationError> {
    let rows = open(database, Making::Never)?.read(|tx| tx.organisations()).map_err(failed(database))?;
    let listed = |row: store::rows::Listed| {
        let store::rows::Listed { name, founded, users, certificates } = row;
        Listed { name, founded, users, certificates }
    };
    Ok(rows.into_iter().map(listed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_reserved_once_and_its_token_is_not_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        let missing =
            |error| matches!(error, Err(AdministrationError::Open { source: store::OpenError::Missing, .. }));
        assert!(missing(renew_token(&path, "acme")));
        assert!(missing(list_organisations(&path).map(|_| String::new())));
        assert!(!path.exists(), "who asks makes no database");
        // A folder that holds none yet gets its first; what stands beside it is a slip of the hand.
        let token = create_organisation(&path, "acme", false).unwrap();
        let slip = directory.path().join("bd");
        assert!(missing(create_organisation(&slip, "acme", false)));
        assert!(!slip.exists());
        create_organisation(&slip, "acme", true).unwrap();
        assert_eq!(token.len(), 64);
        assert!(matches!(create_organisation(&path, "acme", false), Err(AdministrationError::Exists)));
        assert!(matches!(create_organisation(&path, "ACME", false), Err(AdministrationError::Name(_))));
        assert_ne!(renew_token(&path, "acme").unwrap(), token);
        assert!(matches!(renew_token(&path, "other"), Err(AdministrationError::NoneToFound)));
        let listed = list_organisations(&path).unwrap();
        assert_eq!(listed, [Listed { name: "acme".into(), founded: false, users: 0, certificates: 0 }]);
    }
}
