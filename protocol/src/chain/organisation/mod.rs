//! The organisation's log: who its members are, and which devices speak for them.
//!
//! Decides what may be certified by whom. Everything here is public except names, which are sealed.

pub mod at;
pub mod bootstrap;
pub mod certificate;
pub mod changes;
pub mod fault;
pub mod log;
pub mod members;
pub mod path;
pub mod records;
pub mod rules;
pub mod view;

use minicbor::Encode;

use self::certificate::{Author, Body, Payload};
use self::log::{Membership, Origin};
use self::rules::Fault;
use super::candidate::Candidate;
use super::head::Head;
use super::log::Log;
use super::rules::{Rules, Signed};
use super::view::NotAccepted;
use crate::codec;
use crate::ids::{OrganisationId, Timestamp};
use crate::limits::{CERTIFICATE_MAX_BYTES, LOG_MAX_CERTIFICATES};
use crate::public_keys::{Context, Hash, VerifyKey};

/// The rule set of an organisation's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Organisation {}

/// That a log passes through a head.
#[derive(Encode)]
struct Statement<'a> {
    #[n(0)]
    organisation: &'a OrganisationId,
    #[n(1)]
    root: &'a VerifyKey,
    #[n(2)]
    head: &'a Head,
}

impl Signed for Organisation {
    type Payload = Payload;
    /// Whether the verify key that it certifies, if it does, is one that may be certified: the one
    /// slow thing beside the signature. Encryption keys are named by hash, which says nothing of
    /// them.
    type Findings = bool;

    const CONTEXT: Context = Context::Certificate;
    const ENVELOPE_MAX_BYTES: usize = CERTIFICATE_MAX_BYTES;

    fn inspect(payload: &Payload) -> bool {
        match &payload.body {
            Body::Device { verify_key, .. } => verify_key.is_sound(),
            Body::User { .. }
            | Body::ProfileChange { .. }
            | Body::UserRevoked { .. }
            | Body::DeviceRevoked { .. }
            | Body::UserKeyChanged { .. }
            | Body::DirectoryKeyChanged { .. } => true,
        }
    }
}

impl Rules for Organisation {
    type Origin = Origin;
    type Author = Author;
    type State = Membership;
    type Around = ();
    type Fault = Fault;

    const LOG_MAX_CERTIFICATES: u64 = LOG_MAX_CERTIFICATES;

    fn first_hash(origin: &Origin) -> Hash {
        Head::empty(&origin.organisation, &origin.root).hash
    }

    fn statement(origin: &Origin, head: &Head) -> Vec<u8> {
        let Origin { organisation, root } = origin;
        codec::encode(&Statement { organisation, root, head })
    }

    fn belongs(payload: &Payload, origin: &Origin) -> bool {
        payload.organisation == origin.organisation
    }

    fn author(payload: &Payload) -> Author {
        payload.author
    }

    fn time(payload: &Payload) -> Timestamp {
        payload.time
    }

    fn seen(payload: &Payload) -> Head {
        payload.seen
    }

    fn is_witness(author: &Author) -> bool {
        match author {
            Author::Device(_) => true,
            Author::Root => false,
        }
    }

    fn key_of(log: &Log<Self>, (): &(), author: &Author) -> Option<VerifyKey> {
        match author {
            Author::Root => Some(*log.root()),
            Author::Device(device) => log.device(device).map(|record| record.verify_key),
        }
    }

    fn names(payload: &Payload) -> Option<(Author, VerifyKey)> {
        match &payload.body {
            Body::Device { device, verify_key, .. } => Some((Author::Device(*device), *verify_key)),
            Body::User { .. }
            | Body::ProfileChange { .. }
            | Body::UserRevoked { .. }
            | Body::DeviceRevoked { .. }
            | Body::UserKeyChanged { .. }
            | Body::DirectoryKeyChanged { .. } => None,
        }
    }

    fn judge<'a>(
        log: &Log<Self>,
        (): &(),
        read: impl FnOnce() -> Option<Candidate<'a, Self>>,
    ) -> Result<Candidate<'a, Self>, Fault> {
        rules::judge(log, read).map(|(candidate, _)| candidate).map_err(NotAccepted::fault)
    }

    fn apply(state: &mut Membership, payload: Payload, position: u64) {
        state.apply(payload, position);
    }
}
