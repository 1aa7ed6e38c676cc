//! `safe.export` and `safe.import`: a safe into a sealed archive, and a new safe out of one.
//!
//! Decides nothing: what an archive is, and when it is believed, the room `archive` decides.

use std::cmp::Reverse;
use std::os::fd::OwnedFd;

use parsec_protocol::control::{ArchiveWriter, Problem, SafeExport, SafeExported, SafeImport, SafeImported};

use super::choose;
use super::files::readable;
use crate::archive;
use crate::safes::views;
use crate::session::Session;

/// All of a safe, sealed, into a file. Ends early when it is dropped.
///
/// # Errors
/// Which safe is meant; `safe_not_accepted`; as `archive::archive`.
pub async fn export(session: &Session, params: SafeExport, file: OwnedFd) -> Result<SafeExported, Problem> {
    let safe = choose(session, &params.safe).await?;
    let name = {
        let memory = safe.memory().await;
        readable(&memory)?;
        views::name(&memory)
    };
    let done = archive::archive(session, &safe, file).await?;
    Ok(SafeExported {
        safe: safe.id,
        name,
        members: done.members,
        certificates: done.certificates,
        records: done.records,
        objects: done.objects,
        bytes: done.bytes,
        fetched: done.fetched,
        missing: done.missing,
        lacking: done.lacking,
    })
}

/// A new safe out of an archive. Ends early when it is dropped.
///
/// # Errors
/// As `archive::renew`.
pub async fn import(session: &Session, params: SafeImport, file: OwnedFd) -> Result<SafeImported, Problem> {
    let done = archive::renew(session, file, params.name, params.partial).await?;
    let log = session.log();
    let mut by: Vec<ArchiveWriter> = done
        .wrote
        .iter()
        .map(|(user, records)| ArchiveWriter {
            user: *user,
            by: views::person(session, &log, *user),
            records: *records,
        })
        .collect();
    by.sort_by_key(|writer| (Reverse(writer.records), writer.user));
    let safe = views::view(session, &done.safe).await;
    let [live, history, trash] = done.contents;
    Ok(SafeImported {
        safe,
        of: done.of,
        name: done.name,
        made: done.made,
        members: done.members,
        certificates: done.certificates,
        records: done.records,
        void_records: done.void,
        other_roots: done.other_roots,
        live,
        history,
        trash,
        objects: done.objects,
        missing: done.missing,
        lacking: done.lacking,
        by,
        files: done.files,
        folders: done.folders,
        bytes: done.bytes,
        left_out: done.left_out,
    })
}
