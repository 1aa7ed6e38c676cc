//! The operator's way to put a log back: from a member's exported log (docs/protocol.md, *Evidence
//! files*).
//!
//! Decides as a member would: every certificate is verified up to the root key that the file names,
//! and a member's signed head vouches for the whole. Refuses a file that is not the continuation of
//! what the server has, and one that nobody vouches for. Whether the root key is the
//! organisation's, no file can say: its fingerprint is for the operator to compare.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::{Body, Envelope};
use parsec_protocol::chain::view::NotAccepted;
use parsec_protocol::evidence::export::LogExport;
use parsec_protocol::evidence::{EVIDENCE_MAX_BYTES, EvidenceError};
use parsec_protocol::ids::{IdError, OrganisationId};
use parsec_protocol::limits::LOG_PAGE_MAX_CERTIFICATES;
use parsec_protocol::public_keys::VerifyKey;
use parsec_protocol::relay::ErrorCode;

use crate::clock::Clock;
use crate::errors::Refusal;
use crate::intake::{founding_fingerprint, read_founding, refused};
use crate::repair::put_back;
use crate::store::log::{self, OpenLog};
use crate::store::{self, Making, Standalone, StoreError};

/// Why nothing was put back, or no more than this.
#[derive(Debug, thiserror::Error)]
pub enum ReinstateError {
    /// The name is not allowed.
    #[error("{0}")]
    Name(#[from] IdError),
    /// The database can't be used.
    #[error(transparent)]
    Open(#[from] store::OpenError),
    /// The database failed under the repair.
    #[error("the database failed: {0}")]
    Database(#[from] StoreError),
    /// The file can't be read.
    #[error("{path}: {source}")]
    File {
        /// Path of the exported log.
        path: PathBuf,
        /// What the system says of it.
        source: std::io::Error,
    },
    /// The file shows nothing.
    #[error("the file is no exported log that checks: {0}")]
    Evidence(#[from] EvidenceError),
    /// The file is another organisation's log.
    #[error("the file is the log of `{0}`")]
    OtherOrganisation(OrganisationId),
    /// Anybody could have left off its end.
    #[error("no member vouches for the file's end: `parsecctl trust export` writes one that has a signature")]
    Unvouched,
    /// Nothing to put it into.
    #[error(
        "there is no such organisation; where it was lost whole, reserve its name first: `organisation create`"
    )]
    Unknown,
    /// The server has another log.
    #[error("the server's log is another one: it does not lead to the file's")]
    Conflict,
    /// The server's rules, which are the readers'.
    #[error("the server does not take the certificates ({0}); its log says why")]
    Refused(&'static str),
}

impl From<Refusal> for ReinstateError {
    fn from(refusal: Refusal) -> Self {
        if refusal.code == ErrorCode::LogConflict {
            Self::Conflict
        } else {
            Self::Refused(refusal.code.name())
        }
    }
}

/// What was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reinstated {
    /// Certificates that were missing.
    pub added: u64,
    /// Certificates in the log now.
    pub count: u64,
    /// SHA-256 of the root key.
    pub root_fingerprint: String,
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, ReinstateError> {
    let failed = |source| ReinstateError::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    // One more than a file may have, so that a larger one is seen to be.
    let cap = (EVIDENCE_MAX_BYTES as u64).saturating_add(1);
    File::open(path).map_err(failed)?.take(cap).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Puts back what the organisation's log lacks of the file's. What was put back stays where a later
/// part fails.
///
/// # Errors
/// [`ReinstateError`].
pub fn repair_organisation(database: &Path, name: &str, file: &Path) -> Result<Reinstated, ReinstateError> {
    let organisation: OrganisationId = name.parse()?;
    let export = LogExport::decode(&bytes_of(file)?)?;
    let verified = export.verify()?;
    if export.organisation != organisation {
        return Err(ReinstateError::OtherOrganisation(export.organisation));
    }
    if export.head.is_none() {
        return Err(ReinstateError::Unvouched);
    }
    let store = Standalone::open(database, Making::Never)?;
    let stored = store.read(|tx| tx.organisation(&organisation))?.ok_or(ReinstateError::Unknown)?;
    let mut added = match stored.founded {
        Some((root, _)) if root == export.root => 0,
        Some(_) => return Err(ReinstateError::Conflict),
        None => found(&store, &organisation, &export)?,
    };
    let mut rest = export.certificates.as_slice();
    let mut from = Head::empty(&organisation, &export.root);
    while !rest.is_empty() {
        let (part, after) = rest.split_at_checked(part_length(rest)).unwrap_or((rest, &[]));
        // An exported log has no keys: members put them back, by their hashes.
        // Part by part, so that a running server waits for none of them longer than for a member's
        // call.
        let done = store
            .change(|tx| put_back(tx, &organisation, from, part, Ok(Vec::new()), Clock::System.now()))?;
        added = added.saturating_add(done.added);
        from =
            verified.head_at(from.count.saturating_add(part.len() as u64)).ok_or(ReinstateError::Conflict)?;
        rest = after;
    }
    let count = store.read(|tx| log::end(tx, &organisation))?.head.count;
    Ok(Reinstated { added, count, root_fingerprint: export.root.fingerprint().to_string() })
}

/// How many of these go together: a page, and not half of a user with the first device.
fn part_length(rest: &[ByteVec]) -> usize {
    let is_user = |envelope: &ByteVec| {
        let payload = Envelope::decode(envelope).and_then(|envelope| envelope.payload());
        payload.is_ok_and(|payload| matches!(payload.body, Body::User { .. }))
    };
    let mut length = rest.len().min(LOG_PAGE_MAX_CERTIFICATES);
    while length < rest.len() && length.checked_sub(1).and_then(|last| rest.get(last)).is_some_and(is_user) {
        length = length.saturating_add(1);
    }
    length
}

/// The founding, where that was lost too. A founder whose device repeats it is answered as if the
/// server had never lost it.
fn found(
    store: &Standalone,
    organisation: &OrganisationId,
    export: &LogExport,
) -> Result<u64, ReinstateError> {
    let root: VerifyKey = export.root;
    let certificates: Vec<ByteVec> = export.certificates.iter().take(2).cloned().collect();
    let founding = read_founding(&certificates, &root).map_err(refused)?;
    let request = founding_fingerprint(root, certificates);
    store.change(|tx| -> Result<(), ReinstateError> {
        tx.lock_log(organisation)?;
        tx.set_founded(organisation, &root, request)?;
        let mut log = OpenLog::empty(organisation, root);
        for certificate in founding {
            log.append(tx, certificate).map_err(|error| match error {
                NotAccepted::Fault(fault) => refused(fault.into()).into(),
                NotAccepted::View(error) => ReinstateError::Database(error),
            })?;
        }
        Ok(())
    })?;
    Ok(2)
}
