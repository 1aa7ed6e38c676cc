//! Folding behind the work: the whole journal of a safe whose tree was started from a snapshot.
//!
//! Decides when that tree is nobody's word any more: when the fold from the first record on has
//! come up to it, and then it is that fold, whatever the snapshot said. Refuses to take the safe
//! from people meanwhile: it holds it for a few records at a time. What is odd about records is
//! told from here alone; a snapshot that lied is a void record in this fold, and names its device.

use std::sync::Arc;

use parsec_protocol::control::Problem;
use parsec_protocol::safes::rebase::Notice;
use parsec_protocol::safes::state::State;
use parsec_protocol::safes::tree::Tree as _;

use super::folding::{self, Found, Oddity, Stop};
use super::views;
use crate::os::blocking_in;
use crate::session::Session;
use crate::session::open_safes::{OpenSafe, Started};

/// Records that are folded while the safe is held: some hundredths of a second.
const STEP_RECORDS: u64 = 32;

/// What one step came to.
enum Step {
    /// There is nothing to fold behind.
    Idle,
    /// So far, and more is to be folded.
    More(State, Vec<Oddity>),
    /// A key is not here: so far, until somebody gives it.
    Waits(State, Vec<Oddity>, Stop),
    /// It came to the end, and that can't be kept: so far, to be kept the next time.
    Failed(State, Vec<Oddity>, Problem),
    /// The tree is this fold from now on.
    Done(Vec<Oddity>, Vec<Notice>),
}

async fn step(session: &Session, safe: &OpenSafe, state: Option<State>) -> Result<Step, Problem> {
    let mut memory = safe.memory().await;
    // One that is to be folded anew is, by the safe's own task.
    if memory.started.is_none() || memory.refold {
        return Ok(Step::Idle);
    }
    let (id, open) = (safe.id, Arc::clone(&session.open));
    blocking_in(&session.tasks, move || {
        let mut state = state.unwrap_or_else(|| State::new(id));
        let end = memory.base.seq();
        let to = state.seq().saturating_add(STEP_RECORDS).min(end);
        let with = (&memory.verified, &memory.keys);
        let found = folding::fold_stored(&open, with, id, &mut state, to)?;
        let Found { oddities, stop, .. } = found;
        let folded = state.seq();
        memory.started = memory.started.map(|started| Started { folded, ..started });
        if let Some(stop) = stop {
            return Ok(Step::Waits(state, oddities, stop));
        }
        if state.seq() < end {
            return Ok(Step::More(state, oddities));
        }
        // Nothing of this device was posted meanwhile: the queue knows none of these records.
        let kept = state.clone();
        let stood = folding::stand_on(&open, &mut memory, id, state, &Found::default(), true);
        Ok::<_, Problem>(match stood {
            Ok(notices) => Step::Done(oddities, notices),
            Err(problem) => Step::Failed(kept, oddities, problem),
        })
    })
    .await
}

/// Folds for as long as there is something to fold, whenever there is.
pub(super) async fn run(session: Arc<Session>, safe: Arc<OpenSafe>) {
    let mut progress = safe.progress();
    let mut state = None;
    loop {
        progress.mark_unchanged();
        match step(&session, &safe, state.take()).await {
            Ok(Step::More(so_far, oddities)) => {
                state = Some(so_far);
                folding::tell(&session, &safe, oddities).await;
                continue;
            }
            Ok(Step::Waits(so_far, oddities, stop)) => {
                state = Some(so_far);
                folding::tell(&session, &safe, oddities).await;
                tracing::info!(safe = %safe.id, ?stop, "older records can't be verified yet");
            }
            Ok(Step::Failed(so_far, oddities, problem)) => {
                state = Some(so_far);
                folding::tell(&session, &safe, oddities).await;
                tracing::info!(safe = %safe.id, name = problem.name.name(), %problem, "what was folded can't be kept");
            }
            Ok(Step::Done(oddities, notices)) => {
                folding::tell(&session, &safe, oddities).await;
                // What pins cover may be something else in it, after as many records.
                safe.keeping.look_anew();
                tracing::info!(safe = %safe.id, "the whole journal is folded");
                views::notify(&session, &safe, notices);
                safe.went_on();
                views::tell(&session, &safe, "verified").await;
                // What an earlier version of this program saved meanwhile goes out.
                safe.wanted.notify_one();
            }
            Ok(Step::Idle) => {}
            Err(problem) => {
                tracing::info!(safe = %safe.id, name = problem.name.name(), %problem, "older records can't be folded");
            }
        }
        if progress.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
