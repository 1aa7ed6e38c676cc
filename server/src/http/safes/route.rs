//! Calls about safes: method and path behind `safes`, taken apart once.
//!
//! Decides the list of these calls and the most that the body of each may have. Refuses a malformed
//! id before anything is looked up, with the answer for one that isn't there.

use parsec_protocol::ids::{SafeId, UserId};
use parsec_protocol::limits::RING_PART_MAX_BYTES;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{
    ErrorCode, Least, NEW_SAFE_MAX_BYTES, OBJECT_FETCH_MAX, OBJECT_MISSING_MAX, OBJECTS_MAX_BYTES,
    RECORD_CALL_MAX_BYTES, SAFE_CERTIFICATE_CALL_MAX_BYTES, SAFE_REPAIR_MAX_BYTES,
};
use parsec_protocol::sealing::SECRET_BOX_BYTES;

use super::super::route::from;

/// Bytes of an encoded id.
const ID_BYTES: usize = 17;
/// A record with one number.
const NUMBER_CALL_BYTES: usize = 1 + 9;
/// Framing of a list of ids, and of the record around it.
const IDS_FRAME_BYTES: usize = 8;

/// A call about safes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SafeCall {
    /// The caller's safes behind this one.
    List {
        after: Option<SafeId>,
    },
    Create,
    One(SafeId, OneSafe),
}

/// A call about one safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OneSafe {
    Log { from: u64, least: Least },
    Append,
    Ring(Hash),
    Part(Hash),
    PutPart(Hash),
    Boxes(u64, UserId),
    PutBox(u64, UserId),
    Journal { from: u64, least: Least },
    Post,
    PutObjects,
    Missing,
    Lengths,
    Added,
    Fetch,
    Usage,
    Room,
    Repair,
}

impl SafeCall {
    /// What the log calls it.
    pub(crate) const fn pattern(&self) -> &'static str {
        match self {
            Self::List { .. } | Self::Create => "safes",
            Self::One(_, call) => match call {
                OneSafe::Log { .. } | OneSafe::Append => "safes/S/log",
                OneSafe::Ring(_) => "safes/S/rings/H",
                OneSafe::Part(_) | OneSafe::PutPart(_) => "safes/S/parts/H",
                OneSafe::Boxes(..) | OneSafe::PutBox(..) => "safes/S/boxes/E/U",
                OneSafe::Journal { .. } | OneSafe::Post => "safes/S/journal",
                OneSafe::PutObjects => "safes/S/objects",
                OneSafe::Missing => "safes/S/objects/missing",
                OneSafe::Lengths => "safes/S/objects/lengths",
                OneSafe::Added => "safes/S/objects/added",
                OneSafe::Fetch => "safes/S/objects/fetch",
                OneSafe::Usage => "safes/S/usage",
                OneSafe::Room => "safes/S/room",
                OneSafe::Repair => "safes/S/repair",
            },
        }
    }

    /// The most that its body may have, in bytes.
    pub(crate) const fn body_max(&self) -> usize {
        match self {
            Self::Create => NEW_SAFE_MAX_BYTES,
            Self::List { .. } => 0,
            Self::One(_, call) => match call {
                OneSafe::Append => SAFE_CERTIFICATE_CALL_MAX_BYTES,
                OneSafe::PutPart(_) => RING_PART_MAX_BYTES,
                OneSafe::PutBox(..) => SECRET_BOX_BYTES,
                OneSafe::Post => RECORD_CALL_MAX_BYTES,
                OneSafe::PutObjects => OBJECTS_MAX_BYTES,
                OneSafe::Missing | OneSafe::Lengths => OBJECT_MISSING_MAX * ID_BYTES + IDS_FRAME_BYTES,
                OneSafe::Added | OneSafe::Room => NUMBER_CALL_BYTES,
                OneSafe::Fetch => OBJECT_FETCH_MAX * ID_BYTES + IDS_FRAME_BYTES,
                OneSafe::Repair => SAFE_REPAIR_MAX_BYTES,
                OneSafe::Log { .. }
                | OneSafe::Ring(_)
                | OneSafe::Part(_)
                | OneSafe::Boxes(..)
                | OneSafe::Journal { .. }
                | OneSafe::Usage => 0,
            },
        }
    }

    /// Whether it would put something new at the end of a log: a safe's items name places of the
    /// organisation's log, of which a restore may have taken off the end.
    pub(crate) const fn enters_a_log(&self) -> bool {
        match self {
            Self::Create => true,
            Self::List { .. } => false,
            Self::One(_, call) => match call {
                OneSafe::Append | OneSafe::Post => true,
                OneSafe::Log { .. }
                | OneSafe::Ring(_)
                | OneSafe::Part(_)
                | OneSafe::PutPart(_)
                | OneSafe::Boxes(..)
                | OneSafe::PutBox(..)
                | OneSafe::Journal { .. }
                | OneSafe::PutObjects
                | OneSafe::Missing
                | OneSafe::Lengths
                | OneSafe::Added
                | OneSafe::Fetch
                | OneSafe::Usage
                | OneSafe::Room
                | OneSafe::Repair => false,
            },
        }
    }

    /// Reads what stands behind `safes`; `least` was taken off the query's end.
    pub(crate) fn of(
        method: &str,
        rest: &[&str],
        query: Option<&str>,
        least: Least,
    ) -> Result<Self, ErrorCode> {
        match (method, rest) {
            ("GET", [safe, "log"]) => {
                return Ok(Self::One(safe_id(safe)?, OneSafe::Log { from: from(query)?, least }));
            }
            ("GET", [safe, "journal"]) => {
                return Ok(Self::One(safe_id(safe)?, OneSafe::Journal { from: from(query)?, least }));
            }
            // Whatever does not grow is not read so.
            _ if least != Least::NOTHING => return Err(ErrorCode::BadRequest),
            ("GET", []) => return Ok(Self::List { after: query.map(after).transpose()? }),
            _ if query.is_some() => return Err(ErrorCode::BadRequest),
            _ => {}
        }
        match (method, rest) {
            ("POST", []) => Ok(Self::Create),
            (_, [safe, rest @ ..]) => Ok(Self::One(safe_id(safe)?, one(method, rest)?)),
            (_, []) => Err(ErrorCode::UnknownCall),
        }
    }
}

