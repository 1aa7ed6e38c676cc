//! What can be typed after `parsec-metadata`.
//!
//! Decides names and shapes; the manual page is made of the same. Refuses a bootstrap token or a
//! password as an option.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::ServeOptions;

/// The untrusted metadata server of Parsec: relays enrolments and keeps the certificate log
#[derive(Debug, Parser)]
#[command(name = "parsec-metadata", version)]
pub struct CommandLine {
    /// The command to carry out.
    #[command(subcommand)]
    pub command: Command,
}

/// What the server program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM or SIGINT; SIGHUP reads certificate, key and settings again
    Serve(Box<ServeOptions>),
    /// Reserve names for organisations
    #[command(subcommand)]
    Organisation(Organisation),
    /// Copy the database into a new file, beside a running server or without one
    Backup(Backup),
    /// Put a backup in the database's place; the former database is set aside
    Restore(Restore),
}

/// What to copy, and where.
#[derive(Debug, Args)]
pub struct Backup {
    /// The new file; nothing is overwritten
    pub file: PathBuf,
    /// The database to copy.
    #[command(flatten)]
    pub database: Database,
}

/// What to put where.
#[derive(Debug, Args)]
pub struct Restore {
    /// File that `backup` has made
    pub file: PathBuf,
    /// The database to put it back into.
    #[command(flatten)]
    pub database: Database,
    /// Restore although there is no database in that place
    #[arg(long)]
    pub create: bool,
}

/// What the server's administrator does with organisations.
#[derive(Debug, Subcommand)]
pub enum Organisation {
    /// Reserve a name and print the bootstrap token with which its first member founds it
    Create(Create),
    /// Print a new bootstrap token for a name that nobody has founded yet
    Token(Named),
    /// List the names of all organisations
    List(Database),
    /// Show who takes up how much: by member, and as a whole
    Usage(Named),
    /// Remove now what is over: invitations that expired, were cancelled or used, with what was
    /// deposited for them
    Prune(Named),
    /// Put back what a restore of the database took off an organisation's log, from a member's
    /// `trust export`
    Repair(Repair),
}

/// Which log, from which file.
#[derive(Debug, Args)]
pub struct Repair {
    /// Name of the organisation
    pub name: String,
    /// What a member's `parsecctl trust export FILE` wrote
    pub file: PathBuf,
    /// The database that holds it.
    #[command(flatten)]
    pub database: Database,
}

/// Which organisation is to be, and where.
#[derive(Debug, Args)]
pub struct Create {
    /// The organisation, and its database.
    #[command(flatten)]
    pub named: Named,
    /// Make the database if there is none
    #[arg(long)]
    pub create: bool,
}

/// Which organisation, and where.
#[derive(Debug, Args)]
pub struct Named {
    /// 1 to 32 of a-z, 0-9 and -
    pub name: String,
    /// The database that holds it.
    #[command(flatten)]
    pub database: Database,
}

/// Where the names are.
#[derive(Debug, Args)]
pub struct Database {
    /// SQLite database of the server
    #[arg(long, value_name = "PATH")]
    pub database: PathBuf,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}
