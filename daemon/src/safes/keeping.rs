//! Taking back what was dropped: by a record that may not drop it, or before a change that waits
//! here named it.
//!
//! Decides which objects a record is to keep. The server lets go what a record drops, whatever it
//! is inside, after a time of grace; so every writer's device keeps what is still named. Refuses to
//! ask for what the server has let go already.

use std::collections::BTreeSet;
use std::sync::Arc;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{DeviceId, ObjectId};
use parsec_protocol::relay::ObjectIds;
use parsec_protocol::safes::content_ref::Content;

use super::committing::{Draft, Tried, post_apart};
use crate::contents::pages::{Where, behind};
use crate::session::Session;
use crate::session::names::Names;
use crate::session::open_safes::{Memory, OpenSafe, Queued};
use crate::transport::retry::answered;

/// Objects that one record keeps or drops, at most: with the rest of it, they fit.
pub(super) const OBJECTS_OF_A_RECORD: usize = 4_096;

/// Objects that an act names and that are neither the safe's nor sent by anything that waits.
pub(super) fn unknown<'a>(memory: &'a Memory, act: &'a [Queued]) -> impl Iterator<Item = ObjectId> + 'a {
    let sends = |queue: &[Queued], object| queue.iter().any(|queued| queued.adds.contains(&object));
    let named = act.iter().filter_map(|queued| queued.pending.change.content()).flat_map(Content::objects);
    named.map(|reference| reference.object).filter(move |object| {
        !memory.base.has_object(*object) && !sends(act, *object) && !sends(&memory.queue, *object)
    })
}

/// Those of these objects that the server still has.
async fn still_there(
    session: &Session,
    safe: &OpenSafe,
    objects: Vec<ObjectId>,
) -> Result<Vec<ObjectId>, Problem> {
    let mut there = Vec::new();
    for part in objects.chunks(OBJECTS_OF_A_RECORD) {
        let asked = ObjectIds { objects: part.to_vec() };
        let missing = answered(|| session.member.missing_objects(safe.id, &asked)).await?;
        let missing: BTreeSet<_> = missing.objects.into_iter().collect();
        there.extend(part.iter().copied().filter(|object| !missing.contains(object)));
    }
    Ok(there)
}

/// What changes that wait name of what was dropped since, as much as one record keeps: chunks before
/// the pages that name them, and only of contents that are whole.
///
/// # Errors
/// The server's and the store's.
pub(super) async fn named_and_dropped(session: &Session, safe: &OpenSafe) -> Result<Vec<ObjectId>, Problem> {
    let contents: Vec<Content> = {
        let memory = safe.memory().await;
        let names_dropped =
            |queued: &&Queued| unknown(&memory, std::slice::from_ref(*queued)).next().is_some();
        let dropped = memory.queue.iter().filter(names_dropped);
        dropped.filter_map(|queued| queued.pending.change.content().cloned()).collect()
    };
    let mut keeps = Vec::new();
    for content in contents {
        let mut named = Vec::new();
        let pages = behind(session, safe, std::slice::from_ref(&content), Where::Anywhere, |chunk| {
            named.push(chunk);
        });
        match pages.await {
            Ok(()) => {}
            // It waits, and its person is told.
            Err(problem) if problem.name == ProblemKind::ContentsUnavailable => continue,
            Err(problem) => return Err(problem),
        }
        named.extend(content.objects().map(|reference| reference.object));
        {
            let memory = safe.memory().await;
            named.retain(|object| !memory.base.has_object(*object));
        }
        let asked = named.len();
        let there = still_there(session, safe, named).await?;
        if there.len() == asked {
            keeps.extend(there);
        }
    }
    let mut seen = BTreeSet::new();
    keeps.retain(|object| seen.insert(*object));
    keeps.truncate(OBJECTS_OF_A_RECORD);
    Ok(keeps)
}

/// What a faulty or hostile member's record has dropped although it is named: what was seen of it.
#[derive(Debug, Default)]
pub(super) struct Endangered {
    /// What was asked for already, in vain.
    gone: BTreeSet<ObjectId>,
    /// Chunks behind pages, to be kept.
    chunks: BTreeSet<ObjectId>,
}

/// Looks whether a prune has dropped what stands behind a page that is named: the fold can't tell.
/// Looked into are the pages that are here.
///
/// # Errors
/// The store's.
pub(super) async fn look_behind(
    session: &Session,
    safe: &OpenSafe,
    dropped: &[(DeviceId, Vec<ObjectId>)],
    endangered: &mut Endangered,
) -> Result<(), Problem> {
    if dropped.is_empty() {
        return Ok(());
    }
    let mut contents = Vec::new();
    let state = safe.memory().await.base.clone();
    state.each_content(|content| contents.push(content.clone()));
    let mut named = BTreeSet::new();
    behind(session, safe, &contents, Where::Here, |chunk| {
        named.insert(chunk);
    })
    .await?;
    for (device, objects) in dropped {
        // What somebody has taken back since, they may name.
        let lost = |object: &&ObjectId| named.contains(*object) && !state.has_object(**object);
        let lost: Vec<ObjectId> = objects.iter().filter(lost).copied().collect();
        if !lost.is_empty() {
            let log = session.log();
            let names = Names::new(&session.open.keys.directory_key, &log);
            let text = format!(
                "{} has thrown away parts of files that are in safe {}. This device takes them back.",
                names.device_in_words(device),
                safe.id
            );
            session.alarm(&Problem::new(ProblemKind::SafeUntrusted, text)).await;
        }
        endangered.chunks.extend(lost);
    }
    Ok(())
}

/// Keeps what is in danger, a record at a time. Whether something was posted, so that there is more
/// to read. The caller holds the safe's turn.
///
/// # Errors
/// As [`post_apart`].
pub(super) async fn keep(
    session: &Session,
    safe: &Arc<OpenSafe>,
    endangered: &mut Endangered,
) -> Result<Tried, Problem> {
    let wanted: Vec<ObjectId> = {
        let memory = safe.memory().await;
        endangered.chunks.retain(|chunk| !memory.base.has_object(*chunk));
        let writes = memory.verified.role(&session.open.summary.user).is_some_and(|role| role.writes());
        let all = memory.base.endangered().iter().chain(&endangered.chunks);
        all.filter(|object| writes && !endangered.gone.contains(*object))
            .copied()
            .take(OBJECTS_OF_A_RECORD)
            .collect()
    };
    if wanted.is_empty() {
        return Ok(Tried::Nothing);
    }
    let keeps = still_there(session, safe, wanted.clone()).await?;
    let there: BTreeSet<_> = keeps.iter().copied().collect();
    endangered.gone.extend(wanted.into_iter().filter(|object| !there.contains(object)));
    if keeps.is_empty() {
        return Ok(Tried::Nothing);
    }
    tracing::warn!(safe = %safe.id, objects = keeps.len(), "what a record has dropped is taken back");
    post_apart(session, safe, Draft { keeps, ..Draft::default() }).await
}
