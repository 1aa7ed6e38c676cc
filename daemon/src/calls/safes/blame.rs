//! Whose fault it is that a file's contents are none.
//!
//! Decides whether a page names a piece that is none of the safe's: no record judges what stands
//! behind a page, so that whoever wrote it can name what never was. Without this the server would
//! be said to have lost it. Refuses to name anybody but the device whose record brought it.

use std::collections::BTreeSet;
use std::sync::Arc;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::OperationId;
use parsec_protocol::safes::content_ref::{Content, References};
use parsec_protocol::safes::tree::Tree as _;

use super::brought::brought;
use crate::os::blocking_in;
use crate::session::Session;
use crate::session::names::Names;
use crate::session::open_safes::OpenSafe;

/// Whether a page of the content names a piece that the safe doesn't have, and that doesn't wait
/// here. Pages that were not read are passed over: they are missing themselves.
async fn names_what_is_none(safe: &OpenSafe, content: &Content) -> bool {
    let References::Paged(pages) = &content.references else { return false };
    let (accepted, waiting) = {
        let memory = safe.memory().await;
        let waiting: BTreeSet<_> = memory.queue.iter().flat_map(|queued| queued.adds.clone()).collect();
        (memory.base.clone(), waiting)
    };
    let is_none = |object| !accepted.has_object(object) && !waiting.contains(&object);
    let known = pages.iter().filter_map(|page| safe.keeping.page(page.object));
    known.into_iter().any(|page| page.iter().flatten().any(|reference| is_none(reference.object)))
}

/// What a person is told of contents that could not be had: where it is the fault of who wrote
/// them, with their name, and as an alarm.
pub(super) async fn told(
    session: &Session,
    safe: &OpenSafe,
    (content, version): (&Content, Option<OperationId>),
    problem: Problem,
) -> Problem {
    let is_none = problem.name == ProblemKind::ContentsUnavailable && names_what_is_none(safe, content).await;
    let problem = if is_none {
        let text = "The file names a piece that is none of the safe's: no change has added it, or one has thrown it away.";
        Problem::new(ProblemKind::SafeUntrusted, text)
    } else {
        problem
    };
    let Some(version) = version.filter(|_| problem.name == ProblemKind::SafeUntrusted) else {
        return problem;
    };
    let (keys, to) = {
        let memory = safe.memory().await;
        (memory.keys.copied(), memory.base.seq())
    };
    let (open, id) = (Arc::clone(&session.open), safe.id);
    let looking = blocking_in(&session.tasks, move || brought(&open, &keys, id, to, &[version]));
    // Who can't be found stays unnamed: the fault is told all the same.
    let found = looking.await.unwrap_or_default();
    let Some(device) = found.get(&version).and_then(|brought| brought.device) else { return problem };
    let log = session.log();
    let names = Names::new(session.open.directory(), &log);
    let text = format!("{} It was written by {}.", problem.message, names.device_in_words(&device));
    let problem = Problem { message: text, ..problem };
    session.alarm(&problem).await;
    problem
}
