//! The one task of each safe of an unlocked device: it reads what is new, makes keys that are due,
//! and writes what waits.
//!
//! Decides the order: first all that the server has, then a key that is due, then the queue. Tries
//! again after errors that pass, with pauses; never backs off from other writers. Stops at what
//! needs a person, and says so in the safe's view.

use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::SafeId;
use tokio::time::Instant;

use super::committing::Tried;
use super::due::{self, Between};
use super::folding::Outcome;
use super::{
    boxes, committing, damaged, folding, founding, holding, keeping, keys, offers, pinning, pruning, reading,
    returning, snapshots, staged, starting, views,
};
use crate::session::Session;
use crate::session::open_safes::{OpenSafe, Stuck};
use crate::store::Standing;
use crate::transport::retry::Pauses;

/// Records in a row of which none was accepted: others write too, but not for ever. Then the task
/// takes a breath and goes on.
const MOVED_ON_MAX: u32 = 64;

/// After which time a server that was full is asked again: whoever makes room tells nobody.
const FULL_WAIT: Duration = Duration::from_secs(60);

/// Whether it may be over before a program that waits for its change gives up.
fn passes(problem: &Problem) -> bool {
    problem.retryable && problem.name != ProblemKind::QuotaReached
}

/// When to try again by itself; nothing where only a person, or news, changes anything.
fn again_after(problem: &Problem, pauses: &mut Pauses) -> Option<Duration> {
    match problem.name {
        ProblemKind::QuotaReached => Some(FULL_WAIT),
        _ => problem.retryable.then(|| pauses.next_own()),
    }
}

/// The least time after which a server that lacks something is looked at again.
const LACKING_LEAST: Duration = Duration::from_secs(30);

/// For how long after a stream was opened anew objects may be awaited of which this device was not
/// told: another device has given records back meanwhile.
const REOPENED_FOR: Duration = Duration::from_secs(600);

/// When the device's event stream was opened last, and what it has said of a safe since.
#[derive(Debug, Default)]
struct Reopened {
    streams: u64,
    at: Option<Instant>,
    /// How often something was said of the safe.
    told: u64,
    /// Whether the server is to be asked what it awaits.
    owed: bool,
}

impl Reopened {
    /// Takes in what the stream has said: each opening, and each word soon after it, is one
    /// question. A round that nobody called for is none: every safe has many of those.
    fn look(&mut self, session: &Session, safe: SafeId) {
        let (streams, told) = {
            let news = session.member.safe_news();
            let news = news.borrow();
            (news.streams, news.gone_on.get(&safe).copied().unwrap_or(0))
        };
        if streams != self.streams {
            (self.streams, self.at, self.owed) = (streams, Some(Instant::now()), true);
        } else if told != self.told {
            self.owed |= self.at.is_some_and(|at| at.elapsed() < REOPENED_FOR);
        }
        self.told = told;
    }
}

/// Runs for as long as the device is unlocked, or the safe is there.
pub(super) async fn run(session: Arc<Session>, safe: Arc<OpenSafe>) {
    let mut pauses = Pauses::default();
    let mut between = Between::default();
    let mut news = session.news();
    let mut reopened = Reopened::default();
    while session.safes.get(safe.id).is_some_and(|open| Arc::ptr_eq(&open, &safe)) {
        news.mark_unchanged();
        let begun = Instant::now();
        let before = items(&safe).await;
        let newest = safe.memory().await.queue.last().map(|queued| queued.pending.group);
        let done = round(&session, &safe, &mut between).await;
        reopened.look(&session, safe.id);
        if done.is_ok() && items(&safe).await == before && std::mem::take(&mut reopened.owed) {
            safe.memory().await.repairs.objects = true;
        }
        let looked = done.is_ok().then_some(begun);
        let pause = match &done {
            Ok(at) => {
                pauses.reset();
                at.map(|at| at.saturating_duration_since(Instant::now()))
            }
            Err(problem) => {
                session.saw(problem);
                tracing::info!(safe = %safe.id, name = problem.name.name(), %problem, "a safe waits");
                again_after(problem, &mut pauses)
            }
        };
        let lacking = safe.memory().await.repairs.again().filter(|_| done.is_err());
        // Never at once: what keeps the round from coming to an end has its own pauses.
        let lacking = lacking.map(|at| at.saturating_duration_since(Instant::now()).max(LACKING_LEAST));
        let pause = pause.into_iter().chain(lacking).min();
        let stuck =
            done.as_ref().err().is_some_and(|problem| !passes(problem)).then_some(Stuck { begun, newest });
        let problem = match done {
            Err(problem) => Some(problem),
            Ok(_) => match holding::waiting_in(&session, &safe).await {
                Ok(waiting) => waiting.problem(),
                Err(problem) => Some(problem),
            },
        };
        noted(&session, &safe, (problem, stuck), looked).await;
        safe.went_on();
        // Before anything of what was just shared is kept, or is not.
        pinning::mark(&session, &safe).await;
        // Behind what anybody waits for: what was shared is, and this is the housekeeping of it.
        tidied(&session, &safe).await;
        tokio::select! {
            () = safe.wanted.notified() => {}
            // Its sender is the session's own.
            _ = news.changed() => {}
            () = tokio::time::sleep(pause.unwrap_or(Duration::MAX)), if pause.is_some() => {}
        }
    }
}

