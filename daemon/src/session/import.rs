//! `trust.import`: certificates out of a file, judged as if a server had sent them.
//!
//! Decides which log a file's certificates are: the beginning of this one, its continuation, or
//! another. Refuses to take the file's word for anything, and to raise an alarm about a file that
//! anybody could have written: only what members signed counts.

use std::sync::Arc;

use parsec_protocol::chain::organisation::log::{LogError, VerifiedLog};
use parsec_protocol::codec;
use parsec_protocol::control::{
    PART_MAX_BYTES, PART_MAX_CERTIFICATES, Problem, ProblemKind, TrustImport, TrustImported,
};
use parsec_protocol::evidence::head::SIGNED_HEAD_MAX_BYTES;

use super::forks::ForkEvidence;
use super::log_sync::foreign_view;
use super::{Session, SyncError};
use crate::os::blocking_in;
use crate::store::StoreError;

/// What a part of a file is.
enum Part {
    /// Nothing but what is known, or that and what follows it.
    Ours(Option<Box<VerifiedLog>>, u64),
    /// Valid up to here, and another log than this device's.
    Other(Vec<Vec<u8>>),
}

fn refused(text: impl Into<String>) -> SyncError {
    SyncError::Log(Problem::new(ProblemKind::InvalidRequest, text))
}

impl Session {
    /// Takes in a part of an exported log. What is added is durable when this returns.
    ///
    /// # Errors
    /// `invalid_request` for what is no part of this organisation's log; `rolled_back`, and an
    /// alarm, where it is a fork.
    pub async fn import(&self, request: TrustImport) -> Result<TrustImported, SyncError> {
        let done = self.take_part(request).await;
        self.watched(done).await
    }

    async fn take_part(&self, request: TrustImport) -> Result<TrustImported, SyncError> {
        let TrustImport { select: _, organisation, root, from, certificates, head } = request;
        let _turn = self.syncing.lock().await;
        let log = self.log();
        if organisation != *log.organisation() || root != *log.root() {
            return Err(refused(
                "The file is the log of another organisation, or hangs from another root key.",
            ));
        }
        let bytes = certificates.iter().map(|envelope| envelope.0.len()).sum::<usize>();
        if from > log.count() || certificates.len() > PART_MAX_CERTIFICATES || bytes > PART_MAX_BYTES {
            return Err(refused(
                "A part of a log begins where this device's ends, or before, and is of bounded size.",
            ));
        }
        let head = head.map(|head| codec::decode(&head.0, SIGNED_HEAD_MAX_BYTES)).transpose();
        let head = head.map_err(|_| refused("The file's signed head is malformed."))?;
        let envelopes: Vec<Vec<u8>> = certificates.into_iter().map(|envelope| envelope.0).collect();
        let (before, open) = (Arc::clone(&log), Arc::clone(&self.open));
        let part = blocking_in(&self.tasks, move || {
            let have = before.count();
            let (_, own) = open.store.page(from)?;
            let known = own.iter().zip(&envelopes).take_while(|(own, given)| own == given).count();
            let new = envelopes.get(known..).unwrap_or_default();
            if known < own.len().min(envelopes.len()) {
                // They part: is the other one a log at all?
                let mut other = open.store.certificates()?;
                let common = usize::try_from(from).unwrap_or(usize::MAX).saturating_add(known);
                other.truncate(common);
                let empty = VerifiedLog::empty(before.organisation().clone(), *before.root());
                other.extend(new.iter().cloned());
                return Ok::<_, StoreError>(match empty.extended(other.iter().map(Vec::as_slice)) {
                    Ok(_) => Ok(Part::Other(other)),
                    Err(error) => Err(bad(&error, from, &envelopes)),
                });
            }
            match before.extended(new.iter().map(Vec::as_slice)) {
                Ok(longer) if longer.count() > have => {
                    open.store.append_certificates(have, new)?;
                    let added = longer.count().saturating_sub(have);
                    Ok(Ok(Part::Ours(Some(Box::new(longer)), added)))
                }
                Ok(_) => Ok(Ok(Part::Ours(None, 0))),
                Err(error) => Ok(Err(bad(&error, from, &envelopes))),
            }
        });
        match part.await.map_err(SyncError::Log)?? {
            Part::Ours(longer, added) => {
                let log = longer.map_or(log, |longer| self.keep(*longer));
                self.look_through(&log).await;
                Ok(TrustImported { count: log.count(), added })
            }
            Part::Other(other) => {
                let text =
                    "The file is a valid log of the organisation, but not the one this device has verified.";
                let problem = Problem::new(ProblemKind::RolledBack, text);
                Err(SyncError::Forked(problem, Box::new(ForkEvidence::Log(other, head))))
            }
        }
    }
}

/// A certificate failed. If a member signed it, it is evidence; otherwise the file is just invalid.
fn bad(error: &LogError, from: u64, envelopes: &[Vec<u8>]) -> SyncError {
    foreign_view(error, from, envelopes)
        .unwrap_or_else(|| refused(format!("The file is not a valid log: {error}.")))
}
