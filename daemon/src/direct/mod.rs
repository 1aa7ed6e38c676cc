//! Devices of one safe meet on the local network, without a server (docs/protocol.md, *Direct
//! exchange*).
//!
//! Decides that an unlocked device looks for others while its owner has switched that on, and gives
//! contents that it has of a safe to devices of that safe's members alone. The server's order stays
//! the order: nothing of a log is taken from a device, and one that has seen another order than
//! this one is an alarm. Nothing is ever written for somebody else.

mod ask;
mod comparing;
mod serve;
#[cfg(test)]
mod tests;
mod who;

use std::sync::Arc;

use parsec_protocol::control::DirectNode;

use crate::p2p::{Lan, peer_id};
use crate::safes::loading;
use crate::session::Session;

/// Runs for as long as the device is unlocked: looks for others, asks them, and answers them.
/// Returns at once where it is switched off.
pub(crate) async fn run(session: Arc<Session>) {
    if !session.net.meets_directly() {
        return;
    }
    let Ok(_turn) = session.direct.running.try_lock() else { return };
    let mut news = session.news();
    while session.log().device(&session.open.summary.device).is_none() {
        // Its sender is the session's own.
        let _ = news.changed().await;
    }
    // Also where the server has been away since the device was unlocked.
    if let Err(problem) = loading::open_all(&session).await {
        tracing::warn!(%problem, "a safe can't be opened");
    }
    let (lan, knocks) = match Lan::open() {
        Ok(opened) => opened,
        Err(error) => {
            tracing::warn!(%error, "other devices can't be met directly");
            return;
        }
    };
    tracing::info!(device = %session.open.summary.device, "other devices of its safes are met directly");
    let answering = serve::serve(Arc::clone(&session), lan.clone(), knocks);
    let asking = ask::meet(Arc::clone(&session), lan.clone());
    tokio::join!(answering, asking, show(&session, &lan));
}

/// Shows in `net.status` where the device is met, as long as it is.
async fn show(session: &Session, lan: &Lan) {
    let node = DirectNode {
        device: session.open.summary.device,
        peer: peer_id(&lan.key()),
        addresses: Vec::new(),
        mdns: false,
    };
    // Past the bound it is not shown; nobody has so many devices unlocked.
    let Ok(shown) = session.net.direct(node) else { return };
    let mut status = lan.status();
    loop {
        let now = status.borrow_and_update().clone();
        shown.change(|node| {
            node.addresses = now.listening;
            node.mdns = now.mdns;
        });
        if status.changed().await.is_err() {
            return;
        }
    }
}
