//! The paths, built in one place for both sides. `{org}`, `{attempt}`, … are filled by the
//! functions' arguments.
//!
//! Decides what stands in a path and in a query. Refuses whatever admits to something, a token say:
//! no path holds any, because proxies write paths down.

use super::{API_PREFIX, Least};
use crate::ids::{AttemptId, DeviceId, OrganisationId, SafeId, Token, UserId};
use crate::public_keys::Hash;
use crate::sealing::KeyHash;

/// POST, anonymous: [`super::BootstrapRequest`].
#[must_use]
pub fn bootstrap(org: &OrganisationId) -> String {
    format!("{API_PREFIX}/organisations/{org}/bootstrap")
}
/// GET, invited: [`super::InvitedInfo`].
#[must_use]
pub fn invited(org: &OrganisationId) -> String {
    format!("{API_PREFIX}/organisations/{org}/invited")
}
/// GET, invited: certificates from position `from` (0 first), at most one page:
/// [`super::LogPage`].
/// With the [`super::Least`] count that the reader knows.
#[must_use]
pub fn invited_log(org: &OrganisationId, from: u64, least: Least) -> String {
    least.on(format!("{API_PREFIX}/organisations/{org}/invited/log?from={from}"))
}
/// POST, invited: [`super::StartAttempt`] → [`super::AttemptView`].
#[must_use]
pub fn invited_attempts(org: &OrganisationId) -> String {
    format!("{API_PREFIX}/organisations/{org}/invited/attempts")
}
/// GET, invited + attempt secret: [`super::AttemptView`]. With `/events`: the stream of it.
#[must_use]
pub fn invited_attempt(org: &OrganisationId, attempt: &AttemptId) -> String {
    format!("{API_PREFIX}/organisations/{org}/invited/attempts/{attempt}")
}
/// GET and POST, authenticated: [`super::InvitationList`]; [`super::NewInvitation`] →
/// [`super::InvitationMade`].
#[must_use]
pub fn invitations(org: &OrganisationId) -> String {
    format!("{API_PREFIX}/organisations/{org}/invitations")
}
/// GET, authenticated: the page of [`super::InvitationList`] that a page before it named.
#[must_use]
pub fn invitations_before(org: &OrganisationId, before: u64) -> String {
    format!("{API_PREFIX}/organisations/{org}/invitations?before={before}")
}
/// GET, authenticated: [`super::InvitationView`]. POST with `/cancel`: no body.
#[must_use]
pub fn invitation(org: &OrganisationId, token: &Token) -> String {
    format!("{API_PREFIX}/organisations/{org}/invitations/{}", super::handle(token))
}
/// GET, authenticated: [`super::AttemptView`]; POST with `/join`: no body →
/// [`super::AttemptView`]; POST with `/complete`: [`super::Completion`] → [`super::Completed`].
#[must_use]
pub fn greeter_attempt(org: &OrganisationId, token: &Token, attempt: &AttemptId) -> String {
    format!("{}/attempts/{attempt}", invitation(org, token))
}
/// Under either side's attempt path. PUT: the step's bytes as the body, `204`. GET: the bytes,
/// or `not_yet`.
#[must_use]
pub fn step(attempt_path: &str, step: u8) -> String {
    format!("{attempt_path}/steps/{step}")
}
/// Under either side's attempt path, POST: [`super::CancelAttempt`].
#[must_use]
pub fn cancel(base: &str) -> String {
    format!("{base}/cancel")
}
/// Under an attempt's or invitation's path, GET: `text/event-stream`.
#[must_use]
pub fn events(base: &str) -> String {
    format!("{base}/events")
}
/// Under the greeter's attempt path, POST.
#[must_use]
pub fn join(attempt_path: &str) -> String {
    format!("{attempt_path}/join")
}
/// Under the greeter's attempt path, POST.
#[must_use]
pub fn complete(attempt_path: &str) -> String {
    format!("{attempt_path}/complete")
}
/// GET, authenticated: certificates from position `from`: [`super::LogPage`]. With the
/// [`super::Least`] count that the reader knows.
#[must_use]
pub fn log(org: &OrganisationId, from: u64, least: Least) -> String {
    least.on(format!("{API_PREFIX}/organisations/{org}/log?from={from}"))
}
/// POST, authenticated: [`super::LogRepair`] → [`super::LogRepaired`].
#[must_use]
pub fn log_repair(org: &OrganisationId) -> String {
    format!("{API_PREFIX}/organisations/{org}/log/repair")
}
/// POST, authenticated: [`super::Follow`] → the event stream of the calling device.
#[must_use]
pub fn device_events(org: &OrganisationId) -> String {
    format!("{API_PREFIX}/organisations/{org}/events")
}
/// GET, with the [`super::Least`] version that the reader knows, and PUT, authenticated:
/// [`super::ManifestView`]; [`super::ManifestUpload`].
#[must_use]
pub fn manifest(org: &OrganisationId) -> String {
    format!("{API_PREFIX}/organisations/{org}/manifest")
}
/// POST, authenticated: [`super::DirectEnrolment`] → [`super::Completed`].
#[must_use]
pub fn enrolments(org: &OrganisationId) -> String {
    format!("{API_PREFIX}/organisations/{org}/enrolments")
}
/// POST, anonymous: [`super::StandingQuestion`] → [`super::Standing`].
#[must_use]
pub fn standing(org: &OrganisationId) -> String {
    format!("{API_PREFIX}/organisations/{org}/enrolments/standing")
}
/// POST, authenticated: [`super::NewCertificate`] → [`super::Completed`].
#[must_use]
pub fn certificates(org: &OrganisationId) -> String {
    format!("{API_PREFIX}/organisations/{org}/certificates")
}
/// POST, authenticated: [`super::UserKeyChange`] → [`super::Completed`].
#[must_use]
pub fn user_key(org: &OrganisationId) -> String {
    format!("{API_PREFIX}/organisations/{org}/user-key")
}

