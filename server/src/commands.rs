//! What the server's commands show, and how they end.
//!
//! Decides exit codes (sysexits.h, docs/server.md) and what is said when something was done that
//! could not be shown. Refuses to leave a person in the dark about it: a token that was not shown
//! can be had again by another command, and the message names it.

use std::path::{Path, PathBuf};

use parsec_host::exit;
use parsec_host::output::{self, OutputError, show, show_for_good};
use serde_json::json;

use crate::RunError;
use crate::administration::{
    AdministrationError, UsageLine, create_organisation, list_organisations, organisation_usage,
    prune_organisation, renew_token,
};
use crate::command_line::{Backup, Named, Organisation, Restore};
use crate::reinstate::{ReinstateError, repair_organisation};
use crate::store::{self, BackupError, LockError, OpenError, RestoreError};

/// What the server is called where it speaks of itself.
pub const PROGRAM: &str = "parsec-metadata";
/// There is no database of that name: the plainest of failures, of a command that a person has
/// typed.
const EXIT_MISSING: u8 = 1;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A command about organisations failed.
    #[error(transparent)]
    Administration(#[from] AdministrationError),
    /// Making a backup failed.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// Restoring a backup failed.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// Putting a log back.
    #[error(transparent)]
    Reinstate(#[from] ReinstateError),
    /// There was nothing to do but to show something.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// It was done, and could not be shown.
    #[error("{done} ({source})")]
    Unshown {
        /// What was done, and how to see it again.
        done: String,
        /// Why it was not shown.
        source: OutputError,
    },
}

impl Failure {
    /// Exit code of the process (sysexits.h).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Administration(error) => match error {
                AdministrationError::Name(_) => exit::USAGE,
                AdministrationError::Open { source, .. } => of_open(source),
                AdministrationError::Database { .. } => exit::IO,
                AdministrationError::Exists => exit::EXISTS,
                AdministrationError::NoneToFound | AdministrationError::Unknown => exit::NOT_FOUND,
                AdministrationError::NoEntropy => exit::SYSTEM,
            },
            Self::Reinstate(error) => match error {
                ReinstateError::Name(_) => exit::USAGE,
                ReinstateError::Open(error) => of_open(error),
                ReinstateError::Database(_) | ReinstateError::File { .. } => exit::IO,
                ReinstateError::Unknown => exit::NOT_FOUND,
                ReinstateError::Evidence(_)
                | ReinstateError::OtherOrganisation(_)
                | ReinstateError::Unvouched
                | ReinstateError::Conflict
                | ReinstateError::Refused(_) => exit::DATA,
            },
            Self::Backup(error) => match error {
                BackupError::Open { source, .. } => of_open(source),
                BackupError::Exists(_) => exit::EXISTS,
                BackupError::Unsound { .. } => exit::DATA,
                BackupError::File { .. } | BackupError::Database { .. } => exit::IO,
            },
            Self::Restore(error) => match error {
                RestoreError::Lock(error) => of_lock(error),
                RestoreError::Open { source, .. } => of_open(source),
                RestoreError::NoBackup { .. } | RestoreError::Itself(_) => exit::DATA,
                RestoreError::File { .. } => exit::IO,
            },
            Self::Output(error) | Self::Unshown { source: error, .. } => error.exit_code(),
        }
    }

    /// Whether there is nothing to say: a reader that goes away is no fault.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        matches!(self, Self::Output(OutputError::Closed))
    }
}

const fn of_open(error: &OpenError) -> u8 {
    match error {
        OpenError::Missing => EXIT_MISSING,
        OpenError::Foreign | OpenError::TooOld | OpenError::TooNew { .. } => exit::CONFIGURATION,
        OpenError::File(_) | OpenError::Database(_) => exit::IO,
    }
}

const fn of_lock(error: &LockError) -> u8 {
    match error {
        LockError::InUse(_) => exit::IN_USE,
        LockError::File { .. } => exit::IO,
    }
}

/// The exit code of a server that did not start, or not stay.
#[must_use]
pub const fn of_run(error: &RunError) -> u8 {
    match error {
        RunError::Listen { .. } => exit::IN_USE,
        // Of a service it is a setting, which no new start mends.
        RunError::Open { source: OpenError::Missing, .. } => exit::CONFIGURATION,
        RunError::Open { source, .. } => of_open(source),
        RunError::Lock(error) => of_lock(error),
        RunError::Mail(_) | RunError::Install(_) | RunError::Tls(_) => exit::CONFIGURATION,
        RunError::Objects { .. } | RunError::Ready(_) => exit::IO,
        RunError::Serve(_) => exit::SYSTEM,
    }
}

