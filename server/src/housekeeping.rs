//! What happens without anybody asking: what is due is settled and pruned, piece by piece, between
//! everybody else's work.
//!
//! Decides when to look; what is due, `store::pruning` decides. A piece is queued only when the one
//! before has been answered, so that others never wait for more than one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::http::App;
use crate::store::pruning;

/// How often to look: an invitation that has expired is answered about rightly meanwhile, so this
/// is about room alone.
const LOOK: Duration = Duration::from_secs(1);

/// Runs until the server stops.
pub(crate) async fn run(app: Arc<App>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return,
            _ = looks.tick() => {}
        }
        while !app.stopping.is_cancelled() && piece(&app).await {}
    }
}

/// One piece, if there is one to do. Whether there is another.
async fn piece(app: &App) -> bool {
    let now = app.clock.now();
    match app.store.read(move |tx| Ok(tx.is_due(now)?)).await {
        Ok(true) => {}
        // An overloaded or failing database is somebody else's trouble, and logged where it arose.
        Ok(false) | Err(_) => return false,
    }
    match app.store.write(move |tx| Ok(pruning::piece(tx, now)?)).await {
        Ok(done) => {
            tracing::info!(expired = done.expired, gone = done.gone, "pruned");
            done.more
        }
        Err(_) => false,
    }
}
