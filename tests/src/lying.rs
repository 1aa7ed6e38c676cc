//! A server that lies about a safe: the real one, behind a proxy that changes what it answers.
//!
//! Decides nothing: a test says with a closure what becomes of which answer. What is here reads and
//! makes the answers' bodies.

use std::sync::Arc;

use minicbor::Encode;
use parsec_protocol::codec;
use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::relay::{
    ErrorBody, ErrorCode, JournalPage, OBJECT_HEADS_LENGTH_BYTES, OBJECT_HEADS_MAX_BYTES, ObjectHead,
    ObjectHeads, SafeLogPage,
};

use crate::proxy::{Answer, Fate, Meddler, Proxy, Request};

/// What a request about one safe asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Certificates from a position on.
    Log(usize),
    /// Records behind so many.
    Journal(usize),
    /// To put a certificate at the end.
    NewCertificate,
    /// To put a record at the end.
    NewRecord,
    /// The head of a ring, or one of its parts.
    Ring,
    /// Boxes that were posted for a member.
    Boxes,
    /// To keep objects.
    Put,
    /// Objects.
    Fetch,
    /// Something else of it.
    Other,
}

/// What a request asks about this safe; nothing if it is about something else.
#[must_use]
pub fn asked(request: &Request, safe: SafeId) -> Option<Asked> {
    let (_, rest) = request.target.split_once(&format!("/safes/{safe}/"))?;
    let (what, query) = rest.split_once('?').unwrap_or((rest, ""));
    let from = query.split('&').find_map(|part| part.strip_prefix("from="));
    let from = from.and_then(|from| from.parse().ok()).unwrap_or(0);
    Some(match (request.method.as_str(), what) {
        ("GET", "log") => Asked::Log(from),
        ("GET", "journal") => Asked::Journal(from),
        ("POST", "log") => Asked::NewCertificate,
        ("POST", "journal") => Asked::NewRecord,
        ("PUT", "objects") => Asked::Put,
        ("POST", "objects/fetch") => Asked::Fetch,
        ("GET", what) if what.starts_with("rings/") || what.starts_with("parts/") => Asked::Ring,
        ("GET", what) if what.starts_with("boxes/") => Asked::Boxes,
        _ => Asked::Other,
    })
}

struct Lies<F>(F);

impl<F: Fn(&Request, &mut Answer) -> Fate + Send + Sync> Meddler for Lies<F> {
    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        (self.0)(request, answer)
    }
}

/// From now on, the server answers so.
pub fn lies(proxy: &Proxy, lie: impl Fn(&Request, &mut Answer) + Send + Sync + 'static) {
    proxy.meddle(Arc::new(Lies(move |request: &Request, answer: &mut Answer| {
        lie(request, answer);
        Fate::Pass
    })));
}

/// Where a request goes that never reaches the server; the refusal's name follows.
const NOWHERE: &str = "/v1/nowhere/";

struct Refuses<F>(F);

impl<F: Fn(&Request) -> Option<ErrorCode> + Send + Sync> Meddler for Refuses<F> {
    fn request(&self, request: &mut Request) -> Fate {
        if let Some(code) = (self.0)(request) {
            request.target = format!("{NOWHERE}{}", code.name());
        }
        Fate::Pass
    }

    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        let name = request.target.strip_prefix(NOWHERE);
        if let Some(code) = name.and_then(|name| ErrorCode::ALL.iter().find(|code| code.name() == name)) {
            refuses(answer, *code);
        }
        Fate::Pass
    }
}

/// From now on, the server refuses what this says, and does nothing of it.
pub fn refuses_all(proxy: &Proxy, refusal: impl Fn(&Request) -> Option<ErrorCode> + Send + Sync + 'static) {
    proxy.meddle(Arc::new(Refuses(refusal)));
}

/// Makes an answer of a record.
pub fn says(answer: &mut Answer, record: &impl Encode<()>) {
    answer.status = 200;
    answer.body = codec::encode(record);
}

/// Makes an answer a refusal.
pub fn refuses(answer: &mut Answer, code: ErrorCode) {
    answer.status = code.status();
    answer.body = codec::encode(&ErrorBody { code, server_time: parsecd::os::clock::now(), retry_after: 0 });
}

/// Shows a safe as having these items and no others.
pub fn shows(
    request: &Request,
    answer: &mut Answer,
    safe: SafeId,
    certificates: &[Vec<u8>],
    records: &[Vec<u8>],
) {
    let from = |all: &[Vec<u8>], from: usize| {
        all.iter().skip(from).map(|bytes| bytes.clone().into()).collect::<Vec<_>>()
    };
    match asked(request, safe) {
        Some(Asked::Log(at)) => {
            let count = certificates.len() as u64;
            says(answer, &SafeLogPage { count, certificates: from(certificates, at) });
        }
        Some(Asked::Journal(at)) => {
            says(answer, &JournalPage { seq: records.len() as u64, records: from(records, at) });
        }
        _ => {}
    }
}

/// The objects in an answer.
///
/// # Panics
/// If there are none that an honest server gives.
#[must_use]
pub fn objects_in(body: &[u8]) -> Vec<(ObjectId, Vec<u8>)> {
    let (length, rest) = body.split_at(OBJECT_HEADS_LENGTH_BYTES);
    let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
    let (heads, mut rest) = rest.split_at(length);
    let heads: ObjectHeads = codec::decode(heads, OBJECT_HEADS_MAX_BYTES).unwrap();
    let mut objects = Vec::new();
    for head in heads.0 {
        let (object, behind) = rest.split_at(head.length as usize);
        objects.push((head.object, object.to_vec()));
        rest = behind;
    }
    objects
}

/// A body with these objects, with heads that fit it.
#[must_use]
pub fn body_of(objects: &[(ObjectId, Vec<u8>)]) -> Vec<u8> {
    let head = |(object, sealed): &(ObjectId, Vec<u8>)| ObjectHead {
        object: *object,
        hash: ObjectHash::of(sealed),
        length: u32::try_from(sealed.len()).unwrap(),
    };
    let mut body = ObjectHeads(objects.iter().map(head).collect()).before();
    objects.iter().for_each(|(_, sealed)| body.extend_from_slice(sealed));
    body
}
