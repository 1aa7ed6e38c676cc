//! Taking back what a record has dropped that may not drop it.
//!
//! Decides which objects a record is to keep. The server lets go what a record drops, whatever it
//! is inside, after a time of grace; so every writer's device keeps what is still named. What
//! stands behind a page, the fold can't see: that is looked for in the pages that are here.

use std::collections::BTreeSet;
use std::sync::Arc;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{DeviceId, ObjectId};

use super::committing::{Draft, Tried, post_apart};
use super::dropped::{OBJECTS_OF_A_RECORD, still_there};
use crate::contents::pages::{Source, behind};
use crate::session::Session;
use crate::session::names::Names;
use crate::session::open_safes::OpenSafe;

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
    behind(session, safe, &contents, Source::Here, |chunk| {
        named.insert(chunk);
    })
    .await?;
    for (device, objects) in dropped {
        // What somebody has taken back since, they may name.
        let lost = |object: &&ObjectId| named.contains(*object) && !state.has_object(**object);
        let lost: Vec<ObjectId> = objects.iter().filter(lost).copied().collect();
        if !lost.is_empty() {
            let log = session.log();
            let names = Names::new(session.open.directory(), &log);
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
