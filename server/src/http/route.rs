//! Which call a request is: method and path, taken apart once.
//!
//! Decides the whole list of calls (docs/protocol.md, *Metadata server*). Refuses every other path
//! and every malformed id before anything is looked up. Its patterns, not the paths, go to the log:
//! paths say who enrols when. An invitation is named by its handle.

use axum::http::{Method, Uri};
use parsec_protocol::ids::{AttemptId, DeviceId, OrganisationId, UserId};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{ErrorCode, Least};
use parsec_protocol::sealing::KeyHash;

use super::directory::DirectoryCall;
use super::safes::{OneSafe, SafeCall};
use crate::install::FileName;

/// A call that needs no identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Health,
    Landing(OrganisationId),
    /// One file that is offered to newcomers, or the list of them.
    Install(Option<FileName>),
    Bootstrap(OrganisationId),
    Standing(OrganisationId),
    Invited(OrganisationId, InvitedCall),
    Member(OrganisationId, MemberCall),
}

/// A call of somebody who holds a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InvitedCall {
    Info,
    Log { from: u64, least: Least },
    Start,
    Attempt(AttemptId),
    Events(AttemptId),
    PutStep(AttemptId, u8),
    GetStep(AttemptId, u8),
    Cancel(AttemptId),
}

/// A call signed by a member's device, about invitations by their handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemberCall {
    Invitations { before: Option<u64> },
    Invite,
    Follow,
    Invitation(Hash),
    Cancel(Hash),
    Attempt(Hash, AttemptId),
    Join(Hash, AttemptId),
    PutStep(Hash, AttemptId, u8),
    GetStep(Hash, AttemptId, u8),
    CancelAttempt(Hash, AttemptId),
    Complete(Hash, AttemptId),
    Enrol,
    Publish,
    Log { from: u64, least: Least },
    Repair,
    ChangeKey,
    Root,
    AddDevice,
    Shares,
    SharesOf(DeviceId),
    Key(KeyHash),
    PutKey(KeyHash),
    GetBox(UserId, KeyHash, DeviceId),
    PutBox(UserId, KeyHash, DeviceId),
    PutPast(UserId, KeyHash),
    Manifest { least: Least },
    PutManifest,
    Directory(DirectoryCall),
    Safe(SafeCall),
}

impl MemberCall {
    /// Whether it puts back what a restore has lost: of all calls those with the largest bodies and
    /// the most signatures.
    pub(crate) const fn is_repair(&self) -> bool {
        matches!(self, Self::Repair | Self::Safe(SafeCall::One(_, OneSafe::Repair)))
    }
}