/// GET, authenticated: [`super::RootKey`].
#[must_use]
pub fn root(org: &OrganisationId) -> String {
    format!("{API_PREFIX}/organisations/{org}/root")
}

/// POST, authenticated: [`super::NewOwnDevice`] → [`super::Completed`].
#[must_use]
pub fn devices(org: &OrganisationId) -> String {
    format!("{API_PREFIX}/organisations/{org}/devices")
}
/// GET, authenticated: [`super::SplitKits`].
#[must_use]
pub fn shares(org: &OrganisationId) -> String {
    format!("{API_PREFIX}/organisations/{org}/shares")
}
/// GET, authenticated: [`super::SharesView`].
#[must_use]
pub fn shares_of(org: &OrganisationId, kit: &DeviceId) -> String {
    format!("{API_PREFIX}/organisations/{org}/shares/{kit}")
}
/// GET and PUT, authenticated: an [`EncryptionKey`](crate::sealing::EncryptionKey).
#[must_use]
pub fn key(org: &OrganisationId, key: &KeyHash) -> String {
    format!("{API_PREFIX}/organisations/{org}/keys/{key}")
}
/// GET and PUT, authenticated: [`super::KeyBox`]; [`super::KeyBoxUpload`].
#[must_use]
pub fn key_box(org: &OrganisationId, user: &UserId, key: &KeyHash, device: &DeviceId) -> String {
    format!("{API_PREFIX}/organisations/{org}/users/{user}/boxes/{key}/{device}")
}
/// PUT, authenticated: [`super::KeyBoxUpload`], with the seed before this key.
#[must_use]
pub fn past_box(org: &OrganisationId, user: &UserId, key: &KeyHash) -> String {
    format!("{API_PREFIX}/organisations/{org}/users/{user}/past/{key}")
}
/// POST, authenticated: [`super::DirectoryKeyChange`] → [`super::Completed`].
#[must_use]
pub fn directory_key(org: &OrganisationId) -> String {
    format!("{API_PREFIX}/organisations/{org}/directory")
}
/// GET, authenticated: the head of a directory key's ring, as octets.
#[must_use]
pub fn directory_ring(org: &OrganisationId, ring: &Hash) -> String {
    format!("{API_PREFIX}/organisations/{org}/directory/rings/{ring}")
}
/// PUT and GET, authenticated: a part of a directory key's ring, as octets.
#[must_use]
pub fn directory_part(org: &OrganisationId, part: &Hash) -> String {
    format!("{API_PREFIX}/organisations/{org}/directory/parts/{part}")
}
/// PUT and GET, authenticated: a box with a directory key, as octets; [`super::PostedBoxes`].
#[must_use]
pub fn directory_box(org: &OrganisationId, number: u32, user: &UserId) -> String {
    format!("{API_PREFIX}/organisations/{org}/directory/boxes/{number}/{user}")
}
/// GET, authenticated: [`super::SafeList`]. POST: [`super::NewSafe`] → [`super::SafeLogged`].
#[must_use]
pub fn safes(org: &OrganisationId) -> String {
    format!("{API_PREFIX}/organisations/{org}/safes")
}
/// GET, authenticated: the page of [`super::SafeList`] that a page before it named.
#[must_use]
pub fn safes_after(org: &OrganisationId, after: &SafeId) -> String {
    format!("{API_PREFIX}/organisations/{org}/safes?after={after}")
}
/// POST, authenticated: [`super::SafeCertificate`] → [`super::SafeLogged`].
#[must_use]
pub fn safe_log(org: &OrganisationId, safe: &SafeId) -> String {
    format!("{}/log", one_safe(org, safe))
}
/// GET, authenticated: certificates from position `from` (0 first): a [`super::SafeLogPage`]. With
/// the [`super::Least`] count that the reader knows.
#[must_use]
pub fn safe_log_page(org: &OrganisationId, safe: &SafeId, from: u64, least: Least) -> String {
    least.on(format!("{}?from={from}", safe_log(org, safe)))
}
/// GET, authenticated: the encoding of a ring's head, by its hash.
#[must_use]
pub fn safe_ring(org: &OrganisationId, safe: &SafeId, ring: &Hash) -> String {
    format!("{}/rings/{ring}", one_safe(org, safe))
}
/// GET and PUT, authenticated: a part of a ring, or a block of past keys, by SHA-256 of its bytes,
/// which are the body.
#[must_use]
pub fn safe_part(org: &OrganisationId, safe: &SafeId, part: &Hash) -> String {
    format!("{}/parts/{part}", one_safe(org, safe))
}
/// PUT, authenticated: a box, which is the body. GET: [`super::PostedBoxes`].
#[must_use]
pub fn safe_box(org: &OrganisationId, safe: &SafeId, epoch: u64, user: &UserId) -> String {
    format!("{}/boxes/{epoch}/{user}", one_safe(org, safe))
}
/// POST, authenticated: [`super::NewRecord`] → [`super::RecordAnswer`].
#[must_use]
pub fn safe_journal(org: &OrganisationId, safe: &SafeId) -> String {
    format!("{}/journal", one_safe(org, safe))
}
/// GET, authenticated: records behind the first `from`: a [`super::JournalPage`]. With the
/// [`super::Least`] number of records that the reader knows.
#[must_use]
pub fn safe_journal_page(org: &OrganisationId, safe: &SafeId, from: u64, least: Least) -> String {
    least.on(format!("{}?from={from}", safe_journal(org, safe)))
}
/// PUT, authenticated, with [`super::ObjectHeads::signed_hash`] as the body's: objects.
#[must_use]
pub fn safe_objects(org: &OrganisationId, safe: &SafeId) -> String {
    format!("{}/objects", one_safe(org, safe))
}
/// POST, authenticated: [`super::ObjectIds`] → those of them that are not there.
#[must_use]
pub fn safe_objects_missing(org: &OrganisationId, safe: &SafeId) -> String {
    format!("{}/missing", safe_objects(org, safe))
}
/// POST, authenticated: [`super::ObjectIds`] → [`super::ObjectLengths`].
#[must_use]
pub fn safe_objects_lengths(org: &OrganisationId, safe: &SafeId) -> String {
    format!("{}/lengths", safe_objects(org, safe))
}
/// POST, authenticated: [`super::AddedBy`] → 204.
#[must_use]
pub fn safe_objects_added(org: &OrganisationId, safe: &SafeId) -> String {
    format!("{}/added", safe_objects(org, safe))
}
/// GET, authenticated: [`super::SafeTotals`].
#[must_use]
pub fn safe_usage(org: &OrganisationId, safe: &SafeId) -> String {
    format!("{}/usage", one_safe(org, safe))
}
/// POST, authenticated: [`super::RoomWanted`] → [`super::SafeRoom`]
#[must_use]
pub fn safe_room(org: &OrganisationId, safe: &SafeId) -> String {
    format!("{}/room", one_safe(org, safe))
}
/// POST, authenticated: [`super::ObjectIds`] → objects.
#[must_use]
pub fn safe_objects_fetch(org: &OrganisationId, safe: &SafeId) -> String {
    format!("{}/fetch", safe_objects(org, safe))
}
/// POST, authenticated: [`super::SafeRepair`] → [`super::SafeRepaired`].
#[must_use]
pub fn safe_repair(org: &OrganisationId, safe: &SafeId) -> String {
    format!("{}/repair", one_safe(org, safe))
}

fn one_safe(org: &OrganisationId, safe: &SafeId) -> String {
    format!("{}/{safe}", safes(org))
}
/// GET, anonymous: `204` while the server serves.
pub const HEALTH: &str = "/v1/health";
