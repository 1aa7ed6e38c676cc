//! `safe.list`, `safe.show`, `safe.status`, `safe.sync`: how the safes of a device stand, and what
//! has still to reach the server.
//!
//! Decides what counts as done: nothing waits, and the server was heard since the call. Refuses to
//! wait longer than ten minutes.

use std::collections::BTreeMap;
use std::time::Duration;

use parsec_protocol::control::{
    ChangeHeld, HeldRemoval, HeldRemovals, OffersBeyond, Problem, ProblemKind, SafeHalt, SafeListResult,
    SafePeer, SafeSelector, SafeShowResult, SafeStatus, SafeStatusResult, SafeSync, SafeSynced, SafeWaiting,
    WaitingChange,
};
use parsec_protocol::ids::{DeviceId, OperationId, SafeId, UserId};
use parsec_protocol::safe_log::certificate;
use parsec_protocol::safes::change::Change;
use parsec_protocol::safes::tree::Tree as _;

use tokio::time::Instant;

use super::{choose, here};
use crate::safes::brake::Waiting;
use crate::safes::{acts, deciding, holding, listing, loading, paths, takeovers, views};
use crate::session::Session;
use crate::session::direct::Came;
use crate::session::names::Names;
use crate::session::open_safes::{Memory, OpenSafe, Queued};
use crate::store::Store;

/// Seconds that a call waits at most.
const WAIT_MAX_SECONDS: u32 = 600;
/// Seconds that `safe.sync` waits if nothing is said.
const SYNC_WAIT_SECONDS: u32 = 30;
/// Seconds that a safe which was just offered is given to be read for the first time: its person
/// looks at once who offers it.
const FIRST_LOOK_WAIT_SECONDS: u32 = 8;
/// Changes shown of one safe: what fits a line of the local API many times.
const WAITING_SHOWN_MAX: usize = 500;

/// What somebody waits for.
#[derive(Debug)]
pub(super) enum Wanted {
    /// The server has the safe.
    Founded,
    /// None of these operations waits any more.
    Shared(Vec<OperationId>),
    /// Its logs were read here, or something is in the way of that.
    Read,
    /// Nothing waits but for a person, nothing else is in the way, and what the server had then is
    /// here. An answer that came since may be to an older question.
    Synced(Instant),
}

impl Wanted {
    async fn is_there(&self, safe: &OpenSafe) -> bool {
        match self {
            Self::Founded => safe.memory().await.founded,
            Self::Read => {
                let memory = safe.memory().await;
                !memory.founded || memory.verified.present().is_some() || memory.problem.is_some()
            }
            Self::Shared(operations) => acts::shared(safe, operations).await.is_some(),
            Self::Synced(begun) => {
                let memory = safe.memory().await;
                let looked = memory.looked.is_some_and(|looked| looked >= *begun);
                // What waits for a person is not waited for by a program.
                looked
                    && match &memory.problem {
                        None => memory.queue.is_empty(),
                        Some(problem) => problem.name == ProblemKind::RemovalWaits,
                    }
            }
        }
    }

    /// Whether something keeps it away that only a person, or room at the server, takes
    /// away. What was met before they waited says nothing of them: it may be over.
    async fn is_stuck(&self, safe: &OpenSafe) -> bool {
        let memory = safe.memory().await;
        let Some(stuck) = memory.stuck else { return false };
        let place = |is_wanted: &dyn Fn(&OperationId) -> bool| {
            memory.queue.iter().rposition(|queued| is_wanted(&queued.pending.group))
        };
        match self {
            Self::Founded | Self::Read => false,
            Self::Shared(operations) => {
                let last = place(&|group| Some(*group) == stuck.newest);
                last.is_some_and(|last| place(&|group| operations.contains(group)) <= Some(last))
            }
            Self::Synced(begun) => stuck.begun >= *begun,
        }
    }
}

/// Waits until it is there, the time is over, or waiting can't help; whether it is there.
pub(super) async fn until(safe: &OpenSafe, seconds: u32, wanted: Wanted) -> bool {
    let mut progress = safe.progress();
    let wait = async {
        while !wanted.is_there(safe).await && !wanted.is_stuck(safe).await {
            // Its sender is the safe's own.
            let _ = progress.changed().await;
        }
    };
    let limit = Duration::from_secs(u64::from(seconds.min(WAIT_MAX_SECONDS)));
    tokio::time::timeout(limit, wait).await.is_ok() && wanted.is_there(safe).await
}

