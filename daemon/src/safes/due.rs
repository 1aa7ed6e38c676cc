//! What a safe needs of its members' devices by itself: a key that is due, and a witness of what
//! happened in the organisation.
//!
//! Decides who does it when: at once whoever has something to write, else owners before managers
//! before contributors before readers, each after a time of which half is random; whoever finds it
//! done does nothing. A key is made by who may, a witness posted by everybody else: so that a safe
//! whose writers are all away takes nothing any more from somebody who was revoked.

use std::time::Duration;

use parsec_protocol::chain::organisation::at::MembersAt as _;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::Problem;
use parsec_protocol::ids::UserId;
use parsec_protocol::keys::random;
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safe_log::safe::VerifiedSafe;
use tokio::time::Instant;

use super::certifying::{Wish, certify};
use super::folding::Dropped;
use super::keeping::Endangered;
use super::views;
use crate::os::entropy;
use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::store::Standing;

/// How long an owner without anything to write waits: another owner's device may be at it.
const OWNER_WAITS: Duration = Duration::from_secs(5);
/// The same for managers, after the owners.
const MANAGER_WAITS: Duration = Duration::from_secs(30);
/// The same for contributors and readers, after both.
const OTHERS_WAIT: Duration = Duration::from_secs(120);

/// Where the journal ended when a snapshot was looked for last, and how many keys were here then.
pub(super) type LastTry = Option<(u64, usize)>;

/// What is remembered of a safe between two rounds of its task.
#[derive(Debug, Default)]
pub(super) struct Between {
    /// From when on what is due is done without anything to write.
    at: Option<Instant>,
    /// Members who were given a box of an epoch.
    pub(super) given: std::collections::BTreeSet<(u64, UserId)>,
    /// How the device stood to the safe when that was told last.
    pub(super) standing: Option<Standing>,
    /// What records have dropped and was not looked at yet.
    pub(super) dropped: Dropped,
    /// What is to be taken back.
    pub(super) endangered: Endangered,
    /// When to prune next.
    pub(super) prune: Option<Instant>,
    /// When to write a snapshot that is due.
    pub(super) snapshot: Option<Instant>,
    /// Where the journal ended when the tree was too large for one.
    pub(super) too_large: Option<u64>,
    /// When a snapshot to start from was looked for last, by what was here then.
    pub(super) started: LastTry,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    Key,
    Witness,
}

/// The user's role\* at so many certificates of the organisation's log; nothing while suspended.
pub(super) fn role_at(safe: &VerifiedSafe, log: &VerifiedLog, user: &UserId) -> Option<Role> {
    let at = match log.user_at(user, log.count()) {
        Ok(at) => at?,
        Err(never) => match never {},
    };
    safe.role(user)?.at(&at).filter(|_| !at.suspended)
}

/// Whether something about a member happened in the organisation that no item of the safe has seen.
fn is_unseen(safe: &VerifiedSafe, log: &VerifiedLog) -> bool {
    let Some(present) = safe.present() else { return false };
    let newest = match log.changed_before(log.count()) {
        Ok(newest) => newest,
        Err(never) => match never {},
    };
    if newest.is_none_or(|newest| newest < present.seen) {
        return false;
    }
    let at = |user: &UserId, n| match log.user_at(user, n) {
        Ok(at) => at,
        Err(never) => match never {},
    };
    safe.roles().any(|(user, _)| at(user, present.seen) != at(user, log.count()))
}

fn due(safe: &VerifiedSafe, log: &VerifiedLog, role: Role) -> Due {
    match (safe.is_due(log, log.count()), role.writes()) {
        (true, true) => Due::Key,
        (true, false) | (false, _) if is_unseen(safe, log) => Due::Witness,
        _ => Due::Nothing,
    }
}

/// Does what is due; or says when to look again. The caller holds the safe's turn.
///
/// # Errors
/// As [`certify`].
pub(super) async fn settle(
    session: &Session,
    safe: &OpenSafe,
    between: &mut Between,
) -> Result<Option<Instant>, Problem> {
    let log = session.log();
    let own = session.open.summary.user;
    let (what, role, waits) = {
        let memory = safe.memory().await;
        let role = role_at(&memory.verified, &log, &own);
        let what = role.map_or(Due::Nothing, |role| due(&memory.verified, &log, role));
        (what, role.unwrap_or(Role::Reader), !memory.queue.is_empty())
    };
    if what == Due::Nothing {
        between.at = None;
        return Ok(None);
    }
    let now = Instant::now();
    let at = *between.at.get_or_insert_with(|| now + spread(role));
    // Whoever writes needs the key now; a record is as good as a witness.
    if now < at && !(waits && what == Due::Key) {
        return Ok(Some(at));
    }
    between.at = None;
    certify(session, safe, |verified, log| {
        let role = role_at(verified, log, &own);
        Ok(match role.map_or(Due::Nothing, |role| due(verified, log, role)) {
            Due::Nothing => None,
            Due::Key => Some(Wish::Key),
            Due::Witness => Some(Wish::Witness),
        })
    })
    .await?;
    views::tell(session, safe, "key").await;
    Ok(None)
}

/// How long a role waits: half of its time fixed, half random.
fn spread(role: Role) -> Duration {
    let full = match role {
        Role::Owner => OWNER_WAITS,
        Role::Manager => MANAGER_WAITS,
        Role::Contributor | Role::Reader => OTHERS_WAIT,
    };
    half_random(full)
}

/// A time of which half is random, so that two devices don't do the same at once. Without
/// randomness it is merely not spread.
pub(super) fn half_random(full: Duration) -> Duration {
    let [byte] = random(&mut entropy::System).unwrap_or([0]);
    full / 2 + (full / 2).saturating_mul(u32::from(byte)) / 256
}
