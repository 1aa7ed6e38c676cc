//! A safe verified from its first item, with everything that its tree names.
//!
//! Decides the order: logs, keys and tree first, since they say which objects there are to be, then
//! each of these, and what waits here. Refuses a safe that the server has never had.

use std::collections::BTreeMap;

use parsec_protocol::control::{FindingKind, FindingState, Problem, ProblemKind, SafeVerified};
use parsec_protocol::ids::{EntryId, ObjectId};
use parsec_protocol::safes::name::EntryName;
use parsec_protocol::safes::state::State;
use parsec_protocol::safes::tree::{DEPTH_MAX, Tree};

use super::contents::{Looking, who_added};
use super::findings::{Counts, Findings, Owner, Verdict};
use super::logs::{self, Snapshot};
use super::progress::{ITEM_BYTES, Progress};
use crate::safes::{listing, paths, refusals, views};
use crate::session::Session;
use crate::session::names::Names;
use crate::session::open_safes::OpenSafe;
use crate::store::PieceHere;

/// What is to be done beside looking.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// What is damaged is repaired.
    pub(crate) repair: bool,
    /// Every object is fetched.
    pub(crate) fetch: bool,
}

async fn snapshot(safe: &OpenSafe) -> Result<Snapshot, Problem> {
    let memory = safe.memory().await;
    let Some(now) = memory.verified.present() else {
        let text = "Nothing was heard from the server about this safe yet.";
        return Err(Problem::new(ProblemKind::NotSharedYet, text));
    };
    // A word is nothing to judge by.
    if memory.started.is_some() {
        return Err(refusals::being_verified());
    }
    let ends = [now.log, now.journal];
    Ok(Snapshot { ends, verified: memory.verified.clone(), base: memory.base.clone() })
}

/// Where a file is, or was before it was removed.
fn path(tree: &dyn Tree, entry: EntryId) -> String {
    let mut names: Vec<EntryName> = Vec::new();
    let mut at = Some(entry);
    while let Some(found) = at.and_then(|at| tree.entry(at)).filter(|_| names.len() <= DEPTH_MAX) {
        names.push(found.name.clone());
        at = found.last_parent();
    }
    names.reverse();
    paths::written(&names)
}

/// Looks at what waits to be shared: nobody else has it. Where each such content will be.
async fn waiting(
    session: &Session,
    safe: &OpenSafe,
    findings: &mut Findings,
) -> Result<BTreeMap<EntryId, String>, Problem> {
    let id = safe.id;
    let staged = session.store(move |store| store.waiting_pieces(id)).await?;
    let mut places = BTreeMap::new();
    let mut owners: BTreeMap<ObjectId, Owner> = BTreeMap::new();
    {
        let memory = safe.memory().await;
        for queued in memory.queue.iter().filter(|queued| !queued.adds.is_empty()) {
            let change = &queued.pending.change;
            let Some(entry) = change.entry() else { continue };
            let owner = Owner { class: Counts::Waiting, entry, version: Some(change.operation()) };
            owners.extend(queued.adds.iter().map(|object| (*object, owner)));
            let _ = places.insert(entry, listing::place(&memory, Some(entry)));
        }
        owners.retain(|object, _| !memory.base.has_object(*object));
    }
    findings.waiting.contents = places.len() as u64;
    for piece in staged {
        // What a program is about to save, and nothing names yet, is that program's.
        let Some(owner) = owners.get(&piece.object).copied() else { continue };
        let object = piece.object;
        let sound = session.store(move |store| {
            Ok(match store.staged_object(id, object) {
                Ok(Some(staged)) => {
                    matches!(store.look_at_piece(id, object, &staged.hash)?, PieceHere::Right(_))
                }
                // It was shared meanwhile.
                Ok(None) => true,
                Err(crate::store::StoreError::Damaged(_) | crate::store::StoreError::UnsafePath { .. }) => {
                    false
                }
                Err(error) => return Err(error),
            })
        });
        let sound = sound.await?;
        let sums = &mut findings.waiting;
        sums.objects = sums.objects.saturating_add(1);
        sums.here = sums.here.saturating_add(u64::from(sound));
        if !sound {
            sums.damaged = sums.damaged.saturating_add(1);
            sums.lost = sums.lost.saturating_add(1);
            let verdict = Verdict { what: FindingKind::WaitingDamaged, state: FindingState::Lost };
            findings.object(owner, object, verdict);
        }
    }
    Ok(places)
}

/// Verifies a safe, and repairs what can be. Ends early when it is dropped.
///
/// # Errors
/// `not_shared_yet`; the server's and the store's.
pub(crate) async fn verify(
    session: &Session,
    safe: &OpenSafe,
    asked: Asked,
    mut progress: Progress,
) -> Result<SafeVerified, Problem> {
    let snapshot = snapshot(safe).await?;
    let items = snapshot.ends.iter().map(|end| end.count).fold(0, u64::saturating_add);
    let sizes = |state: &State| state.contents().map(|held| held.content.size).fold(0, u64::saturating_add);
    // Records are judged, and then folded.
    let items = items.saturating_add(snapshot.base.seq()).saturating_mul(ITEM_BYTES);
    progress.will_be(items.saturating_add(sizes(&snapshot.base)));
    let mut findings = Findings::default();
    let checked = logs::check(session, safe, &snapshot, asked.repair, &mut findings, &mut progress).await?;
    let how = (asked.repair, asked.fetch);
    Looking::new(session, safe.id, checked.keys, how, &mut findings)
        .all(&checked.state, &mut progress)
        .await?;
    let places = waiting(session, safe, &mut findings).await?;
    who_added(session, safe.id, checked.state.seq(), &mut findings).await?;
    progress.ends();

    let log = session.log();
    let names = Names::new(session.open.directory(), &log);
    let shown = findings.shown(
        |owner| match (owner.class, places.get(&owner.entry)) {
            (Counts::Waiting, Some(place)) => place.clone(),
            (Counts::Waiting | Counts::Named(_), _) => path(&checked.state, owner.entry),
        },
        |finding, by| {
            finding.by = views::person(session, &log, by.user);
            finding.device = log.device(&by.device).and_then(|device| names.device(device));
            finding.added = Some(by.time);
        },
    );
    Ok(SafeVerified {
        safe: safe.id,
        well: findings.is_well(),
        certificates: checked.certificates,
        records: checked.records,
        void_records: checked.void,
        other_roots: checked.other_roots,
        keys: checked.keys_here,
        fetched: asked.fetch,
        live: findings.live,
        history: findings.history,
        trash: findings.trash,
        waiting: findings.waiting,
        findings: shown,
        more: findings.more(),
    })
}