impl Route {
    /// What the log calls it.
    pub(crate) const fn pattern(&self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Landing(_) => "landing",
            Self::Install(_) => "install",
            Self::Bootstrap(_) => "bootstrap",
            Self::Standing(_) => "enrolments/standing",
            Self::Invited(_, call) => match call {
                InvitedCall::Info => "invited",
                InvitedCall::Log { .. } => "invited/log",
                InvitedCall::Start => "invited/attempts",
                InvitedCall::Attempt(_) => "invited/attempts/A",
                InvitedCall::Events(_) => "invited/attempts/A/events",
                InvitedCall::PutStep(..) | InvitedCall::GetStep(..) => "invited/attempts/A/steps/N",
                InvitedCall::Cancel(_) => "invited/attempts/A/cancel",
            },
            Self::Member(_, call) => match call {
                MemberCall::Invitations { .. } | MemberCall::Invite => "invitations",
                MemberCall::Invitation(_) => "invitations/T",
                MemberCall::Follow => "events",
                MemberCall::Cancel(_) => "invitations/T/cancel",
                MemberCall::Attempt(..) => "invitations/T/attempts/A",
                MemberCall::Join(..) => "invitations/T/attempts/A/join",
                MemberCall::PutStep(..) | MemberCall::GetStep(..) => "invitations/T/attempts/A/steps/N",
                MemberCall::CancelAttempt(..) => "invitations/T/attempts/A/cancel",
                MemberCall::Complete(..) => "invitations/T/attempts/A/complete",
                MemberCall::Enrol => "enrolments",
                MemberCall::Publish => "certificates",
                MemberCall::Log { .. } => "log",
                MemberCall::Repair => "log/repair",
                MemberCall::ChangeKey => "user-key",
                MemberCall::Root => "root",
                MemberCall::AddDevice => "devices",
                MemberCall::Shares => "shares",
                MemberCall::SharesOf(_) => "shares/KIT",
                MemberCall::Key(_) | MemberCall::PutKey(_) => "keys/K",
                MemberCall::GetBox(..) | MemberCall::PutBox(..) => "users/U/boxes/K/D",
                MemberCall::PutPast(..) => "users/U/past/K",
                MemberCall::Manifest { .. } | MemberCall::PutManifest => "manifest",
                MemberCall::Directory(call) => call.pattern(),
                MemberCall::Safe(call) => call.pattern(),
            },
        }
    }

    /// Reads method and path.
    pub(crate) fn of(method: &Method, uri: &Uri) -> Result<Self, ErrorCode> {
        let segments: Vec<&str> = uri.path().split('/').skip(1).take(SEGMENTS_MAX + 1).collect();
        match segments.as_slice() {
            ["v1", "health"] if is_read(method) => Ok(Self::Health),
            // By any method, so that whatever a mail scanner tries, it gets a page and changes
            // nothing.
            ["join", organisation] => organisation_id(organisation).map(Self::Landing),
            ["install", ""] if is_read(method) => Ok(Self::Install(None)),
            ["install", name] if is_read(method) => {
                name.parse().map(|name| Self::Install(Some(name))).map_err(|_| ErrorCode::UnknownCall)
            }
            ["v1", "organisations", organisation, rest @ ..] => {
                let route = call(method.as_str(), rest, uri.query())?;
                Ok(route(organisation_id(organisation)?))
            }
            _ => Err(ErrorCode::UnknownCall),
        }
    }
}