/// The safes of a device.
///
/// # Errors
/// The store's.
pub async fn list(session: &Session) -> Result<SafeListResult, Problem> {
    let mut safes = Vec::new();
    for safe in loading::open_all(session).await? {
        safes.push(views::view(session, &safe).await);
    }
    let name = |name: Option<&parsec_protocol::ids::Label>| name.map(|name| name.as_str().to_owned());
    safes.sort_by_cached_key(|safe| (safe.name.is_none(), name(safe.name.as_ref()), safe.safe));
    let log = session.log();
    let mut counts: BTreeMap<_, u64> = BTreeMap::new();
    for by in session.safes.beyond().into_values() {
        *counts.entry(by).or_default() += 1;
    }
    let person = |by: Option<UserId>| by.and_then(|by| views::person(session, &log, by));
    let beyond = counts.into_iter().map(|(by, offers)| OffersBeyond { by: person(by), offers }).collect();
    Ok(SafeListResult { safes, beyond })
}

/// One safe, and where its logs end.
///
/// # Errors
/// `safe_unknown`; `not_shared_yet` where nothing of it was read yet; the store's.
pub async fn show(session: &Session, params: SafeSelector) -> Result<SafeShowResult, Problem> {
    let safe = choose(session, &params.safe).await?;
    if !Wanted::Read.is_there(&safe).await {
        safe.wanted.notify_one();
        until(&safe, FIRST_LOOK_WAIT_SECONDS, Wanted::Read).await;
    }
    let id = safe.id;
    let first = session.store(move |store| store.safe_certificates(id, 0)).await?.into_iter().next();
    let founded = first
        .and_then(|bytes| certificate::Envelope::decode(&bytes).and_then(|envelope| envelope.payload()).ok())
        .map(|payload| payload.time);
    let shown = views::view(session, &safe).await;
    let log = session.log();
    let founder = log.device(&safe.founder).and_then(|device| views::person(session, &log, device.user));
    let taken_over = takeovers::takeovers(session, id).await?.pop();
    let memory = safe.memory().await;
    let (Some(founder), Some(founded), Some(now)) = (founder, founded, memory.verified.present()) else {
        let text = "Nothing was heard from the server about this safe yet.";
        let problem = memory.problem.clone().filter(|_| memory.founded);
        return Err(problem.unwrap_or_else(|| Problem::new(ProblemKind::NotSharedYet, text)));
    };
    Ok(SafeShowResult {
        safe: shown,
        founder,
        founded,
        certificates: now.log.count,
        log_head: now.log.hash.to_string(),
        records: now.journal.count,
        journal_head: now.journal.hash.to_string(),
        conflicts: listing::conflicts_in(&memory),
        taken_over,
    })
}

/// What is saved and not shared.
///
/// # Errors
/// `safe_unknown`; the store's.
pub async fn status(session: &Session, params: SafeStatus) -> Result<SafeStatusResult, Problem> {
    let all = match &params.safe {
        Some(text) => vec![choose(session, text).await?],
        None => loading::open_all(session).await?,
    };
    let (sizes, limit_bytes) = session.store(Store::pieces_sizes).await?;
    let floor_bytes = session.store(Store::kept_totals).await?.floor;
    let mut safes = Vec::new();
    for safe in all {
        let kept_bytes = sizes.get(&safe.id).map_or(0, |size| size.kept);
        let shown = views::view(session, &safe).await;
        let halt = halt(session, &safe).await?;
        let held = holding::waiting_in(session, &safe).await?;
        let (here_bytes, pinned_bytes) = here::of_safe(session, &safe).await?;
        let memory = safe.memory().await;
        let changes = memory
            .queue
            .iter()
            .take(WAITING_SHOWN_MAX)
            .map(|queued| waiting(&memory, &held, queued))
            .collect();
        let more = memory.queue.len() > WAITING_SHOWN_MAX;
        let removals = removals(&held);
        let heard = memory.heard;
        let ownerless = takeovers::ownerless(session, &memory);
        let verifying = memory.started.map(|started| memory.base.seq().saturating_sub(started.folded));
        safes.push(SafeWaiting {
            safe: shown,
            changes,
            more,
            heard,
            kept_bytes,
            here_bytes,
            pinned_bytes,
            removals,
            halt,
            ownerless,
            verifying,
            direct: peers(session, safe.id),
        });
    }
    Ok(SafeStatusResult { safes, limit_bytes, floor_bytes })
}