/// What accepted records have added waits no more, and is kept. Where that fails, it is tried again
/// with the next round.
async fn tidied(session: &Session, safe: &OpenSafe) {
    if let Err(problem) = without_added(session, safe).await {
        tracing::info!(safe = %safe.id, name = problem.name.name(), %problem, "what was shared waits on");
    }
    if let Err(problem) = returned(session, safe).await {
        tracing::info!(safe = %safe.id, name = problem.name.name(), %problem, "objects can't be given back yet");
    }
}

/// What a restored server lacks beside the logs, once these are whole there.
async fn returned(session: &Session, safe: &OpenSafe) -> Result<(), Problem> {
    {
        // Taken before: somebody's word meanwhile is another one.
        let mut memory = safe.memory().await;
        let due = memory.repairs.objects && !memory.repairs.open && memory.standing == Standing::Accepted;
        if !due {
            return Ok(());
        }
        memory.repairs.objects = false;
    }
    let given = returning::give(session, safe).await;
    if !matches!(given, Ok(false)) {
        safe.memory().await.repairs.objects = true;
    }
    if given? {
        safe.wanted.notify_one();
    }
    Ok(())
}

/// A turn for each part, so that nobody waits long for theirs.
async fn without_added(session: &Session, safe: &OpenSafe) -> Result<(), Problem> {
    for part in staged::added(session, safe).await?.chunks(staged::SHARED_AT_ONCE) {
        let _turn = safe.turn.lock().await;
        if safe.memory().await.standing != Standing::Accepted {
            break;
        }
        let (id, part) = (safe.id, part.to_vec());
        session.store(move |store| store.share_objects(id, &part)).await?;
    }
    Ok(())
}

/// Shows what keeps the safe from going on, or that nothing does: then it was looked at, from then
/// on.
async fn noted(
    session: &Session,
    safe: &OpenSafe,
    (problem, stuck): (Option<Problem>, Option<Stuck>),
    looked: Option<Instant>,
) {
    let name = |problem: &Option<Problem>| problem.as_ref().map(|problem| problem.name);
    let changed = {
        let mut memory = safe.memory().await;
        let changed = name(&memory.problem) != name(&problem);
        memory.problem = problem;
        memory.stuck = stuck;
        memory.looked = looked.or(memory.looked);
        changed
    };
    if changed {
        views::tell(session, safe, "problem").await;
    }
}

/// Reads, makes a key, writes. Says when there is something to do without being asked.
///
/// # Errors
/// What keeps it from going on.
async fn round(
    session: &Arc<Session>,
    safe: &Arc<OpenSafe>,
    between: &mut Between,
) -> Result<Option<Instant>, Problem> {
    let _turn = safe.turn.lock().await;
    let standing = standing_now(session, safe, between).await?;
    let (founded, waiting) = {
        let memory = safe.memory().await;
        (memory.founded, memory.queue.len())
    };
    match standing {
        Standing::Left => return Ok(None),
        // Whose it is, and who is in it; nothing of what is inside.
        Standing::Offered => {
            let before = items(safe).await;
            reading::read(session, safe).await?;
            if items(safe).await[0] != before[0] && offers::is_kept(session, safe).await? {
                views::tell(session, safe, "offered").await;
            }
            return Ok(None);
        }
        Standing::Accepted => {}
    }
    if !founded {
        founding::post(session, safe).await?;
        views::tell(session, safe, "created").await;
    }
    let before = items(safe).await;
    if let Err(problem) = reading::read(session, safe).await {
        if problem.name == ProblemKind::SafeUnknown && offers::has_gone(session, safe).await? {
            views::tell(session, safe, "left").await;
            return Ok(None);
        }
        if !problem.retryable
            && let Err(other) = read_on(session, safe, between, before).await
        {
            tracing::info!(safe = %safe.id, %other, "what was taken in of a safe can't be read yet");
        }
        return Err(problem);
    }
    keys::complete(session, safe).await?;
    let dropped = starting::start(session, safe, &mut between.started).await?;
    between.dropped.extend(dropped);
    told(session, safe, between, folding::fold_up(session, safe).await?);
    changed(session, safe, before).await;
    damaged::look_again(session, safe).await?;
    let mut moved_on = 0;
    let mut wake;
    loop {
        wake = due::settle(session, safe, between).await?;
        match committing::post(session, safe).await? {
            Tried::Nothing => break,
            // A member who may not make one, or not at once: others do.
            Tried::Due => {
                let text = "The safe needs a new key, which another member makes.";
                return Err(Problem::new(ProblemKind::SafeKeyMissing, text));
            }
            Tried::Accepted => moved_on = 0,
            Tried::MovedOn => moved_on += 1,
        }
        keys::complete(session, safe).await?;
        told(session, safe, between, folding::fold_up(session, safe).await?);
        safe.went_on();
        if moved_on > MOVED_ON_MAX {
            return Err(Problem::new(ProblemKind::ServerBusy, "Others write in this safe all the time."));
        }
    }
    let lost = std::mem::take(&mut safe.memory().await.repairs.boxes);
    if lost {
        between.given.clear();
    }
    if let Err(problem) = boxes::give(session, safe, between).await {
        safe.memory().await.repairs.boxes |= lost;
        return Err(problem);
    }
    settled(session, safe, between).await?;
    if waiting > 0 || items(safe).await != before {
        views::tell(session, safe, "shared").await;
    }
    pruning::daily(session, safe, &mut between.prune).await;
    snapshots::keep_up(session, safe, &mut between.snapshot, &mut between.too_large).await;
    let (again, quiet) = {
        let memory = safe.memory().await;
        (damaged::next_look(&memory), memory.quiet_until.filter(|_| !memory.queue.is_empty()))
    };
    Ok(wake.into_iter().chain(again).chain(quiet).chain(between.prune).chain(between.snapshot).min())
}