fn is_read(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

/// The longest path: `v1/organisations/O/invitations/T/attempts/A/steps/N`.
const SEGMENTS_MAX: usize = 9;

fn organisation_id(text: &str) -> Result<OrganisationId, ErrorCode> {
    text.parse().map_err(|_| ErrorCode::OrganisationUnknown)
}

type WithOrganisation = Box<dyn FnOnce(OrganisationId) -> Route>;

fn call(method: &str, rest: &[&str], query: Option<&str>) -> Result<WithOrganisation, ErrorCode> {
    let invited = |call| -> Result<WithOrganisation, ErrorCode> {
        Ok(Box::new(move |organisation| Route::Invited(organisation, call)))
    };
    let member = |call| -> Result<WithOrganisation, ErrorCode> {
        Ok(Box::new(move |organisation| Route::Member(organisation, call)))
    };
    let (query, least) = Least::split(query)?;
    match (method, rest) {
        ("GET", ["invited", "log"]) => return invited(InvitedCall::Log { from: from(query)?, least }),
        ("GET", ["log"]) => return member(MemberCall::Log { from: from(query)?, least }),
        ("GET", ["manifest"]) if query.is_none() => return member(MemberCall::Manifest { least }),
        (_, ["safes", rest @ ..]) => {
            return member(MemberCall::Safe(SafeCall::of(method, rest, query, least)?));
        }
        // Whatever does not grow is not read so.
        _ if least != Least::NOTHING => return Err(ErrorCode::BadRequest),
        ("GET", ["invitations"]) => {
            let before = query.map(|query| number(query, "before=")).transpose()?;
            return member(MemberCall::Invitations { before });
        }
        _ if query.is_some() => return Err(ErrorCode::BadRequest),
        _ => {}
    }
    match (method, rest) {
        ("POST", ["bootstrap"]) => Ok(Box::new(Route::Bootstrap)),
        ("POST", ["enrolments", "standing"]) => Ok(Box::new(Route::Standing)),
        ("GET", ["invited"]) => invited(InvitedCall::Info),
        ("POST", ["invited", "attempts"]) => invited(InvitedCall::Start),
        (_, ["invited", "attempts", attempt, rest @ ..]) => invited(invited_attempt(method, attempt, rest)?),
        ("POST", ["invitations"]) => member(MemberCall::Invite),
        (_, ["invitations", token, rest @ ..]) => member(invitation(method, token, rest)?),
        ("POST", ["events"]) => member(MemberCall::Follow),
        ("POST", ["enrolments"]) => member(MemberCall::Enrol),
        ("POST", ["certificates"]) => member(MemberCall::Publish),
        ("POST", ["log", "repair"]) => member(MemberCall::Repair),
        ("POST", ["user-key"]) => member(MemberCall::ChangeKey),
        (_, ["directory", rest @ ..]) => member(MemberCall::Directory(DirectoryCall::of(method, rest)?)),
        ("GET", ["root"]) => member(MemberCall::Root),
        ("POST", ["devices"]) => member(MemberCall::AddDevice),
        ("GET", ["shares"]) => member(MemberCall::Shares),
        ("GET", ["shares", kit]) => {
            member(MemberCall::SharesOf(kit.parse().map_err(|_| ErrorCode::BoxUnknown)?))
        }
        ("GET", ["keys", key]) => member(MemberCall::Key(key_hash(key)?)),
        ("PUT", ["keys", key]) => member(MemberCall::PutKey(key_hash(key)?)),
        (_, ["users", user, "boxes", key, device]) => member(key_box(method, user, key, device)?),
        ("PUT", ["users", user, "past", key]) => member(MemberCall::PutPast(box_user(user)?, key_hash(key)?)),
        ("PUT", ["manifest"]) => member(MemberCall::PutManifest),
        _ => Err(ErrorCode::UnknownCall),
    }
}

fn invited_attempt(method: &str, attempt: &str, rest: &[&str]) -> Result<InvitedCall, ErrorCode> {
    let attempt: AttemptId = attempt.parse().map_err(|_| ErrorCode::AttemptUnknown)?;
    match (method, rest) {
        ("GET", []) => Ok(InvitedCall::Attempt(attempt)),
        ("GET", ["events"]) => Ok(InvitedCall::Events(attempt)),
        ("PUT", ["steps", number]) => Ok(InvitedCall::PutStep(attempt, step(number)?)),
        ("GET", ["steps", number]) => Ok(InvitedCall::GetStep(attempt, step(number)?)),
        ("POST", ["cancel"]) => Ok(InvitedCall::Cancel(attempt)),
        _ => Err(ErrorCode::UnknownCall),
    }
}

fn invitation(method: &str, handle: &str, rest: &[&str]) -> Result<MemberCall, ErrorCode> {
    let handle: Hash = handle.parse().map_err(|_| ErrorCode::InvitationUnknown)?;
    match (method, rest) {
        ("GET", []) => Ok(MemberCall::Invitation(handle)),
        ("POST", ["cancel"]) => Ok(MemberCall::Cancel(handle)),
        (_, ["attempts", attempt, rest @ ..]) => {
            let attempt: AttemptId = attempt.parse().map_err(|_| ErrorCode::AttemptUnknown)?;
            match (method, rest) {
                ("GET", []) => Ok(MemberCall::Attempt(handle, attempt)),
                ("POST", ["join"]) => Ok(MemberCall::Join(handle, attempt)),
                ("PUT", ["steps", number]) => Ok(MemberCall::PutStep(handle, attempt, step(number)?)),
                ("GET", ["steps", number]) => Ok(MemberCall::GetStep(handle, attempt, step(number)?)),
                ("POST", ["cancel"]) => Ok(MemberCall::CancelAttempt(handle, attempt)),
                ("POST", ["complete"]) => Ok(MemberCall::Complete(handle, attempt)),
                _ => Err(ErrorCode::UnknownCall),
            }
        }
        _ => Err(ErrorCode::UnknownCall),
    }
}

fn key_hash(text: &str) -> Result<KeyHash, ErrorCode> {
    text.parse().map_err(|_| ErrorCode::KeyUnknown)
}

fn box_user(text: &str) -> Result<UserId, ErrorCode> {
    text.parse().map_err(|_| ErrorCode::BoxUnknown)
}

fn key_box(method: &str, user: &str, key: &str, device: &str) -> Result<MemberCall, ErrorCode> {
    let user = box_user(user)?;
    let (key, device) = (key_hash(key)?, device.parse().map_err(|_| ErrorCode::BoxUnknown)?);
    match method {
        "GET" => Ok(MemberCall::GetBox(user, key, device)),
        "PUT" => Ok(MemberCall::PutBox(user, key, device)),
        _ => Err(ErrorCode::UnknownCall),
    }
}

/// One decimal digit: whether there is such a step is the rules' question.
fn step(text: &str) -> Result<u8, ErrorCode> {
    match text.as_bytes() {
        [digit @ b'0'..=b'9'] => Ok(digit - b'0'),
        _ => Err(ErrorCode::StepRefused),
    }
}

pub(super) fn from(query: Option<&str>) -> Result<u64, ErrorCode> {
    query.map_or(Ok(0), |query| number(query, "from="))
}

/// The one number that a query has.
fn number(query: &str, name: &str) -> Result<u64, ErrorCode> {
    let digits = query.strip_prefix(name).ok_or(ErrorCode::BadRequest)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ErrorCode::BadRequest);
    }
    digits.parse().map_err(|_| ErrorCode::BadRequest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use parsec_protocol::ids::Token;
    use parsec_protocol::relay::{self, path};

    const NOTHING: Least = Least::NOTHING;

    fn of(method: Method, target: &str) -> Result<Route, ErrorCode> {
        Route::of(&method, &target.parse().unwrap())
    }

    #[test]
    fn the_paths_of_the_protocol_are_the_calls_of_the_server() {
        let org: OrganisationId = "acme".parse().unwrap();
        let (token, attempt) = (Token::from_bytes([1; 16]), AttemptId::from_bytes([2; 16]));
        let handle = relay::handle(&token);
        let (user, device) = (UserId::from_bytes([3; 16]), DeviceId::from_bytes([4; 16]));
        let key = KeyHash::from_bytes([5; 32]);
        let key_box = path::key_box(&org, &user, &key, &device);
        let invited = path::invited_attempt(&org, &attempt);
        let greeter = path::greeter_attempt(&org, &token, &attempt);
        let mine = |call| Ok(Route::Invited(org.clone(), call));
        let members = |call| Ok(Route::Member(org.clone(), call));
        let cases = [
            (Method::GET, path::HEALTH.to_owned(), Ok(Route::Health)),
            (Method::POST, path::bootstrap(&org), Ok(Route::Bootstrap(org.clone()))),
            (Method::GET, path::invited(&org), mine(InvitedCall::Info)),
            (
                Method::GET,
                path::invited_log(&org, 7, NOTHING),
                mine(InvitedCall::Log { from: 7, least: NOTHING }),
            ),
            (
                Method::GET,
                path::invited_log(&org, 7, Least(9)),
                mine(InvitedCall::Log { from: 7, least: Least(9) }),
            ),
            (Method::POST, path::invited_attempts(&org), mine(InvitedCall::Start)),
            (Method::GET, path::root(&org), members(MemberCall::Root)),
            (Method::POST, path::devices(&org), members(MemberCall::AddDevice)),
            (Method::GET, path::shares(&org), members(MemberCall::Shares)),
            (Method::GET, path::shares_of(&org, &device), members(MemberCall::SharesOf(device))),
            (Method::GET, invited.clone(), mine(InvitedCall::Attempt(attempt))),
            (Method::GET, path::events(&invited), mine(InvitedCall::Events(attempt))),
            (Method::PUT, path::step(&invited, 8), mine(InvitedCall::PutStep(attempt, 8))),
            (Method::GET, path::step(&invited, 7), mine(InvitedCall::GetStep(attempt, 7))),
            (Method::POST, path::cancel(&invited), mine(InvitedCall::Cancel(attempt))),
            (Method::GET, path::invitations(&org), members(MemberCall::Invitations { before: None })),
            (
                Method::GET,
                path::invitations_before(&org, 7),
                members(MemberCall::Invitations { before: Some(7) }),
            ),
            (Method::POST, path::invitations(&org), members(MemberCall::Invite)),
            (Method::GET, path::invitation(&org, &token), members(MemberCall::Invitation(handle))),
            (Method::POST, path::device_events(&org), members(MemberCall::Follow)),
            (
                Method::POST,
                path::cancel(&path::invitation(&org, &token)),
                members(MemberCall::Cancel(handle)),
            ),
            (Method::GET, greeter.clone(), members(MemberCall::Attempt(handle, attempt))),
            (Method::POST, path::join(&greeter), members(MemberCall::Join(handle, attempt))),
            (Method::PUT, path::step(&greeter, 1), members(MemberCall::PutStep(handle, attempt, 1))),
            (Method::GET, path::step(&greeter, 0), members(MemberCall::GetStep(handle, attempt, 0))),
            (Method::POST, path::cancel(&greeter), members(MemberCall::CancelAttempt(handle, attempt))),
            (Method::POST, path::complete(&greeter), members(MemberCall::Complete(handle, attempt))),
            (Method::POST, path::enrolments(&org), members(MemberCall::Enrol)),
            (Method::POST, path::standing(&org), Ok(Route::Standing(org.clone()))),
            (Method::POST, path::certificates(&org), members(MemberCall::Publish)),
            (Method::GET, path::log(&org, 0, NOTHING), members(MemberCall::Log { from: 0, least: NOTHING })),
            (
                Method::GET,
                path::log(&org, 7, Least(9)),
                members(MemberCall::Log { from: 7, least: Least(9) }),
            ),
            (Method::GET, path::manifest(&org), members(MemberCall::Manifest { least: NOTHING })),
            (
                Method::GET,
                Least(2).on(path::manifest(&org)),
                members(MemberCall::Manifest { least: Least(2) }),
            ),
            (Method::PUT, path::manifest(&org), members(MemberCall::PutManifest)),
            (Method::POST, path::log_repair(&org), members(MemberCall::Repair)),
            (Method::POST, path::user_key(&org), members(MemberCall::ChangeKey)),
            (Method::POST, path::directory_key(&org), members(MemberCall::Directory(DirectoryCall::Change))),
            (Method::GET, path::key(&org, &key), members(MemberCall::Key(key))),
            (Method::PUT, path::key(&org, &key), members(MemberCall::PutKey(key))),
            (Method::GET, key_box.clone(), members(MemberCall::GetBox(user, key, device))),
            (Method::PUT, key_box, members(MemberCall::PutBox(user, key, device))),
            (Method::PUT, path::past_box(&org, &user, &key), members(MemberCall::PutPast(user, key))),
            (Method::HEAD, "/join/acme".to_owned(), Ok(Route::Landing(org.clone()))),
            (Method::GET, "/install/".to_owned(), Ok(Route::Install(None))),
            (
                Method::HEAD,
                "/install/parsec_1_amd64.deb".to_owned(),
                Ok(Route::Install(Some("parsec_1_amd64.deb".parse().unwrap()))),
            ),
        ];
        for (method, target, expected) in cases {
            assert_eq!(of(method, &target), expected, "{target}");
            // Proxies write paths down: what admits to the relay stands in none.
            assert!(!target.contains(&token.to_string()), "{target}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for (method, target, expected) in [
            (Method::GET, "/", ErrorCode::UnknownCall),
            (Method::DELETE, "/v1/health", ErrorCode::UnknownCall),
            (Method::GET, "/v1/organisations/acme", ErrorCode::UnknownCall),
            (Method::GET, "/v1/organisations/acme/log/", ErrorCode::UnknownCall),
            (Method::GET, "/v1/organisations/acme/certificates", ErrorCode::UnknownCall),
            (Method::GET, "/v1/organisations/acme/enrolments", ErrorCode::UnknownCall),
            (Method::POST, "/v1/organisations/acme/enrolments/standing/x", ErrorCode::UnknownCall),
            (Method::POST, "/v1/organisations/acme/enrolments?from=1", ErrorCode::BadRequest),
            (Method::GET, "/v1/organisations/A/log", ErrorCode::OrganisationUnknown),
            (Method::GET, "/v1/organisations/%61cme/log", ErrorCode::OrganisationUnknown),
            (Method::GET, "/v1/organisations/acme/log?from=-1", ErrorCode::BadRequest),
            (Method::GET, "/v1/organisations/acme/log?from=+1", ErrorCode::BadRequest),
            (Method::GET, "/v1/organisations/acme/log?from=1&from=2", ErrorCode::BadRequest),
            (Method::GET, "/v1/organisations/acme/log?from=99999999999999999999", ErrorCode::BadRequest),
            (Method::GET, "/v1/organisations/acme/log?from=1&least=0", ErrorCode::BadRequest),
            (Method::GET, "/v1/organisations/acme/log?from=1&least=2&least=3", ErrorCode::BadRequest),
            (Method::GET, "/v1/organisations/acme/log?least=2&from=1", ErrorCode::BadRequest),
            (Method::GET, "/v1/organisations/acme/manifest?from=1", ErrorCode::BadRequest),
            (Method::GET, "/v1/organisations/acme/manifest?from=1&least=2", ErrorCode::BadRequest),
            (Method::PUT, "/v1/organisations/acme/manifest?least=2", ErrorCode::BadRequest),
            (Method::GET, "/v1/organisations/acme/invitations?least=2", ErrorCode::BadRequest),
            (Method::GET, "/v1/organisations/acme/invitations?before=1&least=2", ErrorCode::BadRequest),
            (Method::GET, "/v1/organisations/acme/invitations?x", ErrorCode::BadRequest),
            (Method::GET, "/v1/organisations/acme/invitations?before=", ErrorCode::BadRequest),
            (Method::GET, "/v1/organisations/acme/invitations?from=1", ErrorCode::BadRequest),
            (Method::POST, "/v1/organisations/acme/invitations?before=1", ErrorCode::BadRequest),
            (Method::GET, "/v1/organisations/acme/invitations/xyz", ErrorCode::InvitationUnknown),
            (
                Method::GET,
                "/v1/organisations/acme/invitations/01010101010101010101010101010101",
                ErrorCode::InvitationUnknown,
            ),
            (Method::GET, "/v1/organisations/acme/user-key", ErrorCode::UnknownCall),
            (Method::GET, "/v1/organisations/acme/directory", ErrorCode::UnknownCall),
            (Method::GET, "/v1/organisations/acme/directory/rings/x", ErrorCode::RingMissing),
            (Method::PUT, "/v1/organisations/acme/directory/boxes/+2/x", ErrorCode::BoxUnknown),
            (Method::GET, "/v1/organisations/acme/keys", ErrorCode::UnknownCall),
            (Method::GET, "/v1/organisations/acme/keys/05", ErrorCode::KeyUnknown),
            (Method::PUT, "/v1/organisations/acme/shares", ErrorCode::UnknownCall),
            (Method::GET, "/v1/organisations/acme/shares/x", ErrorCode::BoxUnknown),
            (Method::GET, "/v1/organisations/acme/users/x/boxes/y/z", ErrorCode::BoxUnknown),
            (Method::GET, "/v1/organisations/acme/users/x/boxes/y", ErrorCode::UnknownCall),
            (Method::GET, "/v1/organisations/acme/users/x/past/y", ErrorCode::UnknownCall),
            (Method::PUT, "/v1/organisations/acme/users/x/past/y", ErrorCode::BoxUnknown),
            (Method::GET, "/join/ACME", ErrorCode::OrganisationUnknown),
            (Method::GET, "/join/acme/x", ErrorCode::UnknownCall),
            (Method::POST, "/install/", ErrorCode::UnknownCall),
            (Method::PUT, "/install/parsec_1_amd64.deb", ErrorCode::UnknownCall),
            (Method::GET, "/install", ErrorCode::UnknownCall),
            (Method::GET, "/install/../db.sqlite", ErrorCode::UnknownCall),
            (Method::GET, "/install/%2e%2e%2fdb.sqlite", ErrorCode::UnknownCall),
            (Method::GET, "/install//etc/passwd", ErrorCode::UnknownCall),
            (Method::GET, "/install/a/b.deb", ErrorCode::UnknownCall),
            (Method::GET, "/install/.x.deb", ErrorCode::UnknownCall),
            (Method::GET, "/install/page.html", ErrorCode::UnknownCall),
        ] {
            assert_eq!(of(method, target), Err(expected), "{target}");
        }
    }
}