/// Runs a command about organisations.
///
/// # Errors
/// [`Failure`].
pub fn administer(command: &Organisation) -> Result<(), Failure> {
    match command {
        Organisation::Create(asked) => {
            let Named { name, database } = &asked.named;
            let new = !database.database.exists();
            let token = create_organisation(&database.database, name, asked.create)?;
            if new {
                // Whoever has mistyped the folder sees it here. A stderr that takes nothing is no
                // reason to lose the token.
                let made = database.database.display();
                output::complain(PROGRAM, &format!("a new database was made: {made}"));
            }
            show_token(asked.named.database.json, name, &token, || {
                format!(
                    "the name {name} is reserved, but its bootstrap token could not be shown; {}",
                    another(&asked.named)
                )
            })
        }
        Organisation::Token(named) => {
            let token = renew_token(&named.database.database, &named.name)?;
            show_token(named.database.json, &named.name, &token, || {
                let name = &named.name;
                format!(
                    "the former token of {name} is void, but the new one could not be shown; {}",
                    another(named)
                )
            })
        }
        Organisation::Repair(asked) => {
            let done = repair_organisation(&asked.database.database, &asked.name, &asked.file)?;
            let (added, count, root) = (done.added, done.count, &done.root_fingerprint);
            let text = if asked.database.json {
                json!({"added": added, "count": count, "root_fingerprint": root.to_string()}).to_string()
            } else {
                format!("{added} certificates put back; the log has {count} now\nroot key, SHA-256: {root}")
            };
            show(&format!("{text}\n")).map_err(|source| Failure::Unshown {
                done: format!("{added} certificates are put back; the log of {} has {count} now", asked.name),
                source,
            })
        }
        Organisation::Usage(Named { name, database }) => {
            let lines = organisation_usage(&database.database, name)?;
            let shown = |line: &UsageLine| if database.json { line.json(name) } else { line.text() };
            let text: String = lines.iter().map(|line| format!("{}\n", shown(line))).collect();
            Ok(show_for_good(&text)?)
        }
        Organisation::Prune(Named { name, database }) => {
            let pruned = prune_organisation(&database.database, name)?;
            let text = if database.json { pruned.json(name) } else { pruned.text() };
            show(&format!("{text}\n"))
                .map_err(|source| Failure::Unshown { done: format!("{name} is pruned"), source })
        }
        Organisation::List(database) => {
            let mut text = String::new();
            for entry in list_organisations(&database.database)? {
                let (name, founded) = (&entry.name, entry.founded);
                let (users, certificates) = (entry.users, entry.certificates);
                text.push_str(&if database.json {
                    let about = json!({"name": name, "founded": founded, "users": users, "certificates": certificates});
                    format!("{about}\n")
                } else {
                    let state = if founded { "founded" } else { "not founded" };
                    format!("{name}\t{state}\t{users} users\t{certificates} certificates\n")
                });
            }
            Ok(show_for_good(&text)?)
        }
    }
}

/// How to get another token.
fn another(named: &Named) -> String {
    let (name, path) = (&named.name, named.database.database.display());
    format!("`parsec-metadata organisation token {name} --database {path}` makes another one")
}

fn show_token(json: bool, name: &str, token: &str, done: impl FnOnce() -> String) -> Result<(), Failure> {
    let text =
        if json { json!({"organisation": name, "token": token}).to_string() } else { token.to_owned() };
    show_for_good(&format!("{text}\n")).map_err(|source| Failure::Unshown { done: done(), source })
}

/// Backs up, and says what was made.
///
/// # Errors
/// [`Failure`].
pub fn back_up(asked: &Backup) -> Result<(), Failure> {
    let made = store::back_up(&asked.database.database, &asked.file)?;
    let file = asked.file.display();
    let objects = objects_beside(&asked.database.database);
    let text = if asked.database.json {
        json!({"backup": text_of(&asked.file), "bytes": made.bytes, "organisations": made.organisations, "certificates": made.certificates, "objects": objects.as_deref().map(text_of)}).to_string()
    } else {
        let copy_too = objects.map_or_else(String::new, |folder| {
            format!("; objects of safes are not in it: copy the folder {} now", folder.display())
        });
        format!(
            "{file}: {} organisations, {} certificates, {} bytes, checked{copy_too}",
            made.organisations, made.certificates, made.bytes
        )
    };
    show(&format!("{text}\n"))
        .map_err(|source| Failure::Unshown { done: format!("the backup {file} is made and checked"), source })
}

/// Restores, and says where the former database is.
///
/// # Errors
/// [`Failure`].
pub fn restore(asked: &Restore) -> Result<(), Failure> {
    let database = &asked.database.database;
    let done = store::restore(&asked.file, database, asked.create)?;
    let place = database.display();
    let former = match &done.former {
        Some(former) => format!("the former database is {}", former.display()),
        None => "there was none before".to_owned(),
    };
    let text = if asked.database.json {
        let former = done.former.as_deref().map(text_of);
        let objects = objects_beside(database);
        json!({"database": text_of(database), "former": former, "organisations": done.organisations, "certificates": done.certificates, "objects": objects.as_deref().map(text_of)}).to_string()
    } else {
        let left = objects_beside(database).map_or_else(String::new, |folder| {
            format!("; objects of safes were left as they are, in {}", folder.display())
        });
        format!(
            "{place}: restored, {} organisations, {} certificates; {former}{left}",
            done.organisations, done.certificates
        )
    };
    show(&format!("{text}\n"))
        .map_err(|source| Failure::Unshown { done: format!("{place} is restored; {former}"), source })
}

/// The folder of a database's objects, where there is one.
fn objects_beside(database: &Path) -> Option<PathBuf> {
    Some(crate::objects::beside(database)).filter(|folder| folder.is_dir())
}

/// A path as JSON can hold it.
fn text_of(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
