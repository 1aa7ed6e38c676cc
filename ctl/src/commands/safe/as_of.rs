//! A safe as it was: `--at` and `--record` of `ls`, `get`, `cat` and `export`.
//!
//! Decides that a moment is asked about once and becomes a record: what comes after in the same
//! command is of the same tree, whatever happens meanwhile.

use std::time::SystemTime;

use parsec_protocol::control::{FileEntry, FileKind, FileList, FileListResult, ProblemKind, method};
use parsec_protocol::ids::Timestamp;

use super::Context;
use super::files::Found;
use crate::args::{AsOf, SafePath};
use crate::client::Connection;
use crate::failure::Failure;
use crate::text::{escaped, moment_to_the_second, read_moment};

/// As of when something is asked for; as it is now if neither.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct When {
    pub(super) at: Option<Timestamp>,
    pub(super) record: Option<u64>,
}

/// This machine's time.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// The moment that a person wrote.
///
/// # Errors
/// It is none.
pub(super) fn moment_of(text: &str) -> Result<Timestamp, Failure> {
    read_moment(text, now()).ok_or_else(|| {
        Failure::usage(
            format!("{} is no moment", escaped(text)),
            "Write it as 2026-11-23 13:20 (UTC), or so long ago: 90m, 2h, 3d.",
        )
    })
}

/// As of when a person asks.
///
/// # Errors
/// It is no moment.
pub(super) fn when(as_of: &AsOf) -> Result<When, Failure> {
    let at = as_of.at.as_deref().map(moment_of).transpose()?;
    Ok(When { at, record: as_of.record })
}

/// What stood at a place.
#[derive(Debug)]
pub(super) struct Then {
    record: u64,
    time: Timestamp,
    /// The file; none where it was a folder.
    file: Option<FileEntry>,
}

impl Then {
    /// The last record of what was.
    pub(super) const fn record(&self) -> u64 {
        self.record
    }

    /// The same, to ask on with.
    pub(super) const fn when(&self) -> When {
        When { at: None, record: Some(self.record) }
    }

    /// What it was.
    pub(super) fn found(&self) -> Found {
        self.file.clone().map_or(Found::Root, Found::Entry)
    }

    /// As of when, in words.
    pub(super) fn told(&self) -> String {
        format!("as of {} (record {})", moment_to_the_second(self.time), self.record)
    }
}

/// Asks what stood at a place; nothing where no time was named.
///
/// # Errors
/// Nothing stood there; it is no moment; the daemon's.
pub(super) fn then(
    context: &Context<'_>,
    daemon: &mut Connection,
    place: &SafePath,
    as_of: &AsOf,
) -> Result<Option<Then>, Failure> {
    let When { at, record } = when(as_of)?;
    if at.is_none() && record.is_none() {
        return Ok(None);
    }
    let (select, safe) = (context.global.select(), place.safe.clone());
    let asked = FileList { select, safe, path: place.path(), recursive: false, after: None, at, record };
    let result: FileListResult = context.ask(daemon, method::FILE_LIST, &asked)?;
    let (Some(record), Some(time)) = (result.record, result.time) else {
        let text = "The daemon shows the safe as it is now, and not as it was";
        return Err(Failure::new(ProblemKind::Internal, text).advised("Update the daemon: it is older."));
    };
    // A file is listed alone, at its own place; what is in a folder stands below it.
    let mut files = result.files.into_iter();
    let file = files.next().filter(|file| file.path == asked.path && file.kind != FileKind::Folder);
    Ok(Some(Then { record, time, file }))
}
