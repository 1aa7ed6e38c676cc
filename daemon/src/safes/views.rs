//! A safe as the local API and the events show it.
//!
//! Decides the words for roles and standings, and that an event holds nothing that a safe's key
//! opens.

use std::collections::BTreeMap;
use std::sync::Arc;

use parsec_protocol::chain::organisation::at::MembersAt as _;
use parsec_protocol::chain::organisation::certificate::Author;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::{
    Event, Person, Problem, ProblemKind, SafeCondition, SafeMember, SafeRole, SafeStanding, SafeSummary,
    SafeView,
};
use parsec_protocol::ids::{DeviceId, Label, Timestamp, UserId};
use parsec_protocol::safe_log::certificate::{self, Body, State as Condition};
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safes::change::Change;
use parsec_protocol::safes::rebase::{Notice, What};

use super::{listing, overlay};
use crate::os::blocking_in;
use crate::session::Session;
use crate::session::names::{self, Names};
use crate::session::open_safes::{Memory, OpenSafe};
use crate::store::{Standing, StoreError};

/// Tells of conflict copies that a rebase has made.
pub(super) fn notify(session: &Session, safe: &OpenSafe, notices: Vec<Notice>) {
    for Notice { what, entry, .. } in notices {
        tracing::info!(safe = %safe.id, %entry, ?what, "a change met another one");
        if what == What::ConflictName {
            let (device, safe) = (session.open.summary.device, safe.id);
            session.events().publish(Event::FileConflict { device, safe, entry });
        }
    }
}

/// A role in the words of the local API.
#[must_use]
pub(crate) const fn role(role: Role) -> SafeRole {
    match role {
        Role::Owner => SafeRole::Owner,
        Role::Manager => SafeRole::Manager,
        Role::Contributor => SafeRole::Contributor,
        Role::Reader => SafeRole::Reader,
    }
}

/// And back.
///
/// # Errors
/// `invalid_request` for a role of a later version.
pub(crate) fn read_role(named: SafeRole) -> Result<Role, Problem> {
    match named {
        SafeRole::Owner => Ok(Role::Owner),
        SafeRole::Manager => Ok(Role::Manager),
        SafeRole::Contributor => Ok(Role::Contributor),
        SafeRole::Reader => Ok(Role::Reader),
        SafeRole::Unknown => {
            Err(Problem::new(ProblemKind::InvalidRequest, "A role is owner, manager, contributor or reader."))
        }
    }
}

const fn standing(standing: Standing) -> SafeStanding {
    match standing {
        Standing::Offered => SafeStanding::Offered,
        Standing::Accepted => SafeStanding::Accepted,
        Standing::Left => SafeStanding::Left,
    }
}

fn condition(memory: &Memory) -> SafeCondition {
    match memory.verified.present().map(|now| now.state) {
        Some(Condition::Open) | None => SafeCondition::Open,
        Some(Condition::ReadOnly) => SafeCondition::ReadOnly,
        Some(Condition::Deleted(_)) => SafeCondition::Deleted,
    }
}

/// The safe's name: the one that is saved here, or the one that everybody has.
pub(crate) fn name(memory: &Memory) -> Option<Label> {
    let saved = memory.queue.iter().rev().find_map(|queued| match &queued.pending.change {
        Change::SafeName { name, .. } => Some(name),
        _ => None,
    });
    saved.or_else(|| memory.base.name()).cloned()
}

/// The user's role, as far as it is known here.
fn own_role(session: &Session, memory: &Memory) -> Option<Role> {
    if memory.standing == Standing::Left {
        return None;
    }
    match memory.verified.present() {
        Some(_) => memory.verified.role(&session.open.summary.user),
        // Founded here, or named by the manifest: the log will say.
        None => memory.said.or_else(|| (!memory.founded).then_some(Role::Owner)),
    }
}

/// What events and the overview show of a safe.
pub(crate) fn summary(session: &Session, safe: &OpenSafe, memory: &Memory) -> SafeSummary {
    let log = session.log();
    let counted = memory.verified.roles().count();
    SafeSummary {
        safe: safe.id,
        device: session.open.summary.device,
        organisation: safe.organisation.clone(),
        role: own_role(session, memory).map(role),
        standing: standing(memory.standing),
        condition: condition(memory),
        shared: memory.founded,
        members: u32::try_from(counted.max(1)).unwrap_or(u32::MAX),
        epoch: memory.verified.present().map_or(0, |now| u32::try_from(now.key.epoch).unwrap_or(u32::MAX)),
        due: memory.verified.is_due(&*log, log.count()),
        waiting: memory.queue.len() as u64,
        problem: memory.problem.as_ref().map(|problem| problem.name),
    }
}

