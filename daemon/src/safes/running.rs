//! What an unlocked device does about its safes by itself: a task for each, and one that hears of
//! news.
//!
//! Decides who is woken by what: a hint wakes the safe that it names, one of the manifest those
//! that another device may have taken, a stream that was opened anew wakes all, since what came
//! meanwhile was not told. Refuses to take a hint for more. Some minutes after the safes have gone
//! on, the manifest says how far.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::control::Problem;
use parsec_protocol::ids::SafeId;
use tokio::time::Instant;

use super::{ahead, behind, loading, offers, pinning, task};
use crate::session::open_safes::OpenSafe;
use crate::session::{Session, manifest};
use crate::store::{Standing, Store};
use crate::transport::Trouble;
use crate::transport::relay::SafeNews;
use crate::transport::retry::Pauses;

/// How long the manifest may lack how far the safes have come. A new device of the user knows that
/// much without any other; each writing is a version that all of the user's devices read.
const HEADS_AFTER: Duration = Duration::from_secs(600);

/// Runs for as long as the device is unlocked.
pub(crate) async fn run(session: &Arc<Session>) {
    let follow = async {
        let error = session.member.follow_safes().await;
        session.saw(&error.into());
    };
    tokio::join!(follow, hear(session));
}

async fn hear(session: &Arc<Session>) {
    let mut news = session.member.safe_news();
    let mut before = SafeNews::default();
    let mut running = BTreeMap::new();
    let mut pauses = Pauses::default();
    let mut marked: Option<Instant> = None;
    loop {
        if let Err(problem) = begin(session, &mut running).await {
            tracing::warn!(name = problem.name.name(), %problem, "a safe can't be opened");
        }
        tokio::select! {
            // Its sender is the session's own.
            _ = news.changed() => {}
            () = session.safes.changed.notified() => continue,
            () = until(marked) => {
                marked = None;
                if let Err(problem) = manifest::keep_heads(session, &Trouble::new(None)).await {
                    tracing::info!(%problem, "the manifest does not say yet how far the safes have come");
                }
                continue;
            }
        }
        let now = news.borrow_and_update().clone();
        if let Err(problem) = heard(session, &before, &now).await {
            session.saw(&problem);
            tracing::info!(name = problem.name.name(), %problem, "the safes can't be looked for");
            if problem.retryable {
                tokio::time::sleep(pauses.next_own()).await;
                news.mark_changed();
                continue;
            }
        }
        pauses.reset();
        if !changed(&before.gone_on, &now.gone_on).is_empty() {
            let _ = marked.get_or_insert_with(|| Instant::now() + HEADS_AFTER);
        }
        before = now;
    }
}

/// Waits until then; for ever where nothing is to be done.
async fn until(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then).await,
        None => std::future::pending().await,
    }
}

/// Starts a task for each safe that has none. One that went and was offered again is another one,
/// whose task has ended.
async fn begin(session: &Arc<Session>, running: &mut BTreeMap<SafeId, Arc<OpenSafe>>) -> Result<(), Problem> {
    running.retain(|id, safe| session.safes.get(*id).is_some_and(|open| Arc::ptr_eq(&open, safe)));
    for safe in loading::open_all(session).await? {
        if let Entry::Vacant(vacant) = running.entry(safe.id) {
            vacant.insert(Arc::clone(&safe));
            let [task, ahead, pins, behind] = [(); 4].map(|()| Arc::clone(session));
            let [beside, pinned, started] = [(); 3].map(|()| Arc::clone(&safe));
            session.run(async move {
                tokio::select! {
                    () = task::run(task, safe) => {}
                    () = ahead::run(ahead, beside) => {}
                    () = pinning::run(pins, pinned) => {}
                    () = behind::run(behind, started) => {}
                }
            });
        }
    }
    Ok(())
}

/// Wakes those that there is news of.
async fn heard(session: &Arc<Session>, before: &SafeNews, now: &SafeNews) -> Result<(), Problem> {
    let anew = before.streams != now.streams;
    let gone_on = changed(&before.gone_on, &now.gone_on);
    let mut others = false;
    for safe in &gone_on {
        // One that was left may be offered again: no task of its own asks for it.
        others |= match session.safes.get(*safe) {
            Some(open) => open.memory().await.standing == Standing::Left,
            None => true,
        };
    }
    // Its own versions a device knows.
    let manifest =
        now.manifest != before.manifest && session.store(Store::manifest_version).await? < now.manifest;
    if anew || others || manifest {
        // Another device of the user may have made or taken it: then the manifest says so.
        manifest::keep(session, &Trouble::new(None)).await?;
        offers::look(session).await?;
        session.safes.changed.notify_one();
    }
    for safe in session.safes.all() {
        let offered = manifest && safe.memory().await.standing == Standing::Offered;
        if anew || offered || gone_on.contains(&safe.id) {
            safe.wanted.notify_one();
        }
    }
    Ok(())
}

fn changed(before: &BTreeMap<SafeId, u64>, now: &BTreeMap<SafeId, u64>) -> Vec<SafeId> {
    now.iter().filter(|(safe, times)| before.get(*safe) != Some(*times)).map(|(safe, _)| *safe).collect()
}
