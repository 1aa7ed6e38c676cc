//! What was dropped and is named by a change that waits here.
//!
//! Decides which objects are to be taken back for it: of contents that the server still has whole,
//! chunks before the pages that name them. Refuses to ask for what the server has let go already.

use std::collections::BTreeSet;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::ObjectId;
use parsec_protocol::relay::ObjectIds;
use parsec_protocol::safes::content_ref::Content;

use crate::contents::pages::{Source, behind};
use crate::session::Session;
use crate::session::open_safes::{Memory, OpenSafe, Queued};
use crate::transport::retry::answered;

/// Objects that one record keeps or drops, at most: with the rest of it, they fit.
pub(super) const OBJECTS_OF_A_RECORD: usize = 4_096;

/// What keeps contents from being taken back and holds up nothing else.
const GONE: [ProblemKind; 3] =
    [ProblemKind::ContentsUnavailable, ProblemKind::ContentsDamaged, ProblemKind::SafeKeyMissing];

/// Objects that an act names and that are neither the safe's nor sent by anything that waits.
pub(super) fn unknown<'a>(memory: &'a Memory, act: &'a [Queued]) -> impl Iterator<Item = ObjectId> + 'a {
    let sends = |queue: &[Queued], object| queue.iter().any(|queued| queued.adds.contains(&object));
    let named = act.iter().filter_map(|queued| queued.pending.change.content()).flat_map(Content::objects);
    named.map(|reference| reference.object).filter(move |object| {
        !memory.base.has_object(*object) && !sends(act, *object) && !sends(&memory.queue, *object)
    })
}

/// Those of these objects that the server still has.
///
/// # Errors
/// The server's.
pub(super) async fn still_there(
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

/// What changes that wait name of what was dropped since, as much as one record keeps: chunks
/// before the pages that name them, and only of contents that are whole.
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
        let pages = behind(session, safe, std::slice::from_ref(&content), Source::Anywhere, |chunk| {
            named.push(chunk);
        });
        match pages.await {
            Ok(()) => {}
            // It waits, and its person is told: but not for an answer that did not come.
            Err(problem) if GONE.contains(&problem.name) => {
                let pages: Vec<_> = content.objects().map(|page| page.object).collect();
                let asked = pages.len();
                let whole = still_there(session, safe, pages).await?.len() == asked;
                if whole && problem.name == ProblemKind::ContentsUnavailable {
                    return Err(problem);
                }
                continue;
            }
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