/// What a person at this device sees of a safe.
pub(crate) async fn view(session: &Session, safe: &OpenSafe) -> SafeView {
    let given = given(session, safe).await.unwrap_or_default();
    let memory = safe.memory().await;
    let shown = summary(session, safe, &memory);
    let read = memory.standing == Standing::Accepted && (memory.founded || !memory.queue.is_empty());
    let sums = read.then(|| listing::sums(&overlay::view(&memory)));
    let log = session.log();
    let by = given.get(&session.open.summary.user).filter(|_| memory.standing != Standing::Left);
    let by = by.filter(|given| given.by != session.open.summary.user);
    SafeView {
        safe: shown.safe,
        device: shown.device,
        organisation: shown.organisation,
        name: name(&memory),
        role: shown.role,
        standing: shown.standing,
        condition: shown.condition,
        shared: shown.shared,
        members: shown.members,
        epoch: shown.epoch,
        due: shown.due,
        entries: sums.map(|(entries, _)| entries),
        bytes: sums.map(|(_, bytes)| bytes),
        waiting: shown.waiting,
        shared_by: by.and_then(|given| person(session, &log, given.by)),
        problem: memory.problem.clone(),
    }
}

/// Tells everybody how a safe is now.
pub(crate) async fn tell(session: &Session, safe: &OpenSafe, reason: &str) {
    let memory = safe.memory().await;
    if session.stop.is_cancelled() {
        return;
    }
    let shown = summary(session, safe, &memory);
    let event = match memory.standing {
        Standing::Offered => Event::SafeOffered { safe: shown },
        Standing::Accepted | Standing::Left => Event::SafeChanged { safe: shown, reason: reason.to_owned() },
    };
    session.events().publish(event);
}

/// A member, in as many words as the directory key opens.
pub(crate) fn person(session: &Session, log: &VerifiedLog, user: UserId) -> Option<Person> {
    let record = log.user(&user)?;
    let names = Names::new(session.open.directory(), log);
    Some(Person { user, email: record.email.clone(), name: names.user(record) })
}

/// Who gave somebody their role, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given {
    pub(crate) by: UserId,
    pub(crate) since: Timestamp,
}

/// Who gave each member their role, by the certificates that are here.
///
/// # Errors
/// The store's.
pub(crate) async fn given(session: &Session, safe: &OpenSafe) -> Result<BTreeMap<UserId, Given>, Problem> {
    let (open, id, log) = (Arc::clone(&session.open), safe.id, session.log());
    blocking_in(&session.tasks, move || {
        let mut given = BTreeMap::new();
        let user_of = |device: &DeviceId| log.device(device).map(|device| device.user);
        for envelope in open.store.safe_certificates(id, 0)? {
            // Verified when they were stored.
            let payload = certificate::Envelope::decode(&envelope).and_then(|envelope| envelope.payload());
            let Ok(payload) = payload else { continue };
            let Some(by) = user_of(&payload.author) else { continue };
            let now = Given { by, since: payload.time };
            match payload.body {
                Body::Created { .. } => {
                    given.insert(by, now);
                }
                Body::Changed { changes, .. } => {
                    given.extend(changes.iter().map(|change| (change.user, now)))
                }
                Body::State { .. } => {}
            }
        }
        Ok::<_, StoreError>(given)
    })
    .await
}

/// A member of the safe, from the two verified logs.
pub(crate) fn member(
    session: &Session,
    log: &VerifiedLog,
    user: UserId,
    has: Role,
    given: Option<&Given>,
) -> Option<SafeMember> {
    let record = log.user(&user)?;
    let now = match log.user_at(&user, log.count()) {
        Ok(now) => now?,
        Err(never) => match never {},
    };
    let vouched_by = match record.author {
        Author::Root => None,
        Author::Device(device) => log.device(&device).and_then(|device| person(session, log, device.user)),
    };
    Some(SafeMember {
        person: person(session, log, user)?,
        role: role(has),
        profile: names::profile(record.profile),
        since: given.map_or(Timestamp(0), |given| given.since),
        given_by: person(session, log, given.map_or(user, |given| given.by))?,
        certified: record.certified,
        vouched_by,
        counts: has.at(&now).is_some(),
        suspended: now.suspended,
    })
}