fn safe_id(text: &str) -> Result<SafeId, ErrorCode> {
    text.parse().map_err(|_| ErrorCode::SafeUnknown)
}

fn after(query: &str) -> Result<SafeId, ErrorCode> {
    let id = query.strip_prefix("after=").ok_or(ErrorCode::BadRequest)?;
    id.parse().map_err(|_| ErrorCode::BadRequest)
}

fn ring_hash(text: &str) -> Result<Hash, ErrorCode> {
    text.parse().map_err(|_| ErrorCode::RingMissing)
}

/// An epoch in its one spelling, and a member.
fn of_box(epoch: &str, user: &str) -> Result<(u64, UserId), ErrorCode> {
    let number: u64 = epoch.parse().map_err(|_| ErrorCode::BoxUnknown)?;
    let user = user.parse().map_err(|_| ErrorCode::BoxUnknown)?;
    if number.to_string() == epoch { Ok((number, user)) } else { Err(ErrorCode::BoxUnknown) }
}

fn one(method: &str, rest: &[&str]) -> Result<OneSafe, ErrorCode> {
    match (method, rest) {
        ("POST", ["log"]) => Ok(OneSafe::Append),
        ("GET", ["rings", ring]) => Ok(OneSafe::Ring(ring_hash(ring)?)),
        ("GET", ["parts", part]) => Ok(OneSafe::Part(ring_hash(part)?)),
        ("PUT", ["parts", part]) => Ok(OneSafe::PutPart(ring_hash(part)?)),
        ("GET", ["boxes", epoch, user]) => {
            of_box(epoch, user).map(|(epoch, user)| OneSafe::Boxes(epoch, user))
        }
        ("PUT", ["boxes", epoch, user]) => {
            of_box(epoch, user).map(|(epoch, user)| OneSafe::PutBox(epoch, user))
        }
        ("POST", ["journal"]) => Ok(OneSafe::Post),
        ("PUT", ["objects"]) => Ok(OneSafe::PutObjects),
        ("POST", ["objects", "missing"]) => Ok(OneSafe::Missing),
        ("POST", ["objects", "lengths"]) => Ok(OneSafe::Lengths),
        ("POST", ["objects", "added"]) => Ok(OneSafe::Added),
        ("POST", ["objects", "fetch"]) => Ok(OneSafe::Fetch),
        ("GET", ["usage"]) => Ok(OneSafe::Usage),
        ("POST", ["room"]) => Ok(OneSafe::Room),
        ("POST", ["repair"]) => Ok(OneSafe::Repair),
        _ => Err(ErrorCode::UnknownCall),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use parsec_protocol::ids::OrganisationId;
    use parsec_protocol::relay::path;

    use super::super::super::route::{MemberCall, Route};
    use super::*;

    const NOTHING: Least = Least::NOTHING;

    fn of(method: Method, target: &str) -> Result<Route, ErrorCode> {
        Route::of(&method, &target.parse().unwrap())
    }

    #[test]
    fn the_paths_of_the_protocol_are_the_calls_of_the_server() {
        let org: OrganisationId = "acme".parse().unwrap();
        let (safe, user) = (SafeId::from_bytes([1; 16]), UserId::from_bytes([2; 16]));
        let (hash, least) = (Hash::from_bytes([3; 32]), Least(9));
        let one = |call| SafeCall::One(safe, call);
        let log = |least| path::safe_log_page(&org, &safe, 7, least);
        let a_box = path::safe_box(&org, &safe, 4, &user);
        let part = path::safe_part(&org, &safe, &hash);
        for (method, target, call) in [
            (Method::GET, path::safes(&org), SafeCall::List { after: None }),
            (Method::GET, path::safes_after(&org, &safe), SafeCall::List { after: Some(safe) }),
            (Method::POST, path::safes(&org), SafeCall::Create),
            (Method::GET, log(NOTHING), one(OneSafe::Log { from: 7, least: NOTHING })),
            (Method::GET, log(least), one(OneSafe::Log { from: 7, least })),
            (Method::POST, path::safe_log(&org, &safe), one(OneSafe::Append)),
            (Method::GET, path::safe_ring(&org, &safe, &hash), one(OneSafe::Ring(hash))),
            (Method::GET, part.clone(), one(OneSafe::Part(hash))),
            (Method::PUT, part, one(OneSafe::PutPart(hash))),
            (Method::GET, a_box.clone(), one(OneSafe::Boxes(4, user))),
            (Method::PUT, a_box, one(OneSafe::PutBox(4, user))),
            (
                Method::GET,
                path::safe_journal_page(&org, &safe, 7, least),
                one(OneSafe::Journal { from: 7, least }),
            ),
            (Method::POST, path::safe_journal(&org, &safe), one(OneSafe::Post)),
            (Method::PUT, path::safe_objects(&org, &safe), one(OneSafe::PutObjects)),
            (Method::POST, path::safe_objects_missing(&org, &safe), one(OneSafe::Missing)),
            (Method::POST, path::safe_objects_lengths(&org, &safe), one(OneSafe::Lengths)),
            (Method::POST, path::safe_objects_added(&org, &safe), one(OneSafe::Added)),
            (Method::POST, path::safe_objects_fetch(&org, &safe), one(OneSafe::Fetch)),
            (Method::GET, path::safe_usage(&org, &safe), one(OneSafe::Usage)),
            (Method::POST, path::safe_room(&org, &safe), one(OneSafe::Room)),
            (Method::POST, path::safe_repair(&org, &safe), one(OneSafe::Repair)),
        ] {
            let expected = Route::Member(org.clone(), MemberCall::Safe(call));
            assert_eq!(of(method, &target), Ok(expected), "{target}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let base = format!("/v1/organisations/acme/safes/{}", SafeId::from_bytes([1; 16]));
        let (user, hash) = (UserId::from_bytes([2; 16]), Hash::from_bytes([3; 32]));
        for (method, target, code) in [
            (Method::GET, format!("{base}/boxes/04/{user}"), ErrorCode::BoxUnknown),
            (Method::GET, format!("{base}/boxes/+4/{user}"), ErrorCode::BoxUnknown),
            (Method::GET, format!("{base}/boxes/4/xyz"), ErrorCode::BoxUnknown),
            (Method::GET, format!("{base}/parts/xyz"), ErrorCode::RingMissing),
            (Method::GET, format!("{base}/objects"), ErrorCode::UnknownCall),
            (Method::GET, base.clone(), ErrorCode::UnknownCall),
            (Method::POST, format!("{base}/journal?from=1"), ErrorCode::BadRequest),
            (Method::GET, format!("{base}/journal?from=1&least=0"), ErrorCode::BadRequest),
            (Method::GET, format!("{base}/rings/{hash}?least=2"), ErrorCode::BadRequest),
            (Method::GET, "/v1/organisations/acme/safes?after=xyz".to_owned(), ErrorCode::BadRequest),
            (Method::GET, "/v1/organisations/acme/safes?from=1".to_owned(), ErrorCode::BadRequest),
            (Method::GET, "/v1/organisations/acme/safes/xyz/log".to_owned(), ErrorCode::SafeUnknown),
            (Method::PUT, "/v1/organisations/acme/safes".to_owned(), ErrorCode::UnknownCall),
        ] {
            assert_eq!(of(method, &target), Err(code), "{target}");
        }
    }
}
