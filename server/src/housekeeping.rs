//! What happens without anybody asking: what is due is settled and pruned, piece by piece, between
//! everybody else's work.
//!
//! Decides when to look; what is due, `store::pruning` decides. A piece is queued only when the one
//! before has been answered, so that others never wait for more than one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::http::{App, directory};
use crate::objects::ObjectStore as _;
use crate::safes;
use crate::store::pruning;

/// How often to look: an invitation that has expired is answered about rightly meanwhile, so this
/// is about room alone.
const LOOK: Duration = Duration::from_secs(1);
/// Objects, and parts of rings, that go in one piece: some milliseconds of the database's time.
const SAFES_PIECE: usize = 32;

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
        while !app.stopping.is_cancelled() && piece_of_safes(&app).await {}
        while !app.stopping.is_cancelled() && piece_of_rings(&app).await {}
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

/// Parts of directory keys' rings that no ring has named in time. Whether there is more.
async fn piece_of_rings(app: &App) -> bool {
    let now = app.clock.now();
    match app.store.read(move |tx| Ok(directory::is_due(tx, now)?)).await {
        Ok(true) => {}
        Ok(false) | Err(_) => return false,
    }
    app.store.write(move |tx| Ok(directory::sweep(tx, now, SAFES_PIECE)?)).await.unwrap_or(false)
}

/// Objects and parts that nothing needed in time: first their rows, then the files. Whether there
/// is more.
async fn piece_of_safes(app: &Arc<App>) -> bool {
    let now = app.clock.now();
    match app.store.read(move |tx| Ok(tx.is_safe_due(now)?)).await {
        Ok(true) => {}
        Ok(false) | Err(_) => return false,
    }
    // Nobody brings one of them again between the two.
    let _alone = app.objects.publishing.write().await;
    let removed = app.store.write(move |tx| {
        let more = safes::remove_parts(tx, now, SAFES_PIECE)?;
        Ok((safes::expired(tx, now, SAFES_PIECE)?, more))
    });
    let Ok((objects, more)) = removed.await else { return false };
    let more = more || objects.len() == SAFES_PIECE;
    let remover = Arc::clone(app);
    let removing = tokio::task::spawn_blocking(move || {
        for gone in objects {
            if let Err(error) = remover.objects.store.remove(&gone.place, &gone.named) {
                // Bytes without a row are nobody's: they take room, and no more.
                tracing::error!(%error, "the file of an object could not be removed");
            }
        }
    });
    removing.await.is_ok() && more
}