/// Takes back what was dropped and is named all the same: by a tree that is nobody's word.
async fn settled(session: &Session, safe: &Arc<OpenSafe>, between: &mut Between) -> Result<(), Problem> {
    if safe.memory().await.started.is_some() {
        return Ok(());
    }
    keeping::look_behind(session, safe, &between.dropped, &mut between.endangered).await?;
    between.dropped.clear();
    for _ in 0..=MOVED_ON_MAX {
        match keeping::keep(session, safe, &mut between.endangered).await? {
            // With the next round, which makes the key.
            Tried::Nothing | Tried::Due => break,
            Tried::Accepted | Tried::MovedOn => {}
        }
        keys::complete(session, safe).await?;
        told(session, safe, between, folding::fold_up(session, safe).await?);
    }
    Ok(())
}

/// How the device stands to the safe, told where it is something else than before: another device
/// of the user may have accepted it, or left, which the manifest says.
async fn standing_now(
    session: &Session,
    safe: &OpenSafe,
    between: &mut Between,
) -> Result<Standing, Problem> {
    let id = safe.id;
    let mut standing = safe.memory().await.standing;
    if standing == Standing::Offered
        && let Some(stored) = session.store(move |store| store.safe(id)).await?
    {
        // Accepted while it was being opened here.
        standing = stored.standing;
        safe.memory().await.standing = standing;
    }
    if between.standing != Some(standing) {
        let reason = if between.standing.is_none() { "opened" } else { "accepted" };
        between.standing = Some(standing);
        views::tell(session, safe, reason).await;
    }
    Ok(standing)
}

async fn items(safe: &OpenSafe) -> [u64; 2] {
    let memory = safe.memory().await;
    memory.verified.present().map_or([0, 0], |now| [now.log.count, now.journal.count])
}

/// What was taken in before something that is not believed is read all the same.
async fn read_on(
    session: &Session,
    safe: &OpenSafe,
    between: &mut Between,
    before: [u64; 2],
) -> Result<(), Problem> {
    if let Err(problem) = keys::complete(session, safe).await {
        tracing::info!(safe = %safe.id, %problem, "a key of a safe that goes no further is not here");
    }
    told(session, safe, between, folding::fold_up(session, safe).await?);
    changed(session, safe, before).await;
    Ok(())
}

/// Tells people what a rebase made of their changes.
fn told(session: &Session, safe: &OpenSafe, between: &mut Between, outcome: Outcome) {
    let Outcome { notices, grown, dropped } = outcome;
    between.dropped.extend(dropped);
    views::notify(session, safe, notices);
    if grown {
        safe.went_on();
    }
}

/// Tells what is new in it: members, the key, or files.
async fn changed(session: &Session, safe: &OpenSafe, before: [u64; 2]) {
    let now = items(safe).await;
    let (gave, taken_over) = {
        let mut memory = safe.memory().await;
        (memory.gave_role.take(), std::mem::take(&mut memory.taken_over))
    };
    if now[0] != before[0] {
        session.safes_changed();
        let reason = match gave {
            _ if taken_over => "taken_over",
            Some(_) => "members",
            None => "key",
        };
        views::tell(session, safe, reason).await;
    } else if now[1] != before[1] {
        views::tell(session, safe, "files").await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_was_full_is_asked_again() {
        let mut pauses = Pauses::default();
        let mut after = |kind| again_after(&Problem::new(kind, ""), &mut pauses);
        assert_eq!(after(ProblemKind::QuotaReached), Some(FULL_WAIT));
        assert!(after(ProblemKind::ServerUnreachable).is_some());
        assert_eq!(after(ProblemKind::ChainInvalid), None);
        assert_eq!(after(ProblemKind::SafeRoleTooLow), None);
    }
}