/// Devices that are met directly, and what came from them.
fn peers(session: &Session, safe: SafeId) -> Vec<SafePeer> {
    let log = session.log();
    let names = Names::new(session.open.directory(), &log);
    let peer = |(device, (connected, came)): (DeviceId, (bool, Came))| SafePeer {
        device,
        by: names.device_in_words(&device),
        connected,
        bytes: came.bytes,
        last: came.last,
    };
    session.direct.of(safe).into_iter().map(peer).collect()
}

/// What waits for a person, as they are shown it.
fn removals(held: &Waiting) -> Option<HeldRemovals> {
    let removals = held.removals.iter().take(WAITING_SHOWN_MAX).map(|removal| HeldRemoval {
        operation: removal.group,
        path: paths::written(&removal.path),
        saved: removal.saved,
        entries: removal.entries,
    });
    (!held.is_empty()).then(|| HeldRemovals {
        removals: removals.collect(),
        count: held.removals.len() as u64,
        entries: held.entries(),
        behind: held.behind.len() as u64,
        what: held.what().to_string(),
    })
}

/// Why the safe goes no further here.
async fn halt(session: &Session, safe: &OpenSafe) -> Result<Option<SafeHalt>, Problem> {
    let id = safe.id;
    let halt = session.store(move |store| store.safe(id)).await?.and_then(|stored| stored.halt);
    let Some(halt) = halt else { return Ok(None) };
    let log = session.log();
    let names = Names::new(session.open.directory(), &log);
    Ok(Some(SafeHalt {
        what: deciding::what_halts(&halt).to_string(),
        certificates: halt.items[0],
        records: halt.items[1],
        by: halt.authors.iter().map(|device| names.device_in_words(device)).collect(),
        found: halt.found,
    }))
}

fn waiting(memory: &Memory, held: &Waiting, queued: &Queued) -> WaitingChange {
    let change = &queued.pending.change;
    let kind = match change {
        Change::Add { .. } => "add",
        Change::Content { .. } => "content",
        Change::Move { .. } => "move",
        Change::Remove { .. } => "remove",
        Change::Restore { .. } => "restore",
        Change::Attributes { .. } => "attributes",
        Change::Replace { .. } => "replace",
        Change::SafeName { .. } => "safe_name",
        Change::Retention { .. } => "retention",
        // Never in a queue: it is made for one end of the journal.
        Change::Prune { .. } => "prune",
        Change::Snapshot { .. } => "snapshot",
    };
    let sent = queued.adds.iter().all(|object| memory.base.has_object(*object));
    let bytes =
        change.content().filter(|_| !sent && !queued.adds.is_empty()).map_or(0, |content| content.size);
    WaitingChange {
        operation: change.operation(),
        kind: kind.to_owned(),
        path: listing::place(memory, change.entry()),
        saved: queued.saved,
        bytes,
        held: match queued.pending.group {
            group if held.is_removal(group) => Some(ChangeHeld::Removal),
            group if held.holds(group) => Some(ChangeHeld::Behind),
            _ => None,
        },
    }
}

/// Everything that is saved goes out, everything new comes in.
///
/// # Errors
/// `safe_unknown`; the store's.
pub async fn sync(session: &Session, params: SafeSync) -> Result<SafeSynced, Problem> {
    let safe = choose(session, &params.safe).await?;
    let begun = Instant::now();
    // Whoever asks may have mended a disk.
    safe.memory().await.unreadable_looked = None;
    safe.wanted.notify_one();
    let seconds = params.wait_seconds.unwrap_or(SYNC_WAIT_SECONDS);
    let done = until(&safe, seconds, Wanted::Synced(begun)).await && safe.memory().await.queue.is_empty();
    Ok(SafeSynced { done, safe: views::view(session, &safe).await })
}
